//! The KRaft controller: `QuorumController` with `ReplicationControlManager` and `ClusterControlManager`. One of the
//! quorum is active; every decision of it is a record of the metadata log, and brokers learn of it by fetching that
//! log.
//!
//! The active controller acts on its records before they are committed, and answers when they are
//! (`DeferredEventQueue`); if it loses its leadership before, it goes back to what is committed and answers
//! `NOT_CONTROLLER`. A controller becomes active when the first record of its epoch is committed, and gives every
//! unfenced broker a whole session.
//!
//! Disk and memory: the log and the election state survive a kill; sessions, waiting fetches and deferred answers do
//! not. `registry` is what follows from the records, `answers` what waits for a commit, the quorum itself
//! [`raft`](crate::kafka::raft).
//!
//! Simplified: a session ends exactly when it runs out (Kafka looks every quarter of the time-out). A registration
//! that a dead process left in the network is refused once a later process has registered (Kafka cannot tell them
//! apart, and the broker would stay fenced until its next start).

pub mod admin;
mod answers;
mod partitions;
mod registry;
mod sessions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::base::broker_set::BrokerSet;
use crate::base::config::{ClusterConfig, Defect};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, LeaderEpoch, PartitionId};
use crate::base::names::Names;
use crate::base::time::Time;
use crate::event::EventKind;
use crate::kafka::api::{Message, MetadataRecord, PartitionRegistration};
use crate::kafka::controller::answers::DeferredAnswers;
use crate::kafka::controller::registry::Registry;
use crate::kafka::controller::sessions::Sessions;
use crate::kafka::effects::{Effects, Input, TimerKind, Token};
use crate::kafka::raft::RaftClient;

/// The cluster as it stands at time 0: formed, all brokers registered and unfenced, topics created, each partition led
/// by its first replica, all replicas in the ISR, all epochs 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Formation {
    /// All brokers.
    pub brokers: BrokerSet,
    /// All partitions, by [`PartitionId`].
    pub partitions: Vec<PartitionRegistration>,
}

impl Formation {
    /// The formation of a cluster with these brokers and partitions.
    pub fn of(names: &Names) -> Self {
        let partition =
            |(n, partition): (usize, &crate::base::names::Partition)| PartitionRegistration {
                partition: PartitionId(n as u16),
                replicas: partition.replicas,
                leader: partition.replicas.as_slice().first().copied(),
                leader_epoch: LeaderEpoch(0),
                partition_epoch: 0,
                isr: partition.replicas.set(),
                elr: BrokerSet::EMPTY,
                last_known_leader: None,
                adding: BrokerSet::EMPTY,
                removing: BrokerSet::EMPTY,
            };
        Self {
            brokers: names.broker_ids().collect(),
            partitions: names
                .partitions
                .iter()
                .enumerate()
                .filter(|(n, _)| !names.is_later(PartitionId(*n as u16)))
                .map(partition)
                .collect(),
        }
    }

    /// The metadata log of the formed cluster. A broker's epoch is the offset of its registration.
    pub fn records(&self) -> impl Iterator<Item = MetadataRecord> + '_ {
        let register = (self.brokers.iter().enumerate()).map(|(n, broker)| {
            let (incarnation, epoch) = (0, n as i64);
            MetadataRecord::RegisterBroker { broker, incarnation, epoch }
        });
        let unfence = self.brokers.iter().map(|broker| MetadataRecord::FenceBroker {
            broker,
            fenced: false,
            shutting_down: false,
        });
        let partitions = self.partitions.iter().copied().map(MetadataRecord::Partition);
        register.chain(unfence).chain(partitions)
    }
}

/// What the controller knows of a broker (`BrokerRegistration`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct BrokerRegistration {
    /// The offset of its registration record; -1 when it never registered.
    epoch: i64,
    incarnation: u32,
    fenced: bool,
    shutting_down: bool,
}

/// A controller.
#[derive(Clone, Debug)]
pub struct Controller {
    number: u8,
    config: Arc<ClusterConfig>,
    raft: RaftClient,
    /// What follows from the committed records this controller knows of.
    committed: Registry,
    /// How many records that are.
    committed_end: i64,
    /// Of the active controller: what follows from all its records, those not committed yet included.
    decided: Registry,
    /// The formed cluster has been announced as events.
    announced: bool,
    /// The epoch under which it is the active controller. In memory only, with all that follows.
    active: Option<i32>,
    sessions: Sessions,
    deferred: DeferredAnswers,
}

impl Controller {
    /// A controller of the formed cluster, before its process starts; one of `voters`.
    pub fn formed(
        number: u8,
        voters: u8,
        config: Arc<ClusterConfig>,
        formation: &Formation,
    ) -> Self {
        let slots = formation.brokers.iter().map(|b| b.index() + 1).max().unwrap_or(1);
        let mut committed = Registry::new(slots, config.topics.clone());
        formation.records().for_each(|record| committed.replay(record));
        let raft = RaftClient::formed(number, voters, &config.brokers, formation.records());
        Self {
            number,
            sessions: Sessions::new(slots, config.brokers.broker_session_timeout),
            config,
            committed_end: raft.end(),
            raft,
            decided: committed.clone(),
            committed,
            announced: false,
            active: None,
            deferred: DeferredAnswers::default(),
        }
    }

    /// Handles one input.
    pub fn step(&mut self, now: Time, input: Input, fx: &mut Effects) {
        match input {
            Input::Start => self.start(now, fx),
            Input::Request { token, message } => {
                if !self.raft.handle(now, token, message, fx) {
                    self.request(now, token, message, fx);
                }
            }
            Input::Response { from, correlation, message } => {
                self.raft.answered(now, from, correlation, message, fx);
            }
            Input::Timeout(timer) if self.active.is_some() => match timer.kind {
                TimerKind::BrokerSession => self.fence_stale_brokers(now, fx),
                TimerKind::LeaderImbalance => self.balance_leaders(now, fx),
                TimerKind::UncleanElection => self.elect_unclean_leaders(now, fx),
                _ => {}
            },
            Input::Timeout(_) => {}
            Input::PeerGone { peer } => {
                self.raft.forget(peer);
                self.deferred.forget(peer, fx);
            }
            Input::Disconnected { peer } => self.raft.disconnected(now, peer),
        }
        self.raft.poll(now, fx);
        self.follow_raft(now, fx);
        self.raft.answer_waiting(now, fx);
        self.sessions.set_timer(fx);
        if self.raft.may_exit(now) {
            fx.exit();
        }
    }

    /// `SIGTERM`: an active controller resigns and waits until another is elected.
    pub fn stop(&mut self, now: Time, fx: &mut Effects) {
        self.raft.shut_down(now);
        self.raft.poll(now, fx);
        self.follow_raft(now, fx);
        if self.raft.may_exit(now) {
            fx.exit();
        }
    }

    /// The process is gone; the log stays.
    pub fn kill(&mut self) {
        self.raft.kill();
        self.active = None;
        self.deferred = DeferredAnswers::default();
        self.sessions.clear();
    }

    /// What is committed about a partition, as far as this controller knows.
    pub fn registration(&self, partition: PartitionId) -> &PartitionRegistration {
        &self.committed.partitions[partition.index()]
    }

    /// Every partition, by id, likewise.
    pub fn registrations(&self) -> &[PartitionRegistration] {
        &self.committed.partitions
    }

    /// The brokers that are registered and not fenced, likewise.
    pub fn unfenced(&self) -> BrokerSet {
        self.committed.unfenced()
    }

    /// Its number, from 1.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// How many metadata records this controller knows to be committed, or knew before its process ended.
    pub fn committed_end(&self) -> i64 {
        self.committed_end
    }

    /// The epoch under which this is the active controller.
    pub fn active_epoch(&self) -> Option<i32> {
        self.active
    }

    /// Its part in the quorum.
    pub fn raft(&self) -> &RaftClient {
        &self.raft
    }

    /// Adds everything that decides the controller's future.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.number, self.active));
        self.decided.fingerprint(into);
        self.committed.fingerprint(into);
        self.deferred.fingerprint(self.committed_end, into);
        self.raft.fingerprint(now, into);
        self.sessions.fingerprint(now, into);
    }

    fn broker_ids(&self) -> impl Iterator<Item = BrokerId> + use<> {
        (1..self.decided.brokers.len()).map(|n| BrokerId(n as u8))
    }

    /// Brokers that may lead and join ISRs: not fenced, not in controlled shutdown.
    fn active(&self) -> BrokerSet {
        let active = |b: &BrokerId| {
            let registration = &self.decided.brokers[b.index()];
            !registration.fenced && !registration.shutting_down
        };
        self.broker_ids().filter(active).collect()
    }

    fn start(&mut self, now: Time, fx: &mut Effects) {
        self.raft.start(now, fx);
        if self.announced {
            return;
        }
        self.announced = true;
        self.raft.announce(fx);
        if !fx.tells_committed(self.committed_end) {
            return;
        }
        for broker in self.committed.unfenced().iter() {
            fx.event(EventKind::BrokerUnfenced { broker });
        }
        for partition in self.committed.partitions.iter().filter(|p| p.exists()) {
            fx.event(registry::changed(partition));
        }
    }

    /// Learns what the quorum has decided: commits, and whether this controller is the active one.
    fn follow_raft(&mut self, now: Time, fx: &mut Effects) {
        self.apply_committed(fx);
        let active = self.raft.active_epoch();
        if self.active != active {
            if self.active.is_some() {
                self.renounce(fx);
            }
            self.active = active;
            if active.is_some() {
                self.claim(now, fx);
            }
        }
        self.deferred.complete(self.committed_end, fx);
    }

    /// `QuorumController.claim`: it decides from now on, from what is committed, and every unfenced broker gets a whole
    /// session.
    fn claim(&mut self, now: Time, fx: &mut Effects) {
        self.go_back_to_committed();
        self.sessions.clear();
        for broker in self.committed.unfenced().iter() {
            self.sessions.touch(broker, now, -1);
        }
        self.set_periodic_timers(now, fx);
    }

    /// `QuorumController.renounce`: what was not committed was not decided.
    fn renounce(&mut self, fx: &mut Effects) {
        self.go_back_to_committed();
        self.sessions.clear();
        self.deferred.refuse(fx);
    }

    fn go_back_to_committed(&mut self) {
        self.decided.clone_from(&self.committed);
    }

    /// Applies what is committed by now, and tells it if no other controller has.
    fn apply_committed(&mut self, fx: &mut Effects) {
        let known = self.raft.high_watermark().unwrap_or(-1);
        while self.committed_end < known {
            let record = self.raft.log().record(self.committed_end);
            self.committed_end += 1;
            if fx.tells_committed(self.committed_end) {
                self.committed.tell(&record, fx);
            }
            self.committed.replay(record);
        }
    }

    /// A request of a broker.
    fn request(&mut self, now: Time, token: Token, message: Message, fx: &mut Effects) {
        if self.active.is_none() {
            return fx.reply(token, answers::refusal(&message));
        }
        let first = fx.list.len();
        self.handle(now, token, message, fx);
        self.deferred.keep_from(first, self.raft.end(), self.committed_end, fx);
    }

    fn handle(&mut self, now: Time, token: Token, message: Message, fx: &mut Effects) {
        let Some(broker) = token.from.broker() else { return };
        match message {
            Message::BrokerRegistration { .. } => {
                let answer = self.register(broker, message, fx);
                fx.reply(token, answer);
            }
            Message::BrokerHeartbeat { .. } => {
                let answer = self.heartbeat(now, broker, message, fx);
                fx.reply(token, answer);
            }
            Message::AlterPartition { broker_epoch, changes } => {
                let answer = self.alter_partitions(broker, broker_epoch, changes, fx);
                fx.reply(token, answer);
            }
            other => unreachable!("no broker sends {other:?} to a controller"),
        }
    }

    /// A broker registers: refused while a session of another incarnation is valid; an unclean shutdown costs the ELR.
    fn register(&mut self, broker: BrokerId, message: Message, fx: &mut Effects) -> Message {
        let Message::BrokerRegistration { incarnation, clean_epoch, .. } = message else {
            unreachable!("the caller matched it");
        };
        let answer =
            |error, broker_epoch| Message::BrokerRegistrationResponse { error, broker_epoch };
        let before = self.decided.brokers[broker.index()];
        if before.incarnation == incarnation && before.epoch >= 0 {
            return answer(ErrorCode::None, before.epoch);
        }
        if self.sessions.is_valid(broker) || incarnation < before.incarnation {
            return answer(ErrorCode::DuplicateBrokerRegistration, -1);
        }
        if clean_epoch != before.epoch {
            self.unclean_shutdown(broker, fx);
        }
        let epoch = self.raft.end();
        self.append(MetadataRecord::RegisterBroker { broker, incarnation, epoch }, fx);
        self.sessions.forget(broker);
        answer(ErrorCode::None, epoch)
    }

    /// `BrokerHeartbeatManager.calculateNextBrokerState`.
    fn heartbeat(
        &mut self,
        now: Time,
        broker: BrokerId,
        message: Message,
        fx: &mut Effects,
    ) -> Message {
        let Message::BrokerHeartbeat { broker_epoch, metadata_offset, want_fence, want_shut_down } =
            message
        else {
            unreachable!("the caller matched it");
        };
        let before = self.decided.brokers[broker.index()];
        if before.epoch != broker_epoch {
            return Message::BrokerHeartbeatResponse {
                error: ErrorCode::StaleBrokerEpoch,
                is_fenced: true,
                is_caught_up: false,
                should_shut_down: false,
            };
        }
        let is_caught_up = metadata_offset >= before.epoch;
        let mut should_shut_down = false;
        if before.fenced {
            should_shut_down = want_shut_down;
            if !want_shut_down && !want_fence && is_caught_up {
                self.unfence(broker, fx);
            }
        } else if want_fence {
            should_shut_down = want_shut_down;
            self.fence(broker, fx);
        } else if want_shut_down && !self.leads_any(broker) && self.may_shut_down(broker) {
            should_shut_down = true;
            self.fence(broker, fx);
        } else if want_shut_down && !before.shutting_down {
            self.begin_controlled_shutdown(broker, fx);
        }
        let is_fenced = self.decided.brokers[broker.index()].fenced;
        if is_fenced {
            self.sessions.forget(broker);
        } else {
            self.sessions.touch(broker, now, metadata_offset);
        }
        let error = ErrorCode::None;
        Message::BrokerHeartbeatResponse { error, is_fenced, is_caught_up, should_shut_down }
    }

    /// A broker in controlled shutdown may go when every active broker has applied the records that moved its leaders.
    fn may_shut_down(&self, broker: BrokerId) -> bool {
        let moved_at = self.sessions.shutdown_offset(broker);
        !self.decided.brokers[broker.index()].shutting_down
            || self.active().iter().all(|b| self.sessions.metadata_offset(b) >= moved_at)
    }

    fn fence_stale_brokers(&mut self, now: Time, fx: &mut Effects) {
        while let Some(broker) = self.sessions.stale(now) {
            self.sessions.forget(broker);
            self.fence(broker, fx);
        }
    }

    /// Writes a record and does what it says, before it is committed.
    fn append(&mut self, mut record: MetadataRecord, fx: &mut Effects) {
        if let MetadataRecord::Partition(partition) = &mut record
            && fx.defect == Defect::LeaderEpochKept
        {
            partition.leader_epoch =
                self.decided.partitions[partition.partition.index()].leader_epoch;
        }
        self.decided.replay(record);
        self.raft.append(record, fx);
        self.apply_committed(fx);
    }

    /// True when a planted defect lets a replica outside the ISR lead.
    fn ignores_isr(fx: &Effects) -> bool {
        fx.defect == Defect::ElectionIgnoresIsr
    }
}
