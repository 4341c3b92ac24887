//! The entries of a log in one content coding, for all readers that take it.
//!
//! Entries are compressed when the first reader takes them, in *generations*: each entry in the context of those before it,
//! and a new context every few events. A reader that took a generation from its start shares its blocks. One that came in
//! the middle takes each entry alone, in no context, until the next generation starts. Those forms are shared too, so no
//! reader needs a compressor of its own.
//!
//! A reader holds the log. It is gone with the last one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use parking_lot::Mutex;

use super::generation::{BUFFER, Generation};
use crate::coding::{Compressor, ContentCoding, ContentSum};
use crate::runtime::memory::{MemoryCharge, MemoryKind, MemoryLedger};
use crate::sse::Frame;
use crate::stream::batch::{BatchKey, CodedBatch, CodedGuard, ReaderContext, RecentBatches};
use crate::stream::log::Offset;

/// The bounds of a generation, whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodingWindow {
    /// The most entries. Default 64.
    pub events: usize,
    /// The longest time from its first entry to the last. Default 10 s.
    pub time: Duration,
}

/// The entries of a log in one content coding.
pub struct CodedLog {
    coding: ContentCoding,
    window: CodingWindow,
    /// Changed under the lock of the generations.
    recent: RecentBatches,
    generations: Mutex<Generations>,
}

struct Generations {
    /// By their first entries. They do not overlap.
    by_start: BTreeMap<Offset, Generation>,
    /// The generation whose context the compressor has, and the time of its first entry.
    open: Option<(Offset, Instant)>,
    compressor: Compressor,
    /// Where short compressed forms of entries lie.
    buffer: BytesMut,
    bytes: usize,
    charge: Option<MemoryCharge>,
}

impl fmt::Debug for CodedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodedLog").field("coding", &self.coding).finish_non_exhaustive()
    }
}

impl CodedLog {
    /// Creates an empty log, whose memory is counted as that of event logs.
    pub fn new(coding: ContentCoding, window: CodingWindow, ledger: Option<&Arc<MemoryLedger>>) -> Self {
        let bytes = Compressor::memory(coding) + BUFFER;
        let generations = Generations {
            by_start: BTreeMap::new(),
            open: None,
            compressor: Compressor::new(coding),
            buffer: BytesMut::with_capacity(BUFFER),
            bytes,
            charge: ledger.map(|ledger| MemoryCharge::new(ledger, MemoryKind::Logs, bytes as u64)),
        };
        Self { coding, window, recent: RecentBatches::default(), generations: Mutex::new(generations) }
    }

    /// Returns the coding.
    pub fn coding(&self) -> ContentCoding {
        self.coding
    }

    /// Returns the bounds of its generations.
    pub(super) fn window(&self) -> CodingWindow {
        self.window
    }

    /// Returns true if the next entry will begin a generation.
    pub(super) fn is_generation_over(&self, now: Instant) -> bool {
        let generations = self.generations.lock();
        generations.open_start(self.window, now).is_none()
    }

    /// Returns consecutive entries, of which `first` is the offset of the first, for a reader in this context. Whatever
    /// lies before `log_start` is forgotten.
    pub(super) fn encode(
        &self,
        first: Offset,
        plain: &[Frame],
        context: Option<ReaderContext>,
        log_start: impl FnOnce() -> Offset,
        now: Instant,
    ) -> CodedGuard {
        let context = context.filter(|context| context.next == first);
        let key = BatchKey { first, len: plain.len(), context };
        if let Some(recent) = self.recent.find(key) {
            return recent;
        }
        let mut generations = self.generations.lock();
        // Another reader may have made it meanwhile.
        if let Some(recent) = self.recent.find(key) {
            return recent;
        }
        let log_start = log_start();
        generations.evict_before(log_start);
        let batch = self.encode_each(&mut generations, first, plain, context, now);
        generations.update_charge();
        self.recent.push(key, batch, log_start)
    }

    fn encode_each(
        &self,
        generations: &mut Generations,
        first: Offset,
        plain: &[Frame],
        mut context: Option<ReaderContext>,
        now: Instant,
    ) -> CodedBatch {
        let mut frames = Vec::with_capacity(plain.len());
        let mut sum = ContentSum::default();
        for (index, frame) in plain.iter().enumerate() {
            let at = Offset(first.0 + index as u64);
            let start = match generations.find(at) {
                Some(start) => start,
                None => generations.compress(at, &plain[index..], self.coding, self.window, now),
            };
            let in_generation = usize::try_from(at.0 - start.0).expect("generations are short");
            let generation = generations.by_start.get_mut(&start).expect("it has just been found");
            sum.append(generation.sum(in_generation));
            let is_shared = in_generation == 0 || context.is_some_and(|context| context.generation == start);
            let before = generation.bytes();
            let coded = if in_generation == 0 && context.is_some_and(|context| context.has_content) {
                generation.first_in_another(self.coding)
            } else if is_shared {
                generation.shared(in_generation)
            } else {
                with_scratch(self.coding, |compressor| generation.alone(in_generation, frame, self.coding, compressor))
            };
            generations.bytes += generation.bytes() - before;
            context = is_shared.then(|| {
                let had_content = in_generation > 0 && context.is_some_and(|context| context.has_content);
                let next = Offset(at.0 + 1);
                ReaderContext { generation: start, next, has_content: had_content || !frame.is_empty() }
            });
            frames.push(coded);
        }
        CodedBatch { frames: frames.into(), context, sum: sum.into() }
    }
}

impl Generations {
    /// Returns the start of the generation that has this entry.
    fn find(&self, at: Offset) -> Option<Offset> {
        let (start, generation) = self.by_start.range(..=at).next_back()?;
        (at.0 - start.0 < generation.len() as u64).then_some(*start)
    }

    /// Returns the start of the open generation, if it takes another entry.
    fn open_start(&self, window: CodingWindow, now: Instant) -> Option<Offset> {
        let (start, since) = self.open?;
        let len = self.by_start.get(&start)?.len();
        (len < window.events && now.saturating_duration_since(since) < window.time).then_some(start)
    }

    /// Compresses the first of these entries, whose offset is `at`, and those after it that no generation has yet, up to
    /// the end of a generation. Returns the generation's start.
    fn compress(
        &mut self,
        at: Offset,
        plain: &[Frame],
        coding: ContentCoding,
        window: CodingWindow,
        now: Instant,
    ) -> Offset {
        let next = self.by_start.range(at..).next().map(|(start, _)| *start);
        let is_newest = next.is_none();
        let continued = self
            .open_start(window, now)
            .filter(|start| self.by_start.get(start).is_some_and(|open| start.0 + open.len() as u64 == at.0));
        let start = continued.unwrap_or(at);
        if continued.is_none() && is_newest {
            self.open = Some((at, now));
        }
        let generation = self.by_start.entry(start).or_default();
        let before = generation.bytes();
        let room = window.events.saturating_sub(generation.len()).max(1);
        let until_next = next.map_or(usize::MAX, |next| usize::try_from(next.0 - at.0).unwrap_or(usize::MAX));
        let buffer = &mut self.buffer;
        let mut append = |compressor: &mut Compressor| {
            if continued.is_none() {
                compressor.reset();
            }
            plain.iter().take(room.min(until_next)).for_each(|frame| generation.append(frame, compressor, buffer));
        };
        match is_newest {
            true => append(&mut self.compressor),
            false => with_scratch(coding, append),
        }
        self.bytes += generation.bytes() - before;
        start
    }

    /// Forgets generations that lie before this entry as a whole.
    fn evict_before(&mut self, log_start: Offset) {
        while let Some(first) = self.by_start.first_entry() {
            if first.key().0 + first.get().len() as u64 > log_start.0 {
                break;
            }
            let (start, generation) = first.remove_entry();
            self.bytes -= generation.bytes();
            if self.open.is_some_and(|(open, _)| open == start) {
                self.open = None;
            }
        }
    }

    fn update_charge(&mut self) {
        let bytes = self.bytes as u64;
        self.charge.iter_mut().for_each(|charge| charge.resize(bytes));
    }
}

/// Calls `compress` with a compressor of this thread, for entries outside the newest generation: no context of theirs is
/// continued later. It has to be reset before it is used.
fn with_scratch<T>(coding: ContentCoding, compress: impl FnOnce(&mut Compressor) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<[Option<Compressor>; ContentCoding::ALL.len()]> = const { RefCell::new([None, None]) };
    }
    SCRATCH.with_borrow_mut(|scratch| compress(scratch[coding as usize].get_or_insert_with(|| Compressor::new(coding))))
}

#[cfg(test)]
mod tests;
