//! What administrators ask of a share group's coordinator (`GroupMetadataManager.alterShareGroupOffsets`,
//! `sharePartitionsEligibleForOffsetDeletion`, KIP-932): which partitions have share state. The state itself is with
//! the share coordinators. A group with members is left alone; other offsets of a group that nobody has heard of
//! make it one.
//!
//! Simplified: the share coordinators are asked right after, without the records in between that say that it is being
//! done (`initializingTopics`, `deletingTopics`).

use crate::base::error::ErrorCode;
use crate::base::ids::{GroupId, PartitionId, TopicId};
use crate::base::time::Time;
use crate::event::GroupState;
use crate::kafka::effects::Effects;
use crate::kafka::group::coordinator::{CoordinatorAppend, GroupCoordinator, Output};
use crate::kafka::group::kind::Group;
use crate::kafka::group::share::ShareGroup;

/// What an administrator asks of a share group's coordinator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ShareGroupCall {
    /// `alterShareGroupOffsets`: these partitions are to have share state.
    Initialize(Vec<PartitionId>),
    /// `deleteShareGroupOffsets`: the partitions of these topics are to have none.
    Uninitialize(Vec<TopicId>),
}

/// What the share coordinators are to be asked for then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareGroupAnswer {
    /// The epoch of new state: that of the group.
    pub state_epoch: i32,
    /// The partitions it is about.
    pub partitions: Vec<PartitionId>,
    /// Some of the topics have no share state that could be deleted.
    pub some_unknown: bool,
}

impl GroupCoordinator {
    /// Does what an administrator asks of the share group.
    ///
    /// # Errors
    /// `NOT_COORDINATOR`; `GROUP_ID_NOT_FOUND` for a group of another kind, and for deleting from none;
    /// `NON_EMPTY_GROUP`.
    pub fn administer_share(
        &mut self,
        now: Time,
        (id, call): (GroupId, &ShareGroupCall),
        fx: &mut Effects,
        appends: &mut Vec<CoordinatorAppend>,
    ) -> Result<ShareGroupAnswer, ErrorCode> {
        if !self.led.contains_key(&fx.names.group_partitions[id.index()]) {
            return Err(ErrorCode::NotCoordinator);
        }
        let mut group = match self.groups.get(&id) {
            Some(Group::Share(group)) => group.clone(),
            None if matches!(call, ShareGroupCall::Initialize(_)) => Box::new(ShareGroup::new(id)),
            _ => return Err(ErrorCode::GroupIdNotFound),
        };
        if group.state() != GroupState::Empty {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let before = group.clone();
        let mut some_unknown = false;
        let partitions = match call {
            ShareGroupCall::Initialize(partitions) => {
                group.initialize(partitions);
                partitions.clone()
            }
            ShareGroupCall::Uninitialize(topics) => {
                let mut all = Vec::new();
                for topic in topics {
                    let gone = group.uninitialize(&fx.names.topics[topic.index()].partitions);
                    some_unknown |= gone.is_empty();
                    all.extend(gone);
                }
                all
            }
        };
        let state_epoch = group.epoch();
        if group != before {
            if !self.groups.contains_key(&id) {
                group.say_state(fx);
            }
            self.groups.insert(id, Group::Share(group));
            let out = &mut Output { now, fx, appends };
            self.write_share_group(out, id);
        }
        Ok(ShareGroupAnswer { state_epoch, partitions, some_unknown })
    }
}
