//! The permission of a response: the route and the grant that admitted it, and whether both still would.
//!
//! The trust store knows about revocations and keys. A reload of the configuration may also replace the route that
//! admitted the request. Then the request is evaluated again, as if the same token came again in the same place, and
//! against the stream that is open: a route that shares other values, or reads from another upstream, now means another
//! stream. Does not end responses.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::auth::{Denied, Grant, GrantStatus, Requested, TokenFault};
use crate::http::app::App;
use crate::http::request::target::RequestTarget;
use crate::route::Route;
use crate::route::path::CanonicalPath;
use crate::stream::EventStream;
use crate::telemetry::EndReason;

/// The permission to read one stream.
#[derive(Clone)]
pub(crate) struct Permission {
    app: Arc<App>,
    /// The route that admitted the request, at first or after a reload.
    route: Arc<Route>,
    grant: Option<Grant>,
    /// The end that the current routes impose, if it is before the grant's own expiry.
    valid_until: Option<SystemTime>,
    host: Box<str>,
    /// The stream that is read. Its key has the path of the request and the values that it shared.
    stream: Arc<EventStream>,
    /// The end of this response because the route's upstream has changed.
    moves_at: Option<Instant>,
}

impl Permission {
    /// Creates the permission of a request for `stream` that `route` admitted, by `grant` if the route needs one.
    pub(crate) fn new(
        app: Arc<App>,
        route: Arc<Route>,
        target: &RequestTarget,
        stream: Arc<EventStream>,
        grant: Option<Grant>,
    ) -> Self {
        Self { app, route, grant, valid_until: None, host: target.host().into(), stream, moves_at: None }
    }

    /// Returns the state that all requests share.
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// Returns the expiry of the grant.
    pub(crate) fn expires_at(&self) -> Option<SystemTime> {
        self.grant.as_ref().map(Grant::expires_at)
    }

    /// Returns when the permission ends and why, as things are now; `None` if not before the grant expires. Call it
    /// again after each [change](crate::auth::TrustStore::subscribe). `move_delay` is the time from a change of the
    /// route's upstream to the end of this response.
    ///
    /// # Errors
    /// The permission has ended, for this reason.
    pub(crate) fn check(&mut self, move_delay: Duration) -> Result<Option<(Instant, EndReason)>, EndReason> {
        let now = SystemTime::now();
        match self.grant.as_ref().map(|grant| self.app.trust.status(grant, now)) {
            None | Some(GrantStatus::Valid) => {}
            Some(GrantStatus::Expired) => return Err(EndReason::Expired),
            Some(GrantStatus::Revoked | GrantStatus::KeyRemoved) => return Err(EndReason::Revoked),
        }
        match self.reevaluate(now) {
            Reevaluation::Permitted => {
                self.moves_at = None;
                let instant = |at: SystemTime| Instant::now() + at.duration_since(now).unwrap_or_default();
                Ok(self.valid_until.map(|end| (instant(end), EndReason::Expired)))
            }
            Reevaluation::UpstreamChanged => {
                Ok(Some((*self.moves_at.get_or_insert_with(|| Instant::now() + move_delay), EndReason::Drain)))
            }
            Reevaluation::Ended(end) => Err(end),
        }
    }

    /// Evaluates the request against the current routes. When a route is gone, the grants that it made end; responses
    /// of a public route go on.
    fn reevaluate(&mut self, now: SystemTime) -> Reevaluation {
        let routes = self.app.routes.load();
        let path = CanonicalPath::parse(&self.stream.key().path).expect("a canonical path parses to itself");
        let Ok((route, captures)) = routes.find(&self.host, path.decoded()) else {
            return match self.grant {
                None => Reevaluation::Permitted,
                Some(_) => Reevaluation::Ended(EndReason::Revoked),
            };
        };
        // The usual case: keys or revocations have changed, the configuration has not.
        if Arc::ptr_eq(route, &self.route) {
            return Reevaluation::Permitted;
        }
        // Shared values separate streams. The request is gone, so its values for other parameters are not known.
        if route.settings.share != self.route.settings.share {
            return Reevaluation::Ended(EndReason::Revoked);
        }
        self.valid_until = None;
        match (&route.authorizer, &self.grant) {
            (None, _) => {}
            (Some(authorizer), _) if !authorizer.settings().enforce => {}
            (Some(authorizer), Some(grant)) => {
                let shared = Some(&*self.stream.key().shared);
                match authorizer.recheck(grant, Requested { path: path.decoded(), captures: &captures, shared }, now) {
                    Ok(until) => self.valid_until = Some(until).filter(|until| *until < grant.expires_at()),
                    Err(Denied::Invalid(TokenFault::Expired)) => return Reevaluation::Ended(EndReason::Expired),
                    Err(_) => return Reevaluation::Ended(EndReason::Revoked),
                }
            }
            (Some(_), None) => return Reevaluation::Ended(EndReason::Revoked),
        }
        if !route.has_stream(self.stream.key(), &captures) {
            return Reevaluation::UpstreamChanged;
        }
        self.route = route.clone();
        Reevaluation::Permitted
    }
}

/// The outcome of evaluating a request again.
enum Reevaluation {
    /// The response goes on.
    Permitted,
    /// The client may read the stream, but the route has another upstream now.
    UpstreamChanged,
    /// The client may not read the stream any longer.
    Ended(EndReason),
}
