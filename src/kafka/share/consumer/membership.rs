//! The share consumer as a member of its group (`ShareMembershipManager`, `ShareHeartbeatRequestManager`) and the way
//! to its coordinator (`CoordinatorRequestManager`).

use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, MemberId, PartitionId, TopicId};
use crate::base::time::{Duration, Time};
use crate::kafka::api::Message;
use crate::kafka::effects::{Effects, List};
use crate::kafka::group::share::{JOIN, LEAVE};
use crate::kafka::share::consumer::{Request, ShareConsumer};

/// Where the member stands (`MemberState`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum State {
    /// It subscribes to nothing.
    #[default]
    Unsubscribed,
    /// It says so with its next heartbeat.
    Joining,
    /// It is a member.
    Stable,
    /// It says good-bye; the second: because `poll()` was not called for `max.poll.interval.ms`.
    Leaving,
    Stale,
    /// The coordinator will not have it.
    Fatal,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    member: MemberId,
    state: State,
    topics: Vec<TopicId>,
    epoch: i32,
    assigned: Vec<PartitionId>,
    /// The next heartbeat; now, when there is something to say.
    next_at: Time,
    interval: Duration,
    in_flight: bool,
    /// The last heartbeat had no good answer, so the next says everything again, and is told everything.
    in_full: bool,
    failures: u32,
    /// `max.poll.interval.ms` after the last `poll()`.
    poll_at: Time,
    coordinator: Option<BrokerId>,
    finding: bool,
    find_failures: u32,
    find_at: Time,
    /// What the next `poll()` throws.
    fatal: Option<Exception>,
}

impl Default for Membership {
    fn default() -> Self {
        Self {
            member: MemberId::UNKNOWN,
            state: State::Unsubscribed,
            topics: Vec::new(),
            epoch: JOIN,
            assigned: Vec::new(),
            next_at: Time::NEVER,
            interval: Duration::from_secs(5),
            in_flight: false,
            in_full: false,
            failures: 0,
            poll_at: Time::NEVER,
            coordinator: None,
            finding: false,
            find_failures: 0,
            find_at: Time::ZERO,
            fatal: None,
        }
    }
}

impl Membership {
    /// Kafka's member ids are random and chosen by the client; ours begin with the rank of the client.
    pub(super) fn choose_id(&mut self, rank: u16, fx: &mut Effects) {
        let own = 1 + fx.choose(u64::from(u16::MAX) - 1) as u32;
        self.member = MemberId(u32::from(rank) << 16 | own);
    }

    pub(super) fn member(&self) -> MemberId {
        self.member
    }

    pub(super) fn assigned(&self) -> &[PartitionId] {
        &self.assigned
    }

    /// True once the coordinator has answered: before, there is nothing to fetch under.
    pub(super) fn is_member(&self) -> bool {
        matches!(self.state, State::Stable)
    }

    pub(super) fn is_subscribed(&self) -> bool {
        !self.topics.is_empty()
    }

    /// What the application is to be told, once.
    pub(super) fn take_fatal(&mut self) -> Option<Exception> {
        self.fatal.take()
    }

    /// True while good-bye is said.
    pub(super) fn is_leaving(&self) -> bool {
        self.state == State::Leaving
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.member, self.state, &self.topics, self.epoch, &self.assigned));
        into.add((self.in_flight, self.in_full, self.failures, self.coordinator, self.finding));
        into.add(self.find_failures);
        for at in [self.next_at, self.poll_at, self.find_at] {
            into.add_time(now, at);
        }
    }
}

impl ShareConsumer {
    /// `subscribe(topics)`.
    pub(super) fn subscribe(&mut self, now: Time, mut topics: Vec<TopicId>) {
        topics.sort_unstable();
        topics.dedup();
        if topics == self.membership.topics {
            return;
        }
        self.network.metadata_mut().request_update_for_new_topic();
        self.membership.topics = topics;
        self.membership.state = State::Joining;
        self.membership.epoch = JOIN;
        self.membership.next_at = now;
        self.membership.poll_at = now + self.config.max_poll_interval;
    }

    /// `poll()` was called: the application lives.
    pub(super) fn polled_now(&mut self, now: Time) {
        let membership = &mut self.membership;
        membership.poll_at = now + self.config.max_poll_interval;
        if membership.state == State::Stale && !membership.in_flight {
            membership.state = State::Joining;
            membership.epoch = JOIN;
            membership.next_at = now;
        }
    }

    /// The member goes: it says so with its next heartbeat.
    pub(super) fn leave_group(&mut self, now: Time) {
        let membership = &mut self.membership;
        membership.topics.clear();
        membership.assigned.clear();
        let known = matches!(membership.state, State::Stable | State::Joining);
        membership.state = if known { State::Leaving } else { State::Unsubscribed };
        membership.next_at = now;
    }

    /// Nobody waits for the good-bye any more.
    pub(super) fn forget_group(&mut self) {
        self.membership.state = State::Unsubscribed;
    }

    /// One turn of the heartbeat.
    pub(super) fn heartbeat_thread(&mut self, now: Time, fx: &mut Effects) {
        let Some(group) = self.group else { return };
        if matches!(self.membership.state, State::Unsubscribed | State::Fatal) {
            return;
        }
        if self.membership.state == State::Stable && self.membership.poll_at <= now {
            self.membership.state = State::Stale;
            self.membership.assigned.clear();
            self.membership.next_at = now;
        }
        let Some(broker) = self.membership.coordinator else {
            return self.look_up_coordinator(now, fx);
        };
        let at = self.network.ready_at(broker);
        if at != Time::NEVER && at > now {
            return self.coordinator_lost(now, fx);
        }
        let Membership { member, state, in_flight, in_full, next_at, .. } = self.membership;
        if in_flight || next_at > now || !self.network.ready(now, broker, fx) {
            return;
        }
        let (epoch, topics) = match state {
            State::Leaving | State::Stale => (LEAVE, List::EMPTY),
            State::Joining => (JOIN, fx.keep(&self.membership.topics)),
            _ if in_full => (self.membership.epoch, fx.keep(&self.membership.topics)),
            _ => (self.membership.epoch, List::EMPTY),
        };
        let message = Message::ShareGroupHeartbeat { group, member, epoch, topics };
        let timeout = self.config.request_timeout;
        self.network.send(now, broker, (message, Request::Heartbeat { epoch }), timeout, fx);
        self.membership.in_flight = true;
        self.membership.in_full = false;
        self.membership.next_at = now + self.membership.interval;
    }

    /// When the thread has something to do although nothing arrives.
    pub(super) fn heartbeat_due(&self, now: Time) -> Time {
        let membership = &self.membership;
        if matches!(membership.state, State::Unsubscribed | State::Fatal) {
            return Time::NEVER;
        }
        let later = |at: Time| if at > now { at } else { Time::NEVER };
        if membership.coordinator.is_none() {
            return if membership.finding { Time::NEVER } else { later(membership.find_at) };
        }
        let beat = if membership.in_flight { Time::NEVER } else { later(membership.next_at) };
        let poll = if membership.state == State::Stable { membership.poll_at } else { Time::NEVER };
        beat.min(later(poll))
    }

    pub(super) fn heartbeat_answered(
        &mut self,
        now: Time,
        sent: i32,
        message: Message,
        fx: &mut Effects,
    ) {
        let Message::ShareGroupHeartbeatResponse {
            error,
            epoch,
            interval_ms,
            assigned,
            partitions,
        } = message
        else {
            unreachable!("a heartbeat is answered by its own response");
        };
        self.membership.in_flight = false;
        if sent == LEAVE {
            if self.membership.state == State::Leaving {
                self.membership.state = State::Unsubscribed;
            }
            // One that is stale waits for the next `poll()`.
            self.membership.next_at = Time::NEVER;
            return;
        }
        self.membership.in_full = error != ErrorCode::None;
        match error {
            ErrorCode::None => {}
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                self.coordinator_lost(now, fx);
                return;
            }
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => {
                if matches!(self.membership.state, State::Stable | State::Joining) {
                    self.membership.assigned.clear();
                    self.membership.state = State::Joining;
                    self.membership.epoch = JOIN;
                    self.membership.next_at = now;
                }
                return;
            }
            ErrorCode::CoordinatorLoadInProgress => return self.back_off_heartbeat(now, fx),
            error => {
                self.membership.state = State::Fatal;
                self.membership.assigned.clear();
                self.membership.fatal = Some(Exception::Wire(error));
                return;
            }
        }
        self.membership.failures = 0;
        if !matches!(self.membership.state, State::Stable | State::Joining) {
            return;
        }
        self.membership.interval = Duration::from_millis(interval_ms.into());
        self.membership.next_at = now + self.membership.interval;
        if self.membership.state == State::Joining && sent != JOIN {
            self.membership.next_at = now;
            return;
        }
        self.membership.epoch = epoch;
        self.membership.state = State::Stable;
        if assigned {
            self.membership.assigned = fx.pools.get(partitions).to_vec();
            // The member acknowledges the assignment at once.
            self.membership.next_at = now;
        }
    }

    /// The heartbeat will not be answered.
    pub(super) fn heartbeat_lost(&mut self, now: Time, fx: &mut Effects) {
        self.coordinator_lost(now, fx);
        self.back_off_heartbeat(now, fx);
    }

    fn back_off_heartbeat(&mut self, now: Time, fx: &mut Effects) {
        self.membership.next_at = now + self.retry.backoff(self.membership.failures, fx);
        self.membership.failures += 1;
    }

    fn coordinator_lost(&mut self, now: Time, fx: &mut Effects) {
        self.membership.coordinator = None;
        self.membership.in_full |= self.membership.in_flight;
        self.membership.in_flight = false;
        self.membership.next_at = now;
        self.look_up_coordinator(now, fx);
    }

    fn look_up_coordinator(&mut self, now: Time, fx: &mut Effects) {
        let Some(group) = self.group else { return };
        if self.membership.finding || self.membership.find_at > now {
            return;
        }
        let Some(broker) = self.network.least_loaded_node(now, fx) else {
            return self.find_failed(now, Exception::Network, fx);
        };
        if self.network.ready(now, broker, fx) {
            let message = Message::FindCoordinator { group };
            let timeout = self.config.request_timeout;
            self.network.send(now, broker, (message, Request::FindCoordinator), timeout, fx);
            self.membership.finding = true;
        }
    }

    pub(super) fn found_coordinator(&mut self, now: Time, message: Message, fx: &mut Effects) {
        let Message::FindCoordinatorResponse { error, coordinator } = message else {
            unreachable!("FindCoordinator is answered by its own response");
        };
        match coordinator {
            Some(broker) if error == ErrorCode::None => {
                self.membership.finding = false;
                self.membership.coordinator = Some(broker);
                self.network.ready(now, broker, fx);
                let at = self.network.ready_at(broker);
                if at != Time::NEVER && at > now {
                    // Everybody still names a broker that does not answer.
                    self.membership.coordinator = None;
                    return self.find_failed(now, Exception::Network, fx);
                }
                self.membership.find_failures = 0;
            }
            _ => self.find_failed(now, Exception::Wire(error), fx),
        }
    }

    pub(super) fn find_failed(&mut self, now: Time, exception: Exception, fx: &mut Effects) {
        self.membership.finding = false;
        let retriable = match exception {
            Exception::Wire(error) => error.is_retriable(),
            _ => true,
        };
        if !retriable {
            self.membership.fatal = Some(exception);
        }
        self.membership.find_at = now + self.retry.backoff(self.membership.find_failures, fx);
        self.membership.find_failures += 1;
        self.network.metadata_mut().request_update(false);
    }
}
