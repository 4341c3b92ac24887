//! The process-wide tables: `[server]`, `[log]`, `[store]`, `[revocations]`, `[admin]`, `[limits]`.
//!
//! Every number has a default and an upper bound. A default is clamped to explicitly set values, such as
//! `spread <= deadline`, instead of being reported as a conflict.

use std::thread::available_parallelism;
use std::time::Duration;

use super::parsers;
use super::referenced_files;
use crate::admin;
use crate::auth;
use crate::config::engine::{Bounds, List, Memory, duration, duration_or_zero, integer, keys, size, variants};
use crate::config::{DrainSettings, RevocationSettings};
use crate::limits::{Limits, StreamOpenRates, SubjectOverflow};
use crate::runtime::memory;
use crate::store;

keys! {
    pub(super) struct ServerTable<'a> {
        /// Number of worker threads, each with its own runtime. 0: one per core.
        workers: usize = "0" in integer(0, 1024),
        /// Reload the configuration when this file or a file that it references changes.
        watch: bool = "true",
        /// Timing of a shutdown.
        drain: DrainTable<'a> = optional,
    }

    struct DrainTable<'a> {
        /// Time between reporting "not ready" and ending the first response, for the load balancer to react. 0s: no
        /// wait.
        notice: Duration = "0s" in duration_or_zero("1ms", "1h"),
        /// Period over which responses are ended, each at a random moment, even if there is only one. 0s: all at once.
        /// Absent: at most deadline.
        spread: Duration = "5s" in duration_or_zero("1ms", "1h"),
        /// Time after which remaining connections are closed, counted from the end of notice. Not below spread.
        deadline: Duration = "30s" in duration("10ms", "1h"),
    }

    pub(super) struct LogTable<'a> {
        /// Include the token's subject in access log lines.
        pub(super) subject: bool = "false",
    }

    pub(super) struct StoreTable<'a> {
        /// Folder of the store.
        path: &'a str = "/var/lib/rillgate",
        /// Maximum size of the stored events. The file may take twice that, plus up to four times replay.bytes of a
        /// busy stream.
        bytes: usize = "1GiB" in size("1MiB", "1024GiB"),
    }

    pub(super) struct RevocationsTable<'a> {
        /// File of revocations, read again when it changes. Absent: only revocations posted to the admin port.
        file: &'a str = optional,
        /// Maximum number of entries.
        entries: usize = "100000" in integer(1, 10_000_000),
    }

    pub(super) struct AdminTable<'a> {
        /// IP address and port. Must not be the address of a listener.
        pub(super) address: &'a str = "127.0.0.1:9464",
        /// Public host names of the admin port. IP addresses and local names are always accepted; requests for other
        /// hosts are refused.
        hosts: List<'a, &'a str> = "[]",
    }
}

const TIMEOUT: Bounds<Duration> = duration("100ms", "10m");

keys! {
    pub(super) struct LimitsTable<'a> {
        /// Open client connections, on all listeners together.
        connections: usize = "100000" in integer(1, 10_000_000),
        /// Open client connections from one address (IPv6: one ip6_prefix), and at most three for each one that is
        /// still free. Trusted proxies have no such limit.
        connections_per_ip: usize = "1000" in integer(1, 10_000_000),
        /// Open subscriptions of one address, over any number of connections. Behind a trusted proxy: of one forwarded
        /// address.
        subscriptions_per_ip: usize = "5000" in integer(1, 10_000_000),
        /// Forwarded requests in progress, of all routes together. Each has one upstream connection.
        forwarded_requests: usize = "10000" in integer(1, 1_000_000),
        /// Forwarded requests in progress of one address. Behind a trusted proxy: of one forwarded address.
        forwarded_requests_per_ip: usize = "1000" in integer(1, 1_000_000),
        /// Bytes of bodies of one address that routes with [routes.post] have received and not sent on. A single body is
        /// only bounded by its route. Behind a trusted proxy: of one forwarded address.
        post_body_bytes_per_ip: usize = "64MiB" in size("64KiB", "64GiB"),
        /// Open streams that only one address has read.
        streams_per_ip: usize = "1000" in integer(1, 10_000_000),
        /// Streams that requests may open per second. Up to ten seconds' worth may be opened at once; a request over
        /// the rate waits, at most delivery.answer_within.
        stream_opens_per_second: StreamOpensTable<'a> = optional,
        /// Length of the IPv6 prefix that counts as one address, in bits.
        ip6_prefix: u8 = "64" in integer(1, 128),
        /// File descriptors that client connections leave to upstreams, keys and the admin port, at most a quarter of all.
        reserved_files: usize = "128" in integer(0, 1_000_000),
        /// Open subscriptions, on all streams together.
        subscribers: usize = "100000" in integer(1, 10_000_000),
        /// Open streams. Each has one upstream connection.
        streams: usize = "10000" in integer(1, 1_000_000),
        /// Concurrent requests on one HTTP/2 connection.
        h2_streams: u32 = "250" in integer(1, 10_000),
        /// Time limit for a TLS handshake, and for the HTTP/2 preface.
        handshake_timeout: Duration = "10s" in TIMEOUT,
        /// Time limit for receiving a complete request head.
        header_timeout: Duration = "10s" in TIMEOUT,
        /// Time after which a kept-alive connection without a request is closed.
        idle_timeout: Duration = "60s" in duration("100ms", "1h"),
        // 8 KiB is the smallest head buffer that hyper supports.
        /// Maximum size of a request head.
        header_bytes: usize = "32KiB" in size("8KiB", "1MiB"),
        /// Maximum length of a token; a longer one is refused with 401. Absent, with header_bytes of 16KiB or less:
        /// half of header_bytes.
        token_bytes: usize = "16KiB" in size("1KiB", "512KiB"),
        /// Maximum number of header fields in a request.
        headers: usize = "100" in integer(8, 1000),
        /// Time after which a client that reads none of the bytes waiting for it is disconnected.
        stall_timeout: Duration = "30s" in duration("100ms", "1h"),
        /// Maximum number of unsent bytes buffered for one client outside the shared event log.
        send_buffer: usize = "16KiB" in size("4KiB", "16MiB"),
        /// Memory bound. Event logs that together exceed it evict their oldest events. While the process exceeds it,
        /// new subscriptions get 503.
        memory: Memory = "80%",
        /// Open subscriptions of one issuer's subject.
        subscriptions_per_subject: usize = "100" in integer(1, 10_000_000),
        /// Treatment of a new subscription of a subject at its limit. "refuse": 429. "replace": it replaces the
        /// subject's oldest subscription whose client does not read, or else the oldest one of the same stream.
        subject_overflow: SubjectOverflow = "refuse",
        /// HTTP/2 streams of one connection that its client may reset, or whose requests may be refused because of what
        /// it sent, per minute. Above it, the client gets GOAWAY, and the connection is closed if it goes on.
        /// Connections of trusted proxies are exempt.
        resets_per_connection: u32 = "1000" in integer(1, 10_000_000),
        /// Connections accepted per second.
        accepts_per_second: u32 = "10000" in integer(1, 1_000_000),
        /// TLS handshakes started per second.
        handshakes_per_second: u32 = "2000" in integer(1, 1_000_000),
    }

    struct StreamOpensTable<'a> {
        /// Streams of one address. Over the rate: 429.
        ip: u32 = "20" in integer(1, 1_000_000),
        /// Streams of one route. Over the rate: 503.
        route: u32 = "500" in integer(1, 1_000_000),
    }
}

variants!(SubjectOverflow { "refuse" => Refuse, "replace" => Replace });

/// Reads `[server]`: the number of workers, `watch`, and the timing of a shutdown.
pub(super) fn server(table: &ServerTable<'_>) -> (usize, bool, DrainSettings) {
    let workers = match table.workers.get() {
        0 => available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let drain = table.drain.table();
    let deadline = drain.deadline.get();
    let mut spread = drain.spread.get();
    if spread > deadline && drain.spread.is_given() {
        drain.deadline.report("must not be shorter than spread");
    }
    spread = spread.min(deadline);
    (workers, table.watch.get(), DrainSettings { notice: drain.notice.get(), spread, deadline })
}

/// Reads `[store]` and checks that the folder is usable.
pub(super) fn store(table: &StoreTable<'_>) -> store::Settings {
    let path = match table.path.value() {
        Some(value) => referenced_files::path(&value).unwrap_or_default(),
        None => table.path.reader.folder.join(table.path.get()),
    };
    if let Err(reason) = store::examine(&path)
        && !path.as_os_str().is_empty()
    {
        table.path.report(reason);
    }
    store::Settings { path, bytes: table.bytes.get() as u64 }
}

/// Reads `[revocations]` and checks the file.
pub(super) fn revocations(table: &RevocationsTable<'_>) -> RevocationSettings {
    let file = table.file.value().and_then(|value| {
        let path = referenced_files::watched_path(&value)?;
        if let Err(error) = auth::revocations_from_file(&path) {
            value.report(error.to_string());
        }
        Some(path)
    });
    RevocationSettings { file, entries: table.entries.get() }
}

/// Reads `[admin]`.
pub(super) fn admin(table: &AdminTable<'_>) -> Option<admin::Settings> {
    let address = match table.address.value() {
        Some(value) => parsers::address(&value),
        None => table.address.get().parse().ok(),
    };
    let hosts = table.hosts.items().iter().filter_map(parsers::host).collect();
    Some(admin::Settings { address: address?, hosts })
}

/// Reads `[limits]`. Also returns the sum of `connections` and `streams`, counting only keys present in the file.
pub(super) fn limits(table: &LimitsTable<'_>) -> (Limits, usize) {
    let header_bytes = table.header_bytes.get();
    let mut token_bytes = table.token_bytes.get();
    if token_bytes >= header_bytes && table.token_bytes.is_given() {
        table.token_bytes.report("must be smaller than limits.header_bytes");
    } else if token_bytes >= header_bytes {
        token_bytes = header_bytes / 2;
    }
    let limits = Limits {
        connections: table.connections.get(),
        connections_per_ip: table.connections_per_ip.get(),
        subscriptions_per_ip: table.subscriptions_per_ip.get(),
        forwarded_requests: table.forwarded_requests.get(),
        forwarded_requests_per_ip: table.forwarded_requests_per_ip.get(),
        post_body_bytes_per_ip: table.post_body_bytes_per_ip.get(),
        streams_per_ip: table.streams_per_ip.get(),
        stream_opens_per_second: stream_open_rates(&table.stream_opens_per_second.table()),
        ip6_prefix: table.ip6_prefix.get(),
        reserved_files: table.reserved_files.get(),
        subscribers: table.subscribers.get(),
        streams: table.streams.get(),
        h2_streams: table.h2_streams.get(),
        handshake_timeout: table.handshake_timeout.get(),
        header_timeout: table.header_timeout.get(),
        idle_timeout: table.idle_timeout.get(),
        header_bytes,
        token_bytes,
        headers: table.headers.get(),
        stall_timeout: table.stall_timeout.get(),
        send_buffer: table.send_buffer.get(),
        memory: memory_bytes(table.memory.get()),
        subscriptions_per_subject: table.subscriptions_per_subject.get(),
        subject_overflow: table.subject_overflow.get(),
        resets_per_connection: table.resets_per_connection.get(),
        accepts_per_second: table.accepts_per_second.get(),
        handshakes_per_second: table.handshakes_per_second.get(),
    };
    let sockets = [&table.connections, &table.streams];
    let configured = sockets.iter().filter(|key| key.is_given()).map(|key| key.get()).sum();
    (limits, configured)
}

fn stream_open_rates(table: &StreamOpensTable<'_>) -> StreamOpenRates {
    StreamOpenRates { ip: table.ip.get(), route: table.route.get() }
}

/// Resolves a percentage of the memory that is available now. Returns `None` if the system does not report it.
fn memory_bytes(bound: Memory) -> Option<u64> {
    match bound {
        Memory::Bytes(bytes) => Some(bytes),
        Memory::Percent(percent) => memory::available().map(|bytes| bytes / 100 * u64::from(percent)),
    }
}
