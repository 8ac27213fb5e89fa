//! Facts about share groups.

use std::collections::BTreeMap;

use crate::base::batch::RecordBody;
use crate::base::ids::{GroupId, MessageId, NodeId, Offset, PartitionId};
use crate::base::share::{ShareReset, ShareSnapshot};
use crate::kafka::group::share::ShareGroup;
use crate::scenario::probes::{number, text};
use crate::scenario::state::State;
use crate::scenario::step::Probe;
use crate::scenario::value::Fact;

/// What a probe of a share group finds; `None` for other probes, and for what this variant does not have.
pub(super) fn fact(state: &State, probe: &Probe) -> Option<Fact> {
    match probe {
        Probe::Deliveries(group) => Some(deliveries(state, state.group(group)?)),
        Probe::DeliveryCount(group, id) => Some(delivery_count(state, state.group(group)?, id)),
        Probe::ShareOffsets(group) => Some(offsets(state, state.group(group)?, false)),
        Probe::ShareLag(group) => Some(offsets(state, state.group(group)?, true)),
        Probe::RecordStates(group, at) => record_states(state, state.group(group)?, state.at(at)?),
        _ => None,
    }
}

/// Delivery counts of each message, in the order in which `poll()` returned it to a share consumer of the group.
fn deliveries(state: &State, group: GroupId) -> Fact {
    let mut counts: BTreeMap<String, Vec<Fact>> = BTreeMap::new();
    let own = |n: u16| state.names().consumers[usize::from(n)].group == Some(group);
    for (consumer, message, count) in &state.notes.deliveries {
        if own(*consumer) {
            counts.entry(state.names().message(*message)).or_default().push(number(*count));
        }
    }
    Fact::Map(counts.into_iter().map(|(id, counts)| (id, Fact::List(counts))).collect())
}

/// The highest delivery count with which `poll()` returned the message called `id`; 0 when it never did.
fn delivery_count(state: &State, group: GroupId, id: &str) -> Fact {
    let names = state.names();
    let own = state.notes.deliveries.iter().filter(|(consumer, message, _)| {
        names.consumers[usize::from(*consumer)].group == Some(group)
            && names.message(*message) == id
    });
    number(own.map(|(_, _, count)| *count).max().unwrap_or(0))
}

/// What `listShareGroupOffsets` finds of the partitions that have share state: start offsets as the share coordinators
/// have stored them, or the lag. None where no start offset is set.
fn offsets(state: &State, group: GroupId, lag: bool) -> Fact {
    let partitions =
        self::group(state, group).map_or(&[][..], ShareGroup::initialized).iter().copied();
    let found = partitions.map(|partition| {
        let stored = stored(state, group, partition).filter(|stored| stored.start >= Offset(0));
        let offset = stored.map(|stored| stored.start.0);
        let value = if lag { stored.and_then(|s| stored_lag(state, partition, s)) } else { offset };
        (state.names().partition(partition), value.map_or(Fact::None, Fact::Number))
    });
    Fact::Map(found.collect())
}

/// The share group at its coordinator; an administrator makes one that nobody has joined.
pub(super) fn group(state: &State, group: GroupId) -> Option<&ShareGroup> {
    let home = state.names().group_partitions[group.index()];
    let coordinator = state.sim.broker(state.leader(home)?).coordinator();
    coordinator.group(group)?.share()
}

/// What the share coordinator has stored of a share partition.
fn stored(state: &State, group: GroupId, partition: PartitionId) -> Option<&ShareSnapshot> {
    let home = state.names().share_home(group, partition)?;
    state.sim.broker(state.leader(home)?).stored_share_state((group, partition))
}

/// From the start offset to the end of the partition, less what is done with in between (KIP-1226). `None` below zero,
/// and while the leader is missing.
fn stored_lag(state: &State, partition: PartitionId, stored: &ShareSnapshot) -> Option<i64> {
    let end = state.view.partition(partition).leader_replica()?.high_watermark;
    let done = stored.batches.iter().filter(|batch| batch.state.is_terminal());
    let done: i64 = done.map(|batch| batch.last.0 - batch.first.0 + 1).sum();
    Some(end.0 - stored.start.0 - done).filter(|lag| *lag >= 0)
}

/// Every record that the leader of a partition has in flight for a group.
fn record_states(state: &State, group: GroupId, partition: PartitionId) -> Option<Fact> {
    let leader = state.leader(partition)?;
    let share = state.sim.broker(leader).share_state(group, partition)?;
    let row = |(offset, record): (i64, &crate::kafka::share::state::InFlightState)| {
        let id = message_at(state, partition, offset)
            .map_or(Fact::None, |id| text(state.names().message(id)));
        let (word, count) = (text(record.state.name()), number(record.delivery_count));
        Fact::List(vec![number(offset), id, word, count])
    };
    Some(Fact::List(share.records().map(row).collect()))
}

fn message_at(state: &State, partition: PartitionId, offset: i64) -> Option<MessageId> {
    let leader = state.leader(partition)?;
    let log = state.sim.broker(leader).log(partition)?;
    let entry = log.read_from(Offset(offset)).next()?;
    let n = u32::try_from(offset - entry.base_offset.0).ok()?;
    if n >= state.batches()[entry.batch].count {
        return None;
    }
    match state.batches().record(entry.batch, n).body {
        RecordBody::Message(id) => Some(id),
        _ => None,
    }
}

/// How many records a share group could read and is not done with. `None` while a leader is missing.
pub(in crate::scenario) fn lag(state: &State, group: GroupId) -> Option<i64> {
    let mut lag = 0;
    for ((of, partition), _) in &state.names().share_homes {
        let topic = state.names().partitions[partition.index()].topic;
        let read = state.sim.spec().consumers.iter().any(|spec| {
            spec.group == Some(group)
                && crate::scenario::apps::reads(&spec.subscription, topic, *partition)
        });
        if *of == group && read {
            lag += open_records(state, group, *partition)?;
        }
    }
    Some(lag)
}

/// How many records of a partition a share group is not done with. Before its first fetch that depends on where it will
/// begin.
pub(in crate::scenario) fn open_records(
    state: &State,
    group: GroupId,
    partition: PartitionId,
) -> Option<i64> {
    let leader = state.leader(partition)?;
    if !state.runs(NodeId::Broker(leader)) {
        return None;
    }
    let replica = state.view.partition(partition).leader_replica()?;
    let end = replica.high_watermark;
    let Some(share) = state.sim.broker(leader).share_state(group, partition) else {
        let stored = stored(state, group, partition);
        if let Some(stored) = stored.filter(|stored| stored.start >= Offset(0)) {
            return Some(stored_lag(state, partition, stored).unwrap_or(0));
        }
        let reset = state.sim.spec().config.groups.get(group.index()).map(|config| config.reset);
        let all = reset.is_some_and(|reset| reset != ShareReset::Latest);
        return Some(if all { end - replica.log_start } else { 0 });
    };
    let done = share.records().filter(|(_, record)| record.state.is_terminal()).count();
    Some((end.0 - share.start_offset()).max(0) - done as i64)
}
