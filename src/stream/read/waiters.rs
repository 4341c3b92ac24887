//! Who reads a stream: what wakes each reader, how far each is, and who it is.
//!
//! A reader has a seat of its own for as long as it reads. Seats lie in rows, each in its own piece of memory: waiting
//! and reading on touch nothing that is another reader's and take no lock, and ringing is one pass over the rows. Coming
//! and leaving take a lock, and so does an operator who looks on. Does not say what there is to read.

use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Waker;
use std::time::SystemTime;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::runtime::arithmetic;
use crate::runtime::side_waker::WakeFlag;
use crate::stream::log::Offset;

/// See the module.
#[derive(Debug, Default)]
pub struct WaiterSet(Mutex<Chunks>);

#[derive(Debug, Default)]
struct Chunks {
    rows: Vec<Arc<Chunk>>,
    /// Seats that are nobody's.
    free: Vec<WaiterHandle>,
    seats: usize,
}

type Chunk = Box<[Slot]>;

/// A place in a row, as large as what a processor fetches at once.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot {
    waker: AtomicWaker,
    next: AtomicU64,
    read: AtomicU64,
    slate: AtomicU8,
    /// Who sits there. Touched when one comes or leaves, and when an operator asks.
    reader: Mutex<Option<Box<ReaderDetails>>>,
}

#[derive(Debug)]
struct ReaderDetails {
    since: SystemTime,
    client: Option<Client>,
}

/// A reader's seat; to be given back to the audience that it came from.
#[derive(Clone, Debug)]
pub struct WaiterHandle {
    row: Arc<Chunk>,
    index: usize,
}

/// One reader, seen from outside.
#[derive(Clone, Debug)]
pub struct ReaderInfo {
    /// Where it stands.
    pub next: Offset,
    /// How many events of the stream's life are behind it.
    pub read: u64,
    /// When it came.
    pub since: SystemTime,
    /// Who it is, if that has been said.
    pub client: Option<Client>,
}

/// Who a reader is, in the words of whoever let it in. Nothing here is longer than a few hundred bytes.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// How it speaks.
    pub protocol: &'static str,
    /// Whom it is for, where that may be told.
    pub subject: Option<Arc<str>>,
    /// Its request's id.
    pub request_id: Arc<str>,
}

/// How far waking everyone has come, where it is done in parts.
#[derive(Debug, Default)]
pub struct WakeSweep {
    /// The row that is next.
    next: usize,
    /// How many are to be woken until all have been since there was something new.
    left: usize,
    /// Of so many.
    rows: usize,
}

impl WakeSweep {
    fn begin(&mut self, rows: usize) {
        (self.left, self.rows) = (rows, rows);
        if self.next >= rows {
            self.next = 0;
        }
    }

    /// Whether all have been woken since there was something new.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Whether it is where it once began: all have been woken since it was here before.
    pub fn is_around(&self) -> bool {
        self.next == 0
    }
}

/// Seats in the first row: most streams have few readers.
const FIRST_ROW: usize = 4;

/// Seats in a row at most.
const ROW: usize = 256;

impl WaiterSet {
    /// A seat for a reader that stands there.
    pub fn enter(&self, next: Offset, read: u64) -> WaiterHandle {
        let seat = {
            let mut rows = self.0.lock();
            if rows.free.is_empty() {
                rows.grow();
            }
            rows.free.pop().expect("there are seats now")
        };
        seat.stands_at(next, read);
        *seat.place().reader.lock() = Some(Box::new(ReaderDetails { since: SystemTime::now(), client: None }));
        seat
    }

    /// Wakes everyone who waits.
    pub fn ring(&self) {
        let mut round = WakeSweep::default();
        self.begin(&mut round);
        self.finish(&mut round);
    }

    /// There is something new: everyone is to be woken, from where the round is now.
    pub fn begin(&self, round: &mut WakeSweep) {
        round.begin(self.0.lock().rows.len());
    }

    /// Wakes at once those whom the round has not come to yet.
    pub fn finish(&self, round: &mut WakeSweep) {
        while !round.is_over() {
            self.ring_on(round);
        }
    }

    /// Goes on with a round: wakes those of the next rows who wait, of some 256 seats.
    pub fn ring_on(&self, round: &mut WakeSweep) {
        let mut seats = 0;
        while seats < ROW && !round.is_over() {
            // Without the lock they are woken: who is may come for it at once.
            let row = {
                let rows = &self.0.lock().rows;
                if rows.len() != round.rows {
                    // Some sit elsewhere by now: around once more.
                    round.begin(rows.len());
                    continue;
                }
                rows[round.next].clone()
            };
            round.next = (round.next + 1) % round.rows;
            round.left -= 1;
            seats += row.len();
            row.iter().filter_map(|place| place.waker.take()).for_each(Waker::wake);
        }
    }

    /// Gives a seat back.
    pub fn leave(&self, seat: &WaiterHandle) {
        drop((seat.place().waker.take(), seat.place().reader.lock().take()));
        let mut rows = self.0.lock();
        rows.free.push(seat.clone());
        // The last one out leaves no memory behind.
        if rows.free.len() == rows.seats {
            *rows = Chunks::default();
        }
    }

    /// Asks all readers how many events are behind them, or of more than `most` every so-many-th. The order is arbitrary.
    pub fn sample(&self, most: usize, mut ask: impl FnMut(u64)) {
        let rows = self.0.lock();
        let present = rows.seats - rows.free.len();
        let step = present.div_ceil(most.max(1)).max(1);
        rows.taken().step_by(step).for_each(|place| ask(place.read.load(Ordering::Relaxed)));
    }

    /// The `most` readers that are furthest behind, those first.
    pub fn furthest_behind(&self, most: usize) -> Vec<ReaderInfo> {
        // The one that is furthest ahead on top, to make room for whoever is further behind.
        let mut behind: BinaryHeap<(Offset, usize)> = BinaryHeap::with_capacity(most + 1);
        let rows = self.0.lock();
        // Looked for once: who comes or leaves meanwhile is seen or not, but never taken for another.
        let taken: Vec<_> = rows.taken().collect();
        for (number, place) in taken.iter().enumerate() {
            behind.push((place.next(), number));
            if behind.len() > most {
                behind.pop();
            }
        }
        behind.into_sorted_vec().into_iter().filter_map(|(_, number)| taken[number].reader()).collect()
    }
}

impl Chunks {
    /// Twice the seats, or one more row.
    fn grow(&mut self) {
        let count = arithmetic::clamp(self.seats, FIRST_ROW, ROW);
        let row: Arc<Chunk> = Arc::new((0..count).map(|_| Slot::default()).collect());
        // The first one is taken first.
        self.free.extend((0..count).rev().map(|index| WaiterHandle { row: row.clone(), index }));
        self.rows.push(row);
        self.seats += count;
    }

    fn taken(&self) -> impl Iterator<Item = &Slot> {
        self.rows.iter().flat_map(|row| row.iter()).filter(|place| place.reader.lock().is_some())
    }
}

impl Slot {
    fn next(&self) -> Offset {
        Offset(self.next.load(Ordering::Relaxed))
    }

    fn reader(&self) -> Option<ReaderInfo> {
        let reader = self.reader.lock();
        let ReaderDetails { since, client } = reader.as_deref()?;
        let read = self.read.load(Ordering::Relaxed);
        Some(ReaderInfo { next: self.next(), read, since: *since, client: client.clone() })
    }
}

impl WaiterHandle {
    fn place(&self) -> &Slot {
        &self.row[self.index]
    }

    /// Wakes `waker` at the next ring. What it waits for must be looked at again after this: the bell may just have rung.
    pub fn wait(&self, waker: &Waker) {
        self.place().waker.register(waker);
    }

    /// Says where its reader stands.
    pub fn stands_at(&self, next: Offset, read: u64) {
        self.place().next.store(next.0, Ordering::Relaxed);
        self.place().read.store(read, Ordering::Relaxed);
    }

    /// Says who its reader is.
    pub fn is_for(&self, client: Client) {
        if let Some(known) = &mut *self.place().reader.lock() {
            known.client = Some(client);
        }
    }
}

/// What its reader's task is told lies with what the reader touches anyway. Word for who has left reaches who came after
/// and makes it look once for nothing.
impl WakeFlag for WaiterHandle {
    fn state(&self) -> &AtomicU8 {
        &self.place().slate
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Ears(AtomicUsize);

    impl Wake for Ears {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_is_woken_once() {
        let (audience, ears) = (WaiterSet::default(), Arc::new(Ears::default()));
        let seats: Vec<_> = (0..1000).map(|_| audience.enter(Offset(0), 0)).collect();
        seats.iter().for_each(|seat| seat.wait(&ears.clone().into()));

        audience.ring();
        audience.ring();

        assert_eq!(ears.0.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn in_parts_everyone_is_woken_however_many_come_meanwhile() {
        let (audience, ears) = (WaiterSet::default(), Arc::new(Ears::default()));
        let wait = |count| {
            let seats: Vec<_> = (0..count).map(|_| audience.enter(Offset(0), 0)).collect();
            seats.iter().for_each(|seat| seat.wait(&ears.clone().into()));
            seats
        };
        let mut round = WakeSweep::default();
        audience.begin(&mut round);
        assert!(round.is_over(), "nobody is there");
        let early = wait(3000);
        audience.begin(&mut round);
        (0..5).for_each(|_| audience.ring_on(&mut round));
        assert!(ears.0.load(Ordering::Relaxed) < 3000 && !round.is_over());

        // Something new in the middle, and many more readers.
        audience.begin(&mut round);
        let late = wait(2000);
        while !round.is_over() {
            audience.ring_on(&mut round);
        }

        assert_eq!(ears.0.load(Ordering::Relaxed), early.len() + late.len());
    }

    #[test]
    fn who_has_left_is_not_woken_and_leaves_nothing_behind() {
        let (audience, ears) = (WaiterSet::default(), Arc::new(Ears::default()));
        let (first, second) = (audience.enter(Offset(0), 0), audience.enter(Offset(0), 0));
        first.wait(&ears.clone().into());

        audience.leave(&first);
        audience.ring();

        assert_eq!((ears.0.load(Ordering::Relaxed), Arc::strong_count(&ears)), (0, 1));
        let again = audience.enter(Offset(0), 0);
        assert_eq!(again.index, first.index);
        audience.leave(&again);
        audience.leave(&second);
        let rows = audience.0.lock();
        assert_eq!((rows.rows.capacity(), rows.free.capacity()), (0, 0));
    }

    #[test]
    fn those_furthest_behind_come_first_and_the_rest_is_left_out() {
        let audience = WaiterSet::default();
        let all: Vec<_> = (0..100).map(|number| audience.enter(Offset((number * 37) % 100), 0)).collect();
        audience.leave(&all[0]);

        let found: Vec<_> = audience.furthest_behind(3).iter().map(|reader| reader.next.0).collect();
        all[99].stands_at(Offset(0), 0);

        assert_eq!(found, [1, 2, 3]);
        assert_eq!(audience.furthest_behind(1)[0].next, Offset(0));
        assert_eq!(audience.furthest_behind(1000).len(), 99);
        for (most, expected) in [(1000, 99), (99, 99), (98, 50), (10, 10), (1, 1)] {
            let mut asked = 0;
            audience.sample(most, |_| asked += 1);
            assert_eq!(asked, expected, "of at most {most}");
        }
    }
}
