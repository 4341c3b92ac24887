//! Who reads a stream: what wakes each reader, how far each is, and who it is.
//!
//! A reader has a handle of its own for as long as it reads. Seats lie in chunks, each in its own piece of memory: waiting
//! and reading on touch nothing that is another reader's and take no lock, and ringing is one pass over the chunks. Coming
//! and leaving take a lock, and so does an operator who looks on. Does not say what there is to read.

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

/// See the module.
#[derive(Debug, Default)]
pub struct WaiterSet(Mutex<Chunks>);

#[derive(Debug, Default)]
struct Chunks {
    chunks: Vec<Arc<Chunk>>,
    /// Seats that are nobody's.
    free: Vec<WaiterHandle>,
    slots: usize,
}

type Chunk = Box<[Slot]>;

/// A slot in a chunk, as large as what a processor fetches at once.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot {
    waker: AtomicWaker,
    next: AtomicU64,
    read: AtomicU64,
    wake_flag: AtomicU8,
    /// Who sits there. Touched when one comes or leaves, and when an operator asks.
    reader: Mutex<Option<Box<ReaderDetails>>>,
}

#[derive(Debug)]
struct ReaderDetails {
    since: SystemTime,
    client: Option<Client>,
}

/// A reader's handle; to be given back to the waiters that it came from.
#[derive(Clone, Debug)]
pub struct WaiterHandle {
    chunk: Arc<Chunk>,
    index: usize,
}

/// One reader, seen from outside.
#[derive(Clone, Debug)]
pub struct ReaderInfo {
    /// Where it stands.
    pub next: Offset,
    /// How many events of the stream's life are behind it.
    pub read: u64,
    /// When it came.
    pub since: SystemTime,
    /// Who it is, if that has been said.
    pub client: Option<Client>,
}

/// Who a reader is, in the words of whoever let it in. Nothing here is longer than a few hundred bytes.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// How it speaks.
    pub protocol: &'static str,
    /// Whom it is for, where that may be told.
    pub subject: Option<Arc<str>>,
    /// Its request's id.
    pub request_id: Arc<str>,
}

/// How far waking everyone has come, where it is done in parts.
#[derive(Debug, Default)]
pub struct WakeSweep {
    /// The chunk that is next.
    next: usize,
    /// How many are to be woken until all have been since there was something new.
    remaining: usize,
    /// Of so many.
    chunks: usize,
}

impl WakeSweep {
    fn begin(&mut self, chunks: usize) {
        (self.remaining, self.chunks) = (chunks, chunks);
        if self.next >= chunks {
            self.next = 0;
        }
    }

    /// Whether all have been woken since there was something new.
    pub fn is_done(&self) -> bool {
        self.remaining == 0
    }

    /// Whether it is where it once began: all have been woken since it was here before.
    pub fn has_wrapped(&self) -> bool {
        self.next == 0
    }
}

/// Seats in the first chunk: most streams have few readers.
const FIRST_CHUNK: usize = 4;

/// Seats in a chunk at most.
const CHUNK_SLOTS: usize = 256;

impl WaiterSet {
    /// A handle for a reader that stands there.
    pub fn register(&self, next: Offset, read: u64) -> WaiterHandle {
        let handle = {
            let mut chunks = self.0.lock();
            if chunks.free.is_empty() {
                chunks.grow();
            }
            chunks.free.pop().expect("there are slots now")
        };
        handle.set_position(next, read);
        *handle.slot().reader.lock() = Some(Box::new(ReaderDetails { since: SystemTime::now(), client: None }));
        handle
    }

    /// Wakes everyone who waits.
    pub fn wake_all(&self) {
        let mut sweep = WakeSweep::default();
        self.begin_sweep(&mut sweep);
        self.finish_sweep(&mut sweep);
    }

    /// There is something new: everyone is to be woken, from where the sweep is now.
    pub fn begin_sweep(&self, sweep: &mut WakeSweep) {
        sweep.begin(self.0.lock().chunks.len());
    }

    /// Wakes at once those whom the sweep has not come to yet.
    pub fn finish_sweep(&self, sweep: &mut WakeSweep) {
        while !sweep.is_done() {
            self.wake_some(sweep);
        }
    }

    /// Goes on with a sweep: wakes those of the next chunks who wait, of some 256 slots.
    pub fn wake_some(&self, sweep: &mut WakeSweep) {
        let mut slots = 0;
        while slots < CHUNK_SLOTS && !sweep.is_done() {
            // Without the lock they are woken: who is may come for it at once.
            let chunk = {
                let chunks = &self.0.lock().chunks;
                if chunks.len() != sweep.chunks {
                    // Some sit elsewhere by now: around once more.
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

    /// Gives a handle back.
    pub fn unregister(&self, handle: &WaiterHandle) {
        drop((handle.slot().waker.take(), handle.slot().reader.lock().take()));
        let mut chunks = self.0.lock();
        chunks.free.push(handle.clone());
        // The last one out leaves no memory behind.
        if chunks.free.len() == chunks.slots {
            *chunks = Chunks::default();
        }
    }

    /// Asks all readers how many events are behind them, or of more than `most` every so-many-th. The order is arbitrary.
    pub fn sample(&self, most: usize, mut ask: impl FnMut(u64)) {
        let chunks = self.0.lock();
        let present = chunks.slots - chunks.free.len();
        let step = present.div_ceil(most.max(1)).max(1);
        chunks.taken().step_by(step).for_each(|slot| ask(slot.read.load(Ordering::Relaxed)));
    }

    /// The `most` readers that are furthest behind, those first.
    pub fn furthest_behind(&self, most: usize) -> Vec<ReaderInfo> {
        // The one that is furthest ahead on top, to make room for whoever is further behind.
        let mut behind: BinaryHeap<(Offset, usize)> = BinaryHeap::with_capacity(most + 1);
        let chunks = self.0.lock();
        // Looked for once: who comes or leaves meanwhile is seen or not, but never taken for another.
        let taken: Vec<_> = chunks.taken().collect();
        for (number, slot) in taken.iter().enumerate() {
            behind.push((slot.next(), number));
            if behind.len() > most {
                behind.pop();
            }
        }
        behind.into_sorted_vec().into_iter().filter_map(|(_, number)| taken[number].reader()).collect()
    }
}

impl Chunks {
    /// Twice the slots, or one more chunk.
    fn grow(&mut self) {
        let count = arithmetic::clamp(self.slots, FIRST_CHUNK, CHUNK_SLOTS);
        let chunk: Arc<Chunk> = Arc::new((0..count).map(|_| Slot::default()).collect());
        // The first one is taken first.
        self.free.extend((0..count).rev().map(|index| WaiterHandle { chunk: chunk.clone(), index }));
        self.chunks.push(chunk);
        self.slots += count;
    }

    fn taken(&self) -> impl Iterator<Item = &Slot> {
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

    /// Wakes `waker` at the next ring. What it waits for must be looked at again after this: the bell may just have rung.
    pub fn register_waker(&self, waker: &Waker) {
        self.slot().waker.register(waker);
    }

    /// Says where its reader stands.
    pub fn set_position(&self, next: Offset, read: u64) {
        self.slot().next.store(next.0, Ordering::Relaxed);
        self.slot().read.store(read, Ordering::Relaxed);
    }

    /// Says who its reader is.
    pub fn set_client(&self, client: Client) {
        if let Some(details) = &mut *self.slot().reader.lock() {
            details.client = Some(client);
        }
    }
}

/// What its reader's task is told lies with what the reader touches anyway. Word for who has remaining reaches who came after
/// and makes it look once for nothing.
impl WakeFlag for WaiterHandle {
    fn state(&self) -> &AtomicU8 {
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
    fn who_waits_is_woken_once() {
        let (waiters, wakes) = (WaiterSet::default(), Arc::new(WakeCounter::default()));
        let slots: Vec<_> = (0..1000).map(|_| waiters.register(Offset(0), 0)).collect();
        slots.iter().for_each(|handle| handle.register_waker(&wakes.clone().into()));

        waiters.wake_all();
        waiters.wake_all();

        assert_eq!(wakes.0.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn in_parts_everyone_is_woken_however_many_come_meanwhile() {
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

        // Something new in the middle, and many more readers.
        waiters.begin_sweep(&mut sweep);
        let late = wait(2000);
        while !sweep.is_done() {
            waiters.wake_some(&mut sweep);
        }

        assert_eq!(wakes.0.load(Ordering::Relaxed), early.len() + late.len());
    }

    #[test]
    fn who_has_left_is_not_woken_and_leaves_nothing_behind() {
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
    fn those_furthest_behind_come_first_and_the_rest_is_left_out() {
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
