//! The second truncation rule (KIP-101, releases 0.11 to 1.1): a new follower asks its leader, once, where the first
//! epoch after its own last one starts, and cuts there. That keeps what was committed (KAFKA-1211), but the answer does
//! not say whether the leader ever had the follower's epoch: after two leader changes in a row the logs may part below
//! it (KAFKA-6361, mended by KIP-279). Kept for the museum: [`crate::kafka::truncation`] is the rule of 4.4.
//!
//! Simplified: the question travels with the first fetch; a leader that cannot place the epoch says nothing (Kafka: the
//! follower falls back to its high watermark).

use crate::base::ids::{LeaderEpoch, Offset};
use crate::kafka::log::UnifiedLog;
use crate::kafka::log::epochs::EpochEnd;
use crate::kafka::truncation::{Comparison, Truncation};

/// Where the leader says that `last_epoch` ends (`LeaderEpochFileCache.endOffsetFor` of 0.11): the start of the first
/// later epoch, its own end for its own epoch; [`Offset::NONE`] for an epoch it cannot place.
pub fn end_offset_for(log: &UnifiedLog, last_epoch: LeaderEpoch) -> Offset {
    let entries = log.epochs().entries();
    if entries.last().is_some_and(|last| last.epoch == last_epoch) {
        return log.end();
    }
    match entries.partition_point(|entry| entry.epoch <= last_epoch) {
        0 => Offset::NONE,
        at => entries.get(at).map_or(Offset::NONE, |next| next.start),
    }
}

/// The leader's answer to a follower whose log ends at `fetch_offset` under `last_epoch`; [`LeaderEpoch::NONE`] when it
/// has asked already (or has nothing to ask about).
pub fn compare(log: &UnifiedLog, fetch_offset: Offset, last_epoch: LeaderEpoch) -> Comparison {
    if last_epoch == LeaderEpoch::NONE {
        return Comparison::Agrees;
    }
    match end_offset_for(log, last_epoch) {
        end if end != Offset::NONE && end < fetch_offset => {
            Comparison::Diverges(EpochEnd { epoch: last_epoch, end })
        }
        _ => Comparison::Agrees,
    }
}

/// What the follower cuts (`ReplicaFetcherThread.maybeTruncate` of 0.11): everything from the end it was told on. It
/// does not ask again.
pub fn truncation(log: &UnifiedLog, leader: EpochEnd) -> Truncation {
    Truncation { to: leader.end.min(log.end()), complete: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::BatchHandle;
    use crate::kafka::truncation;

    fn log(epochs: &[i32]) -> UnifiedLog {
        let mut log = UnifiedLog::default();
        for epoch in epochs {
            log.append_plain(BatchHandle(0), 1, LeaderEpoch(*epoch));
        }
        log
    }

    #[test]
    fn the_answer_is_the_start_of_the_next_epoch() {
        let leader = log(&[0, 0, 2, 2]);
        for (epoch, end) in [(0, 2), (1, 2), (2, 4), (3, -1)] {
            assert_eq!(end_offset_for(&leader, LeaderEpoch(epoch)), Offset(end), "epoch {epoch}");
        }
        assert_eq!(end_offset_for(&log(&[2]), LeaderEpoch(1)), Offset::NONE);
        let told = EpochEnd { epoch: LeaderEpoch(0), end: Offset(2) };
        assert_eq!(truncation(&log(&[0, 0, 0]), told).to, Offset(2));
    }

    /// KAFKA-6361: the leader never had epoch 3, so what it says of it covers records of another lineage.
    #[test]
    fn two_leader_changes_in_a_row_are_not_seen() {
        let (leader, follower) = (log(&[0, 2, 2, 2, 4, 4]), log(&[0, 1, 3]));
        let old = compare(&leader, follower.end(), follower.latest_epoch());
        assert_eq!(old, Comparison::Agrees, "offsets 1 and 2 differ, and nobody notices");
        let new = truncation::compare(&leader, follower.end(), follower.latest_epoch());
        assert!(matches!(new, Comparison::Diverges(_)));
    }
}
