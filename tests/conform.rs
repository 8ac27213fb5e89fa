//! Agreement with Kafka: the recorded cases and vectors of this repository, and the worked examples of the page that
//! tells how to add one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use highwater::conform::glob::Glob;
use highwater::conform::{Case, Outcome, compare};

fn below(folder: &str, only: Option<&str>) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    compare(&[path], only.map(Glob::new).as_ref(), |_| {}).unwrap()
}

fn assert_agreement(cases: &[Case]) {
    for case in cases {
        assert_eq!(case.outcome, Outcome::Agrees, "{}", case.id);
        assert!(case.compared > 0, "{} compares nothing", case.id);
    }
}

#[test]
fn every_recorded_case_agrees() {
    let cases = below("tests/kafka", None);
    assert!(cases.len() >= 40, "{} cases", cases.len());
    assert_agreement(&cases);
    let required = [
        "1-acks0",
        "1-acks1-retry",
        "1-acksall-min1-retry",
        "1-partial-123-noidem",
        "3-lostack-retry-noidem",
        "3-lostack-retry-idem",
        "3-lostack-noretry",
        "s01a_sync_crash_classic",
        "s01b_handoff_crash_classic",
        "s01d_close_unprocessed_classic",
        "s02a_commit_before_classic",
        "s02b_process_then_commit_classic",
    ];
    for id in required {
        assert!(cases.iter().any(|case| case.id == id), "{id} is missing");
    }
}

#[test]
fn every_sampled_vector_agrees() {
    let files = below("tests/vectors", None);
    assert!(files.len() >= 3);
    assert_agreement(&files);
    assert_eq!(below("tests/vectors", Some("keys*")).len(), 1);
}

/// The files in the page: a name in backticks with a colon, then a block of code.
fn worked_examples() -> Vec<(String, String)> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conform.md"));
    let page = page.unwrap();
    let ends = page.match_indices("`:\n\n```").map(|(at, _)| at);
    let named = ends.map(|end| {
        let name = &page[page[..end].rfind('`').unwrap() + 1..end];
        let (_, block) = page[end + 6..].split_once('\n').unwrap();
        (name.to_owned(), block.split_once("```").unwrap().0.to_owned())
    });
    named.collect()
}

#[test]
fn the_worked_examples_of_the_page_agree() {
    let examples = worked_examples();
    assert_eq!(examples.len(), 4, "two pairs of files");
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in &examples {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let cases = compare(&[folder.path().to_owned()], None, |_| {}).unwrap();
    assert_eq!(cases.len(), 2);
    assert_agreement(&cases);
}

/// A case of the page with one replacement in its facts, or in its script.
fn changed(example: usize, from: &str, to: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let mut found = false;
    for (name, text) in &worked_examples()[2 * example..2 * example + 2] {
        found |= text.contains(from);
        fs::write(folder.path().join(name), text.replacen(from, to, 1)).unwrap();
    }
    assert!(found, "{from:?} is not in the example");
    let path: PathBuf = folder.path().to_owned();
    compare(&[path], None, |_| {}).unwrap().remove(0).outcome
}

#[test]
fn a_fact_that_kafka_did_not_show_differs_with_its_path() {
    for (example, from, to, path) in [
        (0, "[\"m1\", 0, 3]", "[\"m1\", 0, 1]", "acked.m1"),
        (0, "[\"m3\", 0, 5]", "[\"m3\", 0, 5], [\"m4\", 0, 6]", "acked.m4"),
        (0, "\"failed\": {}", "\"failed\": {\"m1\": \"NetworkException\"}", "failed.m1"),
        (0, "[3, \"m1\"]", "[3, \"m2\"]", "observed.read.0[3]"),
        (0, "\"lost\": []", "\"lost\": [\"m0\"]", "lost"),
        (0, "\"m1 x2\"", "\"m1 x3\"", "duplicated"),
        (0, "\"reordered\": []", "\"reordered\": [[\"m1\", \"m2\"]]", "reordered"),
        (1, "{\"t-0\": 5}", "{\"t-0\": 4}", "observed.committed_after_close.t-0"),
        (1, "\"close\": \"ok\"", "\"close\": \"TimeoutException\"", "calls.close"),
        (1, "{\"g\": {\"t-0\": 20}}", "{\"g\": {\"t-0\": 19}}", "committed.g.t-0"),
        (1, "\"A\": [\"m0\", \"m1\"]", "\"A\": [\"m1\", \"m0\"]", "processed.A"),
        (1, "\"duplicated\": {}", "\"duplicated\": {\"m0\": [\"A\", \"B\"]}", "duplicated.m0"),
    ] {
        match changed(example, from, to) {
            Outcome::Differs(difference) => {
                assert_eq!(difference.path, format!("seed 1: {path}"), "{from} -> {to}");
            }
            other => panic!("{from} -> {to}: {other:?}"),
        }
    }
}

#[test]
fn what_cannot_be_compared_is_no_agreement() {
    let unreadable = |outcome| matches!(outcome, Outcome::Unreadable(_));
    assert!(unreadable(changed(0, "\"acked\"", "\"acknowledged\"")), "an unknown fact");
    assert!(unreadable(changed(0, "\"id\": \"lost-answer\"", "\"id\": \"other\"")), "another id");
    assert!(
        unreadable(changed(0, "Await(Completed(\"prod\"))", "Await(Completd(\"prod\"))")),
        "a typo in the script"
    );
    let not_observed = changed(1, "\"committed_after_close\": {", "\"committed_later\": {");
    assert!(matches!(not_observed, Outcome::NotModelled(_)), "{not_observed:?}");
    let stuck = changed(
        0,
        "Await(Completed(\"prod\")),\n        Clear",
        "Await(Acked([\"m3\"])),\n        Clear",
    );
    assert!(matches!(&stuck, Outcome::Differs(d) if d.path.ends_with("script")), "{stuck:?}");
}

#[test]
fn a_forgotten_half_of_a_case_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let examples = worked_examples();
    fs::write(folder.path().join(&examples[0].0), &examples[0].1).unwrap();
    let cases = compare(&[folder.path().to_owned()], None, |_| {}).unwrap();
    assert!(matches!(cases[0].outcome, Outcome::Unreadable(_)), "{cases:?}");
    fs::remove_file(folder.path().join(&examples[0].0)).unwrap();
    fs::write(folder.path().join(&examples[1].0), &examples[1].1).unwrap();
    let cases = compare(&[folder.path().to_owned()], None, |_| {}).unwrap();
    assert!(matches!(cases[0].outcome, Outcome::NotModelled(_)), "{cases:?}");
}
