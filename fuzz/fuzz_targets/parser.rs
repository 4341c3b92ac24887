//! Any split of any bytes gives the items of the reference parser, and a limit skips the same items in each split.
//!
//! The first byte of the input is the size of the parts, the second the small limit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rillgate_fuzz::reference::{self, Dispatched, Interpretation};
use rillgate_fuzz::sse::Item;
use rillgate_fuzz::{Parsed, parse};

fuzz_target!(|input: &[u8]| {
    let [size, limit, body @ ..] = input else { return };
    let (size, limit) = (usize::from(*size) + 1, usize::from(*limit));

    // Replacement characters make the text at most three times as long.
    let parsed = parse(body.len() * 3, [body]);
    assert_eq!(interpret(&parsed), reference::interpret(body));
    assert_eq!(parse(body.len() * 3, body.chunks(size)), parsed);
    assert_eq!(parse(body.len() * 3, body.chunks(1)), parsed);

    assert_eq!(parse(limit, body.chunks(size)), parse(limit, [body]));
});

fn interpret((items, comments): &Parsed) -> Interpretation {
    let comments = usize::try_from(*comments).expect("few");
    let mut seen = Interpretation { comments, ..Interpretation::default() };
    for item in items {
        match item {
            Item::Event(event) => {
                if let Some(id) = &event.id {
                    seen.last_event_id = id.to_string();
                }
                let kind = if event.kind.is_empty() { "message" } else { &event.kind };
                seen.dispatched.push(Dispatched {
                    kind: kind.to_owned(),
                    data: event.data.clone(),
                    last_event_id: seen.last_event_id.clone(),
                });
            }
            Item::Id(id) => seen.last_event_id = id.to_string(),
            Item::Skipped(_) | Item::Comment(_) => {
                unreachable!("nothing exceeds the limit, and comments are not collected")
            }
            Item::Retry(time) => seen.retries.push(u32::try_from(time.as_millis()).expect("clamped to 32 bits")),
        }
    }
    seen
}
