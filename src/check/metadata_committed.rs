//! `metadata-committed`: what the quorum has committed never changes. Every controller that knows of a commit has the
//! same record there, nobody who has it cuts it, whoever is elected has it, and no broker acts on anything else (Raft's
//! leader completeness and state machine safety). Two records of one offset and epoch are the same, because an epoch
//! has one leader. Must hold under every fault class: faults of disks do not touch controllers.

use crate::base::ids::{LeaderEpoch, NodeId, Offset};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::event::EventKind;

#[derive(Clone, Default, Debug)]
pub(super) struct MetadataCommitted {
    finding: Finding,
    /// Which epoch starts where in what is committed, ascending.
    epochs: Vec<(LeaderEpoch, Offset)>,
    end: Offset,
}

impl MetadataCommitted {
    fn epoch_below(&self, offset: Offset) -> Option<LeaderEpoch> {
        let before = |(_, start): &&(LeaderEpoch, Offset)| *start < offset;
        self.epochs.iter().rev().find(before).filter(|_| offset <= self.end).map(|(e, _)| *e)
    }

    /// `node` says that everything below `offset`, last of `epoch`, is committed.
    fn committed(&mut self, m: &Moment<'_>, n: u8, epoch: LeaderEpoch, offset: Offset) {
        let log = &m.before.quorum.controllers[usize::from(n)];
        if offset > self.end {
            // The epochs between are those of its log.
            for (e, start) in &log.epochs {
                if *start < offset && self.epochs.last().is_none_or(|(last, _)| last < e) {
                    self.epochs.push((*e, *start));
                }
            }
            self.end = offset;
        }
        self.agrees(m, epoch, offset, "knows as committed");
    }

    fn agrees(&mut self, m: &Moment<'_>, epoch: LeaderEpoch, offset: Offset, does: &str) {
        let known = self.epoch_below(offset);
        self.finding.require(known == Some(epoch), &[m.event.cause, m.seq], || {
            let who = m.before.names.node(m.event.node);
            let at = offset.0 - 1;
            match known {
                Some(known) => format!(
                    "{who} {does} a metadata record of epoch {epoch} at {at}, where epoch {known} is committed."
                ),
                None => format!("{who} {does} a metadata record at {at} that is not committed."),
            }
        });
    }

    /// Nothing that `n` has of what is committed may go.
    fn cut(&mut self, m: &Moment<'_>, n: u8, to: Offset) {
        let log = &m.before.quorum.controllers[usize::from(n)];
        let next = Offset(to.0 + 1);
        let had = log.epoch_below(next);
        let loses = had.is_some() && had == self.epoch_below(next);
        self.finding.require(!loses, &[m.event.cause, m.seq], || {
            let who = m.before.names.node(m.event.node);
            format!("{who} cuts its metadata log at {to}, where a record is committed.")
        });
    }

    /// Whoever is elected has everything.
    fn elected(&mut self, m: &Moment<'_>, n: u8) {
        let log = &m.before.quorum.controllers[usize::from(n)];
        let complete = log.epoch_below(self.end) == self.epoch_below(self.end);
        let end = self.end;
        self.finding.require(complete || end == Offset(0), &[m.event.cause, m.seq], || {
            let who = m.before.names.node(m.event.node);
            format!("{who} is elected and lacks metadata that is committed up to {end}.")
        });
    }
}

impl Check for MetadataCommitted {
    fn observe(&mut self, m: &Moment<'_>) {
        match (m.event.kind, m.event.node) {
            (EventKind::MetadataCommitted { epoch, offset }, NodeId::Controller(n)) => {
                self.committed(m, n, epoch, offset);
            }
            (EventKind::MetadataTruncated { to }, NodeId::Controller(n)) => self.cut(m, n, to),
            (EventKind::ControllerElected { .. }, NodeId::Controller(n)) => self.elected(m, n),
            // A broker of a formed cluster has the first records before any controller has said so.
            (EventKind::MetadataApplied { epoch, offset }, _) if offset > Offset(0) => {
                self.agrees(m, epoch, offset, "acts on");
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}
