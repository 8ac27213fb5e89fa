//! Share groups: what the leader of a partition does about records, and what share consumers say of them.

use crate::base::batch::RecordBody;
use crate::base::ids::{MemberId, Offset, PartitionId};
use crate::base::share::{AcknowledgeType, RecordState};
use crate::event::{Event, EventKind, SettleReason};
use crate::view::narrate::Scene;
use crate::view::words::{fold_ids, is_are};

pub(super) fn sentence(scene: &Scene<'_>, event: &Event) -> Option<String> {
    leader(scene, event).or_else(|| member(scene, event))
}

/// `m3-m5 of orders-0`; by offsets where no log has them any more.
fn run(scene: &Scene<'_>, partition: PartitionId, first: Offset, count: u32) -> String {
    let name = scene.partition(partition);
    let end = first + i64::from(count);
    let mut ids = Vec::new();
    let view = scene.before.partition(partition);
    let leader = view.leader.and_then(|leader| view.replica(leader));
    for entry in leader.into_iter().flat_map(|replica| replica.log.iter_from(0)) {
        for (n, record) in scene.batches.records(entry.batch).enumerate() {
            let offset = entry.base_offset + n as i64;
            if let RecordBody::Message(id) = record.body
                && (first..end).contains(&offset)
            {
                ids.push(id);
            }
        }
    }
    match (ids.is_empty(), count) {
        (false, _) => format!("{} of {name}", fold_ids(scene.names(), &ids)),
        (true, 1) => format!("offset {first} of {name}"),
        (true, _) => format!("offsets {first} to {} of {name}", end + -1),
    }
}

fn who(scene: &Scene<'_>, member: MemberId) -> String {
    let found = scene.names().consumer_of(member);
    found.map_or_else(|| "a member".to_owned(), |node| scene.node(node))
}

fn leader(scene: &Scene<'_>, event: &Event) -> Option<String> {
    let names = scene.names();
    let node = scene.node(event.node);
    Some(match event.kind {
        EventKind::SharePartitionLoaded { group, partition, start } => {
            let (group, partition) = (names.group(group), scene.partition(partition));
            format!("{node} hands out {partition} to {group} from offset {start} on.")
        }
        EventKind::RecordsAcquired { partition, member, first, count, delivery, .. } => {
            let (run, who) = (run(scene, partition, first, count), who(scene, member));
            match delivery {
                1 => format!("{node} locks {run} for {who}."),
                n => format!("{node} locks {run} for {who}: delivery number {n}."),
            }
        }
        EventKind::RecordsSettled { partition, first, count, state, reason, .. } => {
            settled(&run(scene, partition, first, count), count, (state, reason))
        }
        EventKind::LockRenewed { partition, member, first, count, .. } => {
            let (run, who) = (run(scene, partition, first, count), who(scene, member));
            format!("{node} renews the lock of {who} on {run}.")
        }
        EventKind::ShareStart { group, partition, offset } => {
            let (group, partition) = (names.group(group), scene.partition(partition));
            format!("{group} is done with everything below offset {offset} of {partition}.")
        }
        EventKind::ShareReset { group, partition, start } => {
            let (group, partition) = (names.group(group), scene.partition(partition));
            let from = match start.0 {
                0.. => format!("at offset {}", start.0),
                _ => "by share.auto.offset.reset".to_owned(),
            };
            format!(
                "{node} forgets what {group} did with records of {partition}: it begins anew {from}."
            )
        }
        EventKind::ShareAssigned { group, member, partition } => {
            let (who, partition) = (who(scene, member), scene.partition(partition));
            format!("{} lets {who} work on {partition}, besides others.", names.group(group))
        }
        EventKind::ShareRevoked { group, member, partition } => {
            let (who, partition) = (who(scene, member), scene.partition(partition));
            format!("{} takes {partition} from {who}.", names.group(group))
        }
        _ => return None,
    })
}

fn settled(run: &str, count: u32, (state, reason): (RecordState, SettleReason)) -> String {
    let are = is_are(count as usize);
    let because = match reason {
        SettleReason::Acknowledged => "",
        SettleReason::Released => " because the member that had it is gone",
        SettleReason::LockTimeout => " because the lock ran out",
        SettleReason::DeadLettered => " after the dead-letter queue",
        SettleReason::Deleted => " because the log begins later now",
    };
    match state {
        RecordState::Available => format!("{run} {are} free again{because}."),
        RecordState::Acknowledged => format!("{run} {are} done{because}."),
        RecordState::Archiving => format!("{run} {are} on the way to the dead-letter queue."),
        RecordState::Archived => format!("{run} {are} archived{because}: never delivered again."),
        RecordState::Acquired => format!("{run} {are} locked{because}."),
    }
}

fn member(scene: &Scene<'_>, event: &Event) -> Option<String> {
    let node = scene.node(event.node);
    let says = |kind: AcknowledgeType| match kind {
        AcknowledgeType::Gap => "finds nothing at",
        AcknowledgeType::Accept => "accepts",
        AcknowledgeType::Release => "releases",
        AcknowledgeType::Reject => "rejects",
        AcknowledgeType::Renew => "wants more time for",
    };
    Some(match event.kind {
        EventKind::Delivered { partition, base_offset, first, count, delivery, .. } => {
            let first = base_offset + i64::from(first);
            let run = run(scene, partition, first, u32::from(count));
            format!("{node} got {run}: delivery number {delivery}.")
        }
        EventKind::AcknowledgeCalled { partition, first, count, kind } => {
            format!("{node} {} {}.", says(kind), run(scene, partition, first, count))
        }
        EventKind::AcknowledgeSent { partition, first, count, kind } => {
            let run = run(scene, partition, first, count);
            format!("{node} tells the leader that it {} {run}.", says(kind))
        }
        EventKind::AcknowledgeAnswered { partition, first, count, exception } => {
            let run = run(scene, partition, first, count);
            match exception {
                None => format!("{node} hears that its word on {run} counts."),
                Some(exception) => {
                    format!(
                        "{node} hears that its word on {run} does not count: {}.",
                        exception.name()
                    )
                }
            }
        }
        _ => return None,
    })
}
