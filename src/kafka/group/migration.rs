//! From one group protocol to the other while the group has members (`group.consumer.migration.policy`), and the
//! requests of classic members to a group of the consumer protocol.
//!
//! A consumer with `group.protocol=consumer` that joins a classic group makes it a group of the consumer protocol: the
//! members that were there stay, with their partitions, and go on in the classic protocol. When the last member of the
//! consumer protocol leaves, the group becomes a classic one again and rebalances.
//!
//! Kafka: `GroupMetadataManager.convertToConsumerGroup`, `convertToClassicGroup`, `validateOnlineUpgrade`,
//! `validateOnlineDowngrade…`, `classicGroup…ToConsumerGroup`.
//! Simplified: an upgrade whose record cannot be stored tells everything of the group anew; the answers that the
//! conversion gave to joins that waited stand.

use crate::base::error::ErrorCode;
use crate::base::group_records::ConsumerGroupRecord;
use crate::base::ids::{Generation, GroupId, MemberId, NodeId, PartitionId};
use crate::base::time::{Duration, Time};
use crate::event::{EventKind, GroupState, LeaveReason};
use crate::kafka::api::Message;
use crate::kafka::effects::{Effects, TimerKind, Token};
use crate::kafka::group::classic::{Caller, ClassicGroup, Parked};
use crate::kafka::group::consumer::ConsumerGroup;
use crate::kafka::group::consumer::classic_members::ClassicJoin;
use crate::kafka::group::consumer::heartbeat::View;
use crate::kafka::group::coordinator::{GroupCoordinator, Output, refusal};
use crate::kafka::group::kind::Group;
use crate::kafka::group::members::Answer;
use crate::kafka::group::rebalance::join_failed;
use crate::kafka::group::writes::After;

impl ClassicGroup {
    /// The group changes its protocol: whoever waits for it is to join again (`completeAllJoinFutures`,
    /// `completeAllSyncFutures`).
    fn interrupt(&mut self, fx: &mut Effects) {
        let error = ErrorCode::RebalanceInProgress;
        for (id, member) in &mut self.members {
            if let Some(parked) = member.awaiting_join.take().filter(|parked| !parked.gone) {
                fx.reply(parked.token, join_failed(*id, error));
            }
            if let Some(parked) = member.awaiting_sync.take().filter(|parked| !parked.gone) {
                let assignment = fx.keep::<PartitionId>(&[]);
                fx.reply(parked.token, Message::SyncGroupResponse { error, assignment });
            }
        }
        for timer in [TimerKind::GroupJoin, TimerKind::GroupSync, TimerKind::GroupSession] {
            fx.cancel_timer(timer, self.id.0);
        }
    }
}

/// Changing the protocol.
impl GroupCoordinator {
    /// `validateOnlineUpgrade`.
    pub(super) fn may_upgrade(&self, classic: &ClassicGroup) -> bool {
        let config = &self.config.brokers.consumer_group;
        config.migration_policy.upgrades() && classic.members.len() <= config.max_size as usize
    }

    /// The classic group is now the consumer group `upgraded`: tells its members and everybody who watches.
    pub(super) fn interrupt_classic(
        &mut self,
        id: GroupId,
        upgraded: &ConsumerGroup,
        fx: &mut Effects,
    ) {
        if let Some(classic) = self.groups.get_mut(&id).and_then(Group::classic_mut) {
            classic.interrupt(fx);
        }
        upgraded.say_upgraded(fx);
    }

    /// `validateOnlineDowngradeWithFencedMember`: is nobody left who speaks the consumer protocol?
    pub(super) fn downgrades(&self, group: &ConsumerGroup, leaving: &[MemberId]) -> bool {
        let policy = self.config.brokers.consumer_group.migration_policy;
        policy.downgrades() && group.is_classic_without(leaving)
    }

    /// `convertToClassicGroup`: `group`, without `leaving`, is a classic group from now on. It rebalances when somebody
    /// left.
    pub(super) fn downgrade(
        &mut self,
        out: &mut Output<'_>,
        group: &ConsumerGroup,
        (leaving, reason): (&[MemberId], LeaveReason),
        parked: Option<(Parked, Answer)>,
    ) {
        let id = group.id;
        let classic = group.to_classic(leaving, out.now);
        let (generation, snapshot) = (classic.generation(), classic.snapshot());
        out.fx.cancel_timer(TimerKind::GroupSession, id.0);
        for member in leaving.iter().copied() {
            out.fx.event(EventKind::MemberLeft { group: id, member, reason });
        }
        self.groups.insert(id, Group::Classic(classic));
        self.with_classic(out, id, ClassicGroup::loaded);
        let undo = Some(Box::new(Group::Consumer(Box::new(group.clone()))));
        let after = After::Members { parked, undo };
        self.write_downgrade(out, id, (group.tombstones(), generation, snapshot), after);
        if !leaving.is_empty() {
            self.with_classic(out, id, ClassicGroup::prepare_rebalance);
        }
    }

    /// The group as `before` says again, for what followed could not be stored. Everything is told anew.
    pub(super) fn restore(&mut self, now: Time, id: GroupId, before: Group, fx: &mut Effects) {
        match self.groups.remove(&id) {
            Some(Group::Classic(mut classic)) => classic.interrupt(fx),
            _ => fx.cancel_timer(TimerKind::GroupSession, id.0),
        }
        let before = match before {
            Group::Consumer(group) => {
                Group::Consumer(Box::new(ConsumerGroup { timer: None, ..*group }))
            }
            Group::Classic(mut group) => {
                group.session_timer = None;
                Group::Classic(group)
            }
            share @ Group::Share(_) => share,
        };
        self.groups.insert(id, before);
        let mut appends = Vec::new();
        self.tell_loaded(&mut Output { now, fx, appends: &mut appends }, id);
    }
}

/// Requests of the classic protocol to a group of the consumer protocol.
impl GroupCoordinator {
    /// Takes `message` when its group is one of the consumer protocol with members. False when it is not.
    pub(super) fn classic_to_consumer(
        &mut self,
        out: &mut Output<'_>,
        token: Token,
        message: Message,
    ) -> bool {
        let (Message::JoinGroup { group: id, .. }
        | Message::SyncGroup { group: id, .. }
        | Message::Heartbeat { group: id, .. }
        | Message::LeaveGroup { group: id, .. }) = message
        else {
            return false;
        };
        let Some(Group::Consumer(group)) = self.groups.get(&id) else { return false };
        let group = group.as_ref().clone();
        let joins = matches!(message, Message::JoinGroup { .. });
        if joins && group.state() == GroupState::Empty {
            // It becomes a classic group, which the join then finds.
            let after = After::Nothing;
            let records = group.tombstones();
            out.fx.cancel_timer(TimerKind::GroupSession, id.0);
            self.groups.remove(&id);
            self.write_consumer_group(out, id, (records, false), after);
            return false;
        }
        let outcome = match message {
            Message::JoinGroup { .. } => self.join_consumer(out, token, group, message),
            Message::SyncGroup { member, instance, generation, .. } => {
                self.sync_consumer(out, token, group, (Caller { member, instance }, generation))
            }
            Message::Heartbeat { member, instance, generation, .. } => {
                self.beat_consumer(out, token, group, (Caller { member, instance }, generation))
            }
            Message::LeaveGroup { member, poll_timeout, .. } => {
                let reason =
                    if poll_timeout { LeaveReason::PollTimeout } else { LeaveReason::Left };
                self.leave_consumer(out, token, group, (member, reason))
            }
            _ => unreachable!("only these were let through"),
        };
        if let Err(error) = outcome {
            out.fx.reply(token, refusal(message, error));
        }
        true
    }

    fn join_consumer(
        &mut self,
        out: &mut Output<'_>,
        token: Token,
        mut group: ConsumerGroup,
        message: Message,
    ) -> Result<(), ErrorCode> {
        let Message::JoinGroup {
            member,
            instance,
            session_timeout_ms,
            rebalance_timeout_ms,
            protocols,
            subscription,
            ..
        } = message
        else {
            unreachable!("called for JoinGroup only")
        };
        let config = &self.config.brokers.consumer_group;
        let view = View { now: out.now, config, names: &out.fx.names };
        let is_new = member == MemberId::UNKNOWN;
        group.refuse_classic(&view, (Caller { member, instance }, protocols))?;
        let rank = match token.from {
            NodeId::Consumer(n) => out.fx.names.consumers[usize::from(n)].rank,
            _ => 0,
        };
        let member = if is_new { group.new_member_id(rank) } else { member };
        if is_new && instance.is_none() {
            self.take_group(out, group);
            out.fx.reply(token, join_failed(member, ErrorCode::MemberIdRequired));
            return Ok(());
        }
        let join = ClassicJoin {
            caller: Caller { member, instance },
            is_new,
            session_timeout: Duration::from_millis(session_timeout_ms.into()),
            rebalance_timeout: Duration::from_millis(rebalance_timeout_ms.into()),
            protocols,
            subscription: out.fx.pools.get(subscription).to_vec(),
        };
        let replaced = instance.filter(|_| is_new).and_then(|i| group.static_member(i));
        let records = group.join_classic(&view, &join)?;
        let before = group.clone();
        group.replay_all(&records);
        group.heard_of(out.now, member, config);
        group.await_sync(out.now, member);
        group.say_changes(&before, LeaveReason::Replaced, out.fx);
        let (generation, protocol) = group.joined_classic(member);
        let answer = Answer::Joined { member, generation, protocol };
        let came_back = replaced.is_some_and(|old| !before.members[&old].is_classic());
        if came_back && self.downgrades(&group, &[]) {
            // The last one of the consumer protocol is replaced by one of the classic protocol.
            let nobody: &[MemberId] = &[];
            let parked = Some((Parked::new(token), answer));
            self.downgrade(out, &group, (nobody, LeaveReason::Replaced), parked);
            return Ok(());
        }
        self.take_group(out, group);
        self.answer_member(out, token, (records, before, answer));
        Ok(())
    }

    /// Answers a member when the records of its change are replicated, or those before it when it changed nothing.
    fn answer_member(
        &mut self,
        out: &mut Output<'_>,
        token: Token,
        (records, before, answer): (Vec<ConsumerGroupRecord>, ConsumerGroup, Answer),
    ) {
        let id = before.id;
        if records.is_empty() {
            return self.answer_member_in_order(out, id, token, answer);
        }
        let parked = Some((Parked::new(token), answer));
        let undo = Some(Box::new(Group::Consumer(Box::new(before))));
        self.write_consumer_group(out, id, (records, false), After::Members { parked, undo });
    }

    fn sync_consumer(
        &mut self,
        out: &mut Output<'_>,
        token: Token,
        mut group: ConsumerGroup,
        (caller, generation): (Caller, Generation),
    ) -> Result<(), ErrorCode> {
        let id = group.id;
        let assignment = group.sync_classic(out.now, caller, generation);
        self.take_group_of(out, group, assignment.is_ok().then_some(caller.member));
        self.answer_member_in_order(out, id, token, Answer::Synced(assignment?));
        Ok(())
    }

    fn beat_consumer(
        &mut self,
        out: &mut Output<'_>,
        token: Token,
        mut group: ConsumerGroup,
        (caller, generation): (Caller, Generation),
    ) -> Result<(), ErrorCode> {
        let id = group.id;
        let error = group.heartbeat_classic(out.now, caller, generation)?;
        self.take_group_of(out, group, Some(caller.member));
        self.answer_in_order(out, id, token, (error, false));
        Ok(())
    }

    /// The group is as said; the session of the member that was `heard` begins anew.
    fn take_group_of(
        &mut self,
        out: &mut Output<'_>,
        mut group: ConsumerGroup,
        heard: Option<MemberId>,
    ) {
        if let Some(member) = heard {
            group.heard_of(out.now, member, &self.config.brokers.consumer_group);
        }
        self.take_group(out, group);
    }

    fn leave_consumer(
        &mut self,
        out: &mut Output<'_>,
        token: Token,
        mut group: ConsumerGroup,
        (member, reason): (MemberId, LeaveReason),
    ) -> Result<(), ErrorCode> {
        if !group.leaves_classic(member) {
            return Err(ErrorCode::UnknownMemberId);
        }
        let config = &self.config.brokers.consumer_group;
        let view = View { now: out.now, config, names: &out.fx.names };
        let before = group.clone();
        let records = group.fence(&view, &[member]);
        group.replay_all(&records);
        group.say_changes(&before, reason, out.fx);
        self.take_group(out, group);
        self.answer_member(out, token, (records, before, Answer::Left));
        Ok(())
    }
}
