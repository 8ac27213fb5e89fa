//! `read-below-high-watermark`: `poll()` hands out only records below a high watermark that some replica had.
//! Must hold under every fault class: the leader cuts every answer to a consumer at its high watermark.

use crate::base::ids::Offset;
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment, cell};
use crate::event::EventKind;

#[derive(Clone, Default, Debug)]
pub(super) struct ReadBelowHighWatermark {
    finding: Finding,
    /// By partition: the highest high watermark of any replica ever.
    highest: Vec<Offset>,
}

impl Check for ReadBelowHighWatermark {
    fn observe(&mut self, m: &Moment<'_>) {
        match m.event.kind {
            EventKind::HighWatermark { partition, offset } => {
                let highest = cell(&mut self.highest, partition);
                *highest = offset.max(*highest);
            }
            EventKind::Polled { partition, base_offset, first, count, .. } => {
                let end = base_offset + i64::from(first) + i64::from(count);
                let highest = *cell(&mut self.highest, partition);
                self.finding.require(end <= highest, &[m.event.cause, m.seq], || {
                    let names = &m.before.names;
                    let consumer = names.node(m.event.node);
                    let name = names.partition(partition);
                    format!("{consumer} reads {name} up to {end}; no HW was above {highest}.")
                });
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}
