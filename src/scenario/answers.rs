//! Answers to a lesson's questions, computed from the run.

use crate::scenario::conditions::owned;
use crate::scenario::state::State;
use crate::scenario::step::Answer;
use crate::scenario::value::Fact;
use crate::view::cluster::message::Told;
use crate::view::fate::{Fate, Whereabouts, fates, tally};

/// The answer at this moment. [`Answer::Seconds`] and [`Answer::Observed`] are watched by the run itself.
pub(super) fn answer(state: &State, answer: &Answer) -> Fact {
    let fates = fates(&state.view, state.batches());
    let tally = tally(&state.view, &fates);
    let count = |n: usize| Fact::Number(n as i64);
    match answer {
        Answer::Survivors => survivors(state, &fates),
        Answer::Lost => count(tally.lost.len()),
        Answer::Duplicated => count(tally.duplicated.len()),
        Answer::Repeated => count(tally.repeated.len()),
        Answer::Skipped => count(tally.skipped.len()),
        Answer::Unprocessed => count(tally.unprocessed.len()),
        Answer::Idle(group) => count(idle(state, group).len()),
        other => named(state, other).unwrap_or(Fact::None),
    }
}

fn named(state: &State, answer: &Answer) -> Option<Fact> {
    Some(match answer {
        Answer::Leader(topic, n) => {
            Fact::Text(state.leader(state.partition(topic, *n)?)?.to_string())
        }
        Answer::Owner(group, at) => {
            let member = state.view.groups[state.group(group)?.index()].owner(state.at(at)?)?;
            Fact::Text(state.names().node(state.names().consumer_of(member)?))
        }
        Answer::Offset(group, at) => {
            let group = &state.view.groups[state.group(group)?.index()];
            Fact::Number(group.committed(state.at(at)?)?.offset.0)
        }
        Answer::Error(id) => match state.view.message(state.names().find_message(id)?).told {
            Told::Failed(exception) => Fact::Text(exception.name().to_owned()),
            _ => return None,
        },
        Answer::Order(at) => {
            let id = state.at(at)?;
            let log = state.log(id, state.leader(id)?);
            let names = log.into_iter().map(|(_, id, _)| Fact::Text(state.names().message(id)));
            Fact::List(names.collect())
        }
        _ => return None,
    })
}

fn survivors(state: &State, fates: &[Fate]) -> Fact {
    let there = fates.iter().filter(|fate| matches!(fate.whereabouts, Whereabouts::Readable));
    Fact::List(there.map(|fate| Fact::Text(state.names().message(fate.message))).collect())
}

/// Members of a group that run and own nothing.
pub(super) fn idle(state: &State, group: &str) -> Vec<String> {
    let Some(group) = state.group(group) else { return Vec::new() };
    let members = &state.view.groups[group.index()].members;
    let node = |m: &crate::view::cluster::group::MemberView| state.names().consumer_of(m.member);
    let nodes = members.iter().filter_map(node).filter_map(|node| match node {
        crate::base::ids::NodeId::Consumer(n) => Some(n),
        _ => None,
    });
    nodes
        .filter(|n| owned(state, *n).is_empty())
        .map(|n| state.names().consumers[usize::from(n)].name.clone())
        .collect()
}
