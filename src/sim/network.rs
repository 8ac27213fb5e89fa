//! The network: connections between processes, latency, cuts, and the rules of a script.
//!
//! What it models: TCP. A connection is opened by the first request and is ordered in each direction; different
//! connections overtake each other. A lost packet is sent again, so loss is a delay (200 ms, doubling), never a hole.
//! While two nodes are cut off from each other, what they send waits and arrives after the cut is healed if the
//! connection still stands. A process that dies closes its connections; a frozen one leaves them open.
//!
//! Simplified: no handshake (the first request takes one hop), no bandwidth, no back-pressure; a power loss closes
//! connections like a kill.

use crate::base::chooser::{ChoicePoint, Chooser};
use crate::base::ids::{EventSeq, NodeId};
use crate::base::time::{Duration, Time};
use crate::event::WireLabel;
use crate::kafka::api::Message;
use crate::kafka::effects::Timer;
use crate::sim::command::{WireAction, WireRule};

/// How messages travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkConfig {
    /// One way, on average.
    pub latency: Duration,
    /// Up to this much more or less.
    pub jitter: Duration,
    /// Probability that a packet is lost and sent again, in parts per million.
    pub loss_ppm: u32,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self { latency: Duration(1_000), jitter: Duration(200), loss_ppm: 0 }
    }
}

/// First retransmission of a lost packet (Linux' minimal RTO); doubles each time.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    /// Set on an answer.
    pub(super) response: bool,
    /// The connection it travels on.
    pub(super) connection: u32,
    /// The receiver's incarnation when the message was sent.
    pub(super) incarnation: u32,
    pub(super) correlation: u32,
    pub(super) message: Message,
    /// Its `WireSent` event.
    pub(super) cause: EventSeq,
    /// Its number on the wire.
    pub(super) wire: u32,
}

/// What the queue holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    /// A process starts.
    Start { node: NodeId, incarnation: u32 },
    /// A message arrives.
    Packet(Packet),
    /// A timer may run out. `due` tells it from another item of the same timer.
    Timer { node: NodeId, timer: Timer, due: Time, incarnation: u32 },
    /// `node` learns that the connection it had opened to `peer` is closed.
    Disconnected { node: NodeId, peer: NodeId, connection: u32, incarnation: u32, cause: EventSeq },
    /// `node` learns that a connection `peer` had opened to it is closed.
    PeerGone { node: NodeId, peer: NodeId, incarnation: u32, cause: EventSeq },
    /// The script is to look again.
    Wakeup,
}

/// A connection, kept with the node that opened it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) peer: NodeId,
    pub(super) id: u32,
    /// No request gets through any more; the opener has not been told yet.
    pub(super) broken: bool,
    /// Nothing sent later arrives earlier: towards the peer, and back.
    pub(super) latest_there: Time,
    pub(super) latest_back: Time,
}

/// A rule at work.
#[derive(Clone, Debug)]
pub(super) struct ActiveRule {
    pub(super) name: u16,
    pub(super) rule: WireRule,
    pub(super) seen: u32,
    pub(super) acted: u32,
    pub(super) held: Vec<Packet>,
}

/// The state of the network.
#[derive(Clone, Debug)]
pub(super) struct Network {
    config: NetworkConfig,
    /// By the place of the opening node.
    connections: Vec<Vec<Connection>>,
    next_connection: u32,
    pub(super) next_wire: u32,
    cuts: Vec<(Vec<NodeId>, Vec<NodeId>)>,
    /// What waits for a cut to heal, in order.
    pub(super) parked: Vec<Item>,
    pub(super) rules: Vec<ActiveRule>,
}

impl Network {
    pub(super) fn new(config: NetworkConfig, nodes: usize) -> Self {
        Self {
            config,
            connections: vec![Vec::new(); nodes],
            next_connection: 0,
            next_wire: 0,
            cuts: Vec::new(),
            parked: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// The time one packet takes.
    pub(super) fn hop(&self, chooser: &mut Chooser) -> Duration {
        let NetworkConfig { latency, jitter, loss_ppm } = self.config;
        let low = latency.0.saturating_sub(jitter.0);
        let mut hop = if jitter.0 == 0 {
            latency.0
        } else {
            chooser.between(ChoicePoint::Network, low, latency.0 + jitter.0)
        };
        let mut again = RETRANSMISSION.0;
        while again < 60_000_000 && chooser.chance(ChoicePoint::Network, loss_ppm) {
            hop += again;
            again *= 2;
        }
        Duration(hop)
    }

    /// True when nothing passes between the two.
    pub(super) fn is_cut(&self, a: NodeId, b: NodeId) -> bool {
        self.cuts.iter().any(|(left, right)| {
            (left.contains(&a) && right.contains(&b)) || (left.contains(&b) && right.contains(&a))
        })
    }

    pub(super) fn cut(&mut self, left: Vec<NodeId>, right: Vec<NodeId>) {
        self.cuts.push((left, right));
    }

    /// Heals every cut. Returns the nodes that were cut off, each once.
    pub(super) fn heal(&mut self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.cuts.drain(..).flat_map(|(left, _)| left).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// The open or broken connection from the node at `opener` to `peer`.
    pub(super) fn connection(&mut self, opener: usize, peer: NodeId) -> Option<&mut Connection> {
        self.connections[opener].iter_mut().find(|c| c.peer == peer)
    }

    /// Opens a connection.
    pub(super) fn open(&mut self, opener: usize, peer: NodeId, broken: bool) -> &mut Connection {
        self.next_connection += 1;
        let id = self.next_connection;
        let (latest_there, latest_back) = (Time::ZERO, Time::ZERO);
        self.connections[opener].push(Connection { peer, id, broken, latest_there, latest_back });
        self.connections[opener].last_mut().expect("just pushed")
    }

    /// Forgets the connection from the node at `opener` to `peer`, and returns it.
    pub(super) fn close(&mut self, opener: usize, peer: NodeId) -> Option<Connection> {
        let at = self.connections[opener].iter().position(|c| c.peer == peer)?;
        Some(self.connections[opener].swap_remove(at))
    }

    /// All connections the node at `opener` had opened; it has none any more.
    pub(super) fn close_all(&mut self, opener: usize) -> Vec<Connection> {
        std::mem::take(&mut self.connections[opener])
    }

    /// Places of nodes that have a connection to `peer` which is not broken yet.
    pub(super) fn openers_to(&self, peer: NodeId) -> Vec<usize> {
        let to_peer = |list: &Vec<Connection>| list.iter().any(|c| c.peer == peer && !c.broken);
        (0..self.connections.len()).filter(|at| to_peer(&self.connections[*at])).collect()
    }

    /// What the rules want done with a message: the first rule that matches decides.
    pub(super) fn rule_for(
        &mut self,
        from: NodeId,
        to: NodeId,
        label: &WireLabel,
        carries: impl Fn(crate::base::ids::MessageId) -> bool,
    ) -> Option<(usize, WireAction)> {
        for (at, active) in self.rules.iter_mut().enumerate() {
            if !active.rule.matches(from, to, label, &carries) {
                continue;
            }
            active.seen += 1;
            if active.seen <= active.rule.skip || active.acted >= active.rule.times {
                continue;
            }
            active.acted += 1;
            return Some((at, active.rule.action));
        }
        None
    }
}
