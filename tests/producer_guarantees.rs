//! What a producer's settings promise within one session, on partitions that know it (RF 3, `min.insync.replicas=2`,
//! `acks=all`), under crashes of brokers and controllers, pauses of everybody, partitions, lost and late messages: no
//! second copy and no other order, *if and only if* the settings are safe. Each promise that a setting gives up is
//! broken by some storm.

mod common;
#[path = "common/seeds.rs"]
mod seeds;

use std::sync::Arc;

use highwater::base::chooser::Chooser;
use highwater::base::config::Acks;
use highwater::base::ids::{EventSeq, NodeId};
use highwater::base::time::{Duration, Time};
use highwater::check::{Guarantee, Judge, JudgeSetup};
use highwater::event::FaultKind;
use highwater::sim::schedule::{Act, FaultClasses, Schedule, heal_all, run_until};
use highwater::sim::{Simulation, WorldSpec};

/// Settings that decide about copies and order, and what they allow.
#[derive(Clone, Copy, Debug)]
struct Safety {
    idempotence: bool,
    retries: u32,
    in_flight: u32,
    /// A message may be stored twice; messages may be stored in another order.
    allows: (bool, bool),
    /// Seeds that showed something when this was written; they only save time.
    showing: &'static [u64],
}

const MANY: u32 = i32::MAX as u32;
const SAFETIES: [Safety; 5] = [
    Safety { idempotence: true, retries: MANY, in_flight: 5, allows: (false, false), showing: &[] },
    Safety { idempotence: true, retries: MANY, in_flight: 1, allows: (false, false), showing: &[] },
    Safety {
        idempotence: false,
        retries: MANY,
        in_flight: 5,
        allows: (true, true),
        showing: &[1, 5],
    },
    Safety {
        idempotence: false,
        retries: MANY,
        in_flight: 1,
        allows: (true, false),
        showing: &[0],
    },
    // What was lost with its connection may still arrive, after what was sent over the next one.
    Safety { idempotence: false, retries: 0, in_flight: 5, allows: (false, true), showing: &[104] },
];

fn spec(seed: u64, safety: Safety) -> WorldSpec {
    let mut spec = common::safe_spec(seed);
    Arc::make_mut(&mut spec.names).consumers.clear();
    spec.consumers.clear();
    let producer = &mut spec.producers[0];
    producer.linger = Duration::ZERO;
    producer.enable_idempotence = safety.idempotence;
    producer.retries = safety.retries;
    producer.max_in_flight = safety.in_flight;
    spec
}

/// A schedule of faults in which the producer's process is paused and never dies: one session.
fn one_session(spec: &WorldSpec, luck: &mut Chooser) -> Schedule {
    let mut schedule = Schedule::random(spec, FaultClasses::SURVIVABLE, 12, luck);
    for (_, act) in &mut schedule.acts {
        if let Act::Fault(NodeId::Producer(_), kind @ FaultKind::Kill) = act {
            *kind = FaultKind::Freeze;
        }
    }
    schedule
}

/// One storm: how many messages are stored twice, how many in another order, and what the schedule was.
fn storm(seed: u64, safety: Safety) -> (usize, usize, Schedule) {
    let spec = Arc::new(spec(seed, safety));
    let mut luck = Chooser::seeded(seed ^ 0x1de4);
    let schedule = one_session(&spec, &mut luck);
    let mut simulation = Simulation::new(&spec);
    let run = |simulation: &mut Simulation, until| run_until(simulation, until, &mut |_| true);
    // Both partitions know the producer before anything goes wrong (recording 4-error-mif5-idem-fresh says why).
    run(&mut simulation, Time::ZERO + Duration::from_secs(1));
    (0..2).for_each(|n| common::send(&mut simulation, n));
    run(&mut simulation, Time::ZERO + Duration::from_secs(2));
    let (mut message, mut next_send) = (2, Time::ZERO + Duration::from_secs(2));
    for (n, (gap, _)) in schedule.acts.iter().enumerate() {
        let until = simulation.now() + *gap;
        while next_send < until && message < 200 {
            let at = next_send.max(simulation.now());
            run(&mut simulation, at);
            common::send(&mut simulation, message);
            message += 1;
            // Six at once, a millisecond apart, so that several requests are in flight; then a pause.
            let pause = if message % 6 == 0 { 400 } else { 1 };
            next_send += Duration::from_millis(pause);
        }
        run(&mut simulation, until);
        schedule.act(n, &mut simulation);
    }
    for patience in [20, 80, 300] {
        heal_all(&mut simulation);
        let end = simulation.now() + Duration::from_secs(patience);
        run(&mut simulation, end);
    }
    let setup = JudgeSetup { acks: vec![Acks::All], ..JudgeSetup::default() };
    let guarantees = [Guarantee::DuplicateAppend, Guarantee::ReorderedSend];
    let mut judge = Judge::of(Arc::clone(&spec.names), setup, &guarantees);
    for (n, event) in simulation.trace().events().iter().enumerate() {
        judge.observe(EventSeq(n as u32), event, simulation.batches());
    }
    let tally = judge.counts(simulation.batches());
    (tally.duplicated.len(), tally.reordered.len(), schedule)
}

/// An optimised build is ten times as fast; `cargo test --release --test producer_guarantees` tries 10,000 of each.
const SEEDS: u64 = if cfg!(debug_assertions) { 12 } else { 10_000 };

fn hold(safety: Safety) {
    for seed in seeds::seeds(0..SEEDS) {
        let (duplicated, reordered, schedule) = storm(seed, safety);
        let (may_repeat, may_reorder) = safety.allows;
        assert!(
            (may_repeat || duplicated == 0) && (may_reorder || reordered == 0),
            "seed {seed}, {safety:?}: {duplicated} stored twice, {reordered} reordered\n{schedule:?}"
        );
    }
}

#[test]
fn an_idempotent_producer_neither_repeats_nor_reorders() {
    hold(SAFETIES[0]);
}

#[test]
fn nor_does_it_with_one_request_in_flight() {
    hold(SAFETIES[1]);
}

#[test]
fn one_request_in_flight_keeps_the_order_without_idempotence() {
    hold(SAFETIES[3]);
}

#[test]
fn without_retries_nothing_is_stored_twice() {
    hold(SAFETIES[4]);
}

/// Whatever a setting gives up is broken by some storm: the promise rests on that setting and nothing else.
#[test]
fn every_promise_given_up_is_broken_by_some_storm() {
    for safety in SAFETIES {
        let (mut repeat, mut reorder) = safety.allows;
        for seed in safety.showing.iter().copied().chain(0..400) {
            if !repeat && !reorder {
                break;
            }
            let (duplicated, reordered, _) = storm(seed, safety);
            repeat &= duplicated == 0;
            reorder &= reordered == 0;
        }
        assert!(!repeat && !reorder, "{safety:?}: repeat {repeat}, reorder {reorder} never seen");
    }
}
