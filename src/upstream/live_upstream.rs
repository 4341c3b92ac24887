//! Upstream settings that a reload replaces under the streams that use them.
//!
//! A stream outlives a reload that does not change its identity, such as a new value of a secret header or another
//! timeout. It reconnects at once if the secrets changed. Otherwise the new settings apply to its next attempt.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::settings::UpstreamSettings;

/// The settings in force of one route's upstream.
#[derive(Debug)]
pub struct LiveUpstream(watch::Sender<Arc<UpstreamSettings>>);

impl LiveUpstream {
    /// Creates the upstream of a new route.
    pub fn new(settings: Arc<UpstreamSettings>) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(settings)))
    }

    /// Returns the settings in force.
    pub fn settings(&self) -> Arc<UpstreamSettings> {
        self.0.borrow().clone()
    }

    /// Completes when the secrets in force differ from those of `known`. Cancel-safe.
    pub async fn credentials_changed(&self, known: &UpstreamSettings) {
        let mut live = self.0.subscribe();
        if live.wait_for(|settings| !settings.has_same_secrets(known)).await.is_err() {
            // The sender is gone, so the settings can no longer change.
            std::future::pending().await
        }
    }
}

/// The upstreams that routes or streams still use, by route and by identity of the upstream.
#[derive(Debug, Default)]
pub struct LiveUpstreams(Mutex<HashMap<UpstreamKey, Vec<Weak<LiveUpstream>>>>);

/// A route's name, and the fingerprint of its events' origin.
type UpstreamKey = (String, u64);

impl LiveUpstreams {
    /// Registers a route's upstream and passes its settings to all streams of the route's earlier versions.
    pub fn replace(&self, route: &str, source: u64, live: &Arc<LiveUpstream>) {
        let settings = live.settings();
        let mut known = self.0.lock();
        let streams = known.entry((route.to_owned(), source)).or_default();
        streams.retain(|streams| {
            let Some(streams) = streams.upgrade() else { return false };
            streams.0.send_replace(settings.clone());
            true
        });
        streams.push(Arc::downgrade(live));
    }

    /// Removes the upstreams that no stream and no route uses any more.
    pub fn prune(&self) {
        self.0.lock().retain(|_, known| {
            known.retain(|live| live.strong_count() > 0);
            !known.is_empty()
        });
    }
}
