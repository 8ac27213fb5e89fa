//! Serving share consumers (KIP-932): `KafkaApis.handleShareFetchRequest`, `SharePartitionManager`,
//! `DelayedShareFetch`. A request says what became of earlier records and asks for more; it is answered when the first
//! is stored and the second found, or its time is over. A fetch that finds nothing waits; those that wait for one
//! partition are served in the order they came.
//!
//! `admin` is what administrators do to share groups, `isolation` what a group reads of transactions; `persister` has
//! what is stored at share coordinators; `dead_letters` writes to dead-letter topics (KIP-1191).
//!
//! When the last member of a group that fetched here hangs up, the group's share partitions are forgotten: the next
//! fetch begins with what is stored (`ShareGroupListener.onGroupEmpty`).
//!
//! Simplified: no limit of locks on reading a partition, since a read takes no time; no remote storage.

pub mod admin;
mod dead_letters;
mod isolation;
mod members;
mod persister;

use std::collections::{BTreeMap, VecDeque};

use crate::base::config::Defect;
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, GroupId, LeaderEpoch, MemberId, Offset, PartitionId};
use crate::base::share::{ShareSnapshot, ShareStateBatch};
use crate::base::time::{Duration, Time};
use crate::event::{EventKind, SettleReason};
use crate::kafka::api::{
    AcknowledgementBatch, AcquiredRecords, FetchedSlice, Message, ShareFetchParams,
    ShareFetchResult,
};
use crate::kafka::broker::Broker;
use crate::kafka::effects::{Effects, List, TimerKind, Token};
use crate::kafka::group::coordinator::CoordinatorAppend;
use crate::kafka::share::coordinator::{Answered, ShareCoordinator, ShareKey};
use crate::kafka::share::partition::{Acquisition, DeadLetters, SharePartition, ShareRules};
use crate::kafka::share::session::{CLOSE, OPEN, ShareSessions};
use crate::kafka::share::state::Limit;

use persister::OwnRequest;

/// What is to be done before the step of the broker ends. A queue: one thing leads to the next.
#[derive(Clone, Debug)]
enum Todo {
    /// Something of the share coordinator's goes into this broker's log.
    Append(CoordinatorAppend),
    /// The share coordinator answers.
    Answer(Answered),
    /// Fetches of this group that wait for the partition may be served.
    Wake(ShareKey),
    /// Locks of these records ran out while a write that failed was to decide about them.
    Lapsed(ShareKey, Vec<ShareStateBatch>),
    /// Records go to the dead-letter queue.
    Bury(ShareKey, DeadLetters),
    /// They are there, or will never be.
    Buried(ShareKey, DeadLetters),
}

/// How far a request is about one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Part {
    partition: PartitionId,
    error: ErrorCode,
    /// What became of the acknowledgements for it; `None` when there were none.
    acknowledged: Option<ErrorCode>,
    /// The write that decides that, while it is under way.
    write: Option<u32>,
    slices: Vec<FetchedSlice>,
    acquired: Vec<AcquiredRecords>,
}

impl Part {
    fn new(partition: PartitionId) -> Self {
        Self {
            partition,
            error: ErrorCode::None,
            acknowledged: None,
            write: None,
            slices: Vec::new(),
            acquired: Vec::new(),
        }
    }
}

/// A request of a member that is not answered yet.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Asked {
    token: Token,
    group: GroupId,
    member: MemberId,
    /// `None` for a `ShareAcknowledge`.
    fetch: Option<ShareFetchParams>,
    /// What it waits for at most; the fetch is over once this is [`Time::ZERO`].
    deadline: Time,
    /// The partitions to fetch, in the order of this request.
    wanted: Vec<PartitionId>,
    parts: Vec<Part>,
}

impl Asked {
    fn part(&mut self, partition: PartitionId) -> &mut Part {
        let at = self.parts.iter().position(|part| part.partition == partition);
        let at = at.unwrap_or_else(|| {
            self.parts.push(Part::new(partition));
            self.parts.len() - 1
        });
        &mut self.parts[at]
    }

    /// True while it waits for records.
    fn is_fetching(&self) -> bool {
        self.fetch.is_some() && self.deadline != Time::ZERO
    }

    fn is_done(&self) -> bool {
        !self.is_fetching() && self.parts.iter().all(|part| part.write.is_none())
    }
}

/// What a broker has to do with share groups.
#[derive(Clone, Debug)]
pub(super) struct Sharing {
    partitions: BTreeMap<ShareKey, SharePartition>,
    sessions: ShareSessions,
    /// In order of arrival.
    asked: Vec<Asked>,
    pub(super) coordinator: ShareCoordinator,
    own: Vec<OwnRequest>,
    last_own: u32,
    todo: VecDeque<Todo>,
    /// What the timers of locks, of fetches and of own requests are set to.
    timers: [Time; 3],
}

/// The timers of [`Sharing`], by their place.
const TIMERS: [TimerKind; 3] =
    [TimerKind::ShareLock, TimerKind::DelayedShareFetch, TimerKind::ShareRequest];

impl Sharing {
    pub(super) fn new(broker: BrokerId) -> Self {
        Self {
            partitions: BTreeMap::new(),
            sessions: ShareSessions::default(),
            asked: Vec::new(),
            coordinator: ShareCoordinator::new(broker),
            own: Vec::new(),
            last_own: 0,
            todo: VecDeque::new(),
            timers: [Time::NEVER; 3],
        }
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        self.partitions.values().for_each(|share| share.fingerprint(now, into));
        self.sessions.fingerprint(into);
        self.coordinator.fingerprint(into);
        for asked in &self.asked {
            into.add((asked.token.from, asked.group, asked.member, &asked.wanted));
            into.add_time(now, asked.deadline);
        }
        for own in &self.own {
            own.fingerprint(now, into);
        }
    }
}

/// What is asked about, and by whom.
impl Broker {
    /// `ShareFetch`.
    pub(super) fn share_fetch(
        &mut self,
        now: Time,
        token: Token,
        message: Message,
        fx: &mut Effects,
    ) {
        let Message::ShareFetch { group, member, epoch, params, partitions, acknowledgements } =
            message
        else {
            unreachable!("the caller matched it");
        };
        let wanted = fx.pools.get(partitions).to_vec();
        let acknowledgements = fx.pools.get(acknowledgements).to_vec();
        let session = if epoch == OPEN && !acknowledgements.is_empty() {
            Err(ErrorCode::InvalidRequest)
        } else {
            self.ram.share.sessions.fetch((group, member), (token.from, epoch), &wanted)
        };
        if let Err(error) = session {
            return fx.reply(token, fetch_refusal(error));
        }
        let params = fx.pools.get(params).first().copied();
        let wait = params.map_or(0, |params| params.max_wait_ms);
        let deadline = now + Duration::from_millis(u64::from(wait));
        let mut asked = Asked {
            token,
            group,
            member,
            fetch: params,
            deadline,
            wanted: rotated(wanted, epoch),
            parts: Vec::new(),
        };
        self.acknowledge(now, &mut asked, &acknowledgements, fx);
        for partition in asked.wanted.clone() {
            if let Err(error) = self.share_partition(now, (group, partition), fx) {
                asked.part(partition).error = error;
                asked.deadline = Time::ZERO;
            }
        }
        if params.is_none_or(|params| params.max_records == 0) || asked.wanted.is_empty() {
            asked.deadline = Time::ZERO;
        }
        self.ram.share.asked.push(asked);
        let last = self.ram.share.asked.len() - 1;
        self.serve(now, last, fx);
        self.answer_share_requests(fx);
    }

    /// `ShareAcknowledge`.
    pub(super) fn share_acknowledge(
        &mut self,
        now: Time,
        token: Token,
        message: Message,
        fx: &mut Effects,
    ) {
        let Message::ShareAcknowledge { group, member, epoch, acknowledgements } = message else {
            unreachable!("the caller matched it");
        };
        let acknowledgements = fx.pools.get(acknowledgements).to_vec();
        if let Err(error) = self.ram.share.sessions.acknowledge((group, member), epoch) {
            let results = List::EMPTY;
            return fx.reply(token, Message::ShareAcknowledgeResponse { error, results });
        }
        let (fetch, deadline, wanted, parts) = (None, Time::ZERO, Vec::new(), Vec::new());
        let mut asked = Asked { token, group, member, fetch, deadline, wanted, parts };
        self.acknowledge(now, &mut asked, &acknowledgements, fx);
        self.ram.share.asked.push(asked);
        if epoch == CLOSE {
            self.end_share_session(now, (group, member), fx);
        }
        self.answer_share_requests(fx);
    }

    /// Takes what a member says, partition by partition.
    fn acknowledge(
        &mut self,
        now: Time,
        asked: &mut Asked,
        acknowledgements: &[AcknowledgementBatch],
        fx: &mut Effects,
    ) {
        let mut by_partition: BTreeMap<PartitionId, Vec<AcknowledgementBatch>> = BTreeMap::new();
        for batch in acknowledgements {
            by_partition.entry(batch.partition).or_default().push(*batch);
        }
        for (partition, batches) in by_partition {
            let key = (asked.group, partition);
            let rules = self.share_rules(asked.group, fx.defect);
            let share = self.ram.share.partitions.get_mut(&key);
            let outcome = match share {
                None => Err(self.not_here(partition)),
                Some(share) => share.acknowledge(now, asked.member, &batches, &rules),
            };
            let part = asked.part(partition);
            match outcome {
                Err(error) => part.acknowledged = Some(error),
                Ok(None) => part.acknowledged = Some(ErrorCode::None),
                Ok(Some(_)) => {}
            }
            if outcome.is_ok() {
                Self::say_renewed(asked, &batches, fx);
            }
            if let Ok(Some(write)) = outcome {
                let id = self.persist(now, key, write, SettleReason::Acknowledged, fx);
                let part = asked.part(partition);
                match fx.defect {
                    Defect::AcceptedBeforeStored => part.acknowledged = Some(ErrorCode::None),
                    _ => part.write = Some(id),
                }
            }
            self.ram.share.todo.push_back(Todo::Wake(key));
        }
    }

    fn say_renewed(asked: &Asked, batches: &[AcknowledgementBatch], fx: &mut Effects) {
        use crate::base::share::AcknowledgeType;
        let (group, member) = (asked.group, asked.member);
        for batch in batches.iter().filter(|batch| batch.kind == AcknowledgeType::Renew) {
            let (partition, first) = (batch.partition, batch.first);
            let count = (batch.last.0 - first.0 + 1) as u32;
            fx.event(EventKind::LockRenewed { group, partition, member, first, count });
        }
    }

    /// The error for a share partition that this broker does not serve.
    fn not_here(&self, partition: PartitionId) -> ErrorCode {
        match self.replica(partition) {
            Some(replica) if replica.is_leader() => ErrorCode::InvalidRecordState,
            Some(_) => ErrorCode::NotLeaderOrFollower,
            None => ErrorCode::UnknownTopicOrPartition,
        }
    }

    /// The share partition is there; if it was not, its state is asked for.
    fn share_partition(
        &mut self,
        now: Time,
        key: ShareKey,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let replica = self.replica(key.1).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if !replica.is_leader() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let leader_epoch = replica.leader_epoch;
        let known = self.ram.share.partitions.get(&key);
        if known.is_none_or(|share| share.leader_epoch != leader_epoch) {
            // Every write is a request of this broker, so its number is new.
            let number = self.ram.share.last_own;
            let share = SharePartition::new(key.0, key.1, leader_epoch).numbered_from(number);
            self.ram.share.partitions.insert(key, share);
            self.read_share_state(now, key, (leader_epoch, number), fx);
        }
        Ok(())
    }

    /// The rules that the group's settings make, where it has none those of the brokers.
    fn share_rules(&self, group: GroupId, defect: Defect) -> ShareRules {
        let brokers = &self.config.brokers.share;
        let own = self.config.groups.get(group.index());
        let deliveries = match defect {
            Defect::DeliveryLimitIgnored => u16::MAX,
            _ => own.and_then(|own| own.deliveries).unwrap_or(brokers.deliveries),
        };
        let dead_letters = own.is_some_and(|own| !own.dead_letters.is_empty());
        ShareRules {
            lock: own.and_then(|own| own.lock).unwrap_or(brokers.lock),
            limit: Limit { deliveries, dead_letters },
            max_locks: own.and_then(|own| own.max_locks).unwrap_or(brokers.max_locks),
            renew: own.is_none_or(|own| own.renew),
        }
    }
}

/// Serving fetches that wait.
impl Broker {
    /// Serves the fetch at this place, if there is something for it (`DelayedShareFetch.tryComplete`).
    fn serve(&mut self, now: Time, at: usize, fx: &mut Effects) {
        let asked = &self.ram.share.asked[at];
        let Some(params) = asked.fetch.filter(|_| asked.is_fetching()) else { return };
        let (group, member, late) = (asked.group, asked.member, asked.deadline <= now);
        let rules = self.share_rules(group, fx.defect);
        let mut open: Vec<(PartitionId, i64)> = Vec::new();
        for partition in asked.wanted.clone() {
            let share = self.ram.share.partitions.get_mut(&(group, partition));
            if let Some(share) = share.filter(|share| share.is_active())
                && share.can_acquire(&rules)
            {
                open.push((partition, share.next_fetch_offset()));
            }
        }
        let each = params.max_bytes / open.len().max(1) as u32;
        let (mut read, mut bytes, mut urgent) = (Vec::new(), 0, false);
        for (partition, offset) in open {
            match self.read_for_share((group, partition), offset, each, fx) {
                Ok((slices, size)) => {
                    bytes += size;
                    read.push((partition, offset, slices));
                }
                Err(log_start) => {
                    urgent = true;
                    if let Some(share) = self.ram.share.partitions.get_mut(&(group, partition)) {
                        share.log_start_moved(log_start.0);
                        let offset = Offset(share.start_offset());
                        fx.event(EventKind::ShareStart { group, partition, offset });
                    }
                }
            }
        }
        if bytes < params.min_bytes && !urgent && !late {
            return;
        }
        let mut left = params.max_records;
        for (partition, fetch_offset, slices) in read {
            let want = (member, params, left);
            let acquired = self.acquire((group, partition), want, (fetch_offset, &slices), fx);
            let count: i64 = acquired.iter().map(|run| run.last.0 - run.first.0 + 1).sum();
            left = left.saturating_sub(count as u32);
            let part = self.ram.share.asked[at].part(partition);
            part.slices = overlapping(&slices, &acquired, fx);
            part.acquired = acquired;
        }
        self.ram.share.asked[at].deadline = Time::ZERO;
    }

    /// Hands out what was read of one partition.
    fn acquire(
        &mut self,
        key: ShareKey,
        (member, params, left): (MemberId, ShareFetchParams, u32),
        (fetch_offset, slices): (i64, &[FetchedSlice]),
        fx: &mut Effects,
    ) -> Vec<AcquiredRecords> {
        let last = |slice: &FetchedSlice| {
            slice.base_offset.0 + i64::from(fx.batches[slice.batch].count) - 1
        };
        let batches: Vec<(i64, i64)> =
            slices.iter().map(|slice| (slice.base_offset.0, last(slice))).collect();
        let rules = self.share_rules(key.0, fx.defect);
        let Some(share) = self.ram.share.partitions.get_mut(&key) else { return Vec::new() };
        let ShareFetchParams { batch_size, record_limit, .. } = params;
        let want = Acquisition {
            member,
            record_limit,
            batch_size,
            max_records: left,
            fetch_offset,
            batches: &batches,
        };
        let mut acquired = share.acquire(self.ram.last_step, want, &rules);
        for (first, last) in self.aborted_for_share(key, fetch_offset, slices, fx) {
            let Some(share) = self.ram.share.partitions.get_mut(&key) else { break };
            share.archive_aborted(first, last, &mut acquired);
        }
        let Some(share) = self.ram.share.partitions.get_mut(&key) else { return Vec::new() };
        if fx.defect == Defect::ShareLockDropped {
            share.drop_locks();
        }
        for run in &acquired {
            let (group, partition, first) = (key.0, key.1, run.first);
            let (count, delivery) = ((run.last.0 - first.0 + 1) as u32, run.delivery_count);
            fx.event(EventKind::RecordsAcquired {
                group,
                partition,
                member,
                first,
                count,
                delivery,
            });
        }
        acquired
    }

    /// Fetches that wait for this partition may have reason to be served: the high watermark moved.
    pub(super) fn wake_share_fetches(&mut self, partition: PartitionId) {
        let groups = self.ram.share.partitions.keys().filter(|key| key.1 == partition);
        let groups: Vec<ShareKey> = groups.copied().collect();
        self.ram.share.todo.extend(groups.into_iter().map(Todo::Wake));
    }

    /// Serves those of a group who wait for a partition, first come, first served.
    fn wake(&mut self, now: Time, key: ShareKey, fx: &mut Effects) {
        for at in 0..self.ram.share.asked.len() {
            let asked = &self.ram.share.asked[at];
            if asked.group == key.0 && asked.is_fetching() && asked.wanted.contains(&key.1) {
                self.serve(now, at, fx);
            }
        }
        self.answer_share_requests(fx);
    }

    /// Fetches have waited long enough: they get what there is.
    fn expire_share_fetches(&mut self, now: Time, fx: &mut Effects) {
        for at in 0..self.ram.share.asked.len() {
            if self.ram.share.asked[at].is_fetching() && self.ram.share.asked[at].deadline <= now {
                self.serve(now, at, fx);
                self.ram.share.asked[at].deadline = Time::ZERO;
            }
        }
        self.answer_share_requests(fx);
    }

    /// Answers every request that is done.
    fn answer_share_requests(&mut self, fx: &mut Effects) {
        let mut at = 0;
        while at < self.ram.share.asked.len() {
            if self.ram.share.asked[at].is_done() {
                let asked = self.ram.share.asked.remove(at);
                self.answer_share_request(&asked, fx);
            } else {
                at += 1;
            }
        }
    }

    fn answer_share_request(&self, asked: &Asked, fx: &mut Effects) {
        if asked.fetch.is_none() {
            return members::answer_acknowledge(self, asked, fx);
        }
        let (mut results, mut slices, mut acquired) = (Vec::new(), Vec::new(), Vec::new());
        for part in &asked.parts {
            let (leader, leader_epoch) = self.leader_hint(part.partition, part.error);
            results.push(ShareFetchResult {
                partition: part.partition,
                error: part.error,
                acknowledged: part.acknowledged,
                leader,
                leader_epoch,
                slice_count: part.slices.len() as u16,
                acquired_count: part.acquired.len() as u16,
            });
            slices.extend_from_slice(&part.slices);
            acquired.extend_from_slice(&part.acquired);
        }
        let results = fx.keep(&results);
        let (slices, acquired) = (fx.keep(&slices), fx.keep(&acquired));
        let error = ErrorCode::None;
        fx.reply(asked.token, Message::ShareFetchResponse { error, results, slices, acquired });
    }

    /// With `NOT_LEADER_OR_FOLLOWER` goes the leader this broker knows of (KIP-951).
    fn leader_hint(
        &self,
        partition: PartitionId,
        error: ErrorCode,
    ) -> (Option<BrokerId>, LeaderEpoch) {
        let moved = matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
        let known = self.disk.image.partition(partition).filter(|_| moved);
        known.map_or((None, LeaderEpoch::NONE), |known| (known.leader, known.leader_epoch))
    }

    /// Says what a change made of records.
    fn say_settled(
        key: ShareKey,
        batches: &[ShareStateBatch],
        reason: SettleReason,
        fx: &mut Effects,
    ) {
        for batch in batches {
            fx.event(EventKind::RecordsSettled {
                group: key.0,
                partition: key.1,
                first: batch.first,
                count: (batch.last.0 - batch.first.0 + 1) as u32,
                state: batch.state,
                reason,
            });
        }
    }

    /// What is stored of a share partition, where this broker coordinates it.
    pub fn stored_share_state(&self, key: ShareKey) -> Option<&ShareSnapshot> {
        self.ram.share.coordinator.state(key)
    }

    /// A share partition in this process.
    pub fn share_state(&self, group: GroupId, partition: PartitionId) -> Option<&SharePartition> {
        self.ram.share.partitions.get(&(group, partition))
    }

    /// The start offset of a share partition as its coordinator has stored it, where that is this broker
    /// (`listShareGroupOffsets`). [`Offset::NONE`] when nothing is.
    pub fn stored_share_start(&self, group: GroupId, partition: PartitionId) -> Offset {
        let state = self.ram.share.coordinator.state((group, partition));
        state.map_or(Offset::NONE, |state| state.start)
    }
}

/// A request begins with another partition each time (`PartitionRotateStrategy`), so that none starves.
fn rotated(mut partitions: Vec<PartitionId>, epoch: i32) -> Vec<PartitionId> {
    if !partitions.is_empty() {
        let by = epoch.unsigned_abs() as usize % partitions.len();
        partitions.rotate_left(by);
    }
    partitions
}

/// The batches that acquired records are in (`ShareFetchUtils.maybeSliceFetchRecords`).
fn overlapping(
    slices: &[FetchedSlice],
    acquired: &[AcquiredRecords],
    fx: &Effects,
) -> Vec<FetchedSlice> {
    let (Some(first), Some(last)) = (acquired.first(), acquired.last()) else { return Vec::new() };
    let within = |slice: &&FetchedSlice| {
        let end = slice.base_offset + i64::from(fx.batches[slice.batch].count);
        slice.base_offset <= last.last && first.first < end
    };
    slices.iter().filter(within).copied().collect()
}

fn fetch_refusal(error: ErrorCode) -> Message {
    let (results, slices, acquired) = (List::EMPTY, List::EMPTY, List::EMPTY);
    Message::ShareFetchResponse { error, results, slices, acquired }
}
