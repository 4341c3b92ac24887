use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn revocation(claim: &str, value: &str, ttl: Option<u64>) -> Revocation {
    let until = ttl.map(|seconds| now() + Duration::from_secs(seconds));
    Revocation { claim: ClaimPath::parse(claim).expect("a claim"), value: value.to_owned(), until }
}

#[test]
fn the_later_end_wins() {
    let mut entries = Entries::default();
    for ttl in [Some(10), Some(30), Some(20)] {
        entries.insert(revocation("sub", "a", ttl)).expect("room");
    }
    assert_eq!(entries.0[0].1["a"], Some(now() + Duration::from_secs(30)));
    entries.insert(revocation("sub", "a", None)).expect("room");
    entries.insert(revocation("sub", "a", Some(40))).expect("room");
    assert_eq!(entries.0[0].1["a"], None, "for good is later than anything");
    assert_eq!(entries.len(), 1);
}

#[test]
fn revocations_are_about_few_claims() {
    let table = Revocations::new(1000, Changes::default());
    for number in 0..MAX_CLAIMS {
        table.revoke(revocation(&format!("c{number}"), "x", Some(10)), now()).expect("room");
    }
    assert!(matches!(table.revoke(revocation("one.more", "x", None), now()), Err(RevocationError::Claims)));

    let later = now() + Duration::from_secs(10);
    table.revoke(revocation("one.more", "x", None), later).expect("the others have ended");
}

#[test]
fn a_file_replaces_what_it_said_before_and_leaves_what_was_posted() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("revocations.toml");
    let table = Revocations::new(3, Changes::default());
    table.revoke(revocation("jti", "posted", None), now()).expect("room");
    let load = |text: &str| {
        std::fs::write(&path, text).expect("a file");
        table.load(&path, now()).map(|()| table.len())
    };
    let some = |number: usize| (0..number).map(|n| format!("[[revocations]]\njti = \"f{n}\"\n")).collect::<String>();

    assert_eq!(load(&some(2)).expect("room"), 3);
    assert!(matches!(load(&some(3)), Err(RevocationError::Full { capacity: 3 })));
    assert!(load("nonsense").is_err());
    assert_eq!(table.len(), 3, "what could not be read changes nothing");
    assert_eq!(load("[[revocations]]\nsub = \"a\"\nuntil = 2020-01-01T00:00:00Z\n").expect("room"), 1);
}
