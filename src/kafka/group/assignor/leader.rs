//! What the leader of a group does between its JoinGroup and its SyncGroup (`ConsumerCoordinator.onLeaderElected`): the
//! members' subscriptions to names, through the assignor, and back to ids.
//!
//! Simplified: members come in the order of their ids (Kafka: in that of a hash map over random ids); the racks of a
//! partition are those of the replicas that the topic began with.

use crate::base::batch::Subscribed;
use crate::base::broker_set::BrokerSet;
use crate::base::config::{AssignorName, Defect};
use crate::base::ids::{MemberId, PartitionId};
use crate::base::names::{self, Names};
use crate::kafka::api::{MemberPartition, MemberRow};
use crate::kafka::group::assignor::{
    Member, NO_GENERATION, Topic, Topics, cooperative_sticky, range, round_robin, sticky,
};

/// Assigns the partitions of the topics that members subscribe to; `rows` has what each said of itself, members in
/// order, `size` how many partitions a topic has, and `online` the brokers in the leader's metadata: of others it does
/// not know the rack. Member ids are made so that their order is that of Kafka's names.
pub fn assign(
    assignor: AssignorName,
    rows: &[MemberRow],
    (names, online): (&Names, BrokerSet),
    size: impl Fn(&names::Topic) -> u32,
    defect: Defect,
) -> Vec<MemberPartition> {
    let mut ids: Vec<MemberId> = rows.iter().map(|row| row.member).collect();
    ids.dedup();
    let words: Vec<String> = ids.iter().map(|id| format!("{:08x}", id.0)).collect();
    let members: Vec<Member<'_>> = ids
        .iter()
        .zip(&words)
        .map(|(id, word)| {
            let says = rows.iter().filter(|row| row.member == *id).map(|row| row.says);
            subscription(assignor, word, says, names)
        })
        .collect();
    let topics: Topics<'_> = names
        .topics
        .iter()
        .map(|topic| (topic.name.as_str(), known(topic, size(topic), (names, online))))
        .collect();
    let partition = |(topic, number): &(&str, u32)| names.find_partition(topic, *number);
    let mut assignment = Vec::new();
    let result = match assignor {
        AssignorName::Range => range::assign(&members, &topics),
        AssignorName::RoundRobin => round_robin::assign(&members, &topics),
        AssignorName::Sticky => sticky::assign(&members, &topics),
        AssignorName::CooperativeSticky => cooperative_sticky::assign(&members, &topics),
    };
    for (word, own) in result {
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

/// A topic as the leader knows it: its partitions, and the racks of their replicas that are online (KIP-881).
fn known<'a>(
    topic: &'a names::Topic,
    partitions: u32,
    (names, online): (&'a Names, BrokerSet),
) -> Topic<'a> {
    let of_replicas = |number| {
        let id = names.find_partition(&topic.name, number);
        let replicas = id.map(|id| names.partitions[id.index()].replicas).unwrap_or_default();
        let online = replicas.as_slice().iter().copied().filter(|broker| online.contains(*broker));
        online.filter_map(|broker| names.rack_of(broker)).collect()
    };
    Topic { partitions, racks: (0..partitions).map(of_replicas).collect() }
}

/// What one member said, by names: to the sticky assignor what it had, to the others what it owns.
fn subscription<'a>(
    assignor: AssignorName,
    id: &'a str,
    says: impl Iterator<Item = Subscribed>,
    names: &'a Names,
) -> Member<'a> {
    let mut member = Member { id, generation: NO_GENERATION, ..Member::default() };
    let (mut since, mut had) = (NO_GENERATION, Vec::new());
    let partition =
        |id: PartitionId| (names.topic_of(id).name.as_str(), names.partitions[id.index()].index);
    for said in says {
        match said {
            Subscribed::Generation(generation) => member.generation = generation.0,
            Subscribed::Instance(instance) => {
                member.instance = Some(&names.instances[instance.index()]);
            }
            Subscribed::Rack(rack) => member.rack = Some(&names.racks[rack.index()].0),
            Subscribed::Topic(topic) => member.topics.push(&names.topics[topic.index()].name),
            Subscribed::HadSince(generation) => since = generation.0,
            Subscribed::Owned(id) => member.owned.push(partition(id)),
            Subscribed::Had(id) => had.push(partition(id)),
        }
    }
    if assignor == AssignorName::Sticky {
        member.owned = sticky::user_data(&had);
        member.owned_generation = since;
    } else {
        member.owned = cooperative_sticky::subscription(&member.owned);
        member.owned_generation = member.generation;
    }
    member
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::broker_set::ReplicaList;
    use crate::base::ids::TopicId;
    use crate::base::names::Partition;

    #[test]
    fn ids_get_what_names_get_and_the_planted_bug_overlaps() {
        let partitions: Vec<PartitionId> = (0..3).map(PartitionId).collect();
        let of_topic =
            |n| Partition { topic: TopicId(0), index: n, replicas: ReplicaList::default() };
        let topic =
            names::Topic { name: "t0".into(), partitions, internal: false, partition_count: 3 };
        let names = Names {
            topics: vec![topic],
            partitions: (0..3).map(of_topic).collect(),
            ..Names::default()
        };
        let topic = Subscribed::Topic(TopicId(0));
        let row = |member| MemberRow { member: MemberId(member), says: topic };
        let assigned = |defect| -> Vec<(u32, u16)> {
            let rows = assign(
                AssignorName::Range,
                &[row(7), row(9)],
                (&names, BrokerSet::EMPTY),
                |t| t.partition_count,
                defect,
            );
            rows.iter().map(|row| (row.member.0, row.partition.0)).collect()
        };
        assert_eq!(assigned(Defect::None), [(7, 0), (7, 1), (9, 2)]);
        assert_eq!(assigned(Defect::AssignmentOverlaps), [(7, 0), (7, 1), (9, 2), (9, 0)]);
    }
}
