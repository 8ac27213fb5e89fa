//! `ConstrainedAssignmentBuilder`: all members subscribe to the same topics, so everybody gets the same number of
//! partitions, or one more.

use std::collections::{BTreeMap, VecDeque};

use super::{Consumer, Group, Owned, Tp, difference};

/// The partitions of each member, and those that were somebody else's with the member that gets them.
pub(super) fn assign(group: &Group<'_>, owned: &Owned) -> (Vec<Vec<Tp>>, Vec<(Tp, Consumer)>) {
    let mut builder = Builder::new(group, owned);
    builder.assign_owned();
    let mut assigned: Vec<Tp> = builder.assignment.iter().flatten().copied().collect();
    assigned.sort();
    let mut unassigned = difference(&group.partitions(0..group.topics.len()), &assigned);
    builder.under.sort_unstable();
    builder.exactly.make_contiguous().sort_unstable();
    group.racks.sort(&mut unassigned);
    let unassigned = builder.assign_within_racks(unassigned);
    builder.assign_in_turn(&unassigned);
    (builder.assignment, builder.transfers)
}

struct Builder<'g> {
    group: &'g Group<'g>,
    owned: &'g Owned,
    /// Partitions whose owner cannot keep them.
    maybe_revoked: BTreeMap<Tp, Consumer>,
    /// Members below `min_quota`, and those at it that may get one more.
    under: Vec<Consumer>,
    exactly: VecDeque<Consumer>,
    min_quota: usize,
    max_quota: usize,
    /// How many members get more than `min_quota`, and how many do so far.
    expected_over: usize,
    over: usize,
    assignment: Vec<Vec<Tp>>,
    transfers: Vec<(Tp, Consumer)>,
}

impl<'g> Builder<'g> {
    fn new(group: &'g Group<'g>, owned: &'g Owned) -> Self {
        let total: usize = group.counts.iter().map(|count| *count as usize).sum();
        let consumers = group.ids.len().max(1);
        Self {
            group,
            owned,
            maybe_revoked: BTreeMap::new(),
            under: Vec::new(),
            exactly: VecDeque::new(),
            min_quota: total / consumers,
            max_quota: total.div_ceil(consumers),
            expected_over: total % consumers,
            over: 0,
            assignment: vec![Vec::new(); group.ids.len()],
            transfers: Vec::new(),
        }
    }

    /// Everybody keeps what it had, up to its share.
    fn assign_owned(&mut self) {
        for consumer in self.group.order.iter().copied() {
            let (kept, mismatched): (Vec<Tp>, Vec<Tp>) = self.owned.by_member[consumer]
                .iter()
                .partition(|tp| !self.group.racks.mismatch(consumer, **tp));
            self.maybe_revoked.extend(mismatched.into_iter().map(|tp| (tp, consumer)));
            let mut kept = kept;
            kept.sort_by_key(|tp| (tp.number, tp.topic));
            kept.retain(|tp| !self.owned.doubly_claimed.contains(tp));
            if kept.len() < self.min_quota {
                self.under.push(consumer);
            } else if kept.len() >= self.max_quota && self.over < self.expected_over {
                self.one_more_over();
                self.revoke(consumer, kept.split_off(self.max_quota));
            } else {
                self.revoke(consumer, kept.split_off(self.min_quota));
                if self.over < self.expected_over {
                    self.exactly.push_back(consumer);
                }
            }
            self.assignment[consumer] = kept;
        }
    }

    fn revoke(&mut self, consumer: Consumer, partitions: Vec<Tp>) {
        self.maybe_revoked.extend(partitions.into_iter().map(|tp| (tp, consumer)));
    }

    /// Another member has more than `min_quota`; with the last one, nobody else gets one more.
    fn one_more_over(&mut self) {
        self.over += 1;
        if self.over == self.expected_over {
            self.exactly.clear();
        }
    }

    /// `assignRackAwareRoundRobin`; what is left.
    fn assign_within_racks(&mut self, unassigned: Vec<Tp>) -> Vec<Tp> {
        if !self.group.racks.matter() {
            return unassigned;
        }
        let mut next = 0;
        let mut left = Vec::new();
        for tp in unassigned {
            if let Some(at) = self.group.racks.next(tp, &self.under, next) {
                let consumer = self.under[at];
                let count = self.assignment[consumer].len() + 1;
                next = at + 1;
                if count >= self.min_quota {
                    self.under.remove(at);
                    next = at;
                    if count < self.max_quota && self.over < self.expected_over {
                        self.exactly.push_back(consumer);
                    }
                }
                next = if self.under.is_empty() { 0 } else { next % self.under.len() };
                self.assign(tp, consumer);
                continue;
            }
            let at = self.group.racks.next(tp, self.exactly.make_contiguous(), 0);
            let Some(consumer) = at.map(|at| self.exactly[at]) else {
                left.push(tp);
                continue;
            };
            if self.assignment[consumer].len() + 1 == self.max_quota {
                self.exactly.retain(|other| *other != consumer);
                self.one_more_over();
            }
            self.assign(tp, consumer);
        }
        left
    }

    /// `assignRoundRobin`.
    fn assign_in_turn(&mut self, unassigned: &[Tp]) {
        let mut next = 0;
        for tp in unassigned {
            if next == self.under.len() {
                next = 0;
            }
            let consumer = match self.under.get(next) {
                Some(consumer) => *consumer,
                None => match self.exactly.pop_front() {
                    Some(consumer) => consumer,
                    None => return,
                },
            };
            let count = self.assign(*tp, consumer);
            if self.under.get(next) != Some(&consumer) {
                continue;
            }
            if count == self.min_quota {
                self.under.remove(next);
                self.exactly.push_back(consumer);
            } else {
                next += 1;
            }
        }
    }

    /// `assignNewPartition`: how many the member has now.
    fn assign(&mut self, tp: Tp, consumer: Consumer) -> usize {
        self.assignment[consumer].push(tp);
        let was_others = self.maybe_revoked.get(&tp).is_some_and(|owner| *owner != consumer);
        if was_others || self.owned.doubly_claimed.contains(&tp) {
            self.transfers.push((tp, consumer));
        }
        self.assignment[consumer].len()
    }
}
