use super::*;
use crate::sse::{Item, Parser};

fn id(text: &str) -> EventId {
    EventId::new(text).expect("a valid id")
}

fn event(kind: &str, data: &str, own: Option<&str>) -> Event {
    Event { kind: kind.into(), data: data.into(), id: own.map(id) }
}

fn parsed(frame: &Frame) -> Vec<Item> {
    let mut items = Vec::new();
    Parser::new(1 << 20).push(&frame.body(), &mut items);
    items
}

#[test]
fn an_event_is_written_with_id_type_data_and_blank_line() {
    let frame = Frame::from(&event("tick", "one\ntwo", Some("7")));

    assert_eq!(frame.body(), "id: 7\nevent: tick\ndata: one\ndata: two\n\n");
}

#[test]
fn a_chunk_is_size_line_body_and_line_end_in_one_allocation() {
    let frame = Frame::from(&event("", "x", None));

    assert_eq!(frame.body(), "data: x\n\n");
    assert_eq!(frame.chunk(), "9\r\ndata: x\n\n\r\n");
    assert_eq!(frame.len(), 9);
    assert_eq!(frame.chunk()[3..].as_ptr(), frame.body().as_ptr());
}

#[test]
fn the_chunk_size_is_right_around_each_change_of_digits() {
    for size in [15, 16, 17, 255, 256, 4095, 4096, 65_535, 65_536] {
        let mut encoder = Encoder::new();
        encoder.comment(&"x".repeat(size - 3));

        let frame = encoder.finish();

        assert_eq!(frame.len(), size);
        assert!(frame.chunk().starts_with(format!("{size:X}\r\n: x").as_bytes()));
        assert!(frame.chunk().ends_with(b"x\n\r\n"));
    }
}

#[test]
fn an_empty_frame_has_no_bytes_instead_of_the_last_chunk() {
    let encoder = Encoder::new();
    assert!(encoder.is_empty());

    let frame = encoder.finish();

    assert!(frame.is_empty());
    assert_eq!((frame.len(), frame.chunk().len(), frame.body().len()), (0, 0, 0));
}

#[test]
fn line_ends_in_data_become_data_lines() {
    let frame = Frame::from(&event("", "a\rb\nc\r\nd\n", None));

    assert_eq!(frame.body(), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
}

#[test]
fn line_ends_do_not_break_out_of_a_type_or_a_comment() {
    let frame = Frame::from(&event("a\r\ndata: b\n\n", "x", None));
    assert_eq!(frame.body(), "event: adata: b\ndata: x\n\n");

    let mut encoder = Encoder::new();
    encoder.comment("a\n\ndata: b\r\rid: 9");
    assert_eq!(encoder.finish().body(), ": a\n:\n: data: b\n:\n: id: 9\n");
}

#[test]
fn a_prelude_is_comment_retry_id_and_blank_line() {
    let mut encoder = Encoder::new();
    encoder.comment("").retry(Duration::from_millis(2000)).id(&id("7")).blank_line();

    let frame = encoder.finish();

    assert_eq!(frame.body(), ":\nretry: 2000\nid: 7\n\n");
    assert_eq!(parsed(&frame), [Item::Retry(Duration::from_secs(2)), Item::Id(id("7"))]);
}

#[test]
fn an_encoded_event_parses_to_the_same_event() {
    for event in [
        event("", "", None),
        event("", "", Some("")),
        event(" k", "  x", Some(" 7")),
        event("message", "\n", None),
        event(":", ":\n\n:", Some(":")),
        event("", "\u{FEFF}data: x", None),
    ] {
        assert_eq!(parsed(&Frame::from(&event)), [Item::Event(event)]);
    }
}

#[test]
fn an_excessive_retry_is_clamped() {
    let mut encoder = Encoder::new();
    encoder.retry(Duration::MAX);

    let frame = encoder.finish();

    assert_eq!(parsed(&frame), [Item::Retry(Duration::from_millis(u64::from(u32::MAX)))]);
}

#[test]
fn a_frame_is_the_same_in_a_shared_buffer_and_made_of_its_chunk() {
    let mut buffer = BytesMut::with_capacity(64);

    for len in [0, 1, 15, 16, 40, 255, 256, 5000, 3] {
        let body = vec![b'\n'; len];
        let frame = Frame::with_body(&body).moved_to(&mut buffer);
        for frame in [Frame::from_chunk(frame.chunk()), frame] {
            assert_eq!(frame.as_chunk(), Frame::with_body(&body).as_chunk());
            assert_eq!((frame.body(), frame.len()), (Bytes::from(body.clone()), len));
        }
    }
}
