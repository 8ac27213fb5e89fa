//! `RangeAssignor`: topic by topic, the partitions in order are cut into one run a consumer, consumers sorted by
//! member id (static members first, by their instance id); the first consumers get one partition more when it does
//! not come out even. Several topics with few partitions therefore load the first consumers and leave the last idle.
//!
//! Simplified: no racks (KIP-881).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::base::config::Defect;
use crate::base::ids::{MemberId, TopicId};
use crate::base::names::Names;
use crate::kafka::api::{MemberPartition, MemberTopic};
use crate::kafka::group::hash::hash_map_order;

/// A member and what it subscribes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member<'a> {
    /// Its member id.
    pub id: &'a str,
    /// Its `group.instance.id`, if it is a static member.
    pub instance: Option<&'a str>,
    /// The topics it subscribes to.
    pub topics: Vec<&'a str>,
}

/// Partitions as topic and number.
pub type Partitions<'a> = Vec<(&'a str, u32)>;

/// Assigns the partitions of `topics` (name and partition count) to `members`, given in the order in which the
/// leader received them. A member's partitions are in the order in which Kafka's assignor returns them; a member
/// without any is in the result.
pub fn assign<'a>(
    members: &[Member<'a>],
    topics: &BTreeMap<&'a str, u32>,
) -> BTreeMap<&'a str, Partitions<'a>> {
    let mut result: BTreeMap<_, Partitions<'a>> =
        members.iter().map(|member| (member.id, Vec::new())).collect();
    let subscribed: Vec<&str> = members.iter().flat_map(|m| m.topics.iter().copied()).collect();
    for topic in topic_order(&subscribed, |topic| topics.get(topic).is_some_and(|n| *n > 0)) {
        let mut consumers: Vec<_> = members.iter().filter(|m| m.topics.contains(&topic)).collect();
        consumers.sort_by(|a, b| member_order(a, b));
        for (consumer, range) in consumers.iter().zip(ranges(topics[topic], consumers.len())) {
            let own = result.get_mut(consumer.id).expect("every member has an entry");
            own.extend(range.map(|partition| (topic, partition)));
        }
    }
    result
}

/// The same over ids, for the leader of a group in a run: `members` has one row a member and topic. Member ids are
/// made so that their order is that of Kafka's names.
pub fn assign_ids(members: &[MemberTopic], names: &Names, defect: Defect) -> Vec<MemberPartition> {
    let topic_name = |topic: TopicId| names.topics[topic.index()].name.as_str();
    let subscribed: Vec<&str> = members.iter().map(|row| topic_name(row.topic)).collect();
    let mut assignment = Vec::new();
    for name in topic_order(&subscribed, |_| true) {
        let own = members.iter().filter(|row| topic_name(row.topic) == name);
        let consumers: BTreeSet<MemberId> = own.map(|row| row.member).collect();
        let Some(topic) = names.find_topic(name) else { continue };
        let partitions = &names.topics[topic.index()].partitions;
        let shares = ranges(partitions.len() as u32, consumers.len());
        for (member, range) in consumers.iter().zip(shares) {
            let range = range.start as usize..range.end as usize;
            let member = *member;
            let first = partitions.first().filter(|_| range.start > 0);
            let extra = first.filter(|_| defect == Defect::AssignmentOverlaps);
            let own = partitions[range].iter().chain(extra);
            assignment
                .extend(own.map(|partition| MemberPartition { member, partition: *partition }));
        }
    }
    assignment
}

/// How many of `partitions` each of `consumers` gets, as consecutive runs.
fn ranges(partitions: u32, consumers: usize) -> impl Iterator<Item = Range<u32>> {
    let consumers = consumers as u32;
    let (each, more) = (partitions / consumers.max(1), partitions % consumers.max(1));
    let start = move |n: u32| each * n + more.min(n);
    (0..consumers).map(move |n| start(n)..start(n + 1))
}

/// The subscribed topics that exist in the order in which the assignor goes through them: they are collected in a
/// `HashSet` and from there into a `HashMap`.
fn topic_order<'a>(subscribed: &[&'a str], exists: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let inserted: Vec<&str> = subscribed.iter().copied().filter(|t| seen.insert(*t)).collect();
    let mut topics = hash_map_order(&inserted);
    topics.retain(|topic| exists(topic));
    hash_map_order(&topics)
}

/// `AbstractPartitionAssignor.MemberInfo.compareTo`.
fn member_order(a: &Member<'_>, b: &Member<'_>) -> Ordering {
    match (a.instance, b.instance) {
        (Some(a), Some(b)) => java_order(a, b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => java_order(a.id, b.id),
    }
}

/// `String.compareTo`: by UTF-16 code units.
fn java_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::PartitionId;
    use crate::base::names::Topic;

    /// `a:t1,t2 b:t1` over `t1=3 t2=2` gives `a:t1-0,t1-1,… b:…`.
    fn check(members: &[(&str, Option<&str>, &[&str])], topics: &[(&str, u32)], expected: &str) {
        let members: Vec<_> = members
            .iter()
            .map(|(id, instance, topics)| Member {
                id,
                instance: *instance,
                topics: topics.to_vec(),
            })
            .collect();
        let result = assign(&members, &topics.iter().copied().collect());
        let words: Vec<String> = result
            .iter()
            .map(|(id, own)| {
                let own: Vec<String> = own.iter().map(|(t, p)| format!("{t}-{p}")).collect();
                format!("{id}:{}", own.join(","))
            })
            .collect();
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn the_first_consumers_get_the_partitions_that_do_not_come_out_even() {
        let t0: &[&str] = &["t0"];
        check(
            &[("c2", None, t0), ("c0", None, t0), ("c1", None, t0)],
            &[("t0", 5)],
            "c0:t0-0,t0-1 c1:t0-2,t0-3 c2:t0-4",
        );
    }

    #[test]
    fn with_two_topics_of_three_partitions_the_fourth_consumer_idles() {
        let both: &[&str] = &["t0", "t1"];
        check(
            &[("a", None, both), ("b", None, both), ("c", None, both), ("d", None, both)],
            &[("t0", 3), ("t1", 3)],
            "a:t0-0,t1-0 b:t0-1,t1-1 c:t0-2,t1-2 d:",
        );
    }

    #[test]
    fn static_members_come_first_and_unknown_topics_are_passed_over() {
        check(
            &[("a", None, &["t0"]), ("z", Some("i1"), &["t0", "missing"])],
            &[("t0", 3)],
            "a:t0-2 z:t0-0,t0-1",
        );
    }

    #[test]
    fn ids_get_what_names_get_and_the_planted_bug_overlaps() {
        let partitions: Vec<PartitionId> = (0..3).map(PartitionId).collect();
        let topic = Topic { name: "t0".into(), partitions, internal: false, partition_count: 3 };
        let names = Names { topics: vec![topic], ..Names::default() };
        let row = |member| MemberTopic { member: MemberId(member), topic: TopicId(0) };
        let assigned = |defect| -> Vec<(u32, u16)> {
            let rows = assign_ids(&[row(9), row(7)], &names, defect);
            rows.iter().map(|row| (row.member.0, row.partition.0)).collect()
        };
        assert_eq!(assigned(Defect::None), [(7, 0), (7, 1), (9, 2)]);
        assert_eq!(assigned(Defect::AssignmentOverlaps), [(7, 0), (7, 1), (9, 2), (9, 0)]);
    }
}
