//! Cycles: files of a folder that use each other. A folder's `mod.rs` is its table of contents and does not count.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::Source;

/// The files of the same top folder that each file uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Returns the cycles among the files of each folder of `src`, as `A → B → A`.
pub fn cycles(sources: &[Source]) -> Vec<String> {
    let modules: BTreeMap<Vec<String>, &Source> = sources.iter().map(|source| (module_path(source), source)).collect();
    let mut uses = Uses::new();
    for (path, source) in modules.iter().filter(|(path, source)| path.len() > 1 && !source.path.ends_with("/mod.rs")) {
        let used = paths(&source.code()).into_iter().filter_map(|used| absolute(path, &used));
        let used = used.filter_map(|used| defining(&modules, &used)).filter(|used| used[0] == path[0] && used != path);
        uses.insert(path.join("/"), used.map(|used| used.join("/")).collect());
    }
    let mut found = Vec::new();
    while let Some(circle) = circle(&uses) {
        // One arrow of it less, so that the next look finds another one.
        uses.get_mut(&circle[0]).expect("a file of the circle").remove(&circle[1]);
        found.push(circle.join(" → "));
    }
    found
}

/// `src/stream/log.rs` is `stream`, `log`.
fn module_path(source: &Source) -> Vec<String> {
    let inside = source.path.strip_prefix("src/").expect("a file of src").trim_end_matches(".rs");
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    match inside {
        "lib" | "main" => Vec::new(),
        _ => inside.split('/').map(str::to_owned).collect(),
    }
}

/// Returns every path that begins with `crate`, `super` or `self`. The members of a group are separate paths.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(root) {
            if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                members(&code[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Parses one path, or a group of them, and returns the rest of the code.
fn members<'c>(mut code: &'c str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'c str {
    let depth = prefix.len();
    loop {
        code = code.trim_start();
        if let Some(group) = code.strip_prefix('{') {
            code = group;
            loop {
                code = members(code, prefix, found).trim_start();
                match code.strip_prefix(',') {
                    Some(rest) => code = rest,
                    None => break,
                }
            }
            code = code.strip_prefix('}').unwrap_or(code);
            break;
        }
        let name: String = code.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        code = &code[name.len()..];
        if !name.is_empty() {
            prefix.push(name);
        }
        match code.strip_prefix("::") {
            Some(rest) => code = rest,
            None => {
                found.push(prefix.clone());
                break;
            }
        }
    }
    prefix.truncate(depth);
    code
}

/// Resolves a path to one from the crate's root.
fn absolute(from: &[String], path: &[String]) -> Option<Vec<String>> {
    let (mut base, mut rest) = match path.first()?.as_str() {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (from.to_vec(), &path[1..]),
        _ => (from.to_vec(), path),
    };
    while let Some(("super", after)) = rest.split_first().map(|(first, after)| (first.as_str(), after)) {
        base.pop()?;
        rest = after;
    }
    Some([base, rest.to_vec()].concat())
}

/// Returns the module whose file defines the item at this path. Follows the re-exports of a `mod.rs`.
fn defining(modules: &BTreeMap<Vec<String>, &Source>, path: &[String]) -> Option<Vec<String>> {
    let known = (1..=path.len()).rev().find(|&length| modules.contains_key(&path[..length]))?;
    let (module, rest) = path.split_at(known);
    let source = modules[module];
    let Some(name) = rest.first().filter(|_| source.path.ends_with("/mod.rs")) else { return Some(module.to_vec()) };
    let code = source.code();
    let exported = code.match_indices("pub use ").flat_map(|(at, found)| {
        let mut members_of = Vec::new();
        members(code[at + found.len()..].trim_start_matches("self::"), &mut Vec::new(), &mut members_of);
        members_of
    });
    let through =
        exported.filter(|exported| exported.last() == Some(name)).map(|exported| [module, &exported].concat());
    through.filter(|through| *through != path).find_map(|through| defining(modules, &through))
}

/// Returns a cycle, with its first file again at the end.
fn circle(uses: &Uses) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    uses.keys().find_map(|file| walk(uses, file, &mut Vec::new(), &mut done))
}

fn walk(uses: &Uses, file: &str, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> Option<Vec<String>> {
    if let Some(at) = way.iter().position(|earlier| earlier == file) {
        return Some([&way[at..], &[file.to_owned()]].concat());
    }
    if !done.contains(file) {
        way.push(file.to_owned());
        let found = uses.get(file).into_iter().flatten().find_map(|used| walk(uses, used, way, done));
        if found.is_some() {
            return found;
        }
        way.pop();
        done.insert(file.to_owned());
    }
    None
}

#[test]
fn a_circle_is_found_through_groups_re_exports_and_inner_folders() {
    let sources = [
        Source::new("src/a/mod.rs", "mod x;\nmod y;\npub use y::{Other, Y};"),
        Source::new("src/a/x.rs", "use std::fmt;\nuse crate::a::{self, Y};"),
        Source::new("src/a/y.rs", "fn f() { super::in_x::g(); super::z::Z::new() }"),
        Source::new("src/a/z/mod.rs", "mod deep;\npub use deep::Z;"),
        Source::new("src/a/z/deep.rs", "use super::super::x::X;"),
        Source::new("src/b.rs", "use crate::a::Y;"),
    ];

    assert_eq!(cycles(&sources), ["a/x → a/y → a/z/deep → a/x"]);
    assert_eq!(cycles(&sources[..4]), Vec::<String>::new());
}
