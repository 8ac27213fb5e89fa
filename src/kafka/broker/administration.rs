//! Calls of administrators that go to a broker: `deleteRecords` and `abortTransaction` to the leader, those about a
//! group to its coordinator.
//!
//! Simplified: a call reaches the right broker at once.

use crate::base::config::IsolationLevel;
use crate::base::error::ErrorCode;
use crate::base::ids::{GroupId, Offset, PartitionId};
use crate::base::time::Time;
use crate::kafka::api::TxnMarker;
use crate::kafka::broker::Broker;
use crate::kafka::broker::queries::first_since;
use crate::kafka::effects::Effects;
use crate::kafka::group::expiry::GroupCall;
use crate::kafka::log::producer_state::OpenTransaction;

impl Broker {
    /// Does what an administrator asks of a group that this broker coordinates.
    ///
    /// # Errors
    /// See [`GroupCoordinator::administer`](crate::kafka::group::coordinator::GroupCoordinator::administer).
    pub fn administer_group(
        &mut self,
        now: Time,
        (group, call): (GroupId, &GroupCall),
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        self.ram.last_step = now;
        let seen = fx.list.len();
        let mut appends = std::mem::take(&mut self.ram.appends);
        let done = self.ram.coordinator.administer(now, (group, call), fx, &mut appends);
        self.write_for_coordinator(now, appends, fx);
        self.read_answered(now, seen, fx);
        done
    }

    /// An administrator has a transaction ended that no coordinator will end (`AbortTransactionHandler`): an ABORT
    /// marker with the epochs that the leader itself knows.
    ///
    /// # Errors
    /// Why the marker is not written: `NOT_LEADER_OR_FOLLOWER`, `NOT_ENOUGH_REPLICAS` …
    pub fn end_hanging(
        &mut self,
        now: Time,
        partition: PartitionId,
        open: OpenTransaction,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        self.ram.last_step = now;
        let seen = fx.list.len();
        let OpenTransaction { producer_id, epoch, coordinator_epoch, .. } = open;
        let marker = TxnMarker {
            partition,
            producer_id,
            epoch,
            committed: false,
            coordinator_epoch: coordinator_epoch.max(0),
            version: 0,
        };
        let (_, outcome) = self.append_marker(now, marker, fx);
        self.read_answered(now, seen, fx);
        outcome.map(|_| ())
    }

    /// Log start and high watermark of a partition that this broker leads.
    pub fn bounds(&self, partition: PartitionId) -> Option<(Offset, Offset)> {
        let (replica, log) = self.parts_ref(partition).filter(|(r, _)| r.is_leader())?;
        Some((log.log_start(), replica.high_watermark))
    }

    /// The first record stamped then or later, in milliseconds since 1970, of a partition that this broker leads.
    pub fn offset_since(
        &self,
        partition: PartitionId,
        timestamp: i64,
        fx: &Effects,
    ) -> Option<Offset> {
        let (replica, log) = self.parts_ref(partition)?;
        let isolation = IsolationLevel::ReadUncommitted;
        let (offset, _) = first_since((replica, log), isolation, timestamp, fx);
        (offset != Offset::NONE).then_some(offset)
    }
}
