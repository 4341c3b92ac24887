//! Ids that rillgate gives to events: `<epoch>-<number>`.
//!
//! The epoch is random for each life of a stream, so an id from another life is a gap and never a wrong match. A stream
//! that was kept beyond the process goes on with its epoch if it was put away whole. If it was cut off, ids may have been
//! told that were not kept: then it goes on with a new epoch, and what was kept stays under the old one.

use crate::sse::EventId;
use crate::stream::log::Ids;

/// Mints ids for one life of one stream.
#[derive(Debug)]
pub struct IdMinter {
    ids: Ids,
    /// 64 random bits, in hexadecimal.
    epoch: String,
    /// The epoch before this one, and how many events of it were kept.
    previous: Option<(String, u64)>,
}

impl IdMinter {
    /// A minter with an epoch of its own.
    pub fn new(ids: Ids) -> Self {
        let random = getrandom::u64().expect("the system has random numbers");
        Self { ids, epoch: format!("{random:016x}"), previous: None }
    }

    /// A minter that goes on in a life that was put away whole.
    pub fn with_epoch(ids: Ids, epoch: String) -> Self {
        Self { ids, epoch, previous: None }
    }

    /// A minter with an epoch of its own after a life that was cut off, of which `kept` events are known.
    pub fn after_unclean_shutdown(ids: Ids, epoch: String, kept: u64) -> Self {
        Self { previous: Some((epoch, kept)), ..Self::new(ids) }
    }

    /// The epoch of the ids that are minted now.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The id for the event with this number (from 1), if it is ours to name; `has_own_id`: the upstream has named it.
    pub fn mint(&self, number: u64, has_own_id: bool) -> Option<EventId> {
        let is_minted = match self.ids {
            Ids::Keep => false,
            Ids::Fill => !has_own_id,
            Ids::Replace => true,
        };
        is_minted.then(|| self.format_id(number))
    }

    /// The id with this number, whosever ids clients see.
    pub fn format_id(&self, number: u64) -> EventId {
        EventId::new(format!("{}-{number}", self.epoch)).expect("hexadecimal digits are an id")
    }

    /// Whether clients are shown an id that the upstream sent without an event.
    pub fn passes_through(&self, id: &EventId) -> bool {
        match self.ids {
            Ids::Keep => true,
            Ids::Fill => !id.is_empty(),
            Ids::Replace => false,
        }
    }

    /// Whether `id` has the form of a minted id, of this life or another.
    pub fn looks_minted(&self, id: &str) -> bool {
        if self.ids == Ids::Keep {
            return false;
        }
        id.split_once('-').is_some_and(|(epoch, number)| {
            epoch.len() == 16
                && epoch.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    }

    /// Whether `id` was minted in this life, or in what was kept of the one before.
    pub fn is_known_epoch(&self, id: &str) -> bool {
        let is_kept = |(epoch, kept): &(String, u64)| {
            let number = id.strip_prefix(epoch.as_str()).and_then(|rest| rest.strip_prefix('-'));
            number.and_then(|number| number.parse::<u64>().ok()).is_some_and(|number| number <= *kept)
        };
        self.looks_minted(id) && (id.starts_with(&self.epoch) || self.previous.as_ref().is_some_and(is_kept))
    }
}
