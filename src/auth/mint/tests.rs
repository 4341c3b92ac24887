use rcgen::KeyPair;

use super::*;
use crate::auth::token::jws;

fn spec() -> TokenSpec {
    TokenSpec {
        issuer: "https://id.example.com/".to_owned(),
        audience: vec!["rillgate".to_owned()],
        subject: None,
        ttl: Duration::from_secs(60),
        claims: Map::new(),
        kid: None,
        typ: None,
    }
}

fn guessed(file: &[u8]) -> Result<Algorithm, MintError> {
    SigningKey::read(file, None).map(|key| key.algorithm())
}

#[test]
fn the_algorithm_is_guessed_from_the_key() {
    for (kind, algorithm) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::ES384),
        (&rcgen::PKCS_ED25519, Algorithm::EdDSA),
        (&rcgen::PKCS_RSA_SHA256, Algorithm::RS256),
    ] {
        let pair = KeyPair::generate_for(kind).expect("a key");
        assert_eq!(guessed(pair.serialize_pem().as_bytes()), Ok(algorithm));
        assert_eq!(guessed(pair.public_key_pem().as_bytes()), Err(MintError::NotPrivate));
    }
    assert_eq!(guessed(&[7; 32]), Ok(Algorithm::HS256));
    assert_eq!(guessed(&[7; 31]), Err(MintError::ShortSecret));
    assert_eq!(
        guessed(b"-----BEGIN PRIVATE KEY-----\nAAAA and much more than thirty-two bytes"),
        Err(MintError::Unsuited)
    );
}

#[test]
fn older_forms_of_private_keys_are_read() {
    let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
    let pkcs8 = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&rsa).expect("DER");
    // For a key of this size, PKCS#8 (RFC 5208) holds PKCS#1 after the first 26 bytes.
    let pkcs1 = &pkcs8.as_ref()[26..];
    let key = SigningKey::read(&pem::encode("RSA PRIVATE KEY", pkcs1), Some(Algorithm::PS256)).expect("a key");
    assert!(mint(&key, &spec(), SystemTime::now()).is_ok());

    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let private = ec.private_key();
    let sec1 = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_>>::as_der(&private);
    let key = SigningKey::read(&pem::encode("EC PRIVATE KEY", sec1.expect("DER").as_ref()), None).expect("a key");
    assert_eq!(key.algorithm(), Algorithm::ES256);
    assert!(mint(&key, &spec(), SystemTime::now()).is_ok());
}

#[test]
fn an_algorithm_of_another_kind_of_key_is_refused() {
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    for algorithm in [Algorithm::RS256, Algorithm::ES384, Algorithm::HS256, Algorithm::EdDSA] {
        let read = SigningKey::read(pair.serialize_pem().as_bytes(), Some(algorithm)).map(|_| ());
        assert_eq!(read, Err(MintError::Family(algorithm)));
    }
    assert_eq!(
        SigningKey::read(&[7; 32], Some(Algorithm::ES256)).map(|_| ()),
        Err(MintError::Family(Algorithm::ES256))
    );
}

#[test]
fn a_token_has_the_specified_contents() {
    let key = SigningKey::read(&[7; 32], Some(Algorithm::HS512)).expect("a secret");
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let mut spec = TokenSpec { subject: Some("alice".to_owned()), kid: Some("k".to_owned()), ..spec() };
    spec.claims.insert("streams".to_owned(), json!(["/prices/*"]));
    spec.audience.push("other".to_owned());
    let text = mint(&key, &spec, now).expect("a token");

    let token = jws::parse(&text).expect("a token");

    assert_eq!(
        (token.algorithm, token.kid.as_deref(), token.typ.as_deref()),
        (Algorithm::HS512, Some("k"), Some("JWT"))
    );
    let mut claims = token.claims;
    assert!(claims.remove("jti").is_some_and(|id| id.as_str().is_some_and(|id| id.len() == 22)));
    assert_eq!(
        Value::Object(claims),
        json!({
            "iss": "https://id.example.com/", "aud": ["rillgate", "other"], "sub": "alice",
            "iat": 1_800_000_000, "exp": 1_800_000_060, "streams": ["/prices/*"],
        })
    );
    let endless = TokenSpec { ttl: Duration::MAX, ..spec };
    assert_eq!(mint(&key, &endless, now), Err(MintError::Ttl));
}
