//! Consumers and groups: positions live in a consumer's memory, committed offsets in the group, and what was
//! handed out but not processed lives nowhere but in the application.

use std::collections::BTreeMap;

use crate::base::config::GroupProtocol;
use crate::base::group_records::MemberState;
use crate::base::ids::{
    BatchHandle, BrokerId, EventSeq, Generation, LeaderEpoch, MemberId, MessageId, Offset,
    PartitionId,
};
use crate::base::time::Time;
use crate::event::GroupState;
use crate::view::cluster::ProcessState;
use crate::view::cluster::handover::Handovers;
use crate::view::cluster::message::Processing;
use crate::view::cluster::transaction::PendingOffset;
use crate::view::paged::Paged;

/// Records that `poll()` returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HandedSlice {
    /// Where they come from.
    pub partition: PartitionId,
    /// Their batch.
    pub batch: BatchHandle,
    /// The offset of the batch's first record.
    pub base_offset: Offset,
    /// The first record of the slice within the batch.
    pub first: u16,
    /// How many.
    pub count: u16,
    /// The `poll()` that returned them.
    pub seq: EventSeq,
}

impl HandedSlice {
    /// The offset after the last record.
    pub fn end(&self) -> Offset {
        self.base_offset + i64::from(self.first) + i64::from(self.count)
    }

    /// The offset of the first record.
    pub fn start(&self) -> Offset {
        self.base_offset + i64::from(self.first)
    }
}

/// A partition as one consumer has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsumerPartition {
    /// Which one.
    pub partition: PartitionId,
    /// Assigned by the group (a callback said so).
    pub assigned: bool,
    /// The next offset it will read, once it knows one.
    pub position: Option<Offset>,
    /// The event that last assigned it or set its position.
    pub since: EventSeq,
}

/// One consumer process.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ConsumerView {
    /// Its process.
    pub process: ProcessState,
    /// What it owns or reads, by partition id.
    pub partitions: Vec<ConsumerPartition>,
    /// Handed out by `poll()` and not processed, oldest first.
    pub unprocessed: Vec<HandedSlice>,
    /// How many records it has processed.
    pub processed: u64,
    /// `close()` returned.
    pub closed: bool,
    /// When it was last heard of.
    pub heard: Heard,
}

/// When a consumer last gave a sign of life; its timers run from there.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Heard {
    /// It sent its coordinator a heartbeat, or what counts as one.
    pub sent: Option<Time>,
    /// One arrived.
    pub arrived: Option<Time>,
    /// Its application called `poll()`. Of an idle loop not every call is told.
    pub polled: Option<Time>,
}

impl ConsumerView {
    /// The next offset it will read from `partition`.
    pub fn position(&self, partition: PartitionId) -> Option<Offset> {
        self.partition(partition)?.position
    }

    /// `partition` as this consumer has it.
    pub fn partition(&self, partition: PartitionId) -> Option<&ConsumerPartition> {
        self.partitions.iter().find(|p| p.partition == partition)
    }

    pub(super) fn partition_mut(&mut self, partition: PartitionId) -> &mut ConsumerPartition {
        let at = self.partitions.partition_point(|p| p.partition < partition);
        if self.partitions.get(at).is_none_or(|p| p.partition != partition) {
            let since = EventSeq::NONE;
            let new = ConsumerPartition { partition, assigned: false, position: None, since };
            self.partitions.insert(at, new);
        }
        &mut self.partitions[at]
    }

    /// The process is gone, and with it everything but what the group keeps.
    pub(super) fn forget(&mut self) {
        self.partitions.clear();
        self.unprocessed.clear();
    }

    /// Takes processed records out of those handed out.
    pub(super) fn finish(&mut self, done: HandedSlice) {
        let mut rest = Vec::new();
        self.unprocessed.retain_mut(|slice| {
            let same = slice.partition == done.partition && slice.base_offset == done.base_offset;
            let (start, end) = (slice.first, slice.first + slice.count);
            let (from, to) = (done.first.max(start), (done.first + done.count).min(end));
            if !same || from >= to {
                return true;
            }
            if to < end {
                rest.push(HandedSlice { first: to, count: end - to, ..*slice });
            }
            slice.count = from - start;
            slice.count > 0
        });
        self.unprocessed.extend(rest);
        self.unprocessed.sort_by_key(|slice| (slice.seq, slice.partition, slice.start()));
        self.processed += u64::from(done.count);
    }
}

/// A member of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberView {
    /// Its member id.
    pub member: MemberId,
    /// True for the group leader, which computes the assignment.
    pub leader: bool,
    /// What the coordinator gave it; in the consumer protocol with what it has yet to give up.
    pub partitions: Vec<PartitionId>,
    /// What it is to own (consumer protocol).
    pub target: Vec<PartitionId>,
    /// Its epoch (consumer protocol); -2: it is static and left for a while.
    pub epoch: i32,
    /// How far it is on its way to the target (consumer protocol).
    pub state: MemberState,
}

/// A committed offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// Of which partition.
    pub partition: PartitionId,
    /// The next offset the group will read after a restart.
    pub offset: Offset,
    /// The event that stored it.
    pub seq: EventSeq,
    /// The highest offset ever committed there.
    pub highest: Offset,
}

/// One group, as its coordinator says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct GroupView {
    /// Its state.
    pub state: GroupState,
    /// Its generation; its epoch in the consumer protocol.
    pub generation: Generation,
    /// The protocol its members speak.
    pub protocol: GroupProtocol,
    /// The epoch of the target assignment (consumer protocol).
    pub target_epoch: i32,
    /// The broker that coordinates it, once one spoke.
    pub coordinator: Option<BrokerId>,
    /// The leader epoch of the group's `__consumer_offsets` partition under which it loaded the group.
    pub epoch: LeaderEpoch,
    /// Its members in the order they joined.
    pub members: Vec<MemberView>,
    /// Its committed offsets by partition.
    pub committed: Vec<Committed>,
    /// Offsets that count once their transaction commits, oldest first.
    pub pending: Vec<PendingOffset>,
    /// The commits that went farther than any before them, by partition, oldest first.
    pub advances: BTreeMap<PartitionId, Paged<(Offset, EventSeq)>>,
    /// Who had which partition when.
    pub(super) handovers: Handovers,
}

impl GroupView {
    /// True when nobody has joined it or committed anything for it.
    pub fn is_unheard_of(&self) -> bool {
        self.state == GroupState::Empty && self.generation.0 <= 0 && self.advances.is_empty()
    }

    /// The committed offset of `partition`.
    pub fn committed(&self, partition: PartitionId) -> Option<&Committed> {
        self.committed.iter().find(|c| c.partition == partition)
    }

    /// The member that owns `partition`.
    pub fn owner(&self, partition: PartitionId) -> Option<MemberId> {
        self.members.iter().find(|m| m.partitions.contains(&partition)).map(|m| m.member)
    }

    /// The first commit in `partition` that passed `offset`.
    pub fn first_beyond(&self, partition: PartitionId, offset: Offset) -> Option<EventSeq> {
        let advances = self.advances.get(&partition)?;
        let at = advances.partition_point(|(committed, _)| *committed <= offset);
        advances.get(at).map(|(_, seq)| *seq)
    }

    pub(super) fn commit(&mut self, partition: PartitionId, offset: Offset, seq: EventSeq) {
        let advances = self.advances.entry(partition).or_default();
        if advances.last().is_none_or(|(highest, _)| offset > *highest) {
            advances.push((offset, seq));
        }
        let at = self.committed.partition_point(|c| c.partition < partition);
        if let Some(found) = self.committed.get_mut(at).filter(|c| c.partition == partition) {
            let highest = found.highest.max(offset);
            *found = Committed { partition, offset, seq, highest };
        } else {
            self.committed.insert(at, Committed { partition, offset, seq, highest: offset });
        }
    }

    /// `coordinator` took over: members and offsets are what it says next, and nothing else.
    pub(super) fn reload(&mut self, coordinator: BrokerId, epoch: LeaderEpoch) {
        self.members.clear();
        self.committed.clear();
        self.pending.clear();
        self.change(GroupState::Empty, Generation(0));
        self.target_epoch = 0;
        (self.coordinator, self.epoch) = (Some(coordinator), epoch);
    }

    pub(super) fn change(&mut self, state: GroupState, generation: Generation) {
        self.protocol = GroupProtocol::Classic;
        if state == GroupState::CompletingRebalance || generation != self.generation {
            self.members.iter_mut().for_each(|m| m.partitions.clear());
        }
        if matches!(state, GroupState::Empty | GroupState::Dead) {
            self.members.clear();
        }
        self.state = state;
        self.generation = generation;
    }

    /// A group of the consumer protocol: a new epoch takes nothing from anybody.
    pub(super) fn change_epoch(&mut self, state: GroupState, epoch: i32) {
        self.protocol = GroupProtocol::Consumer;
        if state == GroupState::Empty {
            self.members.clear();
        }
        self.state = state;
        self.generation = Generation(epoch);
    }

    /// A new target assignment: what each member is to own follows.
    pub(super) fn retarget(&mut self, epoch: i32) {
        self.protocol = GroupProtocol::Consumer;
        self.target_epoch = epoch;
        self.members.iter_mut().for_each(|m| m.target.clear());
    }

    /// `member`, which is added when nobody knew it.
    pub(super) fn member_mut(&mut self, member: MemberId) -> &mut MemberView {
        if !self.members.iter().any(|m| m.member == member) {
            self.join(member, false);
        }
        let found = self.members.iter_mut().find(|m| m.member == member);
        found.expect("the member was just added")
    }

    pub(super) fn join(&mut self, member: MemberId, leader: bool) {
        if let Some(found) = self.members.iter_mut().find(|m| m.member == member) {
            found.leader = leader;
        } else {
            let (partitions, target, epoch) = (Vec::new(), Vec::new(), 0);
            let state = MemberState::Stable;
            self.members.push(MemberView { member, leader, partitions, target, epoch, state });
        }
        if leader {
            self.members.iter_mut().filter(|m| m.member != member).for_each(|m| m.leader = false);
        }
    }

    pub(super) fn assign(&mut self, member: MemberId, partition: PartitionId) {
        let owned = &mut self.member_mut(member).partitions;
        if let Err(at) = owned.binary_search(&partition) {
            owned.insert(at, partition);
        }
    }

    /// A member has `partition` no more.
    pub(super) fn take(&mut self, member: MemberId, partition: PartitionId) {
        if let Some(found) = self.members.iter_mut().find(|m| m.member == member) {
            found.partitions.retain(|owned| *owned != partition);
        }
    }
}

/// Who reads: a group, or a consumer without a group. Groups come first, then consumers by number.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ReaderView {
    /// What it did with each message.
    pub messages: Paged<Processing>,
    /// The lowest position it ever had, by partition: what lies below was never meant for it.
    pub floor: Vec<(PartitionId, Offset)>,
    /// How many records it processed, repeats included.
    pub processed: u64,
}

impl ReaderView {
    /// What it did with `message`.
    pub fn message(&self, message: MessageId) -> Processing {
        self.messages.get(message.index()).copied().unwrap_or_default()
    }

    /// The lowest position it ever had in `partition`; `None` when it never had one.
    pub fn floor(&self, partition: PartitionId) -> Option<Offset> {
        self.floor.iter().find(|(p, _)| *p == partition).map(|(_, offset)| *offset)
    }

    pub(super) fn lower_floor(&mut self, partition: PartitionId, offset: Offset) {
        match self.floor.iter_mut().find(|(p, _)| *p == partition) {
            Some((_, floor)) => *floor = offset.min(*floor),
            None => self.floor.push((partition, offset)),
        }
    }
}
