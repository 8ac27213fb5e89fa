//! What the application's loop does with a database besides Kafka: one row a record, and where it keeps its offsets
//! there, going back to them.
//!
//! The rows are written by a transaction of the database that commits at once, whatever becomes of the transaction at
//! Kafka. Simplified: see [`crate::base::tables`].

use crate::app::LoopStep;
use crate::app::process::ConsumerProcess;
use crate::base::ids::{Offset, PartitionId};
use crate::base::tables::{Insert, TableId};
use crate::event::EventKind;
use crate::kafka::effects::Effects;

impl ConsumerProcess {
    /// One row for each record of the batch.
    pub(super) fn insert(&mut self, table: TableId, how: Insert, fx: &mut Effects) {
        for slice in self.batch.clone() {
            let (partition, batch, base_offset) = (slice.partition, slice.batch, slice.base_offset);
            let (first, count, once) = (slice.first, slice.count, how == Insert::Once);
            fx.event(EventKind::RowsInserted {
                table,
                partition,
                batch,
                base_offset,
                first,
                count,
                once,
            });
        }
        if how == Insert::WithOffsets {
            for (partition, offset) in self.offsets_behind_batch() {
                fx.tables.keep(table, partition, offset);
                fx.event(EventKind::OffsetKept { table, partition, offset });
            }
        }
        self.next_step();
    }

    /// The offsets behind the batch, a partition.
    fn offsets_behind_batch(&self) -> Vec<(PartitionId, Offset)> {
        let mut behind: Vec<(PartitionId, Offset)> = Vec::new();
        for slice in &self.batch {
            match behind.iter_mut().find(|(partition, _)| *partition == slice.partition) {
                Some((_, offset)) => *offset = slice.next_offset().max(*offset),
                None => behind.push((slice.partition, slice.next_offset())),
            }
        }
        behind
    }

    /// Where the application goes on with a partition, when it is the database that knows.
    pub(super) fn kept_offset(&self, partition: PartitionId, fx: &Effects) -> Option<Offset> {
        fx.tables.kept(self.keeps_offsets_in()?, partition)
    }

    /// The table the application keeps its offsets in.
    pub(super) fn keeps_offsets_in(&self) -> Option<TableId> {
        self.steps.iter().find_map(|step| match step {
            LoopStep::Insert(table, Insert::WithOffsets) => Some(*table),
            _ => None,
        })
    }
}
