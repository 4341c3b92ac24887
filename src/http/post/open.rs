//! A `POST`: joins the stream of an equal request, or opens one.

use std::sync::Arc;

use http::header::CONTENT_LOCATION;
use http::{HeaderValue, Response};

use super::post_key::{KeyParts, PostFields, PostKey, key_pair, subject};
use super::post_source::PostSource;
use super::post_streams::PostStream;
use super::request_body::{PostBody, check_head, read_body};
use super::{PostRequest, STREAM_PARAMETER, answer};
use crate::http::delivery::pending_resume::HistoryRequest;
use crate::http::request::auth;
use crate::http::request::client_info::ClientInfo;
use crate::http::request::last_event_id::LastEventId;
use crate::http::request::params::SubscribeParams;
use crate::http::request::shared_values::SharedValues;
use crate::http::request::target::RequestTarget;
use crate::http::request::trace::hex;
use crate::http::response::body::AppBody;
use crate::http::response::rejection::Rejection;
use crate::http::subscribe::{AdmittedReader, deliver, longest_wait, source_headers, stream_spec};
use crate::listen::RequestBody;
use crate::route::{PostSettings, Route, WhenDown, percent};
use crate::stream::{Attempts, SourceMethod, SourceRequest, StreamKey, StreamSpec};

/// Responds to a `POST` with a stream, or with what its upstream answers instead.
///
/// # Errors
/// The refusal.
pub(in crate::http) async fn respond(
    post: PostRequest<'_>,
    body: &mut Option<RequestBody>,
) -> Result<Response<AppBody>, Rejection> {
    let PostRequest { app, route, settings, captures, target, request, trace } = post;
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
    let new = new_stream(route, settings, captures, target, &shared.key, key);
    let joined = app.post_streams.find(&app.streams, &new.request, has_id)?;

    let key = joined.as_ref().map_or(&new.key, |post| &post.key);
    let permit = app.subscription_limits.acquire(grant.as_ref(), address, key)?;
    if joined.is_none() {
        app.stream_opens.acquire(address, key.route.clone(), longest_wait(route)).await?;
    }
    let spec = |key: &StreamKey| {
        let resource = route.resource(captures, &key.shared);
        let source = route.upstream.source(SourceRequest {
            method: SourceMethod::Post,
            path: resource.path,
            query: resource.query,
            headers: source_headers(fields.fields.into_iter().chain(shared.headers).collect()),
            body: bytes,
            is_idempotent: settings.retry,
            trace: source_headers(trace.headers()),
        });
        post_spec(route, settings, PostSource::new(source, charge, settings.retry))
    };
    let (post, subscription) = app
        .post_streams
        .join_or_open(&app.streams, new, has_id, |key| app.streams.subscribe_from(address, key, || spec(key)))?;

    let location = location(target, &post);
    let admitted = AdmittedReader { app, route, target, request, client, permit, grant, params };
    let history = || HistoryRequest { source: Arc::new(PostSource::gone()), owner: None };
    let mut response = deliver(admitted, subscription, history).await.or_else(answer::pass_on)?;
    if !matches!(response.body(), AppBody::Answer(_)) {
        response.headers_mut().insert(CONTENT_LOCATION, location);
    }
    Ok(response)
}

/// Returns the specification of a stream of this route that a `POST` opens.
pub(super) fn post_spec(route: &Route, settings: &PostSettings, source: PostSource) -> StreamSpec {
    let attempts = match route.settings.delivery.when_down {
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
) -> Arc<PostStream> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the system has random numbers");
    let name = hex(&random);
    let mut shared = shared.to_vec();
    shared.push(key_pair(settings, &name, request.subject, &request.credentials));
    let key = route.stream_key(target.path.encoded(), captures, shared);
    Arc::new(PostStream { name, key, request })
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
