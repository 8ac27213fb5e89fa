//! Kafka's error codes (`org.apache.kafka.common.protocol.Errors`) and the exceptions its Java clients raise.

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $exception:literal, $retriable:literal;)*) => {
        /// An error code on the wire, by Kafka's name. Only codes the simulator can produce are listed.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Kafka's name: `NOT_ENOUGH_REPLICAS`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The Java exception the code maps to: `NotEnoughReplicasException`.
            pub const fn exception(self) -> &'static str {
                match self { $(Self::$variant => $exception,)* }
            }

            /// True when Kafka's exception class extends `RetriableException`.
            pub const fn is_retriable(self) -> bool {
                match self { $(Self::$variant => $retriable,)* }
            }
        }
    };
}

error_codes! {
    /// No error.
    #[default]
    None = "NONE", "", false;
    /// The broker could not say what went wrong.
    UnknownServerError = "UNKNOWN_SERVER_ERROR", "UnknownServerException", false;
    /// The offset is outside the log.
    OffsetOutOfRange = "OFFSET_OUT_OF_RANGE", "OffsetOutOfRangeException", false;
    /// The broker does not host the partition.
    UnknownTopicOrPartition = "UNKNOWN_TOPIC_OR_PARTITION", "UnknownTopicOrPartitionException", true;
    /// There is no leader just now.
    LeaderNotAvailable = "LEADER_NOT_AVAILABLE", "LeaderNotAvailableException", true;
    /// This broker is not the leader (or not a replica).
    NotLeaderOrFollower = "NOT_LEADER_OR_FOLLOWER", "NotLeaderOrFollowerException", true;
    /// The request waited longer than it allowed.
    RequestTimedOut = "REQUEST_TIMED_OUT", "TimeoutException", true;
    /// The broker asked for is not there.
    BrokerNotAvailable = "BROKER_NOT_AVAILABLE", "BrokerNotAvailableException", false;
    /// The batch is larger than the topic allows.
    MessageTooLarge = "MESSAGE_TOO_LARGE", "RecordTooLargeException", false;
    /// The connection broke before the answer came.
    NetworkException = "NETWORK_EXCEPTION", "NetworkException", true;
    /// The coordinator still loads its state.
    CoordinatorLoadInProgress = "COORDINATOR_LOAD_IN_PROGRESS", "CoordinatorLoadInProgressException", true;
    /// There is no coordinator just now.
    CoordinatorNotAvailable = "COORDINATOR_NOT_AVAILABLE", "CoordinatorNotAvailableException", true;
    /// This broker is not the coordinator of that group.
    NotCoordinator = "NOT_COORDINATOR", "NotCoordinatorException", true;
    /// The ISR is smaller than `min.insync.replicas`; nothing was written.
    NotEnoughReplicas = "NOT_ENOUGH_REPLICAS", "NotEnoughReplicasException", true;
    /// The ISR shrank below `min.insync.replicas` after the append.
    NotEnoughReplicasAfterAppend = "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "NotEnoughReplicasAfterAppendException", true;
    /// The member's generation is not the group's.
    IllegalGeneration = "ILLEGAL_GENERATION", "IllegalGenerationException", false;
    /// The members share no assignor or protocol type.
    InconsistentGroupProtocol = "INCONSISTENT_GROUP_PROTOCOL", "InconsistentGroupProtocolException", false;
    /// The group id is missing.
    InvalidGroupId = "INVALID_GROUP_ID", "InvalidGroupIdException", false;
    /// The coordinator does not know the member.
    UnknownMemberId = "UNKNOWN_MEMBER_ID", "UnknownMemberIdException", false;
    /// `session.timeout.ms` is outside the broker's bounds.
    InvalidSessionTimeout = "INVALID_SESSION_TIMEOUT", "InvalidSessionTimeoutException", false;
    /// The group is rebalancing; join again.
    RebalanceInProgress = "REBALANCE_IN_PROGRESS", "RebalanceInProgressException", false;
    /// The offset has no valid value to be committed.
    InvalidCommitOffsetSize = "INVALID_COMMIT_OFFSET_SIZE", "InvalidCommitOffsetSizeException", false;
    /// The member must join again with the id it was given.
    MemberIdRequired = "MEMBER_ID_REQUIRED", "MemberIdRequiredException", false;
    /// There is no such group.
    GroupIdNotFound = "GROUP_ID_NOT_FOUND", "GroupIdNotFoundException", false;
    /// The sequence number is not the next one.
    OutOfOrderSequenceNumber = "OUT_OF_ORDER_SEQUENCE_NUMBER", "OutOfOrderSequenceException", false;
    /// The batch was appended before; an answer without an offset.
    DuplicateSequenceNumber = "DUPLICATE_SEQUENCE_NUMBER", "DuplicateSequenceException", false;
    /// The producer's epoch is old.
    InvalidProducerEpoch = "INVALID_PRODUCER_EPOCH", "InvalidProducerEpochException", false;
    /// The transaction is in a state in which that is not possible.
    InvalidTxnState = "INVALID_TXN_STATE", "InvalidTxnStateException", false;
    /// The producer id does not belong to the transactional id.
    InvalidProducerIdMapping = "INVALID_PRODUCER_ID_MAPPING", "InvalidPidMappingException", false;
    /// `transaction.timeout.ms` is larger than the broker's `transaction.max.timeout.ms`.
    InvalidTransactionTimeout = "INVALID_TRANSACTION_TIMEOUT", "InvalidTxnTimeoutException", false;
    /// Another request about this transactional id is under way.
    ConcurrentTransactions = "CONCURRENT_TRANSACTIONS", "ConcurrentTransactionsException", true;
    /// A marker comes from a coordinator that was replaced.
    TransactionCoordinatorFenced = "TRANSACTION_COORDINATOR_FENCED", "TransactionCoordinatorFencedException", false;
    /// Not attempted, because something beside it failed.
    OperationNotAttempted = "OPERATION_NOT_ATTEMPTED", "OperationNotAttemptedException", false;
    /// Another producer with this transactional id has a newer epoch.
    ProducerFenced = "PRODUCER_FENCED", "ProducerFencedException", false;
    /// The coordinator does not know this transactional id.
    TransactionalIdNotFound = "TRANSACTIONAL_ID_NOT_FOUND", "TransactionalIdNotFoundException", false;
    /// The transaction can only be aborted; the producer can go on after that.
    TransactionAbortable = "TRANSACTION_ABORTABLE", "TransactionAbortableException", false;
    /// An open transaction has offsets for the partition.
    UnstableOffsetCommit = "UNSTABLE_OFFSET_COMMIT", "UnstableOffsetCommitException", true;
    /// The broker has no state for the producer id.
    UnknownProducerId = "UNKNOWN_PRODUCER_ID", "UnknownProducerIdException", false;
    /// The leader epoch in the request is old.
    FencedLeaderEpoch = "FENCED_LEADER_EPOCH", "FencedLeaderEpochException", true;
    /// The leader epoch in the request is newer than the broker's.
    UnknownLeaderEpoch = "UNKNOWN_LEADER_EPOCH", "UnknownLeaderEpochException", true;
    /// The leader does not know its high watermark well enough yet.
    OffsetNotAvailable = "OFFSET_NOT_AVAILABLE", "OffsetNotAvailableException", true;
    /// The member's epoch is not the coordinator's; it must abandon its partitions and join again.
    FencedMemberEpoch = "FENCED_MEMBER_EPOCH", "FencedMemberEpochException", false;
    /// Another member of the group has this `group.instance.id`.
    UnreleasedInstanceId = "UNRELEASED_INSTANCE_ID", "UnreleasedInstanceIdException", false;
    /// The broker has no assignor of that name.
    UnsupportedAssignor = "UNSUPPORTED_ASSIGNOR", "UnsupportedAssignorException", false;
    /// The member's epoch is not the one it has now; it may ask again with that one.
    StaleMemberEpoch = "STALE_MEMBER_EPOCH", "StaleMemberEpochException", false;
    /// The group has as many members as it may.
    GroupMaxSizeReached = "GROUP_MAX_SIZE_REACHED", "GroupMaxSizeReachedException", false;
    /// Another member uses this `group.instance.id`.
    FencedInstanceId = "FENCED_INSTANCE_ID", "FencedInstanceIdException", false;
    /// Another broker with this id is registered and alive.
    DuplicateBrokerRegistration = "DUPLICATE_BROKER_REGISTRATION", "DuplicateBrokerRegistrationException", false;
    /// The controller does not know this broker id.
    BrokerIdNotRegistered = "BROKER_ID_NOT_REGISTERED", "BrokerIdNotRegisteredException", false;
    /// The broker epoch is old.
    StaleBrokerEpoch = "STALE_BROKER_EPOCH", "StaleBrokerEpochException", false;
    /// This node is not the active controller.
    NotController = "NOT_CONTROLLER", "NotControllerException", true;
    /// The partition epoch in the request is old, or the change is impossible.
    InvalidUpdateVersion = "INVALID_UPDATE_VERSION", "InvalidUpdateVersionException", false;
    /// The change names a replica that may not join the ISR.
    IneligibleReplica = "INELIGIBLE_REPLICA", "IneligibleReplicaException", false;
    /// The controller changed the partition meanwhile.
    NewLeaderElected = "NEW_LEADER_ELECTED", "NewLeaderElectedException", false;
    /// The preferred leader may not lead.
    PreferredLeaderNotAvailable = "PREFERRED_LEADER_NOT_AVAILABLE", "PreferredLeaderNotAvailableException", true;
    /// No replica may lead, not even uncleanly.
    EligibleLeadersNotAvailable = "ELIGIBLE_LEADERS_NOT_AVAILABLE", "EligibleLeadersNotAvailableException", true;
    /// The partition is led as the election would have it.
    ElectionNotNeeded = "ELECTION_NOT_NEEDED", "ElectionNotNeededException", true;
    /// There is no reassignment to cancel.
    NoReassignmentInProgress = "NO_REASSIGNMENT_IN_PROGRESS", "NoReassignmentInProgressException", false;
    /// The replicas are not possible.
    InvalidReplicaAssignment = "INVALID_REPLICA_ASSIGNMENT", "InvalidReplicaAssignmentException", false;
    /// The request contradicts itself, or what the broker knows.
    InvalidRequest = "INVALID_REQUEST", "InvalidRequestException", false;
    /// The record is not in a state, or not with the member, that allows this.
    InvalidRecordState = "INVALID_RECORD_STATE", "InvalidRecordStateException", false;
    /// The broker has no such share session.
    ShareSessionNotFound = "SHARE_SESSION_NOT_FOUND", "ShareSessionNotFoundException", true;
    /// The epoch of the share session is not the next one.
    InvalidShareSessionEpoch = "INVALID_SHARE_SESSION_EPOCH", "InvalidShareSessionEpochException", true;
    /// The share partition's state has a newer epoch.
    FencedStateEpoch = "FENCED_STATE_EPOCH", "FencedStateEpochException", false;
    /// The group has members.
    NonEmptyGroup = "NON_EMPTY_GROUP", "GroupNotEmptyException", false;
    /// A record is not valid in its topic: no key where the topic is compacted.
    InvalidRecord = "INVALID_RECORD", "InvalidRecordException", false;
    /// A record's time stamp is too far from the broker's clock.
    InvalidTimestamp = "INVALID_TIMESTAMP", "InvalidTimestampException", false;
    /// The topic's settings forbid it.
    PolicyViolation = "POLICY_VIOLATION", "PolicyViolationException", false;
    /// A setting has a value that Kafka refuses.
    InvalidConfig = "INVALID_CONFIG", "InvalidConfigurationException", false;
    /// The number of partitions is not an increase.
    InvalidPartitions = "INVALID_PARTITIONS", "InvalidPartitionsException", false;
    /// A member of the group subscribes to the topic.
    GroupSubscribedToTopic = "GROUP_SUBSCRIBED_TO_TOPIC", "GroupSubscribedToTopicException", false;
    /// `acks` is not 0, 1 or all.
    InvalidRequiredAcks = "INVALID_REQUIRED_ACKS", "InvalidRequiredAcksException", false;
    /// A batch does not have the checksum it says.
    CorruptMessage = "CORRUPT_MESSAGE", "CorruptRecordException", true;
    /// RE2/J does not understand what a member subscribes to.
    InvalidRegularExpression = "INVALID_REGULAR_EXPRESSION", "InvalidRegularExpression", false;
    /// There is a topic of that name.
    TopicAlreadyExists = "TOPIC_ALREADY_EXISTS", "TopicExistsException", false;
}

impl ErrorCode {
    /// The code called `name` (`NOT_ENOUGH_REPLICAS`).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// What a coordinator tells its client when the append of its own record failed with this code: the client should
    /// look for the coordinator again, not think that its request was wrong
    /// (`CoordinatorOperationExceptionHelper`, `TransactionStateManager.appendTransactionToLog`).
    #[must_use]
    pub fn of_coordinator_append(self) -> Self {
        match self {
            Self::UnknownTopicOrPartition
            | Self::NotEnoughReplicas
            | Self::NotEnoughReplicasAfterAppend
            | Self::RequestTimedOut => Self::CoordinatorNotAvailable,
            Self::NotLeaderOrFollower => Self::NotCoordinator,
            Self::MessageTooLarge => Self::UnknownServerError,
            other => other,
        }
    }
}

/// What a Java client throws or completes a future with, by simple class name. Errors of the wire become
/// [`Exception::Wire`]; the rest exist only in the client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Exception {
    /// The exception of an error code.
    Wire(ErrorCode),
    /// `TimeoutException`: `delivery.timeout.ms`, `max.block.ms`, `default.api.timeout.ms` or a request timed out.
    Timeout,
    /// `NetworkException`: the connection broke and there is no retry left.
    Network,
    /// `BufferExhaustedException`, a `TimeoutException`: `buffer.memory` stayed full for `max.block.ms`.
    BufferExhausted,
    /// `RecordTooLargeException`: the record exceeds `max.request.size` or `buffer.memory`.
    RecordTooLarge,
    /// `CommitFailedException`: the member is not in the group any more.
    CommitFailed,
    /// `RetriableCommitFailedException`: an asynchronous commit met a retriable error.
    RetriableCommitFailed,
    /// `NoOffsetForPartitionException`: no committed offset and `auto.offset.reset=none`.
    NoOffsetForPartition,
    /// `LogTruncationException`: the log was truncated below the position and `auto.offset.reset=none`.
    LogTruncation,
    /// `InvalidGroupIdException`: a group operation without `group.id`.
    InvalidGroupId,
    /// `IllegalStateException`.
    IllegalState,
    /// `IllegalArgumentException`.
    IllegalArgument,
    /// `ConfigException`.
    Config,
    /// `InvalidConfigurationException`: settings that contradict each other.
    InvalidConfiguration,
    /// `KafkaException`.
    Kafka,
    /// `TransactionAbortedException`: the record was never sent, because the application aborts the transaction.
    TransactionAborted,
    /// `_NO_OFFSET` of librdkafka: a commit, and nothing is stored.
    NoOffset,
    /// `_MAX_POLL_EXCEEDED` of librdkafka: `max.poll.interval.ms` had passed.
    MaxPollExceeded,
    /// Not an exception: what `kafka-consumer-groups.sh` prints when it is to reset offsets of a group with members.
    GroupIsActive,
    /// Not an exception: what `kafka-share-groups.sh` prints when it is to reset offsets of a group with members.
    ShareGroupIsNotEmpty,
    /// Not an exception: what `kafka-transactions.sh abort` prints when no open transaction begins there.
    NoOpenTransaction,
    /// `UnsupportedOperationException`: the protocol of the consumer does not have it.
    UnsupportedOperation,
}

impl Exception {
    /// The simple name of the Java class.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wire(code) => code.exception(),
            Self::Timeout => "TimeoutException",
            Self::Network => "NetworkException",
            Self::BufferExhausted => "BufferExhaustedException",
            Self::RecordTooLarge => "RecordTooLargeException",
            Self::CommitFailed => "CommitFailedException",
            Self::RetriableCommitFailed => "RetriableCommitFailedException",
            Self::NoOffsetForPartition => "NoOffsetForPartitionException",
            Self::LogTruncation => "LogTruncationException",
            Self::InvalidGroupId => "InvalidGroupIdException",
            Self::IllegalState => "IllegalStateException",
            Self::IllegalArgument => "IllegalArgumentException",
            Self::UnsupportedOperation => "UnsupportedOperationException",
            Self::Config => "ConfigException",
            Self::InvalidConfiguration => "InvalidConfigurationException",
            Self::Kafka => "KafkaException",
            Self::TransactionAborted => "TransactionAbortedException",
            Self::NoOffset => "_NO_OFFSET",
            Self::MaxPollExceeded => "_MAX_POLL_EXCEEDED",
            Self::GroupIsActive => "Assignments can only be reset if the group is inactive",
            Self::ShareGroupIsNotEmpty => "Share group is not empty",
            Self::NoOpenTransaction => "Could not find any open transactions starting at offset",
        }
    }

    /// True when the class extends `RetriableException`.
    pub const fn is_retriable(self) -> bool {
        match self {
            Self::Wire(code) => code.is_retriable(),
            Self::Timeout | Self::Network | Self::BufferExhausted => true,
            _ => false,
        }
    }

    /// True when the class extends `ApiException`: `send()` completes its future with it and does not throw.
    pub const fn is_api(self) -> bool {
        !matches!(
            self,
            Self::IllegalState
                | Self::IllegalArgument
                | Self::UnsupportedOperation
                | Self::Config
                | Self::Kafka
        )
    }
}
