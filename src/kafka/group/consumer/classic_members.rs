//! Members of the classic protocol in a group of the consumer protocol: what remains of the protocol before while a
//! group changes member by member (KIP-848, online migration). They go on with `JoinGroup`, `SyncGroup` and
//! `Heartbeat`; the coordinator assigns, a generation is the member's epoch, and nobody waits for anybody: a join is
//! answered at once, a heartbeat says when to join again.
//!
//! Kafka: `GroupMetadataManager.classicGroupJoinToConsumerGroup` and its sisters, `ConsumerGroup.fromClassicGroup`.
//! Simplified: of what a member says when it joins, its topics and what it owns; racks are not modelled.

use crate::base::batch::Subscribed;
use crate::base::config::{AssignorName, Assignors, RemoteAssignor};
use crate::base::error::ErrorCode;
use crate::base::group_records::{
    ClassicMemberMetadata, ConsumerGroupRecord, CurrentAssignment, MemberMetadata, MemberState,
};
use crate::base::ids::{Generation, MemberId, PartitionId, TopicId};
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::effects::Effects;
use crate::kafka::group::classic::{Caller, ClassicGroup, Member};
use crate::kafka::group::consumer::heartbeat::{Change, View};
use crate::kafka::group::consumer::regexes::RegexUpdate;
use crate::kafka::group::consumer::{ConsumerGroup, ConsumerGroupMember};

/// A `JoinGroup` of a member with an id.
pub(in crate::kafka::group) struct ClassicJoin {
    /// Who it is. `member` is its id, also where the coordinator has just given it one.
    pub(in crate::kafka::group) caller: Caller,
    /// The request came without a member id.
    pub(in crate::kafka::group) is_new: bool,
    pub(in crate::kafka::group) session_timeout: Duration,
    pub(in crate::kafka::group) rebalance_timeout: Duration,
    pub(in crate::kafka::group) protocols: Assignors,
    pub(in crate::kafka::group) subscription: Vec<Subscribed>,
}

impl ClassicJoin {
    /// The topics it subscribes to, ascending.
    fn topics(&self) -> Vec<TopicId> {
        topics_in(&self.subscription)
    }

    /// What it says it owns: an eager member has given up everything before it joins.
    fn owned(&self) -> Vec<PartitionId> {
        let owned = |says: &Subscribed| match says {
            Subscribed::Owned(partition) => Some(*partition),
            _ => None,
        };
        self.subscription.iter().filter_map(owned).collect()
    }
}

fn topics_in(subscription: &[Subscribed]) -> Vec<TopicId> {
    let topic = |says: &Subscribed| match says {
        Subscribed::Topic(topic) => Some(*topic),
        _ => None,
    };
    let mut topics: Vec<TopicId> = subscription.iter().filter_map(topic).collect();
    topics.sort_unstable();
    topics.dedup();
    topics
}

/// Changing the protocol.
impl ConsumerGroup {
    /// `fromClassicGroup`: the members as they are, each with what it was assigned last, in the group's generation.
    pub(in crate::kafka::group) fn from_classic(classic: &ClassicGroup, now: Time) -> Self {
        let epoch = classic.generation.0;
        let mut group = Self::new(classic.id);
        (group.epoch, group.target_epoch, group.ids_given) = (epoch, epoch, classic.ids_given);
        for (id, member) in &classic.members {
            let mut assigned = member.assignment.clone();
            assigned.sort_unstable();
            let metadata = MemberMetadata {
                instance: member.instance,
                rebalance_timeout_ms: member.rebalance_timeout.as_millis() as i32,
                topics: topics_in(&member.subscription),
                regex: None,
                assignor: None,
                classic: Some(ClassicMemberMetadata {
                    session_timeout_ms: member.session_timeout.as_millis() as u32,
                    protocols: member.protocols,
                }),
            };
            let current = CurrentAssignment {
                epoch,
                previous_epoch: epoch,
                state: MemberState::Stable,
                assigned: assigned.iter().map(|partition| (*partition, epoch)).collect(),
                pending_revocation: Vec::new(),
            };
            group.members.insert(*id, ConsumerGroupMember { metadata, current });
            group.target.insert(*id, assigned);
            group.sessions.insert(*id, now + member.session_timeout);
        }
        group
    }

    /// `createConsumerGroupRecords`: all that a new coordinator needs to know of the group.
    pub(in crate::kafka::group) fn creation_records(&self) -> Vec<ConsumerGroupRecord> {
        let members = || self.members.iter();
        let said =
            members().map(|(id, m)| ConsumerGroupRecord::Member(*id, Some(m.metadata.clone())));
        let mut records: Vec<ConsumerGroupRecord> = said.collect();
        records.push(ConsumerGroupRecord::Epoch(Some((self.epoch, self.metadata_hash))));
        records.extend(
            self.target.iter().map(|(id, own)| ConsumerGroupRecord::Target(*id, Some(own.clone()))),
        );
        records.push(ConsumerGroupRecord::TargetEpoch(Some((self.target_epoch, self.target_at))));
        records.extend(
            members().map(|(id, m)| ConsumerGroupRecord::Current(*id, Some(m.current.clone()))),
        );
        records
    }

    /// `createGroupTombstoneRecords`: the end of everything that records say of the group.
    pub(in crate::kafka::group) fn tombstones(&self) -> Vec<ConsumerGroupRecord> {
        let members = || self.members.keys().copied();
        let mut records: Vec<_> =
            members().map(|id| ConsumerGroupRecord::Current(id, None)).collect();
        records.extend(members().map(|id| ConsumerGroupRecord::Target(id, None)));
        records.push(ConsumerGroupRecord::TargetEpoch(None));
        records.extend(members().map(|id| ConsumerGroupRecord::Member(id, None)));
        records.extend(self.resolved.keys().map(|id| ConsumerGroupRecord::Regex(*id, None)));
        records.push(ConsumerGroupRecord::Epoch(None));
        records
    }

    /// `allMembersUseClassicProtocolExcept`, and there are others than `except`.
    pub(in crate::kafka::group) fn is_classic_without(&self, except: &[MemberId]) -> bool {
        let mut others = self.members.iter().filter(|(id, _)| !except.contains(id)).peekable();
        others.peek().is_some() && others.all(|(_, member)| member.is_classic())
    }

    /// `ClassicGroup.fromConsumerGroup`: the members but `leaving`, each with what it was to own.
    pub(in crate::kafka::group) fn to_classic(
        &self,
        leaving: &[MemberId],
        now: Time,
    ) -> ClassicGroup {
        let mut classic = ClassicGroup::new(self.id);
        classic.state = crate::event::GroupState::Stable;
        (classic.generation, classic.ids_given) = (Generation(self.epoch), self.ids_given);
        for (id, member) in self.members.iter().filter(|(id, _)| !leaving.contains(id)) {
            let Some(spoken) = &member.metadata.classic else { continue };
            let session_timeout = Duration::from_millis(spoken.session_timeout_ms.into());
            let timeout = Duration::from_millis(member.metadata.rebalance_timeout_ms.max(0) as u64);
            let state = Member {
                instance: member.metadata.instance,
                protocols: spoken.protocols,
                subscription: member
                    .metadata
                    .topics
                    .iter()
                    .copied()
                    .map(Subscribed::Topic)
                    .collect(),
                assignment: self.target_of(*id).to_vec(),
                session_timeout,
                rebalance_timeout: timeout,
                session_end: Some(now + session_timeout),
                is_new: false,
                awaiting_join: None,
                awaiting_sync: None,
            };
            classic.members.insert(*id, state);
        }
        classic.leader = classic.members.keys().next().copied();
        classic.protocol = classic.select_protocol();
        classic
    }

    /// Says what there is to know of members that were of a classic group a moment ago.
    pub(in crate::kafka::group) fn say_upgraded(&self, fx: &mut Effects) {
        let (group, state, epoch) = (self.id, self.state(), self.epoch);
        fx.event(EventKind::ConsumerGroupChanged { group, state, epoch });
        for (member, known) in &self.members {
            let (member, epoch, state) = (*member, known.epoch(), known.state());
            fx.event(EventKind::MemberEpoch { group, member, epoch, state });
            for partition in known.held() {
                fx.event(EventKind::MemberAssigned { group, member, partition });
            }
        }
    }
}

/// Requests of classic members.
impl ConsumerGroup {
    /// `supportsClassicProtocols`: is one of them known to all classic members?
    fn supports(&self, protocols: Assignors) -> bool {
        let classic = || self.members.values().filter_map(|m| m.metadata.classic.as_ref());
        protocols.iter().any(|name| classic().all(|member| member.protocols.contains(name)))
    }

    /// What `JoinGroup` is refused for, whoever sends it.
    pub(in crate::kafka::group) fn refuse_classic(
        &self,
        view: &View<'_>,
        (caller, protocols): (Caller, Assignors),
    ) -> Result<(), ErrorCode> {
        let returns = caller.instance.is_some_and(|i| self.static_member(i).is_some());
        let known = self.members.contains_key(&caller.member);
        if self.members.len() >= view.config.max_size as usize && !known && !returns {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        if self.supports(protocols) { Ok(()) } else { Err(ErrorCode::InconsistentGroupProtocol) }
    }

    /// `JoinGroup` of a member with an id: the records it leads to.
    pub(in crate::kafka::group) fn join_classic(
        &self,
        view: &View<'_>,
        join: &ClassicJoin,
    ) -> Result<Vec<ConsumerGroupRecord>, ErrorCode> {
        let mut change = Change::of(self);
        let id = join.caller.member;
        let before = match join.caller.instance {
            None => self.members.get(&id).cloned().unwrap_or_default(),
            Some(instance) => match (join.is_new, self.static_member(instance)) {
                (true, None) => ConsumerGroupMember::default(),
                // It takes its own place, whichever protocol the one before it speaks.
                (true, Some(old)) => change.replace(old, id),
                (false, None) => return Err(ErrorCode::UnknownMemberId),
                (false, Some(own)) if own != id => return Err(ErrorCode::FencedInstanceId),
                (false, Some(own)) => self.members[&own].clone(),
            },
        };
        let metadata = MemberMetadata {
            instance: join.caller.instance.or(before.metadata.instance),
            rebalance_timeout_ms: join.rebalance_timeout.as_millis() as i32,
            topics: join.topics(),
            regex: None,
            assignor: before.metadata.assignor,
            classic: Some(ClassicMemberMetadata {
                session_timeout_ms: join.session_timeout.as_millis() as u32,
                protocols: join.protocols,
            }),
        };
        let renamed = metadata.topics != before.metadata.topics;
        if metadata != before.metadata || !change.group.members.contains_key(&id) {
            change.write(ConsumerGroupRecord::Member(id, Some(metadata)));
        }
        let regex = self.update_regex(view, (before.metadata.regex, None), &mut change)?;
        let resubscribed = renamed || regex != RegexUpdate::Unchanged;
        change.raise_epoch(view, resubscribed);
        let default = view.config.assignors.first().copied().unwrap_or(RemoteAssignor::Uniform);
        change.retarget(view, default);
        change.reconcile(view, id, (resubscribed, Some(&join.owned())));
        Ok(change.records)
    }

    /// What a member that joined is told: its epoch as the generation, and the first of its assignors.
    pub(in crate::kafka::group) fn joined_classic(
        &self,
        member: MemberId,
    ) -> (Generation, Option<AssignorName>) {
        let Some(known) = self.members.get(&member) else { return (Generation(-1), None) };
        let spoken = known.metadata.classic.as_ref();
        (Generation(known.epoch()), spoken.and_then(|classic| classic.protocols.iter().next()))
    }

    /// A member that joined has to fetch its assignment in time.
    pub(in crate::kafka::group) fn await_sync(&mut self, now: Time, member: MemberId) {
        let Some(known) = self.members.get(&member) else { return };
        let timeout = Duration::from_millis(known.metadata.rebalance_timeout_ms.max(0) as u64);
        self.joins.remove(&member);
        self.syncs.insert(member, now + timeout);
    }

    /// `validateConsumerGroupMember` and what follows it: the caller as a member of the classic protocol in this epoch.
    fn classic_member(
        &self,
        caller: Caller,
        generation: Generation,
    ) -> Result<&ConsumerGroupMember, ErrorCode> {
        if let Some(instance) = caller.instance {
            match self.static_member(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(member) if member != caller.member => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        let known = self.members.get(&caller.member).filter(|member| member.is_classic());
        let member = known.ok_or(ErrorCode::UnknownMemberId)?;
        if member.epoch() == generation.0 { Ok(member) } else { Err(ErrorCode::IllegalGeneration) }
    }

    /// `SyncGroup`: what the member has.
    pub(in crate::kafka::group) fn sync_classic(
        &mut self,
        now: Time,
        caller: Caller,
        generation: Generation,
    ) -> Result<Vec<PartitionId>, ErrorCode> {
        let member = self.classic_member(caller, generation)?;
        let unrevoked = member.state() == MemberState::UnrevokedPartitions;
        let assigned = member.current.assigned.iter().map(|(partition, _)| *partition).collect();
        if self.epoch > generation.0 && !unrevoked {
            self.await_join(now, caller.member);
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.syncs.remove(&caller.member);
        Ok(assigned)
    }

    /// `Heartbeat`: a member that has to catch up is to join again.
    pub(in crate::kafka::group) fn heartbeat_classic(
        &mut self,
        now: Time,
        caller: Caller,
        generation: Generation,
    ) -> Result<ErrorCode, ErrorCode> {
        let member = self.classic_member(caller, generation)?;
        let catches_up = match member.state() {
            _ if member.epoch() < self.epoch => true,
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => !self.waits_for_others(caller.member),
            MemberState::Stable => false,
        };
        if !catches_up {
            return Ok(ErrorCode::None);
        }
        self.await_join(now, caller.member);
        Ok(ErrorCode::RebalanceInProgress)
    }

    /// `waitingOnUnreleasedPartition`: is something that the member is to own still somebody else's?
    fn waits_for_others(&self, id: MemberId) -> bool {
        let others =
            |partition: &PartitionId| self.holder(*partition).is_some_and(|holder| holder != id);
        self.target_of(id).iter().any(others)
    }

    /// The member was told to join again; it has to in time.
    fn await_join(&mut self, now: Time, member: MemberId) {
        let Some(known) = self.members.get(&member) else { return };
        let timeout = Duration::from_millis(known.metadata.rebalance_timeout_ms.max(0) as u64);
        self.joins.entry(member).or_insert(now + timeout);
    }

    /// `LeaveGroup`: is it a member that may leave this way?
    pub(in crate::kafka::group) fn leaves_classic(&self, member: MemberId) -> bool {
        self.members.get(&member).is_some_and(ConsumerGroupMember::is_classic)
    }

    /// A member id of the classic consumer whose names have `rank`: nobody in the group has it.
    pub(in crate::kafka::group) fn new_member_id(&mut self, rank: u16) -> MemberId {
        loop {
            self.ids_given = self.ids_given.wrapping_add(1);
            let id = MemberId(u32::from(rank) << 16 | u32::from(self.ids_given));
            if !self.members.contains_key(&id) && id != MemberId::UNKNOWN {
                return id;
            }
        }
    }
}
