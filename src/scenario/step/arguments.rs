//! What the steps of a script are told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::scenario::step::{Condition, Node, Step};
use crate::scenario::value::{Span, TopicPartition};

/// What `Send` sends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// The producer.
    pub from: String,
    /// The topic.
    pub to: String,
    /// How many records; 1 where neither this, `ids` nor `until` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Names for the messages in place of `m0`, `m1`, …. The name of an earlier message sends that one again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// The key of every record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Keys, given in turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The partition, chosen by the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Size of the value.
    #[serde(default = "default_bytes", skip_serializing_if = "is_default_bytes")]
    pub bytes: u32,
    /// How long before the call the records say they were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
    /// How long after the call the records say they were made: a clock that is fast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Span>,
    /// The value is null: in a compacted topic the record deletes its key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tombstone: bool,
    /// One record at a time, this far apart, beside the steps that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// With `every`: no more from the moment this is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Condition>,
}

/// Size of a value where a file does not say: bytes.
fn default_bytes() -> u32 {
    10
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_default_bytes(bytes: &u32) -> bool {
    *bytes == default_bytes()
}

/// Steps that are repeated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Every {
    /// How far apart.
    pub every: Span,
    /// How often at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// No more from the moment this is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Condition>,
    /// What.
    pub steps: Vec<Step>,
}

/// What a share consumer says of records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// Who.
    pub consumer: String,
    /// Of which messages; where it is left out, of all that `poll()` returned and of which nothing was said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// What.
    #[serde(default)]
    pub how: AcknowledgeHow,
}

/// What can be said (`AcknowledgeType`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum AcknowledgeHow {
    /// It was processed.
    #[default]
    Accept,
    /// Somebody may try again.
    Release,
    /// Nobody is to try again.
    Reject,
    /// It needs more time.
    Renew,
}

/// Which transaction an administrator ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbortHanging {
    /// In which partition.
    pub partition: TopicPartition,
    /// Where it begins; without it the first one that is open there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_offset: Option<i64>,
}

/// What `CutLog` cuts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutLog {
    /// On which broker.
    pub broker: Node,
    /// Which log.
    pub partition: TopicPartition,
    /// How many records; either this or `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u32>,
    /// Where the log ends afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
}

/// Which messages, and what happens to them. What is left out matches everything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For `Release`, `Clear`, `Held` and `Hits`.
    pub name: String,
    /// Kafka's name of the request: `Produce`, `Fetch`, `OffsetCommit`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Requests or answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// Who sends the message. (Of an answer: the broker.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Node>,
    /// Who is to receive it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Node>,
    /// The partition it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<TopicPartition>,
    /// A message (by id) it carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Let so many matches pass first.
    #[serde(default)]
    pub skip: u32,
    /// Act on so many matches; on all where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// What happens.
    #[serde(rename = "do")]
    pub action: Action,
}

/// Which half of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Side {
    /// The request.
    Request,
    /// Its answer: what was asked has been done already.
    Response,
}

/// What happens to a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Action {
    /// It waits until it is released.
    Hold,
    /// It never arrives; the connection stays.
    Drop,
    /// It arrives this much later.
    Delay(Span),
    /// It arrives twice.
    Duplicate,
    /// It never arrives and the connection breaks. Of a response: applied, and the answer lost.
    Close,
    /// A request is answered with this error and never reaches the broker; a response is changed to say so.
    Error(String),
}

/// `poll()` by hand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poll {
    /// Who.
    pub consumer: String,
    /// Time-out of each call.
    #[serde(default = "default_poll")]
    pub timeout: Span,
    /// Calls again until so many records came in all, or a call throws. 0: one call.
    #[serde(default)]
    pub records: u32,
    /// No further call once so much time has passed since the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

fn default_poll() -> Span {
    Span(crate::base::time::Duration::from_millis(100))
}

/// Which election.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Election {
    /// Of the first replica, if it is in the ISR.
    Preferred,
    /// Of any replica that is alive, if there is no leader.
    Unclean,
}

/// Records the application finishes: the oldest unfinished ones unless `ids` are given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Who.
    pub consumer: String,
    /// How many; all where neither this nor `ids` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// A commit by hand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Who.
    pub consumer: String,
    /// `commitSync` (the default) or `commitAsync`.
    #[serde(default)]
    pub how: CommitHow,
    /// Offsets by partition; the positions where left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub offsets: BTreeMap<TopicPartition, i64>,
}

/// What `Store` stores.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreOffsets {
    /// Who.
    pub consumer: String,
    /// The next offsets to read, by partition.
    pub offsets: BTreeMap<TopicPartition, i64>,
}

/// `position()` or `committed()` by hand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskPartition {
    /// Who.
    pub consumer: String,
    /// Of which partition.
    pub partition: TopicPartition,
    /// How long it may block; `default.api.timeout.ms` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// `beginningOffsets()` or `endOffsets()` by hand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskOffsets {
    /// Who.
    pub consumer: String,
    /// Of which partitions.
    pub partitions: Vec<TopicPartition>,
    /// How long it may block; `default.api.timeout.ms` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// `sendOffsetsToTransaction()`: the group is that of a consumer, with its member id and generation, or one by name
/// without them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendOffsets {
    /// Whose transaction.
    pub producer: String,
    /// The consumer whose `groupMetadata()` is passed; either this or `group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// The group, as `new ConsumerGroupMetadata(group)` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Offsets by partition; the positions of the consumer where left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub offsets: BTreeMap<TopicPartition, i64>,
}

/// What `kafka-consumer-groups.sh --reset-offsets`, or `kafka-share-groups.sh`, is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetOffsets {
    /// Of which group.
    pub group: String,
    /// Of all partitions of which topic.
    pub topic: String,
    /// Where to.
    pub to: Reset,
}

/// Where offsets are reset to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reset {
    /// `--to-earliest`.
    Earliest,
    /// `--to-latest`.
    Latest,
    /// `--to-current`.
    Current,
    /// `--to-offset`.
    Offset(i64),
    /// `--shift-by`.
    ShiftBy(i64),
    /// `--to-datetime`: a moment of the run.
    Datetime(Span),
    /// `--by-duration`: so long before now.
    ByDuration(Span),
}

/// Which commit call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum CommitHow {
    /// `commitSync`.
    #[default]
    Sync,
    /// `commitAsync`.
    Async,
}
