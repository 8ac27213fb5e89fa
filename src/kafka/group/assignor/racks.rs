//! When an assignor looks at racks at all (KIP-881, `AbstractPartitionAssignor.useRackAwareAssignment`).

use std::collections::BTreeSet;

use crate::kafka::group::assignor::{Member, Topic};

/// The member's rack. An empty one is none.
pub(super) fn rack_of<'a>(member: &Member<'a>) -> Option<&'a str> {
    member.rack.filter(|rack| !rack.is_empty())
}

/// The racks that have a replica of partition `number`.
pub(super) fn replica_racks<'a>(topic: &Topic<'a>, number: u32) -> BTreeSet<&'a str> {
    topic.racks.get(number as usize).into_iter().flatten().copied().collect()
}

/// True when some consumer has a rack in which there is a replica, and not every rack has every partition.
pub(super) fn use_rack_aware_assignment<'a, 'b>(
    consumers: &BTreeSet<&'a str>,
    partitions: impl Iterator<Item = &'b BTreeSet<&'a str>> + Clone,
) -> bool
where
    'a: 'b,
{
    let all: BTreeSet<&str> = partitions.clone().flatten().copied().collect();
    !consumers.is_disjoint(&all) && partitions.into_iter().any(|racks| *racks != all)
}
