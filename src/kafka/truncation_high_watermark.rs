//! The first truncation rule (before KIP-101, releases up to 0.10): a replica that becomes a follower cuts its log to
//! its own high watermark, before it has spoken with its leader. The high watermark of a follower is one fetch behind
//! its leader's, so what was committed may go; and when the leader is longer nobody compares what lies below. Kept for
//! the museum: [`crate::kafka::truncation`] is the rule of 4.4.

use crate::base::ids::{LeaderEpoch, Offset};
use crate::kafka::log::UnifiedLog;
use crate::kafka::log::epochs::EpochEnd;
use crate::kafka::truncation::{Comparison, Truncation};

/// What a replica cuts when it becomes a follower (`ReplicaManager.makeFollowers` of 0.10).
pub fn on_becoming_follower(log: &UnifiedLog, high_watermark: Offset) -> Truncation {
    Truncation { to: high_watermark.min(log.end()), complete: true }
}

/// What the leader says to a fetch: only a position beyond its end is news, and the follower cuts there
/// (`ReplicaFetcherThread.handleOffsetOutOfRange` of 0.10, which asks for that end first).
pub fn compare(log: &UnifiedLog, fetch_offset: Offset) -> Comparison {
    if fetch_offset <= log.end() {
        return Comparison::Agrees;
    }
    Comparison::Diverges(EpochEnd { epoch: LeaderEpoch::NONE, end: log.end() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::BatchHandle;

    #[test]
    fn a_new_follower_forgets_what_it_does_not_know_to_be_committed() {
        let mut log = UnifiedLog::default();
        for _ in 0..3 {
            log.append_plain(BatchHandle(0), 1, LeaderEpoch(0));
        }
        // Its leader has committed all three; it has not heard of the third.
        let cut = on_becoming_follower(&log, Offset(2));
        assert_eq!(cut, Truncation { to: Offset(2), complete: true });
        assert_eq!(compare(&log, Offset(3)), Comparison::Agrees);
        assert_eq!(compare(&log, Offset(1)), Comparison::Agrees, "whatever is there");
        let end = EpochEnd { epoch: LeaderEpoch::NONE, end: Offset(3) };
        assert_eq!(compare(&log, Offset(5)), Comparison::Diverges(end));
    }
}
