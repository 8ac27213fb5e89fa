//! All records that a share group has in flight in one partition, at the partition's leader (`SharePartition`).
//!
//! The start offset (SPSO) is the first record that is not done with; the end offset (SPEO) the last that was ever
//! handed out. Between the two, every record is in flight: available, acquired by one member under a lock, or done and
//! waiting for those before it. The state is in memory; what members say about records goes to the share coordinator
//! first ([`Write`]) and counts when it is stored. What was acquired is not stored: a new leader counts a record's
//! deliveries from the last acknowledgement or time-out on.
//!
//! This file: opening, where to fetch next, the end of writes, the start offset. `acquire` hands records out, `settle`
//! takes acknowledgements, releases and time-outs.
//!
//! Simplified: offsets are `i64` here as in Kafka; a lock that runs out is noticed at once (Kafka's timer has a tick of
//! 100 ms).

mod acquire;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{GroupId, LeaderEpoch, MemberId, Offset, PartitionId};
use crate::base::share::{RecordState, ShareStateBatch};
use crate::base::time::{Duration, Time};
use crate::kafka::api::AcquiredRecords;
use crate::kafka::share::state::{InFlightBatch, InFlightState, Limit};

pub use acquire::Acquisition;

/// What the group's settings say about share partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShareRules {
    /// `share.record.lock.duration.ms`.
    pub lock: Duration,
    /// `share.delivery.count.limit`, and whether there is a dead-letter queue.
    pub limit: Limit,
    /// `share.partition.max.record.locks`.
    pub max_locks: u32,
    /// `share.renew.acknowledge.enable`.
    pub renew: bool,
}

/// A share partition's way (`SharePartitionState`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// Its state is being read from the share coordinator.
    Initializing,
    /// It serves.
    Active,
}

/// A change that the share coordinator is to store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// Tells writes of this share partition apart.
    pub id: u32,
    /// The records and what they are now.
    pub batches: Vec<ShareStateBatch>,
}

/// Records for the dead-letter queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DeadLetters {
    /// The first offset.
    pub first: i64,
    /// The last, inclusive.
    pub last: i64,
    /// How often they were delivered.
    pub delivery_count: u16,
}

/// What the end of a write has for consequences.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Settled {
    /// Records can be acquired, or the start offset moved: who waits may look again.
    pub wake: bool,
    /// What goes to the dead-letter queue now.
    pub dead: Vec<DeadLetters>,
    /// Records whose lock ran out while the write was under way, which failed: what they are now.
    pub lapsed: Vec<ShareStateBatch>,
}

/// A write under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct OpenWrite {
    id: u32,
    dead: Vec<DeadLetters>,
    /// A time-out: it is not taken back when the write fails.
    timed_out: bool,
}

/// What an earlier leader had handed out and never stored (`GapWindow`): holes between what it did store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Gap {
    /// Holes begin here at the earliest.
    start: i64,
    /// The last offset that was stored.
    end: i64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct SharePartition {
    /// Whose.
    pub group: GroupId,
    /// Of which partition.
    pub partition: PartitionId,
    /// The leader epoch it was opened under.
    pub leader_epoch: LeaderEpoch,
    /// Tells it from others that were here before.
    pub number: u32,
    /// The epoch of the stored state: an administrator's reset begins a new one.
    pub state_epoch: i32,
    status: Status,
    cached: BTreeMap<i64, InFlightBatch>,
    start: i64,
    end: i64,
    /// Something below the end offset may be available.
    find_next: bool,
    gap: Option<Gap>,
    last_write: u32,
    writes: Vec<OpenWrite>,
}

impl SharePartition {
    /// A share partition whose state is about to be read.
    pub fn new(group: GroupId, partition: PartitionId, leader_epoch: LeaderEpoch) -> Self {
        Self {
            group,
            partition,
            leader_epoch,
            number: 0,
            state_epoch: 0,
            status: Status::Initializing,
            cached: BTreeMap::new(),
            start: 0,
            end: 0,
            find_next: false,
            gap: None,
            last_write: 0,
            writes: Vec::new(),
        }
    }

    /// Its writes are numbered from here on: an answer to one of another share partition that was here before is not
    /// taken for an answer to its own.
    #[must_use]
    pub fn numbered_from(mut self, last_write: u32) -> Self {
        (self.number, self.last_write) = (last_write, last_write);
        self
    }

    /// The state arrived. Records that were on their way to the dead-letter queue are on it again: they are returned.
    pub fn open(
        &mut self,
        (start, state_epoch): (i64, i32),
        batches: &[ShareStateBatch],
    ) -> Vec<DeadLetters> {
        self.status = Status::Active;
        self.state_epoch = state_epoch;
        self.start = start;
        self.end = start;
        let (mut dead, mut gap, mut next) = (Vec::new(), None, start);
        for batch in batches {
            let (first, last, delivery_count) = (batch.first.0, batch.last.0, batch.delivery_count);
            if first > next && gap.is_none() {
                gap = Some(next);
            }
            next = last + 1;
            let state = InFlightState::new(batch.state, delivery_count);
            self.cached.insert(first, InFlightBatch::new(first, last, state));
            if batch.state == RecordState::Archiving {
                dead.push(DeadLetters { first, last, delivery_count });
            }
        }
        if let Some((_, last)) = self.cached.last_key_value() {
            self.end = last.last;
            self.find_next = true;
            self.gap = gap.map(|start| Gap { start, end: self.end });
            self.move_start();
        }
        dead
    }

    /// True when records can be acquired of it.
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// The start offset (SPSO).
    pub const fn start_offset(&self) -> i64 {
        self.start
    }

    /// The end offset (SPEO).
    pub const fn end_offset(&self) -> i64 {
        self.end
    }

    /// Every record in flight from the start offset on.
    pub fn records(&self) -> impl Iterator<Item = (i64, &InFlightState)> {
        let offsets = self.cached.values().flat_map(InFlightBatch::offsets);
        offsets.filter(|(offset, _)| *offset >= self.start)
    }

    /// When the next acquisition lock runs out; [`Time::NEVER`] when there is none.
    pub fn next_lock(&self) -> Time {
        self.cached.values().map(InFlightBatch::next_lock).min().unwrap_or(Time::NEVER)
    }

    /// Where the next fetch begins (`nextFetchOffset`).
    pub fn next_fetch_offset(&mut self) -> i64 {
        let none = self.cached.last_key_value().is_none_or(|(_, b)| self.start > b.last);
        if none {
            self.find_next = false;
            return self.end;
        }
        if !self.find_next {
            return self.end + 1;
        }
        let mut hole = self.open_gap();
        for (first, batch) in &self.cached {
            if let Some(hole) = &mut hole {
                if *first > *hole {
                    return *hole;
                }
                *hole = (*hole).max(batch.last + 1);
            }
            if let Some((offset, _)) = batch.offsets().find(|(_, state)| state.is_free()) {
                return offset;
            }
        }
        self.find_next = false;
        self.end + 1
    }

    /// True when a member may get something: below the end offset, or beyond it while locks are left
    /// (`canAcquireRecords`).
    pub fn can_acquire(&mut self, rules: &ShareRules) -> bool {
        self.next_fetch_offset() != self.end + 1 || self.in_flight() < i64::from(rules.max_locks)
    }

    /// How many records are between the start and the end offset.
    pub fn in_flight(&self) -> i64 {
        if self.cached.is_empty() { 0 } else { self.end - self.start + 1 }
    }

    /// The log begins at `log_start` now: what is available below it is archived, what a member has stays its own
    /// (`updateCacheAndOffsets`).
    pub fn log_start_moved(&mut self, log_start: i64) {
        if log_start <= self.start {
            return;
        }
        if self.cached.is_empty() {
            self.start = log_start;
            self.end = log_start;
            return;
        }
        if self.archive_records((self.start, log_start), RecordState::Available) {
            self.find_next = true;
        }
        self.start = log_start;
        self.end = self.end.max(log_start);
    }

    /// Archives the records from `from` up to, not including, `to` that are in this state (`archiveRecords`).
    fn archive_records(&mut self, (from, to): (i64, i64), before: RecordState) -> bool {
        let mut any = false;
        let below = self.cached.range_mut(..to).map(|(_, batch)| batch);
        for batch in below.filter(|batch| batch.last >= from) {
            let whole = batch.first >= from && batch.last < to;
            if !whole && batch.whole().is_some_and(|state| state.state == before) {
                batch.split();
            }
            for (first, last, state) in batch.parts_mut() {
                if first >= from && last < to && state.state == before {
                    state.archive();
                    any = true;
                }
            }
        }
        any
    }

    /// A batch from `first` to `last` was acquired and turns out to be aborted: it is archived, and `acquired` goes on
    /// without it (`filterRecordBatchesFromAcquiredRecords`).
    pub fn archive_aborted(&mut self, first: i64, last: i64, acquired: &mut Vec<AcquiredRecords>) {
        self.archive_records((first, last + 1), RecordState::Acquired);
        let rest = |run: &AcquiredRecords| {
            let before = AcquiredRecords { last: run.last.min(Offset(first - 1)), ..*run };
            let after = AcquiredRecords { first: run.first.max(Offset(last + 1)), ..*run };
            [before, after].into_iter().filter(|part| part.first <= part.last)
        };
        *acquired = acquired.iter().flat_map(rest).collect();
    }

    /// The share coordinator stored the write, or did not (`rollbackOrProcessStateUpdates`).
    pub fn written(&mut self, now: Time, id: u32, stored: bool, limit: Limit) -> Settled {
        let Some(at) = self.writes.iter().position(|write| write.id == id) else {
            return Settled::default();
        };
        let write = self.writes.remove(at);
        let lapsed = self.complete(now, id, stored, limit);
        if !stored && !write.timed_out {
            return Settled { wake: self.find_next, dead: Vec::new(), lapsed };
        }
        let moved = self.move_start();
        Settled { wake: moved || self.find_next, dead: write.dead, lapsed }
    }

    /// Ends the transitions of a write. Returns what became of records that went back and whose lock was over.
    fn complete(&mut self, now: Time, id: u32, stored: bool, limit: Limit) -> Vec<ShareStateBatch> {
        let (mut freed, mut lapsed) = (false, Vec::new());
        for (first, last, state) in self.cached.values_mut().flat_map(InFlightBatch::parts_mut) {
            if !state.complete(id, stored, now, limit) {
                continue;
            }
            freed |= state.state == RecordState::Available;
            if !stored && state.state != RecordState::Acquired {
                lapsed.push(state_batch((first, last), state.state, state.delivery_count));
            }
        }
        self.find_next |= freed;
        lapsed
    }

    /// The dead-letter queue has these records, or will never have them (`initiateDLQAndArchive`): they are done with.
    pub fn dead_lettered(&mut self, dead: DeadLetters) -> Write {
        let DeadLetters { first, last, delivery_count } = dead;
        for (from, to, state) in self.cached.values_mut().flat_map(InFlightBatch::parts_mut) {
            if first <= from && to <= last && state.state == RecordState::Archiving {
                state.archive();
            }
        }
        let state = RecordState::Archived;
        self.write(vec![state_batch((first, last), state, delivery_count)], Vec::new(), true)
    }

    fn write(
        &mut self,
        batches: Vec<ShareStateBatch>,
        dead: Vec<DeadLetters>,
        timed_out: bool,
    ) -> Write {
        self.last_write += 1;
        let id = self.last_write;
        self.writes.push(OpenWrite { id, dead, timed_out });
        Write { id, batches }
    }

    /// The start of the holes an earlier leader left, while they count (`isPersisterReadGapWindowActive`).
    fn open_gap(&self) -> Option<i64> {
        self.gap.filter(|gap| gap.end == self.end).map(|gap| gap.start)
    }

    /// Everything below `offset` has been handed out: holes begin there at the earliest.
    fn close_gap_below(&mut self, offset: i64) {
        if let Some(gap) = &mut self.gap {
            if gap.end == self.end && offset <= gap.end {
                gap.start = offset;
            } else {
                self.gap = None;
            }
        }
    }

    /// Moves the start offset over what is done with (`maybeUpdateCachedStateAndOffsets`). A run goes when all of it is
    /// done.
    fn move_start(&mut self) -> bool {
        let floor = self.cached.range(..=self.start).next_back();
        let Some((_, batch)) = floor.filter(|(_, batch)| batch.last >= self.start) else {
            return false;
        };
        let done = |state: &InFlightState| state.state.is_terminal() && !state.is_changing();
        if !done(batch.at(self.start)) {
            return false;
        }
        let gap = self.open_gap();
        let mut last_done = None;
        'runs: for batch in self.cached.values() {
            if gap.is_some_and(|gap| batch.last >= gap) {
                break;
            }
            for (offset, state) in batch.offsets() {
                if !done(state) {
                    break 'runs;
                }
                last_done = Some(offset);
            }
        }
        let Some(last_done) = last_done else { return false };
        let last_cached = self.cached.last_key_value().map_or(0, |(_, batch)| batch.last);
        if last_done == last_cached {
            self.start = last_cached + 1;
            self.end = last_cached + 1;
            self.cached.clear();
            return true;
        }
        let next = self.cached.range(last_done + 1..).next().map(|(first, _)| *first);
        let whole = self.cached.values().any(|batch| batch.last == last_done);
        let start = if whole { next.unwrap_or(last_done + 1) } else { last_done + 1 };
        self.start = self.start.max(start);
        if let Some(gap) = gap.filter(|_| whole) {
            self.start = self.start.min(gap);
        }
        self.cached.retain(|_, batch| batch.last > last_done);
        true
    }

    /// A bug planted by tests: nobody has what was handed out.
    #[doc(hidden)]
    pub fn drop_locks(&mut self) {
        for (_, _, state) in self.cached.values_mut().flat_map(InFlightBatch::parts_mut) {
            if state.state == RecordState::Acquired && !state.is_changing() {
                *state = InFlightState::new(RecordState::Available, state.delivery_count);
                self.find_next = true;
            }
        }
    }

    /// Adds this share partition to a fingerprint.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.group, self.partition, self.leader_epoch, self.state_epoch, self.status));
        into.add((self.start, self.end, self.find_next, self.gap, &self.writes));
        for batch in self.cached.values() {
            batch.fingerprint(now, into);
        }
    }
}

/// A run of offsets as the share coordinator is told of it.
fn state_batch((first, last): (i64, i64), state: RecordState, count: u16) -> ShareStateBatch {
    ShareStateBatch { first: Offset(first), last: Offset(last), state, delivery_count: count }
}

/// True when `member` is somebody.
fn is_somebody(member: MemberId) -> bool {
    member != MemberId::UNKNOWN
}
