//! `run --format jsonl`: the trace, one object a line. Times are whole microseconds; ids are spelt as people read
//! them; a key that an event kind has is always there. The first keys are `seq`, `at`, `cause` (null for a first
//! cause), `node`, `kind`.

mod share;

use serde_json::{Map, Value, json};

use crate::base::batch::BatchTable;
use crate::base::broker_set::BrokerSet;
use crate::base::error::Exception;
use crate::base::ids::{BatchHandle, BrokerId, EventSeq, GroupId, MemberId, NodeId, PartitionId};
use crate::base::names::Names;
use crate::event::{Event, EventKind, TopicSetting};
use crate::view::words::slice_messages;

/// The line of one event, without a line break.
pub fn line(names: &Names, batches: &BatchTable, seq: EventSeq, event: &Event) -> String {
    let writer = Writer { names, batches };
    let (kind, fields) = writer.kind(&event.kind);
    let cause = (event.cause != EventSeq::NONE).then_some(event.cause.0);
    // Written by hand so that the common keys come first.
    let node = Value::from(names.node(event.node));
    let mut line = format!("{{\"seq\":{},\"at\":{},\"cause\":{}", seq.0, event.at.0, json!(cause));
    line += &format_fields([("node", node), ("kind", kind.into())]);
    line += &format_fields(fields);
    line + "}"
}

fn format_fields(fields: impl IntoIterator<Item = (&'static str, Value)>) -> String {
    fields
        .into_iter()
        .fold(String::new(), |line, (key, value)| line + &format!(",\"{key}\":{value}"))
}

type Fields = Vec<(&'static str, Value)>;

struct Writer<'a> {
    names: &'a Names,
    batches: &'a BatchTable,
}

impl Writer<'_> {
    fn kind(&self, kind: &EventKind) -> (&'static str, Fields) {
        let found =
            self.producer(kind).or_else(|| self.broker(kind)).or_else(|| self.storage(kind));
        let found = found.or_else(|| self.administered(kind)).or_else(|| self.transaction(kind));
        let found = found.or_else(|| self.consumer(kind)).or_else(|| self.group(kind));
        let found = found.or_else(|| self.share(kind));
        found.unwrap_or_else(|| self.script(kind))
    }

    fn partition(&self, id: PartitionId) -> (&'static str, Value) {
        ("partition", self.names.partition(id).into())
    }

    fn group_name(&self, id: GroupId) -> (&'static str, Value) {
        ("group", self.names.group(id).into())
    }

    fn member(&self, id: MemberId) -> (&'static str, Value) {
        let node = self.names.consumer_of(id).map(|node| self.names.node(node));
        ("member", node.map_or(Value::Null, Value::from))
    }

    fn messages(&self, batch: BatchHandle) -> (&'static str, Value) {
        let count = match batch {
            BatchHandle::NONE => return ("messages", json!([])),
            batch => self.batches[batch].count as u16,
        };
        self.slice(batch, 0, count)
    }

    fn slice(&self, batch: BatchHandle, first: u16, count: u16) -> (&'static str, Value) {
        let ids = slice_messages(self.batches, batch, first, count);
        ("messages", ids.map(|id| Value::from(self.names.message(id))).collect())
    }

    fn producer(&self, kind: &EventKind) -> Option<(&'static str, Fields)> {
        Some(match *kind {
            EventKind::Sent { message, partition } => {
                let partition = partition.map(|p| self.names.partition(p));
                let message = self.names.message(message);
                ("Sent", vec![("message", message.into()), ("partition", json!(partition))])
            }
            EventKind::BatchReady { batch, partition } => {
                ("BatchReady", vec![self.partition(partition), self.messages(batch)])
            }
            EventKind::ProducerIdAssigned { producer_id, epoch } => (
                "ProducerIdAssigned",
                vec![("producer_id", producer_id.into()), ("epoch", epoch.0.into())],
            ),
            EventKind::Acknowledged { batch, partition, base_offset } => {
                let mut fields = vec![self.partition(partition), self.messages(batch)];
                fields.push(("base_offset", base_offset.0.into()));
                ("Acknowledged", fields)
            }
            EventKind::BatchFailed { batch, partition, exception } => {
                let mut fields = vec![self.partition(partition), self.messages(batch)];
                fields.push(("exception", exception.name().into()));
                ("BatchFailed", fields)
            }
            EventKind::SendFailed { message, exception } => {
                let message = self.names.message(message).into();
                ("SendFailed", vec![("message", message), ("exception", exception.name().into())])
            }
            EventKind::Retry { batch, partition, error, replaces } => {
                let mut fields = vec![self.partition(partition), self.messages(batch)];
                fields.push(("error", error.name().into()));
                fields.push(("rewritten", (replaces != batch).into()));
                ("Retry", fields)
            }
            _ => return None,
        })
    }

    fn transaction(&self, kind: &EventKind) -> Option<(&'static str, Fields)> {
        let id = |id| ("transactional_id", Value::from(self.names.transactional_id(id)));
        Some(match *kind {
            EventKind::TransactionCalled { call, exception } => {
                let exception = json!(exception.map(Exception::name));
                let call = call.name().into();
                ("TransactionCalled", vec![("call", call), ("exception", exception)])
            }
            EventKind::LastStableOffset { partition, offset } => {
                let fields = vec![self.partition(partition), ("offset", offset.0.into())];
                ("LastStableOffset", fields)
            }
            EventKind::TransactionChanged { id: of, state, producer_id, epoch } => {
                let mut fields = vec![id(of), ("state", state.name().into())];
                fields.push(("producer_id", producer_id.into()));
                fields.push(("epoch", epoch.0.into()));
                ("TransactionChanged", fields)
            }
            EventKind::TransactionPartition { id: of, partition } => {
                ("TransactionPartition", vec![id(of), self.partition(partition)])
            }
            EventKind::TransactionLoaded { id: of } => ("TransactionLoaded", vec![id(of)]),
            EventKind::OffsetPending { group, partition, offset, producer_id } => {
                let mut fields = vec![self.group_name(group), self.partition(partition)];
                fields.push(("offset", offset.0.into()));
                fields.push(("producer_id", producer_id.into()));
                ("OffsetPending", fields)
            }
            EventKind::PendingDropped { group, producer_id } => {
                let fields = vec![self.group_name(group), ("producer_id", producer_id.into())];
                ("PendingDropped", fields)
            }
            _ => return None,
        })
    }

    /// What brokers do with segments.
    fn storage(&self, kind: &EventKind) -> Option<(&'static str, Fields)> {
        let at =
            |partition, key, offset: i64| vec![self.partition(partition), (key, offset.into())];
        Some(match *kind {
            EventKind::SegmentRolled { partition, base_offset } => {
                ("SegmentRolled", at(partition, "base_offset", base_offset.0))
            }
            EventKind::SegmentDeleted { partition, base_offset, end } => {
                let mut fields = at(partition, "base_offset", base_offset.0);
                fields.push(("end", end.0.into()));
                ("SegmentDeleted", fields)
            }
            EventKind::BatchCompacted { partition, base_offset, batch } => {
                let mut fields = at(partition, "base_offset", base_offset.0);
                fields.extend(batch.map(|batch| self.messages(batch)));
                ("BatchCompacted", fields)
            }
            EventKind::SegmentMerged { partition, base_offset } => {
                ("SegmentMerged", at(partition, "base_offset", base_offset.0))
            }
            EventKind::LogCleaned { partition, to } => ("LogCleaned", at(partition, "to", to.0)),
            _ => return None,
        })
    }

    fn broker(&self, kind: &EventKind) -> Option<(&'static str, Fields)> {
        let at =
            |partition, key, offset: i64| vec![self.partition(partition), (key, offset.into())];
        Some(match *kind {
            EventKind::Appended { partition, batch, base_offset, leader_epoch } => {
                let mut fields = vec![self.partition(partition), self.messages(batch)];
                fields.push(("base_offset", base_offset.0.into()));
                fields.push(("leader_epoch", leader_epoch.0.into()));
                ("Appended", fields)
            }
            EventKind::Deduplicated { partition, batch, base_offset } => {
                let mut fields = vec![self.partition(partition), self.messages(batch)];
                fields.push(("base_offset", base_offset.0.into()));
                ("Deduplicated", fields)
            }
            EventKind::AppendRefused { partition, batch, error } => {
                let mut fields = vec![self.partition(partition), self.messages(batch)];
                fields.push(("error", error.name().into()));
                ("AppendRefused", fields)
            }
            EventKind::HighWatermark { partition, offset } => {
                ("HighWatermark", at(partition, "offset", offset.0))
            }
            EventKind::LogStart { partition, offset } => {
                ("LogStart", at(partition, "offset", offset.0))
            }
            EventKind::Truncated { partition, to, epoch } => {
                let mut fields = at(partition, "to", to.0);
                fields.push(("epoch", epoch.0.into()));
                ("Truncated", fields)
            }
            EventKind::Flushed { partition, offset } => {
                ("Flushed", at(partition, "offset", offset.0))
            }
            EventKind::BecameLeader { partition, leader_epoch, end } => {
                let mut fields = at(partition, "end", end.0);
                fields.push(("leader_epoch", leader_epoch.0.into()));
                ("BecameLeader", fields)
            }
            EventKind::BecameFollower { partition, leader, leader_epoch } => {
                let mut fields = vec![self.partition(partition), ("leader", broker(leader))];
                fields.push(("leader_epoch", leader_epoch.0.into()));
                ("BecameFollower", fields)
            }
            EventKind::IsrKnown { partition, isr } => {
                ("IsrKnown", vec![self.partition(partition), ("isr", brokers(isr))])
            }
            EventKind::IsrProposed { partition, isr } => {
                ("IsrProposed", vec![self.partition(partition), ("isr", brokers(isr))])
            }
            EventKind::BrokerRegistered { broker, epoch } => {
                let broker = ("broker", broker.0.into());
                ("BrokerRegistered", vec![broker, ("broker_epoch", epoch.into())])
            }
            EventKind::BrokerUnfenced { broker } => {
                ("BrokerUnfenced", vec![("broker", broker.0.into())])
            }
            EventKind::BrokerFenced { broker } => {
                ("BrokerFenced", vec![("broker", broker.0.into())])
            }
            EventKind::PartitionChanged { partition, leader, leader_epoch, isr, elr } => {
                let mut fields = vec![self.partition(partition), ("leader", broker(leader))];
                fields.push(("leader_epoch", leader_epoch.0.into()));
                fields.extend([("isr", brokers(isr)), ("elr", brokers(elr))]);
                ("PartitionChanged", fields)
            }
            _ => return quorum(kind),
        })
    }

    /// What an administrator brings about.
    fn administered(&self, kind: &EventKind) -> Option<(&'static str, Fields)> {
        Some(match *kind {
            EventKind::ReplicaDeleted { partition } => {
                ("ReplicaDeleted", vec![self.partition(partition)])
            }
            EventKind::ReplicasChanged { partition, replicas, in_progress } => {
                let replicas: Vec<u8> = replicas.as_slice().iter().map(|b| b.0).collect();
                let fields = vec![self.partition(partition), ("replicas", json!(replicas))];
                let progress = ("in_progress", in_progress.into());
                ("ReplicasChanged", fields.into_iter().chain([progress]).collect())
            }
            EventKind::TopicConfigured { topic, setting } => {
                let (name, value) = match setting {
                    TopicSetting::MinInsyncReplicas(n) => (json!("min.insync.replicas"), json!(n)),
                    TopicSetting::UncleanLeaderElection(on) => {
                        (json!("unclean.leader.election.enable"), json!(on))
                    }
                    TopicSetting::Other => (Value::Null, Value::Null),
                };
                let topic = self.names.topics[topic.index()].name.as_str().into();
                ("TopicConfigured", vec![("topic", topic), ("setting", name), ("value", value)])
            }
            _ => return None,
        })
    }

    fn consumer(&self, kind: &EventKind) -> Option<(&'static str, Fields)> {
        let records = |name, partition, batch, base: i64, (first, count): (u16, u16)| {
            let start = base + i64::from(first);
            let mut fields = vec![self.partition(partition), self.slice(batch, first, count)];
            fields.extend([("offset", start.into()), ("count", count.into())]);
            (name, fields)
        };
        let at =
            |partition, offset: i64| vec![self.partition(partition), ("offset", offset.into())];
        Some(match *kind {
            EventKind::RowsInserted {
                table,
                partition,
                batch,
                base_offset,
                first,
                count,
                once,
            } => {
                let (name, mut fields) =
                    records("RowsInserted", partition, batch, base_offset.0, (first, count));
                fields.push(("table", self.names.table(table).into()));
                fields.push(("once", once.into()));
                (name, fields)
            }
            EventKind::OffsetKept { table, partition, offset } => {
                let mut fields = at(partition, offset.0);
                fields.push(("table", self.names.table(table).into()));
                ("OffsetKept", fields)
            }
            EventKind::PollCalled => ("PollCalled", vec![]),
            EventKind::PollEmpty => ("PollEmpty", vec![]),
            EventKind::Polled { partition, batch, base_offset, first, count } => {
                records("Polled", partition, batch, base_offset.0, (first, count))
            }
            EventKind::Processed { partition, batch, base_offset, first, count } => {
                records("Processed", partition, batch, base_offset.0, (first, count))
            }
            EventKind::PositionPassed { partition, offset } => {
                ("PositionPassed", at(partition, offset.0))
            }
            EventKind::PositionSet { partition, offset, reason } => {
                let mut fields = at(partition, offset.0);
                fields.push(("reason", format!("{reason:?}").into()));
                ("PositionSet", fields)
            }
            EventKind::CommitSent { partition, offset, kind } => {
                let mut fields = at(partition, offset.0);
                fields.push(("commit", format!("{kind:?}").into()));
                ("CommitSent", fields)
            }
            EventKind::CommitAnswered { partition, offset, kind, exception } => {
                let mut fields = at(partition, offset.0);
                fields.push(("commit", format!("{kind:?}").into()));
                fields.push(("exception", json!(exception.map(Exception::name))));
                ("CommitAnswered", fields)
            }
            EventKind::Callback { callback, count } => {
                let callback = format!("{callback:?}").into();
                ("Callback", vec![("callback", callback), ("count", count.into())])
            }
            EventKind::CallbackPartition { callback, partition } => {
                let callback = format!("{callback:?}").into();
                ("CallbackPartition", vec![("callback", callback), self.partition(partition)])
            }
            EventKind::Threw { exception } => {
                ("Threw", vec![("exception", exception.name().into())])
            }
            EventKind::Closed => ("Closed", vec![]),
            _ => return None,
        })
    }

    fn group(&self, kind: &EventKind) -> Option<(&'static str, Fields)> {
        Some(match *kind {
            EventKind::GroupChanged { group, state, generation } => {
                let mut fields = vec![self.group_name(group), ("state", state.name().into())];
                fields.push(("generation", generation.0.into()));
                ("GroupChanged", fields)
            }
            EventKind::MemberJoined { group, member, leader } => {
                let leader = ("leader", leader.into());
                ("MemberJoined", vec![self.group_name(group), self.member(member), leader])
            }
            EventKind::MemberLeft { group, member, reason } => {
                let reason = ("reason", format!("{reason:?}").into());
                ("MemberLeft", vec![self.group_name(group), self.member(member), reason])
            }
            EventKind::ConsumerGroupChanged { group, state, epoch } => {
                let state = ("state", state.name().into());
                (
                    "ConsumerGroupChanged",
                    vec![self.group_name(group), state, ("epoch", epoch.into())],
                )
            }
            EventKind::RegexResolved { group, regex, topics } => {
                let text = self.names.regexes[regex.index()].text.as_str();
                let fields =
                    vec![self.group_name(group), ("regex", text.into()), ("topics", topics.into())];
                ("RegexResolved", fields)
            }
            EventKind::TargetComputed { group, epoch } => {
                ("TargetComputed", vec![self.group_name(group), ("epoch", epoch.into())])
            }
            EventKind::MemberTarget { group, member, partition } => {
                let partition = self.partition(partition);
                ("MemberTarget", vec![self.group_name(group), self.member(member), partition])
            }
            EventKind::MemberEpoch { group, member, epoch, state } => {
                let mut fields = vec![self.group_name(group), self.member(member)];
                fields.extend([("epoch", epoch.into()), ("state", state.name().into())]);
                ("MemberEpoch", fields)
            }
            EventKind::MemberReleased { group, member, partition } => {
                let partition = self.partition(partition);
                ("MemberReleased", vec![self.group_name(group), self.member(member), partition])
            }
            EventKind::MemberAssigned { group, member, partition } => {
                let partition = self.partition(partition);
                ("MemberAssigned", vec![self.group_name(group), self.member(member), partition])
            }
            EventKind::OffsetCommitted { group, partition, offset } => {
                let mut fields = vec![self.group_name(group), self.partition(partition)];
                fields.push(("offset", offset.0.into()));
                ("OffsetCommitted", fields)
            }
            EventKind::OffsetRemoved { group, partition } => {
                ("OffsetRemoved", vec![self.group_name(group), self.partition(partition)])
            }
            EventKind::CoordinatorLoaded { group } => {
                ("CoordinatorLoaded", vec![self.group_name(group)])
            }
            _ => return None,
        })
    }

    fn script(&self, kind: &EventKind) -> (&'static str, Fields) {
        match *kind {
            EventKind::Fault { kind } => ("Fault", vec![("fault", format!("{kind:?}").into())]),
            EventKind::Step { step } => ("Step", vec![("step", step.into())]),
            EventKind::Question { question } => ("Question", vec![("question", question.into())]),
            EventKind::Observed { observation } => {
                ("Observed", vec![("observation", observation.into())])
            }
            EventKind::AdminCalled { call, exception } => {
                let exception = json!(exception.map(Exception::name));
                ("AdminCalled", vec![("call", call.name().into()), ("exception", exception)])
            }
            EventKind::Quiesced => ("Quiesced", vec![]),
            EventKind::Stuck => ("Stuck", vec![]),
            EventKind::WireSent { wire, to, arrives_in, label } => {
                let held = arrives_in == u32::MAX;
                let mut fields = vec![("wire", wire.into()), ("to", self.node(to))];
                fields.push(("arrives_in", json!((!held).then_some(arrives_in))));
                fields.push(("label", self.label(&label)));
                ("WireSent", fields)
            }
            EventKind::WireArrived { wire } => ("WireArrived", vec![("wire", wire.into())]),
            EventKind::WireLost { wire, reason } => {
                let reason = format!("{reason:?}").into();
                ("WireLost", vec![("wire", wire.into()), ("reason", reason)])
            }
            _ => ("Ended", vec![]),
        }
    }

    fn node(&self, node: NodeId) -> Value {
        self.names.node(node).into()
    }

    fn label(&self, label: &crate::event::WireLabel) -> Value {
        let mut map = Map::new();
        map.insert("api".to_owned(), label.api.name().into());
        map.insert("response".to_owned(), label.response.into());
        map.insert("error".to_owned(), label.error.name().into());
        let partition = label.partition.map(|p| self.names.partition(p));
        map.insert("partition".to_owned(), json!(partition));
        map.insert("messages".to_owned(), self.messages(label.batch).1);
        map.insert("offset".to_owned(), label.offset.into());
        Value::Object(map)
    }
}

fn broker(id: Option<BrokerId>) -> Value {
    json!(id.map(|b| b.0))
}

fn brokers(set: BrokerSet) -> Value {
    set.iter().map(|b| Value::from(b.0)).collect()
}

/// What controllers and brokers say of the metadata log.
fn quorum(kind: &EventKind) -> Option<(&'static str, Fields)> {
    Some(match *kind {
        EventKind::ControllerElected { epoch } => {
            ("ControllerElected", vec![("epoch", epoch.0.into())])
        }
        EventKind::ControllerResigned { epoch } => {
            ("ControllerResigned", vec![("epoch", epoch.0.into())])
        }
        EventKind::MetadataAppended { epoch, end } => {
            ("MetadataAppended", vec![("epoch", epoch.0.into()), ("end", end.0.into())])
        }
        EventKind::MetadataTruncated { to } => ("MetadataTruncated", vec![("to", to.0.into())]),
        EventKind::MetadataCommitted { epoch, offset } => {
            ("MetadataCommitted", vec![("epoch", epoch.0.into()), ("offset", offset.0.into())])
        }
        EventKind::MetadataApplied { epoch, offset } => {
            ("MetadataApplied", vec![("epoch", epoch.0.into()), ("offset", offset.0.into())])
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::story::Story;

    #[test]
    fn a_line_is_one_object_with_the_common_keys_first() {
        let mut story = Story::new();
        let batch = story.send(&[4, 5]);
        let seq = story.append(1, batch, 3, 0);
        let event = &story.events[seq.index()];
        let line = line(&story.names, &story.batches, seq, event);
        let text = "{\"seq\":5,\"at\":6000,\"cause\":4,\"node\":\"b1\",\"kind\":\"Appended\",\
                    \"partition\":\"orders-0\",\"messages\":[\"m4\",\"m5\"],\"base_offset\":3,\"leader_epoch\":0}";
        assert_eq!(line, text);
        serde_json::from_str::<Value>(&line).unwrap();
    }
}
