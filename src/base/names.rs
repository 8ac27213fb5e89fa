//! What things are called and which partitions exist: the one table that turns dense ids into words. It grows when
//! a partition is added and never shrinks. Machines use it for structure (which partitions has a topic), never for
//! spelling.

use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::ids::{
    BrokerId, EventSeq, GroupId, InstanceId, KeyId, MemberId, MessageId, NodeId, PartitionId,
    RackId, RegexId, TopicId, TransactionalId,
};
use crate::base::tables::TableId;

/// One topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its partitions by index. Of internal topics only the partitions that groups and transactional ids of the
    /// run hash to exist here, so position and index differ there: use [`Partition::index`].
    pub partitions: Vec<PartitionId>,
    /// True for `__consumer_offsets` and `__transaction_state`.
    pub internal: bool,
    /// How many partitions the topic is created with, of internal topics those that no group of the run hashes to
    /// included.
    pub partition_count: u32,
}

/// One partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partition {
    /// Its topic.
    pub topic: TopicId,
    /// Its number within the topic.
    pub index: u32,
    /// Its replicas at creation, in assignment order.
    pub replicas: ReplicaList,
}

/// One client process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// Its name in the scenario, also its `client.id`.
    pub name: String,
    /// The group of a consumer, if it has one.
    pub group: Option<GroupId>,
    /// A consumer's place when the names of all consumers (of static members their `group.instance.id`), each followed
    /// by `-`, are sorted: the upper half of its member ids, from 1.
    pub rank: u16,
}

/// A regular expression that members of groups subscribe to (`SubscriptionPattern`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Regex {
    /// As it is written.
    pub text: String,
    /// The topics whose whole name fits it, ascending, also those that do not exist yet; `None`: RE2/J refuses it.
    pub fits: Option<Vec<TopicId>>,
}

/// All names of a run.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Names {
    /// How many controllers there are.
    pub controllers: u8,
    /// How many brokers there are: 1 to this number.
    pub brokers: u8,
    /// Racks by id: the name and the brokers in it (`broker.rack`), none for one that only a `client.rack` names.
    pub racks: Vec<(String, BrokerSet)>,
    /// Topics by id.
    pub topics: Vec<Topic>,
    /// Partitions by id.
    pub partitions: Vec<Partition>,
    /// How many of them, the last ones, do not exist when the cluster is formed: an administrator may create them.
    pub later: u16,
    /// Those of them that have been created since.
    pub created: Vec<PartitionId>,
    /// Producers by number.
    pub producers: Vec<Client>,
    /// Consumers by number.
    pub consumers: Vec<Client>,
    /// Group names by id.
    pub groups: Vec<String>,
    /// `group.instance.id`s by id, sorted.
    pub instances: Vec<String>,
    /// The `__consumer_offsets` partition of each group (Kafka's hash), by id.
    pub group_partitions: Vec<PartitionId>,
    /// Every `transactional.id` of the run, by id, in ascending order.
    pub transactional_ids: Vec<String>,
    /// The `__transaction_state` partition of each (Kafka's hash), by id.
    pub transaction_partitions: Vec<PartitionId>,
    /// The groups that share consumers name, in order of their ids.
    pub share_groups: Vec<GroupId>,
    /// The `__share_group_state` partition of each share partition, sorted.
    pub share_homes: Vec<((GroupId, PartitionId), PartitionId)>,
    /// Every regular expression that consumers leave to the coordinator, by id.
    pub regexes: Vec<Regex>,
    /// Tables of a database that applications write to, by id.
    pub tables: Vec<String>,
    /// Record keys by id, as bytes.
    pub keys: Vec<Vec<u8>>,
    /// Ids from here on are outputs of applications: so much is added to an input's id for each that has handled it. 0
    /// where no application passes messages on.
    pub outputs_from: u32,
    /// Names of messages that have one of their own, sorted by id; all others are `m0`, `m1`, …
    pub messages: Vec<(MessageId, String)>,
}

impl Names {
    /// `orders-0`.
    pub fn partition(&self, id: PartitionId) -> String {
        match self.partitions.get(id.index()) {
            Some(p) => format!("{}-{}", self.topics[p.topic.index()].name, p.index),
            None => "?".to_owned(),
        }
    }

    /// The message that an application makes of `input`; the same however often it is made.
    ///
    /// # Panics
    /// When there is no such application.
    pub fn output_of(&self, input: MessageId) -> MessageId {
        assert!(self.outputs_from > 0, "an application that passes messages on is announced");
        MessageId(input.0 + self.outputs_from)
    }

    /// The message that `output` was made of.
    pub fn input_of(&self, output: MessageId) -> Option<MessageId> {
        let made = self.outputs_from > 0 && output.0 >= self.outputs_from;
        made.then(|| MessageId(output.0 - self.outputs_from))
    }

    /// The name of a message: `m7`, or what the scenario calls it; `o7` for what an application makes of `m7`, and
    /// `o` with the name of any other input.
    pub fn message(&self, id: MessageId) -> String {
        if let Some(input) = self.input_of(id) {
            let name = self.message(input);
            let number = name.strip_prefix('m').filter(|rest| rest.parse::<u32>().is_ok());
            return format!("o{}", number.unwrap_or(&name));
        }
        match self.messages.binary_search_by_key(&id, |(m, _)| *m) {
            Ok(at) => self.messages[at].1.clone(),
            Err(_) => id.to_string(),
        }
    }

    /// The message called `name`, if any.
    pub fn find_message(&self, name: &str) -> Option<MessageId> {
        if let Some(rest) = name.strip_prefix('o').filter(|_| self.outputs_from > 0)
            && !self.messages.iter().any(|(_, n)| n == name)
        {
            let input = self.find_message(&format!("m{rest}")).or_else(|| self.find_message(rest));
            return input.map(|input| self.output_of(input));
        }
        if let Some((id, _)) = self.messages.iter().find(|(_, n)| n == name) {
            return Some(*id);
        }
        let id = MessageId(name.strip_prefix('m')?.parse().ok()?);
        (self.message(id) == name).then_some(id)
    }

    /// `b1`, `ctl1`, or the client's name.
    pub fn node(&self, node: NodeId) -> String {
        let client = |list: &[Client], n: u16| {
            list.get(usize::from(n)).map_or_else(|| "?".to_owned(), |c| c.name.clone())
        };
        match node {
            NodeId::Controller(n) => format!("ctl{n}"),
            NodeId::Broker(id) => id.to_string(),
            NodeId::Producer(n) => client(&self.producers, n),
            NodeId::Consumer(n) => client(&self.consumers, n),
            NodeId::Script => "script".to_owned(),
        }
    }

    /// The group's name.
    pub fn group(&self, id: GroupId) -> &str {
        self.groups.get(id.index()).map_or("?", String::as_str)
    }

    /// The `transactional.id` as people write it.
    pub fn transactional_id(&self, id: TransactionalId) -> &str {
        self.transactional_ids.get(id.index()).map_or("?", String::as_str)
    }

    /// The `transactional.id` spelled `name`, if a producer of the run has it.
    pub fn find_transactional_id(&self, name: &str) -> Option<TransactionalId> {
        let place = self.transactional_ids.iter().position(|id| id == name)?;
        Some(TransactionalId(place as u16))
    }

    /// The name of the rack that `broker` is in.
    pub fn rack_of(&self, broker: BrokerId) -> Option<&str> {
        let rack = self.racks.iter().find(|(_, brokers)| brokers.contains(broker));
        rack.map(|(name, _)| name.as_str())
    }

    /// The rack called `name`, if a broker or a client is in it.
    pub fn find_rack(&self, name: &str) -> Option<RackId> {
        self.racks.iter().position(|(rack, _)| rack == name).map(|i| RackId(i as u8))
    }

    /// The `group.instance.id` called `name`, if a consumer has it.
    pub fn find_instance(&self, name: &str) -> Option<InstanceId> {
        self.instances.iter().position(|instance| instance == name).map(|i| InstanceId(i as u16))
    }

    /// The regular expression written `text`, if a consumer of the run may subscribe to it.
    pub fn find_regex(&self, text: &str) -> Option<RegexId> {
        self.regexes.iter().position(|regex| regex.text == text).map(|i| RegexId(i as u16))
    }

    /// The topics that exist and fit a regular expression, ascending; `None` where RE2/J refuses it.
    pub fn fitting(&self, regex: RegexId) -> Option<Vec<TopicId>> {
        let fits = self.regexes[regex.index()].fits.as_ref()?.iter().copied();
        Some(fits.filter(|topic| !self.existing(*topic).is_empty()).collect())
    }

    /// The topic called `name`.
    pub fn find_topic(&self, name: &str) -> Option<TopicId> {
        self.topics.iter().position(|t| t.name == name).map(|i| TopicId(i as u16))
    }

    /// The table `name`, if an application of the scenario writes to it.
    pub fn find_table(&self, name: &str) -> Option<TableId> {
        let place = self.tables.iter().position(|table| table == name)?;
        Some(TableId(place as u16))
    }

    /// The name of a table.
    pub fn table(&self, id: TableId) -> &str {
        self.tables.get(id.index()).map_or("?", String::as_str)
    }

    /// Partition `index` of `topic`.
    pub fn find_partition(&self, topic: &str, index: u32) -> Option<PartitionId> {
        let topic = &self.topics[self.find_topic(topic)?.index()];
        topic.partitions.iter().copied().find(|p| self.partitions[p.index()].index == index)
    }

    /// True for a partition that the formed cluster does not have.
    pub fn is_later(&self, id: PartitionId) -> bool {
        id.index() + usize::from(self.later) >= self.partitions.len()
    }

    /// The partitions of a topic that exist: those with the lowest numbers.
    pub fn existing(&self, topic: TopicId) -> &[PartitionId] {
        let all = &self.topics[topic.index()].partitions;
        let exists = |id: &&PartitionId| !self.is_later(**id) || self.created.contains(id);
        &all[..all.iter().take_while(exists).count()]
    }

    /// The topic a partition belongs to.
    pub fn topic_of(&self, id: PartitionId) -> &Topic {
        &self.topics[self.partitions[id.index()].topic.index()]
    }

    /// Where the state of a share partition is kept; `None` for a group that no share consumer names.
    pub fn share_home(&self, group: GroupId, partition: PartitionId) -> Option<PartitionId> {
        let found = self.share_homes.binary_search_by_key(&(group, partition), |(key, _)| *key);
        found.ok().map(|at| self.share_homes[at].1)
    }

    /// True for a partition of `__share_group_state`.
    pub fn keeps_share_state(&self, partition: PartitionId) -> bool {
        self.share_homes.iter().any(|(_, home)| *home == partition)
    }

    /// The bytes of a key; `None` for the null key.
    pub fn key(&self, id: KeyId) -> Option<&[u8]> {
        self.keys.get(id.index()).map(Vec::as_slice)
    }

    /// The consumer a member id belongs to.
    pub fn consumer_of(&self, member: MemberId) -> Option<NodeId> {
        let rank = (member.0 >> 16) as u16;
        let n = self.consumers.iter().position(|c| c.rank == rank && rank > 0)?;
        Some(NodeId::Consumer(n as u16))
    }

    /// All brokers, 1 to the last.
    pub fn broker_ids(&self) -> impl Iterator<Item = BrokerId> + use<> {
        (1..=self.brokers).map(BrokerId)
    }
}

/// `ev 148`, the way screens and transcripts name an event.
pub fn event_label(seq: EventSeq) -> String {
    if seq == EventSeq::NONE { "the start".to_owned() } else { format!("ev {}", seq.0) }
}
