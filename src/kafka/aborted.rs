//! Which batches of what was read are of aborted transactions: a consumer leaves them out (`CompletedFetch`), and the
//! leader of a share partition archives them (`SharePartition.fetchAbortedTransactionRecordBatches`).

use std::collections::{BTreeSet, VecDeque};

use crate::base::batch::{BatchKind, BatchTable, RecordBody};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BatchHandle, Offset};
use crate::kafka::api::AbortedTransaction;

/// Goes over batches in the order of their offsets. Empty it rejects nothing: of a `read_uncommitted` reader.
#[derive(Clone, Default, Debug)]
pub struct AbortedFilter {
    /// Transactions whose first record was not seen yet, by its offset.
    ahead: VecDeque<AbortedTransaction>,
    /// Producers inside an aborted transaction.
    producers: BTreeSet<i64>,
}

impl AbortedFilter {
    /// Of a reader that was told of these transactions.
    pub fn new(aborted: impl Iterator<Item = AbortedTransaction>) -> Self {
        let mut ahead: Vec<_> = aborted.collect();
        ahead.sort_by_key(|transaction| transaction.first_offset);
        Self { ahead: ahead.into(), producers: BTreeSet::new() }
    }

    /// True when the records of this batch, whose last offset is `last`, were aborted.
    pub fn rejects(&mut self, batch: BatchHandle, last: Offset, batches: &BatchTable) -> bool {
        let Some(producer) = batches[batch].producer else { return false };
        while self.ahead.front().is_some_and(|transaction| transaction.first_offset <= last) {
            let begun = self.ahead.pop_front();
            self.producers.extend(begun.map(|transaction| transaction.producer_id));
        }
        match batches[batch].kind {
            BatchKind::Plain => false,
            BatchKind::Transactional => self.producers.contains(&producer.id),
            BatchKind::Control => {
                let body = batches.record(batch, 0).body;
                if let RecordBody::EndTransactionMarker { committed: false, .. } = body {
                    self.producers.remove(&producer.id);
                }
                false
            }
        }
    }

    /// Adds what is left of it to a fingerprint.
    pub fn fingerprint(&self, into: &mut Fingerprint) {
        into.add(&self.producers);
        for transaction in &self.ahead {
            into.add((transaction.producer_id, transaction.first_offset));
        }
    }
}
