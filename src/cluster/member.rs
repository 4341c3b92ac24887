//! One shared stream of this gateway, as all others see it: its place in the log, and the requests that its task answers.
//!
//! ```text
//!  Join ─▶ Follow ─ free ─▶ Claim ─ acknowledged ─▶ Own
//!           ▲  ▲              └─ anything else ─┐    │ overtaken, lease over, released
//!           │  └─ Look ◀────────────────────────┴────┘
//!           └─ Reset: another life; the readers' responses end, and they come back with their ids
//! ```
//!
//! [`MemberTask`](super::member_task::MemberTask) moves it.

mod words;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::context::{ClusterContext, moment};
use super::engine::{LogId, Stored};
use super::message::{ANSWER_WAIT, StreamMessage};
use super::record::{LogRecord, RecordHead};
use crate::stream::{EventStream, ShareRole, SharedLog, StreamShare};

pub(super) use words::Doubt;

/// One shared stream of this gateway.
pub(super) struct Member {
    context: Arc<ClusterContext>,
    log: LogId,
    route: Arc<str>,
    stream: Weak<EventStream>,
    /// True if no other gateway can go on after this one, because the request must not be repeated.
    is_sent_once: bool,
    /// Never held across an await.
    place: Mutex<Place>,
    /// Never held across an await.
    role: Mutex<ShareRole>,
    has_joined: AtomicBool,
    /// True while the newest record cannot be read.
    is_unreadable: AtomicBool,
    /// True while a record is on its way to the engine.
    is_in_flight: AtomicBool,
    /// The highest term that this gateway tried to claim and has not released. 0: none.
    claimed_term: AtomicU64,
    /// Tells the task that there is a reason to look at the engine.
    poke: Notify,
    /// The reasons, besides looks that were requested.
    must_look: AtomicBool,
    /// True if the owner may have told its phase while this gateway did not hear it.
    must_ask: AtomicBool,
    /// The sequence of the newest record that is heard of.
    heard_of: AtomicU64,
    looks_requested: AtomicU64,
    looks_done: watch::Sender<u64>,
    phase_changed: Notify,
    stop: Notify,
}

/// The last record that the stream's log has.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// Its sequence. 0: none.
    pub sequence: u64,
    /// Its head.
    pub head: Option<RecordHead>,
}

impl Place {
    /// Returns the mark of the last record. 0: there is none.
    pub(super) fn mark(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.mark)
    }

    /// Returns the number of entries in the life so far.
    pub(super) fn end(&self) -> u64 {
        self.head.as_ref().map_or(0, RecordHead::end)
    }

    /// Returns the term. 0: there was no owner yet.
    pub(super) fn term(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.term)
    }

    /// Returns the epoch of the last claim, which names it. Empty: there was none.
    pub(super) fn epoch(&self) -> &str {
        self.head.as_ref().map_or("", |head| &head.epoch)
    }

    /// Returns the node id of the owner, if there is one.
    pub(super) fn node(&self) -> Option<&str> {
        self.head.as_ref().and_then(RecordHead::node)
    }

    /// Returns true if the upstream has been connected in this life.
    pub(super) fn has_been_live(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.has_been_live || head.end() > 0)
    }
}

impl Member {
    /// Creates the member of a stream that is being opened.
    pub(super) fn new(
        context: Arc<ClusterContext>,
        log: LogId,
        stream: &Arc<EventStream>,
        is_sent_once: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            context,
            log,
            route: stream.key().route.clone(),
            stream: Arc::downgrade(stream),
            is_sent_once,
            place: Mutex::default(),
            role: Mutex::new(ShareRole::Join),
            has_joined: AtomicBool::new(false),
            is_unreadable: AtomicBool::new(false),
            is_in_flight: AtomicBool::new(false),
            claimed_term: AtomicU64::new(0),
            poke: Notify::new(),
            must_look: AtomicBool::new(false),
            must_ask: AtomicBool::new(false),
            heard_of: AtomicU64::new(0),
            looks_requested: AtomicU64::new(0),
            looks_done: watch::channel(0).0,
            phase_changed: Notify::new(),
            stop: Notify::new(),
        })
    }

    /// Returns what all streams of the gateway use.
    pub(super) fn context(&self) -> &Arc<ClusterContext> {
        &self.context
    }

    /// Returns the name of the log.
    pub(super) fn log_id(&self) -> &LogId {
        &self.log
    }

    /// Returns the name of the stream's route.
    pub(super) fn route(&self) -> &Arc<str> {
        &self.route
    }

    /// Returns the last record that the stream's log has.
    pub(super) fn place(&self) -> Place {
        self.place.lock().clone()
    }

    /// Returns true if this record is the last one that the stream's log has. An engine that lost everything uses
    /// sequences again, but never a mark.
    pub(super) fn is_at(&self, newest: &Stored) -> bool {
        let place = self.place();
        let read = || LogRecord::decode(&self.context.keys, &self.log, &newest.payload, moment());
        newest.sequence == place.sequence
            && read().is_ok_and(|record| record.head.mark == place.mark() || self.context.ignores_marks())
    }

    /// Moves to a record whose entries the stream's log has, or will have at once.
    pub(super) fn advance(&self, sequence: u64, head: RecordHead) {
        let term = head.term;
        *self.place.lock() = Place { sequence, head: Some(head) };
        if term > self.claimed_term.load(Ordering::Acquire) {
            self.claimed_term.store(0, Ordering::Release);
        }
    }

    /// Returns the role.
    pub(super) fn role(&self) -> ShareRole {
        *self.role.lock()
    }

    /// Sets the role.
    pub(super) fn set_role(&self, role: ShareRole) {
        *self.role.lock() = role;
    }

    /// Returns true if nobody owns the log, as far as this gateway knows.
    pub(super) fn is_free(&self) -> bool {
        let (place, nodes) = (self.place.lock(), &self.context.nodes);
        match place.node() {
            None => true,
            // A claim whose answer was lost, or an ownership that was given up.
            Some(owner) if owner == nodes.me() => self.role() != ShareRole::Own,
            Some(owner) => nodes.is_dead(owner),
        }
    }

    /// Notes that the stream's log has what is shared.
    pub(super) fn joined(&self) {
        self.has_joined.store(true, Ordering::Release);
    }

    /// Notes that the newest record cannot be read, or can again. Returns what was noted before.
    pub(super) fn set_unreadable(&self, is_unreadable: bool) -> bool {
        self.is_unreadable.swap(is_unreadable, Ordering::AcqRel)
    }

    /// Returns true while the newest record cannot be read.
    pub(super) fn is_unreadable(&self) -> bool {
        self.is_unreadable.load(Ordering::Acquire)
    }

    /// Notes that a record is on its way, or no longer.
    pub(super) fn set_in_flight(&self, is_in_flight: bool) {
        self.is_in_flight.store(is_in_flight, Ordering::Release);
    }

    /// Returns true while a record is on its way.
    pub(super) fn is_in_flight(&self) -> bool {
        self.is_in_flight.load(Ordering::Acquire)
    }

    /// Notes an attempt to own the log, which may be stored whatever is answered.
    pub(super) fn claiming(&self, term: u64) {
        self.claimed_term.store(term, Ordering::Release);
    }

    /// Returns the term of a claim that has to be released, once.
    pub(super) fn take_claim(&self) -> Option<u64> {
        Some(self.claimed_term.swap(0, Ordering::AcqRel)).filter(|term| *term > 0)
    }

    /// Asks the task to look at the engine.
    pub(super) fn demand_look(&self) {
        self.must_look.store(true, Ordering::Release);
        self.poke.notify_one();
    }

    /// Asks the task to ask the owner for its phase.
    pub(super) fn demand_question(&self) {
        self.must_ask.store(true, Ordering::Release);
        self.poke.notify_one();
    }

    /// Returns true, once, if the owner is to be asked for its phase.
    pub(super) fn take_question(&self) -> bool {
        self.must_ask.swap(false, Ordering::AcqRel)
    }

    /// Notes that a record with this sequence was stored.
    pub(super) fn heard_of(&self, sequence: u64) {
        if self.heard_of.fetch_max(sequence, Ordering::AcqRel) < sequence && sequence > self.place.lock().sequence {
            self.poke.notify_one();
        }
    }

    /// Completes when there may be a reason to look. Cancel-safe.
    pub(super) async fn poked(&self) {
        self.poke.notified().await;
    }

    /// Returns true if the stream's log lacks a record of which this gateway has heard.
    pub(super) fn is_behind(&self) -> bool {
        self.heard_of.load(Ordering::Acquire) > self.place.lock().sequence
    }

    /// Returns true if there is a reason to look at the engine.
    pub(super) fn needs_look(&self) -> bool {
        self.has_requests() || self.must_look.load(Ordering::Acquire) || self.is_behind()
    }

    /// Returns true if a client waits for a look.
    pub(super) fn has_requests(&self) -> bool {
        self.looks_requested.load(Ordering::Acquire) > *self.looks_done.borrow()
    }

    /// Begins a look, which answers all requests so far. Returns their number for [`Self::looked`].
    pub(super) fn begin_look(&self) -> u64 {
        self.must_look.store(false, Ordering::Release);
        self.looks_requested.load(Ordering::Acquire)
    }

    /// Ends a look: the stream's log has everything that the engine had when it began.
    pub(super) fn looked(&self, requests: u64) {
        self.looks_done.send_if_modified(|done| {
            let is_new = *done < requests;
            *done = requests.max(*done);
            is_new
        });
    }

    /// Completes when the phase of the stream has changed. Cancel-safe.
    pub(super) async fn phase_changed(&self) {
        self.phase_changed.notified().await;
    }

    /// Completes when the stream is to end before its end. Cancel-safe.
    pub(super) async fn stop_requested(&self) {
        self.stop.notified().await;
    }

    /// Returns true if clients of this gateway read the stream.
    pub(super) fn has_readers(&self) -> bool {
        self.stream.upgrade().is_some_and(|stream| stream.subscribers() > 0)
    }
}

impl SharedLog for Member {
    fn has_joined(&self) -> bool {
        self.has_joined.load(Ordering::Acquire)
    }

    fn look(&self) -> BoxFuture<'static, ()> {
        let wanted = self.looks_requested.fetch_add(1, Ordering::AcqRel) + 1;
        self.poke.notify_one();
        let mut done = self.looks_done.subscribe();
        async move {
            if done.wait_for(|done| *done >= wanted).await.is_err() {
                // The stream is gone, and its readers are told.
                std::future::pending().await
            }
        }
        .boxed()
    }

    fn is_read_elsewhere(&self) -> BoxFuture<'static, bool> {
        let (context, log, role) = (self.context.clone(), self.log, self.role());
        async move {
            let question = StreamMessage::WhoReads(context.nodes.me().to_owned()).encode(&context.keys, &log);
            let Some(question) = question.filter(|_| role == ShareRole::Own) else { return false };
            match context.engine.ask(&log, question.into(), ANSWER_WAIT).await {
                Ok(answer) => answer.is_some_and(|answer| {
                    StreamMessage::decode(&context.keys, &log, &answer) == Some(StreamMessage::Reads)
                }),
                Err(error) => {
                    context.count_error(&error);
                    false
                }
            }
        }
        .boxed()
    }

    fn request_stop(&self) {
        if self.role() == ShareRole::Own {
            self.stop.notify_one();
        }
    }

    fn is_bound_to_source(&self) -> bool {
        self.is_sent_once && self.role() == ShareRole::Own
    }

    fn notify_reader(&self) {
        if self.is_free() {
            self.demand_look();
        }
    }

    fn notify_phase(&self) {
        self.phase_changed.notify_one();
    }

    fn share(&self) -> StreamShare {
        let place = self.place.lock();
        StreamShare { role: self.role(), owner: place.node().map(str::to_owned), term: place.term() }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member({})", self.log)
    }
}
