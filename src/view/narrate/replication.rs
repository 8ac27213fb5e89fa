//! What brokers do with logs.

use crate::base::batch::RecordBody;
use crate::base::error::ErrorCode;
use crate::base::ids::{
    BatchHandle, BrokerId, LeaderEpoch, MessageId, NodeId, Offset, PartitionId,
};
use crate::event::{Event, EventKind};
use crate::view::cluster::replica::{Acting, ReplicaView};
use crate::view::narrate::Scene;
use crate::view::words::{at_offsets, brokers, fold_ids, plural};

pub(super) fn sentence(scene: &Scene<'_>, event: &Event) -> Option<String> {
    let NodeId::Broker(who) = event.node else { return None };
    let name = |partition| scene.partition(partition);
    Some(match event.kind {
        EventKind::Appended { partition, batch, base_offset, leader_epoch } => {
            appended(scene, (who, partition), batch, base_offset, leader_epoch)
        }
        EventKind::Deduplicated { batch, base_offset, .. } => {
            let ids = scene.ids(batch);
            let at = at_offsets(base_offset, scene.batches[batch].count);
            format!("{who} has {ids} {at} already and answers without a second copy.")
        }
        EventKind::AppendRefused { partition, batch, error } => {
            refused(scene, who, partition, batch, error)
        }
        EventKind::HighWatermark { partition, offset } => {
            high_watermark(scene, who, partition, offset)
        }
        EventKind::LogStart { partition, offset } => {
            format!("{who} keeps {} from offset {offset} on.", name(partition))
        }
        EventKind::Truncated { partition, to, epoch } => {
            truncated(scene, who, partition, to, epoch)
        }
        EventKind::Flushed { partition, offset } => {
            format!("{who} has flushed {} below {offset} to its disk.", name(partition))
        }
        EventKind::SegmentRolled { partition, base_offset } => {
            format!("{who} begins a new segment of {} at offset {base_offset}.", name(partition))
        }
        EventKind::SegmentDeleted { partition, base_offset, end } => {
            let name = name(partition);
            format!("{who} deletes a segment of {name}: offsets {base_offset} to {}.", end.0 - 1)
        }
        EventKind::BatchCompacted { partition, base_offset, batch } => {
            compacted(scene, (who, partition), base_offset, batch)?
        }
        EventKind::SegmentMerged { partition, base_offset } => format!(
            "{who} adds what is left of the segment of {} at {base_offset} to the one before it.",
            name(partition)
        ),
        EventKind::LogCleaned { partition, to } => format!(
            "{who} has compacted {} below offset {to}: of each key only the last record is left.",
            name(partition)
        ),
        EventKind::BecameLeader { partition, leader_epoch, end } => {
            let name = name(partition);
            format!("{who} leads {name} with leader epoch {leader_epoch}; its log ends at {end}.")
        }
        EventKind::BecameFollower { partition, leader: Some(leader), leader_epoch } => {
            let name = name(partition);
            format!("{who} follows {leader} in {name}, leader epoch {leader_epoch}.")
        }
        EventKind::BecameFollower { partition, leader: None, .. } => {
            format!("{who} waits: {} has no leader.", name(partition))
        }
        EventKind::ReplicaDeleted { partition } => {
            let name = scene.partition(partition);
            format!("{who} deletes its log of {name}: it is not a replica any more.")
        }
        EventKind::IsrProposed { partition, isr } => isr_proposed(scene, who, partition, isr),
        EventKind::IsrKnown { partition, isr } => {
            format!("{who} knows that the ISR of {} is {isr}.", name(partition))
        }
        _ => return None,
    })
}

/// What a batch holds: message ids, or what a coordinator wrote.
fn contents(scene: &Scene<'_>, batch: BatchHandle) -> String {
    let mut records = scene.batches.records(batch).map(|record| record.body);
    match records.find(|body| *body != RecordBody::Removed).unwrap_or(RecordBody::Removed) {
        RecordBody::Message(_) => scene.ids(batch),
        RecordBody::Removed => "an empty batch".to_owned(),
        RecordBody::OffsetTombstone { group, .. } => {
            format!("tombstones of committed offsets of {}", scene.names().group(group))
        }
        RecordBody::GroupTombstone { group } => {
            format!("the tombstone of {}", scene.names().group(group))
        }
        RecordBody::OffsetCommit { group, .. } => {
            format!("committed offsets of {}", scene.names().group(group))
        }
        RecordBody::GroupMetadata { group, generation, .. } => {
            format!("generation {generation} of {}", scene.names().group(group))
        }
        RecordBody::ConsumerGroup { group, .. } => {
            format!("the state of {}", scene.names().group(group))
        }
        RecordBody::TransactionState { id, snapshot } => {
            let state = scene.batches.transaction(snapshot).state.name();
            format!("{state} of {}", scene.names().transactional_id(id))
        }
        RecordBody::EndTransactionMarker { committed: true, .. } => "a COMMIT marker".to_owned(),
        RecordBody::EndTransactionMarker { committed: false, .. } => "an ABORT marker".to_owned(),
        RecordBody::ShareState { group, partition, .. } => {
            let (group, partition) = (scene.names().group(group), scene.partition(partition));
            format!("what {group} has done with {partition}")
        }
        RecordBody::ShareGroup { group, .. } => {
            format!("the members of {}", scene.names().group(group))
        }
        RecordBody::DeadLetter { message, .. } => {
            format!("the dead letter {}", scene.names().message(message))
        }
    }
}

fn appended(
    scene: &Scene<'_>,
    (who, partition): (BrokerId, PartitionId),
    batch: BatchHandle,
    base: Offset,
    epoch: LeaderEpoch,
) -> String {
    let what = contents(scene, batch);
    let (at, name) = (at_offsets(base, scene.batches[batch].count), scene.partition(partition));
    let replica = scene.before.partition(partition).replica(who);
    let acting = replica.map(|replica| replica.acting);
    let registered = scene.before.partition(partition).leader;
    let from = match acting {
        Some(Acting::Follower { leader, .. }) => leader,
        // A formed cluster says who leads; those who follow do not say so themselves.
        Some(Acting::Unknown) => registered.filter(|leader| *leader != who),
        _ => None,
    };
    if let Some(leader) = from {
        return format!("{who} copies {what} from {leader} {at}.");
    }
    let twice = replica.is_some_and(|replica| holds_any(scene, replica, batch));
    if twice {
        return format!("{who} appends {what} a second time, {at} of {name}.");
    }
    let stays = replica.map_or(Offset(0), |replica| replica.high_watermark);
    format!("{who} appends {what} {at} of {name}, leader epoch {epoch}; the HW stays at {stays}.")
}

/// True when the log has a message of the batch already. Looks at the last batches only: a retry comes soon.
fn holds_any(scene: &Scene<'_>, replica: &ReplicaView, batch: BatchHandle) -> bool {
    let recent = replica.log.iter_from(replica.log.len().saturating_sub(64));
    let mut recent = recent.flat_map(|entry| scene.batches.messages(entry.batch));
    scene.batches.messages(batch).next().is_some_and(|id| recent.any(|other| other == id))
}

fn refused(
    scene: &Scene<'_>,
    who: BrokerId,
    partition: PartitionId,
    batch: BatchHandle,
    error: ErrorCode,
) -> String {
    let (ids, code) = (scene.ids(batch), error.name());
    let isr = scene.before.partition(partition).isr.len();
    match (error, scene.facts.topic(scene.names(), partition)) {
        (ErrorCode::NotEnoughReplicas, Some(topic)) => format!(
            "{who} refuses {ids} with {code} because the ISR has {} and min.insync.replicas is {}.",
            plural(isr as u64, "member"),
            topic.min_insync_replicas
        ),
        (ErrorCode::NotLeaderOrFollower, _) => {
            let name = scene.partition(partition);
            format!("{who} refuses {ids} with {code} because it does not lead {name}.")
        }
        _ => format!("{who} refuses {ids} with {code}."),
    }
}

fn high_watermark(scene: &Scene<'_>, who: BrokerId, partition: PartitionId, to: Offset) -> String {
    let p = scene.before.partition(partition);
    let name = scene.partition(partition);
    let Some(replica) = p.replica(who) else {
        return format!("The HW of {name} is {to} on {who}.");
    };
    let from = replica.high_watermark;
    if to < from {
        return format!("{who} puts the HW of {name} back from {from} to {to}.");
    }
    if p.leader == Some(who) {
        let isr = match p.isr.len() {
            1 => format!("{who} is alone in the ISR"),
            _ => format!("{} have everything below", brokers(p.isr)),
        };
        return format!("{who} moves the HW of {name} from {from} to {to} because {isr}.");
    }
    format!("{who} learns that the HW of {name} is {to}.")
}

/// What compaction took out of a batch; `None` when it only noted when tombstones may go.
fn compacted(
    scene: &Scene<'_>,
    (who, partition): (BrokerId, PartitionId),
    base: Offset,
    left: Option<BatchHandle>,
) -> Option<String> {
    let name = scene.partition(partition);
    let entry = scene.before.partition(partition).replica(who)?.entry_at(base, scene.batches);
    let before = entry.map(|entry| scene.batches.messages(entry.batch).collect::<Vec<_>>())?;
    let kept: Vec<MessageId> =
        left.map(|batch| scene.batches.messages(batch).collect()).unwrap_or_default();
    let gone: Vec<MessageId> = before.into_iter().filter(|id| !kept.contains(id)).collect();
    if gone.is_empty() {
        return Some(format!("{who} keeps the batch of {name} at {base} as it is, for now."));
    }
    let ids = fold_ids(scene.names(), &gone);
    Some(format!("{who} compacts {ids} away; offsets of {name} keep the gap."))
}

/// The messages a truncation to `to` removes from a replica.
pub(super) fn beyond(scene: &Scene<'_>, replica: &ReplicaView, to: Offset) -> Vec<MessageId> {
    replica.messages_from(to, scene.batches).map(|(_, id)| id).collect()
}

fn truncated(
    scene: &Scene<'_>,
    who: BrokerId,
    partition: PartitionId,
    to: Offset,
    epoch: LeaderEpoch,
) -> String {
    let name = scene.partition(partition);
    let replica = scene.before.partition(partition).replica(who);
    let gone = replica.map(|replica| beyond(scene, replica, to)).unwrap_or_default();
    let what =
        if gone.is_empty() { format!("{name} at {to}") } else { fold_ids(scene.names(), &gone) };
    match epoch {
        LeaderEpoch::NONE => format!("{who} cuts {what}; its log ends at {to}."),
        epoch => format!("{who} learns that epoch {epoch} ended at {to} and cuts {what}."),
    }
}

fn isr_proposed(
    scene: &Scene<'_>,
    who: BrokerId,
    partition: PartitionId,
    isr: crate::base::broker_set::BrokerSet,
) -> String {
    let now = scene.before.partition(partition).isr;
    let (gone, come) = (now.difference(isr), isr.difference(now));
    let name = scene.partition(partition);
    match (gone.is_empty(), come.is_empty()) {
        (false, _) => {
            let limit = scene.facts.cluster.brokers.replica_lag_time_max;
            let gone = brokers(gone);
            format!(
                "{who} asks for ISR {isr} of {name} because {gone} did not keep up for {limit}."
            )
        }
        (true, false) => {
            let come = brokers(come);
            format!("{who} asks for ISR {isr} of {name} because {come} has caught up.")
        }
        (true, true) => format!("{who} asks for ISR {isr} of {name}."),
    }
}
