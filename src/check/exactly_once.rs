//! `exactly-once`: of every message that an application passes on and whose offset its group has committed, there is
//! one output, and one only, for `read_committed` readers. Judged end to end, on the output: that an input was worked
//! on twice does not break it.

use crate::base::ids::MessageId;
use crate::check::verdict::Verdict;
use crate::check::{Check, End};
use crate::view::fate::{Fate, Whereabouts};
use crate::view::words::fold_ids;

#[derive(Clone, Default, Debug)]
pub(super) struct ExactlyOnce;

impl Check for ExactlyOnce {
    fn verdict(&self, end: &End<'_>) -> Verdict {
        let names = &end.view.names;
        let outputs = end.fates.iter().filter(|fate| names.input_of(fate.message).is_some());
        let (mut twice, mut gone, mut exercised) = (Vec::new(), Vec::new(), false);
        for output in outputs {
            exercised = true;
            match output.whereabouts {
                Whereabouts::Readable if output.is_stored_twice() => twice.push(output.message),
                Whereabouts::Unstable | Whereabouts::Absent if is_over(end, output) => {
                    gone.push(output.message);
                }
                _ => {}
            }
        }
        let broken = |ids: &[MessageId], what: &str| {
            let m = end.view.message(ids[0]);
            let text = format!("{} {what}.", fold_ids(names, ids));
            Verdict::broken([m.sent, m.stored, m.appended, m.acked], text)
        };
        if !twice.is_empty() {
            return broken(&twice, "can be read more than once");
        }
        if !gone.is_empty() {
            return broken(&gone, "cannot be read, and the offsets of their inputs are committed");
        }
        if exercised { Verdict::Holds } else { Verdict::Vacuous }
    }
}

/// The committed offset of a group has passed the input: nobody will make the output again.
fn is_over(end: &End<'_>, output: &Fate) -> bool {
    let Some(input) = end.view.names.input_of(output.message) else { return false };
    let place = end.fates.binary_search_by_key(&input, |fate| fate.message);
    let Ok(input) = place.map(|at| &end.fates[at]) else { return false };
    let Some((partition, offset)) = input.partition.zip(input.offsets.first()) else {
        return false;
    };
    let committed = end.view.groups.iter().filter_map(|group| group.committed(partition));
    committed.map(|c| c.offset).any(|committed| committed > *offset)
}
