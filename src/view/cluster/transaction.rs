//! Transactional ids as their coordinator says they are, and the offsets that wait for the end of a transaction.

use crate::base::batch::TransactionState;
use crate::base::ids::{BrokerId, EventSeq, LeaderEpoch, Offset, PartitionId, ProducerEpoch};
use crate::base::time::Time;

/// One transactional id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionView {
    /// Its coordinator, once one has spoken of it.
    pub coordinator: Option<BrokerId>,
    /// The coordinator's leader epoch.
    pub coordinator_epoch: LeaderEpoch,
    /// Its state; `None` before it was first used, and after it expired.
    pub state: Option<TransactionState>,
    /// Its producer id.
    pub producer_id: i64,
    /// Its producer epoch.
    pub epoch: ProducerEpoch,
    /// Partitions of the transaction that is open or being completed, in the order they came.
    pub partitions: Vec<PartitionId>,
    /// When the state changed last.
    pub since: Time,
    /// The event of that.
    pub changed: EventSeq,
    /// When the open transaction began; the start of the last one after that.
    pub began: Time,
    /// Transactions that ended so far: committed and aborted.
    pub ended: (u32, u32),
}

impl Default for TransactionView {
    fn default() -> Self {
        Self {
            coordinator: None,
            coordinator_epoch: LeaderEpoch::NONE,
            state: None,
            producer_id: -1,
            epoch: ProducerEpoch(-1),
            partitions: Vec::new(),
            since: Time::ZERO,
            changed: EventSeq::NONE,
            began: Time::ZERO,
            ended: (0, 0),
        }
    }
}

impl TransactionView {
    /// A transaction is open, or decided and not complete.
    pub fn is_open(&self) -> bool {
        self.state == Some(TransactionState::Ongoing) || self.is_decided()
    }

    /// It is decided, and not every marker is written.
    pub fn is_decided(&self) -> bool {
        use TransactionState::{PrepareAbort, PrepareCommit};
        matches!(self.state, Some(PrepareCommit | PrepareAbort))
    }

    /// Another broker coordinates it; what it knows follows.
    pub(super) fn reload(&mut self, coordinator: BrokerId, epoch: LeaderEpoch) {
        (self.coordinator, self.coordinator_epoch) = (Some(coordinator), epoch);
        self.state = None;
        self.partitions.clear();
    }

    /// Its coordinator says this.
    pub(super) fn change(
        &mut self,
        state: TransactionState,
        (producer_id, epoch): (i64, ProducerEpoch),
        (at, seq): (Time, EventSeq),
    ) {
        use TransactionState as S;
        let known = self.state;
        if state == S::Ongoing && known != Some(S::Ongoing) {
            self.began = at;
        }
        match (known, state) {
            (Some(S::PrepareCommit), S::CompleteCommit) => self.ended.0 += 1,
            (Some(S::PrepareAbort), S::CompleteAbort) => self.ended.1 += 1,
            _ => {}
        }
        if matches!(state, S::Empty | S::CompleteCommit | S::CompleteAbort | S::Dead) {
            self.partitions.clear();
        }
        self.state = (state != S::Dead).then_some(state);
        (self.producer_id, self.epoch) = (producer_id, epoch);
        (self.since, self.changed) = (at, seq);
    }

    pub(super) fn add(&mut self, partition: PartitionId) {
        if !self.partitions.contains(&partition) {
            self.partitions.push(partition);
        }
    }
}

/// An offset of a group that counts once a transaction commits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PendingOffset {
    /// Whose transaction.
    pub producer_id: i64,
    /// Which partition.
    pub partition: PartitionId,
    /// The next offset to read.
    pub offset: Offset,
    /// The event that stored it.
    pub seq: EventSeq,
}
