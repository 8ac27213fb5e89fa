//! What applications do around Kafka's clients. A process is its client and its application: they die as one.
//!
//! [`ConsumerProcess`] is a consumer with a loop of [`LoopStep`]s, or one whose calls a script makes by hand. Where
//! `Commit` stands before or after `Work` *is* the difference between at-most-once and at-least-once. With an
//! [`Outlet`] it has a producer too and passes on what it reads.

mod client;
#[cfg(test)]
mod consumer_tests;
mod database;
#[cfg(test)]
mod loop_tests;
mod outlet;
mod process;
#[cfg(test)]
mod tests;
mod unfinished;
mod workers;

use crate::base::error::Exception;
use crate::base::ids::{MessageId, Offset, PartitionId, RegexId, TopicId};
use crate::base::share::AcknowledgeType;
use crate::base::tables::{Insert, TableId};
use crate::base::time::Duration;
use crate::kafka::api::PartitionOffset;
use crate::kafka::consumer::{ConsumerCall, PolledSlice};

pub use client::Client;
pub use outlet::Outlet;
pub use process::ConsumerProcess;

/// What the application reads; it says so when it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subscription {
    /// `subscribe(topics)`. Empty: a script will say it.
    Topics(Vec<TopicId>),
    /// `subscribe(Pattern)`: these topics fit.
    Pattern(Vec<TopicId>),
    /// `subscribe(SubscriptionPattern)`, and the topics that fit.
    Regex(RegexId, Vec<TopicId>),
    /// `assign(partitions)`.
    Partitions(Vec<PartitionId>),
}

/// `commitSync` or `commitAsync`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CommitMode {
    /// `commitSync`: waits for the answer. An exception is noted and the loop goes on.
    Sync,
    /// `commitAsync`.
    Async,
}

/// What the application's rebalance listener does in `onPartitionsRevoked` (and so in `onPartitionsLost`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OnRevoked {
    /// Commits everything `poll()` has returned, processed or not.
    Commit(CommitMode),
    /// Commits, a partition, the lowest offset whose record is not processed, when that has changed.
    CommitFinished(CommitMode),
}

/// One step of an application's loop. The steps run in order, again and again; each works on the batch the last `Poll`
/// of the round returned, and does nothing when that was empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LoopStep {
    /// `poll()` with this time-out, at least 1 ms. [`LoopStep::POLL`] is what an idle loop should use. An exception
    /// ends the loop: `close()`, and the process exits.
    Poll(Duration),
    /// Works on the records one after the other, so long each; a record is processed when its work is over.
    Work(Duration),
    /// Works on all of them at once; they are processed together when it is over.
    WorkBatch(Duration),
    /// As `Work`, with a `commitSync` of the next offset after each record.
    WorkAndCommitEach(Duration),
    /// Puts the batch into the queue of `workers` threads and goes on. Each takes the oldest record, `work` long.
    HandOff {
        /// How many threads, at least 1.
        workers: u16,
        /// How long a record takes one of them.
        work: Duration,
    },
    /// Commits everything `poll()` has returned, processed or not.
    Commit(CommitMode),
    /// Commits, a partition, the lowest offset whose record is not processed, when that has changed.
    CommitFinished(CommitMode),
    /// Commits the offset of the last record of the batch in place of the next one: the classic mistake.
    CommitLast(CommitMode),
    /// As `Work`, and says of each record that it is accepted: a share consumer with explicit acknowledgement.
    WorkAndAcknowledgeEach(Duration),
    /// From now on this message cannot be processed: [`LoopStep::WorkAndAcknowledgeEach`] says something else of it.
    CannotProcess {
        /// Which.
        message: MessageId,
        /// What is said of it.
        then: AcknowledgeType,
    },
    /// Says this of every record of the batch of which nothing was said, with explicit acknowledgement.
    Acknowledge(AcknowledgeType),
    /// Waits.
    Pause(Duration),
    /// `send()` of one output a record of the batch, by the process's own producer.
    Produce(TopicId),
    /// `flush()` of that producer. When a record has failed since the batch was produced, the round ends here and the
    /// application goes back to the committed offsets.
    Flush,
    /// `beginTransaction()`.
    BeginTransaction,
    /// `sendOffsetsToTransaction()` of the positions behind the batch, with the consumer's `groupMetadata()`.
    SendOffsets,
    /// `commitTransaction()`.
    CommitTransaction,
    /// One row a record of the batch into a table of a database. An application that keeps its offsets there goes back
    /// to them wherever another one goes back to the committed ones; its partitions are assigned by hand.
    Insert(TableId, Insert),
}

impl LoopStep {
    /// `poll()` with the time-out that fetches of an idle consumer have anyway.
    pub const POLL: Self = Self::Poll(Duration::from_millis(500));
}

/// A call of the application that a script makes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HandCall {
    /// `poll(timeout)`, again and again until so many records came in all or it threw. 0: one call.
    Poll {
        /// Of each call.
        timeout: Duration,
        /// How many records in all.
        records: u32,
        /// No further call once so much time has passed since the first.
        within: Option<Duration>,
    },
    /// The application finishes the next `count` records it was given, oldest first; `None`: all.
    Process {
        /// How many.
        count: Option<u32>,
    },
    /// The application gives up the next `count` records it was given, oldest first; `None`: all.
    GiveUp {
        /// How many.
        count: Option<u32>,
    },
    /// Any other call.
    Consumer(ConsumerCall),
}

/// What the last call by hand came to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HandReturn {
    /// `poll()`: the records of all its calls.
    pub polled: Vec<PolledSlice>,
    /// `committed()` ([`Offset::NONE`]: nothing is) or `position()`.
    pub offset: Option<Offset>,
    /// `beginningOffsets()` or `endOffsets()`.
    pub offsets: Option<Vec<PartitionOffset>>,
    /// `commitSync()` of a share consumer: whether the acknowledgements count, by partition.
    pub acknowledged: Option<Vec<(PartitionId, Option<Exception>)>>,
    /// What it threw.
    pub exception: Option<Exception>,
}
