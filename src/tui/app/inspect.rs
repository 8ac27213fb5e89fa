//! What keys do in the log inspector.

use crate::tui::app::App;
use crate::tui::screens::log;

impl App {
    /// How many rows the log in sight has.
    pub(super) fn log_rows(&self) -> usize {
        let view = self.view(self.world);
        let Some(partition) = view.partitions.get(log::partition(self).index()) else { return 0 };
        let count = partition.replicas.len().max(1);
        let of = |n: usize| partition.replicas.get(n % count).map_or(0, |r| log::lines(r).len());
        let here = of(self.log.replica);
        if self.log.beside { here.max(of(self.log.replica + 1)) } else { here }
    }

    /// Lists the records of the batch, or hides them. Side by side there is no room for them.
    pub(super) fn toggle_records(&mut self) {
        self.log.opened = self.log.beside || !self.log.opened;
        self.log.beside = false;
    }

    /// The next replica of the partition, or the one before.
    pub(super) fn turn_replica(&mut self, next: bool) {
        let view = self.view(self.world);
        let partition = view.partitions.get(log::partition(self).index());
        let count = partition.map_or(1, |partition| partition.replicas.len().max(1));
        let by = if next { 1 } else { count - 1 };
        self.log.replica = (self.log.replica + by) % count;
    }
}
