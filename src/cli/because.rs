//! What a bad fate hung on: the settings and faults without which it would not have come about. Each is tried: the run
//! is played again with the same seed and that one thing changed.

use std::sync::Arc;

use crate::base::config::Acks;
use crate::base::era::Era;
use crate::base::ids::{EventSeq, MessageId, PartitionId};
use crate::base::names::Names;
use crate::base::time::Time;
use crate::check::why::holders_at;
use crate::cli::story::Story;
use crate::event::{EventKind, FaultKind};
use crate::scenario::schema::{Override, Scenario};
use crate::scenario::step::Step;
use crate::scenario::value::{Ordered, Setting};
use crate::scenario::{Outcome, Run};
use crate::tui::model::Because;
use crate::view::fate::{Fate, fates};
use crate::view::words::{brokers, fault_word};

/// No more than so many changes are tried.
const MOST: usize = 8;

/// A run of more events is not played again.
const LONGEST: usize = 400_000;

/// One thing that could have been otherwise.
#[derive(Clone, Debug)]
enum Candidate {
    /// A setting: path, the other value, and as it is.
    Setting { path: String, value: &'static str, is: String, of: Knob },
    /// Faults of one kind at one moment: steps of the script, and what happened.
    Faults { ops: Vec<u16>, at: Time, kind: FaultKind, nodes: Vec<String>, seq: EventSeq },
}

impl Candidate {
    /// What was changed, as the name of a world: `acks=all`, `without kill b1`.
    fn change(&self) -> String {
        match self {
            Self::Setting { path, value, is, .. } => {
                let property = is.split('=').next().unwrap_or(path);
                format!("{property}={value}")
            }
            Self::Faults { kind, nodes, .. } => {
                format!("without {} {}", fault_word(*kind), nodes.join(" "))
            }
        }
    }
}

/// Which setting, for its sentence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Knob {
    Acks,
    MinIsr,
    Unclean,
    Idempotence,
    AutoCommit,
    Era,
}

/// A story with every change that was tried on it.
#[derive(Debug)]
pub struct Forks<'a> {
    story: &'a Story,
    fates: Vec<Fate>,
    tried: Vec<(Candidate, Vec<Fate>, Run)>,
}

impl<'a> Forks<'a> {
    /// Plays the forks of `story`, if anything went wrong in it.
    pub fn of(story: &'a Story) -> Self {
        let fates = story.judge.fates(story.run.simulation().batches());
        let bad: Vec<&Fate> = fates.iter().filter(|fate| went_wrong(fate)).collect();
        let short = story.run.simulation().trace().len() <= LONGEST;
        let candidates = if bad.is_empty() || !short || story.cut_short {
            Vec::new()
        } else {
            candidates(story, &bad)
        };
        let tried = candidates.into_iter().take(MOST);
        let tried = tried.filter_map(|one| {
            let (fates, run) = replay(story, &one)?;
            Some((one, fates, run))
        });
        let tried = tried.collect();
        Self { story, fates, tried }
    }

    /// The messages that something went wrong with.
    pub fn bad(&self) -> impl Iterator<Item = MessageId> + '_ {
        self.fates.iter().filter(|fate| went_wrong(fate)).map(|fate| fate.message)
    }

    /// What the fate of `message` hung on, in the order of the story.
    pub fn because(&self, message: MessageId) -> Vec<Because> {
        let Some(fate) = self.fates.iter().find(|fate| fate.message == message) else {
            return Vec::new();
        };
        let spares = |other: &[Fate]| {
            let other = other.iter().find(|fate| fate.message == message);
            other.is_some_and(|other| went_wrong(fate) && !same_harm(fate, other))
        };
        let causes = self.tried.iter().enumerate().filter(|(_, (_, other, _))| spares(other));
        causes.map(|(n, (candidate, ..))| self.words(n, candidate, fate)).collect()
    }

    /// The runs that were played, each as a story with what was changed in it.
    pub fn stories(&self) -> impl Iterator<Item = (String, Story)> + '_ {
        self.tried.iter().map(|(candidate, _, run)| {
            let story = Story::of(&self.story.source, run.clone(), true);
            (candidate.change(), story)
        })
    }

    /// How many changes were tried.
    pub fn tried(&self) -> usize {
        self.tried.len()
    }

    fn words(&self, fork: usize, candidate: &Candidate, fate: &Fate) -> Because {
        let names = self.story.run.names();
        let id = names.message(fate.message);
        match candidate {
            Candidate::Setting { is, of, .. } => {
                let text = format!("{is}{}", self.reason(*of, fate, &id));
                Because { text, change: candidate.change(), fork }
            }
            Candidate::Faults { at, kind, nodes, .. } => {
                let who = list(nodes);
                let text = match kind {
                    FaultKind::PowerLoss => format!("{who} lost power at {at} s"),
                    FaultKind::WipeDisk => format!("the disk of {who} was emptied at {at} s"),
                    FaultKind::CutLog => format!("the log of {who} was cut at {at} s"),
                    _ => {
                        let were = if nodes.len() == 1 { "was" } else { "were" };
                        format!("{who} {were} {} at {at} s", participle(*kind))
                    }
                };
                Because { text, change: "without it".to_owned(), fork }
            }
        }
    }

    /// What the setting did here, as far as the run shows it.
    fn reason(&self, knob: Knob, fate: &Fate, id: &str) -> String {
        let run = &self.story.run;
        let (events, batches) = (run.simulation().trace().events(), run.simulation().batches());
        let view = self.story.judge.view();
        match knob {
            Knob::Acks => {
                let acked = view.message(fate.message).acked;
                let all: Vec<_> = events.iter().copied().collect();
                match holders_at(fate, view, &all, batches, acked) {
                    Some(at) if !at.lacked.is_empty() && !at.had.is_empty() => {
                        format!(": {id} was taken for stored while only {} had it", brokers(at.had))
                    }
                    _ => format!(": nobody else was waited for with {id}"),
                }
            }
            Knob::MinIsr => format!(": {id} was taken although no second replica had to have it"),
            Knob::Unclean => {
                let event = events.iter().nth(fate.decided.index());
                match event.map(|event| event.kind) {
                    Some(EventKind::PartitionChanged { leader: Some(leader), .. }) => {
                        format!(": {leader} could be elected without having been in sync")
                    }
                    _ => String::new(),
                }
            }
            Knob::Idempotence => ": no broker could tell a retry from a new batch".to_owned(),
            Knob::Era => ": followers cut their logs by an older rule".to_owned(),
            Knob::AutoCommit => {
                format!(": an offset beyond {id} was committed before it was processed")
            }
        }
    }
}

/// Lost, stored or processed twice, skipped, or overtaken.
fn went_wrong(fate: &Fate) -> bool {
    fate.lost.is_some()
        || fate.is_stored_twice()
        || fate.is_processed_twice()
        || !fate.skipped_by.is_empty()
        || fate.overtaken_by.is_some()
}

/// What went wrong in `fate` went wrong in `other` too.
fn same_harm(fate: &Fate, other: &Fate) -> bool {
    (fate.lost.is_some() && other.lost.is_some())
        || (fate.is_stored_twice() && other.is_stored_twice())
        || (fate.is_processed_twice() && other.is_processed_twice())
        || (!fate.skipped_by.is_empty() && !other.skipped_by.is_empty())
        || (fate.overtaken_by.is_some() && other.overtaken_by.is_some())
}

fn list(nodes: &[String]) -> String {
    match nodes {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

fn participle(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Kill => "killed",
        FaultKind::Freeze => "frozen",
        FaultKind::Stop | FaultKind::Stopped => "shut down",
        FaultKind::CutOff => "cut off",
        _ => "changed",
    }
}

/// What could have been otherwise: the settings that guard against what went wrong, then the faults up to the moment
/// that decided, in order.
fn candidates(story: &Story, bad: &[&Fate]) -> Vec<Candidate> {
    let mut all = settings(story, bad);
    let skipped = bad.iter().any(|fate| !fate.skipped_by.is_empty());
    let decided = bad.iter().map(|fate| fate.decided).max().unwrap_or(EventSeq::NONE);
    // A skip is sealed when the one that had it dies, after the commit that decided it.
    let last = if skipped { EventSeq::NONE } else { decided };
    all.extend(faults(&story.run, last));
    all
}

fn settings(story: &Story, bad: &[&Fate]) -> Vec<Candidate> {
    let (run, view) = (&story.run, story.judge.view());
    let (spec, names) = (run.simulation().spec(), run.names());
    let mut all: Vec<Candidate> = Vec::new();
    let mut add = |path: String, value: &'static str, is: String, of: Knob| {
        let known = |c: &Candidate| matches!(c, Candidate::Setting { path: p, .. } if *p == path);
        if !all.iter().any(known) {
            all.push(Candidate::Setting { path, value, is, of });
        }
    };
    if spec.config.era != Era::Current && bad.iter().any(|fate| fate.lost.is_some()) {
        let is = format!("era={}", spec.config.era.name());
        add("cluster.era".to_owned(), Era::Current.name(), is, Knob::Era);
    }
    for fate in bad {
        let producer = view.message(fate.message).producer.unwrap_or_default();
        let name = &names.producers[usize::from(producer)].name;
        let config = &spec.producers[usize::from(producer)];
        if fate.lost.is_some() {
            let acks = match config.acks {
                Acks::None => Some("acks=0"),
                Acks::Leader => Some("acks=1"),
                Acks::All => None,
            };
            if let Some(is) = acks {
                add(format!("producers.{name}.acks"), "all", is.to_owned(), Knob::Acks);
            }
            if let Some(partition) = fate.partition {
                topic_settings(run, names, partition, &mut add);
            }
        }
        if (fate.is_stored_twice() || fate.overtaken_by.is_some())
            && !config.enable_idempotence
            && config.acks == Acks::All
        {
            let path = format!("producers.{name}.enable.idempotence");
            add(path, "true", "enable.idempotence=false".to_owned(), Knob::Idempotence);
        }
        for group in &fate.skipped_by {
            let group = &names.groups[*group];
            let path = format!("groups.{group}.enable.auto.commit");
            let clients = names.consumers.iter().zip(&spec.consumers);
            let mut auto = clients.filter(|(client, _)| {
                client.group.is_some_and(|g| names.groups[g.index()] == *group)
            });
            let declared = run.scenario().groups.get(group).is_some();
            if declared && auto.any(|(_, spec)| spec.config.enable_auto_commit) {
                add(path, "false", "enable.auto.commit=true".to_owned(), Knob::AutoCommit);
            }
        }
    }
    all
}

fn topic_settings(
    run: &Run,
    names: &Names,
    partition: PartitionId,
    add: &mut impl FnMut(String, &'static str, String, Knob),
) {
    let topic = names.partitions[partition.index()].topic;
    let config = &run.simulation().spec().config.topics[topic.index()];
    let name = &names.topics[topic.index()].name;
    let replicas = names.partitions[partition.index()].replicas.as_slice().len();
    if config.min_insync_replicas < 2 && replicas > 1 {
        let is = format!("min.insync.replicas={}", config.min_insync_replicas);
        add(format!("topics.{name}.min.insync.replicas"), "2", is, Knob::MinIsr);
    }
    if config.unclean_leader_election {
        let is = "unclean.leader.election.enable=true".to_owned();
        add(format!("topics.{name}.unclean.leader.election.enable"), "false", is, Knob::Unclean);
    }
}

/// The faults of the script up to event `last`; those of one kind at one moment are one.
fn faults(run: &Run, last: EventSeq) -> Vec<Candidate> {
    let names = run.names();
    let mut all: Vec<Candidate> = Vec::new();
    let mut current: Option<u16> = None;
    for (n, event) in run.simulation().trace().events().iter().enumerate() {
        if n > last.index() {
            break;
        }
        match event.kind {
            EventKind::Step { step } => current = Some(step),
            EventKind::Fault { kind } if kind.harms() => {
                let Some(op) = current.filter(|op| is_fault(run, *op)) else { continue };
                let node = names.node(event.node);
                if let Some(Candidate::Faults { ops, at, kind: known, nodes, .. }) = all.last_mut()
                    && (*at, *known) == (event.at, kind)
                {
                    ops.push(op);
                    nodes.push(node);
                    continue;
                }
                let (at, seq) = (event.at, EventSeq(n as u32));
                all.push(Candidate::Faults { ops: vec![op], at, kind, nodes: vec![node], seq });
            }
            _ => {}
        }
    }
    all.sort_by_key(|candidate| match candidate {
        Candidate::Faults { seq, .. } => *seq,
        Candidate::Setting { .. } => EventSeq(0),
    });
    all
}

fn is_fault(run: &Run, op: u16) -> bool {
    let op = run.code().ops.get(usize::from(op));
    op.is_some_and(|op| {
        matches!(
            op.step,
            Step::Kill(_)
                | Step::PowerLoss(_)
                | Step::Freeze(_)
                | Step::Stop(_)
                | Step::Wipe(..)
                | Step::CutLog(_)
                | Step::CutOff(..)
        )
    })
}

/// The fates of the run with one thing changed; `None` where Kafka refuses the change.
fn replay(story: &Story, candidate: &Candidate) -> Option<(Vec<Fate>, Run)> {
    let (old, variant) = (&story.run, story.run.variant());
    let mut run = match candidate {
        Candidate::Setting { path, value, .. } => {
            let scenario = Arc::new(with_setting(old.scenario(), variant, path, value));
            Run::new(&scenario, variant, old.seed(), old.limits())?
        }
        Candidate::Faults { ops, .. } => {
            Run::without(old.scenario(), variant, old.seed(), old.limits(), ops)?
        }
    };
    run.finish();
    let played = !matches!(run.outcome(), Outcome::Refused(_) | Outcome::OutOfBudget);
    played.then(|| (fates(&run.state().view, run.simulation().batches()), run))
}

fn with_setting(scenario: &Scenario, variant: &str, path: &str, value: &str) -> Scenario {
    let mut other = scenario.clone();
    let value = Override::Setting(Setting(value.to_owned()));
    if other.variants.get(variant).is_none() {
        other.variants.0.push((variant.to_owned(), Ordered::default()));
    }
    let mine = other.variants.0.iter_mut().find(|(name, _)| name == variant);
    let (_, overrides) = mine.expect("it was added where it was missing");
    overrides.0.retain(|(known, _)| known != path);
    overrides.0.push((path.to_owned(), value));
    other
}
