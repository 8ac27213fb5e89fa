//! Tables of a database that applications write to besides Kafka. Nothing of it is Kafka's, and nothing of it is undone
//! when a transaction of Kafka aborts.
//!
//! Simplified: one database that is always there, answers at once and keeps every row; what an application writes of
//! one batch is one transaction of it.

use std::collections::BTreeMap;

use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{Offset, PartitionId};

/// A table, by its place in [`crate::base::names::Names::tables`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TableId(pub u16);

impl TableId {
    /// Its place.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How an application writes its rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Insert {
    /// A row for every record, whatever is there already.
    Plain,
    /// The id of the message is a unique key: a row that is there already is left as it is.
    Once,
    /// Plain, and in the same transaction of the database the offsets behind the batch.
    WithOffsets,
}

/// What of the database decides what an application does: the offsets it keeps there. Rows are for whoever looks later.
#[derive(Clone, Default, Debug)]
pub struct Tables {
    offsets: BTreeMap<(TableId, PartitionId), Offset>,
}

impl Tables {
    /// The next offset to read of `partition` is kept in `table`.
    pub fn keep(&mut self, table: TableId, partition: PartitionId, offset: Offset) {
        self.offsets.insert((table, partition), offset);
    }

    /// What is kept in `table` for `partition`.
    pub fn kept(&self, table: TableId, partition: PartitionId) -> Option<Offset> {
        self.offsets.get(&(table, partition)).copied()
    }

    /// Adds the tables to a fingerprint.
    pub fn fingerprint(&self, into: &mut Fingerprint) {
        into.add(&self.offsets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_kept_by_table_and_partition() {
        let mut tables = Tables::default();
        let (bills, mails, partition) = (TableId(0), TableId(1), PartitionId(3));
        tables.keep(bills, partition, Offset(10));
        tables.keep(bills, partition, Offset(20));
        assert_eq!(tables.kept(bills, partition), Some(Offset(20)));
        assert_eq!(tables.kept(mails, partition), None);
        assert_eq!(tables.kept(bills, PartitionId(4)), None);
    }
}
