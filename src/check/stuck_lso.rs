//! `stuck-lso`: where a last stable offset is held back, somebody will let it go: the coordinator knows of the open
//! transaction. A transaction that nobody will end (KIP-890 calls it hanging) hides everything behind it from
//! `read_committed` readers until an administrator ends it. Only under transaction version 1 without
//! `transaction.partition.verification.enable`, or with an older broker.

use crate::base::ids::PartitionId;
use crate::check::verdict::Verdict;
use crate::check::{Check, End};
use crate::view::stability::hanging_transactions;

#[derive(Clone, Default, Debug)]
pub(super) struct StuckLso;

impl Check for StuckLso {
    fn verdict(&self, end: &End<'_>) -> Verdict {
        let Some(batches) = end.batches else { return Verdict::Vacuous };
        let mut exercised = false;
        for partition in (0..end.view.names.partitions.len()).map(|n| PartitionId(n as u16)) {
            let leader = end.view.partition(partition).leader_replica();
            let Some(leader) = leader.filter(|leader| leader.last_stable.is_some()) else {
                continue;
            };
            exercised = true;
            let hanging = hanging_transactions(end.view, partition, batches);
            let Some(first) = hanging.values().min().copied() else { continue };
            let entry = leader.log.iter().find(|entry| entry.base_offset == first);
            let message = entry.and_then(|entry| batches.messages(entry.batch).next());
            let message = message.map(|id| end.view.message(id));
            let witnesses = message.map(|m| [m.sent, m.stored, m.appended]).unwrap_or_default();
            let waits = leader.high_watermark - first;
            let text = format!(
                "The last stable offset of {} stays at {first}: no coordinator knows of the transaction that begins \
                 there, and {waits} {} behind it.",
                end.view.names.partition(partition),
                if waits == 1 { "record waits" } else { "records wait" }
            );
            return Verdict::broken(witnesses, text);
        }
        if exercised { Verdict::Holds } else { Verdict::Vacuous }
    }
}
