//! Hand-built histories for the tests of view and check: the shortest way to say what happened.

use std::sync::Arc;

use crate::base::batch::{BatchTable, ProducerState, Record, RecordBody};
use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::error::Exception;
use crate::base::ids::{
    BatchHandle, BrokerId, EventSeq, Generation, GroupId, KeyId, LeaderEpoch, MemberId, MessageId,
    NodeId, Offset, PartitionId, ProducerEpoch, Sequence, TopicId,
};
use crate::base::names::{Client, Names, Partition, Topic};
use crate::base::time::Time;
use crate::event::{Event, EventKind, FaultKind, GroupState, RebalanceCallback};
use crate::view::cluster::ClusterView;

/// The only partition of most stories: `orders-0`, on b1, b2, b3.
pub(crate) const P0: PartitionId = PartitionId(0);
/// `orders-1`.
pub(crate) const P1: PartitionId = PartitionId(1);
/// The group `billing`.
pub(crate) const BILLING: GroupId = GroupId(0);
/// The member of `billing` that runs in consumer `n` (0 or 1).
pub(crate) fn member(n: u16) -> MemberId {
    MemberId(u32::from(n + 1) << 16 | 1)
}

/// A history under construction. Every event is a millisecond after the one before unless `after` says otherwise.
pub(crate) struct Story {
    pub(crate) names: Arc<Names>,
    pub(crate) batches: BatchTable,
    pub(crate) events: Vec<Event>,
    pub(crate) now: Time,
}

/// Three brokers, `orders` with two partitions, producer `checkout`, consumers c1 and c2 in `billing`.
pub(crate) fn names() -> Names {
    let all = ReplicaList::new(&[BrokerId(1), BrokerId(2), BrokerId(3)]);
    let partition = |index| Partition { topic: TopicId(0), index, replicas: all };
    let consumer = |n: u16| Client { name: format!("c{n}"), group: Some(BILLING), rank: n };
    Names {
        controllers: 3,
        brokers: 3,
        topics: vec![Topic {
            name: "orders".to_owned(),
            partitions: vec![P0, P1],
            internal: false,
            partition_count: 2,
        }],
        partitions: vec![partition(0), partition(1)],
        producers: vec![Client { name: "checkout".to_owned(), group: None, rank: 0 }],
        consumers: vec![consumer(1), consumer(2)],
        groups: vec!["billing".to_owned()],
        group_partitions: vec![P1],
        ..Names::default()
    }
}

impl Story {
    /// `orders-0` led by b1 under epoch 0, everybody in the ISR.
    pub(crate) fn new() -> Self {
        let mut story = Self {
            names: Arc::new(names()),
            batches: BatchTable::default(),
            events: Vec::new(),
            now: Time::ZERO,
        };
        story.leads(1, 0, &[1, 2, 3]);
        story
    }

    pub(crate) fn push(&mut self, node: NodeId, kind: EventKind) -> EventSeq {
        self.now.0 += 1_000;
        let seq = EventSeq(self.events.len() as u32);
        let cause = seq.0.checked_sub(1).map_or(EventSeq::NONE, EventSeq);
        self.events.push(Event { at: self.now, cause, node, kind });
        seq
    }

    pub(crate) fn broker(&mut self, n: u8, kind: EventKind) -> EventSeq {
        self.push(NodeId::Broker(BrokerId(n)), kind)
    }

    pub(crate) fn consumer(&mut self, n: u16, kind: EventKind) -> EventSeq {
        self.push(NodeId::Consumer(n), kind)
    }

    pub(crate) fn fault(&mut self, n: u8, kind: FaultKind) -> EventSeq {
        self.broker(n, EventKind::Fault { kind })
    }

    /// The controller makes `leader` the leader of `orders-0`, and it acts.
    pub(crate) fn leads(&mut self, leader: u8, epoch: i32, isr: &[u8]) -> EventSeq {
        let isr = isr.iter().copied().map(BrokerId).collect();
        let seq = self.registers(Some(leader), epoch, isr);
        let leader_epoch = LeaderEpoch(epoch);
        let end = Offset(0);
        self.broker(leader, EventKind::BecameLeader { partition: P0, leader_epoch, end });
        seq
    }

    pub(crate) fn registers(&mut self, leader: Option<u8>, epoch: i32, isr: BrokerSet) -> EventSeq {
        let kind = EventKind::PartitionChanged {
            partition: P0,
            leader: leader.map(BrokerId),
            leader_epoch: LeaderEpoch(epoch),
            isr,
            elr: BrokerSet::EMPTY,
        };
        self.push(NodeId::Controller(1), kind)
    }

    /// `checkout` sends these messages in one batch.
    pub(crate) fn send(&mut self, ids: &[u32]) -> BatchHandle {
        self.send_with(ids, None)
    }

    /// The same with producer id 7, epoch 0 and this first sequence.
    pub(crate) fn send_idempotent(&mut self, ids: &[u32], sequence: i32) -> BatchHandle {
        let base_sequence = Sequence(sequence);
        let state = ProducerState { id: 7, epoch: ProducerEpoch(0), base_sequence };
        self.send_with(ids, Some(state))
    }

    fn send_with(&mut self, ids: &[u32], state: Option<ProducerState>) -> BatchHandle {
        let checkout = NodeId::Producer(0);
        let record = |id: &u32| Record {
            body: RecordBody::Message(MessageId(*id)),
            key: KeyId::NONE,
            bytes: 10,
            timestamp: 0,
            is_tombstone: false,
        };
        for id in ids {
            let message = MessageId(*id);
            self.push(checkout, EventKind::Sent { message, partition: Some(P0) });
        }
        let records: Vec<Record> = ids.iter().map(record).collect();
        let batch = self.batches.add(checkout, state, &records);
        self.push(checkout, EventKind::BatchReady { batch, partition: P0 });
        batch
    }

    pub(crate) fn acked(&mut self, batch: BatchHandle, base: i64) -> EventSeq {
        let base_offset = Offset(base);
        let kind = EventKind::Acknowledged { batch, partition: P0, base_offset };
        self.push(NodeId::Producer(0), kind)
    }

    pub(crate) fn failed(&mut self, batch: BatchHandle) -> EventSeq {
        let exception = Exception::Timeout;
        let kind = EventKind::BatchFailed { batch, partition: P0, exception };
        self.push(NodeId::Producer(0), kind)
    }

    /// Broker `n` appends `batch` at `base` under `epoch`.
    pub(crate) fn append(&mut self, n: u8, batch: BatchHandle, base: i64, epoch: i32) -> EventSeq {
        let (base_offset, leader_epoch) = (Offset(base), LeaderEpoch(epoch));
        self.broker(n, EventKind::Appended { partition: P0, batch, base_offset, leader_epoch })
    }

    /// The brokers append `batch` and raise their high watermarks above it.
    pub(crate) fn replicate(&mut self, brokers: &[u8], batch: BatchHandle, base: i64, epoch: i32) {
        for n in brokers {
            self.append(*n, batch, base, epoch);
        }
        let end = base + i64::from(self.batches[batch].count);
        for n in brokers {
            self.high_watermark(*n, end);
        }
    }

    pub(crate) fn high_watermark(&mut self, n: u8, offset: i64) -> EventSeq {
        let offset = Offset(offset);
        self.broker(n, EventKind::HighWatermark { partition: P0, offset })
    }

    pub(crate) fn truncate(&mut self, n: u8, to: i64, epoch: i32) -> EventSeq {
        let (to, epoch) = (Offset(to), LeaderEpoch(epoch));
        self.broker(n, EventKind::Truncated { partition: P0, to, epoch })
    }

    /// Consumer `n` (0 or 1) owns `orders-0` in `generation` and starts at `position`.
    pub(crate) fn assign(&mut self, n: u16, generation: i32, position: i64) {
        let generation = Generation(generation);
        let group = BILLING;
        for state in [GroupState::CompletingRebalance, GroupState::Stable] {
            self.broker(1, EventKind::GroupChanged { group, state, generation });
        }
        let member = member(n);
        self.broker(1, EventKind::MemberJoined { group, member, leader: true });
        self.broker(1, EventKind::MemberAssigned { group, member, partition: P0 });
        let callback = RebalanceCallback::Assigned;
        self.consumer(n, EventKind::Callback { callback, count: 1 });
        self.consumer(n, EventKind::CallbackPartition { callback, partition: P0 });
        let reason = crate::event::PositionReason::Committed;
        let offset = Offset(position);
        self.consumer(n, EventKind::PositionSet { partition: P0, offset, reason });
    }

    /// `poll()` of consumer `n` returns the whole batch.
    pub(crate) fn poll(&mut self, n: u16, batch: BatchHandle, base: i64) -> EventSeq {
        let (base_offset, count) = (Offset(base), self.batches[batch].count as u16);
        let kind = EventKind::Polled { partition: P0, batch, base_offset, first: 0, count };
        self.consumer(n, kind)
    }

    /// Consumer `n` processes records `first .. first + count` of the batch.
    pub(crate) fn process(
        &mut self,
        n: u16,
        batch: BatchHandle,
        base: i64,
        (first, count): (u16, u16),
    ) -> EventSeq {
        let base_offset = Offset(base);
        let kind = EventKind::Processed { partition: P0, batch, base_offset, first, count };
        self.consumer(n, kind)
    }

    pub(crate) fn commit(&mut self, offset: i64) -> EventSeq {
        let offset = Offset(offset);
        self.broker(1, EventKind::OffsetCommitted { group: BILLING, partition: P0, offset })
    }

    /// The view after all of it.
    pub(crate) fn view(&self) -> ClusterView {
        let mut view = ClusterView::new(Arc::clone(&self.names));
        for (n, event) in self.events.iter().enumerate() {
            view.apply(EventSeq(n as u32), event, &self.batches);
        }
        view
    }
}
