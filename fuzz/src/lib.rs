//! The SSE modules under test, and the reference parser they are compared with.
//!
//! The modules are compiled from their own sources, not through the gateway, because they depend on a few crates and
//! the gateway on a hundred and fifty. Targets for modules that are private to `listen` include them themselves. Run a
//! target with `cargo +nightly fuzz run parser`.

#[path = "../../tests/corpus/reference.rs"]
pub mod reference;
#[path = "../../src/sse/mod.rs"]
pub mod sse;

use sse::{Item, Parser};

/// The items, and the number of comments between them.
pub type Parsed = (Vec<Item>, u64);

/// Parses the parts with this limit in bytes.
pub fn parse<'a>(limit: usize, parts: impl IntoIterator<Item = &'a [u8]>) -> Parsed {
    let mut parser = Parser::new(limit);
    let mut items = Vec::new();
    parts.into_iter().for_each(|part| parser.push(part, &mut items));
    (items, parser.comments())
}
