//! Whom a consumer fetches from (KIP-392), as stories in the scenario language: what `RackAwareReplicaSelector`, the
//! leader and the consumer make of racks, counted on the wire.

#[path = "common/tell.rs"]
mod tell;

use highwater::base::error::ErrorCode;
use highwater::base::ids::{BrokerId, NodeId};
use highwater::base::time::{Duration, Time};
use highwater::event::{Api, EventKind};
use highwater::scenario::Run;

use tell::tell;

const SELECTOR: &str =
    r#""replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector","#;

/// Broker n is alone in the n-th of racks a, b and c; broker 1 leads. A reads by hand.
fn story(selector: &str, config: &str, script: &str, expect: &str) -> String {
    format!(
        r#"Scenario(
            title: {{"en": "a test"}},
            cluster: (brokers: 3, controllers: 1, racks: {{"a": [1], "b": [2], "c": [3]}}, config: {{{selector}}}),
            topics: {{"t": (replicas: [[1, 2, 3]])}},
            producers: {{"prod": (config: {{}})}},
            consumers: {{"A": (partitions: ["t-0"], config: {{{config}}})}},
            script: [Send(from: "prod", to: "t", count: 4), Await(Completed("prod")), Sleep("1s"), {script}],
            expect: {{"default": [{expect}]}},
        )"#
    )
}

/// When A asked which broker.
fn fetches(run: &Run) -> Vec<(Time, u8)> {
    let sent = run.simulation().trace().events().iter().filter_map(|event| match event.kind {
        EventKind::WireSent { to: NodeId::Broker(BrokerId(to)), label, .. }
            if event.node == NodeId::Consumer(0) && label.api == Api::Fetch =>
        {
            Some((event.at, to))
        }
        _ => None,
    });
    sent.collect()
}

fn asked(run: &Run) -> Vec<u8> {
    let mut brokers: Vec<u8> = fetches(run).into_iter().map(|(_, broker)| broker).collect();
    brokers.dedup();
    brokers
}

#[test]
fn a_reader_goes_to_the_in_sync_follower_of_its_rack_and_else_to_the_leader() {
    let script = r#"Poll(consumer: "A", timeout: "1s", records: 4), Poll(consumer: "A", timeout: "3s"),
                    Observe("position", Position("A"))"#;
    for (selector, rack, expected) in [
        ("", "b", &[1][..]),
        (SELECTOR, "", &[1]),
        (SELECTOR, "a", &[1]),
        (SELECTOR, "nowhere", &[1]),
        (SELECTOR, "b", &[1, 2]),
        (SELECTOR, "c", &[1, 3]),
    ] {
        let config = format!(r#""auto.offset.reset": "earliest", "client.rack": "{rack}""#);
        let expect = r#"Observed("position", {"t-0": 4})"#;
        for run in tell(&story(selector, &config, script, expect)) {
            assert_eq!(asked(&run), expected, "{rack}");
        }
    }
}

#[test]
fn the_leader_is_asked_again_when_the_preferred_replica_has_expired() {
    let config =
        r#""auto.offset.reset": "earliest", "client.rack": "b", "metadata.max.age.ms": 10000"#;
    let script =
        r#"Poll(consumer: "A", timeout: "1s", records: 4), Poll(consumer: "A", timeout: "34s")"#;
    for run in tell(&story(SELECTOR, config, script, "")) {
        let at_leader: Vec<Time> =
            fetches(&run).into_iter().filter(|(_, b)| *b == 1).map(|(at, _)| at).collect();
        assert_eq!(at_leader.len(), 4, "{at_leader:?}");
        for pair in at_leader.windows(2) {
            // A fetch that waits at b2 when the time is over is answered first.
            let gap = pair[1].since(pair[0]);
            let (low, high) = (Duration::from_secs(10), Duration::from_millis(10_600));
            assert!(low <= gap && gap <= high, "{gap:?}");
        }
    }
}

#[test]
fn a_reader_of_a_follower_that_dies_goes_back_to_the_leader() {
    let config = r#""auto.offset.reset": "earliest", "client.rack": "b""#;
    let script = r#"Poll(consumer: "A", timeout: "1s", records: 4),
        Kill(Broker(2)), Await(Isr("t", 0, [1, 3])), Send(from: "prod", to: "t"), Await(Completed("prod")),
        Poll(consumer: "A", timeout: "1s", records: 1, within: "5s"), Observe("read", Polled("A")),
        Start(Broker(2)), Await(Isr("t", 0, [1, 2, 3]))"#;
    for run in tell(&story(
        SELECTOR,
        config,
        script,
        r#"Observed("read", ["m0", "m1", "m2", "m3", "m4"])"#,
    )) {
        assert_eq!(asked(&run), [1, 2, 1]);
    }
}

/// With no reset policy a reset would throw. The fetch of b2 that waits when the rule begins brings it one more
/// message.
#[test]
fn out_of_a_followers_range_is_not_out_of_the_leaders() {
    let config = r#""auto.offset.reset": "none", "client.rack": "b""#;
    let script = r#"Seek("A", "t-0", 0), Poll(consumer: "A", timeout: "1s", records: 4),
        On(name: "stuck", api: "Fetch", side: Request, from: Broker(2), do: Hold),
        Send(from: "prod", to: "t"), Sleep("1s"), Send(from: "prod", to: "t", count: 3),
        Await(Isr("t", 0, [1, 3])), Await(Completed("prod")),
        Seek("A", "t-0", 6), Poll(consumer: "A", timeout: "1s", records: 1, within: "5s"),
        Observe("thrown", Exception("A")), Observe("position", Position("A")), ClearRules"#;
    let expect = r#"Observed("thrown", None), Observed("position", {"t-0": 8})"#;
    for run in tell(&story(SELECTOR, config, script, expect)) {
        assert_eq!(asked(&run), [1, 2, 1]);
        let refused = run.simulation().trace().events().iter().any(|event| {
            matches!(event.kind, EventKind::WireSent { to: NodeId::Consumer(0), label, .. }
                if label.error == ErrorCode::OffsetOutOfRange)
        });
        assert!(refused, "b2 says that it does not have offset 6");
    }
}
