//! The command line as its users meet it: the real binary, its exit codes, what goes to which stream, and that no
//! input, however hostile or clumsy, makes it panic, hang or print what a terminal would act on.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed; patience with a process is measured on a real clock"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Far above the second that hostile input may take, for a machine that compiles beside the tests.
const PATIENCE: Duration = Duration::from_secs(10);

fn highwater(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    highwater(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed by a signal: {output:?}"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Fails on a character that a terminal acts on or that hides the order of the others.
fn assert_printable(text: &str) {
    for c in text.chars().filter(|c| *c != '\n') {
        let hidden = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        assert!(!c.is_control() && !hidden, "{c:?} in {text:?}");
    }
}

const SCENARIO: &str = r#"Scenario(
    title: {"en": "three messages"},
    topics: {"orders": (replicas: [[1, 2, 3]])},
    producers: {"checkout": (config: {"acks": "all"})},
    script: [
        Send(from: "checkout", to: "orders", count: 3),
        Await(Completed("checkout")),
        Quiesce,
    ],
    expect: {"default": [Acked(3), Lost(0)]},
)
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, contents).unwrap();
        path.display().to_string()
    }
}

/// Every file that is no scenario, with what the error has to contain.
fn hostile(folder: &Folder) -> Vec<(String, &'static str)> {
    let change = |from: &str, to: &str| {
        assert!(SCENARIO.contains(from));
        SCENARIO.replace(from, to)
    };
    let binary: Vec<u8> = (0..=255u8).cycle().take(10_000).collect();
    let files: Vec<(&str, Vec<u8>, &str)> = vec![
        ("brackets", vec![b'['; 1_000_000], "brackets.ron:1:"),
        ("parentheses", vec![b'('; 1_000_000], "parentheses.ron:1:"),
        ("big", vec![b' '; (1 << 20) + 1], "larger than"),
        ("messages", change("count: 3", "count: 1000000000000000000").into(), "messages.ron:6:"),
        ("escape", change("\"orders\": (", "\"or\u{1b}[31mders\": (").into(), "escape.ron:3:"),
        (
            "written-escape",
            change("\"orders\": (", "\"or\\u{1b}[31mders\": (").into(),
            "escape.ron:3:",
        ),
        ("bidi", change("\"checkout\": (", "\"check\u{202e}out\": (").into(), "bidi.ron:4:"),
        ("binary", binary, "binary"),
        ("property", change("\"acks\": \"all\"", "\"linger.mss\": 5").into(), "linger.ms"),
        ("field", change("producers:", "produsers:").into(), "producers"),
        ("acks", change("\"all\"", "\"2\"").into(), "acks.ron:4:"),
        ("empty", Vec::new(), "empty.ron"),
        (
            "number",
            change("count: 3", &format!("count: {}", "9".repeat(100_000))).into(),
            "number.ron:6:",
        ),
        (
            "long",
            change("\"orders\": (", &format!("\"{}\": (", "x".repeat(65))).into(),
            "long.ron:3:",
        ),
    ];
    files
        .into_iter()
        .map(|(name, bytes, expected)| (folder.file(&format!("{name}.ron"), bytes), expected))
        .collect()
}

#[test]
fn hostile_and_clumsy_files_end_in_2_at_once_located_and_printable() {
    let folder = Folder::new();
    let mut files = hostile(&folder);
    files.push(("/dev/zero".to_owned(), "larger than"));
    files.push((folder.0.path().display().to_string(), ""));
    files.push((folder.0.path().join("no\u{1b}[31m such file.ron").display().to_string(), "no"));
    for (file, expected) in files {
        for command in ["run", "check", "play", "learn"] {
            // A folder without scenarios has nothing to check, and nothing else takes a folder.
            let before = Instant::now();
            let output = run(&[command, &file]);
            assert!(before.elapsed() < PATIENCE, "{command} {file} took {:?}", before.elapsed());
            let (out, err) = (stdout(&output), stderr(&output));
            if command == "check" && Path::new(&file).is_dir() {
                assert_ne!(code(&output), 101, "{command} {file}: {err}");
                continue;
            }
            assert_eq!(code(&output), 2, "{command} {file}: {err}");
            assert_printable(&err);
            assert_eq!(out, "", "{command} {file}: data for a run that never was");
            assert!(err.contains(expected), "{command} {file}: {expected:?} is not in {err}");
            assert!(!err.contains("panicked"), "{command} {file}: {err}");
        }
    }
}

#[test]
fn bad_usage_is_2_and_says_what_was_meant() {
    for (arguments, expected) in [
        (&["rum", "acks-ladder"][..], "run"),
        (&["run"], "SCENARIO"),
        (&["run", "acks-lader"], "acks-ladder"),
        (&["run", "acks-ladder", "--variant", "acks=2"], "acks=1"),
        (&["run", "acks-ladder", "--seed=-1"], "seed"),
        (&["run", "acks-ladder", "--seed", "99999999999999999999"], "seed"),
        (&["run", "acks-ladder", "--until", "soon"], "until"),
        (&["run", "acks-ladder", "--limit", "evnts=5"], "events"),
        (&["run", "acks-ladder", "--limit", "events=many"], "limit"),
        (&["why", "acks-ladder", "m999"], "m999"),
        (&["run", "\u{1b}[31mred"], ""),
        (&["conform", "no/such/folder"], "no/such/folder"),
        (&["conform", "tests/kafka", "--only", "nothing-fits"], "nothing"),
    ] {
        let output = run(arguments);
        let err = stderr(&output);
        assert_eq!(code(&output), 2, "{arguments:?}: {err}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(err.contains(expected), "{arguments:?}: {expected:?} is not in {err}");
        assert_printable(&err);
    }
}

#[test]
fn a_pipe_gets_the_list_of_lessons() {
    let output = run(&[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let list = stdout(&output);
    assert!(list.lines().any(|line| line.starts_with("acks-ladder ")), "{list}");
    assert_printable(&list);
    assert_eq!(list, stdout(&run(&["list"])));
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&run(&["list", "--format", "json"]))).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["scenarios"].as_array().unwrap().len(), list.lines().count());
}

#[test]
fn run_tells_the_story_and_its_verdict() {
    let output = run(&["run", "acks-ladder", "--variant", "acks=1"]);
    assert_eq!(code(&output), 0, "an expected loss is no failure: {}", stderr(&output));
    let text = stdout(&output);
    assert_printable(&text);
    for fact in ["acks-ladder, variant acks=1, seed 1", "lost-write", "m3", "m5"] {
        assert!(text.contains(fact), "{fact:?} is not in\n{text}");
    }
}

#[test]
fn run_json_has_the_fields_that_scripts_rely_on() {
    let output = run(&["run", "acks-ladder", "--format", "json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&json["schema"], &json["version"]), (&1.into(), &env!("CARGO_PKG_VERSION").into()));
    let runs = json["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3, "one a variant");
    for run in runs {
        for key in [
            "scenario",
            "scenario_hash",
            "seed",
            "variant",
            "trace_hash",
            "exit",
            "verdicts",
            "counts",
            "lost",
            "duplicated",
            "failed",
            "observed",
            "topics",
            "groups",
        ] {
            assert!(run.get(key).is_some(), "{key} is not in {run}");
        }
        let lost = if run["variant"] == "acks=all" { vec![] } else { vec!["m3", "m4", "m5"] };
        assert_eq!(run["lost"], serde_json::json!(lost), "{}", run["variant"]);
        assert_eq!(run["counts"]["lost"], lost.len(), "{}", run["variant"]);
        let log = &run["topics"]["orders"][0]["log"];
        assert_eq!(log.as_array().map(|log| log[3][1].clone()).unwrap() == "m6", !lost.is_empty());
    }
}

#[test]
fn jsonl_and_the_trace_file_are_the_same_events() {
    let folder = Folder::new();
    let trace = folder.0.path().join("trace.jsonl").display().to_string();
    let arguments =
        ["run", "acks-ladder", "--variant", "acks=all", "--format", "jsonl", "--trace", &trace];
    let output = run(&arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let lines = stdout(&output);
    assert!(lines.lines().count() > 100);
    for line in lines.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event.is_object(), "{line}");
    }
    assert_eq!(fs::read_to_string(&trace).unwrap(), lines);
}

#[test]
fn two_processes_print_the_same_bytes() {
    let once = || run(&["run", "auto-commit-crash", "--seed", "7", "--format", "json"]).stdout;
    let first = once();
    assert!(!first.is_empty());
    assert_eq!(first, once());
}

#[test]
fn an_expectation_that_fails_is_1_and_says_how_to_replay() {
    let folder = Folder::new();
    let wrong = folder.file("wrong.ron", SCENARIO.replace("Lost(0)", "Lost(1)"));
    for command in ["run", "check"] {
        let output = run(&[command, &wrong]);
        assert_eq!(code(&output), 1, "{command}: {}", stderr(&output));
        let said = stdout(&output) + &stderr(&output);
        let replay = format!("highwater run {wrong}");
        assert!(said.contains(&replay) && said.contains("--seed 1"), "{command}: {said}");
    }
    let right = folder.file("right.ron", SCENARIO);
    assert_eq!(code(&run(&["check", &right])), 0);
    assert_eq!(code(&run(&["check", &right, &wrong])), 1);
}

#[test]
fn a_spent_budget_is_3_with_a_partial_report() {
    let output = run(&["run", "acks-ladder", "--limit", "events=50"]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(!stdout(&output).is_empty());
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = highwater(&["run", "acks-ladder", "--format", "jsonl"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0);
    assert_eq!(stderr(&output), "");
}

#[test]
fn new_is_a_scenario_that_checks_and_never_overwrites() {
    let folder = Folder::new();
    let template = stdout(&run(&["new"]));
    let path = folder.0.path().join("mine.ron").display().to_string();
    assert_eq!(code(&run(&["new", &path])), 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), template);
    let checked = run(&["check", &path]);
    assert_eq!(code(&checked), 0, "{}", stderr(&checked));
    fs::write(&path, "mine").unwrap();
    assert_eq!(code(&run(&["new", &path])), 2);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let files: Vec<PathBuf> =
        fs::read_dir(folder.0.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn why_walks_back_from_a_lost_message() {
    let output = run(&["why", "acks-ladder", "m4", "--variant", "acks=1"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("m4") && text.contains("lost"), "{text}");
    assert_printable(&text);
}

#[test]
fn learn_plain_reads_answers_line_by_line() {
    let mut child =
        highwater(&["learn", "acks-ladder", "--plain"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"3\nno such answer\n\n0\n1\n1\n1\n1\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("QUESTION") && text.contains("You said"), "{text}");
    // Without answers the lesson goes on to its end as well.
    assert_eq!(code(&run(&["learn", "acks-ladder", "--plain"])), 0);
}

#[test]
fn every_built_in_scenario_meets_its_expectations() {
    let output = run(&["check", "scenarios"]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn help_and_version_go_to_standard_output() {
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"]] {
        let output = run(arguments);
        assert_eq!((code(&output), stderr(&output)), (0, String::new()), "{arguments:?}");
        assert!(!stdout(&output).is_empty());
    }
    assert!(stdout(&run(&["--help"])).contains("Exit codes"));
}

/// A lost message points at the leader made without it, and every cause listed is one that a run without it spares.
#[test]
fn why_ends_at_what_decided_and_lists_what_it_hung_on() {
    let output = run(&["why", "acks-ladder", "m4", "--variant", "acks=1"]);
    let text = stdout(&output);
    let last = text.lines().rev().find(|line| line.contains(" ev ")).unwrap_or_default();
    assert!(last.contains("b1 learns that epoch 0 ended at 3 and cuts m3-m5."), "{text}");
    assert!(text.contains("m4 is on b1, and not on b2 and b3."), "{text}");
    for cause in ["1 acks=1: m4 was taken", "2 b2 and b3 were frozen", "3 b1 was killed"] {
        assert!(text.contains(cause), "{cause}: {text}");
    }
    assert!(text.contains("Change any one of the 3 and m4 is spared"), "{text}");
    let spared = stdout(&run(&["why", "acks-ladder", "m4", "--variant", "acks=all"]));
    assert!(!spared.contains("BECAUSE"), "nothing went wrong there: {spared}");
}
