//! Every built-in scenario tells the same story under every seed, and tells it again from any moment of it.

use std::sync::Arc;

use highwater::base::ids::EventSeq;
use highwater::scenario::value::Fact;
use highwater::scenario::verdict::judge;
use highwater::scenario::{Limits, Outcome, Recording, Run, Scenario, builtins, load};

fn scenario(id: &str) -> Arc<Scenario> {
    let builtin = builtins().iter().find(|builtin| builtin.id == id).expect("a built-in id");
    let loaded = load(builtin.id, builtin.text.as_bytes(), &Limits::default());
    Arc::new(loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}")))
}

fn run(scenario: &Arc<Scenario>, variant: &str, seed: u64) -> Run {
    Run::new(scenario, variant, seed, &Limits::default()).expect("a variant of it")
}

/// An optimised build is ten times as fast.
const SEEDS: u64 = if cfg!(debug_assertions) { 4 } else { 40 };

fn holds(id: &str, seeds: u64) {
    let scenario = scenario(id);
    let mut failures = Vec::new();
    for variant in scenario.variant_names() {
        assert!(scenario.expect.get(variant).is_some(), "{id}: nothing is expected of {variant}");
        for seed in 1..=seeds {
            let mut run = run(&scenario, variant, seed);
            run.finish();
            for judged in judge(&run).into_iter().filter(|judged| !judged.met) {
                failures.push(format!(
                    "{id} --variant {variant:?} --seed {seed}: {} but {}",
                    judged.expectation, judged.found
                ));
            }
            // A refusal is a story too, where it is expected.
            if !matches!(run.outcome(), Outcome::Completed | Outcome::Refused(_)) {
                failures.push(format!(
                    "{id} {variant:?} {seed}: {:?} at {}",
                    run.outcome(),
                    run.now()
                ));
            }
            assert!(run.questions().all(|(_, asked)| asked.answer.is_some()), "{id}: no answer");
        }
    }
    let shown: Vec<_> = failures.iter().take(12).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), shown.join("\n"));
}

macro_rules! stories {
    ($($name:ident: $id:literal;)*) => {
        $(#[test]
        fn $name() {
            holds($id, SEEDS);
        })*

        #[test]
        fn no_story_is_left_out() {
            let told = [$($id),*];
            assert!(builtins().iter().all(|builtin| told.contains(&builtin.id)));
        }
    };
}

stories! {
    hello_log: "hello-log";
    no_group_id: "no-group-id";
    extra_idle_consumers: "extra-idle-consumers";
    assignors_compared: "assignors-compared";
    slow_peer_does_not_help: "slow-peer-does-not-help";
    crash_takeover: "crash-takeover";
    three_semantics: "three-semantics";
    acks_ladder: "acks-ladder";
    auto_commit_crash: "auto-commit-crash";
    auto_commit_handoff: "auto-commit-handoff";
    commit_before_or_after: "commit-before-or-after";
    commit_skip_is_not_retry: "commit-skip-is-not-retry";
    producer_retry_duplicate: "producer-retry-duplicate";
    retry_reorders: "retry-reorders";
    idempotence_restart_gap: "idempotence-restart-gap";
    producer_during_outage: "producer-during-outage";
    batching_and_flush: "batching-and-flush";
    leader_crash: "leader-crash";
    hw_and_visibility: "hw-and-visibility";
    isr_shrink: "isr-shrink";
    min_isr_block: "min-isr-block";
    acks_all_one_replica: "acks-all-one-replica";
    unclean_election: "unclean-election";
    elr_safe_election: "elr-safe-election";
    truncation_bugs: "truncation-bugs";
    no_fsync_power_loss: "no-fsync-power-loss";
    all_replicas_lost: "all-replicas-lost";
    isolated_leader: "isolated-leader";
    rack_loss: "rack-loss";
    broker_hotspot: "broker-hotspot";
    follower_fetch_rack: "follower-fetch-rack";
    rebalance_protocols: "rebalance-protocols";
    failure_detection_clock: "failure-detection-clock";
    max_poll_exceeded: "max-poll-exceeded";
    rolling_restart_static: "rolling-restart-static";
    rebalance_storm: "rebalance-storm";
    zombie_consumer: "zombie-consumer";
    coordinator_failover: "coordinator-failover";
    controller_failover: "controller-failover";
    controller_quorum_loss: "controller-quorum-loss";
    rolling_broker_restart: "rolling-broker-restart";
    share_group_basics: "share-group-basics";
    share_group_poison: "share-group-poison";
    fan_out_groups: "fan-out-groups";
    pull_not_push: "pull-not-push";
    choosing_a_partition: "choosing-a-partition";
    order_within_partition: "order-within-partition";
    lag_growth: "lag-growth";
    start_where: "start-where";
    stuck_new_group: "stuck-new-group";
    reset_offsets: "reset-offsets";
    peek_without_consuming: "peek-without-consuming";
    partition_increase_blind_spot: "partition-increase-blind-spot";
    retention_segments: "retention-segments";
    slow_consumer_outrun: "slow-consumer-outrun";
    offset_expiry: "offset-expiry";
    compaction_tombstones: "compaction-tombstones";
    count_is_not_offsets: "count-is-not-offsets";
    partition_increase_breaks_order: "partition-increase-breaks-order";
    hot_partition: "hot-partition";
    large_message: "large-message";
    txn_atomic: "txn-atomic";
    eos_read_process_write: "eos-read-process-write";
    zombie_fencing: "zombie-fencing";
    eos_stops_at_the_database: "eos-stops-at-the-database";
    lso_stall: "lso-stall";
    hanging_transaction: "hanging-transaction";
}

#[test]
fn a_run_repeats_itself_from_any_moment() {
    for builtin in builtins() {
        let scenario = scenario(builtin.id);
        let variant = scenario.variant_names()[0];
        let recording = Recording::whole(run(&scenario, variant, 7));
        let head = recording.head().simulation().trace();
        let mut again = run(&scenario, variant, 7);
        again.finish();
        assert_eq!(head.hash(), again.simulation().trace().hash(), "{}", builtin.id);
        for part in [0, 1, 3, 7, 10] {
            let mut fork = recording.seek(EventSeq((head.len() * part / 10) as u32));
            fork.finish();
            let trace = fork.simulation().trace();
            assert_eq!(
                (head.hash(), head.len()),
                (trace.hash(), trace.len()),
                "{} {part}",
                builtin.id
            );
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of answers")]
fn answers_are_those_of_the_whole_story() {
    // (scenario, variant, answers of its questions with seed 1; `None`: it depends on the seed)
    let table: &[(&str, &str, &[Option<i64>])] = &[
        ("hello-log", "without commit", &[Some(12)]),
        ("acks-ladder", "acks=1", &[Some(3), None]),
        ("auto-commit-crash", "commitSync", &[None, Some(0)]),
        ("commit-before-or-after", "before", &[Some(6), Some(0)]),
        ("commit-before-or-after", "after the batch", &[Some(0), Some(4)]),
        ("producer-retry-duplicate", "idempotence off", &[Some(2)]),
        ("producer-retry-duplicate", "off, leader dies", &[Some(2)]),
        ("idempotence-restart-gap", "retry by the client", &[Some(0)]),
        ("idempotence-restart-gap", "process restarts", &[Some(1)]),
        ("batching-and-flush", "linger 50, close()", &[Some(301)]),
        ("extra-idle-consumers", "4 partitions, 10 members", &[Some(6), Some(2)]),
        ("extra-idle-consumers", "1 partition, 10 members", &[Some(9), Some(8)]),
        ("crash-takeover", "no commit", &[Some(3), Some(45)]),
        ("commit-skip-is-not-retry", "log and go on", &[Some(1)]),
        ("no-group-id", "latest", &[Some(20)]),
        ("assignors-compared", "range (default)", &[Some(6)]),
        ("slow-peer-does-not-help", "100 records a poll", &[Some(300)]),
        ("rolling-restart-static", "dynamic members", &[Some(13)]),
        ("rolling-restart-static", "static members", &[Some(1)]),
        ("rebalance-storm", "6 s and eager", &[Some(11)]),
        ("zombie-consumer", "a pause of 30 s", &[Some(0)]),
        ("leader-crash", "controlled shutdown", &[Some(0), Some(0)]),
        ("share-group-basics", "share group", &[Some(0), Some(2), Some(18)]),
        ("share-group-basics", "consumer group", &[Some(9), Some(20), Some(0)]),
        ("share-group-basics", "share group, one big batch", &[Some(0), None, Some(0)]),
        (
            "share-group-basics",
            "share group, one big batch, record_limit",
            &[Some(0), Some(2), Some(25)],
        ),
        ("share-group-poison", "worker killed", &[None, Some(5)]),
        ("share-group-poison", "worker frozen", &[Some(30), Some(5)]),
        ("share-group-poison", "worker frozen, lock 15 s", &[Some(15), Some(5)]),
        ("share-group-poison", "limit 2", &[None, Some(2)]),
        ("share-group-poison", "slow work, lock 15 s, limit 2, renewed", &[None, Some(2)]),
        ("share-group-poison", "reject", &[None, Some(1)]),
        ("txn-atomic", "read_uncommitted", &[Some(20), Some(12)]),
        ("txn-atomic", "read_committed", &[Some(10), Some(12)]),
        ("eos-read-process-write", "at-least-once", &[Some(120), Some(120)]),
        ("eos-read-process-write", "exactly-once", &[Some(100), Some(120)]),
        ("eos-read-process-write", "exactly-once, read_uncommitted", &[Some(120), Some(120)]),
        ("zombie-fencing", "stable id", &[Some(0), None, Some(0)]),
        ("zombie-fencing", "random id", &[Some(30), None, Some(10)]),
        ("zombie-fencing", "random id, A sleeps for 90 s", &[Some(65), None, Some(0)]),
        ("eos-stops-at-the-database", "plain insert", &[Some(110), Some(100)]),
        ("eos-stops-at-the-database", "unique key", &[Some(100), Some(100)]),
        ("eos-stops-at-the-database", "offsets in the database", &[Some(100), Some(90)]),
        (
            "eos-stops-at-the-database",
            "offsets in the database, receipts first",
            &[Some(100), Some(110)],
        ),
        ("lso-stall", "60 s (default)", &[Some(0), None]),
        ("lso-stall", "read_uncommitted", &[Some(14), None]),
        ("hanging-transaction", "version 1, nobody asks", &[Some(0), Some(7)]),
        ("hanging-transaction", "version 1, leaders ask", &[Some(3), Some(5)]),
        ("hanging-transaction", "version 2", &[Some(3), Some(5)]),
        ("controller-failover", "controller only", &[Some(0), None, Some(0)]),
        ("controller-failover", "controlled shutdown", &[Some(0), Some(0), Some(0)]),
    ];
    for (id, variant, wanted) in table {
        let mut run = run(&scenario(id), variant, 1);
        run.finish();
        let found: Vec<_> = run.questions().map(|(_, asked)| asked.answer.clone()).collect();
        assert_eq!(found.len(), wanted.len(), "{id}");
        for (found, wanted) in found.iter().zip(*wanted) {
            let same = wanted.is_none_or(|n| *found == Some(Fact::Number(n)));
            assert!(same, "{id} {variant}: {found:?}, expected {wanted:?}");
        }
    }
    let mut crash = run(&scenario("auto-commit-crash"), "every 5 s", 1);
    crash.finish();
    let repeated = crash.questions().next().and_then(|(_, asked)| asked.answer.clone());
    assert!(matches!(repeated, Some(Fact::Number(25..=45))), "{repeated:?}");
}

#[test]
fn variants_share_ids_and_seeds_differ() {
    let scenario = scenario("acks-ladder");
    let mut one = run(&scenario, "acks=1", 1);
    let mut two = run(&scenario, "acks=1", 2);
    one.finish();
    two.finish();
    assert_ne!(one.simulation().trace().hash(), two.simulation().trace().hash());
}
