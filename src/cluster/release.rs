//! Releases a log, so that another gateway can own it at once.
//!
//! A release continues whatever record is the newest, as long as this gateway owns it. So it needs nothing of the
//! stream, which may be gone already.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

use super::context::{ClusterContext, moment};
use super::engine::{AppendError, LogId, Stored};
use super::record::{LogRecord, Owner, RecordHead, ReleaseReason};

/// Releases the log if this gateway owns it with this term or an earlier one. Ends when that is stored, or another record
/// shows that there is nothing to release. While the gateway drains, it ends after a few attempts.
pub(super) async fn release(context: &ClusterContext, log: LogId, term: u64, reason: ReleaseReason) {
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        match context.engine.newest(&log).await {
            Ok(None) => return,
            Ok(Some(newest)) => {
                let Ok(record) = LogRecord::decode(&context.keys, &log, &newest.payload, moment()) else { return };
                if record.head.node() != Some(context.nodes.me()) || record.head.term > term {
                    return;
                }
                match append_release(context, &log, &newest, &record, reason.clone()).await {
                    Ok(sequence) => return context.written.record(log, sequence),
                    Err(AppendError::Refused) => {}
                    Err(AppendError::Unknown(error)) => context.count_error(&error),
                }
            }
            Err(error) => context.count_error(&error),
        }
        if attempt >= DRAIN_ATTEMPTS && context.tasks.draining_since().is_some() {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Releases the log in a task of its own, since the stream is gone.
pub(super) fn release_later(context: &Arc<ClusterContext>, log: LogId, term: u64) {
    // Without a runtime the process ends, and the lease with it.
    let Ok(runtime) = Handle::try_current() else { return };
    let later = context.clone();
    let task = Box::pin(async move { release(&later, log, term, ReleaseReason::Unused).await });
    context.tasks.spawn_on(&runtime, "release", log, task);
}

async fn append_release(
    context: &ClusterContext,
    log: &LogId,
    newest: &Stored,
    record: &LogRecord,
    reason: ReleaseReason,
) -> Result<u64, AppendError> {
    let now = moment();
    let head = RecordHead {
        mark: context.random.mark(),
        prev: record.head.mark,
        owner: Owner::Released(reason),
        first: record.head.end(),
        count: 0,
        written: now.wall,
        ..record.head.clone()
    };
    let payload = head.encode(&context.keys, log, &record.state_after(), now);
    context.engine.append(log, newest.sequence, payload).await
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// The attempts after which a gateway that drains leaves the rest to its lease.
const DRAIN_ATTEMPTS: u32 = 5;
