//! The groups a coordinator keeps, by the protocol they are of (`org.apache.kafka.coordinator.group.Group`). A group id
//! names one group: whoever asks with the requests of another protocol is told so.

use crate::base::fingerprint::Fingerprint;
use crate::base::time::Time;
use crate::event::GroupState;
use crate::kafka::group::classic::ClassicGroup;
use crate::kafka::group::consumer::ConsumerGroup;

/// A group of any protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Group {
    /// Members join and synchronise; one of them assigns (`JoinGroup`, `SyncGroup`). Also what only commits offsets.
    Classic(ClassicGroup),
    /// The coordinator assigns (KIP-848).
    Consumer(Box<ConsumerGroup>),
}

impl Group {
    /// Its state.
    pub fn state(&self) -> GroupState {
        match self {
            Self::Classic(group) => group.state(),
            Self::Consumer(group) => group.state(),
        }
    }

    /// The group, where it is one of the classic protocol.
    pub fn classic(&self) -> Option<&ClassicGroup> {
        match self {
            Self::Classic(group) => Some(group),
            Self::Consumer(_) => None,
        }
    }

    /// The group, where it is one of the consumer protocol.
    pub fn consumer(&self) -> Option<&ConsumerGroup> {
        match self {
            Self::Classic(_) => None,
            Self::Consumer(group) => Some(group),
        }
    }

    /// The group, where it is one of the classic protocol.
    pub(super) fn classic_mut(&mut self) -> Option<&mut ClassicGroup> {
        match self {
            Self::Classic(group) => Some(group),
            Self::Consumer(_) => None,
        }
    }

    /// Adds the group's state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        match self {
            Self::Classic(group) => group.fingerprint(now, into),
            Self::Consumer(group) => group.fingerprint(now, into),
        }
    }
}
