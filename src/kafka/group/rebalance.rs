//! The classic rebalance protocol as its coordinator plays it (`GroupMetadataManager.classicGroup…`): join, sync,
//! heartbeat, leave, and what runs out while it waits. KIP-62 (rebalance timeout = `max.poll.interval.ms`), KIP-134
//! (initial delay), KIP-394 (a member joins with an id).
//! What is different for static members is in [`super::static_members`].

use crate::base::batch::{GroupSnapshot, Subscribed};
use crate::base::config::{Assignors, BrokerConfig, Defect};
use crate::base::error::ErrorCode;
use crate::base::ids::{Generation, MemberId, PartitionId};
use crate::base::time::{Duration, Time};
use crate::event::{EventKind, GroupState, LeaveReason};
use crate::kafka::api::{MemberRow, Message};
use crate::kafka::effects::{Effects, TimerKind, Token};
use crate::kafka::group::classic::{Caller, ClassicGroup, JoinTimer, Member, Parked};
use crate::kafka::group::static_members::Replacement;
use crate::kafka::group::sync::reply_sync;

/// How long a member that is new to the group may wait for its first join to be answered
/// (`CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`).
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(300);

/// A group metadata record to be written.
pub(super) struct GroupWrite {
    pub(super) generation: Generation,
    pub(super) snapshot: GroupSnapshot,
    pub(super) what: Written,
}

/// Who waits for a group metadata record.
pub(super) enum Written {
    /// Nobody.
    Group,
    /// It has the leader's assignment: the members wait for it.
    Assignment,
    /// A static member came back: it waits for it.
    Replacement(Box<Replacement>),
}

/// What a group may use while it handles one input.
pub(super) struct Context<'a> {
    pub(super) now: Time,
    pub(super) config: &'a BrokerConfig,
    pub(super) fx: &'a mut Effects,
    /// At most one record a step.
    pub(super) write: &'a mut Option<GroupWrite>,
}

/// A `JoinGroup` request.
pub(super) struct JoinRequest {
    pub(super) token: Token,
    pub(super) caller: Caller,
    /// The rank of the asking consumer, for a member id.
    pub(super) rank: u16,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Assignors,
    pub(super) subscription: Vec<Subscribed>,
}

/// Joining.
impl ClassicGroup {
    /// `JoinGroup`.
    pub(super) fn join(&mut self, cx: &mut Context<'_>, request: JoinRequest) {
        if !self.supports(request.protocols) {
            let error = ErrorCode::InconsistentGroupProtocol;
            return join_error(cx, request.token, request.caller.member, error);
        }
        let Caller { member: id, instance } = request.caller;
        if id == MemberId::UNKNOWN {
            return match instance {
                Some(instance) => self.join_static(cx, instance, request),
                None => self.give_member_id(cx, &request),
            };
        }
        if self.pending_join.remove(&id).is_some() {
            return self.add_then_rebalance(cx, request);
        }
        if let Err(error) = self.validate_member(request.caller) {
            return join_error(cx, request.token, id, error);
        }
        let member = &self.members[&id];
        let same =
            (member.protocols, &member.subscription) == (request.protocols, &request.subscription);
        let leads = self.leader == Some(id);
        match self.state {
            GroupState::PreparingRebalance => self.update_then_rebalance(cx, request),
            // It did not get the answer to its join: give it again.
            GroupState::CompletingRebalance if same => {
                self.reply_join(cx, request.token, id, false);
            }
            GroupState::Stable if same && !leads => {
                self.reply_join(cx, request.token, id, false);
            }
            // The leader of a stable group rejoins because something changed that members do not say.
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.update_then_rebalance(cx, request);
            }
            _ => {
                join_error(cx, request.token, id, ErrorCode::UnknownMemberId);
            }
        }
    }

    fn give_member_id(&mut self, cx: &mut Context<'_>, request: &JoinRequest) {
        let id = self.new_member_id(request.rank);
        let end = cx.now + request.session_timeout;
        self.pending_join.insert(id, end);
        self.session_ends(cx, end);
        join_error(cx, request.token, id, ErrorCode::MemberIdRequired);
    }

    pub(super) fn add_then_rebalance(&mut self, cx: &mut Context<'_>, request: JoinRequest) {
        if self.state == GroupState::PreparingRebalance && self.previous == GroupState::Empty {
            self.new_member_added = true;
        }
        let leads = self.leader.is_none();
        if leads {
            self.leader = Some(request.caller.member);
        }
        let end = cx.now + NEW_MEMBER_JOIN_TIMEOUT;
        let member = Member {
            instance: request.caller.instance,
            protocols: request.protocols,
            subscription: request.subscription,
            assignment: Vec::new(),
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            session_end: Some(end),
            is_new: true,
            awaiting_join: Some(Parked::new(request.token)),
            awaiting_sync: None,
        };
        self.members.insert(request.caller.member, member);
        self.session_ends(cx, end);
        let (group, member) = (self.id, request.caller.member);
        cx.fx.event(EventKind::MemberJoined { group, member, leader: leads });
        self.rebalance_or_complete(cx);
    }

    fn update_then_rebalance(&mut self, cx: &mut Context<'_>, request: JoinRequest) {
        self.update(request);
        self.rebalance_or_complete(cx);
    }

    /// What the member says now counts, and it waits for the group (`updateMember`).
    pub(super) fn update(&mut self, request: JoinRequest) {
        let id = request.caller.member;
        let member = self.members.get_mut(&id).expect("the caller found the member");
        member.protocols = request.protocols;
        member.subscription = request.subscription;
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        member.awaiting_join = Some(Parked::new(request.token));
    }

    pub(super) fn rebalance_or_complete(&mut self, cx: &mut Context<'_>) {
        if self.can_rebalance() {
            self.prepare_rebalance(cx);
        } else {
            self.complete_join_if_all_did(cx);
        }
    }

    /// Begins a rebalance: members hear of it in the answers to their heartbeats.
    pub(super) fn prepare_rebalance(&mut self, cx: &mut Context<'_>) {
        if self.state == GroupState::CompletingRebalance {
            self.clear_assignment();
            self.propagate_assignment(cx, ErrorCode::RebalanceInProgress);
        }
        self.pending_sync.clear();
        cx.fx.cancel_timer(TimerKind::GroupSync, self.id.0);
        let initial = self.state == GroupState::Empty;
        self.transition_to(GroupState::PreparingRebalance);
        self.say_state(cx);
        if initial {
            // More members are likely on their way.
            let delay = cx.config.group_initial_rebalance_delay;
            let whole = self.rebalance_timeout();
            let remaining = Duration(whole.0.saturating_sub(delay.0));
            self.set_join_timer(cx, JoinTimer::Initial { delay, remaining }, delay);
        } else if self.has_all_members_joined() {
            self.complete_join(cx);
        } else {
            let timeout = self.rebalance_timeout();
            self.set_join_timer(cx, JoinTimer::Rebalance, timeout);
        }
    }

    /// Ends the join phase when nobody else is expected, except that of a group that was empty: that one waits for
    /// its delay.
    pub(super) fn complete_join_if_all_did(&mut self, cx: &mut Context<'_>) {
        if self.state == GroupState::PreparingRebalance
            && self.previous != GroupState::Empty
            && self.has_all_members_joined()
        {
            self.complete_join(cx);
        }
    }

    /// The join phase's time is over.
    pub(super) fn join_timeout(&mut self, cx: &mut Context<'_>) {
        match self.join_timer.take() {
            Some(JoinTimer::Initial { delay, remaining })
                if self.new_member_added && remaining > Duration::ZERO =>
            {
                self.new_member_added = false;
                let next = cx.config.group_initial_rebalance_delay.min(remaining);
                let remaining = Duration(remaining.0.saturating_sub(delay.0));
                self.set_join_timer(cx, JoinTimer::Initial { delay: next, remaining }, next);
            }
            Some(_) => self.complete_join(cx),
            None => {}
        }
    }

    fn set_join_timer(&mut self, cx: &mut Context<'_>, timer: JoinTimer, after: Duration) {
        self.join_timer = Some(timer);
        cx.fx.set_timer(TimerKind::GroupJoin, self.id.0, cx.now + after);
    }

    /// Forms the next generation of those who joined.
    fn complete_join(&mut self, cx: &mut Context<'_>) {
        self.join_timer = None;
        cx.fx.cancel_timer(TimerKind::GroupJoin, self.id.0);
        let late = |m: &Member| m.awaiting_join.is_none() && m.instance.is_none();
        let late = self.members.iter().filter(|(_, m)| late(m));
        for member in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.remove(cx, member, LeaveReason::RebalanceTimeout);
        }
        if !self.elect_joined_leader(cx) {
            // Nobody came. Sessions decide who stays; until then the phase begins anew.
            let timeout = self.rebalance_timeout();
            return self.set_join_timer(cx, JoinTimer::Rebalance, timeout);
        }
        self.generation = self.generation + 1;
        self.pending_sync.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.transition_to(GroupState::Empty);
            self.say_state(cx);
            self.write_snapshot(cx, self.snapshot(), Written::Group);
            return;
        }
        self.protocol = self.select_protocol();
        self.transition_to(GroupState::CompletingRebalance);
        self.say_state(cx);
        self.pending_sync.extend(self.members.keys());
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            let member = self.members.get_mut(&id).expect("the key is the map's own");
            member.is_new = false;
            if let Some(parked) = member.awaiting_join.take().filter(|parked| !parked.gone) {
                self.reply_join(cx, parked.token, id, false);
            }
            self.heard_of(cx, id);
        }
        let sync_end = cx.now + self.rebalance_timeout();
        cx.fx.set_timer(TimerKind::GroupSync, self.id.0, sync_end);
    }

    /// Answers a join with the current generation; only the leader is told who is in it.
    pub(super) fn reply_join(
        &self,
        cx: &mut Context<'_>,
        token: Token,
        member: MemberId,
        skip_assignment: bool,
    ) {
        let mut rows = Vec::new();
        if self.leader == Some(member) {
            for (id, other) in &self.members {
                let instance = other.instance.map(Subscribed::Instance);
                let says = other.subscription.iter().copied().chain(instance);
                rows.extend(says.map(|says| MemberRow { member: *id, says }));
            }
        }
        let members = cx.fx.keep(&rows);
        let message = Message::JoinGroupResponse {
            error: ErrorCode::None,
            generation: self.generation,
            protocol: self.protocol,
            leader: self.leader.unwrap_or(MemberId::UNKNOWN),
            member,
            skip_assignment,
            members,
        };
        cx.fx.reply(token, message);
    }
}

/// Staying and leaving.
impl ClassicGroup {
    /// `Heartbeat`: what to answer, or (as `Err`) what to answer without waiting for writes.
    pub(super) fn heartbeat(
        &mut self,
        cx: &mut Context<'_>,
        caller: Caller,
        generation: Generation,
    ) -> Result<ErrorCode, ErrorCode> {
        self.validate(caller, generation)?;
        self.heard_of(cx, caller.member);
        match self.state {
            GroupState::PreparingRebalance => Ok(ErrorCode::RebalanceInProgress),
            _ => Ok(ErrorCode::None),
        }
    }

    /// `LeaveGroup`.
    pub(super) fn leave(
        &mut self,
        cx: &mut Context<'_>,
        member: MemberId,
        reason: LeaveReason,
    ) -> ErrorCode {
        let known = self.members.contains_key(&member);
        if known {
            self.remove(cx, member, reason);
        } else if self.pending_join.remove(&member).is_none() {
            return ErrorCode::UnknownMemberId;
        }
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(cx),
            GroupState::PreparingRebalance => self.complete_join_if_all_did(cx),
            _ => {}
        }
        ErrorCode::None
    }

    /// Sessions may have ended.
    pub(super) fn session_timeout(&mut self, cx: &mut Context<'_>) {
        self.session_timer = None;
        while let Some((end, member)) = self.first_session_end().filter(|(end, _)| *end <= cx.now) {
            debug_assert!(end <= cx.now);
            self.expire(cx, member);
        }
        if let Some((end, _)) = self.first_session_end() {
            self.session_ends(cx, end);
        }
    }

    fn first_session_end(&self) -> Option<(Time, MemberId)> {
        let members = self.members.iter().filter_map(|(id, m)| Some((m.session_end?, *id)));
        members.chain(self.pending_join.iter().map(|(id, end)| (*end, *id))).min()
    }

    fn expire(&mut self, cx: &mut Context<'_>, id: MemberId) {
        let Some(member) = self.members.get_mut(&id) else {
            self.pending_join.remove(&id);
            if self.state == GroupState::PreparingRebalance && self.has_all_members_joined() {
                self.complete_join(cx);
            }
            return;
        };
        member.session_end = None;
        if member.has_satisfied_heartbeat() {
            return;
        }
        if cx.fx.defect == Defect::ExpiredMemberKept {
            let (group, reason) = (self.id, LeaveReason::SessionTimeout);
            return cx.fx.event(EventKind::MemberLeft { group, member: id, reason });
        }
        self.remove(cx, id, LeaveReason::SessionTimeout);
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(cx),
            GroupState::PreparingRebalance if self.has_all_members_joined() => {
                self.complete_join(cx);
            }
            _ => {}
        }
    }

    /// Removes a member; a join of it that waits is told so, for it may be alive and try again.
    pub(super) fn remove(&mut self, cx: &mut Context<'_>, id: MemberId, reason: LeaveReason) {
        let old_leader = self.leader;
        let Some(member) = self.forget(id) else { return };
        if let Some(parked) = member.awaiting_join.filter(|parked| !parked.gone) {
            join_error(cx, parked.token, MemberId::UNKNOWN, ErrorCode::UnknownMemberId);
        }
        if let Some(parked) = member.awaiting_sync.filter(|parked| !parked.gone) {
            reply_sync(cx, parked.token, ErrorCode::UnknownMemberId, &[]);
        }
        cx.fx.event(EventKind::MemberLeft { group: self.id, member: id, reason });
        if let Some(member) = self.leader.filter(|leader| old_leader != Some(*leader)) {
            cx.fx.event(EventKind::MemberJoined { group: self.id, member, leader: true });
        }
    }

    /// A member was heard of: its session begins anew.
    pub(super) fn heard_of(&mut self, cx: &mut Context<'_>, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id) {
            let end = cx.now + member.session_timeout;
            member.session_end = Some(end);
            self.session_ends(cx, end);
        }
    }

    /// Sees to it that the session timer runs out at `end` at the latest. It is not moved back at each heartbeat:
    /// when it runs out early, the sessions are looked at and it is set again.
    fn session_ends(&mut self, cx: &mut Context<'_>, end: Time) {
        if self.session_timer.is_none_or(|timer| end < timer) {
            self.session_timer = Some(end);
            cx.fx.set_timer(TimerKind::GroupSession, self.id.0, end);
        }
    }

    /// Is the caller in the group, and is `generation` the group's?
    pub(super) fn validate(&self, caller: Caller, generation: Generation) -> Result<(), ErrorCode> {
        self.validate_member(caller)?;
        if generation == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    /// Is the caller in the group? A static one whose `group.instance.id` another member has now is fenced.
    fn validate_member(&self, caller: Caller) -> Result<(), ErrorCode> {
        if let Some(instance) = caller.instance {
            match self.static_member(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(member) if member != caller.member => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(&caller.member) {
            Ok(())
        } else {
            Err(ErrorCode::UnknownMemberId)
        }
    }

    /// This broker coordinates the group no longer: whoever waits has to look for the new one.
    pub(super) fn unload(&mut self, fx: &mut Effects) {
        let error = ErrorCode::NotCoordinator;
        for (id, member) in std::mem::take(&mut self.members) {
            if let Some(parked) = member.awaiting_join.filter(|parked| !parked.gone) {
                fx.reply(parked.token, join_failed(id, error));
            }
            if let Some(parked) = member.awaiting_sync.filter(|parked| !parked.gone) {
                let assignment = fx.keep::<PartitionId>(&[]);
                fx.reply(parked.token, Message::SyncGroupResponse { error, assignment });
            }
        }
        for timer in [TimerKind::GroupJoin, TimerKind::GroupSync, TimerKind::GroupSession] {
            fx.cancel_timer(timer, self.id.0);
        }
    }

    /// Says what was restored from the log, and begins a session for every member.
    pub(super) fn loaded(&mut self, cx: &mut Context<'_>) {
        self.say_state(cx);
        for member in self.members.keys().copied().collect::<Vec<_>>() {
            let leader = self.leader == Some(member);
            cx.fx.event(EventKind::MemberJoined { group: self.id, member, leader });
            self.heard_of(cx, member);
        }
        self.say_assignment(cx);
    }

    pub(super) fn say_state(&self, cx: &mut Context<'_>) {
        let (group, state, generation) = (self.id, self.state, self.generation);
        cx.fx.event(EventKind::GroupChanged { group, state, generation });
    }

    pub(super) fn say_assignment(&self, cx: &mut Context<'_>) {
        for (member, state) in &self.members {
            for partition in &state.assignment {
                let (group, member, partition) = (self.id, *member, *partition);
                cx.fx.event(EventKind::MemberAssigned { group, member, partition });
            }
        }
    }

    pub(super) fn write_snapshot(
        &self,
        cx: &mut Context<'_>,
        snapshot: GroupSnapshot,
        what: Written,
    ) {
        *cx.write = Some(GroupWrite { generation: self.generation, snapshot, what });
    }
}

pub(super) fn join_failed(member: MemberId, error: ErrorCode) -> Message {
    let members = crate::kafka::effects::List::EMPTY;
    let (generation, leader) = (Generation(-1), MemberId::UNKNOWN);
    let (protocol, skip_assignment) = (None, false);
    Message::JoinGroupResponse {
        error,
        generation,
        protocol,
        leader,
        member,
        skip_assignment,
        members,
    }
}

pub(super) fn join_error(cx: &mut Context<'_>, token: Token, member: MemberId, error: ErrorCode) {
    cx.fx.reply(token, join_failed(member, error));
}
