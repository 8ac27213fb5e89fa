//! Calls of administrators about share groups (`KafkaAdminClient`, KIP-932): the group's coordinator says what may be
//! done, then the share coordinators of the partitions do it.
//!
//! Simplified: without a share coordinator the call times out before anything is done, and without taking the time
//! (Kafka's group coordinator has written its record by then, and tries again for a while).

use crate::base::error::{ErrorCode, Exception};
use crate::base::ids::{GroupId, Offset, PartitionId, TopicId};
use crate::event::{AdminCall, GroupState};
use crate::kafka::api::PartitionOffset;
use crate::kafka::broker::share::admin::ShareStateCall;
use crate::kafka::group::kind::Group;
use crate::kafka::group::share::ShareGroup;
use crate::kafka::group::share_admin::{ShareGroupAnswer, ShareGroupCall};
use crate::sim::command::{ResetTo, ShareCall};
use crate::sim::simulation::Simulation;

impl Simulation {
    /// A call about a share group.
    pub(super) fn share_call(&mut self, group: GroupId, call: &ShareCall) {
        let (word, done) = match call {
            ShareCall::Alter { offsets, some_unknown } => {
                let done = self.alter_share_offsets(group, offsets, *some_unknown);
                (AdminCall::AlterShareGroupOffsets, done)
            }
            ShareCall::Delete { topics, some_unknown } => {
                let done = self.delete_share_offsets(group, topics, *some_unknown);
                (AdminCall::DeleteShareGroupOffsets, done)
            }
            ShareCall::Reset { partitions, to } => {
                let plan = self.plan_share_reset(group, partitions, *to);
                let done =
                    plan.and_then(|offsets| self.alter_share_offsets(group, &offsets, false));
                (AdminCall::ResetShareOffsets, done)
            }
        };
        self.called(word, done);
    }

    /// What is known is done, also when the call throws because of what is not.
    fn alter_share_offsets(
        &mut self,
        group: GroupId,
        offsets: &[PartitionOffset],
        some_unknown: bool,
    ) -> Result<(), Exception> {
        let partitions: Vec<PartitionId> = offsets.iter().map(|o| o.partition).collect();
        self.share_coordinators(group, &partitions)?;
        let call = ShareGroupCall::Initialize(partitions);
        let epoch = self.ask_share_group(group, &call)?.state_epoch;
        for PartitionOffset { partition, offset: start } in offsets.iter().copied() {
            let call = ShareStateCall::Initialize { epoch, start };
            self.ask_share_coordinator(group, partition, call)?;
        }
        if some_unknown { Err(unknown()) } else { Ok(()) }
    }

    fn delete_share_offsets(
        &mut self,
        group: GroupId,
        topics: &[TopicId],
        some_unknown: bool,
    ) -> Result<(), Exception> {
        let partitions =
            topics.iter().flat_map(|t| self.names().topics[t.index()].partitions.clone());
        let partitions: Vec<PartitionId> = partitions.collect();
        self.share_coordinators(group, &partitions)?;
        let call = ShareGroupCall::Uninitialize(topics.to_vec());
        let answer = self.ask_share_group(group, &call)?;
        self.delete_share_state(group, &answer.partitions)?;
        if some_unknown || answer.some_unknown { Err(unknown()) } else { Ok(()) }
    }

    /// The state of the partitions of a share group is gone.
    pub(super) fn delete_share_state(
        &mut self,
        group: GroupId,
        partitions: &[PartitionId],
    ) -> Result<(), Exception> {
        for partition in partitions {
            self.ask_share_coordinator(group, *partition, ShareStateCall::Delete)?;
        }
        Ok(())
    }

    /// Every partition of a share group that has share state.
    pub(super) fn share_state_of(&self, group: GroupId) -> Vec<PartitionId> {
        let home = self.names().group_partitions[group.index()];
        let Some(coordinator) = self.acting_leader(home) else { return Vec::new() };
        let coordinator = self.world.brokers[coordinator.index() - 1].coordinator();
        let group = coordinator.group(group).and_then(Group::share);
        group.map_or(Vec::new(), |group| group.initialized().to_vec())
    }

    /// `kafka-share-groups.sh --reset-offsets` (`ShareGroupCommand`).
    fn plan_share_reset(
        &self,
        group: GroupId,
        partitions: &[PartitionId],
        to: ResetTo,
    ) -> Result<Vec<PartitionOffset>, Exception> {
        let home = self.names().group_partitions[group.index()];
        let coordinator = self.acting_leader(home).ok_or(Exception::Timeout)?;
        let coordinator = self.world.brokers[coordinator.index() - 1].coordinator();
        let state = coordinator.group(group).and_then(Group::share).map(ShareGroup::state);
        if state.is_some_and(|state| state != GroupState::Empty) {
            return Err(Exception::ShareGroupIsNotEmpty);
        }
        let offset = |partition: PartitionId| {
            let offset =
                self.reset_offset(partition, self.stored_share_start(group, partition), to)?;
            Ok(PartitionOffset { partition, offset })
        };
        partitions.iter().copied().map(offset).collect()
    }

    /// The start offset that is stored; [`Offset::NONE`] without one.
    fn stored_share_start(&self, group: GroupId, partition: PartitionId) -> Offset {
        let home = self.names().share_home(group, partition);
        let leader = home.and_then(|home| self.acting_leader(home));
        leader.map_or(Offset::NONE, |leader| {
            self.world.brokers[leader.index() - 1].stored_share_start(group, partition)
        })
    }

    /// Somebody coordinates the state of each of these.
    fn share_coordinators(
        &self,
        group: GroupId,
        partitions: &[PartitionId],
    ) -> Result<(), Exception> {
        let homes = partitions.iter().filter_map(|p| self.names().share_home(group, *p));
        let all = homes.map(|home| self.acting_leader(home)).all(|leader| leader.is_some());
        if all { Ok(()) } else { Err(Exception::Timeout) }
    }

    fn ask_share_group(
        &mut self,
        group: GroupId,
        call: &ShareGroupCall,
    ) -> Result<ShareGroupAnswer, Exception> {
        let home = self.names().group_partitions[group.index()];
        self.at_leader(home, |simulation, leader| {
            let machine = &mut simulation.world.brokers[leader.index() - 1];
            machine.administer_share_group(simulation.now, (group, call), &mut simulation.effects)
        })
    }

    /// A group that has no share consumer has no share partitions here, and nothing is stored of it.
    fn ask_share_coordinator(
        &mut self,
        group: GroupId,
        partition: PartitionId,
        call: ShareStateCall,
    ) -> Result<(), Exception> {
        let Some(home) = self.names().share_home(group, partition) else { return Ok(()) };
        let key = (group, partition);
        self.at_leader(home, |simulation, leader| {
            let machine = &mut simulation.world.brokers[leader.index() - 1];
            machine.administer_share_state(simulation.now, (key, call), &mut simulation.effects)
        })
    }
}

fn unknown() -> Exception {
    Exception::Wire(ErrorCode::UnknownTopicOrPartition)
}
