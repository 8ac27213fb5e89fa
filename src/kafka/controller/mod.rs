//! The KRaft controller: `QuorumController` with `ReplicationControlManager` and `ClusterControlManager`. It owns the
//! metadata log; every decision is a record there, and brokers learn of it by fetching that log.
//!
//! Disk and memory: the log and what follows from it survive a kill; sessions and waiting fetches do not.
//!
//! Simplified: one active controller (number 1) and no quorum, so a record is committed when it is written; the
//! others answer `NOT_CONTROLLER`. A session ends exactly when it runs out (Kafka looks every quarter of the
//! time-out). A registration that a dead process left in the network is refused once a later process has registered
//! (Kafka cannot tell them apart, and the broker would stay fenced until its next start).

pub mod admin;
mod metadata_log;
mod partitions;
mod sessions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::base::broker_set::BrokerSet;
use crate::base::config::{ClusterConfig, Defect, TopicConfig};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, LeaderEpoch, NodeId, PartitionId};
use crate::base::names::Names;
use crate::base::time::Time;
use crate::event::EventKind;
use crate::kafka::api::{Message, MetadataRecord, PartitionRegistration};
use crate::kafka::controller::metadata_log::MetadataLog;
use crate::kafka::controller::sessions::Sessions;
use crate::kafka::effects::{Effects, Input, TimerKind, Token};

/// The active controller's address, as every broker has it configured.
pub const ACTIVE_CONTROLLER: NodeId = NodeId::Controller(1);

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
            partitions: names.partitions.iter().enumerate().map(partition).collect(),
        }
    }

    /// The metadata log of the formed cluster. A broker's epoch is the offset of its registration.
    pub fn records(&self) -> impl Iterator<Item = MetadataRecord> + '_ {
        let register = (self.brokers.iter().enumerate())
            .map(|(n, broker)| MetadataRecord::RegisterBroker { broker, epoch: n as i64 });
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
    log: MetadataLog,
    /// By [`BrokerId::index`].
    brokers: Vec<BrokerRegistration>,
    partitions: Vec<PartitionRegistration>,
    /// Settings of topics as they are now, by [`TopicId`](crate::base::ids::TopicId).
    topics: Vec<TopicConfig>,
    /// The formed cluster has been announced as events.
    announced: bool,
    /// In memory only.
    sessions: Sessions,
}

impl Controller {
    /// A controller of the formed cluster, before its process starts.
    pub fn formed(number: u8, config: Arc<ClusterConfig>, formation: &Formation) -> Self {
        let slots = formation.brokers.iter().map(|b| b.index() + 1).max().unwrap_or(1);
        let nobody =
            BrokerRegistration { epoch: -1, incarnation: 0, fenced: true, shutting_down: false };
        let mut controller = Self {
            number,
            sessions: Sessions::new(slots, config.brokers.broker_session_timeout),
            topics: config.topics.clone(),
            config,
            log: MetadataLog::default(),
            brokers: vec![nobody; slots],
            partitions: Vec::new(),
            announced: false,
        };
        for record in formation.records() {
            controller.replay(record);
        }
        controller
    }

    /// Handles one input.
    pub fn step(&mut self, now: Time, input: Input, fx: &mut Effects) {
        if NodeId::Controller(self.number) != ACTIVE_CONTROLLER {
            return refuse(input, fx);
        }
        match input {
            Input::Start => self.start(now, fx),
            Input::Request { token, message } => self.handle(now, token, message, fx),
            Input::Timeout(timer) => match timer.kind {
                TimerKind::BrokerSession => self.fence_stale_brokers(now, fx),
                TimerKind::MetadataWait => self.log.expire(now, fx),
                TimerKind::LeaderImbalance => self.balance_leaders(now, fx),
                TimerKind::UncleanElection => self.elect_unclean_leaders(now, fx),
                _ => {}
            },
            Input::PeerGone { peer } => self.log.forget(peer),
            Input::Response { .. } | Input::Disconnected { .. } => {}
        }
        self.log.answer(fx);
        self.sessions.set_timer(fx);
    }

    /// The process is gone; the log stays.
    pub fn kill(&mut self) {
        self.log.forget_all();
        self.sessions.clear();
    }

    /// What the controller knows of a partition.
    pub fn registration(&self, partition: PartitionId) -> &PartitionRegistration {
        &self.partitions[partition.index()]
    }

    /// Every partition, by id.
    pub fn registrations(&self) -> &[PartitionRegistration] {
        &self.partitions
    }

    /// The brokers that are registered and not fenced.
    pub fn unfenced(&self) -> BrokerSet {
        self.broker_ids().filter(|b| !self.brokers[b.index()].fenced).collect()
    }

    /// Adds everything that decides the controller's future.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add(self.number);
        for broker in &self.brokers {
            into.add(broker);
        }
        for partition in &self.partitions {
            into.add((partition.leader, partition.leader_epoch, partition.partition_epoch));
            into.add((partition.isr, partition.elr, partition.last_known_leader));
            into.add((partition.replicas, partition.adding, partition.removing));
        }
        for topic in &self.topics {
            into.add((topic.min_insync_replicas, topic.unclean_leader_election));
        }
        self.log.fingerprint(now, into);
        self.sessions.fingerprint(now, into);
    }

    fn broker_ids(&self) -> impl Iterator<Item = BrokerId> + use<> {
        (1..self.brokers.len()).map(|n| BrokerId(n as u8))
    }

    /// Brokers that may lead and join ISRs: not fenced, not in controlled shutdown.
    fn active(&self) -> BrokerSet {
        let active = |b: &BrokerId| {
            let registration = &self.brokers[b.index()];
            !registration.fenced && !registration.shutting_down
        };
        self.broker_ids().filter(active).collect()
    }

    /// At its start a controller gives every unfenced broker a whole session.
    fn start(&mut self, now: Time, fx: &mut Effects) {
        for broker in self.unfenced().iter() {
            self.sessions.touch(broker, now, -1);
        }
        self.set_periodic_timers(now, fx);
        if self.announced {
            return;
        }
        self.announced = true;
        for broker in self.unfenced().iter() {
            fx.event(EventKind::BrokerUnfenced { broker });
        }
        for partition in &self.partitions {
            fx.event(changed(partition));
        }
    }

    fn handle(&mut self, now: Time, token: Token, message: Message, fx: &mut Effects) {
        let Some(broker) = token.from.broker() else { return };
        match message {
            Message::BrokerRegistration { .. } => {
                let answer = self.register(now, broker, message, fx);
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
            Message::MetadataFetch { offset } => self.log.fetch(now, token, offset, fx),
            other => unreachable!("no broker sends {other:?} to a controller"),
        }
    }

    /// A broker registers: refused while a session of another incarnation is valid; an unclean shutdown costs the ELR.
    fn register(
        &mut self,
        _now: Time,
        broker: BrokerId,
        message: Message,
        fx: &mut Effects,
    ) -> Message {
        let Message::BrokerRegistration { incarnation, clean_epoch, .. } = message else {
            unreachable!("the caller matched it");
        };
        let answer =
            |error, broker_epoch| Message::BrokerRegistrationResponse { error, broker_epoch };
        let before = self.brokers[broker.index()];
        if before.incarnation == incarnation && before.epoch >= 0 {
            return answer(ErrorCode::None, before.epoch);
        }
        if self.sessions.is_valid(broker) || incarnation < before.incarnation {
            return answer(ErrorCode::DuplicateBrokerRegistration, -1);
        }
        if clean_epoch != before.epoch {
            self.unclean_shutdown(broker, fx);
        }
        let epoch = self.log.end();
        self.append(MetadataRecord::RegisterBroker { broker, epoch }, fx);
        self.brokers[broker.index()].incarnation = incarnation;
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
        let before = self.brokers[broker.index()];
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
        let is_fenced = self.brokers[broker.index()].fenced;
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
        !self.brokers[broker.index()].shutting_down
            || self.active().iter().all(|b| self.sessions.metadata_offset(b) >= moved_at)
    }

    fn fence_stale_brokers(&mut self, now: Time, fx: &mut Effects) {
        while let Some(broker) = self.sessions.stale(now) {
            self.sessions.forget(broker);
            self.fence(broker, fx);
        }
    }

    /// Writes a record and does what it says.
    fn append(&mut self, record: MetadataRecord, fx: &mut Effects) {
        if let MetadataRecord::Partition(partition) = record {
            self.tell_replicas(&partition, fx);
        }
        self.replay(record);
        fx.event(match record {
            MetadataRecord::RegisterBroker { broker, epoch } => {
                EventKind::BrokerRegistered { broker, epoch }
            }
            // What an administrator changed is told by who changed it.
            MetadataRecord::FenceBroker { shutting_down: true, .. }
            | MetadataRecord::TopicConfig { .. } => return,
            MetadataRecord::FenceBroker { broker, fenced: true, .. } => {
                EventKind::BrokerFenced { broker }
            }
            MetadataRecord::FenceBroker { broker, .. } => EventKind::BrokerUnfenced { broker },
            MetadataRecord::Partition(partition) => changed(&partition),
        });
    }

    /// The only place where state changes.
    fn replay(&mut self, record: MetadataRecord) {
        self.log.append(record);
        match record {
            MetadataRecord::RegisterBroker { broker, epoch } => {
                let registration = &mut self.brokers[broker.index()];
                registration.epoch = epoch;
                registration.fenced = true;
                registration.shutting_down = false;
            }
            MetadataRecord::FenceBroker { broker, fenced, shutting_down } => {
                let registration = &mut self.brokers[broker.index()];
                registration.fenced = fenced;
                registration.shutting_down = shutting_down;
            }
            MetadataRecord::TopicConfig { topic, config } => self.topics[topic.index()] = config,
            MetadataRecord::Partition(partition) => {
                let at = partition.partition.index();
                if at == self.partitions.len() {
                    self.partitions.push(partition);
                } else {
                    self.partitions[at] = partition;
                }
            }
        }
    }

    /// True when a planted defect lets a replica outside the ISR lead.
    fn ignores_isr(fx: &Effects) -> bool {
        fx.defect == Defect::ElectionIgnoresIsr
    }
}

/// What a screen is told of a registration.
fn changed(partition: &PartitionRegistration) -> EventKind {
    EventKind::PartitionChanged {
        partition: partition.partition,
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        isr: partition.isr,
        elr: partition.elr,
    }
}

/// What a controller that is not active answers.
fn refuse(input: Input, fx: &mut Effects) {
    let Input::Request { token, message } = input else { return };
    let error = ErrorCode::NotController;
    let answer = match message {
        Message::BrokerRegistration { .. } => {
            Message::BrokerRegistrationResponse { error, broker_epoch: -1 }
        }
        Message::BrokerHeartbeat { .. } => Message::BrokerHeartbeatResponse {
            error,
            is_fenced: true,
            is_caught_up: false,
            should_shut_down: false,
        },
        Message::AlterPartition { .. } => {
            Message::AlterPartitionResponse { error, results: crate::kafka::effects::List::EMPTY }
        }
        _ => Message::MetadataFetchResponse {
            error,
            first: 0,
            records: crate::kafka::effects::List::EMPTY,
        },
    };
    fx.reply(token, answer);
}
