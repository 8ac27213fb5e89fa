//! Share groups and their administrators: offsets reset and deleted, what a member that was away makes of it, and what
//! a member hears after an error. What was recorded of it is in `tests/kafka/s09_admin_*`.

#[path = "common/tell.rs"]
mod tell;

/// A share group of A, which says what becomes of each record, on a topic of one partition.
fn story(group_config: &str, script: &str, expect: &str) -> String {
    format!(
        r#"(title: {{"en": "t"}}, cluster: (brokers: 3, controllers: 1, config: {{
            "share.coordinator.state.topic.num.partitions": 1, "offsets.retention.minutes": 1,
            "offsets.retention.check.interval.ms": 1000,
        }}),
        topics: {{"t": (replicas: [[1, 2, 3]]), "__consumer_offsets": (replicas: [[2, 3, 1]]),
            "__share_group_state": (replicas: [[3, 1, 2]])}},
        producers: {{"p": ()}},
        consumers: {{
            "A": (group: "g", share: true, topics: ["t"], start: ByScript, config: {{
                "share.acknowledgement.mode": "explicit",
            }}),
        }},
        group_configs: {{"g": {{"share.auto.offset.reset": "earliest"{group_config}}}}},
        script: [
            Send(from: "p", to: "t", count: 4), Await(Completed("p")),
            {script}
        ],
        expect: {{"default": [{expect}]}})"#
    )
}

/// `kafka-share-groups.sh --reset-offsets`: where each option leads, what it says of a group with members. The stored
/// start offset is still 0 when everything is accepted, so `--to-current` delivers it all again.
#[test]
fn the_tool_resets_a_share_group_without_members() {
    let reset = |to: &str, name: &str| {
        format!(
            r#"ResetShareOffsets(group: "g", topic: "t", to: {to}), Observe("{name} said", AdminException),
            Observe("{name}", ShareOffsets("g")),"#
        )
    };
    let script = [
        reset("Earliest", "of no group"),
        r#"Start(Client("A")), Poll(consumer: "A", records: 4, within: "10s"),
        Acknowledge(consumer: "A", how: Accept), Commit(consumer: "A"),"#
            .to_owned(),
        reset("Earliest", "active"),
        r#"Close("A"), Await(Group("g", "Empty")), Sleep("100s"),
        Observe("state", GroupState("g")), Send(from: "p", to: "t", count: 2),
        Await(Completed("p")), Observe("lag", ShareLag("g")),"#
            .to_owned(),
        reset("Current", "current"),
        reset("Earliest", "earliest"),
        r#"Observe("lag from the start", ShareLag("g")),"#.to_owned(),
        reset("Offset(100)", "offset"),
        reset("Datetime(\"15s\")", "datetime"),
        reset("Latest", "latest"),
    ];
    let expect = r#"
        Observed("of no group said", None), Observed("of no group", {"t-0": 0}),
        Observed("active said", "Share group is not empty"),
        Observed("state", "Empty"), Observed("lag", {"t-0": 2}), Observed("current", {"t-0": 0}),
        Observed("earliest", {"t-0": 0}), Observed("lag from the start", {"t-0": 6}),
        Observed("offset", {"t-0": 6}), Observed("datetime", {"t-0": 4}),
        Observed("latest", {"t-0": 6}), Observed("latest said", None)"#;
    tell::tell(&story("", &script.concat(), expect));
}

/// The group empties while its member is frozen, and its offsets are changed. The partition's leader does not know: the
/// next write under the older state epoch is fenced, and it begins with what is stored.
#[test]
fn what_a_member_says_under_an_older_state_epoch_is_fenced() {
    for (call, epoch) in [
        (
            r#"AlterShareOffsets("g", {"t-0": 1})"#,
            r#"{"m0": [1], "m1": [1, 1], "m2": [1, 1], "m3": [1, 1]}"#,
        ),
        (
            r#"DeleteShareOffsets("g", ["t"])"#,
            r#"{"m0": [1, 1], "m1": [1, 1], "m2": [1, 1], "m3": [1, 1]}"#,
        ),
    ] {
        let script = format!(
            r#"Start(Client("A")), Poll(consumer: "A", records: 4, within: "10s"),
            Freeze(Client("A")), Await(Group("g", "Empty")),
            {call}, Observe("said", AdminException), Thaw(Client("A")),
            Acknowledge(consumer: "A", how: Accept), Commit(consumer: "A"), Observe("late", Returned("A")),
            Poll(consumer: "A", records: 1, within: "20s"), Acknowledge(consumer: "A", how: Accept),
            Commit(consumer: "A"), Observe("again", Returned("A")), Observe("deliveries", Deliveries("g")),"#
        );
        let expect = format!(
            r#"Observed("said", None), Observed("late", {{"t-0": "FencedStateEpochException"}}),
            Observed("again", {{"t-0": "ok"}}), Observed("deliveries", {epoch})"#
        );
        tell::tell(&story(r#", "share.record.lock.duration.ms": 60000"#, &script, &expect));
    }
}

/// Whatever answer of the coordinator is lost to an error: the member says everything again and is told everything
/// (`ShareHeartbeatRequestManager.HeartbeatState.reset`).
#[test]
fn who_hears_an_error_says_everything_again_and_is_told_everything() {
    for lost in 0..5 {
        let script = format!(
            r#"On(name: "x", api: "ShareGroupHeartbeat", side: Response, to: Client("A"), skip: {lost}, times: 1,
                do: Error("COORDINATOR_NOT_AVAILABLE")),
            Start(Client("A")),
            Poll(consumer: "A", records: 4, within: "30s"), Observe("polled", Polled("A")),"#
        );
        let expect = r#"Observed("polled", ["m0", "m1", "m2", "m3"])"#;
        tell::tell(&story("", &script, expect));
    }
}

#[test]
fn the_tool_of_share_groups_has_fewer_ways_to_say_where() {
    use highwater::scenario::{Limits, load};
    let text = story("", r#"ResetShareOffsets(group: "g", topic: "t", to: ShiftBy(-1)),"#, "");
    let refused =
        load("story.ron", text.as_bytes(), &Limits::default()).expect_err("no such option");
    assert!(refused.to_string().contains("neither --shift-by nor --by-duration"), "{refused}");
}
