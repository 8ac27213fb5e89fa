//! What a clumsy or hostile file gets: every error at its place, in words that help, at once, and nothing else.

use highwater::scenario::value::is_unprintable;
use highwater::scenario::{Diagnostics, Limits, Scenario, load, read_bounded, ron_options};

const GOOD: &str = r#"
Scenario(
    title: {"en": "A test"},
    cluster: (brokers: 3, controllers: 1),
    topics: {"orders": (replicas: [[1, 2, 3]], config: {"min.insync.replicas": 1})},
    producers: {"checkout": (config: {"acks": "all", "linger.ms": 50})},
    groups: {"billing": (members: 2, topics: ["orders"], loop: [Poll, Work("1ms"), Commit(Sync)])},
    script: [
        Send(from: "checkout", to: "orders", count: 3),
        Await(Completed("checkout")),
        Named("crash", [Kill(Leader("orders", 0))]),
        Await(LeaderElected("orders", 0)),
        Observe("after", Snapshot("orders")),
        Start(Broker(1)),
        Quiesce,
    ],
    variants: {
        "acks=1": {"producers.checkout.acks": "1", "script.crash": [Stop(Broker(1))]},
        "acks=all": {"groups.billing.members": 10, "groups.billing.loop": [Poll, Commit(Sync), Work("1ms")]},
    },
    expect: {"acks=1": [Lost("0..3")], "acks=all": [Lost(0), Duplicated(0), Observed("after", {"x": [1, None]})]},
)
"#;

fn parse(text: &str) -> Result<Scenario, Diagnostics> {
    load("test.ron", text.as_bytes(), &Limits::default())
}

/// The good file with `from` replaced, or with `to` as a whole.
fn broken(from: &str, to: &str) -> Diagnostics {
    let text = if from.is_empty() { to.to_owned() } else { GOOD.replacen(from, to, 1) };
    assert_ne!(text, GOOD, "{from} is not in the file");
    match parse(&text) {
        Ok(_) => panic!("accepted: {to}"),
        Err(diagnostics) => diagnostics,
    }
}

#[test]
fn a_good_file_loads_and_can_be_written_and_read_again() {
    let scenario = parse(GOOD).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(scenario.variant_names(), ["acks=1", "acks=all"]);
    let pretty = ron::ser::PrettyConfig::new();
    let written = ron_options().to_string_pretty(&scenario, pretty).unwrap();
    let again = parse(&written).unwrap_or_else(|e| panic!("{written}\n{e}"));
    assert_eq!(scenario, again);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a mistake")]
fn every_mistake_is_told_at_its_line_with_a_way_out() {
    // (what is replaced, by what, line, words of the error, words of the help)
    let table: &[(&str, &str, usize, &str, &str)] = &[
        ("title:", "titel:", 3, "no field `titel`", "did you mean `title`"),
        ("    title: {\"en\": \"A test\"},\n", "", 2, "`title` is missing", ""),
        ("{\"en\": \"A test\"}", "{\"fa\": \"x\"}", 3, "English", ""),
        ("{\"en\": \"A test\"}", "\"A test\"", 3, "map", ""),
        ("Start(Broker(1))", "ElectLeaders(Preferred, [\"orders-9\"])", 14, "no partition 9", ""),
        ("Start(Broker(1))", "ElectLeaders(Prefered, [])", 14, "Prefered", "Preferred"),
        (
            "Start(Broker(1))",
            "AlterConfigs(\"orders\", {\"min.insync.replica\": 2})",
            14,
            "no topic setting",
            "did you mean min.insync.replicas",
        ),
        ("controllers: 1", "racks: {\"a\": [1, 2], \"b\": [2]}", 4, "2 is in another rack", ""),
        ("controllers: 1", "racks: {\"a\": [7]}", 4, "no broker 7", ""),
        ("\"linger.ms\": 50}", "\"linger.ms\": 50}, start: At(\"1s\")", 6, "AtOnce", ""),
        ("Start(Broker(1))", "Reassign(\"orders-0\", [4])", 14, "no broker 4", ""),
        (
            "Start(Broker(1))",
            "Await(ControllerIs(Broker(1)))",
            14,
            "this has to be a controller",
            "",
        ),
        (
            "Start(Broker(1))",
            "Observe(\"n\", Count(Leader(\"orders-0\")))",
            14,
            "nothing to count",
            "what is a list",
        ),
        ("Start(Broker(1))", "Observe(\"n\", SecondsSince(\"x\"))", 14, "no mark `x`", ""),
        ("Start(Broker(1))", "Observe(\"n\", Rows(\"bills\"))", 14, "no table `bills`", ""),
        ("Lost(\"0..3\")", "Rows(\"bills\", 3)", 21, "no table `bills`", ""),
        (
            "Work(\"1ms\"), Commit(Sync)])}",
            "InsertWithOffsets(\"bills\")])}",
            7,
            "chooses its partitions itself",
            "partitions: [...]",
        ),
        ("Start(Broker(1))", "Kill(Controller(2))", 14, "no controller 2", ""),
        ("Start(Broker(1))", "Wipe(ActiveController, true)", 14, "this has to be a broker", ""),
        ("brokers: 3", "brokers: 65", 4, "65 is outside 1 to 64", ""),
        ("brokers: 3", "brokers: -1", 4, "too large or too small", ""),
        ("brokers: 3", "brokers: 1.5", 4, "", ""),
        ("brokers: 3", "brokerz: 3", 4, "no field `brokerz`", "did you mean `brokers`"),
        ("controllers: 1", "controllers: 9", 4, "9 is outside 1 to 5", ""),
        ("[[1, 2, 3]]", "[[1, 2, 4]]", 5, "no broker 4", ""),
        ("[[1, 2, 3]]", "[[1, 1]]", 5, "each on another broker", ""),
        ("topics: {", "topics: {\"or ders\": (), ", 5, "InvalidTopicException", ""),
        (
            "min.insync.replicas",
            "min.insync.replica",
            5,
            "no topic setting",
            "did you mean min.insync.replicas",
        ),
        ("\"acks\": \"all\"", "\"acks\": \"2\"", 6, "acks=2", ""),
        ("\"acks\": \"all\"", "\"acks\": 1.0", 6, "setting", ""),
        ("\"linger.ms\": 50", "\"linger.ms\": 50, \"linger.ms\": 5", 6, "given twice", ""),
        (
            "\"linger.ms\": 50",
            "\"enable.idempotence\": true, \"retries\": 0",
            6,
            "ConfigException",
            "",
        ),
        ("\"linger.ms\": 50", "\"client.id\": \"t\"", 6, "not modelled", ""),
        ("members: 2", "members: 2000", 7, "limit of 1024 consumers", ""),
        (
            "topics: [\"orders\"]",
            "topics: [\"ordes\"]",
            7,
            "no topic `ordes`",
            "did you mean `orders`",
        ),
        ("Poll, Work", "Pol, Work", 7, "`Pol` is no word", "did you mean `Poll`"),
        ("Work(\"1ms\")", "Work(\"1 parsec\")", 7, "a time is a number and a unit", ""),
        (
            "from: \"checkout\"",
            "from: \"chekout\"",
            9,
            "no producer `chekout`",
            "did you mean `checkout`",
        ),
        ("count: 3)", "kount: 3)", 9, "no field `kount`", "did you mean `count`"),
        ("count: 3)", "count: 1000000000000000000)", 9, "limit of 1000000 messages", ""),
        ("count: 3)", "count: 3, ids: [\"a\"])", 9, "either `count` or `ids`", ""),
        ("count: 3)", "count: 3, every: \"0ms\")", 9, "longer than nothing", ""),
        ("count: 3),", "count: 3)", 10, "a comma is missing", ""),
        ("Completed(", "Complete(", 10, "`Complete` is no word", "did you mean `Completed`"),
        ("Kill(Leader(\"orders\", 0))", "Kill(Leader(\"orders\", 7))", 11, "no partition 7", ""),
        ("Observe(\"after\"", "Observe(\"a\\u{1b}[31m\"", 13, "control characters", ""),
        ("Start(Broker(1))", "Start(Broker(4))", 14, "no broker 4", ""),
        ("Start(Broker(1))", "Restart(Broker(1))", 14, "`Restart` is no word", ""),
        (
            "Start(Broker(1))",
            "On(name: \"r\", api: \"Prduce\", do: Drop)",
            14,
            "no request `Prduce`",
            "`Produce`",
        ),
        ("Start(Broker(1))", "On(name: \"r\", do: Error(\"NOT_LEADER\"))", 14, "no error", ""),
        (
            "brokers: 3",
            "brokers: 2, config: {}",
            4,
            "offsets.topic.replication.factor is 3",
            "to 2 or less",
        ),
        ("Start(Broker(1))", "Release(\"r\")", 14, "no rule `r`", ""),
        (
            "Start(Broker(1))",
            "Mark(\"join\"), Observe(\"x\", Revoked(group: \"billing\", since: \"joi\"))",
            14,
            "no mark `joi`",
            "did you mean `join`",
        ),
        ("Start(Broker(1))", "Await(Acked([\"m9\"]))", 14, "no message `m9`", "m0 to m2"),
        (
            "Start(Broker(1))",
            "Await(Group(\"billing\", \"stable\"))",
            14,
            "no group state",
            "`Stable`",
        ),
        ("Start(Broker(1))", "Poll(consumer: \"c11\")", 14, "no consumer `c11`", "did you mean"),
        ("producers.checkout.acks\"", "producers.chekout.acks\"", 18, "none of the producers", ""),
        (
            "producers.checkout.acks\"",
            "producers.checkout.akcs\"",
            18,
            "no producer setting",
            "did you mean acks",
        ),
        ("script.crash", "script.krash", 18, "Named(\"krash\"", "did you mean `crash`"),
        (
            "expect: {\"acks=1\"",
            "expect: {\"acks=2\"",
            21,
            "no variant `acks=2`",
            "did you mean `acks=1`",
        ),
        ("Lost(0), Dup", "Lots(0), Dup", 21, "`Lots` is no word", "did you mean `Lost`"),
        (
            "expect: {\"acks=1\"",
            "narration: [(on: \"BecameLeeder\", say: {\"en\": \"x\"})], expect: {\"acks=1\"",
            21,
            "no event `BecameLeeder`",
            "`BecameLeader`",
        ),
        ("Lost(\"0..3\")", "Lost(\"3..0\")", 21, "the range is empty", ""),
        ("Lost(\"0..3\")", "ConfigException(\"checkout\")", 21, "throws no ConfigException", ""),
    ];
    for (from, to, line, message, help) in table {
        let diagnostics = broken(from, to);
        let shown = diagnostics.render(false);
        let found = diagnostics.list.iter().any(|d| {
            d.line == *line
                && d.message.contains(message)
                && (help.is_empty() || d.help.as_ref().is_some_and(|h| h.contains(help)))
        });
        assert!(found, "for {to:?} expected line {line} {message:?} {help:?}, got\n{shown}");
        assert!(diagnostics.list.len() <= 4, "one mistake, many errors:\n{shown}");
        assert!(shown.contains(&format!("test.ron:{line}:")), "{shown}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = GOOD
        .replace("title:", "titel:")
        .replace("\"acks\": \"all\"", "\"akcs\": \"all\"")
        .replace("Completed(", "Complete(")
        .replace("Broker(1)),", "Broker(9)),")
        .replace("Duplicated(0)", "Duplicates(0)");
    let diagnostics = parse(&text).unwrap_err();
    let lines: Vec<usize> = diagnostics.list.iter().map(|d| d.line).collect();
    assert!(lines.is_sorted(), "{lines:?}");
    for line in [2, 3, 6, 10, 14, 21] {
        assert!(lines.contains(&line), "line {line} is missing in {lines:?}\n{diagnostics}");
    }
}

#[test]
fn at_most_twenty_errors_are_shown_and_the_rest_counted() {
    let steps = "Sleep(\"x\"),".repeat(100);
    let text = GOOD.replace("script: [", &format!("script: [{steps}"));
    let diagnostics = parse(&text).unwrap_err();
    assert_eq!((diagnostics.list.len(), diagnostics.more), (20, 80));
    assert!(diagnostics.render(false).contains("100 errors (80 more not shown)"));
}

#[test]
fn hostile_input_is_refused_quickly_and_printed_safely() {
    let deep = "[".repeat(1 << 19);
    let long_line = format!("Scenario(title: {{\"en\": \"{}\"}}, x: 1)", "y".repeat(500_000));
    let cases: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"Scenario".to_vec(),
        b"Scenario(".to_vec(),
        b"\xef\xbb\xbf".to_vec(),
        b"\x7fELF\x02\x01\x01\x00\x00\xff\xfe".to_vec(),
        vec![0; 1 << 20],
        vec![b' '; (1 << 20) + 1],
        deep.clone().into_bytes(),
        format!("Scenario(script: {deep}").into_bytes(),
        format!("Scenario(script: {})", "All([".repeat(100_000)).into_bytes(),
        long_line.into_bytes(),
        GOOD.replace("orders", "\u{202e}sredro\u{1b}[31m").into_bytes(),
        GOOD.replace("acks=1", "a\u{2066}b\\u{7}").into_bytes(),
        GOOD.replace("count: 3", "count: 99999999999999999999999999").into_bytes(),
        GOOD.replace("members: 2", "members: 4294967295").into_bytes(),
        GOOD.replace("replicas: [[1, 2, 3]]", "partitions: 1000000").into_bytes(),
        GOOD.replace("count: 3", "count: 18446744073709551615, every: \"1us\"").into_bytes(),
        GOOD.replace("Quiesce", "Sleep(\"99999999999999999999d\")").into_bytes(),
        GOOD.replace(
            "Quiesce",
            "Every(every: \"1s\", count: 18446744073709551615, steps: [\
             Send(from: \"checkout\", to: \"orders\", count: 18446744073709551615)])",
        )
        .into_bytes(),
    ];
    for (i, bytes) in cases.iter().enumerate() {
        let error = load("e\u{1b}vil.ron", bytes, &Limits::default()).expect_err("hostile");
        let shown = error.render(false);
        let clean = |c: char| c == '\n' || !is_unprintable(c);
        assert!(shown.chars().all(clean), "case {i}: {shown:?}");
        assert!(shown.len() < 20_000, "case {i}: {} bytes", shown.len());
        assert!(shown.lines().count() > 1, "case {i}: {shown}");
    }
}

#[test]
fn reading_stops_at_the_limit() {
    let endless = std::io::repeat(0);
    let bytes = read_bounded(endless, &Limits::default()).unwrap();
    assert_eq!(bytes.len(), (1 << 20) + 1);
    let error = load("/dev/zero", &bytes, &Limits::default()).unwrap_err();
    assert!(error.list[0].message.contains("larger than 1048576 bytes"));
}

#[test]
fn byte_order_mark_and_windows_line_ends_are_welcome() {
    let text = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    parse(&text).unwrap_or_else(|e| panic!("{e}"));
    let wrong = text.replace("Completed(", "Complete(");
    assert_eq!(parse(&wrong).unwrap_err().list[0].line, 10);
}

#[test]
fn columns_are_counted_in_characters() {
    let text = GOOD.replace("A test\"}", "آزمایش\", \"x\": 7}");
    let error = parse(&text).unwrap_err();
    assert_eq!((error.list[0].line, error.list[0].column), (3, 33), "{error}");
}
