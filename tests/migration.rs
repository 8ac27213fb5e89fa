//! Groups that change their protocol while they have members (KIP-848, `group.consumer.migration.policy`): a consumer
//! of the consumer protocol joins a classic group, works beside its members, and leaves again; and a group that is
//! replaced member by member. Each expectation is a rule of Kafka's group coordinator.

#[path = "common/story.rs"]
mod story;

use highwater::check::JudgeSetup;

const CLUSTER: &str =
    r#"cluster: (brokers: 3, controllers: 1, config: {"group.initial.rebalance.delay.ms": 0})"#;
const ORDERS: &str = r#"topics: {"t": (partitions: 6, replication: 3)}, producers: {"p": ()}"#;

/// An optimised build is ten times as fast.
const SEEDS: u64 = if cfg!(debug_assertions) { 5 } else { 20 };

/// A member with a loop: what stands before its settings, and the settings.
fn member(name: &str, settings: &str) -> String {
    format!(
        r#""{name}": (group: "g", topics: ["t"], config: {{"enable.auto.commit": false,
            "auto.offset.reset": "earliest", {settings}}}, loop: [Poll, Work("1ms"), Commit(Sync)], start: ByScript)"#
    )
}

const EAGER: &str = r#""partition.assignment.strategy": "RangeAssignor""#;
const COOPERATIVE: &str = r#""partition.assignment.strategy": "CooperativeStickyAssignor""#;
const CONSUMER: &str = r#""group.protocol": "consumer""#;

/// Runs the story under some seeds; every expectation has to be met, and no guarantee broken.
fn holds(members: &[String], body: &str) {
    let members = members.join(", ");
    let body = format!("{CLUSTER}, {ORDERS}, consumers: {{{members}}}, {body}");
    let wrongs = story::wrongs(&body, SEEDS, |_| JudgeSetup::default());
    assert!(wrongs.is_empty(), "{wrongs:#?}");
}

const SENDS: &str = r#"Send(from: "p", to: "t", every: "20ms", count: 1000)"#;

#[test]
fn a_member_of_the_consumer_protocol_joins_a_classic_group_and_leaves_it_again() {
    let script = format!(
        r#"script: [
            Start(Client("A")), Start(Client("B")), Await(Members("g", 2)), {SENDS}, Sleep("2s"),
            Observe("before", Generation("g")), Mark("C"), Start(Client("C")),
            Await(All([Assigned("C"), Members("g", 3)])),
            // Nobody formed a generation: the group is in its next epoch.
            Observe("epoch", Generation("g")), Observe("revoked", Revoked(group: "g", since: "C")),
            Observe("stopped", Stopped(group: "g", since: "C")),
            Observe("A", AssignedCount("A")), Observe("C", AssignedCount("C")),
            Sleep("5s"), Close("C"), Await(Group("g", "PreparingRebalance")), Await(Members("g", 2)),
            Sleep("1s"), Observe("after", Generation("g")), Observe("A alone", AssignedCount("A")),
            Observe("exception", Exception("C")), Quiesce,
        ]"#
    );
    let expect = |revoked: &str, stopped: &str| {
        format!(
            r#"expect: {{"default": [
                Observed("epoch", 3), Observed("revoked", {revoked}), Observed("stopped", {stopped}),
                Observed("A", 2), Observed("C", 2), Observed("after", 4), Observed("A alone", 3),
                Observed("exception", None), Lost(0), Skipped(0), Unprocessed(0), Idle("g", 0),
            ]}}"#
        )
    };
    let members = |settings| [member("A", settings), member("B", settings), member("C", CONSUMER)];
    // Eager members give up all they have whenever they join again; cooperative ones what is not theirs any more.
    holds(&members(EAGER), &format!("{script}, {}", expect("6", r#"["A", "B"]"#)));
    holds(&members(COOPERATIVE), &format!("{script}, {}", expect("2", "[]")));
}

#[test]
fn the_policy_says_who_may_change_a_group_with_members() {
    let members = [member("A", EAGER), member("B", EAGER), member("C", CONSUMER)];
    let begin = format!(
        r#"Start(Client("A")), Start(Client("B")), Await(Members("g", 2)), {SENDS}, Sleep("2s"), Start(Client("C")),"#
    );
    holds(
        &members,
        &format!(
            r#"script: [{begin} Sleep("5s"), Observe("C", Exception("C")), Observe("A", AssignedCount("A")),
                Observe("generation", Generation("g")), Quiesce],
            variants: {{
                "disabled": {{"cluster.group.consumer.migration.policy": "disabled"}},
                "downgrade": {{"cluster.group.consumer.migration.policy": "downgrade"}},
            }},
            expect: {{
                "disabled": [Observed("C", "GroupIdNotFoundException"), Observed("A", 3), Observed("generation", 2)],
                "downgrade": [Observed("C", "GroupIdNotFoundException"), Observed("A", 3), Observed("generation", 2)],
            }}"#
        ),
    );
    // Without downgrade the group stays what it became, though nobody speaks that protocol any more.
    holds(
        &members,
        &format!(
            r#"script: [{begin} Await(All([Assigned("C"), Members("g", 3)])), Close("C"), Await(Members("g", 2)),
                AwaitNot("8s", Group("g", "PreparingRebalance")), Observe("A", AssignedCount("A")), Quiesce],
            variants: {{"upgrade": {{"cluster.group.consumer.migration.policy": "upgrade"}}}},
            expect: {{"upgrade": [Observed("A", 3), Unprocessed(0), Skipped(0), Idle("g", 0)]}}"#
        ),
    );
}

#[test]
fn a_group_is_replaced_member_by_member_in_both_directions() {
    let roll = |settings: [&str; 2]| {
        let [old, new] = settings;
        let members = [member("A", old), member("B", old), member("C", new), member("D", new)];
        let script = format!(
            r#"script: [
                Start(Client("A")), Start(Client("B")), Await(All([Assigned("A"), Assigned("B"), Members("g", 2)])),
                {SENDS}, Sleep("2s"),
                Start(Client("C")), Await(All([Assigned("C"), Members("g", 3)])), Close("A"), Await(Members("g", 2)),
                Start(Client("D")), Await(All([Assigned("D"), Members("g", 3)])), Close("B"),
                Await(All([Owns("B", []), Members("g", 2)])), Sleep("11s"),
                Observe("C", AssignedCount("C")), Observe("D", AssignedCount("D")), Quiesce,
            ],
            expect: {{"default": [Observed("C", 3), Observed("D", 3), Lost(0), Skipped(0), Unprocessed(0),
                Idle("g", 0)]}}"#
        );
        holds(&members, &script);
    };
    roll([EAGER, CONSUMER]);
    roll([COOPERATIVE, CONSUMER]);
    roll([CONSUMER, EAGER]);
    roll([CONSUMER, COOPERATIVE]);
}

#[test]
fn who_dies_in_a_group_of_both_protocols_is_missed_after_its_own_session() {
    let members = [
        member(
            "A",
            &format!(r#"{EAGER}, "session.timeout.ms": 10000, "heartbeat.interval.ms": 1000"#),
        ),
        member("B", EAGER),
        member("C", CONSUMER),
    ];
    // A classic member brings its session time; that of the other comes from the cluster (45 s).
    holds(
        &members,
        &format!(
            r#"script: [
                Start(Client("A")), Start(Client("B")), Await(Members("g", 2)), {SENDS}, Sleep("2s"),
                Start(Client("C")), Await(All([Assigned("C"), Members("g", 3)])),
                Kill(Client("A")), Sleep("9s"), Observe("9 s", Members("g")), Sleep("12s"),
                Observe("B after 21 s", AssignedCount("B")),
                Kill(Client("C")), Sleep("40s"), Observe("state after 40 s", GroupState("g")), Sleep("10s"),
                // The last of the consumer protocol is gone: a classic group again.
                Await(Members("g", 1)), Observe("B alone", AssignedCount("B")), Quiesce,
            ],
            expect: {{"default": [Observed("B after 21 s", 3), Observed("state after 40 s", "Stable"),
                Observed("B alone", 6), Unprocessed(0), Skipped(0)]}}"#
        ),
    );
}

#[test]
fn a_new_coordinator_knows_a_group_of_both_protocols() {
    let members = [member("A", EAGER), member("C", CONSUMER)];
    holds(
        &members,
        &format!(
            r#"script: [
                Start(Client("A")), Await(Members("g", 1)), {SENDS}, Sleep("2s"),
                Start(Client("C")), Await(All([Assigned("C"), Members("g", 2)])),
                Observe("epoch", Generation("g")), Kill(Coordinator("g")), Sleep("15s"),
                Observe("epoch after", Generation("g")), Observe("A", AssignedCount("A")),
                Observe("C", AssignedCount("C")), Start(Broker(1)), Start(Broker(2)), Start(Broker(3)), Quiesce,
            ],
            expect: {{"default": [Observed("epoch", 2), Observed("epoch after", 2), Observed("A", 3), Observed("C", 3),
                Unprocessed(0), Skipped(0)]}}"#
        ),
    );
}

#[test]
fn a_classic_member_that_shares_no_assignor_with_the_others_is_refused() {
    let members = [member("A", EAGER), member("B", COOPERATIVE), member("C", CONSUMER)];
    holds(
        &members,
        &format!(
            r#"script: [
                Start(Client("A")), Await(Members("g", 1)), {SENDS}, Start(Client("C")),
                Await(All([Assigned("C"), Members("g", 2)])), Start(Client("B")), Sleep("3s"),
                Observe("B", Exception("B")), Quiesce,
            ],
            expect: {{"default": [Observed("B", "InconsistentGroupProtocolException"), Unprocessed(0)]}}"#
        ),
    );
}
