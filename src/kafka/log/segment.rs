//! One segment of a log (`LogSegment`): a file of batches that is rolled, deleted and compacted as a whole.
//!
//! Simplified: no indexes, so a segment is not rolled because one is full; no more than 2³¹ offsets in a segment.

use crate::base::config::TopicConfig;
use crate::base::ids::Offset;
use crate::base::time::Duration;
use crate::kafka::log::entries::LogEntry;

/// No time stamp (`RecordBatch.NO_TIMESTAMP`).
const NO_TIMESTAMP: i64 = -1;

/// A segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LogSegment {
    /// The offset its file is named after: no record in it is below.
    pub base_offset: Offset,
    /// Its size.
    pub bytes: u64,
    /// The newest time stamp of a record in it; -1 without records.
    largest_timestamp: i64,
    /// The time stamp of its first batch, from which `segment.ms` counts; -1 without records.
    first_timestamp: i64,
    /// When it was written last, in milliseconds since 1970.
    modified: i64,
    /// How much sooner than after `segment.ms` it is rolled.
    jitter: Duration,
}

impl LogSegment {
    /// A segment without records.
    pub fn new(base_offset: Offset, now: i64, jitter: Duration) -> Self {
        Self {
            base_offset,
            bytes: 0,
            largest_timestamp: NO_TIMESTAMP,
            first_timestamp: NO_TIMESTAMP,
            modified: now,
            jitter,
        }
    }

    /// Notes an append.
    pub(super) fn add(&mut self, entry: &LogEntry) {
        if self.bytes == 0 {
            self.first_timestamp = entry.max_timestamp;
        }
        self.bytes += u64::from(entry.bytes);
        self.largest_timestamp = self.largest_timestamp.max(entry.max_timestamp);
        self.modified = self.modified.max(entry.at.timestamp());
    }

    /// The same segment, from `base_offset` on, with nothing in it yet: to be filled with what is left of its entries.
    pub(super) fn emptied(&self, base_offset: Offset) -> Self {
        let (largest_timestamp, first_timestamp) = (NO_TIMESTAMP, NO_TIMESTAMP);
        Self { base_offset, bytes: 0, largest_timestamp, first_timestamp, ..*self }
    }

    /// `LogSegment.largestTimestamp`: by it retention tells the age of a segment.
    pub fn newest(&self) -> i64 {
        if self.largest_timestamp >= 0 { self.largest_timestamp } else { self.modified }
    }

    /// The time stamp of its first batch, if it has one: by it `max.compaction.lag.ms` counts.
    pub fn first_timestamp(&self) -> Option<i64> {
        (self.first_timestamp > 0).then_some(self.first_timestamp)
    }

    /// When it was written last.
    pub(super) fn modified(&self) -> i64 {
        self.modified
    }

    /// It was written at the same moment as `other`: what the cleaner says of its copies.
    pub(super) fn set_modified(&mut self, modified: i64) {
        self.modified = modified;
    }

    /// `LogSegment.shouldRoll`: does a batch of so many bytes with this newest time stamp need a new segment? Age is
    /// the distance between the time stamps of the batch and of the segment's first: without an append nothing rolls.
    pub fn should_roll(&self, bytes: u32, timestamp: i64, config: &TopicConfig) -> bool {
        let full = self.bytes + u64::from(bytes) > u64::from(config.segment_bytes);
        let waited = timestamp - self.first_timestamp;
        let age = config.max_segment_age().as_millis().saturating_sub(self.jitter.as_millis());
        full && self.bytes > 0 || self.bytes > 0 && waited > 0 && waited as u64 > age
    }
}
