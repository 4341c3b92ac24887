//! Tests of the queue.

use super::*;
use crate::sse::{Encoder, EventId};
use crate::stream::{Entry, EntryKind, Ids, LivePolicy, Policy, StreamIdentity, StreamKey};

fn stream() -> Arc<EventStream> {
    let key =
        StreamKey { route: "r".into(), path: "/".into(), shared: Vec::new(), identity: StreamIdentity::default() };
    EventStream::with_restorable_log(key, Ids::Keep, LivePolicy::new(Policy::default()))
}

/// A stream under the key with this number.
fn handle(number: usize) -> Arc<StreamHandle> {
    handle_of("r", number)
}

fn handle_of(route: &str, number: usize) -> Arc<StreamHandle> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    Arc::new(StreamHandle::new(StreamIdentity(key), route.into(), Weak::new(), Offset(0)))
}

/// The same, queued for opening.
fn opened(inbox: &Inbox, number: usize) -> Arc<StreamHandle> {
    let (handle, reply) = (handle(number), oneshot::channel().0);
    assert!(inbox.open(OpenRequest { handle: handle.clone(), reply }));
    handle
}

/// A stream with one event that is larger than all that may wait.
fn large() -> Arc<EventStream> {
    of_size(MAX_CLOSED_BYTES)
}

/// A stream with one event that is a little larger than this.
fn of_size(bytes: usize) -> Arc<EventStream> {
    let stream = stream();
    let mut encoder = Encoder::new();
    encoder.comment(&"x".repeat(bytes));
    let (id, kind) = (EventId::default(), EntryKind::Control);
    stream.publish([Entry { frame: encoder.finish(), source_id: id.clone(), id, kind, at: Instant::now() }]);
    stream
}

fn take(inbox: &Inbox) -> Work {
    let now = Instant::now();
    inbox.wait_for_work(now, now)
}

#[test]
fn streams_closed_during_a_drain_are_all_queued_with_their_logs() {
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
fn closed_streams_of_one_route_leave_room_for_another_routes() {
    let (inbox, stream) = (Inbox::default(), of_size(10 << 20));
    let close = |route: &str, number| {
        let (handle, reply) = (handle_of(route, number), oneshot::channel().0);
        assert!(inbox.open(OpenRequest { handle: handle.clone(), reply }));
        inbox.close(&handle, stream.clone());
    };

    (0..9).for_each(|number| close("public", number));
    close("private", 9);

    let requests = take(&inbox).requests;
    let held = |route: &str| {
        let of_route =
            |request: &&Request| matches!(request, Request::Close(closed, Some(_)) if *closed.route == *route);
        requests.iter().filter(of_route).count()
    };
    assert_eq!((held("public"), held("private")), (3, 1));
}

#[test]
fn streams_that_come_and_go_while_the_disk_hangs_do_not_pile_up() {
    let (inbox, stream) = (Inbox::default(), stream());
    let taken_on = opened(&inbox, 0);
    for number in 1..=MAX_REQUESTS {
        let (handle, (reply, mut past)) = (handle(number), oneshot::channel());

        let is_accepted = inbox.open(OpenRequest { handle: handle.clone(), reply });
        inbox.notify_changed(&handle);
        inbox.close(&handle, stream.clone());

        let is_told = matches!(past.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(is_told, !is_accepted, "who is not taken on does not wait");
    }
    inbox.close(&taken_on, stream);

    let work = take(&inbox);
    assert!(work.requests.len() <= MAX_REQUESTS + 2, "{}", work.requests.len());
    assert!(work.changed.len() <= MAX_REQUESTS);
    assert!(matches!(work.requests.last(), Some(Request::Close(last, Some(_))) if Arc::ptr_eq(last, &taken_on)));
}

#[test]
fn changes_of_a_closed_stream_are_not_stored() {
    let (inbox, stream) = (Inbox::default(), stream());
    let closed = opened(&inbox, 1);

    inbox.close(&closed, stream.clone());
    inbox.close(&closed, stream);
    inbox.notify_changed(&closed);

    let work = take(&inbox);
    assert!(matches!(&work.requests[..], [Request::Open(_), Request::Close(..)]), "it is closed once");
    assert!(work.changed.is_empty() && !closed.is_open());
}
