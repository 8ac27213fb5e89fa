//! What `weak-isr` and `strong-isr` have in common: the members of an ISR agree with whoever acts as leader below that
//! leader's high watermark. Only what an event can change is compared after it: what the high watermark newly covers,
//! a member that joins, a truncation. After a fault of a disk everything is.

use crate::base::broker_set::BrokerSet;
use crate::base::ids::{BrokerId, NodeId, Offset, PartitionId};
use crate::check::Moment;
use crate::check::verdict::{Finding, Verdict};
use crate::event::{EventKind, FaultKind};
use crate::view::cluster::replica::{PartitionView, ReplicaView};

/// The ISR that counts, of a partition and of one that acts as its leader.
type IsrOf = fn(&PartitionView, &ReplicaView) -> BrokerSet;

#[derive(Clone, Default, Debug)]
pub(super) struct Agreement {
    finding: Finding,
    /// A disk has lost something since the last event.
    disk_lost: bool,
}

impl Agreement {
    pub(super) fn observe(&mut self, m: &Moment<'_>, isr_of: IsrOf) {
        if std::mem::take(&mut self.disk_lost) {
            self.compare_everything(m, isr_of);
        }
        let NodeId::Broker(broker) = m.event.node else { return };
        match m.event.kind {
            EventKind::HighWatermark { partition, offset } => {
                let p = m.before.partition(partition);
                let Some(leader) = p.replica(broker).filter(|r| r.presumes_leadership()) else {
                    return;
                };
                let newly = (leader.high_watermark.min(offset), offset);
                self.compare(m, partition, leader, isr_of(p, leader), newly);
            }
            EventKind::Truncated { partition, to, .. } => {
                let p = m.before.partition(partition);
                for leader in p.replicas.iter().filter(|replica| replica.presumes_leadership()) {
                    if leader.broker != broker && isr_of(p, leader).contains(broker) {
                        self.truncated(m, partition, leader, (broker, to));
                    }
                }
            }
            EventKind::Fault {
                kind: FaultKind::PowerLoss | FaultKind::WipeDisk | FaultKind::CutLog,
            } => self.disk_lost = true,
            _ => {}
        }
    }

    /// These become members of the ISR that counts for `leader`.
    pub(super) fn join(
        &mut self,
        m: &Moment<'_>,
        partition: PartitionId,
        leader: &ReplicaView,
        members: BrokerSet,
    ) {
        self.compare(m, partition, leader, members, (Offset(0), leader.high_watermark));
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.finding.verdict()
    }

    fn compare(
        &mut self,
        m: &Moment<'_>,
        id: PartitionId,
        leader: &ReplicaView,
        isr: BrokerSet,
        (from, to): (Offset, Offset),
    ) {
        let p = m.before.partition(id);
        for member in isr.without(leader.broker).iter().filter_map(|broker| p.replica(broker)) {
            let from = from.max(leader.complete_from()).max(member.complete_from());
            let agree = leader.entries(from, to).eq(member.entries(from, to));
            self.finding.require(agree, &[p.changed, m.event.cause, m.seq], || {
                let (leader, member) = (leader.broker, member.broker);
                let name = m.before.names.partition(id);
                format!("{member}, in the ISR of {name}, differs from {leader} below its HW {to}.")
            });
        }
    }

    fn truncated(
        &mut self,
        m: &Moment<'_>,
        id: PartitionId,
        leader: &ReplicaView,
        (member, to): (BrokerId, Offset),
    ) {
        let below = leader.high_watermark;
        self.finding.require(to >= below, &[m.event.cause, m.seq], || {
            let (leader, name) = (leader.broker, m.before.names.partition(id));
            format!(
                "{member}, in the ISR of {name}, truncates to {to}; the HW of {leader} is {below}."
            )
        });
    }

    fn compare_everything(&mut self, m: &Moment<'_>, isr_of: IsrOf) {
        for (n, p) in m.before.partitions.iter().enumerate() {
            for leader in p.replicas.iter().filter(|replica| replica.presumes_leadership()) {
                self.join(m, PartitionId(n as u16), leader, isr_of(p, leader));
            }
        }
    }
}
