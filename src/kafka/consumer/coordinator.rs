//! The consumer as a member of its group: joining, synchronising, leaving, and what a rebalance does to the assignment.
//!
//! Kafka: `AbstractCoordinator`, `ConsumerCoordinator`; KIP-62, KIP-394. Eager protocol: before it joins, a member
//! commits (where auto-commit is on) and gives everything up. Joining goes on only inside `poll()`; the answer to a
//! JoinGroup that arrives between two polls waits in its socket, for the heartbeat thread sleeps meanwhile.
//! Simplified: see the consumer's module.

use crate::base::batch::Subscribed;
use crate::base::config::AssignorName;
use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{Generation, MemberId, PartitionId, TopicId};
use crate::base::names::Names;
use crate::base::time::{Duration, Time};
use crate::event::{CommitKind, EventKind, RebalanceCallback};
use crate::kafka::api::{MemberRow, Message};
use crate::kafka::consumer::positions::SubscriptionType;
use crate::kafka::consumer::{Consumer, GroupRequest, Identity, Request, is_retriable, wire};
use crate::kafka::effects::{Effects, List};
use crate::kafka::group::assignor::leader;

/// `AbstractCoordinator.JOIN_GROUP_TIMEOUT_LAPSE`.
const JOIN_GROUP_TIMEOUT_LAPSE: Duration = Duration::from_secs(5);

/// `AbstractCoordinator.MemberState`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) enum MemberState {
    #[default]
    Unjoined,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

/// How far the current attempt to join is (`joinFuture`).
#[derive(Clone, Hash, Debug, Default)]
enum Joining {
    /// There is none.
    #[default]
    No,
    /// JoinGroup is on its way.
    Sent,
    /// It was answered; the leader's rows (of a follower none) are for the assignor.
    Joined { identity: Identity, leads: bool, rows: Vec<MemberRow> },
    /// SyncGroup is on its way.
    Syncing,
    /// The own assignment.
    Assigned(Vec<PartitionId>),
    /// It failed.
    Failed(Exception),
}

/// The membership of one consumer.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) state: MemberState,
    pub(super) identity: Identity,
    pub(super) rejoin_needed: bool,
    needs_prepare: bool,
    joining: Joining,
    joined_topics: Option<Vec<TopicId>>,
    /// The assignor that the group agreed on.
    protocol: Option<AssignorName>,
    /// `StickyAssignor.memberAssignment` and `.generation`: what it gave last, and when. It outlives the membership.
    sticky: Option<(Generation, Vec<PartitionId>)>,
    /// The commit before a rebalance: until when it is waited for, and which one it is.
    prepare_until: Option<Time>,
    prepare_commit: Option<u32>,
    /// No further attempt of anything that failed before this moment.
    retry_at: Time,
    /// LeaveGroup was sent and not answered.
    pub(super) leaving: bool,
    /// LeaveGroup of this member waits for a connection; true after `max.poll.interval.ms`.
    leave: Option<(MemberId, bool)>,
}

impl Default for Membership {
    fn default() -> Self {
        Self {
            state: MemberState::Unjoined,
            identity: Identity::NONE,
            rejoin_needed: true,
            needs_prepare: true,
            joining: Joining::No,
            joined_topics: None,
            protocol: None,
            sticky: None,
            prepare_until: None,
            prepare_commit: None,
            retry_at: Time::ZERO,
            leaving: false,
            leave: None,
        }
    }
}

impl Membership {
    /// `MemberState.hasNotJoinedGroup`.
    pub(super) fn has_not_joined(&self) -> bool {
        matches!(self.state, MemberState::Unjoined | MemberState::PreparingRebalance)
    }

    /// `rebalanceInProgress`.
    pub(super) fn is_rebalancing(&self) -> bool {
        use MemberState::{CompletingRebalance, PreparingRebalance};
        matches!(self.state, PreparingRebalance | CompletingRebalance)
    }

    /// The identity, while the group is stable.
    pub(super) fn if_stable(&self) -> Option<Identity> {
        (self.state == MemberState::Stable).then_some(self.identity)
    }

    /// The commit that the next rebalance waits for.
    pub(super) fn awaited_commit(&self) -> Option<u32> {
        self.prepare_commit
    }

    /// True while LeaveGroup is on its way or waits to be.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving || self.leave.is_some()
    }

    /// `resetStateAndRejoin`.
    pub(super) fn reset_and_rejoin(&mut self, forget_member: bool) {
        self.state = MemberState::Unjoined;
        self.identity.generation = Generation(-1);
        if forget_member {
            self.identity = Identity::NONE;
        }
        self.rejoin_needed = true;
        self.needs_prepare = true;
    }

    /// What was asked of the coordinator will not be answered.
    pub(super) fn coordinator_lost(&mut self) {
        if matches!(self.joining, Joining::Sent | Joining::Syncing) {
            self.joining = Joining::Failed(Exception::Network);
        }
        self.leaving = false;
        self.leave = None;
    }

    fn is_reset(&self) -> bool {
        self.identity.generation == Generation(-1)
    }

    fn is_joining(&self) -> bool {
        !matches!(self.joining, Joining::No)
    }

    /// Adds this state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.state, self.identity, self.rejoin_needed, self.needs_prepare));
        into.add((&self.joining, &self.joined_topics, self.leaving, self.leave));
        into.add((self.protocol, &self.sticky));
        into.add((self.prepare_until.is_some(), self.prepare_commit.is_some()));
        into.add_time(now, self.retry_at.max(now));
    }
}

/// What `ConsumerCoordinator.poll` came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// All is well.
    Ready,
    /// Not now, but the caller goes on without.
    NotReady,
    /// The caller blocks, and looks again at this moment at the latest.
    Blocked(Time),
}

/// Rebalances.
impl Consumer {
    /// `ConsumerCoordinator.poll`.
    ///
    /// # Errors
    /// What `poll()` throws.
    pub(super) fn coordinator_poll(
        &mut self,
        now: Time,
        fx: &mut Effects,
    ) -> Result<Progress, Exception> {
        self.deliver_commit_callbacks(now, fx);
        if self.subscriptions.kind == SubscriptionType::Topics {
            self.heartbeat.polled(now, self.config.max_poll_interval);
            if !self.ensure_coordinator(now, fx)? {
                return Ok(Progress::Blocked(self.coordinator_wake(now)));
            }
            if self.needs_rejoin() && !self.ensure_active_group(now, fx)? {
                return Ok(Progress::NotReady);
            }
        }
        self.maybe_auto_commit(now, fx);
        Ok(Progress::Ready)
    }

    /// When a poll that waits for its group looks again although nothing arrives.
    pub(super) fn join_wake(&self, now: Time) -> Time {
        let waits = self.needs_rejoin() && self.membership.retry_at > now;
        if waits { self.membership.retry_at } else { Time::NEVER }
    }

    /// `rejoinNeededOrPending`.
    pub(super) fn needs_rejoin(&self) -> bool {
        let membership = &self.membership;
        let joined = membership.joined_topics.as_ref();
        self.subscriptions.kind == SubscriptionType::Topics
            && (joined.is_some_and(|topics| *topics != self.subscriptions.topics)
                || membership.rejoin_needed
                || membership.is_joining())
    }

    /// `joinGroupIfNeeded` without waiting: every turn goes as far as it can. True when the member is in the group.
    fn ensure_active_group(&mut self, now: Time, fx: &mut Effects) -> Result<bool, Exception> {
        self.heartbeat.running = true;
        while self.needs_rejoin() {
            if !self.ensure_coordinator(now, fx)? {
                return Ok(false);
            }
            if self.membership.needs_prepare {
                if !self.prepare_join(now, fx) {
                    return Ok(false);
                }
                self.membership.needs_prepare = false;
            }
            match std::mem::take(&mut self.membership.joining) {
                Joining::No => {
                    if self.membership.retry_at <= now {
                        self.send_join(now, fx);
                    }
                    return Ok(false);
                }
                Joining::Joined { identity, leads, rows } => {
                    self.complete_join(now, identity, (leads, rows), fx);
                    if !matches!(self.membership.joining, Joining::Failed(_)) {
                        return Ok(false);
                    }
                }
                Joining::Assigned(partitions) => self.join_complete(now, &partitions, fx),
                Joining::Failed(exception) => {
                    if !self.join_failed(now, exception)? {
                        return Ok(false);
                    }
                }
                waiting @ (Joining::Sent | Joining::Syncing) => {
                    self.membership.joining = waiting;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// True when the next attempt follows at once.
    fn join_failed(&mut self, now: Time, exception: Exception) -> Result<bool, Exception> {
        use ErrorCode::{
            IllegalGeneration, MemberIdRequired, RebalanceInProgress, UnknownMemberId,
        };
        self.membership.rejoin_needed = true;
        match exception {
            Exception::Wire(
                IllegalGeneration | MemberIdRequired | RebalanceInProgress | UnknownMemberId,
            ) => Ok(true),
            exception if is_retriable(exception) => {
                self.membership.retry_at = now + self.config.retry_backoff;
                Ok(false)
            }
            exception => Err(exception),
        }
    }

    /// `onJoinPrepare`: the commit before the rebalance, then everything is given up. False while the commit is on
    /// its way.
    fn prepare_join(&mut self, now: Time, fx: &mut Effects) -> bool {
        let limit = now + self.config.max_poll_interval;
        let until = *self.membership.prepare_until.get_or_insert(limit);
        if self.membership.prepare_commit.is_none() && self.auto_commits() {
            if self.membership.retry_at > now {
                return false;
            }
            self.subscriptions.mark_pending_revocation();
            self.membership.prepare_commit = self.auto_commit(now, CommitKind::AutoRebalance, fx);
        }
        if let Some(id) = self.membership.prepare_commit
            && until > now
        {
            let Some(outcome) = self.commits.outcome(id) else { return false };
            self.membership.prepare_commit = None;
            if outcome.err().is_some_and(is_retriable) {
                self.membership.retry_at = now + self.config.retry_backoff;
                return false;
            }
        }
        self.membership.prepare_until = None;
        self.membership.prepare_commit = None;
        let lost =
            self.membership.is_reset() || self.membership.identity.member == MemberId::UNKNOWN;
        let owned = sorted(self.subscriptions.ids(), &fx.names);
        if !lost {
            callback(RebalanceCallback::Revoked, &owned, fx);
        } else if !owned.is_empty() {
            callback(RebalanceCallback::Lost, &owned, fx);
        }
        self.subscriptions.assign(&[]);
        true
    }

    fn send_join(&mut self, now: Time, fx: &mut Effects) {
        let (Some(group), Some(broker)) = (self.group, self.coordinator.known) else { return };
        self.membership.state = MemberState::PreparingRebalance;
        if !self.network.ready(now, broker, fx) {
            return;
        }
        let sent = self.membership.identity;
        let message = Message::JoinGroup {
            group,
            member: sent.member,
            session_timeout_ms: self.config.session_timeout.as_millis() as u32,
            rebalance_timeout_ms: self.config.max_poll_interval.as_millis() as u32,
            protocols: self.config.assignors,
            subscription: fx.keep(&self.subscription(&fx.names)),
        };
        self.membership.joined_topics = Some(self.subscriptions.topics.clone());
        let longest = self.config.max_poll_interval + JOIN_GROUP_TIMEOUT_LAPSE;
        let timeout = self.config.request_timeout.max(longest);
        self.send_to_group(now, (message, GroupRequest::Join(sent)), timeout, fx);
        self.membership.joining = Joining::Sent;
    }

    /// `ConsumerCoordinator.metadata`: what the member says of itself. Under the eager protocol it owns nothing by now;
    /// only the sticky assignor remembers.
    fn subscription(&self, names: &Names) -> Vec<Subscribed> {
        let mut topics = self.subscriptions.topics.clone();
        topics.sort_by_key(|topic| &names.topics[topic.index()].name);
        let mut says = vec![Subscribed::Generation(self.membership.identity.generation)];
        says.extend(topics.into_iter().map(Subscribed::Topic));
        let sticky = self.membership.sticky.as_ref();
        if let Some((since, had)) =
            sticky.filter(|_| self.config.assignors.contains(AssignorName::Sticky))
        {
            says.push(Subscribed::HadSince(*since));
            says.extend(had.iter().copied().map(Subscribed::Had));
        }
        says
    }

    /// Sends a request to the coordinator, whose connection is ready.
    pub(super) fn send_to_group(
        &mut self,
        now: Time,
        (message, kind): (Message, GroupRequest),
        timeout: Duration,
        fx: &mut Effects,
    ) {
        let broker = self.coordinator.known.expect("a request to the coordinator needs one");
        let request = Request::Group { term: self.coordinator.term, kind };
        self.network.send(now, broker, (message, request), timeout, fx);
    }

    /// The answer to JoinGroup. It is looked at only now if a call is under way, else by the next one.
    pub(super) fn joined(&mut self, now: Time, sent: Identity, message: Message, fx: &mut Effects) {
        let Message::JoinGroupResponse { error, generation, protocol, leader, member, members } =
            message
        else {
            unreachable!("JoinGroup is answered by its own response");
        };
        let unchanged = sent == self.membership.identity;
        self.membership.joining = match error {
            ErrorCode::None => {
                self.membership.protocol = protocol;
                let rows = fx.pools.get(members).to_vec();
                let identity = Identity { generation, member };
                Joining::Joined { identity, leads: leader == member, rows }
            }
            ErrorCode::MemberIdRequired => {
                self.membership.identity = Identity { generation: Generation(-1), member };
                Joining::Failed(wire(error))
            }
            ErrorCode::UnknownMemberId => {
                if unchanged {
                    self.membership.reset_and_rejoin(true);
                }
                Joining::Failed(wire(error))
            }
            _ => Joining::Failed(wire(error)),
        };
        self.note_coordinator_error(now, error, fx);
    }

    /// `onLeaderElected` or `onJoinFollower`.
    fn complete_join(
        &mut self,
        now: Time,
        identity: Identity,
        (leads, rows): (bool, Vec<MemberRow>),
        fx: &mut Effects,
    ) {
        let (Some(group), Some(broker)) = (self.group, self.coordinator.known) else { return };
        if self.membership.state != MemberState::PreparingRebalance {
            // It has left the group meanwhile (`UnjoinedGroupException`, retriable).
            self.membership.joining = Joining::Failed(Exception::Network);
            return;
        }
        if !self.network.ready(now, broker, fx) {
            self.membership.joining = Joining::Joined { identity, leads, rows };
            return;
        }
        self.membership.state = MemberState::CompletingRebalance;
        self.membership.identity = identity;
        self.heartbeat.enable(now, &self.config);
        let assignment = match self.membership.protocol.filter(|_| leads) {
            Some(protocol) => {
                let rows = leader::assign(protocol, &rows, &fx.names, fx.defect);
                fx.keep(&rows)
            }
            None => List::EMPTY,
        };
        let Identity { generation, member } = identity;
        let message = Message::SyncGroup { group, member, generation, assignment };
        let timeout = self.config.request_timeout;
        self.send_to_group(now, (message, GroupRequest::Sync(identity)), timeout, fx);
        self.membership.joining = Joining::Syncing;
    }

    /// The answer to SyncGroup; the heartbeat thread may be the one that takes it.
    pub(super) fn synced(&mut self, now: Time, sent: Identity, message: Message, fx: &mut Effects) {
        let Message::SyncGroupResponse { error, assignment } = message else {
            unreachable!("SyncGroup is answered by its own response");
        };
        let state = self.membership.state;
        self.membership.joining = match error {
            ErrorCode::None
                if !self.membership.is_reset() && state == MemberState::CompletingRebalance =>
            {
                self.membership.state = MemberState::Stable;
                self.membership.rejoin_needed = false;
                Joining::Assigned(fx.pools.get(assignment).to_vec())
            }
            ErrorCode::None => Joining::Failed(wire(ErrorCode::IllegalGeneration)),
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                if sent == self.membership.identity {
                    self.membership.reset_and_rejoin(error == ErrorCode::UnknownMemberId);
                }
                Joining::Failed(wire(error))
            }
            _ => Joining::Failed(wire(error)),
        };
        self.note_coordinator_error(now, error, fx);
    }

    /// `onJoinComplete`: the assignment counts from here.
    fn join_complete(&mut self, now: Time, partitions: &[PartitionId], fx: &mut Effects) {
        if self.membership.is_reset() || self.membership.state != MemberState::Stable {
            self.membership.reset_and_rejoin(true);
            return;
        }
        self.membership.needs_prepare = true;
        let topics = &self.subscriptions.topics;
        let topic = |p: &PartitionId| fx.names.partitions[p.index()].topic;
        if partitions.iter().any(|p| !topics.contains(&topic(p))) {
            self.membership.rejoin_needed = true;
            return;
        }
        if self.membership.protocol == Some(AssignorName::Sticky) {
            let generation = self.membership.identity.generation;
            self.membership.sticky = Some((generation, partitions.to_vec()));
        }
        self.commits.restart_timer(now, self.config.auto_commit_interval);
        let partitions = sorted(partitions, &fx.names);
        self.subscriptions.assign(&partitions);
        callback(RebalanceCallback::Assigned, &partitions, fx);
    }

    /// `onLeavePrepare`: the callback before the member leaves of its own will.
    pub(super) fn leave_prepare(&mut self, fx: &mut Effects) {
        let owned = sorted(self.subscriptions.ids(), &fx.names);
        if self.subscriptions.kind != SubscriptionType::Topics || owned.is_empty() {
            return;
        }
        let gone = self.membership.is_reset() || self.membership.is_rebalancing();
        let kind = if gone { RebalanceCallback::Lost } else { RebalanceCallback::Revoked };
        callback(kind, &owned, fx);
        self.subscriptions.assign(&[]);
    }

    /// `maybeLeaveGroup`: says so once and does not wait for the answer.
    pub(super) fn leave_group(&mut self, now: Time, poll_timeout: bool, fx: &mut Effects) {
        let member = self.membership.identity.member;
        if self.usable_coordinator(now, fx).is_some()
            && self.membership.state != MemberState::Unjoined
            && member != MemberId::UNKNOWN
        {
            self.membership.leave = Some((member, poll_timeout));
        }
        self.membership.reset_and_rejoin(true);
        self.flush_leave(now, fx);
    }

    pub(super) fn flush_leave(&mut self, now: Time, fx: &mut Effects) {
        let (Some(group), Some((member, poll_timeout))) = (self.group, self.membership.leave)
        else {
            return;
        };
        let Some(broker) = self.usable_coordinator(now, fx) else { return };
        if self.network.ready(now, broker, fx) {
            let message = Message::LeaveGroup { group, member, poll_timeout };
            let timeout = self.config.request_timeout;
            self.send_to_group(now, (message, GroupRequest::Leave), timeout, fx);
            self.membership.leaving = true;
            self.membership.leave = None;
        }
    }
}

/// The partitions in the order of callbacks: by topic name, then by number.
fn sorted(partitions: &[PartitionId], names: &Names) -> Vec<PartitionId> {
    let mut sorted = partitions.to_vec();
    sorted.sort_by(|a, b| {
        let key = |p: &PartitionId| (&names.topic_of(*p).name, names.partitions[p.index()].index);
        key(a).cmp(&key(b))
    });
    sorted
}

fn callback(callback: RebalanceCallback, partitions: &[PartitionId], fx: &mut Effects) {
    fx.event(EventKind::Callback { callback, count: partitions.len() as u16 });
    for partition in partitions {
        fx.event(EventKind::CallbackPartition { callback, partition: *partition });
    }
}
