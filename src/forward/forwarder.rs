//! A request to a response, over the origins of the upstream.
//!
//! A request goes to the next origin only if the one before could not be connected to, so none is ever sent twice: hyper
//! repeats one itself only if a pooled connection was closed before its first byte.

use std::error::Error;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy;
use tokio::time::{Instant, sleep_until};

use super::clients::Clients;
use super::connector::ConnectFailed;
use super::forward_error::ForwardError;
use super::origins::Origins;
use super::settings::{ForwardSettings, HostField};
use super::upload::{Upload, UploadState};
use crate::listen::RequestBody;
use crate::runtime::connect_budget::ConnectBudget;
use crate::telemetry::ForwardMetrics;
use crate::upstream::{Origin, error_chain};

/// Forwards the requests of one route.
#[derive(Debug)]
pub struct Forwarder {
    settings: Arc<ForwardSettings>,
    origins: Origins,
    clients: Clients,
}

/// A request that is to be forwarded.
pub struct ForwardRequest<'r> {
    /// The method.
    pub method: Method,
    /// The path in its canonical form, encoded.
    pub path: &'r str,
    /// The query as the client wrote it.
    pub query: Option<&'r str>,
    /// The fields that are passed on, and those that the gateway has written.
    pub headers: HeaderMap,
    /// Host and port as the client wrote them; empty if it did not.
    pub authority: &'r str,
    /// The body; `None` if it is empty.
    pub body: Option<RequestBody>,
}

/// The outcome of an attempt that brought no response.
enum Failure {
    /// Nothing was sent.
    NotConnected(String),
    Final(ForwardError),
}

impl Forwarder {
    /// Creates the forwarder of a route. It connects within `budget`.
    pub fn new(settings: Arc<ForwardSettings>, budget: &ConnectBudget) -> Self {
        let origins = Origins::new(settings.upstream.origins.len());
        let clients = Clients::new(settings.upstream.clone(), budget.clone());
        Self { settings, origins, clients }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &ForwardSettings {
        &self.settings
    }

    /// Closes the connections that no exchange uses.
    pub fn close_idle(&self) {
        self.clients.close_idle();
    }

    /// Sends a request and returns the response, whose body is still to be read. Dropping the future ends the exchange.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub async fn send(
        &self,
        mut request: ForwardRequest<'_>,
        metrics: &Arc<ForwardMetrics>,
    ) -> Result<Response<Incoming>, ForwardError> {
        let settings = &self.settings;
        let upload = UploadState::new(request.body.take(), settings.body_bytes, settings.idle_timeout, metrics.clone());
        self.add_upstream_fields(&mut request.headers).await;
        let mut reason = String::new();
        for index in self.origins.order() {
            let attempt = self.request(&settings.upstream.origins[index], &request, &upload)?;
            match self.attempt(attempt, &upload).await {
                Ok(response) => {
                    self.origins.note_answered(index);
                    return Ok(response);
                }
                Err(Failure::NotConnected(why)) => {
                    self.origins.note_failed(index);
                    reason = why;
                }
                Err(Failure::Final(error)) => return Err(error),
            }
        }
        Err(ForwardError::Unreachable(reason))
    }

    /// Adds the upstream's own headers and token.
    async fn add_upstream_fields(&self, headers: &mut HeaderMap) {
        let upstream = &self.settings.upstream;
        for (name, value) in &upstream.headers {
            headers.insert(name, value.clone());
        }
        if let Some(token) = &upstream.token {
            headers.insert(AUTHORIZATION, token.authorization(&upstream.name).await);
        }
    }

    fn request(
        &self,
        origin: &Origin,
        request: &ForwardRequest<'_>,
        upload: &Arc<UploadState>,
    ) -> Result<Request<Upload>, ForwardError> {
        let body = upload.attempt();
        let mut sent = Request::new(body);
        *sent.method_mut() = request.method.clone();
        *sent.version_mut() = Version::HTTP_11;
        *sent.uri_mut() = uri(origin, request.path, request.query)
            .ok_or_else(|| ForwardError::InvalidResponse("the request's query is no part of a URL".to_owned()))?;
        let host = match self.settings.host {
            HostField::Keep if !request.authority.is_empty() => request.authority,
            HostField::Keep | HostField::Upstream => origin.authority.as_str(),
        };
        *sent.headers_mut() = request.headers.clone();
        if !request.headers.contains_key(HOST) {
            let host = HeaderValue::from_str(host).expect("an authority is visible ASCII");
            sent.headers_mut().insert(HOST, host);
        }
        // hyper sends no body with GET unless it is told to.
        if !sent.body().is_end_stream() && !sent.headers().contains_key(CONTENT_LENGTH) {
            sent.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Ok(sent)
    }

    async fn attempt(&self, request: Request<Upload>, upload: &UploadState) -> Result<Response<Incoming>, Failure> {
        let timeout = self.settings.response_timeout;
        let mut exchange = self.clients.of_this_worker().request(request);
        loop {
            let check = upload.upstream_silent_since().unwrap_or_else(Instant::now) + timeout;
            tokio::select! {
                outcome = &mut exchange => return outcome.map_err(|error| failure(&error, upload)),
                () = sleep_until(check) => {
                    if upload.upstream_silent_since().is_some_and(|since| since.elapsed() >= timeout) {
                        return Err(Failure::Final(ForwardError::TimedOut));
                    }
                }
            }
        }
    }
}

/// Returns the URL of a request to an origin.
fn uri(origin: &Origin, path: &str, query: Option<&str>) -> Option<Uri> {
    let mut target = format!("{}{path}", origin.base);
    let queries = [Some(origin.query.as_str()).filter(|query| !query.is_empty()), query];
    for (index, query) in queries.into_iter().flatten().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(query);
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(origin.scheme.clone());
    parts.authority = Some(origin.authority.clone());
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

fn failure(error: &legacy::Error, upload: &UploadState) -> Failure {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut is_malformed = false;
    while let Some(inner) = cause {
        if let Some(ConnectFailed(reason)) = inner.downcast_ref() {
            return Failure::NotConnected(reason.clone());
        }
        is_malformed |= inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
        cause = inner.source();
    }
    Failure::Final(match upload.fault() {
        Some(fault) => fault,
        None if is_malformed => ForwardError::InvalidResponse(error_chain(error)),
        None => ForwardError::Closed(error_chain(error)),
    })
}
