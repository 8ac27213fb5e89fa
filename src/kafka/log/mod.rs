//! A partition's log on one replica's disk: `UnifiedLog` with its leader epoch cache, flush point and high watermark
//! checkpoint. Whole batches only. What lives in memory (high watermark, producer state, role) is in
//! [`Replica`](crate::kafka::replica::Replica), so the type says what a crash leaves.
//!
//! Invariants: entries are contiguous up to `end`; `log_start <= end`, `recovery_point <= end`. The log may start
//! inside a batch: deleted records stay in the segment file and are not read any more.
//!
//! Simplified: no retention, no compaction, no segment files; a chunk is sealed for cheap clones only. The epoch
//! cache and the high watermark checkpoint are files of their own in Kafka and are fsynced; here they survive a power
//! loss with the log.

pub mod epochs;
pub mod producer_state;
pub mod segments;
pub mod transaction_index;

use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BatchHandle, LeaderEpoch, Offset};
use crate::base::time::Time;
use crate::kafka::log::epochs::{EpochEnd, LeaderEpochCache};
use crate::kafka::log::segments::{LogEntry, Segments};

/// A log.
#[derive(Clone, Default, Debug)]
pub struct UnifiedLog {
    entries: Segments,
    epochs: LeaderEpochCache,
    log_start: Offset,
    end: Offset,
    /// Everything below it is on the platter, not just in the page cache.
    recovery_point: Offset,
    /// Bytes in the segment that is written to.
    active_bytes: u32,
    /// `log-start-offset-checkpoint`: the log start as it was written last.
    log_start_checkpoint: Offset,
    /// `replication-offset-checkpoint`: the high watermark as it was written last.
    high_watermark_checkpoint: Offset,
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

    /// Appends a batch of `count` records at the end and returns its base offset.
    pub fn append(
        &mut self,
        batch: BatchHandle,
        count: u32,
        leader_epoch: LeaderEpoch,
        at: Time,
    ) -> Offset {
        let base_offset = self.end;
        self.epochs.assign(leader_epoch, base_offset);
        self.entries.push(LogEntry { base_offset, batch, count, leader_epoch, at });
        self.end = base_offset + i64::from(count);
        base_offset
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
            self.end = last.base_offset;
            self.entries.pop();
        }
        if self.entries.is_empty() {
            self.end = self.end.min(offset);
        }
        self.log_start = self.log_start.min(self.end);
        self.active_bytes = 0;
        self.epochs.truncate_from_end(self.end);
        self.recovery_point = self.recovery_point.min(self.end);
        self.high_watermark_checkpoint = self.high_watermark_checkpoint.min(self.end);
        true
    }

    /// Removes everything and continues at `offset`: a follower whose log ends before its leader's begins.
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset) {
        self.entries.clear();
        self.epochs.clear();
        self.log_start = offset;
        self.end = offset;
        self.log_start_checkpoint = offset;
        self.active_bytes = 0;
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
        let first = self.entries.get(0).map_or(self.log_start, |entry| entry.base_offset);
        self.log_start = self.log_start_checkpoint.max(first).min(self.end);
    }

    /// Writes the checkpoint file of log starts.
    pub fn checkpoint_log_start(&mut self) {
        self.log_start_checkpoint = self.log_start;
    }

    /// Makes room for a batch of `bytes` in a segment of at most `limit` bytes. Returns whether a new one begins.
    pub fn roll_for(&mut self, bytes: u32, limit: u32) -> bool {
        let rolls = self.active_bytes > 0 && self.active_bytes.saturating_add(bytes) > limit;
        self.active_bytes = if rolls { bytes } else { self.active_bytes.saturating_add(bytes) };
        rolls
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
        into.add((self.log_start_checkpoint, self.active_bytes));
        for entry in self.epochs.entries() {
            into.add((entry.epoch, entry.start));
        }
        for entry in self.entries() {
            into.add((entry.base_offset, entry.batch, entry.leader_epoch));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches of two records each, with the leader epochs given.
    fn log(epochs: &[i32]) -> UnifiedLog {
        let mut log = UnifiedLog::default();
        for (n, epoch) in epochs.iter().enumerate() {
            log.append(BatchHandle(n as u32), 2, LeaderEpoch(*epoch), Time::ZERO);
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
        log.append(BatchHandle(2), 2, LeaderEpoch(0), Time::ZERO);
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
