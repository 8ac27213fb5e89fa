//! Elections: pre-votes and votes, asked for and given (`NomineeState`, `handleVoteRequest`, `handleVoteResponse`). A
//! voter first asks whether it would win; only then does it raise the epoch, so that one that was away for a while
//! does not depose a leader that the others still hear (KIP-996).

use crate::base::config::Defect;
use crate::base::error::ErrorCode;
use crate::base::ids::LeaderEpoch;
use crate::base::time::Time;
use crate::event::EventKind;
use crate::kafka::api::{Message, MetadataRecord};
use crate::kafka::effects::Effects;
use crate::kafka::raft::RaftClient;
use crate::kafka::raft::state::{ElectionState, EpochState, Votes, can_grant};

impl RaftClient {
    pub(super) fn become_prospective(&mut self, now: Time, fx: &mut Effects) {
        let (votes, until) = (Votes::by(self.id), now + self.random_election_timeout(fx));
        self.ram.requests.reset();
        self.ram.state = EpochState::Prospective { votes, until };
        if votes.is_won(self.voters) {
            self.become_candidate(now, fx);
        }
    }

    fn become_candidate(&mut self, now: Time, fx: &mut Effects) {
        let epoch = self.disk.election.epoch + 1;
        self.ram.requests.reset();
        self.disk.election = ElectionState { epoch, leader: None, voted: Some(self.id) };
        self.ram.state = self.candidate_state(now, fx);
        if Votes::by(self.id).is_won(self.voters) {
            self.become_leader(now, fx);
        }
    }

    pub(super) fn candidate_state(&self, now: Time, fx: &mut Effects) -> EpochState {
        let until = now + self.random_election_timeout(fx);
        EpochState::Candidate { votes: Votes::by(self.id), until }
    }

    /// The high watermark is not known again until the first record of the new epoch is committed, and with it
    /// everything before.
    fn become_leader(&mut self, now: Time, fx: &mut Effects) {
        self.ram.requests.reset();
        let epoch = self.disk.election.epoch;
        self.disk.election.leader = Some(self.id);
        self.ram.state = self.leader_state(now, self.end());
        self.ram.high_watermark = None;
        fx.event(EventKind::ControllerElected { epoch: LeaderEpoch(epoch) });
        self.append(MetadataRecord::LeaderChange { leader: self.id, epoch }, fx);
    }

    /// `pollCandidate`, `pollProspective`.
    pub(super) fn poll_election(&mut self, now: Time, fx: &mut Effects) {
        let (last_epoch, end) = self.disk.log.end_and_epoch();
        let epoch = self.disk.election.epoch;
        let (votes, pre) = match self.ram.state {
            EpochState::Candidate { until, .. } if until <= now => {
                return self.become_prospective(now, fx);
            }
            EpochState::Prospective { until, .. } if until <= now => {
                return self.pre_vote_lost(now, fx);
            }
            EpochState::Candidate { votes, .. } => (votes, false),
            EpochState::Prospective { votes, .. } => (votes, true),
            _ => return,
        };
        if votes.is_lost(self.voters) {
            return;
        }
        for voter in self.other_voters().filter(|voter| votes.is_open(*voter)) {
            self.ask(now, voter, Message::Vote { epoch, last_epoch, end, pre }, fx);
        }
    }

    /// Nobody would vote for it now: back to the leader it knows, or to waiting.
    fn pre_vote_lost(&mut self, now: Time, fx: &mut Effects) {
        let ElectionState { epoch, leader, .. } = self.disk.election;
        match leader.filter(|leader| *leader != self.id) {
            Some(leader) => self.become_follower(now, epoch, leader, fx),
            None => self.become_unattached(now, epoch, fx),
        }
    }

    /// Somebody asks for a vote.
    pub(super) fn vote(
        &mut self,
        now: Time,
        from: u8,
        message: Message,
        fx: &mut Effects,
    ) -> Message {
        let Message::Vote { epoch, last_epoch, end, pre } = message else {
            unreachable!("the caller matched it");
        };
        let mut granted = false;
        let mut error = ErrorCode::FencedLeaderEpoch;
        if epoch >= self.disk.election.epoch {
            error = ErrorCode::None;
            if epoch > self.disk.election.epoch {
                self.become_unattached(now, epoch, fx);
            }
            let longer = (last_epoch, end) >= self.disk.log.end_and_epoch();
            let up_to_date = longer || fx.defect == Defect::VotesForShorterLog;
            let election = self.disk.election;
            granted = can_grant(&self.ram.state, election, from, up_to_date, pre)
                || fx.defect == Defect::VotesForEveryone;
            if granted && !pre {
                self.vote_given(now, from, fx);
            }
        }
        let (leader, epoch) = self.leader_and_epoch();
        Message::VoteResponse { error, leader, epoch, granted }
    }

    /// The vote is written down before it is sent. The candidate has as good a chance as this voter: it waits anew.
    fn vote_given(&mut self, now: Time, to: u8, fx: &mut Effects) {
        if self.disk.election.voted.is_some() {
            return;
        }
        self.disk.election.voted = Some(to);
        let next = now + self.random_election_timeout(fx);
        match &mut self.ram.state {
            EpochState::Unattached { until } => *until = next,
            EpochState::Prospective { votes, until } => {
                (*votes, *until) = (Votes::by(self.id), next);
                self.ram.requests.reset();
            }
            _ => {}
        }
    }

    /// Somebody voted, for this voter or not.
    pub(super) fn voted(&mut self, now: Time, from: u8, granted: bool, fx: &mut Effects) {
        match &mut self.ram.state {
            EpochState::Candidate { votes, .. } => {
                votes.record(from, granted);
                if votes.is_won(self.voters) {
                    self.become_leader(now, fx);
                }
            }
            EpochState::Prospective { votes, .. } => {
                votes.record(from, granted);
                if votes.is_won(self.voters) {
                    self.become_candidate(now, fx);
                } else if votes.is_lost(self.voters) {
                    self.pre_vote_lost(now, fx);
                }
            }
            _ => {}
        }
    }
}
