//! What an operator of NATS signs: accounts, users, and the credentials file of a user.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator with one account that may use JetStream.
pub struct Operator {
    operator: KeyPair,
    system: KeyPair,
    account: KeyPair,
}

impl Operator {
    pub fn new() -> Self {
        Self { operator: KeyPair::new_operator(), system: KeyPair::new_account(), account: KeyPair::new_account() }
    }

    /// Returns the lines of a server's configuration.
    pub fn config(&self) -> String {
        let operator = token(&self.operator, &self.operator, "operator", json!({ "type": "operator", "version": 2 }));
        let mut limits =
            json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1 });
        let system =
            token(&self.operator, &self.system, "SYS", json!({ "type": "account", "version": 2, "limits": limits }));
        for unlimited in ["mem_storage", "disk_storage", "streams", "consumer"] {
            limits[unlimited] = json!(-1);
        }
        let account =
            token(&self.operator, &self.account, "A", json!({ "type": "account", "version": 2, "limits": limits }));
        let (system_key, account_key) = (self.system.public_key(), self.account.public_key());
        format!(
            "operator: {operator}\nsystem_account: {system_key}\nresolver: MEMORY\n\
             resolver_preload: {{ {system_key}: {system}, {account_key}: {account} }}\n"
        )
    }

    /// Returns the content of a credentials file for a new user of the account.
    pub fn credentials(&self) -> String {
        let user = KeyPair::new_user();
        let limits = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
        let jwt = token(&self.account, &user, "gateway", limits);
        let seed = user.seed().unwrap();
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: Value) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let head = encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let claims = json!({
        "jti": format!("{name}-{}", subject.public_key()),
        "iat": 1_700_000_000,
        "iss": issuer.public_key(),
        "sub": subject.public_key(),
        "name": name,
        "nats": nats,
    });
    let signed = format!("{head}.{}", encode(claims.to_string().as_bytes()));
    format!("{signed}.{}", encode(&issuer.sign(signed.as_bytes()).unwrap()))
}
