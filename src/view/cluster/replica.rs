//! Partitions and replicas as a person with eyes everywhere sees them: the registration of the controller, and each
//! broker's log, whether its process is alive or not.

use crate::base::batch::{BatchTable, RecordBody};
use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::ids::{BatchHandle, BrokerId, EventSeq, LeaderEpoch, MessageId, Offset};
use crate::base::time::{Duration, Time};
use crate::view::paged::Paged;

/// One batch in one replica's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogEntry {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// What it holds.
    pub batch: BatchHandle,
    /// The leader epoch it was appended under.
    pub epoch: LeaderEpoch,
}

/// What a record in a segment file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Says {
    /// It is an application's.
    Message(MessageId),
    /// It ends a transaction: committed or not.
    Marker(bool),
}

/// A record in a segment file. -1 stands for a producer id, epoch or sequence that it does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskRecord {
    /// Where it is.
    pub offset: Offset,
    /// What it says.
    pub says: Says,
    /// The leader epoch it was appended under.
    pub epoch: LeaderEpoch,
    /// Whose.
    pub producer_id: i64,
    /// Of which epoch.
    pub producer_epoch: i16,
    /// Its sequence number.
    pub sequence: i32,
}

/// What a replica believes its part is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Acting {
    /// It has not said.
    #[default]
    Unknown,
    /// It serves as leader of this epoch; a deposed leader that has not heard of it still does.
    Leader(LeaderEpoch),
    /// It follows.
    Follower {
        /// Whom; `None` while there is no leader.
        leader: Option<BrokerId>,
        /// Under which epoch.
        epoch: LeaderEpoch,
    },
}

/// Why records left a replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CutReason {
    /// The log was truncated to agree with the leader's, or cut by a fault.
    Truncated,
    /// The power failed before they were flushed.
    PowerLoss,
    /// The disk was lost.
    DiskLost,
}

/// What the last truncation removed. Shown until the next mark.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The log ends here since.
    pub to: Offset,
    /// The epoch whose end the leader named; [`LeaderEpoch::NONE`] when no leader did.
    pub epoch: LeaderEpoch,
    /// What was removed.
    pub entries: Vec<LogEntry>,
    /// Why.
    pub reason: CutReason,
    /// The event.
    pub seq: EventSeq,
}

/// One replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaView {
    /// Where.
    pub broker: BrokerId,
    /// Its log by offset. The disk survives a crash, so the log of a broker that is down stays here.
    pub log: Paged<LogEntry>,
    /// LEO: where the next record will go.
    pub end: Offset,
    /// The high watermark it knows.
    pub high_watermark: Offset,
    /// The last stable offset as it was said last; `None` while there was no transaction.
    pub last_stable: Option<Offset>,
    /// Its last stable offset was below the high watermark before that moved last.
    pub held_back: bool,
    /// The first offset it keeps.
    pub log_start: Offset,
    /// Base offsets of its segments; the last is the active one.
    pub segments: Vec<Offset>,
    /// Below it, compaction may have left gaps.
    pub cleaned: Offset,
    /// The disk holds everything below this; a power loss takes the rest.
    pub flushed: Offset,
    /// Its part.
    pub acting: Acting,
    /// While it leads: its own ISR, which may lag behind the registered one.
    pub isr: BrokerSet,
    /// The last truncation, until the next mark.
    pub last_cut: Option<Cut>,
}

impl ReplicaView {
    /// An empty replica on `broker`.
    pub fn new(broker: BrokerId) -> Self {
        Self {
            broker,
            log: Paged::default(),
            end: Offset(0),
            high_watermark: Offset(0),
            last_stable: None,
            held_back: false,
            log_start: Offset(0),
            segments: vec![Offset(0)],
            cleaned: Offset(0),
            flushed: Offset(0),
            acting: Acting::Unknown,
            isr: BrokerSet::EMPTY,
            last_cut: None,
        }
    }

    /// The leader epoch the replica itself knows.
    pub fn epoch(&self) -> LeaderEpoch {
        match self.acting {
            Acting::Unknown => LeaderEpoch::NONE,
            Acting::Leader(epoch) | Acting::Follower { epoch, .. } => epoch,
        }
    }

    /// The last stable offset: `read_committed` readers see nothing from here on.
    pub fn last_stable_offset(&self) -> Offset {
        self.last_stable.unwrap_or(self.high_watermark).min(self.high_watermark)
    }

    /// True for whoever acts as leader, deposed or not.
    pub fn presumes_leadership(&self) -> bool {
        matches!(self.acting, Acting::Leader(_))
    }

    /// From here on the log has every record that was ever appended to it.
    pub fn complete_from(&self) -> Offset {
        self.log_start.max(self.cleaned)
    }

    /// The batches from `from` to below `to`.
    pub fn entries(&self, from: Offset, to: Offset) -> impl Iterator<Item = &LogEntry> + '_ {
        let first = self.log.partition_point(|entry| entry.base_offset < from);
        self.log.iter_from(first).take_while(move |entry| entry.base_offset < to)
    }

    /// The entry that holds `offset`, if the log has it.
    pub fn entry_at(&self, offset: Offset, batches: &BatchTable) -> Option<LogEntry> {
        let after = self.log.partition_point(|entry| entry.base_offset <= offset);
        let entry = *self.log.get(after.checked_sub(1)?)?;
        let end = entry.base_offset + i64::from(batches[entry.batch].count);
        (offset < end && offset >= self.log_start).then_some(entry)
    }

    /// Every message of the log with its offset, from `offset` on.
    pub fn messages_from<'a>(
        &'a self,
        offset: Offset,
        batches: &'a BatchTable,
    ) -> impl Iterator<Item = (Offset, MessageId)> + 'a {
        let first = self.log.partition_point(|entry| entry.base_offset <= offset);
        let from = offset.max(self.log_start);
        self.log.iter_from(first.saturating_sub(1)).flat_map(move |entry| {
            let base = entry.base_offset;
            batches.records(entry.batch).enumerate().filter_map(move |(n, record)| {
                match record.body {
                    RecordBody::Message(id) => {
                        Some((base + n as i64, id)).filter(|(at, _)| *at >= from)
                    }
                    _ => None,
                }
            })
        })
    }

    /// Every message of the log with its offset.
    pub fn messages<'a>(
        &'a self,
        batches: &'a BatchTable,
    ) -> impl Iterator<Item = (Offset, MessageId)> + 'a {
        self.messages_from(self.log_start, batches)
    }

    /// Every message on the disk with its offset and leader epoch: deleted records stay in their segment file.
    pub fn on_disk<'a>(
        &'a self,
        batches: &'a BatchTable,
    ) -> impl Iterator<Item = (Offset, MessageId, LeaderEpoch)> + 'a {
        self.log.iter().flat_map(move |entry| {
            let LogEntry { base_offset, batch, epoch } = *entry;
            batches.records(batch).enumerate().filter_map(move |(n, record)| match record.body {
                RecordBody::Message(id) | RecordBody::DeadLetter { message: id, copied: true } => {
                    Some((base_offset + n as i64, id, epoch))
                }
                _ => None,
            })
        })
    }

    /// Every record of applications and every control record on the disk, as a reader of segment files finds them.
    pub fn records_on_disk<'a>(
        &'a self,
        batches: &'a BatchTable,
    ) -> impl Iterator<Item = DiskRecord> + 'a {
        self.log.iter().flat_map(move |entry| {
            let LogEntry { base_offset, batch, epoch } = *entry;
            let producer = batches[batch].producer;
            batches.records(batch).enumerate().filter_map(move |(n, record)| {
                let says = match record.body {
                    RecordBody::Message(id) => Says::Message(id),
                    RecordBody::EndTransactionMarker { committed, .. } => Says::Marker(committed),
                    _ => return None,
                };
                let sequence = producer.map_or(-1, |p| p.base_sequence.0);
                let sequence =
                    if sequence < 0 { sequence } else { sequence.wrapping_add(n as i32) };
                Some(DiskRecord {
                    offset: base_offset + n as i64,
                    says,
                    epoch,
                    producer_id: producer.map_or(-1, |p| p.id),
                    producer_epoch: producer.map_or(-1, |p| p.epoch.0),
                    sequence,
                })
            })
        })
    }

    /// The log begins at `offset` from now on. One that ended before starts over there, empty.
    pub(super) fn start_at(&mut self, offset: Offset) {
        self.log_start = offset;
        if self.end < offset {
            self.log.truncate(0);
            self.segments = vec![offset];
            self.cleaned = offset;
            self.end = offset;
            self.flushed = offset;
            self.high_watermark = self.high_watermark.max(offset);
        }
    }

    /// A batch is added at the end. It may leave a gap, and have gaps, where compaction was before it was copied.
    pub(super) fn append(&mut self, entry: LogEntry, batches: &BatchTable) {
        let end = entry.base_offset + i64::from(batches[entry.batch].count);
        if entry.base_offset > self.end || batches[entry.batch].compacted.is_some() {
            self.cleaned = end;
        }
        self.log.push(entry);
        self.end = end;
    }

    /// The segment from `base` to below `end` is gone. Returns the batches that were in it.
    pub(super) fn delete_segment(&mut self, base: Offset, end: Offset) -> Vec<LogEntry> {
        self.segments.retain(|segment| *segment != base);
        let gone = self.entries(base, end).copied().collect();
        self.log.retain(|entry| !(base..end).contains(&entry.base_offset));
        gone
    }

    /// Another batch stands at `base`, or nothing does. Returns what was there.
    pub(super) fn compact(&mut self, base: Offset, batch: Option<BatchHandle>) -> Option<LogEntry> {
        let at = self.log.partition_point(|entry| entry.base_offset < base);
        let before = *self.log.get(at).filter(|entry| entry.base_offset == base)?;
        match batch {
            Some(batch) => self.log.set(at, LogEntry { batch, ..before }),
            None => self.log.retain(|entry| entry.base_offset != base),
        }
        Some(before)
    }

    /// Removes every batch that reaches beyond `to`, the log's new end, and returns what was removed.
    pub(super) fn cut(&mut self, to: Offset, batches: &BatchTable) -> Vec<LogEntry> {
        let kept = self.log.partition_point(|entry| {
            entry.base_offset + i64::from(batches[entry.batch].count) <= to
        });
        let removed = self.log.iter_from(kept).copied().collect();
        self.log.truncate(kept);
        self.end = self.end.min(to);
        self.cleaned = self.cleaned.min(to);
        let first = self.segments[0];
        self.segments.retain(|segment| *segment <= to);
        if self.segments.is_empty() {
            self.segments.push(first.min(to));
        }
        self.flushed = self.flushed.min(to);
        self.high_watermark = self.high_watermark.min(to);
        if self.log.is_empty() {
            self.last_stable = None;
        }
        removed
    }
}

/// A leader that was made, and what it brought along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Election {
    /// The change of the registration.
    pub seq: EventSeq,
    /// Who leads since.
    pub leader: BrokerId,
    /// Under which epoch.
    pub epoch: LeaderEpoch,
    /// Where the new leader's log ended.
    pub end: Offset,
}

/// One partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionView {
    /// The leader the controller has registered.
    pub leader: Option<BrokerId>,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
    /// The registered ISR.
    pub isr: BrokerSet,
    /// The registered ELR (KIP-966).
    pub elr: BrokerSet,
    /// The last change of the registration.
    pub changed: EventSeq,
    /// Every leader that was made, oldest first.
    pub elections: Vec<Election>,
    /// Who has a replica, in assignment order.
    pub assignment: ReplicaList,
    /// A reassignment is in progress.
    pub reassigning: bool,
    /// Its replicas in assignment order, and after them those that a reassignment took away and are still on a disk.
    pub replicas: Vec<ReplicaView>,
    /// Whether it ever had a leader that served.
    pub was_led: bool,
    /// Since when nobody serves as its leader, although somebody did.
    pub leaderless_since: Option<Time>,
    /// How long nobody served, without the stretch that lasts still.
    pub leaderless: Duration,
}

impl PartitionView {
    /// A partition with these replicas that the controller has not spoken of yet.
    pub fn new(replicas: &[BrokerId]) -> Self {
        Self {
            leader: None,
            leader_epoch: LeaderEpoch::NONE,
            isr: BrokerSet::EMPTY,
            elr: BrokerSet::EMPTY,
            changed: EventSeq::NONE,
            elections: Vec::new(),
            assignment: ReplicaList::new(replicas),
            reassigning: false,
            replicas: replicas.iter().map(|broker| ReplicaView::new(*broker)).collect(),
            was_led: false,
            leaderless_since: None,
            leaderless: Duration::ZERO,
        }
    }

    /// The replica on `broker`.
    pub fn replica(&self, broker: BrokerId) -> Option<&ReplicaView> {
        self.replicas.iter().find(|replica| replica.broker == broker)
    }

    /// The replica on `broker`, to change; it is added when a reassignment brought it.
    pub(super) fn replica_mut(&mut self, broker: BrokerId) -> &mut ReplicaView {
        let at = self.replicas.iter().position(|replica| replica.broker == broker);
        let at = at.unwrap_or_else(|| {
            self.replicas.push(ReplicaView::new(broker));
            self.replicas.len() - 1
        });
        &mut self.replicas[at]
    }

    /// The assignment is another one.
    pub(super) fn assign(&mut self, assignment: ReplicaList, in_progress: bool) {
        (self.assignment, self.reassigning) = (assignment, in_progress);
        for broker in assignment.as_slice() {
            self.replica_mut(*broker);
        }
        // A broker that never heard of its part has nothing on its disk.
        self.replicas
            .retain(|r| r.acting != Acting::Unknown || assignment.set().contains(r.broker));
        let place = |broker: BrokerId| assignment.as_slice().iter().position(|b| *b == broker);
        self.replicas.sort_by_key(|replica| place(replica.broker).unwrap_or(usize::MAX));
    }

    /// The replica of the registered leader.
    pub fn leader_replica(&self) -> Option<&ReplicaView> {
        self.replica(self.leader?)
    }

    /// How long nobody served as leader up to `now`.
    pub fn time_without_leader(&self, now: Time) -> Duration {
        let current = self.leaderless_since.map_or(Duration::ZERO, |since| now.since(since));
        self.leaderless + current
    }
}
