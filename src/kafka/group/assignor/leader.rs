//! What the leader of a group does between its JoinGroup and its SyncGroup (`ConsumerCoordinator.onLeaderElected`): the
//! members' subscriptions to names, through the assignor, and back to ids.
//!
//! Simplified: members come in the order of their ids (Kafka: in that of a hash map over random ids); no racks.

use crate::base::config::Defect;
use crate::base::ids::{MemberId, PartitionId, TopicId};
use crate::base::names::Names;
use crate::kafka::api::{MemberPartition, MemberTopic};
use crate::kafka::group::assignor::{Member, Topic, Topics, range};

/// Assigns the partitions of the topics that `rows` subscribe to; `rows` has one row a member and topic, members in
/// order. Member ids are made so that their order is that of Kafka's names.
pub fn assign(rows: &[MemberTopic], names: &Names, defect: Defect) -> Vec<MemberPartition> {
    let mut ids: Vec<MemberId> = rows.iter().map(|row| row.member).collect();
    ids.dedup();
    let words: Vec<String> = ids.iter().map(|id| format!("{:08x}", id.0)).collect();
    let topic_name = |topic: TopicId| names.topics[topic.index()].name.as_str();
    let members: Vec<Member<'_>> = ids
        .iter()
        .zip(&words)
        .map(|(id, word)| {
            let own = rows.iter().filter(|row| row.member == *id);
            let topics = own.map(|row| topic_name(row.topic)).collect();
            Member { id: word, topics, ..Member::default() }
        })
        .collect();
    let topics: Topics<'_> = names
        .topics
        .iter()
        .map(|topic| (topic.name.as_str(), Topic::of(topic.partitions.len() as u32)))
        .collect();
    let partition = |(topic, number): &(&str, u32)| names.find_partition(topic, *number);
    let mut assignment = Vec::new();
    for (word, own) in range::assign(&members, &topics) {
        let Some(at) = words.iter().position(|other| other == word) else { continue };
        let mut own: Vec<PartitionId> = own.iter().filter_map(partition).collect();
        if defect == Defect::AssignmentOverlaps {
            // The planted bug: partition 0 of every topic as well.
            let firsts = members[at].topics.iter().filter_map(|topic| partition(&(topic, 0)));
            own.extend(firsts.filter(|first| !own.contains(first)).collect::<Vec<_>>());
        }
        assignment.extend(own.iter().map(|p| MemberPartition { member: ids[at], partition: *p }));
    }
    assignment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::broker_set::ReplicaList;
    use crate::base::names::Partition;

    #[test]
    fn ids_get_what_names_get_and_the_planted_bug_overlaps() {
        let partitions: Vec<PartitionId> = (0..3).map(PartitionId).collect();
        let of_topic =
            |n| Partition { topic: TopicId(0), index: n, replicas: ReplicaList::default() };
        let topic = crate::base::names::Topic {
            name: "t0".into(),
            partitions,
            internal: false,
            partition_count: 3,
        };
        let names = Names {
            topics: vec![topic],
            partitions: (0..3).map(of_topic).collect(),
            ..Names::default()
        };
        let row = |member| MemberTopic { member: MemberId(member), topic: TopicId(0) };
        let assigned = |defect| -> Vec<(u32, u16)> {
            let rows = assign(&[row(7), row(9)], &names, defect);
            rows.iter().map(|row| (row.member.0, row.partition.0)).collect()
        };
        assert_eq!(assigned(Defect::None), [(7, 0), (7, 1), (9, 2)]);
        assert_eq!(assigned(Defect::AssignmentOverlaps), [(7, 0), (7, 1), (9, 2), (9, 0)]);
    }
}
