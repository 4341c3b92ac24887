//! A response's permission: the route and the grant that admitted it, and whether both still would.
//!
//! Revocations and keys are the authority's; a reload of the configuration may also put another route in the place of
//! the one that admitted. Then the request is looked up again as if it came anew. Does not end responses.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::gate::Gate;
use super::target::Target;
use crate::auth::{Grant, Standing, Wanted};
use crate::route::Route;
use crate::telemetry::End;

/// See the module.
#[derive(Clone)]
pub struct Permission {
    gate: Arc<Gate>,
    /// The route that admitted the request, at first or after a reload.
    route: Arc<Route>,
    grant: Option<Grant>,
    host: Box<str>,
    path: Box<str>,
    changes: watch::Receiver<u64>,
}

impl Permission {
    /// The permission of a request that `route` admitted, by the `grant` if it has one.
    pub fn new(gate: Arc<Gate>, route: Arc<Route>, target: &Target, grant: Option<Grant>) -> Self {
        let (host, path) = (target.host().into(), target.path.as_str().into());
        let changes = gate.authority.watch();
        Self { gate, route, grant, host, path, changes }
    }

    /// When it ends by itself.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.grant.as_ref().map(Grant::expires_at)
    }

    /// Completes when it has been taken back, with the reason. Cancel-safe.
    pub async fn taken_back(&mut self) -> End {
        loop {
            // Marked as seen before it is looked at: a change in between is seen in the next round.
            self.changes.borrow_and_update();
            let standing = self.grant.as_ref().map(|grant| grant.standing(&self.gate.authority, SystemTime::now()));
            match standing {
                None | Some(Standing::Valid) => {}
                Some(Standing::Expired) => return End::Expired,
                Some(Standing::Revoked | Standing::KeyRemoved) => return End::Revoked,
            }
            if !self.is_admitted() || self.changes.changed().await.is_err() {
                return End::Revoked;
            }
        }
    }

    /// Whether the routes of this moment still admit the request. A route that is gone takes the grants with it that it
    /// made; what everyone could read goes on.
    fn is_admitted(&mut self) -> bool {
        let routes = self.gate.routes.load();
        let Some((route, captures)) = routes.find(&self.host, &self.path) else { return self.grant.is_none() };
        // The usual case: whatever has changed, the configuration has not.
        if Arc::ptr_eq(route, &self.route) {
            return true;
        }
        let is_admitted = match (&route.authorizer, &self.grant) {
            (None, _) => true,
            (Some(authorizer), _) if !authorizer.settings().enforce => true,
            (Some(authorizer), Some(grant)) => {
                authorizer.recheck(grant, Wanted { path: &self.path, captures: &captures }).is_ok()
            }
            (Some(_), None) => false,
        };
        self.route = route.clone();
        is_admitted
    }
}
