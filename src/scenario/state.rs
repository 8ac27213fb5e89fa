//! The world as a script sees it: the simulation for what is only there (processes, rules, producers), the view and
//! the notes for everything events say.

use crate::base::batch::BatchTable;
use crate::base::broker_set::BrokerSet;
use crate::base::ids::{BrokerId, EventSeq, GroupId, MessageId, NodeId, PartitionId};
use crate::base::names::Names;
use crate::base::time::Time;
use crate::scenario::build::find_group;
use crate::scenario::notes::Notes;
use crate::scenario::step::Node;
use crate::scenario::value::TopicPartition;
use crate::sim::NodeState;
use crate::sim::simulation::Simulation;
use crate::view::cluster::ClusterView;

/// The world at one moment.
#[derive(Clone, Debug)]
pub struct State {
    /// The simulation.
    pub sim: Simulation,
    /// Everything its events say so far.
    pub view: ClusterView,
    /// What applications saw.
    pub notes: Notes,
    folded: usize,
    /// The marks the script has made, in order.
    marks: Vec<(String, Time)>,
    /// The brokers that take part: the one thing a script can wait for that no event tells.
    serving: BrokerSet,
}

impl State {
    pub(super) fn new(sim: Simulation) -> Self {
        let view = ClusterView::new(std::sync::Arc::clone(sim.names()));
        let notes = Notes::new(sim.names());
        let mut state =
            Self { sim, view, notes, folded: 0, marks: Vec::new(), serving: BrokerSet::EMPTY };
        state.fold();
        state
    }

    /// Folds the events that happened since. True when one of them was more than a message on the wire, or another
    /// broker takes part than before.
    pub(super) fn fold(&mut self) -> bool {
        let events = self.sim.trace().events();
        let mut changed = false;
        while let Some(event) = events.get(self.folded) {
            if !event.kind.is_wire() {
                let seq = EventSeq(self.folded as u32);
                self.view.apply(seq, event, self.sim.batches());
                self.notes.apply(event, self.sim.batches());
                changed = true;
            }
            self.folded += 1;
        }
        let serving = self.names().broker_ids().filter(|broker| self.serves(*broker)).collect();
        changed |= std::mem::replace(&mut self.serving, serving) != serving;
        changed
    }

    /// The script makes a mark.
    pub(super) fn make_mark(&mut self, name: &str) {
        self.marks.push((name.to_owned(), self.sim.now()));
    }

    /// When the script made the mark called `name` last.
    pub(super) fn mark(&self, name: &str) -> Option<Time> {
        self.marks.iter().rev().find(|(known, _)| known == name).map(|(_, at)| *at)
    }

    /// The messages that the rows of a table are of, one for each row.
    pub(super) fn rows(&self, table: &str) -> Vec<MessageId> {
        let view = self.names().find_table(table).and_then(|id| self.view.tables.get(id.index()));
        view.map(|view| view.rows().collect()).unwrap_or_default()
    }

    pub(super) fn names(&self) -> &Names {
        self.sim.names()
    }

    pub(super) fn batches(&self) -> &BatchTable {
        self.sim.batches()
    }

    pub(super) fn runs(&self, node: NodeId) -> bool {
        self.sim.node_state(node) == NodeState::Running
    }

    /// The broker runs and this process of it takes part: a process that was just started has to register first, while
    /// the controller still counts the session of the one before it.
    pub(super) fn serves(&self, broker: BrokerId) -> bool {
        self.runs(NodeId::Broker(broker)) && self.sim.broker(broker).serves()
    }

    /// The partition, if this variant has it.
    pub(super) fn partition(&self, topic: &str, index: u32) -> Option<PartitionId> {
        self.names().find_topic(topic)?;
        self.names().find_partition(topic, index)
    }

    pub(super) fn at(&self, partition: &TopicPartition) -> Option<PartitionId> {
        self.partition(&partition.topic, partition.partition)
    }

    pub(super) fn group(&self, name: &str) -> Option<GroupId> {
        find_group(self.names(), name)
    }

    pub(super) fn producer(&self, name: &str) -> Option<u16> {
        self.names().producers.iter().position(|p| p.name == name).map(|i| i as u16)
    }

    pub(super) fn consumer(&self, name: &str) -> Option<u16> {
        self.names().consumers.iter().position(|c| c.name == name).map(|i| i as u16)
    }

    /// Whoever `node` is at this moment. `None` when it is nobody: no leader, a member that this variant lacks.
    pub(super) fn node(&self, node: &Node) -> Option<NodeId> {
        match node {
            Node::Broker(n) => Some(NodeId::Broker(BrokerId(*n))),
            Node::Controller(n) => Some(NodeId::Controller(*n)),
            Node::ActiveController => self.active_controller().map(NodeId::Controller),
            Node::Client(name) => self
                .producer(name)
                .map(NodeId::Producer)
                .or_else(|| self.consumer(name).map(NodeId::Consumer)),
            Node::Leader(topic, n) => self.leader(self.partition(topic, *n)?).map(NodeId::Broker),
            Node::Follower(topic, n) => {
                let id = self.partition(topic, *n)?;
                let leader = self.leader(id);
                let replicas = self.view.partition(id).assignment;
                let follower = replicas.as_slice().iter().find(|b| Some(**b) != leader);
                follower.copied().map(NodeId::Broker)
            }
            Node::Coordinator(group) => {
                let group = self.group(group)?;
                let partition = self.names().group_partitions[group.index()];
                self.leader(partition).map(NodeId::Broker)
            }
        }
    }

    /// The active controller.
    pub(super) fn active_controller(&self) -> Option<u8> {
        self.sim.active_controller().map(crate::kafka::controller::Controller::number)
    }

    pub(super) fn broker(&self, node: &Node) -> Option<BrokerId> {
        self.node(node)?.broker()
    }

    /// The leader, as the controller has it.
    pub(super) fn leader(&self, partition: PartitionId) -> Option<BrokerId> {
        self.view.partition(partition).leader
    }

    /// Ids in a replica's log, with offsets and leader epochs. Deleted records are still in the segment file.
    pub(super) fn log(
        &self,
        partition: PartitionId,
        broker: BrokerId,
    ) -> Vec<(i64, MessageId, i32)> {
        let Some(replica) = self.view.partition(partition).replica(broker) else {
            return Vec::new();
        };
        let rows = replica.on_disk(self.batches());
        rows.map(|(offset, id, epoch)| (offset.0, id, epoch.0)).collect()
    }
}
