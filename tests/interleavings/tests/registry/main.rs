//! Scenarios in which streams are opened, left, kept open and removed, under many schedules.
//!
//! In each of them, no reader holds a stream that the registry has removed, every reader is served, and a stream
//! without readers is released together with its connection.

#![allow(clippy::disallowed_methods, reason = "a scenario starts its own tasks")]

mod limits;
mod source;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};
use tokio::task::yield_now;

use rillgate_interleavings::runtime::backoff::Backoff;
use rillgate_interleavings::runtime::tasks::Tasks;
use rillgate_interleavings::stream::{
    Attempts, Ids, LivePolicy, Policy, Ready, Start, StreamFeed, StreamIdentity, StreamKey, StreamSpec, Streams,
};
use source::{Uncounted, Upstream};

/// The number of schedules for each scenario. `RILLGATE_ORDERS` overrides it.
const ORDERS: usize = 1_000;

/// The stack of a task. The futures of a stream need more than shuttle's default of 32 KiB in a debug build.
const STACK_BYTES: usize = 256 << 10;

const BACKOFF: Backoff = Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(2) };

/// An upper bound on the steps of a scenario.
const TURNS: usize = 10_000;

#[derive(Clone)]
struct Fixture {
    streams: Streams,
    upstream: Upstream,
    policy: Arc<LivePolicy>,
    tasks: Tasks,
}

fn key(path: &str) -> StreamKey {
    StreamKey { route: "all".into(), path: path.to_owned(), shared: Vec::new(), identity: StreamIdentity::default() }
}

impl Fixture {
    fn new(most: usize) -> Self {
        let tasks = Tasks::default();
        Self {
            streams: Streams::new(limits::with_streams(most), None, tasks.clone()),
            upstream: Upstream::default(),
            policy: LivePolicy::new(Policy { linger: Duration::from_secs(1), backoff: BACKOFF, ..Policy::default() }),
            tasks,
        }
    }

    fn spec(&self) -> StreamSpec {
        StreamSpec {
            ids: Ids::Keep,
            policy: self.policy.clone(),
            source: Arc::new(self.upstream.clone()),
            feed: StreamFeed::Alone,
            gap_notice: |_| |_, _| None,
            attempts: Attempts::UntilRefused,
            request: None,
            observer: Arc::new(Uncounted),
        }
    }

    /// Reads one event from the beginning and leaves. A reader that is never served waits forever, and the scheduler
    /// reports it.
    async fn read(self, path: &'static str) {
        let mut reader = self.streams.subscribe(&key(path), || self.spec()).expect("room");
        reader.opened(false).await.expect("the upstream is there");
        reader.start_at(Start::Oldest);
        assert_eq!(reader.ready().await, Ready::Entries);
        assert!(reader.take(usize::MAX, u64::MAX).expect("a long log").events > 0);
        yield_now().await;
        let found = self.streams.list().into_iter().find(|stream| *stream.key() == key(path));
        assert!(found.is_some_and(|found| Arc::ptr_eq(&found, reader.stream())), "a reader of a forgotten stream");
    }

    async fn wait_for(&self, what: &str, fact: impl Fn(&Self) -> bool) {
        for _ in 0..TURNS {
            if fact(self) {
                return;
            }
            yield_now().await;
        }
        panic!("never: {what}");
    }

    async fn assert_everything_is_released(&self) {
        self.wait_for("no stream, no connection", |fixture| {
            fixture.streams.list().is_empty() && fixture.upstream.open() == 0 && fixture.tasks.count() == 0
        })
        .await;
    }
}

fn in_every_order<S: Future<Output = ()> + 'static>(scenario: fn() -> S) {
    let orders = std::env::var("RILLGATE_ORDERS").map_or(ORDERS, |text| text.parse().expect("a number"));
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    let run = move || shuttle::future::block_on(scenario());
    Runner::new(RandomScheduler::new(orders), config.clone()).run(run);
    Runner::new(PctScheduler::new(3, orders), config).run(run);
}

#[test]
fn readers_join_and_leave_during_reconnects_and_reloads() {
    in_every_order(|| async {
        let fixture = Fixture::new(10);
        let reload = {
            let (streams, policy) = (fixture.streams.clone(), fixture.policy.clone());
            async move {
                streams.keep_open(HashSet::from([key("/a")]));
                yield_now().await;
                policy.replace(Policy { linger: Duration::from_secs(2), ..policy.current() });
                streams.apply_policies();
                yield_now().await;
                streams.keep_open(HashSet::new());
            }
        };
        let mut all = vec![tokio::spawn(reload)];
        all.extend((0..3).map(|_| {
            let fixture = fixture.clone();
            tokio::spawn(async move {
                fixture.clone().read("/a").await;
                fixture.read("/a").await;
            })
        }));
        for one in all {
            one.await.expect("no panic");
        }
        fixture.assert_everything_is_released().await;
    });
}

#[test]
fn a_new_reader_gets_the_place_of_a_stream_without_readers() {
    in_every_order(|| async {
        let fixture = Fixture::new(2);
        let first = tokio::spawn(fixture.clone().read("/a"));
        let second = tokio::spawn(fixture.clone().read("/b"));
        first.await.expect("no panic");
        // /a has no reader now and may linger; /b may still have one.
        fixture.clone().read("/c").await;
        second.await.expect("no panic");
        fixture.clone().read("/a").await;
        fixture.assert_everything_is_released().await;
    });
}

#[test]
fn a_stream_kept_open_has_one_connection_and_closes_at_the_drain() {
    in_every_order(|| async {
        let fixture = Fixture::new(10);
        fixture.streams.keep_open(HashSet::from([key("/a")]));
        let readers: Vec<_> = (0..2).map(|_| tokio::spawn(fixture.clone().read("/a"))).collect();
        for reader in readers {
            reader.await.expect("no panic");
        }
        fixture.wait_for("the connection that stays", |fixture| fixture.upstream.opened() == 3).await;
        for _ in 0..20 {
            yield_now().await;
        }
        assert_eq!((fixture.streams.list().len(), fixture.upstream.open()), (1, 1));
        fixture.tasks.drain();
        fixture.assert_everything_is_released().await;
    });
}
