//! What is said about one response while it lives and when it ends.
//!
//! Said exactly once whatever happens: a response that is dropped without a word was left by its client.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tracing::info;

use super::notice::PENDING;
use crate::http::request::client_info::ClientInfo;
use crate::http::request::redact;
use crate::http::subscription_limits::{SubjectPermit, SubscriptionPermit};
use crate::runtime::arithmetic;
use crate::stream::{EventStream, Gap, ReadBatch, ResumeVerdict};
use crate::telemetry::{self, ACCESS, EndReason, RouteMetrics};

/// One subscription's share of the route's metrics.
pub struct SubscriptionRecord {
    metrics: Arc<RouteMetrics>,
    since: Instant,
    events: u64,
    bytes: u64,
    /// Elsewhere, so that what each event counts lies together.
    known: Box<Known>,
}

/// What is known from the beginning, and told at the end.
struct Known {
    caller: ClientInfo,
    /// `None`: it is not known yet.
    verdict: Option<ResumeVerdict>,
    ending: EndReasonCell,
    retry: Duration,
    /// Uniform in `0.0..1.0`, drawn once: the client's place in everything that is spread out.
    share: f64,
    /// Whose key says what was read.
    stream: Arc<EventStream>,
    permit: SubscriptionPermit,
}

/// Why a response ends, said once by whoever knows first. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct EndReasonCell(Arc<OnceLock<EndReason>>);

impl EndReasonCell {
    /// Says why, unless it has been said.
    pub fn set(&self, end: EndReason) {
        self.0.get_or_init(|| end);
    }

    fn get(&self) -> Option<EndReason> {
        self.0.get().copied()
    }
}

impl SubscriptionRecord {
    /// A subscription begins; `None`: its verdict is not known yet. `retry` is the route's; `share` is uniform in `0.0..1.0`.
    pub fn new(
        metrics: Arc<RouteMetrics>,
        caller: ClientInfo,
        verdict: Option<ResumeVerdict>,
        retry: Duration,
        share: f64,
        stream: Arc<EventStream>,
        permit: SubscriptionPermit,
    ) -> Self {
        metrics.subscribed(caller.protocol);
        let known = Known { caller, verdict: None, ending: EndReasonCell::default(), retry, share, stream, permit };
        let mut report = Self { metrics, since: Instant::now(), events: 0, bytes: 0, known: Box::new(known) };
        if let Some(verdict) = verdict {
            report.settled(verdict);
        }
        report
    }

    /// The verdict is known.
    pub fn settled(&mut self, verdict: ResumeVerdict) {
        self.known.verdict = Some(verdict);
        self.metrics.settled(match verdict {
            ResumeVerdict::Live => telemetry::VerdictLabel::Live,
            ResumeVerdict::Replay { .. } => telemetry::VerdictLabel::Replay,
            ResumeVerdict::Resumed { .. } => telemetry::VerdictLabel::Resumed,
            ResumeVerdict::Gap(_) => telemetry::VerdictLabel::Gap,
        });
    }

    /// The client is refused after its head.
    pub fn refused(&self, reason: &'static str) {
        self.metrics.rejected(reason);
    }

    /// Frames are in the transport's hands at this time.
    pub fn delivered(&mut self, taken: &ReadBatch, bytes: usize, now: Instant) {
        self.events += taken.events;
        self.bytes += bytes as u64;
        self.metrics.delivered(taken.events, bytes as u64);
        // What was there before the client came tells how far back it asked, not how fast we are.
        if let Some(oldest) = taken.oldest.filter(|oldest| *oldest >= self.since) {
            self.metrics.delivery(now.saturating_duration_since(oldest));
        }
    }

    /// Bytes that are no events are in the transport's hands.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.metrics.sent(bytes as u64);
    }

    /// The client missed something while it was connected.
    pub fn gap(&self, gap: Gap) {
        self.metrics.gap(gap.reason());
    }

    /// Why it ends. The first reason counts.
    pub fn ended(&self, end: EndReason) {
        self.known.ending.set(end);
    }

    /// For a guard that may have to say why.
    pub fn ending(&self) -> EndReasonCell {
        self.known.ending.clone()
    }

    /// The place among those of its subject, if it has one.
    pub fn place_of_subject(&self) -> Option<Arc<SubjectPermit>> {
        self.known.permit.place().cloned()
    }

    /// The reconnection time for this client: the upstream's own as it is, the route's with up to a half more.
    pub fn jittered_retry(&self, own: Option<Duration>) -> Duration {
        own.unwrap_or_else(|| arithmetic::scale(self.known.retry, 1.0 + self.known.share / 2.0))
    }
}

impl Drop for SubscriptionRecord {
    fn drop(&mut self) {
        let Known { caller, verdict, ending, stream, .. } = &*self.known;
        // What ends with a panic was not ended by its client.
        let unsaid = if std::thread::panicking() { EndReason::Error } else { EndReason::Client };
        let end = ending.get().unwrap_or(unsaid);
        if verdict.is_none() {
            self.metrics.settled(telemetry::VerdictLabel::Pending);
        }
        let verdict = verdict.map_or_else(|| PENDING.to_owned(), |verdict| verdict.to_string());
        self.metrics.ended(caller.protocol, end);
        info!(
            target: ACCESS,
            client = %caller.client,
            route = self.metrics.name(),
            path = &*redact::path(&stream.key().path),
            status = 200,
            protocol = caller.protocol.as_str(),
            verdict = %verdict,
            seconds = self.since.elapsed().as_secs_f64(),
            events = self.events,
            bytes = self.bytes,
            reason = end.as_str(),
            subject = caller.subject.as_deref().map(tracing::field::debug),
            user_agent = caller.user_agent.as_deref(),
            request_id = &*caller.request_id,
            trace_id = %format_args!("{:032x}", caller.trace_id),
            "subscription ended"
        );
    }
}
