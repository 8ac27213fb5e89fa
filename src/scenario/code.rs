//! A script made ready to run under one variant: replaced steps chosen, and every step numbered in the order of the
//! file, with the message ids, question and observation numbers that belong to it.

use crate::base::ids::MessageId;
use crate::scenario::resolve::Resolved;
use crate::scenario::schema::Scenario;
use crate::scenario::step::{Probe, Question, Send, Step};
use crate::scenario::workload::{Workload, declared, replacements};

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Op {
    /// What to do; the steps inside are in `body`.
    pub step: Step,
    /// Numbers of the steps inside.
    pub body: Vec<u16>,
    /// `Send`: the first id of its block.
    pub first: MessageId,
    /// `Send`: how many ids its block has.
    pub reserved: u64,
    /// `Ask`, `Observe`, `On`: the number of the question, observation or rule.
    pub number: u16,
}

/// A whole script.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Code {
    /// Every step by number.
    pub ops: Vec<Op>,
    /// The numbers of the outermost steps.
    pub main: Vec<u16>,
    /// Every question by number.
    pub questions: Vec<Question>,
    /// Every observation by number.
    pub observations: Vec<(String, Probe)>,
    /// Every rule's name by number.
    pub rules: Vec<String>,
    /// The first id that no block has.
    pub free: u64,
}

impl Code {
    /// The script of `scenario` as `resolved` has it.
    pub fn new(scenario: &Scenario, resolved: &Resolved, workload: &Workload) -> Self {
        let mut writer = Writer { scenario, resolved, workload, code: Self::default() };
        let (main, _) = writer.block(&scenario.script, 0, 1);
        Self { main, free: workload.declared, ..writer.code }
    }

    /// The number of the rule called `name`.
    pub fn rule(&self, name: &str) -> Option<u16> {
        self.rules.iter().position(|rule| rule == name).map(|i| i as u16)
    }
}

struct Writer<'a> {
    scenario: &'a Scenario,
    resolved: &'a Resolved,
    workload: &'a Workload,
    code: Code,
}

impl Writer<'_> {
    /// Writes `steps`, whose first message is `next` and which run `times` times. Returns their numbers and the id
    /// after the last one of theirs.
    fn block(&mut self, steps: &[Step], next: u64, times: u64) -> (Vec<u16>, u64) {
        let mut numbers = Vec::new();
        let mut next = next;
        for step in steps {
            let (number, after) = self.step(step, next, times);
            numbers.push(number);
            next = after;
        }
        (numbers, next)
    }

    fn step(&mut self, step: &Step, next: u64, times: u64) -> (u16, u64) {
        let number = self.code.ops.len();
        let first = MessageId(next as u32);
        let op = Op { step: Step::Heal, body: Vec::new(), first, reserved: 0, number: 0 };
        self.code.ops.push(op);
        let mut after = next;
        let mut body = Vec::new();
        let mut own = 0;
        match step {
            Step::Send(send) => after = next + self.reserve(send, next, times),
            Step::At(_, steps) => (body, after) = self.block(steps, next, times),
            Step::Every(every) => {
                let times = times * every.count.unwrap_or(0);
                (body, after) = self.block(&every.steps, next, times);
            }
            Step::Named(name, steps) => (body, after) = self.named(name, steps, next, times),
            Step::Ask(question) => {
                own = self.code.questions.len();
                self.code.questions.push(question.clone());
            }
            Step::Observe(name, probe) => {
                own = self.code.observations.len();
                self.code.observations.push((name.clone(), probe.clone()));
            }
            Step::On(rule) => {
                own = self.code.rule(&rule.name).map_or(self.code.rules.len(), usize::from);
                if own == self.code.rules.len() {
                    self.code.rules.push(rule.name.clone());
                }
            }
            _ => {}
        }
        let op = &mut self.code.ops[number];
        op.step = without_body(step);
        op.body = body;
        op.number = own as u16;
        op.reserved = after - next;
        (number as u16, after)
    }

    /// How many new ids a `Send` takes: the same count as in [`Workload::of`].
    fn reserve(&self, send: &Send, next: u64, times: u64) -> u64 {
        if send.ids.is_empty() {
            return declared(send).map_or(0, |count| count * times);
        }
        let own =
            |id: &&String| self.workload.named.get(*id).is_some_and(|n| u64::from(*n) >= next);
        let mut own: Vec<&String> = send.ids.iter().filter(own).collect();
        own.sort_unstable();
        own.dedup();
        own.len() as u64
    }

    fn named(&mut self, name: &str, steps: &[Step], next: u64, times: u64) -> (Vec<u16>, u64) {
        let chosen = self.resolved.steps.get(name).map_or(steps, Vec::as_slice).to_vec();
        let width = |steps: &[Step]| {
            let mut scratch = Writer { code: Code::default(), ..*self };
            scratch.block(steps, next, times).1
        };
        let others = replacements(self.scenario, name).into_iter().map(Vec::as_slice);
        let after = others.chain([steps]).map(width).max().unwrap_or(next);
        let (body, _) = self.block(&chosen, next, times);
        (body, after)
    }
}

/// The step itself: what is inside is written for itself.
fn without_body(step: &Step) -> Step {
    match step {
        Step::At(at, _) => Step::At(*at, Vec::new()),
        Step::Named(name, _) => Step::Named(name.clone(), Vec::new()),
        Step::Every(every) => {
            Step::Every(crate::scenario::step::Every { steps: Vec::new(), ..every.clone() })
        }
        other => other.clone(),
    }
}
