//! What waits for a record in `__transaction_state`, and what is loaded from there (`TransactionStateManager`): a step
//! counts when its record is replicated to the ISR, which may not be smaller than `transaction.state.log.min.isr`.
//!
//! A write waits for the transaction's own time-out. After that its client is told to look again, and the step is
//! forgotten here, though its record may be replicated later: the next coordinator will find it.

use crate::base::batch::{
    Record, RecordBody, TransactionSnapshot, TransactionSnapshotId, TransactionState,
};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{
    BatchHandle, KeyId, LeaderEpoch, NodeId, Offset, PartitionId, ProducerEpoch, TransactionalId,
};
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::api::Message;
use crate::kafka::effects::{Effects, TimerKind, Token};
use crate::kafka::transaction::coordinator::{Step, TransactionCoordinator, init_answer};
use crate::kafka::transaction::metadata::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, TransactionMetadata};

/// A batch for the leader's log of a `__transaction_state` partition; its fate is told to
/// [`TransactionCoordinator::committed`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransactionAppend {
    /// The partition of `__transaction_state`.
    pub partition: PartitionId,
    /// What to append.
    pub batch: BatchHandle,
    /// The coordinator's name for this write.
    pub ticket: u32,
}

/// Who is told how the end of a transaction came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// The client that asked for it.
    Client { token: Token, bumps: bool },
    /// A client that starts: it is to come again.
    Init { token: Token },
    /// Nobody: the transaction timed out.
    Nobody,
}

impl Ended {
    pub(super) fn answer(
        self,
        fx: &mut Effects,
        error: ErrorCode,
        producer_id: i64,
        epoch: ProducerEpoch,
    ) {
        match self {
            Self::Client { token, bumps } => {
                let (producer_id, epoch) =
                    if bumps { (producer_id, epoch) } else { (NO_PRODUCER_ID, NO_PRODUCER_EPOCH) };
                fx.reply(token, Message::EndTxnResponse { error, producer_id, epoch });
            }
            Self::Init { token } => {
                let again = ErrorCode::ConcurrentTransactions;
                let error = if error == ErrorCode::None { again } else { error };
                fx.reply(token, init_answer(error));
            }
            Self::Nobody => {}
        }
    }
}

/// What happens when a step is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// The client gets its producer id and epoch.
    Init { token: Token },
    /// The partitions are part of the transaction; of a group's `offsets` the one that keeps them.
    Added { token: Token, offsets: bool },
    /// The transaction is decided: its markers go out.
    Ended { ended: Ended, fences: bool },
    /// Every marker is written.
    Completed,
    /// The id is forgotten.
    Dead,
}

/// A step whose record is not replicated yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Write {
    pub(super) ticket: u32,
    pub(super) partition: PartitionId,
    pub(super) id: TransactionalId,
    pub(super) to: TransactionSnapshot,
    pub(super) deadline: Time,
    pub(super) then: Then,
}

impl Write {
    pub(super) fn fingerprint(&self, now: Time, last_ticket: u32, into: &mut Fingerprint) {
        // Tickets count up for ever; their distance from the last one is what matters.
        into.add((last_ticket - self.ticket, self.partition, self.id, self.to.state));
        into.add_time(now, self.deadline);
    }
}

/// Beginnings.
impl TransactionCoordinator {
    /// Writes the step that was prepared for `id`.
    pub(super) fn append(
        &mut self,
        step: &mut Step<'_>,
        id: TransactionalId,
        to: TransactionSnapshot,
        then: Then,
    ) {
        let partition = step.fx.names.transaction_partitions[id.index()];
        let snapshot = step.fx.batches.add_transaction(to.clone());
        let batch = self.batch_of(step, id, snapshot, to.partitions.len());
        let deadline = step.now + Duration::from_millis(to.timeout_ms.into());
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.writes.push_back(Write { ticket, partition, id, to, deadline, then });
        step.appends.push(TransactionAppend { partition, batch, ticket });
        self.arm_writes(step.fx);
    }

    fn batch_of(
        &self,
        step: &mut Step<'_>,
        id: TransactionalId,
        snapshot: TransactionSnapshotId,
        partitions: usize,
    ) -> BatchHandle {
        let record = Record {
            body: RecordBody::TransactionState { id, snapshot },
            key: KeyId::NONE,
            bytes: (90 + 20 * partitions) as u32,
            timestamp: step.now.timestamp(),
            is_tombstone: false,
        };
        step.fx.batches.add(NodeId::Broker(self.broker), None, &[record])
    }

    fn arm_writes(&self, fx: &mut Effects) {
        match self.writes.iter().map(|write| write.deadline).min() {
            Some(at) => fx.set_timer(TimerKind::TransactionWrite, 0, at),
            None => fx.cancel_timer(TimerKind::TransactionWrite, 0),
        }
    }
}

/// Ends.
impl TransactionCoordinator {
    /// The append called `ticket` is below the high watermark, or it failed.
    pub fn committed(
        &mut self,
        step: &mut Step<'_>,
        ticket: u32,
        outcome: Result<Offset, ErrorCode>,
    ) {
        let Some(at) = self.writes.iter().position(|write| write.ticket == ticket) else { return };
        let Some(write) = self.writes.remove(at) else { return };
        self.arm_writes(step.fx);
        match outcome {
            Ok(_) => self.counts(step, write),
            Err(error) => self.failed(step, write, error.of_coordinator_append()),
        }
    }

    /// The step counts.
    fn counts(&mut self, step: &mut Step<'_>, write: Write) {
        let Write { id, to, then, .. } = write;
        if then == Then::Dead {
            self.ids.remove(&id);
            return say_changed(step.fx, id, &to);
        }
        let Some(metadata) = self.ids.get_mut(&id) else { return };
        let before = std::mem::take(&mut metadata.current.partitions);
        metadata.complete(to);
        let current = &metadata.current;
        say_changed(step.fx, id, current);
        for partition in current.partitions.iter().filter(|p| !before.contains(p)) {
            step.fx.event(EventKind::TransactionPartition { id, partition: *partition });
        }
        let (producer_id, epoch) = (current.producer_id, current.epoch);
        match then {
            Then::Init { token } => {
                let error = ErrorCode::None;
                step.fx.reply(token, Message::InitProducerIdResponse { error, producer_id, epoch });
            }
            Then::Added { token, offsets } => {
                step.fx.reply(token, added_answer(offsets, ErrorCode::None));
            }
            Then::Ended { ended, .. } => {
                ended.answer(step.fx, ErrorCode::None, producer_id, epoch);
                self.send_markers_of(step, id);
            }
            Then::Completed | Then::Dead => {}
        }
    }

    /// The step does not count; whoever waits for it is told.
    fn failed(&mut self, step: &mut Step<'_>, write: Write, error: ErrorCode) {
        let Write { id, to, then, .. } = write;
        if then == Then::Completed && error == ErrorCode::CoordinatorNotAvailable {
            return self.markers.write_completion_later(step.now, id, to, step.fx);
        }
        if let Some(metadata) = self.ids.get_mut(&id) {
            metadata.pending = None;
            metadata.has_failed_epoch_fence |= matches!(then, Then::Ended { fences: true, .. });
        }
        match then {
            Then::Init { token } => step.fx.reply(token, init_answer(error)),
            Then::Added { token, offsets } => step.fx.reply(token, added_answer(offsets, error)),
            Then::Ended { ended, .. } => {
                ended.answer(step.fx, error, NO_PRODUCER_ID, NO_PRODUCER_EPOCH);
            }
            Then::Completed | Then::Dead => {}
        }
    }

    /// Writes that waited for as long as their transaction allows.
    pub(super) fn writes_timed_out(&mut self, step: &mut Step<'_>) {
        while let Some(at) = self.writes.iter().position(|write| write.deadline <= step.now) {
            let Some(write) = self.writes.remove(at) else { return };
            self.failed(step, write, ErrorCode::RequestTimedOut.of_coordinator_append());
        }
        self.arm_writes(step.fx);
    }
}

/// Which transactional ids this broker coordinates.
impl TransactionCoordinator {
    /// This broker leads `partition` of `__transaction_state` from now on; `log` is what is in it, in order. What was
    /// decided and not completed goes on.
    pub fn elected(
        &mut self,
        step: &mut Step<'_>,
        partition: PartitionId,
        epoch: LeaderEpoch,
        log: impl Iterator<Item = (Offset, BatchHandle)>,
    ) {
        self.resigned(step, partition);
        self.led.insert(partition, epoch);
        for (_, batch) in log {
            let RecordBody::TransactionState { id, snapshot } =
                step.fx.batches.record(batch, 0).body
            else {
                continue;
            };
            let snapshot = step.fx.batches.transaction(snapshot);
            if snapshot.state == TransactionState::Dead {
                self.ids.remove(&id);
            } else {
                self.ids.insert(id, TransactionMetadata::restored((**snapshot).clone()));
            }
        }
        for id in ids_of(partition, step.fx) {
            step.fx.event(EventKind::TransactionLoaded { id });
            let Some(metadata) = self.ids.get(&id) else { continue };
            say_changed(step.fx, id, &metadata.current);
            for partition in &metadata.current.partitions {
                step.fx.event(EventKind::TransactionPartition { id, partition: *partition });
            }
            self.send_markers_of(step, id);
        }
    }

    /// This broker does not lead `partition` of `__transaction_state` any more: whoever waits is told.
    pub fn resigned(&mut self, step: &mut Step<'_>, partition: PartitionId) {
        if self.led.remove(&partition).is_none() {
            return;
        }
        for id in ids_of(partition, step.fx) {
            self.ids.remove(&id);
            self.markers.forget(id);
        }
        while let Some(at) = self.writes.iter().position(|write| write.partition == partition) {
            let Some(write) = self.writes.remove(at) else { return };
            self.failed(step, write, ErrorCode::NotCoordinator);
        }
        self.arm_writes(step.fx);
    }
}

/// The transactional ids of the run that live in `partition` of `__transaction_state`.
fn ids_of(partition: PartitionId, fx: &Effects) -> Vec<TransactionalId> {
    let homes = fx.names.transaction_partitions.iter().enumerate();
    let own = homes.filter(|(_, home)| **home == partition);
    own.map(|(n, _)| TransactionalId(n as u16)).collect()
}

fn say_changed(fx: &mut Effects, id: TransactionalId, now: &TransactionSnapshot) {
    let TransactionSnapshot { state, producer_id, epoch, .. } = *now;
    fx.event(EventKind::TransactionChanged { id, state, producer_id, epoch });
}

fn added_answer(offsets: bool, error: ErrorCode) -> Message {
    if offsets {
        Message::AddOffsetsToTxnResponse { error }
    } else {
        Message::AddPartitionsToTxnResponse { error }
    }
}
