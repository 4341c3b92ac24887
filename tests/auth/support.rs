//! Keys, issuers and requests for the tests.

use std::path::Path;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::KeyPair;
use rillgate::auth::mint::SigningKey;
use rillgate::auth::{
    Authorizer, Credentials, Denied, Grant, Issuer, IssuerSettings, Issuers, KeySource, RefreshObserver, Requested,
    RuleSettings, TokenSource, TrustStore,
};
use rillgate::secret::Secret;
use serde_json::{Value, json};

/// The start of this run in whole seconds, so that a gateway's clock agrees with the tokens.
pub static NOW: LazyLock<u64> =
    LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs());

pub const ISSUER: &str = "https://id.example.com/";
pub const SECOND: &str = "https://second.example.com/";

pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(*NOW)
}

pub struct Keys {
    pub rsa: KeyPair,
    pub ec: KeyPair,
    pub ec384: KeyPair,
    pub ed: KeyPair,
    /// Trusted by no issuer.
    pub foreign_rsa: KeyPair,
    pub foreign_ec: KeyPair,
    pub secret: Vec<u8>,
}

/// Generates the keys once, because RSA keys take time.
pub fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        rillgate::auth::install_provider();
        let make = |algorithm| KeyPair::generate_for(algorithm).expect("a key");
        Keys {
            rsa: make(&rcgen::PKCS_RSA_SHA256),
            ec: make(&rcgen::PKCS_ECDSA_P256_SHA256),
            ec384: make(&rcgen::PKCS_ECDSA_P384_SHA384),
            ed: make(&rcgen::PKCS_ED25519),
            foreign_rsa: make(&rcgen::PKCS_RSA_SHA256),
            foreign_ec: make(&rcgen::PKCS_ECDSA_P256_SHA256),
            secret: b"a secret of more than thirty-two bytes".to_vec(),
        }
    })
}

pub fn signing(pair: &KeyPair, algorithm: Algorithm) -> SigningKey {
    SigningKey::read(pair.serialize_pem().as_bytes(), Some(algorithm)).expect("a private key")
}

/// Encodes one part of a token.
pub fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Signs with HMAC and arbitrary bytes, as only an attacker would.
pub fn hmac(message: &str, secret: &[u8], algorithm: Algorithm) -> String {
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).expect("a signature");
    format!("{message}.{signature}")
}

/// Claims that are valid for the issuer `main`.
pub fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "rillgate", "exp": *NOW + 600, "sub": "alice", "jti": "t1", "streams": ["/prices/*"] })
}

/// The valid claims with one of them changed.
pub fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

pub fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

pub fn write(directory: &Path, name: &str, contents: impl AsRef<[u8]>) -> std::path::PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, contents).expect("a file");
    path
}

pub fn issuer_settings(name: &str, issuer: &str, keys: Vec<KeySource>) -> IssuerSettings {
    IssuerSettings {
        name: name.to_owned(),
        issuer: issuer.to_owned(),
        audience: vec!["rillgate".to_owned()],
        audience_claim: None,
        algorithms: vec![Algorithm::ES256, Algorithm::RS256],
        keys,
        leeway: Duration::from_secs(5),
        typ: None,
    }
}

/// `main` with named RSA, EC and HMAC keys; `second` with an unnamed EC key, its own audience and a required `typ`;
/// `elsewhere`, which no route uses.
pub fn issuers(directory: &Path) -> Vec<IssuerSettings> {
    let pem = |name: &str, pair: &KeyPair, algorithm, kid: Option<&str>| KeySource::PemFile {
        path: write(directory, name, pair.public_key_pem()),
        algorithm,
        kid: kid.map(str::to_owned),
    };
    let keys = keys();
    let main = issuer_settings(
        "main",
        ISSUER,
        vec![
            pem("rsa.pem", &keys.rsa, Algorithm::RS256, Some("rsa")),
            pem("ec.pem", &keys.ec, Algorithm::ES256, Some("ec")),
            KeySource::Secret {
                secret: Secret::new(keys.secret.clone()),
                algorithm: Algorithm::HS256,
                kid: Some("hmac".to_owned()),
            },
        ],
    );
    let mut second = issuer_settings("second", SECOND, vec![pem("second.pem", &keys.ec384, Algorithm::ES384, None)]);
    second.audience = vec!["second".to_owned()];
    second.typ = Some("at+jwt".to_owned());
    let elsewhere = issuer_settings(
        "elsewhere",
        "https://elsewhere.example.com/",
        vec![pem("elsewhere.pem", &keys.ed, Algorithm::EdDSA, None)],
    );
    vec![main, second, elsewhere]
}

pub fn no_observer() -> RefreshObserver {
    Arc::new(|_, _| {})
}

pub fn rules() -> RuleSettings {
    RuleSettings {
        issuers: vec!["main".to_owned(), "second".to_owned()],
        token_from: vec![TokenSource::Header],
        token_bytes: 16 * 1024,
        streams_claim: None,
        require: vec![],
        bind: vec![],
        shared: vec![],
        enforce: true,
        tickets: false,
        expiry_spread: Duration::from_secs(10),
        ticket_ttl: Duration::from_secs(30),
    }
}

/// A trust store with the issuers of `settings`.
pub fn trust_store(settings: Vec<IssuerSettings>) -> Arc<TrustStore> {
    let trust_store = TrustStore::new(1000);
    let load = |settings: IssuerSettings| {
        let name = settings.name.clone();
        let issuer = Issuer::load(settings, trust_store.change_signal(), no_observer()).expect("an issuer");
        (name, Arc::new(issuer))
    };
    let issuers: Issuers = settings.into_iter().map(load).collect();
    trust_store.replace_issuers(issuers);
    Arc::new(trust_store)
}

pub fn authorizer(trust_store: &Arc<TrustStore>, rules: RuleSettings) -> Authorizer {
    Authorizer::new(rules, &trust_store.issuers(), Arc::clone(trust_store)).expect("an authorizer")
}

/// The stream that the tests request.
pub fn requested() -> Requested<'static> {
    Requested { path: "/prices/EURUSD", captures: &[], shared: None }
}

pub fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().expect("a header value"));
    headers
}

pub async fn authorize(authorizer: &Authorizer, headers: &HeaderMap, at: SystemTime) -> Result<Grant, Denied> {
    let request =
        Credentials { headers, query: None, is_trusted_origin: &|origin| origin == "https://app.example.com" };
    authorizer.authorize(request, requested(), at).await
}
