//! How committed offsets and groups end: after `offsets.retention.minutes` (`cleanupExpiredOffsets`,
//! `OffsetExpirationConditionImpl`), looked at every `offsets.retention.check.interval.ms`, and by administrators
//! (`deleteOffsets`, `deleteGroups`). What goes is a tombstone in `__consumer_offsets`; a group without offsets and
//! members goes with its last one. Administrators set offsets too, as a client without a member id would.
//!
//! Simplified: an administrator's call is answered when its record is written, not when it is replicated.

use crate::base::batch::{Record, RecordBody};
use crate::base::error::ErrorCode;
use crate::base::ids::{
    BatchHandle, Generation, GroupId, KeyId, MemberId, Offset, PartitionId, TopicId,
};
use crate::base::time::Time;
use crate::event::{EventKind, GroupState};
use crate::kafka::api::PartitionOffset;
use crate::kafka::effects::{Effects, TimerKind};
use crate::kafka::group::classic::{Caller, ClassicGroup};
use crate::kafka::group::coordinator::{CoordinatorAppend, GroupCoordinator, Output, groups_of};
use crate::kafka::group::kind::{Expiry, Group};
use crate::kafka::group::offsets::validate_commit;
use crate::kafka::group::writes::After;

/// Bytes of a tombstone in `__consumer_offsets`, about.
const TOMBSTONE_BYTES: u32 = 60;

/// What an administrator asks of a group's coordinator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupCall {
    /// `alterConsumerGroupOffsets`.
    AlterOffsets(Vec<PartitionOffset>),
    /// `deleteConsumerGroupOffsets`.
    DeleteOffsets(Vec<PartitionId>),
    /// `deleteConsumerGroups`.
    Delete,
}

impl GroupCoordinator {
    /// Does what an administrator asks of `group`.
    ///
    /// # Errors
    /// `NOT_COORDINATOR`; `UNKNOWN_MEMBER_ID` for other offsets of a group with members; `GROUP_ID_NOT_FOUND`,
    /// `NON_EMPTY_GROUP`, `GROUP_SUBSCRIBED_TO_TOPIC`.
    pub fn administer(
        &mut self,
        now: Time,
        (group, call): (GroupId, &GroupCall),
        fx: &mut Effects,
        appends: &mut Vec<CoordinatorAppend>,
    ) -> Result<(), ErrorCode> {
        if !self.led.contains_key(&fx.names.group_partitions[group.index()]) {
            return Err(ErrorCode::NotCoordinator);
        }
        let out = &mut Output { now, fx, appends };
        match call {
            GroupCall::AlterOffsets(offsets) => self.alter_offsets(out, group, offsets),
            GroupCall::DeleteOffsets(partitions) => self.delete_offsets(out, group, partitions),
            GroupCall::Delete => self.delete_group(out, group),
        }
    }

    fn alter_offsets(
        &mut self,
        out: &mut Output<'_>,
        group: GroupId,
        offsets: &[PartitionOffset],
    ) -> Result<(), ErrorCode> {
        let nobody = Caller { member: MemberId::UNKNOWN, instance: None };
        validate_commit(self.groups.get(&group), (nobody, Generation(-1)), offsets)?;
        let new = || Group::Classic(ClassicGroup::new(group));
        self.groups.entry(group).or_insert_with(new);
        let records: Vec<Record> = offsets
            .iter()
            .map(|PartitionOffset { partition, offset }| {
                let (partition, offset) = (*partition, *offset);
                record(RecordBody::OffsetCommit { group, partition, offset }, out.now)
            })
            .collect();
        self.append(out, group, &records, |batch| After::Commit { batch, parked: None });
        Ok(())
    }

    /// Also of a group with members, as long as none of them subscribes to the topic.
    fn delete_offsets(
        &mut self,
        out: &mut Output<'_>,
        id: GroupId,
        partitions: &[PartitionId],
    ) -> Result<(), ErrorCode> {
        // A share group has none (`ShareGroup.validateOffsetDelete`).
        let group = self.groups.get(&id).filter(|group| group.share().is_none());
        let group = group.ok_or(ErrorCode::GroupIdNotFound)?;
        let names = std::sync::Arc::clone(&out.fx.names);
        let topic = |p: &PartitionId| names.partitions[p.index()].topic;
        if partitions.iter().any(|partition| group.subscribes_to(topic(partition))) {
            return Err(ErrorCode::GroupSubscribedToTopic);
        }
        let committed = partitions.iter().filter(|p| self.offsets.get(id, **p) != Offset::NONE);
        let tombstones = committed.map(|partition| tombstone(id, *partition, out.now));
        let records: Vec<Record> = tombstones.collect();
        self.append_tombstones(out, id, &records);
        Ok(())
    }

    fn delete_group(&mut self, out: &mut Output<'_>, id: GroupId) -> Result<(), ErrorCode> {
        let group = self.groups.get(&id).ok_or(ErrorCode::GroupIdNotFound)?;
        match group.state() {
            GroupState::Empty => {}
            GroupState::Dead => return Err(ErrorCode::GroupIdNotFound),
            _ => return Err(ErrorCode::NonEmptyGroup),
        }
        let committed = self.offsets.of(id);
        let mut records: Vec<Record> =
            committed.map(|(partition, _)| tombstone(id, partition, out.now)).collect();
        records.push(record(RecordBody::GroupTombstone { group: id }, out.now));
        self.append_tombstones(out, id, &records);
        Ok(())
    }

    /// From when on this broker coordinates groups in `partition`, it looks for expired offsets there.
    pub(super) fn schedule_expiry(&self, now: Time, partition: PartitionId, fx: &mut Effects) {
        let next = now + self.config.brokers.offsets_retention_check_interval;
        fx.set_timer(TimerKind::OffsetsExpiry, partition.0, next);
    }

    /// `GroupCoordinatorShard.cleanupGroupMetadata`, of the groups in one partition of `__consumer_offsets`.
    pub(super) fn expire_offsets(&mut self, out: &mut Output<'_>, home: PartitionId) {
        if !self.led.contains_key(&home) {
            return;
        }
        for group in groups_of(home, out.fx) {
            // What is not replicated yet counts in Kafka already.
            if self.pending.iter().any(|pending| pending.group == group) {
                continue;
            }
            let records = self.expired(out, group);
            self.append_tombstones(out, group, &records);
        }
        self.schedule_expiry(out.now, home, out.fx);
    }

    /// Tombstones of the expired offsets of a group, and of itself when it has no others and no members.
    fn expired(&self, out: &Output<'_>, id: GroupId) -> Vec<Record> {
        let Some(group) = self.groups.get(&id) else { return Vec::new() };
        // A share group has no committed offsets and never expires (`ShareGroup.shouldExpire`).
        if matches!(group, Group::Share(_)) {
            return Vec::new();
        }
        let now = out.now.timestamp();
        let retention = self.config.brokers.offsets_retention.as_millis() as i64;
        let topic = |partition: PartitionId| -> TopicId {
            out.fx.names.partitions[partition.index()].topic
        };
        let mut records = Vec::new();
        let mut all = true;
        for (partition, committed) in self.offsets.of(id) {
            let since = match group.expiry() {
                Expiry::Never => None,
                Expiry::Since(since) => Some(since),
                Expiry::SinceCommit => Some(committed.at),
            };
            let since = since.filter(|_| !group.subscribes_to(topic(partition)));
            if since.is_some_and(|since| now - since >= retention) {
                records.push(tombstone(id, partition, out.now));
            } else {
                all = false;
            }
        }
        if all && group.state() == GroupState::Empty {
            records.push(record(RecordBody::GroupTombstone { group: id }, out.now));
        }
        records
    }

    fn append_tombstones(&mut self, out: &mut Output<'_>, group: GroupId, records: &[Record]) {
        if !records.is_empty() {
            self.append(out, group, records, |batch| After::Removal { batch });
        }
    }

    /// The tombstones of `batch` are replicated.
    pub(super) fn removed(&mut self, batch: BatchHandle, fx: &mut Effects) {
        for n in 0..fx.batches[batch].count {
            match fx.batches.record(batch, n).body {
                RecordBody::OffsetTombstone { group, partition } => {
                    self.offsets.remove(group, partition);
                    fx.event(EventKind::OffsetRemoved { group, partition });
                }
                RecordBody::GroupTombstone { group } => {
                    let gone = |found: &Group| found.state() == GroupState::Empty;
                    if self.groups.get(&group).is_some_and(gone) {
                        self.groups.remove(&group);
                        let (state, generation) = (GroupState::Dead, Generation(0));
                        fx.event(EventKind::GroupChanged { group, state, generation });
                    }
                }
                _ => {}
            }
        }
    }
}

fn tombstone(group: GroupId, partition: PartitionId, now: Time) -> Record {
    record(RecordBody::OffsetTombstone { group, partition }, now)
}

fn record(body: RecordBody, now: Time) -> Record {
    let is_tombstone = !matches!(body, RecordBody::OffsetCommit { .. });
    let bytes = if is_tombstone { TOMBSTONE_BYTES } else { 100 };
    Record { body, key: KeyId::NONE, bytes, timestamp: now.timestamp(), is_tombstone }
}
