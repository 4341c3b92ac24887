//! From a new reader to its client's place in the log: what has to be known before, and how long that is waited for.
//!
//! Polled by the request while its head waits, and by the delivery when the head went out before. Everything it waits for
//! ends by itself: the upstream's first outcome and an id that may return within `open_timeout`, a request for the
//! history likewise. Does not know how a place is told.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Sleep, sleep};

use crate::http::app::App;
use crate::http::request::last_event_id::LastEventId;
use crate::http::request::params::SubscribeParams;
use crate::http::response::rejection::Rejection;
use crate::route::{Route, Start, WhenDown};
use crate::sse::EventId;
use crate::stream::{Backlog, Gap, REAPPEARANCE_TIMEOUT, ResumeVerdict, Subscription};
use crate::upstream::HttpEventSource;

/// Where a client stands, and what is to be told of it.
#[derive(Debug)]
pub struct ResumeOutcome {
    /// How its wish turned out.
    pub verdict: ResumeVerdict,
    /// The id in force at its place.
    pub id: Option<EventId>,
}

/// A client's place that is not known yet.
pub struct PendingResume {
    app: Arc<App>,
    route: Arc<Route>,
    wish: SubscribeParams,
    /// Where the stream's events come from, for who may be caught up.
    source: Option<Arc<HttpEventSource>>,
    /// Runs while the first outcome, or an id that may return, is waited for.
    patience: Pin<Box<Sleep>>,
    stage: Stage,
}

/// What is waited for.
enum Stage {
    /// The upstream's first outcome.
    Opening,
    /// That the upstream brings an id again; the timer is for the next look.
    Returning(Option<Pin<Box<Sleep>>>),
    /// The upstream's history.
    CatchingUp(BoxFuture<'static, Option<Backlog>>),
}

impl PendingResume {
    /// For a reader that has just been attached. `source` makes the source that its stream has.
    pub fn new(
        app: Arc<App>,
        route: Arc<Route>,
        wish: SubscribeParams,
        source: impl FnOnce() -> Arc<HttpEventSource>,
    ) -> Self {
        let source = (route.read_through.is_some() && wish.after.id().is_some()).then(source);
        let patience = Box::pin(sleep(route.settings.upstream.open_timeout));
        Self { app, route, wish, source, patience, stage: Stage::Opening }
    }

    /// What is asked for.
    pub fn wish(&self) -> &SubscribeParams {
        &self.wish
    }

    /// The client's route.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Takes the reader to its client's place; not to be polled again once it has completed.
    ///
    /// # Errors
    /// What the client is refused with.
    pub fn poll(&mut self, cx: &mut Context<'_>, reader: &mut Subscription) -> Poll<Result<ResumeOutcome, Rejection>> {
        loop {
            self.stage = match &mut self.stage {
                Stage::Opening => {
                    let is_refused_when_down = self.route.settings.delivery.when_down == WhenDown::Refuse;
                    match reader.poll_opened(cx, is_refused_when_down) {
                        Poll::Ready(outcome) => outcome.map_err(Rejection::Upstream)?,
                        Poll::Pending if !is_over(&mut self.patience, cx) => return Poll::Pending,
                        Poll::Pending if is_refused_when_down => {
                            return Poll::Ready(Err(Rejection::UpstreamSilent));
                        }
                        Poll::Pending => {}
                    }
                    Stage::Returning(None)
                }
                Stage::Returning(look) => {
                    let is_found = self.wish.after.id().is_none_or(|id| reader.poll_for_id(cx, id.as_str()).is_ready());
                    if !is_found && !is_over(&mut self.patience, cx) {
                        // Time decides as well, and nobody is woken for that.
                        let timer = look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
                        ready!(timer.as_mut().poll(cx));
                        *look = None;
                        continue;
                    }
                    match self.catch_up(reader) {
                        Some(catching_up) => Stage::CatchingUp(catching_up),
                        None => return Poll::Ready(Ok(self.position(reader))),
                    }
                }
                Stage::CatchingUp(backlog) => {
                    let settled = match ready!(backlog.as_mut().poll(cx)) {
                        Some(backlog) => self.caught_up(reader, backlog),
                        None => self.position(reader),
                    };
                    return Poll::Ready(Ok(settled));
                }
            };
        }
    }

    /// Where the log does not have what follows the id, asks the upstream, as the stream itself does.
    fn catch_up(&self, reader: &Subscription) -> Option<BoxFuture<'static, Option<Backlog>>> {
        let (id, source) = (self.wish.after.id()?, self.source.clone()?);
        // What does not reach the upstream as it is would be another question.
        if !self.route.settings.upstream.resume.carries(id) || reader.can_resume(id.as_str()) {
            return None;
        }
        let (stream, id) = (reader.stream().clone(), id.clone());
        let (app, route) = (self.app.clone(), self.route.clone());
        Some(Box::pin(async move { route.read_through.as_ref()?.catch_up(&app.tasks, &stream, &id, || source).await }))
    }

    /// What a client was caught up with stands before the log: the id at its place is its own alone.
    fn caught_up(&self, reader: &mut Subscription, backlog: Backlog) -> ResumeOutcome {
        ResumeOutcome { verdict: reader.resume_from_backlog(backlog), id: self.wish.after.id().cloned() }
    }

    fn position(&self, reader: &mut Subscription) -> ResumeOutcome {
        let replay = &self.route.settings.replay;
        let verdict = match &self.wish.after {
            LastEventId::Known(id) => reader.resume(id.as_str(), replay.on_gap),
            LastEventId::Unreadable => reader.resume_after_gap(Gap::Unknown, replay.on_gap),
            // A finite read without an id is for everything that is there.
            LastEventId::None if !self.wish.follow => reader.start_at(Start::Oldest),
            LastEventId::None => reader.start_at(replay.start),
        };
        if let ResumeVerdict::Gap(gap) = verdict {
            self.route.metrics.gap(gap.reason());
        }
        ResumeOutcome { verdict, id: reader.current_id() }
    }
}

/// Whether its time is over, which may be asked again.
fn is_over(timer: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> bool {
    timer.is_elapsed() || timer.as_mut().poll(cx).is_ready()
}

/// How often it is looked whether there is no hope any more for an id to return.
const LOOK: Duration = REAPPEARANCE_TIMEOUT.checked_div(8).expect("a part of a time");
