//! Checking the calls of consumers and of transactional producers by hand.

use crate::scenario::check_script::Script;
use crate::scenario::pattern::Pattern;
use crate::scenario::schema::Override;
use crate::scenario::step::{Reset, Step};

/// The names of all marks in `steps`.
fn marks<'a>(steps: &'a [Step], into: &mut Vec<&'a str>) {
    for step in steps {
        match step {
            Step::Mark(name) => into.push(name),
            Step::At(_, steps) | Step::Named(_, steps) => marks(steps, into),
            Step::Every(every) => marks(&every.steps, into),
            _ => {}
        }
    }
}

impl Script<'_, '_, '_> {
    /// A probe about what happened in a group since a mark.
    pub(super) fn since_mark(&mut self, group: &str, since: Option<&str>) {
        self.group(group);
        if let Some(name) = since {
            self.mark(name);
        }
    }

    /// A table that an application of some variant writes to.
    pub(super) fn table(&mut self, name: &str) {
        let known = self.check.scenario.tables();
        self.one_of("table", name, &known);
    }

    /// A mark that some variant makes.
    pub(super) fn mark(&mut self, name: &str) {
        let scenario = self.check.scenario;
        let mut known = Vec::new();
        marks(&scenario.script, &mut known);
        for value in scenario.variants.iter().flat_map(|(_, o)| o.iter().map(|(_, value)| value)) {
            if let Override::Steps(steps) = value {
                marks(steps, &mut known);
            }
        }
        self.one_of("mark", name, &known);
    }

    /// Calls of consumers by hand; what is left needs no check.
    pub(super) fn consumer_step(&mut self, step: &Step) {
        match step {
            Step::Subscribe(name, topics) => {
                self.consumer(name);
                for topic in topics {
                    self.topic(topic);
                }
            }
            Step::SubscribePattern(name, text) | Step::SubscribeRegex(name, text) => {
                self.consumer(name);
                // What RE2/J refuses is the coordinator's to tell.
                if let (Step::SubscribePattern(..), Err(fault)) = (step, Pattern::parse(text)) {
                    self.problem(text, fault.message(), None);
                }
            }
            Step::Unsubscribe(name) | Step::EnforceRebalance(name) => self.consumer(name),
            Step::CloseWithin(name, _) => self.client(name),
            Step::Assign(name, partitions)
            | Step::SeekToBeginning(name, partitions)
            | Step::SeekToEnd(name, partitions)
            | Step::Pause(name, partitions)
            | Step::Resume(name, partitions) => {
                self.consumer(name);
                for p in partitions {
                    self.partition(&p.topic, p.partition);
                }
            }
            Step::Poll(poll) => {
                self.consumer(&poll.consumer);
                if poll.within.is_some() && poll.records == 0 {
                    let help = Some("without `records` there is one call".to_owned());
                    self.problem("within", "`within` only makes sense with `records`", help);
                }
            }
            Step::Position(ask) | Step::Committed(ask) => {
                self.consumer(&ask.consumer);
                self.partition(&ask.partition.topic, ask.partition.partition);
            }
            Step::BeginningOffsets(ask) | Step::EndOffsets(ask) => {
                self.consumer(&ask.consumer);
                ask.partitions.iter().for_each(|p| self.partition(&p.topic, p.partition));
            }
            Step::Process(process) | Step::GiveUp(process) => self.consumer(&process.consumer),
            Step::Store(store) => {
                self.consumer(&store.consumer);
                store.offsets.keys().for_each(|p| self.partition(&p.topic, p.partition));
            }
            Step::Acknowledge(say) => {
                self.consumer(&say.consumer);
                say.ids.iter().for_each(|id| self.message(id));
            }
            Step::Commit(commit) => {
                self.consumer(&commit.consumer);
                commit.offsets.keys().for_each(|p| self.partition(&p.topic, p.partition));
            }
            Step::Seek(name, partition, offset) => {
                self.consumer(name);
                self.partition(&partition.topic, partition.partition);
                if *offset < 0 {
                    self.problem(
                        "",
                        "an offset to seek to is not negative (IllegalArgumentException)",
                        None,
                    );
                }
            }
            other => self.group_call(other),
        }
    }

    /// Calls of administrators about topics and groups. What has a topic that does not exist throws.
    fn group_call(&mut self, step: &Step) {
        match step {
            Step::CreatePartitions(topic, count) => {
                self.topic(topic);
                if !(1..=1_024).contains(count) {
                    self.problem("", "a topic has 1 to 1024 partitions", None);
                }
            }
            Step::CreateTopic(topic) => self.topic(topic),
            Step::AlterOffsets(group, offsets) => {
                self.group(group);
                if offsets.values().any(|offset| *offset < 0) {
                    self.problem("", "a committed offset is not negative", None);
                }
            }
            Step::DeleteOffsets(group, _) | Step::DeleteGroup(group) => self.group(group),
            Step::ResetOffsets(reset) => {
                self.group(&reset.group);
                self.topic(&reset.topic);
            }
            Step::AlterShareOffsets(group, _) | Step::DeleteShareOffsets(group, _) => {
                self.group(group);
            }
            Step::ResetShareOffsets(reset) => {
                self.group(&reset.group);
                self.topic(&reset.topic);
                if matches!(reset.to, Reset::ShiftBy(_) | Reset::ByDuration(_)) {
                    let message = "kafka-share-groups.sh has neither --shift-by nor --by-duration";
                    let help =
                        "write `Earliest`, `Latest`, `Current`, `Offset(5)` or `Datetime(\"20s\")`";
                    self.problem("to", message, Some(help.into()));
                }
            }
            other => self.transaction_step(other),
        }
    }

    /// Calls of transactional producers; what is left needs no check.
    fn transaction_step(&mut self, step: &Step) {
        match step {
            Step::InitTransactions(name)
            | Step::BeginTransaction(name)
            | Step::CommitTransaction(name)
            | Step::AbortTransaction(name) => self.producer(name),
            Step::SendOffsetsToTransaction(send) => {
                self.producer(&send.producer);
                send.offsets.keys().for_each(|p| self.partition(&p.topic, p.partition));
                match (&send.consumer, &send.group) {
                    (Some(consumer), None) => self.consumer(consumer),
                    (None, Some(group)) if !send.offsets.is_empty() => self.group(group),
                    (None, Some(_)) => {
                        let message = "`group` alone has no positions: say which `offsets`";
                        self.problem("group", message, None);
                    }
                    _ => self.problem("", "either `consumer` or `group`", None),
                }
            }
            _ => {}
        }
    }
}
