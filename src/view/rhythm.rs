//! What goes on again and again, told once: after the first rounds of send, append, acknowledge, read and process, all
//! further ones until something else happens are one line.

use crate::base::batch::{BatchTable, RecordBody};
use crate::base::broker_set::BrokerSet;
use crate::base::ids::{BatchHandle, MessageId, NodeId, PartitionId};
use crate::event::{Event, EventKind, TransactionCall};
use crate::view::cluster::ClusterView;
use crate::view::narrate::Line;
use crate::view::words::{brokers, fold_ids, slice_messages};

/// How often a step of the rhythm is told in full before it is folded.
const IN_FULL: usize = 2;

/// So few lines are told as they are.
const FEW: usize = 4;

/// What a node does with messages of a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Beat {
    Sent,
    Appended,
    Marked,
    HighWatermark,
    /// A step on the way of a transaction to its commit, by kind.
    Transaction(u8),
    Acknowledged,
    Polled,
    Inserted,
    Processed,
    ProcessedAgain,
}

/// One kind of step: who does what in which partition.
type Step = (PartitionId, Beat, NodeId);

/// Folds the steps that repeat.
#[derive(Clone, Default, Debug)]
pub(super) struct Rhythm {
    /// How often each step was told since the last mark.
    told: Vec<(Step, usize)>,
    /// The lines that wait to be folded.
    waiting: Vec<Line>,
    /// What they are about.
    ids: Vec<(Step, Vec<MessageId>)>,
}

impl Rhythm {
    /// Takes the line of an event that only repeats what was told before. False when it has to be told.
    pub(super) fn takes(
        &mut self,
        line: &Line,
        event: &Event,
        view: &ClusterView,
        batches: &BatchTable,
    ) -> bool {
        let Some((step, ids)) = step(event, view, batches) else { return false };
        let at = self.told.iter().position(|(known, _)| *known == step);
        let at = at.unwrap_or_else(|| {
            self.told.push((step, 0));
            self.told.len() - 1
        });
        self.told[at].1 += 1;
        if self.told[at].1 <= IN_FULL {
            return false;
        }
        self.waiting.push(line.clone());
        match self.ids.iter_mut().find(|(known, _)| *known == step) {
            Some((_, all)) => all.extend(ids),
            None => self.ids.push((step, ids)),
        }
        true
    }

    /// True when nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What waited, as one line or as the few that it was.
    pub(super) fn finish(&mut self, view: &ClusterView) -> Vec<Line> {
        let ids = std::mem::take(&mut self.ids);
        let waiting = std::mem::take(&mut self.waiting);
        let (Some(first), Some(last)) = (waiting.first(), waiting.last()) else {
            return Vec::new();
        };
        if waiting.len() <= FEW {
            return waiting;
        }
        let until =
            if first.at == last.at { String::new() } else { format!("until {} s: ", last.at) };
        let text = format!("And so on, {until}{}.", sentence(view, ids));
        vec![Line { text, ..first.clone() }]
    }

    /// Something new happened: what comes after it is told in full again.
    pub(super) fn start_over(&mut self) {
        self.told.clear();
    }
}

/// The step an event is, and the messages it is about; `None` for what is always told.
fn step(event: &Event, view: &ClusterView, batches: &BatchTable) -> Option<(Step, Vec<MessageId>)> {
    let all = |batch| batches.messages(batch).collect::<Vec<_>>();
    let (partition, beat, ids) = match event.kind {
        EventKind::Sent { message, partition: Some(partition) }
            if !view.message(message).is_sent() =>
        {
            (partition, Beat::Sent, vec![message])
        }
        EventKind::Appended { partition, batch, .. } if is_commit_marker(batches, batch) => {
            (partition, Beat::Marked, Vec::new())
        }
        EventKind::Appended { partition, batch, .. } => {
            let ids = all(batch);
            // A second copy is news.
            let replica = view.partition(partition).replica(event.node.broker()?);
            let log =
                replica.into_iter().flat_map(|r| r.log.iter_from(r.log.len().saturating_sub(64)));
            let mut recent = log.flat_map(|entry| batches.messages(entry.batch));
            if ids.first().is_some_and(|id| recent.any(|other| other == *id)) {
                return None;
            }
            (partition, Beat::Appended, ids)
        }
        EventKind::HighWatermark { partition, offset } => {
            let replica = view.partition(partition).replica(event.node.broker()?)?;
            if offset < replica.high_watermark {
                return None;
            }
            (partition, Beat::HighWatermark, Vec::new())
        }
        EventKind::Acknowledged { partition, batch, .. } => {
            (partition, Beat::Acknowledged, all(batch))
        }
        EventKind::Polled { partition, batch, first, count, .. } => {
            let ids: Vec<_> = slice_messages(batches, batch, first, count).collect();
            (partition, Beat::Polled, ids)
        }
        EventKind::RowsInserted { table, partition, batch, first, count, .. } => {
            let ids: Vec<_> = slice_messages(batches, batch, first, count).collect();
            let rows = view.tables.get(table.index())?;
            // A second row of a message, or one that is refused, is news.
            if ids.iter().any(|id| rows.rows_of(*id) > 0) {
                return None;
            }
            (partition, Beat::Inserted, ids)
        }
        EventKind::Processed { partition, batch, first, count, .. } => {
            let NodeId::Consumer(n) = event.node else { return None };
            let reader = &view.readers[view.reader_of(n)];
            let ids: Vec<_> = slice_messages(batches, batch, first, count).collect();
            let again = ids.iter().filter(|id| reader.message(**id).count > 0).count();
            let beat = match again {
                0 => Beat::Processed,
                n if n == ids.len() => Beat::ProcessedAgain,
                _ => return None,
            };
            (partition, beat, ids)
        }
        _ => {
            let (partition, kind) = transaction_step(event, view)?;
            (partition, Beat::Transaction(kind), Vec::new())
        }
    };
    Some(((partition, beat, event.node), ids))
}

/// A step on the way of a transaction from its beginning to its commit: a partition (calls and coordinators have none
/// of their own) and a number for its kind.
fn transaction_step(event: &Event, view: &ClusterView) -> Option<(PartitionId, u8)> {
    use crate::base::batch::TransactionState::{CompleteCommit, Ongoing, PrepareCommit};
    use TransactionCall::{BeginTransaction, CommitTransaction, SendOffsetsToTransaction};
    let anywhere = PartitionId(0);
    Some(match event.kind {
        EventKind::TransactionCalled { call, exception: None } => match call {
            BeginTransaction => (anywhere, 0),
            SendOffsetsToTransaction => (anywhere, 1),
            CommitTransaction => (anywhere, 2),
            _ => return None,
        },
        EventKind::TransactionChanged { state, .. } => match state {
            Ongoing => (anywhere, 3),
            PrepareCommit => (anywhere, 4),
            CompleteCommit => (anywhere, 5),
            _ => return None,
        },
        EventKind::LastStableOffset { partition, .. } => (partition, 6),
        EventKind::OffsetPending { partition, .. } => (partition, 7),
        EventKind::OffsetCommitted { group, partition, offset } => {
            let mut pending = view.groups[group.index()].pending.iter();
            let mine = pending.any(|p| (p.partition, p.offset) == (partition, offset));
            mine.then_some((partition, 8))?
        }
        EventKind::OffsetKept { partition, .. } => (partition, 9),
        _ => return None,
    })
}

fn is_commit_marker(batches: &BatchTable, batch: BatchHandle) -> bool {
    let mut bodies = batches.records(batch).map(|record| record.body);
    matches!(bodies.next(), Some(RecordBody::EndTransactionMarker { committed: true, .. }))
}

/// `checkout sends m5-m54; b1, b2 and b3 append m5-m54; …`
fn sentence(view: &ClusterView, mut ids: Vec<(Step, Vec<MessageId>)>) -> String {
    ids.sort_by_key(|((partition, beat, node), _)| (*partition, *beat, *node));
    let mut parts: Vec<String> = Vec::new();
    let mut rest = ids.as_slice();
    while let [((partition, beat, node), _), ..] = rest {
        let same = |(step, _): &&(Step, Vec<MessageId>)| (step.0, step.1) == (*partition, *beat);
        let group = match beat {
            Beat::Appended | Beat::Marked => rest.iter().take_while(same).count(),
            _ => 1,
        };
        let (these, others) = rest.split_at(group);
        rest = others;
        let name = view.names.partition(*partition);
        let all = |mut ids: Vec<MessageId>| {
            ids.sort_unstable();
            ids.dedup();
            fold_ids(&view.names, &ids)
        };
        let ids = all(these.iter().flat_map(|(_, ids)| ids.iter().copied()).collect());
        let who = view.names.node(*node);
        parts.push(match beat {
            Beat::Sent => format!("{who} sends {ids} to {name}"),
            Beat::Appended => {
                let set: BrokerSet = these.iter().filter_map(|((.., n), _)| n.broker()).collect();
                let append = if set.len() == 1 { "appends" } else { "append" };
                format!("{} {append} {ids}", brokers(set))
            }
            Beat::Marked => {
                let set: BrokerSet = these.iter().filter_map(|((.., n), _)| n.broker()).collect();
                let append = if set.len() == 1 { "appends" } else { "append" };
                format!("{} {append} COMMIT markers", brokers(set))
            }
            Beat::HighWatermark | Beat::Transaction(_) => continue,
            Beat::Acknowledged => format!("{who} is told that {ids} are stored"),
            Beat::Polled => format!("{who} polls {ids}"),
            Beat::Inserted => format!("{who} inserts rows of {ids}"),
            Beat::Processed => format!("{who} processes {ids}"),
            Beat::ProcessedAgain => format!("{who} processes {ids} again"),
        });
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use crate::base::ids::EventSeq;
    use crate::event::FaultKind;
    use crate::view::cluster::ClusterView;
    use crate::view::narrate::{Facts, Importance};
    use crate::view::story::Story;
    use crate::view::transcript::Transcript;

    /// A stream of messages is told for two rounds, then in one line, and anew after a fault.
    #[test]
    fn what_repeats_is_one_line() {
        let mut story = Story::new();
        story.assign(0, 1, 0);
        for id in 0..40 {
            let batch = story.send(&[id]);
            story.replicate(&[1, 2, 3], batch, i64::from(id), 0);
            story.acked(batch, i64::from(id));
            story.poll(0, batch, i64::from(id));
            story.process(0, batch, i64::from(id), (0, 1));
            if id == 29 {
                story.fault(3, FaultKind::Freeze);
            }
        }
        let view = ClusterView::new(std::sync::Arc::clone(&story.names));
        let mut transcript = Transcript::new(view, Facts::default(), Importance::Change);
        for (n, event) in story.events.iter().enumerate() {
            transcript.observe(EventSeq(n as u32), event, &story.batches);
        }
        let lines: Vec<String> = transcript.take_lines().into_iter().map(|l| l.text).collect();
        let folded: Vec<_> = lines.iter().filter(|text| text.starts_with("And so on")).collect();
        assert_eq!(folded.len(), 2, "{lines:#?}");
        assert!(
            folded[0].contains("checkout sends m2-m29 to orders-0; b1, b2 and b3 append m2-m29")
        );
        assert!(folded[0].ends_with("c1 polls m2-m29; c1 processes m2-m29."), "{}", folded[0]);
        assert!(folded[1].contains("m32-m39") && lines.len() < 50, "{}", lines.len());
    }
}
