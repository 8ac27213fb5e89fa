//! Checking the steps of a script: every name in it exists, every number makes sense, and nothing is asked of the
//! simulator that it does not model yet.

use crate::base::broker_set::MAX_REPLICAS;
use crate::base::error::ErrorCode;
use crate::event::Api;
use crate::scenario::diagnostics::did_you_mean;
use crate::scenario::schema::Override;
use crate::scenario::schema::Settings;
use crate::scenario::settings::{SettingFault, check_topic};
use crate::scenario::step::{
    Action, Answer, Condition, CutLog, Node, Probe, Question, Rule, Send, Step,
};
use crate::scenario::validate::Check;
use crate::scenario::value::{Label, TopicPartition};
use crate::scenario::workload::Workload;

/// States of a classic group, by Kafka's names.
const GROUP_STATES: [&str; 5] =
    ["Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"];

/// States of a transactional id, by Kafka's names.
const TRANSACTION_STATES: [&str; 6] =
    ["Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort"];

/// Checks the script and every replacement of its parts.
pub(super) fn check_scripts(check: &mut Check<'_>) {
    let scenario = check.scenario;
    let workload = Workload::of(scenario, check.limits.messages);
    if workload.is_none() {
        let message =
            format!("the script sends more than the limit of {} messages", check.limits.messages);
        let at = largest_send(check);
        check.problem(check.places.at(&at), &at, message, None);
    }
    let mut named = Vec::new();
    let mut rules = Vec::new();
    let mut observed = Vec::new();
    collect(&scenario.script, &mut named, &mut rules, &mut observed);
    for (_, overrides) in scenario.variants.iter() {
        for value in overrides.iter().map(|(_, value)| value) {
            if let Override::Steps(steps) = value {
                collect(steps, &mut Vec::new(), &mut rules, &mut observed);
            }
        }
    }
    let producers: Vec<&str> = scenario.producers.keys().collect();
    let mut consumers: Vec<String> = Vec::new();
    let mut transactional_ids: Vec<String> = Vec::new();
    if check.problems.is_empty() {
        for variant in scenario.variant_names() {
            let resolved = scenario.resolve(variant);
            for name in resolved.iter().flat_map(|r| r.consumers.keys()) {
                if !consumers.iter().any(|known| known == name) {
                    consumers.push(name.to_owned());
                }
            }
            let producers = resolved.iter().flat_map(|r| r.producers.iter());
            let settings = producers.flat_map(|(_, producer)| producer.config.iter());
            let ids = settings.filter(|(name, _)| *name == "transactional.id");
            transactional_ids.extend(ids.map(|(_, id)| id.0.clone()));
        }
    }
    let known = Known {
        complete: check.problems.is_empty() && !check.places.clients_unread,
        topics: scenario.topics.keys().collect(),
        producers,
        consumers: consumers.iter().map(String::as_str).collect(),
        transactional_ids: transactional_ids.iter().map(String::as_str).collect(),
        rules,
        observed,
        workload,
    };
    let mut script = Script { check, known, place: String::new() };
    for (i, step) in scenario.script.iter().enumerate() {
        script.place = format!("script[{i}]");
        script.step(step);
    }
    for (variant, overrides) in scenario.variants.iter() {
        for (key, value) in overrides.iter() {
            let Override::Steps(steps) = value else { continue };
            let place = format!("variants.{variant}.{key}");
            let name = key.strip_prefix("script.").unwrap_or(key);
            if !named.contains(&name) {
                let help = did_you_mean(name, &named);
                let message = format!("the script has no `Named(\"{name}\", ...)`");
                script.check.problem(script.check.places.at(&place), &place, message, help);
            }
            for (i, step) in steps.iter().enumerate() {
                script.place = format!("{place}[{i}]");
                script.step(step);
            }
        }
    }
}

/// The step that declares the most messages.
fn largest_send(check: &Check<'_>) -> String {
    fn size(step: &Step) -> u64 {
        match step {
            Step::Send(send) => send.count.unwrap_or(send.ids.len() as u64),
            Step::At(_, steps) | Step::Named(_, steps) => {
                steps.iter().map(size).fold(0, u64::saturating_add)
            }
            Step::Every(every) => {
                let once = every.steps.iter().map(size).fold(0, u64::saturating_add);
                once.saturating_mul(every.count.unwrap_or(1))
            }
            _ => 0,
        }
    }
    let sizes = check.scenario.script.iter().map(size).enumerate();
    let largest = sizes.max_by_key(|(_, size)| *size).map_or(0, |(i, _)| i);
    format!("script[{largest}]")
}

fn collect<'a>(
    steps: &'a [Step],
    named: &mut Vec<&'a str>,
    rules: &mut Vec<&'a str>,
    observed: &mut Vec<&'a str>,
) {
    for step in steps {
        match step {
            Step::Named(name, steps) => {
                named.push(name);
                collect(steps, named, rules, observed);
            }
            Step::At(_, steps) => collect(steps, named, rules, observed),
            Step::Every(every) => collect(&every.steps, named, rules, observed),
            Step::On(rule) => rules.push(&rule.name),
            Step::Observe(name, _) => observed.push(name),
            _ => {}
        }
    }
}

struct Known<'a> {
    complete: bool,
    topics: Vec<&'a str>,
    producers: Vec<&'a str>,
    consumers: Vec<&'a str>,
    transactional_ids: Vec<&'a str>,
    rules: Vec<&'a str>,
    observed: Vec<&'a str>,
    workload: Option<Workload>,
}

pub(super) struct Script<'a, 'b, 'k> {
    pub(super) check: &'b mut Check<'a>,
    known: Known<'k>,
    place: String,
}

impl Script<'_, '_, '_> {
    pub(super) fn problem(&mut self, word: &str, message: impl Into<String>, help: Option<String>) {
        let at = self.check.places.find(&self.place, word);
        let place = self.place.clone();
        self.check.problem(at, &place, message, help);
    }

    pub(super) fn one_of(&mut self, what: &str, word: &str, known: &[&str]) {
        if !known.contains(&word) {
            let place = self.place.clone();
            self.check.unknown(&place, what, word, known);
        }
    }

    fn label(&mut self, name: &str) {
        if let Err(message) = Label::new(name) {
            self.problem(name, message, None);
        }
    }

    pub(super) fn producer(&mut self, name: &str) {
        if self.known.complete {
            let known = self.known.producers.clone();
            self.one_of("producer", name, &known);
        }
    }

    fn transactional_id(&mut self, id: &str) {
        if self.known.complete {
            let known = self.known.transactional_ids.clone();
            self.one_of("transactional.id", id, &known);
        }
    }

    pub(super) fn consumer(&mut self, name: &str) {
        if self.known.complete {
            let known = self.known.consumers.clone();
            self.one_of("consumer", name, &known);
        }
    }

    pub(super) fn client(&mut self, name: &str) {
        if self.known.complete {
            let known = [self.known.producers.clone(), self.known.consumers.clone()].concat();
            self.one_of("client", name, &known);
        }
    }

    pub(super) fn topic(&mut self, name: &str) {
        let known = self.known.topics.clone();
        self.one_of("topic", name, &known);
    }

    pub(super) fn partition(&mut self, topic: &str, partition: u32) {
        let place = self.place.clone();
        self.check.partition(&place, topic, partition);
    }

    pub(super) fn group(&mut self, name: &str) {
        let place = self.place.clone();
        self.check.group(&place, name);
    }

    fn rule(&mut self, name: &str) {
        let known = self.known.rules.clone();
        self.one_of("rule", name, &known);
    }

    pub(super) fn message(&mut self, id: &str) {
        let Some(workload) = &self.known.workload else { return };
        if workload.find(id).is_none() {
            let last = workload.declared.saturating_sub(1);
            let help = if workload.declared == 0 {
                "the script sends none".to_owned()
            } else {
                format!("messages are m0 to m{last}, but for those with names of their own")
            };
            self.problem(id, format!("the script sends no message `{id}`"), Some(help));
        }
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Broker(n) if *n == 0 || *n > self.check.scenario.cluster.brokers => {
                let brokers = self.check.scenario.cluster.brokers;
                self.problem(
                    "",
                    format!("there is no broker {n}: brokers are 1 to {brokers}"),
                    None,
                );
            }
            Node::Controller(n) if *n == 0 || *n > self.check.scenario.cluster.controllers => {
                let controllers = self.check.scenario.cluster.controllers;
                let message =
                    format!("there is no controller {n}: controllers are 1 to {controllers}");
                self.problem("", message, None);
            }
            Node::Broker(_) | Node::Controller(_) | Node::ActiveController => {}
            Node::Client(name) => self.client(name),
            Node::Leader(topic, n) | Node::Follower(topic, n) => self.partition(topic, *n),
            Node::Coordinator(group) => self.group(group),
        }
    }

    /// A node that has to be a broker.
    fn broker(&mut self, node: &Node) {
        if matches!(node, Node::Client(_) | Node::Controller(_) | Node::ActiveController) {
            self.problem("", "this has to be a broker", None);
        }
        self.node(node);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Send(send) => self.send(send),
            Step::Flush(name) => self.producer(name),
            Step::Close(name) => self.client(name),
            Step::At(_, steps) => self.steps(steps),
            Step::Named(name, steps) => {
                self.label(name);
                for step in steps {
                    self.step(step);
                }
            }
            Step::Every(every) => {
                if every.every.0.0 == 0 {
                    self.problem("", "`every` has to be longer than nothing", None);
                }
                if let Some(condition) = &every.until {
                    self.condition(condition);
                }
                for step in &every.steps {
                    self.step(step);
                }
            }
            Step::Await(condition)
            | Step::AwaitWithin(_, condition)
            | Step::AwaitNot(_, condition) => {
                self.condition(condition);
            }
            Step::Kill(node)
            | Step::PowerLoss(node)
            | Step::Freeze(node)
            | Step::Thaw(node)
            | Step::Stop(node)
            | Step::Start(node) => self.node(node),
            Step::Wipe(node, _) => self.broker(node),
            Step::CutLog(cut) => self.cut_log(cut),
            Step::DeleteRecords(p, before) => {
                self.partition(&p.topic, p.partition);
                if *before < -1 {
                    self.problem("", "an offset is not negative; -1 is the high watermark", None);
                }
            }
            Step::AbortHangingTransaction(hanging) => {
                self.partition(&hanging.partition.topic, hanging.partition.partition);
            }
            Step::DeleteLog(node, p) => {
                self.broker(node);
                self.partition(&p.topic, p.partition);
            }
            Step::CutOff(left, right) => left.iter().chain(right).for_each(|node| self.node(node)),
            Step::On(rule) => self.on(rule),
            Step::Release(name) | Step::Clear(name) => self.rule(name),
            Step::Observe(name, probe) => {
                self.label(name);
                self.probe(probe);
            }
            Step::ElectLeaders(_, partitions) => {
                for p in partitions {
                    self.partition(&p.topic, p.partition);
                }
            }
            Step::AlterConfigs(topic, settings) => self.alter_configs(topic, settings),
            Step::Reassign(p, replicas) => self.reassign(p, replicas),
            Step::CancelReassignment(p) => self.partition(&p.topic, p.partition),
            Step::Mark(name) => self.label(name),
            Step::Say(texts) => self.check.texts(&self.place.clone(), texts),
            Step::Ask(question) => self.ask(question),
            other => self.consumer_step(other),
        }
    }

    /// A value that Kafka refuses is what the call throws.
    fn alter_configs(&mut self, topic: &str, settings: &Settings) {
        self.topic(topic);
        let refused = |fault: &SettingFault| fault.exception().is_some();
        for fault in check_topic(settings).into_iter().filter(|fault| !refused(fault)) {
            self.problem(&fault.setting, fault.message, fault.help);
        }
    }

    fn cut_log(&mut self, cut: &CutLog) {
        self.broker(&cut.broker);
        self.partition(&cut.partition.topic, cut.partition.partition);
        if cut.records.is_some() == cut.to.is_some() {
            self.problem("", "either `records` or `to`", None);
        } else if cut.to.is_some_and(|to| to < 0) {
            self.problem("to", "an offset is not negative", None);
        }
    }

    fn reassign(&mut self, partition: &TopicPartition, replicas: &[u8]) {
        self.partition(&partition.topic, partition.partition);
        let brokers = self.check.scenario.cluster.brokers;
        if replicas.len() > MAX_REPLICAS {
            let message = format!("a partition has 1 to {MAX_REPLICAS} replicas");
            self.problem("", message, None);
        }
        // What else Kafka refuses is for the script to see. A broker 0 cannot be written in a set of brokers.
        if let Some(broker) = replicas.iter().find(|b| **b == 0 || **b > brokers) {
            let message = format!("there is no broker {broker}: brokers are 1 to {brokers}");
            self.problem("", message, None);
        }
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    fn send(&mut self, send: &Send) {
        self.producer(&send.from);
        self.topic(&send.to);
        if let Some(partition) = send.partition {
            self.partition(&send.to, partition);
        }
        for id in &send.ids {
            self.label(id);
        }
        if let Some(condition) = &send.until {
            self.condition(condition);
        }
        let wrong = match (send.count, send.ids.is_empty(), send.every, &send.until) {
            (Some(_), false, ..) => Some("either `count` or `ids`"),
            (.., None, Some(_)) => Some("`until` only makes sense with `every`"),
            (.., Some(every), _) if every.0.0 == 0 => Some("`every` has to be longer than nothing"),
            _ if send.key.is_some() && !send.keys.is_empty() => Some("either `key` or `keys`"),
            _ => None,
        };
        if let Some(message) = wrong {
            self.problem("", message, None);
        }
    }

    fn on(&mut self, rule: &Rule) {
        self.label(&rule.name);
        if let Some(api) = &rule.api {
            let known: Vec<&str> = Api::ALL.iter().map(|api| api.name()).collect();
            self.one_of("request", api, &known);
        }
        rule.from.iter().chain(&rule.to).for_each(|node| self.node(node));
        if let Some(p) = &rule.partition {
            self.partition(&p.topic, p.partition);
        }
        if let Some(id) = &rule.contains {
            self.message(id);
        }
        if let Action::Error(name) = &rule.action {
            let known: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
            self.one_of("error", name, &known);
        }
    }

    fn ask(&mut self, question: &Question) {
        let place = self.place.clone();
        self.check.texts(&place, &question.text);
        for texts in question.hints.iter().chain(question.beliefs.iter().map(|b| &b.text)) {
            self.check.texts(&place, texts);
        }
        match &question.answer {
            Answer::Idle(group) => self.group(group),
            Answer::Leader(topic, n) => self.partition(topic, *n),
            Answer::Owner(group, p) | Answer::Offset(group, p) => {
                self.group(group);
                self.partition(&p.topic, p.partition);
            }
            Answer::Observed(name) => {
                let known = self.known.observed.clone();
                self.one_of("observation", name, &known);
            }
            Answer::Error(id) => self.message(id),
            Answer::Order(p) => self.partition(&p.topic, p.partition),
            Answer::Seconds(condition) => self.condition(condition),
            _ => {}
        }
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Ready
            | Condition::Settled
            | Condition::ControllerElected
            | Condition::NoController => {}
            Condition::Completed(name) => self.producer(name),
            Condition::Acked(ids) | Condition::Failed(ids) => {
                for id in ids {
                    self.message(id);
                }
            }
            Condition::LeaderElected(topic, n)
            | Condition::LastStableOffset(topic, n, _)
            | Condition::Markers(topic, n, ..)
            | Condition::NoLeader(topic, n)
            | Condition::HighWatermark(topic, n, _)
            | Condition::Isr(topic, n, _) => self.partition(topic, *n),
            Condition::LeaderIs(topic, n, node) => {
                self.partition(topic, *n);
                self.broker(node);
            }
            Condition::Fenced(node) | Condition::Unfenced(node) => self.broker(node),
            Condition::Down(node) => self.node(node),
            Condition::Stored(node, id) => {
                self.broker(node);
                self.message(id);
            }
            Condition::LogEnd(node, p, _) | Condition::LogStart(node, p, _) => {
                self.broker(node);
                self.partition(&p.topic, p.partition);
            }
            Condition::Transaction(id, state) => {
                self.transactional_id(id);
                self.one_of("state of a transaction", state, &TRANSACTION_STATES);
            }
            Condition::Group(group, state) => {
                self.group(group);
                self.one_of("group state", state, &GROUP_STATES);
            }
            Condition::Members(group, _) | Condition::CaughtUp(group) => self.group(group),
            Condition::Assigned(name)
            | Condition::Polled(name, _)
            | Condition::Processed(name, _) => {
                self.consumer(name);
            }
            Condition::Owns(name, partitions) => {
                self.consumer(name);
                for p in partitions {
                    self.partition(&p.topic, p.partition);
                }
            }
            Condition::Committed(group, p, _) => {
                self.group(group);
                self.partition(&p.topic, p.partition);
            }
            Condition::ControllerIs(node) => {
                if !matches!(node, Node::Controller(_) | Node::ActiveController) {
                    self.problem("", "this has to be a controller", None);
                }
                self.node(node);
            }
            Condition::Held(name, _) | Condition::Hits(name, _) => self.rule(name),
            Condition::All(list) | Condition::Any(list) => {
                for condition in list {
                    self.condition(condition);
                }
            }
            Condition::Not(inner) => self.condition(inner),
        }
    }

    fn probe(&mut self, probe: &Probe) {
        match probe {
            Probe::Count(counted) => {
                if !counted.is_list() {
                    let help = "count what is a list: `Count(Reads(\"orders\"))`";
                    self.problem("Count", "there is nothing to count in this", Some(help.into()));
                }
                self.probe(counted);
            }
            Probe::SecondsSince(mark) => self.mark(mark),
            Probe::Rows(table) => self.table(table),
            Probe::Committed(group)
            | Probe::GroupState(group)
            | Probe::Generation(group)
            | Probe::Members(group)
            | Probe::OffsetRecords(group)
            | Probe::Deliveries(group)
            | Probe::ShareOffsets(group)
            | Probe::ShareLag(group)
            | Probe::Inversions(group)
            | Probe::Lag(group) => {
                self.group(group);
            }
            Probe::Position(name)
            | Probe::Returned(name)
            | Probe::Polled(name)
            | Probe::Processed(name)
            | Probe::Assigned(name)
            | Probe::AssignedCount(name)
            | Probe::Paused(name) => self.consumer(name),
            Probe::Exception(name) | Probe::Callbacks(name) => self.client(name),
            Probe::AdminException | Probe::ActiveController | Probe::ControllerEpoch => {}
            Probe::Outcomes(name) | Probe::ShortestRun(name) => self.producer(name),
            Probe::Log(node, p)
            | Probe::HighWatermark(node, p)
            | Probe::LastStableOffset(node, p)
            | Probe::LogStart(node, p)
            | Probe::Segments(node, p)
            | Probe::LogEnd(node, p) => {
                self.broker(node);
                self.partition(&p.topic, p.partition);
            }
            Probe::Logs(p)
            | Probe::Records(p)
            | Probe::Leader(p)
            | Probe::LeaderEpoch(p)
            | Probe::Replicas(p)
            | Probe::Isr(p)
            | Probe::Elr(p) => {
                self.partition(&p.topic, p.partition);
            }
            Probe::DeliveryCount(group, id) => {
                self.group(group);
                self.message(id);
            }
            Probe::RecordStates(group, p) => {
                self.group(group);
                self.partition(&p.topic, p.partition);
            }
            Probe::Reads(topic)
            | Probe::ReadsCommitted(topic)
            | Probe::HangingTransactions(topic)
            | Probe::Snapshot(topic) => self.topic(topic),
            Probe::TransactionState(id) | Probe::TransactionPartitions(id) => {
                self.transactional_id(id);
            }
            Probe::Revoked { group, since }
            | Probe::Moved { group, since }
            | Probe::Stopped { group, since }
            | Probe::StopTime { group, since } => self.since_mark(group, since.as_deref()),
        }
    }
}
