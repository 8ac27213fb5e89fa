//! What a finished run has to say: the verdicts, the totals, and what was observed, as plain rows that text and JSON
//! are written from. The words of a violation come from the judge.

use crate::base::batch::BatchTable;
use crate::base::ids::{EventSeq, MessageId};
use crate::view::cluster::ClusterView;
use crate::view::fate::{Tally, fates, tally};
use crate::view::transcript::wrap;
use crate::view::words::{fold_ids, plural};

/// The verdict on one guarantee.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerdictRow {
    /// `lost-write`.
    pub guarantee: &'static str,
    /// True for an invariant: broken, it is a bug of the simulator.
    pub invariant: bool,
    /// `holds`, `broken`, `vacuous`.
    pub verdict: &'static str,
    /// The sentence of a broken one, else empty.
    pub text: String,
    /// The events that show it.
    pub witnesses: Vec<EventSeq>,
}

/// One run, ready to be written down.
#[derive(Clone, Debug)]
pub struct RunReport<'a> {
    /// The scenario's id or path.
    pub scenario: &'a str,
    /// Hash of the scenario's bytes, in hexadecimal.
    pub scenario_hash: String,
    /// The seed.
    pub seed: u64,
    /// The variant.
    pub variant: &'a str,
    /// The trace hash, in hexadecimal.
    pub trace_hash: String,
    /// The exit code this run alone would give.
    pub exit: u8,
    /// One row a guarantee.
    pub verdicts: Vec<VerdictRow>,
    /// Everything at the end.
    pub view: &'a ClusterView,
    /// The records.
    pub batches: &'a BatchTable,
}

impl RunReport<'_> {
    /// What was told, lost, duplicated, reordered and skipped.
    pub fn tally(&self) -> Tally {
        tally(self.view, &fates(self.view, self.batches))
    }

    /// The verdicts and totals as text: broken ones with their sentence, the rest by name, invariants as a count.
    pub fn verdict_block(&self) -> String {
        let mut lines = Vec::new();
        let named = |row: &&VerdictRow| !row.invariant || row.verdict == "broken";
        for row in self.verdicts.iter().filter(named) {
            let what = if row.invariant { "BUG: " } else { "" };
            let line = format!("{:<8} {:<24} {what}{}", row.verdict, row.guarantee, row.text);
            lines.push(wrap(line.trim_end(), 34));
        }
        let count = |verdict: &str| {
            let of = |row: &&VerdictRow| row.invariant && row.verdict == verdict;
            self.verdicts.iter().filter(of).count()
        };
        let (holds, broken, vacuous) = (count("holds"), count("broken"), count("vacuous"));
        lines.push(format!("Invariants: {holds} hold, {broken} broken, {vacuous} not exercised."));
        lines.extend(self.totals());
        lines.join("\n")
    }

    /// Two lines of totals, and the ids behind them; one more for each table that applications write to.
    fn totals(&self) -> Vec<String> {
        let all = self.tally();
        let told = format!(
            "Told: {} sent, {} acknowledged, {} failed, {} unknown.",
            all.sent,
            all.acked,
            all.failed.len(),
            all.unknown.len()
        );
        let names = &self.view.names;
        let list = |name: &str, ids: &[MessageId]| match ids.len() {
            0 => format!("{name} 0"),
            n => format!("{name} {n} ({})", fold_ids(names, ids)),
        };
        let found = [
            list("lost", &all.lost),
            list("stored twice", &all.duplicated),
            list("processed twice", &all.repeated),
            list("reordered", &all.reordered),
            list("skipped", &all.skipped),
        ];
        let mut lines = vec![told, wrap(&format!("Found: {}.", found.join(", ")), 7)];
        for (view, name) in self.view.tables.iter().zip(&names.tables) {
            let (rows, messages) = view.count();
            let again = view.repeated();
            let more = if again.is_empty() {
                String::new()
            } else {
                format!(", more than one of {}", fold_ids(names, &again))
            };
            lines.push(format!(
                "Rows: {name} {rows} of {}{more}.",
                plural(messages as u64, "message")
            ));
        }
        lines
    }
}
