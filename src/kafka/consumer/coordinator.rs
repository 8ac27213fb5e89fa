//! The consumer as a member of its group: what a rebalance does to the assignment, and leaving.
//!
//! Kafka: `AbstractCoordinator`, `ConsumerCoordinator`; KIP-62, KIP-394, KIP-429. Before it joins, a member commits
//! (where auto-commit is on). Under the eager protocol it then gives everything up; under the cooperative protocol it
//! keeps everything, learns from the assignment what it has to give up, and joins once more when it has done so.
//! Joining goes on only inside `poll()`; the answer to a JoinGroup that arrives between two polls waits in its socket,
//! for the heartbeat thread sleeps meanwhile.
//! Simplified: see the consumer's module.

use crate::base::config::AssignorName;
use crate::base::error::{ErrorCode, Exception};
use crate::base::ids::{MemberId, PartitionId, TopicId};
use crate::base::names::Names;
use crate::base::time::Time;
use crate::event::{CommitKind, RebalanceCallback};
use crate::kafka::api::Message;
use crate::kafka::consumer::membership::{Joining, MemberState};
use crate::kafka::consumer::positions::{SubscribedBy, SubscriptionType};
use crate::kafka::consumer::{Consumer, GroupRequest, is_retriable};
use crate::kafka::effects::Effects;

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
        self.deliver_commit_callbacks(now, fx)?;
        if self.subscriptions.kind == SubscriptionType::Topics {
            self.heartbeat.polled(now, self.config.max_poll_interval)?;
            if !self.ensure_coordinator(now, fx)? {
                return Ok(Progress::Blocked(self.coordinator_wake(now)));
            }
            self.look_for_topics(fx);
            self.notice_new_partitions(fx);
            if self.needs_rejoin()
                && !(self.has_looked_for_topics(now, fx) && self.ensure_active_group(now, fx)?)
            {
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
            if let Some(kept) = self.membership.keeps.take() {
                self.subscriptions.assign(&kept);
            } else if self.membership.needs_prepare {
                if self.commit_before_join(now, fx) {
                    self.membership.needs_prepare = false;
                    self.prepare_join(fx);
                }
                if self.membership.needs_prepare || self.listener.is_running() {
                    return Ok(false);
                }
                continue;
            }
            if !self.join_step(now, fx)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Who subscribes by a pattern joins with the topics of fresh metadata: of an answer that is not older than
    /// `retry.backoff.ms`, or of the next one.
    fn has_looked_for_topics(&mut self, now: Time, fx: &Effects) -> bool {
        if self.subscriptions.by != SubscribedBy::Pattern || self.membership.is_joining() {
            return true;
        }
        let backoff = self.config.retry_backoff;
        let metadata = self.network.metadata_mut();
        let is_old = metadata.answered_at().is_none_or(|at| at + backoff <= now);
        if !std::mem::replace(&mut self.membership.looks, true) && is_old {
            metadata.request_update_for_new_topic();
        }
        if metadata.is_update_requested() {
            return false;
        }
        self.look_for_topics(fx);
        true
    }

    /// The leader assigned what it knew of its topics; when the metadata says otherwise the group has to join again.
    fn notice_new_partitions(&mut self, fx: &Effects) {
        let metadata = self.network.metadata();
        let changed = |(topic, size): &(TopicId, usize)| {
            metadata.partitions_of(&fx.names.topics[topic.index()]).len() != *size
        };
        let assigned = self.membership.assigned_topics.as_ref();
        if assigned.is_some_and(|topics| topics.iter().any(changed)) && !self.needs_rejoin() {
            self.membership.rejoin_needed = true;
        }
    }

    /// One step of the attempt to join. False when it waits for something.
    fn join_step(&mut self, now: Time, fx: &mut Effects) -> Result<bool, Exception> {
        match std::mem::take(&mut self.membership.joining) {
            Joining::No => {
                if self.membership.retry_at <= now {
                    self.send_join(now, fx);
                }
                Ok(false)
            }
            Joining::Joined { identity, rows } => {
                self.complete_join(now, identity, rows, fx);
                Ok(matches!(self.membership.joining, Joining::Failed(_)))
            }
            Joining::Leading { rows, later_than } => {
                self.lead(now, (rows, later_than), fx);
                Ok(matches!(self.membership.joining, Joining::Failed(_)))
            }
            Joining::Assigned(partitions) => {
                self.join_complete(partitions, fx);
                Ok(!self.listener.is_running())
            }
            Joining::Revoked(partitions) => {
                self.take_assignment(now, &partitions, fx);
                Ok(true)
            }
            Joining::Failed(exception) => self.join_failed(now, exception),
            waiting @ (Joining::Sent | Joining::Syncing) => {
                self.membership.joining = waiting;
                Ok(false)
            }
        }
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

    /// The first half of `onJoinPrepare`: the commit before the rebalance. False while it is on its way.
    fn commit_before_join(&mut self, now: Time, fx: &mut Effects) -> bool {
        let limit = now + self.config.max_poll_interval;
        let until = *self.membership.prepare_until.get_or_insert(limit);
        if self.membership.prepare_commit.is_none() && self.auto_commits() {
            if self.membership.retry_at > now {
                return false;
            }
            if !self.is_cooperative() {
                self.subscriptions.mark_pending_revocation();
            }
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
        true
    }

    /// The second half of `onJoinPrepare`: the callback about what is given up before the rebalance. The assignment
    /// changes when it has returned.
    fn prepare_join(&mut self, fx: &mut Effects) {
        let owned = sorted(self.subscriptions.ids(), &fx.names);
        let lost =
            self.membership.is_reset() || self.membership.identity.member == MemberId::UNKNOWN;
        let subscribed = |p: &PartitionId| {
            self.subscriptions.topics.contains(&fx.names.partitions[p.index()].topic)
        };
        let (kept, given_up): (Vec<_>, Vec<_>) = if self.is_cooperative() && !lost {
            owned.into_iter().partition(subscribed)
        } else {
            (Vec::new(), owned)
        };
        self.membership.keeps = Some(kept);
        // The eager protocol calls back even when there is nothing to give up.
        if lost && !given_up.is_empty() {
            self.call_back(RebalanceCallback::Lost, &given_up, fx);
        } else if !lost && (!given_up.is_empty() || !self.is_cooperative()) {
            self.call_back(RebalanceCallback::Revoked, &given_up, fx);
        }
    }

    /// `protocol`: all assignors of the list are cooperative. With a single one that is not, the member is eager.
    fn is_cooperative(&self) -> bool {
        self.config.assignors.iter().all(|name| name == AssignorName::CooperativeSticky)
    }

    /// `onJoinComplete`: what the assignment takes away is given up first, and the member will join once more.
    fn join_complete(&mut self, partitions: Vec<PartitionId>, fx: &mut Effects) {
        if self.membership.is_reset() || self.membership.state != MemberState::Stable {
            self.membership.reset_and_rejoin(true);
            return;
        }
        let topics = &self.subscriptions.topics;
        let topic = |p: &PartitionId| fx.names.partitions[p.index()].topic;
        if partitions.iter().any(|p| !topics.contains(&topic(p))) {
            self.membership.needs_prepare = true;
            self.membership.rejoin_needed = true;
            return;
        }
        let mut revoked = sorted(self.subscriptions.ids(), &fx.names);
        revoked.retain(|p| !partitions.contains(p));
        self.membership.joining = Joining::Revoked(partitions);
        if !revoked.is_empty() {
            self.call_back(RebalanceCallback::Revoked, &revoked, fx);
            self.membership.rejoin_needed = true;
        }
    }

    /// The rest of `onJoinComplete`: the assignment counts from here.
    fn take_assignment(&mut self, now: Time, partitions: &[PartitionId], fx: &mut Effects) {
        self.membership.needs_prepare = true;
        if self.membership.protocol == Some(AssignorName::Sticky) {
            let generation = self.membership.identity.generation;
            self.membership.sticky = Some((generation, partitions.to_vec()));
        }
        if !self.is_librdkafka() {
            self.commits.restart_timer(now, self.config.auto_commit_interval);
        }
        let partitions = sorted(partitions, &fx.names);
        let mut added = partitions.clone();
        added.retain(|p| !self.subscriptions.ids().contains(p));
        self.subscriptions.assign(&partitions);
        self.call_back(RebalanceCallback::Assigned, &added, fx);
    }

    /// `onLeavePrepare`: the callback before the member leaves of its own will; [`Consumer::drop_assignment`] follows
    /// when it has returned.
    pub(super) fn leave_prepare(&mut self, fx: &mut Effects) {
        let owned = sorted(self.subscriptions.ids(), &fx.names);
        if self.subscriptions.kind != SubscriptionType::Topics || owned.is_empty() {
            return;
        }
        let gone = self.membership.is_reset() || self.membership.is_rebalancing();
        let kind = if gone { RebalanceCallback::Lost } else { RebalanceCallback::Revoked };
        self.call_back(kind, &owned, fx);
    }

    /// The callback of [`Consumer::leave_prepare`] has returned.
    pub(super) fn drop_assignment(&mut self) {
        if self.subscriptions.kind == SubscriptionType::Topics {
            self.subscriptions.assign(&[]);
        }
    }

    /// `maybeLeaveGroup`: says so once and does not wait for the answer.
    pub(super) fn leave_group(&mut self, now: Time, poll_timeout: bool, fx: &mut Effects) {
        let member = self.membership.identity.member;
        // A static member goes without a word: its session decides.
        if self.config.group_instance_id.is_empty()
            && self.usable_coordinator(now, fx).is_some()
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
pub(super) fn sorted(partitions: &[PartitionId], names: &Names) -> Vec<PartitionId> {
    let mut sorted = partitions.to_vec();
    sorted.sort_by(|a, b| {
        let key = |p: &PartitionId| (&names.topic_of(*p).name, names.partitions[p.index()].index);
        key(a).cmp(&key(b))
    });
    sorted
}
