//! What the answers to a transactional producer's requests do (`TxnRequestHandler.handleResponse` of each kind).

use crate::base::error::{ErrorCode, Exception};
use crate::base::ids::{BrokerId, ProducerEpoch};
use crate::base::time::Duration;
use crate::kafka::api::Message;
use crate::kafka::producer::transaction_manager::requests::{Coordinator, PendingRequest, Request};
use crate::kafka::producer::transaction_manager::transactional::State;
use crate::kafka::producer::transaction_manager::{ProducerIdAndEpoch, TransactionManager};

/// `ADD_PARTITIONS_RETRY_BACKOFF_MS`: the transaction before is still being completed.
const ADD_PARTITIONS_RETRY_BACKOFF: Duration = Duration::from_millis(20);

/// What an error means for the producer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Severity {
    /// Another coordinator is to be found first.
    Lookup,
    /// The same again.
    Retry,
    /// The transaction can only be aborted.
    Abortable(Exception),
    /// The same, and the epoch is bumped where the client does that.
    AbortableWithBump(Exception),
    /// The producer is done for.
    Fatal(Exception),
}

const FENCED: Exception = Exception::Wire(ErrorCode::ProducerFenced);

impl TransactionManager {
    /// The answer to the request in flight.
    pub(in crate::kafka::producer) fn answered(&mut self, message: &Message) {
        let Some(request) = self.in_flight.take() else { return };
        match *message {
            Message::FindCoordinatorResponse { error, coordinator } => {
                self.coordinator_found(request, error, coordinator);
            }
            Message::InitProducerIdResponse { error: ErrorCode::None, producer_id, epoch } => {
                self.initialized(&request, producer_id, epoch);
            }
            Message::EndTxnResponse { error: ErrorCode::None, producer_id, epoch } => {
                self.ended(&request, producer_id, epoch);
            }
            Message::AddPartitionsToTxnResponse { error: ErrorCode::None } => self.added(&request),
            Message::AddOffsetsToTxnResponse { error: ErrorCode::None } => {
                self.offsets_added(request);
            }
            Message::TxnOffsetCommitResponse { error: ErrorCode::None } => {
                self.transactional_mut().settle(request.result, Ok(()));
            }
            Message::InitProducerIdResponse { error, .. }
            | Message::EndTxnResponse { error, .. }
            | Message::AddPartitionsToTxnResponse { error }
            | Message::AddOffsetsToTxnResponse { error }
            | Message::TxnOffsetCommitResponse { error } => self.refused(request, error),
            other => unreachable!("{other:?} answers no request of a transactional producer"),
        }
    }

    fn coordinator_found(
        &mut self,
        request: PendingRequest,
        error: ErrorCode,
        coordinator: Option<BrokerId>,
    ) {
        let Request::FindCoordinator(which) = request.request else {
            unreachable!("a FindCoordinatorResponse answers FindCoordinator");
        };
        match coordinator {
            Some(broker) if error == ErrorCode::None => self.set_coordinator(which, Some(broker)),
            _ if error.is_retriable() || error == ErrorCode::None => self.retry(request),
            _ => self.transactional_mut().fatal(Exception::Kafka),
        }
    }

    fn initialized(&mut self, request: &PendingRequest, id: i64, epoch: ProducerEpoch) {
        self.producer = Some(ProducerIdAndEpoch { id, epoch });
        let bump = request.request == Request::InitProducerId { bump: true };
        if bump {
            self.reset_sequences();
        }
        let v2 = self.transaction_version >= 2;
        let transactional = self.transactional_mut();
        if let Err(invalid) = transactional.transition(State::Ready) {
            return transactional.fatal(invalid);
        }
        // The feature level is looked at when initTransactions() returns and when a transaction ends.
        transactional.v2 = v2;
        transactional.settle(request.result, Ok(()));
    }

    fn ended(&mut self, request: &PendingRequest, id: i64, epoch: ProducerEpoch) {
        if id != -1 {
            self.producer = Some(ProducerIdAndEpoch { id, epoch });
            self.reset_sequences();
        }
        let transactional = self.transactional_mut();
        transactional.reset();
        transactional.settle(request.result, Ok(()));
    }

    fn added(&mut self, request: &PendingRequest) {
        let Request::AddPartitionsToTxn(partitions) = &request.request else { return };
        let transactional = self.transactional_mut();
        transactional.pending_partitions.retain(|partition| !partitions.contains(partition));
        transactional.partitions.extend_from_slice(partitions);
        transactional.partitions.sort_unstable();
        transactional.partitions.dedup();
        transactional.started = true;
        transactional.settle(request.result, Ok(()));
    }

    fn offsets_added(&mut self, request: PendingRequest) {
        let Request::AddOffsetsToTxn(offsets) = request.request else { return };
        let producer = self.producer;
        let transactional = self.transactional_mut();
        transactional.started = true;
        transactional.enqueue(Request::TxnOffsetCommit(offsets), producer, request.result);
    }

    fn refused(&mut self, mut request: PendingRequest, error: ErrorCode) {
        let severity = severity(&request.request, error);
        if let Request::AddPartitionsToTxn(partitions) = &request.request {
            let transactional = self.transactional_mut();
            let first = transactional.partitions.is_empty();
            request.backoff = match error {
                ErrorCode::ConcurrentTransactions if first => {
                    ADD_PARTITIONS_RETRY_BACKOFF.min(transactional.retry_backoff)
                }
                _ => transactional.retry_backoff,
            };
            if severity == Severity::Abortable(Exception::Kafka) {
                let failed = |partition: &_| partitions.contains(partition);
                transactional.pending_partitions.retain(|partition| !failed(partition));
            }
        }
        match severity {
            Severity::Lookup => self.find_and_retry(request),
            Severity::Retry => self.retry(request),
            Severity::Abortable(exception) => self.abort_with(&request, exception),
            Severity::AbortableWithBump(exception) => {
                let transactional = self.transactional_mut();
                transactional.client_side_epoch_bump |= !transactional.v2;
                self.abort_with(&request, exception);
            }
            Severity::Fatal(exception) => {
                let transactional = self.transactional_mut();
                transactional.settle(request.result, Err(exception));
                transactional.fatal(exception);
            }
        }
    }

    fn abort_with(&mut self, request: &PendingRequest, exception: Exception) {
        let transactional = self.transactional_mut();
        transactional.settle(request.result, Err(exception));
        transactional.abortable_or_poison(exception);
    }

    /// The connection on which the request was in flight is gone.
    pub(in crate::kafka::producer) fn lost(&mut self) {
        let Some(request) = self.in_flight.take() else { return };
        self.find_and_retry(request);
    }

    /// Puts a request back whose broker could not be reached; its coordinator is looked for first.
    pub(in crate::kafka::producer) fn find_and_retry(&mut self, request: PendingRequest) {
        if let Some(coordinator) = request.coordinator() {
            self.lookup(coordinator);
        }
        self.retry(request);
    }

    pub(in crate::kafka::producer) fn retry(&mut self, mut request: PendingRequest) {
        request.retry = true;
        self.transactional_mut().requests.add(request);
    }

    /// `lookupCoordinator`.
    fn lookup(&mut self, coordinator: Coordinator) {
        self.set_coordinator(coordinator, None);
        let find = Request::FindCoordinator(coordinator);
        self.transactional_mut().enqueue(find, None, None);
    }
}

/// What `error` means in the answer to `request`.
fn severity(request: &Request, error: ErrorCode) -> Severity {
    let exception = Exception::Wire(error);
    match error {
        ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => Severity::Lookup,
        ErrorCode::RequestTimedOut if matches!(request, Request::TxnOffsetCommit(_)) => {
            Severity::Lookup
        }
        _ if error.is_retriable() => Severity::Retry,
        ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => Severity::Fatal(FENCED),
        ErrorCode::TransactionAbortable => match request {
            Request::EndTxn { committed: false, .. } => Severity::Fatal(Exception::Kafka),
            _ => Severity::Abortable(exception),
        },
        ErrorCode::InvalidTxnState | ErrorCode::InvalidProducerIdMapping => match request {
            Request::InitProducerId { .. } | Request::TxnOffsetCommit(_) => {
                Severity::Fatal(Exception::Kafka)
            }
            _ => Severity::Fatal(exception),
        },
        ErrorCode::UnknownProducerId => match request {
            Request::InitProducerId { .. } | Request::TxnOffsetCommit(_) => {
                Severity::Fatal(Exception::Kafka)
            }
            _ => Severity::AbortableWithBump(exception),
        },
        _ => match request {
            Request::TxnOffsetCommit(_) if error == ErrorCode::FencedInstanceId => {
                Severity::Abortable(exception)
            }
            Request::TxnOffsetCommit(_)
                if matches!(error, ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) =>
            {
                Severity::Abortable(Exception::CommitFailed)
            }
            Request::AddPartitionsToTxn(_) => Severity::Abortable(Exception::Kafka),
            _ => Severity::Fatal(Exception::Kafka),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_means_depends_on_the_request() {
        let commit = Request::EndTxn { committed: true, bumps: true };
        let abort = Request::EndTxn { committed: false, bumps: true };
        let add = Request::AddPartitionsToTxn(Vec::new());
        let init = Request::InitProducerId { bump: false };
        let wire = Exception::Wire;
        for (request, error, wanted) in [
            (&commit, ErrorCode::NotCoordinator, Severity::Lookup),
            (&commit, ErrorCode::ConcurrentTransactions, Severity::Retry),
            (&commit, ErrorCode::InvalidProducerEpoch, Severity::Fatal(FENCED)),
            (
                &commit,
                ErrorCode::InvalidTxnState,
                Severity::Fatal(wire(ErrorCode::InvalidTxnState)),
            ),
            (
                &commit,
                ErrorCode::TransactionAbortable,
                Severity::Abortable(wire(ErrorCode::TransactionAbortable)),
            ),
            (&abort, ErrorCode::TransactionAbortable, Severity::Fatal(Exception::Kafka)),
            (&add, ErrorCode::OperationNotAttempted, Severity::Abortable(Exception::Kafka)),
            (
                &add,
                ErrorCode::UnknownProducerId,
                Severity::AbortableWithBump(wire(ErrorCode::UnknownProducerId)),
            ),
            (&init, ErrorCode::CoordinatorLoadInProgress, Severity::Retry),
            (&init, ErrorCode::InvalidTransactionTimeout, Severity::Fatal(Exception::Kafka)),
        ] {
            assert_eq!(severity(request, error), wanted, "{request:?} {error:?}");
        }
    }
}
