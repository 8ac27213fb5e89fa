//! What a partition remembers of producers: `ProducerStateManager`, `ProducerStateEntry`, `ProducerAppendInfo` (KIP-98,
//! KIP-360) with their transactions (KIP-890). It lives in memory and is rebuilt from the log after a restart or a
//! truncation.
//!
//! A transactional batch may be appended to an open transaction of its producer, or under the guard of a verification:
//! the leader asked the transaction coordinator, and nothing ended the transaction meanwhile (`VerificationGuard`).
//!
//! Simplified: no snapshot files, the whole log is replayed.

use crate::base::batch::{Batch, BatchKind, BatchTable, RecordBody};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BatchHandle, Offset, ProducerEpoch, Sequence};
use crate::kafka::api::TxnMarker;
use crate::kafka::log::UnifiedLog;
use crate::kafka::log::transaction_index::TransactionIndex;

/// `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`.
const BATCHES_TO_RETAIN: usize = 5;

/// One remembered batch (`BatchMetadata`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
struct BatchMetadata {
    first_sequence: Sequence,
    last_sequence: Sequence,
    base_offset: Offset,
}

/// What is known of one producer id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
struct ProducerStateEntry {
    id: i64,
    epoch: ProducerEpoch,
    /// Of the last marker; older coordinators are fenced. -1 before any.
    coordinator_epoch: i32,
    /// Where its open transaction begins (`currentTxnFirstOffset`).
    open_from: Option<Offset>,
    /// The largest time stamp of its last batch.
    last_timestamp: i64,
    /// The last batches of `epoch`, oldest first; only the first `len` count.
    batches: [BatchMetadata; BATCHES_TO_RETAIN],
    len: u8,
}

/// A verification that is under way, or was granted and not used yet (`VerificationStateEntry`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
struct Verification {
    producer_id: i64,
    guard: Guard,
    epoch: ProducerEpoch,
    /// The lowest sequence that asked: nothing may overtake it.
    lowest: Sequence,
    /// The client speaks transaction version 2.
    adds: bool,
}

/// Tells one verification from another of the same producer (`VerificationGuard`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Guard(u32);

/// A transaction that is open in this partition, as `DescribeProducers` tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenTransaction {
    /// Where it begins.
    pub start: Offset,
    /// Whose.
    pub producer_id: i64,
    /// The producer's epoch.
    pub epoch: ProducerEpoch,
    /// Of the last marker of this producer here; -1 before any.
    pub coordinator_epoch: i32,
}

/// What the producer state says about a batch that wants to be appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Append it.
    Append,
    /// It is in the log already, from this offset on.
    Duplicate(Offset),
    /// Refuse it.
    Refuse(ErrorCode),
}

/// How a transactional batch may show that its partition is part of the transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verified {
    /// Nobody asks (`transaction.partition.verification.enable=false`).
    NotNeeded,
    /// By this guard, or by an open transaction.
    By(Option<Guard>),
}

/// The producer state of a partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProducerStateManager {
    /// Sorted by producer id.
    entries: Vec<ProducerStateEntry>,
    /// In memory only; not rebuilt.
    verifications: Vec<Verification>,
    last_guard: u32,
    /// The transactions in the log.
    pub transactions: TransactionIndex,
}

impl ProducerStateManager {
    /// The state after everything in `log`, of which what is below `high_watermark` is replicated.
    pub fn rebuilt_from(log: &UnifiedLog, high_watermark: Offset, batches: &BatchTable) -> Self {
        let mut state = Self::default();
        for (base_offset, batch) in log.batches() {
            state.update(batches, batch, base_offset);
        }
        state.transactions.deleted_before(log.log_start());
        state.transactions.replicated(high_watermark);
        state
    }

    /// May a client's `batch` be appended? Without a producer id always; else by Kafka's rules: a batch that is among
    /// the last five is a duplicate; a smaller epoch is refused; a new epoch starts at sequence 0; within an epoch the
    /// sequence goes on without a gap. **A partition without state for the producer id takes any first sequence**, but
    /// from a client of transaction version 2 in a transaction.
    pub fn admit(&self, batch: &Batch, verified: Verified) -> Admission {
        let Some(producer) = batch.producer else { return Admission::Append };
        let (first, last) = (producer.base_sequence, last_sequence(batch, producer.base_sequence));
        let entry = self.entry(producer.id);
        if let Some(entry) = entry.filter(|entry| entry.epoch == producer.epoch) {
            let seen = entry.retained();
            let same = seen.iter().find(|b| (b.first_sequence, b.last_sequence) == (first, last));
            if let Some(duplicate) = same {
                return Admission::Duplicate(duplicate.base_offset);
            }
        }
        let outcome = self.check_transaction(batch, verified);
        let outcome = outcome.and_then(|()| check_epoch(entry, producer.epoch));
        let outcome = outcome.and_then(|()| self.check_sequence(entry, batch));
        let open = entry.is_some_and(|entry| entry.open_from.is_some());
        match outcome {
            Err(error) => Admission::Refuse(error),
            // Nothing else comes from a producer within its transaction.
            Ok(()) if open && batch.kind == BatchKind::Plain => {
                Admission::Refuse(ErrorCode::InvalidTxnState)
            }
            Ok(()) => Admission::Append,
        }
    }

    /// May a coordinator of this broker append a transactional batch of its own, which has no sequence?
    pub fn admit_coordinator(&self, batch: &Batch, verified: Verified) -> Result<(), ErrorCode> {
        let Some(producer) = batch.producer else { return Ok(()) };
        self.check_transaction(batch, verified)?;
        check_epoch(self.entry(producer.id), producer.epoch)
    }

    /// May a transaction coordinator end a transaction here? From transaction version 2 on the marker carries a newer
    /// epoch than the data. With the same one it is taken when nothing is open: it was written already and the answer
    /// was lost, so it is written again.
    pub fn admit_marker(&self, marker: &TxnMarker) -> Result<(), ErrorCode> {
        let Some(entry) = self.entry(marker.producer_id) else { return Ok(()) };
        let again =
            marker.epoch == entry.epoch && (marker.version < 2 || entry.open_from.is_none());
        if marker.epoch < entry.epoch || (marker.epoch == entry.epoch && !again) {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if entry.coordinator_epoch > marker.coordinator_epoch {
            return Err(ErrorCode::TransactionCoordinatorFenced);
        }
        Ok(())
    }

    fn check_transaction(&self, batch: &Batch, verified: Verified) -> Result<(), ErrorCode> {
        let (Some(producer), Verified::By(guard)) = (batch.producer, verified) else {
            return Ok(());
        };
        if batch.kind != BatchKind::Transactional || self.is_open(producer.id, producer.epoch) {
            return Ok(());
        }
        let granted = self.verification(producer.id).map(|verification| verification.guard);
        if guard.is_some() && guard == granted { Ok(()) } else { Err(ErrorCode::InvalidTxnState) }
    }

    /// `ProducerAppendInfo.checkSequence`.
    fn check_sequence(
        &self,
        entry: Option<&ProducerStateEntry>,
        batch: &Batch,
    ) -> Result<(), ErrorCode> {
        let Some(producer) = batch.producer else { return Ok(()) };
        let first = producer.base_sequence;
        let remembered = entry.and_then(|entry| entry.retained().last());
        if let Some(verification) = self.verification(producer.id) {
            let unknown = verification.adds && first != Sequence(0) && remembered.is_none();
            if unknown || first > verification.lowest {
                return Err(ErrorCode::OutOfOrderSequenceNumber);
            }
        }
        let expected = match entry {
            None => return Ok(()),
            Some(entry) if entry.epoch == producer.epoch => {
                remembered.map_or(Sequence(0), |batch| next_sequence(batch.last_sequence))
            }
            Some(_) => Sequence(0),
        };
        if first == expected { Ok(()) } else { Err(ErrorCode::OutOfOrderSequenceNumber) }
    }

    /// The producer has an open transaction here (`hasOngoingTransaction`).
    pub fn is_open(&self, producer_id: i64, epoch: ProducerEpoch) -> bool {
        self.entry(producer_id).is_some_and(|e| e.epoch == epoch && e.open_from.is_some())
    }

    /// The open transactions, earliest first (`DescribeProducers`).
    pub fn open_transactions(&self) -> impl Iterator<Item = OpenTransaction> + use<> {
        let open = self.entries.iter().filter_map(|entry| {
            let ProducerStateEntry { id, epoch, coordinator_epoch, open_from, .. } = *entry;
            let start = open_from?;
            Some(OpenTransaction { start, producer_id: id, epoch, coordinator_epoch })
        });
        let mut open: Vec<OpenTransaction> = open.collect();
        open.sort_unstable_by_key(|open| open.start);
        open.into_iter()
    }

    /// A batch wants to begin a transaction here: the coordinator is asked under the guard that is returned
    /// (`maybeCreateVerificationGuard`).
    pub fn begin_verification(
        &mut self,
        producer_id: i64,
        epoch: ProducerEpoch,
        first: Sequence,
        adds: bool,
    ) -> Guard {
        let known = self.verifications.iter_mut().find(|v| v.producer_id == producer_id);
        if let Some(known) = known {
            if epoch > known.epoch {
                (known.epoch, known.lowest) = (epoch, first);
            } else if epoch == known.epoch {
                known.lowest = known.lowest.min(first);
            }
            return known.guard;
        }
        self.last_guard += 1;
        let guard = Guard(self.last_guard);
        self.verifications.push(Verification { producer_id, guard, epoch, lowest: first, adds });
        guard
    }

    fn verification(&self, producer_id: i64) -> Option<&Verification> {
        self.verifications.iter().find(|v| v.producer_id == producer_id)
    }

    /// Notes that `handle` was appended at `base_offset`, by a leader or by a follower, which does not check.
    pub fn update(&mut self, batches: &BatchTable, handle: BatchHandle, base_offset: Offset) {
        let batch = &batches[handle];
        let Some(producer) = batch.producer else { return };
        if batch.kind != BatchKind::Plain {
            self.verifications.retain(|v| v.producer_id != producer.id);
        }
        let at = match self.entries.binary_search_by_key(&producer.id, |entry| entry.id) {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, ProducerStateEntry::new(producer.id, producer.epoch));
                at
            }
        };
        let entry = &mut self.entries[at];
        if entry.epoch != producer.epoch {
            (entry.epoch, entry.len) = (producer.epoch, 0);
        }
        let stamps = batches.records(handle).map(|record| record.timestamp);
        entry.last_timestamp = stamps.max().unwrap_or_default();
        if let RecordBody::EndTransactionMarker { committed, coordinator_epoch } =
            batches.record(handle, 0).body
        {
            entry.coordinator_epoch = coordinator_epoch;
            if let Some(first) = entry.open_from.take() {
                self.transactions.end(producer.id, (first, base_offset), committed);
            }
            return;
        }
        // The batches of coordinators have no sequence.
        if producer.base_sequence >= Sequence(0) {
            entry.remember(BatchMetadata {
                first_sequence: producer.base_sequence,
                last_sequence: last_sequence(batch, producer.base_sequence),
                base_offset,
            });
        }
        if batch.kind == BatchKind::Transactional && entry.open_from.is_none() {
            entry.open_from = Some(base_offset);
            self.transactions.begin(producer.id, base_offset);
        }
    }

    /// Forgets producers that were silent for `expiration` milliseconds at `timestamp` and have nothing open
    /// (`removeExpiredProducers`).
    pub fn remove_expired(&mut self, timestamp: i64, expiration: i64) {
        self.entries.retain(|entry| {
            entry.open_from.is_some() || timestamp - entry.last_timestamp < expiration
        });
    }

    /// Is the batch at `base_offset` the last one of its producer? Compaction keeps that one, if need be without
    /// records: it tells a later process the producer's epoch and sequence.
    pub fn is_last_of_producer(&self, batch: &Batch, base_offset: Offset) -> bool {
        let entry = batch.producer.and_then(|producer| self.entry(producer.id));
        let last = entry.and_then(|entry| entry.retained().last());
        last.is_some_and(|last| last.base_offset == base_offset)
    }

    /// Adds what decides future answers.
    pub fn fingerprint(&self, into: &mut Fingerprint) {
        for entry in &self.entries {
            into.add((entry.id, entry.epoch, entry.coordinator_epoch, entry.open_from));
            for batch in entry.retained() {
                into.add(batch);
            }
        }
        for verification in &self.verifications {
            into.add((verification.producer_id, verification.epoch, verification.lowest));
        }
        self.transactions.fingerprint(into);
    }

    fn entry(&self, id: i64) -> Option<&ProducerStateEntry> {
        let at = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        Some(&self.entries[at])
    }
}

impl ProducerStateEntry {
    fn new(id: i64, epoch: ProducerEpoch) -> Self {
        Self {
            id,
            epoch,
            coordinator_epoch: -1,
            open_from: None,
            last_timestamp: 0,
            batches: [BatchMetadata::default(); BATCHES_TO_RETAIN],
            len: 0,
        }
    }

    fn retained(&self) -> &[BatchMetadata] {
        &self.batches[..usize::from(self.len)]
    }

    fn remember(&mut self, batch: BatchMetadata) {
        if usize::from(self.len) == BATCHES_TO_RETAIN {
            self.batches.rotate_left(1);
            self.len -= 1;
        }
        self.batches[usize::from(self.len)] = batch;
        self.len += 1;
    }
}

/// A producer with an older epoch is a zombie.
fn check_epoch(entry: Option<&ProducerStateEntry>, epoch: ProducerEpoch) -> Result<(), ErrorCode> {
    let newer = entry.is_some_and(|entry| entry.epoch > epoch);
    if newer { Err(ErrorCode::InvalidProducerEpoch) } else { Ok(()) }
}

/// The sequence of the last record of a batch; sequences wrap from 2³¹−1 to 0.
fn last_sequence(batch: &Batch, first: Sequence) -> Sequence {
    let last = (i64::from(first.0) + i64::from(batch.count) - 1) % (1 << 31);
    Sequence(last as i32)
}

fn next_sequence(last: Sequence) -> Sequence {
    Sequence(last.0.checked_add(1).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::batch::{ProducerState, Record};
    use crate::base::ids::{KeyId, MessageId, NodeId};

    const OUT_OF_ORDER: Admission = Admission::Refuse(ErrorCode::OutOfOrderSequenceNumber);
    const INVALID_EPOCH: Admission = Admission::Refuse(ErrorCode::InvalidProducerEpoch);
    const INVALID_STATE: Admission = Admission::Refuse(ErrorCode::InvalidTxnState);
    const FREE: Verified = Verified::NotNeeded;

    /// A partition that appends whatever it is given.
    #[derive(Default)]
    struct Partition {
        batches: BatchTable,
        state: ProducerStateManager,
        end: Offset,
    }

    impl Partition {
        fn batch(&mut self, kind: BatchKind, epoch: i16, first: i32, count: u32) -> BatchHandle {
            let body = match kind {
                BatchKind::Control => {
                    RecordBody::EndTransactionMarker { committed: false, coordinator_epoch: 3 }
                }
                _ => RecordBody::Message(MessageId(0)),
            };
            let record = Record {
                body,
                key: KeyId::NONE,
                bytes: 10,
                timestamp: self.end.0,
                is_tombstone: false,
            };
            let (epoch, base_sequence) = (ProducerEpoch(epoch), Sequence(first));
            let producer = ProducerState { id: 7, epoch, base_sequence };
            let records = vec![record; count as usize];
            self.batches.add_of_kind(kind, NodeId::Producer(0), Some(producer), &records)
        }

        fn append(&mut self, kind: BatchKind, epoch: i16, first: i32, count: u32) {
            let batch = self.batch(kind, epoch, first, count);
            self.state.update(&self.batches, batch, self.end);
            self.end = self.end + i64::from(count);
        }

        fn admit(&mut self, kind: BatchKind, (epoch, first, count): (i16, i32, u32)) -> Admission {
            self.admit_under(kind, (epoch, first, count), FREE)
        }

        fn admit_under(
            &mut self,
            kind: BatchKind,
            (epoch, first, count): (i16, i32, u32),
            verified: Verified,
        ) -> Admission {
            let batch = self.batch(kind, epoch, first, count);
            self.state.admit(&self.batches[batch], verified)
        }
    }

    fn marker(epoch: i16, coordinator_epoch: i32, version: u8) -> TxnMarker {
        TxnMarker {
            partition: crate::base::ids::PartitionId(0),
            producer_id: 7,
            epoch: ProducerEpoch(epoch),
            committed: true,
            coordinator_epoch,
            version,
        }
    }

    #[test]
    fn admission_follows_epoch_and_sequence() {
        let mut partition = Partition::default();
        // Six batches of two records: sequences 0-1, 2-3, … 10-11 at the same offsets.
        for n in 0..6 {
            partition.append(BatchKind::Plain, 1, n * 2, 2);
        }
        for (why, candidate, expected) in [
            ("the next one", (1, 12, 3), Admission::Append),
            ("a gap", (1, 14, 1), OUT_OF_ORDER),
            ("the last again", (1, 10, 2), Admission::Duplicate(Offset(10))),
            ("the fifth last again", (1, 2, 2), Admission::Duplicate(Offset(2))),
            ("older than the last five", (1, 0, 2), OUT_OF_ORDER),
            ("another cut of the same records", (1, 10, 1), OUT_OF_ORDER),
            ("an old epoch", (0, 12, 1), INVALID_EPOCH),
            ("a new epoch from 0", (2, 0, 1), Admission::Append),
            ("a new epoch from elsewhere", (2, 12, 1), OUT_OF_ORDER),
        ] {
            assert_eq!(partition.admit(BatchKind::Plain, candidate), expected, "{why}");
        }
    }

    #[test]
    fn without_state_any_first_sequence_is_taken() {
        let mut partition = Partition::default();
        assert_eq!(partition.admit(BatchKind::Plain, (0, 3, 1)), Admission::Append);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut partition = Partition::default();
        partition.append(BatchKind::Plain, 0, i32::MAX - 1, 2);
        assert_eq!(partition.admit(BatchKind::Plain, (0, 0, 1)), Admission::Append);
        partition.append(BatchKind::Plain, 0, i32::MAX - 1, 4);
        assert_eq!(partition.admit(BatchKind::Plain, (0, 2, 1)), Admission::Append);
    }

    #[test]
    fn a_marker_ends_the_transaction_and_forgets_the_sequences_of_older_epochs() {
        let mut partition = Partition::default();
        partition.append(BatchKind::Transactional, 0, 0, 2);
        assert!(partition.state.is_open(7, ProducerEpoch(0)));
        assert_eq!(partition.admit(BatchKind::Plain, (0, 2, 1)), INVALID_STATE, "inside");
        partition.append(BatchKind::Control, 1, -1, 1);
        assert!(!partition.state.is_open(7, ProducerEpoch(0)));
        for (why, candidate, expected) in [
            ("the transaction before", (0, 2, 1), INVALID_EPOCH),
            ("the next one", (1, 0, 1), Admission::Append),
            ("the next one without its beginning", (1, 1, 1), OUT_OF_ORDER),
        ] {
            assert_eq!(partition.admit(BatchKind::Transactional, candidate), expected, "{why}");
        }
    }

    #[test]
    fn markers_are_fenced_by_epoch_and_coordinator() {
        let mut partition = Partition::default();
        assert_eq!(partition.state.admit_marker(&marker(0, 0, 2)), Ok(()), "nothing is known");
        partition.append(BatchKind::Transactional, 4, 0, 1);
        let late = Err(ErrorCode::InvalidProducerEpoch);
        for (why, marker, expected) in [
            ("an older transaction", marker(3, 0, 1), late),
            ("version 1: the same epoch", marker(4, 0, 1), Ok(())),
            ("version 2: the same epoch", marker(4, 0, 2), late),
            ("version 2: the next epoch", marker(5, 0, 2), Ok(())),
        ] {
            assert_eq!(partition.state.admit_marker(&marker), expected, "{why}");
        }
        partition.append(BatchKind::Control, 5, -1, 1);
        let zombie = Err(ErrorCode::TransactionCoordinatorFenced);
        for (why, marker, expected) in [
            ("again, after a lost answer", marker(5, 3, 2), Ok(())),
            ("by a coordinator of before", marker(6, 2, 2), zombie),
            ("by a later one", marker(6, 4, 2), Ok(())),
        ] {
            assert_eq!(partition.state.admit_marker(&marker), expected, "{why}");
        }
    }

    /// The interleaving a guard is for: a verification is granted, the transaction is aborted, and only then the batch
    /// comes to be appended.
    #[test]
    fn a_guard_opens_one_transaction_and_no_later_one() {
        let mut partition = Partition::default();
        let first = (0, 0, 1);
        let kind = BatchKind::Transactional;
        assert_eq!(partition.admit_under(kind, first, Verified::By(None)), INVALID_STATE);
        let verify = |state: &mut ProducerStateManager| {
            state.begin_verification(7, ProducerEpoch(0), Sequence(0), false)
        };
        let guard = verify(&mut partition.state);
        let by = Verified::By(Some(guard));
        assert_eq!(partition.admit_under(kind, first, by), Admission::Append);
        partition.append(BatchKind::Control, 0, -1, 1);
        assert_eq!(partition.admit_under(kind, first, by), INVALID_STATE, "it was aborted");
        assert_ne!(verify(&mut partition.state), guard);
        assert_eq!(partition.admit_under(kind, first, by), INVALID_STATE, "that is another one");
    }

    #[test]
    fn a_verified_transaction_begins_with_the_lowest_sequence_that_asked() {
        let mut partition = Partition::default();
        let kind = BatchKind::Transactional;
        let verify = |state: &mut ProducerStateManager, first: i32, adds| {
            Verified::By(Some(state.begin_verification(7, ProducerEpoch(0), Sequence(first), adds)))
        };
        verify(&mut partition.state, 5, false);
        let by = verify(&mut partition.state, 3, false);
        assert_eq!(partition.admit_under(kind, (0, 5, 1), by), OUT_OF_ORDER, "3 asked too");
        assert_eq!(partition.admit_under(kind, (0, 3, 1), by), Admission::Append);
        let mut partition = Partition::default();
        let by = verify(&mut partition.state, 1, true);
        assert_eq!(partition.admit_under(kind, (0, 1, 1), by), OUT_OF_ORDER, "version 2: from 0");
    }

    #[test]
    fn silent_producers_are_forgotten_unless_they_have_a_transaction() {
        let mut partition = Partition { end: Offset(100), ..Partition::default() };
        partition.append(BatchKind::Transactional, 0, 0, 1);
        partition.state.remove_expired(1_000, 50);
        assert_eq!(partition.admit(BatchKind::Transactional, (0, 5, 1)), OUT_OF_ORDER);
        partition.append(BatchKind::Control, 0, -1, 1);
        partition.state.remove_expired(120, 50);
        assert_eq!(partition.admit(BatchKind::Transactional, (0, 5, 1)), OUT_OF_ORDER);
        partition.state.remove_expired(200, 50);
        assert_eq!(partition.admit(BatchKind::Transactional, (0, 5, 1)), Admission::Append);
    }
}
