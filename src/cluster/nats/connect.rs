//! The connection to NATS: how it is made, and what the client tells of it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ClientError, ConnectOptions, Event, ServerError};
use tokio::sync::watch;
use tracing::warn;

use super::errors::{error, of_connect};
use super::requests::{REQUEST_TIMEOUT, Requests};
use super::subjects::Subjects;
use crate::cluster::engine::{EngineError, EngineErrorKind};
use crate::cluster::settings::{ClusterSettings, EngineCredentials};
use crate::secret::Secret;

/// The state of the connection below the engine: it may be up while the streams are not ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) is_up: bool,
    /// The number of connections so far.
    pub(super) count: u64,
}

/// Makes the options of the client.
///
/// # Errors
/// The credentials cannot be read.
pub(super) fn options(
    settings: &ClusterSettings,
    subjects: &Subjects,
    requests: &Arc<Requests>,
    link: &watch::Sender<Link>,
) -> Result<ConnectOptions, EngineError> {
    let (told, link) = (requests.clone(), link.clone());
    let mut options = ConnectOptions::new()
        .name("rillgate")
        .connection_timeout(REQUEST_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        // A connection that is cut without a word is given up after two unanswered ones.
        .ping_interval(Duration::from_secs(2))
        .reconnect_delay_callback(|attempts| Duration::from_millis((50 * attempts as u64).min(500)))
        .max_reconnects(None)
        // The configuration says where the engine is. Servers tell addresses of a network that may not be ours.
        .ignore_discovered_servers()
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .custom_inbox_prefix(subjects.of("inbox"))
        .event_callback(move |event| {
            on_event(&told, &link, event);
            std::future::ready(())
        });
    if let Some(file) = &settings.tls.ca_file {
        options = options.add_root_certificates(file.clone());
    }
    if let Some((chain, key)) = &settings.tls.client_certificate {
        options = options.add_client_certificate(chain.clone(), key.clone());
    }
    match &settings.credentials {
        EngineCredentials::Anonymous => Ok(options),
        EngineCredentials::Token(token) => Ok(options.token(text(token, "token")?)),
        EngineCredentials::Password { user, password } => {
            Ok(options.user_and_password(user.clone(), text(password, "password")?))
        }
        EngineCredentials::Nkey(seed) => {
            let seed = text(seed, "nkey")?;
            Ok(options.nkey(seed.trim().to_owned()))
        }
        // The client expects a line break at the end, which a secret read from a file has lost.
        EngineCredentials::File(content) => options
            .credentials(&format!("{}\n", text(content, "credentials")?.trim_end()))
            .map_err(|_| error(EngineErrorKind::Denied, "cluster.credentials: is not a credentials file of NATS")),
    }
}

/// Tries each server once.
pub(super) async fn connect(settings: &ClusterSettings, options: ConnectOptions) -> Result<Client, EngineError> {
    let urls: Vec<String> = settings.urls.iter().map(ToString::to_string).collect();
    options.connect(urls).await.map_err(|failed| of_connect(&failed))
}

/// The words of the client that say more than a log line.
fn on_event(requests: &Requests, link: &watch::Sender<Link>, event: Event) {
    match event {
        Event::Connected => link.send_modify(|link| *link = Link { is_up: true, count: link.count + 1 }),
        Event::Disconnected | Event::Closed => {
            link.send_modify(|link| link.is_up = false);
            requests.disconnected(error(EngineErrorKind::Disconnected, "the connection was lost"));
        }
        Event::ClientError(ClientError::Other(text)) => requests.disconnected(of_reconnect(&text)),
        Event::ServerError(ServerError::AuthorizationViolation) => {
            requests.disconnected(error(EngineErrorKind::Denied, "wrong credentials"));
        }
        Event::ServerError(ServerError::Other(text)) if text.to_lowercase().starts_with("permissions violation") => {
            requests.note_denial(&text);
        }
        Event::ServerError(ServerError::Other(text)) => {
            let told = error(EngineErrorKind::Unexpected, text);
            warn!(error = %told.message, "the cluster's engine reports an error");
        }
        Event::SlowConsumer(_) | Event::ServerError(ServerError::SlowConsumer(_)) => {
            // What was dropped is found as after a reconnect.
            requests.state.send_if_modified(|state| {
                state.connections += u64::from(state.is_connected);
                state.is_connected
            });
        }
        Event::LameDuckMode
        | Event::Draining
        | Event::ClientError(ClientError::MaxReconnects | ClientError::ServerNotInPool) => {}
    }
}

/// While it reconnects by itself the client tells no more than the kind of a failure.
fn of_reconnect(text: &str) -> EngineError {
    let is_denied = text.contains("authorization") || text.contains("nonce");
    let kind = if is_denied { EngineErrorKind::Denied } else { EngineErrorKind::Disconnected };
    error(kind, format!("cannot reconnect: {text}"))
}

fn text(secret: &Secret, name: &str) -> Result<String, EngineError> {
    let text = std::str::from_utf8(secret.reveal());
    text.map(str::to_owned).map_err(|_| error(EngineErrorKind::Denied, format!("cluster.{name}: is not text")))
}

/// Messages of one subscription that wait to be taken.
const SUBSCRIPTION_CAPACITY: usize = 4096;
