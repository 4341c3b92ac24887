//! What must not be let in, each with the reason that is counted.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use rcgen::PublicKeyData;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::*;

struct Table(Vec<(String, String, &'static str)>);

impl Table {
    fn add(&mut self, what: impl Into<String>, token: String, reason: &'static str) {
        self.0.push((what.into(), token, reason));
    }
}

fn rs(header: &Value, claims: &Value) -> String {
    let key = signing(&keys().rsa, Algorithm::RS256);
    key.sign(header.to_string().as_bytes(), claims.to_string().as_bytes()).expect("a token")
}

fn rs_raw(header: &[u8], claims: &[u8]) -> String {
    signing(&keys().rsa, Algorithm::RS256).sign(header, claims).expect("a token")
}

fn es(header: &Value, claims: &Value) -> String {
    let key = signing(&keys().ec, Algorithm::ES256);
    key.sign(header.to_string().as_bytes(), claims.to_string().as_bytes()).expect("a token")
}

fn rs256() -> Value {
    json!({ "alg": "RS256", "kid": "rsa" })
}

fn header_with(name: &str, value: Value) -> Value {
    let mut header = rs256();
    header[name] = value;
    header
}

fn good() -> String {
    rs(&rs256(), &claims())
}

fn resigned(token: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let signature = change(URL_SAFE_NO_PAD.decode(signature).expect("base64url"));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn algorithms(table: &mut Table) {
    for none in ["none", "None", "NONE", "nOnE", "noNE", "none ", " none", "none\u{0}", "", "null", "ｎｏｎｅ"] {
        let header = header_with("alg", json!(none));
        let unsigned = format!("{}.{}.", part(&header), part(&claims()));
        table.add(format!("alg {none:?} without a signature"), unsigned, "algorithm");
        table.add(format!("alg {none:?} with a signature"), rs(&header, &claims()), "algorithm");
    }
    for odd in [
        "RS1",
        "ES512",
        "ES256K",
        "HS1",
        "rs256",
        "Rs256",
        "RS256 ",
        "RS-256",
        "Ed25519",
        "ed25519",
        "A128KW",
        "dir",
        "RSA-OAEP",
        "RSASSA-PKCS1-v1_5",
        "SHA256withRSA",
        "RS256,none",
    ] {
        table.add(format!("alg {odd:?}"), rs(&header_with("alg", json!(odd)), &claims()), "algorithm");
    }
    for odd in [json!(null), json!(256), json!(true), json!([]), json!(["RS256"]), json!({ "RS256": 1 })] {
        table.add(format!("alg {odd}"), rs(&header_with("alg", odd), &claims()), "malformed");
    }
    table.add("no alg", rs(&json!({ "kid": "rsa" }), &claims()), "malformed");
    for other in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
        let header = header_with("alg", json!(other));
        let key = signing(&keys().rsa, other);
        let token = key.sign(header.to_string().as_bytes(), claims().to_string().as_bytes()).expect("a token");
        table.add(format!("{other:?} by the right RSA key, which is for RS256"), token, "algorithm");
    }
    table.add("ES256 in the name of an RSA key", es(&json!({ "alg": "ES256", "kid": "rsa" }), &claims()), "algorithm");
    table.add("RS256 in the name of an EC key", rs(&json!({ "alg": "RS256", "kid": "ec" }), &claims()), "algorithm");
    table.add("RS256 in the name of a secret", rs(&json!({ "alg": "RS256", "kid": "hmac" }), &claims()), "algorithm");
    table.add(
        "EdDSA, which the issuer does not use",
        rs(&json!({ "alg": "EdDSA", "kid": "rsa" }), &claims()),
        "algorithm",
    );
}

fn confusion(table: &mut Table) {
    for (name, pair) in [("rsa", &keys().rsa), ("ec", &keys().ec)] {
        let pem = pair.public_key_pem();
        let stripped: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let unix = pem.replace("\r\n", "\n");
        for (form, secret) in [
            ("PEM", pem.as_bytes().to_vec()),
            ("PEM with line feeds", unix.as_bytes().to_vec()),
            ("PEM, trimmed", unix.trim().as_bytes().to_vec()),
            ("stripped PEM", stripped.as_bytes().to_vec()),
            ("DER", pair.subject_public_key_info()),
            ("bare key", pair.public_key_raw().to_vec()),
        ] {
            for (kid, reason) in [(Some(name), "algorithm"), (Some("hmac"), "signature"), (None, "signature")] {
                let mut header = json!({ "alg": "HS256" });
                if let Some(kid) = kid {
                    header["kid"] = json!(kid);
                }
                let message = format!("{}.{}", part(&header), part(&claims()));
                let token = hmac(&message, &secret, Algorithm::HS256);
                table.add(format!("HS256 with the {form} of {name}, kid {kid:?}"), token, reason);
            }
        }
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let message = format!("{}.{}", part(&json!({ "alg": algorithm, "kid": name })), part(&claims()));
            table.add(
                format!("{algorithm:?} with PEM of {name}"),
                hmac(&message, pem.as_bytes(), algorithm),
                "algorithm",
            );
        }
    }
    for secret in [b"".as_slice(), b"secret", b"\0"] {
        let message = format!("{}.{}", part(&json!({ "alg": "HS256", "kid": "hmac" })), part(&claims()));
        table.add("HS256 with a guessed secret", hmac(&message, secret, Algorithm::HS256), "signature");
        let message = format!("{}.{}", part(&json!({ "alg": "HS256", "kid": "/dev/null" })), part(&claims()));
        table.add("HS256 with a file for a kid", hmac(&message, secret, Algorithm::HS256), "unknown_key");
    }
}

fn kids(table: &mut Table) {
    let long = "k".repeat(256);
    for kid in [
        "nobody",
        "",
        "RSA",
        "rsa ",
        " rsa",
        "ｒsa",
        "rsa.pem",
        "../rsa.pem",
        "/etc/passwd",
        "' OR 1=1 --",
        "rsa|cat",
        "https://evil.example.com/jwks.json",
        "*",
        "0",
        &long,
    ] {
        table.add(format!("kid {kid:.20?}"), rs(&header_with("kid", json!(kid)), &claims()), "unknown_key");
    }
    for kid in [
        json!(null),
        json!(1),
        json!(["rsa"]),
        json!({}),
        json!(true),
        json!("k".repeat(257)),
        json!("rsa\u{0}"),
        json!("rsa\n"),
    ] {
        table.add(format!("kid {kid:.20}"), rs(&header_with("kid", kid), &claims()), "malformed");
    }
}

fn signatures(table: &mut Table) {
    let rsa = good();
    let ec = es(&json!({ "alg": "ES256", "kid": "ec" }), &claims());
    for (name, token) in [("RS256", &rsa), ("ES256", &ec)] {
        let mut add = |what: &str, token| table.add(format!("{name}, {what}"), token, "signature");
        add(
            "a byte less",
            resigned(token, |mut s| {
                s.pop();
                s
            }),
        );
        add("a byte less in front", resigned(token, |s| s[1..].to_vec()));
        add(
            "a byte more",
            resigned(token, |mut s| {
                s.push(0);
                s
            }),
        );
        add(
            "a byte more in front",
            resigned(token, |mut s| {
                s.insert(0, 0);
                s
            }),
        );
        add("empty", resigned(token, |_| vec![]));
        add("zeros", resigned(token, |s| vec![0; s.len()]));
        add("ones", resigned(token, |s| vec![0xff; s.len()]));
        add(
            "one bit",
            resigned(token, |mut s| {
                s[7] ^= 1;
                s
            }),
        );
        add(
            "reversed",
            resigned(token, |mut s| {
                s.reverse();
                s
            }),
        );
        add("twice", resigned(token, |s| s.repeat(2)));
    }
    table.add(
        "ES256, r and s swapped",
        resigned(&ec, |mut s| {
            s.rotate_left(32);
            s
        }),
        "signature",
    );
    table.add("ES256 in DER", resigned(&ec, |s| der_signature(&s)), "signature");
    table.add(
        "ES256, r = s = 1",
        resigned(&ec, |_| {
            let mut s = vec![0; 64];
            s[31] = 1;
            s[63] = 1;
            s
        }),
        "signature",
    );
    let [header, _, signature] = rsa.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    table.add("another payload", format!("{header}.{}.{signature}", part(&with("sub", json!("bob")))), "signature");
    let other_header = part(&header_with("typ", json!("JWT")));
    table.add("another header", format!("{other_header}.{}.{signature}", part(&claims())), "signature");
    for (what, pair, algorithm, kid) in [
        ("a foreign RSA key", &keys().foreign_rsa, Algorithm::RS256, "rsa"),
        ("a foreign EC key", &keys().foreign_ec, Algorithm::ES256, "ec"),
    ] {
        let header = json!({ "alg": algorithm, "kid": kid }).to_string();
        let token = signing(pair, algorithm).sign(header.as_bytes(), claims().to_string().as_bytes()).expect("a token");
        table.add(what, token, "signature");
    }
}

fn der_signature(raw: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let mut integer = vec![2, 33, 0];
        integer.extend(bytes);
        integer
    };
    let body = [integer(&raw[..32]), integer(&raw[32..])].concat();
    [vec![0x30, body.len() as u8], body].concat()
}

fn encodings(table: &mut Table) {
    let good = good();
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let mut add = |what: &str, token: String| table.add(what, token, "malformed");
    add("padding after the header", format!("{header}=.{payload}.{signature}"));
    add("padding after the payload", format!("{header}.{payload}==.{signature}"));
    add("padding after the signature", format!("{header}.{payload}.{signature}=="));
    add("white space in front", format!(" {good}"));
    add("a line feed at the end", format!("{good}\n"));
    add("white space within", format!("{header}. {payload}.{signature}"));
    add("a line break within a part", format!("{}\r\n{}.{payload}.{signature}", &header[..4], &header[4..]));
    add("NUL at the end", format!("{good}\0"));
    add("a percent sign", format!("{header}%2E{payload}.{signature}"));
    add("another alphabet", format!("{header}.{payload}.{}", STANDARD.encode([0xfb; 255])));
    add("letters beyond ASCII", format!("{header}.{payload}.{signature}é"));
    add("a full-width dot", format!("{header}．{payload}.{signature}"));
    add("a bearer prefix", format!("Bearer {good}"));
    add("quotes", format!("\"{good}\""));
    // 256 bytes of signature leave four bits, 64 bytes two.. which must be zero (RFC 4648, 3.5).
    let last = signature.chars().next_back().expect("not empty");
    for (what, next) in [("a trailing bit", 1), ("another trailing bit", 2)] {
        add(what, format!("{header}.{payload}.{}{}", &signature[..signature.len() - 1], shifted(last, next)));
    }
    for text in [
        "",
        ".",
        "..",
        "...",
        "a",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        "{}",
        "{}.{}.{}",
        "e30.e30",
        ".e30.e30",
        "v4.public.eyJ9.x",
    ] {
        add(&format!("{text:?}"), text.to_owned());
    }
    add("two parts", format!("{header}.{payload}"));
    add("four parts", format!("{good}.{signature}"));
    add("a dot at the end", format!("{good}."));
    add("a dot in front", format!(".{good}"));
    add("no header", format!(".{payload}.{signature}"));
    add("no payload", format!("{header}..{signature}"));
    add("an encrypted token", format!("{header}.{payload}.{payload}.{payload}.{signature}"));
    let json = json!({ "payload": payload, "protected": header, "signature": signature });
    add("the JSON serialisation", json.to_string());
    add("two tokens", format!("{good},{good}"));
    add("more than 8 KiB", rs(&rs256(), &with("x", json!("x".repeat(8 * 1024)))));
    add("8 KiB of dots", ".".repeat(8 * 1024));
    add("a megabyte", "a".repeat(1024 * 1024));
}

/// The base64url letter whose value is `by` more.
fn shifted(letter: char, by: usize) -> char {
    let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
    let at = letters.iter().position(|&known| known == letter).expect("a letter of the alphabet");
    letters[at + by]
}

fn json_forms(table: &mut Table) {
    let text = claims().to_string();
    let exp = format!("\"exp\":{}", NOW + 60);
    for (what, payload) in [
        ("an array", "[]".to_owned()),
        ("a string", "\"x\"".to_owned()),
        ("a number", "1".to_owned()),
        ("null", "null".to_owned()),
        ("nothing", " ".to_owned()),
        ("exp twice", text.replace(&exp, &format!("{exp},{exp}"))),
        ("exp twice, once with an escape", text.replace(&exp, &format!("{exp},\"\\u0065xp\":1"))),
        ("iss twice", format!("{{\"iss\":\"x\",{}", &text[1..])),
        ("aud twice", format!("{},\"aud\":\"x\"}}", &text[..text.len() - 1])),
        ("a nested member twice", text.replace(&exp, &format!("{exp},\"x\":[{{\"a\":1,\"a\":1}}]"))),
        ("something after it", format!("{text}{text}")),
        ("a comma at the end", format!("{},}}", &text[..text.len() - 1])),
        ("a comment", text.replace(&exp, &format!("{exp}/**/"))),
        ("cut off", text[..text.len() - 1].to_owned()),
        ("single quotes", text.replace('"', "'")),
        ("a byte order mark", format!("\u{feff}{text}")),
        ("NaN", text.replace(&exp, "\"exp\":NaN")),
        ("a number beyond a double", text.replace(&exp, "\"exp\":1e999")),
        ("a lone surrogate", text.replace("alice", "\\ud800")),
        ("a bare control character", text.replace("alice", "a\nb")),
        ("deep nesting", text.replace("\"alice\"", &format!("{}{}", "[".repeat(500), "]".repeat(500)))),
        ("deep objects", text.replace("\"alice\"", &format!("{}1{}", "{\"a\":".repeat(20), "}".repeat(20)))),
    ] {
        table.add(format!("payload: {what}"), rs_raw(rs256().to_string().as_bytes(), payload.as_bytes()), "malformed");
    }
    let broken =
        text.replace("alice", "\u{1}").into_bytes().iter().map(|&b| if b == 1 { 0xff } else { b }).collect::<Vec<_>>();
    table.add("payload: not UTF-8", rs_raw(rs256().to_string().as_bytes(), &broken), "malformed");
    for header in [
        r#"["RS256"]"#,
        "\"RS256\"",
        "null",
        r#"{"alg":"RS256","alg":"none","kid":"rsa"}"#,
        r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#,
        r#"{"alg":"RS256","kid":"rsa","kid":"ec"}"#,
        r#"{"alg":"RS256","kid":"rsa"}{}"#,
        r#"{"alg":"RS256","kid":"rsa","x":{"y":1,"y":2}}"#,
        "{",
        "\u{feff}{\"alg\":\"RS256\",\"kid\":\"rsa\"}",
        r#"{"alg":"RS256","kid":"rsa","typ":1}"#,
        r#"{"alg":"RS256","kid":"rsa","typ":null}"#,
    ] {
        table.add(format!("header: {header}"), rs_raw(header.as_bytes(), text.as_bytes()), "malformed");
    }
}

fn headers(table: &mut Table) {
    let embedded = json!({ "kty": "oct", "k": "AAAA", "alg": "HS256" });
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("crit", json!(null)),
        ("crit", json!(["http://example.com/unknown"])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("epk", json!({})),
        ("cty", json!("JWT")),
        ("jwk", embedded.clone()),
        ("jwk", json!(null)),
        ("jku", json!("https://evil.example.com/jwks.json")),
        ("jku", json!("https://id.example.com/jwks.json")),
        ("x5u", json!("https://evil.example.com/chain.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        table.add(format!("header {name}: {value}"), rs(&header_with(name, value), &claims()), "header");
    }
    let header = json!({ "alg": "HS256", "jwk": embedded });
    let message = format!("{}.{}", part(&header), part(&claims()));
    table.add("HS256 with a key of its own", hmac(&message, &[0, 0, 0], Algorithm::HS256), "header");
    let header = json!({ "alg": "RS256", "jku": "https://evil.example.com/jwks.json", "kid": "evil" });
    let key = signing(&keys().foreign_rsa, Algorithm::RS256);
    let token = key.sign(header.to_string().as_bytes(), claims().to_string().as_bytes()).expect("a token");
    table.add("RS256 with a key from its own URL", token, "header");
}

fn registered_claims(table: &mut Table) {
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
            json!((NOW + 60).to_string()),
            json!("never"),
            json!(""),
            json!([NOW + 60]),
            json!(-1),
            json!(-0.5),
            json!(1e300),
            json!(u64::MAX),
            json!((NOW + 60) * 1000),
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
    for value in [0, 1, NOW - 3600, NOW - 6, NOW - 5] {
        add(format!("exp {value}"), &with("exp", json!(value)), "expired");
    }
    for value in [json!(NOW + 6), json!(NOW as f64 + 5.001), json!(NOW + 3600), json!(253_402_300_799_u64)] {
        add(format!("nbf {value}"), &with("nbf", value), "not_yet_valid");
    }
    add("everything one level down".to_owned(), &json!({ "claims": claims() }), "claims");
    add("names in capitals".to_owned(), &json!({ "ISS": ISSUER, "AUD": "rillgate", "EXP": NOW + 60 }), "claims");
    add("an empty object".to_owned(), &json!({}), "claims");
}

fn issuers_of_others(table: &mut Table) {
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
    table.add("a good token of an issuer that the route does not use", token, "unknown_issuer");
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
    claims_of_second(r#"{"alg":"ES384","typ":"at+jwt","kid":"second"}"#, &second, "unknown_key");
    second["aud"] = json!("rillgate");
    claims_of_second(r#"{"alg":"ES384","typ":"at+jwt"}"#, &second, "audience");
}

#[tokio::test]
async fn no_crafted_token_is_let_in_and_each_is_counted_under_its_reason() {
    let directory = tempdir().expect("a directory");
    let authorizer = authorizer(&authority(issuers(directory.path())), rules());
    assert!(authorize(&authorizer, &bearer(&good()), now()).await.is_ok(), "the table is about a token that is good");
    let mut table = Table(Vec::new());
    for fill in
        [algorithms, confusion, kids, signatures, encodings, json_forms, headers, registered_claims, issuers_of_others]
    {
        fill(&mut table);
    }

    let mut wrong = Vec::new();
    for (what, token, reason) in &table.0 {
        let (_, decision) = authorizer.explain(token, wanted(), now()).await;
        let label = decision.as_ref().map_or_else(|denied| denied.label(), |_| "LET IN");
        if label != *reason {
            wrong.push(format!("{what}: {label}, not {reason}"));
        }
        // What can be sent at all is refused in a request as well. (There, spaces before the token belong to the header.)
        if !token.starts_with(' ')
            && let Ok(value) = format!("Bearer {token}").parse::<http::HeaderValue>()
        {
            let headers = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
            if authorize(&authorizer, &headers, now()).await.is_ok() {
                wrong.push(format!("{what}: let in by request"));
            }
        }
    }

    assert!(table.0.len() >= 300, "only {} tokens", table.0.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.0.len(), wrong.join("\n"));
}
