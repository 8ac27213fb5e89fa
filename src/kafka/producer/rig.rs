//! What the tests of the producer run it in: answers given by hand, and a record of what it said and sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::chooser::Chooser;
use crate::base::error::ErrorCode;
use crate::base::ids::{BatchHandle, BrokerId, LeaderEpoch, NodeId, Offset, ProducerEpoch};
use crate::base::names::{Names, Partition, Topic};
use crate::base::time::Duration;
use crate::kafka::api::{Message, PartitionMetadata, ProduceBatch, ProduceResult};
use crate::kafka::effects::{Effect, Timer};
use crate::kafka::producer::*;

pub(super) const P0: PartitionId = PartitionId(0);
pub(super) const B1: NodeId = NodeId::Broker(BrokerId(1));
pub(super) const MS: u64 = 1_000;

/// A produce request on the wire.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) at: Time,
    pub(super) to: NodeId,
    pub(super) correlation: u32,
    pub(super) batches: Vec<ProduceBatch>,
}

/// A request to a coordinator.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) to: NodeId,
    pub(super) correlation: u32,
    pub(super) message: Message,
}

pub(super) struct Rig {
    pub(super) producer: Producer,
    pub(super) fx: Effects,
    pub(super) now: Time,
    pub(super) leaders: Vec<(Option<u8>, i32)>,
    pub(super) timers: BTreeMap<Timer, Time>,
    /// Brokers that answer nothing but produce requests by hand.
    pub(super) silent: bool,
    /// The epoch of the next producer id.
    pub(super) epoch: i16,
    pub(super) transaction_version: u8,
    /// Requests to coordinators, to be answered by hand.
    pub(super) asked: Vec<Asked>,
    pub(super) wire: Vec<Sent>,
    pub(super) events: Vec<EventKind>,
    pub(super) disconnects: Vec<NodeId>,
}

impl Rig {
    /// A producer of one topic whose partitions have these leaders, started, connected, with a producer id if wanted.
    pub(super) fn new(leaders: &[u8], change: impl FnOnce(&mut ProducerConfig)) -> Self {
        Self::started((2, 0), leaders, change)
    }

    /// The same with default settings and this first epoch.
    pub(super) fn with_epoch(leaders: &[u8], epoch: i16) -> Self {
        Self::started((2, epoch), leaders, |_| {})
    }

    /// The same in a cluster of this `transaction.version`.
    pub(super) fn of_cluster(
        transaction_version: u8,
        leaders: &[u8],
        change: impl FnOnce(&mut ProducerConfig),
    ) -> Self {
        Self::started((transaction_version, 0), leaders, change)
    }

    fn started(
        (transaction_version, epoch): (u8, i16),
        leaders: &[u8],
        change: impl FnOnce(&mut ProducerConfig),
    ) -> Self {
        let mut config = ProducerConfig { linger: Duration::ZERO, ..ProducerConfig::default() };
        change(&mut config);
        let partitions = (0..leaders.len() as u16).map(PartitionId).collect();
        let names = Names {
            brokers: 3,
            topics: vec![Topic {
                name: "orders".to_owned(),
                partitions,
                internal: false,
                partition_count: leaders.len() as u32,
            }],
            partitions: (0..leaders.len() as u32)
                .map(|index| Partition {
                    topic: TopicId(0),
                    index,
                    replicas: ReplicaList::new(&[BrokerId(1), BrokerId(2), BrokerId(3)]),
                })
                .collect(),
            transactional_ids: vec!["tx".to_owned()],
            ..Names::default()
        };
        let mut rig = Self {
            producer: Producer::new(0, config),
            fx: Effects::new(Arc::new(names), Chooser::seeded(11)),
            now: Time::ZERO,
            leaders: leaders.iter().map(|leader| (Some(*leader), 0)).collect(),
            timers: BTreeMap::new(),
            silent: false,
            epoch,
            transaction_version,
            asked: Vec::new(),
            wire: Vec::new(),
            events: Vec::new(),
            disconnects: Vec::new(),
        };
        rig.step(Input::Start);
        rig
    }

    pub(super) fn step(&mut self, input: Input) {
        self.producer.step(self.now, input, &mut self.fx);
        self.settle();
    }

    /// Carries out effects; metadata and producer ids are answered at once.
    pub(super) fn settle(&mut self) {
        while !self.fx.list.is_empty() {
            let list = std::mem::take(&mut self.fx.list);
            for effect in list {
                match effect {
                    Effect::Event(kind) => self.events.push(kind),
                    Effect::SetTimer(timer, at) => _ = self.timers.insert(timer, at),
                    Effect::CancelTimer(timer) => _ = self.timers.remove(&timer),
                    Effect::Disconnect { peer } => self.disconnects.push(peer),
                    Effect::Request { to, correlation, message } => {
                        self.request(to, correlation, message);
                    }
                    _ => {}
                }
            }
        }
    }

    pub(super) fn request(&mut self, to: NodeId, correlation: u32, message: Message) {
        let answer = match message {
            Message::Produce { batches, .. } => {
                let batches = self.fx.pools.get(batches).to_vec();
                self.wire.push(Sent { at: self.now, to, correlation, batches });
                return;
            }
            _ if self.silent => return,
            Message::Metadata => {
                let partitions: Vec<PartitionMetadata> = (0..)
                    .map(PartitionId)
                    .zip(&self.leaders)
                    .map(|(partition, (leader, epoch))| PartitionMetadata {
                        partition,
                        leader: leader.map(BrokerId),
                        leader_epoch: LeaderEpoch(*epoch),
                    })
                    .collect();
                let partitions = self.fx.keep(&partitions);
                let brokers: BrokerSet = [1, 2, 3].map(BrokerId).into_iter().collect();
                let transaction_version = self.transaction_version;
                Message::MetadataResponse { brokers, transaction_version, partitions }
            }
            Message::FindTransactionCoordinator { .. }
            | Message::InitProducerId { transactional: Some(_), .. }
            | Message::AddPartitionsToTxn { .. }
            | Message::AddOffsetsToTxn { .. }
            | Message::FindCoordinator { .. }
            | Message::TxnOffsetCommit { .. }
            | Message::EndTxn { .. } => {
                return self.asked.push(Asked { to, correlation, message });
            }
            Message::InitProducerId { .. } => Message::InitProducerIdResponse {
                error: ErrorCode::None,
                producer_id: 1_000,
                epoch: ProducerEpoch(self.epoch),
            },
            other => panic!("a producer does not send {other:?}"),
        };
        let input = Input::Response { from: to, correlation, message: answer };
        self.producer.step(self.now, input, &mut self.fx);
    }

    /// Lets time pass, ringing timers when they are due.
    pub(super) fn pass(&mut self, micros: u64) {
        let until = self.now + Duration(micros);
        while let Some((timer, at)) =
            self.timers.iter().map(|(t, at)| (*t, *at)).min_by_key(|(_, at)| *at)
            && at <= until
        {
            self.timers.remove(&timer);
            assert!(at >= self.now, "a timer is never set in the past");
            self.now = at;
            self.step(Input::Timeout(timer));
        }
        self.now = until;
    }

    /// The application sends message `n` to partition `partition`, and the I/O thread wakes up.
    pub(super) fn send_to(&mut self, partition: Option<PartitionId>, n: u32, bytes: u32) {
        let request = SendRequest {
            message: MessageId(n),
            topic: TopicId(0),
            partition,
            key: KeyId::NONE,
            bytes,
            shift: 0,
            is_tombstone: false,
        };
        self.producer.send(self.now, request, &mut self.fx);
        self.settle();
    }

    pub(super) fn send(&mut self, n: u32) {
        self.send_to(Some(P0), n, 20);
        self.pass(0);
    }

    /// Answers the oldest produce request on the wire; returns it.
    pub(super) fn answer(&mut self, error: ErrorCode, base_offset: i64) -> Sent {
        let sent = self.wire.remove(0);
        self.answer_to(&sent, error, base_offset);
        sent
    }

    pub(super) fn answer_to(&mut self, sent: &Sent, error: ErrorCode, base_offset: i64) {
        let results: Vec<ProduceResult> = sent
            .batches
            .iter()
            .map(|batch| ProduceResult {
                partition: batch.partition,
                batch: batch.batch,
                error,
                base_offset: Offset(base_offset),
                leader: None,
                leader_epoch: LeaderEpoch::NONE,
            })
            .collect();
        let message = Message::ProduceResponse { results: self.fx.keep(&results) };
        self.step(Input::Response { from: sent.to, correlation: sent.correlation, message });
    }

    pub(super) fn disconnect(&mut self, peer: NodeId) {
        self.wire.retain(|sent| sent.to != peer);
        self.asked.retain(|asked| asked.to != peer);
        self.step(Input::Disconnected { peer });
    }

    /// The messages of the requests on the wire, a list a batch.
    pub(super) fn on_wire(&self) -> Vec<Vec<u32>> {
        let batches = self.wire.iter().flat_map(|sent| &sent.batches);
        batches.map(|batch| self.messages(batch.batch)).collect()
    }

    /// Epoch and sequence of the requests on the wire.
    pub(super) fn sequences(&self) -> Vec<(i16, i32)> {
        let batches = self.wire.iter().flat_map(|sent| &sent.batches);
        let state = |batch: &ProduceBatch| {
            let state = self.fx.batches[batch.batch].producer.expect("an idempotent batch");
            (state.epoch.0, state.base_sequence.0)
        };
        batches.map(state).collect()
    }

    pub(super) fn messages(&self, batch: BatchHandle) -> Vec<u32> {
        self.fx.batches.messages(batch).map(|m| m.0).collect()
    }

    /// Outcomes in the order the application was told: `m1@7`, `m1!TimeoutException`.
    pub(super) fn outcomes(&self) -> Vec<String> {
        let each = |kind: &EventKind| match *kind {
            EventKind::Acknowledged { batch, base_offset, .. } => {
                let messages = self.messages(batch);
                messages.iter().map(|m| format!("m{m}@{base_offset}")).collect()
            }
            EventKind::BatchFailed { batch, exception, .. } => {
                let messages = self.messages(batch);
                messages.iter().map(|m| format!("m{m}!{}", exception.name())).collect()
            }
            EventKind::SendFailed { message, exception } => {
                vec![format!("{message}!{}", exception.name())]
            }
            _ => Vec::new(),
        };
        self.events.iter().flat_map(each).collect::<Vec<String>>()
    }
}
