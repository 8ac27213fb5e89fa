//! Who is in sync: `ReplicaState` (caught-up time), `Partition.getOutOfSyncReplicas`, `Partition.needsExpandIsr`, and
//! the states of an ISR change that the controller has not answered yet (KIP-497).

use crate::base::broker_set::BrokerSet;
use crate::base::ids::{BrokerId, Offset};
use crate::base::time::{Duration, Time};
use crate::kafka::api::IsrChange;

/// What a leader knows of one follower, from its fetch requests (`Replica.ReplicaState`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FollowerState {
    /// Who.
    pub broker: BrokerId,
    /// The offset of its last fetch, hence its LEO; -1 before the first.
    pub log_end: Offset,
    /// The log start it named in that fetch.
    pub log_start: Offset,
    /// The leader's LEO when that fetch arrived.
    pub leader_end_at_last_fetch: Offset,
    /// The broker epoch the follower named in that fetch: a later registration is another process (KIP-903).
    pub broker_epoch: Option<i64>,
    /// When it arrived; `None` before the first.
    pub last_fetch: Option<Time>,
    /// The largest time t such that the follower has what the leader had at t; `None` when unknown.
    pub last_caught_up: Option<Time>,
}

impl FollowerState {
    /// The state at the start of a leadership: a member of the ISR is taken to be caught up now.
    pub fn at_election(broker: BrokerId, in_isr: bool, now: Time) -> Self {
        Self {
            broker,
            log_end: Offset::NONE,
            log_start: Offset::NONE,
            leader_end_at_last_fetch: Offset::NONE,
            broker_epoch: None,
            last_fetch: None,
            last_caught_up: in_isr.then_some(now),
        }
    }

    /// The same leader was elected again: what is known of the follower's log stays, its times start anew.
    pub fn at_reelection(&mut self, in_isr: bool, leader_end: Offset, now: Time) {
        let since = in_isr.then_some(now);
        self.leader_end_at_last_fetch = leader_end;
        self.last_fetch = since;
        self.last_caught_up = since;
    }

    /// A fetch for `offset` arrived while the leader's log ended at `leader_end`. Reading up to the end of *now*
    /// makes it caught up now; reading up to the end of the last fetch makes it caught up as of then.
    pub fn fetched(&mut self, offset: Offset, leader_end: Offset, now: Time) {
        if offset >= leader_end {
            self.last_caught_up = self.last_caught_up.max(Some(now));
        } else if offset >= self.leader_end_at_last_fetch {
            self.last_caught_up = self.last_caught_up.max(self.last_fetch);
        }
        self.log_end = offset;
        self.leader_end_at_last_fetch = self.leader_end_at_last_fetch.max(leader_end);
        self.last_fetch = Some(now);
    }

    /// Has everything, or had everything not longer than `lag_max` ago. So an idle partition never loses a member,
    /// however long it does not fetch.
    pub fn is_caught_up(&self, leader_end: Offset, now: Time, lag_max: Duration) -> bool {
        self.log_end == leader_end
            || self.last_caught_up.is_some_and(|since| now.since(since) <= lag_max)
    }

    /// May ask to join the ISR: has all that is committed, and reached the start of the leader's own epoch.
    pub fn is_in_sync(&self, high_watermark: Offset, epoch_start: Offset) -> bool {
        self.log_end >= high_watermark && self.log_end >= epoch_start
    }
}

/// The members of `isr` that are not caught up any more; the leader itself always is.
pub fn out_of_sync<'a>(
    isr: BrokerSet,
    followers: impl Iterator<Item = &'a FollowerState>,
    leader_end: Offset,
    now: Time,
    lag_max: Duration,
) -> BrokerSet {
    followers
        .filter(|f| isr.contains(f.broker) && !f.is_caught_up(leader_end, now, lag_max))
        .map(|f| f.broker)
        .collect()
}

/// The ISR as its leader sees it (`CommittedPartitionState`, `PendingExpandIsr`, `PendingShrinkIsr`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartitionState {
    /// What the controller said last.
    Committed {
        /// The ISR.
        isr: BrokerSet,
    },
    /// A replica is to join; the high watermark waits for it already.
    PendingExpandIsr {
        /// The ISR the controller said last.
        isr: BrokerSet,
        /// The change that was asked for.
        sent: IsrChange,
    },
    /// Replicas are to go; the high watermark still waits for them.
    PendingShrinkIsr {
        /// The ISR the controller said last.
        isr: BrokerSet,
        /// The change that was asked for.
        sent: IsrChange,
    },
}

impl PartitionState {
    /// The committed ISR: decides whether `acks=all` is accepted.
    pub fn isr(&self) -> BrokerSet {
        match self {
            Self::Committed { isr }
            | Self::PendingExpandIsr { isr, .. }
            | Self::PendingShrinkIsr { isr, .. } => *isr,
        }
    }

    /// Everyone who may be in the ISR, whatever the controller's answer will be: decides the high watermark.
    pub fn maximal_isr(&self) -> BrokerSet {
        match self {
            Self::Committed { isr } | Self::PendingShrinkIsr { isr, .. } => *isr,
            Self::PendingExpandIsr { isr, sent } => isr.union(sent.isr),
        }
    }

    /// The change the controller was asked for and has not answered.
    pub fn pending(&self) -> Option<IsrChange> {
        match self {
            Self::Committed { .. } => None,
            Self::PendingExpandIsr { sent, .. } | Self::PendingShrinkIsr { sent, .. } => {
                Some(*sent)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::broker_set::MAX_REPLICAS;
    use crate::base::ids::{LeaderEpoch, PartitionId};

    const LAG_MAX: Duration = Duration::from_millis(30_000);

    fn seconds(n: u64) -> Time {
        Time::ZERO + Duration::from_secs(n)
    }

    fn follower() -> FollowerState {
        FollowerState::at_election(BrokerId(2), true, seconds(0))
    }

    #[test]
    fn a_follower_that_always_reads_to_the_last_known_end_stays_caught_up() {
        let mut follower = follower();
        // Under steady load the leader is always ahead, yet each fetch reaches the end of the fetch before.
        for n in 0..100u64 {
            let offset = Offset(n as i64 * 10);
            follower.fetched(offset, offset + 10, seconds(n));
        }
        assert_eq!(follower.last_caught_up, Some(seconds(98)));
        assert!(follower.is_caught_up(Offset(1_000), seconds(99), LAG_MAX));
    }

    #[test]
    fn a_follower_that_falls_behind_is_out_of_sync_after_the_lag_time() {
        let mut follower = follower();
        follower.fetched(Offset(5), Offset(5), seconds(1));
        for (why, leader_end, at, expected) in [
            ("idle: it has everything, however long ago", 5, 3_600, true),
            ("a new record, within the lag time", 6, 31, true),
            ("a new record, after the lag time", 6, 32, false),
        ] {
            let got = follower.is_caught_up(Offset(leader_end), seconds(at), LAG_MAX);
            assert_eq!(got, expected, "{why}");
            let isr = [BrokerId(1), BrokerId(2)].into_iter().collect();
            let followers = [follower];
            let out = out_of_sync(isr, followers.iter(), Offset(leader_end), seconds(at), LAG_MAX);
            assert_eq!(out.is_empty(), expected, "{why}");
        }
    }

    #[test]
    fn joining_needs_the_high_watermark_and_the_start_of_the_epoch() {
        for (log_end, high_watermark, epoch_start, expected) in [
            (5, 5, 5, true),
            (4, 5, 0, false),
            (5, 3, 6, false),
            (6, 3, 6, true),
            (-1, 0, 0, false),
        ] {
            let follower = FollowerState { log_end: Offset(log_end), ..follower() };
            assert_eq!(follower.is_in_sync(Offset(high_watermark), Offset(epoch_start)), expected);
        }
    }

    #[test]
    fn a_pending_change_widens_the_maximal_isr_only() {
        let set = |ids: &[u8]| ids.iter().map(|n| BrokerId(*n)).collect::<BrokerSet>();
        let sent = |isr| IsrChange {
            partition: PartitionId(0),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
            isr,
            epochs: [-1; MAX_REPLICAS],
        };
        let expand = PartitionState::PendingExpandIsr { isr: set(&[1]), sent: sent(set(&[1, 2])) };
        assert_eq!((expand.isr(), expand.maximal_isr()), (set(&[1]), set(&[1, 2])));
        let shrink = PartitionState::PendingShrinkIsr { isr: set(&[1, 2]), sent: sent(set(&[1])) };
        assert_eq!((shrink.isr(), shrink.maximal_isr()), (set(&[1, 2]), set(&[1, 2])));
    }
}
