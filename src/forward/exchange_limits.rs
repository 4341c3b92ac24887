//! The bounds on exchanges in progress: of all clients together and of each address, memory and file descriptors.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::limits::SharedLimits;
use crate::runtime::file_budget::{FileBudget, FilePermit};
use crate::runtime::memory::{MemoryCharge, MemoryKind, MemoryLedger, Watermark};
use crate::runtime::shares::{OnRefusal, SharePermit, Shares};
use crate::telemetry::ForwardMetrics;

/// The memory of an exchange: its connection to the upstream with hyper's buffers, and what is on its way between the
/// two connections. In bytes.
const EXCHANGE_WEIGHT: usize = 48 * 1024;

/// Counts the exchanges in progress. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ExchangeLimits(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limits: SharedLimits,
    memory: Arc<Watermark>,
    ledger: Arc<MemoryLedger>,
    files: FileBudget,
    all: AtomicUsize,
    by_address: Shares<IpAddr>,
}

/// One exchange in progress. Dropping it ends it.
#[derive(Debug)]
pub struct ExchangePermit {
    counts: Arc<Counts>,
    metrics: Arc<ForwardMetrics>,
    since: Instant,
    /// Held for their drop.
    _address: Option<SharePermit<IpAddr>>,
    _file: Option<FilePermit>,
    _memory: Option<MemoryCharge>,
}

/// The limit that another exchange would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeLimit {
    /// `limits.memory`.
    Memory,
    /// `limits.forwarded_requests`, or there is no file descriptor left for it.
    All,
    /// `limits.forwarded_requests_per_ip`, or the part of one address while few file descriptors are free.
    Address,
}

impl ExchangeLimits {
    /// Counts against the limits in force. `on_refusal` is called when an address has its share.
    pub fn new(
        limits: SharedLimits,
        memory: Arc<Watermark>,
        ledger: Arc<MemoryLedger>,
        files: FileBudget,
        on_refusal: OnRefusal,
    ) -> Self {
        let (all, by_address) = (AtomicUsize::new(0), Shares::new(on_refusal));
        Self(Arc::new(Counts { limits, memory, ledger, files, all, by_address }))
    }

    /// Begins an exchange. `address` is the address that it counts for, if any.
    ///
    /// # Errors
    /// The limit that is exceeded.
    pub fn acquire(
        &self,
        address: Option<IpAddr>,
        metrics: &Arc<ForwardMetrics>,
    ) -> Result<ExchangePermit, ExchangeLimit> {
        let counts = &self.0;
        if counts.memory.is_above() {
            return Err(ExchangeLimit::Memory);
        }
        let limits = counts.limits.load();
        let max = limits.forwarded_requests;
        counts
            .all
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| (all < max).then_some(all + 1))
            .map_err(|_| ExchangeLimit::All)?;
        metrics.begun();
        // From here on dropping the permit releases what has been acquired.
        let mut permit = ExchangePermit {
            counts: counts.clone(),
            metrics: metrics.clone(),
            since: Instant::now(),
            _address: None,
            _file: None,
            _memory: None,
        };
        if let Some(address) = address {
            let max = limits.forwarded_requests_per_ip.min(counts.files.max_upstreams_per_address());
            let of_address = counts.by_address.acquire(address, max);
            permit._address = Some(of_address.ok_or(ExchangeLimit::Address)?);
        }
        permit._file = Some(counts.files.acquire_stream().ok_or(ExchangeLimit::All)?);
        permit._memory = Some(MemoryCharge::new(&counts.ledger, MemoryKind::Forwarded, EXCHANGE_WEIGHT as u64));
        Ok(permit)
    }
}

impl ExchangePermit {
    /// Returns the metrics of the exchange's route.
    pub fn metrics(&self) -> &Arc<ForwardMetrics> {
        &self.metrics
    }
}

impl Drop for ExchangePermit {
    fn drop(&mut self) {
        self.counts.all.fetch_sub(1, Ordering::Relaxed);
        self.metrics.ended(self.since.elapsed());
    }
}
