//! What a coordinator keeps of a transactional id, and the steps it can take: `TransactionMetadata`. A step is
//! prepared, written to the log, and counts when it is replicated; until then nobody else may take one.
//!
//! Under transaction version 2 (KIP-890) every transaction ends with another producer epoch: its markers carry the next
//! one, and the client goes on with it. Under versions 0 and 1 the epoch changes only when a producer is fenced or
//! starts anew. Epochs run out at 32,767: the next transaction gets another producer id.
//!
//! Simplified: no two-phase commit with an outer coordinator (KIP-939).

use crate::base::batch::{TransactionSnapshot, TransactionState};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{PartitionId, ProducerEpoch};

/// `RecordBatch.NO_PRODUCER_ID`.
pub const NO_PRODUCER_ID: i64 = -1;
/// `RecordBatch.NO_PRODUCER_EPOCH`.
pub const NO_PRODUCER_EPOCH: ProducerEpoch = ProducerEpoch(-1);

/// From this version on a transaction ends with an epoch bump (`TransactionVersion.supportsEpochBump`).
pub const EPOCH_BUMP: u8 = 2;

/// The last epoch is kept for fencing (`TransactionMetadata.isEpochExhausted`).
pub fn is_epoch_exhausted(epoch: ProducerEpoch) -> bool {
    epoch.0 >= i16::MAX - 1
}

/// A transactional id as its coordinator has it in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionMetadata {
    /// What is written and replicated.
    pub current: TransactionSnapshot,
    /// The state that is being written.
    pub pending: Option<TransactionState>,
    /// An attempt to fence could not be written: its epoch was given to nobody, so the next attempt takes it again.
    pub has_failed_epoch_fence: bool,
}

impl TransactionMetadata {
    /// An id that was never seen before; it has a producer id and no epoch yet.
    pub fn new(producer_id: i64, timeout_ms: u32, at: i64) -> Self {
        Self::restored(TransactionSnapshot {
            producer_id,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            epoch: NO_PRODUCER_EPOCH,
            last_epoch: NO_PRODUCER_EPOCH,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: Vec::new(),
            started: -1,
            updated: at,
            client_version: 0,
        })
    }

    /// As a record of `__transaction_state` has it.
    pub fn restored(current: TransactionSnapshot) -> Self {
        Self { current, pending: None, has_failed_epoch_fence: false }
    }

    /// The epochs of the producer id are used up.
    pub fn is_epoch_exhausted(&self) -> bool {
        is_epoch_exhausted(self.current.epoch)
    }

    /// A step is on its way that fences the producer.
    pub fn is_fencing(&self) -> bool {
        self.pending == Some(TransactionState::PrepareEpochFence)
    }

    /// Shuts out the producer of the ongoing transaction: an abort with the next epoch follows at once.
    pub fn prepare_fence_epoch(&mut self) -> TransactionSnapshot {
        let epoch = self.current.epoch;
        let kept = self.has_failed_epoch_fence || epoch.0 == i16::MAX;
        let epoch = if kept { epoch } else { epoch + 1 };
        self.prepare(TransactionState::PrepareEpochFence, |to| to.epoch = epoch)
    }

    /// A producer starts, or goes on after an error with the epoch it has (KIP-360): the next epoch.
    ///
    /// # Errors
    /// `PRODUCER_FENCED` when its epoch is neither the current one nor the one before.
    pub fn prepare_increment_epoch(
        &mut self,
        timeout_ms: u32,
        expected: Option<ProducerEpoch>,
        at: i64,
    ) -> Result<TransactionSnapshot, ErrorCode> {
        let now = &self.current;
        let next = now.epoch + 1;
        let (epoch, last_epoch) = match expected {
            None => (next, NO_PRODUCER_EPOCH),
            Some(has) if now.epoch == NO_PRODUCER_EPOCH || has == now.epoch => (next, now.epoch),
            // It asks again: the answer was lost.
            Some(has) if has == now.last_epoch => (now.epoch, now.last_epoch),
            Some(_) => return Err(ErrorCode::ProducerFenced),
        };
        Ok(self.prepare(TransactionState::Empty, |to| {
            (to.epoch, to.last_epoch, to.timeout_ms) = (epoch, last_epoch, timeout_ms);
            to.partitions.clear();
            (to.started, to.updated) = (-1, at);
        }))
    }

    /// The epochs are used up: another producer id, from epoch 0 on.
    pub fn prepare_id_rotation(
        &mut self,
        producer_id: i64,
        timeout_ms: u32,
        at: i64,
        record_last_epoch: bool,
    ) -> TransactionSnapshot {
        let last = if record_last_epoch { self.current.epoch } else { NO_PRODUCER_EPOCH };
        self.prepare(TransactionState::Empty, |to| {
            to.producer_id = producer_id;
            (to.epoch, to.last_epoch, to.timeout_ms) = (ProducerEpoch(0), last, timeout_ms);
            to.partitions.clear();
            (to.started, to.updated) = (-1, at);
        })
    }

    /// Partitions become part of the transaction; the first ones begin it.
    pub fn prepare_add_partitions(
        &mut self,
        partitions: &[PartitionId],
        at: i64,
        client_version: u8,
    ) -> TransactionSnapshot {
        let goes_on = self.current.state == TransactionState::Ongoing;
        self.prepare(TransactionState::Ongoing, |to| {
            to.partitions.extend_from_slice(partitions);
            to.partitions.sort_unstable();
            to.partitions.dedup();
            if !goes_on {
                to.started = at;
            }
            (to.updated, to.client_version) = (at, client_version);
        })
    }

    /// The decision: commit or abort. An abort without partitions begins and ends here.
    pub fn prepare_end(
        &mut self,
        committed: bool,
        client_version: u8,
        next_producer_id: i64,
        at: i64,
    ) -> TransactionSnapshot {
        let to = if committed {
            TransactionState::PrepareCommit
        } else {
            TransactionState::PrepareAbort
        };
        let begun = self.current.state == TransactionState::Ongoing;
        let epoch = self.current.epoch;
        self.prepare(to, |to| {
            if client_version >= EPOCH_BUMP {
                to.last_epoch = epoch;
                if committed || epoch.0 < i16::MAX {
                    to.epoch = epoch + 1;
                }
            }
            if !begun {
                to.started = at;
            }
            to.next_producer_id = next_producer_id;
            (to.updated, to.client_version) = (at, client_version);
        })
    }

    /// Every marker is written.
    pub fn prepare_complete(&mut self, at: i64) -> TransactionSnapshot {
        self.has_failed_epoch_fence = false;
        let now = &self.current;
        let to = match now.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            _ => TransactionState::CompleteAbort,
        };
        let rotates = now.client_version >= EPOCH_BUMP && now.next_producer_id != NO_PRODUCER_ID;
        self.prepare(to, |to| {
            if rotates {
                (to.producer_id, to.epoch) = (to.next_producer_id, ProducerEpoch(0));
            }
            to.next_producer_id = NO_PRODUCER_ID;
            to.partitions.clear();
            to.updated = at;
        })
    }

    /// The id expires.
    pub fn prepare_dead(&mut self) -> TransactionSnapshot {
        self.prepare(TransactionState::Dead, |to| to.partitions.clear())
    }

    /// The step is written and replicated: it counts.
    ///
    /// # Panics
    /// When it is not the one that was prepared.
    pub fn complete(&mut self, to: TransactionSnapshot) {
        assert_eq!(self.pending, Some(to.state), "only the step that was prepared can count");
        self.pending = None;
        self.current = to;
    }

    /// Adds what decides its future.
    pub fn fingerprint(&self, into: &mut Fingerprint) {
        let TransactionSnapshot { producer_id, previous_producer_id, next_producer_id, .. } =
            self.current;
        into.add((producer_id, previous_producer_id, next_producer_id));
        into.add((self.current.epoch, self.current.last_epoch, self.current.timeout_ms));
        into.add((self.current.state, self.pending, self.has_failed_epoch_fence));
        into.add((&self.current.partitions, self.current.client_version));
    }

    fn prepare(
        &mut self,
        state: TransactionState,
        change: impl FnOnce(&mut TransactionSnapshot),
    ) -> TransactionSnapshot {
        assert_eq!(self.pending, None, "one step at a time");
        assert!(
            may_follow(self.current.state, state),
            "{state:?} cannot follow {:?}",
            self.current.state
        );
        let mut to = self.current.clone();
        to.state = state;
        to.previous_producer_id = self.current.producer_id;
        change(&mut to);
        self.pending = Some(state);
        to
    }
}

/// `TransactionState.validPreviousStates`.
fn may_follow(from: TransactionState, to: TransactionState) -> bool {
    use TransactionState as S;
    let idle = matches!(from, S::Empty | S::CompleteCommit | S::CompleteAbort);
    match to {
        S::Empty | S::Dead => idle,
        S::Ongoing | S::PrepareAbort => idle || from == S::Ongoing,
        S::PrepareCommit | S::PrepareEpochFence => from == S::Ongoing,
        S::CompleteCommit => from == S::PrepareCommit,
        S::CompleteAbort => from == S::PrepareAbort,
    }
}
