//! Wakes everyone who waits on one stream.
//!
//! Each waiter has a slot of its own for as long as it reads: waiting again is one store, ringing is one pass over
//! memory that lies together, and who leaves leaves nothing behind. Does not say what there is to hear.

use std::task::Waker;

use parking_lot::Mutex;

/// See the module.
#[derive(Debug, Default)]
pub struct Bell(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    wakers: Vec<Option<Waker>>,
    /// Slots that are nobody's.
    free: Vec<u32>,
}

/// Wakers taken under one lock.
const AT_ONCE: usize = 256;

/// A waiter's slot; to be given back to the bell that it came from.
#[derive(Debug)]
pub struct Slot(u32);

impl Bell {
    /// A slot for a new waiter.
    pub fn enter(&self) -> Slot {
        let mut slots = self.0.lock();
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.wakers.push(None);
            u32::try_from(slots.wakers.len() - 1).expect("fewer than four billion readers of one stream")
        });
        Slot(slot)
    }

    /// Wakes `waker` at the next ring. What it waits for must be looked at again after this: the bell may just have rung.
    pub fn wait(&self, slot: &Slot, waker: &Waker) {
        match &mut self.0.lock().wakers[slot.0 as usize] {
            Some(waiting) => waiting.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
    }

    /// Wakes everyone who waits.
    pub fn ring(&self) {
        let mut from = 0;
        let mut woken = Vec::with_capacity(AT_ONCE);
        loop {
            {
                let mut slots = self.0.lock();
                let Some(waiting) = slots.wakers.get_mut(from..) else { return };
                woken.extend(waiting.iter_mut().take(AT_ONCE).filter_map(Option::take));
                from += AT_ONCE;
            }
            // Without the lock: who is woken may come for it at once.
            woken.drain(..).for_each(Waker::wake);
        }
    }

    /// Gives a slot back.
    pub fn leave(&self, slot: &Slot) {
        let mut slots = self.0.lock();
        slots.wakers[slot.0 as usize] = None;
        slots.free.push(slot.0);
        // The last one out leaves no memory behind.
        if slots.free.len() == slots.wakers.len() {
            *slots = Slots::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
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
        let (bell, ears) = (Bell::default(), Arc::new(Ears::default()));
        let slot = bell.enter();
        bell.wait(&slot, &ears.clone().into());

        bell.ring();
        bell.ring();

        assert_eq!(ears.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn who_has_left_is_not_woken_and_leaves_nothing_behind() {
        let (bell, ears) = (Bell::default(), Arc::new(Ears::default()));
        let (first, second) = (bell.enter(), bell.enter());
        bell.wait(&first, &ears.clone().into());

        bell.leave(&first);
        bell.ring();

        assert_eq!((ears.0.load(Ordering::Relaxed), Arc::strong_count(&ears)), (0, 1));
        assert_eq!(bell.enter().0, first.0);
        bell.leave(&first);
        bell.leave(&second);
        assert_eq!(bell.0.lock().wakers.capacity(), 0);
    }
}
