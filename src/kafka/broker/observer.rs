//! A broker in the metadata quorum: an observer, who fetches and has no vote
//! (`KafkaRaftClient.pollFollowerAsObserver`). It fetches from the leader; while that one does not answer it asks the
//! other controllers who leads. What it sends to the controller (`NodeToControllerChannelManager`) goes to the leader
//! it knows.
//!
//! With no controller at all a broker lives on with the metadata it has.
//!
//! Simplified: between two requests that bring nothing new there is a pause of 100 ms (Kafka: 20 ms or none).

use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{LeaderEpoch, NodeId, Offset};
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::api::Message;
use crate::kafka::broker::Broker;
use crate::kafka::effects::{Effects, TimerKind};
use crate::kafka::raft::log::FORMED_EPOCH;
use crate::kafka::raft::requests::RequestManager;

/// No controller has this number.
const NOBODY: u8 = 0;

/// What a broker knows of the quorum. On disk (`quorum-state`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct QuorumView {
    pub(super) epoch: i32,
    pub(super) leader: Option<u8>,
}

impl QuorumView {
    /// What every broker of a formed cluster knows.
    pub(super) const FORMED: Self = Self { epoch: FORMED_EPOCH, leader: Some(1) };
    /// What the broker with an empty disk knows.
    pub(super) const UNKNOWN: Self = Self { epoch: 0, leader: None };
}

/// Its fetches. In memory only.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Observer {
    /// `None` before the process starts.
    requests: Option<RequestManager>,
    /// Without an answer of the leader until then, anyone is asked.
    fetch_deadline: Time,
}

impl Observer {
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        if let Some(requests) = &self.requests {
            requests.fingerprint(now, into);
        }
        into.add(self.fetch_deadline.since(now));
    }
}

impl Broker {
    /// The process starts to fetch metadata.
    pub(super) fn begin_to_observe(&mut self, now: Time, fx: &mut Effects) {
        let timeout = self.config.brokers.quorum_request_timeout;
        self.ram.observer = Observer {
            requests: Some(RequestManager::new(fx.names.controllers, timeout)),
            fetch_deadline: now + self.config.brokers.quorum_fetch_timeout,
        };
        self.say_applied(fx);
        self.observe(now, fx);
    }

    /// Asks for the next metadata records, or for who leads: one request at a time.
    pub(super) fn observe(&mut self, now: Time, fx: &mut Effects) {
        let QuorumView { epoch, leader } = self.disk.quorum;
        let Observer { requests: Some(requests), fetch_deadline } = &mut self.ram.observer else {
            return;
        };
        if !requests.any_in_flight(now) {
            let silent = |leader: u8| {
                *fetch_deadline <= now
                    || requests.has_timed_out(leader, now)
                    || !requests.is_ready(leader, now)
            };
            let target = match leader {
                Some(leader) if !silent(leader) => Some(leader),
                _ => requests.any_ready(NOBODY, now, fx),
            };
            if let Some(controller) = target {
                let (last_epoch, offset) = (self.disk.image.epoch, self.disk.image.next);
                let message =
                    Message::MetadataFetch { epoch, last_epoch, offset, high_watermark: offset };
                requests.reset();
                let correlation = fx.request(NodeId::Controller(controller), message);
                requests.sent(controller, correlation, now);
            }
        }
        if let Some(at) = requests.next_deadline(now) {
            fx.set_timer(TimerKind::MetadataFetch, 0, at);
        }
    }

    /// A controller answered a fetch.
    pub(super) fn observed(
        &mut self,
        now: Time,
        from: NodeId,
        correlation: u32,
        message: Message,
        fx: &mut Effects,
    ) {
        let (
            NodeId::Controller(from),
            Message::MetadataFetchResponse { error, leader, epoch, records, .. },
        ) = (from, message)
        else {
            unreachable!("brokers fetch metadata of controllers, and only what is committed");
        };
        let Some(requests) = &mut self.ram.observer.requests else { return };
        if !requests.answered(from, correlation) {
            return;
        }
        let knew = self.disk.quorum;
        let news = epoch > knew.epoch || (epoch == knew.epoch && knew.leader.is_none());
        let led = error == ErrorCode::None && epoch == knew.epoch;
        let found = news && leader.is_some();
        if led || found {
            self.ram.observer.fetch_deadline = now + self.config.brokers.quorum_fetch_timeout;
        } else {
            requests.back_off(from, now);
        }
        if news {
            self.disk.quorum = QuorumView { epoch, leader };
        }
        if led {
            self.apply_metadata(now, records, fx);
        }
        self.observe(now, fx);
        if found {
            self.controller_found(now, fx);
        }
    }

    /// The connection to a controller broke.
    pub(super) fn controller_gone(&mut self, now: Time, controller: u8, fx: &mut Effects) {
        if let Some(requests) = &mut self.ram.observer.requests {
            requests.disconnected(controller, now);
        }
        self.observe(now, fx);
        self.communication_lost(now, controller, fx);
        self.isr_changes_lost(now, controller, fx);
    }

    /// Another controller leads: what waits for one goes there.
    fn controller_found(&mut self, now: Time, fx: &mut Effects) {
        self.communicate_again(now, fx);
        self.send_isr_changes_again(now, fx);
    }

    /// The leader of the quorum, as far as this broker knows.
    pub(super) fn controller(&self) -> Option<u8> {
        self.disk.quorum.leader
    }

    /// Says how far this broker's metadata goes.
    pub(super) fn say_applied(&self, fx: &mut Effects) {
        let (epoch, offset) = (LeaderEpoch(self.disk.image.epoch), Offset(self.disk.image.next));
        fx.event(EventKind::MetadataApplied { epoch, offset });
    }
}

/// How long to wait for a controller that is not there, after so many failures in a row: doubling up to a second
/// (Kafka's channel tries every 50 ms).
pub(super) fn controller_backoff(failures: u32) -> Duration {
    Duration::from_millis((100 << failures.min(8)).min(1_000))
}
