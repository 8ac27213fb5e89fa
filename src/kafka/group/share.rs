//! A share group at its coordinator (`ShareGroup`, `GroupMetadataManager.shareGroupHeartbeat`, KIP-932): members come
//! with a heartbeat of epoch 0 and go with one of epoch -1. The coordinator assigns; a partition may be with any number
//! of members, so nothing has to be given up before somebody else gets it, and a member has what it is told at once.
//!
//! A partition is assigned only once its share state is initialized. That is done after the first heartbeat that names
//! its topic, and is noticed by a later one; and two assignments are `group.share.assignment.interval.ms` apart. So
//! the first member of a new group waits for a little more than that.
//!
//! Simplified: initializing always succeeds, between two heartbeats; no racks, no limit on the size of a group.

use std::collections::BTreeMap;

use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{Generation, GroupId, MemberId, PartitionId, TopicId};
use crate::base::names::Names;
use crate::base::share::{ShareGroupSnapshot, ShareMemberSnapshot};
use crate::base::time::{Duration, Time};
use crate::event::{EventKind, GroupState, LeaveReason};
use crate::kafka::effects::Effects;
use crate::kafka::group::assignor::simple::{Subscriber, assign};

/// The member epoch that joins.
pub const JOIN: i32 = 0;
/// The member epoch that leaves.
pub const LEAVE: i32 = -1;

/// What a heartbeat is answered with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareAnswer {
    /// The member's epoch from now on.
    pub epoch: i32,
    /// When the next heartbeat is due, in ms.
    pub interval_ms: u32,
    /// Its partitions, when it is told of them.
    pub partitions: Option<Vec<PartitionId>>,
}

/// One heartbeat.
#[derive(Clone, Debug)]
pub struct Beat {
    /// Whose.
    pub member: MemberId,
    /// Its epoch.
    pub epoch: i32,
    /// What it subscribes to, when it says so.
    pub topics: Option<Vec<TopicId>>,
}

/// The settings that hold for the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShareTimes {
    /// `share.session.timeout.ms`.
    pub session: Duration,
    /// `share.heartbeat.interval.ms`.
    pub heartbeat: Duration,
    /// `group.share.assignment.interval.ms`.
    pub assignment: Duration,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct ShareMember {
    epoch: i32,
    previous_epoch: i32,
    topics: Vec<TopicId>,
    /// What it is to have.
    target: Vec<PartitionId>,
    /// What it was told that it has.
    assigned: Vec<PartitionId>,
    /// Its session ends then.
    session: Time,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareGroup {
    id: GroupId,
    epoch: i32,
    assignment_epoch: i32,
    assigned_at: Option<Time>,
    /// Partitions whose share state is there, in order.
    initialized: Vec<PartitionId>,
    /// How many partitions the topics of the group had when its epoch was made.
    known_partitions: usize,
    members: BTreeMap<MemberId, ShareMember>,
}

impl ShareGroup {
    /// A group without members.
    pub fn new(id: GroupId) -> Self {
        Self {
            id,
            epoch: 0,
            assignment_epoch: 0,
            assigned_at: None,
            initialized: Vec::new(),
            known_partitions: 0,
            members: BTreeMap::new(),
        }
    }

    /// The group as a record has it. Every session begins anew.
    pub fn restored(id: GroupId, snapshot: &ShareGroupSnapshot) -> Self {
        let member = |m: &ShareMemberSnapshot| {
            let ShareMemberSnapshot { epoch, topics, partitions, .. } = m.clone();
            let (target, assigned) = (partitions.clone(), partitions);
            let (previous_epoch, session) = (epoch, Time::NEVER);
            (m.member, ShareMember { epoch, previous_epoch, topics, target, assigned, session })
        };
        Self {
            epoch: snapshot.epoch,
            assignment_epoch: snapshot.assignment_epoch,
            initialized: snapshot.initialized.clone(),
            known_partitions: snapshot.initialized.len(),
            members: snapshot.members.iter().map(member).collect(),
            ..Self::new(id)
        }
    }

    /// Does a member subscribe to `topic`?
    pub(super) fn subscribes_to(&self, topic: TopicId) -> bool {
        self.members.values().any(|member| member.topics.contains(&topic))
    }

    /// All that another coordinator needs to know.
    pub fn snapshot(&self) -> ShareGroupSnapshot {
        let member = |(id, m): (&MemberId, &ShareMember)| ShareMemberSnapshot {
            member: *id,
            epoch: m.epoch,
            topics: m.topics.clone(),
            partitions: m.target.clone(),
        };
        ShareGroupSnapshot {
            epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            initialized: self.initialized.clone(),
            members: self.members.iter().map(member).collect(),
        }
    }

    /// `Stable` with members, `Empty` without.
    pub fn state(&self) -> GroupState {
        if self.members.is_empty() { GroupState::Empty } else { GroupState::Stable }
    }

    /// Its epoch: counted up when its members or their topics change.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// Partitions whose share state is there, in order.
    pub fn initialized(&self) -> &[PartitionId] {
        &self.initialized
    }

    /// These partitions have share state.
    pub(super) fn initialize(&mut self, partitions: &[PartitionId]) {
        for partition in partitions {
            if let Err(at) = self.initialized.binary_search(partition) {
                self.initialized.insert(at, *partition);
            }
        }
    }

    /// These partitions have no share state any more. Returns those that had.
    pub(super) fn uninitialize(&mut self, partitions: &[PartitionId]) -> Vec<PartitionId> {
        let all = std::mem::take(&mut self.initialized);
        let (gone, kept) = all.into_iter().partition(|p| partitions.contains(p));
        self.initialized = kept;
        gone
    }

    /// Its members with their partitions.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, &[PartitionId])> {
        self.members.iter().map(|(id, member)| (*id, member.assigned.as_slice()))
    }

    /// When the next session ends; [`Time::NEVER`] when there is none.
    pub fn next_session(&self) -> Time {
        self.members.values().map(|member| member.session).min().unwrap_or(Time::NEVER)
    }

    /// This broker coordinates the group from now on: it says what it knows, and sessions begin.
    pub fn loaded(&mut self, now: Time, times: ShareTimes, fx: &mut Effects) {
        self.say_state(fx);
        let group = self.id;
        for (id, member) in &mut self.members {
            member.session = now + times.session;
            fx.event(EventKind::MemberJoined { group, member: *id, leader: false });
            for partition in &member.assigned {
                let (member, partition) = (*id, *partition);
                fx.event(EventKind::ShareAssigned { group, member, partition });
            }
        }
    }

    pub(super) fn say_state(&self, fx: &mut Effects) {
        let (group, state) = (self.id, self.state());
        fx.event(EventKind::GroupChanged { group, state, generation: Generation(self.epoch) });
    }

    /// A heartbeat. Returns the answer, and whether the group changed and must be stored.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `FENCED_MEMBER_EPOCH`.
    pub fn heartbeat(
        &mut self,
        now: Time,
        beat: Beat,
        times: ShareTimes,
        fx: &mut Effects,
    ) -> Result<(ShareAnswer, bool), ErrorCode> {
        let Beat { member: id, epoch, topics } = beat;
        let interval_ms = times.heartbeat.as_millis() as u32;
        if epoch == LEAVE {
            self.members.contains_key(&id).then_some(()).ok_or(ErrorCode::UnknownMemberId)?;
            self.remove(id, LeaveReason::Left, fx);
            return Ok((ShareAnswer { epoch, interval_ms, partitions: None }, true));
        }
        self.check_epoch(id, epoch)?;
        let full = topics.is_some();
        let mut bump = self.subscribe(id, topics, fx);
        let subscribed = self.subscribed(&fx.names);
        bump |= self.known_partitions != subscribed.len();
        // What was initialized since is to be assigned.
        let waiting =
            subscribed.iter().any(|p| !self.is_assigned(*p) && self.initialized.contains(p));
        bump |= self.assignment_epoch >= self.epoch && waiting;
        let before = (self.epoch, self.assignment_epoch, self.initialized.len());
        if bump {
            self.epoch += 1;
            self.known_partitions = subscribed.len();
            self.say_state(fx);
        }
        let rested = self.assigned_at.is_none_or(|at| now.since(at) >= times.assignment);
        if self.assignment_epoch < self.epoch && rested {
            self.compute(now, &fx.names.clone());
        }
        let changed = self.reconcile(id, fx);
        self.initialize(&subscribed);
        let member = self.members.get_mut(&id).ok_or(ErrorCode::UnknownMemberId)?;
        member.session = now + times.session;
        let told = epoch == JOIN || full || changed;
        let partitions = told.then(|| member.assigned.clone());
        let answer = ShareAnswer { epoch: member.epoch, interval_ms, partitions };
        let after = (self.epoch, self.assignment_epoch, self.initialized.len());
        Ok((answer, changed || before != after))
    }

    /// `throwIfShareGroupMemberEpochIsInvalid`.
    fn check_epoch(&self, id: MemberId, epoch: i32) -> Result<(), ErrorCode> {
        let Some(member) = self.members.get(&id) else {
            return if epoch == JOIN { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        };
        let late = epoch < member.epoch && epoch != member.previous_epoch && epoch != JOIN;
        if epoch > member.epoch || late {
            return Err(ErrorCode::FencedMemberEpoch);
        }
        Ok(())
    }

    /// Takes in the member, or another subscription of it. True when there is something new.
    fn subscribe(&mut self, id: MemberId, topics: Option<Vec<TopicId>>, fx: &mut Effects) -> bool {
        let group = self.id;
        let mut new = false;
        let member = self.members.entry(id).or_insert_with(|| {
            new = true;
            ShareMember {
                epoch: 0,
                previous_epoch: 0,
                topics: Vec::new(),
                target: Vec::new(),
                assigned: Vec::new(),
                session: Time::NEVER,
            }
        });
        if new {
            fx.event(EventKind::MemberJoined { group, member: id, leader: false });
        }
        match topics {
            Some(topics) if topics != member.topics => {
                member.topics = topics;
                true
            }
            _ => new,
        }
    }

    /// The partitions of all topics that members subscribe to, in order.
    fn subscribed(&self, names: &Names) -> Vec<PartitionId> {
        let topics = self.members.values().flat_map(|member| &member.topics);
        let mut all: Vec<PartitionId> =
            topics.flat_map(|topic| names.topics[topic.index()].partitions.clone()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn is_assigned(&self, partition: PartitionId) -> bool {
        self.members.values().any(|member| member.target.contains(&partition))
    }

    /// The next target assignment.
    fn compute(&mut self, now: Time, names: &Names) {
        let mut members: Vec<Subscriber> = self
            .members
            .values()
            .map(|m| Subscriber { topics: m.topics.clone(), partitions: m.target.clone() })
            .collect();
        let assignable = |topic: TopicId| {
            let all = &names.topics[topic.index()].partitions;
            all.iter().copied().filter(|p| self.initialized.contains(p)).collect()
        };
        assign(&mut members, assignable);
        for (member, assigned) in self.members.values_mut().zip(members) {
            member.target = assigned.partitions;
        }
        self.assignment_epoch = self.epoch;
        self.assigned_at = Some(now);
    }

    /// The member gets what it is to have. True when that is something else.
    fn reconcile(&mut self, id: MemberId, fx: &mut Effects) -> bool {
        let (group, epoch) = (self.id, self.assignment_epoch);
        let Some(member) = self.members.get_mut(&id) else { return false };
        if member.epoch != epoch {
            member.previous_epoch = member.epoch;
            member.epoch = epoch;
        }
        let (old, new) = (std::mem::take(&mut member.assigned), member.target.clone());
        member.assigned.clone_from(&new);
        for partition in old.iter().copied().filter(|p| !new.contains(p)) {
            fx.event(EventKind::ShareRevoked { group, member: id, partition });
        }
        for partition in new.iter().copied().filter(|p| !old.contains(p)) {
            fx.event(EventKind::ShareAssigned { group, member: id, partition });
        }
        old != new
    }

    /// Sessions that are over. True when the group changed.
    pub fn expire(&mut self, now: Time, fx: &mut Effects) -> bool {
        let late = self.members.iter().filter(|(_, member)| member.session <= now);
        let late: Vec<MemberId> = late.map(|(id, _)| *id).collect();
        for id in &late {
            self.remove(*id, LeaveReason::SessionTimeout, fx);
        }
        !late.is_empty()
    }

    fn remove(&mut self, id: MemberId, reason: LeaveReason, fx: &mut Effects) {
        self.members.remove(&id);
        self.epoch += 1;
        if self.members.is_empty() {
            self.assignment_epoch = self.epoch;
            self.assigned_at = None;
        }
        fx.event(EventKind::MemberLeft { group: self.id, member: id, reason });
        self.say_state(fx);
    }

    /// Adds the group's state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.epoch, self.assignment_epoch, &self.initialized, self.known_partitions));
        into.add_time(now, self.assigned_at.unwrap_or(Time::ZERO));
        for (id, member) in &self.members {
            into.add((id, member.epoch, member.previous_epoch, &member.topics));
            into.add((&member.target, &member.assigned));
            into.add_time(now, member.session);
        }
    }
}
