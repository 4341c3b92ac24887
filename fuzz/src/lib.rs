//! What the fuzz targets share: the modules under test, and the reference that judges one of them.
//!
//! The modules are compiled from their own sources, not through the gateway, because they depend on a few crates and
//! the gateway on a hundred and fifty. Run a target with `cargo +nightly fuzz run parser`.

#[path = "../../src/listen/proxy/header.rs"]
pub mod proxy_header;
#[path = "../../tests/corpus/reference.rs"]
pub mod reference;
#[path = "../../src/listen/send.rs"]
pub mod send;
#[path = "../../src/sse/mod.rs"]
pub mod sse;
#[path = "../../src/listen/tls/stream/mod.rs"]
pub mod tls_stream;

use sse::{Item, Parser};

/// Items, and how many comments came beside them.
pub type Parsed = (Vec<Item>, u64);

/// What a parser with this limit makes of the parts.
pub fn parse<'a>(limit: usize, parts: impl IntoIterator<Item = &'a [u8]>) -> Parsed {
    let mut parser = Parser::new(limit);
    let mut items = Vec::new();
    parts.into_iter().for_each(|part| parser.push(part, &mut items));
    (items, parser.comments())
}
