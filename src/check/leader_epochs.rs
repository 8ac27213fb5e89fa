//! `leader-epochs`: the leader epoch of a partition never goes back and grows whenever another broker is made its
//! leader; no two brokers act as leader under the same epoch, and nobody under one the controller never gave it.
//! Must hold under every fault class: epochs live in the controller's log.

use crate::base::ids::{BrokerId, LeaderEpoch, NodeId};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment, cell};
use crate::event::EventKind;

#[derive(Clone, Default, Debug)]
pub(super) struct LeaderEpochs {
    finding: Finding,
    /// By partition: whom the controller made leader under which epoch.
    given: Vec<Vec<(LeaderEpoch, BrokerId)>>,
}

impl Check for LeaderEpochs {
    fn observe(&mut self, m: &Moment<'_>) {
        let witnesses = [m.event.cause, m.seq];
        match m.event.kind {
            EventKind::PartitionChanged { partition, leader, leader_epoch, .. } => {
                let before = m.before.partition(partition);
                let name = || m.before.names.partition(partition);
                let last = before.leader_epoch;
                self.finding.require(leader_epoch >= last, &witnesses, || {
                    format!(
                        "The leader epoch of {} goes back from {last} to {leader_epoch}.",
                        name()
                    )
                });
                let Some(leader) = leader else { return };
                let row = cell(&mut self.given, partition);
                let other = row.iter().find(|(epoch, b)| *epoch == leader_epoch && *b != leader);
                self.finding.require(other.is_none(), &witnesses, || {
                    format!("{} has two leaders under epoch {leader_epoch}.", name())
                });
                row.push((leader_epoch, leader));
                row.dedup();
            }
            EventKind::BecameLeader { partition, leader_epoch, .. } => {
                let NodeId::Broker(broker) = m.event.node else { return };
                let given = cell(&mut self.given, partition).contains(&(leader_epoch, broker));
                self.finding.require(given, &witnesses, || {
                    let name = m.before.names.partition(partition);
                    format!("{broker} leads {name} under epoch {leader_epoch}, which no controller gave it.")
                });
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}
