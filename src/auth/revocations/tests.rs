use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::entries::MAX_CLAIMS;
use super::*;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn later(seconds: u64) -> SystemTime {
    now() + Duration::from_secs(seconds)
}

fn revocation(claim: &str, value: &str, ttl: Option<u64>) -> Revocation {
    Revocation { claim: ClaimPath::parse(claim).expect("a claim"), value: value.to_owned(), until: ttl.map(later) }
}

fn table(capacity: usize) -> Revocations {
    Revocations::new(capacity, ChangeSignal::default())
}

/// Collects every row, page by page.
fn listed(table: &Revocations, at: SystemTime) -> Vec<RevocationRow> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = table.list(after, at);
        rows.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => return rows,
        }
    }
}

#[test]
fn the_later_end_wins() {
    let table = table(10);
    let post = |ttl| table.revoke(revocation("sub", "a", ttl), now()).expect("room");
    let until = || listed(&table, now())[0].until;

    let id = post(Some(10));
    for ttl in [Some(30), Some(20)] {
        assert_eq!(post(ttl), id);
    }
    assert_eq!(until(), Some(later(30)));
    post(None);
    post(Some(40));
    assert_eq!(until(), None, "no end is later than any end");
    assert_eq!(table.counts(), RevocationCounts { posted: 1, filed: 0 });
}

#[test]
fn the_number_of_different_claims_is_bounded() {
    let table = table(1000);
    for number in 0..MAX_CLAIMS {
        table.revoke(revocation(&format!("c{number}"), "x", Some(10)), now()).expect("room");
    }
    assert!(matches!(table.revoke(revocation("one.more", "x", None), now()), Err(RevocationError::Claims)));

    table.revoke(revocation("one.more", "x", None), later(10)).expect("the others have expired");
}

#[test]
fn a_file_replaces_its_earlier_entries_and_keeps_posted_ones() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("revocations.toml");
    let table = table(3);
    table.revoke(revocation("jti", "posted", None), now()).expect("room");
    let load = |text: &str| {
        std::fs::write(&path, text).expect("a file");
        table.load(&path, now()).map(|()| table.len())
    };
    let some = |number: usize| (0..number).map(|n| format!("[[revocations]]\njti = \"f{n}\"\n")).collect::<String>();

    assert_eq!(load(&some(2)).expect("room"), 3);
    assert!(matches!(load(&some(3)), Err(RevocationError::Full { capacity: 3 })));
    assert!(load("nonsense").is_err());
    assert_eq!(table.len(), 3, "an unreadable file changes nothing");
    assert_eq!(load("[[revocations]]\nsub = \"a\"\nuntil = 2020-01-01T00:00:00Z\n").expect("room"), 1);
}

#[test]
fn removing_the_last_entry_of_a_claim_makes_room_for_another_claim() {
    let table = table(1000);
    let ids: Vec<_> = (0..MAX_CLAIMS)
        .map(|number| table.revoke(revocation(&format!("c{number}"), "x", None), now()).expect("room"))
        .collect();
    let second = table.revoke(revocation("c0", "y", None), now()).expect("the claim is known");

    table.restore(&ids[0], now()).expect("it is there");
    assert!(table.revoke(revocation("one.more", "x", None), now()).is_err(), "c0 has another entry");
    table.restore(&second, now()).expect("it is there");
    assert!(table.revoke(revocation("one.more", "x", None), now()).is_ok());
}

#[test]
fn removing_a_posted_revocation_notifies_the_streams() {
    let changes = ChangeSignal::default();
    let table = Revocations::new(10, changes.clone());
    let id = table.revoke(revocation("jti", "a", None), now()).expect("room");
    let watch = changes.subscribe();

    assert_eq!(table.restore(&id, now()), Ok(()));

    assert!(watch.has_changed().expect("a sender"));
    assert_eq!(listed(&table, now()), []);
    assert_eq!(table.restore(&id, now()), Err(RestoreError::Unknown), "twice");
}

#[test]
fn a_revocation_from_the_file_or_an_expired_one_cannot_be_removed() {
    let table = table(10);
    let filed = ["file", "both"].map(|value| revocation("sub", value, None));
    let [file, both] = filed.clone().map(|one| RevocationId::of(&one.claim, &one.value));
    table.replace_filed(filed.to_vec(), now()).expect("room");
    table.revoke(revocation("sub", "both", None), now()).expect("room");
    let ended = table.revoke(revocation("sub", "ended", Some(10)), now()).expect("room");

    assert_eq!(table.restore(&file, now()), Err(RestoreError::Filed));
    assert_eq!(table.restore(&both, now()), Err(RestoreError::StillFiled), "the posted one is removed");
    assert_eq!(table.restore(&both, now()), Err(RestoreError::Filed));
    assert_eq!(table.restore(&ended, later(10)), Err(RestoreError::Unknown));
    assert_eq!(table.counts(), RevocationCounts { posted: 0, filed: 2 });
}

#[test]
fn a_revocation_posted_and_in_the_file_is_one_row_with_the_later_end() {
    let table = table(10);
    let filed = [("posted later", Some(10)), ("filed later", Some(30)), ("for good", None), ("file", Some(5))];
    table.replace_filed(filed.map(|(value, ttl)| revocation("sub", value, ttl)).to_vec(), now()).expect("room");
    for value in ["posted later", "filed later", "for good", "posted"] {
        table.revoke(revocation("sub", value, Some(20)), now()).expect("room");
    }
    let rows = |at| {
        let of = |row: RevocationRow| (row.value, (row.until, row.from));
        listed(&table, at).into_iter().map(of).collect::<BTreeMap<_, _>>()
    };

    let all = [
        ("posted later", (Some(later(20)), RevocationOrigin::Both)),
        ("filed later", (Some(later(30)), RevocationOrigin::Both)),
        ("for good", (None, RevocationOrigin::Both)),
        ("file", (Some(later(5)), RevocationOrigin::File)),
        ("posted", (Some(later(20)), RevocationOrigin::Posted)),
    ];
    assert_eq!(rows(now()), all.map(|(value, row)| (value.to_owned(), row)).into());
    let left =
        [("filed later", (Some(later(30)), RevocationOrigin::File)), ("for good", (None, RevocationOrigin::File))];
    assert_eq!(
        rows(later(20)),
        left.map(|(value, row)| (value.to_owned(), row)).into(),
        "expired entries are not listed"
    );

    table.remove_expired(later(20));
    assert_eq!(table.counts(), RevocationCounts { posted: 0, filed: 2 });
}

#[test]
fn thousands_are_listed_once_each_while_others_are_added_and_removed() {
    let table = table(10_000);
    let post = |value: &str| table.revoke(revocation("jti", value, None), now()).expect("room");
    let stay: BTreeSet<_> = (0..1_000).map(|number| post(&format!("posted {number}"))).collect();
    let filed = (0..1_500).map(|number| revocation("jti", &format!("filed {number}"), None)).collect::<Vec<_>>();
    let stay: BTreeSet<_> =
        stay.into_iter().chain(filed.iter().map(|one| RevocationId::of(&one.claim, &one.value))).collect();
    table.replace_filed(filed, now()).expect("room");
    // Expired entries in between, more than are visited under one lock.
    for number in 0..2_500 {
        table.revoke(revocation("jti", &format!("ended {number}"), Some(1)), now()).expect("room");
    }

    let (mut seen, mut sizes, mut after, mut coming) = (Vec::new(), Vec::new(), None, Vec::new());
    loop {
        let page = table.list(after, later(1));
        sizes.push(page.rows.len());
        seen.extend(page.rows.iter().map(|row| row.id));
        for id in coming.drain(..) {
            table.restore(&id, now()).expect("it was added between the last two pages");
        }
        coming.extend((0..20).map(|number| post(&format!("between {} {number}", sizes.len()))));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }

    assert_eq!(sizes[..2], [1000, 1000]);
    assert_eq!(sizes.len(), 3);
    let known: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(known.len(), seen.len(), "one row came twice");
    assert!(known.is_superset(&stay), "{} rows are missing", stay.difference(&known).count());
    assert!(seen.is_sorted());
}

#[test]
fn a_full_last_page_has_no_next() {
    let table = table(2_000);
    for number in 0..1_000 {
        table.revoke(revocation("jti", &number.to_string(), None), now()).expect("room");
    }
    assert_eq!(table.list(None, now()).next, None);

    table.revoke(revocation("jti", "one more", None), now()).expect("room");
    let first = table.list(None, now());
    assert_eq!(first.next, first.rows.last().map(|row| row.id));
    assert_eq!(table.list(first.next, now()).rows.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// An entry that exists throughout is listed once, for any page size, whatever is added and removed in between.
    #[test]
    fn pages_omit_and_repeat_nothing(
        stay in prop::collection::btree_set(0..500usize, 0..60),
        changes in prop::collection::vec((500..600usize, any::<bool>()), 0..60),
        max_rows in 1..8usize,
        per_lock in 1..12usize,
    ) {
        let table = table(1_000);
        let one = |number: usize| revocation(["jti", "sub"][number % 2], &number.to_string(), None);
        let id = |number| RevocationId::of(&one(number).claim, &one(number).value);
        let (filed, posted): (Vec<usize>, Vec<usize>) = stay.iter().partition(|number| **number % 3 == 0);
        table.replace_filed(filed.into_iter().map(one).collect(), now()).expect("room");
        posted.into_iter().for_each(|number| drop(table.revoke(one(number), now())));
        let mut changes = changes.into_iter();
        let (mut seen, mut after) = (Vec::new(), None);

        loop {
            let page = table.page(after, max_rows, per_lock, now());
            prop_assert!(page.rows.len() == max_rows || page.next.is_none());
            prop_assert!(page.rows.len() <= max_rows);
            seen.extend(page.rows.into_iter().map(|row| row.id));
            for (number, comes) in changes.by_ref().take(2) {
                match comes {
                    true => drop(table.revoke(one(number), now())),
                    false => drop(table.restore(&id(number), now())),
                }
            }
            let Some(next) = page.next else { break };
            after = Some(next);
        }

        prop_assert!(seen.is_sorted_by(|one, next| one < next), "a row came twice");
        prop_assert!(stay.iter().all(|number| seen.contains(&id(*number))), "a row is missing");
    }

    /// Compares the list with a model: a map of the revocations in force.
    #[test]
    fn the_list_matches_the_model(
        steps in prop::collection::vec((0..4usize, 0..40usize, prop::option::of(1..20u64), 0..3u64), 1..120),
    ) {
        let table = table(1_000);
        let (mut posted, mut filed) = (BTreeMap::new(), BTreeMap::new());
        let mut seconds = 0;
        for (step, number, ttl, passed) in steps {
            seconds += passed;
            let at = later(seconds);
            let ttl = ttl.map(|ttl| seconds + ttl);
            let one = revocation(["jti", "sub", "a.b"][number % 3], &number.to_string(), ttl);
            let id = RevocationId::of(&one.claim, &one.value);
            let in_force = |until: &Option<SystemTime>| until.is_none_or(|until| at < until);
            match step {
                0 | 1 => {
                    posted.entry(id).and_modify(|end| *end = entries::later(*end, one.until)).or_insert(one.until);
                    prop_assert_eq!(table.revoke(one, at).expect("room"), id);
                }
                2 => {
                    let was_posted = posted.remove(&id).is_some_and(|end| in_force(&end));
                    let is_filed = filed.get(&id).is_some_and(in_force);
                    prop_assert_eq!(table.restore(&id, at).is_ok(), was_posted && !is_filed);
                }
                _ => {
                    filed = [(id, one.until)].into();
                    table.replace_filed(vec![one], at).expect("room");
                }
            }
            let mut model = BTreeMap::new();
            for (id, end) in posted.iter().chain(&filed).filter(|(_, end)| in_force(end)) {
                model.entry(*id).and_modify(|known| *known = entries::later(*known, *end)).or_insert(*end);
            }
            let rows: Vec<_> = listed(&table, at).into_iter().map(|row| (row.id, row.until)).collect();
            prop_assert_eq!(rows, model.into_iter().collect::<Vec<_>>());
            table.remove_expired(at);
            posted.retain(|_, end| in_force(end));
            filed.retain(|_, end| in_force(end));
            prop_assert_eq!(table.counts(), RevocationCounts { posted: posted.len(), filed: filed.len() });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_rewritten_in_place_is_read_when_it_is_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("revocations.toml");
    let write = |subjects: &[&str]| {
        let entries: String = subjects.iter().map(|sub| format!("[[revocations]]\nsub = \"{sub}\"\n")).collect();
        std::fs::write(&path, entries).expect("a file");
    };
    let table = Revocations::new(10, ChangeSignal::default());
    write(&["a", "b", "c"]);
    table.load(&path, now()).expect("a valid file");
    let steps = async {
        // Off the polls, which are at whole seconds.
        tokio::time::sleep(Duration::from_millis(10_500)).await;
        for written in [&[] as &[&str], &["a"], &["a", "b"], &["a", "b", "c", "d"]] {
            write(written);
            tokio::time::sleep(FILE_POLL).await;
            assert_eq!(table.len(), 3, "{written:?}");
        }
        tokio::time::sleep(FILE_POLL).await;
        assert_eq!(table.len(), 4);
    };

    tokio::select! { () = table.poll_file(&path) => {}, () = steps => {} }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_becomes_empty_keeps_its_entries_until_it_says_that_there_are_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("revocations.toml");
    let write = |text: &str| std::fs::write(&path, text).expect("a file");
    let table = Revocations::new(10, ChangeSignal::default());
    write("[[revocations]]\nsub = \"a\"\n");
    table.load(&path, now()).expect("a valid file");
    let steps = async {
        let settle = || tokio::time::sleep(3 * FILE_POLL);
        for text in ["", "# [[revocations]]\n"] {
            write(text);
            assert!(matches!(table.load(&path, now()), Err(RevocationError::Emptied { entries: 1 })));
            settle().await;
            assert_eq!(table.len(), 1);
            assert!(table.file_problem().expect("a problem").contains("revocations = []"));
        }
        std::fs::remove_file(&path).expect("the file");
        settle().await;
        assert_eq!((table.len(), table.file_problem().as_deref()), (1, Some("the file is missing")));
        write("revocations = []\n");
        settle().await;
        assert_eq!((table.len(), table.file_problem()), (0, None));
        write("");
        settle().await;
        assert_eq!(table.file_problem(), None, "it had no entries");
    };

    tokio::select! { () = table.poll_file(&path) => {}, () = steps => {} }
}
