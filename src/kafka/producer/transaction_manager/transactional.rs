//! The transactional part of the client's `TransactionManager` (KIP-98, KIP-360, KIP-890): its states, what the calls
//! of the application do in each of them, and which error can be aborted and which is the end.
//!
//! A call that needs the coordinator returns a [`ResultId`]: the application waits for its outcome, at most
//! `max.block.ms`. A call that timed out is under way all the same and has to be made again; nothing else may be called
//! before (`PendingStateTransition`).
//! Simplified: the cause inside a `KafkaException` is not kept; no authorization errors, no two-phase commit (KIP-939).

use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{PartitionId, TransactionalId};
use crate::base::time::Duration;
use crate::kafka::producer::transaction_manager::ProducerIdAndEpoch;
use crate::kafka::producer::transaction_manager::requests::{
    GroupOffsets, PendingRequest, PendingRequests, Request,
};

/// `TransactionManager.State`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum State {
    Uninitialized,
    Initializing,
    Ready,
    InTransaction,
    CommittingTransaction,
    AbortingTransaction,
    AbortableError,
    FatalError,
}

impl State {
    /// May the manager go from this state to `target`?
    fn allows(self, target: Self) -> bool {
        let from: &[Self] = match target {
            Self::Uninitialized => &[Self::Ready, Self::AbortableError],
            Self::Initializing => {
                &[Self::Uninitialized, Self::CommittingTransaction, Self::AbortingTransaction]
            }
            Self::Ready => {
                &[Self::Initializing, Self::CommittingTransaction, Self::AbortingTransaction]
            }
            Self::InTransaction => &[Self::Ready],
            Self::CommittingTransaction => &[Self::InTransaction],
            Self::AbortingTransaction => &[Self::InTransaction, Self::AbortableError],
            Self::AbortableError => &[
                Self::InTransaction,
                Self::CommittingTransaction,
                Self::AbortableError,
                Self::Initializing,
            ],
            Self::FatalError => return true,
        };
        from.contains(&self)
    }
}

/// What a call waits for (`TransactionalRequestResult`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(in crate::kafka::producer) struct ResultId(u32);

/// How a call ended: the exception it throws, or none.
pub(in crate::kafka::producer) type Outcome = Result<(), Exception>;

/// A call that changes the state and has not been seen to end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct PendingTransition {
    result: ResultId,
    target: State,
}

/// See the module.
#[derive(Clone, Debug)]
pub(in crate::kafka::producer) struct Transactional {
    pub(super) id: TransactionalId,
    pub(super) timeout_ms: u32,
    pub(super) retry_backoff: Duration,
    pub(super) state: State,
    pub(super) last_error: Option<Exception>,
    pending_transition: Option<PendingTransition>,
    /// Calls the application may still ask about, with their outcome once there is one.
    results: Vec<(ResultId, Option<Outcome>)>,
    next_result: u32,
    pub(super) requests: PendingRequests,
    /// Partitions to be added to the transaction, those that are being added, and those that are in it; ascending.
    pub(super) new_partitions: Vec<PartitionId>,
    pub(super) pending_partitions: Vec<PartitionId>,
    pub(super) partitions: Vec<PartitionId>,
    /// The coordinator may know of the transaction: it must be told of the end.
    pub(super) started: bool,
    /// The client asks for a new epoch when the transaction is over (transaction version 1).
    pub(super) client_side_epoch_bump: bool,
    /// `transaction.version` is at least 2, as far as the client knows.
    pub(super) v2: bool,
}

impl Transactional {
    pub(super) fn new(id: TransactionalId, timeout: Duration, retry_backoff: Duration) -> Self {
        Self {
            id,
            timeout_ms: timeout.as_millis() as u32,
            retry_backoff,
            state: State::Uninitialized,
            last_error: None,
            pending_transition: None,
            results: Vec::new(),
            next_result: 0,
            requests: PendingRequests::default(),
            new_partitions: Vec::new(),
            pending_partitions: Vec::new(),
            partitions: Vec::new(),
            started: false,
            client_side_epoch_bump: false,
            v2: false,
        }
    }

    // --- what the application calls ------------------------------------------------------------------------------

    /// `initializeTransactions`.
    pub(super) fn init_transactions(&mut self) -> Result<ResultId, Exception> {
        self.fail_with_error()?;
        if let Some(pending) = self.cached(State::Initializing)? {
            return Ok(pending);
        }
        self.transition(State::Initializing)?;
        let result = self.enqueue_for_call(Request::InitProducerId { bump: false }, None);
        Ok(self.remember(result, State::Initializing))
    }

    /// `beginTransaction`.
    pub(super) fn begin_transaction(&mut self) -> Result<(), Exception> {
        self.throw_if_pending()?;
        self.fail_with_error()?;
        self.transition(State::InTransaction)
    }

    /// `beginCommit` and `beginAbort`.
    pub(super) fn begin_end(
        &mut self,
        committed: bool,
        producer: Option<ProducerIdAndEpoch>,
    ) -> Result<ResultId, Exception> {
        let target =
            if committed { State::CommittingTransaction } else { State::AbortingTransaction };
        if let Some(pending) = self.cached(target)? {
            return Ok(pending);
        }
        if committed || self.state != State::AbortableError {
            self.fail_with_error()?;
        }
        self.transition(target)?;
        if !committed {
            self.new_partitions.clear();
        }
        self.add_new_partitions(producer);
        let end = Request::EndTxn { committed, bumps: self.v2 };
        let mut result = self.enqueue_for_call(end, producer);
        if self.client_side_epoch_bump {
            self.forget(result);
            result = self.enqueue_for_call(Request::InitProducerId { bump: true }, producer);
        }
        Ok(self.remember(result, target))
    }

    /// `sendOffsetsToTransaction`.
    pub(super) fn send_offsets(
        &mut self,
        offsets: GroupOffsets,
        producer: Option<ProducerIdAndEpoch>,
    ) -> Result<ResultId, Exception> {
        self.throw_if_pending()?;
        self.fail_with_error()?;
        if self.state != State::InTransaction {
            return Err(Exception::IllegalState);
        }
        if self.v2 {
            self.started = true;
            return Ok(self.enqueue_for_call(Request::TxnOffsetCommit(offsets), producer));
        }
        Ok(self.enqueue_for_call(Request::AddOffsetsToTxn(offsets), producer))
    }

    /// `maybeAddPartition`: called by `send()` when the record is in the accumulator already.
    pub(super) fn maybe_add_partition(
        &mut self,
        partition: PartitionId,
        has_producer_id: bool,
    ) -> Result<bool, Exception> {
        self.fail_with_error()?;
        self.throw_if_pending()?;
        if !has_producer_id || self.state != State::InTransaction {
            return Err(Exception::IllegalState);
        }
        if self.v2 {
            self.started = true;
            return Ok(insert(&mut self.partitions, partition));
        }
        let known =
            self.partitions.contains(&partition) || self.pending_partitions.contains(&partition);
        Ok(!known && insert(&mut self.new_partitions, partition))
    }

    /// The outcome of a call, once there is one; the call is over then.
    pub(super) fn take(&mut self, result: ResultId) -> Option<Outcome> {
        let place = self.results.iter().position(|(id, _)| *id == result)?;
        let outcome = self.results[place].1?;
        self.results.remove(place);
        if self.pending_transition.is_some_and(|pending| pending.result == result) {
            self.pending_transition = None;
        }
        Some(outcome)
    }

    /// Nobody waits for this call any more; one that changes the state can be made again and is then the same.
    pub(super) fn gave_up(&mut self, result: ResultId) {
        if self.pending_transition.is_none_or(|pending| pending.result != result) {
            self.forget(result);
        }
    }

    // --- states --------------------------------------------------------------------------------------------------

    pub(super) fn has_error(&self) -> bool {
        matches!(self.state, State::AbortableError | State::FatalError)
    }

    pub(super) fn is_completing(&self) -> bool {
        matches!(self.state, State::CommittingTransaction | State::AbortingTransaction)
    }

    /// A transaction is open, or its end is under way (`hasOngoingTransaction`).
    pub(super) fn has_ongoing_transaction(&self) -> bool {
        self.is_completing() || matches!(self.state, State::InTransaction | State::AbortableError)
    }

    /// `isSendToPartitionAllowed`.
    pub(super) fn is_send_allowed(&self, partition: PartitionId) -> bool {
        self.state != State::FatalError && self.partitions.binary_search(&partition).is_ok()
    }

    /// `maybeTransitionToErrorState`: a batch or a `send()` failed. Errors that would be retried if there were time
    /// left mean that the transaction cannot be completed: they become `TransactionAbortableException`.
    ///
    /// # Errors
    /// `IllegalStateException` when there is no transaction that could fail.
    pub(super) fn failed_with(&mut self, exception: Exception) -> Result<(), Exception> {
        let fatal = [ErrorCode::ProducerFenced, ErrorCode::InvalidProducerIdMapping];
        if fatal.map(Exception::Wire).contains(&exception) {
            self.fatal(exception);
            return Ok(());
        }
        let abortable =
            exception.is_retriable() || exception == Exception::Wire(ErrorCode::InvalidTxnState);
        let exception =
            if abortable { Exception::Wire(ErrorCode::TransactionAbortable) } else { exception };
        if !self.v2 && !self.is_completing() {
            self.client_side_epoch_bump = true;
        }
        self.abortable(exception)
    }

    /// `transitionToAbortableError`: nothing happens to a transaction that is being aborted already.
    pub(super) fn abortable(&mut self, error: Exception) -> Result<(), Exception> {
        if self.state == State::AbortingTransaction {
            return Ok(());
        }
        self.transition(State::AbortableError)?;
        self.last_error = Some(error);
        Ok(())
    }

    /// The same on the I/O thread, where a transition that is not possible poisons the producer.
    pub(super) fn abortable_or_poison(&mut self, error: Exception) {
        if let Err(invalid) = self.abortable(error) {
            self.fatal(invalid);
        }
    }

    /// `transitionToFatalError`: from here no way leads on but `close()`.
    pub(super) fn fatal(&mut self, error: Exception) {
        self.state = State::FatalError;
        self.last_error = Some(error);
        if let Some(pending) = self.pending_transition {
            self.settle(Some(pending.result), Err(error));
        }
    }

    /// `transitionTo`, without an error.
    pub(super) fn transition(&mut self, target: State) -> Result<(), Exception> {
        if !self.state.allows(target) {
            return Err(Exception::IllegalState);
        }
        self.state = target;
        self.last_error = None;
        Ok(())
    }

    /// `resetTransactionState`: the transaction is over.
    pub(super) fn reset(&mut self) {
        let next = if self.client_side_epoch_bump { State::Initializing } else { State::Ready };
        if let Err(invalid) = self.transition(next) {
            return self.fatal(invalid);
        }
        self.client_side_epoch_bump = false;
        self.started = false;
        self.new_partitions.clear();
        self.pending_partitions.clear();
        self.partitions.clear();
    }

    /// `maybeFailWithError`.
    fn fail_with_error(&self) -> Result<(), Exception> {
        if !self.has_error() {
            return Ok(());
        }
        Err(match self.last_error {
            Some(
                error @ (Exception::Wire(
                    ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch,
                )
                | Exception::IllegalState),
            ) => error,
            _ => Exception::Kafka,
        })
    }

    /// `throwIfPendingState`: a call that timed out must be made again first.
    fn throw_if_pending(&mut self) -> Result<(), Exception> {
        if self.pending_transition.is_some() { Err(Exception::IllegalState) } else { Ok(()) }
    }

    /// `handleCachedTransactionRequestResult`: the call that timed out, made again.
    fn cached(&self, target: State) -> Result<Option<ResultId>, Exception> {
        match self.pending_transition {
            None => Ok(None),
            Some(pending) if pending.target == target => Ok(Some(pending.result)),
            Some(_) => Err(Exception::IllegalState),
        }
    }

    fn remember(&mut self, result: ResultId, target: State) -> ResultId {
        self.pending_transition = Some(PendingTransition { result, target });
        result
    }

    // --- results and requests --------------------------------------------------------------------------------------

    fn enqueue_for_call(
        &mut self,
        request: Request,
        producer: Option<ProducerIdAndEpoch>,
    ) -> ResultId {
        let result = ResultId(self.next_result);
        self.next_result += 1;
        self.results.push((result, None));
        self.enqueue(request, producer, Some(result));
        result
    }

    pub(super) fn enqueue(
        &mut self,
        request: Request,
        producer: Option<ProducerIdAndEpoch>,
        result: Option<ResultId>,
    ) {
        let backoff = self.retry_backoff;
        self.requests.add(PendingRequest { request, producer, result, retry: false, backoff });
    }

    /// `addPartitionsToTransactionHandler`, when there is something to add.
    pub(super) fn add_new_partitions(&mut self, producer: Option<ProducerIdAndEpoch>) {
        if self.new_partitions.is_empty() {
            return;
        }
        for partition in std::mem::take(&mut self.new_partitions) {
            insert(&mut self.pending_partitions, partition);
        }
        let partitions = self.pending_partitions.clone();
        self.enqueue(Request::AddPartitionsToTxn(partitions), producer, None);
    }

    /// A request has its outcome, and so has the call that waits for it.
    pub(super) fn settle(&mut self, result: Option<ResultId>, outcome: Outcome) {
        let of_call = self.results.iter_mut().find(|(id, _)| Some(*id) == result);
        if let Some((_, slot @ None)) = of_call {
            *slot = Some(outcome);
        }
    }

    fn forget(&mut self, result: ResultId) {
        self.results.retain(|(id, _)| *id != result);
    }

    pub(super) fn fingerprint(&self, into: &mut Fingerprint) {
        into.add((self.id, self.state, self.last_error, self.pending_transition.is_some()));
        into.add((self.pending_transition.map(|pending| pending.target), self.results.len()));
        into.add((&self.new_partitions, &self.pending_partitions, &self.partitions));
        into.add((self.started, self.client_side_epoch_bump, self.v2));
        self.requests.fingerprint(into);
    }
}

/// Adds to an ascending list what it does not have. True when it did not have it.
fn insert(list: &mut Vec<PartitionId>, partition: PartitionId) -> bool {
    let place = list.binary_search(&partition);
    if let Err(place) = place {
        list.insert(place, partition);
    }
    place.is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [State; 8] = [
        State::Uninitialized,
        State::Initializing,
        State::Ready,
        State::InTransaction,
        State::CommittingTransaction,
        State::AbortingTransaction,
        State::AbortableError,
        State::FatalError,
    ];

    #[test]
    fn the_transitions_of_a_transactional_producer_are_kafka_s_and_no_others() {
        let allowed: Vec<(usize, usize)> = (0..8)
            .flat_map(|from| (0..8).map(move |to| (from, to)))
            .filter(|(from, to)| ALL[*from].allows(ALL[*to]))
            .collect();
        let mut wanted = vec![
            (0, 1),
            (1, 2),
            (1, 6),
            (2, 0),
            (2, 3),
            (3, 4),
            (3, 5),
            (3, 6),
            (4, 1),
            (4, 2),
            (4, 6),
            (5, 1),
            (5, 2),
            (6, 0),
            (6, 5),
            (6, 6),
        ];
        wanted.extend((0..8).map(|from| (from, 7)));
        wanted.sort_unstable();
        assert_eq!(allowed, wanted);
    }
}
