//! The process-wide tables: `[server]`, `[log]`, `[store]`, `[revocations]`, `[admin]`, `[limits]`.
//!
//! Every number has a default and an upper bound. A default is clamped to explicitly set values, such as
//! `spread <= deadline`, instead of being reported as a conflict.

use std::thread::available_parallelism;

use super::parsers;
use super::referenced_files;
use crate::admin;
use crate::auth;
use crate::config::engine::{KeySpec, Kind, Memory, Table};
use crate::config::{DrainSettings, RevocationSettings};
use crate::limits::{Limits, StreamOpenRates, SubjectOverflow};
use crate::runtime::memory;
use crate::store;

pub(super) const SERVER: &[KeySpec] = &[
    KeySpec::default(
        "workers",
        Kind::integer(0, 1024),
        "0",
        "Number of worker threads, each with its own runtime. 0: one per core.",
    ),
    KeySpec::default(
        "watch",
        Kind::Bool,
        "true",
        "Reload the configuration when this file or a file that it references changes.",
    ),
    KeySpec::optional("drain", Kind::Table(DRAIN), "Timing of a shutdown."),
];

const DRAIN: &[KeySpec] = &[
    KeySpec::default(
        "notice",
        Kind::duration_or_zero("1ms", "1h"),
        "0s",
        "Time between reporting \"not ready\" and ending the first response, for the load balancer to react. 0s: no wait.",
    ),
    KeySpec::default(
        "spread",
        Kind::duration_or_zero("1ms", "1h"),
        "5s",
        "Period over which responses are ended, each at a random moment, even if there is only one. 0s: all at once. Absent: at most deadline.",
    ),
    KeySpec::default(
        "deadline",
        Kind::duration("10ms", "1h"),
        "30s",
        "Time after which remaining connections are closed, counted from the end of notice. Not below spread.",
    ),
];

pub(super) const LOG: &[KeySpec] =
    &[KeySpec::default("subject", Kind::Bool, "false", "Include the token's subject in access log lines.")];

pub(super) const STORE: &[KeySpec] = &[
    KeySpec::default("path", Kind::String, "/var/lib/rillgate", "Folder of the store."),
    KeySpec::default(
        "bytes",
        Kind::size("1MiB", "1024GiB"),
        "1GiB",
        "Maximum size of the stored events. The file may take twice that, plus up to four times replay.bytes of a busy stream.",
    ),
];

pub(super) const REVOCATIONS: &[KeySpec] = &[
    KeySpec::optional(
        "file",
        Kind::String,
        "File of revocations, read again when it changes. Absent: only revocations posted to the admin port.",
    ),
    KeySpec::default("entries", Kind::integer(1, 10_000_000), "100000", "Maximum number of entries."),
];

pub(super) const ADMIN: &[KeySpec] = &[
    KeySpec::default(
        "address",
        Kind::String,
        "127.0.0.1:9464",
        "IP address and port. Must not be the address of a listener.",
    ),
    KeySpec::default(
        "hosts",
        Kind::List(&Kind::String),
        "[]",
        "Public host names of the admin port. IP addresses and local names are always accepted; requests for other hosts are refused.",
    ),
];

const COUNT: Kind = Kind::integer(1, 10_000_000);
const TIMEOUT: Kind = Kind::duration("100ms", "10m");

pub(super) const LIMITS: &[KeySpec] = &[
    KeySpec::default("connections", COUNT, "100000", "Open client connections, on all listeners together."),
    KeySpec::default(
        "connections_per_ip",
        COUNT,
        "1000",
        "Open client connections from one address (IPv6: one ip6_prefix). Trusted proxies have no such limit.",
    ),
    KeySpec::default(
        "subscriptions_per_ip",
        COUNT,
        "5000",
        "Open subscriptions of one address, over any number of connections. Behind a trusted proxy: of one forwarded address.",
    ),
    KeySpec::default("streams_per_ip", COUNT, "1000", "Open streams that only one address has read."),
    KeySpec::optional(
        "stream_opens_per_second",
        Kind::Table(STREAM_OPENS),
        "Streams that requests may open per second. Up to ten seconds' worth may be opened at once; a request over the rate waits, at most delivery.answer_within.",
    ),
    KeySpec::default(
        "ip6_prefix",
        Kind::integer(1, 128),
        "64",
        "Length of the IPv6 prefix that counts as one address, in bits.",
    ),
    KeySpec::default("subscribers", COUNT, "100000", "Open subscriptions, on all streams together."),
    KeySpec::default(
        "streams",
        Kind::integer(1, 1_000_000),
        "10000",
        "Open streams. Each has one upstream connection.",
    ),
    KeySpec::default("h2_streams", Kind::integer(1, 10_000), "250", "Concurrent requests on one HTTP/2 connection."),
    KeySpec::default(
        "handshake_timeout",
        TIMEOUT,
        "10s",
        "Time limit for a TLS handshake, and for the HTTP/2 preface.",
    ),
    KeySpec::default("header_timeout", TIMEOUT, "10s", "Time limit for receiving a complete request head."),
    KeySpec::default(
        "idle_timeout",
        Kind::duration("100ms", "1h"),
        "60s",
        "Time after which a kept-alive connection without a request is closed.",
    ),
    // 8 KiB is the smallest head buffer that hyper supports.
    KeySpec::default("header_bytes", Kind::size("8KiB", "1MiB"), "32KiB", "Maximum size of a request head."),
    KeySpec::default(
        "token_bytes",
        Kind::size("1KiB", "512KiB"),
        "16KiB",
        "Maximum length of a token; a longer one is refused with 401. Absent, with header_bytes of 16KiB or less: half of header_bytes.",
    ),
    KeySpec::default("headers", Kind::integer(8, 1000), "100", "Maximum number of header fields in a request."),
    KeySpec::default(
        "stall_timeout",
        Kind::duration("100ms", "1h"),
        "30s",
        "Time after which a client that reads none of the bytes waiting for it is disconnected.",
    ),
    KeySpec::default(
        "send_buffer",
        Kind::size("4KiB", "16MiB"),
        "16KiB",
        "Maximum number of unsent bytes buffered for one client outside the shared event log.",
    ),
    KeySpec::default(
        "memory",
        Kind::Memory,
        "80%",
        "Memory bound. Event logs that together exceed it evict their oldest events. While the process exceeds it, new subscriptions get 503.",
    ),
    KeySpec::default("subscriptions_per_subject", COUNT, "100", "Open subscriptions of one issuer's subject."),
    KeySpec::default(
        "subject_overflow",
        Kind::Enum(&["refuse", "replace"]),
        "refuse",
        "Treatment of a new subscription of a subject at its limit. \"refuse\": 429. \"replace\": it replaces the subject's oldest subscription whose client does not read, or else the oldest one of the same stream.",
    ),
    KeySpec::default(
        "resets_per_connection",
        COUNT,
        "1000",
        "HTTP/2 streams of one connection that its client may reset per minute. Above it, the client gets GOAWAY, and the connection is closed if the resets continue. Connections of trusted proxies are exempt.",
    ),
    KeySpec::default("accepts_per_second", Kind::integer(1, 1_000_000), "10000", "Connections accepted per second."),
    KeySpec::default(
        "handshakes_per_second",
        Kind::integer(1, 1_000_000),
        "2000",
        "TLS handshakes started per second.",
    ),
];

/// Reads `[server]`: the number of workers, `watch`, and the timing of a shutdown.
pub(super) fn server(table: &Table<'_>) -> (usize, bool, DrainSettings) {
    let workers = match table.count("workers") {
        0 => available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let drain = table.table("drain");
    let deadline = drain.duration("deadline");
    let mut spread = drain.duration("spread");
    if spread > deadline && drain.contains("spread") {
        drain.report("deadline", "must not be shorter than spread");
    }
    spread = spread.min(deadline);
    (workers, table.boolean("watch"), DrainSettings { notice: drain.duration("notice"), spread, deadline })
}

/// Reads `[store]` and checks that the folder is usable.
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

/// Reads `[revocations]` and checks the file.
pub(super) fn revocations(table: &Table<'_>) -> RevocationSettings {
    let file = table.get("file").and_then(|value| {
        let path = referenced_files::watched_path(&value)?;
        if let Err(error) = auth::revocations_from_file(&path) {
            value.report(error.to_string());
        }
        Some(path)
    });
    RevocationSettings { file, entries: table.count("entries") }
}

/// Reads `[admin]`.
pub(super) fn admin(table: &Table<'_>) -> Option<admin::Settings> {
    let address = match table.get("address") {
        Some(value) => parsers::address(&value),
        None => table.string_or_default("address").parse().ok(),
    };
    let hosts = table.items("hosts").iter().filter_map(parsers::host).collect();
    Some(admin::Settings { address: address?, hosts })
}

const STREAM_OPENS: &[KeySpec] = &[
    KeySpec::default("ip", Kind::integer(1, 1_000_000), "20", "Streams of one address. Over the rate: 429."),
    KeySpec::default("route", Kind::integer(1, 1_000_000), "500", "Streams of one route. Over the rate: 503."),
];

/// Reads `[limits]`. Also returns the sum of `connections` and `streams`, counting only keys present in the file.
pub(super) fn limits(table: &Table<'_>) -> (Limits, usize) {
    let header_bytes = table.size("header_bytes");
    let mut token_bytes = table.size("token_bytes");
    if token_bytes >= header_bytes && table.contains("token_bytes") {
        table.report("token_bytes", "must be smaller than limits.header_bytes");
    } else if token_bytes >= header_bytes {
        token_bytes = header_bytes / 2;
    }
    // The declared bounds are far below 2^32.
    let number = |name: &str| u32::try_from(table.integer(name)).unwrap_or(u32::MAX);
    let limits = Limits {
        connections: table.count("connections"),
        connections_per_ip: table.count("connections_per_ip"),
        subscriptions_per_ip: table.count("subscriptions_per_ip"),
        streams_per_ip: table.count("streams_per_ip"),
        stream_opens_per_second: stream_open_rates(&table.table("stream_opens_per_second")),
        ip6_prefix: u8::try_from(table.integer("ip6_prefix")).unwrap_or(128),
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
        memory: memory_bytes(table.memory("memory")),
        subscriptions_per_subject: table.count("subscriptions_per_subject"),
        subject_overflow: table
            .variant("subject_overflow", &[("refuse", SubjectOverflow::Refuse), ("replace", SubjectOverflow::Replace)]),
        resets_per_connection: number("resets_per_connection"),
        accepts_per_second: number("accepts_per_second"),
        handshakes_per_second: number("handshakes_per_second"),
    };
    let sockets = [("connections", limits.connections), ("streams", limits.streams)];
    let configured = sockets.iter().filter(|(name, _)| table.contains(name)).map(|(_, count)| count).sum();
    (limits, configured)
}

fn stream_open_rates(table: &Table<'_>) -> StreamOpenRates {
    // The declared bounds are far below 2^32.
    let rate = |name: &str| u32::try_from(table.integer(name)).unwrap_or(u32::MAX);
    StreamOpenRates { ip: rate("ip"), route: rate("route") }
}

/// Resolves a percentage of the memory that is available now. Returns `None` if the system does not report it.
fn memory_bytes(bound: Memory) -> Option<u64> {
    match bound {
        Memory::Bytes(bytes) => Some(bytes),
        Memory::Percent(percent) => memory::available().map(|bytes| bytes / 100 * u64::from(percent)),
    }
}
