//! Transactions: what their producers are told and what coordinators and leaders do about them.

use crate::base::batch::TransactionState;
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
            if scene.releases(event) {
                format!(
                    "{who} moves the LSO of {partition} to {offset}: the open transaction that held it has ended."
                )
            } else {
                format!("The last stable offset of {partition} on {who} is {offset}.")
            }
        }
        EventKind::TransactionChanged { id, state, producer_id, epoch } => {
            let known = scene.before.transactions.get(id.index()).and_then(|known| known.state);
            let does = coordinator_does(state, known, names.transactional_id(id));
            format!("{who} {does}; producer id {producer_id}, epoch {epoch}.")
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

/// What the coordinator of `id` does when it writes `state`; the word of the state is Kafka's.
fn coordinator_does(state: TransactionState, known: Option<TransactionState>, id: &str) -> String {
    use TransactionState as S;
    let does = match state {
        S::Empty => return format!("has {id} ready for its next transaction ({})", state.name()),
        S::Ongoing if known == Some(state) => "adds to the open transaction of",
        S::Ongoing => "notes an open transaction of",
        S::PrepareCommit => "decides to commit the transaction of",
        S::PrepareAbort => "decides to abort the transaction of",
        S::CompleteCommit => "has written every marker of the commit of",
        S::CompleteAbort => "has written every marker of the abort of",
        S::PrepareEpochFence => "raises the epoch to fence the producer of",
        S::Dead => "forgets",
    };
    format!("{does} {id} ({})", state.name())
}
