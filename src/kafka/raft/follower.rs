//! A voter that does not lead: it fetches from the leader, cuts what the leader does not have, and asks others when the
//! leader is silent (`pollFollowerAsVoter`, `pollUnattachedAsVoter`, `handleFetchResponse`).

use crate::base::error::ErrorCode;
use crate::base::ids::{NodeId, Offset};
use crate::base::time::Time;
use crate::event::EventKind;
use crate::kafka::api::{Message, MetadataRecord};
use crate::kafka::effects::Effects;
use crate::kafka::raft::RaftClient;
use crate::kafka::raft::state::{EpochState, successor_backoff};

impl RaftClient {
    /// Fetches from the leader, or from anyone while the leader does not answer: who leads now?
    pub(super) fn fetch_from(&mut self, now: Time, leader: u8, fx: &mut Effects) {
        if self.ram.requests.any_in_flight(now) {
            return;
        }
        if !self.ram.requests.is_ready(leader, now) || self.ram.requests.has_timed_out(leader, now)
        {
            return self.fetch_from_anyone(now, fx);
        }
        self.send_fetch(now, leader, fx);
    }

    /// Fetches from any other voter.
    pub(super) fn fetch_from_anyone(&mut self, now: Time, fx: &mut Effects) {
        if self.ram.requests.any_in_flight(now) {
            return;
        }
        if let Some(voter) = self.ram.requests.any_ready(self.id, now, fx) {
            self.send_fetch(now, voter, fx);
        }
    }

    fn send_fetch(&mut self, now: Time, voter: u8, fx: &mut Effects) {
        let (last_epoch, offset) = self.disk.log.end_and_epoch();
        let (epoch, high_watermark) =
            (self.disk.election.epoch, self.ram.high_watermark.unwrap_or(-1));
        let message = Message::MetadataFetch { epoch, last_epoch, offset, high_watermark };
        self.ram.requests.reset();
        let correlation = fx.request(NodeId::Controller(voter), message);
        self.ram.requests.sent(voter, correlation, now);
    }

    /// The answer to a fetch.
    pub(super) fn fetched(&mut self, now: Time, from: u8, message: Message, fx: &mut Effects) {
        let (error, leader, epoch) = match message {
            Message::MetadataFetchResponse { error, leader, epoch, .. } => (error, leader, epoch),
            Message::MetadataFetchDiverging { leader, epoch, .. } => {
                (ErrorCode::None, leader, epoch)
            }
            other => unreachable!("no controller asked for {other:?}"),
        };
        let before = self.disk.election;
        let relevant = self.is_relevant(now, error, leader, epoch, fx);
        if !relevant {
            if self.disk.election == before {
                self.ram.requests.back_off(from, now);
            }
            return;
        }
        let next = now + self.config.fetch_timeout;
        let EpochState::Follower { leader, until, has_fetched } = &mut self.ram.state else {
            return;
        };
        if *leader != from {
            return;
        }
        (*until, *has_fetched) = (next, true);
        match message {
            Message::MetadataFetchDiverging { end_epoch, end, .. } => {
                self.truncate(end_epoch, end, fx);
            }
            Message::MetadataFetchResponse { high_watermark, records, .. } => {
                let count = fx.pools.get(records).len();
                for at in 0..count {
                    let record = fx.pools.get(records)[at];
                    if at > 0 && matches!(record, MetadataRecord::LeaderChange { .. }) {
                        self.say_appended(fx);
                    }
                    self.disk.log.append(record);
                }
                if count > 0 {
                    self.say_appended(fx);
                }
                let known = high_watermark.min(self.end());
                if known >= 0 && self.ram.high_watermark.is_none_or(|before| before < known) {
                    self.set_high_watermark(known, fx);
                }
            }
            _ => {}
        }
    }

    fn truncate(&mut self, end_epoch: i32, end: i64, fx: &mut Effects) {
        let before = self.end();
        let to = self.disk.log.truncate_to_end_of(end_epoch, end);
        if to < before {
            fx.event(EventKind::MetadataTruncated { to: Offset(to) });
        }
    }

    /// The leader says that it is one no more: the voter with the longest log begins at once.
    pub(super) fn leader_resigned(&mut self, now: Time, from: u8, successors: [u8; 4]) {
        let named = || successors.iter().filter(|voter| **voter != 0);
        let count = named().count();
        let position = named().position(|voter| *voter == self.id).unwrap_or(count);
        let wait = successor_backoff(position, count, self.config.election_backoff_max);
        if let EpochState::Follower { leader, until, .. } = &mut self.ram.state
            && *leader == from
        {
            *until = now + wait;
        }
    }
}
