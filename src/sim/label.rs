//! What a message on the wire is about: its label for screens and rules, and an error answer in a broker's place.

mod share;

use crate::base::batch::BatchTable;
use crate::base::error::ErrorCode;
use crate::base::ids::{
    BatchHandle, Generation, LeaderEpoch, MemberId, MessageId, Offset, PartitionId,
};
use crate::event::{Api, WireLabel};
use crate::kafka::api::{FetchResult, ListOffsetsResult, Message, ProduceBatch, ProduceResult};
use crate::kafka::effects::{List, Pools};

/// The label of `message`.
pub(super) fn label(message: &Message, pools: &Pools) -> WireLabel {
    let (api, response) = api_of(message);
    let mut label = WireLabel {
        api,
        response,
        error: ErrorCode::None,
        partition: None,
        batch: BatchHandle::NONE,
        offset: -1,
    };
    detail(message, pools, &mut label);
    label
}

fn api_of(message: &Message) -> (Api, bool) {
    match message {
        Message::Metadata => (Api::Metadata, false),
        Message::MetadataResponse { .. } => (Api::Metadata, true),
        Message::Produce { .. } => (Api::Produce, false),
        Message::ProduceResponse { .. } => (Api::Produce, true),
        Message::Fetch { .. } => (Api::Fetch, false),
        Message::FetchResponse { .. } => (Api::Fetch, true),
        Message::ListOffsets { .. } => (Api::ListOffsets, false),
        Message::ListOffsetsResponse { .. } => (Api::ListOffsets, true),
        Message::OffsetForLeaderEpoch { .. } => (Api::OffsetForLeaderEpoch, false),
        Message::OffsetForLeaderEpochResponse { .. } => (Api::OffsetForLeaderEpoch, true),
        Message::InitProducerId { .. } => (Api::InitProducerId, false),
        Message::InitProducerIdResponse { .. } => (Api::InitProducerId, true),
        Message::FindCoordinator { .. } | Message::FindTransactionCoordinator { .. } => {
            (Api::FindCoordinator, false)
        }
        Message::FindCoordinatorResponse { .. } => (Api::FindCoordinator, true),
        Message::JoinGroup { .. } => (Api::JoinGroup, false),
        Message::JoinGroupResponse { .. } => (Api::JoinGroup, true),
        Message::SyncGroup { .. } => (Api::SyncGroup, false),
        Message::SyncGroupResponse { .. } => (Api::SyncGroup, true),
        Message::Heartbeat { .. } => (Api::Heartbeat, false),
        Message::HeartbeatResponse { .. } => (Api::Heartbeat, true),
        Message::LeaveGroup { .. } => (Api::LeaveGroup, false),
        Message::LeaveGroupResponse { .. } => (Api::LeaveGroup, true),
        Message::ConsumerGroupHeartbeat { .. } => (Api::ConsumerGroupHeartbeat, false),
        Message::ConsumerGroupHeartbeatResponse { .. } => (Api::ConsumerGroupHeartbeat, true),
        Message::OffsetCommit { .. } => (Api::OffsetCommit, false),
        Message::OffsetCommitResponse { .. } => (Api::OffsetCommit, true),
        Message::OffsetFetch { .. } => (Api::OffsetFetch, false),
        Message::OffsetFetchResponse { .. } => (Api::OffsetFetch, true),
        Message::BrokerRegistration { .. } => (Api::BrokerRegistration, false),
        Message::BrokerRegistrationResponse { .. } => (Api::BrokerRegistration, true),
        Message::BrokerHeartbeat { .. } => (Api::BrokerHeartbeat, false),
        Message::BrokerHeartbeatResponse { .. } => (Api::BrokerHeartbeat, true),
        Message::AlterPartition { .. } => (Api::AlterPartition, false),
        Message::AlterPartitionResponse { .. } => (Api::AlterPartition, true),
        Message::MetadataFetch { .. } => (Api::MetadataFetch, false),
        Message::MetadataFetchResponse { .. } | Message::MetadataFetchDiverging { .. } => {
            (Api::MetadataFetch, true)
        }
        Message::Vote { .. } => (Api::Vote, false),
        Message::VoteResponse { .. } => (Api::Vote, true),
        Message::BeginQuorumEpoch { .. } => (Api::BeginQuorumEpoch, false),
        Message::BeginQuorumEpochResponse { .. } => (Api::BeginQuorumEpoch, true),
        Message::EndQuorumEpoch { .. } => (Api::EndQuorumEpoch, false),
        Message::EndQuorumEpochResponse { .. } => (Api::EndQuorumEpoch, true),
        Message::AddPartitionsToTxn { .. } => (Api::AddPartitionsToTxn, false),
        Message::AddPartitionsToTxnResponse { .. } => (Api::AddPartitionsToTxn, true),
        Message::AddOffsetsToTxn { .. } => (Api::AddOffsetsToTxn, false),
        Message::AddOffsetsToTxnResponse { .. } => (Api::AddOffsetsToTxn, true),
        Message::TxnOffsetCommit { .. } => (Api::TxnOffsetCommit, false),
        Message::TxnOffsetCommitResponse { .. } => (Api::TxnOffsetCommit, true),
        Message::EndTxn { .. } => (Api::EndTxn, false),
        Message::EndTxnResponse { .. } => (Api::EndTxn, true),
        Message::WriteTxnMarkers { .. } => (Api::WriteTxnMarkers, false),
        Message::WriteTxnMarkersResponse { .. } => (Api::WriteTxnMarkers, true),
        Message::ShareGroupHeartbeat { .. } => (Api::ShareGroupHeartbeat, false),
        Message::ShareGroupHeartbeatResponse { .. } => (Api::ShareGroupHeartbeat, true),
        Message::ShareFetch { .. } => (Api::ShareFetch, false),
        Message::ShareFetchResponse { .. } => (Api::ShareFetch, true),
        Message::ShareAcknowledge { .. } => (Api::ShareAcknowledge, false),
        Message::ShareAcknowledgeResponse { .. } => (Api::ShareAcknowledge, true),
        Message::ReadShareGroupState { .. } => (Api::ReadShareGroupState, false),
        Message::ReadShareGroupStateResponse { .. } => (Api::ReadShareGroupState, true),
        Message::WriteShareGroupState { .. } => (Api::WriteShareGroupState, false),
        Message::WriteShareGroupStateResponse { .. } => (Api::WriteShareGroupState, true),
    }
}

fn detail(message: &Message, pools: &Pools, label: &mut WireLabel) {
    let narrow = |offset: Offset| i32::try_from(offset.0).unwrap_or(i32::MAX);
    match *message {
        Message::Produce { batches, .. } => {
            if let Some(first) = pools.get(batches).first() {
                (label.partition, label.batch) = (Some(first.partition), first.batch);
            }
        }
        Message::ProduceResponse { results } => {
            let results = pools.get(results);
            let worst = results.iter().find(|r| r.error != ErrorCode::None).or(results.first());
            if let Some(result) = worst {
                (label.partition, label.batch) = (Some(result.partition), result.batch);
                (label.error, label.offset) = (result.error, narrow(result.base_offset));
            }
        }
        Message::Fetch { partitions, .. } => {
            if let Some(first) = pools.get(partitions).first() {
                (label.partition, label.offset) = (Some(first.partition), narrow(first.offset));
            }
        }
        Message::FetchResponse { results, slices, .. } => {
            fetch_response(pools, results, slices, label);
        }
        Message::ListOffsetsResponse { results } => {
            if let Some(first) = pools.get(results).first() {
                (label.partition, label.error) = (Some(first.partition), first.error);
                label.offset = narrow(first.offset);
            }
        }
        Message::OffsetCommit { offsets, .. }
        | Message::TxnOffsetCommit { offsets, .. }
        | Message::OffsetFetchResponse { offsets, .. } => {
            if let Some(first) = pools.get(offsets).first() {
                (label.partition, label.offset) = (Some(first.partition), narrow(first.offset));
            }
        }
        Message::AddPartitionsToTxn { partitions, .. } => {
            label.partition = pools.get(partitions).first().copied();
        }
        Message::WriteTxnMarkers { markers } => {
            label.partition = pools.get(markers).first().map(|marker| marker.partition);
        }
        Message::WriteTxnMarkersResponse { results } => {
            let results = pools.get(results);
            let worst = results.iter().find(|r| r.error != ErrorCode::None).or(results.first());
            if let Some(result) = worst {
                (label.partition, label.error) = (Some(result.partition), result.error);
            }
        }
        Message::OffsetForLeaderEpoch { partition, .. }
        | Message::ReadShareGroupState { partition, .. }
        | Message::ReadShareGroupStateResponse { partition, .. }
        | Message::WriteShareGroupState { partition, .. } => label.partition = Some(partition),
        Message::OffsetForLeaderEpochResponse { partition, error, end, .. } => {
            (label.partition, label.error, label.offset) = (Some(partition), error, narrow(end));
        }
        Message::AlterPartition { changes, .. } => {
            label.partition = pools.get(changes).first().map(|change| change.partition);
        }
        Message::MetadataFetch { offset, .. } => label.offset = narrow(Offset(offset)),
        _ => share::detail(message, pools, label),
    }
    if let Some(error) = plain_error(message) {
        label.error = error;
    }
}

fn fetch_response(
    pools: &Pools,
    results: List<FetchResult>,
    slices: List<crate::kafka::api::FetchedSlice>,
    label: &mut WireLabel,
) {
    let results = pools.get(results);
    let telling = results
        .iter()
        .find(|r| r.error != ErrorCode::None || r.slice_count > 0)
        .or(results.first());
    if let Some(result) = telling {
        (label.partition, label.error) = (Some(result.partition), result.error);
    }
    if let Some(slice) = pools.get(slices).first() {
        label.batch = slice.batch;
        label.offset = i32::try_from(slice.base_offset.0).unwrap_or(i32::MAX);
    }
}

/// The error of an answer that has one for the whole.
fn plain_error(message: &Message) -> Option<ErrorCode> {
    match *message {
        Message::InitProducerIdResponse { error, .. }
        | Message::FindCoordinatorResponse { error, .. }
        | Message::JoinGroupResponse { error, .. }
        | Message::SyncGroupResponse { error, .. }
        | Message::HeartbeatResponse { error }
        | Message::LeaveGroupResponse { error }
        | Message::ConsumerGroupHeartbeatResponse { error, .. }
        | Message::OffsetCommitResponse { error }
        | Message::OffsetFetchResponse { error, .. }
        | Message::AddPartitionsToTxnResponse { error }
        | Message::AddOffsetsToTxnResponse { error }
        | Message::TxnOffsetCommitResponse { error }
        | Message::EndTxnResponse { error, .. }
        | Message::BrokerRegistrationResponse { error, .. }
        | Message::BrokerHeartbeatResponse { error, .. }
        | Message::AlterPartitionResponse { error, .. }
        | Message::MetadataFetchResponse { error, .. }
        | Message::ShareGroupHeartbeatResponse { error, .. }
        | Message::ReadShareGroupStateResponse { error, .. }
        | Message::WriteShareGroupStateResponse { error }
        | Message::VoteResponse { error, .. }
        | Message::BeginQuorumEpochResponse { error, .. }
        | Message::EndQuorumEpochResponse { error, .. } => Some(error),
        _ => None,
    }
}

/// True when `message` has the record of `wanted` in it.
pub(super) fn carries(
    message: &Message,
    pools: &Pools,
    batches: &BatchTable,
    wanted: MessageId,
) -> bool {
    let holds = |batch| batches.messages(batch).any(|id| id == wanted);
    match *message {
        Message::Produce { batches, .. } => pools.get(batches).iter().any(|b| holds(b.batch)),
        Message::ProduceResponse { results } => pools.get(results).iter().any(|r| holds(r.batch)),
        Message::FetchResponse { slices, .. } | Message::ShareFetchResponse { slices, .. } => {
            pools.get(slices).iter().any(|s| holds(s.batch))
        }
        _ => false,
    }
}

/// The answer with `error` to a request, as a proxy in the broker's place would give it; `None` for an API whose
/// answer has no error of its own.
pub(super) fn error_answer(
    message: &Message,
    error: ErrorCode,
    pools: &mut Pools,
) -> Option<Message> {
    let none = Offset::NONE;
    Some(match *message {
        Message::Produce { acks: 0, .. } => return None,
        Message::Produce { batches, .. } => {
            let failed = |b: &ProduceBatch| produce_result(b.partition, b.batch, error);
            let results: Vec<_> = pools.get(batches).iter().map(failed).collect();
            Message::ProduceResponse { results: pools.add(&results) }
        }
        Message::Fetch { partitions, .. } => {
            let results: Vec<_> =
                pools.get(partitions).iter().map(|p| fetch_result(p.partition, error)).collect();
            Message::FetchResponse {
                results: pools.add(&results),
                slices: List::EMPTY,
                aborted: List::EMPTY,
            }
        }
        Message::ListOffsets { partitions, .. } => {
            let leader_epoch = LeaderEpoch::NONE;
            let results: Vec<_> = pools
                .get(partitions)
                .iter()
                .map(|p| ListOffsetsResult {
                    partition: p.partition,
                    error,
                    offset: none,
                    leader_epoch,
                })
                .collect();
            Message::ListOffsetsResponse { results: pools.add(&results) }
        }
        Message::OffsetForLeaderEpoch { partition, .. } => Message::OffsetForLeaderEpochResponse {
            partition,
            error,
            epoch: LeaderEpoch::NONE,
            end: none,
        },
        Message::InitProducerId { producer_id, epoch, .. } => {
            Message::InitProducerIdResponse { error, producer_id, epoch }
        }
        Message::FindCoordinator { .. } | Message::FindTransactionCoordinator { .. } => {
            Message::FindCoordinatorResponse { error, coordinator: None }
        }
        Message::JoinGroup { member, .. } => join_answer(member, error),
        Message::SyncGroup { .. } => Message::SyncGroupResponse { error, assignment: List::EMPTY },
        Message::Heartbeat { .. } => Message::HeartbeatResponse { error },
        Message::LeaveGroup { .. } => Message::LeaveGroupResponse { error },
        Message::ConsumerGroupHeartbeat { member, .. } => consumer_heartbeat_error(member, error),
        Message::OffsetCommit { .. } => Message::OffsetCommitResponse { error },
        Message::OffsetFetch { .. } => Message::OffsetFetchResponse { error, offsets: List::EMPTY },
        Message::AddPartitionsToTxn { .. } => Message::AddPartitionsToTxnResponse { error },
        Message::AddOffsetsToTxn { .. } => Message::AddOffsetsToTxnResponse { error },
        Message::TxnOffsetCommit { .. } => Message::TxnOffsetCommitResponse { error },
        Message::EndTxn { producer_id, epoch, .. } => {
            Message::EndTxnResponse { error, producer_id, epoch }
        }
        Message::AlterPartition { .. } => {
            Message::AlterPartitionResponse { error, results: List::EMPTY }
        }
        _ => return share::error_answer(message, error),
    })
}

fn join_answer(member: MemberId, error: ErrorCode) -> Message {
    let (generation, leader) = (Generation(-1), MemberId::UNKNOWN);
    let (protocol, skip_assignment, members) = (None, false, List::EMPTY);
    Message::JoinGroupResponse {
        error,
        generation,
        protocol,
        leader,
        member,
        skip_assignment,
        members,
    }
}

/// `answer` with `error` in it: the request was applied and the asker is told otherwise.
pub(super) fn change_answer(answer: Message, error: ErrorCode, pools: &mut Pools) -> Message {
    match answer {
        Message::ProduceResponse { results } => {
            let changed: Vec<_> = pools
                .get(results)
                .iter()
                .map(|r| produce_result(r.partition, r.batch, error))
                .collect();
            pools.free(answer);
            Message::ProduceResponse { results: pools.add(&changed) }
        }
        Message::FetchResponse { results, .. } => {
            let changed: Vec<_> =
                pools.get(results).iter().map(|r| fetch_result(r.partition, error)).collect();
            pools.free(answer);
            Message::FetchResponse {
                results: pools.add(&changed),
                slices: List::EMPTY,
                aborted: List::EMPTY,
            }
        }
        Message::ConsumerGroupHeartbeatResponse { member, .. } => {
            pools.free(answer);
            consumer_heartbeat_error(member, error)
        }
        Message::OffsetCommitResponse { .. } => Message::OffsetCommitResponse { error },
        Message::AddPartitionsToTxnResponse { .. } => Message::AddPartitionsToTxnResponse { error },
        Message::AddOffsetsToTxnResponse { .. } => Message::AddOffsetsToTxnResponse { error },
        Message::TxnOffsetCommitResponse { .. } => Message::TxnOffsetCommitResponse { error },
        Message::EndTxnResponse { producer_id, epoch, .. } => {
            Message::EndTxnResponse { error, producer_id, epoch }
        }
        Message::HeartbeatResponse { .. } => Message::HeartbeatResponse { error },
        Message::LeaveGroupResponse { .. } => Message::LeaveGroupResponse { error },
        other => other,
    }
}

fn consumer_heartbeat_error(member: MemberId, error: ErrorCode) -> Message {
    let (epoch, heartbeat_interval_ms, assignment) = (0, 0, None);
    Message::ConsumerGroupHeartbeatResponse {
        error,
        member,
        epoch,
        heartbeat_interval_ms,
        assignment,
    }
}

fn produce_result(partition: PartitionId, batch: BatchHandle, error: ErrorCode) -> ProduceResult {
    let (base_offset, leader_epoch) = (Offset::NONE, LeaderEpoch::NONE);
    ProduceResult { partition, batch, error, base_offset, leader: None, leader_epoch }
}

fn fetch_result(partition: PartitionId, error: ErrorCode) -> FetchResult {
    FetchResult {
        partition,
        error,
        high_watermark: Offset::NONE,
        log_start: Offset::NONE,
        diverging_epoch: LeaderEpoch::NONE,
        diverging_end: Offset::NONE,
        leader: None,
        leader_epoch: LeaderEpoch::NONE,
        preferred_read_replica: None,
        slice_count: 0,
        last_stable_offset: Offset::NONE,
        aborted_count: 0,
    }
}
