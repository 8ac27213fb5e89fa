//! `one-owner`: within one generation the coordinator gives a partition to one member, and that member is in the
//! group. A zombie that still works after it was fenced is not an owner. Must hold under every fault class.

use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::event::EventKind;

#[derive(Clone, Default, Debug)]
pub(super) struct OneOwner {
    finding: Finding,
}

impl Check for OneOwner {
    fn observe(&mut self, m: &Moment<'_>) {
        let EventKind::MemberAssigned { group, member, partition } = m.event.kind else { return };
        let names = &m.before.names;
        let view = &m.before.groups[group.index()];
        // A deposed coordinator that has not heard of it speaks for itself only.
        if view.coordinator.is_some() && view.coordinator != m.event.node.broker() {
            return;
        }
        let witnesses = [m.event.cause, m.seq];
        let other = view.owner(partition).filter(|owner| *owner != member);
        let name = |id| names.consumer_of(id).map_or_else(|| "?".to_owned(), |c| names.node(c));
        self.finding.require(other.is_none(), &witnesses, || {
            let (first, second) = (name(other.unwrap_or_default()), name(member));
            let (generation, name) = (view.generation, names.partition(partition));
            format!("{first} and {second} both own {name} in generation {generation}.")
        });
        let known = view.members.iter().any(|m| m.member == member);
        self.finding.require(known, &witnesses, || {
            let (member, name) = (name(member), names.partition(partition));
            format!("{name} is given to {member}, which is not in the group.")
        });
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}
