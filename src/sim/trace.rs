//! The trace of a run: every event in order, and a hash of all but the wire.
//!
//! The hash is over a fixed little-endian encoding, so it is the same on every platform. Whoever changes an
//! encoding below bumps [`TRACE_VERSION`] and says so in the changelog.

use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::error::{ErrorCode, Exception};
use crate::base::ids::{
    BatchHandle, BrokerId, EventSeq, Generation, GroupId, LeaderEpoch, MemberId, MessageId, NodeId,
    Offset, PartitionId, ProducerEpoch, TopicId,
};
use crate::base::shared_log::SharedLog;
use crate::event::{Event, EventKind, TopicSetting};

/// The version of the encoding the trace hash is taken over.
pub const TRACE_VERSION: u64 = 1;

/// Where events go. Keeping none or only the hash is for runs by the million.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sink {
    /// Keep every event and the hash.
    #[default]
    Recording,
    /// Keep the hash only.
    Hash,
    /// Keep nothing.
    Null,
}

/// The events of a run so far.
#[derive(Clone, Debug)]
pub struct Trace {
    sink: Sink,
    events: SharedLog<Event>,
    count: u32,
    hash: u64,
}

impl Trace {
    /// An empty trace.
    pub fn new(sink: Sink) -> Self {
        Self { sink, events: SharedLog::default(), count: 0, hash: TRACE_VERSION }
    }

    /// Adds an event and returns its place.
    pub fn record(&mut self, event: Event) -> EventSeq {
        let seq = EventSeq(self.count);
        self.count += 1;
        if self.sink != Sink::Null && !event.kind.is_wire() {
            self.hash = encode(self.hash, &event);
        }
        if self.sink == Sink::Recording {
            self.events.push(event);
        }
        seq
    }

    /// The hash over everything but wire events.
    pub fn hash(&self) -> u64 {
        // Avalanche, so that the last word reaches every bit.
        let mixed = (self.hash ^ (self.hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }

    /// All events kept, in order.
    pub fn events(&self) -> &SharedLog<Event> {
        &self.events
    }

    /// How many events happened, kept or not.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// True before the first event.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A value with a fixed encoding as one word.
trait Word {
    fn word(&self) -> u64;
}

macro_rules! words {
    ($($name:ty: |$value:ident| $word:expr;)*) => {
        $(impl Word for $name {
            fn word(&self) -> u64 {
                let $value = self;
                $word
            }
        })*
    };
}

words! {
    bool: |v| u64::from(*v);
    u16: |v| u64::from(*v);
    u32: |v| u64::from(*v);
    i64: |v| *v as u64;
    MessageId: |v| u64::from(v.0);
    BatchHandle: |v| u64::from(v.0);
    PartitionId: |v| u64::from(v.0);
    GroupId: |v| u64::from(v.0);
    MemberId: |v| u64::from(v.0);
    BrokerId: |v| u64::from(v.0);
    BrokerSet: |v| v.0;
    Offset: |v| v.0 as u64;
    LeaderEpoch: |v| v.0 as u64;
    Generation: |v| v.0 as u64;
    ProducerEpoch: |v| v.0 as u64;
    ErrorCode: |v| name_word(v.name());
    Exception: |v| name_word(v.name());
    crate::event::FaultKind: |v| *v as u64;
    crate::event::CommitKind: |v| *v as u64;
    crate::event::RebalanceCallback: |v| *v as u64;
    i32: |v| *v as u64;
    crate::event::GroupState: |v| match v {
        crate::event::GroupState::Assigning | crate::event::GroupState::Reconciling => name_word(v.name()),
        // As they were numbered before there were more of them.
        crate::event::GroupState::Empty => 0,
        crate::event::GroupState::PreparingRebalance => 1,
        crate::event::GroupState::CompletingRebalance => 2,
        crate::event::GroupState::Stable => 3,
        crate::event::GroupState::Dead => 4,
    };
    crate::base::group_records::MemberState: |v| *v as u64;
    crate::event::LeaveReason: |v| match v {
        crate::event::LeaveReason::Left => 0,
        crate::event::LeaveReason::SessionTimeout => 1,
        crate::event::LeaveReason::RebalanceTimeout => 2,
        crate::event::LeaveReason::PollTimeout => 3,
        crate::event::LeaveReason::Replaced => 4,
        crate::event::LeaveReason::Undone => 5,
    };
    crate::event::PositionReason: |v| *v as u64;
    crate::event::AdminCall: |v| name_word(v.name());
    crate::event::TransactionCall: |v| name_word(v.name());
    crate::base::batch::TransactionState: |v| name_word(v.name());
    crate::base::ids::TransactionalId: |v| u64::from(v.0);
    crate::base::share::RecordState: |v| name_word(v.name());
    crate::base::share::AcknowledgeType: |v| name_word(v.name());
    crate::event::SettleReason: |v| *v as u64;
    TopicId: |v| u64::from(v.0);
    crate::base::tables::TableId: |v| u64::from(v.0);
    crate::base::ids::RegexId: |v| u64::from(v.0);
    ReplicaList: |v| v.as_slice().iter().fold(0, |word, broker| mix(word, u64::from(broker.0)));
    TopicSetting: |v| match v {
        TopicSetting::MinInsyncReplicas(n) => mix(1, u64::from(*n)),
        TopicSetting::UncleanLeaderElection(on) => mix(2, u64::from(*on)),
        TopicSetting::Other => 0,
    };
}

impl<T: Word> Word for Option<T> {
    fn word(&self) -> u64 {
        self.as_ref().map_or(u64::MAX, Word::word)
    }
}

impl Word for NodeId {
    fn word(&self) -> u64 {
        match *self {
            Self::Controller(n) => u64::from(n),
            Self::Broker(id) => 1 << 16 | u64::from(id.0),
            Self::Producer(n) => 2 << 16 | u64::from(n),
            Self::Consumer(n) => 3 << 16 | u64::from(n),
            Self::Script => 4 << 16,
        }
    }
}

/// Names are Kafka's and stay; the order of our enums need not.
fn name_word(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
}

macro_rules! encodings {
    ($($code:literal: $variant:ident { $($field:ident),* };)*) => {
        /// The names of all kinds of events but those of the wire.
        pub const EVENT_NAMES: &[&str] = &[$(stringify!($variant),)*];

        /// To the hash, two kinds with one code would be one.
        const _: () = {
            let codes: &[u64] = &[$($code),*];
            let mut at = 1;
            while at < codes.len() {
                let mut other = 0;
                while other < at {
                    assert!(codes[at] != codes[other], "two kinds of events have the same code");
                    other += 1;
                }
                at += 1;
            }
        };

        /// Mixes one event into the hash: time, node, the code of its kind, its fields in order of declaration.
        fn encode(hash: u64, event: &Event) -> u64 {
            let hash = mix(mix(hash, event.at.0), event.node.word());
            match event.kind {
                $(EventKind::$variant { $($field),* } => {
                    let hash = mix(hash, $code);
                    $(let hash = mix(hash, $field.word());)*
                    hash
                })*
                EventKind::WireSent { .. } | EventKind::WireArrived { .. } | EventKind::WireLost { .. } => hash,
            }
        }
    };
}

encodings! {
    1: Sent { message, partition };
    2: BatchReady { batch, partition };
    3: ProducerIdAssigned { producer_id, epoch };
    4: Acknowledged { batch, partition, base_offset };
    5: BatchFailed { batch, partition, exception };
    6: SendFailed { message, exception };
    7: Retry { batch, partition, error, replaces };
    8: Appended { partition, batch, base_offset, leader_epoch };
    9: Deduplicated { partition, batch, base_offset };
    10: AppendRefused { partition, batch, error };
    11: HighWatermark { partition, offset };
    12: LogStart { partition, offset };
    13: Truncated { partition, to, epoch };
    14: Flushed { partition, offset };
    15: BecameLeader { partition, leader_epoch, end };
    16: BecameFollower { partition, leader, leader_epoch };
    17: IsrProposed { partition, isr };
    18: BrokerRegistered { broker, epoch };
    19: BrokerUnfenced { broker };
    20: BrokerFenced { broker };
    21: PartitionChanged { partition, leader, leader_epoch, isr, elr };
    22: PollCalled {};
    23: PollEmpty {};
    24: Polled { partition, batch, base_offset, first, count };
    25: Processed { partition, batch, base_offset, first, count };
    26: PositionSet { partition, offset, reason };
    27: CommitSent { partition, offset, kind };
    28: CommitAnswered { partition, offset, kind, exception };
    29: Callback { callback, count };
    30: CallbackPartition { callback, partition };
    31: Threw { exception };
    32: Closed {};
    33: GroupChanged { group, state, generation };
    34: MemberJoined { group, member, leader };
    35: MemberLeft { group, member, reason };
    36: MemberAssigned { group, member, partition };
    37: OffsetCommitted { group, partition, offset };
    38: CoordinatorLoaded { group };
    39: Fault { kind };
    40: Step { step };
    41: Question { question };
    42: Observed { observation };
    43: Quiesced {};
    44: Stuck {};
    45: Ended {};
    46: ControllerElected { epoch };
    47: ControllerResigned { epoch };
    48: MetadataAppended { epoch, end };
    49: MetadataTruncated { to };
    50: MetadataCommitted { epoch, offset };
    51: MetadataApplied { epoch, offset };
    60: ReplicaDeleted { partition };
    61: ReplicasChanged { partition, replicas, in_progress };
    62: TopicConfigured { topic, setting };
    63: AdminCalled { call, exception };
    64: IsrKnown { partition, isr };
    70: TransactionCalled { call, exception };
    71: LastStableOffset { partition, offset };
    72: TransactionChanged { id, state, producer_id, epoch };
    73: TransactionPartition { id, partition };
    74: TransactionLoaded { id };
    75: OffsetPending { group, partition, offset, producer_id };
    76: PendingDropped { group, producer_id };
    80: ConsumerGroupChanged { group, state, epoch };
    81: TargetComputed { group, epoch };
    82: MemberTarget { group, member, partition };
    83: MemberEpoch { group, member, epoch, state };
    84: MemberReleased { group, member, partition };
    85: RegexResolved { group, regex, topics };
    90: SharePartitionLoaded { group, partition, start };
    91: RecordsAcquired { group, partition, member, first, count, delivery };
    92: RecordsSettled { group, partition, first, count, state, reason };
    93: LockRenewed { group, partition, member, first, count };
    94: ShareStart { group, partition, offset };
    95: ShareAssigned { group, member, partition };
    100: ShareRevoked { group, member, partition };
    101: ShareReset { group, partition, start };
    96: Delivered { partition, batch, base_offset, first, count, delivery };
    97: AcknowledgeCalled { partition, first, count, kind };
    98: AcknowledgeSent { partition, first, count, kind };
    99: AcknowledgeAnswered { partition, first, count, exception };
    110: SegmentRolled { partition, base_offset };
    111: SegmentDeleted { partition, base_offset, end };
    112: BatchCompacted { partition, base_offset, batch };
    113: SegmentMerged { partition, base_offset };
    114: LogCleaned { partition, to };
    115: OffsetRemoved { group, partition };
    120: RowsInserted { table, partition, batch, base_offset, first, count, once };
    121: OffsetKept { table, partition, offset };
    122: PositionPassed { partition, offset };
}
