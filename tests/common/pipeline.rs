//! Applications that pass on what they read, under random crashes of processes, partitions, pauses and lost answers,
//! and what a judge says of it.

use std::sync::Arc;

use highwater::base::batch::TransactionState;
use highwater::base::config::{Acks, Defect, IsolationLevel};
use highwater::base::ids::EventSeq;
use highwater::base::time::Duration;
use highwater::check::{Guarantee, Judge, JudgeSetup, Kind};
use highwater::event::EventKind;
use highwater::scenario::verdict::judge;
use highwater::scenario::{Limits, Outcome, Run, load};

/// A pipeline, its settings and those of whoever reads its output.
#[derive(Clone, Copy)]
pub(crate) struct Pipeline {
    pub(crate) steps: &'static str,
    pub(crate) producer: &'static str,
    pub(crate) reader: &'static str,
    /// What goes wrong.
    pub(crate) weather: fn(u64) -> String,
}

pub(crate) const EXACTLY_ONCE: Pipeline = Pipeline {
    steps: r#"Poll, BeginTransaction, Produce("out"), SendOffsets, CommitTransaction"#,
    producer: r#""transactional.id": "tx-{member}", "transaction.timeout.ms": 10000"#,
    reader: r#""isolation.level": "read_committed""#,
    weather: storm,
};
pub(crate) const AT_LEAST_ONCE: Pipeline = Pipeline {
    steps: r#"Poll, Produce("out"), Flush, Commit(Sync)"#,
    producer: r#""linger.ms": 0"#,
    reader: r#""isolation.level": "read_committed""#,
    weather: storm,
};
pub(crate) const AT_MOST_ONCE: Pipeline =
    Pipeline { steps: r#"Poll, Commit(Sync), Produce("out"), Flush"#, ..AT_LEAST_ONCE };

/// Numbers that follow from a seed (an LCG: the story's luck is none of the simulator's).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, options: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % options
    }
}

/// What goes wrong in the first seconds, as steps of a script. Everything is whole again after it.
fn storm(seed: u64) -> String {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9) + 1);
    let mut steps = String::new();
    let mut at = 300;
    for n in 0..3 + dice.roll(3) {
        at += 100 + dice.roll(1_500);
        let app = ["A", "B"][dice.roll(2) as usize];
        let broker = 1 + dice.roll(3);
        let long = 50 + dice.roll(2_500);
        let (hurt, heal) = match dice.roll(6) {
            0 | 1 => (format!("Kill(Client(\"{app}\"))"), format!("Start(Client(\"{app}\"))")),
            2 => (format!("Freeze(Client(\"{app}\"))"), format!("Thaw(Client(\"{app}\"))")),
            3 => (format!("Kill(Broker({broker}))"), format!("Start(Broker({broker}))")),
            4 => (format!("CutOff([Client(\"{app}\")], [Broker({broker})])"), "Heal".to_owned()),
            _ => {
                let api =
                    ["EndTxn", "TxnOffsetCommit", "Produce", "InitProducerId", "OffsetCommit"];
                let api = api[dice.roll(5) as usize];
                let action = ["Close", "Drop"][dice.roll(2) as usize];
                (
                    format!(
                        "On(name: \"r{n}\", api: \"{api}\", side: Response, times: 1, do: {action})"
                    ),
                    format!("Clear(\"r{n}\")"),
                )
            }
        };
        let healed = at + long;
        let step = format!("At(\"{at}ms\", [{hurt}]), At(\"{healed}ms\", [{heal}]),\n");
        steps.push_str(&step);
    }
    steps
}

/// Answers of the brokers to produce requests are lost, and nothing else goes wrong.
pub(crate) fn lost_answers(seed: u64) -> String {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9) + 1);
    let mut rule = |n: u64| {
        let at = 300 + n * 700 + dice.roll(600);
        format!(
            "At(\"{at}ms\", [On(name: \"r{n}\", api: \"Produce\", side: Response, times: 1, do: Close)]),\n"
        )
    };
    (0..4).map(&mut rule).collect()
}

fn story(pipeline: Pipeline, seed: u64) -> String {
    let Pipeline { steps, producer, reader, weather } = pipeline;
    let weather = weather(seed);
    format!(
        r#"(
    title: {{"en": "a pipeline"}},
    cluster: (brokers: 3, controllers: 1, config: {{
        "broker.session.timeout.ms": 2000, "broker.heartbeat.interval.ms": 300, "offsets.topic.num.partitions": 2,
        "transaction.state.log.num.partitions": 2, "group.initial.rebalance.delay.ms": 0,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000}}),
    topics: {{
        "in": (replicas: [[1, 2, 3], [2, 3, 1]], config: {{"min.insync.replicas": 2}}),
        "out": (replicas: [[3, 1, 2], [1, 3, 2]], config: {{"min.insync.replicas": 2}}),
    }},
    producers: {{"src": (config: {{"delivery.timeout.ms": 600000}}), "app": (config: {{{producer}}})}},
    groups: {{
        "g": (members: ["A", "B"], topics: ["in"], producer: "app", loop: [{steps}], config: {{
            "auto.offset.reset": "earliest", "enable.auto.commit": false, "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500, "max.poll.records": 3, "isolation.level": "read_committed"}}),
        "readers": (members: ["R"], topics: ["out"], loop: [Poll, Work("0ms"), Commit(Sync)], config: {{
            "auto.offset.reset": "earliest", "enable.auto.commit": false, {reader}}}),
    }},
    script: [
        Send(from: "src", to: "in", count: 40, keys: ["a", "b", "c", "d", "e"], every: "60ms"),
        {weather}
        At("8s", [ClearRules, Heal, Start(Broker(1)), Start(Broker(2)), Start(Broker(3)),
            Thaw(Client("A")), Thaw(Client("B")), Start(Client("A")), Start(Client("B"))]),
        Sleep("90s"), Await(Completed("src")), Quiesce,
    ],
    expect: {{"default": [Missing(0), Duplicated(0)]}},
)"#
    )
}

/// What a run came to.
pub(crate) struct Came {
    /// The run came to its end, and every guarantee that was broken then.
    pub(crate) outcome: Outcome,
    pub(crate) broken: Vec<Guarantee>,
    pub(crate) missing: bool,
    pub(crate) twice: bool,
    /// Outputs that the reader was handed more than once.
    pub(crate) read_twice: bool,
    /// For how long a transaction was open that was aborted then, at most.
    pub(crate) longest: Duration,
}

impl Came {
    pub(crate) fn breaks(&self, guarantee: Guarantee) -> bool {
        self.broken.contains(&guarantee)
    }
}

/// Runs the pipeline with `defect` planted.
pub(crate) fn run_with(pipeline: Pipeline, seed: u64, defect: Defect) -> Came {
    let text = story(pipeline, seed);
    let scenario = load("pipeline", text.as_bytes(), &Limits::default());
    let scenario = Arc::new(scenario.unwrap_or_else(|diagnostics| panic!("{diagnostics}")));
    let run = Run::with_defect(&scenario, "default", (seed, defect), &Limits::default());
    let mut run = run.expect("its variant");
    run.finish();
    let (simulation, spec) = (run.simulation(), run.simulation().spec());
    let isolation = spec.consumers.iter().map(|c| c.config.isolation);
    let setup = JudgeSetup {
        acks: vec![Acks::All; spec.producers.len()],
        read_committed: isolation.map(|i| i == IsolationLevel::ReadCommitted).collect(),
        ..JudgeSetup::default()
    };
    let mut watch = Judge::new(Arc::clone(simulation.names()), setup);
    let mut longest = Duration::ZERO;
    for (seq, event) in simulation.trace().events().iter().enumerate() {
        if let EventKind::TransactionChanged { id, state: TransactionState::PrepareAbort, .. } =
            event.kind
        {
            let began = watch.view().transactions[id.index()].began;
            longest = longest.max(event.at.since(began));
        }
        watch.observe(EventSeq(seq as u32), event, simulation.batches());
    }
    let verdicts = watch.verdicts(simulation.batches()).into_iter();
    let broken = verdicts.filter(|(_, verdict)| verdict.violation().is_some());
    let judged = judge(&run);
    let names = simulation.names();
    let counts = watch.counts(simulation.batches());
    let met = |text: &str| judged.iter().any(|j| j.expectation.starts_with(text) && j.met);
    Came {
        outcome: run.outcome().clone(),
        broken: broken.map(|(guarantee, _)| guarantee).collect(),
        missing: !met("Missing"),
        twice: !met("Duplicated"),
        read_twice: counts.repeated.iter().any(|id| names.input_of(*id).is_some()),
        longest,
    }
}

/// Runs the pipeline. It comes to its end, and no invariant is broken.
pub(crate) fn run(pipeline: Pipeline, seed: u64) -> Came {
    let came = run_with(pipeline, seed, Defect::None);
    assert_eq!(came.outcome, Outcome::Completed, "seed {seed}");
    let invariants = came.broken.iter().filter(|guarantee| guarantee.kind() == Kind::Invariant);
    assert_eq!(invariants.count(), 0, "seed {seed}: {:?}", came.broken);
    came
}
