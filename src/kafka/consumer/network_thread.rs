//! The member of a group of the consumer protocol (KIP-848), and the thread of its consumer that keeps it one.
//!
//! Kafka: `AsyncKafkaConsumer` and the network thread behind it: `AbstractMembershipManager`,
//! `ConsumerMembershipManager`. What the application calls and what the network thread does meet in two queues.
//! Heartbeats, the coordinator's answers and the commit before a rebalance are the thread's; callbacks run in the
//! application's thread, inside a call, when the thread has asked for them. So a member that does not poll stays in
//! its group and changes nothing.
//! * [`heartbeats`]: what is said to the coordinator and what it answers;
//! * [`reconcile`]: from the assignment that the coordinator wants to the one that the application has;
//! * [`calls`]: `poll()`, `unsubscribe()` and `close()`.
//!
//! Simplified: the thread takes no time, so what a call asks of it has happened when the call goes on, but for the
//! one race that Kafka 4.4 is known for ([`calls`]).

mod calls;
pub(super) mod heartbeats;
mod reconcile;

use std::collections::VecDeque;

use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{Generation, MemberId, PartitionId};
use crate::base::time::Time;
use crate::event::RebalanceCallback;
use crate::kafka::consumer::commits::SyncCommit;
use crate::kafka::consumer::coordinator::sorted;
use crate::kafka::consumer::positions::SubscriptionType;
use crate::kafka::consumer::{Consumer, Identity, wire};
use crate::kafka::effects::Effects;

pub(super) use calls::{AsyncClose, AsyncPoll};
use heartbeats::HeartbeatState;

/// `MemberState` of the consumer protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) enum MemberState {
    /// Not in the group and not on the way there.
    #[default]
    Unsubscribed,
    /// Its next heartbeat joins.
    Joining,
    /// The coordinator wants another assignment than the application has.
    Reconciling,
    /// The application has the assignment; the next heartbeat says so.
    Acknowledging,
    /// All is well.
    Stable,
    /// The coordinator does not know it any more; it releases its assignment and joins again.
    Fenced,
    /// Callbacks run before it leaves.
    PrepareLeaving,
    /// The next heartbeat says that it leaves.
    Leaving,
    /// It cannot be in the group.
    Fatal,
    /// It left because `poll()` was not called for `max.poll.interval.ms`.
    Stale,
}

/// An assignment and its number: a different one has a higher number, so that one that comes back is another.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct LocalAssignment {
    number: u32,
    /// Ascending.
    partitions: Vec<PartitionId>,
}

/// What the network thread does when a callback has returned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Then {
    /// A reconciliation goes on.
    Assign,
    /// A fenced member joins again.
    Rejoin,
    /// A member that did not poll has released its assignment.
    Release,
    /// The member leaves.
    Leave,
    /// The member is out for good.
    Nothing,
}

/// What the network thread asks of the application's thread (`BackgroundEvent`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum BackgroundEvent {
    /// `onPartitionsRevoked` or `onPartitionsLost`.
    Removed(RebalanceCallback, Vec<PartitionId>, Then),
    /// The assignment is this from now on; `onPartitionsAssigned` of what is new.
    Assigned { all: Vec<PartitionId>, added: Vec<PartitionId> },
    /// `poll()` throws.
    Error(Exception),
}

/// How far a reconciliation is.
#[derive(Clone, Debug, Default)]
enum Reconciliation {
    /// There is none.
    #[default]
    No,
    /// The commit before it.
    Committing(SyncCommit),
    /// Callbacks.
    CallingBack,
}

/// The membership of a consumer that speaks the consumer protocol.
#[derive(Clone, Debug, Default)]
pub(super) struct AsyncMember {
    /// Which consumer of the run it is: its member ids begin with it.
    number: u16,
    state: MemberState,
    member: MemberId,
    epoch: i32,
    /// Who commits are sent as: member id and epoch once it was in a group, without the epoch when it is no longer.
    identity: Option<Identity>,
    /// What `groupMetadata()` says: the last epoch it had in the group.
    told: Option<Identity>,
    target: Option<LocalAssignment>,
    current: Option<LocalAssignment>,
    reconciliation: Reconciliation,
    /// What is being reconciled.
    resolved: Option<LocalAssignment>,
    /// It joined anew since the reconciliation began.
    rejoined: bool,
    /// `subscribe()` was called and no `poll()` since.
    subscribed: bool,
    /// It leaves because `poll()` was not called.
    poll_expired: bool,
    /// A stale member has released its assignment; it is to join again when it has.
    released: bool,
    rejoins: bool,
    /// A call waits for the end of the membership.
    leave_in_progress: bool,
    /// `close()`: no coordinator is looked for any more.
    closing: bool,
    events: VecDeque<BackgroundEvent>,
    /// How many of them the application's thread has yet to look at in this turn.
    to_look_at: usize,
    running: Option<Then>,
    /// The first error among the events looked at: thrown when they are all done, callbacks included.
    first_error: Option<Exception>,
    /// `AsyncPollEvent`: what `poll()` asked of the network thread is not done yet.
    poll_event: bool,
    /// What looking for positions came to; the next `poll()` throws it.
    error: Option<Exception>,
    heartbeat: HeartbeatState,
    /// The application has not called `poll()` for `max.poll.interval.ms`.
    poll_at: Time,
}

impl AsyncMember {
    pub(super) fn new(number: u16) -> Self {
        Self { number, ..Self::default() }
    }

    /// `isNotInGroup`.
    fn is_not_in_group(&self) -> bool {
        use MemberState::{Fatal, Fenced, Stale, Unsubscribed};
        matches!(self.state, Unsubscribed | Fenced | Fatal | Stale)
    }

    fn is_leaving(&self) -> bool {
        matches!(self.state, MemberState::PrepareLeaving | MemberState::Leaving)
    }

    fn is_reconciled(&self) -> bool {
        self.current == self.target
    }

    /// `updateMemberEpoch`: commits are sent under the new one from now on.
    fn set_epoch(&mut self, epoch: i32) {
        if self.epoch != epoch {
            self.epoch = epoch;
            let generation = Generation(if epoch > 0 { epoch } else { -1 });
            let identity = Identity { generation, member: self.member };
            self.identity = Some(identity);
            if epoch > 0 {
                self.told = Some(identity);
            }
        }
    }

    fn go(&mut self, state: MemberState) {
        debug_assert!(
            self.state == state || valid_previous(state).contains(&self.state),
            "a member never goes from {:?} to {state:?}",
            self.state
        );
        self.state = state;
    }

    /// `transitionToJoining`.
    fn join(&mut self) {
        if self.state == MemberState::Fatal {
            return;
        }
        self.rejoined |= !matches!(self.reconciliation, Reconciliation::No);
        self.set_epoch(0);
        self.go(MemberState::Joining);
        self.target = None;
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.state, self.member, self.epoch, self.identity, &self.target, &self.current));
        into.add((matches!(self.reconciliation, Reconciliation::CallingBack), &self.resolved));
        into.add((self.told, self.first_error));
        if let Reconciliation::Committing(commit) = &self.reconciliation {
            commit.fingerprint(now, into);
        }
        into.add((self.rejoined, self.subscribed, self.poll_expired, self.released, self.rejoins));
        into.add((self.leave_in_progress, self.closing, &self.events, self.to_look_at));
        into.add((self.running, self.poll_event, self.error));
        self.heartbeat.fingerprint(now, into);
        into.add_time(now, self.poll_at);
    }
}

/// From which states a member may come to `state` (`MemberState.previousValidStates`).
fn valid_previous(state: MemberState) -> &'static [MemberState] {
    use MemberState::{
        Acknowledging, Fenced, Joining, Leaving, PrepareLeaving, Reconciling, Stable, Stale,
        Unsubscribed,
    };
    match state {
        Stable => &[Joining, Acknowledging, Reconciling],
        Reconciling => &[Stable, Joining, Acknowledging, Reconciling],
        Acknowledging => &[Reconciling],
        MemberState::Fatal => {
            &[Joining, Stable, Reconciling, Acknowledging, PrepareLeaving, Leaving, Unsubscribed]
        }
        Fenced => &[Joining, Stable, Reconciling, Acknowledging, PrepareLeaving, Leaving],
        Joining => &[Fenced, Unsubscribed, Stale],
        PrepareLeaving => &[Joining, Stable, Reconciling, Acknowledging, Unsubscribed],
        Leaving => &[PrepareLeaving],
        Unsubscribed => &[PrepareLeaving, Leaving, Fenced],
        Stale => &[Leaving],
    }
}

/// The thread.
impl Consumer {
    /// The consumer speaks the consumer protocol.
    pub(super) fn is_async(&self) -> bool {
        self.member.is_some()
    }

    fn member_mut(&mut self) -> &mut AsyncMember {
        self.member.as_mut().expect("only consumers of the consumer protocol come here")
    }

    fn member(&self) -> &AsyncMember {
        self.member.as_ref().expect("only consumers of the consumer protocol come here")
    }

    /// The process starts: the member has its id before it joins.
    pub(super) fn start_member(&mut self, now: Time, fx: &mut Effects) {
        let poll_at = now + self.config.max_poll_interval;
        if let Some(member) = &mut self.member {
            let rank = fx.names.consumers.get(usize::from(member.number)).map_or(0, |c| c.rank);
            // The upper half of the numbers is for those who choose their own.
            let luck = 0x8000 | fx.choose(0x8000) as u32;
            member.member = MemberId(u32::from(rank) << 16 | luck);
            member.poll_at = poll_at;
        }
    }

    /// Who commits and fetches of offsets are sent as.
    pub(super) fn member_identity(&self) -> Identity {
        let member =
            self.member.as_ref().filter(|_| self.subscriptions.kind == SubscriptionType::Topics);
        member.and_then(|member| member.identity).unwrap_or(Identity::NONE)
    }

    /// What `groupMetadata()` says in the consumer protocol.
    pub(super) fn told_identity(&self) -> Option<Identity> {
        self.member.as_ref().map(|member| member.told.unwrap_or(Identity::NONE))
    }

    /// `unsubscribe()` has returned: `groupMetadata()` knows of no membership.
    pub(super) fn forget_told_identity(&mut self) {
        self.member_mut().told = None;
    }

    /// It is in its group: a request that was refused for its epoch may be tried again with the one it has now.
    pub(super) fn has_epoch(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.epoch > 0)
    }

    /// Under which membership committed offsets are asked for.
    pub(super) fn fetching_identity(&self) -> Option<Identity> {
        if !self.is_async() {
            return self.membership.if_stable();
        }
        Some(self.member_identity()).filter(|identity| identity.generation.0 >= 0)
    }

    /// The question for committed offsets was refused for an epoch that is not the member's any more.
    pub(super) fn may_ask_again(&self, exception: Exception) -> bool {
        exception == wire(ErrorCode::StaleMemberEpoch) && self.has_epoch()
    }

    /// A heartbeat of the consumer protocol is not answered yet.
    pub(super) fn heartbeat_is_in_flight(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.heartbeat.is_in_flight())
    }

    /// One turn of the network thread.
    pub(super) fn network_thread(&mut self, now: Time, fx: &mut Effects) {
        let wants_coordinator = self.group.is_some() && !self.member().closing;
        if wants_coordinator && self.usable_coordinator(now, fx).is_none() {
            self.look_up_coordinator(now, fx);
        }
        self.send_heartbeats(now, fx);
        self.maybe_reconcile(now, false);
        self.drive_reconciliation(now, fx);
        self.continue_poll_event(now, fx);
        // What was reconciled just now is acknowledged at once.
        self.send_heartbeats(now, fx);
    }

    /// Releases the assignment without a callback of its own (`clearAssignment`).
    fn clear_assignment(&mut self) {
        if self.subscriptions.kind == SubscriptionType::Topics {
            self.subscriptions.assign(&[]);
        }
        let member = self.member_mut();
        (member.current, member.target) = (None, None);
    }

    /// `signalPartitionsLost`: a callback about everything, then `then`; at once when there is nothing.
    fn lose_everything(&mut self, now: Time, then: Then, fx: &mut Effects) {
        let owned = sorted(self.subscriptions.ids(), &fx.names);
        let subscribed = self.subscriptions.kind == SubscriptionType::Topics;
        if owned.is_empty() || !subscribed {
            return self.called_back(now, then, fx);
        }
        self.subscriptions.mark_pending_revocation();
        let event = BackgroundEvent::Removed(RebalanceCallback::Lost, owned, then);
        self.member_mut().events.push_back(event);
    }

    /// `transitionToFenced`.
    fn fenced(&mut self, now: Time, fx: &mut Effects) {
        let member = self.member_mut();
        match member.state {
            MemberState::PrepareLeaving => {
                self.send_leave(false);
                self.member_mut().go(MemberState::Unsubscribed);
                self.member_mut().leave_in_progress = false;
            }
            MemberState::Leaving => {
                member.go(MemberState::Unsubscribed);
                member.leave_in_progress = false;
            }
            // Kafka refuses to go from stale to fenced, in a callback that nobody looks at.
            MemberState::Unsubscribed | MemberState::Stale => {}
            _ => {
                member.go(MemberState::Fenced);
                member.set_epoch(0);
                self.lose_everything(now, Then::Rejoin, fx);
            }
        }
    }

    /// `transitionToFatal`, and the exception that `poll()` throws.
    fn fatal(&mut self, now: Time, exception: Exception, fx: &mut Effects) {
        let member = self.member_mut();
        member.events.push_back(BackgroundEvent::Error(exception));
        let before = member.state;
        member.go(MemberState::Fatal);
        let gone = Generation(-1);
        member.identity = member.identity.map(|i| Identity { generation: gone, ..i });
        let leaving = matches!(before, MemberState::Leaving | MemberState::PrepareLeaving);
        let was_leaving = std::mem::take(&mut member.leave_in_progress);
        if leaving || (before == MemberState::Unsubscribed && was_leaving) {
            return;
        }
        self.lose_everything(now, Then::Nothing, fx);
    }

    /// `leaveGroup`. The call that made it waits for [`AsyncMember::leave_in_progress`].
    fn leave(&mut self, now: Time, calls_back: bool, fx: &mut Effects) {
        if self.member().is_not_in_group() {
            if self.member().state == MemberState::Fenced {
                self.clear_assignment();
                self.member_mut().go(MemberState::Unsubscribed);
            }
            self.subscriptions.clear();
            return;
        }
        if self.member().is_leaving() {
            return;
        }
        let member = self.member_mut();
        member.go(MemberState::PrepareLeaving);
        member.leave_in_progress = true;
        let epoch = member.epoch;
        let owned = sorted(self.subscriptions.ids(), &fx.names);
        if !calls_back || owned.is_empty() {
            return self.called_back(now, Then::Leave, fx);
        }
        self.subscriptions.mark_pending_revocation();
        let callback = if epoch > 0 { RebalanceCallback::Revoked } else { RebalanceCallback::Lost };
        let event = BackgroundEvent::Removed(callback, owned, Then::Leave);
        self.member_mut().events.push_back(event);
    }

    /// `transitionToSendingLeaveGroup`.
    fn send_leave(&mut self, poll_expired: bool) {
        let is_static = !self.config.group_instance_id.is_empty();
        let member = self.member_mut();
        if matches!(member.state, MemberState::Fatal | MemberState::Unsubscribed) {
            return;
        }
        if poll_expired {
            member.poll_expired = true;
            member.go(MemberState::PrepareLeaving);
        }
        member.set_epoch(if is_static { -2 } else { -1 });
        member.current = None;
        member.go(MemberState::Leaving);
    }

    /// A callback that the network thread asked for has returned.
    fn called_back(&mut self, now: Time, then: Then, fx: &mut Effects) {
        match then {
            Then::Assign => self.assign_resolved(fx),
            Then::Rejoin => {
                self.clear_assignment();
                if self.member().state == MemberState::Fenced {
                    self.member_mut().join();
                }
            }
            Then::Release => {
                self.clear_assignment();
                let member = self.member_mut();
                member.released = true;
                if std::mem::take(&mut member.rejoins) && member.state == MemberState::Stale {
                    member.join();
                }
            }
            Then::Leave => {
                self.subscriptions.clear();
                self.clear_assignment();
                self.send_leave(false);
                self.send_heartbeats(now, fx);
            }
            Then::Nothing => self.clear_assignment(),
        }
    }
}
