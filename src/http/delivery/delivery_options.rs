//! The options of one delivery.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::content_encoder::ContentEncoder;
use crate::route::Settings;
use crate::sse::Frame;
use crate::stream::Offset;
use crate::telemetry::EndReason;

/// The end of a response that the client chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Reads up to this offset (`follow=false`). [`Offset::UNREACHED`]: without an end.
    pub end: Offset,
    /// Reads so many more events (`limit=N`).
    pub events: u64,
}

/// The settings of a client's route, and its own.
pub struct DeliveryOptions {
    /// Completes when the response must end.
    pub lifetime: BoxFuture<'static, EndReason>,
    /// The settings of the route that admitted the client.
    pub settings: Arc<Settings>,
    /// The end that the client chose.
    pub read_limit: ReadLimit,
    /// The last event id if it is too long for the prelude. Sent before the first event.
    pub long_id: Option<Frame>,
    /// The content coding of the response. `None`: identity.
    pub(crate) encoder: Option<Box<ContentEncoder>>,
}
