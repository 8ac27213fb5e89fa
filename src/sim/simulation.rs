//! One run: take the next item from the queue, give it to one machine, carry out what the machine wants.

use std::sync::Arc;

use crate::base::batch::BatchTable;
use crate::base::chooser::Chooser;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, EventSeq, NodeId};
use crate::base::names::Names;
use crate::base::time::Time;
use crate::event::{Event, EventKind, FaultKind, LossReason};
use crate::kafka::broker::Broker;
use crate::kafka::controller::Controller;
use crate::kafka::effects::{Effect, Effects, Input, Token};
use crate::kafka::producer::Producer;
use crate::sim::label::label;
use crate::sim::network::{Item, Network, Packet};
use crate::sim::node::{Due, Layout, Node, NodeState};
use crate::sim::queue::EventQueue;
use crate::sim::trace::Trace;
use crate::sim::world::{World, WorldSpec};

/// A running simulation. `Clone` is a checkpoint: a clone has the same future.
#[derive(Clone, Debug)]
pub struct Simulation {
    pub(super) spec: Arc<WorldSpec>,
    pub(super) now: Time,
    pub(super) queue: EventQueue<Item>,
    pub(super) layout: Layout,
    pub(super) nodes: Vec<Node>,
    pub(super) network: Network,
    pub(super) world: World,
    pub(super) effects: Effects,
    pub(super) trace: Trace,
    /// The last event of the script: the cause of what it does from outside.
    pub(super) script_cause: EventSeq,
}

impl Simulation {
    /// A formed cluster with its clients, at time 0, before anything happened.
    pub fn new(spec: &Arc<WorldSpec>) -> Self {
        let layout = Layout {
            controllers: spec.names.controllers,
            brokers: spec.names.brokers,
            producers: spec.producers.len() as u16,
            consumers: spec.consumers.len() as u16,
        };
        let mut effects = Effects::new(Arc::clone(&spec.names), Chooser::seeded(spec.seed));
        effects.defect = spec.defect;
        let mut simulation = Self {
            spec: Arc::clone(spec),
            now: Time::ZERO,
            queue: EventQueue::default(),
            layout,
            nodes: vec![Node::new(); layout.len()],
            network: Network::new(spec.network, layout.len()),
            world: World::new(spec),
            effects,
            trace: Trace::new(spec.sink),
            script_cause: EventSeq::NONE,
        };
        for node in layout.nodes() {
            let starts = match node {
                NodeId::Consumer(n) => spec.consumers[usize::from(n)].starts,
                NodeId::Producer(n) => match spec.owner(n) {
                    Some(owner) => spec.consumers[usize::from(owner)].starts,
                    None => !spec.by_script.iter().any(|(late, _)| *late == n),
                },
                _ => true,
            };
            if starts {
                simulation.launch(node);
            }
        }
        simulation
    }

    /// Handles the next item. Returns `false` when nothing is pending.
    pub fn step(&mut self) -> bool {
        let Some((at, item)) = self.queue.pop() else { return false };
        self.now = at;
        match item {
            Item::Wakeup => {}
            Item::Start { node, incarnation } => {
                if self.reaches(node, incarnation, item) {
                    self.run_machine(node, Input::Start, self.script_cause);
                }
            }
            Item::Timer { node, timer, due, incarnation } => {
                if self.reaches(node, incarnation, item) {
                    let at = self.layout.index(node);
                    match self.nodes[at].timer_due(timer, due, self.now) {
                        Due::Fire(cause) => self.run_machine(node, Input::Timeout(timer), cause),
                        Due::Again(due) => {
                            self.queue.push(due, Item::Timer { node, timer, due, incarnation });
                        }
                        Due::Stale => {}
                    }
                }
            }
            Item::Disconnected { node, peer, connection, incarnation, cause } => {
                if self.reaches(node, incarnation, item) {
                    let opener = self.layout.index(node);
                    if self.network.connection(opener, peer).is_some_and(|c| c.id == connection) {
                        self.network.close(opener, peer);
                        self.run_machine(node, Input::Disconnected { peer }, cause);
                    }
                }
            }
            Item::PeerGone { node, peer, incarnation, cause } => {
                if self.reaches(node, incarnation, item) {
                    self.run_machine(node, Input::PeerGone { peer }, cause);
                }
            }
            Item::Packet(packet) => self.arrive(packet),
        }
        true
    }

    /// True when `node` is still that process and takes input now. What comes to a frozen process waits.
    fn reaches(&mut self, node: NodeId, incarnation: u32, item: Item) -> bool {
        let process = &mut self.nodes[self.layout.index(node)];
        if process.incarnation != incarnation {
            return false;
        }
        match process.state {
            NodeState::Running => true,
            NodeState::Down => false,
            NodeState::Frozen => {
                process.inbox.push(item);
                false
            }
        }
    }

    fn arrive(&mut self, packet: Packet) {
        let Packet { from, to, response, connection, correlation, message, .. } = packet;
        let receiver = self.layout.index(to);
        if self.nodes[receiver].incarnation != packet.incarnation
            || self.nodes[receiver].state == NodeState::Down
        {
            return self.lose(&packet, LossReason::ReceiverDown);
        }
        let current = |c: &mut crate::sim::network::Connection| c.id == connection;
        if response && !self.network.connection(receiver, from).is_some_and(current) {
            return self.lose(&packet, LossReason::ConnectionClosed);
        }
        if !self.reaches(to, packet.incarnation, Item::Packet(packet)) {
            return;
        }
        let arrived = self.record(packet.cause, to, EventKind::WireArrived { wire: packet.wire });
        let input = if response {
            Input::Response { from, correlation, message }
        } else {
            Input::Request { token: Token { from, correlation, connection }, message }
        };
        self.run_machine(to, input, arrived);
        self.effects.pools.free(message);
    }

    /// The message will not arrive.
    pub(super) fn lose(&mut self, packet: &Packet, reason: LossReason) {
        let kind = EventKind::WireLost { wire: packet.wire, reason };
        self.record(packet.cause, packet.to, kind);
        self.effects.pools.free(packet.message);
    }

    /// One input to one machine, and what it wants done about it.
    fn run_machine(&mut self, node: NodeId, input: Input, cause: EventSeq) {
        self.world.step(node, self.now, input, &mut self.effects);
        self.carry_out(node, cause);
    }

    /// Carries out the effects of the step `node` just made because of `cause`.
    pub(super) fn carry_out(&mut self, node: NodeId, cause: EventSeq) {
        let mut node = node;
        let mut list = std::mem::take(&mut self.effects.list);
        // What a machine sends or sets follows from what it last said in the same step.
        let mut said = cause;
        for effect in list.drain(..) {
            match effect {
                Effect::Event(kind) => said = self.record(cause, node, kind),
                Effect::Request { to, correlation, message } => {
                    self.send_request(node, to, correlation, message, said);
                }
                Effect::Reply { token, message } => self.send_reply(node, token, message, said),
                Effect::Disconnect { peer } => self.disconnect(node, peer, said),
                Effect::Hangup { token } => self.hang_up(node, token, said),
                Effect::SetTimer(timer, at) => {
                    let due = at.max(self.now);
                    let process = &mut self.nodes[self.layout.index(node)];
                    let incarnation = process.incarnation;
                    if let Some(due) = process.set_timer(timer, due, said) {
                        self.queue.push(due, Item::Timer { node, timer, due, incarnation });
                    }
                }
                Effect::CancelTimer(timer) => {
                    self.nodes[self.layout.index(node)].cancel_timer(timer);
                }
                Effect::Exit => {
                    let kind = EventKind::Fault { kind: FaultKind::Stopped };
                    said = self.record(cause, node, kind);
                    self.take_down(node, said);
                    if let NodeId::Consumer(_) = node
                        && let Some(client) = self.spec.client_of(node)
                        && self.node_state(client) != NodeState::Down
                    {
                        self.record(cause, client, kind);
                        self.take_down(client, said);
                    }
                }
                Effect::ActAs(client) => node = client,
                Effect::Relaunch(client) => {
                    let kind = EventKind::Fault { kind: FaultKind::Stopped };
                    said = self.record(cause, client, kind);
                    self.take_down(client, said);
                    said = self.record(said, client, EventKind::Fault { kind: FaultKind::Start });
                    self.launch(client);
                }
            }
        }
        self.effects.list = list;
    }

    pub(super) fn record(&mut self, cause: EventSeq, node: NodeId, kind: EventKind) -> EventSeq {
        self.trace.record(Event { at: self.now, cause, node, kind })
    }

    /// An event of the script itself; it causes what the script does next.
    pub fn event(&mut self, kind: EventKind) {
        self.script_cause = self.record(EventSeq::NONE, NodeId::Script, kind);
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// When the next item is due.
    pub fn next_at(&self) -> Option<Time> {
        self.queue.next_at()
    }

    /// Lets time pass without handling anything.
    ///
    /// # Panics
    /// When something is due before `at`, or `at` is in the past.
    pub fn skip_to(&mut self, at: Time) {
        assert!(
            self.now <= at && self.next_at().is_none_or(|next| at <= next),
            "nothing is skipped"
        );
        self.now = at;
    }

    /// The events so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// All batches so far.
    pub fn batches(&self) -> &BatchTable {
        &self.effects.batches
    }

    /// What things are called.
    pub fn names(&self) -> &Arc<Names> {
        &self.effects.names
    }

    /// What the run is made from.
    pub fn spec(&self) -> &WorldSpec {
        &self.spec
    }

    /// The luck of the run: scripts draw from it too.
    pub fn chooser(&mut self) -> &mut Chooser {
        self.effects.chooser()
    }

    /// Whether a process runs.
    pub fn node_state(&self, node: NodeId) -> NodeState {
        self.nodes[self.layout.index(node)].state
    }

    /// A broker, its disk readable also when it is down.
    pub fn broker(&self, id: BrokerId) -> &Broker {
        &self.world.brokers[id.index() - 1]
    }

    /// The controller that knows most of what is committed, its disk readable also when it is down: what the cluster
    /// has decided.
    pub fn controller(&self) -> &Controller {
        let known = |a: &&Controller, b: &&Controller| {
            a.committed_end().cmp(&b.committed_end()).then_with(|| b.number().cmp(&a.number()))
        };
        self.world.controllers.iter().max_by(known).expect("a cluster has a controller")
    }

    /// Every controller, by number from 1.
    pub fn controllers(&self) -> &[Controller] {
        &self.world.controllers
    }

    /// The active controller: of those that run and hold themselves for it, the one of the highest epoch.
    pub fn active_controller(&self) -> Option<&Controller> {
        let active = |controller: &&Controller| {
            let node = NodeId::Controller(controller.number());
            self.node_state(node) == NodeState::Running && controller.active_epoch().is_some()
        };
        self.world.controllers.iter().filter(active).max_by_key(|c| c.active_epoch())
    }

    /// A producer.
    pub fn producer(&self, n: u16) -> &Producer {
        self.world.producer(n)
    }

    /// A consumer process.
    pub fn consumer(&self, n: u16) -> &crate::app::ConsumerProcess {
        &self.world.consumers[usize::from(n)]
    }

    /// How many messages a rule has acted on, and how many of them it holds.
    pub fn rule_counts(&self, name: u16) -> (u32, usize) {
        let rule = self.network.rules.iter().find(|r| r.name == name);
        rule.map_or((0, 0), |r| (r.acted, r.held.len()))
    }

    /// A hash of everything the future depends on: machines, timers, messages on their way; not the past.
    pub fn fingerprint(&self) -> u64 {
        let mut into = Fingerprint::default();
        self.world.fingerprint(self.now, &mut into);
        self.effects.tables.fingerprint(&mut into);
        for node in &self.nodes {
            into.add(node.state);
            for (timer, deadline) in node.timers() {
                into.add(timer);
                into.add_time(self.now, deadline);
            }
        }
        let mut pending: Vec<_> = self
            .queue
            .iter()
            .filter_map(|(at, item)| match item {
                Item::Packet(packet) => Some((at, packet)),
                _ => None,
            })
            .collect();
        pending.sort_unstable_by_key(|(at, packet)| (*at, packet.wire));
        for (at, packet) in pending {
            into.add_time(self.now, at);
            into.add((packet.from, packet.to));
            let label = label(&packet.message, &self.effects.pools);
            into.add((label.api, label.response, label.error, label.partition, label.offset));
        }
        into.value()
    }
}
