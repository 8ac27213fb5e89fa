//! The groups a coordinator keeps, by the protocol they are of (`org.apache.kafka.coordinator.group.Group`). A group id
//! names one group: whoever asks with the requests of another protocol is told so.

use crate::base::fingerprint::Fingerprint;
use crate::base::time::Time;
use crate::event::GroupState;
use crate::kafka::group::classic::ClassicGroup;

/// A group of any protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Group {
    /// Members join and synchronise; one of them assigns (`JoinGroup`, `SyncGroup`). Also what only commits offsets.
    Classic(ClassicGroup),
}

impl Group {
    /// Its state.
    pub fn state(&self) -> GroupState {
        match self {
            Self::Classic(group) => group.state(),
        }
    }

    /// The group, where it is one of the classic protocol.
    pub fn classic(&self) -> Option<&ClassicGroup> {
        match self {
            Self::Classic(group) => Some(group),
        }
    }

    /// The group, where it is one of the classic protocol.
    #[expect(clippy::unnecessary_wraps, reason = "a group of another protocol is none of these")]
    pub(super) fn classic_mut(&mut self) -> Option<&mut ClassicGroup> {
        match self {
            Self::Classic(group) => Some(group),
        }
    }

    /// Adds the group's state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        match self {
            Self::Classic(group) => group.fingerprint(now, into),
        }
    }
}
