//! `isr-holds-committed`: when the registered leader moves its high watermark, and when the ISR changes, every member
//! of the ISR has a log that reaches it: any member of the ISR is a safe leader. And no member counts that has not
//! heard of the leader's epoch (rule 3 of KIP-320: a fetch under an older epoch is fenced), for what it has may be of
//! another lineage.
//! Must hold under process crashes, network faults, unclean elections (the elected replica is the ISR) and manual
//! commits; not under power loss or lost disks.

use crate::base::broker_set::BrokerSet;
use crate::base::ids::{BrokerId, LeaderEpoch, NodeId, Offset, PartitionId};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment, cell};
use crate::event::EventKind;
use crate::view::cluster::replica::{Acting, PartitionView};

#[derive(Clone, Default, Debug)]
pub(super) struct IsrHoldsCommitted {
    finding: Finding,
    /// By partition: the newest leader epoch each follower has heard of, where it is not the first.
    heard: Vec<Vec<(BrokerId, LeaderEpoch)>>,
}

impl Check for IsrHoldsCommitted {
    fn observe(&mut self, m: &Moment<'_>) {
        match m.event.kind {
            EventKind::HighWatermark { partition, offset } => {
                let p = m.before.partition(partition);
                let NodeId::Broker(broker) = m.event.node else { return };
                let acting = p.replica(broker).map(|replica| replica.acting);
                let leads = acting == Some(Acting::Leader(p.leader_epoch));
                if leads && p.leader == Some(broker) {
                    self.compare(m, partition, p.isr, offset);
                    self.count(m, partition, broker, offset);
                }
            }
            EventKind::BecameFollower { partition, leader_epoch, .. } => {
                let NodeId::Broker(broker) = m.event.node else { return };
                let row = cell(&mut self.heard, partition);
                row.retain(|(b, _)| *b != broker);
                row.push((broker, leader_epoch));
            }
            EventKind::PartitionChanged { partition, leader: Some(leader), isr, .. } => {
                let p = m.before.partition(partition);
                if p.leader == Some(leader)
                    && let Some(replica) = p.replica(leader)
                    && matches!(replica.acting, Acting::Leader(_))
                {
                    self.compare(m, partition, isr, replica.high_watermark);
                }
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

impl IsrHoldsCommitted {
    /// Every other member of the ISR has fetched under the leader's epoch, hence has heard of it.
    fn count(&mut self, m: &Moment<'_>, id: PartitionId, leader: BrokerId, to: Offset) {
        let p = m.before.partition(id);
        let heard = cell(&mut self.heard, id);
        let mut deaf = p.isr.without(leader).iter().filter(|member| {
            let epoch = heard.iter().find(|(b, _)| b == member).map(|(_, epoch)| *epoch);
            p.leader_epoch > LeaderEpoch(0) && epoch.is_none_or(|epoch| epoch < p.leader_epoch)
        });
        let first = deaf.next();
        self.finding.require(first.is_none(), &[p.changed, m.event.cause, m.seq], || {
            let (name, epoch) = (m.before.names.partition(id), p.leader_epoch);
            let deaf = first.unwrap_or_default();
            format!(
                "{leader} moves the HW of {name} to {to}; {deaf} has not heard of epoch {epoch}."
            )
        });
    }

    fn compare(&mut self, m: &Moment<'_>, id: PartitionId, isr: BrokerSet, below: Offset) {
        let p: &PartitionView = m.before.partition(id);
        for replica in p.replicas.iter().filter(|replica| isr.contains(replica.broker)) {
            let holds = replica.end >= below;
            self.finding.require(holds, &[p.changed, m.event.cause, m.seq], || {
                let (broker, end) = (replica.broker, replica.end);
                let name = m.before.names.partition(id);
                format!("The HW of {name} is {below}, but {broker}, in the ISR, ends at {end}.")
            });
        }
    }
}
