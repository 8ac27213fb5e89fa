//! A set of brokers as one machine word, and a replica assignment as an ordered list of them.

use std::fmt;

use crate::base::ids::BrokerId;

/// A set of brokers; bit *n* stands for broker *n*. ISR, ELR, live brokers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct BrokerSet(pub u64);

impl BrokerSet {
    /// The set without members.
    pub const EMPTY: Self = Self(0);

    /// The set of one.
    pub fn of(broker: BrokerId) -> Self {
        Self(1 << (broker.0 - 1))
    }

    /// True when `broker` is a member.
    pub fn contains(self, broker: BrokerId) -> bool {
        self.0 & Self::of(broker).0 != 0
    }

    /// This set and `broker`.
    #[must_use]
    pub fn with(self, broker: BrokerId) -> Self {
        Self(self.0 | Self::of(broker).0)
    }

    /// This set without `broker`.
    #[must_use]
    pub fn without(self, broker: BrokerId) -> Self {
        Self(self.0 & !Self::of(broker).0)
    }

    /// Members of either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Members of both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Members of this set that `other` lacks.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True when every member of this set is in `other`.
    pub fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The number of members.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// True when there is no member.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members in ascending order.
    pub fn iter(self) -> impl Iterator<Item = BrokerId> {
        (1..=64u8).map(BrokerId).filter(move |b| self.contains(*b))
    }
}

impl FromIterator<BrokerId> for BrokerSet {
    fn from_iter<I: IntoIterator<Item = BrokerId>>(brokers: I) -> Self {
        brokers.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// `1,2,3`, as `kafka-topics.sh` prints a replica list.
impl fmt::Display for BrokerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, broker) in self.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { "," }, broker.0)?;
        }
        Ok(())
    }
}

/// Panics beyond [`MAX_REPLICAS`], as [`ReplicaList::new`] does.
impl FromIterator<BrokerId> for ReplicaList {
    fn from_iter<I: IntoIterator<Item = BrokerId>>(brokers: I) -> Self {
        Self::new(&brokers.into_iter().collect::<Vec<_>>())
    }
}

/// The most replicas one partition may have here. Kafka has no such limit.
pub const MAX_REPLICAS: usize = 15;

/// The replicas of a partition in assignment order; the first is the preferred leader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct ReplicaList {
    len: u8,
    brokers: [BrokerId; MAX_REPLICAS],
}

impl ReplicaList {
    /// The list of `brokers` in that order.
    ///
    /// # Panics
    /// With more than [`MAX_REPLICAS`] brokers; the loader refuses such a scenario.
    pub fn new(brokers: &[BrokerId]) -> Self {
        let mut list = Self { len: brokers.len() as u8, ..Self::default() };
        list.brokers[..brokers.len()].copy_from_slice(brokers);
        list
    }

    /// The brokers in assignment order.
    pub fn as_slice(&self) -> &[BrokerId] {
        &self.brokers[..usize::from(self.len)]
    }

    /// The list without the brokers of `set`.
    #[must_use]
    pub fn without(&self, set: BrokerSet) -> Self {
        self.as_slice().iter().copied().filter(|broker| !set.contains(*broker)).collect()
    }

    /// The list and, after it, the brokers of `set` in ascending order.
    #[must_use]
    pub fn followed_by(&self, set: BrokerSet) -> Self {
        self.as_slice().iter().copied().chain(set.iter()).collect()
    }

    /// The brokers as a set.
    pub fn set(&self) -> BrokerSet {
        self.as_slice().iter().copied().collect()
    }
}
