//! The coordinator's half of the consumer protocol: heartbeats and timers of its groups, what is written of them, and
//! who is answered when (`GroupCoordinatorService.consumerGroupHeartbeat`, `CoordinatorRuntime`).
//!
//! A group changes when its records are appended, and the answer goes out when they are replicated. When they could not
//! be appended, the group is again what it was.

use crate::base::batch::{GroupSnapshot, Record, RecordBody};
use crate::base::config::AssignorName;
use crate::base::error::ErrorCode;
use crate::base::group_records::{ConsumerGroupKey, ConsumerGroupRecord};
use crate::base::ids::{Generation, GroupId, KeyId, MemberId, PartitionId};
use crate::base::time::Time;
use crate::event::{EventKind, GroupState, LeaveReason};
use crate::kafka::api::Message;
use crate::kafka::effects::{Effects, List, TimerKind, Token};
use crate::kafka::group::classic::Parked;
use crate::kafka::group::consumer::ConsumerGroup;
use crate::kafka::group::consumer::heartbeat::{HeartbeatAnswer, HeartbeatRequest, View};
use crate::kafka::group::coordinator::{GroupCoordinator, Output};
use crate::kafka::group::kind::Group;
use crate::kafka::group::rebalance::join_failed;
use crate::kafka::group::writes::{After, group_record};

/// The answer to a heartbeat that is refused.
pub(super) fn refused(member: MemberId, error: ErrorCode) -> Message {
    let (epoch, heartbeat_interval_ms, assignment) = (0, 0, None);
    Message::ConsumerGroupHeartbeatResponse {
        error,
        member,
        epoch,
        heartbeat_interval_ms,
        assignment,
    }
}

/// What a member is answered when its records are replicated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// `ConsumerGroupHeartbeat`.
    Heartbeat(HeartbeatAnswer),
    /// `JoinGroup` of a classic member.
    Joined { member: MemberId, generation: Generation, protocol: Option<AssignorName> },
    /// `SyncGroup` of a classic member.
    Synced(Vec<PartitionId>),
    /// `LeaveGroup` of a classic member.
    Left,
}

impl Answer {
    /// The answer that says nothing but `error`.
    pub(super) fn refused(&self, error: ErrorCode, fx: &mut Effects) -> Message {
        match self {
            Self::Heartbeat(answer) => refused(answer.member, error),
            Self::Joined { member, .. } => join_failed(*member, error),
            Self::Synced(_) => {
                let assignment = fx.keep::<PartitionId>(&[]);
                Message::SyncGroupResponse { error, assignment }
            }
            Self::Left => Message::LeaveGroupResponse { error },
        }
    }
}

/// A group that a heartbeat is about.
struct Found {
    group: ConsumerGroup,
    origin: Origin,
}

/// Where a group of the consumer protocol comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    /// It was one before, or is new.
    Consumer,
    /// It was an empty group of the classic protocol.
    Empty,
    /// It was a group of the classic protocol with members, which stay.
    Upgraded,
}

impl GroupCoordinator {
    /// `ConsumerGroupHeartbeat`.
    pub(super) fn consumer_heartbeat(
        &mut self,
        out: &mut Output<'_>,
        token: Token,
        message: Message,
    ) {
        let Message::ConsumerGroupHeartbeat { group, member, epoch, says } = message else {
            unreachable!("called for ConsumerGroupHeartbeat only")
        };
        let request = HeartbeatRequest::read(member, epoch, out.fx.pools.get(says));
        if let Err(error) = self.apply_heartbeat(out, token, group, &request) {
            out.fx.reply(token, refused(member, error));
        }
    }

    fn apply_heartbeat(
        &mut self,
        out: &mut Output<'_>,
        token: Token,
        id: GroupId,
        request: &HeartbeatRequest,
    ) -> Result<(), ErrorCode> {
        let config = std::sync::Arc::clone(&self.config);
        let config = &config.brokers.consumer_group;
        request.validate(config)?;
        let Found { mut group, origin } = self.consumer_group(out.now, id, request.epoch == 0)?;
        let view = View { now: out.now, config, names: &out.fx.names };
        let (records, answer) = if request.leaves() {
            group.leave(&view, request)?
        } else {
            group.heartbeat(&view, request)?
        };
        let answer = Answer::Heartbeat(answer);
        let gone = [request.member];
        if request.leaves_for_good() && self.downgrades(&group, &gone) {
            let parked = Some((Parked::new(token), answer));
            self.downgrade(out, &group, (&gone, LeaveReason::Left), parked);
            return Ok(());
        }
        let undo = self.groups.get(&id).filter(|_| origin == Origin::Upgraded).cloned();
        let mut all = Vec::new();
        if origin == Origin::Upgraded {
            self.interrupt_classic(id, &group, out.fx);
            all = group.creation_records();
        }
        let before = group.clone();
        group.replay_all(&records);
        let mut looks = false;
        if !request.leaves() {
            group.compared_at = Some(out.fx.names.created.len());
            let view = View { now: out.now, config, names: &out.fx.names };
            looks = before.looks_for_topics(&view, &group);
            group.heard_of(out.now, request.member, config);
            let moved = |record: &ConsumerGroupRecord| {
                record.key() == (ConsumerGroupKey::Current(request.member), false)
            };
            if records.iter().any(moved) {
                group.watch_rebalance(out.now, request.member);
            }
        }
        let reason = if request.leaves() { LeaveReason::Left } else { LeaveReason::Replaced };
        group.say_changes(&before, reason, out.fx);
        self.take_group(out, group);
        if records.is_empty() {
            self.answer_member_in_order(out, id, token, answer);
        } else {
            all.extend(records);
            let parked = Some((Parked::new(token), answer));
            let undo = Some(Box::new(undo.unwrap_or(Group::Consumer(Box::new(before)))));
            let was_classic = origin != Origin::Consumer;
            self.write_consumer_group(out, id, (all, was_classic), After::Members { parked, undo });
        }
        if looks {
            self.look_for_topics(out, id);
        }
        Ok(())
    }

    /// The group looks which topics fit the regular expressions of its members.
    fn look_for_topics(&mut self, out: &mut Output<'_>, id: GroupId) {
        let config = std::sync::Arc::clone(&self.config);
        let Some(Group::Consumer(group)) = self.groups.get_mut(&id) else { return };
        let before = group.as_ref().clone();
        let view =
            View { now: out.now, config: &config.brokers.consumer_group, names: &out.fx.names };
        let records = before.look_for_topics(&view);
        group.replay_all(&records);
        for (regex, found) in &group.resolved {
            let known = before.resolved.get(regex);
            if known.is_none_or(|known| known.topics != found.topics) {
                let (group, regex, topics) = (id, *regex, found.topics.len() as u16);
                out.fx.event(EventKind::RegexResolved { group, regex, topics });
            }
        }
        group.say_changes(&before, LeaveReason::Replaced, out.fx);
        let undo = Some(Box::new(Group::Consumer(Box::new(before))));
        self.write_consumer_group(out, id, (records, false), After::Members { parked: None, undo });
    }

    /// `getOrMaybeCreateConsumerGroup`: whoever joins creates the group, also in place of an empty classic one, or
    /// makes a classic one with members a group of the consumer protocol.
    fn consumer_group(&self, now: Time, id: GroupId, joins: bool) -> Result<Found, ErrorCode> {
        let new = || ConsumerGroup::new(id);
        match self.groups.get(&id) {
            Some(Group::Consumer(group)) => {
                Ok(Found { group: group.as_ref().clone(), origin: Origin::Consumer })
            }
            None if joins => Ok(Found { group: new(), origin: Origin::Consumer }),
            Some(Group::Classic(classic)) if joins && classic.state == GroupState::Empty => {
                Ok(Found { group: new(), origin: Origin::Empty })
            }
            Some(Group::Classic(classic)) if joins && self.may_upgrade(classic) => {
                let group = ConsumerGroup::from_classic(classic, now);
                Ok(Found { group, origin: Origin::Upgraded })
            }
            _ => Err(ErrorCode::GroupIdNotFound),
        }
    }

    /// The group as it is from now on. Its timer runs out at the first of its times.
    pub(super) fn take_group(&mut self, out: &mut Output<'_>, mut group: ConsumerGroup) {
        if let Some(end) = group.first_end()
            && group.timer.is_none_or(|timer| end < timer)
        {
            group.timer = Some(end);
            out.fx.set_timer(TimerKind::GroupSession, group.id.0, end);
        }
        self.groups.insert(group.id, Group::Consumer(Box::new(group)));
    }

    /// Sessions may have ended, or the time of a member to give partitions up: who is late is fenced.
    pub(super) fn consumer_timeout(&mut self, out: &mut Output<'_>, id: GroupId) {
        let Some(Group::Consumer(group)) = self.groups.get_mut(&id) else { return };
        group.timer = None;
        loop {
            let Some(Group::Consumer(group)) = self.groups.get_mut(&id) else { return };
            let now = out.now;
            if let Some((member, _)) = group.sessions.iter().find(|(_, end)| **end <= now) {
                let member = *member;
                self.fence(out, id, member, LeaveReason::SessionTimeout);
            } else if let Some((member, _)) =
                group.rebalances.iter().find(|(_, (_, end))| *end <= now)
            {
                let member = *member;
                let late = group.rebalances.remove(&member).map(|(epoch, _)| epoch);
                if group.members.get(&member).map(|m| m.current.epoch) == late {
                    self.fence(out, id, member, LeaveReason::RebalanceTimeout);
                }
            } else if let Some((member, _)) =
                group.joins.iter().chain(&group.syncs).find(|(_, end)| **end <= now)
            {
                let member = *member;
                self.fence(out, id, member, LeaveReason::RebalanceTimeout);
            } else {
                let group = group.as_ref().clone();
                return self.take_group(out, group);
            }
        }
    }

    fn fence(&mut self, out: &mut Output<'_>, id: GroupId, member: MemberId, reason: LeaveReason) {
        let config = std::sync::Arc::clone(&self.config);
        let Some(Group::Consumer(group)) = self.groups.get_mut(&id) else { return };
        group.sessions.remove(&member);
        group.rebalances.remove(&member);
        group.joins.remove(&member);
        group.syncs.remove(&member);
        if !group.members.contains_key(&member) {
            return;
        }
        let before = group.as_ref().clone();
        if self.downgrades(&before, &[member]) {
            return self.downgrade(out, &before, (&[member], reason), None);
        }
        let Some(Group::Consumer(group)) = self.groups.get_mut(&id) else { return };
        let view =
            View { now: out.now, config: &config.brokers.consumer_group, names: &out.fx.names };
        let records = group.fence(&view, &[member]);
        group.replay_all(&records);
        group.say_changes(&before, reason, out.fx);
        let undo = Some(Box::new(Group::Consumer(Box::new(before))));
        self.write_consumer_group(out, id, (records, false), After::Members { parked: None, undo });
    }

    /// Writes records of a group into one batch, behind the tombstone of the classic group it was.
    pub(super) fn write_consumer_group(
        &mut self,
        out: &mut Output<'_>,
        group: GroupId,
        (records, was_classic): (Vec<ConsumerGroupRecord>, bool),
        after: After,
    ) {
        let (key, timestamp) = (KeyId::NONE, out.now.timestamp());
        let mut batch = Vec::new();
        if was_classic {
            let body = RecordBody::GroupTombstone { group };
            batch.push(Record { body, key, bytes: 30, timestamp, is_tombstone: true });
        }
        member_records(out, group, records, &mut batch);
        self.append(out, group, &batch, |_| after);
    }

    /// Writes the end of a group of the consumer protocol and the classic group it is from now on into one batch.
    pub(super) fn write_downgrade(
        &mut self,
        out: &mut Output<'_>,
        group: GroupId,
        (ends, generation, snapshot): (Vec<ConsumerGroupRecord>, Generation, GroupSnapshot),
        after: After,
    ) {
        let mut batch = Vec::new();
        member_records(out, group, ends, &mut batch);
        batch.push(group_record(out, group, generation, snapshot));
        self.append(out, group, &batch, |_| after);
    }

    /// Answers a member that changed nothing, once every write before it is replicated.
    pub(super) fn answer_member_in_order(
        &mut self,
        out: &mut Output<'_>,
        group: GroupId,
        token: Token,
        answer: Answer,
    ) {
        match self.last_write(out.fx.names.group_partitions[group.index()]) {
            Some(ticket) => {
                let parked = Some((Parked::new(token), answer));
                self.wait(out, group, ticket, After::Members { parked, undo: None });
            }
            None => self.reply_member(out.fx, token, &answer),
        }
    }

    /// Answers a member.
    pub(super) fn reply_member(&self, fx: &mut Effects, token: Token, answer: &Answer) {
        let error = ErrorCode::None;
        match answer {
            Answer::Heartbeat(answer) => self.reply_heartbeat(fx, token, answer),
            Answer::Joined { member, generation, protocol } => {
                let (generation, protocol, member) = (*generation, *protocol, *member);
                // The coordinator assigns: nobody leads.
                let leader = MemberId::UNKNOWN;
                let (skip_assignment, members) = (false, List::EMPTY);
                let message = Message::JoinGroupResponse {
                    error,
                    generation,
                    protocol,
                    leader,
                    member,
                    skip_assignment,
                    members,
                };
                fx.reply(token, message);
            }
            Answer::Synced(partitions) => {
                let assignment = fx.keep(partitions);
                fx.reply(token, Message::SyncGroupResponse { error, assignment });
            }
            Answer::Left => fx.reply(token, Message::LeaveGroupResponse { error }),
        }
    }

    fn reply_heartbeat(&self, fx: &mut Effects, token: Token, answer: &HeartbeatAnswer) {
        let interval = self.config.brokers.consumer_group.heartbeat_interval;
        let assignment = answer.assignment.as_ref().map(|partitions| fx.keep(partitions));
        let message = Message::ConsumerGroupHeartbeatResponse {
            error: ErrorCode::None,
            member: answer.member,
            epoch: answer.epoch,
            heartbeat_interval_ms: interval.as_millis() as u32,
            assignment,
        };
        fx.reply(token, message);
    }

    /// The records of a change could not be appended: the group is what it was before it, and so is everything that was
    /// to follow.
    pub(super) fn undo(&mut self, now: Time, id: GroupId, before: &Group, fx: &mut Effects) {
        let home = fx.names.group_partitions[id.index()];
        if !self.led.contains_key(&home) {
            return;
        }
        for pending in self.pending.iter_mut().filter(|pending| pending.group == id) {
            if let After::Members { undo: Some(undo), .. } = &mut pending.after {
                undo.as_mut().clone_from(before);
            }
        }
        let (Some(Group::Consumer(group)), Group::Consumer(before)) =
            (self.groups.get_mut(&id), before)
        else {
            return self.restore(now, id, before.clone(), fx);
        };
        let now_is = group.as_ref().clone();
        *group.as_mut() = ConsumerGroup { timer: now_is.timer, ..before.as_ref().clone() };
        before.say_changes(&now_is, LeaveReason::Undone, fx);
        let mut appends = Vec::new();
        let out = &mut Output { now, fx, appends: &mut appends };
        let group = group.as_ref().clone();
        self.take_group(out, group);
    }

    /// A group of the consumer protocol was loaded from the log: its members have a session each, and those that have
    /// partitions to give up as much time as any.
    pub(super) fn consumer_group_loaded(&mut self, out: &mut Output<'_>, id: GroupId) {
        let Some(Group::Consumer(group)) = self.groups.get(&id) else { return };
        let mut group = group.as_ref().clone();
        let config = &self.config.brokers.consumer_group;
        for member in group.members.keys().copied().collect::<Vec<_>>() {
            group.heard_of(out.now, member, config);
            group.watch_rebalance(out.now, member);
        }
        group.say_changes(&ConsumerGroup::new(id), LeaveReason::Left, out.fx);
        self.take_group(out, group);
    }
}

/// The records of a group as they are written.
fn member_records(
    out: &mut Output<'_>,
    group: GroupId,
    records: Vec<ConsumerGroupRecord>,
    into: &mut Vec<Record>,
) {
    let (key, timestamp) = (KeyId::NONE, out.now.timestamp());
    for record in records {
        let bytes = 60 + 12 * partitions_in(&record);
        let (of, is_tombstone) = record.key();
        let record = out.fx.batches.add_consumer_group(record);
        let body = RecordBody::ConsumerGroup { group, key: of, record };
        into.push(Record { body, key, bytes, timestamp, is_tombstone });
    }
}

fn partitions_in(record: &ConsumerGroupRecord) -> u32 {
    match record {
        ConsumerGroupRecord::Target(_, Some(partitions)) => partitions.len() as u32,
        ConsumerGroupRecord::Regex(_, Some(resolved)) => 2 * resolved.topics.len() as u32,
        ConsumerGroupRecord::Current(_, Some(current)) => {
            (current.assigned.len() + current.pending_revocation.len()) as u32
        }
        _ => 0,
    }
}
