//! The tables about the gateway as a whole: `[server]`, `[log]`, `[store]`, `[revocations]`, `[admin]`, `[limits]`.
//!
//! Every number has a default and an upper bound. What is not written never contradicts what is: a default gives way.

use std::thread::available_parallelism;

use super::parsers;
use super::referenced_files;
use crate::admin;
use crate::auth;
use crate::config::engine::{KeySpec, Kind, Table};
use crate::config::{DrainSettings, RevocationSettings};
use crate::limits::{Limits, SubjectOverflow};
use crate::store;

pub(super) const SERVER: &[KeySpec] = &[
    KeySpec::default(
        "workers",
        Kind::integer(0, 1024),
        "0",
        "Threads, each with its own runtime. 0: one for each core.",
    ),
    KeySpec::default("watch", Kind::Bool, "true", "Reload when this file, or a file it names, has changed."),
    KeySpec::optional("drain", Kind::Table(DRAIN), "How the gateway leaves: three durations, three questions."),
];

const DRAIN: &[KeySpec] = &[
    KeySpec::default(
        "notice",
        Kind::duration_or_zero("1ms", "1h"),
        "0s",
        "Has the balancer looked away? Between being unready and the first response ended. 0s: no wait.",
    ),
    KeySpec::default(
        "spread",
        Kind::duration_or_zero("1ms", "1h"),
        "5s",
        "How slowly may clients leave? Each at its own moment within this, also a single one. 0s: all at once. Where deadline is shorter and this is absent: the deadline.",
    ),
    KeySpec::default(
        "deadline",
        Kind::duration("10ms", "1h"),
        "30s",
        "When do we stop being polite? Counted from the end of the notice; not below spread.",
    ),
];

pub(super) const LOG: &[KeySpec] =
    &[KeySpec::default("subject", Kind::Bool, "false", "Write the token's subject into access lines.")];

pub(super) const STORE: &[KeySpec] = &[
    KeySpec::default("path", Kind::String, "/var/lib/rillgate", "Folder for event logs with replay.store = \"disk\"."),
    KeySpec::default(
        "bytes",
        Kind::size("1MiB", "1024GiB"),
        "1GiB",
        "Most bytes of events kept there. The file may take twice that, and up to four times replay.bytes of a busy stream besides.",
    ),
];

pub(super) const REVOCATIONS: &[KeySpec] = &[
    KeySpec::optional(
        "file",
        Kind::String,
        "File of revocations, read again when it changes. Absent: only those posted.",
    ),
    KeySpec::default("entries", Kind::integer(1, 10_000_000), "100000", "Most entries held."),
];

pub(super) const ADMIN: &[KeySpec] = &[
    KeySpec::default(
        "address",
        Kind::String,
        "127.0.0.1:9464",
        "Address and port of the operator's port: never a listener's.",
    ),
    KeySpec::default(
        "hosts",
        Kind::List(&Kind::String),
        "[]",
        "Public names it is reached by, besides addresses and names of the local network: others are refused.",
    ),
];

const COUNT: Kind = Kind::integer(1, 10_000_000);
const TIMEOUT: Kind = Kind::duration("100ms", "10m");

pub(super) const LIMITS: &[KeySpec] = &[
    KeySpec::default("connections", COUNT, "100000", "Open client connections, all listeners together."),
    KeySpec::default(
        "connections_per_ip",
        COUNT,
        "1000",
        "Open client connections from one address (IPv6: one /64), and subscriptions of one address that a trusted proxy forwards for.",
    ),
    KeySpec::default("subscribers", COUNT, "100000", "Open subscriptions, all streams together."),
    KeySpec::default("streams", Kind::integer(1, 1_000_000), "10000", "Distinct open streams: upstream connections."),
    KeySpec::default("h2_streams", Kind::integer(1, 10_000), "250", "Concurrent requests on one HTTP/2 connection."),
    KeySpec::default("handshake_timeout", TIMEOUT, "10s", "For a TLS handshake, and for the HTTP/2 preface."),
    KeySpec::default("header_timeout", TIMEOUT, "10s", "For a complete request head."),
    KeySpec::default(
        "idle_timeout",
        Kind::duration("100ms", "1h"),
        "60s",
        "A kept-alive connection without a request is closed after this.",
    ),
    // hyper has no smaller buffer for a head.
    KeySpec::default("header_bytes", Kind::size("8KiB", "1MiB"), "32KiB", "Most bytes in a request head."),
    KeySpec::default(
        "token_bytes",
        Kind::size("1KiB", "512KiB"),
        "16KiB",
        "Longest token; a longer one is refused with 401. Where header_bytes is smaller and this is absent: half of that.",
    ),
    KeySpec::default("headers", Kind::integer(8, 1000), "100", "Most fields in a request head."),
    KeySpec::default(
        "stall_timeout",
        Kind::duration("100ms", "1h"),
        "30s",
        "A client that takes no bytes for this long, while some are waiting, is cut off.",
    ),
    KeySpec::default(
        "send_buffer",
        Kind::size("4KiB", "16MiB"),
        "16KiB",
        "Most unsent bytes held for one client outside the shared event log.",
    ),
    KeySpec::default(
        "memory",
        Kind::Memory,
        "80%",
        "For all event logs, whose oldest events then go, and for the process, which then answers new subscriptions with 503.",
    ),
    KeySpec::default("subscriptions_per_subject", COUNT, "100", "Open subscriptions of one token subject."),
    KeySpec::default(
        "subject_overflow",
        Kind::Enum(&["refuse", "replace"]),
        "refuse",
        "One subscription more of a subject at its limit: 429, or it gets the location of its oldest that has bytes waiting for its client, else of its oldest of the same stream.",
    ),
    KeySpec::default(
        "resets_per_connection",
        COUNT,
        "1000",
        "HTTP/2 streams of one connection that its client resets, in a minute: more, and it is asked to leave (GOAWAY), and closed when it goes on. Connections of trusted proxies are exempt.",
    ),
    KeySpec::default("accepts_per_second", Kind::integer(1, 1_000_000), "10000", "Connections accepted in a second."),
    KeySpec::default("handshakes_per_second", Kind::integer(1, 1_000_000), "2000", "TLS handshakes begun in a second."),
];

/// `[server]`.
pub(super) fn server(table: &Table<'_>) -> (usize, bool, DrainSettings) {
    let workers = match table.count("workers") {
        0 => available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let drain = table.table("drain");
    let deadline = drain.duration("deadline");
    let mut spread = drain.duration("spread");
    if spread > deadline && drain.contains("spread") {
        drain.report("deadline", "is shorter than spread: clients would be cut off while they are asked to leave");
    }
    spread = spread.min(deadline);
    (workers, table.boolean("watch"), DrainSettings { notice: drain.duration("notice"), spread, deadline })
}

/// `[store]`.
pub(super) fn store(table: &Table<'_>) -> store::Settings {
    let path = match table.get("path") {
        Some(value) => referenced_files::path(&value).unwrap_or_default(),
        None => table.reader.folder.join(table.string_or_default("path")),
    };
    if let Err(reason) = store::examine(&path)
        && !path.as_os_str().is_empty()
    {
        table.report("path", reason);
    }
    store::Settings { path, bytes: table.size("bytes") as u64 }
}

/// `[revocations]`.
pub(super) fn revocations(table: &Table<'_>) -> RevocationSettings {
    let file = table.get("file").and_then(|value| {
        let path = referenced_files::followed(&value)?;
        if let Err(error) = auth::revocations_from_file(&path) {
            value.report(error.to_string());
        }
        Some(path)
    });
    RevocationSettings { file, entries: table.count("entries") }
}

/// `[admin]`.
pub(super) fn admin(table: &Table<'_>) -> Option<admin::Settings> {
    let address = match table.get("address") {
        Some(value) => parsers::address(&value),
        None => table.string_or_default("address").parse().ok(),
    };
    let hosts = table.items("hosts").iter().filter_map(parsers::host).collect();
    Some(admin::Settings { address: address?, hosts })
}

/// `[limits]`, and how many connections and streams together it asks for itself.
pub(super) fn limits(table: &Table<'_>) -> (Limits, usize) {
    let header_bytes = table.size("header_bytes");
    let mut token_bytes = table.size("token_bytes");
    if token_bytes >= header_bytes && table.contains("token_bytes") {
        table.report("token_bytes", "does not fit into limits.header_bytes");
    } else if token_bytes >= header_bytes {
        token_bytes = header_bytes / 2;
    }
    // The declared bounds are far below 2^32.
    let number = |name: &str| u32::try_from(table.integer(name)).unwrap_or(u32::MAX);
    let limits = Limits {
        connections: table.count("connections"),
        connections_per_ip: table.count("connections_per_ip"),
        subscribers: table.count("subscribers"),
        streams: table.count("streams"),
        h2_streams: number("h2_streams"),
        handshake_timeout: table.duration("handshake_timeout"),
        header_timeout: table.duration("header_timeout"),
        idle_timeout: table.duration("idle_timeout"),
        header_bytes,
        token_bytes,
        headers: table.count("headers"),
        stall_timeout: table.duration("stall_timeout"),
        send_buffer: table.size("send_buffer"),
        memory: table.memory("memory"),
        subscriptions_per_subject: table.count("subscriptions_per_subject"),
        subject_overflow: table
            .variant("subject_overflow", &[("refuse", SubjectOverflow::Refuse), ("replace", SubjectOverflow::Replace)]),
        resets_per_connection: number("resets_per_connection"),
        accepts_per_second: number("accepts_per_second"),
        handshakes_per_second: number("handshakes_per_second"),
    };
    let files = [("connections", limits.connections), ("streams", limits.streams)];
    let asked = files.iter().filter(|(name, _)| table.contains(name)).map(|(_, count)| count).sum();
    (limits, asked)
}
