//! Producer id and epoch, the sequence numbers of each partition, and transactions.
//!
//! Kafka: `TransactionManager`, `TxnPartitionMap`, `TxnPartitionEntry` (KIP-98, KIP-360). The rule behind the
//! sequences: a batch that was sent once keeps its sequence, so that the broker recognises it; only when a gap is
//! certain is the epoch bumped (by an idempotent producer itself, by a transactional one with its abort), and what is
//! unfinished starts at sequence 0 again. [`transactional`] has the states of a transactional producer, [`requests`]
//! what it asks coordinators, [`answers`] what they say.
//! Simplified: no answer carries a log start offset, so `UNKNOWN_PRODUCER_ID`, which brokers of 4.4 do not send, is
//! retried as it is by an idempotent producer, and fails the batch of a transactional one.

mod answers;
mod requests;
mod transactional;

use crate::base::batch::ProducerState;
use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, PartitionId, ProducerEpoch, Sequence, TransactionalId};
use crate::base::time::{Duration, Time};
use crate::event::TransactionCall;
use crate::kafka::api::Message;
use crate::kafka::effects::Effects;
use crate::kafka::producer::batch::{BatchId, BatchStore, ProducerBatch, next_sequence};
use crate::kafka::producer::transaction_manager::transactional::{State, Transactional};

pub use requests::GroupOffsets;
pub(super) use requests::{Coordinator, PendingRequest};
pub(super) use transactional::{Outcome, ResultId};

/// A producer id with its epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct ProducerIdAndEpoch {
    pub(super) id: i64,
    pub(super) epoch: ProducerEpoch,
}

impl ProducerIdAndEpoch {
    /// `ProducerIdAndEpoch.NONE`. A batch that has it goes out without a producer id, whatever its sequence.
    pub(super) const NONE: Self = Self { id: -1, epoch: ProducerEpoch(-1) };
}

/// The way to a producer id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum InitState {
    /// To be asked for at this moment.
    Due(Time),
    /// `InitProducerId` was sent.
    InFlight,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct InFlightSequence {
    producer: ProducerIdAndEpoch,
    sequence: i32,
    batch: BatchId,
}

/// What is known of one partition (`TxnPartitionEntry`).
#[derive(Clone, Default, Debug)]
struct PartitionEntry {
    producer: Option<ProducerIdAndEpoch>,
    next_sequence: Sequence,
    /// Of the last record acknowledged, -1 at first.
    last_acked: Option<i32>,
    /// Batches with a sequence and without an outcome, whether on the wire or back in the queue, by sequence.
    in_flight: Vec<InFlightSequence>,
    /// A batch that was sent has expired: whether its records are in the log is not known. The sequence after it.
    unresolved: Option<i32>,
    /// The epoch bump that is due was asked for by this partition.
    rewrite: bool,
}

impl PartitionEntry {
    fn is_next(&self, sequence: i32) -> bool {
        sequence.wrapping_sub(self.last_acked.unwrap_or(-1)) == 1
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct TransactionManager {
    producer: Option<ProducerIdAndEpoch>,
    pub(super) init: InitState,
    epoch_bump_required: bool,
    /// By partition.
    partitions: Vec<PartitionEntry>,
    /// Of a producer with a `transactional.id`.
    transactional: Option<Transactional>,
    coordinators: Vec<(Coordinator, BrokerId)>,
    in_flight: Option<PendingRequest>,
    /// `transaction.version` of the cluster, as the last metadata had it.
    pub(super) transaction_version: u8,
}

impl TransactionManager {
    /// Without a producer id.
    pub(super) fn new() -> Self {
        Self {
            producer: None,
            init: InitState::Due(Time::ZERO),
            epoch_bump_required: false,
            partitions: Vec::new(),
            transactional: None,
            coordinators: Vec::new(),
            in_flight: None,
            transaction_version: 0,
        }
    }

    /// The same for a producer with a `transactional.id`.
    pub(super) fn of_transactions(
        id: TransactionalId,
        timeout: Duration,
        retry_backoff: Duration,
    ) -> Self {
        let transactional = Some(Transactional::new(id, timeout, retry_backoff));
        Self { transactional, ..Self::new() }
    }

    /// The producer id and epoch, once there is one.
    pub(super) fn producer(&self) -> Option<ProducerIdAndEpoch> {
        self.producer
    }

    /// `InitProducerId` was answered.
    pub(super) fn set_producer(&mut self, producer: ProducerIdAndEpoch) {
        self.producer = Some(producer);
    }

    /// True when nothing may be drained for `partition`, whose first batch is `first`
    /// (`shouldStopDrainBatchesForPartition`).
    pub(super) fn must_wait(&self, partition: PartitionId, first: &ProducerBatch) -> bool {
        if self.transactional.as_ref().is_some_and(|t| !t.is_send_allowed(partition)) {
            return true;
        }
        let Some(producer) = self.producer else { return true };
        let Some(entry) = self.partitions.get(partition.index()) else { return false };
        let oldest = entry.in_flight.first();
        match first.base_sequence() {
            // A new batch waits until what was sent under another epoch is settled, and while it is unknown whether
            // an expired batch was written.
            None => {
                let stale = entry.producer != Some(producer);
                (oldest.is_some() && stale) || entry.unresolved.is_some()
            }
            // A retry waits for its turn: only the oldest unfinished batch is on the wire then.
            Some(sequence) => oldest.is_some_and(|oldest| oldest.sequence != sequence),
        }
    }

    /// Gives a batch that is drained for the first time its sequence.
    pub(super) fn assign_sequence(
        &mut self,
        partition: PartitionId,
        id: BatchId,
        batch: &mut ProducerBatch,
    ) {
        if batch.producer.is_some() {
            return;
        }
        let producer = self.producer.expect("nothing is drained without a producer id");
        let entry = self.entry(partition);
        if entry.producer != Some(producer) && entry.in_flight.is_empty() {
            entry.producer = Some(producer);
            entry.next_sequence = Sequence(0);
            entry.last_acked = None;
        }
        let base_sequence = entry.next_sequence;
        batch.producer =
            Some(ProducerState { id: producer.id, epoch: producer.epoch, base_sequence });
        entry.next_sequence = next_sequence(base_sequence, batch.count);
        self.track(partition, id, batch);
    }

    /// Takes a batch with a sequence among those without an outcome.
    pub(super) fn track(&mut self, partition: PartitionId, id: BatchId, batch: &ProducerBatch) {
        let Some(state) = batch.producer else { return };
        let producer = ProducerIdAndEpoch { id: state.id, epoch: state.epoch };
        let item = InFlightSequence { producer, sequence: state.base_sequence.0, batch: id };
        let in_flight = &mut self.entry(partition).in_flight;
        if let Err(place) = in_flight.binary_search(&item) {
            in_flight.insert(place, item);
        }
    }

    /// The batch is stored.
    pub(super) fn completed(&mut self, id: BatchId, batch: &ProducerBatch) {
        let Some(sequence) = batch.base_sequence() else { return };
        let entry = self.entry(batch.partition);
        let last = sequence.wrapping_add(batch.count as i32 - 1);
        entry.last_acked = entry.last_acked.max(Some(last));
        entry.in_flight.retain(|item| item.batch != id);
    }

    /// True when a later sequence of the partition is acknowledged.
    pub(super) fn has_acked_past(&self, batch: &ProducerBatch) -> bool {
        let entry = self.partitions.get(batch.partition.index());
        entry.is_some_and(|entry| entry.last_acked > batch.base_sequence())
    }

    /// The batch failed with what the application is told. `adjust` says that its retries were not used up, so that the
    /// sequence is free again.
    pub(super) fn failed(
        &mut self,
        id: BatchId,
        exception: Exception,
        adjust: bool,
        batches: &mut BatchStore,
    ) {
        let (partition, base) = (batches[id].partition, batches[id].base_sequence());
        if let Some(transactional) = &mut self.transactional
            && let Err(invalid) = transactional.failed_with(exception)
        {
            transactional.fatal(invalid);
        }
        self.entry(partition).in_flight.retain(|item| item.batch != id);
        let transactional = self.transactional.is_some();
        if self.has_fatal_error() {
            return;
        }
        match exception {
            Exception::Wire(ErrorCode::OutOfOrderSequenceNumber) if !transactional => {
                self.request_epoch_bump(partition);
            }
            Exception::Wire(ErrorCode::UnknownProducerId) => {
                *self.entry(partition) = PartitionEntry::default();
            }
            _ if adjust && !transactional => self.request_epoch_bump(partition),
            _ if adjust => {
                let count = batches[id].count as i32;
                self.entry(partition).give_back(base, count, batches);
            }
            _ => {}
        }
    }

    /// The batch is split or otherwise not tracked any more.
    pub(super) fn forget(&mut self, partition: PartitionId, id: BatchId) {
        self.entry(partition).in_flight.retain(|item| item.batch != id);
    }

    /// True when a batch may be sent again after `error` (`canRetry`). Asks for an epoch bump where the error proves
    /// a gap in the sequences.
    pub(super) fn can_retry(&mut self, batch: &ProducerBatch, error: ErrorCode) -> bool {
        let partition = batch.partition;
        let sequence = batch.base_sequence().unwrap_or(-1);
        if self.transactional.is_some() && error == ErrorCode::OutOfOrderSequenceNumber {
            // It comes right when the batches before it do; a gap can only be aborted.
            let entry = self.entry(partition);
            return entry.unresolved.is_none() && (batch.reopened || !entry.is_next(sequence));
        }
        match error {
            ErrorCode::UnknownProducerId => self.transactional.is_none(),
            ErrorCode::OutOfOrderSequenceNumber => {
                let entry = self.entry(partition);
                let gap = match entry.unresolved {
                    // Another batch is missing before this one: it will come.
                    None => !batch.reopened && entry.is_next(sequence),
                    Some(next) => next == sequence,
                };
                if gap {
                    self.request_epoch_bump(partition);
                }
                true
            }
            _ => error.is_retriable(),
        }
    }

    /// A batch that had been sent expired: its sequences may or may not be in the log.
    pub(super) fn mark_unresolved(&mut self, batch: &ProducerBatch) {
        let Some(sequence) = batch.base_sequence() else { return };
        let next = sequence.wrapping_add(batch.count as i32);
        let entry = self.entry(batch.partition);
        entry.unresolved = entry.unresolved.max(Some(next));
    }

    /// Settles partitions with expired batches once nothing of theirs is in flight, and bumps the epoch when that is
    /// needed (`maybeResolveSequences`, `bumpIdempotentEpochAndResetIdIfNeeded`). Returns true when the epoch is new.
    pub(super) fn settle(&mut self, batches: &mut BatchStore) -> bool {
        for n in 0..self.partitions.len() {
            let entry = &mut self.partitions[n];
            if entry.unresolved.is_some() && entry.in_flight.is_empty() {
                entry.unresolved = None;
                if entry.is_next(entry.next_sequence.0) {
                    continue;
                }
                if let Some(transactional) = &mut self.transactional {
                    transactional.client_side_epoch_bump |= !transactional.v2;
                    transactional.abortable_or_poison(Exception::Kafka);
                } else {
                    self.request_epoch_bump(PartitionId(n as u16));
                }
            }
        }
        let bump = std::mem::take(&mut self.epoch_bump_required);
        if bump {
            self.bump_epoch(batches);
        }
        bump
    }

    fn bump_epoch(&mut self, batches: &mut BatchStore) {
        let Some(old) = self.producer else { return };
        let mut producer = ProducerIdAndEpoch::NONE;
        if old.epoch.0 == i16::MAX {
            // Epochs are used up: another producer id is asked for. What is unfinished gets no id at all.
            self.producer = None;
            self.init = InitState::Due(Time::ZERO);
        } else {
            producer = ProducerIdAndEpoch { epoch: old.epoch + 1, ..old };
            self.producer = Some(producer);
        }
        for entry in self.partitions.iter_mut().filter(|entry| entry.rewrite) {
            entry.rewrite = false;
            entry.unresolved = None;
            entry.start_at_beginning(producer, batches);
        }
    }

    fn request_epoch_bump(&mut self, partition: PartitionId) {
        self.epoch_bump_required = true;
        self.entry(partition).rewrite = true;
    }

    fn entry(&mut self, partition: PartitionId) -> &mut PartitionEntry {
        if self.partitions.len() <= partition.index() {
            self.partitions.resize_with(partition.index() + 1, PartitionEntry::default);
        }
        &mut self.partitions[partition.index()]
    }

    /// Adds the producer state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.producer, self.epoch_bump_required, self.init == InitState::InFlight));
        if let InitState::Due(at) = self.init {
            into.add_time(now, at.max(now));
        }
        for entry in &self.partitions {
            into.add((entry.producer, entry.next_sequence, entry.last_acked));
            into.add((entry.unresolved, entry.rewrite, entry.in_flight.len()));
        }
        if let Some(transactional) = &self.transactional {
            transactional.fingerprint(into);
            into.add((&self.coordinators, &self.in_flight, self.transaction_version));
        }
    }
}

/// Transactions.
impl TransactionManager {
    /// True for a producer with a `transactional.id`.
    pub(super) fn is_transactional(&self) -> bool {
        self.transactional.is_some()
    }

    fn transactional_mut(&mut self) -> &mut Transactional {
        self.transactional.as_mut().expect("only a transactional producer talks to coordinators")
    }

    /// The application makes a call. `Ok(None)`: it returned at once.
    ///
    /// # Errors
    /// What the call throws.
    pub(super) fn call(
        &mut self,
        call: TransactionCall,
        offsets: Option<GroupOffsets>,
    ) -> Result<Option<ResultId>, Exception> {
        let producer = self.producer;
        let Some(transactional) = &mut self.transactional else {
            return Err(Exception::IllegalState);
        };
        match (call, offsets) {
            (TransactionCall::InitTransactions, _) => transactional.init_transactions().map(Some),
            (TransactionCall::BeginTransaction, _) => {
                transactional.begin_transaction().map(|()| None)
            }
            (TransactionCall::CommitTransaction, _) => {
                transactional.begin_end(true, producer).map(Some)
            }
            (TransactionCall::AbortTransaction, _) => {
                transactional.begin_end(false, producer).map(Some)
            }
            (TransactionCall::SendOffsetsToTransaction, Some(offsets))
                if !offsets.offsets.is_empty() =>
            {
                transactional.send_offsets(offsets, producer).map(Some)
            }
            (TransactionCall::SendOffsetsToTransaction, _) => Ok(None),
        }
    }

    /// The outcome of a call that waits, once there is one.
    pub(super) fn take(&mut self, result: ResultId) -> Option<Outcome> {
        self.transactional_mut().take(result)
    }

    /// `max.block.ms` is over: the call throws, and what it asked for goes on.
    pub(super) fn gave_up(&mut self, result: ResultId) {
        self.transactional_mut().gave_up(result);
    }

    /// `send()` has put a record into the accumulator. True when its partition is new in the transaction.
    ///
    /// # Errors
    /// What it throws; the record stays where it is.
    pub(super) fn maybe_add_partition(
        &mut self,
        partition: PartitionId,
    ) -> Result<bool, Exception> {
        let has_producer_id = self.producer.is_some();
        let Some(transactional) = &mut self.transactional else { return Ok(false) };
        transactional.maybe_add_partition(partition, has_producer_id)
    }

    /// `send()` failed with an `ApiException`.
    ///
    /// # Errors
    /// What it throws instead.
    pub(super) fn send_failed(&mut self, exception: Exception) -> Result<(), Exception> {
        self.transactional.as_mut().map_or(Ok(()), |t| t.failed_with(exception))
    }

    /// `close()` aborts what is open. True when an abort began, false when there is nothing to wait for.
    pub(super) fn begin_abort_at_close(&mut self) -> bool {
        let producer = self.producer;
        let Some(transactional) = &mut self.transactional else { return false };
        transactional.has_ongoing_transaction()
            && !transactional.is_completing()
            && transactional.begin_end(false, producer).is_ok()
    }

    /// The end of a transaction is under way.
    pub(super) fn is_completing(&self) -> bool {
        self.transactional.as_ref().is_some_and(Transactional::is_completing)
    }

    /// A transaction is open, or its end is under way.
    pub(super) fn is_ongoing(&self) -> bool {
        self.transactional.as_ref().is_some_and(Transactional::has_ongoing_transaction)
    }

    /// Something waits to be asked.
    pub(super) fn has_requests(&self) -> bool {
        self.transactional.as_ref().is_some_and(|t| !t.requests.is_empty())
    }

    /// A request is in flight: nothing else is sent.
    pub(super) fn has_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Nothing can be sent any more; with why.
    pub(super) fn fatal_error(&self) -> Option<Exception> {
        let transactional = self.transactional.as_ref()?;
        transactional.last_error.filter(|_| transactional.state == State::FatalError)
    }

    fn has_fatal_error(&self) -> bool {
        self.fatal_error().is_some()
    }

    /// What batches that were never sent fail with, when the transaction is or will be aborted.
    pub(super) fn aborts_batches_with(&self) -> Option<Exception> {
        let transactional = self.transactional.as_ref()?;
        match transactional.state {
            State::AbortableError => transactional.last_error,
            State::AbortingTransaction => Some(Exception::TransactionAborted),
            _ => None,
        }
    }

    /// `nextRequest`: what to ask now. `incomplete` says that batches have no outcome yet: the end waits for them.
    pub(super) fn next_request(&mut self, incomplete: bool) -> Option<PendingRequest> {
        let producer = self.producer;
        let transactional = self.transactional.as_mut()?;
        transactional.add_new_partitions(producer);
        loop {
            let first = transactional.requests.peek()?;
            if first.is_end() && incomplete {
                return None;
            }
            let request = transactional.requests.poll().expect("just seen");
            let goes = request.is_lookup() && transactional.state == State::AbortableError;
            if transactional.has_error() && !goes {
                let error = transactional.last_error.unwrap_or(Exception::Kafka);
                transactional.settle(request.result, Err(error));
                continue;
            }
            if request.is_end() && !transactional.started {
                // Nothing was sent: the coordinator knows of no transaction.
                transactional.settle(request.result, Ok(()));
                transactional.reset();
                continue;
            }
            return Some(request);
        }
    }

    /// The request was sent.
    pub(super) fn sent(&mut self, request: PendingRequest) {
        self.in_flight = Some(request);
    }

    /// A request as it goes over the wire.
    pub(super) fn message(&self, request: &PendingRequest, fx: &mut Effects) -> Message {
        let transactional =
            self.transactional.as_ref().expect("only a transactional producer asks");
        request.message(transactional.id, transactional.timeout_ms, transactional.v2, fx)
    }

    /// The transactional id, and whether the client speaks transaction version 2.
    pub(super) fn transaction(&self) -> Option<(TransactionalId, bool)> {
        self.transactional.as_ref().map(|transactional| (transactional.id, transactional.v2))
    }

    /// The coordinator, where it is known.
    pub(super) fn coordinator(&self, which: Coordinator) -> Option<BrokerId> {
        self.coordinators.iter().find(|(known, _)| *known == which).map(|(_, broker)| *broker)
    }

    fn set_coordinator(&mut self, which: Coordinator, broker: Option<BrokerId>) {
        self.coordinators.retain(|(known, _)| *known != which);
        self.coordinators.extend(broker.map(|broker| (which, broker)));
    }

    /// `resetSequenceNumbers`: under a new epoch every partition starts at 0.
    fn reset_sequences(&mut self) {
        self.partitions.clear();
    }
}

impl PartitionEntry {
    /// A batch failed for good: those after it move up by its records (`adjustSequencesDueToFailedBatch`).
    fn give_back(&mut self, base: Option<i32>, count: i32, batches: &mut BatchStore) {
        let Some(base) = base else { return };
        self.next_sequence.0 -= count;
        for item in self.in_flight.iter_mut().filter(|item| item.sequence >= base) {
            item.sequence -= count;
            let batch = &mut batches[item.batch];
            batch.reopened = true;
            if let Some(producer) = &mut batch.producer {
                producer.base_sequence = Sequence(item.sequence);
            }
        }
    }

    /// Everything without an outcome gets a sequence from 0 on, under the new epoch.
    fn start_at_beginning(&mut self, producer: ProducerIdAndEpoch, batches: &mut BatchStore) {
        let mut base_sequence = Sequence(0);
        for item in &mut self.in_flight {
            let batch = &mut batches[item.batch];
            batch.producer =
                Some(ProducerState { id: producer.id, epoch: producer.epoch, base_sequence });
            batch.reopened = true;
            *item = InFlightSequence { producer, sequence: base_sequence.0, ..*item };
            base_sequence = next_sequence(base_sequence, batch.count);
        }
        self.producer = Some(producer);
        self.next_sequence = base_sequence;
        self.last_acked = None;
    }
}
