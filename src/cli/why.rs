//! `highwater why`: one message's fate and the chain of events that led to it.

use std::io::Write;

use crate::check::why::journey;
use crate::cli::args::Pick;
use crate::cli::because::Forks;
use crate::cli::output::{Failure, printable, stdout};
use crate::cli::run::settings;
use crate::cli::source::{Source, unknown};
use crate::cli::story::{Story, variants};
use crate::scenario::Limits;
use crate::view::cluster::ClusterView;
use crate::view::fate::{Fate, Whereabouts};
use crate::view::narrate::{Scene, sentence};
use crate::view::transcript::wrap;
use crate::view::words::spared;

/// Tells the fate of `message` under each variant asked for.
///
/// # Errors
/// No such message or variant, a closed pipe.
pub fn run(source: &Source, message: &str, pick: &Pick, limits: &Limits) -> Result<u8, Failure> {
    let mut out = stdout();
    for (n, variant) in variants(source, pick)?.iter().enumerate() {
        let story = Story::play(source, variant, pick.seed, limits, None);
        let names = story.run.names();
        let fates = story.judge.fates(story.run.simulation().batches());
        let wanted = names.find_message(message);
        let Some(fate) = fates.iter().find(|fate| Some(fate.message) == wanted) else {
            let known: Vec<String> = fates.iter().map(|fate| names.message(fate.message)).collect();
            let what = format!("message of {}, variant {variant},", source.id);
            return Err(Failure::Bad(unknown(&what, message, known.iter().map(String::as_str))));
        };
        if n > 0 {
            writeln!(out)?;
        }
        let header =
            format!("{message} in {}, variant {variant}, seed {}", source.id, story.run.seed());
        writeln!(out, "{}: {}", printable(&header), printable(&summary(&story, fate)))?;
        for row in rows(&story, fate) {
            writeln!(out, "{}", printable(&row))?;
        }
        for line in because(&story, fate) {
            writeln!(out, "{}", printable(&line))?;
        }
        out.flush()?;
    }
    Ok(0)
}

/// What became of it, in a line.
fn summary(story: &Story, fate: &Fate) -> String {
    let mut parts = Vec::new();
    parts.push(if fate.acked { "acknowledged" } else { "never acknowledged" }.to_owned());
    if let Some(kind) = fate.lost {
        parts.push(format!("lost ({})", kind.name()));
    }
    parts.push(match fate.whereabouts {
        Whereabouts::Readable if fate.is_stored_twice() => {
            let offsets: Vec<_> = fate.offsets.iter().map(ToString::to_string).collect();
            format!("stored {} times, at offsets {}", offsets.len(), offsets.join(" "))
        }
        Whereabouts::Readable => "readable".to_owned(),
        Whereabouts::AboveHighWatermark => {
            "stored above the high watermark: nobody can read it".to_owned()
        }
        Whereabouts::Unstable => {
            "in the log, in a transaction that was aborted or is open".to_owned()
        }
        Whereabouts::Expired => "expired".to_owned(),
        Whereabouts::Compacted => "compacted away".to_owned(),
        Whereabouts::NoLeader => "on a disk, but the partition has no leader".to_owned(),
        Whereabouts::Absent => "not in the leader's log".to_owned(),
    });
    if let Some(other) = fate.overtaken_by {
        parts.push(format!("overtaken by {}", story.run.names().message(other)));
    }
    for (reader, count) in &fate.processed {
        let names = story.run.names();
        let group = names.groups.get(*reader).cloned().unwrap_or_else(|| "a reader".to_owned());
        parts.push(format!("{group} processed it {count} ×"));
    }
    if !fate.skipped_by.is_empty() {
        parts.push("passed by a committed offset and never processed".to_owned());
    }
    parts.join("; ") + "."
}

/// What a bad fate hung on, each tried with the same seed.
fn because(story: &Story, fate: &Fate) -> Vec<String> {
    let forks = Forks::of(story);
    let (causes, id) = (forks.because(fate.message), story.run.names().message(fate.message));
    let mut lines = Vec::new();
    if !forks.bad().any(|bad| bad == fate.message) {
        return lines;
    }
    for (n, cause) in causes.iter().enumerate() {
        let head = if n == 0 { "BECAUSE" } else { "" };
        let line = format!("{head:<8} {} {}  ► {}", n + 1, cause.text, cause.change);
        lines.push(wrap(&line, 11));
    }
    if let Some(verdict) = spared(causes.len(), forks.tried(), &id) {
        lines.push(wrap(&format!("{:9}{verdict}", ""), 9));
    }
    lines
}

/// The journey, a line an event; `*` marks the chain of causes.
fn rows(story: &Story, fate: &Fate) -> Vec<String> {
    let simulation = story.run.simulation();
    let (batches, facts) = (simulation.batches(), settings(&story.run));
    let names = story.run.names();
    let events: Vec<_> = simulation.trace().events().iter().copied().collect();
    let journey = journey(fate, story.judge.view(), &events, batches);
    let mut view = ClusterView::new(std::sync::Arc::clone(story.run.names()));
    let mut folded = 0;
    let mut lines = Vec::new();
    for row in journey {
        for (seq, event) in (folded..).zip(&events[folded as usize..row.seq.index()]) {
            view.apply(crate::base::ids::EventSeq(seq), event, batches);
        }
        folded = row.seq.0;
        let event = &events[row.seq.index()];
        let scene = Scene { before: &view, batches, facts: &facts };
        let mark = if row.on_chain { '*' } else { ' ' };
        let time = format!("{} s", row.at);
        let line = format!("{mark} {time:<9} ev {:<6} {}", row.seq.0, sentence(&scene, event));
        lines.push(wrap(&line, 22));
        if let Some(holders) = row.holders {
            let line = format!("{:22}{}", "", holders.words(&names.message(fate.message)));
            lines.push(wrap(&line, 22));
        }
    }
    lines
}
