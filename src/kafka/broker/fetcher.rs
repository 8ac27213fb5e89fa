//! Following: `ReplicaFetcherThread`, `AbstractFetcherThread`. One fetcher a leader, with one request on its way for
//! all partitions it follows there. A partition in trouble is left out for `replica.fetch.backoff.ms`.
//!
//! Simplified: `num.replica.fetchers` is 1; a follower whose log ends before its leader's begins restarts there at
//! once (Kafka asks with `ListOffsets` first).

use crate::base::batch::Batch;
use crate::base::config::IsolationLevel;
use crate::base::era::Era;
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, LeaderEpoch, NodeId, Offset, PartitionId};
use crate::base::time::Time;
use crate::event::EventKind;
use crate::kafka::api::{FetchPartition, FetchResult, FetchedSlice, Message};
use crate::kafka::broker::Broker;
use crate::kafka::effects::{Effects, List, TimerKind};
use crate::kafka::high_watermark::follower_high_watermark;
use crate::kafka::log::UnifiedLog;
use crate::kafka::log::entries::LogEntry;
use crate::kafka::log::epochs::EpochEnd;
use crate::kafka::log::producer_state::ProducerStateManager;
use crate::kafka::replica::{Following, Role};
use crate::kafka::truncation::{Truncation, truncation};
use crate::kafka::{truncation_high_watermark, truncation_kip_101};

/// `replica.fetch.max.bytes`, a partition.
const PARTITION_MAX_BYTES: u32 = 1_048_576;
/// `replica.fetch.response.max.bytes`.
const RESPONSE_MAX_BYTES: u32 = 10_485_760;

/// The thread that follows one leader.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Fetcher {
    partitions: Vec<PartitionId>,
    /// The request that is not answered.
    in_flight: Option<u32>,
    /// What it asked for.
    sent: Vec<FetchPartition>,
}

impl Fetcher {
    pub(super) fn add(&mut self, partition: PartitionId) {
        if !self.partitions.contains(&partition) {
            self.partitions.push(partition);
        }
    }

    pub(super) fn remove(&mut self, partition: PartitionId) {
        self.partitions.retain(|p| *p != partition);
    }

    pub(super) fn fingerprint(&self, into: &mut Fingerprint) {
        into.add(self.in_flight.is_some());
        for sent in &self.sent {
            into.add((sent.partition, sent.offset, sent.current_leader_epoch));
        }
    }
}

impl Broker {
    /// Sends the next fetch to `leader`, unless one is on its way or nothing is to be fetched there.
    pub(super) fn fetch_from(&mut self, now: Time, leader: BrokerId, fx: &mut Effects) {
        let mut fetcher = std::mem::take(self.fetcher(leader));
        if fetcher.in_flight.is_none() {
            self.send_fetch(now, leader, &mut fetcher, fx);
        }
        *self.fetcher(leader) = fetcher;
    }

    fn send_fetch(&mut self, now: Time, leader: BrokerId, fetcher: &mut Fetcher, fx: &mut Effects) {
        fetcher.sent.clear();
        let mut again = Time::NEVER;
        for partition in &fetcher.partitions {
            let Some((replica, log)) = self.parts_ref(*partition) else { continue };
            let Role::Follower(following) = replica.role else { continue };
            let Following { delayed_until, .. } = following;
            if delayed_until > now {
                again = again.min(delayed_until);
                continue;
            }
            fetcher.sent.push(FetchPartition {
                partition: *partition,
                offset: log.end(),
                current_leader_epoch: replica.leader_epoch,
                last_fetched_epoch: self.epoch_to_tell(&following, log),
                log_start: log.log_start(),
                max_bytes: PARTITION_MAX_BYTES,
            });
        }
        let number = u16::from(leader.0);
        if fetcher.sent.is_empty() {
            fx.cancel_timer(TimerKind::FetcherTimeout, number);
            if again != Time::NEVER {
                fx.set_timer(TimerKind::FetcherBackoff, number, again);
            }
            return;
        }
        let message = Message::Fetch {
            replica: Some(self.id),
            rack: None,
            replica_epoch: self.ram.lifecycle.broker_epoch as i32,
            max_wait_ms: self.config.brokers.replica_fetch_wait_max.as_millis() as u32,
            min_bytes: 1,
            max_bytes: RESPONSE_MAX_BYTES,
            isolation: IsolationLevel::ReadUncommitted,
            partitions: fx.keep(&fetcher.sent),
        };
        fetcher.in_flight = Some(fx.request(NodeId::Broker(leader), message));
        let patience = self.config.brokers.replica_socket_timeout;
        fx.set_timer(TimerKind::FetcherTimeout, number, now + patience);
    }

    /// The epoch a follower tells its leader to compare logs by: in every fetch, or as the rule of its era has it.
    fn epoch_to_tell(&self, following: &Following, log: &UnifiedLog) -> LeaderEpoch {
        match self.config.era {
            Era::Kip101 if following.reconciled => LeaderEpoch::NONE,
            Era::HighWatermark => LeaderEpoch::NONE,
            Era::Current | Era::Kip101 => log.latest_epoch(),
        }
    }

    /// The leader answered.
    pub(super) fn fetched(
        &mut self,
        now: Time,
        leader: BrokerId,
        correlation: u32,
        (results, slices): (List<FetchResult>, List<FetchedSlice>),
        fx: &mut Effects,
    ) {
        if self.fetcher(leader).in_flight != Some(correlation) {
            return;
        }
        self.fetcher(leader).in_flight = None;
        let mut next = 0;
        for at in 0..fx.pools.get(results).len() {
            let result = fx.pools.get(results)[at];
            let count = usize::from(result.slice_count);
            if self.is_expected(leader, &result) {
                self.process(now, &result, slices, (next, next + count), fx);
            }
            next += count;
        }
        self.fetch_from(now, leader, fx);
    }

    /// The answer is for what this broker still follows, under the epoch and at the offset it asked for.
    fn is_expected(&self, leader: BrokerId, result: &FetchResult) -> bool {
        let fetcher = &self.ram.fetchers[leader.index()];
        let asked = fetcher.sent.iter().find(|sent| sent.partition == result.partition);
        let (Some(asked), Some((replica, log))) = (asked, self.parts_ref(result.partition)) else {
            return false;
        };
        let Role::Follower(following) = replica.role else { return false };
        following.leader == Some(leader)
            && replica.leader_epoch == asked.current_leader_epoch
            && log.end() == asked.offset
    }

    fn process(
        &mut self,
        now: Time,
        result: &FetchResult,
        slices: List<FetchedSlice>,
        (from, to): (usize, usize),
        fx: &mut Effects,
    ) {
        let partition = result.partition;
        if result.error == ErrorCode::OffsetOutOfRange {
            return self.restart_at(now, result, fx);
        }
        if result.error != ErrorCode::None {
            return self.delay(now, partition);
        }
        self.reconciled(partition);
        if result.diverging_end != Offset::NONE {
            let end = EpochEnd { epoch: result.diverging_epoch, end: result.diverging_end };
            return self.truncate(now, partition, end, fx);
        }
        for at in from..to {
            let slice = fx.pools.get(slices)[at];
            self.append_as_follower(now, partition, slice, fx);
        }
        let Some((replica, log)) = self.parts(partition) else { return };
        let leader = result.high_watermark;
        let high_watermark = follower_high_watermark(leader, log.log_start(), log.end());
        if high_watermark != replica.high_watermark {
            self.set_high_watermark(now, partition, high_watermark, fx);
            self.complete_fetches(partition, fx);
        }
        self.increment_log_start(now, partition, result.log_start, fx);
    }

    fn append_as_follower(
        &mut self,
        now: Time,
        partition: PartitionId,
        slice: FetchedSlice,
        fx: &mut Effects,
    ) {
        let FetchedSlice { batch, base_offset, leader_epoch, append_time } = slice;
        let Batch { count, bytes, .. } = fx.batches[batch];
        let max_timestamp = append_time.unwrap_or_else(|| fx.batches.max_timestamp(batch));
        if self.config.era != Era::Current {
            // The old rules may leave an end inside one of the leader's batches.
            let inside = Truncation { to: base_offset, complete: true };
            self.cut(now, partition, inside, LeaderEpoch::NONE, fx);
        }
        let entry = LogEntry {
            base_offset,
            batch,
            count,
            bytes,
            leader_epoch,
            at: now,
            max_timestamp,
            append_time: append_time.is_some(),
        };
        self.store(now, partition, entry, fx);
    }

    /// The leader named the end of the epoch both know: what lies beyond goes.
    fn truncate(&mut self, now: Time, partition: PartitionId, leader: EpochEnd, fx: &mut Effects) {
        let Some((replica, log)) = self.parts_ref(partition) else { return };
        let cut = match self.config.era {
            Era::Current => truncation(log, replica.high_watermark, leader),
            Era::Kip101 => truncation_kip_101::truncation(log, leader),
            Era::HighWatermark => Truncation { to: leader.end, complete: true },
        };
        self.cut(now, partition, cut, leader.epoch, fx);
    }

    /// A broker of 0.10 that becomes a follower cuts before it asks anybody.
    pub(super) fn cut_as_new_follower(
        &mut self,
        now: Time,
        partition: PartitionId,
        fx: &mut Effects,
    ) {
        if self.config.era != Era::HighWatermark {
            return;
        }
        if let Some((replica, log)) = self.parts_ref(partition) {
            let cut = truncation_high_watermark::on_becoming_follower(log, replica.high_watermark);
            self.cut(now, partition, cut, LeaderEpoch::NONE, fx);
        }
    }

    fn cut(
        &mut self,
        now: Time,
        partition: PartitionId,
        cut: Truncation,
        epoch: LeaderEpoch,
        fx: &mut Effects,
    ) {
        let Some((replica, log)) = self.parts(partition) else { return };
        let started = log.log_start();
        if !log.truncate_to(cut.to) {
            return;
        }
        let (to, start) = (log.end(), log.log_start());
        let high_watermark = replica.high_watermark.min(to);
        replica.producers = ProducerStateManager::rebuilt_from(log, high_watermark, &fx.batches);
        fx.event(EventKind::Truncated { partition, to, epoch });
        if start != started {
            fx.event(EventKind::LogStart { partition, offset: start });
        }
        self.set_high_watermark(now, partition, high_watermark, fx);
        self.say_last_stable(partition, fx);
    }

    /// The leader has compared the logs, under the rule of the era.
    fn reconciled(&mut self, partition: PartitionId) {
        let Some((replica, _)) = self.parts(partition) else { return };
        if let Role::Follower(following) = &mut replica.role {
            following.reconciled = true;
        }
    }

    /// The leader's log begins after this one ends: start anew there. Otherwise wait: the leader may grow.
    fn restart_at(&mut self, now: Time, result: &FetchResult, fx: &mut Effects) {
        let partition = result.partition;
        let Some((replica, log)) = self.parts(partition) else { return };
        let start = result.log_start;
        if start <= log.end() {
            return self.delay(now, partition);
        }
        log.truncate_fully_and_start_at(start);
        replica.producers = ProducerStateManager::default();
        fx.event(EventKind::LogStart { partition, offset: start });
        self.set_high_watermark(now, partition, start, fx);
        self.say_last_stable(partition, fx);
    }

    fn delay(&mut self, now: Time, partition: PartitionId) {
        let until = now + self.config.brokers.replica_fetch_backoff;
        let Some((replica, _)) = self.parts(partition) else { return };
        if let Role::Follower(following) = &mut replica.role {
            following.delayed_until = until;
        }
    }

    /// The connection to `leader` broke: everything followed there is left alone for the back-off.
    pub(super) fn fetcher_failed(&mut self, now: Time, leader: BrokerId, fx: &mut Effects) {
        if self.fetcher(leader).in_flight.take().is_none() {
            return;
        }
        let partitions = std::mem::take(&mut self.fetcher(leader).partitions);
        for partition in &partitions {
            self.delay(now, *partition);
        }
        self.fetcher(leader).partitions = partitions;
        self.fetch_from(now, leader, fx);
    }

    /// No answer within `replica.socket.timeout.ms`.
    pub(super) fn fetcher_timed_out(&mut self, now: Time, number: u16, fx: &mut Effects) {
        let leader = BrokerId(number as u8);
        if self.fetcher(leader).in_flight.is_some() {
            fx.disconnect(NodeId::Broker(leader));
            self.fetcher_failed(now, leader, fx);
        }
    }
}
