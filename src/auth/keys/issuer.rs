//! One issuer: its settings, its keys, and their refresh.
//!
//! Every source keeps the last good keys that it gave. A failure never removes a key; only a document without the key
//! does. Files are read when the issuer is loaded, so that an invalid one is refused at start. A JWKS URL may be
//! unreachable at start. Starts no task: the owner of an issuer runs [`Issuer::run`].

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use rustls::ClientConfig;

use super::fetch::{self, FetchClient};
use super::file;
use super::jwks;
use super::key_set::{KeyFingerprint, KeySet, VerificationKey};
use super::refresh_schedule::{RefreshSchedule, RequestedFetch};
use super::source::LoadedKeySource;
use super::source_error::SourceError;
use crate::auth::change_signal::ChangeSignal;
use crate::auth::decision_trace::DecisionTrace;
use crate::auth::denied::{Denied, TokenFault};
use crate::auth::polled_file::{self, FILE_POLL};
use crate::auth::settings::{IssuerSettings, KeySource};
use crate::auth::token::jws::Unverified;
use crate::auth::token::verify::{self, Expected};
use crate::runtime::file_watch::SettledFile;
use crate::runtime::resolver::Resolver;
use crate::runtime::workers::blocking;

/// Called for every event of an issuer's keys, with the issuer's name.
pub type RefreshObserver = Arc<dyn Fn(&str, RefreshEvent) + Send + Sync>;

/// An event of an issuer's keys, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshEvent {
    /// A fetch has finished: `ok`, or the kind of error.
    Finished(&'static str),
    /// A token with an unknown key asked for a fetch, and unknown keys had caused too many.
    Refused,
}

/// An issuer of tokens, with the keys that verify them.
pub struct Issuer {
    settings: IssuerSettings,
    name: Arc<str>,
    sources: Vec<LoadedKeySource>,
    keys: ArcSwap<KeySet>,
    /// Serializes updates of `keys`. Never held across an await.
    rebuild_lock: Mutex<()>,
    changes: ChangeSignal,
    observer: RefreshObserver,
}

/// The state of an issuer's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysState {
    /// At least one source has not given any keys yet.
    Missing,
    /// The last refresh of every source succeeded.
    Good,
    /// The last refresh of a source failed, so its previous keys are in use.
    Stale,
}

/// The result of verifying a token.
pub(in crate::auth) struct VerifiedToken {
    pub expires_at: SystemTime,
    pub key: (KeyFingerprint, Algorithm),
}

impl Issuer {
    /// Loads an issuer, including its files and secrets.
    ///
    /// # Errors
    /// Every source that cannot be used, with its index in `settings.keys`.
    pub fn load(
        settings: IssuerSettings,
        changes: ChangeSignal,
        observer: RefreshObserver,
    ) -> Result<Self, Vec<(usize, SourceError)>> {
        let mut sources = Vec::new();
        let mut errors = Vec::new();
        for (index, source) in settings.keys.iter().enumerate() {
            match LoadedKeySource::load(source, &settings.algorithms) {
                Ok(loaded) => sources.push(loaded),
                Err(error) => errors.push((index, error)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let name = Arc::from(settings.name.as_str());
        let issuer =
            Self { settings, name, sources, keys: ArcSwap::default(), rebuild_lock: Mutex::new(()), changes, observer };
        issuer.rebuild_key_set();
        Ok(issuer)
    }

    /// Returns the issuer's settings.
    pub fn settings(&self) -> &IssuerSettings {
        &self.settings
    }

    /// Returns the issuer's name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns the current keys.
    pub fn keys(&self) -> Arc<KeySet> {
        self.keys.load_full()
    }

    /// Returns the state of the keys.
    pub fn state(&self) -> KeysState {
        if !self.is_loaded() {
            KeysState::Missing
        } else if self.sources.iter().any(|source| *source.is_stale.lock()) {
            KeysState::Stale
        } else {
            KeysState::Good
        }
    }

    pub(in crate::auth) fn is_loaded(&self) -> bool {
        self.sources.iter().all(|source| source.keys.lock().is_some())
    }

    /// Copies the keys that `earlier` fetched from the same URLs, so that a configuration reload during an outage of
    /// the issuer loses no keys. The next fetch replaces them.
    pub fn inherit_keys(&self, earlier: &Self) {
        if earlier.settings.algorithms != self.settings.algorithms {
            return;
        }
        for source in &self.sources {
            let Some(url) = source.schedule.as_ref().map(RefreshSchedule::url) else { continue };
            let same = earlier.sources.iter().find(|other| other.schedule.as_ref().is_some_and(|it| it.url() == url));
            if let Some(same) = same {
                *source.keys.lock() = same.keys.lock().clone();
            }
        }
        self.rebuild_key_set();
    }

    /// Keeps the keys fresh. Never returns. Cancel-safe: no keys are lost.
    pub async fn run(&self, tls: Arc<ClientConfig>, resolver: Resolver) {
        let client = &FetchClient { owner: format!("issuers.{}", self.name).into(), tls, resolver };
        let pollers = self.settings.keys.iter().zip(&self.sources).map(|(settings, source)| async move {
            match (settings, &source.schedule) {
                (KeySource::JwksUrl { .. }, Some(schedule)) => {
                    let tls = source.tls.as_ref().unwrap_or(&client.tls).clone();
                    self.poll_url(source, schedule, &FetchClient { tls, ..client.clone() }).await;
                }
                (KeySource::JwksFile(path) | KeySource::PemFile { path, .. }, _) => {
                    self.poll_file(source, settings, path).await;
                }
                (KeySource::JwksUrl { .. }, None) | (KeySource::Secret { .. }, _) => {}
            }
        });
        futures_util::future::join_all(pollers).await;
        // An issuer that has only secrets must not return either.
        std::future::pending().await
    }

    /// Fetches each URL once, without using its keys. Returns the number of keys of each, or the error.
    pub async fn probe(
        &self,
        tls: Arc<ClientConfig>,
        resolver: Resolver,
    ) -> Vec<(url::Url, Result<usize, SourceError>)> {
        let client = &FetchClient { owner: format!("issuers.{}", self.name).into(), tls, resolver };
        let fetches = self.sources.iter().filter_map(|source| {
            let schedule = source.schedule.as_ref()?;
            let tls = source.tls.as_ref().unwrap_or(&client.tls).clone();
            Some(async move {
                let fetched = self.fetch(schedule, &FetchClient { tls, ..client.clone() }).await;
                (schedule.url().clone(), fetched.map(|keys| keys.len()))
            })
        });
        futures_util::future::join_all(fetches).await
    }

    async fn poll_url(&self, source: &LoadedKeySource, schedule: &RefreshSchedule, client: &FetchClient) {
        let mut failures = 0;
        loop {
            schedule.fetch_started();
            let result = self.fetch(schedule, client).await;
            let has_succeeded = result.is_ok();
            failures = if has_succeeded { 0 } else { failures + 1 };
            self.apply_fetch(source, result);
            schedule.fetch_finished(has_succeeded);
            schedule.next_due(failures).await;
        }
    }

    async fn fetch(
        &self,
        schedule: &RefreshSchedule,
        client: &FetchClient,
    ) -> Result<Vec<VerificationKey>, SourceError> {
        let bytes = fetch::get(schedule.url(), client).await?;
        let document = jwks::parse(&bytes, &self.settings.algorithms)?;
        if document.skipped > 0 {
            tracing::debug!(issuer = %self.name, skipped = document.skipped, "the JWKS has keys that cannot be used");
        }
        Ok(document.keys)
    }

    async fn poll_file(&self, source: &LoadedKeySource, settings: &KeySource, path: &Path) {
        let mut file = SettledFile::new(source.stamp);
        loop {
            tokio::time::sleep(FILE_POLL).await;
            if !file.poll_settled(polled_file::stamp(path).await) {
                continue;
            }
            let (owned, settings) = (path.to_owned(), settings.clone());
            let allowed = self.settings.algorithms.clone();
            let read = blocking(move || file::load(&owned, &settings, &allowed)).await;
            if file.mark_used(polled_file::stamp(path).await) {
                self.apply_fetch(source, read);
            }
        }
    }

    /// Stores the keys of a refresh, or keeps the previous ones if it failed. Logs once per refresh, which is seldom
    /// enough.
    fn apply_fetch(&self, source: &LoadedKeySource, result: Result<Vec<VerificationKey>, SourceError>) {
        *source.is_stale.lock() = result.is_err();
        if source.schedule.is_some() {
            (self.observer)(&self.name, RefreshEvent::Finished(result.as_ref().err().map_or("ok", SourceError::kind)));
        }
        match result {
            Ok(keys) => {
                let is_first = source.keys.lock().replace(keys).is_none();
                if self.rebuild_key_set() || is_first {
                    tracing::info!(issuer = %self.name, keys = self.keys().len(), "keys loaded");
                    self.changes.notify();
                }
            }
            Err(error) => {
                tracing::warn!(issuer = %self.name, error = %error.chain(), "cannot load keys; the previous ones remain in use");
            }
        }
    }

    /// Combines the keys of all sources into one set. Returns whether a key was removed.
    fn rebuild_key_set(&self) -> bool {
        let _one_at_a_time = self.rebuild_lock.lock();
        let all: Vec<VerificationKey> =
            self.sources.iter().filter_map(|source| source.keys.lock().clone()).flatten().collect();
        let next = KeySet::new(all);
        let current = self.keys.load();
        // The current one remembers tokens that these keys do not verify.
        if current.equals(&next) {
            return false;
        }
        let removes_keys = !current.is_subset_of(&next);
        self.keys.store(Arc::new(next));
        removes_keys
    }

    /// Verifies `token`. If its key is unknown, waits up to two seconds for a fetch.
    pub(in crate::auth) async fn verify(
        &self,
        token: &Unverified<'_>,
        now: SystemTime,
        trace: &mut DecisionTrace,
    ) -> Result<VerifiedToken, Denied> {
        if let Some(wanted) = &self.settings.typ {
            let is_wanted = self.accepts_type(token.typ.as_deref());
            trace.step("typ", is_wanted, || match (is_wanted, &token.typ) {
                (true, _) => format!("typ is {wanted:?}"),
                (false, Some(typ)) => format!("typ is {typ:?}, not {wanted:?}"),
                (false, None) => format!("the header has no typ; it must be {wanted:?}"),
            });
            if !is_wanted {
                return Err(TokenFault::Typ.into());
            }
        }
        let key = self.verify_signature(token).await;
        let is_known = matches!(key, Ok(_) | Err(Denied::Invalid(TokenFault::Signature)));
        trace.step("key", is_known, || {
            let (issuer, algorithm) = (self.name(), token.algorithm);
            let kid = token.kid.as_ref().map(|kid| format!(" with kid {kid:?}")).unwrap_or_default();
            match (&key, is_known) {
                (Err(Denied::Unavailable), _) => format!("the keys of issuer {issuer} have not been fetched yet"),
                (_, true) => format!("issuer {issuer} has a key{kid} for {algorithm:?}"),
                (_, false) => format!("issuer {issuer} has no key{kid} for {algorithm:?}"),
            }
        });
        if is_known {
            trace.step("signature", key.is_ok(), || match key {
                Ok(_) => "the signature matches".to_owned(),
                Err(_) => {
                    "the signature does not match: it was made with another key, or the token was changed".to_owned()
                }
            });
        }
        let key = key?;
        let expires_at = verify::check(&token.claims, self.expected(now), trace)?;
        Ok(VerifiedToken { expires_at, key: (key, token.algorithm) })
    }

    /// Returns the requirements on the issuer's tokens.
    pub(in crate::auth) fn expected(&self, now: SystemTime) -> Expected<'_> {
        let IssuerSettings { audience, audience_claim, leeway, .. } = &self.settings;
        Expected { audience, audience_claim: audience_claim.as_ref(), leeway: *leeway, now }
    }

    async fn verify_signature(&self, token: &Unverified<'_>) -> Result<KeyFingerprint, Denied> {
        if !self.accepts_algorithm(token.algorithm) {
            return Err(TokenFault::Algorithm.into());
        }
        let fault = match self.keys.load().verify(token) {
            Ok(key) => return Ok(key.fingerprint()),
            Err(fault) => fault,
        };
        if !self.may_have_newer_key(token, fault) {
            return Err(fault.into());
        }
        let requests = self.sources.iter().filter_map(|source| {
            let schedule = source.schedule.as_ref()?;
            let is_loaded = source.keys.lock().is_some();
            Some(async move { (schedule, schedule.request_fetch(is_loaded).await) })
        });
        let fetches = futures_util::future::join_all(requests).await;
        let fault = match self.keys.load().verify(token) {
            Ok(key) => {
                for (schedule, fetch) in fetches {
                    if let RequestedFetch::Finished(generation) = fetch {
                        schedule.confirm_useful(generation);
                    }
                }
                return Ok(key.fingerprint());
            }
            Err(fault) => fault,
        };
        let waits = fetches.iter().filter_map(|(_, fetch)| match fetch {
            RequestedFetch::Refused(wait) => Some(*wait),
            RequestedFetch::Finished(_) | RequestedFetch::NotInTime => None,
        });
        let wait = waits.min();
        if wait.is_some() {
            (self.observer)(&self.name, RefreshEvent::Refused);
        }
        let is_known = fetches.iter().all(|(_, fetch)| matches!(fetch, RequestedFetch::Finished(_)));
        // Without the fetch nothing is known of this token, and a later one may find the key. A 401 would be final: an
        // EventSource does not reconnect after it.
        match is_known || !self.may_have_newer_key(token, fault) {
            true => Err(fault.into()),
            false => Err(wait.map_or(Denied::Unavailable, Denied::FetchRefused)),
        }
    }

    /// Whether a key that is not known yet could verify the token that has this `fault`: one with its `kid`, or one
    /// without a `kid` in place of another.
    pub(in crate::auth) fn may_have_newer_key(&self, token: &Unverified<'_>, fault: TokenFault) -> bool {
        let is_replaceable = fault == TokenFault::UnknownKey || (fault == TokenFault::Signature && token.kid.is_none());
        is_replaceable && self.sources.iter().any(|source| source.schedule.is_some())
    }

    /// Whether the issuer accepts this `typ` in a token's header.
    pub(in crate::auth) fn accepts_type(&self, typ: Option<&str>) -> bool {
        let Some(wanted) = &self.settings.typ else { return true };
        typ.is_some_and(|typ| media_type(typ) == media_type(wanted))
    }

    /// Whether a key of the issuer, current or in a later JWKS, could be used with `algorithm`.
    pub(in crate::auth) fn accepts_algorithm(&self, algorithm: Algorithm) -> bool {
        self.settings.keys.iter().any(|source| match source {
            KeySource::JwksUrl { .. } | KeySource::JwksFile(_) => self.settings.algorithms.contains(&algorithm),
            KeySource::PemFile { algorithm: own, .. } | KeySource::Secret { algorithm: own, .. } => *own == algorithm,
        })
    }
}

/// Normalizes `typ` as a media type (RFC 7515, 4.1.9): lower case, without `application/`.
fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("name", &self.name).field("state", &self.state()).finish_non_exhaustive()
    }
}
