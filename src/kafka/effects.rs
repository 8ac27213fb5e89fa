//! What a machine may do besides changing itself: send, answer, set a timer, say what happened, draw luck.
//! One value is reused for every step of a run.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::base::batch::{BatchTable, Subscribed};
use crate::base::chooser::{ChoicePoint, Chooser};
use crate::base::config::Defect;
use crate::base::ids::{NodeId, PartitionId, TopicId};
use crate::base::names::Names;
use crate::base::share::ShareStateBatch;
use crate::base::tables::Tables;
use crate::base::time::Time;
use crate::event::EventKind;
use crate::kafka::api::{
    AbortedTransaction, AcknowledgementBatch, AcquiredRecords, FetchPartition, FetchResult,
    FetchedSlice, HeartbeatField, IsrChange, IsrResult, ListOffsetsPartition, ListOffsetsResult,
    MemberPartition, MemberRow, Message, MetadataRecord, PartitionMetadata, PartitionOffset,
    ProduceBatch, ProduceResult, ShareAcknowledgeResult, ShareFetchParams, ShareFetchResult,
    TxnMarker, TxnMarkerResult,
};

/// What comes to a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// The process starts with the disk it has.
    Start,
    /// A request arrived. Answer it with [`Effects::reply`] (now or later, exactly once, unless it wants no answer).
    Request {
        /// Who asks, and on which connection.
        token: Token,
        /// What.
        message: Message,
    },
    /// The answer to an own request arrived.
    Response {
        /// Who answers.
        from: NodeId,
        /// The id that [`Effects::request`] returned.
        correlation: u32,
        /// What.
        message: Message,
    },
    /// A timer set by this machine ran out.
    Timeout(Timer),
    /// The connection this machine had opened to `peer` is closed (or could not be opened). Requests on it that were
    /// not answered never will be; in the order they were sent is for the machine to know.
    Disconnected {
        /// The other end.
        peer: NodeId,
    },
    /// A connection that `peer` had opened to this machine is closed: what it asked needs no answer any more.
    PeerGone {
        /// The other end.
        peer: NodeId,
    },
}

/// Where an answer goes. Opaque to machines but for `from`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Token {
    /// Who asked.
    pub from: NodeId,
    /// The asker's id of the request.
    pub correlation: u32,
    /// Which of the connections the two ever had.
    pub connection: u32,
}

/// A timer of one machine. Setting it again moves it; there is one of each (kind, number).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timer {
    /// What for.
    pub kind: TimerKind,
    /// Which one, where a machine has several: a broker it fetches from, a group, a partition.
    pub number: u16,
}

/// What timers are for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[rustfmt::skip]
pub enum TimerKind {
    // broker
    /// Next `BrokerHeartbeat` or registration attempt.
    BrokerHeartbeat,
    /// The observer of the metadata log has something to do: a time-out or a pause ends.
    MetadataFetch,
    /// The ISR scan, every `replica.lag.time.max.ms` / 2.
    IsrScan,
    /// The look at dirty logs, every `log.flush.scheduler.interval.ms`.
    LogFlush,
    /// The look for old segments, every `log.retention.check.interval.ms`.
    LogRetention,
    /// The log cleaner has slept for `log.cleaner.backoff.ms`.
    LogCleaner,
    /// The earliest expiry of a delayed produce.
    DelayedProduce,
    /// The earliest expiry of a delayed fetch.
    DelayedFetch,
    /// Back-off of the fetcher from broker `number`.
    FetcherBackoff,
    /// Request time-out of the fetcher from broker `number`.
    FetcherTimeout,
    /// Retry of AlterPartition.
    AlterPartitionRetry,
    /// The earliest acquisition lock of a share partition ends.
    ShareLock,
    /// The earliest expiry of a delayed share fetch.
    DelayedShareFetch,
    /// A request of the broker's own to another broker, about share groups, is due again or has no answer.
    ShareRequest,
    // group coordinator: number is the group
    /// The join phase of a group ends.
    GroupJoin,
    /// The sync phase of a group ends.
    GroupSync,
    /// The earliest member session of a group ends.
    GroupSession,
    /// The look for expired offsets; number is the partition of `__consumer_offsets`.
    OffsetsExpiry,
    /// The earliest commit that waits for replication expires.
    GroupCommit,
    /// The earliest session of a member of a share group ends.
    ShareSession,
    // controller
    /// The earliest broker session ends.
    BrokerSession,
    /// `leader.imbalance.check.interval.seconds` are over.
    LeaderImbalance,
    /// `unclean.leader.election.interval.ms` is over.
    UncleanElection,
    /// The raft client of a controller has something to do: a long poll, an election or a pause ends.
    Raft,
    // clients
    /// The sender has something to do: linger over, back-off over, expiry.
    Sender,
    /// The earliest request of a client times out.
    RequestTimeout,
    /// A client may connect to broker `number` again.
    Reconnect,
    /// Metadata is old, or to be asked for again.
    MetadataRefresh,
    /// A blocked call (`send`, `poll`, `commitSync`, `close`) ends.
    Call,
    /// The consumer's heartbeat thread.
    HeartbeatThread,
    /// A retry of a coordinator request.
    CoordinatorRetry,
    /// `max.poll.interval.ms`.
    PollInterval,
    // transaction coordinator
    /// The earliest record of a transaction that waits for replication expires.
    TransactionWrite,
    /// The look for timed-out transactions, every `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    TransactionAbort,
    /// The look for expired transactional ids.
    TransactionalIdExpiration,
    /// Markers are to be sent again, or a request with some is without an answer.
    TransactionMarkers,
    /// Requests of a leader to the coordinators of transactions are to be sent again, or time out.
    AddPartitionsToTxn,
    // applications
    /// A step of an application's loop is over.
    Work,
}

/// A list inside a message, kept in [`Pools`].
#[derive(Debug)]
pub struct List<T> {
    slot: u32,
    item: PhantomData<fn() -> T>,
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for List<T> {}
impl<T> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        self.slot == other.slot
    }
}
impl<T> Eq for List<T> {}

impl<T> List<T> {
    /// The list without elements; needs no place in a pool.
    pub const EMPTY: Self = Self { slot: u32::MAX, item: PhantomData };
}

/// Lists of one element type; freed slots keep their capacity, so steady traffic allocates nothing.
#[derive(Clone, Debug)]
pub struct Pool<T> {
    lists: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { lists: Vec::new(), free: Vec::new() }
    }
}

impl<T: Copy> Pool<T> {
    /// Keeps a copy of `items`.
    pub fn add(&mut self, items: &[T]) -> List<T> {
        if items.is_empty() {
            return List::EMPTY;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.lists.push(Vec::new());
            self.lists.len() as u32 - 1
        });
        self.lists[slot as usize].extend_from_slice(items);
        List { slot, item: PhantomData }
    }

    /// The elements of `list`.
    pub fn get(&self, list: List<T>) -> &[T] {
        self.lists.get(list.slot as usize).map_or(&[], Vec::as_slice)
    }

    /// Gives the list's place back.
    pub fn free(&mut self, list: List<T>) {
        if list != List::EMPTY {
            self.lists[list.slot as usize].clear();
            self.free.push(list.slot);
        }
    }
}

/// An element type that messages carry lists of.
pub trait Pooled: Copy {
    /// Its pool.
    fn pool(pools: &Pools) -> &Pool<Self>;
    /// Its pool, to change.
    fn pool_mut(pools: &mut Pools) -> &mut Pool<Self>;
}

macro_rules! pools {
    ($($(#[$doc:meta])* $field:ident: $item:ty;)*) => {
        /// The lists inside all messages on their way.
        #[derive(Clone, Default, Debug)]
        pub struct Pools {
            $($field: Pool<$item>,)*
        }
        $(impl Pooled for $item {
            fn pool(pools: &Pools) -> &Pool<Self> {
                &pools.$field
            }
            fn pool_mut(pools: &mut Pools) -> &mut Pool<Self> {
                &mut pools.$field
            }
        })*
    };
}

pools! {
    partition_metadata: PartitionMetadata;
    produce_batches: ProduceBatch;
    produce_results: ProduceResult;
    fetch_partitions: FetchPartition;
    fetch_results: FetchResult;
    fetched_slices: FetchedSlice;
    list_offsets: ListOffsetsPartition;
    list_offsets_results: ListOffsetsResult;
    member_rows: MemberRow;
    member_partitions: MemberPartition;
    heartbeat_fields: HeartbeatField;
    partition_offsets: PartitionOffset;
    partitions: PartitionId;
    subscriptions: Subscribed;
    isr_changes: IsrChange;
    isr_results: IsrResult;
    metadata_records: MetadataRecord;
    aborted_transactions: AbortedTransaction;
    txn_markers: TxnMarker;
    txn_marker_results: TxnMarkerResult;
    topics: TopicId;
    share_fetch_params: ShareFetchParams;
    acknowledgement_batches: AcknowledgementBatch;
    acquired_records: AcquiredRecords;
    share_fetch_results: ShareFetchResult;
    share_acknowledge_results: ShareAcknowledgeResult;
    share_state_batches: ShareStateBatch;
}

impl Pools {
    /// Keeps a copy of `items`.
    pub fn add<T: Pooled>(&mut self, items: &[T]) -> List<T> {
        T::pool_mut(self).add(items)
    }

    /// The elements of `list`.
    pub fn get<T: Pooled>(&self, list: List<T>) -> &[T] {
        T::pool(self).get(list)
    }

    /// Copies of the lists of `message`, for a duplicate of it on the wire.
    pub fn duplicate(&mut self, message: Message) -> Message {
        fn copy<T: Pooled>(pools: &mut Pools, list: &mut List<T>) {
            let items = pools.get(*list).to_vec();
            *list = pools.add(&items);
        }
        let mut message = message;
        match &mut message {
            Message::MetadataResponse { partitions, .. } => copy(self, partitions),
            Message::Produce { batches, .. } => copy(self, batches),
            Message::ProduceResponse { results } => copy(self, results),
            Message::Fetch { partitions, .. } => copy(self, partitions),
            Message::FetchResponse { results, slices, aborted } => {
                copy(self, results);
                copy(self, slices);
                copy(self, aborted);
            }
            Message::ListOffsets { partitions, .. } => copy(self, partitions),
            Message::ListOffsetsResponse { results } => copy(self, results),
            Message::JoinGroup { subscription, .. } => copy(self, subscription),
            Message::JoinGroupResponse { members, .. } => copy(self, members),
            Message::SyncGroup { assignment, .. } => copy(self, assignment),
            Message::SyncGroupResponse { assignment, .. } => copy(self, assignment),
            Message::OffsetCommit { offsets, .. }
            | Message::TxnOffsetCommit { offsets, .. }
            | Message::OffsetFetchResponse { offsets, .. } => copy(self, offsets),
            Message::OffsetFetch { partitions, .. }
            | Message::AddPartitionsToTxn { partitions, .. }
            | Message::ShareGroupHeartbeatResponse { partitions, .. }
            | Message::ConsumerGroupHeartbeatResponse { assignment: Some(partitions), .. } => {
                copy(self, partitions);
            }
            Message::ConsumerGroupHeartbeat { says, .. } => copy(self, says),
            Message::WriteTxnMarkers { markers } => copy(self, markers),
            Message::WriteTxnMarkersResponse { results } => copy(self, results),
            Message::ShareGroupHeartbeat { topics, .. } => copy(self, topics),
            Message::ShareFetch { params, partitions, acknowledgements, .. } => {
                copy(self, params);
                copy(self, partitions);
                copy(self, acknowledgements);
            }
            Message::ShareFetchResponse { results, slices, acquired, .. } => {
                copy(self, results);
                copy(self, slices);
                copy(self, acquired);
            }
            Message::ShareAcknowledge { acknowledgements, .. } => copy(self, acknowledgements),
            Message::ShareAcknowledgeResponse { results, .. } => copy(self, results),
            Message::ReadShareGroupStateResponse { batches, .. }
            | Message::WriteShareGroupState { batches, .. } => copy(self, batches),
            Message::AlterPartition { changes, .. } => copy(self, changes),
            Message::AlterPartitionResponse { results, .. } => copy(self, results),
            Message::MetadataFetchResponse { records, .. } => copy(self, records),
            _ => {}
        }
        message
    }

    /// Frees the lists of `message`, which was handled or will never be.
    pub fn free(&mut self, message: Message) {
        fn give<T: Pooled>(pools: &mut Pools, list: List<T>) {
            T::pool_mut(pools).free(list);
        }
        match message {
            Message::MetadataResponse { partitions, .. } => give(self, partitions),
            Message::Produce { batches, .. } => give(self, batches),
            Message::ProduceResponse { results } => give(self, results),
            Message::Fetch { partitions, .. } => give(self, partitions),
            Message::FetchResponse { results, slices, aborted } => {
                give(self, results);
                give(self, slices);
                give(self, aborted);
            }
            Message::ListOffsets { partitions, .. } => give(self, partitions),
            Message::ListOffsetsResponse { results } => give(self, results),
            Message::JoinGroup { subscription, .. } => give(self, subscription),
            Message::JoinGroupResponse { members, .. } => give(self, members),
            Message::SyncGroup { assignment, .. } => give(self, assignment),
            Message::SyncGroupResponse { assignment, .. } => give(self, assignment),
            Message::OffsetCommit { offsets, .. }
            | Message::TxnOffsetCommit { offsets, .. }
            | Message::OffsetFetchResponse { offsets, .. } => give(self, offsets),
            Message::OffsetFetch { partitions, .. }
            | Message::AddPartitionsToTxn { partitions, .. }
            | Message::ShareGroupHeartbeatResponse { partitions, .. }
            | Message::ConsumerGroupHeartbeatResponse { assignment: Some(partitions), .. } => {
                give(self, partitions);
            }
            Message::ConsumerGroupHeartbeat { says, .. } => give(self, says),
            Message::WriteTxnMarkers { markers } => give(self, markers),
            Message::WriteTxnMarkersResponse { results } => give(self, results),
            Message::ShareGroupHeartbeat { topics, .. } => give(self, topics),
            Message::ShareFetch { params, partitions, acknowledgements, .. } => {
                give(self, params);
                give(self, partitions);
                give(self, acknowledgements);
            }
            Message::ShareFetchResponse { results, slices, acquired, .. } => {
                give(self, results);
                give(self, slices);
                give(self, acquired);
            }
            Message::ShareAcknowledge { acknowledgements, .. } => give(self, acknowledgements),
            Message::ShareAcknowledgeResponse { results, .. } => give(self, results),
            Message::ReadShareGroupStateResponse { batches, .. }
            | Message::WriteShareGroupState { batches, .. } => give(self, batches),
            Message::AlterPartition { changes, .. } => give(self, changes),
            Message::AlterPartitionResponse { results, .. } => give(self, results),
            Message::MetadataFetchResponse { records, .. } => give(self, records),
            _ => {}
        }
    }
}

/// One thing a machine wants done, in the order it wanted it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a request; a connection is opened where there is none.
    Request {
        /// To whom.
        to: NodeId,
        /// The machine's id of it.
        correlation: u32,
        /// What.
        message: Message,
    },
    /// Answer a request.
    Reply {
        /// Which one.
        token: Token,
        /// With what.
        message: Message,
    },
    /// Close the connection this machine opened to `peer`: late answers on it are lost. What is already in the
    /// peer's socket is still handled there.
    Disconnect {
        /// The other end.
        peer: NodeId,
    },
    /// Close the connection `token` came on, from the answering side.
    Hangup {
        /// A request of that connection.
        token: Token,
    },
    /// Set a timer (again).
    SetTimer(Timer, Time),
    /// Forget a timer.
    CancelTimer(Timer),
    /// Say what happened.
    Event(EventKind),
    /// The process ends by itself: an orderly shutdown is complete.
    Exit,
    /// What follows is another client's of the same process.
    ActAs(NodeId),
    /// The application gives this client of its own up and makes another with the same settings.
    Relaunch(NodeId),
}

/// The reused list of effects of one step, with what a machine may read and draw from.
#[derive(Clone, Debug)]
pub struct Effects {
    /// What the machine wants, in order; drained by the simulation after each step.
    pub list: Vec<Effect>,
    /// Lists of messages.
    pub pools: Pools,
    /// All batches of the run.
    pub batches: BatchTable,
    /// Which topics and partitions exist.
    pub names: Arc<Names>,
    /// What applications keep outside of Kafka.
    pub tables: Tables,
    /// The bug planted by a test, if any.
    #[doc(hidden)]
    pub defect: Defect,
    chooser: Chooser,
    next_correlation: u32,
    /// How far the commits of the metadata log have been told as events.
    metadata_told: i64,
}

impl Effects {
    /// For a run with these names and this luck.
    pub fn new(names: Arc<Names>, chooser: Chooser) -> Self {
        Self {
            list: Vec::new(),
            pools: Pools::default(),
            batches: BatchTable::default(),
            names,
            tables: Tables::default(),
            defect: Defect::None,
            chooser,
            next_correlation: 0,
            metadata_told: 0,
        }
    }

    /// Sends a request and returns its correlation id, unique in the run.
    pub fn request(&mut self, to: NodeId, message: Message) -> u32 {
        self.next_correlation += 1;
        let correlation = self.next_correlation;
        self.list.push(Effect::Request { to, correlation, message });
        correlation
    }

    /// Answers a request.
    pub fn reply(&mut self, token: Token, message: Message) {
        self.list.push(Effect::Reply { token, message });
    }

    /// Closes the own connection to `peer`.
    pub fn disconnect(&mut self, peer: NodeId) {
        self.list.push(Effect::Disconnect { peer });
    }

    /// Closes the connection a request came on (Kafka's brokers do so when an `acks=0` append fails).
    pub fn hang_up(&mut self, token: Token) {
        self.list.push(Effect::Hangup { token });
    }

    /// Sets (or moves) a timer.
    pub fn set_timer(&mut self, kind: TimerKind, number: u16, at: Time) {
        self.list.push(Effect::SetTimer(Timer { kind, number }, at));
    }

    /// Forgets a timer.
    pub fn cancel_timer(&mut self, kind: TimerKind, number: u16) {
        self.list.push(Effect::CancelTimer(Timer { kind, number }));
    }

    /// Says what happened.
    pub fn event(&mut self, kind: EventKind) {
        self.list.push(Effect::Event(kind));
    }

    /// Ends the process.
    pub fn exit(&mut self) {
        self.list.push(Effect::Exit);
    }

    /// What follows is another client's of the same process, until this is said again.
    pub fn act_as(&mut self, client: NodeId) {
        self.list.push(Effect::ActAs(client));
    }

    /// Another client takes the place of this one of the same process.
    pub fn relaunch(&mut self, client: NodeId) {
        self.list.push(Effect::Relaunch(client));
    }

    /// Keeps a copy of `items` for a message.
    pub fn keep<T: Pooled>(&mut self, items: &[T]) -> List<T> {
        self.pools.add(items)
    }

    /// A number in `0..options` of the client's own luck.
    pub fn choose(&mut self, options: u64) -> u64 {
        self.chooser.below(ChoicePoint::Client, options)
    }

    /// A number in `0..options` for the elections of controllers.
    pub fn choose_for_quorum(&mut self, options: u64) -> u64 {
        self.chooser.below(ChoicePoint::Quorum, options)
    }

    /// True for the first controller that learns that the metadata below `offset` is committed. Each of them learns
    /// it, and what follows from a record is told once.
    pub(crate) fn tells_committed(&mut self, offset: i64) -> bool {
        let first = offset > self.metadata_told;
        self.metadata_told = self.metadata_told.max(offset);
        first
    }

    /// The luck of the run, for the layer that owns it.
    pub fn chooser(&mut self) -> &mut Chooser {
        &mut self.chooser
    }
}
