//! Who reads a stream, and how far each is: for an operator who looks on.
//!
//! A reader says where it stands in two numbers that nobody waits for; coming and leaving are what takes the lock.
//! Neither holds an event nor keeps a stream open.

use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::log::Offset;

/// The readers of one stream.
#[derive(Debug, Default)]
pub struct Readers {
    /// By the number of their arrival. Touched when one comes or leaves, and when an operator asks.
    present: Mutex<HashMap<u64, Arc<Reader>>>,
}

/// One reader, seen from outside.
#[derive(Debug)]
pub struct Reader {
    next: AtomicU64,
    read: AtomicU64,
    since: SystemTime,
    client: OnceLock<Client>,
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
    pub request_id: Box<str>,
}

impl Readers {
    /// One more, at its place.
    pub(super) fn add(&self, number: u64, next: Offset, read: u64) -> Arc<Reader> {
        let (next, read) = (AtomicU64::new(next.0), AtomicU64::new(read));
        let reader = Arc::new(Reader { next, read, since: SystemTime::now(), client: OnceLock::new() });
        self.present.lock().insert(number, reader.clone());
        reader
    }

    /// One less.
    pub(super) fn remove(&self, number: u64) {
        self.present.lock().remove(&number);
    }

    /// Asks all readers, or of more than `most` every so-many-th. The order is arbitrary.
    pub fn sample(&self, most: usize, mut ask: impl FnMut(&Reader)) {
        let present = self.present.lock();
        let step = present.len().div_ceil(most.max(1)).max(1);
        present.values().step_by(step).for_each(|reader| ask(reader));
    }

    /// The `most` readers that are furthest behind, those first.
    pub fn furthest_behind(&self, most: usize) -> Vec<Arc<Reader>> {
        // The one that is furthest ahead on top, to make room for whoever is further behind.
        let mut behind: BinaryHeap<(Offset, u64)> = BinaryHeap::with_capacity(most + 1);
        let present = self.present.lock();
        for (number, reader) in &*present {
            behind.push((reader.next(), *number));
            if behind.len() > most {
                behind.pop();
            }
        }
        behind.into_sorted_vec().into_iter().filter_map(|(_, number)| present.get(&number).cloned()).collect()
    }
}

impl Reader {
    /// Where it stands.
    pub fn next(&self) -> Offset {
        Offset(self.next.load(Ordering::Relaxed))
    }

    /// How many events of the stream's life are behind it.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// When it came.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// Who it is, if that has been said.
    pub fn client(&self) -> Option<&Client> {
        self.client.get()
    }

    pub(super) fn stands_at(&self, next: Offset, read: u64) {
        self.next.store(next.0, Ordering::Relaxed);
        self.read.store(read, Ordering::Relaxed);
    }

    pub(super) fn is(&self, client: Client) {
        self.client.get_or_init(|| client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_furthest_behind_come_first_and_the_rest_is_left_out() {
        let readers = Readers::default();
        let all: Vec<_> = (0..100).map(|number| readers.add(number, Offset((number * 37) % 100), 0)).collect();
        readers.remove(0);

        let found: Vec<_> = readers.furthest_behind(3).iter().map(|reader| reader.next().0).collect();
        all[99].stands_at(Offset(0), 0);

        assert_eq!(found, [1, 2, 3]);
        assert_eq!(readers.furthest_behind(1)[0].next(), Offset(0));
        assert_eq!(readers.furthest_behind(1000).len(), 99);
        for (most, expected) in [(1000, 99), (99, 99), (98, 50), (10, 10), (1, 1)] {
            let mut asked = 0;
            readers.sample(most, |_| asked += 1);
            assert_eq!(asked, expected, "of at most {most}");
        }
    }
}
