//! Fetching: requests to leaders, or to the replicas they name (KIP-392), the buffer of what they answered, and what
//! `poll()` takes out of it.
//!
//! Kafka: `Fetcher`, `AbstractFetch`, `FetchBuffer`, `CompletedFetch`, `FetchCollector`. One request a broker at
//! a time, about the partitions of which nothing is buffered; a poll returns at most `max.poll.records` and sends
//! the next requests before it returns. The position moves when records are returned, not when they arrive.
//! A `read_committed` consumer is given what is below the last stable offset with a list of aborted transactions, and
//! leaves their records out itself. Control records are never returned; positions move over both.
//! Simplified: no fetch sessions (KIP-227), compression or corrupt records; a preferred replica is given up when its
//! connection breaks, fetch or no fetch on it, and the metadata does not say which brokers are replicas.

use std::collections::{BTreeMap, VecDeque};

use crate::base::batch::{BatchKind, BatchTable, RecordBody};
use crate::base::config::{IsolationLevel, OffsetReset};
use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, LeaderEpoch, Offset, PartitionId};
use crate::base::time::Time;
use crate::kafka::aborted::AbortedFilter;
use crate::kafka::api::{FetchPartition, FetchResult, FetchedSlice, Message};
use crate::kafka::client_metadata::KnownPartition;
use crate::kafka::consumer::positions::{FetchState, PartitionState};
use crate::kafka::consumer::{Consumer, PolledSlice, Request, wire};
use crate::kafka::effects::Effects;

/// The answer for one partition, from its arrival until its last record is returned.
#[derive(Clone, Debug)]
struct CompletedFetch {
    partition: PartitionId,
    error: ErrorCode,
    /// The replica to fetch from instead.
    preferred: Option<BrokerId>,
    /// The offset of the next record to return; at first the offset asked for.
    next: Offset,
    slices: VecDeque<FetchedSlice>,
    aborted: AbortedFilter,
    /// The leader epoch of the batch read last.
    last_epoch: LeaderEpoch,
    initialized: bool,
}

#[derive(Clone, Debug)]
struct InFlightFetch {
    broker: BrokerId,
    asked: Vec<(PartitionId, Offset)>,
}

/// The buffer and the requests on their way.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetcher {
    in_flight: Vec<InFlightFetch>,
    next_in_line: Option<CompletedFetch>,
    completed: VecDeque<CompletedFetch>,
}

impl Fetcher {
    fn is_buffered(&self, partition: PartitionId) -> bool {
        let mut buffered = self.next_in_line.iter().chain(&self.completed);
        buffered.any(|fetch| fetch.partition == partition)
    }

    /// Forgets what is buffered of other partitions (`clearBufferedDataForUnassignedPartitions`).
    pub(super) fn retain(&mut self, keep: impl Fn(PartitionId) -> bool) {
        self.completed.retain(|fetch| keep(fetch.partition));
        self.next_in_line = self.next_in_line.take().filter(|fetch| keep(fetch.partition));
    }

    /// Requests on connections that are gone will not be answered. Returns the partitions they asked for.
    pub(super) fn drop_lost(
        &mut self,
        is_connected: impl Fn(BrokerId) -> bool,
    ) -> Vec<PartitionId> {
        let lost = self.in_flight.extract_if(.., |fetch| !is_connected(fetch.broker));
        lost.flat_map(|fetch| fetch.asked).map(|(partition, _)| partition).collect()
    }

    /// Adds this state to a fingerprint.
    pub(super) fn fingerprint(&self, into: &mut Fingerprint) {
        for fetch in &self.in_flight {
            into.add((fetch.broker, &fetch.asked));
        }
        for fetch in self.next_in_line.iter().chain(&self.completed) {
            into.add((fetch.partition, fetch.error, fetch.next, fetch.initialized));
            into.add(fetch.preferred);
            fetch.aborted.fingerprint(into);
            for slice in &fetch.slices {
                into.add((slice.batch, slice.base_offset, slice.leader_epoch));
            }
        }
    }
}

impl CompletedFetch {
    /// Moves at most `limit` records out. True when it is found to be empty.
    fn take(&mut self, limit: u32, batches: &BatchTable, out: &mut Vec<PolledSlice>) -> bool {
        let mut left = limit;
        while left > 0 {
            let Some(slice) = self.slices.front().copied() else { return true };
            self.last_epoch = slice.leader_epoch;
            let end = slice.base_offset + i64::from(batches[slice.batch].count);
            let last = Offset(end.0 - 1);
            let hidden = self.aborted.rejects(slice.batch, last, batches)
                || batches[slice.batch].kind == BatchKind::Control;
            // A leader returns whole batches; what is below the position is passed over, and so are the gaps that
            // compaction left.
            let removed = |offset: Offset| {
                let n = (offset - slice.base_offset) as u32;
                batches.record(slice.batch, n).body == RecordBody::Removed
            };
            while !hidden && left > 0 && self.next.max(slice.base_offset) < end {
                let mut first = self.next.max(slice.base_offset);
                while first < end && removed(first) {
                    first = first + 1;
                }
                let mut after = first;
                while after < end && after - first < i64::from(left) && !removed(after) {
                    after = after + 1;
                }
                let count = (after - first) as u16;
                if count > 0 {
                    out.push(PolledSlice {
                        partition: self.partition,
                        batch: slice.batch,
                        base_offset: slice.base_offset,
                        first: (first - slice.base_offset) as u16,
                        count,
                    });
                }
                self.next = after;
                left -= u32::from(count);
            }
            if self.next < end && !hidden {
                return false;
            }
            self.next = self.next.max(end);
            self.slices.pop_front();
        }
        false
    }
}

/// What a look into the buffer gave.
#[derive(Default)]
pub(super) struct Collected {
    /// Slices for the application, in the order in which it gets them.
    pub(super) records: Vec<PolledSlice>,
    /// Where the positions are that moved, which they do over control records and aborted ones too.
    pub(super) moved: BTreeMap<PartitionId, Offset>,
}

impl Collected {
    /// `poll()` returns, be it without a record.
    pub(super) fn is_something(&self) -> bool {
        !self.moved.is_empty() || !self.records.is_empty()
    }
}

impl Consumer {
    /// Asks every leader, or the replica it named, for the partitions of which nothing is buffered. True when a request
    /// that is wanted could not be sent.
    pub(super) fn send_fetches(&mut self, now: Time, fx: &mut Effects) -> bool {
        self.validate_on_metadata_change();
        self.give_up_replicas(now);
        let (mut wanted, mut leaderless) = (Vec::<(BrokerId, Vec<FetchPartition>)>::new(), false);
        for state in self.subscriptions.iter().filter(|s| s.is_fetchable()) {
            if self.fetcher.is_buffered(state.partition) {
                continue;
            }
            let position = state.position.expect("a fetchable partition has a position");
            let Some(leader) = position.leader else {
                leaderless = true;
                continue;
            };
            let partition = FetchPartition {
                partition: state.partition,
                offset: position.offset,
                current_leader_epoch: position.leader_epoch,
                last_fetched_epoch: LeaderEpoch::NONE,
                log_start: Offset::NONE,
                max_bytes: self.config.max_partition_fetch_bytes,
            };
            let source = state.preferred().unwrap_or(leader);
            match wanted.iter_mut().find(|(broker, _)| *broker == source) {
                Some((_, partitions)) => partitions.push(partition),
                None => wanted.push((source, vec![partition])),
            }
        }
        if leaderless {
            self.network.metadata_mut().request_update(false);
        }
        let mut unsent = leaderless;
        for (broker, partitions) in wanted {
            if self.fetcher.in_flight.iter().all(|fetch| fetch.broker != broker) {
                unsent |= !self.send_fetch(now, broker, &partitions, fx);
            }
        }
        unsent
    }

    /// Preferred replicas whose time is over, or that the metadata does not have, are given up
    /// (`AbstractFetch.selectReadReplica`).
    fn give_up_replicas(&mut self, now: Time) {
        let wanted = |s: &&PartitionState| s.is_fetchable() && s.preferred().is_some();
        let partitions = self.subscriptions.iter().filter(wanted).map(|s| s.partition);
        let partitions: Vec<_> = partitions.filter(|p| !self.fetcher.is_buffered(*p)).collect();
        let brokers = self.network.metadata().brokers();
        for partition in partitions {
            let broker = self.subscriptions.expire_preferred(now, partition);
            if broker.is_some_and(|broker| !brokers.contains(broker)) {
                self.network.metadata_mut().request_update(false);
                self.subscriptions.clear_preferred(partition);
            }
        }
    }

    fn send_fetch(
        &mut self,
        now: Time,
        broker: BrokerId,
        partitions: &[FetchPartition],
        fx: &mut Effects,
    ) -> bool {
        if !self.network.ready(now, broker, fx) {
            return false;
        }
        let message = Message::Fetch {
            replica_epoch: -1,
            replica: None,
            rack: fx.names.find_rack(&self.config.client_rack),
            max_wait_ms: self.config.fetch_max_wait.as_millis() as u32,
            min_bytes: self.config.fetch_min_bytes,
            max_bytes: self.config.fetch_max_bytes,
            isolation: self.config.isolation,
            partitions: fx.keep(partitions),
        };
        let timeout = self.config.request_timeout;
        self.network.send(now, broker, (message, Request::Fetch), timeout, fx);
        let asked = partitions.iter().map(|p| (p.partition, p.offset)).collect();
        self.fetcher.in_flight.push(InFlightFetch { broker, asked });
        true
    }

    /// The answer of a leader goes into the buffer.
    pub(super) fn fetched(&mut self, broker: BrokerId, message: Message, fx: &Effects) {
        let Message::FetchResponse { results, slices, aborted } = message else {
            unreachable!("Fetch is answered by its own response");
        };
        let Some(at) = self.fetcher.in_flight.iter().position(|f| f.broker == broker) else {
            return;
        };
        let asked = self.fetcher.in_flight.remove(at).asked;
        let reads_committed = self.config.isolation == IsolationLevel::ReadCommitted;
        let mut slices = fx.pools.get(slices).iter().copied();
        let mut aborted = fx.pools.get(aborted).iter().copied();
        for result in fx.pools.get(results) {
            let slices: VecDeque<_> = slices.by_ref().take(result.slice_count.into()).collect();
            let ahead = aborted.by_ref().take(result.aborted_count.into());
            let aborted = AbortedFilter::new(ahead.filter(|_| reads_committed));
            let partition = result.partition;
            let Some((_, next)) = asked.iter().find(|(p, _)| *p == partition) else { continue };
            self.learn_from(result);
            let preferred = result.preferred_read_replica;
            // An empty answer has nothing to return and nothing to say.
            if result.error != ErrorCode::None || preferred.is_some() || !slices.is_empty() {
                self.fetcher.completed.push_back(CompletedFetch {
                    partition,
                    error: result.error,
                    preferred,
                    next: *next,
                    slices,
                    aborted,
                    last_epoch: LeaderEpoch::NONE,
                    initialized: false,
                });
            }
        }
    }

    /// A refusing broker may name the leader (KIP-951).
    fn learn_from(&mut self, result: &FetchResult) {
        let moved =
            matches!(result.error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
        let Some(leader) = result.leader.filter(|_| moved) else { return };
        let (partition, leader_epoch) = (result.partition, result.leader_epoch);
        if self.network.metadata_mut().update_leader(partition, leader, leader_epoch) {
            let known = KnownPartition { leader: Some(leader), leader_epoch };
            self.subscriptions.learn_leader(partition, known);
        }
    }

    /// Takes at most `max.poll.records` out of the buffer and moves the positions behind them.
    ///
    /// # Errors
    /// What `poll()` throws for the partition that is next, when nothing was taken before.
    pub(super) fn collect(&mut self, now: Time, fx: &mut Effects) -> Result<Collected, Exception> {
        let (mut out, mut moved) = (Vec::new(), BTreeMap::new());
        let mut left = self.config.max_poll_records;
        let mut paused = VecDeque::new();
        while left > 0 {
            if let Some(mut fetch) = self.fetcher.next_in_line.take() {
                if self.subscriptions.get(fetch.partition).is_some_and(|state| state.paused) {
                    paused.push_back(fetch);
                    continue;
                }
                if !self.is_next(&fetch) {
                    continue;
                }
                let before = out.len();
                let drained = fetch.take(left, &fx.batches, &mut out);
                left -= out[before..].iter().map(|slice| u32::from(slice.count)).sum::<u32>();
                let stood = self.position(fetch.partition);
                if stood.is_some_and(|stood| fetch.next > stood) {
                    moved.insert(fetch.partition, fetch.next);
                }
                self.subscriptions.advance(fetch.partition, fetch.next, fetch.last_epoch);
                if !drained {
                    self.fetcher.next_in_line = Some(fetch);
                }
                continue;
            }
            let Some(mut fetch) = self.fetcher.completed.pop_front() else { break };
            if !fetch.initialized {
                match self.initialize(now, &fetch) {
                    Ok(true) => fetch.initialized = true,
                    Ok(false) => continue,
                    Err(exception) if out.is_empty() => {
                        self.fetcher.completed.append(&mut paused);
                        return Err(exception);
                    }
                    Err(_) => {
                        // The next poll throws it; this one returns what it has.
                        self.fetcher.completed.push_front(fetch);
                        break;
                    }
                }
            }
            self.fetcher.next_in_line = Some(fetch);
        }
        // What is paused may be resumed before the next poll.
        self.fetcher.completed.append(&mut paused);
        Ok(Collected { records: out, moved })
    }

    /// True when the fetch continues where the partition stands; else it is obsolete.
    fn is_next(&self, fetch: &CompletedFetch) -> bool {
        let state = self.subscriptions.get(fetch.partition);
        state.is_some_and(|s| s.is_fetchable() && s.position.map(|p| p.offset) == Some(fetch.next))
    }

    /// The first look at an answer. False when it is of no use.
    fn initialize(&mut self, now: Time, fetch: &CompletedFetch) -> Result<bool, Exception> {
        let Some(state) = self.subscriptions.get(fetch.partition) else { return Ok(false) };
        if state.state != FetchState::Fetching {
            return Ok(false);
        }
        let is_current = state.position.map(|p| p.offset) == Some(fetch.next);
        match fetch.error {
            ErrorCode::None => {
                if let Some(broker) = fetch.preferred.filter(|_| is_current) {
                    let expires = now + self.config.metadata_max_age;
                    self.subscriptions.prefer(fetch.partition, broker, expires);
                }
                return Ok(is_current);
            }
            // Out of a follower's range is not yet out of the leader's.
            ErrorCode::OffsetOutOfRange if self.subscriptions.clear_preferred(fetch.partition) => {}
            ErrorCode::OffsetOutOfRange if !is_current => {}
            ErrorCode::OffsetOutOfRange if self.subscriptions.policy == OffsetReset::None => {
                return Err(wire(fetch.error));
            }
            ErrorCode::OffsetOutOfRange => self.subscriptions.request_reset(fetch.partition),
            ErrorCode::UnknownLeaderEpoch | ErrorCode::UnknownServerError => {}
            _ => {
                self.network.metadata_mut().request_update(false);
                self.subscriptions.clear_preferred(fetch.partition);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::batch::Record;
    use crate::base::ids::{KeyId, MessageId, NodeId};
    use crate::kafka::api::AbortedTransaction;

    #[test]
    fn a_fetch_gives_whole_polls_and_passes_over_what_is_below_the_position() {
        let mut batches = BatchTable::default();
        let record = |n| Record {
            body: RecordBody::Message(MessageId(n)),
            key: KeyId::NONE,
            bytes: 9,
            timestamp: 0,
            is_tombstone: false,
        };
        let records: Vec<_> = (0..5).map(record).collect();
        let slices: VecDeque<_> = [0, 5]
            .map(|base| FetchedSlice {
                batch: batches.add(NodeId::Producer(0), None, &records),
                base_offset: Offset(base),
                leader_epoch: LeaderEpoch(4),
                append_time: None,
            })
            .into();
        let mut fetch = CompletedFetch {
            partition: PartitionId(0),
            error: ErrorCode::None,
            preferred: None,
            next: Offset(3),
            slices,
            aborted: AbortedFilter::default(),
            last_epoch: LeaderEpoch::NONE,
            initialized: true,
        };
        let mut polls = Vec::new();
        for (limit, drained) in [(4, false), (3, false), (1, true)] {
            let mut out = Vec::new();
            assert_eq!(fetch.take(limit, &batches, &mut out), drained);
            polls.push(out.iter().map(|s| (s.first_offset().0, s.count)).collect::<Vec<_>>());
        }
        assert_eq!(polls, [vec![(3, 2), (5, 2)], vec![(7, 3)], vec![]]);
        assert_eq!((fetch.next, fetch.last_epoch), (Offset(10), LeaderEpoch(4)));
    }

    #[test]
    fn aborted_records_and_markers_are_passed_over_and_the_position_moves_on() {
        use crate::base::batch::ProducerState;
        use crate::base::ids::{ProducerEpoch, Sequence};
        let mut batches = BatchTable::default();
        let (mut slices, mut next) = (VecDeque::new(), 0);
        let mut add = |id: i64, kind, body| {
            let (key, bytes, timestamp, is_tombstone) = (KeyId::NONE, 9, 0, false);
            let record = Record { body, key, bytes, timestamp, is_tombstone };
            let (epoch, base_sequence) = (ProducerEpoch(0), Sequence(0));
            let producer = Some(ProducerState { id, epoch, base_sequence });
            let batch = batches.add_of_kind(kind, NodeId::Producer(0), producer, &[record]);
            let (base_offset, leader_epoch) = (Offset(next), LeaderEpoch(0));
            let append_time = None;
            slices.push_back(FetchedSlice { batch, base_offset, leader_epoch, append_time });
            next += 1;
        };
        let end = |committed| RecordBody::EndTransactionMarker { committed, coordinator_epoch: 0 };
        let data = RecordBody::Message(MessageId(0));
        // Producer 7 aborts and then commits; 8 commits; 9 has no transactions.
        add(7, BatchKind::Transactional, data);
        add(8, BatchKind::Transactional, data);
        add(9, BatchKind::Plain, data);
        add(7, BatchKind::Control, end(false));
        add(7, BatchKind::Transactional, data);
        add(8, BatchKind::Control, end(true));
        add(7, BatchKind::Control, end(true));
        let aborted = AbortedTransaction { producer_id: 7, first_offset: Offset(0) };
        for (filter, wanted) in [(vec![aborted], vec![1, 2, 4]), (vec![], vec![0, 1, 2, 4])] {
            let mut fetch = CompletedFetch {
                partition: PartitionId(0),
                error: ErrorCode::None,
                preferred: None,
                next: Offset(0),
                slices: slices.clone(),
                aborted: AbortedFilter::new(filter.into_iter()),
                last_epoch: LeaderEpoch::NONE,
                initialized: true,
            };
            let mut out = Vec::new();
            assert!(fetch.take(100, &batches, &mut out));
            let offsets: Vec<i64> = out.iter().map(|slice| slice.first_offset().0).collect();
            assert_eq!((offsets, fetch.next), (wanted, Offset(7)));
        }
    }
}
