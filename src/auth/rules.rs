//! What a good token must say before its bearer may read a stream.
//!
//! All rules must hold, and a rule about a claim that is not there does not hold. Pure. Does not verify tokens, does not
//! know what a path means: it must be the canonical one, the same that is the stream's key and the upstream's path.

use super::claims::{ClaimPath, ClaimPathError, Claims};
use super::denied::ScopeFault;
use super::explain::Trail;
use super::settings::RuleSettings;

/// The rules of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    streams: Option<ClaimPath>,
    require: Vec<(ClaimPath, String)>,
    bind: Vec<(String, ClaimPath)>,
    shared: Vec<ClaimPath>,
}

/// The stream that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'r> {
    /// The request's path in canonical form.
    pub path: &'r str,
    /// What the route's pattern captured of it.
    pub captures: &'r [(String, String)],
}

/// Most patterns of a token that are compared.
const MAX_PATTERNS: usize = 1000;

impl Rules {
    /// Reads the claims' names.
    ///
    /// # Errors
    /// The name that is none, with the reason.
    pub fn new(settings: &RuleSettings) -> Result<Self, (String, ClaimPathError)> {
        let path = |name: &String| ClaimPath::parse(name).map_err(|error| (name.clone(), error));
        let streams = settings.streams_claim.as_ref().map(path).transpose()?;
        let require = settings.require.iter().map(|(name, value)| Ok((path(name)?, value.clone())));
        let bind = settings.bind.iter().map(|(capture, name)| Ok((capture.clone(), path(name)?)));
        let shared = settings.shared.iter().map(path).collect::<Result<_, _>>()?;
        Ok(Self { streams, require: require.collect::<Result<_, _>>()?, bind: bind.collect::<Result<_, _>>()?, shared })
    }

    /// Whether these claims cover that stream.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self, claims: &Claims, wanted: Wanted<'_>, trail: &mut Trail) -> Result<(), ScopeFault> {
        if let Some(name) = &self.streams {
            let covered = claims.texts(name).take(MAX_PATTERNS).any(|pattern| covers(&pattern, wanted.path));
            trail.step("streams_claim", covered, || format!("a pattern in {name} covers {}", wanted.path));
            if !covered {
                return Err(ScopeFault::Streams);
            }
        }
        for (name, value) in &self.require {
            let holds = claims.has(name, value);
            trail.step("require", holds, || format!("{name} has {value:?}"));
            if !holds {
                return Err(ScopeFault::Require);
            }
        }
        for (capture, name) in &self.bind {
            let captured = wanted.captures.iter().find(|(known, _)| known == capture);
            let holds = captured.is_some_and(|(_, value)| claims.text(name).is_some_and(|text| text == *value));
            trail.step("bind", holds, || format!("the capture {capture} equals {name}"));
            if !holds {
                return Err(ScopeFault::Bind);
            }
        }
        for name in &self.shared {
            let holds = claims.text(name).is_some_and(|text| !text.is_empty());
            trail.step("share", holds, || format!("{name}, which goes upstream, is there"));
            if !holds {
                return Err(ScopeFault::Share);
            }
        }
        Ok(())
    }
}

/// Whether a token's `pattern` covers `path`: equal segment by segment, `*` being any one segment.
///
/// Nothing else is special: `**`, `a*`, `{symbol}`, `%2A` and a pattern without its leading slash cover nothing but
/// themselves. A path is canonical, so it has no segment `.` or `..` for a pattern to lead out with.
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

    fn check(settings: &RuleSettings, claims: serde_json::Value, captures: &[(&str, &str)]) -> Result<(), ScopeFault> {
        let claims = Claims::new(claims.as_object().expect("an object").clone());
        let captures: Vec<_> = captures.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let wanted = Wanted { path: "/prices/EURUSD", captures: &captures };
        Rules::new(settings).expect("rules").check(&claims, wanted, &mut Trail::off())
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
    fn a_pattern_covers_itself_and_a_star_exactly_one_segment() {
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
    fn a_claim_that_goes_upstream_must_be_there() {
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
            require: vec![("scope".into(), "read".into()), ("org.id".into(), "7".into())],
            bind: vec![("symbol".into(), "instrument".into())],
            ..no_rules()
        };
        let good = json!({ "scope": "read", "org": { "id": 7 }, "instrument": "EURUSD" });
        let symbol = [("symbol", "EURUSD")];

        assert_eq!(check(&settings, good.clone(), &symbol), Ok(()));
        assert_eq!(check(&settings, good.clone(), &[]), Err(ScopeFault::Bind), "no such capture");
        assert_eq!(check(&settings, json!({ "scope": "read" }), &symbol), Err(ScopeFault::Require));
        for instrument in [json!("EUR"), json!(["EURUSD"]), json!("EURUSD GBPUSD"), json!(null), json!({})] {
            let mut claims = good.clone();
            claims["instrument"] = instrument;
            assert_eq!(check(&settings, claims, &symbol), Err(ScopeFault::Bind));
        }
    }

    #[test]
    fn a_claim_name_that_is_none_is_told() {
        let settings = RuleSettings { require: vec![("a..b".into(), "x".into())], ..no_rules() };

        assert_eq!(Rules::new(&settings), Err(("a..b".into(), ClaimPathError::Empty)));
    }
}
