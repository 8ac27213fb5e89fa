//! Subscriptions by regular expression that the coordinator evaluates (KIP-848), and topics that are created while
//! their readers are there, as whole scenarios. What real Kafka did is re-enacted in `tests/kafka/s04_regex_*` and
//! `s04_pattern_*`; here is the rest.

#[path = "common/tell.rs"]
mod tell;

use highwater::event::EventKind;
use highwater::scenario::{Limits, Run, load};

use tell::tell;

/// Three brokers, two topics that fit `orders-.*`, one that does not, and one that the script creates.
fn story(consumers: &str, script: &str, expect: &str) -> Vec<Run> {
    tell(&format!(
        r#"Scenario(
            title: {{"en": "a test"}},
            cluster: (brokers: 3, controllers: 1, config: {{"group.initial.rebalance.delay.ms": 0,
                "offsets.topic.num.partitions": 1, "group.consumer.regex.refresh.interval.ms": 20000}}),
            topics: {{"orders-eu": (partitions: 2, replication: 3), "orders-us": (partitions: 1, replication: 3),
                "bills": (partitions: 1, replication: 3),
                "orders-jp": (partitions: 2, replication: 3, created: ByScript)}},
            producers: {{"p": (config: {{"max.block.ms": 3000}})}},
            consumers: {{{consumers}}},
            script: [{script}],
            expect: {{"default": [{expect}]}},
        )"#
    ))
}

/// A member with a loop that starts at once.
fn member(name: &str, subscription: &str, settings: &str) -> String {
    format!(
        r#""{name}": (group: "g", {subscription}, loop: [Poll, Work("1ms"), Commit(Sync)], config: {{
            {settings} "auto.offset.reset": "earliest", "enable.auto.commit": false, "metadata.max.age.ms": 1000}}),"#
    )
}

const CONSUMER: &str = r#""group.protocol": "consumer","#;

#[test]
fn what_fits_survives_the_coordinator() {
    story(
        &member("A", r#"regex: "orders-.*""#, CONSUMER),
        r#"Sleep("10s"), Observe("before", Assigned("A")), Observe("epoch", Generation("g")),
            Kill(Coordinator("g")), Sleep("15s"), Observe("after", Assigned("A")),
            Observe("epoch after", Generation("g")), CreateTopic("orders-jp"), Sleep("20s"),
            Observe("more", Assigned("A")), Observe("callbacks", Callbacks("A"))"#,
        r#"Observed("before", ["orders-eu-0", "orders-eu-1", "orders-us-0"]), Observed("epoch", 2),
            Observed("after", ["orders-eu-0", "orders-eu-1", "orders-us-0"]), Observed("epoch after", 2),
            Observed("more", ["orders-eu-0", "orders-eu-1", "orders-jp-0", "orders-jp-1", "orders-us-0"]),
            Observed("callbacks", [["onPartitionsAssigned", []],
                ["onPartitionsAssigned", ["orders-eu-0", "orders-eu-1", "orders-us-0"]],
                ["onPartitionsAssigned", ["orders-jp-0", "orders-jp-1"]]])"#,
    );
}

#[test]
fn looking_again_without_news_changes_nothing() {
    let runs = story(
        &member("A", r#"regex: "orders-.*""#, CONSUMER),
        r#"Sleep("2min"), Observe("epoch", Generation("g")), Observe("callbacks", Count(Callbacks("A")))"#,
        r#"Observed("epoch", 2), Observed("callbacks", 2)"#,
    );
    for run in runs {
        let events = run.simulation().trace().events().iter();
        let found = events.filter_map(|event| match event.kind {
            EventKind::RegexResolved { topics, .. } => Some(topics),
            _ => None,
        });
        assert_eq!(found.collect::<Vec<_>>(), [2], "said once");
    }
}

#[test]
fn what_only_one_member_had_is_forgotten_with_it() {
    let members = [
        member("A", r#"regex: "orders-.*""#, CONSUMER),
        member("B", r#"regex: "bills|orders-us""#, CONSUMER),
    ];
    story(
        &members.concat(),
        r#"Sleep("30s"), Observe("A and B", Members("g")), Kill(Client("A")), Sleep("60s"),
            Observe("B", Assigned("B"))"#,
        r#"Observed("B", ["bills-0", "orders-us-0"])"#,
    );
}

#[test]
fn a_classic_member_and_one_with_an_expression_share_a_group() {
    let members =
        [member("A", r#"regex: "orders-.*""#, CONSUMER), member("C", r#"topics: ["bills"]"#, "")];
    story(
        &members.concat(),
        r#"Sleep("30s"), Observe("A", Assigned("A")), Observe("C", Assigned("C")), Close("A"), Sleep("30s"),
            Observe("C alone", Assigned("C")), Observe("state", GroupState("g"))"#,
        r#"Observed("A", ["orders-eu-0", "orders-eu-1", "orders-us-0"]), Observed("C", ["bills-0"]),
            Observed("C alone", ["bills-0"]), Observed("state", "Stable")"#,
    );
}

#[test]
fn records_of_a_topic_that_is_created_late_are_read_by_whoever_subscribes_to_it() {
    for (subscription, settings) in [
        (r#"regex: "orders-.*""#, CONSUMER),
        (r#"pattern: "orders-.*""#, CONSUMER),
        (r#"pattern: "orders-.*""#, ""),
        (r#"topics: ["orders-jp"]"#, CONSUMER),
        (r#"topics: ["orders-jp"]"#, ""),
    ] {
        story(
            &member("A", subscription, settings),
            r#"Sleep("15s"), CreateTopic("orders-jp"), Observe("created", AdminException), Sleep("1s"),
                Send(from: "p", to: "orders-jp", ids: ["a", "b", "c", "d"]), Await(Completed("p")),
                Await(Processed("A", 4)), CreateTopic("orders-jp"), Observe("again", AdminException), Close("A")"#,
            r#"Acked(4), Lost(0), Unprocessed(0), Observed("created", None),
                Observed("again", "TopicExistsException")"#,
        );
    }
}

#[test]
fn before_it_is_created_a_topic_takes_nothing() {
    story(
        &member("A", r#"topics: ["bills"]"#, ""),
        r#"CreatePartitions("orders-jp", 4), Observe("partitions", AdminException),
            Send(from: "p", to: "orders-jp", ids: ["a"]), Await(Completed("p")), CreateTopic("orders-jp"),
            CreatePartitions("orders-jp", 4), Observe("more", AdminException), Sleep("2s"),
            Send(from: "p", to: "orders-jp", partition: 3, ids: ["b"]), Await(Completed("p"))"#,
        r#"FailedWith({"a": "TimeoutException"}), Acked(["b"]), Observed("more", None),
            Observed("partitions", "UnknownTopicOrPartitionException")"#,
    );
}

/// What is wrong with a scenario that has this consumer.
fn problems(consumer: &str) -> String {
    let text = format!(
        r#"Scenario(title: {{"en": "a test"}}, topics: {{"t": ()}}, script: [],
            consumers: {{"A": (group: "g", {consumer})}})"#
    );
    match load("a test", text.as_bytes(), &Limits::default()) {
        Ok(_) => String::new(),
        Err(diagnostics) => diagnostics.to_string(),
    }
}

#[test]
fn a_consumer_subscribes_in_one_way_and_in_words_that_are_understood() {
    let one = "a consumer subscribes to topics, by `pattern` or by `regex`, one of them";
    for (consumer, message) in [
        (r#"regex: "t.*", topics: ["t"]"#, one),
        (r#"regex: "t.*", pattern: "t.*""#, one),
        (r#"pattern: "t.*", partitions: ["t-0"]"#, one),
        (r#"regex: "t.*", share: true"#, one),
        (r#"regex: """#, "no regular expression: it is empty"),
        (r#"pattern: "t[""#, "no regular expression: unclosed character class"),
        (r#"pattern: "t(?!s)""#, "not understood here: look-around"),
    ] {
        assert!(problems(consumer).contains(message), "{consumer}: {}", problems(consumer));
    }
    // What RE2/J refuses is the coordinator's to tell.
    for consumer in [r#"regex: "t[""#, r#"regex: "t(?!s)""#, r#"regex: "t.*""#, r#"pattern: "t.*""#]
    {
        assert_eq!(problems(consumer), "");
    }
}
