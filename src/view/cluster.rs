//! The whole cluster at one moment, folded from events: what a screen draws and what checkers compare with. It never
//! looks into a machine, so the same view can be folded from a history that real Kafka left.
//!
//! Simplified: a node that is cut off counts as cut off from everybody.

pub mod fencing;
mod fold;
pub mod group;
pub mod handover;
pub mod message;
pub mod quorum;
pub mod replica;
pub mod table;
pub mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::batch::BatchTable;
use crate::base::ids::{
    BatchHandle, BrokerId, EventSeq, GroupId, LeaderEpoch, MessageId, NodeId, Offset, PartitionId,
};
use crate::base::names::Names;
use crate::base::time::Time;
use crate::event::{Event, EventKind, FaultKind, WireLabel};
use crate::view::paged::Paged;
use fencing::IdentityView;
use group::{ConsumerView, GroupView, ReaderView};
use message::MessageView;
use quorum::QuorumView;
use replica::{PartitionView, ReplicaView};
use table::TableView;
use transaction::TransactionView;

/// What a process does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ProcessState {
    /// It runs.
    #[default]
    Up,
    /// `SIGSTOP`.
    Frozen {
        /// It was shutting down, and goes on with that when it thaws.
        stopping: bool,
    },
    /// It is shutting down in order.
    Stopping,
    /// It does not exist.
    Down,
}

impl ProcessState {
    /// What becomes of a process by a fault.
    fn after(self, fault: FaultKind) -> Self {
        match (fault, self) {
            (FaultKind::Kill | FaultKind::PowerLoss | FaultKind::Stopped, _) => Self::Down,
            (FaultKind::Freeze, _) => Self::Frozen { stopping: self == Self::Stopping },
            (FaultKind::Stop, _) | (FaultKind::Thaw, Self::Frozen { stopping: true }) => {
                Self::Stopping
            }
            (FaultKind::Thaw | FaultKind::Start, _) => Self::Up,
            _ => self,
        }
    }
}

/// One broker.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BrokerView {
    /// Its process.
    pub process: ProcessState,
    /// Registered with the controller.
    pub registered: bool,
    /// Fenced by the controller (also from registration until it has caught up).
    pub fenced: bool,
    /// Its network is cut.
    pub cut_off: bool,
    /// Since when it is in this state.
    pub since: Time,
}

/// What a replica row is labelled with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ReplicaState {
    /// Its broker's process does not exist.
    Down,
    /// Its broker's process stands still.
    Frozen,
    /// Its broker is cut off.
    Cut,
    /// Its broker is fenced.
    Fenced,
    /// The leader.
    Lead,
    /// In the ISR.
    Isr,
    /// Not in the ISR, but an eligible leader (KIP-966).
    Elr,
    /// Out of sync.
    Out,
}

/// One message on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WireMessage {
    /// Its number.
    pub wire: u32,
    /// Who sent it.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// When it left.
    pub sent_at: Time,
    /// When it will arrive; `None` while a rule of the script holds it.
    pub arrives_at: Option<Time>,
    /// What it is.
    pub label: WireLabel,
    /// The event of its sending.
    pub seq: EventSeq,
}

/// Everything at one moment. A clone shares what it can, so a checkpoint is cheap.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// What things are called.
    pub names: Arc<Names>,
    /// The time of the last event.
    pub now: Time,
    /// How many events were folded.
    pub events: u32,
    /// Brokers by [`BrokerId::index`]; slot 0 is unused.
    pub brokers: Vec<BrokerView>,
    /// The controllers and what brokers have of their metadata.
    pub quorum: QuorumView,
    /// Partitions by id.
    pub partitions: Vec<PartitionView>,
    /// Producer processes by number.
    pub producers: Vec<ProcessState>,
    /// Who each of them is.
    pub identities: Vec<IdentityView>,
    /// Messages by id.
    pub messages: Paged<MessageView>,
    /// Consumers by number.
    pub consumers: Vec<ConsumerView>,
    /// Groups by id.
    pub groups: Vec<GroupView>,
    /// Transactional ids by id.
    pub transactions: Vec<TransactionView>,
    /// Tables that applications write to, by id.
    pub tables: Vec<TableView>,
    /// Readers: groups by id, then consumers by number.
    pub readers: Vec<ReaderView>,
    /// What is on the wire, by wire number.
    pub wire: BTreeMap<u32, WireMessage>,
    /// Totals.
    pub counts: SendCounts,
    /// The question that is put at this moment, by number.
    pub question: Option<u16>,
    /// True after [`EventKind::Ended`].
    pub ended: bool,
}

/// What the applications were told, in messages. A message sent twice by its application counts once.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SendCounts {
    /// Sent.
    pub sent: u32,
    /// Acknowledged at least once, `acks=0` included.
    pub acked: u32,
    /// Failed at least once.
    pub failed: u32,
}

impl ClusterView {
    /// Before the first event: every process runs, every log is empty.
    pub fn new(names: Arc<Names>) -> Self {
        let partitions =
            names.partitions.iter().map(|p| PartitionView::new(p.replicas.as_slice())).collect();
        let consumers = names.consumers.len();
        let groups = names.groups.len();
        Self {
            now: Time::ZERO,
            events: 0,
            brokers: vec![BrokerView::default(); usize::from(names.brokers) + 1],
            quorum: QuorumView::new(names.controllers, names.brokers),
            partitions,
            producers: vec![ProcessState::Up; names.producers.len()],
            identities: vec![IdentityView::default(); names.producers.len()],
            messages: Paged::default(),
            consumers: vec![ConsumerView::default(); consumers],
            groups: vec![GroupView::default(); groups],
            transactions: vec![TransactionView::default(); names.transactional_ids.len()],
            tables: vec![TableView::default(); names.tables.len()],
            readers: vec![ReaderView::default(); groups + consumers],
            wire: BTreeMap::new(),
            counts: SendCounts::default(),
            question: None,
            ended: false,
            names,
        }
    }

    /// Partition `id`.
    pub fn partition(&self, id: PartitionId) -> &PartitionView {
        &self.partitions[id.index()]
    }

    /// True for a partition of the formed cluster, and for one that an administrator has created since.
    pub fn exists(&self, id: PartitionId) -> bool {
        !self.names.is_later(id) || self.partition(id).changed != EventSeq::NONE
    }

    /// Message `id`; one that was never sent is blank.
    pub fn message(&self, id: MessageId) -> MessageView {
        self.messages.get(id.index()).copied().unwrap_or_default()
    }

    /// The process of `node`.
    pub fn process(&self, node: NodeId) -> ProcessState {
        match node {
            NodeId::Broker(id) => self.brokers[id.index()].process,
            NodeId::Controller(n) => self.quorum.controllers[usize::from(n)].process,
            NodeId::Producer(n) => self.producers[usize::from(n)],
            NodeId::Consumer(n) => self.consumers[usize::from(n)].process,
            NodeId::Script => ProcessState::Up,
        }
    }

    /// What the row of `broker`'s replica of `partition` is labelled with.
    pub fn replica_state(&self, partition: PartitionId, broker: BrokerId) -> ReplicaState {
        let (b, p) = (&self.brokers[broker.index()], self.partition(partition));
        match b.process {
            ProcessState::Down => ReplicaState::Down,
            ProcessState::Frozen { .. } => ReplicaState::Frozen,
            _ if b.cut_off => ReplicaState::Cut,
            _ if b.registered && b.fenced => ReplicaState::Fenced,
            _ if p.leader == Some(broker) => ReplicaState::Lead,
            _ if p.isr.contains(broker) => ReplicaState::Isr,
            _ if p.elr.contains(broker) => ReplicaState::Elr,
            _ => ReplicaState::Out,
        }
    }

    /// The place of a consumer in [`ClusterView::readers`].
    pub fn reader_of(&self, consumer: u16) -> usize {
        match self.names.consumers[usize::from(consumer)].group {
            Some(group) => group.index(),
            None => self.groups.len() + usize::from(consumer),
        }
    }

    /// True when `consumer` is a `KafkaShareConsumer`: it shares records with others in place of owning partitions.
    pub fn is_share_consumer(&self, consumer: u16) -> bool {
        let group = self.names.consumers[usize::from(consumer)].group;
        group.is_some_and(|group| self.names.share_groups.contains(&group))
    }

    /// The group's records beyond the committed offset: leader's high watermark minus committed offset, over all
    /// partitions it has committed. `None` while a leader is missing.
    pub fn lag(&self, group: GroupId) -> Option<i64> {
        let committed = self.groups[group.index()].committed.iter();
        committed.map(|c| self.partition_lag(c.partition, c.offset)).sum()
    }

    /// Leader's high watermark minus `offset`, at least 0. `None` without a leader.
    pub fn partition_lag(&self, partition: PartitionId, offset: Offset) -> Option<i64> {
        let leader = self.partition(partition).leader_replica()?;
        Some((leader.high_watermark - offset).max(0))
    }

    /// How many messages were sent of which nobody has told the application anything that counts: neither
    /// acknowledged nor failed.
    pub fn open_sends(&self) -> u32 {
        let open = |m: &&MessageView| m.is_sent() && !m.was_acked() && m.failed.is_none();
        self.messages.iter().filter(open).count() as u32
    }

    /// Folds one event in.
    pub fn apply(&mut self, seq: EventSeq, event: &Event, batches: &BatchTable) {
        self.now = event.at;
        self.events += 1;
        match event.node {
            _ if event.kind.is_wire() => self.apply_wire(seq, event),
            NodeId::Producer(n) => {
                self.identities[usize::from(n)].apply(seq, event);
                self.apply_producer(n, seq, event, batches);
            }
            NodeId::Consumer(n) => self.apply_consumer(n, seq, event, batches),
            NodeId::Broker(b) => self.apply_broker(b, seq, event, batches),
            NodeId::Controller(_) | NodeId::Script => {}
        }
        match event.kind {
            EventKind::Fault { kind } => self.apply_fault(seq, event.node, kind, batches),
            EventKind::Question { question } => {
                self.clear_cuts();
                self.question = Some(question);
            }
            EventKind::Step { .. } => self.question = None,
            EventKind::RowsInserted { .. } | EventKind::OffsetKept { .. } => {
                self.apply_table(event.kind, batches);
            }
            EventKind::Ended => self.end(),
            _ => {
                self.quorum.apply(seq, event);
                self.apply_controller(seq, event);
            }
        }
        self.remember(event);
    }
}

/// A log as the projection tests compare it: base offset, batch and epoch of each entry.
pub type LogSummary = Vec<(Offset, BatchHandle, LeaderEpoch)>;

impl ReplicaView {
    /// The log as a plain list.
    pub fn summary(&self) -> LogSummary {
        self.log.iter().map(|entry| (entry.base_offset, entry.batch, entry.epoch)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::message::Told;
    use super::*;
    use crate::base::ids::Generation;
    use crate::event::GroupState;
    use crate::view::story::{P0, P1, Story};

    fn log(view: &ClusterView, broker: u8, story: &Story) -> Vec<(i64, u32)> {
        let replica = view.partition(P0).replica(BrokerId(broker)).unwrap();
        replica.messages(&story.batches).map(|(offset, id)| (offset.0, id.0)).collect()
    }

    #[test]
    fn a_new_coordinator_s_word_replaces_all_that_was_known_of_the_group() {
        let mut story = Story::new();
        story.assign(0, 4, 0);
        story.commit(7);
        let group = GroupId(0);
        assert!(story.view().groups[0].committed(P0).is_some());
        let led = |n| EventKind::BecameLeader {
            partition: P1,
            leader_epoch: LeaderEpoch(n),
            end: Offset(0),
        };
        story.broker(2, led(1));
        story.broker(2, EventKind::CoordinatorLoaded { group });
        let view = story.view();
        assert_eq!(view.groups[0].coordinator, Some(BrokerId(2)));
        assert!(view.groups[0].members.is_empty() && view.groups[0].committed(P0).is_none());
        // One that was deposed before it loaded, or has not heard of it yet, changes nothing.
        story.broker(3, led(0));
        story.broker(3, EventKind::CoordinatorLoaded { group });
        let (state, generation) = (GroupState::Stable, Generation(9));
        story.broker(1, EventKind::GroupChanged { group, state, generation });
        let view = story.view();
        assert_eq!(view.groups[0].coordinator, Some(BrokerId(2)));
        assert_eq!(view.groups[0].state, GroupState::Empty);
    }

    #[test]
    fn who_froze_while_it_shut_down_goes_on_shutting_down_when_it_thaws() {
        use FaultKind::{Freeze, Start, Stop, Stopped, Thaw};
        let after = |faults: &[FaultKind]| {
            faults.iter().fold(ProcessState::Up, |process, fault| process.after(*fault))
        };
        assert_eq!(after(&[Freeze, Thaw]), ProcessState::Up);
        assert_eq!(after(&[Stop, Freeze]), ProcessState::Frozen { stopping: true });
        assert_eq!(after(&[Stop, Freeze, Thaw]), ProcessState::Stopping);
        assert_eq!(after(&[Stop, Freeze, Thaw, Stopped]), ProcessState::Down);
        assert_eq!(after(&[Stop, Stopped, Start]), ProcessState::Up);
    }

    #[test]
    fn a_deposed_leader_keeps_its_log_until_it_truncates() {
        let mut story = Story::new();
        let first = story.send(&[0, 1]);
        story.replicate(&[1, 2, 3], first, 0, 0);
        story.acked(first, 0);
        let alone = story.send(&[2]);
        story.append(1, alone, 2, 0);
        story.acked(alone, 2);
        story.fault(1, FaultKind::Kill);
        let view = story.view();
        assert_eq!(view.replica_state(P0, BrokerId(1)), ReplicaState::Down);
        assert_eq!(log(&view, 1, &story), [(0, 0), (1, 1), (2, 2)]);
        assert!(view.partition(P0).leaderless_since.is_some(), "nobody serves");

        story.leads(2, 1, &[2, 3]);
        story.fault(1, FaultKind::Start);
        story.truncate(1, 2, 0);
        let view = story.view();
        assert_eq!(view.replica_state(P0, BrokerId(2)), ReplicaState::Lead);
        assert_eq!(view.replica_state(P0, BrokerId(1)), ReplicaState::Out);
        assert_eq!(log(&view, 1, &story), [(0, 0), (1, 1)]);
        let replica = view.partition(P0).replica(BrokerId(1)).unwrap();
        assert_eq!(replica.last_cut.as_ref().unwrap().entries[0].batch, alone);
        assert_eq!(view.partition(P0).time_without_leader(view.now).0, 2_000);
        assert_eq!(view.message(MessageId(2)).told, Told::Acknowledged(Offset(2)));
        assert_eq!((view.counts.sent, view.counts.acked), (3, 3));
    }

    #[test]
    fn a_batch_that_straddles_the_cut_goes_whole() {
        let mut story = Story::new();
        let batch = story.send(&[0, 1, 2]);
        story.replicate(&[1], batch, 0, 0);
        story.truncate(1, 2, 0);
        let view = story.view();
        let replica = view.partition(P0).replica(BrokerId(1)).unwrap();
        assert!(replica.log.is_empty());
        assert_eq!((replica.end, replica.high_watermark), (Offset(2), Offset(2)));
    }

    #[test]
    fn what_was_handed_out_is_gone_when_processed_or_when_the_process_dies() {
        let mut story = Story::new();
        let batch = story.send(&[0, 1, 2, 3]);
        story.replicate(&[1, 2, 3], batch, 0, 0);
        story.assign(0, 1, 0);
        story.poll(0, batch, 0);
        story.process(0, batch, 0, (1, 1));
        let view = story.view();
        let rest: Vec<_> =
            view.consumers[0].unprocessed.iter().map(|s| (s.start().0, s.end().0)).collect();
        assert_eq!(rest, [(0, 1), (2, 4)]);
        assert_eq!(view.consumers[0].position(P0), Some(Offset(4)));
        assert_eq!(view.readers[0].message(MessageId(1)).count, 1);

        story.push(NodeId::Consumer(0), EventKind::Fault { kind: FaultKind::Kill });
        let view = story.view();
        assert!(view.consumers[0].unprocessed.is_empty());
        assert_eq!(view.consumers[0].position(P0), None);
        assert_eq!(view.readers[0].message(MessageId(1)).count, 1, "what was done was done");
    }

    #[test]
    fn a_dead_producer_leaves_its_sends_unknown() {
        let mut story = Story::new();
        story.send(&[0]);
        assert_eq!(story.view().message(MessageId(0)).told, Told::Waiting);
        story.push(NodeId::Producer(0), EventKind::Fault { kind: FaultKind::Kill });
        assert_eq!(story.view().message(MessageId(0)).told, Told::Unknown);
        assert_eq!(story.view().open_sends(), 1);
    }
}
