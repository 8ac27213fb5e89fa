//! Applications that pass on what they read, under random crashes of processes, partitions, pauses and lost answers:
//! exactly-once pipelines deliver each input's output once to `read_committed` readers, and each safety that is removed
//! breaks a guarantee.
//!
//! A debug build tries a few seeds. `HIGHWATER_SEEDS=0..10000 cargo test --release --test pipelines` tries more.

mod common {
    pub(crate) mod pipeline;
    pub(crate) mod seeds;
}

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use common::pipeline::{
    AT_LEAST_ONCE, AT_MOST_ONCE, Came, EXACTLY_ONCE, Pipeline, lost_answers, run,
};
use common::seeds::seeds;
use highwater::base::time::Duration;
use highwater::check::Guarantee;
use highwater::event::{Event, EventKind};
use highwater::scenario::verdict::judge;
use highwater::scenario::{Limits, Run, load};

const USUAL: Range<u64> = if cfg!(debug_assertions) { 0..12 } else { 0..400 };
/// How many seeds a witness may need.
const WITNESSES: u64 = 120;

/// A pipeline whose instances take another transactional id at each start.
const RANDOM_ID: Pipeline = Pipeline {
    producer: r#""transactional.id": "tx-{member}-{random}", "transaction.timeout.ms": 10000"#,
    ..EXACTLY_ONCE
};

/// True when some seed shows what `shows` looks for.
fn witness(pipeline: Pipeline, shows: impl Fn(&Came) -> bool) -> bool {
    (0..WITNESSES).any(|seed| shows(&run(pipeline, seed)))
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
        for guarantee in [Guarantee::ExactlyOnce, Guarantee::TornTransaction, Guarantee::StuckLso] {
            assert!(!came.breaks(guarantee), "seed {seed}: {}", guarantee.name());
        }
    }
}

#[test]
fn what_is_passed_on_is_there_once_or_not_as_the_loop_says() {
    for seed in seeds(0..3) {
        assert!(!run(AT_LEAST_ONCE, seed).missing, "at least once loses nothing, seed {seed}");
        assert!(!run(AT_MOST_ONCE, seed).twice, "at most once repeats nothing, seed {seed}");
    }
    assert!(witness(AT_LEAST_ONCE, |came| came.twice), "at least once repeats");
    assert!(witness(AT_MOST_ONCE, |came| came.missing), "at most once loses");
}

#[test]
fn each_safety_is_needed() {
    let exactly_once = |came: &Came| came.breaks(Guarantee::ExactlyOnce);
    assert!(witness(AT_LEAST_ONCE, exactly_once), "no transaction");
    let outside = Pipeline {
        steps: r#"Poll, BeginTransaction, Produce("out"), CommitTransaction, Commit(Sync)"#,
        ..EXACTLY_ONCE
    };
    assert!(witness(outside, exactly_once), "offsets outside of the transaction");
    let before = Pipeline {
        steps: r#"Poll, Commit(Sync), BeginTransaction, Produce("out"), CommitTransaction"#,
        ..EXACTLY_ONCE
    };
    assert!(witness(before, exactly_once), "offsets committed before the transaction");
    // A reader that does not ask for committed records.
    let uncommitted =
        Pipeline { reader: r#""isolation.level": "read_uncommitted""#, ..EXACTLY_ONCE };
    assert!(witness(uncommitted, |came| came.read_twice), "a read_uncommitted reader");
}

/// Where only answers of the brokers are lost, idempotence is the whole difference. With a transactional id Kafka does
/// not let it be switched off.
#[test]
fn idempotence_is_needed() {
    let alone = Pipeline { weather: lost_answers, ..AT_LEAST_ONCE };
    for seed in seeds(0..3) {
        assert!(!run(alone, seed).breaks(Guarantee::ExactlyOnce), "seed {seed}");
    }
    let off = Pipeline { producer: r#""enable.idempotence": false, "linger.ms": 0"#, ..alone };
    assert!(witness(off, |came| came.breaks(Guarantee::ExactlyOnce)), "without idempotence");
    let refused = r#"(title: {"en": "x"}, cluster: (brokers: 1), topics: {"t": (replicas: [[1]])},
        producers: {"p": (config: {"transactional.id": "tx", "enable.idempotence": false})}, script: [])"#;
    let loaded = load("refused", refused.as_bytes(), &Limits::default());
    assert!(loaded.is_err(), "Kafka's constructor throws");
}

/// The group's generation fences a process that was replaced, so a random transactional id repeats nothing; but nobody
/// ends what a dead process left open, and readers wait until it times out.
#[test]
fn a_random_transactional_id_leaves_transactions_to_time_out() {
    let timed_out = |came: &Came| came.longest >= Duration::from_secs(10);
    // Among enough seeds there is one whose process dies with a stable id as well and stays away.
    for seed in 0..3 {
        let came = run(RANDOM_ID, seed);
        assert!(!came.breaks(Guarantee::ExactlyOnce), "seed {seed}");
        assert!(!timed_out(&run(EXACTLY_ONCE, seed)), "seed {seed}: a stable id");
    }
    assert!(witness(RANDOM_ID, timed_out), "a random id");
}

/// A transaction over two partitions, whose commit is under way for so many milliseconds when `victim` is killed; it
/// comes back, and everything settles.
fn killed_at(victim: &str, millis: u64) -> String {
    format!(
        r#"(
    title: {{"en": "a crash inside a commit"}},
    cluster: (brokers: 3, controllers: 1, config: {{"broker.session.timeout.ms": 3000,
        "transaction.state.log.num.partitions": 1,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000}}),
    topics: {{
        "t": (replicas: [[1, 2, 3], [2, 3, 1]], config: {{"min.insync.replicas": 2}}),
        "__transaction_state": (replicas: [[3, 2, 1]]),
    }},
    producers: {{"A": (config: {{"transactional.id": "tx", "transaction.timeout.ms": 10000}})}},
    script: [
        InitTransactions("A"), BeginTransaction("A"),
        Send(from: "A", to: "t", partition: 0, count: 2), Send(from: "A", to: "t", partition: 1, count: 2),
        At("0s", [CommitTransaction("A")]), Sleep("{millis}ms"),
        Kill({victim}), Sleep("500ms"), Start({victim}), Sleep("60s"), Quiesce,
    ],
    expect: {{"default": [Torn(0), Hanging(0), Duplicated(0)]}},
)"#
    )
}

/// The coordinator before, between and after its decision and the markers; a leader of a partition; the producer.
#[test]
fn a_crash_at_no_point_of_a_commit_tears_it_or_leaves_it_open() {
    let mut ended = BTreeSet::new();
    for victim in ["Broker(3)", "Broker(1)", "Client(\"A\")"] {
        for millis in 0..24 {
            let text = killed_at(victim, millis);
            let scenario = load("crash", text.as_bytes(), &Limits::default());
            let scenario = Arc::new(scenario.unwrap_or_else(|found| panic!("{found}")));
            let run = Run::new(&scenario, "default", millis + 1, &Limits::default());
            let mut run = run.expect("its variant");
            run.finish();
            let unmet = judge(&run).into_iter().find(|judged| !judged.met);
            assert_eq!(unmet, None, "{victim} after {millis} ms");
            let state = |event: &Event| match event.kind {
                EventKind::TransactionChanged { state, .. } => Some(state.name()),
                _ => None,
            };
            let events = run.simulation().trace().events();
            ended.extend(events.iter().filter_map(state).next_back());
        }
    }
    // A producer that died before it sent anything has no transaction.
    assert_eq!(ended, BTreeSet::from(["CompleteAbort", "CompleteCommit", "Empty"]));
}
