//! A consumer and the application around it, as one process: its loop, or the calls a script makes.
//!
//! Simplified: an application's `main`: it subscribes, loops until it is told to stop, and closes the consumer. A stop
//! (`SIGTERM`) interrupts `poll()` (`wakeup()`), lets the round end and then closes; workers that are still busy die
//! with the process.

use std::collections::BTreeMap;

use crate::app::client::Client;
use crate::app::outlet::{Outlet, Waits};
use crate::app::unfinished::Unfinished;
use crate::app::workers::Workers;
use crate::app::{CommitMode, HandCall, HandReturn, LoopStep, OnRevoked, Subscription};
use crate::base::batch::RecordBody;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{MessageId, Offset, PartitionId};
use crate::base::share::AcknowledgeType;
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::api::PartitionOffset;
use crate::kafka::consumer::{ConsumerCall, DEFAULT_CLOSE_TIMEOUT, PolledSlice, Returned};
use crate::kafka::effects::{Effects, Input, TimerKind};

/// What the application's own thread does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Doing {
    /// It has not started.
    Nothing,
    /// The next step of the loop.
    Looping,
    /// It waits for a call that a step of the loop made.
    LoopCall,
    /// It works on the record with this number in the batch until the timer runs out.
    Record(u32),
    /// It waits for the commit after that record.
    RecordCommit(u32),
    /// It works on the whole batch, or pauses, until the timer runs out.
    Timed,
    /// It waits for something at its producer.
    Outlet(Waits),
    /// It waits for the script's next call.
    HandIdle,
    /// It waits for a call the script made.
    HandBusy,
    /// It closes the consumer and exits.
    Closing,
    /// It has exited, or has nothing to do any more.
    Ended,
}

/// The number of [`TimerKind::Work`] that is the application's own thread; workers count from 1.
const OWN_THREAD: u16 = 0;

/// See the module.
#[derive(Clone, Debug)]
pub struct ConsumerProcess {
    pub(super) consumer: Client,
    pub(super) outlet: Option<Outlet>,
    subscription: Subscription,
    pub(super) steps: Vec<LoopStep>,
    /// Messages it cannot process, and what it says of them.
    poison: Vec<(MessageId, AcknowledgeType)>,
    on_revoked: Option<OnRevoked>,
    pub(super) doing: Doing,
    /// The step of the loop that is next or under way.
    at: usize,
    /// What the last poll of the round returned.
    pub(super) batch: Vec<PolledSlice>,
    /// The last poll returned nothing: the next one need not be told.
    idle: bool,
    stopping: bool,
    unfinished: Unfinished,
    workers: Workers,
    /// What `CommitFinished` committed last, or began with.
    pub(super) finished: BTreeMap<PartitionId, Offset>,
    hand: Option<HandCall>,
    /// When that call began.
    hand_since: Time,
    last: HandReturn,
}

impl ConsumerProcess {
    /// A process that will read `subscription` with these steps. Without steps a script makes the calls.
    ///
    /// # Panics
    /// When there are steps and none of them takes time to wait for something ([`LoopStep::Poll`]).
    pub fn new(
        consumer: impl Into<Client>,
        subscription: Subscription,
        steps: Vec<LoopStep>,
    ) -> Self {
        let polls = steps.iter().any(|step| matches!(step, LoopStep::Poll(_)));
        assert!(steps.is_empty() || polls, "a loop without a poll would never end");
        Self {
            consumer: consumer.into(),
            outlet: None,
            subscription,
            steps,
            poison: Vec::new(),
            on_revoked: None,
            doing: Doing::Nothing,
            at: 0,
            batch: Vec::new(),
            idle: false,
            stopping: false,
            unfinished: Unfinished::default(),
            workers: Workers::default(),
            finished: BTreeMap::new(),
            hand: None,
            hand_since: Time::ZERO,
            last: HandReturn::default(),
        }
    }

    /// The application commits when partitions are taken away.
    #[must_use]
    pub fn with_listener(mut self, on_revoked: OnRevoked) -> Self {
        self.consumer = self.consumer.with_listener();
        self.on_revoked = Some(on_revoked);
        self
    }

    /// Something came to the process.
    pub fn step(&mut self, now: Time, input: Input, fx: &mut Effects) {
        self.start(now, fx);
        match input {
            Input::Timeout(timer) if timer.kind == TimerKind::Work => {
                if timer.number == OWN_THREAD {
                    self.work_is_over(now, fx);
                } else if let Some(record) = self.workers.finished(now, timer.number, fx) {
                    self.processed(record, fx);
                }
            }
            input => self.consumer.step(now, input, fx),
        }
        self.proceed(now, fx);
    }

    /// The script makes a call. Made of a process with a loop, it takes the place of the loop after its present step.
    ///
    /// # Panics
    /// While an earlier call has not returned ([`ConsumerProcess::is_busy`]).
    pub fn call(&mut self, now: Time, call: HandCall, fx: &mut Effects) {
        assert!(!self.is_busy(), "one call at a time");
        self.start(now, fx);
        self.hand = Some(call);
        self.proceed(now, fx);
    }

    /// True while a call of the script has not returned.
    pub fn is_busy(&self) -> bool {
        self.hand.is_some()
    }

    /// What the last call of the script came to.
    pub fn last_return(&self) -> &HandReturn {
        &self.last
    }

    /// Records that were polled and are not processed, oldest first.
    pub fn unprocessed(&self) -> &[PolledSlice] {
        self.unfinished.slices()
    }

    /// True while the application or a worker works on a record.
    pub fn is_working(&self) -> bool {
        let working =
            matches!(self.doing, Doing::Record(_) | Doing::RecordCommit(_) | Doing::Timed);
        working || self.workers.is_busy()
    }

    /// The consumer.
    pub fn consumer(&self) -> &Client {
        &self.consumer
    }

    /// An orderly stop begins: the loop is left, the consumer closed, the process exits.
    pub fn stop(&mut self, now: Time, fx: &mut Effects) {
        if self.stopping {
            return;
        }
        self.start(now, fx);
        self.stopping = true;
        self.consumer.wakeup();
        self.proceed(now, fx);
    }

    /// Adds this process to a fingerprint.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        self.consumer.fingerprint(now, into);
        if let Some(outlet) = &self.outlet {
            outlet.fingerprint(now, into);
        }
        into.add((self.doing, self.at, &self.batch, self.idle, self.stopping));
        into.add((self.unfinished.slices(), &self.finished));
        self.workers.fingerprint(now, into);
    }

    fn start(&mut self, now: Time, fx: &mut Effects) {
        if self.doing != Doing::Nothing {
            return;
        }
        let call = match self.subscription.clone() {
            Subscription::Topics(topics) if topics.is_empty() => None,
            Subscription::Topics(topics) => Some(ConsumerCall::Subscribe(topics)),
            Subscription::Pattern(topics) => Some(ConsumerCall::SubscribePattern(topics)),
            Subscription::Regex(regex, _) => Some(ConsumerCall::SubscribeRegex(Some(regex))),
            Subscription::Partitions(partitions) => Some(ConsumerCall::Assign(partitions)),
        };
        if let Some(call) = call {
            self.consumer.call(now, call, fx);
        }
        let failed = matches!(self.consumer.take_returned(), Some(Returned::Threw(_)));
        self.doing = match self.steps.is_empty() {
            true => Doing::HandIdle,
            false if failed => self.close(now, fx),
            false => self.begin_with_outlet(now, fx),
        };
    }

    /// Goes on until something must be waited for.
    pub(super) fn proceed(&mut self, now: Time, fx: &mut Effects) {
        loop {
            let before = (self.doing, self.at, self.hand.is_some());
            if self.consumer.is_calling_back() {
                self.revoked(now, fx);
                continue;
            }
            if let Some(returned) = self.consumer.take_returned() {
                self.returned(now, returned, fx);
                continue;
            }
            match self.doing {
                Doing::Looping if self.hand.is_some() => self.doing = Doing::HandIdle,
                Doing::Looping if self.stopping && self.at == 0 => self.doing = self.close(now, fx),
                Doing::Looping => self.loop_step(now, fx),
                Doing::Outlet(waits) => self.outlet_step(now, waits, fx),
                Doing::HandIdle if self.hand.is_some() => self.hand_call(now, fx),
                Doing::HandIdle if self.stopping => self.doing = self.close(now, fx),
                _ => {}
            }
            if before == (self.doing, self.at, self.hand.is_some()) && !self.consumer.has_returned()
            {
                return;
            }
        }
    }

    /// The listener is called.
    fn revoked(&mut self, now: Time, fx: &mut Effects) {
        let (mode, offsets) = match self.on_revoked.expect("it is called because it is there") {
            OnRevoked::Commit(mode) => (mode, None),
            OnRevoked::CommitFinished(mode) => (mode, Some(self.finished_offsets())),
        };
        self.consumer.commit_in_callback(now, mode == CommitMode::Sync, offsets, fx);
    }

    pub(super) fn close(&mut self, now: Time, fx: &mut Effects) -> Doing {
        self.close_outlet(now, fx).unwrap_or_else(|| self.close_consumer(now, fx))
    }

    pub(super) fn close_consumer(&mut self, now: Time, fx: &mut Effects) -> Doing {
        let timeout = DEFAULT_CLOSE_TIMEOUT;
        self.consumer.call(now, ConsumerCall::Close { timeout }, fx);
        Doing::Closing
    }

    fn returned(&mut self, now: Time, returned: Returned, fx: &mut Effects) {
        match (self.doing, returned) {
            (Doing::LoopCall, Returned::Polled(slices)) => {
                self.idle = slices.is_empty();
                self.take(&slices);
                self.batch = slices;
                self.next_step();
            }
            (Doing::LoopCall, Returned::Threw(_))
                if matches!(self.steps[self.at], LoopStep::Poll(_)) =>
            {
                self.doing = self.close(now, fx);
            }
            (Doing::LoopCall, _) => self.next_step(),
            (Doing::RecordCommit(n), _) => self.next_record(now, n + 1, fx),
            (Doing::HandBusy, returned) => self.hand_returned(now, returned, fx),
            (Doing::Outlet(Waits::Committed(n)), returned) => {
                self.went_back(now, n, &returned, fx);
            }
            (Doing::Closing, _) => {
                self.doing = Doing::Ended;
                fx.exit();
            }
            (doing, returned) => unreachable!("{returned:?} while {doing:?}"),
        }
    }

    fn take(&mut self, slices: &[PolledSlice]) {
        self.unfinished.add(slices);
        for slice in slices {
            self.finished.entry(slice.partition).or_insert(slice.first_offset());
        }
    }

    fn processed(&mut self, slice: PolledSlice, fx: &mut Effects) {
        self.unfinished.finish(slice);
        let PolledSlice { partition, batch, base_offset, first, count } = slice;
        fx.event(EventKind::Processed { partition, batch, base_offset, first, count });
    }
}

/// The loop.
impl ConsumerProcess {
    pub(super) fn next_step(&mut self) {
        self.at = (self.at + 1) % self.steps.len();
        if self.at == 0 {
            self.batch.clear();
        }
        self.doing = Doing::Looping;
    }

    /// The round ends here; what was read of it will be read again.
    pub(super) fn forget_batch(&mut self) {
        self.at = 0;
        self.idle = false;
        self.batch.clear();
        self.unfinished = Unfinished::default();
    }

    fn loop_step(&mut self, now: Time, fx: &mut Effects) {
        let empty = self.batch.is_empty();
        match self.steps[self.at] {
            LoopStep::Poll(timeout) => {
                let timeout = timeout.max(Duration::from_millis(1));
                self.loop_call(now, ConsumerCall::Poll { timeout, quiet: self.idle }, fx);
            }
            LoopStep::Pause(pause) => self.wait(now, Doing::Timed, pause, fx),
            LoopStep::CannotProcess { message, then } => {
                if !self.poison.contains(&(message, then)) {
                    self.poison.push((message, then));
                }
                self.next_step();
            }
            LoopStep::CommitFinished(mode) => match self.finished_offsets() {
                offsets if offsets.is_empty() => self.next_step(),
                offsets => self.loop_commit(now, mode, Some(offsets), fx),
            },
            _ if empty => self.next_step(),
            LoopStep::Work(Duration::ZERO) | LoopStep::WorkBatch(Duration::ZERO) => {
                self.finish_batch(fx);
                self.next_step();
            }
            LoopStep::WorkBatch(work) => self.wait(now, Doing::Timed, work, fx),
            LoopStep::Work(_)
            | LoopStep::WorkAndCommitEach(_)
            | LoopStep::WorkAndAcknowledgeEach(_) => self.next_record(now, 0, fx),
            LoopStep::Acknowledge(kind) => {
                let messages = Vec::new();
                self.loop_call(now, ConsumerCall::Acknowledge { messages, kind }, fx);
            }
            LoopStep::HandOff { workers, work } => {
                self.workers.hand_off(now, &self.batch, (workers, work), fx);
                self.next_step();
            }
            LoopStep::Commit(mode) => self.loop_commit(now, mode, None, fx),
            LoopStep::CommitLast(mode) => {
                let offsets = self.last_offsets();
                self.loop_commit(now, mode, Some(offsets), fx);
            }
            LoopStep::Insert(table, how) => self.insert(table, how, fx),
            step => self.outlet_loop_step(now, step, fx),
        }
    }

    fn loop_call(&mut self, now: Time, call: ConsumerCall, fx: &mut Effects) {
        self.doing = Doing::LoopCall;
        self.consumer.call(now, call, fx);
    }

    fn loop_commit(
        &mut self,
        now: Time,
        mode: CommitMode,
        offsets: Option<Vec<PartitionOffset>>,
        fx: &mut Effects,
    ) {
        let sync = mode == CommitMode::Sync;
        self.loop_call(now, ConsumerCall::Commit { sync, offsets }, fx);
    }

    fn wait(&mut self, now: Time, doing: Doing, span: Duration, fx: &mut Effects) {
        self.doing = doing;
        fx.set_timer(TimerKind::Work, OWN_THREAD, now + span);
    }

    /// Record number `n` of the batch is next; after the last one the next step is.
    fn next_record(&mut self, now: Time, n: u32, fx: &mut Effects) {
        let work = match self.steps[self.at] {
            LoopStep::Work(work)
            | LoopStep::WorkAndCommitEach(work)
            | LoopStep::WorkAndAcknowledgeEach(work) => work,
            step => unreachable!("{step:?} does not go record by record"),
        };
        if self.record(n).is_some() {
            self.wait(now, Doing::Record(n), work, fx);
        } else {
            self.next_step();
        }
    }

    /// Record number `n` of the batch.
    fn record(&self, n: u32) -> Option<PolledSlice> {
        let mut left = n;
        for slice in &self.batch {
            if left < u32::from(slice.count) {
                return Some(PolledSlice { first: slice.first + left as u16, count: 1, ..*slice });
            }
            left -= u32::from(slice.count);
        }
        None
    }

    fn work_is_over(&mut self, now: Time, fx: &mut Effects) {
        match self.doing {
            Doing::Record(n) => {
                let record = self.record(n).expect("it is being worked on");
                if let LoopStep::WorkAndAcknowledgeEach(_) = self.steps[self.at] {
                    return self.acknowledge_record(now, (n, record), fx);
                }
                self.processed(record, fx);
                if let LoopStep::WorkAndCommitEach(_) = self.steps[self.at] {
                    self.doing = Doing::RecordCommit(n);
                    let (partition, offset) = (record.partition, record.next_offset());
                    let offsets = Some(vec![PartitionOffset { partition, offset }]);
                    self.consumer.call(now, ConsumerCall::Commit { sync: true, offsets }, fx);
                } else {
                    self.next_record(now, n + 1, fx);
                }
            }
            Doing::Timed => {
                if let LoopStep::WorkBatch(_) = self.steps[self.at] {
                    self.finish_batch(fx);
                }
                self.next_step();
            }
            _ => {}
        }
    }

    /// Record number `n` was worked on: it is processed and accepted, unless it is one that cannot be.
    fn acknowledge_record(&mut self, now: Time, (n, record): (u32, PolledSlice), fx: &mut Effects) {
        let body = fx.batches.record(record.batch, u32::from(record.first)).body;
        let (RecordBody::Message(id) | RecordBody::DeadLetter { message: id, .. }) = body else {
            return self.next_record(now, n + 1, fx);
        };
        let poison = self.poison.iter().find(|(message, _)| *message == id);
        let kind = poison.map_or(AcknowledgeType::Accept, |(_, kind)| *kind);
        if poison.is_none() {
            self.processed(record, fx);
        } else {
            self.unfinished.finish(record);
        }
        self.doing = Doing::RecordCommit(n);
        self.consumer.call(now, ConsumerCall::Acknowledge { messages: vec![id], kind }, fx);
    }

    pub(super) fn finish_batch(&mut self, fx: &mut Effects) {
        for slice in self.batch.clone() {
            self.processed(slice, fx);
        }
    }

    /// The offset of the last record of the batch, a partition.
    fn last_offsets(&self) -> Vec<PartitionOffset> {
        let mut last = BTreeMap::new();
        for slice in &self.batch {
            last.insert(slice.partition, Offset(slice.next_offset().0 - 1));
        }
        last.into_iter().map(|(partition, offset)| PartitionOffset { partition, offset }).collect()
    }

    /// What `CommitFinished` has to commit: the owned partitions whose lowest unfinished offset has moved.
    fn finished_offsets(&mut self) -> Vec<PartitionOffset> {
        let assigned = self.consumer.assigned();
        self.finished.retain(|partition, _| assigned.contains(partition));
        let mut moved = Vec::new();
        for (partition, committed) in &mut self.finished {
            let lowest = self.unfinished.lowest(*partition);
            let Some(offset) = lowest.or_else(|| self.consumer.position(*partition)) else {
                continue;
            };
            if offset != *committed {
                *committed = offset;
                moved.push(PartitionOffset { partition: *partition, offset });
            }
        }
        moved
    }
}

/// Calls of a script.
impl ConsumerProcess {
    fn hand_call(&mut self, now: Time, fx: &mut Effects) {
        self.last = HandReturn::default();
        self.hand_since = now;
        self.doing = Doing::HandBusy;
        match self.hand.clone().expect("there is a call") {
            HandCall::Process { count } => {
                for slice in self.unfinished.next(count.unwrap_or(u32::MAX)) {
                    self.processed(slice, fx);
                }
                self.hand_is_over();
            }
            HandCall::GiveUp { count } => {
                for slice in self.unfinished.next(count.unwrap_or(u32::MAX)) {
                    self.unfinished.finish(slice);
                }
                self.hand_is_over();
            }
            HandCall::Poll { timeout, .. } => {
                self.consumer.call(now, ConsumerCall::Poll { timeout, quiet: false }, fx);
            }
            HandCall::Consumer(call) => self.consumer.call(now, call, fx),
        }
    }

    fn hand_returned(&mut self, now: Time, returned: Returned, fx: &mut Effects) {
        match returned {
            Returned::Polled(slices) => {
                self.take(&slices);
                self.last.polled.extend(slices);
                let polled: u32 = self.last.polled.iter().map(|s| u32::from(s.count)).sum();
                if let Some(HandCall::Poll { timeout, records, within }) = self.hand
                    && polled < records
                    && within.is_none_or(|within| now.since(self.hand_since) < within)
                    && !self.stopping
                {
                    return self.consumer.call(
                        now,
                        ConsumerCall::Poll { timeout, quiet: true },
                        fx,
                    );
                }
            }
            Returned::Offset(offset) => self.last.offset = Some(offset),
            Returned::Offsets(offsets) => self.last.offsets = Some(offsets),
            Returned::Acknowledged(partitions) => self.last.acknowledged = Some(partitions),
            Returned::Threw(exception) => self.last.exception = Some(exception),
            Returned::Done | Returned::Closed => {}
        }
        self.hand_is_over();
    }

    fn hand_is_over(&mut self) {
        self.hand = None;
        self.doing = Doing::HandIdle;
    }
}
