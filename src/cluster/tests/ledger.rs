//! Compares what the engine has stored with what clients were told.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::cluster::engine::LogId;
use crate::cluster::fake::FakeCluster;
use crate::cluster::keys::ClusterKeys;
use crate::cluster::record::LogRecord;
use crate::runtime::moment::Moment;

/// Compares what clients were told with what the engine has stored.
pub(super) struct Ledger {
    cluster: FakeCluster,
    keys: ClusterKeys,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: usize,
    stored: HashMap<(LogId, String), u64>,
    /// True once the engine may have lost or hidden what it acknowledged.
    has_lost: bool,
    wrong: Vec<String>,
}

impl Ledger {
    pub(super) fn new(cluster: FakeCluster, keys: ClusterKeys) -> Self {
        Self { cluster, keys, state: Mutex::default() }
    }

    /// Notes something that must not happen.
    pub(super) fn wrong(&self, what: String) {
        self.state.lock().wrong.push(what);
    }

    /// Returns what has happened and must not.
    pub(super) fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().wrong)
    }

    /// Notes that the engine loses or hides what it acknowledged. Gaps are honest from now on.
    pub(super) fn loses(&self) {
        self.state.lock().has_lost = true;
    }

    pub(super) fn has_lost(&self) -> bool {
        self.state.lock().has_lost
    }

    /// Returns the number of the event that an id names, as it is stored.
    pub(super) fn number_of(&self, log: LogId, id: &str) -> Option<u64> {
        let mut state = self.state.lock();
        self.read(&mut state);
        state.stored.get(&(log, id.to_owned())).copied()
    }

    /// Reads what was stored since.
    fn read(&self, state: &mut State) {
        let records = self.cluster.history(state.known);
        state.known += records.len();
        for (log, stored) in records {
            let Ok(record) = LogRecord::decode(&self.keys, &log, &stored.payload, Moment::now()) else {
                state.wrong.push(format!("record {} cannot be read", stored.sequence));
                continue;
            };
            for entry in record.entries.entries.iter().filter(|entry| entry.is_event()) {
                let Some(number) = Lines::parse(&entry.frame.body()).number else { continue };
                let id = entry.id.as_str().to_owned();
                if let Some(known) = state.stored.insert((log, id.clone()), number)
                    && known != number
                {
                    state.wrong.push(format!("the id {id} names event {known} and event {number}"));
                }
            }
        }
    }
}

/// The fields of a frame that a client reads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub id: Option<String>,
    /// The number of the event.
    pub number: Option<u64>,
    pub is_gap: bool,
}

impl Lines {
    pub(super) fn parse(body: &[u8]) -> Self {
        let mut lines = Self::default();
        for line in String::from_utf8_lossy(body).lines() {
            match line.split_once(": ") {
                Some(("id", id)) => lines.id = Some(id.to_owned()),
                Some(("data", data)) => lines.number = data.parse().ok(),
                Some(("", comment)) => lines.is_gap |= comment.starts_with("gap"),
                Some(_) | None => {}
            }
        }
        lines
    }
}
