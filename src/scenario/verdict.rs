//! Did a run go as its scenario expects?

use std::collections::BTreeMap;

use crate::app::LoopStep;
use crate::base::ids::{EventSeq, GroupId, MessageId, PartitionId};
use crate::scenario::answers::idle;
use crate::scenario::apps::reads;
use crate::scenario::expect::{Expectation, Tally};
use crate::scenario::run::{Outcome, Run};
use crate::scenario::value::{Fact, TopicPartition};
use crate::sim::world::ConsumerSpec;
use crate::view::atomicity::Atomicity;
use crate::view::fate::{Fate, Whereabouts, diverged, fates, tally};
use crate::view::stability::hanging_transactions;

/// One expectation and what the run made of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// As it stands in the file: `Lost(3)`.
    pub expectation: String,
    /// True when it was met.
    pub met: bool,
    /// What the run did instead; empty when it was met.
    pub found: String,
}

/// Judges every expectation about the run's variant. A script that got stuck is one more, unmet.
pub fn judge(run: &Run) -> Vec<Judged> {
    let mut judged = Vec::new();
    match run.outcome() {
        Outcome::Completed | Outcome::Running => {}
        Outcome::Refused(refusal) => {
            let expected = run.scenario().expect.get(run.variant()).into_iter().flatten();
            let wanted = |e: &Expectation| matches!(e, Expectation::ConfigException(c) if *c == refusal.client);
            let met = expected.clone().any(wanted);
            let expectation = format!("ConfigException(\"{}\")", refusal.client);
            judged.push(Judged {
                expectation,
                met,
                found: if met { String::new() } else { refusal.message.clone() },
            });
            return judged;
        }
        Outcome::Stuck { step, waited_for, reasons } => judged.push(Judged {
            expectation: format!("step {step}: {waited_for}"),
            met: false,
            found: reasons.join("; "),
        }),
        Outcome::OutOfBudget => judged.push(Judged {
            expectation: "the run ends within its limits".to_owned(),
            met: false,
            found: format!("{} events, {} s", run.simulation().trace().len(), run.now()),
        }),
    }
    let none = Vec::new();
    for expectation in run.scenario().expect.get(run.variant()).unwrap_or(&none) {
        let found = check(run, expectation);
        judged.push(Judged {
            expectation: words(expectation),
            met: found.is_none(),
            found: found.unwrap_or_default(),
        });
    }
    judged
}

fn words(expectation: &Expectation) -> String {
    super::pieces::ron_options()
        .to_string(expectation)
        .unwrap_or_else(|_| format!("{expectation:?}"))
}

/// What was found in place of what is expected; `None` when it was met.
fn check(run: &Run, expectation: &Expectation) -> Option<String> {
    let state = run.state();
    let fates = fates(&state.view, state.batches());
    let counts = tally(&state.view, &fates);
    let names = |list: &[MessageId]| -> Vec<String> {
        list.iter().map(|id| state.names().message(*id)).collect()
    };
    let all = |wanted: &Tally, list: &[MessageId]| miss(wanted, &names(list));
    match expectation {
        Expectation::Sent(wanted) => {
            all(wanted, &fates.iter().map(|f| f.message).collect::<Vec<_>>())
        }
        Expectation::Acked(wanted) => {
            let acked: Vec<MessageId> =
                fates.iter().filter(|f| f.acked).map(|f| f.message).collect();
            all(wanted, &acked)
        }
        Expectation::Failed(wanted) => {
            all(wanted, &counts.failed.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        }
        Expectation::FailedWith(wanted) => {
            let found: BTreeMap<String, String> = counts
                .failed
                .iter()
                .map(|(id, exception)| (state.names().message(*id), exception.name().to_owned()))
                .collect();
            (found != *wanted).then(|| format!("{found:?}"))
        }
        Expectation::Unknown(wanted) => all(wanted, &counts.unknown),
        Expectation::Lost(wanted) => all(wanted, &counts.lost),
        Expectation::Duplicated(wanted) => all(wanted, &counts.duplicated),
        Expectation::Reordered(wanted) => all(wanted, &counts.reordered),
        Expectation::Diverged(wanted) => {
            all(wanted, &diverged(&state.view, run.simulation().batches()))
        }
        Expectation::Repeated(wanted) => all(wanted, &counts.repeated),
        Expectation::Skipped(wanted) => all(wanted, &counts.skipped),
        Expectation::Unprocessed(wanted) => all(wanted, &counts.unprocessed),
        Expectation::Missing(wanted) => all(wanted, &missing(run, &fates)),
        Expectation::Torn(wanted) => all(wanted, &torn(run)),
        Expectation::Hanging(wanted) => miss(wanted, &hanging(run)),
        Expectation::Idle(group, wanted) => miss(wanted, &idle(state, group)),
        Expectation::Rows(table, wanted) => all(wanted, &state.rows(table)),
        Expectation::Committed(group, wanted) => {
            let found = committed(run, state.group(group)?);
            let same = wanted.iter().all(|(at, offset)| found.get(&at.to_string()) == Some(offset));
            (!same).then(|| format!("{found:?}"))
        }
        Expectation::Observed(name, wanted) => {
            let Some(found) = observed(run, name) else { return Some(NEVER_OBSERVED.to_owned()) };
            (found != wanted).then(|| found.to_string())
        }
        Expectation::Measured(name, wanted) => {
            let Some(found) = observed(run, name) else { return Some(NEVER_OBSERVED.to_owned()) };
            (!measures(found, wanted)).then(|| found.to_string())
        }
        Expectation::Log(at, wanted) => {
            let found = leaders_log(run, at);
            (found != *wanted).then(|| found.join(" "))
        }
        Expectation::ConfigException(client) => {
            Some(format!("Kafka accepted the settings of {client}"))
        }
    }
}

/// Ids in the log of a partition's leader, in order.
fn leaders_log(run: &Run, at: &TopicPartition) -> Vec<String> {
    let state = run.state();
    let log = state.at(at).and_then(|id| Some(state.log(id, state.leader(id)?)));
    let ids = log.unwrap_or_default().into_iter();
    ids.map(|(_, id, _)| state.names().message(id)).collect()
}

/// The committed offsets of a group, by partition.
fn committed(run: &Run, group: GroupId) -> BTreeMap<String, i64> {
    let offsets = run.state().view.groups[group.index()].committed.iter();
    offsets.map(|c| (run.names().partition(c.partition), c.offset.0)).collect()
}

/// What is found where no `Observe` of that name was reached: not even that there is nothing.
const NEVER_OBSERVED: &str = "it was never observed";

/// What `Observe` recorded last under `name`.
fn observed<'a>(run: &'a Run, name: &str) -> Option<&'a Fact> {
    let found = run.observations().iter().rev().find(|(n, _)| n == name);
    found.map(|(_, fact)| fact)
}

/// The fact is a number, or a list of so many, as wanted.
fn measures(fact: &Fact, wanted: &Tally) -> bool {
    match fact {
        Fact::Number(n) => u64::try_from(*n).is_ok_and(|n| wanted.holds_count(n)),
        Fact::List(list) => wanted.holds_count(list.len() as u64),
        _ => false,
    }
}

/// The first message that can be read of each torn transaction.
fn torn(run: &Run) -> Vec<MessageId> {
    let (simulation, mut fold) = (run.simulation(), Atomicity::default());
    let batches = simulation.batches();
    for (seq, event) in (0..).map(EventSeq).zip(simulation.trace().events().iter()) {
        fold.observe(seq, event, batches);
    }
    let torn = fold.torn(&run.state().view, batches);
    torn.iter().filter_map(|torn| batches.messages(torn.found).next()).collect()
}

/// Partitions with a transaction that nobody will end.
fn hanging(run: &Run) -> Vec<String> {
    let state = run.state();
    let all = (0..run.names().partitions.len()).map(|n| PartitionId(n as u16));
    let hangs =
        |id: &PartitionId| !hanging_transactions(&state.view, *id, state.batches()).is_empty();
    all.filter(hangs).map(|id| run.names().partition(id)).collect()
}

/// Inputs without an output.
fn missing(run: &Run, fates: &[Fate]) -> Vec<MessageId> {
    let (names, spec) = (run.names(), run.simulation().spec());
    let passes_on = |consumer: &&ConsumerSpec| {
        consumer.steps.iter().any(|step| matches!(step, LoopStep::Produce(_)))
    };
    let applications: Vec<&ConsumerSpec> = spec.consumers.iter().filter(passes_on).collect();
    let is_input = |fate: &&Fate| {
        let topic = |partition: PartitionId| names.partitions[partition.index()].topic;
        let read = |partition| {
            let topic = topic(partition);
            applications.iter().any(|consumer| reads(&consumer.subscription, topic, partition))
        };
        fate.whereabouts == Whereabouts::Readable && fate.partition.is_some_and(read)
    };
    let has_output = |fate: &Fate| {
        let output = names.output_of(fate.message);
        let found = fates.binary_search_by_key(&output, |fate| fate.message);
        found.is_ok_and(|at| fates[at].whereabouts == Whereabouts::Readable)
    };
    let inputs = fates.iter().filter(is_input);
    inputs.filter(|fate| !has_output(fate)).map(|fate| fate.message).collect()
}

/// How many ids a report lists.
const SHOWN: usize = 12;

/// `ids` in words when they are not as wanted.
fn miss(wanted: &Tally, ids: &[String]) -> Option<String> {
    if wanted.holds(ids) {
        return None;
    }
    let listed = ids.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(" ");
    let more = if ids.len() > SHOWN { " ..." } else { "" };
    Some(if ids.is_empty() { "0".to_owned() } else { format!("{}: {listed}{more}", ids.len()) })
}
