//! One step of a member towards its target (`CurrentAssignmentBuilder`): first it gives up what it is not to have, then
//! its epoch follows the target's and it gets what nobody else has.

use crate::base::error::ErrorCode;
use crate::base::group_records::{CurrentAssignment, EpochPartition, MemberState};
use crate::base::ids::PartitionId;
use crate::base::names::Names;
use crate::kafka::group::consumer::{ConsumerGroup, ConsumerGroupMember};

/// What the step is taken from.
pub(super) struct Step<'a> {
    pub(super) group: &'a ConsumerGroup,
    pub(super) names: &'a Names,
    pub(super) member: &'a ConsumerGroupMember,
    /// The epoch of the target and what it gives the member.
    pub(super) target: (i32, &'a [PartitionId]),
    /// What the member subscribes to has just changed.
    pub(super) resubscribed: bool,
    /// What the member says it owns, where it says so.
    pub(super) owned: Option<&'a [PartitionId]>,
}

impl Step<'_> {
    /// Where the member is after this step.
    pub(super) fn take(&self) -> CurrentAssignment {
        let current = &self.member.current;
        match current.state {
            MemberState::Stable if current.epoch != self.target.0 => self.next(),
            MemberState::UnrevokedPartitions if self.owns_any(&current.pending_revocation) => {
                self.without_foreign_topics()
            }
            MemberState::Stable => self.without_foreign_topics(),
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => self.next(),
        }
    }

    /// `ownsRevokedPartitions`: as long as the member does not say what it owns, it may own all of it.
    fn owns_any(&self, partitions: &[EpochPartition]) -> bool {
        let pending = |owned: &PartitionId| partitions.iter().any(|(p, _)| p == owned);
        self.owned.is_none_or(|owned| owned.iter().any(pending))
    }

    fn subscribes(&self, partition: PartitionId) -> bool {
        let topic = self.names.partitions[partition.index()].topic;
        self.group.topics_of(&self.member.metadata).contains(&topic)
    }

    /// `updateCurrentAssignment`: what the member does not subscribe to any more is taken away at once.
    fn without_foreign_topics(&self) -> CurrentAssignment {
        let current = &self.member.current;
        let (kept, foreign): (Vec<_>, Vec<_>) =
            current.assigned.iter().copied().partition(|(p, _)| self.subscribes(*p));
        if !self.resubscribed || foreign.is_empty() {
            return current.clone();
        }
        let mut pending_revocation = current.pending_revocation.clone();
        pending_revocation.extend(foreign);
        pending_revocation.sort_unstable();
        let moved =
            CurrentAssignment { previous_epoch: current.epoch, assigned: kept, ..current.clone() };
        if self.owns_any(&pending_revocation) {
            let state = MemberState::UnrevokedPartitions;
            return CurrentAssignment { state, pending_revocation, ..moved };
        }
        moved
    }

    /// `computeNextAssignment`.
    fn next(&self) -> CurrentAssignment {
        let current = &self.member.current;
        let (epoch, target) = self.target;
        let wanted = |p: PartitionId| target.contains(&p) && self.subscribes(p);
        let (mut assigned, to_revoke): (Vec<_>, Vec<_>) =
            current.assigned.iter().copied().partition(|(p, _)| wanted(*p));
        if !to_revoke.is_empty() && self.owns_any(&to_revoke) {
            return CurrentAssignment {
                epoch: current.epoch,
                previous_epoch: current.epoch,
                state: MemberState::UnrevokedPartitions,
                assigned,
                pending_revocation: to_revoke,
            };
        }
        let mut unreleased = false;
        for partition in target.iter().copied().filter(|p| self.subscribes(*p)) {
            if assigned.iter().any(|(own, _)| *own == partition) {
                continue;
            }
            let own = current.pending_revocation.iter().any(|(p, _)| *p == partition);
            if own || self.group.holder(partition).is_none() {
                assigned.push((partition, epoch));
            } else {
                unreleased = true;
            }
        }
        assigned.sort_unstable();
        CurrentAssignment {
            epoch,
            previous_epoch: current.epoch,
            state: if unreleased { MemberState::UnreleasedPartitions } else { MemberState::Stable },
            assigned,
            pending_revocation: Vec::new(),
        }
    }
}

/// `throwIfConsumerGroupMemberEpochIsInvalid`: a member of the epoch before may have missed an answer, unless it owns
/// what that answer did not leave it.
pub(super) fn validate_epoch(
    member: &ConsumerGroupMember,
    epoch: i32,
    owned: Option<&[PartitionId]>,
) -> Result<(), ErrorCode> {
    let current = &member.current;
    let has = |p: &PartitionId| current.assigned.iter().any(|(own, _)| own == p);
    let missed =
        || epoch == current.previous_epoch && owned.is_some_and(|owned| owned.iter().all(has));
    if epoch == 0 || epoch == current.epoch || (epoch < current.epoch && missed()) {
        Ok(())
    } else {
        Err(ErrorCode::FencedMemberEpoch)
    }
}
