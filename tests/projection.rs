//! The view folded from events equals what the machines hold, at every step: in storms of every fault class, and in
//! every variant of every built-in scenario. A screen that shows the view shows the cluster.

mod common;
#[path = "common/storm.rs"]
mod storm;

use std::sync::Arc;

use highwater::base::ids::{BrokerId, EventSeq, NodeId, Offset, PartitionId};
use highwater::kafka::controller::Controller;
use highwater::scenario::{Limits, Outcome, Progress, Run, builtins, load};
use highwater::sim::schedule::FaultClasses;
use highwater::sim::{NodeState, Simulation};
use highwater::view::cluster::{ClusterView, ProcessState};

/// The view of one simulation, kept up with its trace.
struct Projection {
    view: ClusterView,
    seen: usize,
    steps: usize,
}

impl Projection {
    fn new(simulation: &Simulation) -> Self {
        Self { view: ClusterView::new(Arc::clone(simulation.names())), seen: 0, steps: 0 }
    }

    /// Folds what is new and compares. Whole logs are compared now and then, their ends always.
    fn look(&mut self, simulation: &Simulation) {
        let events = simulation.trace().events();
        if events.len() == self.seen {
            return;
        }
        for n in self.seen..events.len() {
            self.view.apply(EventSeq(n as u32), &events[n], simulation.batches());
        }
        self.seen = events.len();
        self.steps += 1;
        self.compare(simulation, self.steps.is_multiple_of(64));
    }

    fn compare(&self, simulation: &Simulation, whole: bool) {
        for n in 0..self.view.partitions.len() {
            let id = PartitionId(n as u16);
            self.compare_registration(simulation, id);
            for broker in simulation.names().broker_ids() {
                self.compare_replica(simulation, id, broker, whole);
            }
        }
        self.compare_consumers(simulation);
        self.compare_quorum(simulation);
        for broker in simulation.names().broker_ids() {
            let state = simulation.node_state(NodeId::Broker(broker));
            let shown = self.view.brokers[broker.index()].process;
            assert_eq!(state == NodeState::Down, shown == ProcessState::Down, "{broker}");
            let frozen = matches!(shown, ProcessState::Frozen { .. });
            assert_eq!(state == NodeState::Frozen, frozen, "{broker}");
        }
    }

    fn compare_quorum(&self, simulation: &Simulation) {
        let at = simulation.now();
        for controller in simulation.controllers() {
            let shown = &self.view.quorum.controllers[usize::from(controller.number())];
            if self.view.events == 0 || controller.raft().end() == 0 || shown.end == Offset(0) {
                continue;
            }
            let what = format!("ctl{} at {at}", controller.number());
            assert_eq!(shown.end.0, controller.raft().end(), "end of the metadata log: {what}");
            assert_eq!(shown.high_watermark.0, controller.committed_end(), "committed: {what}");
            assert_eq!(shown.leads.is_some(), controller.raft().is_leader(), "leads: {what}");
        }
        let active = simulation.active_controller().map(Controller::number);
        if active.is_some() {
            assert_eq!(self.view.quorum.active(), active, "active controller at {at}");
        }
    }

    fn compare_registration(&self, simulation: &Simulation, id: PartitionId) {
        let shown = self.view.partition(id);
        let at = simulation.now();
        let Some(real) = simulation.controller().registrations().get(id.index()) else {
            // An administrator will create it; its name is known beforehand.
            assert_eq!(shown.leader, None, "leader of {id:?} at {at}");
            return;
        };
        assert_eq!(shown.leader, real.leader, "leader of {id:?} at {at}");
        assert_eq!(shown.leader_epoch, real.leader_epoch, "epoch of {id:?} at {at}");
        assert_eq!((shown.isr, shown.elr), (real.isr, real.elr), "ISR and ELR of {id:?} at {at}");
    }

    fn compare_replica(
        &self,
        simulation: &Simulation,
        id: PartitionId,
        broker: BrokerId,
        whole: bool,
    ) {
        let Some(shown) = self.view.partition(id).replica(broker) else { return };
        let machine = simulation.broker(broker);
        let what = format!("{broker} {id:?} at {}", simulation.now());
        let Some(log) = machine.log(id) else {
            assert_eq!((shown.end, shown.log.len()), (Offset(0), 0), "no log: {what}");
            return;
        };
        let real = (log.log_start(), log.end(), log.flushed());
        assert_eq!(
            (shown.log_start, shown.end, shown.flushed),
            real,
            "start, LEO, flushed: {what}"
        );
        let last = shown.log.last().map(|e| (e.base_offset, e.batch, e.epoch));
        let entry =
            |e: &highwater::kafka::log::entries::LogEntry| (e.base_offset, e.batch, e.leader_epoch);
        if whole {
            let real: Vec<_> = log.entries().map(entry).collect();
            let mut readable = shown.summary();
            // What was deleted inside a segment stays in its file, and in the view of it.
            readable.retain(|(base, batch, _)| {
                *base + i64::from(simulation.batches()[*batch].count) > log.log_start()
            });
            assert_eq!(readable, real, "log: {what}");
        } else {
            assert_eq!(last, log.entries().last().map(entry), "last batch: {what}");
        }
        if let Some(replica) = machine.replica(id) {
            assert_eq!(shown.high_watermark, replica.high_watermark, "HW: {what}");
            let stable = replica.last_stable_offset();
            assert_eq!(shown.last_stable_offset(), stable, "last stable offset: {what}");
        }
    }

    fn compare_consumers(&self, simulation: &Simulation) {
        for (n, shown) in self.view.consumers.iter().enumerate() {
            let node = NodeId::Consumer(n as u16);
            if simulation.node_state(node) == NodeState::Down {
                // One that was never started has left no event.
                assert!(shown.process == ProcessState::Down || shown.processed == 0, "{node:?}");
                assert!(shown.partitions.is_empty() && shown.unprocessed.is_empty(), "{node:?}");
                continue;
            }
            let process = simulation.consumer(n as u16);
            let consumer = process.consumer();
            assert_eq!(shown.closed, consumer.is_closed(), "closed: {node:?}");
            if shown.closed {
                // It answers no question about positions, whatever it held when it was closed.
                assert!(shown.partitions.is_empty(), "{node:?} is closed");
                continue;
            }
            for p in consumer.assigned() {
                let leaves = consumer.is_in_callback() || consumer.is_pending_revocation(*p);
                if leaves && shown.partition(*p).is_none() {
                    // onPartitionsRevoked() was called: given up on the screen, its own until it has returned.
                    continue;
                }
                let at = simulation.now();
                assert_eq!(shown.position(*p), consumer.position(*p), "{node:?} {p:?} at {at}");
            }
        }
    }
}

const EVERYTHING: FaultClasses =
    FaultClasses { power: true, disks: true, ..FaultClasses::SURVIVABLE };

#[test]
fn the_view_equals_the_machines_in_storms_of_every_fault_class() {
    for seed in 0..12 {
        let mut projection = None;
        let spec = match seed % 3 {
            0 => common::safe_spec(seed),
            _ => storm::with_quorum(common::safe_spec(seed), 3),
        };
        let (simulation, _) = storm::storm(spec, EVERYTHING, |simulation, _| {
            projection.get_or_insert_with(|| Projection::new(simulation)).look(simulation);
            true
        });
        let projection = projection.expect("a storm has steps");
        projection.compare(&simulation, true);
        assert!(projection.steps > 100, "seed {seed} did nothing");
    }
}

#[test]
fn the_view_equals_the_machines_in_every_built_in_scenario() {
    for builtin in builtins() {
        let loaded = load(builtin.id, builtin.text.as_bytes(), &Limits::default());
        let scenario = Arc::new(loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}")));
        for variant in scenario.variant_names() {
            let mut run = Run::new(&scenario, variant, 1, &Limits::default()).unwrap();
            let mut projection = Projection::new(run.simulation());
            let mut steps = 0_u32;
            println!("{} {variant}", builtin.id);
            while run.step() == Progress::Going {
                steps += 1;
                // Some lessons have a hundred thousand steps, and each look compares everything.
                if steps.is_multiple_of(8) {
                    projection.look(run.simulation());
                }
            }
            projection.look(run.simulation());
            if matches!(run.outcome(), Outcome::Refused(_)) {
                // Its client was never built, so the cluster never started.
                assert_eq!(projection.seen, 0, "{} {variant}", builtin.id);
                continue;
            }
            projection.compare(run.simulation(), true);
        }
    }
}
