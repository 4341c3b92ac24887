//! The response to a `POST` that its upstream did not answer with an event stream: the upstream's answer as it is.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, HeaderName};
use http::{HeaderValue, Response, StatusCode};

use crate::http::response::body::AppBody;
use crate::http::response::rejection::Rejection;
use crate::stream::{OpenError, SourceAnswer};

/// Returns the response if a stream was refused because its upstream answered something else. Otherwise the refusal.
///
/// # Errors
/// Any other refusal.
pub(super) fn pass_on(rejection: Rejection) -> Result<Response<AppBody>, Rejection> {
    let Rejection::Upstream(error) = &rejection else { return Err(rejection) };
    let OpenError::Answered(answer) = &**error else { return Err(rejection) };
    response(answer).ok_or(rejection)
}

fn response(answer: &SourceAnswer) -> Option<Response<AppBody>> {
    let content = answer.content.as_ref()?;
    let mut response = Response::new(AppBody::Answer(Box::pin(Arc::clone(content).read())));
    *response.status_mut() = StatusCode::from_u16(answer.status).ok()?;
    let headers = response.headers_mut();
    for field in &content.fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        headers.insert(name, HeaderValue::from_bytes(&field.value).ok()?);
    }
    // It was made for one request, whatever the upstream says.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}
