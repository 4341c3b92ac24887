//! Links within the repository resolve, named source files exist, and pictures are small.

use std::path::PathBuf;

use super::{pages, read, root};

/// The largest size of a picture, in bytes: it is fetched with every clone.
const PICTURE: u64 = 150 * 1024;

/// Folders to which a page's paths of source files may be relative.
const SOURCE_FOLDERS: [&str; 2] = ["src", "."];

/// The pages for operators, and those for developers, whose code blocks are not run.
fn all_pages() -> Vec<PathBuf> {
    let decisions = std::fs::read_dir(root().join("docs/decisions")).unwrap();
    let decisions = decisions.map(|entry| PathBuf::from("docs/decisions").join(entry.unwrap().file_name()));
    let others = ["ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md", "tests/README.md", "benches/README.md"];
    pages().into_iter().chain(others.map(PathBuf::from)).chain(decisions).collect()
}

#[test]
fn every_link_to_a_file_resolves() {
    let mut seen = 0;
    for page in all_pages() {
        let text = read(&page);
        let folder = root().join(&page).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            seen += 1;
            assert!(folder.join(file).exists(), "{}: {target} leads nowhere", page.display());
        }
    }
    assert!(seen > 20, "only {seen} links");
}

#[test]
fn every_source_file_that_a_page_for_developers_names_exists() {
    let mut seen = 0;
    let mut missing = Vec::new();
    for page in
        all_pages().into_iter().filter(|page| page.starts_with("docs/decisions") || page.parent() == Some("".as_ref()))
    {
        for name in read(&page).split('`').skip(1).step_by(2) {
            // A bare file name belongs to the folder named before it.
            if !name.ends_with(".rs") || !name.contains('/') || name.contains(['*', ' ']) {
                continue;
            }
            seen += 1;
            if !SOURCE_FOLDERS.iter().any(|folder| root().join(folder).join(name).exists()) {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(seen > 40, "only {seen} names of files");
}

#[test]
fn every_picture_is_small_and_used() {
    let mut seen = 0;
    let shown: String = pages().iter().map(|page| read(page)).collect();
    for picture in std::fs::read_dir(root().join("docs/pictures")).unwrap() {
        let picture = picture.unwrap();
        let name = picture.file_name().into_string().unwrap();
        seen += 1;
        assert!(picture.metadata().unwrap().len() < PICTURE, "{name} is too large");
        assert!(shown.contains(&format!("pictures/{name})")), "{name} is on no page");
    }
    assert!(seen >= 2, "only {seen} pictures");
}
