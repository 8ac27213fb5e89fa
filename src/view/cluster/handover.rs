//! How the partitions of a group went from hand to hand, as its members' applications were told: who had which one
//! when, how long nobody had it, and when the group was rebalancing. What a rebalance costs is read from here.
//!
//! Simplified: a partition counts as given up when the callback says so, also while its last records are being worked
//! on, and as taken over when the next owner's callback says so; its first fetch is a round trip later.

use std::collections::BTreeMap;

use crate::base::ids::{Generation, GroupId, NodeId, PartitionId};
use crate::base::time::{Duration, Time};
use crate::event::{Api, Event, EventKind, FaultKind, GroupState, RebalanceCallback, WireLabel};
use crate::view::cluster::group::GroupView;
use crate::view::cluster::{ClusterView, ProcessState};
use crate::view::paged::Paged;

/// How a tenure ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// A rebalance took it: `onPartitionsRevoked` or `onPartitionsLost`.
    Taken,
    /// Its owner gave it up of its own accord: `close()` or `unsubscribe()`.
    GivenUp,
    /// Its owner's process died.
    Died,
}

/// One stretch of time in which one consumer had a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tenure {
    /// The partition.
    pub partition: PartitionId,
    /// The consumer, by number.
    pub consumer: u16,
    /// When `onPartitionsAssigned` gave it.
    pub from: Time,
    /// When and how it ended; `None` while it lasts.
    pub end: Option<(Time, Ending)>,
}

impl Tenure {
    /// When it ended; [`Time::NEVER`] while it lasts.
    pub fn until(&self) -> Time {
        self.end.map_or(Time::NEVER, |(at, _)| at)
    }
}

/// What became of a member's process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// Its coordinator knows it.
    Member,
    /// Its process stands still.
    Silent,
    /// Its coordinator removed it, or its consumer is closed.
    Left,
    /// Its process does not exist.
    Dead,
}

/// The group was in this state from this moment on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateChange {
    /// The moment.
    pub at: Time,
    /// The state.
    pub state: GroupState,
    /// The generation, or the group's epoch.
    pub generation: Generation,
}

/// One rebalance: from the moment the group left [`GroupState::Stable`] until it is back and every partition that was
/// given up has an owner again. Several rounds of the cooperative protocol are one rebalance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rebalance {
    /// When it began.
    pub began: Time,
    /// When it was over; `None` while it lasts.
    pub ended: Option<Time>,
    /// The generation, or group epoch, before.
    pub from: Generation,
    /// The last one it has formed.
    pub to: Generation,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Handovers {
    /// In the order in which they began.
    tenures: Paged<Tenure>,
    /// Places of those that last.
    open: Vec<usize>,
    /// Given up, and nobody has them yet.
    waiting: Vec<PartitionId>,
    /// Moment, consumer, what became of it.
    presence: Paged<(Time, u16, Presence)>,
    states: Paged<StateChange>,
    rebalances: Paged<Rebalance>,
}

impl Handovers {
    /// Every tenure, in the order in which they began.
    pub fn tenures(&self) -> impl Iterator<Item = &Tenure> {
        self.tenures.iter()
    }

    /// What became of members, in order: moment, consumer, what.
    pub fn presence(&self) -> impl Iterator<Item = &(Time, u16, Presence)> {
        self.presence.iter()
    }

    /// The states the group went through.
    pub fn states(&self) -> impl Iterator<Item = &StateChange> {
        self.states.iter()
    }

    /// The rebalances so far, in order.
    pub fn rebalances(&self) -> impl Iterator<Item = &Rebalance> {
        self.rebalances.iter()
    }

    /// How many partitions rebalances have taken from their owners since `since`; each time counts.
    pub fn revoked(&self, since: Time) -> usize {
        self.taken(since).count()
    }

    /// How many partitions have had another owner than before since `since`.
    pub fn moved(&self, since: Time) -> usize {
        let mut owners: BTreeMap<PartitionId, u16> = BTreeMap::new();
        let mut moved: Vec<PartitionId> = Vec::new();
        for tenure in self.tenures.iter() {
            let before = owners.insert(tenure.partition, tenure.consumer);
            let is_other = before.is_some_and(|before| before != tenure.consumer);
            if is_other && tenure.from >= since && !moved.contains(&tenure.partition) {
                moved.push(tenure.partition);
            }
        }
        moved.len()
    }

    /// The consumers that rebalances have left with nothing since `since`, though they had something: they stood still.
    pub fn stopped(&self, since: Time) -> Vec<u16> {
        let mut stopped: Vec<u16> = Vec::new();
        for (consumer, at) in self.taken(since).map(|tenure| (tenure.consumer, tenure.until())) {
            let mut own = self.tenures.iter().filter(|tenure| tenure.consumer == consumer);
            let has = own.any(|tenure| tenure.from <= at && tenure.until() > at);
            if !has && !stopped.contains(&consumer) {
                stopped.push(consumer);
            }
        }
        stopped.sort_unstable();
        stopped
    }

    /// How long partitions that had an owner had none, between `since` and `now`, added up over all partitions.
    pub fn stop_time(&self, since: Time, now: Time) -> Duration {
        let mut partitions: Vec<PartitionId> = self.tenures.iter().map(|t| t.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let each = partitions.into_iter().flat_map(|partition| {
            self.gaps(self.ruled(now), |t| t.partition == partition, |_| true)
        });
        each.fold(Duration::ZERO, |sum, (from, to)| sum + to.since(from.max(since).min(to)))
    }

    /// How long `consumer` had nothing between `since` and `now` because rebalances had taken what it had.
    pub fn stopped_for(&self, consumer: u16, since: Time, now: Time) -> Duration {
        let gaps = self.gaps(now, |t| t.consumer == consumer, |ending| ending == Ending::Taken);
        let each = gaps.into_iter();
        each.fold(Duration::ZERO, |sum, (from, to)| sum + to.since(from.max(since).min(to)))
    }

    fn taken(&self, since: Time) -> impl Iterator<Item = &Tenure> {
        let taken = move |end: (Time, Ending)| end.0 >= since && end.1 == Ending::Taken;
        self.tenures.iter().filter(move |tenure| tenure.end.is_some_and(taken))
    }

    /// Until when the group has had members at `now`: without any nothing is missing an owner.
    fn ruled(&self, now: Time) -> Time {
        match self.states.last() {
            Some(last) if matches!(last.state, GroupState::Empty | GroupState::Dead) => last.at,
            _ => now,
        }
    }

    /// The stretches, up to `now`, between the tenures that `of` picks, and after the last of them. After an end that
    /// `counts` refuses there is none.
    fn gaps(
        &self,
        now: Time,
        of: impl Fn(&Tenure) -> bool,
        counts: impl Fn(Ending) -> bool,
    ) -> Vec<(Time, Time)> {
        let mut gaps = Vec::new();
        let mut covered: Option<(Time, Option<Ending>)> = None;
        for tenure in self.tenures.iter().filter(|tenure| of(tenure)) {
            if let Some((end, Some(how))) = covered
                && tenure.from > end
                && counts(how)
            {
                gaps.push((end, tenure.from));
            }
            let until = tenure.until();
            if covered.is_none_or(|(end, _)| until >= end) {
                covered = Some((until, tenure.end.map(|(_, how)| how)));
            }
        }
        if let Some((end, Some(how))) = covered
            && end < now
            && counts(how)
        {
            gaps.push((end, now));
        }
        gaps
    }
}

/// Folding.
impl Handovers {
    fn begin(&mut self, now: Time, consumer: u16, partition: PartitionId) {
        self.waiting.retain(|waiting| *waiting != partition);
        self.open.push(self.tenures.len());
        self.tenures.push(Tenure { partition, consumer, from: now, end: None });
    }

    /// Ends the tenures of `consumer`, of one partition or of all.
    fn finish(&mut self, now: Time, consumer: u16, only: Option<PartitionId>, how: Ending) {
        let open = std::mem::take(&mut self.open);
        for place in open {
            let tenure = *self.tenures.get(place).expect("places of tenures that there are");
            let other = only.is_some_and(|partition| partition != tenure.partition);
            if tenure.consumer != consumer || other {
                self.open.push(place);
                continue;
            }
            self.tenures.set(place, Tenure { end: Some((now, how)), ..tenure });
        }
        if how == Ending::Taken
            && let Some(partition) = only
            && self.owners(partition) == 0
        {
            self.waiting.push(partition);
        }
    }

    fn owners(&self, partition: PartitionId) -> usize {
        let open = self.open.iter().filter_map(|place| self.tenures.get(*place));
        open.filter(|tenure| tenure.partition == partition).count()
    }

    fn is(&mut self, now: Time, consumer: u16, presence: Presence) {
        let known = self.presence.iter().filter(|(_, n, _)| *n == consumer).last();
        if known.is_none_or(|(_, _, known)| *known != presence) {
            self.presence.push((now, consumer, presence));
        }
    }

    fn consumer_event(&mut self, consumer: u16, event: &Event) {
        let now = event.at;
        match event.kind {
            EventKind::CallbackPartition { callback, partition } => match callback {
                RebalanceCallback::Assigned => self.begin(now, consumer, partition),
                RebalanceCallback::Revoked if !self.is_rebalancing() => {
                    self.finish(now, consumer, Some(partition), Ending::GivenUp);
                }
                RebalanceCallback::Revoked | RebalanceCallback::Lost => {
                    self.finish(now, consumer, Some(partition), Ending::Taken);
                }
            },
            EventKind::Closed => {
                self.finish(now, consumer, None, Ending::GivenUp);
                self.is(now, consumer, Presence::Left);
            }
            EventKind::Fault { kind } => match kind {
                FaultKind::Kill | FaultKind::PowerLoss | FaultKind::Stopped => {
                    self.finish(now, consumer, None, Ending::Died);
                    self.is(now, consumer, Presence::Dead);
                }
                FaultKind::Freeze => self.is(now, consumer, Presence::Silent),
                FaultKind::Thaw => self.is(now, consumer, Presence::Member),
                _ => {}
            },
            _ => {}
        }
    }

    fn is_rebalancing(&self) -> bool {
        self.rebalances.last().is_some_and(|last| last.ended.is_none())
    }

    /// How many partitions `consumer` has.
    fn count(&self, consumer: u16) -> usize {
        let open = self.open.iter().filter_map(|place| self.tenures.get(*place));
        open.filter(|tenure| tenure.consumer == consumer).count()
    }

    /// The group is in this state; `agreed`: its running members have as much as it gives them.
    fn settle(&mut self, now: Time, (state, generation): (GroupState, Generation), agreed: bool) {
        let before = self.states.last().copied();
        if before.is_none_or(|last| (last.state, last.generation) != (state, generation)) {
            let change = StateChange { at: now, state, generation };
            match before {
                // A new coordinator says everything again within one moment.
                Some(last) if last.at == now => self.states.set(self.states.len() - 1, change),
                _ => self.states.push(change),
            }
        }
        if matches!(state, GroupState::Empty | GroupState::Dead) {
            self.waiting.clear();
        }
        let at_rest = matches!(state, GroupState::Stable | GroupState::Empty | GroupState::Dead);
        let quiet = at_rest && self.waiting.is_empty();
        let last = self.rebalances.last().copied();
        match last {
            Some(last) if last.ended.is_none() => {
                let ended = (quiet && agreed).then_some(now);
                if last.to != generation || ended.is_some() {
                    let place = self.rebalances.len() - 1;
                    self.rebalances.set(place, Rebalance { ended, to: generation, ..last });
                }
            }
            _ if !quiet => {
                let from = before.map_or(Generation(0), |last| last.generation);
                self.rebalances.push(Rebalance { began: now, ended: None, from, to: generation });
            }
            _ => {}
        }
    }
}

impl GroupView {
    /// The partitions were handed over like this.
    pub fn handovers(&self) -> &Handovers {
        &self.handovers
    }
}

impl ClusterView {
    /// A sign of life of a consumer.
    pub(super) fn hear(&mut self, event: &Event, from: NodeId, label: &WireLabel) {
        let NodeId::Consumer(n) = from else { return };
        let counts = matches!(
            label.api,
            Api::Heartbeat | Api::ConsumerGroupHeartbeat | Api::JoinGroup | Api::SyncGroup
        );
        if !counts || label.response {
            return;
        }
        let heard = &mut self.consumers[usize::from(n)].heard;
        if event.node == from {
            heard.sent = Some(event.at);
        } else {
            heard.arrived = Some(event.at);
        }
    }

    /// Remembers what `event`, which is folded in already, means for the hands that partitions are in.
    pub(super) fn remember(&mut self, event: &Event) {
        let group = match (event.node, event.kind) {
            (
                NodeId::Consumer(n),
                EventKind::CallbackPartition { .. } | EventKind::Closed | EventKind::Fault { .. },
            ) => self.names.consumers[usize::from(n)].group,
            (
                _,
                EventKind::GroupChanged { group, .. }
                | EventKind::ConsumerGroupChanged { group, .. }
                | EventKind::CoordinatorLoaded { group }
                | EventKind::MemberJoined { group, .. }
                | EventKind::MemberEpoch { group, .. }
                | EventKind::MemberLeft { group, .. },
            ) => Some(group),
            _ => None,
        };
        let Some(id) = group else { return };
        let said = self.said_of_member(event.kind);
        let group = &mut self.groups[id.index()];
        if let NodeId::Consumer(n) = event.node {
            group.handovers.consumer_event(n, event);
        }
        if let Some((n, presence)) = said {
            group.handovers.is(event.at, n, presence);
        }
        let agreed = self.is_agreed(id);
        let group = &mut self.groups[id.index()];
        group.handovers.settle(event.at, (group.state, group.generation), agreed);
    }

    /// What a coordinator says of a member whose process runs. Of another it knows nothing new.
    fn said_of_member(&self, kind: EventKind) -> Option<(u16, Presence)> {
        let (member, presence) = match kind {
            EventKind::MemberJoined { member, .. } | EventKind::MemberEpoch { member, .. } => {
                (member, Presence::Member)
            }
            EventKind::MemberLeft { member, .. } => (member, Presence::Left),
            _ => return None,
        };
        let NodeId::Consumer(n) = self.names.consumer_of(member)? else { return None };
        let is_up = self.consumers[usize::from(n)].process == ProcessState::Up;
        is_up.then_some((n, presence))
    }

    /// True when every running member of the group has as many partitions as its coordinator gives it.
    fn is_agreed(&self, id: GroupId) -> bool {
        let group = &self.groups[id.index()];
        group.members.iter().all(|member| match self.names.consumer_of(member.member) {
            Some(NodeId::Consumer(n)) => {
                self.consumers[usize::from(n)].process != ProcessState::Up
                    || group.handovers.count(n) == member.partitions.len()
            }
            _ => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::story::{BILLING, P0, P1, Story, member};

    fn seconds(n: u64) -> Time {
        Time(n * 1_000_000)
    }

    /// The events of a story, each at a second of its own.
    struct Tale(Story);

    impl Tale {
        fn at(&mut self, second: u64) -> &mut Self {
            self.0.now = seconds(second) - Duration(1_000);
            self
        }

        fn group(&mut self, state: GroupState, generation: i32) {
            let (group, generation) = (BILLING, Generation(generation));
            self.0.broker(1, EventKind::GroupChanged { group, state, generation });
        }

        fn callback(&mut self, consumer: u16, callback: RebalanceCallback, list: &[PartitionId]) {
            let count = list.len() as u16;
            self.0.consumer(consumer, EventKind::Callback { callback, count });
            for partition in list {
                self.0.now = self.0.now - Duration(1_000);
                let partition = *partition;
                self.0.consumer(consumer, EventKind::CallbackPartition { callback, partition });
            }
        }

        fn handovers(&self) -> Handovers {
            self.0.view().groups[BILLING.index()].handovers().clone()
        }
    }

    /// c1 has both partitions; at 10 s c2 joins, and gets orders-1 at 14 s.
    fn join(eager: bool) -> Tale {
        let mut tale = Tale(Story::new());
        tale.at(1).group(GroupState::Stable, 1);
        tale.at(2).callback(0, RebalanceCallback::Assigned, &[P0, P1]);
        tale.at(10).group(GroupState::PreparingRebalance, 1);
        let given_up: &[PartitionId] = if eager { &[P0, P1] } else { &[P1] };
        tale.at(12).callback(0, RebalanceCallback::Revoked, given_up);
        tale.at(13).group(GroupState::Stable, 2);
        let again: &[PartitionId] = if eager { &[P0] } else { &[] };
        tale.at(13).callback(0, RebalanceCallback::Assigned, again);
        tale.at(14).callback(1, RebalanceCallback::Assigned, &[P1]);
        tale
    }

    #[test]
    fn an_eager_member_loses_everything_and_stands_still_a_cooperative_one_only_what_moves() {
        let (from, now) = (seconds(10), seconds(20));
        let eager = join(true).handovers();
        assert_eq!((eager.revoked(from), eager.moved(from)), (2, 1));
        assert_eq!(eager.stopped(from), [0]);
        assert_eq!(eager.stop_time(from, now), Duration::from_secs(1 + 2));
        assert_eq!(eager.stopped_for(0, from, now), Duration::from_secs(1));
        let cooperative = join(false).handovers();
        assert_eq!((cooperative.revoked(from), cooperative.moved(from)), (1, 1));
        assert!(cooperative.stopped(from).is_empty());
        assert_eq!(cooperative.stop_time(from, now), Duration::from_secs(2));
        assert_eq!(cooperative.stopped_for(0, from, now), Duration::ZERO);
        // Nothing of it lies after 15 s.
        assert_eq!((eager.revoked(seconds(15)), eager.stop_time(seconds(15), now).0), (0, 0));
    }

    #[test]
    fn a_rebalance_lasts_until_what_was_given_up_has_an_owner() {
        let handovers = join(false).handovers();
        let last = handovers.rebalances().last().unwrap();
        assert_eq!((last.began, last.ended), (seconds(10), Some(seconds(14))));
        assert_eq!((last.from, last.to), (Generation(1), Generation(2)));
    }

    #[test]
    fn who_closes_or_dies_was_not_stopped_by_a_rebalance_but_its_partitions_wait() {
        let mut tale = join(false);
        tale.at(30).callback(1, RebalanceCallback::Revoked, &[P1]);
        tale.at(31).0.consumer(1, EventKind::Closed);
        tale.at(33).callback(0, RebalanceCallback::Assigned, &[P1]);
        tale.at(40).0.consumer(0, EventKind::Fault { kind: FaultKind::Kill });
        let (from, now) = (seconds(25), seconds(42));
        let handovers = tale.handovers();
        assert_eq!(handovers.revoked(from), 0);
        assert!(handovers.stopped(from).is_empty());
        assert_eq!(handovers.stop_time(from, now), Duration::from_secs(3 + 2 + 2));
    }

    #[test]
    fn a_zombie_s_tenure_that_overlaps_the_next_one_leaves_no_gap() {
        let mut tale = join(false);
        tale.at(50).callback(0, RebalanceCallback::Assigned, &[P1]);
        tale.at(55).callback(1, RebalanceCallback::Lost, &[P1]);
        let handovers = tale.handovers();
        assert_eq!(handovers.stop_time(seconds(40), seconds(60)), Duration::ZERO);
        assert_eq!(handovers.stopped(seconds(40)), [1]);
    }

    #[test]
    fn an_empty_group_misses_nobody() {
        let mut tale = join(true);
        let (group, member) = (BILLING, member(0));
        let reason = crate::event::LeaveReason::Left;
        tale.at(20).0.broker(1, EventKind::MemberLeft { group, member, reason });
        tale.at(20).0.consumer(0, EventKind::Closed);
        tale.at(20).0.consumer(1, EventKind::Closed);
        tale.at(21).group(GroupState::Empty, 3);
        let stop = tale.handovers().stop_time(seconds(15), seconds(90));
        assert_eq!(stop, Duration::from_secs(2));
    }
}
