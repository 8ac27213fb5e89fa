//! Settings of topics (`LogConfig`).

use crate::base::time::Duration;

/// `cleanup.policy`: `delete`, `compact`, both, or neither (everything is kept).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CleanupPolicy {
    /// Segments go by age and size.
    pub delete: bool,
    /// Of each key only the last record is kept.
    pub compact: bool,
}

/// Topic settings. As a whole the content of a record in the metadata log, hence `Copy`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TopicConfig {
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_ms: Duration,
    /// `segment.jitter.ms`.
    pub segment_jitter: Duration,
    /// `max.message.bytes`.
    pub max_message_bytes: u32,
    /// `flush.messages`: records between forced flushes.
    pub flush_messages: u64,
    /// `flush.ms`: age of the last flush at which the next look at the log flushes it.
    pub flush_ms: Duration,
    /// `cleanup.policy`.
    pub cleanup: CleanupPolicy,
    /// `retention.ms`; `None`: -1, no limit.
    pub retention: Option<Duration>,
    /// `retention.bytes` of a partition; `None`: -1, no limit.
    pub retention_bytes: Option<u64>,
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub min_cleanable_dirty_ppm: u32,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag: Duration,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag: Duration,
    /// `delete.retention.ms`.
    pub delete_retention: Duration,
    /// `message.timestamp.type=LogAppendTime`.
    pub log_append_time: bool,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max: Duration,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max: Duration,
    /// `errors.deadletterqueue.group.enable`: share groups may write their dead letters to it.
    pub takes_dead_letters: bool,
}

impl TopicConfig {
    /// The settings Kafka gives `__consumer_offsets` and `__transaction_state`: compacted, in segments of 100 MiB.
    pub fn consumer_offsets() -> Self {
        let cleanup = CleanupPolicy { delete: false, compact: true };
        Self { cleanup, segment_bytes: 104_857_600, ..Self::default() }
    }

    /// The age at which a segment is rolled (`LogConfig.maxSegmentMs`): the longest compaction lag counts too.
    pub fn max_segment_age(&self) -> Duration {
        if self.cleanup.compact && self.max_compaction_lag > Duration::ZERO {
            self.segment_ms.min(self.max_compaction_lag)
        } else {
            self.segment_ms
        }
    }
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            min_insync_replicas: 1,
            unclean_leader_election: false,
            segment_bytes: 1_073_741_824,
            segment_ms: Duration::from_millis(604_800_000),
            segment_jitter: Duration::ZERO,
            max_message_bytes: 1_048_588,
            flush_messages: u64::MAX,
            flush_ms: Duration(u64::MAX),
            cleanup: CleanupPolicy { delete: true, compact: false },
            retention: Some(Duration::from_millis(604_800_000)),
            retention_bytes: None,
            min_cleanable_dirty_ppm: 500_000,
            min_compaction_lag: Duration::ZERO,
            max_compaction_lag: Duration(u64::MAX),
            delete_retention: Duration::from_millis(86_400_000),
            log_append_time: false,
            timestamp_before_max: Duration(u64::MAX),
            timestamp_after_max: Duration::from_millis(3_600_000),
            takes_dead_letters: false,
        }
    }
}
