//! Owning: the ingest runs, and what it accepts is stored first.
//!
//! The upstream stays open for a while after the lease is over, since an engine that elects a leader stands still for
//! seconds. It is not read meanwhile. It is closed at once when another owner is seen.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::context::{finished, moment};
use super::member::{Doubt, Member};
use super::nodes::NodesChange;
use super::owning::{BEHIND_PATIENCE, Owning};
use super::phases::{self, OwnersWords};
use super::record::LogRecord;
use crate::runtime::tasks::Draining;
use crate::stream::{Fenced, Finished, OpenError, Phase, ShareRole, SharedFeed};

/// The reason why an ownership ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OwnEnd {
    /// The stream is complete or refused.
    Finished(Finished),
    /// The gateway drains. The log is not released yet.
    Draining,
    /// A client has stopped the stream. The log is not released yet.
    Stopped,
    /// Another gateway owns the log, or the lease is over for good.
    Fenced,
}

/// Owns the log until the stream ends, another gateway owns it, or this one drains. A request that must not be repeated is
/// sent by the first owner only (`is_first`), which keeps it while it drains. A later owner ends the stream.
pub(super) async fn own(
    member: &Arc<Member>,
    feed: &mut SharedFeed,
    is_first: bool,
    changes: &mut watch::Receiver<NodesChange>,
    words: &mut OwnersWords,
    draining: &mut Draining,
) -> OwnEnd {
    member.set_role(ShareRole::Own);
    let (stream, context) = (feed.stream().clone(), member.context().clone());
    let owning = Arc::new(Owning::new(member.clone(), stream.clone()));
    let is_sent_once = !feed.is_repeatable();
    let has_past = if is_sent_once { !is_first } else { member.place().has_been_live() };
    if is_away(&stream.progress().phase) {
        stream.set_phase(Phase::Retrying(None));
    }
    let end = {
        let mut ingest = std::pin::pin!(feed.run_ingest(owning.clone(), has_past));
        // An owner that does not know that it was taken for dead closes its upstream when it hears of this one.
        let mut telling = Some(phases::tell(member));
        let mut checking: Option<BoxFuture<'static, _>> = None;
        loop {
            if !context.nodes.is_valid() {
                let before = stream.progress().phase;
                let error = OpenError::Cluster("the engine is away".to_owned());
                stream.set_phase(Phase::Retrying(Some(Arc::new(error))));
                let recovered = timeout(UPSTREAM_PATIENCE, async {
                    tokio::select! {
                        () = heard_of_later_owner(member, words) => Err(Fenced),
                        recovered = recover(member, &owning, changes) => recovered,
                    }
                });
                let recovered = recovered.await;
                match recovered {
                    Ok(Ok(())) => stream.set_phase(before),
                    Ok(Err(Fenced)) => break OwnEnd::Fenced,
                    Err(_) => {
                        warn!(stream = %stream.key().excerpt(), "engine away: upstream closed");
                        break OwnEnd::Fenced;
                    }
                }
            }
            let age = stream.policy().current().retention.age;
            let idle_at = (owning.stored_at() + age / 2).max(Instant::now() + LEAST_IDLE);
            tokio::select! {
                biased;
                _ = draining.started(), if !is_sent_once => break OwnEnd::Draining,
                () = member.stop_requested() => break OwnEnd::Stopped,
                changed = changes.changed() => {
                    if changed.is_err() {
                        break OwnEnd::Fenced;
                    }
                }
                () = heard_of_later_owner(member, words) => break OwnEnd::Fenced,
                checked = finished(&mut checking) => {
                    checking = None;
                    match checked {
                        Ok(requests) => member.looked(requests),
                        Err(Fenced) => break OwnEnd::Fenced,
                    }
                    // More may have been asked for meanwhile.
                    if member.has_requests() {
                        checking = Some(check(member, &owning));
                    }
                }
                () = member.poked(), if checking.is_none() => {
                    if member.needs_look() {
                        checking = Some(check(member, &owning));
                    }
                }
                () = member.phase_changed() => telling = Some(phases::tell(member)),
                () = finished(&mut telling) => telling = None,
                outcome = &mut ingest => match outcome {
                    Ok(outcome) => break OwnEnd::Finished(outcome),
                    Err(Fenced) => break OwnEnd::Fenced,
                },
                () = sleep_until(idle_at) => {
                    // While a record is on its way, or not appended as a whole, the log is not idle.
                    let is_at_rest = !member.is_in_flight() && owning.has_appended(member.place().end());
                    if owning.stored_at() + age / 2 <= Instant::now() && is_at_rest {
                        let repeated = tokio::select! {
                            repeated = owning.repeat() => repeated,
                            _ = changes.wait_for(|change| !change.is_valid) => Ok(()),
                        };
                        member.set_in_flight(false);
                        if repeated == Err(Fenced) {
                            break OwnEnd::Fenced;
                        }
                    }
                }
            }
        }
    };
    // A record may be on its way still. The next look shows whether it was stored.
    member.set_in_flight(false);
    let unappended = owning.take_unappended();
    if !unappended.is_empty() {
        feed.append(unappended).await;
    }
    member.set_role(ShareRole::Follow);
    if end == OwnEnd::Fenced {
        info!(stream = %stream.key().excerpt(), "stream not owned any more");
        context.observer.fenced(member.route());
        if !is_away(&stream.progress().phase) {
            stream.set_phase(Phase::Retrying(None));
        }
    }
    end
}

/// Completes when the lease is valid again and the log is still owned.
async fn recover(
    member: &Arc<Member>,
    owning: &Arc<Owning>,
    changes: &mut watch::Receiver<NodesChange>,
) -> Result<(), Fenced> {
    if changes.wait_for(|change| change.is_valid).await.is_err() {
        return Err(Fenced);
    }
    verify(member, owning, false).await
}

/// Looks whether the log is still owned and everything in it is appended. Returns the requests that this answers.
fn check(member: &Arc<Member>, owning: &Arc<Owning>) -> BoxFuture<'static, Result<u64, Fenced>> {
    let (member, owning) = (member.clone(), owning.clone());
    let requests = member.begin_look();
    async move { verify(&member, &owning, true).await.map(|()| requests) }.boxed()
}

/// Completes when the engine shows that this gateway's claim is the last one.
async fn verify(member: &Member, owning: &Owning, waits_for_log: bool) -> Result<(), Fenced> {
    let (context, log) = (member.context(), member.log_id());
    let begun = Instant::now();
    // Other gateways may tell a record on its way before this one knows that it is stored, and a leader that was deposed
    // does not show it.
    let in_flight_after = member.is_in_flight().then(|| member.place().sequence);
    let is_under_way = || member.is_in_flight() && in_flight_after == Some(member.place().sequence);
    loop {
        match context.engine.newest(log).await {
            Err(error) => context.count_error(&error),
            // It was evicted or lost. The next record repeats the state.
            Ok(None) => return Ok(()),
            Ok(Some(newest)) if newest.sequence < member.place().sequence => {
                if begun.elapsed() >= BEHIND_PATIENCE {
                    return Err(Fenced);
                }
            }
            Ok(Some(newest)) => {
                let record = LogRecord::decode(&context.keys, log, &newest.payload, moment());
                let head = record.map_err(|error| {
                    context.count_unreadable(log, error);
                    Fenced
                })?;
                let (head, place) = (head.head, member.place());
                if head.epoch != place.epoch() || head.node() != place.node() {
                    return Err(Fenced);
                }
                if !waits_for_log {
                    return Ok(());
                }
                while is_under_way() {
                    sleep(APPEND_PAUSE).await;
                }
                // What was stored is told by the ingest, which may not know of the answer yet.
                let end = head.end().max(member.place().end());
                while member.place().sequence < newest.sequence || !owning.has_appended(end) {
                    sleep(APPEND_PAUSE).await;
                }
                return Ok(());
            }
        }
        sleep(PAUSE).await;
    }
}

/// Completes when another gateway says that it owns the stream since. Cancel-safe.
async fn heard_of_later_owner(member: &Arc<Member>, words: &mut OwnersWords) {
    loop {
        let word = words.next(member).await;
        match member.doubt(&word) {
            Doubt::None => {}
            Doubt::Look => member.demand_look(),
            Doubt::Overtaken => return,
        }
    }
}

fn is_away(phase: &Phase) -> bool {
    matches!(phase, Phase::Retrying(Some(error)) if error.label() == "cluster")
}

/// The time for which an upstream stays open, unread, after the lease is over: longer than an election of the engine.
const UPSTREAM_PATIENCE: Duration = Duration::from_secs(10);

/// The least time between two looks whether the log is idle.
const LEAST_IDLE: Duration = Duration::from_secs(1);

/// The pause between two looks at the engine.
const PAUSE: Duration = Duration::from_millis(50);

/// The pause between two looks at the stream's own log.
const APPEND_PAUSE: Duration = Duration::from_millis(2);
