//! Construction of the gateway's parts from a configuration: issuers with their keys, routes with their authorizers.
//!
//! Used at start and at each reload. All parts are built before the first is put in place. Does not refresh keys.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::warn;

use super::cluster::ClusterLink;
use super::refresh::Refresher;
use crate::auth::{
    Authorizer, AuthorizerError, Issuer, IssuerSettings, Issuers, RefreshEvent, RevocationError, SourceError,
    TrustStore,
};
use crate::cluster::ClusterSettings;
use crate::config::Config;
use crate::http::{self, App};
use crate::route::template::PathTemplate;
use crate::route::{Access, Open, Route, Routes};
use crate::runtime::connect_budget::ConnectBudget;
use crate::runtime::panics::Panics;
use crate::runtime::resolver::Resolver;
use crate::runtime::tasks::Tasks;
use crate::runtime::workers::Workers;
use crate::stream::{LivePolicies, SourceRequest, StreamKey};
use crate::telemetry::{Metrics, Room};

/// An error in a part of the configuration that its parser cannot see.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The key source of an issuer is invalid.
    #[error("issuers.{issuer}.keys[{index}]: {source}")]
    Issuer {
        /// The issuer's name.
        issuer: String,
        /// The index of the key source.
        index: usize,
        /// The error of the key source.
        source: SourceError,
    },
    /// The rules of a route are invalid.
    #[error("route {route}: {source}")]
    Route {
        /// The route's name.
        route: String,
        /// The error in the rules.
        source: AuthorizerError,
    },
    /// The file of revocations is invalid.
    #[error("revocations.file: {0}")]
    Revocations(#[source] RevocationError),
}

/// The parts of a configuration that need no socket. `check`, `explain` and a start build the same ones.
pub(super) struct Parts {
    pub metrics: Arc<Metrics>,
    pub tasks: Tasks,
    pub trust: Arc<TrustStore>,
    pub refresher: Refresher,
    pub connects: ConnectBudget,
    pub policies: LivePolicies,
    pub routes: Routes,
    /// The connection to the cluster of a gateway that has joined one.
    pub cluster: Option<Arc<ClusterLink>>,
}

impl Parts {
    /// Builds the parts and puts issuers and revocations in place. Starts no task, and joins no cluster.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub(super) fn build(config: &Config) -> Result<Self, BuildError> {
        Self::build_with(config, None)
    }

    /// Does the same for a gateway that is about to run, and joins the cluster that the configuration names.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub(super) fn build_joined(config: &Config) -> Result<Self, BuildError> {
        Self::build_with(config, config.cluster.clone())
    }

    fn build_with(config: &Config, cluster: Option<ClusterSettings>) -> Result<Self, BuildError> {
        crate::auth::install_provider();
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        let resolver = Resolver::new(metrics.shares().on_refusal(Room::Dns));
        let refresher = Refresher::new(resolver.clone());
        let tasks = Tasks::new(Panics::new({
            let metrics = metrics.clone();
            move |task| metrics.task_panicked(task)
        }));
        let cluster = cluster.map(|settings| Arc::new(ClusterLink::new(settings, &metrics, &tasks)));
        let trust = TrustStore::new(config.revocations.entries);
        let trust = Arc::new(match &cluster {
            Some(cluster) => cluster.share_revocations(trust),
            None => trust,
        });
        let connects = ConnectBudget::new(resolver, metrics.shares().on_refusal(Room::UpstreamConnects));
        let connects = connects.with_tasks(tasks.clone());
        let policies = LivePolicies::default();
        let routes = prepare(config, &trust, &policies, &metrics, &connects)?.install(&trust, &refresher)?;
        Ok(Self { metrics, tasks, trust, refresher, connects, policies, routes, cluster })
    }
}

/// The issuers and routes of a configuration, not yet in place.
pub(super) struct Candidate {
    routes: Routes,
    issuers: Issuers,
    revocations: Option<PathBuf>,
}

/// Builds issuers and routes. An issuer whose settings have not changed is kept.
///
/// # Errors
/// See [`BuildError`].
pub(super) fn prepare(
    config: &Config,
    trust: &Arc<TrustStore>,
    policies: &LivePolicies,
    metrics: &Arc<Metrics>,
    connects: &ConnectBudget,
) -> Result<Candidate, BuildError> {
    let earlier = trust.issuers();
    let mut issuers = Issuers::new();
    for (name, settings) in &config.issuers {
        let issuer = match earlier.get(name) {
            Some(earlier) if earlier.settings().is_same(settings) => earlier.clone(),
            earlier => {
                let issuer = load(settings, trust, metrics)?;
                if let Some(earlier) = earlier {
                    issuer.inherit_keys(earlier);
                }
                Arc::new(issuer)
            }
        };
        issuers.insert(name.clone(), issuer);
    }
    let routes = config
        .routes
        .iter()
        .map(|settings| {
            let authorizer = match &settings.access {
                Access::Public => None,
                Access::Token(rules) => Some(
                    Authorizer::new(rules.clone(), &issuers, trust.clone())
                        .map_err(|source| BuildError::Route { route: settings.name.clone(), source })?,
                ),
            };
            if authorizer.as_ref().is_some_and(|authorizer| !authorizer.settings().enforce) {
                warn!(route = settings.name, "auth.enforce = false: refusals are only counted and logged");
            }
            let policy = policies.of_route(&settings.name, settings.stream);
            let metrics = (metrics.route(&settings.name), metrics.shares());
            Ok(Arc::new(Route::new(settings.clone(), authorizer, policy, metrics.0, metrics.1, connects)))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Candidate { routes: Routes::new(routes), issuers, revocations: config.revocations.file.clone() })
}

fn load(settings: &IssuerSettings, trust: &TrustStore, metrics: &Arc<Metrics>) -> Result<Issuer, BuildError> {
    let counted = metrics.clone();
    let observer = Arc::new(move |issuer: &str, event| match event {
        RefreshEvent::Finished(result) => counted.jwks_refresh(issuer, result),
        RefreshEvent::Refused => counted.shares().refused(Room::JwksFetches),
    });
    Issuer::load(settings.clone(), trust.change_signal(), observer).map_err(|broken| {
        let (index, source) = broken.into_iter().next().expect("a refused issuer has at least one error");
        BuildError::Issuer { issuer: settings.name.clone(), index, source }
    })
}

impl Candidate {
    /// Puts issuers and revocations in place and returns the routes. The caller puts the routes in place and then
    /// notifies open responses.
    ///
    /// # Errors
    /// The file of revocations is invalid; nothing has changed.
    pub(super) fn install(self, trust: &TrustStore, refresher: &Refresher) -> Result<Routes, BuildError> {
        let outcome = match &self.revocations {
            Some(file) => trust.revocations().load(file, SystemTime::now()),
            None => trust.revocations().replace_filed(Vec::new(), SystemTime::now()),
        };
        outcome.map_err(BuildError::Revocations)?;
        refresher.set_targets(&self.issuers, self.revocations);
        trust.replace_issuers(self.issuers);
        Ok(self.routes)
    }
}

/// Opens the streams of routes with `open = "always"`.
pub(super) fn open_always_streams(app: &Arc<App>, workers: &Workers) {
    let routes = app.routes.load();
    let always = routes.iter().filter(|route| route.settings.open == Open::Always);
    let always: Vec<_> = always.map(|route| (only_key(route), route)).collect();
    app.streams.keep_open(always.iter().map(|(key, _)| key.clone()).collect());
    for (key, route) in always {
        let resource = route.resource(&[], &[]);
        let request = SourceRequest { path: resource.path, query: resource.query, ..SourceRequest::default() };
        let source = route.upstream.source(request);
        // Enters a worker's runtime, where the stream's task belongs.
        let worker = workers.next();
        let _on_worker = worker.enter();
        if let Err(limit) = app.streams.subscribe(&key, || http::stream_spec(route, source)) {
            warn!(route = route.settings.name, %limit, "stream not opened");
        }
    }
}

/// Gives the new routes' policies to the open streams of routes with the same names.
pub(super) fn update_policies(app: &App) {
    for route in app.routes.load().iter() {
        route.policy.replace(route.settings.stream);
    }
    app.streams.apply_policies();
}

/// Returns the key of the single stream of a route without captures and shared values.
fn only_key(route: &Route) -> StreamKey {
    route.stream_key(&PathTemplate::from_pattern(&route.settings.path).expand(&[]).path, &[], Vec::new())
}
