//! What transaction coordinators say.

use crate::base::ids::{BrokerId, EventSeq};
use crate::event::{Event, EventKind};
use crate::view::cluster::ClusterView;

impl ClusterView {
    /// What a transaction coordinator says; as of groups, the one of the highest epoch is believed.
    pub(super) fn apply_transactions(&mut self, b: BrokerId, seq: EventSeq, event: &Event) {
        let (EventKind::TransactionLoaded { id }
        | EventKind::TransactionChanged { id, .. }
        | EventKind::TransactionPartition { id, .. }) = event.kind
        else {
            return;
        };
        let home = self.names.transaction_partitions[id.index()];
        let coordinator_epoch = self.replica_mut(home, b).epoch();
        let transaction = &mut self.transactions[id.index()];
        if transaction.coordinator.is_some_and(|coordinator| coordinator != b)
            && !matches!(event.kind, EventKind::TransactionLoaded { .. })
        {
            return;
        }
        match event.kind {
            EventKind::TransactionLoaded { .. }
                if coordinator_epoch >= transaction.coordinator_epoch =>
            {
                transaction.reload(b, coordinator_epoch);
            }
            EventKind::TransactionChanged { state, producer_id, epoch, .. } => {
                transaction.coordinator = Some(b);
                transaction.change(state, (producer_id, epoch), (event.at, seq));
            }
            EventKind::TransactionPartition { partition, .. } => transaction.add(partition),
            _ => {}
        }
    }
}
