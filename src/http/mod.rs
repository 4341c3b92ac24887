//! Requests to responses.
//!
//! ```text
//!  request ─▶ service ─▶ request::auth ─▶ subscribe ─▶ Delivery ─┬─▶ Http1Writer   HTTP/1.1, takes over the connection
//!                │                                               └─▶ EventBody     HTTP/2; HTTP/1.0 and finite reads
//!                └─▶ Rejection
//! ```
//!
//! `request` reads, `response` refuses or answers, `delivery` writes events. [`service`](service()) and
//! `subscribe` put them together.

mod app;
mod delivery;
mod request;
mod response;
mod service;
mod subscribe;
mod subscription_limits;

pub use app::{App, StaticPage};
pub use delivery::notice::EVENT_TYPE;
pub use request::query::Query;
pub use request::shared_values::query_parameters;
pub use response::body::AppBody;
pub use service::service;
pub use subscribe::stream_spec;
pub use subscription_limits::{LimitExceeded, SubscriptionLimits};
