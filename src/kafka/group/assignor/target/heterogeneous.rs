//! `UniformHeterogeneousAssignmentBuilder`: members subscribe to different topics. Topics with the most partitions per
//! subscriber come first; unassigned partitions go to the least loaded subscribers of their topic, and then topics are
//! balanced one after the other until a round changes nothing.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Member, Target, Topics, UnknownTopic, Uuid, partitions_of};

/// `MAX_ITERATION_COUNT`.
const MAX_ITERATIONS: usize = 16;

pub(super) fn assign<'a>(
    members: &[Member<'a>],
    topics: &Topics,
) -> Result<Target<'a>, UnknownTopic> {
    let mut builder = Builder::new(members, topics)?;
    if builder.topics.is_empty() {
        return Ok(Target::new());
    }
    builder.assign_remaining();
    builder.balance();
    let mut target: Target<'a> = members.iter().map(|m| (m.id, BTreeMap::new())).collect();
    for (id, topic) in &builder.topics {
        for (number, owner) in topic.owners.iter().enumerate() {
            let Some(owner) = owner else { continue };
            let own = target.entry(members[*owner].id).or_default();
            own.entry(*id).or_default().insert(number as u32);
        }
    }
    Ok(target)
}

/// A subscribed topic.
struct Subscribed {
    /// The members that subscribe to it, by their places.
    subscribers: Vec<usize>,
    /// The owner of each partition.
    owners: Vec<Option<usize>>,
}

struct Builder {
    /// Topics with more partitions per subscriber first.
    topics: Vec<(Uuid, Subscribed)>,
    /// How many partitions each member has.
    sizes: Vec<usize>,
}

impl Builder {
    fn new(members: &[Member<'_>], topics: &Topics) -> Result<Self, UnknownTopic> {
        let mut subscribed: BTreeMap<Uuid, Subscribed> = BTreeMap::new();
        let mut sizes = vec![0; members.len()];
        for (at, member) in members.iter().enumerate() {
            for id in &member.topics {
                let owners = vec![None; partitions_of(topics, *id)? as usize];
                let new = Subscribed { subscribers: Vec::new(), owners };
                subscribed.entry(*id).or_insert(new).subscribers.push(at);
            }
        }
        for (at, member) in members.iter().enumerate() {
            for (id, own) in member.target.iter().filter(|(id, _)| member.topics.contains(id)) {
                let Some(topic) = subscribed.get_mut(id) else { continue };
                sizes[at] += own.len();
                for number in own {
                    if let Some(owner) = topic.owners.get_mut(*number as usize) {
                        *owner = Some(at);
                    }
                }
            }
        }
        let mut topics: Vec<(Uuid, Subscribed)> = subscribed.into_iter().collect();
        topics.sort_by(topic_order);
        Ok(Self { topics, sizes })
    }

    fn assign_remaining(&mut self) {
        for (_, topic) in &mut self.topics {
            let mut balancer = Balancer::new(&topic.subscribers, &self.sizes);
            for owner in topic.owners.iter_mut().filter(|owner| owner.is_none()) {
                let member = balancer.next_least_loaded(&self.sizes);
                *owner = Some(member);
                self.sizes[member] += 1;
            }
        }
    }

    fn balance(&mut self) {
        let movable: Vec<usize> = self
            .topics
            .iter()
            .enumerate()
            .filter(|(_, (_, topic))| topic.subscribers.len() >= 2)
            .map(|(at, _)| at)
            .collect();
        let mut last_change = None;
        for _ in 0..MAX_ITERATIONS {
            for at in &movable {
                if last_change == Some(*at) {
                    return;
                }
                let changed = balance_topic(&mut self.topics[*at].1, &mut self.sizes);
                if changed || last_change.is_none() {
                    last_change = Some(*at);
                }
            }
        }
    }
}

/// `topicComparator`.
fn topic_order(a: &(Uuid, Subscribed), b: &(Uuid, Subscribed)) -> Ordering {
    let (a_count, a_subscribers) = (a.1.owners.len(), a.1.subscribers.len());
    let (b_count, b_subscribers) = (b.1.owners.len(), b.1.subscribers.len());
    let per_subscriber = (b_count * a_subscribers).cmp(&(a_count * b_subscribers));
    per_subscriber.then(a_subscribers.cmp(&b_subscribers)).then(a.0.cmp(&b.0))
}

/// Moves partitions of the topic from its most to its least loaded subscribers; true if any moved.
fn balance_topic(topic: &mut Subscribed, sizes: &mut [usize]) -> bool {
    let mut balancer = Balancer::new(&topic.subscribers, sizes);
    if balancer.imbalance(sizes) <= 1 {
        return false;
    }
    // What each member has of the topic; it gives the last of them first.
    let mut own: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, owner) in topic.owners.iter().enumerate() {
        if let Some(owner) = owner {
            own.entry(*owner).or_default().push(number);
        }
    }
    let mut moved = false;
    while !balancer.is_balanced() {
        let number = loop {
            let Some(member) = balancer.next_most_loaded(sizes) else { return moved };
            match own.get_mut(&member).and_then(Vec::pop) {
                Some(number) => break number,
                None => balancer.exclude_most_loaded(),
            }
        };
        let member = balancer.next_least_loaded(sizes);
        if balancer.is_balanced() {
            break;
        }
        if let Some(owner) = topic.owners[number].replace(member) {
            sizes[owner] -= 1;
        }
        sizes[member] += 1;
        moved = true;
    }
    moved
}

/// `MemberAssignmentBalancer`: hands out the members with the fewest and with the most partitions in turn. Counts are
/// signed: the range of the least loaded begins one below.
struct Balancer {
    /// By how many partitions they had when this began.
    members: Vec<usize>,
    least_end: usize,
    least_count: i64,
    next_least: usize,
    most_start: usize,
    most_end: usize,
    most_count: i64,
    /// One more than Kafka's, so that nothing is zero.
    next_most: usize,
}

impl Balancer {
    fn new(subscribers: &[usize], sizes: &[usize]) -> Self {
        let mut members = subscribers.to_vec();
        members.sort_by_key(|member| (sizes[*member], *member));
        let size = |member: Option<&usize>| member.map_or(0, |member| sizes[*member] as i64);
        Self {
            least_end: 0,
            least_count: size(members.first()) - 1,
            next_least: 0,
            most_start: members.len(),
            most_end: members.len(),
            most_count: size(members.last()) + 1,
            next_most: members.len(),
            members,
        }
    }

    /// The difference between the ends, before anything moved.
    fn imbalance(&self, sizes: &[usize]) -> usize {
        let size = |member: Option<&usize>| member.map_or(0, |member| sizes[*member]);
        size(self.members.last()) - size(self.members.first())
    }

    fn next_least_loaded(&mut self, sizes: &[usize]) -> usize {
        if self.next_least >= self.least_end {
            // Everybody in the range has one more by now; it takes in those who had as many before.
            self.least_count += 1;
            let same = |member: &usize| sizes[*member] as i64 == self.least_count;
            while self.members.get(self.least_end).is_some_and(same) {
                self.least_end += 1;
            }
            self.next_least = 0;
        }
        self.next_least += 1;
        self.members[self.next_least - 1]
    }

    fn next_most_loaded(&mut self, sizes: &[usize]) -> Option<usize> {
        if self.next_most <= self.most_start {
            self.most_count = if self.most_end <= self.most_start && self.most_start > 0 {
                // Everybody in the range is excluded: the next ones below.
                sizes[self.members[self.most_start - 1]] as i64
            } else {
                self.most_count - 1
            };
            while self.most_start > 0
                && sizes[self.members[self.most_start - 1]] as i64 == self.most_count
            {
                self.most_start -= 1;
            }
            self.next_most = self.most_end;
        }
        let at = self.next_most.checked_sub(1)?;
        self.next_most = at;
        Some(self.members[at])
    }

    /// The member handed out last has nothing to give.
    fn exclude_most_loaded(&mut self) {
        if let Some(last) = self.most_end.checked_sub(1) {
            self.members.swap(self.next_most, last);
            self.most_end = last;
        }
    }

    fn is_balanced(&self) -> bool {
        self.most_count - self.least_count <= 1
    }
}
