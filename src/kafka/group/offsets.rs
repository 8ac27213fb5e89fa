//! Committed offsets of groups (`OffsetMetadataManager`): who may commit, and what a commit leaves behind.
//!
//! Simplified: offsets carry no metadata string and no leader epoch.

use std::collections::BTreeMap;

use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{Generation, GroupId, MemberId, Offset, PartitionId};
use crate::base::time::Time;
use crate::event::GroupState;
use crate::kafka::api::PartitionOffset;
use crate::kafka::group::classic::{Caller, ClassicGroup};
use crate::kafka::group::kind::Group;

/// The committed offsets of the groups whose `__consumer_offsets` partitions this broker leads.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Offsets(BTreeMap<(GroupId, PartitionId), Committed>);

/// One committed offset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Committed {
    /// The next offset to read.
    pub(super) offset: Offset,
    /// When it was committed, in milliseconds since 1970.
    pub(super) at: i64,
}

impl Offsets {
    /// The next offset `group` reads of `partition`; [`Offset::NONE`] without a commit.
    pub(super) fn get(&self, group: GroupId, partition: PartitionId) -> Offset {
        self.0.get(&(group, partition)).map_or(Offset::NONE, |committed| committed.offset)
    }

    /// Takes over a commit that is stored. Kafka does not check it against the log: it may go back, or beyond the end.
    pub(super) fn set(&mut self, group: GroupId, partition: PartitionId, committed: Committed) {
        self.0.insert((group, partition), committed);
    }

    /// Forgets one commit.
    pub(super) fn remove(&mut self, group: GroupId, partition: PartitionId) {
        self.0.remove(&(group, partition));
    }

    /// The commits of `group`, by partition.
    pub(super) fn of(&self, group: GroupId) -> impl Iterator<Item = (PartitionId, Committed)> + '_ {
        let all = (group, PartitionId(0))..=(group, PartitionId(u16::MAX));
        self.0.range(all).map(|((_, partition), committed)| (*partition, *committed))
    }

    /// Forgets everything of `group`: another broker coordinates it.
    pub(super) fn forget(&mut self, group: GroupId) {
        self.0.retain(|(owner, _), _| *owner != group);
    }

    /// Adds the offsets to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        for (key, committed) in &self.0 {
            into.add((key, committed.offset, now.timestamp() - committed.at));
        }
    }
}

/// May `member` of `generation` commit? A client that manages its partitions itself has no member id and generation
/// -1; it may as long as the group has no members.
pub(super) fn validate_commit(
    group: Option<&Group>,
    (caller, generation): (Caller, Generation),
    offsets: &[PartitionOffset],
) -> Result<(), ErrorCode> {
    match group {
        Some(Group::Consumer(group)) => group.validate_commit(caller.member, generation.0, offsets),
        Some(Group::Classic(group)) => validate_classic_commit(group, caller, generation),
        // Without a group there is nobody the commit could disturb.
        None if generation < Generation(0) => Ok(()),
        // A share group commits no offsets (`ShareGroup.validateOffsetCommit`).
        Some(Group::Share(_)) | None => Err(ErrorCode::GroupIdNotFound),
    }
}

/// The same in a transaction: a producer that says nothing of a member may commit for any group, and a rebalance
/// that is not complete is no obstacle (`OffsetMetadataManager.validateTransactionalOffsetCommit`).
pub(super) fn validate_transactional_commit(
    group: Option<&Group>,
    (caller, generation): (Caller, Generation),
    offsets: &[PartitionOffset],
) -> Result<(), ErrorCode> {
    let nobody = Caller { member: MemberId::UNKNOWN, instance: None };
    let anonymous = generation < Generation(0) && caller == nobody;
    match group {
        Some(Group::Consumer(_)) if anonymous => Ok(()),
        Some(Group::Consumer(group)) => group.validate_commit(caller.member, generation.0, offsets),
        Some(Group::Classic(group)) => {
            if anonymous || (generation < Generation(0) && group.state == GroupState::Empty) {
                return Ok(());
            }
            group.validate(caller, generation)
        }
        // A share group commits no offsets.
        Some(Group::Share(_)) => Err(ErrorCode::GroupIdNotFound),
        None if generation < Generation(0) => Ok(()),
        None => Err(ErrorCode::IllegalGeneration),
    }
}

/// `ClassicGroup.validateOffsetCommit`.
fn validate_classic_commit(
    group: &ClassicGroup,
    caller: Caller,
    generation: Generation,
) -> Result<(), ErrorCode> {
    if generation < Generation(0) && group.state == GroupState::Empty {
        return Ok(());
    }
    let nobody = Caller { member: MemberId::UNKNOWN, instance: None };
    if generation < Generation(0) && caller == nobody {
        return Err(ErrorCode::UnknownMemberId);
    }
    group.validate(caller, generation)?;
    // The member knows the new generation but not yet its assignment. While a rebalance only begins, commits of the
    // old generation are welcome: members give up their partitions then.
    if group.state == GroupState::CompletingRebalance {
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}
