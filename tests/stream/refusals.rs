//! Tests with upstreams that refuse: the errors that readers get, and the time of the next attempt.

use std::time::Duration;

use futures_util::future::join_all;
use rillgate::runtime::backoff::Backoff;
use rillgate::stream::{Attempts, OpenError, Policy};
use tokio::time::sleep;

use crate::fixture::Fixture;

#[tokio::test(start_paused = true)]
async fn a_refusal_reaches_all_waiting_readers_and_is_remembered_for_a_second() {
    let fixture = Fixture::new(Policy::default());
    fixture.upstream.will_refuse(OpenError::NotFound("404".to_owned()));
    fixture.upstream.will_refuse(OpenError::NotFound("410".to_owned()));
    let mut readers: Vec<_> = (0..100).map(|_| fixture.subscribe()).collect();

    for refused in join_all(readers.iter_mut().map(|reader| reader.opened(false))).await {
        assert_eq!(*refused.expect_err("refused"), OpenError::NotFound("404".to_owned()));
    }
    sleep(Duration::from_millis(900)).await;
    fixture.subscribe().opened(false).await.expect_err("remembered");
    assert_eq!(fixture.upstream.opens(), 1);
    sleep(Duration::from_millis(200)).await;
    let refused = fixture.subscribe().opened(false).await.expect_err("asked again");

    assert_eq!(*refused, OpenError::NotFound("410".to_owned()));
    assert_eq!(fixture.upstream.opens(), 2);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_respected_up_to_its_maximum() {
    let mut fixture = Fixture::new(Policy::default());
    fixture.spec.attempts = Attempts::Unlimited;
    let wanted = [7, 100, 300].map(Duration::from_secs);
    for (status, wait) in [429, 503, 503].into_iter().zip(wanted) {
        let retry_after = Some(wait);
        fixture.upstream.will_refuse(match status {
            429 => OpenError::RateLimited { reason: "busy".to_owned(), retry_after },
            _ => OpenError::Unavailable { reason: "down".to_owned(), retry_after },
        });
    }
    let _reader = fixture.subscribe();

    sleep(Duration::from_secs(500)).await;

    let delays = fixture.upstream.delays();
    for (delay, wanted) in delays.iter().zip([7.0, 100.0, 300.0]) {
        assert!((wanted..wanted + 0.01).contains(delay), "{delays:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_works_with_any_maximum_delay() {
    for most in [1, 500, 999, 1000, 3_600_000].map(Duration::from_millis) {
        for wanted in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(300), Duration::MAX] {
            let backoff = Backoff { initial: most, max: most };
            let fixture = Fixture::new(Policy { backoff, ..Policy::default() });
            let busy = OpenError::RateLimited { reason: "busy".to_owned(), retry_after: Some(wanted) };
            fixture.upstream.will_refuse(busy.clone());

            let refused = fixture.subscribe().opened(false).await.expect_err("refused");
            sleep(wanted.min(most).max(Duration::from_secs(1)).saturating_sub(Duration::from_millis(1))).await;

            assert_eq!(*refused, busy);
            assert!(fixture.is_open(), "remembered: {wanted:?} with {most:?}");
            sleep(Duration::from_millis(3)).await;
            assert!(!fixture.is_open(), "and not for longer");
            assert_eq!(fixture.tasks.panics().count(), 0);
        }
    }
}
