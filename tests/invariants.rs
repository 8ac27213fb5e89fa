//! The invariants of replication, each with its preconditions, after every event of random runs of random clusters; and
//! each precondition is needed: without it the invariant breaks. `cargo test --release --test invariants` tries
//! 100,000 schedules.

mod common;
#[path = "common/seeds.rs"]
mod seeds;
#[path = "common/storm.rs"]
mod storm;
#[path = "common/watch.rs"]
mod watch;

use std::sync::Arc;

use highwater::base::chooser::{ChoicePoint, Chooser};
use highwater::base::config::{Acks, Defect};
use highwater::base::ids::{BrokerId, NodeId};
use highwater::base::time::{Duration, Time};
use highwater::check::verdict::Verdict;
use highwater::check::{FaultClass, Guarantee, Judge, JudgeSetup};
use highwater::event::FaultKind;
use highwater::sim::schedule::{FaultClasses, run_until};
use highwater::sim::{Command, Simulation, WorldSpec};

use watch::Watch;

/// What is checked. `registration` is "the leader is in the ISR", `high-watermark-moves` "the high watermark is valid",
/// `leader-epochs` "one leader per epoch".
const INVARIANTS: &[Guarantee] = &[
    Guarantee::WeakIsr,
    Guarantee::StrongIsr,
    Guarantee::IsrHoldsCommitted,
    Guarantee::Registration,
    Guarantee::HighWatermarkMoves,
    Guarantee::LogMatching,
    Guarantee::LeaderComplete,
    Guarantee::LeaderEpochs,
    Guarantee::AckedSurvives,
];

/// A random cluster without consumers: replication only.
fn cluster(seed: u64, unclean: bool) -> WorldSpec {
    let mut luck = Chooser::seeded(seed ^ 0xc105);
    let mut pick = |n| luck.below(ChoicePoint::Fault, n);
    let mut spec = common::safe_spec(seed);
    let names = Arc::make_mut(&mut spec.names);
    names.consumers.clear();
    spec.consumers.clear();
    let config = Arc::make_mut(&mut spec.config);
    let min_isr = 1 + pick(3) as u16;
    for topic in &mut config.topics {
        topic.min_insync_replicas = min_isr.into();
        topic.unclean_leader_election = unclean;
    }
    config.features.eligible_leader_replicas = pick(4) > 0;
    let producer = &mut spec.producers[0];
    producer.acks = [Acks::All, Acks::All, Acks::Leader, Acks::None][pick(4) as usize];
    producer.enable_idempotence = producer.acks == Acks::All && pick(2) == 0;
    spec
}

fn setup(spec: &WorldSpec, unclean: bool) -> JudgeSetup {
    JudgeSetup {
        acks: vec![spec.producers[0].acks],
        unclean_election: vec![unclean; spec.config.topics.len()],
        ..JudgeSetup::default()
    }
}

/// What the judge finds broken in one storm, up to the first event after which `enough` is.
fn broken_in(
    spec: WorldSpec,
    classes: FaultClasses,
    judge: Judge,
    mut enough: impl FnMut(&[(Guarantee, Verdict)]) -> bool,
) -> Vec<(Guarantee, String)> {
    let mut watch = Watch::new(judge);
    storm::storm(spec, classes, |simulation, _| {
        watch.look(simulation);
        !enough(&watch.broken)
    });
    let text = |v: Verdict| v.violation().map(|v| v.text.clone()).unwrap_or_default();
    watch.broken.into_iter().map(|(g, v)| (g, text(v))).collect()
}

/// One broken invariant is enough.
fn any(found: &[(Guarantee, Verdict)]) -> bool {
    !found.is_empty()
}

/// How many schedules each quarter of the test tries.
const SEEDS: u64 = if cfg!(debug_assertions) { 25 } else { 25_000 };

/// Every fault class now and then; the judge knows which invariant may be broken by which.
fn weather(seed: u64) -> (FaultClasses, bool) {
    let stormy = seed.is_multiple_of(3);
    let classes =
        FaultClasses { power: stormy, disks: stormy, clients: false, ..FaultClasses::SURVIVABLE };
    (classes, seed % 5 == 1)
}

fn hold_for(quarter: u64) {
    for seed in seeds::seeds(quarter * SEEDS..(quarter + 1) * SEEDS) {
        let (classes, unclean) = weather(seed);
        let spec = cluster(seed, unclean);
        let spec = if seed % 4 == 0 { storm::with_quorum(spec, 3) } else { spec };
        let judge = Judge::of(Arc::clone(&spec.names), setup(&spec, unclean), INVARIANTS);
        let broken = broken_in(spec, classes, judge, any);
        assert!(broken.is_empty(), "seed {seed}: {broken:?}");
    }
}

#[test]
fn they_hold_under_their_preconditions_first_quarter() {
    hold_for(0);
}

#[test]
fn they_hold_under_their_preconditions_second_quarter() {
    hold_for(1);
}

#[test]
fn they_hold_under_their_preconditions_third_quarter() {
    hold_for(2);
}

#[test]
fn they_hold_under_their_preconditions_fourth_quarter() {
    hold_for(3);
}

/// Seeds that showed something when this was written; they only save time.
const SHOWING: [u64; 7] = [6, 22, 243, 245, 349, 8, 254];

/// The invariants among `wanted` that no storm breaks in which only `class` is added to crashes and network faults.
fn never_broken(mut wanted: Vec<Guarantee>, class: FaultClass) -> Vec<Guarantee> {
    let unclean = class == FaultClass::UncleanElection;
    let classes = FaultClasses {
        power: class == FaultClass::PowerLoss,
        disks: class == FaultClass::DiskLoss,
        clients: false,

        ..FaultClasses::SURVIVABLE
    };
    for seed in SHOWING.into_iter().chain(0..2_000) {
        if wanted.is_empty() {
            break;
        }
        let spec = cluster(seed, unclean);
        let judge = Judge::of(Arc::clone(&spec.names), setup(&spec, unclean), &wanted);
        let all = |found: &[(Guarantee, Verdict)]| found.len() == wanted.len();
        let broken = broken_in(spec, classes, judge.regardless_of_preconditions(), all);
        wanted.retain(|guarantee| broken.iter().all(|(found, _)| found != guarantee));
    }
    wanted
}

#[test]
fn every_precondition_is_needed() {
    for class in [FaultClass::PowerLoss, FaultClass::DiskLoss, FaultClass::UncleanElection] {
        let mut needing: Vec<Guarantee> = INVARIANTS.to_vec();
        needing.retain(|g| !g.holds_under().contains(&class));
        if class == FaultClass::UncleanElection {
            // Storms break it once in a thousand; the story below shows how.
            needing.retain(|g| *g != Guarantee::WeakIsr);
        }
        let needless = never_broken(needing, class);
        assert!(needless.is_empty(), "never broken by {class:?}: {needless:?}");
    }
}

/// b3 is behind and dead, then b1 loses the controller but not b2; b2 dies. b3 returns and is elected uncleanly, b2
/// follows it and truncates what b1, still leader in its own eyes, counts as stored on both.
#[test]
fn an_unclean_election_breaks_what_a_zombie_leader_knows_of_its_own_isr() {
    let [b1, b2, b3] = [1, 2, 3].map(|n| NodeId::Broker(BrokerId(n)));
    let fault = |node, kind| Command::Fault { node, kind };
    let script = [
        (2, fault(b3, FaultKind::Kill)),
        (16, Command::CutOff { left: vec![b1], right: vec![NodeId::Controller(1)] }),
        (17, fault(b2, FaultKind::Kill)),
        (30, fault(b3, FaultKind::Start)),
        (40, fault(b2, FaultKind::Start)),
    ];
    for unclean in [true, false] {
        let mut spec = cluster(1, unclean);
        let config = Arc::make_mut(&mut spec.config);
        config.topics.iter_mut().for_each(|topic| topic.min_insync_replicas = 1);
        let spec = Arc::new(spec);
        let judge =
            Judge::of(Arc::clone(&spec.names), setup(&spec, unclean), &[Guarantee::WeakIsr]);
        let mut watch = Watch::new(judge.regardless_of_preconditions());
        let mut simulation = Simulation::new(&spec);
        for second in 0..60u64 {
            run_until(&mut simulation, Time::ZERO + Duration::from_secs(second), &mut |_| true);
            if second == 1 || second == 15 {
                common::send(&mut simulation, 2 * second as u32);
            }
            let due = script.iter().filter(|(at, _)| *at == second);
            due.for_each(|(_, command)| simulation.apply(command));
        }
        watch.look(&simulation);
        assert_eq!(watch.broken.len(), usize::from(unclean), "unclean: {unclean}");
    }
}

/// Some invariants hold under every fault class: they rest on rules of the protocol alone, and break without them.
#[test]
fn what_holds_under_every_fault_class_rests_on_a_rule() {
    for (guarantee, defect) in [
        (Guarantee::LogMatching, Defect::LeaderEpochKept),
        (Guarantee::Registration, Defect::ElectionIgnoresIsr),
        (Guarantee::LeaderEpochs, Defect::LeaderEpochKept),
    ] {
        let found = (0..300).any(|seed| {
            let spec = WorldSpec { defect, ..cluster(seed, false) };
            let judge = Judge::of(Arc::clone(&spec.names), setup(&spec, false), &[guarantee]);
            !broken_in(spec, FaultClasses::SURVIVABLE, judge, any).is_empty()
        });
        assert!(found, "{} does not notice {defect:?}", guarantee.name());
    }
}
