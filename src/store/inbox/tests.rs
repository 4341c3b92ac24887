//! Tests of what waits for the writer.

use super::*;
use crate::sse::{Encoder, EventId};
use crate::stream::{Entry, EntryKind, Policy, StreamKey};

fn stream() -> Arc<EventStream> {
    let key = StreamKey { route: "r".into(), path: "/".into(), shared: Vec::new(), origin: 0 };
    EventStream::with_room_for_a_past(key, Policy::default())
}

fn stored() -> Arc<Stored> {
    Arc::new(Stored::new(StoreKey([7; 32]), Weak::new(), Offset(0)))
}

/// A stream with an event as large as all that may wait, and a little.
fn large() -> Arc<EventStream> {
    let stream = stream();
    let mut encoder = Encoder::new();
    encoder.comment(&"x".repeat(MOST_CLOSED_BYTES));
    let (id, kind) = (EventId::default(), EntryKind::Aside);
    stream.publish([Entry { frame: encoder.finish(), source_id: id.clone(), id, kind, at: Instant::now() }]);
    stream
}

fn take(inbox: &Inbox) -> Work {
    let now = Instant::now();
    inbox.take(now, now)
}

#[test]
fn what_is_closed_when_the_gateway_leaves_is_put_away_however_much_it_is() {
    let (inbox, large) = (Inbox::default(), large());
    inbox.close(&stored(), large.clone());
    assert!(matches!(take(&inbox).requests[..], [Request::Close(_, None)]), "more than may wait");

    inbox.leave();
    inbox.close(&stored(), large.clone());
    inbox.close(&stored(), large);

    assert!(matches!(take(&inbox).requests[..], [Request::Close(_, Some(_)), Request::Close(_, Some(_))]));
}

#[test]
fn streams_that_come_and_go_before_a_disk_that_stands_still_do_not_pile_up() {
    let (inbox, stream) = (Inbox::default(), stream());
    let taken_on = stored();
    inbox.open(Opening { stored: taken_on.clone(), answer: oneshot::channel().0 });
    for _ in 0..MOST_REQUESTS {
        let (stored, (answer, mut past)) = (stored(), oneshot::channel());

        let is_taken_on = inbox.open(Opening { stored: stored.clone(), answer });
        inbox.changed(&stored);
        inbox.close(&stored, stream.clone());

        let is_told = matches!(past.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(is_told, !is_taken_on, "who is not taken on does not wait");
    }
    inbox.close(&taken_on, stream);

    let work = take(&inbox);
    assert!(work.requests.len() <= MOST_REQUESTS + 2, "{}", work.requests.len());
    assert!(work.changed.len() <= MOST_REQUESTS);
    assert!(matches!(work.requests.last(), Some(Request::Close(last, Some(_))) if Arc::ptr_eq(last, &taken_on)));
}
