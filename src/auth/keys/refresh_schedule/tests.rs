use std::sync::Arc;

use super::RequestedFetch::{Finished, NotInTime, Refused};
use super::*;

fn schedule(refresh: u64) -> RefreshSchedule {
    RefreshSchedule::new("https://id.example.com/jwks.json".parse().expect("a URL"), Duration::from_secs(refresh))
}

/// Plays the issuer: every fetch takes `takes`.
async fn fetching(schedule: Arc<RefreshSchedule>, takes: Duration) {
    loop {
        schedule.fetch_started();
        tokio::time::sleep(takes).await;
        schedule.fetch_finished(true);
        schedule.next_due(0).await;
    }
}

fn started(schedule: &RefreshSchedule) -> u64 {
    schedule.generations.borrow().started
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_requests_causes_six_fetches_and_then_one_every_ten_seconds() {
    // Refreshed so seldom that the schedule does not interfere.
    let schedule = Arc::new(schedule(3600));
    let fetches = fetching(Arc::clone(&schedule), Duration::from_millis(10));
    let requests = async {
        assert_eq!(schedule.request_fetch(false).await, Finished(1), "waits for the first fetch");
        let requests = (0..1000).map(|_| schedule.request_fetch(true));
        let outcomes = futures_util::future::join_all(requests).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Finished(2)), "all wait for the same fetch");
        for number in 3..=7 {
            assert_eq!(schedule.request_fetch(true).await, Finished(number));
        }
        let Refused(wait) = schedule.request_fetch(true).await else { panic!("a seventh fetch") };
        assert_eq!(wait.as_millis().div_ceil(1000), 10, "{wait:?}");
        tokio::time::advance(Duration::from_secs(9)).await;
        let Refused(wait) = schedule.request_fetch(true).await else { panic!("a seventh fetch") };
        assert!(wait < Duration::from_secs(1), "{wait:?}");
        tokio::time::advance(wait).await;
        assert_eq!(schedule.request_fetch(true).await, Finished(8));
        assert!(matches!(schedule.request_fetch(true).await, Refused(_)));
        assert_eq!(started(&schedule), 8);
    };
    tokio::select! { () = fetches => {}, () = requests => {} }
}

#[tokio::test(start_paused = true)]
async fn a_useful_fetch_returns_its_turn_once() {
    let schedule = Arc::new(schedule(60));
    let fetches = fetching(Arc::clone(&schedule), Duration::from_millis(10));
    let requests = async {
        schedule.request_fetch(false).await;
        for number in 2..=7 {
            assert_eq!(schedule.request_fetch(true).await, Finished(number));
        }
        schedule.confirm_useful(7);
        assert_eq!(schedule.request_fetch(true).await, Finished(8));
        schedule.confirm_useful(7);
        assert!(matches!(schedule.request_fetch(true).await, Refused(_)));
    };
    tokio::select! { () = fetches => {}, () = requests => {} }
}

#[tokio::test(start_paused = true)]
async fn a_request_during_a_scheduled_fetch_waits_for_a_later_one() {
    let schedule = Arc::new(schedule(60));
    schedule.fetch_started();
    schedule.fetch_finished(true);
    schedule.fetch_started();
    let requests = schedule.request_fetch(true);
    let fetches = async {
        tokio::task::yield_now().await;
        schedule.fetch_finished(true);
        schedule.next_due(0).await;
        schedule.fetch_started();
        schedule.fetch_finished(true);
        std::future::pending::<()>().await;
    };

    let outcome = tokio::select! { outcome = requests => outcome, () = fetches => NotInTime };

    assert_eq!(outcome, Finished(3), "the running fetch may be older than the token");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_fails_tells_nothing_of_a_key() {
    let schedule = schedule(60);
    schedule.fetch_started();
    schedule.fetch_finished(true);
    let requests = schedule.request_fetch(true);
    let fetches = async {
        schedule.next_due(0).await;
        schedule.fetch_started();
        schedule.fetch_finished(false);
        std::future::pending::<RequestedFetch>().await
    };

    let outcome = tokio::select! { outcome = requests => outcome, outcome = fetches => outcome };

    assert_eq!(outcome, NotInTime);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_waits_for_a_running_fetch_and_stays_refused() {
    let schedule = Arc::new(schedule(60));
    let fetches = fetching(Arc::clone(&schedule), Duration::from_millis(10));
    let requests = async {
        schedule.request_fetch(false).await;
        for _ in 0..5 {
            schedule.request_fetch(true).await;
        }
        let last = schedule.request_fetch(true);
        let during = async {
            // Half of the last fetch.
            tokio::time::sleep(Duration::from_millis(5)).await;
            schedule.request_fetch(true).await
        };
        let begun = Instant::now();
        assert!(matches!(futures_util::future::join(last, during).await, (Finished(7), Refused(_))));
        assert!(begun.elapsed() >= Duration::from_millis(10), "it waits, since the fetch may bring its key");
    };
    tokio::select! { () = fetches => {}, () = requests => {} }
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_at_most_two_seconds() {
    let schedule = schedule(60);
    let started = Instant::now();

    assert_eq!(schedule.request_fetch(true).await, NotInTime);

    assert_eq!(started.elapsed(), MAX_WAIT);
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_fetch_is_never_early_and_failures_are_retried_sooner() {
    let schedule = schedule(60);
    let waited = async |failures| {
        let started = Instant::now();
        schedule.next_due(failures).await;
        started.elapsed().as_secs_f64()
    };

    assert!((60.0..=66.01).contains(&waited(0).await));
    assert!(waited(1).await <= 1.01);
    assert!(waited(3).await <= 4.01);
    assert!((6.0..=60.01).contains(&waited(100).await));
}

#[test]
fn an_issuer_with_a_short_interval_gains_turns_at_that_interval() {
    assert_eq!(schedule(3600).turn_interval(), TURN_INTERVAL);
    assert_eq!(schedule(5).turn_interval(), Duration::from_secs(5));
}
