//! The configurations of `deploy/proxies` are on their page as they are.

use std::path::Path;

use super::blocks::blocks;
use super::{read, root};

#[test]
fn every_proxy_s_configuration_is_on_its_page_as_it_is() {
    let blocks = blocks(&read(Path::new("docs/behind-a-proxy.md")));
    let files = std::fs::read_dir(root().join("deploy/proxies")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.len() >= 5, "{names:?}");

    for name in names {
        let shown: Vec<_> = blocks.iter().filter(|block| block.name.as_deref() == Some(&name)).collect();
        let text = read(&Path::new("deploy/proxies").join(&name));
        assert!(shown.len() == 1 && shown[0].text == text, "docs/behind-a-proxy.md does not have {name} as it is");
    }
}
