//! The batches of a log in chunks that clones share, so that a checkpoint of a run costs a pointer a chunk. A chunk is
//! a device for cheap clones; the segments of a log are in [`segment`](crate::kafka::log::segment).

use std::sync::Arc;

use crate::base::ids::{BatchHandle, LeaderEpoch, Offset};
use crate::base::time::Time;

/// Entries of a sealed chunk.
const CHUNK: usize = 1_024;

/// One batch as it stands in a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogEntry {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The batch.
    pub batch: BatchHandle,
    /// How many offsets it spans.
    pub count: u32,
    /// Its size.
    pub bytes: u32,
    /// The epoch of the leader that first appended it.
    pub leader_epoch: LeaderEpoch,
    /// When this replica appended it.
    pub at: Time,
    /// The newest time stamp in it, in milliseconds since 1970.
    pub max_timestamp: i64,
    /// The leader stamped it (`LogAppendTime`): `max_timestamp` is the stamp of every record.
    pub append_time: bool,
}

impl LogEntry {
    /// The offset after its last record.
    pub fn end(&self) -> Offset {
        self.base_offset + i64::from(self.count)
    }
}

/// A list of entries in ascending order of offset. It grows and shrinks at its end; what else changes makes a new list.
#[derive(Clone, Default, Debug)]
pub struct Entries {
    sealed: Vec<Arc<[LogEntry]>>,
    open: Vec<LogEntry>,
}

impl FromIterator<LogEntry> for Entries {
    fn from_iter<I: IntoIterator<Item = LogEntry>>(entries: I) -> Self {
        let mut list = Self::default();
        entries.into_iter().for_each(|entry| list.push(entry));
        list
    }
}

impl Entries {
    /// Adds an entry at the end.
    pub fn push(&mut self, entry: LogEntry) {
        self.open.push(entry);
        if self.open.len() == CHUNK {
            self.sealed.push(Arc::from(self.open.as_slice()));
            self.open.clear();
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.sealed.len() * CHUNK + self.open.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entry number `index`.
    pub fn get(&self, index: usize) -> Option<&LogEntry> {
        match self.sealed.get(index / CHUNK) {
            Some(chunk) => chunk.get(index % CHUNK),
            None => self.open.get(index - self.sealed.len() * CHUNK),
        }
    }

    /// The last entry.
    pub fn last(&self) -> Option<&LogEntry> {
        self.open.last().or_else(|| self.sealed.last().and_then(|chunk| chunk.last()))
    }

    /// Entries from number `index` on.
    pub fn from_index(&self, index: usize) -> impl Iterator<Item = &LogEntry> + '_ {
        (index..self.len()).filter_map(|at| self.get(at))
    }

    /// The number of the first entry that ends after `offset`: the one that holds it, or the first one beyond.
    pub fn index_of(&self, offset: Offset) -> usize {
        // Readers are near the end nearly always: look there before searching.
        let (mut low, mut high) = (0, self.len());
        if let Some(last) = self.last() {
            if last.end() <= offset {
                return high;
            }
            if last.base_offset <= offset {
                return high - 1;
            }
        }
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle) {
                Some(entry) if entry.end() <= offset => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// Removes the last entry and returns it.
    pub fn pop(&mut self) -> Option<LogEntry> {
        if self.open.is_empty() {
            let chunk = self.sealed.pop()?;
            self.open.extend_from_slice(&chunk);
        }
        self.open.pop()
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.sealed.clear();
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(base: i64, count: u32) -> LogEntry {
        LogEntry {
            base_offset: Offset(base),
            batch: BatchHandle(0),
            count,
            bytes: 0,
            leader_epoch: LeaderEpoch(0),
            at: Time::ZERO,
            max_timestamp: 0,
            append_time: false,
        }
    }

    #[test]
    fn an_offset_is_found_in_its_batch_across_chunks() {
        let mut entries = Entries::default();
        for n in 0..3_000 {
            entries.push(entry(n * 3, 3));
        }
        let mut shared = entries.clone();
        for offset in [0, 1, 3_071, 3_072, 3_073, 6_143, 8_999] {
            assert_eq!(entries.index_of(Offset(offset)), offset as usize / 3, "offset {offset}");
        }
        assert_eq!(entries.index_of(Offset(9_000)), 3_000);
        for _ in 0..2_000 {
            shared.pop();
        }
        assert_eq!((shared.len(), entries.len()), (1_000, 3_000));
        assert_eq!(shared.last().map(LogEntry::end), Some(Offset(3_000)));
        shared.push(entry(3_000, 1));
        assert_eq!(shared.get(1_000), Some(&entry(3_000, 1)));
    }
}
