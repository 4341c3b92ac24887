use rcgen::KeyPair;

use super::*;
use crate::auth::token::jws;

fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).expect("a key")
}

fn secret(kid: Option<&str>, byte: u8) -> VerificationKey {
    VerificationKey::from_secret(&[byte; 32], Algorithm::HS256, kid.map(str::to_owned)).expect("a secret")
}

fn token(kid: Option<&str>, byte: u8) -> String {
    let signing = crate::auth::mint::SigningKey::read(&[byte; 32], None).expect("a secret");
    let header = serde_json::json!({ "alg": "HS256", "kid": kid });
    let header = if kid.is_some() { header } else { serde_json::json!({ "alg": "HS256" }) };
    signing.sign(header.to_string().as_bytes(), b"{}").expect("a token")
}

#[test]
fn a_pem_key_must_be_public_and_fit_its_algorithm() {
    let (p256, p384) = (pair(&rcgen::PKCS_ECDSA_P256_SHA256), pair(&rcgen::PKCS_ECDSA_P384_SHA384));
    let ed = pair(&rcgen::PKCS_ED25519);
    let read = |text: &str, algorithm| VerificationKey::from_pem(text.as_bytes(), algorithm, None).map(|_| ());

    assert_eq!(read(&p256.public_key_pem(), Algorithm::ES256), Ok(()));
    assert_eq!(read(&p384.public_key_pem(), Algorithm::ES384), Ok(()));
    assert_eq!(read(&ed.public_key_pem(), Algorithm::EdDSA), Ok(()));
    for algorithm in [Algorithm::ES384, Algorithm::RS256, Algorithm::PS512, Algorithm::EdDSA] {
        assert_eq!(read(&p256.public_key_pem(), algorithm), Err(KeyError::Unsuited(algorithm)));
    }
    assert_eq!(read(&p384.public_key_pem(), Algorithm::ES256), Err(KeyError::Unsuited(Algorithm::ES256)));
    for algorithm in [Algorithm::HS256, Algorithm::HS512] {
        assert_eq!(read(&p256.public_key_pem(), algorithm), Err(KeyError::Family(algorithm)));
    }
    assert_eq!(read(&p256.serialize_pem(), Algorithm::ES256), Err(KeyError::Private));
    let both = format!("{}{}", p256.public_key_pem(), p256.serialize_pem());
    assert_eq!(read(&both, Algorithm::ES256), Err(KeyError::Private));
    let two = p256.public_key_pem().repeat(2);
    assert_eq!(read(&two, Algorithm::ES256), Err(KeyError::SeveralSections));
    for bad in ["", "x", "-----BEGIN PUBLIC KEY-----\n", "-----BEGIN A-----\n*\n-----END A-----"] {
        assert_eq!(read(bad, Algorithm::ES256), Err(KeyError::NotPem), "{bad}");
    }
}

#[test]
fn a_certificate_is_read_as_its_public_key() {
    let certified = rcgen::generate_simple_self_signed(vec!["id.example.com".to_owned()]).expect("a certificate");
    let of =
        |text: String| VerificationKey::from_pem(text.as_bytes(), Algorithm::ES256, None).expect("a key").fingerprint();

    assert_eq!(of(certified.cert.pem()), of(certified.signing_key.public_key_pem()));
}

#[test]
fn an_rsa_key_has_at_least_2048_bits_and_may_be_pkcs1() {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
    let pkcs1 = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().to_vec();
    let text = pem::encode("RSA PUBLIC KEY", &pkcs1);
    assert!(VerificationKey::from_pem(&text, Algorithm::PS256, None).is_ok());

    // Shortens 2048 bits to 1024: half of the modulus, with adjusted lengths in front.
    let mut short = vec![0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00];
    let modulus = &pkcs1[pkcs1.len() - 5 - 256..pkcs1.len() - 5];
    short.extend_from_slice(&modulus[128..]);
    short[7] |= 0x80;
    short.extend_from_slice(&[0x02, 0x03, 0x01, 0x00, 0x01]);
    let refused = VerificationKey::from_pem(&pem::encode("RSA PUBLIC KEY", &short), Algorithm::RS256, None).map(|_| ());
    assert_eq!(refused, Err(KeyError::Unsuited(Algorithm::RS256)));
}

#[test]
fn a_secret_must_be_long_and_is_only_for_hmac() {
    let read = |length: usize, algorithm| VerificationKey::from_secret(&vec![1; length], algorithm, None).map(|_| ());

    assert_eq!(read(31, Algorithm::HS256), Err(KeyError::ShortSecret));
    assert_eq!(read(32, Algorithm::HS256), Ok(()));
    assert_eq!(read(32, Algorithm::RS256), Err(KeyError::Family(Algorithm::RS256)));
    let published = pair(&rcgen::PKCS_ECDSA_P256_SHA256).public_key_pem();
    let refused = VerificationKey::from_secret(published.as_bytes(), Algorithm::HS256, None).map(|_| ());
    assert_eq!(refused, Err(KeyError::SecretIsPem));
    assert!(!format!("{:?}", secret(None, 1)).contains("1, 1"));
}

#[test]
fn the_kid_selects_the_key_and_without_one_the_signature_does() {
    let verify = |keys: Vec<VerificationKey>, token: &str| {
        KeySet::new(keys).verify(&jws::parse(token).expect("a token")).map(VerificationKey::fingerprint)
    };
    let (a, b) = (|| secret(Some("a"), 1), || secret(Some("b"), 2));

    assert_eq!(verify(vec![a(), b()], &token(Some("b"), 2)), Ok(b().fingerprint()));
    assert_eq!(verify(vec![a(), b()], &token(Some("a"), 2)), Err(TokenFault::Signature), "the wrong one is not tried");
    assert_eq!(verify(vec![a(), b()], &token(Some("c"), 2)), Err(TokenFault::UnknownKey));
    assert_eq!(verify(vec![a(), b()], &token(None, 2)), Ok(b().fingerprint()), "two to choose from");
    assert_eq!(verify(vec![a(), b()], &token(None, 9)), Err(TokenFault::Signature));
    assert_eq!(verify(vec![b()], &token(None, 2)), Ok(b().fingerprint()), "only one");
    assert_eq!(verify(vec![a(), secret(None, 2)], &token(None, 2)), Ok(secret(None, 2).fingerprint()));
    assert_eq!(verify(vec![secret(None, 2)], &token(Some("b"), 2)), Ok(secret(None, 2).fingerprint()));
    assert_eq!(verify(vec![a(), secret(None, 2)], &token(Some("b"), 2)), Ok(secret(None, 2).fingerprint()));
    assert_eq!(
        verify(vec![secret(None, 2)], &token(Some("b"), 9)),
        Err(TokenFault::UnknownKey),
        "may be signed with a newer key"
    );
    assert_eq!(verify(vec![a(), secret(None, 1)], &token(Some("a"), 2)), Err(TokenFault::Signature));
    assert_eq!(verify(vec![], &token(None, 2)), Err(TokenFault::UnknownKey));
}

#[test]
fn at_most_four_keys_are_tried() {
    let same = |byte| secret(Some("a"), byte);
    let verify = |keys: Vec<VerificationKey>| {
        KeySet::new(keys).verify(&jws::parse(&token(Some("a"), 9)).expect("a token")).is_ok()
    };

    assert!(verify(vec![same(1), same(2), same(3), same(9)]));
    assert!(!verify(vec![same(1), same(2), same(3), same(4), same(9)]));
    let other = |byte| secret(Some("b"), byte);
    let verify =
        |keys: Vec<VerificationKey>| KeySet::new(keys).verify(&jws::parse(&token(None, 9)).expect("a token")).is_ok();
    assert!(verify(vec![other(1), other(2), other(3), other(9)]));
    assert!(!verify(vec![other(1), other(2), other(3), other(4), other(9)]));
}

/// Key pairs, some keys with and without names that verify for them, and tokens: valid and forged, for names that exist
/// and others.
struct Material {
    keys: Vec<VerificationKey>,
    tokens: Vec<String>,
}

fn material() -> &'static Material {
    static MATERIAL: std::sync::OnceLock<Material> = std::sync::OnceLock::new();
    MATERIAL.get_or_init(|| {
        let pairs = [(); 3].map(|()| pair(&rcgen::PKCS_ECDSA_P256_SHA256));
        let mut keys = vec![secret(None, 1), secret(Some("a"), 2)];
        let mut tokens = vec![token(None, 1), token(None, 9), token(Some("a"), 2), token(Some("a"), 9)];
        for pair in &pairs {
            let signing = crate::auth::mint::SigningKey::read(pair.serialize_pem().as_bytes(), Some(Algorithm::ES256));
            let signing = signing.expect("a private key");
            for kid in [None, Some("a"), Some("b")] {
                let public = pair.public_key_pem();
                let key = VerificationKey::from_pem(public.as_bytes(), Algorithm::ES256, kid.map(str::to_owned));
                keys.push(key.expect("a key"));
                let mut header = serde_json::json!({ "alg": "ES256" });
                if let Some(kid) = kid {
                    header["kid"] = kid.into();
                }
                let good = signing.sign(header.to_string().as_bytes(), b"{}").expect("a token");
                let (message, _) = good.rsplit_once('.').expect("three parts");
                tokens.push(format!("{message}.{}", "AQ".repeat(43)));
                tokens.push(good);
            }
        }
        Material { keys, tokens }
    })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn a_set_that_remembers_failures_decides_like_one_that_has_never_seen_a_token(
        sets in proptest::collection::vec(proptest::collection::vec(0..material().keys.len(), 0..6), 1..3),
        asked in proptest::collection::vec((0_usize..3, 0..material().tokens.len()), 1..40),
    ) {
        let Material { keys, tokens } = material();
        let made = |set: &Vec<usize>| KeySet::new(set.iter().map(|&key| keys[key].clone()).collect());
        let verdict = |set: &KeySet, token: usize| {
            set.verify(&jws::parse(&tokens[token]).expect("a token")).map(VerificationKey::fingerprint)
        };
        let remembering: Vec<_> = sets.iter().map(made).collect();

        for (set, token) in asked {
            let set = set % sets.len();
            proptest::prop_assert_eq!(
                verdict(&remembering[set], token), verdict(&made(&sets[set]), token), "{:?}: {}", &sets[set], &tokens[token]
            );
        }
    }
}

#[test]
fn a_failed_signature_is_remembered_and_nothing_else_is() {
    let pairs = [(); 2].map(|()| pair(&rcgen::PKCS_ECDSA_P256_SHA256));
    let sign = |pair: &KeyPair, kid: &str| {
        let key = crate::auth::mint::SigningKey::read(pair.serialize_pem().as_bytes(), Some(Algorithm::ES256));
        let header = serde_json::json!({ "alg": "ES256", "kid": kid }).to_string();
        key.expect("a private key").sign(header.as_bytes(), b"{}").expect("a token")
    };
    let public = pairs[0].public_key_pem();
    let named = VerificationKey::from_pem(public.as_bytes(), Algorithm::ES256, Some("a".to_owned())).expect("a key");
    let set = KeySet::new(vec![named, secret(Some("h"), 1)]);

    let tokens = [
        (sign(&pairs[1], "a"), Some(TokenFault::Signature), true),
        (sign(&pairs[0], "a"), None, false),
        (sign(&pairs[0], "other"), Some(TokenFault::UnknownKey), false),
        (sign(&pairs[0], "h"), Some(TokenFault::Algorithm), false),
        (token(Some("h"), 9), Some(TokenFault::Signature), false),
    ];
    for _ in 0..2 {
        for (token, fault, is_remembered) in &tokens {
            let token = jws::parse(token).expect("a token");
            assert_eq!(set.verify(&token).err(), *fault);
            assert_eq!(set.failed.contains(&token), *is_remembered, "{}", token.message);
        }
    }
}
