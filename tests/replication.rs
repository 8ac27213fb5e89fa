//! Whole clusters under random process crashes and network faults: with `acks=all`, idempotence,
//! `min.insync.replicas=2` and no unclean election nothing acknowledged is lost or stored twice, and after healing
//! all replicas are equal.

#[path = "common/seeds.rs"]
mod seeds;

use std::sync::Arc;

use highwater::base::broker_set::ReplicaList;
use highwater::base::chooser::Chooser;
use highwater::base::config::{ClusterConfig, Defect, ProducerConfig, TopicConfig};
use highwater::base::ids::{BatchHandle, BrokerId, KeyId, MessageId, Offset, PartitionId, TopicId};
use highwater::base::names::{Client, Names, Partition, Topic};
use highwater::base::time::{Duration, Time};
use highwater::event::EventKind;
use highwater::kafka::producer::SendRequest;
use highwater::sim::schedule::{FaultClasses, Schedule, heal_all, run_until};
use highwater::sim::{Command, NetworkConfig, Simulation, Sink, WorldSpec};

const P0: PartitionId = PartitionId(0);
const MESSAGES: u32 = 40;

/// An optimised build is ten times as fast.
const SEEDS: u64 = if cfg!(debug_assertions) { 150 } else { 3_000 };

fn spec(seed: u64, defect: Defect) -> Arc<WorldSpec> {
    let ids: Vec<BrokerId> = (1..=3).map(BrokerId).collect();
    let names = Names {
        controllers: 1,
        brokers: 3,
        topics: vec![Topic {
            name: "orders".to_owned(),
            partitions: vec![P0],
            internal: false,
            partition_count: 1,
        }],
        partitions: vec![Partition {
            topic: TopicId(0),
            index: 0,
            replicas: ReplicaList::new(&ids),
        }],
        producers: vec![Client { name: "checkout".to_owned(), group: None, rank: 0 }],
        ..Names::default()
    };
    let topic = TopicConfig { min_insync_replicas: 2, ..TopicConfig::default() };
    Arc::new(WorldSpec {
        names: Arc::new(names),
        config: Arc::new(ClusterConfig { topics: vec![topic], ..ClusterConfig::default() }),
        producers: vec![ProducerConfig::default()],
        by_script: Vec::new(),
        consumers: Vec::new(),
        network: NetworkConfig::default(),
        seed,
        sink: Sink::Recording,
        defect,
    })
}

fn send(simulation: &mut Simulation, message: u32) {
    let (message, topic, key) = (MessageId(message), TopicId(0), KeyId::NONE);
    let request = SendRequest {
        message,
        topic,
        partition: Some(P0),
        key,
        bytes: 100,
        shift: 0,
        is_tombstone: false,
    };
    simulation.apply(&Command::Send { producer: 0, request });
}

/// Sends between the acts of a random schedule, heals everything and lets it settle.
fn run(seed: u64, defect: Defect) -> Simulation {
    let spec = spec(seed, defect);
    let mut luck = Chooser::seeded(seed);
    let classes = FaultClasses { clients: false, ..FaultClasses::SURVIVABLE };
    let schedule = Schedule::random(&spec, classes, MESSAGES as usize, &mut luck);
    let mut simulation = Simulation::new(&spec);
    // The partition gets producer state first: without it Kafka takes any first sequence, so a lost first request may
    // be overtaken, and the epoch that its retry asks for stores the overtaker twice.
    send(&mut simulation, 0);
    run_until(&mut simulation, Time::ZERO + Duration::from_secs(1), &mut |_| true);
    for (n, (gap, _)) in schedule.acts.iter().enumerate() {
        send(&mut simulation, n as u32 + 1);
        let until = simulation.now() + *gap;
        run_until(&mut simulation, until, &mut |_| true);
        schedule.act(n, &mut simulation);
    }
    // Again and again: a broker that is still shutting down when everything is healed must be started once it is gone.
    for seconds in [20, 80, 300] {
        heal_all(&mut simulation);
        let until = simulation.now() + Duration::from_secs(seconds);
        run_until(&mut simulation, until, &mut |_| true);
    }
    simulation
}

fn log(simulation: &Simulation, broker: u8) -> Vec<(Offset, BatchHandle)> {
    let log = simulation.broker(BrokerId(broker)).log(P0).expect("every broker has a replica");
    log.batches().collect()
}

/// What is wrong at the end, if anything.
fn fault(simulation: &Simulation) -> Option<String> {
    let registration = simulation.controller().registration(P0);
    if registration.isr.len() != 3 {
        return Some(format!("the ISR is {}", registration.isr));
    }
    let leader = registration.leader.expect("a partition with an ISR has a leader");
    let kept = log(simulation, leader.0);
    for broker in 1..=3 {
        if log(simulation, broker) != kept {
            return Some(format!("b{broker} differs from its leader {leader}"));
        }
        let broker = simulation.broker(BrokerId(broker));
        let (replica, log) = (broker.replica(P0)?, broker.log(P0)?);
        if replica.high_watermark != log.end() {
            return Some(format!("a high watermark stands at {}", replica.high_watermark));
        }
    }
    let messages = |batch| simulation.batches().messages(batch).collect::<Vec<_>>();
    let stored: Vec<MessageId> = kept.iter().flat_map(|(_, batch)| messages(*batch)).collect();
    let times = |id: &MessageId| stored.iter().filter(|other| *other == id).count();
    for event in simulation.trace().events().iter() {
        if let EventKind::Acknowledged { batch, .. } = event.kind {
            for id in messages(batch) {
                if times(&id) != 1 {
                    return Some(format!(
                        "{id} was acknowledged and is stored {} times",
                        times(&id)
                    ));
                }
            }
        }
    }
    None
}

/// The last events, to see what went before a failure.
fn tail(simulation: &Simulation) -> String {
    let lines = simulation.trace().events().iter().rev().filter(|event| !event.kind.is_wire());
    let mut lines: Vec<String> =
        lines.take(60).map(|e| format!("\n{} {:?} {:?}", e.at, e.node, e.kind)).collect();
    lines.reverse();
    lines.concat()
}

#[test]
fn random_crashes_and_network_faults_lose_and_repeat_nothing_acknowledged() {
    let mut acknowledged = 0;
    let mut elections = 0;
    let seeds = seeds::seeds(0..SEEDS);
    let runs = (seeds.end - seeds.start) as usize;
    for seed in seeds {
        let simulation = run(seed, Defect::None);
        if let Some(fault) = fault(&simulation) {
            panic!("seed {seed}: {fault}{}", tail(&simulation));
        }
        for event in simulation.trace().events().iter() {
            acknowledged += usize::from(matches!(event.kind, EventKind::Acknowledged { .. }));
            elections += usize::from(matches!(event.kind, EventKind::BecameLeader { .. }));
        }
    }
    assert!(
        acknowledged > 7 * runs && elections > runs / 2,
        "{acknowledged} acknowledged, {elections} elections in {runs} runs: too quiet"
    );
}

#[test]
fn planted_defects_of_replication_are_found() {
    for defect in [
        Defect::AckBeforeReplication,
        Defect::HighWatermarkIsLeaderEnd,
        Defect::ElectionIgnoresIsr,
        Defect::NoTruncation,
        Defect::NoDeduplication,
    ] {
        let found = (0..400).find(|seed| fault(&run(*seed, defect)).is_some());
        assert!(found.is_some(), "{defect:?} went unnoticed");
    }
}
