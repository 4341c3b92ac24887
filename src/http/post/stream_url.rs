//! The URL of a stream that a `POST` opened: `GET` reads it, `DELETE` stops it.
//!
//! The key of a stream is made of its name, its opener's subject and the credentials that it was opened with, so a client
//! that has others names a stream that does not exist.

use std::sync::Arc;

use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, Response, StatusCode};

use super::open::{is_forgotten, post_spec};
use super::post_key::{PostFields, key_pair, subject};
use super::post_source::PostSource;
use super::stops::{opened_here, stop_anywhere};
use super::{PostRequest, STREAM_PARAMETER};
use crate::http::delivery::pending_resume::HistoryRequest;
use crate::http::request::auth;
use crate::http::request::client_info::ClientInfo;
use crate::http::request::params::SubscribeParams;
use crate::http::request::query::Query;
use crate::http::request::shared_values::SharedValues;
use crate::http::response::body::AppBody;
use crate::http::response::rejection::{PostRefusal, Rejection};
use crate::http::routed_request::RoutedRequest;
use crate::http::subscribe::{AdmittedReader, deliver, longest_wait, respond_to_head};
use crate::route::{LogStorage, PostKeySource, Start};
use crate::stream::{StopOutcome, StopRequest};

/// Whether a request is for the URL of a stream.
pub(in crate::http) fn is_stream_url(query: &Query) -> bool {
    !matches!(query.single(STREAM_PARAMETER), Ok(None))
}

/// Responds to `GET` and `HEAD` with the stream that the URL names.
///
/// # Errors
/// The refusal; 404 if the client has no such stream.
pub(in crate::http) async fn read(post: PostRequest<'_>) -> Result<Response<AppBody>, Rejection> {
    let PostRequest { routed: RoutedRequest { app, route, captures, target, request, trace }, settings } = post;
    let head = &request.head;
    let name = target.query.single(STREAM_PARAMETER)?.ok_or(Rejection::Post(PostRefusal::NoStream))?;
    let grant = auth::authorize(app, route, captures, target, request).await?;
    if app.tasks.draining().has_started() && !request.peer.has_successor {
        return Err(Rejection::Draining);
    }
    if head.method == Method::HEAD {
        return Ok(respond_to_head(route, head));
    }
    let mut params = SubscribeParams::from_head(head, &target.query, &route.settings.replay)?;
    params.start = Start::Oldest;
    let max = app.limits.load().header_bytes;
    let mut shared = SharedValues::from_head(&route.settings.share, head, &target.query, grant.as_ref(), max)?.key;
    let fields = PostFields::from_head(head, settings)?;
    shared.push(key_pair(settings, &name, subject(grant.as_ref()), &fields.credentials));
    let key = route.stream_key(target.path.encoded(), captures, shared);
    let may_be_stored = match route.settings.stream.storage {
        LogStorage::Disk | LogStorage::Cluster => true,
        LogStorage::Memory => false,
    };
    if !app.streams.contains(&key) && !may_be_stored {
        return Err(Rejection::Post(PostRefusal::NoStream));
    }
    let client = ClientInfo::new(app, request, trace, grant.as_ref());
    let address = client.limited_address(app, &request.peer);
    let permit = app.subscription_limits.acquire(grant.as_ref(), address, &key)?;
    if !app.streams.contains(&key) {
        app.stream_opens.acquire(address, key.route.clone(), longest_wait(route)).await?;
    }
    // The log of an earlier process may be on disk, and that of another gateway in the engine. Its request is not here, so
    // nothing is sent upstream.
    let spec = || post_spec(route, settings, PostSource::gone());
    let subscription = app.streams.subscribe_from(address, &key, spec)?;
    let admitted = AdmittedReader { app, route, target, request, client, permit, grant, params, may_send: false };
    let history = || HistoryRequest { source: Arc::new(PostSource::gone()), owner: None };
    deliver(admitted, subscription, history).await.map_err(|rejection| match is_forgotten(&rejection) {
        true => Rejection::Post(PostRefusal::NoStream),
        false => rejection,
    })
}

/// Responds to `DELETE`: ends the stream that the URL names, for its opener.
///
/// # Errors
/// The refusal; 404 if there is no such stream, 403 if another client opened it.
pub(in crate::http) async fn stop(post: PostRequest<'_>) -> Result<Response<AppBody>, Rejection> {
    let PostRequest { routed: RoutedRequest { app, route, captures, target, request, .. }, settings } = post;
    let grant = auth::authorize(app, route, captures, target, request).await?;
    auth::check_origin(route, target, request, grant.as_ref())?;
    let name = target.query.single(STREAM_PARAMETER)?.ok_or(Rejection::Post(PostRefusal::NoStream))?;
    let request = StopRequest {
        name: name.into_owned(),
        route: route.settings.name.clone(),
        path: target.path.encoded().to_owned(),
        subject: subject(grant.as_ref()),
    };
    // Whoever knows the name of a stream that nobody shares has opened it.
    let may_be_opener = request.subject.is_some() || settings.key == PostKeySource::Each;
    let outcome = match may_be_opener {
        true => stop_anywhere(app, route, request).await,
        false => opened_here(app, &request).map(|_| StopOutcome::NotOpener),
    };
    match outcome {
        Some(StopOutcome::Stopped) => {}
        Some(StopOutcome::NotOpener) => return Err(Rejection::Post(PostRefusal::NotOpener)),
        None => return Err(Rejection::Post(PostRefusal::NoStream)),
    }
    let mut response = Response::new(AppBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
