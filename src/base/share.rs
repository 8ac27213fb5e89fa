//! Words of share groups (KIP-932): what a record is to a group, what a member says of it, and the settings of groups.

use crate::base::config::IsolationLevel;
use crate::base::ids::{MemberId, Offset, PartitionId, TopicId};
use crate::base::time::Duration;

/// The state of a record for a share group (`RecordState`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RecordState {
    /// It may be handed to a member.
    Available,
    /// A member has it, under a lock that runs out.
    Acquired,
    /// A member accepted it: done.
    Acknowledged,
    /// It was rejected, or delivered too often, and is being copied to the dead-letter queue (KIP-1191).
    Archiving,
    /// It was rejected, delivered too often or deleted: done.
    Archived,
}

impl RecordState {
    /// True when nothing can happen to the record any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Archived)
    }

    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Available => "AVAILABLE",
            Self::Acquired => "ACQUIRED",
            Self::Acknowledged => "ACKNOWLEDGED",
            Self::Archiving => "ARCHIVING",
            Self::Archived => "ARCHIVED",
        }
    }
}

/// What a member says became of a record it has (`AcknowledgeType`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AcknowledgeType {
    /// There is no record at this offset. Said by the client itself.
    Gap,
    /// It was processed.
    Accept,
    /// It was not; somebody may try again.
    Release,
    /// It cannot be processed; nobody is to try again.
    Reject,
    /// It needs more time (KIP-1222).
    Renew,
}

impl AcknowledgeType {
    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gap => "GAP",
            Self::Accept => "ACCEPT",
            Self::Release => "RELEASE",
            Self::Reject => "REJECT",
            Self::Renew => "RENEW",
        }
    }
}

/// Consecutive records in one state, as the share coordinator stores them (`PersisterStateBatch`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ShareStateBatch {
    /// The first offset.
    pub first: Offset,
    /// The last offset, inclusive.
    pub last: Offset,
    /// Their state.
    pub state: RecordState,
    /// How often they were delivered.
    pub delivery_count: u16,
}

/// The value of a record in `__share_group_state` (`ShareSnapshotValue`): all that is stored of a share partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareSnapshot {
    /// Counted up by an administrator's reset: what was written under an older one does not count.
    pub state_epoch: i32,
    /// The leader epoch of the last leader that wrote or read; older ones are fenced.
    pub leader_epoch: i32,
    /// The start offset; [`Offset::NONE`] until a leader has set it.
    pub start: Offset,
    /// Records from the start offset on that are not untouched, in order.
    pub batches: Vec<ShareStateBatch>,
}

/// What another coordinator needs to know of a share group (`ShareGroupMetadataValue` and the records beside it).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareGroupSnapshot {
    /// The group epoch.
    pub epoch: i32,
    /// The epoch of the target assignment.
    pub assignment_epoch: i32,
    /// Partitions whose share state is initialized, in order.
    pub initialized: Vec<PartitionId>,
    /// Its members.
    pub members: Vec<ShareMemberSnapshot>,
}

/// A member within a [`ShareGroupSnapshot`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareMemberSnapshot {
    /// Its id.
    pub member: MemberId,
    /// Its epoch.
    pub epoch: i32,
    /// What it subscribes to.
    pub topics: Vec<TopicId>,
    /// Its target assignment.
    pub partitions: Vec<PartitionId>,
}

/// `share.auto.offset.reset`: where a share group begins that has never read a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ShareReset {
    /// `earliest`: the log start.
    Earliest,
    /// `latest`: the end of the log.
    #[default]
    Latest,
    /// `by_duration:PT1H`: the first record that is not older.
    ByDuration(Duration),
}

/// Settings of one group, by group id (`GroupConfig`). `None` follows the brokers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupConfig {
    /// `share.auto.offset.reset`.
    pub reset: ShareReset,
    /// `share.isolation.level`.
    pub isolation: IsolationLevel,
    /// `share.renew.acknowledge.enable`.
    pub renew: bool,
    /// `share.delivery.count.limit`.
    pub deliveries: Option<u16>,
    /// `share.record.lock.duration.ms`.
    pub lock: Option<Duration>,
    /// `share.partition.max.record.locks`.
    pub max_locks: Option<u32>,
    /// `share.session.timeout.ms`.
    pub session_timeout: Option<Duration>,
    /// `share.heartbeat.interval.ms`.
    pub heartbeat_interval: Option<Duration>,
    /// `errors.deadletterqueue.topic.name`; empty: there is no dead-letter queue.
    pub dead_letters: String,
    /// `errors.deadletterqueue.copy.record.enable`.
    pub copy_dead_letters: bool,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            reset: ShareReset::Latest,
            isolation: IsolationLevel::ReadUncommitted,
            renew: true,
            deliveries: Some(5),
            lock: Some(Duration::from_secs(30)),
            max_locks: Some(2_000),
            session_timeout: Some(Duration::from_secs(45)),
            heartbeat_interval: Some(Duration::from_secs(5)),
            dead_letters: String::new(),
            copy_dead_letters: false,
        }
    }
}

/// What brokers are set to about share groups (`ShareGroupConfig`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareBrokerConfig {
    /// `group.share.record.lock.duration.ms`.
    pub lock: Duration,
    /// `group.share.min.record.lock.duration.ms`.
    pub min_lock: Duration,
    /// `group.share.max.record.lock.duration.ms`.
    pub max_lock: Duration,
    /// `group.share.delivery.count.limit`.
    pub deliveries: u16,
    /// `group.share.partition.max.record.locks`.
    pub max_locks: u32,
    /// `group.share.session.timeout.ms`.
    pub session_timeout: Duration,
    /// `group.share.min.session.timeout.ms`.
    pub min_session_timeout: Duration,
    /// `group.share.max.session.timeout.ms`.
    pub max_session_timeout: Duration,
    /// `group.share.heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `group.share.min.heartbeat.interval.ms`.
    pub min_heartbeat_interval: Duration,
    /// `group.share.max.heartbeat.interval.ms`.
    pub max_heartbeat_interval: Duration,
    /// `group.share.assignment.interval.ms`.
    pub assignment_interval: Duration,
    /// `errors.deadletterqueue.topic.name.prefix`.
    pub dead_letter_prefix: String,
    /// `share.coordinator.state.topic.num.partitions`.
    pub topic_partitions: u32,
    /// `share.coordinator.state.topic.replication.factor`.
    pub topic_replication: u32,
    /// `share.coordinator.state.topic.min.isr`.
    pub topic_min_isr: u32,
}

impl Default for ShareBrokerConfig {
    fn default() -> Self {
        Self {
            lock: Duration::from_secs(30),
            min_lock: Duration::from_secs(15),
            max_lock: Duration::from_secs(60),
            deliveries: 5,
            max_locks: 2_000,
            session_timeout: Duration::from_secs(45),
            min_session_timeout: Duration::from_secs(45),
            max_session_timeout: Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(5),
            min_heartbeat_interval: Duration::from_secs(5),
            max_heartbeat_interval: Duration::from_secs(15),
            assignment_interval: Duration::from_secs(1),
            dead_letter_prefix: "dlq.".to_owned(),
            topic_partitions: 50,
            topic_replication: 3,
            topic_min_isr: 2,
        }
    }
}

impl GroupConfig {
    /// What is wrong with the settings under these brokers (`GroupConfig.validateValues`): the setting, and the bounds
    /// it is outside of.
    pub fn out_of_bounds(&self, brokers: &ShareBrokerConfig) -> Vec<(&'static str, String)> {
        let ms = |name, value: Option<Duration>, (min, max): (Duration, Duration)| {
            let outside = value.filter(|value| *value < min || max < *value)?;
            let (value, min, max) = (outside.as_millis(), min.as_millis(), max.as_millis());
            Some((name, format!("{value} ms is not between {min} and {max}, as brokers allow")))
        };
        let lock = (brokers.min_lock, brokers.max_lock);
        let session = (brokers.min_session_timeout, brokers.max_session_timeout);
        let heartbeat = (brokers.min_heartbeat_interval, brokers.max_heartbeat_interval);
        let found = [
            ms("share.record.lock.duration.ms", self.lock, lock),
            ms("share.session.timeout.ms", self.session_timeout, session),
            ms("share.heartbeat.interval.ms", self.heartbeat_interval, heartbeat),
        ];
        found.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_may_not_ask_for_more_than_its_brokers_allow() {
        let brokers = ShareBrokerConfig::default();
        let lock = Some(Duration::from_secs(15));
        let within = GroupConfig { lock, ..GroupConfig::default() };
        assert_eq!(within.out_of_bounds(&brokers), []);
        let below = GroupConfig { lock: Some(Duration::from_secs(14)), ..within };
        assert_eq!(below.out_of_bounds(&brokers)[0].0, "share.record.lock.duration.ms");
    }
}
