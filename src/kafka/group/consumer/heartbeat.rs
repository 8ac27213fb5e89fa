//! What requests and timers make of a group of the consumer protocol: each becomes a list of records
//! (`GroupMetadataManager.consumerGroupHeartbeat`, `consumerGroupLeave`, `consumerGroupFenceMember`).

use crate::base::config::{ConsumerGroupConfig, RemoteAssignor};
use crate::base::error::ErrorCode;
use crate::base::group_records::{ConsumerGroupRecord, CurrentAssignment, MemberState};
use crate::base::ids::{InstanceId, MemberId, PartitionId, RegexId, TopicId};
use crate::base::names::Names;
use crate::base::time::{Duration, Time};
use crate::kafka::api::HeartbeatField;
use crate::kafka::group::consumer::reconcile::{Step, validate_epoch};
use crate::kafka::group::consumer::regexes::RegexUpdate;
use crate::kafka::group::consumer::{ConsumerGroup, ConsumerGroupMember, LEFT_FOR_A_WHILE, target};

/// A `ConsumerGroupHeartbeat` request. What is `None` is as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::kafka::group) struct HeartbeatRequest {
    pub(in crate::kafka::group) member: MemberId,
    pub(in crate::kafka::group) epoch: i32,
    pub(in crate::kafka::group) instance: Option<InstanceId>,
    rebalance_timeout_ms: Option<u32>,
    topics: Option<Vec<TopicId>>,
    /// It says by which regular expression it subscribes, perhaps by none.
    says_regex: bool,
    regex: Option<RegexId>,
    assignor: Option<RemoteAssignor>,
    owned: Option<Vec<PartitionId>>,
}

/// The answer to a heartbeat that was not refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::kafka::group) struct HeartbeatAnswer {
    pub(in crate::kafka::group) member: MemberId,
    pub(in crate::kafka::group) epoch: i32,
    pub(in crate::kafka::group) assignment: Option<Vec<PartitionId>>,
}

/// What a group may look at while it handles one input.
pub(in crate::kafka::group) struct View<'a> {
    pub(in crate::kafka::group) now: Time,
    pub(in crate::kafka::group) config: &'a ConsumerGroupConfig,
    pub(in crate::kafka::group) names: &'a Names,
}

impl HeartbeatRequest {
    pub(in crate::kafka::group) fn read(
        member: MemberId,
        epoch: i32,
        says: &[HeartbeatField],
    ) -> Self {
        let (instance, rebalance_timeout_ms, assignor) = (None, None, None);
        let mut read = Self {
            member,
            epoch,
            instance,
            rebalance_timeout_ms,
            topics: None,
            says_regex: false,
            regex: None,
            assignor,
            owned: None,
        };
        for field in says {
            match *field {
                HeartbeatField::Instance(instance) => read.instance = Some(instance),
                HeartbeatField::RebalanceTimeout(ms) => read.rebalance_timeout_ms = Some(ms),
                HeartbeatField::Assignor(assignor) => read.assignor = Some(assignor),
                HeartbeatField::Subscription => read.topics = Some(Vec::new()),
                HeartbeatField::Topic(topic) => read.topics.get_or_insert_default().push(topic),
                HeartbeatField::Regex(regex) => (read.says_regex, read.regex) = (true, regex),
                HeartbeatField::Owned => read.owned = Some(Vec::new()),
                HeartbeatField::Partition(p) => read.owned.get_or_insert_default().push(p),
            }
        }
        if let Some(topics) = &mut read.topics {
            topics.sort_unstable();
            topics.dedup();
        }
        read
    }

    /// `throwIfConsumerGroupHeartbeatRequestIsInvalid`.
    pub(in crate::kafka::group) fn validate(
        &self,
        config: &ConsumerGroupConfig,
    ) -> Result<(), ErrorCode> {
        let joins_badly = self.epoch == 0
            && (self.rebalance_timeout_ms.is_none()
                || !self.subscribes()
                || self.owned.as_ref().is_none_or(|owned| !owned.is_empty()));
        let leaves_badly = self.epoch == LEFT_FOR_A_WHILE && self.instance.is_none();
        if joins_badly || leaves_badly || self.epoch < LEFT_FOR_A_WHILE {
            return Err(ErrorCode::InvalidRequest);
        }
        match self.assignor {
            Some(assignor) if !config.assignors.contains(&assignor) => {
                Err(ErrorCode::UnsupportedAssignor)
            }
            _ => Ok(()),
        }
    }

    /// True when it leaves the group.
    pub(in crate::kafka::group) fn leaves(&self) -> bool {
        self.epoch < 0
    }

    /// True when it does not mean to come back.
    pub(in crate::kafka::group) fn leaves_for_good(&self) -> bool {
        self.epoch < 0 && self.epoch != LEFT_FOR_A_WHILE
    }

    fn is_full(&self) -> bool {
        self.rebalance_timeout_ms.is_some() && self.subscribes() && self.owned.is_some()
    }

    /// It says what it subscribes to.
    fn subscribes(&self) -> bool {
        self.topics.is_some() || self.says_regex
    }
}

/// A change under way: a copy of the group with the records that led to it.
pub(in crate::kafka::group) struct Change {
    pub(super) group: ConsumerGroup,
    pub(super) records: Vec<ConsumerGroupRecord>,
}

impl Change {
    /// No change of `group` yet.
    pub(super) fn of(group: &ConsumerGroup) -> Self {
        Self { group: group.clone(), records: Vec::new() }
    }

    pub(super) fn write(&mut self, record: ConsumerGroupRecord) {
        self.group.replay(&record);
        self.records.push(record);
    }
}

/// Requests.
impl ConsumerGroup {
    /// A heartbeat of a member that joins or stays: the records it leads to, and the answer.
    pub(in crate::kafka::group) fn heartbeat(
        &self,
        view: &View<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(Vec<ConsumerGroupRecord>, HeartbeatAnswer), ErrorCode> {
        let mut change = Change::of(self);
        self.refuse_if_full(view, request)?;
        let id = request.member;
        let before = self.joined_or_known(&mut change, request)?;
        let preferred = change.group.preferred_assignor();
        let mut metadata = before.metadata.clone();
        metadata.instance = request.instance.or(metadata.instance);
        if let Some(ms) = request.rebalance_timeout_ms {
            metadata.rebalance_timeout_ms = ms as i32;
        }
        metadata.assignor = request.assignor.or(metadata.assignor);
        metadata.topics = request.topics.clone().unwrap_or(metadata.topics);
        if request.says_regex {
            metadata.regex = request.regex;
        }
        metadata.classic = None;
        let renamed = metadata.topics != before.metadata.topics;
        let regexes = (before.metadata.regex, metadata.regex);
        if metadata != before.metadata || !change.group.members.contains_key(&id) {
            change.write(ConsumerGroupRecord::Member(id, Some(metadata)));
        }
        let regex = self.update_regex(view, regexes, &mut change)?;
        let resubscribed = renamed || regex != RegexUpdate::Unchanged;
        let default = view.config.assignors.first().copied().unwrap_or(RemoteAssignor::Uniform);
        let other_assignor =
            change.group.preferred_assignor().unwrap_or(default) != preferred.unwrap_or(default);
        let other = renamed || regex == RegexUpdate::ChangedAndResolved || other_assignor;
        change.raise_epoch(view, other);
        change.retarget(view, default);
        change.reconcile(view, id, (resubscribed, request.owned.as_deref()));
        let after = &change.group.members[&id];
        let assigned = |current: &CurrentAssignment| current.assigned.clone();
        let tell = request.epoch == 0
            || request.is_full()
            || assigned(&before.current) != assigned(&after.current);
        let partitions =
            || after.current.assigned.iter().map(|(partition, _)| *partition).collect();
        let answer = HeartbeatAnswer {
            member: id,
            epoch: after.current.epoch,
            assignment: tell.then(partitions),
        };
        Ok((change.records, answer))
    }

    /// `throwIfConsumerGroupIsFull`.
    fn refuse_if_full(&self, view: &View<'_>, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        let returns = request.instance.is_some_and(|i| self.static_member(i).is_some());
        let known = self.members.contains_key(&request.member);
        if self.members.len() >= view.config.max_size as usize && !known && !returns {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        Ok(())
    }

    /// `getOrMaybeSubscribeDynamicConsumerGroupMember` and its sister for static members. A static member that comes
    /// back takes the place of the one that left; while that one has not left, it is refused.
    fn joined_or_known(
        &self,
        change: &mut Change,
        request: &HeartbeatRequest,
    ) -> Result<ConsumerGroupMember, ErrorCode> {
        let joins = request.epoch == 0;
        let owned = request.owned.as_deref();
        let Some(instance) = request.instance else {
            let known = self.members.get(&request.member).cloned();
            let known = if joins { Some(known.unwrap_or_default()) } else { known };
            let member = known.ok_or(ErrorCode::UnknownMemberId)?;
            validate_epoch(&member, request.epoch, owned)?;
            return Ok(member);
        };
        let existing = self.static_member(instance);
        match (joins, existing) {
            (true, None) => {
                let known = self.members.get(&request.member).cloned();
                Ok(known.unwrap_or_default())
            }
            (true, Some(old)) => {
                let left = &self.members[&old];
                if !left.is_classic() && left.current.epoch != LEFT_FOR_A_WHILE {
                    return Err(ErrorCode::UnreleasedInstanceId);
                }
                Ok(change.replace(old, request.member))
            }
            (false, _) => {
                let existing = self.known_instance(instance, request.member)?;
                let member = &self.members[&existing];
                validate_epoch(member, request.epoch, owned)?;
                Ok(member.clone())
            }
        }
    }

    /// The static member called `instance`, which has to be `member`.
    fn known_instance(
        &self,
        instance: InstanceId,
        member: MemberId,
    ) -> Result<MemberId, ErrorCode> {
        match self.static_member(instance) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(existing) if existing != member => Err(ErrorCode::FencedInstanceId),
            Some(existing) => Ok(existing),
        }
    }

    /// `consumerGroupLeave`: a static member may leave for a while and keep its place.
    pub(in crate::kafka::group) fn leave(
        &self,
        view: &View<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(Vec<ConsumerGroupRecord>, HeartbeatAnswer), ErrorCode> {
        let id = request.member;
        let answer = HeartbeatAnswer { member: id, epoch: request.epoch, assignment: None };
        if let Some(instance) = request.instance {
            self.known_instance(instance, id)?;
        }
        let member = self.members.get(&id).ok_or(ErrorCode::UnknownMemberId)?;
        if request.epoch != LEFT_FOR_A_WHILE {
            return Ok((self.fence(view, &[id]), answer));
        }
        let mut current = member.current.clone();
        current.epoch = LEFT_FOR_A_WHILE;
        current.pending_revocation.clear();
        current.assigned.iter_mut().for_each(|(_, epoch)| *epoch = 0);
        Ok((vec![ConsumerGroupRecord::Current(id, Some(current))], answer))
    }

    /// `consumerGroupFenceMembers`: removes members; the epoch rises.
    pub(in crate::kafka::group) fn fence(
        &self,
        view: &View<'_>,
        members: &[MemberId],
    ) -> Vec<ConsumerGroupRecord> {
        let mut change = Change::of(self);
        for member in members {
            change.remove(*member);
        }
        self.regexes_without(members).into_iter().for_each(|record| change.write(record));
        let hash = change.group.hash_of_topics(view.names);
        let epoch = change.group.epoch + 1;
        change.write(ConsumerGroupRecord::Epoch(Some((epoch, hash))));
        if change.group.members.is_empty() {
            // Whoever joins next gets an assignment at once.
            change.write(ConsumerGroupRecord::TargetEpoch(Some((epoch, 0))));
        }
        change.records
    }

    /// A session begins anew.
    pub(in crate::kafka::group) fn heard_of(
        &mut self,
        now: Time,
        member: MemberId,
        config: &ConsumerGroupConfig,
    ) {
        let Some(known) = self.members.get(&member) else { return };
        // A classic member brings its own.
        let own = known.metadata.classic.as_ref().map(|classic| classic.session_timeout_ms);
        let own = own.map(|ms| Duration::from_millis(ms.into()));
        self.sessions.insert(member, now + own.unwrap_or(config.session_timeout));
    }

    /// Begins or ends the time in which `member` is to give its partitions up, when its step changed anything.
    pub(in crate::kafka::group) fn watch_rebalance(&mut self, now: Time, member: MemberId) {
        let Some(known) = self.members.get(&member).filter(|known| !known.is_classic()) else {
            return;
        };
        if known.current.state == MemberState::UnrevokedPartitions {
            let timeout = Duration::from_millis(known.metadata.rebalance_timeout_ms.max(0) as u64);
            self.rebalances.insert(member, (known.current.epoch, now + timeout));
        } else {
            self.rebalances.remove(&member);
        }
    }
}

impl Change {
    fn remove(&mut self, member: MemberId) {
        self.write(ConsumerGroupRecord::Current(member, None));
        self.write(ConsumerGroupRecord::Target(member, None));
        self.write(ConsumerGroupRecord::Member(member, None));
    }

    /// `replaceMember`: a static member comes back under the id `new`, with what it had under `old`.
    pub(super) fn replace(&mut self, old: MemberId, new: MemberId) -> ConsumerGroupMember {
        let mut member = self.group.members[&old].clone();
        (member.current.epoch, member.current.previous_epoch) = (0, 0);
        let target = self.group.target_of(old).to_vec();
        self.remove(old);
        self.write(ConsumerGroupRecord::Member(new, Some(member.metadata.clone())));
        self.write(ConsumerGroupRecord::Target(new, Some(target)));
        self.write(ConsumerGroupRecord::Current(new, Some(member.current.clone())));
        member
    }

    /// `updateSubscriptionMetadata`: the group's next epoch, when a subscription is another (`other`), or when the
    /// metadata changed since the group last looked and its topics with it.
    pub(super) fn raise_epoch(&mut self, view: &View<'_>, other: bool) {
        let hash = self.group.hash_of_topics(view.names);
        let compares = self.group.compared_at != Some(view.names.created.len());
        if other || (compares && hash != self.group.metadata_hash) {
            let epoch = self.group.epoch + 1;
            self.write(ConsumerGroupRecord::Epoch(Some((epoch, hash))));
        }
    }

    /// `maybeUpdateTargetAssignment`: not more often than every `group.consumer.assignment.interval.ms`.
    pub(super) fn retarget(&mut self, view: &View<'_>, default: RemoteAssignor) {
        let group = &self.group;
        let interval = view.config.assignment_interval.as_millis() as i64;
        let early = group.target_at != 0 && view.now.timestamp() < group.target_at + interval;
        if group.target_epoch >= group.epoch || (early && interval > 0) {
            return;
        }
        let assignor = group.preferred_assignor().unwrap_or(default);
        let epoch = group.epoch;
        for (member, partitions) in target::assign(group, assignor, view.names) {
            if self.group.target.get(&member) != Some(&partitions) {
                self.write(ConsumerGroupRecord::Target(member, Some(partitions)));
            }
        }
        self.write(ConsumerGroupRecord::TargetEpoch(Some((epoch, view.now.timestamp()))));
    }

    /// `maybeReconcile`.
    pub(super) fn reconcile(
        &mut self,
        view: &View<'_>,
        id: MemberId,
        (resubscribed, owned): (bool, Option<&[PartitionId]>),
    ) {
        let group = &self.group;
        let member = &group.members[&id];
        if !resubscribed && member.is_reconciled_to(group.target_epoch) {
            return;
        }
        let target = (group.target_epoch, group.target_of(id));
        let step = Step { group, names: view.names, member, target, resubscribed, owned };
        let next = step.take();
        if next != member.current {
            self.write(ConsumerGroupRecord::Current(id, Some(next)));
        }
    }
}
