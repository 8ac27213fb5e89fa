//! Becoming leader or follower, and the high watermark: `ReplicaManager.applyDelta`,
//! `Partition.maybeIncrementLeaderHW`.
//!
//! Simplified: the high watermark is checkpointed every `replica.high.watermark.checkpoint.interval.ms` (5 s from the
//! start of the process) without a timer: what the file holds at a kill follows from when the mark moved.

use crate::base::config::Defect;
use crate::base::error::ErrorCode;
use crate::base::ids::{BatchHandle, BrokerId, LeaderEpoch, Offset, PartitionId};
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::api::{MetadataRecord, PartitionRegistration};
use crate::kafka::broker::Broker;
use crate::kafka::broker::fetcher::Fetcher;
use crate::kafka::effects::{Effects, List};
use crate::kafka::high_watermark::{ReplicaLine, effective_min_isr, leader_high_watermark};
use crate::kafka::log::UnifiedLog;
use crate::kafka::log::producer_state::ProducerStateManager;
use crate::kafka::replica::{Replica, Role};

/// `replica.high.watermark.checkpoint.interval.ms`.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(5_000);
/// `producer.id.expiration.check.interval.ms`.
const PRODUCER_EXPIRY_INTERVAL: Duration = Duration::from_millis(600_000);
/// `log.flush.start.offset.checkpoint.interval.ms`.
const LOG_START_INTERVAL: Duration = Duration::from_millis(60_000);

impl Broker {
    /// Metadata records arrived. Of a partition that changed more than once only the last state is acted on.
    pub(super) fn apply_metadata(
        &mut self,
        now: Time,
        records: List<MetadataRecord>,
        fx: &mut Effects,
    ) {
        let mut changed = std::mem::take(&mut self.ram.changed);
        for record in fx.pools.get(records) {
            self.disk.image.apply(*record);
            if let MetadataRecord::Partition(partition) = record
                && !changed.contains(&partition.partition)
            {
                changed.push(partition.partition);
            }
        }
        if !fx.pools.get(records).is_empty() {
            self.say_applied(fx);
        }
        if self.ram.lifecycle.has_replicas() {
            for partition in &changed {
                self.apply_partition(now, *partition, fx);
            }
        }
        // `BrokerMetadataPublisher` comes to settings after partitions.
        for at in 0..fx.pools.get(records).len() {
            if let MetadataRecord::TopicConfig { topic, config } = fx.pools.get(records)[at] {
                self.disk.topics[topic.index()] = config;
            }
        }
        changed.clear();
        self.ram.changed = changed;
    }

    /// The process loads its logs and takes up its roles.
    pub(super) fn load_replicas(&mut self, now: Time, fx: &mut Effects) {
        for at in 0..self.disk.image.partition_slots() {
            self.apply_partition(now, PartitionId(at as u16), fx);
        }
    }

    /// Acts on the registration of one partition.
    fn apply_partition(&mut self, now: Time, partition: PartitionId, fx: &mut Effects) {
        let Some(registration) = self.disk.image.partition(partition).copied() else { return };
        if !registration.replicas.set().contains(self.id) {
            return self.delete_replica(now, partition, fx);
        }
        self.load(&registration, fx);
        if registration.leader == Some(self.id) {
            self.lead(now, &registration, fx);
        } else {
            self.follow(now, &registration, fx);
        }
    }

    /// Loads a replica from disk, with the high watermark of the checkpoint and producer state from the log.
    fn load(&mut self, registration: &PartitionRegistration, fx: &mut Effects) {
        let partition = registration.partition;
        let at = partition.index();
        if self.disk.logs.len() <= at {
            self.disk.logs.resize(at + 1, None);
        }
        if self.ram.replicas.len() <= at {
            self.ram.replicas.resize(at + 1, None);
        }
        if self.ram.replicas[at].is_some() {
            return;
        }
        let log = self.disk.logs[at].get_or_insert_with(UnifiedLog::default);
        let started = log.log_start();
        log.open();
        if log.log_start() != started {
            fx.event(EventKind::LogStart { partition, offset: log.log_start() });
        }
        let high_watermark = log.high_watermark_checkpoint();
        let producers = ProducerStateManager::rebuilt_from(log, high_watermark, &fx.batches);
        self.ram.replicas[at] = Some(Replica {
            last_flush: self.ram.started,
            ..Replica::loaded(registration, high_watermark, producers)
        });
        if self.incarnation > 0 {
            fx.event(EventKind::HighWatermark { partition, offset: high_watermark });
        }
        self.say_last_stable(partition, fx);
    }

    fn lead(&mut self, now: Time, registration: &PartitionRegistration, fx: &mut Effects) {
        let partition = registration.partition;
        let own = self.id;
        let Some((replica, log)) = self.parts(partition) else { return };
        let (previous, known) = (following(replica), replica.isr());
        let new_epoch = replica.make_leader(own, registration, log, now);
        let isr = replica.isr();
        if new_epoch {
            let (leader_epoch, end) = (replica.leader_epoch, log.end());
            self.stop_fetching(partition, previous);
            if self.incarnation > 0 || leader_epoch.0 > 0 {
                fx.event(EventKind::BecameLeader { partition, leader_epoch, end });
            }
            if fx.names.keeps_share_state(partition) {
                self.share_coordinator_elected(partition, leader_epoch, fx);
            } else if fx.names.topic_of(partition).internal {
                self.elected(now, partition, leader_epoch, fx);
            }
            // Fetches that wait under the old epoch are fenced.
            self.complete_fetches(partition, fx);
        }
        if isr != known {
            fx.event(EventKind::IsrKnown { partition, isr });
        }
        self.raise_high_watermark(now, partition, fx);
    }

    fn follow(&mut self, now: Time, registration: &PartitionRegistration, fx: &mut Effects) {
        let partition = registration.partition;
        let Some((replica, _)) = self.parts(partition) else { return };
        let (led, previous) = (replica.is_leader(), following(replica));
        let new_epoch = replica.make_follower(registration);
        let (leader, leader_epoch) = (following(replica), replica.leader_epoch);
        if !new_epoch && !led {
            return;
        }
        if self.incarnation > 0 || leader_epoch.0 > 0 {
            fx.event(EventKind::BecameFollower { partition, leader, leader_epoch });
        }
        if led {
            self.resign(now, partition, fx);
        }
        self.complete_fetches(partition, fx);
        self.stop_fetching(partition, previous);
        if leader.is_some() {
            self.cut_as_new_follower(now, partition, fx);
        }
        if let Some(leader) = leader {
            self.fetcher(leader).add(partition);
            self.fetch_from(now, leader, fx);
        }
    }

    /// A reassignment took the replica away: it stops and its log is deleted (`ReplicaManager.stopPartitions`; a log
    /// that is found at the start is a stray one and goes too).
    fn delete_replica(&mut self, now: Time, partition: PartitionId, fx: &mut Effects) {
        let at = partition.index();
        if let Some(Some(replica)) = self.ram.replicas.get_mut(at).map(Option::take) {
            let previous = following(&replica);
            self.stop_fetching(partition, previous);
            if replica.is_leader() {
                self.resign(now, partition, fx);
            }
            self.complete_fetches(partition, fx);
        }
        if self.disk.logs.get_mut(at).is_some_and(|log| log.take().is_some()) {
            fx.event(EventKind::ReplicaDeleted { partition });
        }
    }

    /// The partition is not led here any more: who waits is told.
    fn resign(&mut self, now: Time, partition: PartitionId, fx: &mut Effects) {
        self.ram.isr_changes.forget(partition);
        self.complete_produces(partition, fx);
        self.forget_coordinator_writes(partition);
        self.share_resigned(partition, fx);
        if fx.names.topic_of(partition).internal {
            self.ram.coordinator.resigned(now, partition, fx);
            self.coordinate(now, fx, |coordinator, step| coordinator.resigned(step, partition));
        }
    }

    /// This broker leads a partition of an internal topic: what is in it, it coordinates.
    fn elected(
        &mut self,
        now: Time,
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
        fx: &mut Effects,
    ) {
        let Some(Some(log)) = self.disk.logs.get(partition.index()) else { return };
        if fx.names.transaction_partitions.contains(&partition) {
            let batches: Vec<(Offset, BatchHandle)> = log.batches().collect();
            self.coordinate(now, fx, |coordinator, step| {
                coordinator.elected(step, partition, leader_epoch, batches.into_iter());
            });
        } else {
            let batches = log.batches();
            self.ram.coordinator.elected(now, partition, leader_epoch, batches, fx);
        }
    }

    fn stop_fetching(&mut self, partition: PartitionId, leader: Option<BrokerId>) {
        if let Some(leader) = leader {
            self.fetcher(leader).remove(partition);
        }
    }

    /// The fetcher that follows `leader`.
    pub(super) fn fetcher(&mut self, leader: BrokerId) -> &mut Fetcher {
        if self.ram.fetchers.len() <= leader.index() {
            self.ram.fetchers.resize_with(leader.index() + 1, Fetcher::default);
        }
        &mut self.ram.fetchers[leader.index()]
    }

    /// The replica of a partition with its log, both to change.
    pub(super) fn parts(
        &mut self,
        partition: PartitionId,
    ) -> Option<(&mut Replica, &mut UnifiedLog)> {
        let replica = self.ram.replicas.get_mut(partition.index())?.as_mut()?;
        let log = self.disk.logs.get_mut(partition.index())?.as_mut()?;
        Some((replica, log))
    }

    /// The same, to read.
    pub(super) fn parts_ref(&self, partition: PartitionId) -> Option<(&Replica, &UnifiedLog)> {
        Some((self.replica(partition)?, self.log(partition)?))
    }

    /// Moves the high watermark of a partition this broker leads, if it can, and lets go who waited for that. Returns
    /// whether it moved.
    pub(super) fn raise_high_watermark(
        &mut self,
        now: Time,
        partition: PartitionId,
        fx: &mut Effects,
    ) -> bool {
        let min_insync_replicas = self.topic_config(partition, fx).min_insync_replicas;
        let lag_max = self.config.brokers.replica_lag_time_max;
        let Some((replica, log)) = self.parts_ref(partition) else { return false };
        let Some(leadership) = replica.leadership() else { return false };
        let (end, state) = (log.end(), leadership.state);
        let maximal_isr = state.maximal_isr();
        let lines = leadership.followers.iter().map(|follower| ReplicaLine {
            log_end: follower.log_end,
            in_maximal_isr: maximal_isr.contains(follower.broker),
            about_to_join: follower.is_caught_up(end, now, lag_max)
                && follower.broker_epoch == Some(self.disk.image.broker_epoch(follower.broker))
                && self.disk.image.is_isr_eligible(follower.broker),
        });
        let min_isr = effective_min_isr(min_insync_replicas, replica.replicas.as_slice().len());
        let isr_size = state.isr().len();
        let high_watermark = if fx.defect == Defect::HighWatermarkIsLeaderEnd {
            end
        } else {
            leader_high_watermark(replica.high_watermark, end, isr_size, min_isr, lines)
        };
        let moves = high_watermark > replica.high_watermark;
        if moves {
            self.set_high_watermark(now, partition, high_watermark, fx);
            self.complete_produces(partition, fx);
            self.complete_coordinator_writes(now, partition, fx);
            self.complete_fetches(partition, fx);
        }
        moves
    }

    /// Sets the high watermark and notes what the checkpoint file would hold.
    pub(super) fn set_high_watermark(
        &mut self,
        now: Time,
        partition: PartitionId,
        offset: Offset,
        fx: &mut Effects,
    ) {
        let interval = now.since(self.ram.started).0 / CHECKPOINT_INTERVAL.0;
        let Some((replica, log)) = self.parts(partition) else { return };
        if replica.high_watermark == offset {
            return;
        }
        checkpoint(replica, log, interval);
        replica.high_watermark = offset;
        replica.producers.transactions.replicated(offset);
        fx.event(EventKind::HighWatermark { partition, offset });
        self.say_last_stable(partition, fx);
    }

    /// Says where the last stable offset is, when it moved.
    pub(super) fn say_last_stable(&mut self, partition: PartitionId, fx: &mut Effects) {
        let Some((replica, _)) = self.parts(partition) else { return };
        if let Some(offset) = replica.news_of_last_stable_offset() {
            fx.event(EventKind::LastStableOffset { partition, offset });
        }
    }

    /// `DeleteRecords`: moves the log start of a partition this broker leads to `before`, or with
    /// [`Offset::NONE`] to the high watermark (`Partition.deleteRecordsOnLeader`). The followers learn of it with their
    /// next fetch; Kafka answers when those that are alive have.
    ///
    /// # Errors
    /// `NOT_LEADER_OR_FOLLOWER`; `POLICY_VIOLATION` where `cleanup.policy` has no `delete`; `OFFSET_OUT_OF_RANGE` above
    /// the high watermark.
    pub fn delete_records(
        &mut self,
        now: Time,
        partition: PartitionId,
        before: Offset,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        self.ram.last_step = now;
        let replica = self.replica(partition).filter(|replica| replica.is_leader());
        let high_watermark = replica.ok_or(ErrorCode::NotLeaderOrFollower)?.high_watermark;
        if !self.topic_config(partition, fx).cleanup.delete {
            return Err(ErrorCode::PolicyViolation);
        }
        let offset = if before == Offset::NONE { high_watermark } else { before };
        if offset < Offset(0) || offset > high_watermark {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        self.increment_log_start(now, partition, offset, fx);
        Ok(())
    }

    /// Moves the log start and notes what the checkpoint file would hold.
    pub(super) fn increment_log_start(
        &mut self,
        now: Time,
        partition: PartitionId,
        offset: Offset,
        fx: &mut Effects,
    ) {
        let interval = now.since(self.ram.started).0 / LOG_START_INTERVAL.0;
        let Some((replica, log)) = self.parts(partition) else { return };
        if offset <= log.log_start() {
            return;
        }
        checkpoint_log_start(replica, log, interval);
        log.increment_log_start(offset);
        replica.producers.transactions.deleted_before(offset);
        fx.event(EventKind::LogStart { partition, offset });
        self.say_last_stable(partition, fx);
    }

    /// Forgets silent producers as the scan every `producer.id.expiration.check.interval.ms` would have, without a
    /// timer: nobody sees the difference before the next append.
    pub(super) fn expire_producers(&mut self, now: Time, partition: PartitionId) {
        let interval = now.since(self.ram.started).0 / PRODUCER_EXPIRY_INTERVAL.0;
        let scanned = self.ram.started + Duration(interval * PRODUCER_EXPIRY_INTERVAL.0);
        let expiration = self.config.brokers.producer_id_expiration.as_millis() as i64;
        let Some((replica, _)) = self.parts(partition) else { return };
        if interval > replica.expiry_interval {
            replica.expiry_interval = interval;
            replica.producers.remove_expired(scanned.timestamp(), expiration);
        }
    }

    /// The process dies: the checkpoint files are as they were written last.
    pub(super) fn checkpoint_all(&mut self) {
        let lived = self.ram.last_step.since(self.ram.started);
        for (replica, log) in self.ram.replicas.iter_mut().zip(&mut self.disk.logs) {
            if let (Some(replica), Some(log)) = (replica, log) {
                checkpoint(replica, log, lived.0 / CHECKPOINT_INTERVAL.0);
                checkpoint_log_start(replica, log, lived.0 / LOG_START_INTERVAL.0);
            }
        }
    }
}

/// The file is written at the end of each interval: when the mark moves in a later one, it holds what was before.
fn checkpoint(replica: &mut Replica, log: &mut UnifiedLog, interval: u64) {
    if interval > replica.checkpoint_interval {
        log.checkpoint_high_watermark(replica.high_watermark);
        replica.checkpoint_interval = interval;
    }
}

/// The same for the file of log starts.
fn checkpoint_log_start(replica: &mut Replica, log: &mut UnifiedLog, interval: u64) {
    if interval > replica.log_start_interval {
        log.checkpoint_log_start();
        replica.log_start_interval = interval;
    }
}

/// Whom a replica follows.
fn following(replica: &Replica) -> Option<BrokerId> {
    match &replica.role {
        Role::Follower(following) => following.leader,
        Role::Leader(_) => None,
    }
}
