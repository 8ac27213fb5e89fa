//! In which state a voter is: `QuorumState` with its `EpochState`s, and whom it may vote for.

use crate::base::fingerprint::Fingerprint;
use crate::base::time::{Duration, Time};

/// What a voter writes to its `quorum-state` file before it acts on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ElectionState {
    /// The highest epoch it has seen.
    pub epoch: i32,
    /// The leader of that epoch, once known.
    pub leader: Option<u8>,
    /// Whom it voted for in that epoch.
    pub voted: Option<u8>,
}

/// A set of controllers; bit *n* stands for controller *n*.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(super) struct Voters(u8);

impl Voters {
    pub(super) fn of(voter: u8) -> Self {
        Self(1 << voter)
    }

    pub(super) fn insert(&mut self, voter: u8) {
        self.0 |= 1 << voter;
    }

    pub(super) fn remove(&mut self, voter: u8) {
        self.0 &= !(1 << voter);
    }

    pub(super) fn contains(self, voter: u8) -> bool {
        self.0 & (1 << voter) != 0
    }

    pub(super) fn len(self) -> u8 {
        self.0.count_ones() as u8
    }
}

/// The votes of an election (`EpochElection`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Votes {
    pub(super) granted: Voters,
    pub(super) rejected: Voters,
}

impl Votes {
    /// A nominee votes for itself.
    pub(super) fn by(voter: u8) -> Self {
        Self { granted: Voters::of(voter), rejected: Voters::default() }
    }

    pub(super) fn record(&mut self, voter: u8, granted: bool) {
        let (into, out_of) = if granted {
            (&mut self.granted, &mut self.rejected)
        } else {
            (&mut self.rejected, &mut self.granted)
        };
        into.insert(voter);
        out_of.remove(voter);
    }

    pub(super) fn is_open(self, voter: u8) -> bool {
        !self.granted.contains(voter) && !self.rejected.contains(voter)
    }

    pub(super) fn is_won(self, voters: u8) -> bool {
        self.granted.len() >= majority(voters)
    }

    /// Those who are left cannot make a majority any more.
    pub(super) fn is_lost(self, voters: u8) -> bool {
        voters - self.rejected.len() < majority(voters)
    }
}

/// More than half of so many voters.
pub(super) fn majority(voters: u8) -> u8 {
    voters / 2 + 1
}

/// What a leader knows of a voter (`LeaderState.ReplicaState`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Replica {
    /// Its log end when it last fetched under this epoch.
    pub(super) end: Option<i64>,
    /// When that was.
    pub(super) fetched_at: Option<Time>,
}

/// The leader's own state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Leader {
    /// The offset of its `LeaderChangeMessage`.
    pub(super) epoch_start: i64,
    /// By number, from 1.
    pub(super) replicas: Vec<Replica>,
    /// Who fetched since the last majority had.
    pub(super) fetched: Voters,
    /// It resigns then, unless a majority fetches before.
    pub(super) check_quorum: Time,
    /// It tells those who did not fetch that it leads, next then.
    pub(super) begin_epoch: Time,
}

/// In which state a voter is. Whoever knows of a leader, and of which epoch, says the [`ElectionState`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum EpochState {
    /// Part of the formed cluster, not started yet.
    Formed,
    /// There is no process.
    Down,
    /// It knows an epoch and no leader.
    Unattached { until: Time },
    /// It asks who would vote for it (KIP-996).
    Prospective { votes: Votes, until: Time },
    /// It asks for votes under a new epoch.
    Candidate { votes: Votes, until: Time },
    /// It fetches from the leader. `has_fetched` when the leader has answered in this epoch.
    Follower { leader: u8, until: Time, has_fetched: bool },
    /// It leads.
    Leader(Leader),
    /// It led this epoch and will not any more.
    Resigned { unacked: Voters, successors: [u8; 4], until: Time },
}

impl EpochState {
    /// Adds what decides the future; ends of logs relative to the voter's own.
    pub(super) fn fingerprint(&self, now: Time, end: i64, into: &mut Fingerprint) {
        into.add(std::mem::discriminant(self));
        match self {
            Self::Formed | Self::Down => {}
            Self::Unattached { until } => into.add_time(now, *until),
            Self::Prospective { votes, until } | Self::Candidate { votes, until } => {
                into.add(votes);
                into.add_time(now, *until);
            }
            Self::Follower { leader, until, has_fetched } => {
                into.add((leader, has_fetched));
                into.add_time(now, *until);
            }
            Self::Leader(leader) => {
                into.add((leader.fetched, end - leader.epoch_start));
                for replica in &leader.replicas {
                    into.add(replica.end.map(|theirs| end - theirs));
                    into.add(replica.fetched_at.map(|at| now.since(at)));
                }
                into.add_time(now, leader.check_quorum);
                into.add_time(now, leader.begin_epoch);
            }
            Self::Resigned { unacked, successors, until } => {
                into.add((unacked, successors));
                into.add_time(now, *until);
            }
        }
    }
}

/// May a voter in this state vote for `candidate`? `up_to_date`: the candidate's log is at least as long as its own.
pub(super) fn can_grant(
    state: &EpochState,
    election: ElectionState,
    candidate: u8,
    up_to_date: bool,
    pre: bool,
) -> bool {
    match state {
        EpochState::Unattached { .. } | EpochState::Prospective { .. } if !pre => {
            match election.voted {
                Some(voted) => voted == candidate,
                None => election.leader.is_none() && up_to_date,
            }
        }
        EpochState::Follower { has_fetched: true, .. } | EpochState::Leader(_) => false,
        _ => pre && up_to_date,
    }
}

/// How long the follower waits that stands at `position` of `count` successors of a leader that resigned: the first
/// not at all, the others ever longer (`strictExponentialElectionBackoffMs`).
pub(super) fn successor_backoff(position: usize, count: usize, max: Duration) -> Duration {
    if position == 0 {
        return Duration::ZERO;
    }
    if position >= count {
        return max;
    }
    let base = max.0 >> (count - 1);
    Duration(base << (position - 1)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_is_given_once_an_epoch_and_only_to_a_log_as_long_as_the_own() {
        let until = Time::ZERO;
        let fresh = ElectionState { epoch: 3, leader: None, voted: None };
        let voted = ElectionState { voted: Some(2), ..fresh };
        let led = ElectionState { leader: Some(1), ..fresh };
        let unattached = EpochState::Unattached { until };
        let follows = |has_fetched| EpochState::Follower { leader: 1, until, has_fetched };
        let candidate = EpochState::Candidate { votes: Votes::by(1), until };
        // State, election state, candidate, log is as long, pre-vote; granted.
        for (state, election, asks, long, pre, granted) in [
            (&unattached, fresh, 2, true, false, true),
            (&unattached, fresh, 2, false, false, false),
            (&unattached, voted, 2, false, false, true), // asked again
            (&unattached, voted, 3, true, false, false),
            (&unattached, voted, 3, true, true, true), // a pre-vote binds nobody
            (&unattached, led, 3, true, false, false),
            (&follows(true), led, 3, true, true, false), // the leader answers: no need of another
            (&follows(false), led, 3, true, true, true),
            (&follows(false), led, 3, true, false, false),
            (&candidate, voted, 3, true, false, false),
            (&candidate, voted, 3, true, true, true),
        ] {
            assert_eq!(
                can_grant(state, election, asks, long, pre),
                granted,
                "{state:?} {asks} {pre}"
            );
        }
    }

    #[test]
    fn an_election_is_won_and_lost_by_a_majority() {
        let mut votes = Votes::by(1);
        assert!(votes.is_won(1) && !votes.is_won(3));
        votes.record(2, false);
        assert!(!votes.is_lost(3) && votes.is_open(3));
        votes.record(3, false);
        assert!(votes.is_lost(3) && !votes.is_lost(5));
        votes.record(3, true);
        assert!(votes.is_won(3) && !votes.is_won(5));
    }

    #[test]
    fn the_first_successor_does_not_wait() {
        let max = Duration::from_millis(1_000);
        let wait = |position, count| successor_backoff(position, count, max).as_millis();
        assert_eq!([wait(0, 2), wait(1, 2), wait(2, 2)], [0, 500, 1_000]);
        assert_eq!([wait(1, 4), wait(2, 4), wait(3, 4)], [125, 250, 500]);
        assert_eq!(wait(0, 0), 0);
    }
}
