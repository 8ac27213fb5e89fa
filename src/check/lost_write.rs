//! `lost-write`: a message that its application was told is stored is not in the current leader's log at the end
//! (Jepsen's `lost-write`, judged with knowledge of every log). Kinds: never stored, truncated, all replicas lost.
//! While a partition has no leader and some replica has the message, nobody can say, and it does not count.
//! Holds under acks=all with clean elections and sound disks; see `acked-survives` for that promise.

use crate::check::verdict::Verdict;
use crate::check::{Check, End};
use crate::view::fate::{Fate, LossKind};
use crate::view::words::{fold_ids, is_are, was_were};

#[derive(Clone, Default, Debug)]
pub(super) struct LostWrite;

impl Check for LostWrite {
    fn verdict(&self, end: &End<'_>) -> Verdict {
        if !end.fates.iter().any(|fate| fate.acked) {
            return Verdict::Vacuous;
        }
        let lost: Vec<&Fate> = end.fates.iter().filter(|fate| fate.lost.is_some()).collect();
        let Some(first) = lost.first() else { return Verdict::Holds };
        let ids: Vec<_> = lost.iter().map(|fate| fate.message).collect();
        let mut kinds: Vec<LossKind> = lost.iter().filter_map(|fate| fate.lost).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let kinds: Vec<&str> = kinds.into_iter().map(LossKind::name).collect();
        let (names, n) = (&end.view.names, ids.len());
        let text = format!(
            "{} {} acknowledged and {} gone ({}).",
            fold_ids(names, &ids),
            was_were(n),
            is_are(n),
            kinds.join(", ")
        );
        Verdict::broken(first.evidence(), text)
    }
}
