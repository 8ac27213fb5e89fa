//! The leader of an epoch: what it appends, how far a majority has it, who fetches from it, and when it gives up
//! (`LeaderState`, `pollLeader`, `handleFetchRequest`).

use crate::base::config::Defect;
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::NodeId;
use crate::base::time::{Duration, Time};
use crate::kafka::api::{Message, MetadataRecord};
use crate::kafka::effects::{Effects, List, Token};
use crate::kafka::raft::RaftClient;
use crate::kafka::raft::state::{EpochState, Voters};

/// How long a fetch waits for a record or a commit (`KafkaRaftClient.MAX_FETCH_WAIT_MS`).
const MAX_FETCH_WAIT: Duration = Duration::from_millis(500);

/// A fetch that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Waiting {
    pub(super) token: Token,
    offset: i64,
    high_watermark: i64,
    pub(super) deadline: Time,
}

impl Waiting {
    pub(super) fn fingerprint(&self, now: Time, end: i64, into: &mut Fingerprint) {
        into.add((self.token.from, self.offset - end));
        into.add_time(now, self.deadline);
    }
}

impl RaftClient {
    /// The leader writes a record; alone, it has committed it.
    ///
    /// # Panics
    /// When this voter does not lead.
    pub fn append(&mut self, record: MetadataRecord, fx: &mut Effects) {
        assert!(self.is_leader(), "only a leader appends");
        self.disk.log.append(record);
        self.say_appended(fx);
        self.raise_high_watermark(fx);
    }

    /// What a majority has is committed, once the leader's own first record is among it
    /// (`LeaderState.maybeUpdateHighWatermark`).
    fn raise_high_watermark(&mut self, fx: &mut Effects) {
        let own_end = self.end();
        let EpochState::Leader(leader) = &self.ram.state else { return };
        let end = |voter: u8| match leader.replicas[usize::from(voter)].end {
            _ if voter == self.id => own_end,
            end => end.unwrap_or(-1),
        };
        let mut ends: Vec<i64> = (1..=self.voters).map(end).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let mut reached = ends[usize::from(self.majority()) - 1];
        if fx.defect == Defect::CommitWithoutMajority {
            reached = own_end;
        }
        let known = self.ram.high_watermark.unwrap_or(-1);
        if reached > leader.epoch_start && reached > known {
            self.set_high_watermark(reached, fx);
        }
    }

    /// `pollLeader`: resigns without a majority, and tells those who do not fetch that it leads.
    pub(super) fn poll_leader(&mut self, now: Time, fx: &mut Effects) {
        let interval = Duration(self.config.fetch_timeout.0 / 2);
        let EpochState::Leader(leader) = &mut self.ram.state else { return };
        if self.ram.shutdown.is_some() || (self.voters > 1 && leader.check_quorum <= now) {
            return self.resign(now, fx);
        }
        if self.voters == 1 || leader.begin_epoch > now {
            return;
        }
        leader.begin_epoch = now + interval;
        let silent = |at: Option<Time>| at.is_none_or(|at| at + interval <= now);
        let replicas = leader.replicas.clone();
        let epoch = self.disk.election.epoch;
        for voter in self.other_voters() {
            if silent(replicas[usize::from(voter)].fetched_at) {
                self.ask(now, voter, Message::BeginQuorumEpoch { epoch }, fx);
            }
        }
    }

    fn resign(&mut self, now: Time, fx: &mut Effects) {
        let EpochState::Leader(leader) = &self.ram.state else { return };
        let end = |voter: &u8| leader.replicas[usize::from(*voter)].end.unwrap_or(-1);
        let mut others: Vec<u8> = self.other_voters().collect();
        others.sort_by_key(|voter| std::cmp::Reverse(end(voter)));
        let mut successors = [0; 4];
        successors[..others.len()].copy_from_slice(&others);
        self.leave_state(fx);
        let until = now + self.random_election_timeout(fx);
        self.ram.state = EpochState::Resigned { unacked: self.others(), successors, until };
    }

    /// Tells the others that it leads no more.
    pub(super) fn tell_resigned(&mut self, now: Time, fx: &mut Effects) {
        let EpochState::Resigned { unacked, successors, .. } = self.ram.state else { return };
        let epoch = self.disk.election.epoch;
        for voter in self.other_voters().filter(|voter| unacked.contains(*voter)) {
            self.ask(now, voter, Message::EndQuorumEpoch { epoch, successors }, fx);
        }
    }

    /// Somebody fetches.
    pub(super) fn fetch(&mut self, now: Time, token: Token, message: Message, fx: &mut Effects) {
        let Message::MetadataFetch { epoch, last_epoch, offset, high_watermark } = message else {
            unreachable!("the caller matched it");
        };
        let own = self.disk.election.epoch;
        let error = match epoch {
            _ if epoch < own => ErrorCode::FencedLeaderEpoch,
            _ if epoch > own => ErrorCode::UnknownLeaderEpoch,
            _ if self.is_leader() => ErrorCode::None,
            _ => ErrorCode::NotLeaderOrFollower,
        };
        if error != ErrorCode::None {
            return self.refuse_fetch(token, error, fx);
        }
        if let NodeId::Controller(_) = token.from
            && let Some((end_epoch, end)) = self.disk.log.divergence(offset, last_epoch)
        {
            let (leader, epoch) = self.leader_and_epoch();
            let answer = Message::MetadataFetchDiverging { leader, epoch, end_epoch, end };
            return fx.reply(token, answer);
        }
        self.note_fetch(now, token, offset, fx);
        let deadline = now + MAX_FETCH_WAIT;
        self.ram.waiting.push(Waiting { token, offset, high_watermark, deadline });
    }

    /// A fetch from `offset` says that the voter has everything before.
    fn note_fetch(&mut self, now: Time, token: Token, offset: i64, fx: &mut Effects) {
        let NodeId::Controller(voter) = token.from else { return };
        let check_quorum = now + self.check_quorum_timeout();
        let needed = self.majority() - 1;
        let EpochState::Leader(leader) = &mut self.ram.state else { return };
        let replica = &mut leader.replicas[usize::from(voter)];
        (replica.end, replica.fetched_at) = (Some(offset), Some(now));
        leader.fetched.insert(voter);
        if leader.fetched.len() >= needed {
            leader.fetched = Voters::default();
            leader.check_quorum = check_quorum;
        }
        self.raise_high_watermark(fx);
    }

    /// Answers every fetch for which there is a record or a commit.
    pub fn answer_waiting(&mut self, now: Time, fx: &mut Effects) {
        loop {
            // To count a fetch may commit something, which is news for others.
            let news = |waiting: &Waiting| self.has_news(waiting, fx.defect);
            let Some(at) = self.ram.waiting.iter().position(news) else { return };
            let waiting = self.ram.waiting.remove(at);
            self.note_fetch(now, waiting.token, waiting.offset, fx);
            self.answer_fetch(&waiting, fx);
        }
    }

    fn has_news(&self, waiting: &Waiting, defect: Defect) -> bool {
        let known = self.ram.high_watermark.unwrap_or(-1);
        waiting.offset < self.readable_end(waiting.token, defect) || waiting.high_watermark < known
    }

    /// Where the log ends for whoever fetches: at the high watermark for a broker.
    fn readable_end(&self, token: Token, defect: Defect) -> i64 {
        match token.from {
            NodeId::Controller(_) => self.end(),
            _ if defect == Defect::UncommittedMetadataServed => self.end(),
            _ => self.ram.high_watermark.unwrap_or(-1),
        }
    }

    fn answer_fetch(&self, waiting: &Waiting, fx: &mut Effects) {
        let end = self.readable_end(waiting.token, fx.defect);
        let list: Vec<MetadataRecord> =
            (waiting.offset..end).map(|offset| self.disk.log.record(offset)).collect();
        let records = fx.keep(&list);
        let (leader, epoch) = self.leader_and_epoch();
        let high_watermark = self.ram.high_watermark.unwrap_or(-1);
        let error = ErrorCode::None;
        let answer =
            Message::MetadataFetchResponse { error, leader, epoch, high_watermark, records };
        fx.reply(waiting.token, answer);
    }

    /// Answers every fetch that has waited long enough: there is nothing new.
    pub(super) fn expire_waiting(&mut self, now: Time, fx: &mut Effects) {
        while let Some(at) = self.ram.waiting.iter().position(|waiting| waiting.deadline <= now) {
            let waiting = self.ram.waiting.remove(at);
            self.answer_fetch(&waiting, fx);
        }
    }

    /// Nobody waits for records at a voter that does not lead.
    pub(super) fn fail_waiting(&mut self, fx: &mut Effects) {
        for waiting in std::mem::take(&mut self.ram.waiting) {
            self.refuse_fetch(waiting.token, ErrorCode::NotLeaderOrFollower, fx);
        }
    }

    fn refuse_fetch(&self, token: Token, error: ErrorCode, fx: &mut Effects) {
        let (leader, epoch) = self.leader_and_epoch();
        let (high_watermark, records) = (-1, List::EMPTY);
        let answer =
            Message::MetadataFetchResponse { error, leader, epoch, high_watermark, records };
        fx.reply(token, answer);
    }
}
