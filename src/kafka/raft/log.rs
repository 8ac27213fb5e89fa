//! The metadata log of one controller: `KafkaMetadataLog`. Its records and which epoch starts where are on disk.
//!
//! Every epoch begins with its leader's `LeaderChangeMessage`, so the epoch of a record follows from the records
//! before it.
//!
//! Simplified: one record is one batch; no snapshots, so nothing is ever removed from the front; every append is
//! flushed at once (`KafkaRaftClient` flushes before it counts or fetches on).

use crate::base::ids::{LeaderEpoch, Offset};
use crate::base::shared_log::SharedLog;
use crate::kafka::api::MetadataRecord;
use crate::kafka::log::epochs::LeaderEpochCache;

/// The epoch under which a formed cluster wrote its first records; controller 1 leads it.
pub const FORMED_EPOCH: i32 = 1;

/// Records and epochs.
#[derive(Clone, Debug)]
pub struct RaftLog {
    records: SharedLog<MetadataRecord>,
    epochs: LeaderEpochCache,
}

impl RaftLog {
    /// The log of a formed cluster.
    pub fn formed(records: impl Iterator<Item = MetadataRecord>) -> Self {
        let mut log = Self { records: SharedLog::default(), epochs: LeaderEpochCache::default() };
        log.epochs.assign(LeaderEpoch(FORMED_EPOCH), Offset(0));
        records.for_each(|record| log.append(record));
        log
    }

    /// The offset of the next record.
    pub fn end(&self) -> i64 {
        self.records.len() as i64
    }

    /// The epoch of the last record.
    pub fn last_epoch(&self) -> i32 {
        self.epochs.latest().map_or(0, |epoch| epoch.0)
    }

    /// Where the log ends, epoch first: the longer of two logs is the greater pair.
    pub fn end_and_epoch(&self) -> (i32, i64) {
        (self.last_epoch(), self.end())
    }

    /// The epoch of the record before `offset`.
    pub fn epoch_below(&self, offset: i64) -> LeaderEpoch {
        let entries = self.epochs.entries();
        let after = entries.partition_point(|entry| entry.start.0 < offset);
        after.checked_sub(1).map_or(LeaderEpoch(0), |at| entries[at].epoch)
    }

    /// The record at `offset`.
    ///
    /// # Panics
    /// When the log ends before.
    pub fn record(&self, offset: i64) -> MetadataRecord {
        self.records[offset as usize]
    }

    /// Writes a record at the end.
    pub fn append(&mut self, record: MetadataRecord) {
        if let MetadataRecord::LeaderChange { epoch, .. } = record {
            self.epochs.assign(LeaderEpoch(epoch), Offset(self.end()));
        }
        self.records.push(record);
    }

    /// Whether a log that ends at `offset` with a record of `last_epoch` is a prefix of this one; if not, an epoch of
    /// this log and where it ends, which is not behind the place where the two part
    /// (`ReplicatedLog.validateOffsetAndEpoch`).
    pub fn divergence(&self, offset: i64, last_epoch: i32) -> Option<(i32, i64)> {
        let known = self.epochs.end_offset_for(LeaderEpoch(last_epoch), Offset(self.end()));
        let prefix = known.epoch.0 == last_epoch && offset <= known.end.0;
        (!prefix).then_some((known.epoch.0, known.end.0))
    }

    /// Cuts what the leader, in whose log `epoch` ends at `end`, does not have, and says where the log ends now
    /// (`ReplicatedLog.truncateToEndOffset`).
    pub fn truncate_to_end_of(&mut self, epoch: i32, end: i64) -> i64 {
        let own = self.epochs.end_offset_for(LeaderEpoch(epoch), Offset(self.end()));
        let to = if own.epoch.0 == epoch { own.end.0.min(end) } else { own.end.0 };
        let to = to.clamp(0, self.end());
        self.records.truncate(to as usize);
        self.epochs.truncate_from_end(Offset(to));
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::BrokerId;

    /// A log in which each epoch has so many records, its leader's own included.
    fn log(epochs: &[(i32, usize)]) -> RaftLog {
        let broker = BrokerId(1);
        let other = MetadataRecord::FenceBroker { broker, fenced: true, shutting_down: false };
        let mut log = RaftLog::formed(std::iter::empty());
        for (epoch, count) in epochs {
            log.append(MetadataRecord::LeaderChange { leader: 1, epoch: *epoch });
            (1..*count).for_each(|_| log.append(other));
        }
        log
    }

    #[test]
    fn a_deposed_leader_cuts_what_it_alone_had() {
        let leader = log(&[(2, 3), (4, 2)]);
        for (follower, end) in [
            (log(&[(2, 5)]), 3),         // more of an epoch than the leader has
            (log(&[(2, 3), (3, 4)]), 3), // an epoch the leader never saw
            (log(&[(2, 3), (4, 1)]), 4), // a prefix
            (log(&[(2, 1)]), 1),         // a shorter one
        ] {
            let mut follower = follower;
            let mut rounds = 0;
            while let Some((epoch, at)) = leader.divergence(follower.end(), follower.last_epoch()) {
                follower.truncate_to_end_of(epoch, at);
                rounds += 1;
                assert!(rounds < 4, "every round cuts something");
            }
            assert_eq!(follower.end(), end);
            assert_eq!(follower.last_epoch(), leader.epoch_below(end).0);
        }
    }

    #[test]
    fn records_know_their_epoch() {
        let log = log(&[(2, 3), (4, 2)]);
        let epochs: Vec<i32> = (1..=5).map(|offset| log.epoch_below(offset).0).collect();
        assert_eq!(epochs, [2, 2, 2, 4, 4]);
        assert_eq!((log.end_and_epoch(), log.end()), ((4, 5), 5));
    }
}
