//! Share sessions (`ShareSessionCache`): who fetches for which group at this broker. A session ends with a last
//! `ShareAcknowledge`, with the connection it was opened on, or when the member opens another; what its member had goes
//! back then, but for the last of these cases.
//!
//! Simplified: a request names all its partitions (Kafka's name what changed); no limit on their number.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{GroupId, MemberId, NodeId, PartitionId};

/// The session epoch of a request that opens a session.
pub const OPEN: i32 = 0;
/// The session epoch of a request that ends one.
pub const CLOSE: i32 = -1;

/// One session.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct ShareSession {
    peer: NodeId,
    /// What the next request must say.
    epoch: i32,
    /// Every partition it ever had: there may be records with its member.
    partitions: Vec<PartitionId>,
}

/// All sessions of a broker.
#[derive(Clone, Default, Debug)]
pub struct ShareSessions {
    sessions: BTreeMap<(GroupId, MemberId), ShareSession>,
    /// For which groups somebody has opened a session on a connection that is still there.
    opened: BTreeSet<(NodeId, GroupId)>,
}

impl ShareSessions {
    /// A `ShareFetch` of this session epoch: opens the session, or goes on with it.
    ///
    /// # Errors
    /// `SHARE_SESSION_NOT_FOUND`, `INVALID_SHARE_SESSION_EPOCH`.
    pub fn fetch(
        &mut self,
        key: (GroupId, MemberId),
        (peer, epoch): (NodeId, i32),
        asked: &[PartitionId],
    ) -> Result<(), ErrorCode> {
        if epoch == OPEN {
            let partitions = asked.to_vec();
            self.sessions.insert(key, ShareSession { peer, epoch: 1, partitions });
            self.opened.insert((peer, key.0));
            return Ok(());
        }
        let session = self.go_on(key, epoch)?;
        for partition in asked {
            if !session.partitions.contains(partition) {
                session.partitions.push(*partition);
            }
        }
        Ok(())
    }

    /// A `ShareAcknowledge` of this session epoch. The last one ([`CLOSE`]) leaves the session to
    /// [`ShareSessions::remove`].
    ///
    /// # Errors
    /// `SHARE_SESSION_NOT_FOUND`, `INVALID_SHARE_SESSION_EPOCH`.
    pub fn acknowledge(&mut self, key: (GroupId, MemberId), epoch: i32) -> Result<(), ErrorCode> {
        match epoch {
            OPEN => Err(ErrorCode::InvalidShareSessionEpoch),
            CLOSE => self.sessions.get(&key).map(|_| ()).ok_or(ErrorCode::ShareSessionNotFound),
            _ => self.go_on(key, epoch).map(|_| ()),
        }
    }

    fn go_on(
        &mut self,
        key: (GroupId, MemberId),
        epoch: i32,
    ) -> Result<&mut ShareSession, ErrorCode> {
        let session = self.sessions.get_mut(&key).ok_or(ErrorCode::ShareSessionNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidShareSessionEpoch);
        }
        session.epoch += 1;
        Ok(session)
    }

    /// The session is over: its partitions.
    pub fn remove(&mut self, key: (GroupId, MemberId)) -> Option<Vec<PartitionId>> {
        self.sessions.remove(&key).map(|session| session.partitions)
    }

    /// The sessions that `peer` opened.
    pub fn of(&self, peer: NodeId) -> Vec<(GroupId, MemberId)> {
        let own = self.sessions.iter().filter(|(_, session)| session.peer == peer);
        own.map(|(key, _)| *key).collect()
    }

    /// The connection to `peer` is closed, and its sessions are over: the groups that nobody fetches for any more.
    pub fn hung_up(&mut self, peer: NodeId) -> Vec<GroupId> {
        let (gone, kept) = std::mem::take(&mut self.opened).into_iter().partition(|o| o.0 == peer);
        self.opened = kept;
        let gone: BTreeSet<(NodeId, GroupId)> = gone;
        let idle = |group: &GroupId| !self.sessions.keys().any(|key| key.0 == *group);
        gone.into_iter().map(|(_, group)| group).filter(idle).collect()
    }

    /// Adds the sessions to a fingerprint.
    pub fn fingerprint(&self, into: &mut Fingerprint) {
        into.add(&self.opened);
        for (key, session) in &self.sessions {
            into.add((key, session));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (GroupId, MemberId) = (GroupId(0), MemberId(1));
    const PEER: NodeId = NodeId::Consumer(0);

    #[test]
    fn epochs_count_up_over_both_requests_and_nothing_goes_without_a_session() {
        let mut sessions = ShareSessions::default();
        let p = [PartitionId(0)];
        assert_eq!(sessions.fetch(KEY, (PEER, 1), &p), Err(ErrorCode::ShareSessionNotFound));
        assert_eq!(sessions.fetch(KEY, (PEER, OPEN), &p), Ok(()));
        assert_eq!(sessions.acknowledge(KEY, OPEN), Err(ErrorCode::InvalidShareSessionEpoch));
        assert_eq!(sessions.acknowledge(KEY, 1), Ok(()));
        assert_eq!(sessions.fetch(KEY, (PEER, 1), &p), Err(ErrorCode::InvalidShareSessionEpoch));
        assert_eq!(sessions.fetch(KEY, (PEER, 2), &[PartitionId(1)]), Ok(()));
        assert_eq!(sessions.acknowledge(KEY, CLOSE), Ok(()));
        assert_eq!(sessions.of(PEER), [KEY]);
        assert_eq!(sessions.remove(KEY), Some(vec![PartitionId(0), PartitionId(1)]));
        assert_eq!(sessions.acknowledge(KEY, CLOSE), Err(ErrorCode::ShareSessionNotFound));
    }

    #[test]
    fn a_group_is_nobodys_when_the_last_that_fetched_for_it_hangs_up() {
        let mut sessions = ShareSessions::default();
        let other = (NodeId::Consumer(1), (GroupId(0), MemberId(2)));
        for (peer, key) in [(PEER, KEY), other] {
            assert_eq!(sessions.fetch(key, (peer, OPEN), &[]), Ok(()));
        }
        sessions.remove(KEY);
        assert_eq!(sessions.hung_up(PEER), [], "another fetches for it");
        sessions.remove(other.1);
        assert_eq!(sessions.hung_up(PEER), [], "it has hung up before");
        assert_eq!(sessions.hung_up(other.0), [GroupId(0)]);
    }
}
