//! From the page cache to the platter: `UnifiedLog.flush`, `LogManager.flushDirtyLogs`. A log is flushed up to the new
//! segment when one is rolled, after `flush.messages` records, when `flush.ms` are over and somebody looks (every
//! `log.flush.scheduler.interval.ms`, by default never), and at an orderly shutdown. Replication is what Kafka
//! relies on otherwise: a power loss takes the rest.
//!
//! Simplified: flushing takes no time.

use crate::base::ids::PartitionId;
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::broker::Broker;
use crate::kafka::effects::{Effects, TimerKind};

impl Broker {
    /// Flushes a log when `flush.messages` records wait for it.
    pub(super) fn maybe_flush(&mut self, now: Time, partition: PartitionId, fx: &mut Effects) {
        let limit = self.topic_config(partition, fx).flush_messages;
        if self.log(partition).is_some_and(|log| log.unflushed() >= limit) {
            self.flush(now, partition, fx);
        }
    }

    /// Flushes the logs whose last flush is too long ago, and looks again an interval later.
    pub(super) fn flush_dirty_logs(&mut self, now: Time, fx: &mut Effects) {
        for at in 0..self.ram.replicas.len() {
            let partition = PartitionId(at as u16);
            let interval = self.topic_config(partition, fx).flush_ms;
            let last = self.replica(partition).map(|replica| replica.last_flush);
            if last.is_some_and(|last| now.since(last) >= interval) {
                self.flush(now, partition, fx);
            }
        }
        self.schedule_log_flush(now, fx);
    }

    pub(super) fn schedule_log_flush(&self, now: Time, fx: &mut Effects) {
        let interval = self.config.brokers.log_flush_scheduler_interval;
        if interval != Duration(u64::MAX) {
            fx.set_timer(TimerKind::LogFlush, 0, now + interval);
        }
    }

    pub(super) fn flush(&mut self, now: Time, partition: PartitionId, fx: &mut Effects) {
        let Some((replica, log)) = self.parts(partition) else { return };
        replica.last_flush = now;
        if log.flush() {
            fx.event(EventKind::Flushed { partition, offset: log.end() });
        }
    }
}
