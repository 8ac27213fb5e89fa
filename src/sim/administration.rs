//! Calls of administrators: to the active controller, to a leader, to a coordinator. Without one the call times out,
//! here without taking the time.

use crate::base::error::{ErrorCode, Exception};
use crate::base::ids::{BrokerId, GroupId, NodeId, Offset, PartitionId};
use crate::event::{AdminCall, EventKind, GroupState};
use crate::kafka::api::PartitionOffset;
use crate::kafka::broker::Broker;
use crate::kafka::controller::Controller;
use crate::kafka::controller::admin::AdminRequest;
use crate::kafka::group::expiry::GroupCall;
use crate::kafka::group::kind::Group;
use crate::sim::command::ResetTo;
use crate::sim::node::NodeState;
use crate::sim::simulation::Simulation;

impl Simulation {
    /// To the controller.
    pub(super) fn administer(&mut self, request: &AdminRequest) {
        let call = request.call();
        let exception = if let Some(n) = self.active_controller().map(Controller::number) {
            let controller = &mut self.world.controllers[usize::from(n) - 1];
            let done = controller.administer(self.now, request, &mut self.effects);
            self.carry_out(NodeId::Controller(n), self.script_cause);
            done.err().map(Exception::Wire)
        } else {
            Some(Exception::Timeout)
        };
        self.event(EventKind::AdminCalled { call, exception });
    }

    /// `deleteRecords` goes to the leader.
    pub(super) fn delete_records(&mut self, partition: PartitionId, before: Offset) {
        let done = self.at_leader(partition, |simulation, leader| {
            let machine = &mut simulation.world.brokers[leader.index() - 1];
            machine.delete_records(simulation.now, partition, before, &mut simulation.effects)
        });
        self.called(AdminCall::DeleteRecords, done);
    }

    /// `kafka-transactions.sh abort --start-offset`: what the leader knows of the producer (`describeProducers`) goes
    /// back to it as a marker (`abortTransaction`). No coordinator hears of it.
    pub(super) fn abort_transaction(&mut self, partition: PartitionId, start: Option<Offset>) {
        let leader = self.acting_leader(partition).ok_or(Exception::Timeout);
        let open = leader.and_then(|leader| {
            let replica = self.world.brokers[leader.index() - 1].replica(partition);
            let mut open = replica.into_iter().flat_map(|r| r.producers.open_transactions());
            let found = open.find(|open| start.is_none_or(|start| start == open.start));
            found.ok_or(Exception::NoOpenTransaction)
        });
        let done = open.and_then(|open| {
            self.at_leader(partition, |simulation, leader| {
                let machine = &mut simulation.world.brokers[leader.index() - 1];
                machine.end_hanging(simulation.now, partition, open, &mut simulation.effects)
            })
        });
        self.called(AdminCall::AbortTransaction, done);
    }

    /// Calls about a group go to its coordinator.
    pub(super) fn administer_group(&mut self, group: GroupId, call: &GroupCall) {
        let word = match call {
            GroupCall::AlterOffsets(_) => AdminCall::AlterGroupOffsets,
            GroupCall::DeleteOffsets(_) => AdminCall::DeleteGroupOffsets,
            GroupCall::Delete => AdminCall::DeleteGroups,
        };
        let shared = match call {
            GroupCall::Delete => self.share_state_of(group),
            _ => Vec::new(),
        };
        let done = self.ask_coordinator(group, call);
        let done = done.and_then(|()| self.delete_share_state(group, &shared));
        self.called(word, done);
    }

    /// `kafka-consumer-groups.sh --reset-offsets --execute`: finds the offsets and commits them from outside the group.
    pub(super) fn reset_offsets(
        &mut self,
        group: GroupId,
        partitions: &[PartitionId],
        to: ResetTo,
    ) {
        let done = self
            .plan_reset(group, partitions, to)
            .and_then(|offsets| self.ask_coordinator(group, &GroupCall::AlterOffsets(offsets)));
        self.called(AdminCall::ResetOffsets, done);
    }

    /// `OffsetsUtils.resetOffsets`: what is out of range is moved to the nearest end of the log.
    fn plan_reset(
        &self,
        group: GroupId,
        partitions: &[PartitionId],
        to: ResetTo,
    ) -> Result<Vec<PartitionOffset>, Exception> {
        let home = self.names().group_partitions[group.index()];
        let coordinator = self.acting_leader(home).ok_or(Exception::Timeout)?;
        let coordinator = self.world.brokers[coordinator.index() - 1].coordinator();
        let state = coordinator.group(group).map(Group::state);
        if state.is_some_and(|state| !matches!(state, GroupState::Empty | GroupState::Dead)) {
            return Err(Exception::GroupIsActive);
        }
        let offset = |partition: PartitionId| {
            let committed = coordinator.committed_offset(group, partition);
            let offset = self.reset_offset(partition, committed, to)?;
            Ok(PartitionOffset { partition, offset })
        };
        partitions.iter().copied().map(offset).collect()
    }

    /// Where a group that has `current` of a partition is reset to.
    pub(super) fn reset_offset(
        &self,
        partition: PartitionId,
        current: Offset,
        to: ResetTo,
    ) -> Result<Offset, Exception> {
        let leader = self.acting_leader(partition).ok_or(Exception::Timeout)?;
        let leader: &Broker = &self.world.brokers[leader.index() - 1];
        let (start, end) = leader.bounds(partition).ok_or(Exception::Timeout)?;
        Ok(match to {
            ResetTo::Earliest => start,
            ResetTo::Latest => end,
            ResetTo::Offset(offset) => offset.clamp(start, end),
            ResetTo::Since(time) => {
                leader.offset_since(partition, time, &self.effects).unwrap_or(end)
            }
            ResetTo::Current if current == Offset::NONE => end,
            ResetTo::Current => current,
            ResetTo::ShiftBy(_) if current == Offset::NONE => {
                return Err(Exception::IllegalArgument);
            }
            ResetTo::ShiftBy(by) => (current + by).clamp(start, end),
        })
    }

    fn ask_coordinator(&mut self, group: GroupId, call: &GroupCall) -> Result<(), Exception> {
        let home = self.names().group_partitions[group.index()];
        self.at_leader(home, |simulation, leader| {
            let machine = &mut simulation.world.brokers[leader.index() - 1];
            machine.administer_group(simulation.now, (group, call), &mut simulation.effects)
        })
    }

    /// Does something at whoever leads `partition`.
    pub(super) fn at_leader<T>(
        &mut self,
        partition: PartitionId,
        act: impl FnOnce(&mut Self, BrokerId) -> Result<T, ErrorCode>,
    ) -> Result<T, Exception> {
        let leader = self.acting_leader(partition).ok_or(Exception::Timeout)?;
        let done = act(self, leader);
        self.carry_out(NodeId::Broker(leader), self.script_cause);
        done.map_err(Exception::Wire)
    }

    /// Of those that run and act as leader the one of the highest epoch.
    pub(super) fn acting_leader(&self, partition: PartitionId) -> Option<BrokerId> {
        let leads = |broker: &BrokerId| {
            let machine = &self.world.brokers[broker.index() - 1];
            let replica = machine.replica(partition).filter(|replica| replica.is_leader());
            let runs = self.node_state(NodeId::Broker(*broker)) == NodeState::Running;
            replica.filter(|_| runs && machine.serves()).map(|replica| replica.leader_epoch)
        };
        let leaders = self.names().broker_ids();
        leaders.filter_map(|broker| Some((leads(&broker)?, broker))).max().map(|(_, broker)| broker)
    }

    pub(super) fn called(&mut self, call: AdminCall, done: Result<(), Exception>) {
        self.event(EventKind::AdminCalled { call, exception: done.err() });
    }
}
