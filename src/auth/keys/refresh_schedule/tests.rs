use std::sync::Arc;

use super::*;

fn remote(refresh: u64) -> RefreshSchedule {
    RefreshSchedule::new("https://id.example.com/jwks.json".parse().expect("a URL"), Duration::from_secs(refresh))
}

/// Plays the issuer: every fetch takes `takes`. Counts nothing; the rounds do.
async fn fetching(remote: Arc<RefreshSchedule>, takes: Duration) {
    loop {
        remote.begin();
        tokio::time::sleep(takes).await;
        remote.end();
        remote.due(0).await;
    }
}

fn begun(remote: &RefreshSchedule) -> u64 {
    remote.rounds.borrow().begun
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_questions_causes_one_fetch_in_the_spacing() {
    // Refreshed so seldom that the schedule stays out of it.
    let remote = Arc::new(remote(3600));
    let playing = fetching(Arc::clone(&remote), Duration::from_millis(10));
    let asking = async {
        assert_eq!(remote.ask(false).await, Some(1), "waits for the first");
        let asked = (0..1000).map(|_| remote.ask(true));
        let rounds = futures_util::future::join_all(asked).await;
        assert!(rounds.iter().all(|round| *round == Some(2)), "all wait for the same one");
        assert_eq!(remote.ask(true).await, None);
        tokio::time::advance(Duration::from_secs(299)).await;
        assert_eq!(remote.ask(true).await, None);
        assert_eq!(begun(&remote), 2);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(remote.ask(true).await, Some(3));
    };
    tokio::select! { () = playing => {}, () = asking => {} }
}

#[tokio::test(start_paused = true)]
async fn a_fruitful_round_leaves_the_gate_open_once() {
    let remote = Arc::new(remote(60));
    let playing = fetching(Arc::clone(&remote), Duration::from_millis(10));
    let asking = async {
        remote.ask(false).await;
        let round = remote.ask(true).await.expect("a round");
        remote.bore_fruit(round);
        let next = remote.ask(true).await.expect("the gate is open");
        remote.bore_fruit(round);
        assert_eq!(next, 3);
        assert_eq!(remote.ask(true).await, None, "the same fruit opens nothing twice");
    };
    tokio::select! { () = playing => {}, () = asking => {} }
}

#[tokio::test(start_paused = true)]
async fn a_question_during_a_scheduled_fetch_wants_a_later_one() {
    let remote = Arc::new(remote(60));
    remote.begin();
    remote.end();
    remote.begin();
    let asking = remote.ask(true);
    let playing = async {
        tokio::task::yield_now().await;
        remote.end();
        remote.due(0).await;
        remote.begin();
        remote.end();
        std::future::pending::<()>().await;
    };

    let round = tokio::select! { round = asking => round, () = playing => None };

    assert_eq!(round, Some(3), "what is on its way may be older than the token");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_two_seconds() {
    let remote = remote(60);
    let begun = Instant::now();

    assert_eq!(remote.ask(true).await, None);

    assert_eq!(begun.elapsed(), MAX_WAIT);
}

#[tokio::test(start_paused = true)]
async fn the_schedule_is_never_early_and_failures_are_retried_sooner() {
    let remote = remote(60);
    let waited = async |failures| {
        let begun = Instant::now();
        remote.due(failures).await;
        begun.elapsed().as_secs_f64()
    };

    assert!((60.0..=66.01).contains(&waited(0).await));
    assert!(waited(1).await <= 1.01);
    assert!(waited(3).await <= 4.01);
    assert!((6.0..=60.01).contains(&waited(100).await));
}

#[test]
fn the_gate_is_never_shut_for_longer_than_five_minutes() {
    assert_eq!(remote(3600).spacing(), MAX_SPACING);
    assert_eq!(remote(10).spacing(), Duration::from_secs(10));
}
