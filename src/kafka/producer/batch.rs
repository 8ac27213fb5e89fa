//! A batch on its way from `send()` to its outcome, and the store that all batches of a producer live in.
//!
//! Kafka: `ProducerBatch`, and what of `MemoryRecordsBuilder` decides when a batch is full.
//! Simplified: no compression, so the estimated size is the size.

use crate::base::batch::{Batch, ProducerState, Record, RecordBody};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BatchHandle, LeaderEpoch, PartitionId, Sequence};
use crate::base::time::{Duration, Time};

/// `DefaultRecord.MAX_RECORD_OVERHEAD` less the 4 bytes that a small record really has: by so much Kafka's estimate
/// of a record's size exceeds it.
pub(super) const ESTIMATE_SLACK: u32 = 17;

/// The place of a batch in a [`BatchStore`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct BatchId(u32);

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct ProducerBatch {
    /// Where to.
    pub(super) partition: PartitionId,
    /// Counts batches of this producer in order of creation: what a `flush()` waits for.
    pub(super) serial: u64,
    /// When its first record was appended: `delivery.timeout.ms` counts from here.
    pub(super) created: Time,
    /// Linger and back-off count from here.
    last_attempt: Time,
    last_append: Time,
    /// How often it was put back into the queue to be sent again.
    pub(super) attempts: u32,
    /// How long to wait after `last_attempt`, in a retry.
    backoff: Duration,
    /// The error of the last attempt.
    pub(super) last_error: ErrorCode,
    /// The sequence was rewritten since the batch was last drained (`sequenceHasBeenReset`).
    pub(super) reopened: bool,
    leader_epoch: LeaderEpoch,
    attempts_when_leader_changed: u32,
    records: Vec<Record>,
    /// How many records it has.
    pub(super) count: u32,
    /// Size in bytes, header included.
    pub(super) bytes: u32,
    write_limit: u32,
    closed: bool,
    /// Memory taken from the buffer pool, to be given back.
    pub(super) allocated: u32,
    /// A broker found the batch it comes from too large (`isSplitBatch`).
    pub(super) is_part: bool,
    /// In the batch table; [`BatchHandle::NONE`] before it is first drained.
    pub(super) handle: BatchHandle,
    /// Set when it is first drained.
    pub(super) producer: Option<ProducerState>,
    /// Of how many of its records `send()` said that they failed, and left them here.
    pub(super) thrown: u32,
    /// The application was told.
    pub(super) done: bool,
    /// A request carries it, which has not been answered or given up.
    pub(super) in_flight: bool,
}

impl ProducerBatch {
    fn empty(partition: PartitionId, serial: u64, now: Time, allocated: u32) -> Self {
        Self {
            partition,
            serial,
            created: now,
            last_attempt: now,
            last_append: now,
            attempts: 0,
            backoff: Duration::ZERO,
            last_error: ErrorCode::None,
            reopened: false,
            leader_epoch: LeaderEpoch::NONE,
            attempts_when_leader_changed: 0,
            records: Vec::new(),
            count: 0,
            bytes: Batch::HEADER_BYTES,
            write_limit: allocated,
            closed: false,
            allocated,
            is_part: false,
            handle: BatchHandle::NONE,
            producer: None,
            thrown: 0,
            done: false,
            in_flight: false,
        }
    }

    /// True when no record fits any more.
    pub(super) fn is_full(&self) -> bool {
        self.closed || (self.count > 0 && self.write_limit <= self.bytes)
    }

    /// True when a record of `bytes` fits; the first record always does. A batch that had no room stays closed.
    pub(super) fn make_room(&mut self, bytes: u32) -> bool {
        let fits = self.count == 0 || self.write_limit >= self.bytes + bytes;
        self.closed |= self.is_full() || !fits;
        !self.closed
    }

    /// Appends `record` if it fits.
    pub(super) fn try_append(&mut self, record: Record, now: Time) -> bool {
        if !self.make_room(record.bytes) {
            return false;
        }
        self.records.push(record);
        self.count += 1;
        self.bytes += record.bytes;
        self.last_append = now;
        true
    }

    /// The size of the parts when a part is too large again: half of it, or its largest record.
    pub(super) fn half(&self) -> u32 {
        let largest = self.records.iter().map(|record| record.bytes).max().unwrap_or(0);
        (Batch::HEADER_BYTES + largest + ESTIMATE_SLACK).max(self.bytes / 2)
    }

    /// The records; they stay until the batch is removed from the store.
    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// No record comes in any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.reopened = false;
    }

    /// It goes back into the queue after `error`.
    pub(super) fn reenqueued(&mut self, now: Time, error: ErrorCode, backoff: Duration) {
        self.attempts += 1;
        self.last_attempt = self.last_append.max(now);
        self.last_append = self.last_attempt;
        self.backoff = backoff;
        self.last_error = error;
    }

    /// True once it was put back into the queue.
    pub(super) fn in_retry(&self) -> bool {
        self.attempts > 0
    }

    /// Learns the leader epoch the batch would be sent under now.
    pub(super) fn see_leader_epoch(&mut self, epoch: LeaderEpoch) {
        if epoch > self.leader_epoch {
            self.attempts_when_leader_changed = self.attempts;
            self.leader_epoch = epoch;
        }
    }

    /// True while a retry waits. A new leader ends the wait (KIP-951).
    pub(super) fn is_backing_off(&self, now: Time) -> bool {
        let leader_changed =
            self.attempts > 0 && self.attempts == self.attempts_when_leader_changed;
        !leader_changed && self.attempts > 0 && now < self.last_attempt + self.backoff
    }

    /// When lingering or backing off ends.
    pub(super) fn ready_at(&self, linger: Duration) -> Time {
        self.last_attempt + if self.attempts > 0 { self.backoff } else { linger }
    }

    /// True when `delivery.timeout.ms` has passed.
    pub(super) fn has_expired(&self, now: Time, delivery_timeout: Duration) -> bool {
        self.created + delivery_timeout <= now
    }

    /// The sequence of its first record.
    pub(super) fn base_sequence(&self) -> Option<i32> {
        self.producer.map(|producer| producer.base_sequence.0)
    }
}

/// `DefaultRecordBatch.incrementSequence`: after 2³¹−1 comes 0.
pub(super) fn next_sequence(sequence: Sequence, count: u32) -> Sequence {
    Sequence((sequence.0 as u32).wrapping_add(count) as i32 & i32::MAX)
}

/// All batches without an outcome, and those a request still refers to.
#[derive(Clone, Default, Debug)]
pub(super) struct BatchStore {
    slots: Vec<ProducerBatch>,
    free: Vec<BatchId>,
    next_serial: u64,
}

impl BatchStore {
    /// A new batch without records.
    pub(super) fn create(&mut self, partition: PartitionId, now: Time, allocated: u32) -> BatchId {
        let serial = self.next_serial;
        self.next_serial += 1;
        let batch = ProducerBatch::empty(partition, serial, now, allocated);
        let Some(id) = self.free.pop() else {
            self.slots.push(batch);
            return BatchId(self.slots.len() as u32 - 1);
        };
        let slot = &mut self.slots[id.0 as usize];
        let mut records = std::mem::take(&mut slot.records);
        records.clear();
        *slot = ProducerBatch { records, ..batch };
        id
    }

    /// New batches of at most `batch_size` bytes with the records of `id`; they keep its age and its sequences.
    pub(super) fn split(&mut self, id: BatchId, batch_size: u32) -> Vec<BatchId> {
        let records = std::mem::take(&mut self[id].records);
        let ProducerBatch { partition, created, producer, serial, .. } = self[id];
        let mut parts = Vec::new();
        let mut sequence = producer;
        for record in records {
            let last = parts.last().copied();
            if last.is_some_and(|last: BatchId| self[last].try_append(record, created)) {
                continue;
            }
            let limit = batch_size.max(Batch::HEADER_BYTES + record.bytes + ESTIMATE_SLACK);
            let part = self.create(partition, created, limit);
            self[part].allocated = 0;
            self[part].is_part = true;
            self[part].serial = serial;
            self[part].try_append(record, created);
            parts.push(part);
        }
        for part in &parts {
            let part = &mut self[*part];
            part.closed = true;
            part.producer = sequence;
            if let Some(producer) = &mut sequence {
                producer.base_sequence = next_sequence(producer.base_sequence, part.count);
            }
        }
        parts
    }

    /// Forgets a batch that is done and that no request refers to.
    pub(super) fn remove(&mut self, id: BatchId) {
        debug_assert!(self[id].done && !self[id].in_flight, "a batch goes when nobody needs it");
        self.free.push(id);
    }

    /// The serial number the next batch will get.
    pub(super) fn next_serial(&self) -> u64 {
        self.next_serial
    }

    /// Adds a batch to a fingerprint.
    pub(super) fn fingerprint(&self, id: BatchId, now: Time, into: &mut Fingerprint) {
        let b = &self[id];
        into.add((b.partition, b.attempts, b.backoff, b.reopened, b.count, b.bytes));
        into.add((b.closed, b.done, b.in_flight, b.leader_epoch, b.attempts_when_leader_changed));
        into.add(b.is_part);
        into.add(b.producer.map(|p| (p.id, p.epoch, p.base_sequence)));
        for record in &b.records {
            let message = match record.body {
                RecordBody::Message(message) => Some(message),
                _ => None,
            };
            into.add((message, record.key, record.bytes));
        }
        into.add_time(now, b.created);
        into.add_time(now, b.last_attempt);
    }
}

impl std::ops::Index<BatchId> for BatchStore {
    type Output = ProducerBatch;
    fn index(&self, id: BatchId) -> &ProducerBatch {
        &self.slots[id.0 as usize]
    }
}

impl std::ops::IndexMut<BatchId> for BatchStore {
    fn index_mut(&mut self, id: BatchId) -> &mut ProducerBatch {
        &mut self.slots[id.0 as usize]
    }
}
