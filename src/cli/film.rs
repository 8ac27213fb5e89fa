//! From played stories to a film: what the terminal shows, and what `learn --plain` tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::ids::{EventSeq, MessageId, NodeId};
use crate::base::time::Time;
use crate::cli::args::Lang;
use crate::cli::because::Forks;
use crate::cli::list::text;
use crate::cli::questions;
use crate::cli::run::settings;
use crate::cli::story::Story;
use crate::event::{Event, EventKind, FaultKind};
use crate::scenario::step::{Node, Step};
use crate::scenario::value::Span;
use crate::scenario::{Outcome, Run};
use crate::tui::model::{Because, Expectation, Film, Kill, Mark, MarkKind, World};
use crate::view::narrate::Facts;

/// The film of `stories`: the variants of one scenario under one seed.
///
/// # Panics
/// Without a story.
pub fn film(stories: &[Story], lang: Lang) -> Film {
    let first = &stories[0];
    let scenario = first.run.scenario();
    Film {
        scenario: first.source.id.clone(),
        title: text(&scenario.title, lang),
        seed: first.run.seed(),
        worlds: stories.iter().map(|story| world(story, lang)).collect(),
        questions: questions::of(stories, lang),
        takeaway: text(&scenario.takeaway, lang),
        difference: if stories.len() > 1 { difference(first) } else { String::new() },
    }
}

/// The run of `story` again, with a producer, and the application it is part of, killed at a moment of it.
pub fn with_kill(story: &Story, kill: Kill, lang: Lang) -> Option<World> {
    let run = &story.run;
    let (spec, names) = (run.simulation().spec(), run.names());
    let client = match spec.owner(kill.producer) {
        Some(owner) => &names.consumers[usize::from(owner)].name,
        None => &names.producers.get(usize::from(kill.producer))?.name,
    };
    let mut scenario = run.scenario().as_ref().clone();
    let at = Span(kill.at.since(Time::ZERO));
    scenario.script.insert(0, Step::At(at, vec![Step::Kill(Node::Client(client.clone()))]));
    let mut again = Run::new(&Arc::new(scenario), run.variant(), run.seed(), run.limits())?;
    again.finish();
    let change = format!("{client} killed at {} s", kill.at);
    let story = Story::of(&story.source, again, true);
    Some(World { variant: change, ..world(&story, lang) })
}

fn world(story: &Story, lang: Lang) -> World {
    let run = &story.run;
    let simulation = run.simulation();
    let refused = match run.outcome() {
        Outcome::Refused(refusal) => Some(refusal.message.clone()),
        _ => None,
    };
    let expectations = story.expectations.iter();
    let expectations = expectations
        .map(|judged| Expectation { text: judged.expectation.clone(), met: judged.met })
        .collect();
    let (causes, forks) = causes(story, lang);
    World {
        variant: run.variant().to_owned(),
        names: Arc::clone(run.names()),
        events: simulation.trace().events().clone(),
        batches: simulation.batches().clone(),
        settings: Facts { questions: texts(run, lang), ..settings(run) },
        marks: marks(story),
        facts: facts(run),
        captions: captions(run, lang),
        expectations,
        causes,
        forks,
        refused,
    }
}

/// What every bad fate hung on, and the runs that show it.
fn causes(story: &Story, lang: Lang) -> (BTreeMap<MessageId, Vec<Because>>, Vec<World>) {
    let forks = Forks::of(story);
    let causes = forks.bad().map(|id| (id, forks.because(id))).collect();
    let worlds =
        forks.stories().map(|(change, story)| World { variant: change, ..world(&story, lang) });
    (causes, worlds.collect())
}

/// The questions of the lesson by number.
fn texts(run: &Run, lang: Lang) -> Vec<String> {
    run.code().questions.iter().map(|question| text(&question.text, lang)).collect()
}

/// `orders-0 RF 3 min ISR 2`: the first partition that is no internal one.
fn facts(run: &Run) -> String {
    let names = run.names();
    let Some((id, topic)) = names.topics.iter().enumerate().find(|(_, topic)| !topic.internal)
    else {
        return String::new();
    };
    let config = &run.simulation().spec().config.topics[id];
    let partition = &names.partitions[topic.partitions[0].index()];
    let replicas = partition.replicas.as_slice().len();
    let first = names.partition(topic.partitions[0]);
    let more = match topic.partitions.len() {
        1 => first,
        n => format!("{} ×{n}", topic.name),
    };
    format!("{more} RF {replicas} min ISR {}", config.min_insync_replicas)
}

fn events(run: &Run) -> impl Iterator<Item = (EventSeq, &Event)> {
    (0..).map(EventSeq).zip(run.simulation().trace().events().iter())
}

/// Faults and healings (those of one moment together), elections, violations, questions, the script's own marks.
fn marks(story: &Story) -> Vec<Mark> {
    let run = &story.run;
    let names = run.names();
    let mut marks: Vec<Mark> = Vec::new();
    let mut last_fault: Option<(&Event, FaultKind)> = None;
    let mut led = vec![false; names.partitions.len()];
    for (at, event) in events(run) {
        let (kind, label) = match event.kind {
            EventKind::Fault { kind } if kind != FaultKind::Stopped => {
                let joins =
                    last_fault.is_some_and(|(before, k)| before.at == event.at && k == kind);
                last_fault = Some((event, kind));
                if let (true, Some(mark)) = (joins, marks.last_mut()) {
                    mark.label = format!("{} {}", mark.label, names.node(event.node));
                    continue;
                }
                let mark = if kind.harms() { MarkKind::Fault } else { MarkKind::Heal };
                (mark, format!("{} {}", word(kind), names.node(event.node)))
            }
            EventKind::PartitionChanged { partition, leader, .. } => {
                let topic = names.topic_of(partition);
                let was_led = std::mem::replace(&mut led[partition.index()], leader.is_some());
                match leader {
                    Some(leader) if !was_led && !topic.internal && event.at.0 > 0 => {
                        (MarkKind::Heal, format!("{leader} leads"))
                    }
                    _ => continue,
                }
            }
            EventKind::Question { .. } => (MarkKind::Question, String::new()),
            EventKind::Step { step } => {
                match run.code().ops.get(usize::from(step)).map(|op| &op.step) {
                    Some(Step::Mark(name)) => (MarkKind::Bookmark, name.clone()),
                    _ => continue,
                }
            }
            _ => continue,
        };
        marks.push(Mark { at, kind, label });
    }
    let broken = story.verdicts.iter().filter_map(|(guarantee, verdict)| {
        let at = *verdict.violation()?.witnesses.last()?;
        Some(Mark { at, kind: MarkKind::Violation, label: guarantee.name().to_owned() })
    });
    marks.extend(broken);
    marks.sort_by_key(|mark| mark.at);
    marks
}

fn word(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Kill => "kill",
        FaultKind::PowerLoss => "power loss",
        FaultKind::Freeze => "freeze",
        FaultKind::Thaw => "thaw",
        FaultKind::Stop => "stop",
        FaultKind::Stopped => "stopped",
        FaultKind::Start => "start",
        FaultKind::WipeDisk => "wipe",
        FaultKind::CutLog => "cut log of",
        FaultKind::DeleteLog => "delete log of",
        FaultKind::CutOff => "cut off",
        FaultKind::Reconnect => "reconnect",
    }
}

/// The sentences of `Say`, and those of `narration` at every event they are about.
fn captions(run: &Run, lang: Lang) -> Vec<(EventSeq, String)> {
    let mut captions = Vec::new();
    for (at, event) in events(run) {
        if let EventKind::Step { step } = event.kind
            && let Some(Step::Say(texts)) = run.code().ops.get(usize::from(step)).map(|op| &op.step)
        {
            captions.push((at, text(texts, lang)));
        }
        for narration in &run.scenario().narration {
            let kind = format!("{:?}", event.kind);
            let name = kind.split([' ', '{']).next().unwrap_or_default();
            if name == narration.on.as_str() {
                captions
                    .push((at, text(&narration.say, lang).replace("{node}", &node(run, event))));
            }
        }
    }
    captions
}

fn node(run: &Run, event: &Event) -> String {
    match event.node {
        NodeId::Script => String::new(),
        node => run.names().node(node),
    }
}

/// `only acks differs`, from what the variants override.
fn difference(story: &Story) -> String {
    let variants = story.run.scenario().variants.iter();
    let mut keys: Vec<&str> = variants.flat_map(|(_, overrides)| overrides.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let short = |key: &str| key.splitn(3, '.').last().unwrap_or(key).to_owned();
    let mut settings: Vec<String> = keys.into_iter().map(short).collect();
    settings.dedup();
    match settings.as_slice() {
        [] => String::new(),
        [one] => format!("only {one} differs"),
        many => format!("{} differ", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::shared_log::SharedLog;
    use crate::cli::source::open;
    use crate::scenario::Limits;

    /// Screen 5 of `zombie-fencing`: A dies with its transaction open, and nobody wakes it up.
    #[test]
    fn a_run_is_played_again_with_a_producer_killed() {
        let limits = Limits::default();
        let source = open("zombie-fencing", &limits).unwrap_or_else(|_| panic!("it is built in"));
        let story = Story::play(&source, "random id", None, &limits, None);
        let kill = Kill { world: 0, producer: 0, at: Time(6_000_000) };
        let fork = with_kill(&story, kill, Lang::En).unwrap();
        assert_eq!(fork.variant, "A killed at 6.000 s");
        let killed = |event: &&Event| event.kind == EventKind::Fault { kind: FaultKind::Kill };
        let dead: Vec<_> = fork.events.iter().filter(killed).map(|e| (e.at, e.node)).collect();
        assert_eq!(dead, [(kill.at, NodeId::Producer(0))]);
        let read = |run: &SharedLog<Event>| {
            let mut polled = run.iter().filter(|e| matches!(e.kind, EventKind::Polled { .. }));
            polled.next().map(|event| event.at.0 / 1_000_000)
        };
        assert_eq!(read(story.run.simulation().trace().events()), Some(35), "A commits");
        assert_eq!(read(&fork.events), Some(70), "readers wait for the time-out and its scan");
    }
}
