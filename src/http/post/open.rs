//! A `POST`: joins the stream of an equal request, or opens one.
//!
//! Gateways that share the route's streams agree on the stream first. The owner of the stream sends the request of its own
//! client, and equal requests at other gateways join the stream.

use std::sync::Arc;

use http::header::CONTENT_LOCATION;
use http::{HeaderValue, Response};

use super::admitted_post::{AdmittedPost, UnsentPost};
use super::post_source::PostSource;
use super::post_streams::PostStream;
use super::{PostRequest, STREAM_PARAMETER, answer};
use crate::http::app::App;
use crate::http::delivery::pending_resume::HistoryRequest;
use crate::http::request::target::RequestTarget;
use crate::http::request::trace::hex;
use crate::http::response::body::AppBody;
use crate::http::response::rejection::{PostRefusal, Rejection};
use crate::http::routed_request::RoutedRequest;
use crate::http::subscribe::{AdmittedReader, deliver, longest_wait, stream_spec};
use crate::listen::RequestBody;
use crate::route::{LogStorage, PostSettings, Route, WhenDown, percent};
use crate::stream::{
    Attempts, EventSource, OpenError, RequestOffer, SharedRequests, SourceRequest, StreamKey, StreamSpec,
};

/// Responds to a `POST` with a stream, or with what its upstream answers instead.
///
/// # Errors
/// The refusal.
pub(in crate::http) async fn respond(
    post: PostRequest<'_>,
    body: &mut Option<RequestBody>,
) -> Result<Response<AppBody>, Rejection> {
    let RoutedRequest { app, route, .. } = post.routed;
    let (admitted, unsent) = AdmittedPost::read(post, body).await?;
    let is_shared = shared_requests(app, route).is_some();
    let mut unsent = Some(unsent);
    let mut attempts = 0;
    loop {
        attempts += 1;
        // What another gateway answers with something else than a stream is asked again: for this client, it was not sent.
        let sent = if is_shared { unsent.clone() } else { unsent.take() };
        match admitted.join_or_open(sent).await {
            Err(rejection) if is_shared && is_forgotten(&rejection) && attempts < MAX_ATTEMPTS => {}
            outcome => return outcome.or_else(answer::pass_on),
        }
    }
}

impl AdmittedPost<'_> {
    /// Responds with the stream of an equal request, or with a new one, for which `sent` goes upstream.
    ///
    /// # Errors
    /// The refusal.
    async fn join_or_open(&self, sent: Option<UnsentPost>) -> Result<Response<AppBody>, Rejection> {
        let RoutedRequest { app, route, target, request, .. } = self.post.routed;
        let new = self.new_stream(new_name());
        let joined = app.post_streams.find(&app.streams, &self.key, self.resumes())?;
        let new = match joined {
            Some(_) => new,
            None => self.agree_on(new).await?,
        };
        let key = joined.as_ref().map_or(&new.key, |post| &post.key);
        let permit = app.subscription_limits.acquire(self.grant.as_ref(), self.address, key)?;
        if !app.streams.contains(key) {
            app.stream_opens.acquire(self.address, key.route.clone(), longest_wait(route)).await?;
        }
        let (post, subscription) = app.post_streams.join_or_open(&app.streams, new, self.resumes(), |key| {
            app.streams.subscribe_from(self.address, key, || self.spec(key, sent))
        })?;

        let (client, grant, params) = (self.client.clone(), self.grant.clone(), self.params.clone());
        let reader = AdmittedReader { app, route, target, request, client, permit, grant, params };
        let history = || HistoryRequest { source: Arc::new(PostSource::gone()), owner: None };
        let mut response = deliver(reader, subscription, history).await?;
        response.headers_mut().insert(CONTENT_LOCATION, location(target, &post));
        Ok(response)
    }

    /// Returns the stream that the other gateways agree on instead of this new one, if they share the route's streams.
    ///
    /// # Errors
    /// They cannot agree now, or the stream was opened by a request with another body.
    async fn agree_on(&self, new: Arc<PostStream>) -> Result<Arc<PostStream>, Rejection> {
        let RoutedRequest { app, route, .. } = self.post.routed;
        let Some((requests, shared)) = shared_requests(app, route).zip(self.key.shared) else { return Ok(new) };
        let offer = RequestOffer {
            key: shared,
            body: self.key.body,
            name: new.name.clone(),
            identity: new.key.identity,
            refused: app.post_streams.refused(&app.streams, &self.key),
            resumes: self.resumes(),
            age: route.policy.current().retention.age,
        };
        let agreed = requests.agree(offer).await.map_err(|error| Rejection::Upstream(Arc::new(error)))?;
        match agreed.body == self.key.body {
            true if agreed.name == new.name => Ok(new),
            true => Ok(self.new_stream(agreed.name)),
            false => Err(Rejection::Post(PostRefusal::BodyDiffers)),
        }
    }

    /// Returns the specification of the stream with this key, for which `sent` goes upstream.
    fn spec(&self, key: &StreamKey, sent: Option<UnsentPost>) -> StreamSpec {
        let PostRequest { routed: RoutedRequest { route, captures, .. }, settings } = self.post;
        let Some(UnsentPost { request, charge }) = sent else { return post_spec(route, settings, PostSource::gone()) };
        let resource = route.resource(captures, &key.shared);
        let request = SourceRequest { path: resource.path, query: resource.query, ..request };
        post_spec(route, settings, PostSource::new(route.upstream.source(request), charge, settings.retry))
    }
}

/// Returns what agrees with other gateways on the streams of this route, if they share them.
pub(super) fn shared_requests<'a>(app: &'a App, route: &Route) -> Option<&'a Arc<dyn SharedRequests>> {
    app.shared_requests.as_ref().filter(|_| route.settings.stream.storage == LogStorage::Cluster)
}

/// Returns true if there is no such stream any more: what the upstream says of its streams is an answer here.
pub(super) fn is_forgotten(rejection: &Rejection) -> bool {
    matches!(rejection, Rejection::Upstream(error) if matches!(**error, OpenError::NotFound(_)))
}

/// Returns the specification of a stream of this route that a `POST` opens.
pub(super) fn post_spec(route: &Route, settings: &PostSettings, source: PostSource) -> StreamSpec {
    let attempts = match route.settings.delivery.when_down {
        _ if !source.can_open() => Attempts::Once,
        _ if settings.retry => Attempts::UntilRefused,
        WhenDown::Hold => Attempts::UntilSent,
        WhenDown::Refuse => Attempts::Once,
    };
    StreamSpec { attempts, ..stream_spec(route, Arc::new(source)) }
}

/// Returns a name for a stream.
fn new_name() -> String {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the system has random numbers");
    hex(&random)
}

/// Returns the URL of a stream, relative to the origin, with the parameters that the route shares.
fn location(target: &RequestTarget, post: &PostStream) -> HeaderValue {
    let mut query = String::new();
    for (name, value) in StreamKey::parameters(&post.key.shared) {
        percent::push_parameter(&mut query, name, value);
    }
    percent::push_parameter(&mut query, STREAM_PARAMETER, &post.name);
    let url = format!("{}?{query}", target.path.encoded());
    HeaderValue::from_str(&url).expect("a URL is visible ASCII")
}

/// The most streams that one request tries to join, while other gateways forget them.
const MAX_ATTEMPTS: usize = 3;
