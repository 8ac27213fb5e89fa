//! What a broker does with its logs beside serving them (`LogManager`, `LogCleaner`): it begins segments, deletes old
//! ones every `log.retention.check.interval.ms` (first after `log.initial.task.delay.ms`), and compacts; a cleaner that
//! finds nothing to do sleeps for `log.cleaner.backoff.ms`. Leaders and followers do so alike, each by itself.
//!
//! Simplified: one cleaner thread, which needs no time; the file of a deleted segment is gone at once.

use crate::base::config::TopicConfig;
use crate::base::ids::{Offset, PartitionId};
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::broker::Broker;
use crate::kafka::effects::{Effects, TimerKind};
use crate::kafka::log::cleaner::{Cleaned, LogToClean, clean};
use crate::kafka::log::retention::Breach;

impl Broker {
    /// The process starts: from now on logs are looked at.
    pub(super) fn schedule_storage(&self, now: Time, fx: &mut Effects) {
        let first = now + self.config.brokers.log_initial_task_delay;
        fx.set_timer(TimerKind::LogRetention, 0, first);
        fx.set_timer(TimerKind::LogCleaner, 0, now + self.config.brokers.log_cleaner_backoff);
    }

    /// Begins a new segment where a batch does not fit into the active one, or comes too long after its first record;
    /// the old one is flushed.
    pub(super) fn maybe_roll(
        &mut self,
        now: Time,
        partition: PartitionId,
        (bytes, timestamp): (u32, i64),
        fx: &mut Effects,
    ) {
        let config = self.topic_config(partition, fx);
        let active = self.log(partition).map(|log| *log.active_segment());
        if active.is_some_and(|active| active.should_roll(bytes, timestamp, config)) {
            self.roll(now, partition, fx);
        }
    }

    fn roll(&mut self, now: Time, partition: PartitionId, fx: &mut Effects) {
        let config = self.topic_config(partition, fx);
        let jitter = config.segment_jitter.min(config.segment_ms).as_millis();
        let jitter = if jitter > 0 { fx.choose(jitter) } else { 0 };
        let Some((_, log)) = self.parts(partition) else { return };
        let rolled = log.roll(now.timestamp(), Duration::from_millis(jitter));
        if let Some(base_offset) = rolled {
            fx.event(EventKind::SegmentRolled { partition, base_offset });
            self.flush(now, partition, fx);
        }
    }

    /// `LogManager.cleanupLogs`: of topics that are not compacted. The cleaner looks after the others.
    pub(super) fn look_at_retention(&mut self, now: Time, fx: &mut Effects) {
        for partition in self.loaded() {
            if !self.topic_config(partition, fx).cleanup.compact {
                self.delete_old_segments(now, partition, fx);
            }
        }
        let next = now + self.config.brokers.log_retention_check_interval;
        fx.set_timer(TimerKind::LogRetention, 0, next);
    }

    /// `CleanerThread.doWork`: the filthiest log first, until none is dirty enough.
    pub(super) fn run_cleaner(&mut self, now: Time, fx: &mut Effects) {
        while let Some((partition, plan)) = self.filthiest(now, fx) {
            self.clean_log(now, partition, plan, fx);
        }
        for partition in self.loaded() {
            if self.topic_config(partition, fx).cleanup.compact {
                self.delete_old_segments(now, partition, fx);
            }
        }
        fx.set_timer(TimerKind::LogCleaner, 0, now + self.config.brokers.log_cleaner_backoff);
    }

    /// The replicas in memory.
    fn loaded(&self) -> Vec<PartitionId> {
        self.ram.replicas.iter().flatten().map(|replica| replica.partition).collect()
    }

    /// `UnifiedLog.deleteOldSegments`: for each reason in turn. When all segments go, a new one is begun first.
    fn delete_old_segments(&mut self, now: Time, partition: PartitionId, fx: &mut Effects) {
        let config: TopicConfig = *self.topic_config(partition, fx);
        for breach in Breach::of(&config) {
            let Some((replica, log)) = self.parts_ref(partition) else { return };
            let high_watermark = replica.high_watermark;
            let count = log.deletable(*breach, &config, now.timestamp(), high_watermark);
            if count == 0 {
                continue;
            }
            if count == log.segments().len() {
                self.roll(now, partition, fx);
            }
            let Some((_, log)) = self.parts_ref(partition) else { return };
            let first = log.segments()[count].base_offset;
            self.increment_log_start(now, partition, first, fx);
            let Some((_, log)) = self.parts(partition) else { return };
            for (base_offset, end) in log.delete_segments(count) {
                fx.event(EventKind::SegmentDeleted { partition, base_offset, end });
            }
        }
    }

    /// `LogCleanerManager.grabFilthiestCompactedLog`.
    fn filthiest(&self, now: Time, fx: &Effects) -> Option<(PartitionId, LogToClean)> {
        let candidate = |partition: PartitionId| {
            let config = self.topic_config(partition, fx);
            let (replica, log) = self.parts_ref(partition)?;
            if !config.cleanup.compact || log.segments().len() < 2 {
                return None;
            }
            let plan = LogToClean::of(log, config, now.timestamp(), replica.last_stable_offset());
            plan.is_cleanable(config).then_some((partition, plan))
        };
        let candidates = self.loaded().into_iter().filter_map(candidate);
        // Of equals the first: `max_by_key` takes the last.
        candidates.rev().max_by_key(|(_, plan)| plan.dirty_ppm())
    }

    fn clean_log(&mut self, now: Time, partition: PartitionId, plan: LogToClean, fx: &mut Effects) {
        let config: TopicConfig = *self.topic_config(partition, fx);
        let Some((replica, log)) = self.parts(partition) else { return };
        let producers = &replica.producers;
        let changes = clean(log, plan, &config, producers, now.timestamp(), &mut fx.batches);
        let to: Offset = plan.first_uncleanable();
        for change in changes {
            fx.event(match change {
                Cleaned::Batch(base_offset, batch) => {
                    EventKind::BatchCompacted { partition, base_offset, batch }
                }
                Cleaned::Merged(base_offset) => EventKind::SegmentMerged { partition, base_offset },
            });
        }
        fx.event(EventKind::LogCleaned { partition, to });
    }
}
