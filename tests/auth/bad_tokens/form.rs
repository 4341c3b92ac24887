//! Tokens in a malformed encoding or with a forbidden header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;
use serde_json::json;

use super::super::support::*;
use super::{Table, good, header_with, rs, rs_raw, rs256};

pub fn encodings(table: &mut Table) {
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
    // 256 bytes of signature leave four trailing bits, 64 bytes leave two; both must be zero (RFC 4648, 3.5).
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
    add("8 KiB of dots", ".".repeat(8 * 1024));
}

pub fn sizes(table: &mut Table) {
    table.add("more than 16 KiB", rs(&rs256(), &with("x", json!("x".repeat(12 * 1024)))), "too_large");
    table.add("16 KiB and a dot", ".".repeat(16 * 1024 + 1), "too_large");
    table.add("a megabyte", "a".repeat(1024 * 1024), "too_large");
}

/// Returns the base64url letter whose value is `by` more.
fn shifted(letter: char, by: usize) -> char {
    let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
    let at = letters.iter().position(|&known| known == letter).expect("a letter of the alphabet");
    letters[at + by]
}

pub fn json_forms(table: &mut Table) {
    let text = claims().to_string();
    let exp = format!("\"exp\":{}", *NOW + 600);
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

pub fn headers(table: &mut Table) {
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

pub fn kids(table: &mut Table) {
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
