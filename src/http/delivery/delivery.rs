//! The next bytes for one client: events, a heartbeat, or the end. HTTP/1.1 and HTTP/2 share it.
//!
//! The only state that a client needs is its position in the log. Does not know how bytes are framed or written.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep};

use super::before_events::{BeforeEvents, split_long_id};
use super::content_encoder::ContentEncoder;
use super::delivery_options::{DeliveryOptions, ReadLimit};
use super::heartbeat::Heartbeat;
use super::notice::{gap_notice, heartbeat, late_verdict};
use super::pending_resume::{PendingResume, ResumeOutcome};
use super::record::SubscriptionRecord;
use crate::http::response::rejection::Rejection;
use crate::http::subscription_limits::SubjectPermit;
use crate::route::{DeliverySettings, EndForm, Lagging, Settings};
use crate::runtime::side_waker::SideWaker;
use crate::sse::{Encoder, Frame};
use crate::stream::{
    BatchOffsets, EventStream, Gap, Incompletion, Offset, Phase, ReadBatch, Ready, ResumeVerdict, Subscription,
    WaiterHandle,
};
use crate::telemetry::EndReason;

/// One client's reading of one stream.
///
/// The order of the fields is their layout in memory: the fields that each event touches come first and lie together,
/// since thousands of clients do not fit in the caches.
#[repr(C)]
pub struct Delivery {
    /// Polls what is awaited beside events: the lifetime, the heartbeat, and the transport's own.
    side_waker: SideWaker<WaiterHandle>,
    subscription: Subscription,
    read_limit: ReadLimit,
    record: SubscriptionRecord,
    settings: Arc<Settings>,
    heartbeat: Heartbeat,
    /// Runs while more events are awaited before a write.
    gather_timer: Option<Pin<Box<Sleep>>>,
    lifetime: BoxFuture<'static, EndReason>,
    /// Set until events may follow. `read_limit` allows none before.
    before_events: Option<Box<BeforeEvents>>,
    /// Set if the response has a content coding.
    encoder: Option<Box<ContentEncoder>>,
}

/// The next thing to write.
#[derive(Debug)]
pub enum NextWrite {
    /// These frames.
    Frames(ReadBatch),
    /// A comment, which shows that the connection is alive.
    Heartbeat,
    /// Nothing more: the response ends for this reason.
    End(EndReason),
}

impl Delivery {
    /// Reads from the subscription's position, or from the one that `pending_resume` finds.
    pub fn new(
        subscription: Subscription,
        pending_resume: Option<Box<PendingResume>>,
        options: DeliveryOptions,
        record: SubscriptionRecord,
    ) -> Self {
        let DeliveryOptions { lifetime, settings, mut read_limit, long_id, encoder } = options;
        let before_events = match (pending_resume, long_id) {
            (Some(pending), _) => Some(BeforeEvents::Resume(pending)),
            (None, Some(frame)) => Some(BeforeEvents::LongId { frame, events: read_limit.events }),
            (None, None) => None,
        };
        if before_events.is_some() {
            read_limit.events = 0;
        }
        Self {
            side_waker: SideWaker::with_flag(subscription.waiter().clone()),
            subscription,
            read_limit,
            record,
            heartbeat: Heartbeat::new(settings.delivery.heartbeat),
            settings,
            gather_timer: None,
            lifetime,
            before_events: before_events.map(Box::new),
            encoder,
        }
    }

    /// Returns the next thing to write: at most about `bytes`, but at least one whole entry. Cancel-safe.
    ///
    /// Also polls `other`, which ends the response, but only after its waker fired. It must then poll until it is
    /// pending, or its next wake-up is lost.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        bytes: usize,
        other: impl FnOnce(&mut Context<'_>) -> Poll<EndReason>,
    ) -> Poll<NextWrite> {
        let next = ready!(self.poll_next_plain(cx, bytes, other));
        Poll::Ready(match (&mut self.encoder, next) {
            (Some(encoder), NextWrite::Frames(batch)) => {
                NextWrite::Frames(encoder.batch(self.subscription.stream(), batch))
            }
            (_, next) => next,
        })
    }

    /// Does the same as [`Self::poll_next`], without the content coding.
    fn poll_next_plain(
        &mut self,
        cx: &mut Context<'_>,
        bytes: usize,
        other: impl FnOnce(&mut Context<'_>) -> Poll<EndReason>,
    ) -> Poll<NextWrite> {
        if self.read_limit.events == 0 {
            return self.poll_without_events(cx, other);
        }
        let end = self.read_limit.end;
        if end < Offset::UNREACHED && self.subscription.has_reached(end) {
            return Poll::Ready(NextWrite::End(EndReason::Complete));
        }
        // Check for the end first: a busy stream must not delay it.
        if let Poll::Ready(end) = self.poll_side(cx, other) {
            return Poll::Ready(NextWrite::End(end));
        }
        let over = match self.subscription.poll_ready(cx) {
            Poll::Ready(Ready::Entries) => None,
            Poll::Ready(Ready::Complete) => Some(EndReason::Complete),
            Poll::Ready(Ready::Incomplete(Incompletion::Stopped)) => Some(EndReason::Stopped),
            Poll::Ready(Ready::Refused | Ready::Incomplete(Incompletion::Broken)) => Some(EndReason::Error),
            Poll::Pending if self.heartbeat.is_due => return Poll::Ready(NextWrite::Heartbeat),
            Poll::Pending => return Poll::Pending,
        };
        if let Some(over) = over {
            return Poll::Ready(NextWrite::End(over));
        }
        // Events that fill a write already gain nothing by waiting: a replay would wait for each write, and a fast
        // stream would outrun its readers.
        let gather = self.settings.delivery.gather;
        if !gather.is_zero() && end == Offset::UNREACHED && !self.subscription.has_unread_bytes(bytes) {
            ready!(self.gather_timer.get_or_insert_with(|| Box::pin(sleep(gather))).as_mut().poll(cx));
        }
        self.gather_timer = None;
        Poll::Ready(self.take_batch(bytes))
    }

    /// Polls what is awaited beside events, if its waker fired.
    #[inline]
    fn poll_side(
        &mut self,
        cx: &Context<'_>,
        other: impl FnOnce(&mut Context<'_>) -> Poll<EndReason>,
    ) -> Poll<EndReason> {
        let Some(waker) = self.side_waker.poll_due(cx) else { return Poll::Pending };
        let cx = &mut Context::from_waker(waker);
        if let Poll::Ready(end) = self.lifetime.as_mut().poll(cx) {
            return Poll::Ready(end);
        }
        if let Poll::Ready(end) = other(cx) {
            return Poll::Ready(end);
        }
        self.heartbeat.poll(cx, self.settings.delivery.heartbeat);
        Poll::Pending
    }

    /// Does the same as [`Self::poll_next_plain`] while no event may be read: the position is not known, or the client has
    /// had all events that it asked for.
    #[cold]
    fn poll_without_events(
        &mut self,
        cx: &mut Context<'_>,
        other: impl FnOnce(&mut Context<'_>) -> Poll<EndReason>,
    ) -> Poll<NextWrite> {
        let outcome = match self.before_events.as_deref_mut() {
            None => return Poll::Ready(NextWrite::End(EndReason::Limit)),
            Some(BeforeEvents::LongId { frame, events }) => {
                let frame = std::mem::take(frame);
                self.read_limit.events = *events;
                self.before_events = None;
                return Poll::Ready(control_frames([frame]));
            }
            Some(BeforeEvents::Resume(pending_resume)) => pending_resume.poll(cx, &mut self.subscription),
        };
        if let Poll::Ready(end) = self.poll_side(cx, other) {
            return Poll::Ready(NextWrite::End(end));
        }
        let next = match outcome {
            Poll::Pending if self.heartbeat.is_due => return Poll::Ready(NextWrite::Heartbeat),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(outcome)) => self.finish_resume(outcome),
            Poll::Ready(Err(rejection)) => {
                self.record.rejected(rejection.reason());
                if let Some(BeforeEvents::Resume(pending_resume)) = self.before_events.as_deref_mut() {
                    pending_resume.set_rejection(rejection);
                }
                NextWrite::End(EndReason::Error)
            }
        };
        Poll::Ready(next)
    }

    /// Tells the client the outcome of its resume. Events follow from the position that is now known.
    fn finish_resume(&mut self, ResumeOutcome { verdict, id }: ResumeOutcome) -> NextWrite {
        let events = self.before_events.take().map_or(0, |resume| resume.events());
        let (id, long_id) = split_long_id(id, self.subscription.stream());
        match long_id {
            None => self.read_limit.events = events,
            Some(frame) => self.before_events = Some(Box::new(BeforeEvents::LongId { frame, events })),
        }
        self.record.set_verdict(verdict);
        control_frames([late_verdict(self.settings.stream.verdict, verdict, id.as_ref())])
    }

    fn take_batch(&mut self, bytes: usize) -> NextWrite {
        let DeliverySettings { latest: is_latest_only, lagged, .. } = self.settings.delivery;
        let batch = match is_latest_only {
            true => self.subscription.take_latest(bytes, self.read_limit.events),
            false => self.subscription.take(bytes, self.read_limit.events),
        };
        match batch {
            Ok(batch) => {
                self.read_limit.events = self.read_limit.events.saturating_sub(batch.events);
                NextWrite::Frames(batch)
            }
            // A client that gets only the newest event of each type catches up at once and need not reconnect.
            Err(_) if lagged == Lagging::Disconnect && !is_latest_only => NextWrite::End(EndReason::Lagged),
            Err(_) => control_frames(self.skip()),
        }
    }

    /// Moves to the oldest entry in the log. Returns the frames that tell the client.
    fn skip(&mut self) -> Vec<Frame> {
        self.subscription.skip_to_oldest();
        self.record.gap(Gap::Lagged);
        let id = self.subscription.current_id().unwrap_or_default();
        let notice = gap_notice(self.settings.stream.verdict)(ResumeVerdict::Gap(Gap::Lagged), &id);
        // The last event id has changed, whether or not the route tells gaps, and in whatever form.
        notice.into_iter().chain([self.subscription.stream().id_frame(&id)]).collect()
    }

    /// Records that all `bytes` of a batch were passed to the transport.
    pub fn sent(&mut self, batch: &ReadBatch, bytes: usize) {
        let now = Instant::now();
        self.heartbeat.postpone(now);
        self.record.delivered(batch, bytes, now.into_std());
        self.count_saved(bytes);
    }

    /// Records that a prelude of so many bytes is sent with the head.
    pub fn sent_prelude(&mut self, bytes: usize) {
        self.count_sent(bytes);
    }

    /// Returns the heartbeat to send now.
    pub fn heartbeat(&mut self) -> Frame {
        match &mut self.encoder {
            None => heartbeat(),
            Some(encoder) => encoder.heartbeat(&heartbeat()),
        }
    }

    /// Records that a heartbeat of so many bytes was passed to the transport.
    pub fn sent_heartbeat(&mut self, bytes: usize) {
        self.heartbeat.postpone(Instant::now());
        self.count_sent(bytes);
    }

    /// Counts bytes other than events that are sent.
    fn count_sent(&mut self, bytes: usize) {
        self.record.sent(bytes);
        self.count_saved(bytes);
    }

    /// Counts what the content coding saves of `bytes` that were sent.
    fn count_saved(&mut self, bytes: usize) {
        if let Some(encoder) = &mut self.encoder {
            self.record.saved(encoder.coding(), encoder.take_saved(bytes));
        }
    }

    /// Completes when the response must end, for a transport that is busy writing. Cancel-safe.
    pub async fn ended(&mut self) -> EndReason {
        poll_fn(|cx| self.poll_ended(cx)).await
    }

    /// Polls for [`Self::ended`]. Once it has completed, neither it nor [`Self::poll_next`] may be polled again.
    pub fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<EndReason> {
        // The lifetime will wake this task and not the side waker, which must poll it again afterwards.
        self.side_waker.rearm();
        self.lifetime.as_mut().poll(cx)
    }

    /// Sets the reason why the response ends. The first one counts.
    pub fn set_end_reason(&self, end: EndReason) {
        self.record.set_end_reason(end);
    }

    /// Returns the stream that is read.
    pub fn stream(&self) -> &Arc<EventStream> {
        self.subscription.stream()
    }

    /// Returns the offset that is read next, for checks from outside; the largest one while it is not known.
    pub fn offset(&self) -> Offset {
        if self.pending_resume().is_some() { Offset::UNREACHED } else { self.subscription.position() }
    }

    /// Returns the permit that the subscription has from its subject's limit, if it has a subject.
    pub(crate) fn subject_permit(&self) -> Option<Arc<SubjectPermit>> {
        self.record.subject_permit()
    }

    /// Whether the client asked for a number of events. It may then close its side and still wait for them.
    pub fn is_limited(&self) -> bool {
        self.before_events.as_ref().map_or(self.read_limit.events, |before| before.events()) < u64::MAX
    }

    fn pending_resume(&self) -> Option<&PendingResume> {
        self.before_events.as_ref()?.pending_resume()
    }

    /// Whether an end for this reason must look like an error. To some clients a clean end means that nothing follows.
    pub fn is_cut(&self, end: EndReason) -> bool {
        let should_reconnect = match end {
            EndReason::Expired | EndReason::Revoked | EndReason::MaxAge => true,
            EndReason::Drain | EndReason::Lagged | EndReason::Replaced => true,
            EndReason::Error => self.record.saw_break(),
            EndReason::Client | EndReason::Stalled | EndReason::Complete => false,
            EndReason::Limit | EndReason::Stopped => false,
        };
        self.settings.delivery.end == EndForm::Cut && should_reconnect
    }

    /// Returns the last frame of a response that ends for this reason: the reconnection time, or the refusal, and the
    /// end of the content coding. Counts it as sent. Must be called once, after everything else that is sent.
    pub fn last_frame(&mut self, end: EndReason) -> Option<Frame> {
        let plain = self.last_frame_plain(end);
        let is_cut = self.is_cut(end);
        let last = match &mut self.encoder {
            None => plain,
            Some(encoder) => encoder.last_frame(plain, is_cut),
        };
        if let Some(frame) = &last {
            self.count_sent(frame.len());
        }
        last
    }

    fn last_frame_plain(&self, end: EndReason) -> Option<Frame> {
        match end {
            EndReason::Drain | EndReason::MaxAge | EndReason::Replaced => {
                let mut encoder = Encoder::new();
                encoder.retry(self.record.jittered_retry(self.settings.delivery.retry));
                Some(encoder.finish())
            }
            EndReason::Error => {
                let pending = self.pending_resume();
                let rejection = pending.and_then(|pending| pending.rejection().cloned()).or_else(|| {
                    match self.subscription.stream().progress().phase {
                        Phase::Refused(error) => Some(Rejection::Upstream(error)),
                        Phase::Incomplete(Incompletion::Broken) => Some(Rejection::UpstreamBroken),
                        Phase::Incomplete(Incompletion::Stopped) => None,
                        Phase::Opening | Phase::Live | Phase::Retrying(_) | Phase::Complete => None,
                    }
                });
                let sent_id = |pending: &PendingResume| pending.params().after.id().cloned();
                let id = pending.map_or_else(|| self.subscription.current_id(), sent_id);
                rejection.map(|rejection| rejection.error_event(id))
            }
            EndReason::Client
            | EndReason::Expired
            | EndReason::Revoked
            | EndReason::Lagged
            | EndReason::Stalled
            | EndReason::Complete
            | EndReason::Limit
            | EndReason::Stopped => None,
        }
    }
}

/// Returns frames that hold no events.
fn control_frames(frames: impl IntoIterator<Item = Frame>) -> NextWrite {
    let frames = frames.into_iter().collect();
    NextWrite::Frames(ReadBatch { frames, events: 0, oldest: None, offsets: BatchOffsets::None })
}
