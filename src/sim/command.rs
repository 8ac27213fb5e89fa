//! What a script, a person or an explorer can do to a running simulation from outside: faults, the wire, and the
//! calls applications make. Faults live in the environment, never in a machine.

use crate::app::HandCall;
use crate::base::error::ErrorCode;
use crate::base::ids::{BrokerId, GroupId, MessageId, NodeId, Offset, PartitionId, TopicId};
use crate::base::time::Duration;
use crate::event::{Api, FaultKind, TransactionCall, WireLabel};
use crate::kafka::api::PartitionOffset;
use crate::kafka::controller::admin::AdminRequest;
use crate::kafka::group::expiry::GroupCall;
use crate::kafka::producer::{GroupOffsets, SendRequest};

/// One act from outside, at the current virtual time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// A process fault, or its healing: kill, power loss, freeze, thaw, stop, start. One that makes no sense in the
    /// node's present state (start a running broker) does nothing.
    Fault {
        /// The process.
        node: NodeId,
        /// What happens to it.
        kind: FaultKind,
    },
    /// The disk of a stopped broker is emptied.
    Wipe {
        /// Whose.
        broker: BrokerId,
        /// True when the directory keeps its `directory.id`.
        keep_directory: bool,
    },
    /// The tail of one log of a stopped broker is cut off.
    CutLog {
        /// Whose.
        broker: BrokerId,
        /// Which log.
        partition: PartitionId,
        /// How much.
        cut: LogCut,
    },
    /// The directory of one partition on a stopped broker is deleted.
    DeleteLog {
        /// Whose.
        broker: BrokerId,
        /// Which log.
        partition: PartitionId,
    },
    /// Nothing passes between the two sides any more, in either direction.
    CutOff {
        /// One side.
        left: Vec<NodeId>,
        /// The other.
        right: Vec<NodeId>,
    },
    /// Every cut is healed; what TCP would have kept sending again arrives.
    HealNetwork,
    /// A rule on messages starts. A rule of the same name is replaced.
    AddRule {
        /// Its name.
        name: u16,
        /// What it does to which messages.
        rule: WireRule,
    },
    /// Messages held by a rule go on; the rule itself stays.
    Release {
        /// The rule.
        name: u16,
    },
    /// A rule ends; what it holds goes on.
    RemoveRule {
        /// The rule.
        name: u16,
    },
    /// The application of a producer calls `send()`.
    Send {
        /// Which producer.
        producer: u16,
        /// The record.
        request: SendRequest,
    },
    /// `flush()`.
    Flush {
        /// Which producer.
        producer: u16,
    },
    /// `close()`, or `close(timeout)`.
    CloseProducer {
        /// Which producer.
        producer: u16,
        /// How long it may take.
        timeout: Option<Duration>,
    },
    /// The application of a producer makes a call of a transactional producer.
    Transact {
        /// Which producer.
        producer: u16,
        /// The call.
        call: TransactionCall,
        /// What `sendOffsetsToTransaction()` is given.
        offsets: Option<GroupOffsets>,
    },
    /// An administrator's call.
    Administer {
        /// The call.
        request: AdminRequest,
    },
    /// An administrator's `deleteRecords` of one partition.
    DeleteRecords {
        /// Which partition.
        partition: PartitionId,
        /// The log start afterwards; [`Offset::NONE`]: the high watermark.
        before: Offset,
    },
    /// An administrator's `abortTransaction` in one partition.
    AbortTransaction {
        /// Which partition.
        partition: PartitionId,
        /// Where the transaction begins; `None`: the first that is open.
        start: Option<Offset>,
    },
    /// An administrator's call about a group.
    AdministerGroup {
        /// Which group.
        group: GroupId,
        /// The call.
        call: GroupCall,
    },
    /// `kafka-consumer-groups.sh --reset-offsets --execute`.
    ResetOffsets {
        /// Of which group.
        group: GroupId,
        /// Of which partitions.
        partitions: Vec<PartitionId>,
        /// Where to.
        to: ResetTo,
    },
    /// An administrator's call about a share group.
    AdministerShareGroup {
        /// Which group.
        group: GroupId,
        /// The call.
        call: ShareCall,
    },
    /// A call of a consumer's application, by hand.
    Consumer {
        /// Which consumer.
        consumer: u16,
        /// The call.
        call: HandCall,
    },
}

/// What an administrator asks of a share group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ShareCall {
    /// `alterShareGroupOffsets`.
    Alter {
        /// The start offsets from now on.
        offsets: Vec<PartitionOffset>,
        /// It names other partitions too, which do not exist.
        some_unknown: bool,
    },
    /// `deleteShareGroupOffsets`.
    Delete {
        /// Of which topics.
        topics: Vec<TopicId>,
        /// It names other topics too, which do not exist.
        some_unknown: bool,
    },
    /// `kafka-share-groups.sh --reset-offsets --execute`.
    Reset {
        /// Of which partitions.
        partitions: Vec<PartitionId>,
        /// Where to.
        to: ResetTo,
    },
}

/// Where offsets are reset to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResetTo {
    /// The log start.
    Earliest,
    /// The high watermark.
    Latest,
    /// What is committed; the high watermark where nothing is.
    Current,
    /// This offset.
    Offset(Offset),
    /// So many records on, or back.
    ShiftBy(i64),
    /// The first record stamped then or later, in milliseconds since 1970; the high watermark without one.
    Since(i64),
}

/// How much of a log's tail is cut off. Batches go as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogCut {
    /// At least so many records.
    Records(u32),
    /// Everything from this offset on.
    To(Offset),
}

/// Messages to act on, and what to do with them. A criterion that is `None` matches everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireRule {
    /// Only this API.
    pub api: Option<Api>,
    /// Only requests (`false`) or only answers (`true`).
    pub response: Option<bool>,
    /// Only what this node sends.
    pub from: Option<NodeId>,
    /// Only what this node is to receive.
    pub to: Option<NodeId>,
    /// Only about this partition.
    pub partition: Option<PartitionId>,
    /// Only what carries this message.
    pub message: Option<MessageId>,
    /// Let this many matches pass first.
    pub skip: u32,
    /// Act on this many matches; `u32::MAX` for all.
    pub times: u32,
    /// What to do.
    pub action: WireAction,
}

/// What a rule does with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WireAction {
    /// Keep it until it is released.
    Hold,
    /// It never arrives; the connection stays.
    Drop,
    /// It arrives this much later. Later messages of the connection may overtake it, as at a proxy.
    Delay(Duration),
    /// It arrives twice.
    Duplicate,
    /// It never arrives and the connection breaks: on an answer, the request was applied and its answer lost.
    Close,
    /// A request is answered with this error in the broker's place; an answer is changed to say so.
    Error(ErrorCode),
}

impl WireRule {
    /// True when the rule is about a message with this label between these nodes. `carries` says whether the message
    /// contains a given [`MessageId`].
    pub(crate) fn matches(
        &self,
        from: NodeId,
        to: NodeId,
        label: &WireLabel,
        carries: impl Fn(MessageId) -> bool,
    ) -> bool {
        self.api.is_none_or(|api| api == label.api)
            && self.response.is_none_or(|response| response == label.response)
            && self.from.is_none_or(|node| node == from)
            && self.to.is_none_or(|node| node == to)
            && self.partition.is_none_or(|partition| label.partition == Some(partition))
            && self.message.is_none_or(carries)
    }
}
