//! The documentation matches the program: generated pages are current, names are complete, commands run.
//!
//! `UPDATE_DOCS=1 cargo test --test docs` regenerates the generated pages.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run tasks of their own, and a failed assumption is a failed test"
)]

mod blocks;
mod commands;
mod configuration;
mod fixture;
mod limits;
mod links;
mod proxies;
#[path = "../gateway/support/mod.rs"]
mod support;
mod versions;
mod words;

use std::path::{Path, PathBuf};

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every page for operators and contributors, relative to the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![PathBuf::from("README.md"), "CONTRIBUTING.md".into(), "certs/README.md".into()];
    let deployed = std::fs::read_dir(root().join("deploy")).unwrap().map(|entry| entry.unwrap().path());
    let folders =
        deployed.filter(|path| path.is_dir()).chain([root().join("deploy/helm/rillgate"), root().join("docs")]);
    for folder in folders {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        pages.extend(texts.map(|path| path.strip_prefix(root()).unwrap().to_owned()));
    }
    pages.sort();
    assert!(pages.len() >= 8, "{pages:?}");
    pages
}

fn read(page: &Path) -> String {
    std::fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}
