//! Stops streams that `POST`s have opened: here, or at the gateway that reads the upstream.

use std::sync::{Arc, Weak};

use futures_util::future::{BoxFuture, FutureExt};

use super::open::shared_requests;
use super::post_streams::PostStream;
use crate::http::app::App;
use crate::route::Route;
use crate::stream::{ShareRole, StopHandler, StopOutcome, StopRequest};

/// Stops streams of this gateway that clients of others want stopped.
pub(crate) struct PostStops(Weak<App>);

impl PostStops {
    /// Stops streams of this gateway.
    pub(crate) fn new(app: &Arc<App>) -> Self {
        Self(Arc::downgrade(app))
    }
}

impl StopHandler for PostStops {
    fn stop(&self, request: StopRequest) -> BoxFuture<'static, Option<StopOutcome>> {
        let app = self.0.upgrade();
        async move { stop_here(&*app?, &request).await }.boxed()
    }
}

/// Stops the stream, whichever gateway reads its upstream. `None`: there is none.
pub(super) async fn stop_anywhere(app: &App, route: &Route, request: StopRequest) -> Option<StopOutcome> {
    if let Some(outcome) = stop_here(app, &request).await {
        return Some(outcome);
    }
    shared_requests(app, route)?.stop(request).await
}

/// Stops the stream if this gateway reads its upstream, or it has ended.
async fn stop_here(app: &App, request: &StopRequest) -> Option<StopOutcome> {
    let opened = opened_here(app, request)?;
    let stream = app.streams.find(&opened.key)?;
    let is_read_here = stream.shared().is_none_or(|shared| shared.share().role == ShareRole::Own);
    if !is_read_here && !stream.progress().phase.is_kept() {
        return None;
    }
    if opened.request.subject != request.subject {
        return Some(StopOutcome::NotOpener);
    }
    stream.stop().await;
    Some(StopOutcome::Stopped)
}

/// Returns the stream with this name that a request to this gateway has opened or joined.
pub(super) fn opened_here(app: &App, request: &StopRequest) -> Option<Arc<PostStream>> {
    let opened = app.post_streams.named(&request.name)?;
    let is_of_route = *opened.key.route == *request.route && opened.key.path == request.path;
    (is_of_route && app.streams.contains(&opened.key)).then_some(opened)
}
