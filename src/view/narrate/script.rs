//! Faults, the script, and the wire.

use crate::base::ids::{BrokerId, MessageId, NodeId, PartitionId};
use crate::event::{Event, EventKind, FaultKind, LossReason};
use crate::view::narrate::Scene;
use crate::view::narrate::replication::beyond;
use crate::view::words::{fold_ids, is_are, plural, wire_label};

pub(super) fn sentence(scene: &Scene<'_>, event: &Event) -> String {
    let who = scene.node(event.node);
    match event.kind {
        EventKind::Fault { kind } => fault(scene, event.node, kind),
        EventKind::Step { step } => format!("Step {} of the script begins.", step + 1),
        EventKind::Question { question } => {
            match scene.facts.questions.get(usize::from(question)) {
                Some(text) => text.clone(),
                None => format!("Question {} is put.", question + 1),
            }
        }
        EventKind::Observed { observation } => format!("Fact {} is noted.", observation + 1),
        EventKind::Quiesced => "Everything has settled.".to_owned(),
        EventKind::Stuck => "Something is stuck; the script waits no longer.".to_owned(),
        EventKind::Ended => "The run is over.".to_owned(),
        EventKind::AdminCalled { call, exception: None } => {
            format!("{} of the administrator returns.", call.name())
        }
        EventKind::AdminCalled { call, exception: Some(exception) } => {
            format!("{} of the administrator fails with {}.", call.name(), exception.name())
        }
        EventKind::WireSent { to, arrives_in, label, .. } => {
            let what = wire_label(scene.names(), scene.batches, &label);
            let held = if arrives_in == u32::MAX { " and is held" } else { "" };
            format!("{what} leaves {who} for {}{held}.", scene.node(to))
        }
        EventKind::WireArrived { wire } => {
            format!("{} reaches {who}.", wire_name(scene, wire))
        }
        EventKind::WireLost { wire, reason } => {
            let why = match reason {
                LossReason::Dropped => "the script drops it",
                LossReason::ConnectionClosed => "the connection was closed",
                LossReason::ReceiverDown => "the receiver is down",
                LossReason::CutOff => "the network is cut",
            };
            format!("{} is lost because {why}.", wire_name(scene, wire))
        }
        // Every other kind belongs to a node of another sort; a history of somebody else's may mix them.
        _ => format!("{who} does something that nobody here has words for."),
    }
}

fn wire_name(scene: &Scene<'_>, wire: u32) -> String {
    match scene.before.wire.get(&wire) {
        Some(message) => wire_label(scene.names(), scene.batches, &message.label),
        None => "A message".to_owned(),
    }
}

fn fault(scene: &Scene<'_>, node: NodeId, kind: FaultKind) -> String {
    let who = scene.node(node);
    let alone = match (node, kind) {
        (NodeId::Broker(b), FaultKind::Kill | FaultKind::Stopped | FaultKind::WipeDisk) => {
            only_on(scene, b)
        }
        _ => Vec::new(),
    };
    let held = in_hand(scene, node);
    let text = match kind {
        FaultKind::Kill => format!("{who} is killed (kill -9)"),
        FaultKind::PowerLoss => format!("{who} loses power: what was not flushed is gone"),
        FaultKind::Freeze => format!("{who} is frozen: it stands still, its connections stay open"),
        FaultKind::Thaw => format!("{who} thaws and goes on where it stood"),
        FaultKind::Stop => format!("{who} is told to shut down in order"),
        FaultKind::Stopped => format!("{who} has shut down in order"),
        FaultKind::Start => format!("{who} starts"),
        FaultKind::WipeDisk => format!("{who}'s disk is emptied"),
        FaultKind::CutLog => format!("The tail of a log of {who} is cut off"),
        FaultKind::DeleteLog => format!("The directory of a partition is deleted on {who}"),
        FaultKind::CutOff => format!("{who} is cut off from the network"),
        FaultKind::Reconnect => format!("{who} is back on the network"),
    };
    if !alone.is_empty() {
        let (ids, are) = (fold_ids(scene.names(), &alone), is_are(alone.len()));
        format!("{text}; {ids} {are} on its disk only.")
    } else if kind == FaultKind::Kill && held > 0 {
        let records = plural(held, "record");
        format!("{text}; {records} it had polled and not processed die with it.")
    } else {
        text + "."
    }
}

/// Messages that only this broker's replicas have.
pub(super) fn only_on(scene: &Scene<'_>, broker: BrokerId) -> Vec<MessageId> {
    let mut alone = Vec::new();
    for (n, p) in scene.before.partitions.iter().enumerate() {
        let Some(mine) = p.replica(broker) else { continue };
        if scene.names().topic_of(PartitionId(n as u16)).internal {
            continue;
        }
        let others = p.replicas.iter().filter(|r| r.broker != broker).map(|r| r.end);
        alone.extend(beyond(scene, mine, others.max().unwrap_or_default()));
    }
    alone
}

/// Records a consumer has polled and not processed.
fn in_hand(scene: &Scene<'_>, node: NodeId) -> u64 {
    match node {
        NodeId::Consumer(n) => {
            let slices = &scene.before.consumers[usize::from(n)].unprocessed;
            slices.iter().map(|slice| u64::from(slice.count)).sum()
        }
        _ => 0,
    }
}
