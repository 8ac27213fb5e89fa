//! What a correctly configured cluster promises (RF 3, `min.insync.replicas=2`, `acks=all`, idempotence, commits after
//! the work) under process crashes and network faults: no invariant breaks at any event, nothing acknowledged is lost,
//! doubled or reordered, nothing is skipped, and after healing everything settles.

mod common;
#[path = "common/seeds.rs"]
mod seeds;
#[path = "common/watch.rs"]
mod watch;

use std::sync::Arc;

use highwater::base::chooser::Chooser;
use highwater::base::config::Acks;
use highwater::base::ids::{BrokerId, NodeId};
use highwater::base::time::{Duration, Time};
use highwater::check::{Guarantee, Judge, JudgeSetup};
use highwater::event::{Api, EventKind, FaultKind, WireLabel};
use highwater::sim::schedule::{Act, FaultClasses, Schedule, heal_all, run_until};
use highwater::sim::{Command, Simulation};

use watch::Watch;

/// One cluster through one schedule: sends all the while, heals, settles.
fn live_through(seed: u64) -> (Simulation, Watch, Schedule) {
    let spec = Arc::new(common::safe_spec(seed));
    let mut luck = Chooser::seeded(seed ^ 0x5eed);
    let schedule = Schedule::random(&spec, FaultClasses::SURVIVABLE, 12, &mut luck);
    let mut simulation = Simulation::new(&spec);
    let setup = JudgeSetup { acks: vec![Acks::All], ..JudgeSetup::default() };
    let mut watch = Watch::new(Judge::new(Arc::clone(&spec.names), setup));
    let mut observe = |s: &Simulation| {
        watch.look(s);
        let (now, broken) = (s.now(), &watch.broken);
        assert!(broken.is_empty(), "seed {seed}, {now}: {broken:?}\n{schedule:?}");
        true
    };
    // Both partitions get producer state first: on a partition without it Kafka takes any first sequence, so a lost
    // first request may be overtaken (recording `4-error-mif5-idem-fresh`). That is Kafka, not a broken promise.
    let (mut message, mut next_send) = (4, Time::ZERO + Duration::from_secs(3));
    run_until(&mut simulation, Time::ZERO + Duration::from_secs(1), &mut |_| true);
    (0..message).for_each(|n| common::send(&mut simulation, n));
    run_until(&mut simulation, Time::ZERO + Duration::from_secs(2), &mut |_| true);
    for (n, (gap, _)) in schedule.acts.iter().enumerate() {
        let until = simulation.now() + *gap;
        while next_send < until && message < 200 {
            let at = next_send.max(simulation.now());
            run_until(&mut simulation, at, &mut observe);
            common::send(&mut simulation, message);
            message += 1;
            next_send += Duration::from_millis(97);
        }
        run_until(&mut simulation, until, &mut observe);
        schedule.act(n, &mut simulation);
    }
    // Again and again: a broker that is still shutting down when everything is healed must be started once it is gone.
    for patience in [20, 80, 300] {
        heal_all(&mut simulation);
        let end = simulation.now() + Duration::from_secs(patience);
        run_until(&mut simulation, end, &mut observe);
    }
    (simulation, watch, schedule)
}

/// An optimised build is ten times as fast; `cargo test --release --test survival` tries the thousands.
const SEEDS: u64 = if cfg!(debug_assertions) { 60 } else { 4_000 };

#[test]
fn a_safe_cluster_keeps_every_promise_under_crashes_and_network_faults() {
    let mut exercised = 0;
    let seeds = seeds::seeds(0..SEEDS);
    let runs = seeds.end - seeds.start;
    for seed in seeds {
        let (simulation, watch, schedule) = live_through(seed);
        let batches = simulation.batches();
        let tally = watch.judge.counts(batches);
        assert!(tally.lost.is_empty(), "seed {seed}: lost {:?}\n{schedule:?}", tally.lost);
        // Order is promised to one producer session: what a dead process left in the network may arrive after what
        // its successor sent.
        let one_session = !schedule
            .acts
            .iter()
            .any(|(_, act)| matches!(act, Act::Fault(NodeId::Producer(_), FaultKind::Kill)));
        for (guarantee, verdict) in watch.judge.verdicts(batches) {
            let promised = match guarantee {
                Guarantee::LostWrite
                | Guarantee::DuplicateAppend
                | Guarantee::CommitPastUnprocessed
                | Guarantee::Unseen => true,
                Guarantee::ReorderedSend => one_session,
                _ => false,
            };
            let broken = verdict.violation().is_some();
            assert!(!(promised && broken), "seed {seed}: {verdict:?}\n{schedule:?}");
        }
        exercised += u64::from(tally.acked > 0);
    }
    assert!(exercised > runs * 3 / 4, "only {exercised} of {runs} runs acknowledged anything");
}

/// `AbstractCoordinator.ensureCoordinatorReady`: as long as everybody names a dead broker, the consumer waits between
/// its questions, longer each time.
#[test]
fn who_looks_for_a_dead_coordinator_waits_between_questions() {
    let mut simulation = Simulation::new(&Arc::new(common::safe_spec(7)));
    run_until(&mut simulation, Time::ZERO + Duration::from_secs(5), &mut |_| true);
    // `__consumer_offsets` is led by b3; its session lasts nine more seconds.
    let node = NodeId::Broker(BrokerId(3));
    simulation.apply(&Command::Fault { node, kind: FaultKind::Kill });
    run_until(&mut simulation, Time::ZERO + Duration::from_secs(10), &mut |_| true);
    let asked = simulation.trace().events().iter().filter(|event| {
        let asks = |label: &WireLabel| label.api == Api::FindCoordinator && !label.response;
        event.at > Time::ZERO + Duration::from_secs(5)
            && event.node == NodeId::Consumer(0)
            && matches!(&event.kind, EventKind::WireSent { label, .. } if asks(label))
    });
    let asked = asked.count();
    assert!((4..=30).contains(&asked), "{asked} questions in five seconds");
}
