//! The part of a client that talks to brokers: connections with their reconnect back-off, requests in flight in the
//! order they were sent, request time-outs, the choice of the least loaded broker, and metadata refresh.
//!
//! Kafka: `NetworkClient`, `ClusterConnectionStates`, `InFlightRequests`, `DefaultMetadataUpdater`; KIP-899, KIP-951.
//! The payload `P` stands for the callback of a request: it comes back with the answer, or in send order when the
//! connection is lost.
//!
//! A new connection is proved by a first `Metadata` request; nothing else is sent on it before the answer. So a dead
//! broker costs no attempt of a batch, and a frozen one is noticed after `request.timeout.ms`, as in Kafka.
//! Simplified: that one request stands for TCP's handshake, `ApiVersions` and (when one is due) the metadata request;
//! `socket.connection.setup.timeout.ms` is `request.timeout.ms`; a bootstrap server and the broker behind it share
//! one connection; no throttling.

use std::collections::VecDeque;

use crate::base::config::{ConsumerConfig, ProducerConfig};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, NodeId};
use crate::base::time::{Duration, Time};
use crate::kafka::api::Message;
use crate::kafka::backoff::ExponentialBackoff;
use crate::kafka::client_metadata::ClientMetadata;
use crate::kafka::effects::Effects;

/// The settings a client's network part reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkConfig {
    /// `max.in.flight.requests.per.connection`.
    pub max_in_flight: u32,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `reconnect.backoff.ms`.
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`.
    pub reconnect_backoff_max: Duration,
    /// `retry.backoff.ms`.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`.
    pub retry_backoff_max: Duration,
    /// `metadata.max.age.ms`.
    pub metadata_max_age: Duration,
    /// `metadata.recovery.strategy=rebootstrap`, and `metadata.recovery.rebootstrap.trigger.ms`.
    pub rebootstrap: Option<Duration>,
}

impl From<&ProducerConfig> for NetworkConfig {
    fn from(config: &ProducerConfig) -> Self {
        Self {
            max_in_flight: config.max_in_flight,
            request_timeout: config.request_timeout,
            reconnect_backoff: config.reconnect_backoff,
            reconnect_backoff_max: config.reconnect_backoff_max,
            retry_backoff: config.retry_backoff,
            retry_backoff_max: config.retry_backoff_max,
            metadata_max_age: config.metadata_max_age,
            rebootstrap: config.rebootstrap.then_some(config.rebootstrap_trigger),
        }
    }
}

impl From<&ConsumerConfig> for NetworkConfig {
    fn from(config: &ConsumerConfig) -> Self {
        Self {
            // `ConsumerUtils.CONSUMER_MAX_INFLIGHT_REQUESTS_PER_CONNECTION`
            max_in_flight: 100,
            request_timeout: config.request_timeout,
            reconnect_backoff: config.reconnect_backoff,
            reconnect_backoff_max: config.reconnect_backoff_max,
            retry_backoff: config.retry_backoff,
            retry_backoff_max: config.retry_backoff_max,
            metadata_max_age: config.metadata_max_age,
            rebootstrap: config.rebootstrap.then_some(config.rebootstrap_trigger),
        }
    }
}

/// What an answer turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer<P> {
    /// To a request of the client itself (metadata): dealt with.
    Internal,
    /// To a request of the caller's.
    Caller(BrokerId, P),
    /// To a request that was given up before.
    Late,
}

/// A connection of the client to one broker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum ConnectionState {
    Disconnected,
    Connecting,
    Ready,
}

#[derive(Clone, Hash, Debug)]
enum Purpose<P> {
    Connect,
    Metadata,
    Caller(P),
}

#[derive(Clone, Debug)]
struct InFlight<P> {
    correlation: u32,
    deadline: Time,
    purpose: Purpose<P>,
}

#[derive(Clone, Debug)]
struct Connection<P> {
    state: ConnectionState,
    /// Failures in a row, for the reconnect back-off.
    failures: u32,
    /// No attempt to connect before this moment.
    retry_at: Time,
    last_attempt: Time,
    /// Oldest first.
    in_flight: VecDeque<InFlight<P>>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct NetworkClient<P> {
    config: NetworkConfig,
    reconnect: ExponentialBackoff,
    /// By broker id.
    connections: Vec<Connection<P>>,
    metadata: ClientMetadata,
}

/// `InFlightRequests.hasExpiredRequest` counts whole milliseconds and wants more than the time-out to have passed.
const CLOCK_TICK: Duration = Duration::from_millis(1);

impl<P> NetworkClient<P> {
    /// Of a client that knows brokers 1 to `brokers` by `bootstrap.servers`.
    pub fn new(config: NetworkConfig, brokers: u8) -> Self {
        let retry = ExponentialBackoff::new(config.retry_backoff, config.retry_backoff_max);
        let connection = || Connection {
            state: ConnectionState::Disconnected,
            failures: 0,
            retry_at: Time::ZERO,
            last_attempt: Time::ZERO,
            in_flight: VecDeque::new(),
        };
        Self {
            config,
            reconnect: ExponentialBackoff::new(
                config.reconnect_backoff,
                config.reconnect_backoff_max,
            ),
            connections: (0..=brokers).map(|_| connection()).collect(),
            metadata: ClientMetadata::new(brokers, retry, config.metadata_max_age),
        }
    }

    /// What the client believes about the cluster.
    pub fn metadata(&self) -> &ClientMetadata {
        &self.metadata
    }

    /// The metadata, to ask for an update or to learn of a leader.
    pub fn metadata_mut(&mut self) -> &mut ClientMetadata {
        &mut self.metadata
    }

    /// True when a request to `broker` may be sent now. When there is no connection and no back-off, one is opened;
    /// the client hears of it by an answer that is [`Answer::Internal`]. While a metadata request is due, nothing is
    /// ready: it goes first (call [`NetworkClient::poll`]).
    pub fn ready(&mut self, now: Time, broker: BrokerId, fx: &mut Effects) -> bool {
        if self.is_ready(now, broker) {
            return true;
        }
        if self.can_connect(now, broker) {
            self.connect(now, broker, fx);
        }
        false
    }

    /// As [`NetworkClient::ready`], without opening a connection.
    pub fn is_ready(&self, now: Time, broker: BrokerId) -> bool {
        !self.metadata.is_update_due(now) && self.can_send(broker)
    }

    /// When it makes sense to ask [`NetworkClient::ready`] again: the end of the reconnect back-off, or never while
    /// an answer or a disconnect will come first (`pollDelayMs`).
    pub fn ready_at(&self, broker: BrokerId) -> Time {
        match &self.connections[broker.index()] {
            c if c.state == ConnectionState::Disconnected => c.retry_at,
            _ => Time::NEVER,
        }
    }

    /// Sends a request of the caller's and returns its correlation id. `payload` comes back with the answer, or when
    /// the connection is lost, or when there is no answer within `timeout`.
    ///
    /// # Panics
    /// When `broker` is not ready.
    pub fn send(
        &mut self,
        now: Time,
        broker: BrokerId,
        request: (Message, P),
        timeout: Duration,
        fx: &mut Effects,
    ) -> u32 {
        assert!(self.can_send(broker), "{broker} is not ready");
        let (message, payload) = request;
        self.transmit(now, broker, (message, Purpose::Caller(payload)), timeout, fx)
    }

    /// Sends a request that will not be answered (`acks=0`). Nobody will notice when it is lost.
    ///
    /// # Panics
    /// When `broker` is not ready.
    pub fn send_one_way(&mut self, broker: BrokerId, message: Message, fx: &mut Effects) {
        assert!(self.can_send(broker), "{broker} is not ready");
        fx.request(NodeId::Broker(broker), message);
    }

    /// Sends what the client itself wants to send: a metadata request when one is due and a broker can take it.
    pub fn poll(&mut self, now: Time, fx: &mut Effects) {
        if !self.metadata.is_update_due(now) {
            return;
        }
        self.metadata.attempt(now);
        let mut node = self.least_loaded_node(now, fx);
        if node.is_none() && !self.any_ready() && self.config.rebootstrap.is_some() {
            self.metadata.rebootstrap(now);
            node = self.least_loaded_node(now, fx);
        }
        let Some(broker) = node else { return };
        if self.can_send(broker) {
            self.metadata.sent();
            let request = (Message::Metadata, Purpose::Metadata);
            self.transmit(now, broker, request, self.config.request_timeout, fx);
        } else if !self.any_connecting() && self.can_connect(now, broker) {
            self.connect(now, broker, fx);
        }
    }

    /// An answer arrived.
    pub fn response(
        &mut self,
        now: Time,
        from: NodeId,
        (correlation, message): (u32, &Message),
        fx: &mut Effects,
    ) -> Answer<P> {
        let Some(broker) = from.broker() else { return Answer::Late };
        let connection = &mut self.connections[broker.index()];
        let Some(place) = connection.in_flight.iter().position(|r| r.correlation == correlation)
        else {
            return Answer::Late;
        };
        let request = connection.in_flight.remove(place).expect("just found");
        match request.purpose {
            Purpose::Caller(payload) => return Answer::Caller(broker, payload),
            Purpose::Connect => {
                connection.state = ConnectionState::Ready;
                connection.failures = 0;
                if let Message::MetadataResponse { transaction_version, .. } = *message {
                    self.metadata.learn_features(transaction_version);
                }
                if self.metadata.is_update_due(now) {
                    // In Kafka the handshake ends here, and the request for metadata follows.
                    self.metadata.sent();
                    self.take_metadata(now, message, fx);
                }
            }
            Purpose::Metadata => self.take_metadata(now, message, fx),
        }
        Answer::Internal
    }

    /// The connection to `peer` is closed, or could not be opened. Returns the payloads of the requests that were
    /// lost with it, oldest first.
    pub fn disconnected(&mut self, now: Time, peer: NodeId, fx: &mut Effects) -> Vec<P> {
        let Some(broker) = peer.broker() else { return Vec::new() };
        let connection = &mut self.connections[broker.index()];
        if connection.state == ConnectionState::Disconnected {
            return Vec::new();
        }
        connection.state = ConnectionState::Disconnected;
        connection.retry_at = now + self.reconnect.backoff(connection.failures, fx);
        connection.failures += 1;
        connection.last_attempt = now;
        let mut lost = Vec::with_capacity(connection.in_flight.len());
        for request in connection.in_flight.drain(..) {
            match request.purpose {
                Purpose::Connect => {}
                Purpose::Metadata => self.metadata.failed(now, fx),
                Purpose::Caller(payload) => lost.push(payload),
            }
        }
        if self.metadata.is_update_due(now) {
            self.metadata.failed(now, fx);
        }
        // Perhaps the metadata is stale.
        self.metadata.request_update(false);
        lost
    }

    /// Closes the connections on which a request has waited longer than its time-out. Returns the payloads of all
    /// requests on them, connection by connection, oldest first.
    pub fn expire(&mut self, now: Time, fx: &mut Effects) -> Vec<P> {
        let mut lost = Vec::new();
        let rebootstraps = self.rebootstrap_at().is_some_and(|at| at < now);
        for n in 1..self.connections.len() {
            let connection = &self.connections[n];
            let silent = connection.in_flight.iter().any(|request| request.deadline <= now);
            if silent || (rebootstraps && connection.state != ConnectionState::Disconnected) {
                let peer = NodeId::Broker(BrokerId(n as u8));
                fx.disconnect(peer);
                lost.append(&mut self.disconnected(now, peer, fx));
            }
        }
        if rebootstraps {
            self.metadata.rebootstrap(now);
        }
        lost
    }

    /// When [`NetworkClient::expire`] and [`NetworkClient::poll`] should be called again at the latest.
    pub fn next_deadline(&self, now: Time) -> Time {
        let requests = self.connections.iter().flat_map(|c| &c.in_flight).map(|r| r.deadline);
        let rebootstrap = self.rebootstrap_at().map_or(Time::NEVER, |at| at + CLOCK_TICK);
        let next = requests.min().unwrap_or(Time::NEVER).min(rebootstrap);
        next.min(self.next_metadata_attempt(now))
    }

    /// When the client gives its connections up, because for so long no broker has told it anything (KIP-1102).
    fn rebootstrap_at(&self) -> Option<Time> {
        Some(self.metadata.attempt_started()? + self.config.rebootstrap?)
    }

    fn next_metadata_attempt(&self, now: Time) -> Time {
        let due = self.metadata.next_update();
        if due > now {
            return due;
        }
        // It is due and could not be sent: wait for a back-off to end, unless an answer comes first.
        let waits = self.metadata.brokers().iter().map(|broker| self.ready_at(broker));
        waits.filter(|at| *at > now).min().unwrap_or(Time::NEVER)
    }

    /// The broker with the fewest requests in flight, connected ones first (`leastLoadedNode`); for requests that any
    /// broker can answer. `None` when all known brokers are in back-off or busy.
    pub fn least_loaded_node(&mut self, now: Time, fx: &mut Effects) -> Option<BrokerId> {
        let brokers = self.metadata.brokers();
        let count = brokers.len();
        let offset = if count > 1 { fx.choose(count as u64) as usize } else { 0 };
        let (mut ready, mut connecting, mut connectable) = (None::<BrokerId>, None, None);
        for broker in brokers.iter().skip(offset).chain(brokers.iter().take(offset)) {
            if self.can_send(broker) {
                if self.in_flight(broker) == 0 {
                    return Some(broker);
                }
                if ready.is_none_or(|best| self.in_flight(broker) < self.in_flight(best)) {
                    ready = Some(broker);
                }
            } else if self.connections[broker.index()].state == ConnectionState::Connecting {
                connecting = Some(broker);
            } else if self.can_connect(now, broker) {
                let attempt = |b: BrokerId| self.connections[b.index()].last_attempt;
                if connectable.is_none_or(|best| attempt(broker) < attempt(best)) {
                    connectable = Some(broker);
                }
            }
        }
        ready.or(connecting).or(connectable)
    }

    /// How many requests to `broker` wait for an answer.
    pub fn in_flight(&self, broker: BrokerId) -> usize {
        self.connections[broker.index()].in_flight.len()
    }

    /// True when a request of the caller's waits for an answer.
    pub fn has_in_flight(&self) -> bool {
        let mut requests = self.connections.iter().flat_map(|c| &c.in_flight);
        requests.any(|request| matches!(request.purpose, Purpose::Caller(_)))
    }

    /// True when there is a working connection to `broker`.
    pub fn is_connected(&self, broker: BrokerId) -> bool {
        self.connections[broker.index()].state == ConnectionState::Ready
    }

    /// Closes the connection to `broker` if there is one, as the caller wants it (`NetworkClient.disconnect`).
    /// Returns the payloads of the requests that were lost with it, oldest first.
    pub fn disconnect(&mut self, now: Time, broker: BrokerId, fx: &mut Effects) -> Vec<P> {
        if self.connections[broker.index()].state == ConnectionState::Disconnected {
            return Vec::new();
        }
        fx.disconnect(NodeId::Broker(broker));
        self.disconnected(now, NodeId::Broker(broker), fx)
    }

    /// Closes all connections for good.
    pub fn close(&mut self, fx: &mut Effects) {
        for (n, connection) in self.connections.iter_mut().enumerate() {
            if connection.state != ConnectionState::Disconnected {
                fx.disconnect(NodeId::Broker(BrokerId(n as u8)));
                connection.state = ConnectionState::Disconnected;
                connection.in_flight.clear();
            }
        }
    }

    fn can_send(&self, broker: BrokerId) -> bool {
        let connection = &self.connections[broker.index()];
        connection.state == ConnectionState::Ready
            && connection.in_flight.len() < self.config.max_in_flight as usize
    }

    fn can_connect(&self, now: Time, broker: BrokerId) -> bool {
        let connection = &self.connections[broker.index()];
        connection.state == ConnectionState::Disconnected && connection.retry_at <= now
    }

    fn any_ready(&self) -> bool {
        self.connections.iter().any(|c| c.state == ConnectionState::Ready)
    }

    fn any_connecting(&self) -> bool {
        self.connections.iter().any(|c| c.state == ConnectionState::Connecting)
    }

    fn connect(&mut self, now: Time, broker: BrokerId, fx: &mut Effects) {
        let connection = &mut self.connections[broker.index()];
        connection.state = ConnectionState::Connecting;
        connection.last_attempt = now;
        let request = (Message::Metadata, Purpose::Connect);
        self.transmit(now, broker, request, self.config.request_timeout, fx);
    }

    fn transmit(
        &mut self,
        now: Time,
        broker: BrokerId,
        (message, purpose): (Message, Purpose<P>),
        timeout: Duration,
        fx: &mut Effects,
    ) -> u32 {
        let correlation = fx.request(NodeId::Broker(broker), message);
        let deadline = now + timeout + CLOCK_TICK;
        let in_flight = &mut self.connections[broker.index()].in_flight;
        in_flight.push_back(InFlight { correlation, deadline, purpose });
        correlation
    }

    fn take_metadata(&mut self, now: Time, message: &Message, fx: &mut Effects) {
        let Message::MetadataResponse { brokers, partitions, .. } = *message else {
            unreachable!("a Metadata request is answered by a MetadataResponse");
        };
        let partitions = fx.pools.get(partitions).to_vec();
        self.metadata.update(now, brokers, &partitions, fx);
    }
}

impl<P: std::hash::Hash> NetworkClient<P> {
    /// Adds this client to a fingerprint.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        for connection in &self.connections {
            into.add((connection.state, connection.failures, connection.in_flight.len()));
            into.add_time(now, connection.retry_at.max(now));
            for request in &connection.in_flight {
                into.add(&request.purpose);
                into.add_time(now, request.deadline);
            }
        }
        self.metadata.fingerprint(now, into);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::broker_set::BrokerSet;
    use crate::base::chooser::Chooser;
    use crate::base::names::Names;
    use crate::kafka::effects::{Effect, List};

    const B1: BrokerId = BrokerId(1);
    const PEER: NodeId = NodeId::Broker(B1);

    fn client() -> (NetworkClient<char>, Effects) {
        let config = NetworkConfig::from(&ProducerConfig::default());
        let fx = Effects::new(Arc::new(Names::default()), Chooser::seeded(7));
        (NetworkClient::new(config, 1), fx)
    }

    fn sent(fx: &mut Effects) -> Vec<u32> {
        let sent = fx.list.drain(..).filter_map(|effect| match effect {
            Effect::Request { correlation, .. } => Some(correlation),
            _ => None,
        });
        sent.collect()
    }

    fn answer_metadata(client: &mut NetworkClient<char>, fx: &mut Effects, correlation: u32) {
        let brokers = BrokerSet::of(B1);
        let partitions = List::EMPTY;
        let message = Message::MetadataResponse { brokers, transaction_version: 2, partitions };
        let answer = client.response(Time::ZERO, PEER, (correlation, &message), fx);
        assert_eq!(answer, Answer::Internal);
    }

    fn connected() -> (NetworkClient<char>, Effects) {
        let (mut client, mut fx) = client();
        client.poll(Time::ZERO, &mut fx);
        let hello = sent(&mut fx);
        assert_eq!(hello.len(), 1, "one request opens the connection and asks for metadata");
        assert!(!client.ready(Time::ZERO, B1, &mut fx), "not before it is answered");
        answer_metadata(&mut client, &mut fx, hello[0]);
        assert!(client.ready(Time::ZERO, B1, &mut fx));
        (client, fx)
    }

    fn send(client: &mut NetworkClient<char>, at: Time, payload: char, fx: &mut Effects) -> u32 {
        let timeout = Duration::from_secs(30);
        client.send(at, B1, (Message::Metadata, payload), timeout, fx)
    }

    #[test]
    fn what_a_lost_connection_takes_with_it_comes_back_in_send_order() {
        let (mut client, mut fx) = connected();
        let first = send(&mut client, Time::ZERO, 'a', &mut fx);
        for payload in ['b', 'c', 'd', 'e'] {
            send(&mut client, Time::ZERO, payload, &mut fx);
        }
        assert!(!client.ready(Time::ZERO, B1, &mut fx), "five requests are in flight");
        assert_eq!(client.disconnected(Time::ZERO, PEER, &mut fx), ['a', 'b', 'c', 'd', 'e']);
        let late = client.response(Time::ZERO, PEER, (first, &Message::Metadata), &mut fx);
        assert_eq!(late, Answer::Late);
    }

    #[test]
    fn one_request_over_time_closes_the_connection_for_all() {
        let (mut client, mut fx) = connected();
        send(&mut client, Time::ZERO, 'a', &mut fx);
        let half = Time::ZERO + Duration::from_secs(15);
        send(&mut client, half, 'b', &mut fx);
        let limit = Time::ZERO + Duration::from_secs(30);
        assert_eq!(client.next_deadline(half), limit + CLOCK_TICK);
        assert_eq!(client.expire(limit, &mut fx), [], "exactly the time-out is not more than it");
        fx.list.clear();
        assert_eq!(client.expire(limit + CLOCK_TICK, &mut fx), ['a', 'b']);
        assert_eq!(fx.list, [Effect::Disconnect { peer: PEER }]);
    }

    #[test]
    fn a_dead_broker_is_tried_again_after_a_growing_back_off() {
        let (mut client, mut fx) = client();
        let (mut now, mut waits) = (Time::ZERO, Vec::new());
        for _ in 0..7 {
            assert!(!client.ready(now, B1, &mut fx));
            assert_eq!(sent(&mut fx).len(), 1, "one attempt at a time");
            client.disconnected(now, PEER, &mut fx);
            let at = client.ready_at(B1);
            client.ready(now, B1, &mut fx);
            assert!(sent(&mut fx).is_empty(), "not during the back-off");
            waits.push(at.since(now).as_millis());
            now = at;
        }
        let terms = [50, 100, 200, 400, 800, 1_000, 1_000];
        for (wait, term) in waits.iter().zip(terms) {
            let range = term * 8 / 10..=(term * 12 / 10).min(1_000);
            assert!(range.contains(wait), "{wait} ms is not {term} ms ± 20 %");
        }
    }
}
