//! The transactions of one partition, as its log has them: which are open, which ended above the high watermark, and
//! which were aborted (`ProducerStateManager` with its `ongoingTxns` and `unreplicatedTxns`, `TransactionIndex`).
//!
//! The first unstable offset is where the earliest transaction begins that is open, or whose end is not replicated yet.
//! A `read_committed` reader sees nothing from there on.
//!
//! Simplified: one index a log, not one a segment; it is rebuilt from the log with the rest of the producer state.

use std::collections::BTreeMap;

use crate::base::fingerprint::Fingerprint;
use crate::base::ids::Offset;
use crate::kafka::api::AbortedTransaction;

/// An aborted transaction (`AbortedTxn`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct AbortedTxn {
    producer_id: i64,
    first: Offset,
    /// Its marker.
    last: Offset,
    /// What the last stable offset could be when it ended: nothing before ends later.
    last_stable: Offset,
}

/// The transactions of a partition.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TransactionIndex {
    /// By first offset: whose.
    ongoing: BTreeMap<Offset, i64>,
    /// By first offset: the offset of the marker.
    unreplicated: BTreeMap<Offset, Offset>,
    /// In order of their markers.
    aborted: Vec<AbortedTxn>,
    log_start: Offset,
    /// There was a transaction here.
    used: bool,
}

impl TransactionIndex {
    /// A transaction began.
    pub(super) fn begin(&mut self, producer_id: i64, first: Offset) {
        self.ongoing.insert(first, producer_id);
        self.used = true;
    }

    /// The transaction that began at `first` ended with a marker at `last`.
    pub(super) fn end(
        &mut self,
        producer_id: i64,
        (first, last): (Offset, Offset),
        committed: bool,
    ) {
        self.ongoing.remove(&first);
        self.unreplicated.insert(first, last);
        if !committed {
            let next = self.ongoing.keys().next().copied();
            let last_stable = next.unwrap_or(last + 1);
            self.aborted.push(AbortedTxn { producer_id, first, last, last_stable });
        }
    }

    /// Everything below `high_watermark` is replicated.
    pub fn replicated(&mut self, high_watermark: Offset) {
        if !self.unreplicated.is_empty() {
            self.unreplicated.retain(|_, last| *last >= high_watermark);
        }
    }

    /// What is below `log_start` is deleted.
    pub fn deleted_before(&mut self, log_start: Offset) {
        self.log_start = log_start;
        self.aborted.retain(|aborted| aborted.last >= log_start);
    }

    /// See the head of this file.
    pub fn first_unstable(&self) -> Option<Offset> {
        let ongoing = self.ongoing.keys().next();
        let first = ongoing.into_iter().chain(self.unreplicated.keys().next()).min();
        first.map(|first| (*first).max(self.log_start))
    }

    /// True when the partition has had a transaction.
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// The aborted transactions a reader of `[from, to)` has to know.
    pub fn aborted_between(
        &self,
        from: Offset,
        to: Offset,
    ) -> impl Iterator<Item = AbortedTransaction> + '_ {
        // No transaction that ends after this one began before its last stable offset.
        let last = self.aborted.iter().position(|aborted| aborted.last_stable >= to);
        let upto = last.map_or(self.aborted.len(), |at| at + 1);
        let concerned = move |aborted: &&AbortedTxn| aborted.last >= from && aborted.first < to;
        self.aborted[..upto].iter().filter(concerned).map(|aborted| AbortedTransaction {
            producer_id: aborted.producer_id,
            first_offset: aborted.first,
        })
    }

    /// Adds what decides future answers.
    pub fn fingerprint(&self, into: &mut Fingerprint) {
        into.add((&self.ongoing, &self.unreplicated));
        for aborted in &self.aborted {
            into.add((aborted.producer_id, aborted.first, aborted.last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 and 1 begin transactions, 2 aborts the first, 3 begins another, 4 commits the second, 5 aborts the third.
    fn index() -> TransactionIndex {
        let mut index = TransactionIndex::default();
        index.begin(7, Offset(0));
        index.begin(8, Offset(1));
        index.end(7, (Offset(0), Offset(2)), false);
        index.begin(9, Offset(3));
        index.end(8, (Offset(1), Offset(4)), true);
        index.end(9, (Offset(3), Offset(5)), false);
        index
    }

    #[test]
    fn unstable_is_what_is_open_or_ends_above_the_high_watermark() {
        let mut index = index();
        for (high_watermark, first_unstable) in
            [(2, Some(0)), (3, Some(1)), (4, Some(1)), (5, Some(3)), (6, None)]
        {
            index.replicated(Offset(high_watermark));
            assert_eq!(index.first_unstable(), first_unstable.map(Offset), "{high_watermark}");
        }
        index.begin(9, Offset(6));
        assert_eq!(index.first_unstable(), Some(Offset(6)), "an open one");
        index.deleted_before(Offset(8));
        assert_eq!(index.first_unstable(), Some(Offset(8)), "its first records are deleted");
    }

    #[test]
    fn a_reader_is_told_of_the_aborted_transactions_in_what_it_reads() {
        let index = index();
        for (from, to, expected) in [
            (0, 1, vec![7]),
            (0, 3, vec![7]),
            (2, 3, vec![7]),
            (3, 4, vec![9]),
            (0, 6, vec![7, 9]),
            (6, 9, vec![]),
        ] {
            let told: Vec<i64> =
                index.aborted_between(Offset(from), Offset(to)).map(|a| a.producer_id).collect();
            assert_eq!(told, expected, "[{from}, {to})");
        }
    }
}
