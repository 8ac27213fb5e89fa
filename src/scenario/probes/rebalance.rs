//! What rebalances of a group cost since a mark of the script.

use crate::base::time::Time;
use crate::scenario::state::State;
use crate::scenario::step::Probe;
use crate::scenario::value::Fact;

/// The fact of a probe about rebalances; `None` for other probes, and for a mark the script has not come to.
pub(super) fn fact(state: &State, probe: &Probe) -> Option<Fact> {
    let (Probe::Revoked { group, since }
    | Probe::Moved { group, since }
    | Probe::Stopped { group, since }
    | Probe::StopTime { group, since }) = probe
    else {
        return None;
    };
    let since = match since {
        Some(name) => state.mark(name)?,
        None => Time::ZERO,
    };
    let handovers = state.view.groups[state.group(group)?.index()].handovers();
    let count = |n: usize| Fact::Number(n as i64);
    Some(match probe {
        Probe::Revoked { .. } => count(handovers.revoked(since)),
        Probe::Moved { .. } => count(handovers.moved(since)),
        Probe::Stopped { .. } => {
            let names = handovers.stopped(since).into_iter();
            let consumers = &state.names().consumers;
            Fact::List(names.map(|n| Fact::Text(consumers[usize::from(n)].name.clone())).collect())
        }
        _ => {
            let stopped = handovers.stop_time(since, state.sim.now());
            Fact::Number(stopped.as_millis() as i64)
        }
    })
}
