//! From a configuration to what is served: issuers with their keys, routes with their authorizers.
//!
//! Used at start and at each reload. Everything is made before anything is put in place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::admin::Readiness;
use crate::auth::{Authority, Authorizer, AuthorizerError, Issuer, Issuers, KeysState, SourceError};
use crate::config::Config;
use crate::http::{self, Gate};
use crate::route::{Access, Open, Route, Routes};
use crate::stream::StreamKey;
use crate::telemetry::Metrics;
use crate::upstream::HttpEventSource;
use crate::workers::Workers;

/// Why a part cannot be made from the configuration.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// An issuer's key source is broken.
    #[error("issuers.{issuer}.keys[{index}]: {source}")]
    Issuer {
        /// The issuer's name.
        issuer: String,
        /// Which of its sources.
        index: usize,
        /// What is wrong with it.
        source: SourceError,
    },
    /// A route's rules make no sense.
    #[error("route {route}: {source}")]
    Route {
        /// The route's name.
        route: String,
        /// What is wrong with it.
        source: AuthorizerError,
    },
}

/// Makes issuers and routes; the issuers are put in place, and their keys are kept fresh from [`IssuerTasks::start`] on.
///
/// # Errors
/// See [`PartsError`]; nothing is put in place then.
pub fn prepare(
    config: &Config,
    authority: &Arc<Authority>,
    metrics: &Arc<Metrics>,
    tasks: &IssuerTasks,
) -> Result<Routes, PartsError> {
    let earlier = authority.issuers();
    let mut issuers = Issuers::new();
    for (name, settings) in &config.issuers {
        let counted = metrics.clone();
        let observer = Arc::new(move |issuer: &str, result| counted.jwks_refresh(issuer, result));
        let issuer = Issuer::load((**settings).clone(), authority.changes(), observer).map_err(|broken| {
            let (index, source) = broken.into_iter().next().expect("a refusal has a reason");
            PartsError::Issuer { issuer: name.clone(), index, source }
        })?;
        if let Some(earlier) = earlier.get(name) {
            issuer.adopt(earlier);
        }
        issuers.insert(name.clone(), Arc::new(issuer));
    }
    let routes = config
        .routes
        .iter()
        .map(|settings| {
            let authorizer = match &settings.access {
                Access::Public => None,
                Access::Token(rules) => Some(
                    Authorizer::new(rules.clone(), &issuers, authority.clone())
                        .map_err(|source| PartsError::Route { route: settings.name.clone(), source })?,
                ),
            };
            if authorizer.as_ref().is_some_and(|authorizer| !authorizer.settings().enforce) {
                warn!(route = settings.name, "auth.enforce = false: refusals are only counted and logged");
            }
            Ok(Arc::new(Route::new(settings.clone(), authorizer, metrics.route(&settings.name))))
        })
        .collect::<Result<Vec<_>, _>>()?;
    authority.replace_issuers(issuers.clone());
    *tasks.pending.lock() = issuers;
    Ok(Routes::new(routes))
}

/// Keeps the issuers' keys fresh, those of the newest configuration only.
#[derive(Default)]
pub struct IssuerTasks {
    pending: Mutex<BTreeMap<String, Arc<Issuer>>>,
    current: Mutex<CancellationToken>,
}

impl IssuerTasks {
    /// Starts the newest issuers' tasks and ends those before.
    pub fn start(&self, gate: &Gate) {
        let stop = CancellationToken::new();
        std::mem::replace(&mut *self.current.lock(), stop.clone()).cancel();
        let issuers = self.pending.lock().clone();
        if issuers.is_empty() {
            return;
        }
        let tls = Arc::new(system_trust());
        for issuer in issuers.into_values() {
            let (stop, tls, mut draining) = (stop.clone(), tls.clone(), gate.tasks.draining());
            gate.tasks.spawn("issuer", async move {
                tokio::select! {
                    () = issuer.run(tls) => {}
                    () = stop.cancelled() => {}
                    _ = draining.since() => {}
                }
            });
        }
    }

    /// Keeps all keys fresh as part of this future, for a process that serves nothing.
    pub async fn run(&self) {
        let issuers = self.pending.lock().clone();
        let tls = Arc::new(system_trust());
        futures_util::future::join_all(issuers.values().map(|issuer| issuer.run(tls.clone()))).await;
        std::future::pending().await
    }

    /// Waits until no keys are missing, at most for `patience`.
    pub async fn wait_for_keys(&self, patience: Duration) {
        let issuers = self.pending.lock().clone();
        let all_there = async {
            while issuers.values().any(|issuer| issuer.state() == KeysState::Missing) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        // Without them the explanation says that they are missing.
        let _ = timeout(patience, all_there).await;
    }

    /// Says which issuers' keys are still missing: their routes answer 503.
    pub fn report(&self, readiness: &Readiness) {
        for (name, issuer) in &*self.pending.lock() {
            let state = match issuer.state() {
                KeysState::Missing => Err("its keys could not be had yet".to_owned()),
                KeysState::Stale | KeysState::Good => Ok(()),
            };
            readiness.set(format!("issuer {name}"), state);
        }
    }
}

/// TLS that trusts what the system trusts.
fn system_trust() -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        warn!(%error, "some of the system's certificates cannot be read");
    }
    roots.add_parsable_certificates(loaded.certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Opens the streams of routes that are always open.
pub fn open_always(gate: &Arc<Gate>, workers: &Workers) {
    for route in gate.routes.load().iter().filter(|route| route.settings.open == Open::Always) {
        let path = route.settings.upstream_path.fill(&Vec::new());
        let key = StreamKey {
            route: Arc::from(route.settings.name.as_str()),
            path: route.settings.path.as_str().to_owned(),
            shared: Vec::new(),
            origin: route.origin,
        };
        let source = Arc::new(HttpEventSource::new(route.settings.upstream.clone(), path, Vec::new()));
        // The stream's task belongs on a worker.
        let worker = workers.next();
        let _on_worker = worker.enter();
        if gate.streams.subscribe(&key, || http::spec(route, source)).is_err() {
            warn!(route = route.settings.name, "not opened: as many streams are open as may be");
        }
    }
}
