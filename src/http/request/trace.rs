//! Which request this is: `x-request-id`, and the trace it belongs to (`traceparent`, W3C Trace Context).
//!
//! Both are believed from trusted proxies alone, as the client's address is: whoever else names them could make its
//! requests pass for somebody's, or have all of them traced. What is malformed, or stands there twice, is replaced and
//! never passed on. Writes no spans, so a parent that was given is passed on as it came.

use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::head::peer;

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trace {
    request_id: HeaderValue,
    trace_id: u128,
    parent: HeaderValue,
    state: Option<HeaderValue>,
}

/// The header that names a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A trace's id, and that of a span within it (Trace Context, 3.2.2).
const TRACE_BYTES: usize = 16;
const SPAN_BYTES: usize = 8;

/// Longest request id that is believed.
const REQUEST_ID_BYTES: usize = 128;

/// Longest `tracestate` that is passed on (Trace Context, 3.3.1.5: at least so much should be).
const TRACESTATE_BYTES: usize = 512;

impl Trace {
    /// What a trusted proxy says of the request, else something made for it.
    pub fn of(head: &Parts) -> Self {
        let peer = peer(head);
        let is_believed = peer.trusted_proxies.contains(peer.address.ip());
        Self::made_of(head, is_believed, |bytes| getrandom::fill(bytes).expect("the system has random numbers"))
    }

    fn made_of(head: &Parts, is_believed: bool, draw: impl FnOnce(&mut [u8])) -> Self {
        let given = |name: &HeaderName| only(head, name).filter(|_| is_believed);
        let parent = given(&TRACEPARENT).and_then(|value| Some((value.clone(), trace_id(value.as_bytes())?)));
        let request_id = given(&REQUEST_ID).filter(|value| is_request_id(value.as_bytes())).cloned();
        let mut random = [0; TRACE_BYTES + SPAN_BYTES];
        // Each costs a system call.
        match (&parent, &request_id) {
            (Some(_), Some(_)) => {}
            (Some(_), None) => draw(&mut random[..TRACE_BYTES]),
            (None, _) => draw(&mut random),
        }
        let (trace, span) = random.split_at(TRACE_BYTES);
        let state = parent.as_ref().and_then(|_| state(head));
        // Sampled: a stream is opened once for all its clients, and whoever looks for it in a trace wants to find it.
        let (parent, trace_id) = parent.unwrap_or_else(|| {
            let id = u128::from_be_bytes(trace.try_into().expect("it was split off as 16 bytes"));
            (visible(format!("00-{id:032x}-{}-01", hex(span))), id)
        });
        Self { request_id: request_id.unwrap_or_else(|| visible(hex(trace))), trace_id, parent, state }
    }

    /// The request's id: visible ASCII, at most 128 bytes.
    pub fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }

    /// The trace's id.
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// What the upstream is told of the request that opens a stream.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let state = self.state.clone().map(|state| (TRACESTATE, state));
        [(TRACEPARENT, self.parent.clone()), (REQUEST_ID, self.request_id.clone())].into_iter().chain(state).collect()
    }
}

/// The one field of this name.
fn only<'h>(head: &'h Parts, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = head.headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Letters, digits and what common forms of ids have between them: nothing that a log or a shell would mind.
fn is_request_id(bytes: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@~".contains(byte);
    (1..=REQUEST_ID_BYTES).contains(&bytes.len()) && bytes.iter().all(is_allowed)
}

/// The trace id of a `traceparent` that makes sense (Trace Context, 3.2.2): `00-TRACE-PARENT-FLAGS`, in lower case, and
/// of a later version at least that much.
fn trace_id(bytes: &[u8]) -> Option<u128> {
    const BYTES: usize = 55;
    let text = std::str::from_utf8(bytes).ok()?;
    let rest = text.get(BYTES..)?;
    let mut parts = text[..BYTES].split('-');
    let mut part = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)).then_some(part)
    };
    let (version, trace, parent, _flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let is_whole = match version {
        "ff" => false,
        "00" => rest.is_empty(),
        _ => rest.is_empty() || (rest.starts_with('-') && rest.len() <= TRACESTATE_BYTES),
    };
    let id = u128::from_str_radix(trace, 16).ok()?;
    let parent = u64::from_str_radix(parent, 16).ok()?;
    (is_whole && id != 0 && parent != 0).then_some(id)
}

/// All `tracestate` fields as one (Trace Context, 3.3.1), unless that is too much or not visible.
fn state(head: &Parts) -> Option<HeaderValue> {
    let fields: Option<Vec<_>> = head.headers.get_all(TRACESTATE).iter().map(|field| field.to_str().ok()).collect();
    let joined = fields?.join(",");
    (1..=TRACESTATE_BYTES).contains(&joined.len()).then(|| HeaderValue::from_str(&joined).ok())?
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn visible(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("hexadecimal digits and hyphens are visible ASCII")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn trace(fields: &[(&str, &str)], is_believed: bool) -> Trace {
        let request = fields.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
        Trace::made_of(&request.body(()).expect("a request").into_parts().0, is_believed, |bytes| bytes.fill(7))
    }

    fn sent(trace: &Trace) -> Vec<String> {
        trace.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("visible"))).collect()
    }

    #[test]
    fn what_a_trusted_proxy_says_is_passed_on_as_it_came() {
        let fields =
            [("x-request-id", "req-1:a/b"), ("traceparent", GOOD), ("tracestate", "a=1"), ("tracestate", "b=2")];

        let believed = trace(&fields, true);

        let parent = format!("traceparent: {GOOD}");
        assert_eq!(sent(&believed), [parent.as_str(), "x-request-id: req-1:a/b", "tracestate: a=1,b=2"]);
        assert_eq!(believed.trace_id(), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        let made = trace(&fields, false);
        let seven = "07".repeat(16);
        let parent = format!("traceparent: 00-{seven}-{}-01", "07".repeat(8));
        assert_eq!(sent(&made), [parent, format!("x-request-id: {seven}")]);
    }

    #[test]
    fn only_what_is_not_given_is_drawn() {
        let id = ("x-request-id", "a");
        for (fields, needed) in [(&[id, ("traceparent", GOOD)][..], 0), (&[("traceparent", GOOD)], 16), (&[id], 24)] {
            let mut drawn = 0;
            let request = fields.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
            let head = request.body(()).expect("a request").into_parts().0;

            Trace::made_of(&head, true, |bytes| drawn = bytes.len());

            assert_eq!(drawn, needed, "{fields:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_replaced() {
        let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        let zero_parent = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
        let upper = GOOD.to_uppercase();
        let longer = format!("{GOOD}-x");
        let version = GOOD.replacen("00", "ff", 1);
        let long = format!("01{}-{}", &GOOD[2..], "x".repeat(600));
        for parent in
            ["", "00", "garbage", &zero_trace, &zero_parent, &upper, &longer, &version, &long, &GOOD[..54], "00-é"]
        {
            let made = trace(&[("traceparent", parent), ("tracestate", "a=1")], true);
            assert!(sent(&made)[0].starts_with("traceparent: 00-0707"), "{parent}");
            assert_eq!(sent(&made).len(), 2, "the state belongs to the parent: {parent}");
        }
        for id in ["", "a b", "a\"b", "é", &"x".repeat(129)] {
            let made = trace(&[("x-request-id", id)], true);
            assert_eq!(made.request_id(), &"07".repeat(16), "{id}");
        }
        let twice =
            trace(&[("x-request-id", "a"), ("x-request-id", "b"), ("traceparent", GOOD), ("traceparent", GOOD)], true);
        assert!(sent(&twice).iter().all(|field| field.contains("0707")));
    }

    #[test]
    fn a_later_version_is_understood_as_far_as_it_goes() {
        let later = format!("01{}-more", &GOOD[2..]);

        assert_eq!(
            trace(&[("traceparent", &later)], true).trace_id(),
            trace(&[("traceparent", GOOD)], true).trace_id()
        );
    }

    #[test]
    fn a_state_that_is_too_long_is_left_out() {
        let long = "x".repeat(513);

        assert_eq!(sent(&trace(&[("traceparent", GOOD), ("tracestate", &long)], true)).len(), 2);
    }
}
