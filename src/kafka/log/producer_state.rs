//! What a partition remembers of idempotent producers: `ProducerStateManager`, `ProducerStateEntry` and
//! `ProducerAppendInfo` (KIP-98, KIP-360). It lives in memory and is rebuilt from the log after a restart or a
//! truncation.
//!
//! Simplified: no transactions; producer ids do not expire (`producer.id.expiration.ms`); no snapshot files, the
//! whole log is replayed.

use crate::base::batch::{Batch, BatchTable};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{Offset, ProducerEpoch, Sequence};
use crate::kafka::log::UnifiedLog;

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
    /// The last batches of `epoch`, oldest first; only the first `len` count.
    batches: [BatchMetadata; BATCHES_TO_RETAIN],
    len: u8,
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

/// The producer state of a partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProducerStateManager {
    /// Sorted by producer id.
    entries: Vec<ProducerStateEntry>,
}

impl ProducerStateManager {
    /// The state after everything in `log`.
    pub fn rebuilt_from(log: &UnifiedLog, batches: &BatchTable) -> Self {
        let mut state = Self::default();
        for (base_offset, batch) in log.batches() {
            state.update(&batches[batch], base_offset);
        }
        state
    }

    /// May a client's `batch` be appended? Without a producer id always; else by Kafka's rules: a batch that is among
    /// the last five is a duplicate; a smaller epoch is refused; a new epoch starts at sequence 0; within an epoch the
    /// sequence goes on without a gap. **A partition without state for the producer id takes any first sequence.**
    pub fn admit(&self, batch: &Batch) -> Admission {
        let Some(producer) = batch.producer else { return Admission::Append };
        let Some(entry) = self.entry(producer.id) else { return Admission::Append };
        let (first, last) = (producer.base_sequence, last_sequence(batch, producer.base_sequence));
        if producer.epoch == entry.epoch {
            let seen = entry.retained();
            let same = seen.iter().find(|b| (b.first_sequence, b.last_sequence) == (first, last));
            if let Some(duplicate) = same {
                return Admission::Duplicate(duplicate.base_offset);
            }
            return match seen.last() {
                Some(previous) if next_sequence(previous.last_sequence) != first => {
                    Admission::Refuse(ErrorCode::OutOfOrderSequenceNumber)
                }
                _ => Admission::Append,
            };
        }
        if producer.epoch < entry.epoch {
            return Admission::Refuse(ErrorCode::InvalidProducerEpoch);
        }
        if first != Sequence(0) {
            return Admission::Refuse(ErrorCode::OutOfOrderSequenceNumber);
        }
        Admission::Append
    }

    /// Notes that `batch` was appended at `base_offset`, by a leader or by a follower, which does not check.
    pub fn update(&mut self, batch: &Batch, base_offset: Offset) {
        let Some(producer) = batch.producer else { return };
        let at = match self.entries.binary_search_by_key(&producer.id, |entry| entry.id) {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, ProducerStateEntry::new(producer.id, producer.epoch));
                at
            }
        };
        let entry = &mut self.entries[at];
        if entry.epoch != producer.epoch {
            *entry = ProducerStateEntry::new(producer.id, producer.epoch);
        }
        entry.remember(BatchMetadata {
            first_sequence: producer.base_sequence,
            last_sequence: last_sequence(batch, producer.base_sequence),
            base_offset,
        });
    }

    /// Adds what decides future answers.
    pub fn fingerprint(&self, into: &mut Fingerprint) {
        for entry in &self.entries {
            into.add((entry.id, entry.epoch));
            for batch in entry.retained() {
                into.add(batch);
            }
        }
    }

    fn entry(&self, id: i64) -> Option<&ProducerStateEntry> {
        let at = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        Some(&self.entries[at])
    }
}

impl ProducerStateEntry {
    fn new(id: i64, epoch: ProducerEpoch) -> Self {
        Self { id, epoch, batches: [BatchMetadata::default(); BATCHES_TO_RETAIN], len: 0 }
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
    use crate::base::batch::{BatchKind, ProducerState};
    use crate::base::ids::NodeId;

    fn batch(epoch: i16, first: i32, count: u32) -> Batch {
        let producer =
            ProducerState { id: 7, epoch: ProducerEpoch(epoch), base_sequence: Sequence(first) };
        let origin = NodeId::Producer(0);
        Batch {
            first_record: 0,
            count,
            bytes: 100,
            origin,
            producer: Some(producer),
            kind: BatchKind::Plain,
        }
    }

    const OUT_OF_ORDER: Admission = Admission::Refuse(ErrorCode::OutOfOrderSequenceNumber);

    #[test]
    fn admission_follows_epoch_and_sequence() {
        let mut state = ProducerStateManager::default();
        // Six batches of two records: sequences 0-1, 2-3, … 10-11 at the same offsets.
        for n in 0..6 {
            state.update(&batch(1, n * 2, 2), Offset(i64::from(n) * 2));
        }
        for (why, candidate, expected) in [
            ("the next one", batch(1, 12, 3), Admission::Append),
            ("a gap", batch(1, 14, 1), OUT_OF_ORDER),
            ("the last again", batch(1, 10, 2), Admission::Duplicate(Offset(10))),
            ("the fifth last again", batch(1, 2, 2), Admission::Duplicate(Offset(2))),
            ("older than the last five", batch(1, 0, 2), OUT_OF_ORDER),
            ("another cut of the same records", batch(1, 10, 1), OUT_OF_ORDER),
            ("an old epoch", batch(0, 12, 1), Admission::Refuse(ErrorCode::InvalidProducerEpoch)),
            ("a new epoch from 0", batch(2, 0, 1), Admission::Append),
            ("a new epoch from elsewhere", batch(2, 12, 1), OUT_OF_ORDER),
        ] {
            assert_eq!(state.admit(&candidate), expected, "{why}");
        }
    }

    #[test]
    fn without_state_any_first_sequence_is_taken() {
        assert_eq!(ProducerStateManager::default().admit(&batch(0, 3, 1)), Admission::Append);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut state = ProducerStateManager::default();
        state.update(&batch(0, i32::MAX - 1, 2), Offset(0));
        assert_eq!(state.admit(&batch(0, 0, 1)), Admission::Append);
        state.update(&batch(0, i32::MAX - 1, 4), Offset(2));
        assert_eq!(state.admit(&batch(0, 2, 1)), Admission::Append);
    }
}
