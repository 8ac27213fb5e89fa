//! Settings of the consumer protocol of groups (KIP-848), a client's and the brokers'.

use crate::base::time::Duration;

/// `group.protocol` of a consumer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum GroupProtocol {
    /// `classic`: members join and synchronise, one of them assigns.
    #[default]
    Classic,
    /// `consumer`: the coordinator assigns, and members follow heartbeat by heartbeat (KIP-848).
    Consumer,
}

/// An assignor of the coordinator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RemoteAssignor {
    /// `uniform`.
    Uniform,
    /// `range`.
    Range,
}

impl RemoteAssignor {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }
}

/// `group.consumer.migration.policy`: which groups may change their protocol while they have members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MigrationPolicy {
    /// `bidirectional`.
    Bidirectional,
    /// `upgrade`: from classic to consumer.
    Upgrade,
    /// `downgrade`: from consumer to classic.
    Downgrade,
    /// `disabled`.
    Disabled,
}

impl MigrationPolicy {
    /// May a classic group become one of the consumer protocol?
    pub const fn upgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    /// May a group of the consumer protocol become a classic one?
    pub const fn downgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}

/// `group.consumer.…` of the brokers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerGroupConfig {
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout: Duration,
    /// `group.consumer.min.session.timeout.ms` and `…max…`.
    pub session_timeout_bounds: (Duration, Duration),
    /// `group.consumer.heartbeat.interval.ms`: given to the members.
    pub heartbeat_interval: Duration,
    /// `group.consumer.min.heartbeat.interval.ms` and `…max…`.
    pub heartbeat_interval_bounds: (Duration, Duration),
    /// `group.consumer.assignment.interval.ms`.
    pub assignment_interval: Duration,
    /// `group.consumer.min.assignment.interval.ms` and `…max…`.
    pub assignment_interval_bounds: (Duration, Duration),
    /// `group.consumer.regex.refresh.interval.ms`.
    pub regex_refresh_interval: Duration,
    /// `group.consumer.max.size`.
    pub max_size: u32,
    /// `group.consumer.assignors`; the first is the default.
    pub assignors: Vec<RemoteAssignor>,
    /// `group.consumer.migration.policy`.
    pub migration_policy: MigrationPolicy,
}

impl Default for ConsumerGroupConfig {
    fn default() -> Self {
        let millis = |(low, high)| (Duration::from_millis(low), Duration::from_millis(high));
        Self {
            session_timeout: Duration::from_millis(45_000),
            session_timeout_bounds: millis((45_000, 60_000)),
            heartbeat_interval: Duration::from_millis(5_000),
            heartbeat_interval_bounds: millis((5_000, 15_000)),
            assignment_interval: Duration::from_millis(1_000),
            assignment_interval_bounds: millis((0, 15_000)),
            regex_refresh_interval: Duration::from_secs(600),
            max_size: i32::MAX as u32,
            assignors: RemoteAssignor::ALL.to_vec(),
            migration_policy: MigrationPolicy::Bidirectional,
        }
    }
}
