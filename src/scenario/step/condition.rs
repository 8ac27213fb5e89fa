//! What a script can wait for.

use serde::{Deserialize, Serialize};

use crate::scenario::step::Node;
use crate::scenario::value::TopicPartition;

/// How a transaction ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Marker {
    /// `COMMIT`.
    Commit,
    /// `ABORT`.
    Abort,
}

/// What a script can wait for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Condition {
    /// Every broker is registered and every partition led with a full ISR. Each script begins with it.
    Ready,
    /// Every record this producer sent is acknowledged or failed, and nothing of it is still to be sent.
    Completed(String),
    /// These messages are acknowledged.
    Acked(Vec<String>),
    /// These messages failed.
    Failed(Vec<String>),
    /// The controller's leader of the partition is a process that is running.
    LeaderElected(String, u32),
    /// This broker is the controller's leader.
    LeaderIs(String, u32, Node),
    /// The partition has no leader.
    NoLeader(String, u32),
    /// The ISR is exactly these brokers.
    Isr(String, u32, Vec<u8>),
    /// A controller is active.
    ControllerElected,
    /// This controller is the active one.
    ControllerIs(Node),
    /// No controller is active.
    NoController,
    /// The controller has fenced this broker.
    Fenced(Node),
    /// The controller has this broker as live.
    Unfenced(Node),
    /// The process is down.
    Down(Node),
    /// A replica's log holds this message.
    Stored(Node, String),
    /// A replica's log ends at least here.
    LogEnd(Node, TopicPartition, i64),
    /// A replica's log starts here or later.
    LogStart(Node, TopicPartition, i64),
    /// The leader's high watermark is at least here.
    HighWatermark(String, u32, i64),
    /// The leader's log holds so many markers of this kind.
    Markers(String, u32, Marker, u64),
    /// The leader's last stable offset is at least here.
    LastStableOffset(String, u32, i64),
    /// The transactional id is in this state: `"Ongoing"`, `"CompleteAbort"`, …
    Transaction(String, String),
    /// The group is in this state: `"Stable"`, `"Empty"`, …
    Group(String, String),
    /// The group is `Stable` with so many members.
    Members(String, u32),
    /// The consumer has at least one partition.
    Assigned(String),
    /// The consumer has exactly these partitions.
    Owns(String, Vec<TopicPartition>),
    /// The committed offset of a group is at least here.
    Committed(String, TopicPartition, i64),
    /// `poll()` returned so many records to this consumer since it started.
    Polled(String, u64),
    /// The application of this consumer finished so many records since it started.
    Processed(String, u64),
    /// The group has committed everything that can be read: its lag is 0.
    CaughtUp(String),
    /// A rule holds at least so many messages.
    Held(String, u32),
    /// A rule has acted on at least so many messages.
    Hits(String, u32),
    /// Nothing is in motion: what `Quiesce` waits for.
    Settled,
    /// All of these.
    All(Vec<Self>),
    /// One of these.
    Any(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
}
