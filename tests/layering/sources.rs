//! The Rust files that are looked at, as text.

use std::fs;
use std::path::{Path, PathBuf};

/// One Rust file, its path relative to the package.
pub struct Source {
    /// With `/` between its parts.
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Its text without comments, strings and unit tests, which come last in a file by convention.
    pub fn code(&self) -> String {
        let text = self.text.split("#[cfg(test)]\nmod ").next().expect("split gives at least one part");
        text.lines().map(without_comments_and_strings).collect::<Vec<_>>().join("\n")
    }

    pub fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.ends_with("/fixture.rs") || self.path.contains("/tests/")
    }

    pub fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").expect("a file of src");
        inside.split('/').next().expect("split gives at least one part").trim_end_matches(".rs")
    }

    /// Returns the number of `super::` from this file's items to the crate's root.
    pub fn depth(&self) -> usize {
        let slashes = self.path.strip_prefix("src/").expect("a file of src").matches('/').count();
        if self.path.ends_with("/mod.rs") { slashes } else { slashes + 1 }
    }
}

pub fn without_comments_and_strings(line: &str) -> String {
    let line = line.split("//").next().expect("split gives at least one part");
    line.split('"').step_by(2).collect()
}

pub fn sources() -> Vec<Source> {
    rust_files(&root().join("src"))
}

pub fn rust_files(folder: &Path) -> Vec<Source> {
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

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
