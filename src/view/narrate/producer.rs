//! What producers and their applications do and are told.

use crate::base::config::Acks;
use crate::base::ids::{BatchHandle, NodeId, Offset};
use crate::event::{Event, EventKind};
use crate::view::narrate::Scene;
use crate::view::words::{at_offsets, is_are};

pub(super) fn sentence(scene: &Scene<'_>, event: &Event) -> Option<String> {
    let NodeId::Producer(n) = event.node else { return None };
    let who = scene.node(event.node);
    Some(match event.kind {
        EventKind::Sent { message, partition } => {
            let id = scene.names().message(message);
            let again = if scene.before.message(message).is_sent() { " again" } else { "" };
            match partition {
                Some(partition) => {
                    format!("{who} sends {id} to {}{again}.", scene.partition(partition))
                }
                None => format!("{who} sends {id}{again}; it knows no partitions yet."),
            }
        }
        EventKind::BatchReady { batch, partition } => {
            let (ids, to) = (scene.ids(batch), scene.partition(partition));
            format!("{who} closes a batch of {ids} for {to}.")
        }
        EventKind::ProducerIdAssigned { producer_id, epoch } => {
            format!("{who} gets producer id {producer_id}, epoch {epoch}.")
        }
        EventKind::Acknowledged { batch, base_offset, .. } => {
            acknowledged(scene, n, batch, base_offset)
        }
        EventKind::BatchFailed { batch, exception, .. } => {
            let (ids, name) = (scene.ids(batch), exception.name());
            let stored = scene
                .batches
                .messages(batch)
                .any(|id| scene.before.message(id).stored != crate::base::ids::EventSeq::NONE);
            let although = if stored { ", although a broker has stored it" } else { "" };
            format!("{who} is told that {ids} failed with {name}{although}.")
        }
        EventKind::SendFailed { message, exception } => {
            let id = scene.names().message(message);
            format!("{who} is told that {id} failed with {}.", exception.name())
        }
        EventKind::Retry { batch, error, replaces, .. } => {
            let ids = scene.ids(batch);
            let rewritten = replaces != batch && replaces != BatchHandle::NONE;
            let anew = if rewritten { ", with a new sequence," } else { "" };
            format!("{who} will send {ids} again{anew} because of {}.", error.name())
        }
        EventKind::Threw { exception } => {
            format!("new KafkaProducer(…) for {who} throws {}.", exception.name())
        }
        _ => return None,
    })
}

fn acknowledged(scene: &Scene<'_>, n: u16, batch: BatchHandle, base: Offset) -> String {
    let who = scene.node(NodeId::Producer(n));
    let ids = scene.ids(batch);
    let count = scene.batches[batch].count;
    let acks = scene.facts.producer(n).map(|config| config.acks);
    let are = is_are(count as usize);
    if base == Offset::NONE && (acks == Some(Acks::None) || scene.batches[batch].producer.is_none())
    {
        return format!("{who} takes {ids} for sent: with acks=0 it asks nobody.");
    }
    let at = match base {
        Offset::NONE => String::new(),
        base => format!(" {}", at_offsets(base, count)),
    };
    let because = match acks {
        Some(Acks::Leader) => ": acks=1 asks only the leader",
        Some(Acks::All) => ": the HW is above, as acks=all asks",
        _ => "",
    };
    format!("{who} is told that {ids} {are} stored{at}{because}.")
}
