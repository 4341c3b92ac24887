//! Tokens that must be refused, each with the label that is counted. The issuers are those of `support::issuers`.

mod claims;
mod form;
mod signature;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::support::*;

struct Table(Vec<Crafted>);

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

pub fn es(header: &Value, claims: &Value) -> String {
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

pub fn good() -> String {
    rs(&rs256(), &claims())
}

/// A description, the token, and the label of its refusal. Each token is a variation of [`good`].
pub type Crafted = (String, String, &'static str);

/// Returns all crafted tokens.
pub fn all() -> Vec<Crafted> {
    let mut table = Table(Vec::new());
    for fill in [
        signature::algorithms,
        signature::confusion,
        signature::signatures,
        form::kids,
        form::encodings,
        form::sizes,
        form::json_forms,
        form::headers,
        claims::registered_claims,
        claims::foreign_issuers,
    ] {
        fill(&mut table);
    }
    table.0
}
