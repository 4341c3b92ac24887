//! The checks of the registered claims of a token whose signature has been verified.
//!
//! `iss`, `exp` and `aud` (or the issuer's substitute for it) are required. Every claim with a meaning here must have
//! the right type: a claim with the wrong type is never treated as absent (CVE-2026-25537). The time is an argument.
//! Does not know keys or routes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::claims::ClaimPath;
use crate::auth::decision_trace::{DecisionTrace, one_of};
use crate::auth::denied::TokenFault;

/// Maximum tolerated clock skew (`leeway`).
pub const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// The end of the year 9999, in seconds since 1970: the limit of RFC 3339, and far from where clock arithmetic
/// overflows.
const MAX_TIME: f64 = 253_402_300_799.0;

/// The requirements of an issuer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'i> {
    /// The accepted audiences, one of which must be in `aud`.
    pub audience: &'i [String],
    /// The claim that replaces an absent `aud`.
    pub audience_claim: Option<&'i ClaimPath>,
    /// Tolerated clock skew. Values above [`MAX_LEEWAY`] count as that.
    pub leeway: Duration,
    /// The current time.
    pub now: SystemTime,
}

/// Returns `iss` before the token is verified. It only selects the keys to verify with.
///
/// # Errors
/// [`TokenFault::Claims`] if it is missing or not a string.
pub(crate) fn issuer(claims: &Map<String, Value>) -> Result<&str, TokenFault> {
    claims.get("iss").and_then(Value::as_str).ok_or(TokenFault::Claims)
}

/// Checks the registered claims and returns the token's expiry, leeway included.
///
/// # Errors
/// [`TokenFault::Claims`], [`TokenFault::Expired`], [`TokenFault::NotYetValid`], [`TokenFault::Audience`].
pub(crate) fn check(
    claims: &Map<String, Value>,
    expected: Expected<'_>,
    trace: &mut DecisionTrace,
) -> Result<SystemTime, TokenFault> {
    // A present `aud` is the audience, even if it is invalid.
    let aud = claims.get("aud").or_else(|| expected.audience_claim?.find(claims));
    let types = check_types(claims, aud);
    trace.step("claims", types.is_ok(), || {
        let name = expected.audience_claim.map_or("aud", ClaimPath::as_str);
        match types {
            Ok(_) => format!("exp and {name} are present, and all registered claims have the right type"),
            Err(_) => format!("exp or {name} is missing, or one of exp, nbf, iat, aud, sub and jti has the wrong type"),
        }
    });
    let (exp, nbf) = types?;
    let leeway = expected.leeway.min(MAX_LEEWAY);

    let expires_at = to_system_time(exp) + leeway;
    // RFC 7519, 4.1.4: a token must not be accepted "on or after" exp.
    let is_alive = expected.now < expires_at;
    trace.step("exp", is_alive, || match expires_at.duration_since(expected.now) {
        Ok(left) => format!("expires in {} s, a leeway of {leeway:?} included", left.as_secs()),
        Err(past) => {
            format!("expired {} s ago, a leeway of {leeway:?} included", past.duration().as_secs())
        }
    });
    if !is_alive {
        return Err(TokenFault::Expired);
    }
    if let Some(nbf) = nbf {
        let has_begun = to_system_time(nbf) <= expected.now + leeway;
        trace.step("nbf", has_begun, || match to_system_time(nbf).duration_since(expected.now) {
            Ok(ahead) if !has_begun => {
                format!("not valid for another {} s, which is more than the leeway of {leeway:?}", ahead.as_secs())
            }
            Ok(_) => format!("valid from now on, within the leeway of {leeway:?}"),
            Err(past) => format!("valid for {} s already", past.duration().as_secs()),
        });
        if !has_begun {
            return Err(TokenFault::NotYetValid);
        }
    }
    let is_for_us = matches_audience(aud, expected.audience);
    trace.step("aud", is_for_us, || {
        let ours = one_of(expected.audience.iter().map(String::as_str));
        match is_for_us {
            true => format!("the audience includes {ours}"),
            false => format!("the audience does not include {ours}"),
        }
    });
    if !is_for_us {
        return Err(TokenFault::Audience);
    }
    Ok(expires_at)
}

/// Whether `aud` names one of `ours`.
fn matches_audience(aud: Option<&Value>, ours: &[String]) -> bool {
    audience(aud).is_ok_and(|given| given.iter().any(|given| ours.iter().any(|ours| ours == given)))
}

/// `exp` and `nbf`.
type Times = (f64, Option<f64>);

fn check_types(claims: &Map<String, Value>, aud: Option<&Value>) -> Result<Times, TokenFault> {
    let exp = numeric_date(claims, "exp")?.ok_or(TokenFault::Claims)?;
    let nbf = numeric_date(claims, "nbf")?;
    numeric_date(claims, "iat")?;
    for name in ["sub", "jti"] {
        if claims.get(name).is_some_and(|value| !value.is_string()) {
            return Err(TokenFault::Claims);
        }
    }
    audience(aud)?;
    Ok((exp, nbf))
}

/// Reads one string or an array of strings (RFC 7519, 4.1.3).
fn audience(aud: Option<&Value>) -> Result<Vec<&str>, TokenFault> {
    match aud {
        Some(Value::String(one)) => Ok(vec![one.as_str()]),
        Some(Value::Array(several)) => {
            several.iter().map(Value::as_str).collect::<Option<_>>().ok_or(TokenFault::Claims)
        }
        _ => Err(TokenFault::Claims),
    }
}

/// Converts a [`numeric_date`]. It is at most [`MAX_TIME`], to which any leeway can be added.
fn to_system_time(time: f64) -> SystemTime {
    UNIX_EPOCH + Duration::try_from_secs_f64(time).unwrap_or_default()
}

/// Reads a NumericDate (RFC 7519, 2). Fractions are allowed.
fn numeric_date(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, TokenFault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    match value.as_f64() {
        Some(time) if (0.0..=MAX_TIME).contains(&time) => Ok(Some(time)),
        Some(_) | None => Err(TokenFault::Claims),
    }
}
