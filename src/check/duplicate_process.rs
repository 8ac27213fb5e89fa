//! `duplicate-process`: one group processed one message more than once: redelivery after a crash or a rebalance, or a
//! duplicate append read twice (Jepsen's `consume-counts`).

use crate::check::verdict::Verdict;
use crate::check::{Check, End};
use crate::view::words::{fold_ids, was_were};

#[derive(Clone, Default, Debug)]
pub(super) struct DuplicateProcess;

impl Check for DuplicateProcess {
    fn verdict(&self, end: &End<'_>) -> Verdict {
        let twice: Vec<_> = end.fates.iter().filter(|fate| fate.is_processed_twice()).collect();
        let Some(first) = twice.first() else {
            let processed = end.fates.iter().any(|fate| !fate.processed.is_empty());
            return if processed { Verdict::Holds } else { Verdict::Vacuous };
        };
        let ids: Vec<_> = twice.iter().map(|fate| fate.message).collect();
        let ids_text = fold_ids(&end.view.names, &ids);
        let text = format!("{ids_text} {} processed more than once.", was_were(ids.len()));
        let again = first.processed.iter().find(|(_, count)| *count > 1);
        let witnesses = again.map(|(reader, _)| {
            let done = end.view.readers[*reader].message(first.message);
            [done.first, done.last]
        });
        Verdict::broken(witnesses.into_iter().flatten(), text)
    }
}
