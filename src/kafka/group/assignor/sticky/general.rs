//! `GeneralAssignmentBuilder`: members subscribe to different topics. Everybody keeps what it may, the rest goes to
//! whoever has least, and then partitions move as long as that makes the numbers more even.

use std::collections::{BTreeMap, BTreeSet};

use super::movements::Movements;
use super::{Consumer, Group, Tp, difference, remove};

/// The partitions of each member.
pub(super) fn assign(group: &Group<'_>, owned: Vec<Vec<Tp>>) -> Vec<Vec<Tp>> {
    let mut builder = Builder::new(group, owned);
    builder.assign_owned();
    let mut assigned: Vec<Tp> = builder.assignment.iter().flatten().copied().collect();
    assigned.sort_by_key(|tp| (builder.potential[tp.topic].len(), *tp));
    let unassigned = difference(&builder.all, &assigned);
    builder.sorted = (0..group.ids.len()).map(|n| (builder.assignment[n].len(), n)).collect();
    builder.balance(&unassigned);
    builder.assignment
}

struct Builder<'g> {
    group: &'g Group<'g>,
    /// All partitions, those with the fewest potential consumers first (`sortedAllPartitions`).
    all: Vec<Tp>,
    /// The members that subscribe to each topic.
    potential: Vec<BTreeSet<Consumer>>,
    assignment: Vec<Vec<Tp>>,
    owner: BTreeMap<Tp, Consumer>,
    /// What members had in earlier generations, with the latest of them.
    previous: BTreeMap<Tp, (Consumer, i32)>,
    /// The members that take part, by how much they have (`sortedCurrentSubscriptions`).
    sorted: BTreeSet<(usize, Consumer)>,
    /// Members whose assignment cannot change.
    fixed: Vec<bool>,
    revocation_required: bool,
    movements: Movements<'g>,
}

impl<'g> Builder<'g> {
    fn new(group: &'g Group<'g>, owned: Vec<Vec<Tp>>) -> Self {
        let mut potential = vec![BTreeSet::new(); group.topics.len()];
        for (consumer, topics) in group.subscriptions.iter().enumerate() {
            for topic in topics {
                potential[*topic].insert(consumer);
            }
        }
        let mut topics: Vec<usize> = (0..group.topics.len()).collect();
        topics.sort_by_key(|topic| (potential[*topic].len(), *topic));
        let owner = owned.iter().enumerate();
        let owner = owner.flat_map(|(consumer, own)| own.iter().map(move |tp| (*tp, consumer)));
        Self {
            group,
            all: group.partitions(topics.into_iter()),
            potential,
            owner: owner.collect(),
            assignment: owned,
            previous: previous(group),
            sorted: BTreeSet::new(),
            fixed: vec![false; group.ids.len()],
            revocation_required: false,
            movements: Movements::new(&group.topics),
        }
    }

    /// Takes from everybody what it no longer subscribes to, or what is in another rack.
    fn assign_owned(&mut self) {
        for (consumer, own) in self.assignment.iter_mut().enumerate() {
            let before = own.len();
            own.retain(|tp| {
                self.potential[tp.topic].contains(&consumer)
                    && !self.group.racks.mismatch(consumer, *tp)
            });
            self.revocation_required |= own.len() < before;
        }
    }

    fn balance(&mut self, unassigned: &[Tp]) {
        let initializing = self.assignment.iter().all(Vec::is_empty);
        let mut left = unassigned.to_vec();
        if self.group.racks.matter() {
            left.retain(|tp| !self.assign(*tp, true));
        }
        for tp in left {
            self.assign(tp, false);
        }
        // From here on only what can move.
        let movable = |tp: &Tp| self.potential[tp.topic].len() >= 2;
        let unassigned: Vec<Tp> = unassigned.iter().copied().filter(movable).collect();
        let all: Vec<Tp> = self.all.iter().copied().filter(movable).collect();
        for consumer in 0..self.assignment.len() {
            if !self.can_take_part(consumer) {
                self.sorted.remove(&(self.assignment[consumer].len(), consumer));
                self.fixed[consumer] = true;
            }
        }
        let before = self.assignment.clone();
        if !self.revocation_required {
            self.reassign(&unassigned);
        }
        let reassigned = self.reassign(&all);
        if !initializing && reassigned && self.score(&self.assignment) >= self.score(&before) {
            self.assignment = before;
        }
    }

    /// `maybeAssignPartition`: to whoever has least, of those in its rack only when `matching`.
    fn assign(&mut self, tp: Tp, matching: bool) -> bool {
        let racks = &self.group.racks;
        let may = |consumer: Consumer| {
            self.potential[tp.topic].contains(&consumer)
                && !(matching && racks.mismatch(consumer, tp))
        };
        let Some((size, consumer)) = self.sorted.iter().copied().find(|entry| may(entry.1)) else {
            return false;
        };
        self.sorted.remove(&(size, consumer));
        self.assignment[consumer].push(tp);
        self.owner.insert(tp, consumer);
        self.sorted.insert((size + 1, consumer));
        true
    }

    /// `canConsumerParticipateInReassignment`: it could have more, or has what another one could have.
    fn can_take_part(&self, consumer: Consumer) -> bool {
        let own = &self.assignment[consumer];
        own.len() < self.most(consumer) || own.iter().any(|tp| self.potential[tp.topic].len() >= 2)
    }

    /// How many partitions there are for the member.
    fn most(&self, consumer: Consumer) -> usize {
        let topics = self.group.subscriptions[consumer].iter();
        topics.map(|topic| self.group.counts[*topic] as usize).sum()
    }

    /// `performReassignments`: true if anything moved.
    fn reassign(&mut self, partitions: &[Tp]) -> bool {
        let mut reassigned = false;
        loop {
            let mut modified = false;
            for tp in partitions.iter().copied() {
                if self.is_balanced() {
                    break;
                }
                let Some(consumer) = self.owner.get(&tp).copied() else { continue };
                let size = self.assignment[consumer].len();
                let has_fewer =
                    |other: Consumer| !self.fixed[other] && size > self.assignment[other].len() + 1;
                let before = self.previous.get(&tp).map(|(other, _)| *other);
                if let Some(other) = before.filter(|other| has_fewer(*other)) {
                    self.move_to(tp, other);
                } else if self.potential[tp.topic].iter().any(|other| has_fewer(*other)) {
                    // Kafka looks among the consumers in a rack of the partition first, but then moves it to
                    // whoever has least, wherever that is.
                    let mut by_size = self.sorted.iter().map(|entry| entry.1);
                    let least = by_size.find(|other| self.potential[tp.topic].contains(other));
                    let Some(other) = least else { continue };
                    self.move_to(tp, other);
                } else {
                    continue;
                }
                modified = true;
            }
            reassigned |= modified;
            if !modified {
                return reassigned;
            }
        }
    }

    /// `isBalanced`: nobody could take over a partition from somebody who has two more.
    fn is_balanced(&self) -> bool {
        let (Some((min, _)), Some((max, _))) = (self.sorted.first(), self.sorted.last()) else {
            return true;
        };
        if min + 1 >= *max {
            return true;
        }
        let mut owner: BTreeMap<Tp, Consumer> = BTreeMap::new();
        for (consumer, own) in self.assignment.iter().enumerate().filter(|(n, _)| !self.fixed[*n]) {
            owner.extend(own.iter().map(|tp| (*tp, consumer)));
        }
        self.sorted.iter().all(|(size, consumer)| {
            if *size == self.most(*consumer) {
                return true;
            }
            let topics = self.group.subscriptions[*consumer].iter().copied();
            self.group.partitions(topics).iter().all(|tp| {
                let other = owner.get(tp).filter(|other| *other != consumer);
                other.is_none_or(|other| size + 1 >= self.assignment[*other].len())
            })
        })
    }

    /// Moves `tp`, or another partition of its topic that came from `consumer`.
    fn move_to(&mut self, tp: Tp, consumer: Consumer) {
        let Some(from) = self.owner.get(&tp).copied() else { return };
        let tp = self.movements.actual(tp, from, consumer);
        let Some(from) = self.owner.insert(tp, consumer) else { return };
        for changed in [from, consumer] {
            self.sorted.remove(&(self.assignment[changed].len(), changed));
        }
        self.movements.moved(tp, from, consumer);
        remove(&mut self.assignment[from], tp);
        self.assignment[consumer].push(tp);
        for changed in [from, consumer] {
            self.sorted.insert((self.assignment[changed].len(), changed));
        }
    }

    /// `getBalanceScore`: the differences in size between all pairs of members that take part.
    fn score(&self, assignment: &[Vec<Tp>]) -> usize {
        let sizes = assignment.iter().enumerate().filter(|(n, _)| !self.fixed[*n]);
        let sizes: Vec<usize> = sizes.map(|(_, own)| own.len()).collect();
        let pairs =
            sizes.iter().enumerate().flat_map(|(n, a)| sizes[..n].iter().map(move |b| (a, b)));
        pairs.map(|(a, b)| a.abs_diff(*b)).sum()
    }
}

/// `prepopulateCurrentAssignments`: what was claimed with less than the highest generation.
fn previous(group: &Group<'_>) -> BTreeMap<Tp, (Consumer, i32)> {
    let mut previous: BTreeMap<Tp, (Consumer, i32)> = BTreeMap::new();
    for consumer in &group.order {
        let (claimed, since) = &group.claims[*consumer];
        if *since >= group.max_generation {
            continue;
        }
        for tp in claimed {
            let latest = previous.entry(*tp).or_insert((*consumer, *since));
            if *since > latest.1 {
                *latest = (*consumer, *since);
            }
        }
    }
    previous
}
