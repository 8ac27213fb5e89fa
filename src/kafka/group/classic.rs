//! A group of the classic protocol as its coordinator keeps it (`ClassicGroup`, `ClassicGroupMember`): members,
//! generation, leader, and the state machine between them. What the requests do to it is in [`super::rebalance`].
//!
//! Simplified: members are kept in the order of their ids (Kafka: the order of a hash map over random ids).

use std::collections::{BTreeMap, BTreeSet};

use crate::base::batch::{GroupSnapshot, MemberSnapshot, Subscribed};
use crate::base::config::{AssignorName, Assignors};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{Generation, GroupId, InstanceId, MemberId, PartitionId};
use crate::base::time::{Duration, Time};
use crate::event::GroupState;
use crate::kafka::effects::Token;
use crate::kafka::group::hash::hash_map_order;

/// A request that waits for the group. Kafka keeps waiting when the asker's connection is gone: the member counts
/// as joined until its session ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Parked {
    pub(super) token: Token,
    /// The connection is closed; nobody hears the answer.
    pub(super) gone: bool,
}

impl Parked {
    pub(super) const fn new(token: Token) -> Self {
        Self { token, gone: false }
    }
}

/// Who a request says it is from (`ClassicGroup.validateMember`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Caller {
    pub(super) member: MemberId,
    /// Its `group.instance.id`, if it is static.
    pub(super) instance: Option<InstanceId>,
}

/// A member of a classic group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its `group.instance.id`, if it is static (KIP-345).
    pub instance: Option<InstanceId>,
    /// The assignors it knows.
    pub protocols: Assignors,
    /// What it said of itself when it joined.
    pub subscription: Vec<Subscribed>,
    /// The partitions it owns in this generation, in the assignor's order.
    pub assignment: Vec<PartitionId>,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// When its session ends unless it is heard of; `None` after an expiry that was forgiven because it waits.
    pub(super) session_end: Option<Time>,
    /// It never got an answer to a join: it cannot send heartbeats and may expire while it waits.
    pub(super) is_new: bool,
    pub(super) awaiting_join: Option<Parked>,
    pub(super) awaiting_sync: Option<Parked>,
}

impl Member {
    /// Members that wait for the group need not send heartbeats, unless they are new.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// With what it said to the group's assignor: only that of the sticky one is told what the member had.
    fn snapshot(&self, member: MemberId, protocol: Option<AssignorName>) -> MemberSnapshot {
        let sticky = protocol == Some(AssignorName::Sticky);
        let told = |says: &&Subscribed| {
            sticky || !matches!(says, Subscribed::Had(_) | Subscribed::HadSince(_))
        };
        MemberSnapshot {
            member,
            instance: self.instance,
            session_timeout_ms: self.session_timeout.as_millis() as u32,
            rebalance_timeout_ms: self.rebalance_timeout.as_millis() as u32,
            subscription: self.subscription.iter().filter(told).copied().collect(),
            assignment: self.assignment.clone(),
        }
    }
}

/// What the end of the join phase is waiting for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum JoinTimer {
    /// `group.initial.rebalance.delay.ms` of a group that was empty; it may be extended by `remaining` in all.
    Initial { delay: Duration, remaining: Duration },
    /// The rebalance timeout.
    Rebalance,
}

/// A group of the classic protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassicGroup {
    pub(super) id: GroupId,
    pub(super) state: GroupState,
    pub(super) previous: GroupState,
    pub(super) generation: Generation,
    /// The assignor of the generation.
    pub(super) protocol: Option<AssignorName>,
    pub(super) leader: Option<MemberId>,
    pub(super) members: BTreeMap<MemberId, Member>,
    /// Ids handed out with `MEMBER_ID_REQUIRED` that did not come back yet, with the end of their session.
    pub(super) pending_join: BTreeMap<MemberId, Time>,
    /// Members of the generation that did not send `SyncGroup` yet.
    pub(super) pending_sync: BTreeSet<MemberId>,
    /// A member was added during the initial delay: it will be extended.
    pub(super) new_member_added: bool,
    pub(super) join_timer: Option<JoinTimer>,
    /// What the session timer is set to, at or before the first session's end.
    pub(super) session_timer: Option<Time>,
    pub(super) ids_given: u16,
    /// When its last member went, in milliseconds since 1970; `None` for a group that never had one, as far as the
    /// log knows: its offsets come from clients that assign partitions by hand, or from administrators.
    pub(super) empty_since: Option<i64>,
}

impl ClassicGroup {
    /// An empty group.
    pub(super) fn new(id: GroupId) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            previous: GroupState::Dead,
            generation: Generation(0),
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            pending_join: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            new_member_added: false,
            join_timer: None,
            session_timer: None,
            ids_given: 0,
            empty_since: None,
        }
    }

    /// The group as a group metadata record has it: `Stable`, or `Empty` without members.
    pub(super) fn restored(id: GroupId, generation: Generation, snapshot: &GroupSnapshot) -> Self {
        let restore = |m: &MemberSnapshot| Member {
            instance: m.instance,
            protocols: snapshot.protocol.map(Assignors::only).unwrap_or_default(),
            subscription: m.subscription.clone(),
            assignment: m.assignment.clone(),
            session_timeout: Duration::from_millis(m.session_timeout_ms.into()),
            rebalance_timeout: Duration::from_millis(m.rebalance_timeout_ms.into()),
            session_end: None,
            is_new: false,
            awaiting_join: None,
            awaiting_sync: None,
        };
        let members: BTreeMap<_, _> =
            snapshot.members.iter().map(|m| (m.member, restore(m))).collect();
        Self {
            state: if members.is_empty() { GroupState::Empty } else { GroupState::Stable },
            generation,
            protocol: snapshot.protocol,
            leader: snapshot.leader,
            members,
            ids_given: snapshot.ids_given,
            ..Self::new(id)
        }
    }

    /// What the record of a group says that nobody is in yet (`newEmptyGroupMetadataRecord`).
    pub(super) fn empty_snapshot(&self) -> GroupSnapshot {
        let ids_given = self.ids_given;
        GroupSnapshot { protocol: None, leader: None, ids_given, members: Vec::new() }
    }

    /// What a group metadata record says of the group.
    pub(super) fn snapshot(&self) -> GroupSnapshot {
        GroupSnapshot {
            protocol: self.protocol,
            leader: self.leader,
            ids_given: self.ids_given,
            members: self
                .members
                .iter()
                .map(|(id, member)| member.snapshot(*id, self.protocol))
                .collect(),
        }
    }

    /// Its state.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// Its generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The assignor of its generation.
    pub fn protocol(&self) -> Option<AssignorName> {
        self.protocol
    }

    /// The member that computes assignments.
    pub fn leader(&self) -> Option<MemberId> {
        self.leader
    }

    /// Its members by id.
    pub fn members(&self) -> &BTreeMap<MemberId, Member> {
        &self.members
    }

    /// The longest rebalance timeout of a member.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|m| m.rebalance_timeout).max().unwrap_or(Duration::ZERO)
    }

    /// `supportsProtocols`: is there an assignor that everybody in the group and a member with `protocols` know?
    pub(super) fn supports(&self, protocols: Assignors) -> bool {
        let all_know = |name| self.members.values().all(|member| member.protocols.contains(name));
        protocols.iter().any(|name| self.state == GroupState::Empty || all_know(name))
    }

    /// `selectProtocol`: each member votes for the first of its assignors that all know. Of several with as many votes
    /// it is the first in the order of a hash map.
    pub(super) fn select_protocol(&self) -> Option<AssignorName> {
        let all_know = |name| self.members.values().all(|member| member.protocols.contains(name));
        let vote = |member: &Member| member.protocols.iter().find(|name| all_know(*name));
        let votes: Vec<AssignorName> = self.members.values().filter_map(vote).collect();
        let mut seen = BTreeSet::new();
        let names = votes.iter().filter(|name| seen.insert(**name)).map(|name| name.name());
        let mut order = hash_map_order(&names.collect::<Vec<_>>());
        // Of equals `max_by_key` takes the last.
        order.reverse();
        let count = |name: &&str| votes.iter().filter(|vote| vote.name() == *name).count();
        let chosen = order.into_iter().max_by_key(count)?;
        AssignorName::ALL.into_iter().find(|name| name.name() == chosen)
    }

    /// The id of the member with this `group.instance.id` (`staticMemberId`).
    pub(super) fn static_member(&self, instance: InstanceId) -> Option<MemberId> {
        let mut members = self.members.iter();
        members.find(|(_, member)| member.instance == Some(instance)).map(|(id, _)| *id)
    }

    /// True when nobody else is expected to join.
    pub(super) fn has_all_members_joined(&self) -> bool {
        self.pending_join.is_empty() && self.members.values().all(|m| m.awaiting_join.is_some())
    }

    /// True in the states from which a rebalance can begin.
    pub(super) fn can_rebalance(&self) -> bool {
        valid_previous(GroupState::PreparingRebalance).contains(&self.state)
    }

    /// Goes to `state`.
    ///
    /// # Panics
    /// When Kafka has no such transition.
    pub(super) fn transition_to(&mut self, state: GroupState) {
        assert!(
            valid_previous(state).contains(&self.state),
            "a classic group never goes from {} to {}",
            self.state.name(),
            state.name()
        );
        self.previous = self.state;
        self.state = state;
    }

    /// A member id of the consumer whose names have `rank`: never given before, as far as the log knows.
    pub(super) fn new_member_id(&mut self, rank: u16) -> MemberId {
        loop {
            self.ids_given = self.ids_given.wrapping_add(1);
            let id = MemberId(u32::from(rank) << 16 | u32::from(self.ids_given));
            let taken = self.members.contains_key(&id) || self.pending_join.contains_key(&id);
            if !taken && id != MemberId::UNKNOWN {
                return id;
            }
        }
    }

    /// Forgets `member`, whether it is known or only has an id; the next one leads when it was the leader.
    pub(super) fn forget(&mut self, member: MemberId) -> Option<Member> {
        let removed = self.members.remove(&member);
        if self.leader == Some(member) {
            self.leader = self.members.keys().next().copied();
        }
        self.pending_join.remove(&member);
        self.pending_sync.remove(&member);
        removed
    }

    /// Adds the group's state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.state, self.previous, self.generation, self.leader, self.ids_given));
        into.add((self.new_member_added, self.join_timer, self.protocol));
        for (id, end) in &self.pending_join {
            into.add(id);
            into.add_time(now, *end);
        }
        into.add(&self.pending_sync);
        for (id, member) in &self.members {
            into.add((id, member.instance, member.protocols));
            into.add((&member.subscription, &member.assignment));
            into.add((member.session_timeout, member.rebalance_timeout, member.is_new));
            into.add((member.awaiting_join.is_some(), member.awaiting_sync.is_some()));
            into.add_time(now, member.session_end.unwrap_or(now));
        }
    }
}

/// From which states a group may come to `state` (`ClassicGroupState`).
fn valid_previous(state: GroupState) -> &'static [GroupState] {
    use GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};
    match state {
        Empty | CompletingRebalance => &[PreparingRebalance],
        PreparingRebalance => &[Stable, CompletingRebalance, Empty],
        Stable => &[CompletingRebalance],
        Dead => &[Stable, PreparingRebalance, CompletingRebalance, Empty, Dead],
        GroupState::Assigning | GroupState::Reconciling => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};

    #[test]
    fn the_transitions_are_kafka_s_and_no_others() {
        let allowed = [
            (Empty, PreparingRebalance),
            (Stable, PreparingRebalance),
            (CompletingRebalance, PreparingRebalance),
            (PreparingRebalance, CompletingRebalance),
            (PreparingRebalance, Empty),
            (CompletingRebalance, Stable),
            (Dead, Dead),
        ];
        let states = [Empty, PreparingRebalance, CompletingRebalance, Stable, Dead];
        for (from, to) in states.into_iter().flat_map(|a| states.map(|b| (a, b))) {
            let expected = allowed.contains(&(from, to)) || to == Dead;
            assert_eq!(valid_previous(to).contains(&from), expected, "{from:?} to {to:?}");
        }
    }
}
