//! Which replica a consumer is to read from: `RackAwareReplicaSelector` (KIP-392).

use crate::base::broker_set::BrokerSet;
use crate::base::ids::{BrokerId, Offset};
use crate::base::time::Time;
use crate::kafka::isr::FollowerState;

/// A follower with everything the consumer wants next: in the ISR and with `offset` in its log, the end included
/// (`ReplicaManager.findPreferredReadReplica`). Others could fall behind for good, and the consumer with them.
pub fn can_serve(follower: &FollowerState, isr: BrokerSet, offset: Offset) -> bool {
    isr.contains(follower.broker) && follower.log_end >= offset && follower.log_start <= offset
}

/// The replica in the consumer's rack, of which `rack` has the live brokers: the leader where it is in it; else the
/// follower with the longest log, then the one caught up last, then the one with the highest id. `None` is the leader.
pub fn rack_aware<'a>(
    leader: BrokerId,
    followers: impl Iterator<Item = &'a FollowerState>,
    rack: BrokerSet,
) -> Option<BrokerId> {
    if rack.contains(leader) {
        return None;
    }
    let near = followers.filter(|follower| rack.contains(follower.broker));
    near.max_by_key(|f| (f.log_end, f.last_caught_up.unwrap_or(Time::ZERO), f.broker))
        .map(|follower| follower.broker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(n: u8, log_end: i64, caught_up: u64) -> FollowerState {
        let mut state = FollowerState::at_election(BrokerId(n), true, Time::ZERO);
        (state.log_end, state.log_start) = (Offset(log_end), Offset(2));
        state.last_caught_up = Some(Time(caught_up));
        state
    }

    fn brokers(numbers: &[u8]) -> BrokerSet {
        numbers.iter().map(|n| BrokerId(*n)).collect()
    }

    /// `ReplicaSelectorTest`, and the order of `ReplicaView.comparator`.
    #[test]
    fn the_leader_in_the_rack_or_its_most_caught_up_follower() {
        let followers =
            [follower(2, 5, 9), follower(3, 7, 4), follower(4, 7, 6), follower(5, 7, 6)];
        for (rack, expected) in [
            (&[][..], None),
            (&[9], None),
            (&[1, 3], None),
            (&[2], Some(2)),
            (&[2, 3], Some(3)),
            (&[2, 3, 4], Some(4)),
            (&[4, 5], Some(5)),
        ] {
            let chosen = rack_aware(BrokerId(1), followers.iter(), brokers(rack));
            assert_eq!(chosen, expected.map(BrokerId), "{rack:?}");
        }
    }

    #[test]
    fn a_follower_serves_offsets_of_its_log_while_it_is_in_the_isr() {
        let two = follower(2, 5, 0);
        for (isr, offset, expected) in [
            (&[1, 2][..], 1, false),
            (&[1, 2], 2, true),
            (&[1, 2], 5, true),
            (&[1, 2], 6, false),
            (&[1, 3], 4, false),
        ] {
            assert_eq!(can_serve(&two, brokers(isr), Offset(offset)), expected, "{isr:?} {offset}");
        }
        let unheard = FollowerState::at_election(BrokerId(2), true, Time::ZERO);
        assert!(!can_serve(&unheard, brokers(&[1, 2]), Offset(0)), "it has not fetched yet");
    }
}
