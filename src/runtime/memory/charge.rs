//! A charge of memory: one holder's entry in the ledger.

use std::sync::Arc;

use super::kind::MemoryKind;
use super::ledger::MemoryLedger;

/// Memory that one holder has. Dropping it gives the memory back.
#[derive(Debug)]
pub struct MemoryCharge {
    ledger: Arc<MemoryLedger>,
    kind: MemoryKind,
    bytes: u64,
}

impl MemoryCharge {
    /// Charges so many bytes.
    pub fn new(ledger: &Arc<MemoryLedger>, kind: MemoryKind, bytes: u64) -> Self {
        ledger.update(kind, 0, bytes);
        Self { ledger: ledger.clone(), kind, bytes }
    }

    /// Changes the number of bytes. Costs a comparison if it is the same.
    pub fn resize(&mut self, bytes: u64) {
        if bytes != self.bytes {
            self.ledger.update(self.kind, self.bytes, bytes);
            self.bytes = bytes;
        }
    }

    /// Returns the bytes that are charged.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the ledger.
    pub fn ledger(&self) -> &Arc<MemoryLedger> {
        &self.ledger
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        self.ledger.update(self.kind, self.bytes, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Make(usize, u64),
        Resize(usize, u64),
        Drop(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..MemoryKind::ALL.len(), 0..1_000_000_u64).prop_map(|(kind, bytes)| Step::Make(kind, bytes)),
            (any::<usize>(), 0..1_000_000_u64).prop_map(|(index, bytes)| Step::Resize(index, bytes)),
            any::<usize>().prop_map(Step::Drop),
        ]
    }

    proptest! {
        #[test]
        fn charges_of_any_order_sum_to_what_is_held_and_end_at_zero(
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let ledger = Arc::new(MemoryLedger::new(None));
            let mut charges: Vec<(MemoryCharge, u64)> = Vec::new();

            for step in steps {
                match step {
                    Step::Make(kind, bytes) => {
                        charges.push((MemoryCharge::new(&ledger, MemoryKind::ALL[kind], bytes), bytes));
                    }
                    Step::Resize(index, bytes) if !charges.is_empty() => {
                        let index = index % charges.len();
                        charges[index].0.resize(bytes);
                        charges[index].1 = bytes;
                    }
                    Step::Drop(index) if !charges.is_empty() => {
                        drop(charges.swap_remove(index % charges.len()));
                    }
                    Step::Resize(..) | Step::Drop(_) => {}
                }
                for kind in MemoryKind::ALL {
                    let held: u64 = charges.iter().filter(|(charge, _)| charge.kind == kind).map(|(_, bytes)| bytes).sum();
                    prop_assert_eq!(ledger.held(kind), held);
                }
                prop_assert_eq!(ledger.total(), charges.iter().map(|(_, bytes)| bytes).sum::<u64>());
            }

            drop(charges);
            prop_assert_eq!(ledger.total(), 0);
        }
    }

    #[test]
    fn charges_of_many_threads_end_at_zero() {
        let ledger = Arc::new(MemoryLedger::new(Some(1000)));

        std::thread::scope(|scope| {
            for thread in 0..8 {
                let ledger = &ledger;
                scope.spawn(move || {
                    let kind = MemoryKind::ALL[thread % MemoryKind::ALL.len()];
                    for bytes in 0..1000 {
                        let mut charge = MemoryCharge::new(ledger, kind, bytes);
                        charge.resize(bytes * 7 % 1000);
                    }
                });
            }
        });

        assert_eq!(ledger.total(), 0);
    }
}
