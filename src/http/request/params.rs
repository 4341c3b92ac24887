//! The parameters of a subscription: the place to go on after, and how far to read.

use http::request::Parts;

use super::last_event_id::LastEventId;
use super::target::parameter;
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
    pub fn of(head: &Parts, id_parameters: &[String]) -> Result<Self, Rejection> {
        let follow = match parameter(head, "follow")?.as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(Rejection::Malformed("follow is true or false.")),
        };
        let limit = match parameter(head, "limit")? {
            None => u64::MAX,
            Some(limit) => match limit.parse() {
                Ok(limit @ 1..) => limit,
                _ => return Err(Rejection::Malformed("limit is a number from 1.")),
            },
        };
        Ok(Self { after: LastEventId::of(head, id_parameters), follow, limit })
    }
}

/// Whether a request with this query asks for a response that ends by itself.
pub fn is_finite(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "limit" || (name == "follow" && value == "false"))
}
