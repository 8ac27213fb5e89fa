//! Calls of administrators that go to a broker: `deleteRecords` to the leader, those about a group to its coordinator.
//!
//! Simplified: a call reaches the right broker at once.

use crate::base::config::IsolationLevel;
use crate::base::error::ErrorCode;
use crate::base::ids::{GroupId, Offset, PartitionId};
use crate::base::time::Time;
use crate::kafka::broker::Broker;
use crate::kafka::broker::queries::first_since;
use crate::kafka::effects::Effects;
use crate::kafka::group::expiry::GroupCall;

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
