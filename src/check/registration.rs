//! `registration`: ISR and ELR are replicas of the partition and have no member in common; the leader is in the ISR.
//! Must hold under every fault class: an unclean election makes the elected replica the ISR.

use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::event::EventKind;

#[derive(Clone, Default, Debug)]
pub(super) struct Registration {
    finding: Finding,
}

impl Check for Registration {
    fn observe(&mut self, m: &Moment<'_>) {
        let EventKind::PartitionChanged { partition, leader, isr, elr, .. } = m.event.kind else {
            return;
        };
        let names = &m.before.names;
        let replicas = m.before.partition(partition).assignment.set();
        let name = || names.partition(partition);
        let witnesses = [m.event.cause, m.seq];
        self.finding.require(isr.union(elr).is_subset(replicas), &witnesses, || {
            format!("ISR {isr} and ELR {elr} of {} are not among its replicas {replicas}.", name())
        });
        self.finding.require(isr.intersection(elr).is_empty(), &witnesses, || {
            format!("ISR {isr} and ELR {elr} of {} have a member in common.", name())
        });
        if let Some(leader) = leader {
            self.finding.require(isr.contains(leader), &witnesses, || {
                format!("{leader} leads {} and is not in its ISR {isr}.", name())
            });
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}
