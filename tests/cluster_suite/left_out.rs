//! The tests of `tests/gateway` that have one gateway here, and the files that do not run here.
//!
//! Always true: each has a reason, and each exists. Nothing else is left out.

use std::collections::BTreeSet;
use std::process::Command;

/// Tests of facts that are each gateway's own. Their gateway has a shared log, and no balancer before it.
pub const ON_ONE_GATEWAY: &[(&str, &str)] = &[
    ("drain::a_request_during_the_drain_gets_503", "the balancer accepts connections that a gateway refuses"),
    (
        "drain::a_second_signal_ends_the_process_at_once",
        "the first signal is told by each gateway at a time of its own",
    ),
    (
        "finite::an_upstream_204_completes_the_stream",
        "with on_end = \"reconnect\" a gateway that did not follow the stream asks the upstream once more",
    ),
    (
        "pending::a_refusal_after_the_head_is_an_error_event_and_the_next_status",
        "a gateway that does not know the stream yet may need longer than the 20 ms of the test",
    ),
    (
        "pending::a_stream_found_complete_after_the_head_ends_cleanly_then_204",
        "a gateway that does not know the stream yet may need longer than the 20 ms of the test",
    ),
    (
        "read_through::one_client_has_at_most_a_quarter_of_the_requests_for_history",
        "the balancer hides the client's address",
    ),
    ("stuck::an_upstream_that_fails_at_the_same_id_is_stuck_until_it_advances", "only the owner knows it"),
    ("upstream_silence::streams_report_the_silence_of_their_upstream", "only the owner knows it"),
    ("upstream_token::a_file_that_is_missing_at_the_first_connect_is_reported_once", "once by each gateway"),
    ("upstream_token::a_renewed_token_is_sent_at_the_next_connect_and_ends_nothing", "told once by each gateway"),
    ("watching::a_changed_file_is_loaded_and_a_broken_one_refused_once", "told once by each gateway"),
    ("watching::changed_and_new_secret_files_are_read", "the files are in the folder of one gateway"),
    ("watching::the_symlink_swap_of_a_mounted_volume_is_detected", "the files are in the folder of one gateway"),
];

/// Tests whose gateway is alone and has its log in memory.
pub const ALONE: &[(&str, &str)] = &[
    ("resume::a_generated_id_of_an_earlier_epoch_is_a_gap", "a shared log outlives its readers: the id is evicted"),
    ("upstream_secrets::a_disk_log_survives_a_changed_secret", "the log is on disk"),
];

/// Files of `tests/gateway` whose tests do not depend on where a log is, or need it elsewhere.
const NOT_HERE: &[(&[&str], &str)] = &[
    (
        &[
            "accept_limits",
            "access_lines",
            "address_shares",
            "busy_worker",
            "client_address",
            "compression",
            "doctor",
            "doctor_fixture",
            "front_proxies",
            "handshakes",
            "hardening",
            "hardening_http2",
            "http2_windows",
            "limit_reload",
            "limits",
            "log_lines",
            "memory",
            "operations",
            "operator",
            "paths",
            "proxy_protocol",
            "refusals",
            "request_ids",
            "service_manager",
            "sockets",
            "tls",
            "tls_interop",
            "tls_workers",
            "unread_responses",
            "upgrade",
            "upstream_shares",
        ],
        "connections, requests, limits and the process itself, which are each gateway's own",
    ),
    (&["auth"], "who may read what is decided before a stream; tests/cluster has what gateways share of it"),
    (&["dashboard", "prometheus", "reload_storm"], "figures of one gateway"),
    (
        &["client_ids", "clients", "compatibility", "failover_fixture", "last_event_ids", "producers"],
        "programs that others wrote, for which a balancer is a gateway",
    ),
    (&["store"], "logs on disk, which a shared log replaces"),
    (&["chain", "chain_fixture", "chain_http2", "chain_load", "chain_restarts", "chain_verdicts"], "gateways in a row"),
    (&["support", "support_tests"], "tools, and tests of tools"),
];

/// The gateways of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateways {
    /// Three, behind HAProxy.
    Three,
    /// One with a shared log.
    One,
    /// One with a log of its own.
    Alone,
}

impl Gateways {
    /// Returns what the test that calls this has.
    ///
    /// # Panics
    /// Panics if the tests run on one thread, which then has no test's name.
    pub fn of_this_test() -> Self {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or_default();
        assert_ne!(test, "main", "the tests have to run on two threads at least: --test-threads=8");
        let is_in = |list: &[(&str, &str)]| list.iter().any(|(name, _)| *name == test);
        match std::env::var("RILLGATE_GATEWAYS").is_ok_and(|count| count == "1") {
            _ if is_in(ALONE) => Self::Alone,
            false if !is_in(ON_ONE_GATEWAY) => Self::Three,
            true | false => Self::One,
        }
    }
}

#[test]
fn every_test_with_one_gateway_exists() {
    let output = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let tests: BTreeSet<_> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();

    for (name, _) in ON_ONE_GATEWAY.iter().chain(ALONE) {
        assert!(tests.contains(name), "{name}");
    }
}

#[test]
fn every_file_of_the_gateway_s_tests_is_here_or_named() {
    let here = modules(include_str!("main.rs"));
    let named: BTreeSet<_> = NOT_HERE.iter().flat_map(|(files, _)| files.iter().copied()).collect();

    let all = modules(include_str!("../gateway/main.rs"));
    let missing: Vec<_> = all.iter().filter(|file| !here.contains(*file) && !named.contains(*file)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let stale: Vec<_> = named.iter().filter(|file| !all.contains(*file)).collect();
    assert!(stale.is_empty(), "{stale:?}");
}

fn modules(main: &str) -> BTreeSet<&str> {
    main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect()
}
