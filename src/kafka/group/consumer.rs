//! A group of the consumer protocol as its coordinator keeps it (`ConsumerGroup`, `ConsumerGroupMember`, KIP-848):
//! what each member says of itself, what it is to own (the target assignment), and how far it is on its way there.
//!
//! Three epochs tell the three apart. The *group epoch* rises when members, subscriptions or topics change. The *target
//! epoch* follows it when the coordinator has computed who is to own what. A *member's epoch* follows the target's when
//! the member has given up everything that it is not to have any more.
//!
//! The state is what the group's records say and nothing else: every change is a list of [`ConsumerGroupRecord`]s that
//! [`ConsumerGroup::replay`] takes in, now or in another coordinator later.
//! * [`heartbeat`]: what a request makes of the group (`GroupMetadataManager.consumerGroupHeartbeat`);
//! * [`reconcile`]: one step of a member towards its target (`CurrentAssignmentBuilder`);
//! * [`target`]: the target assignment (`TargetAssignmentBuilder`);
//! * [`classic_members`]: members of the classic protocol in the group (online migration);
//! * [`regex`]: the topics that fit the regular expressions members subscribe to;
//! * [`say`]: the events that tell of a change.
//!
//! Simplified: the coordinator knows the partitions of a topic as soon as they exist (Kafka: from its broker's
//! metadata).

pub(super) mod classic_members;
pub(super) mod heartbeat;
mod reconcile;
pub(super) mod regexes;
mod say;
mod target;

use std::collections::BTreeMap;

use crate::base::config::RemoteAssignor;
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::group_records::{
    ConsumerGroupRecord, CurrentAssignment, EpochPartition, MemberMetadata, MemberState,
    ResolvedRegex,
};
use crate::base::ids::{GroupId, InstanceId, MemberId, PartitionId, RegexId, TopicId};
use crate::base::names::Names;
use crate::base::time::Time;
use crate::event::GroupState;
use crate::kafka::api::PartitionOffset;
use crate::kafka::group::hash::hash_map_order;

/// `ConsumerGroupHeartbeatRequest.LEAVE_GROUP_STATIC_MEMBER_EPOCH`: a static member left for a while.
pub(super) const LEFT_FOR_A_WHILE: i32 = -2;

/// A member of a group of the consumer protocol.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ConsumerGroupMember {
    pub(super) metadata: MemberMetadata,
    pub(super) current: CurrentAssignment,
}

/// Somebody the group has not heard of.
impl Default for ConsumerGroupMember {
    fn default() -> Self {
        let metadata = MemberMetadata { rebalance_timeout_ms: -1, ..MemberMetadata::default() };
        let current = CurrentAssignment { previous_epoch: -1, ..CurrentAssignment::default() };
        Self { metadata, current }
    }
}

impl ConsumerGroupMember {
    /// Its epoch.
    pub fn epoch(&self) -> i32 {
        self.current.epoch
    }

    /// How far it is with its assignment.
    pub fn state(&self) -> MemberState {
        self.current.state
    }

    /// What it has, with what it has yet to give up: nobody else may have it.
    pub fn held(&self) -> impl Iterator<Item = PartitionId> + '_ {
        let current = &self.current;
        current.assigned.iter().chain(&current.pending_revocation).map(|(partition, _)| *partition)
    }

    /// True when it has all that the target of `epoch` gives it.
    fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == epoch
    }

    /// True when it speaks the classic protocol.
    pub(super) fn is_classic(&self) -> bool {
        self.metadata.classic.is_some()
    }

    /// Since which epoch it has `partition`.
    fn assignment_epoch(&self, partition: PartitionId) -> Option<i32> {
        let find = |list: &[EpochPartition]| {
            list.iter().find(|(own, _)| *own == partition).map(|(_, epoch)| *epoch)
        };
        find(&self.current.assigned).or_else(|| find(&self.current.pending_revocation))
    }
}

/// A group of the consumer protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerGroup {
    pub(super) id: GroupId,
    pub(super) epoch: i32,
    /// A hash of the partition counts of the topics that members subscribe to.
    pub(super) metadata_hash: u32,
    pub(super) members: BTreeMap<MemberId, ConsumerGroupMember>,
    /// What fits the regular expressions that members subscribe to, as far as it was looked for.
    pub(super) resolved: BTreeMap<RegexId, ResolvedRegex>,
    /// How many partitions had been created when the group last compared its topics with the metadata; `None`: it has
    /// not yet, in this coordinator.
    pub(super) compared_at: Option<usize>,
    pub(super) target_epoch: i32,
    /// When the target was computed, in milliseconds since 1970; 0: the next may be computed at once.
    pub(super) target_at: i64,
    pub(super) target: BTreeMap<MemberId, Vec<PartitionId>>,
    /// When each member's session ends unless it is heard of.
    pub(super) sessions: BTreeMap<MemberId, Time>,
    /// By when a member is to have given its partitions up and left the epoch.
    pub(super) rebalances: BTreeMap<MemberId, (i32, Time)>,
    /// By when a classic member that was told to join again is to have done so.
    pub(super) joins: BTreeMap<MemberId, Time>,
    /// By when a classic member that joined is to have fetched its assignment.
    pub(super) syncs: BTreeMap<MemberId, Time>,
    /// How many ids classic members were given.
    pub(super) ids_given: u16,
    /// What the group's timer is set to, at or before the first of these.
    pub(super) timer: Option<Time>,
}

impl ConsumerGroup {
    /// An empty group. Its first epoch has an assignment: nothing.
    pub(super) fn new(id: GroupId) -> Self {
        Self {
            id,
            epoch: 1,
            metadata_hash: 0,
            members: BTreeMap::new(),
            resolved: BTreeMap::new(),
            compared_at: None,
            target_epoch: 1,
            target_at: 0,
            target: BTreeMap::new(),
            sessions: BTreeMap::new(),
            rebalances: BTreeMap::new(),
            joins: BTreeMap::new(),
            syncs: BTreeMap::new(),
            ids_given: 0,
            timer: None,
        }
    }

    /// Its state (`maybeUpdateGroupState`).
    pub fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch > self.target_epoch {
            GroupState::Assigning
        } else if self.members.values().all(|m| m.is_reconciled_to(self.target_epoch)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    /// The group epoch.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The epoch of the target assignment.
    pub fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    /// Its members by id.
    pub fn members(&self) -> &BTreeMap<MemberId, ConsumerGroupMember> {
        &self.members
    }

    /// What `member` is to own.
    pub fn target_of(&self, member: MemberId) -> &[PartitionId] {
        self.target.get(&member).map_or(&[], Vec::as_slice)
    }

    /// The member that has `partition`, or has yet to give it up.
    pub fn holder(&self, partition: PartitionId) -> Option<MemberId> {
        let holds = |m: &ConsumerGroupMember| m.held().any(|held| held == partition);
        self.members.iter().find(|(_, member)| holds(member)).map(|(id, _)| *id)
    }

    /// The static member called `instance`.
    pub(super) fn static_member(&self, instance: InstanceId) -> Option<MemberId> {
        let is = |m: &ConsumerGroupMember| m.metadata.instance == Some(instance);
        self.members.iter().find(|(_, member)| is(member)).map(|(id, _)| *id)
    }

    /// `computePreferredServerAssignor`: the one that most members name; of several the first in the order of a hash
    /// map.
    pub(super) fn preferred_assignor(&self) -> Option<RemoteAssignor> {
        let count = |name: &str| {
            let votes = self.members.values().filter_map(|member| member.metadata.assignor);
            votes.filter(|assignor| assignor.name() == name).count()
        };
        let mut order = hash_map_order(&RemoteAssignor::ALL.map(RemoteAssignor::name));
        // Of equals `max_by_key` takes the last.
        order.reverse();
        let most =
            order.into_iter().max_by_key(|name| count(name)).filter(|name| count(name) > 0)?;
        RemoteAssignor::ALL.into_iter().find(|assignor| assignor.name() == most)
    }

    /// The topics that `member` subscribes to, by name or by what fits its regular expression; ascending.
    pub(super) fn topics_of(&self, member: &MemberMetadata) -> Vec<TopicId> {
        let resolved = member.regex.and_then(|regex| self.resolved.get(&regex));
        let fitting = resolved.into_iter().flat_map(|resolved| &resolved.topics);
        let mut topics: Vec<TopicId> = member.topics.iter().chain(fitting).copied().collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Does a member subscribe to `topic`?
    pub(super) fn subscribes_to(&self, topic: TopicId) -> bool {
        let named = |m: &ConsumerGroupMember| m.metadata.topics.contains(&topic);
        self.members.values().any(named)
            || self.resolved.values().any(|resolved| resolved.topics.contains(&topic))
    }

    /// `computeMetadataHash`: changes when a subscribed topic gets partitions.
    fn hash_of_topics(&self, names: &Names) -> u32 {
        let named = self.members.values().flat_map(|m| &m.metadata.topics);
        let fitting = self.resolved.values().flat_map(|resolved| &resolved.topics);
        let mut topics: Vec<_> = named.chain(fitting).copied().collect();
        topics.sort_unstable();
        topics.dedup();
        topics.into_iter().fold(0, |hash: u32, topic| {
            let partitions = names.existing(topic).len() as u32;
            let word = u32::from(topic.0).wrapping_mul(0x0100_0193) ^ partitions.wrapping_add(1);
            (hash.rotate_left(5) ^ word).wrapping_mul(0x0100_0193)
        })
    }

    /// Takes records in.
    pub(super) fn replay_all(&mut self, records: &[ConsumerGroupRecord]) {
        for record in records {
            self.replay(record);
        }
    }

    /// Takes a record in.
    pub(super) fn replay(&mut self, record: &ConsumerGroupRecord) {
        match record {
            ConsumerGroupRecord::Epoch(value) => {
                (self.epoch, self.metadata_hash) = value.unwrap_or_default();
            }
            ConsumerGroupRecord::Member(id, Some(metadata)) => {
                let member = self.members.entry(*id).or_default();
                member.metadata.clone_from(metadata);
            }
            ConsumerGroupRecord::Member(id, None) => {
                self.members.remove(id);
                self.sessions.remove(id);
                self.rebalances.remove(id);
                self.joins.remove(id);
                self.syncs.remove(id);
            }
            ConsumerGroupRecord::Regex(id, Some(resolved)) => {
                self.resolved.insert(*id, resolved.clone());
            }
            ConsumerGroupRecord::Regex(id, None) => {
                self.resolved.remove(id);
            }
            ConsumerGroupRecord::TargetEpoch(value) => {
                (self.target_epoch, self.target_at) = value.unwrap_or((-1, 0));
            }
            ConsumerGroupRecord::Target(id, Some(partitions)) => {
                self.target.insert(*id, partitions.clone());
            }
            ConsumerGroupRecord::Target(id, None) => {
                self.target.remove(id);
            }
            ConsumerGroupRecord::Current(id, value) => {
                let gone = || ConsumerGroupMember::default().current;
                if let Some(member) = self.members.get_mut(id) {
                    member.current = value.clone().unwrap_or_else(gone);
                }
            }
        }
    }

    /// `validateOffsetCommit`: may `member` of `epoch` commit these? A commit from before the member's last epoch is
    /// welcome for partitions that it had then and has still.
    pub(super) fn validate_commit(
        &self,
        member: MemberId,
        epoch: i32,
        offsets: &[PartitionOffset],
    ) -> Result<(), ErrorCode> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(&member).ok_or(ErrorCode::UnknownMemberId)?;
        let current = member.current.epoch;
        let had =
            |o: &PartitionOffset| member.assignment_epoch(o.partition).is_some_and(|e| e <= epoch);
        if epoch == current || (epoch < current && offsets.iter().all(had)) {
            return Ok(());
        }
        Err(stale(member))
    }

    /// `validateOffsetFetch`.
    pub(super) fn validate_fetch(&self, member: MemberId, epoch: i32) -> Result<(), ErrorCode> {
        if member == MemberId::UNKNOWN && epoch < 0 {
            return Ok(());
        }
        let member = self.members.get(&member).ok_or(ErrorCode::UnknownMemberId)?;
        if epoch == member.current.epoch { Ok(()) } else { Err(stale(member)) }
    }

    /// The first moment at which a session or a member's time to give partitions up ends.
    pub(super) fn first_end(&self) -> Option<Time> {
        let rebalances = self.rebalances.values().map(|(_, end)| *end);
        let classic = self.joins.values().chain(self.syncs.values());
        self.sessions.values().chain(classic).copied().chain(rebalances).min()
    }

    /// Adds the group's state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.epoch, self.metadata_hash, self.target_epoch, &self.target));
        into.add(if self.target_at == 0 { -1 } else { now.timestamp() - self.target_at });
        into.add(&self.members);
        into.add(self.compared_at);
        for (regex, resolved) in &self.resolved {
            into.add((regex, &resolved.topics, resolved.version, now.timestamp() - resolved.at));
        }
        into.add(self.ids_given);
        for (member, end) in self.sessions.iter().chain(&self.joins).chain(&self.syncs) {
            into.add(member);
            into.add_time(now, *end);
        }
        for (member, (epoch, end)) in &self.rebalances {
            into.add((member, epoch));
            into.add_time(now, *end);
        }
    }
}

/// What a member of an old epoch is told.
fn stale(member: &ConsumerGroupMember) -> ErrorCode {
    if member.is_classic() { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch }
}
