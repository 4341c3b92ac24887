//! Two published parsers, used only for bodies on which they follow the standard.
//!
//! Neither decodes ill-formed UTF-8 with replacement characters, so neither gets such bodies. `sseer` holds back an event
//! whose last line ended in a bare CR, and does not let `event` without a colon reset the type. `sse-stream` returns single
//! blocks, so the last event id is kept here.

use std::convert::Infallible;
use std::str;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};

use crate::corpus::reference::Dispatched;

/// Returns the results of the parsers that support this body, with their names.
pub fn ask(bytes: &[u8]) -> Vec<(&'static str, Vec<Dispatched>)> {
    let mut answers = Vec::new();
    let Ok(text) = str::from_utf8(bytes) else {
        return answers;
    };
    answers.push(("sse-stream", sse_stream(bytes)));
    let bare_carriage_return = text.replace("\r\n", "\n").contains('\r');
    let colonless_event = text.lines().any(|line| line == "event");
    if !bare_carriage_return && !colonless_event {
        answers.push(("sseer", sseer(bytes)));
    }
    answers
}

fn body(bytes: &[u8]) -> stream::Iter<std::vec::IntoIter<Result<Bytes, Infallible>>> {
    stream::iter(vec![Ok(Bytes::copy_from_slice(bytes))])
}

fn sse_stream(bytes: &[u8]) -> Vec<Dispatched> {
    let blocks = sse_stream::SseStream::from_bytes_stream(body(bytes)).collect::<Vec<_>>();
    let mut in_force = String::new();
    let mut heard = Vec::new();
    for block in blocks.now_or_never().expect("nothing waits") {
        let block = block.expect("well-formed text");
        if let Some(id) = block.id {
            in_force = id;
        }
        if let Some(data) = block.data {
            heard.push(dispatched(block.event.as_deref().unwrap_or_default(), &data, &in_force));
        }
    }
    heard
}

fn sseer(bytes: &[u8]) -> Vec<Dispatched> {
    let events = sseer::EventStream::new(body(bytes)).collect::<Vec<_>>();
    let events = events.now_or_never().expect("nothing waits").into_iter();
    events.map(|event| event.expect("well-formed text")).map(|e| dispatched(&e.event, &e.data, &e.id)).collect()
}

fn dispatched(kind: &str, data: &str, last_event_id: &str) -> Dispatched {
    let kind = if kind.is_empty() { "message" } else { kind };
    Dispatched { kind: kind.to_owned(), data: data.to_owned(), last_event_id: last_event_id.to_owned() }
}
