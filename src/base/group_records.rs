//! What members of the consumer protocol (KIP-848) say in heartbeats, and what the coordinator writes into
//! `__consumer_offsets` about their group: each piece of the group's state is a record with a key of its own, and a
//! record without a value (a tombstone) ends it. Whoever replays all records knows all that the coordinator knew.
//!
//! Simplified: the hash of the topics is our own.

use crate::base::config::RemoteAssignor;
use crate::base::ids::{InstanceId, MemberId, PartitionId, RegexId, TopicId};

/// One thing in a `ConsumerGroupHeartbeat`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HeartbeatField {
    /// `group.instance.id`.
    Instance(InstanceId),
    /// The rebalance timeout, in ms.
    RebalanceTimeout(u32),
    /// It subscribes to these topics and no others: they follow, perhaps none.
    Subscription,
    /// One of them.
    Topic(TopicId),
    /// It subscribes to all topics that fit this regular expression; `None`: to none any more.
    Regex(Option<RegexId>),
    /// The assignor it prefers.
    Assignor(RemoteAssignor),
    /// It owns these partitions and no others: they follow, perhaps none.
    Owned,
    /// One of them.
    Partition(PartitionId),
}

/// A [`ConsumerGroupRecord`] in the table of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConsumerGroupRecordId(pub u32);

/// One record. `None` in place of a value is a tombstone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConsumerGroupRecord {
    /// `ConsumerGroupMetadata`: the group's epoch, and a hash of the topics it was computed from.
    Epoch(Option<(i32, u32)>),
    /// `ConsumerGroupMemberMetadata`: what a member says of itself.
    Member(MemberId, Option<MemberMetadata>),
    /// `ConsumerGroupRegularExpression`: the topics that fit what members subscribe to.
    Regex(RegexId, Option<ResolvedRegex>),
    /// `ConsumerGroupTargetAssignmentMetadata`: the epoch of the target assignment, and when it was computed, in
    /// milliseconds since 1970; 0 lets the next one be computed at once.
    TargetEpoch(Option<(i32, i64)>),
    /// `ConsumerGroupTargetAssignmentMember`: what a member is to own, ascending.
    Target(MemberId, Option<Vec<PartitionId>>),
    /// `ConsumerGroupCurrentMemberAssignment`: where a member is on its way there.
    Current(MemberId, Option<CurrentAssignment>),
}

/// What a record is about: of all with one key the last counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConsumerGroupKey {
    /// The group's epoch.
    Epoch,
    /// What this member says of itself.
    Member(MemberId),
    /// What fits this regular expression.
    Regex(RegexId),
    /// The epoch of the target assignment.
    TargetEpoch,
    /// What this member is to own.
    Target(MemberId),
    /// Where this member is.
    Current(MemberId),
}

impl ConsumerGroupRecord {
    /// Its key, and whether it is a tombstone.
    pub fn key(&self) -> (ConsumerGroupKey, bool) {
        match self {
            Self::Epoch(value) => (ConsumerGroupKey::Epoch, value.is_none()),
            Self::Member(id, value) => (ConsumerGroupKey::Member(*id), value.is_none()),
            Self::Regex(id, value) => (ConsumerGroupKey::Regex(*id), value.is_none()),
            Self::TargetEpoch(value) => (ConsumerGroupKey::TargetEpoch, value.is_none()),
            Self::Target(id, value) => (ConsumerGroupKey::Target(*id), value.is_none()),
            Self::Current(id, value) => (ConsumerGroupKey::Current(*id), value.is_none()),
        }
    }
}

/// What a member says of itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct MemberMetadata {
    /// `group.instance.id` of a static member.
    pub instance: Option<InstanceId>,
    /// Its rebalance timeout: the consumer's `max.poll.interval.ms`. -1 before it said so.
    pub rebalance_timeout_ms: i32,
    /// The topics it subscribes to, ascending.
    pub topics: Vec<TopicId>,
    /// The regular expression it subscribes to (`SubscriptionPattern`).
    pub regex: Option<RegexId>,
    /// `group.remote.assignor`.
    pub assignor: Option<RemoteAssignor>,
    /// A member that speaks the classic protocol (online migration): how, else `None`.
    pub classic: Option<ClassicMemberMetadata>,
}

/// `ResolvedRegularExpression`: what a coordinator found to fit a regular expression.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ResolvedRegex {
    /// The topics whose whole name fits, ascending.
    pub topics: Vec<TopicId>,
    /// How many topics had been created when it looked (Kafka: the offset of the metadata).
    pub version: u32,
    /// When it looked, in milliseconds since 1970.
    pub at: i64,
}

/// `ClassicMemberMetadata`: a member of the classic protocol in a group of the consumer protocol.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ClassicMemberMetadata {
    /// Its `session.timeout.ms`.
    pub session_timeout_ms: u32,
    /// The assignors it knows.
    pub protocols: crate::base::config::Assignors,
}

/// How far a member is with its assignment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum MemberState {
    /// It has all that it is to have, and nothing else.
    #[default]
    Stable,
    /// It has yet to give partitions up; before that it gets no others.
    UnrevokedPartitions,
    /// It waits for partitions that others have not given up.
    UnreleasedPartitions,
}

impl MemberState {
    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stable => "STABLE",
            Self::UnrevokedPartitions => "UNREVOKED_PARTITIONS",
            Self::UnreleasedPartitions => "UNRELEASED_PARTITIONS",
        }
    }
}

/// A partition of a member and the epoch in which it got it.
pub type EpochPartition = (PartitionId, i32);

/// Where a member is.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct CurrentAssignment {
    /// Its epoch; -2 for a static member that left for a while.
    pub epoch: i32,
    /// The epoch before.
    pub previous_epoch: i32,
    /// How far it is.
    pub state: MemberState,
    /// What it has, ascending.
    pub assigned: Vec<EpochPartition>,
    /// What it has yet to give up, ascending.
    pub pending_revocation: Vec<EpochPartition>,
}
