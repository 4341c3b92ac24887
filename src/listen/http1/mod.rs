//! HTTP/1 with hyper, and the handoff of an endless response to a task of its own.
//!
//! | file | contents |
//! |---|---|
//! | [`serve`] | one connection while hyper serves it |
//! | [`handoff`] | the handle by which a service claims a connection, or leaves it to hyper |
//! | [`handoff_io`] | the connection as hyper sees it |
//! | [`prelude`] | the first chunk of a response that is handed off |
//! | [`head_scan`], [`scanned_transport`] | ambiguities of a head that hyper does not tell |
//! | [`abort`] | ending a response that its client does not read |
//! | [`tracked_body`] | a response body that keeps its request open |
//!
//! # The handoff
//!
//! hyper parses every request and writes every head. It also writes the bodies of responses that end, and of all
//! responses over HTTP/1.0. From an endless response over HTTP/1.1 the connection is taken after the first chunk: hyper
//! and its buffers are freed, and a small task of the service writes the events.
//!
//! ```text
//!  HandoffIo        hyper                 service
//!      | -- bytes --> | - IncomingRequest -> |  set_reading_paused
//!      |              |                      |  claim(prelude, continuation)
//!      |              | <---- response ----- |  its body is the PreludeBody
//!      | <-- head --- |
//!      | <-- chunk -- |                         hyper polls the body again; it stays pending
//!      |
//!  serve sees that the output ends with the prelude, drops hyper, and calls
//!  continuation(connection, bytes that the socket has not taken, task)
//! ```
//!
//! hyper does not say when it has written a chunk, so [`handoff_io`] looks at the last four bytes of its output:
//!
//! ```text
//! HTTP/1.1 200 OK CR LF … CR LF CR LF     the head
//! SIZE CR LF  lines… LF  CR LF            the first chunk; the prelude ends in a bare LF
//!                  └─────── x LF CR LF, with x not CR, ends the part that hyper writes
//! ```
//!
//! No other output between the claim and this point ends in these four bytes:
//!
//! - A head ends in `CR LF CR LF`, and the line with the chunk's size has no LF before its `CR LF`.
//! - The end of an earlier response, if hyper has not written it yet, is a head, the gateway's own text without CR, or
//!   the last chunk, `0 CR LF CR LF`. A body of events could end its chunks as a prelude does. The service calls
//!   [`Handoff::decline`] for such a body, and the connection stays with hyper.
//! - The prelude ends its chunk in this way, because [`Prelude::new`] accepts no other lines.
//!
//! Each side relies on the following:
//!
//! - *Bytes from the client.* A claimed connection has no further request. hyper drops what it has read behind the
//!   request, so those bytes are never executed.
//! - *Bytes to the client.* Between the claim and the handoff, [`handoff_io`] takes what the socket does not: what
//!   hyper holds of earlier responses, and the head and the chunk. So hyper always gets to the end of the chunk, and a
//!   client that reads nothing is the continuation's concern, with its stall timeout. A connection with more is closed.
//! - *Wake-ups.* The [`PreludeBody`] registers no waker, since nothing follows. `serve` checks for a claim that is ready
//!   each time hyper returns.
//! - *Failure.* If the connection ends before the handoff, the continuation is dropped and never called.
//!
//! A response that stays with hyper may have a client that does not read, and then hyper does not poll its body. The
//! condition passed to [`Handoff::decline`] is polled beside hyper and closes the connection ([`abort`]).

mod abort;
mod handoff;
mod handoff_io;
mod head_scan;
mod prelude;
mod scanned_transport;
mod serve;
mod tracked_body;

pub use handoff::Handoff;
pub use prelude::{Prelude, PreludeBody};
pub(super) use serve::serve;
