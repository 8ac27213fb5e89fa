//! `quorum-leaders`: an epoch of the metadata quorum has one leader, and a controller is elected in a higher epoch than
//! all it was elected in before (Raft's election safety). Must hold under every fault class: votes are on disk.

use crate::base::ids::{LeaderEpoch, NodeId};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::event::EventKind;

#[derive(Clone, Default, Debug)]
pub(super) struct QuorumLeaders {
    finding: Finding,
    elected: Vec<(LeaderEpoch, NodeId)>,
}

impl Check for QuorumLeaders {
    fn observe(&mut self, m: &Moment<'_>) {
        let EventKind::ControllerElected { epoch } = m.event.kind else { return };
        let node = m.event.node;
        let other = self.elected.iter().find(|(e, _)| *e == epoch);
        self.finding.require(other.is_none(), &[m.event.cause, m.seq], || {
            let first = other.map_or(node, |(_, first)| *first);
            let (first, second) = (m.before.names.node(first), m.before.names.node(node));
            format!("{first} and {second} are both elected in epoch {epoch} of the quorum.")
        });
        self.elected.push((epoch, node));
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}
