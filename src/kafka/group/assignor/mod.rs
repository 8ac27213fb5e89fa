//! Assignors: pure functions from who subscribes to what, and who had what, to who gets what.
//!
//! * Of the classic protocol (`ConsumerPartitionAssignor`), run by the leader of a group between its JoinGroup and its
//!   SyncGroup: [`range`], [`round_robin`], [`sticky`], [`cooperative_sticky`].
//! * Of the consumer protocol (KIP-848), run by the coordinator: [`target`].
//! * Of share groups (KIP-932), run by the coordinator: [`simple`].
//!
//! Kafka's assignors go through hash maps, and where that shows in what they return, the order is an input (members)
//! or follows from Java's hash of what is in the map (topics, partitions).

pub mod cooperative_sticky;
pub mod leader;
mod racks;
pub mod range;
pub mod round_robin;
pub mod simple;
pub mod sticky;
pub mod target;
#[cfg(test)]
mod written;

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// `AbstractStickyAssignor.DEFAULT_GENERATION`.
pub const NO_GENERATION: i32 = -1;

/// A member as the leader of its group knows it (`Subscription`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Member<'a> {
    /// Its member id.
    pub id: &'a str,
    /// Its `group.instance.id`, if it is a static member.
    pub instance: Option<&'a str>,
    /// Its `client.rack`, if it has one.
    pub rack: Option<&'a str>,
    /// The topics it subscribes to.
    pub topics: Vec<&'a str>,
    /// What it says it owns: in its subscription (cooperative), or in the user data of the sticky assignor.
    pub owned: Partitions<'a>,
    /// Since which generation, or [`NO_GENERATION`].
    pub owned_generation: i32,
    /// The generation of its subscription, or [`NO_GENERATION`]. It differs from `owned_generation` where a member
    /// lost its membership and the sticky assignor's user data remembers more.
    pub generation: i32,
}

/// A topic that exists.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Topic<'a> {
    /// How many partitions it has.
    pub partitions: u32,
    /// The racks of the replicas of each partition; empty where brokers have no racks.
    pub racks: Vec<Vec<&'a str>>,
}

impl Topic<'_> {
    /// A topic of brokers without racks.
    pub const fn of(partitions: u32) -> Self {
        Self { partitions, racks: Vec::new() }
    }
}

/// The topics that exist, by name.
pub type Topics<'a> = BTreeMap<&'a str, Topic<'a>>;

/// Partitions as topic and number.
pub type Partitions<'a> = Vec<(&'a str, u32)>;

/// Partitions by member, in the order in which Kafka's assignor returns them. A member without any is in it.
pub type Assignment<'a> = BTreeMap<&'a str, Partitions<'a>>;

/// `AbstractPartitionAssignor.MemberInfo.compareTo`: static members first, by instance id; the others by member id.
fn member_order(a: (Option<&str>, &str), b: (Option<&str>, &str)) -> Ordering {
    match (a.0, b.0) {
        (Some(a), Some(b)) => java_order(a, b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => java_order(a.1, b.1),
    }
}

/// `String.compareTo`: by UTF-16 code units.
fn java_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}
