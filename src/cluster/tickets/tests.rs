use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::fake::{FakeCluster, Fate};
use super::*;
use crate::secret::Secret;

const TICKET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq";
const KEEP: Duration = Duration::from_millis(29_500);

/// Counts foreign messages.
#[derive(Default)]
struct Foreign(AtomicUsize);

impl ClusterObserver for Foreign {
    fn claimed(&self, _: &str, _: super::super::ClaimResult) {}
    fn fenced(&self, _: &str) {}
    fn committed(&self, _: &str, _: Duration) {}
    fn followed(&self, _: &str, _: Duration) {}
    fn resynced(&self, _: super::super::ResyncCause) {}
    fn reset(&self, _: super::super::ResetCause) {}
    fn failed(&self, kind: ClusterErrorKind) {
        self.0.fetch_add(usize::from(kind == ClusterErrorKind::Signature), Ordering::Relaxed);
    }
}

fn tickets(engine: &FakeCluster, keys: &[u8]) -> ClusterTickets {
    let secrets: Vec<_> = keys.iter().map(|byte| Secret::new([*byte; 32])).collect();
    ClusterTickets::new(Arc::new(engine.node()), Arc::new(ClusterKeys::new(&secrets)), Arc::new(()))
}

async fn take(tickets: &ClusterTickets) -> Result<Option<Vec<u8>>, TicketsUnavailable> {
    tickets.take(TICKET).await
}

#[tokio::test(start_paused = true)]
async fn of_many_attempts_on_all_gateways_exactly_one_redeems_a_ticket() {
    let engine = FakeCluster::prompt();
    let gateways = [tickets(&engine, b"k"), tickets(&engine, b"k"), tickets(&engine, b"k")];

    for number in 0..50 {
        let ticket = format!("{number:043}");
        gateways[number % 3].store(&ticket, b"content".to_vec(), KEEP).await.expect("the engine is there");

        let attempts = join_all((0..12).map(|attempt| gateways[attempt % 3].take(&ticket))).await;

        let redeemed: Vec<_> = attempts.into_iter().filter_map(|attempt| attempt.expect("an answer")).collect();
        assert_eq!(redeemed, [b"content".to_vec()], "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_engine_has_neither_ticket_nor_content_and_keeps_it_for_whole_seconds() {
    let engine = FakeCluster::prompt();
    tickets(&engine, b"k").store(TICKET, b"the content".to_vec(), KEEP).await.expect("the engine is there");

    let records = engine.auth_records();

    let [(key, stored, keep)] = &records[..] else { panic!("one record") };
    assert_eq!((key.kind, *keep), (AuthKind::Ticket, Duration::from_secs(30)));
    let contains = |part: &[u8]| stored.payload.windows(part.len()).any(|window| window == part);
    assert!(!contains(b"content") && !contains(TICKET.as_bytes()));
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_false_refusals_neither_lose_nor_double_a_ticket() {
    for faults in [
        [Some(Fate::LostAnswer), None, None],
        [Some(Fate::LostRequest), None, None],
        [Some(Fate::FalseRefusal), Some(Fate::FalseRefusal), None],
        [Some(Fate::LostRequest), Some(Fate::FalseRefusal), Some(Fate::LostAnswer)],
    ] {
        let engine = FakeCluster::prompt();
        let gateway = tickets(&engine, b"k");
        gateway.store(TICKET, b"content".to_vec(), KEEP).await.expect("the engine is there");
        engine.decide(&faults);

        assert_eq!(take(&gateway).await, Ok(Some(b"content".to_vec())), "{faults:?}");
        assert_eq!(take(&gateway).await, Ok(None), "{faults:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_told_to_come_back_gets_what_the_doubtful_attempt_has_won() {
    let engine = FakeCluster::prompt();
    let [here, there] = [tickets(&engine, b"k"), tickets(&engine, b"k")];
    here.store(TICKET, b"content".to_vec(), KEEP).await.expect("the engine is there");
    engine.decide(&[Some(Fate::LostAnswerAndAway)]);

    assert_eq!(take(&here).await, Err(TicketsUnavailable));
    engine.connect();

    assert_eq!(take(&there).await, Ok(None));
    assert_eq!(take(&here).await, Ok(Some(b"content".to_vec())));
    assert_eq!(take(&here).await, Ok(None), "once");
}

#[tokio::test(start_paused = true)]
async fn without_the_engine_a_ticket_is_neither_issued_nor_refused() {
    let engine = FakeCluster::prompt();
    let gateway = tickets(&engine, b"k");
    gateway.store(TICKET, b"content".to_vec(), KEEP).await.expect("the engine is there");
    engine.disconnect();

    assert_eq!(gateway.store("other", Vec::new(), KEEP).await, Err(TicketsUnavailable));
    assert_eq!(take(&gateway).await, Err(TicketsUnavailable));

    engine.connect();
    assert_eq!(take(&gateway).await, Ok(Some(b"content".to_vec())), "it was not used up");
}

#[tokio::test(start_paused = true)]
async fn both_keys_redeem_and_the_first_issues() {
    let engine = FakeCluster::prompt();
    let (old, both, new) = (tickets(&engine, b"o"), tickets(&engine, b"no"), tickets(&engine, b"n"));

    old.store(TICKET, b"content".to_vec(), KEEP).await.expect("the engine is there");
    assert_eq!(take(&new).await, Ok(None));
    assert_eq!(take(&both).await, Ok(Some(b"content".to_vec())));
    assert_eq!(take(&old).await, Ok(None), "once");

    both.store("second", b"content".to_vec(), KEEP).await.expect("the engine is there");
    assert_eq!(new.take("second").await, Ok(Some(b"content".to_vec())));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_sealed_with_the_key_is_ignored_and_counted() {
    let (engine, foreign) = (FakeCluster::prompt(), Arc::new(Foreign::default()));
    let keys = Arc::new(ClusterKeys::new(&[Secret::new([b'k'; 32])]));
    let gateway = ClusterTickets::new(Arc::new(engine.node()), keys, foreign.clone());
    gateway.store(TICKET, b"content".to_vec(), KEEP).await.expect("the engine is there");
    let (key, stored, _) = engine.auth_records().remove(0);
    let mut damaged = stored.payload.to_vec();
    damaged[5] ^= 1;

    for content in [damaged, Vec::new(), vec![SEALED], vec![9; 50], vec![REDEEMED; 3]] {
        engine.set(&key, content.into());
        assert_eq!(take(&gateway).await, Ok(None));
    }

    assert_eq!(foreign.0.load(Ordering::Relaxed), 5);
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_none(bytes in vec(any::<u8>(), 0..80)) {
        let keys = ClusterKeys::new(&[Secret::new([1; 32])]);
        if let Some(TicketMessage::Sealed(sealed)) = TicketMessage::parse(&bytes) {
            prop_assert_eq!(keys.ticket_keys(TICKET).next().expect("a key").open(sealed), None);
        }
    }
}
