//! What transactions promise on the servers, through random crashes and network faults: what read_committed readers are
//! given is decided and committed; every transaction that is decided ends so in every partition; and once everything is
//! healed nothing stands in the way of a last stable offset.
//! `HIGHWATER_SEEDS=0..10000 cargo test --release --test transactions` tries as many.

#[expect(dead_code, reason = "applications send here, not a steady producer")]
mod common;
#[path = "common/seeds.rs"]
mod seeds;

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater::base::batch::{BatchKind, RecordBody, TransactionState};
use highwater::base::chooser::{ChoicePoint, Chooser};
use highwater::base::config::TopicConfig;
use highwater::base::error::Exception;
use highwater::base::ids::{
    BrokerId, KeyId, MessageId, NodeId, Offset, PartitionId, TopicId, TransactionalId,
};
use highwater::base::names::{Client, Partition, Topic};
use highwater::base::time::{Duration, Time};
use highwater::event::{EventKind, FaultKind, TransactionCall};
use highwater::kafka::log::UnifiedLog;
use highwater::kafka::producer::SendRequest;
use highwater::sim::schedule::{FaultClasses, Schedule, heal_all, run_until};
use highwater::sim::{Command, Simulation, WorldSpec};

const SEEDS: u64 = if cfg!(debug_assertions) { 40 } else { 2_000 };
const ACTS: usize = 12;
const DATA: [PartitionId; 2] = [PartitionId(0), PartitionId(1)];
const STATE: PartitionId = PartitionId(2);
/// Producers; the last two have the same transactional id and fence each other.
const IDS: [u16; 3] = [0, 1, 1];

fn cluster(seed: u64, version: u8) -> WorldSpec {
    let mut spec = common::safe_spec(seed);
    let names = Arc::make_mut(&mut spec.names);
    names.consumers.clear();
    names.groups.clear();
    names.group_partitions.clear();
    spec.consumers.clear();
    let replicas = names.partitions[2].replicas;
    names.topics[1] = Topic {
        name: "__transaction_state".to_owned(),
        partitions: vec![STATE],
        internal: true,
        partition_count: 1,
    };
    names.partitions[2] = Partition { topic: TopicId(1), index: 0, replicas };
    names.transactional_ids = vec!["t0".to_owned(), "t1".to_owned()];
    names.transaction_partitions = vec![STATE, STATE];
    let producer = |n: usize| Client { name: format!("p{n}"), group: None, rank: 0 };
    names.producers = (0..IDS.len()).map(producer).collect();
    let mut config = spec.producers[0].clone();
    config.transaction_timeout = Duration::from_secs(15);
    spec.producers = IDS
        .map(|id| {
            let mut config = config.clone();
            config.transactional_id = format!("t{id}");
            config
        })
        .to_vec();
    let cluster = Arc::make_mut(&mut spec.config);
    cluster.topics = vec![TopicConfig { min_insync_replicas: 2, ..TopicConfig::default() }; 2];
    cluster.brokers.transaction_abort_interval = Duration::from_secs(1);
    cluster.features.transaction_version = version;
    spec
}

/// The application of one producer: it begins, sends, and ends, one transaction after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doing {
    Starting,
    Ready,
    Inside(u32),
    Ending,
    Aborting,
}

struct Application {
    producer: u16,
    doing: Doing,
    /// Events looked at.
    seen: usize,
}

impl Application {
    fn new(producer: u16) -> Self {
        Self { producer, doing: Doing::Starting, seen: 0 }
    }

    fn node(&self) -> NodeId {
        NodeId::Producer(self.producer)
    }

    fn call(&self, simulation: &mut Simulation, call: TransactionCall) {
        simulation.apply(&Command::Transact { producer: self.producer, call, offsets: None });
    }

    /// What its last call threw since it looked.
    fn thrown(&mut self, simulation: &Simulation) -> Option<Exception> {
        let events = simulation.trace().events();
        let mut thrown = None;
        for event in events.iter().skip(self.seen).filter(|event| event.node == self.node()) {
            if let EventKind::TransactionCalled { exception, .. } = event.kind {
                thrown = exception;
            }
        }
        self.seen = events.len();
        thrown
    }

    /// A new process with the same settings.
    fn restart(&mut self, simulation: &mut Simulation) {
        for kind in [FaultKind::Kill, FaultKind::Start] {
            simulation.apply(&Command::Fault { node: self.node(), kind });
        }
        self.doing = Doing::Starting;
    }

    /// Goes on, if it does not stand in a call.
    fn act(&mut self, simulation: &mut Simulation, message: &mut u32, luck: &mut Chooser) {
        let machine = simulation.producer(self.producer);
        if machine.called() != machine.returned() {
            return;
        }
        let fresh = machine.called() == 0;
        let thrown = self.thrown(simulation);
        match (self.doing, thrown) {
            _ if fresh => {
                self.doing = Doing::Ready;
                self.call(simulation, TransactionCall::InitTransactions);
            }
            (Doing::Ending, Some(_)) => {
                self.doing = Doing::Aborting;
                self.call(simulation, TransactionCall::AbortTransaction);
            }
            (_, Some(_)) => self.restart(simulation),
            (Doing::Starting | Doing::Ready | Doing::Ending | Doing::Aborting, None) => {
                self.doing = Doing::Inside(luck.below(ChoicePoint::Workload, 4) as u32);
                self.call(simulation, TransactionCall::BeginTransaction);
            }
            (Doing::Inside(0), None) => {
                self.doing = Doing::Ending;
                let commit = luck.below(ChoicePoint::Workload, 3) > 0;
                let abort = TransactionCall::AbortTransaction;
                let call = if commit { TransactionCall::CommitTransaction } else { abort };
                self.call(simulation, call);
            }
            (Doing::Inside(left), None) => {
                let request = SendRequest {
                    message: MessageId(*message),
                    topic: TopicId(0),
                    partition: Some(DATA[luck.below(ChoicePoint::Workload, 2) as usize]),
                    key: KeyId::NONE,
                    bytes: 100,
                    shift: 0,
                    is_tombstone: false,
                };
                *message += 1;
                simulation.apply(&Command::Send { producer: self.producer, request });
                self.doing = Doing::Inside(left - 1);
            }
        }
    }
}

/// A schedule, with the applications at work, then everything heals and they end.
fn storm(seed: u64, version: u8, check: &mut impl FnMut(&Simulation)) -> Simulation {
    let spec = Arc::new(cluster(seed, version));
    let mut luck = Chooser::seeded(seed ^ 0x7a45);
    let schedule = Schedule::random(&spec, FaultClasses::SURVIVABLE, ACTS, &mut luck);
    let mut simulation = Simulation::new(&spec);
    let mut applications: Vec<Application> =
        (0..IDS.len()).map(|n| Application::new(n as u16)).collect();
    let mut message = 0;
    let mut look = |simulation: &Simulation| {
        check(simulation);
        true
    };
    let mut next = Time::ZERO + Duration::from_millis(500);
    for (n, (gap, _)) in schedule.acts.iter().enumerate() {
        let until = simulation.now() + *gap;
        while next < until {
            let at = next.max(simulation.now());
            run_until(&mut simulation, at, &mut look);
            for application in &mut applications {
                application.act(&mut simulation, &mut message, &mut luck);
            }
            next += Duration::from_millis(61);
        }
        run_until(&mut simulation, until, &mut look);
        schedule.act(n, &mut simulation);
    }
    for _ in 0..2 {
        heal_all(&mut simulation);
        let end = simulation.now() + Duration::from_secs(150);
        run_until(&mut simulation, end, &mut look);
    }
    simulation
}

/// The decisions: producer id and the epoch of the data, to commit or not.
fn decisions(simulation: &Simulation, version: u8) -> BTreeMap<(i64, i16), bool> {
    let mut decided = BTreeMap::new();
    for event in simulation.trace().events().iter() {
        let EventKind::TransactionChanged { state, producer_id, epoch, .. } = event.kind else {
            continue;
        };
        let committed = match state {
            TransactionState::PrepareCommit => true,
            TransactionState::PrepareAbort => false,
            _ => continue,
        };
        assert_eq!(version, 2, "only there an epoch is one transaction");
        decided.insert((producer_id, epoch.0 - 1), committed);
    }
    decided
}

/// The highest high watermark each replica ever had. A follower's may fall when it hears a new leader's.
type Reached = BTreeMap<(BrokerId, PartitionId), Offset>;

/// Below the last stable offset of a replica every transaction has its marker, and the marker was replicated.
fn stable_is_decided(
    simulation: &Simulation,
    broker: BrokerId,
    partition: PartitionId,
    reached: &Reached,
    seed: u64,
) {
    let machine = simulation.broker(broker);
    let (Some(replica), Some(log)) = (machine.replica(partition), machine.log(partition)) else {
        return;
    };
    let stable = replica.last_stable_offset();
    let high_watermark = reached.get(&(broker, partition)).copied().unwrap_or_default();
    let mut open: BTreeMap<i64, Offset> = BTreeMap::new();
    for (base, batch) in log.batches().take_while(|(base, _)| *base < high_watermark) {
        let batch = &simulation.batches()[batch];
        let Some(producer) = batch.producer else { continue };
        match batch.kind {
            BatchKind::Transactional => {
                open.entry(producer.id).or_insert(base);
            }
            BatchKind::Control => {
                open.remove(&producer.id);
            }
            BatchKind::Plain => {}
        }
    }
    let first = open.values().min().copied();
    assert!(
        first.is_none_or(|first| stable <= first),
        "seed {seed}, {broker}, {partition:?}: stable {stable}, but open from {first:?}"
    );
}

#[test]
fn transactions_end_as_decided_and_nothing_else_is_stable() {
    let mut ended = (0, 0);
    for seed in seeds::seeds(0..SEEDS) {
        let (mut seen, mut reached) = (0, Reached::new());
        let simulation = storm(seed, 2, &mut |simulation| {
            let events = simulation.trace().events();
            for event in events.iter().skip(seen) {
                let NodeId::Broker(broker) = event.node else { continue };
                match event.kind {
                    EventKind::HighWatermark { partition, offset } => {
                        let highest = reached.entry((broker, partition)).or_insert(offset);
                        *highest = offset.max(*highest);
                    }
                    EventKind::LastStableOffset { partition, .. } => {
                        stable_is_decided(simulation, broker, partition, &reached, seed);
                    }
                    _ => {}
                }
            }
            seen = events.len();
        });
        let decided = decisions(&simulation, 2);
        for partition in DATA {
            for broker in (1..=3).map(BrokerId) {
                let context = format!("seed {seed}, {broker}, {partition:?}");
                let (committed, aborted) =
                    ends_as_decided(&simulation, broker, partition, &decided, &context);
                ended = (ended.0 + committed, ended.1 + aborted);
            }
        }
        nothing_is_open(&simulation, seed);
    }
    assert!(ended.0 > 0 && ended.1 > 0, "some commit and some abort: {ended:?}");
}

/// Every record of a transaction is followed by a marker, the one that was decided. Returns how many of either.
fn ends_as_decided(
    simulation: &Simulation,
    broker: BrokerId,
    partition: PartitionId,
    decided: &BTreeMap<(i64, i16), bool>,
    context: &str,
) -> (u32, u32) {
    let log = simulation.broker(broker).log(partition).expect("everybody has a replica");
    let mut open: BTreeMap<i64, i16> = BTreeMap::new();
    let mut ended = (0, 0);
    for (base, handle) in log.batches() {
        let batch = &simulation.batches()[handle];
        let Some(producer) = batch.producer else { continue };
        match batch.kind {
            BatchKind::Plain => {}
            BatchKind::Transactional => {
                open.insert(producer.id, producer.epoch.0);
            }
            BatchKind::Control => {
                let body = simulation.batches().record(handle, 0).body;
                let RecordBody::EndTransactionMarker { committed, .. } = body else { continue };
                let key = (producer.id, producer.epoch.0 - 1);
                assert_eq!(decided.get(&key), Some(&committed), "{context}: marker at {base}");
                if let Some(epoch) = open.remove(&producer.id) {
                    assert_eq!(epoch, key.1, "{context}: the marker at {base} ends another one");
                }
                if committed { ended.0 += 1 } else { ended.1 += 1 }
            }
        }
    }
    assert!(open.is_empty(), "{context}: without an end {open:?}");
    ended
}

/// Everything healed: no transaction is on its way, and no last stable offset is behind.
fn nothing_is_open(simulation: &Simulation, seed: u64) {
    for broker in (1..=3).map(BrokerId) {
        for partition in DATA {
            let replica = simulation.broker(broker).replica(partition).expect("it runs");
            let end = simulation.broker(broker).log(partition).map(UnifiedLog::end);
            assert_eq!(Some(replica.high_watermark), end, "seed {seed}, {broker} {partition:?}");
            let stable = replica.last_stable_offset();
            assert_eq!(Some(stable), end, "seed {seed}, {broker} {partition:?}: stuck");
        }
        for id in (0..2).map(TransactionalId) {
            let known = simulation.broker(broker).transactions().transaction(id);
            let state = known.map(|transaction| transaction.state);
            let open = matches!(
                state,
                Some(
                    TransactionState::Ongoing
                        | TransactionState::PrepareAbort
                        | TransactionState::PrepareCommit
                )
            );
            assert!(!open, "seed {seed}, {broker}: {id:?} is {state:?}");
        }
    }
}
