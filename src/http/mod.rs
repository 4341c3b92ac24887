//! Requests to responses.
//!
//! ```text
//!  request ─▶ service ─▶ access ─▶ subscribe ─▶ Delivery ─┬─▶ Writer      (HTTP/1.1, takes the connection)
//!                │                                        └─▶ EventBody   (HTTP/2; HTTP/1.0 and finite responses, watched by a guard)
//!                └─▶ Rejection
//! ```

mod access;
mod body;
mod caller;
mod cors;
mod delivery;
mod event_body;
mod forwarded;
mod gate;
mod last_event_id;
mod life;
mod permission;
mod rejection;
mod report;
mod seats;
mod service;
mod settling;
mod share;
mod shown;
mod subscribe;
mod target;
mod trace;
mod verdict;
mod writer;

pub use body::AppBody;
pub use gate::{App, StaticPage};
pub use seats::{LimitExceeded, SubscriptionLimits};
pub use service::service;
pub use share::query_parameters;
pub use subscribe::spec;
pub use verdict::EVENT_TYPE;
