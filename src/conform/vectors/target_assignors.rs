//! The vectors of the consumer protocol's assignors: chains of target assignments.
//!
//! Kafka's assignors know topics by id. A vector names them, so ids are made up as the recorder makes them up; with
//! other topics, so that their order is `java_topic_order`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::steps::{Place, Results, compare_results, in_order, partition};
use crate::conform::Outcome;
use crate::kafka::group::assignor::target::{
    self, SubscriptionType, Target, Topics, Uuid, range, uniform,
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
#[serde(rename_all = "lowercase")]
enum Name {
    Range,
    Uniform,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    event: String,
    #[serde(rename = "group_epoch")]
    _group_epoch: i32,
    /// Number of partitions by topic.
    topics: BTreeMap<String, u32>,
    members: Vec<Member>,
    subscription_type: Type,
    java_member_order: Vec<String>,
    java_topic_order: Vec<String>,
    #[serde(default)]
    order_dependent: bool,
    /// Partitions by member, sorted.
    result: Results,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
enum Type {
    Homogeneous,
    Heterogeneous,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    id: String,
    instance: Option<String>,
    topics: Vec<String>,
    target_before: Vec<String>,
}

/// The recorder's topics: the id of each has its list's number above and 100 plus its place below.
const RECORDED: [[&str; 6]; 2] = [
    ["t0", "t1", "t2", "t3", "t4", "t5"],
    ["orders", "payments", "users", "audit-log", "zeta", "alpha"],
];

/// Compares every step.
pub(super) fn compare(line: &Line, compared: &mut u64) -> Result<(), Outcome> {
    for (n, step) in line.steps.iter().enumerate() {
        let place = Place { case: &line.case, step: n, event: &step.event };
        let got = result_of(&place, line.assignor, step)?;
        compare_results(&place, &step.result, &got, step.order_dependent, compared)?;
    }
    Ok(())
}

/// Ids of the topics by name.
fn ids_of<'a>(place: &Place<'_>, step: &'a Step) -> Result<BTreeMap<&'a str, Uuid>, Outcome> {
    let recorded = |name: &str| {
        RECORDED.iter().zip(1..).find_map(|(list, number)| {
            let at = list.iter().position(|other| *other == name)?;
            Some(Uuid(number, 100 + at as u64))
        })
    };
    let names = step.topics.keys().map(String::as_str);
    let ids: Option<_> = names.clone().map(|name| Some((name, recorded(name)?))).collect();
    if let Some(ids) = ids {
        return Ok(ids);
    }
    let at = |name: &str| step.java_topic_order.iter().position(|other| other == name);
    let ids: Option<_> = names.map(|name| Some((name, Uuid(0, at(name)? as u64)))).collect();
    ids.ok_or_else(|| place.unreadable("java_topic_order is not an order of its topics"))
}

fn result_of(place: &Place<'_>, name: Name, step: &Step) -> Result<Results, Outcome> {
    let ids = ids_of(place, step)?;
    let id_of = |name: &str| {
        let id = ids.get(name).copied();
        id.ok_or_else(|| place.unreadable(&format!("{name:?} is not one of its topics")))
    };
    let order = &step.java_member_order;
    let mut members = Vec::new();
    for member in in_order(place, &step.members, |member| member.id.as_str(), order)? {
        let mut before: Vec<(Uuid, Vec<u32>)> = Vec::new();
        for word in &member.target_before {
            let (topic, number) = partition(place, word)?;
            let id = id_of(topic)?;
            match before.iter_mut().find(|(other, _)| *other == id) {
                Some((_, own)) => own.push(number),
                None => before.push((id, vec![number])),
            }
        }
        members.push(target::Member {
            id: &member.id,
            instance: member.instance.as_deref(),
            topics: member.topics.iter().map(|t| id_of(t)).collect::<Result<_, _>>()?,
            target: before,
        });
    }
    let topics: Topics = step.topics.iter().map(|(name, n)| (ids[name.as_str()], *n)).collect();
    let subscriptions = match step.subscription_type {
        Type::Homogeneous => SubscriptionType::Homogeneous,
        Type::Heterogeneous => SubscriptionType::Heterogeneous,
    };
    let target = match name {
        Name::Range => range::assign(&members, &topics),
        Name::Uniform => uniform::assign(&members, subscriptions, &topics),
    };
    let target = target.map_err(|_| place.unreadable("a subscription to an unknown topic"))?;
    Ok(step
        .members
        .iter()
        .map(|member| (member.id.clone(), words(&target, &member.id, &ids)))
        .collect())
}

/// The partitions of a member, by topic name and number.
fn words(target: &Target<'_>, member: &str, ids: &BTreeMap<&str, Uuid>) -> Vec<String> {
    let own = target.get(member);
    let of_topic = |(name, id): (&&str, &Uuid)| {
        let numbers = own.and_then(|own| own.get(id)).into_iter().flatten();
        numbers.map(|number| format!("{name}-{number}")).collect::<Vec<_>>()
    };
    ids.iter().flat_map(of_topic).collect()
}
