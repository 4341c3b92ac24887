//! Requests to responses.
//!
//! ```text
//!  request ─▶ service ─▶ request::auth ─▶ subscribe ─▶ Delivery ─┬─▶ Http1Writer   HTTP/1.1, takes over the connection
//!                │                                               └─▶ EventBody     HTTP/2; HTTP/1.0 and finite reads
//!                └─▶ Rejection
//! ```
//!
//! `post` opens streams by `POST`. `request` reads, `response` refuses or answers, `delivery` writes events. `service` and
//! `subscribe` put them together.

mod app;
mod delivery;
mod forward;
mod post;
mod request;
mod response;
mod routed_request;
mod service;
mod stream_opens;
mod subscribe;
mod subscription_limits;
mod upgrade;

pub(crate) use app::App;
pub use app::StaticPage;
pub use delivery::notice::EVENT_TYPE;
pub(crate) use post::{PostBodyLimits, PostStops, PostStreams};
pub use request::query::Query;
pub use request::shared_values::query_parameters;
pub use response::body::AppBody;
pub(crate) use service::service;
pub(crate) use stream_opens::StreamOpenLimits;
pub(crate) use subscribe::stream_spec;
pub(crate) use subscription_limits::SubscriptionLimits;
