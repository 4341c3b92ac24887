//! The means by which a shared log drives one stream: appending what another gateway read, and reading the upstream itself.

use std::sync::Arc;
use std::time::Duration;

use super::event_stream::EventStream;
use super::feed::{Attempts, Commit, Fenced, Finished, Ingest, LATE_REFUSAL_MEMORY, OpenError, Publisher, StreamFeed};
use super::log::Entry;
use super::log_memory::LogMemory;
use super::progress::Phase;
use super::spec::StreamSpec;
use super::stream_memory::STREAM_WEIGHT;
use crate::runtime::memory::{MemoryCharge, MemoryKind};

/// The feed of one stream, in the hands of a shared log.
pub struct SharedFeed {
    stream: Arc<EventStream>,
    spec: StreamSpec,
    memory: LogMemory,
    publisher: Publisher,
    /// The memory of the stream without its log, while no ingest counts it.
    charge: Option<MemoryCharge>,
}

impl SharedFeed {
    /// Creates the feed of a new stream. `charge` is for the memory of the stream without its log.
    pub(super) fn new(stream: Arc<EventStream>, spec: StreamSpec, memory: LogMemory, charge: MemoryCharge) -> Self {
        let publisher = Publisher::new(stream.clone(), memory.clone(), StreamFeed::Alone);
        Self { stream, spec, memory, publisher, charge: Some(charge) }
    }

    /// Returns the stream.
    pub fn stream(&self) -> &Arc<EventStream> {
        &self.stream
    }

    /// Returns true if the stream is to be read without readers too.
    pub fn is_always_open(&self) -> bool {
        self.spec.attempts == Attempts::Unlimited
    }

    /// Returns true if the request may reach the upstream twice, so that another gateway can go on after the one that
    /// sent it.
    pub fn is_repeatable(&self) -> bool {
        self.spec.attempts.may_repeat()
    }

    /// Returns true if this gateway has a request that it could send.
    pub fn can_send(&self) -> bool {
        self.spec.source.can_open()
    }

    /// Gives up a request that must not be repeated: another gateway has sent one like it.
    pub fn discard_request(&self) {
        if !self.is_repeatable() {
            self.spec.source.discard();
        }
    }

    /// Appends entries as another gateway wrote them, and wakes the readers. Waits if memory is short.
    ///
    /// Not cancel-safe: entries are appended in portions.
    pub async fn append(&mut self, entries: Vec<Entry>) {
        // Without a commit there is no fence.
        let pause = self.publisher.publish(entries).await.unwrap_or_default();
        self.publisher.finish_waking();
        self.publisher.pause(pause).await;
    }

    /// Reads the upstream and appends what `commit` accepts. `has_past`: the upstream has been connected before, here
    /// or elsewhere, so continuity must be proven and refusals are retried. Dropping the future closes the upstream.
    ///
    /// # Errors
    /// Something else feeds the stream by now. Readers are not told, and the stream can be fed again.
    pub async fn run_ingest(&mut self, commit: Arc<dyn Commit>, has_past: bool) -> Result<Finished, Fenced> {
        // The ingest counts it meanwhile.
        self.charge = None;
        let charge = MemoryCharge::new(self.memory.ledger(), MemoryKind::Streams, STREAM_WEIGHT);
        let spec = StreamSpec { feed: StreamFeed::Committed(commit), ..self.spec.clone() };
        let ingest = Ingest::continued(self.stream.clone(), spec, self.memory.clone(), charge, has_past);
        let finished = ingest.run_until_fenced().await;
        self.charge = Some(MemoryCharge::new(self.memory.ledger(), MemoryKind::Streams, STREAM_WEIGHT));
        finished
    }

    /// Refuses the readers for this reason, which is remembered for this time: for longer if one of them has a response,
    /// since it has to come back for the status.
    pub fn refuse_for(&self, error: OpenError, memory: Duration) -> Finished {
        self.refuse(error);
        // Read after the phase is set: a response that goes out early checks the phase once more.
        Finished::Refused(match self.stream.has_early_response() {
            true => memory.max(LATE_REFUSAL_MEMORY),
            false => memory,
        })
    }

    /// Refuses the readers for this reason. The stream is then removed, and opened anew by the next reader.
    pub fn refuse(&self, error: OpenError) {
        self.stream.set_phase(Phase::Refused(Arc::new(error)));
    }
}
