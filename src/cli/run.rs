//! `highwater run` and `highwater check`: play scenarios to their end, tell or judge them.

use std::io::Write;
use std::path::PathBuf;

use crate::base::time::Time;
use crate::cli::args::{Lang, Pick, RunFormat};
use crate::cli::compared;
use crate::cli::list::text;
use crate::cli::output::{Failure, Out, printable, say, stdout, write_file};
use crate::cli::questions;
use crate::cli::source::{Source, open};
use crate::cli::story::{Story, play_all, variants};
use crate::scenario::value::Span;
use crate::scenario::{Limits, Outcome, Run};
use crate::view::cluster::ClusterView;
use crate::view::export_json::document;
use crate::view::narrate::{Facts, Importance};
use crate::view::transcript::{Transcript, printed, wrap};

/// What `run` was asked for.
#[derive(Debug)]
pub struct Order<'a> {
    /// Files or ids.
    pub scenarios: &'a [String],
    /// Which variant and seed.
    pub pick: &'a Pick,
    /// Where to stop.
    pub until: Option<&'a str>,
    /// What to print.
    pub format: RunFormat,
    /// Where to write the events as well.
    pub trace: Option<&'a PathBuf>,
    /// Of titles.
    pub lang: Lang,
    /// Of loading and running.
    pub limits: &'a Limits,
}

/// Runs every variant asked for of every scenario. The exit code is the worst of all runs: 3, then 1, then 0.
///
/// # Errors
/// Bad usage, a scenario that does not load (nothing runs then), a file that cannot be written, a closed pipe.
pub fn run(order: &Order<'_>) -> Result<u8, Failure> {
    let until = order.until.map(moment).transpose()?;
    let mut plan = Vec::new();
    for reference in order.scenarios {
        let source = open(reference, order.limits)?;
        plan.extend(variants(&source, order.pick)?.into_iter().map(|v| (source.clone(), v)));
    }
    let mut out = stdout();
    let mut exit = 0;
    let mut told = Vec::new();
    let mut beside: Vec<Story> = Vec::new();
    let mut trace = String::new();
    for (n, (source, variant)) in plan.iter().enumerate() {
        let story = Story::play(source, variant, order.pick.seed, order.limits, until);
        exit = exit.max(story.exit());
        if order.trace.is_some() {
            story.events().for_each(|line| trace += &(line + "\n"));
        }
        match order.format {
            RunFormat::Text => {
                if n > 0 {
                    writeln!(out)?;
                }
                tell(&mut out, &story, order.lang)?;
                let is_last =
                    plan.get(n + 1).is_none_or(|(next, _)| next.reference != source.reference);
                beside.push(story);
                if is_last {
                    compare(&mut out, &std::mem::take(&mut beside))?;
                }
            }
            RunFormat::Json => told.push(story),
            RunFormat::Jsonl => {
                story.events().try_for_each(|line| writeln!(out, "{line}"))?;
            }
        }
        out.flush()?;
    }
    if order.format == RunFormat::Json {
        let reports: Vec<_> = told.iter().map(|story| (story.report(), story.observed())).collect();
        out.write_all(document(&reports).as_bytes())?;
        out.flush()?;
    }
    if let Some(path) = order.trace {
        write_file(path, trace.as_bytes(), true)?;
    }
    Ok(exit)
}

/// `play` without a terminal: the transcript of every run asked for.
///
/// # Errors
/// No such variant, a closed pipe.
pub fn tell_all(source: &Source, pick: &Pick, lang: Lang, limits: &Limits) -> Result<u8, Failure> {
    let mut out = stdout();
    let stories = play_all(source, pick, limits)?;
    for (n, story) in stories.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        tell(&mut out, story, lang)?;
    }
    compare(&mut out, &stories)?;
    out.flush()?;
    Ok(stories.iter().map(Story::exit).max().unwrap_or_default())
}

/// The variants of one scenario beside each other, after all of them.
fn compare(out: &mut Out, stories: &[Story]) -> Result<(), Failure> {
    if let Some(table) = compared::table(stories) {
        writeln!(out, "\n{}", printable(&table))?;
    }
    Ok(())
}

/// `11.2s` of `--until`.
fn moment(text: &str) -> Result<Time, Failure> {
    let span = Span::parse(text).map_err(|why| Failure::Bad(format!("--until {text:?}: {why}")))?;
    Ok(Time::ZERO + span.0)
}

/// The settings that sentences give as reasons.
pub fn settings(run: &Run) -> Facts {
    let spec = run.simulation().spec();
    Facts {
        cluster: (*spec.config).clone(),
        producers: spec.producers.clone(),
        consumers: spec.consumers.iter().map(|consumer| consumer.config.clone()).collect(),
        questions: Vec::new(),
    }
}

/// The transcript of one run and its verdict.
fn tell(out: &mut Out, story: &Story, lang: Lang) -> Result<(), Failure> {
    let run = &story.run;
    let title = text(&run.scenario().title, lang);
    let seed = run.seed();
    let header = format!("{}, variant {}, seed {seed}. {title}", story.source.id, run.variant());
    writeln!(out, "{}", wrap(&printable(&header), 2))?;
    let facts = Facts { questions: questions::with_choices(story, lang), ..settings(run) };
    let view = ClusterView::new(std::sync::Arc::clone(run.names()));
    let mut transcript = Transcript::new(view, facts, Importance::Change);
    let events = run.simulation().trace().events();
    for (seq, event) in (0..).map(crate::base::ids::EventSeq).zip(events.iter()) {
        transcript.observe(seq, event, run.simulation().batches());
    }
    for line in transcript.take_lines() {
        writeln!(out, "{}", printable(&printed(&line)))?;
    }
    verdicts(out, story)
}

/// The judge's block, what was expected, how to play it again.
fn verdicts(out: &mut Out, story: &Story) -> Result<(), Failure> {
    let run = &story.run;
    writeln!(out, "{}", printable(story.report().verdict_block().trim_end()))?;
    match run.outcome() {
        Outcome::Refused(refusal) => {
            let line = format!("REFUSED: {}: {}", refusal.client, refusal.message);
            writeln!(out, "{}", wrap(&printable(&line), 9))?;
        }
        Outcome::OutOfBudget => {
            writeln!(out, "The budget of events or time is spent; what is above is partial.")?;
        }
        _ => {}
    }
    if story.cut_short {
        writeln!(
            out,
            "Stopped at {} s; nothing that is expected of the end is judged.",
            run.now()
        )?;
    }
    for judged in &story.expectations {
        let line = if judged.met {
            format!("EXPECTED: {}", judged.expectation)
        } else {
            format!("NOT AS EXPECTED: {}, but {}", judged.expectation, judged.found)
        };
        writeln!(out, "{}", wrap(&printable(&line), 9))?;
    }
    if story.exit() != 0 {
        writeln!(out, "To play it again: {}", printable(&story.replay()))?;
    }
    Ok(())
}

/// Runs every variant of every scenario at `paths` and prints those that do not go as expected, and the total.
///
/// # Errors
/// A path that does not exist, a closed pipe. A scenario that does not load is reported and the rest is checked.
pub fn check(paths: &[String], limits: &Limits) -> Result<u8, Failure> {
    let mut out = stdout();
    let (mut runs, mut unexpected, mut scenarios, mut exit) = (0u32, 0u32, 0u32, 0u8);
    let mut unreadable = false;
    for reference in crate::cli::source::expand(paths)? {
        let source: Source = match open(&reference, limits) {
            Ok(source) => source,
            Err(Failure::Bad(why)) => {
                say(&why);
                unreadable = true;
                continue;
            }
            Err(other) => return Err(other),
        };
        scenarios += 1;
        for variant in source.scenario.variant_names() {
            let story = Story::play(&source, variant, None, limits, None);
            runs += 1;
            unexpected += u32::from(story.exit() != 0);
            exit = exit.max(story.exit());
            complain(&mut out, &story)?;
        }
    }
    if scenarios > 0 {
        writeln!(out, "total: {scenarios} scenarios, {runs} runs, {unexpected} not as expected")?;
    }
    out.flush()?;
    Ok(if unreadable { 2 } else { exit })
}

fn complain(out: &mut Out, story: &Story) -> Result<(), Failure> {
    if story.exit() == 0 {
        return Ok(());
    }
    let run = &story.run;
    writeln!(
        out,
        "{}, variant {}, seed {}:",
        printable(&story.source.reference),
        run.variant(),
        run.seed()
    )?;
    for judged in story.expectations.iter().filter(|judged| !judged.met) {
        let line = format!("  expected {}, but {}", judged.expectation, judged.found);
        writeln!(out, "{}", wrap(&printable(&line), 4))?;
    }
    for (guarantee, verdict) in story.surprises() {
        let text = verdict.violation().map_or("", |violation| violation.text.as_str());
        let line = format!("  {} broken, which nothing here expects: {text}", guarantee.name());
        writeln!(out, "{}", wrap(&printable(&line), 4))?;
    }
    writeln!(out, "  {}", printable(&story.replay()))?;
    Ok(())
}
