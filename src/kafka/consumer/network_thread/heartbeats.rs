//! Heartbeats of the consumer protocol: when they go out, what they say, and what the coordinator's answer changes.
//!
//! Kafka: `AbstractHeartbeatRequestManager`, `ConsumerHeartbeatRequestManager`. A heartbeat says what has changed
//! since the last one that was answered; one that joins says everything.

use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, GroupId, MemberId, PartitionId, RegexId, TopicId};
use crate::base::names::Names;
use crate::base::time::{Duration, Time};
use crate::kafka::api::{HeartbeatField, Message};
use crate::kafka::consumer::network_thread::{LocalAssignment, MemberState, Then};
use crate::kafka::consumer::positions::SubscribedBy;
use crate::kafka::consumer::{Consumer, GroupRequest, wire};
use crate::kafka::effects::Effects;

/// `HeartbeatRequestState`, and what the coordinator was told (`SentFields`).
#[derive(Clone, Debug, Default)]
pub(super) struct HeartbeatState {
    interval: Duration,
    next_at: Time,
    in_flight: bool,
    failures: u32,
    retry_at: Time,
    sent: Sent,
    /// The heartbeat with which a member leaves that did not poll, while its connection is not ready.
    unsent_leave: Option<UnsentLeave>,
}

/// What it says, and whose it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct UnsentLeave {
    member: MemberId,
    epoch: i32,
    says: Vec<HeartbeatField>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Sent {
    topics: Option<Vec<TopicId>>,
    regex: Option<RegexId>,
    /// What it was told that the member owns, if `owned_told`.
    owned: Option<LocalAssignment>,
    owned_told: bool,
    rest: bool,
}

impl HeartbeatState {
    fn reset(&mut self) {
        let (interval, next_at) = (self.interval, self.next_at);
        let unsent_leave = self.unsent_leave.take();
        *self = Self { interval, next_at, unsent_leave, ..Self::default() };
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.interval, self.in_flight, self.failures, &self.sent, &self.unsent_leave));
        into.add_time(now, self.next_at.max(now));
        into.add_time(now, self.retry_at.max(now));
    }
}

/// The answer to a heartbeat.
#[derive(Clone, Debug)]
pub(in crate::kafka::consumer) struct HeartbeatAnswer {
    pub(in crate::kafka::consumer) error: ErrorCode,
    pub(in crate::kafka::consumer) epoch: i32,
    pub(in crate::kafka::consumer) interval: Duration,
    pub(in crate::kafka::consumer) assignment: Option<Vec<PartitionId>>,
}

impl Consumer {
    /// Sends what is due, and takes the member out of its group when the application does not poll.
    pub(super) fn send_heartbeats(&mut self, now: Time, fx: &mut Effects) {
        let (Some(group), known) = (self.group, self.usable_coordinator(now, fx)) else { return };
        self.send_unsent_leave(now, group, known, fx);
        let member = self.member();
        let skips = matches!(
            member.state,
            MemberState::Unsubscribed
                | MemberState::Fatal
                | MemberState::Stale
                | MemberState::Fenced
        );
        let Some(broker) = known.filter(|_| !skips) else {
            return self.skip_heartbeat();
        };
        let late = member.poll_at <= now && !member.is_leaving();
        if late {
            self.send_leave(true);
            let says = self.fields(&fx.names);
            let member = self.member_mut();
            let (id, epoch) = (member.member, member.epoch);
            member.heartbeat.unsent_leave = Some(UnsentLeave { member: id, epoch, says });
            member.heartbeat.next_at = now + member.heartbeat.interval;
            self.heartbeat_sent(now, fx);
            return self.send_unsent_leave(now, group, known, fx);
        }
        let member = self.member();
        let beat = &member.heartbeat;
        let urgent = member.state == MemberState::Leaving
            || (matches!(member.state, MemberState::Acknowledging | MemberState::Joining)
                && !beat.in_flight);
        let due = beat.next_at <= now && !beat.in_flight && beat.retry_at <= now;
        if !(urgent || due) || !self.network.ready(now, broker, fx) {
            return;
        }
        let says = self.fields(&fx.names);
        let interval = self.member().heartbeat.interval;
        let member = self.member_mut();
        let (id, epoch) = (member.member, member.epoch);
        member.heartbeat.in_flight = true;
        member.heartbeat.next_at = now + interval;
        let says = fx.keep(&says);
        let message = Message::ConsumerGroupHeartbeat { group, member: id, epoch, says };
        let timeout = self.config.request_timeout;
        let kind = GroupRequest::ConsumerHeartbeat { ignored: false };
        self.send_to_group(now, (message, kind), timeout, fx);
        self.heartbeat_sent(now, fx);
    }

    /// A member that did not poll has left, whether or not the coordinator can be told so at once. Nobody waits for the
    /// answer, and with the coordinator the message is lost.
    fn send_unsent_leave(
        &mut self,
        now: Time,
        group: GroupId,
        known: Option<BrokerId>,
        fx: &mut Effects,
    ) {
        if self.member().heartbeat.unsent_leave.is_none()
            || known.is_some_and(|broker| !self.network.ready(now, broker, fx))
        {
            return;
        }
        let unsent = self.member_mut().heartbeat.unsent_leave.take();
        let Some(UnsentLeave { member, epoch, says }) = unsent.filter(|_| known.is_some()) else {
            return;
        };
        let says = fx.keep(&says);
        let message = Message::ConsumerGroupHeartbeat { group, member, epoch, says };
        let kind = GroupRequest::ConsumerHeartbeat { ignored: true };
        self.send_to_group(now, (message, kind), self.config.request_timeout, fx);
    }

    /// `onHeartbeatRequestSkipped`: without a coordinator nobody hears that the member leaves.
    fn skip_heartbeat(&mut self) {
        let member = self.member_mut();
        if member.state == MemberState::Leaving {
            member.go(MemberState::Unsubscribed);
            member.leave_in_progress = false;
        }
    }

    /// `onHeartbeatRequestGenerated`.
    fn heartbeat_sent(&mut self, now: Time, fx: &mut Effects) {
        let member = self.member_mut();
        match member.state {
            MemberState::Acknowledging if member.is_reconciled() => member.go(MemberState::Stable),
            MemberState::Acknowledging => member.go(MemberState::Reconciling),
            MemberState::Leaving if member.poll_expired => {
                member.go(MemberState::Stale);
                member.released = false;
                member.heartbeat.reset();
                self.lose_everything(now, Then::Release, fx);
            }
            MemberState::Leaving => member.go(MemberState::Unsubscribed),
            _ => {}
        }
    }

    /// `buildRequestData`.
    fn fields(&mut self, names: &Names) -> Vec<HeartbeatField> {
        let mut says = Vec::new();
        says.extend(self.instance(names).map(HeartbeatField::Instance));
        let topics = self.subscriptions.topics.clone();
        let regex = match self.subscriptions.by {
            SubscribedBy::Regex(regex) => Some(regex),
            SubscribedBy::Names | SubscribedBy::Pattern => None,
        };
        let timeout = self.config.max_poll_interval.as_millis() as u32;
        let assignor = self.config.remote_assignor;
        let member = self.member_mut();
        let all = member.state == MemberState::Joining;
        let sent = &mut member.heartbeat.sent;
        if all || !sent.rest {
            says.push(HeartbeatField::RebalanceTimeout(timeout));
            says.extend(assignor.map(HeartbeatField::Assignor));
            sent.rest = true;
        }
        if all || sent.topics.as_ref() != Some(&topics) {
            says.push(HeartbeatField::Subscription);
            says.extend(topics.iter().copied().map(HeartbeatField::Topic));
            sent.topics = Some(topics);
        }
        if (all && regex.is_some()) || sent.regex != regex {
            says.push(HeartbeatField::Regex(regex));
            sent.regex = regex;
        }
        if all || !sent.owned_told || sent.owned != member.current {
            says.push(HeartbeatField::Owned);
            let owned = member.current.iter().flat_map(|current| &current.partitions);
            says.extend(owned.copied().map(HeartbeatField::Partition));
            sent.owned.clone_from(&member.current);
            sent.owned_told = true;
        }
        says
    }

    /// What the coordinator said to a heartbeat.
    pub(in crate::kafka::consumer) fn member_answered(
        &mut self,
        now: Time,
        answer: HeartbeatAnswer,
        fx: &mut Effects,
    ) {
        let member = self.member_mut();
        member.heartbeat.in_flight = false;
        if answer.error != ErrorCode::None {
            return self.member_refused(now, answer.error, fx);
        }
        let beat = &mut member.heartbeat;
        (beat.failures, beat.retry_at) = (0, Time::ZERO);
        if beat.interval != answer.interval {
            beat.interval = answer.interval;
            beat.next_at = now + answer.interval;
        }
        let state = member.state;
        if state == MemberState::Leaving {
            return;
        }
        if answer.epoch < 0 || member.is_not_in_group() {
            member.leave_in_progress &= answer.epoch >= 0;
            return;
        }
        member.set_epoch(answer.epoch);
        let takes = matches!(
            state,
            MemberState::Stable
                | MemberState::Joining
                | MemberState::Acknowledging
                | MemberState::Reconciling
        );
        if let Some(mut partitions) = answer.assignment.filter(|_| takes) {
            partitions.sort_unstable();
            let last = member.target.as_ref();
            if last.is_none_or(|target| target.partitions != partitions) {
                let number = last.map_or(0, |target| target.number + 1);
                member.target = Some(LocalAssignment { number, partitions });
            }
            if !member.is_reconciled() {
                member.go(MemberState::Reconciling);
            } else if matches!(state, MemberState::Reconciling | MemberState::Joining) {
                member.go(MemberState::Stable);
            }
        }
    }

    /// `onErrorResponse`.
    fn member_refused(&mut self, now: Time, error: ErrorCode, fx: &mut Effects) {
        self.member_heartbeat_failed(now, fx);
        match error {
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                self.mark_coordinator_unknown(now, fx);
                self.member_mut().heartbeat.reset();
            }
            ErrorCode::CoordinatorLoadInProgress => {}
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => {
                self.fenced(now, fx);
                self.member_mut().heartbeat.reset();
            }
            ErrorCode::GroupIdNotFound if self.member().state == MemberState::Unsubscribed => {}
            _ if self.member().is_not_in_group() && !self.member().leave_in_progress => {}
            _ => self.fatal(now, wire(error), fx),
        }
        let member = self.member_mut();
        if member.state == MemberState::Unsubscribed {
            member.leave_in_progress = false;
        }
    }

    /// A heartbeat was not answered, or refused: the next one follows after a back-off and says everything again.
    pub(in crate::kafka::consumer) fn member_heartbeat_failed(
        &mut self,
        now: Time,
        fx: &mut Effects,
    ) {
        let retry = self.retry;
        if let Some(member) = &mut self.member {
            let beat = &mut member.heartbeat;
            beat.sent = Sent::default();
            (beat.in_flight, beat.next_at) = (false, now);
            beat.retry_at = now + retry.backoff(beat.failures, fx);
            beat.failures += 1;
            if member.state == MemberState::Unsubscribed {
                member.leave_in_progress = false;
            }
        }
    }

    /// When the network thread has something to do although nothing arrives.
    pub(in crate::kafka::consumer) fn network_thread_due(&self, now: Time) -> Time {
        if self.group.is_none() {
            return Time::NEVER;
        }
        let member = self.member();
        // What is due and could not be sent waits for the connection, or for a coordinator.
        let later = |at: Time| if at > now { at } else { Time::NEVER };
        let retry = later(member.reconciliation_due());
        let skips = matches!(
            member.state,
            MemberState::Unsubscribed
                | MemberState::Fatal
                | MemberState::Stale
                | MemberState::Fenced
        );
        if self.coordinator.known.is_none() {
            let wake = if member.closing { Time::NEVER } else { self.coordinator_wake(now) };
            return wake.min(retry);
        }
        if skips {
            return retry;
        }
        let beat = &member.heartbeat;
        let next = if beat.in_flight { Time::NEVER } else { beat.next_at.max(beat.retry_at) };
        later(next).min(later(member.poll_at)).min(retry)
    }
}
