//! `UniformHomogeneousAssignmentBuilder`: all members subscribe to the same topics. In the order of the members, each
//! keeps up to its quota; what is over goes to those below theirs, in order.

use std::collections::BTreeSet;

use super::{Member, Partitions, Target, Topics, UnknownTopic, Uuid, partitions_of};
use crate::kafka::group::hash::hash_set_order;

pub(super) fn assign<'a>(
    members: &[Member<'a>],
    topics: &Topics,
) -> Result<Target<'a>, UnknownTopic> {
    let subscribed = members.first().map(|member| member.topics.clone()).unwrap_or_default();
    if subscribed.is_empty() {
        return Ok(Target::new());
    }
    let assigned: BTreeSet<(Uuid, u32)> = members
        .iter()
        .flat_map(|member| &member.target)
        .flat_map(|(id, own)| own.iter().map(|number| (*id, *number)))
        .collect();
    let mut total = 0;
    let mut unassigned = Vec::new();
    for id in hash_set_order(&subscribed, Uuid::java_hash) {
        let count = partitions_of(topics, id)?;
        total += count as usize;
        unassigned.extend((0..count).map(|n| (id, n)).filter(|tp| !assigned.contains(tp)));
    }
    let mut target = Target::new();
    let mut unfilled = Vec::new();
    let quota = total / members.len();
    let mut extra = total % members.len();
    for (index, member) in members.iter().enumerate() {
        let quota = Quota { left: quota + usize::from(extra > 0), has_extra: extra > 0 };
        let (kept, mut quota) = keep(member, &subscribed, quota, &mut unassigned);
        // The ones at the end get what nobody before them already had.
        if quota.left > 0 && quota.has_extra && members.len() - index > extra {
            quota = Quota { left: quota.left - 1, has_extra: false };
        }
        if quota.left > 0 {
            unfilled.push((member.id, quota.left));
        }
        extra -= usize::from(quota.has_extra);
        target.insert(member.id, kept);
    }
    let mut rest = unassigned.into_iter();
    for (id, left) in unfilled {
        let own = target.entry(id).or_default();
        for (topic, number) in rest.by_ref().take(left) {
            own.entry(topic).or_default().insert(number);
        }
    }
    Ok(target)
}

/// How many more partitions a member may have.
struct Quota {
    left: usize,
    /// One of them is there because it does not come out even.
    has_extra: bool,
}

/// `maybeRevokePartitions` of one member: what it keeps. What it may not keep is unassigned.
fn keep(
    member: &Member<'_>,
    subscribed: &[Uuid],
    mut quota: Quota,
    unassigned: &mut Vec<(Uuid, u32)>,
) -> (Partitions, Quota) {
    let mut kept = Partitions::new();
    for (id, mut own) in member.target_in_order() {
        if !subscribed.contains(&id) {
            continue;
        }
        let over = own.split_off(quota.left.min(own.len()));
        quota.left -= own.len();
        unassigned.extend(over.into_iter().map(|number| (id, number)));
        if !own.is_empty() {
            kept.insert(id, own.into_iter().collect());
        }
    }
    (kept, quota)
}
