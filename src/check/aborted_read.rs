//! `aborted-read`: a `read_committed` consumer is never handed a record of a transaction that was aborted (G1a). Must
//! hold under every fault class: markers decide, and a marker that was read is in the log.

use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::view::stability::{Ending, ending_of};

#[derive(Clone, Default, Debug)]
pub(super) struct AbortedRead(Finding);

impl Check for AbortedRead {
    fn observe(&mut self, m: &Moment<'_>) {
        let Some(read) = m.committed_read() else { return };
        let ending = ending_of(m.before.partition(read.partition), read.base_offset, m.batches);
        self.0.require(ending != Some(Ending::Aborted), &[m.event.cause, m.seq], || {
            let names = &m.before.names;
            let (who, where_) = (names.node(m.event.node), names.partition(read.partition));
            format!("{who} reads {} of {where_}, whose transaction was aborted.", read.base_offset)
        });
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.0.verdict()
    }
}
