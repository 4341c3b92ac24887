//! The streams without readers, in the order in which they give way to new ones.
//!
//! Made-up keys can leave thousands of streams behind for their linger. So the next one to go is the first entry of an
//! index, and not the result of a walk over all streams.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::key::StreamKey;
use crate::runtime::shares::SharePermit;

/// The index of streams without readers: complete streams first, then those that have been without readers longest.
#[derive(Debug, Default)]
pub(super) struct UnreadStreams {
    order: Mutex<Order>,
    /// The streams of the registry. Changed only while the index is locked, and read without the lock.
    streams: AtomicUsize,
    /// The readers of all streams. Changed and read in the same way.
    readers: AtomicUsize,
}

#[derive(Debug, Default)]
struct Order {
    keys: BTreeMap<Rank, StreamKey>,
    next: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_live: bool,
    number: u64,
}

/// The readers of one stream, and the stream's entry in the index.
#[derive(Debug, Default)]
pub(super) struct ReaderCount {
    /// The index and the stream's key in it. Absent for a stream outside a registry.
    index: OnceLock<(Arc<UnreadStreams>, StreamKey)>,
    /// The number of readers that ever subscribed.
    begun: AtomicU64,
    /// Changed only while the index is locked.
    state: Mutex<ReaderState>,
}

#[derive(Debug, Default)]
struct ReaderState {
    count: usize,
    rank: Option<Rank>,
    /// True if the registry has removed the stream: it never enters the index again.
    is_gone: bool,
    /// The permit of the address that is the only one to have read the stream.
    sole_address: Option<SharePermit<IpAddr>>,
}

impl UnreadStreams {
    /// Returns the key of the first stream that may go.
    pub(super) fn first(&self, may_go: impl Fn(&StreamKey) -> bool) -> Option<StreamKey> {
        self.order.lock().keys.values().find(|key| may_go(key)).cloned()
    }

    /// Returns the number of streams in the registry. Takes no lock.
    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Returns the number of readers of all streams, in the registry or removed from it. Takes no lock.
    pub(super) fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed)
    }
}

impl ReaderCount {
    /// Attaches the index. Must be called at most once, before the first reader.
    pub(super) fn attach(&self, index: Arc<UnreadStreams>, key: StreamKey) {
        index.streams.fetch_add(1, Ordering::Relaxed);
        assert!(self.index.set((index, key)).is_ok(), "a stream is in one registry");
    }

    /// Counts a new reader. The stream leaves the index.
    pub(super) fn add(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.change(|index, order, _, state| {
            state.count += 1;
            index.readers.fetch_add(1, Ordering::Relaxed);
            order.remove(state);
        });
    }

    /// Counts a reader less. With the last one the stream enters the index.
    pub(super) fn remove(&self, is_live: bool) {
        self.change(|index, order, key, state| {
            state.count -= 1;
            index.readers.fetch_sub(1, Ordering::Relaxed);
            if state.count == 0 && !state.is_gone {
                order.insert(state, key, is_live);
            }
        });
    }

    /// Moves a stream that has become complete to the front, if it is in the index.
    pub(super) fn complete(&self) {
        self.change(|_, order, key, state| {
            if state.rank.is_some() {
                order.remove(state);
                order.insert(state, key, false);
            }
        });
    }

    /// Removes the stream from the index for good, because the registry has removed it.
    pub(super) fn forget(&self) {
        self.change(|index, order, _, state| {
            // It may be removed twice: by another stream that takes its place, and at the end of its task.
            if !std::mem::replace(&mut state.is_gone, true) {
                index.streams.fetch_sub(1, Ordering::Relaxed);
            }
            order.remove(state);
        });
    }

    /// Records that only this permit's address reads the stream so far.
    pub(super) fn set_sole_address(&self, permit: SharePermit<IpAddr>) {
        self.state.lock().sole_address = Some(permit);
    }

    /// Releases the permit of the only address so far if `address` is another one.
    pub(super) fn admit_address(&self, address: Option<IpAddr>) {
        let mut state = self.state.lock();
        if state.sole_address.as_ref().is_some_and(|permit| Some(*permit.owner()) != address) {
            state.sole_address = None;
        }
    }

    /// Returns the number of readers that ever subscribed.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    fn change(&self, change: impl FnOnce(&UnreadStreams, &mut Order, &StreamKey, &mut ReaderState)) {
        if let Some((index, key)) = self.index.get() {
            let mut order = index.order.lock();
            change(index, &mut order, key, &mut self.state.lock());
        }
    }
}

impl Order {
    fn insert(&mut self, state: &mut ReaderState, key: &StreamKey, is_live: bool) {
        let rank = Rank { is_live, number: self.next };
        self.next += 1;
        self.keys.insert(rank, key.clone());
        state.rank = Some(rank);
    }

    fn remove(&mut self, state: &mut ReaderState) {
        if let Some(rank) = state.rank.take() {
            self.keys.remove(&rank);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shares::Shares;
    use crate::stream::identity::StreamIdentity;

    fn streams(index: &Arc<UnreadStreams>, count: usize) -> Vec<ReaderCount> {
        let stream = |number: usize| {
            let readers = ReaderCount::default();
            let path = format!("/{number}");
            readers.attach(
                index.clone(),
                StreamKey { route: "a".into(), path, shared: Vec::new(), identity: StreamIdentity::default() },
            );
            readers
        };
        (0..count).map(stream).collect()
    }

    fn first(index: &UnreadStreams) -> Option<String> {
        index.first(|_| true).map(|key| key.path)
    }

    #[test]
    fn complete_streams_go_first_and_then_the_one_that_is_unread_longest() {
        let index = Arc::default();
        let streams = streams(&index, 3);
        streams.iter().for_each(ReaderCount::add);
        assert_eq!(first(&index), None, "all are read");

        streams.iter().for_each(|readers| readers.remove(true));
        assert_eq!(first(&index).as_deref(), Some("/0"));
        streams[2].complete();
        assert_eq!(first(&index).as_deref(), Some("/2"));
        streams[2].forget();
        streams[0].add();

        assert_eq!(first(&index).as_deref(), Some("/1"));
        assert_eq!(index.order.lock().keys.len(), 1);
    }

    #[test]
    fn a_stream_that_left_the_registry_does_not_enter_the_index() {
        let index = Arc::default();
        let streams = streams(&index, 1);
        streams[0].add();

        streams[0].forget();
        streams[0].remove(true);
        streams[0].forget();

        assert_eq!(first(&index), None);
        assert_eq!((index.streams(), index.readers()), (0, 0), "each is counted once");
    }

    #[test]
    fn a_stream_with_a_second_reader_is_not_unread() {
        let index = Arc::default();
        let streams = streams(&index, 1);
        streams[0].add();
        streams[0].add();

        streams[0].remove(true);
        assert_eq!(first(&index), None);
        assert_eq!((index.streams(), index.readers()), (1, 1));
        streams[0].remove(true);

        assert!(first(&index).is_some());
        assert_eq!(streams[0].begun(), 2);
    }

    #[test]
    fn a_stream_counts_for_its_address_until_another_one_reads_it() {
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse::<IpAddr>().expect("an address"));
        let shares = Shares::new(Arc::new(|| ()));
        let stream = &streams(&Arc::default(), 1)[0];
        stream.set_sole_address(shares.acquire(one, 1).expect("the first"));

        stream.admit_address(Some(one));
        assert_eq!(shares.held_by(&one), 1);
        stream.admit_address(Some(other));

        assert_eq!(shares.held_by(&one), 0);
    }
}
