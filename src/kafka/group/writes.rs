//! What waits for a record of the coordinator: written here, ended when the record is below the high watermark, when it
//! failed, or when `offsets.commit.timeout.ms` is over (`CoordinatorRuntime`, its deferred events).

use std::sync::Arc;

use crate::base::batch::{GroupSnapshot, GroupSnapshotId, Record, RecordBody};
use crate::base::error::ErrorCode;
use crate::base::ids::{BatchHandle, Generation, GroupId, KeyId, NodeId, Offset, PartitionId};
use crate::base::time::Time;
use crate::event::EventKind;
use crate::kafka::api::Message;
use crate::kafka::effects::{Effects, List, TimerKind, Token};
use crate::kafka::group::classic::Parked;
use crate::kafka::group::coordinator::{CoordinatorAppend, GroupCoordinator, Output};
use crate::kafka::group::kind::Group;
use crate::kafka::group::members::Answer;
use crate::kafka::group::offsets::Committed;
use crate::kafka::group::rebalance::{GroupWrite, Written};
use crate::kafka::group::share::ShareAnswer;
use crate::kafka::group::share_members;
use crate::kafka::group::static_members::Replacement;

/// What happens when a write is replicated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum After {
    /// Nobody waits.
    Nothing,
    /// The offsets of the batch count, and the commit is answered (`None`: it was answered when it timed out).
    Commit { batch: BatchHandle, parked: Option<Parked> },
    /// The offsets of the batch are pending until their transaction ends, and the commit is answered.
    TransactionalCommit { batch: BatchHandle, parked: Option<Parked> },
    /// What the tombstones of the batch name is forgotten.
    Removal { batch: BatchHandle },
    /// The assignment counts; members that wait for it are answered.
    Assignment { generation: Generation, snapshot: GroupSnapshotId },
    /// A static member that came back is answered.
    Replacement(Box<Replacement>),
    /// An answer that had to wait for the writes before it.
    Answer { parked: Parked, error: ErrorCode, is_leave: bool },
    /// A member of a group of the consumer protocol is answered; should the write fail, the group is `undo` again.
    Members { parked: Option<(Parked, Answer)>, undo: Option<Box<Group>> },
    /// A member of a share group is answered.
    Share { parked: Parked, answer: ShareAnswer },
    /// Committed offsets are read.
    Fetch { parked: Parked, partitions: Vec<PartitionId> },
}

/// Something that waits for a write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pending {
    pub(super) ticket: u32,
    /// The `__consumer_offsets` partition.
    pub(super) partition: PartitionId,
    pub(super) group: GroupId,
    /// `offsets.commit.timeout.ms` after it began to wait; [`Time::NEVER`] when it was answered then.
    pub(super) deadline: Time,
    pub(super) after: After,
}

/// Beginnings.
impl GroupCoordinator {
    pub(super) fn write_group(&mut self, out: &mut Output<'_>, group: GroupId, write: GroupWrite) {
        let generation = write.generation;
        let record = group_record(out, group, generation, write.snapshot);
        let RecordBody::GroupMetadata { snapshot, .. } = record.body else {
            unreachable!("a group metadata record was made")
        };
        let after = match write.what {
            Written::Group => After::Nothing,
            Written::Assignment => After::Assignment { generation, snapshot },
            Written::Replacement(replacement) => After::Replacement(replacement),
        };
        self.append(out, group, &[record], |_| after);
    }

    pub(super) fn append(
        &mut self,
        out: &mut Output<'_>,
        group: GroupId,
        records: &[Record],
        after: impl FnOnce(BatchHandle) -> After,
    ) {
        let batch = out.fx.batches.add(NodeId::Broker(self.broker), None, records);
        let partition = out.fx.names.group_partitions[group.index()];
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.wait(out, group, ticket, after(batch));
        out.appends.push(CoordinatorAppend { partition, batch, ticket });
    }

    pub(super) fn wait(&mut self, out: &mut Output<'_>, group: GroupId, ticket: u32, after: After) {
        let partition = out.fx.names.group_partitions[group.index()];
        let deadline = out.now + self.config.brokers.offsets_commit_timeout;
        // One timer a group, set for the first that waits; it looks for the next when it runs out.
        if !self.pending.iter().any(|p| p.group == group && p.deadline != Time::NEVER) {
            out.fx.set_timer(TimerKind::GroupCommit, group.0, deadline);
        }
        self.pending.push_back(Pending { ticket, partition, group, deadline, after });
    }

    /// Answers a heartbeat or a leave once every write before it is replicated.
    pub(super) fn answer_in_order(
        &mut self,
        out: &mut Output<'_>,
        group: GroupId,
        token: Token,
        (error, is_leave): (ErrorCode, bool),
    ) {
        match self.last_write(out.fx.names.group_partitions[group.index()]) {
            Some(ticket) => {
                let parked = Parked::new(token);
                self.wait(out, group, ticket, After::Answer { parked, error, is_leave });
            }
            None => out.fx.reply(token, answer(error, is_leave)),
        }
    }

    /// The last write to `partition` that is not replicated yet.
    pub(super) fn last_write(&self, partition: PartitionId) -> Option<u32> {
        self.pending.iter().rev().find(|p| p.partition == partition).map(|p| p.ticket)
    }
}

/// Ends.
impl GroupCoordinator {
    /// The append called `ticket` is below the high watermark (`Ok`, with its offset), or it failed.
    pub fn committed(
        &mut self,
        now: Time,
        ticket: u32,
        result: Result<Offset, ErrorCode>,
        fx: &mut Effects,
    ) {
        if self.marker_ended(ticket, result.is_ok(), fx) {
            return;
        }
        while let Some(at) = self.pending.iter().position(|p| p.ticket == ticket) {
            let Some(Pending { group, after, .. }) = self.pending.remove(at) else { return };
            match result {
                Ok(_) => self.complete(now, group, after, fx),
                Err(error) => self.fail(now, group, &after, error.of_coordinator_append(), fx),
            }
        }
    }

    fn complete(&mut self, now: Time, group: GroupId, after: After, fx: &mut Effects) {
        match after {
            After::Nothing => {}
            After::Commit { batch, parked } => {
                for n in 0..fx.batches[batch].count {
                    let Record { body, timestamp: at, .. } = *fx.batches.record(batch, n);
                    if let RecordBody::OffsetCommit { group, partition, offset } = body {
                        self.offsets.set(group, partition, Committed { offset, at });
                        self.transactional.supersede(group, partition);
                        fx.event(EventKind::OffsetCommitted { group, partition, offset });
                    }
                }
                if let Some(parked) = parked.filter(|parked| !parked.gone) {
                    let error = ErrorCode::None;
                    fx.reply(parked.token, Message::OffsetCommitResponse { error });
                }
            }
            After::TransactionalCommit { batch, parked } => {
                self.keep_pending(batch, fx);
                if let Some(parked) = parked.filter(|parked| !parked.gone) {
                    let error = ErrorCode::None;
                    fx.reply(parked.token, Message::TxnOffsetCommitResponse { error });
                }
            }
            After::Removal { batch } => self.removed(batch, fx),
            After::Assignment { generation, snapshot } => {
                let snapshot = Arc::clone(fx.batches.group(snapshot));
                self.assignment_written(now, group, generation, Ok(&snapshot), fx);
            }
            After::Replacement(replacement) => {
                self.replacement_written(now, group, &replacement, Ok(()), fx);
            }
            After::Answer { parked, error, is_leave } => {
                if !parked.gone {
                    fx.reply(parked.token, answer(error, is_leave));
                }
            }
            After::Members { parked, .. } => {
                if let Some((parked, answer)) = parked.filter(|(parked, _)| !parked.gone) {
                    self.reply_member(fx, parked.token, &answer);
                }
            }
            After::Share { parked, answer } => {
                if !parked.gone {
                    share_members::reply(fx, parked.token, &answer);
                }
            }
            After::Fetch { parked, partitions } => {
                if !parked.gone {
                    self.reply_fetch(fx, group, parked.token, &partitions);
                }
            }
        }
    }

    pub(super) fn fail(
        &mut self,
        now: Time,
        group: GroupId,
        after: &After,
        error: ErrorCode,
        fx: &mut Effects,
    ) {
        if let After::Members { undo: Some(before), .. } = after {
            self.undo(now, group, before, fx);
        }
        let (parked, message) = match after {
            After::Nothing
            | After::Removal { .. }
            | After::Commit { parked: None, .. }
            | After::Members { parked: None, .. }
            | After::TransactionalCommit { parked: None, .. } => return,
            After::TransactionalCommit { parked: Some(parked), .. } => {
                (parked, Message::TxnOffsetCommitResponse { error })
            }
            After::Assignment { generation, .. } => {
                return self.assignment_written(now, group, *generation, Err(error), fx);
            }
            After::Replacement(replacement) => {
                return self.replacement_written(now, group, replacement, Err(error), fx);
            }
            After::Commit { parked: Some(parked), .. } => {
                (parked, Message::OffsetCommitResponse { error })
            }
            After::Members { parked: Some((parked, answer)), .. } => {
                (parked, answer.refused(error, fx))
            }
            After::Answer { parked, is_leave, .. } => (parked, answer(error, *is_leave)),
            After::Share { parked, answer } => {
                (parked, share_members::refusal(answer.epoch, error))
            }
            After::Fetch { parked, .. } => {
                (parked, Message::OffsetFetchResponse { error, offsets: List::EMPTY })
            }
        };
        if !parked.gone {
            fx.reply(parked.token, message);
        }
    }

    fn assignment_written(
        &mut self,
        now: Time,
        group: GroupId,
        generation: Generation,
        outcome: Result<&GroupSnapshot, ErrorCode>,
        fx: &mut Effects,
    ) {
        let mut appends = Vec::new();
        let out = &mut Output { now, fx, appends: &mut appends };
        self.with_classic(out, group, |g, cx| g.assignment_written(cx, generation, outcome));
        assert!(appends.is_empty(), "a group that waited for its assignment has members");
    }

    fn replacement_written(
        &mut self,
        now: Time,
        group: GroupId,
        replacement: &Replacement,
        outcome: Result<(), ErrorCode>,
        fx: &mut Effects,
    ) {
        let mut appends = Vec::new();
        let out = &mut Output { now, fx, appends: &mut appends };
        self.with_classic(out, group, |g, cx| g.replacement_written(cx, replacement, outcome));
        assert!(appends.is_empty(), "nothing is written about what was just written");
    }

    /// `offsets.commit.timeout.ms` is over for something: it is answered with an error, though its record may still
    /// be replicated later, and then counts.
    pub(super) fn write_timeout(&mut self, now: Time, group: GroupId, fx: &mut Effects) {
        let error = ErrorCode::RequestTimedOut.of_coordinator_append();
        for at in 0..self.pending.len() {
            let pending = &mut self.pending[at];
            if pending.group != group || pending.deadline > now {
                continue;
            }
            pending.deadline = Time::NEVER;
            let after = match pending.after {
                After::Commit { batch, .. } => {
                    std::mem::replace(&mut pending.after, After::Commit { batch, parked: None })
                }
                After::Members { ref mut parked, .. } => {
                    After::Members { parked: parked.take(), undo: None }
                }
                After::TransactionalCommit { batch, .. } => std::mem::replace(
                    &mut pending.after,
                    After::TransactionalCommit { batch, parked: None },
                ),
                _ => std::mem::replace(&mut pending.after, After::Nothing),
            };
            self.fail(now, group, &after, error, fx);
        }
        let own = self.pending.iter().filter(|p| p.group == group);
        if let Some(next) = own.map(|p| p.deadline).min().filter(|next| *next != Time::NEVER) {
            fx.set_timer(TimerKind::GroupCommit, group.0, next);
        }
    }

    /// A connection from `peer` is closed: its requests need no answer any more.
    pub fn peer_gone(&mut self, _now: Time, peer: NodeId, _fx: &mut Effects) {
        let hang_up = |parked: &mut Parked| parked.gone |= parked.token.from == peer;
        for group in self.groups.values_mut().filter_map(Group::classic_mut) {
            for member in group.members.values_mut() {
                member.awaiting_join.as_mut().into_iter().for_each(hang_up);
                member.awaiting_sync.as_mut().into_iter().for_each(hang_up);
            }
        }
        for pending in &mut self.pending {
            match &mut pending.after {
                After::Commit { parked, .. } | After::TransactionalCommit { parked, .. } => {
                    parked.as_mut().into_iter().for_each(hang_up);
                }
                After::Answer { parked, .. }
                | After::Share { parked, .. }
                | After::Fetch { parked, .. }
                | After::Members { parked: Some((parked, _)), .. } => hang_up(parked),
                After::Nothing
                | After::Removal { .. }
                | After::Assignment { .. }
                | After::Replacement(_)
                | After::Members { parked: None, .. } => {}
            }
        }
    }
}

/// A group metadata record.
pub(super) fn group_record(
    out: &mut Output<'_>,
    group: GroupId,
    generation: Generation,
    snapshot: GroupSnapshot,
) -> Record {
    let partitions: usize = snapshot.members.iter().map(|m| m.assignment.len()).sum();
    let bytes = 60 + 120 * snapshot.members.len() + 12 * partitions;
    let snapshot = out.fx.batches.add_group(snapshot);
    let body = RecordBody::GroupMetadata { group, generation: generation.0, snapshot };
    let (key, bytes, timestamp) = (KeyId::NONE, bytes as u32, out.now.timestamp());
    Record { body, key, bytes, timestamp, is_tombstone: false }
}

fn answer(error: ErrorCode, is_leave: bool) -> Message {
    if is_leave {
        Message::LeaveGroupResponse { error }
    } else {
        Message::HeartbeatResponse { error }
    }
}
