//! Applications that pass on what they read, under random crashes of processes, partitions, pauses and lost answers:
//! exactly-once pipelines deliver each input's output once to `read_committed` readers, and each safety that is removed
//! breaks a guarantee.
//!
//! A debug build tries a few seeds. `HIGHWATER_SEEDS=0..10000 cargo test --release --test pipelines` tries more.

mod common {
    pub(crate) mod seeds;
}

use std::ops::Range;
use std::sync::Arc;

use common::seeds::seeds;
use highwater::base::config::{Acks, IsolationLevel};
use highwater::base::ids::EventSeq;
use highwater::check::{Judge, JudgeSetup};
use highwater::scenario::verdict::judge;
use highwater::scenario::{Limits, Outcome, Run, load};

const USUAL: Range<u64> = if cfg!(debug_assertions) { 0..24 } else { 0..400 };

/// A pipeline, its settings and those of whoever reads its output.
#[derive(Clone, Copy)]
struct Pipeline {
    steps: &'static str,
    producer: &'static str,
    reader: &'static str,
}

const EXACTLY_ONCE: Pipeline = Pipeline {
    steps: r#"Poll, BeginTransaction, Produce("out"), SendOffsets, CommitTransaction"#,
    producer: r#""transactional.id": "tx-{member}", "transaction.timeout.ms": 10000"#,
    reader: r#""isolation.level": "read_committed""#,
};
const AT_LEAST_ONCE: Pipeline = Pipeline {
    steps: r#"Poll, Produce("out"), Flush, Commit(Sync)"#,
    producer: r#""linger.ms": 0"#,
    reader: r#""isolation.level": "read_committed""#,
};
const AT_MOST_ONCE: Pipeline =
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
fn weather(seed: u64) -> String {
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

fn story(pipeline: Pipeline, seed: u64) -> String {
    let Pipeline { steps, producer, reader } = pipeline;
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
struct Came {
    missing: bool,
    twice: bool,
    /// Outputs that the reader was handed more than once.
    read_twice: bool,
}

fn run(pipeline: Pipeline, seed: u64) -> Came {
    let text = story(pipeline, seed);
    let scenario = load("pipeline", text.as_bytes(), &Limits::default());
    let scenario = Arc::new(scenario.unwrap_or_else(|diagnostics| panic!("{diagnostics}")));
    let mut run = Run::new(&scenario, "default", seed, &Limits::default()).expect("its variant");
    run.finish();
    assert_eq!(*run.outcome(), Outcome::Completed, "seed {seed}");
    let (simulation, spec) = (run.simulation(), run.simulation().spec());
    let isolation = spec.consumers.iter().map(|c| c.config.isolation);
    let setup = JudgeSetup {
        acks: vec![Acks::All; spec.producers.len()],
        read_committed: isolation.map(|i| i == IsolationLevel::ReadCommitted).collect(),
        ..JudgeSetup::default()
    };
    let mut watch = Judge::new(Arc::clone(simulation.names()), setup);
    for (seq, event) in simulation.trace().events().iter().enumerate() {
        watch.observe(EventSeq(seq as u32), event, simulation.batches());
    }
    assert!(watch.broken_invariants().is_empty(), "seed {seed}: {:?}", watch.broken_invariants());
    let judged = judge(&run);
    let names = simulation.names();
    let counts = watch.counts(simulation.batches());
    let read_twice = counts.repeated.iter().any(|id| names.input_of(*id).is_some());
    Came { missing: !judged[0].met, twice: !judged[1].met, read_twice }
}

/// True when some seed shows what `shows` looks for.
fn witness(pipeline: Pipeline, shows: impl Fn(&Came) -> bool) -> bool {
    (0..120).any(|seed| shows(&run(pipeline, seed)))
}

#[test]
fn exactly_once_delivers_each_output_once() {
    for seed in seeds(USUAL) {
        let came = run(EXACTLY_ONCE, seed);
        assert!(
            !came.missing && !came.twice,
            "seed {seed}: missing {}, twice {}",
            came.missing,
            came.twice
        );
    }
}

#[test]
fn what_is_passed_on_is_there_once_or_not_as_the_loop_says() {
    for seed in seeds(0..8) {
        assert!(!run(AT_LEAST_ONCE, seed).missing, "at least once loses nothing, seed {seed}");
        assert!(!run(AT_MOST_ONCE, seed).twice, "at most once repeats nothing, seed {seed}");
    }
    assert!(witness(AT_LEAST_ONCE, |came| came.twice), "at least once repeats");
    assert!(witness(AT_MOST_ONCE, |came| came.missing), "at most once loses");
}

#[test]
fn each_safety_is_needed() {
    // Offsets outside of the transaction.
    let outside = Pipeline {
        steps: r#"Poll, BeginTransaction, Produce("out"), CommitTransaction, Commit(Sync)"#,
        ..EXACTLY_ONCE
    };
    assert!(witness(outside, |came| came.twice), "offsets outside of the transaction");
    // A reader that does not ask for committed records.
    let uncommitted =
        Pipeline { reader: r#""isolation.level": "read_uncommitted""#, ..EXACTLY_ONCE };
    assert!(witness(uncommitted, |came| came.read_twice), "a read_uncommitted reader");
}
