//! Who leads next, and what becomes of ISR and ELR: `PartitionChangeBuilder` with `PartitionRegistration.merge`
//! (KIP-966). A pure function from a registration and a wish to the registration after it.
//!
//! Rules: the leader stays while it may lead; else the first replica in assignment order that is in the ISR (in the
//! ELR when the ISR is empty) and alive; else the last known leader when ISR and ELR are both empty; else, where
//! unclean election is allowed, the first replica alive. Every change of leader, going offline included, raises the
//! leader epoch by 1; every change raises the partition epoch by 1; a change of the ISR alone leaves the leader
//! epoch, but for one: when a reassignment takes a replica away the epoch rises too, so that the replica is fenced off.
//!
//! A reassignment is complete as soon as every replica that is to stay is in the ISR
//! (`PartitionReassignmentReplicas.maybeCompleteReassignment`); that is looked at in every change.
//!
//! Simplified: no log directories, no leader recovery state.

use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::ids::BrokerId;
use crate::kafka::api::PartitionRegistration;

/// `PartitionChangeBuilder.Election`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Election {
    /// Go back to the first replica if it is in the ISR.
    Preferred,
    /// Keep the partition online from the ISR or ELR.
    Online,
    /// As `Online`, and when nothing else helps from any replica that is alive.
    Unclean,
}

/// A wish to change a partition, and what it may depend on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionChange {
    /// The ISR that is wanted.
    pub target_isr: BrokerSet,
    /// The replicas that are wanted, in assignment order, with those that a reassignment is to remove.
    pub target_replicas: ReplicaList,
    /// Those a reassignment is to add.
    pub target_adding: BrokerSet,
    /// Those a reassignment is to remove.
    pub target_removing: BrokerSet,
    /// A replica that came back from an unclean shutdown: not to be trusted with the ELR.
    pub unclean_shutdown: BrokerSet,
    /// The kind of election.
    pub election: Election,
    /// Brokers that may lead: registered, not fenced, not shutting down.
    pub acceptable: BrokerSet,
    /// The effective min ISR: below it, those who leave the ISR stay in the ELR.
    pub min_isr: usize,
    /// `eligible.leader.replicas.version` is 1. Without it the last member never leaves the ISR.
    pub elr_enabled: bool,
    /// A planted defect: the ISR is not asked for.
    pub ignore_isr: bool,
}

/// The result of an election.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Elected {
    leader: Option<BrokerId>,
    unclean: bool,
}

impl PartitionChange {
    /// The registration after the change, or `None` when nothing changes.
    pub fn apply(&self, before: &PartitionRegistration) -> Option<PartitionRegistration> {
        let mut after = *before;
        let mut target_isr = self.reassigned(&mut after);
        after.elr = self.eligible_leader_replicas(before, target_isr);

        let elected = self.elect(before, &after.replicas, (target_isr, after.elr));
        let loses_replicas = !before.replicas.set().is_subset(after.replicas.set());
        if elected.leader != before.leader || loses_replicas {
            after.leader = elected.leader;
            after.leader_epoch = before.leader_epoch + 1;
        }
        match elected.leader {
            Some(leader) if elected.leader != before.leader && after.elr.contains(leader) => {
                target_isr = BrokerSet::of(leader);
                after.elr = after.elr.without(leader);
            }
            // An unclean election makes the new leader the whole ISR: this is where data is lost.
            Some(leader) if elected.unclean => {
                target_isr = BrokerSet::of(leader);
                after.elr = BrokerSet::EMPTY;
            }
            _ => {}
        }
        if !target_isr.is_empty() || self.elr_enabled {
            after.isr = target_isr;
        }
        after.last_known_leader = self.last_known_leader(before, &after);
        if after == *before {
            return None;
        }
        after.partition_epoch = before.partition_epoch + 1;
        Some(after)
    }

    /// Sets the replicas after the change, a reassignment that is done completed, and returns the target ISR.
    fn reassigned(&self, after: &mut PartitionRegistration) -> BrokerSet {
        after.replicas = self.target_replicas;
        (after.adding, after.removing) = (self.target_adding, self.target_removing);
        if self.target_adding.is_empty() && self.target_removing.is_empty() {
            return self.target_isr;
        }
        let isr = self.target_isr.difference(self.target_removing);
        let replicas = self.target_replicas.without(self.target_removing);
        if isr.is_empty() || replicas.set().is_empty() || !replicas.set().is_subset(isr) {
            return self.target_isr;
        }
        after.replicas = replicas;
        (after.adding, after.removing) = (BrokerSet::EMPTY, BrokerSet::EMPTY);
        isr
    }

    /// Who may lead although outside the ISR. Empty while the ISR has the minimum; below it, everyone who was in the
    /// ISR or in the ELR keeps eligible, except after an unclean shutdown.
    fn eligible_leader_replicas(
        &self,
        before: &PartitionRegistration,
        target_isr: BrokerSet,
    ) -> BrokerSet {
        if !self.elr_enabled || target_isr.len() >= self.min_isr {
            return BrokerSet::EMPTY;
        }
        before.elr.union(before.isr).difference(target_isr).difference(self.unclean_shutdown)
    }

    fn elect(
        &self,
        before: &PartitionRegistration,
        replicas: &ReplicaList,
        (isr, elr): (BrokerSet, BrokerSet),
    ) -> Elected {
        let eligible = if isr.is_empty() { elr } else { isr };
        let alive = |broker: BrokerId| self.acceptable.contains(broker);
        let valid =
            |broker: BrokerId| alive(broker) && (eligible.contains(broker) || self.ignore_isr);
        let clean = |leader| Elected { leader: Some(leader), unclean: false };
        let replicas = replicas.as_slice();

        if self.election == Election::Preferred && valid(replicas[0]) {
            return clean(replicas[0]);
        }
        if let Some(leader) = before.leader.filter(|leader| valid(*leader)) {
            return clean(leader);
        }
        if let Some(leader) = replicas.iter().copied().find(|replica| valid(*replica)) {
            return clean(leader);
        }
        let last_known = before.last_known_leader.filter(|leader| {
            self.elr_enabled && isr.is_empty() && elr.is_empty() && alive(*leader)
        });
        if last_known.is_some() {
            return Elected { leader: last_known, unclean: true };
        }
        if self.election == Election::Unclean {
            let leader = replicas.iter().copied().find(|replica| alive(*replica));
            return Elected { leader, unclean: leader.is_some() };
        }
        Elected { leader: None, unclean: false }
    }

    /// The leader at the moment the ISR became empty, for as long as there is no leader.
    fn last_known_leader(
        &self,
        before: &PartitionRegistration,
        after: &PartitionRegistration,
    ) -> Option<BrokerId> {
        if after.leader.is_some() || !self.elr_enabled {
            return None;
        }
        if after.isr.is_empty() && !before.isr.is_empty() {
            return before.leader.or(before.last_known_leader);
        }
        before.last_known_leader
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{LeaderEpoch, PartitionId};

    fn set(ids: &[u8]) -> BrokerSet {
        ids.iter().map(|n| BrokerId(*n)).collect()
    }

    fn list(ids: &[u8]) -> ReplicaList {
        ids.iter().map(|n| BrokerId(*n)).collect()
    }

    /// Replicas 1, 2, 3; leader epoch 5.
    fn partition(leader: u8, isr: &[u8], elr: &[u8]) -> PartitionRegistration {
        PartitionRegistration {
            partition: PartitionId(0),
            replicas: list(&[1, 2, 3]),
            adding: BrokerSet::EMPTY,
            removing: BrokerSet::EMPTY,
            leader: (leader > 0).then_some(BrokerId(leader)),
            leader_epoch: LeaderEpoch(5),
            partition_epoch: 9,
            isr: set(isr),
            elr: set(elr),
            last_known_leader: None,
        }
    }

    fn change(target_isr: &[u8], acceptable: &[u8]) -> PartitionChange {
        PartitionChange {
            target_isr: set(target_isr),
            target_replicas: list(&[1, 2, 3]),
            target_adding: BrokerSet::EMPTY,
            target_removing: BrokerSet::EMPTY,
            unclean_shutdown: BrokerSet::EMPTY,
            election: Election::Online,
            acceptable: set(acceptable),
            min_isr: 1,
            elr_enabled: true,
            ignore_isr: false,
        }
    }

    /// Leader (0: none), leader epoch, ISR, ELR after the change.
    type Outcome = Option<(u8, i32, &'static [u8], &'static [u8])>;

    fn check(why: &str, before: PartitionRegistration, change: PartitionChange, expected: Outcome) {
        let got = change.apply(&before).map(|after| {
            assert_eq!(after.partition_epoch, 10, "{why}");
            (after.leader.map_or(0, |b| b.0), after.leader_epoch.0, after.isr, after.elr)
        });
        let expected = expected.map(|(l, epoch, isr, elr)| (l, epoch, set(isr), set(elr)));
        assert_eq!(got, expected, "{why}");
    }

    #[test]
    fn clean_elections_take_the_first_live_member_in_assignment_order() {
        let full = partition(1, &[1, 2, 3], &[]);
        let min2 = |change| PartitionChange { min_isr: 2, ..change };
        check("nothing to do", full, change(&[1, 2, 3], &[1, 2, 3]), None);
        check("the leader died", full, change(&[2, 3], &[2, 3]), Some((2, 6, &[2, 3], &[])));
        check("a follower died", full, change(&[1, 3], &[1, 3]), Some((1, 5, &[1, 3], &[])));
        check("the first live one", full, change(&[2, 3], &[3]), Some((3, 6, &[2, 3], &[])));
        check(
            "below the minimum who leaves stays eligible",
            partition(1, &[1, 2], &[]),
            min2(change(&[1], &[1])),
            Some((1, 5, &[1], &[2])),
        );
        check(
            "the last one died",
            partition(1, &[1], &[]),
            change(&[], &[]),
            Some((0, 6, &[], &[1])),
        );
        check(
            "it comes back clean",
            partition(0, &[], &[1]),
            change(&[], &[1, 2]),
            Some((1, 6, &[1], &[])),
        );
        check("others come back", partition(0, &[], &[1]), change(&[], &[2, 3]), None);
        check(
            "the ISR is back at the minimum",
            partition(1, &[1], &[2]),
            min2(change(&[1, 3], &[1, 3])),
            Some((1, 5, &[1, 3], &[])),
        );
    }

    #[test]
    fn preferred_election_needs_the_isr() {
        let preferred = |change| PartitionChange { election: Election::Preferred, ..change };
        let moved = partition(2, &[1, 2], &[]);
        check("in ISR", moved, preferred(change(&[1, 2], &[1, 2])), Some((1, 6, &[1, 2], &[])));
        check("not in ISR", partition(2, &[2], &[]), preferred(change(&[2], &[1, 2])), None);
    }

    #[test]
    fn unclean_election_comes_last_and_empties_isr_and_elr() {
        let unclean = |change| PartitionChange { election: Election::Unclean, ..change };
        check(
            "a member of the ELR is preferred",
            partition(0, &[], &[3]),
            unclean(change(&[], &[2, 3])),
            Some((3, 6, &[3], &[])),
        );
        check(
            "nobody eligible is alive",
            partition(0, &[], &[1]),
            unclean(change(&[], &[2, 3])),
            Some((2, 6, &[2], &[])),
        );
    }

    /// The recorded story of a sole ISR member that is killed and restarted: offline at epoch +1, out of the ELR at its
    /// unclean registration, elected again as the last known leader at epoch +2.
    #[test]
    fn an_unclean_restart_leads_again_only_as_last_known_leader() {
        let offline = change(&[], &[]).apply(&partition(1, &[1], &[])).expect("goes offline");
        assert_eq!(offline.last_known_leader, Some(BrokerId(1)));
        let register = PartitionChange { unclean_shutdown: set(&[1]), ..change(&[], &[2]) };
        let registered = register.apply(&offline).expect("leaves the ELR");
        assert_eq!((registered.leader, registered.elr), (None, BrokerSet::EMPTY));
        assert_eq!(registered.leader_epoch, LeaderEpoch(6));
        let back = change(&[], &[1, 2]).apply(&registered).expect("is elected");
        assert_eq!((back.leader, back.leader_epoch), (Some(BrokerId(1)), LeaderEpoch(7)));
        assert_eq!((back.isr, back.last_known_leader), (set(&[1]), None));
    }

    #[test]
    fn without_elr_the_last_member_stays_in_the_isr() {
        let without = |change| PartitionChange { elr_enabled: false, ..change };
        check("dies", partition(1, &[1], &[]), without(change(&[], &[])), Some((0, 6, &[1], &[])));
        check(
            "returns",
            partition(0, &[1], &[]),
            without(change(&[1], &[1, 2])),
            Some((1, 6, &[1], &[])),
        );
    }

    /// 1, 2, 3 is to become 4, 2: 4 is added, 1 and 3 are removed. Epoch +1 when the replicas go, not before.
    #[test]
    fn a_reassignment_is_done_when_those_who_stay_are_in_the_isr() {
        let moving = |target_isr: &[u8]| PartitionChange {
            target_replicas: list(&[4, 2, 1, 3]),
            target_adding: set(&[4]),
            target_removing: set(&[1, 3]),
            ..change(target_isr, &[1, 2, 3, 4])
        };
        let began = moving(&[1, 2, 3]).apply(&partition(1, &[1, 2, 3], &[])).expect("begins");
        assert_eq!((began.replicas, began.adding), (list(&[4, 2, 1, 3]), set(&[4])));
        assert_eq!((began.leader, began.leader_epoch), (Some(BrokerId(1)), LeaderEpoch(5)));
        let wish = |isr| PartitionChange { target_isr: isr, ..moving(&[]) };
        let done = wish(set(&[1, 2, 3, 4])).apply(&began).expect("4 has joined");
        assert_eq!((done.replicas, done.isr), (list(&[4, 2]), set(&[2, 4])));
        assert_eq!((done.adding, done.removing), (BrokerSet::EMPTY, BrokerSet::EMPTY));
        // The leader itself is removed: the first of the new order leads.
        assert_eq!((done.leader, done.leader_epoch), (Some(BrokerId(4)), LeaderEpoch(6)));
        let without_2 = wish(set(&[1, 3, 4])).apply(&began).expect("2 has left, 4 has joined");
        assert_eq!(without_2.replicas, began.replicas, "2 is missing: not done");
    }

    #[test]
    fn fewer_replicas_are_done_at_once_with_a_new_epoch_and_the_leader_they_had() {
        let fewer = PartitionChange {
            target_replicas: list(&[1, 2, 3]),
            target_removing: set(&[3]),
            ..change(&[1, 2, 3], &[1, 2, 3])
        };
        let done = fewer.apply(&partition(1, &[1, 2, 3], &[])).expect("changes");
        assert_eq!((done.replicas, done.isr), (list(&[1, 2]), set(&[1, 2])));
        assert_eq!((done.leader, done.leader_epoch), (Some(BrokerId(1)), LeaderEpoch(6)));
    }
}
