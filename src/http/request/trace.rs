//! The request id (`X-Request-ID`) and the trace of a request (`traceparent`, W3C Trace Context).
//!
//! Both are accepted only from trusted proxies, like the client's address: any other client could pass its requests off
//! as somebody else's, or have all of them sampled. A malformed or duplicate value is replaced and never forwarded. The
//! gateway writes no spans, so an accepted `traceparent` is forwarded unchanged.

use http::request::Parts;
use http::{HeaderName, HeaderValue};

use crate::listen::Peer;

/// The id and the trace of one request. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    request_id: HeaderValue,
    trace_id: u128,
    parent: HeaderValue,
    state: Option<HeaderValue>,
}

/// The header field of a request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The bytes of a trace id, and of a span id (Trace Context, 3.2.2).
const TRACE_BYTES: usize = 16;
const SPAN_BYTES: usize = 8;

/// The most bytes of a request id that is accepted.
const REQUEST_ID_BYTES: usize = 128;

/// The most bytes of a `tracestate` that is forwarded (Trace Context, 3.3.1.5: it should be at least this many).
const TRACESTATE_BYTES: usize = 512;

impl Trace {
    /// Takes the trace from a request of a trusted proxy, or generates one.
    pub(crate) fn from_head(head: &Parts, peer: &Peer) -> Self {
        let is_trusted = peer.trusted_proxies.contains(peer.address.ip());
        Self::accept_or_generate(head, is_trusted, |bytes| {
            getrandom::fill(bytes).expect("the system has random numbers");
        })
    }

    fn accept_or_generate(head: &Parts, is_trusted: bool, fill_random: impl FnOnce(&mut [u8])) -> Self {
        let accepted = |name: &HeaderName| single(head, name).filter(|_| is_trusted);
        let parent = accepted(&TRACEPARENT).and_then(|value| Some((value.clone(), parse_trace_id(value.as_bytes())?)));
        let request_id = accepted(&REQUEST_ID).filter(|value| is_request_id(value.as_bytes())).cloned();
        let mut random = [0; TRACE_BYTES + SPAN_BYTES];
        // One system call at most.
        match (&parent, &request_id) {
            (Some(_), Some(_)) => {}
            (Some(_), None) => fill_random(&mut random[..TRACE_BYTES]),
            (None, _) => fill_random(&mut random),
        }
        let (trace, span) = random.split_at(TRACE_BYTES);
        let state = parent.as_ref().and_then(|_| tracestate(head));
        // A generated trace is sampled: a stream is opened once for all its clients, so it should be found in a trace.
        let (parent, trace_id) = parent.unwrap_or_else(|| {
            let id = u128::from_be_bytes(trace.try_into().expect("it was split off as 16 bytes"));
            (header_value(format!("00-{id:032x}-{}-01", hex(span))), id)
        });
        Self { request_id: request_id.unwrap_or_else(|| header_value(hex(trace))), trace_id, parent, state }
    }

    /// Returns the request's id: visible ASCII, at most 128 bytes.
    pub(crate) fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }

    /// Returns the trace's id.
    pub(crate) fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// Returns the header fields for the upstream request that opens a stream.
    pub(crate) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let state = self.state.clone().map(|state| (TRACESTATE, state));
        [(TRACEPARENT, self.parent.clone()), (REQUEST_ID, self.request_id.clone())].into_iter().chain(state).collect()
    }
}

/// Returns the value of a header field, unless it is absent or duplicate.
fn single<'h>(head: &'h Parts, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = head.headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether an id has only letters, digits and the separators of common forms of ids, which are harmless in logs and
/// shells.
fn is_request_id(bytes: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@~".contains(byte);
    (1..=REQUEST_ID_BYTES).contains(&bytes.len()) && bytes.iter().all(is_allowed)
}

/// Returns the trace id of a valid `traceparent` (Trace Context, 3.2.2): `00-TRACE-PARENT-FLAGS` in lower case. Later
/// versions may append more.
fn parse_trace_id(bytes: &[u8]) -> Option<u128> {
    const BYTES: usize = 55;
    let text = std::str::from_utf8(bytes).ok()?;
    let rest = text.get(BYTES..)?;
    let mut parts = text[..BYTES].split('-');
    let mut part = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)).then_some(part)
    };
    let (version, trace, parent, _flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let is_complete = match version {
        "ff" => false,
        "00" => rest.is_empty(),
        _ => rest.is_empty() || (rest.starts_with('-') && rest.len() <= TRACESTATE_BYTES),
    };
    let id = u128::from_str_radix(trace, 16).ok()?;
    let parent = u64::from_str_radix(parent, 16).ok()?;
    (is_complete && id != 0 && parent != 0).then_some(id)
}

/// Returns all `tracestate` fields joined (Trace Context, 3.3.1), unless they are too long or not visible ASCII.
fn tracestate(head: &Parts) -> Option<HeaderValue> {
    let fields: Option<Vec<_>> = head.headers.get_all(TRACESTATE).iter().map(|field| field.to_str().ok()).collect();
    let joined = fields?.join(",");
    (1..=TRACESTATE_BYTES).contains(&joined.len()).then(|| HeaderValue::from_str(&joined).ok())?
}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn header_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("hexadecimal digits and hyphens are visible ASCII")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn trace(fields: &[(&str, &str)], is_trusted: bool) -> Trace {
        let request = fields.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
        Trace::accept_or_generate(&request.body(()).expect("a request").into_parts().0, is_trusted, |bytes| {
            bytes.fill(7)
        })
    }

    fn sent(trace: &Trace) -> Vec<String> {
        trace.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("visible"))).collect()
    }

    #[test]
    fn the_fields_of_a_trusted_proxy_are_forwarded_unchanged() {
        let fields =
            [("x-request-id", "req-1:a/b"), ("traceparent", GOOD), ("tracestate", "a=1"), ("tracestate", "b=2")];

        let accepted = trace(&fields, true);

        let parent = format!("traceparent: {GOOD}");
        assert_eq!(sent(&accepted), [parent.as_str(), "x-request-id: req-1:a/b", "tracestate: a=1,b=2"]);
        assert_eq!(accepted.trace_id(), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        let generated = trace(&fields, false);
        let seven = "07".repeat(16);
        let parent = format!("traceparent: 00-{seven}-{}-01", "07".repeat(8));
        assert_eq!(sent(&generated), [parent, format!("x-request-id: {seven}")]);
    }

    #[test]
    fn random_bytes_are_needed_only_for_absent_fields() {
        let id = ("x-request-id", "a");
        for (fields, needed) in [(&[id, ("traceparent", GOOD)][..], 0), (&[("traceparent", GOOD)], 16), (&[id], 24)] {
            let mut filled = 0;
            let request = fields.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
            let head = request.body(()).expect("a request").into_parts().0;

            Trace::accept_or_generate(&head, true, |bytes| filled = bytes.len());

            assert_eq!(filled, needed, "{fields:?}");
        }
    }

    #[test]
    fn malformed_and_duplicate_fields_are_replaced() {
        let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        let zero_parent = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
        let upper = GOOD.to_uppercase();
        let longer = format!("{GOOD}-x");
        let version = GOOD.replacen("00", "ff", 1);
        let long = format!("01{}-{}", &GOOD[2..], "x".repeat(600));
        for parent in
            ["", "00", "garbage", &zero_trace, &zero_parent, &upper, &longer, &version, &long, &GOOD[..54], "00-é"]
        {
            let generated = trace(&[("traceparent", parent), ("tracestate", "a=1")], true);
            assert!(sent(&generated)[0].starts_with("traceparent: 00-0707"), "{parent}");
            assert_eq!(sent(&generated).len(), 2, "the state belongs to the parent: {parent}");
        }
        for id in ["", "a b", "a\"b", "é", &"x".repeat(129)] {
            let generated = trace(&[("x-request-id", id)], true);
            assert_eq!(generated.request_id(), &"07".repeat(16), "{id}");
        }
        let twice =
            trace(&[("x-request-id", "a"), ("x-request-id", "b"), ("traceparent", GOOD), ("traceparent", GOOD)], true);
        assert!(sent(&twice).iter().all(|field| field.contains("0707")));
    }

    #[test]
    fn the_known_part_of_a_later_version_is_parsed() {
        let later = format!("01{}-more", &GOOD[2..]);

        assert_eq!(
            trace(&[("traceparent", &later)], true).trace_id(),
            trace(&[("traceparent", GOOD)], true).trace_id()
        );
    }

    #[test]
    fn a_tracestate_that_is_too_long_is_dropped() {
        let long = "x".repeat(513);

        assert_eq!(sent(&trace(&[("traceparent", GOOD), ("tracestate", &long)], true)).len(), 2);
    }
}
