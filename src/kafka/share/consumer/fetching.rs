//! Share sessions, fetches and acknowledgements: the network thread of a share consumer
//! (`ShareConsumeRequestManager`, `ShareSessionHandler`, `ShareFetchBuffer`).
//!
//! A broker gets one request at a time. Acknowledgements without a wish for records go first, and while any of them
//! waits nothing is fetched.

use std::collections::{BTreeMap, VecDeque};

use crate::base::batch::RecordBody;
use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, LeaderEpoch, PartitionId};
use crate::base::share::AcknowledgeType;
use crate::base::time::Time;
use crate::event::EventKind;
use crate::kafka::api::{
    AcquiredRecords, FetchedSlice, Message, ShareFetchParams, ShareFetchResult,
};
use crate::kafka::effects::Effects;
use crate::kafka::share::consumer::records::{Acknowledgement, Fresh, batched};
use crate::kafka::share::consumer::{Request, ShareConsumer};
use crate::kafka::share::session::{CLOSE, OPEN};

/// Records of one partition that `poll()` has not returned.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Completed {
    pub(super) broker: BrokerId,
    pub(super) partition: PartitionId,
    pub(super) records: VecDeque<Fresh>,
}

/// What a request is for that only acknowledges.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Purpose {
    /// Nobody waits (`commitAsync`, an implicit acceptance).
    Async,
    /// `commitSync`.
    Sync,
    /// The session ends with it.
    Close,
}

/// Acknowledgements on their way to one broker, without a fetch.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Sending {
    id: u32,
    broker: BrokerId,
    what: Vec<Acknowledgement>,
    purpose: Purpose,
    on_wire: bool,
    attempts: u32,
    deadline: Time,
    retry_at: Time,
}

/// A share session with one broker.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Session {
    /// What the next request says; [`OPEN`] while there is none.
    epoch: i32,
    /// A request is not answered.
    busy: bool,
    /// The acknowledgements that went with a fetch.
    in_flight: Vec<Acknowledgement>,
}

/// How acknowledgements ended.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Outcome {
    pub(super) what: Vec<Acknowledgement>,
    pub(super) exception: Option<Exception>,
    /// `commitSync` returns it.
    pub(super) is_sync: bool,
}

/// See the module.
#[derive(Clone, Default, Debug)]
pub(super) struct Fetching {
    /// A `poll()` has asked for records and none came since.
    pub(super) wanted: bool,
    closing: bool,
    sessions: BTreeMap<BrokerId, Session>,
    pub(super) buffer: VecDeque<Completed>,
    /// What goes with the next fetch.
    with_fetch: BTreeMap<BrokerId, Vec<Acknowledgement>>,
    sending: Vec<Sending>,
    last_id: u32,
    /// What the application has not heard of yet.
    pub(super) outcomes: Vec<Outcome>,
    /// Partitions that had an error are not fetched before then.
    paused: BTreeMap<PartitionId, Time>,
    /// The broker that fetches in record_limit mode: one at a time, in turn.
    last_limited: Option<BrokerId>,
}

impl Fetching {
    /// When something waits for its back-off.
    pub(super) fn next_retry(&self, now: Time) -> Time {
        let sending = self.sending.iter().filter(|s| !s.on_wire);
        let sending = sending.flat_map(|s| [s.retry_at, s.deadline]);
        let paused = self.paused.values().copied().filter(|_| self.wanted);
        sending.chain(paused).filter(|at| *at > now).min().unwrap_or(Time::NEVER)
    }

    /// True while acknowledgements of this kind are not answered.
    pub(super) fn has_open(&self, purpose: Purpose) -> bool {
        self.sending.iter().any(|sending| sending.purpose == purpose)
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.wanted, self.closing, &self.sessions, &self.buffer, &self.with_fetch));
        into.add((&self.outcomes, self.last_limited));
        for sending in &self.sending {
            into.add((sending.broker, &sending.what, sending.purpose, sending.on_wire));
            into.add_time(now, sending.deadline);
            into.add_time(now, sending.retry_at);
        }
        for (partition, at) in &self.paused {
            into.add(partition);
            into.add_time(now, *at);
        }
    }
}

/// What the application wants.
impl ShareConsumer {
    /// `poll()` wants records; what was said goes with the fetch.
    pub(super) fn want_records(&mut self, said: Vec<Acknowledgement>) {
        self.fetching.wanted = true;
        for acknowledgement in said {
            let broker = acknowledgement.broker;
            self.fetching.with_fetch.entry(broker).or_default().push(acknowledgement);
        }
    }

    /// What was said goes by itself.
    pub(super) fn send_acknowledgements(
        &mut self,
        said: Vec<Acknowledgement>,
        purpose: Purpose,
        deadline: Time,
    ) {
        let mut by_broker: BTreeMap<BrokerId, Vec<Acknowledgement>> = BTreeMap::new();
        for acknowledgement in said {
            by_broker.entry(acknowledgement.broker).or_default().push(acknowledgement);
        }
        for (broker, what) in by_broker {
            self.queue(broker, what, purpose, deadline);
        }
    }

    fn queue(
        &mut self,
        broker: BrokerId,
        what: Vec<Acknowledgement>,
        purpose: Purpose,
        deadline: Time,
    ) {
        self.fetching.last_id += 1;
        self.fetching.sending.push(Sending {
            id: self.fetching.last_id,
            broker,
            what,
            purpose,
            on_wire: false,
            attempts: 0,
            deadline,
            retry_at: Time::ZERO,
        });
    }

    /// The sessions end, with the last that was said (`acknowledgeOnClose`).
    pub(super) fn close_sessions(&mut self, said: Vec<Acknowledgement>, deadline: Time) {
        self.fetching.closing = true;
        let mut last = std::mem::take(&mut self.fetching.with_fetch);
        for acknowledgement in said {
            last.entry(acknowledgement.broker).or_default().push(acknowledgement);
        }
        let sessions = self.fetching.sessions.iter();
        let open: Vec<BrokerId> = sessions
            .filter(|(_, s)| s.busy || s.epoch != OPEN)
            .map(|(broker, _)| *broker)
            .collect();
        for broker in open {
            let what = last.remove(&broker).unwrap_or_default();
            self.queue(broker, what, Purpose::Close, deadline);
        }
        for (_, what) in last {
            self.settle(what, Some(Exception::Network), false);
        }
    }

    /// Acknowledgements have an outcome.
    fn settle(&mut self, what: Vec<Acknowledgement>, exception: Option<Exception>, is_sync: bool) {
        if what.is_empty() {
            return;
        }
        for ack in what.iter().filter(|ack| ack.kind == AcknowledgeType::Renew) {
            self.in_hand.renewed(ack.partition, ack.offset, exception.is_none());
        }
        self.fetching.outcomes.push(Outcome { what, exception, is_sync });
    }
}

/// The network thread.
impl ShareConsumer {
    /// Sends what can be sent.
    pub(super) fn send_share_requests(&mut self, now: Time, fx: &mut Effects) {
        self.expire_acknowledgements(now);
        for at in 0..self.fetching.sending.len() {
            self.send_acknowledgement(now, at, fx);
        }
        let waits = !self.fetching.sending.is_empty();
        if waits || !self.fetching.wanted || self.fetching.closing || !self.membership.is_member() {
            return;
        }
        let mut by_leader: BTreeMap<BrokerId, Vec<PartitionId>> = BTreeMap::new();
        for partition in self.membership.assigned().to_vec() {
            let paused = self.fetching.paused.get(&partition).is_some_and(|until| *until > now);
            match self.network.metadata().leader(partition) {
                Some(leader) if !paused => by_leader.entry(leader).or_default().push(partition),
                Some(_) => {}
                None => self.network.metadata_mut().request_update(false),
            }
        }
        for broker in self.fetching.with_fetch.keys() {
            by_leader.entry(*broker).or_default();
        }
        if self.config.record_limit {
            return self.fetch_in_turn(now, &by_leader, fx);
        }
        for (broker, partitions) in by_leader {
            self.send_fetch(now, broker, &partitions, true, fx);
        }
    }

    /// In record_limit mode one broker at a time is asked for records; the others only hear what was said.
    fn fetch_in_turn(
        &mut self,
        now: Time,
        by_leader: &BTreeMap<BrokerId, Vec<PartitionId>>,
        fx: &mut Effects,
    ) {
        let busy = self.fetching.sessions.values().any(|session| session.busy);
        let brokers = || by_leader.iter().filter(|(_, p)| !p.is_empty()).map(|(b, _)| *b);
        let last = self.fetching.last_limited;
        let next = brokers().find(|broker| Some(*broker) > last).or_else(|| brokers().next());
        for (broker, partitions) in by_leader {
            let its_turn = next == Some(*broker) && !busy;
            let says = self.fetching.with_fetch.contains_key(broker);
            let sent =
                (its_turn || says) && self.send_fetch(now, *broker, partitions, its_turn, fx);
            if sent && its_turn {
                self.fetching.last_limited = Some(*broker);
            }
        }
    }

    fn send_fetch(
        &mut self,
        now: Time,
        broker: BrokerId,
        partitions: &[PartitionId],
        wants: bool,
        fx: &mut Effects,
    ) -> bool {
        let Some(group) = self.group else { return false };
        let session = self.fetching.sessions.entry(broker).or_default();
        if session.busy || !self.network.ready(now, broker, fx) {
            return false;
        }
        let mut said = self.fetching.with_fetch.remove(&broker).unwrap_or_default();
        let session = self.fetching.sessions.entry(broker).or_default();
        if session.epoch == OPEN && !said.is_empty() {
            // The session they belong to is gone.
            let lost = std::mem::take(&mut said);
            self.settle(lost, Some(Exception::Network), false);
        }
        if partitions.is_empty() && said.is_empty() {
            return false;
        }
        let batches = batched(&said);
        for batch in &batches {
            say_sent(batch, fx);
        }
        let session = self.fetching.sessions.entry(broker).or_default();
        session.in_flight = said;
        session.busy = true;
        let epoch = session.epoch;
        let params = ShareFetchParams {
            max_wait_ms: self.config.fetch_max_wait.as_millis() as u32,
            min_bytes: self.config.fetch_min_bytes,
            max_bytes: self.config.fetch_max_bytes,
            max_records: if wants { self.config.max_poll_records } else { 0 },
            batch_size: self.config.max_poll_records,
            record_limit: self.config.record_limit,
        };
        let message = Message::ShareFetch {
            group,
            member: self.membership.member(),
            epoch,
            params: fx.keep(&[params]),
            partitions: fx.keep(partitions),
            acknowledgements: fx.keep(&batches),
        };
        let timeout = self.config.request_timeout;
        self.network.send(now, broker, (message, Request::Fetch), timeout, fx);
        true
    }

    fn send_acknowledgement(&mut self, now: Time, at: usize, fx: &mut Effects) {
        let Sending { id, broker, purpose, on_wire, retry_at, .. } = self.fetching.sending[at];
        let Some(group) = self.group else { return };
        let earlier = self.fetching.sending[..at].iter().any(|s| s.broker == broker);
        let session = self.fetching.sessions.entry(broker).or_default();
        if on_wire || earlier || session.busy || retry_at > now {
            return;
        }
        if session.epoch == OPEN {
            // There is no session that the records could belong to.
            let Sending { what, .. } = self.fetching.sending[at].clone();
            self.fetching.sending[at].deadline = Time::ZERO;
            self.fetching.sending[at].what.clear();
            return self.settle(what, Some(Exception::Network), purpose == Purpose::Sync);
        }
        if !self.network.ready(now, broker, fx) {
            return;
        }
        let session = self.fetching.sessions.entry(broker).or_default();
        session.busy = true;
        let epoch = if purpose == Purpose::Close { CLOSE } else { session.epoch };
        let sending = &mut self.fetching.sending[at];
        sending.on_wire = true;
        sending.attempts += 1;
        let batches = batched(&sending.what);
        for batch in &batches {
            say_sent(batch, fx);
        }
        let member = self.membership.member();
        let acknowledgements = fx.keep(&batches);
        let message = Message::ShareAcknowledge { group, member, epoch, acknowledgements };
        let timeout = self.config.request_timeout;
        self.network.send(now, broker, (message, Request::Acknowledge(id)), timeout, fx);
    }

    /// Acknowledgements that nobody took in time.
    fn expire_acknowledgements(&mut self, now: Time) {
        let (gone, kept): (Vec<Sending>, Vec<Sending>) = std::mem::take(&mut self.fetching.sending)
            .into_iter()
            .partition(|sending| sending.deadline <= now && !sending.on_wire);
        self.fetching.sending = kept;
        for sending in gone {
            let is_sync = sending.purpose == Purpose::Sync;
            self.settle(sending.what, Some(Exception::Timeout), is_sync);
        }
    }
}

/// Answers.
impl ShareConsumer {
    pub(super) fn fetched(
        &mut self,
        now: Time,
        broker: BrokerId,
        message: Message,
        fx: &mut Effects,
    ) {
        let Message::ShareFetchResponse { error, results, slices, acquired } = message else {
            unreachable!("a ShareFetch is answered by its own response");
        };
        let Some(session) = self.fetching.sessions.get_mut(&broker) else { return };
        session.busy = false;
        let mut said = std::mem::take(&mut session.in_flight);
        if error != ErrorCode::None {
            session.epoch = OPEN;
            return self.settle(said, Some(session_exception(error)), false);
        }
        session.epoch += 1;
        let results = fx.pools.get(results).to_vec();
        let slices = fx.pools.get(slices).to_vec();
        let acquired = fx.pools.get(acquired).to_vec();
        let (mut slices, mut acquired) = (slices.as_slice(), acquired.as_slice());
        for result in results {
            let (own_slices, rest) = slices.split_at(usize::from(result.slice_count));
            let (own_acquired, others) = acquired.split_at(usize::from(result.acquired_count));
            (slices, acquired) = (rest, others);
            let about: Vec<Acknowledgement> =
                said.extract_if(.., |ack| ack.partition == result.partition).collect();
            let outcome = result.acknowledged.unwrap_or(ErrorCode::None);
            self.settle(about, exception_of(outcome), false);
            self.note_error(now, &result);
            self.take_records((broker, result.partition), own_slices, own_acquired, fx);
        }
        self.settle(said, Some(Exception::Wire(ErrorCode::InvalidRecordState)), false);
    }

    fn note_error(&mut self, now: Time, result: &ShareFetchResult) {
        let ShareFetchResult { partition, error, leader, leader_epoch, .. } = *result;
        if error == ErrorCode::None {
            self.fetching.paused.remove(&partition);
            return;
        }
        self.fetching.paused.insert(partition, now + self.config.retry_backoff);
        self.learn_leader(partition, leader, leader_epoch);
    }

    fn learn_leader(
        &mut self,
        partition: PartitionId,
        leader: Option<BrokerId>,
        epoch: LeaderEpoch,
    ) {
        if let Some(leader) = leader {
            self.network.metadata_mut().update_leader(partition, leader, epoch);
        }
        self.network.metadata_mut().request_update(false);
    }

    /// What was acquired, as far as there is a record at the offset.
    fn take_records(
        &mut self,
        (broker, partition): (BrokerId, PartitionId),
        slices: &[FetchedSlice],
        acquired: &[AcquiredRecords],
        fx: &Effects,
    ) {
        let mut records = VecDeque::new();
        let mut gaps = Vec::new();
        for run in acquired {
            for at in run.first.0..=run.last.0 {
                let offset = crate::base::ids::Offset(at);
                let holds = |slice: &&FetchedSlice| {
                    let n = at - slice.base_offset.0;
                    (0..i64::from(fx.batches[slice.batch].count)).contains(&n)
                };
                let slice = slices.iter().find(holds).filter(|slice| {
                    let n = (at - slice.base_offset.0) as u32;
                    let body = fx.batches.record(slice.batch, n).body;
                    matches!(body, RecordBody::Message(_) | RecordBody::DeadLetter { .. })
                });
                if let Some(slice) = slice {
                    let (batch, base) = (slice.batch, slice.base_offset);
                    records.push_back(Fresh { offset, batch, base, delivery: run.delivery_count });
                } else {
                    let kind = AcknowledgeType::Gap;
                    gaps.push(Acknowledgement { broker, partition, offset, kind });
                }
            }
        }
        if !acquired.is_empty() {
            self.fetching.wanted = false;
        }
        if !records.is_empty() {
            self.fetching.buffer.push_back(Completed { broker, partition, records });
        }
        for gap in gaps {
            self.fetching.with_fetch.entry(broker).or_default().push(gap);
        }
    }

    pub(super) fn acknowledge_answered(
        &mut self,
        now: Time,
        (broker, id): (BrokerId, u32),
        message: Message,
        fx: &mut Effects,
    ) {
        let Message::ShareAcknowledgeResponse { error, results } = message else {
            unreachable!("a ShareAcknowledge is answered by its own response");
        };
        let Some(at) = self.fetching.sending.iter().position(|sending| sending.id == id) else {
            return;
        };
        let is_close = self.fetching.sending[at].purpose == Purpose::Close;
        if let Some(session) = self.fetching.sessions.get_mut(&broker) {
            session.busy = false;
            session.epoch =
                if error == ErrorCode::None && !is_close { session.epoch + 1 } else { OPEN };
        }
        let mut sending = self.fetching.sending.remove(at);
        let is_sync = sending.purpose == Purpose::Sync;
        if error != ErrorCode::None {
            return self.settle(sending.what, Some(session_exception(error)), is_sync);
        }
        let mut again = Vec::new();
        for result in fx.pools.get(results).to_vec() {
            let about: Vec<Acknowledgement> =
                sending.what.extract_if(.., |ack| ack.partition == result.partition).collect();
            let moved = matches!(
                result.error,
                ErrorCode::NotLeaderOrFollower
                    | ErrorCode::FencedLeaderEpoch
                    | ErrorCode::UnknownTopicOrPartition
            );
            if moved {
                self.learn_leader(result.partition, result.leader, result.leader_epoch);
            }
            if result.error.is_retriable() && !moved && !is_close {
                again.extend(about);
            } else {
                self.settle(about, exception_of(result.error), is_sync);
            }
        }
        let rest = std::mem::take(&mut sending.what);
        self.settle(rest, Some(Exception::Wire(ErrorCode::InvalidRecordState)), is_sync);
        if !again.is_empty() {
            sending.what = again;
            sending.on_wire = false;
            sending.retry_at = now + self.retry.backoff(sending.attempts - 1, fx);
            self.fetching.sending.push(sending);
        }
    }

    /// Sessions whose connection is gone are gone too, with what was asked on them.
    pub(super) fn drop_sessions(&mut self, _fx: &mut Effects) {
        let lost: Vec<BrokerId> = self
            .fetching
            .sessions
            .iter()
            .filter(|(broker, session)| {
                (session.busy || session.epoch != OPEN) && !self.network.is_connected(**broker)
            })
            .map(|(broker, _)| *broker)
            .collect();
        for broker in lost {
            let Some(session) = self.fetching.sessions.remove(&broker) else { continue };
            self.settle(session.in_flight, Some(Exception::Network), false);
            let (gone, kept): (Vec<Sending>, Vec<Sending>) =
                std::mem::take(&mut self.fetching.sending)
                    .into_iter()
                    .partition(|sending| sending.broker == broker && sending.on_wire);
            self.fetching.sending = kept;
            for sending in gone {
                let is_sync = sending.purpose == Purpose::Sync;
                self.settle(sending.what, Some(Exception::Network), is_sync);
            }
        }
    }
}

fn say_sent(batch: &crate::kafka::api::AcknowledgementBatch, fx: &mut Effects) {
    let (partition, first, kind) = (batch.partition, batch.first, batch.kind);
    let count = (batch.last.0 - first.0 + 1) as u32;
    fx.event(EventKind::AcknowledgeSent { partition, first, count, kind });
}

fn exception_of(error: ErrorCode) -> Option<Exception> {
    (error != ErrorCode::None).then_some(Exception::Wire(error))
}

/// A lost session looks like a lost connection to the application.
fn session_exception(error: ErrorCode) -> Exception {
    match error {
        ErrorCode::ShareSessionNotFound | ErrorCode::InvalidShareSessionEpoch => Exception::Network,
        other => Exception::Wire(other),
    }
}
