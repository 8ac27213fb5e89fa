//! The assignor of share groups (`SimpleAssignor` of 4.4): members and partitions are spread evenly over each other.
//! With more members than partitions a partition has several members; each member has at least one partition as long
//! as there is one. What a member has it keeps, as far as the spread allows.
//!
//! Simplified: Kafka takes members and partitions in the order of hash maps over random ids; here the order is that of
//! our ids.

use std::collections::BTreeMap;

use crate::base::ids::{PartitionId, TopicId};

/// A member: what it reads, and what it has, before and after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscriber {
    /// Its topics.
    pub topics: Vec<TopicId>,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionId>,
}

/// Gives the members their next partitions. `assignable` says which ones of a topic there are.
pub fn assign(members: &mut [Subscriber], assignable: impl Fn(TopicId) -> Vec<PartitionId>) {
    let mut topics: Vec<TopicId> = members.iter().flat_map(|m| m.topics.clone()).collect();
    topics.sort_unstable();
    topics.dedup();
    let everybody = |topic: &TopicId| members.iter().all(|m| m.topics.contains(topic));
    // With one subscription for all, the spread is over all topics together; else topic by topic.
    let rounds: Vec<Vec<TopicId>> = if topics.iter().all(everybody) {
        vec![topics.clone()]
    } else {
        topics.iter().map(|topic| vec![*topic]).collect()
    };
    let old: Vec<Vec<PartitionId>> =
        members.iter_mut().map(|m| std::mem::take(&mut m.partitions)).collect();
    for round in rounds {
        let Some(first) = round.first() else { continue };
        let who: Vec<usize> =
            (0..members.len()).filter(|m| members[*m].topics.contains(first)).collect();
        let partitions: Vec<PartitionId> = round.iter().flat_map(|t| assignable(*t)).collect();
        for (member, partition) in spread(&who, &partitions, &old) {
            members[member].partitions.push(partition);
        }
    }
    for member in members {
        member.partitions.sort_unstable();
    }
}

/// Spreads `who` over `partitions`.
fn spread(
    who: &[usize],
    partitions: &[PartitionId],
    old: &[Vec<PartitionId>],
) -> Vec<(usize, PartitionId)> {
    if who.is_empty() || partitions.is_empty() {
        return Vec::new();
    }
    let sharing = who.len().div_ceil(partitions.len());
    let total = sharing * partitions.len();
    let up_to = |n: usize| (total * n).div_ceil(who.len());
    let wanted: BTreeMap<usize, usize> =
        who.iter().enumerate().map(|(i, m)| (*m, up_to(i + 1) - up_to(i))).collect();
    let mut pairs: Vec<(usize, PartitionId)> = Vec::new();
    for member in who {
        let kept = old[*member].iter().filter(|p| partitions.contains(p));
        for partition in kept.copied().collect::<Vec<_>>() {
            let has = pairs.iter().filter(|(m, _)| m == member).count();
            let shared = pairs.iter().filter(|(_, p)| *p == partition).count();
            if has < wanted[member] && shared < sharing {
                pairs.push((*member, partition));
            }
        }
    }
    let mut next = 0;
    for partition in partitions {
        let mut tried = 0;
        while pairs.iter().filter(|(_, p)| p == partition).count() < sharing && tried < who.len() {
            let member = who[next % who.len()];
            next += 1;
            tried += 1;
            let has = pairs.iter().filter(|(m, _)| *m == member).count();
            if has < wanted[&member] && !pairs.contains(&(member, *partition)) {
                pairs.push((member, *partition));
                tried = 0;
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many partitions each of so many members gets, and how many members each partition.
    fn counts(members: usize, partitions: u16, old: &[&[u16]]) -> (Vec<usize>, Vec<usize>) {
        let had = |n: usize| {
            old.get(n).map_or_else(Vec::new, |p| p.iter().map(|p| PartitionId(*p)).collect())
        };
        let subscriber = |n| Subscriber { topics: vec![TopicId(0)], partitions: had(n) };
        let mut all: Vec<Subscriber> = (0..members).map(subscriber).collect();
        assign(&mut all, |_| (0..partitions).map(PartitionId).collect());
        let of = |p: u16| all.iter().filter(|m| m.partitions.contains(&PartitionId(p))).count();
        (all.iter().map(|m| m.partitions.len()).collect(), (0..partitions).map(of).collect())
    }

    #[test]
    fn members_and_partitions_are_spread_evenly_over_each_other() {
        assert_eq!(counts(4, 1, &[]), (vec![1; 4], vec![4]));
        assert_eq!(counts(3, 4, &[]), (vec![2, 1, 1], vec![1; 4]));
        assert_eq!(counts(5, 2, &[]), (vec![2, 1, 1, 1, 1], vec![3, 3]));
        assert_eq!(counts(2, 0, &[]), (vec![0, 0], vec![]));
    }

    #[test]
    fn what_a_member_has_it_keeps_as_far_as_the_spread_allows() {
        let old = [PartitionId(2), PartitionId(3)];
        let topics = vec![TopicId(0)];
        let mut members = vec![
            Subscriber { topics: topics.clone(), partitions: Vec::new() },
            Subscriber { topics, partitions: old.to_vec() },
        ];
        assign(&mut members, |_| (0..4).map(PartitionId).collect());
        assert_eq!(members[1].partitions, old);
        assert_eq!(members[0].partitions, [PartitionId(0), PartitionId(1)]);
        assert_eq!(counts(2, 2, &[&[0, 1], &[]]), (vec![1, 1], vec![1, 1]));
    }

    #[test]
    fn with_different_subscriptions_each_topic_is_spread_by_itself() {
        let mut members = vec![
            Subscriber { topics: vec![TopicId(0)], partitions: Vec::new() },
            Subscriber { topics: vec![TopicId(0), TopicId(1)], partitions: Vec::new() },
        ];
        assign(&mut members, |topic| vec![PartitionId(topic.0 * 2), PartitionId(topic.0 * 2 + 1)]);
        assert_eq!(members[0].partitions, [PartitionId(0)]);
        assert_eq!(members[1].partitions, [PartitionId(1), PartitionId(2), PartitionId(3)]);
    }
}
