//! The task of one shared stream: it joins, follows, claims and owns.
//!
//! Whatever happens, it looks at the engine before it goes on, and nothing is told that is not stored. Only this file
//! decides what comes next; [`LogReader`] applies records and [`Owning`] writes them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::context::moment;
use super::engine::{AppendError, EngineError, LiveRecord};
use super::following::{FollowEnd, Following};
use super::log_reader::{LogReader, Look};
use super::member::{Member, Place};
use super::message::{decode_error, encode_error};
use super::nodes::NodesChange;
use super::observer::{ClaimResult, ResetCause, ResyncCause};
use super::owner::{OwnEnd, own};
use super::owning::state_at_end;
use super::phases::OwnersWords;
use super::record::{Owner, RecordHead, ReleaseReason};
use super::release::{release, release_later};
use crate::runtime::tasks::Draining;
use crate::stream::{EventStream, Finished, Incompletion, OnEnd, OpenError, Phase, ShareRole, SharedFeed, SharedLog};

/// The task of one shared stream.
pub(super) struct MemberTask {
    member: Arc<Member>,
    reader: LogReader,
    changes: watch::Receiver<NodesChange>,
    draining: Draining,
    /// The sequence of the newest record when the stream joined. What is older concerns others.
    joined_at: Option<u64>,
    /// The time of the last look.
    looked_at: Option<Instant>,
    /// The sequence of the record after which the log was last given up.
    given_up: Option<u64>,
    /// The mark of a first claim, after which nothing was sent upstream. Whoever finds a claim of somebody else must
    /// assume that it was.
    unused_claim: Option<u64>,
}

/// Releases what a task owns, or may own, when it ends in any way.
struct ReleaseOnDrop(Arc<Member>);

impl Drop for ReleaseOnDrop {
    fn drop(&mut self) {
        self.0.set_role(ShareRole::Join);
        // No look is left to wait for. Whoever waits is told by the end of the stream, which after a panic comes later.
        if !std::thread::panicking() {
            self.0.looked(u64::MAX);
        }
        if let Some(term) = self.0.take_claim() {
            release_later(self.0.context(), *self.0.log_id(), term);
        }
    }
}

impl MemberTask {
    /// Creates the task of a stream that is being opened.
    pub(super) fn new(member: Arc<Member>, feed: SharedFeed) -> Self {
        let context = member.context();
        let (changes, draining) = (context.nodes.changes(), context.tasks.draining());
        let reader = LogReader::new(feed, member.clone());
        Self { member, reader, changes, draining, joined_at: None, looked_at: None, given_up: None, unused_claim: None }
    }

    /// Feeds the stream until it is complete, refused, or has to be opened anew.
    pub(super) async fn run(mut self) -> Finished {
        let _release = ReleaseOnDrop(self.member.clone());
        let mut live: Option<BoxStream<'static, LiveRecord>> = None;
        let mut words = OwnersWords::default();
        loop {
            // Subscribe before reading, or a record in between would be missed.
            let records = match live.take() {
                Some(records) => records,
                None => {
                    let subscribed = self.member.context().engine.live(self.member.log_id()).await;
                    match subscribed {
                        Ok(records) => {
                            self.reader.subscribed();
                            records
                        }
                        Err(error) => {
                            self.member.context().count_error(&error);
                            self.pause_away().await;
                            continue;
                        }
                    }
                }
            };
            let records = live.insert(records);
            let requests = self.member.begin_look();
            self.looked_at = Some(Instant::now());
            match self.look().await {
                Ok(Look::Current) => {
                    self.member.set_unreadable(false);
                }
                Ok(Look::Again) => {
                    sleep(PAUSE).await;
                    continue;
                }
                Ok(Look::Unreadable(error)) => {
                    if !self.member.set_unreadable(true) {
                        warn!(stream = %self.stream().key().excerpt(), %error, "shared log unreadable");
                    }
                    self.set_away(&error.to_string());
                    sleep(UNREADABLE_PAUSE).await;
                    continue;
                }
                Ok(Look::Reset(cause)) => return self.reset(cause),
                Err(error) => {
                    self.member.context().count_error(&error);
                    self.pause_away().await;
                    continue;
                }
            }
            let place = self.member.place();
            if self.joined_at.replace(self.joined_at.unwrap_or(place.sequence)).is_none() {
                self.member.joined();
                self.member.context().observer.resynced(ResyncCause::Join);
            }
            self.member.looked(requests);
            if self.give_up(&place).await {
                continue;
            }
            if let Some(finished) = self.finished(&place).or_else(|| self.forgotten(&place)) {
                return finished;
            }
            if self.may_claim() {
                if self.claim(&place).await {
                    live = None;
                    let is_first = self.unused_claim.take().is_some();
                    let Self { member, reader, changes, draining, .. } = &mut self;
                    match own(member, &mut reader.feed, is_first, changes, &mut words, draining).await {
                        OwnEnd::Finished(finished) => return self.end_ownership(finished),
                        OwnEnd::Draining => self.release(ReleaseReason::Drain).await,
                        OwnEnd::Stopped => self.release(ReleaseReason::Stopped).await,
                        OwnEnd::Fenced => {}
                    }
                }
                continue;
            }
            if place.term() > 0 && self.unused_claim.is_none() {
                self.reader.feed.discard_request();
            }
            let following = Following {
                member: &self.member,
                reader: &mut self.reader,
                changes: &mut self.changes,
                words: &mut words,
                draining: &mut self.draining,
                looked_at: self.looked_at,
            };
            match following.run(records).await {
                FollowEnd::Look(cause) => {
                    if let Some(cause) = cause {
                        self.member.context().observer.resynced(cause);
                    }
                }
                FollowEnd::Unsubscribed => live = None,
                FollowEnd::Reset(cause) => return self.reset(cause),
            }
        }
    }

    fn stream(&self) -> &Arc<EventStream> {
        self.reader.stream()
    }

    /// Looks at the engine, one of a bounded number of streams at a time.
    async fn look(&mut self) -> Result<Look, EngineError> {
        let context = self.member.context().clone();
        let _permit = context.claims.acquire().await;
        self.reader.look().await
    }

    /// Returns the end of a stream that another gateway has ended.
    fn finished(&mut self, place: &Place) -> Option<Finished> {
        let head = place.head.as_ref()?;
        let stream = self.stream();
        let policy = stream.policy().current();
        let ago = Duration::from_millis(moment().wall.saturating_sub(head.written));
        let is_news = self.joined_at.is_some_and(|joined| place.sequence > joined);
        // What is no news may have been written before a reload made the end of a response an interruption.
        if head.is_complete && (is_news || policy.on_end == OnEnd::Complete) && ago < policy.retention.age {
            stream.set_phase(Phase::Complete);
            return Some(Finished::Complete { ago });
        }
        match &head.owner {
            Owner::Released(ReleaseReason::Refused { refusal, memory })
                if (is_news || ago < *memory) && !place.has_been_live() =>
            {
                Some(self.reader.feed.refuse_for(decode_error(refusal)?, memory.saturating_sub(ago)))
            }
            Owner::Released(reason @ (ReleaseReason::Broken | ReleaseReason::Stopped))
                if ago < policy.retention.age =>
            {
                let is_stopped = *reason == ReleaseReason::Stopped;
                stream.set_phase(Phase::Incomplete(match is_stopped {
                    true => Incompletion::Stopped,
                    false => Incompletion::Broken,
                }));
                Some(Finished::Incomplete)
            }
            Owner::Node(_) | Owner::Released(_) => None,
        }
    }

    /// Returns the end of a stream of which nothing is left and that this gateway cannot begin, since its request must not
    /// be repeated.
    fn forgotten(&self, place: &Place) -> Option<Finished> {
        let feed = &self.reader.feed;
        if feed.is_repeatable() {
            return None;
        }
        let is_left = match place.head.as_ref().map(|head| &head.owner) {
            None => feed.can_send(),
            // Whoever owned it may have sent the request. What there is of the answer is told, and then the break.
            Some(Owner::Node(_) | Owner::Released(ReleaseReason::Drain | ReleaseReason::Unused)) => true,
            Some(Owner::Released(
                ReleaseReason::Refused { .. }
                | ReleaseReason::Complete
                | ReleaseReason::Broken
                | ReleaseReason::Stopped
                | ReleaseReason::Answered,
            )) => false,
        };
        let forgotten = || OpenError::NotFound("no gateway has the stream any more".to_owned());
        (!is_left).then(|| feed.refuse_for(forgotten(), FORGOTTEN_MEMORY))
    }

    /// Returns true if nobody owns the log and this gateway should.
    fn may_claim(&self) -> bool {
        let is_possible = self.member.context().nodes.is_valid() && !self.draining.has_started();
        is_possible && self.member.is_free() && self.reader.is_wanted()
    }

    /// Releases a log that is still this gateway's by the last record, if it will not own it: its lease was over, or the
    /// answer to a claim was lost, and nobody reads it here any more. Others wait for it.
    async fn give_up(&mut self, place: &Place) -> bool {
        let context = self.member.context().clone();
        let is_draining = self.draining.has_started();
        let is_mine = place.node() == Some(context.nodes.me());
        if !is_mine || (self.reader.is_wanted() && !is_draining) {
            return false;
        }
        let claim = self.member.take_claim();
        let is_repeated = self.given_up.replace(place.sequence) == Some(place.sequence);
        if claim.is_none() && is_repeated {
            return false;
        }
        // Without a claim it is one of a stream that was reset since: the engine has forgotten what came after it.
        let term = claim.unwrap_or(place.term());
        let reason = if is_draining { ReleaseReason::Drain } else { ReleaseReason::Unused };
        release(&context, *self.member.log_id(), term, reason).await;
        true
    }

    /// Writes an empty record with the next term and a new epoch. Returns true if this gateway owns the log.
    async fn claim(&mut self, place: &Place) -> bool {
        let context = self.member.context().clone();
        let Ok(permit) = context.claims.acquire().await else { return false };
        let moment = moment();
        let before = place.head.as_ref();
        let head = RecordHead {
            mark: context.random.mark(),
            prev: place.mark(),
            life: before.map_or_else(|| context.random.mark(), |head| head.life),
            term: place.term() + 1,
            owner: Owner::Node(context.nodes.me().to_owned()),
            seed: before.map_or_else(|| self.stream().fingerprints().seed(), |head| head.seed),
            epoch: context.random.epoch(),
            first: place.end(),
            count: 0,
            retry: self.stream().progress().retry,
            is_complete: false,
            has_been_live: place.has_been_live(),
            written: moment.wall,
        };
        let payload = head.encode(&context.keys, self.member.log_id(), &state_at_end(self.stream()), moment);
        let is_first = place.term() == 0 || self.unused_claim == Some(place.mark());
        self.unused_claim = is_first.then_some(head.mark);
        self.member.claiming(head.term);
        let after = self.sequence_to_follow(place).await;
        let result = context.engine.append(self.member.log_id(), after, payload).await;
        // Other streams need not wait for the pause of one that lost.
        drop(permit);
        let route = self.member.route();
        match result {
            Ok(sequence) => {
                context.observer.claimed(route, ClaimResult::Won);
                context.written.record(*self.member.log_id(), sequence);
                self.stream().begin_term(head.seed, &head.epoch, head.has_been_live);
                debug!(stream = %self.stream().key().excerpt(), term = head.term, "stream owned");
                self.member.advance(sequence, head);
                true
            }
            // Whatever is stored shows at the next look.
            Err(AppendError::Refused) => {
                context.observer.claimed(route, ClaimResult::Lost);
                sleep(context.jitter(PAUSE)).await;
                false
            }
            Err(AppendError::Unknown(error)) => {
                context.observer.claimed(route, ClaimResult::Failed);
                context.count_error(&error);
                sleep(AWAY_PAUSE).await;
                false
            }
        }
    }

    /// Returns the sequence after which a claim is stored: that of the record that was applied last.
    #[cfg(not(test))]
    async fn sequence_to_follow(&self, place: &Place) -> u64 {
        place.sequence
    }

    /// As in the gateway, except for the mutant that claims without having looked.
    #[cfg(test)]
    async fn sequence_to_follow(&self, place: &Place) -> u64 {
        let context = self.member.context();
        if context.mutant != super::fake::Mutant::ClaimWithoutLooking {
            return place.sequence;
        }
        let newest = context.engine.newest(self.member.log_id()).await;
        newest.ok().flatten().map_or(place.sequence, |newest| newest.sequence)
    }

    /// Ends an ownership with the stream.
    fn end_ownership(&self, finished: Finished) -> Finished {
        let context = self.member.context().clone();
        let claim = self.member.take_claim();
        if let (Finished::Refused(memory), Some(term)) = (&finished, claim) {
            let (later, log, memory) = (context.clone(), *self.member.log_id(), *memory);
            let refused = |refusal| ReleaseReason::Refused { refusal, memory };
            let reason = match self.stream().progress().phase {
                Phase::Refused(error) if matches!(*error, OpenError::Answered(_)) => ReleaseReason::Answered,
                Phase::Refused(error) => encode_error(&error).map_or(ReleaseReason::Unused, refused),
                Phase::Opening | Phase::Live | Phase::Retrying(_) | Phase::Complete | Phase::Incomplete(_) => {
                    ReleaseReason::Unused
                }
            };
            context.tasks.spawn("release", async move { release(&later, log, term, reason).await });
        }
        finished
    }

    /// Releases the log: another gateway owns it before this one has left, or the next look ends the stream.
    async fn release(&self, reason: ReleaseReason) {
        if let Some(term) = self.member.take_claim() {
            info!(stream = %self.stream().key().excerpt(), reason = reason.label(), "stream released");
            release(self.member.context(), *self.member.log_id(), term, reason).await;
        }
    }

    /// Ends the readers' responses: they come back with their ids, and are judged by what is there then.
    fn reset(&self, cause: ResetCause) -> Finished {
        self.member.context().observer.reset(cause);
        warn!(stream = %self.stream().key().excerpt(), cause = cause.label(), "shared log continues from something else, readers have to come back");
        self.reader.feed.refuse(OpenError::Cluster("the shared log continues from something else".to_owned()));
        Finished::Refused(Duration::ZERO)
    }

    /// Waits before the next attempt to reach the engine.
    async fn pause_away(&self) {
        if !self.member.context().nodes.is_valid() {
            self.set_away("the engine is away");
        }
        let pause = AWAY_PAUSE + self.member.context().jitter(AWAY_PAUSE);
        // A look that is asked for cannot be answered sooner.
        sleep_until(Instant::now() + pause).await;
    }

    /// Tells readers that are not held that the stream is down. Before the stream has joined, its phase stays open.
    fn set_away(&self, why: &str) {
        if self.member.has_joined() {
            self.stream().set_phase(Phase::Retrying(Some(Arc::new(OpenError::Cluster(why.to_owned())))));
        }
    }
}

/// The time for which a stream that no gateway has is known to be none.
const FORGOTTEN_MEMORY: Duration = Duration::from_secs(1);

/// The pause before another look.
const PAUSE: Duration = Duration::from_millis(50);

/// The least pause between attempts to reach an engine that is away.
const AWAY_PAUSE: Duration = Duration::from_millis(200);

/// The pause before another look at a record that cannot be read.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(1);
