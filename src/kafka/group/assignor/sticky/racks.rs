//! `AbstractStickyAssignor.RackInfo`: racks of consumers and replicas (KIP-881), empty where they do not matter.

use std::collections::{BTreeMap, BTreeSet};

use super::{Consumer, Tp};
use crate::kafka::group::assignor::racks::{rack_of, replica_racks, use_rack_aware_assignment};
use crate::kafka::group::assignor::{Member, Topics};

/// See the module. Racks are numbered.
#[derive(Default)]
pub(super) struct RackInfo {
    consumers: BTreeMap<Consumer, usize>,
    partitions: BTreeMap<Tp, BTreeSet<usize>>,
    /// How many consumers are in a rack that has a replica.
    consumers_by_partition: BTreeMap<Tp, usize>,
}

impl RackInfo {
    pub(super) fn new(
        members: &[Member<'_>],
        place: &BTreeMap<&str, Consumer>,
        topics: &[&str],
        existing: &Topics<'_>,
    ) -> Self {
        let racks: BTreeSet<&str> = members.iter().filter_map(rack_of).collect();
        if racks.is_empty() {
            return Self::default();
        }
        let all: Vec<(Tp, BTreeSet<&str>)> = topics
            .iter()
            .enumerate()
            .flat_map(|(topic, name)| {
                let info = &existing[name];
                (0..info.partitions).map(move |n| (Tp { topic, number: n }, replica_racks(info, n)))
            })
            .collect();
        let names: BTreeSet<&str> = all.iter().flat_map(|(_, racks)| racks).copied().collect();
        let names: Vec<&str> = names.union(&racks).copied().collect();
        let number = |rack: &str| names.iter().position(|name| *name == rack);
        let consumers: BTreeMap<Consumer, usize> = members
            .iter()
            .filter_map(|member| Some((place[member.id], number(rack_of(member)?)?)))
            .collect();
        let partitions: BTreeMap<Tp, BTreeSet<usize>> = all
            .iter()
            .map(|(tp, racks)| (*tp, racks.iter().filter_map(|rack| number(rack)).collect()))
            .collect();
        let in_racks =
            |racks: &BTreeSet<usize>| consumers.values().filter(|r| racks.contains(r)).count();
        let consumers_by_partition = partitions.iter().map(|(tp, r)| (*tp, in_racks(r))).collect();
        if use_rack_aware_assignment(&racks, all.iter().map(|(_, racks)| racks)) {
            Self { consumers, partitions, consumers_by_partition }
        } else {
            Self { consumers_by_partition, ..Self::default() }
        }
    }

    /// True when racks matter.
    pub(super) fn matter(&self) -> bool {
        !self.consumers.is_empty()
    }

    /// True when the consumer is in a rack that has a replica.
    pub(super) fn in_rack(&self, consumer: Consumer, tp: Tp) -> bool {
        let racks = self.partitions.get(&tp);
        self.consumers.get(&consumer).is_some_and(|r| racks.is_some_and(|racks| racks.contains(r)))
    }

    /// `racksMismatch`: the consumer has a rack and no replica is in it.
    pub(super) fn mismatch(&self, consumer: Consumer, tp: Tp) -> bool {
        self.consumers.contains_key(&consumer) && !self.in_rack(consumer, tp)
    }

    /// `sortPartitionsByRackConsumers`: those with the fewest consumers near them first.
    pub(super) fn sort(&self, partitions: &mut [Tp]) {
        partitions.sort_by_key(|tp| self.consumers_by_partition.get(tp).copied().unwrap_or(0));
    }

    /// `nextRackConsumer`: the place in `list` of the next consumer from `first` on that has a replica in its rack.
    pub(super) fn next(&self, tp: Tp, list: &[Consumer], first: usize) -> Option<usize> {
        let places = (0..list.len()).map(|i| (first + i) % list.len());
        places.into_iter().find(|at| self.in_rack(list[*at], tp))
    }
}
