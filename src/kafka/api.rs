//! What travels between nodes: Kafka's requests and responses, reduced to what changes behaviour.
//!
//! A [`Message`] is `Copy` and at most 32 bytes; lists inside it live in the [`Pools`](crate::kafka::effects::Pools)
//! of the run and are freed when the message has been handled.

use crate::base::batch::Subscribed;
use crate::base::broker_set::{BrokerSet, MAX_REPLICAS, ReplicaList};
use crate::base::config::{AssignorName, Assignors, IsolationLevel, TopicConfig};
use crate::base::error::ErrorCode;
pub use crate::base::group_records::HeartbeatField;
use crate::base::ids::{
    BatchHandle, BrokerId, Generation, GroupId, InstanceId, LeaderEpoch, MemberId, Offset,
    PartitionId, ProducerEpoch, RackId, TopicId, TransactionalId,
};
use crate::base::share::{AcknowledgeType, ShareStateBatch};
use crate::kafka::effects::List;

/// A request or a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the sentence of a variant explains its fields")]
#[rustfmt::skip]
pub enum Message {
    // --- clients and brokers ----------------------------------------------------------------------------------------
    /// Asks for the whole metadata (Kafka's clients ask for their topics; no fact depends on it).
    Metadata,
    /// `brokers`: those that are registered and not fenced, as this broker's metadata has it. `transaction_version` is
    /// the finalized feature that a client learns when it connects (`ApiVersions`, KIP-890).
    MetadataResponse { brokers: BrokerSet, transaction_version: u8, partitions: List<PartitionMetadata> },
    /// `acks`: 0, 1 or -1. `timeout_ms` is the producer's `request.timeout.ms`. `transactional` is its id when the
    /// batches are of a transaction; `adds` says that the client speaks transaction version 2 (Produce v12): the leader
    /// adds its partitions to the transaction.
    Produce {
        acks: i8, timeout_ms: u32, transactional: Option<TransactionalId>, adds: bool, batches: List<ProduceBatch>,
    },
    /// Not sent under `acks=0`.
    ProduceResponse { results: List<ProduceResult> },
    /// `replica` names the fetching follower, `replica_epoch` its broker epoch (KIP-903, `ReplicaState`); `None` and -1
    /// for a consumer. `rack` is a consumer's (KIP-392).
    Fetch {
        replica: Option<BrokerId>, rack: Option<RackId>, replica_epoch: i32, max_wait_ms: u32, min_bytes: u32,
        max_bytes: u32, isolation: IsolationLevel, partitions: List<FetchPartition>,
    },
    /// Each result takes its next `slice_count` slices and, for a `read_committed` reader, its next `aborted_count`
    /// aborted transactions.
    FetchResponse { results: List<FetchResult>, slices: List<FetchedSlice>, aborted: List<AbortedTransaction> },
    /// Earliest (-2), latest (-1) or first record since a time of partitions, for a client.
    ListOffsets { isolation: IsolationLevel, partitions: List<ListOffsetsPartition> },
    /// Answers in the order of the question.
    ListOffsetsResponse { results: List<ListOffsetsResult> },
    /// Where does `epoch` end? Asked by a consumer that validates its position.
    OffsetForLeaderEpoch { partition: PartitionId, current_leader_epoch: LeaderEpoch, epoch: LeaderEpoch },
    /// `epoch` is the largest known epoch ≤ the one asked for; `end` where it ends.
    OffsetForLeaderEpochResponse { partition: PartitionId, error: ErrorCode, epoch: LeaderEpoch, end: Offset },
    /// Without `transactional`: a plain idempotent producer asks for a producer id; any broker answers. With it: the
    /// transaction coordinator ends what an earlier producer left open and gives out the next epoch; `producer_id` and
    /// `epoch` are what the client has, or -1.
    InitProducerId {
        transactional: Option<TransactionalId>, timeout_ms: u32, producer_id: i64, epoch: ProducerEpoch,
    },
    /// A producer id and epoch.
    InitProducerIdResponse { error: ErrorCode, producer_id: i64, epoch: ProducerEpoch },
    // --- groups -----------------------------------------------------------------------------------------------------
    /// Who coordinates this group?
    FindCoordinator { group: GroupId },
    /// The leader of the group's `__consumer_offsets` partition.
    FindCoordinatorResponse { error: ErrorCode, coordinator: Option<BrokerId> },
    /// Timeouts in ms; `protocols` are the assignors the member knows, all with the same `subscription`.
    JoinGroup {
        group: GroupId, member: MemberId, instance: Option<InstanceId>, session_timeout_ms: u32,
        rebalance_timeout_ms: u32, protocols: Assignors, subscription: List<Subscribed>,
    },
    /// `members` is filled for the leader only: what each said of itself, a row each, in member order. With
    /// `skip_assignment` the assignment stands: a static leader came back.
    JoinGroupResponse {
        error: ErrorCode, generation: Generation, protocol: Option<AssignorName>, leader: MemberId, member: MemberId,
        skip_assignment: bool, members: List<MemberRow>,
    },
    /// `assignment` is filled by the leader only.
    SyncGroup {
        group: GroupId, member: MemberId, instance: Option<InstanceId>, generation: Generation,
        assignment: List<MemberPartition>,
    },
    /// The partitions of this member, in the assignor's order.
    SyncGroupResponse { error: ErrorCode, assignment: List<PartitionId> },
    /// Classic heartbeat.
    Heartbeat { group: GroupId, member: MemberId, instance: Option<InstanceId>, generation: Generation },
    /// Its answer.
    HeartbeatResponse { error: ErrorCode },
    /// The member goes.
    LeaveGroup { group: GroupId, member: MemberId, poll_timeout: bool },
    /// Its answer.
    LeaveGroupResponse { error: ErrorCode },
    /// A heartbeat of the consumer protocol (KIP-848) does everything: epoch 0 joins, -1 leaves, -2 leaves for a while
    /// as a static member. `says` has what changed since the last one, or all when it joins.
    ConsumerGroupHeartbeat { group: GroupId, member: MemberId, epoch: i32, says: List<HeartbeatField> },
    /// `assignment` is `None` when it is as it was. The interval is the one heartbeats are to come in, in ms.
    ConsumerGroupHeartbeatResponse {
        error: ErrorCode, member: MemberId, epoch: i32, heartbeat_interval_ms: u32,
        assignment: Option<List<PartitionId>>,
    },
    /// A commit by a member, or by a client that manages its partitions itself (generation -1, no member). The
    /// generation of a member of the consumer protocol is its epoch.
    OffsetCommit {
        group: GroupId, member: MemberId, instance: Option<InstanceId>, generation: Generation,
        offsets: List<PartitionOffset>,
    },
    /// One error for the whole commit: the simulator has no topic-level authorization that could tell partitions apart.
    OffsetCommitResponse { error: ErrorCode },
    /// The committed offsets of partitions. A member of the consumer protocol says who it is and in which epoch; others
    /// have no member id and epoch -1.
    OffsetFetch { group: GroupId, member: MemberId, epoch: i32, partitions: List<PartitionId> },
    /// Offset -1 where nothing is committed.
    OffsetFetchResponse { error: ErrorCode, offsets: List<PartitionOffset> },
    // --- transactions -----------------------------------------------------------------------------------------------
    /// Who coordinates this transactional id? (`FindCoordinator` of key type `TRANSACTION`; the same answer.)
    FindTransactionCoordinator { id: TransactionalId },
    /// A client of transaction version 1 adds partitions before it writes to them (v3), or the leader of a partition
    /// asks the coordinator about one (v4, v5): `verify_only` whether it is in the transaction, else to add it.
    AddPartitionsToTxn {
        id: TransactionalId, producer_id: i64, epoch: ProducerEpoch, verify_only: bool, partitions: List<PartitionId>,
    },
    /// One error for all: the simulator has no topic-level authorization that could tell partitions apart.
    AddPartitionsToTxnResponse { error: ErrorCode },
    /// A client of transaction version 1 adds the offsets of a group.
    AddOffsetsToTxn { id: TransactionalId, producer_id: i64, epoch: ProducerEpoch, group: GroupId },
    /// Its answer.
    AddOffsetsToTxnResponse { error: ErrorCode },
    /// Offsets of a group that count once the transaction commits; to the group's coordinator. `adds` says that the
    /// client speaks transaction version 2 (v5): the group coordinator adds its partition to the transaction.
    TxnOffsetCommit {
        id: TransactionalId, producer_id: i64, epoch: ProducerEpoch, group: GroupId, adds: bool, member: MemberId,
        generation: Generation, offsets: List<PartitionOffset>,
    },
    /// One error for the whole.
    TxnOffsetCommitResponse { error: ErrorCode },
    /// `bumps` says that the client speaks transaction version 2 (v5) and takes the next epoch from the answer.
    EndTxn { id: TransactionalId, producer_id: i64, epoch: ProducerEpoch, committed: bool, bumps: bool },
    /// The producer id and epoch for the next transaction; -1 with an error or without `bumps`.
    EndTxnResponse { error: ErrorCode, producer_id: i64, epoch: ProducerEpoch },
    /// A transaction coordinator ends transactions in partitions that the receiver leads.
    WriteTxnMarkers { markers: List<TxnMarker> },
    /// The outcome of each.
    WriteTxnMarkersResponse { results: List<TxnMarkerResult> },
    // --- share groups (KIP-932) -------------------------------------------------------------------------------------
    /// A member of a share group lives: `epoch` is its own, 0 joins, -1 leaves. `topics` is what it subscribes to.
    ShareGroupHeartbeat { group: GroupId, member: MemberId, epoch: i32, topics: List<TopicId> },
    /// `assigned`: `partitions` is its assignment now. `interval_ms`: when to say it again.
    ShareGroupHeartbeatResponse {
        error: ErrorCode, epoch: i32, interval_ms: u32, assigned: bool, partitions: List<PartitionId>,
    },
    /// Records to work on, please: `epoch` is that of the share session, 0 opens one. With what became of earlier ones.
    ShareFetch {
        group: GroupId, member: MemberId, epoch: i32, params: List<ShareFetchParams>, partitions: List<PartitionId>,
        acknowledgements: List<AcknowledgementBatch>,
    },
    /// Each result takes its next `slice_count` slices and `acquired_count` runs of acquired records.
    ShareFetchResponse {
        error: ErrorCode, results: List<ShareFetchResult>, slices: List<FetchedSlice>, acquired: List<AcquiredRecords>,
    },
    /// What became of records, without a wish for more. Session epoch -1 ends the share session.
    ShareAcknowledge { group: GroupId, member: MemberId, epoch: i32, acknowledgements: List<AcknowledgementBatch> },
    /// The outcome a partition.
    ShareAcknowledgeResponse { error: ErrorCode, results: List<ShareAcknowledgeResult> },
    /// The leader of a partition asks the share coordinator for what is stored of a share partition.
    ReadShareGroupState { group: GroupId, partition: PartitionId, leader_epoch: LeaderEpoch },
    /// `start` is [`Offset::NONE`] when nothing is stored.
    ReadShareGroupStateResponse {
        error: ErrorCode, group: GroupId, partition: PartitionId, state_epoch: i32, start: Offset,
        batches: List<ShareStateBatch>,
    },
    /// The leader of a partition has the share coordinator store a change. `start` is the start offset by now.
    WriteShareGroupState {
        group: GroupId, partition: PartitionId, state_epoch: i32, leader_epoch: LeaderEpoch, start: Offset,
        batches: List<ShareStateBatch>,
    },
    /// Its answer.
    WriteShareGroupStateResponse { error: ErrorCode },
    // --- brokers and controllers ------------------------------------------------------------------------------------
    /// `incarnation` is new at each start; `clean_epoch` is the broker epoch of the last clean shutdown, or -1;
    /// `directory` the id of the log directory (another one after a disk was replaced).
    BrokerRegistration { incarnation: u32, clean_epoch: i64, directory: u32 },
    /// The broker epoch to use from now on.
    BrokerRegistrationResponse { error: ErrorCode, broker_epoch: i64 },
    /// `metadata_offset` is the last metadata record the broker has applied.
    BrokerHeartbeat { broker_epoch: i64, metadata_offset: i64, want_fence: bool, want_shut_down: bool },
    /// The controller's view of the broker.
    BrokerHeartbeatResponse { error: ErrorCode, is_fenced: bool, is_caught_up: bool, should_shut_down: bool },
    /// The leader asks for another ISR of partitions.
    AlterPartition { broker_epoch: i64, changes: List<IsrChange> },
    /// The outcome of each.
    AlterPartitionResponse { error: ErrorCode, results: List<IsrResult> },
    /// `Fetch` of the metadata log from `offset` on (long poll), by a voter or by a broker, an observer. `epoch` is the
    /// quorum's epoch as the asker knows it, `last_epoch` that of its last record, `high_watermark` what it knows of
    /// commits (KIP-1166), or -1.
    MetadataFetch { epoch: i32, last_epoch: i32, offset: i64, high_watermark: i64 },
    /// Records from the offset asked for on: all of them for a voter, those below the high watermark for a broker.
    /// `leader` and `epoch` are what the answering controller knows of the quorum.
    MetadataFetchResponse {
        error: ErrorCode, leader: Option<u8>, epoch: i32, high_watermark: i64, records: List<MetadataRecord>,
    },
    /// The voter's log and the leader's diverge: epoch `end_epoch` ends at `end` in the leader's.
    MetadataFetchDiverging { leader: Option<u8>, epoch: i32, end_epoch: i32, end: i64 },
    // --- the quorum of controllers (KIP-595, KIP-996) ---------------------------------------------------------------
    /// Asks for a vote under `epoch`, or (`pre`) whether there would be one. The log of the asker ends at `end` with a
    /// record of `last_epoch`.
    Vote { epoch: i32, last_epoch: i32, end: i64, pre: bool },
    /// The vote.
    VoteResponse { error: ErrorCode, leader: Option<u8>, epoch: i32, granted: bool },
    /// The sender leads `epoch`.
    BeginQuorumEpoch { epoch: i32 },
    /// Its answer.
    BeginQuorumEpochResponse { error: ErrorCode, leader: Option<u8>, epoch: i32 },
    /// The sender does not lead `epoch` any more; `successors` by the length of their logs, padded with 0.
    EndQuorumEpoch { epoch: i32, successors: [u8; 4] },
    /// Its answer.
    EndQuorumEpochResponse { error: ErrorCode, leader: Option<u8>, epoch: i32 },
}

/// One partition as a broker's metadata cache has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionMetadata {
    /// Which one.
    pub partition: PartitionId,
    /// Its leader, if it has one that is alive.
    pub leader: Option<BrokerId>,
    /// Its leader epoch.
    pub leader_epoch: LeaderEpoch,
}

/// One batch of a produce request; a request has at most one a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProduceBatch {
    /// Where to.
    pub partition: PartitionId,
    /// What.
    pub batch: BatchHandle,
}

/// The outcome for one batch. With an error that moves the leader, `leader` and `leader_epoch` tell the client where
/// to go (KIP-951).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProduceResult {
    /// Which partition.
    pub partition: PartitionId,
    /// Which batch.
    pub batch: BatchHandle,
    /// The outcome.
    pub error: ErrorCode,
    /// Where the batch is; -1 with an error.
    pub base_offset: Offset,
    /// The leader the broker knows of, with `NOT_LEADER_OR_FOLLOWER`.
    pub leader: Option<BrokerId>,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
}

/// One partition of a fetch request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchPartition {
    /// Which one.
    pub partition: PartitionId,
    /// The next offset wanted.
    pub offset: Offset,
    /// The leader epoch the fetcher knows; [`LeaderEpoch::NONE`] when it does not say.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record the fetcher has before `offset` (KIP-595: finds divergence).
    pub last_fetched_epoch: LeaderEpoch,
    /// A follower's own log start.
    pub log_start: Offset,
    /// Bytes wanted at most.
    pub max_bytes: u32,
}

/// One partition of a fetch response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchResult {
    /// Which one.
    pub partition: PartitionId,
    /// The outcome.
    pub error: ErrorCode,
    /// The leader's high watermark.
    pub high_watermark: Offset,
    /// The leader's log start.
    pub log_start: Offset,
    /// Set when the fetcher's log and the leader's diverge: truncate to `diverging_end`, where epoch
    /// `diverging_epoch` ends at the leader.
    pub diverging_epoch: LeaderEpoch,
    /// See `diverging_epoch`; -1 when there is no divergence.
    pub diverging_end: Offset,
    /// The leader this broker knows of, with an error that says it moved (KIP-951).
    pub leader: Option<BrokerId>,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
    /// The replica that the consumer is to fetch from instead (KIP-392); then there is no data.
    pub preferred_read_replica: Option<BrokerId>,
    /// How many entries of the response's slices belong to this partition.
    pub slice_count: u16,
    /// The leader's last stable offset.
    pub last_stable_offset: Offset,
    /// How many of the response's aborted transactions belong to this partition.
    pub aborted_count: u16,
}

/// A transaction that was aborted and has records in what a `read_committed` reader is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer_id: i64,
    /// The offset of its first record in the partition.
    pub first_offset: Offset,
}

/// The end of a transaction in one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxnMarker {
    /// Where.
    pub partition: PartitionId,
    /// Whose.
    pub producer_id: i64,
    /// The epoch the marker carries.
    pub epoch: ProducerEpoch,
    /// `COMMIT` or `ABORT`.
    pub committed: bool,
    /// The leader epoch of the coordinator's `__transaction_state` partition.
    pub coordinator_epoch: i32,
    /// The transaction version it is written under: from 2 on the epoch must be newer than the data's.
    pub version: u8,
}

/// The outcome for a [`TxnMarker`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxnMarkerResult {
    /// Where.
    pub partition: PartitionId,
    /// Whose.
    pub producer_id: i64,
    /// The outcome.
    pub error: ErrorCode,
}

/// One batch in a fetch response. Kafka always returns whole batches; a consumer drops what is below its position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchedSlice {
    /// The batch.
    pub batch: BatchHandle,
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The leader epoch it was appended under.
    pub leader_epoch: LeaderEpoch,
    /// The leader's stamp under `LogAppendTime`.
    pub append_time: Option<i64>,
}

/// One question of `ListOffsets`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListOffsetsPartition {
    /// Which partition.
    pub partition: PartitionId,
    /// The leader epoch the client knows.
    pub current_leader_epoch: LeaderEpoch,
    /// -2 earliest, -1 latest; else the first record stamped then or later, in milliseconds since 1970.
    pub timestamp: i64,
}

/// One answer of `ListOffsets`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListOffsetsResult {
    /// Which partition.
    pub partition: PartitionId,
    /// The outcome.
    pub error: ErrorCode,
    /// The offset asked for.
    pub offset: Offset,
    /// The leader epoch of that offset.
    pub leader_epoch: LeaderEpoch,
}

/// How much a member of a share group wants at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShareFetchParams {
    /// `fetch.max.wait.ms`.
    pub max_wait_ms: u32,
    /// `fetch.min.bytes`.
    pub min_bytes: u32,
    /// `fetch.max.bytes`.
    pub max_bytes: u32,
    /// `max.poll.records`. 0: none, only acknowledge.
    pub max_records: u32,
    /// `max.poll.records` again: how long a run of acquired records is at least.
    pub batch_size: u32,
    /// `share.acquire.mode=record_limit`.
    pub record_limit: bool,
}

/// What a member says became of consecutive records of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AcknowledgementBatch {
    /// Which partition.
    pub partition: PartitionId,
    /// The first offset.
    pub first: Offset,
    /// The last offset, inclusive.
    pub last: Offset,
    /// What.
    pub kind: AcknowledgeType,
}

/// Records that a member has from now on, all delivered as often.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AcquiredRecords {
    /// The first offset.
    pub first: Offset,
    /// The last offset, inclusive.
    pub last: Offset,
    /// How often they were delivered, this time included.
    pub delivery_count: u16,
}

/// One partition of a `ShareFetch` response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShareFetchResult {
    /// Which one.
    pub partition: PartitionId,
    /// The outcome of the fetch.
    pub error: ErrorCode,
    /// The outcome of the acknowledgements that came with it; `None` when none did.
    pub acknowledged: Option<ErrorCode>,
    /// The leader this broker knows of, with an error that says it moved.
    pub leader: Option<BrokerId>,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
    /// How many of the response's slices belong to this partition.
    pub slice_count: u16,
    /// How many of its runs of acquired records do.
    pub acquired_count: u16,
}

/// One partition of a `ShareAcknowledge` response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShareAcknowledgeResult {
    /// Which one.
    pub partition: PartitionId,
    /// The outcome.
    pub error: ErrorCode,
    /// The leader this broker knows of, with an error that says it moved.
    pub leader: Option<BrokerId>,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
}

/// A committed offset, or one to be committed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PartitionOffset {
    /// Which partition.
    pub partition: PartitionId,
    /// The next offset to read.
    pub offset: Offset,
}

/// One thing that a member said of itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemberRow {
    /// The member.
    pub member: MemberId,
    /// What.
    pub says: Subscribed,
}

/// A member is to own a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberPartition {
    /// The member.
    pub member: MemberId,
    /// The partition.
    pub partition: PartitionId,
}

/// A wanted ISR (KIP-497: leader and controller agree by epochs).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IsrChange {
    /// Which partition.
    pub partition: PartitionId,
    /// The leader epoch of the asking leader.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch it bases the change on.
    pub partition_epoch: i32,
    /// The wanted ISR.
    pub isr: BrokerSet,
    /// Broker epochs of its members in ascending order of their ids; -1 where the leader knows none (KIP-903,
    /// `newIsrWithEpochs`).
    pub epochs: [i32; MAX_REPLICAS],
}

/// The controller's answer to an [`IsrChange`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IsrResult {
    /// Which partition.
    pub partition: PartitionId,
    /// The outcome.
    pub error: ErrorCode,
    /// The leader now.
    pub leader: Option<BrokerId>,
    /// Its epoch now.
    pub leader_epoch: LeaderEpoch,
    /// The ISR now.
    pub isr: BrokerSet,
    /// The partition epoch now.
    pub partition_epoch: i32,
}

/// A record of the metadata log (`__cluster_metadata`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetadataRecord {
    /// `LeaderChangeMessage`, the control record with which every leader begins its epoch.
    LeaderChange {
        /// The controller that leads.
        leader: u8,
        /// Its epoch: that of all records up to the next record of this kind.
        epoch: i32,
    },
    /// `RegisterBrokerRecord`: registered and fenced.
    RegisterBroker {
        /// Who.
        broker: BrokerId,
        /// Which of its processes.
        incarnation: u32,
        /// Its broker epoch: the offset of this record.
        epoch: i64,
    },
    /// `BrokerRegistrationChangeRecord`: fenced or not.
    FenceBroker {
        /// Who.
        broker: BrokerId,
        /// The new state.
        fenced: bool,
        /// True when it is in controlled shutdown.
        shutting_down: bool,
    },
    /// `PartitionRecord` or `PartitionChangeRecord`: the whole registration.
    Partition(PartitionRegistration),
    /// `ConfigRecord`s of a topic: all its settings.
    TopicConfig {
        /// Which topic.
        topic: TopicId,
        /// Its settings from now on.
        config: TopicConfig,
    },
}

/// What the controller knows of a partition (`org.apache.kafka.metadata.PartitionRegistration`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionRegistration {
    /// Which one.
    pub partition: PartitionId,
    /// Replicas in assignment order; during a reassignment those that are to come and to go too.
    pub replicas: ReplicaList,
    /// Replicas a reassignment adds.
    pub adding: BrokerSet,
    /// Replicas a reassignment removes.
    pub removing: BrokerSet,
    /// The leader, if any.
    pub leader: Option<BrokerId>,
    /// The leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// Bumped at each change.
    pub partition_epoch: i32,
    /// In-sync replicas.
    pub isr: BrokerSet,
    /// Eligible leader replicas (KIP-966).
    pub elr: BrokerSet,
    /// The last known eligible leader.
    pub last_known_leader: Option<BrokerId>,
}

impl PartitionRegistration {
    /// The place of a partition that nobody has created.
    pub fn absent(partition: PartitionId) -> Self {
        Self {
            partition,
            replicas: ReplicaList::default(),
            adding: BrokerSet::EMPTY,
            removing: BrokerSet::EMPTY,
            leader: None,
            leader_epoch: LeaderEpoch::NONE,
            partition_epoch: -1,
            isr: BrokerSet::EMPTY,
            elr: BrokerSet::EMPTY,
            last_known_leader: None,
        }
    }

    /// True for what is not such a place.
    pub fn exists(&self) -> bool {
        !self.replicas.as_slice().is_empty()
    }
}

// A message stays small.
const _: () = assert!(size_of::<Message>() <= 32);
