//! A `POST`: joins the stream of an equal request, or opens one.
//!
//! The stream is looked for among those that are open, and then in the store. Gateways that share the route's streams agree
//! on the stream first. The owner of the stream sends the request of its own client, and equal requests at other gateways
//! join the stream.

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
use crate::http::response::body::AppBody;
use crate::http::response::rejection::{PostRefusal, Rejection};
use crate::http::routed_request::RoutedRequest;
use crate::http::subscribe::{AdmittedReader, deliver, longest_wait, stream_spec};
use crate::listen::RequestBody;
use crate::route::{LogStorage, PostSettings, Route, WhenDown, percent};
use crate::stream::{
    Attempts, EventSource, OpenError, RequestOffer, SharedRequests, SourceRequest, StoredRequest, StreamKey, StreamSpec,
};

/// Responds to a `POST` with a stream, or with what its upstream answers instead.
///
/// # Errors
/// The refusal.
pub(in crate::http) async fn respond(
    post: PostRequest<'_>,
    body: &mut Option<RequestBody>,
) -> Result<Response<AppBody>, Rejection> {
    let (admitted, unsent) = AdmittedPost::read(post, body).await?;
    let mut unsent = Some(unsent);
    let mut attempts = 0;
    loop {
        attempts += 1;
        match admitted.join_or_open(&mut unsent, attempts).await {
            Err(rejection) if unsent.is_some() && is_forgotten(&rejection) && attempts < MAX_ATTEMPTS => {}
            outcome => return outcome.or_else(answer::pass_on),
        }
    }
}

/// The stream that a request opens, unless one is open that it joins.
struct ChosenStream {
    stream: Arc<PostStream>,
    /// The store has all that there is of it, so nothing is sent for it.
    is_past: bool,
}

impl AdmittedPost<'_> {
    /// Responds with the stream of an equal request, or with a new one, for which the request goes upstream. Leaves it if it
    /// is not sent, or may have to be sent after all.
    ///
    /// # Errors
    /// The refusal.
    async fn join_or_open(
        &self,
        unsent: &mut Option<UnsentPost>,
        attempt: usize,
    ) -> Result<Response<AppBody>, Rejection> {
        let RoutedRequest { app, route, target, request, .. } = self.post.routed;
        let joined = app.post_streams.find(&app.streams, &self.key, self.resumes())?;
        let ChosenStream { stream: chosen, is_past } = match joined {
            Some(_) => ChosenStream::new(self.new_stream(new_salt())),
            None => self.choose(attempt).await?,
        };
        let key = joined.as_ref().map_or(&chosen.key, |post| &post.key);
        let permit = app.subscription_limits.acquire(self.grant.as_ref(), self.address, key)?;
        if !app.streams.contains(key) {
            app.stream_opens.acquire(self.address, key.route.clone(), longest_wait(route)).await?;
        }
        let sent = match shared_requests(app, route) {
            _ if is_past => None,
            // What another gateway answers with something else than a stream is asked again: for this client, it was not sent.
            Some(_) => unsent.clone(),
            None => unsent.take(),
        };
        let (post, subscription) = app.post_streams.join_or_open(&app.streams, chosen, self.resumes(), |post| {
            app.streams.subscribe_from(self.address, &post.key, || self.spec(post, sent))
        })?;

        let (client, grant, params) = (self.client.clone(), self.grant.clone(), self.params.clone());
        let may_send = !is_past;
        let reader = AdmittedReader { app, route, target, request, client, permit, grant, params, may_send };
        let history = || HistoryRequest { source: Arc::new(PostSource::gone()), owner: None };
        let mut response = deliver(reader, subscription, history).await?;
        response.headers_mut().insert(CONTENT_LOCATION, location(target, &post));
        Ok(response)
    }

    /// Returns the stream that this request opens, which an equal one may have opened before.
    ///
    /// # Errors
    /// The other gateways cannot agree now, or the stream was opened by a request with another body.
    async fn choose(&self, attempt: usize) -> Result<ChosenStream, Rejection> {
        let stored = match attempt {
            FIRST_ATTEMPT => self.find_stored().await?,
            // It is gone from there.
            _ => None,
        };
        match stored {
            Some(stored) => Ok(stored),
            None => self.agree_on(self.new_stream(new_salt())).await.map(ChosenStream::new),
        }
    }

    /// Returns the stored stream that an equal request opened in an earlier process, or that is not open any more, if this
    /// request joins it.
    ///
    /// # Errors
    /// The stream was opened by a request with another body.
    async fn find_stored(&self) -> Result<Option<ChosenStream>, Rejection> {
        let PostRequest { routed: RoutedRequest { app, route, .. }, settings } = self.post;
        let requests = app.stored_requests.as_ref().filter(|_| route.settings.stream.storage == LogStorage::Disk);
        let Some((requests, key)) = requests.zip(self.key.stored_key()) else { return Ok(None) };
        let Some(StoredRequest { request, identity, is_complete }) = requests.find(key).await else { return Ok(None) };
        let stream = self.new_stream(request.salt);
        // The answer of another upstream is not this request's.
        if stream.key.identity != identity || !(is_complete || self.resumes()) {
            return Ok(None);
        }
        match stream.stored == Some(request) {
            true => Ok(Some(ChosenStream { stream, is_past: is_complete || !settings.retry })),
            false => Err(Rejection::Post(PostRefusal::BodyDiffers)),
        }
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
            true => Ok(self.named_stream(agreed.name, None)),
            false => Err(Rejection::Post(PostRefusal::BodyDiffers)),
        }
    }

    /// Returns the specification of a stream for which `sent` goes upstream.
    fn spec(&self, post: &PostStream, sent: Option<UnsentPost>) -> StreamSpec {
        let PostRequest { routed: RoutedRequest { route, captures, .. }, settings } = self.post;
        let source = match sent {
            Some(UnsentPost { request, charge }) => {
                let resource = route.resource(captures, &post.key.shared);
                let request = SourceRequest { path: resource.path, query: resource.query, ..request };
                PostSource::new(route.upstream.source(request), charge, settings.retry)
            }
            None => PostSource::gone(),
        };
        StreamSpec { request: post.stored, ..post_spec(route, settings, source) }
    }
}

impl ChosenStream {
    /// Chooses a stream for which the request goes upstream.
    fn new(stream: Arc<PostStream>) -> Self {
        Self { stream, is_past: false }
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

/// Returns the random part of a stream's name.
fn new_salt() -> [u8; 16] {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the system has random numbers");
    random
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

const FIRST_ATTEMPT: usize = 1;

/// The most streams that one request tries to join, while other gateways, or the store, forget them.
const MAX_ATTEMPTS: usize = 3;
