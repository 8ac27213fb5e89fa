//! Whole processes against one broker that the test plays: a log, a coordinator and committed offsets, a millisecond
//! away. What is asserted are the facts recorded from Kafka 4.4.0.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::base::batch::{Record, RecordBody, Subscribed};
use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::chooser::Chooser;
use crate::base::config::{AssignorName, ConsumerConfig, OffsetReset};
use crate::base::error::ErrorCode;
use crate::base::ids::{
    BatchHandle, BrokerId, Generation, GroupId, KeyId, LeaderEpoch, MemberId, MessageId, NodeId,
};
use crate::base::names::{Client, Names, Partition, Topic};
use crate::base::time::Time;
use crate::event::{CommitKind, EventKind, PositionReason, RebalanceCallback};
use crate::kafka::api::{
    FetchPartition, FetchResult, FetchedSlice, ListOffsetsResult, MemberPartition, MemberRow,
    Message, PartitionMetadata, PartitionOffset,
};
use crate::kafka::consumer::{Consumer, DEFAULT_CLOSE_TIMEOUT};
use crate::kafka::effects::{Effect, Effects, Input, List, Timer};

pub(super) const P: PartitionId = PartitionId(0);
pub(super) const B1: NodeId = NodeId::Broker(BrokerId(1));
pub(super) const LATENCY: Duration = Duration::from_millis(1);
pub(super) const MEMBER: MemberId = MemberId(0x1_0001);

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn names() -> Names {
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
pub(super) struct Broker {
    pub(super) log: Vec<(BatchHandle, i64, i64)>,
    pub(super) log_start: i64,
    pub(super) epoch: i32,
    /// Where epochs below the present one end.
    pub(super) epoch_end: i64,
    pub(super) committed: i64,
    /// What the coordinator says to heartbeats, and to commits.
    pub(super) heartbeat: ErrorCode,
    pub(super) commit: ErrorCode,
    pub(super) generation: i32,
    pub(super) members: Vec<MemberRow>,
    /// A fetch that waits for data: its correlation id, what it asked for and until when.
    pub(super) parked: Option<(u32, FetchPartition, Time)>,
    pub(super) silent: bool,
    pub(super) left: Vec<bool>,
}

pub(super) struct Rig {
    pub(super) now: Time,
    pub(super) fx: Effects,
    pub(super) process: ConsumerProcess,
    pub(super) broker: Broker,
    pub(super) answers: BTreeMap<(Time, u32), Message>,
    pub(super) timers: BTreeMap<Timer, Time>,
    pub(super) events: Vec<(Time, EventKind)>,
    pub(super) exited: bool,
}

impl Rig {
    pub(super) fn new(config: ConsumerConfig, steps: Vec<LoopStep>) -> Self {
        Self::reading(config, Some(GroupId(0)), Subscription::Topics(vec![TopicId(0)]), steps)
    }

    pub(super) fn reading(
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
    pub(super) fn append(&mut self, count: u32) -> &mut Self {
        let end = self.broker.log.last().map_or(self.broker.log_start, |(_, _, end)| *end);
        let record = |n| Record {
            body: RecordBody::Message(MessageId(n)),
            key: KeyId::NONE,
            bytes: 9,
            timestamp: 0,
            is_tombstone: false,
        };
        let records: Vec<Record> = (0..count).map(|n| record(end as u32 + n)).collect();
        let batch = self.fx.batches.add(NodeId::Producer(0), None, &records);
        self.broker.log.push((batch, end, end + i64::from(count)));
        self.unpark();
        self
    }

    pub(super) fn unpark(&mut self) {
        let Some((correlation, asked, until)) = self.broker.parked.take() else { return };
        match self.fetch(asked) {
            Some(answer) => {
                self.answers.insert((self.now + LATENCY, correlation), answer);
            }
            None => self.broker.parked = Some((correlation, asked, until)),
        }
    }

    pub(super) fn fetch(&mut self, asked: FetchPartition) -> Option<Message> {
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

    pub(super) fn fetch_response(&mut self, error: ErrorCode, offset: i64) -> Message {
        let take = error == ErrorCode::None;
        let data = self.broker.log.iter().filter(|(_, _, end)| take && *end > offset);
        let slices: Vec<_> = data
            .map(|(batch, base, _)| FetchedSlice {
                batch: *batch,
                base_offset: Offset(*base),
                leader_epoch: LeaderEpoch(0),
                append_time: None,
            })
            .collect();
        let result = FetchResult {
            last_stable_offset: Offset::NONE,
            aborted_count: 0,
            partition: P,
            error,
            high_watermark: Offset(0),
            log_start: Offset(self.broker.log_start),
            diverging_epoch: LeaderEpoch::NONE,
            diverging_end: Offset::NONE,
            leader: None,
            leader_epoch: LeaderEpoch::NONE,
            preferred_read_replica: None,
            slice_count: slices.len() as u16,
        };
        Message::FetchResponse {
            results: self.fx.keep(&[result]),
            slices: self.fx.keep(&slices),
            aborted: List::EMPTY,
        }
    }

    fn join(&mut self, member: MemberId) -> Message {
        if member == MemberId::UNKNOWN {
            return Message::JoinGroupResponse {
                error: ErrorCode::MemberIdRequired,
                generation: Generation(-1),
                protocol: None,
                leader: MemberId::UNKNOWN,
                member: MEMBER,
                skip_assignment: false,
                members: List::EMPTY,
            };
        }
        self.broker.generation += 1;
        self.broker.heartbeat = ErrorCode::None;
        self.broker.members = vec![MemberRow { member, says: Subscribed::Topic(TopicId(0)) }];
        Message::JoinGroupResponse {
            error: ErrorCode::None,
            generation: Generation(self.broker.generation),
            protocol: Some(AssignorName::Range),
            leader: member,
            member,
            skip_assignment: false,
            members: self.fx.keep(&self.broker.members),
        }
    }

    pub(super) fn answer(&mut self, message: Message) -> Option<Message> {
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
                let brokers = BrokerSet::of(BrokerId(1));
                Message::MetadataResponse { brokers, transaction_version: 2, partitions }
            }
            Message::FindCoordinator { .. } => {
                Message::FindCoordinatorResponse { error, coordinator: Some(BrokerId(1)) }
            }
            Message::JoinGroup { member, .. } => self.join(member),
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
            Message::ListOffsets { partitions, .. } => {
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

    pub(super) fn carry_out(&mut self) {
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
                Effect::Disconnect { .. }
                | Effect::Reply { .. }
                | Effect::Hangup { .. }
                | Effect::ActAs(_)
                | Effect::Relaunch(_) => {}
            }
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, span: Duration) -> &mut Self {
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

    pub(super) fn step(&mut self, input: Input) {
        self.process.step(self.now, input, &mut self.fx);
        self.carry_out();
    }

    pub(super) fn call(&mut self, call: HandCall) -> &HandReturn {
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
    pub(super) fn poll(&mut self) -> Vec<i64> {
        let polled =
            &self.call(HandCall::Poll { timeout: ms(100), records: 1, within: None }).polled;
        polled.iter().flat_map(|s| s.first_offset().0..s.next_offset().0).collect()
    }

    pub(super) fn poll_once(&mut self, timeout: Duration) -> Vec<i64> {
        let polled = &self.call(HandCall::Poll { timeout, records: 0, within: None }).polled;
        polled.iter().flat_map(|s| s.first_offset().0..s.next_offset().0).collect()
    }

    pub(super) fn process(&mut self, count: u32) {
        self.call(HandCall::Process { count: Some(count) });
    }

    pub(super) fn consumer(&mut self, call: ConsumerCall) -> HandReturn {
        self.call(HandCall::Consumer(call)).clone()
    }

    pub(super) fn close(&mut self) {
        self.consumer(ConsumerCall::Close { timeout: DEFAULT_CLOSE_TIMEOUT });
    }

    pub(super) fn commit(&mut self, sync: bool, offset: Option<i64>) -> Option<Exception> {
        let offsets = offset.map(|o| vec![PartitionOffset { partition: P, offset: Offset(o) }]);
        self.consumer(ConsumerCall::Commit { sync, offsets }).exception
    }

    pub(super) fn commits(&self) -> Vec<(CommitKind, i64)> {
        let sent = self.events.iter().filter_map(|(_, kind)| match kind {
            EventKind::CommitSent { offset, kind, .. } => Some((*kind, offset.0)),
            _ => None,
        });
        sent.collect()
    }

    pub(super) fn callbacks(&self) -> Vec<(RebalanceCallback, u16)> {
        let ran = self.events.iter().filter_map(|(_, kind)| match kind {
            EventKind::Callback { callback, count } => Some((*callback, *count)),
            _ => None,
        });
        ran.collect()
    }

    pub(super) fn processed(&self) -> u32 {
        let done = self.events.iter().map(|(_, kind)| match kind {
            EventKind::Processed { count, .. } => u32::from(*count),
            _ => 0,
        });
        done.sum()
    }

    pub(super) fn positions(&self) -> Vec<(PositionReason, i64)> {
        let set = self.events.iter().filter_map(|(_, kind)| match kind {
            EventKind::PositionSet { offset, reason, .. } => Some((*reason, offset.0)),
            _ => None,
        });
        set.collect()
    }
}

/// The settings of most recordings: five records a poll, from the beginning.
pub(super) fn config(auto_commit: bool) -> ConsumerConfig {
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

pub(super) fn range(from: i64, to: i64) -> Vec<i64> {
    (from..to).collect()
}
