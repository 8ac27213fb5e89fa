//! The groups a coordinator keeps, by the protocol they are of (`org.apache.kafka.coordinator.group.Group`). A group id
//! names one group: whoever asks with the requests of another protocol is told so.

use crate::base::batch::Subscribed;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::TopicId;
use crate::base::time::Time;
use crate::event::GroupState;
use crate::kafka::group::classic::ClassicGroup;
use crate::kafka::group::consumer::ConsumerGroup;
use crate::kafka::group::share::ShareGroup;

/// A group of any protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Group {
    /// Members join and synchronise; one of them assigns (`JoinGroup`, `SyncGroup`). Also what only commits offsets.
    Classic(ClassicGroup),
    /// The coordinator assigns (KIP-848).
    Consumer(Box<ConsumerGroup>),
    /// Members work on the same partitions, record by record (KIP-932).
    Share(Box<ShareGroup>),
}

/// From when the age of a group's committed offsets counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expiry {
    /// Nothing expires: the group is rebalancing.
    Never,
    /// From this moment on, in milliseconds since 1970: the group has had no members since.
    Since(i64),
    /// From each commit on: of a group that never had members, or of topics that no member subscribes to any more.
    SinceCommit,
}

impl Group {
    /// Its state.
    pub fn state(&self) -> GroupState {
        match self {
            Self::Classic(group) => group.state(),
            Self::Consumer(group) => group.state(),
            Self::Share(group) => group.state(),
        }
    }

    /// The group, where it is one of the classic protocol.
    pub fn classic(&self) -> Option<&ClassicGroup> {
        match self {
            Self::Classic(group) => Some(group),
            Self::Consumer(_) | Self::Share(_) => None,
        }
    }

    /// The group, where it is one of the consumer protocol.
    pub fn consumer(&self) -> Option<&ConsumerGroup> {
        match self {
            Self::Classic(_) | Self::Share(_) => None,
            Self::Consumer(group) => Some(group),
        }
    }

    /// The group, where it is a share group.
    pub fn share(&self) -> Option<&ShareGroup> {
        match self {
            Self::Classic(_) | Self::Consumer(_) => None,
            Self::Share(group) => Some(group),
        }
    }

    /// The group, where it is one of the classic protocol.
    pub(super) fn classic_mut(&mut self) -> Option<&mut ClassicGroup> {
        match self {
            Self::Classic(group) => Some(group),
            Self::Consumer(_) | Self::Share(_) => None,
        }
    }

    /// Does a member subscribe to `topic`?
    pub(super) fn subscribes_to(&self, topic: TopicId) -> bool {
        match self {
            Self::Classic(group) => {
                let mut members = group.members.values();
                members.any(|member| member.subscription.contains(&Subscribed::Topic(topic)))
            }
            Self::Consumer(group) => group.subscribes_to(topic),
            Self::Share(group) => group.subscribes_to(topic),
        }
    }

    /// From when the age of committed offsets counts (`offsetExpirationCondition`).
    pub(super) fn expiry(&self) -> Expiry {
        match self {
            Self::Classic(group) => match (group.state, group.empty_since) {
                (GroupState::Empty, Some(since)) => Expiry::Since(since),
                (GroupState::Empty, None) | (GroupState::Stable, _) => Expiry::SinceCommit,
                _ => Expiry::Never,
            },
            Self::Consumer(_) => Expiry::SinceCommit,
            // It has no committed offsets.
            Self::Share(_) => Expiry::Never,
        }
    }

    /// Adds the group's state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        match self {
            Self::Classic(group) => group.fingerprint(now, into),
            Self::Consumer(group) => group.fingerprint(now, into),
            Self::Share(group) => group.fingerprint(now, into),
        }
    }
}
