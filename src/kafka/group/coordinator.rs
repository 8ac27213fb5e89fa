//! The group coordinator of one broker (`GroupCoordinatorService`, `CoordinatorRuntime`, KIP-62, KIP-394): it serves
//! the groups whose `__consumer_offsets` partition this broker leads.
//!
//! A request is handled in two halves. The first decides and writes a record; the second happens when the record
//! is replicated ([`GroupCoordinator::committed`]): only then offsets and assignments count and answers go out.
//! Everything that a new coordinator knows comes from replaying those records ([`GroupCoordinator::elected`]).
//! An answer that depends on nothing unwritten still waits for the writes before it, as Kafka's does.
//!
//! Simplified: loading takes no time (never `COORDINATOR_LOAD_IN_PROGRESS`), and what is loaded counts at once, also
//! the records above the high watermark; each write is its own batch (Kafka gathers them for a few milliseconds,
//! `group.coordinator.append.linger.ms`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::base::batch::{Record, RecordBody};
use crate::base::config::{ClusterConfig, Defect};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::group_records::ConsumerGroupRecord;
use crate::base::ids::{
    BatchHandle, BrokerId, Generation, GroupId, KeyId, LeaderEpoch, MemberId, NodeId, Offset,
    PartitionId,
};
use crate::base::time::{Duration, Time};
use crate::event::{EventKind, GroupState, LeaveReason};
use crate::kafka::api::{MemberPartition, Message, PartitionOffset};
use crate::kafka::effects::{Effects, List, Timer, TimerKind, Token};
use crate::kafka::group::classic::{Caller, ClassicGroup, Parked};
use crate::kafka::group::consumer::ConsumerGroup;
use crate::kafka::group::kind::Group;
use crate::kafka::group::members::refused;
use crate::kafka::group::offsets::{Committed, Offsets, validate_commit};
use crate::kafka::group::rebalance::{Context, GroupWrite, JoinRequest, Written};
use crate::kafka::group::share::ShareGroup;
use crate::kafka::group::share_members;
use crate::kafka::group::transactional_offsets::TransactionalOffsets;
use crate::kafka::group::writes::{After, Pending};

/// A batch for the leader's log of a `__consumer_offsets` partition; its fate is told to
/// [`GroupCoordinator::committed`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoordinatorAppend {
    /// The partition of `__consumer_offsets`.
    pub partition: PartitionId,
    /// What to append.
    pub batch: BatchHandle,
    /// The coordinator's name for this write.
    pub ticket: u32,
}

/// The group coordinator of one broker.
#[derive(Clone, Debug)]
pub struct GroupCoordinator {
    pub(super) broker: BrokerId,
    pub(super) config: Arc<ClusterConfig>,
    /// The `__consumer_offsets` partitions this broker leads, with the epoch it was elected under.
    pub(super) led: BTreeMap<PartitionId, LeaderEpoch>,
    pub(super) groups: BTreeMap<GroupId, Group>,
    pub(super) offsets: Offsets,
    pub(super) transactional: TransactionalOffsets,
    /// In the order of their tickets.
    pub(super) pending: VecDeque<Pending>,
    pub(super) last_ticket: u32,
}

/// Where a step of the coordinator leaves what it wants.
pub(super) struct Output<'a> {
    pub(super) now: Time,
    pub(super) fx: &'a mut Effects,
    pub(super) appends: &'a mut Vec<CoordinatorAppend>,
}

impl GroupCoordinator {
    /// The coordinator of `broker`; it serves nobody until it is elected.
    pub fn new(broker: BrokerId, config: Arc<ClusterConfig>) -> Self {
        Self {
            broker,
            config,
            led: BTreeMap::new(),
            groups: BTreeMap::new(),
            offsets: Offsets::default(),
            transactional: TransactionalOffsets::default(),
            pending: VecDeque::new(),
            last_ticket: 0,
        }
    }

    /// A request about a group: `JoinGroup`, `SyncGroup`, `Heartbeat`, `LeaveGroup`, `OffsetCommit`, `OffsetFetch` or
    /// `ShareGroupHeartbeat`.
    ///
    /// # Panics
    /// With any other message.
    pub fn handle(
        &mut self,
        now: Time,
        token: Token,
        message: Message,
        fx: &mut Effects,
        appends: &mut Vec<CoordinatorAppend>,
    ) {
        let group = group_of(message);
        let home = fx.names.group_partitions[group.index()];
        if !self.led.contains_key(&home) {
            return fx.reply(token, refusal(message, ErrorCode::NotCoordinator));
        }
        let out = &mut Output { now, fx, appends };
        if self.classic_to_consumer(out, token, message) {
            return;
        }
        match message {
            Message::JoinGroup { .. } => self.join(out, token, message),
            Message::SyncGroup { member, instance, generation, assignment, .. } => {
                let caller = Caller { member, instance };
                let rows: Vec<MemberPartition> = out.fx.pools.get(assignment).to_vec();
                let outcome = self.with_classic(out, group, |g, cx| {
                    g.sync(cx, (token, caller), generation, &rows);
                });
                if outcome.is_none() {
                    out.fx.reply(token, refusal(message, ErrorCode::UnknownMemberId));
                }
            }
            Message::Heartbeat { member, instance, generation, .. } => {
                let heartbeat = |g: &mut ClassicGroup, cx: &mut Context<'_>| {
                    g.heartbeat(cx, Caller { member, instance }, generation)
                };
                match self.with_classic(out, group, heartbeat) {
                    Some(Ok(error)) => self.answer_in_order(out, group, token, (error, false)),
                    Some(Err(error)) => out.fx.reply(token, refusal(message, error)),
                    None => out.fx.reply(token, refusal(message, ErrorCode::UnknownMemberId)),
                }
            }
            Message::LeaveGroup { member, poll_timeout, .. } => {
                let reason =
                    if poll_timeout { LeaveReason::PollTimeout } else { LeaveReason::Left };
                match self.with_classic(out, group, |g, cx| g.leave(cx, member, reason)) {
                    Some(error) => self.answer_in_order(out, group, token, (error, true)),
                    None => out.fx.reply(token, refusal(message, ErrorCode::UnknownMemberId)),
                }
            }
            Message::ConsumerGroupHeartbeat { .. } => self.consumer_heartbeat(out, token, message),
            Message::OffsetCommit { .. } => self.commit(out, token, message),
            Message::OffsetFetch { .. } => self.fetch(out, token, message),
            Message::ShareGroupHeartbeat { .. } => self.share_heartbeat(out, token, message),
            _ => unreachable!("`group_of` refused every other message"),
        }
    }

    fn join(&mut self, out: &mut Output<'_>, token: Token, message: Message) {
        let Message::JoinGroup {
            group,
            member,
            instance,
            session_timeout_ms,
            rebalance_timeout_ms,
            protocols,
            subscription,
        } = message
        else {
            unreachable!("called for JoinGroup only")
        };
        let brokers = &self.config.brokers;
        let session_timeout = Duration::from_millis(session_timeout_ms.into());
        let bounds = brokers.group_min_session_timeout..=brokers.group_max_session_timeout;
        if !bounds.contains(&session_timeout) {
            return out.fx.reply(token, refusal(message, ErrorCode::InvalidSessionTimeout));
        }
        if matches!(self.groups.get(&group), Some(Group::Share(_))) {
            return out.fx.reply(token, refusal(message, ErrorCode::InconsistentGroupProtocol));
        }
        let is_new = !self.groups.contains_key(&group);
        if is_new && member != MemberId::UNKNOWN {
            return out.fx.reply(token, refusal(message, ErrorCode::UnknownMemberId));
        }
        self.groups.entry(group).or_insert_with(|| Group::Classic(ClassicGroup::new(group)));
        let request = JoinRequest {
            token,
            caller: Caller { member, instance },
            rank: match token.from {
                NodeId::Consumer(n) => out.fx.names.consumers[usize::from(n)].rank,
                _ => 0,
            },
            session_timeout,
            rebalance_timeout: Duration::from_millis(rebalance_timeout_ms.into()),
            protocols,
            subscription: out.fx.pools.get(subscription).to_vec(),
        };
        self.with_classic(out, group, |g, cx| {
            g.join(cx, request);
            if is_new && cx.write.is_none() {
                // The group exists from here on, for the next coordinator too: an empty one.
                let (generation, snapshot) = (g.generation(), g.empty_snapshot());
                *cx.write = Some(GroupWrite { generation, snapshot, what: Written::Group });
            }
        });
    }

    /// A timer of the coordinator ran out; its number is the group.
    pub fn timeout(
        &mut self,
        now: Time,
        timer: Timer,
        fx: &mut Effects,
        appends: &mut Vec<CoordinatorAppend>,
    ) {
        let out = &mut Output { now, fx, appends };
        let group = GroupId(timer.number);
        match timer.kind {
            TimerKind::GroupJoin => {
                self.with_classic(out, group, ClassicGroup::join_timeout);
            }
            TimerKind::GroupSync => {
                self.with_classic(out, group, ClassicGroup::sync_timeout);
            }
            TimerKind::GroupSession => {
                self.with_classic(out, group, ClassicGroup::session_timeout);
                self.consumer_timeout(out, group);
            }
            TimerKind::ShareSession => self.share_sessions_end(out, group),
            TimerKind::GroupCommit => self.write_timeout(now, group, out.fx),
            TimerKind::OffsetsExpiry => self.expire_offsets(out, PartitionId(timer.number)),
            _ => unreachable!("not a timer of the group coordinator: {timer:?}"),
        }
    }

    /// Lets `act` handle something on a classic group, and writes the record it leaves. `None` when there is no such
    /// group, or one of another protocol: for the requests of this one, nobody there is a member.
    pub(super) fn with_classic<T>(
        &mut self,
        out: &mut Output<'_>,
        id: GroupId,
        act: impl FnOnce(&mut ClassicGroup, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let group = self.groups.get_mut(&id)?.classic_mut()?;
        let was_empty = group.state == GroupState::Empty;
        let mut write = None;
        let config = &self.config.brokers;
        let mut cx = Context { now: out.now, config, fx: &mut *out.fx, write: &mut write };
        let outcome = act(group, &mut cx);
        if !was_empty && group.state == GroupState::Empty {
            group.empty_since = Some(out.now.timestamp());
        }
        if let Some(write) = write {
            self.write_group(out, id, write);
        }
        Some(outcome)
    }

    fn commit(&mut self, out: &mut Output<'_>, token: Token, message: Message) {
        let Message::OffsetCommit { group, member, instance, generation, offsets } = message else {
            unreachable!("called for OffsetCommit only")
        };
        let caller = Caller { member, instance };
        let rows: &[PartitionOffset] = out.fx.pools.get(offsets);
        if let Err(error) = validate_commit(self.groups.get(&group), (caller, generation), rows) {
            return out.fx.reply(token, Message::OffsetCommitResponse { error });
        }
        self.groups.entry(group).or_insert_with(|| Group::Classic(ClassicGroup::new(group)));
        self.with_classic(out, group, |g, cx| g.heard_of(cx, member));
        let offsets: Vec<PartitionOffset> = out.fx.pools.get(offsets).to_vec();
        if offsets.is_empty() {
            return out.fx.reply(token, Message::OffsetCommitResponse { error: ErrorCode::None });
        }
        if out.fx.defect == Defect::CommitNotReplicated {
            for PartitionOffset { partition, offset } in offsets {
                let at = out.now.timestamp();
                self.offsets.set(group, partition, Committed { offset, at });
                out.fx.event(EventKind::OffsetCommitted { group, partition, offset });
            }
            return out.fx.reply(token, Message::OffsetCommitResponse { error: ErrorCode::None });
        }
        let timestamp = out.now.timestamp();
        let record = |PartitionOffset { partition, offset }: &PartitionOffset| Record {
            body: RecordBody::OffsetCommit { group, partition: *partition, offset: *offset },
            key: KeyId::NONE,
            bytes: 100,
            timestamp,
            is_tombstone: false,
        };
        let records: Vec<Record> = offsets.iter().map(record).collect();
        let parked = Some(Parked::new(token));
        self.append(out, group, &records, |batch| After::Commit { batch, parked });
    }

    /// Consumers ask for stable offsets: the answer waits for the commits before it.
    fn fetch(&mut self, out: &mut Output<'_>, token: Token, message: Message) {
        let Message::OffsetFetch { group, member, epoch, partitions } = message else {
            unreachable!("called for OffsetFetch only")
        };
        let known = self.groups.get(&group).and_then(Group::consumer);
        if let Some(Err(error)) = known.map(|group| group.validate_fetch(member, epoch)) {
            return out.fx.reply(token, refusal(message, error));
        }
        let partitions = out.fx.pools.get(partitions).to_vec();
        match self.last_write(out.fx.names.group_partitions[group.index()]) {
            Some(ticket) => {
                let parked = Parked::new(token);
                self.wait(out, group, ticket, After::Fetch { parked, partitions });
            }
            None => self.reply_fetch(out.fx, group, token, &partitions),
        }
    }

    pub(super) fn reply_fetch(
        &self,
        fx: &mut Effects,
        group: GroupId,
        token: Token,
        asked: &[PartitionId],
    ) {
        let read = |p: &PartitionId| PartitionOffset {
            partition: *p,
            offset: self.offsets.get(group, *p),
        };
        let rows: Vec<PartitionOffset> = asked.iter().map(read).collect();
        let offsets = fx.keep(&rows);
        let error = self.stability(group, asked);
        fx.reply(token, Message::OffsetFetchResponse { error, offsets });
    }
}

/// Which groups this broker coordinates.
impl GroupCoordinator {
    /// This broker leads `partition` of `__consumer_offsets` from now on; `log` is what is in it, in order.
    pub fn elected(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: LeaderEpoch,
        log: impl Iterator<Item = (Offset, BatchHandle)>,
        fx: &mut Effects,
    ) {
        self.resigned(now, partition, fx);
        self.led.insert(partition, epoch);
        self.schedule_expiry(now, partition, fx);
        for (_, batch) in log {
            if self.replay_transactional(partition, batch, fx) {
                continue;
            }
            for n in 0..fx.batches[batch].count {
                let Record { body, timestamp: at, .. } = *fx.batches.record(batch, n);
                match body {
                    RecordBody::OffsetCommit { group, partition, offset } => {
                        self.groups
                            .entry(group)
                            .or_insert_with(|| Group::Classic(ClassicGroup::new(group)));
                        self.offsets.set(group, partition, Committed { offset, at });
                        self.transactional.supersede(group, partition);
                    }
                    RecordBody::GroupMetadata { group, generation, snapshot } => {
                        let snapshot = fx.batches.group(snapshot);
                        let mut restored =
                            ClassicGroup::restored(group, Generation(generation), snapshot);
                        restored.empty_since = restored.members.is_empty().then_some(at);
                        self.groups.insert(group, Group::Classic(restored));
                    }
                    RecordBody::OffsetTombstone { group, partition } => {
                        self.offsets.remove(group, partition);
                    }
                    RecordBody::GroupTombstone { group } => {
                        self.groups.remove(&group);
                    }
                    RecordBody::ConsumerGroup { group, record, .. } => {
                        let record = fx.batches.consumer_group(record);
                        self.replay_consumer_group(group, record);
                    }
                    RecordBody::Message(_)
                    | RecordBody::Removed
                    | RecordBody::TransactionState { .. }
                    | RecordBody::EndTransactionMarker { .. }
                    | RecordBody::ShareState { .. }
                    | RecordBody::DeadLetter { .. } => {}
                    RecordBody::ShareGroup { group, snapshot } => {
                        let restored =
                            ShareGroup::restored(group, fx.batches.share_group(snapshot));
                        self.groups.insert(group, Group::Share(Box::new(restored)));
                    }
                }
            }
        }
        for group in groups_of(partition, fx) {
            let mut appends = Vec::new();
            self.tell_loaded(&mut Output { now, fx, appends: &mut appends }, group);
        }
    }

    /// Says everything of a group, as if it were new.
    pub(super) fn tell_loaded(&mut self, out: &mut Output<'_>, group: GroupId) {
        out.fx.event(EventKind::CoordinatorLoaded { group });
        self.with_classic(out, group, ClassicGroup::loaded);
        self.consumer_group_loaded(out, group);
        self.share_group_loaded(out.now, group, out.fx);
        for (partition, Committed { offset, .. }) in self.offsets.of(group) {
            out.fx.event(EventKind::OffsetCommitted { group, partition, offset });
        }
        self.say_pending(group, out.fx);
    }

    /// This broker does not lead `partition` of `__consumer_offsets` any more: whoever waits is told.
    pub fn resigned(&mut self, now: Time, partition: PartitionId, fx: &mut Effects) {
        if self.led.remove(&partition).is_none() {
            return;
        }
        for group in groups_of(partition, fx) {
            match self.groups.remove(&group) {
                Some(Group::Classic(mut group)) => group.unload(fx),
                Some(Group::Consumer(_)) => fx.cancel_timer(TimerKind::GroupSession, group.0),
                Some(Group::Share(_)) => fx.cancel_timer(TimerKind::ShareSession, group.0),
                None => {}
            }
            self.offsets.forget(group);
            self.transactional.forget(group);
            fx.cancel_timer(TimerKind::GroupCommit, group.0);
        }
        fx.cancel_timer(TimerKind::OffsetsExpiry, partition.0);
        let (gone, kept) =
            std::mem::take(&mut self.pending).into_iter().partition(|p| p.partition == partition);
        self.pending = kept;
        let gone: VecDeque<Pending> = gone;
        for Pending { group, after, .. } in gone {
            self.fail(now, group, &after, ErrorCode::NotCoordinator, fx);
        }
    }

    fn replay_consumer_group(&mut self, id: GroupId, record: &ConsumerGroupRecord) {
        if *record == ConsumerGroupRecord::Epoch(None) {
            self.groups.remove(&id);
            return;
        }
        if !matches!(self.groups.get(&id), Some(Group::Consumer(_))) {
            self.groups.insert(id, Group::Consumer(Box::new(ConsumerGroup::new(id))));
        }
        if let Some(Group::Consumer(group)) = self.groups.get_mut(&id) {
            group.replay(record);
        }
    }

    /// The group, where this broker coordinates it.
    pub fn group(&self, group: GroupId) -> Option<&Group> {
        self.groups.get(&group)
    }

    /// The next offset `group` reads of `partition`; [`Offset::NONE`] without a commit.
    pub fn committed_offset(&self, group: GroupId, partition: PartitionId) -> Offset {
        self.offsets.get(group, partition)
    }

    /// Adds the coordinator's state to a fingerprint.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add(&self.led);
        for (id, group) in &self.groups {
            into.add(id);
            group.fingerprint(now, into);
        }
        self.offsets.fingerprint(now, into);
        self.transactional.fingerprint(into);
        for pending in &self.pending {
            // Tickets count up for ever; their distance from the last one is what matters.
            into.add((self.last_ticket - pending.ticket, pending.partition, pending.group));
            into.add_time(now, pending.deadline);
        }
    }
}

/// The groups of the run that live in `partition` of `__consumer_offsets`.
pub(super) fn groups_of(partition: PartitionId, fx: &Effects) -> Vec<GroupId> {
    let homes = fx.names.group_partitions.iter().enumerate();
    homes.filter(|(_, home)| **home == partition).map(|(n, _)| GroupId(n as u16)).collect()
}

fn group_of(message: Message) -> GroupId {
    match message {
        Message::JoinGroup { group, .. }
        | Message::SyncGroup { group, .. }
        | Message::Heartbeat { group, .. }
        | Message::LeaveGroup { group, .. }
        | Message::ConsumerGroupHeartbeat { group, .. }
        | Message::OffsetCommit { group, .. }
        | Message::OffsetFetch { group, .. }
        | Message::ShareGroupHeartbeat { group, .. } => group,
        other => unreachable!("not a request to a group coordinator: {other:?}"),
    }
}

/// The answer to `request` that says nothing but `error`.
pub(super) fn refusal(request: Message, error: ErrorCode) -> Message {
    match request {
        Message::JoinGroup { member, .. } => Message::JoinGroupResponse {
            error,
            generation: Generation(-1),
            protocol: None,
            leader: MemberId::UNKNOWN,
            member,
            skip_assignment: false,
            members: List::EMPTY,
        },
        Message::SyncGroup { .. } => Message::SyncGroupResponse { error, assignment: List::EMPTY },
        Message::Heartbeat { .. } => Message::HeartbeatResponse { error },
        Message::LeaveGroup { .. } => Message::LeaveGroupResponse { error },
        Message::ConsumerGroupHeartbeat { member, .. } => refused(member, error),
        Message::OffsetCommit { .. } => Message::OffsetCommitResponse { error },
        Message::OffsetFetch { .. } => Message::OffsetFetchResponse { error, offsets: List::EMPTY },
        Message::ShareGroupHeartbeat { epoch, .. } => share_members::refusal(epoch, error),
        other => unreachable!("not a request to a group coordinator: {other:?}"),
    }
}
