use proptest::prelude::*;

use super::*;
use crate::sse::Event;

fn parse(parts: &[&[u8]]) -> Vec<Item> {
    let mut parser = Parser::new(1024);
    let mut items = Vec::new();
    for part in parts {
        parser.push(part, &mut items);
    }
    items
}

fn event(kind: &str, data: &str, id: Option<&str>) -> Item {
    let id = id.map(|id| EventId::new(id).expect("a valid id"));
    Item::Event(Event { kind: kind.into(), data: data.into(), id })
}

fn id(text: &str) -> EventId {
    EventId::new(text).expect("a valid id")
}

#[test]
fn a_block_becomes_an_event_at_its_blank_line() {
    let items = parse(&[b"id: 7\nevent: tick\ndata: one\ndata: two\n\n"]);

    assert_eq!(items, [event("tick", "one\ntwo", Some("7"))]);
}

#[test]
fn a_carriage_return_at_the_end_of_a_chunk_ends_its_line_at_once() {
    let mut parser = Parser::new(1024);
    let mut items = Vec::new();

    parser.push(b"data: x\r\r", &mut items);

    assert_eq!(items, [event("", "x", None)]);
}

#[test]
fn a_line_feed_after_a_carriage_return_is_ignored_across_chunks() {
    let items = parse(&[b"data: x\r", b"", b"\ndata: y\r", b"\n\r", b"\n"]);

    assert_eq!(items, [event("", "x\ny", None)]);
}

#[test]
fn one_byte_order_mark_is_stripped_for_any_split() {
    assert_eq!(parse(&[b"\xEF", b"\xBB", b"\xBFdata: x\n\n"]), [event("", "x", None)]);
    assert_eq!(parse(&[b"\xEF\xBB\xBF\xEF\xBB\xBFdata: x\n\n"]), []);
    assert_eq!(parse(&[b"\n\xEF\xBB\xBFdata: x\n\n"]), []);
}

#[test]
fn an_empty_data_field_makes_an_event_and_a_missing_one_does_not() {
    assert_eq!(parse(&[b"data\n\n"]), [event("", "", None)]);
    assert_eq!(parse(&[b"event: tick\n\n"]), []);
}

#[test]
fn a_block_with_only_an_id_is_an_item() {
    let mut parser = Parser::new(1024);
    let mut items = Vec::new();

    parser.push(b"id: 7\n", &mut items);
    assert!(parser.last_event_id().is_empty());
    parser.push(b"\n", &mut items);

    assert_eq!(items, [Item::Id(id("7"))]);
    assert_eq!(parser.last_event_id(), &id("7"));
}

#[test]
fn an_id_with_nul_is_ignored_and_an_empty_id_resets() {
    assert_eq!(parse(&[b"id: 1\nid: 2\0\ndata\n\n"]), [event("", "", Some("1"))]);
    assert_eq!(parse(&[b"id\ndata\n\n"]), [event("", "", Some(""))]);
}

#[test]
fn a_retry_of_digits_is_an_item_at_once_and_others_are_ignored() {
    assert_eq!(parse(&[b"retry: 1500\n"]), [Item::Retry(Duration::from_millis(1500))]);
    assert_eq!(parse(&[b"retry\nretry: +5\nretry: -5\nretry: 5 \nretry:  5\nretry: 5s\n"]), []);
    let most = Duration::from_millis(u64::from(u32::MAX));
    assert_eq!(parse(&[b"retry: 99999999999999999999999999\n"]), [Item::Retry(most)]);
}

#[test]
fn ill_formed_bytes_become_replacement_characters() {
    assert_eq!(
        parse(&[b"data: \xF0\x9F", b"\x92|\xFF\xFE|\xE2\x82\n\n"]),
        [event("", "\u{FFFD}|\u{FFFD}\u{FFFD}|\u{FFFD}", None)]
    );
}

fn within(limit: usize, parts: &[&[u8]]) -> Vec<Item> {
    let (mut parser, mut items) = (Parser::new(limit), Vec::new());
    parts.iter().for_each(|part| parser.push(part, &mut items));
    items
}

#[test]
fn an_event_of_exactly_the_limit_passes_and_one_byte_more_is_skipped() {
    let at_limit = within(8, &[b"id: 1\nevent: ab\ndata: cde\ndata: f\n\n"]);
    let above = within(8, &[b"id: 1\nevent: ab\ndata: cde\ndata: fg\n\ndata: on\n\n"]);

    assert_eq!(at_limit, [event("ab", "cde\nf", Some("1"))]);
    assert_eq!(above, [Item::Skipped(Some(id("1"))), event("", "on", None)]);
}

#[test]
fn replacement_characters_count_by_their_own_size() {
    assert_eq!(within(8, &[b"data: \xFF\xFF\xFF\n\n"]), [Item::Skipped(None)]);
    assert_eq!(within(8, &[b"id: \xFF\xFF\xFF\ndata\n\n"]), [Item::Skipped(None)]);
}

#[test]
fn the_id_of_a_skipped_event_is_kept_before_and_after_its_data() {
    let large: &[u8] = b"data: 123456789012345678901234567890\n";

    for block in [[b"id: 7\n", large, b"\n"], [large, b"id: 7\n", b"\n"]] {
        assert_eq!(within(8, &block), [Item::Skipped(Some(id("7")))]);
    }
    assert_eq!(within(8, &[b"id: 7\nid: 1234567890123456789012345\ndata\n\n"]), [Item::Skipped(None)]);
    assert_eq!(within(8, &[b"id: 1234567890123456789012345\nid: 7\ndata\n\n"]), [event("", "", Some("7"))]);
    assert_eq!(within(8, &[b"event: 1234567890123456789012345\nid: 7\n\n"]), [Item::Id(id("7"))]);
    assert_eq!(within(8, &[b"event: 1234567890123456789012345\ndata\n\n"]), [Item::Skipped(None)]);
}

#[test]
fn an_endless_line_is_skipped_in_little_memory_and_parsing_continues() {
    for (start, expected) in [
        (&b"data: "[..], &[Item::Skipped(None)][..]),
        (b":", &[]),
        (b"what:", &[]),
        (b"nothing ", &[]),
        (b"retry:", &[]),
        (b"\xEF\xBB\xBFdata:", &[Item::Skipped(None)]),
    ] {
        let (mut parser, mut items) = (Parser::new(64), Vec::new());
        parser.push(start, &mut items);
        for _ in 0..10_000 {
            parser.push(b"1", &mut items);
            assert!(parser.buffered.capacity() <= 80, "{start:?}");
        }
        parser.push(b"\n\ndata: after\n\n", &mut items);

        assert_eq!(items, [expected, &[event("", "after", None)]].concat(), "{start:?}");
    }
}

#[test]
fn comments_with_the_prefix_are_items_and_others_are_counted() {
    let bytes = b": note: gap\n:note: here\n: other\n: note: and this one is far too long for anything that was asked for here\n";
    let (mut parser, mut items) = (Parser::new(1024).with_comment_prefix("note: "), Vec::new());

    bytes.chunks(3).for_each(|part| parser.push(part, &mut items));

    assert_eq!(items, [Item::Comment("gap".into()), Item::Comment("here".into())]);
    assert_eq!(parser.comments(), 2);
}

#[test]
fn an_id_may_be_as_long_as_an_event() {
    let long = "x".repeat(100_000);

    let items = within(100_000, &[format!("id: {long}\ndata\n\n").as_bytes()]);

    assert_eq!(items, [event("", "", Some(&long))]);
    let Item::Event(event) = &items[0] else { unreachable!() };
    let shared = event.id.as_ref().expect("an id").bytes();
    assert_eq!(shared.as_ptr(), event.id.as_ref().expect("an id").as_str().as_ptr());
}

#[test]
fn memory_stays_within_the_bound_and_is_released() {
    let limit = 100_000;
    let mut parser = Parser::new(limit);
    let mut items = Vec::new();

    parser.push(b"data: ", &mut items);
    for _ in 0..99_999 {
        parser.push(b"x", &mut items);
        assert!(parser.buffered.capacity() <= limit + LINE_ALLOWANCE);
    }
    parser.push(b"\n\n", &mut items);

    assert_eq!(items.len(), 1);
    assert!(parser.buffered.capacity() <= RETAINED_CAPACITY);
}

proptest! {
    #[test]
    fn a_retry_of_any_digits_is_bounded(digits in "[0-9]{1,60}") {
        let parsed = parse(&[format!("retry: {digits}\n").as_bytes()]);

        let milliseconds = digits.parse().unwrap_or(u128::MAX).min(u128::from(u32::MAX));
        prop_assert_eq!(parsed, [Item::Retry(Duration::from_millis(milliseconds as u64))]);
    }
}
