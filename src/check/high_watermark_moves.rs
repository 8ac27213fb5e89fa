//! `high-watermark-moves`: a replica's high watermark is at most its log end, and within one leader epoch and one life
//! of the process it never goes back; a replica never truncates below it. Across elections it may: a new leader
//! starts with the high watermark it had heard of (KIP-207); that nothing below is lost is `leader-complete`.
//! Must hold under process crashes, network faults and manual commits; not under power loss, lost disks or unclean
//! elections.

use crate::base::ids::{BrokerId, LeaderEpoch, NodeId, Offset, PartitionId};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment, cell};
use crate::event::{EventKind, FaultKind};

/// The last high watermark a replica reported, in which epoch.
type Reported = (BrokerId, LeaderEpoch, Offset);

#[derive(Clone, Default, Debug)]
pub(super) struct HighWatermarkMoves {
    finding: Finding,
    reported: Vec<Vec<Reported>>,
}

impl Check for HighWatermarkMoves {
    fn observe(&mut self, m: &Moment<'_>) {
        let NodeId::Broker(broker) = m.event.node else { return };
        match m.event.kind {
            EventKind::HighWatermark { partition, offset } => {
                self.moved(m, partition, broker, offset);
            }
            EventKind::Truncated { partition, to, .. } => {
                let replica = m.before.partition(partition).replica(broker);
                let high_watermark = replica.map_or(Offset(0), |replica| replica.high_watermark);
                self.finding.require(to >= high_watermark, &[m.event.cause, m.seq], || {
                    let name = m.before.names.partition(partition);
                    format!("{broker} truncates {name} to {to}, below its HW {high_watermark}.")
                });
                self.forget(broker);
            }
            EventKind::Fault { kind: FaultKind::Kill | FaultKind::Stopped } => self.forget(broker),
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

impl HighWatermarkMoves {
    fn moved(&mut self, m: &Moment<'_>, partition: PartitionId, broker: BrokerId, to: Offset) {
        let Some(replica) = m.before.partition(partition).replica(broker) else { return };
        let name = || m.before.names.partition(partition);
        let end = replica.end;
        self.finding.require(to <= end, &[m.event.cause, m.seq], || {
            format!("{broker} moves the HW of {} to {to}, beyond its LEO {end}.", name())
        });
        let epoch = replica.epoch();
        let row = cell(&mut self.reported, partition);
        match row.iter_mut().find(|(b, ..)| *b == broker) {
            Some((_, last_epoch, last)) => {
                let back = *last_epoch == epoch && to < *last;
                let from = *last;
                self.finding.require(!back, &[m.event.cause, m.seq], || {
                    format!("{broker} moves the HW of {} back from {from} to {to}.", name())
                });
                (*last_epoch, *last) = (epoch, to);
            }
            None => row.push((broker, epoch, to)),
        }
    }

    fn forget(&mut self, broker: BrokerId) {
        self.reported.iter_mut().for_each(|row| row.retain(|(b, ..)| *b != broker));
    }
}
