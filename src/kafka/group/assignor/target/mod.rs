//! Assignors of the consumer protocol (KIP-848), which the coordinator runs: from subscriptions and the previous target
//! assignment to the next one. [`range`] and [`uniform`]; the group's members agree on one (`group.remote.assignor`).
//! Neither looks at racks in 4.4.
//!
//! Simplified: the partitions of a previous target come in ascending order; in Kafka's sets those that came later may
//! stand behind others of their bucket (of 16 or more), which shows when a member gives some of them up.

mod heterogeneous;
mod homogeneous;
pub mod range;
pub mod uniform;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::kafka::group::hash::{hash_order, hash_set_order};

/// A topic id: upper and lower half of Kafka's `Uuid`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uuid(pub u64, pub u64);

impl Uuid {
    /// `Uuid.hashCode`.
    pub fn java_hash(&self) -> i32 {
        let both = self.0 ^ self.1;
        ((both >> 32) ^ both) as i32
    }
}

/// `Uuid.compareTo`: both halves are signed there.
impl Ord for Uuid {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0 as i64, self.1 as i64).cmp(&(other.0 as i64, other.1 as i64))
    }
}

impl PartialOrd for Uuid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A member as the coordinator knows it (`MemberSubscriptionAndAssignmentImpl`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Member<'a> {
    /// Its member id.
    pub id: &'a str,
    /// Its `group.instance.id`, if it is a static member.
    pub instance: Option<&'a str>,
    /// The topics it subscribes to, in the order of its set.
    pub topics: Vec<Uuid>,
    /// Its partitions in the previous target assignment, topics in the order in which they were put into a map.
    pub target: Vec<(Uuid, Vec<u32>)>,
}

impl Member<'_> {
    /// Its previous target in the order of the map and of the sets in it.
    fn target_in_order(&self) -> Vec<(Uuid, Vec<u32>)> {
        let topics: Vec<(Uuid, &Vec<u32>)> =
            self.target.iter().map(|(id, own)| (*id, own)).collect();
        let topics = hash_order(&topics, |(id, _)| id.java_hash());
        let numbers = |own: &[u32]| hash_set_order(own, |number| *number as i32);
        topics.into_iter().map(|(id, own)| (id, numbers(own))).collect()
    }
}

/// Do all members subscribe to the same topics (`SubscriptionType`)?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubscriptionType {
    /// All do.
    Homogeneous,
    /// They differ.
    Heterogeneous,
}

/// The partition counts of the topics that exist.
pub type Topics = BTreeMap<Uuid, u32>;

/// The partitions of a member.
pub type Partitions = BTreeMap<Uuid, BTreeSet<u32>>;

/// The next target assignment. Members without a partition may be missing.
pub type Target<'a> = BTreeMap<&'a str, Partitions>;

/// `PartitionAssignorException`: a member subscribes to this topic, which does not exist. The coordinator asks only
/// for topics it knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownTopic(pub Uuid);

fn partitions_of(topics: &Topics, id: Uuid) -> Result<u32, UnknownTopic> {
    topics.get(&id).copied().ok_or(UnknownTopic(id))
}
