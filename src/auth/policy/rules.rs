//! The rules that a valid token must satisfy before its bearer may read a stream.
//!
//! All rules must hold. A rule about an absent claim does not hold. Pure. Does not verify tokens and does not interpret
//! paths: the path must be canonical, the same that is in the stream's key and sent upstream.

use serde_json::Value;

use crate::auth::decision_trace::DecisionTrace;
use crate::auth::denied::ScopeFault;
use crate::auth::settings::{Bound, RuleSettings};
use crate::auth::token::claims::{ClaimPath, ClaimPathError, Claims};

/// The rules of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    streams: Option<ClaimPath>,
    require: Vec<(ClaimPath, Vec<Value>)>,
    bind: Vec<(Bound, ClaimPath)>,
    shared: Vec<ClaimPath>,
}

/// The requested stream.
#[derive(Clone, Copy, Debug)]
pub struct Requested<'r> {
    /// The request's path in canonical form.
    pub path: &'r str,
    /// The captures of the route's pattern.
    pub captures: &'r [(String, String)],
    /// The query parameters that the route shares, as in the request. `None`: not known yet, as when a ticket is
    /// issued; rules about them are checked when it is redeemed.
    pub shared: Option<&'r [(String, String)]>,
}

/// Maximum number of a token's patterns that are compared.
const MAX_PATTERNS: usize = 1000;

impl Rules {
    /// Parses the names of the claims.
    ///
    /// # Errors
    /// The invalid name and the reason.
    pub(crate) fn new(settings: &RuleSettings) -> Result<Self, (String, ClaimPathError)> {
        let path = |name: &String| ClaimPath::parse(name).map_err(|error| (name.clone(), error));
        let streams = settings.streams_claim.as_ref().map(path).transpose()?;
        let require = settings.require.iter().map(|(name, values)| Ok((path(name)?, values.clone())));
        let bind = settings.bind.iter().map(|(bound, name)| Ok((bound.clone(), path(name)?)));
        let shared = settings.shared.iter().map(path).collect::<Result<_, _>>()?;
        Ok(Self { streams, require: require.collect::<Result<_, _>>()?, bind: bind.collect::<Result<_, _>>()?, shared })
    }

    /// Checks whether the claims cover the requested stream.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub(crate) fn check(
        &self,
        claims: &Claims,
        requested: Requested<'_>,
        trace: &mut DecisionTrace,
    ) -> Result<(), ScopeFault> {
        if let Some(name) = &self.streams {
            let covered = claims.texts(name).take(MAX_PATTERNS).any(|pattern| covers(&pattern, requested.path));
            trace.step("streams_claim", covered, || match covered {
                true => format!("a pattern in the claim {name} covers {}", requested.path),
                false => format!("no pattern in the claim {name} covers {}", requested.path),
            });
            if !covered {
                return Err(ScopeFault::Streams);
            }
        }
        for (name, values) in &self.require {
            let holds = values.iter().any(|value| claims.has(name, value));
            trace.step("require", holds, || {
                let values = values.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
                match holds {
                    true => format!("the claim {name} has {values}"),
                    false => format!("the claim {name} does not have {values}"),
                }
            });
            if !holds {
                return Err(ScopeFault::Require);
            }
        }
        for (bound, name) in &self.bind {
            let Some(holds) = is_bound(bound, claims, name, requested) else { continue };
            trace.step("bind", holds, || match holds {
                true => format!("the claim {name} has every value of the {bound}"),
                false => format!("the {bound} is absent, or the claim {name} does not have every value of it"),
            });
            if !holds {
                return Err(ScopeFault::Bind);
            }
        }
        for name in &self.shared {
            let holds = claims.text(name).is_some_and(|text| !text.is_empty());
            trace.step("share", holds, || match holds {
                true => format!("the claim {name}, which goes upstream, is present"),
                false => format!("the claim {name}, which goes upstream, is missing, empty or not a single value"),
            });
            if !holds {
                return Err(ScopeFault::Share);
            }
        }
        Ok(())
    }
}

/// Whether the claim has every value of this part of the request, and there is at least one. `None`: not known yet.
///
/// An absent parameter does not satisfy the rule: an upstream may take it to mean all values.
fn is_bound(bound: &Bound, claims: &Claims, claim: &ClaimPath, requested: Requested<'_>) -> Option<bool> {
    let (name, values) = match bound {
        Bound::Capture(name) => (name, requested.captures),
        Bound::Parameter(name) => (name, requested.shared?),
    };
    let mut given = values.iter().filter(|(known, _)| known == name).map(|(_, value)| value).peekable();
    Some(given.peek().is_some() && given.all(|value| claims.texts(claim).any(|text| text == *value)))
}

/// Whether a token's `pattern` covers `path`: equal segment by segment, with `*` for any one segment.
///
/// Nothing else is special: `**`, `a*`, `{symbol}`, `%2A` and a pattern without a leading slash match only literally. A
/// path is canonical, so it has no segment `.` or `..` that could lead out of a pattern.
fn covers(pattern: &str, path: &str) -> bool {
    let (Some(pattern), Some(path)) = (pattern.strip_prefix('/'), path.strip_prefix('/')) else { return false };
    let (mut allowed, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (allowed.next(), given.next()) {
            (None, None) => return true,
            (Some("*"), Some(segment)) if !segment.is_empty() => {}
            (Some(literal), Some(segment)) if literal == segment => {}
            (_, _) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(settings: &RuleSettings, claims: Value, captures: &[(&str, &str)]) -> Result<(), ScopeFault> {
        check_shared(settings, claims, captures, Some(&[]))
    }

    fn check_shared(
        settings: &RuleSettings,
        claims: Value,
        captures: &[(&str, &str)],
        shared: Option<&[(&str, &str)]>,
    ) -> Result<(), ScopeFault> {
        let claims = Claims::new(claims.as_object().expect("an object").clone());
        let owned = |pairs: &[(&str, &str)]| -> Vec<_> {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let (captures, shared) = (owned(captures), shared.map(owned));
        let requested = Requested { path: "/prices/EURUSD", captures: &captures, shared: shared.as_deref() };
        Rules::new(settings).expect("rules").check(&claims, requested, &mut DecisionTrace::off())
    }

    fn no_rules() -> RuleSettings {
        RuleSettings {
            issuers: vec!["main".into()],
            token_from: vec![],
            token_bytes: 16 * 1024,
            streams_claim: None,
            require: vec![],
            bind: vec![],
            shared: vec![],
            enforce: true,
            tickets: false,
            expiry_spread: std::time::Duration::from_secs(10),
            ticket_ttl: std::time::Duration::from_secs(30),
        }
    }

    #[test]
    fn a_pattern_is_literal_except_for_a_star_as_one_segment() {
        for covering in ["/prices/EURUSD", "/prices/*", "/*/EURUSD", "/*/*"] {
            assert!(covers(covering, "/prices/EURUSD"), "{covering}");
        }
        for other in [
            "",
            "/",
            "*",
            "/*",
            "/**",
            "/prices",
            "/prices/",
            "/prices/**",
            "/prices/EUR*",
            "/prices/*/",
            "/prices/*/*",
            "/prices/eurusd",
            "/prices/EURUSDX",
            "/prices/EURUS",
            "prices/EURUSD",
            "//prices/EURUSD",
            "/prices//EURUSD",
            "/prices/EURUSD/",
            "/prices/../prices/EURUSD",
            "/prices/%45URUSD",
            "/prices/{symbol}",
            " /prices/EURUSD",
            "/prices/EURUSD ",
            "/prices/EURUSD\0",
            "/prices/*?",
            "https://x/prices/EURUSD",
        ] {
            assert!(!covers(other, "/prices/EURUSD"), "{other:?}");
        }
        assert!(covers("/", "/") && !covers("/*", "/"));
    }

    #[test]
    fn a_token_without_the_streams_claim_is_refused() {
        let settings = RuleSettings { streams_claim: Some("streams".into()), ..no_rules() };

        assert_eq!(check(&settings, json!({ "streams": ["/a", "/prices/*"] }), &[]), Ok(()));
        assert_eq!(check(&settings, json!({ "streams": "/prices/EURUSD" }), &[]), Ok(()));
        for claims in [
            json!({}),
            json!({ "streams": [] }),
            json!({ "streams": null }),
            json!({ "streams": [["/prices/*"]] }),
            json!({ "streams": { "a": "/prices/*" } }),
            json!({ "streams": "/a /prices/*" }),
        ] {
            assert_eq!(check(&settings, claims.clone(), &[]), Err(ScopeFault::Streams), "{claims}");
        }
    }

    #[test]
    fn a_claim_that_goes_upstream_must_be_present() {
        let settings = RuleSettings { shared: vec!["tenant".into()], ..no_rules() };

        for claims in [json!({ "tenant": "acme" }), json!({ "tenant": 7 }), json!({ "tenant": false })] {
            assert_eq!(check(&settings, claims.clone(), &[]), Ok(()), "{claims}");
        }
        for claims in [json!({}), json!({ "tenant": "" }), json!({ "tenant": null }), json!({ "tenant": ["acme"] })] {
            assert_eq!(check(&settings, claims.clone(), &[]), Err(ScopeFault::Share), "{claims}");
        }
    }

    #[test]
    fn every_rule_must_hold() {
        let settings = RuleSettings {
            require: vec![("scope".into(), vec!["read".into()]), ("org.id".into(), vec!["7".into()])],
            bind: vec![(Bound::Capture("symbol".into()), "instrument".into())],
            ..no_rules()
        };
        let good = json!({ "scope": "read", "org": { "id": 7 }, "instrument": "EURUSD" });
        let symbol = [("symbol", "EURUSD")];

        assert_eq!(check(&settings, good.clone(), &symbol), Ok(()));
        assert_eq!(check(&settings, good.clone(), &[]), Err(ScopeFault::Bind), "no such capture");
        assert_eq!(check(&settings, json!({ "scope": "read" }), &symbol), Err(ScopeFault::Require));
        for instrument in [json!("EUR"), json!(["EUR"]), json!([]), json!("EURUSD GBPUSD"), json!(null), json!({})] {
            let mut claims = good.clone();
            claims["instrument"] = instrument;
            assert_eq!(check(&settings, claims, &symbol), Err(ScopeFault::Bind));
        }
        // A list grants each of its elements.
        let listed = json!({ "scope": "read", "org": { "id": 7 }, "instrument": ["GBPUSD", "EURUSD"] });
        assert_eq!(check(&settings, listed, &symbol), Ok(()));
    }

    #[test]
    fn one_of_several_required_values_is_enough() {
        let require = vec![
            ("role".to_owned(), vec!["reader".into(), "admin".into()]),
            ("level".to_owned(), vec![3.into()]),
            ("staff".to_owned(), vec![true.into()]),
        ];
        let settings = RuleSettings { require, ..no_rules() };

        for role in [json!("admin"), json!("writer reader"), json!(["reader"])] {
            let claims = json!({ "role": role, "level": 3, "staff": true });
            assert_eq!(check(&settings, claims, &[]), Ok(()));
        }
        for claims in [
            json!({ "role": "writer", "level": 3, "staff": true }),
            json!({ "role": "admin", "level": "3", "staff": true }),
            json!({ "role": "admin", "level": 3, "staff": "true" }),
            json!({ "role": "admin", "level": 3 }),
        ] {
            assert_eq!(check(&settings, claims.clone(), &[]), Err(ScopeFault::Require), "{claims}");
        }
    }

    #[test]
    fn every_value_of_a_bound_parameter_must_be_in_the_claim() {
        let bind = vec![(Bound::Parameter("topic".into()), "topics".into())];
        let settings = RuleSettings { bind, ..no_rules() };
        let claims = json!({ "topics": ["a", "b", 7] });
        let check = |shared| check_shared(&settings, claims.clone(), &[("topic", "z")], shared);

        for good in [&[("topic", "a")][..], &[("topic", "b"), ("other", "z"), ("topic", "a")], &[("topic", "7")]] {
            assert_eq!(check(Some(good)), Ok(()), "{good:?}");
        }
        for bad in [&[][..], &[("other", "a")], &[("topic", "")], &[("topic", "a"), ("topic", "z")]] {
            assert_eq!(check(Some(bad)), Err(ScopeFault::Bind), "{bad:?}");
        }
        assert_eq!(check(None), Ok(()), "not known yet");
    }

    #[test]
    fn an_invalid_claim_name_is_reported() {
        let settings = RuleSettings { require: vec![("a..b".into(), vec!["x".into()])], ..no_rules() };

        assert_eq!(Rules::new(&settings), Err(("a..b".into(), ClaimPathError::Empty)));
    }
}
