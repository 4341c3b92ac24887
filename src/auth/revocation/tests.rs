use proptest::prelude::*;

use super::*;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn posted(body: &str) -> Result<Revocation, RevocationError> {
    from_json(body.as_bytes(), now())
}

#[test]
fn the_long_form_and_the_short_forms_are_equivalent() {
    let long = posted(r#"{"claim":"jti","value":"t1","ttl":"1h"}"#).expect("a revocation");
    assert_eq!(long, posted(r#"{"jti":"t1","ttl":"60m"}"#).expect("a revocation"));
    assert_eq!((long.claim.as_str(), long.value.as_str()), ("jti", "t1"));
    assert_eq!(long.until, Some(now() + Duration::from_secs(3600)));

    let subject = posted(r#"{"sub":"alice"}"#).expect("a revocation");
    assert_eq!((subject.claim.as_str(), subject.until), ("sub", None));
    assert_eq!(posted(r#"{"claim":"org.id","value":7}"#).expect("a revocation").value, "7");
}

#[test]
fn an_invalid_revocation_is_refused() {
    for body in [
        "",
        "[]",
        "{}",
        r#"{"claim":"jti"}"#,
        r#"{"value":"x"}"#,
        r#"{"jti":"a","sub":"b"}"#,
        r#"{"jti":1}"#,
        r#"{"jti":"a","claim":"b","value":"c"}"#,
        r#"{"jti":""}"#,
        r#"{"jti":"a","tll":"1h"}"#,
        r#"{"jti":"a","ttl":1}"#,
        r#"{"jti":"a","jti":"b"}"#,
        r#"{"claim":"a..b","value":"c"}"#,
        r#"{"claim":"a","value":["c"]}"#,
        r#"{"claim":"a","value":1.5}"#,
    ] {
        assert!(posted(body).is_err(), "{body}");
    }
    assert!(posted(&format!(r#"{{"jti":"{}"}}"#, "x".repeat(1025))).is_err());
    for ttl in ["", "1", "h", "0s", "-1h", "1.5h", "1 h", "1H", "1h30m", "99999999999999999999s", "9999999d"] {
        assert!(posted(&format!(r#"{{"jti":"a","ttl":"{ttl}"}}"#)).is_err(), "{ttl}");
    }
}

#[test]
fn a_file_lists_revocations_with_their_ends() {
    let text = r#"
        [[revocations]]
        jti = "t1"
        until = 2027-01-15T08:00:00Z
        [[revocations]]
        claim = "https://x.example/org"
        value = 7
        until = 2027-01-15T09:30:00+01:30
        [[revocations]]
        sub = "alice"
    "#;
    let all = from_toml(text).expect("revocations").entries;

    let ends: Vec<_> = all.iter().map(|one| one.until).collect();
    assert_eq!(ends, [Some(now()), Some(now()), None]);
    for (text, is_declared) in [("", false), ("# nothing\n", false), ("revocations = []", true)] {
        assert_eq!(from_toml(text).expect("nothing is revoked"), RevocationList { entries: vec![], is_declared });
    }
}

#[test]
fn the_file_in_the_documentation_is_valid() {
    let page = include_str!("../../../docs/admin.md");
    let (_, rest) = page.split_once("```toml revocations.toml\n").expect("the example");

    let all = from_toml(rest.split("```").next().expect("its text")).expect("revocations").entries;

    let shown: Vec<_> = all.iter().map(|one| (one.claim.as_str(), one.value.as_str(), one.until.is_some())).collect();
    assert_eq!(shown, [("jti", "4f9c2a", true), ("sub", "mallory", false), ("org.id", "7", false)]);
}

#[test]
fn an_end_is_rounded_up_to_a_whole_second() {
    let late = now() + Duration::from_millis(1);

    let posted = from_json(br#"{"jti":"t1","ttl":"1s"}"#, late).expect("a revocation");
    let filed =
        from_toml("[[revocations]]\njti = \"t1\"\nuntil = 2027-01-15T08:00:01.5Z\n").expect("a revocation").entries;

    assert_eq!(posted.until, Some(now() + Duration::from_secs(2)));
    assert_eq!(filed[0].until, Some(now() + Duration::from_secs(2)));
}

#[test]
fn an_invalid_file_is_refused_with_line_and_column_and_never_quoted() {
    for (text, place, words) in [
        ("[[revocations]]\nsub = \"hush\"\nuntil = 2027-01-15\n", (3, 9), "an offset"),
        ("[[revocations]]\nsub = \"hush\"\nuntil = 2027-01-15T08:00:00\n", (3, 9), "an offset"),
        ("[[revocations]]\nsub = \"hush\"\nuntil = 1969-01-15T08:00:00Z\n", (3, 9), "an offset"),
        ("[[revocations]]\nsub = \"hush\"\nuntil = \"hush\"\n", (3, 9), "an offset"),
        ("[[revocations]]\nsub = \"hush\"\nhush = 2027-01-15T08:00:00Z\n", (3, 1), "unknown key"),
        (
            "[[revocations]]\nsub = \"a\"\n\n[[revocations]]\nsub = \"hush\"\njti = \"hush\"\n",
            (4, 1),
            "\"jti\", or \"sub\"",
        ),
        ("[[revocations]]\nsub = \"\"\n", (1, 1), "1 to 1024 bytes"),
        ("[[revocations]]\nclaim = \"hush..hush\"\nvalue = \"hush\"\n", (1, 1), "is empty"),
        ("[[revocations]]\nclaim = \"hush\"\nvalue = [\"hush\"]\n", (3, 9), "a whole number"),
        ("[[revocations]]\nclaim = \"hush\"\nvalue = 1.5\n", (3, 9), "a whole number"),
        ("[[revocations]]\nclaim = \"hush\"\nvalue = 99999999999999999999\n", (3, 9), "a whole number"),
        ("[[revocations]]\njti = 48151623\n", (2, 7), "a string"),
        ("# é\n[[hush]]\nsub = \"hush\"\n", (2, 3), "only [[revocations]] tables"),
        ("sub = \"hush\"", (1, 1), "only [[revocations]] tables"),
        ("revocations = [\"é\", { sub = \"hush\" }]", (1, 16), "only [[revocations]] tables"),
        ("revocations = \"hush\"", (1, 1), "only [[revocations]] tables"),
        ("[revocations]\nsub = \"hush\"", (1, 2), "only [[revocations]] tables"),
        ("[[revocations]]\nsub = \"hush", (2, 12), "not TOML"),
        ("[[revocations]]\nsub = hush\n", (2, 7), "not TOML"),
        ("[[revocations]]\nsub = \"hush\"\nsub = \"hush\"\n", (3, 1), "not TOML"),
        ("[[revocations]]\n\"hush\" \"hush\"\n", (2, 8), "not TOML"),
        ("[[revocations]\nsub = \"hush\"\n", (1, 15), "not TOML"),
    ] {
        let error = from_toml(text).expect_err(text);

        let RevocationError::InFile { line, column, fault } = &error else { panic!("{text}: {error}") };
        assert_eq!((*line, *column), place, "{text}: {error}");
        assert!(fault.contains(words), "{text}: {error}");
        assert!(!error.to_string().contains("hush") && !error.to_string().contains("4815"), "{error}");
    }
}

#[test]
fn a_file_that_is_not_utf8_is_refused_at_the_first_invalid_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("revocations.toml");
    std::fs::write(&path, b"[[revocations]]\nsub = \"\xff\"\n").expect("a file");

    let error = read(&path).expect_err("not UTF-8").to_string();

    assert_eq!(error, "line 2, column 8 of the file: not UTF-8");
    let gone = read(&folder.path().join("gone.toml")).expect_err("no file").to_string();
    assert!(gone.starts_with("cannot read the file: "), "{gone}");
}

proptest! {
    #[test]
    fn errors_of_a_file_never_quote_its_values(at in 0..100usize, character in any::<char>(), cut in 0..3usize) {
        let file = "[[revocations]]\nsub = \"hushhush\"\nuntil = 2027-01-15T08:00:00Z\n[[revocations]]\njti = \"hushhush\"\n";
        let mut text = file.to_owned();
        text.replace_range(at.min(file.len())..(at + cut).min(file.len()), &character.to_string());

        if let Err(error) = from_toml(&text) {
            prop_assert!(!error.to_string().contains("hush"), "{}", error);
        }
    }
}
