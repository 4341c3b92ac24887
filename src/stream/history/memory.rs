//! The memory of one route's histories: of those that are being fetched, and of those that clients still read.
//!
//! ```text
//!  fetched (at most `concurrent`) ──▶ read by clients, each at its own pace ──▶ all have read it
//!                                          └──▶ expired: its remaining clients lag
//! ```
//!
//! When the bound is reached, finished histories expire: the oldest one of the owner that has the most bytes. So clients
//! that do not read hold up neither fetches nor clients that read. Fetches alone cannot reach the bound.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::catch_up::CatchUpLimit;
use crate::runtime::memory::{MemoryCharge, MemoryKind, MemoryLedger};

/// The bound on the memory of a route's histories. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct HistoryMemory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max_bytes: usize,
    /// The least that a history is charged, so that many small ones are bounded too.
    min_bytes: usize,
    /// Never held across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    next_number: u64,
    /// The finished histories by number, the oldest first.
    finished: BTreeMap<u64, FinishedHistory>,
}

#[derive(Debug)]
struct FinishedHistory {
    owner: Option<Arc<str>>,
    bytes: usize,
    expired: CancellationToken,
}

/// The memory of one history. Dropping it gives the memory back.
#[derive(Debug)]
pub(super) struct HistoryCharge {
    memory: HistoryMemory,
    owner: Option<Arc<str>>,
    bytes: usize,
    /// The number, once it is finished.
    number: Option<u64>,
    expired: CancellationToken,
    /// The same bytes in the ledger of all memory, if there is one.
    counted: Option<MemoryCharge>,
}

impl HistoryMemory {
    /// Bounds the memory to what the concurrent fetches may need together.
    pub(super) fn new(limit: CatchUpLimit) -> Self {
        let max_bytes = limit.bytes.saturating_mul(limit.concurrent);
        let min_bytes = limit.bytes / MAX_PER_FETCH;
        Self(Arc::new(Inner { max_bytes, min_bytes, state: Mutex::default() }))
    }

    /// Starts with the least charge, which also counts in `ledger`. `owner` is the client that asked for the history.
    pub(super) fn charge(&self, owner: Option<Arc<str>>, ledger: Option<&Arc<MemoryLedger>>) -> HistoryCharge {
        let expired = CancellationToken::new();
        let counted = ledger.map(|ledger| MemoryCharge::new(ledger, MemoryKind::Backlogs, 0));
        let mut charge = HistoryCharge { memory: self.clone(), owner, bytes: 0, number: None, expired, counted };
        charge.grow_to(0);
        charge
    }
}

impl HistoryCharge {
    /// Charges a history that is being fetched for its bytes so far.
    pub(super) fn grow_to(&mut self, bytes: usize) {
        let inner = &self.memory.0;
        let more = bytes.max(inner.min_bytes).saturating_sub(self.bytes);
        self.bytes += more;
        self.counted.iter_mut().for_each(|counted| counted.resize(self.bytes as u64));
        let mut state = inner.state.lock();
        state.bytes += more;
        while state.bytes > inner.max_bytes && state.expire_oldest_of_heaviest() {}
    }

    /// Lets the history expire from now on, if the bound requires it.
    pub(super) fn finish(&mut self) {
        let mut state = self.memory.0.state.lock();
        let number = state.next_number;
        state.next_number += 1;
        let finished = FinishedHistory { owner: self.owner.clone(), bytes: self.bytes, expired: self.expired.clone() };
        state.finished.insert(number, finished);
        self.number = Some(number);
    }

    /// Completes when the history has to go. Cancel-safe.
    pub(super) async fn expired(&self) {
        self.expired.cancelled().await;
    }
}

impl State {
    /// Returns false if there is no finished history.
    fn expire_oldest_of_heaviest(&mut self) -> bool {
        let mut bytes_by_owner = HashMap::<_, usize>::new();
        for finished in self.finished.values() {
            *bytes_by_owner.entry(finished.owner.as_ref()).or_default() += finished.bytes;
        }
        let heaviest = bytes_by_owner.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(owner, _)| owner.cloned());
        let oldest = heaviest.and_then(|owner| self.finished.iter().find(|(_, finished)| finished.owner == owner));
        let Some(number) = oldest.map(|(number, _)| *number) else { return false };
        let finished = self.finished.remove(&number).expect("found above");
        self.bytes -= finished.bytes;
        finished.expired.cancel();
        true
    }
}

impl Drop for HistoryCharge {
    fn drop(&mut self) {
        let mut state = self.memory.0.state.lock();
        let is_charged = self.number.is_none_or(|number| state.finished.remove(&number).is_some());
        if is_charged {
            state.bytes -= self.bytes;
        }
    }
}

/// Most finished histories for each concurrent fetch. A smaller history is charged as much as if there were as many.
const MAX_PER_FETCH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: CatchUpLimit = CatchUpLimit { events: 100, bytes: 6400, concurrent: 2 };

    fn finished(memory: &HistoryMemory, owner: &str, bytes: usize) -> HistoryCharge {
        let mut charge = memory.charge(Some(owner.into()), None);
        charge.grow_to(bytes);
        charge.finish();
        charge
    }

    fn expired(charges: &[HistoryCharge]) -> Vec<bool> {
        charges.iter().map(|charge| charge.expired.is_cancelled()).collect()
    }

    #[test]
    fn the_oldest_history_of_the_heaviest_owner_expires() {
        let memory = HistoryMemory::new(LIMIT);
        let charges: Vec<_> =
            ["honest", "slow", "slow"].into_iter().map(|owner| finished(&memory, owner, 4000)).collect();

        let mut fetching = memory.charge(Some("other".into()), None);
        fetching.grow_to(4800);

        assert_eq!(expired(&charges), [false, true, false]);
        assert_eq!(memory.0.state.lock().bytes, 12_800, "the bound");
    }

    #[test]
    fn a_fetch_is_never_refused() {
        let memory = HistoryMemory::new(LIMIT);
        let charges: Vec<_> = (0..3).map(|_| finished(&memory, "slow", 4000)).collect();

        let mut fetching = [memory.charge(None, None), memory.charge(None, None)];
        fetching.iter_mut().for_each(|charge| charge.grow_to(6400));

        assert_eq!(expired(&charges), [true; 3]);
        drop(charges);
        assert_eq!(memory.0.state.lock().bytes, 12_800);
        drop(fetching);
        assert_eq!(memory.0.state.lock().bytes, 0);
    }

    #[test]
    fn small_histories_are_bounded_in_number() {
        let memory = HistoryMemory::new(LIMIT);

        let charges: Vec<_> = (0..1000).map(|_| finished(&memory, "slow", 1)).collect();

        let left = expired(&charges).into_iter().filter(|is_expired| !is_expired).count();
        assert_eq!(left, MAX_PER_FETCH * LIMIT.concurrent);
    }
}
