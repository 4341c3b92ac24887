//! Tests of the store over real files. The restored events are always one piece of the published ones.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::sse::{Event, EventId, Frame};
use crate::stream::{
    Entry, EntryKind, EventStream, IdLookup, Ids, LivePolicy, Phase, Policy, Retention, StreamIdentity, StreamKey,
};
use crate::telemetry::Metrics;

/// A writer that is run by hand, and the one stream that it persists.
struct StoreFixture {
    folder: TempDir,
    bytes: u64,
    policy: Policy,
    writer: StoreWriter,
    stream: Arc<EventStream>,
    handle: Arc<StreamHandle>,
    /// Everything published in the stream's life, as far as it may still be restored.
    published: Vec<String>,
    /// The number of published events that are certainly stored.
    committed: usize,
}

impl StoreFixture {
    fn new(events: usize, bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let retention = Retention { events, ..Retention::default() };
        let policy = Policy { retention, ..Policy::default() };
        let (writer, stream) = (writer(&folder, bytes), stream(policy));
        let handle = Arc::new(StreamHandle::new(
            StreamIdentity([7; 32]),
            "r".into(),
            Arc::downgrade(&stream),
            stream.log().end(),
        ));
        let (published, committed) = (Vec::new(), 0);
        let mut fixture = Self { folder, bytes, policy, writer, stream, handle, published, committed };
        assert!(fixture.open().is_none());
        fixture
    }

    fn publish(&mut self, size: usize) {
        let text = format!("{}-{}", self.published.len(), "x".repeat(size));
        let id = EventId::new(self.published.len().to_string()).unwrap();
        let event = Event { kind: String::new(), data: text.clone(), id: Some(id.clone()) };
        let kind = EntryKind::Event { fingerprint: self.published.len() as u64, has_own_id: true, type_fingerprint: 0 };
        let at = Instant::now();
        self.stream.publish([Entry { frame: Frame::from(&event), source_id: id.clone(), id, kind, at }]);
        self.published.push(text);
        self.writer.inbox.notify_changed(&self.handle);
    }

    fn commit(&mut self) {
        let now = Instant::now();
        let work = self.writer.inbox.wait_for_work(now, now);
        self.writer.process(work);
        self.committed = self.published.len();
    }

    /// Opens a new stream under the same key. Returns its stored state.
    fn open(&mut self) -> Option<StoredStream> {
        self.stream = stream(self.policy);
        self.open_current()
    }

    /// Starts to store the stream. Returns its stored state.
    fn open_current(&mut self) -> Option<StoredStream> {
        let (reply, mut past) = oneshot::channel();
        let end = self.stream.log().end();
        self.handle =
            Arc::new(StreamHandle::new(StreamIdentity([7; 32]), "r".into(), Arc::downgrade(&self.stream), end));
        self.writer.inbox.open(OpenRequest { handle: self.handle.clone(), reply });
        let now = Instant::now();
        let work = self.writer.inbox.wait_for_work(now, now);
        self.writer.process(work);
        past.try_recv().ok().flatten()
    }

    fn close(&mut self) {
        self.writer.inbox.close(&self.handle, self.stream.clone());
        self.commit();
    }

    /// Restarts the writer as a new process would, whether or not the stream was closed.
    fn restart(&mut self) -> Option<StoredStream> {
        self.writer.store = None;
        self.writer = writer(&self.folder, self.bytes);
        self.open()
    }

    /// Checks the restored events and continues with them.
    fn resume(&mut self, stored: Option<StoredStream>, is_clean: bool) {
        let Some(stored) = stored else {
            // A store at its size limit evicts closed streams as a whole.
            assert!(self.committed == 0 || self.bytes < 1 << 20, "stored events are gone");
            (self.committed, self.published) = (0, Vec::new());
            return;
        };
        assert_eq!(stored.is_clean, is_clean);
        let first = usize::try_from(stored.snapshot.events_before).unwrap();
        let end = first + stored.snapshot.entries.len();
        let texts: Vec<_> = stored.snapshot.entries.iter().map(|entry| entry.frame.body()).collect();
        assert_eq!(end, self.committed);
        for (text, published) in texts.iter().zip(&self.published[first..]) {
            assert!(String::from_utf8_lossy(text).contains(&format!("data: {published}\n")));
        }
        for (entry, number) in stored.snapshot.entries.iter().zip(first..) {
            assert_eq!((entry.id.as_str(), entry.source_id.as_str()), (&*number.to_string(), &*number.to_string()));
        }
        self.published.truncate(end);
        self.stream.restore(stored, Instant::now());
        assert_eq!(self.stream.log().events_until(self.stream.log().end()), end as u64);
    }
}

fn writer(folder: &TempDir, bytes: u64) -> StoreWriter {
    let settings = Settings { path: folder.path().join("store"), bytes };
    let mut writer = StoreWriter::new(settings, Arc::default(), Metrics::new("0").store().clone(), Panics::default());
    writer.open();
    assert!(writer.store.is_some(), "{:?}", writer.inbox.problem());
    writer
}

fn stream(policy: Policy) -> Arc<EventStream> {
    let key =
        StreamKey { route: "r".into(), path: "/".into(), shared: Vec::new(), identity: StreamIdentity::default() };
    EventStream::with_restorable_log(key, Ids::Replace, LivePolicy::new(policy))
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Commit,
    Kill,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_usize..300).prop_map(Step::Publish),
        3 => Just(Step::Commit),
        1 => Just(Step::Kill),
        1 => Just(Step::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_restored_events_are_one_piece_of_the_published_ones(
        steps in vec(step(), 1..60),
        events in 1_usize..12,
        bytes in prop_oneof![Just(2_000_u64), Just(1 << 20)],
    ) {
        let mut fixture = StoreFixture::new(events, bytes);
        for step in steps {
            match step {
                Step::Publish(size) => fixture.publish(size),
                Step::Commit => fixture.commit(),
                Step::Kill => {
                    let stored = fixture.restart();
                    fixture.resume(stored, false);
                }
                Step::End => {
                    fixture.close();
                    let stored = fixture.restart();
                    let is_clean = true;
                    fixture.resume(stored, is_clean);
                }
            }
        }
    }
}

#[test]
fn an_epoch_continues_after_a_clean_shutdown_and_never_after_a_kill() {
    let mut fixture = StoreFixture::new(10, 1 << 20);
    fixture.publish(1);
    let first = fixture.stream.id_minter().epoch().to_owned();

    fixture.close();
    let stored = fixture.restart();
    fixture.resume(stored, true);
    let second = fixture.stream.id_minter().epoch().to_owned();
    let stored = fixture.restart();
    fixture.resume(stored, false);
    let third = fixture.stream.id_minter().epoch().to_owned();

    assert_eq!(first, second);
    assert_ne!(second, third);
    assert!(fixture.stream.id_minter().is_known_epoch(&format!("{first}-1")));
    assert!(!fixture.stream.id_minter().is_known_epoch(&format!("{first}-2")));

    fixture.publish(1);
    fixture.close();
    let stored = fixture.restart();
    fixture.resume(stored, true);
    assert_eq!(fixture.stream.id_minter().epoch(), third);
}

#[test]
fn a_stream_that_did_not_wait_replaces_its_stored_events() {
    let mut fixture = StoreFixture::new(10, 1 << 20);
    fixture.publish(1);
    fixture.close();
    let before = fixture.restart().expect("the stored state");

    // It continues without its stored events.
    fixture.published.clear();
    fixture.publish(2);
    fixture.commit();
    let stored = fixture.restart().expect("the stored state");

    assert_ne!(stored.seed, before.seed);
    assert_eq!((stored.snapshot.events_before, stored.snapshot.entries.len()), (0, 1));
    fixture.resume(Some(stored), false);
}

#[test]
fn a_stream_closed_before_it_continues_leaves_its_stored_state_unchanged() {
    for is_clean in [true, false] {
        let mut fixture = StoreFixture::new(10, 1 << 20);
        fixture.publish(1);
        fixture.publish(1);
        if is_clean {
            fixture.close()
        } else {
            fixture.commit()
        }
        assert!(fixture.restart().is_some());

        fixture.close();
        let stored = fixture.restart();

        fixture.resume(stored, is_clean);
    }
}

#[test]
fn a_stream_that_is_stored_only_later_replaces_what_was_stored_before() {
    let mut fixture = StoreFixture::new(10, 1 << 20);
    fixture.publish(1);
    fixture.close();
    // It has events before it is stored, so it never asks for the stored ones.
    fixture.published.clear();
    fixture.stream = stream(fixture.policy);
    fixture.publish(2);
    fixture.publish(3);
    fixture.open_current();
    fixture.writer.inbox.notify_changed(&fixture.handle);
    fixture.commit();

    let stored = fixture.restart();

    assert_eq!(stored.as_ref().map(|stored| stored.snapshot.entries.len()), Some(2));
    fixture.resume(stored, false);
}

#[test]
fn a_complete_stream_stays_complete() {
    let mut fixture = StoreFixture::new(10, 1 << 20);
    fixture.publish(1);
    fixture.stream.set_phase(Phase::Complete);
    fixture.close();

    let stored = fixture.restart().expect("the stored state");

    assert!(stored.complete_for.is_some());
}

#[test]
fn an_expired_stream_is_removed() {
    let mut fixture = StoreFixture::new(10, 1 << 20);
    fixture.policy.retention.age = Duration::ZERO;
    fixture.stream = stream(fixture.policy);
    assert!(fixture.open().is_none());
    fixture.publish(1);
    fixture.close();
    std::thread::park_timeout(Duration::from_millis(5));

    assert!(fixture.restart().is_none());
}

#[test]
fn an_open_stream_without_events_outlives_its_retention() {
    let mut fixture = StoreFixture::new(10, 1 << 20);
    fixture.policy.retention.age = Duration::from_secs(8);
    assert!(fixture.open().is_none());
    fixture.publish(1);
    fixture.commit();
    std::thread::park_timeout(Duration::from_millis(4_200));
    fixture.stream.expire(Instant::now() + Duration::from_secs(10));
    fixture.writer.next_upkeep = Instant::now();
    fixture.commit();
    std::thread::park_timeout(Duration::from_millis(4_200));

    let stored = fixture.restart().expect("the stored state");

    assert_eq!((stored.snapshot.entries.len(), stored.snapshot.events_before), (0, 1));
    assert_eq!(stored.snapshot.source_id_before.as_str(), "0");
}

#[test]
fn a_damaged_file_is_quarantined_and_the_three_newest_are_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut fixture = StoreFixture::new(10, 1 << 20);
    let path = fixture.folder.path().join("store");
    for round in 0..5 {
        fixture.publish(1);
        fixture.commit();
        fixture.writer.store = None;
        std::fs::write(path.join("events.redb"), format!("{round}, which is no store at all")).unwrap();

        assert!(fixture.restart().is_none());
        (fixture.committed, fixture.published) = (0, Vec::new());
    }

    let mut names: Vec<_> =
        std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let quarantined = ["events.corrupt-1.redb", "events.corrupt-2.redb", "events.corrupt-3.redb"];
    assert_eq!(names, [&quarantined[..], &["events.redb", "lock"]].concat());
    assert!(std::fs::read_to_string(path.join(quarantined[0])).unwrap().starts_with('4'));
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("events.redb"))), (0o700, 0o600));
}

#[test]
fn a_second_writer_waits_for_the_first() {
    let mut fixture = StoreFixture::new(10, 1 << 20);
    let settings = Settings { path: fixture.folder.path().join("store"), bytes: 1 << 20 };
    let mut second = StoreWriter::new(settings, Arc::default(), Metrics::new("0").store().clone(), Panics::default());

    second.open();
    assert_eq!(second.inbox.problem().unwrap(), "degraded: another process has the store open");
    fixture.publish(1);
    fixture.commit();
    fixture.writer.store = None;
    second.open();

    assert_eq!(second.inbox.problem(), None);
    assert_eq!(second.store.unwrap().index.streams(), 1);
}

mod positions;
