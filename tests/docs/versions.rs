//! The version has one place, Cargo.toml; what has to repeat it is equal.

use super::read;

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn the_image_is_labelled_with_the_version_of_the_crate() {
    let file = read("deploy/Dockerfile".as_ref());

    let label = format!("org.opencontainers.image.version=\"{VERSION}\"");

    assert!(file.contains(&label), "no {label}");
}

#[test]
fn the_changelog_begins_with_the_version_of_the_crate_or_what_is_not_released() {
    let changelog = read("CHANGELOG.md".as_ref());

    let newest = changelog.lines().find_map(|line| line.strip_prefix("## ")).expect("a version");

    assert!(newest == "Unreleased" || newest.split_whitespace().next() == Some(VERSION), "{newest}");
}
