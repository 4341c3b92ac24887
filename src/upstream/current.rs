//! A target that a reload replaces under the streams that read from it.
//!
//! Streams outlive a reload that changes nothing of what makes them: a new value of a secret header, another timeout. They
//! go on with the new target, at once where its secrets are others, else when they next connect.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::target::UpstreamSettings;

/// See the module.
#[derive(Debug)]
pub struct Current(watch::Sender<Arc<UpstreamSettings>>);

impl Current {
    /// Of a route that has just been made.
    pub fn new(target: Arc<UpstreamSettings>) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(target)))
    }

    /// The target of this moment.
    pub fn target(&self) -> Arc<UpstreamSettings> {
        self.0.borrow().clone()
    }

    /// Completes when there are other secrets than this target's. Cancel-safe.
    pub async fn renewed(&self, than: &UpstreamSettings) {
        let mut current = self.0.subscribe();
        if current.wait_for(|target| !target.has_same_secrets(than)).await.is_err() {
            // Without whoever replaces it, it stays what it is.
            std::future::pending().await
        }
    }
}

/// The targets that streams may still read from, by route and by what makes the upstream another one.
#[derive(Debug, Default)]
pub struct Targets(Mutex<HashMap<Place, Vec<Weak<Current>>>>);

/// A route's name, and the fingerprint of where its events come from.
type Place = (String, u64);

impl Targets {
    /// Takes a route's target in, and gives it to all streams that earlier versions of the route have opened.
    pub fn renew(&self, route: &str, source: u64, current: &Arc<Current>) {
        let target = current.target();
        let mut known = self.0.lock();
        let earlier = known.entry((route.to_owned(), source)).or_default();
        earlier.retain(|earlier| {
            let Some(earlier) = earlier.upgrade() else { return false };
            earlier.0.send_replace(target.clone());
            true
        });
        earlier.push(Arc::downgrade(current));
    }

    /// Forgets what no stream and no route reads any more.
    pub fn tidy(&self) {
        self.0.lock().retain(|_, known| {
            known.retain(|current| current.strong_count() > 0);
            !known.is_empty()
        });
    }
}
