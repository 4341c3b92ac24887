use super::*;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn posted(body: &str) -> Result<Revocation, RevocationError> {
    from_json(body.as_bytes(), now())
}

#[test]
fn the_long_form_and_the_short_ones_say_the_same() {
    let long = posted(r#"{"claim":"jti","value":"t1","ttl":"1h"}"#).expect("a revocation");
    assert_eq!(long, posted(r#"{"jti":"t1","ttl":"60m"}"#).expect("a revocation"));
    assert_eq!((long.claim.as_str(), long.value.as_str()), ("jti", "t1"));
    assert_eq!(long.until, Some(now() + Duration::from_secs(3600)));

    let subject = posted(r#"{"sub":"alice"}"#).expect("a revocation");
    assert_eq!((subject.claim.as_str(), subject.until), ("sub", None));
    assert_eq!(posted(r#"{"claim":"org.id","value":7}"#).expect("a revocation").value, "7");
}

#[test]
fn what_is_no_revocation_is_refused() {
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
    let all = from_toml(text).expect("revocations");

    let ends: Vec<_> = all.iter().map(|one| one.until).collect();
    assert_eq!(ends, [Some(now()), Some(now()), None]);
    assert_eq!(from_toml("").expect("nothing is revoked"), []);
    let day =
        |text: &str| from_toml(&format!("[[revocations]]\nsub = \"a\"\nuntil = {text}\n")).map(|all| all[0].until);
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T23:59:59Z", 951_868_799),
        ("2000-03-01T00:00:00Z", 951_868_800),
        ("2100-03-01T00:00:00Z", 4_107_542_400),
    ] {
        assert_eq!(day(text).expect("an end"), Some(UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
    }
}

#[test]
fn a_file_that_is_none_is_refused_and_never_quoted() {
    for text in [
        "[[revocations]]\nsub = \"hush\"\nuntil = 2027-01-15\n",
        "[[revocations]]\nsub = \"hush\"\nuntil = 2027-01-15T08:00:00\n",
        "[[revocations]]\nsub = \"hush\"\nuntil = 1969-01-15T08:00:00Z\n",
        "[[revocations]]\nsub = \"hush\"\nuntill = 2027-01-15T08:00:00Z\n",
        "[[revocations]]\nsub = \"hush\"\njti = \"hush\"\n",
        "[[revocation]]\nsub = \"hush\"\n",
        "sub = \"hush\"",
        "[[revocations]]\nsub = \"hush",
    ] {
        let error = from_toml(text).expect_err(text);
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
