//! The quorum of controllers, whole: failover, loss of the majority, zombies, and storms.

mod common;
#[path = "common/storm.rs"]
mod storm;
#[path = "common/watch.rs"]
mod watch;

use std::sync::Arc;

use highwater::base::config::Acks;
use highwater::base::ids::{BrokerId, NodeId, PartitionId};
use highwater::base::time::{Duration, Time};
use highwater::check::{Judge, JudgeSetup};
use highwater::event::{Event, EventKind, FaultKind};
use highwater::kafka::api::PartitionRegistration;
use highwater::kafka::controller::Controller;
use highwater::sim::schedule::{FaultClasses, run_until};
use highwater::sim::{Command, NodeState, Simulation};

use watch::Watch;

/// How many storms. A debug build stays fast; `cargo test --release --test quorum` tries the thousands.
const SEEDS: u64 = if cfg!(debug_assertions) { 40 } else { 2_000 };

fn start(seed: u64, controllers: u8) -> Simulation {
    Simulation::new(&Arc::new(storm::with_quorum(common::safe_spec(seed), controllers)))
}

fn go(simulation: &mut Simulation, millis: u64) {
    let until = simulation.now() + Duration::from_millis(millis);
    run_until(simulation, until, &mut |_| true);
}

fn fault(simulation: &mut Simulation, node: NodeId, kind: FaultKind) {
    simulation.apply(&Command::Fault { node, kind });
}

const fn ctl(n: u8) -> NodeId {
    NodeId::Controller(n)
}

const fn broker(n: u8) -> NodeId {
    NodeId::Broker(BrokerId(n))
}

fn active(simulation: &Simulation) -> Option<u8> {
    simulation.active_controller().map(Controller::number)
}

fn registration(simulation: &Simulation, n: u16) -> PartitionRegistration {
    *simulation.controller().registration(PartitionId(n))
}

fn acked(simulation: &Simulation) -> usize {
    let told = |event: &Event| match event.kind {
        EventKind::Acknowledged { batch, .. } => simulation.batches().messages(batch).count(),
        _ => 0,
    };
    simulation.trace().events().iter().map(told).sum()
}

fn first(simulation: &Simulation, wanted: impl Fn(&EventKind) -> bool) -> Option<Time> {
    simulation.trace().events().iter().find(|e| wanted(&e.kind)).map(|e| e.at)
}

#[test]
fn another_controller_takes_over_after_the_fetch_timeout_and_an_election() {
    for seed in 0..20 {
        let mut simulation = start(seed, 3);
        go(&mut simulation, 1_000);
        assert_eq!(active(&simulation), Some(1));
        fault(&mut simulation, ctl(1), FaultKind::Kill);
        let killed = simulation.now();
        go(&mut simulation, 6_000);
        let elected = first(&simulation, |k| matches!(k, EventKind::ControllerElected { .. }));
        // The longest fetch of the dead leader, 2 s of silence, at most some rounds of up to 2 s.
        let took = elected.expect("somebody is elected").since(killed).as_millis();
        assert!((1_500..5_000).contains(&took), "seed {seed}: {took} ms");
        assert!(active(&simulation).is_some_and(|n| n != 1), "seed {seed}");
        fault(&mut simulation, ctl(1), FaultKind::Start);
        go(&mut simulation, 5_000);
        let epoch = simulation.active_controller().and_then(Controller::active_epoch);
        assert!(simulation.controllers().iter().all(|c| Some(c.raft().election().epoch) == epoch));
        let ends = simulation.controllers().iter().map(|c| (c.raft().end(), c.committed_end()));
        let ends: Vec<_> = ends.collect();
        assert!(ends.iter().all(|(end, known)| end == known && *end == ends[0].0), "{ends:?}");
    }
}

#[test]
fn an_orderly_shutdown_hands_the_quorum_over_at_once() {
    let mut simulation = start(1, 3);
    go(&mut simulation, 1_000);
    fault(&mut simulation, ctl(1), FaultKind::Stop);
    go(&mut simulation, 200);
    assert!(active(&simulation).is_some_and(|n| n != 1));
    assert_eq!(simulation.node_state(ctl(1)), NodeState::Down);
}

#[test]
fn produce_goes_on_without_a_controller_and_a_dead_leader_waits_for_the_next_one() {
    let mut simulation = start(3, 3);
    go(&mut simulation, 1_000);
    let before = simulation.now();
    fault(&mut simulation, ctl(1), FaultKind::Kill);
    fault(&mut simulation, broker(1), FaultKind::Kill);
    for n in 0..40 {
        common::send(&mut simulation, 2 * n + 1);
        go(&mut simulation, 50);
    }
    // Partition 1 is led by broker 2; its follower b1 is still in the ISR.
    assert_eq!(active(&simulation), None, "two seconds are not enough");
    assert_eq!(registration(&simulation, 0).leader, Some(BrokerId(1)));
    go(&mut simulation, 20_000);
    let led = first(&simulation, |k| {
        matches!(
            k,
            EventKind::PartitionChanged {
                partition: PartitionId(0),
                leader: Some(BrokerId(2)),
                ..
            }
        )
    });
    let elected = first(&simulation, |k| matches!(k, EventKind::ControllerElected { .. }));
    let (led, elected) = (led.expect("led again"), elected.expect("elected"));
    // The new controller gives every broker, the dead one too, a whole session.
    let session = led.since(elected).as_millis();
    assert!((9_000..9_300).contains(&session), "{session} ms");
    assert!(led.since(before).as_millis() > 10_500);
    assert_eq!(acked(&simulation), 40);
}

#[test]
fn without_a_majority_nothing_is_decided_and_reads_and_writes_go_on() {
    let mut simulation = start(4, 3);
    go(&mut simulation, 1_000);
    fault(&mut simulation, ctl(1), FaultKind::Kill);
    fault(&mut simulation, ctl(2), FaultKind::Kill);
    let fixed = simulation.controller().committed_end();
    for n in 0..20 {
        common::send(&mut simulation, n);
        go(&mut simulation, 500);
    }
    assert_eq!(acked(&simulation), 20, "all ISR members answer");
    fault(&mut simulation, broker(3), FaultKind::Kill);
    go(&mut simulation, 60_000);
    common::send(&mut simulation, 21);
    go(&mut simulation, 10_000);
    let p0 = registration(&simulation, 0);
    assert_eq!(
        (p0.isr.len(), simulation.controller().unfenced().len()),
        (3, 3),
        "nobody is fenced"
    );
    assert_eq!(simulation.controller().committed_end(), fixed);
    assert_eq!(acked(&simulation), 20, "acks=all waits for the dead follower");
    fault(&mut simulation, ctl(2), FaultKind::Start);
    go(&mut simulation, 25_000);
    assert!(active(&simulation).is_some());
    assert_eq!(registration(&simulation, 0).isr.len(), 2);
    assert!(acked(&simulation) > 20);
}

#[test]
fn a_controller_cut_off_from_the_others_resigns_and_its_decisions_are_undone() {
    let mut simulation = start(5, 3);
    go(&mut simulation, 1_000);
    let others = vec![ctl(2), ctl(3)];
    simulation.apply(&Command::CutOff { left: vec![ctl(1)], right: others });
    // It still hears the brokers: a stop makes it write records nobody else will ever have.
    fault(&mut simulation, broker(1), FaultKind::Stop);
    go(&mut simulation, 1_500);
    assert_eq!(active(&simulation), Some(1), "a zombie");
    assert!(simulation.controllers()[0].raft().end() > simulation.controller().committed_end());
    assert_eq!(registration(&simulation, 0).leader, Some(BrokerId(1)), "nothing is decided");
    go(&mut simulation, 15_000);
    assert!(active(&simulation).is_some_and(|n| n != 1));
    assert_eq!(registration(&simulation, 0).leader, Some(BrokerId(2)), "the new one decides");
    assert_eq!(simulation.node_state(broker(1)), NodeState::Down);
    simulation.apply(&Command::HealNetwork);
    go(&mut simulation, 5_000);
    let cut = |k: &EventKind| matches!(k, EventKind::MetadataTruncated { .. });
    assert!(first(&simulation, cut).is_some());
    let ends: Vec<i64> = simulation.controllers().iter().map(|c| c.raft().end()).collect();
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
}

#[test]
fn a_voter_that_was_away_does_not_depose_the_leader() {
    let mut simulation = start(6, 3);
    go(&mut simulation, 1_000);
    let others = vec![ctl(1), ctl(2)];
    simulation.apply(&Command::CutOff { left: vec![ctl(3)], right: others });
    go(&mut simulation, 30_000);
    simulation.apply(&Command::HealNetwork);
    go(&mut simulation, 10_000);
    assert_eq!(active(&simulation), Some(1));
    assert!(first(&simulation, |k| matches!(k, EventKind::ControllerElected { .. })).is_none());
    assert_eq!(simulation.controllers()[2].raft().election().epoch, 1, "pre-votes raise no epoch");
}

#[test]
fn one_controller_alone_leads_again_as_soon_as_it_starts() {
    let mut simulation = start(7, 1);
    go(&mut simulation, 1_000);
    fault(&mut simulation, ctl(1), FaultKind::Kill);
    go(&mut simulation, 20_000);
    fault(&mut simulation, ctl(1), FaultKind::Start);
    go(&mut simulation, 10);
    assert_eq!(active(&simulation), Some(1));
    go(&mut simulation, 20_000);
    assert_eq!(simulation.controller().unfenced().len(), 3, "every broker came back in time");
}

/// Whatever two controllers both know to be committed is the same.
fn committed_logs_agree(simulation: &Simulation) -> Result<(), String> {
    let all = simulation.controllers();
    for (a, b) in all.iter().flat_map(|a| all.iter().map(move |b| (a, b))) {
        let both = a.committed_end().min(b.committed_end());
        let (a_log, b_log) = (a.raft().log(), b.raft().log());
        if let Some(at) = (0..both).find(|at| a_log.record(*at) != b_log.record(*at)) {
            return Err(format!("ctl{} and ctl{} differ at {at}", a.number(), b.number()));
        }
    }
    Ok(())
}

#[test]
fn storms_leave_one_leader_an_epoch_and_lose_no_committed_metadata() {
    let mut elections = 0;
    for seed in 0..SEEDS {
        let controllers = if seed % 4 == 3 { 5 } else { 3 };
        let spec = storm::with_quorum(common::safe_spec(seed), controllers);
        let setup = JudgeSetup { acks: vec![Acks::All], ..JudgeSetup::default() };
        let mut watch = Watch::new(Judge::new(Arc::clone(&spec.names), setup));
        let all = FaultClasses::SURVIVABLE;
        let classes = match seed % 2 {
            0 => all,
            _ => FaultClasses { brokers: false, clients: false, ..all },
        };
        let (simulation, schedule) = storm::storm(spec, classes, |s, _| {
            for n in watch.look(s) {
                let kind = s.trace().events()[n].kind;
                elections += u64::from(matches!(kind, EventKind::ControllerElected { .. }));
            }
            watch.broken.is_empty()
        });
        assert!(watch.broken.is_empty(), "seed {seed}: {:?}\n{schedule:?}", watch.broken);
        committed_logs_agree(&simulation).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let tally = watch.judge.counts(simulation.batches());
        assert!(tally.lost.is_empty(), "seed {seed}: lost {:?}\n{schedule:?}", tally.lost);
        assert!(active(&simulation).is_some(), "seed {seed}: no controller\n{schedule:?}");
        // An orderly shutdown that was under way when all healed is over now.
        if (1..=3).any(|n| simulation.node_state(broker(n)) == NodeState::Down) {
            continue;
        }
        for n in 0..3 {
            let p = registration(&simulation, n);
            assert_eq!((p.leader.is_some(), p.isr.len()), (true, 3), "seed {seed}\n{schedule:?}");
        }
    }
    assert!(elections > SEEDS / 5, "only {elections} elections");
}
