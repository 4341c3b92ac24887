//! The body of a `POST` that opens a stream, read as a whole.
//!
//! Memory is charged while it arrives. A body that is too large, too slow or broken is left where it is, so that its
//! connection ends.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use tokio::time::timeout;

use super::body_limits::BodyCharge;
use crate::http::request::head::{check_expectation, check_framing, check_length};
use crate::http::response::rejection::{PostRefusal, Rejection};
use crate::listen::{IncomingRequest, RequestBody};
use crate::route::PostSettings;

/// A body and its memory.
pub(super) struct PostBody {
    pub(super) bytes: Bytes,
    pub(super) charge: BodyCharge,
}

/// Checks what the head says of the body.
///
/// # Errors
/// The refusal, if the head is ambiguous or announces a body that is too large.
pub(super) fn check_head(request: &IncomingRequest, settings: &PostSettings) -> Result<(), Rejection> {
    check_framing(request)?;
    check_expectation(&request.head)?;
    check_length(&request.head, settings.body_bytes as u64, BODY_KEY)
}

/// Reads the body into the memory of `charge`. Takes it once it has arrived.
///
/// # Errors
/// The refusal, if it is too large, too slow or broken, or there is no memory for it.
pub(super) async fn read_body(
    body: &mut Option<RequestBody>,
    settings: &PostSettings,
    mut charge: BodyCharge,
) -> Result<PostBody, Rejection> {
    let mut bytes = BytesMut::new();
    if let Some(incoming) = body {
        let read = read_to_end(incoming, settings, &mut bytes, &mut charge);
        timeout(settings.body_timeout, read).await.unwrap_or(Err(Rejection::Post(PostRefusal::BodyTimeout)))?;
    }
    *body = None;
    Ok(PostBody { bytes: bytes.freeze(), charge })
}

async fn read_to_end(
    incoming: &mut RequestBody,
    settings: &PostSettings,
    bytes: &mut BytesMut,
    charge: &mut BodyCharge,
) -> Result<(), Rejection> {
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx)).await {
        let frame = frame.map_err(|_| Rejection::malformed("The body is incomplete or malformed."))?;
        // Trailers say nothing about the stream.
        let Ok(piece) = frame.into_data() else { continue };
        if bytes.len() + piece.len() > settings.body_bytes {
            return Err(too_large(settings));
        }
        bytes.extend_from_slice(&piece);
        charge.resize(bytes.capacity())?;
    }
    Ok(())
}

fn too_large(settings: &PostSettings) -> Rejection {
    Rejection::BodyTooLarge { max: settings.body_bytes as u64, key: BODY_KEY }
}

/// The key of the bound on a body.
const BODY_KEY: &str = "post.body_bytes";
