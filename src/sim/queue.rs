//! The event queue: a 4-ary heap of packed keys. The order is total: time first, then the order of pushing, so equal
//! times never depend on the heap's shape.

use crate::base::time::Time;

/// Bits of the push counter in a key; the time takes the upper 64 bits of the upper half.
const SEQ_BITS: u32 = 40;
/// Bits of the slab slot in a key.
const SLOT_BITS: u32 = 24;
/// Children of a heap node: four share a cache line of keys.
const ARITY: usize = 4;

/// Items ordered by time, then by order of pushing.
#[derive(Clone, Debug)]
pub struct EventQueue<T> {
    /// `time << 64 | sequence << 24 | slot`.
    heap: Vec<u128>,
    items: Vec<T>,
    free: Vec<u32>,
    pushed: u64,
}

impl<T> Default for EventQueue<T> {
    fn default() -> Self {
        Self { heap: Vec::new(), items: Vec::new(), free: Vec::new(), pushed: 0 }
    }
}

impl<T: Copy> EventQueue<T> {
    /// Adds an item that is due at `at`.
    ///
    /// # Panics
    /// With more than 2²⁴ items pending or after 2⁴⁰ pushes: far beyond every limit of a run.
    pub fn push(&mut self, at: Time, item: T) {
        let slot = if let Some(slot) = self.free.pop() {
            self.items[slot as usize] = item;
            slot
        } else {
            self.items.push(item);
            self.items.len() as u32 - 1
        };
        assert!(slot < 1 << SLOT_BITS && self.pushed < 1 << SEQ_BITS, "the queue is within bounds");
        let key = u128::from(at.0) << 64 | u128::from(self.pushed) << SLOT_BITS | u128::from(slot);
        self.pushed += 1;
        self.heap.push(key);
        self.sift_up(self.heap.len() - 1);
    }

    /// When the next item is due.
    pub fn next_at(&self) -> Option<Time> {
        self.heap.first().map(|key| Time((key >> 64) as u64))
    }

    /// Takes the next item.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        let key = *self.heap.first()?;
        let last = self.heap.pop()?;
        if !self.heap.is_empty() {
            self.heap[0] = last;
            self.sift_down();
        }
        let slot = (key & ((1 << SLOT_BITS) - 1)) as u32;
        self.free.push(slot);
        Some((Time((key >> 64) as u64), self.items[slot as usize]))
    }

    /// The number of pending items.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// True when nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Every pending item with its time, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Time, &T)> + '_ {
        let slot_mask = (1u128 << SLOT_BITS) - 1;
        self.heap
            .iter()
            .map(move |key| (Time((key >> 64) as u64), &self.items[(key & slot_mask) as usize]))
    }

    fn sift_up(&mut self, mut at: usize) {
        let key = self.heap[at];
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if self.heap[parent] <= key {
                break;
            }
            self.heap[at] = self.heap[parent];
            at = parent;
        }
        self.heap[at] = key;
    }

    fn sift_down(&mut self) {
        let key = self.heap[0];
        let mut at = 0;
        loop {
            let first = at * ARITY + 1;
            let last = (first + ARITY).min(self.heap.len());
            let Some(least) = (first..last).min_by_key(|child| self.heap[*child]) else { break };
            if key <= self.heap[least] {
                break;
            }
            self.heap[at] = self.heap[least];
            at = least;
        }
        self.heap[at] = key;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The heap is the obvious ordered map from (time, order of pushing).
        #[test]
        fn pops_by_time_then_by_order_of_pushing(steps in prop::collection::vec((0u64..50, any::<bool>()), 1..400)) {
            let mut queue = EventQueue::default();
            let mut model = BTreeMap::new();
            for (n, (at, pop)) in steps.into_iter().enumerate() {
                queue.push(Time(at), n);
                model.insert((at, n), n);
                if pop {
                    let (key, value) = model.pop_first().expect("just pushed");
                    prop_assert_eq!(queue.pop(), Some((Time(key.0), value)));
                }
            }
            while let Some((key, value)) = model.pop_first() {
                prop_assert_eq!(queue.next_at(), Some(Time(key.0)));
                prop_assert_eq!(queue.pop(), Some((Time(key.0), value)));
            }
            prop_assert!(queue.is_empty());
        }
    }
}
