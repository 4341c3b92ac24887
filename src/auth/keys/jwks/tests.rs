use rcgen::{KeyPair, PublicKeyData};
use serde_json::json;

use super::*;

const ALL: [Algorithm; 5] = [Algorithm::ES256, Algorithm::ES384, Algorithm::RS256, Algorithm::PS256, Algorithm::EdDSA];

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ec() -> Value {
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let point = pair.der_bytes();
    json!({ "kty": "EC", "crv": "P-256", "kid": "a", "x": encode(&point[1..33]), "y": encode(&point[33..]) })
}

fn ed() -> Value {
    let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.der_bytes()) })
}

fn rsa() -> Value {
    let mut n = [0x5a; 256];
    (n[0], n[255]) = (0xc1, 0x5b);
    json!({ "kty": "RSA", "n": encode(&n), "e": "AQAB" })
}

fn read(keys: &[Value], allowed: &[Algorithm]) -> Result<(usize, usize), DocumentError> {
    parse(json!({ "keys": keys }).to_string().as_bytes(), allowed).map(|found| (found.keys.len(), found.skipped))
}

/// Adds or replaces a member of `key`.
fn with(mut key: Value, name: &str, value: Value) -> Value {
    key[name] = value;
    key
}

#[test]
fn every_kind_of_key_is_read_and_given_its_algorithms() {
    let document = json!({ "keys": [ec(), ed(), rsa()] }).to_string();
    let found = parse(document.as_bytes(), &ALL).expect("a document");

    let allowed: Vec<Vec<Algorithm>> =
        found.keys.iter().map(|key| ALL.into_iter().filter(|&algorithm| key.allows(algorithm)).collect()).collect();
    assert_eq!(allowed, [vec![Algorithm::ES256], vec![Algorithm::EdDSA], vec![Algorithm::RS256, Algorithm::PS256]]);
    assert_eq!(found.keys[0].kid(), Some("a"));
}

#[test]
fn the_document_narrows_the_allowed_algorithms() {
    assert_eq!(read(&[with(ec(), "use", json!("sig"))], &ALL), Ok((1, 0)));
    assert_eq!(read(&[with(ec(), "key_ops", json!(["verify"]))], &ALL), Ok((1, 0)));
    assert_eq!(read(&[with(ec(), "alg", json!("ES256"))], &ALL), Ok((1, 0)));
    assert_eq!(read(&[with(ed(), "alg", json!("Ed25519"))], &ALL), Ok((1, 0)));
    let narrowed = json!({ "keys": [with(rsa(), "alg", json!("PS256"))] }).to_string();
    let key = &parse(narrowed.as_bytes(), &ALL).expect("a document").keys[0];
    assert!(key.allows(Algorithm::PS256) && !key.allows(Algorithm::RS256));
    assert_eq!(read(&[ec()], &[Algorithm::RS256]), Err(DocumentError::NoUsableKey));
    assert_eq!(read(&[ec()], &[Algorithm::HS256]), Err(DocumentError::NoUsableKey));
}

#[test]
fn an_unusable_key_is_skipped_and_the_others_are_kept() {
    let bad = [
        json!("not an object"),
        json!({}),
        json!({ "kty": "oct", "k": encode(&[1; 64]), "alg": "HS256" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }),
        with(ec(), "use", json!("enc")),
        with(ec(), "use", json!(null)),
        with(ec(), "key_ops", json!(["sign"])),
        with(ec(), "key_ops", json!("verify")),
        with(ec(), "alg", json!("RS256")),
        with(ec(), "alg", json!("ECDH-ES")),
        with(ec(), "alg", json!(1)),
        with(ec(), "kid", json!(1)),
        with(ec(), "kid", json!("k".repeat(257))),
        with(ec(), "d", json!("AA")),
        with(ec(), "crv", json!("P-384")),
        with(ec(), "crv", json!("P-521")),
        with(ec(), "crv", json!("secp256k1")),
        with(ec(), "crv", json!(["P-256"])),
        with(ec(), "kty", json!("OKP")),
        with(ec(), "x", json!("AAAA")),
        with(ec(), "y", json!(encode(&[7; 32]))),
        with(ec(), "x", json!(format!("{}=", encode(&[0; 32])))),
        with(ed(), "crv", json!("Ed448")),
        with(ed(), "x", json!(encode(&[1; 31]))),
        with(rsa(), "n", json!(encode(&[0xc1; 128]))),
        with(rsa(), "n", json!(encode(&[0xc1; 2048]))),
        with(rsa(), "n", json!("")),
        with(rsa(), "e", json!("")),
        with(rsa(), "e", json!("Ag")),
        with(rsa(), "e", json!("AQ")),
        with(rsa(), "e", json!(encode(&[1; 9]))),
    ];
    for key in &bad {
        assert_eq!(read(&[key.clone(), ec()], &ALL), Ok((1, 1)), "{key}");
    }
}

#[test]
fn a_document_is_bounded_and_may_be_empty() {
    assert_eq!(read(&[], &ALL), Ok((0, 0)));
    assert_eq!(read(&vec![ec(); MAX_KEYS + 5], &ALL), Ok((MAX_KEYS, 5)));
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert_eq!(parse(bad.as_bytes(), &ALL).map(|_| ()), Err(DocumentError::NotAKeySet), "{bad}");
    }
    let large = format!("{{\"keys\":[]{}}}", " ".repeat(MAX_DOCUMENT));
    assert_eq!(parse(large.as_bytes(), &ALL).map(|_| ()), Err(DocumentError::NotAKeySet));
}

#[test]
fn a_byte_order_mark_padding_and_the_standard_alphabet_are_accepted() {
    let padded = |mut key: Value, names: &[&str], other_alphabet: bool| {
        for name in names {
            let mut text = key[*name].as_str().expect("a text").to_owned();
            text.push_str(&"=".repeat((4 - text.len() % 4) % 4));
            if other_alphabet {
                text = text.replace('-', "+").replace('_', "/");
            }
            key[*name] = json!(text);
        }
        key
    };
    let fingerprints = |document: &[u8]| {
        let keys = parse(document, &ALL).expect("a document").keys;
        keys.iter().map(VerificationKey::fingerprint).collect::<Vec<_>>()
    };
    let keys = [ec(), ed(), rsa()];
    let plain = fingerprints(json!({ "keys": keys }).to_string().as_bytes());
    let [ec, ed, rsa] = keys;

    for other_alphabet in [false, true] {
        let keys = [
            padded(ec.clone(), &["x", "y"], other_alphabet),
            padded(ed.clone(), &["x"], other_alphabet),
            padded(rsa.clone(), &["n", "e"], other_alphabet),
        ];
        let document = json!({ "keys": keys }).to_string();
        let marked = [b"\xef\xbb\xbf", document.as_bytes()].concat();

        assert!(document.contains('='));
        assert_eq!(fingerprints(document.as_bytes()), plain);
        assert_eq!(fingerprints(&marked), plain);
        assert!(is_key_set(&marked));
    }
    assert_eq!(read(&[with(ed, "x", json!("AAA===="))], &ALL), Err(DocumentError::NoUsableKey));
    assert!(!is_key_set(b"\xef\xbb\xbf") && !is_key_set(b"{}") && is_key_set(br#"{"keys":[{"kty":"AKP"}]}"#));
}
