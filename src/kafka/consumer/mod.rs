//! The classic consumer of Kafka's Java client: one value for the application thread inside a call, the heartbeat
//! thread and the network part of one `KafkaConsumer`.
//!
//! Kafka: `ClassicKafkaConsumer`. A call of the application that would block is kept as state ([`calls`]) and goes on
//! whenever something arrives or a timer runs out; the application sees its end in [`Consumer::take_returned`]. What
//! happens only inside `poll()` (joining, fetching, auto-commit) therefore stands in functions that only a call
//! reaches; what happens at any time (answers, heartbeats) in functions that every step reaches.
//!
//! * [`positions`]: what is read and where it stands (`SubscriptionState`);
//! * [`finding`]: where the coordinator is; [`coordinator`], [`joining`], [`membership`]: joining and leaving the group
//!   (`AbstractCoordinator`, `ConsumerCoordinator`); [`listener`]: the application's callbacks;
//! * [`heartbeat`]: the heartbeat thread; [`commits`]: offset commits, by hand and automatic; [`offset_store`]: what
//!   librdkafka commits;
//! * [`fetcher`]: fetch requests and the buffer behind `poll()`; [`offsets`]: committed offsets, resets, validation;
//!   [`log_bounds`]: `beginningOffsets` and `endOffsets`.
//!
//! Simplified: the coordinator shares the broker's connection (Kafka opens a second one to the same broker), so giving
//! up a coordinator does not close it; metadata is never part of a rebalance (no rejoin for new partitions); no
//! `WakeupException` or interceptors.

mod calls;
mod commits;
mod coordinator;
mod fetcher;
mod finding;
mod heartbeat;
mod joining;
mod listener;
mod log_bounds;
mod membership;
mod network_thread;
mod offset_store;
mod offsets;
mod positions;

use crate::base::config::{ConsumerConfig, GroupProtocol};
use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{
    BatchHandle, BrokerId, Generation, GroupId, MemberId, MessageId, Offset, PartitionId, RegexId,
    TopicId,
};
use crate::base::share::AcknowledgeType;
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::api::{Message, PartitionOffset};
use crate::kafka::backoff::ExponentialBackoff;
use crate::kafka::effects::{Effects, Input, TimerKind};
use crate::kafka::network_client::{Answer, NetworkClient, NetworkConfig};

use calls::Call;
use commits::Commits;
use fetcher::Fetcher;
use finding::Coordinator;
use heartbeat::Heartbeat;
use listener::Listener;
use membership::Membership;
use network_thread::AsyncMember;
use network_thread::heartbeats::HeartbeatAnswer;
use offset_store::OffsetStore;
use offsets::OffsetLookups;
use positions::{FetchPosition, SubscriptionState};

/// A call of the application. At most one at a time: the Java class is not safe for several threads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConsumerCall {
    /// `subscribe(topics)`.
    Subscribe(Vec<TopicId>),
    /// `subscribe(pattern)`: these topics fit it, perhaps none.
    SubscribePattern(Vec<TopicId>),
    /// `subscribe(SubscriptionPattern)`: the coordinator looks for the topics; `None` for an empty one.
    SubscribeRegex(Option<RegexId>),
    /// `assign(partitions)`.
    Assign(Vec<PartitionId>),
    /// `unsubscribe()`.
    Unsubscribe,
    /// `poll(timeout)`. A quiet one leaves out [`EventKind::PollCalled`] and [`EventKind::PollEmpty`]: for an idle
    /// loop, whose polls would otherwise fill the trace.
    Poll {
        /// How long it may block.
        timeout: Duration,
        /// Leave the two events out.
        quiet: bool,
    },
    /// `commitSync` or `commitAsync`.
    Commit {
        /// Which of the two.
        sync: bool,
        /// `None`: everything `poll()` has returned.
        offsets: Option<Vec<PartitionOffset>>,
    },
    /// librdkafka's `store_offsets(offsets)`.
    Store(Vec<PartitionOffset>),
    /// `acknowledge(record, type)` of a share consumer.
    Acknowledge {
        /// Of which records; empty: of all that `poll()` returned and nothing was said of.
        messages: Vec<MessageId>,
        /// What.
        kind: AcknowledgeType,
    },
    /// `seek(partition, offset)`.
    Seek(PartitionOffset),
    /// `seekToBeginning(partitions)` or `seekToEnd(partitions)`; of all that are assigned where none is named.
    SeekTo(Vec<PartitionId>, LogBound),
    /// `pause(partitions)`.
    Pause(Vec<PartitionId>),
    /// `resume(partitions)`.
    Resume(Vec<PartitionId>),
    /// `enforceRebalance()`.
    EnforceRebalance,
    /// `committed(partition, timeout)`.
    Committed {
        /// Of which partition.
        partition: PartitionId,
        /// How long it may block; `None`: `default.api.timeout.ms`.
        timeout: Option<Duration>,
    },
    /// `position(partition, timeout)`.
    Position {
        /// Of which partition.
        partition: PartitionId,
        /// How long it may block; `None`: `default.api.timeout.ms`.
        timeout: Option<Duration>,
    },
    /// `beginningOffsets(partitions, timeout)` or `endOffsets(partitions, timeout)`.
    ListOffsets {
        /// Of which partitions.
        partitions: Vec<PartitionId>,
        /// Which end of the log.
        end: LogBound,
        /// How long it may block; `None`: `default.api.timeout.ms`.
        timeout: Option<Duration>,
    },
    /// `close(timeout)`. Kafka's default time-out is [`DEFAULT_CLOSE_TIMEOUT`].
    Close {
        /// How long it may block.
        timeout: Duration,
    },
}

/// An end of a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LogBound {
    /// The first offset that can be read.
    Beginning,
    /// The high watermark.
    End,
}

/// `ConsumerUtils.DEFAULT_CLOSE_TIMEOUT_MS`.
pub const DEFAULT_CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How a call ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Returned {
    /// It returned nothing.
    Done,
    /// `poll()` returned these records, perhaps none.
    Polled(Vec<PolledSlice>),
    /// `committed()` ([`Offset::NONE`]: nothing is) or `position()`.
    Offset(Offset),
    /// `beginningOffsets()` or `endOffsets()`, in the order of the partitions asked for.
    Offsets(Vec<PartitionOffset>),
    /// `commitSync()` of a share consumer: whether the acknowledgements count, by partition.
    Acknowledged(Vec<(PartitionId, Option<Exception>)>),
    /// It threw.
    Threw(Exception),
    /// `close()` returned; every later call throws.
    Closed,
}

/// Consecutive records of one batch, as `poll()` returned them: record `i` of the slice has offset
/// `base_offset + first + i`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PolledSlice {
    /// Where they are from.
    pub partition: PartitionId,
    /// The batch.
    pub batch: BatchHandle,
    /// The offset of the batch's first record.
    pub base_offset: Offset,
    /// The first record, counted in the batch.
    pub first: u16,
    /// How many.
    pub count: u16,
}

impl PolledSlice {
    /// The offset of its first record.
    pub fn first_offset(&self) -> Offset {
        self.base_offset + i64::from(self.first)
    }

    /// The offset after its last record.
    pub fn next_offset(&self) -> Offset {
        self.first_offset() + i64::from(self.count)
    }
}

/// Under which membership a request was sent (`AbstractCoordinator.Generation`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Identity {
    generation: Generation,
    member: MemberId,
}

impl Identity {
    /// `Generation.NO_GENERATION`.
    const NONE: Self = Self { generation: Generation(-1), member: MemberId::UNKNOWN };
}

/// What comes back with an answer. Requests to the coordinator carry its term: answers of one that was given up are
/// late.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Request {
    FindCoordinator,
    Group { term: u32, kind: GroupRequest },
    Fetch,
    ListOffsets(u32),
    EpochEnd(PartitionId, FetchPosition),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum GroupRequest {
    Join(Identity),
    Sync(Identity),
    Heartbeat(Identity),
    Leave,
    Commit { id: u32, sent: Identity },
    OffsetFetch(u32),
    ConsumerHeartbeat { ignored: bool },
}

/// The time-outs of this machine, by their place in `Consumer::timers`.
const TIMERS: [TimerKind; 3] =
    [TimerKind::RequestTimeout, TimerKind::HeartbeatThread, TimerKind::Call];

/// See the module.
#[derive(Clone, Debug)]
pub struct Consumer {
    config: ConsumerConfig,
    group: Option<GroupId>,
    started: bool,
    closed: bool,
    network: NetworkClient<Request>,
    retry: ExponentialBackoff,
    subscriptions: SubscriptionState,
    coordinator: Coordinator,
    membership: Membership,
    listener: Listener,
    /// The membership under the consumer protocol; then the one above is not used.
    member: Option<Box<AsyncMember>>,
    heartbeat: Heartbeat,
    commits: Commits,
    store: OffsetStore,
    fetcher: Fetcher,
    offsets: OffsetLookups,
    call: Option<Call>,
    returned: Option<Returned>,
    /// When the blocked call looks again although nothing arrived.
    wake: Time,
    /// What each of [`TIMERS`] is set to.
    timers: [Time; 3],
    next_id: u32,
}

impl Consumer {
    /// A consumer of `group`; without one it can assign partitions to itself but neither subscribe nor commit.
    pub fn new(config: ConsumerConfig, group: Option<GroupId>) -> Self {
        Self {
            group,
            started: false,
            closed: false,
            network: NetworkClient::new(NetworkConfig::from(&config), 0),
            retry: ExponentialBackoff::new(config.retry_backoff, config.retry_backoff_max),
            subscriptions: SubscriptionState::new(config.auto_offset_reset),
            coordinator: Coordinator::default(),
            membership: Membership::default(),
            listener: Listener::default(),
            member: None,
            heartbeat: Heartbeat::default(),
            commits: Commits::default(),
            store: OffsetStore::default(),
            fetcher: Fetcher::default(),
            offsets: OffsetLookups::default(),
            call: None,
            returned: None,
            wake: Time::NEVER,
            timers: [Time::NEVER; 3],
            next_id: 0,
            config,
        }
    }

    /// As consumer number `n` of the run. Needed under `group.protocol=consumer`, where a member makes its own id.
    #[must_use]
    pub fn numbered(mut self, n: u16) -> Self {
        if self.config.group_protocol == GroupProtocol::Consumer {
            self.member = Some(Box::new(AsyncMember::new(n)));
        }
        self
    }

    /// Something came to the process.
    pub fn step(&mut self, now: Time, input: Input, fx: &mut Effects) {
        self.start(now, fx);
        if self.closed {
            return;
        }
        match input {
            Input::Response { from, correlation, message } => {
                let answer = self.network.response(now, from, (correlation, &message), fx);
                if let Answer::Caller(broker, request) = answer {
                    self.answered(now, (broker, request), message, fx);
                }
            }
            Input::Timeout(timer) => {
                if let Some(place) = TIMERS.iter().position(|kind| *kind == timer.kind) {
                    self.timers[place] = Time::NEVER;
                }
            }
            Input::Disconnected { peer } => {
                let lost = self.network.disconnected(now, peer, fx);
                if let Some(broker) = peer.broker() {
                    self.subscriptions.clear_preferred_at(broker);
                }
                self.lost(now, &lost, fx);
            }
            Input::Start | Input::Request { .. } | Input::PeerGone { .. } => {}
        }
        let lost = self.network.expire(now, fx);
        self.lost(now, &lost, fx);
        self.proceed(now, fx);
    }

    /// Begins a call of the application; it may return at once ([`Consumer::take_returned`]).
    ///
    /// # Panics
    /// When another call has not returned yet, or its outcome was not taken.
    pub fn call(&mut self, now: Time, call: ConsumerCall, fx: &mut Effects) {
        assert!(self.call.is_none() && self.returned.is_none(), "one call at a time");
        self.start(now, fx);
        if let ConsumerCall::Poll { quiet: false, .. } = call {
            fx.event(EventKind::PollCalled);
        }
        match self.begin(now, call, fx) {
            Ok(Some(returned)) => self.returned = Some(returned),
            Ok(None) => {}
            Err(exception) => self.throw(exception, fx),
        }
        if !self.closed {
            self.proceed(now, fx);
        }
    }

    /// How the last call ended, once.
    pub fn take_returned(&mut self) -> Option<Returned> {
        self.returned.take()
    }

    /// True when a call has ended and nobody took its outcome.
    pub fn has_returned(&self) -> bool {
        self.returned.is_some()
    }

    /// `wakeup()`: a `poll()` that blocks returns. Simplified: without records, in place of a `WakeupException`.
    pub fn wakeup(&mut self) {
        if let Some(Call::Poll(_) | Call::AsyncPoll(_)) = self.call {
            self.call = None;
            self.returned = Some(Returned::Polled(Vec::new()));
        }
    }

    /// True after `close()`.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The next offset `poll()` would return of an assigned partition, as far as it is known.
    pub fn position(&self, partition: PartitionId) -> Option<Offset> {
        self.subscriptions.get(partition)?.position.map(|p| p.offset)
    }

    /// The assigned partitions.
    pub fn assigned(&self) -> &[PartitionId] {
        self.subscriptions.ids()
    }

    /// What `poll()` has returned of the assigned partitions: the offsets that a transaction takes along.
    pub fn consumed(&self) -> Vec<PartitionOffset> {
        self.subscriptions.all_consumed()
    }

    /// `groupMetadata()`: the group, the generation (in the consumer protocol the last epoch) and the member id;
    /// `None` without a group.
    pub fn group_metadata(&self) -> Option<(GroupId, Generation, MemberId)> {
        let identity = self.told_identity().unwrap_or(self.membership.identity);
        self.group.map(|group| (group, identity.generation, identity.member))
    }

    /// The assigned partitions that are paused.
    pub fn paused(&self) -> impl Iterator<Item = PartitionId> + '_ {
        self.subscriptions.iter().filter(|state| state.paused).map(|state| state.partition)
    }

    /// Adds this consumer to a fingerprint.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.started, self.closed));
        self.network.fingerprint(now, into);
        self.subscriptions.fingerprint(now, into);
        self.coordinator.fingerprint(now, into);
        self.membership.fingerprint(now, into);
        self.listener.fingerprint(now, into);
        if let Some(member) = &self.member {
            member.fingerprint(now, into);
        }
        self.heartbeat.fingerprint(now, into);
        self.commits.fingerprint(now, into);
        self.store.fingerprint(into);
        self.fetcher.fingerprint(into);
        self.offsets.fingerprint(now, into);
        if let Some(call) = &self.call {
            call.fingerprint(now, into);
        }
    }

    fn start(&mut self, now: Time, fx: &mut Effects) {
        if self.started {
            return;
        }
        self.started = true;
        self.network = NetworkClient::new(NetworkConfig::from(&self.config), fx.names.brokers);
        self.commits.restart_timer(now, self.config.auto_commit_interval);
        self.start_member(now, fx);
    }

    /// `enable.auto.commit`; without a group there is nothing to commit to.
    fn auto_commits(&self) -> bool {
        self.config.enable_auto_commit && self.group.is_some()
    }

    fn new_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// Everything that may go on after something came in.
    fn proceed(&mut self, now: Time, fx: &mut Effects) {
        self.network.poll(now, fx);
        if self.is_async() {
            self.network_thread(now, fx);
        } else {
            self.heartbeat_thread(now, fx);
        }
        self.background_commit(now, fx);
        self.advance(now, fx);
        if !self.closed {
            self.flush_commits(now, fx);
            self.network.poll(now, fx);
        }
        self.schedule(now, fx);
    }

    fn schedule(&mut self, now: Time, fx: &mut Effects) {
        let due = if self.closed {
            [Time::NEVER; 3]
        } else {
            let call = if self.call.is_some() { self.wake } else { Time::NEVER };
            let thread = if self.is_async() {
                self.network_thread_due(now)
            } else {
                self.heartbeat_due(now).min(self.background_commit_due())
            };
            [self.network.next_deadline(now), thread, call]
        };
        for ((kind, set), at) in TIMERS.iter().zip(&mut self.timers).zip(due) {
            if *set == at {
                continue;
            }
            if at == Time::NEVER {
                fx.cancel_timer(*kind, 0);
            } else {
                // What is due already waits for something to arrive, not for the clock.
                fx.set_timer(*kind, 0, at.max(now + Duration(1)));
            }
            *set = at;
        }
    }

    fn answered(
        &mut self,
        now: Time,
        (broker, request): (BrokerId, Request),
        message: Message,
        fx: &mut Effects,
    ) {
        match request {
            Request::FindCoordinator => self.found_coordinator(now, message, fx),
            Request::Group { term, kind } if term == self.coordinator.term => {
                self.group_answered(now, kind, message, fx);
            }
            Request::Group { .. } => {}
            Request::Fetch => self.fetched(broker, message, fx),
            Request::ListOffsets(id) => self.listed_offsets(now, id, message, fx),
            Request::EpochEnd(partition, asked) => {
                self.validated(now, (partition, asked), message, fx);
            }
        }
    }

    fn group_answered(
        &mut self,
        now: Time,
        kind: GroupRequest,
        message: Message,
        fx: &mut Effects,
    ) {
        match (kind, message) {
            (GroupRequest::Join(sent), _) => self.joined(now, sent, message, fx),
            (GroupRequest::Sync(sent), _) => self.synced(now, sent, message, fx),
            (GroupRequest::Heartbeat(sent), Message::HeartbeatResponse { error }) => {
                self.heartbeat_answered(now, sent, error, fx);
            }
            (GroupRequest::ConsumerHeartbeat { ignored: true }, _) => {}
            (
                GroupRequest::ConsumerHeartbeat { .. },
                Message::ConsumerGroupHeartbeatResponse {
                    error,
                    epoch,
                    heartbeat_interval_ms,
                    assignment,
                    ..
                },
            ) => {
                let assignment = assignment.map(|own| fx.pools.get(own).to_vec());
                let interval = Duration::from_millis(heartbeat_interval_ms.into());
                let answer = HeartbeatAnswer { error, epoch, interval, assignment };
                self.member_answered(now, answer, fx);
            }
            (GroupRequest::Leave, _) => self.membership.leaving = false,
            (GroupRequest::Commit { id, sent }, Message::OffsetCommitResponse { error }) => {
                self.commit_answered(now, (id, sent), error, fx);
            }
            (GroupRequest::OffsetFetch(id), Message::OffsetFetchResponse { error, offsets }) => {
                let offsets = fx.pools.get(offsets).to_vec();
                self.offsets_fetched(now, id, (error, offsets), fx);
            }
            (kind, _) => unreachable!("{kind:?} is answered by its own response"),
        }
    }

    /// Requests whose connection is gone. Whoever lost one to the coordinator looks for the coordinator again.
    fn lost(&mut self, now: Time, requests: &[Request], fx: &mut Effects) {
        for request in requests {
            match *request {
                Request::FindCoordinator => self.find_failed(now, Exception::Network, fx),
                Request::Group { term, .. } => {
                    if term == self.coordinator.term {
                        self.mark_coordinator_unknown(now, fx);
                    }
                }
                Request::Fetch => {}
                Request::ListOffsets(id) => self.list_offsets_failed(now, id),
                Request::EpochEnd(partition, _) => self.retry_position(now, &[partition]),
            }
        }
        if !requests.is_empty() {
            for partition in self.fetcher.drop_lost(|broker| self.network.is_connected(broker)) {
                self.subscriptions.clear_preferred(partition);
            }
        }
    }

    fn throw(&mut self, exception: Exception, fx: &mut Effects) {
        fx.event(EventKind::Threw { exception });
        self.returned = Some(Returned::Threw(exception));
    }
}

/// True for Kafka's `RetriableException` and its subclasses.
fn is_retriable(exception: Exception) -> bool {
    match exception {
        Exception::Wire(code) => code.is_retriable(),
        Exception::Network => true,
        _ => false,
    }
}

/// The exception of an error code.
fn wire(code: ErrorCode) -> Exception {
    Exception::Wire(code)
}
