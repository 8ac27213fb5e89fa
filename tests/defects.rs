//! Who checks the checkers: each bug planted in a machine is found, by a guarantee that is there for it, within a
//! few storms; and the same storms without the bug break nothing.

mod common;
#[path = "common/pipeline.rs"]
#[expect(dead_code, reason = "only exactly-once pipelines run here")]
mod pipeline;
#[path = "common/storm.rs"]
mod storm;
#[path = "common/watch.rs"]
mod watch;

use std::sync::Arc;

use highwater::app::LoopStep;
use highwater::base::config::{Acks, Defect};
use highwater::base::ids::{BrokerId, NodeId};
use highwater::base::time::{Duration, Time};
use highwater::check::verdict::Verdict;
use highwater::check::{Guarantee, Judge, JudgeSetup};
use highwater::event::{Api, FaultKind};
use highwater::sim::schedule::{FaultClasses, run_until};
use highwater::sim::{Command, Simulation, WireAction, WireRule, WorldSpec};

use watch::Watch;

/// How many storms a planted bug may survive.
const SEEDS: u64 = 300;

/// One planted bug: what the cluster looks like, and which guarantees are there to find it.
struct Planted {
    defect: Defect,
    spec: fn(u64) -> WorldSpec,
    found_by: &'static [Guarantee],
}

const PLANTED: &[Planted] = &[
    Planted {
        defect: Defect::AckBeforeReplication,
        spec: common::safe_spec,
        found_by: &[Guarantee::AckedSurvives],
    },
    Planted {
        defect: Defect::HighWatermarkIsLeaderEnd,
        spec: common::safe_spec,
        found_by: &[Guarantee::IsrHoldsCommitted, Guarantee::LeaderComplete],
    },
    Planted {
        defect: Defect::ElectionIgnoresIsr,
        spec: common::safe_spec,
        found_by: &[Guarantee::Registration, Guarantee::LeaderComplete],
    },
    Planted {
        defect: Defect::NoTruncation,
        spec: common::safe_spec,
        found_by: &[Guarantee::LogMatching, Guarantee::IsrHoldsCommitted],
    },
    Planted {
        defect: Defect::NoDeduplication,
        spec: common::safe_spec,
        found_by: &[Guarantee::SequenceGapless],
    },
    Planted {
        defect: Defect::AutoCommitTakesCurrentBatch,
        spec: auto_commit,
        found_by: &[Guarantee::CommitWithinHanded],
    },
    Planted {
        defect: Defect::AssignmentOverlaps,
        spec: common::safe_spec,
        found_by: &[Guarantee::OneOwner],
    },
    Planted {
        defect: Defect::CommitNotReplicated,
        spec: common::safe_spec,
        found_by: &[Guarantee::CommittedKept],
    },
    Planted {
        defect: Defect::ReadsAboveHighWatermark,
        spec: common::safe_spec,
        found_by: &[Guarantee::ReadBelowHighWatermark],
    },
    Planted {
        defect: Defect::ExpiredMemberKept,
        spec: common::safe_spec,
        found_by: &[Guarantee::OneOwner, Guarantee::Unseen],
    },
    Planted {
        defect: Defect::RetryAckedUnwritten,
        spec: without_idempotence,
        found_by: &[Guarantee::AckWasStored, Guarantee::AckedSurvives],
    },
    Planted {
        defect: Defect::VotesForEveryone,
        spec: three_controllers,
        found_by: &[Guarantee::QuorumLeaders],
    },
    Planted {
        defect: Defect::VotesForShorterLog,
        spec: three_controllers,
        found_by: &[Guarantee::MetadataCommitted],
    },
    Planted {
        defect: Defect::CommitWithoutMajority,
        spec: three_controllers,
        found_by: &[Guarantee::MetadataCommitted],
    },
    Planted {
        defect: Defect::UncommittedMetadataServed,
        spec: three_controllers,
        found_by: &[Guarantee::MetadataCommitted],
    },
];

/// The safe cluster with a quorum of three.
fn three_controllers(seed: u64) -> WorldSpec {
    storm::with_quorum(common::safe_spec(seed), 3)
}

/// The safe cluster, but its consumers let `poll()` commit every 200 ms.
fn auto_commit(seed: u64) -> WorldSpec {
    let mut spec = common::safe_spec(seed);
    for consumer in &mut spec.consumers {
        consumer.config.enable_auto_commit = true;
        consumer.config.auto_commit_interval = Duration::from_millis(200);
        consumer.steps = vec![LoopStep::POLL, LoopStep::Work(Duration::from_millis(1))];
    }
    spec
}

/// The safe cluster, but its producer's retries may repeat.
fn without_idempotence(seed: u64) -> WorldSpec {
    let mut spec = common::safe_spec(seed);
    spec.producers[0].enable_idempotence = false;
    spec
}

/// The guarantees that a storm broke: invariants as soon as one is, else `at_end` when all is healed and quiet.
fn broken_by(spec: WorldSpec, at_end: &[Guarantee]) -> Vec<(Guarantee, String)> {
    let setup = JudgeSetup { acks: vec![Acks::All], ..JudgeSetup::default() };
    let mut watch = Watch::new(Judge::new(Arc::clone(&spec.names), setup));
    let (simulation, _) = storm::storm(spec, FaultClasses::SURVIVABLE, |simulation, _| {
        watch.look(simulation);
        watch.broken.is_empty()
    });
    let mut found = watch.broken;
    if found.is_empty() {
        found = watch.judge.verdicts(simulation.batches());
        found.retain(|(guarantee, _)| at_end.contains(guarantee));
    }
    let broken = found.into_iter().filter_map(|(guarantee, verdict)| {
        verdict.violation().map(|violation| (guarantee, violation.text.clone()))
    });
    broken.collect()
}

/// The seed of the first storm that shows the bug to a guarantee that is there for it.
fn first_seed(planted: &Planted) -> Option<u64> {
    (0..SEEDS).find(|seed| {
        let spec = WorldSpec { defect: planted.defect, ..(planted.spec)(*seed) };
        let broken = broken_by(spec, planted.found_by);
        broken.iter().any(|(guarantee, _)| planted.found_by.contains(guarantee))
    })
}

#[test]
fn every_planted_bug_is_found() {
    let alive = PLANTED.iter().filter(|planted| first_seed(planted).is_none());
    let alive: Vec<Defect> = alive.map(|planted| planted.defect).collect();
    assert!(alive.is_empty(), "{alive:?} lived through {SEEDS} storms");
}

/// Bugs in what transactions promise, each with the guarantee that is there for it: pipelines show them.
const PLANTED_IN_TRANSACTIONS: &[(Defect, Guarantee)] = &[
    (Defect::AbortedNotListed, Guarantee::AbortedRead),
    (Defect::ReadsAboveLastStable, Guarantee::PrecommittedRead),
    (Defect::MarkersDiffer, Guarantee::TornTransaction),
    (Defect::MarkerForgotten, Guarantee::StuckLso),
    (Defect::AbortedOffsetsCount, Guarantee::ExactlyOnce),
];

#[test]
fn every_bug_planted_in_transactions_is_found() {
    let found = |(defect, guarantee): &(Defect, Guarantee)| {
        let mut seeds = 0..40;
        seeds.any(|seed| {
            pipeline::run_with(pipeline::EXACTLY_ONCE, seed, *defect).breaks(*guarantee)
        })
    };
    let alive: Vec<_> = PLANTED_IN_TRANSACTIONS.iter().filter(|planted| !found(planted)).collect();
    assert!(alive.is_empty(), "{alive:?} lived through 40 storms");
    for seed in 0..4 {
        let came = pipeline::run(pipeline::EXACTLY_ONCE, seed);
        let broken = PLANTED_IN_TRANSACTIONS.iter().filter(|(_, g)| came.breaks(*g));
        assert_eq!(broken.count(), 0, "seed {seed}: without a bug nothing is found");
    }
}

/// b3 does not hear that the leadership went from b1 to b2 and back, and goes on fetching from b1 under epoch 0. Only
/// the fence keeps b1 from counting it. No storm is this well aimed.
fn deaf_follower(defect: Defect) -> Vec<(Guarantee, String)> {
    let spec = Arc::new(WorldSpec { defect, ..common::safe_spec(1) });
    let setup = JudgeSetup { acks: vec![Acks::All], ..JudgeSetup::default() };
    let mut watch = Watch::new(Judge::new(Arc::clone(&spec.names), setup));
    let mut simulation = Simulation::new(&spec);
    let [b1, b2, b3] = [1, 2, 3].map(|n| NodeId::Broker(BrokerId(n)));
    let fault = |node, kind| Command::Fault { node, kind };
    let deafen = Command::AddRule {
        name: 0,
        rule: WireRule {
            api: Some(Api::MetadataFetch),
            response: Some(true),
            from: None,
            to: Some(b3),
            partition: None,
            message: None,
            skip: 0,
            times: u32::MAX,
            action: WireAction::Hold,
        },
    };
    let script = [
        (2, deafen),
        (1, fault(b1, FaultKind::Kill)),
        (10, fault(b1, FaultKind::Start)),
        (7, fault(b2, FaultKind::Kill)),
    ];
    for second in 0..45u64 {
        let now = Time::ZERO + Duration::from_secs(second);
        run_until(&mut simulation, now, &mut |_| true);
        common::send(&mut simulation, 2 * second as u32);
        let mut due = 0;
        for (gap, command) in &script {
            due += gap;
            if due == second {
                simulation.apply(command);
            }
        }
    }
    watch.look(&simulation);
    let text = |(g, v): (Guarantee, Verdict)| v.violation().map(|v| (g, v.text.clone()));
    watch.broken.into_iter().filter_map(text).collect()
}

#[test]
fn a_follower_that_is_fenced_for_its_old_epoch_is_not_counted() {
    assert_eq!(deaf_follower(Defect::None), []);
    let broken = deaf_follower(Defect::NoEpochFencing);
    let found = broken.iter().any(|(g, _)| *g == Guarantee::IsrHoldsCommitted);
    assert!(found, "{broken:?}");
}

#[test]
fn without_a_bug_nothing_is_found() {
    let at_end = [Guarantee::Unseen, Guarantee::LostWrite];
    for spec in [common::safe_spec, auto_commit, without_idempotence, three_controllers] {
        for seed in 0..6 {
            assert_eq!(broken_by(spec(seed), &at_end), [], "seed {seed}");
        }
    }
}
