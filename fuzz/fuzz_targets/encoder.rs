//! Any event is encoded as one well-formed chunk that parses to the same event. No value breaks out of its field.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rillgate_fuzz::parse;
use rillgate_fuzz::sse::{Encoder, Event, EventId, Frame, Item};

fuzz_target!(|input: (String, String, Option<String>)| {
    let (kind, data, id) = input;
    let id = id.and_then(|id| EventId::new(id).ok());
    let event = Event { kind, data, id };

    let frame = Frame::from(&event);

    let expected = Event {
        kind: event.kind.replace(['\r', '\n'], ""),
        data: event.data.replace("\r\n", "\n").replace('\r', "\n"),
        id: event.id,
    };
    let body = frame.body();
    assert_eq!(parse(body.len(), [&*body]), (vec![Item::Event(expected)], 0));
    let chunk = [format!("{:X}\r\n", frame.len()).as_bytes(), &body, b"\r\n"].concat();
    assert_eq!(frame.chunk(), chunk);

    let mut encoder = Encoder::new();
    encoder.comment(&event.data);
    let body = encoder.finish().body();
    let (items, comments) = parse(body.len(), [&*body]);
    assert!(items.is_empty() && comments > 0);
});
