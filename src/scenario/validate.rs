//! Does what the parts of a scenario say about each other make sense? Names that exist, numbers within limits,
//! settings that Kafka knows and accepts, expectations about variants that there are.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::base::broker_set::MAX_REPLICAS;
use crate::base::config::BrokerConfig;
use crate::scenario::build::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use crate::scenario::check_script::check_scripts;
use crate::scenario::diagnostics::{Problem, did_you_mean};
use crate::scenario::expect::Expectation;
use crate::scenario::load::{Limits, Places, is_clean};
use crate::scenario::pattern::Pattern;
use crate::scenario::resolve::{Resolved, path};
use crate::scenario::schema::{LoopStep, Members, Override, Producer, Scenario, StartAt, Topic};
use crate::scenario::settings;
use crate::scenario::value::{Label, Texts};
use crate::sim::trace::EVENT_NAMES;

/// Everything wrong with a scenario that could be read.
pub(super) fn validate(scenario: &Scenario, places: &Places<'_>, limits: &Limits) -> Vec<Problem> {
    let mut check = Check { scenario, places, limits, problems: Vec::new() };
    check.texts("title", &scenario.title);
    if !scenario.takeaway.is_empty() {
        check.texts("takeaway", &scenario.takeaway);
    }
    if u64::from(scenario.cluster.brokers) > limits.brokers {
        let message = format!(
            "{} brokers are more than the limit of {}",
            scenario.cluster.brokers, limits.brokers
        );
        check.problem(places.at("cluster"), "cluster.brokers", message, None);
    }
    check.racks();
    check.topics();
    check.client_names();
    check.narration();
    check.variants();
    check.expectations();
    check_scripts(&mut check);
    check.problems
}

pub(super) struct Check<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) places: &'a Places<'a>,
    pub(super) limits: &'a Limits,
    pub(super) problems: Vec<Problem>,
}

impl Check<'_> {
    pub(super) fn problem(
        &mut self,
        at: Range<usize>,
        path: &str,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.problems.push(Problem { at, path: path.to_owned(), message: message.into(), help });
    }

    /// A name that nothing has.
    pub(super) fn unknown(&mut self, path: &str, what: &str, word: &str, known: &[&str]) {
        let at = self.places.find(path, word);
        self.problem(at, path, format!("there is no {what} `{word}`"), did_you_mean(word, known));
    }

    pub(super) fn texts(&mut self, path: &str, texts: &Texts) {
        if !texts.is_empty() && !texts.contains_key("en") {
            self.problem(
                self.places.at(path),
                path,
                "a text needs an English version, \"en\"",
                None,
            );
        }
        if !is_clean(texts) {
            let message =
                "a text cannot contain control characters or invisible formatting characters";
            self.problem(self.places.at(path), path, message, None);
        }
    }

    fn racks(&mut self) {
        let brokers = self.scenario.cluster.brokers;
        let mut housed = BTreeSet::new();
        for (name, rack) in self.scenario.cluster.racks.iter() {
            let place = format!("cluster.racks.{name}");
            for broker in rack {
                if *broker == 0 || *broker > brokers {
                    let message =
                        format!("there is no broker {broker}: brokers are 1 to {brokers}");
                    self.problem(self.places.at(&place), &place, message, None);
                } else if !housed.insert(*broker) {
                    let message = format!("broker {broker} is in another rack already");
                    self.problem(self.places.at(&place), &place, message, None);
                }
            }
        }
    }

    fn topics(&mut self) {
        let brokers = self.scenario.cluster.brokers;
        let mut total = 0u64;
        for (name, topic) in self.scenario.topics.iter() {
            let place = format!("topics.{name}");
            let at = self.places.at(&place);
            if !is_topic_name(name) {
                let message = "Kafka refuses this name (InvalidTopicException)";
                let help = "a topic name has letters, digits, `.`, `_` and `-`".to_owned();
                self.problem(at.clone(), &place, message, Some(help));
            }
            for replicas in &topic.replicas {
                let distinct: BTreeSet<_> = replicas.iter().collect();
                if replicas.is_empty()
                    || replicas.len() > MAX_REPLICAS
                    || distinct.len() < replicas.len()
                {
                    let message = format!(
                        "a partition has 1 to {MAX_REPLICAS} replicas, each on another broker"
                    );
                    self.problem(at.clone(), &place, message, None);
                }
                if let Some(broker) = replicas.iter().find(|b| **b == 0 || **b > brokers) {
                    let message =
                        format!("there is no broker {broker}: brokers are 1 to {brokers}");
                    self.problem(at.clone(), &place, message, None);
                }
            }
            if topic.replication.is_some_and(|n| n > brokers) {
                let message = format!(
                    "replication factor {} is larger than the {brokers} brokers (InvalidReplicationFactorException)",
                    topic.replication.unwrap_or(0)
                );
                self.problem(at.clone(), &place, message, None);
            }
            let partitions = topic.partitions.map_or(topic.replicas.len().max(1) as u64, u64::from);
            total = total.saturating_add(partitions);
            if total > self.limits.partitions {
                let message =
                    format!("more than the limit of {} partitions", self.limits.partitions);
                self.problem(at, &place, message, None);
                return;
            }
        }
    }

    fn narration(&mut self) {
        for narration in &self.scenario.narration {
            self.texts("narration", &narration.say);
            let event = narration.on.as_str();
            if !EVENT_NAMES.contains(&event) {
                self.unknown("narration", "event", event, EVENT_NAMES);
            }
        }
    }

    fn client_names(&mut self) {
        let mut seen = BTreeSet::new();
        let scenario = self.scenario;
        let named = scenario.groups.iter().flat_map(|(group, g)| match &g.members {
            Members::Names(names) => {
                names.iter().map(|n| (format!("groups.{group}"), n.as_str())).collect()
            }
            Members::Count(_) => Vec::new(),
        });
        let producers = scenario.producers.keys().map(|n| (format!("producers.{n}"), n));
        let consumers = scenario.consumers.keys().map(|n| (format!("consumers.{n}"), n));
        for (place, name) in producers.chain(consumers).chain(named) {
            if !seen.insert(name.to_owned()) {
                let message = format!("two clients are called `{name}`");
                self.problem(self.places.at(&place), &place, message, None);
            }
        }
        for (name, consumer) in scenario.consumers.iter() {
            self.consumer_topics(&format!("consumers.{name}"), &consumer.topics);
            for partition in &consumer.partitions {
                self.partition(&format!("consumers.{name}"), &partition.topic, partition.partition);
            }
            if !consumer.topics.is_empty() && !consumer.partitions.is_empty() {
                let message = "a consumer either subscribes to topics or is assigned partitions";
                let place = format!("consumers.{name}");
                self.problem(self.places.at(&place), &place, message, None);
            }
            let patterns = (consumer.pattern.as_ref(), consumer.regex.as_ref());
            let others = !consumer.topics.is_empty() || !consumer.partitions.is_empty();
            self.patterns(&format!("consumers.{name}"), patterns, others || consumer.share);
        }
        for (name, group) in scenario.groups.iter() {
            let place = format!("groups.{name}");
            self.consumer_topics(&place, &group.topics);
            let patterns = (group.pattern.as_ref(), group.regex.as_ref());
            self.patterns(&place, patterns, !group.topics.is_empty() || group.share);
        }
        self.outlets();
        self.tables();
    }

    /// Applications that keep their offsets in a database are assigned their partitions by hand.
    fn tables(&mut self) {
        for (place, steps) in self.scenario.loops() {
            let keeps = steps.iter().any(|step| matches!(step, LoopStep::InsertWithOffsets(_)));
            let owner = place.strip_suffix(".loop").unwrap_or(&place);
            let name = owner.strip_prefix("consumers.");
            let consumer = name.and_then(|name| self.scenario.consumers.get(name));
            if keeps && consumer.is_none_or(|consumer| consumer.partitions.is_empty()) {
                let message = "an application that keeps its offsets in a database chooses its partitions itself";
                let help = Some("declare it in `consumers` with `partitions: [...]`".to_owned());
                self.problem(self.places.at(owner), owner, message, help);
            }
        }
    }

    /// Applications that pass on what they read.
    fn outlets(&mut self) {
        let scenario = self.scenario;
        let consumers = scenario.consumers.iter().map(|(name, c)| {
            (format!("consumers.{name}"), c.producer.as_ref(), c.steps.as_slice())
        });
        let groups = scenario
            .groups
            .iter()
            .map(|(name, g)| (format!("groups.{name}"), g.producer.as_ref(), g.steps.as_slice()));
        let producers: Vec<&str> = scenario.producers.keys().collect();
        for (place, producer, steps) in consumers.chain(groups) {
            if let Some(producer) = producer.filter(|p| !producers.contains(&p.as_str())) {
                self.unknown(&place, "producer", producer.as_str(), &producers);
            }
            for step in steps {
                if let LoopStep::Produce(topic) = step {
                    self.consumer_topics(&place, &[topic.as_str().to_owned()]);
                }
                let produces = matches!(
                    step,
                    LoopStep::Produce(_)
                        | LoopStep::Flush
                        | LoopStep::BeginTransaction
                        | LoopStep::SendOffsets
                        | LoopStep::CommitTransaction
                );
                if produces && producer.is_none() {
                    let message = "an application that passes on what it reads has a `producer`";
                    let help = Some("declare one in `producers` and name it here".to_owned());
                    self.problem(self.places.at(&place), &place, message, help);
                    break;
                }
            }
        }
    }

    /// `pattern` and `regex` of a consumer: `others` says that it reads something else.
    fn patterns(
        &mut self,
        place: &str,
        (pattern, regex): (Option<&String>, Option<&String>),
        others: bool,
    ) {
        let at = self.places.at(place);
        if (pattern.is_some() && regex.is_some()) || (others && pattern.or(regex).is_some()) {
            let message =
                "a consumer subscribes to topics, by `pattern` or by `regex`, one of them";
            self.problem(at.clone(), place, message, None);
        }
        // What RE2/J refuses is the coordinator's to tell.
        let told_at_once = pattern.or(regex.filter(|text| text.is_empty()));
        if let Some(Err(fault)) = told_at_once.map(|text| Pattern::parse(text)) {
            self.problem(at, place, fault.message(), None);
        }
    }

    fn consumer_topics(&mut self, place: &str, topics: &[String]) {
        let known: Vec<&str> = self.scenario.topics.keys().collect();
        for topic in topics {
            if !known.contains(&topic.as_str()) {
                self.unknown(place, "topic", topic, &known);
            }
        }
    }

    /// Checks that a partition exists in at least one variant.
    pub(super) fn partition(&mut self, place: &str, topic: &str, partition: u32) {
        let known: Vec<&str> = self.scenario.topics.keys().collect();
        let Some(declared) = self.scenario.topics.get(topic) else {
            return self.unknown(place, "topic", topic, &known);
        };
        let overrides = self.scenario.variants.iter().flat_map(|(_, overrides)| overrides.iter());
        let most = overrides.filter_map(|(key, value)| match value {
            Override::Count(n) if key == format!("topics.{topic}.partitions") => Some(*n),
            _ => None,
        });
        let own = declared.partitions.unwrap_or(declared.replicas.len().max(1) as u32);
        let created = crate::scenario::build::created(self.scenario, topic);
        let most = most.chain([own, created]).max().unwrap_or(own);
        if partition >= most {
            let message = format!(
                "topic `{topic}` has no partition {partition}: it has {most}, counted from 0"
            );
            self.problem(self.places.find(place, topic), place, message, None);
        }
    }

    fn variants(&mut self) {
        for (variant, overrides) in self.scenario.variants.iter() {
            for (key, value) in overrides.iter() {
                let place = format!("variants.{variant}.{key}");
                match path(self.scenario, key) {
                    Err(message) => self.problem(self.places.at(&place), &place, message, None),
                    Ok(_) if matches!(value, Override::Count(_)) && self.has_replicas(key) => {
                        let message =
                            "this topic lists its `replicas`, so their number cannot be set";
                        self.problem(self.places.at(&place), &place, message, None);
                    }
                    Ok(_) => {}
                }
            }
        }
        let mut told = BTreeSet::new();
        for variant in self.scenario.variant_names() {
            if !self.members_within_limit(variant) {
                return;
            }
            let Some(resolved) = self.scenario.resolve(variant) else { continue };
            self.settings(variant, &resolved, &mut told);
        }
    }

    fn has_replicas(&self, key: &str) -> bool {
        path(self.scenario, key)
            .ok()
            .and_then(|path| self.scenario.topics.get(path.name))
            .is_some_and(|topic| !topic.replicas.is_empty())
    }

    /// Counts consumers before any of them is made.
    fn members_within_limit(&mut self, variant: &str) -> bool {
        let count = |members: &Members| match members {
            Members::Count(n) => u64::from(*n),
            Members::Names(names) => names.len() as u64,
        };
        let mut total = self.scenario.consumers.len() as u64;
        for (name, group) in self.scenario.groups.iter() {
            let key = format!("groups.{name}.members");
            let members = match self.scenario.variants.get(variant).and_then(|o| o.get(&key)) {
                Some(Override::Members(members)) => members,
                _ => &group.members,
            };
            total = total.saturating_add(count(members));
            if total > self.limits.consumers {
                let message = format!("more than the limit of {} consumers", self.limits.consumers);
                let place = format!("groups.{name}");
                self.problem(self.places.at(&place), &place, message, None);
                return false;
            }
        }
        true
    }

    /// Settings of everything under one variant, by Kafka's rules.
    fn settings(
        &mut self,
        variant: &str,
        resolved: &Resolved,
        told: &mut BTreeSet<(String, String)>,
    ) {
        let allowed = |client: &str| {
            let expected = self.scenario.expect.get(variant).into_iter().flatten();
            expected
                .clone()
                .any(|e| matches!(e, Expectation::ConfigException(name) if name == client))
        };
        let mut faults: Vec<(String, settings::SettingFault)> = Vec::new();
        faults.extend(replication_faults(resolved));
        faults.extend(controllers_fault(self.scenario, resolved));
        let mut collect = |place: String, result: Vec<settings::SettingFault>| {
            faults.extend(result.into_iter().map(|fault| (place.clone(), fault)));
        };
        collect("cluster".to_owned(), settings::check_cluster(&resolved.cluster.config));
        let features = settings::features_of(&resolved.cluster.features).err();
        collect("cluster.features".to_owned(), features.unwrap_or_default());
        collect(
            "cluster.era".to_owned(),
            settings::era_of(&resolved.cluster.era).err().unwrap_or_default(),
        );
        for (name, topic) in resolved.topics.iter() {
            collect(format!("topics.{name}"), settings::check_topic(&topic.config));
        }
        for (name, producer) in resolved.producers.iter() {
            let mut found = settings::check_producer(producer);
            let refused = found.iter().any(|fault| fault.exception().is_some());
            if producer.start == StartAt::ByScript && refused {
                // Its constructor throws, which is for the script to see; what it would obey does not matter.
                found.retain(|fault| !fault.by_kafka && !fault.is_not_modelled());
            }
            found.retain(|fault| !(fault.by_kafka && allowed(name)));
            collect(format!("producers.{name}"), found);
        }
        for (name, consumer) in resolved.consumers.iter() {
            let mut found = settings::check_consumer(consumer);
            let refused = found.iter().any(|fault| fault.exception().is_some());
            if consumer.start == StartAt::ByScript && refused {
                found.retain(|fault| !fault.by_kafka && !fault.is_not_modelled());
            }
            found.retain(|fault| !(fault.by_kafka && allowed(name)));
            let place = match &consumer.group {
                Some(group) if self.scenario.consumers.get(name).is_none() => {
                    format!("groups.{group}")
                }
                _ => format!("consumers.{name}"),
            };
            collect(place, found);
        }
        for (name, group) in resolved.group_configs.iter() {
            let found = settings::check_group(group, &resolved.cluster.config);
            collect(format!("group_configs.{name}"), found);
        }
        for (place, fault) in faults {
            if told.insert((place.clone(), fault.message.clone())) {
                let at = self.setting_place(variant, &place, &fault.setting);
                self.problem(at.0, &at.1, fault.message, fault.help);
            }
        }
    }

    /// Where a setting stands: in the variant when it is overridden there, else at the client.
    fn setting_place(&self, variant: &str, place: &str, setting: &str) -> (Range<usize>, String) {
        let overridden = format!("{place}.{setting}");
        let at = self.places.find(&format!("variants.{variant}"), &overridden);
        if self.scenario.variants.get(variant).is_some_and(|o| o.get(&overridden).is_some()) {
            return (at, format!("variants.{variant}"));
        }
        let config = format!("{place}.config");
        let at = self.places.find(&config, setting);
        let at = if at.is_empty() { self.places.find(place, setting) } else { at };
        (at, config)
    }

    fn expectations(&mut self) {
        let variants = self.scenario.variant_names();
        for (variant, list) in self.scenario.expect.iter() {
            let place = format!("expect.{variant}");
            if !variants.contains(&variant) {
                let help = did_you_mean(variant, &variants);
                let message = format!("there is no variant `{variant}`");
                self.problem(self.places.at(&place), &place, message, help);
                continue;
            }
            for (i, expectation) in list.iter().enumerate() {
                self.expectation(&format!("{place}[{i}]"), variant, expectation);
            }
        }
    }

    fn expectation(&mut self, place: &str, variant: &str, expectation: &Expectation) {
        match expectation {
            Expectation::Idle(group, _) => self.group(place, group),
            Expectation::Committed(group, offsets) => {
                self.group(place, group);
                for at in offsets.keys() {
                    self.partition(place, &at.topic, at.partition);
                }
            }
            Expectation::Rows(table, _) => {
                let known = self.scenario.tables();
                if !known.contains(&table.as_str()) {
                    self.unknown(place, "table", table, &known);
                }
            }
            Expectation::Log(at, _) => self.partition(place, &at.topic, at.partition),
            Expectation::ConfigException(client) => {
                let Some(resolved) = self.scenario.resolve(variant) else { return };
                let refused = resolved.producers.get(client).map(settings::check_producer);
                let refused =
                    refused.or(resolved.consumers.get(client).map(settings::check_consumer));
                match refused {
                    None => self.problem(
                        self.places.find(place, client),
                        place,
                        format!("there is no client `{client}`"),
                        None,
                    ),
                    Some(faults) if !faults.iter().any(|fault| fault.by_kafka) => self.problem(
                        self.places.at(place),
                        place,
                        format!(
                            "Kafka accepts the settings of `{client}`: it throws no ConfigException"
                        ),
                        None,
                    ),
                    Some(_) => {}
                }
            }
            _ => {}
        }
    }

    pub(super) fn group(&mut self, place: &str, name: &str) {
        let scenario = self.scenario;
        let single =
            scenario.consumers.iter().filter_map(|(_, c)| c.group.as_ref().map(Label::as_str));
        let known: Vec<&str> = scenario.groups.keys().chain(single).collect();
        if !known.contains(&name) && !self.places.clients_unread {
            self.unknown(place, "group", name, &known);
        }
    }
}

/// A variant may add controllers; the script may speak of those there are without it.
fn controllers_fault(
    scenario: &Scenario,
    resolved: &Resolved,
) -> Option<(String, settings::SettingFault)> {
    let (base, wanted) = (scenario.cluster.controllers, resolved.cluster.controllers);
    let message = format!("{wanted} controllers are fewer than the {base} of the scenario");
    let help = "let the scenario have the smaller number and variants the larger one";
    let fault = || settings::SettingFault::new("controllers", message, Some(help.into()), false);
    (wanted < base).then(|| ("cluster".to_owned(), fault()))
}

/// Replication factors that the cluster cannot give: Kafka would create no such topic.
fn replication_faults(resolved: &Resolved) -> Vec<(String, settings::SettingFault)> {
    let Ok(config) = settings::config_of::<BrokerConfig>(&resolved.cluster.config) else {
        return Vec::new();
    };
    let brokers = u32::from(resolved.cluster.brokers);
    let defaulted = |t: &Topic| t.replicas.is_empty() && t.replication.is_none();
    let offsets = !resolved.groups.is_empty() && resolved.topics.get(CONSUMER_OFFSETS).is_none();
    let transactional = |p: &Producer| p.config.iter().any(|(name, _)| name == "transactional.id");
    let transactions = resolved.producers.iter().any(|(_, p)| transactional(p))
        && resolved.topics.get(TRANSACTION_STATE).is_none();
    let wanted = [
        ("offsets.topic.replication.factor", config.offsets_topic_replication, offsets),
        (
            "transaction.state.log.replication.factor",
            config.transaction_topic_replication,
            transactions,
        ),
        (
            "default.replication.factor",
            config.default_replication_factor,
            resolved.topics.iter().any(|(_, topic)| defaulted(topic)),
        ),
    ];
    let too_many = wanted.into_iter().filter(|(_, factor, used)| *used && *factor > brokers);
    too_many
        .map(|(setting, factor, _)| {
            let message = format!(
                "{setting} is {factor}, and a topic cannot have more replicas than the {brokers} brokers"
            );
            let help = format!("set \"{setting}\" to {brokers} or less in cluster.config");
            let fault = settings::SettingFault::new(setting, message, Some(help), false);
            ("cluster".to_owned(), fault)
        })
        .collect()
}

/// `org.apache.kafka.common.internals.Topic.validate`.
fn is_topic_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !matches!(name, "" | "." | "..") && name.len() <= 249 && name.bytes().all(legal)
}
