//! `torn-transaction`: of a committed transaction `read_committed` readers find everything that was acknowledged, or
//! nothing; of an aborted one nothing. Kafka promises it as long as no acknowledged record is lost: an unclean election
//! may tear one, and under transaction version 1 a late write that joins the next transaction.

use crate::base::ids::BatchHandle;
use crate::check::verdict::Verdict;
use crate::check::{Check, End, Moment};
use crate::view::atomicity::Atomicity;
use crate::view::words::fold_ids;

#[derive(Clone, Default, Debug)]
pub(super) struct TornTransaction(Atomicity);

impl Check for TornTransaction {
    fn observe(&mut self, m: &Moment<'_>) {
        self.0.observe(m.seq, m.event, m.batches);
    }

    fn verdict(&self, end: &End<'_>) -> Verdict {
        let Some(batches) = end.batches else { return Verdict::Vacuous };
        let torn = self.0.torn(end.view, batches);
        let Some(first) = torn.first() else {
            return if self.0.is_exercised() { Verdict::Holds } else { Verdict::Vacuous };
        };
        let ids = |batch: BatchHandle| {
            let ids: Vec<_> = batches.messages(batch).collect();
            fold_ids(&end.view.names, &ids)
        };
        let found = ids(first.found);
        let text = match first.missing {
            Some(missing) if first.committed => {
                let missing = ids(missing);
                format!("Of one committed transaction {found} can be read and {missing} cannot.")
            }
            _ => format!("{found} can be read though the transaction was aborted."),
        };
        Verdict::broken(first.witnesses, text)
    }
}
