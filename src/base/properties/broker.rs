//! Settings of brokers and controllers (`AbstractKafkaConfig` and what it gathers), and of groups (`GroupConfig`).

use crate::base::config::{
    BrokerConfig, ConsumerGroupConfig, MigrationPolicy, RemoteAssignor, ReplicaSelector,
};
use crate::base::properties::topic::forever;
use crate::base::properties::value::{boolean, int, int_millis, long_millis, number, one_of};
use crate::base::properties::{
    Configurable, Findings, Given, Kind, NOT_MODELLED, Problem, PropertyError, Row, Set, Support,
    known, obeyed,
};
use crate::base::time::Duration;

const fn yes(words: [&'static str; 4], set: Set<BrokerConfig>) -> Row<BrokerConfig> {
    obeyed(Kind::Broker, words, set)
}

const fn no(words: [&'static str; 4], support: Support) -> Row<BrokerConfig> {
    known(Kind::Broker, words, support)
}

const THREADS: Support = Support::NoEffect("handling a request takes no time here");
const PER_TOPIC: Support = Support::NotModelled("set it in the topic's own config");

#[rustfmt::skip]
const ROWS: &[Row<BrokerConfig>] = &[
    yes(["broker.session.timeout.ms", "9000", "ms",
        "no heartbeat for so long: the broker is fenced and its leaders move"],
        |c, v| int_millis(v, 1).map(|d| c.broker_session_timeout = d)),
    yes(["broker.heartbeat.interval.ms", "2000", "ms", "how often a broker tells the controller that it lives"],
        |c, v| int_millis(v, 1).map(|d| c.broker_heartbeat_interval = d)),
    yes(["replica.lag.time.max.ms", "30000", "ms",
        "a follower behind for so long leaves the ISR; looked at every half of it"],
        |c, v| long_millis(v, 1).map(|d| c.replica_lag_time_max = d)),
    yes(["replica.fetch.wait.max.ms", "500", "ms", "long poll of a follower; at most replica.lag.time.max.ms"],
        |c, v| int_millis(v, 0).map(|d| c.replica_fetch_wait_max = d)),
    yes(["replica.fetch.backoff.ms", "1000", "ms", "pause of a follower after an error"],
        |c, v| int_millis(v, 0).map(|d| c.replica_fetch_backoff = d)),
    yes(["replica.socket.timeout.ms", "30000", "ms",
        "how long a follower waits for an answer; at least replica.fetch.wait.max.ms"],
        |c, v| int_millis(v, 1).map(|d| c.replica_socket_timeout = d)),
    yes(["controlled.shutdown.enable", "true", "", "a stopping broker hands its leaders over first"],
        |c, v| boolean(v).map(|on| c.controlled_shutdown = on)),
    yes(["group.initial.rebalance.delay.ms", "3000", "ms",
        "how long the first join of an empty group waits for others"],
        |c, v| int_millis(v, 0).map(|d| c.group_initial_rebalance_delay = d)),
    yes(["group.min.session.timeout.ms", "6000", "ms", "shortest session.timeout.ms a member may ask for"],
        |c, v| int_millis(v, 0).map(|d| c.group_min_session_timeout = d)),
    yes(["group.max.session.timeout.ms", "1800000", "ms", "longest session.timeout.ms a member may ask for"],
        |c, v| int_millis(v, 0).map(|d| c.group_max_session_timeout = d)),
    yes(["offsets.topic.num.partitions", "50", "partitions",
        "of __consumer_offsets: a group lives in hash(group) modulo this"],
        |c, v| int(v, 1).map(|n| c.offsets_topic_partitions = n)),
    yes(["offsets.topic.replication.factor", "3", "replicas", "of __consumer_offsets"],
        |c, v| int(v, 1).map(|n| c.offsets_topic_replication = n)),
    yes(["offsets.commit.timeout.ms", "5000", "ms", "how long the coordinator waits for its record to be replicated"],
        |c, v| int_millis(v, 1).map(|d| c.offsets_commit_timeout = d)),
    yes(["log.flush.scheduler.interval.ms", "9223372036854775807", "ms",
        "how often logs are looked at for flush.ms; by default never"],
        |c, v| forever(v).map(|d| c.log_flush_scheduler_interval = d)),
    yes(["num.partitions", "1", "partitions", "of a topic that does not say"],
        |c, v| int(v, 1).map(|n| c.num_partitions = n)),
    yes(["default.replication.factor", "1", "replicas", "of a topic that does not say"],
        |c, v| int(v, 1).map(|n| c.default_replication_factor = n)),
    no(["auto.create.topics.enable", "true", "", "asking about an unknown topic creates it"],
        Support::NoEffect("every topic is declared")),
    yes(["auto.leader.rebalance.enable", "true", "", "leaders move back to the preferred replica"],
        |c, v| boolean(v).map(|on| c.auto_leader_rebalance = on)),
    yes(["leader.imbalance.check.interval.seconds", "300", "s", "how often preferred leaders are looked for"],
        |c, v| int(v, 1).map(|n| c.leader_imbalance_check_interval = Duration::from_secs(n.into()))),
    yes(["unclean.leader.election.interval.ms", "300000", "ms",
        "how often the controller tries unclean elections again"],
        |c, v| long_millis(v, 1).map(|d| c.unclean_leader_election_interval = d)),
    no(["min.insync.replicas", "1", "replicas", "default of topics"], PER_TOPIC),
    no(["unclean.leader.election.enable", "false", "", "default of topics"], PER_TOPIC),
    no(["log.segment.bytes", "1073741824", "bytes", "default of topics' segment.bytes"], PER_TOPIC),
    no(["message.max.bytes", "1048588", "bytes", "default of topics' max.message.bytes"], PER_TOPIC),
    no(["log.flush.interval.messages", "9223372036854775807", "records", "default of topics' flush.messages"],
        PER_TOPIC),
    no(["log.retention.hours", "168", "h", "default of topics' retention.ms"], PER_TOPIC),
    yes(["log.retention.check.interval.ms", "300000", "ms", "how often a broker looks for segments to delete"],
        |c, v| long_millis(v, 1).map(|d| c.log_retention_check_interval = d)),
    yes(["log.initial.task.delay.ms", "30000", "ms", "how long after its start a broker looks for the first time"],
        |c, v| long_millis(v, 0).map(|d| c.log_initial_task_delay = d)),
    yes(["log.cleaner.backoff.ms", "15000", "ms", "how long the log cleaner sleeps when there is nothing to compact"],
        |c, v| long_millis(v, 0).map(|d| c.log_cleaner_backoff = d)),
    no(["num.replica.fetchers", "1", "threads", "fetchers to one leader's broker"],
        Support::Only(&["1"], "a follower has one fetcher a broker")),
    no(["replica.high.watermark.checkpoint.interval.ms", "5000", "ms",
        "how often high watermarks are written to disk"],
        Support::NoEffect("truncation goes by leader epochs")),
    yes(["replica.selector.class", "null", "", "which replica a consumer reads from; null: the leader"],
        set_replica_selector),
    no(["broker.rack", "null", "", "the broker's rack"],
        Support::NotModelled("say which brokers a rack has in cluster.racks")),
    no(["num.network.threads", "3", "threads", "threads that read and write sockets"], THREADS),
    no(["num.io.threads", "8", "threads", "threads that handle requests"], THREADS),
    no(["background.threads", "10", "threads", "threads for everything else"], THREADS),
    no(["log.cleaner.dedupe.buffer.size", "134217728", "bytes", "memory of the log cleaner"],
        Support::NoEffect("the cleaner always has room for every key")),
    yes(["controller.quorum.fetch.timeout.ms", "2000", "ms",
        "a voter without word from the leader for so long starts an election; a leader resigns after 1.5 of it"],
        |c, v| int_millis(v, 1).map(|d| c.quorum_fetch_timeout = d)),
    yes(["controller.quorum.election.timeout.ms", "1000", "ms",
        "how long one round of an election takes; up to as much again by chance"],
        |c, v| int_millis(v, 1).map(|d| c.quorum_election_timeout = d)),
    yes(["controller.quorum.election.backoff.max.ms", "1000", "ms",
        "how long the least preferred successor waits after a leader resigned"],
        |c, v| int_millis(v, 0).map(|d| c.quorum_election_backoff_max = d)),
    yes(["controller.quorum.request.timeout.ms", "2000", "ms",
        "without an answer for so long another controller is asked"],
        |c, v| int_millis(v, 1).map(|d| c.quorum_request_timeout = d)),
    yes(["offsets.retention.minutes", "10080", "min",
        "how long committed offsets are kept once their group has no members"],
        |c, v| int(v, 1).map(|n| c.offsets_retention = Duration::from_secs(60 * u64::from(n)))),
    yes(["offsets.retention.check.interval.ms", "600000", "ms", "how often expired offsets are looked for"],
        |c, v| long_millis(v, 1).map(|d| c.offsets_retention_check_interval = d)),
    yes(["group.consumer.session.timeout.ms", "45000", "ms",
        "no heartbeat of a member of the consumer protocol for so long: it is fenced"],
        |c, v| int_millis(v, 1).map(|d| c.consumer_group.session_timeout = d)),
    yes(["group.consumer.min.session.timeout.ms", "45000", "ms", "shortest of them"],
        |c, v| int_millis(v, 1).map(|d| c.consumer_group.session_timeout_bounds.0 = d)),
    yes(["group.consumer.max.session.timeout.ms", "60000", "ms", "longest of them"],
        |c, v| int_millis(v, 1).map(|d| c.consumer_group.session_timeout_bounds.1 = d)),
    yes(["group.consumer.heartbeat.interval.ms", "5000", "ms",
        "how often members of the consumer protocol send heartbeats; also how soon they hear of a new assignment"],
        |c, v| int_millis(v, 1).map(|d| c.consumer_group.heartbeat_interval = d)),
    yes(["group.consumer.min.heartbeat.interval.ms", "5000", "ms", "shortest of them"],
        |c, v| int_millis(v, 1).map(|d| c.consumer_group.heartbeat_interval_bounds.0 = d)),
    yes(["group.consumer.max.heartbeat.interval.ms", "15000", "ms", "longest of them"],
        |c, v| int_millis(v, 1).map(|d| c.consumer_group.heartbeat_interval_bounds.1 = d)),
    yes(["group.consumer.assignment.interval.ms", "1000", "ms",
        "least time between two target assignments of a group of the consumer protocol"],
        |c, v| int_millis(v, 0).map(|d| c.consumer_group.assignment_interval = d)),
    yes(["group.consumer.min.assignment.interval.ms", "0", "ms", "shortest of them"],
        |c, v| int_millis(v, 0).map(|d| c.consumer_group.assignment_interval_bounds.0 = d)),
    yes(["group.consumer.max.assignment.interval.ms", "15000", "ms", "longest of them"],
        |c, v| int_millis(v, 0).map(|d| c.consumer_group.assignment_interval_bounds.1 = d)),
    yes(["group.consumer.regex.refresh.interval.ms", "600000", "ms",
        "how often topics are looked for that fit the regular expressions of a group, besides when topics are created"],
        |c, v| int_millis(v, 10_000).map(|d| c.consumer_group.regex_refresh_interval = d)),
    yes(["group.consumer.max.size", "2147483647", "members", "most members of a group of the consumer protocol"],
        |c, v| int(v, 1).map(|n| c.consumer_group.max_size = n)),
    yes(["group.consumer.assignors", "uniform,range", "",
        "assignors of the coordinator; the first is used where members name none"],
        set_remote_assignors),
    yes(["group.consumer.migration.policy", "bidirectional", "",
        "which groups may change the protocol while they have members: bidirectional, upgrade, downgrade, disabled"],
        set_migration_policy),
    yes(["transaction.state.log.num.partitions", "50", "partitions",
        "of __transaction_state: a transactional id lives in hash(id) modulo this"],
        |c, v| int(v, 1).map(|n| c.transaction_topic_partitions = n)),
    yes(["transaction.state.log.replication.factor", "3", "replicas", "of __transaction_state"],
        |c, v| int(v, 1).map(|n| c.transaction_topic_replication = n)),
    yes(["transaction.state.log.min.isr", "2", "replicas", "its min.insync.replicas"],
        |c, v| int(v, 1).map(|n| c.transaction_topic_min_isr = n)),
    yes(["transaction.max.timeout.ms", "900000", "ms", "longest transaction.timeout.ms"],
        |c, v| int_millis(v, 1).map(|d| c.transaction_max_timeout = d)),
    yes(["transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000", "ms",
        "how often timed-out transactions are looked for"],
        |c, v| int_millis(v, 1).map(|d| c.transaction_abort_interval = d)),
    yes(["transactional.id.expiration.ms", "604800000", "ms",
        "an unused transactional.id is forgotten after; looked at every hour"],
        |c, v| int_millis(v, 1).map(|d| c.transactional_id_expiration = d)),
    yes(["producer.id.expiration.ms", "86400000", "ms",
        "sequence numbers of a silent producer are forgotten after; looked at every 10 minutes"],
        |c, v| int_millis(v, 1).map(|d| c.producer_id_expiration = d)),
    yes(["transaction.partition.verification.enable", "true", "",
        "leaders ask the transaction coordinator before a transaction writes to a partition (KIP-890)"],
        |c, v| boolean(v).map(|on| c.transaction_partition_verification = on)),
    yes(["group.share.record.lock.duration.ms", "30000", "ms", "how long a share consumer may hold a record"],
        |c, v| int_millis(v, 1).map(|d| c.share.lock = d)),
    yes(["group.share.min.record.lock.duration.ms", "15000", "ms", "least share.record.lock.duration.ms of a group"],
        |c, v| int_millis(v, 1).map(|d| c.share.min_lock = d)),
    yes(["group.share.max.record.lock.duration.ms", "60000", "ms", "largest share.record.lock.duration.ms of a group"],
        |c, v| int_millis(v, 1).map(|d| c.share.max_lock = d)),
    yes(["group.share.delivery.count.limit", "5", "deliveries", "after so many a record is archived"],
        |c, v| number(v, 2, 10).map(|n| c.share.deliveries = n as u16)),
    yes(["group.share.partition.max.record.locks", "2000", "records", "records of a partition under way at once"],
        |c, v| number(v, 100, 4_000).map(|n| c.share.max_locks = n as u32)),
    yes(["group.share.session.timeout.ms", "45000", "ms", "session of share consumers"],
        |c, v| int_millis(v, 1).map(|d| c.share.session_timeout = d)),
    yes(["group.share.min.session.timeout.ms", "45000", "ms", "least share.session.timeout.ms of a group"],
        |c, v| int_millis(v, 1).map(|d| c.share.min_session_timeout = d)),
    yes(["group.share.max.session.timeout.ms", "60000", "ms", "largest share.session.timeout.ms of a group"],
        |c, v| int_millis(v, 1).map(|d| c.share.max_session_timeout = d)),
    yes(["group.share.heartbeat.interval.ms", "5000", "ms", "heartbeats of share consumers"],
        |c, v| int_millis(v, 1).map(|d| c.share.heartbeat_interval = d)),
    yes(["group.share.min.heartbeat.interval.ms", "5000", "ms", "least share.heartbeat.interval.ms of a group"],
        |c, v| int_millis(v, 1).map(|d| c.share.min_heartbeat_interval = d)),
    yes(["group.share.max.heartbeat.interval.ms", "15000", "ms", "largest share.heartbeat.interval.ms of a group"],
        |c, v| int_millis(v, 1).map(|d| c.share.max_heartbeat_interval = d)),
    yes(["group.share.assignment.interval.ms", "1000", "ms", "least time between two assignments of a share group"],
        |c, v| int_millis(v, 0).map(|d| c.share.assignment_interval = d)),
    yes(["errors.deadletterqueue.topic.name.prefix", "dlq.", "", "how the names of dead letter topics begin"],
        |c, v| { v.trim_matches('"').clone_into(&mut c.share.dead_letter_prefix); Ok(()) }),
    yes(["share.coordinator.state.topic.num.partitions", "50", "partitions", "of __share_group_state"],
        |c, v| int(v, 1).map(|n| c.share.topic_partitions = n)),
    yes(["share.coordinator.state.topic.replication.factor", "3", "replicas", "of __share_group_state"],
        |c, v| int(v, 1).map(|n| c.share.topic_replication = n)),
    yes(["share.coordinator.state.topic.min.isr", "2", "replicas", "min.insync.replicas of __share_group_state"],
        |c, v| int(v, 1).map(|n| c.share.topic_min_isr = n)),
];

fn set_remote_assignors(config: &mut BrokerConfig, value: &str) -> Result<(), String> {
    let mut assignors = Vec::new();
    for name in value.split(',').map(str::trim) {
        let known = RemoteAssignor::ALL.map(|known| (known.name(), known));
        let assignor = one_of(name, &known)?;
        if assignors.contains(&assignor) {
            return Err(format!("names {name} more than once"));
        }
        assignors.push(assignor);
    }
    config.consumer_group.assignors = assignors;
    Ok(())
}

fn set_migration_policy(config: &mut BrokerConfig, value: &str) -> Result<(), String> {
    let words = [
        ("bidirectional", MigrationPolicy::Bidirectional),
        ("upgrade", MigrationPolicy::Upgrade),
        ("downgrade", MigrationPolicy::Downgrade),
        ("disabled", MigrationPolicy::Disabled),
    ];
    let policy = one_of(&value.to_ascii_lowercase(), &words)?;
    config.consumer_group.migration_policy = policy;
    Ok(())
}

/// The checks of `GroupCoordinatorConfig` on `group.consumer.…`: what is refused, its value, and why.
fn refused_of_groups(groups: &ConsumerGroupConfig) -> Vec<(String, u64, String)> {
    let bounded = [
        ("session.timeout.ms", groups.session_timeout, groups.session_timeout_bounds),
        ("heartbeat.interval.ms", groups.heartbeat_interval, groups.heartbeat_interval_bounds),
        ("assignment.interval.ms", groups.assignment_interval, groups.assignment_interval_bounds),
    ];
    let mut refused = Vec::new();
    for (name, value, (low, high)) in bounded {
        let mut refuse = |of: &str, value: Duration, message: String| {
            refused.push((format!("group.consumer.{of}"), value.as_millis(), message));
        };
        let (min, max) = (low.as_millis(), high.as_millis());
        if high < low {
            let message = format!("must be at least group.consumer.min.{name}, which is {min}");
            refuse(&format!("max.{name}"), high, message);
        } else if value < low {
            let message = format!("must be at least group.consumer.min.{name}, which is {min}");
            refuse(name, value, message);
        } else if value > high {
            let message = format!("must be at most group.consumer.max.{name}, which is {max}");
            refuse(name, value, message);
        }
    }
    if groups.heartbeat_interval >= groups.session_timeout {
        let message = "must be less than group.consumer.session.timeout.ms".to_owned();
        let name = "group.consumer.heartbeat.interval.ms".to_owned();
        refused.push((name, groups.heartbeat_interval.as_millis(), message));
    }
    refused
}

/// A selector of one's own is code, which a scenario does not have.
fn set_replica_selector(config: &mut BrokerConfig, value: &str) -> Result<(), String> {
    const RACK_AWARE: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
    if value != RACK_AWARE {
        return Err(format!("{NOT_MODELLED}the one selector Kafka brings is {RACK_AWARE}"));
    }
    config.replica_selector = ReplicaSelector::RackAware;
    Ok(())
}

/// `KafkaConfig.validateValues`.
impl Configurable for BrokerConfig {
    const KIND: Kind = Kind::Broker;
    const ROWS: &'static [Row<Self>] = ROWS;

    fn check(&mut self, _given: &Given, findings: &mut Findings) {
        let wait = self.replica_fetch_wait_max;
        let mut refuse = |name: &str, value: u64, message: &str| {
            let problem = Problem::Refused("IllegalArgumentException");
            findings.errors.push(PropertyError::new(name, &value.to_string(), problem, message));
        };
        if wait > self.replica_socket_timeout {
            let message =
                "must be at least replica.fetch.wait.max.ms, or followers give up too soon";
            refuse("replica.socket.timeout.ms", self.replica_socket_timeout.as_millis(), message);
        }
        if wait > self.replica_lag_time_max {
            let message = "must be at most replica.lag.time.max.ms, or the ISR shrinks while idle";
            refuse("replica.fetch.wait.max.ms", wait.as_millis(), message);
        }
        for (name, value, message) in refused_of_groups(&self.consumer_group) {
            refuse(&name, value, &message);
        }
    }
}
