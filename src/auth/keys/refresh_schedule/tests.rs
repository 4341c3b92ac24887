use std::sync::Arc;

use super::*;

fn schedule(refresh: u64) -> RefreshSchedule {
    RefreshSchedule::new("https://id.example.com/jwks.json".parse().expect("a URL"), Duration::from_secs(refresh))
}

/// Plays the issuer: every fetch takes `takes`.
async fn fetching(schedule: Arc<RefreshSchedule>, takes: Duration) {
    loop {
        schedule.fetch_started();
        tokio::time::sleep(takes).await;
        schedule.fetch_finished();
        schedule.next_due(0).await;
    }
}

fn started(schedule: &RefreshSchedule) -> u64 {
    schedule.generations.borrow().started
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_requests_causes_one_fetch_per_cooldown() {
    // Refreshed so seldom that the schedule does not interfere.
    let schedule = Arc::new(schedule(3600));
    let fetches = fetching(Arc::clone(&schedule), Duration::from_millis(10));
    let requests = async {
        assert_eq!(schedule.request_fetch(false).await, Some(1), "waits for the first fetch");
        let requests = (0..1000).map(|_| schedule.request_fetch(true));
        let generations = futures_util::future::join_all(requests).await;
        assert!(generations.iter().all(|generation| *generation == Some(2)), "all wait for the same fetch");
        assert_eq!(schedule.request_fetch(true).await, None);
        tokio::time::advance(Duration::from_secs(299)).await;
        assert_eq!(schedule.request_fetch(true).await, None);
        assert_eq!(started(&schedule), 2);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(schedule.request_fetch(true).await, Some(3));
    };
    tokio::select! { () = fetches => {}, () = requests => {} }
}

#[tokio::test(start_paused = true)]
async fn a_useful_fetch_ends_the_cooldown_once() {
    let schedule = Arc::new(schedule(60));
    let fetches = fetching(Arc::clone(&schedule), Duration::from_millis(10));
    let requests = async {
        schedule.request_fetch(false).await;
        let generation = schedule.request_fetch(true).await.expect("a fetch");
        schedule.confirm_useful(generation);
        let next = schedule.request_fetch(true).await.expect("no cooldown");
        schedule.confirm_useful(generation);
        assert_eq!(next, 3);
        assert_eq!(schedule.request_fetch(true).await, None, "the same fetch ends only one cooldown");
    };
    tokio::select! { () = fetches => {}, () = requests => {} }
}

#[tokio::test(start_paused = true)]
async fn a_request_during_a_scheduled_fetch_waits_for_a_later_one() {
    let schedule = Arc::new(schedule(60));
    schedule.fetch_started();
    schedule.fetch_finished();
    schedule.fetch_started();
    let requests = schedule.request_fetch(true);
    let fetches = async {
        tokio::task::yield_now().await;
        schedule.fetch_finished();
        schedule.next_due(0).await;
        schedule.fetch_started();
        schedule.fetch_finished();
        std::future::pending::<()>().await;
    };

    let generation = tokio::select! { generation = requests => generation, () = fetches => None };

    assert_eq!(generation, Some(3), "the running fetch may be older than the token");
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_at_most_two_seconds() {
    let schedule = schedule(60);
    let started = Instant::now();

    assert_eq!(schedule.request_fetch(true).await, None);

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
fn the_cooldown_is_at_most_five_minutes() {
    assert_eq!(schedule(3600).cooldown_period(), MAX_COOLDOWN);
    assert_eq!(schedule(10).cooldown_period(), Duration::from_secs(10));
}
