//! `ack-was-stored`: an acknowledgement with acks=1 or acks=all follows an append of the batch by some broker, at the
//! offset it names. Must hold under every fault class; with acks=0 nobody asked.

use crate::base::config::Acks;
use crate::base::ids::{BatchHandle, NodeId, Offset};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment, cell};
use crate::event::EventKind;
use crate::view::words::batch_ids;

#[derive(Clone, Default, Debug)]
pub(super) struct AckWasStored {
    finding: Finding,
    /// By partition: batches that were appended and whose producer has not been answered, with their offset.
    appended: Vec<Vec<(BatchHandle, Offset)>>,
}

impl Check for AckWasStored {
    fn observe(&mut self, m: &Moment<'_>) {
        match m.event.kind {
            // A follower's append is a copy of a leader's, but for the histories of others it is as good a proof.
            EventKind::Appended { partition, batch, base_offset, .. } => {
                if matches!(m.batches[batch].origin, NodeId::Producer(_)) {
                    let row = cell(&mut self.appended, partition);
                    if !row.contains(&(batch, base_offset)) {
                        row.push((batch, base_offset));
                    }
                }
            }
            EventKind::BatchFailed { batch, partition, .. } => self.answered(partition, batch),
            EventKind::Acknowledged { batch, partition, base_offset } => {
                let NodeId::Producer(n) = m.event.node else { return };
                if m.setup.acks.get(usize::from(n)).is_some_and(|acks| *acks != Acks::None) {
                    let row = cell(&mut self.appended, partition);
                    let stored = row.iter().any(|(b, at)| {
                        *b == batch && (*at == base_offset || base_offset == Offset::NONE)
                    });
                    self.finding.require(stored, &[m.event.cause, m.seq], || {
                        let ids = batch_ids(&m.before.names, m.batches, batch);
                        format!("{ids} acknowledged at offset {base_offset}, where no broker had appended it.")
                    });
                }
                self.answered(partition, batch);
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

impl AckWasStored {
    /// What was answered will not be answered again: the rows stay as short as what is in flight.
    fn answered(&mut self, partition: crate::base::ids::PartitionId, batch: BatchHandle) {
        cell(&mut self.appended, partition).retain(|(b, _)| *b != batch);
    }
}
