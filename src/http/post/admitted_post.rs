//! A `POST` that may open a stream: its client, its parameters, and the request that is sent upstream for it.
//!
//! Everything that can refuse it is checked here, but limits and the upstream. Finding and opening streams is another step.

use std::net::IpAddr;
use std::sync::Arc;

use super::body_limits::BodyCharge;
use super::post_key::{KeyParts, PostFields, PostKey, key_pair, subject};
use super::post_streams::PostStream;
use super::request_body::{PostBody, check_head, read_body};
use super::{PostRequest, STREAM_PARAMETER};
use crate::auth::Grant;
use crate::http::request::auth;
use crate::http::request::client_info::ClientInfo;
use crate::http::request::last_event_id::LastEventId;
use crate::http::request::params::SubscribeParams;
use crate::http::request::shared_values::SharedValues;
use crate::http::response::rejection::Rejection;
use crate::http::routed_request::RoutedRequest;
use crate::http::subscribe::source_headers;
use crate::listen::RequestBody;
use crate::stream::{OpeningRequest, SourceMethod, SourceRequest};

/// A `POST` that its route admits.
pub(super) struct AdmittedPost<'r> {
    pub(super) post: PostRequest<'r>,
    pub(super) key: PostKey,
    pub(super) params: SubscribeParams,
    pub(super) grant: Option<Grant>,
    pub(super) client: ClientInfo,
    /// The address that its stream and its subscription count for, if any.
    pub(super) address: Option<IpAddr>,
    /// The values that the route shares.
    shared: Vec<(String, String)>,
}

/// The request that is sent upstream if the `POST` opens a stream.
#[derive(Clone)]
pub(super) struct UnsentPost {
    pub(super) request: SourceRequest,
    /// The memory of the body.
    pub(super) charge: Arc<BodyCharge>,
}

impl<'r> AdmittedPost<'r> {
    /// Checks the request, and reads its body.
    ///
    /// # Errors
    /// The refusal.
    pub(super) async fn read(
        post: PostRequest<'r>,
        body: &mut Option<RequestBody>,
    ) -> Result<(Self, UnsentPost), Rejection> {
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
        let max = app.limits.load().header_bytes;
        let shared = SharedValues::from_head(&route.settings.share, head, &target.query, grant.as_ref(), max)?;
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
        let request = SourceRequest {
            method: SourceMethod::Post,
            headers: source_headers(fields.fields.into_iter().chain(shared.headers).collect()),
            body: bytes,
            is_idempotent: settings.retry,
            trace: source_headers(trace.headers()),
            ..SourceRequest::default()
        };
        let admitted = Self { post, key, params, grant, client, address, shared: shared.key };
        Ok((admitted, UnsentPost { request, charge: Arc::new(charge) }))
    }

    /// Returns true if the request goes on after an event that its client has.
    pub(super) fn resumes(&self) -> bool {
        self.params.after != LastEventId::None
    }

    /// Returns a stream that no request has opened yet. The salt is random.
    pub(super) fn new_stream(&self, salt: [u8; 16]) -> Arc<PostStream> {
        self.named_stream(self.key.stream_name(&salt), self.key.opening_request(salt))
    }

    /// Returns the stream with this name. The store has it under `stored`, if at all.
    pub(super) fn named_stream(&self, name: String, stored: Option<OpeningRequest>) -> Arc<PostStream> {
        let PostRequest { routed: RoutedRequest { route, captures, target, .. }, settings } = self.post;
        let mut shared = self.shared.clone();
        shared.push(key_pair(settings, &name, self.key.subject, &self.key.credentials));
        let key = route.stream_key(target.path.encoded(), captures, shared);
        Arc::new(PostStream { name, key, request: self.key.clone(), stored })
    }
}
