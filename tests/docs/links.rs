//! Links within the repository lead somewhere, and pictures are small.

use super::{pages, read, root};

/// Most bytes of a picture: it is fetched with every clone.
const PICTURE: u64 = 150 * 1024;

#[test]
fn every_link_to_a_file_resolves() {
    let mut seen = 0;
    for page in pages() {
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
