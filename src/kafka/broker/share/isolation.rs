//! What a share group reads of transactions (`share.isolation.level`). A group that wants committed records only is
//! given nothing from the last stable offset on, and what was aborted is archived as soon as it is acquired: nobody
//! gets it.
//!
//! Kafka: `DelayedShareFetch` (`FetchIsolation`), `SharePartition.maybeFilterAbortedTransactionalAcquiredRecords`. What
//! is archived so is not stored: another leader archives it again.

use crate::base::config::IsolationLevel;
use crate::base::ids::{Offset, PartitionId};
use crate::kafka::aborted::AbortedFilter;
use crate::kafka::api::FetchedSlice;
use crate::kafka::broker::Broker;
use crate::kafka::broker::fetch::{aborted_in, read_batches};
use crate::kafka::effects::Effects;
use crate::kafka::share::coordinator::ShareKey;

impl Broker {
    fn share_isolation(&self, key: ShareKey) -> IsolationLevel {
        let own = self.config.groups.get(key.0.index());
        own.map_or(IsolationLevel::ReadUncommitted, |own| own.isolation)
    }

    /// Whole batches of a partition from `offset` up to where the group may read. `Err`: the log begins later.
    pub(super) fn read_for_share(
        &self,
        key: ShareKey,
        offset: i64,
        budget: u32,
        fx: &Effects,
    ) -> Result<(Vec<FetchedSlice>, u32), Offset> {
        let partition: PartitionId = key.1;
        let Some((replica, log)) = self.parts_ref(partition) else { return Ok((Vec::new(), 0)) };
        if Offset(offset) < log.log_start() {
            return Err(log.log_start());
        }
        let mut slices = Vec::new();
        let range = (Offset(offset), replica.fetchable_end(self.share_isolation(key)));
        let bytes = read_batches(log, range, (budget, true), fx, &mut slices);
        Ok((slices, bytes))
    }

    /// The batches among those read from `offset` on that the group is to be spared, by their first and last offset.
    pub(super) fn aborted_for_share(
        &self,
        key: ShareKey,
        offset: i64,
        slices: &[FetchedSlice],
        fx: &Effects,
    ) -> Vec<(i64, i64)> {
        let committed = self.share_isolation(key) == IsolationLevel::ReadCommitted;
        let Some(replica) = self.replica(key.1).filter(|_| committed) else { return Vec::new() };
        let mut filter = AbortedFilter::new(aborted_in(replica, Offset(offset), slices, fx));
        let mut aborted = Vec::new();
        for slice in slices {
            let last = slice.base_offset + (i64::from(fx.batches[slice.batch].count) - 1);
            if filter.rejects(slice.batch, last, &fx.batches) {
                aborted.push((slice.base_offset.0, last.0));
            }
        }
        aborted
    }
}
