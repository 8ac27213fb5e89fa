//! Facts, read from the world at one moment.

mod rebalance;
mod share;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::batch::RecordBody;
use crate::base::config::IsolationLevel;
use crate::base::error::ErrorCode;
use crate::base::error::Exception;
use crate::base::ids::{GroupId, MessageId, NodeId, Offset, PartitionId};
use crate::event::{GroupState, RebalanceCallback};
use crate::kafka::api::PartitionOffset;
use crate::scenario::conditions::owned;
use crate::scenario::settle;
use crate::scenario::state::State;
use crate::scenario::step::Probe;
use crate::scenario::value::Fact;
use crate::sim::NodeState;
use crate::view::cluster::message::Told;
use crate::view::cluster::replica::Says;
use crate::view::stability::{Stability, hanging_transactions};

pub(super) use share::{lag as share_lag, open_records};

/// What `probe` finds. What names something this variant does not have is [`Fact::None`]. `seen` is how many of the
/// polled ids an earlier look at the same consumer took.
pub(super) fn observe(state: &State, probe: &Probe, seen: usize) -> Fact {
    if let Probe::Count(counted) = probe {
        return count(&observe(state, counted, seen)).map_or(Fact::None, number);
    }
    group_fact(state, probe)
        .or_else(|| share::fact(state, probe))
        .or_else(|| rebalance::fact(state, probe))
        .or_else(|| client_fact(state, probe, seen))
        .or_else(|| log_fact(state, probe))
        .unwrap_or(Fact::None)
}

/// How many entries, of lists by name all together.
fn count(fact: &Fact) -> Option<i64> {
    match fact {
        Fact::List(items) => Some(items.len() as i64),
        Fact::Map(entries) => Some(entries.values().map(|entry| count(entry).unwrap_or(1)).sum()),
        _ => None,
    }
}

fn number(n: impl Into<i64>) -> Fact {
    Fact::Number(n.into())
}

fn text(text: impl Into<String>) -> Fact {
    Fact::Text(text.into())
}

fn ids(state: &State, ids: impl IntoIterator<Item = MessageId>) -> Fact {
    Fact::List(ids.into_iter().map(|id| text(state.names().message(id))).collect())
}

fn partitions(state: &State, list: &[PartitionId]) -> Fact {
    let mut names: Vec<String> = list.iter().map(|id| state.names().partition(*id)).collect();
    names.sort_unstable();
    Fact::List(names.into_iter().map(Fact::Text).collect())
}

fn brokers(set: crate::base::broker_set::BrokerSet) -> Fact {
    Fact::List(set.iter().map(|b| number(b.0)).collect())
}

fn group_fact(state: &State, probe: &Probe) -> Option<Fact> {
    let (Probe::Committed(name)
    | Probe::GroupState(name)
    | Probe::Generation(name)
    | Probe::Members(name)
    | Probe::OffsetRecords(name)
    | Probe::Inversions(name)
    | Probe::Lag(name)) = probe
    else {
        return None;
    };
    let id = state.group(name)?;
    let group = &state.view.groups[id.index()];
    Some(match probe {
        Probe::Committed(_) => Fact::Map(
            group
                .committed
                .iter()
                .map(|c| (state.names().partition(c.partition), number(c.offset.0)))
                .collect(),
        ),
        // Who describes a group that is gone, or never was there, is told so with an exception.
        Probe::GroupState(_)
            if group.state == GroupState::Dead
                || (group.is_unheard_of() && share::group(state, id).is_none()) =>
        {
            text(ErrorCode::GroupIdNotFound.exception())
        }
        Probe::GroupState(_) => text(group.state.name()),
        Probe::Generation(_) => number(group.generation.0),
        Probe::OffsetRecords(_) => offset_records(state, id),
        Probe::Inversions(_) => {
            let own = state.notes.finished.iter().filter(|((group, _), _)| *group == id);
            number(own.map(|(_, (_, late))| *late).sum::<u64>() as i64)
        }
        Probe::Members(_) => {
            let mut members = BTreeMap::new();
            for member in &group.members {
                let node = state.names().consumer_of(member.member);
                let name = node.map_or_else(|| "?".to_owned(), |node| state.names().node(node));
                members.insert(name, partitions(state, &member.partitions));
            }
            Fact::Map(members)
        }
        _ => settle::lag(state, id).map_or(Fact::None, Fact::Number),
    })
}

/// The records of a group in `__consumer_offsets` that are about offsets, or say that it is gone.
fn offset_records(state: &State, id: GroupId) -> Fact {
    let home = state.names().group_partitions[id.index()];
    let Some(leader) = state.view.partition(home).leader_replica() else { return Fact::None };
    let mut records = Vec::new();
    for record in leader.log.iter().flat_map(|entry| state.batches().records(entry.batch)) {
        let name = |partition| state.names().partition(partition);
        records.push(match record.body {
            RecordBody::OffsetCommit { group, partition, offset } if group == id => {
                format!("{} -> {offset}", name(partition))
            }
            RecordBody::OffsetTombstone { group, partition } if group == id => {
                format!("{} -> null", name(partition))
            }
            RecordBody::GroupTombstone { group } if group == id => "group -> null".to_owned(),
            _ => continue,
        });
    }
    Fact::List(records.into_iter().map(Fact::Text).collect())
}

fn client_fact(state: &State, probe: &Probe, seen: usize) -> Option<Fact> {
    if let Probe::AdminException = probe {
        let exception = state.notes.admin;
        return Some(exception.map_or(Fact::None, |exception| text(exception.name())));
    }
    if matches!(probe, Probe::ActiveController | Probe::ControllerEpoch) {
        return Some(controller_fact(state, probe));
    }
    if let Probe::Outcomes(name) = probe {
        return Some(outcomes(state, state.producer(name)?));
    }
    if let Probe::ShortestRun(name) = probe {
        return Some(shortest_run(state, state.producer(name)?));
    }
    if let Probe::Returned(name) = probe {
        return Some(returned(state, state.consumer(name)?));
    }
    if let Probe::Exception(name) = probe
        && let Some(n) = state.producer(name)
    {
        let exception = state.notes.producers[usize::from(n)];
        return Some(exception.map_or(Fact::None, |exception| text(exception.name())));
    }
    if let Probe::Callbacks(name) = probe
        && let Some(n) = state.producer(name)
    {
        return Some(producer_callbacks(state, n));
    }
    let (Probe::Position(name)
    | Probe::Polled(name)
    | Probe::Processed(name)
    | Probe::Assigned(name)
    | Probe::AssignedCount(name)
    | Probe::Paused(name)
    | Probe::Callbacks(name)
    | Probe::Exception(name)) = probe
    else {
        return None;
    };
    let n = state.consumer(name)?;
    let notes = &state.notes.consumers[usize::from(n)];
    Some(match probe {
        Probe::Position(_) => {
            let positions = state.view.consumers[usize::from(n)].partitions.iter();
            let known = positions.filter_map(|p| Some((p.partition, p.position?)));
            Fact::Map(known.map(|(id, at)| (state.names().partition(id), number(at.0))).collect())
        }
        Probe::Polled(_) => ids(state, notes.polled.iter().skip(seen).copied()),
        Probe::Processed(_) => ids(state, notes.processed.iter().copied()),
        Probe::Assigned(_) => partitions(state, &owned(state, n)),
        Probe::AssignedCount(_) => number(owned(state, n).len() as i64),
        Probe::Paused(_) => {
            let consumer = state.sim.consumer(n).consumer().as_consumer();
            partitions(state, &consumer.iter().flat_map(|c| c.paused()).collect::<Vec<_>>())
        }
        Probe::Callbacks(_) => Fact::List(
            notes
                .callbacks
                .iter()
                .map(|note| {
                    let name = match note.callback {
                        RebalanceCallback::Assigned => "onPartitionsAssigned",
                        RebalanceCallback::Revoked => "onPartitionsRevoked",
                        RebalanceCallback::Lost => "onPartitionsLost",
                    };
                    Fact::List(vec![text(name), partitions(state, &note.partitions)])
                })
                .collect(),
        ),
        _ => notes.exception.map_or(Fact::None, |exception| text(exception.name())),
    })
}

/// What a producer's callbacks were told, in order.
fn producer_callbacks(state: &State, producer: u16) -> Fact {
    let told = state.notes.told[usize::from(producer)].iter();
    let row = |(message, outcome): &(MessageId, Result<Offset, Exception>)| {
        let outcome = match outcome {
            Ok(offset) => number(offset.0),
            Err(exception) => text(exception.name()),
        };
        Fact::List(vec![text(state.names().message(*message)), outcome])
    };
    Fact::List(told.map(row).collect())
}

/// The active controller, or its epoch.
fn controller_fact(state: &State, probe: &Probe) -> Fact {
    let Some(controller) = state.sim.active_controller() else { return Fact::None };
    match probe {
        Probe::ActiveController => number(controller.number()),
        _ => controller.active_epoch().map_or(Fact::None, number),
    }
}

/// What the last call by hand came to.
fn returned(state: &State, consumer: u16) -> Fact {
    let last = state.sim.consumer(consumer).last_return();
    if let Some(exception) = last.exception {
        return text(exception.name());
    }
    if let Some(offset) = last.offset {
        return if offset == Offset::NONE { Fact::None } else { number(offset.0) };
    }
    if let Some(partitions) = &last.acknowledged {
        let row = |(id, exception): &(PartitionId, Option<Exception>)| {
            let outcome = exception.map_or("ok", |exception| exception.name());
            (state.names().partition(*id), text(outcome))
        };
        return Fact::Map(partitions.iter().map(row).collect());
    }
    if let Some(offsets) = &last.offsets {
        let row = |o: &PartitionOffset| (state.names().partition(o.partition), number(o.offset.0));
        return Fact::Map(offsets.iter().map(row).collect());
    }
    Fact::None
}

/// What a producer was told of each of its messages.
fn outcomes(state: &State, producer: u16) -> Fact {
    let mut outcomes = BTreeMap::new();
    for (n, message) in state.view.messages.iter().enumerate() {
        if message.producer != Some(producer) {
            continue;
        }
        let outcome = match message.told {
            Told::Acknowledged(offset) => number(offset.0),
            Told::NobodyAsked => number(-1),
            Told::Failed(exception) => text(exception.name()),
            Told::Waiting | Told::Unknown => Fact::None,
        };
        outcomes.insert(state.names().message(MessageId(n as u32)), outcome);
    }
    Fact::Map(outcomes)
}

/// How long a producer stayed with one partition, at least.
fn shortest_run(state: &State, producer: u16) -> Fact {
    let sent = state.view.messages.iter().filter(|message| message.producer == Some(producer));
    let mut sent: Vec<_> = sent.map(|message| (message.sent, message.partition)).collect();
    sent.sort_unstable_by_key(|(at, _)| *at);
    let runs: Vec<usize> = sent.chunk_by(|a, b| a.1 == b.1).map(<[_]>::len).collect();
    // The last one was cut short by the end of the workload.
    let whole = runs.len().saturating_sub(1).max(1);
    runs.iter().take(whole).min().map_or(Fact::None, |shortest| number(*shortest as i64))
}

fn log_fact(state: &State, probe: &Probe) -> Option<Fact> {
    let view = &state.view;
    Some(match probe {
        Probe::SecondsSince(mark) => {
            let span = state.sim.now().since(state.mark(mark)?);
            number(((span.0 + 500_000) / 1_000_000) as i64)
        }
        Probe::Rows(table) => ids(state, state.rows(table)),
        Probe::Log(node, at) => log(state, state.at(at)?, state.broker(node)?),
        Probe::Logs(at) => {
            let id = state.at(at)?;
            let replicas = view.partition(id).replicas.iter();
            Fact::Map(replicas.map(|r| (r.broker.to_string(), log(state, id, r.broker))).collect())
        }
        Probe::Records(at) => records(state, state.at(at)?),
        Probe::LastStableOffset(node, at) => {
            let replica = view.partition(state.at(at)?).replica(state.broker(node)?)?;
            number(replica.last_stable_offset().0)
        }
        Probe::ReadsCommitted(topic) => reads(state, topic, IsolationLevel::ReadCommitted)?,
        Probe::HangingTransactions(topic) => {
            let mut hanging = BTreeMap::new();
            for (_, id) in topic_partitions(state, topic)? {
                let starts = hanging_transactions(view, id, state.batches());
                let starts: Vec<Fact> = starts.values().map(|start| number(start.0)).collect();
                if !starts.is_empty() {
                    hanging.insert(state.names().partition(id), Fact::List(starts));
                }
            }
            Fact::Map(hanging)
        }
        Probe::TransactionState(id) => {
            let id = state.names().find_transactional_id(id)?;
            let known = view.transactions[id.index()].state;
            known.map_or(Fact::None, |known| text(known.name()))
        }
        Probe::TransactionPartitions(id) => {
            let id = state.names().find_transactional_id(id)?;
            partitions(state, &view.transactions[id.index()].partitions)
        }
        Probe::Leader(at) => {
            view.partition(state.at(at)?).leader.map_or(Fact::None, |leader| number(leader.0))
        }
        Probe::LeaderEpoch(at) => number(view.partition(state.at(at)?).leader_epoch.0),
        Probe::Replicas(at) => {
            let replicas = view.partition(state.at(at)?).assignment;
            Fact::List(replicas.as_slice().iter().map(|b| number(b.0)).collect())
        }
        Probe::Isr(at) => brokers(view.partition(state.at(at)?).isr),
        Probe::Elr(at) => brokers(view.partition(state.at(at)?).elr),
        Probe::HighWatermark(node, at) => {
            number(view.partition(state.at(at)?).replica(state.broker(node)?)?.high_watermark.0)
        }
        Probe::LogStart(node, at) => {
            number(view.partition(state.at(at)?).replica(state.broker(node)?)?.log_start.0)
        }
        Probe::LogEnd(node, at) => {
            number(view.partition(state.at(at)?).replica(state.broker(node)?)?.end.0)
        }
        Probe::Segments(node, at) => {
            let replica = view.partition(state.at(at)?).replica(state.broker(node)?)?;
            Fact::List(replica.segments.iter().map(|base| number(base.0)).collect())
        }
        Probe::Reads(topic) => reads(state, topic, IsolationLevel::ReadUncommitted)?,
        Probe::Snapshot(topic) => snapshot(state, topic)?,
        _ => return None,
    })
}

fn log(state: &State, partition: PartitionId, broker: crate::base::ids::BrokerId) -> Fact {
    let entry = |(offset, id, epoch): (i64, MessageId, i32)| {
        Fact::List(vec![number(offset), text(state.names().message(id)), number(epoch)])
    };
    Fact::List(state.log(partition, broker).into_iter().map(entry).collect())
}

fn topic_partitions(state: &State, topic: &str) -> Option<Vec<(u32, PartitionId)>> {
    let topic = state.names().find_topic(topic)?;
    let partitions = &state.names().topics[topic.index()].partitions;
    let exist = partitions.iter().filter(|id| state.view.exists(**id));
    Some(exist.map(|id| (state.names().partitions[id.index()].index, *id)).collect())
}

/// The logs of all replicas, record by record. Producers are P1, P2, … in the order in which they come first.
fn records(state: &State, partition: PartitionId) -> Fact {
    let mut producers: Vec<i64> = Vec::new();
    let mut logs = BTreeMap::new();
    for replica in &state.view.partition(partition).replicas {
        let rows = replica.records_on_disk(state.batches()).map(|record| {
            let name = match record.says {
                Says::Message(id) => state.names().message(id),
                Says::Marker(true) => "COMMIT".to_owned(),
                Says::Marker(false) => "ABORT".to_owned(),
            };
            let known = producers.iter().position(|id| *id == record.producer_id);
            let place = known.unwrap_or_else(|| {
                producers.push(record.producer_id);
                producers.len() - 1
            });
            let control = matches!(record.says, Says::Marker(_));
            Fact::List(vec![
                number(record.offset.0),
                text(name),
                number(record.epoch.0),
                text(format!("P{}", place + 1)),
                number(record.producer_epoch),
                number(record.sequence),
                Fact::Bool(control),
            ])
        });
        logs.insert(replica.broker.to_string(), Fact::List(rows.collect()));
    }
    Fact::Map(logs)
}

/// What a fresh reader gets: everything below the leader's high watermark, or below its last stable offset without
/// what is aborted.
fn reads(state: &State, topic: &str, isolation: IsolationLevel) -> Option<Fact> {
    let mut by_partition = BTreeMap::new();
    for (index, id) in topic_partitions(state, topic)? {
        let mut readable = Vec::new();
        if let Some(leader) = state.view.partition(id).leader_replica() {
            let (end, aborted) = match isolation {
                IsolationLevel::ReadUncommitted => (leader.high_watermark, BTreeSet::new()),
                IsolationLevel::ReadCommitted => {
                    let end = leader.last_stable_offset();
                    (end, Stability::before(end, leader, state.batches()).aborted)
                }
            };
            for (offset, message, _) in state.log(id, leader.broker) {
                let is_aborted = aborted.contains(&Offset(offset));
                if (leader.log_start.0..end.0).contains(&offset) && !is_aborted {
                    let name = text(state.names().message(message));
                    readable.push(Fact::List(vec![number(offset), name]));
                }
            }
        }
        by_partition.insert(index.to_string(), Fact::List(readable));
    }
    Some(Fact::Map(by_partition))
}

/// The cluster in the shape of the recordings' snapshots.
fn snapshot(state: &State, topic: &str) -> Option<Fact> {
    let names = state.names();
    let view = &state.view;
    // As the recorder does it: processes, not registrations.
    let live = names.broker_ids().filter(|b| state.runs(NodeId::Broker(*b)));
    let mut facts = BTreeMap::new();
    facts.insert("live_brokers".to_owned(), Fact::List(live.map(|b| number(b.0)).collect()));
    for (index, id) in topic_partitions(state, topic)? {
        let p = view.partition(id);
        let mut replicas = BTreeMap::new();
        for r in &p.replicas {
            let mut fields = BTreeMap::new();
            let process = state.sim.node_state(NodeId::Broker(r.broker));
            let word = match process {
                NodeState::Running => "up",
                NodeState::Frozen => "frozen",
                NodeState::Down => "down",
            };
            fields.insert("process".to_owned(), text(word));
            fields.insert("leo_on_disk".to_owned(), number(r.end.0));
            if process == NodeState::Running {
                fields.insert("hw".to_owned(), number(r.high_watermark.0));
                fields.insert("lso".to_owned(), number(r.last_stable_offset().0));
                fields.insert("log_start".to_owned(), number(r.log_start.0));
            }
            replicas.insert(r.broker.to_string(), Fact::Map(fields));
        }
        let order = p.assignment;
        let fields = [
            ("leader", p.leader.map_or(Fact::None, |b| number(b.0))),
            ("leader_epoch", number(p.leader_epoch.0)),
            ("replicas", Fact::List(order.as_slice().iter().map(|b| number(b.0)).collect())),
            ("isr", brokers(p.isr)),
            ("elr", brokers(p.elr)),
            ("replica_state", Fact::Map(replicas)),
        ];
        let fields = fields.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect();
        facts.insert(format!("p{index}"), Fact::Map(fields));
    }
    Some(Fact::Map(facts))
}
