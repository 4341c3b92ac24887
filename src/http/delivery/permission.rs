//! A response's permission: the route and the grant that admitted it, and whether both still would.
//!
//! Revocations and keys are the authority's; a reload of the configuration may also put another route in the place of
//! the one that admitted. Then the request is judged anew, as if the same token came again in the same place, and by
//! what it would read: a route that shares something else, or reads from somewhere else, is about another stream than
//! the one that is open. Does not end responses.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::TryFutureExt;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::auth::{Denied, Grant, GrantStatus, Requested, TokenFault};
use crate::http::app::App;
use crate::http::request::target::RequestTarget;
use crate::route::Route;
use crate::stream::EventStream;
use crate::telemetry::EndReason;

/// See the module.
#[derive(Clone)]
pub struct Permission {
    app: Arc<App>,
    /// The route that admitted the request, at first or after a reload.
    route: Arc<Route>,
    grant: Option<Grant>,
    /// When the routes of this moment would end it, if that is before the grant's own end.
    until: Option<SystemTime>,
    host: Box<str>,
    /// Decoded.
    path: Box<str>,
    /// What it reads: its key has what the request shared.
    stream: Arc<EventStream>,
    /// How long after its route began to read from elsewhere the response leaves.
    departure: Duration,
    /// When it leaves for that reason.
    leaves_at: Option<Instant>,
    changes: watch::Receiver<u64>,
}

impl Permission {
    /// The permission of a request for the `stream` that `route` admitted, by the `grant` if it has one. `departure` is
    /// this response's share of the time over which those leave whose route reads from elsewhere after a reload.
    pub fn new(
        app: Arc<App>,
        route: Arc<Route>,
        target: &RequestTarget,
        stream: Arc<EventStream>,
        grant: Option<Grant>,
        departure: Duration,
    ) -> Self {
        let (host, path) = (target.host().into(), target.path.decoded().into());
        let changes = app.authority.subscribe();
        Self { app, route, grant, until: None, host, path, stream, departure, leaves_at: None, changes }
    }

    /// When it ends by itself.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.grant.as_ref().map(Grant::expires_at)
    }

    /// When it ends and why, as things are now; `None`: not before the grant does. To be asked again when that has
    /// [changed](Self::changed).
    ///
    /// # Errors
    /// It has been taken back, for this reason.
    pub fn taken_back(&mut self) -> Result<Option<(Instant, EndReason)>, EndReason> {
        // Marked as seen before it is looked at: a change in between is seen in the next round.
        self.changes.borrow_and_update();
        let now = SystemTime::now();
        match self.grant.as_ref().map(|grant| self.app.authority.status(grant, now)) {
            None | Some(GrantStatus::Valid) => {}
            Some(GrantStatus::Expired) => return Err(EndReason::Expired),
            Some(GrantStatus::Revoked | GrantStatus::KeyRemoved) => return Err(EndReason::Revoked),
        }
        let until = |until: SystemTime| Instant::now() + until.duration_since(now).unwrap_or_default();
        match self.judge(now) {
            Reevaluation::Stays => {
                self.leaves_at = None;
                Ok(self.until.map(|end| (until(end), EndReason::Expired)))
            }
            Reevaluation::Moves => {
                let departure = self.departure;
                Ok(Some((*self.leaves_at.get_or_insert_with(|| Instant::now() + departure), EndReason::Drain)))
            }
            Reevaluation::Ends(end) => Err(end),
        }
    }

    /// Completes when it must be looked at again. Cancel-safe.
    ///
    /// # Errors
    /// Nobody is left who could say.
    pub fn changed(&mut self) -> impl Future<Output = Result<(), EndReason>> + Send {
        self.changes.changed().map_err(|_| EndReason::Revoked)
    }

    /// What the routes of this moment make of the request. A route that is gone takes the grants with it that it made;
    /// what everyone could read goes on.
    fn judge(&mut self, now: SystemTime) -> Reevaluation {
        let routes = self.app.routes.load();
        let Ok((route, captures)) = routes.find(&self.host, &self.path) else {
            return if self.grant.is_none() { Reevaluation::Stays } else { Reevaluation::Ends(EndReason::Revoked) };
        };
        // The usual case: whatever has changed, the configuration has not.
        if Arc::ptr_eq(route, &self.route) {
            return Reevaluation::Stays;
        }
        // What a client shares parts it from others: without its request nobody can say on which side it would be.
        if route.settings.share != self.route.settings.share {
            return Reevaluation::Ends(EndReason::Revoked);
        }
        self.until = None;
        match (&route.authorizer, &self.grant) {
            (None, _) => {}
            (Some(authorizer), _) if !authorizer.settings().enforce => {}
            (Some(authorizer), Some(grant)) => {
                let shared = Some(&*self.stream.key().shared);
                match authorizer.recheck(grant, Requested { path: &self.path, captures: &captures, shared }, now) {
                    Ok(until) => self.until = Some(until).filter(|until| *until < grant.expires_at()),
                    Err(Denied::Invalid(TokenFault::Expired)) => return Reevaluation::Ends(EndReason::Expired),
                    Err(_) => return Reevaluation::Ends(EndReason::Revoked),
                }
            }
            (Some(_), None) => return Reevaluation::Ends(EndReason::Revoked),
        }
        // Compared with the route that opened the stream, which is the one it was last found the same as.
        if route.source != self.route.source {
            return Reevaluation::Moves;
        }
        self.route = route.clone();
        Reevaluation::Stays
    }
}

enum Reevaluation {
    /// It goes on.
    Stays,
    /// It may read, but what it reads is elsewhere now.
    Moves,
    /// It may not read any longer.
    Ends(EndReason),
}
