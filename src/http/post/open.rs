//! A `POST`: joins the stream of an equal request, or opens one.
//!
//! Gateways that share the route's streams agree on the stream first. The owner of the stream sends the request of its own
//! client, and equal requests at other gateways join the stream.

use std::sync::Arc;

use http::header::CONTENT_LOCATION;
use http::{HeaderValue, Response};

use super::post_key::{KeyParts, PostFields, PostKey, key_pair, subject};
use super::post_source::PostSource;
use super::post_streams::PostStream;
use super::request_body::{PostBody, check_head, read_body};
use super::{PostRequest, STREAM_PARAMETER, answer};
use crate::http::app::App;
use crate::http::delivery::pending_resume::HistoryRequest;
use crate::http::request::auth;
use crate::http::request::client_info::ClientInfo;
use crate::http::request::last_event_id::LastEventId;
use crate::http::request::params::SubscribeParams;
use crate::http::request::shared_values::SharedValues;
use crate::http::request::target::RequestTarget;
use crate::http::request::trace::hex;
use crate::http::response::body::AppBody;
use crate::http::response::rejection::{PostRefusal, Rejection};
use crate::http::routed_request::RoutedRequest;
use crate::http::subscribe::{AdmittedReader, deliver, longest_wait, source_headers, stream_spec};
use crate::listen::RequestBody;
use crate::route::{LogStorage, PostSettings, Route, WhenDown, percent};
use crate::stream::{
    Attempts, EventSource, OpenError, RequestOffer, SharedRequests, SourceMethod, SourceRequest, StreamKey, StreamSpec,
};

/// Responds to a `POST` with a stream, or with what its upstream answers instead.
///
/// # Errors
/// The refusal.
pub(in crate::http) async fn respond(
    post: PostRequest<'_>,
    body: &mut Option<RequestBody>,
) -> Result<Response<AppBody>, Rejection> {
    let PostRequest { routed: RoutedRequest { app, route, captures, target, request, trace }, settings } = post;
    let head = &request.head;
    check_head(request, settings)?;
    if target.query.single(STREAM_PARAMETER)?.is_some() {
        return Err(Rejection::malformed("POST opens a stream; a stream that is open is read by GET."));
    }
    let grant = auth::authorize(app, route, captures, target, request).await?;
    auth::check_origin(route, target, request, grant.as_ref())?;
    if app.tasks.draining().has_started() {
        return Err(Rejection::Draining);
    }
    let params = SubscribeParams::from_head(head, &target.query, &route.settings.replay)?;
    let shared = SharedValues::from_head(
        &route.settings.share,
        head,
        &target.query,
        grant.as_ref(),
        app.limits.load().header_bytes,
    )?;
    let fields = PostFields::from_head(head, settings)?;
    let client = ClientInfo::new(app, request, trace, grant.as_ref());
    let address = client.limited_address(app, &request.peer);
    let PostBody { bytes, charge } = read_body(body, settings, app.post_bodies.begin(address)).await?;
    let parts = KeyParts {
        route: &route.settings.name,
        path: target.path.encoded(),
        shared: &shared.key,
        fields: &fields,
        subject: subject(grant.as_ref()),
        is_public: route.authorizer.is_none(),
        body: &bytes,
    };
    let key = PostKey::new(settings, head, &parts)?;
    let has_id = params.after != LastEventId::None;
    let request_to_send = SourceRequest {
        method: SourceMethod::Post,
        headers: source_headers(fields.fields.into_iter().chain(shared.headers).collect()),
        body: bytes,
        is_idempotent: settings.retry,
        trace: source_headers(trace.headers()),
        ..SourceRequest::default()
    };
    let mut unsent = Some((request_to_send, Arc::new(charge)));
    let mut attempts = 0;
    loop {
        let new = new_stream(route, settings, captures, target, &shared.key, key.clone(), new_name());
        let joined = app.post_streams.find(&app.streams, &new.request, has_id)?;
        let new = match shared_requests(app, route).filter(|_| joined.is_none()) {
            Some(requests) => {
                let name = agree(requests, app, route, &new, has_id).await?;
                new_stream(route, settings, captures, target, &shared.key, key.clone(), name)
            }
            None => new,
        };
        let stream_key = joined.as_ref().map_or(&new.key, |post| &post.key);
        let permit = app.subscription_limits.acquire(grant.as_ref(), address, stream_key)?;
        if !app.streams.contains(stream_key) {
            app.stream_opens.acquire(address, stream_key.route.clone(), longest_wait(route)).await?;
        }
        let is_shared = shared_requests(app, route).is_some();
        // What another gateway answers with something else than a stream is asked again: for this client, it was not sent.
        let sent = if is_shared { unsent.clone() } else { unsent.take() };
        let spec = |key: &StreamKey| {
            let resource = route.resource(captures, &key.shared);
            let source = match sent {
                Some((sent, charge)) => {
                    let sent = SourceRequest { path: resource.path, query: resource.query, ..sent };
                    PostSource::new(route.upstream.source(sent), charge, settings.retry)
                }
                None => PostSource::gone(),
            };
            post_spec(route, settings, source)
        };
        let (post, subscription) = app
            .post_streams
            .join_or_open(&app.streams, new, has_id, |key| app.streams.subscribe_from(address, key, || spec(key)))?;

        let location = location(target, &post);
        let (client, grant, params) = (client.clone(), grant.clone(), params.clone());
        let admitted = AdmittedReader { app, route, target, request, client, permit, grant, params };
        let history = || HistoryRequest { source: Arc::new(PostSource::gone()), owner: None };
        attempts += 1;
        let mut response = match deliver(admitted, subscription, history).await {
            Err(rejection) if is_shared && is_forgotten(&rejection) && attempts < MAX_ATTEMPTS => continue,
            outcome => outcome.or_else(answer::pass_on)?,
        };
        if !matches!(response.body(), AppBody::Answer(_)) {
            response.headers_mut().insert(CONTENT_LOCATION, location);
        }
        return Ok(response);
    }
}

/// Returns what agrees with other gateways on the streams of this route, if they share them.
pub(super) fn shared_requests<'a>(app: &'a App, route: &Route) -> Option<&'a Arc<dyn SharedRequests>> {
    app.shared_requests.as_ref().filter(|_| route.settings.stream.storage == LogStorage::Cluster)
}

/// Agrees with the other gateways on the name of the stream of a request.
///
/// # Errors
/// They cannot agree now, or the stream was opened by a request with another body.
async fn agree(
    requests: &Arc<dyn SharedRequests>,
    app: &App,
    route: &Route,
    new: &PostStream,
    has_id: bool,
) -> Result<String, Rejection> {
    let Some(shared) = new.request.shared else { return Ok(new.name.clone()) };
    let offer = RequestOffer {
        key: shared,
        body: new.request.body,
        name: new.name.clone(),
        identity: new.key.identity,
        refused: app.post_streams.refused(&app.streams, &new.request),
        resumes: has_id,
        age: route.policy.current().retention.age,
    };
    let agreed = requests.agree(offer).await.map_err(|error| Rejection::Upstream(Arc::new(error)))?;
    match agreed.body == new.request.body {
        true => Ok(agreed.name),
        false => Err(Rejection::Post(PostRefusal::BodyDiffers)),
    }
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

/// Returns a stream that no request has opened yet.
fn new_stream(
    route: &Route,
    settings: &PostSettings,
    captures: &[(String, String)],
    target: &RequestTarget,
    shared: &[(String, String)],
    request: PostKey,
    name: String,
) -> Arc<PostStream> {
    let mut shared = shared.to_vec();
    shared.push(key_pair(settings, &name, request.subject, &request.credentials));
    let key = route.stream_key(target.path.encoded(), captures, shared);
    Arc::new(PostStream { name, key, request })
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
