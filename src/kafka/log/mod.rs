//! A partition's log on one replica's disk: `UnifiedLog` with its leader epoch cache, flush point and high watermark
//! checkpoint. Whole batches only. What lives in memory (high watermark, producer state, role) is in
//! [`Replica`](crate::kafka::replica::Replica), so the type says what a crash leaves.
//!
//! Invariants: entries are in ascending order, with gaps only where the cleaner was; there is at least one segment,
//! and the first begins at or below `log_start`; `log_start <= end`, `recovery_point <= end`. The log may start inside
//! a batch: deleted records stay in their segment until it goes as a whole.
//!
//! `segment` is the unit of retention, `retention` says which segments go, `cleaner` is compaction.
//!
//! Simplified: the epoch cache and the high watermark checkpoint are files of their own in Kafka and are fsynced; here
//! they survive a power loss with the log.

pub mod cleaner;
pub mod entries;
pub mod epochs;
pub mod producer_state;
pub mod retention;
pub mod segment;
pub mod transaction_index;

use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BatchHandle, LeaderEpoch, Offset};
use crate::base::time::Duration;
use crate::kafka::log::entries::{Entries, LogEntry};
use crate::kafka::log::epochs::{EpochEnd, LeaderEpochCache};
use crate::kafka::log::segment::LogSegment;

/// A log.
#[derive(Clone, Debug)]
pub struct UnifiedLog {
    entries: Entries,
    /// By base offset; the last is the active one, which alone is written to.
    segments: Vec<LogSegment>,
    epochs: LeaderEpochCache,
    log_start: Offset,
    end: Offset,
    /// Everything below it is on the platter, not just in the page cache.
    recovery_point: Offset,
    /// `cleaner-offset-checkpoint`: the cleaner has compacted everything below it.
    cleaner_checkpoint: Option<Offset>,
    /// `log-start-offset-checkpoint`: the log start as it was written last.
    log_start_checkpoint: Offset,
    /// `replication-offset-checkpoint`: the high watermark as it was written last.
    high_watermark_checkpoint: Offset,
}

impl Default for UnifiedLog {
    fn default() -> Self {
        Self {
            entries: Entries::default(),
            segments: vec![LogSegment::new(Offset(0), 0, Duration::ZERO)],
            epochs: LeaderEpochCache::default(),
            log_start: Offset(0),
            end: Offset(0),
            recovery_point: Offset(0),
            cleaner_checkpoint: None,
            log_start_checkpoint: Offset(0),
            high_watermark_checkpoint: Offset(0),
        }
    }
}

impl UnifiedLog {
    /// The first offset that can be read.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The LEO: the offset the next record will get.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Everything below this offset survives a power loss (Kafka's recovery point).
    pub fn flushed(&self) -> Offset {
        self.recovery_point
    }

    /// The leader epochs of the log.
    pub fn epochs(&self) -> &LeaderEpochCache {
        &self.epochs
    }

    /// The largest epoch of this log that is not above `epoch`, and where it ends.
    pub fn end_offset_for(&self, epoch: LeaderEpoch) -> EpochEnd {
        self.epochs.end_offset_for(epoch, self.end)
    }

    /// The epoch of the last epoch entry, [`LeaderEpoch::NONE`] without one. A follower sends it with a fetch.
    pub fn latest_epoch(&self) -> LeaderEpoch {
        self.epochs.latest().unwrap_or(LeaderEpoch::NONE)
    }

    /// All entries that have a record to read, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &LogEntry> + '_ {
        self.read_from(self.log_start)
    }

    /// All batches with their base offsets, oldest first.
    pub fn batches(&self) -> impl Iterator<Item = (Offset, BatchHandle)> + '_ {
        self.entries().map(|entry| (entry.base_offset, entry.batch))
    }

    /// The entries from the one that holds `offset` on. Kafka reads whole batches: the first may begin below `offset`.
    pub fn read_from(&self, offset: Offset) -> impl Iterator<Item = &LogEntry> + '_ {
        self.entries.from_index(self.entries.index_of(offset))
    }

    /// Its segments by base offset; the last is the active one.
    pub fn segments(&self) -> &[LogSegment] {
        &self.segments
    }

    /// The segment that is written to.
    pub fn active_segment(&self) -> &LogSegment {
        self.segments.last().expect("a log has at least one segment")
    }

    /// Appends a batch. A leader's begins where the log ends; what a follower copies of a compacted log may begin
    /// later.
    ///
    /// # Panics
    /// When the batch begins before the log ends.
    pub fn append(&mut self, entry: LogEntry) {
        assert!(entry.base_offset >= self.end, "a batch is appended at the end of the log");
        self.epochs.assign(entry.leader_epoch, entry.base_offset);
        self.entries.push(entry);
        self.segments.last_mut().expect("a log has at least one segment").add(&entry);
        self.end = entry.end();
    }

    /// Begins a new segment at the end of the log (`UnifiedLog.roll`). Returns where, if the active one was not empty.
    pub fn roll(&mut self, now: i64, jitter: Duration) -> Option<Offset> {
        let segment = LogSegment::new(self.end, now, jitter);
        if self.active_segment().base_offset == self.end {
            *self.segments.last_mut().expect("a log has at least one segment") = segment;
            return None;
        }
        self.segments.push(segment);
        Some(self.end)
    }

    /// Notes where `epoch` starts when its leader takes over: at the end of its log.
    pub fn assign_epoch_start(&mut self, epoch: LeaderEpoch) {
        self.epochs.assign(epoch, self.end);
    }

    /// Removes everything from `offset` on. A batch that holds `offset` goes as a whole. Returns whether the log
    /// got shorter.
    pub fn truncate_to(&mut self, offset: Offset) -> bool {
        if offset >= self.end {
            // A leader without appends left an epoch that starts at the end; another leader never knew it.
            self.epochs.truncate_from_end(self.end);
            return false;
        }
        while let Some(last) = self.entries.last().filter(|entry| entry.end() > offset) {
            self.end = last.base_offset.min(offset);
            self.entries.pop();
        }
        // Above the last entry may be offsets that the cleaner left empty.
        self.end = self.end.min(offset);
        self.log_start = self.log_start.min(self.end);
        self.truncate_segments();
        self.cleaner_checkpoint = self.cleaner_checkpoint.map(|at| at.min(self.end));
        self.epochs.truncate_from_end(self.end);
        self.recovery_point = self.recovery_point.min(self.end);
        self.high_watermark_checkpoint = self.high_watermark_checkpoint.min(self.end);
        true
    }

    /// Segments that begin above the end go; the last that is left is filled anew.
    fn truncate_segments(&mut self) {
        let first = self.segments[0];
        self.segments.retain(|segment| segment.base_offset <= self.end);
        match self.segments.last_mut() {
            None => self.segments.push(first.emptied(self.end)),
            Some(last) => {
                *last = last.emptied(last.base_offset);
                let from = self.entries.index_of(last.base_offset);
                self.entries.from_index(from).for_each(|entry| last.add(entry));
            }
        }
    }

    /// Removes everything and continues at `offset`: a follower whose log ends before its leader's begins.
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset) {
        self.entries.clear();
        self.epochs.clear();
        self.log_start = offset;
        self.end = offset;
        self.log_start_checkpoint = offset;
        self.segments.truncate(1);
        self.segments[0] = self.segments[0].emptied(offset);
        self.cleaner_checkpoint = None;
        self.recovery_point = offset;
        self.high_watermark_checkpoint = offset;
    }

    /// Deletes what is below `offset` (`maybeIncrementLogStartOffset`). Returns whether anything was.
    pub fn increment_log_start(&mut self, offset: Offset) -> bool {
        let moves = offset > self.log_start;
        if moves {
            self.log_start = offset;
            self.epochs.truncate_from_start(offset);
        }
        moves
    }

    /// A process opens the log: it starts where the checkpoint file says, or where its first segment does.
    pub fn open(&mut self) {
        if self.log_start_checkpoint > self.end {
            // The tail was lost, and with it everything that was not deleted.
            return self.truncate_fully_and_start_at(self.log_start_checkpoint);
        }
        let first = self.segments[0].base_offset;
        self.log_start = self.log_start_checkpoint.max(first).min(self.end);
    }

    /// Writes the checkpoint file of log starts.
    pub fn checkpoint_log_start(&mut self) {
        self.log_start_checkpoint = self.log_start;
    }

    /// Forces everything to the platter. Returns whether there was anything to write.
    pub fn flush(&mut self) -> bool {
        let dirty = self.recovery_point < self.end;
        self.recovery_point = self.end;
        dirty
    }

    /// How many records a power loss would take (`flush.messages` counts them).
    pub fn unflushed(&self) -> u64 {
        (self.end - self.recovery_point) as u64
    }

    /// What a power loss leaves: the part below the flush point.
    pub fn lose_unflushed(&mut self) {
        self.truncate_to(self.recovery_point);
    }

    /// Cuts whole batches off the tail until at least `records` records are gone.
    pub fn cut_tail(&mut self, records: u32) {
        self.truncate_to(Offset((self.end.0 - i64::from(records)).max(self.log_start.0)));
    }

    /// The high watermark in the checkpoint file, within the log.
    pub fn high_watermark_checkpoint(&self) -> Offset {
        self.high_watermark_checkpoint.clamp(self.log_start, self.end)
    }

    /// Writes the checkpoint file.
    pub fn checkpoint_high_watermark(&mut self, offset: Offset) {
        self.high_watermark_checkpoint = offset;
    }

    /// Adds what decides the future of this log: positions, epochs and the batches in it.
    pub fn fingerprint(&self, into: &mut Fingerprint) {
        into.add((self.log_start, self.end, self.recovery_point, self.high_watermark_checkpoint));
        into.add((self.log_start_checkpoint, self.cleaner_checkpoint, &self.segments));
        for entry in self.epochs.entries() {
            into.add((entry.epoch, entry.start));
        }
        for entry in self.entries() {
            into.add((entry.base_offset, entry.batch, entry.leader_epoch));
        }
    }
}

#[cfg(test)]
impl UnifiedLog {
    /// Appends a batch at the end of which only this matters.
    pub fn append_plain(&mut self, batch: BatchHandle, count: u32, leader_epoch: LeaderEpoch) {
        let (at, base_offset) = (crate::base::time::Time::ZERO, self.end);
        let (max_timestamp, append_time) = (at.timestamp(), false);
        let bytes = 100 * count;
        self.append(LogEntry {
            base_offset,
            batch,
            count,
            bytes,
            leader_epoch,
            at,
            max_timestamp,
            append_time,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches of two records each, with the leader epochs given.
    fn log(epochs: &[i32]) -> UnifiedLog {
        let mut log = UnifiedLog::default();
        for (n, epoch) in epochs.iter().enumerate() {
            log.append_plain(BatchHandle(n as u32), 2, LeaderEpoch(*epoch));
        }
        log
    }

    #[test]
    fn truncation_takes_whole_batches_and_their_epochs() {
        for (to, end, latest_epoch) in [(6, 6, 1), (5, 4, 1), (4, 4, 1), (2, 2, 0), (1, 0, -1)] {
            let mut log = log(&[0, 1, 1]);
            assert_eq!(log.truncate_to(Offset(to)), to < 6, "to {to}");
            assert_eq!((log.end(), log.latest_epoch()), (Offset(end), LeaderEpoch(latest_epoch)));
        }
    }

    /// The interleaving: this replica is elected, notes its epoch at the end of its log, dies before any append;
    /// another leads. Without this it would be told of the same divergence for ever.
    #[test]
    fn truncation_at_the_end_forgets_an_epoch_without_records() {
        let mut log = log(&[0]);
        log.assign_epoch_start(LeaderEpoch(1));
        assert!(!log.truncate_to(Offset(2)));
        assert_eq!((log.end(), log.latest_epoch()), (Offset(2), LeaderEpoch(0)));
    }

    #[test]
    fn power_loss_keeps_what_was_flushed() {
        let mut log = log(&[0, 0]);
        assert!(log.flush());
        log.append_plain(BatchHandle(2), 2, LeaderEpoch(0));
        assert_eq!(log.unflushed(), 2);
        log.lose_unflushed();
        assert_eq!(log.end(), Offset(4));
    }

    #[test]
    fn a_log_may_start_inside_a_batch_and_its_start_is_known_after_a_crash_when_it_was_written_down()
     {
        let mut log = log(&[0, 0, 1]);
        assert!(log.increment_log_start(Offset(3)));
        assert!(!log.increment_log_start(Offset(1)), "it never falls");
        let bases: Vec<_> = log.entries().map(|entry| entry.base_offset.0).collect();
        assert_eq!(bases, [2, 4]);
        assert_eq!(log.epochs().entries()[0].start, Offset(3));
        let mut crashed = log.clone();
        crashed.open();
        assert_eq!(crashed.log_start(), Offset(0), "the segment file still has everything");
        log.checkpoint_log_start();
        log.open();
        assert_eq!(log.log_start(), Offset(3));
        assert!(log.truncate_to(Offset(1)));
        assert_eq!((log.log_start(), log.end()), (Offset(0), Offset(0)));
    }

    #[test]
    fn a_reader_gets_the_batch_that_holds_its_position() {
        let log = log(&[0, 0, 0]);
        let bases: Vec<_> = log.read_from(Offset(3)).map(|entry| entry.base_offset.0).collect();
        assert_eq!(bases, [2, 4]);
    }
}
