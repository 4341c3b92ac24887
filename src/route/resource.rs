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

impl Resource {
    /// Appends query parameters.
    pub fn add_query(&mut self, parameters: &str) {
        if !self.query.is_empty() && !parameters.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(parameters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_appended_in_order() {
        let mut resource = Resource { path: "/feed".to_owned(), query: String::new() };

        for parameters in ["", "a=1", "", "b=2"] {
            resource.add_query(parameters);
        }

        assert_eq!(resource.query, "a=1&b=2");
    }
}
