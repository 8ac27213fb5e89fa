//! From start to shutdown: `BrokerLifecycleManager` and `BrokerServer.startup`. Register (refused while the old session
//! lives), catch up with the metadata, load logs, be unfenced, serve; then a heartbeat each
//! `broker.heartbeat.interval.ms` until a controlled shutdown.
//!
//! Simplified: the back-off has no jitter; a start takes no time of its own; replicas begin to fetch when the
//! controller says that the broker has caught up.

use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::NodeId;
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::api::Message;
use crate::kafka::broker::Broker;
use crate::kafka::broker::observer::controller_backoff;
use crate::kafka::effects::{Effects, TimerKind};

/// First wait after a refused registration or heartbeat; doubles up to the session time-out.
const RESEND_BACKOFF: Duration = Duration::from_millis(100);
/// Between heartbeats of a broker that wants to shut down.
const SHUTDOWN_INTERVAL: Duration = Duration::from_millis(50);

/// `BrokerState`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum LifecycleState {
    /// Part of the formed cluster, not started yet.
    Formed,
    /// There is no process.
    Down,
    /// Not registered yet.
    Starting,
    /// Registered; the metadata is not caught up. Asks to stay fenced.
    Recovery,
    /// Replicas are loaded; waits to be unfenced. Nobody is served yet.
    Ready,
    /// Serves.
    Running,
    /// Serves until its leaderships are handed over.
    PendingControlledShutdown,
}

/// The broker's dealings with the controller about itself. In memory only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lifecycle {
    pub(super) state: LifecycleState,
    pub(super) broker_epoch: i64,
    /// The request that is not answered, and the controller it went to.
    in_flight: Option<(u32, u8)>,
    failures: u32,
    /// How often in a row there was no controller to talk to.
    lost: u32,
}

impl Lifecycle {
    pub(super) fn new(state: LifecycleState, broker_epoch: i64) -> Self {
        Self { state, broker_epoch, in_flight: None, failures: 0, lost: 0 }
    }

    /// True when clients and other brokers get through.
    pub(super) fn serves(&self) -> bool {
        matches!(self.state, LifecycleState::Running | LifecycleState::PendingControlledShutdown)
    }

    /// True when replicas lead or follow.
    pub(super) fn has_replicas(&self) -> bool {
        self.serves() || self.state == LifecycleState::Ready
    }

    pub(super) fn fingerprint(&self, into: &mut Fingerprint) {
        into.add((self.state, self.in_flight.is_some(), self.failures, self.lost));
    }
}

impl Broker {
    /// The process starts: as a member of the formed cluster at time 0, else from its disk.
    pub(super) fn start(&mut self, now: Time, fx: &mut Effects) {
        self.ram.started = now;
        if self.ram.lifecycle.state == LifecycleState::Formed {
            self.ram.lifecycle.state = LifecycleState::Running;
            self.load_replicas(now, fx);
        } else {
            self.ram.lifecycle = Lifecycle::new(LifecycleState::Starting, -1);
            self.incarnation += 1;
            // The clean shutdown file is read once and deleted.
            self.ram.clean_epoch = std::mem::replace(&mut self.disk.clean_epoch, -1);
        }
        self.communicate(now, fx);
        self.begin_to_observe(now, fx);
        self.ram.transactions.start(now, fx);
        fx.set_timer(TimerKind::IsrScan, 0, now + self.isr_scan_interval());
        self.schedule_log_flush(now, fx);
        self.schedule_storage(now, fx);
    }

    /// `SIGTERM`: leaderships are handed over first (`controlled.shutdown.enable`), then the process exits.
    pub fn stop(&mut self, now: Time, fx: &mut Effects) {
        let state = self.ram.lifecycle.state;
        if matches!(state, LifecycleState::Down | LifecycleState::PendingControlledShutdown) {
            return;
        }
        if state != LifecycleState::Running || !self.config.brokers.controlled_shutdown {
            return self.shut_down(fx);
        }
        self.ram.last_step = now;
        self.ram.lifecycle.state = LifecycleState::PendingControlledShutdown;
        self.ram.lifecycle.in_flight = None;
        self.communicate(now, fx);
    }

    /// The orderly end: logs and checkpoints are written, and the epoch that proves it.
    fn shut_down(&mut self, fx: &mut Effects) {
        for replica in self.ram.replicas.iter().flatten() {
            if let Some(log) = &mut self.disk.logs[replica.partition.index()] {
                if log.flush() {
                    let (partition, offset) = (replica.partition, log.end());
                    fx.event(EventKind::Flushed { partition, offset });
                }
                log.checkpoint_high_watermark(replica.high_watermark);
                log.checkpoint_log_start();
            }
        }
        self.disk.clean_epoch = self.ram.lifecycle.broker_epoch;
        self.ram.stopped = true;
        fx.exit();
    }

    /// Sends the next registration or heartbeat to the controller it knows. Without an answer within half the session
    /// time-out it is sent again (KAFKA-14392).
    pub(super) fn communicate(&mut self, now: Time, fx: &mut Effects) {
        let lifecycle = &mut self.ram.lifecycle;
        let message = match lifecycle.state {
            LifecycleState::Formed | LifecycleState::Down => return,
            LifecycleState::Starting => Message::BrokerRegistration {
                incarnation: self.incarnation,
                clean_epoch: self.ram.clean_epoch,
                directory: self.disk.directory,
            },
            state => Message::BrokerHeartbeat {
                broker_epoch: lifecycle.broker_epoch,
                metadata_offset: self.disk.image.next - 1,
                want_fence: state == LifecycleState::Recovery,
                want_shut_down: state == LifecycleState::PendingControlledShutdown,
            },
        };
        let Some(controller) = self.disk.quorum.leader else {
            return self.no_controller(now, fx);
        };
        let correlation = fx.request(NodeId::Controller(controller), message);
        lifecycle.in_flight = Some((correlation, controller));
        let patience = Duration(self.config.brokers.broker_session_timeout.0 / 2);
        fx.set_timer(TimerKind::BrokerHeartbeat, 0, now + patience);
    }

    /// There is nobody to talk to: the channel keeps the request and looks again.
    fn no_controller(&mut self, now: Time, fx: &mut Effects) {
        let lifecycle = &mut self.ram.lifecycle;
        lifecycle.in_flight = None;
        let wait = controller_backoff(lifecycle.lost);
        lifecycle.lost += 1;
        fx.set_timer(TimerKind::BrokerHeartbeat, 0, now + wait);
    }

    /// The connection to a controller broke.
    pub(super) fn communication_lost(&mut self, now: Time, controller: u8, fx: &mut Effects) {
        if self.ram.lifecycle.in_flight.is_some_and(|(_, to)| to == controller) {
            self.no_controller(now, fx);
        }
    }

    /// Another controller leads: what waited for one is sent at once.
    pub(super) fn communicate_again(&mut self, now: Time, fx: &mut Effects) {
        if self.ram.lifecycle.in_flight.is_none() && self.ram.lifecycle.lost > 0 {
            self.communicate(now, fx);
        }
    }

    /// True for the answer that is waited for, from the controller that is active.
    fn is_heard(
        &mut self,
        now: Time,
        correlation: u32,
        error: ErrorCode,
        fx: &mut Effects,
    ) -> bool {
        if self.ram.lifecycle.in_flight.is_none_or(|(sent, _)| sent != correlation) {
            return false;
        }
        if error == ErrorCode::NotController {
            self.no_controller(now, fx);
            return false;
        }
        self.ram.lifecycle.lost = 0;
        true
    }

    /// An answer says no: try again later.
    fn communication_failed(&mut self, now: Time, fx: &mut Effects) {
        let lifecycle = &mut self.ram.lifecycle;
        lifecycle.in_flight = None;
        let doublings = lifecycle.failures.min(16);
        lifecycle.failures += 1;
        let wait =
            Duration(RESEND_BACKOFF.0 << doublings).min(self.config.brokers.broker_session_timeout);
        fx.set_timer(TimerKind::BrokerHeartbeat, 0, now + wait);
    }

    /// The answer to a registration.
    pub(super) fn registered(
        &mut self,
        now: Time,
        correlation: u32,
        error: ErrorCode,
        broker_epoch: i64,
        fx: &mut Effects,
    ) {
        if !self.is_heard(now, correlation, error, fx) {
            return;
        }
        if error != ErrorCode::None {
            return self.communication_failed(now, fx);
        }
        self.ram.lifecycle = Lifecycle::new(LifecycleState::Recovery, broker_epoch);
        self.communicate(now, fx);
    }

    /// The answer to a heartbeat.
    pub(super) fn heartbeat_answered(
        &mut self,
        now: Time,
        correlation: u32,
        message: Message,
        fx: &mut Effects,
    ) {
        let Message::BrokerHeartbeatResponse { error, is_fenced, is_caught_up, should_shut_down } =
            message
        else {
            unreachable!("the caller matched it");
        };
        if !self.is_heard(now, correlation, error, fx) {
            return;
        }
        if error != ErrorCode::None {
            return self.communication_failed(now, fx);
        }
        self.ram.lifecycle.in_flight = None;
        self.ram.lifecycle.failures = 0;
        let mut wait = self.config.brokers.broker_heartbeat_interval;
        match self.ram.lifecycle.state {
            LifecycleState::Recovery if is_caught_up => {
                self.ram.lifecycle.state = LifecycleState::Ready;
                self.load_replicas(now, fx);
                wait = Duration::ZERO;
            }
            LifecycleState::Ready if !is_fenced => {
                self.ram.lifecycle.state = LifecycleState::Running;
            }
            LifecycleState::PendingControlledShutdown if should_shut_down => {
                return self.shut_down(fx);
            }
            LifecycleState::PendingControlledShutdown => wait = SHUTDOWN_INTERVAL,
            _ => {}
        }
        if wait == Duration::ZERO {
            return self.communicate(now, fx);
        }
        fx.set_timer(TimerKind::BrokerHeartbeat, 0, now + wait);
    }
}
