//! Whole brokers and a controller, driven by a small rig: one millisecond a hop, no loss, virtual time.

use std::collections::VecDeque;
use std::sync::Arc;

use super::*;
use crate::base::batch::{ProducerState, Record, RecordBody};
use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::chooser::Chooser;
use crate::base::config::{BrokerConfig, Defect, IsolationLevel};
use crate::base::error::ErrorCode;
use crate::base::ids::{
    BatchHandle, KeyId, LeaderEpoch, MessageId, Offset, ProducerEpoch, Sequence, TopicId,
};
use crate::base::names::{Names, Partition, Topic};
use crate::event::EventKind;
use crate::kafka::api::{FetchPartition, ListOffsetsPartition, ProduceBatch, ProduceResult};
use crate::kafka::controller::Controller;

const P0: PartitionId = PartitionId(0);
const CLIENT: NodeId = NodeId::Producer(0);
const HOP: Duration = Duration::from_millis(1);

/// A message on its way.
struct Flight {
    at: Time,
    to: NodeId,
    input: Input,
}

struct Rig {
    now: Time,
    fx: Effects,
    controller: Controller,
    brokers: Vec<Broker>,
    /// Brokers without a process.
    down: BrokerSet,
    /// Messages between the two are lost.
    cut: Option<(BrokerId, BrokerId)>,
    wire: VecDeque<Flight>,
    timers: Vec<(NodeId, Timer, Time)>,
    events: Vec<(NodeId, EventKind)>,
    answers: Vec<(u32, Message)>,
    connections: u32,
}

fn b(n: u8) -> BrokerId {
    BrokerId(n)
}

fn set(ids: &[u8]) -> BrokerSet {
    ids.iter().map(|n| BrokerId(*n)).collect()
}

impl Rig {
    /// Three brokers, one partition with replicas 1, 2, 3.
    fn new(min_insync_replicas: u32) -> Self {
        let brokers = 3;
        let ids: Vec<BrokerId> = (1..=brokers).map(BrokerId).collect();
        let names = Names {
            controllers: 1,
            brokers,
            topics: vec![Topic {
                name: "orders".to_owned(),
                partitions: vec![P0],
                internal: false,
                partition_count: 1,
            }],
            partitions: vec![Partition {
                topic: TopicId(0),
                index: 0,
                replicas: ReplicaList::new(&ids),
            }],
            ..Names::default()
        };
        let config = Arc::new(ClusterConfig {
            brokers: BrokerConfig {
                replica_lag_time_max: Duration::from_secs(10),
                ..BrokerConfig::default()
            },
            topics: vec![TopicConfig { min_insync_replicas, ..TopicConfig::default() }],
            ..ClusterConfig::default()
        });
        let formation = Formation::of(&names);
        let mut rig = Self {
            now: Time::ZERO,
            fx: Effects::new(Arc::new(names), Chooser::seeded(1)),
            controller: Controller::formed(1, 1, Arc::clone(&config), &formation),
            brokers: ids
                .iter()
                .map(|id| Broker::formed(*id, Arc::clone(&config), &formation))
                .collect(),
            down: BrokerSet::EMPTY,
            cut: None,
            wire: VecDeque::new(),
            timers: Vec::new(),
            events: Vec::new(),
            answers: Vec::new(),
            connections: 0,
        };
        rig.deliver(NodeId::Controller(1), Input::Start);
        for id in ids {
            rig.deliver(NodeId::Broker(id), Input::Start);
        }
        rig.run(Duration::from_millis(100));
        rig
    }

    fn deliver(&mut self, to: NodeId, input: Input) {
        match to {
            NodeId::Controller(_) => self.controller.step(self.now, input, &mut self.fx),
            NodeId::Broker(id) if self.down.contains(id) => return,
            NodeId::Broker(id) => {
                self.brokers[id.index() - 1].step(self.now, input, &mut self.fx);
            }
            _ => {
                if let Input::Response { correlation, message, .. } = input {
                    self.answers.push((correlation, message));
                }
                return;
            }
        }
        self.carry_out(to);
    }

    fn carry_out(&mut self, node: NodeId) {
        for effect in std::mem::take(&mut self.fx.list) {
            match effect {
                Effect::Request { to, correlation, message } => {
                    let connection = u32::from(node.broker().map_or(0, |id| id.0));
                    let token = Token { from: node, correlation, connection };
                    if to.broker().is_some_and(|id| self.down.contains(id)) {
                        self.post(to, node, Input::Disconnected { peer: to });
                    } else {
                        self.post(node, to, Input::Request { token, message });
                    }
                }
                Effect::Reply { token, message } => {
                    let correlation = token.correlation;
                    self.post(
                        node,
                        token.from,
                        Input::Response { from: node, correlation, message },
                    );
                }
                Effect::Hangup { token } => {
                    self.post(node, token.from, Input::Disconnected { peer: node });
                }
                Effect::Event(kind) => self.events.push((node, kind)),
                Effect::SetTimer(timer, at) => {
                    self.timers.retain(|(n, t, _)| (*n, *t) != (node, timer));
                    self.timers.push((node, timer, at));
                }
                Effect::CancelTimer(timer) => {
                    self.timers.retain(|(n, t, _)| (*n, *t) != (node, timer));
                }
                Effect::Exit => self.take_down(node),
                Effect::Disconnect { .. } | Effect::ActAs(_) | Effect::Relaunch(_) => {}
            }
        }
    }

    fn post(&mut self, from: NodeId, to: NodeId, input: Input) {
        let cut = self.cut.map(|(x, y)| (NodeId::Broker(x), NodeId::Broker(y)));
        if cut == Some((from, to)) || cut == Some((to, from)) {
            return;
        }
        self.wire.push_back(Flight { at: self.now + HOP, to, input });
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            let timer = self.timers.iter().map(|(.., at)| *at).min().unwrap_or(Time::NEVER);
            let flight = self.wire.front().map_or(Time::NEVER, |flight| flight.at);
            if timer.min(flight) > until {
                break;
            }
            self.now = self.now.max(timer.min(flight));
            if flight <= timer {
                let Flight { to, input, .. } = self.wire.pop_front().unwrap();
                self.deliver(to, input);
            } else {
                let at = self.timers.iter().position(|(.., at)| *at == timer).unwrap();
                let (node, timer, _) = self.timers.remove(at);
                self.deliver(node, Input::Timeout(timer));
            }
        }
        self.now = until;
    }

    fn take_down(&mut self, node: NodeId) {
        let id = node.broker().unwrap();
        self.down = self.down.with(id);
        self.timers.retain(|(n, ..)| *n != node);
        self.brokers[id.index() - 1].kill();
        for other in 1..=3 {
            let other = NodeId::Broker(b(other));
            if other != node {
                self.post(node, other, Input::Disconnected { peer: node });
            }
        }
    }

    fn kill(&mut self, id: BrokerId) {
        self.take_down(NodeId::Broker(id));
    }

    fn start(&mut self, id: BrokerId) {
        self.down = self.down.without(id);
        self.deliver(NodeId::Broker(id), Input::Start);
    }

    fn stop(&mut self, id: BrokerId) {
        self.brokers[id.index() - 1].stop(self.now, &mut self.fx);
        self.carry_out(NodeId::Broker(id));
    }

    /// A client asks, on a connection of its own.
    fn ask(&mut self, broker: BrokerId, message: Message) -> u32 {
        self.connections += 1;
        let correlation = 1_000_000 + self.connections;
        let token = Token { from: CLIENT, correlation, connection: 1_000 + self.connections };
        self.post(CLIENT, NodeId::Broker(broker), Input::Request { token, message });
        correlation
    }

    fn batch(&mut self, records: u32, producer: Option<ProducerState>) -> BatchHandle {
        let body = RecordBody::Message(MessageId(0));
        let (key, bytes, timestamp) = (KeyId::NONE, 100, self.now.timestamp());
        let record = Record { body, key, bytes, timestamp, is_tombstone: false };
        self.fx.batches.add(CLIENT, producer, &vec![record; records as usize])
    }

    fn produce_batch(&mut self, to: BrokerId, acks: i8, batch: BatchHandle) -> u32 {
        let batches = self.fx.keep(&[ProduceBatch { partition: P0, batch }]);
        let (transactional, adds) = (None, false);
        self.ask(to, Message::Produce { acks, timeout_ms: 30_000, transactional, adds, batches })
    }

    fn produce(&mut self, to: BrokerId, acks: i8, records: u32) -> u32 {
        let batch = self.batch(records, None);
        self.produce_batch(to, acks, batch)
    }

    fn produced(&self, correlation: u32) -> Option<ProduceResult> {
        match self.answer(correlation)? {
            Message::ProduceResponse { results } => Some(self.fx.pools.get(results)[0]),
            other => panic!("{other:?}"),
        }
    }

    /// Error and base offset of the answer to a produce request.
    fn outcome(&self, correlation: u32) -> Option<(ErrorCode, i64)> {
        self.produced(correlation).map(|result| (result.error, result.base_offset.0))
    }

    fn answer(&self, correlation: u32) -> Option<Message> {
        self.answers.iter().find(|(c, _)| *c == correlation).map(|(_, message)| *message)
    }

    fn end(&self, id: BrokerId) -> i64 {
        self.brokers[id.index() - 1].log(P0).unwrap().end().0
    }

    fn high_watermark(&self, id: BrokerId) -> i64 {
        self.brokers[id.index() - 1].replica(P0).unwrap().high_watermark.0
    }

    /// Leader (0: none), leader epoch and ISR, as the controller has them.
    fn registration(&self) -> (u8, i32, BrokerSet) {
        let p = self.controller.registration(P0);
        (p.leader.map_or(0, |id| id.0), p.leader_epoch.0, p.isr)
    }

    /// The base offsets and epochs of a replica's log.
    fn log(&self, id: BrokerId) -> Vec<(i64, i32)> {
        let log = self.brokers[id.index() - 1].log(P0).unwrap();
        log.entries().map(|e| (e.base_offset.0, e.leader_epoch.0)).collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MILLISECONDS_10: Duration = Duration::from_millis(10);

#[test]
fn a_followers_high_watermark_lags_one_fetch_round() {
    let mut rig = Rig::new(1);
    let first = rig.produce(b(1), -1, 3);
    rig.run(MILLISECONDS_10);
    assert_eq!(rig.outcome(first), Some((ErrorCode::None, 0)));
    // All have the records and the leader knows; the followers' fetches wait, so they have not been told.
    assert_eq!([rig.end(b(1)), rig.end(b(2)), rig.end(b(3))], [3, 3, 3]);
    let marks = |rig: &Rig| [1, 2, 3].map(|n| rig.high_watermark(b(n)));
    assert_eq!(marks(&rig), [3, 0, 0]);
    rig.run(SECOND);
    assert_eq!(marks(&rig), [3, 3, 3], "an empty answer after replica.fetch.wait.max.ms tells it");
}

/// Recorded: after a crash of the whole cluster the last replica to be fenced leads, whatever the others have.
#[test]
fn after_a_crash_of_all_only_the_last_to_be_fenced_may_lead() {
    let mut rig = Rig::new(1);
    rig.produce(b(1), -1, 3);
    rig.run(SECOND);
    rig.kill(b(2));
    rig.kill(b(3));
    let lost = rig.produce(b(1), 1, 2);
    rig.run(MILLISECONDS_10);
    assert_eq!(rig.outcome(lost), Some((ErrorCode::None, 3)));
    rig.kill(b(1));
    // Sessions run out in the order of the last heartbeats: 1, 2, 3. Leadership hops each time.
    rig.start(b(2));
    rig.run(Duration::from_secs(30));
    assert_eq!(rig.registration(), (0, 3, BrokerSet::EMPTY), "2 is back and may not lead");
    rig.start(b(3));
    rig.run(Duration::from_secs(30));
    assert_eq!(rig.registration(), (3, 4, set(&[2, 3])));
    rig.start(b(1));
    rig.run(Duration::from_secs(60));
    assert_eq!(rig.registration(), (3, 4, set(&[1, 2, 3])));
    for id in [1, 2, 3] {
        assert_eq!(rig.log(b(id)), [(0, 0)], "the acknowledged tail of broker 1 is gone");
    }
}

#[test]
fn the_next_in_order_leads_and_the_old_leader_cuts_its_unreplicated_tail() {
    let mut rig = Rig::new(1);
    rig.produce(b(1), -1, 3);
    rig.run(SECOND);
    // The followers stay in the ISR but cannot fetch: they are cut off from the leader, not from the controller.
    rig.wire.retain(|flight| flight.to.broker().is_none());
    rig.cut = Some((b(1), b(2)));
    let pending: Vec<_> = std::mem::take(&mut rig.brokers[0].ram.purgatory.fetches);
    assert_eq!(pending.len(), 2, "both followers wait at the leader");
    let lost = rig.produce(b(1), 1, 2);
    rig.run(Duration::from_millis(2));
    assert_eq!(rig.outcome(lost), Some((ErrorCode::None, 3)));
    assert_eq!([rig.end(b(1)), rig.end(b(2)), rig.end(b(3))], [5, 3, 3]);
    rig.cut = None;
    rig.kill(b(1));
    rig.run(Duration::from_secs(10));
    assert_eq!(rig.registration(), (2, 1, set(&[2, 3])));
    let retried = rig.produce(b(2), -1, 1);
    rig.run(SECOND);
    assert_eq!(rig.outcome(retried), Some((ErrorCode::None, 3)));
    rig.start(b(1));
    rig.run(Duration::from_secs(20));
    assert_eq!(rig.registration(), (2, 1, set(&[1, 2, 3])));
    assert_eq!(rig.log(b(1)), [(0, 0), (3, 1)]);
    let cut = EventKind::Truncated { partition: P0, to: Offset(3), epoch: LeaderEpoch(0) };
    assert!(rig.events.contains(&(NodeId::Broker(b(1)), cut)));
}

#[test]
fn below_the_min_isr_acks_all_is_refused_and_the_high_watermark_stands_still() {
    let mut rig = Rig::new(2);
    rig.produce(b(1), -1, 2);
    rig.run(SECOND);
    rig.kill(b(2));
    rig.kill(b(3));
    let waiting = rig.produce(b(1), -1, 1);
    rig.run(Duration::from_secs(12));
    assert_eq!(rig.registration().2, set(&[1]));
    assert_eq!(rig.outcome(waiting), None, "appended before the shrink: it waits");
    let refused = rig.produce(b(1), -1, 1);
    let stored = rig.produce(b(1), 1, 1);
    rig.run(MILLISECONDS_10);
    assert_eq!(rig.outcome(refused), Some((ErrorCode::NotEnoughReplicas, -1)));
    assert_eq!(rig.outcome(stored), Some((ErrorCode::None, 3)));
    assert_eq!((rig.end(b(1)), rig.high_watermark(b(1))), (4, 2));
    rig.start(b(2));
    rig.run(Duration::from_secs(10));
    assert_eq!(rig.registration().2, set(&[1, 2]));
    assert_eq!(rig.high_watermark(b(1)), 4);
    assert_eq!(
        rig.outcome(waiting),
        Some((ErrorCode::None, 2)),
        "a follower is back: acknowledged"
    );
}

#[test]
fn an_acks_all_request_that_waits_too_long_times_out_and_its_record_stays() {
    let mut rig = Rig::new(2);
    rig.kill(b(2));
    rig.kill(b(3));
    let waiting = rig.produce(b(1), -1, 1);
    rig.run(Duration::from_secs(31));
    assert_eq!(rig.outcome(waiting), Some((ErrorCode::RequestTimedOut, -1)));
    assert_eq!(rig.end(b(1)), 1);
}

#[test]
fn the_isr_shrinks_after_the_lag_time_not_while_idle_and_expands_again() {
    let mut rig = Rig::new(1);
    rig.produce(b(1), -1, 1);
    rig.run(SECOND);
    rig.cut = Some((b(1), b(3)));
    rig.run(Duration::from_secs(25));
    assert_eq!(rig.registration().2, set(&[1, 2, 3]), "idle: nobody lags");
    let waiting = rig.produce(b(1), -1, 1);
    rig.run(MILLISECONDS_10);
    assert_eq!(rig.outcome(waiting), None, "the ISR member that does not fetch holds it back");
    rig.run(Duration::from_secs(15));
    assert_eq!(rig.registration(), (1, 0, set(&[1, 2])), "the leader epoch stays");
    assert_eq!(rig.outcome(waiting), Some((ErrorCode::None, 1)));
    rig.cut = None;
    // Its lost fetch times out after replica.socket.timeout.ms, then it catches up and is asked back.
    rig.run(Duration::from_secs(40));
    assert_eq!(rig.registration(), (1, 0, set(&[1, 2, 3])));
}

#[test]
fn a_restart_is_refused_until_the_old_session_is_over() {
    let mut rig = Rig::new(1);
    rig.kill(b(1));
    rig.start(b(1));
    rig.run(Duration::from_secs(3));
    assert_eq!(rig.registration().0, 1, "nobody has noticed");
    assert!(!rig.brokers[0].serves());
    rig.run(Duration::from_secs(20));
    assert_eq!(rig.registration(), (2, 1, set(&[1, 2, 3])));
    assert!(rig.brokers[0].serves());
}

#[test]
fn a_controlled_shutdown_hands_leadership_over_first() {
    let mut rig = Rig::new(1);
    rig.produce(b(1), -1, 1);
    rig.run(SECOND);
    rig.stop(b(1));
    rig.run(SECOND);
    assert!(rig.down.contains(b(1)));
    assert_eq!(rig.registration(), (2, 1, set(&[2, 3])));
    rig.start(b(1));
    rig.run(Duration::from_secs(10));
    assert_eq!(rig.registration(), (2, 1, set(&[1, 2, 3])), "no old session is in the way");
}

#[test]
fn duplicates_are_answered_with_their_first_offset_also_by_the_next_leader() {
    let mut rig = Rig::new(1);
    let state = |first| {
        Some(ProducerState { id: 9, epoch: ProducerEpoch(0), base_sequence: Sequence(first) })
    };
    let (first, gap) = (rig.batch(2, state(0)), rig.batch(1, state(5)));
    for (batch, expected) in [
        (first, (ErrorCode::None, 0)),
        (first, (ErrorCode::None, 0)),
        (gap, (ErrorCode::OutOfOrderSequenceNumber, -1)),
    ] {
        let asked = rig.produce_batch(b(1), -1, batch);
        rig.run(SECOND);
        assert_eq!(rig.outcome(asked), Some(expected));
    }
    rig.kill(b(1));
    rig.run(Duration::from_secs(10));
    let again = rig.produce_batch(b(2), -1, first);
    rig.run(SECOND);
    assert_eq!(rig.outcome(again), Some((ErrorCode::None, 0)));
    assert_eq!(rig.end(b(2)), 2);
}

#[test]
fn consumers_read_below_the_high_watermark_and_positions_are_checked() {
    let mut rig = Rig::new(1);
    rig.produce(b(1), -1, 2);
    rig.run(SECOND);
    rig.cut = Some((b(1), b(2)));
    rig.run(SECOND);
    rig.produce(b(1), 1, 2);
    rig.run(MILLISECONDS_10);
    assert_eq!((rig.high_watermark(b(1)), rig.end(b(1))), (2, 4));
    for (offset, epoch, slices, error) in [
        (0, 0, 1, ErrorCode::None),
        (2, 0, 0, ErrorCode::None),
        (4, 0, 0, ErrorCode::None),
        (5, 0, 0, ErrorCode::OffsetOutOfRange),
        (0, 1, 0, ErrorCode::UnknownLeaderEpoch),
    ] {
        let ask = FetchPartition {
            partition: P0,
            offset: Offset(offset),
            current_leader_epoch: LeaderEpoch(epoch),
            last_fetched_epoch: LeaderEpoch::NONE,
            log_start: Offset(0),
            max_bytes: 1_000_000,
        };
        let partitions = rig.fx.keep(&[ask]);
        let (max_wait_ms, min_bytes, max_bytes) = (100, 1, 1_000_000);
        let message = Message::Fetch {
            isolation: IsolationLevel::ReadUncommitted,
            replica: None,
            rack: None,
            replica_epoch: -1,
            max_wait_ms,
            min_bytes,
            max_bytes,
            partitions,
        };
        let asked = rig.ask(b(1), message);
        rig.run(SECOND);
        let Some(Message::FetchResponse { results, .. }) = rig.answer(asked) else {
            panic!("no answer for {offset}");
        };
        let result = rig.fx.pools.get(results)[0];
        assert_eq!((i32::from(result.slice_count), result.error), (slices, error), "{offset}");
    }
}

#[test]
fn a_new_leader_does_not_say_where_the_log_ends_before_it_knows() {
    let mut rig = Rig::new(1);
    rig.run(SECOND);
    rig.produce(b(1), -1, 2);
    rig.run(MILLISECONDS_10);
    assert_eq!(rig.high_watermark(b(2)), 0, "not told yet");
    rig.kill(b(1));
    rig.cut = Some((b(2), b(3)));
    rig.run(Duration::from_secs(11));
    assert_eq!(rig.registration().0, 2);
    let latest = |rig: &mut Rig| {
        let ask = ListOffsetsPartition {
            partition: P0,
            current_leader_epoch: LeaderEpoch(1),
            timestamp: -1,
        };
        let partitions = rig.fx.keep(&[ask]);
        let asked = rig.ask(
            b(2),
            Message::ListOffsets { isolation: IsolationLevel::ReadUncommitted, partitions },
        );
        rig.run(MILLISECONDS_10);
        match rig.answer(asked) {
            Some(Message::ListOffsetsResponse { results }) => rig.fx.pools.get(results)[0],
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(latest(&mut rig).error, ErrorCode::OffsetNotAvailable);
    rig.cut = None;
    rig.run(Duration::from_secs(60));
    assert_eq!(latest(&mut rig).offset, Offset(2));
}

#[test]
fn a_planted_defect_shows() {
    let mut rig = Rig::new(1);
    rig.fx.defect = Defect::AckBeforeReplication;
    rig.cut = Some((b(1), b(2)));
    rig.run(SECOND);
    let asked = rig.produce(b(1), -1, 1);
    rig.run(MILLISECONDS_10);
    assert_eq!(rig.outcome(asked), Some((ErrorCode::None, 0)), "acknowledged at once");
    assert_eq!(rig.high_watermark(b(1)), 0);
}

#[test]
fn a_restarted_replica_begins_at_the_checkpointed_high_watermark() {
    let mut rig = Rig::new(1);
    rig.produce(b(1), -1, 2);
    rig.run(Duration::from_secs(6));
    // The file is written every five seconds; what comes after is only in memory.
    rig.produce(b(1), -1, 2);
    rig.run(SECOND);
    assert_eq!(rig.high_watermark(b(2)), 4);
    rig.kill(b(2));
    assert_eq!(rig.brokers[1].log(P0).unwrap().high_watermark_checkpoint(), Offset(2));
    rig.stop(b(3));
    rig.run(SECOND);
    assert_eq!(rig.brokers[2].log(P0).unwrap().high_watermark_checkpoint(), Offset(4));
}

#[test]
fn producer_ids_are_unique_in_the_cluster_and_across_restarts() {
    let mut rig = Rig::new(1);
    let mut ids = Vec::new();
    for n in [1, 2, 3, 1, 2] {
        let epoch = ProducerEpoch(-1);
        let (transactional, timeout_ms) = (None, 0);
        let message = Message::InitProducerId { transactional, timeout_ms, producer_id: -1, epoch };
        let asked = rig.ask(b(n), message);
        rig.run(MILLISECONDS_10);
        match rig.answer(asked) {
            Some(Message::InitProducerIdResponse { producer_id, .. }) => ids.push(producer_id),
            other => panic!("{other:?}"),
        }
        if ids.len() == 3 {
            rig.kill(b(1));
            rig.start(b(1));
            rig.run(Duration::from_secs(20));
        }
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}
