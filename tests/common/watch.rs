//! A judge that follows a simulation, event by event.

use std::ops::Range;

use highwater::base::ids::EventSeq;
use highwater::check::verdict::Verdict;
use highwater::check::{Guarantee, Judge};
use highwater::sim::Simulation;

/// A judge, and how far it has looked.
pub(crate) struct Watch {
    /// Who judges.
    pub(crate) judge: Judge,
    /// The invariants that were broken at the last look.
    pub(crate) broken: Vec<(Guarantee, Verdict)>,
    seen: usize,
}

impl Watch {
    /// Of a simulation that has not begun.
    pub(crate) fn new(judge: Judge) -> Self {
        Self { judge, broken: Vec::new(), seen: 0 }
    }

    /// Shows the judge what was done since the last look. Returns which events those are.
    pub(crate) fn look(&mut self, simulation: &Simulation) -> Range<usize> {
        let events = simulation.trace().events();
        let fresh = self.seen..events.len();
        for n in fresh.clone() {
            self.judge.observe(EventSeq(n as u32), &events[n], simulation.batches());
        }
        self.seen = events.len();
        if !fresh.is_empty() {
            self.broken = self.judge.broken_invariants();
        }
        fresh
    }
}
