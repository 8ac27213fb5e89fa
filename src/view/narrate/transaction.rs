//! Transactions: what their producers are told and what coordinators and leaders do about them.

use crate::event::{Event, EventKind};
use crate::view::narrate::Scene;

pub(super) fn sentence(scene: &Scene<'_>, event: &Event) -> Option<String> {
    let (who, names) = (scene.node(event.node), scene.names());
    Some(match event.kind {
        EventKind::TransactionCalled { call, exception: None } => {
            format!("{}() of {who} returns.", call.name())
        }
        EventKind::TransactionCalled { call, exception: Some(exception) } => {
            format!("{}() of {who} throws {}.", call.name(), exception.name())
        }
        EventKind::LastStableOffset { partition, offset } => {
            let partition = scene.partition(partition);
            format!("The last stable offset of {partition} on {who} is {offset}.")
        }
        EventKind::TransactionChanged { id, state, producer_id, epoch } => {
            let id = names.transactional_id(id);
            format!("{id} is {}: producer id {producer_id}, epoch {epoch}.", state.name())
        }
        EventKind::TransactionPartition { id, partition } => {
            let partition = scene.partition(partition);
            format!("{partition} is part of the transaction of {}.", names.transactional_id(id))
        }
        EventKind::TransactionLoaded { id } => {
            format!("{who} coordinates the transactions of {}.", names.transactional_id(id))
        }
        EventKind::OffsetPending { group, partition, offset, .. } => {
            let (group, partition) = (names.group(group), scene.partition(partition));
            format!(
                "{group} will have committed offset {offset} of {partition} if the transaction commits."
            )
        }
        EventKind::PendingDropped { group, .. } => {
            format!(
                "The pending offsets of {} are dropped: the transaction is aborted.",
                names.group(group)
            )
        }
        _ => return None,
    })
}
