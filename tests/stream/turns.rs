//! Tests with upstreams that always have data ready: other tasks on the same worker still run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use rillgate::sse::EventId;
use rillgate::stream::{Batch, Continuity, EventSource, OnEnd, OpenError, OpenOutcome, Opened, Phase, Policy};
use tokio::time::timeout;

use crate::fixture::Fixture;

/// Returns empty batches as fast as they are read.
struct Chatter {
    reads: u64,
    bytes: usize,
}

impl EventSource for Chatter {
    fn open(&self, _: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        let bytes = self.bytes;
        let items = stream::iter(0..self.reads)
            .map(move |_| Ok(Batch { items: Vec::new(), bytes, ..Batch::default() }))
            .boxed();
        std::future::ready(Ok(OpenOutcome::Stream(Opened {
            retained: Vec::new(),
            items,
            continuity: Continuity::Unknown,
        })))
        .boxed()
    }
}

#[tokio::test]
async fn an_upstream_that_always_has_data_lets_other_tasks_run() {
    for (reads, bytes, turns) in [(10_000, 16 * 1024, 2_000), (10_000, 1, 15)] {
        let mut fixture = Fixture::new(Policy { on_end: OnEnd::Complete, ..Policy::default() });
        fixture.spec.source = Arc::new(Chatter { reads, bytes });
        let had = Arc::new(AtomicU64::new(0));
        let counted = had.clone();
        fixture.tasks.spawn("sibling", async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });

        let reader = fixture.subscribe();
        let mut progress = reader.stream().progress();
        let ended = async {
            while progress.phase != Phase::Complete {
                tokio::task::yield_now().await;
                progress = reader.stream().progress();
            }
        };
        timeout(Duration::from_secs(20), ended).await.expect("the upstream ends");

        let had = had.load(Ordering::Relaxed);
        assert!(had >= turns, "{had} turns beside {reads} reads of {bytes} bytes");
    }
}
