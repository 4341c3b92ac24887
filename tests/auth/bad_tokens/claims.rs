//! Tokens with a valid signature and wrong claims.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::super::support::*;
use super::{Table, rs, rs256};

pub fn registered_claims(table: &mut Table) {
    let mut add = |what: String, claims: &Value, reason| table.add(what, rs(&rs256(), claims), reason);
    for name in ["iss", "aud", "exp"] {
        add(format!("no {name}"), &without(name), "claims");
    }
    let wrong = || [json!(null), json!(true), json!({}), json!({ "$gt": 0 })];
    for name in ["iss", "aud", "exp", "nbf", "iat", "sub", "jti"] {
        for value in wrong() {
            add(format!("{name} {value}"), &with(name, value), "claims");
        }
    }
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!((*NOW + 600).to_string()),
            json!("never"),
            json!(""),
            json!([*NOW + 600]),
            json!(-1),
            json!(-0.5),
            json!(1e300),
            json!(u64::MAX),
            json!((*NOW + 600) * 1000),
            json!(253_402_300_800_u64),
        ] {
            add(format!("{name} {value}"), &with(name, value), "claims");
        }
    }
    for value in [json!(1), json!([ISSUER])] {
        add(format!("iss {value}"), &with("iss", value), "claims");
    }
    for value in [
        json!(1),
        json!([1]),
        json!(["rillgate", 1]),
        json!([["rillgate"]]),
        json!({ "rillgate": 1 }),
        json!(["rillgate", null]),
    ] {
        add(format!("aud {value}"), &with("aud", value), "claims");
    }
    for name in ["sub", "jti"] {
        for value in [json!(1), json!(["alice"])] {
            add(format!("{name} {value}"), &with(name, value), "claims");
        }
    }
    for value in [
        json!([]),
        json!(""),
        json!("other"),
        json!("Rillgate"),
        json!("rillgate "),
        json!("rillgate2"),
        json!("rill"),
        json!("*"),
        json!("rillgate other"),
        json!("rillgate,other"),
        json!(["a", "b"]),
        json!("second"),
        json!("rillgаte"),
    ] {
        add(format!("aud {value}"), &with("aud", value), "audience");
    }
    for value in [0, 1, *NOW - 3600, *NOW - 6, *NOW - 5] {
        add(format!("exp {value}"), &with("exp", json!(value)), "expired");
    }
    for value in [json!(*NOW + 6), json!(*NOW as f64 + 5.001), json!(*NOW + 3600), json!(253_402_300_799_u64)] {
        add(format!("nbf {value}"), &with("nbf", value), "not_yet_valid");
    }
    add("everything one level down".to_owned(), &json!({ "claims": claims() }), "claims");
    add("names in capitals".to_owned(), &json!({ "ISS": ISSUER, "AUD": "rillgate", "EXP": *NOW + 600 }), "claims");
    add("an empty object".to_owned(), &json!({}), "claims");
}

pub fn foreign_issuers(table: &mut Table) {
    for iss in [
        "",
        "https://id.example.com",
        "https://id.example.com//",
        "HTTPS://ID.EXAMPLE.COM/",
        "https://id.example.com/ ",
        "https://id.example.com/\u{0}",
        "https://id.example.com/x",
        "https://id.exаmple.com/",
        "main",
        "*",
        "https://evil.example.com/",
        "https://elsewhere.example.com/",
        "http://id.example.com/",
    ] {
        table.add(format!("iss {iss:?}"), rs(&rs256(), &with("iss", json!(iss))), "unknown_issuer");
    }
    let ed = signing(&keys().ed, Algorithm::EdDSA);
    let elsewhere = with("iss", json!("https://elsewhere.example.com/"));
    let token = ed.sign(br#"{"alg":"EdDSA"}"#, elsewhere.to_string().as_bytes()).expect("a token");
    table.add("a valid token of an issuer that the route does not use", token, "unknown_issuer");
    let token = ed.sign(br#"{"alg":"EdDSA"}"#, claims().to_string().as_bytes()).expect("a token");
    table.add("our issuer's name with another issuer's key", token, "algorithm");

    let ec384 = signing(&keys().ec384, Algorithm::ES384);
    let token = ec384.sign(br#"{"alg":"ES384"}"#, claims().to_string().as_bytes()).expect("a token");
    table.add("main's name with second's key", token, "algorithm");
    let mut second = with("iss", json!(SECOND));
    second["aud"] = json!("second");
    let typed = |kid: &str| json!({ "alg": "RS256", "kid": kid, "typ": "at+jwt" });
    table.add("second's name with main's key", rs(&typed("rsa"), &second), "algorithm");
    let mut claims_of_second = |header: &str, claims: &Value, reason| {
        let token = ec384.sign(header.as_bytes(), claims.to_string().as_bytes()).expect("a token");
        table.add(format!("second: {header}"), token, reason);
    };
    for typ in ["\"JWT\"", "\"at+jw\"", "\"at+jwt \"", "\"\"", "\"application/\"", "\"text/at+jwt\"", "\"dpop+jwt\""] {
        claims_of_second(&format!(r#"{{"alg":"ES384","typ":{typ}}}"#), &second, "typ");
    }
    claims_of_second(r#"{"alg":"ES384"}"#, &second, "typ");
    second["aud"] = json!("rillgate");
    claims_of_second(r#"{"alg":"ES384","typ":"at+jwt"}"#, &second, "audience");
}
