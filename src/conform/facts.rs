//! The facts of a run, in the shape in which a recording of Kafka has them, and their comparison.
//!
//! What a recording does not decide is not compared: the order in which different partitions are drained, the order of
//! lists that are sets, keys of a snapshot that the file leaves out. `docs/conform.md` states the rule of each fact.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::base::batch::{BatchKind, BatchTable, TransactionState};
use crate::base::ids::{EventSeq, MessageId, NodeId, Offset, PartitionId};
use crate::base::names::Names;
use crate::base::shared_log::SharedLog;
use crate::conform::failures::Failures;
use crate::conform::rows::{comparable_rows, log_row};
use crate::conform::{Difference, Outcome};
use crate::event::{Event, EventKind};
use crate::view::cluster::ClusterView;
use crate::view::stability::Stability;

/// Every key that an entry of `allowed` may have.
#[rustfmt::skip]
pub const KEYS: [&str; 14] = [
    "acked", "failed", "failed_classes", "logs", "snapshots", "calls", "observed", "sizes", "committed", "processed",
    "assignments", "lost", "duplicated", "reordered",
];

/// A finished run, as far as facts are concerned.
pub struct Facts<'a> {
    names: &'a Names,
    batches: &'a BatchTable,
    view: ClusterView,
    /// What `Observe` recorded, by name.
    observed: BTreeMap<String, Value>,
    /// Message, partition and offset of each acknowledgement.
    acked: Vec<(MessageId, PartitionId, Offset)>,
    failed: Failures,
    /// Acknowledged in a transaction that did not commit, by now: whose. Nobody was promised them.
    unpromised: BTreeMap<MessageId, i64>,
    /// What each consumer's application finished, in order.
    processed: Vec<(u16, MessageId)>,
    /// Every message once, in the order of the first `send()`.
    sent: Vec<(u16, MessageId)>,
}

/// What a fact of the case and of the run look like when only what counts is left.
struct Pair {
    expected: Value,
    got: Value,
    /// Keys of maps that only the run has do not count.
    partial: bool,
}

impl<'a> Facts<'a> {
    /// Folds a run.
    pub fn of(
        names: &'a Arc<Names>,
        events: &SharedLog<Event>,
        batches: &'a BatchTable,
        observed: BTreeMap<String, Value>,
    ) -> Self {
        let mut facts = Self {
            names,
            batches,
            view: ClusterView::new(Arc::clone(names)),
            observed,
            acked: Vec::new(),
            failed: Failures::default(),
            unpromised: BTreeMap::new(),
            processed: Vec::new(),
            sent: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for (seq, event) in events.iter().enumerate() {
            facts.view.apply(EventSeq(seq as u32), event, batches);
            facts.collect(event, &mut seen);
        }
        facts
    }

    fn collect(&mut self, event: &Event, seen: &mut BTreeSet<MessageId>) {
        match (event.kind, event.node) {
            (EventKind::Sent { message, .. }, NodeId::Producer(n)) => {
                self.failed.sent(message);
                if seen.insert(message) {
                    self.sent.push((n, message));
                }
            }
            (EventKind::Acknowledged { batch, partition, base_offset }, _) => {
                for (n, message) in (0..).zip(self.batches.messages(batch)) {
                    let known = base_offset != Offset::NONE;
                    let offset = if known { base_offset + n } else { base_offset };
                    self.acked.push((message, partition, offset));
                    if let (BatchKind::Transactional, Some(producer)) =
                        (self.batches[batch].kind, self.batches[batch].producer)
                    {
                        self.unpromised.insert(message, producer.id);
                    }
                }
            }
            (EventKind::TransactionChanged { state, producer_id, .. }, _) => match state {
                TransactionState::PrepareCommit => {
                    self.unpromised.retain(|_, owner| *owner != producer_id);
                }
                TransactionState::PrepareAbort => {
                    // The next transaction of this producer promises nothing of these.
                    let own = self.unpromised.values_mut().filter(|owner| **owner == producer_id);
                    own.for_each(|owner| *owner = -1);
                }
                _ => {}
            },
            (EventKind::BatchFailed { batch, exception, .. }, _) => {
                for message in self.batches.messages(batch) {
                    self.failed.batch_failed(message, exception.name());
                }
            }
            (EventKind::SendFailed { message, exception }, _) => {
                self.failed.send_failed(message, exception.name());
            }
            (EventKind::Processed { batch, first, count, .. }, NodeId::Consumer(n)) => {
                let done = self.batches.messages(batch).skip(first.into()).take(count.into());
                self.processed.extend(done.map(|message| (n, message)));
            }
            _ => {}
        }
    }

    /// Compares everything that `entry`, one of a case's `allowed`, states: the number of facts compared, or the first
    /// that differs.
    pub fn compare(&self, entry: &Map<String, Value>) -> Result<u64, Outcome> {
        let mut compared = 0;
        for (key, expected) in entry {
            let pair = match key.as_str() {
                "acked" => self.acked(expected),
                "failed" => self.failed(expected),
                "failed_classes" => self.failed_classes(expected),
                "logs" => self.logs(expected),
                "snapshots" | "observed" | "calls" => self.observations(key, expected),
                "sizes" => self.sizes(expected),
                "committed" => Ok(self.committed(expected)),
                "processed" => self.processed(expected),
                "assignments" => self.assignments(expected),
                "lost" => {
                    let judged = entry.contains_key("processed") || !self.processed.is_empty();
                    self.lost(expected, judged)
                }
                "duplicated" => self.duplicated(expected),
                "reordered" => Ok(Pair::of(expected.clone(), self.reordered())),
                _ => Err(Outcome::NotModelled(format!("the fact {key}"))),
            }?;
            let mut walk = Walk { partial: pair.partial, compared: 0 };
            walk.walk(key, &pair.expected, &pair.got)?;
            compared += walk.compared;
        }
        Ok(compared)
    }

    /// `[[id, partition, offset]]`, compared as the acknowledgements of each id.
    fn acked(&self, expected: &Value) -> Result<Pair, Outcome> {
        let rows = rows(expected, 3, "acked: [id, partition, offset]")?;
        let by_name = rows.first().is_some_and(|row| row[1].is_string());
        let got = self.acked.iter().map(|(message, partition, offset)| {
            let name = || json!(self.names.partition(*partition));
            let index = || json!(self.names.partitions[partition.index()].index);
            let partition = if by_name { name() } else { index() };
            (self.names.message(*message), json!([partition, offset.0]))
        });
        let expected = rows.iter().map(|row| (text(&row[0]), json!([row[1], row[2]])));
        Ok(Pair::of(by_id(expected), by_id(got)))
    }

    /// `{id: exception}` or `[[id, exception]]`.
    fn failed(&self, expected: &Value) -> Result<Pair, Outcome> {
        let expected = match expected {
            Value::Object(_) => expected.clone(),
            list => {
                let rows = rows(list, 2, "failed: {id: exception} or [[id, exception]]")?;
                by_id(rows.iter().map(|row| (text(&row[0]), row[1].clone())))
            }
        };
        let got = by_id(self.failed.as_expected(self.names, &expected));
        Ok(Pair::of(expected, got))
    }

    /// Which exceptions there were, of whichever messages.
    fn failed_classes(&self, expected: &Value) -> Result<Pair, Outcome> {
        let got = self.failed.classes();
        let expected = list(expected, "failed_classes: [exception]")?;
        Ok(Pair::of(json!(expected.iter().map(text).collect::<BTreeSet<_>>()), json!(got)))
    }

    /// `{"t-0": {"b1": [[offset, id, leader epoch]]}}` of the replicas that the case names; or rows of seven columns as
    /// recordings have them, with producer, producer epoch, sequence and whether it is a control record.
    fn logs(&self, expected: &Value) -> Result<Pair, Outcome> {
        let mut logs = Map::new();
        for (partition, replicas) in map(expected, "logs: {partition: {broker: [...]}}")? {
            let id = self.partition(partition)?;
            let mut of_partition = Map::new();
            for broker in map(replicas, "logs: {partition: {broker: [...]}}")?.keys() {
                let replicas = &self.view.partition(id).replicas;
                let replica = replicas.iter().find(|r| r.broker.to_string() == *broker);
                let replica = replica.ok_or_else(|| {
                    Outcome::Unreadable(format!("logs: {partition} has no replica {broker:?}"))
                })?;
                let records = replica.records_on_disk(self.batches);
                let rows: Vec<Value> = records.map(|record| log_row(self.names, &record)).collect();
                of_partition.insert(broker.clone(), Value::Array(rows));
            }
            logs.insert(partition.clone(), Value::Object(of_partition));
        }
        let (mut expected, mut got) = (expected.clone(), Value::Object(logs));
        comparable_rows(&mut expected, &mut got);
        Ok(Pair::of(expected, got))
    }

    /// The observations that the case names. A call that threw nothing is `"ok"`.
    fn observations(&self, key: &str, expected: &Value) -> Result<Pair, Outcome> {
        let mut got = Map::new();
        for name in map(expected, "a map by the names of observations")?.keys() {
            let fact = self
                .observed
                .get(name)
                .ok_or_else(|| Outcome::NotModelled(format!("{key}: no step observed {name:?}")))?;
            let ok = key == "calls" && fact.is_null();
            got.insert(name.clone(), if ok { json!("ok") } else { fact.clone() });
        }
        let partial = key == "snapshots";
        let mut expected = expected.clone();
        if partial {
            let partitions = expected.as_object_mut().into_iter().flat_map(Map::values_mut);
            for partition in partitions.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
                // Kafka's clients and tools write -1 for no leader.
                if partition.get("leader") == Some(&json!(-1)) {
                    partition["leader"] = Value::Null;
                }
            }
        }
        let mut got = Value::Object(got);
        comparable_rows(&mut expected, &mut got);
        Ok(Pair { expected, got, partial })
    }

    /// What was observed, with the number of partitions in place of each list of them. Of a group the numbers of all
    /// members, the largest first, whoever they are.
    fn sizes(&self, expected: &Value) -> Result<Pair, Outcome> {
        let mut pair = self.observations("sizes", expected)?;
        for fact in pair.got.as_object_mut().into_iter().flat_map(Map::values_mut) {
            *fact = match &*fact {
                Value::Object(members) => {
                    let mut sizes: Vec<u64> = members.values().map(size).collect();
                    sizes.sort_unstable_by(|a, b| b.cmp(a));
                    json!(sizes)
                }
                Value::Array(callbacks) if callbacks.iter().all(Value::is_array) => {
                    let sized = |row: &Value| json!([row[0], size(&row[1])]);
                    callbacks.iter().map(sized).collect()
                }
                list => json!(size(list)),
            };
        }
        Ok(pair)
    }

    /// `{group: {"t-0": offset}}`; -1, null and a missing key are all "none".
    fn committed(&self, expected: &Value) -> Pair {
        let mut expected = expected.clone();
        for offsets in expected.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if let Some(offsets) = offsets.as_object_mut() {
                offsets.retain(|_, offset| !offset.is_null() && *offset != json!(-1));
            }
        }
        if let Some(groups) = expected.as_object_mut() {
            groups.retain(|_, offsets| *offsets != json!({}));
        }
        let groups = self.names.groups.iter().zip(&self.view.groups);
        let groups =
            groups.filter(|(_, group)| !group.committed.is_empty()).map(|(name, group)| {
                let offsets = group.committed.iter();
                let offsets =
                    offsets.map(|c| (self.names.partition(c.partition), json!(c.offset.0)));
                (name.clone(), Value::Object(offsets.collect()))
            });
        Pair::of(expected, Value::Object(groups.collect()))
    }

    /// `{consumer: [ids]}` in order of finishing within a partition; a consumer that finished nothing is left out.
    fn processed(&self, expected: &Value) -> Result<Pair, Outcome> {
        let mut got: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (consumer, message) in &self.processed {
            let consumer = self.names.node(NodeId::Consumer(*consumer));
            got.entry(consumer).or_default().push(self.names.message(*message));
        }
        let mut wanted = BTreeMap::new();
        for (consumer, ids) in map(expected, "processed: {consumer: [ids]}")? {
            let ids: Vec<String> =
                list(ids, "processed: {consumer: [ids]}")?.iter().map(text).collect();
            if !ids.is_empty() {
                wanted.insert(consumer.clone(), ids);
            }
        }
        // Partitions are drained in any order: a stable sort by partition leaves the order within each.
        for ids in got.values_mut().chain(wanted.values_mut()) {
            ids.sort_by_key(|id| {
                self.names.find_message(id).and_then(|m| self.view.message(m).partition)
            });
        }
        Ok(Pair::of(json!(wanted), json!(got)))
    }

    /// `{consumer: [partitions]}` at the end, of the consumers that the case names.
    fn assignments(&self, expected: &Value) -> Result<Pair, Outcome> {
        let mut wanted = BTreeMap::new();
        let mut got = BTreeMap::new();
        for (consumer, partitions) in map(expected, "assignments: {consumer: [partitions]}")? {
            let known = self.names.consumers.iter().position(|c| c.name == *consumer);
            let number = known.ok_or_else(|| {
                Outcome::Unreadable(format!("assignments: there is no consumer {consumer:?}"))
            })?;
            let owned = self.view.consumers[number].partitions.iter().filter(|p| p.assigned);
            let owned: BTreeSet<_> = owned.map(|p| self.names.partition(p.partition)).collect();
            got.insert(consumer, owned);
            let partitions = list(partitions, "assignments: {consumer: [partitions]}")?;
            wanted.insert(consumer, partitions.iter().map(text).collect::<BTreeSet<_>>());
        }
        Ok(Pair::of(json!(wanted), json!(got)))
    }

    /// Ids. Where `by_applications`: sent and finished by nobody. Else: acknowledged and not readable.
    fn lost(&self, expected: &Value, by_applications: bool) -> Result<Pair, Outcome> {
        let kept: BTreeSet<MessageId> = if by_applications {
            self.processed.iter().map(|(_, message)| *message).collect()
        } else {
            let readable = self.readable().flat_map(|(_, messages)| messages);
            readable.chain(self.deleted()).collect()
        };
        let promised = |message: &MessageId| !self.unpromised.contains_key(message);
        let acked: BTreeSet<MessageId> =
            self.acked.iter().map(|(message, ..)| *message).filter(promised).collect();
        let sent = self.sent.iter().map(|(_, message)| *message);
        let claimed = sent.filter(|message| by_applications || acked.contains(message));
        let lost: BTreeSet<_> = claimed.filter(|message| !kept.contains(message)).collect();
        let lost: BTreeSet<_> =
            lost.into_iter().map(|message| self.names.message(message)).collect();
        if let Some(range) = expected.as_str() {
            return many(range, lost.len());
        }
        let expected = list(expected, "lost: [ids] or a range like \"1..\"")?;
        Ok(Pair::of(json!(expected.iter().map(text).collect::<BTreeSet<_>>()), json!(lost)))
    }

    /// A list: ids that are in the readable log more than once, `"m2"` or `"m2 x2"`. A map: who finished an id, of all
    /// that were finished more than once.
    fn duplicated(&self, expected: &Value) -> Result<Pair, Outcome> {
        if let Value::Object(_) = expected {
            let mut by: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (consumer, message) in &self.processed {
                let who = self.names.node(NodeId::Consumer(*consumer));
                by.entry(self.names.message(*message)).or_default().push(who);
            }
            by.retain(|_, who| who.len() > 1);
            for who in by.values_mut() {
                who.sort();
            }
            let mut expected = expected.clone();
            for who in expected.as_object_mut().into_iter().flat_map(Map::values_mut) {
                if let Some(who) = who.as_array_mut() {
                    who.sort_by_key(text);
                }
            }
            return Ok(Pair::of(expected, json!(by)));
        }
        if let Some(range) = expected.as_str() {
            let mut times: BTreeMap<MessageId, u32> = BTreeMap::new();
            for (_, message) in &self.processed {
                *times.entry(*message).or_default() += 1;
            }
            return many(range, times.values().filter(|times| **times > 1).count());
        }
        let expected: BTreeSet<String> =
            list(expected, "duplicated: [ids] or {id: [consumers]}")?.iter().map(text).collect();
        let counted = expected.iter().any(|id| id.contains(" x"));
        let mut copies: BTreeMap<MessageId, u32> = BTreeMap::new();
        for partition in &self.view.partitions {
            let Some(leader) = partition.leader_replica() else { continue };
            let stability = Stability::of(leader, self.batches);
            let readable = |at: Offset| at < leader.high_watermark && stability.is_stable(at);
            for (_, message) in leader.messages(self.batches).filter(|(at, _)| readable(*at)) {
                *copies.entry(message).or_default() += 1;
            }
        }
        let got: BTreeSet<String> = copies
            .iter()
            .filter(|(_, copies)| **copies > 1)
            .map(|(message, copies)| {
                let id = self.names.message(*message);
                if counted { format!("{id} x{copies}") } else { id }
            })
            .collect();
        Ok(Pair::of(json!(expected), json!(got)))
    }

    /// `[[a, b]]`: one producer sent `a` before `b` and the first copy of `b` is read first.
    fn reordered(&self) -> Value {
        let sent: BTreeMap<MessageId, (u16, usize)> =
            self.sent.iter().enumerate().map(|(at, (n, message))| (*message, (*n, at))).collect();
        let mut pairs = Vec::new();
        for (_, messages) in self.readable() {
            let mut seen = BTreeSet::new();
            let first = messages.into_iter().filter(|message| seen.insert(*message));
            let first: Vec<_> =
                first.filter_map(|message| Some((message, *sent.get(&message)?))).collect();
            for (at, (b, sent_b)) in first.iter().enumerate() {
                for (a, sent_a) in &first[at + 1..] {
                    if sent_a.0 == sent_b.0 && sent_a.1 < sent_b.1 {
                        pairs.push(json!([self.names.message(*a), self.names.message(*b)]));
                    }
                }
            }
        }
        Value::Array(pairs)
    }

    /// What a fresh reader finds: every partition's messages below its leader's high watermark.
    fn readable(&self) -> impl Iterator<Item = (PartitionId, Vec<MessageId>)> + '_ {
        self.view.partitions.iter().enumerate().map(|(id, partition)| {
            let messages = partition.leader_replica().into_iter().flat_map(|leader| {
                let below = leader.high_watermark;
                leader.messages(self.batches).filter(move |(offset, _)| *offset < below)
            });
            (PartitionId(id as u16), messages.map(|(_, message)| message).collect())
        })
    }

    /// Acknowledged messages below the log start: somebody deleted them, nothing lost them.
    fn deleted(&self) -> impl Iterator<Item = MessageId> + '_ {
        let removed = |id: &MessageId| self.view.message(*id).removed.is_some();
        self.acked.iter().filter_map(move |(message, partition, offset)| {
            if removed(message) {
                return Some(*message);
            }
            let leader = self.view.partition(*partition).leader_replica()?;
            let deleted = (Offset(0)..leader.log_start).contains(offset);
            deleted.then_some(*message)
        })
    }

    fn partition(&self, name: &str) -> Result<PartitionId, Outcome> {
        let found = name
            .rsplit_once('-')
            .and_then(|(topic, index)| self.names.find_partition(topic, index.parse().ok()?));
        found.ok_or_else(|| Outcome::Unreadable(format!("there is no partition {name:?}")))
    }
}

impl Pair {
    fn of(expected: Value, got: Value) -> Self {
        let mut pair = Self { expected, got, partial: false };
        // A list of pairs is a set of them.
        if let (Some(expected), Some(got)) = (pair.expected.as_array_mut(), pair.got.as_array_mut())
        {
            expected.sort_by_key(Value::to_string);
            got.sort_by_key(Value::to_string);
        }
        pair
    }
}

fn size(list: &Value) -> u64 {
    list.as_array().map_or(0, |list| list.len() as u64)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A range, `"1.."` or `"1..10"`, that `count` lies in; else the count is what differs.
fn many(range: &str, count: usize) -> Result<Pair, Outcome> {
    let bounds = range.split_once("..").and_then(|(low, high)| {
        let high = if high.is_empty() { usize::MAX } else { high.parse().ok()? };
        Some(low.parse().ok()?..=high)
    });
    let bounds = bounds.ok_or_else(|| Outcome::Unreadable(format!("{range:?} is no range")))?;
    let got = if bounds.contains(&count) { json!(range) } else { json!(count) };
    Ok(Pair::of(json!(range), got))
}

fn list<'v>(value: &'v Value, shape: &str) -> Result<&'v Vec<Value>, Outcome> {
    value.as_array().ok_or_else(|| Outcome::Unreadable(format!("not of the shape {shape}")))
}

fn map<'v>(value: &'v Value, shape: &str) -> Result<&'v Map<String, Value>, Outcome> {
    value.as_object().ok_or_else(|| Outcome::Unreadable(format!("not of the shape {shape}")))
}

fn rows<'v>(value: &'v Value, columns: usize, shape: &str) -> Result<Vec<&'v Vec<Value>>, Outcome> {
    let rows = list(value, shape)?.iter().map(|row| list(row, shape));
    let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    if rows.iter().any(|row| row.len() != columns) {
        return Err(Outcome::Unreadable(format!("not of the shape {shape}")));
    }
    Ok(rows)
}

/// Values by id; an id with several has a sorted list of them.
fn by_id(entries: impl Iterator<Item = (String, Value)>) -> Value {
    let mut by_id: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (id, value) in entries {
        by_id.entry(id).or_default().push(value);
    }
    let collapsed = by_id.into_iter().map(|(id, mut values)| {
        values.sort_by_key(Value::to_string);
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        (id, value)
    });
    Value::Object(collapsed.collect())
}

/// Walks two values side by side to the first difference.
struct Walk {
    /// Keys of a map that only the run has do not count.
    partial: bool,
    /// Facts that were the same so far.
    compared: u64,
}

impl Walk {
    fn walk(&mut self, path: &str, expected: &Value, got: &Value) -> Result<(), Outcome> {
        match (expected, got) {
            (Value::Object(expected), Value::Object(got)) => self.maps(path, expected, got),
            (Value::Array(wanted), Value::Array(found)) if wanted.iter().any(is_nested) => {
                for (at, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                    self.walk(&format!("{path}[{at}]"), wanted, found)?;
                }
                if wanted.len() != found.len() {
                    return differs(path, expected, got);
                }
                Ok(())
            }
            // A row or a list of names is one fact: its neighbours explain a difference.
            _ if expected == got => {
                self.compared += 1;
                Ok(())
            }
            _ => differs(path, expected, got),
        }
    }

    fn maps(
        &mut self,
        path: &str,
        expected: &Map<String, Value>,
        got: &Map<String, Value>,
    ) -> Result<(), Outcome> {
        for (key, value) in expected {
            let path = format!("{path}.{key}");
            match got.get(key) {
                Some(got) => self.walk(&path, value, got)?,
                None => return differs(&path, value, &"nothing"),
            }
        }
        let extra = got.iter().find(|(key, _)| !self.partial && !expected.contains_key(*key));
        if let Some((key, value)) = extra {
            return differs(&format!("{path}.{key}"), &"nothing", value);
        }
        // That there is nothing is a fact as well.
        self.compared += u64::from(expected.is_empty());
        Ok(())
    }
}

fn is_nested(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

fn differs(path: &str, expected: &impl ToString, got: &impl ToString) -> Result<(), Outcome> {
    let (expected, got) = (expected.to_string(), got.to_string());
    Err(Outcome::Differs(Difference { path: path.to_owned(), expected, got }))
}
