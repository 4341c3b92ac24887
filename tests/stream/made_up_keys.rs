//! Streams of made-up keys, opened and left.

use std::time::{Duration, Instant};

use rillgate::stream::{Policy, Streams};

use crate::fixture::{Fixture, key_of};

/// The streams that are opened at the limit.
const OPENED: usize = 200;

/// Opens streams beside so many that were left, and as many as there may be. Each takes the place of one of those. Returns
/// the median time of one.
async fn time_beside(left: usize) -> Duration {
    let fixture = Fixture::new(Policy { linger: Duration::from_secs(600), ..Policy::default() });
    fixture.set_streams(left);
    let open = |number: usize| {
        let key = key_of(&format!("/made-up-{number}"));
        drop(fixture.streams.subscribe(&key, || fixture.spec.clone()).expect("room"));
    };
    (0..left).for_each(open);
    tokio::task::yield_now().await;
    let is_open = |streams: &Streams, number: usize| streams.contains(&key_of(&format!("/made-up-{number}")));
    assert!(is_open(&fixture.streams, 0));

    let mut times = Vec::new();
    for number in left..left + OPENED {
        let began = Instant::now();
        open(number);
        times.push(began.elapsed());
        tokio::task::yield_now().await;
    }

    assert!(!is_open(&fixture.streams, 0) && is_open(&fixture.streams, left + OPENED - 1));
    times.sort();
    times[OPENED / 2]
}

#[tokio::test]
async fn a_new_stream_takes_as_long_beside_many_abandoned_ones_as_beside_few() {
    let (few, many) = (time_beside(500).await, time_beside(10_000).await);

    // A walk over all streams would take twenty times as long.
    assert!(many < 6 * few, "{many:?} beside 10,000 streams, {few:?} beside 500");
}
