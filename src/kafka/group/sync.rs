//! The second half of a classic rebalance: the leader's assignment, stored, then handed to everybody
//! (`GroupMetadataManager.classicGroupSync`).

use crate::base::batch::GroupSnapshot;
use crate::base::error::ErrorCode;
use crate::base::ids::{Generation, MemberId, PartitionId};
use crate::event::{GroupState, LeaveReason};
use crate::kafka::api::{MemberPartition, Message};
use crate::kafka::effects::{TimerKind, Token};
use crate::kafka::group::classic::{Caller, ClassicGroup, Parked};
use crate::kafka::group::rebalance::{Context, Written};

impl ClassicGroup {
    /// `SyncGroup`; `assignment` is the leader's.
    pub(super) fn sync(
        &mut self,
        cx: &mut Context<'_>,
        (token, caller): (Token, Caller),
        generation: Generation,
        assignment: &[MemberPartition],
    ) {
        if let Err(error) = self.validate(caller, generation) {
            return reply_sync(cx, token, error, &[]);
        }
        let member = caller.member;
        match self.state {
            GroupState::CompletingRebalance => {
                self.synced(cx, member);
                if let Some(waiting) = self.members.get_mut(&member) {
                    waiting.awaiting_sync = Some(Parked::new(token));
                }
                if self.leader == Some(member) {
                    let snapshot = self.assigned_snapshot(assignment);
                    self.write_snapshot(cx, snapshot, Written::Assignment);
                }
            }
            GroupState::Stable => {
                self.synced(cx, member);
                reply_sync(cx, token, ErrorCode::None, &self.members[&member].assignment);
            }
            _ => {
                reply_sync(cx, token, ErrorCode::RebalanceInProgress, &[]);
            }
        }
    }

    fn synced(&mut self, cx: &mut Context<'_>, member: MemberId) {
        self.pending_sync.remove(&member);
        if self.pending_sync.is_empty() {
            cx.fx.cancel_timer(TimerKind::GroupSync, self.id.0);
        }
    }

    /// What the record of `assignment` says: members that it does not name get nothing.
    fn assigned_snapshot(&self, assignment: &[MemberPartition]) -> GroupSnapshot {
        let mut snapshot = self.snapshot();
        for row in &mut snapshot.members {
            let own = assignment.iter().filter(|a| a.member == row.member);
            row.assignment = own.map(|a| a.partition).collect();
        }
        snapshot
    }

    /// The record of the leader's assignment is replicated (`Ok`), or it could not be stored.
    pub(super) fn assignment_written(
        &mut self,
        cx: &mut Context<'_>,
        generation: Generation,
        outcome: Result<&GroupSnapshot, ErrorCode>,
    ) {
        // A rebalance may have begun meanwhile; then the assignment is worth nothing.
        if self.state != GroupState::CompletingRebalance || self.generation != generation {
            return;
        }
        let snapshot = match outcome {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.clear_assignment();
                self.propagate_assignment(cx, error);
                return self.prepare_rebalance(cx);
            }
        };
        for row in &snapshot.members {
            if let Some(member) = self.members.get_mut(&row.member) {
                member.assignment.clone_from(&row.assignment);
            }
        }
        self.transition_to(GroupState::Stable);
        self.say_state(cx);
        self.say_assignment(cx);
        self.propagate_assignment(cx, ErrorCode::None);
    }

    pub(super) fn clear_assignment(&mut self) {
        for member in self.members.values_mut() {
            member.assignment.clear();
        }
    }

    /// Answers every `SyncGroup` that waits. Whoever is answered begins a new session: it could not send heartbeats
    /// while it waited.
    pub(super) fn propagate_assignment(&mut self, cx: &mut Context<'_>, error: ErrorCode) {
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            let member = self.members.get_mut(&id).expect("the key is the map's own");
            let Some(parked) = member.awaiting_sync.take() else { continue };
            if !parked.gone {
                reply_sync(cx, parked.token, error, &member.assignment);
            }
            self.heard_of(cx, id);
        }
    }

    /// The sync phase's time is over: who did not send `SyncGroup` is out.
    pub(super) fn sync_timeout(&mut self, cx: &mut Context<'_>) {
        let syncing = matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable);
        if !syncing || self.pending_sync.is_empty() {
            return;
        }
        for member in std::mem::take(&mut self.pending_sync) {
            self.remove(cx, member, LeaveReason::RebalanceTimeout);
        }
        self.prepare_rebalance(cx);
    }
}

pub(super) fn reply_sync(
    cx: &mut Context<'_>,
    token: Token,
    error: ErrorCode,
    partitions: &[PartitionId],
) {
    let assignment = cx.fx.keep(partitions);
    cx.fx.reply(token, Message::SyncGroupResponse { error, assignment });
}
