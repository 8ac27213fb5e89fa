//! `precommitted-read`: a `read_committed` consumer is never handed a record of a transaction before its COMMIT marker
//! is in the log. Must hold under every fault class: leaders answer such readers up to the last stable offset only.

use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};
use crate::view::stability::ending_of;

#[derive(Clone, Default, Debug)]
pub(super) struct PrecommittedRead(Finding);

impl Check for PrecommittedRead {
    fn observe(&mut self, m: &Moment<'_>) {
        let Some(read) = m.committed_read() else { return };
        let ending = ending_of(m.before.partition(read.partition), read.base_offset, m.batches);
        self.0.require(ending.is_some(), &[m.event.cause, m.seq], || {
            let names = &m.before.names;
            let (who, where_) = (names.node(m.event.node), names.partition(read.partition));
            format!("{who} reads {} of {where_}, whose transaction is open.", read.base_offset)
        });
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.0.verdict()
    }
}
