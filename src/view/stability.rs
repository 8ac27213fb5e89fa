//! Which records of a log a `read_committed` reader is given: a fold over data and control batches, as
//! `CompletedFetch` and the leader's list of aborted transactions do it together.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::batch::{BatchKind, BatchTable, RecordBody};
use crate::base::ids::{Offset, PartitionId};
use crate::view::cluster::ClusterView;
use crate::view::cluster::replica::{PartitionView, ReplicaView};

/// The part of a log that is there for everybody but not for `read_committed` readers.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Stability {
    /// Offsets of records whose transaction was aborted.
    pub aborted: BTreeSet<Offset>,
    /// Where the earliest transaction begins that has no marker; [`None`] when there is none. Committed records behind
    /// it wait.
    pub first_unstable: Option<Offset>,
    /// Where each transaction begins that has no marker, by producer id.
    pub open: BTreeMap<i64, Offset>,
}

impl Stability {
    /// Of the log of `replica` as it stands.
    pub fn of(replica: &ReplicaView, batches: &BatchTable) -> Self {
        Self::before(replica.end, replica, batches)
    }

    /// Of that log below `to`: a transaction without a marker below it is open.
    pub fn before(to: Offset, replica: &ReplicaView, batches: &BatchTable) -> Self {
        let mut open: BTreeMap<i64, Vec<Offset>> = BTreeMap::new();
        let mut aborted = BTreeSet::new();
        for entry in replica.log.iter().take_while(|entry| entry.base_offset < to) {
            let batch = &batches[entry.batch];
            let Some(producer) = batch.producer else { continue };
            match batch.kind {
                BatchKind::Plain => {}
                BatchKind::Transactional => {
                    let offsets = (0..batch.count).map(|n| entry.base_offset + i64::from(n));
                    open.entry(producer.id).or_default().extend(offsets);
                }
                BatchKind::Control => {
                    let ended = open.remove(&producer.id).unwrap_or_default();
                    let body = batches.record(entry.batch, 0).body;
                    if let RecordBody::EndTransactionMarker { committed: false, .. } = body {
                        aborted.extend(ended);
                    }
                }
            }
        }
        let first = |(id, offsets): (i64, Vec<Offset>)| Some((id, *offsets.first()?));
        let open: BTreeMap<i64, Offset> = open.into_iter().filter_map(first).collect();
        let first_unstable = open.values().min().copied();
        Self { aborted, first_unstable, open }
    }

    /// True when a `read_committed` reader is given the record at `offset`, once the high watermark is above it.
    pub fn is_stable(&self, offset: Offset) -> bool {
        self.first_unstable.is_none_or(|first| offset < first) && !self.aborted.contains(&offset)
    }
}

/// The transactions in a partition's log that nobody will end, by producer id, and where they begin: its leader has
/// them open, and the coordinator of the producer knows of no transaction in which the partition takes part
/// (`kafka-transactions.sh find-hanging`).
pub fn hanging_transactions(
    view: &ClusterView,
    partition: PartitionId,
    batches: &BatchTable,
) -> BTreeMap<i64, Offset> {
    let Some(leader) = view.partition(partition).leader_replica() else { return BTreeMap::new() };
    let mut open = Stability::of(leader, batches).open;
    let known = view.transactions.iter().filter(|transaction| transaction.is_open());
    for transaction in known.filter(|transaction| transaction.partitions.contains(&partition)) {
        open.remove(&transaction.producer_id);
    }
    open
}

/// How a transaction ended in a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// A COMMIT marker follows.
    Committed,
    /// An ABORT marker follows.
    Aborted,
}

/// How the transaction of the batch at `base_offset` ended, as any replica has it; `None`: it is open in all of them.
pub fn ending_of(
    partition: &PartitionView,
    base_offset: Offset,
    batches: &BatchTable,
) -> Option<Ending> {
    let ending = |replica: &ReplicaView| {
        let at = replica.log.partition_point(|entry| entry.base_offset < base_offset);
        let mut entries = replica.log.iter_from(at);
        let first = entries.next().filter(|entry| entry.base_offset == base_offset)?;
        let producer = batches[first.batch].producer?;
        let marker = entries.find(|entry| {
            let batch = &batches[entry.batch];
            batch.kind == BatchKind::Control
                && batch.producer.is_some_and(|other| other.id == producer.id)
        })?;
        match batches.record(marker.batch, 0).body {
            RecordBody::EndTransactionMarker { committed: false, .. } => Some(Ending::Aborted),
            _ => Some(Ending::Committed),
        }
    };
    partition.replicas.iter().find_map(ending)
}
