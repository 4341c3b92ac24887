//! Turns of several loads, each of which connects one client in its turn: so a server accepts their clients alternately.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Outcome;

/// The turns of one load among several. All must connect equally many clients.
#[derive(Clone)]
pub struct Turns {
    shared: Arc<Shared>,
    index: usize,
    count: usize,
}

#[derive(Default)]
struct Shared {
    taken: AtomicUsize,
    /// The first load's error, after which no other one gets its turn.
    error: OnceLock<String>,
}

impl Turns {
    /// Returns the turns of `count` loads.
    pub fn of(count: usize) -> impl Iterator<Item = Self> {
        let shared = Arc::new(Shared::default());
        (0..count).map(move |index| Self { shared: shared.clone(), index, count })
    }

    /// Returns true if it is this load's turn.
    ///
    /// # Errors
    /// A load failed. This is its error.
    pub fn is_due(&self) -> Outcome<bool> {
        match self.shared.error.get() {
            Some(error) => Err(error.clone().into()),
            None => Ok(self.shared.taken.load(Ordering::Acquire) % self.count == self.index),
        }
    }

    /// Ends this load's turn.
    pub fn end(&self) {
        self.shared.taken.fetch_add(1, Ordering::Release);
    }

    /// Ends the turns of all loads, because this one failed.
    pub fn abandon(&self, error: &str) {
        self.shared.error.get_or_init(|| error.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn turns_alternate_until_all_are_taken() {
        let order = Mutex::new(Vec::new());

        std::thread::scope(|scope| {
            for turns in Turns::of(3) {
                let order = &order;
                scope.spawn(move || {
                    for _ in 0..50 {
                        while !turns.is_due().expect("no load fails") {
                            std::thread::yield_now();
                        }
                        order.lock().expect("no panic").push(turns.index);
                        turns.end();
                    }
                });
            }
        });

        let order = order.into_inner().expect("no panic");
        assert_eq!(order, (0..150).map(|index| index % 3).collect::<Vec<_>>());
    }

    #[test]
    fn all_loads_get_the_error_of_the_one_that_failed() {
        let [first, second] = Turns::of(2).collect::<Vec<_>>().try_into().ok().expect("two");

        first.abandon("connection refused");

        assert_eq!(second.is_due().expect_err("its turn does not come").to_string(), "connection refused");
    }
}
