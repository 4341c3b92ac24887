//! The status page's files, compiled in.
//!
//! They load nothing from elsewhere, contain no inline script or style, and write all data as text, never as markup.

/// A file of the page.
pub(super) struct File {
    pub(super) content_type: &'static str,
    pub(super) bytes: &'static str,
}

/// Returns the file at this path of the admin port.
pub(super) fn file(path: &str) -> Option<File> {
    let (content_type, bytes) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("page/index.html")),
        "/page/status.css" => (CSS, include_str!("page/status.css")),
        "/page/tables.css" => (CSS, include_str!("page/tables.css")),
        "/page/status.js" => (JAVASCRIPT, include_str!("page/status.js")),
        "/page/format.js" => (JAVASCRIPT, include_str!("page/format.js")),
        "/page/sparkline.js" => (JAVASCRIPT, include_str!("page/sparkline.js")),
        "/page/streams.js" => (JAVASCRIPT, include_str!("page/streams.js")),
        "/page/table.js" => (JAVASCRIPT, include_str!("page/table.js")),
        "/page/view.js" => (JAVASCRIPT, include_str!("page/view.js")),
        _ => return None,
    };
    Some(File { content_type, bytes })
}

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_that_another_one_names_is_there() {
        let named = |text: &'static str, before: &str, after: char| -> Vec<&str> {
            text.split(before).skip(1).map(|rest| &rest[..rest.find(after).unwrap_or(0)]).collect()
        };
        let text = |path: &str| file(path).unwrap_or_else(|| panic!("there is no {path}")).bytes;
        let page = text("/");

        let styles = named(page, "stylesheet\" href=\"", '"');
        let mut scripts: Vec<_> = named(page, "src=\"page/", '"');
        assert_eq!((styles.len(), scripts.len()), (2, 1));
        assert!(styles.iter().all(|style| text(&format!("/{style}")).contains('{')));
        let mut found = 0;
        while found < scripts.len() {
            let script = text(&format!("/page/{}", scripts[found]));
            found += 1;
            for imported in named(script, "from \"./", '"') {
                if !scripts.contains(&imported) {
                    scripts.push(imported);
                }
            }
        }
        assert_eq!(found, 6);
    }
}
