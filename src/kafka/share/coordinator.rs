//! The share coordinator of one broker (`ShareCoordinatorService`, `ShareCoordinatorShard`): it keeps the state of the
//! share partitions whose `__share_group_state` partition this broker leads. A change counts for the coordinator at
//! once and for the asker when its record is replicated. A leader with an older leader epoch, and one that does not
//! know of an administrator's reset, is fenced.
//!
//! Simplified: every change is stored as a whole snapshot (Kafka writes updates between snapshots, and prunes the log);
//! what is loaded counts at once; a share partition needs no `InitializeShareGroupState`: one that was never read has
//! no start offset, and the first leader that reads it resets.

use std::collections::{BTreeMap, VecDeque};

use crate::base::batch::{Record, RecordBody};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{
    BatchHandle, BrokerId, GroupId, KeyId, LeaderEpoch, NodeId, Offset, PartitionId,
};
use crate::base::share::{ShareSnapshot, ShareStateBatch};
use crate::base::time::Time;
use crate::kafka::api::Message;
use crate::kafka::effects::{Effects, List, Token};
use crate::kafka::group::coordinator::CoordinatorAppend;

/// Who asked the coordinator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker {
    /// Another broker.
    Remote(Token),
    /// This broker itself, under this number. Kafka's broker asks itself over the network too.
    Own(u32),
    /// An administrator, who does not wait.
    Nobody,
}

/// An answer, and whose question it is to.
pub type Answered = (Asker, Message);

/// A share partition.
pub type ShareKey = (GroupId, PartitionId);

/// Something that waits for a record.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pending {
    ticket: u32,
    home: PartitionId,
    asker: Asker,
    key: ShareKey,
    is_read: bool,
}

/// Where a step leaves what it wants.
pub struct Output<'a> {
    /// The time.
    pub now: Time,
    /// The effects of the step.
    pub fx: &'a mut Effects,
    /// Batches for this broker's log.
    pub appends: &'a mut Vec<CoordinatorAppend>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ShareCoordinator {
    broker: BrokerId,
    led: BTreeMap<PartitionId, LeaderEpoch>,
    states: BTreeMap<ShareKey, ShareSnapshot>,
    pending: VecDeque<Pending>,
    last_ticket: u32,
}

impl ShareCoordinator {
    /// The coordinator of `broker`; it serves nobody until it is elected.
    pub fn new(broker: BrokerId) -> Self {
        Self {
            broker,
            led: BTreeMap::new(),
            states: BTreeMap::new(),
            pending: VecDeque::new(),
            last_ticket: 0,
        }
    }

    /// `ReadShareGroupState`: what is stored, and from now on under the asker's leader epoch. Answered at once unless a
    /// record must be replicated first.
    pub fn read(
        &mut self,
        out: &mut Output<'_>,
        asker: Asker,
        key: ShareKey,
        leader_epoch: LeaderEpoch,
    ) -> Option<Answered> {
        let refused = |error| Some((asker, refuse_read(key, error)));
        let Some(home) = out.fx.names.share_home(key.0, key.1) else {
            return refused(ErrorCode::UnknownTopicOrPartition);
        };
        if !self.led.contains_key(&home) {
            return refused(ErrorCode::NotCoordinator);
        }
        let state = self.states.entry(key).or_insert_with(untouched);
        if leader_epoch.0 < state.leader_epoch {
            return refused(ErrorCode::FencedLeaderEpoch);
        }
        if leader_epoch.0 > state.leader_epoch {
            state.leader_epoch = leader_epoch.0;
            self.store(out, (home, key), asker, true);
            return None;
        }
        match self.pending.iter().rev().find(|pending| pending.home == home) {
            // It waits for the records before it.
            Some(Pending { ticket, .. }) => {
                let ticket = *ticket;
                self.pending.push_back(Pending { ticket, home, asker, key, is_read: true });
                None
            }
            None => Some((asker, self.stored(key, out.fx))),
        }
    }

    /// `WriteShareGroupState`: a change of a share partition.
    pub fn write(
        &mut self,
        out: &mut Output<'_>,
        asker: Asker,
        key: ShareKey,
        (state_epoch, leader_epoch, start): (i32, LeaderEpoch, Offset),
        batches: &[ShareStateBatch],
    ) -> Option<Answered> {
        let refused = |error| Some((asker, Message::WriteShareGroupStateResponse { error }));
        let Some(home) = out.fx.names.share_home(key.0, key.1) else {
            return refused(ErrorCode::UnknownTopicOrPartition);
        };
        if !self.led.contains_key(&home) {
            return refused(ErrorCode::NotCoordinator);
        }
        // Who writes has read before: the state was deleted since, and will have a later epoch.
        let Some(state) = self.states.get_mut(&key) else {
            return refused(ErrorCode::FencedStateEpoch);
        };
        if leader_epoch.0 < state.leader_epoch {
            return refused(ErrorCode::FencedLeaderEpoch);
        }
        if state_epoch < state.state_epoch {
            return refused(ErrorCode::FencedStateEpoch);
        }
        state.start = state.start.max(start);
        state.batches = combined(&state.batches, batches, state.start);
        self.store(out, (home, key), asker, false);
        None
    }

    /// An administrator sets the start offset of a share partition (`InitializeShareGroupState`): what was stored of
    /// its records is gone, and a leader that knows it is fenced when its state epoch is an earlier one.
    ///
    /// # Errors
    /// `NOT_COORDINATOR`, `FENCED_STATE_EPOCH`.
    pub fn initialize(
        &mut self,
        out: &mut Output<'_>,
        key: ShareKey,
        (state_epoch, start): (i32, Offset),
    ) -> Result<(), ErrorCode> {
        let home = self.home_of(key, out.fx).ok_or(ErrorCode::NotCoordinator)?;
        if self.states.get(&key).is_some_and(|state| state_epoch < state.state_epoch) {
            return Err(ErrorCode::FencedStateEpoch);
        }
        self.states.insert(key, ShareSnapshot { state_epoch, start, ..untouched() });
        self.store(out, (home, key), Asker::Nobody, false);
        Ok(())
    }

    /// The state of a share partition is deleted (`DeleteShareGroupState`): whoever reads it next resets.
    ///
    /// # Errors
    /// `NOT_COORDINATOR`.
    pub fn delete(&mut self, out: &mut Output<'_>, key: ShareKey) -> Result<(), ErrorCode> {
        let home = self.home_of(key, out.fx).ok_or(ErrorCode::NotCoordinator)?;
        if self.states.remove(&key).is_some() {
            self.append(out, (home, key), None, (Asker::Nobody, false));
        }
        Ok(())
    }

    /// The partition that keeps the state, where this broker leads it.
    fn home_of(&self, key: ShareKey, fx: &Effects) -> Option<PartitionId> {
        fx.names.share_home(key.0, key.1).filter(|home| self.led.contains_key(home))
    }

    /// What is stored of a share partition, where this broker coordinates it.
    pub fn state(&self, key: ShareKey) -> Option<&ShareSnapshot> {
        self.states.get(&key)
    }

    fn store(
        &mut self,
        out: &mut Output<'_>,
        (home, key): (PartitionId, ShareKey),
        asker: Asker,
        is_read: bool,
    ) {
        let state = self.states[&key].clone();
        self.append(out, (home, key), Some(state), (asker, is_read));
    }

    /// Writes the state of a share partition; `None`: there is none any more.
    fn append(
        &mut self,
        out: &mut Output<'_>,
        (home, key): (PartitionId, ShareKey),
        state: Option<ShareSnapshot>,
        (asker, is_read): (Asker, bool),
    ) {
        let is_tombstone = state.is_none();
        let state = state.unwrap_or_else(untouched);
        let bytes = 80 + 32 * state.batches.len() as u32;
        let snapshot = out.fx.batches.add_share(state);
        let body = RecordBody::ShareState { group: key.0, partition: key.1, snapshot };
        let timestamp = out.now.timestamp();
        let record = Record { body, key: KeyId::NONE, bytes, timestamp, is_tombstone };
        let batch = out.fx.batches.add(NodeId::Broker(self.broker), None, &[record]);
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.pending.push_back(Pending { ticket, home, asker, key, is_read });
        out.appends.push(CoordinatorAppend { partition: home, batch, ticket });
    }

    fn stored(&self, key: ShareKey, fx: &mut Effects) -> Message {
        let state = self.states.get(&key).cloned().unwrap_or_else(untouched);
        let batches = fx.keep(&state.batches);
        Message::ReadShareGroupStateResponse {
            error: ErrorCode::None,
            group: key.0,
            partition: key.1,
            state_epoch: state.state_epoch,
            start: state.start,
            batches,
        }
    }

    /// The append called `ticket` is below the high watermark, or it failed. Returns the answers that waited for it.
    pub fn committed(
        &mut self,
        ticket: u32,
        result: Result<Offset, ErrorCode>,
        fx: &mut Effects,
    ) -> Vec<Answered> {
        let (done, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|p| p.ticket == ticket);
        self.pending = kept;
        let error = result.err().map_or(ErrorCode::None, |error| match error {
            ErrorCode::NotLeaderOrFollower => ErrorCode::NotCoordinator,
            _ => ErrorCode::CoordinatorNotAvailable,
        });
        self.answers(done, error, fx)
    }

    fn answers(
        &self,
        done: VecDeque<Pending>,
        error: ErrorCode,
        fx: &mut Effects,
    ) -> Vec<Answered> {
        let mut answers = Vec::new();
        for Pending { asker, key, is_read, .. } in done {
            let message = match (is_read, error) {
                (false, error) => Message::WriteShareGroupStateResponse { error },
                (true, ErrorCode::None) => self.stored(key, fx),
                (true, error) => refuse_read(key, error),
            };
            answers.push((asker, message));
        }
        answers
    }

    /// This broker leads `home` of `__share_group_state` from now on; `log` is what is in it, in order.
    pub fn elected(
        &mut self,
        home: PartitionId,
        epoch: LeaderEpoch,
        log: impl Iterator<Item = (Offset, BatchHandle)>,
        fx: &mut Effects,
    ) -> Vec<Answered> {
        let left = self.resigned(home, fx);
        self.led.insert(home, epoch);
        for (_, batch) in log {
            for n in 0..fx.batches[batch].count {
                let record = *fx.batches.record(batch, n);
                let RecordBody::ShareState { group, partition, snapshot } = record.body else {
                    continue;
                };
                if record.is_tombstone {
                    self.states.remove(&(group, partition));
                } else {
                    let state = fx.batches.share(snapshot).as_ref().clone();
                    self.states.insert((group, partition), state);
                }
            }
        }
        left
    }

    /// This broker does not lead `home` any more: whoever waits is told.
    pub fn resigned(&mut self, home: PartitionId, fx: &mut Effects) -> Vec<Answered> {
        if self.led.remove(&home).is_none() {
            return Vec::new();
        }
        self.states.retain(|key, _| fx.names.share_home(key.0, key.1) != Some(home));
        let (gone, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|p| p.home == home);
        self.pending = kept;
        self.answers(gone, ErrorCode::NotCoordinator, fx)
    }

    /// Adds the coordinator's state to a fingerprint.
    pub fn fingerprint(&self, into: &mut Fingerprint) {
        into.add(&self.led);
        for (key, state) in &self.states {
            into.add((key, state.state_epoch, state.leader_epoch, state.start, &state.batches));
        }
        for pending in &self.pending {
            into.add((self.last_ticket - pending.ticket, pending.home, pending.key));
        }
    }
}

/// A share partition nobody has asked for.
fn untouched() -> ShareSnapshot {
    ShareSnapshot { state_epoch: 0, leader_epoch: -1, start: Offset::NONE, batches: Vec::new() }
}

fn refuse_read((group, partition): ShareKey, error: ErrorCode) -> Message {
    Message::ReadShareGroupStateResponse {
        error,
        group,
        partition,
        state_epoch: 0,
        start: Offset::NONE,
        batches: List::EMPTY,
    }
}

/// What is stored with what is new (`PersisterStateBatchCombiner`): of two states of a record the one with more
/// deliveries holds, of those the later one. Neighbours that are alike are one run.
fn combined(
    stored: &[ShareStateBatch],
    new: &[ShareStateBatch],
    start: Offset,
) -> Vec<ShareStateBatch> {
    let mut states = BTreeMap::new();
    for batch in stored.iter().chain(new) {
        let value = (batch.delivery_count, batch.state);
        for offset in batch.first.0.max(start.0)..=batch.last.0 {
            let held = states.entry(offset).or_insert(value);
            *held = value.max(*held);
        }
    }
    let mut runs: Vec<ShareStateBatch> = Vec::new();
    for (offset, (delivery_count, state)) in states {
        let offset = Offset(offset);
        match runs.last_mut() {
            Some(run)
                if run.last.0 + 1 == offset.0
                    && (run.delivery_count, run.state) == (delivery_count, state) =>
            {
                run.last = offset;
            }
            _ => runs.push(ShareStateBatch { first: offset, last: offset, state, delivery_count }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::share::RecordState;

    fn run(first: i64, last: i64, state: RecordState, delivery_count: u16) -> ShareStateBatch {
        ShareStateBatch { first: Offset(first), last: Offset(last), state, delivery_count }
    }

    #[test]
    fn what_is_newer_replaces_what_it_covers_and_what_is_done_with_is_dropped() {
        use RecordState::{Acknowledged, Archived, Available};
        let stored = [run(0, 9, Available, 1)];
        let new = [run(3, 4, Acknowledged, 1), run(6, 6, Archived, 1)];
        assert_eq!(
            combined(&stored, &new, Offset(2)),
            [
                run(2, 2, Available, 1),
                run(3, 4, Acknowledged, 1),
                run(5, 5, Available, 1),
                run(6, 6, Archived, 1),
                run(7, 9, Available, 1),
            ]
        );
        let older = [run(3, 3, Available, 1)];
        let stored = [run(3, 3, Available, 2)];
        assert_eq!(combined(&stored, &older, Offset(3)), stored, "a late write changes nothing");
    }
}
