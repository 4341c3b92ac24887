//! The past of a stream: a stored log and the request that finds it, or a log that other gateways share.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{MappedRwLockReadGuard, RwLockReadGuard};

use super::EventStream;
use crate::stream::feed::IdMinter;
use crate::stream::incarnation::Incarnation;
use crate::stream::log::{Fingerprints, IdLookup, Seed};
use crate::stream::persistence::StoredStream;
use crate::stream::shared_log::SharedLog;
use crate::stream::stored_requests::OpeningRequest;

impl EventStream {
    /// Returns the minter of event ids.
    pub fn id_minter(&self) -> MappedRwLockReadGuard<'_, IdMinter> {
        RwLockReadGuard::map(self.incarnation.read(), |incarnation| &incarnation.minter)
    }

    /// Returns the fingerprints of this incarnation.
    pub fn fingerprints(&self) -> Fingerprints {
        self.incarnation.read().fingerprints
    }

    /// Restores the stored state. Must be called before the first publish.
    pub fn restore(&self, stored: StoredStream, now: Instant) {
        // Held to the end: the persister must not see one half of this.
        let mut log = self.log.write();
        log.restore(stored.snapshot, now);
        let events = log.events_until(log.end());
        self.memory.update(&log);
        *self.incarnation.write() =
            Incarnation::continued(self.ids, stored.epoch, stored.seed, events, stored.is_clean);
        drop(log);
        if let Some(retry) = stored.retry {
            self.advertise_retry(retry);
        }
    }

    /// Attaches the request that opened the stream, if the store is to keep it. Must be called at most once, before the
    /// storage of the log is attached.
    pub(in crate::stream) fn attach_request(&self, request: Option<OpeningRequest>) {
        if let Some(request) = request {
            assert!(self.request.set(Box::new(request)).is_ok(), "a stream is opened by one request");
        }
    }

    /// Returns the request that opened the stream, if an equal one is to find it in the store.
    pub fn request(&self) -> Option<&OpeningRequest> {
        self.request.get().map(|request| &**request)
    }

    /// Returns true if the source has ever been connected, in this process or, with a stored log, an earlier one.
    pub fn has_been_live(&self) -> bool {
        self.incarnation.read().has_been_live()
    }

    /// Begins a term of a shared log: whoever owns it mints ids in this epoch from here on. `has_past`: the upstream has
    /// been connected in an earlier term.
    pub fn begin_term(&self, seed: Seed, epoch: &str, has_past: bool) {
        let log = self.log.read();
        let events = log.events_until(log.end());
        let mut incarnation = self.incarnation.write();
        incarnation.fingerprints = Fingerprints::with_seed(seed);
        incarnation.minter.begin_epoch(epoch, events);
        if has_past {
            incarnation.is_restored = true;
            // What the source retains continues the log, so live readers get it.
            incarnation.connected.get_or_insert_with(tokio::time::Instant::now);
        }
    }

    /// Attaches the log that other gateways share. Must be called at most once.
    pub(in crate::stream) fn attach_shared(&self, shared: Arc<dyn SharedLog>) {
        assert!(self.shared.set(shared).is_ok(), "a stream has one shared log");
    }

    /// Returns the log that other gateways share, if there is one.
    pub fn shared(&self) -> Option<&Arc<dyn SharedLog>> {
        self.shared.get()
    }

    /// Returns true if `id` is not in the log but the upstream may send it again: a client may have received it before
    /// an unclean shutdown.
    pub fn may_reappear(&self, id: &str) -> bool {
        let can_return = self.incarnation.read().may_reappear(id);
        // Lock order: the log before the incarnation.
        can_return && self.log.read().lookup(id) == IdLookup::Unknown
    }
}
