//! Calls of the application (`ShareConsumerImpl`).

use std::collections::BTreeMap;

use crate::base::batch::RecordBody;
use crate::base::error::Exception;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{MessageId, PartitionId};
use crate::base::share::AcknowledgeType;
use crate::base::time::Time;
use crate::event::EventKind;
use crate::kafka::consumer::{ConsumerCall, Returned};
use crate::kafka::effects::Effects;
use crate::kafka::share::consumer::ShareConsumer;
use crate::kafka::share::consumer::fetching::Purpose;
use crate::kafka::share::consumer::records::{Acknowledgement, Held, batched, sliced};

/// A call that blocks.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Poll(Poll),
    /// `commitSync`.
    Commit {
        deadline: Time,
    },
    Close(Close),
}

/// `poll()`.
#[derive(Clone, Debug)]
pub(super) struct Poll {
    deadline: Time,
    quiet: bool,
    /// It has asked the network thread for records.
    asked: bool,
    /// What was said of the records before, until it is passed on.
    said: Vec<Acknowledgement>,
}

/// `close()`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Close {
    deadline: Time,
    leaving: bool,
}

impl Call {
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        let (kind, deadline) = match self {
            Self::Poll(poll) => (u8::from(poll.asked), poll.deadline),
            Self::Commit { deadline } => (2, *deadline),
            Self::Close(close) => (3 + u8::from(close.leaving), close.deadline),
        };
        into.add(kind);
        into.add_time(now, deadline);
    }
}

/// How a call ends, unless it goes on.
pub(super) type Outcome = Result<Option<Returned>, Exception>;

impl ShareConsumer {
    /// The part of a call that does not block. `Ok(None)`: it blocks, as `self.call` says.
    pub(super) fn begin(&mut self, now: Time, call: ConsumerCall, fx: &mut Effects) -> Outcome {
        if self.closed {
            return match call {
                ConsumerCall::Close { .. } => Ok(Some(Returned::Closed)),
                _ => Err(Exception::IllegalState),
            };
        }
        match call {
            ConsumerCall::Subscribe(topics) => {
                self.group.ok_or(Exception::InvalidGroupId)?;
                if topics.is_empty() {
                    self.leave_group(now);
                } else {
                    self.subscribe(now, topics);
                }
                Ok(Some(Returned::Done))
            }
            ConsumerCall::Unsubscribe => {
                self.leave_group(now);
                Ok(Some(Returned::Done))
            }
            ConsumerCall::Poll { timeout, quiet } => {
                self.tell_outcomes(fx);
                self.accept_if_implicit();
                if self.config.explicit_acknowledgement && !self.in_hand.all_said() {
                    return Err(Exception::IllegalState);
                }
                if !self.membership.is_subscribed() {
                    return Err(Exception::IllegalState);
                }
                self.polled_now(now);
                let (deadline, said) = (now + timeout, self.in_hand.take_said());
                self.call = Some(Call::Poll(Poll { deadline, quiet, asked: false, said }));
                Ok(None)
            }
            ConsumerCall::Acknowledge { messages, kind } => self.acknowledge(&messages, kind, fx),
            ConsumerCall::Commit { sync, .. } => Ok(self.commit(now, sync, fx)),
            ConsumerCall::Close { timeout } => {
                let deadline = now + timeout.min(self.config.request_timeout);
                let said = self.in_hand.take_said();
                self.close_sessions(said, deadline);
                self.call = Some(Call::Close(Close { deadline, leaving: false }));
                Ok(None)
            }
            // A share consumer has no such methods.
            ConsumerCall::Assign(_)
            | ConsumerCall::SubscribePattern(_)
            | ConsumerCall::SubscribeRegex(_)
            | ConsumerCall::Seek(_)
            | ConsumerCall::Store(_)
            | ConsumerCall::SeekTo(..)
            | ConsumerCall::Pause(_)
            | ConsumerCall::Resume(_)
            | ConsumerCall::EnforceRebalance
            | ConsumerCall::Committed { .. }
            | ConsumerCall::Position { .. }
            | ConsumerCall::ListOffsets { .. } => Err(Exception::IllegalState),
        }
    }

    /// `acknowledge(record, type)`. Without messages: of everything in hand of which nothing was said.
    fn acknowledge(
        &mut self,
        messages: &[MessageId],
        kind: AcknowledgeType,
        fx: &mut Effects,
    ) -> Outcome {
        if !self.config.explicit_acknowledgement {
            return Err(Exception::IllegalState);
        }
        let message = |held: &Held, fx: &Effects| {
            let n = (held.offset.0 - held.base.0) as u32;
            match fx.batches.record(held.batch, n).body {
                RecordBody::Message(id) | RecordBody::DeadLetter { message: id, .. } => Some(id),
                _ => None,
            }
        };
        let mut wanted = Vec::new();
        for held in self.in_hand.all() {
            let named = message(&held, fx).is_some_and(|id| messages.contains(&id));
            if named || (messages.is_empty() && held.said.is_none()) {
                wanted.push((held.partition, held.offset));
            }
        }
        self.in_hand.say(kind, &wanted, fx);
        if wanted.is_empty() && !messages.is_empty() {
            return Err(Exception::IllegalState);
        }
        Ok(Some(Returned::Done))
    }

    fn commit(&mut self, now: Time, sync: bool, fx: &mut Effects) -> Option<Returned> {
        self.tell_outcomes(fx);
        self.accept_if_implicit();
        let said = self.in_hand.take_said();
        let deadline = now + self.config.default_api_timeout;
        if !sync {
            self.send_acknowledgements(said, Purpose::Async, deadline);
            return Some(Returned::Done);
        }
        if said.is_empty() {
            return Some(Returned::Acknowledged(Vec::new()));
        }
        self.send_acknowledgements(said, Purpose::Sync, deadline);
        self.call = Some(Call::Commit { deadline });
        None
    }

    fn accept_if_implicit(&mut self) {
        if !self.config.explicit_acknowledgement {
            self.in_hand.accept_rest();
        }
    }

    /// Calls the acknowledgement commit callback for what is answered. Returns what `commitSync` waited for.
    fn tell_outcomes(&mut self, fx: &mut Effects) -> BTreeMap<PartitionId, Option<Exception>> {
        let mut synced = BTreeMap::new();
        for outcome in std::mem::take(&mut self.fetching.outcomes) {
            let exception = outcome.exception;
            for batch in batched(&outcome.what) {
                let (partition, first) = (batch.partition, batch.first);
                let count = (batch.last.0 - first.0 + 1) as u32;
                fx.event(EventKind::AcknowledgeAnswered { partition, first, count, exception });
                if outcome.is_sync {
                    let held: &mut Option<Exception> = synced.entry(partition).or_insert(None);
                    *held = held.or(exception);
                }
            }
        }
        synced
    }

    /// Lets the blocked call go on as far as it can.
    pub(super) fn advance(&mut self, now: Time, fx: &mut Effects) {
        let Some(mut call) = self.call.take() else { return };
        self.wake = Time::NEVER;
        let outcome = match &mut call {
            Call::Poll(poll) => self.advance_poll(now, poll, fx),
            Call::Commit { deadline } => {
                self.wake = *deadline;
                if self.fetching.has_open(Purpose::Sync) {
                    Ok(None)
                } else {
                    let partitions = self.tell_outcomes(fx).into_iter().collect();
                    Ok(Some(Returned::Acknowledged(partitions)))
                }
            }
            Call::Close(close) => Ok(self.advance_close(now, close, fx)),
        };
        match outcome {
            Ok(Some(returned)) => self.returned = Some(returned),
            Ok(None) => self.call = Some(call),
            Err(exception) => self.throw(exception, fx),
        }
    }

    /// One turn of the loop in `poll()`.
    fn advance_poll(&mut self, now: Time, poll: &mut Poll, fx: &mut Effects) -> Outcome {
        if let Some(fatal) = self.membership.take_fatal() {
            return Err(fatal);
        }
        let deadline = now + self.config.default_api_timeout;
        let said = std::mem::take(&mut poll.said);
        if self.in_hand.is_empty() {
            let records = self.collect();
            if !records.is_empty() {
                self.send_acknowledgements(said, Purpose::Async, deadline);
                return Ok(Some(self.polled(&records, poll.quiet, fx)));
            }
            if poll.asked {
                self.send_acknowledgements(said, Purpose::Async, deadline);
            } else {
                self.want_records(said);
                poll.asked = true;
            }
        } else {
            // Records whose lock is being renewed come back before others are fetched.
            self.send_acknowledgements(said, Purpose::Async, deadline);
            let back = self.in_hand.take_renewed();
            if !back.is_empty() {
                return Ok(Some(self.polled(&back, poll.quiet, fx)));
            }
            if !self.in_hand.is_renewing() {
                let all = self.in_hand.all();
                return Ok(Some(self.polled(&all, poll.quiet, fx)));
            }
        }
        if poll.deadline <= now {
            return Ok(Some(self.polled(&[], poll.quiet, fx)));
        }
        self.wake = poll.deadline;
        Ok(None)
    }

    /// What is buffered, up to `max.poll.records` and then to the end of the batch of the log
    /// (`ShareFetchCollector.collect`).
    fn collect(&mut self) -> Vec<Held> {
        let mut left = self.config.max_poll_records;
        while left > 0
            && let Some(completed) = self.fetching.buffer.front_mut()
        {
            let mut taken = Vec::new();
            while let Some(record) = completed.records.front() {
                let same_batch = taken.last().is_some_and(|last: &super::records::Fresh| {
                    (last.batch, last.base) == (record.batch, record.base)
                });
                if left == 0 && !same_batch {
                    break;
                }
                taken.push(*record);
                completed.records.pop_front();
                left = left.saturating_sub(1);
            }
            let from = (completed.broker, completed.partition);
            self.in_hand.take_in(from, &taken);
            if completed.records.is_empty() {
                self.fetching.buffer.pop_front();
            }
        }
        self.in_hand.all()
    }

    fn polled(&mut self, records: &[Held], quiet: bool, fx: &mut Effects) -> Returned {
        let slices = sliced(records);
        for (slice, delivery) in &slices {
            let (partition, batch, base_offset) = (slice.partition, slice.batch, slice.base_offset);
            let (first, count) = (slice.first, slice.count);
            fx.event(EventKind::Polled { partition, batch, base_offset, first, count });
            let delivery = *delivery;
            fx.event(EventKind::Delivered {
                partition,
                batch,
                base_offset,
                first,
                count,
                delivery,
            });
        }
        if records.is_empty() && !quiet {
            fx.event(EventKind::PollEmpty);
        }
        self.tell_outcomes(fx);
        Returned::Polled(slices.into_iter().map(|(slice, _)| slice).collect())
    }

    fn advance_close(
        &mut self,
        now: Time,
        close: &mut Close,
        fx: &mut Effects,
    ) -> Option<Returned> {
        let expired = close.deadline <= now;
        self.wake = close.deadline;
        if !close.leaving {
            let waits = [Purpose::Async, Purpose::Sync, Purpose::Close];
            if waits.into_iter().any(|purpose| self.fetching.has_open(purpose)) && !expired {
                return None;
            }
            close.leaving = true;
            self.leave_group(now);
            self.heartbeat_thread(now, fx);
        }
        if self.membership.is_leaving() && !expired {
            return None;
        }
        self.forget_group();
        self.tell_outcomes(fx);
        self.network.close(fx);
        self.closed = true;
        fx.event(EventKind::Closed);
        Some(Returned::Closed)
    }
}
