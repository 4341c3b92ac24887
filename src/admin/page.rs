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
        "/status.css" => ("text/css; charset=utf-8", include_str!("page/status.css")),
        "/status.js" => ("text/javascript; charset=utf-8", include_str!("page/status.js")),
        _ => return None,
    };
    Some(File { content_type, bytes })
}
