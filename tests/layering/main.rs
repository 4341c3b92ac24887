//! Holds the sources to the layering table of ARCHITECTURE.md, each folder to one direction, each type to a name of its
//! own, and every file to a readable length.
//!
//! Unit tests may use more than the table says, and are skipped.

mod cycles;
mod names;
mod sources;
mod table;

use std::fs;

use sources::{Source, root, rust_files, sources};
use table::{Table, uses};

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
fn no_two_public_types_have_the_same_name() {
    let duplicates = names::duplicate_types(&code());

    assert!(duplicates.is_empty(), "\n{}", duplicates.join("\n"));
}

#[test]
fn identifiers_are_free_of_banned_words() {
    let found: Vec<_> = sources().iter().flat_map(names::banned_identifiers).collect();

    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_files_of_a_folder_do_not_use_each_other_in_a_circle() {
    let cycles = cycles::cycles(&code());

    assert!(cycles.is_empty(), "\n{}", cycles.join("\n"));
}

/// The sources without the files of unit tests.
fn code() -> Vec<Source> {
    let sources: Vec<_> = sources().into_iter().filter(|source| !source.is_test()).collect();
    assert!(sources.len() >= 10, "saw only {} source files", sources.len());
    sources
}
