//! Stories of classic groups: who gives what up when, which callbacks run in which order, and what a member that is
//! late, fenced or replaced is told. Each expectation is a rule of Kafka's coordinators.

#[path = "common/story.rs"]
mod story;

use highwater::check::JudgeSetup;

const CLUSTER: &str = r#"cluster: (brokers: 1, controllers: 1, config: {
    "offsets.topic.num.partitions": 1, "offsets.topic.replication.factor": 1,
    "group.initial.rebalance.delay.ms": 0, "group.min.session.timeout.ms": 1000})"#;
const RACKS: &str = r#"cluster: (brokers: 3, controllers: 1, racks: {"a": [1], "b": [2], "c": [3]},
    config: {"group.initial.rebalance.delay.ms": 0, "group.min.session.timeout.ms": 1000})"#;
const FAST: &str =
    r#""auto.offset.reset": "earliest", "session.timeout.ms": 3000, "heartbeat.interval.ms": 300"#;
const COOPERATIVE: &str = r#""partition.assignment.strategy": "CooperativeStickyAssignor""#;
const FOUR: &str = r#"topics: {"t": (replicas: [[1], [1], [1], [1]])}"#;

/// Tells a story of the cluster above; every expectation has to be met, and no guarantee broken.
fn holds(body: &str) {
    holds_on(CLUSTER, body);
}

fn holds_on(cluster: &str, body: &str) {
    let wrongs = story::wrongs(&format!("{cluster}, {body}"), 5, |_| JudgeSetup::default());
    assert!(wrongs.is_empty(), "{wrongs:#?}");
}

/// `["onPartitionsAssigned", ["t-0", …]]`, in the words of a fact.
fn callback(kind: &str, partitions: &[u32]) -> String {
    let names: Vec<String> = partitions.iter().map(|n| format!("\"t-{n}\"")).collect();
    format!("[\"onPartitions{kind}\", [{}]]", names.join(", "))
}

#[test]
fn a_cooperative_member_keeps_what_does_not_move_and_joins_twice() {
    let first = callback("Assigned", &[0, 1, 2, 3]);
    let cooperative = [
        first.clone(),
        callback("Revoked", &[2, 3]),
        callback("Assigned", &[]),
        callback("Assigned", &[]),
    ];
    let eager = |gets: &[u32]| {
        [first.clone(), callback("Revoked", &[0, 1, 2, 3]), callback("Assigned", gets)].join(", ")
    };
    let [cooperative, range, sticky] = [cooperative.join(", "), eager(&[0, 1]), eager(&[0, 2])];
    // One assignor that is not cooperative makes the member eager, wherever it stands in the list.
    holds(&format!(
        r#"{FOUR}, groups: {{"g": (members: ["A", "B"], topics: ["t"], config: {{{FAST}}}, loop: [Poll],
            start: ByScript)}},
        script: [Start(Client("A")), Await(Members("g", 1)), Start(Client("B")),
            Await(All([Members("g", 2), Assigned("B")])), Sleep("2s"), Observe("callbacks", Callbacks("A")),
            Observe("B", Callbacks("B"))],
        variants: {{
            "cooperative": {{"groups.g.partition.assignment.strategy": "CooperativeStickyAssignor"}},
            "default": {{}},
            "both": {{"groups.g.partition.assignment.strategy": "CooperativeStickyAssignor,RangeAssignor"}},
        }},
        expect: {{
            "cooperative": [Observed("callbacks", [{cooperative}]), Observed("B", [{}, {}])],
            "default": [Observed("callbacks", [{range}]), Observed("B", [{}])],
            "both": [Observed("callbacks", [{sticky}]), Observed("B", [{}])],
        }}"#,
        callback("Assigned", &[]),
        callback("Assigned", &[2, 3]),
        callback("Assigned", &[2, 3]),
        callback("Assigned", &[1, 3]),
    ));
}

#[test]
fn a_group_goes_over_to_the_cooperative_protocol_by_two_rolling_restarts() {
    let member = |name: &str, strategy: &str, start: &str| {
        format!(
            r#""{name}": (group: "g", topics: ["t"], loop: [Poll], start: {start},
                config: {{{FAST}, "partition.assignment.strategy": "{strategy}"}})"#
        )
    };
    let (range, both, one) =
        ("RangeAssignor", "CooperativeStickyAssignor,RangeAssignor", "CooperativeStickyAssignor");
    let consumers = [
        member("A", range, "AtOnce"),
        member("B", range, "AtOnce"),
        member("A2", both, "ByScript"),
        member("B2", both, "ByScript"),
        member("A3", one, "ByScript"),
        member("B3", one, "ByScript"),
        member("C", one, "ByScript"),
    ];
    let eager = [
        callback("Assigned", &[0, 1]),
        callback("Revoked", &[0, 1]),
        callback("Assigned", &[0, 2]),
        callback("Revoked", &[0, 2]),
    ];
    // B2 goes, B3 comes, and C takes one of its two partitions: nobody takes anything from A3.
    let nothing = callback("Assigned", &[]);
    let cooperative =
        [&callback("Assigned", &[0, 2]), &nothing, &nothing, &nothing].map(String::clone);
    holds(&format!(
        r#"{FOUR}, consumers: {{{}}}, script: [Await(Members("g", 2)),
            Close("A"), Start(Client("A2")), Await(Members("g", 2)),
            Close("B"), Start(Client("B2")), Await(Members("g", 2)),
            Close("A2"), Start(Client("A3")), Await(Members("g", 2)),
            Close("B2"), Start(Client("B3")), Await(Members("g", 2)), Sleep("3s"), Start(Client("C")),
            Await(All([Members("g", 3), Assigned("C")])), Sleep("1s"),
            Observe("A2", Callbacks("A2")), Observe("A3", Callbacks("A3"))],
        expect: {{"default": [Observed("A2", [{}]), Observed("A3", [{}])]}}"#,
        consumers.join(", "),
        eager.join(", "),
        cooperative.join(", "),
    ));
}

#[test]
fn a_listener_that_commits_what_is_finished_costs_no_record_at_a_rebalance() {
    holds(&format!(
        r#"{FOUR}, producers: {{"p": ()}}, consumers: {{
            "A": (group: "g", topics: ["t"], config: {{{FAST}, "enable.auto.commit": false, "max.poll.records": 5}}),
            "B": (group: "g", topics: ["t"], config: {{{FAST}, "enable.auto.commit": false}}, start: ByScript,
                loop: [Poll, Work("1ms"), Commit(Sync)])}},
        script: [Send(from: "p", to: "t", partition: 3, count: 10), Await(Completed("p")),
            Poll(consumer: "A", records: 5), Process(consumer: "A", count: 3), Start(Client("B")), Sleep("1s"),
            Poll(consumer: "A", timeout: "1s"), Observe("threw", Exception("A")),
            Await(Assigned("B")), Process(consumer: "A"), Await(Processed("B", 5)), Sleep("1s")],
        variants: {{
            "nothing": {{}},
            "the positions": {{"consumers.A.on_revoked": Commit(Sync)}},
            "what is finished": {{"consumers.A.on_revoked": CommitFinished(Sync)}},
            "without waiting": {{"consumers.A.on_revoked": CommitFinished(Async)}},
        }},
        expect: {{
            "nothing": [Repeated(5)],
            "the positions": [Observed("threw", None), Repeated(0)],
            "what is finished": [Observed("threw", None), Repeated(2)],
            "without waiting": [Observed("threw", None), Repeated(2)],
        }}"#
    ));
}

#[test]
fn what_is_lost_cannot_be_committed_in_the_callback() {
    let callbacks = [
        callback("Assigned", &[0, 1, 2, 3]),
        callback("Lost", &[0, 1, 2, 3]),
        callback("Assigned", &[0, 1, 2, 3]),
    ];
    holds(&format!(
        r#"{FOUR}, producers: {{"p": ()}}, consumers: {{"A": (group: "g", topics: ["t"], on_revoked: Commit(Sync),
            config: {{{FAST}, "enable.auto.commit": false, "max.poll.interval.ms": 4000}})}},
        script: [Send(from: "p", to: "t", partition: 0, count: 5), Await(Completed("p")),
            Poll(consumer: "A", records: 5),
            Sleep("5s"), Observe("state", GroupState("g")), Poll(consumer: "A", timeout: "2s"),
            Observe("threw", Exception("A")),
            Observe("callbacks", Callbacks("A")), Observe("committed", Committed("g"))],
        expect: {{"default": [Observed("state", "Empty"), Observed("threw", "CommitFailedException"),
            Observed("committed", {{}}), Observed("callbacks", [{}])]}}"#,
        callbacks.join(", ")
    ));
}

#[test]
fn in_a_cooperative_rebalance_records_still_come_and_commits_do_not_go() {
    holds(&format!(
        r#"{FOUR}, producers: {{"p": ()}}, consumers: {{
            "A": (group: "g", topics: ["t"], config: {{{FAST}, {COOPERATIVE}, "enable.auto.commit": false}}),
            "B": (group: "g", topics: ["t"], config: {{{FAST}, {COOPERATIVE}}}),
            "C": (group: "g", topics: ["t"], config: {{{FAST}, {COOPERATIVE}}}, loop: [Poll], start: ByScript)}},
        script: [At("1s", [Poll(consumer: "B", timeout: "6s")]), Poll(consumer: "A", timeout: "7s"),
            Await(Members("g", 2)),
            Start(Client("C")), Sleep("1s"), Poll(consumer: "A", timeout: "100ms"),
            Send(from: "p", to: "t", partition: 0, count: 3), Await(Completed("p")),
            Poll(consumer: "A", records: 3, within: "2s"), Observe("polled", Polled("A")),
            Commit(consumer: "A"), Observe("threw", Exception("A"))],
        expect: {{"default": [Observed("polled", ["m0", "m1", "m2"]),
            Observed("threw", "RebalanceInProgressException")]}}"#
    ));
}

/// Two static members of one group; A2 and B2 are other processes with the instance ids of A and B.
fn static_members(script: &str, expect: &str) {
    let member = |name: &str, instance: &str, start: &str| {
        format!(
            r#""{name}": (group: "g", topics: ["t"], loop: [Poll, Work("1ms"), Commit(Sync)], start: {start},
                config: {{{FAST}, "enable.auto.commit": false, "group.instance.id": "{instance}"}})"#
        )
    };
    let consumers = [
        member("A", "ia", "AtOnce"),
        member("B", "ib", "AtOnce"),
        member("A2", "ia", "ByScript"),
        member("B2", "ib", "ByScript"),
    ];
    holds(&format!(
        r#"{FOUR}, producers: {{"p": ()}}, consumers: {{{}}}, script: [Await(Members("g", 2)),
            Await(All([Assigned("A"), Assigned("B")])), {script}], expect: {{"default": [{expect}]}}"#,
        consumers.join(", ")
    ));
}

#[test]
fn a_killed_static_member_is_back_before_anybody_notices() {
    // The same process again, as after a crash, and the leader as well.
    static_members(
        r#"Kill(Client("B")), Start(Client("B")), Await(Assigned("B")), Observe("B", Assigned("B")), Sleep("5s"),
            Observe("A", Callbacks("A")), Kill(Client("A")), Sleep("1s"), Start(Client("A")), Await(Assigned("A")),
            Observe("A again", Assigned("A")), Sleep("5s"), Observe("state", GroupState("g"))"#,
        &format!(
            r#"Observed("A", [{}]), Observed("B", ["t-2", "t-3"]), Observed("A again", ["t-0", "t-1"]),
                Observed("state", "Stable")"#,
            callback("Assigned", &[0, 1])
        ),
    );
}

#[test]
fn a_fenced_process_cannot_commit_either() {
    static_members(
        r#"Process(consumer: "A", count: 0), Start(Client("A2")), Await(Owns("A2", ["t-0", "t-1"])),
            Send(from: "p", to: "t", partition: 0, count: 3), Await(CaughtUp("g")),
            Commit(consumer: "A", offsets: {"t-0": 0}), Observe("at once", Returned("A")),
            Sleep("1s"), Commit(consumer: "A", offsets: {"t-0": 0}), Observe("later", Returned("A")),
            Poll(consumer: "A"), Observe("polled", Returned("A")), Observe("committed", Committed("g"))"#,
        r#"Observed("at once", "FencedInstanceIdException"), Observed("later", "CommitFailedException"),
            Observed("polled", "FencedInstanceIdException"),
            Observed("committed", {"t-0": 3, "t-1": 0}), Repeated(0)"#,
    );
}

#[test]
fn members_get_what_their_rack_has_when_not_every_rack_has_everything() {
    let member = |name: &str, rack: &str| {
        format!(
            r#""{name}": (group: "g", topics: ["t"], config: {{{FAST}, "client.rack": "{rack}"}}, loop: [Poll],
                start: ByScript)"#
        )
    };
    let members = [member("A", "c"), member("B", "a"), member("C", "b")].join(", ");
    let assigned = |[a, b, c]: [u32; 3]| {
        format!(r#"Observed("A", ["t-{a}"]), Observed("B", ["t-{b}"]), Observed("C", ["t-{c}"])"#)
    };
    let everybody = |setting: &str| {
        ["A", "B", "C"].map(|name| format!(r#""consumers.{name}.{setting}"#)).join(", ")
    };
    let tell = |replicas: &str, variants: &str, expected: &str| {
        let body = format!(
            r#"topics: {{"t": (replicas: [{replicas}])}}, consumers: {{{members}}}, script: [
                Start(Client("A")), Await(Members("g", 1)), Start(Client("B")), Await(Members("g", 2)),
                Start(Client("C")), Await(All([Members("g", 3), Assigned("C")])), Sleep("2s"),
                Observe("A", Assigned("A")), Observe("B", Assigned("B")), Observe("C", Assigned("C"))],
            variants: {{"as it is": {{}}, {variants}}}, expect: {{{expected}}}"#
        );
        holds_on(RACKS, &body);
    };
    tell(
        "[1], [2], [3]",
        &format!(
            r#""sticky": {{{}}}, "nobody says its rack": {{{}}},
            "one is in a rack without a broker": {{"consumers.A.client.rack": "z"}}"#,
            everybody(r#"partition.assignment.strategy": "StickyAssignor""#),
            everybody(r#"client.rack": """#),
        ),
        &format!(
            r#""as it is": [{matched}], "sticky": [{matched}], "nobody says its rack": [{plain}],
            "one is in a rack without a broker": [{matched}]"#,
            matched = assigned([2, 0, 1]),
            plain = assigned([0, 1, 2]),
        ),
    );
    // Every rack has a replica of everything: no reason to look at racks.
    let plain = assigned([0, 1, 2]);
    tell(
        "[1, 2, 3], [2, 3, 1], [3, 1, 2]",
        r#""again": {}"#,
        &format!(r#""as it is": [{plain}], "again": [{plain}]"#),
    );
}
