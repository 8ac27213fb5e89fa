//! A scenario seen from one variant: overrides applied, groups spelled out as consumers, steps of the script chosen.

use std::collections::BTreeSet;

use crate::scenario::schema::{
    Cluster, Consumer, Group, Members, Override, Producer, Scenario, Settings, Topic,
};
use crate::scenario::step::Step;
use crate::scenario::value::{Label, Ordered, Setting};

/// The name of the one variant of a scenario that declares none.
pub const DEFAULT_VARIANT: &str = "default";

/// A scenario under one variant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// Brokers and controllers.
    pub cluster: Cluster,
    /// Topics by name.
    pub topics: Ordered<Topic>,
    /// Producers by name.
    pub producers: Ordered<Producer>,
    /// Consumers by name, those of groups last.
    pub consumers: Ordered<Consumer>,
    /// Group names in order: of `groups`, then those that only consumers name.
    pub groups: Vec<String>,
    /// Settings of groups by group id.
    pub group_configs: Ordered<Settings>,
    /// Steps in place of those that `Named` names.
    pub steps: Ordered<Vec<Step>>,
}

/// A path of an override, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Path<'a> {
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    pub(super) rest: &'a str,
}

/// Takes `groups.billing.max.poll.records` apart. Names may contain dots, so it needs to know which there are; the
/// longest that fits counts. The error is what to say about it.
pub(super) fn path<'a>(scenario: &Scenario, key: &'a str) -> Result<Path<'a>, String> {
    let shape = "a path is `producers.NAME.PROPERTY` (or consumers, groups, topics), `cluster.PROPERTY` or \
                 `script.NAME`";
    let (kind, rest) = key.split_once('.').ok_or(shape)?;
    let names: Vec<&str> = match kind {
        "cluster" => return Ok(Path { kind, name: "", rest }),
        "script" => return Ok(Path { kind, name: rest, rest: "" }),
        "producers" => scenario.producers.keys().collect(),
        "consumers" => scenario.consumers.keys().collect(),
        "groups" => scenario.groups.keys().collect(),
        "group_configs" => scenario.group_configs.keys().collect(),
        "topics" => scenario.topics.keys().collect(),
        _ => return Err(shape.to_owned()),
    };
    let fits = |name: &&&str| rest.strip_prefix(**name).is_some_and(|rest| rest.starts_with('.'));
    let Some(name) = names.iter().filter(fits).max_by_key(|name| name.len()) else {
        let known = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        return Err(format!("`{rest}` begins with none of the {kind} here ({known})"));
    };
    Ok(Path { kind, name: &rest[..name.len()], rest: &rest[name.len() + 1..] })
}

impl Scenario {
    /// The names of all variants, in order.
    pub fn variant_names(&self) -> Vec<&str> {
        if self.variants.is_empty() {
            vec![DEFAULT_VARIANT]
        } else {
            self.variants.keys().collect()
        }
    }

    /// The scenario under `variant`; `None` when there is no such variant.
    pub fn resolve(&self, variant: &str) -> Option<Resolved> {
        if !self.variant_names().contains(&variant) {
            return None;
        }
        let mut groups = self.groups.clone();
        let mut resolved = Resolved {
            cluster: self.cluster.clone(),
            topics: self.topics.clone(),
            producers: self.producers.clone(),
            consumers: self.consumers.clone(),
            groups: Vec::new(),
            group_configs: self.group_configs.clone(),
            steps: Ordered::default(),
        };
        let none = Ordered::default();
        for (key, value) in self.variants.get(variant).unwrap_or(&none).iter() {
            let Ok(Path { kind, name, rest }) = path(self, key) else { continue };
            match (kind, value) {
                ("cluster", Override::Setting(value)) if rest == "era" => {
                    resolved.cluster.era.clone_from(&value.0);
                }
                ("cluster", Override::Setting(value)) => match rest.strip_prefix("features.") {
                    Some(feature) => set(&mut resolved.cluster.features, feature, value),
                    None => set(&mut resolved.cluster.config, rest, value),
                },
                ("cluster", Override::Count(n)) => resolved.cluster.controllers = *n as u8,
                ("script", Override::Steps(steps)) => {
                    resolved.steps.0.push((name.to_owned(), steps.clone()));
                }
                ("producers", Override::Setting(value)) => {
                    change(&mut resolved.producers, name, |p| set(&mut p.config, rest, value));
                }
                ("topics", Override::Setting(value)) => {
                    change(&mut resolved.topics, name, |t| set(&mut t.config, rest, value));
                }
                ("topics", Override::Count(n)) => change(&mut resolved.topics, name, |t| {
                    if rest == "partitions" {
                        t.partitions = Some(*n);
                    } else {
                        t.replication = Some(*n as u8);
                    }
                }),
                ("group_configs", Override::Setting(value)) => {
                    change(&mut resolved.group_configs, name, |g| set(g, rest, value));
                }
                ("consumers", value) => {
                    change(&mut resolved.consumers, name, |c| override_consumer(c, rest, value));
                }
                ("groups", value) => change(&mut groups, name, |g| override_group(g, rest, value)),
                _ => {}
            }
        }
        spell_out(&mut resolved, &groups);
        Some(resolved)
    }
}

/// What a variant changes of one consumer.
fn override_consumer(consumer: &mut Consumer, rest: &str, value: &Override) {
    match value {
        Override::Setting(value) => set(&mut consumer.config, rest, value),
        Override::Loop(steps) => consumer.steps.clone_from(steps),
        Override::OnRevoked(then) => consumer.on_revoked = *then,
        Override::Share(share) => consumer.share = *share,
        Override::Members(_) | Override::Count(_) | Override::Steps(_) => {}
    }
}

/// What a variant changes of one group.
fn override_group(group: &mut Group, rest: &str, value: &Override) {
    match value {
        Override::Setting(value) => set(&mut group.config, rest, value),
        Override::Loop(steps) => group.steps.clone_from(steps),
        Override::OnRevoked(then) => group.on_revoked = *then,
        Override::Share(share) => group.share = *share,
        Override::Members(members) => group.members = members.clone(),
        Override::Count(_) | Override::Steps(_) => {}
    }
}

fn change<V>(table: &mut Ordered<V>, name: &str, change: impl FnOnce(&mut V)) {
    if let Some((_, value)) = table.0.iter_mut().find(|(key, _)| key == name) {
        change(value);
    }
}

fn set(settings: &mut Settings, name: &str, value: &Setting) {
    match settings.0.iter_mut().find(|(key, _)| key == name) {
        Some((_, old)) => *old = value.clone(),
        None => settings.0.push((name.to_owned(), value.clone())),
    }
}

fn named(label: Option<&Label>, name: &str) -> bool {
    label.is_some_and(|label| label.as_str() == name)
}

/// The producer in the process of `member`: one like that of the group.
fn own_producer(resolved: &mut Resolved, group: &Group, member: &str) -> Option<Label> {
    let pattern = group.producer.as_ref()?;
    let mut producer = resolved.producers.get(pattern.as_str())?.clone();
    for (_, value) in &mut producer.config.0 {
        value.0 = value.0.replace("{member}", member);
    }
    let name = format!("{pattern}-{member}");
    resolved.producers.0.push((name.clone(), producer));
    Label::new(&name).ok()
}

/// Turns groups into consumers. Members that have no names are called `c1`, `c2`, … over all groups.
fn spell_out(resolved: &mut Resolved, groups: &Ordered<Group>) {
    let mut taken: BTreeSet<String> =
        resolved.consumers.keys().chain(resolved.producers.keys()).map(str::to_owned).collect();
    let mut next = 1u32;
    for (name, group) in groups.iter() {
        resolved.groups.push(name.to_owned());
        let names: Vec<String> = match &group.members {
            Members::Names(names) => names.iter().map(|n| n.as_str().to_owned()).collect(),
            Members::Count(count) => {
                let mut names = Vec::new();
                while (names.len() as u64) < u64::from(*count) {
                    let name = format!("c{next}");
                    next += 1;
                    if taken.insert(name.clone()) {
                        names.push(name);
                    }
                }
                names
            }
        };
        for member in names {
            let mut config = group.config.clone();
            let instance = config.0.iter_mut().filter(|(key, _)| key == "group.instance.id");
            instance.for_each(|(_, value)| value.0 = value.0.replace("{member}", &member));
            let consumer = Consumer {
                group: Label::new(name).ok(),
                client: group.client.clone(),
                share: group.share,
                topics: group.topics.clone(),
                pattern: group.pattern.clone(),
                regex: group.regex.clone(),
                partitions: Vec::new(),
                config,
                steps: group.steps.clone(),
                on_revoked: group.on_revoked,
                producer: own_producer(resolved, group, &member),
                start: group.start,
            };
            resolved.consumers.0.push((member, consumer));
        }
    }
    let pattern = |name: &str| groups.iter().any(|(_, g)| named(g.producer.as_ref(), name));
    resolved.producers.0.retain(|(name, _)| !pattern(name));
    for (_, consumer) in &resolved.consumers.0 {
        if let Some(group) = &consumer.group
            && !resolved.groups.iter().any(|g| g == group.as_str())
        {
            resolved.groups.push(group.as_str().to_owned());
        }
    }
}
