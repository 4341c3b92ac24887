//! Counters of one name that differ in one label, whose values are found at run time.
//!
//! A known value costs a read lock and a lookup: cheap enough per request or connection, too expensive per event. The
//! values are `&'static str` or statuses, so the program bounds their number and clients do not.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::{Counter, Label};
use parking_lot::RwLock;

use super::registry::Registry;

pub(super) struct Family<Value> {
    registry: Registry,
    name: &'static str,
    fixed: Vec<Label>,
    label: &'static str,
    total: AtomicU64,
    /// The handles created so far. Locked for a lookup or an insertion.
    handles: RwLock<HashMap<Value, Counter>>,
}

impl<Value: Copy + Eq + Hash + Display> Family<Value> {
    /// Creates a family that varies in `label` and has the labels `fixed` in common.
    pub(super) fn new(registry: &Registry, name: &'static str, fixed: Vec<Label>, label: &'static str) -> Self {
        let handles = RwLock::default();
        Self { registry: registry.clone(), name, fixed, label, total: AtomicU64::new(0), handles }
    }

    /// Creates the series of these values at zero, so that a rate over them includes the first increment.
    pub(super) fn prepare(&self, values: &[Value]) {
        for value in values {
            self.handle(*value).increment(0);
        }
    }

    pub(super) fn increment(&self, value: Value) {
        self.add(value, 1);
    }

    pub(super) fn add(&self, value: Value, by: u64) {
        self.total.fetch_add(by, Relaxed);
        if let Some(counter) = self.handles.read().get(&value) {
            return counter.increment(by);
        }
        self.handle(value).increment(by);
    }

    /// Returns the sum over all values.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    fn handle(&self, value: Value) -> Counter {
        let mut handles = self.handles.write();
        let register = || {
            let mut labels = self.fixed.clone();
            labels.push(Label::new(self.label, value.to_string()));
            self.registry.counter(self.name, labels)
        };
        handles.entry(value).or_insert_with(register).clone()
    }
}
