//! The engine in NATS JetStream, 2.11 or later. Only this folder knows the client.
//!
//! A log is a subject of one JetStream stream, and an append is conditional on the sequence of the last message with that
//! subject. What is stored is republished to a subject of its own: a subscription to the log itself would also see
//! messages that were refused.

mod connect;
mod direct;
mod engine;
mod errors;
mod replies;
mod report;
mod requests;
mod streams;
mod subjects;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use async_nats::{Client, HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use self::connect::Link;
use self::errors::error;
use self::replies::Replies;
pub use self::report::{ReplicaReport, StreamReport};
use self::requests::Requests;
use self::subjects::Subjects;
use crate::cluster::engine::{AppendError, AuthKind, EngineError, EngineErrorKind, LogId};
use crate::cluster::settings::ClusterSettings;

/// The engine in NATS JetStream. It works while [`Self::run`] is polled.
#[derive(Debug)]
pub struct NatsEngine {
    settings: ClusterSettings,
    subjects: Subjects,
    streams: Vec<Config>,
    requests: Arc<Requests>,
    link: watch::Sender<Link>,
    /// Notified when a stream was not there.
    missing: Notify,
    /// The most bytes of a message in the log, as the stream's settings or a refusal tell.
    largest: AtomicUsize,
}

impl NatsEngine {
    /// Prepares the engine. Nothing is connected before [`Self::run`] is polled.
    pub fn new(settings: ClusterSettings) -> Arc<Self> {
        let subjects = Subjects::new(&settings.name);
        let unique = getrandom::u64().expect("the system provides random numbers");
        let replies = Replies::new(subjects.of(&format!("inbox.{unique:016x}")));
        let requests = Arc::new(Requests::new(replies, subjects.of("nobody")));
        let streams = streams::wanted(&settings, &subjects);
        let (link, missing, largest) = (watch::Sender::default(), Notify::new(), AtomicUsize::new(usize::MAX));
        Arc::new(Self { settings, subjects, streams, requests, link, missing, largest })
    }

    /// Connects, and keeps the connection, its subscription for replies and the streams in order. Never returns. May be
    /// called again after a panic, one at a time.
    pub async fn run(self: Arc<Self>) {
        let client = self.first_connection().await;
        let mut replies = loop {
            match client.subscribe(self.requests.replies.subject()).await {
                Ok(replies) => break replies,
                Err(failed) => {
                    self.requests.disconnected(error(EngineErrorKind::Unexpected, failed.to_string()));
                    sleep(PAUSE).await;
                }
            }
        };
        tokio::join!(self.dispatch(&mut replies), self.supervise(&client));
    }

    /// Returns the servers' version and name, for operators. `None`: there was no connection yet.
    pub fn server(&self) -> Option<String> {
        let info = self.requests.client.get()?.try_server_info()?;
        Some(format!("{} {}", info.server_name, info.version))
    }

    async fn first_connection(&self) -> Client {
        if let Some(client) = self.requests.client.get() {
            return client.clone();
        }
        loop {
            let options = connect::options(&self.settings, &self.subjects, &self.requests, &self.link);
            let connected = match options {
                Ok(options) => connect::connect(&self.settings, options).await,
                Err(failed) => Err(failed),
            };
            match connected {
                Ok(client) => return self.requests.client.get_or_init(|| client).clone(),
                Err(failed) => self.requests.disconnected(failed),
            }
            sleep(PAUSE).await;
        }
    }

    async fn dispatch(&self, replies: &mut Subscriber) {
        while let Some(message) = replies.next().await {
            self.requests.replies.dispatch(message);
        }
        // The client has ended, which it does not do while somebody holds it.
        std::future::pending().await
    }

    /// Prepares each connection, and the streams when one is missing.
    async fn supervise(&self, client: &Client) {
        let mut links = self.link.subscribe();
        let mut is_told = false;
        loop {
            let Ok(link) = links.wait_for(|link| link.is_up).await.map(|link| *link) else { return };
            if let Err(failed) = check_server(client) {
                self.requests.disconnected(failed);
                sleep(PAUSE).await;
                // Another server may be newer.
                if self.settings.urls.len() > 1 {
                    let _ = client.force_reconnect().await;
                }
                continue;
            }
            // A first connection may be used once the streams are there. A later one may at once, because an election
            // takes longer than a leader that lives takes to answer.
            let is_first = self.requests.state.borrow().connections == 0;
            if !is_first {
                self.succeed(client);
            }
            let prepared = self.prepare(client).await;
            let is_same = *links.borrow_and_update() == link;
            match prepared {
                Ok(()) if is_same => {
                    self.succeed(client);
                    is_told = false;
                    tokio::select! {
                        changed = links.changed() => if changed.is_err() { return },
                        () = self.missing.notified() => sleep(PAUSE).await,
                    }
                    continue;
                }
                Err(failed) if is_same && is_first => self.requests.disconnected(failed),
                Err(failed) if !is_first && !std::mem::replace(&mut is_told, true) => {
                    warn!(error = %failed, "the cluster's streams cannot be checked");
                }
                Ok(()) | Err(_) => {}
            }
            sleep(PAUSE).await;
        }
    }

    /// Brings the streams in order and tries every permission.
    async fn prepare(&self, client: &Client) -> Result<(), EngineError> {
        let ensured = streams::ensure(&self.requests, client, &self.streams, self.settings.is_managed).await;
        let largest = ensured.map_err(|failed| {
            // A server may be without JetStream and reach others that have it.
            if failed.kind != EngineErrorKind::Unavailable || client.server_info().jetstream {
                return failed;
            }
            error(failed.kind, format!("JetStream is off on the engine's server; {}", failed.message))
        })?;
        self.largest.store(largest, Ordering::Relaxed);
        self.try_permissions(client).await
    }

    /// Does what needs a permission, without effect: appends after a sequence that no log has, and subscriptions.
    async fn try_permissions(&self, client: &Client) -> Result<(), EngineError> {
        let nothing = LogId([0; 16]);
        for subject in ["log", "node", "ticket", "revoked"].map(|part| self.subjects.of(&format!("{part}.{nothing}"))) {
            let mut headers = HeaderMap::new();
            headers.insert(EXPECTED_SEQUENCE, IMPOSSIBLE_SEQUENCE);
            match self.requests.store(client, &subject, headers, Bytes::new()).await {
                Ok(_) | Err(AppendError::Refused) => {}
                Err(AppendError::Unknown(failed)) => return Err(failed),
            }
        }
        for stream in ["log", "nodes", "auth"].map(|kind| self.subjects.stream(kind)) {
            let nothing = self.subjects.log(&nothing);
            self.requests.newest(client, &stream, &nothing).await?;
            direct::newest_of(&self.requests, client, &stream, vec![nothing]).await?;
        }
        let tickets = self.subjects.heard(AuthKind::Ticket);
        let revocations = self.subjects.heard(AuthKind::Revocation);
        for subject in [
            self.subjects.live(&nothing),
            self.subjects.of("seen.*"),
            self.subjects.of("ask.*"),
            self.subjects.phase(&nothing),
            tickets,
            revocations,
        ] {
            drop(self.requests.subscribe(client, subject).await?);
        }
        Ok(())
    }

    fn succeed(&self, client: &Client) {
        // A loss is noted in the link first. So one that comes now is noted in the state after this.
        if self.requests.connected_now(|| self.link.borrow().is_up) {
            let info = client.server_info();
            info!(server = %info.server_name, version = %info.version, "connected to the cluster's engine");
        }
    }
}

/// Checks that the server is one that this version can use.
fn check_server(client: &Client) -> Result<(), EngineError> {
    let info = client.server_info();
    if !client.is_server_compatible(2, 11, 0) {
        let text = format!("nats-server {} is too old: rillgate needs 2.11 or later", info.version);
        return Err(error(EngineErrorKind::Unexpected, text));
    }
    if info.max_payload < MIN_PAYLOAD {
        let text = format!("max_payload of the engine is {} bytes: rillgate needs {MIN_PAYLOAD}", info.max_payload);
        return Err(error(EngineErrorKind::TooLarge, text));
    }
    Ok(())
}

/// Between attempts to connect and to prepare.
const PAUSE: Duration = Duration::from_millis(500);

/// The header that makes an append conditional.
const EXPECTED_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";

/// No message has it, so what expects it is refused.
const IMPOSSIBLE_SEQUENCE: &str = "9223372036854775807";

/// Less would not hold an event of ordinary size. The engine's default is 1 MiB.
const MIN_PAYLOAD: usize = 64 << 10;
