//! The rules for names: each public type has its own, and no identifier is a metaphor.

use std::collections::BTreeMap;

use super::sources::{Source, without_comments_and_strings};

/// Names that several types may share, because the module in front of them tells them apart.
const SHARED_NAMES: [&str; 2] = ["Settings", "Error"];

/// Metaphors that are not terms of the field.
pub const BANNED_WORDS: [&str; 13] =
    ["aside", "books", "desk", "door", "doors", "gate", "keeper", "leash", "seat", "seats", "sheet", "shelf", "slate"];

/// Returns the types that are defined more than once, as `NAME: FILE, FILE`.
pub fn duplicate_types(sources: &[Source]) -> Vec<String> {
    let mut defined: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for source in sources {
        for line in source.code().lines() {
            if let Some(name) = public_type(line) {
                defined.entry(name).or_default().push(&source.path);
            }
        }
    }
    defined.retain(|name, files| files.len() > 1 && !SHARED_NAMES.contains(&name.as_str()));
    defined.into_iter().map(|(name, files)| format!("{name}: {}", files.join(", "))).collect()
}

/// Returns the identifiers that contain a banned word, as `FILE:LINE: IDENTIFIER`.
pub fn banned_identifiers(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        let code = without_comments_and_strings(line);
        let identifiers = code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty());
        for name in identifiers.filter(|name| words(name).iter().any(|word| BANNED_WORDS.contains(&word.as_str()))) {
            found.push(format!("{}:{}: {name}", source.path, number + 1));
        }
    }
    found
}

/// Returns the name of the type that this line makes public, to the crate or to all.
fn public_type(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("pub")?;
    let rest = match rest.strip_prefix('(') {
        Some(restricted) => restricted.split_once(')')?.1,
        None => rest,
    };
    let (kind, rest) = rest.trim_start().split_once(' ')?;
    let is_type = matches!(kind, "struct" | "enum" | "trait" | "type" | "union");
    is_type.then(|| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

/// Splits an identifier into lower-case words: `WaiterSet` and `waiter_set` have two.
fn words(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for character in identifier.chars() {
        if character == '_' || (character.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = character.is_lowercase() || character.is_numeric();
        if character != '_' {
            words.last_mut().expect("there is one").extend(character.to_lowercase());
        }
    }
    words
}

#[test]
fn a_type_of_two_files_is_named_with_both() {
    let sources = [
        Source::new("src/a.rs", "pub struct Slot {}\npub struct Settings;"),
        Source::new("src/b.rs", "    pub(super) enum Slot {}\npub(crate) type Settings = u8;\n// pub struct Other;"),
        Source::new("src/c.rs", "struct Slot;\npub fn slot() {}\npub struct Other;"),
    ];

    assert_eq!(duplicate_types(&sources), ["Slot: src/a.rs, src/b.rs"]);
}

#[test]
fn a_banned_word_is_found_inside_an_identifier_and_nowhere_else() {
    let source =
        Source::new("src/a.rs", "let x = 1;\nlet taken_seats = FrontDoor::new(\"seat\"); // a seat\nlet outdoors = 1;");

    assert_eq!(banned_identifiers(&source), ["src/a.rs:2: taken_seats", "src/a.rs:2: FrontDoor"]);
}
