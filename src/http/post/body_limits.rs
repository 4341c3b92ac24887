//! The memory of bodies until they are sent upstream: all of it is in the ledger, and each address has a share.
//!
//! A body alone is bounded by its route. The share keeps one address from filling the memory with many of them, whatever
//! the number of its connections.

use std::net::IpAddr;
use std::sync::Arc;

use crate::http::response::rejection::{PostRefusal, Rejection};
use crate::limits::SharedLimits;
use crate::runtime::memory::{MemoryCharge, MemoryKind, MemoryLedger, MemoryLevel};
use crate::runtime::shares::{OnRefusal, SharePermit, Shares};

/// The bounds on the bodies of all clients.
#[derive(Debug)]
pub(crate) struct PostBodyLimits {
    limits: SharedLimits,
    ledger: Arc<MemoryLedger>,
    by_address: Shares<IpAddr>,
}

/// The memory of one body. Dropping it gives the memory back.
#[derive(Debug)]
pub(super) struct BodyCharge {
    limits: SharedLimits,
    memory: MemoryCharge,
    /// `None`: the body counts for no address.
    share: Option<SharePermit<IpAddr>>,
}

impl PostBodyLimits {
    /// Counts against the limits in force. `on_refusal` is called when an address has its share.
    pub(crate) fn new(limits: SharedLimits, ledger: Arc<MemoryLedger>, on_refusal: OnRefusal) -> Self {
        Self { limits, ledger, by_address: Shares::new(on_refusal) }
    }

    /// Begins an empty body. `address` is the address that it counts for, if any.
    pub(super) fn begin(&self, address: Option<IpAddr>) -> BodyCharge {
        BodyCharge {
            limits: self.limits.clone(),
            memory: MemoryCharge::new(&self.ledger, MemoryKind::Streams, 0),
            share: address.map(|address| self.by_address.acquire_none(address)),
        }
    }
}

impl BodyCharge {
    /// Charges so many bytes instead of those before.
    ///
    /// # Errors
    /// Memory is full, or the address has its share (`limits.post_body_bytes_per_ip`).
    pub(super) fn resize(&mut self, bytes: usize) -> Result<(), Rejection> {
        let max = self.limits.load().post_body_bytes_per_ip;
        if self.share.as_mut().is_some_and(|share| !share.resize(bytes, max)) {
            return Err(Rejection::Post(PostRefusal::AddressBodies));
        }
        self.memory.resize(bytes as u64);
        match self.memory.ledger().level() {
            MemoryLevel::Full => Err(Rejection::Memory),
            MemoryLevel::Normal | MemoryLevel::High | MemoryLevel::Critical => Ok(()),
        }
    }
}
