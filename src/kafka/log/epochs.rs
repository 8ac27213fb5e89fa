//! Which leader epoch starts at which offset: `LeaderEpochFileCache` (KIP-101, KIP-279), the index that finds where two
//! logs part. It is written to disk at each assignment, so it is part of the log.
//!
//! Invariant: epochs and start offsets both ascend strictly.

use crate::base::ids::{LeaderEpoch, Offset};

/// The start of one leader epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The first offset that was, or would have been, written under it.
    pub start: Offset,
}

/// A leader epoch and the offset where it ends: the start of the next epoch, or the end of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochEnd {
    /// The epoch, or [`LeaderEpoch::NONE`].
    pub epoch: LeaderEpoch,
    /// Its end, or [`Offset::NONE`].
    pub end: Offset,
}

impl EpochEnd {
    /// Kafka's `UNDEFINED_EPOCH` with `UNDEFINED_EPOCH_OFFSET`.
    pub const UNDEFINED: Self = Self { epoch: LeaderEpoch::NONE, end: Offset::NONE };
}

/// All leader epochs of a log.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LeaderEpochCache {
    entries: Vec<EpochEntry>,
}

impl LeaderEpochCache {
    /// Notes that `epoch` starts at `start`. An epoch that is not newer than the latest changes nothing. Entries that
    /// start at `start` or later give way: nothing was written under them.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) {
        if self.latest().is_some_and(|latest| epoch <= latest) {
            return;
        }
        while self.entries.last().is_some_and(|entry| entry.start >= start) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start });
    }

    /// The latest epoch, if there is any.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Every epoch, oldest first.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// Where `requested` ends in a log that ends at `log_end`: the largest known epoch that is not above `requested`
    /// with its end. Undefined when `requested` is, or when it is above every known epoch.
    pub fn end_offset_for(&self, requested: LeaderEpoch, log_end: Offset) -> EpochEnd {
        if requested == LeaderEpoch::NONE {
            return EpochEnd::UNDEFINED;
        }
        if self.latest() == Some(requested) {
            return EpochEnd { epoch: requested, end: log_end };
        }
        let higher = self.entries.partition_point(|entry| entry.epoch <= requested);
        let Some(next) = self.entries.get(higher) else {
            return EpochEnd::UNDEFINED;
        };
        // Below every known epoch: what it had is gone from the log, so it ends where the log's knowledge begins.
        let floor = higher.checked_sub(1).map_or(requested, |at| self.entries[at].epoch);
        EpochEnd { epoch: floor, end: next.start }
    }

    /// Forgets what starts at `end` or later.
    pub fn truncate_from_end(&mut self, end: Offset) {
        while self.entries.last().is_some_and(|entry| entry.start >= end) {
            self.entries.pop();
        }
    }

    /// Forgets what ended at `start` or before; what is left begins there (`truncateFromStart`).
    pub fn truncate_from_start(&mut self, start: Offset) {
        let later = self.entries.partition_point(|entry| entry.start <= start);
        if let Some(first) = later.checked_sub(1) {
            self.entries.drain(..first);
            self.entries[0].start = start;
        }
    }

    /// Forgets everything: the log restarts elsewhere.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> LeaderEpochCache {
        let mut cache = LeaderEpochCache::default();
        for (epoch, start) in entries {
            cache.assign(LeaderEpoch(*epoch), Offset(*start));
        }
        cache
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next_one() {
        let cache = cache(&[(0, 0), (2, 5), (4, 9)]);
        for (requested, epoch, end) in [
            (-1, -1, -1), // undefined stays undefined
            (0, 0, 5),    // known, closed
            (1, 0, 5),    // unknown here: the largest below it
            (2, 2, 9),    // known, closed
            (3, 2, 9),    // unknown here
            (4, 4, 12),   // the latest ends where the log ends
            (5, -1, -1),  // newer than anything known
        ] {
            assert_eq!(
                cache.end_offset_for(LeaderEpoch(requested), Offset(12)),
                EpochEnd { epoch: LeaderEpoch(epoch), end: Offset(end) },
                "epoch {requested}"
            );
        }
    }

    #[test]
    fn an_epoch_older_than_the_log_ends_where_the_log_begins() {
        let cache = cache(&[(3, 7)]);
        let expected = EpochEnd { epoch: LeaderEpoch(1), end: Offset(7) };
        assert_eq!(cache.end_offset_for(LeaderEpoch(1), Offset(12)), expected);
    }

    #[test]
    fn a_leader_epoch_without_records_gives_way_to_the_next_one() {
        assert_eq!(cache(&[(0, 0), (1, 4), (2, 4)]), cache(&[(0, 0), (2, 4)]));
    }

    #[test]
    fn truncation_forgets_the_epochs_beyond_it() {
        let mut cut = cache(&[(0, 0), (1, 4), (2, 6)]);
        cut.truncate_from_end(Offset(4));
        assert_eq!(cut, cache(&[(0, 0)]));
    }
}
