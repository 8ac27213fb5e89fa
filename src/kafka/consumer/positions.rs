//! What a consumer reads and where it stands: topics or partitions of the application, and a position with a state for
//! each assigned partition.
//!
//! Kafka: `SubscriptionState` with its `FetchStates`; KIP-320 (positions carry leader epochs and are validated after a
//! leader change). Simplified: an offset
//! committed or looked up carries no leader epoch, so only positions after a fetched record are validated.

use crate::base::config::OffsetReset;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, LeaderEpoch, Offset, PartitionId, RegexId, TopicId};
use crate::base::time::Time;
use crate::kafka::api::PartitionOffset;
use crate::kafka::client_metadata::KnownPartition;

/// The next offset to fetch, and what is known around it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct FetchPosition {
    /// The next offset to fetch.
    pub(super) offset: Offset,
    /// The leader epoch of the record before it; [`LeaderEpoch::NONE`] when there was none.
    pub(super) offset_epoch: LeaderEpoch,
    /// Whom to fetch from.
    pub(super) leader: Option<BrokerId>,
    /// Under which epoch.
    pub(super) leader_epoch: LeaderEpoch,
}

impl FetchPosition {
    /// A position that no fetched record led to.
    pub(super) fn at(offset: Offset, known: Option<KnownPartition>) -> Self {
        Self {
            offset,
            offset_epoch: LeaderEpoch::NONE,
            leader: known.and_then(|k| k.leader),
            leader_epoch: known.map_or(LeaderEpoch::NONE, |k| k.leader_epoch),
        }
    }
}

/// `FetchStates`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum FetchState {
    /// No position yet: look for a committed offset, then reset.
    Initializing,
    /// The position is good; records of it are fetched and returned.
    Fetching,
    /// `ListOffsets` is to say where to begin.
    AwaitReset,
    /// The leader changed: is the log still the one that was read?
    AwaitValidation,
}

/// The replica the leader named to fetch from (KIP-392), for as long as metadata is good for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct PreferredReplica {
    broker: BrokerId,
    expires: Time,
}

/// One assigned partition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct PartitionState {
    pub(super) partition: PartitionId,
    pub(super) state: FetchState,
    pub(super) position: Option<FetchPosition>,
    /// A rebalance commits it and will take it away: nothing of it is fetched or returned any more.
    pub(super) pending_revocation: bool,
    /// `pause()`: nothing of it is fetched or returned until `resume()`.
    pub(super) paused: bool,
    /// What `seekToBeginning()` or `seekToEnd()` asked for, in place of the policy.
    pub(super) reset: Option<OffsetReset>,
    /// No further question about the position before this moment.
    pub(super) retry_at: Time,
    /// Where to fetch from instead of the leader.
    preferred: Option<PreferredReplica>,
}

impl PartitionState {
    fn new(partition: PartitionId) -> Self {
        Self {
            partition,
            state: FetchState::Initializing,
            position: None,
            pending_revocation: false,
            paused: false,
            reset: None,
            retry_at: Time::ZERO,
            preferred: None,
        }
    }

    /// The replica to fetch from instead of the leader.
    pub(super) fn preferred(&self) -> Option<BrokerId> {
        self.preferred.map(|preferred| preferred.broker)
    }

    /// True when records may be fetched and returned.
    pub(super) fn is_fetchable(&self) -> bool {
        self.state == FetchState::Fetching && !self.pending_revocation && !self.paused
    }

    /// Takes the position as it is. With an epoch on both sides it must be validated first.
    fn seek(&mut self, position: FetchPosition) {
        let known = position.offset_epoch != LeaderEpoch::NONE
            && position.leader_epoch != LeaderEpoch::NONE;
        self.state = if known { FetchState::AwaitValidation } else { FetchState::Fetching };
        self.position = Some(position);
        self.reset = None;
        self.retry_at = Time::ZERO;
    }
}

/// How partitions come to the consumer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum SubscriptionType {
    /// Neither `subscribe` nor `assign` was called.
    None,
    /// `subscribe(topics)`: the group assigns.
    Topics,
    /// `assign(partitions)`.
    Partitions,
}

/// What the leader said about a position after a leader change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Validation {
    /// The log still holds what was read; go on.
    Good,
    /// The answer is about a position that is not there any more.
    Stale,
    /// Set back to the divergence point.
    Truncated(Offset),
    /// The divergence point is unknown: reset by policy.
    Unknown,
    /// Truncated, and there is no reset policy.
    Refused,
}

/// By what a consumer subscribes to topics (`AUTO_TOPICS`, `AUTO_PATTERN`, `AUTO_PATTERN_RE2J`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum SubscribedBy {
    /// `subscribe(topics)`.
    Names,
    /// `subscribe(Pattern)`: the consumer looks for the topics.
    Pattern,
    /// `subscribe(SubscriptionPattern)`: the coordinator does.
    Regex(RegexId),
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct SubscriptionState {
    pub(super) kind: SubscriptionType,
    /// Sorted; what `subscribe` named, or what fits its pattern. None where the coordinator looks for them.
    pub(super) topics: Vec<TopicId>,
    /// The topics that fit the pattern of `subscribe(Pattern)`, whether or not the consumer knows of them.
    pub(super) fits: Vec<TopicId>,
    /// Which `subscribe` it was.
    pub(super) by: SubscribedBy,
    assignment: Vec<PartitionState>,
    ids: Vec<PartitionId>,
    /// `auto.offset.reset`.
    pub(super) policy: OffsetReset,
}

impl SubscriptionState {
    pub(super) fn new(policy: OffsetReset) -> Self {
        Self {
            kind: SubscriptionType::None,
            topics: Vec::new(),
            fits: Vec::new(),
            by: SubscribedBy::Names,
            assignment: Vec::new(),
            ids: Vec::new(),
            policy,
        }
    }

    /// The assigned partitions.
    pub(super) fn ids(&self) -> &[PartitionId] {
        &self.ids
    }

    /// The assigned partitions with their states.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PartitionState> {
        self.assignment.iter()
    }

    /// Replaces the assignment; what stays keeps its state.
    pub(super) fn assign(&mut self, partitions: &[PartitionId]) {
        let kept = |p: PartitionId| self.get(p).copied().unwrap_or_else(|| PartitionState::new(p));
        self.assignment = partitions.iter().map(|p| kept(*p)).collect();
        self.ids = partitions.to_vec();
    }

    /// `unsubscribe()`.
    pub(super) fn clear(&mut self) {
        self.kind = SubscriptionType::None;
        self.by = SubscribedBy::Names;
        self.fits.clear();
        self.topics.clear();
        self.assign(&[]);
    }

    pub(super) fn get(&self, partition: PartitionId) -> Option<&PartitionState> {
        self.assignment.iter().find(|s| s.partition == partition)
    }

    pub(super) fn get_mut(&mut self, partition: PartitionId) -> Option<&mut PartitionState> {
        self.assignment.iter_mut().find(|s| s.partition == partition)
    }

    /// Everything that `poll()` has returned: the positions a commit without arguments takes.
    pub(super) fn all_consumed(&self) -> Vec<PartitionOffset> {
        let fetching = self.assignment.iter().filter(|s| s.state == FetchState::Fetching);
        fetching
            .filter_map(|s| {
                Some(PartitionOffset { partition: s.partition, offset: s.position?.offset })
            })
            .collect()
    }

    /// True when no partition waits for a position or for its validation.
    pub(super) fn has_all_positions(&self) -> bool {
        use FetchState::{AwaitValidation, Fetching};
        self.assignment.iter().all(|s| matches!(s.state, Fetching | AwaitValidation))
    }

    /// Partitions in `state` about which a question may be asked now.
    pub(super) fn ready_to_ask(&self, now: Time, state: FetchState) -> Vec<PartitionState> {
        let ready = |s: &&PartitionState| s.state == state && s.retry_at <= now;
        self.assignment.iter().filter(ready).copied().collect()
    }

    /// The earliest moment at which a question that was put off may be asked again.
    pub(super) fn next_retry(&self, now: Time) -> Time {
        use FetchState::{AwaitReset, AwaitValidation};
        let waiting = self
            .assignment
            .iter()
            .filter(|s| matches!(s.state, AwaitReset | AwaitValidation) && s.retry_at > now);
        waiting.map(|s| s.retry_at).min().unwrap_or(Time::NEVER)
    }

    /// No question about `partitions` before `at`.
    pub(super) fn put_off(&mut self, partitions: &[PartitionId], at: Time) {
        for state in self.assignment.iter_mut().filter(|s| partitions.contains(&s.partition)) {
            state.retry_at = at;
        }
    }

    /// Sets a position that no fetched record led to. Returns false when the partition is not assigned.
    pub(super) fn seek(&mut self, partition: PartitionId, position: FetchPosition) -> bool {
        let state = self.get_mut(partition);
        state.is_some_and(|state| {
            state.seek(position);
            true
        })
    }

    /// Moves on after records were returned.
    pub(super) fn advance(&mut self, partition: PartitionId, offset: Offset, epoch: LeaderEpoch) {
        let state = self.get_mut(partition).expect("records of an assigned partition");
        let position = state.position.as_mut().expect("a partition being read has a position");
        position.offset = offset;
        position.offset_epoch = epoch;
    }

    /// Looks for a new beginning by policy.
    pub(super) fn request_reset(&mut self, partition: PartitionId) {
        self.reset_to(partition, None);
    }

    /// Looks for a new beginning, by `reset` in place of the policy. False when the partition is not assigned.
    pub(super) fn reset_to(&mut self, partition: PartitionId, reset: Option<OffsetReset>) -> bool {
        let Some(state) = self.get_mut(partition) else { return false };
        state.state = FetchState::AwaitReset;
        state.position = None;
        state.reset = reset;
        state.retry_at = Time::ZERO;
        true
    }

    /// How the new beginning of a partition is looked for.
    pub(super) fn reset_of(&self, partition: PartitionId) -> OffsetReset {
        self.get(partition).and_then(|state| state.reset).unwrap_or(self.policy)
    }

    /// `pause()` or `resume()`. False when the partition is not assigned.
    pub(super) fn pause(&mut self, partition: PartitionId, paused: bool) -> bool {
        self.get_mut(partition).is_some_and(|state| {
            state.paused = paused;
            true
        })
    }

    /// A rebalance is about to take these away.
    pub(super) fn mark_pending(&mut self, partitions: &[PartitionId]) {
        for state in self.assignment.iter_mut().filter(|s| partitions.contains(&s.partition)) {
            state.pending_revocation = true;
        }
    }

    /// A rebalance is about to take everything away.
    pub(super) fn mark_pending_revocation(&mut self) {
        for state in &mut self.assignment {
            state.pending_revocation = true;
        }
    }

    /// The leader named a replica to fetch from until `expires`. The same one again does not become good for longer
    /// (`updatePreferredReadReplica`).
    pub(super) fn prefer(&mut self, partition: PartitionId, broker: BrokerId, expires: Time) {
        let state = self.get_mut(partition);
        if let Some(state) = state.filter(|state| state.preferred() != Some(broker)) {
            state.preferred = Some(PreferredReplica { broker, expires });
        }
    }

    /// The replica to fetch from instead of the leader; from now on the leader when its time is over
    /// (`preferredReadReplica`).
    pub(super) fn expire_preferred(
        &mut self,
        now: Time,
        partition: PartitionId,
    ) -> Option<BrokerId> {
        let state = self.get_mut(partition)?;
        state.preferred = state.preferred.filter(|preferred| now <= preferred.expires);
        state.preferred()
    }

    /// Back to the leader. False when that is where fetches went.
    pub(super) fn clear_preferred(&mut self, partition: PartitionId) -> bool {
        self.get_mut(partition).is_some_and(|state| state.preferred.take().is_some())
    }

    /// Back to the leader, for all partitions that were to be fetched from `broker`.
    pub(super) fn clear_preferred_at(&mut self, broker: BrokerId) {
        for state in &mut self.assignment {
            state.preferred = state.preferred.filter(|preferred| preferred.broker != broker);
        }
    }

    /// The metadata has perhaps another leader for the partition: take it over, and validate the position first where
    /// the epoch of the last record is known (`maybeValidatePosition`).
    pub(super) fn learn_leader(&mut self, partition: PartitionId, known: KnownPartition) {
        let Some(state) = self.get_mut(partition) else { return };
        let (Some(position), Some(_)) = (state.position, known.leader) else { return };
        let new =
            FetchPosition { leader: known.leader, leader_epoch: known.leader_epoch, ..position };
        if state.state != FetchState::AwaitReset && new != position {
            state.seek(new);
            state.preferred = None;
        }
    }

    /// The answer to a validation of `asked` (`maybeCompleteValidation`): the largest epoch the leader has that is
    /// not above the asked one ends at `end`.
    pub(super) fn complete_validation(
        &mut self,
        partition: PartitionId,
        asked: FetchPosition,
        (epoch, end): (LeaderEpoch, Offset),
    ) -> Validation {
        let has_policy = self.policy != OffsetReset::None;
        let Some(state) = self.get_mut(partition) else { return Validation::Stale };
        if state.state != FetchState::AwaitValidation || state.position != Some(asked) {
            return Validation::Stale;
        }
        let unknown = epoch == LeaderEpoch::NONE || end == Offset::NONE;
        if !unknown && end >= asked.offset {
            state.state = FetchState::Fetching;
            state.retry_at = Time::ZERO;
            return Validation::Good;
        }
        if !has_policy {
            return Validation::Refused;
        }
        if unknown {
            self.request_reset(partition);
            return Validation::Unknown;
        }
        state.position = Some(FetchPosition { offset: end, offset_epoch: epoch, ..asked });
        state.state = FetchState::Fetching;
        state.retry_at = Time::ZERO;
        Validation::Truncated(end)
    }

    /// Adds this state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.kind, self.by, &self.topics, &self.fits));
        for state in &self.assignment {
            into.add((state.partition, state.state, state.position, state.pending_revocation));
            into.add((state.paused, state.reset));
            into.add_time(now, state.retry_at.max(now));
            if let Some(preferred) = state.preferred {
                into.add(preferred.broker);
                into.add_time(now, preferred.expires.max(now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(0);

    fn known(leader: u8, epoch: i32) -> KnownPartition {
        KnownPartition { leader: Some(BrokerId(leader)), leader_epoch: LeaderEpoch(epoch) }
    }

    fn at_five(policy: OffsetReset) -> SubscriptionState {
        let mut state = SubscriptionState::new(policy);
        state.assign(&[P]);
        state.seek(P, FetchPosition::at(Offset(0), Some(known(1, 3))));
        state.advance(P, Offset(5), LeaderEpoch(3));
        state
    }

    #[test]
    fn a_position_without_an_epoch_needs_no_validation() {
        let mut state = SubscriptionState::new(OffsetReset::Earliest);
        state.assign(&[P]);
        state.seek(P, FetchPosition::at(Offset(7), Some(known(1, 3))));
        state.learn_leader(P, known(2, 4));
        let here = state.get(P).unwrap();
        assert_eq!(here.state, FetchState::Fetching);
        assert_eq!(here.position.unwrap().leader, Some(BrokerId(2)));
    }

    #[test]
    fn after_a_leader_change_the_leader_decides_where_to_go_on() {
        use Validation::{Good, Refused, Truncated, Unknown};
        let (earliest, none) = (OffsetReset::Earliest, OffsetReset::None);
        let table = [
            (earliest, 3, 5, Good),
            (earliest, 3, 9, Good),
            (earliest, 3, 2, Truncated(Offset(2))),
            (earliest, 2, 0, Truncated(Offset(0))),
            (earliest, -1, -1, Unknown),
            (OffsetReset::Latest, 3, 2, Truncated(Offset(2))),
            (none, 3, 5, Good),
            (none, 3, 2, Refused),
            (none, -1, -1, Refused),
        ];
        for (policy, epoch, end, expected) in table {
            let mut state = at_five(policy);
            state.learn_leader(P, known(2, 4));
            assert_eq!(state.get(P).unwrap().state, FetchState::AwaitValidation);
            let asked = state.get(P).unwrap().position.unwrap();
            let answer = (LeaderEpoch(epoch), Offset(end));
            assert_eq!(state.complete_validation(P, asked, answer), expected, "{policy:?} {end}");
            let now = state.get(P).unwrap();
            let (next, offset) = match expected {
                Good => (FetchState::Fetching, Some(5)),
                Truncated(to) => (FetchState::Fetching, Some(to.0)),
                Unknown => (FetchState::AwaitReset, None),
                _ => (FetchState::AwaitValidation, Some(5)),
            };
            assert_eq!((now.state, now.position.map(|p| p.offset.0)), (next, offset));
        }
    }

    #[test]
    fn a_preferred_replica_is_good_for_a_time_and_goes_with_its_leader() {
        let mut state = at_five(OffsetReset::None);
        let at = |state: &mut SubscriptionState, now| state.expire_preferred(Time(now), P);
        state.prefer(P, BrokerId(2), Time(10));
        state.prefer(P, BrokerId(2), Time(15));
        assert_eq!(at(&mut state, 10), Some(BrokerId(2)));
        assert_eq!(at(&mut state, 11), None, "naming it again does not make it good for longer");
        assert!(!state.clear_preferred(P), "the leader it is already");
        state.prefer(P, BrokerId(2), Time(21));
        assert_eq!(at(&mut state, 21), Some(BrokerId(2)));
        state.prefer(P, BrokerId(3), Time(22));
        state.clear_preferred_at(BrokerId(2));
        assert_eq!(at(&mut state, 22), Some(BrokerId(3)));
        assert!(state.clear_preferred(P));
        state.prefer(P, BrokerId(3), Time(23));
        state.learn_leader(P, known(2, 4));
        assert_eq!(at(&mut state, 22), None);
    }

    #[test]
    fn a_commit_without_arguments_leaves_out_what_has_no_valid_position() {
        let mut state = at_five(OffsetReset::Earliest);
        assert_eq!(state.all_consumed(), [PartitionOffset { partition: P, offset: Offset(5) }]);
        state.learn_leader(P, known(2, 4));
        assert_eq!(state.all_consumed(), []);
    }
}
