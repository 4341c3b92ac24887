//! What one client gets next: events, a heartbeat, or the end. The same for both ways out.
//!
//! Nothing is held for the client but its place in the log. Does not know how bytes are framed or written.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::life::Life;
use super::report::Report;
use crate::route::Lagging;
use crate::sse::{Encoder, EventId, Frame};
use crate::stream::{Gap, Offset, Ready, Subscription, Taken, TellVerdict, Verdict};
use crate::telemetry::End;

/// One client's reading of one stream.
pub struct Delivery {
    subscription: Subscription,
    over: Over,
    heartbeat: Heartbeat,
    /// Runs while more events are waited for.
    gathering: Option<Pin<Box<Sleep>>>,
    lagged: Lagging,
    is_latest_only: bool,
    gather: Duration,
    tell: TellVerdict,
    until: Until,
    report: Report,
}

/// How far a response goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// Up to this place, `follow=false`. `None`: for ever.
    pub end: Option<Offset>,
    /// So many more events, `limit=N`.
    pub events: u64,
}

/// What a route says about delivering, and what is particular to this client.
pub struct Terms {
    /// What bounds the response's life.
    pub life: Life,
    /// A comment after this long without a byte.
    pub heartbeat: Duration,
    /// What happens when the client falls off the log.
    pub lagged: Lagging,
    /// Whether a lagging client gets only the newest event of each type.
    pub is_latest_only: bool,
    /// How long to wait for more events before writing.
    pub gather: Duration,
    /// How a gap is told.
    pub tell: TellVerdict,
    /// How far to go.
    pub until: Until,
}

/// What to write next.
#[derive(Debug)]
pub enum Step {
    /// These frames.
    Frames(Taken),
    /// A comment, to show that the connection lives.
    Heartbeat,
    /// Nothing more, for this reason.
    End(End),
}

impl Delivery {
    /// Reads from where the subscription stands.
    pub fn new(subscription: Subscription, terms: Terms, report: Report) -> Self {
        Self {
            subscription,
            over: Over::new(terms.life),
            heartbeat: Heartbeat::new(terms.heartbeat),
            gathering: None,
            lagged: terms.lagged,
            is_latest_only: terms.is_latest_only,
            gather: terms.gather,
            tell: terms.tell,
            until: terms.until,
            report,
        }
    }

    /// What to write next; at most about `bytes`, but at least one whole entry. Cancel-safe.
    pub async fn next(&mut self, bytes: usize) -> Step {
        poll_fn(|cx| self.poll_next(cx, bytes)).await
    }

    /// As [`Self::next`]. Thousands are woken for each event, so nothing is waited for anew that is waited for already.
    pub fn poll_next(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<Step> {
        if self.until.events == 0 {
            return Poll::Ready(Step::End(End::Limit));
        }
        if self.until.end.is_some_and(|end| self.subscription.place() >= end) {
            return Poll::Ready(Step::End(End::Complete));
        }
        // The end first: a busy stream must not put it off.
        if let Poll::Ready(end) = self.over.poll(cx) {
            return Poll::Ready(Step::End(end));
        }
        match self.subscription.poll_ready(cx) {
            Poll::Ready(Ready::Complete) => return Poll::Ready(Step::End(End::Complete)),
            Poll::Ready(Ready::Refused) => return Poll::Ready(Step::End(End::Error)),
            Poll::Ready(Ready::Entries) => {}
            Poll::Pending => {
                ready!(self.heartbeat.poll_due(cx));
                return Poll::Ready(Step::Heartbeat);
            }
        }
        // What fills a write already gains nothing by waiting: a replay would take a wait for each piece, and a fast
        // stream would outrun its readers.
        if !self.gather.is_zero() && self.until.end.is_none() && !self.subscription.has_waiting(bytes) {
            let gather = self.gather;
            ready!(self.gathering.get_or_insert_with(|| Box::pin(sleep(gather))).as_mut().poll(cx));
        }
        self.gathering = None;
        Poll::Ready(self.take(bytes))
    }

    fn take(&mut self, bytes: usize) -> Step {
        let taken = match self.is_latest_only {
            true => self.subscription.take_latest(bytes, self.until.events),
            false => self.subscription.take(bytes, self.until.events),
        };
        match taken {
            Ok(taken) => {
                self.until.events = self.until.events.saturating_sub(taken.events);
                Step::Frames(taken)
            }
            Err(_) if self.lagged == Lagging::Disconnect => Step::End(End::Lagged),
            Err(_) => Step::Frames(Taken { frames: self.skip(), events: 0, oldest: None }),
        }
    }

    /// Goes on at the oldest entry kept; what is to be told of it.
    fn skip(&mut self) -> Vec<Frame> {
        self.subscription.skip();
        self.report.gap(Gap::Lagged);
        let id = self.subscription.id_in_force().unwrap_or_default();
        let told = (self.tell)(Verdict::Gap(Gap::Lagged), &id);
        // The id in force is another one now, whether or not the gap is told and in whatever form.
        told.into_iter().chain([id_alone(&id)]).collect()
    }

    /// The bytes of this step are in the transport's hands.
    pub fn sent(&mut self, taken: &Taken, bytes: usize) {
        let now = Instant::now();
        self.heartbeat.put_off(now);
        let subscription = &self.subscription;
        self.report.delivered(taken, bytes, now.into_std(), || subscription.behind());
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
    pub async fn over(&mut self) -> End {
        poll_fn(|cx| self.over.poll(cx)).await
    }

    /// Why it ended; to be said once.
    pub fn ended(&self, end: End) {
        self.report.ended(end);
    }

    /// Its reading, for a guard that looks from outside.
    pub fn place(&self) -> Offset {
        self.subscription.place()
    }

    /// The farewell before an end that the client is to come back from.
    pub fn farewell(&self, end: End) -> Option<Frame> {
        match end {
            End::Drain | End::MaxAge => {
                let mut encoder = Encoder::new();
                encoder.retry(self.report.jittered_retry(self.subscription.stream().progress().retry));
                Some(encoder.finish())
            }
            _ => None,
        }
    }
}

fn id_alone(id: &EventId) -> Frame {
    let mut encoder = Encoder::new();
    encoder.id(id).blank();
    encoder.finish()
}

/// The end of a life, polled only when it has asked for it. Thousands are woken for each event, and what a life waits for
/// (two watches, a timer) would be most of what each of them does besides writing.
struct Over {
    over: BoxFuture<'static, End>,
    note: Option<Arc<Note>>,
}

/// Wakes the task, and leaves word of who wanted it.
struct Note {
    is_left: AtomicBool,
    task: Waker,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_left.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Over {
    fn new(life: Life) -> Self {
        Self { over: Box::pin(life.over()), note: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let note = match &self.note {
            Some(note) if note.task.will_wake(cx.waker()) => {
                if !note.is_left.load(Ordering::Acquire) {
                    return Poll::Pending;
                }
                // Taken away before the poll: what happens during it leaves a new one.
                note.is_left.store(false, Ordering::Release);
                note
            }
            _ => self.note.insert(Arc::new(Note { is_left: AtomicBool::new(false), task: cx.waker().clone() })),
        };
        let waker = Waker::from(note.clone());
        self.over.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// Due after a time without a byte. The timer is only set anew when it fires, not for every event.
struct Heartbeat {
    after: Duration,
    last: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Heartbeat {
    fn new(after: Duration) -> Self {
        let now = Instant::now();
        Self { after, last: now, timer: Box::pin(sleep_until(now + after)) }
    }

    fn put_off(&mut self, now: Instant) {
        self.last = now;
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let due = self.last + self.after;
            if now >= due {
                // Until the heartbeat is written it stays due at the next look only.
                self.timer.as_mut().reset(now + self.after);
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(due);
        }
    }
}
