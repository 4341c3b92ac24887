//! The parts of `rillgate demo` that are not the gateway: a producer to stand behind it, a page to stand before it, and
//! a certificate for `localhost`.
//!
//! The producer is an ordinary HTTP server and knows nothing of the gateway; the page is an ordinary client of it. What
//! the demo shows is therefore what any application would get.
//!
//! Does not start a gateway, mint tokens or parse arguments: the command does, from these parts.

mod certificate;
mod feed;
mod page;
mod producer;
mod random;
mod topic;

pub use certificate::{Certificate, GenerateError};
pub use page::{COOKIE, DemoPage, pages};
pub use producer::{Producer, Status};
