//! Whole coordinators with a log that the test replicates, and the table of how transactions may end.

use std::sync::Arc;

use crate::base::batch::{TransactionSnapshot, TransactionState};
use crate::base::broker_set::ReplicaList;
use crate::base::chooser::Chooser;
use crate::base::config::ClusterConfig;
use crate::base::error::ErrorCode;
use crate::base::ids::{
    BatchHandle, BrokerId, LeaderEpoch, NodeId, Offset, PartitionId, ProducerEpoch, TopicId,
    TransactionalId,
};
use crate::base::names::{Names, Partition, Topic};
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::api::{Message, TxnMarker, TxnMarkerResult};
use crate::kafka::effects::{Effect, Effects, TimerKind, Token};
use crate::kafka::transaction::coordinator::{Step, TransactionCoordinator};
use crate::kafka::transaction::end::{EndDecision, EndRequest, decide};
use crate::kafka::transaction::metadata::{NO_PRODUCER_ID, TransactionMetadata};
use crate::kafka::transaction::producer_ids::ProducerIdManager;
use crate::kafka::transaction::state::TransactionAppend;

use ErrorCode as E;
use TransactionState as S;

const ID: TransactionalId = TransactionalId(0);
const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);
/// `__transaction_state-7`, where the id lives.
const HOME: PartitionId = PartitionId(2);
const EPOCH_0: ProducerEpoch = ProducerEpoch(0);

/// A coordinator with a log and a clock around it. Markers are answered when the test says so.
struct Rig {
    coordinator: TransactionCoordinator,
    fx: Effects,
    producer_ids: ProducerIdManager,
    now: Time,
    log: Vec<(Offset, BatchHandle)>,
    unreplicated: Vec<TransactionAppend>,
    /// Requests for markers: correlation and markers.
    markers: Vec<(u32, Vec<TxnMarker>)>,
    answers: Vec<Message>,
    states: Vec<&'static str>,
    correlation: u32,
}

fn names() -> Names {
    let replicas = ReplicaList::new(&[BrokerId(1)]);
    let partition = |topic, index| Partition { topic: TopicId(topic), index, replicas };
    let topic = |name: &str, partitions: &[u16], internal| Topic {
        name: name.into(),
        partitions: partitions.iter().map(|p| PartitionId(*p)).collect(),
        internal,
        partition_count: 2,
    };
    Names {
        brokers: 2,
        topics: vec![topic("orders", &[0, 1], false), topic("__transaction_state", &[2], true)],
        partitions: vec![partition(0, 0), partition(0, 1), partition(1, 7)],
        transactional_ids: vec!["checkout".into()],
        transaction_partitions: vec![HOME],
        ..Names::default()
    }
}

fn config(version: u8) -> Arc<ClusterConfig> {
    let mut config = ClusterConfig::default();
    config.features.transaction_version = version;
    Arc::new(config)
}

impl Rig {
    fn new(version: u8) -> Self {
        let mut rig = Self {
            coordinator: TransactionCoordinator::new(BrokerId(1), config(version)),
            fx: Effects::new(Arc::new(names()), Chooser::seeded(1)),
            producer_ids: ProducerIdManager::new(BrokerId(1)),
            now: Time::ZERO,
            log: Vec::new(),
            unreplicated: Vec::new(),
            markers: Vec::new(),
            answers: Vec::new(),
            states: Vec::new(),
            correlation: 0,
        };
        rig.elect(0);
        rig
    }

    /// A producer with epoch 0 that has written to P0 and P1.
    fn ongoing(version: u8) -> Self {
        let mut rig = Self::new(version);
        rig.init();
        rig.replicate();
        rig.add(EPOCH_0, &[P0, P1]);
        rig.replicate();
        rig.answers.clear();
        rig.states.clear();
        rig
    }

    fn step(&mut self, act: impl FnOnce(&mut TransactionCoordinator, &mut Step<'_>)) {
        let mut appends = Vec::new();
        let (now, producer_ids) = (self.now, &mut self.producer_ids);
        let mut step = Step { now, fx: &mut self.fx, appends: &mut appends, producer_ids };
        act(&mut self.coordinator, &mut step);
        for append in appends {
            self.log.push((Offset(self.log.len() as i64), append.batch));
            self.unreplicated.push(append);
        }
        self.coordinator.send_markers(self.now, |_| Some(BrokerId(2)), &mut self.fx);
        for effect in std::mem::take(&mut self.fx.list) {
            match effect {
                Effect::Reply { message, .. } => self.answers.push(message),
                Effect::Request {
                    message: Message::WriteTxnMarkers { markers },
                    correlation,
                    ..
                } => {
                    self.markers.push((correlation, self.fx.pools.get(markers).to_vec()));
                }
                Effect::Event(EventKind::TransactionChanged { state, .. }) => {
                    self.states.push(state.name());
                }
                _ => {}
            }
        }
    }

    fn elect(&mut self, epoch: i32) {
        let log = self.log.clone();
        self.step(|c, step| c.elected(step, HOME, LeaderEpoch(epoch), log.into_iter()));
    }

    fn send(&mut self, from: NodeId, message: Message) {
        self.correlation += 1;
        let token = Token { from, correlation: self.correlation, connection: 0 };
        self.step(|c, step| c.handle(step, token, message));
    }

    fn init(&mut self) {
        self.init_as(NO_PRODUCER_ID, ProducerEpoch(-1));
    }

    fn init_as(&mut self, producer_id: i64, epoch: ProducerEpoch) {
        let timeout_ms = 60_000;
        let transactional = Some(ID);
        let message = Message::InitProducerId { transactional, timeout_ms, producer_id, epoch };
        self.send(NodeId::Producer(0), message);
    }

    fn add(&mut self, epoch: ProducerEpoch, partitions: &[PartitionId]) {
        let partitions = self.fx.keep(partitions);
        let (id, producer_id, verify_only) = (ID, 0, false);
        let message =
            Message::AddPartitionsToTxn { id, producer_id, epoch, verify_only, partitions };
        self.send(NodeId::Broker(BrokerId(2)), message);
    }

    fn verify(&mut self, epoch: ProducerEpoch, partitions: &[PartitionId]) -> ErrorCode {
        let partitions = self.fx.keep(partitions);
        let (id, producer_id, verify_only) = (ID, 0, true);
        let message =
            Message::AddPartitionsToTxn { id, producer_id, epoch, verify_only, partitions };
        self.send(NodeId::Broker(BrokerId(2)), message);
        match self.answers.pop() {
            Some(Message::AddPartitionsToTxnResponse { error }) => error,
            other => panic!("{other:?}"),
        }
    }

    fn end(&mut self, epoch: i16, committed: bool, bumps: bool) {
        let (id, producer_id, epoch) = (ID, 0, ProducerEpoch(epoch));
        let message = Message::EndTxn { id, producer_id, epoch, committed, bumps };
        self.send(NodeId::Producer(0), message);
    }

    fn replicate(&mut self) {
        while !self.unreplicated.is_empty() {
            let append = self.unreplicated.remove(0);
            self.step(|c, step| c.committed(step, append.ticket, Ok(Offset(0))));
        }
    }

    fn fail_writes(&mut self, error: ErrorCode) {
        for append in std::mem::take(&mut self.unreplicated) {
            self.step(|c, step| c.committed(step, append.ticket, Err(error)));
        }
    }

    /// The leaders answer every request for markers.
    fn write_markers(&mut self, error: ErrorCode) {
        for (correlation, markers) in std::mem::take(&mut self.markers) {
            let row = |m: &TxnMarker| TxnMarkerResult {
                partition: m.partition,
                producer_id: m.producer_id,
                error,
            };
            let rows: Vec<TxnMarkerResult> = markers.iter().map(row).collect();
            let results = self.fx.keep(&rows);
            self.step(|c, step| c.markers_answered(step, correlation, results));
        }
    }

    fn due(&mut self, after_ms: u64) {
        self.now += Duration::from_millis(after_ms);
        self.step(TransactionCoordinator::markers_due);
    }

    fn timeout(&mut self, after_ms: u64, kind: TimerKind) {
        self.now += Duration::from_millis(after_ms);
        self.step(|c, step| c.timeout(step, kind));
    }

    fn now_is(&self) -> &TransactionSnapshot {
        self.coordinator.transaction(ID).expect("it coordinates the id")
    }

    fn last_init(&self) -> (ErrorCode, i64, i16) {
        match self.answers.last() {
            Some(Message::InitProducerIdResponse { error, producer_id, epoch }) => {
                (*error, *producer_id, epoch.0)
            }
            other => panic!("{other:?}"),
        }
    }

    fn last_end(&self) -> (ErrorCode, i64, i16) {
        match self.answers.last() {
            Some(Message::EndTxnResponse { error, producer_id, epoch }) => {
                (*error, *producer_id, epoch.0)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// An id in `state` with producer id 5 and epoch 3, the client of this version.
fn metadata(state: TransactionState, version: u8) -> TransactionMetadata {
    let mut metadata = TransactionMetadata::new(5, 60_000, 0);
    metadata.current.state = state;
    metadata.current.epoch = ProducerEpoch(3);
    metadata.current.client_version = version;
    metadata
}

fn decision(mut metadata: TransactionMetadata, version: u8, epoch: i16, committed: bool) -> String {
    let epoch = ProducerEpoch(epoch);
    let request = EndRequest { producer_id: 5, epoch, committed, from_client: true, version };
    match decide(&mut metadata, request, 0, || 99) {
        EndDecision::Answer(error, ..) => error.name().to_owned(),
        EndDecision::Prepare { to, .. } => format!("{} {}", to.state.name(), to.epoch),
    }
}

/// The table in Kafka's `TransactionCoordinator`: by state, what a repeated and a new request of either kind get.
#[test]
fn how_a_transaction_may_end_under_version_2() {
    let fenced = E::ProducerFenced.name();
    let busy = E::ConcurrentTransactions.name();
    let invalid = E::InvalidTxnState.name();
    let done = E::None.name();
    let abort = "PrepareAbort 4";
    // The state; then of the epoch before and of this one, abort and commit each.
    for (state, [old_abort, abort_now, old_commit, commit_now]) in [
        (S::Ongoing, [fenced, abort, fenced, "PrepareCommit 4"]),
        (S::Empty, [fenced, abort, fenced, invalid]),
        (S::PrepareAbort, [busy, fenced, invalid, fenced]),
        (S::PrepareCommit, [invalid, fenced, busy, fenced]),
        (S::CompleteAbort, [done, abort, invalid, invalid]),
        (S::CompleteCommit, [invalid, abort, done, invalid]),
    ] {
        for (epoch, committed, expected) in [
            (2, false, old_abort),
            (3, false, abort_now),
            (2, true, old_commit),
            (3, true, commit_now),
        ] {
            let got = decision(metadata(state, 2), 2, epoch, committed);
            assert_eq!(got, expected, "{state:?}, epoch {epoch}, committed {committed}");
        }
        assert_eq!(decision(metadata(state, 2), 2, 9, true), fenced, "{state:?}, a later epoch");
    }
}

/// Version 1 has no epoch to tell a late request by: what it asks for again is granted or refused by the state alone.
#[test]
fn how_a_transaction_may_end_under_version_1() {
    let busy = E::ConcurrentTransactions.name();
    let invalid = E::InvalidTxnState.name();
    let done = E::None.name();
    for (state, [abort, commit]) in [
        (S::Ongoing, ["PrepareAbort 3", "PrepareCommit 3"]),
        (S::Empty, [invalid, invalid]),
        (S::PrepareAbort, [busy, invalid]),
        (S::PrepareCommit, [invalid, busy]),
        (S::CompleteAbort, [done, invalid]),
        (S::CompleteCommit, [invalid, done]),
    ] {
        assert_eq!(decision(metadata(state, 0), 0, 3, false), abort, "{state:?}");
        assert_eq!(decision(metadata(state, 0), 0, 3, true), commit, "{state:?}");
        let fenced = E::ProducerFenced.name();
        assert_eq!(decision(metadata(state, 0), 0, 2, true), fenced, "{state:?}");
    }
}

#[test]
fn another_producer_id_is_not_of_this_transactional_id() {
    for version in [0, 2] {
        let mut metadata = metadata(S::Ongoing, version);
        let (epoch, committed, from_client) = (ProducerEpoch(3), true, true);
        let request = EndRequest { producer_id: 6, epoch, committed, from_client, version };
        let refused = decide(&mut metadata, request, 0, || 99);
        let error = E::InvalidProducerIdMapping;
        assert_eq!(refused, EndDecision::Answer(error, NO_PRODUCER_ID, ProducerEpoch(-1)));
    }
}

#[test]
fn a_commit_is_answered_when_it_is_decided_and_done_when_the_markers_are() {
    for (version, bumps, answer, marker_epoch) in
        [(2, true, (E::None, 0, 1), 1), (1, false, (E::None, -1, -1), 0)]
    {
        let mut rig = Rig::ongoing(version);
        rig.end(0, true, bumps);
        assert!(rig.answers.is_empty(), "the decision is not replicated");
        rig.replicate();
        assert_eq!(rig.last_end(), answer);
        let sent: Vec<_> = rig.markers.iter().flat_map(|(_, markers)| markers).collect();
        assert_eq!(sent.len(), 2);
        assert!(sent.iter().all(|m| m.epoch == ProducerEpoch(marker_epoch) && m.committed));
        assert_eq!(rig.now_is().state, S::PrepareCommit);
        rig.write_markers(E::None);
        rig.replicate();
        assert_eq!(rig.states, ["PrepareCommit", "CompleteCommit"]);
        assert!(rig.now_is().partitions.is_empty());
    }
}

#[test]
fn who_starts_with_an_id_ends_what_it_had_open_and_comes_again() {
    // Recorded (`5-fenced-commit`): the marker has epoch 1, the new producer epoch 2. Version 1 fences with 1 too.
    for version in [1, 2] {
        let mut rig = Rig::ongoing(version);
        rig.init();
        rig.replicate();
        assert_eq!(rig.last_init(), (E::ConcurrentTransactions, -1, -1));
        let (_, markers) = &rig.markers[0];
        assert_eq!((markers[0].epoch, markers[0].committed), (ProducerEpoch(1), false));
        rig.init();
        assert_eq!(rig.last_init(), (E::ConcurrentTransactions, -1, -1), "markers are on the way");
        rig.write_markers(E::None);
        rig.replicate();
        rig.init();
        rig.replicate();
        assert_eq!(rig.last_init(), (E::None, 0, 2));
        rig.end(0, true, version == 2);
        assert_eq!(rig.last_end().0, E::ProducerFenced, "the old one");
    }
}

/// Recorded (`5-crash-timeout`): the aborted producer aborts itself and goes on with the epoch of the marker.
#[test]
fn a_silent_producer_is_aborted_and_may_go_on_under_version_2() {
    let mut rig = Rig::ongoing(2);
    rig.timeout(59_000, TimerKind::TransactionAbort);
    assert!(rig.unreplicated.is_empty(), "not yet");
    rig.timeout(2_000, TimerKind::TransactionAbort);
    rig.replicate();
    rig.write_markers(E::None);
    rig.replicate();
    assert_eq!(rig.states, ["PrepareAbort", "CompleteAbort"]);
    rig.end(0, false, true);
    assert_eq!(rig.last_end(), (E::None, 0, 1));
    rig.end(0, true, true);
    assert_eq!(rig.last_end().0, E::InvalidTxnState, "it was not committed");
}

#[test]
fn the_next_coordinator_finishes_what_is_decided() {
    let mut rig = Rig::ongoing(2);
    rig.end(0, true, true);
    rig.replicate();
    rig.markers.clear();
    rig.coordinator = TransactionCoordinator::new(BrokerId(2), config(2));
    rig.elect(4);
    let (_, markers) = &rig.markers[0];
    assert_eq!(markers.len(), 2);
    assert!(markers.iter().all(|m| m.coordinator_epoch == 4 && m.committed));
    rig.write_markers(E::None);
    rig.replicate();
    assert_eq!(rig.now_is().state, S::CompleteCommit);
}

#[test]
fn markers_are_sent_again_unless_their_epoch_is_refused() {
    for (error, again, state) in [
        (E::NotLeaderOrFollower, true, S::PrepareAbort),
        (E::NotEnoughReplicas, true, S::PrepareAbort),
        (E::RequestTimedOut, true, S::PrepareAbort),
        (E::InvalidProducerEpoch, false, S::PrepareAbort),
        (E::TransactionCoordinatorFenced, false, S::PrepareAbort),
    ] {
        let mut rig = Rig::ongoing(2);
        rig.end(0, false, true);
        rig.replicate();
        rig.write_markers(error);
        rig.due(100);
        assert_eq!(!rig.markers.is_empty(), again, "{error:?}");
        rig.write_markers(E::None);
        assert_eq!(rig.now_is().state, state, "{error:?}: the completion is not written");
        rig.replicate();
        assert_eq!(rig.now_is().state == S::CompleteAbort, again, "{error:?}");
    }
}

#[test]
fn a_step_that_cannot_be_written_is_forgotten_and_the_client_comes_again() {
    for (append, told) in [
        (E::NotEnoughReplicas, E::CoordinatorNotAvailable),
        (E::NotLeaderOrFollower, E::NotCoordinator),
    ] {
        let mut rig = Rig::ongoing(2);
        rig.end(0, true, true);
        rig.fail_writes(append);
        assert_eq!(rig.last_end().0, told);
        assert_eq!(rig.now_is().state, S::Ongoing);
        rig.end(0, true, true);
        rig.replicate();
        assert_eq!(rig.last_end(), (E::None, 0, 1));
    }
}

#[test]
fn leaders_ask_whether_a_partition_is_in_the_transaction() {
    let mut rig = Rig::new(1);
    assert_eq!(rig.verify(EPOCH_0, &[P0]), E::InvalidProducerIdMapping);
    rig.init();
    rig.replicate();
    rig.add(EPOCH_0, &[P0]);
    rig.replicate();
    assert_eq!(rig.verify(EPOCH_0, &[P0]), E::None);
    assert_eq!(rig.verify(EPOCH_0, &[P1]), E::TransactionAbortable);
    assert_eq!(rig.verify(ProducerEpoch(1), &[P0]), E::ProducerFenced);
    rig.end(0, true, false);
    rig.replicate();
    assert_eq!(rig.verify(EPOCH_0, &[P0]), E::ConcurrentTransactions);
}

#[test]
fn a_producer_that_lost_its_answer_gets_the_same_epoch_again_and_a_zombie_none() {
    let mut rig = Rig::new(2);
    rig.init();
    rig.replicate();
    for (why, epoch, expected) in [
        ("it goes on after an error", 0, (E::None, 0, 1)),
        ("it did not get the answer", 0, (E::None, 0, 1)),
        ("it goes on again", 1, (E::None, 0, 2)),
        ("a zombie", 0, (E::ProducerFenced, -1, -1)),
    ] {
        rig.init_as(0, ProducerEpoch(epoch));
        rig.replicate();
        assert_eq!(rig.last_init(), expected, "{why}");
    }
}

#[test]
fn epochs_run_out_and_another_producer_id_goes_on() {
    let mut rig = Rig::new(2);
    rig.init();
    rig.replicate();
    let last = ProducerEpoch(i16::MAX - 1);
    rig.coordinator.ids.get_mut(&ID).unwrap().current.epoch = last;
    rig.add(last, &[P0]);
    rig.replicate();
    rig.end(last.0, true, true);
    rig.replicate();
    let (_, markers) = &rig.markers[0];
    assert_eq!((markers[0].producer_id, markers[0].epoch.0), (0, i16::MAX));
    rig.write_markers(E::None);
    rig.replicate();
    let now = rig.now_is();
    assert_eq!((now.producer_id, now.epoch, now.previous_producer_id), (2, EPOCH_0, 0));
    rig.end(last.0, true, true);
    assert_eq!(rig.last_end(), (E::None, 2, 0), "it asks again");
}

#[test]
fn unused_ids_are_forgotten() {
    let mut rig = Rig::new(2);
    rig.init();
    rig.replicate();
    let week = 604_800_000;
    rig.timeout(week - 1, TimerKind::TransactionalIdExpiration);
    assert!(rig.unreplicated.is_empty());
    rig.timeout(1, TimerKind::TransactionalIdExpiration);
    rig.replicate();
    assert_eq!(rig.coordinator.transaction(ID), None);
    rig.elect(1);
    assert_eq!(rig.coordinator.transaction(ID), None, "the next coordinator knows it too");
}

#[test]
fn timeouts_have_a_limit() {
    let mut rig = Rig::new(2);
    for (timeout_ms, error) in
        [(0, E::InvalidTransactionTimeout), (900_001, E::InvalidTransactionTimeout)]
    {
        let (transactional, producer_id, epoch) = (Some(ID), -1, ProducerEpoch(-1));
        let message = Message::InitProducerId { transactional, timeout_ms, producer_id, epoch };
        rig.send(NodeId::Producer(0), message);
        assert_eq!(rig.last_init().0, error, "{timeout_ms}");
    }
}
