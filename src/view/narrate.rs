//! One English sentence for every kind of event: the actor is the subject, the cause follows *because*, numbers come
//! from the run, Kafka's words as Kafka writes them. Stage, transcript, console and export all take their sentences
//! from here. A sentence claims only what the view and the settings show; where a fact is missing, a shorter
//! sentence is said.

mod consumer;
mod controller;
mod group;
mod producer;
mod replication;
mod script;
mod share;
mod table;
mod transaction;

use crate::base::batch::BatchTable;
use crate::base::config::{ClusterConfig, ConsumerConfig, ProducerConfig, TopicConfig};
use crate::base::ids::{EventSeq, NodeId, PartitionId};
use crate::base::names::Names;
use crate::base::time::Time;
use crate::event::{Event, EventKind, FaultKind, GroupState, RebalanceCallback};
use crate::view::cluster::ClusterView;

/// The longest sentence that fits the two rows of the stage.
pub const MAX_SENTENCE: usize = 156;

/// How much an event matters to somebody who watches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Importance {
    /// A message on the wire, a call that did nothing.
    Trace,
    /// True, and part of every quiet second: heartbeats, internal appends, a follower's high watermark.
    Detail,
    /// The screen changes: a record is appended, told, read, processed, committed.
    Change,
    /// A mark on the time line: a fault, a heal, an election, a question, the end.
    Mark,
}

/// One line of narration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The event it tells.
    pub seq: EventSeq,
    /// When.
    pub at: Time,
    /// How much it matters.
    pub importance: Importance,
    /// The word a transcript puts before it: `FAULT`, `QUESTION`, or the empty string.
    pub label: &'static str,
    /// The sentence.
    pub text: String,
}

/// The settings that sentences give as reasons. A missing entry makes a sentence shorter, never false.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Facts {
    /// Brokers and topics.
    pub cluster: ClusterConfig,
    /// Producers by number.
    pub producers: Vec<ProducerConfig>,
    /// Consumers by number.
    pub consumers: Vec<ConsumerConfig>,
    /// The questions of the lesson by number.
    pub questions: Vec<String>,
}

impl Facts {
    fn producer(&self, n: u16) -> Option<&ProducerConfig> {
        self.producers.get(usize::from(n))
    }

    fn consumer(&self, n: u16) -> Option<&ConsumerConfig> {
        self.consumers.get(usize::from(n))
    }

    fn topic(&self, names: &Names, partition: PartitionId) -> Option<&TopicConfig> {
        self.cluster.topics.get(names.partitions[partition.index()].topic.index())
    }
}

/// What a sentence is made from.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Everything before the event.
    pub before: &'a ClusterView,
    /// The records.
    pub batches: &'a BatchTable,
    /// The settings.
    pub facts: &'a Facts,
}

impl Scene<'_> {
    fn names(&self) -> &Names {
        &self.before.names
    }

    fn partition(&self, id: PartitionId) -> String {
        self.names().partition(id)
    }

    fn node(&self, node: NodeId) -> String {
        self.names().node(node)
    }

    fn ids(&self, batch: crate::base::ids::BatchHandle) -> String {
        crate::view::words::batch_ids(self.names(), self.batches, batch)
    }
}

/// How much an event of this kind matters. `internal` is true for an event about a partition of an internal topic.
pub fn importance(event: &Event, names: &Names) -> Importance {
    use Importance::{Change, Detail, Mark, Trace};
    let internal = |partition: &PartitionId| {
        names.partitions.get(partition.index()).is_some_and(|_| names.topic_of(*partition).internal)
    };
    match &event.kind {
        // What a rebalance takes is news; what it gives its coordinator has told.
        EventKind::Callback {
            callback: RebalanceCallback::Revoked | RebalanceCallback::Lost,
            count,
        } if *count > 0 => Change,
        EventKind::WireSent { .. }
        | EventKind::WireArrived { .. }
        | EventKind::WireLost { .. }
        | EventKind::PollCalled
        | EventKind::PollEmpty
        | EventKind::PositionPassed { .. }
        | EventKind::Step { .. }
        | EventKind::Callback { .. }
        | EventKind::Observed { .. }
        | EventKind::MetadataAppended { .. }
        | EventKind::MetadataCommitted { .. }
        | EventKind::MetadataApplied { .. } => Trace,
        EventKind::Appended { partition, .. }
        | EventKind::PartitionChanged { partition, .. }
        | EventKind::Truncated { partition, .. }
        | EventKind::BecameLeader { partition, .. }
            if internal(partition) =>
        {
            Detail
        }
        EventKind::HighWatermark { .. }
        | EventKind::BatchReady { .. }
        | EventKind::BecameFollower { .. }
        | EventKind::LogStart { .. }
        | EventKind::Flushed { .. }
        | EventKind::SegmentRolled { .. }
        | EventKind::BatchCompacted { .. }
        | EventKind::SegmentMerged { .. }
        | EventKind::IsrProposed { .. }
        | EventKind::IsrKnown { .. }
        | EventKind::ProducerIdAssigned { .. }
        | EventKind::BrokerRegistered { .. }
        | EventKind::MetadataTruncated { .. }
        | EventKind::CommitSent { .. }
        | EventKind::CommitAnswered { exception: None, .. }
        | EventKind::CallbackPartition { .. }
        | EventKind::CoordinatorLoaded { .. }
        | EventKind::MemberTarget { .. }
        | EventKind::ConsumerGroupChanged { state: GroupState::Assigning, .. }
        | EventKind::TransactionLoaded { .. }
        | EventKind::TransactionPartition { .. }
        | EventKind::LastStableOffset { .. }
        | EventKind::SharePartitionLoaded { .. }
        | EventKind::ShareStart { .. }
        | EventKind::Delivered { delivery: 1, .. }
        | EventKind::AcknowledgeSent { .. }
        | EventKind::AcknowledgeAnswered { exception: None, .. }
        | EventKind::GroupChanged { state: GroupState::CompletingRebalance, .. } => Detail,
        // A cluster is formed in this way; only later it is news.
        EventKind::BrokerUnfenced { .. } if event.at == Time::ZERO => Detail,
        EventKind::Fault { kind } if *kind != FaultKind::Stopped => Mark,
        EventKind::Question { .. }
        | EventKind::Quiesced
        | EventKind::Stuck
        | EventKind::Ended
        | EventKind::ControllerElected { .. }
        | EventKind::BecameLeader { .. } => Mark,
        _ => Change,
    }
}

/// The line of one event.
pub fn narrate(scene: &Scene<'_>, seq: EventSeq, event: &Event) -> Line {
    let importance = match event.kind {
        // The leader's high watermark moves the bar; a follower's comes after.
        EventKind::HighWatermark { partition, .. } if scene.leads(event.node, partition) => {
            importance(event, scene.names()).max(Importance::Change)
        }
        EventKind::LastStableOffset { .. } if scene.releases(event) => Importance::Change,
        _ => importance(event, scene.names()),
    };
    let label = match event.kind {
        EventKind::Fault { kind } if kind.harms() => "FAULT",
        EventKind::Question { .. } => "QUESTION",
        _ => "",
    };
    Line { seq, at: event.at, importance, label, text: sentence(scene, event) }
}

/// The sentence of one event.
pub fn sentence(scene: &Scene<'_>, event: &Event) -> String {
    let text = producer::sentence(scene, event)
        .or_else(|| replication::sentence(scene, event))
        .or_else(|| controller::sentence(scene, event))
        .or_else(|| consumer::sentence(scene, event))
        .or_else(|| group::sentence(scene, event))
        .or_else(|| transaction::sentence(scene, event))
        .or_else(|| share::sentence(scene, event))
        .or_else(|| table::sentence(scene, event));
    text.unwrap_or_else(|| script::sentence(scene, event))
}

impl Scene<'_> {
    /// True when `node` is the registered leader of a partition of a topic that is not internal.
    fn leads(&self, node: NodeId, partition: PartitionId) -> bool {
        let leader = self.before.partition(partition).leader;
        node.broker() == leader && leader.is_some() && !self.names().topic_of(partition).internal
    }

    /// True when the leader's last stable offset moves after it was held back: what an open transaction hid from
    /// `read_committed` readers is there for them.
    fn releases(&self, event: &Event) -> bool {
        let EventKind::LastStableOffset { partition, .. } = event.kind else { return false };
        let replica = event.node.broker().and_then(|b| self.before.partition(partition).replica(b));
        self.leads(event.node, partition)
            && replica.is_some_and(|r| r.held_back && r.last_stable_offset() < r.high_watermark)
    }
}

#[cfg(test)]
mod tests;
