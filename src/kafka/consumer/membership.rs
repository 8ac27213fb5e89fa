//! The membership of a consumer in its group: who it is there, how far its attempt to join is, what it remembers of the
//! assignments before.
//!
//! Kafka: the state of `AbstractCoordinator` and `ConsumerCoordinator`; what they do with it is in
//! [`super::coordinator`] and [`super::joining`].

use crate::base::config::AssignorName;
use crate::base::error::Exception;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{Generation, MemberId, PartitionId, TopicId};
use crate::base::time::Time;
use crate::kafka::api::MemberRow;
use crate::kafka::consumer::Identity;

/// `AbstractCoordinator.MemberState`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) enum MemberState {
    #[default]
    Unjoined,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

/// How far the current attempt to join is (`joinFuture`).
#[derive(Clone, Hash, Debug, Default)]
pub(super) enum Joining {
    /// There is none.
    #[default]
    No,
    /// JoinGroup is on its way.
    Sent,
    /// It was answered. `rows` are for the assignor: a follower has none, and neither has a static leader that came
    /// back to an assignment that stands.
    Joined { identity: Identity, rows: Option<Vec<MemberRow>> },
    /// It is to assign, and waits for metadata later than this version: its own is known to be out of date.
    Leading { rows: Vec<MemberRow>, later_than: u32 },
    /// SyncGroup is on its way.
    Syncing,
    /// The own assignment.
    Assigned(Vec<PartitionId>),
    /// The same, after the callback about what it takes away (cooperative protocol).
    Revoked(Vec<PartitionId>),
    /// It failed.
    Failed(Exception),
}

/// The membership of one consumer.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) state: MemberState,
    pub(super) identity: Identity,
    pub(super) rejoin_needed: bool,
    pub(super) needs_prepare: bool,
    pub(super) joining: Joining,
    pub(super) joined_topics: Option<Vec<TopicId>>,
    /// It is to join, and has asked for metadata in which it looks for the topics of its pattern.
    pub(super) looks: bool,
    /// The leader's: the topics it assigned, with their numbers of partitions (`assignmentSnapshot`).
    pub(super) assigned_topics: Option<Vec<(TopicId, usize)>>,
    /// The assignor that the group agreed on.
    pub(super) protocol: Option<AssignorName>,
    /// `StickyAssignor.memberAssignment` and `.generation`: what it gave last, and when. It outlives the membership.
    pub(super) sticky: Option<(Generation, Vec<PartitionId>)>,
    /// The commit before a rebalance: until when it is waited for, and which one it is.
    pub(super) prepare_until: Option<Time>,
    pub(super) prepare_commit: Option<u32>,
    /// A callback before the rebalance runs; what stays when it returns.
    pub(super) keeps: Option<Vec<PartitionId>>,
    /// No further attempt of anything that failed before this moment.
    pub(super) retry_at: Time,
    /// LeaveGroup was sent and not answered.
    pub(super) leaving: bool,
    /// LeaveGroup of this member waits for a connection; true after `max.poll.interval.ms`.
    pub(super) leave: Option<(MemberId, bool)>,
}

impl Default for Membership {
    fn default() -> Self {
        Self {
            state: MemberState::Unjoined,
            identity: Identity::NONE,
            rejoin_needed: true,
            needs_prepare: true,
            joining: Joining::No,
            joined_topics: None,
            looks: false,
            assigned_topics: None,
            protocol: None,
            sticky: None,
            prepare_until: None,
            prepare_commit: None,
            keeps: None,
            retry_at: Time::ZERO,
            leaving: false,
            leave: None,
        }
    }
}

impl Membership {
    /// `MemberState.hasNotJoinedGroup`.
    pub(super) fn has_not_joined(&self) -> bool {
        matches!(self.state, MemberState::Unjoined | MemberState::PreparingRebalance)
    }

    /// `rebalanceInProgress`.
    pub(super) fn is_rebalancing(&self) -> bool {
        use MemberState::{CompletingRebalance, PreparingRebalance};
        matches!(self.state, PreparingRebalance | CompletingRebalance)
    }

    /// The identity, while the group is stable.
    pub(super) fn if_stable(&self) -> Option<Identity> {
        (self.state == MemberState::Stable).then_some(self.identity)
    }

    /// The commit that the next rebalance waits for.
    pub(super) fn awaited_commit(&self) -> Option<u32> {
        self.prepare_commit
    }

    /// True while LeaveGroup is on its way or waits to be.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving || self.leave.is_some()
    }

    /// `resetStateAndRejoin`.
    pub(super) fn reset_and_rejoin(&mut self, forget_member: bool) {
        self.state = MemberState::Unjoined;
        self.identity.generation = Generation(-1);
        if forget_member {
            self.identity = Identity::NONE;
        }
        self.rejoin_needed = true;
        self.needs_prepare = true;
    }

    /// What was asked of the coordinator will not be answered.
    pub(super) fn coordinator_lost(&mut self) {
        if matches!(self.joining, Joining::Sent | Joining::Syncing) {
            self.joining = Joining::Failed(Exception::Network);
        }
        self.leaving = false;
        self.leave = None;
    }

    /// It is in no generation of the group.
    pub(super) fn is_reset(&self) -> bool {
        self.identity.generation == Generation(-1)
    }

    /// An attempt to join is under way.
    pub(super) fn is_joining(&self) -> bool {
        !matches!(self.joining, Joining::No)
    }

    /// Adds this state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.state, self.identity, self.rejoin_needed, self.needs_prepare));
        into.add((&self.joining, &self.joined_topics, self.leaving, self.leave));
        into.add((&self.assigned_topics, self.looks));
        into.add((self.protocol, &self.sticky, &self.keeps));
        into.add((self.prepare_until.is_some(), self.prepare_commit.is_some()));
        into.add_time(now, self.retry_at.max(now));
    }
}
