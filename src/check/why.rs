//! Why one message met its fate: the events that mattered to it, in order, with what caused them. What
//! `highwater why` and the message journey of the screen print; the words come from `view::narrate`.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::batch::BatchTable;
use crate::base::broker_set::BrokerSet;
use crate::base::ids::{BatchHandle, BrokerId, EventSeq, MessageId, NodeId, Offset, PartitionId};
use crate::base::time::{Duration, Time};
use crate::event::{Event, EventKind, FaultKind};
use crate::view::cluster::ClusterView;
use crate::view::fate::Fate;
use crate::view::narrate::{Importance, importance};
use crate::view::words::brokers;

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
    /// It is on the chain of causes of what decided the fate, and not only about the same message.
    pub on_chain: bool,
    /// Where a message was lost: who had it at that moment.
    pub holders: Option<Holders>,
}

/// The replicas of a partition by whether they had a message at some moment.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Holders {
    /// These had it in their logs, alive or not.
    pub had: BrokerSet,
    /// These had not.
    pub lacked: BrokerSet,
}

impl Holders {
    /// `m4 is on b1, and not on b2 and b3.`
    pub fn words(&self, message: &str) -> String {
        match (self.had.is_empty(), self.lacked.is_empty()) {
            (true, _) => format!("{message} is on no disk."),
            (false, true) => format!("{message} is on {}.", brokers(self.had)),
            (false, false) => {
                format!(
                    "{message} is on {}, and not on {}.",
                    brokers(self.had),
                    brokers(self.lacked)
                )
            }
        }
    }
}

/// The rows of `fate`, oldest first: every event about the message itself, faults and elections that touched its
/// partition between its sending and its fate, faults from before that still lasted, and the chain of causes back from
/// what decided the fate. Nothing after the fate was sealed.
pub fn journey(
    fate: &Fate,
    view: &ClusterView,
    events: &[Event],
    batches: &BatchTable,
) -> Vec<Row> {
    let story = Story { fate, view, batches };
    let chain = chain(fate, events);
    let first = view.message(fate.message).sent;
    let last = story.sealed(events).max(first);
    let mut chosen: BTreeSet<EventSeq> = fate.witnesses.iter().copied().collect();
    chosen.extend(story.lasting_faults(events, first));
    let mut holders = None;
    let mut had = Copies::default();
    for (n, event) in events.iter().enumerate().take(last.index() + 1) {
        let seq = EventSeq(n as u32);
        if seq == fate.decided && fate.lost.is_some() {
            holders = story.holders(&had);
        }
        had.observe(&story, event);
        if story.is_about(event) || (seq >= first && story.touches(event)) {
            chosen.insert(seq);
        }
    }
    let told = |seq: &&EventSeq| story.is_cause(&events[seq.index()]);
    chosen.extend(chain.iter().filter(told).filter(|seq| **seq >= first));
    let mut before: Option<Time> = None;
    let rows = chosen.into_iter().filter(|seq| *seq <= last && seq.index() < events.len());
    rows.map(|seq| {
        let event = &events[seq.index()];
        let gap = before.map_or(Duration::ZERO, |before| event.at.since(before));
        before = Some(event.at);
        let on_chain = chain.contains(&seq);
        let holders = holders.filter(|_| seq == fate.decided);
        Row { seq, at: event.at, node: event.node, gap, on_chain, holders }
    })
    .collect()
}

/// Who had the message just before event `at`; `None` for one without a partition.
pub fn holders_at(
    fate: &Fate,
    view: &ClusterView,
    events: &[Event],
    batches: &BatchTable,
    at: EventSeq,
) -> Option<Holders> {
    let story = Story { fate, view, batches };
    let mut copies = Copies::default();
    events.iter().take(at.index()).for_each(|event| copies.observe(&story, event));
    story.holders(&copies)
}

/// The causes of what decided the fate (of its last witness, where nothing did), back to the first cause.
fn chain(fate: &Fate, events: &[Event]) -> BTreeSet<EventSeq> {
    let mut chain = BTreeSet::new();
    let mut at = match fate.decided {
        EventSeq::NONE => fate.witnesses.last().copied().unwrap_or(EventSeq::NONE),
        decided => decided,
    };
    while let Some(event) = events.get(at.index()).filter(|_| chain.insert(at)) {
        at = event.cause;
    }
    chain
}

/// Which brokers have a message on their disks, as far as it can be told from events of its partition.
#[derive(Clone, Default, Debug)]
struct Copies {
    had: BrokerSet,
    flushed: BTreeMap<BrokerId, Offset>,
}

impl Copies {
    fn observe(&mut self, story: &Story<'_>, event: &Event) {
        let (Some(broker), Some(offset)) = (event.node.broker(), story.offset()) else { return };
        let mine = |partition: PartitionId| story.fate.partition == Some(partition);
        match event.kind {
            EventKind::Appended { batch, .. } if story.holds(batch, None) => {
                self.had = self.had.with(broker);
            }
            EventKind::Flushed { partition, offset } if mine(partition) => {
                self.flushed.insert(broker, offset);
            }
            EventKind::Truncated { partition, to, .. } if mine(partition) && to <= offset => {
                self.had = self.had.without(broker);
            }
            EventKind::Fault { kind: FaultKind::WipeDisk } => {
                self.had = self.had.without(broker);
            }
            EventKind::Fault { kind: FaultKind::PowerLoss }
                if self.flushed.get(&broker).is_none_or(|flushed| *flushed <= offset) =>
            {
                self.had = self.had.without(broker);
            }
            _ => {}
        }
    }
}

struct Story<'a> {
    fate: &'a Fate,
    view: &'a ClusterView,
    batches: &'a BatchTable,
}

impl Story<'_> {
    /// The event after which nothing could change any more: for a skipped message the start of a reader beyond it, or
    /// the death of the one that had it; else the last witness.
    fn sealed(&self, events: &[Event]) -> EventSeq {
        let last = self.fate.witnesses.last().copied().unwrap_or(EventSeq::NONE);
        let (false, Some(offset)) = (self.fate.skipped_by.is_empty(), self.offset()) else {
            return last;
        };
        let mut sealed = last;
        for (n, event) in events.iter().enumerate().skip(self.fate.decided.index() + 1) {
            match (event.node, event.kind) {
                (NodeId::Consumer(_), EventKind::Fault { kind }) if kind.harms() => {
                    sealed = sealed.max(EventSeq(n as u32));
                }
                (_, EventKind::PositionSet { partition, offset: to, .. })
                    if self.fate.partition == Some(partition) && to > offset =>
                {
                    return sealed.max(EventSeq(n as u32));
                }
                _ => {}
            }
        }
        sealed
    }

    /// Faults from before `first` that still kept a replica of the partition from taking part.
    fn lasting_faults(&self, events: &[Event], first: EventSeq) -> Vec<EventSeq> {
        let mut lasting: BTreeMap<BrokerId, EventSeq> = BTreeMap::new();
        for (n, event) in events.iter().enumerate().take(first.index()) {
            let (Some(broker), EventKind::Fault { kind }) = (event.node.broker(), event.kind)
            else {
                continue;
            };
            match kind {
                FaultKind::Thaw | FaultKind::Start | FaultKind::Reconnect => {
                    lasting.remove(&broker);
                }
                _ => {
                    lasting.insert(broker, EventSeq(n as u32));
                }
            }
        }
        let replicas = self.replicas();
        lasting.into_iter().filter(|(b, _)| replicas.contains(*b)).map(|(_, seq)| seq).collect()
    }

    fn holders(&self, copies: &Copies) -> Option<Holders> {
        let lacked = self.replicas().difference(copies.had);
        Some(Holders { had: copies.had, lacked }).filter(|_| self.fate.partition.is_some())
    }

    fn replicas(&self) -> BrokerSet {
        let names = &self.view.names;
        let mine = self.fate.partition.map(|p| names.partitions[p.index()].replicas.set());
        mine.unwrap_or(BrokerSet::EMPTY)
    }

    /// A link of the chain of causes that explains: not what happened to other messages, and not the small change of
    /// protocols.
    fn is_cause(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::CommitSent { .. } => true,
            EventKind::Sent { .. }
            | EventKind::Appended { .. }
            | EventKind::HighWatermark { .. }
            | EventKind::Acknowledged { .. }
            | EventKind::Polled { .. }
            | EventKind::Processed { .. } => self.is_about(event),
            EventKind::Question { .. } => false,
            _ => importance(event, &self.view.names) > Importance::Detail,
        }
    }

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
        let replicas = self.replicas();
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
        let appended = self.view.message(self.fate.message).appended_at;
        let kept = Some(appended).filter(|offset| *offset != Offset::NONE);
        self.fate.offsets.first().copied().or(told).or(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fate::fates;
    use crate::view::narrate::{Facts, Scene, sentence};
    use crate::view::story::Story as History;

    /// The sentences of the journey of `message`, and who had it where it was lost.
    fn told(history: &History, message: u32) -> (Vec<String>, Option<Holders>) {
        let (view, batches) = (history.view(), &history.batches);
        let all = fates(&view, batches);
        let fate = all.iter().find(|fate| fate.message == MessageId(message)).unwrap();
        let rows = journey(fate, &view, &history.events, batches);
        let facts = Facts::default();
        let sentences = rows.iter().map(|row| {
            let mut before = ClusterView::new(std::sync::Arc::clone(&history.names));
            for (n, event) in history.events.iter().take(row.seq.index()).enumerate() {
                before.apply(EventSeq(n as u32), event, batches);
            }
            let scene = Scene { before: &before, batches, facts: &facts };
            sentence(&scene, &history.events[row.seq.index()])
        });
        (sentences.collect(), rows.iter().find_map(|row| row.holders))
    }

    #[test]
    fn a_loss_is_told_from_its_sending_to_the_first_leader_without_it_and_its_cut() {
        let mut history = History::new();
        let safe = history.send(&[0]);
        history.replicate(&[1, 2, 3], safe, 0, 0);
        history.fault(2, FaultKind::Freeze);
        let alone = history.send(&[1]);
        history.append(1, alone, 1, 0);
        history.acked(alone, 1);
        history.fault(1, FaultKind::Kill);
        history.fault(2, FaultKind::Thaw);
        history.leads(2, 1, &[2, 3]);
        history.fault(1, FaultKind::Start);
        history.truncate(1, 1, 0);
        // What comes later has nothing to do with it.
        history.leads(2, 1, &[1, 2, 3]);
        history.leads(3, 2, &[1, 2, 3]);
        let (rows, holders) = told(&history, 1);
        assert!(rows[0].starts_with("b2 is frozen"), "what lasted at its sending: {rows:#?}");
        assert!(rows[1].starts_with("checkout sends m1"), "{rows:#?}");
        assert!(rows.iter().any(|row| row.contains("elects b2")), "{rows:#?}");
        assert_eq!(rows.last().unwrap(), "b1 learns that epoch 0 ended at 1 and cuts m1.");
        let holders = holders.unwrap();
        assert_eq!(holders.words("m1"), "m1 is on b1, and not on b2 and b3.");
    }

    #[test]
    fn a_skip_is_told_to_the_first_commit_that_passed_it_and_the_reader_that_starts_beyond() {
        let mut history = History::new();
        let batch = history.send(&[0, 1, 2]);
        history.replicate(&[1, 2, 3], batch, 0, 0);
        history.assign(0, 1, 0);
        history.poll(0, batch, 0);
        history.process(0, batch, 0, (0, 1));
        history.commit(2);
        history.commit(3);
        history.consumer(0, EventKind::Fault { kind: FaultKind::Kill });
        history.assign(1, 2, 3);
        history.commit(3);
        let (rows, _) = told(&history, 1);
        let commits: Vec<_> =
            rows.iter().filter(|row| row.contains("has committed offset")).collect();
        assert_eq!(commits, ["billing has committed offset 2 of orders-0."], "{rows:#?}");
        assert_eq!(rows.last().unwrap(), "c2 starts orders-0 at 3, the committed offset.");
    }
}
