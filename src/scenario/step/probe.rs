//! What a script can observe.

use serde::{Deserialize, Serialize};

use crate::scenario::step::Node;
use crate::scenario::value::TopicPartition;

/// What `Observe` can record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Probe {
    /// How many ids, records or entries another probe finds: `10`.
    Count(Box<Self>),
    /// How many seconds, rounded, have passed since a mark of the script; none while it has not come to it.
    SecondsSince(String),
    /// The rows of a table that applications write to, by the id of the message they are of.
    Rows(String),
    /// Committed offsets of a group: `{"orders-0": 5}`, partitions without one left out.
    Committed(String),
    /// Fetch positions of a consumer: `{"orders-0": 5}`.
    Position(String),
    /// Ids that `poll()` returned to a consumer since the last time this was observed.
    Polled(String),
    /// Ids the application of a consumer finished, from the start of the run.
    Processed(String),
    /// Partitions a consumer owns: `["orders-0"]`.
    Assigned(String),
    /// How many partitions a consumer owns.
    AssignedCount(String),
    /// Partitions a consumer has paused: `["orders-0"]`.
    Paused(String),
    /// Rebalance callbacks of a consumer in order: `[["onPartitionsAssigned", ["orders-0"]]]`.
    Callbacks(String),
    /// The class of the last exception a call of this client threw, or none: `"CommitFailedException"`.
    Exception(String),
    /// The exception of the administrator's last call, or none: `"PreferredLeaderNotAvailableException"`.
    AdminException,
    /// Number of the active controller, or none.
    ActiveController,
    /// Its epoch, or none.
    ControllerEpoch,
    /// State of a group: `"Stable"`.
    GroupState(String),
    /// Generation of a group: how often it was formed anew.
    Generation(String),
    /// How many partitions rebalances took from members of a group since a mark, or since the start.
    Revoked {
        /// The group.
        group: String,
        /// The mark.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
    },
    /// How many partitions of a group have another owner than before since a mark, or since the start.
    Moved {
        /// The group.
        group: String,
        /// The mark.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
    },
    /// Members of a group that had partitions and whom rebalances left with none for a time: `["c1", "c2"]`.
    Stopped {
        /// The group.
        group: String,
        /// The mark.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
    },
    /// How long partitions of a group had no owner, added up, in ms.
    StopTime {
        /// The group.
        group: String,
        /// The mark.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
    },
    /// The records of a group in `__consumer_offsets` about offsets, and its end: `["t-0 -> 5", "t-0 -> null", "group
    /// -> null"]`.
    OffsetRecords(String),
    /// Members of a group and what they own: `{"c1": ["orders-0"]}`.
    Members(String),
    /// Lag of a group: one number.
    Lag(String),
    /// How often members of a group finished a record after a later one of its partition: one number.
    Inversions(String),
    /// Delivery counts of each message that members of a share group were given, in order: `{"m0": [1, 2]}`.
    Deliveries(String),
    /// How often a message was given to members of a share group: one number.
    DeliveryCount(String, String),
    /// Start offsets of a share group as `listShareGroupOffsets` finds them: `{"orders-0": 5}`, none where none is set.
    ShareOffsets(String),
    /// The lag of a share group as `listShareGroupOffsets` finds it: `{"orders-0": 5}`, none where it is not known.
    ShareLag(String),
    /// The records of a partition that a share group is not done with, from its start offset up to the end of what was
    /// handed out: `[[offset, id, "ACQUIRED", delivery count]]`.
    RecordStates(String, TopicPartition),
    /// What the last call by hand of a consumer came to: the class of what it threw; an offset; offsets by partition;
    /// none for a call without a result.
    Returned(String),
    /// Outcome of each message of a producer (offset, exception, open): `{"m0": 0, "m1": "TimeoutException"}`.
    Outcomes(String),
    /// How many records in a row a producer put into one partition at least; the last row counts if it is the only one.
    ShortestRun(String),
    /// A replica's log: `[[offset, id, leader epoch]]`.
    Log(Node, TopicPartition),
    /// Every replica's log of a partition: `{"b1": [[offset, id, leader epoch]]}`.
    Logs(TopicPartition),
    /// Every replica's log of a partition, each record with all that its batch says: `{"b1": [[offset, id, leader
    /// epoch,
    /// "P1", producer epoch, sequence, control]]}`; control records are `"COMMIT"` and `"ABORT"`.
    Records(TopicPartition),
    /// Number of the leader, or none.
    Leader(TopicPartition),
    /// Leader epoch.
    LeaderEpoch(TopicPartition),
    /// Replicas in assignment order, during a reassignment those that go last: `[1, 2, 3]`.
    Replicas(TopicPartition),
    /// ISR: `[1, 2, 3]`.
    Isr(TopicPartition),
    /// Eligible leader replicas: `[]`.
    Elr(TopicPartition),
    /// High watermark of a replica.
    HighWatermark(Node, TopicPartition),
    /// Last stable offset of a replica.
    LastStableOffset(Node, TopicPartition),
    /// Log start of a replica.
    LogStart(Node, TopicPartition),
    /// Log end of a replica.
    LogEnd(Node, TopicPartition),
    /// Base offsets of the segments of a replica's log: `[0, 10, 20]`.
    Segments(Node, TopicPartition),
    /// What a fresh reader finds in a topic, by partition: `{"0": [[offset, id]]}`.
    Reads(String),
    /// The same for a fresh reader with `isolation.level=read_committed`.
    ReadsCommitted(String),
    /// Where transactions of a topic begin that no coordinator will end, as `kafka-transactions.sh find-hanging` finds
    /// them: `{"orders-0": [3]}`.
    HangingTransactions(String),
    /// State of a transactional id, or none: `"Ongoing"`.
    TransactionState(String),
    /// Partitions of the transaction of a transactional id that is not complete: `["orders-0"]`.
    TransactionPartitions(String),
    /// The cluster as a recording's snapshot has it: `{"live_brokers": [..], "p0": {..}}` of one topic.
    Snapshot(String),
}

impl Probe {
    /// True when what it finds is a list, or lists by name: it can be counted.
    pub fn is_list(&self) -> bool {
        matches!(
            self,
            Self::Rows(_)
                | Self::Polled(_)
                | Self::Processed(_)
                | Self::Assigned(_)
                | Self::Paused(_)
                | Self::Callbacks(_)
                | Self::Members(_)
                | Self::OffsetRecords(_)
                | Self::RecordStates(..)
                | Self::Outcomes(_)
                | Self::Log(..)
                | Self::Replicas(_)
                | Self::Isr(_)
                | Self::Elr(_)
                | Self::Segments(..)
                | Self::Reads(_)
                | Self::ReadsCommitted(_)
                | Self::TransactionPartitions(_)
                | Self::HangingTransactions(_)
        )
    }
}
