//! Compaction: `LogCleanerManager` (what is to be cleaned), `Cleaner` (what a cleaning leaves), `LogToClean`.
//!
//! Of each key the last record below the uncleanable end survives; a tombstone survives until the delete horizon that
//! the first cleaning sets on its batch (KIP-534). Offsets keep their gaps, the active segment is never touched, and a
//! batch stays, if need be empty, when it is the last of its producer or of the round. Records of aborted
//! transactions go; a marker goes as a tombstone does, with a horizon from when nothing of its transaction is left.
//!
//! Simplified: the key map has room for all keys; cleaning takes no time; no throttling.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::batch::{BatchKind, BatchTable, Record, RecordBody};
use crate::base::config::TopicConfig;
use crate::base::group_records::ConsumerGroupKey;
use crate::base::ids::{BatchHandle, GroupId, KeyId, Offset, PartitionId, TransactionalId};
use crate::kafka::log::UnifiedLog;
use crate::kafka::log::entries::{Entries, LogEntry};
use crate::kafka::log::producer_state::ProducerStateManager;
use crate::kafka::log::segment::LogSegment;

/// What of a log could be cleaned (`LogToClean`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogToClean {
    /// The cleaner has been below it.
    first_dirty: Offset,
    /// It cannot go on from here: the base offset of a segment.
    first_uncleanable: Offset,
    clean_bytes: u64,
    cleanable_bytes: u64,
    /// `max.compaction.lag.ms` is over for a record.
    is_overdue: bool,
}

impl LogToClean {
    /// What there is of `log`. `stable` is its last stable offset, at most the high watermark.
    pub fn of(log: &UnifiedLog, config: &TopicConfig, now: i64, stable: Offset) -> Self {
        let checkpoint = log.cleaner_checkpoint.unwrap_or(log.log_start());
        let valid = (log.log_start()..=log.end()).contains(&checkpoint);
        let first_dirty = if valid { checkpoint } else { log.log_start() };
        // The segment that holds an offset; the first one for an offset below it.
        let floor = |offset: Offset| {
            log.segments.iter().rposition(|segment| segment.base_offset <= offset).unwrap_or(0)
        };
        let active = log.segments.len() - 1;
        let dirty = &log.segments[floor(first_dirty).min(active)..active];
        let lag = config.min_compaction_lag.as_millis() as i64;
        let too_young = dirty.iter().find(|segment| lag > 0 && segment.newest() > now - lag);
        let mut limit = stable.min(log.active_segment().base_offset);
        limit = too_young.map_or(limit, |segment| limit.min(segment.base_offset));
        // Only whole segments are cleaned.
        let first_uncleanable = log.segments[floor(limit)].base_offset;
        let oldest = dirty.iter().filter_map(LogSegment::first_timestamp).min();
        let max_lag = config.max_compaction_lag.as_millis() as i64;
        let from = log.segments[floor(first_dirty.min(first_uncleanable))].base_offset;
        let bytes = |range: std::ops::Range<Offset>| {
            let within = log.segments.iter().filter(|s| range.contains(&s.base_offset));
            within.map(|segment| segment.bytes).sum()
        };
        Self {
            first_dirty,
            first_uncleanable,
            clean_bytes: bytes(Offset(0)..first_dirty),
            cleanable_bytes: bytes(from..first_uncleanable),
            is_overdue: oldest.is_some_and(|oldest| oldest < now - max_lag),
        }
    }

    /// Up to where it will be clean: the base offset of the first segment that is left alone.
    pub fn first_uncleanable(&self) -> Offset {
        self.first_uncleanable
    }

    /// Does the cleaner take it? More than `min.cleanable.dirty.ratio` is dirty, or something in it is overdue.
    pub fn is_cleanable(&self, config: &TopicConfig) -> bool {
        let overdue = self.is_overdue && self.cleanable_bytes > 0;
        overdue || self.dirty_ppm() > u64::from(config.min_cleanable_dirty_ppm)
    }

    /// How much of it is dirty, in millionths: the filthiest log is cleaned first.
    pub fn dirty_ppm(&self) -> u64 {
        let total = self.clean_bytes + self.cleanable_bytes;
        (self.cleanable_bytes * 1_000_000).checked_div(total).unwrap_or(0)
    }
}

/// What a cleaning changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cleaned {
    /// Another batch stands here now, with fewer records or with a delete horizon; `None`: nothing does.
    Batch(Offset, Option<BatchHandle>),
    /// The segment that began here is part of the one before it.
    Merged(Offset),
}

/// What a record is the last of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Application(KeyId),
    Commit(GroupId, PartitionId),
    Group(GroupId),
    ConsumerGroup(GroupId, ConsumerGroupKey),
    Transaction(TransactionalId),
    Share(GroupId, PartitionId),
}

/// The key of a record; `None` for one without, which the cleaner drops.
fn key_of(record: &Record) -> Option<Key> {
    match record.body {
        RecordBody::Removed | RecordBody::EndTransactionMarker { .. } => None,
        RecordBody::TransactionState { id, .. } => Some(Key::Transaction(id)),
        RecordBody::ShareState { group, partition, .. } => Some(Key::Share(group, partition)),
        RecordBody::Message(_) | RecordBody::DeadLetter { .. } => {
            (record.key != KeyId::NONE).then_some(Key::Application(record.key))
        }
        RecordBody::OffsetCommit { group, partition, .. }
        | RecordBody::OffsetTombstone { group, partition } => Some(Key::Commit(group, partition)),
        RecordBody::ConsumerGroup { group, key, .. } => Some(Key::ConsumerGroup(group, key)),
        RecordBody::GroupMetadata { group, .. }
        | RecordBody::GroupTombstone { group }
        | RecordBody::ShareGroup { group, .. } => Some(Key::Group(group)),
    }
}

/// One cleaning of a log.
struct Round<'a> {
    /// Of each key the offset of its last record in the dirty part (`OffsetMap`).
    last: BTreeMap<Key, Offset>,
    /// Up to here the map knows, the last offset of the dirty part.
    latest: Offset,
    /// The base offsets of batches of aborted transactions.
    aborted: BTreeSet<Offset>,
    /// Producers of which a batch of a transaction was met since their last marker (`CleanedTransactionMetadata`).
    met: BTreeSet<i64>,
    plan: LogToClean,
    config: &'a TopicConfig,
    producers: &'a ProducerStateManager,
    now: i64,
}

/// `Cleaner.clean`: compacts what `plan` allows and moves the cleaner's checkpoint behind it.
pub fn clean(
    log: &mut UnifiedLog,
    plan: LogToClean,
    config: &TopicConfig,
    producers: &ProducerStateManager,
    now: i64,
    batches: &mut BatchTable,
) -> Vec<Cleaned> {
    let mut round = Round {
        last: BTreeMap::new(),
        latest: Offset::NONE,
        aborted: aborted(log, batches),
        met: BTreeSet::new(),
        plan,
        config,
        producers,
        now,
    };
    round.read_dirty(log, batches);
    let end = (round.latest + 1).max(plan.first_dirty);
    let mut changes = Vec::new();
    let mut entries = Entries::default();
    for entry in log.entries.from_index(0).copied() {
        if entry.base_offset >= end {
            entries.push(entry);
            continue;
        }
        let left = round.clean_batch(entry, batches);
        if left != Some(entry) {
            changes.push(Cleaned::Batch(entry.base_offset, left.map(|left| left.batch)));
        }
        if let Some(left) = left {
            entries.push(left);
        }
    }
    log.entries = entries;
    log.cleaner_checkpoint = Some(end);
    regroup(log, config, end, &mut changes);
    changes
}

/// The base offsets of the batches whose transaction ended with an abort.
fn aborted(log: &UnifiedLog, batches: &BatchTable) -> BTreeSet<Offset> {
    let (mut ends, mut aborted) = (BTreeMap::new(), BTreeSet::new());
    for n in (0..log.entries.len()).rev() {
        let Some(entry) = log.entries.get(n) else { continue };
        let batch = batches[entry.batch];
        let Some(producer) = batch.producer else { continue };
        if let RecordBody::EndTransactionMarker { committed, .. } =
            batches.record(entry.batch, 0).body
        {
            ends.insert(producer.id, committed);
        } else if batch.kind == BatchKind::Transactional && ends.get(&producer.id) == Some(&false) {
            aborted.insert(entry.base_offset);
        }
    }
    aborted
}

impl Round<'_> {
    /// `buildOffsetMap`.
    fn read_dirty(&mut self, log: &UnifiedLog, batches: &BatchTable) {
        let LogToClean { first_dirty, first_uncleanable, .. } = self.plan;
        let dirty = log.entries.from_index(log.entries.index_of(first_dirty));
        for entry in dirty.take_while(|entry| entry.base_offset < first_uncleanable) {
            for (n, record) in batches.records(entry.batch).enumerate() {
                let offset = entry.base_offset + n as i64;
                let counts = offset >= first_dirty && !self.aborted.contains(&entry.base_offset);
                if let Some(key) = key_of(record).filter(|_| counts) {
                    self.last.insert(key, offset);
                }
            }
            self.latest = Offset(entry.end().0 - 1);
        }
    }

    /// `cleanInto` for one batch: what is left of it.
    fn clean_batch(&mut self, entry: LogEntry, batches: &mut BatchTable) -> Option<LogEntry> {
        let header = batches[entry.batch];
        let horizon = header.compacted.and_then(|c| c.delete_horizon);
        // The marker of a transaction of which nothing is left may go as a tombstone does.
        let producer = header.producer.map_or(-1, |producer| producer.id);
        let is_idle_marker = match header.kind {
            BatchKind::Plain => false,
            BatchKind::Transactional => {
                self.met.insert(producer);
                false
            }
            BatchKind::Control => !self.met.remove(&producer),
        };
        let (mut kept, mut tombstones, mut before) = (Vec::new(), false, 0);
        for (n, record) in batches.records(entry.batch).enumerate() {
            let offset = entry.base_offset + n as i64;
            let is_there = record.body != RecordBody::Removed;
            let keep = is_there
                && match header.kind {
                    BatchKind::Control => {
                        !is_idle_marker || horizon.is_none_or(|horizon| self.now < horizon)
                    }
                    _ if self.aborted.contains(&entry.base_offset) => false,
                    _ => self.keeps(offset, record, horizon),
                };
            before += u32::from(is_there);
            tombstones |= keep && (record.is_tombstone || is_idle_marker);
            kept.push(keep);
        }
        let left = kept.iter().filter(|keep| **keep).count() as u32;
        if left == 0 && !self.keeps_empty(&entry, batches) {
            return None;
        }
        let new_horizon = (tombstones && horizon.is_none())
            .then(|| self.now.saturating_add(self.config.delete_retention.as_millis() as i64));
        if left == before && new_horizon.is_none() {
            return Some(entry);
        }
        let horizon = new_horizon.or(horizon).filter(|_| left > 0);
        let batch = batches.compact(entry.batch, horizon, |n, _| kept[n as usize]);
        let bytes = batches[batch].bytes;
        let max_timestamp = match batches.max_timestamp(batch) {
            // The header of an empty batch keeps what it said.
            -1 => entry.max_timestamp,
            newest => newest,
        };
        let max_timestamp = if entry.append_time { entry.max_timestamp } else { max_timestamp };
        Some(LogEntry { batch, bytes, max_timestamp, ..entry })
    }

    /// `Cleaner.shouldRetainRecord`.
    fn keeps(&self, offset: Offset, record: &Record, horizon: Option<i64>) -> bool {
        if offset > self.latest {
            return true;
        }
        let Some(key) = key_of(record) else { return false };
        let is_last = self.last.get(&key).is_none_or(|last| offset >= *last);
        let stays = !record.is_tombstone || horizon.is_none_or(|horizon| self.now < horizon);
        is_last && stays
    }

    /// A batch that stays without records (`RETAIN_EMPTY`).
    fn keeps_empty(&self, entry: &LogEntry, batches: &BatchTable) -> bool {
        let batch = &batches[entry.batch];
        self.producers.is_last_of_producer(batch, entry.base_offset)
            || entry.end() == self.plan.first_uncleanable
    }
}

/// `groupSegmentsBySize`: neighbours that fit into one segment become one.
fn regroup(log: &mut UnifiedLog, config: &TopicConfig, end: Offset, changes: &mut Vec<Cleaned>) {
    let cleaned = log.segments.iter().filter(|segment| segment.base_offset < end).count();
    let mut segments: Vec<LogSegment> = Vec::new();
    let mut size = 0;
    for segment in &log.segments[..cleaned] {
        match segments.last_mut() {
            Some(last) if size + segment.bytes <= u64::from(config.segment_bytes) => {
                changes.push(Cleaned::Merged(segment.base_offset));
                last.set_modified(segment.modified());
                size += segment.bytes;
            }
            _ => {
                segments.push(*segment);
                size = segment.bytes;
            }
        }
    }
    for n in 0..segments.len() {
        let next = segments.get(n + 1).or(log.segments.get(cleaned)).map(|next| next.base_offset);
        let (base, modified) = (segments[n].base_offset, segments[n].modified());
        let mut segment = segments[n].emptied(base);
        let mine = log.entries.from_index(log.entries.index_of(base));
        mine.take_while(|entry| next.is_none_or(|next| entry.base_offset < next))
            .for_each(|entry| segment.add(entry));
        segment.set_modified(modified);
        segments[n] = segment;
    }
    segments.extend_from_slice(&log.segments[cleaned..]);
    log.segments = segments;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::batch::ProducerState;
    use crate::base::config::CleanupPolicy;
    use crate::base::ids::{LeaderEpoch, MessageId, NodeId, ProducerEpoch, Sequence};
    use crate::base::time::{Duration, Time};

    /// A log of batches of one segment each but for the last two, which share the active one. A batch is written as
    /// its records: a letter is a key with a value, `-a` its tombstone.
    struct Rig {
        log: UnifiedLog,
        batches: BatchTable,
        producers: ProducerStateManager,
        config: TopicConfig,
        now: i64,
    }

    impl Rig {
        fn new(written: &[&str]) -> Self {
            let cleanup = CleanupPolicy { delete: false, compact: true };
            let delete_retention = Duration::from_millis(100);
            let config = TopicConfig { cleanup, delete_retention, ..TopicConfig::default() };
            let mut rig = Self {
                log: UnifiedLog::default(),
                batches: BatchTable::default(),
                producers: ProducerStateManager::default(),
                config,
                now: Time::ZERO.timestamp(),
            };
            for batch in written {
                rig.write(batch, None);
            }
            rig
        }

        fn write(&mut self, written: &str, producer: Option<ProducerState>) {
            let record = |word: &str| Record {
                body: RecordBody::Message(MessageId(0)),
                key: word.bytes().last().map_or(KeyId::NONE, |key| KeyId(key.into())),
                bytes: 10,
                timestamp: Time::ZERO.timestamp(),
                is_tombstone: word.starts_with('-'),
            };
            let records: Vec<_> = written.split(' ').map(record).collect();
            let batch = self.batches.add(NodeId::Producer(0), producer, &records);
            self.log.roll(self.now, Duration::ZERO);
            self.producers.update(&self.batches, batch, self.log.end());
            self.log.append_plain(batch, records.len() as u32, LeaderEpoch(0));
        }

        fn clean(&mut self) -> bool {
            let plan = LogToClean::of(&self.log, &self.config, self.now, self.log.end());
            if plan.is_cleanable(&self.config) {
                let Self { log, batches, producers, config, now } = self;
                clean(log, plan, config, producers, *now, batches);
            }
            plan.is_cleanable(&self.config)
        }

        /// Offsets of the records that are left.
        fn offsets(&self) -> Vec<i64> {
            let mut offsets = Vec::new();
            for entry in self.log.entries() {
                for (n, record) in self.batches.records(entry.batch).enumerate() {
                    if record.body != RecordBody::Removed {
                        offsets.push(entry.base_offset.0 + n as i64);
                    }
                }
            }
            offsets
        }
    }

    #[test]
    fn of_each_key_the_last_record_is_left_and_the_active_segment_is_not_touched() {
        let mut rig = Rig::new(&["a b", "a c", "b", "a a"]);
        assert!(rig.clean());
        // What is in the active segment does not count for those before it.
        assert_eq!(rig.offsets(), [2, 3, 4, 5, 6]);
        assert_eq!((rig.log.log_start(), rig.log.segments().len()), (Offset(0), 2));
        assert!(!rig.clean(), "nothing is dirty any more");
    }

    #[test]
    fn a_tombstone_goes_in_the_first_cleaning_after_its_horizon() {
        let mut rig = Rig::new(&["a b", "-a b", "c", "d"]);
        assert!(rig.clean());
        assert_eq!(rig.offsets(), [2, 3, 4, 5], "the tombstone is the last record of its key");
        rig.now += 99;
        rig.write("d", None);
        assert!(!rig.clean(), "a fifth of it is dirty, half has to be");
        rig.config.min_cleanable_dirty_ppm = 0;
        assert!(rig.clean());
        assert_eq!(rig.offsets(), [2, 3, 4, 5, 6]);
        rig.now += 1;
        rig.write("e", None);
        assert!(rig.clean());
        assert_eq!(rig.offsets(), [3, 4, 6, 7]);
    }

    #[test]
    fn the_last_batch_of_a_producer_stays_without_records() {
        let base_sequence = Sequence(0);
        let producer = Some(ProducerState { id: 1, epoch: ProducerEpoch(0), base_sequence });
        let mut rig = Rig::new(&[]);
        rig.write("a", producer);
        for batch in ["a", "a", "b"] {
            rig.write(batch, None);
        }
        assert!(rig.clean());
        assert_eq!(rig.offsets(), [2, 3]);
        let bases: Vec<_> = rig.log.entries().map(|entry| entry.base_offset.0).collect();
        assert_eq!(bases, [0, 2, 3], "the batch at 0 is empty, that at 1 is gone");
    }

    #[test]
    fn the_compaction_lags_keep_young_records_and_force_old_ones() {
        let mut rig = Rig::new(&["a", "a", "b"]);
        rig.config.min_compaction_lag = Duration::from_millis(10);
        assert!(!rig.clean());
        rig.now += 10;
        rig.config.min_cleanable_dirty_ppm = 1_000_000;
        assert!(!rig.clean(), "it can never be more than wholly dirty");
        rig.config.max_compaction_lag = Duration::from_millis(9);
        assert!(rig.clean());
        assert_eq!(rig.offsets(), [1, 2]);
    }
}
