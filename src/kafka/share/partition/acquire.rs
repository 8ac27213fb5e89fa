//! Handing records out (`SharePartition.acquire`).

use crate::base::ids::{MemberId, Offset};
use crate::base::share::RecordState;
use crate::base::time::Time;
use crate::kafka::api::AcquiredRecords;
use crate::kafka::share::partition::{SharePartition, ShareRules};
use crate::kafka::share::state::{InFlightBatch, InFlightState};

/// Who wants records, how many, and what was read for it.
#[derive(Clone, Copy, Debug)]
pub struct Acquisition<'a> {
    /// Who.
    pub member: MemberId,
    /// `share.acquire.mode=record_limit`: never more than `max_records`. Else whole batches of the log, so that
    /// `max_records` may be exceeded by the rest of the last one.
    pub record_limit: bool,
    /// How many records a run has at least before it ends at the next batch of the log.
    pub batch_size: u32,
    /// How many records at most.
    pub max_records: u32,
    /// Where the read began.
    pub fetch_offset: i64,
    /// The batches that were read: first and last offset.
    pub batches: &'a [(i64, i64)],
}

/// What has been handed out so far.
#[derive(Default)]
struct Handed {
    runs: Vec<AcquiredRecords>,
    count: i64,
}

impl Handed {
    fn add(&mut self, first: i64, last: i64, delivery_count: u16) {
        self.count += last - first + 1;
        self.runs.push(AcquiredRecords {
            first: Offset(first),
            last: Offset(last),
            delivery_count,
        });
    }
}

impl SharePartition {
    /// Hands out records of what was read, those that were given back first. They are locked from now on.
    pub fn acquire(
        &mut self,
        now: Time,
        want: Acquisition<'_>,
        rules: &ShareRules,
    ) -> Vec<AcquiredRecords> {
        let (Some((read_first, _)), Some((_, read_last))) =
            (want.batches.first().copied(), want.batches.last().copied())
        else {
            return Vec::new();
        };
        if !self.is_active() || want.max_records == 0 || read_last < self.start {
            return Vec::new();
        }
        let Some((last, mut max)) = self.bounds(&want, read_last, rules) else { return Vec::new() };
        let lock = now + rules.lock;
        self.archive_stale(want.fetch_offset, read_first);
        let mut base = read_first;
        match self.cached.range(..=base).next_back() {
            None => base = base.max(self.start),
            Some((first, batch)) if batch.last >= base => base = *first,
            Some(_) => {}
        }
        let known: Vec<i64> =
            self.cached.range(read_first.min(base)..=last).map(|(first, _)| *first).collect();
        let mut handed = Handed::default();
        let mut hole = base;
        let mut last_known = None;
        for first in known {
            if handed.count >= max {
                break;
            }
            if self.open_gap().is_some() {
                if hole < first {
                    let rest = max - handed.count;
                    self.acquire_new(&want, lock, (hole, first - 1, rest), &mut handed);
                }
                hole = self.cached[&first].last + 1;
                if handed.count >= max {
                    break;
                }
            }
            last_known = Some(self.cached[&first].last);
            if !self.acquire_known(&want, lock, (first, read_first, last, max), rules, &mut handed)
            {
                max = 0;
                break;
            }
        }
        let next = last_known.map_or(base, |known| known + 1);
        if handed.count < max && next <= last {
            let rest = max - handed.count;
            self.acquire_new(&want, lock, (next, last, rest), &mut handed);
        }
        if let Some(run) = handed.runs.last() {
            self.close_gap_below(run.last.0 + 1);
        }
        handed.runs
    }

    /// The last offset that may be handed out and how many records (`lastOffsetAndMaxRecordsToAcquire`): beyond the end
    /// offset only as many as there are locks left, below it always.
    fn bounds(&self, want: &Acquisition<'_>, last: i64, rules: &ShareRules) -> Option<(i64, i64)> {
        let wanted = i64::from(want.max_records);
        let max = wanted.min(i64::from(rules.max_locks) - self.in_flight());
        if max > 0 {
            return Some((last, max));
        }
        let below = self.end - want.fetch_offset + 1;
        (below > 0).then_some((last.min(self.end), wanted.min(below)))
    }

    /// The read began at `fetch_offset` and found nothing before `found`: what was available in between is gone from
    /// the log (`maybeArchiveStaleBatches`).
    fn archive_stale(&mut self, fetch_offset: i64, found: i64) {
        if fetch_offset < found
            && self.archive_records((fetch_offset, found), RecordState::Available)
        {
            self.find_next = true;
        }
    }

    /// Hands out what is available of the run that begins at `first`. False: nothing more may go with it, because it
    /// was delivered so often that it goes alone.
    fn acquire_known(
        &mut self,
        want: &Acquisition<'_>,
        lock: Time,
        (first, read_first, last, max): (i64, i64, i64, i64),
        rules: &ShareRules,
        handed: &mut Handed,
    ) -> bool {
        let rest = max - handed.count;
        let Some(batch) = self.cached.get_mut(&first) else { return true };
        let whole = batch.first >= read_first && batch.last <= last;
        let too_many = want.record_limit && batch.len() > rest;
        let throttled = is_throttled(batch, (read_first, last), rules);
        if throttled && handed.count > 0 {
            return false;
        }
        if let Some(state) = batch.whole_mut() {
            if !state.is_free() {
                return true;
            }
            if whole && !too_many && !throttled {
                state.acquire(want.member, lock);
                let count = state.delivery_count;
                handed.add(batch.first, batch.last, count);
                return true;
            }
        }
        batch.split();
        let limit = want.record_limit.then_some(rest);
        let taken = take_some(batch, (want.member, lock), (read_first, last, limit), rules);
        let none = taken.is_empty();
        for (offset, count) in taken {
            match handed.runs.last_mut() {
                Some(run) if run.last.0 + 1 == offset && run.delivery_count == count => {
                    run.last = Offset(offset);
                    handed.count += 1;
                }
                _ => handed.add(offset, offset, count),
            }
        }
        !throttled || none
    }

    /// Hands out records for the first time (`acquireNewBatchRecords`): `rest` of those from `first` to `last`.
    fn acquire_new(
        &mut self,
        want: &Acquisition<'_>,
        lock: Time,
        (first, last, rest): (i64, i64, i64),
        handed: &mut Handed,
    ) {
        let first = if self.cached.is_empty() { first.max(self.end) } else { first };
        if first > last {
            return;
        }
        let mut end = last;
        if rest < last - first + 1 {
            // The rest of the batch that the last record is in goes with it.
            let asked = first + rest - 1;
            let batch = want.batches.iter().rev().find(|(base, _)| *base <= asked);
            end = batch.map_or(asked, |(_, last)| *last);
            if self.open_gap().is_some() {
                end = end.min(last);
            }
        }
        let state = InFlightState::first_delivery(want.member, lock);
        if want.record_limit && end - first + 1 > rest {
            let mut batch = InFlightBatch::new(first, end, state);
            for free in &mut batch.split()[rest as usize..] {
                *free = InFlightState::new(RecordState::Available, 0);
            }
            self.cached.insert(first, batch);
            self.find_next = true;
            handed.add(first, first + rest - 1, 1);
        } else {
            for (from, to) in runs(want, first, end) {
                self.cached.insert(from, InFlightBatch::new(from, to, state));
                handed.add(from, to, 1);
            }
        }
        if self.cached.first_key_value().is_some_and(|(key, _)| *key == first) {
            self.start = first;
        }
        self.end = self.end.max(end);
        let next = handed.runs.last().map_or(end, |run| run.last.0) + 1;
        self.close_gap_below(next);
    }
}

/// Runs of at least `batch_size` records that end where batches of the log do.
fn runs(want: &Acquisition<'_>, first: i64, last: i64) -> Vec<(i64, i64)> {
    let size = i64::from(want.batch_size);
    let mut runs = Vec::new();
    let mut from = first;
    if !want.record_limit && last - first + 1 > size {
        for (base, _) in want.batches.iter().take_while(|(base, _)| *base <= last) {
            if base - from >= size {
                runs.push((from, base - 1));
                from = *base;
            }
        }
    }
    runs.push((from, last));
    runs
}

/// From how many deliveries on records go in small portions (`throttleRecordsDeliveryLimit`): half of what is allowed.
fn throttle_from(limit: u16) -> u16 {
    limit.div_ceil(2).max(2)
}

/// True when a record of the run was delivered so often that it may be the one which kills its consumers
/// (`shouldThrottleRecordsDelivery`).
fn is_throttled(batch: &InFlightBatch, (first, last): (i64, i64), rules: &ShareRules) -> bool {
    let from = throttle_from(rules.limit.deliveries);
    let whole = batch.whole().is_some();
    let counts = |(offset, state): &(i64, &InFlightState)| {
        state.is_free() && (whole || (first <= *offset && *offset <= last))
    };
    batch.offsets().filter(counts).any(|(_, state)| state.delivery_count >= from)
}

/// Takes what is available of a run whose offsets have states of their own (`acquireSubsetBatchRecords`): the closer
/// a record is to the delivery limit, the fewer go with it; on its last delivery it goes alone.
fn take_some(
    batch: &mut InFlightBatch,
    (member, lock): (MemberId, Time),
    (first, last, limit): (i64, i64, Option<i64>),
    rules: &ShareRules,
) -> Vec<(i64, u16)> {
    let deliveries = rules.limit.deliveries;
    let (from, size) = (throttle_from(deliveries), batch.len());
    let mut portion = None;
    let mut taken: Vec<(i64, u16)> = Vec::new();
    for (offset, _, state) in batch.parts_mut() {
        if offset < first || !state.is_free() {
            continue;
        }
        let before = state.delivery_count;
        let last_chance = deliveries > 2 && before + 1 == deliveries;
        if offset > last || (last_chance && !taken.is_empty()) {
            break;
        }
        if before >= from && portion.is_none() {
            portion = Some((size >> (before - from + 1)).max(1));
        }
        state.acquire(member, lock);
        taken.push((offset, state.delivery_count));
        let count = taken.len() as i64;
        if last_chance || limit == Some(count) || portion == Some(count) {
            break;
        }
    }
    taken
}
