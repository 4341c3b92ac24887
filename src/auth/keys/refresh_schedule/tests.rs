use std::sync::Arc;

use super::*;

fn schedule(refresh: u64) -> RefreshSchedule {
    RefreshSchedule::new("https://id.example.com/jwks.json".parse().expect("a URL"), Duration::from_secs(refresh))
}

/// Plays the issuer: every fetch takes `takes`. Counts nothing; the rounds do.
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
async fn a_flood_of_questions_causes_one_fetch_in_the_spacing() {
    // Refreshed so seldom that the schedule stays out of it.
    let schedule = Arc::new(schedule(3600));
    let fetches = fetching(Arc::clone(&schedule), Duration::from_millis(10));
    let requests = async {
        assert_eq!(schedule.request_fetch(false).await, Some(1), "waits for the first");
        let requests = (0..1000).map(|_| schedule.request_fetch(true));
        let generations = futures_util::future::join_all(requests).await;
        assert!(generations.iter().all(|generation| *generation == Some(2)), "all wait for the same one");
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
async fn a_fruitful_round_leaves_the_gate_open_once() {
    let schedule = Arc::new(schedule(60));
    let fetches = fetching(Arc::clone(&schedule), Duration::from_millis(10));
    let requests = async {
        schedule.request_fetch(false).await;
        let generation = schedule.request_fetch(true).await.expect("a round");
        schedule.confirm_useful(generation);
        let next = schedule.request_fetch(true).await.expect("the gate is open");
        schedule.confirm_useful(generation);
        assert_eq!(next, 3);
        assert_eq!(schedule.request_fetch(true).await, None, "the same fruit opens nothing twice");
    };
    tokio::select! { () = fetches => {}, () = requests => {} }
}

#[tokio::test(start_paused = true)]
async fn a_question_during_a_scheduled_fetch_wants_a_later_one() {
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

    assert_eq!(generation, Some(3), "what is on its way may be older than the token");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_two_seconds() {
    let schedule = schedule(60);
    let started = Instant::now();

    assert_eq!(schedule.request_fetch(true).await, None);

    assert_eq!(started.elapsed(), MAX_WAIT);
}

#[tokio::test(start_paused = true)]
async fn the_schedule_is_never_early_and_failures_are_retried_sooner() {
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
fn the_gate_is_never_shut_for_longer_than_five_minutes() {
    assert_eq!(schedule(3600).cooldown_period(), MAX_COOLDOWN);
    assert_eq!(schedule(10).cooldown_period(), Duration::from_secs(10));
}
