//! `skip`: a consumer's reading of a partition leaps over records although no rebalance, restart or `seek()` moved it
//! (Jepsen's `poll-skip` and `int-poll-skip`, with the rebalance exemption). A reset to `latest` after a truncation
//! does that. Offsets without a record (a batch cut in half, a marker) are no leap, and for a `read_committed` consumer
//! neither are records whose transaction was aborted.

use crate::base::ids::{EventSeq, NodeId, Offset, PartitionId};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::event::{EventKind, PositionReason};
use crate::view::stability::Stability;

/// A consumer that had a position reads on from `to`, or its position is set there by a reset.
pub(super) struct Jump {
    pub(super) partition: PartitionId,
    pub(super) from: Offset,
    pub(super) to: Offset,
    /// When it got the partition, or its position was last set.
    pub(super) since: EventSeq,
}

/// The move of a reading position that this event is, if it is one that should be continuous. A share consumer has no
/// position: it gets what nobody else has.
pub(super) fn jump(m: &Moment<'_>) -> Option<Jump> {
    let NodeId::Consumer(n) = m.event.node else { return None };
    let names = &m.before.names;
    if names.consumers[usize::from(n)].group.is_some_and(|g| names.share_groups.contains(&g)) {
        return None;
    }
    let (partition, to) = match m.event.kind {
        EventKind::Polled { partition, base_offset, first, .. } => {
            (partition, base_offset + i64::from(first))
        }
        EventKind::PositionSet { partition, offset, reason } => match reason {
            PositionReason::ResetEarliest
            | PositionReason::ResetLatest
            | PositionReason::ResetByDuration
            | PositionReason::Truncation => (partition, offset),
            PositionReason::Committed | PositionReason::Seek => return None,
        },
        _ => return None,
    };
    let mine = m.before.consumers[usize::from(n)].partition(partition)?;
    Some(Jump { partition, from: mine.position?, to, since: mine.since })
}

#[derive(Clone, Default, Debug)]
pub(super) struct Skip {
    finding: Finding,
}

impl Check for Skip {
    fn observe(&mut self, m: &Moment<'_>) {
        let Some(Jump { partition, from, to, since }) = jump(m) else { return };
        let leaps = to > from && has_records(m, partition, (from, to));
        self.finding.require(!leaps, &[since, m.seq], || {
            let names = &m.before.names;
            let consumer = names.node(m.event.node);
            let partition = names.partition(partition);
            format!("{consumer} read {partition} up to {from} and goes on at {to}.")
        });
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

/// True when the consumer should have been given something of what lies between.
fn has_records(m: &Moment<'_>, partition: PartitionId, (from, to): (Offset, Offset)) -> bool {
    let Some(leader) = m.before.partition(partition).leader_replica() else { return false };
    let between = leader.messages_from(from, m.batches).take_while(|(offset, _)| *offset < to);
    let mut offsets = between.map(|(offset, _)| offset).peekable();
    if offsets.peek().is_none() || !m.reads_committed() {
        return offsets.peek().is_some();
    }
    let aborted = Stability::of(leader, m.batches).aborted;
    offsets.any(|offset| !aborted.contains(&offset))
}
