//! Serving producers: `ReplicaManager.appendRecords`, `Partition.appendRecordsToLeader`, `DelayedProduce`. The group
//! coordinator's own batches take the same way (`CoordinatorPartitionWriter`, which appends with `acks=1` and then
//! waits for the high watermark).
//!
//! Simplified: no compression; a batch with one invalid record is refused with its error as a whole (Kafka tells the
//! producer which records are to blame).

use crate::base::batch::{Batch, RecordBody};
use crate::base::config::{Defect, TopicConfig};
use crate::base::error::ErrorCode;
use crate::base::ids::{BatchHandle, KeyId, LeaderEpoch, Offset, PartitionId};
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::api::{Message, ProduceBatch, ProduceResult, TxnMarker};
use crate::kafka::broker::Broker;
use crate::kafka::broker::purgatory::{CoordinatorWrite, DelayedProduce, ProduceItem};
use crate::kafka::broker::verification::{Transaction, Waiting};
use crate::kafka::effects::{Effects, Token};
use crate::kafka::group::coordinator::CoordinatorAppend;
use crate::kafka::high_watermark::effective_min_isr;
use crate::kafka::log::entries::LogEntry;
use crate::kafka::log::producer_state::{Admission, Guard, Verified};

/// A batch for a leader's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Append {
    pub(super) partition: PartitionId,
    pub(super) batch: BatchHandle,
    pub(super) acks: i8,
    pub(super) origin: Origin,
}

impl Append {
    /// Something a coordinator of this broker writes, outside of transactions.
    pub(super) fn own(partition: PartitionId, batch: BatchHandle, acks: i8) -> Self {
        Self { partition, batch, acks, origin: Origin::Coordinator(Verified::NotNeeded) }
    }
}

/// The fixed part of a produce request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ProduceParams {
    pub(super) token: Token,
    pub(super) acks: i8,
    pub(super) timeout_ms: u32,
}

/// Who appends (`AppendOrigin`): it says what is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A producer.
    Client(Verified),
    /// A coordinator of this broker.
    Coordinator(Verified),
    /// A transaction coordinator that ends a transaction.
    Marker(TxnMarker),
}

impl Broker {
    /// A produce request: append each batch, then answer by `acks`. The first batches of a transaction wait for its
    /// coordinator's word.
    pub(super) fn produce(&mut self, now: Time, token: Token, message: Message, fx: &mut Effects) {
        let Message::Produce { acks, timeout_ms, transactional, adds, batches } = message else {
            unreachable!("the caller matched it");
        };
        let params = ProduceParams { token, acks, timeout_ms };
        let mut list = std::mem::take(&mut self.ram.batches);
        list.extend_from_slice(fx.pools.get(batches));
        let producer = list.first().and_then(|first| fx.batches[first.batch].producer);
        if let (Some(id), Some(producer)) = (transactional, producer) {
            let (producer_id, epoch) = (producer.id, producer.epoch);
            let transaction = Transaction { id, producer_id, epoch, adds };
            let asked = self.unverified(transaction, &list, fx);
            if !asked.is_empty() {
                let waiting = Waiting::Produce { params, batches: list.clone() };
                self.ask_coordinator(now, transaction, asked, waiting, fx);
                list.clear();
            }
        }
        if !list.is_empty() {
            self.append_produce(now, params, &list, (&[], ErrorCode::None), fx);
        }
        list.clear();
        self.ram.batches = list;
    }

    /// Appends the batches of a produce request. Those whose partitions were asked for are refused with the error of
    /// the verdict, if it is one.
    pub(super) fn append_produce(
        &mut self,
        now: Time,
        params: ProduceParams,
        batches: &[ProduceBatch],
        (asked, error): (&[(PartitionId, Guard)], ErrorCode),
        fx: &mut Effects,
    ) {
        let ProduceParams { token, acks, timeout_ms } = params;
        let mut items = self.ram.purgatory.items();
        for ProduceBatch { partition, batch } in batches.iter().copied() {
            let refused = error != ErrorCode::None && asked.iter().any(|(p, _)| *p == partition);
            let origin = Origin::Client(self.verified(partition, asked));
            let outcome = if refused {
                Err(error)
            } else {
                self.append_as_leader(now, Append { partition, batch, acks, origin }, fx)
            };
            items.push(self.produce_item(partition, batch, outcome, fx));
        }
        let refused = items.iter().any(|item| item.result.error != ErrorCode::None);
        if acks == 0 {
            self.ram.purgatory.recycle_items(items);
            if refused {
                // The producer asked for no answer: a closed connection is how it learns that something is wrong.
                fx.hang_up(token);
            }
            return;
        }
        let at_once = acks == 1 || fx.defect == Defect::AckBeforeReplication;
        for item in &mut items {
            item.pending = !at_once && item.result.error == ErrorCode::None;
        }
        let deadline = now + Duration::from_millis(u64::from(timeout_ms));
        self.wait_for_replication(DelayedProduce { token, deadline, items, markers: false }, fx);
    }

    /// Answers once nothing waits any more.
    pub(super) fn wait_for_replication(&mut self, mut delayed: DelayedProduce, fx: &mut Effects) {
        if self.produce_done(&mut delayed, None) {
            self.answer_produce(delayed, fx);
        } else {
            self.ram.purgatory.delay_produce(delayed, fx);
        }
    }

    pub(super) fn produce_item(
        &self,
        partition: PartitionId,
        batch: BatchHandle,
        outcome: Result<(Offset, Offset), ErrorCode>,
        fx: &mut Effects,
    ) -> ProduceItem {
        let mut result = ProduceResult {
            partition,
            batch,
            error: ErrorCode::None,
            base_offset: Offset::NONE,
            leader: None,
            leader_epoch: LeaderEpoch::NONE,
        };
        let mut required = Offset::NONE;
        match outcome {
            Ok((base_offset, end)) => {
                result.base_offset = base_offset;
                required = end;
            }
            Err(error) => {
                result.error = error;
                fx.event(EventKind::AppendRefused { partition, batch, error });
                self.name_leader(&mut result);
            }
        }
        ProduceItem { result, required, pending: false }
    }

    /// With `NOT_LEADER_OR_FOLLOWER` goes the leader this broker knows of (KIP-951).
    fn name_leader(&self, result: &mut ProduceResult) {
        if result.error == ErrorCode::NotLeaderOrFollower
            && let Some(registration) = self.disk.image.partition(result.partition)
        {
            result.leader = registration.leader;
            result.leader_epoch = registration.leader_epoch;
        }
    }

    /// Appends a batch as the leader. Returns the offsets of its first record and after its last; of a duplicate
    /// those it got the first time.
    pub(super) fn append_as_leader(
        &mut self,
        now: Time,
        append: Append,
        fx: &mut Effects,
    ) -> Result<(Offset, Offset), ErrorCode> {
        let Append { partition, batch, acks, origin } = append;
        let settings: TopicConfig = *self.topic_config(partition, fx);
        if self.disk.image.partition(partition).is_none() {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let header = fx.batches[batch];
        let (replica, _) = self.parts(partition).ok_or(ErrorCode::NotLeaderOrFollower)?;
        let leadership = replica.leadership().ok_or(ErrorCode::NotLeaderOrFollower)?;
        let min_isr =
            effective_min_isr(settings.min_insync_replicas, replica.replicas.as_slice().len());
        if acks == -1 && leadership.state.isr().len() < min_isr {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        validate_records(now, &settings, batch, fx)?;
        if header.bytes > settings.max_message_bytes {
            return Err(ErrorCode::MessageTooLarge);
        }
        self.expire_producers(now, partition);
        let (replica, _) = self.parts(partition).ok_or(ErrorCode::NotLeaderOrFollower)?;
        match origin {
            Origin::Client(_) if fx.defect == Defect::NoDeduplication => {}
            Origin::Client(verified) => match replica.producers.admit(&header, verified) {
                Admission::Append => {}
                Admission::Refuse(error) => return Err(error),
                Admission::Duplicate(base_offset) => {
                    fx.event(EventKind::Deduplicated { partition, batch, base_offset });
                    return Ok((base_offset, base_offset + i64::from(header.count)));
                }
            },
            Origin::Coordinator(by) => replica.producers.admit_coordinator(&header, by)?,
            Origin::Marker(marker) => replica.producers.admit_marker(&marker)?,
        }
        let append_time = settings.log_append_time;
        let max_timestamp =
            if append_time { now.timestamp() } else { fx.batches.max_timestamp(batch) };
        let (replica, log) = self.parts_ref(partition).ok_or(ErrorCode::NotLeaderOrFollower)?;
        let Batch { count, bytes, .. } = header;
        let entry = LogEntry {
            base_offset: log.end(),
            batch,
            count,
            bytes,
            leader_epoch: replica.leader_epoch,
            at: now,
            max_timestamp,
            append_time,
        };
        self.store(now, partition, entry, fx);
        if !self.raise_high_watermark(now, partition, fx) {
            self.complete_fetches(partition, fx);
        }
        Ok((entry.base_offset, entry.end()))
    }

    /// Puts `entry` at the end of the log of a leader or of a follower, in a new segment when the last is full
    /// (`UnifiedLog.append`).
    pub(super) fn store(
        &mut self,
        now: Time,
        partition: PartitionId,
        entry: LogEntry,
        fx: &mut Effects,
    ) {
        let LogEntry { batch, base_offset, leader_epoch, bytes, max_timestamp, .. } = entry;
        self.maybe_roll(now, partition, (bytes, max_timestamp), fx);
        let Some((replica, log)) = self.parts(partition) else { return };
        log.append(entry);
        replica.producers.update(&fx.batches, batch, base_offset);
        fx.event(EventKind::Appended { partition, batch, base_offset, leader_epoch });
        self.maybe_flush(now, partition, fx);
        self.say_last_stable(partition, fx);
    }

    /// Lets go of the produce requests that waited for `partition`: its high watermark moved, or it is not led here any
    /// more.
    pub(super) fn complete_produces(&mut self, partition: PartitionId, fx: &mut Effects) {
        let mut produces = std::mem::take(&mut self.ram.purgatory.produces);
        let mut at = 0;
        while at < produces.len() {
            if self.produce_done(&mut produces[at], Some(partition)) {
                self.answer_produce(produces.remove(at), fx);
            } else {
                at += 1;
            }
        }
        self.ram.purgatory.produces = produces;
    }

    /// `DelayedProduce.tryComplete`: looks at the batches for `only`, or at all. True when none waits any more.
    fn produce_done(&self, delayed: &mut DelayedProduce, only: Option<PartitionId>) -> bool {
        for item in &mut delayed.items {
            let partition = item.result.partition;
            if !item.pending || only.is_some_and(|only| only != partition) {
                continue;
            }
            let error = self.replicated(partition, item.required);
            if error.is_none() {
                continue;
            }
            item.pending = false;
            item.result.error = error.unwrap_or_default();
            if item.result.error != ErrorCode::None {
                item.result.base_offset = Offset::NONE;
                self.name_leader(&mut item.result);
            }
        }
        delayed.items.iter().all(|item| !item.pending)
    }

    /// `Partition.checkEnoughReplicasReachOffset`: `None` while it waits, else the outcome. The high watermark stands
    /// still below the min ISR, so `NOT_ENOUGH_REPLICAS_AFTER_APPEND` cannot come about: the request waits.
    fn replicated(&self, partition: PartitionId, required: Offset) -> Option<ErrorCode> {
        let leading = self.replica(partition).filter(|replica| replica.is_leader());
        match leading {
            None => Some(ErrorCode::NotLeaderOrFollower),
            Some(replica) => (replica.high_watermark >= required).then_some(ErrorCode::None),
        }
    }

    /// Produce requests that waited for as long as they allowed: `REQUEST_TIMED_OUT`. What was appended stays.
    pub(super) fn expire_produces(&mut self, now: Time, fx: &mut Effects) {
        while let Some(at) =
            self.ram.purgatory.produces.iter().position(|delayed| delayed.deadline <= now)
        {
            let mut delayed = self.ram.purgatory.produces.remove(at);
            for item in delayed.items.iter_mut().filter(|item| item.pending) {
                item.result.error = ErrorCode::RequestTimedOut;
                item.result.base_offset = Offset::NONE;
            }
            self.answer_produce(delayed, fx);
        }
        self.ram.purgatory.rearm_produce(fx);
    }

    fn answer_produce(&mut self, delayed: DelayedProduce, fx: &mut Effects) {
        if delayed.markers {
            return self.answer_markers(delayed, fx);
        }
        let mut results = std::mem::take(&mut self.ram.results);
        results.extend(delayed.items.iter().map(|item| item.result));
        let list = fx.keep(&results);
        fx.reply(delayed.token, Message::ProduceResponse { results: list });
        results.clear();
        self.ram.results = results;
        self.ram.purgatory.recycle_items(delayed.items);
    }

    /// Appends what the group coordinator wants to write.
    pub(super) fn write_for_coordinator(
        &mut self,
        now: Time,
        mut appends: Vec<CoordinatorAppend>,
        fx: &mut Effects,
    ) {
        for CoordinatorAppend { partition, batch, ticket } in appends.drain(..) {
            let append = Append::own(partition, batch, 1);
            let outcome = self.append_as_leader(now, append, fx);
            self.written(now, partition, ticket, outcome, fx);
        }
        self.ram.appends = appends;
    }

    /// A batch of a coordinator of this broker was appended, or not.
    pub(super) fn written(
        &mut self,
        now: Time,
        partition: PartitionId,
        ticket: u32,
        outcome: Result<(Offset, Offset), ErrorCode>,
        fx: &mut Effects,
    ) {
        match outcome {
            Ok((base_offset, required)) => {
                let write = CoordinatorWrite { partition, ticket, base_offset, required };
                self.ram.purgatory.writes.push(write);
                self.complete_coordinator_writes(now, partition, fx);
            }
            Err(error) => self.coordinator_write_ended(now, partition, (ticket, Err(error)), fx),
        }
    }

    /// Tells the coordinators what is replicated.
    pub(super) fn complete_coordinator_writes(
        &mut self,
        now: Time,
        partition: PartitionId,
        fx: &mut Effects,
    ) {
        let Some(reached) = self.replica(partition).map(|replica| replica.high_watermark) else {
            return;
        };
        let mine = |w: &CoordinatorWrite| w.partition == partition && w.required <= reached;
        while let Some(at) = self.ram.purgatory.writes.iter().position(mine) {
            let write = self.ram.purgatory.writes.remove(at);
            let outcome = (write.ticket, Ok(write.base_offset));
            self.coordinator_write_ended(now, partition, outcome, fx);
        }
    }

    /// Tells whose batch it was: in an internal topic a coordinator's, else the dead letters of a share group.
    fn coordinator_write_ended(
        &mut self,
        now: Time,
        partition: PartitionId,
        (ticket, outcome): (u32, Result<Offset, ErrorCode>),
        fx: &mut Effects,
    ) {
        let names = &fx.names;
        if names.keeps_share_state(partition) || !names.topic_of(partition).internal {
            self.share_committed(partition, ticket, outcome, fx);
        } else if names.transaction_partitions.contains(&partition) {
            self.coordinate(now, fx, |c, step| c.committed(step, ticket, outcome));
        } else {
            self.ram.coordinator.committed(now, ticket, outcome, fx);
        }
    }

    /// The partition is not led here any more; the coordinator itself answers who waits.
    pub(super) fn forget_coordinator_writes(&mut self, partition: PartitionId) {
        self.ram.purgatory.writes.retain(|write| write.partition != partition);
    }
}

/// `LogValidator`: a compacted topic takes no record without a key, and no topic one that is stamped too far from the
/// broker's clock.
fn validate_records(
    now: Time,
    settings: &TopicConfig,
    batch: BatchHandle,
    fx: &Effects,
) -> Result<(), ErrorCode> {
    let clock = now.timestamp();
    let beyond = |distance: i64, limit: Duration| {
        limit != Duration(u64::MAX) && distance > limit.as_millis() as i64
    };
    for record in fx.batches.records(batch) {
        let is_message = matches!(record.body, RecordBody::Message(_));
        if settings.cleanup.compact && is_message && record.key == KeyId::NONE {
            return Err(ErrorCode::InvalidRecord);
        }
        let stamped = record.timestamp;
        let too_old = beyond(clock - stamped, settings.timestamp_before_max);
        let too_new = beyond(stamped - clock, settings.timestamp_after_max);
        if !settings.log_append_time && (too_old || too_new) {
            return Err(ErrorCode::InvalidTimestamp);
        }
    }
    Ok(())
}
