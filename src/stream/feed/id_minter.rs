//! Event ids minted by the gateway: `<epoch>-<number>`.
//!
//! The epoch is random for each incarnation of a stream, so an id of another incarnation is a gap and never a false
//! match. A restored stream keeps its epoch after a clean shutdown. After an unclean one, clients may hold ids that
//! were not stored. The stream then gets a new epoch, and stored events keep their old ids.

use crate::sse::EventId;
use crate::stream::log::Ids;

/// Mints the ids of one incarnation of one stream.
#[derive(Debug)]
pub struct IdMinter {
    ids: Ids,
    /// 64 random bits in hexadecimal.
    epoch: String,
    /// The previous epoch, and the number of its events that were stored.
    previous: Option<(String, u64)>,
}

impl IdMinter {
    /// Creates a minter with a random epoch.
    pub fn new(ids: Ids) -> Self {
        let random = getrandom::u64().expect("the system provides random numbers");
        Self { ids, epoch: format!("{random:016x}"), previous: None }
    }

    /// Creates a minter that continues an epoch after a clean shutdown.
    pub fn with_epoch(ids: Ids, epoch: String) -> Self {
        Self { ids, epoch, previous: None }
    }

    /// Creates a minter with a random epoch after an unclean shutdown. `stored` events of the previous epoch were stored.
    pub fn after_unclean_shutdown(ids: Ids, epoch: String, stored: u64) -> Self {
        Self { previous: Some((epoch, stored)), ..Self::new(ids) }
    }

    /// Continues with another epoch, after `events` events of this one. No change if it is the same.
    pub(in crate::stream) fn begin_epoch(&mut self, epoch: &str, events: u64) {
        if self.epoch != epoch {
            self.previous = Some((std::mem::replace(&mut self.epoch, epoch.to_owned()), events));
        }
    }

    /// Returns the epoch of new ids.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Returns the id of the event with this number (from 1), or `None` if the event keeps its own. `has_own_id` is
    /// true if the upstream gave it an id.
    pub fn mint(&self, number: u64, has_own_id: bool) -> Option<EventId> {
        let is_minted = match self.ids {
            Ids::Keep => false,
            Ids::Fill => !has_own_id,
            Ids::Replace => true,
        };
        is_minted.then(|| self.format_id(number))
    }

    /// Returns the minted id with this number, whatever ids clients see.
    pub fn format_id(&self, number: u64) -> EventId {
        EventId::new(format!("{}-{number}", self.epoch)).expect("digits and a hyphen are an id")
    }

    /// Returns true if clients are shown an id that the upstream sends without an event.
    pub fn passes_through(&self, id: &EventId) -> bool {
        match self.ids {
            Ids::Keep => true,
            Ids::Fill => !id.is_empty(),
            Ids::Replace => false,
        }
    }

    /// Returns true if `id` has the form of a minted id of any incarnation.
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

    /// Returns true if `id` was minted in this epoch, or in the previous one for a stored event.
    pub fn is_known_epoch(&self, id: &str) -> bool {
        let is_stored = |(epoch, stored): &(String, u64)| {
            let number = id.strip_prefix(epoch.as_str()).and_then(|rest| rest.strip_prefix('-'));
            number.and_then(|number| number.parse::<u64>().ok()).is_some_and(|number| number <= *stored)
        };
        self.looks_minted(id) && (id.starts_with(&self.epoch) || self.previous.as_ref().is_some_and(is_stored))
    }
}
