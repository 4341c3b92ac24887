//! The cost of one event and one subscription, without sockets. Method and last figures: benches/README.md.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use jsonwebtoken::Algorithm;
use rillgate::auth::mint::{SigningKey, TokenSpec, mint};
use rillgate::auth::{
    Authorizer, Credentials, Denied, Issuer, IssuerSettings, Issuers, KeySource, Requested, RuleSettings, TokenFault,
    TokenSource, TrustStore,
};
use rillgate::runtime::panics::Panics;
use rillgate::secret::Secret;
use rillgate::sse::{Event, EventId, Frame, Item, Parser};
use rillgate::store::{Settings, Store};
use rillgate::stream::{
    Entry, EntryKind, EventLog, EventStream, Ids, LivePolicy, LogStore, Policy, Retention, StreamIdentity, StreamKey,
};
use rillgate::telemetry::Metrics;

fn event(number: usize) -> Event {
    Event { kind: "price".to_owned(), data: "x".repeat(200), id: EventId::new(number.to_string()).ok() }
}

fn entry(number: usize) -> Entry {
    let event = event(number);
    Entry {
        frame: Frame::from(&event),
        source_id: event.id.clone().expect("a number is an id"),
        id: event.id.expect("a number is an id"),
        kind: EntryKind::Event { fingerprint: number as u64, has_own_id: true, type_fingerprint: 0 },
        at: Instant::now(),
    }
}

fn filled(events: usize) -> EventLog {
    let retention = Retention { events, bytes: usize::MAX, age: Duration::MAX };
    let mut log = EventLog::new(retention);
    for number in 0..events {
        log.append(entry(number));
    }
    log
}

fn parse(criterion: &mut Criterion) {
    let mut bytes = Vec::new();
    for number in 0..100 {
        bytes.extend_from_slice(&Frame::from(&event(number)).body());
    }
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("100 events of 200 bytes", |bencher| {
        bencher.iter(|| {
            let mut items = Vec::new();
            Parser::new(1 << 20).push(black_box(&bytes), &mut items);
            assert!(matches!(items.last(), Some(Item::Event(_))));
            items
        });
    });
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let event = event(7);
    criterion.bench_function("encode 200 bytes", |bencher| bencher.iter(|| Frame::from(black_box(&event))));
}

fn log(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event log");
    for size in [10, 10_000, 1_000_000] {
        let mut log = filled(size);
        let mut number = size;
        group.bench_function(format!("append to {size}"), |bencher| {
            bencher.iter_batched(
                || {
                    number += 1;
                    entry(number)
                },
                |entry| log.append(entry),
                BatchSize::SmallInput,
            );
        });
        let log = filled(size);
        let id = (size / 2).to_string();
        group.bench_function(format!("look up in {size}"), |bencher| bencher.iter(|| log.lookup(black_box(&id))));
    }
    group.finish();
}

/// A token of one issuer with one key, checked as a request's is: found in the head, taken apart, its signature, times,
/// audience and streams looked at, and whether it was revoked.
fn token(criterion: &mut Criterion) {
    rillgate::auth::install_provider();
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = criterion.benchmark_group("token");
    for (algorithm, key_pair_kind) in [
        (Algorithm::HS256, None),
        (Algorithm::ES256, Some(&rcgen::PKCS_ECDSA_P256_SHA256)),
        (Algorithm::EdDSA, Some(&rcgen::PKCS_ED25519)),
        (Algorithm::RS256, Some(&rcgen::PKCS_RSA_SHA256)),
    ] {
        let (key, source) = keys(algorithm, key_pair_kind, folder.path());
        let now = SystemTime::now();
        let token = mint(&key, &order(), now).expect("a token");
        if algorithm == Algorithm::HS256 {
            group
                .bench_function("mint (HS256)", |bencher| bencher.iter(|| mint(&key, &order(), now).expect("a token")));
        }
        let authorizer = authorizer(source, algorithm);
        let mut headers = http::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().expect("a header value"));
        group.bench_function(format!("check ({algorithm:?})"), |bencher| {
            bencher.iter(|| {
                let request = Credentials { headers: black_box(&headers), query: None, is_trusted_origin: &|_| false };
                let wanted = Requested { path: "/prices/EURUSD", captures: &[], shared: None };
                runtime.block_on(authorizer.authorize(request, wanted, now)).expect("a good token")
            });
        });
    }
    group.finish();
}

/// Tokens of 4 KB with a wrong signature: each another one, or one again and again.
fn refused_token(criterion: &mut Criterion) {
    rillgate::auth::install_provider();
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = criterion.benchmark_group("token");
    for (algorithm, key_pair_kind, signature_characters) in [
        (Algorithm::ES256, &rcgen::PKCS_ECDSA_P256_SHA256, 86),
        (Algorithm::EdDSA, &rcgen::PKCS_ED25519, 86),
        (Algorithm::RS256, &rcgen::PKCS_RSA_SHA256, 342),
    ] {
        let (key, source) = keys(algorithm, Some(key_pair_kind), folder.path());
        let now = SystemTime::now();
        let mut spec = order();
        spec.claims.insert("padding".to_owned(), "x".repeat(2800).into());
        let token = mint(&key, &spec, now).expect("a token");
        let (message, _) = token.rsplit_once('.').expect("three parts");
        let forged = |number: usize| {
            let mut headers = http::HeaderMap::new();
            // Within the range of each algorithm, or the signature would be refused without arithmetic.
            let signature = format!("BBBB{number:B<width$}A", width = signature_characters - 5);
            headers.insert("authorization", format!("Bearer {message}.{signature}").parse().expect("a header value"));
            headers
        };
        let authorizer = authorizer(source, algorithm);
        let refuse = |headers: &http::HeaderMap| {
            let request = Credentials { headers: black_box(headers), query: None, is_trusted_origin: &|_| false };
            let wanted = Requested { path: "/prices/EURUSD", captures: &[], shared: None };
            let refused = runtime.block_on(authorizer.authorize(request, wanted, now));
            assert_eq!(refused.err(), Some(Denied::Invalid(TokenFault::Signature)));
        };
        let mut number = 0;
        group.bench_function(format!("refuse 4 KB ({algorithm:?}), at first"), |bencher| {
            let next = || {
                number += 1;
                forged(number)
            };
            bencher.iter_batched(next, |headers| refuse(&headers), BatchSize::SmallInput);
        });
        let same = forged(0);
        group.bench_function(format!("refuse 4 KB ({algorithm:?}), again"), |bencher| bencher.iter(|| refuse(&same)));
    }
    group.finish();
}

/// Returns the signing key, and the source of the key that verifies: a shared secret without `key_pair_kind`.
fn keys(
    algorithm: Algorithm,
    key_pair_kind: Option<&'static rcgen::SignatureAlgorithm>,
    folder: &std::path::Path,
) -> (SigningKey, KeySource) {
    let Some(kind) = key_pair_kind else {
        let key = SigningKey::read(&[7; 32], Some(algorithm)).expect("a secret");
        return (key, KeySource::Secret { secret: Secret::new(vec![7; 32]), algorithm, kid: None });
    };
    let pair = rcgen::KeyPair::generate_for(kind).expect("a key");
    let path = folder.join(format!("{algorithm:?}.pem"));
    std::fs::write(&path, pair.public_key_pem()).expect("a file");
    let key = SigningKey::read(pair.serialize_pem().as_bytes(), Some(algorithm)).expect("a private key");
    (key, KeySource::PemFile { path, algorithm, kid: None })
}

fn authorizer(source: KeySource, algorithm: Algorithm) -> Authorizer {
    let trust = TrustStore::new(1000);
    let settings = IssuerSettings {
        audience_claim: None,
        name: "main".to_owned(),
        issuer: order().issuer,
        audience: order().audience,
        algorithms: vec![algorithm],
        keys: vec![source],
        leeway: Duration::from_secs(5),
        typ: None,
    };
    let issuer = Issuer::load(settings, trust.change_signal(), Arc::new(|_, _| {})).expect("an issuer");
    trust.replace_issuers(Issuers::from([("main".to_owned(), Arc::new(issuer))]));
    let rules = RuleSettings {
        issuers: vec!["main".to_owned()],
        token_from: vec![TokenSource::Header],
        token_bytes: 16 * 1024,
        streams_claim: Some("streams".to_owned()),
        require: vec![],
        bind: vec![],
        shared: vec![],
        enforce: true,
        tickets: false,
        expiry_spread: Duration::from_secs(10),
        ticket_ttl: Duration::from_secs(30),
    };
    let trust = Arc::new(trust);
    Authorizer::new(rules, &trust.issuers(), trust.clone()).expect("an authorizer")
}

fn order() -> TokenSpec {
    TokenSpec {
        issuer: "https://id.example.com/".to_owned(),
        audience: vec!["rillgate".to_owned()],
        subject: Some("someone".to_owned()),
        ttl: Duration::from_secs(3600),
        claims: serde_json::Map::from_iter([("streams".to_owned(), serde_json::json!(["/prices/*"]))]),
        kid: None,
        typ: None,
    }
}

/// Time on a processor, and not on the clock: the disk is waited for by a thread of its own.
fn store(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings { path: folder.path().to_owned(), bytes: 1 << 30 };
    let store = Store::start(settings, Metrics::new("0").store().clone(), Panics::default()).expect("a thread");
    let key = StreamKey {
        route: "prices".into(),
        path: "/prices".to_owned(),
        shared: Vec::new(),
        identity: StreamIdentity::default(),
    };
    let stream = EventStream::with_restorable_log(key, Ids::Keep, LivePolicy::new(Policy::default()));
    let journal = store.open(&stream).expect("nothing is queued");
    stream.attach_persister(journal.clone());
    let mut number = 0;
    let mut group = criterion.benchmark_group("store a transaction of");
    // Each takes 50 ms and more on the clock.
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_millis(30));
    for events in [1, 50, 500] {
        group.throughput(Throughput::Elements(events));
        group.bench_function(format!("{events} events"), |bencher| {
            bencher.iter_custom(|times| {
                let before = time_of_the_store();
                for _ in 0..times {
                    let entries: Vec<_> = (0..events).map(|index| entry(number + index as usize)).collect();
                    number += entries.len();
                    stream.publish(entries);
                    while journal.persisted_until() < Some(stream.progress().end) {
                        std::thread::park_timeout(Duration::from_millis(2));
                    }
                }
                time_of_the_store().saturating_sub(before)
            });
        });
    }
    group.finish();
    store.stop();
}

/// Returns the CPU time of the store's thread.
fn time_of_the_store() -> Duration {
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    // A thread has its name only once it has run.
    let find = || {
        let mut threads = std::fs::read_dir("/proc/self/task").expect("Linux").flatten().map(|thread| thread.path());
        threads.find(|thread| read(thread.join("comm")).contains("store"))
    };
    let thread = (0..1000).find_map(|_| {
        let found = find();
        if found.is_none() {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        found
    });
    let thread = thread.expect("the store's thread");
    let ran = read(thread.join("schedstat")).split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok());
    Duration::from_nanos(ran.expect("the kernel keeps account"))
}

criterion_group!(benches, parse, encode, log, store, token, refused_token);
criterion_main!(benches);
