//! Tokens without a signature by the right key with the right algorithm.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use rcgen::PublicKeyData;
use serde_json::json;

use super::super::support::*;
use super::{Table, es, good, header_with, rs};

pub fn algorithms(table: &mut Table) {
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

pub fn confusion(table: &mut Table) {
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

pub fn signatures(table: &mut Table) {
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

fn resigned(token: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let signature = change(URL_SAFE_NO_PAD.decode(signature).expect("base64url"));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}
