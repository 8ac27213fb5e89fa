//! Offset commits: by hand, and the automatic ones.
//!
//! Kafka: the commit half of `ConsumerCoordinator`. Auto-commit is no thread: it is sent inside a later `poll()` once
//! `auto.commit.interval.ms` has passed, before a rebalance and inside `close()`, and it takes what earlier polls have
//! returned, whether the application has dealt with it or not. `commitAsync` is sent once and never again.

use crate::base::config::Defect;
use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::Offset;
use crate::base::librdkafka::ClientFamily;
use crate::base::time::{Duration, Time};
use crate::event::{CommitKind, EventKind};
use crate::kafka::api::{Message, PartitionOffset};
use crate::kafka::consumer::membership::MemberState;
use crate::kafka::consumer::positions::SubscriptionType;
use crate::kafka::consumer::{Consumer, GroupRequest, Identity, is_retriable, wire};
use crate::kafka::effects::Effects;

/// How far a commit is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Stage {
    /// Asynchronous: waits for the coordinator to be found.
    LookingUp,
    /// Waits for the connection.
    Unsent(Identity),
    /// Waits for its answer.
    Sent,
    /// It is over.
    Done(CommitOutcome),
}

/// How a commit ended: stored, or the exception.
pub(super) type CommitOutcome = Result<(), Exception>;

#[derive(Clone, Debug)]
struct Commit {
    id: u32,
    kind: CommitKind,
    offsets: Vec<PartitionOffset>,
    stage: Stage,
}

/// The commits of one consumer that are not over.
#[derive(Clone, Debug, Default)]
pub(super) struct Commits {
    /// Oldest first.
    list: Vec<Commit>,
    /// The next auto-commit is due; [`Time::ZERO`] before the consumer starts.
    auto_at: Time,
    /// An asynchronous commit was fenced (`asyncCommitFenced`): there is another process of this static member.
    fenced: bool,
}

impl Commits {
    /// The next auto-commit is due an `interval` from now.
    pub(super) fn restart_timer(&mut self, now: Time, interval: Duration) {
        self.auto_at = now + interval;
    }

    /// When the next auto-commit is due.
    pub(super) fn auto_at(&self) -> Time {
        self.auto_at
    }

    /// How a commit ended; `None` while it has not.
    pub(super) fn outcome(&mut self, id: u32) -> Option<CommitOutcome> {
        let at = self.list.iter().position(|c| c.id == id)?;
        let Stage::Done(outcome) = self.list[at].stage else { return None };
        self.list.remove(at);
        Some(outcome)
    }

    /// True while a commit by `commitAsync` or auto-commit waits for its answer.
    fn has_open_async(&self) -> bool {
        let mut open = self.list.iter().filter(|c| !matches!(c.stage, Stage::Done(_)));
        open.any(|c| c.kind != CommitKind::Sync)
    }

    /// The next auto-commit is due, and none is under way (consumer protocol).
    pub(super) fn auto_commit_is_due(&self, now: Time) -> bool {
        let is_auto =
            |c: &Commit| matches!(c.kind, CommitKind::AutoPoll | CommitKind::AutoRebalance);
        let open = |c: &Commit| is_auto(c) && !matches!(c.stage, Stage::Done(_));
        self.auto_at <= now && !self.list.iter().any(open)
    }

    /// True while an asynchronous commit waits for the coordinator.
    pub(super) fn is_looking_up(&self) -> bool {
        self.list.iter().any(|c| c.stage == Stage::LookingUp)
    }

    /// True while anything waits to be sent or answered.
    pub(super) fn has_open(&self) -> bool {
        self.list.iter().any(|c| matches!(c.stage, Stage::Unsent(_) | Stage::Sent))
    }

    /// Adds this state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        for commit in &self.list {
            into.add((commit.kind, commit.stage));
            for offset in &commit.offsets {
                into.add((offset.partition, offset.offset));
            }
        }
        into.add(self.fenced);
        into.add_time(now, self.auto_at.max(now));
    }
}

/// A commit that blocks its caller: `commitSync`, and auto-commit in `close()`.
#[derive(Clone, Debug)]
pub(super) struct SyncCommit {
    kind: CommitKind,
    offsets: Vec<PartitionOffset>,
    pub(super) deadline: Time,
    attempt: Option<u32>,
    retry_at: Time,
    failures: u32,
}

impl SyncCommit {
    pub(super) fn new(kind: CommitKind, offsets: Vec<PartitionOffset>, deadline: Time) -> Self {
        Self { kind, offsets, deadline, attempt: None, retry_at: Time::ZERO, failures: 0 }
    }

    /// There is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// When it is tried again.
    pub(super) fn next_try(&self) -> Time {
        if self.attempt.is_none() { self.retry_at } else { Time::NEVER }
    }

    /// The caller hears how it ended.
    fn tell(&self, outcome: CommitOutcome, fx: &mut Effects) {
        answered(self.kind, &self.offsets, outcome, fx);
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.kind, self.attempt.is_some(), self.failures));
        into.add_time(now, self.retry_at.max(now));
    }
}

impl Consumer {
    /// Makes a commit of `offsets`, which is sent when the connection allows (`sendOffsetCommitRequest`).
    fn new_commit(&mut self, kind: CommitKind, offsets: Vec<PartitionOffset>) -> u32 {
        let id = self.new_id();
        let stage = self.commit_stage();
        self.list_commit(Commit { id, kind, offsets, stage });
        id
    }

    fn list_commit(&mut self, commit: Commit) {
        self.commits.list.push(commit);
    }

    /// What becomes of a commit at this moment: a subscriber commits as a member of a stable group or not at all.
    fn commit_stage(&self) -> Stage {
        if self.coordinator.known.is_none() {
            return Stage::Done(Err(wire(ErrorCode::CoordinatorNotAvailable)));
        }
        if self.subscriptions.kind != SubscriptionType::Topics {
            return Stage::Unsent(Identity::NONE);
        }
        if self.is_async() {
            return Stage::Unsent(self.member_identity());
        }
        match self.membership.if_stable() {
            Some(identity) => Stage::Unsent(identity),
            None if self.membership.is_rebalancing() => {
                Stage::Done(Err(wire(ErrorCode::RebalanceInProgress)))
            }
            None => Stage::Done(Err(Exception::CommitFailed)),
        }
    }

    /// `commitOffsetsAsync`. `None` when it waits for the coordinator or there is nothing to commit.
    pub(super) fn commit_async(
        &mut self,
        now: Time,
        kind: CommitKind,
        offsets: Vec<PartitionOffset>,
        fx: &mut Effects,
    ) -> Option<u32> {
        // A call of the application has seen before whether the member is fenced.
        let _ = self.deliver_commit_callbacks(now, fx);
        if offsets.is_empty() {
            return None;
        }
        let id = if self.usable_coordinator(now, fx).is_some() {
            Some(self.new_commit(kind, offsets))
        } else {
            let id = self.new_id();
            self.list_commit(Commit { id, kind, offsets, stage: Stage::LookingUp });
            self.look_up_coordinator(now, fx);
            None
        };
        self.flush_commits(now, fx);
        id
    }

    /// `maybeAutoCommitOffsetsAsync`: the auto-commit of `poll()`.
    pub(super) fn maybe_auto_commit(&mut self, now: Time, fx: &mut Effects) {
        if fx.defect != Defect::AutoCommitTakesCurrentBatch {
            self.auto_commit_if_due(now, fx);
        }
    }

    /// The planted bug: the auto-commit of `poll()` after the position has moved over what it is about to return.
    pub(super) fn auto_commit_too_late(&mut self, now: Time, fx: &mut Effects) {
        if fx.defect == Defect::AutoCommitTakesCurrentBatch {
            self.auto_commit_if_due(now, fx);
        }
    }

    /// The auto-commit of `assign()`: what is given up is committed if the interval has passed.
    pub(super) fn auto_commit_if_due(&mut self, now: Time, fx: &mut Effects) {
        if !self.is_librdkafka() && self.auto_commits() && self.commits.auto_at <= now {
            self.commits.restart_timer(now, self.config.auto_commit_interval);
            self.auto_commit(now, CommitKind::AutoPoll, fx);
        }
    }

    /// Commits everything that `poll()` has returned.
    pub(super) fn auto_commit(
        &mut self,
        now: Time,
        kind: CommitKind,
        fx: &mut Effects,
    ) -> Option<u32> {
        let offsets = self.to_commit();
        self.commit_async(now, kind, offsets, fx)
    }

    /// When a blocked poll wakes up for auto-commit.
    pub(super) fn auto_commit_due(&self) -> Time {
        let in_poll = self.auto_commits() && !self.is_librdkafka();
        if in_poll { self.commits.auto_at } else { Time::NEVER }
    }

    /// Sends what waits for the connection.
    pub(super) fn flush_commits(&mut self, now: Time, fx: &mut Effects) {
        if self.commits.is_looking_up() {
            self.look_up_coordinator(now, fx);
        }
        let Some(group) = self.group else { return };
        for at in 0..self.commits.list.len() {
            let Stage::Unsent(sent) = self.commits.list[at].stage else { continue };
            let Some(broker) = self.usable_coordinator(now, fx) else { return };
            if !self.network.ready(now, broker, fx) {
                return;
            }
            let commit = &mut self.commits.list[at];
            commit.stage = Stage::Sent;
            let (id, kind) = (commit.id, commit.kind);
            for PartitionOffset { partition, offset } in commit.offsets.iter().copied() {
                fx.event(EventKind::CommitSent { partition, offset, kind });
            }
            let offsets = fx.keep(&commit.offsets);
            let Identity { generation, member } = sent;
            let subscribed = self.subscriptions.kind == SubscriptionType::Topics;
            let instance = self.instance(&fx.names).filter(|_| subscribed);
            let message = Message::OffsetCommit { group, member, instance, generation, offsets };
            let timeout = self.config.request_timeout;
            self.send_to_group(now, (message, GroupRequest::Commit { id, sent }), timeout, fx);
        }
    }

    /// The coordinator is found: asynchronous commits that waited for it go on.
    pub(super) fn start_waiting_commits(&mut self, now: Time, fx: &mut Effects) {
        let stage = self.commit_stage();
        for commit in self.commits.list.iter_mut().filter(|c| c.stage == Stage::LookingUp) {
            commit.stage = stage;
        }
        self.flush_commits(now, fx);
    }

    /// The coordinator is not found: asynchronous commits do not wait for another attempt.
    pub(super) fn fail_waiting_commits(&mut self) {
        if self.is_async() {
            return;
        }
        for commit in self.commits.list.iter_mut().filter(|c| c.stage == Stage::LookingUp) {
            commit.stage = Stage::Done(Err(Exception::RetriableCommitFailed));
        }
    }

    /// The coordinator is gone, and with it what it had not answered.
    pub(super) fn fail_sent_commits(&mut self, fx: &mut Effects) {
        for at in 0..self.commits.list.len() {
            if matches!(self.commits.list[at].stage, Stage::Unsent(_) | Stage::Sent) {
                self.commit_done(at, Err(Exception::Network), fx);
            }
        }
    }

    pub(super) fn commit_answered(
        &mut self,
        now: Time,
        (id, sent): (u32, Identity),
        error: ErrorCode,
        fx: &mut Effects,
    ) {
        let outcome = match error {
            ErrorCode::None => Ok(()),
            ErrorCode::UnknownMemberId if self.is_async() => Err(Exception::CommitFailed),
            ErrorCode::RebalanceInProgress => {
                self.membership.rejoin_needed = true;
                Err(wire(error))
            }
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                let rejoining = self.membership.state == MemberState::PreparingRebalance;
                if sent != self.membership.identity && rejoining {
                    Err(wire(ErrorCode::RebalanceInProgress))
                } else {
                    self.membership.reset_and_rejoin(error == ErrorCode::UnknownMemberId);
                    Err(Exception::CommitFailed)
                }
            }
            ErrorCode::FencedInstanceId if sent == self.membership.identity => Err(wire(error)),
            ErrorCode::FencedInstanceId => match self.membership.state {
                MemberState::PreparingRebalance => Err(wire(ErrorCode::RebalanceInProgress)),
                _ => Err(Exception::CommitFailed),
            },
            ErrorCode::InvalidCommitOffsetSize | ErrorCode::StaleMemberEpoch => Err(wire(error)),
            error if error.is_retriable() => Err(wire(error)),
            _ => Err(Exception::Kafka),
        };
        if let Some(at) = self.commits.list.iter().position(|c| c.id == id) {
            self.commit_done(at, outcome, fx);
        }
        if error == ErrorCode::RequestTimedOut {
            self.mark_coordinator_unknown(now, fx);
        }
        self.note_coordinator_error(now, error, fx);
    }

    /// Nobody is told of an automatic commit but the trace; the application hears of its own when it comes back.
    fn commit_done(&mut self, at: usize, outcome: CommitOutcome, fx: &mut Effects) {
        let commit = &mut self.commits.list[at];
        commit.stage = Stage::Done(outcome);
        if outcome.is_ok() && self.config.family == ClientFamily::Librdkafka {
            self.store.committed(&commit.offsets);
        }
        let fenced = outcome == Err(wire(ErrorCode::FencedInstanceId));
        self.commits.fenced |= fenced && !matches!(commit.kind, CommitKind::Sync);
        let commit = &self.commits.list[at];
        if !matches!(commit.kind, CommitKind::Sync | CommitKind::Async) {
            answered(commit.kind, &commit.offsets, outcome, fx);
        }
    }

    /// `invokeCompletedOffsetCommitCallbacks`: callbacks of `commitAsync` run inside the next call.
    ///
    /// # Errors
    /// When one of them found this member fenced.
    pub(super) fn deliver_commit_callbacks(
        &mut self,
        now: Time,
        fx: &mut Effects,
    ) -> Result<(), Exception> {
        if self.commits.fenced {
            return Err(wire(ErrorCode::FencedInstanceId));
        }
        let (retry_backoff, mut failed) = (self.config.retry_backoff, false);
        let (awaited, is_async) = (self.membership.awaited_commit(), self.is_async());
        self.commits.list.retain(|commit| {
            let Stage::Done(outcome) = commit.stage else { return true };
            let blocks = matches!(commit.kind, CommitKind::Sync | CommitKind::AutoClose);
            let rebalance = is_async && commit.kind == CommitKind::AutoRebalance;
            if blocks || rebalance || awaited == Some(commit.id) {
                return true;
            }
            let retriable = outcome.err().is_some_and(is_retriable);
            if commit.kind == CommitKind::Async {
                let told = if retriable { Err(Exception::RetriableCommitFailed) } else { outcome };
                answered(commit.kind, &commit.offsets, told, fx);
            } else if commit.kind == CommitKind::AutoPoll {
                failed |= retriable || outcome == Err(Exception::RetriableCommitFailed);
            }
            false
        });
        if failed {
            self.commits.auto_at = now + retry_backoff;
        }
        Ok(())
    }

    /// `commitOffsetsSync`. `None` while it blocks.
    pub(super) fn commit_sync(
        &mut self,
        now: Time,
        commit: &mut SyncCommit,
        fx: &mut Effects,
    ) -> Option<CommitOutcome> {
        if let Err(exception) = self.deliver_commit_callbacks(now, fx) {
            return Some(Err(exception));
        }
        self.drive_commit(now, commit, fx)
    }

    /// The same without callbacks of other commits: by the network thread too.
    pub(super) fn drive_commit(
        &mut self,
        now: Time,
        commit: &mut SyncCommit,
        fx: &mut Effects,
    ) -> Option<CommitOutcome> {
        let expired = commit.deadline <= now;
        if commit.offsets.is_empty() {
            // What was begun before is still waited for, so that callbacks run in order.
            if !self.commits.has_open_async() {
                return Some(Ok(()));
            }
            self.wake = commit.deadline;
            return expired.then_some(Err(Exception::Timeout));
        }
        if let Some(id) = commit.attempt
            && let Some(outcome) = self.commits.outcome(id)
        {
            commit.attempt = None;
            let stale = outcome == Err(wire(ErrorCode::StaleMemberEpoch));
            let again = stale && commit.kind == CommitKind::AutoRebalance && self.has_epoch();
            match outcome {
                Err(exception) if is_retriable(exception) || again => {
                    commit.retry_at = now + self.retry.backoff(commit.failures, fx);
                    commit.failures += 1;
                }
                outcome => {
                    let outcome = if stale { Err(Exception::CommitFailed) } else { outcome };
                    commit.tell(outcome, fx);
                    return Some(outcome);
                }
            }
        }
        if expired {
            if let Some(id) = commit.attempt {
                self.commits.list.retain(|c| c.id != id);
            }
            commit.tell(Err(Exception::Timeout), fx);
            return Some(Err(Exception::Timeout));
        }
        self.wake = commit.deadline;
        if commit.attempt.is_none() {
            match self.ensure_coordinator(now, fx) {
                Err(exception) => return Some(Err(exception)),
                Ok(false) => self.wake = self.wake.min(self.coordinator_wake(now)),
                Ok(true) if commit.retry_at > now => self.wake = self.wake.min(commit.retry_at),
                Ok(true) => {
                    commit.attempt = Some(self.new_commit(commit.kind, commit.offsets.clone()));
                    self.flush_commits(now, fx);
                    // It may have failed on the spot.
                    return self.commit_sync_at_once(commit, fx);
                }
            }
        }
        None
    }

    fn commit_sync_at_once(
        &mut self,
        commit: &mut SyncCommit,
        fx: &mut Effects,
    ) -> Option<CommitOutcome> {
        let outcome = self.commits.outcome(commit.attempt?)?;
        commit.attempt = None;
        commit.tell(outcome, fx);
        Some(outcome)
    }
}

fn answered(
    kind: CommitKind,
    offsets: &[PartitionOffset],
    outcome: CommitOutcome,
    fx: &mut Effects,
) {
    let exception = outcome.err();
    for PartitionOffset { partition, offset } in offsets.iter().copied() {
        fx.event(EventKind::CommitAnswered { partition, offset, kind, exception });
    }
}

/// `OffsetAndMetadata` refuses a negative offset before the commit begins.
pub(super) fn has_negative(offsets: &[PartitionOffset]) -> bool {
    offsets.iter().any(|o| o.offset < Offset(0))
}
