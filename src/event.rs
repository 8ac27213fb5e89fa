//! The one record of everything observable: what a Kafka operator with eyes everywhere could see, nothing of our
//! internals. Checkers, narration, screens, exports and goldens read events (with the batch table) and never a machine.
//!
//! An event is `Copy` and at most 48 bytes. `cause` links it to the event that made it happen, so a fate can be
//! explained by walking back. Event kinds whose name starts with `Wire` are left out of the trace hash.

mod wire;
mod words;

use crate::base::batch::TransactionState;
use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::error::{ErrorCode, Exception};
use crate::base::group_records::MemberState;
use crate::base::ids::{
    BatchHandle, BrokerId, EventSeq, Generation, GroupId, LeaderEpoch, MemberId, MessageId, NodeId,
    Offset, PartitionId, ProducerEpoch, RegexId, TopicId, TransactionalId,
};
use crate::base::share::{AcknowledgeType, RecordState};
use crate::base::tables::TableId;
use crate::base::time::Time;

pub use wire::{Api, LossReason, WireLabel};
pub use words::{
    AdminCall, CommitKind, ElectionType, FaultKind, GroupState, LeaveReason, PositionReason,
    RebalanceCallback, SettleReason, TopicSetting, TransactionCall,
};

/// One thing that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// When.
    pub at: Time,
    /// What made it happen: the event during whose handling, or by whose message or timer, it came about.
    pub cause: EventSeq,
    /// Where.
    pub node: NodeId,
    /// What.
    pub kind: EventKind,
}
/// What happened. The node of the event is the actor; partitions, batches and offsets are as the actor sees them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the sentence of a variant explains its fields")]
#[rustfmt::skip]
pub enum EventKind {
    // --- producer (node: the producer) -----------------------------------------------------------------------------
    /// The application called `send()`; the record waits in the accumulator of `partition` (`None`: not placed yet,
    /// there is no metadata).
    Sent { message: MessageId, partition: Option<PartitionId> },
    /// A batch was closed and is handed to the sender: its records and sequence are in the batch table.
    BatchReady { batch: BatchHandle, partition: PartitionId },
    /// An idempotent producer got its producer id and epoch.
    ProducerIdAssigned { producer_id: i64, epoch: ProducerEpoch },
    /// The application was told that a batch is stored; `base_offset` is -1 under `acks=0` and after an answer
    /// without an offset.
    Acknowledged { batch: BatchHandle, partition: PartitionId, base_offset: Offset },
    /// The application was told that a whole batch failed.
    BatchFailed { batch: BatchHandle, partition: PartitionId, exception: Exception },
    /// The application was told that one record failed before it came into a batch.
    SendFailed { message: MessageId, exception: Exception },
    /// A batch will be sent again after `error`; `replaces` is another handle when its sequence was rewritten.
    Retry { batch: BatchHandle, partition: PartitionId, error: ErrorCode, replaces: BatchHandle },

    /// A call of a transactional producer returned, or threw.
    TransactionCalled { call: TransactionCall, exception: Option<Exception> },

    // --- replication (node: the broker) ----------------------------------------------------------------------------
    /// A batch was appended to this replica's log, by a leader or by a follower.
    Appended { partition: PartitionId, batch: BatchHandle, base_offset: Offset, leader_epoch: LeaderEpoch },
    /// A produce request was answered from the producer state: the batch is in the log already at `base_offset`.
    Deduplicated { partition: PartitionId, batch: BatchHandle, base_offset: Offset },
    /// The leader refused to append a batch.
    AppendRefused { partition: PartitionId, batch: BatchHandle, error: ErrorCode },
    /// This replica's high watermark moved.
    HighWatermark { partition: PartitionId, offset: Offset },
    /// This replica's last stable offset moved: `read_committed` readers see nothing from here on. Told only of
    /// partitions that have had a transaction.
    LastStableOffset { partition: PartitionId, offset: Offset },
    /// This replica's log start moved.
    LogStart { partition: PartitionId, offset: Offset },
    /// This replica began a new segment: its active one has this base offset from now on.
    SegmentRolled { partition: PartitionId, base_offset: Offset },
    /// This replica deleted its segment from `base_offset` to below `end`, with every record in it.
    SegmentDeleted { partition: PartitionId, base_offset: Offset, end: Offset },
    /// Compaction: this batch stands at `base_offset` of this replica's log from now on, in place of what was there;
    /// `None`: nothing does, and the offsets stay empty.
    BatchCompacted { partition: PartitionId, base_offset: Offset, batch: Option<BatchHandle> },
    /// Compaction: this replica's segment that began at `base_offset` is part of the one before it.
    SegmentMerged { partition: PartitionId, base_offset: Offset },
    /// This replica's log cleaner is done with everything below `to`.
    LogCleaned { partition: PartitionId, to: Offset },
    /// This replica removed everything from `to` on; `epoch` is the epoch whose end the leader named.
    Truncated { partition: PartitionId, to: Offset, epoch: LeaderEpoch },
    /// This replica's disk holds everything below `offset`.
    Flushed { partition: PartitionId, offset: Offset },
    /// This broker acts as leader from now on; its log ends at `end`.
    BecameLeader { partition: PartitionId, leader_epoch: LeaderEpoch, end: Offset },
    /// This broker follows `leader` from now on (`None`: there is no leader).
    BecameFollower { partition: PartitionId, leader: Option<BrokerId>, leader_epoch: LeaderEpoch },
    /// The leader asks the controller for another ISR.
    IsrProposed { partition: PartitionId, isr: BrokerSet },
    /// This broker is not a replica of the partition any more and deleted its log.
    ReplicaDeleted { partition: PartitionId },
    /// The leader's own ISR, which decides `acks=all`, is this from now on: the controller confirmed it, or metadata
    /// said so. It may lag behind the registration.
    IsrKnown { partition: PartitionId, isr: BrokerSet },

    // --- controller (node: the active controller) ------------------------------------------------------------------
    /// A broker registered; it stays fenced until it has caught up with the metadata.
    BrokerRegistered { broker: BrokerId, epoch: i64 },
    /// A broker may lead and be in ISRs.
    BrokerUnfenced { broker: BrokerId },
    /// A broker's session ran out, or it is shutting down.
    BrokerFenced { broker: BrokerId },
    /// The registration of a partition changed. `isr` and `elr` are complete, not differences.
    PartitionChanged {
        partition: PartitionId, leader: Option<BrokerId>, leader_epoch: LeaderEpoch, isr: BrokerSet, elr: BrokerSet,
    },
    /// The replicas of a partition changed: those that are to come and to go included while a reassignment is
    /// `in_progress`.
    ReplicasChanged { partition: PartitionId, replicas: ReplicaList, in_progress: bool },
    /// A setting of a topic changed.
    TopicConfigured { topic: TopicId, setting: TopicSetting },

    // --- the quorum of controllers (node: a controller, for the last one a broker) ---------------------------------
    /// This controller won the election of `epoch`; it becomes active when its first record is committed.
    ControllerElected { epoch: LeaderEpoch },
    /// This controller led `epoch` and does not any more: it lost the majority, was replaced, or shuts down.
    ControllerResigned { epoch: LeaderEpoch },
    /// The metadata log of this controller ends at `end`; its last record was written under `epoch`.
    MetadataAppended { epoch: LeaderEpoch, end: Offset },
    /// This controller removed everything from `to` on: it was never committed.
    MetadataTruncated { to: Offset },
    /// This controller knows that everything below `offset` is committed; the last such record is of `epoch`.
    MetadataCommitted { epoch: LeaderEpoch, offset: Offset },
    /// This broker acts on the metadata below `offset`; the last such record is of `epoch`.
    MetadataApplied { epoch: LeaderEpoch, offset: Offset },

    // --- consumer (node: the consumer) -----------------------------------------------------------------------------
    /// `poll()` was called: by a script, or by a loop after a poll that returned records. The further polls of an idle
    /// loop are not told.
    PollCalled,
    /// A `poll()` whose call was told returned without records.
    PollEmpty,
    /// `poll()` returned records `first .. first + count` of a batch that starts at `base_offset`. One event a slice.
    Polled { partition: PartitionId, batch: BatchHandle, base_offset: Offset, first: u16, count: u16 },
    /// The application finished these records of a slice it was handed.
    Processed { partition: PartitionId, batch: BatchHandle, base_offset: Offset, first: u16, count: u16 },
    /// The fetch position went on to `offset` over offsets that hold nothing for the application: markers, records of
    /// aborted transactions for a `read_committed` reader, gaps of compaction.
    PositionPassed { partition: PartitionId, offset: Offset },
    /// The fetch position was set other than by reading on.
    PositionSet { partition: PartitionId, offset: Offset, reason: PositionReason },
    /// An offset commit was sent. One event a partition.
    CommitSent { partition: PartitionId, offset: Offset, kind: CommitKind },
    /// The commit was answered; `exception` is what the application gets (`None`: it is stored).
    CommitAnswered { partition: PartitionId, offset: Offset, kind: CommitKind, exception: Option<Exception> },
    /// A rebalance callback runs; `count` events [`EventKind::CallbackPartition`] follow.
    Callback { callback: RebalanceCallback, count: u16 },
    /// One partition of the callback before.
    CallbackPartition { callback: RebalanceCallback, partition: PartitionId },
    /// A call of the application threw.
    Threw { exception: Exception },
    /// `close()` returned.
    Closed,
    /// The application wrote a row for each of these records into a table of a database, outside of Kafka; `once`: a
    /// row of a message that is there already is left as it is.
    RowsInserted {
        table: TableId, partition: PartitionId, batch: BatchHandle, base_offset: Offset, first: u16, count: u16,
        once: bool,
    },
    /// The application keeps its next offset of `partition` in the table, since the transaction of the database that
    /// wrote the rows before.
    OffsetKept { table: TableId, partition: PartitionId, offset: Offset },

    // --- group coordinator (node: the coordinating broker) ----------------------------------------------------------
    /// The group is in another state, or the same state with another generation.
    GroupChanged { group: GroupId, state: GroupState, generation: Generation },
    /// A member is known to the coordinator; said again when an old member becomes the group's leader.
    MemberJoined { group: GroupId, member: MemberId, leader: bool },
    /// A member is removed.
    MemberLeft { group: GroupId, member: MemberId, reason: LeaveReason },
    /// The new assignment gives `partition` to `member`. One event a partition, after the leader's SyncGroup; in the
    /// consumer protocol, when the member may have it.
    MemberAssigned { group: GroupId, member: MemberId, partition: PartitionId },
    /// A group of the consumer protocol is in another state, or in another epoch: its members or what they subscribe to
    /// changed.
    ConsumerGroupChanged { group: GroupId, state: GroupState, epoch: i32 },
    /// The coordinator looked which topics fit a regular expression of the group: so many, and others than before.
    RegexResolved { group: GroupId, regex: RegexId, topics: u16 },
    /// The coordinator computed what members are to own in `epoch`; [`EventKind::MemberTarget`]s follow.
    TargetComputed { group: GroupId, epoch: i32 },
    /// `member` is to own `partition`.
    MemberTarget { group: GroupId, member: MemberId, partition: PartitionId },
    /// A member of a group of the consumer protocol is in this epoch and state. Epoch -2: a static member that left
    /// for a while.
    MemberEpoch { group: GroupId, member: MemberId, epoch: i32, state: MemberState },
    /// The coordinator counts `partition` no longer as the member's: it gave it up, and another may have it.
    MemberReleased { group: GroupId, member: MemberId, partition: PartitionId },
    /// A committed offset is stored and replicated: the group will restart here.
    OffsetCommitted { group: GroupId, partition: PartitionId, offset: Offset },
    /// A committed offset expired or was deleted: the group has none for the partition any more.
    OffsetRemoved { group: GroupId, partition: PartitionId },
    /// This broker coordinates the group from now on. What it loaded follows at once, as if the group were new:
    /// its state, members, assignment and offsets; nothing that is not said again survived.
    CoordinatorLoaded { group: GroupId },

    // --- transactions (node: the coordinating broker) ---------------------------------------------------------------
    /// The state of a transactional id, written and replicated. Told again with the same state when another producer
    /// id or epoch came with it.
    TransactionChanged { id: TransactionalId, state: TransactionState, producer_id: i64, epoch: ProducerEpoch },
    /// A partition is part of the ongoing transaction; one of `__consumer_offsets` stands for the groups in it.
    TransactionPartition { id: TransactionalId, partition: PartitionId },
    /// This broker coordinates the transactional id from now on. Its state and partitions follow at once, as if it were
    /// new.
    TransactionLoaded { id: TransactionalId },
    /// The group coordinator stored an offset that counts once the transaction of this producer id commits.
    OffsetPending { group: GroupId, partition: PartitionId, offset: Offset, producer_id: i64 },
    /// The pending offsets of this producer id in this group were dropped: its transaction aborted.
    PendingDropped { group: GroupId, producer_id: i64 },

    // --- share groups (node: the leader of the partition, for the last four the share consumer) ---------------------
    /// This broker serves the share partition from now on; records before `start` are done with. What it loaded follows
    /// as [`EventKind::RecordsSettled`]; what was handed out and never acknowledged is as if it never was.
    SharePartitionLoaded { group: GroupId, partition: PartitionId, start: Offset },
    /// `member` has these records from now on, under a lock; `delivery` is how often they were delivered by now.
    RecordsAcquired {
        group: GroupId,
        partition: PartitionId,
        member: MemberId,
        first: Offset,
        count: u32,
        delivery: u16,
    },
    /// These records are in another state; nobody has them. It is stored, but for a time-out, which counts at once.
    RecordsSettled {
        group: GroupId, partition: PartitionId, first: Offset, count: u32, state: RecordState, reason: SettleReason,
    },
    /// `member` may keep these records for another lock duration.
    LockRenewed { group: GroupId, partition: PartitionId, member: MemberId, first: Offset, count: u32 },
    /// The share partition's start offset moved: everything below is done with.
    ShareStart { group: GroupId, partition: PartitionId, offset: Offset },
    /// An administrator had the group begin anew at `start`; negative: by `share.auto.offset.reset`. Said by the share
    /// coordinator, which forgets what it knew of records; leaders are told when they read or write next.
    ShareReset { group: GroupId, partition: PartitionId, start: Offset },
    /// A member of a share group is to read `partition`, besides others. One event a partition.
    ShareAssigned { group: GroupId, member: MemberId, partition: PartitionId },
    /// A member of a share group is not to read `partition` any more.
    ShareRevoked { group: GroupId, member: MemberId, partition: PartitionId },
    /// `poll()` returned these records with this delivery count; follows [`EventKind::Polled`].
    Delivered {
        partition: PartitionId, batch: BatchHandle, base_offset: Offset, first: u16, count: u16, delivery: u16,
    },
    /// The application said this of records it has.
    AcknowledgeCalled { partition: PartitionId, first: Offset, count: u32, kind: AcknowledgeType },
    /// Acknowledgements were sent.
    AcknowledgeSent { partition: PartitionId, first: Offset, count: u32, kind: AcknowledgeType },
    /// They were answered; `exception` is what the acknowledgement commit callback gets (`None`: it counts).
    AcknowledgeAnswered { partition: PartitionId, first: Offset, count: u32, exception: Option<Exception> },

    // --- faults and the script --------------------------------------------------------------------------------------
    /// A fault hit this node, or it was healed.
    Fault { kind: FaultKind },
    /// An administrator's call returned, or threw.
    AdminCalled { call: AdminCall, exception: Option<Exception> },
    /// A step of the script began; `step` counts from 0 in document order.
    Step { step: u16 },
    /// A question of the lesson is put; `question` counts from 0.
    Question { question: u16 },
    /// `Observe` number `observation` took its fact.
    Observed { observation: u16 },
    /// `Quiesce` is satisfied: everything settled.
    Quiesced,
    /// `Quiesce` gave up: something is stuck.
    Stuck,
    /// The run is over.
    Ended,

    // --- the wire (not in the trace hash) ---------------------------------------------------------------------------
    /// A message left this node for `to`; it will arrive after `arrives_in` µs unless something happens to it
    /// (`u32::MAX`: it is held).
    WireSent { wire: u32, to: NodeId, arrives_in: u32, label: WireLabel },
    /// The message arrived at this node.
    WireArrived { wire: u32 },
    /// The message will not arrive.
    WireLost { wire: u32, reason: LossReason },
}

impl EventKind {
    /// True for what only the network sees; left out of the trace hash and of step-by-step playing.
    pub const fn is_wire(&self) -> bool {
        matches!(self, Self::WireSent { .. } | Self::WireArrived { .. } | Self::WireLost { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stays_small() {
        assert!(size_of::<Event>() <= 48, "{} bytes", size_of::<Event>());
    }
}
