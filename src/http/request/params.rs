//! The parameters of a subscription: the place to go on after, and how far to read.

use http::request::Parts;

use super::last_event_id::LastEventId;
use super::query::Query;
use crate::http::response::rejection::Rejection;

/// What a request asks for besides the stream.
#[derive(Clone, Debug)]
pub struct SubscribeParams {
    /// The place to go on after.
    pub after: LastEventId,
    /// `false`: what is buffered, and the end.
    pub follow: bool,
    /// The most events.
    pub limit: u64,
}

impl SubscribeParams {
    /// Reads them from a request's head. `id_parameters` may hold the id where there is no header.
    ///
    /// # Errors
    /// 400.
    pub fn of(head: &Parts, query: &Query, id_parameters: &[String]) -> Result<Self, Rejection> {
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
        Ok(Self { after: LastEventId::of(head, query, id_parameters), follow, limit })
    }
}
