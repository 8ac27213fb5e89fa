//! How far a partition is committed: `Partition.maybeIncrementLeaderHW` (with KIP-497's maximal ISR and KIP-966's
//! rule that the high watermark stands still below the effective min ISR) and `UnifiedLog.maybeUpdateHighWatermark`
//! on followers.

use crate::base::ids::Offset;

/// What the leader knows of one other replica when it computes the high watermark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplicaLine {
    /// The log end offset in its last fetch request, or -1 before any.
    pub log_end: Offset,
    /// In the ISR, or about to be: the leader asked for it and has no answer yet.
    pub in_maximal_isr: bool,
    /// Outside the ISR, but caught up and eligible: it will join soon, so the high watermark waits for it.
    pub about_to_join: bool,
}

/// `min(min.insync.replicas, replication factor)`: a minimum above the replication factor asks for all replicas.
pub fn effective_min_isr(min_insync_replicas: u32, replication_factor: usize) -> usize {
    (min_insync_replicas as usize).min(replication_factor)
}

/// The high watermark of a leader whose log ends at `log_end`: the smallest log end of the maximal ISR and of those
/// about to join. It never falls, and it stands still while the committed ISR is smaller than the effective minimum.
pub fn leader_high_watermark(
    current: Offset,
    log_end: Offset,
    isr_size: usize,
    effective_min_isr: usize,
    others: impl Iterator<Item = ReplicaLine>,
) -> Offset {
    if isr_size < effective_min_isr {
        return current;
    }
    let reached = others
        .filter(|replica| replica.in_maximal_isr || replica.about_to_join)
        .map(|replica| replica.log_end)
        .fold(log_end, Offset::min);
    current.max(reached)
}

/// The high watermark of a follower that was told its leader's. It may fall: a new leader can know less.
pub fn follower_high_watermark(leader: Offset, log_start: Offset, log_end: Offset) -> Offset {
    leader.max(log_start).min(log_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn isr(log_end: i64) -> ReplicaLine {
        ReplicaLine { log_end: Offset(log_end), in_maximal_isr: true, about_to_join: false }
    }

    fn outside(log_end: i64) -> ReplicaLine {
        ReplicaLine { in_maximal_isr: false, ..isr(log_end) }
    }

    fn joining(log_end: i64) -> ReplicaLine {
        ReplicaLine { about_to_join: true, ..outside(log_end) }
    }

    #[test]
    fn the_slowest_of_the_isr_decides() {
        for (why, isr_size, min_isr, others, expected) in [
            ("all have it", 3, 1, vec![isr(9), isr(9)], 9),
            ("one lags", 3, 1, vec![isr(9), isr(7)], 7),
            ("a lagging outsider does not count", 2, 1, vec![isr(9), outside(2)], 9),
            ("one about to join counts", 2, 1, vec![isr(9), joining(8)], 8),
            ("alone, allowed", 1, 1, vec![outside(2), outside(2)], 9),
            ("alone, below the minimum: frozen", 1, 2, vec![outside(2), outside(2)], 5),
            ("it never falls", 3, 1, vec![isr(9), isr(3)], 5),
            ("unknown after an election", 3, 1, vec![isr(-1), isr(9)], 5),
        ] {
            let got =
                leader_high_watermark(Offset(5), Offset(9), isr_size, min_isr, others.into_iter());
            assert_eq!(got, Offset(expected), "{why}");
        }
    }

    #[test]
    fn a_minimum_above_the_replication_factor_asks_for_all() {
        for (min, factor, expected) in [(1, 3, 1), (2, 3, 2), (2, 1, 1), (3, 2, 2)] {
            assert_eq!(effective_min_isr(min, factor), expected);
        }
    }

    #[test]
    fn a_follower_takes_the_leaders_word_within_its_own_log() {
        for (leader, start, end, expected) in [(7, 0, 9, 7), (12, 0, 9, 9), (1, 3, 9, 3)] {
            let got = follower_high_watermark(Offset(leader), Offset(start), Offset(end));
            assert_eq!(got, Offset(expected));
        }
    }
}
