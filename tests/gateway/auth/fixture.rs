//! The fixture of the authorization tests: an origin, keys, tokens, a configuration around routes, the metrics.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::Algorithm;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{ISSUER, keys, signing, write};
use crate::support::certificates::{Authority, Identity};
use crate::support::client::{Client, Protocol};
use crate::support::origin::Origin;
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually, within};

/// Both protocols, for tests that run over each.
pub const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// An origin, certificates and keys for a gateway that verifies tokens.
pub struct AuthFixture {
    pub authority: Authority,
    pub identity: Identity,
    pub origin: Origin,
    folder: TempDir,
}

impl AuthFixture {
    pub async fn new() -> Self {
        let authority = Authority::new();
        let identity = authority.server();
        let folder = tempfile::tempdir().unwrap();
        for (name, pair) in [("rsa", &keys().rsa), ("ec", &keys().ec), ("second", &keys().ec384), ("ed", &keys().ed)] {
            write(folder.path(), &format!("{name}.pem"), pair.public_key_pem());
            write(folder.path(), &format!("{name}.key"), pair.serialize_pem());
        }
        write(folder.path(), "hmac.key", &keys().secret);
        Self { authority, identity, origin: Origin::start().await, folder }
    }

    /// Returns the path of a file in the fixture's folder.
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Returns a configuration with a TLS listener, an admin port and the upstream `origin`, and adds `rest`.
    pub fn config(&self, rest: &str) -> String {
        format!(
            r#"
            {rest}
            [[listeners]]
            address = "127.0.0.1:0"
            tls = {{ certificates = [{{ chain = "{}", key = "{}" }}] }}
            [admin]
            address = "127.0.0.1:0"
            [upstreams.origin]
            urls = ["{}"]
            "#,
            self.identity.chain.display(),
            self.identity.key.display(),
            self.origin.url(),
        )
    }

    /// Returns the configuration with the issuer `main`, whose keys are in files, and with this `leeway`.
    pub fn config_with_main(&self, leeway: &str, rest: &str) -> String {
        let main = format!(
            r#"
            [issuers.main]
            issuer = "{ISSUER}"
            audience = ["rillgate"]
            leeway = "{leeway}"
            keys = [
                {{ pem_file = "{}", algorithm = "RS256", kid = "rsa" }},
                {{ pem_file = "{}", algorithm = "ES256", kid = "ec" }},
                {{ secret = {{ file = "{}" }}, algorithm = "HS256", kid = "hmac" }},
            ]
            {rest}
            "#,
            self.file("rsa.pem"),
            self.file("ec.pem"),
            self.file("hmac.key"),
        );
        self.config(&main)
    }

    /// Starts a gateway with the issuer `main` and these routes.
    pub async fn start(&self, rest: &str) -> Rillgate {
        Rillgate::start(&self.config_with_main("5s", rest)).await
    }

    pub fn client(&self, protocol: Protocol, gateway: &Rillgate) -> Client {
        Client::new(protocol, gateway.address()).tls(&self.authority)
    }
}

/// Returns a route of `origin` whose `[routes.auth]` continues with `auth`; further tables may follow there.
pub fn route(name: &str, path: &str, auth: &str) -> String {
    format!(
        r#"
        [[routes]]
        name = "{name}"
        path = "{path}"
        upstream = "origin"
        [routes.auth]
        issuers = ["main"]
        {auth}
        "#
    )
}

/// Returns the NumericDate that is this many seconds away.
pub fn in_seconds(seconds: f64) -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() + seconds
}

/// Returns valid claims for the issuer `main`, overridden by `changed`.
pub fn claims(changed: &Value) -> Value {
    let mut claims = json!({ "iss": ISSUER, "aud": "rillgate", "exp": in_seconds(600.0), "sub": "alice" });
    for (name, value) in changed.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

/// Returns a token of the issuer `main` with valid claims, overridden by `changed`.
pub fn token(changed: &Value) -> String {
    token_by("ec", &keys().ec, changed)
}

/// Returns a token signed with this ES256 key and with this `kid`.
pub fn token_by(kid: &str, pair: &KeyPair, changed: &Value) -> String {
    sign(kid, pair, &claims(changed))
}

/// Returns a token of the issuer `main` with this `jti` and without a `sub`.
pub fn without_subject(jti: &str) -> String {
    let mut claims = claims(&json!({ "jti": jti }));
    claims.as_object_mut().expect("an object").remove("sub");
    sign("ec", &keys().ec, &claims)
}

fn sign(kid: &str, pair: &KeyPair, claims: &Value) -> String {
    let header = json!({ "alg": "ES256", "kid": kid }).to_string();
    signing(pair, Algorithm::ES256).sign(header.as_bytes(), claims.to_string().as_bytes()).unwrap()
}

/// Returns the value of an `Authorization` field.
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Sends a request to the admin port and returns status and body.
pub async fn admin(gateway: &Rillgate, method: &str, path: &str, body: &str) -> (u16, String) {
    let exchange = async {
        let mut socket = TcpStream::connect(gateway.admin()).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.0\r\nhost: admin\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status").parse().unwrap();
        (status, body.to_owned())
    };
    within(DEADLINE, "answer of the admin port", exchange).await
}

/// A snapshot of the metrics.
pub struct Metrics(pub String);

impl Metrics {
    pub async fn of(gateway: &Rillgate) -> Self {
        let (status, text) = admin(gateway, "GET", "/metrics", "").await;
        assert_eq!(status, 200);
        Self(text)
    }

    /// Returns the sum of a metric over all label sets that contain these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        self.lines(name).filter(|(all, _)| wanted.iter().all(|one| all.contains(one.as_str()))).map(|(_, v)| v).sum()
    }

    /// Returns the values of a metric by the value of one of its labels, without zeros.
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (all, value) in self.lines(name).filter(|(_, value)| *value != 0.0) {
            let (_, rest) = all.split_once(&format!("{label}=\"")).expect("the label");
            let (is, _) = rest.split_once('"').expect("a closing quote");
            *sums.entry(is.to_owned()).or_default() += value;
        }
        sums
    }

    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then(|| Some((labels, value.parse().ok()?)))?
        })
    }
}

/// Waits until a metric's sum is `value`.
pub async fn wait_metric(gateway: &Rillgate, name: &str, labels: &[(&str, &str)], value: f64) {
    let last = parking_lot::Mutex::new(f64::NAN);
    let fact = eventually(DEADLINE, || async {
        let now = Metrics::of(gateway).await.sum(name, labels);
        *last.lock() = now;
        now == value
    });
    fact.await;
}

/// The longest time that a change may take to reach open responses.
pub const SOON: Duration = Duration::from_secs(1);
