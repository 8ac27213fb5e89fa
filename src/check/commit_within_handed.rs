//! `commit-within-handed`: the offsets a classic client commits by itself (auto-commit, `commitSync()` without
//! arguments) are at most what earlier calls of `poll()` have handed out; auto-commit inside `poll()` never covers
//! what this very `poll()` will return (`ConsumerCoordinator.maybeAutoCommitOffsetsAsync`).
//! Control records, and aborted ones for some readers, are never handed out and may be covered.
//! Must hold under every fault class but manual commits, whose offsets are the application's own.
//!
//! In the consumer protocol of 4.4.0 another thread than the one that returns the records commits automatically: there
//! a commit may cover what the `poll()` under way is about to return, and is held to that. A judge that disregards
//! preconditions holds both protocols to the rule of the first.

use std::collections::BTreeMap;

use crate::base::config::GroupProtocol;
use crate::base::ids::{EventSeq, NodeId, Offset, PartitionId};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::event::{CommitKind, EventKind, FaultKind};
use crate::view::stability::Stability;

#[derive(Clone, Default, Debug)]
pub(super) struct CommitWithinHanded {
    finding: Finding,
    /// Positions when the consumer last called `poll()`, or that were set since.
    at_poll: BTreeMap<(u16, PartitionId), Offset>,
    /// Commits that cover what a `poll()` under way has yet to return.
    early: BTreeMap<(u16, PartitionId), (Offset, EventSeq)>,
}

impl CommitWithinHanded {
    /// The offset may be committed where `limit` is what counts as handed out.
    fn require(
        &mut self,
        m: &Moment<'_>,
        partition: PartitionId,
        (limit, offset): (Offset, Offset),
        first: EventSeq,
    ) {
        let within = offset <= limit || is_hidden(m, partition, (limit, offset));
        self.finding.require(within, &[first, m.seq], || {
            let names = &m.before.names;
            let (consumer, name) = (names.node(m.event.node), names.partition(partition));
            format!(
                "{consumer} commits offset {offset} of {name}; poll() had handed out up to {limit}."
            )
        });
    }

    /// The `poll()` that was under way has returned: what was committed ahead of it was handed out by it.
    fn settle(&mut self, m: &Moment<'_>, n: u16) {
        let (due, kept) =
            std::mem::take(&mut self.early).into_iter().partition(|(at, _)| at.0 == n);
        self.early = kept;
        let due: BTreeMap<(u16, PartitionId), (Offset, EventSeq)> = due;
        for ((_, partition), (offset, sent)) in due {
            let position = m.before.consumers[usize::from(n)].position(partition);
            if let Some(position) = position {
                self.require(m, partition, (position, offset), sent);
            }
        }
    }
}

impl Check for CommitWithinHanded {
    fn observe(&mut self, m: &Moment<'_>) {
        let NodeId::Consumer(n) = m.event.node else { return };
        let consumer = &m.before.consumers[usize::from(n)];
        match m.event.kind {
            EventKind::PollCalled => {
                self.settle(m, n);
                for p in &consumer.partitions {
                    if let Some(position) = p.position {
                        self.at_poll.insert((n, p.partition), position);
                    }
                }
            }
            EventKind::PositionSet { partition, offset, .. } => {
                self.at_poll.insert((n, partition), offset);
                self.early.remove(&(n, partition));
            }
            EventKind::Fault { kind: FaultKind::Kill | FaultKind::Stopped } => {
                self.at_poll.retain(|(c, _), _| *c != n);
                self.early.retain(|(c, _), _| *c != n);
            }
            EventKind::CommitSent { partition, offset, kind } => {
                let position = consumer.position(partition);
                let limit = match kind {
                    CommitKind::AutoPoll if m.strict || !speaks_consumer(m, n) => {
                        self.at_poll.get(&(n, partition)).copied()
                    }
                    CommitKind::AutoPoll if position.is_some_and(|position| offset > position) => {
                        self.early.insert((n, partition), (offset, m.seq));
                        return;
                    }
                    _ => position,
                };
                if let Some(limit) = limit {
                    self.require(m, partition, (limit, offset), m.event.cause);
                }
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

/// The consumer's group is one of the consumer protocol.
fn speaks_consumer(m: &Moment<'_>, consumer: u16) -> bool {
    let group = m.before.names.consumers[usize::from(consumer)].group;
    group.is_some_and(|id| m.before.groups[id.index()].protocol == GroupProtocol::Consumer)
}

/// True when nothing from `from` to `to` is ever handed out: control records, and what was aborted.
fn is_hidden(m: &Moment<'_>, partition: PartitionId, (from, to): (Offset, Offset)) -> bool {
    let Some(leader) = m.before.partition(partition).leader_replica() else { return false };
    let NodeId::Consumer(n) = m.event.node else { return false };
    let committed_only = m.setup.read_committed.get(usize::from(n)) == Some(&true);
    let stability = committed_only.then(|| Stability::of(leader, m.batches));
    let handed = |at: Offset| !stability.as_ref().is_some_and(|s| s.aborted.contains(&at));
    to <= leader.end
        && !leader.messages_from(from, m.batches).any(|(at, _)| at >= from && at < to && handed(at))
}
