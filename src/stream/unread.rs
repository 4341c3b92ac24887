//! The streams without readers, in the order in which they give way to new ones.
//!
//! Made-up keys can leave thousands of streams behind for their linger. So the next one to go is the first entry of an
//! index, and not the result of a walk over all streams.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::event_stream::EventStream;

/// The index of streams without readers: complete streams first, then those that have been without readers longest.
#[derive(Debug, Default)]
pub(super) struct UnreadStreams(Mutex<Order>);

#[derive(Debug, Default)]
struct Order {
    streams: BTreeMap<Rank, Weak<EventStream>>,
    next: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_live: bool,
    number: u64,
}

/// The readers of one stream, and its entry in the index. Changed only while the index is locked.
#[derive(Debug, Default)]
pub(super) struct ReaderCount(Mutex<Readers>);

#[derive(Debug, Default)]
struct Readers {
    count: usize,
    rank: Option<Rank>,
    /// True if the registry has removed the stream: it never enters the index again.
    is_gone: bool,
}

impl UnreadStreams {
    /// Counts a new reader. The stream leaves the index.
    pub(super) fn add_reader(&self, readers: &ReaderCount) {
        let mut order = self.0.lock();
        let mut readers = readers.0.lock();
        readers.count += 1;
        order.remove(&mut readers);
    }

    /// Counts a reader less. With the last one the stream enters the index.
    pub(super) fn remove_reader(&self, readers: &ReaderCount, stream: &Arc<EventStream>, is_live: bool) {
        let mut order = self.0.lock();
        let mut readers = readers.0.lock();
        readers.count -= 1;
        if readers.count == 0 && !readers.is_gone {
            order.insert(&mut readers, stream, is_live);
        }
    }

    /// Moves a stream that has become complete to the front, if it is in the index.
    pub(super) fn complete(&self, readers: &ReaderCount) {
        let mut order = self.0.lock();
        let mut readers = readers.0.lock();
        if let Some(stream) = readers.rank.and_then(|rank| order.streams.get(&rank)).and_then(Weak::upgrade) {
            order.remove(&mut readers);
            order.insert(&mut readers, &stream, false);
        }
    }

    /// Removes the stream from the index for good, because the registry has removed it.
    pub(super) fn forget(&self, readers: &ReaderCount) {
        let mut order = self.0.lock();
        let mut readers = readers.0.lock();
        readers.is_gone = true;
        order.remove(&mut readers);
    }

    /// Returns the first stream of the index that may go.
    pub(super) fn first(&self, may_go: impl Fn(&EventStream) -> bool) -> Option<Arc<EventStream>> {
        let order = self.0.lock();
        order.streams.values().filter_map(Weak::upgrade).find(|stream| may_go(stream))
    }
}

impl Order {
    fn insert(&mut self, readers: &mut Readers, stream: &Arc<EventStream>, is_live: bool) {
        let rank = Rank { is_live, number: self.next };
        self.next += 1;
        self.streams.insert(rank, Arc::downgrade(stream));
        readers.rank = Some(rank);
    }

    fn remove(&mut self, readers: &mut Readers) {
        if let Some(rank) = readers.rank.take() {
            self.streams.remove(&rank);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stream::{Ids, Policy, Retention, StreamKey};

    fn streams(count: usize) -> Vec<(Arc<EventStream>, ReaderCount)> {
        let policy = Policy {
            retention: Retention { events: 1, bytes: 1, age: Duration::ZERO },
            ids: Ids::Keep,
            linger: Duration::ZERO,
            on_end: crate::stream::OnEnd::Reconnect,
        };
        let key =
            |number: usize| StreamKey { route: "a".into(), path: format!("/{number}"), shared: Vec::new(), origin: 0 };
        (0..count).map(|number| (EventStream::new(key(number), policy), ReaderCount::default())).collect()
    }

    fn first(unread: &UnreadStreams) -> Option<String> {
        unread.first(|_| true).map(|stream| stream.key().path.clone())
    }

    #[test]
    fn complete_streams_go_first_and_then_the_one_that_is_unread_longest() {
        let unread = UnreadStreams::default();
        let streams = streams(3);
        for (_, readers) in &streams {
            unread.add_reader(readers);
        }
        assert_eq!(first(&unread), None, "all are read");

        for (stream, readers) in &streams {
            unread.remove_reader(readers, stream, true);
        }
        assert_eq!(first(&unread).as_deref(), Some("/0"));
        unread.complete(&streams[2].1);
        assert_eq!(first(&unread).as_deref(), Some("/2"));
        unread.forget(&streams[2].1);
        unread.add_reader(&streams[0].1);

        assert_eq!(first(&unread).as_deref(), Some("/1"));
        assert_eq!(unread.0.lock().streams.len(), 1);
    }

    #[test]
    fn a_stream_that_left_the_registry_does_not_enter_the_index() {
        let unread = UnreadStreams::default();
        let streams = streams(1);
        let (stream, readers) = &streams[0];
        unread.add_reader(readers);

        unread.forget(readers);
        unread.remove_reader(readers, stream, true);

        assert_eq!(first(&unread), None);
    }

    #[test]
    fn a_stream_with_a_second_reader_is_not_unread() {
        let unread = UnreadStreams::default();
        let streams = streams(1);
        let (stream, readers) = &streams[0];
        unread.add_reader(readers);
        unread.add_reader(readers);

        unread.remove_reader(readers, stream, true);
        assert_eq!(first(&unread), None);
        unread.remove_reader(readers, stream, true);

        assert!(first(&unread).is_some());
    }
}
