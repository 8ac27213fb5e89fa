//! Static members (KIP-345): a member with a `group.instance.id` does not leave when its process ends. Who joins with
//! the same instance id takes its place, with its partitions, and the process before it is fenced. Only its session
//! ends its membership.
//!
//! Kafka: `GroupMetadataManager.classicGroupJoinNewStaticMember`, `updateStaticMemberThenRebalanceOrCompleteJoin`,
//! `ClassicGroup.replaceStaticMember`, `maybeElectNewJoinedLeader`.
//! Simplified: a replaced member is known by the name of the process that replaced it (Kafka keeps the `client.id` of
//! the first); no removal by an administrator.

use crate::base::error::ErrorCode;
use crate::base::ids::{InstanceId, MemberId};
use crate::event::{EventKind, GroupState, LeaveReason};
use crate::kafka::group::classic::{Caller, ClassicGroup, Member};
use crate::kafka::group::rebalance::{Context, JoinRequest, Written, join_error};
use crate::kafka::group::sync::reply_sync;

/// A static member that came back to a stable group: what to undo when its record cannot be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Replacement {
    pub(super) member: MemberId,
    pub(super) replaced: MemberId,
    pub(super) before: Member,
}

impl ClassicGroup {
    /// A static member joins without a member id: it is new, or it comes back.
    pub(super) fn join_static(
        &mut self,
        cx: &mut Context<'_>,
        instance: InstanceId,
        mut request: JoinRequest,
    ) {
        let member = self.new_member_id(request.rank);
        request.caller = Caller { member, instance: Some(instance) };
        let Some(replaced) = self.static_member(instance) else {
            return self.add_then_rebalance(cx, request);
        };
        let before = self.replace_static(cx, replaced, member);
        self.update(request);
        match self.state {
            // Nothing changes for the others as long as the group would choose the same assignor.
            GroupState::Stable if self.select_protocol() == self.protocol => {
                let replacement = Box::new(Replacement { member, replaced, before });
                self.write_snapshot(cx, self.snapshot(), Written::Replacement(replacement));
            }
            // The leader may be computing an assignment for the member id before.
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(cx),
            GroupState::PreparingRebalance => self.complete_join_if_all_did(cx),
            _ => unreachable!("the group has a member"),
        }
    }

    /// `member` takes the place of `replaced`, which is fenced. Returns the member as it was.
    fn replace_static(
        &mut self,
        cx: &mut Context<'_>,
        replaced: MemberId,
        member: MemberId,
    ) -> Member {
        let mut before = self.members.remove(&replaced).expect("the caller found the member");
        let fenced = ErrorCode::FencedInstanceId;
        if let Some(parked) = before.awaiting_join.take().filter(|parked| !parked.gone) {
            join_error(cx, parked.token, replaced, fenced);
        }
        if let Some(parked) = before.awaiting_sync.take().filter(|parked| !parked.gone) {
            reply_sync(cx, parked.token, fenced, &[]);
        }
        before.is_new = false;
        self.put_in_place(cx, (replaced, LeaveReason::Replaced), member, before.clone());
        before
    }

    /// The record of a member that came back is replicated (`Ok`), or could not be stored.
    pub(super) fn replacement_written(
        &mut self,
        cx: &mut Context<'_>,
        replacement: &Replacement,
        outcome: Result<(), ErrorCode>,
    ) {
        let id = replacement.member;
        let leads = self.leader == Some(id);
        let Some(member) = self.members.get_mut(&id) else { return };
        let parked = member.awaiting_join.take().filter(|parked| !parked.gone);
        let Err(error) = outcome else {
            if let Some(parked) = parked {
                self.reply_join(cx, parked.token, id, leads);
            }
            return;
        };
        self.members.remove(&id);
        let Replacement { replaced, before, .. } = replacement;
        self.put_in_place(cx, (id, LeaveReason::Undone), *replaced, before.clone());
        if let Some(parked) = parked {
            join_error(cx, parked.token, MemberId::UNKNOWN, error);
        }
    }

    fn put_in_place(
        &mut self,
        cx: &mut Context<'_>,
        (gone, reason): (MemberId, LeaveReason),
        member: MemberId,
        state: Member,
    ) {
        let group = self.id;
        let leads = self.leader == Some(gone);
        if leads {
            self.leader = Some(member);
        }
        cx.fx.event(EventKind::MemberLeft { group, member: gone, reason });
        cx.fx.event(EventKind::MemberJoined { group, member, leader: leads });
        // What it had before the generation that is being formed counts no more.
        let counts = self.state != GroupState::CompletingRebalance;
        for partition in state.assignment.iter().copied().filter(|_| counts) {
            cx.fx.event(EventKind::MemberAssigned { group, member, partition });
        }
        self.members.insert(member, state);
        self.heard_of(cx, member);
    }

    /// The join phase ends: a leader that is not among those who joined leads no longer. False when there are members
    /// and none of them joined.
    pub(super) fn elect_joined_leader(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(leader) = self.leader.and_then(|leader| self.members.get(&leader)) else {
            return true;
        };
        if leader.awaiting_join.is_some() {
            return true;
        }
        let mut members = self.members.iter();
        let Some((&member, _)) = members.find(|(_, m)| m.awaiting_join.is_some()) else {
            return false;
        };
        self.leader = Some(member);
        cx.fx.event(EventKind::MemberJoined { group: self.id, member, leader: true });
        true
    }
}
