//! A scenario under one variant, as what a simulation is made from: ids for names, partitions with replicas, configs.
//!
//! Replicas of a topic that does not list them are placed by [`place`], and so are those of `__consumer_offsets` and
//! `__transaction_state`, of which only the partitions that groups and transactional ids hash to exist.

use std::sync::Arc;

use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::config::{BrokerConfig, ClusterConfig, ConsumerConfig, Defect, TopicConfig};
use crate::base::ids::{BrokerId, GroupId, MessageId, PartitionId, TopicId};
use crate::base::names::{Client, Names, Partition, Topic};
use crate::base::share::GroupConfig;
use crate::kafka::group::hash::partition_for;
use crate::kafka::placement::place;
use crate::scenario::apps;
use crate::scenario::pattern::regexes;
use crate::scenario::resolve::Resolved;
use crate::scenario::schema::{
    Cluster, Created, LoopStep, Producer, Scenario, Settings, StartAt, Topic as TopicSchema,
};
use crate::scenario::settings::{
    SettingFault, config_of, config_over, consumer_config, era_of, features_of, producer_config,
};
use crate::scenario::step::Step;
use crate::scenario::workload::{Workload, replacements};
use crate::sim::network::NetworkConfig;
use crate::sim::trace::Sink;
use crate::sim::world::{ConsumerSpec, RANDOM_IDS, WorldSpec, random_id};

/// The internal topic that keeps committed offsets.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// The internal topic that keeps the state of transactional ids.
pub const TRANSACTION_STATE: &str = "__transaction_state";

/// The internal topic that keeps the state of share partitions.
pub const SHARE_GROUP_STATE: &str = "__share_group_state";

/// Kafka refuses the settings of a client: its constructor throws and nothing runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Whose.
    pub client: String,
    /// What Kafka says.
    pub message: String,
}

/// What a simulation of `scenario` under `variant` is made from, and who was refused, if anybody.
///
/// # Panics
/// When there is no such variant, or the scenario did not come from the loader.
pub fn build(
    scenario: &Scenario,
    resolved: &Resolved,
    workload: &Workload,
    seed: u64,
) -> (WorldSpec, Option<Refusal>) {
    let brokers: BrokerConfig = config_of(&resolved.cluster.config).unwrap_or_default();
    let features = features_of(&resolved.cluster.features).unwrap_or_default();
    let era = era_of(&resolved.cluster.era).unwrap_or_default();
    let names = names(scenario, resolved, workload, &brokers);
    let topics = names.topics.iter().map(|t| topic_config(&t.name, resolved, &brokers)).collect();
    let groups = group_configs(&names, resolved);
    let mut refusal = None;
    let mut refused = |client: &str, faults: Vec<SettingFault>| {
        let message = faults.into_iter().map(|fault| fault.message).next().unwrap_or_default();
        refusal.get_or_insert(Refusal { client: client.to_owned(), message });
    };
    let mut producers = Vec::new();
    let mut by_script = Vec::new();
    for (n, (name, producer)) in resolved.producers.iter().enumerate() {
        let config = producer_config(producer);
        if producer.start == StartAt::ByScript {
            let mut faults = config.as_ref().err().into_iter().flatten();
            by_script.push((n as u16, faults.find_map(SettingFault::exception)));
        } else if let Err(faults) = &config {
            refused(name, faults.clone());
        }
        producers.push(config.unwrap_or_default());
    }
    let mut consumers = Vec::new();
    for (name, consumer) in resolved.consumers.iter() {
        let config = consumer_config(consumer);
        let mut throws = None;
        match &config {
            Err(faults) if consumer.start == StartAt::ByScript => {
                throws = faults.iter().find_map(SettingFault::exception);
            }
            Err(faults) => refused(name, faults.clone()),
            Ok(_) => {}
        }
        consumers.push(ConsumerSpec {
            config: config.unwrap_or_default(),
            group: consumer.group.as_ref().and_then(|group| find_group(&names, group.as_str())),
            subscription: apps::subscription(&names, consumer),
            steps: apps::loop_steps(&names, &consumer.steps),
            on_revoked: consumer.on_revoked.map(apps::on_revoked),
            refused: throws,
            starts: consumer.start == StartAt::AtOnce,
            producer: consumer.producer.as_ref().and_then(|own| {
                let at = resolved.producers.keys().position(|name| name == own.as_str());
                at.map(|at| at as u16)
            }),
        });
    }
    let network = NetworkConfig {
        latency: scenario.network.latency.0,
        jitter: scenario.network.jitter.0,
        loss_ppm: scenario.network.loss.0,
    };
    let spec = WorldSpec {
        names: Arc::new(names),
        config: Arc::new(ClusterConfig { brokers, features, era, topics, groups }),
        producers,
        by_script,
        consumers,
        network,
        seed,
        sink: Sink::Recording,
        defect: Defect::None,
    };
    (spec, refusal)
}

/// Settings of all groups, by id.
fn group_configs(names: &Names, resolved: &Resolved) -> Vec<GroupConfig> {
    let settings = |group: &String| resolved.group_configs.get(group).cloned().unwrap_or_default();
    names.groups.iter().map(|group| config_of(&settings(group)).unwrap_or_default()).collect()
}

/// The group called `name`.
pub fn find_group(names: &Names, name: &str) -> Option<GroupId> {
    names.groups.iter().position(|group| group == name).map(|i| GroupId(i as u16))
}

fn names(
    scenario: &Scenario,
    resolved: &Resolved,
    workload: &Workload,
    config: &BrokerConfig,
) -> Names {
    let mut names = Names {
        controllers: resolved.cluster.controllers,
        brokers: resolved.cluster.brokers,
        racks: named_racks(resolved),
        groups: resolved.groups.clone(),
        keys: keys(scenario),
        messages: workload.named.iter().map(|(name, id)| (MessageId(*id), name.clone())).collect(),
        outputs_from: outputs_from(resolved, workload),
        tables: scenario.tables().into_iter().map(str::to_owned).collect(),
        ..Names::default()
    };
    names.messages.sort_unstable();
    names.instances = of_consumers(resolved, |config| config.group_instance_id);
    let internal =
        |name: &str| matches!(name, CONSUMER_OFFSETS | TRANSACTION_STATE | SHARE_GROUP_STATE);
    for (name, topic) in resolved.topics.iter().filter(|(name, _)| !internal(name)) {
        let id = TopicId(names.topics.len() as u16);
        let placement = placement(topic, config, &resolved.cluster);
        let partition_count = placement.len() as u32;
        let at_once = if topic.created == Created::AtOnce { placement.len() } else { 0 };
        let partitions: Vec<PartitionId> = placement
            .into_iter()
            .take(at_once)
            .enumerate()
            .map(|(index, replicas)| add_partition(&mut names, id, index as u32, replicas))
            .collect();
        names.topics.push(Topic {
            name: name.to_owned(),
            partitions,
            internal: false,
            partition_count,
        });
    }
    add_offsets_topic(&mut names, resolved, config);
    add_transaction_topic(&mut names, resolved, config);
    add_share_topic(&mut names, resolved, config);
    add_later_partitions(&mut names, scenario, resolved, config);
    names.regexes = regexes(scenario, &names);
    names.producers = resolved
        .producers
        .keys()
        .map(|name| Client { name: name.to_owned(), group: None, rank: 0 })
        .collect();
    let ranked = ranked(resolved);
    for (name, consumer) in resolved.consumers.iter() {
        let rank = ranked.iter().position(|(_, other)| *other == name);
        let group = consumer.group.as_ref().and_then(|group| find_group(&names, group.as_str()));
        let rank = rank.map_or(0, |i| i as u16 + 1);
        names.consumers.push(Client { name: name.to_owned(), group, rank });
    }
    names
}

/// Partitions that the script may create come after all others. They are placed as if they had been there from the
/// beginning.
fn add_later_partitions(
    names: &mut Names,
    scenario: &Scenario,
    resolved: &Resolved,
    config: &BrokerConfig,
) {
    for n in 0..names.topics.len() {
        let (name, now) = (names.topics[n].name.clone(), names.topics[n].partitions.len());
        let Some(topic) = resolved.topics.get(&name) else { continue };
        let declared = placement(topic, config, &resolved.cluster);
        let most = created(scenario, &name).max(declared.len() as u32);
        let factor = match topic.replicas.first() {
            Some(replicas) => replicas.len(),
            None => {
                topic.replication.map_or(config.default_replication_factor as usize, usize::from)
            }
        };
        let factor = factor.min(usize::from(names.brokers));
        let placed = place(&racks(&resolved.cluster), most, factor);
        let beyond = placed.into_iter().skip(declared.len());
        for (index, replicas) in declared.into_iter().chain(beyond).enumerate().skip(now) {
            let id = add_partition(names, TopicId(n as u16), index as u32, replicas);
            names.topics[n].partitions.push(id);
            names.later += 1;
        }
    }
}

/// The highest number of partitions that a script of any variant gives `topic`; 0 without `CreatePartitions`.
pub(super) fn created(scenario: &Scenario, topic: &str) -> u32 {
    fn most(scenario: &Scenario, steps: &[Step], topic: &str) -> u32 {
        let of = |step: &Step| match step {
            Step::CreatePartitions(name, count) if name == topic => *count,
            Step::At(_, steps) => most(scenario, steps, topic),
            Step::Every(every) => most(scenario, &every.steps, topic),
            Step::Named(name, steps) => {
                let others = replacements(scenario, name).into_iter();
                let others = others.map(|steps| most(scenario, steps, topic)).max();
                most(scenario, steps, topic).max(others.unwrap_or(0))
            }
            _ => 0,
        };
        steps.iter().map(of).max().unwrap_or(0)
    }
    most(scenario, &scenario.script, topic)
}

/// The names that consumers have for something, each once, in order.
fn of_consumers(resolved: &Resolved, name: impl Fn(ConsumerConfig) -> String) -> Vec<String> {
    let configs = resolved.consumers.iter().map(|(_, consumer)| config_of(&consumer.config));
    let known = configs.filter_map(|config: Result<ConsumerConfig, _>| config.ok());
    let mut names: Vec<String> = known.map(name).collect();
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    names
}

/// Consumers in the order of their member ids: the beginning of the id, and the name.
fn ranked(resolved: &Resolved) -> Vec<(String, &str)> {
    let beginning = |name: &str, consumer: &crate::scenario::schema::Consumer| {
        let config = consumer_config(consumer).unwrap_or_default();
        let instance = config.group_instance_id;
        format!("{}-", if instance.is_empty() { name } else { &instance })
    };
    let consumers = resolved.consumers.iter();
    let mut ranked: Vec<(String, &str)> =
        consumers.map(|(name, consumer)| (beginning(name, consumer), name)).collect();
    ranked.sort_unstable();
    ranked
}

fn add_partition(
    names: &mut Names,
    topic: TopicId,
    index: u32,
    replicas: ReplicaList,
) -> PartitionId {
    let id = PartitionId(names.partitions.len() as u16);
    names.partitions.push(Partition { topic, index, replicas });
    id
}

/// The settings of a topic. Those of `__transaction_state` come from the brokers where the file does not set them.
fn topic_config(name: &str, resolved: &Resolved, config: &BrokerConfig) -> TopicConfig {
    let declared = resolved.topics.get(name).map(|topic| &topic.config);
    let base = match name {
        // Both are compacted, in segments of 100 MiB.
        CONSUMER_OFFSETS | TRANSACTION_STATE => TopicConfig::consumer_offsets(),
        SHARE_GROUP_STATE => TopicConfig { retention: None, ..TopicConfig::default() },
        _ => TopicConfig::default(),
    };
    let settings = declared.and_then(|settings| config_over(base, settings).ok());
    let mut settings = settings.unwrap_or(base);
    let min_isr = "min.insync.replicas";
    let given = |s: &Settings| s.iter().any(|(name, _)| name == min_isr);
    if name == TRANSACTION_STATE && !declared.is_some_and(given) {
        settings.min_insync_replicas = config.transaction_topic_min_isr;
    }
    if name == SHARE_GROUP_STATE && !declared.is_some_and(given) {
        settings.min_insync_replicas = config.share.topic_min_isr;
    }
    settings
}

/// The partitions of `__consumer_offsets` that the groups hash to.
fn add_offsets_topic(names: &mut Names, resolved: &Resolved, config: &BrokerConfig) {
    let groups = names.groups.clone();
    let shape = (config.offsets_topic_partitions, config.offsets_topic_replication);
    names.group_partitions = add_internal_topic(names, resolved, CONSUMER_OFFSETS, &groups, shape);
}

/// Records without a declared number that a scenario with outputs may send before their ids meet those of outputs.
const OPEN_ENDED: u64 = 16_384;

/// The first id of an output; 0 where no application passes messages on.
fn outputs_from(resolved: &Resolved, workload: &Workload) -> u32 {
    let mut steps = resolved.consumers.iter().flat_map(|(_, consumer)| &consumer.steps);
    if !steps.any(|step| matches!(step, LoopStep::Produce(_))) {
        return 0;
    }
    let open = if workload.open_ended { OPEN_ENDED } else { 0 };
    (workload.declared + open).max(1) as u32
}

/// The transactional ids of the producers, and the partitions of `__transaction_state` that they hash to.
fn add_transaction_topic(names: &mut Names, resolved: &Resolved, config: &BrokerConfig) {
    let id_of = |producer: &Producer| {
        let config = producer_config(producer).unwrap_or_default();
        config.transactional_id
    };
    let ids = resolved.producers.iter().map(|(_, p)| id_of(p)).filter(|id| !id.is_empty());
    // One that is random is another one at each start.
    let starts = |id: &str| if id.contains("{random}") { RANDOM_IDS } else { 1 };
    let mut ids: Vec<String> =
        ids.flat_map(|id| (1..=starts(&id)).map(move |n| random_id(&id, n))).collect();
    ids.sort_unstable();
    ids.dedup();
    let shape = (config.transaction_topic_partitions, config.transaction_topic_replication);
    names.transaction_partitions =
        add_internal_topic(names, resolved, TRANSACTION_STATE, &ids, shape);
    names.transactional_ids = ids;
}

/// An internal topic with the partitions that `keys` hash to, in order of their index. Returns the partition of each
/// key. Without keys there is no topic.
fn add_internal_topic(
    names: &mut Names,
    resolved: &Resolved,
    topic: &str,
    keys: &[String],
    (partitions, replication): (u32, u32),
) -> Vec<PartitionId> {
    if keys.is_empty() {
        return Vec::new();
    }
    let declared = resolved.topics.get(topic);
    let listed = declared.map(|topic| topic.replicas.clone()).unwrap_or_default();
    let count = if listed.is_empty() { partitions } else { listed.len() as u32 };
    let hashes: Vec<u32> = keys.iter().map(|key| partition_for(key, count)).collect();
    let mut used = hashes.clone();
    used.sort_unstable();
    used.dedup();
    let id = TopicId(names.topics.len() as u16);
    let factor = replication.min(u32::from(names.brokers)) as usize;
    let placed =
        place(&racks(&resolved.cluster), if listed.is_empty() { count } else { 0 }, factor);
    let partitions: Vec<PartitionId> = used
        .iter()
        .map(|index| {
            let replicas = match listed.get(*index as usize) {
                Some(brokers) => list(brokers),
                None => placed[*index as usize],
            };
            add_partition(names, id, *index, replicas)
        })
        .collect();
    let homes = hashes
        .iter()
        .map(|hash| partitions[used.binary_search(hash).expect("every hash is among those used")])
        .collect();
    let name = topic.to_owned();
    names.topics.push(Topic { name, partitions, internal: true, partition_count: count });
    homes
}

/// The share groups, and the partitions of `__share_group_state` that their share partitions hash to. Kafka hashes the
/// id of the topic, which is random; here it is its name.
fn add_share_topic(names: &mut Names, resolved: &Resolved, config: &BrokerConfig) {
    let share = resolved.consumers.iter().map(|(_, consumer)| consumer).filter(|c| c.share);
    let groups = share.filter_map(|c| find_group(names, c.group.as_ref()?.as_str()));
    let mut groups: Vec<GroupId> = groups.collect();
    groups.sort_unstable();
    groups.dedup();
    let (mut shares, mut keys) = (Vec::new(), Vec::new());
    for group in &groups {
        for (n, partition) in names.partitions.iter().enumerate() {
            let topic = &names.topics[partition.topic.index()];
            if !topic.internal {
                shares.push((*group, PartitionId(n as u16)));
                keys.push(format!("{}:{}:{}", names.group(*group), topic.name, partition.index));
            }
        }
    }
    let shape = (config.share.topic_partitions, config.share.topic_replication);
    let homes = add_internal_topic(names, resolved, SHARE_GROUP_STATE, &keys, shape);
    names.share_homes = shares.into_iter().zip(homes).collect();
    names.share_groups = groups;
}

/// Replicas of each partition of a declared topic.
fn placement(topic: &TopicSchema, config: &BrokerConfig, cluster: &Cluster) -> Vec<ReplicaList> {
    if !topic.replicas.is_empty() {
        return topic.replicas.iter().map(|replicas| list(replicas)).collect();
    }
    let partitions = topic.partitions.unwrap_or(config.num_partitions);
    let factor = topic.replication.unwrap_or(config.default_replication_factor as u8);
    place(&racks(cluster), partitions, usize::from(factor.min(cluster.brokers)))
}

fn list(brokers: &[u8]) -> ReplicaList {
    ReplicaList::new(&brokers.iter().map(|n| BrokerId(*n)).collect::<Vec<_>>())
}

/// The brokers of each rack, the racks in order of their names; brokers without one are the first.
fn racks(cluster: &Cluster) -> Vec<Vec<BrokerId>> {
    let mut named: Vec<(&str, &Vec<u8>)> = cluster.racks.iter().collect();
    named.sort_unstable();
    let mut racks: Vec<Vec<BrokerId>> = Vec::new();
    let housed = |n: &u8| named.iter().any(|(_, brokers)| brokers.contains(n));
    racks.push((1..=cluster.brokers).filter(|n| !housed(n)).map(BrokerId).collect());
    for (_, brokers) in &named {
        let mut brokers: Vec<BrokerId> = brokers.iter().map(|n| BrokerId(*n)).collect();
        brokers.sort_unstable();
        racks.push(brokers);
    }
    racks.retain(|rack| !rack.is_empty());
    racks
}

/// The brokers of each rack that has a name, the racks in order of their names; behind them those without a broker,
/// which only consumers say they are in.
fn named_racks(resolved: &Resolved) -> Vec<(String, BrokerSet)> {
    let set = |brokers: &[u8]| brokers.iter().map(|n| BrokerId(*n)).collect();
    let cluster = resolved.cluster.racks.iter();
    let mut racks: Vec<(String, BrokerSet)> =
        cluster.map(|(name, brokers)| (name.to_owned(), set(brokers))).collect();
    racks.sort_unstable();
    for rack in of_consumers(resolved, |config| config.client_rack) {
        if !racks.iter().any(|(name, _)| *name == rack) {
            racks.push((rack, BrokerSet::EMPTY));
        }
    }
    racks
}

/// Every key that a script of any variant uses, in order of the file.
fn keys(scenario: &Scenario) -> Vec<Vec<u8>> {
    fn collect(scenario: &Scenario, steps: &[Step], keys: &mut Vec<Vec<u8>>) {
        for step in steps {
            match step {
                Step::Send(send) => {
                    for key in send.key.iter().chain(&send.keys) {
                        if !keys.iter().any(|known| known == key.as_bytes()) {
                            keys.push(key.clone().into_bytes());
                        }
                    }
                }
                Step::At(_, steps) => collect(scenario, steps, keys),
                Step::Every(every) => collect(scenario, &every.steps, keys),
                Step::Named(name, steps) => {
                    collect(scenario, steps, keys);
                    for steps in replacements(scenario, name) {
                        collect(scenario, steps, keys);
                    }
                }
                _ => {}
            }
        }
    }
    let mut keys = Vec::new();
    collect(scenario, &scenario.script, &mut keys);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Limits, load};

    fn names_of(text: &str) -> Names {
        let scenario = load("test", text.as_bytes(), &Limits::default()).unwrap();
        let resolved = scenario.resolve(crate::scenario::resolve::DEFAULT_VARIANT).unwrap();
        let workload = Workload::of(&scenario, 1_000).unwrap();
        names(&scenario, &resolved, &workload, &BrokerConfig::default())
    }

    fn replicas(names: &Names, partition: PartitionId) -> Vec<u8> {
        let replicas = names.partitions[partition.index()].replicas;
        replicas.as_slice().iter().map(|broker| broker.0).collect()
    }

    #[test]
    fn replicas_go_round_and_lists_are_taken_as_they_are() {
        let names = names_of(
            r#"(title: {"en": "t"}, script: [], groups: {"g": (members: 12, topics: ["b"])},
                topics: {"b": (partitions: 4, replication: 2), "a": (replicas: [[3, 1]]),
                         "__consumer_offsets": (replicas: [[3, 2, 1]])})"#,
        );
        let topics: Vec<&str> = names.topics.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(topics, ["b", "a", CONSUMER_OFFSETS]);
        let placed: Vec<_> =
            names.topics[0].partitions.iter().map(|p| replicas(&names, *p)).collect();
        assert_eq!(placed, [[1, 2], [2, 3], [3, 1], [1, 2]]);
        assert_eq!(replicas(&names, names.topics[1].partitions[0]), [3, 1]);
        assert_eq!(replicas(&names, names.group_partitions[0]), [3, 2, 1]);
    }

    #[test]
    fn member_ids_sort_as_client_ids_followed_by_a_dash() {
        let names = names_of(
            r#"(title: {"en": "t"}, script: [], topics: {"b": ()},
                groups: {"g": (members: 12, topics: ["b"])})"#,
        );
        let mut by_rank: Vec<_> =
            names.consumers.iter().map(|c| (c.rank, c.name.as_str())).collect();
        by_rank.sort_unstable();
        let order: Vec<&str> = by_rank.iter().map(|(_, name)| *name).take(5).collect();
        assert_eq!(order, ["c1", "c10", "c11", "c12", "c2"]);
    }
}
