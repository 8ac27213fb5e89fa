//! `sequence-gapless`: in every replica's log, the batches of one producer id and epoch follow each other without gap
//! or repeat, and a new epoch starts at 0 (`ProducerAppendInfo.checkSequence`). A log that has nothing of a producer
//! id accepts any first sequence, as Kafka does.
//! Must hold under process crashes, network faults and manual commits; not under power loss, lost disks or unclean
//! elections, which take producer state away.

use std::collections::BTreeMap;

use crate::base::ids::{BatchHandle, BrokerId, NodeId, Offset, PartitionId, ProducerEpoch};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::event::EventKind;
use crate::view::words::batch_ids;

#[derive(Clone, Default, Debug)]
pub(super) struct SequenceGapless {
    finding: Finding,
    /// The producer's last batch in a replica: its epoch and the sequence after it.
    next: BTreeMap<(PartitionId, BrokerId, i64), (ProducerEpoch, i32)>,
}

impl Check for SequenceGapless {
    fn observe(&mut self, m: &Moment<'_>) {
        let NodeId::Broker(broker) = m.event.node else { return };
        match m.event.kind {
            EventKind::Appended { partition, batch, base_offset, .. } => {
                self.appended(m, partition, broker, (batch, base_offset));
            }
            EventKind::Truncated { partition, .. } => {
                self.next.retain(|(p, b, _), _| (*p, *b) != (partition, broker));
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

impl SequenceGapless {
    fn appended(
        &mut self,
        m: &Moment<'_>,
        id: PartitionId,
        broker: BrokerId,
        (batch, base_offset): (BatchHandle, Offset),
    ) {
        let Some(state) = m.batches[batch].producer else { return };
        if state.base_sequence.0 < 0 {
            // The marker of a transaction: it has no sequence, and may bring a new epoch.
            let last = self.next.entry((id, broker, state.id)).or_insert((state.epoch, 0));
            if last.0 != state.epoch {
                *last = (state.epoch, 0);
            }
            return;
        }
        let replica = m.before.partition(id).replica(broker);
        let gap = replica.is_some_and(|replica| base_offset > replica.end);
        let count = m.batches[batch].count;
        let key = (id, broker, state.id);
        let after = (state.epoch, state.base_sequence.0.wrapping_add(count as i32) & i32::MAX);
        let last = self.next.insert(key, after).or_else(|| last_in_log(m, key));
        self.finding.exercise();
        let Some((epoch, next)) = last else { return };
        // A copy of a compacted log lacks the batches that are gone.
        if gap || m.batches[batch].compacted.is_some() {
            return;
        }
        let expected = if epoch == state.epoch { next } else { 0 };
        let got = state.base_sequence.0;
        self.finding.require(got == expected, &[m.event.cause, m.seq], || {
            let ids = batch_ids(&m.before.names, m.batches, batch);
            format!("{broker} appends {ids} with sequence {got} where {expected} was next.")
        });
    }
}

/// The last batch of a producer id in a replica's log, read from its end.
fn last_in_log(
    m: &Moment<'_>,
    (partition, broker, producer): (PartitionId, BrokerId, i64),
) -> Option<(ProducerEpoch, i32)> {
    let replica = m.before.partition(partition).replica(broker)?;
    let newest_first = (0..replica.log.len()).rev().filter_map(|at| replica.log.get(at));
    newest_first.map(|entry| m.batches[entry.batch]).find_map(|batch| {
        let state = batch.producer.filter(|state| state.id == producer)?;
        let next = state.base_sequence.0.wrapping_add(batch.count as i32) & i32::MAX;
        Some((state.epoch, next))
    })
}
