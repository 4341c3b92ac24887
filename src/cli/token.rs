//! `rillgate token`: mints a token for development, from a private key in PEM or a shared secret.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::auth::{self, mint};
use clap::Args;
use serde_json::{Map, Value};

use super::{Failure, Outcome, print};

/// The options of a token.
#[derive(Debug, Args)]
pub(super) struct Token {
    /// A private key in PEM, or a shared secret of at least 32 bytes, taken as it is.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// `iss`.
    #[arg(long)]
    issuer: String,
    /// `aud`; may be given more than once.
    #[arg(long, required = true)]
    audience: Vec<String>,
    /// `sub`.
    #[arg(long)]
    subject: Option<String>,
    /// Lifetime, such as 15m, 1h, 7d [default: 1h].
    #[arg(long, value_parser = duration)]
    ttl: Option<Duration>,
    /// One more claim; VALUE is JSON, or else a string. May be given more than once, but not for a claim that another
    /// option sets.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// `kid` in the header.
    #[arg(long)]
    kid: Option<String>,
    /// `typ` in the header.
    #[arg(long)]
    typ: Option<String>,
    /// The algorithm, where the key allows more than one: HS256, RS256, PS256, ES256, EdDSA, …
    #[arg(long, value_parser = algorithm)]
    algorithm: Option<jsonwebtoken::Algorithm>,
}

impl Token {
    pub(super) fn run(self) -> Outcome {
        self.check_claims()?;
        auth::install_provider();
        let file =
            std::fs::read(&self.key).map_err(|error| Failure::Failed(format!("{}: {error}", self.key.display())))?;
        let failed = |error: mint::MintError| Failure::Failed(format!("{}: {error}", self.key.display()));
        let key = mint::SigningKey::read(&file, self.algorithm).map_err(failed)?;
        let spec = mint::TokenSpec {
            issuer: self.issuer,
            audience: self.audience,
            subject: self.subject,
            ttl: self.ttl.unwrap_or(DEFAULT_TTL),
            claims: self.claims.into_iter().collect::<Map<_, _>>(),
            kid: self.kid,
            typ: self.typ,
        };
        print(&mint::mint(&key, &spec, SystemTime::now()).map_err(failed)?)
    }

    /// Refuses a duplicate claim, which would silently override the other one.
    fn check_claims(&self) -> Outcome {
        let set = [
            ("iss", "--issuer", true),
            ("aud", "--audience", true),
            ("sub", "--subject", self.subject.is_some()),
            ("exp", "--ttl", self.ttl.is_some()),
        ];
        for (index, (name, _)) in self.claims.iter().enumerate() {
            if let Some((_, option, _)) = set.iter().find(|(claim, _, is_given)| claim == name && *is_given) {
                return Err(Failure::Arguments(format!("--claim {name}=…: duplicate claim; {option} sets it already")));
            }
            if self.claims[..index].iter().any(|(other, _)| other == name) {
                return Err(Failure::Arguments(format!("--claim {name}=…: duplicate claim")));
            }
        }
        Ok(())
    }
}

/// The lifetime without `--ttl`.
const DEFAULT_TTL: Duration = Duration::from_secs(60 * 60);

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text).map_err(ToOwned::to_owned)
}

fn algorithm(text: &str) -> Result<jsonwebtoken::Algorithm, String> {
    auth::algorithm(text).ok_or_else(|| "unknown algorithm".to_owned())
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}
