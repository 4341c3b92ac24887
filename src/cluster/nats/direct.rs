//! Reads of many messages at once. Any replica answers, so the newest ones may be missing.

use async_nats::{Client, Message};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::errors::error;
use super::requests::{REQUEST_TIMEOUT, Requests, publish};
use crate::cluster::engine::{EngineError, EngineErrorKind, Stored};

/// A message of a batch, with its subject.
pub(super) type Found = (String, Stored);

/// Returns the messages whose subject matches, from a sequence on. It ends early at `MAX_TOTAL_BYTES` unless `is_whole`.
pub(super) async fn following(
    requests: &Requests,
    client: &Client,
    stream: &str,
    subject: &str,
    from: u64,
    is_whole: bool,
) -> Result<Vec<Found>, EngineError> {
    let mut found: Vec<Found> = Vec::new();
    let mut from = from.max(1);
    let mut bytes = 0;
    loop {
        let query = json!({ "seq": from, "next_by_subj": subject, "batch": BATCH, "max_bytes": BATCH_BYTES });
        let (batch, has_more) = read_batch(requests, client, stream, query).await?;
        let Some((_, last)) = batch.last() else { return Ok(found) };
        from = last.sequence + 1;
        bytes += batch.iter().map(|(_, stored)| stored.payload.len()).sum::<usize>();
        found.extend(batch);
        if !has_more || (!is_whole && bytes >= MAX_TOTAL_BYTES) {
            return Ok(found);
        }
    }
}

/// Returns the newest message of each subject that has one.
pub(super) async fn newest_of(
    requests: &Requests,
    client: &Client,
    stream: &str,
    mut subjects: Vec<String>,
) -> Result<Vec<Found>, EngineError> {
    let mut found: Vec<Found> = Vec::new();
    while !subjects.is_empty() {
        let rest = subjects.split_off(subjects.len().min(BATCH));
        let asked = std::mem::replace(&mut subjects, rest);
        let query = json!({ "multi_last": asked, "batch": BATCH, "max_bytes": BATCH_BYTES });
        let (batch, has_more) = read_batch(requests, client, stream, query).await?;
        // What did not fit is asked for again, without what came.
        if has_more && !batch.is_empty() {
            subjects.extend(asked.into_iter().filter(|subject| !batch.iter().any(|(came, _)| came == subject)));
        }
        found.extend(batch);
    }
    Ok(found)
}

/// Asks for one batch. Returns its messages, and whether more match.
async fn read_batch(
    requests: &Requests,
    client: &Client,
    stream: &str,
    query: Value,
) -> Result<(Vec<Found>, bool), EngineError> {
    let subject = format!("$JS.API.DIRECT.GET.{stream}");
    let (reply_to, mut replies) = requests.replies.many(BATCH + 1);
    let begun = Instant::now();
    let sent = publish(client, &subject, Some(reply_to.subject()), None, Bytes::from(query.to_string()));
    requests.bounded(&subject, begun, begun + REQUEST_TIMEOUT, sent).await?;
    let mut found = Vec::new();
    loop {
        let next = async {
            replies.recv().await.ok_or_else(|| error(EngineErrorKind::Disconnected, "the request was dropped"))
        };
        // The time is for each message, because a batch may be long.
        let reply = requests.bounded(&subject, begun, Instant::now() + REQUEST_TIMEOUT, next).await?;
        match reply.status.map(|status| status.as_u16()) {
            None => found.push(message_of(reply)?),
            // The end of the batch; and nothing matches.
            Some(204) => return Ok((found, number(&reply, "Nats-Num-Pending").unwrap_or(0) > 0)),
            Some(404) => return Ok((found, false)),
            Some(503) => {
                let text = format!("nothing answers {subject}: JetStream or its stream is not available");
                return Err(error(EngineErrorKind::Unavailable, text));
            }
            Some(other) => {
                let description = reply.description.unwrap_or_default();
                return Err(error(EngineErrorKind::Unexpected, format!("read records: {description} ({other})")));
            }
        }
    }
}

fn message_of(reply: Message) -> Result<Found, EngineError> {
    let sequence = number(&reply, "Nats-Sequence");
    let subject = reply.headers.as_ref().and_then(|headers| headers.get("Nats-Subject"));
    match (sequence, subject) {
        (Some(sequence), Some(subject)) => {
            let subject = subject.as_str().to_owned();
            Ok((subject, Stored { sequence, payload: reply.payload }))
        }
        _ => Err(error(EngineErrorKind::Unexpected, "a record without its sequence")),
    }
}

/// Returns a header that is a number.
pub(super) fn number(message: &Message, name: &str) -> Option<u64> {
    message.headers.as_ref()?.get(name)?.as_str().parse().ok()
}

/// Messages in a batch. The server has a limit of 1024 for the newest ones of several subjects.
const BATCH: usize = 512;

/// Bytes in a batch. Far below what a server queues for a client before it cuts it off.
const BATCH_BYTES: usize = 8 << 20;

/// Bytes after which an answer that need not be whole ends.
const MAX_TOTAL_BYTES: usize = 32 << 20;
