//! Is a condition true at this moment?

use crate::base::ids::{NodeId, Offset, PartitionId};
use crate::event::GroupState;
use crate::scenario::code::Code;
use crate::scenario::settle;
use crate::scenario::state::State;
use crate::scenario::step::{Condition, Marker};
use crate::scenario::value::TopicPartition;
use crate::sim::NodeState;
use crate::view::cluster::message::Told;
use crate::view::cluster::replica::Says;

/// True when `condition` holds. What names something this variant does not have is false. `sending` are the
/// producers for which the script still has messages to send in the background.
pub(super) fn holds(state: &State, code: &Code, sending: &[&str], condition: &Condition) -> bool {
    check(state, code, sending, condition).unwrap_or(false)
}

fn check(state: &State, code: &Code, sending: &[&str], condition: &Condition) -> Option<bool> {
    let view = &state.view;
    Some(match condition {
        Condition::Ready => ready(state),
        Condition::Completed(name) => {
            state.sim.producer(state.producer(name)?).is_idle() && !sending.contains(&name.as_str())
        }
        Condition::Acked(ids) => told(state, ids, Told::is_ok)?,
        Condition::Failed(ids) => told(state, ids, |told| matches!(told, Told::Failed(_)))?,
        Condition::LeaderElected(topic, n) => {
            state.serves(state.leader(state.partition(topic, *n)?)?)
        }
        Condition::LeaderIs(topic, n, node) => {
            state.leader(state.partition(topic, *n)?)? == state.broker(node)?
        }
        Condition::NoLeader(topic, n) => state.leader(state.partition(topic, *n)?).is_none(),
        Condition::ControllerElected => state.active_controller().is_some(),
        Condition::ControllerIs(node) => {
            NodeId::Controller(state.active_controller()?) == state.node(node)?
        }
        Condition::NoController => state.active_controller().is_none(),
        Condition::Isr(topic, n, brokers) => {
            let isr = view.partition(state.partition(topic, *n)?).isr;
            isr.len() == brokers.len() && isr.iter().all(|b| brokers.contains(&b.0))
        }
        Condition::Fenced(node) => view.brokers[state.broker(node)?.index()].fenced,
        Condition::Unfenced(node) => {
            let broker = state.broker(node)?;
            !view.brokers[broker.index()].fenced && state.serves(broker)
        }
        Condition::Down(node) => state.sim.node_state(state.node(node)?) == NodeState::Down,
        Condition::Stored(node, id) => {
            let id = state.names().find_message(id)?;
            let stored = state.view.message(id).partition?;
            state.log(stored, state.broker(node)?).iter().any(|(_, m, _)| *m == id)
        }
        Condition::LogEnd(node, partition, offset) => {
            let replica = view.partition(state.at(partition)?).replica(state.broker(node)?)?;
            replica.end.0 >= *offset
        }
        Condition::LogStart(node, partition, offset) => {
            let replica = view.partition(state.at(partition)?).replica(state.broker(node)?)?;
            replica.log_start.0 >= *offset
        }
        Condition::HighWatermark(topic, n, offset) => {
            let partition = view.partition(state.partition(topic, *n)?);
            partition.leader_replica()?.high_watermark.0 >= *offset
        }
        Condition::LastStableOffset(topic, n, offset) => {
            let partition = view.partition(state.partition(topic, *n)?);
            partition.leader_replica()?.last_stable_offset().0 >= *offset
        }
        Condition::Markers(topic, n, marker, count) => {
            let leader = view.partition(state.partition(topic, *n)?).leader_replica()?;
            let wanted = Says::Marker(*marker == Marker::Commit);
            let found = leader.records_on_disk(state.batches()).filter(|r| r.says == wanted);
            found.count() as u64 >= *count
        }
        Condition::Transaction(id, name) => {
            let id = state.names().find_transactional_id(id)?;
            view.transactions[id.index()].state?.name() == name
        }
        other => return check_reading(state, code, sending, other),
    })
}

/// Conditions about consumers, groups, rules, and combinations.
fn check_reading(
    state: &State,
    code: &Code,
    sending: &[&str],
    condition: &Condition,
) -> Option<bool> {
    let view = &state.view;
    Some(match condition {
        Condition::Group(group, name) => {
            view.groups[state.group(group)?.index()].state.name() == name
        }
        Condition::Members(group, count) => {
            let group = &view.groups[state.group(group)?.index()];
            group.state == GroupState::Stable && group.members.len() == *count as usize
        }
        Condition::Assigned(name) => !owned(state, state.consumer(name)?).is_empty(),
        Condition::Owns(name, partitions) => {
            let mut wanted: Vec<PartitionId> =
                partitions.iter().filter_map(|p| state.at(p)).collect();
            wanted.sort_unstable();
            owned(state, state.consumer(name)?) == wanted && wanted.len() == partitions.len()
        }
        Condition::Committed(group, partition, offset) => {
            committed(state, group, partition)?.0 >= *offset
        }
        Condition::Polled(name, count) => {
            state.notes.consumers[usize::from(state.consumer(name)?)].polled_by_process >= *count
        }
        Condition::Processed(name, count) => {
            state.notes.consumers[usize::from(state.consumer(name)?)].processed_by_process >= *count
        }
        Condition::CaughtUp(group) => settle::lag(state, state.group(group)?)? == 0,
        Condition::Held(name, count) => {
            state.sim.rule_counts(code.rule(name)?).1 >= *count as usize
        }
        Condition::Hits(name, count) => state.sim.rule_counts(code.rule(name)?).0 >= *count,
        Condition::Settled => settle::settled(state),
        Condition::All(list) => list.iter().all(|c| holds(state, code, sending, c)),
        Condition::Any(list) => list.iter().any(|c| holds(state, code, sending, c)),
        Condition::Not(inner) => !holds(state, code, sending, inner),
        _ => false,
    })
}

fn told(state: &State, ids: &[String], is: impl Fn(Told) -> bool) -> Option<bool> {
    for id in ids {
        let message = state.view.message(state.names().find_message(id)?);
        if !message.is_sent() || !is(message.told) {
            return Some(false);
        }
    }
    Some(true)
}

fn ready(state: &State) -> bool {
    let mut ids = (0..state.view.partitions.len()).map(|n| PartitionId(n as u16));
    ids.all(|id| {
        let p = state.view.partition(id);
        !state.view.exists(id) || p.leader.is_some() && p.isr.len() == p.replicas.len()
    })
}

fn committed(state: &State, group: &str, partition: &TopicPartition) -> Option<Offset> {
    let group = &state.view.groups[state.group(group)?.index()];
    Some(group.committed(state.at(partition)?)?.offset)
}

/// The partitions a consumer owns, ascending.
pub(super) fn owned(state: &State, consumer: u16) -> Vec<PartitionId> {
    if state.sim.spec().consumers[usize::from(consumer)].config.share {
        return state.sim.consumer(consumer).consumer().assigned().to_vec();
    }
    let partitions = &state.view.consumers[usize::from(consumer)].partitions;
    partitions.iter().filter(|p| p.assigned).map(|p| p.partition).collect()
}
