//! The vectors of the classic protocol's assignors: chains of rebalances, what each member had before included.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::steps::{Place, Results, compare_results, in_order, partition};
use crate::conform::Outcome;
use crate::kafka::group::assignor::{
    self, Assignment, NO_GENERATION, Partitions, Topic, Topics, cooperative_sticky, range,
    round_robin, sticky,
};

/// A line of an assignor's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    case: String,
    assignor: Name,
    #[serde(rename = "subscriptions")]
    _subscriptions: Option<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Name {
    Range,
    #[serde(rename = "roundrobin")]
    RoundRobin,
    Sticky,
    CooperativeSticky,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    event: String,
    #[serde(rename = "generation")]
    _generation: i32,
    /// Number of partitions by topic.
    topics: BTreeMap<String, u32>,
    /// By topic, the racks of the replicas of each partition.
    #[serde(default)]
    racks: BTreeMap<String, Vec<Vec<String>>>,
    members: Vec<Member>,
    /// The order in which the group leader's Java map hands out the members: an input.
    java_member_order: Vec<String>,
    #[serde(default)]
    order_dependent: bool,
    /// Partitions by member, in the order returned.
    result: Results,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    id: String,
    instance: Option<String>,
    rack: Option<String>,
    topics: Vec<String>,
    #[serde(default)]
    owned: Vec<String>,
    owned_generation: Option<i32>,
}

/// Compares every step.
pub(super) fn compare(line: &Line, compared: &mut u64) -> Result<(), Outcome> {
    for (n, step) in line.steps.iter().enumerate() {
        let place = Place { case: &line.case, step: n, event: &step.event };
        let got = result_of(&place, line.assignor, step)?;
        compare_results(&place, &step.result, &got, step.order_dependent, compared)?;
    }
    Ok(())
}

fn result_of(place: &Place<'_>, name: Name, step: &Step) -> Result<Results, Outcome> {
    let order = &step.java_member_order;
    let members = in_order(place, &step.members, |member| member.id.as_str(), order)?;
    let members: Vec<assignor::Member<'_>> = members
        .into_iter()
        .map(|member| subscription(place, name, member))
        .collect::<Result<_, _>>()?;
    let racks = |name: &String| {
        let racks = step.racks.get(name).into_iter().flatten();
        racks.map(|racks| racks.iter().map(String::as_str).collect()).collect()
    };
    let topics: Topics<'_> = step
        .topics
        .iter()
        .map(|(name, count)| (name.as_str(), Topic { partitions: *count, racks: racks(name) }))
        .collect();
    let assignment: Assignment<'_> = match name {
        Name::Range => range::assign(&members, &topics),
        Name::RoundRobin => round_robin::assign(&members, &topics),
        Name::Sticky => sticky::assign(&members, &topics),
        Name::CooperativeSticky => cooperative_sticky::assign(&members, &topics),
    };
    let words = |own: &[(&str, u32)]| own.iter().map(|(t, n)| format!("{t}-{n}")).collect();
    Ok(assignment.iter().map(|(id, own)| ((*id).to_owned(), words(own))).collect())
}

fn subscription<'a>(
    place: &Place<'_>,
    name: Name,
    member: &'a Member,
) -> Result<assignor::Member<'a>, Outcome> {
    let owned: Partitions<'_> =
        member.owned.iter().map(|word| partition(place, word)).collect::<Result<_, _>>()?;
    // On its way to the leader the list is put into another order.
    let owned = match name {
        Name::CooperativeSticky => cooperative_sticky::subscription(&owned),
        Name::Sticky | Name::Range | Name::RoundRobin => sticky::user_data(&owned),
    };
    let generation = member.owned_generation.unwrap_or(NO_GENERATION);
    Ok(assignor::Member {
        id: &member.id,
        instance: member.instance.as_deref(),
        rack: member.rack.as_deref(),
        topics: member.topics.iter().map(String::as_str).collect(),
        owned,
        owned_generation: generation,
        generation,
    })
}
