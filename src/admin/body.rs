//! Reading of request bodies, bounded in size and time.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::reply::{Body, problem};

/// Reads a request's body of at most `most` bytes.
pub(super) async fn read_body<B>(request: Request<B>, most: usize) -> Result<Bytes, Response<Body>>
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match timeout(BODY_TIMEOUT, Limited::new(request.into_body(), most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let words = format!("the body is too large: at most {} KiB", most / 1024);
            Err(problem(StatusCode::PAYLOAD_TOO_LARGE, &words))
        }
        Ok(Err(_)) => Err(problem(StatusCode::BAD_REQUEST, "the body is incomplete")),
        Err(_) => Err(problem(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

/// The longest time that a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
