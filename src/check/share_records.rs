//! What a share group promises of single records. `one-lock`: a record is with one member at a time. `done-stays-done`:
//! a record that was accepted or given up, and stored so, is handed out by no leader that knows it. `accepted-stored`:
//! an acceptance that counts was stored; a late one, of what the start offset has passed, is answered without error
//! and changes nothing (`SharePartition.acknowledge`: the records of the batch are archived already).
//! `delivery-limit`: no record is delivered more often than the limit says.
//!
//! A deposed leader that has not heard of it hands records out as well, from what it knows: each broker speaks for
//! itself until it loads the share partition anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::ids::{EventSeq, GroupId, MemberId, NodeId, PartitionId};
use crate::base::share::{AcknowledgeType, RecordState};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::event::{EventKind, SettleReason};

/// A share partition at the broker that serves it.
type Place = (NodeId, GroupId, PartitionId);

#[derive(Clone, Default, Debug)]
pub(super) struct OneLock {
    finding: Finding,
    /// Who has which records, and since when.
    locked: BTreeMap<Place, BTreeMap<i64, (MemberId, EventSeq)>>,
}

impl OneLock {
    fn acquire(&mut self, m: &Moment<'_>, place: Place, member: MemberId, offsets: (i64, i64)) {
        let locked = self.locked.entry(place).or_default();
        for offset in offsets.0..=offsets.1 {
            let before = locked.insert(offset, (member, m.seq));
            let witnesses = [before.map_or(EventSeq::NONE, |(_, seq)| seq), m.seq];
            self.finding.require(before.is_none(), &witnesses, || {
                let names = &m.before.names;
                let name = |id| names.consumer_of(id).map_or("?".to_owned(), |c| names.node(c));
                let first = before.map_or("?".to_owned(), |(first, _)| name(first));
                let (second, partition) = (name(member), names.partition(place.2));
                format!("{second} gets record {offset} of {partition}, which {first} has.")
            });
        }
    }
}

impl Check for OneLock {
    fn observe(&mut self, m: &Moment<'_>) {
        match m.event.kind {
            EventKind::SharePartitionLoaded { group, partition, .. } => {
                self.locked.remove(&(m.event.node, group, partition));
            }
            EventKind::RecordsAcquired { group, partition, member, first, count, .. } => {
                let last = first.0 + i64::from(count) - 1;
                self.acquire(m, (m.event.node, group, partition), member, (first.0, last));
            }
            EventKind::RecordsSettled { group, partition, first, count, .. } => {
                if let Some(locked) = self.locked.get_mut(&(m.event.node, group, partition)) {
                    let end = first.0 + i64::from(count);
                    locked.retain(|offset, _| *offset < first.0 || *offset >= end);
                }
            }
            EventKind::ShareStart { group, partition, offset } => {
                if let Some(locked) = self.locked.get_mut(&(m.event.node, group, partition)) {
                    *locked = locked.split_off(&offset.0);
                }
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

/// Records that are done with, each with the event that said so.
type Done = BTreeMap<i64, EventSeq>;

#[derive(Clone, Default, Debug)]
pub(super) struct DoneStaysDone {
    finding: Finding,
    /// What was stored, whichever leader it was.
    stored: BTreeMap<(GroupId, PartitionId), Done>,
    /// What each leader knows.
    known: BTreeMap<Place, Done>,
}

impl Check for DoneStaysDone {
    fn observe(&mut self, m: &Moment<'_>) {
        let node = m.event.node;
        match m.event.kind {
            EventKind::SharePartitionLoaded { group, partition, .. } => {
                let stored = self.stored.get(&(group, partition)).cloned().unwrap_or_default();
                self.known.insert((node, group, partition), stored);
            }
            // What leaders know they learned before.
            EventKind::ShareReset { group, partition, .. } => {
                self.stored.remove(&(group, partition));
            }
            EventKind::RecordsSettled { group, partition, first, count, state, reason } => {
                if !state.is_terminal() {
                    return;
                }
                let offsets = first.0..first.0 + i64::from(count);
                let known = self.known.entry((node, group, partition)).or_default();
                known.extend(offsets.clone().map(|offset| (offset, m.seq)));
                // What a time-out says counts before it is stored.
                if matches!(reason, SettleReason::Acknowledged | SettleReason::Released) {
                    let stored = self.stored.entry((group, partition)).or_default();
                    stored.extend(offsets.map(|offset| (offset, m.seq)));
                }
            }
            EventKind::RecordsAcquired { group, partition, first, count, .. } => {
                let done = self.known.get(&(node, group, partition));
                let end = first.0 + i64::from(count);
                let again = done.and_then(|done| done.range(first.0..end).next());
                let witnesses = [again.map_or(EventSeq::NONE, |(_, seq)| *seq), m.seq];
                self.finding.require(again.is_none(), &witnesses, || {
                    let names = &m.before.names;
                    let offset = again.map_or(first.0, |(offset, _)| *offset);
                    let (node, partition) = (names.node(node), names.partition(partition));
                    format!("{node} hands out record {offset} of {partition}, which is done with.")
                });
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

#[derive(Clone, Default, Debug)]
pub(super) struct AcceptedStored {
    finding: Finding,
    /// Records a leader said were accepted.
    stored: BTreeSet<(GroupId, PartitionId, i64)>,
    /// The highest start offset a leader had: what is below is done with, and whoever speaks of it late is not
    /// contradicted.
    start: BTreeMap<(GroupId, PartitionId), i64>,
    /// What each consumer said last of its records.
    said: BTreeMap<(NodeId, PartitionId, i64), (AcknowledgeType, EventSeq)>,
}

impl Check for AcceptedStored {
    fn observe(&mut self, m: &Moment<'_>) {
        let node = m.event.node;
        match m.event.kind {
            EventKind::SharePartitionLoaded { group, partition, start: offset }
            | EventKind::ShareStart { group, partition, offset } => {
                let start = self.start.entry((group, partition)).or_insert(offset.0);
                *start = offset.0.max(*start);
            }
            EventKind::ShareReset { group, partition, .. } => {
                self.start.remove(&(group, partition));
                self.stored.retain(|(g, p, _)| (*g, *p) != (group, partition));
            }
            EventKind::RecordsSettled {
                group,
                partition,
                first,
                count,
                state: RecordState::Acknowledged,
                ..
            } => {
                let offsets = first.0..first.0 + i64::from(count);
                self.stored.extend(offsets.map(|offset| (group, partition, offset)));
            }
            EventKind::AcknowledgeSent { partition, first, count, kind } => {
                let offsets = first.0..first.0 + i64::from(count);
                self.said.extend(offsets.map(|o| ((node, partition, o), (kind, m.seq))));
            }
            EventKind::AcknowledgeAnswered { partition, first, count, exception: None } => {
                let names = &m.before.names;
                let NodeId::Consumer(consumer) = node else { return };
                let Some(group) = names.consumers[usize::from(consumer)].group else { return };
                for offset in first.0..first.0 + i64::from(count) {
                    let said = self.said.get(&(node, partition, offset)).copied();
                    let Some((AcknowledgeType::Accept, sent)) = said else { continue };
                    let start = self.start.get(&(group, partition)).copied().unwrap_or(0);
                    let stored =
                        offset < start || self.stored.contains(&(group, partition, offset));
                    self.finding.require(stored, &[sent, m.seq], || {
                        let (node, partition) = (names.node(node), names.partition(partition));
                        format!("{node} is told that record {offset} of {partition} is accepted; nobody stored it.")
                    });
                }
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

#[derive(Clone, Default, Debug)]
pub(super) struct DeliveryLimit {
    finding: Finding,
}

impl Check for DeliveryLimit {
    fn observe(&mut self, m: &Moment<'_>) {
        let EventKind::RecordsAcquired { group, partition, first, delivery, .. } = m.event.kind
        else {
            return;
        };
        let limit = m.setup.delivery_limit(group);
        self.finding.require(delivery <= limit, &[m.event.cause, m.seq], || {
            let (partition, first) = (m.before.names.partition(partition), first.0);
            format!(
                "Record {first} of {partition} is delivered {delivery} times; the limit is {limit}."
            )
        });
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}
