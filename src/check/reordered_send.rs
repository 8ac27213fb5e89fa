//! `reordered-send`: a message stands behind one that the same producer sent later to the same partition (Jepsen's
//! `nonmonotonic-send`). First copies decide. Several requests in flight without idempotence do that.

use std::collections::BTreeMap;

use crate::check::duplicate_append::with_verb;
use crate::check::verdict::Verdict;
use crate::check::{Check, End};
use crate::view::words::fold_ids;

#[derive(Clone, Default, Debug)]
pub(super) struct ReorderedSend;

impl Check for ReorderedSend {
    fn verdict(&self, end: &End<'_>) -> Verdict {
        let late: Vec<_> = end.fates.iter().filter(|fate| fate.overtaken_by.is_some()).collect();
        let Some((first, by)) = late.first().and_then(|fate| Some((fate, fate.overtaken_by?)))
        else {
            let mut lines: BTreeMap<_, u32> = BTreeMap::new();
            for fate in end.fates.iter().filter(|fate| !fate.offsets.is_empty()) {
                let producer = end.view.message(fate.message).producer;
                *lines.entry((producer, fate.partition)).or_default() += 1;
            }
            let compared = lines.values().any(|n| *n > 1);
            return if compared { Verdict::Holds } else { Verdict::Vacuous };
        };
        let ids: Vec<_> = late.iter().map(|fate| fate.message).collect();
        let names = &end.view.names;
        let text = format!(
            "{} behind messages sent later; {} stands before {}.",
            with_verb(&fold_ids(names, &ids), ids.len()),
            names.message(by),
            names.message(first.message)
        );
        let later = end.view.message(by);
        let earlier = end.view.message(first.message);
        Verdict::broken([earlier.sent, later.sent, later.stored, earlier.stored], text)
    }
}
