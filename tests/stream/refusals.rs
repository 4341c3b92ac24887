//! Upstreams that refuse: what their readers are told, and when they are asked again.

use std::time::Duration;

use futures_util::future::join_all;
use rillgate::runtime::backoff::Backoff;
use rillgate::stream::{OpenError, Policy};
use tokio::time::sleep;

use crate::house::House;

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_to_all_who_wait_and_remembered_for_a_second() {
    let house = House::new(Policy::default());
    house.upstream.will_refuse(OpenError::NotFound { status: 404 });
    house.upstream.will_refuse(OpenError::NotFound { status: 410 });
    let mut herd: Vec<_> = (0..100).map(|_| house.subscribe()).collect();

    for refused in join_all(herd.iter_mut().map(|reader| reader.opened(false))).await {
        assert_eq!(*refused.expect_err("refused"), OpenError::NotFound { status: 404 });
    }
    sleep(Duration::from_millis(900)).await;
    house.subscribe().opened(false).await.expect_err("remembered");
    assert_eq!(house.upstream.opens(), 1);
    sleep(Duration::from_millis(200)).await;
    let refused = house.subscribe().opened(false).await.expect_err("asked again");

    assert_eq!(*refused, OpenError::NotFound { status: 410 });
    assert_eq!(house.upstream.opens(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_wants_to_be_left_alone_is_for_as_long_as_is_reasonable() {
    let mut house = House::new(Policy::default());
    house.spec.is_always_open = true;
    let wanted = [7, 100, 300].map(Duration::from_secs);
    for (status, wait) in [429, 503, 503].into_iter().zip(wanted) {
        let retry_after = Some(wait);
        house.upstream.will_refuse(match status {
            429 => OpenError::Busy { retry_after },
            _ => OpenError::Failing { status, retry_after },
        });
    }
    let _reader = house.subscribe();

    sleep(Duration::from_secs(500)).await;

    let delays = house.upstream.delays();
    for (delay, wanted) in delays.iter().zip([7.0, 100.0, 300.0]) {
        assert!((wanted..wanted + 0.01).contains(delay), "{delays:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_be_left_alone_meets_any_bound_of_the_delays() {
    for most in [1, 500, 999, 1000, 3_600_000].map(Duration::from_millis) {
        for wanted in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(300), Duration::MAX] {
            let mut house = House::new(Policy::default());
            house.spec.backoff = Backoff { initial: most, max: most };
            house.upstream.will_refuse(OpenError::Busy { retry_after: Some(wanted) });

            let refused = house.subscribe().opened(false).await.expect_err("refused");
            sleep(wanted.min(most).max(Duration::from_secs(1)).saturating_sub(Duration::from_millis(1))).await;

            assert_eq!(*refused, OpenError::Busy { retry_after: Some(wanted) });
            assert!(house.is_open(), "remembered: {wanted:?} with {most:?}");
            sleep(Duration::from_millis(3)).await;
            assert!(!house.is_open(), "and not for longer");
            assert_eq!(house.tasks.panics().count(), 0);
        }
    }
}
