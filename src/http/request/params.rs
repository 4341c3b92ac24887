//! The parameters of a subscription: where to resume, and how far to read.

use http::request::Parts;

use super::last_event_id::LastEventId;
use super::query::Query;
use crate::http::response::rejection::Rejection;
use crate::route::{ReplaySettings, Start};

/// The parameters of a subscription.
#[derive(Clone, Debug)]
pub struct SubscribeParams {
    /// The id to resume after.
    pub after: LastEventId,
    /// The position without an id.
    pub start: Start,
    /// Whether to go on with live events. With `follow=false` the response ends after the buffered ones.
    pub follow: bool,
    /// The largest number of events (`limit=N`). Default: no limit.
    pub limit: u64,
}

impl SubscribeParams {
    /// Reads the parameters of a request to a route with these settings.
    ///
    /// # Errors
    /// 400 for an invalid or duplicate parameter.
    pub fn from_head(head: &Parts, query: &Query, replay: &ReplaySettings) -> Result<Self, Rejection> {
        let follow = match query.single("follow")?.as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(Rejection::malformed("Invalid query parameter \"follow\": expected true or false.")),
        };
        let limit = match query.single("limit")? {
            None => u64::MAX,
            Some(limit) => match limit.parse() {
                Ok(limit @ 1..) => limit,
                _ => {
                    return Err(Rejection::malformed(
                        "Invalid query parameter \"limit\": expected a number of at least 1.",
                    ));
                }
            },
        };
        // A finite read without an id reads everything that is buffered.
        let start = if follow { replay.start } else { Start::Oldest };
        Ok(Self { after: LastEventId::from_head(head, query, &replay.query_id), start, follow, limit })
    }
}
