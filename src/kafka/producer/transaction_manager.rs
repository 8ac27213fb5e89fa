//! The idempotent part of the producer: its producer id and epoch, and the sequence numbers of each partition.
//!
//! Kafka: `TransactionManager` without transactions, `TxnPartitionMap`, `TxnPartitionEntry` (KIP-98, KIP-360). The
//! rule behind it all: a batch that was sent once keeps its sequence, so that the broker recognises it; only when a
//! gap is certain is the epoch bumped, by the client itself, and what is unfinished starts at sequence 0 again.
//! Simplified: no answer carries a log start offset, so `UNKNOWN_PRODUCER_ID`, which brokers of 4.4 do not send, is
//! retried as it is.

use crate::base::batch::ProducerState;
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{PartitionId, ProducerEpoch, Sequence};
use crate::base::time::Time;
use crate::kafka::producer::batch::{BatchId, BatchStore, ProducerBatch, next_sequence};

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
}

impl TransactionManager {
    /// Without a producer id.
    pub(super) fn new() -> Self {
        Self {
            producer: None,
            init: InitState::Due(Time::ZERO),
            epoch_bump_required: false,
            partitions: Vec::new(),
        }
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

    /// The batch failed. `adjust` says that its retries were not used up, so that the sequence is free again.
    pub(super) fn failed(
        &mut self,
        id: BatchId,
        batch: &ProducerBatch,
        error: ErrorCode,
        adjust: bool,
    ) {
        let partition = batch.partition;
        self.entry(partition).in_flight.retain(|item| item.batch != id);
        match error {
            ErrorCode::OutOfOrderSequenceNumber => self.request_epoch_bump(partition),
            ErrorCode::UnknownProducerId => *self.entry(partition) = PartitionEntry::default(),
            _ if adjust => self.request_epoch_bump(partition),
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
        match error {
            ErrorCode::UnknownProducerId => true,
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
                if !entry.is_next(entry.next_sequence.0) {
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
    }
}

impl PartitionEntry {
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
