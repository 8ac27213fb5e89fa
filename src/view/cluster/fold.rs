//! How each kind of event changes the view: one function for each kind of node.

mod transactions;

use crate::base::batch::{BatchTable, RecordBody};
use crate::base::broker_set::BrokerSet;
use crate::base::ids::{
    BatchHandle, BrokerId, EventSeq, LeaderEpoch, MessageId, NodeId, Offset, PartitionId,
};
use crate::base::time::{Duration, Time};
use crate::event::{Event, EventKind, FaultKind, RebalanceCallback};
use crate::view::cluster::group::{GroupView, HandedSlice};
use crate::view::cluster::message::{Processing, Removal, Told};
use crate::view::cluster::replica::{Acting, Cut, CutReason, Election, LogEntry, ReplicaView};
use crate::view::cluster::transaction::PendingOffset;
use crate::view::cluster::{ClusterView, ProcessState, WireMessage};

impl ClusterView {
    pub(super) fn apply_wire(&mut self, seq: EventSeq, event: &Event) {
        match event.kind {
            EventKind::WireSent { wire, to, arrives_in, label } => {
                let arrives_at =
                    (arrives_in != u32::MAX).then(|| event.at + Duration(u64::from(arrives_in)));
                let from = event.node;
                let message =
                    WireMessage { wire, from, to, sent_at: event.at, arrives_at, label, seq };
                self.wire.insert(wire, message);
                self.hear(event, event.node, &label);
            }
            EventKind::WireArrived { wire } => {
                if let Some(message) = self.wire.remove(&wire) {
                    self.hear(event, message.from, &message.label);
                    self.quorum.arrived(&message, event.at);
                }
            }
            EventKind::WireLost { wire, .. } => {
                self.wire.remove(&wire);
            }
            _ => {}
        }
    }

    pub(super) fn apply_producer(
        &mut self,
        n: u16,
        seq: EventSeq,
        event: &Event,
        batches: &BatchTable,
    ) {
        let at = event.at;
        match event.kind {
            EventKind::Sent { message, partition } => {
                let m = self.messages.entry(message.index());
                self.counts.sent += u32::from(!m.is_sent());
                m.producer = Some(n);
                m.partition = partition.or(m.partition);
                (m.sent, m.sent_at, m.sends) = (seq, at, m.sends + 1);
                (m.told, m.told_by) = (Told::Waiting, EventSeq::NONE);
            }
            EventKind::BatchReady { batch, partition } => {
                for id in batches.messages(batch) {
                    self.messages.entry(id.index()).partition = Some(partition);
                }
            }
            EventKind::Acknowledged { batch, base_offset, .. } => {
                let idempotent = batches[batch].producer.is_some();
                for (i, record) in batches.records(batch).enumerate() {
                    let RecordBody::Message(id) = record.body else { continue };
                    let told = match base_offset {
                        Offset::NONE if !idempotent => Told::NobodyAsked,
                        Offset::NONE => Told::Acknowledged(Offset::NONE),
                        base => Told::Acknowledged(base + i as i64),
                    };
                    self.tell(id, told, seq, at);
                }
            }
            EventKind::BatchFailed { batch, exception, .. } => {
                for id in batches.messages(batch) {
                    self.tell(id, Told::Failed(exception), seq, at);
                }
            }
            EventKind::SendFailed { message, exception } => {
                self.tell(message, Told::Failed(exception), seq, at);
            }
            EventKind::Retry { batch, .. } => {
                for id in batches.messages(batch) {
                    let m = self.messages.entry(id.index());
                    (m.retries, m.retried) = (m.retries + 1, seq);
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, id: MessageId, told: Told, seq: EventSeq, at: Time) {
        let m = self.messages.entry(id.index());
        (m.told, m.told_by, m.told_at) = (told, seq, at);
        match told {
            Told::Failed(exception) => {
                self.counts.failed += u32::from(m.failed.is_none());
                m.failed = Some((seq, exception));
            }
            told if told.is_ok() => {
                self.counts.acked += u32::from(!m.was_acked());
                m.acked = seq;
            }
            _ => {}
        }
    }

    pub(super) fn apply_broker(
        &mut self,
        b: BrokerId,
        seq: EventSeq,
        event: &Event,
        batches: &BatchTable,
    ) {
        match event.kind {
            EventKind::Appended { partition, batch, base_offset, leader_epoch } => {
                let registered = self.partition(partition).leader == Some(b);
                let replica = self.replica_mut(partition, b);
                let entry = LogEntry { base_offset, batch, epoch: leader_epoch };
                replica.append(entry, batches);
                let leads = match replica.acting {
                    Acting::Leader(_) => true,
                    Acting::Follower { .. } => false,
                    Acting::Unknown => registered,
                };
                self.stored(batch, base_offset, leads, (seq, batches));
            }
            EventKind::HighWatermark { partition, offset } => {
                let replica = self.replica_mut(partition, b);
                replica.held_back = replica.last_stable_offset() < replica.high_watermark;
                replica.high_watermark = offset;
            }
            EventKind::LastStableOffset { partition, offset } => {
                self.replica_mut(partition, b).last_stable = Some(offset);
            }
            EventKind::LogStart { partition, offset } => {
                self.replica_mut(partition, b).start_at(offset);
            }
            EventKind::SegmentRolled { .. }
            | EventKind::SegmentMerged { .. }
            | EventKind::SegmentDeleted { .. }
            | EventKind::BatchCompacted { .. }
            | EventKind::LogCleaned { .. } => self.apply_storage(b, seq, event.kind, batches),
            EventKind::Flushed { partition, offset } => {
                self.replica_mut(partition, b).flushed = offset;
            }
            EventKind::Truncated { partition, to, epoch } => {
                self.cut((partition, b), to, epoch, CutReason::Truncated, (seq, batches));
            }
            EventKind::BecameLeader { partition, leader_epoch, .. } => {
                self.replica_mut(partition, b).acting = Acting::Leader(leader_epoch);
                self.count_leaderless(partition);
            }
            EventKind::BecameFollower { partition, leader, leader_epoch } => {
                let acting = Acting::Follower { leader, epoch: leader_epoch };
                let replica = self.replica_mut(partition, b);
                (replica.acting, replica.isr) = (acting, BrokerSet::EMPTY);
                self.count_leaderless(partition);
            }
            EventKind::ReplicaDeleted { partition } => {
                self.partitions[partition.index()].replicas.retain(|replica| replica.broker != b);
                self.count_leaderless(partition);
            }
            EventKind::IsrKnown { partition, isr } => self.replica_mut(partition, b).isr = isr,
            EventKind::CoordinatorLoaded { .. }
            | EventKind::GroupChanged { .. }
            | EventKind::MemberJoined { .. }
            | EventKind::MemberLeft { .. }
            | EventKind::MemberAssigned { .. }
            | EventKind::ConsumerGroupChanged { .. }
            | EventKind::TargetComputed { .. }
            | EventKind::MemberTarget { .. }
            | EventKind::MemberEpoch { .. }
            | EventKind::MemberReleased { .. }
            | EventKind::OffsetPending { .. }
            | EventKind::PendingDropped { .. }
            | EventKind::OffsetRemoved { .. }
            | EventKind::ShareAssigned { .. }
            | EventKind::ShareRevoked { .. }
            | EventKind::OffsetCommitted { .. } => self.apply_coordinator(b, seq, event.kind),
            _ => self.apply_transactions(b, seq, event),
        }
    }

    /// What a broker does with the segments of a log.
    fn apply_storage(&mut self, b: BrokerId, seq: EventSeq, kind: EventKind, batches: &BatchTable) {
        match kind {
            EventKind::SegmentRolled { partition, base_offset } => {
                self.replica_mut(partition, b).segments.push(base_offset);
            }
            EventKind::SegmentMerged { partition, base_offset } => {
                let segments = &mut self.replica_mut(partition, b).segments;
                segments.retain(|segment| *segment != base_offset);
            }
            EventKind::SegmentDeleted { partition, base_offset, end } => {
                let gone = self.replica_mut(partition, b).delete_segment(base_offset, end);
                let gone = gone.iter().flat_map(|entry| batches.messages(entry.batch));
                self.removed((partition, b), gone.collect(), (seq, Removal::Expired));
            }
            EventKind::BatchCompacted { partition, base_offset, batch } => {
                let before = self.replica_mut(partition, b).compact(base_offset, batch);
                let messages = |batch| batches.messages(batch).collect::<Vec<_>>();
                let left = batch.map(messages).unwrap_or_default();
                let mut gone = before.map(|entry| messages(entry.batch)).unwrap_or_default();
                gone.retain(|id| !left.contains(id));
                self.removed((partition, b), gone, (seq, Removal::Compacted));
            }
            EventKind::LogCleaned { partition, to } => {
                let replica = self.replica_mut(partition, b);
                replica.cleaned = replica.cleaned.max(to);
            }
            _ => {}
        }
    }

    /// What a coordinator says of its group. One that was deposed and has not heard of it goes on speaking, of
    /// members that it alone believes in; the group is what the coordinator of the highest epoch says.
    fn apply_coordinator(&mut self, b: BrokerId, seq: EventSeq, kind: EventKind) {
        if let EventKind::CoordinatorLoaded { group } = kind {
            let home = self.names.group_partitions[group.index()];
            let epoch = self.replica_mut(home, b).epoch();
            let group = &mut self.groups[group.index()];
            if epoch >= group.epoch {
                group.reload(b, epoch);
            }
            return;
        }
        let (EventKind::GroupChanged { group, .. }
        | EventKind::MemberJoined { group, .. }
        | EventKind::MemberLeft { group, .. }
        | EventKind::MemberAssigned { group, .. }
        | EventKind::ConsumerGroupChanged { group, .. }
        | EventKind::TargetComputed { group, .. }
        | EventKind::MemberTarget { group, .. }
        | EventKind::MemberEpoch { group, .. }
        | EventKind::MemberReleased { group, .. }
        | EventKind::OffsetPending { group, .. }
        | EventKind::PendingDropped { group, .. }
        | EventKind::OffsetRemoved { group, .. }
        | EventKind::ShareAssigned { group, .. }
        | EventKind::ShareRevoked { group, .. }
        | EventKind::OffsetCommitted { group, .. }) = kind
        else {
            return;
        };
        let group = &mut self.groups[group.index()];
        if group.coordinator.is_some_and(|coordinator| coordinator != b) {
            return;
        }
        match kind {
            EventKind::GroupChanged { state, generation, .. } => {
                group.change(state, generation);
                group.coordinator = Some(b);
            }
            EventKind::MemberJoined { member, leader, .. } => group.join(member, leader),
            EventKind::MemberLeft { member, .. } => group.members.retain(|m| m.member != member),
            EventKind::ConsumerGroupChanged { state, epoch, .. } => {
                group.change_epoch(state, epoch);
            }
            EventKind::TargetComputed { epoch, .. } => group.retarget(epoch),
            EventKind::MemberTarget { member, partition, .. } => {
                group.member_mut(member).target.push(partition);
            }
            EventKind::MemberEpoch { member, epoch, state, .. } => {
                let member = group.member_mut(member);
                (member.epoch, member.state) = (epoch, state);
            }
            EventKind::MemberReleased { member, partition, .. } => {
                group.member_mut(member).partitions.retain(|owned| *owned != partition);
            }
            EventKind::MemberAssigned { member, partition, .. }
            | EventKind::ShareAssigned { member, partition, .. } => group.assign(member, partition),
            EventKind::ShareRevoked { member, partition, .. } => group.take(member, partition),
            _ => apply_offsets(group, seq, kind),
        }
    }

    /// Some broker has the messages of `batch` now.
    fn stored(
        &mut self,
        batch: BatchHandle,
        base: Offset,
        leads: bool,
        (seq, batches): (EventSeq, &BatchTable),
    ) {
        for (n, record) in batches.records(batch).enumerate() {
            let RecordBody::Message(id) = record.body else { continue };
            let m = self.messages.entry(id.index());
            if m.stored == EventSeq::NONE {
                m.stored = seq;
            }
            if leads {
                (m.appended, m.appended_at) = (seq, base + n as i64);
            }
        }
    }

    /// A replica removed messages as its settings ask. What the leader removes is gone for readers.
    fn removed(
        &mut self,
        (partition, broker): (PartitionId, BrokerId),
        gone: Vec<MessageId>,
        removal: (EventSeq, Removal),
    ) {
        if self.partition(partition).leader == Some(broker) {
            for id in gone {
                self.messages.entry(id.index()).removed = Some(removal);
            }
        }
    }

    fn replica_mut(&mut self, partition: PartitionId, broker: BrokerId) -> &mut ReplicaView {
        self.partitions[partition.index()].replica_mut(broker)
    }

    fn cut(
        &mut self,
        (partition, broker): (PartitionId, BrokerId),
        to: Offset,
        epoch: LeaderEpoch,
        reason: CutReason,
        (seq, batches): (EventSeq, &BatchTable),
    ) {
        let replica = self.replica_mut(partition, broker);
        let entries = replica.cut(to, batches);
        for id in entries.iter().flat_map(|entry| batches.messages(entry.batch)) {
            self.messages.entry(id.index()).cut = Some((seq, reason));
        }
        let replica = self.replica_mut(partition, broker);
        if !entries.is_empty() {
            replica.last_cut = Some(Cut { to, epoch, entries, reason, seq });
        }
    }

    pub(super) fn apply_controller(&mut self, seq: EventSeq, event: &Event) {
        let now = event.at;
        match event.kind {
            EventKind::BrokerRegistered { broker, .. } => {
                let b = &mut self.brokers[broker.index()];
                (b.registered, b.fenced, b.since) = (true, true, now);
            }
            EventKind::BrokerUnfenced { broker } => {
                let b = &mut self.brokers[broker.index()];
                (b.registered, b.fenced, b.since) = (true, false, now);
            }
            EventKind::BrokerFenced { broker } => {
                let b = &mut self.brokers[broker.index()];
                (b.fenced, b.since) = (true, now);
            }
            EventKind::PartitionChanged { partition, leader, leader_epoch, isr, elr } => {
                let p = &mut self.partitions[partition.index()];
                // A formed cluster says only this much: its first leader serves already.
                let formed = p.changed == EventSeq::NONE;
                if let Some(leader) = leader.filter(|_| leader_epoch != p.leader_epoch) {
                    let end = p.replica(leader).map_or(Offset(0), |replica| replica.end);
                    p.elections.push(Election { seq, leader, epoch: leader_epoch, end });
                }
                (p.leader, p.leader_epoch, p.isr, p.elr) = (leader, leader_epoch, isr, elr);
                p.changed = seq;
                if let (true, Some(leader)) = (formed, leader) {
                    let replica = self.replica_mut(partition, leader);
                    (replica.acting, replica.isr) = (Acting::Leader(leader_epoch), isr);
                }
                self.count_leaderless(partition);
            }
            EventKind::ReplicasChanged { partition, replicas, in_progress } => {
                self.partitions[partition.index()].assign(replicas, in_progress);
            }
            _ => {}
        }
    }

    pub(super) fn apply_consumer(
        &mut self,
        n: u16,
        seq: EventSeq,
        event: &Event,
        batches: &BatchTable,
    ) {
        let reader = self.reader_of(n);
        let shares = self.is_share_consumer(n);
        let consumer = &mut self.consumers[usize::from(n)];
        if matches!(event.kind, EventKind::PollCalled | EventKind::Polled { .. }) {
            consumer.heard.polled = Some(event.at);
        }
        match event.kind {
            EventKind::Polled { partition, batch, base_offset, first, count } => {
                let slice = HandedSlice { partition, batch, base_offset, first, count, seq };
                // A share consumer has no positions: the broker decides record by record who gets it.
                consumer.partition_mut(partition).position = (!shares).then(|| slice.end());
                consumer.unprocessed.push(slice);
                self.readers[reader].lower_floor(partition, slice.start());
                self.each_message(slice, batches, reader, |p| p.handed += 1);
            }
            EventKind::Processed { partition, batch, base_offset, first, count } => {
                let slice = HandedSlice { partition, batch, base_offset, first, count, seq };
                consumer.finish(slice);
                self.readers[reader].processed += u64::from(count);
                self.each_message(slice, batches, reader, |p| {
                    if p.count == 0 {
                        p.first = seq;
                    }
                    (p.count, p.last) = (p.count.saturating_add(1), seq);
                    p.by = [Some(n), p.by[0]];
                });
            }
            EventKind::PositionPassed { partition, offset } => {
                consumer.partition_mut(partition).position = Some(offset);
            }
            EventKind::PositionSet { partition, offset, .. } => {
                let mine = consumer.partition_mut(partition);
                (mine.position, mine.since) = (Some(offset), seq);
                self.readers[reader].lower_floor(partition, offset);
            }
            EventKind::CallbackPartition { callback, partition } => match callback {
                RebalanceCallback::Assigned => {
                    let mine = consumer.partition_mut(partition);
                    (mine.assigned, mine.since) = (true, seq);
                }
                RebalanceCallback::Revoked | RebalanceCallback::Lost => {
                    consumer.partitions.retain(|p| p.partition != partition);
                }
            },
            EventKind::Closed => {
                consumer.partitions.clear();
                consumer.closed = true;
            }
            _ => {}
        }
    }

    fn each_message(
        &mut self,
        slice: HandedSlice,
        batches: &BatchTable,
        reader: usize,
        mut change: impl FnMut(&mut Processing),
    ) {
        for i in slice.first..slice.first + slice.count {
            if let RecordBody::Message(id) = batches.record(slice.batch, u32::from(i)).body {
                change(self.readers[reader].messages.entry(id.index()));
            }
        }
    }

    pub(super) fn apply_fault(
        &mut self,
        seq: EventSeq,
        node: NodeId,
        kind: FaultKind,
        batches: &BatchTable,
    ) {
        self.clear_cuts();
        match node {
            NodeId::Broker(b) => self.apply_broker_fault(seq, b, kind, batches),
            NodeId::Controller(n) => self.quorum.fault(n, kind, self.now),
            NodeId::Producer(n) => {
                let process = &mut self.producers[usize::from(n)];
                *process = process.after(kind);
                if *process == ProcessState::Down {
                    self.open_become_unknown(Some(n));
                }
            }
            NodeId::Consumer(n) => {
                let consumer = &mut self.consumers[usize::from(n)];
                consumer.process = consumer.process.after(kind);
                if consumer.process == ProcessState::Down {
                    consumer.forget();
                } else if kind == FaultKind::Start {
                    consumer.closed = false;
                }
            }
            NodeId::Script => {}
        }
    }

    fn apply_broker_fault(
        &mut self,
        seq: EventSeq,
        broker: BrokerId,
        kind: FaultKind,
        batches: &BatchTable,
    ) {
        let b = &mut self.brokers[broker.index()];
        b.process = b.process.after(kind);
        let is_down = b.process == ProcessState::Down;
        b.since = self.now;
        b.cut_off = match kind {
            FaultKind::CutOff => true,
            FaultKind::Reconnect => false,
            _ => b.cut_off,
        };
        for id in (0..self.partitions.len()).map(|i| PartitionId(i as u16)) {
            let Some(replica) = self.partition(id).replica(broker) else { continue };
            let at = (id, broker);
            match kind {
                FaultKind::PowerLoss => {
                    let to = replica.flushed;
                    self.cut(at, to, LeaderEpoch::NONE, CutReason::PowerLoss, (seq, batches));
                }
                FaultKind::WipeDisk => {
                    let to = Offset(0);
                    self.cut(at, to, LeaderEpoch::NONE, CutReason::DiskLost, (seq, batches));
                    let replica = self.replica_mut(id, broker);
                    (replica.log_start, replica.segments) = (Offset(0), vec![Offset(0)]);
                }
                _ => {}
            }
            if is_down {
                let replica = self.replica_mut(id, broker);
                (replica.acting, replica.isr) = (Acting::Unknown, BrokerSet::EMPTY);
                replica.last_stable = None;
            }
            self.count_leaderless(id);
        }
    }

    /// Starts or ends the count of the time in which nobody serves as leader.
    fn count_leaderless(&mut self, partition: PartitionId) {
        let brokers = &self.brokers;
        let p = &mut self.partitions[partition.index()];
        let serves = |replica: &ReplicaView| {
            let process = brokers[replica.broker.index()].process;
            matches!(process, ProcessState::Up | ProcessState::Stopping)
                && matches!(replica.acting, Acting::Leader(_))
        };
        if p.leader_replica().is_some_and(serves) {
            p.was_led = true;
            if let Some(since) = p.leaderless_since.take() {
                p.leaderless = p.leaderless + self.now.since(since);
            }
        } else if p.was_led && p.leaderless_since.is_none() {
            p.leaderless_since = Some(self.now);
        }
    }

    pub(super) fn clear_cuts(&mut self) {
        for replica in self.partitions.iter_mut().flat_map(|p| p.replicas.iter_mut()) {
            replica.last_cut = None;
        }
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
        self.open_become_unknown(None);
    }

    /// Sends whose outcome nobody will learn any more: of one producer, or of all.
    fn open_become_unknown(&mut self, producer: Option<u16>) {
        for i in 0..self.messages.len() {
            let open = self.messages.get(i).is_some_and(|m| {
                m.is_sent()
                    && m.told == Told::Waiting
                    && (producer.is_none() || m.producer == producer)
            });
            if open {
                self.messages.entry(i).told = Told::Unknown;
            }
        }
    }
}

/// What a coordinator says of a group's offsets.
fn apply_offsets(group: &mut GroupView, seq: EventSeq, kind: EventKind) {
    match kind {
        EventKind::OffsetRemoved { partition, .. } => {
            group.committed.retain(|committed| committed.partition != partition);
        }
        EventKind::OffsetCommitted { partition, offset, .. } => {
            group.commit(partition, offset, seq);
            group.pending.retain(|pending| pending.partition != partition);
        }
        EventKind::OffsetPending { partition, offset, producer_id, .. } => {
            let same = |p: &PendingOffset| (p.producer_id, p.partition) == (producer_id, partition);
            group.pending.retain(|pending| !same(pending));
            group.pending.push(PendingOffset { producer_id, partition, offset, seq });
        }
        EventKind::PendingDropped { producer_id, .. } => {
            group.pending.retain(|pending| pending.producer_id != producer_id);
        }
        _ => {}
    }
}
