//! The authorization of a request for a stream.
//!
//! One function in reading order: find the token, parse it, find its issuer, verify it, check the revocations, check
//! the route's rules. The result is a [`Grant`] or the reason for the refusal. The caller decides whether a refusal is
//! carried out (`enforce`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use http::header::ORIGIN;

use super::rules::{Requested, Rules};
use super::trust_store::TrustStore;
use crate::auth::decision_trace::{DecisionStep, DecisionTrace, one_of};
use crate::auth::denied::{Denied, TokenFault};
use crate::auth::grant::{Grant, Verified};
use crate::auth::keys::issuer::Issuer;
use crate::auth::settings::RuleSettings;
use crate::auth::token::claims::{ClaimPathError, Claims};
use crate::auth::token::extract::{self, PresentedTokens, TokenSource};
use crate::auth::token::jws::{self, Unverified};
use crate::auth::token::verify;

/// The parts of a request that may hold a credential.
#[derive(Clone, Copy)]
pub struct Credentials<'r> {
    /// All header fields.
    pub headers: &'r HeaderMap,
    /// The raw query, without the question mark.
    pub query: Option<&'r str>,
    /// Whether an `Origin` is the gateway's own for this request, or one of the route's `cors.origins`.
    pub is_trusted_origin: &'r (dyn Fn(&str) -> bool + Sync),
}

/// Maximum number of tokens that are verified for one request. Browsers send as many cookies with the same name as
/// there are domains and paths.
const MAX_TOKENS_TRIED: usize = 4;

/// The authorization of one route.
pub struct Authorizer {
    settings: RuleSettings,
    rules: Rules,
    issuers: Vec<Arc<Issuer>>,
    trust_store: Arc<TrustStore>,
}

/// The reason why the settings are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizerError {
    /// The issuer is not configured.
    #[error("unknown issuer {0:?}")]
    NoIssuer(String),
    /// The name of a claim is invalid.
    #[error("{0:?}: {1}")]
    Claim(String, ClaimPathError),
}

impl Authorizer {
    /// Makes the authorizer of a route that trusts some of these `issuers`.
    ///
    /// # Errors
    /// See [`AuthorizerError`].
    pub fn new(
        settings: RuleSettings,
        issuers: &BTreeMap<String, Arc<Issuer>>,
        trust_store: Arc<TrustStore>,
    ) -> Result<Self, AuthorizerError> {
        let find = |name: &String| issuers.get(name).cloned().ok_or_else(|| AuthorizerError::NoIssuer(name.clone()));
        let issuers = settings.issuers.iter().map(find).collect::<Result<_, _>>()?;
        let rules = Rules::new(&settings).map_err(|(name, error)| AuthorizerError::Claim(name, error))?;
        Ok(Self { settings, rules, issuers, trust_store })
    }

    /// Returns the settings, including `enforce` and tickets.
    pub fn settings(&self) -> &RuleSettings {
        &self.settings
    }

    /// Decides whether the request may read the stream. Waits up to two seconds for an issuer's missing keys.
    ///
    /// # Errors
    /// The reason for the refusal.
    pub async fn authorize(
        &self,
        request: Credentials<'_>,
        requested: Requested<'_>,
        now: SystemTime,
    ) -> Result<Grant, Denied> {
        let found = extract::find(&self.settings.token_from, request.headers, request.query)?;
        if found.source().is_ambient() && is_cross_site(request) {
            return Err(Denied::Origin);
        }
        self.decide(&found, requested, now, &mut DecisionTrace::off()).await
    }

    /// Whether the request presents a token, valid or not.
    pub fn is_token_presented(&self, request: Credentials<'_>) -> bool {
        !matches!(extract::find(&self.settings.token_from, request.headers, request.query), Err(Denied::Missing))
    }

    /// Returns the expiry that a grant would have if its token were presented again in the same place. For a stream
    /// that outlived a configuration reload; the grant may come from a ticket. Does not check revocations and keys:
    /// [`TrustStore::status`] does.
    ///
    /// # Errors
    /// The reason why the grant would be refused.
    pub fn recheck(&self, grant: &Grant, requested: Requested<'_>, now: SystemTime) -> Result<SystemTime, Denied> {
        if !self.settings.token_from.contains(grant.source()) {
            return Err(Denied::Missing);
        }
        let claims = grant.claims();
        let issuer = self.issuers.iter().find(|issuer| issuer.name() == grant.issuer());
        let issuer = issuer.ok_or(TokenFault::UnknownIssuer)?;
        let settings = issuer.settings();
        if claims.get("iss").and_then(serde_json::Value::as_str) != Some(&settings.issuer) {
            return Err(TokenFault::UnknownIssuer.into());
        }
        if !issuer.accepts_type(grant.typ()) {
            return Err(TokenFault::Typ.into());
        }
        if !issuer.accepts_algorithm(grant.key().1) {
            return Err(TokenFault::Algorithm.into());
        }
        let expires_at = verify::check(claims.members(), issuer.expected(now), &mut DecisionTrace::off())?;
        self.rules.check(&claims, requested, &mut DecisionTrace::off()).map_err(Denied::Forbidden)?;
        Ok(expires_at)
    }

    /// Makes the same decision for a bare token. Returns every step and the decision.
    pub async fn explain(
        &self,
        token: &str,
        requested: Requested<'_>,
        now: SystemTime,
    ) -> (Vec<DecisionStep>, Result<Grant, Denied>) {
        let mut trace = DecisionTrace::on();
        let decision = self.decide(&PresentedTokens::new(token, TokenSource::Header), requested, now, &mut trace).await;
        (trace.into_steps(), decision)
    }

    async fn decide(
        &self,
        found: &PresentedTokens,
        requested: Requested<'_>,
        now: SystemTime,
        trace: &mut DecisionTrace,
    ) -> Result<Grant, Denied> {
        let (grant, claims) = self.first_valid(found, now, trace).await?;
        self.rules.check(&claims, requested, trace).map_err(Denied::Forbidden)?;
        Ok(grant)
    }

    /// Returns the grant of the first valid token. If none is valid, returns the most telling reason: missing keys
    /// outweigh the rest, because nothing is known of that token; a malformed token counts least, because it may be
    /// another application's.
    async fn first_valid(
        &self,
        found: &PresentedTokens,
        now: SystemTime,
        trace: &mut DecisionTrace,
    ) -> Result<(Grant, Claims), Denied> {
        let severity = |denied: &Denied| match denied {
            Denied::Unavailable | Denied::FetchRefused(_) | Denied::TicketsUnavailable => 2,
            Denied::Invalid(TokenFault::Malformed) => 0,
            Denied::Missing | Denied::Ambiguous | Denied::Invalid(_) | Denied::Forbidden(_) | Denied::Origin => 1,
        };
        let mut reason = Denied::Invalid(TokenFault::Malformed);
        let mut tried = 0;
        for token in found.reveal() {
            let outcome = match self.parse(token, trace) {
                Err(fault) => Err(fault.into()),
                Ok(_) if tried == MAX_TOKENS_TRIED => break,
                Ok(parsed) => {
                    tried += 1;
                    self.grant(parsed, found.source(), now, trace).await
                }
            };
            match outcome {
                Ok(good) => return Ok(good),
                Err(denied) if severity(&denied) > severity(&reason) => reason = denied,
                Err(_) => {}
            }
        }
        Err(reason)
    }

    fn parse<'t>(&self, token: &'t str, trace: &mut DecisionTrace) -> Result<Unverified<'t>, TokenFault> {
        let is_short = token.len() <= self.settings.token_bytes;
        if !is_short {
            let limit = self.settings.token_bytes;
            trace.step("token", false, || format!("the token has {} bytes, at most {limit} are allowed", token.len()));
            return Err(TokenFault::TooLarge);
        }
        let parsed = jws::parse(token);
        trace.step("token", parsed.is_ok(), || match &parsed {
            Ok(token) => token.to_string(),
            Err(fault) => format!("not a readable token of three parts: {fault}"),
        });
        parsed
    }

    async fn grant(
        &self,
        token: Unverified<'_>,
        source: &TokenSource,
        now: SystemTime,
        trace: &mut DecisionTrace,
    ) -> Result<(Grant, Claims), Denied> {
        let (grant, claims) = Grant::new(self.verify(token, now, trace).await?, source.clone());
        let is_revoked = self.trust_store.revocations().covers(&grant, now);
        trace.step("revocation", !is_revoked, || match is_revoked {
            true => "the token is revoked".to_owned(),
            false => "no known revocation covers the token".to_owned(),
        });
        if is_revoked {
            return Err(TokenFault::Revoked.into());
        }
        Ok((grant, claims))
    }

    async fn verify(
        &self,
        token: Unverified<'_>,
        now: SystemTime,
        trace: &mut DecisionTrace,
    ) -> Result<Verified, Denied> {
        let iss = verify::issuer(&token.claims)
            .inspect_err(|_| trace.step("iss", false, || "iss is not a string".to_owned()))?;
        let issuers: Vec<_> = self.issuers.iter().filter(|issuer| issuer.settings().issuer == iss).collect();
        trace.step("iss", !issuers.is_empty(), || {
            let expected = || one_of(self.issuers.iter().map(|issuer| issuer.settings().issuer.as_str()));
            match issuers.is_empty() {
                false => format!("issued by {iss:?}"),
                true => format!("issued by {iss:?}, not by {}", expected()),
            }
        });
        // Two tables may name the same issuer, with different keys or audiences. The first reason is reported.
        let mut reason = None;
        for issuer in issuers {
            match issuer.verify(&token, now, trace).await {
                Ok(verified) => {
                    return Ok(Verified {
                        issuer: Arc::clone(issuer.name()),
                        expires_at: verified.expires_at,
                        key: verified.key,
                        claims: Claims::new(token.claims),
                        payload: token.payload,
                        typ: token.typ,
                    });
                }
                Err(denied) => reason = reason.or(Some(denied)),
            }
        }
        Err(reason.unwrap_or(Denied::Invalid(TokenFault::UnknownIssuer)))
    }
}

/// Whether a page of another origin made the browser send this request.
///
/// A browser sends `Origin` except with a same-origin `GET` and with a `GET` without CORS, as for an image or a link.
/// Without it, `Sec-Fetch-Site` must say that the page is of this origin, or that there is no page (a typed address). A
/// page of a sibling subdomain (`same-site`) gets the user's cookies sent along but is not trusted. A client that sends
/// neither field is not a browser, or is a browser on a plain connection to another host. `null` is nobody's origin.
pub fn is_cross_site(request: Credentials<'_>) -> bool {
    let mut origins = request.headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => {
            request.headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin" && site != "none")
        }
        (Some(origin), None) => {
            !origin.to_str().is_ok_and(|origin| origin != "null" && (request.is_trusted_origin)(origin))
        }
        (Some(_), Some(_)) => true,
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").field("settings", &self.settings).finish_non_exhaustive()
    }
}
