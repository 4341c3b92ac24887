//! Tests of what waits for the writer.

use super::*;
use crate::sse::{Encoder, EventId};
use crate::stream::{Entry, EntryKind, Policy, StreamKey};

fn stream() -> Arc<EventStream> {
    let key = StreamKey { route: "r".into(), path: "/".into(), shared: Vec::new(), origin: 0 };
    EventStream::with_restorable_log(key, Policy::default())
}

/// A stream under the key of this number.
fn handle(number: usize) -> Arc<StreamHandle> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    Arc::new(StreamHandle::new(StoreKey(key), Weak::new(), Offset(0)))
}

/// The same, beginning to be stored.
fn opened(inbox: &Inbox, number: usize) -> Arc<StreamHandle> {
    let (handle, reply) = (handle(number), oneshot::channel().0);
    assert!(inbox.open(OpenRequest { handle: handle.clone(), reply }));
    handle
}

/// A stream with an event as large as all that may wait, and a little.
fn large() -> Arc<EventStream> {
    let stream = stream();
    let mut encoder = Encoder::new();
    encoder.comment(&"x".repeat(MAX_CLOSED_BYTES));
    let (id, kind) = (EventId::default(), EntryKind::Control);
    stream.publish([Entry { frame: encoder.finish(), source_id: id.clone(), id, kind, at: Instant::now() }]);
    stream
}

fn take(inbox: &Inbox) -> Work {
    let now = Instant::now();
    inbox.wait_for_work(now, now)
}

#[test]
fn what_is_closed_when_the_gateway_leaves_is_put_away_however_much_it_is() {
    let (inbox, large) = (Inbox::default(), large());
    let streams = [opened(&inbox, 1), opened(&inbox, 2), opened(&inbox, 3)];
    take(&inbox);
    inbox.close(&streams[0], large.clone());
    assert!(matches!(take(&inbox).requests[..], [Request::Close(_, None)]), "more than may wait");

    inbox.drain();
    inbox.close(&streams[1], large.clone());
    inbox.close(&streams[2], large);

    assert!(matches!(take(&inbox).requests[..], [Request::Close(_, Some(_)), Request::Close(_, Some(_))]));
}

#[test]
fn streams_that_come_and_go_before_a_disk_that_stands_still_do_not_pile_up() {
    let (inbox, stream) = (Inbox::default(), stream());
    let taken_on = opened(&inbox, 0);
    for number in 1..=MAX_REQUESTS {
        let (handle, (reply, mut past)) = (handle(number), oneshot::channel());

        let is_accepted = inbox.open(OpenRequest { handle: handle.clone(), reply });
        inbox.changed(&handle);
        inbox.close(&handle, stream.clone());

        let is_told = matches!(past.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(is_told, !is_accepted, "who is not taken on does not wait");
    }
    assert!(!inbox.claim(&handle(MAX_REQUESTS)), "nor do those that were not taken on");
    inbox.close(&taken_on, stream);

    let work = take(&inbox);
    assert!(work.requests.len() <= MAX_REQUESTS + 2, "{}", work.requests.len());
    assert!(work.changed.len() <= MAX_REQUESTS);
    assert!(matches!(work.requests.last(), Some(Request::Close(last, Some(_))) if Arc::ptr_eq(last, &taken_on)));
}

#[test]
fn of_two_streams_under_one_key_the_one_opened_or_claimed_last_is_stored() {
    let (inbox, stream) = (Inbox::default(), stream());
    let (first, second) = (opened(&inbox, 1), opened(&inbox, 1));
    assert_eq!((first.is_owner(), second.is_owner()), (false, true));
    take(&inbox);
    inbox.changed(&first);
    assert!(take(&inbox).changed.is_empty(), "it is not stored");

    assert!(inbox.claim(&first) && inbox.claim(&first));
    inbox.close(&second, stream.clone());

    assert_eq!((first.is_owner(), second.is_owner()), (true, false));
    assert!(matches!(&take(&inbox).requests[..], [Request::Adopt(adopted)] if Arc::ptr_eq(adopted, &first)));
    inbox.close(&first, stream);
    assert!(matches!(take(&inbox).requests[..], [Request::Close(..)]));
}
