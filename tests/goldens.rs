//! Every built-in scenario's story in a few lines, kept in `tests/golden`: told, lost, repeated, partitions and
//! committed offsets at the end, and last the trace hash, so that a reader sees *what* differs first.
//! `UPDATE_GOLDEN=1` rewrites them; whoever does reads the difference and gives its reason in the commit message.
#![cfg(feature = "cli")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use highwater::scenario::builtins;
use serde_json::Value;

/// The story of one scenario, all variants, seed 1.
fn story(id: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_highwater"))
        .args(["run", id, "--seed", "1", "--format", "json"])
        .output()
        .expect("the binary runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let mut text = String::new();
    for run in report["runs"].as_array().expect("runs") {
        let line = |text: &mut String, name: &str, value: &Value| {
            writeln!(text, "  {name}: {value}").expect("a string takes it");
        };
        writeln!(text, "{id}, {}", run["variant"]).expect("a string takes it");
        line(&mut text, "counts", &run["counts"]);
        for list in ["lost", "duplicated", "reordered", "skipped"] {
            line(&mut text, list, &run[list]);
        }
        for (topic, partitions) in run["topics"].as_object().expect("topics") {
            for partition in partitions.as_array().expect("partitions") {
                let facts =
                    ["partition", "leader", "leader_epoch", "isr", "high_watermark", "log_end"];
                let facts: Vec<String> = facts.map(|f| format!("{f} {}", partition[f])).into();
                writeln!(text, "  {topic}: {}", facts.join(", ")).expect("a string takes it");
            }
        }
        for (group, facts) in run["groups"].as_object().expect("groups") {
            line(&mut text, group, &facts["committed"]);
        }
        line(&mut text, "trace_hash", &run["trace_hash"]);
    }
    text
}

#[test]
fn every_built_in_scenario_tells_the_story_it_told_before() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut differ = Vec::new();
    for builtin in builtins() {
        let (file, told) = (folder.join(format!("{}.txt", builtin.id)), story(builtin.id));
        #[expect(clippy::disallowed_methods, reason = "whoever reads the difference asks for it")]
        let update = std::env::var("UPDATE_GOLDEN").is_ok();
        if update {
            std::fs::write(&file, &told).expect("the folder is writable");
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        let pairs = golden.lines().zip(told.lines()).find(|(before, now)| before != now);
        if golden != told {
            differ.push(format!("{}: {pairs:?}", builtin.id));
        }
    }
    assert!(differ.is_empty(), "before and now:\n{}", differ.join("\n"));
}
