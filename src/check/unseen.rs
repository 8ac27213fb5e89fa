//! `unseen`: at the end a message below the leader's HW was never handed to a group that reads its partition and
//! whose committed offset has not passed it (Jepsen's `unseen`). Mostly the reader only lags: it stopped, or the run
//! ended first. What a commit has passed is `commit-past-unprocessed`.

use crate::base::ids::MessageId;
use crate::check::verdict::Verdict;
use crate::check::{Check, End};
use crate::view::fate::{Fate, Whereabouts};
use crate::view::words::{fold_ids, was_were};

#[derive(Clone, Default, Debug)]
pub(super) struct Unseen;

impl Check for Unseen {
    fn verdict(&self, end: &End<'_>) -> Verdict {
        let mut exercised = false;
        for reader in 0..end.view.readers.len() {
            let due = end.fates.iter().filter(|fate| is_due(end, reader, fate));
            let mut unseen: Vec<MessageId> = Vec::new();
            for fate in due {
                exercised = true;
                if end.view.readers[reader].message(fate.message).handed == 0 {
                    unseen.push(fate.message);
                }
            }
            if let Some(first) = unseen.first() {
                let names = &end.view.names;
                let text = format!(
                    "{} {} readable and never handed to {}.",
                    fold_ids(names, &unseen),
                    was_were(unseen.len()),
                    reader_name(end, reader)
                );
                let m = end.view.message(*first);
                return Verdict::broken([m.sent, m.stored, m.acked], text);
            }
        }
        if exercised { Verdict::Holds } else { Verdict::Vacuous }
    }
}

fn reader_name(end: &End<'_>, reader: usize) -> String {
    let names = &end.view.names;
    match names.groups.get(reader) {
        Some(group) => group.clone(),
        None => names.consumers[reader - names.groups.len()].name.clone(),
    }
}

/// Readable, at or above the lowest position of the reader, and not passed by its committed offset.
fn is_due(end: &End<'_>, reader: usize, fate: &Fate) -> bool {
    let Some((partition, offset)) = fate.partition.zip(fate.offsets.first()) else { return false };
    let floor = end.view.readers[reader].floor(partition);
    let committed = end.view.groups.get(reader).and_then(|g| g.committed(partition));
    let handed = end.view.readers[reader].message(fate.message).handed > 0;
    fate.whereabouts == Whereabouts::Readable
        && floor.is_some_and(|floor| *offset >= floor)
        && (handed || committed.is_none_or(|c| *offset >= c.offset))
}
