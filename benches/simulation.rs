//! What a simulated event, run and message cost, as ratios to a reference loop measured in the same run, because
//! machines differ and ratios hardly do.
//!
//! The reference is the heart of any discrete-event simulator and nothing else: pop the earliest of 256 pending items
//! from a `BinaryHeap` and push another. A ratio of 10 says that an event of Kafka's protocol, with all that machines
//! and network do, costs as much as ten such steps.
#![expect(clippy::cast_precision_loss, reason = "a benchmark rounds")]
#![expect(clippy::print_stdout, reason = "its table is what it is for")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater::base::ids::{EventSeq, KeyId, MessageId, TopicId};
use highwater::base::time::Time;
use highwater::check::{Judge, JudgeSetup};
use highwater::kafka::producer::SendRequest;
use highwater::scenario::build::build;
use highwater::scenario::workload::Workload;
use highwater::scenario::{Limits, Run, builtins, load};
use highwater::sim::{Command, Simulation, Sink};

/// Three brokers, acks=all, a group of two that commits: what most clusters do most of the time.
const STEADY: &str = r#"Scenario(
    title: {"en": "steady traffic"},
    topics: {"orders": (replicas: [[1, 2, 3], [2, 3, 1], [3, 1, 2]])},
    producers: {"checkout": (config: {"acks": "all"})},
    groups: {"billing": (members: 2, topics: ["orders"], loop: [Poll, Work("10us"), Commit(Async)])},
    script: [Send(from: "checkout", to: "orders")],
)"#;

/// How long each measurement runs, about.
const SPAN: Duration = Duration::from_millis(1_500);

/// Messages of the steady world whose memory is weighed.
const WEIGHED: u32 = 200_000;

#[expect(clippy::disallowed_methods, reason = "a benchmark is what a wall clock is for")]
fn now() -> Instant {
    Instant::now()
}

/// Repeats `work`, which says how much it did, until the span is over: nanoseconds for one unit.
fn measure(mut work: impl FnMut() -> u64) -> f64 {
    let start = now();
    let mut done = 0;
    while start.elapsed() < SPAN {
        done += work();
    }
    start.elapsed().as_nanos() as f64 / done as f64
}

/// Nanoseconds of one pop and one push at 256 pending items of 64 bytes.
fn reference() -> f64 {
    let mut heap = BinaryHeap::new();
    let mut word = 1u64;
    let mut next = move || {
        // xorshift: the times need to be unordered, not random.
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word % 1_000_000
    };
    for seq in 0..256u64 {
        heap.push(Reverse((next(), seq, [0u8; 48])));
    }
    let mut seq = 256;
    measure(|| {
        for _ in 0..10_000 {
            let Reverse((at, _, payload)) = heap.pop().expect("there are always 256");
            heap.push(Reverse((at + next(), seq, black_box(payload))));
            seq += 1;
        }
        10_000
    })
}

fn steady(sink: Sink) -> Simulation {
    let limits = Limits::default();
    let scenario = load("steady", STEADY.as_bytes(), &limits).expect("the scenario is sound");
    let resolved = scenario.resolve("default").expect("there is one variant");
    let workload = Workload::of(&scenario, limits.messages).expect("it is small");
    let (mut spec, refusal) = build(&scenario, &resolved, &workload, 1);
    assert!(refusal.is_none(), "{refusal:?}");
    spec.sink = sink;
    Simulation::new(&Arc::new(spec))
}

/// Sends one message a millisecond, from message `first` on, and runs the simulation along.
fn drive(simulation: &mut Simulation, first: u32, count: u32) -> u64 {
    let before = simulation.trace().len();
    for message in first..first + count {
        let request = SendRequest {
            message: MessageId(message),
            topic: TopicId(0),
            partition: None,
            key: KeyId::NONE,
            bytes: 100,
            shift: 0,
            is_tombstone: false,
        };
        simulation.apply(&Command::Send { producer: 0, request });
        let until = Time(u64::from(message + 1) * 1_000);
        while simulation.next_at().is_some_and(|at| at <= until) {
            simulation.step();
        }
        simulation.skip_to(until);
    }
    (simulation.trace().len() - before) as u64
}

fn steady_events(sink: Sink) -> f64 {
    let mut simulation = steady(sink);
    let mut message = 0;
    measure(|| {
        message += 1_000;
        drive(&mut simulation, message - 1_000, 1_000)
    })
}

/// One judge of every guarantee over the events of a recording.
fn judged_events() -> f64 {
    let mut simulation = steady(Sink::Recording);
    drive(&mut simulation, 0, 20_000);
    measure(|| {
        let mut judge = Judge::new(Arc::clone(simulation.names()), JudgeSetup::default());
        for (seq, event) in (0..).map(EventSeq).zip(simulation.trace().events().iter()) {
            judge.observe(seq, event, simulation.batches());
        }
        black_box(judge.broken_invariants());
        simulation.trace().len() as u64
    })
}

/// Nanoseconds of a whole run of a built-in scenario, all variants in turn.
fn whole_runs(id: &str) -> f64 {
    let limits = Limits::default();
    let builtin = builtins().iter().find(|builtin| builtin.id == id).expect("it is built in");
    let scenario = load(id, builtin.text.as_bytes(), &limits).expect("it is sound");
    let scenario = Arc::new(scenario);
    let variants: Vec<String> = scenario.variant_names().into_iter().map(str::to_owned).collect();
    let mut seed = 0;
    measure(|| {
        seed += 1;
        for variant in &variants {
            let mut run = Run::new(&scenario, variant, seed, &limits).expect("its own variant");
            black_box(run.finish());
        }
        variants.len() as u64
    })
}

/// Bytes of memory that a message of a recorded run keeps, where the system says how much there is in use.
fn bytes_per_message() -> Option<f64> {
    let mut simulation = steady(Sink::Recording);
    let warm = WEIGHED / 10;
    drive(&mut simulation, 0, warm);
    let before = resident()?;
    drive(&mut simulation, warm, WEIGHED);
    let after = resident()?;
    black_box(simulation.trace().hash());
    Some(after.saturating_sub(before) as f64 / f64::from(WEIGHED))
}

/// Resident memory of this process, in bytes (Linux).
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1_024)
}

fn main() {
    // `cargo test --benches` asks every benchmark to show that it runs, not to measure.
    if std::env::args().any(|argument| argument == "--test") {
        assert!(drive(&mut steady(Sink::Null), 0, 10) > 0);
        return;
    }
    let reference = reference();
    println!("{:<44} {:>12} {:>14} {:>8}", "", "ns each", "each second", "ratio");
    let row = |what: &str, nanos: f64| {
        let ratio = nanos / reference;
        println!("{what:<44} {nanos:>12.1} {:>14.0} {ratio:>8.2}", 1e9 / nanos);
    };
    row("reference: pop and push, 256 pending", reference);
    row("event, steady traffic, nothing kept", steady_events(Sink::Null));
    row("event, steady traffic, hashed", steady_events(Sink::Hash));
    row("event, steady traffic, recorded", steady_events(Sink::Recording));
    row("event, judged by every guarantee", judged_events());
    row("run of hello-log, a variant", whole_runs("hello-log"));
    row("run of acks-ladder, a variant", whole_runs("acks-ladder"));
    match bytes_per_message() {
        Some(bytes) => println!("{:<44} {bytes:>12.0} bytes", "memory a recorded message keeps"),
        None => println!("memory a recorded message keeps: this system does not say"),
    }
}
