//! The heartbeat thread: it keeps the member in its group while the application works, and takes it out when the
//! application stops calling `poll()`.
//!
//! Kafka: `Heartbeat` and `AbstractCoordinator.HeartbeatThread` (KIP-62). It sleeps from JoinGroup to its answer.

use crate::base::config::ConsumerConfig;
use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::time::{Duration, Time};
use crate::kafka::api::Message;
use crate::kafka::backoff::ExponentialBackoff;
use crate::kafka::consumer::membership::MemberState;
use crate::kafka::consumer::{Consumer, GroupRequest, Identity, wire};
use crate::kafka::effects::Effects;

/// Its clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heartbeat {
    /// The thread exists: since the first attempt to join.
    pub(super) running: bool,
    enabled: bool,
    /// The next heartbeat is due.
    next_at: Time,
    /// The coordinator has not answered for `session.timeout.ms`.
    session_at: Time,
    /// The application has not called `poll()` for `max.poll.interval.ms`.
    poll_at: Time,
    failures: u32,
    /// Why the thread ended by itself; the next `poll()` throws it.
    failed: Option<Exception>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            running: false,
            enabled: false,
            next_at: Time::NEVER,
            session_at: Time::NEVER,
            poll_at: Time::NEVER,
            failures: 0,
            failed: None,
        }
    }
}

impl Heartbeat {
    /// The member has joined: all clocks start anew.
    pub(super) fn enable(&mut self, now: Time, config: &ConsumerConfig) {
        self.enabled = self.running;
        self.session_at = now + config.session_timeout;
        self.poll_at = now + config.max_poll_interval;
        self.next_at = now + config.heartbeat_interval;
    }

    /// `poll()` was called.
    ///
    /// # Errors
    /// Why the thread ended, once.
    pub(super) fn polled(
        &mut self,
        now: Time,
        max_poll_interval: Duration,
    ) -> Result<(), Exception> {
        if let Some(exception) = self.failed.take() {
            self.stop();
            return Err(exception);
        }
        self.poll_at = now + max_poll_interval;
        Ok(())
    }

    /// The coordinator showed life.
    pub(super) fn reset_session(&mut self, now: Time, session_timeout: Duration) {
        self.session_at = now + session_timeout;
    }

    /// A heartbeat failed: the next one follows after a back-off.
    pub(super) fn failed(&mut self, now: Time, retry: ExponentialBackoff, fx: &mut Effects) {
        if self.enabled {
            self.next_at = now + retry.backoff(self.failures, fx);
            self.failures += 1;
        }
    }

    /// The thread ends.
    pub(super) fn stop(&mut self) {
        self.running = false;
        self.enabled = false;
    }

    /// Adds this state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.running, self.enabled, self.failures, self.failed));
        if self.enabled {
            for at in [self.next_at, self.session_at, self.poll_at] {
                into.add_time(now, at);
            }
        }
    }
}

impl Consumer {
    /// One turn of the thread.
    pub(super) fn heartbeat_thread(&mut self, now: Time, fx: &mut Effects) {
        self.flush_leave(now, fx);
        if !self.heartbeat.enabled {
            return;
        }
        if self.membership.has_not_joined() {
            self.heartbeat.enabled = false;
            return;
        }
        let Some(broker) = self.usable_coordinator(now, fx) else {
            return self.look_up_coordinator(now, fx);
        };
        if self.heartbeat.session_at <= now {
            self.mark_coordinator_unknown(now, fx);
            self.look_up_coordinator(now, fx);
        } else if self.heartbeat.poll_at <= now {
            if self.is_librdkafka() {
                self.store.poll_exceeded();
            }
            self.leave_group(now, true, fx);
        } else if self.heartbeat.next_at <= now && self.network.ready(now, broker, fx) {
            self.heartbeat.next_at = now + self.config.heartbeat_interval;
            let Some(group) = self.group else { return };
            let sent = self.membership.identity;
            let Identity { generation, member } = sent;
            let instance = self.instance(&fx.names);
            let message = Message::Heartbeat { group, member, instance, generation };
            let timeout = self.config.request_timeout;
            self.send_to_group(now, (message, GroupRequest::Heartbeat(sent)), timeout, fx);
        }
    }

    /// When the thread wakes up although nothing arrives.
    pub(super) fn heartbeat_due(&self, now: Time) -> Time {
        let Heartbeat { enabled, next_at, session_at, poll_at, .. } = self.heartbeat;
        if !enabled {
            return Time::NEVER;
        }
        if self.coordinator.known.is_none() {
            return self.coordinator_wake(now);
        }
        // A heartbeat that is due and could not be sent waits for the connection.
        let next_at = if next_at > now { next_at } else { Time::NEVER };
        next_at.min(session_at).min(poll_at)
    }

    /// What the coordinator said to a heartbeat.
    pub(super) fn heartbeat_answered(
        &mut self,
        now: Time,
        sent: Identity,
        error: ErrorCode,
        fx: &mut Effects,
    ) {
        let unchanged = sent == self.membership.identity;
        let mut alive = true;
        match error {
            ErrorCode::RebalanceInProgress => {
                if self.membership.state == MemberState::Stable {
                    self.membership.rejoin_needed = true;
                }
            }
            ErrorCode::FencedInstanceId if unchanged => {
                self.membership.reset_and_rejoin(true);
                self.heartbeat.enabled = false;
                self.heartbeat.failed = Some(wire(error));
                return;
            }
            ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId if unchanged => {
                self.membership.reset_and_rejoin(error == ErrorCode::UnknownMemberId);
                alive = false;
            }
            ErrorCode::None
            | ErrorCode::IllegalGeneration
            | ErrorCode::UnknownMemberId
            | ErrorCode::FencedInstanceId => {}
            _ => {
                self.note_coordinator_error(now, error, fx);
                alive = false;
            }
        }
        if alive {
            self.heartbeat.failures = 0;
            self.heartbeat.session_at = now + self.config.session_timeout;
        } else {
            self.heartbeat.failed(now, self.retry, fx);
        }
    }
}
