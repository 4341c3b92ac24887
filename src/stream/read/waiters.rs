//! The readers of a stream: their wakers, their positions and their clients.
//!
//! Each reader owns a slot for as long as it reads. Slots are allocated in chunks. Waiting and moving on touch only the
//! reader's own slot and take no lock; waking is one pass over the chunks. Joining, leaving and the operator's queries
//! take a lock. This file does not know what there is to read.

use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Waker;
use std::time::SystemTime;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::runtime::arithmetic;
use crate::runtime::side_waker::WakeFlag;
use crate::stream::log::Offset;

/// The set of a stream's readers.
#[derive(Debug, Default)]
pub struct WaiterSet(Mutex<Chunks>);

#[derive(Debug, Default)]
struct Chunks {
    chunks: Vec<Arc<Chunk>>,
    /// Slots without a reader.
    free: Vec<WaiterHandle>,
    slots: usize,
}

type Chunk = Box<[Slot]>;

/// A slot for one reader, the size of a cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot {
    waker: AtomicWaker,
    next: AtomicU64,
    read: AtomicU64,
    wake_flag: AtomicU8,
    /// The reader in this slot. Locked when a reader joins or leaves, and by the operator's queries.
    reader: Mutex<Option<Box<ReaderDetails>>>,
}

#[derive(Debug)]
struct ReaderDetails {
    since: SystemTime,
    client: Option<Client>,
}

/// A reader's slot. Must be returned to the set that it came from.
#[derive(Clone, Debug)]
pub struct WaiterHandle {
    chunk: Arc<Chunk>,
    index: usize,
}

/// A reader as the operator sees it.
#[derive(Clone, Debug)]
pub struct ReaderInfo {
    /// Its position.
    pub next: Offset,
    /// The number of events before it, from the beginning of the stream.
    pub read: u64,
    /// The time at which it subscribed.
    pub since: SystemTime,
    /// Its client, if known.
    pub client: Option<Client>,
}

/// The details of a client. At most a few hundred bytes.
#[derive(Clone, Debug)]
pub struct Client {
    /// The IP address.
    pub address: IpAddr,
    /// The HTTP version.
    pub protocol: &'static str,
    /// The token's subject, if it may be shown.
    pub subject: Option<Arc<str>>,
    /// The id of its request.
    pub request_id: Arc<str>,
}

/// The progress of waking all readers in parts.
#[derive(Debug, Default)]
pub struct WakeSweep {
    /// The index of the next chunk.
    next: usize,
    /// The number of chunks left to wake.
    remaining: usize,
    /// The number of chunks when the sweep began.
    chunks: usize,
}

impl WakeSweep {
    fn begin(&mut self, chunks: usize) {
        (self.remaining, self.chunks) = (chunks, chunks);
        if self.next >= chunks {
            self.next = 0;
        }
    }

    /// Returns true if all readers have been woken since the last append.
    pub fn is_done(&self) -> bool {
        self.remaining == 0
    }

    /// Returns true if the sweep is back at the first chunk: all readers have been woken since it was there before.
    pub fn has_wrapped(&self) -> bool {
        self.next == 0
    }
}

/// The slots of the first chunk. Most streams have few readers.
const FIRST_CHUNK: usize = 4;

/// The maximum number of slots of a chunk.
const CHUNK_SLOTS: usize = 256;

impl WaiterSet {
    /// Registers a reader at this position.
    pub fn register(&self, next: Offset, read: u64) -> WaiterHandle {
        let handle = {
            let mut chunks = self.0.lock();
            if chunks.free.is_empty() {
                chunks.grow();
            }
            chunks.free.pop().expect("the set has just grown")
        };
        handle.set_position(next, read);
        *handle.slot().reader.lock() = Some(Box::new(ReaderDetails { since: SystemTime::now(), client: None }));
        handle
    }

    /// Wakes all waiting readers.
    pub fn wake_all(&self) {
        let mut sweep = WakeSweep::default();
        self.begin_sweep(&mut sweep);
        self.finish_sweep(&mut sweep);
    }

    /// Starts to wake all readers, from the sweep's current position.
    pub fn begin_sweep(&self, sweep: &mut WakeSweep) {
        sweep.begin(self.0.lock().chunks.len());
    }

    /// Wakes all readers that the sweep has not reached yet.
    pub fn finish_sweep(&self, sweep: &mut WakeSweep) {
        while !sweep.is_done() {
            self.wake_some(sweep);
        }
    }

    /// Continues a sweep: wakes the waiting readers of the next chunks, about 256 slots.
    pub fn wake_some(&self, sweep: &mut WakeSweep) {
        let mut slots = 0;
        while slots < CHUNK_SLOTS && !sweep.is_done() {
            // Wake without the lock: a woken reader may need it at once.
            let chunk = {
                let chunks = &self.0.lock().chunks;
                if chunks.len() != sweep.chunks {
                    // The chunks have changed, so start over.
                    sweep.begin(chunks.len());
                    continue;
                }
                chunks[sweep.next].clone()
            };
            sweep.next = (sweep.next + 1) % sweep.chunks;
            sweep.remaining -= 1;
            slots += chunk.len();
            chunk.iter().filter_map(|slot| slot.waker.take()).for_each(Waker::wake);
        }
    }

    /// Removes a reader and frees its slot.
    pub fn unregister(&self, handle: &WaiterHandle) {
        drop((handle.slot().waker.take(), handle.slot().reader.lock().take()));
        let mut chunks = self.0.lock();
        chunks.free.push(handle.clone());
        // Free all memory when the last reader leaves.
        if chunks.free.len() == chunks.slots {
            *chunks = Chunks::default();
        }
    }

    /// Calls `ask` with the number of events read by each reader. Samples at most `most` readers, evenly spaced, in any
    /// order.
    pub fn sample(&self, most: usize, mut ask: impl FnMut(u64)) {
        let chunks = self.0.lock();
        let present = chunks.slots - chunks.free.len();
        let step = present.div_ceil(most.max(1)).max(1);
        chunks.occupied().step_by(step).for_each(|slot| ask(slot.read.load(Ordering::Relaxed)));
    }

    /// Returns the `most` readers that are furthest behind, the furthest first.
    pub fn furthest_behind(&self, most: usize) -> Vec<ReaderInfo> {
        // The reader that is furthest ahead is on top and is removed first.
        let mut behind: BinaryHeap<(Offset, usize)> = BinaryHeap::with_capacity(most + 1);
        let chunks = self.0.lock();
        // Collected once: a reader that joins or leaves meanwhile may be missed, but is never taken for another.
        let occupied: Vec<_> = chunks.occupied().collect();
        for (number, slot) in occupied.iter().enumerate() {
            behind.push((slot.next(), number));
            if behind.len() > most {
                behind.pop();
            }
        }
        behind.into_sorted_vec().into_iter().filter_map(|(_, number)| occupied[number].reader()).collect()
    }
}

impl Chunks {
    /// Doubles the slots, up to one full chunk at a time.
    fn grow(&mut self) {
        let count = arithmetic::clamp(self.slots, FIRST_CHUNK, CHUNK_SLOTS);
        let chunk: Arc<Chunk> = Arc::new((0..count).map(|_| Slot::default()).collect());
        // Reversed, so that the first slot is used first.
        self.free.extend((0..count).rev().map(|index| WaiterHandle { chunk: chunk.clone(), index }));
        self.chunks.push(chunk);
        self.slots += count;
    }

    fn occupied(&self) -> impl Iterator<Item = &Slot> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).filter(|slot| slot.reader.lock().is_some())
    }
}

impl Slot {
    fn next(&self) -> Offset {
        Offset(self.next.load(Ordering::Relaxed))
    }

    fn reader(&self) -> Option<ReaderInfo> {
        let reader = self.reader.lock();
        let ReaderDetails { since, client } = reader.as_deref()?;
        let read = self.read.load(Ordering::Relaxed);
        Some(ReaderInfo { next: self.next(), read, since: *since, client: client.clone() })
    }
}

impl WaiterHandle {
    fn slot(&self) -> &Slot {
        &self.chunk[self.index]
    }

    /// Registers `waker` for the next wake-up. Check for new entries again afterwards: a wake-up may have happened just
    /// before.
    pub fn register_waker(&self, waker: &Waker) {
        self.slot().waker.register(waker);
    }

    /// Sets the reader's position.
    pub fn set_position(&self, next: Offset, read: u64) {
        self.slot().next.store(next.0, Ordering::Relaxed);
        self.slot().read.store(read, Ordering::Relaxed);
    }

    /// Sets the reader's client.
    pub fn set_client(&self, client: Client) {
        if let Some(details) = &mut *self.slot().reader.lock() {
            details.client = Some(client);
        }
    }
}

/// The wake flag lies in the slot, which the reader touches anyway. A flag set for a reader that has left reaches the
/// next reader of the slot, which then checks once for nothing.
impl WakeFlag for WaiterHandle {
    fn bits(&self) -> &AtomicU8 {
        &self.slot().wake_flag
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct WakeCounter(AtomicUsize);

    impl Wake for WakeCounter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waiting_reader_is_woken_once() {
        let (waiters, wakes) = (WaiterSet::default(), Arc::new(WakeCounter::default()));
        let slots: Vec<_> = (0..1000).map(|_| waiters.register(Offset(0), 0)).collect();
        slots.iter().for_each(|handle| handle.register_waker(&wakes.clone().into()));

        waiters.wake_all();
        waiters.wake_all();

        assert_eq!(wakes.0.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn a_sweep_wakes_all_readers_even_if_more_join_meanwhile() {
        let (waiters, wakes) = (WaiterSet::default(), Arc::new(WakeCounter::default()));
        let wait = |count| {
            let slots: Vec<_> = (0..count).map(|_| waiters.register(Offset(0), 0)).collect();
            slots.iter().for_each(|handle| handle.register_waker(&wakes.clone().into()));
            slots
        };
        let mut sweep = WakeSweep::default();
        waiters.begin_sweep(&mut sweep);
        assert!(sweep.is_done(), "nobody is there");
        let early = wait(3000);
        waiters.begin_sweep(&mut sweep);
        (0..5).for_each(|_| waiters.wake_some(&mut sweep));
        assert!(wakes.0.load(Ordering::Relaxed) < 3000 && !sweep.is_done());

        // An append in the middle of a sweep, and many more readers.
        waiters.begin_sweep(&mut sweep);
        let late = wait(2000);
        while !sweep.is_done() {
            waiters.wake_some(&mut sweep);
        }

        assert_eq!(wakes.0.load(Ordering::Relaxed), early.len() + late.len());
    }

    #[test]
    fn a_reader_that_has_left_is_not_woken_and_leaves_no_memory_behind() {
        let (waiters, wakes) = (WaiterSet::default(), Arc::new(WakeCounter::default()));
        let (first, second) = (waiters.register(Offset(0), 0), waiters.register(Offset(0), 0));
        first.register_waker(&wakes.clone().into());

        waiters.unregister(&first);
        waiters.wake_all();

        assert_eq!((wakes.0.load(Ordering::Relaxed), Arc::strong_count(&wakes)), (0, 1));
        let again = waiters.register(Offset(0), 0);
        assert_eq!(again.index, first.index);
        waiters.unregister(&again);
        waiters.unregister(&second);
        let chunks = waiters.0.lock();
        assert_eq!((chunks.chunks.capacity(), chunks.free.capacity()), (0, 0));
    }

    #[test]
    fn the_readers_furthest_behind_come_first() {
        let waiters = WaiterSet::default();
        let all: Vec<_> = (0..100).map(|number| waiters.register(Offset((number * 37) % 100), 0)).collect();
        waiters.unregister(&all[0]);

        let found: Vec<_> = waiters.furthest_behind(3).iter().map(|reader| reader.next.0).collect();
        all[99].set_position(Offset(0), 0);

        assert_eq!(found, [1, 2, 3]);
        assert_eq!(waiters.furthest_behind(1)[0].next, Offset(0));
        assert_eq!(waiters.furthest_behind(1000).len(), 99);
        for (most, expected) in [(1000, 99), (99, 99), (98, 50), (10, 10), (1, 1)] {
            let mut asked = 0;
            waiters.sample(most, |_| asked += 1);
            assert_eq!(asked, expected, "of at most {most}");
        }
    }
}
