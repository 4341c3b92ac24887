//! What one client gets next: events, a heartbeat, or the end. The same for both ways out.
//!
//! Nothing is held for the client but its place in the log. Does not know how bytes are framed or written.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::notice::late;
use super::pending_resume::{PendingResume, ResumeOutcome};
use super::record::SubscriptionRecord;
use crate::http::response::rejection::Rejection;
use crate::http::subscription_limits::SubjectPermit;
use crate::route::{EndForm, Lagging};
use crate::runtime::side_waker::SideWaker;
use crate::sse::{Encoder, EventId, Frame};
use crate::stream::{
    EventStream, Gap, GapNotice, Offset, Phase, ReadBatch, Ready, ResumeVerdict, Subscription, WaiterHandle,
};
use crate::telemetry::EndReason;

/// One client's reading of one stream.
///
/// In this order: what each event touches lies together, and first. Thousands of clients are more than caches hold.
#[repr(C)]
pub struct Delivery {
    /// For what is waited for beside events: the life, the heartbeat, and what the way out has of its own.
    aside: SideWaker<WaiterHandle>,
    subscription: Subscription,
    until: ReadLimit,
    report: SubscriptionRecord,
    gather: Duration,
    is_latest_only: bool,
    lagged: Lagging,
    heartbeat: Heartbeat,
    /// Runs while more events are waited for.
    gathering: Option<Pin<Box<Sleep>>>,
    over: BoxFuture<'static, EndReason>,
    tell: GapNotice,
    end: EndForm,
    /// The client's place is not known yet. No events are to be taken meanwhile: `until` has none.
    settling: Option<Box<PendingResume>>,
    /// The id in force at its place, if it is long: told before the first event, `until` has none before.
    long_id: Option<Frame>,
    /// The most events in all.
    limit: u64,
    /// What the client was refused with after its head.
    refusal: Option<Rejection>,
}

/// How far a response goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Up to this place, `follow=false`. `None`: for ever.
    pub end: Option<Offset>,
    /// So many more events, `limit=N`.
    pub events: u64,
}

/// What a route says about delivering, and what is particular to this client.
pub struct DeliveryOptions {
    /// Completes when the response's life is over.
    pub over: BoxFuture<'static, EndReason>,
    /// A comment after this long without a byte.
    pub heartbeat: Duration,
    /// What happens when the client falls off the log.
    pub lagged: Lagging,
    /// Whether a lagging client gets only the newest event of each type.
    pub is_latest_only: bool,
    /// How long to wait for more events before writing.
    pub gather: Duration,
    /// How a gap is told.
    pub tell: GapNotice,
    /// How it ends when its client should come back.
    pub end: EndForm,
    /// How far to go.
    pub until: ReadLimit,
    /// Told before the first event.
    pub long_id: Option<Frame>,
}

/// What to write next.
#[derive(Debug)]
pub enum NextWrite {
    /// These frames.
    Frames(ReadBatch),
    /// A comment, to show that the connection lives.
    Heartbeat,
    /// Nothing more, for this reason.
    EndReason(EndReason),
}

impl Delivery {
    /// Reads from where the subscription stands, or from where it is when it is settled.
    pub fn new(
        subscription: Subscription,
        settling: Option<Box<PendingResume>>,
        mut terms: DeliveryOptions,
        report: SubscriptionRecord,
    ) -> Self {
        let limit = terms.until.events;
        if settling.is_some() || terms.long_id.is_some() {
            terms.until.events = 0;
        }
        Self {
            aside: SideWaker::on(subscription.waiter().clone()),
            subscription,
            over: terms.over,
            heartbeat: Heartbeat::new(terms.heartbeat),
            gathering: None,
            lagged: terms.lagged,
            is_latest_only: terms.is_latest_only,
            gather: terms.gather,
            tell: terms.tell,
            end: terms.end,
            until: terms.until,
            settling,
            long_id: terms.long_id,
            limit,
            refusal: None,
            report,
        }
    }

    /// What to write next; at most about `bytes`, but at least one whole entry. Cancel-safe. Also ends when `other` does,
    /// which is polled when it has asked for it and must then be polled until it is pending again.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        bytes: usize,
        other: impl FnOnce(&mut Context<'_>) -> Poll<EndReason>,
    ) -> Poll<NextWrite> {
        if self.until.events == 0 {
            return self.poll_settled(cx, other);
        }
        if self.until.end.is_some_and(|end| self.subscription.has_reached(end)) {
            return Poll::Ready(NextWrite::EndReason(EndReason::Complete));
        }
        // The end first: a busy stream must not put it off.
        if let Poll::Ready(end) = self.poll_aside(cx, other) {
            return Poll::Ready(NextWrite::EndReason(end));
        }
        match self.subscription.poll_ready(cx) {
            Poll::Ready(Ready::Complete) => return Poll::Ready(NextWrite::EndReason(EndReason::Complete)),
            Poll::Ready(Ready::Refused) => return Poll::Ready(NextWrite::EndReason(EndReason::Error)),
            Poll::Ready(Ready::Entries) => {}
            Poll::Pending if self.heartbeat.is_due => return Poll::Ready(NextWrite::Heartbeat),
            Poll::Pending => return Poll::Pending,
        }
        // What fills a write already gains nothing by waiting: a replay would take a wait for each piece, and a fast
        // stream would outrun its readers.
        if !self.gather.is_zero() && self.until.end.is_none() && !self.subscription.has_unread_bytes(bytes) {
            let gather = self.gather;
            ready!(self.gathering.get_or_insert_with(|| Box::pin(sleep(gather))).as_mut().poll(cx));
        }
        self.gathering = None;
        Poll::Ready(self.take(bytes))
    }

    /// What is waited for beside events, if it has asked for it.
    #[inline]
    fn poll_aside(
        &mut self,
        cx: &Context<'_>,
        other: impl FnOnce(&mut Context<'_>) -> Poll<EndReason>,
    ) -> Poll<EndReason> {
        let Some(waker) = self.aside.asked(cx) else { return Poll::Pending };
        let cx = &mut Context::from_waker(waker);
        if let Poll::Ready(end) = self.over.as_mut().poll(cx) {
            return Poll::Ready(end);
        }
        if let Poll::Ready(end) = other(cx) {
            return Poll::Ready(end);
        }
        self.heartbeat.poll(cx);
        Poll::Pending
    }

    /// As [`Self::poll_next`] while no event is to be taken: because the place is not known, or all that were asked for
    /// have been.
    #[cold]
    fn poll_settled(
        &mut self,
        cx: &mut Context<'_>,
        other: impl FnOnce(&mut Context<'_>) -> Poll<EndReason>,
    ) -> Poll<NextWrite> {
        let Some(settling) = &mut self.settling else {
            return Poll::Ready(match self.long_id.take() {
                None => NextWrite::EndReason(EndReason::Limit),
                Some(id) => {
                    self.until.events = self.limit;
                    told([id])
                }
            });
        };
        let settled = settling.poll(cx, &mut self.subscription);
        if let Poll::Ready(end) = self.poll_aside(cx, other) {
            return Poll::Ready(NextWrite::EndReason(end));
        }
        let step = match settled {
            Poll::Pending if self.heartbeat.is_due => return Poll::Ready(NextWrite::Heartbeat),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(settled)) => self.settle(settled),
            Poll::Ready(Err(rejection)) => {
                self.report.refused(rejection.reason());
                self.refusal = Some(rejection);
                NextWrite::EndReason(EndReason::Error)
            }
        };
        Poll::Ready(step)
    }

    /// The place is known: the client is told, and reads on from there.
    fn settle(&mut self, ResumeOutcome { verdict, id }: ResumeOutcome) -> NextWrite {
        let settling = self.settling.take().expect("it has just been settled");
        let (id, long_id) = parted(id, self.subscription.stream());
        if long_id.is_none() {
            self.until.events = self.limit;
        }
        self.long_id = long_id;
        self.report.settled(verdict);
        told([late(settling.route().settings.replay.verdict, verdict, id.as_ref())])
    }

    fn take(&mut self, bytes: usize) -> NextWrite {
        let taken = match self.is_latest_only {
            true => self.subscription.take_latest(bytes, self.until.events),
            false => self.subscription.take(bytes, self.until.events),
        };
        match taken {
            Ok(taken) => {
                self.until.events = self.until.events.saturating_sub(taken.events);
                NextWrite::Frames(taken)
            }
            // Who gets only the newest of each type is never behind for long, and need not come back for it.
            Err(_) if self.lagged == Lagging::Disconnect && !self.is_latest_only => {
                NextWrite::EndReason(EndReason::Lagged)
            }
            Err(_) => told(self.skip()),
        }
    }

    /// Goes on at the oldest entry kept; what is to be told of it.
    fn skip(&mut self) -> Vec<Frame> {
        self.subscription.skip_to_oldest();
        self.report.gap(Gap::Lagged);
        let id = self.subscription.current_id().unwrap_or_default();
        let told = (self.tell)(ResumeVerdict::Gap(Gap::Lagged), &id);
        // The id in force is another one now, whether or not the gap is told and in whatever form.
        told.into_iter().chain([self.subscription.stream().id_frame(&id)]).collect()
    }

    /// The bytes of this step are in the transport's hands.
    pub fn sent(&mut self, taken: &ReadBatch, bytes: usize) {
        let now = Instant::now();
        self.heartbeat.put_off(now);
        self.report.delivered(taken, bytes, now.into_std());
    }

    /// The prelude of so many bytes goes out with the head.
    pub fn sent_prelude(&mut self, bytes: usize) {
        self.report.sent(bytes);
    }

    /// A heartbeat of so many bytes is in the transport's hands.
    pub fn sent_heartbeat(&mut self, bytes: usize) {
        self.heartbeat.put_off(Instant::now());
        self.report.sent(bytes);
    }

    /// Completes when the response's life is over, for whoever is busy writing. Cancel-safe.
    pub async fn over(&mut self) -> EndReason {
        poll_fn(|cx| self.poll_over(cx)).await
    }

    /// As [`Self::over`]; not to be polled again once it has completed, and neither is [`Self::poll_next`].
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<EndReason> {
        // It will wake whoever polled it last: what is waited for aside is to be asked again afterwards.
        self.aside.renew();
        self.over.as_mut().poll(cx)
    }

    /// Why it ended; to be said once.
    pub fn ended(&self, end: EndReason) {
        self.report.ended(end);
    }

    /// Its reading, for a guard that looks from outside. Nothing waits for who has no place yet.
    pub fn place(&self) -> Offset {
        if self.settling.is_some() { Offset(u64::MAX) } else { self.subscription.position() }
    }

    /// Its place among those of its subject, if it has one.
    pub fn place_of_subject(&self) -> Option<Arc<SubjectPermit>> {
        self.report.place_of_subject()
    }

    /// Whether so many events were asked for: then a client may have closed its side, and waits for them all the same.
    pub fn is_limited(&self) -> bool {
        self.limit < u64::MAX
    }

    /// Whether the response is to end as if it broke. A clean end is the end of all to some clients.
    pub fn is_cut(&self, end: EndReason) -> bool {
        let is_to_come_back = match end {
            EndReason::Expired
            | EndReason::Revoked
            | EndReason::MaxAge
            | EndReason::Drain
            | EndReason::Lagged
            | EndReason::Replaced => true,
            EndReason::Client | EndReason::Stalled | EndReason::Complete | EndReason::Limit | EndReason::Error => false,
        };
        self.end == EndForm::Cut && is_to_come_back
    }

    /// The farewell: when to come back, or why there is no stream after all.
    pub fn farewell(&self, end: EndReason) -> Option<Frame> {
        match end {
            EndReason::Drain | EndReason::MaxAge | EndReason::Replaced => {
                let mut encoder = Encoder::new();
                encoder.retry(self.report.jittered_retry(self.subscription.stream().progress().retry));
                Some(encoder.finish())
            }
            EndReason::Error => {
                let rejection = self.refusal.clone().or_else(|| match self.subscription.stream().progress().phase {
                    Phase::Refused(error) => Some(Rejection::Upstream(error)),
                    Phase::Opening | Phase::Live | Phase::Retrying(_) | Phase::Complete => None,
                });
                let id = self.settling.as_ref().and_then(|settling| settling.wish().after.id().cloned());
                rejection.map(|rejection| rejection.error_event(id))
            }
            EndReason::Client
            | EndReason::Expired
            | EndReason::Revoked
            | EndReason::Lagged
            | EndReason::Stalled
            | EndReason::Complete
            | EndReason::Limit => None,
        }
    }
}

/// An id for the prelude, or what tells it if it is long: a prelude is copied for each client, and goes out with the head.
pub fn parted(id: Option<EventId>, stream: &EventStream) -> (Option<EventId>, Option<Frame>) {
    match id {
        Some(id) if id.as_str().len() > LONG_ID => (None, Some(stream.id_frame(&id))),
        id => (id, None),
    }
}

fn told(frames: impl IntoIterator<Item = Frame>) -> NextWrite {
    NextWrite::Frames(ReadBatch { frames: frames.into_iter().collect(), events: 0, oldest: None })
}

/// The longest id, in bytes, that goes out with the head.
const LONG_ID: usize = 4096;

/// Due after a time without a byte. The timer is only set anew when it fires, not for every event.
struct Heartbeat {
    after: Duration,
    last: Instant,
    timer: Pin<Box<Sleep>>,
    is_due: bool,
}

impl Heartbeat {
    fn new(after: Duration) -> Self {
        let now = Instant::now();
        Self { after, last: now, timer: Box::pin(sleep_until(now + after)), is_due: false }
    }

    fn put_off(&mut self, now: Instant) {
        (self.last, self.is_due) = (now, false);
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = self.last + self.after;
            self.is_due = now >= due;
            self.timer.as_mut().reset(if self.is_due { now + self.after } else { due });
        }
    }
}
