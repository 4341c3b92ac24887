//! The resume of a new subscription: from a request's parameters to a position in the log.
//!
//! The request polls it while the head waits, and the delivery if the head was sent earlier. Each stage ends by itself:
//! the waits for the upstream's first outcome, for an id that may return and for an upstream that is away end within one
//! `open_timeout` together, and a request for the upstream's history within another. Only a log that is shared through an
//! engine may be awaited longer, behind the head. Does not know how the outcome is told.

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
use crate::route::{Route, WhenDown};
use crate::sse::EventId;
use crate::stream::{Backlog, EventSource, Gap, OpenError, REAPPEARANCE_TIMEOUT, ResumeVerdict, Subscription};

/// The outcome of a resume.
#[derive(Debug)]
pub struct ResumeOutcome {
    /// The verdict that the client is told.
    pub verdict: ResumeVerdict,
    /// The last event id at the client's position.
    pub id: Option<EventId>,
}

/// A resume whose outcome is not known yet.
pub struct PendingResume {
    app: Arc<App>,
    route: Arc<Route>,
    params: SubscribeParams,
    /// Makes the request for the upstream's history, if the route allows one.
    history: Option<HistoryRequest>,
    /// Runs while the first outcome, or an id that may return, is awaited.
    timeout: Pin<Box<Sleep>>,
    stage: Stage,
    /// The refusal that ended it.
    rejection: Option<Rejection>,
}

/// The parts of a request for the upstream's history that depend on the client.
#[derive(Clone)]
pub(crate) struct HistoryRequest {
    /// A source like that of the stream.
    pub source: Arc<dyn EventSource>,
    /// The owner of the request: the holder of the client's token, else its address. `None`: a trusted proxy.
    pub owner: Option<Arc<str>>,
}

/// The stages of a resume, in their order.
enum Stage {
    /// Waits for the upstream's first outcome.
    Opening,
    /// Waits until the log has everything that other gateways may have told, if it is shared.
    Looking(BoxFuture<'static, ()>),
    /// Waits for the upstream to send an id again. The timer is for the next look at the log.
    AwaitingId(Option<Pin<Box<Sleep>>>),
    /// Waits for the upstream's history, and before that for the upstream if it is away.
    CatchingUp(BoxFuture<'static, Option<Backlog>>),
}

impl PendingResume {
    /// Starts the resume of a subscription that has just been attached. `history` makes what a request
    /// for history needs, and is called if there may be one.
    pub(crate) fn new(
        app: Arc<App>,
        route: Arc<Route>,
        params: SubscribeParams,
        history: impl FnOnce() -> HistoryRequest,
    ) -> Self {
        let history = (route.read_through.is_some() && params.after.id().is_some()).then(history);
        let timeout = Box::pin(sleep(route.settings.upstream.timing().open_timeout));
        Self { app, route, params, history, timeout, stage: Stage::Opening, rejection: None }
    }

    /// Returns the request's parameters.
    pub fn params(&self) -> &SubscribeParams {
        &self.params
    }

    /// Returns the client's route.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Keeps the refusal that ended the resume after the head, for the end of the response.
    pub fn set_rejection(&mut self, rejection: Rejection) {
        self.rejection = Some(rejection);
    }

    /// Returns the refusal that ended the resume after the head.
    pub fn rejection(&self) -> Option<&Rejection> {
        self.rejection.as_ref()
    }

    /// Moves `reader` to the client's position. Must not be polled after it has completed.
    ///
    /// # Errors
    /// The refusal for the client.
    pub fn poll(&mut self, cx: &mut Context<'_>, reader: &mut Subscription) -> Poll<Result<ResumeOutcome, Rejection>> {
        loop {
            self.stage = match &mut self.stage {
                Stage::Opening => {
                    let is_refused_when_down = self.route.settings.delivery.when_down == WhenDown::Refuse;
                    match reader.poll_opened(cx, is_refused_when_down) {
                        Poll::Ready(outcome) => outcome.map_err(Rejection::Upstream)?,
                        Poll::Pending if !has_elapsed(&mut self.timeout, cx) => return Poll::Pending,
                        Poll::Pending if !reader.has_joined() && self.can_be_late() => return Poll::Pending,
                        Poll::Pending if !reader.has_joined() => return Poll::Ready(Err(away())),
                        Poll::Pending if is_refused_when_down => {
                            return Poll::Ready(Err(Rejection::UpstreamSilent));
                        }
                        Poll::Pending => {}
                    }
                    self.start_look(reader).map_or(Stage::AwaitingId(None), Stage::Looking)
                }
                Stage::Looking(look) => {
                    let is_known = look.as_mut().poll(cx).is_ready();
                    let is_refused_when_down = self.route.settings.delivery.when_down == WhenDown::Refuse;
                    // Also registers for entries: the id may come with one of them.
                    if let Poll::Ready(Err(error)) = reader.poll_opened(cx, is_refused_when_down) {
                        return Poll::Ready(Err(Rejection::Upstream(error)));
                    }
                    let is_found = self.params.after.id().is_none_or(|id| reader.can_resume(id.as_str()));
                    if !is_known && !is_found {
                        let is_over = has_elapsed(&mut self.timeout, cx) && !self.can_be_late();
                        return if is_over { Poll::Ready(Err(away())) } else { Poll::Pending };
                    }
                    Stage::AwaitingId(None)
                }
                Stage::AwaitingId(next_look) => {
                    let is_found =
                        self.params.after.id().is_none_or(|id| reader.poll_for_id(cx, id.as_str()).is_ready());
                    if !is_found && !has_elapsed(&mut self.timeout, cx) {
                        // The stream also gives up on an id after a time, and wakes nobody then.
                        let timer = next_look.get_or_insert_with(|| Box::pin(sleep(LOOK_INTERVAL)));
                        ready!(timer.as_mut().poll(cx));
                        *next_look = None;
                        continue;
                    }
                    match self.start_catch_up(reader) {
                        Some(backlog) => Stage::CatchingUp(backlog),
                        None => return Poll::Ready(Ok(self.apply_resume(reader))),
                    }
                }
                Stage::CatchingUp(backlog) => {
                    let outcome = match backlog.as_mut().poll(cx) {
                        Poll::Ready(Some(backlog)) => self.apply_backlog(reader, backlog),
                        Poll::Ready(None) => self.apply_resume(reader),
                        Poll::Pending => {
                            // The stream may be refused while its upstream is awaited.
                            let is_refused_when_down = self.route.settings.delivery.when_down == WhenDown::Refuse;
                            return match reader.poll_opened(cx, is_refused_when_down) {
                                Poll::Ready(Err(error)) => Poll::Ready(Err(Rejection::Upstream(error))),
                                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                            };
                        }
                    };
                    return Poll::Ready(Ok(outcome));
                }
            };
        }
    }

    /// Returns true if the outcome may come long after the head.
    fn can_be_late(&self) -> bool {
        self.params.follow && self.route.settings.delivery.when_down == WhenDown::Hold
    }

    /// Looks for an id that another gateway may have told before this one has applied it. `None` if the log has it, or is
    /// not shared.
    fn start_look(&self, reader: &Subscription) -> Option<BoxFuture<'static, ()>> {
        let (id, shared) = (self.params.after.id()?, reader.stream().shared()?);
        (!reader.can_resume(id.as_str())).then(|| shared.look())
    }

    /// Asks the upstream, as the stream itself does, for the events after the id. `None` if the log has them, or the
    /// upstream cannot be asked.
    fn start_catch_up(&self, reader: &Subscription) -> Option<BoxFuture<'static, Option<Backlog>>> {
        let (id, history) = (self.params.after.id()?, self.history.clone()?);
        // An id that does not reach the upstream unchanged would ask another question.
        if !self.route.settings.upstream.can_resume_after(id) || reader.can_resume(id.as_str()) {
            return None;
        }
        let (stream, id) = (reader.stream().clone(), id.clone());
        let (app, route, deadline) = (self.app.clone(), self.route.clone(), self.timeout.deadline());
        Some(Box::pin(async move {
            let HistoryRequest { source, owner } = history;
            let read_through = route.read_through.as_ref()?;
            read_through.catch_up_when_connected(&app.tasks, &stream, &id, owner, &source, deadline).await
        }))
    }

    /// Puts a backlog before the log. The last event id there is the client's own, since the log does not have it.
    fn apply_backlog(&self, reader: &mut Subscription, backlog: Backlog) -> ResumeOutcome {
        ResumeOutcome { verdict: reader.resume_from_backlog(backlog), id: self.params.after.id().cloned() }
    }

    /// Moves the reader to the position in the log that the request asks for.
    fn apply_resume(&self, reader: &mut Subscription) -> ResumeOutcome {
        let replay = &self.route.settings.replay;
        let verdict = match &self.params.after {
            LastEventId::Known(id) => reader.resume(id.as_str(), replay.on_gap),
            LastEventId::Unreadable => reader.resume_after_gap(Gap::Unknown, replay.on_gap),
            LastEventId::None => reader.start_at(self.params.start),
        };
        if let ResumeVerdict::Gap(gap) = verdict {
            self.route.metrics.gap(gap.reason());
        }
        ResumeOutcome { verdict, id: reader.current_id() }
    }
}

/// Returns the refusal for clients that cannot wait for the engine that gateways share.
fn away() -> Rejection {
    Rejection::Upstream(Arc::new(OpenError::Cluster("the engine is away".to_owned())))
}

/// Whether the timer has fired. May be called again afterwards.
fn has_elapsed(timer: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> bool {
    timer.is_elapsed() || timer.as_mut().poll(cx).is_ready()
}

/// The time between two looks whether an id may still return.
const LOOK_INTERVAL: Duration = REAPPEARANCE_TIMEOUT.checked_div(8).expect("the divisor is not zero");
