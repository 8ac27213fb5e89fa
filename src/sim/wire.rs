//! Sending and answering: how a message a machine wants sent gets into the queue, or does not.

use crate::base::ids::{EventSeq, NodeId};
use crate::base::time::{Duration, Time};
use crate::event::{EventKind, LossReason};
use crate::kafka::api::Message;
use crate::kafka::effects::Token;
use crate::sim::command::WireAction;
use crate::sim::label::{carries, change_answer, error_answer, label};
use crate::sim::network::{Item, Packet};
use crate::sim::node::NodeState;
use crate::sim::simulation::Simulation;

/// `arrives_in` of a message that waits for a release or for a cut to heal.
const HELD: u32 = u32::MAX;

impl Simulation {
    /// A machine sends a request; a connection is opened where there is none.
    pub(super) fn send_request(
        &mut self,
        from: NodeId,
        to: NodeId,
        correlation: u32,
        message: Message,
        cause: EventSeq,
    ) {
        let opener = self.layout.index(from);
        let server = self.layout.index(to);
        let cut = self.network.is_cut(from, to);
        let refused = self.nodes[server].state == NodeState::Down && !cut;
        let connection = match self.network.connection(opener, to) {
            Some(connection) => *connection,
            None => *self.network.open(opener, to, refused),
        };
        let mut packet = Packet {
            from,
            to,
            response: false,
            connection: connection.id,
            incarnation: self.nodes[server].incarnation,
            correlation,
            message,
            cause,
            wire: 0,
        };
        if refused || connection.broken {
            // A request on a connection that is refused, or that broke without the opener knowing yet.
            self.announce(&mut packet, HELD);
            self.lose(&packet, LossReason::ReceiverDown);
            let told = connection.latest_back != Time::ZERO;
            if !told {
                self.tell_disconnected(from, to, cause);
            }
            return;
        }
        self.post(packet);
    }

    /// A machine answers a request. The answer is lost when the asker has closed the connection.
    pub(super) fn send_reply(
        &mut self,
        from: NodeId,
        token: Token,
        message: Message,
        cause: EventSeq,
    ) {
        let asker = self.layout.index(token.from);
        let mut packet = Packet {
            from,
            to: token.from,
            response: true,
            connection: token.connection,
            incarnation: self.nodes[asker].incarnation,
            correlation: token.correlation,
            message,
            cause,
            wire: 0,
        };
        let open = self.network.connection(asker, from).is_some_and(|c| c.id == token.connection);
        if !open {
            self.announce(&mut packet, HELD);
            return self.lose(&packet, LossReason::ConnectionClosed);
        }
        self.post(packet);
    }

    /// Puts a message on the wire, unless a rule or a cut says otherwise.
    fn post(&mut self, mut packet: Packet) {
        let label = label(&packet.message, &self.effects.pools);
        let Packet { from, to, message, .. } = packet;
        let effects = &self.effects;
        let holds = |id| carries(&message, &effects.pools, &effects.batches, id);
        let rule = self.network.rule_for(from, to, &label, holds);
        match rule {
            None => self.transmit(packet, Duration::ZERO),
            Some((at, WireAction::Hold)) => {
                self.announce(&mut packet, HELD);
                self.network.rules[at].held.push(packet);
            }
            Some((_, WireAction::Drop)) => {
                self.announce(&mut packet, HELD);
                self.lose(&packet, LossReason::Dropped);
            }
            Some((_, WireAction::Delay(span))) => self.transmit(packet, span),
            Some((_, WireAction::Duplicate)) => {
                let copy = Packet { message: self.effects.pools.duplicate(message), ..packet };
                self.transmit(packet, Duration::ZERO);
                self.transmit(copy, Duration::ZERO);
            }
            Some((_, WireAction::Close)) => {
                self.announce(&mut packet, HELD);
                self.lose(&packet, LossReason::Dropped);
                let (opener, server) = if packet.response { (to, from) } else { (from, to) };
                self.break_connection(opener, server, packet.cause);
            }
            Some((_, WireAction::Error(error))) if packet.response => {
                packet.message = change_answer(message, error, &mut self.effects.pools);
                self.transmit(packet, Duration::ZERO);
            }
            Some((_, WireAction::Error(error))) => {
                match error_answer(&message, error, &mut self.effects.pools) {
                    Some(answer) => self.answer_in_place(packet, answer),
                    None => self.transmit(packet, Duration::ZERO),
                }
            }
        }
    }

    /// A rule answers a request in the receiver's place.
    fn answer_in_place(&mut self, mut request: Packet, answer: Message) {
        self.announce(&mut request, HELD);
        self.lose(&request, LossReason::Dropped);
        let asker = self.layout.index(request.from);
        let packet = Packet {
            from: request.to,
            to: request.from,
            response: true,
            incarnation: self.nodes[asker].incarnation,
            message: answer,
            ..request
        };
        let there = self.network.hop(self.effects.chooser());
        self.transmit(packet, there);
    }

    /// Sends a packet on its way, `extra` later than the network alone would, behind what was sent before it on its
    /// connection.
    pub(super) fn transmit(&mut self, mut packet: Packet, extra: Duration) {
        if self.network.is_cut(packet.from, packet.to) {
            self.announce(&mut packet, HELD);
            self.network.parked.push(Item::Packet(packet));
            return;
        }
        let at = self.now + self.network.hop(self.effects.chooser()) + extra;
        let at = self.in_order(&packet, at);
        let arrives_in = u32::try_from(at.since(self.now).0).unwrap_or(HELD - 1);
        self.announce(&mut packet, arrives_in);
        self.queue.push(at, Item::Packet(packet));
    }

    /// Not earlier than what was sent before on the same connection in the same direction.
    fn in_order(&mut self, packet: &Packet, at: Time) -> Time {
        let (opener, server) = ends(packet);
        let opener = self.layout.index(opener);
        let Some(connection) = self.network.connection(opener, server) else { return at };
        if connection.id != packet.connection {
            return at;
        }
        let latest = if packet.response {
            &mut connection.latest_back
        } else {
            &mut connection.latest_there
        };
        *latest = at.max(*latest);
        *latest
    }

    /// Says that a message left, once, and gives it its number.
    fn announce(&mut self, packet: &mut Packet, arrives_in: u32) {
        if packet.wire != 0 {
            return;
        }
        self.network.next_wire += 1;
        packet.wire = self.network.next_wire;
        let label = label(&packet.message, &self.effects.pools);
        let sent = EventKind::WireSent { wire: packet.wire, to: packet.to, arrives_in, label };
        packet.cause = self.record(packet.cause, packet.from, sent);
    }

    /// A machine closes the connection it had opened.
    pub(super) fn disconnect(&mut self, from: NodeId, peer: NodeId, cause: EventSeq) {
        let opener = self.layout.index(from);
        if let Some(connection) = self.network.close(opener, peer) {
            self.drop_parked(connection.id);
            self.tell_peer_gone(from, peer, connection.latest_there, cause);
        }
    }

    /// The answering side closes the connection a request came on.
    pub(super) fn hang_up(&mut self, server: NodeId, token: Token, cause: EventSeq) {
        let opener = self.layout.index(token.from);
        if self.network.connection(opener, server).is_some_and(|c| c.id == token.connection) {
            self.break_connection(token.from, server, cause);
        }
    }

    /// The connection is broken between the two: both learn it.
    pub(super) fn break_connection(&mut self, opener: NodeId, server: NodeId, cause: EventSeq) {
        let at = self.layout.index(opener);
        let Some(connection) = self.network.connection(at, server) else { return };
        if connection.broken {
            return;
        }
        connection.broken = true;
        let (id, latest_there) = (connection.id, connection.latest_there);
        self.drop_parked(id);
        self.tell_disconnected(opener, server, cause);
        self.tell_peer_gone(opener, server, latest_there, cause);
    }

    /// `node` will learn that its connection to `peer` is closed, after what is already on its way back.
    pub(super) fn tell_disconnected(&mut self, node: NodeId, peer: NodeId, cause: EventSeq) {
        let opener = self.layout.index(node);
        let hop = self.network.hop(self.effects.chooser());
        let now = self.now;
        let incarnation = self.nodes[opener].incarnation;
        let Some(connection) = self.network.connection(opener, peer) else { return };
        connection.broken = true;
        let at = (now + hop).max(connection.latest_back);
        connection.latest_back = at;
        let connection = connection.id;
        let item = Item::Disconnected { node, peer, connection, incarnation, cause };
        if self.network.is_cut(node, peer) {
            self.network.parked.push(item);
        } else {
            self.queue.push(at, item);
        }
    }

    /// `server` will learn that `opener` closed, after what is already on its way there.
    pub(super) fn tell_peer_gone(
        &mut self,
        opener: NodeId,
        server: NodeId,
        latest_there: Time,
        cause: EventSeq,
    ) {
        let at = (self.now + self.network.hop(self.effects.chooser())).max(latest_there);
        let incarnation = self.nodes[self.layout.index(server)].incarnation;
        let item = Item::PeerGone { node: server, peer: opener, incarnation, cause };
        if self.network.is_cut(opener, server) {
            self.network.parked.push(item);
        } else {
            self.queue.push(at, item);
        }
    }

    /// What waits on a closed connection for a cut to heal is lost.
    fn drop_parked(&mut self, connection: u32) {
        let parked = std::mem::take(&mut self.network.parked);
        for item in parked {
            match item {
                Item::Packet(packet) if packet.connection == connection => {
                    self.lose(&packet, LossReason::CutOff);
                }
                other => self.network.parked.push(other),
            }
        }
    }
}

/// Who opened the connection of a packet, and who answers on it.
fn ends(packet: &Packet) -> (NodeId, NodeId) {
    if packet.response { (packet.to, packet.from) } else { (packet.from, packet.to) }
}
