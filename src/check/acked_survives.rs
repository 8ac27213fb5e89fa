//! `acked-survives`: what a producer with acks=all was told is stored was below a high watermark at that moment, and
//! every later leader has it at that offset. Kafka's promise, with its small print.
//! Must hold under process crashes, network faults and manual commits, with any `min.insync.replicas`; not under
//! power loss (a recorded cluster lost acknowledged records with acks=all and min ISR 2), lost disks or unclean
//! elections.

use crate::base::ids::{BatchHandle, BrokerId, EventSeq, NodeId, Offset, PartitionId};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment, cell};
use crate::event::EventKind;
use crate::view::words::{at_offsets, batch_ids};

/// A batch that was acknowledged: where, what, by which event.
type Acked = (Offset, BatchHandle, EventSeq);

#[derive(Clone, Default, Debug)]
pub(super) struct AckedSurvives {
    finding: Finding,
    /// By partition: the highest high watermark of any replica.
    highest: Vec<Offset>,
    /// By partition, in the order of acknowledgement.
    acked: Vec<Vec<Acked>>,
}

impl Check for AckedSurvives {
    fn observe(&mut self, m: &Moment<'_>) {
        match m.event.kind {
            EventKind::HighWatermark { partition, offset } => {
                let highest = cell(&mut self.highest, partition);
                *highest = offset.max(*highest);
            }
            EventKind::Acknowledged { batch, partition, base_offset } => {
                let NodeId::Producer(n) = m.event.node else { return };
                if m.setup.waits_for_all(n) && base_offset != Offset::NONE {
                    self.acknowledged(m, partition, batch, base_offset);
                }
            }
            EventKind::PartitionChanged { partition, leader: Some(leader), .. }
                if m.before.partition(partition).leader != Some(leader) =>
            {
                self.elected(m, partition, leader);
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

impl AckedSurvives {
    fn acknowledged(
        &mut self,
        m: &Moment<'_>,
        partition: PartitionId,
        batch: BatchHandle,
        base: Offset,
    ) {
        let count = m.batches[batch].count;
        let highest = *cell(&mut self.highest, partition);
        let below = base + i64::from(count) <= highest;
        self.finding.require(below, &[m.event.cause, m.seq], || {
            let ids = batch_ids(&m.before.names, m.batches, batch);
            let at = at_offsets(base, count);
            format!("acks=all acknowledged {ids} {at} while the HW was {highest}.")
        });
        cell(&mut self.acked, partition).push((base, batch, m.seq));
    }

    fn elected(&mut self, m: &Moment<'_>, partition: PartitionId, leader: BrokerId) {
        let Some(replica) = m.before.partition(partition).replica(leader) else { return };
        for (base, batch, told) in cell(&mut self.acked, partition) {
            if *base < replica.complete_from() {
                continue;
            }
            let kept = replica.entry_at(*base, m.batches).is_some_and(|e| e.batch == *batch);
            self.finding.require(kept, &[*told, m.event.cause, m.seq], || {
                let ids = batch_ids(&m.before.names, m.batches, *batch);
                format!("acks=all acknowledged {ids}, and {leader} becomes leader without it.")
            });
        }
    }
}
