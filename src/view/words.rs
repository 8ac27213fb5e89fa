//! The small words every sentence shares: folded ids, plurals, offsets, quoted settings. One fact has one wording on
//! the stage, in the transcript, in the console and in an export, because all of them take it from here.

use crate::base::batch::BatchTable;
use crate::base::broker_set::BrokerSet;
use crate::base::ids::{BatchHandle, MessageId, Offset};
use crate::base::names::Names;
use crate::event::{Api, FaultKind, WireLabel};

/// How many runs of ids a sentence names before it says "and 7 more".
const RUNS_NAMED: usize = 4;

/// `m4-m6`, `m2 m5 m9`, `m2 m5 m7 m9 and 7 more`. Ids are folded in the order given; `none` for an empty list.
pub fn fold_ids(names: &Names, ids: &[MessageId]) -> String {
    if ids.is_empty() {
        return "none".to_owned();
    }
    let plain = |id: MessageId| names.messages.binary_search_by_key(&id, |(m, _)| *m).is_err();
    let mut runs: Vec<(MessageId, MessageId)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, last)) if last.0 + 1 == id.0 && plain(*last) && plain(*id) => *last = *id,
            _ => runs.push((*id, *id)),
        }
    }
    let mut words = String::new();
    let mut named = 0;
    for (first, last) in runs.iter().take(RUNS_NAMED) {
        let gap = if words.is_empty() { "" } else { " " };
        let length = last.0 - first.0 + 1;
        words += gap;
        words += &names.message(*first);
        if length > 1 {
            words += if length == 2 { " " } else { "-" };
            words += &names.message(*last);
        }
        named += length as usize;
    }
    if named < ids.len() {
        words += " and ";
        words += &(ids.len() - named).to_string();
        words += " more";
    }
    words
}

/// The messages of a batch, folded; `1 record of the coordinator` for a batch without messages.
pub fn batch_ids(names: &Names, batches: &BatchTable, batch: BatchHandle) -> String {
    if batch == BatchHandle::NONE {
        return "nothing".to_owned();
    }
    slice_ids(names, batches, batch, 0, batches[batch].count as u16)
}

/// The messages of records `first .. first + count` of a batch, folded.
pub fn slice_ids(
    names: &Names,
    batches: &BatchTable,
    batch: BatchHandle,
    first: u16,
    count: u16,
) -> String {
    let ids: Vec<MessageId> = slice_messages(batches, batch, first, count).collect();
    if ids.is_empty() {
        plural(u64::from(count), "coordinator record")
    } else {
        fold_ids(names, &ids)
    }
}

/// The messages of records `first .. first + count` of a batch.
pub fn slice_messages(
    batches: &BatchTable,
    batch: BatchHandle,
    first: u16,
    count: u16,
) -> impl Iterator<Item = MessageId> + '_ {
    (first..first + count).filter_map(move |n| match batches.record(batch, u32::from(n)).body {
        crate::base::batch::RecordBody::Message(id) => Some(id),
        _ => None,
    })
}

/// `1 message`, `3 messages`; `1 batch`, `2 batches`.
pub fn plural(n: u64, noun: &str) -> String {
    match n {
        1 => format!("1 {noun}"),
        _ if noun.ends_with("ch") => format!("{n} {noun}es"),
        _ => format!("{n} {noun}s"),
    }
}

/// `is` or `are`.
pub fn is_are(n: usize) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

/// `was` or `were`.
pub fn was_were(n: usize) -> &'static str {
    if n == 1 { "was" } else { "were" }
}

/// What the tries say together: how many of `tried` changes alone spare `id`. `None` where nothing was tried.
pub fn spared(necessary: usize, tried: usize, id: &str) -> Option<String> {
    match (necessary, tried) {
        (_, 0) => None,
        (0, 1) => Some(format!("It was tried to change one thing; {id} was not spared by it.")),
        (0, n) => {
            Some(format!("It was tried to change one of {n} things; none alone spares {id}."))
        }
        (1, _) => Some(format!("Change it and {id} is spared: it was tried with this seed.")),
        (n, _) => Some(format!(
            "Change any one of the {n} and {id} is spared: each was tried with this seed."
        )),
    }
}

/// `at offset 3`, `at offsets 3 to 5`.
pub fn at_offsets(base: Offset, count: u32) -> String {
    match count {
        1 => format!("at offset {base}"),
        _ => format!("at offsets {base} to {}", base + (i64::from(count) - 1)),
    }
}

/// `b1`, `b1 and b2`, `b1, b2 and b3`; `nobody` for the empty set.
pub fn brokers(set: BrokerSet) -> String {
    let all: Vec<String> = set.iter().map(|b| b.to_string()).collect();
    match all.as_slice() {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// What a screen writes beside a message on the wire: `Produce m4-m6`, `Fetch@3`, `ok m4-m6`,
/// `NOT_ENOUGH_REPLICAS m7`.
pub fn wire_label(names: &Names, batches: &BatchTable, label: &WireLabel) -> String {
    let batch = (label.batch != BatchHandle::NONE).then(|| batch_ids(names, batches, label.batch));
    let failed = label.error != crate::base::error::ErrorCode::None;
    match (label.api, label.response, batch) {
        (_, true, Some(ids)) if failed => format!("{} {ids}", label.error.name()),
        (_, true, None) if failed => label.error.name().to_owned(),
        (Api::Fetch, false, _) => format!("Fetch@{}", label.offset),
        (Api::Fetch, true, Some(ids)) => ids,
        (Api::Fetch, true, None) => "nothing new".to_owned(),
        (api, false, Some(ids)) => format!("{} {ids}", api.name()),
        (api, false, None) => api.name().to_owned(),
        (_, true, Some(ids)) => format!("ok {ids}"),
        (api, true, None) => format!("{} ok", api.name()),
    }
}

/// The word a time line writes under a mark: `kill b1`.
pub const fn fault_word(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Kill => "kill",
        FaultKind::PowerLoss => "power loss",
        FaultKind::Freeze => "freeze",
        FaultKind::Thaw => "thaw",
        FaultKind::Stop => "stop",
        FaultKind::Stopped => "stopped",
        FaultKind::Start => "start",
        FaultKind::WipeDisk => "wipe",
        FaultKind::CutLog => "cut log",
        FaultKind::DeleteLog => "delete log",
        FaultKind::CutOff => "cut off",
        FaultKind::Reconnect => "reconnect",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::story::names;

    #[test]
    fn ids_fold() {
        let mut names = names();
        names.messages = vec![(MessageId(20), "alpha".to_owned())];
        for (ids, folded) in [
            (vec![], "none"),
            (vec![4], "m4"),
            (vec![4, 5], "m4 m5"),
            (vec![4, 5, 6], "m4-m6"),
            (vec![2, 5, 9], "m2 m5 m9"),
            (vec![1, 3, 5, 7, 9, 10, 11], "m1 m3 m5 m7 and 3 more"),
            (vec![19, 20, 21], "m19 alpha m21"),
            (vec![3, 2, 1], "m3 m2 m1"),
        ] {
            let ids: Vec<MessageId> = ids.into_iter().map(MessageId).collect();
            assert_eq!(fold_ids(&names, &ids), folded);
        }
    }

    #[test]
    fn numbers_agree() {
        assert_eq!(plural(1, "message"), "1 message");
        assert_eq!(plural(0, "message"), "0 messages");
        assert_eq!(plural(2, "batch"), "2 batches");
        assert_eq!(at_offsets(Offset(3), 1), "at offset 3");
        assert_eq!(at_offsets(Offset(3), 3), "at offsets 3 to 5");
    }
}
