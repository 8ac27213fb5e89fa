//! Finding the group's coordinator, and giving it up.
//!
//! Kafka: `AbstractCoordinator.ensureCoordinatorReady`, `lookupCoordinator`, `markCoordinatorUnknown`. Any broker can
//! be asked; one question at a time, with a back-off between failed ones.

use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::BrokerId;
use crate::base::time::Time;
use crate::kafka::api::Message;
use crate::kafka::consumer::{Consumer, Request, is_retriable, wire};
use crate::kafka::effects::Effects;

/// Where the coordinator is.
#[derive(Clone, Debug, Default)]
pub(super) struct Coordinator {
    pub(super) known: Option<BrokerId>,
    finding: bool,
    /// Failed attempts in a row.
    failures: u32,
    /// Not before this moment.
    pub(super) retry_at: Time,
    /// Counts the coordinators given up; answers of an earlier term are not believed.
    pub(super) term: u32,
    /// Why it cannot be found; thrown by the next call that needs it.
    fatal: Option<Exception>,
}

impl Coordinator {
    /// Adds this state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.known, self.finding, self.failures));
        into.add_time(now, self.retry_at.max(now));
    }
}

impl Consumer {
    /// The coordinator, when it is known and its connection is not broken.
    pub(super) fn usable_coordinator(&mut self, now: Time, fx: &mut Effects) -> Option<BrokerId> {
        let broker = self.coordinator.known?;
        if self.is_unavailable(now, broker) {
            self.mark_coordinator_unknown(now, fx);
        }
        self.coordinator.known
    }

    /// True while a broken connection may not be opened again (`isUnavailable`).
    pub(super) fn is_unavailable(&self, now: Time, broker: BrokerId) -> bool {
        let at = self.network.ready_at(broker);
        at != Time::NEVER && at > now
    }

    /// Makes sure that the coordinator is known: asks for it, one question at a time. `Ok(false)`: not yet.
    ///
    /// # Errors
    /// Why it cannot be found at all.
    pub(super) fn ensure_coordinator(
        &mut self,
        now: Time,
        fx: &mut Effects,
    ) -> Result<bool, Exception> {
        if self.usable_coordinator(now, fx).is_some() {
            return Ok(true);
        }
        if let Some(fatal) = self.coordinator.fatal.take() {
            return Err(fatal);
        }
        self.look_up_coordinator(now, fx);
        Ok(false)
    }

    /// `lookupCoordinator`.
    pub(super) fn look_up_coordinator(&mut self, now: Time, fx: &mut Effects) {
        let Some(group) = self.group else { return };
        if self.coordinator.finding || self.coordinator.retry_at > now {
            return;
        }
        let Some(broker) = self.network.least_loaded_node(now, fx) else {
            return self.find_failed(now, wire(ErrorCode::BrokerNotAvailable), fx);
        };
        if self.network.ready(now, broker, fx) {
            let message = Message::FindCoordinator { group };
            let timeout = self.config.request_timeout;
            self.network.send(now, broker, (message, Request::FindCoordinator), timeout, fx);
            self.coordinator.finding = true;
        }
    }

    pub(super) fn found_coordinator(&mut self, now: Time, message: Message, fx: &mut Effects) {
        let Message::FindCoordinatorResponse { error, coordinator } = message else {
            unreachable!("FindCoordinator is answered by its own response");
        };
        match coordinator {
            Some(broker) if error == ErrorCode::None => {
                self.coordinator.finding = false;
                self.coordinator.known = Some(broker);
                self.network.ready(now, broker, fx);
                self.heartbeat.reset_session(now, self.config.session_timeout);
                if self.is_unavailable(now, broker) {
                    // Everybody still names a broker that does not answer: wait before asking again.
                    self.mark_coordinator_unknown(now, fx);
                    self.back_off(now, fx);
                    return self.fail_waiting_commits();
                }
                self.coordinator.failures = 0;
                self.start_waiting_commits(now, fx);
            }
            _ => self.find_failed(now, wire(error), fx),
        }
    }

    pub(super) fn find_failed(&mut self, now: Time, exception: Exception, fx: &mut Effects) {
        self.coordinator.finding = false;
        // No broker to ask is a retriable failure as well (`NoAvailableBrokersException`).
        let no_broker = exception == wire(ErrorCode::BrokerNotAvailable);
        if !is_retriable(exception) && !no_broker {
            self.coordinator.fatal = Some(exception);
        }
        self.back_off(now, fx);
        self.network.metadata_mut().request_update(false);
        self.fail_waiting_commits();
    }

    fn back_off(&mut self, now: Time, fx: &mut Effects) {
        let wait = self.retry.backoff(self.coordinator.failures, fx);
        self.coordinator.failures += 1;
        self.coordinator.retry_at = now + wait;
    }

    /// An answer of a broker that is not the coordinator (any more).
    pub(super) fn note_coordinator_error(&mut self, now: Time, error: ErrorCode, fx: &mut Effects) {
        if matches!(error, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
            self.mark_coordinator_unknown(now, fx);
        }
    }

    /// The coordinator is not there, or says that it is none any more. What was asked of it fails.
    pub(super) fn mark_coordinator_unknown(&mut self, now: Time, fx: &mut Effects) {
        if self.coordinator.known.take().is_none() {
            return;
        }
        self.coordinator.term += 1;
        self.membership.coordinator_lost();
        if self.heartbeat_is_in_flight() {
            self.member_heartbeat_failed(now, fx);
        }
        self.heartbeat.failed(now, self.retry, fx);
        self.fail_sent_commits(fx);
        self.offset_fetch_failed();
    }

    /// When a call that waits for the coordinator looks again: while a question is on its way, when it is answered.
    pub(super) fn coordinator_wake(&self, now: Time) -> Time {
        let retry_at = self.coordinator.retry_at;
        if self.coordinator.finding || retry_at <= now { Time::NEVER } else { retry_at }
    }
}
