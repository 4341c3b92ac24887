//! The path and query of an upstream request.
//!
//! Both are percent-encoded as in a URL. Each query parameter has one source only; the configuration checks that.

/// An absolute path and a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// The path. It starts with a slash.
    pub path: String,
    /// The query without its question mark. Empty if there is none.
    pub query: String,
}
