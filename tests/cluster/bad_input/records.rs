//! Records that no gateway of this cluster and version has written.

use std::time::Duration;

use async_nats::jetstream;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use futures_util::StreamExt;

use crate::gateways::{KEY, answer, configuration, only_stream, owner, start, start_unready};
use crate::support::client::Client;
use crate::support::nats::NatsServer;
use crate::support::origin::{Emission, Origin};
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually, within};

/// Somebody who writes to the engine beside the gateways.
struct Writer {
    client: async_nats::Client,
    jetstream: jetstream::Context,
}

impl Writer {
    async fn connect(engine: &NatsServer) -> Self {
        let client = async_nats::connect(engine.url()).await.unwrap();
        Self { jetstream: jetstream::new(client.clone()), client }
    }

    /// Returns the subject of the only log, and its newest record.
    async fn newest(&self) -> (String, Vec<u8>) {
        let log = self.jetstream.get_stream("rillgate-log").await.unwrap();
        let mut subjects = log.info_with_subjects("rillgate.log.>").await.unwrap();
        let (subject, _) = within(DEADLINE, "subject", subjects.next()).await.unwrap().unwrap();
        let newest = log.get_last_raw_message_by_subject(&subject).await.unwrap();
        (subject, newest.payload.to_vec())
    }

    /// Stores a record after all others. Returns its sequence.
    async fn store(&self, subject: &str, record: Vec<u8>) -> u64 {
        let stored = self.jetstream.publish(subject.to_owned(), record.into()).await.unwrap();
        within(DEADLINE, "acknowledgement", stored.into_future()).await.unwrap().sequence
    }

    async fn delete(&self, sequence: u64) {
        let log = self.jetstream.get_stream("rillgate-log").await.unwrap();
        assert!(log.delete_message(sequence).await.unwrap());
        self.client.flush().await.unwrap();
    }
}

/// The record as a later version would write it: another format, and the right tag.
fn of_a_later_version(subject: &str, record: &[u8]) -> Vec<u8> {
    const TAG_BYTES: usize = 32;
    let mut later = record[..record.len() - TAG_BYTES].to_vec();
    later[0] = 99;
    let id = subject.rsplit('.').next().unwrap();
    let log: Vec<u8> = (0..id.len() / 2).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()).collect();
    let signed = [b"rillgate record\0".as_slice(), &(log.len() as u64).to_le_bytes(), &log, &later].concat();
    later.extend_from_slice(sign(&Key::new(HMAC_SHA256, KEY.1.as_bytes()), &signed).as_ref());
    later
}

/// Two gateways have told an event when something else is stored after it. It is told in the log as `line` and counted
/// as `kind`, clients are held and get no verdict, and all goes on when it is gone.
async fn stands_still(foreign: impl Fn(&str, &[u8]) -> Vec<u8>, line: &str, kind: &str) {
    let (engine, origin) = (NatsServer::start().await, Origin::start().await);
    origin.honour_last_event_id();
    // The origin proves that it resumes exactly, so that the next owner does not tell a gap.
    let config = configuration(&[engine.url()], &origin, "", "replay.verdict = \"event\"");
    let config = config.replace("[upstreams.origin]", "[upstreams.origin]\noverlap = 1");
    let gateways = [start(&config).await, start(&config).await];
    let client = |gateway: &Rillgate| Client::http1(gateway.address());
    let mut readers = Vec::new();
    for gateway in &gateways {
        readers.push(client(gateway).subscribe("/prices", &[]).await);
    }
    owner(&gateways).await;
    origin.emit_together([Emission::event("0", "price", "0"), Emission::event("1", "price", "1")]);
    for reader in &mut readers {
        let events = reader.next_events(3).await;
        let data: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
        assert_eq!(data, [r#"{"resume":"live"}"#, "0", "1"]);
    }
    let writer = Writer::connect(&engine).await;

    let (subject, newest) = writer.newest().await;
    let sequence = writer.store(&subject, foreign(&subject, &newest)).await;
    origin.emit(Emission::event("2", "price", "2"));
    for gateway in &gateways {
        assert!(gateway.wait_line("shared log unreadable", DEADLINE).await.contains(line));
        let counted = format!("rillgate_cluster_errors_total{{kind=\"{kind}\"}}");
        let is_counted = || async { answer(gateway, "/metrics").await.1.contains(&counted) };
        eventually(DEADLINE, is_counted).await;
        let note = "1 shared streams stand still: their newest record cannot be read";
        eventually(DEADLINE, || async { answer(gateway, "/readyz").await.1.contains(note) }).await;
        assert_eq!(answer(gateway, "/readyz").await.0, 200);
        assert_ne!(only_stream(gateway).await["role"], "own", "nobody owns what it cannot read");
    }
    // Whoever comes now cannot be judged: no answer, or one without a verdict, or a refusal.
    let late = client(&gateways[0]);
    let resuming = late.try_request("GET", "/prices", &[("last-event-id", "1")]);
    let mut resuming = match tokio::time::timeout(Duration::from_secs(1), resuming).await {
        Ok(Ok(response)) if response.status == 200 => Some(response),
        Ok(Ok(response)) => {
            assert_eq!(response.status, 503);
            None
        }
        Ok(Err(_)) | Err(_) => None,
    };

    writer.delete(sequence).await;
    for reader in &mut readers {
        assert_eq!(reader.next_event(DEADLINE).await.data, "2", "no verdict and no gap before it");
    }
    if let Some(resuming) = &mut resuming {
        let mut event = resuming.next_event(DEADLINE).await;
        if event.kind == "rillgate.resume" {
            assert!(event.data.contains("resumed"), "{event:?}");
            event = resuming.next_event(DEADLINE).await;
        }
        assert_eq!(event.data, "2");
    }
}

#[tokio::test]
async fn a_foreign_record_stops_a_stream_until_it_is_gone_and_nothing_false_is_told() {
    stands_still(|_, _| b"not from here".to_vec(), "was not signed with the cluster's key", "signature").await;
}

#[tokio::test]
async fn a_record_of_a_later_version_stops_a_stream_until_it_is_gone_and_nothing_false_is_told() {
    stands_still(of_a_later_version, "a record has format 99, which this version does not know", "format").await;
}

/// A gateway with another key shares nothing, whatever its name is.
#[tokio::test]
async fn a_gateway_with_another_key_shares_nothing_and_is_counted() {
    let (engine, origin) = (NatsServer::start().await, Origin::start().await);
    let route = "replay.ids = \"replace\"\nreplay.verdict = \"event\"";
    let config = configuration(&[engine.url()], &origin, "", route);
    let right = start_unready(&config).await;
    let wrong = Rillgate::start_with(&config, &[(KEY.0, "another key of 32 bytes or more...")]).await;
    for gateway in [&right, &wrong] {
        eventually(DEADLINE, || async { answer(gateway, "/readyz").await.0 == 200 }).await;
    }

    let mut readers = Vec::new();
    for gateway in [&right, &wrong] {
        readers.push(Client::http1(gateway.address()).subscribe("/prices", &[]).await);
    }
    origin.wait_open(2).await;
    origin.emit(Emission::event("1", "price", "1"));
    let mut ids = Vec::new();
    for reader in &mut readers {
        let mut event = reader.next_event(DEADLINE).await;
        if event.kind == "rillgate.resume" {
            event = reader.next_event(DEADLINE).await;
        }
        assert_eq!(event.data, "1");
        ids.push(event.last_event_id);
    }

    assert_ne!(ids[0], ids[1], "each key has ids of its own");
    let id = ids[0].as_str();
    let mut stranger = Client::http1(wrong.address()).subscribe("/prices", &[("last-event-id", id)]).await;
    let verdict = stranger.next_event(DEADLINE).await;
    assert!(verdict.kind == "rillgate.resume" && verdict.data.contains("\"gap\""), "{verdict:?}");
    for gateway in [&right, &wrong] {
        let counted = "rillgate_cluster_errors_total{kind=\"signature\"}";
        eventually(DEADLINE, || async { answer(gateway, "/metrics").await.1.contains(counted) }).await;
        assert_eq!(only_stream(gateway).await["role"], "own");
    }
}
