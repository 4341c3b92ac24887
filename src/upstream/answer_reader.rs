//! Reads the content of an answer that is no event stream, for the clients that wait for it.
//!
//! Reads in a task of its own, since the stream that asked ends with the answer. The task ends with the content, with the
//! last client that holds it, or when nothing arrives.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use tokio::time::timeout;

use super::connection::UpstreamExchange;
use crate::runtime::tasks::Tasks;
use crate::stream::{AnswerContent, BrokenAnswer, SourceHeader};

/// Starts to read the content of `exchange`. Waits for its beginning, which a client may be told in an event: for
/// [`BEGINNING_BYTES`] or the end, at most [`BEGINNING_TIME`].
pub(super) async fn read_answer(exchange: UpstreamExchange, tasks: &Tasks) -> Arc<AnswerContent> {
    let content = AnswerContent::new(fields(exchange.response.headers()));
    let read = read(exchange, Arc::downgrade(&content));
    tasks.spawn("upstream answer", read);
    let _ = timeout(BEGINNING_TIME, content.arrived(BEGINNING_BYTES)).await;
    content
}

async fn read(mut exchange: UpstreamExchange, content: Weak<AnswerContent>) {
    loop {
        let piece = timeout(IDLE_TIMEOUT, poll_fn(|cx| exchange.poll_data(cx))).await;
        let Some(content) = content.upgrade() else { return };
        match piece {
            Ok(Some(Ok(piece))) => {
                if !content.push(piece) {
                    return;
                }
            }
            Ok(None) => return content.end(Ok(())),
            Ok(Some(Err(_))) | Err(_) => return content.end(Err(BrokenAnswer)),
        }
    }
}

/// Returns the fields that the clients get.
fn fields(headers: &HeaderMap) -> Vec<SourceHeader> {
    let passed = [CONTENT_TYPE, CONTENT_ENCODING, RETRY_AFTER];
    let field = |name: http::HeaderName| {
        let value = headers.get(&name)?.as_bytes().to_vec();
        Some(SourceHeader { name: name.as_str().to_owned(), value })
    };
    passed.into_iter().filter_map(field).collect()
}

/// Bytes of the beginning.
const BEGINNING_BYTES: usize = 64 * 1024;

/// Longest wait for the beginning.
const BEGINNING_TIME: Duration = Duration::from_secs(1);

/// Time without a byte after which an answer counts as broken.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
