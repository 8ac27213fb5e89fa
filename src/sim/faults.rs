//! What comes from outside: process faults, cuts, rules, and the calls of applications.

use crate::base::ids::{BrokerId, EventSeq, LeaderEpoch, NodeId, Offset, PartitionId};
use crate::base::time::Time;
use crate::event::{EventKind, FaultKind};
use crate::kafka::effects::Effects;
use crate::kafka::log::UnifiedLog;
use crate::kafka::producer::Producer;
use crate::sim::command::{Command, LogCut, WireRule};
use crate::sim::network::{ActiveRule, Item};
use crate::sim::node::NodeState;
use crate::sim::simulation::Simulation;

impl Simulation {
    /// Does what the command says, at the present virtual time.
    pub fn apply(&mut self, command: &Command) {
        let cause = self.script_cause;
        match command {
            Command::Fault { node, kind } => self.fault(*node, *kind),
            Command::Wipe { broker, keep_directory } => {
                let node = NodeId::Broker(*broker);
                if self.node_state(node) == NodeState::Down {
                    self.record(cause, node, EventKind::Fault { kind: FaultKind::WipeDisk });
                    self.world.brokers[broker.index() - 1].wipe(*keep_directory);
                }
            }
            Command::CutLog { broker, partition, cut } => {
                self.damage_log(*broker, *partition, Some(*cut));
            }
            Command::DeleteLog { broker, partition } => self.damage_log(*broker, *partition, None),
            Command::CutOff { left, right } => {
                for node in left {
                    self.record(cause, *node, EventKind::Fault { kind: FaultKind::CutOff });
                }
                self.network.cut(left.clone(), right.clone());
            }
            Command::HealNetwork => self.heal_network(),
            Command::AddRule { name, rule } => {
                self.remove_rule(*name);
                self.add_rule(*name, rule.clone());
            }
            Command::Release { name } => self.release(*name),
            Command::RemoveRule { name } => self.remove_rule(*name),
            Command::Send { producer, request } => {
                let node = NodeId::Producer(*producer);
                if self.node_state(node) != NodeState::Down {
                    let now = self.now;
                    self.act(*producer, |machine, fx| machine.send(now, *request, fx));
                }
            }
            Command::Flush { producer } => {
                let now = self.now;
                self.act(*producer, |machine, fx| machine.flush(now, fx));
            }
            Command::CloseProducer { producer, timeout } => {
                let (now, timeout) = (self.now, *timeout);
                self.act(*producer, |machine, fx| machine.close(now, timeout, fx));
            }
            Command::Transact { producer, call, offsets } => {
                if self.node_state(NodeId::Producer(*producer)) == NodeState::Running {
                    let (now, call, offsets) = (self.now, *call, offsets.clone());
                    self.act(*producer, |machine, fx| machine.transact(now, call, offsets, fx));
                }
            }
            Command::Administer { request } => self.administer(request),
            Command::DeleteRecords { partition, before } => {
                self.delete_records(*partition, *before);
            }
            Command::AbortTransaction { partition, start } => {
                self.abort_transaction(*partition, *start);
            }
            Command::AdministerGroup { group, call } => self.administer_group(*group, call),
            Command::AdministerShareGroup { group, call } => self.share_call(*group, call),
            Command::ResetOffsets { group, partitions, to } => {
                self.reset_offsets(*group, partitions, *to);
            }
            Command::Consumer { consumer, call } => {
                let node = NodeId::Consumer(*consumer);
                if self.node_state(node) == NodeState::Running {
                    let machine = &mut self.world.consumers[usize::from(*consumer)];
                    machine.call(self.now, call.clone(), &mut self.effects);
                    self.carry_out(node, cause);
                }
            }
        }
    }

    /// The application of a producer does something with it.
    fn act(&mut self, producer: u16, act: impl FnOnce(&mut Producer, &mut Effects)) {
        self.world.act(producer, &mut self.effects, act);
        self.carry_out(NodeId::Producer(producer), self.script_cause);
    }

    /// The tail of a log of a stopped broker is cut off, or its whole directory deleted.
    fn damage_log(&mut self, broker: BrokerId, partition: PartitionId, cut: Option<LogCut>) {
        let node = NodeId::Broker(broker);
        if self.node_state(node) != NodeState::Down {
            return;
        }
        let kind = if cut.is_some() { FaultKind::CutLog } else { FaultKind::DeleteLog };
        let said = self.record(self.script_cause, node, EventKind::Fault { kind });
        let machine = &mut self.world.brokers[broker.index() - 1];
        let Some(before) = machine.log(partition).map(UnifiedLog::log_start) else { return };
        match cut {
            Some(LogCut::Records(records)) => machine.cut_log(partition, records),
            Some(LogCut::To(offset)) => machine.cut_log_to(partition, offset),
            None => machine.delete_log(partition),
        }
        let (to, start) = machine
            .log(partition)
            .map_or((Offset(0), Offset(0)), |log| (log.end(), log.log_start()));
        let epoch = LeaderEpoch::NONE;
        self.record(said, node, EventKind::Truncated { partition, to, epoch });
        if start != before {
            self.record(said, node, EventKind::LogStart { partition, offset: start });
        }
    }

    /// A fault hits a process: all of its clients at once.
    fn fault(&mut self, node: NodeId, kind: FaultKind) {
        let mut clients = [Some(node), self.spec.client_of(node)];
        clients.sort_unstable();
        let consumer = clients.iter().flatten().any(|node| matches!(node, NodeId::Consumer(_)));
        for client in clients.into_iter().flatten() {
            // The producer starts first, and is stopped by its application.
            let own = consumer && matches!(client, NodeId::Producer(_));
            if !(own && kind == FaultKind::Stop) {
                self.fault_one(client, kind);
            }
        }
    }

    fn fault_one(&mut self, node: NodeId, kind: FaultKind) {
        use NodeState::{Down, Frozen, Running};
        let refused = |n: u16| self.spec.by_script.iter().find(|(m, _)| *m == n).and_then(|s| s.1);
        let exception = match node {
            NodeId::Producer(n) => refused(n),
            NodeId::Consumer(n) => self.spec.consumers[usize::from(n)].refused,
            _ => None,
        };
        if let (FaultKind::Start, Some(exception)) = (kind, exception) {
            self.record(self.script_cause, node, EventKind::Threw { exception });
            return;
        }
        let state = self.node_state(node);
        let possible = match kind {
            FaultKind::Kill | FaultKind::PowerLoss => state != Down,
            FaultKind::Freeze | FaultKind::Stop => state == Running,
            FaultKind::Thaw => state == Frozen,
            FaultKind::Start => state == Down,
            FaultKind::Stopped
            | FaultKind::WipeDisk
            | FaultKind::CutLog
            | FaultKind::DeleteLog
            | FaultKind::CutOff
            | FaultKind::Reconnect => false,
        };
        if !possible {
            return;
        }
        let said = self.record(self.script_cause, node, EventKind::Fault { kind });
        let at = self.layout.index(node);
        match kind {
            FaultKind::Freeze => self.nodes[at].state = Frozen,
            FaultKind::Thaw => {
                self.nodes[at].state = Running;
                for item in std::mem::take(&mut self.nodes[at].inbox) {
                    self.queue.push(self.now, item);
                }
            }
            FaultKind::Start => self.launch(node),
            FaultKind::Stop => {
                self.world.stop(node, self.now, &mut self.effects);
                self.carry_out(node, said);
            }
            _ => {
                if let (FaultKind::PowerLoss, NodeId::Broker(id)) = (kind, node) {
                    self.world.brokers[id.index() - 1].power_loss();
                }
                self.take_down(node, said);
            }
        }
    }

    /// A process starts.
    pub(super) fn launch(&mut self, node: NodeId) {
        let at = self.layout.index(node);
        self.nodes[at].reset(NodeState::Running);
        let incarnation = self.nodes[at].incarnation;
        self.queue.push(self.now, Item::Start { node, incarnation });
    }

    /// The process is gone and its connections with it; peers learn that as their network lets them.
    pub(super) fn take_down(&mut self, node: NodeId, cause: EventSeq) {
        let at = self.layout.index(node);
        for item in std::mem::take(&mut self.nodes[at].inbox) {
            if let Item::Packet(packet) = item {
                self.lose(&packet, crate::event::LossReason::ReceiverDown);
            }
        }
        self.nodes[at].reset(NodeState::Down);
        for connection in self.network.close_all(at) {
            self.tell_peer_gone(node, connection.peer, connection.latest_there, cause);
        }
        let nodes: Vec<NodeId> = self.layout.nodes().collect();
        for opener in self.network.openers_to(node) {
            self.tell_disconnected(nodes[opener], node, cause);
        }
        let spec = std::sync::Arc::clone(&self.spec);
        self.world.kill(&spec, node);
    }

    fn heal_network(&mut self) {
        for node in self.network.heal() {
            self.record(self.script_cause, node, EventKind::Fault { kind: FaultKind::Reconnect });
        }
        // In the order they were sent: later ones must not overtake on their connection.
        let mut at = self.now;
        for item in std::mem::take(&mut self.network.parked) {
            at = at.max(self.now + self.network.hop(self.effects.chooser()));
            self.queue.push(at, item);
        }
    }

    fn add_rule(&mut self, name: u16, rule: WireRule) {
        let held = Vec::new();
        self.network.rules.push(ActiveRule { name, rule, seen: 0, acted: 0, held });
    }

    fn release(&mut self, name: u16) {
        let rule = self.network.rules.iter_mut().find(|r| r.name == name);
        for packet in rule.map(|r| std::mem::take(&mut r.held)).unwrap_or_default() {
            self.transmit(packet, crate::base::time::Duration::ZERO);
        }
    }

    fn remove_rule(&mut self, name: u16) {
        self.release(name);
        self.network.rules.retain(|r| r.name != name);
    }

    /// Asks for a step at `at`, so that a script that waits for a moment is looked at then.
    pub fn wake_at(&mut self, at: Time) {
        self.queue.push(at.max(self.now), Item::Wakeup);
    }
}
