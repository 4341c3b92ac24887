//! Following: the owner's records are applied as they arrive, until there is a reason to look at the engine.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::context::finished;
use super::engine::LiveRecord;
use super::log_reader::{Applied, LogReader};
use super::member::Member;
use super::message::{ANSWER_WAIT, StreamMessage};
use super::nodes::NodesChange;
use super::observer::{ResetCause, ResyncCause};
use super::phases::OwnersWords;
use crate::runtime::arithmetic;
use crate::runtime::tasks::Draining;
use crate::stream::{EventStream, OpenError, Phase, ShareRole};

/// The parts that following uses.
pub(super) struct Following<'t> {
    pub member: &'t Arc<Member>,
    pub reader: &'t mut LogReader,
    pub changes: &'t mut watch::Receiver<NodesChange>,
    pub words: &'t mut OwnersWords,
    pub draining: &'t mut Draining,
    pub looked_at: Option<Instant>,
}

/// The news of a message about the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnersWord {
    /// The owner still is the owner, and its phase was taken over.
    Heard,
    /// The records that the message rests on are not here. They did not arrive, or the engine has lost them.
    Unfounded,
    /// It says nothing about the owner.
    Unrelated,
}

/// The reason why following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FollowEnd {
    /// The engine has to be looked at. The cause, if records were missing.
    Look(Option<ResyncCause>),
    /// The subscription is gone.
    Unsubscribed,
    /// The log does not continue what the stream has.
    Reset(ResetCause),
}

impl Following<'_> {
    /// Applies records until there is a reason to look at the engine.
    pub(super) async fn run(self, records: &mut BoxStream<'static, LiveRecord>) -> FollowEnd {
        let Self { member, reader, changes, words, draining, looked_at } = self;
        let context = member.context().clone();
        // Before the first use of what may change.
        changes.mark_unchanged();
        let stream = reader.stream().clone();
        let place = member.place();
        let owner = place.node().map(str::to_owned);
        member.set_role(ShareRole::Follow);
        let is_away = |phase: &Phase| matches!(phase, Phase::Retrying(Some(error)) if error.label() == "cluster");
        let set_away = || {
            let error = OpenError::Cluster("the engine is away".to_owned());
            stream.set_phase(Phase::Retrying(Some(Arc::new(error))));
        };
        let known = stream.progress().phase;
        match &owner {
            _ if !context.nodes.is_valid() => set_away(),
            // What exactly it is, the owner tells.
            Some(_) if place.has_been_live() && is_away(&known) => stream.set_phase(Phase::Live),
            None if is_away(&known) => stream.set_phase(Phase::Retrying(None)),
            Some(_) | None => {}
        }
        // Clients are not answered before the owner has told whether the upstream is connected, or should have.
        let mut awaits_phase = owner.is_some() && place.has_been_live() && known == Phase::Opening;
        let assumed_live_at = reader.followed_since() + ANSWER_WAIT;
        let mut pause = if awaits_phase { Duration::ZERO } else { ANSWER_WAIT / 5 };
        let mut asking = owner.is_some().then(|| ask_phase(member, pause));
        // The last sign that the owner still is the owner.
        let (mut confirmed_at, mut is_check) = (Instant::now(), false);
        let mut has_drained = draining.has_started();
        loop {
            if context.nodes.is_valid() && member.is_free() && reader.is_wanted() && !has_drained {
                if !reader.feed.is_repeatable() && !reader.feed.can_send() {
                    // It would end the stream, and another gateway may be able to go on.
                    sleep(arithmetic::scale(context.nodes.lease(), YIELDED)).await;
                }
                if owner.is_some() {
                    // Others have the same thought. Whoever is later finds it owned.
                    sleep(context.jitter(arithmetic::scale(context.nodes.lease(), CLAIM_SPREAD))).await;
                }
                return FollowEnd::Look(None);
            }
            tokio::select! {
                biased;
                record = records.next() => {
                    let Some(record) = record else { return FollowEnd::Unsubscribed };
                    match reader.apply_live(&record).await {
                        Applied::Yes => {}
                        Applied::Hole => return FollowEnd::Look(Some(ResyncCause::Hole)),
                        Applied::Break(cause) => return FollowEnd::Reset(cause),
                    }
                    let place = member.place();
                    let is_complete = place.head.as_ref().is_some_and(|head| head.is_complete);
                    if place.node() != owner.as_deref() || is_complete {
                        return FollowEnd::Look(None);
                    }
                    confirmed_at = Instant::now();
                    if place.has_been_live() && stream.progress().phase == Phase::Opening {
                        stream.set_phase(Phase::Live);
                    }
                }
                () = member.poked() => {
                    if member.take_question() && owner.is_some() {
                        pause = ANSWER_WAIT / 5;
                        asking = Some(ask_phase(member, pause));
                    }
                    if member.needs_look() {
                        let is_client = member.has_requests();
                        not_before(looked_at).await;
                        let cause = match is_client {
                            true => Some(ResyncCause::Client),
                            false => member.is_behind().then_some(ResyncCause::Beat),
                        };
                        return FollowEnd::Look(cause);
                    }
                }
                changed = changes.changed() => {
                    if changed.is_err() {
                        return FollowEnd::Unsubscribed;
                    }
                    match context.nodes.is_valid() {
                        false => set_away(),
                        true if is_away(&stream.progress().phase) => return FollowEnd::Look(None),
                        // Nobody owned it while this gateway had no lease, or a death was found.
                        true if owner.is_none() => return FollowEnd::Look(None),
                        true => {}
                    }
                }
                word = words.next(member), if owner.is_some() => match hear(member, &stream, &word) {
                    OwnersWord::Heard => confirmed_at = Instant::now(),
                    OwnersWord::Unfounded => {
                        not_before(looked_at).await;
                        return FollowEnd::Look(None);
                    }
                    OwnersWord::Unrelated => {}
                },
                answer = finished(&mut asking) => {
                    asking = None;
                    match answer.map_or(OwnersWord::Unrelated, |answer| hear(member, &stream, &answer)) {
                        OwnersWord::Heard => (confirmed_at, is_check) = (Instant::now(), false),
                        OwnersWord::Unfounded => {
                            not_before(looked_at).await;
                            return FollowEnd::Look(None);
                        }
                        // The owner may not know it yet either, or not know that it is the owner.
                        OwnersWord::Unrelated => {
                            if is_check || pause >= MAX_ASK_PAUSE {
                                // The engine may have forgotten that it is the owner.
                                return FollowEnd::Look(None);
                            }
                            pause = (pause * 2).max(ANSWER_WAIT / 5).min(MAX_ASK_PAUSE);
                            asking = Some(ask_phase(member, pause));
                        }
                    }
                }
                () = sleep_until(confirmed_at + QUIET_TIME), if owner.is_some() && asking.is_none() => {
                    is_check = true;
                    asking = Some(ask_phase(member, context.jitter(ANSWER_WAIT)));
                }
                () = sleep_until(assumed_live_at), if awaits_phase => {
                    awaits_phase = false;
                    if stream.progress().phase == Phase::Opening {
                        stream.set_phase(Phase::Live);
                    }
                }
                _ = draining.started(), if !has_drained => {
                    has_drained = true;
                }
            }
        }
    }
}

/// Takes over the phase that the owner tells, as far as records show it.
fn hear(member: &Member, stream: &EventStream, message: &[u8]) -> OwnersWord {
    let (context, place) = (member.context(), member.place());
    let Some(StreamMessage::PhaseIs { term, epoch, phase }) =
        StreamMessage::decode(&context.keys, member.log_id(), message)
    else {
        return OwnersWord::Unrelated;
    };
    let is_claim = place.epoch() == epoch;
    if !is_claim && term < place.term() {
        // It was overtaken and does not know it yet.
        return OwnersWord::Unrelated;
    }
    // The next owner knows by the record only that events may be missing. Whoever was told by then that the stream is live
    // would be told no gap.
    if !is_claim || (matches!(phase, Phase::Live) && !place.has_been_live()) {
        return OwnersWord::Unfounded;
    }
    if context.nodes.is_valid() {
        stream.set_phase(phase);
    }
    OwnersWord::Heard
}

/// Waits until the engine may be looked at again after a look at this time. A message that rests on lost records comes as
/// often as it is asked for.
async fn not_before(looked_at: Option<Instant>) {
    if let Some(looked_at) = looked_at {
        sleep_until(looked_at + LOOK_INTERVAL).await;
    }
}

/// Asks the owner for its phase, after a pause in which it may tell by itself. Returns `None` without an answer.
fn ask_phase(member: &Arc<Member>, pause: Duration) -> BoxFuture<'static, Option<bytes::Bytes>> {
    let member = member.clone();
    Box::pin(async move {
        let context = member.context();
        sleep(pause).await;
        let place = member.place();
        let question = StreamMessage::WhichPhase {
            owner: place.node()?.to_owned(),
            term: place.term(),
            epoch: place.epoch().to_owned(),
            sequence: place.sequence,
        };
        let question = question.encode(&context.keys, member.log_id())?;
        let answer = context.engine.ask(member.log_id(), question.into(), ANSWER_WAIT).await;
        answer.inspect_err(|error| context.count_error(error)).ok().flatten()
    })
}

/// The least time between two looks that are not due to a record.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The longest pause before the owner is asked for its phase again.
const MAX_ASK_PAUSE: Duration = Duration::from_secs(5);

/// The time without a sign of the owner after which a follower asks whether it still is the owner. An engine that lost what
/// it had acknowledged may have lost the end of its ownership too, and nothing else tells of that.
pub(super) const QUIET_TIME: Duration = Duration::from_secs(30);

/// The part of a lease for which a gateway waits that cannot go on with the stream.
const YIELDED: f64 = 0.5;

/// The part of a lease over which claims are spread after a death.
const CLAIM_SPREAD: f64 = 0.1;
