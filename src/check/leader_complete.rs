//! `leader-complete`: a replica that is made leader has everything that was ever below any replica's high watermark:
//! what consumers have read survives every clean election (`StrongIsr`; Vanlightly's `LeaderCompleteness`).
//! Must hold under process crashes, network faults and manual commits; not under power loss, lost disks or unclean
//! elections.

use crate::base::ids::{EventSeq, Offset};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment, cell};
use crate::event::EventKind;

#[derive(Clone, Default, Debug)]
pub(super) struct LeaderComplete {
    finding: Finding,
    /// By partition: the highest high watermark, and the event that moved it there.
    highest: Vec<Option<(Offset, EventSeq)>>,
}

impl Check for LeaderComplete {
    fn observe(&mut self, m: &Moment<'_>) {
        match m.event.kind {
            EventKind::HighWatermark { partition, offset } => {
                let highest = cell(&mut self.highest, partition);
                if highest.is_none_or(|(last, _)| last < offset) {
                    *highest = Some((offset, m.seq));
                }
            }
            EventKind::PartitionChanged { partition, leader: Some(leader), .. } => {
                let p = m.before.partition(partition);
                let Some((below, moved)) = *cell(&mut self.highest, partition) else { return };
                let Some(replica) = p.replica(leader).filter(|_| p.leader != Some(leader)) else {
                    return;
                };
                let end = replica.end;
                self.finding.require(end >= below, &[moved, m.event.cause, m.seq], || {
                    let name = m.before.names.partition(partition);
                    format!("{leader} becomes leader of {name} with a log that ends at {end}; the HW was {below}.")
                });
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}
