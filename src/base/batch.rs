//! Every record batch that was ever built in a run, once. Logs, messages and events carry a [`BatchHandle`]; the
//! table travels with the trace, so a checker or a screen knows each record of each replica without a look into a
//! machine. A retry re-sends the same handle; a batch whose sequence was rewritten after an epoch bump is a new
//! entry over the same records.

use std::sync::Arc;

use crate::base::config::AssignorName;
use crate::base::group_records::{ConsumerGroupKey, ConsumerGroupRecord, ConsumerGroupRecordId};
use crate::base::ids::{
    BatchHandle, Generation, GroupId, InstanceId, KeyId, MemberId, MessageId, NodeId, Offset,
    PartitionId, ProducerEpoch, RackId, Sequence, TopicId, TransactionalId,
};
use crate::base::share::{ShareGroupSnapshot, ShareSnapshot};
use crate::base::shared_log::SharedLog;

/// What a record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordBody {
    /// A message of the scenario.
    Message(MessageId),
    /// Nothing: compaction removed the record, and its offset stays empty.
    Removed,
    /// A committed offset in `__consumer_offsets` (key: group, partition; value: offset).
    OffsetCommit {
        /// The committing group.
        group: GroupId,
        /// The partition the offset belongs to.
        partition: PartitionId,
        /// The next offset the group will read.
        offset: Offset,
    },
    /// The tombstone of a committed offset: it expired or was deleted.
    OffsetTombstone {
        /// The group that had committed.
        group: GroupId,
        /// The partition the offset belonged to.
        partition: PartitionId,
    },
    /// The tombstone of a group's metadata: the group is gone.
    GroupTombstone {
        /// Which group.
        group: GroupId,
    },
    /// Group metadata in `__consumer_offsets`, written when a generation is formed or the group empties.
    GroupMetadata {
        /// The group.
        group: GroupId,
        /// The generation that was formed.
        generation: i32,
        /// The members and their assignment, as [`BatchTable::group`] has them.
        snapshot: GroupSnapshotId,
    },
    /// A piece of the state of a group of the consumer protocol, in `__consumer_offsets`.
    ConsumerGroup {
        /// The group.
        group: GroupId,
        /// Which piece.
        key: ConsumerGroupKey,
        /// The key and the value, as [`BatchTable::consumer_group`] has them.
        record: ConsumerGroupRecordId,
    },
    /// The state of a transactional id in `__transaction_state`, written at each step of its transactions.
    TransactionState {
        /// Whose.
        id: TransactionalId,
        /// The value, as [`BatchTable::transaction`] has it.
        snapshot: TransactionSnapshotId,
    },
    /// The control record that ends a transaction in one partition (`EndTransactionMarker`). It is the only record of
    /// its batch and takes an offset.
    EndTransactionMarker {
        /// `COMMIT` or `ABORT`.
        committed: bool,
        /// The leader epoch of the coordinator's `__transaction_state` partition: older ones are fenced by it.
        coordinator_epoch: i32,
    },
    /// The state of a share partition in `__share_group_state`.
    ShareState {
        /// The share group.
        group: GroupId,
        /// The partition it reads.
        partition: PartitionId,
        /// The value, as [`BatchTable::share`] has it.
        snapshot: ShareSnapshotId,
    },
    /// The members and the assignment of a share group in `__consumer_offsets`.
    ShareGroup {
        /// The group.
        group: GroupId,
        /// The value, as [`BatchTable::share_group`] has it.
        snapshot: ShareGroupSnapshotId,
    },
    /// A record that a share group gave up (KIP-1191), in a dead-letter topic. Where it is from is in its headers.
    DeadLetter {
        /// The message.
        message: MessageId,
        /// False: only its headers are there, with no key and no value.
        copied: bool,
    },
}

/// A [`ShareGroupSnapshot`] in the table of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShareGroupSnapshotId(pub u32);

/// A [`ShareSnapshot`] in the table of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShareSnapshotId(pub u32);

/// A [`TransactionSnapshot`] in the table of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransactionSnapshotId(pub u32);

/// The value of a record in `__transaction_state` (`TransactionLogValue`): all that a new coordinator knows of a
/// transactional id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionSnapshot {
    /// Its producer id.
    pub producer_id: i64,
    /// The producer id before the last one; -1 for none.
    pub previous_producer_id: i64,
    /// The producer id that the next transaction will use when this one's epochs are used up; -1 for none.
    pub next_producer_id: i64,
    /// The producer epoch.
    pub epoch: ProducerEpoch,
    /// The epoch before the last bump of the client's own; -1 for none.
    pub last_epoch: ProducerEpoch,
    /// The client's `transaction.timeout.ms`.
    pub timeout_ms: u32,
    /// The state.
    pub state: TransactionState,
    /// Partitions of the transaction, those of `__consumer_offsets` included, ascending.
    pub partitions: Vec<PartitionId>,
    /// When the transaction began, in milliseconds since 1970; -1 outside of one.
    pub started: i64,
    /// When the state changed last, in milliseconds since 1970.
    pub updated: i64,
    /// The client's transaction version (KIP-890): 0, 1 or 2.
    pub client_version: u8,
}

/// The state of a transactional id (`TransactionState`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TransactionState {
    /// No transaction yet.
    Empty,
    /// A transaction has partitions.
    Ongoing,
    /// It is decided that it commits; markers are on their way.
    PrepareCommit,
    /// It is decided that it aborts.
    PrepareAbort,
    /// Every marker is written; committed.
    CompleteCommit,
    /// Every marker is written; aborted.
    CompleteAbort,
    /// The epoch was bumped to fence a producer; an abort follows.
    PrepareEpochFence,
    /// The id expired.
    Dead,
}

impl TransactionState {
    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::PrepareEpochFence => "PrepareEpochFence",
            Self::Dead => "Dead",
        }
    }
}

/// A [`GroupSnapshot`] in the table of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupSnapshotId(pub u32);

/// One thing that a member of a group says of itself (`ConsumerProtocolSubscription`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Subscribed {
    /// The generation it is in; -1 for none.
    Generation(Generation),
    /// Its `group.instance.id`; told to the leader.
    Instance(InstanceId),
    /// Its `client.rack` (KIP-881).
    Rack(RackId),
    /// It subscribes to this topic.
    Topic(TopicId),
    /// It owns this partition and keeps it for now (cooperative protocol, KIP-429).
    Owned(PartitionId),
    /// The sticky assignor's user data: since which generation it had what follows.
    HadSince(Generation),
    /// The sticky assignor's user data: this partition, in the assignor's order.
    Had(PartitionId),
}

/// The value of a group metadata record (`GroupMetadataValue`): all that a new coordinator knows of a group.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct GroupSnapshot {
    /// The assignor of the generation; none when the group emptied.
    pub protocol: Option<AssignorName>,
    /// The member that computes assignments.
    pub leader: Option<MemberId>,
    /// How many member ids the group has handed out. Kafka's ids are random and need no such count.
    pub ids_given: u16,
    /// Members in order of their ids; none when the group emptied.
    pub members: Vec<MemberSnapshot>,
}

/// A member within a [`GroupSnapshot`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberSnapshot {
    /// Its id.
    pub member: MemberId,
    /// Its `group.instance.id`, if it is static.
    pub instance: Option<InstanceId>,
    /// Its `session.timeout.ms`.
    pub session_timeout_ms: u32,
    /// Its rebalance timeout: the consumer's `max.poll.interval.ms`.
    pub rebalance_timeout_ms: u32,
    /// What it said of itself for the group's assignor.
    pub subscription: Vec<Subscribed>,
    /// The partitions it was given, in the assignor's order.
    pub assignment: Vec<PartitionId>,
}

/// One record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// What it says.
    pub body: RecordBody,
    /// Its key; [`KeyId::NONE`] for a null key.
    pub key: KeyId,
    /// Its size in bytes, key, value and record overhead, uncompressed.
    pub bytes: u32,
    /// When it was made, in milliseconds since 1970: `CreateTime`.
    pub timestamp: i64,
    /// Its value is null: in a compacted topic it deletes what its key had.
    pub is_tombstone: bool,
}

/// The producer id, epoch and first sequence of an idempotent batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerState {
    /// Kafka's producer id (PID).
    pub id: i64,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The sequence of the batch's first record.
    pub base_sequence: Sequence,
}

/// The attributes of a batch that say what kind it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum BatchKind {
    /// Data outside of transactions.
    #[default]
    Plain,
    /// Data of a transaction.
    Transactional,
    /// A control record: it ends a transaction. Applications never see it.
    Control,
}

/// One batch: a run of records with one header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Index of its first record in the table of records.
    pub first_record: u32,
    /// How many records it has, at least 1.
    pub count: u32,
    /// Size in bytes, header included.
    pub bytes: u32,
    /// Where it was built: a producer, or the broker for records of a coordinator.
    pub origin: NodeId,
    /// `None` for a batch without idempotence. The base sequence of a control batch is -1.
    pub producer: Option<ProducerState>,
    /// Data, data of a transaction, or the end of one.
    pub kind: BatchKind,
    /// What the log cleaner made it from; `None` for a batch as it was built.
    pub compacted: Option<Compacted>,
}

/// What the log cleaner notes about a batch it wrote again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Compacted {
    /// The batch as its origin built it.
    pub original: BatchHandle,
    /// `deleteHorizonMs` (KIP-534): from then on, in milliseconds since 1970, its tombstones may be removed.
    pub delete_horizon: Option<i64>,
}

/// All batches and records of a run, append-only.
#[derive(Clone, Default, Debug)]
pub struct BatchTable {
    batches: SharedLog<Batch>,
    records: SharedLog<Record>,
    groups: SharedLog<Arc<GroupSnapshot>>,
    consumer_groups: SharedLog<Arc<ConsumerGroupRecord>>,
    transactions: SharedLog<Arc<TransactionSnapshot>>,
    shares: SharedLog<Arc<ShareSnapshot>>,
    share_groups: SharedLog<Arc<ShareGroupSnapshot>>,
}

impl BatchTable {
    /// Adds a batch of `records` outside of transactions and returns its handle.
    ///
    /// # Panics
    /// When `records` is empty: Kafka has no empty batch.
    pub fn add(
        &mut self,
        origin: NodeId,
        producer: Option<ProducerState>,
        records: &[Record],
    ) -> BatchHandle {
        self.add_of_kind(BatchKind::Plain, origin, producer, records)
    }

    /// Adds a batch of `records` and returns its handle.
    ///
    /// # Panics
    /// When `records` is empty: Kafka has no empty batch.
    pub fn add_of_kind(
        &mut self,
        kind: BatchKind,
        origin: NodeId,
        producer: Option<ProducerState>,
        records: &[Record],
    ) -> BatchHandle {
        assert!(!records.is_empty(), "a batch has at least one record");
        let first_record = self.records.len() as u32;
        let mut bytes = Batch::HEADER_BYTES;
        for record in records {
            bytes += record.bytes;
            self.records.push(*record);
        }
        let count = records.len() as u32;
        self.push(Batch { first_record, count, bytes, origin, producer, kind, compacted: None })
    }

    /// Adds the records of `batch` again under another producer state: an epoch bump rewrites the sequences of what
    /// is still unsent.
    pub fn rewrite(&mut self, batch: BatchHandle, producer: Option<ProducerState>) -> BatchHandle {
        let batch = Batch { producer, ..self[batch] };
        self.push(batch)
    }

    /// A batch as the log cleaner leaves it: the same offsets, without the records that `keep` does not want.
    pub fn compact(
        &mut self,
        batch: BatchHandle,
        delete_horizon: Option<i64>,
        mut keep: impl FnMut(u32, &Record) -> bool,
    ) -> BatchHandle {
        let before = self[batch];
        let first_record = self.records.len() as u32;
        let mut bytes = Batch::HEADER_BYTES;
        for n in 0..before.count {
            let mut record = *self.record(batch, n);
            if record.body == RecordBody::Removed || !keep(n, &record) {
                record = Record { body: RecordBody::Removed, bytes: 0, timestamp: -1, ..record };
            }
            bytes += record.bytes;
            self.records.push(record);
        }
        let compacted = Some(Compacted { original: self.original(batch), delete_horizon });
        self.push(Batch { first_record, bytes, compacted, ..before })
    }

    /// The batch as its origin built it, before any compaction.
    pub fn original(&self, batch: BatchHandle) -> BatchHandle {
        self[batch].compacted.map_or(batch, |compacted| compacted.original)
    }

    fn push(&mut self, batch: Batch) -> BatchHandle {
        BatchHandle(self.batches.push(batch) as u32)
    }

    /// Keeps the value of a group metadata record.
    pub fn add_group(&mut self, snapshot: GroupSnapshot) -> GroupSnapshotId {
        GroupSnapshotId(self.groups.push(Arc::new(snapshot)) as u32)
    }

    /// The value of a group metadata record.
    pub fn group(&self, id: GroupSnapshotId) -> &Arc<GroupSnapshot> {
        &self.groups[id.0 as usize]
    }

    /// Keeps a record about a group of the consumer protocol.
    pub fn add_consumer_group(&mut self, record: ConsumerGroupRecord) -> ConsumerGroupRecordId {
        ConsumerGroupRecordId(self.consumer_groups.push(Arc::new(record)) as u32)
    }

    /// A record about a group of the consumer protocol.
    pub fn consumer_group(&self, id: ConsumerGroupRecordId) -> &Arc<ConsumerGroupRecord> {
        &self.consumer_groups[id.0 as usize]
    }

    /// Keeps the value of a record in `__transaction_state`.
    pub fn add_transaction(&mut self, snapshot: TransactionSnapshot) -> TransactionSnapshotId {
        TransactionSnapshotId(self.transactions.push(Arc::new(snapshot)) as u32)
    }

    /// The value of a record in `__transaction_state`.
    pub fn transaction(&self, id: TransactionSnapshotId) -> &Arc<TransactionSnapshot> {
        &self.transactions[id.0 as usize]
    }

    /// Keeps the value of a record of the share coordinator.
    pub fn add_share(&mut self, snapshot: ShareSnapshot) -> ShareSnapshotId {
        ShareSnapshotId(self.shares.push(Arc::new(snapshot)) as u32)
    }

    /// The value of a record of the share coordinator.
    pub fn share(&self, id: ShareSnapshotId) -> &Arc<ShareSnapshot> {
        &self.shares[id.0 as usize]
    }

    /// Keeps the value of a record about a share group.
    pub fn add_share_group(&mut self, snapshot: ShareGroupSnapshot) -> ShareGroupSnapshotId {
        ShareGroupSnapshotId(self.share_groups.push(Arc::new(snapshot)) as u32)
    }

    /// The value of a record about a share group.
    pub fn share_group(&self, id: ShareGroupSnapshotId) -> &Arc<ShareGroupSnapshot> {
        &self.share_groups[id.0 as usize]
    }

    /// The records of `batch`, in order.
    pub fn records(&self, batch: BatchHandle) -> impl ExactSizeIterator<Item = &Record> + '_ {
        let Batch { first_record, count, .. } = self[batch];
        (first_record as usize..(first_record + count) as usize).map(|i| &self.records[i])
    }

    /// Record number `n` of `batch`.
    pub fn record(&self, batch: BatchHandle, n: u32) -> &Record {
        &self.records[(self[batch].first_record + n) as usize]
    }

    /// The messages of `batch`, in order; records of coordinators are passed over.
    pub fn messages(&self, batch: BatchHandle) -> impl Iterator<Item = MessageId> + '_ {
        self.records(batch).filter_map(|record| match record.body {
            RecordBody::Message(id) => Some(id),
            _ => None,
        })
    }

    /// The newest time stamp in `batch`; -1 when no record is left in it.
    pub fn max_timestamp(&self, batch: BatchHandle) -> i64 {
        self.records(batch).map(|record| record.timestamp).max().unwrap_or(-1)
    }

    /// How many batches there are.
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// True before the first batch.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

impl Batch {
    /// `DefaultRecordBatch.RECORD_BATCH_OVERHEAD`, in bytes.
    pub const HEADER_BYTES: u32 = 61;
}

impl std::ops::Index<BatchHandle> for BatchTable {
    type Output = Batch;
    fn index(&self, handle: BatchHandle) -> &Batch {
        &self.batches[handle.index()]
    }
}
