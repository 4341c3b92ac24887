//! Periodic work of a running gateway: sets gauges, reports reached limits, evicts old events and revocations.
//!
//! Nothing here waits for a client or an upstream.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::gauges;
use super::state::GatewayState;
use crate::runtime::clock_step::ClockStep;
use crate::runtime::memory::{MemoryKind, MemoryLevel};
use crate::runtime::workers::blocking;
use crate::stream::EXPIRY_INTERVAL;

/// The time between two updates of the gauges.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);

/// Runs until the drain.
pub(super) async fn run(state: Arc<GatewayState>) {
    let mut gauges = interval(GAUGE_INTERVAL);
    let mut expiry = interval(EXPIRY_INTERVAL);
    gauges.set_missed_tick_behavior(MissedTickBehavior::Delay);
    expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let app = &state.app;
    let mut clock = ClockStep::new();
    let mut draining = app.tasks.draining();
    loop {
        tokio::select! {
            _ = gauges.tick() => {
                app.streams.reduce_memory();
                state.memory.sample();
                for kind in MemoryKind::ALL {
                    state.metrics.memory(kind.as_str(), app.streams.ledger().held(kind));
                }
                gauges::measure(&state);
                state.refresher.report_readiness(&state.readiness);
                note_refusals(&state);
                state.metrics.report_suppressed_lines();
                if let Some(log) = state.log.get() {
                    state.metrics.log_lines_dropped(log.dropped_lines());
                }
                if let Some(workers) = state.workers.get() {
                    state.metrics.worker_delay(workers.recent_delay());
                }
                if clock.poll_stepped() {
                    warn!("the system clock was set, or the machine was suspended: open responses check their tokens again");
                    app.trust.change_signal().notify();
                }
                state.store.iter().for_each(|store| state.readiness.note("store", store.problem()));
                if let Some(cluster) = &state.cluster {
                    cluster.measure(&app.routes.load());
                    cluster.report_readiness(&state.readiness);
                }
                let revocations = state.app.trust.revocations().file_problem();
                let remain = |problem| format!("revocations.file is not in use: {problem}. Its earlier entries are in force");
                state.readiness.note("revocations", revocations.map(remain));
            }
            _ = expiry.tick() => {
                app.streams.expire();
                let state = state.clone();
                // Sampling every reader, sorting samples into buckets and scanning all revocations take milliseconds,
                // too long for the runtime.
                blocking(move || {
                    gauges::sample_lag(&state.app.streams, &state.metrics);
                    state.metrics.upkeep();
                    state.app.trust.revocations().remove_expired(SystemTime::now());
                })
                .await;
            }
            _ = draining.started() => return,
        }
    }
}

/// Notes for operators why new subscriptions are refused, or events evicted early. The gateway stays ready, and open
/// subscriptions continue.
fn note_refusals(state: &GatewayState) {
    let (app, limits) = (&state.app, state.app.limits.load());
    let memory = match app.streams.ledger().level() {
        _ if state.memory.is_above() => Some("memory is above limits.memory: new subscriptions are refused"),
        _ if app.streams.is_crowded() => {
            Some("memory has no room for another stream below limits.memory: new streams are refused")
        }
        MemoryLevel::Normal | MemoryLevel::Full => None,
        MemoryLevel::High => Some("memory is above 80 % of limits.memory: event logs without readers are emptied"),
        MemoryLevel::Critical => Some("memory is above 90 % of limits.memory: event logs lose their older halves"),
    };
    let full = |most: usize, name: &str, kind: &str, open: usize| {
        (open >= most).then(|| format!("limits.{name} = {most} is reached: new {kind} are refused"))
    };
    state.readiness.note("memory", memory.map(ToOwned::to_owned));
    let subscribers = full(limits.subscribers, "subscribers", "subscriptions", app.subscription_limits.count());
    state.readiness.note("subscribers", subscribers);
    let streams = full(limits.streams, "streams", "streams", app.streams.count());
    state.readiness.note("streams", streams.map(|note| format!("{note} unless one has no reader")));
}
