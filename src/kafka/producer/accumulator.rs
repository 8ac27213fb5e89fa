//! Where records wait to be sent: batches by partition, the memory they take, and which of them may go.
//!
//! Kafka: `RecordAccumulator`, `BufferPool`, `IncompleteBatches`.
//! Simplified: back-off jitter is drawn once a retry; the weights of adaptive partitioning are those of the moment a
//! partition is chosen, Kafka's those of the sender's last pass.

use std::collections::VecDeque;

use crate::base::batch::{Batch, Record};
use crate::base::broker_set::BrokerSet;
use crate::base::config::ProducerConfig;
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, PartitionId};
use crate::base::librdkafka::ClientFamily;
use crate::base::time::{Duration, Time};
use crate::kafka::backoff::ExponentialBackoff;
use crate::kafka::client_metadata::ClientMetadata;
use crate::kafka::effects::Effects;
use crate::kafka::producer::batch::{BatchId, BatchStore, ESTIMATE_SLACK, ProducerBatch};
use crate::kafka::producer::transaction_manager::TransactionManager;

/// What became of an append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Appended {
    /// It is in a batch. `bytes` counts for the sticky partitioner; `wake` says that the sender has something to do.
    Done { bytes: u32, wake: bool },
    /// `buffer.memory` has no room for another batch.
    NoMemory,
}

/// Which brokers have something to send to them, and when to look again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ReadyCheck {
    /// Leaders of partitions with a sendable batch.
    pub(super) nodes: BrokerSet,
    /// When the next batch has lingered or backed off long enough.
    pub(super) next_check: Time,
    /// A batch waits whose partition has no known leader.
    pub(super) unknown_leader: bool,
}

/// The queue of one partition.
#[derive(Clone, Default, Debug)]
struct PartitionQueue {
    /// To be sent, first first.
    waiting: VecDeque<BatchId>,
    /// Sent and not answered, in the order they were drained.
    in_flight: Vec<BatchId>,
    /// `max.in.flight=1`: nothing is drained while a batch is in flight.
    muted: bool,
    /// It ever had a batch; adaptive partitioning starts when every partition had.
    used: bool,
}

/// `NodeLatencyStats`: how long there has been something for a broker that did not take it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct NodeLatency {
    /// When there was last something for it.
    ready: Time,
    /// When it last could take it.
    drain: Time,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct RecordAccumulator {
    batch_size: u32,
    linger: Duration,
    delivery_timeout: Duration,
    retry_backoff: ExponentialBackoff,
    available_memory: u64,
    availability_timeout: Duration,
    /// By broker; only with `partitioner.availability.timeout.ms`.
    node_latency: Vec<Option<NodeLatency>>,
    /// librdkafka without idempotence: a batch that backs off does not hold up those behind it.
    overtakes: bool,
    pub(super) batches: BatchStore,
    /// By partition.
    queues: Vec<PartitionQueue>,
    /// Partitions with a waiting batch, ascending.
    active: Vec<PartitionId>,
    /// Partitions with a batch in flight, ascending.
    flying: Vec<PartitionId>,
    /// By broker: the partition at which the next drain starts.
    drain_index: Vec<PartitionId>,
    /// Batches without an outcome, by serial number.
    incomplete: VecDeque<BatchId>,
    /// `flush()` waits for batches with a smaller serial number.
    flush_below: u64,
    /// `close()` was called.
    pub(super) closed: bool,
}

impl RecordAccumulator {
    /// Without records.
    pub(super) fn new(config: &ProducerConfig) -> Self {
        Self {
            batch_size: config.batch_size,
            linger: config.linger,
            delivery_timeout: config.delivery_timeout,
            retry_backoff: ExponentialBackoff::new(config.retry_backoff, config.retry_backoff_max),
            available_memory: config.buffer_memory,
            availability_timeout: config.availability_timeout,
            node_latency: Vec::new(),
            overtakes: config.family == ClientFamily::Librdkafka && !config.enable_idempotence,
            batches: BatchStore::default(),
            queues: Vec::new(),
            active: Vec::new(),
            flying: Vec::new(),
            drain_index: Vec::new(),
            incomplete: VecDeque::new(),
            flush_below: 0,
            closed: false,
        }
    }

    /// Appends `record` to the open batch of `partition`, or to a new one when there is memory for it.
    pub(super) fn append(&mut self, now: Time, partition: PartitionId, record: Record) -> Appended {
        let last = self.queue(partition).waiting.back().copied();
        if let Some(id) = last
            && self.batches[id].try_append(record, now)
        {
            let wake = self.queue(partition).waiting.len() > 1 || self.batches[id].is_full();
            return Appended::Done { bytes: record.bytes, wake };
        }
        let estimate = Batch::HEADER_BYTES + record.bytes + ESTIMATE_SLACK;
        let size = self.batch_size.max(estimate);
        if self.available_memory < u64::from(size) {
            return Appended::NoMemory;
        }
        self.available_memory -= u64::from(size);
        let id = self.batches.create(partition, now, size);
        let fits = self.batches[id].try_append(record, now);
        assert!(fits, "a new batch takes any first record");
        self.incomplete.push_back(id);
        self.queue(partition).used = true;
        self.push_back(partition, id);
        Appended::Done { bytes: self.batches[id].bytes, wake: true }
    }

    /// True when the partition has no open batch with room (`allBatchesFull`).
    pub(super) fn all_batches_full(&self, partition: PartitionId) -> bool {
        let last = self.queues.get(partition.index()).and_then(|queue| queue.waiting.back());
        last.is_none_or(|id| self.batches[*id].is_full())
    }

    /// True when the partition has no open batch that a record of `bytes` fits into: what Kafka finds when `tryAppend`
    /// has closed the last batch, before it makes a new one.
    pub(super) fn needs_new_batch(&mut self, partition: PartitionId, bytes: u32) -> bool {
        let last = self.queue(partition).waiting.back().copied();
        last.is_none_or(|id| !self.batches[id].make_room(bytes))
    }

    /// How many batches wait for `partition`; `None` when it never had one.
    pub(super) fn queue_size(&self, partition: PartitionId) -> Option<u32> {
        let queue = self.queues.get(partition.index()).filter(|queue| queue.used)?;
        Some(queue.waiting.len() as u32)
    }

    /// There is something for `broker`, which can take it now or not (`updateNodeLatencyStats`).
    pub(super) fn update_latency(&mut self, now: Time, broker: BrokerId, can_drain: bool) {
        if self.availability_timeout == Duration::ZERO {
            return;
        }
        if self.node_latency.len() <= broker.index() {
            self.node_latency.resize(broker.index() + 1, None);
        }
        let stats = self.node_latency[broker.index()];
        let drain = stats.filter(|_| !can_drain).map_or(now, |stats| stats.drain);
        self.node_latency[broker.index()] = Some(NodeLatency { ready: now, drain });
    }

    /// True when adaptive partitioning passes `partition` over: something waits for it, and its leader has taken
    /// nothing for longer than `partitioner.availability.timeout.ms`.
    pub(super) fn is_stuck(&self, partition: PartitionId, leader: Option<BrokerId>) -> bool {
        let waits = self.queue_size(partition).is_some_and(|size| size > 0);
        let stats = leader.and_then(|leader| *self.node_latency.get(leader.index())?);
        waits && stats.is_some_and(|s| s.ready.since(s.drain) > self.availability_timeout)
    }

    /// Looks for something to send. `exhausted` says that a `send()` waits for memory.
    pub(super) fn ready(
        &mut self,
        now: Time,
        metadata: &ClientMetadata,
        exhausted: bool,
    ) -> ReadyCheck {
        let mut check =
            ReadyCheck { nodes: BrokerSet::EMPTY, next_check: Time::NEVER, unknown_leader: false };
        let all = exhausted || self.closed || self.flush_in_progress();
        for n in 0..self.active.len() {
            let partition = self.active[n];
            let queue = &self.queues[partition.index()];
            let first = queue.waiting[self.head(now, partition)];
            let (many, muted) = (queue.waiting.len() > 1, queue.muted);
            let batch = &mut self.batches[first];
            batch.see_leader_epoch(metadata.leader_epoch(partition));
            let Some(leader) = metadata.leader(partition) else {
                check.unknown_leader = true;
                continue;
            };
            if muted {
                continue;
            }
            let ready_at = batch.ready_at(self.linger);
            let sendable = many || batch.is_full() || ready_at <= now || all;
            if sendable && !batch.is_backing_off(now) {
                check.nodes = check.nodes.with(leader);
            } else {
                check.next_check = check.next_check.min(ready_at);
            }
            if self.overtakes {
                let waiting = self.queues[partition.index()].waiting.iter();
                let backing_off = waiting.filter(|id| self.batches[**id].is_backing_off(now));
                let until = backing_off.map(|id| self.batches[*id].ready_at(self.linger)).min();
                check.next_check = check.next_check.min(until.unwrap_or(Time::NEVER));
            }
        }
        check
    }

    /// Takes at most one batch a partition for `node`, `max_size` bytes together, and puts their ids into `drained`.
    pub(super) fn drain(
        &mut self,
        now: Time,
        node: BrokerId,
        max_size: u32,
        world: &mut DrainContext<'_>,
        drained: &mut Vec<BatchId>,
    ) {
        if self.drain_index.len() <= node.index() {
            self.drain_index.resize(node.index() + 1, PartitionId(0));
        }
        let from = self.drain_index[node.index()];
        let start = self.active.partition_point(|partition| *partition < from);
        let mut candidates = std::mem::take(&mut world.scratch);
        candidates.clear();
        candidates.extend(self.active[start..].iter().chain(&self.active[..start]));
        candidates.retain(|partition| world.metadata.leader(*partition) == Some(node));
        let mut size = 0;
        for partition in &candidates {
            self.drain_index[node.index()] = *partition;
            let queue = &self.queues[partition.index()];
            if queue.muted {
                continue;
            }
            let head = self.head(now, *partition);
            let id = self.queues[partition.index()].waiting[head];
            let first = &mut self.batches[id];
            first.see_leader_epoch(world.metadata.leader_epoch(*partition));
            if first.is_backing_off(now) {
                continue;
            }
            let too_much = size + first.bytes > max_size && !drained.is_empty();
            let stop = |txn: &TransactionManager| txn.must_wait(*partition, first);
            if too_much || world.transactions.as_deref().is_some_and(stop) {
                break;
            }
            size += first.bytes;
            self.take(*partition, head);
            if let Some(transactions) = world.transactions.as_deref_mut() {
                transactions.assign_sequence(*partition, id, &mut self.batches[id]);
            }
            drained.push(id);
        }
        world.scratch = candidates;
    }

    /// The batch was sent: it counts as in flight until it is answered, failed or put back.
    pub(super) fn sent(&mut self, id: BatchId, mute: bool) {
        let partition = self.batches[id].partition;
        self.batches[id].in_flight = true;
        let queue = self.queue(partition);
        queue.in_flight.push(id);
        queue.muted |= mute;
        if let Err(place) = self.flying.binary_search(&partition) {
            self.flying.insert(place, partition);
        }
    }

    /// The partition may be drained again.
    pub(super) fn unmute(&mut self, partition: PartitionId) {
        self.queue(partition).muted = false;
    }

    /// Puts a batch back into its queue after `error`: an idempotent one at its place by sequence, any other at the
    /// front. So, of several in flight when a connection breaks, the last one comes first.
    pub(super) fn reenqueue(&mut self, now: Time, id: BatchId, error: ErrorCode, fx: &mut Effects) {
        self.landed(id);
        let wait = self.retry_backoff.backoff(self.batches[id].attempts, fx);
        self.batches[id].reenqueued(now, error, wait);
        self.insert(id);
    }

    /// Puts a batch at its place by sequence, or at the front when it has none.
    fn insert(&mut self, id: BatchId) {
        let (partition, sequence) = (self.batches[id].partition, self.batches[id].base_sequence());
        let serial = self.batches[id].serial;
        let waiting = &self.queues[partition.index()].waiting;
        // librdkafka sorts messages by their age; Java puts what comes back to the front.
        let older =
            waiting.iter().take_while(|b| self.overtakes && self.batches[**b].serial < serial);
        let place = sequence.map_or(older.count(), |sequence| {
            let waiting = &self.queues[partition.index()].waiting;
            let sequences = waiting.iter().map_while(|b| self.batches[*b].base_sequence());
            sequences.take_while(|other| *other < sequence).count()
        });
        self.queue(partition).waiting.insert(place, id);
        self.activate(partition);
    }

    /// The batch is not in flight any more.
    pub(super) fn landed(&mut self, id: BatchId) {
        let partition = self.batches[id].partition;
        let queue = self.queue(partition);
        queue.in_flight.retain(|other| *other != id);
        if queue.in_flight.is_empty()
            && let Ok(place) = self.flying.binary_search(&partition)
        {
            self.flying.remove(place);
        }
    }

    /// The batch has its outcome. Its memory is free, unless a request still carries it.
    pub(super) fn complete(&mut self, id: BatchId) {
        self.landed(id);
        let batch = &mut self.batches[id];
        batch.done = true;
        let unsent = !batch.in_flight;
        if unsent {
            self.available_memory += u64::from(batch.allocated);
        }
        let mut place = self.incomplete_place(id);
        while self.incomplete[place] != id {
            // The parts of a batch that was split share its number.
            place += 1;
        }
        self.incomplete.remove(place);
        if unsent {
            self.batches.remove(id);
        }
    }

    /// Splits a batch that the broker found too large into parts of at most `batch.size`, which may be one part, and
    /// such a part into halves, and puts the parts at the front of the queue. They count as never tried.
    pub(super) fn split_and_reenqueue(
        &mut self,
        id: BatchId,
        mut transactions: Option<&mut TransactionManager>,
    ) {
        let batch = &self.batches[id];
        let size = if batch.is_part { batch.half() } else { self.batch_size };
        let mut parts = self.batches.split(id, size);
        let partition = self.batches[id].partition;
        while let Some(part) = parts.pop() {
            let place = self.incomplete_place(id);
            self.incomplete.insert(place, part);
            if let Some(transactions) = &mut transactions {
                transactions.track(partition, part, &self.batches[part]);
            }
            self.insert(part);
        }
        self.complete(id);
    }

    /// The answer to a request came for a batch that had its outcome before.
    pub(super) fn forget(&mut self, id: BatchId) {
        self.available_memory += u64::from(self.batches[id].allocated);
        self.batches.remove(id);
    }

    /// Takes out what has waited longer than `delivery.timeout.ms`: first what is not in flight, then what is, though
    /// it is older (`Sender.sendProducerData`). Kafka looks at the front of each queue only, and so does this.
    pub(super) fn expire(&mut self, now: Time, expired: &mut Vec<BatchId>) {
        let timeout = self.delivery_timeout;
        let over = |batch: &ProducerBatch| batch.has_expired(now, timeout);
        let mut n = 0;
        while let Some(partition) = self.active.get(n).copied() {
            let first = self.queues[partition.index()].waiting[0];
            if over(&self.batches[first]) {
                self.take(partition, 0);
                expired.push(first);
                n = self.active.partition_point(|other| *other < partition);
            } else {
                n += 1;
            }
        }
        for partition in &self.flying {
            let flying = self.queues[partition.index()].in_flight.iter().copied();
            expired.extend(flying.take_while(|id| over(&self.batches[*id])));
        }
    }

    /// Takes everything without an outcome out of the queues, oldest first (`abortIncompleteBatches`).
    pub(super) fn abort(&mut self) -> Vec<BatchId> {
        for queue in &mut self.queues {
            queue.waiting.clear();
        }
        self.active.clear();
        self.incomplete.iter().copied().collect()
    }

    /// When the next batch expires.
    pub(super) fn next_expiry(&self) -> Time {
        let flying = self.flying.iter().map(|p| self.queues[p.index()].in_flight[0]);
        let waiting = self.active.iter().map(|p| self.queues[p.index()].waiting[0]);
        let expiry = |id: BatchId| self.batches[id].created + self.delivery_timeout;
        flying.chain(waiting).map(expiry).min().unwrap_or(Time::NEVER)
    }

    /// `flush()`: what is here now is sent without lingering.
    pub(super) fn flush(&mut self) {
        self.flush_below = self.batches.next_serial();
    }

    /// True while a `flush()` waits.
    pub(super) fn flush_in_progress(&self) -> bool {
        let oldest = self.incomplete.front();
        oldest.is_some_and(|id| self.batches[*id].serial < self.flush_below)
    }

    /// `send()` throws after it appended to this partition: its record stays, and nobody waits for it.
    pub(super) fn disown_last(&mut self, partition: PartitionId) {
        if let Some(id) = self.queue(partition).waiting.back().copied() {
            self.batches[id].thrown += 1;
        }
    }

    /// True when a record has no outcome whose `send()` did not throw.
    pub(super) fn has_awaited(&self) -> bool {
        self.incomplete().any(|id| self.batches[id].thrown < self.batches[id].count)
    }

    /// True while a batch has no outcome.
    pub(super) fn has_incomplete(&self) -> bool {
        !self.incomplete.is_empty()
    }

    /// Batches without an outcome, in order of creation.
    pub(super) fn incomplete(&self) -> impl Iterator<Item = BatchId> + '_ {
        self.incomplete.iter().copied()
    }

    /// Those of them that were never drained.
    pub(super) fn without_sequence(&self) -> impl Iterator<Item = BatchId> + '_ {
        self.incomplete().filter(|id| self.batches[*id].base_sequence().is_none())
    }

    /// The batch has failed before its turn, or while its answer is awaited (`abortBatches`, `abortUndrainedBatches`).
    pub(super) fn abort_one(&mut self, id: BatchId) {
        let partition = self.batches[id].partition;
        let queue = &mut self.queues[partition.index()];
        if let Some(place) = queue.waiting.iter().position(|other| *other == id) {
            queue.waiting.remove(place);
            if queue.waiting.is_empty()
                && let Ok(place) = self.active.binary_search(&partition)
            {
                self.active.remove(place);
            }
        }
        self.complete(id);
    }

    /// Where the batches with the serial number of `id` begin in `incomplete`.
    fn incomplete_place(&self, id: BatchId) -> usize {
        let serial = self.batches[id].serial;
        self.incomplete.partition_point(|other| self.batches[*other].serial < serial)
    }

    fn queue(&mut self, partition: PartitionId) -> &mut PartitionQueue {
        if self.queues.len() <= partition.index() {
            self.queues.resize_with(partition.index() + 1, PartitionQueue::default);
        }
        &mut self.queues[partition.index()]
    }

    fn push_back(&mut self, partition: PartitionId, id: BatchId) {
        self.queue(partition).waiting.push_back(id);
        self.activate(partition);
    }

    /// Which of the waiting batches is the next one to be sent.
    fn head(&self, now: Time, partition: PartitionId) -> usize {
        if !self.overtakes {
            return 0;
        }
        let mut waiting = self.queues[partition.index()].waiting.iter();
        waiting.position(|id| !self.batches[*id].is_backing_off(now)).unwrap_or(0)
    }

    fn take(&mut self, partition: PartitionId, place: usize) {
        let queue = &mut self.queues[partition.index()];
        queue.waiting.remove(place);
        if queue.waiting.is_empty()
            && let Ok(place) = self.active.binary_search(&partition)
        {
            self.active.remove(place);
        }
    }

    fn activate(&mut self, partition: PartitionId) {
        if let Err(place) = self.active.binary_search(&partition) {
            self.active.insert(place, partition);
        }
    }

    /// Adds the accumulator to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.available_memory, self.closed, self.flush_in_progress()));
        for queue in &self.queues {
            into.add((queue.muted, queue.used, queue.waiting.len(), queue.in_flight.len()));
            for id in queue.waiting.iter().chain(&queue.in_flight) {
                self.batches.fingerprint(*id, now, into);
            }
        }
        into.add(&self.drain_index);
        for stats in self.node_latency.iter().flatten() {
            into.add_time(now, stats.ready);
            into.add_time(now, stats.drain);
        }
    }
}

/// What a drain needs of the sender.
#[derive(Debug)]
pub(super) struct DrainContext<'a> {
    /// Who leads what.
    pub(super) metadata: &'a ClientMetadata,
    /// Sequences, of an idempotent producer.
    pub(super) transactions: Option<&'a mut TransactionManager>,
    /// Reused.
    pub(super) scratch: Vec<PartitionId>,
}
