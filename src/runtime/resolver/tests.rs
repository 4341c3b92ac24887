//! Tests with a resolver of their own, whose lookups of names with `hangs` end only when told.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use parking_lot::Condvar;

use super::*;

struct Fixture {
    resolver: Resolver,
    lookups: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    released: Arc<(Mutex<bool>, Condvar)>,
}

impl Fixture {
    fn new() -> Self {
        let released = Arc::new((Mutex::new(false), Condvar::new()));
        let [lookups, refused] = [0, 0].map(|none| Arc::new(AtomicUsize::new(none)));
        let (counted, count_refusal, signal) = (lookups.clone(), refused.clone(), released.clone());
        let on_refusal: OnRefusal = Arc::new(move || _ = count_refusal.fetch_add(1, Ordering::Relaxed));
        let resolver = Resolver::with_lookup(on_refusal, move |host| {
            counted.fetch_add(1, Ordering::Relaxed);
            if host.starts_with("hangs") {
                let mut is_released = signal.0.lock();
                signal.1.wait_while(&mut is_released, |is_released| !*is_released);
            }
            match host {
                "unknown" => Err(io::Error::other("no such host")),
                "panics" => panic!("for the test"),
                _ => Ok(vec![SocketAddr::from(([192, 0, 2, 1], 0)), SocketAddr::from(([192, 0, 2, 2], 0))]),
            }
        });
        Self { resolver, lookups, refused, released }
    }

    async fn resolve(&self, owner: &str, host: &str) -> io::Result<Vec<SocketAddr>> {
        self.resolver.resolve(owner, host, 80, Instant::now() + Duration::from_secs(20)).await
    }

    /// Begins a lookup that hangs, and returns when its thread runs.
    async fn hang(&self, owner: &str, host: &str) {
        let before = self.lookups.load(Ordering::Relaxed);
        let deadline = Instant::now() + Duration::from_millis(1);
        // The waiter gives up, the lookup goes on.
        let waited = self.resolver.resolve(owner, host, 80, deadline).await;
        assert_eq!(waited.expect_err("it hangs").kind(), io::ErrorKind::TimedOut);
        while self.lookups.load(Ordering::Relaxed) == before {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        *self.released.0.lock() = true;
        self.released.1.notify_all();
    }
}

#[tokio::test]
async fn all_who_wait_for_a_host_share_one_lookup_and_its_answer() {
    let fixture = Fixture::new();
    fixture.hang("a", "hangs").await;
    let waiting = join_all((0..400).map(|_| fixture.resolve("a", "HANGS")));
    let release = async {
        *fixture.released.0.lock() = true;
        fixture.released.1.notify_all();
    };

    let (answers, ()) = tokio::join!(waiting, release);

    let expected = [[192, 0, 2, 1], [192, 0, 2, 2]].map(|address| SocketAddr::from((address, 80)));
    assert!(answers.into_iter().all(|answer| answer.is_ok_and(|addresses| addresses == expected)));
    assert!(fixture.resolve("b", "hangs").await.is_ok(), "the answer is kept");
    assert_eq!(fixture.lookups.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn lookups_that_hang_leave_other_owners_alone() {
    let fixture = Fixture::new();
    for number in 0..MAX_LOOKUPS_PER_OWNER {
        fixture.hang("greedy", &format!("hangs{number}")).await;
    }

    let deadline = Instant::now() + Duration::from_millis(10);
    let further = fixture.resolver.resolve("greedy", "fine", 80, deadline).await;

    assert_eq!(further.expect_err("its share is taken").kind(), io::ErrorKind::TimedOut);
    assert_eq!(fixture.refused.load(Ordering::Relaxed), 1);
    assert!(fixture.resolve("other", "fine").await.is_ok());
    assert_eq!(fixture.lookups.load(Ordering::Relaxed), MAX_LOOKUPS_PER_OWNER + 1);
}

#[tokio::test]
async fn lookups_are_bounded_in_sum() {
    let fixture = Fixture::new();
    for number in 0..MAX_LOOKUPS {
        fixture.hang(&format!("owner{}", number / MAX_LOOKUPS_PER_OWNER), &format!("hangs{number}")).await;
    }

    let deadline = Instant::now() + Duration::from_millis(10);
    let further = fixture.resolver.resolve("other", "fine", 80, deadline).await;

    assert_eq!(further.expect_err("there is no room").kind(), io::ErrorKind::TimedOut);
    assert_eq!(fixture.lookups.load(Ordering::Relaxed), MAX_LOOKUPS);
}

#[tokio::test]
async fn an_address_needs_no_lookup() {
    let fixture = Fixture::new();

    let address = fixture.resolve("a", "2001:db8::1").await.expect("an address");

    assert_eq!(address, ["[2001:db8::1]:80".parse().expect("an address")]);
    assert_eq!(fixture.lookups.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_failed_lookup_and_one_that_panics_are_errors_for_all_who_wait() {
    let fixture = Fixture::new();

    for (host, text) in [("unknown", "no such host"), ("panics", "the lookup failed")] {
        for _ in 0..3 {
            let error = fixture.resolve("a", host).await.expect_err("no address");
            assert_eq!(error.to_string(), text);
        }
    }

    assert_eq!(fixture.lookups.load(Ordering::Relaxed), 2, "an error is kept for a moment");
}
