//! The records an application was given and has not finished.

use crate::base::ids::{Offset, PartitionId};
use crate::kafka::consumer::PolledSlice;

/// Records in the order in which `poll()` returned them.
#[derive(Clone, Default, Debug)]
pub(super) struct Unfinished {
    slices: Vec<PolledSlice>,
}

impl Unfinished {
    /// `poll()` returned these.
    pub(super) fn add(&mut self, slices: &[PolledSlice]) {
        self.slices.extend_from_slice(slices);
    }

    /// All of them, oldest first.
    pub(super) fn slices(&self) -> &[PolledSlice] {
        &self.slices
    }

    /// The records of `done` are finished. Those that were finished before stay so: a loop may well do work twice.
    pub(super) fn finish(&mut self, done: PolledSlice) {
        if let Some(at) = self.slices.iter().position(|slice| *slice == done) {
            self.slices.remove(at);
            return;
        }
        for first in done.first..done.first + done.count {
            self.finish_record(PolledSlice { first, count: 1, ..done });
        }
    }

    fn finish_record(&mut self, done: PolledSlice) {
        let holds = |s: &PolledSlice| {
            (s.partition, s.batch, s.base_offset) == (done.partition, done.batch, done.base_offset)
                && (s.first..s.first + s.count).contains(&done.first)
        };
        let Some(at) = self.slices.iter().position(holds) else { return };
        let slice = self.slices[at];
        let (from, to) = (done.first, done.first + 1);
        let before = PolledSlice { count: from - slice.first, ..slice };
        let after = PolledSlice { first: to, count: slice.first + slice.count - to, ..slice };
        let rest = [before, after].into_iter().filter(|part| part.count > 0);
        self.slices.splice(at..=at, rest);
    }

    /// The lowest offset of a partition that is not finished.
    pub(super) fn lowest(&self, partition: PartitionId) -> Option<Offset> {
        let own = self.slices.iter().filter(|s| s.partition == partition);
        own.map(PolledSlice::first_offset).min()
    }

    /// The next `count` records, oldest first, as slices.
    pub(super) fn next(&self, count: u32) -> Vec<PolledSlice> {
        let mut left = count;
        let mut next = Vec::new();
        for slice in &self.slices {
            let count = u32::from(slice.count).min(left);
            if count == 0 {
                break;
            }
            left -= count;
            next.push(PolledSlice { count: count as u16, ..*slice });
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::BatchHandle;

    const P: PartitionId = PartitionId(0);

    fn slice(first: u16, count: u16) -> PolledSlice {
        let (batch, base_offset) = (BatchHandle(0), Offset(10));
        PolledSlice { partition: P, batch, base_offset, first, count }
    }

    #[test]
    fn what_is_finished_out_of_order_leaves_a_gap_that_holds_the_offset_back() {
        let mut unfinished = Unfinished::default();
        unfinished.add(&[slice(0, 5)]);
        unfinished.finish(slice(2, 1));
        assert_eq!(unfinished.slices(), [slice(0, 2), slice(3, 2)]);
        assert_eq!(unfinished.lowest(P), Some(Offset(10)));
        assert_eq!(unfinished.next(3), [slice(0, 2), slice(3, 1)]);
        unfinished.finish(slice(0, 2));
        assert_eq!(unfinished.lowest(P), Some(Offset(13)));
        unfinished.finish(slice(3, 2));
        assert_eq!(unfinished.lowest(P), None);
    }
}
