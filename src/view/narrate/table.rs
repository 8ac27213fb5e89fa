//! What applications do with a database besides Kafka.

use crate::event::{Event, EventKind};
use crate::view::narrate::Scene;
use crate::view::words::{fold_ids, plural, slice_ids, slice_messages};

pub(super) fn sentence(scene: &Scene<'_>, event: &Event) -> Option<String> {
    let (who, names) = (scene.node(event.node), scene.names());
    Some(match event.kind {
        EventKind::RowsInserted { table, batch, first, count, once, .. } => {
            let view = scene.before.tables.get(table.index());
            let known: Vec<_> = slice_messages(scene.batches, batch, first, count)
                .filter(|id| view.is_some_and(|view| view.rows_of(*id) > 0))
                .collect();
            let (ids, table) =
                (slice_ids(names, scene.batches, batch, first, count), names.table(table));
            let rows = plural(u64::from(count), "row");
            match (known.is_empty(), once) {
                (true, _) => format!("{who} inserts {rows} into {table}: {ids}."),
                (false, true) => format!(
                    "{who} inserts {rows} into {table}: {ids}; the unique key refuses {}.",
                    fold_ids(names, &known)
                ),
                (false, false) => format!(
                    "{who} inserts {rows} into {table}: {ids}; {} had a row already.",
                    fold_ids(names, &known)
                ),
            }
        }
        EventKind::OffsetKept { table, partition, offset } => {
            let (partition, table) = (scene.partition(partition), names.table(table));
            format!(
                "{who} keeps offset {offset} of {partition} in {table}, in one database transaction with the rows."
            )
        }
        _ => return None,
    })
}
