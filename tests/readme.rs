//! What the README promises can be typed: every `highwater …` in its table of commands runs, and its numbers are those
//! of the manifest.

use std::process::{Command, Stdio};

const README: &str = include_str!("../README.md");

/// The commands in the first column of the README's table, without those that take over a terminal or write a file.
fn commands() -> Vec<Vec<&'static str>> {
    let rows = README.lines().filter_map(|line| line.strip_prefix("| `highwater"));
    rows.filter_map(|row| row.split_once('`'))
        .map(|(command, _)| command.split_whitespace().collect())
        .filter(|command: &Vec<_>| command.first() != Some(&"new"))
        .collect()
}

#[test]
fn every_command_of_the_table_runs() {
    let commands = commands();
    assert!(commands.len() >= 8, "{commands:?}");
    for arguments in commands {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.args(&arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "highwater {}: {told}", arguments.join(" "));
        assert!(!output.stdout.is_empty(), "highwater {}", arguments.join(" "));
    }
}

#[test]
fn the_numbers_are_those_of_the_manifest() {
    let minimum = env!("CARGO_PKG_RUST_VERSION");
    assert!(README.contains(&format!("({minimum} or newer)")), "rust-version is {minimum}");
    let (major_minor, _) = env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap();
    assert!(README.contains(&format!("version = \"{major_minor}\"")));
}
