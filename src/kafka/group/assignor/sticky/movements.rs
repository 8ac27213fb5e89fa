//! `AbstractStickyAssignor.PartitionMovements`: which partitions of a topic went from which member to which in the
//! assignment at hand, so that none comes back while another one of its topic goes.

use std::collections::BTreeMap;

use super::{Consumer, Tp};
use crate::kafka::group::hash::{HashOrdered, java_hash};

/// From whom to whom.
type Pair = (Consumer, Consumer);

/// See the module.
pub(super) struct Movements<'g> {
    topics: &'g [&'g str],
    by_topic: BTreeMap<(usize, Pair), HashOrdered<Tp>>,
    by_partition: BTreeMap<Tp, Pair>,
}

impl<'g> Movements<'g> {
    pub(super) fn new(topics: &'g [&'g str]) -> Self {
        Self { topics, by_topic: BTreeMap::new(), by_partition: BTreeMap::new() }
    }

    /// `movePartition`.
    pub(super) fn moved(&mut self, tp: Tp, old: Consumer, new: Consumer) {
        let Some(before) = self.by_partition.remove(&tp) else { return self.add(tp, (old, new)) };
        let key = (tp.topic, before);
        if let Some(set) = self.by_topic.get_mut(&key) {
            set.remove(tp);
            if set.first().is_none() {
                self.by_topic.remove(&key);
            }
        }
        if before.0 != new {
            self.add(tp, (before.0, new));
        }
    }

    fn add(&mut self, tp: Tp, pair: Pair) {
        self.by_partition.insert(tp, pair);
        let hash = hash_code(self.topics[tp.topic], tp.number);
        self.by_topic.entry((tp.topic, pair)).or_default().insert(hash, tp);
    }

    /// `getTheActualPartitionToBeMoved`: instead of `tp`, one that went the opposite way may go back.
    pub(super) fn actual(&self, tp: Tp, old: Consumer, new: Consumer) -> Tp {
        let old = self.by_partition.get(&tp).map_or(old, |pair| pair.0);
        self.by_topic.get(&(tp.topic, (new, old))).and_then(HashOrdered::first).unwrap_or(tp)
    }
}

/// `TopicPartition.hashCode`.
fn hash_code(topic: &str, number: u32) -> i32 {
    31i32.wrapping_add(number as i32).wrapping_mul(31).wrapping_add(java_hash(topic))
}
