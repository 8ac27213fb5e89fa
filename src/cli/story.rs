//! One run of a scenario, played and judged: what every command that runs something shares.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::base::config::IsolationLevel;
use crate::base::era::Era;
use crate::base::ids::EventSeq;
use crate::base::time::Time;
use crate::check::verdict::Verdict;
use crate::check::{Guarantee, Judge, JudgeSetup, Kind};
use crate::cli::args::Pick;
use crate::cli::output::Failure;
use crate::cli::source::{Source, unknown};
use crate::scenario::expect::Expectation;
use crate::scenario::schema::LoopStep;
use crate::scenario::step::{Election, Step};
use crate::scenario::verdict::{self, Judged};
use crate::scenario::{Limits, Outcome, Progress, Run};
use crate::view::export_jsonl::line;
use crate::view::fate::Tally;
use crate::view::report::RunReport;

/// A run that is over (or was stopped at a moment), with everything there is to say about it.
#[derive(Debug)]
pub struct Story {
    /// Where it comes from.
    pub source: Source,
    /// The run.
    pub run: Run,
    /// The judge that saw all of it.
    pub judge: Judge,
    /// What it says of each guarantee.
    pub verdicts: Vec<(Guarantee, Verdict)>,
    /// What became of the messages.
    pub tally: Tally,
    /// The expectations of the variant, and what became of them. Empty for a run that was cut short.
    pub expectations: Vec<Judged>,
    /// Stopped by `--until`: what is expected of the end is not judged.
    pub cut_short: bool,
}

/// The variants that `pick` asks for, in the order of the file.
///
/// # Errors
/// No variant of that name.
pub fn variants(source: &Source, pick: &Pick) -> Result<Vec<String>, Failure> {
    let all = source.scenario.variant_names();
    match &pick.variant {
        None => Ok(all.into_iter().map(str::to_owned).collect()),
        Some(wanted) if all.contains(&wanted.as_str()) => Ok(vec![wanted.clone()]),
        Some(wanted) => {
            let known = all.join(", ");
            let why = unknown(&format!("variant of {}", source.id), wanted, all);
            Err(Failure::Bad(format!("{why} ({known})")))
        }
    }
}

/// Every run that `pick` asks for.
///
/// # Errors
/// No variant of that name.
pub fn play_all(source: &Source, pick: &Pick, limits: &Limits) -> Result<Vec<Story>, Failure> {
    let variants = variants(source, pick)?;
    Ok(variants.iter().map(|name| Story::play(source, name, pick.seed, limits, None)).collect())
}

impl Story {
    /// Plays `variant` of `source` to its end, or until the virtual time `until`.
    pub fn play(
        source: &Source,
        variant: &str,
        seed: Option<u64>,
        limits: &Limits,
        until: Option<Time>,
    ) -> Self {
        let scenario = Arc::new(source.scenario.clone());
        let seed = seed.unwrap_or(scenario.seed);
        let run = Run::new(&scenario, variant, seed, limits);
        let mut run = run.expect("the variant is one of the scenario's");
        let mut cut_short = false;
        while run.step() == Progress::Going {
            if until.is_some_and(|until| run.now() >= until) {
                cut_short = true;
                break;
            }
        }
        Self::of(source, run, cut_short)
    }

    /// The story of a run that is over, or cut short: then nothing that is expected of the end is judged.
    pub fn of(source: &Source, run: Run, cut_short: bool) -> Self {
        let judge = judge(&run);
        let batches = run.simulation().batches();
        let verdicts = judge.verdicts(batches);
        let tally = judge.counts(batches);
        let expectations = if cut_short { Vec::new() } else { verdict::judge(&run) };
        Self { source: source.clone(), run, judge, verdicts, tally, expectations, cut_short }
    }

    /// The exit code of this run alone.
    pub fn exit(&self) -> u8 {
        let unexpected = self.surprises().next().is_some();
        let unmet = self.expectations.iter().any(|expectation| !expectation.met);
        match self.run.outcome() {
            Outcome::OutOfBudget => 3,
            Outcome::Stuck { .. } => 1,
            Outcome::Refused(_) | Outcome::Running | Outcome::Completed => {
                u8::from(unmet || unexpected)
            }
        }
    }

    /// Broken guarantees that nobody expected: invariants, and delivery guarantees that no expectation speaks of.
    pub fn surprises(&self) -> impl Iterator<Item = &(Guarantee, Verdict)> {
        let (stated, lost) = (self.stated(), !self.tally.lost.is_empty());
        self.verdicts.iter().filter(move |(guarantee, verdict)| {
            let expected =
                guarantee.kind() == Kind::Delivery && is_stated(*guarantee, stated, lost);
            verdict.violation().is_some() && !expected
        })
    }

    /// The expectations that the file states for this variant.
    fn stated(&self) -> &[Expectation] {
        let stated = self.run.scenario().expect.get(self.run.variant());
        stated.map_or(&[], Vec::as_slice)
    }

    /// What an export writes down.
    pub fn report(&self) -> RunReport<'_> {
        let simulation = self.run.simulation();
        RunReport {
            scenario: &self.source.id,
            scenario_hash: format!("{:016x}", self.source.hash),
            seed: self.run.seed(),
            variant: self.run.variant(),
            trace_hash: format!("{:016x}", simulation.trace().hash()),
            exit: self.exit(),
            verdicts: self.judge.rows(simulation.batches()),
            view: self.judge.view(),
            batches: simulation.batches(),
        }
    }

    /// What `Observe` recorded, by name; the last of each name.
    pub fn observed(&self) -> BTreeMap<String, Value> {
        let facts = self.run.observations().iter();
        let value = |fact| serde_json::to_value(fact).expect("a fact is plain data");
        facts.map(|(name, fact)| (name.clone(), value(fact))).collect()
    }

    /// Every event as a line of JSON.
    pub fn events(&self) -> impl Iterator<Item = String> + '_ {
        let simulation = self.run.simulation();
        let events = (0..).map(EventSeq).zip(simulation.trace().events().iter());
        events.map(|(seq, event)| line(self.run.names(), simulation.batches(), seq, event))
    }

    /// The command that plays this run again.
    pub fn replay(&self) -> String {
        let scenario = shell_word(&self.source.reference);
        let variant = match self.run.scenario().variant_names().len() {
            1 => String::new(),
            _ => format!(" --variant {}", shell_word(self.run.variant())),
        };
        format!("highwater run {scenario}{variant} --seed {}", self.run.seed())
    }
}

/// A judge that has seen the whole run.
fn judge(run: &Run) -> Judge {
    let spec = run.simulation().spec();
    let committed = IsolationLevel::ReadCommitted;
    let setup = JudgeSetup {
        acks: spec.producers.iter().map(|producer| producer.acks).collect(),
        unclean_election: spec.config.topics.iter().map(|t| t.unclean_leader_election).collect(),
        unclean_by_hand: run.code().ops.iter().any(|op| elects_uncleanly(&op.step)),
        manual_commits: commits_by_hand(run),
        old_protocol: spec.config.era != Era::Current,
        delivery_limits: spec.config.delivery_limits(),
        read_committed: spec.consumers.iter().map(|c| c.config.isolation == committed).collect(),
    };
    let mut judge = Judge::new(Arc::clone(run.names()), setup);
    let events = run.simulation().trace().events();
    for (seq, event) in (0..).map(EventSeq).zip(events.iter()) {
        judge.observe(seq, event, run.simulation().batches());
    }
    judge
}

/// True for what an administrator does to have a leader at the price of data.
fn elects_uncleanly(step: &Step) -> bool {
    match step {
        Step::ElectLeaders(kind, _) => *kind == Election::Unclean,
        Step::AlterConfigs(_, settings) => {
            settings.iter().any(|(name, _)| name == "unclean.leader.election.enable")
        }
        _ => false,
    }
}

/// True when an application commits offsets of its own choice in place of its position.
fn commits_by_hand(run: &Run) -> bool {
    fn in_steps(steps: &[Step]) -> bool {
        steps.iter().any(|step| match step {
            Step::Commit(commit) => !commit.offsets.is_empty(),
            Step::At(_, steps) | Step::Named(_, steps) => in_steps(steps),
            Step::Every(every) => in_steps(&every.steps),
            _ => false,
        })
    }
    let resolved = run.scenario().resolve(run.variant());
    let resolved = resolved.expect("the run has one of the scenario's variants");
    let chooses = |step: &LoopStep| {
        matches!(
            step,
            LoopStep::CommitFinished(_) | LoopStep::CommitLast(_) | LoopStep::WorkAndCommitEach(_)
        )
    };
    let mut loops = resolved.consumers.iter().map(|(_, consumer)| &consumer.steps);
    let replaced = resolved.steps.iter().any(|(_, steps)| in_steps(steps));
    replaced || in_steps(&run.scenario().script) || loops.any(|steps| steps.iter().any(chooses))
}

/// True when one of the expectations speaks of a delivery guarantee; `lost`: something was lost in the run.
fn is_stated(guarantee: Guarantee, stated: &[Expectation], lost: bool) -> bool {
    stated.iter().any(|expectation| match guarantee {
        Guarantee::LostWrite => matches!(expectation, Expectation::Lost(_)),
        Guarantee::DuplicateAppend => matches!(expectation, Expectation::Duplicated(_)),
        Guarantee::DuplicateProcess => matches!(expectation, Expectation::Repeated(_)),
        Guarantee::ReorderedSend => matches!(expectation, Expectation::Reordered(_)),
        Guarantee::CommitPastUnprocessed => matches!(expectation, Expectation::Skipped(_)),
        Guarantee::ExactlyOnce => {
            matches!(expectation, Expectation::Missing(_) | Expectation::Duplicated(_))
        }
        // What is missing of a transaction is lost.
        Guarantee::TornTransaction => {
            matches!(expectation, Expectation::Torn(_))
                || lost && matches!(expectation, Expectation::Lost(_))
        }
        Guarantee::StuckLso => matches!(expectation, Expectation::Hanging(_)),
        // A reader that goes back where records were lost is the reader's side of that loss.
        Guarantee::Reread => matches!(expectation, Expectation::Lost(_)) && lost,
        Guarantee::Skip | Guarantee::Unseen => {
            matches!(expectation, Expectation::Unprocessed(_) | Expectation::Skipped(_))
        }
        _ => false,
    })
}

/// Quotes what a shell would take apart.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
