//! A record in flight: delivered to a member of a share group, or delivered and given back, and not yet below the start
//! offset (`InFlightState`, `InFlightBatch`, `RecordState`).
//!
//! A change that must be persisted first is a transition: the state is the new one already, and goes back when the
//! write fails. While it is open nobody else may change the record.

use crate::base::fingerprint::Fingerprint;
use crate::base::ids::MemberId;
use crate::base::share::RecordState;
use crate::base::time::Time;

/// When a record has been delivered often enough, and what becomes of it then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// `share.delivery.count.limit`.
    pub deliveries: u16,
    /// The group has a dead-letter queue.
    pub dead_letters: bool,
}

/// What a transition began with, and the write it waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Transition {
    write: u32,
    state: RecordState,
    member: MemberId,
}

/// One record in flight, or a run of records that have all been treated alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InFlightState {
    /// The state.
    pub state: RecordState,
    /// How often it was delivered, this time included.
    pub delivery_count: u16,
    /// Who has it; [`MemberId::UNKNOWN`] when nobody does.
    pub member: MemberId,
    /// When the acquisition lock runs out; [`Time::NEVER`] without one.
    pub lock: Time,
    open: Option<Transition>,
    /// It was archived while a transition was open: that stays, however the write ends.
    is_final: bool,
}

impl InFlightState {
    /// A record that nobody has.
    pub const fn new(state: RecordState, delivery_count: u16) -> Self {
        let (member, lock) = (MemberId::UNKNOWN, Time::NEVER);
        Self { state, delivery_count, member, lock, open: None, is_final: false }
    }

    /// A record that `member` gets for the first time.
    pub const fn first_delivery(member: MemberId, lock: Time) -> Self {
        Self { member, lock, ..Self::new(RecordState::Acquired, 1) }
    }

    /// True while a write decides about its state.
    pub const fn is_changing(&self) -> bool {
        self.open.is_some()
    }

    /// True when a member may have it.
    pub const fn is_free(&self) -> bool {
        matches!(self.state, RecordState::Available) && !self.is_changing()
    }

    /// `member` gets it (again).
    pub fn acquire(&mut self, member: MemberId, lock: Time) {
        debug_assert!(self.is_free(), "who acquires looks first");
        self.state = RecordState::Acquired;
        self.delivery_count += 1;
        self.member = member;
        self.lock = lock;
    }

    /// Its lock ran out, or there is nothing to wait for: it is `to` now. A record that goes back although it was
    /// delivered as often as allowed is archived instead. `None` while a write decides.
    pub fn leave(&mut self, to: RecordState, limit: Limit) -> Option<RecordState> {
        if self.is_changing() || self.state != RecordState::Acquired {
            return None;
        }
        let spent = to == RecordState::Available && self.delivery_count >= limit.deliveries;
        self.state = match (spent, limit.dead_letters) {
            (false, _) => to,
            (true, true) => RecordState::Archiving,
            (true, false) => RecordState::Archived,
        };
        self.member = MemberId::UNKNOWN;
        Some(self.state)
    }

    /// As [`InFlightState::leave`], until the write number `write` says whether it stays so. Its lock goes on.
    pub fn begin(&mut self, write: u32, to: RecordState, limit: Limit) -> Option<RecordState> {
        let before = Transition { write, state: self.state, member: self.member };
        let state = self.leave(to, limit)?;
        self.open = Some(before);
        Some(state)
    }

    /// The write number `write` ended. True when this record waited for it.
    pub fn complete(&mut self, write: u32, stored: bool, now: Time, limit: Limit) -> bool {
        let Some(before) = self.open.take_if(|open| open.write == write) else { return false };
        if stored || self.is_final {
            self.lock = Time::NEVER;
        } else if self.lock <= now {
            let spent = self.delivery_count >= limit.deliveries;
            self.state = if spent { RecordState::Archived } else { RecordState::Available };
            self.member = MemberId::UNKNOWN;
            self.lock = Time::NEVER;
        } else {
            self.state = before.state;
            self.member = before.member;
        }
        true
    }

    /// It is done with, for good.
    pub fn archive(&mut self) {
        self.is_final = true;
        self.state = RecordState::Archived;
        self.member = MemberId::UNKNOWN;
        self.lock = Time::NEVER;
    }

    fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.state, self.delivery_count, self.member, self.open, self.is_final));
        into.add_time(now, self.lock);
    }
}

/// A run of offsets that were acquired together (`InFlightBatch`): one state for all, until a part of them is treated
/// otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InFlightBatch {
    /// The first offset.
    pub first: i64,
    /// The last offset, inclusive.
    pub last: i64,
    states: States,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum States {
    Whole(InFlightState),
    /// One an offset.
    Each(Vec<InFlightState>),
}

impl InFlightBatch {
    /// A run in one state.
    pub const fn new(first: i64, last: i64, state: InFlightState) -> Self {
        Self { first, last, states: States::Whole(state) }
    }

    /// How many offsets it has.
    pub const fn len(&self) -> i64 {
        self.last - self.first + 1
    }

    /// Never: a run has at least one offset.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The one state of all offsets, if there is one.
    pub const fn whole(&self) -> Option<&InFlightState> {
        match &self.states {
            States::Whole(state) => Some(state),
            States::Each(_) => None,
        }
    }

    /// The same, to change.
    pub const fn whole_mut(&mut self) -> Option<&mut InFlightState> {
        match &mut self.states {
            States::Whole(state) => Some(state),
            States::Each(_) => None,
        }
    }

    /// From here on each offset has a state of its own.
    pub fn split(&mut self) -> &mut [InFlightState] {
        if let States::Whole(state) = self.states {
            self.states = States::Each(vec![state; self.len() as usize]);
        }
        match &mut self.states {
            States::Each(states) => states,
            States::Whole(_) => unreachable!("it was split just now"),
        }
    }

    /// Each offset with its state.
    pub fn offsets(&self) -> impl Iterator<Item = (i64, &InFlightState)> {
        (self.first..=self.last).map(|offset| match &self.states {
            States::Whole(state) => (offset, state),
            States::Each(states) => (offset, &states[(offset - self.first) as usize]),
        })
    }

    /// The state of one of its offsets.
    pub fn at(&self, offset: i64) -> &InFlightState {
        match &self.states {
            States::Whole(state) => state,
            States::Each(states) => &states[(offset - self.first) as usize],
        }
    }

    /// Its states with the offsets each of them stands for: one for all, or one each.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = (i64, i64, &mut InFlightState)> {
        let (first, last) = (self.first, self.last);
        let (whole, each) = match &mut self.states {
            States::Whole(state) => (Some((first, last, state)), None),
            States::Each(states) => (None, Some(states)),
        };
        let each = each.into_iter().flatten();
        let each = each.enumerate().map(move |(i, s)| (first + i as i64, first + i as i64, s));
        whole.into_iter().chain(each)
    }

    /// The earliest lock that can run out: not one of a record whose state is being written.
    pub fn next_lock(&self) -> Time {
        let due = |s: &InFlightState| if s.is_changing() { Time::NEVER } else { s.lock };
        match &self.states {
            States::Whole(state) => due(state),
            States::Each(states) => states.iter().map(due).min().unwrap_or(Time::NEVER),
        }
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.first, self.last));
        match &self.states {
            States::Whole(state) => state.fingerprint(now, into),
            States::Each(states) => states.iter().for_each(|state| state.fingerprint(now, into)),
        }
    }
}
