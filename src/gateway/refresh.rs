//! Refresh of data from files and issuers: keys, revocations, certificates of listeners.
//!
//! Each issuer and the file of revocations have a task of their own, from [`Refresher::start`] on. A reload keeps the
//! tasks of unchanged targets and stops those of removed ones. The configuration decides which targets there are.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use url::Url;

use crate::admin::Readiness;
use crate::auth::{Issuer, Issuers, KeySource, KeysState, SourceError, TrustStore, fetch};
use crate::listen::Tls;
use crate::runtime::file_watch;
use crate::runtime::resolver::Resolver;
use crate::runtime::tasks::{Draining, Tasks};
use crate::telemetry::Metrics;

/// Refreshes the keys of issuers and the file of revocations.
pub(super) struct Refresher {
    /// Resolves the names of issuers.
    resolver: Resolver,
    /// Never held across an await.
    tasks: Mutex<Vec<RefreshTask>>,
    /// The issuers in the last readiness report. A removed issuer is cleared from readiness by comparison with this.
    reported: Mutex<Vec<Arc<str>>>,
}

struct RefreshTask {
    target: RefreshTarget,
    stop: CancellationToken,
    has_started: bool,
}

#[derive(Clone)]
enum RefreshTarget {
    Issuer(Arc<Issuer>),
    Revocations(PathBuf),
}

impl Refresher {
    /// Starts without targets.
    pub(super) fn new(resolver: Resolver) -> Self {
        Self { resolver, tasks: Mutex::default(), reported: Mutex::default() }
    }

    /// Replaces the targets. Stops the tasks of removed ones.
    pub(super) fn set_targets(&self, issuers: &Issuers, revocations: Option<PathBuf>) {
        let named =
            issuers.values().cloned().map(RefreshTarget::Issuer).chain(revocations.map(RefreshTarget::Revocations));
        let mut tasks = self.tasks.lock();
        let mut earlier = std::mem::take(&mut *tasks);
        for target in named {
            let same = earlier.iter().position(|task| task.target.is_same(&target));
            tasks.push(match same {
                Some(at) => earlier.swap_remove(at),
                None => RefreshTask { target, stop: CancellationToken::new(), has_started: false },
            });
        }
        earlier.into_iter().for_each(|task| task.stop.cancel());
    }

    /// Starts the tasks of new targets.
    pub(super) fn start(&self, trust: &Arc<TrustStore>, spawner: &Tasks) {
        let mut tasks = self.tasks.lock();
        let mut system_tls = None;
        for task in tasks.iter_mut().filter(|task| !task.has_started) {
            task.has_started = true;
            // The system's certificates are read only if a URL has to be fetched.
            let tls = match task.target.is_fetched() {
                true => system_tls.get_or_insert_with(system_trust).clone(),
                false => fetch::tls_trusting(RootCertStore::empty()),
            };
            let (target, stop, trust) = (task.target.clone(), task.stop.clone(), trust.clone());
            let (draining, doing) = (spawner.draining(), target.to_string());
            let resolver = self.resolver.clone();
            spawner.spawn_restarting("keeper", &doing, move || {
                let (target, stop, trust) = (target.clone(), stop.clone(), trust.clone());
                let (tls, resolver, mut draining) = (tls.clone(), resolver.clone(), draining.clone());
                async move {
                    tokio::select! {
                        () = target.run(&trust, tls, resolver) => {}
                        () = stop.cancelled() => {}
                        _ = draining.started() => {}
                    }
                }
            });
        }
    }

    /// Refreshes all keys as part of this future, for a process that serves nothing.
    pub(super) async fn run(&self) {
        let tls = system_trust();
        let issuers = self.issuers();
        futures_util::future::join_all(issuers.iter().map(|issuer| issuer.run(tls.clone(), self.resolver.clone())))
            .await;
        std::future::pending().await
    }

    /// Fetches the keys of each issuer's URLs once, without using them. Returns a description of each, and the number of
    /// its keys or the reason.
    pub(super) async fn probe(&self) -> Vec<(String, Result<usize, String>)> {
        let tls = system_trust();
        let issuers = self.issuers();
        let probes = issuers.iter().map(async |issuer| {
            let found = issuer.probe(tls.clone(), self.resolver.clone()).await;
            let of_url = |(mut url, found): (Url, Result<usize, SourceError>)| {
                url.set_query(None);
                (format!("{}: {url}", condition_name(issuer.name())), found.map_err(|error| error.chain()))
            };
            found.into_iter().map(of_url).collect::<Vec<_>>()
        });
        futures_util::future::join_all(probes).await.into_iter().flatten().collect()
    }

    /// Waits at most `patience` until every issuer has keys.
    pub(super) async fn wait_for_keys(&self, patience: Duration) {
        let issuers = self.issuers();
        let all_there = async {
            while issuers.iter().any(|issuer| issuer.state() == KeysState::Missing) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        // Without keys the explanation says that they are missing.
        let _ = timeout(patience, all_there).await;
    }

    /// Reports issuers without keys as failed conditions; their routes answer 503.
    pub(super) fn report_readiness(&self, readiness: &Readiness) {
        let issuers = self.issuers();
        let names = issuers.iter().map(|issuer| issuer.name().clone()).collect();
        for name in std::mem::replace(&mut *self.reported.lock(), names) {
            if issuers.iter().all(|issuer| *issuer.name() != name) {
                readiness.set(condition_name(&name), Ok(()));
            }
        }
        for issuer in issuers {
            let state = match issuer.state() {
                KeysState::Missing => Err("its keys have not been fetched yet".to_owned()),
                KeysState::Stale | KeysState::Good => Ok(()),
            };
            readiness.set(condition_name(issuer.name()), state);
        }
    }

    fn issuers(&self) -> Vec<Arc<Issuer>> {
        let tasks = self.tasks.lock();
        tasks.iter().filter_map(|task| task.target.issuer().cloned()).collect()
    }
}

impl RefreshTarget {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Issuer(one), Self::Issuer(other)) => Arc::ptr_eq(one, other),
            (Self::Revocations(one), Self::Revocations(other)) => one == other,
            (Self::Issuer(_), Self::Revocations(_)) | (Self::Revocations(_), Self::Issuer(_)) => false,
        }
    }

    fn issuer(&self) -> Option<&Arc<Issuer>> {
        match self {
            Self::Issuer(issuer) => Some(issuer),
            Self::Revocations(_) => None,
        }
    }

    fn is_fetched(&self) -> bool {
        let is_url = |source: &KeySource| matches!(source, KeySource::JwksUrl { .. });
        self.issuer().is_some_and(|issuer| issuer.settings().keys.iter().any(is_url))
    }

    async fn run(&self, trust: &TrustStore, tls: Arc<ClientConfig>, resolver: Resolver) {
        match self {
            Self::Issuer(issuer) => issuer.run(tls, resolver).await,
            Self::Revocations(file) => trust.revocations().poll_file(file).await,
        }
    }
}

impl fmt::Display for RefreshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(issuer) => f.write_str(&condition_name(issuer.name())),
            Self::Revocations(file) => write!(f, "revocations of {}", file.display()),
        }
    }
}

fn condition_name(issuer: &str) -> String {
    format!("issuer {issuer}")
}

/// Returns a TLS configuration that trusts the system's certificates, or none if they cannot be read.
fn system_trust() -> Arc<ClientConfig> {
    fetch::native_tls().unwrap_or_else(|error| {
        warn!(%error, "cannot read the system's certificates: no JWKS can be fetched over https");
        fetch::tls_trusting(RootCertStore::empty())
    })
}

/// Reloads certificates when their files change. An invalid file leaves the old certificates in use.
pub(super) async fn refresh_certificates(tls: Arc<Tls>, metrics: Arc<Metrics>, mut draining: Draining) {
    let mut files = tls.files();
    loop {
        for (path, expiry) in tls.expiries() {
            let seconds = expiry.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            metrics.certificate_expiry(&path.display().to_string(), seconds);
        }
        loop {
            tokio::select! {
                () = sleep(file_watch::INTERVAL) => {}
                _ = draining.started() => return,
            }
            if files.poll_changed() {
                break;
            }
        }
        match tls.reload() {
            Ok(()) => info!("certificates reloaded"),
            Err(error) => error!(%error, "certificates not reloaded: the old ones stay in use"),
        }
    }
}
