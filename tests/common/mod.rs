//! What whole-run tests share: a small cluster built by hand, and a workload for it.

use std::sync::Arc;

use highwater::app::{CommitMode, LoopStep, Subscription};
use highwater::base::broker_set::ReplicaList;
use highwater::base::config::{
    BrokerConfig, ClusterConfig, ConsumerConfig, Defect, OffsetReset, ProducerConfig, TopicConfig,
};
use highwater::base::ids::{BrokerId, GroupId, KeyId, MessageId, PartitionId, TopicId};
use highwater::base::names::{Client, Names, Partition, Topic};
use highwater::base::time::Duration;
use highwater::kafka::producer::SendRequest;
use highwater::sim::{Command, ConsumerSpec, NetworkConfig, Simulation, Sink, WorldSpec};

/// A cluster of three brokers with a topic of two partitions, one producer, and a group of two members that commits
/// after its work. Everything a test wants otherwise it changes in the result.
pub(crate) fn safe_spec(seed: u64) -> WorldSpec {
    let partitions = 2;
    let client = |name: &str, group, rank| Client { name: name.to_owned(), group, rank };
    let all = |first: u8| {
        let order = [first, first % 3 + 1, (first + 1) % 3 + 1];
        ReplicaList::new(&order.map(BrokerId))
    };
    let offsets = PartitionId(partitions);
    let names = Names {
        controllers: 1,
        brokers: 3,
        topics: vec![
            Topic {
                name: "orders".to_owned(),
                partitions: (0..partitions).map(PartitionId).collect(),
                internal: false,
                partition_count: u32::from(partitions),
            },
            Topic {
                name: "__consumer_offsets".to_owned(),
                partitions: vec![offsets],
                internal: true,
                partition_count: 1,
            },
        ],
        partitions: (0..partitions)
            .map(|n| Partition { topic: TopicId(0), index: n.into(), replicas: all(n as u8 + 1) })
            .chain([Partition { topic: TopicId(1), index: 0, replicas: all(3) }])
            .collect(),
        producers: vec![client("checkout", None, 0)],
        consumers: vec![client("c1", Some(GroupId(0)), 1), client("c2", Some(GroupId(0)), 2)],
        groups: vec!["billing".to_owned()],
        group_partitions: vec![offsets],
        ..Names::default()
    };
    let topic = TopicConfig { min_insync_replicas: 2, ..TopicConfig::default() };
    let brokers = BrokerConfig {
        offsets_topic_partitions: 1,
        group_initial_rebalance_delay: Duration::ZERO,
        ..BrokerConfig::default()
    };
    let config = ClusterConfig { brokers, topics: vec![topic, topic], ..ClusterConfig::default() };
    let consumer = ConsumerSpec {
        config: ConsumerConfig {
            enable_auto_commit: false,
            auto_offset_reset: OffsetReset::Earliest,
            ..ConsumerConfig::default()
        },
        group: Some(GroupId(0)),
        subscription: Subscription::Topics(vec![TopicId(0)]),
        on_revoked: None,
        refused: None,
        producer: None,
        steps: vec![
            LoopStep::POLL,
            LoopStep::Work(Duration::from_millis(1)),
            LoopStep::Commit(CommitMode::Sync),
        ],
        starts: true,
    };
    WorldSpec {
        names: Arc::new(names),
        config: Arc::new(config),
        producers: vec![ProducerConfig::default()],
        by_script: Vec::new(),
        consumers: vec![consumer.clone(), consumer],
        network: NetworkConfig::default(),
        seed,
        sink: Sink::Recording,
        defect: Defect::None,
    }
}

/// Message number `n`: to the partitions in turn, 100 bytes, no key.
pub(crate) fn send(simulation: &mut Simulation, n: u32) {
    let request = SendRequest {
        message: MessageId(n),
        topic: TopicId(0),
        partition: Some(PartitionId((n % 2) as u16)),
        key: KeyId::NONE,
        bytes: 100,
        shift: 0,
        is_tombstone: false,
    };
    simulation.apply(&Command::Send { producer: 0, request });
}
