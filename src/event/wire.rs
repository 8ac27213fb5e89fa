//! What a screen shows of a message on the wire.

use crate::base::error::ErrorCode;
use crate::base::ids::{BatchHandle, PartitionId};

/// The request or response a wire message is, by Kafka's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Api {
    /// `Produce`.
    Produce,
    /// `Fetch`, of a consumer or a follower.
    Fetch,
    /// `ListOffsets`.
    ListOffsets,
    /// `Metadata`.
    Metadata,
    /// `OffsetForLeaderEpoch`.
    OffsetForLeaderEpoch,
    /// `InitProducerId`.
    InitProducerId,
    /// `FindCoordinator`.
    FindCoordinator,
    /// `JoinGroup`.
    JoinGroup,
    /// `SyncGroup`.
    SyncGroup,
    /// `Heartbeat`.
    Heartbeat,
    /// `LeaveGroup`.
    LeaveGroup,
    /// `ConsumerGroupHeartbeat` (KIP-848).
    ConsumerGroupHeartbeat,
    /// `OffsetCommit`.
    OffsetCommit,
    /// `OffsetFetch`.
    OffsetFetch,
    /// `AlterPartition`.
    AlterPartition,
    /// `BrokerRegistration`.
    BrokerRegistration,
    /// `BrokerHeartbeat`.
    BrokerHeartbeat,
    /// `Fetch` of the metadata log by a broker (an observer of the quorum) or by another controller.
    MetadataFetch,
    /// `Vote`, a `PreVote` too.
    Vote,
    /// `BeginQuorumEpoch`.
    BeginQuorumEpoch,
    /// `EndQuorumEpoch`.
    EndQuorumEpoch,
    /// `AddPartitionsToTxn`, of a client or of the leader of a partition.
    AddPartitionsToTxn,
    /// `AddOffsetsToTxn`.
    AddOffsetsToTxn,
    /// `TxnOffsetCommit`.
    TxnOffsetCommit,
    /// `EndTxn`.
    EndTxn,
    /// `WriteTxnMarkers`.
    WriteTxnMarkers,
    /// `ShareGroupHeartbeat`.
    ShareGroupHeartbeat,
    /// `ShareFetch`.
    ShareFetch,
    /// `ShareAcknowledge`.
    ShareAcknowledge,
    /// `ReadShareGroupState`.
    ReadShareGroupState,
    /// `WriteShareGroupState`.
    WriteShareGroupState,
}

impl Api {
    /// Every API, in the order of declaration.
    pub const ALL: [Self; 31] = [
        Self::Produce,
        Self::Fetch,
        Self::ListOffsets,
        Self::Metadata,
        Self::OffsetForLeaderEpoch,
        Self::InitProducerId,
        Self::FindCoordinator,
        Self::JoinGroup,
        Self::SyncGroup,
        Self::Heartbeat,
        Self::LeaveGroup,
        Self::ConsumerGroupHeartbeat,
        Self::OffsetCommit,
        Self::OffsetFetch,
        Self::AlterPartition,
        Self::BrokerRegistration,
        Self::BrokerHeartbeat,
        Self::MetadataFetch,
        Self::Vote,
        Self::BeginQuorumEpoch,
        Self::EndQuorumEpoch,
        Self::AddPartitionsToTxn,
        Self::AddOffsetsToTxn,
        Self::TxnOffsetCommit,
        Self::EndTxn,
        Self::WriteTxnMarkers,
        Self::ShareGroupHeartbeat,
        Self::ShareFetch,
        Self::ShareAcknowledge,
        Self::ReadShareGroupState,
        Self::WriteShareGroupState,
    ];

    /// Kafka's name (`ApiKeys`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Produce => "Produce",
            Self::Fetch => "Fetch",
            Self::ListOffsets => "ListOffsets",
            Self::Metadata => "Metadata",
            Self::OffsetForLeaderEpoch => "OffsetForLeaderEpoch",
            Self::InitProducerId => "InitProducerId",
            Self::FindCoordinator => "FindCoordinator",
            Self::JoinGroup => "JoinGroup",
            Self::SyncGroup => "SyncGroup",
            Self::Heartbeat => "Heartbeat",
            Self::LeaveGroup => "LeaveGroup",
            Self::ConsumerGroupHeartbeat => "ConsumerGroupHeartbeat",
            Self::OffsetCommit => "OffsetCommit",
            Self::OffsetFetch => "OffsetFetch",
            Self::AlterPartition => "AlterPartition",
            Self::BrokerRegistration => "BrokerRegistration",
            Self::BrokerHeartbeat => "BrokerHeartbeat",
            Self::MetadataFetch => "MetadataFetch",
            Self::Vote => "Vote",
            Self::BeginQuorumEpoch => "BeginQuorumEpoch",
            Self::EndQuorumEpoch => "EndQuorumEpoch",
            Self::AddPartitionsToTxn => "AddPartitionsToTxn",
            Self::AddOffsetsToTxn => "AddOffsetsToTxn",
            Self::TxnOffsetCommit => "TxnOffsetCommit",
            Self::EndTxn => "EndTxn",
            Self::WriteTxnMarkers => "WriteTxnMarkers",
            Self::ShareGroupHeartbeat => "ShareGroupHeartbeat",
            Self::ShareFetch => "ShareFetch",
            Self::ShareAcknowledge => "ShareAcknowledge",
            Self::ReadShareGroupState => "ReadShareGroupState",
            Self::WriteShareGroupState => "WriteShareGroupState",
        }
    }
}

/// The part of a wire message that a screen shows: what it is, about which partition, with which number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WireLabel {
    /// Request or response of this API.
    pub api: Api,
    /// True for the answer.
    pub response: bool,
    /// The error of an answer (the first, where it has several).
    pub error: ErrorCode,
    /// The partition concerned: of several, the first that carries data. `None` when it is about none.
    pub partition: Option<PartitionId>,
    /// `Produce` and answers of `Fetch`: the (first) batch carried, or [`BatchHandle::NONE`].
    pub batch: BatchHandle,
    /// `Fetch`: the fetch offset; answers of `Produce`: the base offset; else -1. Saturates at 2³¹−1.
    pub offset: i32,
}

/// Why a wire message did not arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LossReason {
    /// A rule of the script dropped it.
    Dropped,
    /// The connection was closed before it arrived.
    ConnectionClosed,
    /// The receiver was down.
    ReceiverDown,
    /// The network between the two is partitioned.
    CutOff,
}
