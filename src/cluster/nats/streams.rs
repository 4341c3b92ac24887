//! The three streams that the cluster has in JetStream: made, brought up to date, or only checked.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Republish, StorageType};
use bytes::Bytes;
use serde::Deserialize;

use super::MIN_PAYLOAD;
use super::errors::error;
use super::requests::{RequestError, Requests};
use super::subjects::Subjects;
use crate::cluster::engine::{EngineError, EngineErrorKind};
use crate::cluster::settings::ClusterSettings;
use crate::runtime::arithmetic;

/// The fields of JetStream's report on a stream that are used here.
#[derive(Deserialize)]
struct StreamState {
    config: Config,
}

/// Makes the streams that are missing and updates the others, or checks them if they are not ours to manage. Returns the
/// most bytes that the administrator allows a message of any of them.
pub(super) async fn ensure(
    requests: &Requests,
    client: &Client,
    wanted: &[Config],
    is_managed: bool,
) -> Result<usize, EngineError> {
    let mut largest = usize::MAX;
    for config in wanted {
        largest = largest.min(ensure_one(requests, client, config, is_managed).await?);
    }
    Ok(largest)
}

async fn ensure_one(
    requests: &Requests,
    client: &Client,
    wanted: &Config,
    is_managed: bool,
) -> Result<usize, EngineError> {
    let name = &wanted.name;
    let found = match requests.api::<StreamState>(client, &format!("STREAM.INFO.{name}"), Bytes::new()).await {
        Ok(state) => state.config,
        Err(RequestError::Api(api)) if api.is_no_stream() => {
            if !is_managed {
                let text = format!("the JetStream stream {name} is missing, and cluster.manage is false: create it");
                return Err(error(EngineErrorKind::Unavailable, text));
            }
            return write(requests, client, "CREATE", wanted).await.map(|()| usize::MAX);
        }
        Err(other) => return Err(other.into_error(&format!("look at the stream {name}"))),
    };
    let largest = largest_message(&found)?;
    let Some(difference) = difference(wanted, &found) else { return Ok(largest) };
    if !is_managed {
        let text = format!("the JetStream stream {name} has another {difference}, and cluster.manage is false");
        return Err(error(EngineErrorKind::Unexpected, text));
    }
    if found.storage != wanted.storage {
        let text = format!("the JetStream stream {name} has another {difference}, which cannot be changed: delete it");
        return Err(error(EngineErrorKind::Unexpected, text));
    }
    write(requests, client, "UPDATE", &merged(wanted, found)).await.map(|()| largest)
}

/// Returns the most bytes of a message, a setting of the administrator.
///
/// # Errors
/// They would not hold an event of ordinary size.
fn largest_message(found: &Config) -> Result<usize, EngineError> {
    let largest = usize::try_from(found.max_message_size).ok().filter(|bytes| *bytes > 0).unwrap_or(usize::MAX);
    if largest < MIN_PAYLOAD {
        let name = &found.name;
        let text =
            format!("max_msg_size of the JetStream stream {name} is {largest} bytes: rillgate needs {MIN_PAYLOAD}");
        return Err(error(EngineErrorKind::TooLarge, text));
    }
    Ok(largest)
}

async fn write(requests: &Requests, client: &Client, verb: &str, config: &Config) -> Result<(), EngineError> {
    let name = &config.name;
    let payload =
        serde_json::to_vec(config).map_err(|source| error(EngineErrorKind::Unexpected, source.to_string()))?;
    let written = requests.api::<StreamState>(client, &format!("STREAM.{verb}.{name}"), payload.into()).await;
    written.map(drop).map_err(|failed| failed.into_error(&format!("{} the stream {name}", verb.to_lowercase())))
}

/// Returns the first setting that differs, with the value that is wanted and the one that is there. Settings that the
/// cluster does not depend on are the administrator's: compression, placement, descriptions.
fn difference(wanted: &Config, found: &Config) -> Option<String> {
    // JetStream says -1 for no limit, and this side 0.
    let limit = |value: i64| value.max(0);
    let republish = |config: &Config| {
        let republish = config.republish.as_ref()?;
        Some(format!("{} to {}, headers only: {}", republish.source, republish.destination, republish.headers_only))
    };
    let seconds = |duration: Duration| format!("{} s", duration.as_secs());
    let settings = [
        ("storage", format!("{:?}", wanted.storage), format!("{:?}", found.storage)),
        ("subjects", wanted.subjects.join(" "), found.subjects.join(" ")),
        ("num_replicas", wanted.num_replicas.to_string(), found.num_replicas.to_string()),
        (
            "max_msgs_per_subject",
            limit(wanted.max_messages_per_subject).to_string(),
            limit(found.max_messages_per_subject).to_string(),
        ),
        ("max_age", seconds(wanted.max_age), seconds(found.max_age)),
        ("max_msgs", limit(wanted.max_messages).to_string(), limit(found.max_messages).to_string()),
        ("max_bytes", limit(wanted.max_bytes).to_string(), limit(found.max_bytes).to_string()),
        ("discard", format!("{:?}", wanted.discard), format!("{:?}", found.discard)),
        ("allow_direct", wanted.allow_direct.to_string(), found.allow_direct.to_string()),
        ("allow_msg_ttl", wanted.allow_message_ttl.to_string(), found.allow_message_ttl.to_string()),
        ("republish", republish(wanted).unwrap_or_default(), republish(found).unwrap_or_default()),
    ];
    let differs = settings.into_iter().find(|(_, wanted, found)| wanted != found);
    differs.map(|(name, wanted, found)| format!("{name}: {found:?} instead of {wanted:?}"))
}

/// An existing stream, with the settings that the cluster depends on.
fn merged(wanted: &Config, found: Config) -> Config {
    let wanted = wanted.clone();
    Config {
        subjects: wanted.subjects,
        num_replicas: wanted.num_replicas,
        max_messages_per_subject: wanted.max_messages_per_subject,
        max_age: wanted.max_age,
        max_messages: wanted.max_messages,
        max_bytes: wanted.max_bytes,
        discard: wanted.discard,
        allow_direct: wanted.allow_direct,
        allow_message_ttl: wanted.allow_message_ttl,
        republish: wanted.republish,
        ..found
    }
}

/// Returns the settings of the three streams.
pub(super) fn wanted(settings: &ClusterSettings, subjects: &Subjects) -> Vec<Config> {
    let shared = Config {
        num_replicas: settings.replicas,
        allow_direct: true,
        duplicate_window: DUPLICATE_WINDOW,
        ..Config::default()
    };
    let republish = |source: &str, destination: &str| {
        Some(Republish { source: subjects.of(source), destination: subjects.of(destination), headers_only: false })
    };
    vec![
        Config {
            name: subjects.stream("log"),
            subjects: vec![subjects.of("log.*")],
            storage: StorageType::File,
            max_messages_per_subject: i64::try_from(settings.log_events.saturating_add(SPARE_RECORDS))
                .unwrap_or(i64::MAX),
            // Whole seconds, so that what is compared later is what was written.
            max_age: Duration::from_secs(arithmetic::clamp(
                settings.log_age.saturating_mul(2).as_secs(),
                60,
                A_CENTURY_IN_SECONDS,
            )),
            max_bytes: i64::try_from(settings.bytes).unwrap_or(i64::MAX),
            discard: DiscardPolicy::Old,
            republish: republish("log.*", "live.{{wildcard(1)}}"),
            ..shared.clone()
        },
        Config {
            name: subjects.stream("nodes"),
            subjects: vec![subjects.of("node.*")],
            storage: StorageType::Memory,
            max_messages_per_subject: 1,
            // Each start of a gateway has a name of its own, so old ones must go.
            max_age: Duration::from_secs((settings.lease * 20).as_secs().max(60)),
            max_bytes: NODES_BYTES,
            discard: DiscardPolicy::Old,
            republish: republish("node.*", "seen.{{wildcard(1)}}"),
            ..shared.clone()
        },
        Config {
            name: subjects.stream("auth"),
            subjects: vec![subjects.of("ticket.*"), subjects.of("revoked.*")],
            storage: StorageType::File,
            max_messages_per_subject: 1,
            allow_message_ttl: true,
            max_bytes: AUTH_BYTES,
            // A revocation must not push another out.
            discard: DiscardPolicy::New,
            republish: republish("*.*", "heard.{{wildcard(1)}}.{{wildcard(2)}}"),
            ..shared
        },
    ]
}

/// The window for duplicates, which have no use here. JetStream's least.
const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);

/// Records without events: claims, releases and what an idle owner writes.
const SPARE_RECORDS: usize = 64;

/// Beats of gateways, of which each names what it wrote in the last seconds. JetStream reserves it in memory's accounts,
/// and uses what is there.
const NODES_BYTES: i64 = 64 << 20;

/// Tickets and revocations. About 200,000 of them.
const AUTH_BYTES: i64 = 64 << 20;

/// 100 years. JetStream counts nanoseconds in 64 bits.
const A_CENTURY_IN_SECONDS: u64 = 100 * 365 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config { name: "c-log".to_owned(), subjects: vec!["c.log.*".to_owned()], max_bytes: 5, ..Config::default() }
    }

    #[test]
    fn what_jetstream_fills_in_is_no_difference() {
        let found = Config {
            max_messages: -1,
            max_messages_per_subject: -1,
            max_consumers: -1,
            description: Some("by the administrator".to_owned()),
            ..config()
        };

        assert_eq!(difference(&config(), &found), None);
    }

    #[test]
    fn the_size_of_messages_is_the_administrators_and_may_be_too_small() {
        let largest = |max_message_size| largest_message(&Config { max_message_size, ..config() });

        assert_eq!([largest(-1), largest(0), largest(100_000)], [Ok(usize::MAX), Ok(usize::MAX), Ok(100_000)]);
        assert_eq!(largest(1000).expect_err("too small").kind, EngineErrorKind::TooLarge);
    }

    #[test]
    fn a_difference_names_the_setting() {
        let found = Config { max_bytes: 7, ..config() };

        assert_eq!(difference(&config(), &found).as_deref(), Some(r#"max_bytes: "7" instead of "5""#));
    }

    #[test]
    fn an_update_keeps_what_is_the_administrators() {
        let found = Config { max_bytes: 7, description: Some("ours".to_owned()), ..config() };

        let merged = merged(&config(), found);

        assert_eq!((merged.max_bytes, merged.description.as_deref()), (5, Some("ours")));
    }
}
