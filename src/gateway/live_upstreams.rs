//! The upstreams of all routes, to which a reload passes their new settings.
//!
//! Open streams of an earlier version of a route keep its upstream. They get the new settings as long as the events come
//! from the same place.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::route::Routes;
use crate::stream::LiveUpstream;

/// The upstreams that routes or streams still use, by route and by the upstream's identity.
#[derive(Debug, Default)]
pub(super) struct LiveUpstreams(Mutex<HashMap<UpstreamKey, Vec<Weak<LiveUpstream>>>>);

/// A route's name, and the identity of its upstream.
type UpstreamKey = (String, [u8; 32]);

impl LiveUpstreams {
    /// Registers the upstreams of these routes and passes them to all streams of the routes' earlier versions.
    pub(super) fn update(&self, routes: &Routes) {
        let mut known = self.0.lock();
        for route in routes.iter() {
            let current = route.upstream.current();
            let earlier = known.entry((route.settings.name.clone(), route.upstream_identity)).or_default();
            earlier.iter().filter_map(Weak::upgrade).for_each(|earlier| earlier.replace(current.clone()));
            earlier.push(Arc::downgrade(&route.upstream));
        }
        known.retain(|_, known| {
            known.retain(|live| live.strong_count() > 0);
            !known.is_empty()
        });
    }
}
