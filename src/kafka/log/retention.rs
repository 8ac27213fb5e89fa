//! Which segments of a log go: `UnifiedLog.deleteOldSegments`. A segment goes as a whole, oldest first, and only when
//! everything in it is below the high watermark.

use crate::base::config::TopicConfig;
use crate::base::ids::Offset;
use crate::kafka::log::UnifiedLog;
use crate::kafka::log::segment::LogSegment;

/// Why a segment goes, in the order in which Kafka looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Breach {
    /// Everything in it is below the log start.
    LogStart,
    /// `retention.bytes`: what is left without it is still large enough.
    Size,
    /// `retention.ms`: its newest record is too old.
    Time,
}

impl Breach {
    /// What is looked for in a topic with these settings.
    pub fn of(config: &TopicConfig) -> &'static [Self] {
        if config.cleanup.delete {
            &[Self::LogStart, Self::Size, Self::Time]
        } else {
            &[Self::LogStart]
        }
    }
}

impl UnifiedLog {
    /// How many of the oldest segments go for this reason (`deletableSegments`). All of them may: then a new active
    /// segment has to be rolled first, so an expired active segment goes too. One that is empty and active stays.
    pub fn deletable(
        &self,
        breach: Breach,
        config: &TopicConfig,
        now: i64,
        high_watermark: Offset,
    ) -> usize {
        let mut excess = match config.retention_bytes {
            Some(limit) if self.bytes() >= limit => self.bytes() - limit,
            _ if breach == Breach::Size => return 0,
            _ => 0,
        };
        let mut goes = |segment: &LogSegment, next: Option<Offset>| match breach {
            Breach::LogStart => next.is_some_and(|next| next <= self.log_start()),
            Breach::Size => {
                let goes = excess >= segment.bytes;
                excess -= if goes { segment.bytes } else { 0 };
                goes
            }
            Breach::Time => config
                .retention
                .is_some_and(|limit| now - segment.newest() > limit.as_millis() as i64),
        };
        let segments = self.segments();
        let deletable = (0..segments.len()).take_while(|n| {
            let next = segments.get(n + 1).map(|next| next.base_offset);
            let is_empty_active = next.is_none() && segments[*n].bytes == 0;
            high_watermark >= next.unwrap_or(self.end())
                && !is_empty_active
                && goes(&segments[*n], next)
        });
        deletable.count()
    }

    /// Deletes the oldest `count` segments with everything in them and returns where each began and the next begins.
    /// The log start is for the caller to move there before.
    ///
    /// # Panics
    /// When none would be left.
    pub fn delete_segments(&mut self, count: usize) -> Vec<(Offset, Offset)> {
        assert!(count < self.segments.len(), "a log has at least one segment");
        let ends = self.segments[1..].iter().map(|segment| segment.base_offset);
        let gone = self.segments.iter().zip(ends).take(count);
        let gone: Vec<_> = gone.map(|(segment, end)| (segment.base_offset, end)).collect();
        self.segments.drain(..count);
        let first = self.entries.index_of(self.segments[0].base_offset);
        self.entries = self.entries.from_index(first).copied().collect();
        gone
    }

    fn bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::CleanupPolicy;
    use crate::base::ids::{BatchHandle, LeaderEpoch};
    use crate::base::time::{Duration, Time};

    /// Four segments of 200 bytes, two records each; the last has one record only.
    fn log() -> UnifiedLog {
        let mut log = UnifiedLog::default();
        for n in 0..7 {
            if n % 2 == 0 {
                log.roll(Time::ZERO.timestamp(), Duration::ZERO);
            }
            log.append_plain(BatchHandle(n), 1, LeaderEpoch(0));
        }
        log
    }

    #[test]
    fn segments_go_whole_and_only_below_the_high_watermark() {
        let both = |bytes, hw| {
            let (retention, retention_bytes) = (Some(Duration::from_millis(10)), Some(bytes));
            (TopicConfig { retention, retention_bytes, ..TopicConfig::default() }, hw)
        };
        let now = |age| Time::ZERO.timestamp() + age;
        for (why, breach, (config, hw), age, expected) in [
            ("exactly as old as allowed", Breach::Time, both(9_999, 7), 10, 0),
            ("everything is older, the active segment too", Breach::Time, both(9_999, 7), 11, 4),
            ("the high watermark is inside the third", Breach::Time, both(9_999, 5), 11, 2),
            ("smaller than the limit", Breach::Size, both(701, 7), 0, 0),
            ("what is left has to reach the limit", Breach::Size, both(350, 7), 0, 1),
            ("the active segment never goes by size", Breach::Size, both(1, 7), 0, 3),
        ] {
            let log = log();
            assert_eq!(log.deletable(breach, &config, now(age), Offset(hw)), expected, "{why}");
        }
    }

    #[test]
    fn what_was_deleted_below_the_log_start_leaves_the_disk_with_its_segment() {
        let mut log = log();
        log.increment_log_start(Offset(5));
        let compacted = CleanupPolicy { delete: false, compact: true };
        let config = TopicConfig { cleanup: compacted, ..TopicConfig::default() };
        assert_eq!(Breach::of(&config), [Breach::LogStart]);
        assert_eq!(log.deletable(Breach::LogStart, &config, 0, Offset(7)), 2);
        let gone = log.delete_segments(2);
        assert_eq!(gone, [(Offset(0), Offset(2)), (Offset(2), Offset(4))]);
        let left: Vec<_> = log.entries().map(|entry| entry.base_offset.0).collect();
        assert_eq!(left, [5, 6]);
        assert_eq!((log.read_from(Offset(0)).count(), log.segments().len()), (3, 2));
    }
}
