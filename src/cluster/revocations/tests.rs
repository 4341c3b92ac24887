use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use super::super::fake::{FakeCluster, Fate};
use super::super::{ClaimResult, ResetCause, ResyncCause};
use super::*;
use crate::auth::{ChangeSignal, ClaimPath, Revocation};
use crate::runtime::tasks::Tasks;
use crate::secret::Secret;

/// A gateway with its table of revocations.
struct Gateway {
    table: Revocations,
    cluster: ClusterRevocations,
    foreign: Arc<Foreign>,
}

/// Counts foreign messages.
#[derive(Default)]
struct Foreign(AtomicUsize);

impl ClusterObserver for Foreign {
    fn claimed(&self, _: &str, _: ClaimResult) {}
    fn fenced(&self, _: &str) {}
    fn committed(&self, _: &str, _: Duration) {}
    fn followed(&self, _: &str, _: Duration) {}
    fn resynced(&self, _: ResyncCause) {}
    fn reset(&self, _: ResetCause) {}
    fn failed(&self, kind: ClusterErrorKind) {
        self.0.fetch_add(usize::from(kind == ClusterErrorKind::Signature), Ordering::Relaxed);
    }
}

impl Gateway {
    fn start(engine: &FakeCluster, keys: &[u8], capacity: usize) -> Self {
        let secrets: Vec<_> = keys.iter().map(|byte| Secret::new([*byte; 32])).collect();
        let (keys, foreign) = (Arc::new(ClusterKeys::new(&secrets)), Arc::new(Foreign::default()));
        let table = Revocations::new(capacity, ChangeSignal::default());
        let cluster = ClusterRevocations::new(Arc::new(engine.node()), keys, foreign.clone(), table.clone());
        let table = table.with_shared(Arc::new(cluster.clone()));
        Tasks::default().spawn("revocations", cluster.run());
        Self { table, cluster, foreign }
    }

    async fn post(&self, revocation: Revocation) -> Reach {
        let id = self.table.revoke(revocation, SystemTime::now()).expect("room");
        self.table.share(id).await
    }

    async fn delete(&self, value: &str) -> Result<Reach, RestoreError> {
        self.table.restore_everywhere(id(value)).await
    }

    fn has(&self, value: &str) -> bool {
        self.table.posted(&id(value), SystemTime::now()).is_some()
    }

    /// Waits until the revocation is in force here, or not.
    async fn until(&self, value: &str, is_there: bool) {
        let looked = timeout(Duration::from_secs(100), async {
            while self.has(value) != is_there {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(looked.await.is_ok(), "{value}: {is_there}");
    }

    async fn loaded(&self) {
        self.cluster.loaded().wait_for(|is_loaded| *is_loaded).await.expect("it runs");
    }
}

fn revocation(value: &str, seconds: Option<u64>) -> Revocation {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let until = seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(now + seconds));
    Revocation { claim: ClaimPath::parse("jti").expect("a claim"), value: value.to_owned(), until }
}

fn id(value: &str) -> RevocationId {
    let revocation = revocation(value, None);
    RevocationId::of(&revocation.claim, &revocation.value)
}

#[tokio::test(start_paused = true)]
async fn a_revocation_and_its_removal_reach_every_gateway_within_a_second() {
    let engine = FakeCluster::prompt();
    let gateways = [(); 3].map(|()| Gateway::start(&engine, b"k", 100));
    for gateway in &gateways {
        gateway.loaded().await;
    }
    let begun = tokio::time::Instant::now();

    assert_eq!(gateways[0].post(revocation("a", Some(3600))).await, Reach::All);
    for gateway in &gateways {
        gateway.until("a", true).await;
    }
    assert_eq!(gateways[1].delete("a").await, Ok(Reach::All));
    assert_eq!(gateways[1].delete("a").await, Err(RestoreError::Unknown));
    for gateway in &gateways {
        gateway.until("a", false).await;
    }

    assert!(begun.elapsed() < Duration::from_secs(1));
    let (_, _, keep) = engine.auth_records().remove(0);
    assert!((3600..=3662).contains(&keep.as_secs()), "the removal is kept as long as the revocation: {keep:?}");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_has_read_all_before_it_is_loaded() {
    let engine = FakeCluster::prompt();
    let first = Gateway::start(&engine, b"k", 1000);
    for number in 0..200 {
        assert_eq!(first.post(revocation(&number.to_string(), None)).await, Reach::All);
    }
    engine.disconnect();
    let second = Gateway::start(&engine, b"k", 1000);
    let waited = timeout(Duration::from_secs(60), second.loaded()).await;
    assert!(waited.is_err(), "the engine is away");

    engine.connect();
    second.loaded().await;

    assert!((0..200).all(|number| second.has(&number.to_string())));
}

#[tokio::test(start_paused = true)]
async fn while_the_engine_is_away_changes_apply_here_are_pending_and_follow_later() {
    let engine = FakeCluster::prompt();
    let [here, there] = [(); 2].map(|()| Gateway::start(&engine, b"k", 100));
    here.loaded().await;
    assert_eq!(here.post(revocation("old", None)).await, Reach::All);
    there.until("old", true).await;
    engine.disconnect();

    assert_eq!(here.post(revocation("new", None)).await, Reach::Here);
    assert_eq!(here.delete("old").await, Ok(Reach::Here));
    assert!(here.has("new") && !here.has("old") && there.has("old") && !there.has("new"));
    assert_eq!(here.cluster.pending(), 2);

    engine.connect();
    there.until("new", true).await;
    there.until("old", false).await;
    assert_eq!(here.cluster.pending(), 0);
    assert!(
        engine.auth_records().iter().any(|(.., keep)| keep.as_secs() / 86_400 == 30),
        "of a removal without an end"
    );
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_waited_does_not_take_back_a_later_revocation() {
    let engine = FakeCluster::prompt();
    let here = Gateway::start(&engine, b"k", 100);
    here.loaded().await;
    assert_eq!(here.post(revocation("a", Some(60))).await, Reach::All);
    engine.disconnect();
    assert_eq!(here.delete("a").await, Ok(Reach::Here));
    // Another gateway that still reaches the engine revokes it again.
    let keys = ClusterKeys::new(&[Secret::new([b'k'; 32])]);
    let (key, ..) = engine.auth_records().remove(0);
    let change = RevocationChange::Revoked(revocation("a", None));
    let record = RevocationRecord { writer: 7, copied: None, change };
    engine.set(&key, record.encode(&keys, &key.name));

    engine.connect();

    here.until("a", true).await;
    assert_eq!(here.cluster.pending(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_later_end_of_two_posts_applies_everywhere() {
    let engine = FakeCluster::prompt();
    let [one, two] = [(); 2].map(|()| Gateway::start(&engine, b"k", 100));
    one.loaded().await;
    two.loaded().await;

    assert_eq!(one.post(revocation("a", Some(7200))).await, Reach::All);
    assert_eq!(two.post(revocation("a", Some(60))).await, Reach::All);

    two.until("a", true).await;
    let ends = [&one, &two].map(|gateway| gateway.table.posted(&id("a"), SystemTime::now()).expect("in force").until);
    assert_eq!(ends[0], ends[1]);
    assert!(ends[0] > SystemTime::now().checked_add(Duration::from_secs(7000)));
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_false_refusals_lose_no_change() {
    for faults in [
        [Some(Fate::LostAnswer), None, None],
        [Some(Fate::LostRequest), None, None],
        [Some(Fate::FalseRefusal), Some(Fate::LostRequest), Some(Fate::LostAnswer)],
    ] {
        let engine = FakeCluster::prompt();
        let [here, there] = [(); 2].map(|()| Gateway::start(&engine, b"k", 100));
        here.loaded().await;
        there.loaded().await;
        engine.decide(&faults);
        here.post(revocation("a", None)).await;
        there.until("a", true).await;
        engine.decide(&faults);
        here.delete("a").await.expect("it is there");
        there.until("a", false).await;
        here.until("a", false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_signed_is_ignored_and_counted() {
    let engine = FakeCluster::prompt();
    let (own, foreign) = (Gateway::start(&engine, b"k", 100), Gateway::start(&engine, b"f", 100));
    own.loaded().await;

    assert_eq!(foreign.post(revocation("a", None)).await, Reach::All);
    assert_eq!(own.post(revocation("b", None)).await, Reach::All);
    foreign.until("a", true).await;

    assert!(!own.has("a") && !foreign.has("b"));
    assert!(own.foreign.0.load(Ordering::Relaxed) > 0);
}

#[tokio::test(start_paused = true)]
async fn while_the_key_is_changed_both_are_read_and_what_the_old_one_signed_is_signed_anew() {
    let engine = FakeCluster::prompt();
    let old = Gateway::start(&engine, b"on", 100);
    old.loaded().await;
    assert_eq!(old.post(revocation("a", None)).await, Reach::All);

    let both = Gateway::start(&engine, b"no", 100);
    both.until("a", true).await;
    assert_eq!(both.post(revocation("b", None)).await, Reach::All);
    old.until("b", true).await;
    let new = Gateway::start(&engine, b"n", 100);
    new.until("a", true).await;
    new.until("b", true).await;

    assert_eq!(old.delete("a").await, Ok(Reach::All));
    both.until("a", false).await;
    new.until("a", false).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_lost_is_written_again() {
    let engine = FakeCluster::prompt();
    let here = Gateway::start(&engine, b"k", 100);
    here.loaded().await;
    assert_eq!(here.post(revocation("a", None)).await, Reach::All);

    engine.forget_one(&Inner::key(here.cluster.0.name(&id("a"))));

    let there = Gateway::start(&engine, b"k", 100);
    there.until("a", true).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_wipe_a_new_revocation_applies_where_its_removal_is_remembered() {
    let engine = FakeCluster::prompt();
    let [here, there] = [(); 2].map(|()| Gateway::start(&engine, b"k", 100));
    here.loaded().await;
    there.loaded().await;
    assert_eq!(here.post(revocation("a", Some(3600))).await, Reach::All);
    there.until("a", true).await;
    assert_eq!(here.delete("a").await, Ok(Reach::All));
    there.until("a", false).await;

    engine.forget_auth();
    let fresh = Gateway::start(&engine, b"k", 100);
    fresh.loaded().await;
    fresh.post(revocation("a", Some(3600))).await;

    there.until("a", true).await;
    here.until("a", true).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_signed_is_counted_once() {
    let engine = FakeCluster::prompt();
    let (own, foreign) = (Gateway::start(&engine, b"k", 100), Gateway::start(&engine, b"f", 100));
    own.loaded().await;
    assert_eq!(foreign.post(revocation("a", None)).await, Reach::All);

    tokio::time::sleep(Duration::from_secs(200)).await;

    assert_eq!(own.foreign.0.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn too_many_removals_that_wait_are_refused_and_change_nothing() {
    let engine = FakeCluster::prompt();
    let here = Gateway::start(&engine, b"k", MAX_PENDING_REMOVALS + 1);
    engine.disconnect();
    let now = SystemTime::now();
    for number in 0..=MAX_PENDING_REMOVALS {
        here.table.revoke(revocation(&number.to_string(), None), now).expect("room");
    }

    for number in 0..MAX_PENDING_REMOVALS {
        assert_eq!(here.delete(&number.to_string()).await, Ok(Reach::Here));
    }

    let last = MAX_PENDING_REMOVALS.to_string();
    assert_eq!(here.delete(&last).await, Err(RestoreError::Waiting));
    assert!(here.has(&last));
}
