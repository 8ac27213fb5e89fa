//! The target assignment: who is to own what, by one of the coordinator's assignors (`TargetAssignmentBuilder`).
//!
//! Kafka's member ids and topic ids are random, and so is the order in which its maps hand them out: who gets the one
//! partition more is luck. Here that order follows from numbers scrambled out of the ids; a member's id has luck in it.

use std::collections::BTreeMap;

use crate::base::config::RemoteAssignor;
use crate::base::ids::{MemberId, PartitionId, RegexId, TopicId};
use crate::base::names::Names;
use crate::kafka::group::assignor::target::{
    Member, SubscriptionType, Topics, Uuid, range, uniform,
};
use crate::kafka::group::consumer::{ConsumerGroup, ConsumerGroupMember};
use crate::kafka::group::hash::hash_map_order;

/// What each member is to own, ascending, by the subscriptions and the target before.
pub(super) fn assign(
    group: &ConsumerGroup,
    assignor: RemoteAssignor,
    names: &Names,
) -> BTreeMap<MemberId, Vec<PartitionId>> {
    let words: BTreeMap<MemberId, String> =
        group.members.keys().map(|id| (*id, word(*id))).collect();
    let ids: BTreeMap<&str, MemberId> =
        words.iter().map(|(id, word)| (word.as_str(), *id)).collect();
    let order = hash_map_order(&words.values().map(String::as_str).collect::<Vec<_>>());
    let members: Vec<Member<'_>> = order
        .into_iter()
        .map(|word| {
            let metadata = &group.members[&ids[word]].metadata;
            let instance = metadata.instance.map(|i| names.instances[i.index()].as_str());
            let exists = |topic: &TopicId| !names.existing(*topic).is_empty();
            let topics = group.topics_of(metadata).into_iter().filter(exists).map(uuid).collect();
            let target = by_topic(group.target_of(ids[word]), names);
            Member { id: word, instance, topics, target }
        })
        .collect();
    let all = (0..names.topics.len() as u16).map(TopicId);
    let all = all.filter(|topic| !names.existing(*topic).is_empty());
    let existing: BTreeMap<Uuid, TopicId> = all.map(|topic| (uuid(topic), topic)).collect();
    let count = |topic: &TopicId| names.existing(*topic).len() as u32;
    let topics: Topics = existing.iter().map(|(id, topic)| (*id, count(topic))).collect();
    let result = match assignor {
        RemoteAssignor::Uniform => uniform::assign(&members, subscription_type(group), &topics),
        RemoteAssignor::Range => range::assign(&members, &topics),
    };
    let result = result.expect("members subscribe to topics that exist");
    let partitions = |word: &str| -> Vec<PartitionId> {
        let own = result.get(word).into_iter().flatten();
        let number =
            |topic: &Uuid, n: &u32| names.topics[existing[topic].index()].partitions[*n as usize];
        let mut own: Vec<_> =
            own.flat_map(|(topic, all)| all.iter().map(|n| number(topic, n))).collect();
        own.sort_unstable();
        own
    };
    words.iter().map(|(id, word)| (*id, partitions(word))).collect()
}

/// `ConsumerGroup.subscriptionType`: all name the same topics, or all have the same regular expression and name none.
fn subscription_type(group: &ConsumerGroup) -> SubscriptionType {
    fn says(member: &ConsumerGroupMember) -> (Option<RegexId>, &[TopicId]) {
        (member.metadata.regex, &member.metadata.topics)
    }
    let mut members = group.members.values();
    let first = members.next().map(says);
    let both = first.is_some_and(|(regex, topics)| regex.is_some() && !topics.is_empty());
    if !both && members.all(|other| Some(says(other)) == first) {
        SubscriptionType::Homogeneous
    } else {
        SubscriptionType::Heterogeneous
    }
}

fn by_topic(partitions: &[PartitionId], names: &Names) -> Vec<(Uuid, Vec<u32>)> {
    let mut topics: Vec<(Uuid, Vec<u32>)> = Vec::new();
    for partition in partitions {
        let known = &names.partitions[partition.index()];
        let topic = uuid(known.topic);
        match topics.iter_mut().find(|(id, _)| *id == topic) {
            Some((_, numbers)) => numbers.push(known.index),
            None => topics.push((topic, vec![known.index])),
        }
    }
    topics
}

/// In place of the random text that is a member's id in Kafka.
fn word(member: MemberId) -> String {
    format!("{:016x}{:08x}", scrambled(member.0.into()), member.0)
}

/// In place of a topic's random id.
fn uuid(topic: TopicId) -> Uuid {
    let number = u64::from(topic.0) << 1;
    Uuid(scrambled(number | 1 << 32), scrambled(number | 1 << 33))
}

/// The finalizer of `SplitMix64`.
fn scrambled(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
