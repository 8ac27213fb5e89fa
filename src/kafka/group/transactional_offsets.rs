//! Offsets that are committed in a transaction (`OffsetMetadataManager`, its `pendingTransactionalOffsets` and
//! `openTransactions`): they are kept beside the committed ones and count when the COMMIT marker of their producer is
//! replicated in the group's `__consumer_offsets` partition. Who asks for stable offsets meanwhile is told to come
//! again.
//!
//! A commit outside of the transaction that is stored later than the pending one wins over it.

use std::collections::BTreeMap;

use crate::base::batch::{BatchKind, ProducerState, Record, RecordBody};
use crate::base::config::Defect;
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{
    BatchHandle, Generation, GroupId, KeyId, MemberId, NodeId, PartitionId, ProducerEpoch, Sequence,
};
use crate::base::time::Time;
use crate::event::EventKind;
use crate::kafka::api::{Message, PartitionOffset};
use crate::kafka::effects::{Effects, Token};
use crate::kafka::group::classic::{Caller, ClassicGroup, Parked};
use crate::kafka::group::coordinator::{CoordinatorAppend, GroupCoordinator, Output};
use crate::kafka::group::kind::Group;
use crate::kafka::group::offsets::{Committed, validate_transactional_commit};
use crate::kafka::group::writes::After;

/// A `TxnOffsetCommit`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionalCommit {
    /// Who waits for the answer.
    pub token: Token,
    /// The group.
    pub group: GroupId,
    /// The member that read up to these offsets.
    pub member: MemberId,
    /// Its generation.
    pub generation: Generation,
    /// The producer of the transaction.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The offsets.
    pub offsets: Vec<PartitionOffset>,
}

/// An offset of an open transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct PendingOffset {
    committed: Committed,
    /// A later commit of the group counts instead.
    superseded: bool,
}

/// A marker in a `__consumer_offsets` partition that is not replicated yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct EndMarker {
    ticket: u32,
    partition: PartitionId,
    producer_id: i64,
    committed: bool,
}

/// The pending offsets of the groups whose `__consumer_offsets` partitions this broker leads.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct TransactionalOffsets {
    /// By group, producer id and partition.
    pending: BTreeMap<(GroupId, i64, PartitionId), PendingOffset>,
    markers: Vec<EndMarker>,
}

impl TransactionalOffsets {
    fn set(&mut self, key: (GroupId, i64, PartitionId), committed: Committed) {
        self.pending.insert(key, PendingOffset { committed, superseded: false });
    }

    /// The group committed an offset of `partition` outside of the transactions that have one.
    pub(super) fn supersede(&mut self, group: GroupId, partition: PartitionId) {
        for ((owner, _, p), pending) in &mut self.pending {
            pending.superseded |= (*owner, *p) == (group, partition);
        }
    }

    /// An open transaction has an offset of one of `partitions`.
    fn is_unstable(&self, group: GroupId, partitions: &[PartitionId]) -> bool {
        self.pending.keys().any(|(owner, _, p)| *owner == group && partitions.contains(p))
    }

    /// Forgets everything of `group`: another broker coordinates it.
    pub(super) fn forget(&mut self, group: GroupId) {
        self.pending.retain(|(owner, ..), _| *owner != group);
    }

    /// Adds the pending offsets to a fingerprint.
    pub(super) fn fingerprint(&self, into: &mut Fingerprint) {
        into.add(&self.pending);
        for marker in &self.markers {
            into.add((marker.partition, marker.producer_id, marker.committed));
        }
    }
}

impl GroupCoordinator {
    /// A commit in a transaction that its coordinator knows of: what to append, or nothing when it was answered.
    pub fn commit_in_transaction(
        &mut self,
        now: Time,
        commit: TransactionalCommit,
        fx: &mut Effects,
    ) -> Option<CoordinatorAppend> {
        let TransactionalCommit { token, group, member, generation, producer_id, epoch, offsets } =
            commit;
        let home = fx.names.group_partitions[group.index()];
        let caller = Caller { member, instance: None };
        let valid = if self.led.contains_key(&home) {
            let group = self.groups.get(&group);
            validate_transactional_commit(group, (caller, generation), &offsets)
        } else {
            Err(ErrorCode::NotCoordinator)
        };
        if let Err(error) = valid {
            fx.reply(token, Message::TxnOffsetCommitResponse { error });
            return None;
        }
        if offsets.is_empty() {
            fx.reply(token, Message::TxnOffsetCommitResponse { error: ErrorCode::None });
            return None;
        }
        self.groups.entry(group).or_insert_with(|| Group::Classic(ClassicGroup::new(group)));
        let record = |at: &PartitionOffset| Record {
            body: RecordBody::OffsetCommit { group, partition: at.partition, offset: at.offset },
            key: KeyId::NONE,
            bytes: 100,
            timestamp: now.timestamp(),
            is_tombstone: false,
        };
        let records: Vec<Record> = offsets.iter().map(record).collect();
        let producer = ProducerState { id: producer_id, epoch, base_sequence: Sequence(-1) };
        let (kind, origin) = (BatchKind::Transactional, NodeId::Broker(self.broker));
        let batch = fx.batches.add_of_kind(kind, origin, Some(producer), &records);
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        let mut appends = Vec::new();
        let out = &mut Output { now, fx, appends: &mut appends };
        let parked = Some(Parked::new(token));
        self.wait(out, group, ticket, After::TransactionalCommit { batch, parked });
        Some(CoordinatorAppend { partition: home, batch, ticket })
    }

    /// Offsets of a transaction are stored: they are pending from now on.
    pub(super) fn keep_pending(&mut self, batch: BatchHandle, fx: &mut Effects) {
        let producer_id = fx.batches[batch].producer.map_or(-1, |producer| producer.id);
        for n in 0..fx.batches[batch].count {
            let Record { body, timestamp: at, .. } = *fx.batches.record(batch, n);
            let RecordBody::OffsetCommit { group, partition, offset } = body else { continue };
            let key = (group, producer_id, partition);
            self.transactional.set(key, Committed { offset, at });
            fx.event(EventKind::OffsetPending { group, partition, offset, producer_id });
        }
    }

    /// A marker is about to be appended to a `__consumer_offsets` partition: the name for it.
    pub fn marker_appended(
        &mut self,
        partition: PartitionId,
        producer_id: i64,
        committed: bool,
    ) -> u32 {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.transactional.markers.push(EndMarker { ticket, partition, producer_id, committed });
        ticket
    }

    /// The append called `ticket` ended; true when it was that of a marker.
    pub(super) fn marker_ended(&mut self, ticket: u32, written: bool, fx: &mut Effects) -> bool {
        let markers = &mut self.transactional.markers;
        let Some(at) = markers.iter().position(|marker| marker.ticket == ticket) else {
            return false;
        };
        let EndMarker { partition, producer_id, committed, .. } = markers.remove(at);
        if written {
            let committed = committed || fx.defect == Defect::AbortedOffsetsCount;
            self.end_transaction(partition, producer_id, committed, fx);
        }
        true
    }

    /// A transaction ended in the groups of `home`: its offsets count, or are dropped.
    pub(super) fn end_transaction(
        &mut self,
        home: PartitionId,
        producer_id: i64,
        committed: bool,
        fx: &mut Effects,
    ) {
        let mut ended = Vec::new();
        self.transactional.pending.retain(|(group, owner, partition), pending| {
            let here = fx.names.group_partitions[group.index()] == home;
            let goes = here && *owner == producer_id;
            if goes {
                ended.push((*group, *partition, *pending));
            }
            !goes
        });
        let mut dropped: Vec<GroupId> = Vec::new();
        for (group, partition, pending) in ended {
            let PendingOffset { committed: Committed { offset, at }, superseded } = pending;
            if committed && !superseded {
                self.offsets.set(group, partition, Committed { offset, at });
                fx.event(EventKind::OffsetCommitted { group, partition, offset });
            } else if !committed && !dropped.contains(&group) {
                dropped.push(group);
            }
        }
        for group in dropped {
            fx.event(EventKind::PendingDropped { group, producer_id });
        }
    }

    /// What the new coordinator of `group` found pending is said.
    pub(super) fn say_pending(&self, of: GroupId, fx: &mut Effects) {
        for ((group, producer_id, partition), pending) in &self.transactional.pending {
            if *group == of {
                let (partition, offset, producer_id) =
                    (*partition, pending.committed.offset, *producer_id);
                fx.event(EventKind::OffsetPending { group: of, partition, offset, producer_id });
            }
        }
    }

    /// `UNSTABLE_OFFSET_COMMIT` while a transaction that is open has an offset of one of `asked` (KIP-447).
    pub(super) fn stability(&self, group: GroupId, asked: &[PartitionId]) -> ErrorCode {
        if self.transactional.is_unstable(group, asked) {
            ErrorCode::UnstableOffsetCommit
        } else {
            ErrorCode::None
        }
    }

    /// Replays a batch of a `__consumer_offsets` partition as far as it is about transactions; true when it was.
    pub(super) fn replay_transactional(
        &mut self,
        home: PartitionId,
        batch: BatchHandle,
        fx: &mut Effects,
    ) -> bool {
        let header = fx.batches[batch];
        let Some(producer) = header.producer else { return false };
        let said = fx.list.len();
        match (header.kind, fx.batches.record(batch, 0).body) {
            (BatchKind::Control, RecordBody::EndTransactionMarker { committed, .. }) => {
                self.end_transaction(home, producer.id, committed, fx);
            }
            (BatchKind::Transactional, RecordBody::OffsetCommit { group, .. }) => {
                self.groups
                    .entry(group)
                    .or_insert_with(|| Group::Classic(ClassicGroup::new(group)));
                self.keep_pending(batch, fx);
            }
            _ => return false,
        }
        // What is loaded is said when everything is.
        fx.list.truncate(said);
        true
    }
}
