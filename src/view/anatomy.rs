//! A group against time: what each member did in each stretch of it, and whether a partition had an owner. A screen
//! draws a stretch as one column; of what happened in a stretch it says what is worst, so that a short stop does not
//! vanish in a long column.

use crate::base::ids::PartitionId;
use crate::base::time::{Duration, Time};
use crate::view::cluster::handover::{Ending, Handovers, Presence, Rebalance, Tenure};

/// What a member did.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Doing {
    /// It was not in the group.
    Absent,
    /// It had partitions.
    Works,
    /// It had none, and the group was not rebalancing: there was nothing for it to do.
    Idle,
    /// It had none because the group was rebalancing.
    Stopped,
    /// Its process stood still.
    Silent,
    /// It had a partition that the group had given to another.
    Zombie,
    /// Its process did not exist.
    Gone,
}

/// Stretches of equal length, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Where the first begins.
    pub from: Time,
    /// How long each is.
    pub step: Duration,
    /// How many there are.
    pub columns: u16,
    /// Nothing is known from here on.
    pub now: Time,
}

impl Window {
    /// Where the last one ends.
    pub fn to(&self) -> Time {
        self.from + Duration(self.step.0 * u64::from(self.columns))
    }

    /// Beginning and end of a stretch, as far as anything is known of it.
    pub fn stretch(&self, column: u16) -> (Time, Time) {
        let from = self.from + Duration(self.step.0 * u64::from(column));
        (from, (from + self.step).min(self.now))
    }

    /// The stretch that `at` lies in; `None` outside of the window.
    pub fn column(&self, at: Time) -> Option<u16> {
        if at < self.from || at >= self.to() {
            return None;
        }
        Some((at.since(self.from).0 / self.step.0.max(1)) as u16)
    }
}

/// The first moment in `from..to` at which none of `tenures` lasts.
fn uncovered(tenures: &[&Tenure], (from, to): (Time, Time)) -> Option<Time> {
    let mut at = from;
    loop {
        let next =
            tenures.iter().filter(|t| t.from <= at && t.until() > at).map(|t| t.until()).max();
        match next {
            None => return (at < to).then_some(at),
            Some(until) if until >= to => return None,
            Some(until) => at = until,
        }
    }
}

/// What one member did in each stretch of the window.
pub fn member(handovers: &Handovers, consumer: u16, window: &Window) -> Vec<Doing> {
    let meets = |t: &&Tenure| t.from < window.to() && t.until() > window.from;
    let all: Vec<&Tenure> = handovers.tenures().filter(meets).collect();
    let own: Vec<&Tenure> = all.iter().copied().filter(|t| t.consumer == consumer).collect();
    let known = handovers.presence().filter(|(_, n, _)| *n == consumer);
    let known: Vec<(Time, Presence)> = known.map(|(at, _, presence)| (*at, *presence)).collect();
    let rebalances: Vec<&Rebalance> = handovers.rebalances().collect();
    let column = |n: u16| {
        let (from, to) = window.stretch(n);
        if from >= to {
            return Doing::Absent;
        }
        let before = known.iter().rfind(|(at, _)| *at <= from).map(|(_, presence)| *presence);
        let within = known.iter().filter(|(at, _)| *at > from && *at < to).map(|(_, p)| *p);
        let presences = || before.into_iter().chain(within.clone());
        if presences().any(|p| p == Presence::Dead) {
            return Doing::Gone;
        }
        if presences().any(|p| p == Presence::Silent) {
            return Doing::Silent;
        }
        if own.iter().any(|mine| is_taken_over(mine, &all, (from, to))) {
            return Doing::Zombie;
        }
        if !presences().any(|p| p == Presence::Member) {
            // A process that was removed and has not heard of it works on.
            let works = own.iter().any(|t| t.from < to && t.until() > from);
            return if works { Doing::Works } else { Doing::Absent };
        }
        let joined = known.iter().find(|(_, p)| *p == Presence::Member).map_or(from, |(at, _)| *at);
        match uncovered(&own, (from.max(joined), to)) {
            None => Doing::Works,
            Some(at) if is_rebalancing(&rebalances, (at, to)) => Doing::Stopped,
            Some(_) if own.iter().any(|t| t.from < to && t.until() > from) => Doing::Works,
            Some(_) => Doing::Idle,
        }
    };
    (0..window.columns).map(column).collect()
}

/// In this stretch another member had what `mine` still counts as its own.
fn is_taken_over(mine: &Tenure, all: &[&Tenure], (from, to): (Time, Time)) -> bool {
    all.iter().any(|other| {
        let is_later = other.consumer != mine.consumer && other.from > mine.from;
        let both = other.from.max(from) < mine.until().min(other.until()).min(to);
        other.partition == mine.partition && is_later && both
    })
}

fn is_rebalancing(rebalances: &[&Rebalance], (from, to): (Time, Time)) -> bool {
    let meets = |r: &&&Rebalance| r.began < to && r.ended.is_none_or(|ended| ended > from);
    rebalances.iter().any(|rebalance| meets(&rebalance))
}

/// Whether a partition had an owner all the time in each stretch: `Works`, `Stopped` where it had none for a while,
/// `Absent` before it had its first.
pub fn partition(handovers: &Handovers, partition: PartitionId, window: &Window) -> Vec<Doing> {
    let tenures: Vec<&Tenure> =
        handovers.tenures().filter(|tenure| tenure.partition == partition).collect();
    let first = tenures.iter().map(|tenure| tenure.from).min();
    let column = |n: u16| {
        let (from, to) = window.stretch(n);
        let Some(first) = first.filter(|first| *first < to && from < to) else {
            return Doing::Absent;
        };
        match uncovered(&tenures, (from.max(first), to)) {
            None => Doing::Works,
            Some(_) => Doing::Stopped,
        }
    };
    (0..window.columns).map(column).collect()
}

/// The partitions that were taken since `since` from members that kept others: where a rebalance stops partitions and
/// not members. In the order in which they were taken.
pub fn moved(handovers: &Handovers, since: Time) -> Vec<PartitionId> {
    let stopped = handovers.stopped(since);
    let taken = handovers.tenures().filter(|tenure| match tenure.end {
        Some((at, Ending::Taken)) => at >= since && !stopped.contains(&tenure.consumer),
        _ => false,
    });
    let mut taken: Vec<(Time, PartitionId)> =
        taken.map(|tenure| (tenure.until(), tenure.partition)).collect();
    taken.sort_unstable();
    let mut moved = Vec::new();
    for (_, partition) in taken {
        if !moved.contains(&partition) {
            moved.push(partition);
        }
    }
    moved
}

/// When each member first gave partitions up to a rebalance since `since`, the earliest first.
pub fn gave_up(handovers: &Handovers, since: Time) -> Vec<(Time, u16)> {
    let mut first: Vec<(Time, u16)> = Vec::new();
    for tenure in handovers.tenures() {
        let Some((at, Ending::Taken)) = tenure.end else { continue };
        if at < since {
            continue;
        }
        match first.iter_mut().find(|(_, consumer)| *consumer == tenure.consumer) {
            Some((known, _)) => *known = at.min(*known),
            None => first.push((at, tenure.consumer)),
        }
    }
    first.sort_unstable();
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Generation;
    use crate::event::{EventKind, FaultKind, GroupState, RebalanceCallback};
    use crate::view::story::{BILLING, P0, P1, Story, member as member_of};

    fn seconds(n: u64) -> Time {
        Time(n * 1_000_000)
    }

    /// A group of c1 and c2 in which things happen at whole seconds.
    struct Tale(Story);

    impl Tale {
        fn at(&mut self, second: u64) -> &mut Story {
            self.0.now = Time(seconds(second).0 - 1_000);
            &mut self.0
        }

        fn group(&mut self, second: u64, state: GroupState, generation: i32) {
            let (group, generation) = (BILLING, Generation(generation));
            self.at(second).broker(1, EventKind::GroupChanged { group, state, generation });
        }

        fn joins(&mut self, second: u64, n: u16) {
            let (group, member) = (BILLING, member_of(n));
            self.at(second).broker(1, EventKind::MemberJoined { group, member, leader: n == 0 });
        }

        fn call(&mut self, second: u64, n: u16, callback: RebalanceCallback, list: &[PartitionId]) {
            for partition in list {
                let kind = EventKind::CallbackPartition { callback, partition: *partition };
                self.at(second).consumer(n, kind);
            }
        }

        fn gives(&mut self, second: u64, n: u16, list: &[PartitionId]) {
            for partition in list {
                let (group, member, partition) = (BILLING, member_of(n), *partition);
                self.at(second).broker(1, EventKind::MemberAssigned { group, member, partition });
            }
        }

        fn row(&self, n: u16, columns: u16) -> String {
            let view = self.0.view();
            let now = seconds(u64::from(columns));
            let window = Window { from: Time::ZERO, step: Duration::from_secs(1), columns, now };
            let row = member(view.groups[0].handovers(), n, &window);
            let letter = |doing: &Doing| match doing {
                Doing::Absent => ' ',
                Doing::Works => 'w',
                Doing::Idle => '.',
                Doing::Stopped => 's',
                Doing::Silent => '?',
                Doing::Zombie => 'Z',
                Doing::Gone => 'x',
            };
            row.iter().map(letter).collect()
        }
    }

    /// c1 works from 2 s on; c2 joins at 4 s; c1 gives everything up at 5 s; both have one each at 7 s.
    fn eager_join() -> Tale {
        let mut tale = Tale(Story::new());
        tale.joins(1, 0);
        tale.group(1, GroupState::PreparingRebalance, 0);
        tale.group(2, GroupState::Stable, 1);
        tale.gives(2, 0, &[P0, P1]);
        tale.call(2, 0, RebalanceCallback::Assigned, &[P0, P1]);
        tale.joins(4, 1);
        tale.group(4, GroupState::PreparingRebalance, 1);
        tale.call(5, 0, RebalanceCallback::Revoked, &[P0, P1]);
        tale.group(7, GroupState::Stable, 2);
        tale.gives(7, 0, &[P0]);
        tale.gives(7, 1, &[P1]);
        tale.call(7, 0, RebalanceCallback::Assigned, &[P0]);
        tale.call(7, 1, RebalanceCallback::Assigned, &[P1]);
        tale
    }

    #[test]
    fn a_member_is_stopped_from_what_it_gives_up_to_what_it_gets() {
        let tale = eager_join();
        assert_eq!(tale.row(0, 9), " swwwssww");
        assert_eq!(tale.row(1, 9), "    sssww");
    }

    #[test]
    fn a_stop_shorter_than_a_column_shows_and_what_is_not_yet_is_not_drawn() {
        let tale = eager_join();
        let view = tale.0.view();
        let step = Duration::from_secs(5);
        let window = Window { from: Time::ZERO, step, columns: 3, now: seconds(8) };
        let row = member(view.groups[0].handovers(), 0, &window);
        assert_eq!(row, [Doing::Stopped, Doing::Stopped, Doing::Absent]);
    }

    #[test]
    fn one_that_is_left_with_nothing_when_all_is_settled_is_idle() {
        let mut tale = eager_join();
        tale.group(9, GroupState::PreparingRebalance, 2);
        tale.call(9, 1, RebalanceCallback::Revoked, &[P1]);
        tale.group(10, GroupState::Stable, 3);
        tale.gives(10, 0, &[P0, P1]);
        tale.call(10, 0, RebalanceCallback::Assigned, &[P1]);
        assert_eq!(tale.row(1, 13), "    ssswws...");
    }

    #[test]
    fn a_frozen_member_is_silent_and_a_zombie_when_it_wakes_up_after_its_successor_began() {
        let mut tale = eager_join();
        tale.at(9).consumer(0, EventKind::Fault { kind: FaultKind::Freeze });
        tale.call(11, 1, RebalanceCallback::Assigned, &[P0]);
        tale.at(12).consumer(0, EventKind::Fault { kind: FaultKind::Thaw });
        tale.call(14, 0, RebalanceCallback::Lost, &[P0]);
        assert_eq!(&tale.row(0, 14)[7..], "ww???ZZ");
        tale.at(15).consumer(1, EventKind::Fault { kind: FaultKind::Kill });
        assert_eq!(&tale.row(1, 17)[13..], "wwxx");
    }

    #[test]
    fn only_partitions_of_members_that_kept_others_get_rows_of_their_own() {
        let eager = eager_join();
        let view = eager.0.view();
        let handovers = view.groups[0].handovers();
        assert!(moved(handovers, seconds(4)).is_empty());
        assert_eq!(gave_up(handovers, seconds(4)), [(seconds(5), 0)]);
        let mut tale = eager_join();
        tale.call(8, 0, RebalanceCallback::Assigned, &[P1]);
        tale.group(9, GroupState::PreparingRebalance, 2);
        tale.call(10, 0, RebalanceCallback::Revoked, &[P1]);
        let view = tale.0.view();
        assert_eq!(moved(view.groups[0].handovers(), seconds(9)), [P1]);
        let step = Duration::from_secs(1);
        let window = Window { from: seconds(4), step, columns: 5, now: seconds(9) };
        let row = partition(view.groups[0].handovers(), P0, &window);
        let (works, stopped) = (Doing::Works, Doing::Stopped);
        assert_eq!(row, [works, stopped, stopped, works, works]);
    }
}
