//! Has everything settled, and if not, what is in motion? `Quiesce` waits until nothing is, and says what is stuck.
//!
//! Settled means: a controller is active where a majority of them runs; producers have nothing open; every partition
//! that can be led is led by a running broker, its ISR holds every running replica and nobody else, and high watermarks
//! are at the log ends; transactions that are decided have their markers; groups are stable with the members that
//! run, or empty; loops that consume have read, finished
//! and committed everything.

use crate::base::batch::BatchTable;
use crate::base::config::IsolationLevel;
use crate::base::ids::{GroupId, NodeId, Offset, PartitionId, TransactionalId};
use crate::event::GroupState;
use crate::scenario::probes::{self, open_records};
use crate::scenario::state::State;
use crate::view::cluster::replica::{PartitionView, ReplicaView};
use crate::view::stability::Stability;

/// What is still in motion, in words. Nothing when everything has settled; the first is found without the others.
pub(super) fn in_motion(state: &State) -> impl Iterator<Item = String> + '_ {
    let names = state.names();
    let producers = (0..names.producers.len()).filter_map(|n| producer(state, n as u16));
    let partitions =
        (0..names.partitions.len()).filter_map(|n| partition(state, PartitionId(n as u16)));
    let groups = (0..names.groups.len()).filter_map(|n| group(state, GroupId(n as u16)));
    let transactions = (0..names.transactional_ids.len()).filter_map(|n| transaction(state, n));
    let readers = (0..names.consumers.len()).filter_map(|n| reader(state, n as u16));
    let servers = controller(state).into_iter().chain(producers).chain(partitions);
    servers.chain(groups).chain(transactions).chain(readers)
}

/// True when nothing is in motion.
pub(super) fn settled(state: &State) -> bool {
    in_motion(state).next().is_none()
}

fn controller(state: &State) -> Option<String> {
    let quorum = &state.view.quorum;
    let hope = quorum.reachable() >= quorum.majority();
    (hope && state.active_controller().is_none()).then(|| "no controller is active yet".to_owned())
}

fn producer(state: &State, n: u16) -> Option<String> {
    let open = state.runs(NodeId::Producer(n)) && !state.sim.producer(n).is_idle();
    let name = &state.names().producers[usize::from(n)].name;
    open.then(|| format!("{name} still has records without an outcome"))
}

fn partition(state: &State, id: PartitionId) -> Option<String> {
    if !state.view.exists(id) {
        return None;
    }
    let name = || state.names().partition(id);
    let p = state.view.partition(id);
    let runs = |broker| state.runs(NodeId::Broker(broker));
    let Some(leader) = p.leader else {
        let candidates = p.isr.union(p.elr);
        let hope = candidates.iter().any(runs);
        return hope.then(|| format!("{} has no leader yet", name()));
    };
    if !runs(leader) {
        let hope = p.isr.union(p.elr).iter().any(|b| b != leader && runs(b));
        return hope.then(|| format!("{} is still led by {leader}, which does not run", name()));
    }
    replicas(state, id, p).map(|what| format!("{}: {what}", name()))
}

/// What the replicas of a led partition still have to do.
fn replicas(state: &State, id: PartitionId, p: &PartitionView) -> Option<String> {
    let leader = p.leader_replica()?;
    if p.reassigning
        && p.assignment.as_slice().iter().all(|broker| state.runs(NodeId::Broker(*broker)))
    {
        return Some("a reassignment is in progress".to_owned());
    }
    for replica in p.replicas.iter().filter(|r| p.assignment.set().contains(r.broker)) {
        let broker = replica.broker;
        let in_isr = p.isr.contains(broker);
        if state.runs(NodeId::Broker(broker)) != in_isr {
            return Some(if in_isr {
                format!("{broker} does not run and is still in the ISR")
            } else {
                format!("{broker} runs and is not in the ISR yet")
            });
        }
        if in_isr && replica.end != leader.end {
            return Some(format!("{broker} ends at {}, the leader at {}", replica.end, leader.end));
        }
    }
    let topic = state.names().partitions[id.index()].topic;
    let min_isr = state.sim.controller().topic_config(topic).min_insync_replicas;
    if p.isr.len() < min_isr as usize {
        return None;
    }
    let behind = |r: &&ReplicaView| p.isr.contains(r.broker) && r.high_watermark != leader.end;
    let replica = p.replicas.iter().find(behind)?;
    Some(format!(
        "the high watermark of {} is {}, the log ends at {}",
        replica.broker, replica.high_watermark, leader.end
    ))
}

/// A transaction that is decided gets its markers.
fn transaction(state: &State, n: usize) -> Option<String> {
    let id = TransactionalId(n as u16);
    let home = state.names().transaction_partitions[n];
    let coordinator = state.leader(home)?;
    let decided =
        state.view.transactions[n].is_decided() && state.runs(NodeId::Broker(coordinator));
    decided.then(|| {
        format!("a transaction of {} has no marker yet", state.names().transactional_id(id))
    })
}

fn group(state: &State, id: GroupId) -> Option<String> {
    let name = state.names().group(id);
    let group = &state.view.groups[id.index()];
    let coordinator = state.leader(state.names().group_partitions[id.index()])?;
    if !state.runs(NodeId::Broker(coordinator)) {
        return None;
    }
    if !matches!(group.state, GroupState::Stable | GroupState::Empty | GroupState::Dead) {
        return Some(format!("group {name} is {}", group.state.name()));
    }
    let gone = group.members.iter().find_map(|member| {
        let node = state.names().consumer_of(member.member)?;
        (!is_reading(state, node)).then(|| state.names().node(node))
    });
    if let Some(gone) = gone {
        return Some(format!("group {name} still counts {gone} as a member"));
    }
    let joined = |n: u16| {
        let node = NodeId::Consumer(n);
        group.members.iter().any(|m| state.names().consumer_of(m.member) == Some(node))
    };
    let missing = subscribers(state, id).find(|n| !joined(*n))?;
    Some(format!(
        "{} has not joined group {name}",
        state.names().consumers[usize::from(missing)].name
    ))
}

/// Members of a group whose application runs a loop and subscribes.
fn subscribers(state: &State, group: GroupId) -> impl Iterator<Item = u16> + '_ {
    (0..state.names().consumers.len() as u16).filter(move |n| {
        let spec = &state.sim.spec().consumers[usize::from(*n)];
        spec.group == Some(group)
            && !spec.steps.is_empty()
            && crate::scenario::apps::subscribes(&spec.subscription)
            && is_reading(state, NodeId::Consumer(*n))
    })
}

fn is_reading(state: &State, node: NodeId) -> bool {
    let NodeId::Consumer(n) = node else { return false };
    state.runs(node) && !state.view.consumers[usize::from(n)].closed
}

/// What a loop still has to read, finish or commit.
fn reader(state: &State, n: u16) -> Option<String> {
    let spec = &state.sim.spec().consumers[usize::from(n)];
    if spec.steps.is_empty() || !is_reading(state, NodeId::Consumer(n)) {
        return None;
    }
    let name = &state.names().consumers[usize::from(n)].name;
    let consumer = &state.view.consumers[usize::from(n)];
    if spec.config.share {
        return share_reader(state, n);
    }
    for owned in consumer.partitions.iter().filter(|p| p.assigned) {
        let partition = state.names().partition(owned.partition);
        let view = state.view.partition(owned.partition);
        let Some(leader) = view.leader_replica() else { continue };
        if !state.runs(NodeId::Broker(leader.broker)) {
            continue;
        }
        let end = match spec.config.isolation {
            IsolationLevel::ReadUncommitted => leader.high_watermark,
            IsolationLevel::ReadCommitted => leader.last_stable_offset(),
        };
        let committed_only = spec.config.isolation == IsolationLevel::ReadCommitted;
        // Control records, and for some readers aborted ones, are behind a reader without its having been given them.
        let ahead = |from: Offset| {
            from < end && holds_more(leader, (from, end), committed_only, state.batches())
        };
        if owned.position.is_none_or(|position| position > end || ahead(position)) {
            return Some(format!("{name} has not read {partition} to its end, {end}"));
        }
        let committed = spec.group.and_then(|group| {
            state.view.groups[group.index()].committed(owned.partition).map(|c| c.offset)
        });
        let slack = crate::scenario::apps::commit_slack(spec);
        if let (Some(slack), true) = (slack, end.0 > 0)
            && committed.is_none_or(|committed| ahead(committed + slack))
        {
            return Some(format!("{name} has not committed {end} of {partition}"));
        }
    }
    let open: u64 = consumer.unprocessed.iter().map(|slice| u64::from(slice.count)).sum();
    let works = crate::scenario::apps::finishes(spec);
    (open > 0 && works).then(|| format!("{name} works on {open} records"))
}

/// What a share group still has to do in the partitions of one of its members.
fn share_reader(state: &State, n: u16) -> Option<String> {
    let spec = &state.sim.spec().consumers[usize::from(n)];
    let client = state.sim.consumer(n).consumer();
    let group = spec.group?;
    for partition in client.assigned() {
        let open = open_records(state, group, *partition)?;
        if open > 0 {
            let (group, partition) =
                (state.names().group(group), state.names().partition(*partition));
            return Some(format!("{group} is not done with {open} records of {partition}"));
        }
    }
    let name = &state.names().consumers[usize::from(n)].name;
    let waits =
        client.assigned().is_empty() && crate::scenario::apps::subscribes(&spec.subscription);
    let members = state.view.groups[group.index()].members.len();
    (waits && members > 0).then(|| format!("{name} has no partition yet"))
}

/// True when a reader finds a record of an application from `from` to `end` in this log.
fn holds_more(
    leader: &ReplicaView,
    (from, end): (Offset, Offset),
    committed_only: bool,
    batches: &BatchTable,
) -> bool {
    let mut records = leader.messages_from(from, batches).take_while(|(at, _)| *at < end);
    if !committed_only {
        return records.next().is_some();
    }
    let stability = Stability::of(leader, batches);
    records.any(|(at, _)| stability.is_stable(at))
}

/// Records a group could read and has not committed, over the partitions of what its members subscribe to. `None`
/// while a leader is missing.
pub(super) fn lag(state: &State, group: GroupId) -> Option<i64> {
    if state.names().share_groups.contains(&group) {
        return probes::share_lag(state, group);
    }
    let mut lag = 0;
    let view = &state.view.groups[group.index()];
    for (n, partition) in state.names().partitions.iter().enumerate() {
        let id = PartitionId(n as u16);
        let topic = partition.topic;
        let read = state.sim.spec().consumers.iter().any(|spec| {
            spec.group == Some(group) && crate::scenario::apps::reads(&spec.subscription, topic, id)
        });
        if read && state.view.exists(id) {
            let leader = state.view.partition(id).leader_replica()?;
            let committed = view.committed(id).map_or(leader.log_start, |c| c.offset);
            lag += (leader.high_watermark - committed).max(0);
        }
    }
    Some(lag)
}
