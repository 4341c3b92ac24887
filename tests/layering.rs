//! Holds the sources to the layering table of ARCHITECTURE.md, and every file to a readable length.
//!
//! The table is read from the document itself, so document and sources cannot drift apart. What a source uses is taken
//! from its text: `crate::x`, `crate::{x, y::z}`, and `super::` chains that climb to the crate's root. Unit tests may use
//! more and are skipped. Uses made through macros of another crate are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 400;

#[test]
fn every_module_uses_only_what_the_layering_table_allows() {
    let table = Table::parse(&fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md"));
    let sources = sources();
    assert!(sources.len() >= 10, "saw only {} source files", sources.len());
    let mut wrong = Vec::new();

    for source in sources.iter().filter(|source| !source.is_test()) {
        let module = source.module();
        if module == "lib" {
            continue;
        }
        let Some(allowed) = table.allowed.get(module) else {
            wrong.push(format!("{}: module `{module}` has no line in the layering table", source.path));
            continue;
        };
        for used in uses(&source.text, source.depth()) {
            // What is no module is an item of the crate's root, such as a macro or a re-export.
            if used != module && table.allowed.contains_key(&used) && !allowed.contains(&used) {
                wrong.push(format!("{}: `{module}` may not use `{used}`", source.path));
            }
        }
    }

    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_has_at_most_400_lines() {
    let mut sources = sources();
    sources.extend(rust_files(&root().join("tests")));
    assert!(sources.len() >= 10, "saw only {} source files", sources.len());

    let long: Vec<String> = sources
        .iter()
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(source, lines)| format!("{}: {lines} lines, at most {LONGEST_FILE}", source.path))
        .collect();

    assert!(long.is_empty(), "\n{}", long.join("\n"));
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

/// The layering table: for each module, what it may use.
struct Table {
    allowed: BTreeMap<String, BTreeSet<String>>,
}

impl Table {
    fn parse(document: &str) -> Self {
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
fn uses(text: &str, depth: usize) -> BTreeSet<String> {
    // By convention unit tests come last in a file.
    let text = text.split("#[cfg(test)]\nmod tests").next().expect("split gives at least one part");
    let code: String = text.lines().map(without_comment_and_strings).collect::<Vec<_>>().join("\n");
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

fn without_comment_and_strings(line: &str) -> String {
    let line = line.split("//").next().expect("split gives at least one part");
    line.split('"').step_by(2).collect()
}

/// A Rust file, with its path relative to the package.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }

    fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").expect("a file of src");
        inside.split('/').next().expect("split gives at least one part").trim_end_matches(".rs")
    }

    /// Returns the number of `super::` from this file's items to the crate's root.
    fn depth(&self) -> usize {
        let slashes = self.path.strip_prefix("src/").expect("a file of src").matches('/').count();
        if self.path.ends_with("/mod.rs") { slashes } else { slashes + 1 }
    }
}

fn sources() -> Vec<Source> {
    rust_files(&root().join("src"))
}

fn rust_files(folder: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() && !path.ends_with("node_modules") {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a readable source");
            let path = path.strip_prefix(root()).expect("below the package").to_string_lossy().into_owned();
            found.push(Source { path, text });
        }
    }
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
