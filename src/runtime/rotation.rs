//! A queue in which owners take turns: the next item is the first one of the owner that has waited longest for its turn.
//!
//! Items of one owner keep their order. An owner with many items therefore delays its own, and one with few waits at most
//! one turn of each other owner. An owner takes memory only while it has items. Nothing here waits.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// The items that wait, by owner.
#[derive(Debug)]
pub struct Rotation<Owner, Item> {
    /// Counts owners' turns and items.
    last_number: u64,
    /// The owners that have items, by the number of their next turn.
    turns: BTreeMap<u64, Owner>,
    /// Has the same owners as `turns`.
    owners: HashMap<Owner, OwnItems<Item>>,
}

/// The items of one owner. Never empty.
#[derive(Debug)]
struct OwnItems<Item> {
    turn: u64,
    waiting: BTreeMap<u64, Item>,
}

impl<Owner, Item> Default for Rotation<Owner, Item> {
    fn default() -> Self {
        Self { last_number: 0, turns: BTreeMap::new(), owners: HashMap::new() }
    }
}

impl<Owner: Clone + Eq + Hash, Item> Rotation<Owner, Item> {
    /// Returns a number that no item and no turn has had.
    pub fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Adds an item behind those of its owner. An owner that had none takes its turn after all others. `number` is the
    /// latest one of [`Self::next_number`].
    pub fn add(&mut self, owner: &Owner, number: u64, item: Item) {
        let turns = &mut self.turns;
        let own = self.owners.entry(owner.clone()).or_insert_with(|| {
            turns.insert(number, owner.clone());
            OwnItems { turn: number, waiting: BTreeMap::new() }
        });
        own.waiting.insert(number, item);
    }

    /// Removes the first item of the owner whose turn it is. The owner's next turn comes after those of all others.
    pub fn pop(&mut self) -> Option<(u64, Item)> {
        let (_, owner) = self.turns.pop_first()?;
        let turn = self.next_number();
        let own = self.owners.get_mut(&owner)?;
        let first = own.waiting.pop_first();
        if own.waiting.is_empty() {
            self.owners.remove(&owner);
        } else {
            own.turn = turn;
            self.turns.insert(turn, owner);
        }
        first
    }

    /// Removes an item, wherever it is. Returns `None` if it has left before.
    pub fn remove(&mut self, owner: &Owner, number: u64) -> Option<Item> {
        let own = self.owners.get_mut(owner)?;
        let removed = own.waiting.remove(&number);
        if own.waiting.is_empty() {
            self.turns.remove(&own.turn);
            self.owners.remove(owner);
        }
        removed
    }

    /// Returns true if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Returns the number of owners that have items.
    pub fn owners(&self) -> usize {
        self.owners.len()
    }

    /// Returns the number of items of one owner.
    pub fn items_of(&self, owner: &Owner) -> usize {
        self.owners.get(owner).map_or(0, |own| own.waiting.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(items: &[(&'static str, u32)]) -> Rotation<&'static str, u32> {
        let mut rotation = Rotation::default();
        for (owner, item) in items {
            let number = rotation.next_number();
            rotation.add(owner, number, *item);
        }
        rotation
    }

    #[test]
    fn owners_alternate_and_the_items_of_each_keep_their_order() {
        let mut rotation = rotation(&[("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("b", 6)]);

        let order: Vec<_> = std::iter::from_fn(|| rotation.pop().map(|(_, item)| item)).collect();

        assert_eq!(order, [1, 4, 5, 2, 6, 3]);
        assert!(rotation.is_empty() && rotation.turns.is_empty());
    }

    #[test]
    fn an_item_that_is_removed_leaves_nothing_behind() {
        let mut rotation = rotation(&[("a", 1), ("b", 2), ("a", 3)]);

        assert_eq!(rotation.remove(&"b", 2), Some(2));
        assert_eq!(rotation.remove(&"b", 2), None);
        assert_eq!(rotation.remove(&"a", 1), Some(1));

        assert_eq!((rotation.owners(), rotation.items_of(&"a")), (1, 1));
        assert_eq!(rotation.pop(), Some((3, 3)));
        assert!(rotation.is_empty() && rotation.turns.is_empty());
    }
}
