//! The parser and the encoder against the standard, for any bytes in any split.
//!
//! Four references: expectations by hand, a plain implementation over the whole body, and two published parsers where
//! they conform. Opens no socket.

mod corpus;
mod oracles;

use std::collections::HashSet;
use std::time::Duration;

use corpus::reference::{self, Dispatched, Interpretation};
use proptest::collection::vec;
use proptest::prelude::*;
use rillgate::sse::{Encoder, Event, EventId, Frame, Item, Parser};

const LARGE: usize = 1 << 20;

fn parse<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Item> {
    parse_all(parts).0
}

/// Returns all items and the number of comments.
fn parse_all<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Item>, u64) {
    let mut parser = Parser::new(LARGE);
    let mut items = Vec::new();
    for part in parts {
        parser.push(part, &mut items);
    }
    (items, parser.comments())
}

/// Returns the events that a client would dispatch for these items.
fn interpret((items, comments): &(Vec<Item>, u64)) -> Interpretation {
    let mut seen = Interpretation { comments: (*comments).try_into().expect("few"), ..Interpretation::default() };
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
            Item::Skipped(_) | Item::Comment(_) => unreachable!("nothing here is large, and no comment asked for"),
            Item::Retry(time) => seen.retries.push(u32::try_from(time.as_millis()).expect("clamped to 32 bits")),
        }
    }
    seen
}

/// Returns the bytes that a gateway would write for these items.
fn encode((items, comments): &(Vec<Item>, u64)) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for item in items {
        match item {
            Item::Event(event) => encoder.event(event),
            Item::Id(id) => encoder.id(id).blank_line(),
            Item::Retry(time) => encoder.retry(*time),
            Item::Skipped(_) | Item::Comment(_) => unreachable!("nothing here is large, and no comment asked for"),
        };
    }
    for _ in 0..*comments {
        encoder.comment("");
    }
    encoder.finish().body().to_vec()
}

#[test]
fn the_corpus_has_many_cases_with_unique_names() {
    let cases = corpus::cases();
    let names: HashSet<_> = cases.iter().map(|case| case.name).collect();

    assert!(cases.len() >= 200, "{}", cases.len());
    assert_eq!(names.len(), cases.len());
    assert!(corpus::expected().iter().all(|(name, _)| names.contains(name)));
}

#[test]
fn the_reference_agrees_with_the_expectations_by_hand() {
    let cases = corpus::cases();

    for (name, expected) in corpus::expected() {
        let case = cases.iter().find(|case| case.name == name).expect("checked by another test");
        assert_eq!(reference::dispatch(&case.bytes), expected, "{name}");
    }
}

#[test]
fn every_case_is_interpreted_by_the_standard() {
    for case in corpus::cases() {
        let parsed = parse_all([&*case.bytes]);

        assert_eq!(interpret(&parsed), reference::interpret(&case.bytes), "{}", case.name);
    }
}

#[test]
fn every_case_gives_the_same_items_at_every_split() {
    for case in corpus::cases() {
        let whole = parse_all([&*case.bytes]);

        assert_eq!(parse_all(case.bytes.chunks(1)), whole, "{} byte by byte", case.name);
        for middle in 0..=case.bytes.len() {
            let (head, tail) = case.bytes.split_at(middle);
            assert_eq!(parse_all([head, tail]), whole, "{} split at {middle}", case.name);
        }
    }
}

#[test]
fn every_case_is_the_same_to_a_client_after_encoding() {
    for case in corpus::cases() {
        let parsed = parse_all([&*case.bytes]);

        let written = encode(&parsed);

        assert_eq!(reference::interpret(&written), reference::interpret(&case.bytes), "{}", case.name);
    }
}

#[test]
fn the_oracles_agree_on_every_case_that_they_support() {
    let mut asked = 0;
    for case in corpus::cases() {
        for (oracle, heard) in oracles::ask(&case.bytes) {
            assert_eq!(heard, reference::dispatch(&case.bytes), "{oracle}: {}", case.name);
            asked += 1;
        }
    }
    assert!(asked >= 100, "{asked}");
}

/// Generates bytes that are dense in relevant ones: field names, line ends, byte order marks, partial characters.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"data",
        b"data:",
        b"data: ",
        b"event",
        b"event: ",
        b"id",
        b"id: ",
        b"id:",
        b"retry: ",
        b"retry",
        b":",
        b": ",
        b" ",
        b"\n",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"\r\r",
        b"\0",
        b"\xEF\xBB\xBF",
        b"\xEF",
        b"\xBB",
        b"\xBF",
        b"\xF0\x9F",
        b"\x90\x8E",
        b"\xFF",
        b"\xC0\x80",
        b"\xED\xA0",
        b"\xC5\xBE",
        b"1",
        b"42",
        b"x",
        b"message",
        b"+",
        b"0",
    ];
    let piece = prop_oneof![
        9 => proptest::sample::select(pieces).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..6),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Generates valid text without a byte order mark at its start, of fields that the oracles read as the standard does.
fn plain_stream() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        4 => "data: ?[ -~ž🐎]{0,8}",
        1 => Just("data".to_owned()),
        1 => "event: [a-z :]{1,4}",
        2 => "id: ?[a-z0-9 ]{0,4}",
        1 => Just("id".to_owned()),
        1 => ":[ -~]{0,6}",
        1 => "[a-z]{1,6}: ?[a-z]{0,4}",
        5 => Just(String::new()),
    ];
    (vec(line, 0..40), prop_oneof![Just("\n"), Just("\r\n")])
        .prop_map(|(lines, end)| lines.into_iter().flat_map(|line| [line, end.to_owned()]).collect())
}

fn event_of(text: &'static str) -> impl Strategy<Value = Event> {
    let id = "[^\0\r\n]{0,6}".prop_map(|id| EventId::new(id).expect("no NUL, CR, LF"));
    (text, "[^\r\n]{0,6}", proptest::option::of(id)).prop_map(|(data, kind, id)| Event { kind, data, id })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_interpreted_as_the_standard_says(bytes in stream()) {
        prop_assert_eq!(interpret(&parse_all([&*bytes])), reference::interpret(&bytes));
    }

    #[test]
    fn any_split_gives_the_same_items(bytes in stream(), sizes in vec(0_usize..9, 1..20)) {
        let mut parts = Vec::new();
        let mut rest = &*bytes;
        for size in sizes.into_iter().cycle().take(4 * bytes.len()) {
            let (part, after) = rest.split_at(size.min(rest.len()));
            parts.push(part);
            rest = after;
        }
        parts.push(rest);

        prop_assert_eq!(parse_all(parts), parse_all([&*bytes]));
        prop_assert_eq!(parse_all(bytes.chunks(1)), parse_all([&*bytes]));
    }

    #[test]
    fn any_split_meets_a_limit_in_the_same_way(bytes in stream(), limit in 0_usize..24, size in 1_usize..9) {
        let parse = |size: usize| {
            let mut parser = Parser::new(limit);
            let mut items = Vec::new();
            bytes.chunks(size).for_each(|part| parser.push(part, &mut items));
            (items, parser.comments(), parser.last_event_id().clone())
        };

        prop_assert_eq!(parse(size), parse(bytes.len().max(1)));
    }

    #[test]
    fn a_limit_leaves_out_what_is_larger_and_nothing_else(bytes in stream(), limit in 0_usize..24) {
        let mut limited = Vec::new();
        Parser::new(limit).push(&bytes, &mut limited);
        let size = |item: &Item| match item {
            Item::Event(event) => event.data.len() + event.kind.len() + event.id.as_ref().map_or(0, |id| id.as_str().len()),
            Item::Id(_) | Item::Retry(_) | Item::Skipped(_) | Item::Comment(_) => 0,
        };
        let events = |items: &[Item]| items.iter().filter(|item| matches!(item, Item::Event(_))).cloned().collect::<Vec<_>>();
        let all = parse([&*bytes]);

        // A field that a later one of the same name replaces may still make a block too large, but never adds an event.
        let fit: Vec<_> = events(&all).into_iter().filter(|event| size(event) <= limit).collect();
        let mut rest = fit.iter();
        prop_assert!(events(&limited).iter().all(|event| rest.any(|fits| fits == event)), "{limited:?} of {fit:?}");
        let skipped = limited.iter().filter(|item| matches!(item, Item::Skipped(_))).count();
        prop_assert!(events(&limited).len() + skipped >= events(&all).len());
    }

    #[test]
    fn what_is_encoded_reads_back_the_same(event in event_of("([^\r]|\n| ){0,12}")) {
        let frame = Frame::from(&event);

        prop_assert_eq!(parse([&*frame.body()]), [Item::Event(event)]);
    }

    #[test]
    fn carriage_returns_in_data_become_line_feeds_and_nothing_else(event in event_of("([a-z:]|\r|\n){0,12}")) {
        let data = event.data.replace("\r\n", "\n").replace('\r', "\n");

        let frame = Frame::from(&event);

        prop_assert_eq!(parse([&*frame.body()]), [Item::Event(Event { data, ..event })]);
    }

    #[test]
    fn no_text_makes_a_type_or_a_comment_more_than_it_is(text in "([ -~]|\r|\n|\0|data: x\n\n){0,12}", ms in any::<u64>()) {
        let mut encoder = Encoder::new();
        encoder.comment(&text).retry(Duration::from_millis(ms));
        encoder.event(&Event { kind: text.clone(), data: "x".to_owned(), id: None });

        let items = parse([&*encoder.finish().body()]);

        let kind = text.replace(['\r', '\n'], "");
        let events: Vec<_> = items.iter().filter(|item| !matches!(item, Item::Retry(_))).collect();
        prop_assert_eq!(events, [&Item::Event(Event { kind, data: "x".to_owned(), id: None })]);
    }

    #[test]
    fn a_chunk_is_its_body_framed(event in event_of("[^\r]{0,300}")) {
        let frame = Frame::from(&event);

        let expected = [format!("{:X}\r\n", frame.len()).as_bytes(), &frame.body(), b"\r\n"].concat();

        prop_assert!(!frame.is_empty());
        prop_assert_eq!(frame.chunk(), expected);
    }

    #[test]
    fn the_oracles_agree_on_plain_streams(text in plain_stream()) {
        let expected = reference::dispatch(text.as_bytes());

        let heard = oracles::ask(text.as_bytes());

        prop_assert_eq!(heard.len(), 2);
        for (oracle, heard) in heard {
            prop_assert_eq!(heard, expected.clone(), "{}", oracle);
        }
        prop_assert_eq!(interpret(&parse_all([text.as_bytes()])).dispatched, expected);
    }
}
