//! From the assignment that the coordinator wants to the one that the application has: commit (where auto-commit is
//! on), `onPartitionsRevoked`, `onPartitionsAssigned`, and a heartbeat that says so.
//!
//! Kafka: `AbstractMembershipManager.maybeReconcile`, `revokeAndAssign`. What is taken away is not read any more
//! from the beginning on; what stays is read all the time.

use crate::base::ids::PartitionId;
use crate::base::time::Time;
use crate::event::{CommitKind, RebalanceCallback};
use crate::kafka::consumer::Consumer;
use crate::kafka::consumer::commits::SyncCommit;
use crate::kafka::consumer::coordinator::sorted;
use crate::kafka::consumer::network_thread::{
    AsyncMember, BackgroundEvent, MemberState, Reconciliation, Then,
};
use crate::kafka::effects::Effects;

impl AsyncMember {
    /// When a commit before the rebalance is tried again.
    pub(super) fn reconciliation_due(&self) -> Time {
        match &self.reconciliation {
            Reconciliation::Committing(commit) => commit.next_try(),
            _ => Time::NEVER,
        }
    }

    /// `maybeAbortReconciliation`.
    fn aborts(&mut self) -> bool {
        let aborts = self.state != MemberState::Reconciling || self.rejoined;
        if aborts {
            self.reconciliation = Reconciliation::No;
            self.rejoined = false;
        }
        aborts
    }
}

impl Consumer {
    /// `maybeReconcile`. Only a `poll()` may begin what commits or takes partitions away (`in_poll`): a member whose
    /// application does not poll gives nothing up.
    pub(super) fn maybe_reconcile(&mut self, now: Time, in_poll: bool) {
        let member = self.member();
        let busy = !matches!(member.reconciliation, Reconciliation::No);
        if member.state != MemberState::Reconciling || member.is_reconciled() || busy {
            return;
        }
        let Some(target) = member.target.clone() else { return };
        if let Some(current) = &member.current
            && current.partitions == target.partitions
        {
            let member = self.member_mut();
            member.current = Some(target);
            return member.go(MemberState::Acknowledging);
        }
        let revokes = self.revoked_by(&target.partitions);
        let auto_commits = self.auto_commits();
        if !in_poll && (auto_commits || !revokes.is_empty()) {
            return;
        }
        self.subscriptions.mark_pending(&revokes);
        let deadline = now + self.config.max_poll_interval;
        let offsets = self.subscriptions.all_consumed();
        let member = self.member_mut();
        member.resolved = Some(target);
        member.rejoined = false;
        let commit = SyncCommit::new(CommitKind::AutoRebalance, offsets, deadline);
        member.reconciliation = Reconciliation::Committing(commit);
    }

    fn revoked_by(&self, target: &[PartitionId]) -> Vec<PartitionId> {
        let owned = self.subscriptions.ids().iter().copied();
        owned.filter(|partition| !target.contains(partition)).collect()
    }

    /// Goes on with the commit before the rebalance; then come the callbacks.
    pub(super) fn drive_reconciliation(&mut self, now: Time, fx: &mut Effects) {
        let member = self.member_mut();
        if !matches!(member.reconciliation, Reconciliation::Committing(_)) {
            return;
        }
        let Reconciliation::Committing(mut commit) = std::mem::take(&mut member.reconciliation)
        else {
            unreachable!("it was just looked at")
        };
        let needed = self.auto_commits() && !commit.is_empty();
        if needed && self.drive_commit(now, &mut commit, fx).is_none() {
            self.member_mut().reconciliation = Reconciliation::Committing(commit);
            return;
        }
        // However it ended.
        let member = self.member_mut();
        member.reconciliation = Reconciliation::CallingBack;
        if member.aborts() {
            return;
        }
        let target =
            member.resolved.clone().map(|resolved| resolved.partitions).unwrap_or_default();
        let revoked = sorted(&self.revoked_by(&target), &fx.names);
        if revoked.is_empty() {
            return self.assign_resolved(fx);
        }
        self.subscriptions.mark_pending(&revoked);
        let event = BackgroundEvent::Removed(RebalanceCallback::Revoked, revoked, Then::Assign);
        self.member_mut().events.push_back(event);
    }

    /// `assignPartitions`: the application's thread is to take the assignment over.
    pub(super) fn assign_resolved(&mut self, fx: &Effects) {
        let member = self.member_mut();
        if member.aborts() {
            return;
        }
        let Some(resolved) = member.resolved.clone() else { return };
        let owned = self.subscriptions.ids();
        let added: Vec<_> =
            resolved.partitions.iter().copied().filter(|p| !owned.contains(p)).collect();
        let added = sorted(&added, &fx.names);
        let all = sorted(&resolved.partitions, &fx.names);
        self.member_mut().events.push_back(BackgroundEvent::Assigned { all, added });
    }

    /// The assignment counts from here, and `onPartitionsAssigned` has run.
    pub(super) fn reconciled(&mut self, now: Time) {
        let interval = self.config.auto_commit_interval;
        let member = self.member_mut();
        if matches!(member.reconciliation, Reconciliation::No) || member.aborts() {
            return;
        }
        member.current = member.resolved.take();
        member.go(MemberState::Acknowledging);
        member.reconciliation = Reconciliation::No;
        self.commits.restart_timer(now, interval);
    }
}
