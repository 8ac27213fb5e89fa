//! `strong-isr`: below the high watermark of whoever acts as leader, deposed or not, every member of the *registered*
//! ISR has the same log: what consumers have seen survives any clean election (`StrongIsr` of hachikuji's
//! specification).
//! Must hold under process crashes, network faults and manual commits; not under power loss, lost disks or unclean
//! elections.

use crate::check::agreement::Agreement;
use crate::check::verdict::Verdict;
use crate::check::{Check, End, Moment};
use crate::event::EventKind;

#[derive(Clone, Default, Debug)]
pub(super) struct StrongIsr {
    agreement: Agreement,
}

impl Check for StrongIsr {
    fn observe(&mut self, m: &Moment<'_>) {
        self.agreement.observe(m, |partition, _| partition.isr);
        match m.event.kind {
            EventKind::PartitionChanged { partition, isr, .. } => {
                let p = m.before.partition(partition);
                for leader in p.replicas.iter().filter(|replica| replica.presumes_leadership()) {
                    self.agreement.join(m, partition, leader, isr.difference(p.isr));
                }
            }
            EventKind::BecameLeader { partition, .. } => {
                let p = m.before.partition(partition);
                let leader = m.event.node.broker().and_then(|broker| p.replica(broker));
                let Some(leader) = leader else { return };
                self.agreement.join(m, partition, leader, p.isr);
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.agreement.verdict()
    }
}
