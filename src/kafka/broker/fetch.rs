//! Serving fetches, of followers and of consumers: `ReplicaManager.fetchMessages`, `Partition.fetchRecords`,
//! `DelayedFetch`. A follower's fetch offset is its acknowledgement: it moves the leader's knowledge, may expand the
//! ISR and raise the high watermark. The answer carries the high watermark **from before that**, so a follower learns
//! of it one round later.
//!
//! A consumer reads below the high watermark; beyond it and up to the log end it gets nothing and no error. Batches
//! are returned whole. A fetch that finds too little waits for data or for its time to run out; one that begins beyond
//! what it may read is answered empty at once.
//!
//! Simplified: no fetch sessions, no quotas.

use crate::base::config::{Defect, IsolationLevel, ReplicaSelector};
use crate::base::era::Era;
use crate::base::error::ErrorCode;
use crate::base::ids::{BrokerId, LeaderEpoch, Offset, PartitionId};
use crate::base::time::{Duration, Time};
use crate::kafka::api::{AbortedTransaction, FetchPartition, FetchResult, FetchedSlice, Message};
use crate::kafka::broker::Broker;
use crate::kafka::broker::purgatory::{DelayedFetch, FetchParams};
use crate::kafka::effects::{Effects, Token};
use crate::kafka::log::UnifiedLog;
use crate::kafka::replica::Replica;
use crate::kafka::replica_selector::{can_serve, rack_aware};
use crate::kafka::truncation::{Comparison, compare};
use crate::kafka::{truncation_high_watermark, truncation_kip_101};

/// What a read of several partitions found.
#[derive(Clone, Copy)]
struct Found {
    bytes: u32,
    /// An error, a divergence, a better replica or an offset beyond what may be read: nothing to wait for.
    urgent: bool,
}

impl Broker {
    /// A fetch request.
    pub(super) fn fetch(&mut self, now: Time, token: Token, message: Message, fx: &mut Effects) {
        let Message::Fetch {
            replica,
            rack,
            replica_epoch,
            max_wait_ms,
            min_bytes,
            max_bytes,
            isolation,
            partitions,
        } = message
        else {
            unreachable!("the caller matched it");
        };
        let replica = replica.map(|broker| (broker, i64::from(replica_epoch)));
        let params = FetchParams { token, replica, rack, min_bytes, max_bytes, isolation };
        let mut asked = self.ram.purgatory.partitions();
        asked.extend_from_slice(fx.pools.get(partitions));
        let found = self.read(&params, &asked, fx);
        let enough = found.urgent || found.bytes >= min_bytes || max_wait_ms == 0;
        if enough || asked.is_empty() {
            self.answer_fetch(token, fx);
            self.note_positions(now, replica, &asked, fx);
            self.ram.purgatory.recycle_partitions(asked);
        } else {
            self.note_positions(now, replica, &asked, fx);
            let deadline = now + Duration::from_millis(u64::from(max_wait_ms));
            let delayed = DelayedFetch { params, deadline, partitions: asked };
            self.ram.purgatory.delay_fetch(delayed, fx);
        }
    }

    /// Reads every partition that is asked for into the scratch lists of the answer.
    fn read(&mut self, params: &FetchParams, asked: &[FetchPartition], fx: &Effects) -> Found {
        let mut results = std::mem::take(&mut self.ram.fetched);
        let mut slices = std::mem::take(&mut self.ram.slices);
        let mut aborted = std::mem::take(&mut self.ram.aborted);
        results.clear();
        slices.clear();
        aborted.clear();
        let mut found = Found { bytes: 0, urgent: false };
        for ask in asked {
            let budget = ask.max_bytes.min(params.max_bytes.saturating_sub(found.bytes));
            let first = slices.len();
            let mut result = self.read_partition(params.replica, ask, fx);
            let whole = result.error == ErrorCode::None && result.diverging_end == Offset::NONE;
            if whole {
                result.preferred_read_replica = self.preferred_read_replica(params, ask, fx);
            }
            if whole && result.preferred_read_replica.is_none() {
                let end = self.readable_end(params, ask.partition, fx);
                if let Some((replica, log)) = self.parts_ref(ask.partition) {
                    let at_least_one = found.bytes == 0;
                    let range = (ask.offset, end);
                    found.bytes +=
                        read_batches(log, range, (budget, at_least_one), fx, &mut slices);
                    let given = &slices[first..];
                    let known = aborted.len();
                    let told = fx.defect != Defect::AbortedNotListed;
                    if params.isolation == IsolationLevel::ReadCommitted && told {
                        aborted.extend(aborted_in(replica, ask.offset, given, fx));
                    }
                    result.aborted_count = (aborted.len() - known) as u16;
                    // `DelayedFetch`: whoever is beyond what it may read has nothing to wait for.
                    found.urgent |= ask.offset > end;
                }
            } else {
                found.urgent = true;
            }
            result.slice_count = (slices.len() - first) as u16;
            results.push(result);
        }
        self.ram.fetched = results;
        self.ram.slices = slices;
        self.ram.aborted = aborted;
        found
    }

    /// Everything about the answer for one partition but its data.
    fn read_partition(
        &self,
        replica: Option<(BrokerId, i64)>,
        ask: &FetchPartition,
        fx: &Effects,
    ) -> FetchResult {
        let mut result = FetchResult {
            partition: ask.partition,
            error: ErrorCode::None,
            high_watermark: Offset::NONE,
            log_start: Offset::NONE,
            diverging_epoch: LeaderEpoch::NONE,
            diverging_end: Offset::NONE,
            leader: None,
            leader_epoch: LeaderEpoch::NONE,
            preferred_read_replica: None,
            slice_count: 0,
            last_stable_offset: Offset::NONE,
            aborted_count: 0,
        };
        let served = self.serving(ask.partition, ask.current_leader_epoch, replica.is_some(), fx);
        match served.and_then(|served| self.is_current(replica).map(|()| served)) {
            Err(error) => {
                result.error = error;
                if let Some(registration) = self.disk.image.partition(ask.partition) {
                    result.leader = registration.leader;
                    result.leader_epoch = registration.leader_epoch;
                }
            }
            Ok((own, log)) => {
                result.high_watermark = own.high_watermark;
                result.last_stable_offset = own.last_stable_offset();
                result.log_start = log.log_start();
                let defect = fx.defect == Defect::NoTruncation;
                let last_fetched = if defect { LeaderEpoch::NONE } else { ask.last_fetched_epoch };
                let comparison = match self.config.era {
                    // Consumers know nothing of eras.
                    _ if replica.is_none() => compare(log, ask.offset, last_fetched),
                    Era::Current => compare(log, ask.offset, last_fetched),
                    Era::Kip101 => truncation_kip_101::compare(log, ask.offset, last_fetched),
                    Era::HighWatermark => truncation_high_watermark::compare(log, ask.offset),
                };
                match comparison {
                    Comparison::Error(error) => result.error = error,
                    Comparison::Diverges(own) => {
                        result.diverging_epoch = own.epoch;
                        result.diverging_end = own.end;
                    }
                    Comparison::Agrees => {
                        if ask.offset < log.log_start() || ask.offset > log.end() {
                            result.error = ErrorCode::OffsetOutOfRange;
                        }
                    }
                }
            }
        }
        result
    }

    /// The replica to name to a consumer in place of data (`ReplicaManager.findPreferredReadReplica`); `None` is this
    /// leader, and followers name nobody.
    fn preferred_read_replica(
        &self,
        params: &FetchParams,
        ask: &FetchPartition,
        fx: &Effects,
    ) -> Option<BrokerId> {
        let rack = params.rack.filter(|_| params.replica.is_none())?;
        let (own, _) = self.parts_ref(ask.partition)?;
        let leadership = own.leadership()?;
        match self.config.brokers.replica_selector {
            ReplicaSelector::Leader => None,
            ReplicaSelector::RackAware => {
                let isr = leadership.state.isr();
                let followers = leadership.followers.iter();
                let near = followers.filter(|f| can_serve(f, isr, ask.offset));
                let live = fx.names.racks[rack.index()].1.intersection(self.disk.image.unfenced);
                rack_aware(self.id, near, live)
            }
        }
    }

    /// The replica and its log, if a request with this leader epoch may be served here
    /// (`Partition.localLogWithEpochOrThrow`).
    pub(super) fn serving(
        &self,
        partition: PartitionId,
        current_leader_epoch: LeaderEpoch,
        leader_only: bool,
        fx: &Effects,
    ) -> Result<(&Replica, &UnifiedLog), ErrorCode> {
        let Some((replica, log)) = self.parts_ref(partition) else {
            return Err(match self.disk.image.partition(partition) {
                Some(_) => ErrorCode::NotLeaderOrFollower,
                None => ErrorCode::UnknownTopicOrPartition,
            });
        };
        if current_leader_epoch != LeaderEpoch::NONE && fx.defect != Defect::NoEpochFencing {
            if current_leader_epoch < replica.leader_epoch {
                return Err(ErrorCode::FencedLeaderEpoch);
            }
            if current_leader_epoch > replica.leader_epoch {
                return Err(ErrorCode::UnknownLeaderEpoch);
            }
        }
        if leader_only && !replica.is_leader() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        Ok((replica, log))
    }

    /// A fetch of a process that a later one has replaced is refused: it says nothing about the replica any more
    /// (KIP-903, `Replica.updateFetchStateOrThrow`).
    fn is_current(&self, replica: Option<(BrokerId, i64)>) -> Result<(), ErrorCode> {
        let image = &self.disk.image;
        let replaced = |(broker, epoch): (BrokerId, i64)| {
            epoch != -1 && image.unfenced.contains(broker) && image.broker_epoch(broker) > epoch
        };
        if replica.is_some_and(replaced) { Err(ErrorCode::NotLeaderOrFollower) } else { Ok(()) }
    }

    /// Up to where a fetcher may read: a follower everything, a consumer what is committed, in both senses under
    /// `read_committed`.
    fn readable_end(&self, params: &FetchParams, partition: PartitionId, fx: &Effects) -> Offset {
        let Some((own, log)) = self.parts_ref(partition) else { return Offset::NONE };
        if params.replica.is_some() || fx.defect == Defect::ReadsAboveHighWatermark {
            log.end()
        } else if fx.defect == Defect::ReadsAboveLastStable {
            own.high_watermark
        } else {
            own.fetchable_end(params.isolation)
        }
    }

    /// A follower's positions say what it has (`Partition.updateFollowerFetchState`). Called after the read.
    fn note_positions(
        &mut self,
        now: Time,
        replica: Option<(BrokerId, i64)>,
        asked: &[FetchPartition],
        fx: &mut Effects,
    ) {
        let Some((follower, broker_epoch)) = replica else { return };
        for ask in asked {
            let result = self.read_partition(replica, ask, fx);
            if result.error != ErrorCode::None || result.diverging_end != Offset::NONE {
                continue;
            }
            let Some((own, log)) = self.parts(ask.partition) else { continue };
            let end = log.end();
            let Some(state) = own.leadership_mut().and_then(|l| l.follower_mut(follower)) else {
                continue;
            };
            let moved = state.log_end != ask.offset;
            state.fetched(ask.offset, end, now);
            state.log_start = ask.log_start;
            state.broker_epoch = Some(broker_epoch);
            self.maybe_expand_isr(now, ask.partition, follower, fx);
            if moved {
                self.raise_high_watermark(now, ask.partition, fx);
            }
        }
    }

    /// Answers the fetches that wait for `partition` and have reason to be answered now.
    pub(super) fn complete_fetches(&mut self, partition: PartitionId, fx: &mut Effects) {
        let mut fetches = std::mem::take(&mut self.ram.purgatory.fetches);
        let mut at = 0;
        while at < fetches.len() {
            let DelayedFetch { params, partitions, .. } = &fetches[at];
            let concerned = partitions.iter().any(|ask| ask.partition == partition);
            if !concerned {
                at += 1;
                continue;
            }
            // A replica that has become better is no reason to answer, but is named in the answer.
            let found = self.read(&FetchParams { rack: None, ..*params }, partitions, fx);
            if found.urgent || found.bytes >= params.min_bytes {
                let done = fetches.remove(at);
                if done.params.rack.is_some() {
                    self.read(&done.params, &done.partitions, fx);
                }
                self.answer_fetch(done.params.token, fx);
                self.ram.purgatory.recycle_partitions(done.partitions);
            } else {
                at += 1;
            }
        }
        self.ram.purgatory.fetches = fetches;
        self.wake_share_fetches(partition);
    }

    /// Answers the fetches that have waited long enough, with what there is.
    pub(super) fn expire_fetches(&mut self, now: Time, fx: &mut Effects) {
        while let Some(at) =
            self.ram.purgatory.fetches.iter().position(|delayed| delayed.deadline <= now)
        {
            let done = self.ram.purgatory.fetches.remove(at);
            self.read(&done.params, &done.partitions, fx);
            self.answer_fetch(done.params.token, fx);
            self.ram.purgatory.recycle_partitions(done.partitions);
        }
        self.ram.purgatory.rearm_fetch(fx);
    }

    /// Sends what the last read found.
    fn answer_fetch(&mut self, token: Token, fx: &mut Effects) {
        let results = fx.keep(&self.ram.fetched);
        let slices = fx.keep(&self.ram.slices);
        let aborted = fx.keep(&self.ram.aborted);
        fx.reply(token, Message::FetchResponse { results, slices, aborted });
    }
}

/// The aborted transactions with records in the slices that a reader from `offset` on is given.
pub(super) fn aborted_in<'a>(
    replica: &'a Replica,
    offset: Offset,
    slices: &[FetchedSlice],
    fx: &Effects,
) -> impl Iterator<Item = AbortedTransaction> + use<'a> {
    let end = |slice: &FetchedSlice| slice.base_offset + i64::from(fx.batches[slice.batch].count);
    let end = slices.last().map_or(offset, end);
    replica.producers.transactions.aborted_between(offset, end)
}

/// Reads whole batches from `offset` up to `end` into `slices`, within a budget of bytes that the first batch may
/// exceed when `at_least_one`. Returns the bytes read.
pub(super) fn read_batches(
    log: &UnifiedLog,
    (offset, end): (Offset, Offset),
    (budget, at_least_one): (u32, bool),
    fx: &Effects,
    slices: &mut Vec<FetchedSlice>,
) -> u32 {
    let mut bytes = 0;
    if offset >= end {
        return bytes;
    }
    for entry in log.read_from(offset).take_while(|entry| entry.base_offset < end) {
        let size = fx.batches[entry.batch].bytes;
        let first = bytes == 0 && at_least_one;
        if bytes + size > budget && !first {
            break;
        }
        bytes += size;
        slices.push(FetchedSlice {
            batch: entry.batch,
            base_offset: entry.base_offset,
            leader_epoch: entry.leader_epoch,
            append_time: entry.append_time.then_some(entry.max_timestamp),
        });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::broker_set::ReplicaList;
    use crate::base::chooser::Chooser;
    use crate::base::config::{ClusterConfig, TopicConfig};
    use crate::base::ids::{NodeId, TopicId};
    use crate::base::names::{Names, Partition, Topic};
    use crate::kafka::controller::Formation;
    use crate::kafka::effects::{Effect, Input};

    const P0: PartitionId = PartitionId(0);

    /// Two brokers; the first leads. Broker epochs of a formed cluster are 0 and 1.
    fn leader() -> (Broker, Effects) {
        let ids = [BrokerId(1), BrokerId(2)];
        let topic =
            Topic { name: "t".into(), partitions: vec![P0], internal: false, partition_count: 1 };
        let partition = Partition { topic: TopicId(0), index: 0, replicas: ReplicaList::new(&ids) };
        let (topics, partitions) = (vec![topic], vec![partition]);
        let names = Names { controllers: 1, brokers: 2, topics, partitions, ..Names::default() };
        let config =
            ClusterConfig { topics: vec![TopicConfig::default()], ..ClusterConfig::default() };
        let mut leader = Broker::formed(ids[0], Arc::new(config), &Formation::of(&names));
        let mut fx = Effects::new(Arc::new(names), Chooser::seeded(1));
        leader.step(Time::ZERO, Input::Start, &mut fx);
        fx.list.clear();
        (leader, fx)
    }

    /// What the leader answers to broker 2 under this broker epoch, and the epoch it knows of it afterwards.
    fn fetch(leader: &mut Broker, fx: &mut Effects, epoch: i32) -> (ErrorCode, Option<i64>) {
        let asked = FetchPartition {
            partition: P0,
            offset: Offset(0),
            current_leader_epoch: LeaderEpoch(0),
            last_fetched_epoch: LeaderEpoch::NONE,
            log_start: Offset(0),
            max_bytes: 1_000,
        };
        let message = Message::Fetch {
            replica: Some(BrokerId(2)),
            rack: None,
            replica_epoch: epoch,
            isolation: IsolationLevel::ReadUncommitted,
            max_wait_ms: 0,
            min_bytes: 1,
            max_bytes: 1_000,
            partitions: fx.keep(&[asked]),
        };
        let from = NodeId::Broker(BrokerId(2));
        let token = Token { from, correlation: 1, connection: 1 };
        leader.step(Time::ZERO, Input::Request { token, message }, fx);
        let answer = fx.list.iter().find_map(|effect| match effect {
            Effect::Reply { message: Message::FetchResponse { results, .. }, .. } => Some(*results),
            _ => None,
        });
        let error = fx.pools.get(answer.expect("an answer"))[0].error;
        fx.list.clear();
        let leadership = leader.replica(P0).and_then(|replica| replica.leadership());
        (error, leadership.and_then(|l| l.follower(BrokerId(2))).and_then(|f| f.broker_epoch))
    }

    #[test]
    fn a_fetch_of_a_replaced_process_is_refused_and_changes_nothing() {
        let (mut leader, mut fx) = leader();
        let stale = fetch(&mut leader, &mut fx, 0);
        assert_eq!(stale, (ErrorCode::NotLeaderOrFollower, None));
        assert_eq!(fetch(&mut leader, &mut fx, 1), (ErrorCode::None, Some(1)));
        // A registration the leader has not heard of yet is taken as it is.
        assert_eq!(fetch(&mut leader, &mut fx, 9), (ErrorCode::None, Some(9)));
    }
}
