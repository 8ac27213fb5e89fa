//! `log-matching`: where two replicas of a partition have a batch at the same offset under the same leader epoch, it
//! is the same batch, and so is the one before it; hence the logs agree from the start up to there. And what a
//! follower counts as below its high watermark is what the leader it follows has.
//! Must hold under every fault class (a leader that lost its log and starts over does so under a new epoch) as long as
//! followers truncate by leader epoch as 4.4 does; the rules before it broke it (KAFKA-6361).

use crate::base::ids::{BrokerId, NodeId, Offset, PartitionId};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::event::EventKind;
use crate::view::cluster::replica::{Acting, LogEntry};

#[derive(Clone, Default, Debug)]
pub(super) struct LogMatching {
    finding: Finding,
}

impl Check for LogMatching {
    fn observe(&mut self, m: &Moment<'_>) {
        let NodeId::Broker(broker) = m.event.node else { return };
        match m.event.kind {
            EventKind::Appended { partition, batch, base_offset, leader_epoch } => {
                let entry = LogEntry { base_offset, batch, epoch: leader_epoch };
                self.appended(m, partition, broker, entry);
            }
            EventKind::HighWatermark { partition, offset } => {
                self.below_high_watermark(m, partition, broker, offset);
            }
            _ => {}
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}

impl LogMatching {
    fn appended(&mut self, m: &Moment<'_>, id: PartitionId, broker: BrokerId, new: LogEntry) {
        let p = m.before.partition(id);
        let Some(mine) = p.replica(broker) else { return };
        let end = mine.end;
        let name = || m.before.names.partition(id);
        let witnesses = [m.event.cause, m.seq];
        self.finding.require(new.base_offset >= end || mine.log.is_empty(), &witnesses, || {
            let at = new.base_offset;
            format!("{broker} appends to {} at {at}, inside its log that ends at {end}.", name())
        });
        for other in p.replicas.iter().filter(|replica| replica.broker != broker) {
            let at = other.log.partition_point(|entry| entry.base_offset < new.base_offset);
            let Some(theirs) = other.log.get(at).filter(|e| e.base_offset == new.base_offset)
            else {
                continue;
            };
            if theirs.epoch != new.epoch {
                continue;
            }
            let before = at.checked_sub(1).and_then(|at| other.log.get(at));
            let kept_from = mine.complete_from().max(other.complete_from());
            let both_kept = new.base_offset > kept_from;
            let same = m.batches.original(theirs.batch) == m.batches.original(new.batch);
            let agree = same && (!both_kept || before == mine.log.last());
            self.finding.require(agree, &witnesses, || {
                let (theirs, at) = (other.broker, new.base_offset);
                format!(
                    "{broker} and {theirs} have different logs of {} at or before {at}.",
                    name()
                )
            });
        }
    }

    /// Compares what the high watermark newly covers with the log of the leader this replica follows.
    fn below_high_watermark(
        &mut self,
        m: &Moment<'_>,
        id: PartitionId,
        broker: BrokerId,
        to: Offset,
    ) {
        let p = m.before.partition(id);
        let Some(mine) = p.replica(broker) else { return };
        let Acting::Follower { leader: Some(leader), epoch } = mine.acting else { return };
        let Some(theirs) = p.replica(leader) else { return };
        if theirs.acting != Acting::Leader(epoch) {
            return;
        }
        let from = mine.high_watermark.max(mine.complete_from()).max(theirs.complete_from());
        let agree = mine.entries(from, to).eq(theirs.entries(from, to));
        self.finding.require(agree, &[m.event.cause, m.seq], || {
            let name = m.before.names.partition(id);
            format!("{broker} and its leader {leader} differ in {name} below the HW {to}.")
        });
    }
}
