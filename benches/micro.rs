//! What one event and one subscription cost, without sockets. Method and last figures: benches/README.md.

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rillgate::auth::mint::{Order, SigningKey, mint};
use rillgate::sse::{Event, EventId, Frame, Item, Parser};
use rillgate::stream::{Entry, EntryKind, EventLog, Retention};

fn event(number: usize) -> Event {
    Event { kind: "price".to_owned(), data: "x".repeat(200), id: EventId::new(number.to_string()).ok() }
}

fn entry(number: usize) -> Entry {
    let event = event(number);
    Entry {
        frame: Frame::from(&event),
        source_id: event.id.clone().expect("a number is an id"),
        id: event.id.expect("a number is an id"),
        kind: EntryKind::Event { fingerprint: number as u64, has_own_id: true, topic: 0 },
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
            Parser::new(1 << 20).push(black_box(&bytes), &mut items).expect("small events");
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
        group.bench_function(format!("look up in {size}"), |bencher| bencher.iter(|| log.place(black_box(&id))));
    }
    group.finish();
}

fn token(criterion: &mut Criterion) {
    rillgate::auth::install_provider();
    let key = SigningKey::read(&[7; 32], None).expect("a secret");
    let order = Order {
        issuer: "https://id.example.com/".to_owned(),
        audience: vec!["rillgate".to_owned()],
        subject: Some("someone".to_owned()),
        ttl: Duration::from_secs(3600),
        claims: serde_json::Map::new(),
        kid: None,
        typ: None,
    };
    criterion.bench_function("mint a token (HS256)", |bencher| {
        bencher.iter(|| mint(&key, &order, SystemTime::now()).expect("a token"));
    });
}

criterion_group!(benches, parse, encode, log, token);
criterion_main!(benches);
