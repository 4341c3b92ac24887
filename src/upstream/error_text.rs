//! The texts of errors from libraries and the system, as `last_error` and the log show them.

use std::error::Error;
use std::io;

use crate::runtime::excerpt::truncate;

/// Returns the system's message without its error number, such as "connection refused".
pub(super) fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(text);
    let mut chars = text.chars();
    match chars.next() {
        // The first letter stays upper-case in abbreviations such as "TLS".
        Some(first) if !chars.as_str().starts_with(char::is_uppercase) => {
            truncate(&format!("{}{}", first.to_lowercase(), chars.as_str()))
        }
        _ => truncate(text),
    }
}

/// Formats an error with its causes, truncated. hyper's own text rarely names the reason.
pub(crate) fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.downcast_ref::<io::Error>().map_or_else(|| error.to_string(), io_reason);
        text = format!("{text}: {words}");
        cause = error.source();
    }
    truncate(&text)
}
