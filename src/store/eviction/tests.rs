//! Tests of the removal of closed streams, over a real file.

use std::collections::BTreeMap;

use super::*;
use crate::runtime::panics::Panics;
use crate::store::Settings;
use crate::store::codec::Record;
use crate::store::open_store::OpenStore;
use crate::telemetry::Metrics;

/// Stores closed streams, each a route, a date and a size, and evicts. Returns the dates of those that are left.
fn left_of(streams: &[(&str, u64, u64)], max_bytes: u64) -> BTreeMap<String, Vec<u64>> {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { path: folder.path().join("store"), bytes: max_bytes };
    let mut store = OpenStore::open(&settings, &Panics::default()).unwrap();
    let metrics = Metrics::new("0").store().clone();
    let mut by_key = HashMap::new();
    store
        .db
        .write(|txn| {
            for (number, (route, touched, bytes)) in streams.iter().enumerate() {
                let key = StreamIdentity([number as u8; 32]);
                by_key.insert(key, ((*route).to_owned(), *touched));
                store.index.put_record(txn, &key, &record(number as u64, route, *touched), *bytes)?;
            }
            Eviction::new(&mut HashMap::new(), &mut store.index, max_bytes, &metrics).run(txn)
        })
        .unwrap();
    let mut left = BTreeMap::<_, Vec<_>>::new();
    for (route, keys) in store.index.closed_by_route(|_| false) {
        left.insert(route.to_string(), keys.into_iter().rev().map(|key| by_key[&key].1).collect());
    }
    left
}

fn record(number: u64, route: &str, touched: u64) -> Record {
    Record {
        number,
        seed: [0, 0],
        epoch: String::new(),
        end: 0,
        events: 0,
        id: Default::default(),
        source_id: Default::default(),
        is_exact: false,
        retry: None,
        is_clean: true,
        complete_at: None,
        is_stopped: false,
        touched,
        age: 1000,
        bytes: 0,
        route: route.into(),
        request: None,
    }
}

#[test]
fn made_up_keys_of_one_route_do_not_push_out_another_routes_older_stream() {
    let mut streams = vec![("private", 1, 200_000)];
    streams.extend((2..42).map(|touched| ("public", touched, 64_000)));

    let left = left_of(&streams, 1 << 20);

    assert_eq!(left["private"], [1]);
    // (15/16 MiB - 200,512 bytes) / 64,512 bytes
    assert_eq!(left["public"], (30..42).collect::<Vec<_>>(), "the most recently used ones");
}

#[test]
fn a_route_may_use_what_others_leave_free() {
    let mut streams = vec![("small", 1, 1000)];
    streams.extend((2..10).map(|touched| ("large", touched, 100_000)));

    let left = left_of(&streams, 1 << 20);

    assert_eq!((left["small"].len(), left["large"].len()), (1, 8));
}

#[test]
fn the_route_that_is_most_above_its_share_gives_up_first() {
    let streams = |route, count| (0..count).map(move |touched| (route, touched, 100_000));
    let all: Vec<_> = streams("a", 6).chain(streams("b", 3)).chain(streams("c", 2)).collect();

    let left = left_of(&all, 1_000_000);

    // 9 streams fit, and the share is 312,500 bytes.
    assert_eq!((left["a"].len(), left["b"].len(), left["c"].len()), (4, 3, 2));
    assert_eq!(left["a"], [2, 3, 4, 5], "the least recently used ones are gone");
}
