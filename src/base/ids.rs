//! Names for things, as small dense numbers. Words for people live in [`crate::base::names::Names`].

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! dense_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl $name {
            /// The position in a table indexed by this id.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

dense_id! {
    /// A broker by Kafka's `node.id`: 1 to 64. `index()` is the number itself, so tables have an unused slot 0.
    BrokerId(u8)
}
dense_id! {
    /// A topic, in order of declaration; internal topics follow the declared ones.
    TopicId(u16)
}
dense_id! {
    /// A partition of any topic, dense over the whole cluster. [`crate::base::names::Names`] says which one.
    PartitionId(u16)
}
dense_id! {
    /// A group, in order of declaration.
    GroupId(u16)
}
dense_id! {
    /// A `transactional.id`, in order of the ids.
    TransactionalId(u16)
}
dense_id! {
    /// A `group.instance.id`: what makes a member static, in order of the names.
    InstanceId(u16)
}
dense_id! {
    /// A regular expression that a consumer leaves to the coordinator (`SubscriptionPattern`).
    RegexId(u16)
}
dense_id! {
    /// A rack that has brokers, in order of the names.
    RackId(u8)
}
dense_id! {
    /// A message of the scenario: `m0`, `m1`, … in the order the applications send them. A re-send by an
    /// application keeps the id; a retry by the client is the same record.
    MessageId(u32)
}
dense_id! {
    /// A batch in the run's append-only [`crate::base::batch::BatchTable`].
    BatchHandle(u32)
}
dense_id! {
    /// A record key in the run's table of keys; [`KeyId::NONE`] is a null key.
    KeyId(u32)
}
dense_id! {
    /// The place of an event in the trace. [`EventSeq::NONE`] means "no event", as the cause of a first cause.
    EventSeq(u32)
}
dense_id! {
    /// The member id of a group member. Kafka's is `client.id` + `-` + a random UUID and assignors sort by it;
    /// here the upper half is the rank of `client.id-` among all consumers' and the lower half a counter, so
    /// `Ord` agrees with Kafka's order of member ids wherever client ids differ. Zero is Kafka's "unknown".
    MemberId(u32)
}

impl KeyId {
    /// The null key.
    pub const NONE: Self = Self(u32::MAX);
}

impl EventSeq {
    /// No event.
    pub const NONE: Self = Self(u32::MAX);
}

impl BatchHandle {
    /// No batch.
    pub const NONE: Self = Self(u32::MAX);
}

impl MemberId {
    /// Kafka's `UNKNOWN_MEMBER_ID` (the empty string): the coordinator will hand out an id.
    pub const UNKNOWN: Self = Self(0);
}

/// One process of the simulated world. Every event happens at a node; a fault hits a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum NodeId {
    /// A KRaft controller, 1 to 5.
    Controller(u8),
    /// A broker.
    Broker(BrokerId),
    /// A producer process with its application.
    Producer(u16),
    /// A consumer process with its application.
    Consumer(u16),
    /// The script of the scenario, and the person who runs admin commands.
    Script,
}

impl NodeId {
    /// The broker, where this node is one.
    pub fn broker(self) -> Option<BrokerId> {
        match self {
            Self::Broker(id) => Some(id),
            _ => None,
        }
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::ops::Add<$inner> for $name {
            type Output = Self;
            fn add(self, n: $inner) -> Self {
                Self(self.0 + n)
            }
        }

        impl std::ops::Sub for $name {
            type Output = $inner;
            fn sub(self, other: Self) -> $inner {
                self.0 - other.0
            }
        }
    };
}

counter! {
    /// A position in a partition's log.
    Offset(i64)
}
counter! {
    /// Kafka's leader epoch of a partition; bumped by 1 at each election and when a partition goes offline.
    LeaderEpoch(i32)
}
counter! {
    /// The epoch of a producer id.
    ProducerEpoch(i16)
}
counter! {
    /// The sequence number of a record within (producer id, epoch, partition). Wraps after 2³¹−1 in Kafka.
    Sequence(i32)
}
counter! {
    /// The generation of a classic group.
    Generation(i32)
}

impl Offset {
    /// Kafka's "no offset": what `acks=0` returns, what a group without a commit has.
    pub const NONE: Self = Self(-1);
}

impl LeaderEpoch {
    /// Kafka's `UNDEFINED_EPOCH`.
    pub const NONE: Self = Self(-1);
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}
