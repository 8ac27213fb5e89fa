//! Settings under Kafka's own names, with the defaults of 4.4.0 (printed from its jars).
//!
//! The structs are what machines read; the table of properties behind `base::properties` is what a scenario, a
//! variant and `explain` read. Simplified: only settings that change what the simulator does have a field; every
//! other 4.4 setting is known by name and refused with that reason.

mod group;
mod topic;

use crate::base::era::Era;
use crate::base::features::Features;
use crate::base::librdkafka::{ClientFamily, KeyHash};
use crate::base::share::{GroupConfig, ShareBrokerConfig};
use crate::base::time::Duration;

pub use group::{ConsumerGroupConfig, GroupProtocol, MigrationPolicy, RemoteAssignor};
pub use topic::{CleanupPolicy, TopicConfig};

/// `acks` of a producer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// `0`: no answer is asked for.
    None,
    /// `1`: the leader's append.
    Leader,
    /// `all` (`-1`): the high watermark passes the batch.
    All,
}

/// `partitioner.class`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Partitioner {
    /// Unset: key hash, or sticky without a key (KIP-480, KIP-794).
    BuiltIn,
    /// `RoundRobinPartitioner`.
    RoundRobin,
    /// librdkafka: by the hash of the key.
    ByKey {
        /// Which.
        hash: KeyHash,
        /// Without a key any partition; else the hash of nothing.
        random: bool,
    },
    /// librdkafka: any partition.
    Random,
}

/// Producer settings after validation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducerConfig {
    /// `acks`.
    pub acks: Acks,
    /// `enable.idempotence`, after Kafka's silent switch-off by `acks` or `retries`.
    pub enable_idempotence: bool,
    /// `max.in.flight.requests.per.connection`.
    pub max_in_flight: u32,
    /// `retries`.
    pub retries: u32,
    /// `delivery.timeout.ms`.
    pub delivery_timeout: Duration,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `retry.backoff.ms`.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`.
    pub retry_backoff_max: Duration,
    /// `reconnect.backoff.ms`.
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`.
    pub reconnect_backoff_max: Duration,
    /// `linger.ms`.
    pub linger: Duration,
    /// `batch.size`, bytes.
    pub batch_size: u32,
    /// `buffer.memory`, bytes.
    pub buffer_memory: u64,
    /// `max.block.ms`.
    pub max_block: Duration,
    /// `max.request.size`, bytes.
    pub max_request_size: u32,
    /// `metadata.max.age.ms`.
    pub metadata_max_age: Duration,
    /// `metadata.recovery.strategy`: true for `rebootstrap`.
    pub rebootstrap: bool,
    /// `metadata.recovery.rebootstrap.trigger.ms`.
    pub rebootstrap_trigger: Duration,
    /// Whose code it runs.
    pub family: ClientFamily,
    /// `sticky.partitioning.linger.ms` of librdkafka; `None`: twice `linger.ms`.
    pub sticky_linger: Option<Duration>,
    /// `partitioner.class`, librdkafka's `partitioner`.
    pub partitioner: Partitioner,
    /// `partitioner.ignore.keys`.
    pub partitioner_ignore_keys: bool,
    /// `partitioner.adaptive.partitioning.enable`.
    pub adaptive_partitioning: bool,
    /// `partitioner.availability.timeout.ms`; zero: partitions are never passed over.
    pub availability_timeout: Duration,
    /// `transactional.id`; empty without one.
    pub transactional_id: String,
    /// `transaction.timeout.ms`.
    pub transaction_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            enable_idempotence: true,
            max_in_flight: 5,
            retries: i32::MAX as u32,
            delivery_timeout: Duration::from_millis(120_000),
            request_timeout: Duration::from_millis(30_000),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_millis(1_000),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_millis(1_000),
            linger: Duration::from_millis(5),
            batch_size: 16_384,
            buffer_memory: 33_554_432,
            max_block: Duration::from_millis(60_000),
            max_request_size: 1_048_576,
            metadata_max_age: Duration::from_millis(300_000),
            rebootstrap: true,
            rebootstrap_trigger: Duration::from_millis(300_000),
            family: ClientFamily::Java,
            sticky_linger: None,
            partitioner: Partitioner::BuiltIn,
            partitioner_ignore_keys: false,
            adaptive_partitioning: true,
            availability_timeout: Duration::ZERO,
            transactional_id: String::new(),
            transaction_timeout: Duration::from_millis(60_000),
        }
    }
}

/// `auto.offset.reset`.
#[derive(Clone, Copy, PartialEq, Hash, Eq, Debug)]
pub enum OffsetReset {
    /// `earliest`: the log start.
    Earliest,
    /// `latest`: the end, below the high watermark.
    Latest,
    /// `by_duration:PT1H` (KIP-1106): the first record that is not older.
    ByDuration(Duration),
    /// `none`: an exception.
    None,
}

/// `isolation.level` of a reader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum IsolationLevel {
    /// `read_uncommitted`: everything below the high watermark.
    #[default]
    ReadUncommitted,
    /// `read_committed`: what is below the last stable offset, without aborted transactions.
    ReadCommitted,
}

/// A client-side assignor of the classic protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AssignorName {
    /// `RangeAssignor`.
    Range,
    /// `RoundRobinAssignor`.
    RoundRobin,
    /// `StickyAssignor`.
    Sticky,
    /// `CooperativeStickyAssignor`.
    CooperativeSticky,
}

impl AssignorName {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Range, Self::RoundRobin, Self::Sticky, Self::CooperativeSticky];

    /// What it is called in the protocol (`ConsumerPartitionAssignor.name`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The simple name of its class.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Range => "RangeAssignor",
            Self::RoundRobin => "RoundRobinAssignor",
            Self::Sticky => "StickyAssignor",
            Self::CooperativeSticky => "CooperativeStickyAssignor",
        }
    }
}

/// Assignors in order of preference, each at most once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Assignors([Option<AssignorName>; AssignorName::ALL.len()]);

impl Assignors {
    /// Nothing but `name`.
    pub const fn only(name: AssignorName) -> Self {
        Self([Some(name), None, None, None])
    }

    /// The same with `name` at the end; `None` when it is in it already.
    pub fn and(mut self, name: AssignorName) -> Option<Self> {
        let free = self.0.iter().position(Option::is_none)?;
        if self.contains(name) {
            return None;
        }
        self.0[free] = Some(name);
        Some(self)
    }

    /// In order of preference.
    pub fn iter(&self) -> impl Iterator<Item = AssignorName> {
        self.0.iter().copied().flatten()
    }

    /// Is `name` one of them?
    pub fn contains(&self, name: AssignorName) -> bool {
        self.0.contains(&Some(name))
    }
}

/// `replica.selector.class`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplicaSelector {
    /// Unset: consumers read from the leader.
    Leader,
    /// `RackAwareReplicaSelector`: from a replica in the consumer's rack (KIP-392).
    RackAware,
}

/// Consumer settings after validation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerConfig {
    /// `enable.auto.commit`.
    pub enable_auto_commit: bool,
    /// `auto.commit.interval.ms`.
    pub auto_commit_interval: Duration,
    /// `auto.offset.reset`.
    pub auto_offset_reset: OffsetReset,
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`.
    pub max_poll_interval: Duration,
    /// `max.poll.records`.
    pub max_poll_records: u32,
    /// `fetch.min.bytes`.
    pub fetch_min_bytes: u32,
    /// `fetch.max.wait.ms`.
    pub fetch_max_wait: Duration,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: u32,
    /// `max.partition.fetch.bytes`.
    pub max_partition_fetch_bytes: u32,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `default.api.timeout.ms`.
    pub default_api_timeout: Duration,
    /// `retry.backoff.ms`.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`.
    pub retry_backoff_max: Duration,
    /// `reconnect.backoff.ms`.
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`.
    pub reconnect_backoff_max: Duration,
    /// `metadata.max.age.ms`.
    pub metadata_max_age: Duration,
    /// `metadata.recovery.strategy`: true for `rebootstrap`.
    pub rebootstrap: bool,
    /// `metadata.recovery.rebootstrap.trigger.ms`.
    pub rebootstrap_trigger: Duration,
    /// `partition.assignment.strategy`, in order of preference.
    pub assignors: Assignors,
    /// `client.rack`; empty when it says none.
    pub client_rack: String,
    /// `group.protocol`.
    pub group_protocol: GroupProtocol,
    /// `group.remote.assignor`; `None`: the coordinator chooses.
    pub remote_assignor: Option<RemoteAssignor>,
    /// `group.instance.id`; empty for a dynamic member.
    pub group_instance_id: String,
    /// `isolation.level`.
    pub isolation: IsolationLevel,
    /// Whose code it runs.
    pub family: ClientFamily,
    /// `enable.auto.offset.store` of librdkafka.
    pub auto_offset_store: bool,
    /// The client is a `KafkaShareConsumer`.
    pub share: bool,
    /// `share.acknowledgement.mode=explicit`: of a share consumer, whose application acknowledges each record.
    pub explicit_acknowledgement: bool,
    /// `share.acquire.mode=record_limit`: of a share consumer, which gets no more than `max.poll.records` at a time.
    pub record_limit: bool,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            enable_auto_commit: true,
            auto_commit_interval: Duration::from_millis(5_000),
            auto_offset_reset: OffsetReset::Latest,
            session_timeout: Duration::from_millis(45_000),
            heartbeat_interval: Duration::from_millis(3_000),
            max_poll_interval: Duration::from_millis(300_000),
            max_poll_records: 500,
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 52_428_800,
            max_partition_fetch_bytes: 1_048_576,
            request_timeout: Duration::from_millis(30_000),
            default_api_timeout: Duration::from_millis(60_000),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_millis(1_000),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_millis(1_000),
            metadata_max_age: Duration::from_millis(300_000),
            rebootstrap: true,
            rebootstrap_trigger: Duration::from_millis(300_000),
            assignors: Assignors([
                Some(AssignorName::Range),
                Some(AssignorName::CooperativeSticky),
                None,
                None,
            ]),
            client_rack: String::new(),
            group_protocol: GroupProtocol::Classic,
            remote_assignor: None,
            group_instance_id: String::new(),
            isolation: IsolationLevel::ReadUncommitted,
            family: ClientFamily::Java,
            auto_offset_store: true,
            share: false,
            explicit_acknowledgement: false,
            record_limit: false,
        }
    }
}

/// Settings of brokers and controllers, the same for the whole cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerConfig {
    /// `broker.session.timeout.ms`.
    pub broker_session_timeout: Duration,
    /// `broker.heartbeat.interval.ms`.
    pub broker_heartbeat_interval: Duration,
    /// `replica.lag.time.max.ms`.
    pub replica_lag_time_max: Duration,
    /// `replica.fetch.wait.max.ms`.
    pub replica_fetch_wait_max: Duration,
    /// `replica.fetch.backoff.ms`.
    pub replica_fetch_backoff: Duration,
    /// `replica.socket.timeout.ms`.
    pub replica_socket_timeout: Duration,
    /// `replica.selector.class`.
    pub replica_selector: ReplicaSelector,
    /// `controlled.shutdown.enable`.
    pub controlled_shutdown: bool,
    /// `auto.leader.rebalance.enable`.
    pub auto_leader_rebalance: bool,
    /// `leader.imbalance.check.interval.seconds`.
    pub leader_imbalance_check_interval: Duration,
    /// `unclean.leader.election.interval.ms`.
    pub unclean_leader_election_interval: Duration,
    /// `group.initial.rebalance.delay.ms`.
    pub group_initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`.
    pub group_min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`.
    pub group_max_session_timeout: Duration,
    /// `group.consumer.…`.
    pub consumer_group: ConsumerGroupConfig,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_partitions: u32,
    /// `offsets.topic.replication.factor`.
    pub offsets_topic_replication: u32,
    /// `offsets.commit.timeout.ms`.
    pub offsets_commit_timeout: Duration,
    /// `transaction.state.log.num.partitions`.
    pub transaction_topic_partitions: u32,
    /// `transaction.state.log.replication.factor`.
    pub transaction_topic_replication: u32,
    /// `transaction.state.log.min.isr`.
    pub transaction_topic_min_isr: u32,
    /// `transaction.max.timeout.ms`.
    pub transaction_max_timeout: Duration,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub transaction_abort_interval: Duration,
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration: Duration,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration: Duration,
    /// `transaction.partition.verification.enable`.
    pub transaction_partition_verification: bool,
    /// About share groups.
    pub share: ShareBrokerConfig,
    /// `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval: Duration,
    /// `log.flush.scheduler.interval.ms`: how often logs are looked at for `flush.ms`; by default never.
    pub log_flush_scheduler_interval: Duration,
    /// `log.retention.check.interval.ms`.
    pub log_retention_check_interval: Duration,
    /// `log.initial.task.delay.ms`: how long after its start a broker looks at its logs for the first time.
    pub log_initial_task_delay: Duration,
    /// `log.cleaner.backoff.ms`.
    pub log_cleaner_backoff: Duration,
    /// `num.partitions`.
    pub num_partitions: u32,
    /// `default.replication.factor`.
    pub default_replication_factor: u32,
    /// `controller.quorum.election.timeout.ms`.
    pub quorum_election_timeout: Duration,
    /// `controller.quorum.fetch.timeout.ms`.
    pub quorum_fetch_timeout: Duration,
    /// `controller.quorum.election.backoff.max.ms`.
    pub quorum_election_backoff_max: Duration,
    /// `controller.quorum.request.timeout.ms`.
    pub quorum_request_timeout: Duration,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            broker_session_timeout: Duration::from_millis(9_000),
            broker_heartbeat_interval: Duration::from_millis(2_000),
            replica_lag_time_max: Duration::from_millis(30_000),
            replica_fetch_wait_max: Duration::from_millis(500),
            replica_fetch_backoff: Duration::from_millis(1_000),
            replica_socket_timeout: Duration::from_millis(30_000),
            replica_selector: ReplicaSelector::Leader,
            controlled_shutdown: true,
            auto_leader_rebalance: true,
            leader_imbalance_check_interval: Duration::from_secs(300),
            unclean_leader_election_interval: Duration::from_millis(300_000),
            group_initial_rebalance_delay: Duration::from_millis(3_000),
            group_min_session_timeout: Duration::from_millis(6_000),
            group_max_session_timeout: Duration::from_millis(1_800_000),
            consumer_group: ConsumerGroupConfig::default(),
            offsets_topic_partitions: 50,
            offsets_topic_replication: 3,
            offsets_commit_timeout: Duration::from_millis(5_000),
            transaction_topic_partitions: 50,
            transaction_topic_replication: 3,
            transaction_topic_min_isr: 2,
            transaction_max_timeout: Duration::from_millis(900_000),
            transaction_abort_interval: Duration::from_millis(10_000),
            transactional_id_expiration: Duration::from_millis(604_800_000),
            producer_id_expiration: Duration::from_millis(86_400_000),
            transaction_partition_verification: true,
            share: ShareBrokerConfig::default(),
            offsets_retention: Duration::from_secs(10_080 * 60),
            offsets_retention_check_interval: Duration::from_millis(600_000),
            log_flush_scheduler_interval: Duration(u64::MAX),
            log_retention_check_interval: Duration::from_millis(300_000),
            log_initial_task_delay: Duration::from_millis(30_000),
            log_cleaner_backoff: Duration::from_millis(15_000),
            num_partitions: 1,
            default_replication_factor: 1,
            quorum_election_timeout: Duration::from_millis(1_000),
            quorum_fetch_timeout: Duration::from_millis(2_000),
            quorum_election_backoff_max: Duration::from_millis(1_000),
            quorum_request_timeout: Duration::from_millis(2_000),
        }
    }
}

/// All settings of brokers, controllers and topics.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClusterConfig {
    /// Of brokers and controllers.
    pub brokers: BrokerConfig,
    /// Feature levels of the cluster.
    pub features: Features,
    /// The truncation rule of its brokers.
    pub era: Era,
    /// Of topics, by [`TopicId`](crate::base::ids::TopicId).
    pub topics: Vec<TopicConfig>,
    /// Of groups, by [`GroupId`](crate::base::ids::GroupId).
    pub groups: Vec<GroupConfig>,
}

impl ClusterConfig {
    /// The delivery count limit of each share group, by group.
    pub fn delivery_limits(&self) -> Vec<u16> {
        let limit = |own: &GroupConfig| own.deliveries.unwrap_or(self.brokers.share.deliveries);
        self.groups.iter().map(limit).collect()
    }
}

/// A bug planted on purpose, to prove that the checkers see it. Tests set one; nothing else does.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Defect {
    /// None: the simulator as it is.
    #[default]
    None,
    /// The leader answers `acks=all` at once.
    AckBeforeReplication,
    /// The high watermark is the leader's own log end.
    HighWatermarkIsLeaderEnd,
    /// A dead replica stays electable: the controller elects the first replica whether in the ISR or not.
    ElectionIgnoresIsr,
    /// The controller makes another broker leader without a new leader epoch.
    LeaderEpochKept,
    /// A new follower keeps its divergent tail.
    NoTruncation,
    /// The leader forgets producer state: no deduplication.
    NoDeduplication,
    /// A request with an old leader epoch is served.
    NoEpochFencing,
    /// Auto-commit commits the batch that this very poll returns.
    AutoCommitTakesCurrentBatch,
    /// The assignor gives partition 0 to every member.
    AssignmentOverlaps,
    /// The coordinator answers a commit before it is replicated and forgets it at failover.
    CommitNotReplicated,
    /// A fetch returns records above the high watermark.
    ReadsAboveHighWatermark,
    /// An expired member stays the owner of its partitions.
    ExpiredMemberKept,
    /// A retry of a non-idempotent batch is acknowledged without an append.
    RetryAckedUnwritten,
    /// A controller votes for everyone who asks, in the same epoch too.
    VotesForEveryone,
    /// A controller votes for a candidate whose metadata log is shorter than its own.
    VotesForShorterLog,
    /// The active controller takes its own metadata records for committed without asking the others.
    CommitWithoutMajority,
    /// Brokers are sent metadata records that are not committed.
    UncommittedMetadataServed,
    /// The leader of a share partition forgets at once who has which records.
    ShareLockDropped,
    /// A new leader of a share partition takes what was accepted for available.
    AcceptedForgotten,
    /// An acceptance is answered before it is stored.
    AcceptedBeforeStored,
    /// A share partition delivers records without limit.
    DeliveryLimitIgnored,
    /// A `read_committed` reader is not told which transactions were aborted.
    AbortedNotListed,
    /// A `read_committed` reader is answered up to the high watermark.
    ReadsAboveLastStable,
    /// The first partition of a committed transaction is told that it was aborted.
    MarkersDiffer,
    /// The last partition of a transaction gets no marker.
    MarkerForgotten,
    /// A group's offsets count though their transaction was aborted.
    AbortedOffsetsCount,
}
