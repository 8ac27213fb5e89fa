//! The metadata quorum: `KafkaRaftClient` (KIP-595, KIP-996), a sub-machine of every controller. Raft whose log is
//! pulled: followers and brokers fetch, and a leader learns from fetches how far its log is copied.
//!
//! `state` the states of a voter and its votes · `nominee` elections · `leader` the leader's side: high watermark,
//! check quorum, serving fetches · `follower` fetching and truncation · `log` the records · `requests` whom to ask.
//!
//! A controller is `{disk, ram}` here: the log and the election state (`quorum-state`) survive a kill; high watermark,
//! votes and time-outs do not.
//!
//! Simplified: a fixed set of voters (KIP-853 is not used); no snapshots; an append is flushed and sent at once
//! (`controller.quorum.append.linger.ms` is 25); a leader that resigns is passive for its controller at once (Kafka's
//! notices when it next writes); brokers are sent committed records only (Kafka sends all, and they act on the
//! committed ones).

mod follower;
mod leader;
pub mod log;
mod nominee;
pub mod requests;
mod state;

use crate::base::config::BrokerConfig;
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{LeaderEpoch, NodeId, Offset};
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::api::{Message, MetadataRecord};
use crate::kafka::effects::{Effects, TimerKind, Token};
use crate::kafka::raft::leader::Waiting;
use crate::kafka::raft::log::{FORMED_EPOCH, RaftLog};
use crate::kafka::raft::requests::RequestManager;
pub use crate::kafka::raft::state::ElectionState;
use crate::kafka::raft::state::{EpochState, Replica, Voters, majority};

/// How long an orderly shutdown waits for another leader (`KafkaRaftManager.shutdown`).
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(5_000);

/// The settings of the quorum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct QuorumConfig {
    election_timeout: Duration,
    fetch_timeout: Duration,
    election_backoff_max: Duration,
}

/// What survives a kill.
#[derive(Clone, Debug)]
struct Disk {
    election: ElectionState,
    log: RaftLog,
}

/// What a kill takes.
#[derive(Clone, Debug)]
struct Ram {
    state: EpochState,
    /// `None` until it is known: after a start, and for a leader until its first record is committed.
    high_watermark: Option<i64>,
    requests: RequestManager,
    waiting: Vec<Waiting>,
    /// An orderly shutdown is over then at the latest.
    shutdown: Option<Time>,
}

/// One voter.
#[derive(Clone, Debug)]
pub struct RaftClient {
    id: u8,
    voters: u8,
    config: QuorumConfig,
    request_timeout: Duration,
    disk: Disk,
    ram: Ram,
}

impl RaftClient {
    /// Voter `id` of a formed cluster with so many voters, before its process starts. Controller 1 leads, and
    /// everything is committed.
    pub fn formed(
        id: u8,
        voters: u8,
        config: &BrokerConfig,
        records: impl Iterator<Item = MetadataRecord>,
    ) -> Self {
        let log = RaftLog::formed(records);
        let election = ElectionState { epoch: FORMED_EPOCH, leader: Some(1), voted: None };
        let request_timeout = config.quorum_request_timeout;
        let mut ram = Ram::new(EpochState::Formed, voters, request_timeout);
        ram.high_watermark = Some(log.end());
        Self {
            id,
            voters,
            config: QuorumConfig {
                election_timeout: config.quorum_election_timeout,
                fetch_timeout: config.quorum_fetch_timeout,
                election_backoff_max: config.quorum_election_backoff_max,
            },
            request_timeout,
            disk: Disk { election, log },
            ram,
        }
    }

    /// The process starts in the state it was in when it ended, but a leader does not lead on
    /// (`QuorumState.initialize`).
    pub fn start(&mut self, now: Time, fx: &mut Effects) {
        let election = self.disk.election;
        if self.ram.state == EpochState::Formed {
            self.ram.state =
                if self.id == 1 { self.leader_state(now, 0) } else { self.follower_state(now, 1) };
        } else if election.leader == Some(self.id) {
            let until = now + self.random_election_timeout(fx);
            let (unacked, successors) = (self.others(), [0; 4]);
            self.ram.state = EpochState::Resigned { unacked, successors, until };
        } else if election.voted == Some(self.id) && election.leader.is_none() {
            self.ram.state = self.candidate_state(now, fx);
        } else if let Some(leader) = election.leader {
            self.ram.state = self.follower_state(now, leader);
        } else {
            let until = now + self.random_election_timeout(fx);
            self.ram.state = EpochState::Unattached { until };
        }
        let leads = matches!(self.ram.state, EpochState::Leader(_));
        if self.voters == 1 && !leads {
            self.become_prospective(now, fx);
        }
    }

    /// The process is gone.
    pub fn kill(&mut self) {
        self.ram = Ram::new(EpochState::Down, self.voters, self.request_timeout);
    }

    /// An orderly shutdown begins: a leader resigns and stays until another is elected, 5 s at most.
    pub fn shut_down(&mut self, now: Time) {
        self.ram.shutdown = Some(now + SHUTDOWN_TIMEOUT);
    }

    /// True when an orderly shutdown has nothing to wait for any more.
    pub fn may_exit(&self, now: Time) -> bool {
        let other_leads = self.disk.election.leader.is_some_and(|leader| leader != self.id);
        let done = self.voters == 1 || other_leads;
        self.ram.shutdown.is_some_and(|until| done || until <= now)
    }

    /// A request of another controller, or a fetch of a broker. False when the message is not for the quorum.
    pub fn handle(&mut self, now: Time, token: Token, message: Message, fx: &mut Effects) -> bool {
        match (token.from, message) {
            (_, Message::MetadataFetch { .. }) => self.fetch(now, token, message, fx),
            (NodeId::Controller(from), Message::Vote { .. }) => {
                let answer = self.vote(now, from, message, fx);
                fx.reply(token, answer);
            }
            (NodeId::Controller(from), Message::BeginQuorumEpoch { epoch }) => {
                let error = self.leader_says(now, from, epoch, fx);
                let (leader, epoch) = self.leader_and_epoch();
                fx.reply(token, Message::BeginQuorumEpochResponse { error, leader, epoch });
            }
            (NodeId::Controller(from), Message::EndQuorumEpoch { epoch, successors }) => {
                let error = self.leader_says(now, from, epoch, fx);
                if error == ErrorCode::None {
                    self.leader_resigned(now, from, successors);
                }
                let (leader, epoch) = self.leader_and_epoch();
                fx.reply(token, Message::EndQuorumEpochResponse { error, leader, epoch });
            }
            _ => return false,
        }
        true
    }

    /// Another controller answered.
    pub fn answered(
        &mut self,
        now: Time,
        from: NodeId,
        correlation: u32,
        message: Message,
        fx: &mut Effects,
    ) {
        let NodeId::Controller(from) = from else { return };
        if !self.ram.requests.answered(from, correlation) {
            return;
        }
        match message {
            Message::VoteResponse { error, leader, epoch, granted } => {
                if self.is_relevant(now, error, leader, epoch, fx) {
                    self.voted(now, from, granted, fx);
                }
            }
            Message::EndQuorumEpochResponse { error, leader, epoch } => {
                if self.is_relevant(now, error, leader, epoch, fx)
                    && let EpochState::Resigned { unacked, .. } = &mut self.ram.state
                {
                    unacked.remove(from);
                }
            }
            Message::BeginQuorumEpochResponse { error, leader, epoch } => {
                self.is_relevant(now, error, leader, epoch, fx);
            }
            _ => self.fetched(now, from, message, fx),
        }
    }

    /// A connection this controller had opened is closed.
    pub fn disconnected(&mut self, now: Time, peer: NodeId) {
        if let NodeId::Controller(peer) = peer {
            self.ram.requests.disconnected(peer, now);
        }
    }

    /// Whoever waited on a connection hung up.
    pub fn forget(&mut self, peer: NodeId) {
        self.ram.waiting.retain(|waiting| waiting.token.from != peer);
    }

    /// Does what is due, and asks to be called when something is due next.
    pub fn poll(&mut self, now: Time, fx: &mut Effects) {
        // Each round is a transition; a voter alone goes from resigned to leader in four.
        for _ in 0..8 {
            let before = std::mem::discriminant(&self.ram.state);
            self.poll_state(now, fx);
            if before == std::mem::discriminant(&self.ram.state) {
                break;
            }
        }
        self.expire_waiting(now, fx);
        if let Some(at) = self.next_deadline(now) {
            fx.set_timer(TimerKind::Raft, 0, at);
        }
    }

    /// The epoch it leads, once its first record is committed: from then on its controller is active.
    pub fn active_epoch(&self) -> Option<i32> {
        let EpochState::Leader(leader) = &self.ram.state else { return None };
        let caught_up = self.ram.high_watermark.is_some_and(|offset| offset > leader.epoch_start);
        caught_up.then_some(self.disk.election.epoch)
    }

    /// True for the leader of an epoch, active or not yet.
    pub fn is_leader(&self) -> bool {
        matches!(self.ram.state, EpochState::Leader(_))
    }

    /// What it knows of the quorum.
    pub fn election(&self) -> ElectionState {
        self.disk.election
    }

    /// The high watermark: every record below it is committed. `None` while it is not known.
    pub fn high_watermark(&self) -> Option<i64> {
        self.ram.high_watermark
    }

    /// The metadata log on this controller's disk.
    pub fn log(&self) -> &RaftLog {
        &self.disk.log
    }

    /// The offset of the next record.
    pub fn end(&self) -> i64 {
        self.disk.log.end()
    }

    /// Adds everything that decides the future.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.id, self.disk.election));
        into.add(self.ram.high_watermark.map(|offset| self.end() - offset));
        self.ram.state.fingerprint(now, self.end(), into);
        into.add(self.next_deadline(now).map(|at| at.since(now)));
        for waiting in &self.ram.waiting {
            waiting.fingerprint(now, self.end(), into);
        }
        self.ram.requests.fingerprint(now, into);
    }

    // --- transitions ---

    /// Follows `leader` from now on. A vote given in this epoch stays given.
    fn become_follower(&mut self, now: Time, epoch: i32, leader: u8, fx: &mut Effects) {
        self.leave_state(fx);
        let voted = self.disk.election.voted.filter(|_| epoch == self.disk.election.epoch);
        self.disk.election = ElectionState { epoch, leader: Some(leader), voted };
        self.ram.state = self.follower_state(now, leader);
    }

    /// Knows a new epoch (or the old one, after an election that was lost) and no leader. Whoever waits for an
    /// election goes on waiting.
    fn become_unattached(&mut self, now: Time, epoch: i32, fx: &mut Effects) {
        let until = match &self.ram.state {
            EpochState::Candidate { until, .. }
            | EpochState::Unattached { until }
            | EpochState::Resigned { until, .. } => *until,
            EpochState::Prospective { votes, until } if !votes.is_lost(self.voters) => *until,
            _ => now + self.random_election_timeout(fx),
        };
        self.leave_state(fx);
        let voted = self.disk.election.voted.filter(|_| epoch == self.disk.election.epoch);
        self.disk.election = ElectionState { epoch, leader: None, voted };
        self.ram.state = EpochState::Unattached { until };
    }

    /// What ends with a state: answers that are waited for, and leadership.
    fn leave_state(&mut self, fx: &mut Effects) {
        self.ram.requests.reset();
        self.fail_waiting(fx);
        if self.is_leader() {
            let epoch = LeaderEpoch(self.disk.election.epoch);
            fx.event(EventKind::ControllerResigned { epoch });
        }
    }

    fn follower_state(&self, now: Time, leader: u8) -> EpochState {
        EpochState::Follower { leader, until: now + self.config.fetch_timeout, has_fetched: false }
    }

    fn leader_state(&self, now: Time, epoch_start: i64) -> EpochState {
        EpochState::Leader(state::Leader {
            epoch_start,
            replicas: vec![Replica { end: None, fetched_at: None }; usize::from(self.voters) + 1],
            fetched: Voters::default(),
            check_quorum: now + self.check_quorum_timeout(),
            begin_epoch: now,
        })
    }

    // --- what others say about epochs ---

    /// `maybeHandleCommonResponse`: learns what an answer says of leader and epoch. True when the rest of the answer is
    /// about the present epoch and no error.
    fn is_relevant(
        &mut self,
        now: Time,
        error: ErrorCode,
        leader: Option<u8>,
        epoch: i32,
        fx: &mut Effects,
    ) -> bool {
        let own = self.disk.election;
        if epoch < own.epoch || error == ErrorCode::UnknownLeaderEpoch {
            return false;
        }
        self.learn(now, leader, epoch, fx);
        epoch == own.epoch && error == ErrorCode::None
    }

    /// `maybeTransition`.
    fn learn(&mut self, now: Time, leader: Option<u8>, epoch: i32, fx: &mut Effects) {
        let own = self.disk.election;
        match leader.filter(|leader| *leader != self.id) {
            Some(leader) if epoch > own.epoch || (epoch == own.epoch && own.leader.is_none()) => {
                self.become_follower(now, epoch, leader, fx);
            }
            None if epoch > own.epoch => self.become_unattached(now, epoch, fx),
            _ => {}
        }
    }

    /// `from` says that it leads `epoch`, or led it.
    fn leader_says(&mut self, now: Time, from: u8, epoch: i32, fx: &mut Effects) -> ErrorCode {
        if epoch < self.disk.election.epoch {
            return ErrorCode::FencedLeaderEpoch;
        }
        self.learn(now, Some(from), epoch, fx);
        ErrorCode::None
    }

    fn leader_and_epoch(&self) -> (Option<u8>, i32) {
        (self.disk.election.leader, self.disk.election.epoch)
    }

    // --- time ---

    fn poll_state(&mut self, now: Time, fx: &mut Effects) {
        match &self.ram.state {
            EpochState::Formed | EpochState::Down => {}
            EpochState::Unattached { until } if *until <= now => self.become_prospective(now, fx),
            EpochState::Unattached { .. } => self.fetch_from_anyone(now, fx),
            EpochState::Prospective { .. } | EpochState::Candidate { .. } => {
                self.poll_election(now, fx);
            }
            EpochState::Follower { until, .. } if *until <= now => {
                self.become_prospective(now, fx);
            }
            EpochState::Follower { leader, .. } => self.fetch_from(now, *leader, fx),
            EpochState::Leader(_) => self.poll_leader(now, fx),
            EpochState::Resigned { until, .. } if *until <= now && !self.is_stopping() => {
                // The old epoch must not come back to life in someone's answer.
                self.become_unattached(now, self.disk.election.epoch + 1, fx);
            }
            EpochState::Resigned { .. } => self.tell_resigned(now, fx),
        }
    }

    fn next_deadline(&self, now: Time) -> Option<Time> {
        let state = match &self.ram.state {
            EpochState::Leader(leader) if self.voters > 1 => {
                Some(leader.check_quorum.min(leader.begin_epoch))
            }
            EpochState::Formed | EpochState::Down | EpochState::Leader(_) => None,
            EpochState::Unattached { until }
            | EpochState::Prospective { until, .. }
            | EpochState::Candidate { until, .. }
            | EpochState::Follower { until, .. }
            | EpochState::Resigned { until, .. } => Some(*until),
        };
        let waiting = self.ram.waiting.iter().map(|waiting| waiting.deadline).min();
        let requests = self.ram.requests.next_deadline(now);
        let times = [state, waiting, requests, self.ram.shutdown];
        times.into_iter().flatten().filter(|at| *at > now).min()
    }

    fn is_stopping(&self) -> bool {
        self.ram.shutdown.is_some()
    }

    /// `controller.quorum.election.timeout.ms`, and by chance up to as much again.
    fn random_election_timeout(&self, fx: &mut Effects) -> Duration {
        let base = self.config.election_timeout;
        base + Duration(fx.choose_for_quorum(base.0))
    }

    /// 1.5 times the fetch time-out (`CHECK_QUORUM_TIMEOUT_FACTOR`).
    fn check_quorum_timeout(&self) -> Duration {
        Duration(self.config.fetch_timeout.0 * 3 / 2)
    }

    fn others(&self) -> Voters {
        let mut others = Voters::default();
        self.other_voters().for_each(|voter| others.insert(voter));
        others
    }

    fn other_voters(&self) -> impl Iterator<Item = u8> + use<> {
        let own = self.id;
        (1..=self.voters).filter(move |voter| *voter != own)
    }

    /// Sends a request unless one is on its way or a pause is to be kept.
    fn ask(&mut self, now: Time, voter: u8, message: Message, fx: &mut Effects) {
        if self.ram.requests.is_free(voter, now) {
            let correlation = fx.request(NodeId::Controller(voter), message);
            self.ram.requests.sent(voter, correlation, now);
        }
    }

    fn say_appended(&self, fx: &mut Effects) {
        let (epoch, end) = self.disk.log.end_and_epoch();
        fx.event(EventKind::MetadataAppended { epoch: LeaderEpoch(epoch), end: Offset(end) });
    }

    fn set_high_watermark(&mut self, offset: i64, fx: &mut Effects) {
        self.ram.high_watermark = Some(offset);
        let epoch = self.disk.log.epoch_below(offset);
        fx.event(EventKind::MetadataCommitted { epoch, offset: Offset(offset) });
    }

    /// Says where log and high watermark of the formed cluster stand.
    pub fn announce(&mut self, fx: &mut Effects) {
        self.say_appended(fx);
        self.set_high_watermark(self.end(), fx);
    }

    fn majority(&self) -> u8 {
        majority(self.voters)
    }
}

impl Ram {
    fn new(state: EpochState, voters: u8, request_timeout: Duration) -> Self {
        Self {
            state,
            high_watermark: None,
            requests: RequestManager::new(voters, request_timeout),
            waiting: Vec::new(),
            shutdown: None,
        }
    }
}
