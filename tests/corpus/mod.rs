//! Event streams worth trying, by name, with what a standard-conforming client dispatches for them.
//!
//! Names are unique and say which rule is tried. Each stream stands alone, as one response body. Any test crate may
//! include this module; it needs nothing but the standard library, and does not know the gateway.

mod bytes;
mod expected;
mod fields;
mod lines;
pub mod reference;

use reference::Dispatched;

/// One upstream response body.
#[derive(Clone, Debug)]
pub struct Case {
    /// The rule that the case tries.
    pub name: &'static str,
    /// The whole body.
    pub bytes: Vec<u8>,
}

/// All cases.
pub fn cases() -> Vec<Case> {
    let written = [lines::CASES, fields::CASES, bytes::CASES].into_iter().flatten();
    let mut cases: Vec<Case> = written.map(|(name, bytes)| Case { name, bytes: bytes.to_vec() }).collect();
    cases.extend(bytes::generated().into_iter().map(|(name, bytes)| Case { name, bytes }));
    cases
}

/// Returns the events that a client dispatches, written by hand, for the cases whose rule is easy to get wrong.
#[allow(dead_code, reason = "not every test crate that includes the corpus reads the expectations by hand")]
pub fn expected() -> Vec<(&'static str, Vec<Dispatched>)> {
    let dispatched = |&(kind, data, last_event_id): &(&str, &str, &str)| Dispatched {
        kind: kind.to_owned(),
        data: data.to_owned(),
        last_event_id: last_event_id.to_owned(),
    };
    expected::EXPECTED.iter().map(|(name, events)| (*name, events.iter().map(dispatched).collect())).collect()
}
