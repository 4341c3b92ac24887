//! The cost of an event for the thread that appends it, while its readers are on other workers.
//!
//!     cargo bench --bench wake                       nanoseconds, for 100 and 10,000 readers on 1, 2 and 4 workers
//!     cargo bench --bench wake -- 10000 2            for 10,000 readers on 2 workers
//!     valgrind --tool=callgrind --toggle-collect='*append_one*' target/release/deps/wake-* 10000 2
//!
//! All readers have been served and wait again before the next event, so that each event wakes all of them. The time they
//! take is not part of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rillgate::runtime::workers::Workers;
use rillgate::sse::{Event, EventId, Frame};
use rillgate::stream::{
    Entry, EntryKind, EventStream, Ids, LivePolicy, Policy, Ready, StreamIdentity, StreamKey, Subscription,
};

const EVENTS: usize = 200;

fn main() {
    // cargo adds options of its own.
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    match numbers[..] {
        [readers, workers] => measure(readers, workers),
        _ => [1, 2, 4]
            .into_iter()
            .for_each(|workers| [100, 10_000].into_iter().for_each(|readers| measure(readers, workers))),
    }
}

fn measure(readers: usize, count: usize) {
    let (workers, threads) = Workers::start(count).expect("threads");
    let key = StreamKey {
        route: "prices".into(),
        path: "/prices".to_owned(),
        shared: Vec::new(),
        identity: StreamIdentity::default(),
    };
    let stream = EventStream::new(key, Ids::Keep, LivePolicy::new(Policy::default()));
    let served = Arc::new(AtomicUsize::new(0));
    for _ in 0..readers {
        let (stream, served) = (stream.clone(), served.clone());
        workers.next().spawn(async move {
            let mut subscription = Subscription::new(&stream);
            loop {
                served.fetch_add(1, Ordering::Release);
                if subscription.ready().await != Ready::Entries || subscription.take(usize::MAX, u64::MAX).is_err() {
                    return;
                }
            }
        });
    }

    let mut times: Vec<_> = (0..EVENTS)
        .map(|number| {
            while served.load(Ordering::Acquire) < readers * (number + 1) {
                std::thread::park_timeout(Duration::from_micros(100));
            }
            // The last reader registers its waker after it has counted itself.
            std::thread::park_timeout(Duration::from_micros(200));
            append_one(&stream, entry(number))
        })
        .collect();

    times.sort_unstable();
    println!(
        "{readers:>6} readers on {count} workers: {:>8} ns for an event (median of {EVENTS})",
        times[EVENTS / 2].as_nanos()
    );
    workers.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

/// A function of its own, so that what counts instructions finds it.
#[inline(never)]
fn append_one(stream: &EventStream, entry: Entry) -> Duration {
    let start = Instant::now();
    stream.publish([entry]);
    start.elapsed()
}

fn entry(number: usize) -> Entry {
    let id = EventId::new(number.to_string()).expect("a number is an id");
    let event = Event { kind: "price".to_owned(), data: "x".repeat(200), id: Some(id.clone()) };
    Entry {
        frame: Frame::from(&event),
        source_id: id.clone(),
        id,
        kind: EntryKind::Event { fingerprint: number as u64, has_own_id: true, type_fingerprint: 0 },
        at: Instant::now(),
    }
}
