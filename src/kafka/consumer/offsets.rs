//! Where a partition begins: the committed offset, else `auto.offset.reset`; and whether a position still stands on
//! the log it was read from.
//!
//! Kafka: `OffsetFetcher`, `OffsetFetcherUtils`, the `OffsetFetch` half of `ConsumerCoordinator`; KIP-320. Questions
//! are asked inside a call; an exception they lead to is thrown by the next one.

use crate::base::config::OffsetReset;
use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, MemberId, Offset, PartitionId};
use crate::base::time::Time;
use crate::event::{EventKind, PositionReason};
use crate::kafka::api::{ListOffsetsPartition, Message, PartitionOffset};
use crate::kafka::consumer::coordinator::Progress;
use crate::kafka::consumer::positions::{FetchPosition, FetchState, Validation};
use crate::kafka::consumer::{Consumer, GroupRequest, Identity, Request, is_retriable, wire};
use crate::kafka::effects::Effects;

/// `ListOffsetsRequest.EARLIEST_TIMESTAMP` and `LATEST_TIMESTAMP`.
pub(super) const EARLIEST: i64 = -2;
pub(super) const LATEST: i64 = -1;

/// How far an `OffsetFetch` is.
#[derive(Clone, Debug)]
enum Stage {
    Unsent,
    Sent(u32),
    Done(Result<Vec<PartitionOffset>, Exception>),
}

/// The one `OffsetFetch` at a time (`PendingCommittedOffsetRequest`).
#[derive(Clone, Debug)]
struct CommittedLookup {
    partitions: Vec<PartitionId>,
    identity: Option<Identity>,
    stage: Stage,
    retry_at: Time,
    failures: u32,
}

/// Questions about offsets that are on their way, and exceptions to be thrown.
#[derive(Clone, Debug, Default)]
pub(super) struct OffsetLookups {
    committed: Option<CommittedLookup>,
    listing: Vec<(u32, Vec<PartitionId>)>,
    truncated: bool,
    metadata_version: u32,
}

impl OffsetLookups {
    /// Adds this state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        if let Some(lookup) = &self.committed {
            into.add((&lookup.partitions, lookup.identity, lookup.failures));
            into.add(matches!(lookup.stage, Stage::Sent(_)));
            into.add_time(now, lookup.retry_at.max(now));
        }
        for (_, partitions) in &self.listing {
            into.add(partitions);
        }
        into.add(self.truncated);
    }
}

impl Consumer {
    /// `updateFetchPositions`: committed offsets, then resets, then validation, as far as they go now.
    ///
    /// # Errors
    /// What `poll()` and `position()` throw.
    pub(super) fn update_positions(
        &mut self,
        now: Time,
        fx: &mut Effects,
    ) -> Result<Progress, Exception> {
        self.validate_positions(now, fx)?;
        if self.subscriptions.has_all_positions() {
            return Ok(Progress::Ready);
        }
        let fresh: Vec<PartitionId> = self
            .subscriptions
            .ready_to_ask(Time::NEVER, FetchState::Initializing)
            .iter()
            .map(|state| state.partition)
            .collect();
        if self.group.is_some() && !fresh.is_empty() {
            let Some(offsets) = self.fetch_committed(now, &fresh, fx)? else {
                return Ok(Progress::Blocked(self.wake));
            };
            self.take_committed(&offsets, fx);
        }
        for state in self.subscriptions.ready_to_ask(Time::NEVER, FetchState::Initializing) {
            if self.subscriptions.policy == OffsetReset::None {
                return Err(Exception::NoOffsetForPartition);
            }
            self.subscriptions.request_reset(state.partition);
        }
        self.reset_positions(now, fx);
        Ok(Progress::Ready)
    }

    fn take_committed(&mut self, offsets: &[PartitionOffset], fx: &mut Effects) {
        for PartitionOffset { partition, offset } in offsets.iter().copied() {
            let fresh = self
                .subscriptions
                .get(partition)
                .is_some_and(|state| state.state == FetchState::Initializing);
            if offset >= Offset(0) && fresh {
                self.set_position(partition, offset, PositionReason::Committed, fx);
            }
        }
    }

    /// Sets a position that reading did not lead to.
    pub(super) fn set_position(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        reason: PositionReason,
        fx: &mut Effects,
    ) {
        let known = self.network.metadata().partition(partition);
        if self.subscriptions.seek(partition, FetchPosition::at(offset, known)) {
            fx.event(EventKind::PositionSet { partition, offset, reason });
        }
    }
}

/// Committed offsets.
impl Consumer {
    /// `fetchCommittedOffsets`: `None` while it blocks; then `self.wake` says when to look again.
    pub(super) fn fetch_committed(
        &mut self,
        now: Time,
        partitions: &[PartitionId],
        fx: &mut Effects,
    ) -> Result<Option<Vec<PartitionOffset>>, Exception> {
        let identity = self.fetching_identity();
        let same = |l: &CommittedLookup| l.partitions == partitions && l.identity == identity;
        let mut lookup = self.offsets.committed.take().filter(same).unwrap_or_else(|| {
            let partitions = partitions.to_vec();
            CommittedLookup {
                partitions,
                identity,
                stage: Stage::Unsent,
                retry_at: Time::ZERO,
                failures: 0,
            }
        });
        if let Stage::Done(outcome) = lookup.stage {
            match outcome {
                Ok(offsets) => return Ok(Some(offsets)),
                Err(wire_error) if !is_retriable(wire_error) && !self.may_ask_again(wire_error) => {
                    return Err(wire_error);
                }
                Err(_) => {
                    lookup.retry_at = now + self.retry.backoff(lookup.failures, fx);
                    lookup.failures += 1;
                    lookup.stage = Stage::Unsent;
                }
            }
        }
        self.wake = Time::NEVER;
        if let Stage::Unsent = lookup.stage {
            if lookup.retry_at > now {
                self.wake = lookup.retry_at;
            } else if !self.ensure_coordinator(now, fx)? {
                self.wake = self.coordinator_wake(now);
            } else {
                self.send_offset_fetch(now, &mut lookup, fx);
            }
        }
        self.offsets.committed = Some(lookup);
        Ok(None)
    }

    fn send_offset_fetch(&mut self, now: Time, lookup: &mut CommittedLookup, fx: &mut Effects) {
        let (Some(group), Some(broker)) = (self.group, self.coordinator.known) else { return };
        if self.network.ready(now, broker, fx) {
            let id = self.new_id();
            let partitions = fx.keep(&lookup.partitions);
            let (member, epoch) = match self.fetching_identity().filter(|_| self.is_async()) {
                Some(Identity { generation, member }) => (member, generation.0),
                None => (MemberId::UNKNOWN, -1),
            };
            let message = Message::OffsetFetch { group, member, epoch, partitions };
            let timeout = self.config.request_timeout;
            self.send_to_group(now, (message, GroupRequest::OffsetFetch(id)), timeout, fx);
            lookup.stage = Stage::Sent(id);
        }
    }

    pub(super) fn offsets_fetched(
        &mut self,
        now: Time,
        id: u32,
        (error, offsets): (ErrorCode, Vec<PartitionOffset>),
        fx: &mut Effects,
    ) {
        let outcome = match error {
            ErrorCode::None => Ok(offsets),
            ErrorCode::StaleMemberEpoch | ErrorCode::UnknownMemberId => Err(wire(error)),
            error if error.is_retriable() => Err(wire(error)),
            _ => Err(Exception::Kafka),
        };
        if let Some(lookup) = &mut self.offsets.committed
            && matches!(lookup.stage, Stage::Sent(sent) if sent == id)
        {
            lookup.stage = Stage::Done(outcome);
        }
        self.note_coordinator_error(now, error, fx);
    }

    /// The coordinator is gone: its answer will not come.
    pub(super) fn offset_fetch_failed(&mut self) {
        if let Some(lookup) = &mut self.offsets.committed
            && let Stage::Sent(_) = lookup.stage
        {
            lookup.stage = Stage::Done(Err(Exception::Network));
        }
    }
}

/// Resets: the log start or the end of partitions.
impl Consumer {
    fn reset_positions(&mut self, now: Time, fx: &mut Effects) {
        let mut by_leader: Vec<(BrokerId, Vec<ListOffsetsPartition>)> = Vec::new();
        for state in self.subscriptions.ready_to_ask(now, FetchState::AwaitReset) {
            let known = self.network.metadata().partition(state.partition);
            let Some((leader, known)) = known.and_then(|k| Some((k.leader?, k))) else {
                self.network.metadata_mut().request_update(true);
                continue;
            };
            let timestamp = match self.subscriptions.reset_of(state.partition) {
                OffsetReset::Earliest => EARLIEST,
                OffsetReset::Latest | OffsetReset::None => LATEST,
                OffsetReset::ByDuration(span) => now.timestamp() - span.as_millis() as i64,
            };
            let question = ListOffsetsPartition {
                partition: state.partition,
                current_leader_epoch: known.leader_epoch,
                timestamp,
            };
            match by_leader.iter_mut().find(|(broker, _)| *broker == leader) {
                Some((_, questions)) => questions.push(question),
                None => by_leader.push((leader, vec![question])),
            }
        }
        for (broker, questions) in by_leader {
            if !self.network.ready(now, broker, fx) {
                continue;
            }
            let partitions: Vec<_> = questions.iter().map(|q| q.partition).collect();
            let timeout = self.config.request_timeout;
            self.subscriptions.put_off(&partitions, now + timeout);
            let id = self.new_id();
            self.offsets.listing.push((id, partitions));
            let isolation = self.config.isolation;
            let message = Message::ListOffsets { isolation, partitions: fx.keep(&questions) };
            self.network.send(now, broker, (message, Request::ListOffsets(id)), timeout, fx);
        }
    }

    pub(super) fn listed_offsets(
        &mut self,
        now: Time,
        id: u32,
        message: Message,
        fx: &mut Effects,
    ) {
        let Message::ListOffsetsResponse { results } = message else {
            unreachable!("ListOffsets is answered by its own response");
        };
        let results = fx.pools.get(results).to_vec();
        if self.log_bounds_answered(id, &results) {
            return;
        }
        self.offsets.listing.retain(|(listed, _)| *listed != id);
        for result in results {
            let reason = match self.subscriptions.reset_of(result.partition) {
                OffsetReset::Earliest => PositionReason::ResetEarliest,
                OffsetReset::Latest | OffsetReset::None => PositionReason::ResetLatest,
                OffsetReset::ByDuration(_) => PositionReason::ResetByDuration,
            };
            let waiting = self.subscriptions.get(result.partition);
            if result.error != ErrorCode::None {
                self.retry_position(now, &[result.partition]);
            } else if result.offset == Offset::NONE {
                // No record is young enough. Nothing is set, and the question comes again after request.timeout.ms.
            } else if waiting.is_some_and(|state| state.state == FetchState::AwaitReset) {
                self.set_position(result.partition, result.offset, reason, fx);
            }
        }
    }

    pub(super) fn list_offsets_failed(&mut self, now: Time, id: u32) {
        if self.log_bounds_answered(id, &[]) {
            return;
        }
        let Some(at) = self.offsets.listing.iter().position(|(listed, _)| *listed == id) else {
            return;
        };
        let (_, partitions) = self.offsets.listing.remove(at);
        self.retry_position(now, &partitions);
    }

    /// A question about these positions failed: again after the back-off, with newer metadata.
    pub(super) fn retry_position(&mut self, now: Time, partitions: &[PartitionId]) {
        self.subscriptions.put_off(partitions, now + self.config.retry_backoff);
        self.network.metadata_mut().request_update(false);
    }
}

/// Validation after a leader change.
impl Consumer {
    /// New metadata may name other leaders (`validatePositionsOnMetadataChange`).
    pub(super) fn validate_on_metadata_change(&mut self) {
        let metadata = self.network.metadata();
        if metadata.version() == self.offsets.metadata_version {
            return;
        }
        self.offsets.metadata_version = metadata.version();
        for partition in self.subscriptions.ids().to_vec() {
            if let Some(known) = metadata.partition(partition) {
                self.subscriptions.learn_leader(partition, known);
            }
        }
    }

    fn validate_positions(&mut self, now: Time, fx: &mut Effects) -> Result<(), Exception> {
        if std::mem::take(&mut self.offsets.truncated) {
            return Err(Exception::LogTruncation);
        }
        self.validate_on_metadata_change();
        for state in self.subscriptions.ready_to_ask(now, FetchState::AwaitValidation) {
            let partition = state.partition;
            let position = state.position.expect("what is validated is a position");
            let Some(broker) = position.leader else {
                self.network.metadata_mut().request_update(true);
                continue;
            };
            if self.network.ready(now, broker, fx) {
                let timeout = self.config.request_timeout;
                self.subscriptions.put_off(&[partition], now + timeout);
                let message = Message::OffsetForLeaderEpoch {
                    partition,
                    current_leader_epoch: position.leader_epoch,
                    epoch: position.offset_epoch,
                };
                let request = Request::EpochEnd(partition, position);
                self.network.send(now, broker, (message, request), timeout, fx);
            }
        }
        Ok(())
    }

    pub(super) fn validated(
        &mut self,
        now: Time,
        (partition, asked): (PartitionId, FetchPosition),
        message: Message,
        fx: &mut Effects,
    ) {
        let Message::OffsetForLeaderEpochResponse { error, epoch, end, .. } = message else {
            unreachable!("OffsetForLeaderEpoch is answered by its own response");
        };
        if error != ErrorCode::None {
            return self.retry_position(now, &[partition]);
        }
        match self.subscriptions.complete_validation(partition, asked, (epoch, end)) {
            Validation::Good | Validation::Stale | Validation::Unknown => {}
            Validation::Truncated(offset) => {
                let reason = PositionReason::Truncation;
                fx.event(EventKind::PositionSet { partition, offset, reason });
            }
            Validation::Refused => self.offsets.truncated = true,
        }
    }
}
