//! The metrics and the access line of one subscription.
//!
//! The line is logged exactly once, when the record is dropped. Without an explicit reason the client disconnected.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tracing::info;

use super::notice::PENDING;
use crate::coding::ContentCoding;
use crate::http::request::client_info::ClientInfo;
use crate::http::request::redact;
use crate::http::subscription_limits::{SubjectPermit, SubscriptionPermit};
use crate::runtime::arithmetic;
use crate::stream::{EventStream, Gap, Incompletion, Phase, ReadBatch, ResumeVerdict};
use crate::telemetry::{self, ACCESS, EndReason, RouteMetrics};

/// The record of one subscription: its counters, and its access line.
pub struct SubscriptionRecord {
    metrics: Arc<RouteMetrics>,
    since: Instant,
    events: u64,
    bytes: u64,
    /// Boxed, so that the fields that each event touches lie together.
    details: Box<Details>,
}

// Kept for every open response.
const _: () = assert!(size_of::<Details>() <= 192);

/// The facts that are known from the start, and logged at the end.
struct Details {
    client: ClientInfo,
    /// `None` while the resume is pending.
    verdict: Option<ResumeVerdict>,
    end_reason: EndReasonCell,
    /// Uniform in `0.0..1.0`, drawn once: the client's moment within everything that is spread over time.
    jitter: f32,
    /// Whether the stream had ended before the request came.
    is_late: bool,
    /// The stream that is read. The line takes the path from its key.
    stream: Arc<EventStream>,
    permit: SubscriptionPermit,
}

/// The reason why a response ends. The first one that is set counts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct EndReasonCell(Arc<OnceLock<EndReason>>);

impl EndReasonCell {
    /// Sets the reason, unless there is one.
    pub fn set(&self, end: EndReason) {
        self.0.get_or_init(|| end);
    }

    /// Returns the reason, if there is one.
    pub(super) fn get(&self) -> Option<EndReason> {
        self.0.get().copied()
    }
}

impl SubscriptionRecord {
    /// Counts a new subscription. `verdict` is `None` while the resume is pending, `jitter` is uniform in `0.0..1.0`, and
    /// `is_late` says whether the stream had ended before the request came.
    pub(crate) fn new(
        metrics: Arc<RouteMetrics>,
        client: ClientInfo,
        verdict: Option<ResumeVerdict>,
        jitter: f64,
        is_late: bool,
        stream: Arc<EventStream>,
        permit: SubscriptionPermit,
    ) -> Self {
        metrics.subscribed(client.protocol);
        let end_reason = EndReasonCell::default();
        let jitter = jitter as f32;
        let details = Details { client, verdict: None, end_reason, jitter, is_late, stream, permit };
        let mut record = Self { metrics, since: Instant::now(), events: 0, bytes: 0, details: Box::new(details) };
        if let Some(verdict) = verdict {
            record.set_verdict(verdict);
        }
        record
    }

    /// Whether the stream broke off since the request came. Not for a later request, or a client that tries again after each
    /// cut would never end.
    pub(super) fn saw_break(&self) -> bool {
        let Details { is_late, stream, .. } = &*self.details;
        !is_late && matches!(stream.progress().phase, Phase::Incomplete(Incompletion::Broken))
    }

    /// Counts the outcome of the client's resume.
    pub fn set_verdict(&mut self, verdict: ResumeVerdict) {
        self.details.verdict = Some(verdict);
        self.metrics.settled(match verdict {
            ResumeVerdict::Live => telemetry::VerdictLabel::Live,
            ResumeVerdict::Replay { .. } => telemetry::VerdictLabel::Replay,
            ResumeVerdict::Resumed { .. } => telemetry::VerdictLabel::Resumed,
            ResumeVerdict::Gap(_) => telemetry::VerdictLabel::Gap,
        });
    }

    /// Counts a refusal after the head has been sent.
    pub fn rejected(&self, reason: &'static str) {
        self.metrics.rejected(reason);
    }

    /// Counts a batch of which all `bytes` were passed to the transport at `now`.
    pub fn delivered(&mut self, batch: &ReadBatch, bytes: usize, now: Instant) {
        self.events += batch.events;
        self.bytes += bytes as u64;
        self.metrics.delivered(batch.events, bytes as u64);
        // The age of events from before the subscription shows how far back the client asked, not how fast we are.
        if let Some(oldest) = batch.oldest.filter(|oldest| *oldest >= self.since) {
            self.metrics.delivery(now.saturating_duration_since(oldest));
        }
    }

    /// Counts bytes other than events that were passed to the transport.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.metrics.sent(bytes as u64);
    }

    /// Counts bytes that a content coding saved.
    pub fn saved(&self, coding: ContentCoding, bytes: u64) {
        let coding = match coding {
            ContentCoding::Gzip => telemetry::CodingLabel::Gzip,
            ContentCoding::Zstd => telemetry::CodingLabel::Zstd,
        };
        self.metrics.saved(coding, bytes);
    }

    /// Counts a gap that opened while the client was connected.
    pub fn gap(&self, gap: Gap) {
        self.metrics.gap(gap.reason());
    }

    /// Sets the reason why the response ends, unless there is one.
    pub fn set_end_reason(&self, end: EndReason) {
        self.details.end_reason.set(end);
    }

    /// Returns the cell for the reason, for a task outside the response that may end it.
    pub fn end_reason(&self) -> EndReasonCell {
        self.details.end_reason.clone()
    }

    /// Returns the permit that the subscription has from its subject's limit, if it has a subject.
    pub(crate) fn subject_permit(&self) -> Option<Arc<SubjectPermit>> {
        self.details.permit.subject_permit().cloned()
    }

    /// Returns the reconnection time for this client: the upstream's own, unchanged; else `retry`, the route's, with up to
    /// a half more.
    pub fn jittered_retry(&self, retry: Duration) -> Duration {
        let Details { stream, jitter, .. } = &*self.details;
        stream.progress().retry.unwrap_or_else(|| arithmetic::scale(retry, 1.0 + f64::from(*jitter) / 2.0))
    }
}

impl Drop for SubscriptionRecord {
    fn drop(&mut self) {
        let Details { client, verdict, end_reason, stream, .. } = &*self.details;
        // A panic drops the response too, and the client is not to blame.
        let default = if std::thread::panicking() { EndReason::Error } else { EndReason::Client };
        let end = end_reason.get().unwrap_or(default);
        if verdict.is_none() {
            self.metrics.settled(telemetry::VerdictLabel::Pending);
        }
        let verdict = verdict.map_or_else(|| PENDING.to_owned(), |verdict| verdict.to_string());
        self.metrics.ended(client.protocol, end);
        info!(
            target: ACCESS,
            client = %client.address,
            route = self.metrics.name(),
            path = &*redact::path(&stream.key().path),
            status = 200,
            protocol = client.protocol.as_str(),
            verdict = %verdict,
            seconds = self.since.elapsed().as_secs_f64(),
            events = self.events,
            bytes = self.bytes,
            reason = end.as_str(),
            subject = client.subject.as_deref().map(tracing::field::debug),
            user_agent = client.user_agent.as_deref(),
            request_id = &*client.request_id,
            trace_id = %format_args!("{:032x}", client.trace_id),
            "subscription ended"
        );
    }
}
