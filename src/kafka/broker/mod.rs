//! The broker: `BrokerServer`, `KafkaApis`, `ReplicaManager`. This file routes inputs; what is done about them is in
//! the files beside it, one concern each:
//!
//! `lifecycle` start, heartbeats, shutdown · `metadata` the image of the cluster · `replicas` becoming leader or
//! follower, the high watermark · `produce` and `fetch` serving · `fetcher` following · `isr_changes` asking for
//! another ISR · `observer` finding the active controller · `queries` small requests · `purgatory` what waits ·
//! `share` share groups · `transactions` the transaction coordinator and its markers ·
//! `verification` asking it about partitions · `socket` one request at a time ·
//! `storage` segments, retention, compaction.
//!
//! A broker is `{disk, ram}`: a kill drops `ram`; a power loss also cuts each log at its flush point; a wiped disk is
//! new.
//!
//! Simplified: one log directory; no quotas, security, tiered storage; metadata records are applied one answer at a
//! time.

mod administration;
mod fetch;
mod fetcher;
mod flush;
mod isr_changes;
mod lifecycle;
mod metadata;
mod observer;
mod produce;
mod purgatory;
mod queries;
mod replicas;
pub mod share;
mod socket;
mod storage;
#[cfg(test)]
mod tests;
mod transactions;
mod verification;

use std::sync::Arc;

use crate::base::config::{ClusterConfig, TopicConfig};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, NodeId, Offset, PartitionId};
use crate::base::time::{Duration, Time};
use crate::kafka::api::{
    AbortedTransaction, FetchResult, FetchedSlice, Message, ProduceBatch, ProduceResult,
};
use crate::kafka::broker::fetcher::Fetcher;
use crate::kafka::broker::isr_changes::IsrChanges;
use crate::kafka::broker::lifecycle::{Lifecycle, LifecycleState};
use crate::kafka::broker::metadata::MetadataImage;
use crate::kafka::broker::observer::{Observer, QuorumView};
use crate::kafka::broker::purgatory::Purgatory;
use crate::kafka::broker::share::Sharing;
use crate::kafka::broker::socket::Socket;
use crate::kafka::broker::verification::Verifications;
use crate::kafka::controller::Formation;
use crate::kafka::effects::{Effect, Effects, Input, Timer, TimerKind, Token};
use crate::kafka::group::coordinator::{CoordinatorAppend, GroupCoordinator};
use crate::kafka::log::UnifiedLog;
use crate::kafka::replica::Replica;
use crate::kafka::share::coordinator::Asker;
use crate::kafka::transaction::coordinator::TransactionCoordinator;
use crate::kafka::transaction::producer_ids::ProducerIdManager;

/// What survives a kill.
#[derive(Clone, Debug)]
struct Disk {
    /// By [`PartitionId`]; `None` where this broker has no replica.
    logs: Vec<Option<UnifiedLog>>,
    /// The local copy of the metadata log.
    image: MetadataImage,
    /// Settings of topics, by [`TopicId`](crate::base::ids::TopicId), as that copy has them.
    topics: Vec<TopicConfig>,
    /// What it knows of the quorum of controllers.
    quorum: QuorumView,
    /// The id of the log directory.
    directory: u32,
    /// The broker epoch of the last clean shutdown, while it is the last thing that happened; else -1.
    clean_epoch: i64,
}

/// What a kill takes.
#[derive(Clone, Debug)]
struct Ram {
    lifecycle: Lifecycle,
    socket: Socket,
    /// By [`PartitionId`].
    replicas: Vec<Option<Replica>>,
    /// By [`BrokerId::index`] of the leader.
    fetchers: Vec<Fetcher>,
    purgatory: Purgatory,
    isr_changes: IsrChanges,
    coordinator: GroupCoordinator,
    share: Sharing,
    transactions: TransactionCoordinator,
    verifications: Verifications,
    observer: Observer,
    /// What the clean shutdown file said at the start.
    clean_epoch: i64,
    started: Time,
    last_step: Time,
    /// An orderly shutdown is complete; the process is about to go.
    stopped: bool,
    /// Reused between steps.
    appends: Vec<CoordinatorAppend>,
    batches: Vec<ProduceBatch>,
    results: Vec<ProduceResult>,
    fetched: Vec<FetchResult>,
    slices: Vec<FetchedSlice>,
    aborted: Vec<AbortedTransaction>,
    changed: Vec<PartitionId>,
}

impl Ram {
    fn new(id: BrokerId, config: &Arc<ClusterConfig>, lifecycle: Lifecycle) -> Self {
        Self {
            lifecycle,
            socket: Socket::default(),
            replicas: Vec::new(),
            fetchers: Vec::new(),
            purgatory: Purgatory::new(),
            isr_changes: IsrChanges::default(),
            coordinator: GroupCoordinator::new(id, Arc::clone(config)),
            share: Sharing::new(id),
            transactions: TransactionCoordinator::new(id, Arc::clone(config)),
            verifications: Verifications::default(),
            observer: Observer::default(),
            clean_epoch: -1,
            started: Time::ZERO,
            last_step: Time::ZERO,
            stopped: false,
            appends: Vec::new(),
            batches: Vec::new(),
            results: Vec::new(),
            fetched: Vec::new(),
            slices: Vec::new(),
            aborted: Vec::new(),
            changed: Vec::new(),
        }
    }
}

/// A broker.
#[derive(Clone, Debug)]
pub struct Broker {
    id: BrokerId,
    config: Arc<ClusterConfig>,
    disk: Disk,
    ram: Ram,
    /// How many processes it has had.
    incarnation: u32,
    producer_ids: ProducerIdManager,
}

impl Broker {
    /// A broker of the formed cluster, before its process starts.
    pub fn formed(id: BrokerId, config: Arc<ClusterConfig>, formation: &Formation) -> Self {
        let image = MetadataImage::of(formation);
        let lifecycle = Lifecycle::new(LifecycleState::Formed, image.broker_epoch(id));
        Self {
            ram: Ram::new(id, &config, lifecycle),
            disk: Disk {
                logs: Vec::new(),
                image,
                topics: config.topics.clone(),
                quorum: QuorumView::FORMED,
                directory: u32::from(id.0),
                clean_epoch: -1,
            },
            id,
            config,
            incarnation: 0,
            producer_ids: ProducerIdManager::new(id),
        }
    }

    /// Handles one input.
    pub fn step(&mut self, now: Time, input: Input, fx: &mut Effects) {
        self.ram.last_step = now;
        let seen = fx.list.len();
        match input {
            Input::Start => self.start(now, fx),
            Input::Request { token, message } => self.request(now, token, message, fx),
            Input::Response { from, correlation, message } => {
                self.response(now, from, correlation, message, fx);
            }
            Input::Timeout(timer) => self.timeout(now, timer, fx),
            Input::Disconnected { peer } => self.disconnected(now, peer, fx),
            Input::PeerGone { peer } => {
                self.ram.coordinator.peer_gone(now, peer, fx);
                self.share_peer_gone(now, peer, fx);
                for (token, message) in self.ram.socket.gone(peer) {
                    self.handle(now, token, message, fx);
                    fx.pools.free(message);
                }
            }
        }
        self.share_work(now, fx);
        self.read_answered(now, seen, fx);
    }

    /// Whoever got an answer since effect number `seen` may be read again.
    fn read_answered(&mut self, now: Time, mut seen: usize, fx: &mut Effects) {
        while let Some(effect) = fx.list.get(seen).copied() {
            seen += 1;
            match effect {
                Effect::Reply { token, .. } => {
                    self.ram.socket.answered(token);
                    self.read_on(now, token.connection, fx);
                    self.share_work(now, fx);
                }
                Effect::Hangup { token } => self.ram.socket.close(token.connection, fx),
                _ => {}
            }
        }
    }

    /// The process is gone; what was written, flushed or not, stays.
    pub fn kill(&mut self) {
        if !self.ram.stopped {
            self.checkpoint_all();
        }
        let down = Lifecycle::new(LifecycleState::Down, -1);
        self.ram = Ram::new(self.id, &self.config, down);
    }

    /// The machine lost power: what was only in the page cache is gone too.
    pub fn power_loss(&mut self) {
        self.kill();
        for log in self.disk.logs.iter_mut().flatten() {
            log.lose_unflushed();
        }
    }

    /// The disk of the stopped broker is emptied; with another directory id unless `keep_directory`.
    pub fn wipe(&mut self, keep_directory: bool) {
        self.disk.logs.clear();
        self.disk.image = MetadataImage::default();
        self.disk.topics.clone_from(&self.config.topics);
        self.disk.quorum = QuorumView::UNKNOWN;
        self.disk.clean_epoch = -1;
        if !keep_directory {
            self.disk.directory += 64;
        }
    }

    /// The tail of one log of the stopped broker is cut off: whole batches, at least `records` records.
    pub fn cut_log(&mut self, partition: PartitionId, records: u32) {
        if let Some(Some(log)) = self.disk.logs.get_mut(partition.index()) {
            log.cut_tail(records);
        }
    }

    /// Everything from `to` on is cut off one log of the stopped broker, whole batches.
    pub fn cut_log_to(&mut self, partition: PartitionId, to: Offset) {
        if let Some(Some(log)) = self.disk.logs.get_mut(partition.index()) {
            log.truncate_to(to.max(log.log_start()));
        }
    }

    /// The directory of one partition of the stopped broker is gone; at the next start it is made anew, empty.
    pub fn delete_log(&mut self, partition: PartitionId) {
        if let Some(log) = self.disk.logs.get_mut(partition.index()) {
            *log = None;
        }
    }

    /// The log of a partition on this broker's disk.
    pub fn log(&self, partition: PartitionId) -> Option<&UnifiedLog> {
        self.disk.logs.get(partition.index())?.as_ref()
    }

    /// The replica of a partition in this broker's memory; `None` before it is loaded.
    pub fn replica(&self, partition: PartitionId) -> Option<&Replica> {
        self.ram.replicas.get(partition.index())?.as_ref()
    }

    /// The group coordinator in this process.
    pub fn coordinator(&self) -> &GroupCoordinator {
        &self.ram.coordinator
    }

    /// The transaction coordinator in this process.
    pub fn transactions(&self) -> &TransactionCoordinator {
        &self.ram.transactions
    }

    /// True while clients and other brokers get through to it.
    pub fn serves(&self) -> bool {
        self.ram.lifecycle.serves()
    }

    /// Adds everything that decides the broker's future.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.id, self.disk.clean_epoch, self.producer_ids, self.disk.quorum));
        self.ram.observer.fingerprint(now, into);
        self.disk.image.fingerprint(into);
        for log in self.disk.logs.iter().flatten() {
            log.fingerprint(into);
        }
        self.ram.lifecycle.fingerprint(into);
        self.ram.socket.fingerprint(into);
        for replica in self.ram.replicas.iter().flatten() {
            replica.fingerprint(now, into);
        }
        for fetcher in &self.ram.fetchers {
            fetcher.fingerprint(into);
        }
        self.ram.purgatory.fingerprint(now, into);
        self.ram.isr_changes.fingerprint(into);
        self.ram.coordinator.fingerprint(now, into);
        self.ram.share.fingerprint(now, into);
        self.ram.transactions.fingerprint(now, into);
        self.ram.verifications.fingerprint(now, into);
    }

    /// A request arrived. A broker that is not in service has no open port.
    fn request(&mut self, now: Time, token: Token, message: Message, fx: &mut Effects) {
        if !self.ram.lifecycle.serves() {
            return fx.hang_up(token);
        }
        if self.ram.socket.accept(token, message, fx) {
            self.handle(now, token, message, fx);
            if matches!(message, Message::Produce { acks: 0, .. }) {
                self.read_on(now, token.connection, fx);
            }
        }
    }

    /// Handles what waits on a connection, as far as it is not muted.
    fn read_on(&mut self, now: Time, connection: u32, fx: &mut Effects) {
        while let Some((token, message)) = self.ram.socket.next(connection) {
            self.handle(now, token, message, fx);
            fx.pools.free(message);
        }
    }

    /// `KafkaApis.handle`.
    fn handle(&mut self, now: Time, token: Token, message: Message, fx: &mut Effects) {
        match message {
            Message::Produce { .. } => self.produce(now, token, message, fx),
            Message::Fetch { .. } => self.fetch(now, token, message, fx),
            Message::ListOffsets { isolation, partitions } => {
                self.list_offsets(token, isolation, partitions, fx);
            }
            Message::Metadata => self.metadata(token, fx),
            Message::OffsetForLeaderEpoch { .. } => self.offset_for_epoch(token, message, fx),
            Message::InitProducerId { transactional: None, .. } => self.init_producer_id(token, fx),
            Message::FindTransactionCoordinator { id } => {
                self.find_transaction_coordinator(token, id, fx);
            }
            Message::InitProducerId { .. }
            | Message::AddPartitionsToTxn { .. }
            | Message::AddOffsetsToTxn { .. }
            | Message::EndTxn { .. } => {
                self.coordinate(now, fx, |coordinator, step| {
                    coordinator.handle(step, token, message);
                });
            }
            Message::TxnOffsetCommit { .. } => self.txn_offset_commit(now, token, message, fx),
            Message::WriteTxnMarkers { markers } => self.write_txn_markers(now, token, markers, fx),
            Message::FindCoordinator { group } => self.find_coordinator(token, group, fx),
            Message::JoinGroup { .. }
            | Message::SyncGroup { .. }
            | Message::Heartbeat { .. }
            | Message::LeaveGroup { .. }
            | Message::ConsumerGroupHeartbeat { .. }
            | Message::OffsetCommit { .. }
            | Message::OffsetFetch { .. }
            | Message::ShareGroupHeartbeat { .. } => {
                let mut appends = std::mem::take(&mut self.ram.appends);
                self.ram.coordinator.handle(now, token, message, fx, &mut appends);
                self.write_for_coordinator(now, appends, fx);
            }
            Message::ShareFetch { .. } => self.share_fetch(now, token, message, fx),
            Message::ShareAcknowledge { .. } => self.share_acknowledge(now, token, message, fx),
            Message::ReadShareGroupState { .. } | Message::WriteShareGroupState { .. } => {
                self.share_coordinator_asked(now, Asker::Remote(token), message, fx);
            }
            other => unreachable!("no client or broker asks a broker for {other:?}"),
        }
    }

    fn response(
        &mut self,
        now: Time,
        from: NodeId,
        correlation: u32,
        message: Message,
        fx: &mut Effects,
    ) {
        match message {
            Message::BrokerRegistrationResponse { error, broker_epoch } => {
                self.registered(now, correlation, error, broker_epoch, fx);
            }
            Message::BrokerHeartbeatResponse { .. } => {
                self.heartbeat_answered(now, correlation, message, fx);
            }
            Message::MetadataFetchResponse { .. } => {
                self.observed(now, from, correlation, message, fx);
            }
            Message::FetchResponse { results, slices, .. } => {
                if let Some(leader) = from.broker() {
                    self.fetched(now, leader, correlation, (results, slices), fx);
                }
            }
            Message::AddPartitionsToTxnResponse { error } => {
                self.coordinator_answered(now, correlation, error, fx);
            }
            Message::WriteTxnMarkersResponse { results } => {
                self.coordinate(now, fx, |coordinator, step| {
                    coordinator.markers_answered(step, correlation, results);
                });
            }
            Message::AlterPartitionResponse { error, results } => {
                self.partitions_altered(now, correlation, error, results, fx);
            }
            Message::ReadShareGroupStateResponse { .. }
            | Message::WriteShareGroupStateResponse { .. }
            | Message::ProduceResponse { .. } => {
                self.share_response(now, correlation, message, fx);
            }
            other => unreachable!("no broker asked for {other:?}"),
        }
    }

    fn timeout(&mut self, now: Time, timer: Timer, fx: &mut Effects) {
        match timer.kind {
            TimerKind::BrokerHeartbeat => self.communicate(now, fx),
            TimerKind::MetadataFetch => self.observe(now, fx),
            TimerKind::IsrScan => self.scan_isrs(now, fx),
            TimerKind::LogFlush => self.flush_dirty_logs(now, fx),
            TimerKind::LogRetention => self.look_at_retention(now, fx),
            TimerKind::LogCleaner => self.run_cleaner(now, fx),
            TimerKind::DelayedProduce => self.expire_produces(now, fx),
            TimerKind::DelayedFetch => self.expire_fetches(now, fx),
            TimerKind::FetcherBackoff => self.fetch_from(now, BrokerId(timer.number as u8), fx),
            TimerKind::FetcherTimeout => self.fetcher_timed_out(now, timer.number, fx),
            TimerKind::AlterPartitionRetry => self.retry_isr_changes(now, fx),
            TimerKind::GroupJoin
            | TimerKind::GroupSync
            | TimerKind::GroupSession
            | TimerKind::GroupCommit
            | TimerKind::OffsetsExpiry
            | TimerKind::ShareSession => {
                let mut appends = std::mem::take(&mut self.ram.appends);
                self.ram.coordinator.timeout(now, timer, fx, &mut appends);
                self.write_for_coordinator(now, appends, fx);
            }
            TimerKind::ShareLock | TimerKind::DelayedShareFetch | TimerKind::ShareRequest => {
                self.share_timeout(now, timer.kind, fx);
            }
            TimerKind::TransactionAbort
            | TimerKind::TransactionalIdExpiration
            | TimerKind::TransactionMarkers
            | TimerKind::TransactionWrite => self.transaction_timeout(now, timer, fx),
            TimerKind::AddPartitionsToTxn => self.questions_due(now, fx),
            _ => {}
        }
    }

    fn disconnected(&mut self, now: Time, peer: NodeId, fx: &mut Effects) {
        if let NodeId::Controller(controller) = peer {
            self.controller_gone(now, controller, fx);
        } else if let Some(leader) = peer.broker() {
            self.fetcher_failed(now, leader, fx);
            self.share_disconnected(now, leader);
            self.verification_lost(now, leader, fx);
            self.coordinate(now, fx, |coordinator, step| {
                coordinator.marker_channel_lost(step.now, leader, step.fx);
            });
        }
    }

    /// The settings of the partition's topic.
    fn topic_config<'a>(&'a self, partition: PartitionId, fx: &Effects) -> &'a TopicConfig {
        &self.disk.topics[fx.names.partitions[partition.index()].topic.index()]
    }

    /// `replica.lag.time.max.ms` / 2.
    fn isr_scan_interval(&self) -> Duration {
        Duration(self.config.brokers.replica_lag_time_max.0 / 2)
    }
}
