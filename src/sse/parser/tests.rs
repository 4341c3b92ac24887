use super::*;

fn parse(parts: &[&[u8]]) -> Vec<Item> {
    let mut parser = Parser::new(1024);
    let mut items = Vec::new();
    for part in parts {
        parser.push(part, &mut items).expect("nothing here is large");
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

    parser.push(b"data: x\r\r", &mut items).expect("small");

    assert_eq!(items, [event("", "x", None)]);
}

#[test]
fn a_line_feed_after_a_carriage_return_is_swallowed_across_chunks_even_empty_ones() {
    let items = parse(&[b"data: x\r", b"", b"\ndata: y\r", b"\n\r", b"\n"]);

    assert_eq!(items, [event("", "x\ny", None)]);
}

#[test]
fn one_byte_order_mark_is_stripped_however_it_is_split() {
    assert_eq!(parse(&[b"\xEF", b"\xBB", b"\xBFdata: x\n\n"]), [event("", "x", None)]);
    assert_eq!(parse(&[b"\xEF\xBB\xBF\xEF\xBB\xBFdata: x\n\n"]), []);
    assert_eq!(parse(&[b"\n\xEF\xBB\xBFdata: x\n\n"]), []);
}

#[test]
fn an_empty_data_field_makes_an_event_and_none_makes_no_event() {
    assert_eq!(parse(&[b"data\n\n"]), [event("", "", None)]);
    assert_eq!(parse(&[b"event: tick\n\n"]), []);
}

#[test]
fn a_block_without_data_that_sets_an_id_is_told() {
    let mut parser = Parser::new(1024);
    let mut items = Vec::new();

    parser.push(b"id: 7\n", &mut items).expect("small");
    assert!(parser.last_event_id().is_empty());
    parser.push(b"\n", &mut items).expect("small");

    assert_eq!(items, [Item::Id(id("7"))]);
    assert_eq!(parser.last_event_id(), &id("7"));
}

#[test]
fn an_id_with_nul_is_ignored_and_an_empty_id_resets() {
    assert_eq!(parse(&[b"id: 1\nid: 2\0\ndata\n\n"]), [event("", "", Some("1"))]);
    assert_eq!(parse(&[b"id\ndata\n\n"]), [event("", "", Some(""))]);
}

#[test]
fn a_retry_of_digits_counts_at_once_and_anything_else_does_not() {
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

#[test]
fn an_event_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let mut items = Vec::new();

    let at_limit = Parser::new(8).push(b"id: 1\nevent: ab\ndata: cde\ndata: f\n\n", &mut items);
    let above = Parser::new(8).push(b"id: 1\nevent: ab\ndata: cde\ndata: fg\n\n", &mut items);

    assert_eq!(at_limit, Ok(()));
    assert_eq!(above, Err(TooLarge { what: Oversized::Event, limit: 8 }));
    assert_eq!(items, [event("ab", "cde\nf", Some("1"))]);
}

#[test]
fn replacement_characters_count_by_their_own_size() {
    let outcome = Parser::new(8).push(b"data: \xFF\xFF\xFF\n\n", &mut Vec::new());

    assert_eq!(outcome, Err(TooLarge { what: Oversized::Event, limit: 8 }));
}

#[test]
fn a_line_without_end_is_refused_when_it_passes_the_limit_and_so_is_all_that_follows() {
    let mut parser = Parser::new(64);
    let mut items = Vec::new();
    let expected = Err(TooLarge { what: Oversized::Line, limit: 80 });

    parser.push(b"data: before\n\n:", &mut items).expect("small");
    let fed = (0..).find(|_| parser.push(b"x", &mut items) == expected).expect("a bound");

    assert_eq!(fed, 79);
    assert_eq!(parser.push(b"\n\ndata: after\n\n", &mut items), expected);
    assert_eq!(items, [event("", "before", None)]);
}

#[test]
fn an_id_above_its_own_limit_is_refused_unless_it_is_ignored_anyway() {
    let long = "x".repeat(EventId::MAX_BYTES + 1);

    let refused = Parser::new(10_000).push(format!("id: {long}\n").as_bytes(), &mut Vec::new());
    let ignored = Parser::new(10_000).push(format!("id: {long}\0\n").as_bytes(), &mut Vec::new());

    assert_eq!(refused, Err(TooLarge { what: Oversized::Id, limit: EventId::MAX_BYTES }));
    assert_eq!(ignored, Ok(()));
}

#[test]
fn memory_stays_within_the_bound_and_is_given_back() {
    let limit = 100_000;
    let mut parser = Parser::new(limit);
    let mut items = Vec::new();

    parser.push(b"data: ", &mut items).expect("small");
    for _ in 0..99_999 {
        parser.push(b"x", &mut items).expect("within the limit");
        assert!(parser.held.capacity() <= limit + LINE_ALLOWANCE);
    }
    parser.push(b"\n\n", &mut items).expect("within the limit");

    assert_eq!(items.len(), 1);
    assert!(parser.held.capacity() <= KEPT_CAPACITY);
}
