//! A cluster in a storm: random faults while a producer sends, then everything heals and settles.

use std::sync::Arc;

use highwater::base::chooser::Chooser;
use highwater::base::names::Names;
use highwater::base::time::{Duration, Time};
use highwater::sim::schedule::{FaultClasses, Schedule, heal_all, run_until};
use highwater::sim::{Simulation, WorldSpec};

use crate::common;

/// How many faults a storm has, and how many messages are sent meanwhile at most.
const ACTS: usize = 12;
const MESSAGES: u32 = 200;

/// The same cluster with so many controllers.
pub(crate) fn with_quorum(spec: WorldSpec, controllers: u8) -> WorldSpec {
    let names = Names { controllers, ..Names::clone(&spec.names) };
    WorldSpec { names: Arc::new(names), ..spec }
}

/// One cluster through the schedule its seed draws. `observe` sees it after every step and ends the storm with
/// `false`.
pub(crate) fn storm(
    spec: WorldSpec,
    classes: FaultClasses,
    mut observe: impl FnMut(&Simulation, &Schedule) -> bool,
) -> (Simulation, Schedule) {
    let spec = Arc::new(spec);
    let mut luck = Chooser::seeded(spec.seed ^ 0x5eed);
    let schedule = Schedule::random(&spec, classes, ACTS, &mut luck);
    let mut simulation = Simulation::new(&spec);
    let mut look = |simulation: &Simulation| observe(simulation, &schedule);
    let goes_on = sends_through(&mut simulation, &schedule, &mut look);
    if goes_on {
        heal_all(&mut simulation);
        let end = simulation.now() + Duration::from_secs(400);
        run_until(&mut simulation, end, &mut look);
    }
    (simulation, schedule)
}

fn sends_through(
    simulation: &mut Simulation,
    schedule: &Schedule,
    look: &mut impl FnMut(&Simulation) -> bool,
) -> bool {
    let (mut message, mut next_send) = (0, Time::ZERO + Duration::from_secs(1));
    for (n, (gap, _)) in schedule.acts.iter().enumerate() {
        let until = simulation.now() + *gap;
        while next_send < until && message < MESSAGES {
            let at = next_send.max(simulation.now());
            if !run_until(simulation, at, look) {
                return false;
            }
            common::send(simulation, message);
            message += 1;
            next_send += Duration::from_millis(97);
        }
        if !run_until(simulation, until, look) {
            return false;
        }
        schedule.act(n, simulation);
    }
    true
}
