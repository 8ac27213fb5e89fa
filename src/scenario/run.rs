//! A script and a simulation taking turns.
//!
//! The script is a handful of strands: the main one, and one for everything that goes on beside it (`At`,
//! `Every`, `Send` with `every`). At any moment the first strand that can go on does its next step; when none can, the
//! simulation handles its next item, or time passes to the next moment a strand waits for. What falls on the same
//! moment goes to the script first. Nothing else decides the order, so a run is a function of scenario, variant and
//! seed; a [`Run`] is plain data, and its clone has the same future.

use std::sync::Arc;

use crate::base::config::Defect;
use crate::base::ids::EventSeq;
use crate::base::names::Names;
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::scenario::build::{Refusal, build};
use crate::scenario::code::Code;
use crate::scenario::conditions::holds;
use crate::scenario::load::Limits;
use crate::scenario::schema::{Scenario, StartAt};
use crate::scenario::settle::{in_motion, settled};
use crate::scenario::state::State;
use crate::scenario::step::{Condition, Question, Step};
use crate::scenario::strand::{Strand, Wait};
use crate::scenario::value::{Fact, Span};
use crate::scenario::workload::Workload;
use crate::sim::NodeState;
use crate::sim::simulation::Simulation;
use crate::sim::world::WorldSpec;

/// How long `Await` and `Quiesce` wait at most.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// How far a run got with one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Something happened, or time passed; there is more to come.
    Going,
    /// The run is over; [`Run::outcome`] says how.
    Over,
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It has not ended.
    Running,
    /// The script came to its end.
    Completed,
    /// The script could not go on: a wait was in vain, or what was not to happen did.
    Stuck {
        /// The step, by number.
        step: u16,
        /// What it waited for.
        waited_for: String,
        /// What is in the way, as far as can be told.
        reasons: Vec<String>,
    },
    /// So many events or so much virtual time that the limits ended it.
    OutOfBudget,
    /// Kafka refused the settings of a client; nothing ran.
    Refused(Refusal),
}

/// A question that was put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Its number in [`Code::questions`].
    pub number: u16,
    /// The event that put it.
    pub at: EventSeq,
    /// When.
    pub asked_at: Time,
    /// The answer, once the run has given it.
    pub answer: Option<Fact>,
}

/// One run of a scenario under one variant with one seed.
#[derive(Clone, Debug)]
pub struct Run {
    scenario: Arc<Scenario>,
    variant: String,
    seed: u64,
    limits: Limits,
    pub(super) code: Arc<Code>,
    pub(super) state: State,
    pub(super) strands: Vec<Strand>,
    /// The next id for messages without a block.
    pub(super) free: u64,
    /// How many messages each step has sent, by its number.
    pub(super) sent: Vec<u64>,
    /// How many polled ids were observed, by consumer.
    pub(super) seen: Vec<usize>,
    pub(super) observations: Vec<(String, Fact)>,
    pub(super) asked: Vec<Asked>,
    pub(super) outcome: Outcome,
}

impl Run {
    /// The run of `scenario` (which came from the loader) under `variant`, before anything happened. `None` when there
    /// is no such variant.
    pub fn new(
        scenario: &Arc<Scenario>,
        variant: &str,
        seed: u64,
        limits: &Limits,
    ) -> Option<Self> {
        Self::with_defect(scenario, variant, (seed, Defect::None), limits)
    }

    /// The same with a bug planted in the machines, for tests of the judge.
    #[doc(hidden)]
    pub fn with_defect(
        scenario: &Arc<Scenario>,
        variant: &str,
        (seed, defect): (u64, Defect),
        limits: &Limits,
    ) -> Option<Self> {
        let resolved = scenario.resolve(variant)?;
        let workload = Workload::of(scenario, limits.messages.max(1))?;
        let (spec, refusal) = build(scenario, &resolved, &workload, seed);
        let spec = WorldSpec { defect, ..spec };
        let code = Arc::new(Code::new(scenario, &resolved, &workload));
        let consumers = spec.consumers.len();
        let state = State::new(Simulation::new(&Arc::new(spec)));
        let mut strands = vec![Strand::main(code.main.clone())];
        strands[0].wait =
            Wait::Until { op: 0, condition: Condition::Ready, until: Time::ZERO + PATIENCE };
        for (n, (_, consumer)) in resolved.consumers.0.iter().enumerate() {
            if let StartAt::At(at) = consumer.start {
                strands.push(Strand::start_consumer(n as u16, Time::ZERO + at.0));
            }
        }
        let outcome = refusal.map_or(Outcome::Running, Outcome::Refused);
        let (free, sent) = (code.free, vec![0; code.ops.len()]);
        let mut run = Self {
            scenario: Arc::clone(scenario),
            variant: variant.to_owned(),
            seed,
            limits: limits.clone(),
            code,
            state,
            strands,
            free,
            sent,
            seen: vec![0; consumers],
            observations: Vec::new(),
            asked: Vec::new(),
            outcome,
        };
        run.settle_waits();
        Some(run)
    }

    /// The same run without these steps of its script: in their place nothing happens. Message ids, question numbers
    /// and everything else stay what they are.
    pub fn without(
        scenario: &Arc<Scenario>,
        variant: &str,
        seed: u64,
        limits: &Limits,
        steps: &[u16],
    ) -> Option<Self> {
        let mut run = Self::new(scenario, variant, seed, limits)?;
        let code = Arc::make_mut(&mut run.code);
        for step in steps {
            if let Some(op) = code.ops.get_mut(usize::from(*step)) {
                op.step = Step::Sleep(Span(Duration::ZERO));
            }
        }
        Some(run)
    }

    /// Does one thing: a step of the script, an item of the simulation, or a leap in time.
    pub fn step(&mut self) -> Progress {
        if self.outcome != Outcome::Running {
            return Progress::Over;
        }
        if let Some(n) = self.strands.iter().position(|strand| strand.wait == Wait::Ready) {
            self.proceed(n);
            self.observe_world(true);
            return self.after();
        }
        let wake = self.strands.iter().filter_map(|strand| strand.wait.due()).min();
        match (wake, self.state.sim.next_at()) {
            (None, None) => self.give_up(),
            (Some(at), next) if next.is_none_or(|next| at <= next) => {
                if at > Time::ZERO + Duration::from_secs(self.limits.seconds) {
                    return self.end(Outcome::OutOfBudget);
                }
                self.state.sim.skip_to(at.max(self.state.sim.now()));
                self.wake(at);
            }
            _ => {
                self.state.sim.step();
                // A call may return without an event: `position()`, or the last of many quiet polls.
                let called = |s: &Strand| matches!(s.wait, Wait::Call(_) | Wait::Turn(_));
                let changed = self.state.fold() || self.strands.iter().any(called);
                self.observe_world(changed);
            }
        }
        self.after()
    }

    /// Steps until the run is over.
    pub fn finish(&mut self) -> &Outcome {
        while self.step() == Progress::Going {}
        &self.outcome
    }

    fn after(&mut self) -> Progress {
        if self.outcome != Outcome::Running {
            return Progress::Over;
        }
        if self.state.sim.trace().len() as u64 >= self.limits.events {
            return self.end(Outcome::OutOfBudget);
        }
        if self.strands.iter().all(|strand| strand.wait == Wait::Done || strand.endless()) {
            return self.end(Outcome::Completed);
        }
        Progress::Going
    }

    pub(super) fn end(&mut self, outcome: Outcome) -> Progress {
        self.answer_pending(Time::NEVER);
        if matches!(outcome, Outcome::Stuck { .. }) {
            self.state.sim.event(EventKind::Stuck);
        }
        self.state.sim.event(EventKind::Ended);
        self.state.fold();
        self.outcome = outcome;
        Progress::Over
    }

    /// After something happened: folds it in and lets waits end that it fulfils.
    fn observe_world(&mut self, changed: bool) {
        let folded = self.state.fold();
        if changed || folded {
            self.watch_questions();
            self.settle_waits();
        }
    }

    /// Ends every wait that is fulfilled; a condition that was not to be fulfilled ends the run.
    fn settle_waits(&mut self) {
        for n in 0..self.strands.len() {
            let fulfilled = match &self.strands[n].wait {
                Wait::Until { condition, .. } => self.holds(condition),
                Wait::Never { op, condition, .. } => {
                    if self.holds(condition) {
                        let (op, condition) = (*op, condition.clone());
                        let reasons = vec!["it was not expected to come true".to_owned()];
                        self.stuck(op, &condition, reasons);
                        return;
                    }
                    false
                }
                Wait::Flush(producer) => {
                    let node = crate::base::ids::NodeId::Producer(*producer);
                    self.state.sim.node_state(node) == NodeState::Down
                        || self.state.sim.producer(*producer).is_flushed()
                }
                Wait::Closed(node) => {
                    self.state.sim.node_state(*node) == NodeState::Down || self.is_closed(*node)
                }
                Wait::Turn(client) => !self.is_occupied(*client),
                Wait::Transacted { producer, calls } => {
                    let node = crate::base::ids::NodeId::Producer(*producer);
                    self.state.sim.node_state(node) == NodeState::Down
                        || self.state.sim.producer(*producer).returned() >= *calls
                }
                Wait::Call(consumer) => {
                    let node = crate::base::ids::NodeId::Consumer(*consumer);
                    self.state.sim.node_state(node) == NodeState::Down
                        || !self.state.sim.consumer(*consumer).is_busy()
                }
                Wait::Quiesce { .. } => self.is_quiet(n),
                _ => false,
            };
            if fulfilled {
                if matches!(self.strands[n].wait, Wait::Quiesce { .. }) {
                    self.state.sim.event(EventKind::Quiesced);
                    self.state.fold();
                }
                self.strands[n].wait = Wait::Ready;
            }
        }
    }

    /// True while the thread of a client cannot make another call: it is inside one, or stands still. (Calls of a
    /// producer wait for each other inside it.)
    pub(super) fn is_occupied(&self, client: crate::base::ids::NodeId) -> bool {
        match (self.state.sim.node_state(client), client) {
            (NodeState::Frozen, _) => true,
            (NodeState::Running, crate::base::ids::NodeId::Consumer(n)) => {
                self.state.sim.consumer(n).is_busy()
            }
            _ => false,
        }
    }

    fn is_closed(&self, node: crate::base::ids::NodeId) -> bool {
        match node {
            crate::base::ids::NodeId::Producer(n) => self.state.sim.producer(n).is_closed(),
            crate::base::ids::NodeId::Consumer(n) => {
                self.state.view.consumers[usize::from(n)].closed
            }
            _ => false,
        }
    }

    /// True when strand `n` is the only one with something left to do and everything has settled.
    fn is_quiet(&self, n: usize) -> bool {
        self.others_at_work(n).is_none() && settled(&self.state)
    }

    fn others_at_work(&self, n: usize) -> Option<usize> {
        let at_work = |(i, strand): &(usize, &Strand)| {
            *i != n && !strand.endless() && strand.wait != Wait::Done
        };
        self.strands.iter().enumerate().find(at_work).map(|(i, _)| i)
    }

    /// The moment `at` has come: sleeps end, limits run out.
    fn wake(&mut self, at: Time) {
        for n in 0..self.strands.len() {
            if self.strands[n].wait.due() != Some(at) {
                continue;
            }
            match self.strands[n].wait.clone() {
                Wait::Sleep(_) | Wait::Never { .. } => self.strands[n].wait = Wait::Ready,
                Wait::Until { op, condition, .. } => {
                    let reasons = in_motion(&self.state).collect();
                    return self.stuck(op, &condition, reasons);
                }
                Wait::Quiesce { op, .. } => {
                    let mut reasons: Vec<String> = in_motion(&self.state).collect();
                    if let Some(other) = self.others_at_work(n) {
                        reasons.push(format!("strand {other} of the script is not done"));
                    }
                    return self.stuck(op, &Condition::Settled, reasons);
                }
                _ => {}
            }
        }
    }

    fn stuck(&mut self, step: u16, condition: &Condition, reasons: Vec<String>) {
        let waited_for = crate::scenario::pieces::ron_options()
            .to_string(condition)
            .unwrap_or_else(|_| "a condition".to_owned());
        self.end(Outcome::Stuck { step, waited_for, reasons });
    }

    /// Nothing is pending and every strand waits for something to happen.
    fn give_up(&mut self) {
        let waiting = self.strands.iter().find_map(|strand| match &strand.wait {
            Wait::Until { op, condition, .. } => Some((*op, condition.clone())),
            Wait::Quiesce { op, .. } => Some((*op, Condition::Settled)),
            _ => None,
        });
        let reasons = in_motion(&self.state).collect();
        match waiting {
            Some((op, condition)) => self.stuck(op, &condition, reasons),
            None => {
                self.end(Outcome::Stuck {
                    step: 0,
                    waited_for: "a call to return".to_owned(),
                    reasons,
                });
            }
        }
    }

    pub(super) fn holds(&self, condition: &Condition) -> bool {
        holds(&self.state, &self.code, &self.sending(), condition)
    }

    /// The scenario.
    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.scenario
    }

    /// The variant.
    pub fn variant(&self) -> &str {
        &self.variant
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The script with its numbers: what `Step`, `Question` and `Observed` events speak of.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// The simulation.
    pub fn simulation(&self) -> &Simulation {
        &self.state.sim
    }

    /// The world as the script sees it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What things are called.
    pub fn names(&self) -> &Arc<Names> {
        self.state.sim.names()
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.state.sim.now()
    }

    /// Facts recorded by `Observe` so far, in order.
    pub fn observations(&self) -> &[(String, Fact)] {
        &self.observations
    }

    /// Questions put so far, with their answers where the run has given them.
    pub fn questions(&self) -> impl Iterator<Item = (&Question, &Asked)> {
        self.asked.iter().map(|asked| (&self.code.questions[usize::from(asked.number)], asked))
    }

    /// How the run ended.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// For live play: the limits of this run.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}
