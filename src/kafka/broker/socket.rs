//! The broker's end of its connections: `SocketServer` mutes a channel while a request of it is being answered, so a
//! broker handles **one request a connection at a time, in order**. A produce request with `acks=0` gets no answer
//! and does not mute.
//!
//! A consumer talks to its group coordinator on a connection of its own in Kafka, and a broker sends markers of
//! transactions and questions about them on two of their own beside those of its fetchers. Here the wire has one
//! connection a pair of nodes, so these have lanes: a long poll never delays a heartbeat or a marker. A broker's
//! requests to a share coordinator, which are on a connection of their own too, take the lane of groups.
//!
//! What was in a socket when its client went away is still handled: the client will never know.

use std::collections::VecDeque;

use crate::base::fingerprint::Fingerprint;
use crate::base::ids::NodeId;
use crate::kafka::api::Message;
use crate::kafka::effects::{Effects, Token};

/// Which of the connections of a client or a broker a request belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Lane {
    /// Produce, fetch, metadata and the like.
    Data,
    /// The connection to the group coordinator.
    Group,
    /// The connection of `TransactionMarkerChannelManager`.
    Markers,
    /// The connection of `AddPartitionsToTxnManager`.
    Verification,
}

impl Lane {
    const ALL: [Self; 4] = [Self::Data, Self::Group, Self::Markers, Self::Verification];
}

/// The lane of a request.
pub(super) fn lane(from: NodeId, message: &Message) -> Lane {
    match message {
        Message::WriteTxnMarkers { .. } => Lane::Markers,
        Message::AddPartitionsToTxn { .. } if from.broker().is_some() => Lane::Verification,
        Message::JoinGroup { .. }
        | Message::SyncGroup { .. }
        | Message::Heartbeat { .. }
        | Message::LeaveGroup { .. }
        | Message::ConsumerGroupHeartbeat { .. }
        | Message::OffsetCommit { .. }
        | Message::OffsetFetch { .. }
        | Message::ShareGroupHeartbeat { .. }
        | Message::ReadShareGroupState { .. }
        | Message::WriteShareGroupState { .. } => Lane::Group,
        _ => Lane::Data,
    }
}

/// A connection, or one lane of it.
#[derive(Clone, Debug)]
struct Channel {
    connection: u32,
    lane: Lane,
    peer: NodeId,
    /// The correlation id of the request that is being answered.
    muted_by: Option<u32>,
    waiting: VecDeque<(Token, Message)>,
}

/// All connections that others opened to this broker.
#[derive(Clone, Default, Debug)]
pub(super) struct Socket {
    /// Sorted by connection and lane.
    channels: Vec<Channel>,
}

impl Socket {
    /// A request arrived. Returns `true` when it is to be handled now; else a copy of it waits its turn.
    pub(super) fn accept(&mut self, token: Token, message: Message, fx: &mut Effects) -> bool {
        let lane = lane(token.from, &message);
        let at = match self.find(token.connection, lane) {
            Ok(at) => at,
            Err(at) => {
                let (connection, peer) = (token.connection, token.from);
                let waiting = VecDeque::new();
                let channel = Channel { connection, lane, peer, muted_by: None, waiting };
                self.channels.insert(at, channel);
                at
            }
        };
        let channel = &mut self.channels[at];
        if channel.muted_by.is_some() {
            channel.waiting.push_back((token, fx.pools.duplicate(message)));
            return false;
        }
        channel.muted_by = mutes(token, &message);
        true
    }

    /// The request of `token` was answered: its channel may be read again.
    pub(super) fn answered(&mut self, token: Token) {
        for lane in Lane::ALL {
            if let Ok(at) = self.find(token.connection, lane) {
                let channel = &mut self.channels[at];
                if channel.muted_by == Some(token.correlation) {
                    channel.muted_by = None;
                }
            }
        }
    }

    /// The next request of that connection, if one waits and may be handled. The caller frees it.
    pub(super) fn next(&mut self, connection: u32) -> Option<(Token, Message)> {
        for lane in Lane::ALL {
            let Ok(at) = self.find(connection, lane) else { continue };
            let channel = &mut self.channels[at];
            if channel.muted_by.is_some() {
                continue;
            }
            if let Some((token, message)) = channel.waiting.pop_front() {
                channel.muted_by = mutes(token, &message);
                return Some((token, message));
            }
        }
        None
    }

    /// The broker closes the connection: what waits on it is lost.
    pub(super) fn close(&mut self, connection: u32, fx: &mut Effects) {
        self.channels.retain(|channel| {
            if channel.connection != connection {
                return true;
            }
            channel.waiting.iter().for_each(|(_, message)| fx.pools.free(*message));
            false
        });
    }

    /// `peer` closed its connections: returns what still waits on them, to be handled. The caller frees it.
    pub(super) fn gone(&mut self, peer: NodeId) -> Vec<(Token, Message)> {
        let mut left = Vec::new();
        self.channels.retain_mut(|channel| {
            if channel.peer != peer {
                return true;
            }
            left.extend(channel.waiting.drain(..));
            false
        });
        left
    }

    pub(super) fn fingerprint(&self, into: &mut Fingerprint) {
        for channel in &self.channels {
            into.add((channel.peer, channel.lane, channel.muted_by.is_some()));
            into.add(channel.waiting.len());
        }
    }

    fn find(&self, connection: u32, lane: Lane) -> Result<usize, usize> {
        self.channels.binary_search_by_key(&(connection, lane), |c| (c.connection, c.lane))
    }
}

/// What a request leaves its channel muted by.
fn mutes(token: Token, message: &Message) -> Option<u32> {
    let unanswered = matches!(message, Message::Produce { acks: 0, .. });
    (!unanswered).then_some(token.correlation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::chooser::Chooser;
    use crate::base::ids::{GroupId, MemberId};
    use crate::kafka::effects::List;

    fn token(correlation: u32) -> Token {
        Token { from: NodeId::Consumer(0), correlation, connection: 4 }
    }

    fn produce(acks: i8) -> Message {
        Message::Produce {
            acks,
            timeout_ms: 0,
            transactional: None,
            adds: false,
            batches: List::EMPTY,
        }
    }

    fn offset_fetch() -> Message {
        Message::OffsetFetch {
            group: GroupId(0),
            member: MemberId::UNKNOWN,
            epoch: -1,
            partitions: List::EMPTY,
        }
    }

    #[test]
    fn one_request_at_a_time_but_lanes_are_apart_and_acks_0_does_not_mute() {
        let mut fx = Effects::new(std::sync::Arc::default(), Chooser::seeded(0));
        let mut socket = Socket::default();
        assert!(socket.accept(token(1), produce(0), &mut fx));
        assert!(socket.accept(token(2), produce(1), &mut fx), "acks=0 left it open");
        assert!(!socket.accept(token(3), produce(1), &mut fx), "the second waits");
        assert!(socket.accept(token(4), offset_fetch(), &mut fx), "the other lane");
        assert_eq!(socket.next(4), None);
        socket.answered(token(2));
        assert_eq!(socket.next(4), Some((token(3), produce(1))));
        assert!(!socket.accept(token(5), produce(1), &mut fx));
        assert_eq!(socket.gone(NodeId::Consumer(0)), [(token(5), produce(1))]);
    }
}
