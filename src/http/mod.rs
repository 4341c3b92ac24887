//! Requests to responses.
//!
//! ```text
//!  request ─▶ service ─▶ access ─▶ subscribe ─▶ Delivery ─┬─▶ Writer      (HTTP/1.1, takes the connection)
//!                │                                        └─▶ EventBody   (HTTP/2; HTTP/1.0 and finite responses, watched by a guard)
//!                └─▶ Rejection
//! ```

mod access;
mod app;
mod body;
mod client_info;
mod cors;
mod delivery;
mod event_body;
mod forwarded;
mod head;
mod headers;
mod http1_writer;
mod last_event_id;
mod lifetime;
mod notice;
mod pending_resume;
mod permission;
mod record;
mod redact;
mod rejection;
mod request_target;
mod service;
mod shared_values;
mod subscribe;
mod subscribe_params;
mod subscription_limits;
mod trace;

pub use app::{App, StaticPage};
pub use body::AppBody;
pub use notice::EVENT_TYPE;
pub use service::service;
pub use shared_values::query_parameters;
pub use subscribe::spec;
pub use subscription_limits::{LimitExceeded, SubscriptionLimits};
