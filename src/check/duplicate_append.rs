//! `duplicate-append`: one message stands at two or more offsets of the leader's log (Jepsen's `duplicate`). A retry
//! without idempotence does that, and so does an application that sends again.

use crate::check::verdict::Verdict;
use crate::check::{Check, End};
use crate::view::words::fold_ids;

#[derive(Clone, Default, Debug)]
pub(super) struct DuplicateAppend;

impl Check for DuplicateAppend {
    fn verdict(&self, end: &End<'_>) -> Verdict {
        let twice: Vec<_> = end.fates.iter().filter(|fate| fate.is_stored_twice()).collect();
        let Some(first) = twice.first() else {
            let stored = end.fates.iter().any(|fate| !fate.offsets.is_empty());
            return if stored { Verdict::Holds } else { Verdict::Vacuous };
        };
        let ids: Vec<_> = twice.iter().map(|fate| fate.message).collect();
        let offsets: Vec<String> = first.offsets.iter().map(ToString::to_string).collect();
        let text = format!(
            "{} stored more than once; {} at offsets {}.",
            with_verb(&fold_ids(&end.view.names, &ids), ids.len()),
            end.view.names.message(first.message),
            offsets.join(" and ")
        );
        Verdict::broken(first.evidence(), text)
    }
}

/// `m1 is`, `m1 m2 are`.
pub(super) fn with_verb(ids: &str, n: usize) -> String {
    format!("{ids} {}", crate::view::words::is_are(n))
}
