//! What becomes of records that members have: acknowledgements, releases, locks that run out.

use crate::base::error::ErrorCode;
use crate::base::ids::MemberId;
use crate::base::share::{AcknowledgeType, RecordState, ShareStateBatch};
use crate::base::time::Time;
use crate::kafka::api::AcknowledgementBatch;
use crate::kafka::share::partition::{
    DeadLetters, SharePartition, ShareRules, Write, is_somebody, state_batch,
};
use crate::kafka::share::state::{InFlightBatch, InFlightState};

/// What a request or a time-out has changed.
#[derive(Default)]
struct Changes {
    batches: Vec<ShareStateBatch>,
    dead: Vec<DeadLetters>,
}

impl Changes {
    fn add(&mut self, first: i64, last: i64, state: &InFlightState) {
        let delivery_count = state.delivery_count;
        self.batches.push(state_batch((first, last), state.state, delivery_count));
        if state.state == RecordState::Archiving {
            self.dead.push(DeadLetters { first, last, delivery_count });
        }
    }
}

/// Who acknowledges, under which rules, as part of which write.
struct Acknowledging<'a> {
    now: Time,
    member: MemberId,
    write: u32,
    rules: &'a ShareRules,
}

impl SharePartition {
    /// A member says what became of records it has (`acknowledge`). All of the request or nothing. `Ok(None)`: there is
    /// nothing to store (records below the start offset, or locks that were renewed).
    pub fn acknowledge(
        &mut self,
        now: Time,
        member: MemberId,
        asked: &[AcknowledgementBatch],
        rules: &ShareRules,
    ) -> Result<Option<Write>, ErrorCode> {
        let by = Acknowledging { now, member, write: self.last_write + 1, rules };
        let mut changes = Changes::default();
        for batch in asked {
            if batch.last.0 < self.start {
                continue;
            }
            let outcome = self.acknowledge_batch(&by, batch, &mut changes);
            if let Err(error) = outcome {
                // A lock that is over is noticed by its own timer.
                self.complete(Time::ZERO, by.write, false, rules.limit);
                return Err(error);
            }
        }
        Ok(self.write_if_any(changes, false))
    }

    fn acknowledge_batch(
        &mut self,
        by: &Acknowledging<'_>,
        asked: &AcknowledgementBatch,
        changes: &mut Changes,
    ) -> Result<(), ErrorCode> {
        let (first, last) = (asked.first.0, asked.last.0);
        let start = self.start;
        let floor = |from: i64| self.cached.range(..=from).next_back().map(|(key, _)| *key);
        let moved = first < start && last >= start;
        let floor = floor(first).or_else(|| floor(start).filter(|_| moved));
        let from = floor.ok_or(ErrorCode::InvalidRecordState)?;
        let end = self.cached.range(from..=last).next_back().map_or(from, |(_, batch)| batch.last);
        if end < first || end < last {
            return Err(ErrorCode::InvalidRequest);
        }
        for (_, batch) in self.cached.range_mut(from..=last) {
            if batch.last < start {
                continue;
            }
            let all = batch.first >= first && batch.last <= last && batch.first >= start;
            if let Some(state) = batch.whole_mut() {
                if !is_somebody(state.member) || state.member != by.member || state.is_changing() {
                    return Err(ErrorCode::InvalidRecordState);
                }
                if !all {
                    batch.split();
                }
            }
            for (offset, to, state) in batch.parts_mut() {
                let above = offset >= first.max(start);
                if all || (above && offset <= last) {
                    acknowledge_state(by, asked.kind, state)?;
                    if state.is_changing() {
                        changes.add(offset, to, state);
                    }
                }
            }
        }
        Ok(())
    }

    /// Everything `member` has goes back: it left, or its session ended (`releaseAcquiredRecords`). The delivery
    /// counts.
    pub fn release(&mut self, member: MemberId, rules: &ShareRules) -> Option<Write> {
        let (write, start) = (self.last_write + 1, self.start);
        let mut changes = Changes::default();
        self.split_at_start(|state| state.member == member);
        for (offset, last, state) in self.cached.values_mut().flat_map(InFlightBatch::parts_mut) {
            if state.member != member || state.state != RecordState::Acquired {
                continue;
            }
            let to = if last < start { RecordState::Archived } else { RecordState::Available };
            if state.begin(write, to, rules.limit).is_some() {
                changes.add(offset, last, state);
            }
        }
        self.write_if_any(changes, false)
    }

    /// Locks that ran out: the records go back, or are archived (`releaseAcquisitionLockOnTimeout`). That counts at
    /// once. Returns what is to be stored and whether there is something to acquire.
    pub fn expire_locks(&mut self, now: Time, rules: &ShareRules) -> Option<Write> {
        let start = self.start;
        let mut changes = Changes::default();
        self.split_at_start(|state| state.lock <= now);
        let mut freed = false;
        for (offset, last, state) in self.cached.values_mut().flat_map(InFlightBatch::parts_mut) {
            if state.lock > now {
                continue;
            }
            let to = if last < start { RecordState::Archived } else { RecordState::Available };
            let Some(became) = state.leave(to, rules.limit) else { continue };
            state.lock = Time::NEVER;
            freed |= became == RecordState::Available;
            changes.add(offset, last, state);
        }
        self.find_next |= freed;
        self.write_if_any(changes, true)
    }

    /// Runs that the start offset has moved into, and that are in the way of a change, are split there.
    fn split_at_start(&mut self, concerned: impl Fn(&InFlightState) -> bool) {
        let start = self.start;
        let Some((_, batch)) = self.cached.range_mut(..start).next_back() else { return };
        let acquired = |s: &InFlightState| s.state == RecordState::Acquired && concerned(s);
        if batch.last >= start && batch.whole().is_some_and(acquired) {
            batch.split();
        }
    }

    fn write_if_any(&mut self, changes: Changes, timed_out: bool) -> Option<Write> {
        let Changes { batches, dead } = changes;
        (!batches.is_empty()).then(|| self.write(batches, dead, timed_out))
    }
}

fn acknowledge_state(
    by: &Acknowledging<'_>,
    kind: AcknowledgeType,
    state: &mut InFlightState,
) -> Result<(), ErrorCode> {
    let mine = state.state == RecordState::Acquired && state.member == by.member;
    if !mine || state.is_changing() {
        return Err(ErrorCode::InvalidRecordState);
    }
    let to = match kind {
        AcknowledgeType::Renew if by.rules.renew => {
            state.lock = by.now + by.rules.lock;
            return Ok(());
        }
        AcknowledgeType::Renew => return Err(ErrorCode::InvalidRecordState),
        AcknowledgeType::Accept => RecordState::Acknowledged,
        AcknowledgeType::Release => RecordState::Available,
        AcknowledgeType::Reject if by.rules.limit.dead_letters => RecordState::Archiving,
        AcknowledgeType::Reject | AcknowledgeType::Gap => RecordState::Archived,
    };
    state.begin(by.write, to, by.rules.limit).ok_or(ErrorCode::InvalidRecordState)?;
    Ok(())
}
