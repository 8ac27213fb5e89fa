//! The calls of the application: what each does at once, and how one that blocks goes on.
//!
//! Kafka: `ClassicKafkaConsumer`, where such a call is a loop over the network client in the application's thread.

use std::collections::BTreeMap;

use crate::base::config::OffsetReset;
use crate::base::error::Exception;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{Offset, PartitionId, RegexId, TopicId};
use crate::base::time::{Duration, Time};
use crate::event::{CommitKind, EventKind, PositionReason};
use crate::kafka::api::PartitionOffset;
use crate::kafka::consumer::commits::{SyncCommit, has_negative};
use crate::kafka::consumer::coordinator::Progress;
use crate::kafka::consumer::fetcher::Collected;
use crate::kafka::consumer::log_bounds::LogBounds;
use crate::kafka::consumer::network_thread::{AsyncClose, AsyncPoll};
use crate::kafka::consumer::positions::{FetchState, SubscribedBy, SubscriptionType};
use crate::kafka::consumer::{Consumer, ConsumerCall, LogBound, PolledSlice, Returned};
use crate::kafka::effects::Effects;

/// A call that blocks.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Poll(Poll),
    Commit(SyncCommit),
    Committed { partition: PartitionId, deadline: Time },
    Position { partition: PartitionId, deadline: Time },
    LogBounds(LogBounds),
    Unsubscribe,
    Close(Close),
    AsyncPoll(AsyncPoll),
    AsyncUnsubscribe { deadline: Time },
    AsyncClose(AsyncClose),
}

/// `poll()`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Poll {
    deadline: Time,
    quiet: bool,
    /// It waits for fetches, having done everything that comes before.
    fetching: bool,
}

/// `close()`.
#[derive(Clone, Debug)]
pub(super) struct Close {
    deadline: Time,
    stage: Closing,
}

#[derive(Clone, Debug)]
enum Closing {
    /// The automatic commit.
    Commit(SyncCommit),
    /// Asynchronous commits that still look for the coordinator.
    Lookups,
    /// The callback about what is given up.
    Leaving,
    /// What was sent to the coordinator is answered.
    Answers,
}

impl Call {
    /// Adds this call to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        let (kind, deadline) = match self {
            Self::Poll(poll) => (u8::from(poll.fetching), poll.deadline),
            Self::Commit(commit) => (2, commit.deadline),
            Self::Committed { deadline, .. } => (3, *deadline),
            Self::Position { deadline, .. } => (4, *deadline),
            Self::LogBounds(lookup) => (8, lookup.deadline),
            Self::Close(close) => match close.stage {
                Closing::Commit(_) => (5, close.deadline),
                Closing::Lookups => (6, close.deadline),
                Closing::Answers => (7, close.deadline),
                Closing::Leaving => (9, close.deadline),
            },
            Self::Unsubscribe => (10, Time::NEVER),
            Self::AsyncPoll(poll) => (11, poll.deadline),
            Self::AsyncUnsubscribe { deadline } => (12, *deadline),
            Self::AsyncClose(close) => (13 + close.stage(), close.deadline),
        };
        into.add(kind);
        into.add_time(now, deadline);
        if let Self::Commit(commit) = self {
            commit.fingerprint(now, into);
        }
    }
}

/// How a call ends, unless it goes on.
pub(super) type Outcome = Result<Option<Returned>, Exception>;

impl Consumer {
    /// The part of a call that does not block. `Ok(None)`: it blocks, as `self.call` says.
    pub(super) fn begin(&mut self, now: Time, call: ConsumerCall, fx: &mut Effects) -> Outcome {
        if self.closed {
            return match call {
                ConsumerCall::Close { .. } => Ok(Some(Returned::Closed)),
                _ => Err(Exception::IllegalState),
            };
        }
        let within =
            |timeout: Option<Duration>| now + timeout.unwrap_or(self.config.default_api_timeout);
        match call {
            ConsumerCall::Subscribe(topics) => self.subscribe(now, topics, fx),
            ConsumerCall::SubscribePattern(fits) => self.subscribe_pattern(fits, fx),
            ConsumerCall::SubscribeRegex(regex) => self.subscribe_regex(regex),
            ConsumerCall::Assign(partitions) => self.assign(now, &partitions, fx),
            ConsumerCall::Unsubscribe => Ok(self.unsubscribe(now, fx)),
            ConsumerCall::Poll { timeout, quiet } => {
                if self.subscriptions.kind == SubscriptionType::None {
                    return Err(Exception::IllegalState);
                }
                if self.take_poll_exceeded() {
                    return Err(Exception::MaxPollExceeded);
                }
                let deadline = now + timeout;
                self.call = Some(if self.is_async() {
                    Call::AsyncPoll(AsyncPoll::new(deadline, quiet))
                } else {
                    Call::Poll(Poll { deadline, quiet, fetching: false })
                });
                Ok(None)
            }
            ConsumerCall::Commit { sync, offsets } => self.commit(now, sync, offsets, fx),
            ConsumerCall::Store(offsets) => {
                self.store_offsets(&offsets);
                Ok(Some(Returned::Done))
            }
            // Only a share consumer has it.
            ConsumerCall::Acknowledge { .. } => Err(Exception::IllegalState),
            ConsumerCall::Seek(to) => self.seek(to, fx),
            ConsumerCall::SeekTo(partitions, bound) => self.seek_to(partitions, bound),
            ConsumerCall::Pause(partitions) => self.pause(&partitions, true),
            ConsumerCall::Resume(partitions) => self.pause(&partitions, false),
            ConsumerCall::EnforceRebalance => {
                self.group.ok_or(Exception::IllegalState)?;
                self.membership.rejoin_needed = true;
                Ok(Some(Returned::Done))
            }
            ConsumerCall::Committed { partition, timeout } => {
                self.group.ok_or(Exception::InvalidGroupId)?;
                self.call = Some(Call::Committed { partition, deadline: within(timeout) });
                Ok(None)
            }
            ConsumerCall::Position { partition, timeout } => {
                self.subscriptions.get(partition).ok_or(Exception::IllegalState)?;
                self.call = Some(Call::Position { partition, deadline: within(timeout) });
                Ok(None)
            }
            ConsumerCall::ListOffsets { partitions, end, timeout } => {
                let lookup = LogBounds::new(partitions, end, within(timeout));
                self.call = Some(Call::LogBounds(lookup));
                Ok(None)
            }
            ConsumerCall::Close { timeout } => {
                self.call = Some(self.close_call(now + timeout.min(self.config.request_timeout)));
                Ok(None)
            }
        }
    }

    fn close_call(&self, deadline: Time) -> Call {
        let commit = self
            .auto_commits()
            .then(|| SyncCommit::new(CommitKind::AutoClose, self.to_commit(), deadline));
        if self.is_async() {
            return Call::AsyncClose(AsyncClose::new(deadline, commit));
        }
        let stage = commit.map_or(Closing::Lookups, Closing::Commit);
        Call::Close(Close { deadline, stage })
    }

    fn subscribe(&mut self, now: Time, topics: Vec<TopicId>, fx: &mut Effects) -> Outcome {
        self.group.ok_or(Exception::InvalidGroupId)?;
        if topics.is_empty() {
            return Ok(self.unsubscribe(now, fx));
        }
        self.subscribe_to(topics, SubscribedBy::Names, fx)
    }

    fn subscribe_to(
        &mut self,
        mut topics: Vec<TopicId>,
        by: SubscribedBy,
        fx: &mut Effects,
    ) -> Outcome {
        self.group.ok_or(Exception::InvalidGroupId)?;
        self.exclude_others(by)?;
        topics.sort_unstable();
        topics.dedup();
        let names = &fx.names;
        self.fetcher.retain(|p| topics.contains(&names.partitions[p.index()].topic));
        if self.subscriptions.topics != topics {
            self.network.metadata_mut().request_update_for_new_topic();
        }
        self.subscriptions.kind = SubscriptionType::Topics;
        self.subscriptions.by = by;
        self.subscriptions.topics = topics;
        self.subscription_updated();
        Ok(Some(Returned::Done))
    }

    /// `subscribe(Pattern)`: of the topics that fit those that the metadata has.
    fn subscribe_pattern(&mut self, mut fits: Vec<TopicId>, fx: &mut Effects) -> Outcome {
        fits.sort_unstable();
        let known = self.known_topics(&fits, fx);
        self.subscribe_to(known, SubscribedBy::Pattern, fx)?;
        self.subscriptions.fits = fits;
        Ok(Some(Returned::Done))
    }

    /// `updatePatternSubscription`: the metadata may have topics now that fit the pattern.
    pub(super) fn look_for_topics(&mut self, fx: &Effects) {
        if self.subscriptions.by != SubscribedBy::Pattern {
            return;
        }
        let known = self.known_topics(&self.subscriptions.fits, fx);
        if known != self.subscriptions.topics {
            self.subscriptions.topics = known;
            self.network.metadata_mut().request_update_for_new_topic();
            self.subscription_updated();
        }
    }

    /// Those of `topics` that the metadata has.
    fn known_topics(&self, topics: &[TopicId], fx: &Effects) -> Vec<TopicId> {
        let (names, metadata) = (&fx.names, self.network.metadata());
        let known = |t: &TopicId| !metadata.partitions_of(&names.topics[t.index()]).is_empty();
        topics.iter().copied().filter(known).collect()
    }

    /// `setSubscriptionType`: subscriptions to topics, partitions and patterns are mutually exclusive.
    fn exclude_others(&self, by: SubscribedBy) -> Result<(), Exception> {
        let subscriptions = &self.subscriptions;
        let same = std::mem::discriminant(&subscriptions.by) == std::mem::discriminant(&by);
        match subscriptions.kind {
            SubscriptionType::None => Ok(()),
            SubscriptionType::Topics if same => Ok(()),
            _ => Err(Exception::IllegalState),
        }
    }

    /// `subscribe(SubscriptionPattern)`: the coordinator looks for the topics. `None`: the pattern is empty.
    fn subscribe_regex(&mut self, regex: Option<RegexId>) -> Outcome {
        if !self.is_async() {
            return Err(Exception::UnsupportedOperation);
        }
        self.group.ok_or(Exception::InvalidGroupId)?;
        let by = SubscribedBy::Regex(regex.ok_or(Exception::IllegalArgument)?);
        self.exclude_others(by)?;
        self.subscriptions.kind = SubscriptionType::Topics;
        self.subscriptions.by = by;
        self.subscription_updated();
        Ok(Some(Returned::Done))
    }

    fn assign(&mut self, now: Time, partitions: &[PartitionId], fx: &mut Effects) -> Outcome {
        if partitions.is_empty() {
            return Ok(self.unsubscribe(now, fx));
        }
        if self.subscriptions.kind == SubscriptionType::Topics {
            return Err(Exception::IllegalState);
        }
        self.fetcher.retain(|p| partitions.contains(&p));
        self.auto_commit_if_due(now, fx);
        self.subscriptions.kind = SubscriptionType::Partitions;
        self.subscriptions.assign(partitions);
        self.network.metadata_mut().request_update_for_new_topic();
        Ok(Some(Returned::Done))
    }

    fn unsubscribe(&mut self, now: Time, fx: &mut Effects) -> Option<Returned> {
        if self.is_async() {
            let deadline = now + self.config.default_api_timeout;
            self.begin_async_unsubscribe(now, fx);
            self.call = Some(Call::AsyncUnsubscribe { deadline });
            return None;
        }
        self.fetcher.retain(|_| false);
        if self.group.is_some() {
            self.leave_prepare(fx);
        }
        self.call = Some(Call::Unsubscribe);
        None
    }

    /// The callback of `unsubscribe()` has returned.
    fn advance_unsubscribe(&mut self, now: Time, fx: &mut Effects) -> Returned {
        if self.group.is_some() {
            self.leave_group(now, false, fx);
        }
        self.subscriptions.clear();
        Returned::Done
    }

    fn commit(
        &mut self,
        now: Time,
        sync: bool,
        offsets: Option<Vec<PartitionOffset>>,
        fx: &mut Effects,
    ) -> Outcome {
        let offsets = offsets.unwrap_or_else(|| self.to_commit());
        if self.is_librdkafka() && offsets.is_empty() {
            return Err(Exception::NoOffset);
        }
        if has_negative(&offsets) {
            return Err(Exception::IllegalArgument);
        }
        self.group.ok_or(Exception::InvalidGroupId)?;
        if sync {
            let deadline = now + self.config.default_api_timeout;
            self.call = Some(Call::Commit(SyncCommit::new(CommitKind::Sync, offsets, deadline)));
            return Ok(None);
        }
        self.deliver_commit_callbacks(now, fx)?;
        self.commit_async(now, CommitKind::Async, offsets, fx);
        Ok(Some(Returned::Done))
    }

    fn seek(&mut self, to: PartitionOffset, fx: &mut Effects) -> Outcome {
        if to.offset < Offset(0) {
            return Err(Exception::IllegalArgument);
        }
        self.subscriptions.get(to.partition).ok_or(Exception::IllegalState)?;
        self.set_position(to.partition, to.offset, PositionReason::Seek, fx);
        Ok(Some(Returned::Done))
    }

    /// `seekToBeginning()` and `seekToEnd()` look nothing up: the next `poll()` or `position()` does.
    fn seek_to(&mut self, mut partitions: Vec<PartitionId>, bound: LogBound) -> Outcome {
        if partitions.is_empty() {
            partitions = self.subscriptions.ids().to_vec();
        }
        let reset = match bound {
            LogBound::Beginning => OffsetReset::Earliest,
            LogBound::End => OffsetReset::Latest,
        };
        for partition in partitions {
            if !self.subscriptions.reset_to(partition, Some(reset)) {
                return Err(Exception::IllegalState);
            }
        }
        Ok(Some(Returned::Done))
    }

    fn pause(&mut self, partitions: &[PartitionId], paused: bool) -> Outcome {
        if partitions.iter().all(|partition| self.subscriptions.pause(*partition, paused)) {
            Ok(Some(Returned::Done))
        } else {
            Err(Exception::IllegalState)
        }
    }

    /// Lets the blocked call go on as far as it can.
    pub(super) fn advance(&mut self, now: Time, fx: &mut Effects) {
        if self.call.is_none() || self.is_calling_back() {
            return;
        }
        self.wake = Time::NEVER;
        if self.listener.is_running() && !self.advance_listener(now, fx) {
            return;
        }
        let Some(mut call) = self.call.take() else { return };
        let outcome = match &mut call {
            Call::Poll(poll) => self.advance_poll(now, poll, fx),
            Call::Commit(commit) => match self.commit_sync(now, commit, fx) {
                Some(Ok(())) => Ok(Some(Returned::Done)),
                Some(Err(exception)) => Err(exception),
                None => Ok(None),
            },
            Call::Committed { partition, deadline } => {
                self.advance_committed(now, *partition, *deadline, fx)
            }
            Call::Position { partition, deadline } => {
                self.advance_position(now, *partition, *deadline, fx)
            }
            Call::LogBounds(lookup) => self.advance_log_bounds(now, lookup, fx),
            Call::Unsubscribe => Ok(Some(self.advance_unsubscribe(now, fx))),
            Call::Close(close) => Ok(self.advance_close(now, close, fx)),
            Call::AsyncPoll(poll) => self.advance_async_poll(now, poll, fx),
            Call::AsyncUnsubscribe { deadline } => {
                self.advance_async_unsubscribe(now, *deadline, fx)
            }
            Call::AsyncClose(close) => Ok(self.advance_async_close(now, close, fx)),
        };
        match outcome {
            Ok(Some(returned)) => self.returned = Some(returned),
            Ok(None) => self.call = Some(call),
            Err(exception) => self.throw(exception, fx),
        }
    }

    /// One turn of the loop in `poll()`: rebalance and positions first, then what is buffered, then new fetches.
    fn advance_poll(&mut self, now: Time, poll: &mut Poll, fx: &mut Effects) -> Outcome {
        let expired = poll.deadline <= now;
        if poll.fetching {
            let collected = self.collect(now, fx)?;
            if expired || collected.is_something() {
                return Ok(Some(self.polled(now, collected, poll.quiet, fx)));
            }
        }
        poll.fetching = false;
        let progress = self.update_assignment(now, fx)?;
        if self.listener.is_running() {
            return Ok(None);
        }
        if let Progress::Blocked(until) = progress
            && !expired
        {
            self.wake = until.min(poll.deadline);
            return Ok(None);
        }
        let collected = self.collect(now, fx)?;
        if collected.is_something() {
            return Ok(Some(self.polled(now, collected, poll.quiet, fx)));
        }
        let unsent = self.send_fetches(now, fx);
        if expired {
            return Ok(Some(self.polled(now, Collected::default(), poll.quiet, fx)));
        }
        self.auto_commit_too_late(now, fx);
        poll.fetching = true;
        self.wake = poll.deadline.min(self.poll_wake(now, unsent));
        Ok(None)
    }

    /// When a poll that waits for fetches looks again although nothing arrives (`pollForFetches`).
    fn poll_wake(&self, now: Time, unsent: bool) -> Time {
        let retry = if unsent || !self.subscriptions.has_all_positions() {
            now + self.config.retry_backoff
        } else {
            Time::NEVER
        };
        let auto_commit = self.auto_commit_due();
        let auto_commit = if auto_commit > now { auto_commit } else { Time::NEVER };
        let positions = self.subscriptions.next_retry(now);
        retry.min(auto_commit).min(positions).min(self.join_wake(now))
    }

    /// `updateAssignmentMetadataIfNeeded`.
    fn update_assignment(&mut self, now: Time, fx: &mut Effects) -> Result<Progress, Exception> {
        if self.group.is_some() {
            let progress = self.coordinator_poll(now, fx)?;
            if progress != Progress::Ready {
                return Ok(progress);
            }
        }
        self.update_positions(now, fx)
    }

    pub(super) fn polled(
        &mut self,
        now: Time,
        collected: Collected,
        quiet: bool,
        fx: &mut Effects,
    ) -> Returned {
        let Collected { records, mut moved } = collected;
        for slice in &records {
            let PolledSlice { partition, batch, base_offset, first, count } = *slice;
            fx.event(EventKind::Polled { partition, batch, base_offset, first, count });
        }
        // Of those whose records end where the position is, reading said it all.
        let read_to =
            |slice: &PolledSlice| slice.base_offset + i64::from(slice.first + slice.count);
        let told: BTreeMap<_, _> =
            records.iter().map(|slice| (slice.partition, read_to(slice))).collect();
        moved.retain(|partition, to| told.get(partition) != Some(to));
        for (partition, offset) in moved {
            fx.event(EventKind::PositionPassed { partition, offset });
        }
        if records.is_empty() {
            if !quiet {
                fx.event(EventKind::PollEmpty);
            }
        } else {
            self.store_polled(&records);
            // The next fetches travel while the application works.
            self.send_fetches(now, fx);
            self.auto_commit_too_late(now, fx);
        }
        Returned::Polled(records)
    }

    fn advance_committed(
        &mut self,
        now: Time,
        partition: PartitionId,
        deadline: Time,
        fx: &mut Effects,
    ) -> Outcome {
        if let Some(offsets) = self.fetch_committed(now, &[partition], fx)? {
            let offset = offsets.iter().find(|o| o.partition == partition).map(|o| o.offset);
            return Ok(Some(Returned::Offset(offset.unwrap_or(Offset::NONE))));
        }
        self.blocked_until(now, deadline)
    }

    fn advance_position(
        &mut self,
        now: Time,
        partition: PartitionId,
        deadline: Time,
        fx: &mut Effects,
    ) -> Outcome {
        let state = self.subscriptions.get(partition).copied();
        let fetching = state.filter(|state| state.state == FetchState::Fetching);
        if let Some(position) = fetching.and_then(|state| state.position) {
            return Ok(Some(Returned::Offset(position.offset)));
        }
        let wake = match self.update_positions(now, fx)? {
            Progress::Blocked(until) => until,
            Progress::Ready | Progress::NotReady => now + self.config.retry_backoff,
        };
        self.wake = wake;
        self.blocked_until(now, deadline)
    }

    pub(super) fn blocked_until(&mut self, now: Time, deadline: Time) -> Outcome {
        self.wake = self.wake.min(deadline);
        if deadline <= now { Err(Exception::Timeout) } else { Ok(None) }
    }

    fn advance_close(
        &mut self,
        now: Time,
        close: &mut Close,
        fx: &mut Effects,
    ) -> Option<Returned> {
        if let Closing::Commit(commit) = &mut close.stage {
            // How it ends is nobody's business but the log's.
            let _ = self.commit_sync(now, commit, fx)?;
            close.stage = Closing::Lookups;
        }
        let expired = close.deadline <= now;
        self.wake = close.deadline;
        if let Closing::Lookups = close.stage {
            if self.commits.is_looking_up() && !expired {
                self.look_up_coordinator(now, fx);
                self.wake = self.wake.min(self.coordinator_wake(now));
                return None;
            }
            self.heartbeat.stop();
            if self.group.is_some() {
                self.leave_prepare(fx);
            }
            close.stage = Closing::Leaving;
            if self.listener.is_running() {
                return None;
            }
        }
        if let Closing::Leaving = close.stage {
            if self.group.is_some() {
                self.drop_assignment();
                self.leave_group(now, false, fx);
            }
            close.stage = Closing::Answers;
        }
        self.flush_commits(now, fx);
        let waits = self.membership.is_leaving() || self.commits.has_open();
        if waits && !expired && self.usable_coordinator(now, fx).is_some() {
            return None;
        }
        let _ = self.deliver_commit_callbacks(now, fx);
        self.network.close(fx);
        self.closed = true;
        fx.event(EventKind::Closed);
        Some(Returned::Closed)
    }
}
