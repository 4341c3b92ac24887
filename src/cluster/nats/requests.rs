//! Requests to NATS: each ends within `REQUEST_TIMEOUT`.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, StatusCode, Subscriber};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::errors::{ApiError, error};
use super::replies::Replies;
use crate::cluster::engine::{AppendError, EngineError, EngineErrorKind, EngineState, Stored};

/// The connection, once there was one, and what waits for replies.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) client: OnceLock<Client>,
    pub(super) replies: Replies,
    pub(super) state: watch::Sender<EngineState>,
    /// The subject that nobody listens to: its answer comes after everything that was said before.
    nobody: String,
    /// The newest refusals by missing permissions. Locked for a look, never across an await.
    denials: Mutex<VecDeque<(Instant, String)>>,
}

/// An answer of JetStream: an error or a value.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer<T> {
    Error { error: ApiError },
    Value(T),
}

/// The acknowledgement of a stored message.
#[derive(Deserialize)]
struct Acknowledged {
    seq: u64,
}

/// A message as the leader of a stream returns it.
#[derive(Deserialize)]
struct Read {
    message: ReadMessage,
}

#[derive(Deserialize)]
struct ReadMessage {
    seq: u64,
    #[serde(default)]
    data: String,
}

/// The failure of one request.
#[derive(Debug)]
pub(super) enum RequestError {
    /// JetStream answered with an error.
    Api(ApiError),
    /// There is no answer.
    Engine(EngineError),
}

impl Requests {
    pub(super) fn new(replies: Replies, nobody: String) -> Self {
        Self {
            client: OnceLock::new(),
            replies,
            state: watch::Sender::new(EngineState::default()),
            nobody,
            denials: Mutex::default(),
        }
    }

    /// Returns the client while it is connected. What is given to it otherwise would be sent much later.
    pub(super) fn connected(&self) -> Result<&Client, EngineError> {
        let state = self.state.borrow();
        match self.client.get() {
            Some(client) if state.is_connected => Ok(client),
            _ => Err(state.error.clone().unwrap_or_else(|| error(EngineErrorKind::Disconnected, "not connected yet"))),
        }
    }

    /// Notes a usable connection, if it is still up. Returns false if it was usable before.
    pub(super) fn connected_now(&self, is_up: impl Fn() -> bool) -> bool {
        self.state.send_if_modified(|state| {
            let is_new = !state.is_connected && is_up();
            if is_new {
                *state = EngineState { is_connected: true, connections: state.connections + 1, error: None };
            }
            is_new
        })
    }

    /// Notes that there is no usable connection, and why. Logs each kind of reason once.
    pub(super) fn disconnected(&self, failed: EngineError) {
        let mut is_logged = false;
        self.state.send_if_modified(|state| {
            is_logged = state.is_connected || state.error.as_ref().is_none_or(|known| known.kind != failed.kind);
            let is_new = is_logged || state.error.as_ref() != Some(&failed);
            state.is_connected = false;
            state.error = Some(failed.clone());
            is_new
        });
        if is_logged {
            warn!(error = %failed, "the cluster's engine cannot be used");
        }
    }

    /// Notes that the engine refused something for want of a permission.
    pub(super) fn note_denial(&self, text: &str) {
        let mut denials = self.denials.lock();
        if denials.len() == MAX_DENIALS {
            denials.pop_front();
        }
        denials.push_back((Instant::now(), text.to_owned()));
    }

    /// Returns the refusal of `subject` since `since`, if there was one.
    pub(super) fn denial(&self, subject: &str, since: Instant) -> Option<EngineError> {
        let denials = self.denials.lock();
        let (_, text) = denials.iter().rev().find(|(at, text)| *at >= since && text.contains(subject))?;
        Some(error(EngineErrorKind::Denied, text))
    }

    /// Sends a message and returns the first reply.
    pub(super) async fn request(
        &self,
        client: &Client,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
        wait: Duration,
    ) -> Result<Message, EngineError> {
        let begun = Instant::now();
        let (reply_to, reply) = self.replies.one();
        let answer = async {
            publish(client, subject, Some(reply_to.subject()), headers, payload).await?;
            reply.await.map_err(|_| error(EngineErrorKind::Disconnected, "the request was dropped"))
        };
        self.bounded(subject, begun, begun + wait, answer).await
    }

    /// Ends at `deadline`, with the reason if it is known.
    pub(super) async fn bounded<T>(
        &self,
        subject: &str,
        begun: Instant,
        deadline: Instant,
        answer: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        timeout_at(deadline, answer).await.unwrap_or_else(|_| {
            Err(self.denial(subject, begun).unwrap_or_else(|| {
                let waited = begun.elapsed().as_secs_f32();
                error(EngineErrorKind::TimedOut, format!("no answer to {subject} within {waited:.1} s"))
            }))
        })
    }

    /// Asks JetStream. `subject` is without the prefix.
    pub(super) async fn api<T: DeserializeOwned>(
        &self,
        client: &Client,
        subject: &str,
        payload: Bytes,
    ) -> Result<T, RequestError> {
        let subject = format!("$JS.API.{subject}");
        let reply = self.request(client, &subject, None, payload, REQUEST_TIMEOUT).await?;
        parse(&subject, &reply)
    }

    /// Stores a message and returns its sequence.
    pub(super) async fn store(
        &self,
        client: &Client,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, AppendError> {
        let reply = self.request(client, subject, Some(headers), payload, REQUEST_TIMEOUT).await?;
        match parse::<Acknowledged>(subject, &reply) {
            Ok(acknowledged) => Ok(acknowledged.seq),
            Err(RequestError::Api(api)) => Err(api.into_append_error()),
            Err(RequestError::Engine(error)) => Err(error.into()),
        }
    }

    /// Returns the newest message with a subject, as the leader of the stream has it.
    pub(super) async fn newest(
        &self,
        client: &Client,
        stream: &str,
        subject: &str,
    ) -> Result<Option<Stored>, EngineError> {
        let payload = serde_json::json!({ "last_by_subj": subject }).to_string();
        let read: Read = match self.api(client, &format!("STREAM.MSG.GET.{stream}"), payload.into()).await {
            Ok(read) => read,
            Err(RequestError::Api(api)) if api.is_no_message() => return Ok(None),
            Err(other) => return Err(other.into_error("read the newest record")),
        };
        let payload = BASE64_STANDARD
            .decode(&read.message.data)
            .map_err(|_| error(EngineErrorKind::Unexpected, "a record is not in Base64"))?;
        Ok(Some(Stored { sequence: read.message.seq, payload: payload.into() }))
    }

    /// Subscribes and waits until the server has the subscription.
    pub(super) async fn subscribe(&self, client: &Client, subject: String) -> Result<Subscriber, EngineError> {
        let begun = Instant::now();
        let subscribe = async {
            client
                .subscribe(subject.clone())
                .await
                .map_err(|source| error(EngineErrorKind::Unexpected, source.to_string()))
        };
        let subscriber = self.bounded(&subject, begun, begun + REQUEST_TIMEOUT, subscribe).await?;
        self.settle(client).await?;
        self.denial(&subject, begun).map_or(Ok(subscriber), Err)
    }

    /// Waits until the server has taken in everything that was sent to it before.
    pub(super) async fn settle(&self, client: &Client) -> Result<(), EngineError> {
        self.request(client, &self.nobody, None, Bytes::new(), REQUEST_TIMEOUT).await.map(drop)
    }
}

impl RequestError {
    pub(super) fn into_error(self, doing: &str) -> EngineError {
        match self {
            Self::Api(api) => api.into_error(doing),
            Self::Engine(error) => error,
        }
    }
}

impl From<EngineError> for RequestError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// Publishes a message. The client waits while its own queue is full, so callers bound the time.
pub(super) async fn publish(
    client: &Client,
    subject: &str,
    reply_to: Option<String>,
    headers: Option<HeaderMap>,
    payload: Bytes,
) -> Result<(), EngineError> {
    let subject = subject.to_owned();
    let published = match (reply_to, headers) {
        (Some(reply_to), Some(headers)) => {
            client.publish_with_reply_and_headers(subject, reply_to, headers, payload).await
        }
        (Some(reply_to), None) => client.publish_with_reply(subject, reply_to, payload).await,
        (None, Some(headers)) => client.publish_with_headers(subject, headers, payload).await,
        (None, None) => client.publish(subject, payload).await,
    };
    published.map_err(|source| {
        let kind = match source.kind() {
            async_nats::client::PublishErrorKind::MaxPayloadExceeded => EngineErrorKind::TooLarge,
            async_nats::client::PublishErrorKind::InvalidSubject => EngineErrorKind::Unexpected,
            async_nats::client::PublishErrorKind::Send => EngineErrorKind::Disconnected,
        };
        error(kind, source.to_string())
    })
}

/// Reads an answer of JetStream.
fn parse<T: DeserializeOwned>(subject: &str, reply: &Message) -> Result<T, RequestError> {
    if reply.status == Some(StatusCode::NO_RESPONDERS) {
        let text = format!("nothing answers {subject}: JetStream or its stream is not available");
        return Err(error(EngineErrorKind::Unavailable, text).into());
    }
    match serde_json::from_slice(&reply.payload) {
        Ok(Answer::Error { error }) => Err(RequestError::Api(error)),
        Ok(Answer::Value(value)) => Ok(value),
        Err(source) => Err(error(EngineErrorKind::Unexpected, format!("answer to {subject}: {source}")).into()),
    }
}

/// A leader that lives answers in milliseconds, and an election takes seconds longer than anyone wants to wait.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

const MAX_DENIALS: usize = 32;
