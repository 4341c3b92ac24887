//! Requests to responses.
//!
//! ```text
//!  request ─▶ service ─▶ subscribe ─▶ Delivery ─┬─▶ Writer      (HTTP/1.1, takes the connection)
//!                │                              └─▶ EventBody   (HTTP/2, HTTP/1.0, finite responses; watched by a guard)
//!                └─▶ Rejection
//! ```

mod body;
mod cors;
mod delivery;
mod event_body;
mod forwarded;
mod gate;
mod life;
mod rejection;
mod report;
mod seats;
mod service;
mod share;
mod subscribe;
mod target;
mod verdict;
mod writer;

pub use body::ResponseBody;
pub use gate::{Gate, Page};
pub use seats::Seats;
pub use service::service;
pub use subscribe::spec;
pub use verdict::EVENT_TYPE;
