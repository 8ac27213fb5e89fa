//! A whole run with checkpoints: any moment of it again, and other futures from there.
//!
//! A checkpoint is a clone of the [`Run`]; logs and the trace share their sealed parts, so it costs little. Every 4,096
//! events one is taken. When there are many, every other one of the older half is dropped, so that their number grows
//! with the logarithm of the run and a seek is short near its end, where people look.

use std::sync::Arc;

use crate::base::ids::EventSeq;
use crate::scenario::run::{Progress, Run};

/// Events between checkpoints.
const INTERVAL: usize = 4_096;

/// How many checkpoints are kept before they are thinned.
const MANY: usize = 64;

/// A run and how to come back to any moment of it.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Events before each checkpoint, ascending, and the run at that moment. The first is the start.
    checkpoints: Vec<(usize, Arc<Run>)>,
    head: Run,
}

impl Recording {
    /// A recording that begins with `run`.
    pub fn new(run: Run) -> Self {
        let events = run.simulation().trace().len();
        Self { checkpoints: vec![(events, Arc::new(run.clone()))], head: run }
    }

    /// Records `run` to its end.
    pub fn whole(run: Run) -> Self {
        let mut recording = Self::new(run);
        while recording.advance() == Progress::Going {}
        recording
    }

    /// The run as far as it was recorded.
    pub fn head(&self) -> &Run {
        &self.head
    }

    /// Records one step more.
    pub fn advance(&mut self) -> Progress {
        let progress = self.head.step();
        let events = self.head.simulation().trace().len();
        let last = self.checkpoints.last().map_or(0, |(at, _)| *at);
        if events >= last + INTERVAL {
            self.checkpoints.push((events, Arc::new(self.head.clone())));
            if self.checkpoints.len() > MANY {
                self.thin();
            }
        }
        progress
    }

    /// Drops every other checkpoint of the older half, but never the first.
    fn thin(&mut self) {
        let half = self.checkpoints.len() / 2;
        let mut place = 0;
        self.checkpoints.retain(|_| {
            place += 1;
            place == 1 || place > half || place % 2 == 1
        });
    }

    /// The run at the first moment at which `events` events have happened: a new run from the checkpoint before, with
    /// the same future. To fork, do something else with it.
    pub fn seek(&self, events: EventSeq) -> Run {
        let wanted = events.index();
        let before = self.checkpoints.partition_point(|(at, _)| *at <= wanted).max(1);
        let mut run = Run::clone(&self.checkpoints[before - 1].1);
        while run.simulation().trace().len() < wanted && run.step() == Progress::Going {}
        run
    }
}
