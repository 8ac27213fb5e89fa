//! Why one message met its fate: the events that mattered to it, in order, with what caused them. What
//! `highwater why` and the message journey of the screen print; the words come from `view::narrate`.

use std::collections::BTreeSet;

use crate::base::batch::BatchTable;
use crate::base::ids::{BatchHandle, EventSeq, MessageId, NodeId, Offset, PartitionId};
use crate::base::time::{Duration, Time};
use crate::event::{Event, EventKind};
use crate::view::cluster::ClusterView;
use crate::view::fate::Fate;

/// One row of the journey.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The event.
    pub seq: EventSeq,
    /// When.
    pub at: Time,
    /// Who acts.
    pub node: NodeId,
    /// How long after the row before.
    pub gap: Duration,
    /// It is on the chain of causes of the last event of the fate, and not only about the same message.
    pub on_chain: bool,
}

/// The rows of `fate`, oldest first: every event about the message itself, faults and elections that touched its
/// partition between its sending and its fate, and the chain of causes back from the fate's last event.
pub fn journey(
    fate: &Fate,
    view: &ClusterView,
    events: &[Event],
    batches: &BatchTable,
) -> Vec<Row> {
    let story = Story { fate, view, batches };
    let chain = chain(fate, events);
    let first = view.message(fate.message).sent;
    let last = fate.witnesses.last().copied().unwrap_or(first);
    let mut chosen: BTreeSet<EventSeq> = fate.witnesses.iter().copied().collect();
    for (n, event) in events.iter().enumerate() {
        let seq = EventSeq(n as u32);
        let between = first <= seq && seq <= last.max(first);
        if story.is_about(event) || (between && story.touches(event)) {
            chosen.insert(seq);
        }
    }
    let told = |seq: &&EventSeq| is_told(&events[seq.index()].kind);
    chosen.extend(chain.iter().filter(told).filter(|seq| **seq >= first));
    let mut before: Option<Time> = None;
    let rows = chosen.into_iter().filter(|seq| seq.index() < events.len());
    rows.map(|seq| {
        let event = &events[seq.index()];
        let gap = before.map_or(Duration::ZERO, |before| event.at.since(before));
        before = Some(event.at);
        Row { seq, at: event.at, node: event.node, gap, on_chain: chain.contains(&seq) }
    })
    .collect()
}

/// The causes of the last witness, back to the first cause.
fn chain(fate: &Fate, events: &[Event]) -> BTreeSet<EventSeq> {
    let mut chain = BTreeSet::new();
    let mut at = fate.witnesses.last().copied().unwrap_or(EventSeq::NONE);
    while let Some(event) = events.get(at.index()).filter(|_| chain.insert(at)) {
        at = event.cause;
    }
    chain
}

/// Wire traffic explains nothing that the events at its ends do not say.
fn is_told(kind: &EventKind) -> bool {
    !kind.is_wire() && !matches!(kind, EventKind::Step { .. } | EventKind::PollCalled)
}

struct Story<'a> {
    fate: &'a Fate,
    view: &'a ClusterView,
    batches: &'a BatchTable,
}

impl Story<'_> {
    /// The event names the message.
    fn is_about(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::Sent { message, .. } | EventKind::SendFailed { message, .. } => {
                message == self.fate.message
            }
            EventKind::Acknowledged { batch, .. }
            | EventKind::BatchFailed { batch, .. }
            | EventKind::Retry { batch, .. }
            | EventKind::Appended { batch, .. }
            | EventKind::Deduplicated { batch, .. }
            | EventKind::AppendRefused { batch, .. } => self.holds(batch, None),
            EventKind::Polled { batch, first, count, .. }
            | EventKind::Processed { batch, first, count, .. } => {
                self.holds(batch, Some((first, count)))
            }
            _ => false,
        }
    }

    fn holds(&self, batch: BatchHandle, slice: Option<(u16, u16)>) -> bool {
        let (first, count) = slice.unwrap_or((0, self.batches[batch].count as u16));
        let mut ids = crate::view::words::slice_messages(self.batches, batch, first, count);
        ids.any(|id: MessageId| id == self.fate.message)
    }

    /// The event is about the message's partition or a process that had a part in it, and changed what could become
    /// of the message.
    fn touches(&self, event: &Event) -> bool {
        let Some(mine) = self.fate.partition else { return false };
        let replicas = self.view.names.partitions[mine.index()].replicas.set();
        let is_mine = |partition: PartitionId| partition == mine;
        match event.kind {
            EventKind::Fault { .. } => match event.node {
                NodeId::Broker(broker) => replicas.contains(broker),
                NodeId::Producer(n) => self.view.message(self.fate.message).producer == Some(n),
                NodeId::Consumer(_) => self.is_read(),
                NodeId::Controller(_) | NodeId::Script => true,
            },
            EventKind::PartitionChanged { partition, .. }
            | EventKind::BecameLeader { partition, .. } => is_mine(partition),
            EventKind::Truncated { partition, to, .. } => {
                is_mine(partition) && self.offset().is_some_and(|offset| to <= offset)
            }
            EventKind::OffsetCommitted { partition, offset, .. } => {
                is_mine(partition)
                    && self.offset().is_some_and(|mine| offset > mine)
                    && !self.fate.skipped_by.is_empty()
            }
            EventKind::PositionSet { partition, .. } => is_mine(partition) && self.is_read(),
            EventKind::BrokerFenced { broker } => replicas.contains(broker),
            _ => false,
        }
    }

    fn is_read(&self) -> bool {
        !self.fate.processed.is_empty() || !self.fate.skipped_by.is_empty()
    }

    fn offset(&self) -> Option<Offset> {
        let told = match self.fate.told {
            crate::view::cluster::message::Told::Acknowledged(offset) => Some(offset),
            _ => None,
        };
        self.fate.offsets.first().copied().or(told)
    }
}
