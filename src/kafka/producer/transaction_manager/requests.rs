//! What a transactional producer has to ask coordinators, in the order in which it may ask: at most one of these
//! requests is in flight, and nothing is produced meanwhile.
//!
//! Kafka: `TransactionManager.TxnRequestHandler`, its subclasses and `Priority`.
//! Simplified: requests of one priority go first in, first out (Kafka's priority queue does not promise an order); the
//! offsets of a call stay with its request.

use std::collections::VecDeque;

use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{
    Generation, GroupId, MemberId, PartitionId, ProducerEpoch, TransactionalId,
};
use crate::base::time::Duration;
use crate::kafka::api::{Message, PartitionOffset};
use crate::kafka::effects::Effects;
use crate::kafka::producer::transaction_manager::ProducerIdAndEpoch;
use crate::kafka::producer::transaction_manager::transactional::ResultId;

/// What `sendOffsetsToTransaction` was given: offsets, and who the consumer that read up to them is
/// (`ConsumerGroupMetadata`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GroupOffsets {
    /// Its group.
    pub group: GroupId,
    /// Its member id; [`MemberId::NONE`](crate::base::ids::MemberId) for a consumer that manages its partitions itself.
    pub member: MemberId,
    /// Its generation, or -1.
    pub generation: Generation,
    /// The next offset to read, a partition.
    pub offsets: Vec<PartitionOffset>,
}

/// A coordinator to be found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(in crate::kafka::producer) enum Coordinator {
    /// Of the transactional id.
    Transaction,
    /// Of a group whose offsets go into the transaction.
    Group(GroupId),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::kafka::producer) enum Request {
    FindCoordinator(Coordinator),
    /// `bump`: the client wants the next epoch after an abort (transaction version 1).
    InitProducerId {
        bump: bool,
    },
    AddPartitionsToTxn(Vec<PartitionId>),
    AddOffsetsToTxn(GroupOffsets),
    TxnOffsetCommit(GroupOffsets),
    EndTxn {
        committed: bool,
        bumps: bool,
    },
}

impl Request {
    /// `Priority`: the smallest goes first.
    fn priority(&self) -> u8 {
        match self {
            Self::FindCoordinator(_) => 0,
            Self::InitProducerId { bump: false } => 1,
            Self::AddPartitionsToTxn(_) | Self::AddOffsetsToTxn(_) | Self::TxnOffsetCommit(_) => 2,
            Self::EndTxn { .. } => 3,
            Self::InitProducerId { bump: true } => 4,
        }
    }
}

/// A request that is to be sent, or is in flight.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::kafka::producer) struct PendingRequest {
    pub(in crate::kafka::producer) request: Request,
    /// The producer id and epoch it was made with; `None` before there is one.
    pub(super) producer: Option<ProducerIdAndEpoch>,
    /// The call that waits for it.
    pub(super) result: Option<ResultId>,
    /// It was tried before: it waits `backoff` once its broker is ready.
    pub(in crate::kafka::producer) retry: bool,
    pub(in crate::kafka::producer) backoff: Duration,
}

impl PendingRequest {
    /// Which coordinator it goes to; `None`: any broker.
    pub(in crate::kafka::producer) fn coordinator(&self) -> Option<Coordinator> {
        match &self.request {
            Request::FindCoordinator(_) => None,
            Request::TxnOffsetCommit(offsets) => Some(Coordinator::Group(offsets.group)),
            _ => Some(Coordinator::Transaction),
        }
    }

    /// It looks for a coordinator.
    pub(in crate::kafka::producer) fn is_lookup(&self) -> bool {
        matches!(self.request, Request::FindCoordinator(_))
    }

    pub(super) fn is_end(&self) -> bool {
        matches!(self.request, Request::EndTxn { .. })
    }

    /// As it goes over the wire. `adds` says that the client speaks transaction version 2.
    pub(super) fn message(
        &self,
        id: TransactionalId,
        timeout_ms: u32,
        adds: bool,
        fx: &mut Effects,
    ) -> Message {
        let (producer_id, epoch) =
            self.producer.map_or((-1, ProducerEpoch(-1)), |producer| (producer.id, producer.epoch));
        match &self.request {
            Request::FindCoordinator(Coordinator::Transaction) => {
                Message::FindTransactionCoordinator { id }
            }
            Request::FindCoordinator(Coordinator::Group(group)) => {
                Message::FindCoordinator { group: *group }
            }
            Request::InitProducerId { .. } => {
                Message::InitProducerId { transactional: Some(id), timeout_ms, producer_id, epoch }
            }
            Request::AddPartitionsToTxn(partitions) => Message::AddPartitionsToTxn {
                id,
                producer_id,
                epoch,
                verify_only: false,
                partitions: fx.keep(partitions),
            },
            Request::AddOffsetsToTxn(offsets) => {
                Message::AddOffsetsToTxn { id, producer_id, epoch, group: offsets.group }
            }
            Request::TxnOffsetCommit(offsets) => {
                let list: &[PartitionOffset] = &offsets.offsets;
                Message::TxnOffsetCommit {
                    id,
                    producer_id,
                    epoch,
                    group: offsets.group,
                    adds,
                    member: offsets.member,
                    generation: offsets.generation,
                    offsets: fx.keep(list),
                }
            }
            Request::EndTxn { committed, bumps } => {
                let (committed, bumps) = (*committed, *bumps);
                Message::EndTxn { id, producer_id, epoch, committed, bumps }
            }
        }
    }
}

/// `pendingRequests`.
#[derive(Clone, Default, Debug)]
pub(super) struct PendingRequests(VecDeque<PendingRequest>);

impl PendingRequests {
    pub(super) fn add(&mut self, request: PendingRequest) {
        let priority = request.request.priority();
        let place = self.0.partition_point(|other| other.request.priority() <= priority);
        self.0.insert(place, request);
    }

    pub(super) fn peek(&self) -> Option<&PendingRequest> {
        self.0.front()
    }

    pub(super) fn poll(&mut self) -> Option<PendingRequest> {
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn fingerprint(&self, into: &mut Fingerprint) {
        for request in &self.0 {
            into.add((&request.request, request.producer, request.retry, request.backoff));
        }
    }
}
