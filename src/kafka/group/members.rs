//! The coordinator's half of the consumer protocol: heartbeats and timers of its groups, what is written of them, and
//! who is answered when (`GroupCoordinatorService.consumerGroupHeartbeat`, `CoordinatorRuntime`).
//!
//! A group changes when its records are appended, and the answer goes out when they are replicated. When they could not
//! be appended, the group is again what it was.

use crate::base::batch::{Record, RecordBody};
use crate::base::error::ErrorCode;
use crate::base::group_records::{ConsumerGroupKey, ConsumerGroupRecord};
use crate::base::ids::{GroupId, KeyId, MemberId};
use crate::base::time::Time;
use crate::event::{GroupState, LeaveReason};
use crate::kafka::api::Message;
use crate::kafka::effects::{Effects, TimerKind, Token};
use crate::kafka::group::classic::Parked;
use crate::kafka::group::consumer::ConsumerGroup;
use crate::kafka::group::consumer::heartbeat::{HeartbeatAnswer, HeartbeatRequest, View};
use crate::kafka::group::coordinator::{GroupCoordinator, Output};
use crate::kafka::group::kind::Group;
use crate::kafka::group::writes::After;

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

/// A group that a heartbeat is about.
struct Found {
    group: ConsumerGroup,
    /// It was an empty group of the classic protocol.
    was_classic: bool,
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
        let Found { mut group, was_classic } = self.consumer_group(id, request.epoch == 0)?;
        let view = View { now: out.now, config, names: &out.fx.names };
        let (records, answer) = if request.leaves() {
            group.leave(&view, request)?
        } else {
            group.heartbeat(&view, request)?
        };
        let before = group.clone();
        group.replay_all(&records);
        if !request.leaves() {
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
            self.answer_heartbeat_in_order(out, id, token, answer);
        } else {
            let parked = Some((Parked::new(token), answer));
            let undo = Some(Box::new(before));
            self.write_consumer_group(
                out,
                id,
                (records, was_classic),
                After::Members { parked, undo },
            );
        }
        Ok(())
    }

    /// `getOrMaybeCreateConsumerGroup`: whoever joins creates the group, also in place of an empty classic one.
    fn consumer_group(&self, id: GroupId, joins: bool) -> Result<Found, ErrorCode> {
        let new = || ConsumerGroup::new(id);
        match self.groups.get(&id) {
            Some(Group::Consumer(group)) => {
                Ok(Found { group: group.as_ref().clone(), was_classic: false })
            }
            None if joins => Ok(Found { group: new(), was_classic: false }),
            Some(Group::Classic(classic)) if joins && classic.state == GroupState::Empty => {
                Ok(Found { group: new(), was_classic: true })
            }
            _ => Err(ErrorCode::GroupIdNotFound),
        }
    }

    /// The group as it is from now on. Its timer runs out at the first of its times.
    fn take_group(&mut self, out: &mut Output<'_>, mut group: ConsumerGroup) {
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
        if !group.members.contains_key(&member) {
            return;
        }
        let before = group.as_ref().clone();
        let view =
            View { now: out.now, config: &config.brokers.consumer_group, names: &out.fx.names };
        let records = group.fence(&view, &[member]);
        group.replay_all(&records);
        group.say_changes(&before, reason, out.fx);
        let undo = Some(Box::new(before));
        self.write_consumer_group(out, id, (records, false), After::Members { parked: None, undo });
    }

    /// Writes records of a group into one batch, behind the tombstone of the classic group it was.
    fn write_consumer_group(
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
        for record in records {
            let bytes = 60 + 12 * partitions_in(&record);
            let (of, is_tombstone) = record.key();
            let record = out.fx.batches.add_consumer_group(record);
            let body = RecordBody::ConsumerGroup { group, key: of, record };
            batch.push(Record { body, key, bytes, timestamp, is_tombstone });
        }
        self.append(out, group, &batch, |_| after);
    }

    /// Answers a heartbeat that changed nothing, once every write before it is replicated.
    fn answer_heartbeat_in_order(
        &mut self,
        out: &mut Output<'_>,
        group: GroupId,
        token: Token,
        answer: HeartbeatAnswer,
    ) {
        match self.last_write(out.fx.names.group_partitions[group.index()]) {
            Some(ticket) => {
                let parked = Some((Parked::new(token), answer));
                self.wait(out, group, ticket, After::Members { parked, undo: None });
            }
            None => self.reply_heartbeat(out.fx, token, &answer),
        }
    }

    /// Answers a heartbeat.
    pub(super) fn reply_heartbeat(&self, fx: &mut Effects, token: Token, answer: &HeartbeatAnswer) {
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
    pub(super) fn undo(
        &mut self,
        now: Time,
        id: GroupId,
        before: &ConsumerGroup,
        fx: &mut Effects,
    ) {
        let home = fx.names.group_partitions[id.index()];
        if !self.led.contains_key(&home) {
            return;
        }
        for pending in self.pending.iter_mut().filter(|pending| pending.group == id) {
            if let After::Members { undo: Some(undo), .. } = &mut pending.after {
                undo.as_mut().clone_from(before);
            }
        }
        let Some(Group::Consumer(group)) = self.groups.get_mut(&id) else { return };
        let now_is = group.as_ref().clone();
        *group.as_mut() = ConsumerGroup { timer: now_is.timer, ..before.clone() };
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

fn partitions_in(record: &ConsumerGroupRecord) -> u32 {
    match record {
        ConsumerGroupRecord::Target(_, Some(partitions)) => partitions.len() as u32,
        ConsumerGroupRecord::Current(_, Some(current)) => {
            (current.assigned.len() + current.pending_revocation.len()) as u32
        }
        _ => 0,
    }
}
