//! Doing one step of a script.

use crate::app::HandCall;
use crate::base::error::ErrorCode;
use crate::base::ids::{BrokerId, KeyId, MessageId, NodeId, Offset};
use crate::base::time::{Duration, Time};
use crate::event::{AdminCall, Api, EventKind, FaultKind};
use crate::kafka::producer::SendRequest;
use crate::scenario::admin::{admin_request, group_command};
use crate::scenario::answers::answer;
use crate::scenario::apps::{hand_call, transaction_call};
use crate::scenario::probes::observe;
use crate::scenario::run::{Asked, Outcome, PATIENCE, Run};
use crate::scenario::step::{Action, Answer, Every, Node, Probe, Rule, Send, Side, Step};
use crate::scenario::strand::{Repeat, Strand, Wait, Work};
use crate::scenario::value::{Fact, Span};
use crate::sim::NodeState;
use crate::sim::command::{Command, LogCut, WireAction, WireRule};

/// Bytes of a record beside key and value: lengths, deltas, attributes (`DefaultRecord`, one digit each).
const RECORD_OVERHEAD: u32 = 7;

impl Run {
    /// Strand `n` does its next step, or begins its next round, or is done.
    pub(super) fn proceed(&mut self, n: usize) {
        while let Some((block, at)) = self.strands[n].stack.last_mut() {
            if let Some(op) = block.get(*at).copied() {
                if let Some(client) = self.occupied(op) {
                    self.strands[n].wait = Wait::Turn(client);
                    return;
                }
                let (_, at) = self.strands[n].stack.last_mut().expect("the block is still there");
                *at += 1;
                return self.execute(n, op);
            }
            self.strands[n].stack.pop();
        }
        match (self.strands[n].work.clone(), self.strands[n].repeat.clone()) {
            (Work::StartConsumer(consumer), _) => {
                self.strands[n].wait = Wait::Done;
                self.fault(Some(NodeId::Consumer(consumer)), FaultKind::Start);
            }
            (_, None) => self.strands[n].wait = Wait::Done,
            (work, Some(repeat)) => self.next_round(n, work, repeat),
        }
    }

    /// The client that `op` calls, when it has to wait for its turn: an application's thread makes one call after the
    /// other.
    fn occupied(&self, op: u16) -> Option<NodeId> {
        let step = &self.code.ops[usize::from(op)].step;
        let client = match hand_call(&self.state, step) {
            Some((consumer, _)) => NodeId::Consumer(consumer),
            None => NodeId::Producer(transaction_call(&self.state, step)?.0),
        };
        self.is_occupied(client).then_some(client)
    }

    /// Begins the round whose moment has come, or waits for it.
    fn next_round(&mut self, n: usize, work: Work, mut repeat: Repeat) {
        if repeat.at > self.now() {
            self.strands[n].wait = Wait::Sleep(repeat.at);
            return;
        }
        let over = repeat.left == Some(0) || repeat.until.as_ref().is_some_and(|c| self.holds(c));
        if over {
            self.strands[n].wait = Wait::Done;
            return;
        }
        repeat.left = repeat.left.map(|left| left - 1);
        repeat.at += repeat.every;
        let exhausted = repeat.left == Some(0);
        self.strands[n].repeat = Some(repeat);
        match work {
            Work::Steps(steps) => self.strands[n].stack.push((steps, 0)),
            Work::SendOne(op) => {
                self.send_records(op, 1);
                if exhausted {
                    self.strands[n].wait = Wait::Done;
                }
            }
            Work::StartConsumer(_) => {}
        }
    }

    /// Producers that have a background `Send` left.
    pub(super) fn sending(&self) -> Vec<&str> {
        let sends = self.strands.iter().filter(|strand| strand.wait != Wait::Done);
        sends
            .filter_map(|strand| match strand.work {
                Work::SendOne(op) => match &self.code.ops[usize::from(op)].step {
                    Step::Send(send) => Some(send.from.as_str()),
                    _ => None,
                },
                _ => None,
            })
            .collect()
    }

    fn execute(&mut self, n: usize, op: u16) {
        let code = std::sync::Arc::clone(&self.code);
        let written = &code.ops[usize::from(op)];
        let step = &written.step;
        self.state.sim.event(EventKind::Step { step: op });
        let now = self.now();
        match step {
            Step::Named(..) => self.strands[n].stack.push((written.body.clone(), 0)),
            Step::At(at, _) => {
                let at = (Time::ZERO + at.0).max(now);
                self.strands.push(Strand::at(at, written.body.clone()));
            }
            Step::Every(every) => self.every(every, written.body.clone()),
            Step::Sleep(span) => self.strands[n].wait = Wait::Sleep(now + span.0),
            Step::Await(condition) => {
                let until = now + PATIENCE;
                self.strands[n].wait = Wait::Until { op, condition: condition.clone(), until };
            }
            Step::AwaitWithin(span, condition) => {
                let until = now + span.0;
                self.strands[n].wait = Wait::Until { op, condition: condition.clone(), until };
            }
            Step::AwaitNot(span, condition) => {
                let until = now + span.0;
                self.strands[n].wait = Wait::Never { op, condition: condition.clone(), until };
            }
            Step::Send(send) => self.send(send, op),
            Step::Flush(name) => self.flush(n, name),
            Step::Close(name) if self.state.producer(name).is_some() => {
                self.close_producer(n, name, None);
            }
            Step::CloseWithin(name, span) if self.state.producer(name).is_some() => {
                self.close_producer(n, name, Some(span.0));
            }
            Step::Observe(name, probe) => self.observe(name, probe, written.number),
            Step::Ask(question) => {
                self.answer_pending(now);
                let number = written.number;
                self.state.sim.event(EventKind::Question { question: number });
                let at = crate::base::ids::EventSeq(self.state.sim.trace().len() as u32 - 1);
                let answer = match &question.answer {
                    Answer::Seconds(condition) if self.holds(condition) => Some(Fact::Number(0)),
                    _ => None,
                };
                self.asked.push(Asked { number, at, asked_at: now, answer });
            }
            Step::Quiesce => self.quiesce(n, op),
            Step::Mark(name) => self.state.make_mark(name),
            Step::Say(_) => {}
            other if self.call(n, other) || self.transact(n, other) => {}
            other => self.administer_or_intervene(other),
        }
    }

    fn administer_or_intervene(&mut self, step: &Step) {
        if let Some(request) = admin_request(&self.state, step) {
            return self.apply(&Command::Administer { request });
        }
        match group_command(&self.state, step) {
            Some(Ok(command)) => self.apply(&command),
            Some(Err(exception)) => {
                let (call, exception) = (AdminCall::AlterGroupOffsets, Some(exception));
                self.state.sim.event(EventKind::AdminCalled { call, exception });
            }
            None => self.intervene(step),
        }
    }

    fn every(&mut self, every: &Every, body: Vec<u16>) {
        let repeat = Repeat {
            every: every.every.0,
            at: self.now(),
            left: every.count,
            until: every.until.clone(),
        };
        self.strands.push(Strand::repeating(Work::Steps(body), repeat));
    }

    fn send(&mut self, send: &Send, op: u16) {
        let left = match (send.count, &send.until) {
            (Some(count), _) => Some(count),
            (None, Some(_)) => None,
            (None, None) => Some((send.ids.len() as u64).max(1)),
        };
        match send.every {
            None => self.send_records(op, left.unwrap_or(1)),
            Some(every) => {
                let until = send.until.clone();
                let repeat = Repeat { every: every.0, at: self.now(), left, until };
                self.strands.push(Strand::repeating(Work::SendOne(op), repeat));
            }
        }
    }

    /// The application of a producer sends the next `count` records of a `Send`.
    fn send_records(&mut self, op: u16, count: u64) {
        let code = std::sync::Arc::clone(&self.code);
        let written = &code.ops[usize::from(op)];
        let Step::Send(send) = &written.step else { return };
        let Some(producer) = self.state.producer(&send.from) else { return };
        let Some(topic) = self.state.names().find_topic(&send.to) else { return };
        let partition = send.partition.and_then(|n| self.state.partition(&send.to, n));
        for _ in 0..count {
            let nth = self.sent[usize::from(op)];
            self.sent[usize::from(op)] += 1;
            let message = if send.ids.is_empty() {
                if nth < written.reserved {
                    MessageId((u64::from(written.first.0) + nth) as u32)
                } else {
                    self.free += 1;
                    MessageId((self.free - 1) as u32)
                }
            } else {
                let id = &send.ids[(nth % send.ids.len() as u64) as usize];
                self.state.names().find_message(id).unwrap_or(written.first)
            };
            let key = match (&send.key, send.keys.len() as u64) {
                (Some(key), _) => Some(key),
                (None, 0) => None,
                (None, keys) => Some(&send.keys[(nth % keys) as usize]),
            };
            let key_id = key.map_or(KeyId::NONE, |key| {
                let keys = &self.state.names().keys;
                let at = keys.iter().position(|known| known == key.as_bytes());
                at.map_or(KeyId::NONE, |i| KeyId(i as u32))
            });
            let value = if send.tombstone { 0 } else { send.bytes };
            let bytes = value + key.map_or(0, |k| k.len() as u32) + RECORD_OVERHEAD;
            let millis = |span: Option<Span>| span.map_or(0, |span| span.0.as_millis() as i64);
            let (shift, is_tombstone) = (millis(send.ahead) - millis(send.age), send.tombstone);
            let key = key_id;
            let request =
                SendRequest { message, topic, partition, key, bytes, shift, is_tombstone };
            self.state.sim.apply(&Command::Send { producer, request });
        }
    }

    fn flush(&mut self, n: usize, name: &str) {
        let Some(producer) = self.state.producer(name) else { return };
        if self.state.runs(NodeId::Producer(producer)) {
            self.state.sim.apply(&Command::Flush { producer });
            self.strands[n].wait = Wait::Flush(producer);
        }
    }

    fn close_producer(&mut self, n: usize, name: &str, timeout: Option<Duration>) {
        let Some(producer) = self.state.producer(name) else { return };
        let node = NodeId::Producer(producer);
        if self.state.runs(node) {
            self.state.sim.apply(&Command::CloseProducer { producer, timeout });
            self.strands[n].wait = Wait::Closed(node);
        }
    }

    /// A call of a consumer by hand. False when `step` is none.
    fn call(&mut self, n: usize, step: &Step) -> bool {
        let Some((consumer, call)) = hand_call(&self.state, step) else { return false };
        let node = NodeId::Consumer(consumer);
        if self.state.runs(node) {
            let closes = matches!(
                call,
                HandCall::Consumer(crate::kafka::consumer::ConsumerCall::Close { .. })
            );
            self.state.sim.apply(&Command::Consumer { consumer, call });
            self.strands[n].wait = if closes { Wait::Closed(node) } else { Wait::Call(consumer) };
        }
        true
    }

    /// A call of a transactional producer. False when `step` is none.
    fn transact(&mut self, n: usize, step: &Step) -> bool {
        let Some((producer, call, offsets)) = transaction_call(&self.state, step) else {
            return false;
        };
        if self.state.runs(NodeId::Producer(producer)) {
            self.apply(&Command::Transact { producer, call, offsets });
            let calls = self.state.sim.producer(producer).called();
            self.strands[n].wait = Wait::Transacted { producer, calls };
        }
        true
    }

    fn observe(&mut self, name: &str, probe: &Probe, number: u16) {
        let mut seen = 0;
        let counted = if let Probe::Count(inner) = probe { inner } else { probe };
        if let Probe::Polled(consumer) = counted
            && let Some(n) = self.state.consumer(consumer)
        {
            let now = self.state.notes.consumers[usize::from(n)].polled.len();
            seen = std::mem::replace(&mut self.seen[usize::from(n)], now);
        }
        let fact = observe(&self.state, probe, seen);
        self.observations.push((name.to_owned(), fact));
        self.state.sim.event(EventKind::Observed { observation: number });
    }

    /// Answers every question that was put before `now` and has no answer yet. Questions put at one moment belong
    /// together: the second does not cut the first one's story short.
    pub(super) fn answer_pending(&mut self, now: Time) {
        for i in 0..self.asked.len() {
            if self.asked[i].answer.is_some() || self.asked[i].asked_at >= now {
                continue;
            }
            let question = &self.code.questions[usize::from(self.asked[i].number)];
            let found = match &question.answer {
                Answer::Observed(name) => {
                    let mut facts = self.observations.iter().rev();
                    facts.find(|(n, _)| n == name).map_or(Fact::None, |(_, fact)| fact.clone())
                }
                Answer::Seconds(_) => Fact::None,
                other => answer(&self.state, other),
            };
            self.asked[i].answer = Some(found);
        }
    }

    /// Questions about how long something takes are answered when it has happened.
    pub(super) fn watch_questions(&mut self) {
        for i in 0..self.asked.len() {
            let question = &self.code.questions[usize::from(self.asked[i].number)];
            if let (Answer::Seconds(condition), None) = (&question.answer, &self.asked[i].answer)
                && self.holds(condition)
            {
                let span = self.now().since(self.asked[i].asked_at);
                let seconds = (span.0 + 500_000) / 1_000_000;
                self.asked[i].answer = Some(Fact::Number(seconds as i64));
            }
        }
    }

    /// Heals what a script may have left behind: frozen processes, cuts, rules. The dead stay dead.
    fn quiesce(&mut self, n: usize, op: u16) {
        let names = std::sync::Arc::clone(self.names());
        let controllers = (1..=names.controllers).map(NodeId::Controller);
        let brokers = names.broker_ids().map(NodeId::Broker);
        let producers = (0..names.producers.len()).map(|n| NodeId::Producer(n as u16));
        let consumers = (0..names.consumers.len()).map(|n| NodeId::Consumer(n as u16));
        for node in controllers.chain(brokers).chain(producers).chain(consumers) {
            if self.state.sim.node_state(node) == NodeState::Frozen {
                self.fault(Some(node), FaultKind::Thaw);
            }
        }
        self.state.sim.apply(&Command::HealNetwork);
        self.clear_rules();
        for strand in &mut self.strands {
            if strand.endless() {
                strand.wait = Wait::Done;
            }
        }
        self.strands[n].wait = Wait::Quiesce { op, until: self.now() + PATIENCE };
    }

    fn clear_rules(&mut self) {
        for name in 0..self.code.rules.len() {
            self.state.sim.apply(&Command::RemoveRule { name: name as u16 });
        }
    }

    fn fault(&mut self, node: Option<NodeId>, kind: FaultKind) {
        if let Some(node) = node {
            self.state.sim.apply(&Command::Fault { node, kind });
        }
    }

    /// Faults and the network.
    fn intervene(&mut self, step: &Step) {
        let node = |node: &Node| self.state.node(node);
        match step {
            Step::Kill(who) => self.fault(node(who), FaultKind::Kill),
            Step::PowerLoss(who) => self.fault(node(who), FaultKind::PowerLoss),
            Step::Freeze(who) => self.fault(node(who), FaultKind::Freeze),
            Step::Thaw(who) => self.fault(node(who), FaultKind::Thaw),
            Step::Stop(who) => self.fault(node(who), FaultKind::Stop),
            Step::Start(who) => self.fault(node(who), FaultKind::Start),
            Step::Wipe(who, keep_directory) => {
                if let Some(broker) = self.state.broker(who) {
                    self.apply(&Command::Wipe { broker, keep_directory: *keep_directory });
                }
            }
            Step::CutLog(cut) => {
                let place: Option<(BrokerId, _)> =
                    self.state.broker(&cut.broker).zip(self.state.at(&cut.partition));
                let cut =
                    (cut.records.map(LogCut::Records)).or(cut.to.map(|to| LogCut::To(Offset(to))));
                if let (Some((broker, partition)), Some(cut)) = (place, cut) {
                    self.apply(&Command::CutLog { broker, partition, cut });
                }
            }
            Step::DeleteRecords(at, before) => {
                if let Some(partition) = self.state.at(at) {
                    self.apply(&Command::DeleteRecords { partition, before: Offset(*before) });
                }
            }
            Step::AbortHangingTransaction(hanging) => {
                if let Some(partition) = self.state.at(&hanging.partition) {
                    let start = hanging.start_offset.map(Offset);
                    self.apply(&Command::AbortTransaction { partition, start });
                }
            }
            Step::DeleteLog(who, at) => {
                if let Some((broker, partition)) = self.state.broker(who).zip(self.state.at(at)) {
                    self.apply(&Command::DeleteLog { broker, partition });
                }
            }
            Step::CutOff(left, right) => {
                // A process is cut off with all of its clients.
                let twin = |node: NodeId| [Some(node), self.state.sim.spec().client_of(node)];
                let nodes =
                    |side: &[Node]| side.iter().filter_map(node).flat_map(twin).flatten().collect();
                let (left, right) = (nodes(left), nodes(right));
                self.apply(&Command::CutOff { left, right });
            }
            Step::Heal => self.apply(&Command::HealNetwork),
            Step::On(rule) => self.on(rule),
            Step::Release(name) => {
                if let Some(name) = self.code.rule(name) {
                    self.apply(&Command::Release { name });
                }
            }
            Step::Clear(name) => {
                if let Some(name) = self.code.rule(name) {
                    self.apply(&Command::RemoveRule { name });
                }
            }
            Step::ClearRules => self.clear_rules(),
            _ => {}
        }
    }

    fn apply(&mut self, command: &Command) {
        self.state.sim.apply(command);
    }

    fn on(&mut self, rule: &Rule) {
        let Some(name) = self.code.rule(&rule.name) else { return };
        let action = match &rule.action {
            Action::Hold => WireAction::Hold,
            Action::Drop => WireAction::Drop,
            Action::Delay(span) => WireAction::Delay(span.0),
            Action::Duplicate => WireAction::Duplicate,
            Action::Close => WireAction::Close,
            Action::Error(code) => {
                WireAction::Error(ErrorCode::parse(code).unwrap_or(ErrorCode::UnknownServerError))
            }
        };
        let rule = WireRule {
            api: rule
                .api
                .as_ref()
                .and_then(|name| Api::ALL.iter().copied().find(|api| api.name() == name)),
            response: rule.side.map(|side| side == Side::Response),
            from: rule.from.as_ref().and_then(|node| self.state.node(node)),
            to: rule.to.as_ref().and_then(|node| self.state.node(node)),
            partition: rule.partition.as_ref().and_then(|at| self.state.at(at)),
            message: rule.contains.as_ref().and_then(|id| self.state.names().find_message(id)),
            skip: rule.skip,
            times: rule.times.unwrap_or(u32::MAX),
            action,
        };
        self.apply(&Command::AddRule { name, rule });
    }

    /// True when the run is over.
    pub fn is_over(&self) -> bool {
        *self.outcome() != Outcome::Running
    }
}
