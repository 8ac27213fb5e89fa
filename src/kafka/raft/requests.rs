//! Which controllers a node has asked and may ask again: `RequestManager`, with the reconnect back-off of the network
//! client below it. One request a controller at a time.
//!
//! Simplified: the reconnect back-off has no jitter.

use crate::base::fingerprint::Fingerprint;
use crate::base::time::{Duration, Time};
use crate::kafka::effects::Effects;

/// Between a fetch that brought nothing new and the next one (`controller.quorum.retry.backoff.ms` is 20; a node
/// without news waits longer here, so that a quorum that is gone does not fill the history with requests).
const RETRY_BACKOFF: Duration = Duration::from_millis(100);
/// After a connection that broke; doubles (`KafkaRaftManager.buildNetworkClient`).
const RECONNECT_BACKOFF: Duration = Duration::from_millis(50);
/// The longest pause.
const RECONNECT_BACKOFF_MAX: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Peer {
    /// The request that is not answered, and until when it may be.
    in_flight: Option<(u32, Time)>,
    backoff_until: Time,
    /// No fetch before: the last one brought nothing.
    quiet_until: Time,
    failures: u32,
}

const NEW: Peer =
    Peer { in_flight: None, backoff_until: Time::ZERO, quiet_until: Time::ZERO, failures: 0 };

/// The state of every controller, by number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestManager {
    timeout: Duration,
    peers: Vec<Peer>,
}

impl RequestManager {
    /// For controllers 1 to `controllers`; a request may take `timeout` (`controller.quorum.request.timeout.ms`).
    pub fn new(controllers: u8, timeout: Duration) -> Self {
        Self { timeout, peers: vec![NEW; usize::from(controllers)] }
    }

    /// May be asked: nothing is on its way (or too long so) and the connection is not to be left alone.
    pub fn is_free(&self, controller: u8, now: Time) -> bool {
        let peer = self.peer(controller);
        peer.backoff_until <= now && peer.in_flight.is_none_or(|(_, deadline)| deadline <= now)
    }

    /// May be fetched from: it is free, and no pause after the last fetch is to be kept.
    pub fn is_ready(&self, controller: u8, now: Time) -> bool {
        self.is_free(controller, now) && self.peer(controller).quiet_until <= now
    }

    /// The request to it has not been answered in time.
    pub fn has_timed_out(&self, controller: u8, now: Time) -> bool {
        self.peer(controller).in_flight.is_some_and(|(_, deadline)| deadline <= now)
    }

    /// A request is on its way to someone.
    pub fn any_in_flight(&self, now: Time) -> bool {
        self.peers.iter().any(|peer| peer.in_flight.is_some_and(|(_, deadline)| deadline > now))
    }

    /// A controller other than `but` that may be fetched from, by chance.
    pub fn any_ready(&self, but: u8, now: Time, fx: &mut Effects) -> Option<u8> {
        let ready = |n: &u8| *n != but && self.is_ready(*n, now);
        let ready: Vec<u8> = (1..=self.peers.len() as u8).filter(ready).collect();
        match ready.len() {
            0 | 1 => ready.first().copied(),
            many => Some(ready[fx.choose_for_quorum(many as u64) as usize]),
        }
    }

    /// A request was sent.
    pub fn sent(&mut self, controller: u8, correlation: u32, now: Time) {
        let deadline = now + self.timeout;
        self.peer_mut(controller).in_flight = Some((correlation, deadline));
    }

    /// An answer came: true when it is the one that is waited for.
    pub fn answered(&mut self, controller: u8, correlation: u32) -> bool {
        let peer = self.peer_mut(controller);
        let expected = peer.in_flight.is_some_and(|(sent, _)| sent == correlation);
        if expected {
            *peer = NEW;
        }
        expected
    }

    /// Nothing new was in the answer to a fetch: not again at once.
    pub fn back_off(&mut self, controller: u8, now: Time) {
        self.peer_mut(controller).quiet_until = now + RETRY_BACKOFF;
    }

    /// The connection to it broke or could not be opened.
    pub fn disconnected(&mut self, controller: u8, now: Time) {
        let peer = self.peer_mut(controller);
        let pause = Duration(RECONNECT_BACKOFF.0 << peer.failures.min(8));
        peer.backoff_until = now + pause.min(RECONNECT_BACKOFF_MAX);
        peer.failures += 1;
        peer.in_flight = None;
    }

    /// Another epoch or role: what was asked before does not matter any more.
    pub fn reset(&mut self) {
        self.peers.iter_mut().for_each(|peer| peer.in_flight = None);
    }

    /// When a request or a pause ends next.
    pub fn next_deadline(&self, now: Time) -> Option<Time> {
        let times = |peer: &Peer| {
            let request = peer.in_flight.map(|(_, deadline)| deadline);
            [request, Some(peer.backoff_until), Some(peer.quiet_until)]
        };
        self.peers.iter().flat_map(times).flatten().filter(|at| *at > now).min()
    }

    /// Adds everything that decides the future.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        for peer in &self.peers {
            let pauses = [peer.backoff_until, peer.quiet_until].map(|until| until.since(now));
            into.add((peer.in_flight.is_some(), peer.failures, pauses));
        }
    }

    fn peer(&self, controller: u8) -> &Peer {
        &self.peers[usize::from(controller) - 1]
    }

    fn peer_mut(&mut self, controller: u8) -> &mut Peer {
        &mut self.peers[usize::from(controller) - 1]
    }
}
