//! The readers of a stream on one worker: their slots, and the passes that wake them.
//!
//! Slots are allocated in chunks. Waiting and moving on touch only the reader's own slot and take no lock; waking is one
//! pass over the chunks. Joining, leaving and the operator's queries take a lock.

use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::SystemTime;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::reader_info::{Client, ReaderInfo};
use crate::runtime::arithmetic;
use crate::runtime::side_waker::WakeFlag;
use crate::runtime::wake_queue::{WakeParts, WakeQueue};
use crate::stream::log::Offset;

/// The readers of a stream that are served by one worker, or by threads that are none.
#[derive(Debug, Default)]
pub(super) struct WaiterGroup {
    /// Weak, because the queue may hold the group.
    worker: Option<Weak<WakeQueue>>,
    chunks: Mutex<Chunks>,
    /// The waking of this group on its own worker, for an append on another.
    remote: Mutex<RemoteSweep>,
}

#[derive(Debug, Default)]
struct Chunks {
    chunks: Vec<Arc<Chunk>>,
    /// Slots without a reader.
    free: Vec<WaiterHandle>,
    slots: usize,
}

#[derive(Debug)]
struct Chunk {
    group: Weak<WaiterGroup>,
    slots: Box<[Slot]>,
}

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

#[derive(Debug, Default)]
struct RemoteSweep {
    sweep: WakeSweep,
    /// Something was appended since the sweep began.
    is_due: bool,
    /// The worker's queue has this group.
    is_queued: bool,
}

/// The progress of waking all readers of a group in parts.
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
    pub(super) fn begin(&mut self, chunks: usize) {
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

impl WaiterGroup {
    /// Creates the group of the thread that calls this.
    pub(super) fn of_this_thread() -> Arc<Self> {
        Arc::new(Self { worker: WakeQueue::current(), ..Self::default() })
    }

    /// Returns true if the worker that calls this serves the group. All threads that are no workers share one.
    pub(super) fn is_of_this_thread(&self) -> bool {
        WakeQueue::is_current(self.worker.as_ref())
    }

    /// Registers a reader at this position.
    pub(super) fn register(self: &Arc<Self>, next: Offset, read: u64) -> WaiterHandle {
        let handle = {
            let mut chunks = self.chunks.lock();
            if chunks.free.is_empty() {
                chunks.grow(self);
            }
            chunks.free.pop().expect("the set has just grown")
        };
        handle.set_position(next, read);
        *handle.slot().reader.lock() = Some(Box::new(ReaderDetails { since: SystemTime::now(), client: None }));
        handle
    }

    /// Wakes all readers soon, on their worker. Called on another thread.
    pub(super) fn wake_remotely(self: &Arc<Self>) {
        let mut remote = self.remote.lock();
        remote.is_due = true;
        if std::mem::replace(&mut remote.is_queued, true) {
            return;
        }
        drop(remote);
        match &self.worker {
            // A worker that has ended has no tasks to wake.
            Some(worker) => {
                if let Some(worker) = worker.upgrade() {
                    worker.push(self.clone());
                }
            }
            // These are few: taps of operators, and tests.
            None => while self.wake_some() {},
        }
    }

    /// Returns the number of chunks.
    pub(super) fn chunks(&self) -> usize {
        self.chunks.lock().chunks.len()
    }

    /// Continues a sweep: wakes the waiting readers of the next chunks, about 256 slots.
    pub(super) fn continue_sweep(&self, sweep: &mut WakeSweep) {
        let mut slots = 0;
        while slots < CHUNK_SLOTS && !sweep.is_done() {
            // Wake without the lock: a woken reader may need it at once.
            let chunk = {
                let chunks = &self.chunks.lock().chunks;
                if chunks.len() != sweep.chunks {
                    // The chunks have changed, so start over.
                    sweep.begin(chunks.len());
                    continue;
                }
                chunks[sweep.next].clone()
            };
            sweep.next = (sweep.next + 1) % sweep.chunks;
            sweep.remaining -= 1;
            slots += chunk.slots.len();
            chunk.slots.iter().filter_map(|slot| slot.waker.take()).for_each(Waker::wake);
        }
    }

    /// Removes a reader and frees its slot.
    fn unregister(&self, handle: &WaiterHandle) {
        drop((handle.slot().waker.take(), handle.slot().reader.lock().take()));
        let mut chunks = self.chunks.lock();
        chunks.free.push(handle.clone());
        // Free all memory when the last reader leaves.
        if chunks.free.len() == chunks.slots {
            *chunks = Chunks::default();
        }
    }

    /// Returns the number of readers.
    pub(super) fn readers(&self) -> usize {
        let chunks = self.chunks.lock();
        chunks.slots - chunks.free.len()
    }

    /// Calls `ask` with the number of events read by every `step`-th reader.
    pub(super) fn sample(&self, step: usize, ask: &mut impl FnMut(u64)) {
        self.chunks.lock().occupied().step_by(step).for_each(|slot| ask(slot.read.load(Ordering::Relaxed)));
    }

    /// Returns the number of events read by the reader that has read the fewest.
    pub(super) fn least_read(&self) -> Option<u64> {
        // Without the lock during the pass: an append that wakes the readers would wait for it.
        let chunks = self.chunks.lock().chunks.clone();
        let slots = chunks.iter().flat_map(|chunk| chunk.slots.iter()).filter(|slot| slot.reader.lock().is_some());
        slots.map(|slot| slot.read.load(Ordering::Relaxed)).min()
    }

    /// Returns the `most` readers that are furthest behind, the furthest first.
    pub(super) fn furthest_behind(&self, most: usize) -> Vec<ReaderInfo> {
        // The reader that is furthest ahead is on top and is removed first.
        let mut behind: BinaryHeap<(Offset, usize)> = BinaryHeap::with_capacity(most + 1);
        let chunks = self.chunks.lock();
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

impl WakeParts for WaiterGroup {
    fn wake_some(&self) -> bool {
        let mut sweep = {
            let mut remote = self.remote.lock();
            if std::mem::take(&mut remote.is_due) {
                remote.sweep.begin(self.chunks());
            }
            std::mem::take(&mut remote.sweep)
        };
        self.continue_sweep(&mut sweep);
        let mut remote = self.remote.lock();
        remote.is_queued = remote.is_due || !sweep.is_done();
        remote.sweep = sweep;
        remote.is_queued
    }
}

impl Chunks {
    /// Doubles the slots, up to one full chunk at a time.
    fn grow(&mut self, group: &Arc<WaiterGroup>) {
        let count = arithmetic::clamp(self.slots, FIRST_CHUNK, CHUNK_SLOTS);
        let slots = (0..count).map(|_| Slot::default()).collect();
        let chunk = Arc::new(Chunk { group: Arc::downgrade(group), slots });
        // Reversed, so that the first slot is used first.
        self.free.extend((0..count).rev().map(|index| WaiterHandle { chunk: chunk.clone(), index }));
        self.chunks.push(chunk);
        self.slots += count;
    }

    fn occupied(&self) -> impl Iterator<Item = &Slot> {
        self.chunks.iter().flat_map(|chunk| chunk.slots.iter()).filter(|slot| slot.reader.lock().is_some())
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
        &self.chunk.slots[self.index]
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

    #[cfg(test)]
    pub(super) fn is_same_slot(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunk, &other.chunk) && self.index == other.index
    }

    /// Removes the reader and frees its slot.
    pub(super) fn unregister(&self) {
        if let Some(group) = self.chunk.group.upgrade() {
            group.unregister(self);
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
