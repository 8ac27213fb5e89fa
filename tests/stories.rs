//! Small stories in the scenario language whose outcome follows from Kafka's source: what survives on disks, what
//! consumers see during failover, and what their calls return.

#[path = "common/tell.rs"]
mod tell;

use highwater::base::time::{Duration, Time};

use tell::tell;

/// Three brokers with the recordings' short sessions, an idle `prod`, and whatever else the text declares.
fn story(topics: &str, more: &str, script: &str, expect: &str) -> String {
    format!(
        r#"Scenario(
            title: {{"en": "a test"}},
            cluster: (brokers: 3, controllers: 1, config: {{
                "broker.session.timeout.ms": 5000, "broker.heartbeat.interval.ms": 500,
                "replica.fetch.backoff.ms": 200, "offsets.topic.num.partitions": 1,
            }}),
            topics: {{{topics}}},
            producers: {{"prod": (config: {{"linger.ms": 0, "batch.size": 0}})}},
            {more}
            script: [{script}],
            expect: {{"default": [{expect}]}},
        )"#
    )
}

const ALL: &str = r#""t": (replicas: [[1, 2, 3]], config: {"min.insync.replicas": 1})"#;
const ONE: &str = r#""t": (replicas: [[2]])"#;
const READER: &str = r#"consumers: {"A": (group: "g", partitions: ["t-0"], config: {
    "auto.offset.reset": "earliest", "enable.auto.commit": false})},"#;

#[test]
fn an_application_makes_one_call_after_the_other() {
    let script = r#"
        Seek("A", "t-0", 0),
        At("1s", [Poll(consumer: "A", timeout: "10s")]),
        At("2s", [Send(from: "prod", to: "t", partition: 0)]),
        At("1100ms", [Position(consumer: "A", partition: "t-0"), Observe("beside", Returned("A"))]),
        Sleep("1500ms"),
        // Each of the three waits for the poll, which returns when the record comes.
        Position(consumer: "A", partition: "t-0"),
        Observe("position", Returned("A")),
        Committed(consumer: "A", partition: "t-0"),
        Observe("committed", Returned("A")),
        EndOffsets(consumer: "A", partitions: ["t-0"]),
        Observe("end", Returned("A")),
    "#;
    let expect = r#"Observed("position", 1), Observed("beside", 1), Observed("committed", None),
        Observed("end", {"t-0": 1})"#;
    tell(&story(ONE, READER, script, expect));
}

/// `Partition.fetchOffsetForTimestamp`: the new leader has the record and does not know that it is committed.
#[test]
fn a_new_leader_cannot_say_where_the_log_ends_before_its_followers_fetched() {
    let script = r#"
        Sleep("1s"),
        Send(from: "prod", to: "t", partition: 0, count: 1),
        Await(Completed("prod")),
        On(name: "late", api: "Fetch", side: Request, from: Broker(3), to: Broker(2), do: Hold),
        Kill(Broker(1)),
        Await(LeaderIs("t", 0, Broker(2))),
        Await(LeaderElected("t", 0)),
        Sleep("200ms"),
        EndOffsets(consumer: "A", partitions: ["t-0"], timeout: "2s"),
        Observe("end", Returned("A")),
        BeginningOffsets(consumer: "A", partitions: ["t-0"], timeout: "2s"),
        Observe("beginning", Returned("A")),
        Poll(consumer: "A", records: 1, within: "1s"),
        Observe("hidden", Polled("A")),
        Seek("A", "t-0", 1),
        Poll(consumer: "A", records: 1, within: "1s"),
        Observe("beyond the high watermark", Returned("A")),
        Clear("late"),
        Seek("A", "t-0", 0),
        Poll(consumer: "A", records: 1, within: "5s"),
        Observe("shown", Polled("A")),
        EndOffsets(consumer: "A", partitions: ["t-0"], timeout: "2s"),
        Observe("end at last", Returned("A")),
    "#;
    let expect = r#"Observed("end", "TimeoutException"), Observed("beginning", {"t-0": 0}), Observed("hidden", []),
        Observed("beyond the high watermark", None), Observed("shown", ["m0"]), Observed("end at last", {"t-0": 1})"#;
    tell(&story(ALL, READER, script, expect));
}

/// `Partition.deleteRecordsOnLeader`, `UnifiedLog.maybeIncrementLogStartOffset`, `log-start-offset-checkpoint`.
#[test]
fn deleted_records_come_back_when_the_log_start_was_not_written_down() {
    let script = r#"
        Send(from: "prod", to: "t", partition: 0, count: 6, every: "10ms"),
        Await(Completed("prod")),
        Sleep("1s"),
        DeleteRecords("t-0", 4),
        Sleep("1s"),
        Observe("follower", LogStart(Broker(3), "t-0")),
        DeleteRecords("t-0", 2),
        Observe("it never falls", LogStart(Broker(1), "t-0")),
        Seek("A", "t-0", 1),
        Poll(consumer: "A", records: 2, within: "3s"),
        Observe("from the log start", Polled("A")),
        DeleteRecords("t-0", 7),
        Observe("beyond the high watermark", AdminException),
        // All crash within the first minute: no checkpoint of log starts was written.
        Kill(Broker(2)), Kill(Broker(3)), Sleep("700ms"), Kill(Broker(1)),
        DeleteRecords("t-0", 5),
        Observe("nobody leads", AdminException),
        Start(Broker(1)), Start(Broker(2)), Start(Broker(3)),
        Await(Isr("t", 0, [1])),
        Await(Isr("t", 0, [1, 2, 3])),
        Observe("after the crash", LogStart(Broker(1), "t-0")),
        DeleteRecords("t-0", -1),
        Stop(Broker(1)), Await(Down(Broker(1))), Start(Broker(1)),
        Await(Isr("t", 0, [2, 3])),
        Await(Isr("t", 0, [1, 2, 3])),
        Observe("after an orderly stop", LogStart(Broker(1), "t-0")),
    "#;
    let expect = r#"Observed("follower", 4), Observed("it never falls", 4),
        Observed("from the log start", ["m4", "m5"]),
        Observed("beyond the high watermark", "OffsetOutOfRangeException"),
        Observed("nobody leads", "TimeoutException"), Observed("after the crash", 0),
        Observed("after an orderly stop", 6), Lost(0)"#;
    tell(&story(ALL, READER, script, expect));
}

/// `AutoOffsetResetStrategy`, `Partition.fetchOffsetForTimestamp`: the first record that is young enough and committed.
#[test]
fn by_duration_starts_at_the_first_record_that_is_young_enough() {
    let more = r#"consumers: {
        "A": (partitions: ["t-0"], config: {"auto.offset.reset": "by_duration:PT1H", "enable.auto.commit": false}),
        "B": (partitions: ["t-0"], config: {"auto.offset.reset": "by_duration:PT1S", "enable.auto.commit": false}),
    },"#;
    let script = r#"
        Send(from: "prod", to: "t", partition: 0, count: 1, age: "3h"),
        Send(from: "prod", to: "t", partition: 0, count: 1, age: "20min"),
        // Out of order: an older one after it.
        Send(from: "prod", to: "t", partition: 0, count: 1, age: "2h"),
        Await(Completed("prod")),
        Sleep("2s"),
        Poll(consumer: "A", records: 1, within: "2s"),
        Observe("A", Polled("A")),
        // No record is young enough: no position. The next question comes request.timeout.ms later.
        Poll(consumer: "B", records: 1, within: "2s"),
        Send(from: "prod", to: "t", partition: 0, count: 1),
        Poll(consumer: "B", records: 1, within: "20s"),
        Observe("B", Polled("B")),
        Every(every: "500ms", count: 40, steps: [Send(from: "prod", to: "t", partition: 0, count: 1)]),
        Poll(consumer: "B", records: 1, within: "20s"),
        Position(consumer: "B", partition: "t-0", timeout: "1s"),
        Observe("B at last", Exception("B")),
    "#;
    let expect = r#"Observed("A", ["m1", "m2"]), Observed("B", []), Observed("B at last", None)"#;
    tell(&story(ONE, more, script, expect));
}

/// `UnifiedLog.append`, `LogManager.flushDirtyLogs`: what a power loss takes is what nobody flushed.
#[test]
fn a_power_loss_takes_what_was_not_flushed() {
    let script = r#"
        Send(from: "prod", to: "t", partition: 0, count: 3, every: "10ms"),
        Await(Completed("prod")),
        Sleep("2500ms"),
        Send(from: "prod", to: "t", partition: 0, count: 2, every: "10ms"),
        Await(Completed("prod")),
        PowerLoss(Broker(2)),
        Start(Broker(2)),
        Await(Unfenced(Broker(2))),
        Await(LeaderElected("t", 0)),
        Sleep("1s"),
        Observe("left", Reads("t")),
    "#;
    let scheduler = r#""offsets.topic.num.partitions": 1, "log.flush.scheduler.interval.ms": 1000"#;
    let ids = |n| (0..n).map(|i| format!("[{i}, \"m{i}\"]")).collect::<Vec<_>>().join(", ");
    for (settings, looks, left) in [
        ("", false, 0),
        (r#""flush.messages": 1"#, false, 5),
        (r#""flush.messages": 2"#, false, 4),
        // Nobody looks: a topic's flush.ms does nothing without the broker's scheduler.
        (r#""flush.ms": 500"#, false, 0),
        (r#""flush.ms": 500"#, true, 3),
        (r#""flush.ms": 60000"#, true, 0),
    ] {
        let topic = format!(r#""t": (replicas: [[2]], config: {{{settings}}})"#);
        let expect = format!(r#"Observed("left", {{"0": [{}]}}), Lost({})"#, ids(left), 5 - left);
        let text = story(&topic, "", script, &expect);
        let plain = r#""offsets.topic.num.partitions": 1"#;
        tell(&if looks { text.replace(plain, scheduler) } else { text });
    }
}

/// `UnifiedLog.roll` flushes the segment that is full, not the one that begins.
#[test]
fn a_full_segment_is_flushed() {
    let script = r#"
        Send(from: "prod", to: "t", partition: 0, count: 3, every: "10ms", bytes: 400000),
        Await(Completed("prod")),
        PowerLoss(Broker(2)),
        Start(Broker(2)),
        Await(Unfenced(Broker(2))),
        Await(LeaderElected("t", 0)),
        Sleep("1s"),
        Observe("left", Reads("t")),
    "#;
    let topic = r#""t": (replicas: [[2]], config: {"segment.bytes": 1048576})"#;
    tell(&story(topic, "", script, r#"Observed("left", {"0": [[0, "m0"], [1, "m1"]]}), Lost(1)"#));
}

/// A follower whose power failed copies what it lost; the acknowledged records live on the others.
#[test]
fn replication_makes_up_for_a_power_loss_of_one_replica() {
    let script = r#"
        Send(from: "prod", to: "t", partition: 0, count: 4, every: "10ms"),
        Await(Completed("prod")),
        Sleep("1s"),
        PowerLoss(Broker(1)),
        Await(All([LeaderElected("t", 0), Not(LeaderIs("t", 0, Broker(1)))])),
        Observe("on the disk", LogEnd(Broker(1), "t-0")),
        Start(Broker(1)),
        Await(Isr("t", 0, [2, 3])),
        Await(Isr("t", 0, [1, 2, 3])),
        Observe("copied", LogEnd(Broker(1), "t-0")),
    "#;
    let expect = r#"Observed("on the disk", 0), Observed("copied", 4), Lost(0)"#;
    tell(&story(ALL, "", script, expect));
}

/// The recordings tell what happens; so does Kafka's source of their relatives that were not recorded.
#[test]
fn relatives_of_recordings() {
    let text = |id: &str| {
        let path = format!("{}/tests/kafka/{id}.ron", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).expect("a re-enacted recording")
    };
    let expecting = |text: String, expect: &str| {
        let end = text.rfind(')').expect("a scenario ends");
        format!("{} expect: {{\"default\": [{expect}]}},)", &text[..end])
    };
    let reset = r#""auto.offset.reset": "#;
    let latest =
        |id: &str| text(id).replace(&format!("{reset}\"earliest\""), &format!("{reset}\"latest\""));
    // With a policy, whichever, the position goes to the divergence and not to the end.
    let expect = r#"Observed("position 2", 3), Observed("poll 4", ["n0", "n1"]), Lost(3)"#;
    tell(&expecting(latest("7-consumer-truncated-earliest"), expect));
    let expect = r#"Observed("position 2", 0), Observed("poll 3", ["n0", "n1"]), Lost(4)"#;
    tell(&expecting(latest("7-consumer-wiped-earliest"), expect));
    // The last to be fenced leads, whatever the minimum.
    let min1 = text("7-powerloss-leader-dies-last-min2")
        .replace(r#""min.insync.replicas": 2"#, r#""min.insync.replicas": 1"#);
    tell(&expecting(min1, r#"Lost(["m2", "m3"]), Log("t-0", ["m0", "m1", "m4"])"#));
    let min2 = text("7-powerloss-leader-dies-first-min1")
        .replace(r#""min.insync.replicas": 1"#, r#""min.insync.replicas": 2"#);
    tell(&expecting(min2, "Lost(0), Acked(5)"));
}

#[test]
fn rolling_crashes_lose_and_repeat_nothing_and_every_record_is_read_once() {
    let more = r#"consumers: {"A": (partitions: ["t-0"], loop: [PollFor("100ms"), Work("0ms")], config: {
        "auto.offset.reset": "earliest", "enable.auto.commit": false})},"#;
    let topic = r#""t": (replicas: [[1, 2, 3]], config: {"min.insync.replicas": 2})"#;
    let crash = |broker| {
        format!(
            r#"Kill(Broker({broker})),
            Await(Fenced(Broker({broker}))),
            Start(Broker({broker})), Await(Unfenced(Broker({broker}))),
            Await(Isr("t", 0, [1, 2, 3])), Sleep("1s"),"#
        )
    };
    let script = [
        r#"Send(from: "prod", to: "t", partition: 0, count: 1500, every: "20ms"), Sleep("500ms"),"#
            .to_owned(),
        crash(1),
        crash(2),
        crash(3),
        r#"Await(Completed("prod")), Await(Processed("A", 1500)),"#.to_owned(),
    ]
    .concat();
    let expect = "Acked(1500), Lost(0), Duplicated(0), Reordered(0), Repeated(0), Unprocessed(0)";
    tell(&story(topic, more, &script, expect));
}

#[test]
fn close_gives_up_when_its_time_is_over() {
    let more = r#"consumers: {"A": (group: "g", topics: ["t"], config: {"auto.offset.reset": "earliest"})},"#;
    let script = r#"
        Send(from: "prod", to: "t", partition: 0, count: 1),
        Poll(consumer: "A", records: 1),
        Freeze(Broker(1)), Freeze(Broker(2)), Freeze(Broker(3)),
        CloseWithin("A", "700ms"),
        Observe("close", Exception("A")),
        Mark("closed"),
    "#;
    for run in tell(&story(ONE, more, script, r#"Observed("close", None)"#)) {
        let trace = run.simulation().trace().events();
        let closed = trace.iter().find(|e| e.kind == highwater::event::EventKind::Closed);
        let frozen = trace.iter().rfind(|e| {
            matches!(
                e.kind,
                highwater::event::EventKind::Fault { kind: highwater::event::FaultKind::Freeze }
            )
        });
        let span = |at: Time| at.since(frozen.expect("they were frozen").at);
        assert_eq!(span(closed.expect("it was closed").at), Duration::from_millis(700));
    }
}

/// Three batches of ten; the application dies after it has written the rows of the second. Nothing is ever committed to
/// Kafka.
#[test]
fn rows_are_exact_with_a_unique_key_or_with_the_offsets_beside_them() {
    let script = r#"
        Send(from: "prod", to: "t", partition: 0, count: 30), Await(Completed("prod")),
        Start(Client("A")), Await(Polled("A", 20)), Sleep("20ms"),
        Kill(Client("A")), Start(Client("A")),
        Await(Settled),
    "#;
    for (insert, rows) in [("Insert", 50), ("InsertOnce", 30), ("InsertWithOffsets", 30)] {
        let reader = format!(
            r#"consumers: {{"A": (group: "g", partitions: ["t-0"], start: ByScript, config: {{
                "auto.offset.reset": "earliest", "enable.auto.commit": false, "max.poll.records": 10}},
                loop: [Poll, WorkBatch("1ms"), {insert}("rows"), Pause("50ms")])}},"#
        );
        let repeated = if insert == "InsertWithOffsets" { 0 } else { 20 };
        let expect = format!(r#"Rows("rows", {rows}), Repeated({repeated})"#);
        tell(&story(ALL, &reader, script, &expect));
    }
}

/// A broker refuses an output: the transaction is aborted and the application lives on. It goes back to where the
/// offsets are, in Kafka or in the table, and what the database has it keeps.
#[test]
fn an_aborted_transaction_takes_no_row_back() {
    let script = r#"
        Send(from: "prod", to: "t", partition: 0, count: 20), Await(Completed("prod")),
        On(name: "refusal", api: "Produce", partition: "out-0", side: Request, skip: 1, times: 1,
            do: Error("TRANSACTION_ABORTABLE")),
        Start(Client("A")), Await(Settled),
        Observe("outputs", Count(ReadsCommitted("out"))),
    "#;
    let topics = format!(r#"{ALL}, "out": (replicas: [[2, 3, 1]])"#);
    for (insert, offsets, rows, outputs) in
        [("Insert", "SendOffsets,", 30, 20), ("InsertWithOffsets", "", 20, 10)]
    {
        let pipeline = format!(
            r#"consumers: {{"A": (group: "g", partitions: ["t-0"], start: ByScript, producer: "app",
                config: {{"auto.offset.reset": "earliest", "enable.auto.commit": false,
                    "max.poll.records": 10}},
                loop: [Poll, BeginTransaction, Produce("out"), {insert}("rows"), {offsets} CommitTransaction])}},"#
        );
        let expect = format!(r#"Rows("rows", {rows}), Observed("outputs", {outputs})"#);
        let story = story(&topics, &pipeline, script, &expect);
        let app = r#"producers: {"app": (config: {"transactional.id": "tx"}), "prod""#;
        tell(&story.replace(r#"producers: {"prod""#, app));
    }
}
