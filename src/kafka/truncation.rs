//! Where two logs part, and what a follower cuts: the leader's side in `Partition.readRecords` (KIP-595: truncation on
//! fetch) and the follower's side in `AbstractFetcherThread.getOffsetTruncationState` (KIP-101, KIP-279).
//!
//! The older rules stand beside it, for clusters of an older [`Era`](crate::base::era::Era).

use crate::base::error::ErrorCode;
use crate::base::ids::{LeaderEpoch, Offset};
use crate::kafka::log::UnifiedLog;
use crate::kafka::log::epochs::EpochEnd;

/// What the leader finds when it compares a fetch position with its own log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// The fetcher's log is a prefix of this one, as far as epochs tell.
    Agrees,
    /// The fetcher has records this log has not: it is told where this log's matching epoch ends.
    Diverges(EpochEnd),
    /// The position cannot be served.
    Error(ErrorCode),
}

/// Compares a fetcher's position, `fetch_offset` with the epoch of the record before it, with the leader's log.
/// [`LeaderEpoch::NONE`] as `last_fetched` means the fetcher has no records to compare.
pub fn compare(log: &UnifiedLog, fetch_offset: Offset, last_fetched: LeaderEpoch) -> Comparison {
    if last_fetched == LeaderEpoch::NONE {
        return Comparison::Agrees;
    }
    let own = log.end_offset_for(last_fetched);
    if own == EpochEnd::UNDEFINED || fetch_offset < log.log_start() {
        return Comparison::Error(ErrorCode::OffsetOutOfRange);
    }
    if own.epoch < last_fetched || own.end < fetch_offset {
        return Comparison::Diverges(own);
    }
    Comparison::Agrees
}

/// How far a follower cuts its log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Truncation {
    /// Everything from here on goes.
    pub to: Offset,
    /// False when the follower lacks the epoch that the leader named: the next fetch will tell more.
    pub complete: bool,
}

/// What a follower with `log` does when its leader said that its own matching epoch ends at `leader`.
pub fn truncation(log: &UnifiedLog, high_watermark: Offset, leader: EpochEnd) -> Truncation {
    if leader.end == Offset::NONE {
        return Truncation { to: high_watermark, complete: true };
    }
    let own = log.end_offset_for(leader.epoch);
    if own == EpochEnd::UNDEFINED {
        // The leader's epoch is below every epoch this log knows.
        return Truncation { to: leader.end.min(log.end()), complete: true };
    }
    if own.epoch != leader.epoch {
        return Truncation { to: own.end.min(log.end()), complete: false };
    }
    Truncation { to: own.end.min(leader.end).min(log.end()), complete: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::BatchHandle;

    /// One record a batch, with these leader epochs.
    fn log(epochs: &[i32]) -> UnifiedLog {
        let mut log = UnifiedLog::default();
        for epoch in epochs {
            log.append_plain(BatchHandle(0), 1, LeaderEpoch(*epoch));
        }
        log
    }

    fn end(epoch: i32, end: i64) -> EpochEnd {
        EpochEnd { epoch: LeaderEpoch(epoch), end: Offset(end) }
    }

    #[test]
    fn the_leader_names_the_end_of_the_matching_epoch() {
        let leader = log(&[0, 0, 0, 2, 2]);
        for (why, offset, last_fetched, expected) in [
            ("an empty follower", 0, -1, Comparison::Agrees),
            ("a prefix", 2, 0, Comparison::Agrees),
            ("up to date", 5, 2, Comparison::Agrees),
            ("a longer tail of epoch 0", 5, 0, Comparison::Diverges(end(0, 3))),
            ("an epoch the leader never saw", 5, 1, Comparison::Diverges(end(0, 3))),
            ("longer than the leader", 7, 2, Comparison::Diverges(end(2, 5))),
            ("an epoch of the future", 5, 3, Comparison::Error(ErrorCode::OffsetOutOfRange)),
        ] {
            let got = compare(&leader, Offset(offset), LeaderEpoch(last_fetched));
            assert_eq!(got, expected, "{why}");
        }
    }

    #[test]
    fn the_follower_cuts_to_what_both_have() {
        for (why, epochs, leader, to, complete) in [
            ("own tail is longer", &[0, 0, 0, 0][..], end(0, 3), 3, true),
            ("own tail has an unknown epoch", &[0, 0, 1, 1][..], end(0, 3), 2, true),
            ("the leader's epoch is longer", &[0, 0, 2][..], end(0, 9), 2, true),
            ("the named epoch is unknown here", &[0, 0, 3][..], end(2, 4), 2, false),
        ] {
            let got = truncation(&log(epochs), Offset(0), leader);
            assert_eq!(got, Truncation { to: Offset(to), complete }, "{why}");
        }
    }

    /// KIP-279's fast fail-over: two short leaderships in turn leave two tails that only epochs can tell apart.
    #[test]
    fn repeated_rounds_reach_the_common_prefix() {
        let leader = log(&[0, 0, 2, 2, 4]);
        let mut follower = log(&[0, 0, 1, 1, 3, 3]);
        let mut rounds = 0;
        while let Comparison::Diverges(reply) =
            compare(&leader, follower.end(), follower.latest_epoch())
        {
            let cut = truncation(&follower, Offset(0), reply);
            assert!(follower.truncate_to(cut.to), "each round makes progress");
            rounds += 1;
        }
        assert_eq!((follower.end(), follower.latest_epoch()), (Offset(2), LeaderEpoch(0)));
        assert!(rounds <= 2);
    }
}
