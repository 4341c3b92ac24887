use proptest::prelude::*;

use super::*;
use crate::coding::decoder::Decoder;
use crate::runtime::memory::MemoryLedger;
use crate::sse::{Encoder, Event, EventId};
use crate::stream::coded::CodedReader;
use crate::stream::log::{Entry, EntryKind, Ids, Policy, Retention};
use crate::stream::read::Subscription;
use crate::stream::{EventStream, LivePolicy, StreamIdentity, StreamKey};

/// The window of these tests.
const WINDOW: CodingWindow = CodingWindow { events: 4, time: Duration::from_secs(10) };

fn stream(events: usize) -> Arc<EventStream> {
    let retention = Retention { events, ..Retention::default() };
    let policy = LivePolicy::new(Policy { retention, ..Policy::default() });
    EventStream::new(key(), Ids::Keep, policy)
}

fn key() -> StreamKey {
    let identity = StreamIdentity::default();
    StreamKey { route: "test".into(), path: "/test".to_owned(), shared: Vec::new(), identity }
}

fn entry(number: u64) -> Entry {
    let id = EventId::new(number.to_string()).expect("an id");
    let data = format!("{{\"symbol\":\"ACME\",\"price\":{}}}", number * 7);
    // Some entries have no bytes, as gaps that are not told.
    let frame = match number % 7 {
        6 => Frame::default(),
        _ => Frame::from(&Event { kind: String::new(), data, id: Some(id.clone()) }),
    };
    let kind = match frame.is_empty() {
        true => EntryKind::Control,
        false => EntryKind::Event { fingerprint: number, has_own_id: true, type_fingerprint: number % 3 },
    };
    Entry { frame, id: id.clone(), source_id: id, kind, at: Instant::now() }
}

/// One client: what it must have, and what it has decoded.
struct Client {
    subscription: Subscription,
    reader: CodedReader,
    decoder: Decoder,
    wire: Vec<u8>,
    plain: Vec<u8>,
}

impl Client {
    fn new(stream: &Arc<EventStream>, coding: ContentCoding, back: u64) -> Self {
        let mut subscription = Subscription::new(stream);
        subscription.start_at(crate::stream::Start::Last(usize::try_from(back).expect("few")));
        let mut reader = CodedReader::new(stream.coded_log(coding, WINDOW));
        let prelude = b": prelude\n".to_vec();
        let start = reader.start(&prelude);
        let mut client = Self {
            subscription,
            reader,
            decoder: Decoder::new(coding),
            wire: coding.start().to_vec(),
            plain: Vec::new(),
        };
        client.receive(&start[coding.start().len()..], &prelude);
        client
    }

    /// Checks that `plain` can be decoded once these bytes have arrived, and nothing else but comments at ends of contexts.
    fn receive(&mut self, coded: &[u8], plain: &[u8]) {
        self.wire.extend_from_slice(coded);
        self.plain.extend_from_slice(plain);
        let coding = self.reader.coding();
        let decoded = self.decoder.decode(coded);
        assert_eq!(comparable(&decoded, coding), comparable(plain, coding), "everything that was sent, at once");
    }

    fn take(&mut self, stream: &EventStream, bytes: usize, is_latest: bool, now: Instant) {
        let batch =
            if is_latest { self.subscription.take_latest(bytes, 100) } else { self.subscription.take(bytes, 100) };
        let Ok(batch) = batch else {
            self.subscription.skip_to_oldest();
            return;
        };
        let plain: Vec<_> = batch.frames.iter().map(Frame::body).collect();
        let coded = self.reader.batch(stream, batch, now);
        assert_eq!(coded.frames.len(), plain.len());
        for (coded, plain) in coded.frames.iter().zip(&plain) {
            assert!(!coded.is_empty() || plain.is_empty());
            self.receive(&coded.body(), plain);
        }
    }

    /// Ends the response and decodes it as a whole, and in chunks as small as any network may make them.
    fn end(mut self, coding: ContentCoding) {
        let mut chunked = Decoder::new(coding);
        let chunks: Vec<u8> =
            self.wire[coding.start().len()..].chunks(3).flat_map(|chunk| chunked.decode(chunk)).collect();
        assert_eq!(comparable(&chunks, coding), comparable(&self.plain, coding));
        let end = self.reader.end();
        self.wire.extend_from_slice(&end);
        let mut content = Vec::new();
        match coding {
            ContentCoding::Gzip => {
                std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&self.wire[..]), &mut content)
                    .expect("a valid gzip member");
            }
            ContentCoding::Zstd => content = zstd::decode_all(&self.wire[..]).expect("valid zstd frames"),
        }
        assert_eq!(comparable(&content, coding), comparable(&self.plain, coding));
        assert_eq!(self.reader.plain_bytes(), self.plain.len() as u64);
    }
}

/// Returns the content as text. Contexts of zstd end in comments, which are left out.
fn comparable(content: &[u8], coding: ContentCoding) -> String {
    let lines = String::from_utf8_lossy(content);
    lines.split_inclusive('\n').filter(|&line| coding == ContentCoding::Gzip || line != ":\n").collect()
}

#[derive(Clone, Debug)]
enum Step {
    Publish(u64),
    Join(u64),
    Take(usize, usize, bool),
    Heartbeat(usize),
    Own(usize),
    Leave(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u64..6).prop_map(Step::Publish),
        2 => (0_u64..12).prop_map(Step::Join),
        8 => (any::<usize>(), 1_usize..600, prop::bool::weighted(0.2)).prop_map(|(i, bytes, latest)| Step::Take(i, bytes, latest)),
        1 => any::<usize>().prop_map(Step::Heartbeat),
        1 => any::<usize>().prop_map(Step::Own),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => (0_u64..15).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_client_decodes_at_once_exactly_what_it_would_have_got_without_a_coding(
        coding in prop_oneof![Just(ContentCoding::Gzip), Just(ContentCoding::Zstd)],
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let stream = stream(12);
        let (mut clients, mut number, mut now): (Vec<Client>, u64, Instant) = (Vec::new(), 0, Instant::now());

        for step in steps {
            let pick = |clients: &[Client], i: usize| (!clients.is_empty()).then(|| i % clients.len());
            match step {
                Step::Publish(count) => {
                    stream.publish((number..number + count).map(entry));
                    number += count;
                }
                Step::Join(back) => clients.push(Client::new(&stream, coding, back)),
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
                Step::Take(i, bytes, is_latest) => {
                    if let Some(i) = pick(&clients, i) {
                        clients[i].take(&stream, bytes, is_latest, now);
                    }
                }
                Step::Heartbeat(i) => {
                    if let Some(i) = pick(&clients, i) {
                        let mut encoder = Encoder::new();
                        encoder.comment("");
                        let before = clients[i].reader.plain_bytes();
                        let frame = clients[i].reader.heartbeat(&encoder.finish(), now);
                        let plain: &[u8] = if clients[i].reader.plain_bytes() > before { b":\n" } else { b"" };
                        clients[i].receive(&frame.body(), plain);
                    }
                }
                Step::Own(i) => {
                    if let Some(i) = pick(&clients, i) {
                        let own = clients[i].reader.own(b": verdict\n");
                        clients[i].receive(&own, b": verdict\n");
                    }
                }
                Step::Leave(i) => {
                    if let Some(i) = pick(&clients, i) {
                        clients.swap_remove(i).end(coding);
                    }
                }
            }
        }
        clients.into_iter().for_each(|client| client.end(coding));
    }
}

#[test]
fn readers_at_the_same_position_share_frames() {
    let stream = stream(100);
    let now = Instant::now();
    let mut clients: Vec<_> = (0..3).map(|_| Client::new(&stream, ContentCoding::Gzip, 0)).collect();

    stream.publish((0..3).map(entry));
    let frames: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            let batch = client.subscription.take(10_000, 100).expect("entries");
            client.reader.batch(&stream, batch, now).frames
        })
        .collect();

    assert!(frames.iter().all(|other| std::ptr::eq(&**other, &*frames[0])));
}

#[test]
fn a_reader_takes_a_batch_that_another_one_had_while_the_lock_is_held() {
    let log = CodedLog::new(ContentCoding::Gzip, WINDOW, None);
    let plain = [entry(0).frame];
    let encode = || log.encode(Offset(0), &plain, None, Offset::default, Instant::now()).frames.as_ptr();
    let first = encode() as usize;

    let held = log.generations.lock();
    let second = std::thread::scope(|scope| {
        let (sent, received) = std::sync::mpsc::channel();
        scope.spawn(move || sent.send(encode() as usize));
        let second = received.recv_timeout(Duration::from_secs(20));
        drop(held);
        second
    });

    assert_eq!(second, Ok(first));
}

#[test]
fn readers_that_race_for_a_batch_get_the_same_one() {
    const READERS: usize = 4;
    for _ in 0..50 {
        let log = CodedLog::new(ContentCoding::Gzip, WINDOW, None);
        let plain = [entry(0).frame, entry(1).frame];
        let barrier = std::sync::Barrier::new(READERS);

        let frames: Vec<_> = std::thread::scope(|scope| {
            let read = || {
                barrier.wait();
                log.encode(Offset(0), &plain, None, Offset::default, Instant::now()).frames.as_ptr() as usize
            };
            let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
            readers.into_iter().map(|reader| reader.join().expect("no panic")).collect()
        });

        assert_eq!(frames, [frames[0]; READERS]);
    }
}

#[test]
fn memory_is_counted_and_given_back_with_the_last_reader() {
    let ledger = Arc::new(MemoryLedger::new(Some(1 << 30)));
    let log = Arc::new(CodedLog::new(ContentCoding::Gzip, WINDOW, Some(&ledger)));
    let stream = stream(100);
    stream.publish((0..50).map(entry));
    let frames: Vec<_> = (0..50).map(|number| entry(number).frame).collect();

    log.encode(Offset(0), &frames, None, || Offset(0), Instant::now());
    let held = ledger.held(MemoryKind::Logs);
    log.encode(Offset(50), &frames[..1], None, || Offset(50), Instant::now());
    let after_eviction = ledger.held(MemoryKind::Logs);
    drop(log);

    assert!(held > Compressor::memory(ContentCoding::Gzip) as u64 + 50 * 32, "{held}");
    assert!(after_eviction < held, "{after_eviction} of {held}");
    assert_eq!(ledger.held(MemoryKind::Logs), 0);
}
