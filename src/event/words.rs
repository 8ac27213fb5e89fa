//! The words that event kinds are made of: kinds of faults, commits, callbacks, states and reasons.

/// What takes a process down, or lets it go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FaultKind {
    /// `kill -9`: memory is gone, the disk (and the page cache) stay.
    Kill,
    /// Power loss: what was not flushed is gone too.
    PowerLoss,
    /// `SIGSTOP`: the process stands still; its sockets stay open.
    Freeze,
    /// `SIGCONT`.
    Thaw,
    /// `SIGTERM`: an orderly shutdown begins.
    Stop,
    /// An orderly shutdown is complete.
    Stopped,
    /// The process is started.
    Start,
    /// The disk of a stopped broker was emptied.
    WipeDisk,
    /// The tail of a partition's log was cut off on a stopped broker.
    CutLog,
    /// The directory of a partition was deleted on a stopped broker.
    DeleteLog,
    /// The node can exchange messages with nobody (or not with some).
    CutOff,
    /// The network of the node is whole again.
    Reconnect,
}

impl FaultKind {
    /// True when the fault hurts, false when it heals.
    pub const fn harms(self) -> bool {
        !matches!(self, Self::Thaw | Self::Start | Self::Reconnect)
    }
}

/// How an offset commit came about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CommitKind {
    /// `commitSync`.
    Sync,
    /// `commitAsync`.
    Async,
    /// Auto-commit inside `poll()`, after `auto.commit.interval.ms`.
    AutoPoll,
    /// Auto-commit before a rebalance.
    AutoRebalance,
    /// Auto-commit inside `close()`.
    AutoClose,
    /// Auto-commit of librdkafka, by a timer of its own.
    AutoBackground,
}

/// The callbacks of a `ConsumerRebalanceListener`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RebalanceCallback {
    /// `onPartitionsAssigned`.
    Assigned,
    /// `onPartitionsRevoked`.
    Revoked,
    /// `onPartitionsLost`.
    Lost,
}

/// The state of a group (`ClassicGroupState`, `ConsumerGroupState`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum GroupState {
    /// No members.
    #[default]
    Empty,
    /// Waiting for all members to join.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// A target assignment is to be computed (consumer protocol).
    Assigning,
    /// Members are on their way to the target assignment (consumer protocol).
    Reconciling,
    /// Every member has its assignment.
    Stable,
    /// Removed.
    Dead,
}

impl GroupState {
    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// Why a member is not in the group any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LeaveReason {
    /// It said so: `close()` or `unsubscribe()`.
    Left,
    /// No heartbeat for `session.timeout.ms`.
    SessionTimeout,
    /// It did not rejoin within the rebalance timeout.
    RebalanceTimeout,
    /// Another process came back with its `group.instance.id`.
    Replaced,
    /// The record of its join could not be stored.
    Undone,
    /// Its own heartbeat thread left because `poll()` was not called for `max.poll.interval.ms`.
    PollTimeout,
}

/// Which election an administrator asks for (`ElectionType`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ElectionType {
    /// `PREFERRED`: the first replica.
    Preferred,
    /// `UNCLEAN`: any replica that is alive, where there is no leader.
    Unclean,
}

/// A call of an administrator (`Admin`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AdminCall {
    /// `electLeaders(PREFERRED, …)`.
    ElectPreferredLeaders,
    /// `electLeaders(UNCLEAN, …)`.
    ElectUncleanLeaders,
    /// `incrementalAlterConfigs` of a topic.
    IncrementalAlterConfigs,
    /// `alterPartitionReassignments`; a cancellation too.
    AlterPartitionReassignments,
    /// `deleteRecords`.
    DeleteRecords,
    /// `createPartitions`.
    CreatePartitions,
    /// `alterConsumerGroupOffsets`.
    AlterGroupOffsets,
    /// `deleteConsumerGroupOffsets`.
    DeleteGroupOffsets,
    /// `deleteConsumerGroups`.
    DeleteGroups,
    /// `kafka-consumer-groups.sh --reset-offsets`.
    ResetOffsets,
    /// `alterShareGroupOffsets`.
    AlterShareGroupOffsets,
    /// `deleteShareGroupOffsets`.
    DeleteShareGroupOffsets,
    /// `kafka-share-groups.sh --reset-offsets`.
    ResetShareOffsets,
    /// `abortTransaction`: ends a hanging transaction in one partition.
    AbortTransaction,
    /// `createTopics`.
    CreateTopics,
}

impl AdminCall {
    /// As Java spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ElectPreferredLeaders => "electLeaders(PREFERRED)",
            Self::ElectUncleanLeaders => "electLeaders(UNCLEAN)",
            Self::IncrementalAlterConfigs => "incrementalAlterConfigs",
            Self::AlterPartitionReassignments => "alterPartitionReassignments",
            Self::DeleteRecords => "deleteRecords",
            Self::CreatePartitions => "createPartitions",
            Self::AlterGroupOffsets => "alterConsumerGroupOffsets",
            Self::DeleteGroupOffsets => "deleteConsumerGroupOffsets",
            Self::DeleteGroups => "deleteConsumerGroups",
            Self::ResetOffsets => "kafka-consumer-groups.sh --reset-offsets",
            Self::AlterShareGroupOffsets => "alterShareGroupOffsets",
            Self::DeleteShareGroupOffsets => "deleteShareGroupOffsets",
            Self::ResetShareOffsets => "kafka-share-groups.sh --reset-offsets",
            Self::AbortTransaction => "abortTransaction",
            Self::CreateTopics => "createTopics",
        }
    }
}

/// A topic setting that was altered while the cluster runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TopicSetting {
    /// `min.insync.replicas`.
    MinInsyncReplicas(u32),
    /// `unclean.leader.election.enable`.
    UncleanLeaderElection(bool),
    /// One that no decision about leaders and ISRs depends on.
    Other,
}

/// Why a fetch position was set other than by reading on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PositionReason {
    /// The committed offset.
    Committed,
    /// `auto.offset.reset=earliest`.
    ResetEarliest,
    /// `auto.offset.reset=latest`.
    ResetLatest,
    /// `seek()`.
    Seek,
    /// The log was truncated below the position (leader epoch check).
    Truncation,
    /// `auto.offset.reset=by_duration:…`.
    ResetByDuration,
}

/// A call of a transactional producer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TransactionCall {
    /// `initTransactions()`.
    InitTransactions,
    /// `beginTransaction()`.
    BeginTransaction,
    /// `sendOffsetsToTransaction(offsets, groupMetadata)`.
    SendOffsetsToTransaction,
    /// `commitTransaction()`.
    CommitTransaction,
    /// `abortTransaction()`.
    AbortTransaction,
}

impl TransactionCall {
    /// As Java spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InitTransactions => "initTransactions",
            Self::BeginTransaction => "beginTransaction",
            Self::SendOffsetsToTransaction => "sendOffsetsToTransaction",
            Self::CommitTransaction => "commitTransaction",
            Self::AbortTransaction => "abortTransaction",
        }
    }
}

/// Why the state of records of a share group changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SettleReason {
    /// A member said so.
    Acknowledged,
    /// The member left, or its share session ended.
    Released,
    /// The acquisition lock ran out.
    LockTimeout,
    /// They are in the dead-letter queue, or it cannot take them.
    DeadLettered,
    /// The log does not have them any more.
    Deleted,
}
