//! `committed-kept`: a group restarts from the last offset that a client was told is committed, or from one that was
//! sent after it; a coordinator that takes over forgets none. Answers may cross, so they are ordered by when their
//! commits were sent.
//! Must hold under process crashes, network faults and manual commits (`__consumer_offsets` is replicated and its
//! appends wait for all of the ISR); not under power loss, lost disks or unclean elections.

use std::collections::BTreeMap;

use crate::base::ids::{EventSeq, GroupId, NodeId, Offset, PartitionId};
use crate::base::time::Time;
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::event::{EventKind, PositionReason};

#[derive(Clone, Default, Debug)]
pub(super) struct CommittedKept {
    finding: Finding,
    commits: BTreeMap<(GroupId, PartitionId), Commits>,
    /// When and where a coordinator last loaded a group: what it tells at that moment is what it read.
    loaded: BTreeMap<GroupId, (NodeId, Time)>,
}

/// The commits of one partition by one group that a restart may still find.
#[derive(Clone, Default, Debug)]
struct Commits {
    /// The newest commit that was answered without error, and the answer.
    answered: Option<(Offset, EventSeq)>,
    /// Those sent after it, by whom, oldest first.
    later: Vec<(Offset, NodeId)>,
}

impl Check for CommittedKept {
    fn observe(&mut self, m: &Moment<'_>) {
        match m.event.kind {
            EventKind::CommitSent { partition, offset, .. } => {
                if let Some(commits) = self.of_client(m, partition) {
                    commits.later.push((offset, m.event.node));
                }
            }
            EventKind::CommitAnswered { partition, offset, exception: None, .. } => {
                let (node, seq) = (m.event.node, m.seq);
                let Some(commits) = self.of_client(m, partition) else { return };
                // One that is not in the list was overtaken by the answer to a later one.
                if let Some(at) = commits.later.iter().position(|sent| *sent == (offset, node)) {
                    commits.later.drain(..=at);
                    commits.answered = Some((offset, seq));
                }
            }
            EventKind::CoordinatorLoaded { group } => {
                self.loaded.insert(group, (m.event.node, m.event.at));
            }
            EventKind::OffsetCommitted { group, partition, offset }
                if self.loaded.get(&group) != Some(&(m.event.node, m.event.at)) =>
            {
                // Stored without a client of this run: an administrator's doing.
                let commits = self.commits.entry((group, partition)).or_default();
                if !commits.allows(offset) {
                    commits.later.push((offset, m.event.node));
                }
            }
            // Expired, or deleted by an administrator.
            EventKind::OffsetRemoved { group, partition } => {
                self.commits.remove(&(group, partition));
            }
            EventKind::PositionSet { partition, offset, reason } => match reason {
                PositionReason::Committed => self.compare(m, partition, offset),
                PositionReason::ResetEarliest
                | PositionReason::ResetLatest
                | PositionReason::ResetByDuration => {
                    self.compare(m, partition, Offset::NONE);
                }
                PositionReason::Seek | PositionReason::Truncation => {}
            },
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

impl Commits {
    fn allows(&self, offset: Offset) -> bool {
        self.answered.is_some_and(|(answered, _)| answered == offset)
            || self.later.iter().any(|(sent, _)| *sent == offset)
    }
}

impl CommittedKept {
    fn of_client(&mut self, m: &Moment<'_>, partition: PartitionId) -> Option<&mut Commits> {
        let NodeId::Consumer(n) = m.event.node else { return None };
        let group = m.before.names.consumers[usize::from(n)].group?;
        Some(self.commits.entry((group, partition)).or_default())
    }

    /// A member starts where the coordinator said; [`Offset::NONE`] when it said that nothing is committed.
    fn compare(&mut self, m: &Moment<'_>, partition: PartitionId, fetched: Offset) {
        let NodeId::Consumer(n) = m.event.node else { return };
        let mine = m.before.consumers[usize::from(n)].partition(partition);
        // One that had a position was reset for another reason: its offset is out of range.
        if mine.is_some_and(|mine| mine.position.is_some()) {
            return;
        }
        let since = mine.map(|mine| mine.since);
        let Some(commits) = self.of_client(m, partition) else { return };
        let Some((answered, told)) = commits.answered else { return };
        // It may have asked before that, and have been frozen since.
        if since.is_some_and(|since| since < told) {
            return;
        }
        let kept = commits.allows(fetched);
        self.finding.require(kept, &[told, m.event.cause, m.seq], || {
            let names = &m.before.names;
            let (consumer, name) = (names.node(m.event.node), names.partition(partition));
            let from = match fetched {
                Offset::NONE => "without a committed offset".to_owned(),
                fetched => format!("at {fetched}"),
            };
            format!("{consumer} starts {name} {from} although offset {answered} was committed.")
        });
    }
}
