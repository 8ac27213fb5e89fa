//! `KafkaShareConsumer` (KIP-932) of Kafka's Java client: one value for the application thread inside a call and the
//! network thread behind it (`ShareConsumerImpl`, `ShareConsumeRequestManager`, `ShareHeartbeatRequestManager`).
//!
//! The network thread fetches as soon as a `poll()` has asked for records, and goes on until some came, also when that
//! `poll()` has long returned. So records may be acquired, and their lock runs, for an application that is not polling.
//!
//! * `membership`: heartbeats and the coordinator; `records`: what the application has in hand;
//! * `fetching`: share sessions, fetches and acknowledgements; `calls`: calls that block.
//!
//! Simplified: as for the classic consumer (the coordinator shares the broker's connection, any broker's metadata has
//! all topics); a share session ends with the consumer or its connection, not when it has no partitions any more; a
//! renewal goes by `ShareAcknowledge` at once.

mod calls;
mod fetching;
mod membership;
mod records;

use crate::base::config::ConsumerConfig;
use crate::base::error::Exception;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, GroupId, PartitionId};
use crate::base::time::Time;
use crate::event::EventKind;
use crate::kafka::api::Message;
use crate::kafka::backoff::ExponentialBackoff;
use crate::kafka::consumer::{ConsumerCall, Returned};
use crate::kafka::effects::{Effects, Input, TimerKind};
use crate::kafka::network_client::{Answer, NetworkClient, NetworkConfig};

use calls::Call;
use fetching::Fetching;
use membership::Membership;
use records::InHand;

/// What comes back with an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Request {
    FindCoordinator,
    Heartbeat {
        /// The epoch it was sent with.
        epoch: i32,
    },
    Fetch,
    /// The number of the acknowledgement.
    Acknowledge(u32),
}

/// The time-outs of this machine, by their place in `ShareConsumer::timers`.
const TIMERS: [TimerKind; 3] =
    [TimerKind::RequestTimeout, TimerKind::HeartbeatThread, TimerKind::Call];

/// See the module.
#[derive(Clone, Debug)]
pub struct ShareConsumer {
    config: ConsumerConfig,
    group: Option<GroupId>,
    /// The upper half of its member ids.
    rank: u16,
    started: bool,
    closed: bool,
    network: NetworkClient<Request>,
    retry: ExponentialBackoff,
    membership: Membership,
    fetching: Fetching,
    in_hand: InHand,
    call: Option<Call>,
    returned: Option<Returned>,
    /// When the blocked call looks again although nothing arrived.
    wake: Time,
    /// What each of [`TIMERS`] is set to.
    timers: [Time; 3],
}

impl ShareConsumer {
    /// A share consumer of `group`. Its member ids begin with `rank` (`Client::rank`).
    pub fn new(config: ConsumerConfig, group: Option<GroupId>, rank: u16) -> Self {
        Self {
            group,
            rank,
            started: false,
            closed: false,
            network: NetworkClient::new(NetworkConfig::from(&config), 0),
            retry: ExponentialBackoff::new(config.retry_backoff, config.retry_backoff_max),
            membership: Membership::default(),
            fetching: Fetching::default(),
            in_hand: InHand::default(),
            call: None,
            returned: None,
            wake: Time::NEVER,
            timers: [Time::NEVER; 3],
            config,
        }
    }

    /// Something came to the process.
    pub fn step(&mut self, now: Time, input: Input, fx: &mut Effects) {
        self.start(fx);
        if self.closed {
            return;
        }
        match input {
            Input::Response { from, correlation, message } => {
                let answer = self.network.response(now, from, (correlation, &message), fx);
                if let Answer::Caller(broker, request) = answer {
                    self.answered(now, (broker, request), message, fx);
                }
            }
            Input::Timeout(timer) => {
                if let Some(place) = TIMERS.iter().position(|kind| *kind == timer.kind) {
                    self.timers[place] = Time::NEVER;
                }
            }
            Input::Disconnected { peer } => {
                let lost = self.network.disconnected(now, peer, fx);
                self.lost(now, &lost, fx);
            }
            Input::Start | Input::Request { .. } | Input::PeerGone { .. } => {}
        }
        let lost = self.network.expire(now, fx);
        self.lost(now, &lost, fx);
        self.proceed(now, fx);
    }

    /// Begins a call of the application; it may return at once ([`ShareConsumer::take_returned`]).
    ///
    /// # Panics
    /// When another call has not returned yet, or its outcome was not taken.
    pub fn call(&mut self, now: Time, call: ConsumerCall, fx: &mut Effects) {
        assert!(self.call.is_none() && self.returned.is_none(), "one call at a time");
        self.start(fx);
        if let ConsumerCall::Poll { quiet: false, .. } = call {
            fx.event(EventKind::PollCalled);
        }
        match self.begin(now, call, fx) {
            Ok(Some(returned)) => self.returned = Some(returned),
            Ok(None) => {}
            Err(exception) => self.throw(exception, fx),
        }
        if !self.closed {
            self.proceed(now, fx);
        }
    }

    /// How the last call ended, once.
    pub fn take_returned(&mut self) -> Option<Returned> {
        self.returned.take()
    }

    /// True when a call has ended and nobody took its outcome.
    pub fn has_returned(&self) -> bool {
        self.returned.is_some()
    }

    /// `wakeup()`: a `poll()` that blocks returns. Simplified: without records, in place of a `WakeupException`.
    pub fn wakeup(&mut self) {
        if let Some(Call::Poll(_)) = self.call {
            self.call = None;
            self.returned = Some(Returned::Polled(Vec::new()));
        }
    }

    /// True after `close()`.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The partitions it may fetch from.
    pub fn assigned(&self) -> &[PartitionId] {
        self.membership.assigned()
    }

    /// Adds this consumer to a fingerprint.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.started, self.closed));
        self.network.fingerprint(now, into);
        self.membership.fingerprint(now, into);
        self.fetching.fingerprint(now, into);
        self.in_hand.fingerprint(into);
        if let Some(call) = &self.call {
            call.fingerprint(now, into);
        }
    }

    fn start(&mut self, fx: &mut Effects) {
        if self.started {
            return;
        }
        self.started = true;
        self.network = NetworkClient::new(NetworkConfig::from(&self.config), fx.names.brokers);
        self.membership.choose_id(self.rank, fx);
    }

    /// Everything that may go on after something came in.
    fn proceed(&mut self, now: Time, fx: &mut Effects) {
        self.network.poll(now, fx);
        self.heartbeat_thread(now, fx);
        self.send_share_requests(now, fx);
        self.advance(now, fx);
        if !self.closed {
            self.send_share_requests(now, fx);
            self.network.poll(now, fx);
        }
        self.schedule(now, fx);
    }

    fn schedule(&mut self, now: Time, fx: &mut Effects) {
        let due = if self.closed {
            [Time::NEVER; 3]
        } else {
            let call = if self.call.is_some() { self.wake } else { Time::NEVER };
            let background = self.heartbeat_due(now).min(self.fetching.next_retry(now));
            [self.network.next_deadline(now), background, call]
        };
        for ((kind, set), at) in TIMERS.iter().zip(&mut self.timers).zip(due) {
            if *set == at {
                continue;
            }
            if at == Time::NEVER {
                fx.cancel_timer(*kind, 0);
            } else {
                fx.set_timer(*kind, 0, at.max(now + crate::base::time::Duration(1)));
            }
            *set = at;
        }
    }

    fn answered(
        &mut self,
        now: Time,
        (broker, request): (BrokerId, Request),
        message: Message,
        fx: &mut Effects,
    ) {
        match request {
            Request::FindCoordinator => self.found_coordinator(now, message, fx),
            Request::Heartbeat { epoch } => self.heartbeat_answered(now, epoch, message, fx),
            Request::Fetch => self.fetched(now, broker, message, fx),
            Request::Acknowledge(id) => self.acknowledge_answered(now, (broker, id), message, fx),
        }
    }

    /// Requests whose connection is gone.
    fn lost(&mut self, now: Time, requests: &[Request], fx: &mut Effects) {
        for request in requests {
            match *request {
                Request::FindCoordinator => self.find_failed(now, Exception::Network, fx),
                Request::Heartbeat { .. } => self.heartbeat_lost(now, fx),
                Request::Fetch | Request::Acknowledge(_) => {}
            }
        }
        self.drop_sessions(fx);
    }

    fn throw(&mut self, exception: Exception, fx: &mut Effects) {
        fx.event(EventKind::Threw { exception });
        self.returned = Some(Returned::Threw(exception));
    }
}
