//! What a scenario file says, as plain values. One file is one [`Scenario`]; see `docs/scenarios.md`.
//!
//! Settings carry Kafka's own property names and are checked by Kafka's own rules. A scenario can be written back as
//! RON and read again; [`crate::scenario::load`] is the only reader.

use serde::{Deserialize, Serialize};

use crate::base::tables::Insert;
use crate::base::time::Duration;
use crate::scenario::expect::Expectation;
use crate::scenario::step::{AcknowledgeHow, CommitHow, Step};
use crate::scenario::value::{Chance, Label, Ordered, Setting, Span, Texts, TopicPartition};

/// Settings by Kafka's property names, in the order of the file.
pub type Settings = Ordered<Setting>;

/// One scenario.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Scenario {
    /// What it is about, by language.
    pub title: Texts,
    /// Where it stands in the curriculum, 0 to 10.
    pub level: u8,
    /// What to remember, by language.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub takeaway: Texts,
    /// Ids of scenarios to know before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Label>,
    /// The id of the scenario to go on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Label>,
    /// The seed where a command does not name one.
    pub seed: u64,
    /// Brokers and controllers.
    pub cluster: Cluster,
    /// Topics by name.
    pub topics: Ordered<Topic>,
    /// Producers by name.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub producers: Ordered<Producer>,
    /// Consumers by name.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub consumers: Ordered<Consumer>,
    /// Groups by name: several consumers at once.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub groups: Ordered<Group>,
    /// Settings of groups, by group id.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub group_configs: Ordered<Settings>,
    /// How messages travel.
    pub network: Network,
    /// What happens.
    pub script: Vec<Step>,
    /// What differs between variants, in the order they are shown.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub variants: Ordered<Ordered<Override>>,
    /// What is expected of each variant.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub expect: Ordered<Vec<Expectation>>,
    /// Sentences beyond the automatic ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub narration: Vec<Narration>,
}

/// Brokers and controllers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// How many brokers, 1 to 64.
    pub brokers: u8,
    /// How many controllers, 1 to 5.
    pub controllers: u8,
    /// Settings of all of them.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub config: Settings,
    /// Racks by name, with their brokers (`broker.rack`).
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub racks: Ordered<Vec<u8>>,
    /// Feature levels it was formatted with, where they differ from those of a fresh 4.4 cluster.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub features: Settings,
    /// The truncation rule of its brokers, by the last release that had it: `0.10`, `1.1`, `4.4`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub era: String,
}

impl Default for Cluster {
    fn default() -> Self {
        let (config, features) = (Settings::default(), Settings::default());
        let racks = Ordered::default();
        Self { brokers: 3, controllers: 1, config, racks, features, era: String::new() }
    }
}

/// One topic: either `replicas`, or `partitions` and `replication`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Replicas of each partition in assignment order; the first is the preferred leader.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<Vec<u8>>,
    /// How many partitions; `num.partitions` where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// How many replicas each; `default.replication.factor` where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication: Option<u8>,
    /// Settings of the topic.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub config: Settings,
    /// When it is created.
    #[serde(skip_serializing_if = "Created::is_at_once")]
    pub created: Created,
}

/// When a topic is created.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Created {
    /// With the cluster.
    #[default]
    AtOnce,
    /// When the script says `CreateTopic`.
    ByScript,
}

impl Created {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_at_once(&self) -> bool {
        *self == Self::AtOnce
    }
}

/// One producer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Producer {
    /// Its settings.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub config: Settings,
    /// Whose code it runs: `java`, which is the default, or `librdkafka`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// When it is created: with the run, or when the script says `Start`.
    #[serde(skip_serializing_if = "StartAt::is_at_once")]
    pub start: StartAt,
}

/// One consumer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// `group.id`, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Label>,
    /// Whose code it runs: `java`, which is the default, or `librdkafka`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// A `KafkaShareConsumer`, and the group is a share group.
    #[serde(skip_serializing_if = "is_false")]
    pub share: bool,
    /// Topics it subscribes to when it starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// The pattern of topics it subscribes to in their place, looking for them itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The regular expression it leaves to the coordinator in their place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Partitions it assigns to itself when it starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<TopicPartition>,
    /// Its settings.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub config: Settings,
    /// What its application does again and again. Empty: the script calls it by hand.
    #[serde(rename = "loop", skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<LoopStep>,
    /// What its application does when partitions are taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_revoked: Option<OnRevoked>,
    /// The producer in the same process: the application passes on what it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer: Option<Label>,
    /// When its process starts.
    #[serde(skip_serializing_if = "StartAt::is_at_once")]
    pub start: StartAt,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// When a process starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum StartAt {
    /// With the run.
    #[default]
    AtOnce,
    /// When the script says `Start`.
    ByScript,
    /// At this moment.
    At(Span),
}

impl StartAt {
    fn is_at_once(&self) -> bool {
        *self == Self::AtOnce
    }
}

/// Several consumers of one group that differ in nothing but their names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Group {
    /// How many (they are called `c1`, `c2`, … over all groups), or their names.
    pub members: Members,
    /// Whose code it runs: `java`, which is the default, or `librdkafka`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// It is a share group, its members are `KafkaShareConsumer`s.
    #[serde(skip_serializing_if = "is_false")]
    pub share: bool,
    /// Topics they subscribe to.
    pub topics: Vec<String>,
    /// The pattern of topics they subscribe to in their place, looking for them themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The regular expression they leave to the coordinator in their place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Settings of each.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub config: Settings,
    /// What the application of each does again and again.
    #[serde(rename = "loop", skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<LoopStep>,
    /// What its application does when partitions are taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_revoked: Option<OnRevoked>,
    /// A producer that each has one like in its process, called by its own name after that of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer: Option<Label>,
    /// When they start.
    #[serde(skip_serializing_if = "StartAt::is_at_once")]
    pub start: StartAt,
}

/// How many members, or their names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum Members {
    /// So many.
    Count(u32),
    /// These.
    Names(Vec<Label>),
}

/// One step of an application's loop.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum LoopStep {
    /// `poll(500 ms)`; what it returns is the batch of this round.
    Poll,
    /// `poll()` with this time-out.
    PollFor(Span),
    /// Works on the records of the batch one after the other, so long each; a record is processed when its work is
    /// over.
    Work(Span),
    /// Works on the whole batch at once, so long; its records are processed together when it is over.
    WorkBatch(Span),
    /// Work and a `commitSync` of the next offset after each record.
    WorkAndCommitEach(Span),
    /// Hands the batch to workers, so many and so long each record, and goes on.
    HandOff(u16, Span),
    /// Commits the positions.
    Commit(CommitHow),
    /// Commits, a partition, the lowest offset whose record is not finished.
    CommitFinished(CommitHow),
    /// Commits the offset of the last record in place of the next one: the classic mistake.
    CommitLast(CommitHow),
    /// Work, and after each record the application says that it accepts it; a share consumer with explicit
    /// acknowledgement.
    WorkAndAcknowledgeEach(WorkAndAcknowledge),
    /// Says this of every record of the batch of which it has said nothing; a share consumer with explicit
    /// acknowledgement.
    Acknowledge(AcknowledgeHow),
    /// Waits.
    Pause(Span),
    /// `send()` of one output a record of the batch to this topic.
    Produce(Label),
    /// `flush()`.
    Flush,
    /// `beginTransaction()`.
    BeginTransaction,
    /// `sendOffsetsToTransaction()` of the positions behind the batch.
    SendOffsets,
    /// `commitTransaction()`.
    CommitTransaction,
    /// `INSERT` of one row a record of the batch into this table of a database.
    Insert(Label),
    /// The same with the id of the message as a unique key: a row that is there already is left as it is.
    InsertOnce(Label),
    /// `INSERT`, and in the same transaction of the database the offsets behind the batch; the application reads on
    /// from them.
    InsertWithOffsets(Label),
}

impl LoopStep {
    /// The table it writes to, and how.
    pub fn table(&self) -> Option<(&str, Insert)> {
        match self {
            Self::Insert(table) => Some((table.as_str(), Insert::Plain)),
            Self::InsertOnce(table) => Some((table.as_str(), Insert::Once)),
            Self::InsertWithOffsets(table) => Some((table.as_str(), Insert::WithOffsets)),
            _ => None,
        }
    }
}

/// How an application acknowledges record by record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkAndAcknowledge {
    /// How long each record takes.
    pub work: Span,
    /// Messages it cannot process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poison: Vec<String>,
    /// What it says of those.
    #[serde(default = "release")]
    pub then: AcknowledgeHow,
}

fn release() -> AcknowledgeHow {
    AcknowledgeHow::Release
}

impl Scenario {
    /// Every loop of the file with its place: of consumers, of groups, and of both in variants.
    pub fn loops(&self) -> impl Iterator<Item = (String, &[LoopStep])> {
        let consumers = self.consumers.iter();
        let consumers = consumers.map(|(name, c)| (format!("consumers.{name}.loop"), &c.steps));
        let groups = self.groups.iter().map(|(name, g)| (format!("groups.{name}.loop"), &g.steps));
        let overrides = self.variants.iter().flat_map(|(_, overrides)| overrides.iter());
        let others = overrides.filter_map(|(key, value)| match value {
            Override::Loop(steps) => Some((key.to_owned(), steps)),
            _ => None,
        });
        consumers.chain(groups).chain(others).map(|(place, steps)| (place, steps.as_slice()))
    }

    /// Tables that applications of any variant write to, in the order in which the file names them.
    pub fn tables(&self) -> Vec<&str> {
        let mut tables: Vec<&str> = Vec::new();
        for (name, _) in
            self.loops().flat_map(|(_, steps)| steps.iter().filter_map(LoopStep::table))
        {
            if !tables.contains(&name) {
                tables.push(name);
            }
        }
        tables
    }
}

/// What an application does in `onPartitionsRevoked`, and so in `onPartitionsLost`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum OnRevoked {
    /// Commits the positions.
    Commit(CommitHow),
    /// Commits, a partition, the lowest offset whose record is not finished.
    CommitFinished(CommitHow),
}

/// How messages travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// One way.
    pub latency: Span,
    /// At most so much more or less, each as likely.
    pub jitter: Span,
    /// The chance that a packet is lost and sent again by TCP.
    pub loss: Chance,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Span(Duration(1_000)),
            jitter: Span(Duration(200)),
            loss: Chance::default(),
        }
    }
}

/// What a variant sets at a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum Override {
    /// `kind.name.kafka.property`: the value.
    Setting(Setting),
    /// `consumers.NAME.loop`, `groups.NAME.loop`: the loop.
    Loop(Vec<LoopStep>),
    /// `consumers.NAME.on_revoked`, `groups.NAME.on_revoked`: what happens then; `None` for nothing.
    OnRevoked(Option<OnRevoked>),
    /// `groups.NAME.share`, `consumers.NAME.share`: whether it is a share group.
    Share(bool),
    /// `groups.NAME.members`: how many or who.
    Members(Members),
    /// `topics.NAME.partitions`, `topics.NAME.replication`: how many.
    Count(u32),
    /// `script.NAME`: other steps in place of the ones that `Named` gave this name.
    Steps(Vec<Step>),
}

/// A sentence that is said each time something happens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narration {
    /// What has to happen: the name of an event (`"BecameLeader"`).
    pub on: Label,
    /// The sentence; `{node}` in it stands for where it happened.
    pub say: Texts,
}
