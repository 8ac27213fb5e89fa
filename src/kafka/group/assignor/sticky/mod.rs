//! `StickyAssignor` and what it shares with `CooperativeStickyAssignor` (`AbstractStickyAssignor`): balanced, and
//! within that everybody keeps what it had. Members that all subscribe to the same topics are served by
//! [`constrained`], others by [`general`].
//!
//! Simplified: an instance of Kafka's class remembers the highest generation it ever saw; here every assignment
//! begins without one. Where Kafka's class throws (a partition claimed from beyond the end of its topic, a previous
//! owner that may not be moved to), partitions stay where they are.

mod constrained;
mod general;
mod movements;
mod racks;

use std::collections::{BTreeMap, BTreeSet};

use crate::kafka::group::assignor::{
    Assignment, Member, NO_GENERATION, Partitions, Topics, java_order,
};
use crate::kafka::group::hash::compute_if_absent_order;
use racks::RackInfo;

/// Assigns the partitions of `topics` to `members`, given in the order in which the leader's map hands them out: who of
/// several has to give up a partition depends on it.
pub fn assign<'a>(members: &[Member<'a>], topics: &Topics<'a>) -> Assignment<'a> {
    assign_and_note(members, topics).0
}

/// What a member owns in the order in which its user data names it (`serializeTopicPartitionAssignment`): topic by
/// topic, topics in the order of a hash map.
pub fn user_data<'a>(owned: &[(&'a str, u32)]) -> Partitions<'a> {
    let of_topic = |topic| owned.iter().copied().filter(move |(other, _)| *other == topic);
    let topics = compute_if_absent_order(owned.iter().map(|(topic, _)| *topic));
    topics.into_iter().flat_map(of_topic).collect()
}

/// A partition: its topic's place in [`Group::topics`], and its number. Its order is that of Kafka's
/// `TopicPartition` by topic, then by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Tp {
    topic: usize,
    number: u32,
}

/// A member: the place of its id among all, sorted.
type Consumer = usize;

/// A partition and the member that gets it.
pub(super) type Transfer<'a> = ((&'a str, u32), &'a str);

/// The input of an assignment, by numbers.
struct Group<'a> {
    /// Member ids, sorted as Java sorts strings.
    ids: Vec<&'a str>,
    /// The members in the order in which the map of subscriptions hands them out.
    order: Vec<Consumer>,
    /// The topics that somebody subscribes to and that exist, sorted as Java sorts strings.
    topics: Vec<&'a str>,
    /// Partitions by topic.
    counts: Vec<u32>,
    /// The topics of each member.
    subscriptions: Vec<Vec<usize>>,
    /// What each member says it owns, as far as the topics exist, and since when.
    claims: Vec<(Vec<Tp>, i32)>,
    /// The highest generation of a claim.
    max_generation: i32,
    racks: RackInfo,
}

/// What members owned before (`consumerToOwnedPartitions`, `partitionsWithMultiplePreviousOwners`).
struct Owned {
    /// By member; every partition at most once.
    by_member: Vec<Vec<Tp>>,
    /// Claimed by several members of one generation.
    doubly_claimed: BTreeSet<Tp>,
}

/// [`assign`], and the partitions that go from one member to another, if all members subscribe to the same topics.
pub(super) fn assign_and_note<'a>(
    members: &[Member<'a>],
    topics: &Topics<'a>,
) -> (Assignment<'a>, Option<Vec<Transfer<'a>>>) {
    let group = Group::new(members, topics);
    let owned = group.owned(members);
    let (assignment, transfers) = if all_subscriptions_equal(members) {
        let (assignment, transfers) = constrained::assign(&group, &owned);
        (assignment, Some(transfers))
    } else {
        (general::assign(&group, owned.by_member), None)
    };
    let named = |tp: &Tp| (group.topics[tp.topic], tp.number);
    let assignment = group.ids.iter().zip(&assignment);
    let assignment = assignment.map(|(id, own)| (*id, own.iter().map(named).collect())).collect();
    let transfers = transfers
        .map(|transfers| transfers.iter().map(|(tp, to)| (named(tp), group.ids[*to])).collect());
    (assignment, transfers)
}

/// Unknown topics count. A member without any topic says nothing as long as it is among the first.
fn all_subscriptions_equal(members: &[Member<'_>]) -> bool {
    let sets = members.iter().map(|m| m.topics.iter().copied().collect::<BTreeSet<&str>>());
    let mut sets = sets.skip_while(BTreeSet::is_empty);
    let first = sets.next();
    sets.all(|topics| Some(&topics) == first.as_ref())
}

impl<'a> Group<'a> {
    fn new(members: &[Member<'a>], existing: &Topics<'a>) -> Self {
        let mut ids: Vec<&str> = members.iter().map(|member| member.id).collect();
        ids.sort_by(|a, b| java_order(a, b));
        let place: BTreeMap<&str, Consumer> =
            ids.iter().enumerate().map(|(n, id)| (*id, n)).collect();
        let subscribed: BTreeSet<&str> =
            members.iter().flat_map(|m| m.topics.iter().copied()).collect();
        let exists = |name: &&str| existing.get(*name).is_some_and(|topic| topic.partitions > 0);
        let mut topics: Vec<&str> = subscribed.into_iter().filter(exists).collect();
        topics.sort_by(|a, b| java_order(a, b));
        let topic: BTreeMap<&str, usize> =
            topics.iter().enumerate().map(|(n, t)| (*t, n)).collect();
        let mut subscriptions = vec![Vec::new(); ids.len()];
        let mut claims = vec![(Vec::new(), NO_GENERATION); ids.len()];
        for member in members {
            let at = place[member.id];
            subscriptions[at] =
                member.topics.iter().filter_map(|t| topic.get(t).copied()).collect();
            let own = member.owned.iter();
            let own =
                own.filter_map(|(t, number)| Some(Tp { topic: *topic.get(t)?, number: *number }));
            claims[at] = (own.collect(), member.owned_generation);
        }
        let max_generation = claims.iter().map(|claim| claim.1).max();
        Self {
            order: members.iter().map(|member| place[member.id]).collect(),
            racks: RackInfo::new(members, &place, &topics, existing),
            counts: topics.iter().map(|name| existing[name].partitions).collect(),
            ids,
            topics,
            subscriptions,
            claims,
            max_generation: max_generation.unwrap_or(NO_GENERATION),
        }
    }

    /// `allSubscriptionsEqual`: whoever claims a partition with the highest generation had it; if there are several,
    /// nobody had.
    fn owned(&self, members: &[Member<'_>]) -> Owned {
        let mut by_member: Vec<Vec<Tp>> = vec![Vec::new(); self.ids.len()];
        let mut doubly_claimed = BTreeSet::new();
        let mut owner: BTreeMap<Tp, Consumer> = BTreeMap::new();
        let generation: BTreeMap<Consumer, i32> =
            self.order.iter().copied().zip(members.iter().map(|m| m.generation)).collect();
        for consumer in &self.order {
            let (claimed, since) = &self.claims[*consumer];
            for tp in claimed {
                let Some(other) = owner.get(tp).copied() else {
                    by_member[*consumer].push(*tp);
                    owner.insert(*tp, *consumer);
                    continue;
                };
                // Kafka compares with the generation of the other's subscription, not of its claim.
                let other_since = generation[&other];
                if *since < other_since {
                    continue;
                }
                remove(&mut by_member[other], *tp);
                owner.insert(*tp, *consumer);
                if *since == other_since {
                    doubly_claimed.insert(*tp);
                } else {
                    by_member[*consumer].push(*tp);
                }
            }
        }
        Owned { by_member, doubly_claimed }
    }

    /// All partitions of these topics.
    fn partitions(&self, topics: impl Iterator<Item = usize>) -> Vec<Tp> {
        topics
            .flat_map(|topic| (0..self.counts[topic]).map(move |number| Tp { topic, number }))
            .collect()
    }
}

/// `all` without `assigned`, both in the same order. As in Kafka, a partition in `assigned` that is not in `all` hides
/// everything behind it.
fn difference(all: &[Tp], assigned: &[Tp]) -> Vec<Tp> {
    let mut assigned = assigned.iter().peekable();
    all.iter().copied().filter(|tp| assigned.next_if(|next| *next == tp).is_none()).collect()
}

/// `List.remove`: the first that is equal.
fn remove(list: &mut Vec<Tp>, item: Tp) {
    if let Some(at) = list.iter().position(|other| *other == item) {
        list.remove(at);
    }
}
