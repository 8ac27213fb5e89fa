//! What consumers and their applications do.

use crate::base::ids::{BatchHandle, NodeId, Offset, PartitionId};
use crate::event::{CommitKind, Event, EventKind, PositionReason, RebalanceCallback};
use crate::view::cluster::table::TableView;
use crate::view::narrate::Scene;
use crate::view::words::{fold_ids, plural, slice_ids, slice_messages};

pub(super) fn sentence(scene: &Scene<'_>, event: &Event) -> Option<String> {
    let NodeId::Consumer(n) = event.node else { return None };
    let who = scene.node(event.node);
    let name = |partition| scene.partition(partition);
    Some(match event.kind {
        EventKind::PollCalled => format!("{who} calls poll()."),
        EventKind::PollEmpty => format!("{who}'s poll() returns nothing."),
        EventKind::Polled { partition, batch, first, count, .. } => {
            let ids = slice_ids(scene.names(), scene.batches, batch, first, count);
            format!("{who}'s poll() returns {ids} of {}.", name(partition))
        }
        EventKind::Processed { partition, batch, first, count, .. } => {
            processed(scene, n, partition, batch, (first, count))
        }
        EventKind::PositionPassed { partition, offset } => {
            let name = name(partition);
            format!("{who} goes on at {offset} of {name}: what lies before holds no record for it.")
        }
        EventKind::PositionSet { partition, offset, reason } => {
            position(scene, n, partition, offset, reason)
        }
        EventKind::CommitSent { partition, offset, kind } => {
            commit(&who, offset, &name(partition), kind)
        }
        EventKind::CommitAnswered { partition, offset, exception, .. } => match exception {
            None => {
                format!("{who} is told that offset {offset} of {} is committed.", name(partition))
            }
            Some(exception) => {
                let (name, exception) = (name(partition), exception.name());
                format!("{who}'s commit of offset {offset} of {name} fails with {exception}.")
            }
        },
        EventKind::Callback { callback, count } => {
            let partitions = plural(u64::from(count), "partition");
            match callback {
                RebalanceCallback::Revoked if count > 0 => {
                    format!("{who} gives up {partitions}: {}() runs.", method(callback))
                }
                RebalanceCallback::Lost if count > 0 => {
                    format!("{who} has lost {partitions}: {}() runs.", method(callback))
                }
                _ => format!("{who} runs {}() with {partitions}.", method(callback)),
            }
        }
        EventKind::CallbackPartition { callback, partition } => {
            let name = name(partition);
            match callback {
                RebalanceCallback::Assigned => format!("{who} gets {name}."),
                RebalanceCallback::Revoked => format!("{who} gives {name} up."),
                RebalanceCallback::Lost => format!("{who} has lost {name}."),
            }
        }
        EventKind::Threw { exception } => format!("{who}'s call throws {}.", exception.name()),
        EventKind::Closed => format!("{who} closes its consumer."),
        _ => return None,
    })
}

fn commit(who: &str, offset: Offset, name: &str, kind: CommitKind) -> String {
    match kind {
        CommitKind::Sync => format!("{who} calls commitSync(): offset {offset} of {name}."),
        CommitKind::Async => format!("{who} calls commitAsync(): offset {offset} of {name}."),
        CommitKind::AutoPoll => {
            format!(
                "{who}'s poll() commits offset {offset} of {name}, which earlier polls returned."
            )
        }
        CommitKind::AutoRebalance => {
            format!("{who} commits offset {offset} of {name} before the rebalance takes it away.")
        }
        CommitKind::AutoBackground => format!(
            "{who}'s background thread commits offset {offset} of {name}, whatever is finished."
        ),
        CommitKind::AutoClose => format!("{who}'s close() commits offset {offset} of {name}."),
    }
}

fn method(callback: RebalanceCallback) -> &'static str {
    match callback {
        RebalanceCallback::Assigned => "onPartitionsAssigned",
        RebalanceCallback::Revoked => "onPartitionsRevoked",
        RebalanceCallback::Lost => "onPartitionsLost",
    }
}

fn processed(
    scene: &Scene<'_>,
    n: u16,
    partition: PartitionId,
    batch: BatchHandle,
    (first, count): (u16, u16),
) -> String {
    let who = scene.node(NodeId::Consumer(n));
    let reader = &scene.before.readers[scene.before.reader_of(n)];
    let again: Vec<_> = slice_messages(scene.batches, batch, first, count)
        .filter(|id| reader.message(*id).count > 0)
        .collect();
    let ids = slice_ids(scene.names(), scene.batches, batch, first, count);
    let name = scene.partition(partition);
    if again.is_empty() {
        format!("{who} processes {ids} of {name}.")
    } else if again.len() == usize::from(count) {
        format!("{who} processes {ids} of {name} again.")
    } else {
        let again = fold_ids(scene.names(), &again);
        format!("{who} processes {ids} of {name}; {again} for the second time.")
    }
}

fn position(
    scene: &Scene<'_>,
    n: u16,
    partition: PartitionId,
    offset: Offset,
    reason: PositionReason,
) -> String {
    let (who, name) = (scene.node(NodeId::Consumer(n)), scene.partition(partition));
    let reset = |which: &str| {
        let had = scene.before.consumers[usize::from(n)].position(partition);
        match had {
            Some(had) => {
                format!(
                    "{who} moves from {had} to {offset} in {name} because auto.offset.reset={which}."
                )
            }
            None => format!(
                "{who} starts {name} at {offset} because nothing is committed and auto.offset.reset={which}."
            ),
        }
    };
    match reason {
        PositionReason::Committed => {
            format!("{who} starts {name} at {offset}, the committed offset.")
        }
        PositionReason::ResetEarliest => reset("earliest"),
        PositionReason::ResetLatest => reset("latest"),
        PositionReason::ResetByDuration => reset("by_duration"),
        PositionReason::Seek => {
            let keeps = |table: &TableView| table.offsets.get(&partition) == Some(&offset);
            let kept = scene.before.tables.iter().position(keeps);
            let kept = kept.map(|table| scene.names().tables[table].as_str());
            let why = kept.map_or(String::new(), |table| format!(", the offset kept in {table}"));
            format!("{who} seeks to {offset} in {name}{why}.")
        }
        PositionReason::Truncation => {
            format!("{who} goes back to {offset} in {name} because the log was truncated there.")
        }
    }
}
