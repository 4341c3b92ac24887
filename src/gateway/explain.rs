//! Explanation of an authorization decision, made without serving.

use std::time::{Duration, SystemTime};

use super::build::{BuildError, Parts};
use super::run::Gateway;
use crate::auth::{DecisionStep, Requested};
use crate::config::Config;
use crate::http::{self, Query};
use crate::route::path::CanonicalPath;
use crate::route::pattern::Mismatch;

/// A decision with the checks that led to it.
#[derive(Debug, Default)]
pub struct Explanation {
    /// The route that matches the path.
    pub route: Option<String>,
    /// Its pattern.
    pub pattern: String,
    /// The checks, in order.
    pub steps: Vec<DecisionStep>,
    /// The reason for a refusal; `None` if the token is accepted.
    pub refused: Option<String>,
}

impl Gateway {
    /// Explains the decision of a gateway with this configuration on a bare token. Waits at most `patience` for keys
    /// that have to be fetched.
    ///
    /// # Errors
    /// A part of the configuration is invalid.
    pub async fn explain(
        config: &Config,
        host: &str,
        path: &str,
        token: &str,
        now: SystemTime,
        patience: Duration,
    ) -> Result<Explanation, BuildError> {
        let Parts { routes, refresher, .. } = Parts::build(config)?;
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let path = match CanonicalPath::parse(path) {
            Ok(path) => path,
            Err(fault) => return Ok(Explanation::refused(&format!("invalid path: {fault}"))),
        };
        let (route, captures) = match routes.find(host, path.decoded()) {
            Ok(found) => found,
            Err(Mismatch::Other) => return Ok(Explanation::refused("no route matches this path")),
            Err(Mismatch::Capture(fault)) => {
                return Ok(Explanation::refused(&format!("invalid path: {fault}")));
            }
        };
        let mut explanation = Explanation {
            route: Some(route.settings.name.clone()),
            pattern: route.settings.path.to_string(),
            ..Explanation::default()
        };
        if let Some(authorizer) = &route.authorizer {
            let Ok(shared) = http::query_parameters(&route.settings.share, &Query::parse(query.unwrap_or_default()))
            else {
                return Ok(Explanation::refused("invalid query: a shared parameter is not UTF-8"));
            };
            let requested = Requested { path: path.decoded(), captures: &captures, shared: Some(&shared) };
            let decided = tokio::select! {
                decided = async {
                    refresher.wait_for_keys(patience).await;
                    authorizer.explain(token, requested, now).await
                } => decided,
                () = refresher.run() => unreachable!("refreshing never ends"),
            };
            explanation.steps = decided.0;
            explanation.refused = decided.1.err().map(|denied| denied.to_string());
        }
        Ok(explanation)
    }
}

impl Explanation {
    fn refused(why: &str) -> Self {
        Self { refused: Some(why.to_owned()), ..Self::default() }
    }
}
