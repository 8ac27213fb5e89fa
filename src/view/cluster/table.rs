//! Tables of a database that applications write to besides Kafka: how many rows they have of which message, and the
//! offsets that applications keep there.

use std::collections::BTreeMap;

use crate::base::batch::BatchTable;
use crate::base::ids::{MessageId, Offset, PartitionId};
use crate::event::EventKind;
use crate::view::cluster::ClusterView;
use crate::view::words::slice_messages;

/// One table.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct TableView {
    /// How many rows there are of each message.
    by_message: BTreeMap<MessageId, u32>,
    /// Rows that were refused because their message had one.
    pub refused: u32,
    /// The next offset to read of each partition, where an application keeps it here.
    pub offsets: BTreeMap<PartitionId, Offset>,
}

impl TableView {
    /// The message of each row, in order of messages.
    pub fn rows(&self) -> impl Iterator<Item = MessageId> + '_ {
        self.by_message.iter().flat_map(|(id, rows)| (0..*rows).map(|_| *id))
    }

    /// How many rows, and of how many messages.
    pub fn count(&self) -> (u64, usize) {
        (self.by_message.values().copied().map(u64::from).sum(), self.by_message.len())
    }

    /// How many rows there are of a message.
    pub fn rows_of(&self, id: MessageId) -> u32 {
        self.by_message.get(&id).copied().unwrap_or(0)
    }

    /// Messages with more than one row, ascending.
    pub fn repeated(&self) -> Vec<MessageId> {
        let more = self.by_message.iter().filter(|(_, rows)| **rows > 1);
        more.map(|(id, _)| *id).collect()
    }
}

impl ClusterView {
    pub(super) fn apply_table(&mut self, kind: EventKind, batches: &BatchTable) {
        match kind {
            EventKind::RowsInserted { table, batch, first, count, once, .. } => {
                let Some(view) = self.tables.get_mut(table.index()) else { return };
                for id in slice_messages(batches, batch, first, count) {
                    let rows = view.by_message.entry(id).or_default();
                    if once && *rows > 0 {
                        view.refused += 1;
                    } else {
                        *rows += 1;
                    }
                }
            }
            EventKind::OffsetKept { table, partition, offset } => {
                let Some(view) = self.tables.get_mut(table.index()) else { return };
                view.offsets.insert(partition, offset);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::tables::TableId;
    use crate::view::story::{P0, Story};

    #[test]
    fn a_unique_key_refuses_the_second_row_and_a_plain_insert_does_not() {
        for (once, rows, refused) in [(false, 5, 0), (true, 3, 2)] {
            let mut story = Story::new();
            Arc::make_mut(&mut story.names).tables = vec!["bills".to_owned()];
            let batch = story.send(&[0, 1, 2]);
            let (table, partition, base_offset) = (TableId(0), P0, Offset(0));
            for (first, count) in [(0, 2), (0, 3)] {
                story.consumer(
                    0,
                    EventKind::RowsInserted {
                        table,
                        partition,
                        batch,
                        base_offset,
                        first,
                        count,
                        once,
                    },
                );
            }
            let view = story.view();
            assert_eq!(view.tables[0].count(), (rows, 3), "once: {once}");
            assert_eq!(view.tables[0].refused, refused);
            assert_eq!(view.tables[0].rows().count() as u64, rows);
            assert_eq!(view.tables[0].repeated().is_empty(), once);
        }
    }
}
