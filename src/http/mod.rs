//! Requests to responses.
//!
//! ```text
//!  request ─▶ service ─▶ access ─▶ subscribe ─▶ Delivery ─┬─▶ Writer      (HTTP/1.1, takes the connection)
//!                │                                        └─▶ EventBody   (HTTP/2; HTTP/1.0 and finite responses, watched by a guard)
//!                └─▶ Rejection
//! ```

mod access;
mod body;
mod client_info;
mod cors;
mod delivery;
mod event_body;
mod forwarded;
mod app;
mod last_event_id;
mod lifetime;
mod permission;
mod rejection;
mod record;
mod subscription_limits;
mod service;
mod pending_resume;
mod shared_values;
mod redact;
mod subscribe;
mod request_target;
mod trace;
mod notice;
mod http1_writer;

pub use body::AppBody;
pub use app::{App, StaticPage};
pub use subscription_limits::{LimitExceeded, SubscriptionLimits};
pub use service::service;
pub use shared_values::query_parameters;
pub use subscribe::spec;
pub use notice::EVENT_TYPE;
