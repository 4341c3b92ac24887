//! Who may.

mod settings;

pub use settings::{IssuerSettings, KeySource, RuleSettings, TokenSource};
