//! `committed-kept`: a commit that was answered without error is the offset the group restarts from: a member whose
//! position is set to the committed offset gets the last one stored. A commit that was stored after the member got
//! the partition may have crossed its question, and is not held against the answer.
//! Must hold under process crashes, network faults and manual commits (`__consumer_offsets` is replicated); not under
//! power loss, lost disks or unclean elections.

use std::collections::BTreeMap;

use crate::base::ids::{EventSeq, GroupId, NodeId, Offset, PartitionId};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::event::{EventKind, PositionReason};

#[derive(Clone, Default, Debug)]
pub(super) struct CommittedKept {
    finding: Finding,
    /// The last commit that its sender was told is stored.
    answered: BTreeMap<(GroupId, PartitionId), (Offset, EventSeq)>,
}

impl Check for CommittedKept {
    fn observe(&mut self, m: &Moment<'_>) {
        let NodeId::Consumer(n) = m.event.node else { return };
        let Some(group) = m.before.names.consumers[usize::from(n)].group else { return };
        match m.event.kind {
            EventKind::CommitAnswered { partition, offset, exception: None, .. } => {
                self.answered.insert((group, partition), (offset, m.seq));
            }
            EventKind::PositionSet { partition, offset, reason } => {
                let fetched = match reason {
                    PositionReason::Committed => offset,
                    PositionReason::ResetEarliest | PositionReason::ResetLatest => Offset::NONE,
                    _ => return,
                };
                self.compare(m, (n, group, partition), fetched);
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

impl CommittedKept {
    fn compare(
        &mut self,
        m: &Moment<'_>,
        (n, group, partition): (u16, GroupId, PartitionId),
        fetched: Offset,
    ) {
        let Some((answered, told)) = self.answered.get(&(group, partition)).copied() else {
            return;
        };
        let mine = m.before.consumers[usize::from(n)].partition(partition);
        // A consumer that had a position was reset for another reason (its offset is out of range).
        let Some(mine) = mine.filter(|mine| mine.position.is_none()) else { return };
        let stored = m.before.groups[group.index()].committed(partition);
        let crossed = stored.is_some_and(|c| c.seq > mine.since);
        let kept = fetched == answered || stored.is_some_and(|c| c.offset == fetched);
        self.finding.require(kept || crossed, &[told, mine.since, m.seq], || {
            let names = &m.before.names;
            let (consumer, name) = (names.node(m.event.node), names.partition(partition));
            format!(
                "{consumer} starts {name} at {fetched} although offset {answered} was committed."
            )
        });
    }
}
