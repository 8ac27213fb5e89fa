//! `reread`: a consumer's reading of a partition goes back although no rebalance, restart or `seek()` moved it
//! (Jepsen's `nonmonotonic-poll` and `int-nonmonotonic-poll`, with the rebalance exemption). A reset after the log was
//! truncated or lost does that.

use crate::check::skip::{Jump, jump};
use crate::check::verdict::{Finding, Verdict};
use crate::check::{Check, End, Moment};

#[derive(Clone, Default, Debug)]
pub(super) struct Reread {
    finding: Finding,
}

impl Check for Reread {
    fn observe(&mut self, m: &Moment<'_>) {
        let Some(Jump { partition, from, to, since }) = jump(m) else { return };
        self.finding.require(to >= from, &[since, m.seq], || {
            let names = &m.before.names;
            let consumer = names.node(m.event.node);
            let partition = names.partition(partition);
            format!("{consumer} read {partition} up to {from} and goes back to {to}.")
        });
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.finding.verdict()
    }
}
