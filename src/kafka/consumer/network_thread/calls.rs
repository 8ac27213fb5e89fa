//! `poll()`, `unsubscribe()` and `close()` of a consumer that speaks the consumer protocol.
//!
//! Kafka: `AsyncKafkaConsumer`, `ApplicationEventProcessor`. `poll()` goes in turns: it tells the network thread
//! that the application polls, runs the callbacks that the thread has asked for, takes records out of the buffer,
//! and waits `retry.backoff.ms` at most for some. In each turn the thread commits when auto-commit is due. **It
//! reads the position while the application's thread may already be taking the next records out:** in 4.4.0 the
//! automatic commit of a poll may cover what that very poll returns. Which thread comes first is luck, here as
//! there.
//!
//! Simplified: every turn tells the network thread of the poll (Kafka: not while what it was told before is under
//! way, or has filled the buffer); waits are not shortened for heartbeats.

use crate::base::error::Exception;
use crate::base::time::Time;
use crate::event::{CommitKind, EventKind, RebalanceCallback};
use crate::kafka::consumer::calls::Outcome;
use crate::kafka::consumer::commits::SyncCommit;
use crate::kafka::consumer::coordinator::{Progress, sorted};
use crate::kafka::consumer::network_thread::{BackgroundEvent, MemberState, Reconciliation};
use crate::kafka::consumer::positions::SubscriptionType;
use crate::kafka::consumer::{Consumer, Returned};
use crate::kafka::effects::Effects;

/// `poll()`.
#[derive(Clone, Copy, Debug)]
pub(in crate::kafka::consumer) struct AsyncPoll {
    pub(in crate::kafka::consumer) deadline: Time,
    quiet: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// A turn begins.
    Begin,
    /// Callbacks run. `late`: the automatic commit comes after the records are taken out.
    Callbacks { late: bool },
    /// It waits for records until then.
    Waiting(Time),
}

impl AsyncPoll {
    pub(in crate::kafka::consumer) fn new(deadline: Time, quiet: bool) -> Self {
        Self { deadline, quiet, stage: Stage::Begin }
    }
}

/// `close()`.
#[derive(Clone, Debug)]
pub(in crate::kafka::consumer) struct AsyncClose {
    pub(in crate::kafka::consumer) deadline: Time,
    stage: Closing,
}

#[derive(Clone, Debug)]
enum Closing {
    /// The automatic commit.
    Commit(SyncCommit),
    /// The callback about what the member owns.
    Callback,
    /// The heartbeat that leaves.
    Leave,
    /// Its answer.
    Leaving,
    /// Commits that are under way.
    Commits,
}

impl AsyncClose {
    /// Commits `offsets` first, unless there are none.
    pub(in crate::kafka::consumer) fn new(deadline: Time, commit: Option<SyncCommit>) -> Self {
        let stage = commit.map_or(Closing::Callback, Closing::Commit);
        Self { deadline, stage }
    }

    /// How far it is, for a fingerprint.
    pub(in crate::kafka::consumer) fn stage(&self) -> u8 {
        match self.stage {
            Closing::Commit(_) => 0,
            Closing::Callback => 1,
            Closing::Leave => 2,
            Closing::Leaving => 3,
            Closing::Commits => 4,
        }
    }
}

impl Consumer {
    /// `poll()` as far as it goes now.
    pub(in crate::kafka::consumer) fn advance_async_poll(
        &mut self,
        now: Time,
        poll: &mut AsyncPoll,
        fx: &mut Effects,
    ) -> Outcome {
        loop {
            match poll.stage {
                Stage::Begin => {
                    let late = self.poll_event(now, fx)?;
                    self.deliver_commit_callbacks(now, fx)?;
                    self.look_at_events();
                    poll.stage = Stage::Callbacks { late };
                }
                Stage::Callbacks { late } => {
                    if !self.background_events(now, false, fx)? {
                        return Ok(None);
                    }
                    let collected = self.collect(now, fx);
                    if late {
                        self.auto_commit_of_poll(now, fx);
                    }
                    let collected = collected?;
                    if collected.is_something() {
                        return Ok(Some(self.polled(now, collected, poll.quiet, fx)));
                    }
                    let until = poll.deadline.min(now + self.config.retry_backoff);
                    poll.stage = Stage::Waiting(until);
                    self.network_thread(now, fx);
                }
                Stage::Waiting(until) => {
                    let collected = self.collect(now, fx)?;
                    if collected.is_something() || poll.deadline <= now {
                        return Ok(Some(self.polled(now, collected, poll.quiet, fx)));
                    }
                    if until > now {
                        self.wake = until;
                        return Ok(None);
                    }
                    poll.stage = Stage::Begin;
                }
            }
        }
    }

    /// `AsyncPollEvent`: the network thread hears that the application polls. True when the automatic commit is due
    /// and the application's thread is faster.
    fn poll_event(&mut self, now: Time, fx: &mut Effects) -> Result<bool, Exception> {
        if let Some(exception) = self.member_mut().error.take() {
            return Err(exception);
        }
        self.look_for_topics(fx);
        self.maybe_reconcile(now, true);
        self.drive_reconciliation(now, fx);
        let due = self.auto_commits() && self.commits.auto_commit_is_due(now);
        let late = due && fx.choose(2) == 1;
        if due && !late {
            self.auto_commit_of_poll(now, fx);
        }
        let poll_at = now + self.config.max_poll_interval;
        let in_group = self.group.is_some();
        let member = self.member_mut();
        if std::mem::take(&mut member.subscribed)
            && member.state == MemberState::Unsubscribed
            && in_group
        {
            member.join();
        }
        if member.poll_at <= now && in_group {
            member.poll_expired = false;
            if member.state == MemberState::Stale && member.released {
                member.join();
            } else {
                member.rejoins = member.state == MemberState::Stale;
            }
        }
        member.poll_at = poll_at;
        member.poll_event = true;
        self.network_thread(now, fx);
        Ok(late)
    }

    /// Positions first, then fetches; without hurry, and without the application.
    pub(super) fn continue_poll_event(&mut self, now: Time, fx: &mut Effects) {
        if !self.member().poll_event {
            return;
        }
        match self.update_positions(now, fx) {
            Ok(Progress::Ready) => {
                self.send_fetches(now, fx);
                if self.subscriptions.has_all_positions() {
                    self.member_mut().poll_event = false;
                }
            }
            Ok(_) => {}
            Err(exception) => {
                let member = self.member_mut();
                (member.poll_event, member.error) = (false, Some(exception));
            }
        }
    }

    fn auto_commit_of_poll(&mut self, now: Time, fx: &mut Effects) {
        self.commits.restart_timer(now, self.config.auto_commit_interval);
        self.auto_commit(now, CommitKind::AutoPoll, fx);
    }

    /// `drainEvents`: what comes later waits for the next turn.
    fn look_at_events(&mut self) {
        let member = self.member_mut();
        member.to_look_at = member.events.len();
    }

    /// `processBackgroundEvents`. False while a callback has not returned.
    fn background_events(
        &mut self,
        now: Time,
        unsubscribing: bool,
        fx: &mut Effects,
    ) -> Result<bool, Exception> {
        let mut error = self.member_mut().first_error.take();
        loop {
            if self.listener.is_running() {
                self.member_mut().first_error = error;
                return Ok(false);
            }
            if let Some(then) = self.member_mut().running.take() {
                self.called_back(now, then, fx);
            }
            let member = self.member_mut();
            let Some(left) = member.to_look_at.checked_sub(1) else { break };
            member.to_look_at = left;
            match member.events.pop_front() {
                Some(BackgroundEvent::Removed(callback, partitions, then)) => {
                    member.running = Some(then);
                    self.call_back(callback, &partitions, fx);
                }
                Some(BackgroundEvent::Assigned { .. }) if unsubscribing => {
                    member.reconciliation = Reconciliation::No;
                }
                Some(BackgroundEvent::Assigned { all, added }) => {
                    self.subscriptions.assign(&all);
                    self.call_back(RebalanceCallback::Assigned, &added, fx);
                    self.reconciled(now);
                }
                Some(BackgroundEvent::Error(exception)) => {
                    error.get_or_insert(exception);
                }
                None => break,
            }
        }
        self.network_thread(now, fx);
        error.map_or(Ok(true), Err)
    }

    /// `subscribe()`: the next `poll()` joins.
    pub(in crate::kafka::consumer) fn subscription_updated(&mut self) {
        if let Some(member) = &mut self.member {
            member.subscribed = true;
        }
    }

    /// `unsubscribe()` begins; it waits for its callbacks and for the answer of the coordinator.
    pub(in crate::kafka::consumer) fn begin_async_unsubscribe(
        &mut self,
        now: Time,
        fx: &mut Effects,
    ) {
        self.fetcher.retain(|_| false);
        if self.group.is_none() || self.subscriptions.kind != SubscriptionType::Topics {
            return self.subscriptions.clear();
        }
        self.leave(now, true, fx);
    }

    /// True when `unsubscribe()` returns.
    pub(in crate::kafka::consumer) fn advance_async_unsubscribe(
        &mut self,
        now: Time,
        deadline: Time,
        fx: &mut Effects,
    ) -> Outcome {
        if self.member().to_look_at == 0 && self.member().running.is_none() {
            self.look_at_events();
        }
        if !self.background_events(now, true, fx)? {
            return Ok(None);
        }
        self.wake = deadline;
        if self.member().leave_in_progress && deadline > now {
            return Ok(None);
        }
        self.forget_told_identity();
        Ok(Some(Returned::Done))
    }

    /// `close()` as far as it goes now.
    pub(in crate::kafka::consumer) fn advance_async_close(
        &mut self,
        now: Time,
        close: &mut AsyncClose,
        fx: &mut Effects,
    ) -> Option<Returned> {
        let expired = close.deadline <= now;
        self.wake = close.deadline;
        if let Closing::Commit(commit) = &mut close.stage {
            // How it ends is nobody's business but the log's.
            let _ = self.commit_sync(now, commit, fx)?;
            close.stage = Closing::Callback;
        }
        if let Closing::Callback = close.stage {
            self.member_mut().closing = true;
            self.callback_of_close(fx);
            close.stage = Closing::Leave;
        }
        if let Closing::Leave = close.stage {
            if self.listener.is_running() {
                return None;
            }
            if self.group.is_some() && self.subscriptions.kind == SubscriptionType::Topics {
                self.leave(now, false, fx);
            }
            close.stage = Closing::Leaving;
            self.send_heartbeats(now, fx);
        }
        if let Closing::Leaving = close.stage {
            if self.member().leave_in_progress && !expired {
                return None;
            }
            close.stage = Closing::Commits;
        }
        self.flush_commits(now, fx);
        if self.commits.has_open() && !expired && self.usable_coordinator(now, fx).is_some() {
            return None;
        }
        let _ = self.deliver_commit_callbacks(now, fx);
        self.network.close(fx);
        self.closed = true;
        fx.event(EventKind::Closed);
        Some(Returned::Closed)
    }

    fn callback_of_close(&mut self, fx: &mut Effects) {
        let owned = sorted(self.subscriptions.ids(), &fx.names);
        let subscribed = self.subscriptions.kind == SubscriptionType::Topics;
        if self.group.is_none() || owned.is_empty() || !subscribed {
            return;
        }
        let in_group = self.member().epoch > 0;
        let callback = if in_group { RebalanceCallback::Revoked } else { RebalanceCallback::Lost };
        self.call_back(callback, &owned, fx);
    }
}
