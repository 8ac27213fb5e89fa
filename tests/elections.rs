//! Stories of administrators and of the controller's own rounds: elections by command, settings altered at run time,
//! replicas that move. Each expectation is a rule of Kafka's controller.

#[path = "common/story.rs"]
mod story;

use highwater::check::JudgeSetup;

/// Tells a story. Whatever an administrator does in it, what must not break does not.
fn holds(body: &str) {
    let unclean_by_hand = body.contains("nclean");
    let wrongs = story::wrongs(body, 5, |run| {
        let acks = run.simulation().spec().producers.iter().map(|producer| producer.acks).collect();
        JudgeSetup { acks, unclean_by_hand, ..JudgeSetup::default() }
    });
    assert!(wrongs.is_empty(), "{wrongs:#?}");
}

const FAST: &str = r#""broker.session.timeout.ms": 5000, "broker.heartbeat.interval.ms": 500,
    "replica.fetch.backoff.ms": 200"#;

#[test]
fn a_preferred_election_needs_the_first_replica_in_the_isr() {
    holds(&format!(
        r#"cluster: (config: {{{FAST}}}), topics: {{"t": (replicas: [[1, 2, 3]])}}, script: [
            ElectLeaders(Preferred, ["t-0"]), Observe("it leads", AdminException),
            ElectLeaders(Preferred, []), Observe("of all, none needed", AdminException),
            Kill(Broker(1)), Await(LeaderIs("t", 0, Broker(2))),
            ElectLeaders(Preferred, ["t-0"]), Observe("it is dead", AdminException),
            ElectLeaders(Unclean, ["t-0"]), Observe("there is a leader", AdminException),
            Start(Broker(1)), Await(Isr("t", 0, [1, 2, 3])),
            ElectLeaders(Preferred, ["t-0"]), Observe("it is back", AdminException),
            Observe("leader", Leader("t-0")), Observe("epoch", LeaderEpoch("t-0")), Quiesce,
        ], expect: {{"default": [
            Observed("it leads", "ElectionNotNeededException"), Observed("of all, none needed", None),
            Observed("it is dead", "PreferredLeaderNotAvailableException"),
            Observed("there is a leader", "ElectionNotNeededException"),
            Observed("it is back", None), Observed("leader", 1), Observed("epoch", 2)]}}"#
    ));
}

/// Broker 1 alone in the ISR has m1 and dies; 2 and 3 come back without it.
fn offline(config: &str) -> String {
    format!(
        r#"cluster: (config: {{{FAST}{config}}}), topics: {{"t": (replicas: [[1, 2, 3]])}},
        producers: {{"p": (config: {{"delivery.timeout.ms": 10000, "request.timeout.ms": 5000}})}}, script: [
            Send(from: "p", to: "t"), Await(Completed("p")), Sleep("600ms"),
            Kill(Broker(2)), Kill(Broker(3)), Await(Isr("t", 0, [1])),
            Send(from: "p", to: "t"), Await(Completed("p")), Kill(Broker(1)),
            Start(Broker(2)), Start(Broker(3)), Await(NoLeader("t", 0)), Await(Unfenced(Broker(2))),
            Await(Unfenced(Broker(3))), "#
    )
}

#[test]
fn an_unclean_election_by_command_asks_no_setting() {
    let start = offline("");
    holds(&format!(
        r#"{start} ElectLeaders(Preferred, ["t-0"]), Observe("preferred", AdminException),
            ElectLeaders(Unclean, ["t-0"]), Observe("unclean", AdminException),
            Observe("leader", Leader("t-0")), Observe("epoch", LeaderEpoch("t-0")),
            Observe("isr", Isr("t-0")), Observe("elr", Elr("t-0")), Start(Broker(1)), Quiesce,
        ], expect: {{"default": [
            Observed("preferred", "PreferredLeaderNotAvailableException"), Observed("unclean", None),
            Observed("leader", 2), Observed("epoch", 2), Observed("isr", [2]), Observed("elr", []),
            Lost(["m1"])]}}"#
    ));
    holds(&format!(
        r#"cluster: (config: {{{FAST}}}), topics: {{"t": (replicas: [[1, 2]])}}, script: [
            Kill(Broker(1)), Kill(Broker(2)), Await(NoLeader("t", 0)),
            ElectLeaders(Unclean, ["t-0"]), Observe("nobody is alive", AdminException),
        ], expect: {{"default": [Observed("nobody is alive", "EligibleLeadersNotAvailableException")]}}"#
    ));
}

#[test]
fn unclean_election_switched_on_for_an_offline_partition_waits_for_the_next_round() {
    let start = offline(r#", "unclean.leader.election.interval.ms": 60000"#);
    holds(&format!(
        r#"{start} AlterConfigs("t", {{"unclean.leader.election.enable": true}}),
            AwaitNot("40s", LeaderElected("t", 0)), AwaitWithin("20s", LeaderElected("t", 0)),
            Observe("leader", Leader("t-0")), Start(Broker(1)), Quiesce,
        ], expect: {{"default": [Observed("leader", 2), Lost(["m1"])]}}"#
    ));
}

#[test]
fn the_return_of_the_good_leader_triggers_the_unclean_election_that_loses_its_record() {
    let start = offline("");
    holds(&format!(
        r#"{start} AlterConfigs("t", {{"unclean.leader.election.enable": true}}),
            AwaitNot("40s", LeaderElected("t", 0)), Start(Broker(1)),
            AwaitWithin("5s", LeaderElected("t", 0)), Observe("leader", Leader("t-0")), Quiesce,
        ], expect: {{"default": [Observed("leader", 2), Lost(["m1"])]}}"#
    ));
}

#[test]
fn leaders_move_back_in_the_next_round_unless_that_is_switched_off() {
    holds(&format!(
        r#"cluster: (config: {{{FAST}, "leader.imbalance.check.interval.seconds": 60}}),
        topics: {{"t": (replicas: [[1, 2, 3]])}}, script: [
            Sleep("1s"), Stop(Broker(1)), Await(Down(Broker(1))), Start(Broker(1)), Await(Isr("t", 0, [1, 2, 3])),
            Observe("back", Leader("t-0")), Sleep("60s"), Observe("a round later", Leader("t-0")), Quiesce,
        ],
        variants: {{"on": {{}}, "off": {{"cluster.auto.leader.rebalance.enable": false}}}},
        expect: {{"on": [Observed("back", 2), Observed("a round later", 1)],
                 "off": [Observed("back", 2), Observed("a round later", 2)]}}"#
    ));
}

/// 2 is in the ELR and shut down in order, so it could lead; the new minimum clears the ELR, and it waits for 1.
#[test]
fn a_new_min_isr_clears_the_elr() {
    holds(&format!(
        r#"cluster: (config: {{{FAST}}}),
        topics: {{"t": (replicas: [[1, 2, 3]], config: {{"min.insync.replicas": 2}})}}, script: [
            Kill(Broker(3)), Await(Isr("t", 0, [1, 2])), Stop(Broker(2)), Await(Down(Broker(2))),
            Await(Isr("t", 0, [1])), Observe("elr", Elr("t-0")),
            Named("alter", [AlterConfigs("t", {{"min.insync.replicas": 1}})]), Observe("then", Elr("t-0")),
            Kill(Broker(1)), Await(NoLeader("t", 0)), Start(Broker(2)), Await(Unfenced(Broker(2))),
            Observe("leader", Leader("t-0")),
        ],
        variants: {{"altered": {{}}, "as it was": {{"script.alter": [Sleep("1ms")]}}}},
        expect: {{"altered": [Observed("elr", [2]), Observed("then", []), Observed("leader", None)],
                 "as it was": [Observed("elr", [2]), Observed("then", [2]), Observed("leader", 2)]}}"#
    ));
}

#[test]
fn a_lower_min_isr_lets_the_high_watermark_go_on_with_the_next_append() {
    holds(&format!(
        r#"cluster: (config: {{{FAST}}}), producers: {{"p": (config: {{"acks": 1}})}},
        topics: {{"t": (replicas: [[1, 2]], config: {{"min.insync.replicas": 2}})}}, script: [
            Kill(Broker(2)), Await(Isr("t", 0, [1])), Sleep("1s"),
            Send(from: "p", to: "t"), Await(Completed("p")), Sleep("1s"),
            AlterConfigs("t", {{"min.insync.replicas": 1}}), Sleep("1s"),
            Observe("altered", HighWatermark(Broker(1), "t-0")),
            Send(from: "p", to: "t"), Await(Completed("p")), Sleep("1s"),
            Observe("after the next", HighWatermark(Broker(1), "t-0")),
        ], expect: {{"default": [Observed("altered", 0), Observed("after the next", 2)]}}"#
    ));
}

#[test]
fn a_reassignment_adds_first_and_removes_when_the_new_replicas_are_in_sync() {
    holds(&format!(
        r#"cluster: (brokers: 4, config: {{{FAST}}}), topics: {{"t": (replicas: [[1, 2, 3]])}},
        producers: {{"p": ()}}, script: [
            Send(from: "p", to: "t", count: 3), Await(Completed("p")), Freeze(Broker(4)),
            Reassign("t-0", [4, 2]), Observe("begun", AdminException),
            Sleep("2s"), Observe("meanwhile", Replicas("t-0")), Observe("isr", Isr("t-0")),
            Thaw(Broker(4)), Await(Isr("t", 0, [2, 4])), Observe("leader", Leader("t-0")),
            Observe("epoch", LeaderEpoch("t-0")), Sleep("1s"), Observe("replicas", Replicas("t-0")),
            Observe("logs", Logs("t-0")), Send(from: "p", to: "t"), Await(Completed("p")), Quiesce,
        ], expect: {{"default": [
            Observed("begun", None), Observed("meanwhile", [4, 2, 1, 3]), Observed("isr", [1, 2, 3]),
            Observed("replicas", [4, 2]), Observed("leader", 4), Observed("epoch", 1),
            Observed("logs", {{"b4": [[0, "m0", 0], [1, "m1", 0], [2, "m2", 0]],
                              "b2": [[0, "m0", 0], [1, "m1", 0], [2, "m2", 0]]}}),
            Lost(0), Duplicated(0)]}}"#
    ));
}

#[test]
fn the_replication_factor_rises_and_falls_by_reassignment() {
    holds(&format!(
        r#"cluster: (config: {{{FAST}}}), topics: {{"t": (replicas: [[1]])}}, producers: {{"p": ()}}, script: [
            Send(from: "p", to: "t"), Await(Completed("p")),
            Reassign("t-0", [1, 2, 3]), Await(Isr("t", 0, [1, 2, 3])), Sleep("1s"),
            Observe("three", Replicas("t-0")), Observe("no new epoch", LeaderEpoch("t-0")),
            Reassign("t-0", [2, 1]), Observe("two", Replicas("t-0")), Observe("leader", Leader("t-0")),
            Observe("epoch", LeaderEpoch("t-0")), Send(from: "p", to: "t"), Await(Completed("p")),
            Kill(Broker(1)), Await(LeaderIs("t", 0, Broker(2))), Start(Broker(1)), Quiesce,
        ], expect: {{"default": [
            Observed("three", [1, 2, 3]), Observed("no new epoch", 0), Observed("two", [2, 1]),
            Observed("leader", 1), Observed("epoch", 1), Lost(0), Log("t-0", ["m0", "m1"])]}}"#
    ));
}

/// The order is that of the reassignment, without what it added: Kafka does not remember the old one.
#[test]
fn a_reassignment_can_be_taken_back_while_it_lasts() {
    holds(&format!(
        r#"cluster: (brokers: 4, config: {{{FAST}}}), topics: {{"t": (replicas: [[1, 2, 3]])}}, script: [
            CancelReassignment("t-0"), Observe("none", AdminException),
            Reassign("t-0", [1, 1]), Observe("twice", AdminException), Freeze(Broker(4)),
            Reassign("t-0", [4, 2, 3]), Sleep("1s"), CancelReassignment("t-0"),
            Observe("back", AdminException), Thaw(Broker(4)), Sleep("1s"),
            Observe("replicas", Replicas("t-0")), Observe("isr", Isr("t-0")), Quiesce,
        ], expect: {{"default": [
            Observed("none", "NoReassignmentInProgressException"),
            Observed("twice", "InvalidReplicaAssignmentException"), Observed("back", None),
            Observed("replicas", [2, 3, 1]), Observed("isr", [1, 2, 3])]}}"#
    ));
}

#[test]
fn a_broker_that_was_down_when_it_lost_its_replica_deletes_the_stray_log() {
    holds(&format!(
        r#"cluster: (config: {{{FAST}}}), topics: {{"t": (replicas: [[1, 2, 3]])}}, producers: {{"p": ()}}, script: [
            Send(from: "p", to: "t"), Await(Completed("p")), Kill(Broker(3)), Await(Isr("t", 0, [1, 2])),
            Reassign("t-0", [1, 2]), Observe("replicas", Replicas("t-0")), Start(Broker(3)),
            Await(Unfenced(Broker(3))), Sleep("1s"), Observe("logs", Logs("t-0")), Quiesce,
        ], expect: {{"default": [
            Observed("replicas", [1, 2]), Observed("logs", {{"b1": [[0, "m0", 0]], "b2": [[0, "m0", 0]]}})]}}"#
    ));
}

/// Two racks: replicas alternate between them, and the leaders too. A lost rack leaves every partition a leader.
#[test]
fn replicas_are_spread_over_racks() {
    holds(&format!(
        r#"cluster: (brokers: 4, racks: {{"b": [2, 4], "a": [1, 3]}}, config: {{{FAST}}}),
        topics: {{"t": (partitions: 4, replication: 2)}}, script: [
            Observe("t-0", Replicas("t-0")), Observe("t-1", Replicas("t-1")),
            Observe("t-2", Replicas("t-2")), Observe("t-3", Replicas("t-3")),
            Kill(Broker(1)), Kill(Broker(3)), Await(All([
                LeaderElected("t", 0), LeaderElected("t", 1), LeaderElected("t", 2), LeaderElected("t", 3)])),
        ], expect: {{"default": [
            Observed("t-0", [1, 2]), Observed("t-1", [4, 3]), Observed("t-2", [1, 2]), Observed("t-3", [4, 3])]}}"#
    ));
}

#[test]
fn a_frozen_leader_that_wakes_up_deposed_acknowledges_what_it_loses_with_acks_1_only() {
    holds(&format!(
        r#"cluster: (config: {{{FAST}}}), topics: {{"t": (replicas: [[1, 2, 3]])}},
        producers: {{"p": (config: {{"acks": "1", "retries": 0, "enable.idempotence": false,
            "delivery.timeout.ms": 60000, "request.timeout.ms": 50000}})}}, script: [
            Send(from: "p", to: "t"), Await(Completed("p")), Sleep("700ms"), Freeze(Broker(1)),
            Send(from: "p", to: "t"), Await(LeaderIs("t", 0, Broker(2))), Sleep("1s"), Thaw(Broker(1)),
            Await(Completed("p")), Quiesce,
        ],
        variants: {{"1": {{}}, "all": {{"producers.p.acks": "all"}}}},
        expect: {{"1": [Acked(2), Lost(["m1"])],
                 "all": [Acked(1), FailedWith({{"m1": "NotLeaderOrFollowerException"}}), Lost(0)]}}"#
    ));
}

#[test]
fn without_a_controller_an_administrators_call_times_out() {
    holds(&format!(
        r#"cluster: (config: {{{FAST}}}), topics: {{"t": (replicas: [[1, 2, 3]])}}, script: [
            Kill(Controller(1)), ElectLeaders(Unclean, ["t-0"]), Observe("call", AdminException),
        ], expect: {{"default": [Observed("call", "TimeoutException")]}}"#
    ));
}
