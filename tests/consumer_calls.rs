//! Calls of `KafkaConsumer` as stories: what `pause`, `seekToEnd`, `subscribe(Pattern)` and their like do at once, at
//! the next `poll()`, and after a rebalance.

#[path = "common/tell.rs"]
mod tell;

use highwater::base::ids::NodeId;
use highwater::base::time::{Duration, Time};
use highwater::event::{Api, EventKind};
use highwater::scenario::Run;

use tell::tell;

const FAST: &str =
    r#""auto.offset.reset": "earliest", "session.timeout.ms": 3000, "heartbeat.interval.ms": 300"#;

/// One broker, two topics of two partitions with four records each, and a consumer that does nothing by itself.
fn story(script: &str, expect: &str) -> Vec<Run> {
    tell(&format!(
        r#"Scenario(
            title: {{"en": "a test"}},
            cluster: (brokers: 1, controllers: 1, config: {{"offsets.topic.num.partitions": 1,
                "offsets.topic.replication.factor": 1, "group.initial.rebalance.delay.ms": 0,
                "group.min.session.timeout.ms": 1000}}),
            topics: {{"orders.eu": (partitions: 2), "orders.us": (partitions: 2), "bills": ()}},
            producers: {{"p": ()}},
            consumers: {{
                "A": (group: "g", config: {{{FAST}, "max.poll.records": 2}}),
                "B": (group: "g", topics: ["orders.eu"], config: {{{FAST}}}, loop: [Poll], start: ByScript),
                "C": (config: {{{FAST}}}),
            }},
            script: [
                Send(from: "p", to: "orders.eu", partition: 0, ids: ["a0", "a1", "a2", "a3"]),
                Send(from: "p", to: "orders.eu", partition: 1, ids: ["b0", "b1", "b2", "b3"]),
                Await(Completed("p")), {script}],
            expect: {{"default": [{expect}]}},
        )"#
    ))
}

#[test]
fn a_paused_partition_keeps_what_is_buffered_for_later() {
    story(
        r#"Assign("C", ["orders.eu-0", "orders.eu-1"]), Poll(consumer: "C", records: 8), SeekToBeginning("C", []),
            Pause("C", ["orders.eu-0"]), Observe("paused", Paused("C")), Observe("before", Polled("C")),
            Poll(consumer: "C", records: 5, within: "2s"), Observe("the other", Polled("C")),
            Resume("C", ["orders.eu-0"]),
            Poll(consumer: "C", records: 4), Observe("then", Polled("C")), Observe("nothing", Paused("C")),
            Pause("C", ["orders.us-0"]), Observe("not its own", Returned("C"))"#,
        r#"Observed("paused", ["orders.eu-0"]), Observed("the other", ["b0", "b1", "b2", "b3"]),
            Observed("then", ["a0", "a1", "a2", "a3"]), Observed("nothing", []),
            Observed("not its own", "IllegalStateException")"#,
    );
}

#[test]
fn an_eager_rebalance_forgets_what_was_paused() {
    story(
        r#"Subscribe("A", ["orders.eu"]), Poll(consumer: "A", timeout: "2s"), Pause("A", ["orders.eu-0"]),
            Observe("paused", Paused("A")), Start(Client("B")), Poll(consumer: "A", records: 10, within: "3s"),
            Observe("assigned", Assigned("A")), Observe("after", Paused("A"))"#,
        r#"Observed("paused", ["orders.eu-0"]), Observed("assigned", ["orders.eu-0"]), Observed("after", [])"#,
    );
}

#[test]
fn seeks_to_the_ends_are_looked_up_by_the_next_poll() {
    story(
        r#"Assign("C", ["orders.eu-0", "orders.eu-1"]), SeekToEnd("C", ["orders.eu-0"]),
            Poll(consumer: "C", records: 8, within: "2s"), Observe("polled", Polled("C")),
            SeekToEnd("C", []), Observe("unknown", Position("C")),
            Position(consumer: "C", partition: "orders.eu-1"), Observe("end", Returned("C")),
            SeekToBeginning("C", ["orders.eu-1"]), Poll(consumer: "C", records: 4), Observe("again", Polled("C")),
            SeekToEnd("C", ["bills-0"]), Observe("not its own", Returned("C"))"#,
        r#"Observed("polled", ["b0", "b1", "b2", "b3"]), Observed("end", 4),
            Observed("again", ["b0", "b1", "b2", "b3"]), Observed("not its own", "IllegalStateException")"#,
    );
}

#[test]
fn a_pattern_subscribes_to_all_topics_that_fit_and_mixes_with_nothing() {
    story(
        r#"SubscribePattern("A", "orders\\..*"), Poll(consumer: "A", timeout: "2s"), Observe("all", Assigned("A")),
            Subscribe("A", ["bills"]), Observe("topics", Returned("A")), Assign("A", ["bills-0"]),
            Observe("partitions", Returned("A")), Unsubscribe("A"), Subscribe("A", ["bills"]),
            Observe("after unsubscribe", Returned("A")), SubscribePattern("C", ".*"),
            Observe("no group", Returned("C"))"#,
        r#"Observed("all", ["orders.eu-0", "orders.eu-1", "orders.us-0", "orders.us-1"]),
            Observed("topics", "IllegalStateException"), Observed("partitions", "IllegalStateException"),
            Observed("after unsubscribe", None), Observed("no group", "InvalidGroupIdException")"#,
    );
}

#[test]
fn an_enforced_rebalance_is_one_like_any_other_and_needs_a_group() {
    story(
        r#"Subscribe("A", ["bills"]), Poll(consumer: "A", timeout: "2s"), EnforceRebalance("A"),
            Poll(consumer: "A", timeout: "2s"), Observe("callbacks", Callbacks("A")),
            EnforceRebalance("C"), Observe("no group", Returned("C"))"#,
        r#"Observed("callbacks", [["onPartitionsAssigned", ["bills-0"]], ["onPartitionsRevoked", ["bills-0"]],
            ["onPartitionsAssigned", ["bills-0"]]]), Observed("no group", "IllegalStateException")"#,
    );
}

#[test]
fn who_asks_from_beyond_the_high_watermark_is_answered_at_once() {
    // The followers stand still: m0 is committed, m1 to m3 are on the leader alone.
    let fetches = |offset: u32| {
        let runs = tell(&format!(
            r#"Scenario(title: {{"en": "a test"}}, topics: {{"t": (replicas: [[1, 2, 3]])}},
                producers: {{"p": (config: {{"acks": "1"}})}}, consumers: {{"C": (partitions: ["t-0"])}},
                script: [Send(from: "p", to: "t"), Await(HighWatermark("t", 0, 1)), Freeze(Broker(2)),
                    Freeze(Broker(3)),
                    Sleep("1s"), Send(from: "p", to: "t", count: 3), Await(Completed("p")),
                    Seek("C", "t-0", {offset}), Poll(consumer: "C", timeout: "400ms"),
                        Observe("polled", Polled("C"))],
                expect: {{"default": [Observed("polled", [])]}})"#
        ));
        let simulation = runs[0].simulation();
        let since = Time(simulation.now().0) - Duration::from_millis(390);
        let events = simulation.trace().events();
        let asked = events.iter().filter(|event| {
            let EventKind::WireSent { label, .. } = event.kind else { return false };
            let fetch = label.api == Api::Fetch && !label.response;
            fetch && event.node == NodeId::Consumer(0) && event.at > since
        });
        asked.count()
    };
    assert!(fetches(1) <= 1, "at the high watermark a fetch waits for data");
    assert!(fetches(2) > 20, "beyond it each is answered empty, and the next one follows");
}
