//! `commit-past-unprocessed`: a group's committed offset covers a record of the leader's log that no member processed
//! and no living member still holds: nobody will read it again. At-most-once loss. What lies below the lowest
//! position the group ever had was never meant for it, and a commit that went back is judged where it stands.

use crate::check::verdict::Verdict;
use crate::check::{Check, End};
use crate::view::words::{fold_ids, was_were};

#[derive(Clone, Default, Debug)]
pub(super) struct CommitPastUnprocessed;

impl Check for CommitPastUnprocessed {
    fn verdict(&self, end: &End<'_>) -> Verdict {
        let skipped: Vec<_> = end.fates.iter().filter(|fate| !fate.skipped_by.is_empty()).collect();
        let Some(first) = skipped.first() else {
            let committed = end.view.groups.iter().any(|group| !group.committed.is_empty());
            return if committed { Verdict::Holds } else { Verdict::Vacuous };
        };
        let ids: Vec<_> = skipped.iter().map(|fate| fate.message).collect();
        let group = crate::base::ids::GroupId(first.skipped_by[0] as u16);
        let names = &end.view.names;
        let text = format!(
            "{} {} never processed, and {}'s committed offset has passed {}.",
            fold_ids(names, &ids),
            was_were(ids.len()),
            names.group(group),
            if ids.len() == 1 { "it" } else { "them" }
        );
        Verdict::broken(first.evidence(), text)
    }
}
