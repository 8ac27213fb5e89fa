//! Whole processes against one broker that the test plays: a log, a coordinator and committed offsets, a millisecond
//! away. What is asserted are the facts recorded from Kafka 4.4.0.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::base::batch::{Record, RecordBody};
use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::chooser::Chooser;
use crate::base::config::{ConsumerConfig, Defect, OffsetReset};
use crate::base::error::ErrorCode;
use crate::base::ids::{
    BatchHandle, BrokerId, Generation, GroupId, KeyId, LeaderEpoch, MemberId, MessageId, NodeId,
};
use crate::base::names::{Client, Names, Partition, Topic};
use crate::base::time::Time;
use crate::event::{CommitKind, EventKind, PositionReason, RebalanceCallback};
use crate::kafka::api::{
    FetchPartition, FetchResult, FetchedSlice, ListOffsetsResult, MemberPartition, MemberTopic,
    Message, PartitionMetadata, PartitionOffset,
};
use crate::kafka::consumer::{Consumer, DEFAULT_CLOSE_TIMEOUT};
use crate::kafka::effects::{Effect, Effects, Input, List, Timer};

const P: PartitionId = PartitionId(0);
const B1: NodeId = NodeId::Broker(BrokerId(1));
const LATENCY: Duration = Duration::from_millis(1);
const MEMBER: MemberId = MemberId(0x1_0001);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn names() -> Names {
    let replicas = ReplicaList::new(&[BrokerId(1)]);
    let topic = |name: &str, partition| Topic {
        name: name.to_owned(),
        partitions: vec![PartitionId(partition)],
        internal: partition > 0,
        partition_count: 1,
    };
    let partition = |topic| Partition { topic: TopicId(topic), index: 0, replicas };
    Names {
        controllers: 1,
        brokers: 1,
        topics: vec![topic("t", 0), topic("__consumer_offsets", 1)],
        partitions: vec![partition(0), partition(1)],
        consumers: vec![Client { name: "A".to_owned(), group: Some(GroupId(0)), rank: 1 }],
        groups: vec!["g".to_owned()],
        group_partitions: vec![PartitionId(1)],
        ..Names::default()
    }
}

/// The broker's side.
#[derive(Default)]
struct Broker {
    log: Vec<(BatchHandle, i64, i64)>,
    log_start: i64,
    epoch: i32,
    /// Where epochs below the present one end.
    epoch_end: i64,
    committed: i64,
    /// What the coordinator says to heartbeats, and to commits.
    heartbeat: ErrorCode,
    commit: ErrorCode,
    generation: i32,
    members: Vec<MemberTopic>,
    /// A fetch that waits for data: its correlation id, what it asked for and until when.
    parked: Option<(u32, FetchPartition, Time)>,
    silent: bool,
    left: Vec<bool>,
}

struct Rig {
    now: Time,
    fx: Effects,
    process: ConsumerProcess,
    broker: Broker,
    answers: BTreeMap<(Time, u32), Message>,
    timers: BTreeMap<Timer, Time>,
    events: Vec<(Time, EventKind)>,
    exited: bool,
}

impl Rig {
    fn new(config: ConsumerConfig, steps: Vec<LoopStep>) -> Self {
        Self::reading(config, Some(GroupId(0)), Subscription::Topics(vec![TopicId(0)]), steps)
    }

    fn reading(
        config: ConsumerConfig,
        group: Option<GroupId>,
        subscription: Subscription,
        steps: Vec<LoopStep>,
    ) -> Self {
        let process = ConsumerProcess::new(Consumer::new(config, group), subscription, steps);
        Self {
            now: Time::ZERO,
            fx: Effects::new(Arc::new(names()), Chooser::seeded(1)),
            process,
            broker: Broker { committed: -1, ..Broker::default() },
            answers: BTreeMap::new(),
            timers: BTreeMap::new(),
            events: Vec::new(),
            exited: false,
        }
    }

    /// Appends one batch of so many records.
    fn append(&mut self, count: u32) -> &mut Self {
        let end = self.broker.log.last().map_or(self.broker.log_start, |(_, _, end)| *end);
        let record =
            |n| Record { body: RecordBody::Message(MessageId(n)), key: KeyId::NONE, bytes: 9 };
        let records: Vec<Record> = (0..count).map(|n| record(end as u32 + n)).collect();
        let batch = self.fx.batches.add(NodeId::Producer(0), None, &records);
        self.broker.log.push((batch, end, end + i64::from(count)));
        self.unpark();
        self
    }

    fn unpark(&mut self) {
        let Some((correlation, asked, until)) = self.broker.parked.take() else { return };
        match self.fetch(asked) {
            Some(answer) => {
                self.answers.insert((self.now + LATENCY, correlation), answer);
            }
            None => self.broker.parked = Some((correlation, asked, until)),
        }
    }

    fn fetch(&mut self, asked: FetchPartition) -> Option<Message> {
        let end = self.broker.log.last().map_or(self.broker.log_start, |(_, _, end)| *end);
        let offset = asked.offset.0;
        let error = if asked.current_leader_epoch.0 < self.broker.epoch {
            ErrorCode::FencedLeaderEpoch
        } else if offset < self.broker.log_start || offset > end {
            ErrorCode::OffsetOutOfRange
        } else if offset == end {
            return None;
        } else {
            ErrorCode::None
        };
        Some(self.fetch_response(error, offset))
    }

    fn fetch_response(&mut self, error: ErrorCode, offset: i64) -> Message {
        let take = error == ErrorCode::None;
        let data = self.broker.log.iter().filter(|(_, _, end)| take && *end > offset);
        let slices: Vec<_> = data
            .map(|(batch, base, _)| FetchedSlice {
                batch: *batch,
                base_offset: Offset(*base),
                leader_epoch: LeaderEpoch(0),
            })
            .collect();
        let result = FetchResult {
            partition: P,
            error,
            high_watermark: Offset(0),
            log_start: Offset(self.broker.log_start),
            diverging_epoch: LeaderEpoch::NONE,
            diverging_end: Offset::NONE,
            leader: None,
            leader_epoch: LeaderEpoch::NONE,
            slice_count: slices.len() as u16,
        };
        Message::FetchResponse { results: self.fx.keep(&[result]), slices: self.fx.keep(&slices) }
    }

    fn answer(&mut self, message: Message) -> Option<Message> {
        let error = ErrorCode::None;
        let end = self.broker.log.last().map_or(self.broker.log_start, |(_, _, end)| *end);
        Some(match message {
            Message::Metadata => {
                let known = |partition| PartitionMetadata {
                    partition: PartitionId(partition),
                    leader: Some(BrokerId(1)),
                    leader_epoch: LeaderEpoch(self.broker.epoch),
                };
                let partitions = self.fx.keep(&[known(0), known(1)]);
                Message::MetadataResponse { brokers: BrokerSet::of(BrokerId(1)), partitions }
            }
            Message::FindCoordinator { .. } => {
                Message::FindCoordinatorResponse { error, coordinator: Some(BrokerId(1)) }
            }
            Message::JoinGroup { member: MemberId::UNKNOWN, .. } => Message::JoinGroupResponse {
                error: ErrorCode::MemberIdRequired,
                generation: Generation(-1),
                leader: MemberId::UNKNOWN,
                member: MEMBER,
                members: List::EMPTY,
            },
            Message::JoinGroup { member, .. } => {
                self.broker.generation += 1;
                self.broker.heartbeat = ErrorCode::None;
                let generation = Generation(self.broker.generation);
                self.broker.members = vec![MemberTopic { member, topic: TopicId(0) }];
                let members = self.fx.keep(&self.broker.members);
                Message::JoinGroupResponse { error, generation, leader: member, member, members }
            }
            Message::SyncGroup { assignment, member, .. } => {
                let rows = self.fx.pools.get(assignment).to_vec();
                let own = rows.iter().filter(|row: &&MemberPartition| row.member == member);
                let own: Vec<PartitionId> = own.map(|row| row.partition).collect();
                Message::SyncGroupResponse { error, assignment: self.fx.keep(&own) }
            }
            Message::Heartbeat { .. } => {
                Message::HeartbeatResponse { error: self.broker.heartbeat }
            }
            Message::LeaveGroup { poll_timeout, .. } => {
                self.broker.left.push(poll_timeout);
                Message::LeaveGroupResponse { error }
            }
            Message::OffsetCommit { offsets, .. } => {
                let error = self.broker.commit;
                if error == ErrorCode::None {
                    self.broker.committed = self.fx.pools.get(offsets)[0].offset.0;
                }
                Message::OffsetCommitResponse { error }
            }
            Message::OffsetFetch { .. } => {
                let committed = Offset(self.broker.committed);
                let offsets = self.fx.keep(&[PartitionOffset { partition: P, offset: committed }]);
                Message::OffsetFetchResponse { error, offsets }
            }
            Message::ListOffsets { partitions } => {
                let question = self.fx.pools.get(partitions)[0];
                let offset = if question.timestamp == -2 { self.broker.log_start } else { end };
                let leader_epoch = LeaderEpoch(0);
                let offset = Offset(offset);
                let result = ListOffsetsResult { partition: P, error, offset, leader_epoch };
                Message::ListOffsetsResponse { results: self.fx.keep(&[result]) }
            }
            Message::OffsetForLeaderEpoch { partition, epoch, .. } => {
                let end = Offset(self.broker.epoch_end);
                Message::OffsetForLeaderEpochResponse { partition, error, epoch, end }
            }
            _ => return None,
        })
    }

    fn carry_out(&mut self) {
        for effect in std::mem::take(&mut self.fx.list) {
            match effect {
                Effect::Event(kind) => self.events.push((self.now, kind)),
                Effect::SetTimer(timer, at) => {
                    self.timers.insert(timer, at);
                }
                Effect::CancelTimer(timer) => {
                    self.timers.remove(&timer);
                }
                Effect::Exit => self.exited = true,
                Effect::Request { .. } if self.broker.silent => {}
                Effect::Request {
                    correlation,
                    message: Message::Fetch { partitions, max_wait_ms, .. },
                    ..
                } => {
                    let asked = self.fx.pools.get(partitions)[0];
                    self.broker.parked =
                        Some((correlation, asked, self.now + ms(max_wait_ms.into())));
                    self.unpark();
                }
                Effect::Request { correlation, message, .. } => {
                    if let Some(answer) = self.answer(message) {
                        self.answers.insert((self.now + LATENCY + LATENCY, correlation), answer);
                    }
                }
                Effect::Disconnect { .. } | Effect::Reply { .. } | Effect::Hangup { .. } => {}
            }
        }
    }

    /// Lets time pass.
    fn run(&mut self, span: Duration) -> &mut Self {
        let end = self.now + span;
        self.step(Input::Start);
        let mut turns = 0;
        loop {
            turns += 1;
            assert!(turns < 20_000, "it is busy without end at {}", self.now);
            let answer = self.answers.keys().next().map_or(Time::NEVER, |(at, _)| *at);
            let timer = self.timers.iter().min_by_key(|(_, at)| **at).map(|(t, at)| (*at, *t));
            let parked = self.broker.parked.map_or(Time::NEVER, |(_, _, until)| until);
            let next = answer.min(timer.map_or(Time::NEVER, |(at, _)| at)).min(parked);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if next == answer {
                let ((_, correlation), message) = self.answers.pop_first().unwrap();
                self.step(Input::Response { from: B1, correlation, message });
            } else if next == parked {
                let (correlation, _, _) = self.broker.parked.take().unwrap();
                let answer = self.fetch_response(ErrorCode::None, i64::MAX);
                self.answers.insert((self.now, correlation), answer);
            } else {
                let (_, timer) = timer.unwrap();
                self.timers.remove(&timer);
                self.step(Input::Timeout(timer));
            }
        }
        self.now = end;
        self
    }

    fn step(&mut self, input: Input) {
        self.process.step(self.now, input, &mut self.fx);
        self.carry_out();
    }

    fn call(&mut self, call: HandCall) -> &HandReturn {
        self.process.call(self.now, call, &mut self.fx);
        self.carry_out();
        let mut turns = 0;
        while self.process.is_busy() {
            self.run(ms(1));
            turns += 1;
            assert!(turns < 200_000, "the call does not return");
        }
        self.process.last_return()
    }

    /// Polls until records come; their offsets.
    fn poll(&mut self) -> Vec<i64> {
        let polled = &self.call(HandCall::Poll { timeout: ms(100), records: 1 }).polled;
        polled.iter().flat_map(|s| s.first_offset().0..s.next_offset().0).collect()
    }

    fn poll_once(&mut self, timeout: Duration) -> Vec<i64> {
        let polled = &self.call(HandCall::Poll { timeout, records: 0 }).polled;
        polled.iter().flat_map(|s| s.first_offset().0..s.next_offset().0).collect()
    }

    fn process(&mut self, count: u32) {
        self.call(HandCall::Process { count: Some(count) });
    }

    fn consumer(&mut self, call: ConsumerCall) -> HandReturn {
        self.call(HandCall::Consumer(call)).clone()
    }

    fn close(&mut self) {
        self.consumer(ConsumerCall::Close { timeout: DEFAULT_CLOSE_TIMEOUT });
    }

    fn commit(&mut self, sync: bool, offset: Option<i64>) -> Option<Exception> {
        let offsets = offset.map(|o| vec![PartitionOffset { partition: P, offset: Offset(o) }]);
        self.consumer(ConsumerCall::Commit { sync, offsets }).exception
    }

    fn commits(&self) -> Vec<(CommitKind, i64)> {
        let sent = self.events.iter().filter_map(|(_, kind)| match kind {
            EventKind::CommitSent { offset, kind, .. } => Some((*kind, offset.0)),
            _ => None,
        });
        sent.collect()
    }

    fn callbacks(&self) -> Vec<(RebalanceCallback, u16)> {
        let ran = self.events.iter().filter_map(|(_, kind)| match kind {
            EventKind::Callback { callback, count } => Some((*callback, *count)),
            _ => None,
        });
        ran.collect()
    }

    fn processed(&self) -> u32 {
        let done = self.events.iter().map(|(_, kind)| match kind {
            EventKind::Processed { count, .. } => u32::from(*count),
            _ => 0,
        });
        done.sum()
    }

    fn positions(&self) -> Vec<(PositionReason, i64)> {
        let set = self.events.iter().filter_map(|(_, kind)| match kind {
            EventKind::PositionSet { offset, reason, .. } => Some((*reason, offset.0)),
            _ => None,
        });
        set.collect()
    }
}

/// The settings of most recordings: five records a poll, from the beginning.
fn config(auto_commit: bool) -> ConsumerConfig {
    ConsumerConfig {
        enable_auto_commit: auto_commit,
        auto_commit_interval: ms(200),
        auto_offset_reset: OffsetReset::Earliest,
        session_timeout: ms(3_000),
        heartbeat_interval: ms(300),
        max_poll_records: 5,
        ..ConsumerConfig::default()
    }
}

fn range(from: i64, to: i64) -> Vec<i64> {
    (from..to).collect()
}

// --- auto-commit -----------------------------------------------------------------------------------------------------

#[test]
fn s01a_neither_receiving_nor_time_commits_but_a_later_poll_does() {
    let mut rig = Rig::new(config(true), vec![]);
    rig.append(20);
    assert_eq!(rig.poll(), range(0, 5));
    rig.process(3);
    rig.run(ms(1_500));
    assert_eq!((rig.commits(), rig.broker.committed), (vec![], -1));
    assert_eq!(rig.poll(), range(5, 10));
    rig.run(ms(10));
    assert_eq!(rig.commits(), [(CommitKind::AutoPoll, 5)], "not what this poll returned");
    assert_eq!(rig.broker.committed, 5);
}

#[test]
fn s01c_before_the_interval_is_over_nothing_is_committed() {
    let slow = ConsumerConfig { auto_commit_interval: ms(60_000), ..config(true) };
    let mut rig = Rig::new(slow, vec![]);
    rig.append(20);
    for batch in 0..3 {
        assert_eq!(rig.poll(), range(batch * 5, batch * 5 + 5));
        rig.process(5);
    }
    rig.run(ms(1_000));
    assert_eq!(rig.commits(), []);
}

#[test]
fn s01f_the_commit_follows_the_interval_and_is_always_one_poll_behind() {
    let second = ConsumerConfig { auto_commit_interval: ms(1_000), ..config(true) };
    let mut rig = Rig::new(second, vec![]);
    rig.append(100);
    let mut position = 0;
    for _ in 0..16 {
        let before = rig.commits().len();
        rig.poll();
        for (_, offset) in &rig.commits()[before..] {
            assert_eq!(*offset, position, "the position before this poll");
        }
        position += 5;
        rig.run(ms(250));
    }
    assert!((3..=4).contains(&rig.commits().len()), "about once a second: {:?}", rig.commits());
}

#[test]
fn the_planted_defect_commits_what_this_poll_returns() {
    let mut rig = Rig::new(config(true), vec![]);
    rig.fx.defect = Defect::AutoCommitTakesCurrentBatch;
    rig.append(20);
    rig.poll();
    rig.run(ms(1_500));
    rig.poll();
    assert_eq!(rig.commits().last(), Some(&(CommitKind::AutoPoll, 10)));
}

#[test]
fn s01d_close_commits_the_position_only_with_auto_commit() {
    for (auto_commit, commits) in [(true, vec![(CommitKind::AutoClose, 5)]), (false, vec![])] {
        let mut rig = Rig::new(config(auto_commit), vec![]);
        rig.append(5);
        rig.poll();
        rig.process(2);
        rig.close();
        assert_eq!(rig.commits(), commits);
        assert_eq!(rig.broker.left, [false], "the member leaves");
        assert_eq!(rig.callbacks().last(), Some(&(RebalanceCallback::Revoked, 1)));
        assert_eq!(rig.commit(true, None), Some(Exception::IllegalState), "after close");
    }
}

#[test]
fn s01e_a_rebalance_commits_everything_polled_before_it_revokes() {
    let mut rig =
        Rig::new(ConsumerConfig { auto_commit_interval: ms(60_000), ..config(true) }, vec![]);
    rig.append(10);
    rig.poll();
    rig.process(2);
    rig.broker.heartbeat = ErrorCode::RebalanceInProgress;
    rig.run(ms(1_000));
    assert_eq!(rig.commits(), [], "only poll() takes part in a rebalance");
    rig.poll();
    assert_eq!(rig.commits(), [(CommitKind::AutoRebalance, 5)]);
    use RebalanceCallback::{Assigned, Revoked};
    assert_eq!(rig.callbacks(), [(Assigned, 1), (Revoked, 1), (Assigned, 1)]);
}

// --- commits by hand -------------------------------------------------------------------------------------------------

#[test]
fn s02e_commit_sync_without_arguments_commits_what_was_polled() {
    let mut rig = Rig::new(ConsumerConfig { max_poll_records: 3, ..config(false) }, vec![]);
    rig.append(10);
    rig.poll();
    rig.process(2);
    assert_eq!(rig.commit(true, None), None);
    assert_eq!(rig.broker.committed, 3);
}

#[test]
fn s02c_any_offset_may_be_committed_but_a_negative_one() {
    let mut rig = Rig::new(config(false), vec![]);
    rig.append(10);
    rig.poll();
    rig.commit(false, Some(5));
    rig.commit(false, Some(3));
    rig.run(ms(10));
    assert_eq!(rig.broker.committed, 3);
    assert_eq!(rig.commit(true, Some(1_000)), None);
    assert_eq!(rig.broker.committed, 1_000);
    assert_eq!(rig.commit(true, Some(-1)), Some(Exception::IllegalArgument));
}

#[test]
fn commit_sync_repeats_retriable_errors_until_its_time_is_over_and_commit_async_does_not() {
    let short = ConsumerConfig { default_api_timeout: ms(2_000), ..config(false) };
    let mut rig = Rig::new(short, vec![]);
    rig.append(5);
    rig.poll();
    rig.broker.commit = ErrorCode::CoordinatorLoadInProgress;
    let began = rig.now;
    assert_eq!(rig.commit(true, None), Some(Exception::Timeout));
    assert!((ms(2_000)..ms(2_010)).contains(&rig.now.since(began)));
    assert!(rig.commits().len() > 3);
    let sent = rig.commits().len();
    assert_eq!(rig.commit(false, None), None);
    rig.run(ms(1_000));
    assert_eq!(rig.commits().len(), sent + 1);
    rig.poll_once(ms(10));
    let told = rig.events.iter().rev().find_map(|(_, kind)| match kind {
        EventKind::CommitAnswered { exception, kind: CommitKind::Async, .. } => Some(*exception),
        _ => None,
    });
    assert_eq!(told, Some(Some(Exception::RetriableCommitFailed)));
}

#[test]
fn s02f_a_member_that_does_not_poll_leaves_and_cannot_commit_any_more() {
    let impatient = ConsumerConfig { max_poll_interval: ms(2_000), ..config(false) };
    let mut rig = Rig::new(impatient, vec![]);
    rig.append(10);
    rig.poll();
    rig.run(ms(1_900));
    assert_eq!(rig.broker.left, Vec::<bool>::new());
    rig.run(ms(600));
    assert_eq!(rig.broker.left, [true]);
    assert_eq!(rig.commit(true, None), Some(Exception::CommitFailed));
    assert_eq!(rig.callbacks().len(), 1, "callbacks run inside poll()");
    assert_eq!(rig.poll(), range(0, 5));
    use RebalanceCallback::{Assigned, Lost};
    assert_eq!(rig.callbacks(), [(Assigned, 1), (Lost, 1), (Assigned, 1)]);
}

#[test]
fn a_member_the_coordinator_does_not_know_loses_its_partitions_at_the_next_poll() {
    for error in [ErrorCode::UnknownMemberId, ErrorCode::IllegalGeneration] {
        let mut rig = Rig::new(config(false), vec![]);
        rig.append(10);
        rig.poll();
        rig.broker.heartbeat = error;
        rig.run(ms(400));
        rig.poll();
        use RebalanceCallback::{Assigned, Lost};
        assert_eq!(rig.callbacks(), [(Assigned, 1), (Lost, 1), (Assigned, 1)], "{error:?}");
    }
}

// --- reading ---------------------------------------------------------------------------------------------------------

#[test]
fn a_poll_returns_when_data_comes_or_its_time_is_over_and_the_position_moves_then() {
    let mut rig = Rig::new(config(false), vec![]);
    rig.poll_once(ms(100));
    let began = rig.now;
    assert!(rig.poll_once(ms(1_200)).is_empty());
    assert!((ms(1_200)..ms(1_202)).contains(&rig.now.since(began)));
    rig.process.call(rig.now, HandCall::Poll { timeout: ms(5_000), records: 0 }, &mut rig.fx);
    rig.carry_out();
    rig.run(ms(700));
    let appended = rig.now;
    rig.append(7).run(ms(3));
    assert!(!rig.process.is_busy(), "it came {} after", rig.now.since(appended));
    assert_eq!(rig.process.consumer().position(P), Some(Offset(5)));
    let buffered = rig.now;
    assert_eq!(rig.poll_once(ms(5_000)), range(5, 7));
    assert_eq!(rig.now, buffered, "what is buffered is returned at once");
}

#[test]
fn without_a_committed_offset_the_policy_decides_where_to_begin() {
    let table = [
        (OffsetReset::Earliest, Some((PositionReason::ResetEarliest, 2)), None),
        (OffsetReset::Latest, Some((PositionReason::ResetLatest, 7)), None),
        (OffsetReset::None, None, Some(Exception::NoOffsetForPartition)),
    ];
    for (policy, position, exception) in table {
        let with = ConsumerConfig { auto_offset_reset: policy, ..config(false) };
        let mut rig = Rig::new(with, vec![]);
        rig.broker.log_start = 2;
        rig.append(5);
        while rig.positions().is_empty() && rig.process.last_return().exception.is_none() {
            rig.poll_once(ms(100));
        }
        assert_eq!(rig.positions().first().copied(), position);
        assert_eq!(rig.process.last_return().exception, exception);
    }
}

#[test]
fn a_committed_offset_out_of_range_falls_back_on_the_policy() {
    let table = [
        (OffsetReset::Earliest, vec![8, 9], None),
        (OffsetReset::Latest, vec![], None),
        (OffsetReset::None, vec![], Some(Exception::Wire(ErrorCode::OffsetOutOfRange))),
    ];
    for (policy, polled, exception) in table {
        let with = ConsumerConfig { auto_offset_reset: policy, ..config(false) };
        let mut rig = Rig::new(with, vec![]);
        rig.broker.committed = 3;
        rig.broker.log_start = 8;
        rig.append(2);
        let mut got = Vec::new();
        for _ in 0..10 {
            got.extend(rig.poll_once(ms(100)));
            if rig.process.last_return().exception.is_some() {
                break;
            }
        }
        assert_eq!((got, rig.process.last_return().exception), (polled, exception));
        assert_eq!(rig.positions()[0], (PositionReason::Committed, 3));
        assert_eq!(rig.broker.committed, 3, "it stays until the next commit");
    }
}

#[test]
fn a_truncated_log_sets_the_position_back_to_the_divergence_or_throws() {
    let table = [
        (OffsetReset::Earliest, None),
        (OffsetReset::Latest, None),
        (OffsetReset::None, Some(Exception::LogTruncation)),
    ];
    for (policy, exception) in table {
        let with = ConsumerConfig { auto_offset_reset: policy, ..config(false) };
        let mut rig = Rig::new(with, vec![]);
        rig.broker.committed = 0;
        rig.append(3);
        rig.append(2);
        assert_eq!(rig.poll(), range(0, 5));
        rig.broker.log.pop();
        rig.broker.epoch = 1;
        rig.broker.epoch_end = 3;
        rig.append(4);
        let mut got = Vec::new();
        for _ in 0..10 {
            got.extend(rig.poll_once(ms(100)));
            if rig.process.last_return().exception.is_some() {
                break;
            }
        }
        assert_eq!(rig.process.last_return().exception, exception, "{policy:?}");
        if exception.is_none() {
            assert_eq!(got, range(3, 7), "{policy:?}");
            assert_eq!(rig.positions().last(), Some(&(PositionReason::Truncation, 3)));
        }
    }
}

#[test]
fn s05_what_needs_a_group_and_what_does_not() {
    let nothing = Subscription::Topics(vec![]);
    let mut rig = Rig::reading(config(false), None, nothing, vec![]);
    rig.append(3);
    let thrown = rig.consumer(ConsumerCall::Poll { timeout: ms(1), quiet: false }).exception;
    assert_eq!(thrown, Some(Exception::IllegalState), "neither subscribe nor assign");
    let thrown = rig.consumer(ConsumerCall::Subscribe(vec![TopicId(0)])).exception;
    assert_eq!(thrown, Some(Exception::InvalidGroupId));
    assert_eq!(rig.consumer(ConsumerCall::Assign(vec![P])).exception, None);
    assert_eq!(rig.poll(), range(0, 3));
    assert_eq!(rig.commit(true, None), Some(Exception::InvalidGroupId));
    let mut rig = Rig::new(config(false), vec![]);
    let thrown = rig.consumer(ConsumerCall::Assign(vec![P])).exception;
    assert_eq!(thrown, Some(Exception::IllegalState), "subscribe and assign mixed");
}

#[test]
fn seek_position_and_committed_answer_from_where_they_should() {
    let mut rig = Rig::new(config(false), vec![]);
    rig.append(10);
    rig.poll();
    let offset = |rig: &mut Rig, call| rig.consumer(call).offset.map(|o| o.0);
    assert_eq!(offset(&mut rig, ConsumerCall::Position(P)), Some(5));
    assert_eq!(offset(&mut rig, ConsumerCall::Committed(P)), Some(-1));
    rig.consumer(ConsumerCall::Seek(PartitionOffset { partition: P, offset: Offset(8) }));
    assert_eq!(rig.poll(), range(8, 10));
    let elsewhere = PartitionOffset { partition: PartitionId(1), offset: Offset(0) };
    assert_eq!(
        rig.consumer(ConsumerCall::Seek(elsewhere)).exception,
        Some(Exception::IllegalState)
    );
}

#[test]
fn a_silent_coordinator_is_left_after_the_session_time_out() {
    let mut rig = Rig::new(config(false), vec![]);
    rig.append(5);
    rig.poll();
    rig.broker.silent = true;
    rig.run(ms(3_200));
    rig.broker.silent = false;
    rig.run(ms(30_000));
    assert_eq!(rig.callbacks().len(), 1, "the member is still one");
    assert_eq!(rig.commit(true, None), None, "and finds its coordinator again");
}

// --- loops -----------------------------------------------------------------------------------------------------------

const WORK: LoopStep = LoopStep::Work(Duration::from_millis(10));

#[test]
fn commit_before_or_after_work_decides_what_a_crash_in_the_middle_costs() {
    let commit = LoopStep::Commit(CommitMode::Sync);
    for (steps, committed) in
        [(vec![LoopStep::POLL, commit, WORK], 5), (vec![LoopStep::POLL, WORK, commit], -1)]
    {
        let mut rig = Rig::new(config(false), steps);
        rig.append(5);
        while rig.processed() < 2 {
            rig.run(ms(1));
        }
        assert_eq!(rig.broker.committed, committed);
        assert_eq!(rig.process.unprocessed()[0].count, 3);
        rig.run(ms(1_000));
        assert_eq!((rig.processed(), rig.broker.committed), (5, 5));
    }
}

#[test]
fn a_hand_off_with_auto_commit_commits_what_nobody_has_processed() {
    let hand_off = LoopStep::HandOff { workers: 2, work: ms(10_000) };
    let mut rig = Rig::new(config(true), vec![LoopStep::POLL, hand_off]);
    rig.append(5).run(ms(1_500));
    assert_eq!((rig.processed(), rig.broker.committed), (0, 5));
    let lowest = LoopStep::CommitFinished(CommitMode::Sync);
    let uneven = LoopStep::HandOff { workers: 2, work: ms(400) };
    let mut rig = Rig::new(config(false), vec![LoopStep::POLL, uneven, lowest]);
    rig.append(5).run(ms(700));
    let told = (rig.processed(), rig.broker.committed);
    assert_eq!(told, (2, 2), "only what workers have finished");
    rig.run(ms(2_000));
    assert_eq!((rig.processed(), rig.broker.committed), (5, 5));
}

#[test]
fn each_record_may_be_committed_on_its_own_or_off_by_one() {
    let each = LoopStep::WorkAndCommitEach(ms(10));
    let mut rig = Rig::new(config(false), vec![LoopStep::POLL, each]);
    rig.append(3).run(ms(500));
    let sync = |offsets: &[i64]| offsets.iter().map(|o| (CommitKind::Sync, *o)).collect::<Vec<_>>();
    assert_eq!(rig.commits(), sync(&[1, 2, 3]));
    let last = LoopStep::CommitLast(CommitMode::Sync);
    let mut rig = Rig::new(config(false), vec![LoopStep::POLL, WORK, last]);
    rig.append(3).run(ms(500));
    assert_eq!(rig.commits(), sync(&[2]));
}

#[test]
fn an_idle_loop_is_quiet() {
    let commit = LoopStep::Commit(CommitMode::Sync);
    let mut rig = Rig::new(config(true), vec![LoopStep::POLL, WORK, commit]);
    rig.append(1).run(ms(2_000));
    let before = rig.events.len();
    rig.run(ms(60_000));
    let said: Vec<_> = rig.events[before..].iter().map(|(_, kind)| *kind).collect();
    let unexpected = |kind: &&EventKind| {
        !matches!(kind, EventKind::CommitSent { .. } | EventKind::CommitAnswered { .. })
    };
    assert_eq!(said.iter().find(unexpected), None, "nothing but auto-commits");
}

#[test]
fn a_stop_ends_the_round_closes_and_exits_and_a_throwing_poll_does_too() {
    let mut rig = Rig::new(config(true), vec![LoopStep::POLL, WORK]);
    rig.append(5);
    while rig.processed() < 2 {
        rig.run(ms(1));
    }
    rig.process.stop(rig.now, &mut rig.fx);
    rig.carry_out();
    rig.run(ms(100));
    assert!(rig.exited);
    assert_eq!((rig.processed(), rig.broker.committed), (5, 5));
    assert_eq!(rig.events.last().unwrap().1, EventKind::Closed);
    let strict = ConsumerConfig { auto_offset_reset: OffsetReset::None, ..config(true) };
    let mut rig = Rig::new(strict, vec![LoopStep::POLL, WORK]);
    rig.run(ms(1_000));
    assert!(rig.exited);
    assert_eq!(rig.events.last().unwrap().1, EventKind::Closed);
}
