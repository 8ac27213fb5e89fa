//! What this broker asks share coordinators for (`DefaultStatePersister`, `PersisterStateManager`), and what follows
//! from the answers. A request that fails is tried again with a growing pause, five times in all.
//!
//! Simplified: the broker finds the coordinator in its metadata and needs no `FindCoordinator`; each change is a
//! request of its own (Kafka gathers them); this broker's own coordinator is asked without a network.

use crate::base::config::{Defect, IsolationLevel};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, LeaderEpoch, NodeId, Offset, PartitionId};
use crate::base::share::{RecordState, ShareReset, ShareStateBatch};
use crate::base::time::{Duration, Time};
use crate::event::{EventKind, SettleReason};
use crate::kafka::api::{ListOffsetsPartition, Message};
use crate::kafka::broker::Broker;
use crate::kafka::broker::produce::Append;
use crate::kafka::broker::purgatory::CoordinatorWrite;
use crate::kafka::broker::share::Todo;
use crate::kafka::effects::Effects;
use crate::kafka::group::coordinator::CoordinatorAppend;
use crate::kafka::share::coordinator::{Asker, Output, ShareKey};
use crate::kafka::share::partition::{DeadLetters, Write};

/// `PersisterStateManager.REQUEST_BACKOFF_MS`.
const BACKOFF: Duration = Duration::from_millis(1_000);
/// `PersisterStateManager.MAX_FIND_COORD_ATTEMPTS`, and of the request itself.
const ATTEMPTS: u32 = 5;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What it is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Wish {
    /// The last one is the number of the share partition that wants to know.
    Read(ShareKey, LeaderEpoch, u32),
    Write {
        key: ShareKey,
        epochs: (i32, LeaderEpoch),
        start: Offset,
        write: u32,
        batches: Vec<ShareStateBatch>,
        reason: SettleReason,
    },
    /// Dead letters to the leader of a partition of the dead-letter topic.
    Produce { key: ShareKey, dead: DeadLetters, to: PartitionId },
}

/// A request of the broker's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct OwnRequest {
    pub(super) id: u32,
    pub(super) wish: Wish,
    attempts: u32,
    /// The request on its way, under its correlation id (0 to this broker itself); `None` while it waits to be tried
    /// again.
    pub(super) on_wire: Option<(BrokerId, u32)>,
    /// When its time is over, or when it is tried again.
    pub(super) due: Time,
}

impl OwnRequest {
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((&self.wish, self.attempts, self.on_wire.map(|(broker, _)| broker)));
        into.add_time(now, self.due);
    }
}

impl Broker {
    /// The state of a share partition is wanted.
    pub(super) fn read_share_state(
        &mut self,
        now: Time,
        key: ShareKey,
        (leader_epoch, number): (LeaderEpoch, u32),
        fx: &mut Effects,
    ) {
        self.ask(now, Wish::Read(key, leader_epoch, number), fx);
    }

    /// A change of a share partition is to be stored. Returns the number under which the outcome comes.
    pub(super) fn persist(
        &mut self,
        now: Time,
        key: ShareKey,
        write: Write,
        reason: SettleReason,
        fx: &mut Effects,
    ) -> u32 {
        let Some(share) = self.ram.share.partitions.get(&key) else { return 0 };
        let epochs = (share.state_epoch, share.leader_epoch);
        let start = Offset(share.start_offset());
        let Write { id: write, batches } = write;
        self.ask(now, Wish::Write { key, epochs, start, write, batches, reason }, fx)
    }

    pub(super) fn ask(&mut self, now: Time, wish: Wish, fx: &mut Effects) -> u32 {
        self.ram.share.last_own += 1;
        let id = self.ram.share.last_own;
        let own = OwnRequest { id, wish, attempts: 0, on_wire: None, due: Time::NEVER };
        self.ram.share.own.push(own);
        self.send_own(now, id, fx);
        id
    }

    /// Where a wish goes.
    fn addressee(&self, wish: &Wish, fx: &Effects) -> Option<BrokerId> {
        let partition = match wish {
            Wish::Read(key, ..) | Wish::Write { key, .. } => fx.names.share_home(key.0, key.1)?,
            Wish::Produce { to, .. } => *to,
        };
        self.disk.image.live_leader(partition)
    }

    fn send_own(&mut self, now: Time, id: u32, fx: &mut Effects) {
        let Some(at) = self.ram.share.own.iter().position(|own| own.id == id) else { return };
        self.ram.share.own[at].attempts += 1;
        let wish = self.ram.share.own[at].wish.clone();
        let Some(to) = self.addressee(&wish, fx) else {
            return self.try_later(now, at, ErrorCode::CoordinatorNotAvailable);
        };
        self.ram.share.own[at].due = now + TIMEOUT;
        if to == self.id {
            self.ram.share.own[at].on_wire = Some((to, 0));
            return self.ask_own_coordinator(now, id, wish, fx);
        }
        let message = match wish {
            Wish::Read((group, partition), leader_epoch, _) => {
                Message::ReadShareGroupState { group, partition, leader_epoch }
            }
            Wish::Write { key, epochs, start, batches, .. } => Message::WriteShareGroupState {
                group: key.0,
                partition: key.1,
                state_epoch: epochs.0,
                leader_epoch: epochs.1,
                start,
                batches: fx.keep(&batches),
            },
            Wish::Produce { key, dead, to } => match self.dead_letter_request(key, dead, to, fx) {
                Some(message) => message,
                None => return self.own_failed(at, ErrorCode::UnknownServerError),
            },
        };
        let correlation = fx.request(NodeId::Broker(to), message);
        self.ram.share.own[at].on_wire = Some((to, correlation));
    }

    fn ask_own_coordinator(&mut self, now: Time, id: u32, wish: Wish, fx: &mut Effects) {
        let asker = Asker::Own(id);
        let mut appends = Vec::new();
        let out = &mut Output { now, fx, appends: &mut appends };
        let answer = match wish {
            Wish::Read(key, leader_epoch, _) => {
                self.ram.share.coordinator.read(out, asker, key, leader_epoch)
            }
            Wish::Write { key, epochs, start, batches, .. } => {
                let what = (epochs.0, epochs.1, start);
                self.ram.share.coordinator.write(out, asker, key, what, &batches)
            }
            Wish::Produce { key, dead, to } => {
                return self.append_dead_letters(now, (id, to), (key, dead), fx);
            }
        };
        self.ram.share.todo.extend(appends.into_iter().map(Todo::Append));
        self.ram.share.todo.extend(answer.map(Todo::Answer));
    }

    /// Another broker asks this one's coordinator.
    pub(in crate::kafka::broker) fn share_coordinator_asked(
        &mut self,
        now: Time,
        asker: Asker,
        message: Message,
        fx: &mut Effects,
    ) {
        let mut appends = Vec::new();
        let stored: Vec<ShareStateBatch> = match message {
            Message::WriteShareGroupState { batches, .. } => fx.pools.get(batches).to_vec(),
            _ => Vec::new(),
        };
        let out = &mut Output { now, fx, appends: &mut appends };
        let answer = match message {
            Message::ReadShareGroupState { group, partition, leader_epoch } => {
                self.ram.share.coordinator.read(out, asker, (group, partition), leader_epoch)
            }
            Message::WriteShareGroupState {
                group,
                partition,
                state_epoch,
                leader_epoch,
                start,
                ..
            } => {
                let what = (state_epoch, leader_epoch, start);
                let key = (group, partition);
                self.ram.share.coordinator.write(out, asker, key, what, &stored)
            }
            other => unreachable!("not for a share coordinator: {other:?}"),
        };
        self.ram.share.todo.extend(appends.into_iter().map(Todo::Append));
        self.ram.share.todo.extend(answer.map(Todo::Answer));
    }

    /// Appends what the share coordinator wants to write.
    pub(super) fn write_for_share(
        &mut self,
        now: Time,
        append: CoordinatorAppend,
        fx: &mut Effects,
    ) {
        let CoordinatorAppend { partition, batch, ticket } = append;
        match self.append_as_leader(now, Append::own(partition, batch, 1), fx) {
            Ok((base_offset, required)) => {
                let write = CoordinatorWrite { partition, ticket, base_offset, required };
                self.ram.purgatory.writes.push(write);
                self.complete_coordinator_writes(now, partition, fx);
            }
            Err(error) => self.share_committed(partition, ticket, Err(error), fx),
        }
    }

    /// An append of the share coordinator's, or of dead letters, is replicated or failed.
    pub(in crate::kafka::broker) fn share_committed(
        &mut self,
        partition: PartitionId,
        ticket: u32,
        result: Result<Offset, ErrorCode>,
        fx: &mut Effects,
    ) {
        if fx.names.keeps_share_state(partition) {
            let answers = self.ram.share.coordinator.committed(ticket, result, fx);
            self.ram.share.todo.extend(answers.into_iter().map(Todo::Answer));
        } else if let Some(at) = self.ram.share.own.iter().position(|own| own.id == ticket) {
            match result {
                Ok(_) => self.dead_letters_stored(at),
                Err(error) => self.own_failed(at, error),
            }
        }
    }

    /// The share coordinator of this broker answers.
    pub(super) fn answer_asker(
        &mut self,
        now: Time,
        asker: Asker,
        message: Message,
        fx: &mut Effects,
    ) {
        match asker {
            Asker::Remote(token) => fx.reply(token, message),
            Asker::Own(id) => {
                self.own_answered(now, id, message, fx);
                fx.pools.free(message);
            }
            Asker::Nobody => fx.pools.free(message),
        }
    }

    /// An answer of another broker arrived.
    pub(in crate::kafka::broker) fn share_response(
        &mut self,
        now: Time,
        correlation: u32,
        message: Message,
        fx: &mut Effects,
    ) {
        let found = self.ram.share.own.iter();
        let found = found.filter(|own| own.on_wire.is_some_and(|(_, id)| id == correlation));
        if let Some(id) = found.map(|own| own.id).next() {
            self.own_answered(now, id, message, fx);
        }
    }

    /// The connection to `peer` is closed: what was asked there is asked again.
    pub(in crate::kafka::broker) fn share_disconnected(&mut self, now: Time, peer: BrokerId) {
        for at in (0..self.ram.share.own.len()).rev() {
            if self.ram.share.own[at].on_wire.is_some_and(|(broker, _)| broker == peer) {
                self.try_later(now, at, ErrorCode::CoordinatorNotAvailable);
            }
        }
    }

    /// Own requests whose pause or time is over.
    pub(super) fn retry_own_requests(&mut self, now: Time, fx: &mut Effects) {
        let due: Vec<u32> =
            self.ram.share.own.iter().filter(|own| own.due <= now).map(|own| own.id).collect();
        for id in due {
            let Some(at) = self.ram.share.own.iter().position(|own| own.id == id) else { continue };
            if self.ram.share.own[at].on_wire.is_some() {
                self.try_later(now, at, ErrorCode::RequestTimedOut);
            } else {
                self.send_own(now, id, fx);
            }
        }
    }

    /// Tries again after a pause, or gives up.
    fn try_later(&mut self, now: Time, at: usize, error: ErrorCode) {
        let own = &mut self.ram.share.own[at];
        own.on_wire = None;
        if own.attempts >= ATTEMPTS {
            return self.own_failed(at, error);
        }
        own.due = now + Duration(BACKOFF.0 << (own.attempts - 1));
    }

    fn own_answered(&mut self, now: Time, id: u32, message: Message, fx: &mut Effects) {
        let Some(at) = self.ram.share.own.iter().position(|own| own.id == id) else { return };
        let error = match message {
            Message::ReadShareGroupStateResponse { error, .. }
            | Message::WriteShareGroupStateResponse { error } => error,
            Message::ProduceResponse { results } => {
                fx.pools.get(results).first().map_or(ErrorCode::None, |result| result.error)
            }
            other => unreachable!("no broker asked for {other:?}"),
        };
        match error {
            ErrorCode::None => {}
            ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotLeaderOrFollower => return self.try_later(now, at, error),
            _ => return self.own_failed(at, error),
        }
        let own = self.ram.share.own.remove(at);
        match (own.wish, message) {
            (
                Wish::Read(key, _, number),
                Message::ReadShareGroupStateResponse { start, state_epoch, batches, .. },
            ) => {
                let batches = fx.pools.get(batches).to_vec();
                // Of one that is gone the answer counts for nobody.
                let asker = self.ram.share.partitions.get(&key);
                if asker.is_none_or(|share| share.number != number) {
                    return;
                }
                self.open_share_partition(now, key, (start, state_epoch), &batches, fx);
            }
            (Wish::Write { key, write, batches, reason, .. }, _) => {
                self.share_written(now, (key, id), (write, true), fx);
                // The rest was said when it happened.
                if matches!(reason, SettleReason::Acknowledged | SettleReason::Released) {
                    Self::say_settled(key, &batches, reason, fx);
                }
            }
            (Wish::Produce { key, dead, .. }, _) => {
                self.ram.share.todo.push_back(Todo::Buried(key, dead));
            }
            (Wish::Read(..), other) => unreachable!("a read is not answered by {other:?}"),
        }
    }

    /// A request of the broker's own will not succeed.
    pub(super) fn own_failed(&mut self, at: usize, error: ErrorCode) {
        let own = self.ram.share.own.remove(at);
        let error = match error {
            ErrorCode::FencedLeaderEpoch => ErrorCode::NotLeaderOrFollower,
            ErrorCode::NotCoordinator | ErrorCode::RequestTimedOut => {
                ErrorCode::CoordinatorNotAvailable
            }
            other => other,
        };
        // The share partition that asked, and no other that was opened since.
        let (key, numbers) = match own.wish {
            Wish::Read(key, _, number) => (key, number..=number),
            Wish::Write { key, write, reason, .. } => {
                let now = self.ram.last_step;
                let limit = self.share_rules(key.0, Defect::None).limit;
                if let Some(share) = self.ram.share.partitions.get_mut(&key) {
                    let settled = share.written(now, write, false, limit);
                    self.ram.share.todo.push_back(Todo::Lapsed(key, settled.lapsed));
                }
                self.acknowledged(own.id, error);
                self.ram.share.todo.push_back(Todo::Wake(key));
                // Of a time-out Kafka notes the failure and goes on.
                if !is_fenced(error) || reason == SettleReason::LockTimeout {
                    return;
                }
                (key, 0..=write - 1)
            }
            // It is archived all the same.
            Wish::Produce { key, dead, .. } => {
                return self.ram.share.todo.push_back(Todo::Buried(key, dead));
            }
        };
        let asker = self.ram.share.partitions.get(&key);
        if asker.is_none_or(|share| !numbers.contains(&share.number)) {
            return;
        }
        self.ram.share.partitions.remove(&key);
        for asked in &mut self.ram.share.asked {
            if asked.group == key.0 && asked.is_fetching() && asked.wanted.contains(&key.1) {
                asked.part(key.1).error = error;
                asked.deadline = Time::ZERO;
            }
        }
    }

    /// The state of a share partition arrived: it serves from now on.
    fn open_share_partition(
        &mut self,
        now: Time,
        key: ShareKey,
        (start, state_epoch): (Offset, i32),
        batches: &[ShareStateBatch],
        fx: &mut Effects,
    ) {
        let start = if start == Offset::NONE { self.share_reset(now, key, fx) } else { Ok(start) };
        let Some(share) = self.ram.share.partitions.get_mut(&key) else { return };
        match start {
            Ok(start) => {
                let dead = match fx.defect {
                    Defect::AcceptedForgotten => {
                        share.open((start.0, state_epoch), &forgetful(batches))
                    }
                    _ => share.open((start.0, state_epoch), batches),
                };
                let start = Offset(share.start_offset());
                let (group, partition) = key;
                fx.event(EventKind::SharePartitionLoaded { group, partition, start });
                Self::say_settled(key, batches, SettleReason::Acknowledged, fx);
                self.ram.share.todo.extend(dead.into_iter().map(|dead| Todo::Bury(key, dead)));
                self.ram.share.todo.push_back(Todo::Wake(key));
            }
            // The next fetch begins anew.
            Err(error) => {
                self.ram.share.partitions.remove(&key);
                for asked in &mut self.ram.share.asked {
                    if asked.group == key.0 && asked.wanted.contains(&key.1) {
                        asked.part(key.1).error = error;
                        asked.deadline = Time::ZERO;
                    }
                }
            }
        }
    }

    /// Where a share group begins that has stored nothing of a partition (`share.auto.offset.reset`).
    fn share_reset(&self, now: Time, key: ShareKey, fx: &Effects) -> Result<Offset, ErrorCode> {
        let reset = self.config.groups.get(key.0.index()).map_or(ShareReset::Latest, |g| g.reset);
        let timestamp = match reset {
            ShareReset::Earliest => -2,
            ShareReset::Latest => -1,
            ShareReset::ByDuration(span) => now.timestamp() - span.as_millis() as i64,
        };
        let (partition, current_leader_epoch) = (key.1, LeaderEpoch::NONE);
        let ask = ListOffsetsPartition { partition, current_leader_epoch, timestamp };
        let (offset, _) = self.offset_for(&ask, IsolationLevel::ReadUncommitted, fx)?;
        if offset == Offset::NONE { Err(ErrorCode::OffsetNotAvailable) } else { Ok(offset) }
    }

    /// A write of a share partition is stored.
    fn share_written(
        &mut self,
        now: Time,
        (key, id): (ShareKey, u32),
        (write, stored): (u32, bool),
        fx: &mut Effects,
    ) {
        let limit = self.share_rules(key.0, fx.defect).limit;
        if let Some(share) = self.ram.share.partitions.get_mut(&key) {
            let before = share.start_offset();
            let settled = share.written(now, write, stored, limit);
            let offset = Offset(share.start_offset());
            if offset.0 != before {
                let (group, partition) = key;
                fx.event(EventKind::ShareStart { group, partition, offset });
            }
            let bury = settled.dead.into_iter().map(|dead| Todo::Bury(key, dead));
            self.ram.share.todo.extend(bury);
            if settled.wake {
                self.ram.share.todo.push_back(Todo::Wake(key));
            }
        }
        self.acknowledged(id, ErrorCode::None);
    }

    /// The acknowledgements that waited for request `id` have an outcome.
    fn acknowledged(&mut self, id: u32, error: ErrorCode) {
        for part in self.ram.share.asked.iter_mut().flat_map(|asked| &mut asked.parts) {
            if part.write == Some(id) {
                part.write = None;
                part.acknowledged = Some(error);
            }
        }
    }
}

/// Errors after which the share partition in memory is of no use (`fencedSharePartitionHandler`).
fn is_fenced(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::FencedStateEpoch
            | ErrorCode::GroupIdNotFound
            | ErrorCode::UnknownTopicOrPartition
    )
}

/// The planted bug: what was accepted is available.
fn forgetful(batches: &[ShareStateBatch]) -> Vec<ShareStateBatch> {
    let forget = |batch: &ShareStateBatch| match batch.state {
        RecordState::Acknowledged => ShareStateBatch { state: RecordState::Available, ..*batch },
        _ => *batch,
    };
    batches.iter().map(forget).collect()
}
