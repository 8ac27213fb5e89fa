//! `RangeAssignor`: topic by topic, the partitions in order are cut into one run a consumer, consumers sorted by
//! member id (static members first, by their instance id); the first consumers get one partition more when it does
//! not come out even. Several topics with few partitions therefore load the first consumers and leave the last idle.
//!
//! With racks (KIP-881), partitions are first given to consumers in a rack that has a replica, as far as the same
//! sizes allow; topics with the same consumers and as many partitions stay aligned, partition for partition.

use std::collections::{BTreeMap, BTreeSet};

use crate::kafka::group::assignor::racks::{rack_of, replica_racks, use_rack_aware_assignment};
use crate::kafka::group::assignor::{Assignment, Member, Topic, Topics, java_order, member_order};
use crate::kafka::group::hash::hash_map_order;

/// Assigns the partitions of `topics` to `members`, given in the order in which the leader's map hands them out.
pub fn assign<'a>(members: &[Member<'a>], topics: &Topics<'a>) -> Assignment<'a> {
    let mut result: Assignment<'a> = members.iter().map(|member| (member.id, Vec::new())).collect();
    let mut states: Vec<TopicAssignment<'a>> = topic_order(members, topics)
        .into_iter()
        .map(|name| TopicAssignment::new(name, &topics[name], members))
        .collect();
    let rack_aware = states.iter().any(|state| state.needs_rack_aware_assignment);
    if rack_aware {
        assign_with_rack_matching(&mut states, &mut result);
    }
    for state in &mut states {
        state.assign_ranges(false, &mut result);
    }
    if rack_aware {
        for own in result.values_mut() {
            own.sort_by(|a, b| java_order(a.0, b.0).then(a.1.cmp(&b.1)));
        }
    }
    result
}

/// The subscribed topics that exist in the order in which the assignor goes through them: they are collected in a
/// `HashSet` and from there into a `HashMap`.
fn topic_order<'a>(members: &[Member<'a>], topics: &Topics<'a>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let subscribed = members.iter().flat_map(|m| m.topics.iter().copied());
    let inserted: Vec<&str> = subscribed.filter(|t| seen.insert(*t)).collect();
    let mut order = hash_map_order(&inserted);
    order.retain(|topic| topics.get(topic).is_some_and(|topic| topic.partitions > 0));
    hash_map_order(&order)
}

/// Topics with the same consumers (in the same racks) and as many partitions are matched together; a topic alone only
/// when it needs to be.
fn assign_with_rack_matching<'a>(states: &mut [TopicAssignment<'a>], result: &mut Assignment<'a>) {
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (at, state) in states.iter().enumerate() {
        let consumers: BTreeMap<&str, Option<&str>> =
            state.consumers.iter().map(|consumer| (consumer.id, consumer.rack)).collect();
        groups.entry((consumers, state.partition_racks.len())).or_default().push(at);
    }
    for ((_, partitions), group) in groups {
        match group[..] {
            [alone] if states[alone].needs_rack_aware_assignment => {
                states[alone].assign_ranges(true, result);
            }
            [_] => {}
            _ => assign_co_partitioned(states, &group, partitions as u32, result),
        }
    }
}

fn assign_co_partitioned<'a>(
    states: &mut [TopicAssignment<'a>],
    group: &[usize],
    partitions: u32,
    result: &mut Assignment<'a>,
) {
    let Some(first) = group.first() else { return };
    let mut remaining: Vec<&str> = states[*first].consumers.iter().map(|c| c.id).collect();
    for number in 0..partitions {
        let matching = remaining.iter().copied().find(|id| {
            group
                .iter()
                .all(|at| states[*at].takes(id, number) && states[*at].max_assignable(id) > 0)
        });
        let Some(id) = matching else { continue };
        for at in group {
            states[*at].assign(id, &[number], result);
        }
        if group.iter().all(|at| states[*at].max_assignable(id) == 0) {
            remaining.retain(|other| *other != id);
            if remaining.is_empty() {
                break;
            }
        }
    }
}

/// `RangeAssignor.TopicAssignmentState`.
struct TopicAssignment<'a> {
    name: &'a str,
    consumers: Vec<Consumer<'a>>,
    needs_rack_aware_assignment: bool,
    /// By partition; empty when no consumer has a rack.
    partition_racks: Vec<BTreeSet<&'a str>>,
    unassigned: BTreeSet<u32>,
    each: u32,
    /// How many consumers may still get one partition more.
    extra: u32,
}

struct Consumer<'a> {
    id: &'a str,
    rack: Option<&'a str>,
    assigned: u32,
}

impl<'a> TopicAssignment<'a> {
    fn new(name: &'a str, topic: &Topic<'a>, members: &[Member<'a>]) -> Self {
        let mut own: Vec<_> = members.iter().filter(|m| m.topics.contains(&name)).collect();
        own.sort_by(|a, b| member_order((a.instance, a.id), (b.instance, b.id)));
        let consumers: Vec<Consumer<'_>> =
            own.iter().map(|m| Consumer { id: m.id, rack: rack_of(m), assigned: 0 }).collect();
        let racks: BTreeSet<&str> = consumers.iter().filter_map(|consumer| consumer.rack).collect();
        let partition_racks: Vec<_> = if racks.is_empty() {
            Vec::new()
        } else {
            (0..topic.partitions).map(|number| replica_racks(topic, number)).collect()
        };
        let count = consumers.len().max(1) as u32;
        Self {
            name,
            needs_rack_aware_assignment: use_rack_aware_assignment(&racks, partition_racks.iter()),
            partition_racks,
            unassigned: (0..topic.partitions).collect(),
            each: topic.partitions / count,
            extra: topic.partitions % count,
            consumers,
        }
    }

    /// Runs of unassigned partitions for consumer after consumer, of those in its rack only when `matching`.
    fn assign_ranges(&mut self, matching: bool, result: &mut Assignment<'a>) {
        for id in self.consumers.iter().map(|consumer| consumer.id).collect::<Vec<_>>() {
            let most = self.max_assignable(id) as usize;
            let may = self.unassigned.iter().copied().filter(|n| !matching || self.takes(id, *n));
            let numbers: Vec<u32> = may.take(most).collect();
            if !numbers.is_empty() {
                self.assign(id, &numbers, result);
            }
        }
    }

    fn consumer(&self, id: &str) -> Option<&Consumer<'a>> {
        self.consumers.iter().find(|consumer| consumer.id == id)
    }

    /// `racksMatch`: a consumer without a rack takes everything.
    fn takes(&self, id: &str, number: u32) -> bool {
        let Some(rack) = self.consumer(id).and_then(|consumer| consumer.rack) else { return true };
        self.partition_racks.get(number as usize).is_some_and(|racks| racks.contains(rack))
    }

    fn max_assignable(&self, id: &str) -> u32 {
        let assigned = self.consumer(id).map_or(0, |consumer| consumer.assigned);
        (self.each + u32::from(self.extra > 0)).saturating_sub(assigned)
    }

    fn assign(&mut self, id: &'a str, numbers: &[u32], result: &mut Assignment<'a>) {
        result.entry(id).or_default().extend(numbers.iter().map(|number| (self.name, *number)));
        self.unassigned.retain(|number| !numbers.contains(number));
        if let Some(consumer) = self.consumers.iter_mut().find(|consumer| consumer.id == id) {
            consumer.assigned += numbers.len() as u32;
            if consumer.assigned > self.each {
                self.extra = self.extra.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::group::assignor::written::{self, Written};

    fn check(members: &[Written<'static>], topics: &[(&'static str, u32)], expected: &str) {
        written::check(assign, members, topics, expected);
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

    fn racked<'a>(racks: &[(&'a str, &'a str)], topics: &[(&'a str, &[&[&'a str]])]) -> String {
        let names: Vec<&str> = topics.iter().map(|(name, _)| *name).collect();
        let member = |(id, rack): &(&'a str, &'a str)| Member {
            id,
            rack: Some(rack),
            topics: names.clone(),
            ..Member::default()
        };
        let members: Vec<Member<'_>> = racks.iter().map(member).collect();
        let topic = |racks: &[&[&'a str]]| Topic {
            partitions: racks.len() as u32,
            racks: racks.iter().map(|racks| racks.to_vec()).collect(),
        };
        let topics = topics.iter().map(|(name, racks)| (*name, topic(racks))).collect();
        written::words(&assign(&members, &topics))
    }

    #[test]
    fn consumers_get_partitions_of_their_rack_within_the_same_sizes() {
        let members = [("c1", "a"), ("c2", "b"), ("c3", "c")];
        let one: &[&[&str]] = &[&["b"], &["c"], &["a"], &["b"]];
        assert_eq!(racked(&members, &[("t", one)]), "c1:t-2 c2:t-0,t-3 c3:t-1");
        let everywhere: &[&[&str]] = &[&["a", "b", "c"], &["a", "b", "c"], &["a", "b", "c"]];
        assert_eq!(racked(&members, &[("t", everywhere)]), "c1:t-0 c2:t-1 c3:t-2");
    }

    #[test]
    fn topics_with_as_many_partitions_stay_aligned() {
        let members = [("c1", "a"), ("c2", "b")];
        let t: &[&[&str]] = &[&["b"], &["a"]];
        let u: &[&[&str]] = &[&["b"], &["a"]];
        assert_eq!(racked(&members, &[("t", t), ("u", u)]), "c1:t-1,u-1 c2:t-0,u-0");
    }
}
