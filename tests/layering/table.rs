//! The layering table of ARCHITECTURE.md, and which modules a source uses.
//!
//! The table is read from the document itself, so document and sources cannot drift apart. What a source uses is taken
//! from its text: `crate::x`, `crate::{x, y::z}`, and `super::` chains that climb to the crate's root. Uses made through
//! macros of another crate are not seen.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::Source;

/// The layering table: for each module, what it may use.
pub struct Table {
    pub allowed: BTreeMap<String, BTreeSet<String>>,
}

impl Table {
    pub fn parse(document: &str) -> Self {
        let block = document.split("```layering\n").nth(1).expect("a fenced block called layering");
        let block = block.split("```").next().expect("split gives at least one part");
        let lines: Vec<(String, &str)> = block
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| line.split_once('→').unwrap_or_else(|| panic!("no arrow in `{line}`")))
            .map(|(module, uses)| (module.trim().to_owned(), uses.trim()))
            .collect();
        let mut allowed = BTreeMap::new();
        for (index, (module, uses)) in lines.iter().enumerate() {
            let below: BTreeSet<String> = lines[index + 1..].iter().map(|(module, _)| module.clone()).collect();
            let uses = match *uses {
                "nothing" => BTreeSet::new(),
                "everything below" => below.clone(),
                list => list.split(',').map(|name| name.trim().to_owned()).collect(),
            };
            for used in &uses {
                assert!(below.contains(used), "`{module}` → `{used}`, which has no line below it");
            }
            assert!(allowed.insert(module.clone(), uses).is_none(), "`{module}` has two lines");
        }
        assert!(!allowed.is_empty(), "the layering table is empty");
        Self { allowed }
    }
}

/// The modules at the crate's root that this text uses; `depth` is how many `super::` lead there.
pub fn uses(text: &str, depth: usize) -> BTreeSet<String> {
    let code = Source::new("", text).code();
    let mut found = BTreeSet::new();
    for prefix in ["crate::".to_owned(), "rillgate::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in code.match_indices(&prefix) {
            // `$crate::x` is ours too; `mycrate::x` and `self::super::…` are not this prefix.
            if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':') {
                continue;
            }
            let after = &code[at + prefix.len()..];
            match after.strip_prefix('{') {
                Some(group) => found.extend(first_names_of_group(group)),
                None => found.extend(first_name(after)),
            }
        }
    }
    found
}

/// The first path segment of each member of a `{…}` group whose opening brace has been taken.
fn first_names_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut member, mut names) = (0, String::new(), Vec::new());
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => break,
            ',' if depth == 0 => names.extend(first_name(&std::mem::take(&mut member))),
            _ if depth == 0 => member.push(character),
            _ => {}
        }
    }
    names.extend(first_name(&member));
    names
}

fn first_name(path: &str) -> Option<String> {
    let name: String = path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    // A capital is a re-exported type, `super` a climb beyond what this chain asked for.
    (name.starts_with(|c: char| c.is_lowercase()) && name != "super").then_some(name)
}

#[test]
fn uses_are_found_in_every_spelling() {
    let text = "use crate::sse::Event;\nuse crate::{listen, route::{self, Pattern}, stream as s};\n\
                fn f() { crate::auth::check(); super::super::tasks::spawn(); super::own::item(); }\n\
                // crate::commented\nlet s = \"crate::quoted\";\n#[cfg(test)]\nmod tests { use crate::demo; }\n";

    let found: Vec<String> = uses(text, 2).into_iter().collect();

    assert_eq!(found, ["auth", "listen", "route", "sse", "stream", "tasks"]);
}

#[test]
fn a_table_that_points_upwards_is_refused() {
    let document = "text\n```layering\nlow → high\nhigh → nothing\n```\n";
    assert!(Table::parse(document).allowed["low"].contains("high"));

    let upwards = "text\n```layering\nhigh → nothing\nlow → high\n```\n";
    assert!(std::panic::catch_unwind(|| Table::parse(upwards)).is_err());
}
