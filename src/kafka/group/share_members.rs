//! The heartbeats of share groups at the coordinator (`GroupCoordinatorService.shareGroupHeartbeat`): found groups,
//! written changes, answers once they are replicated, sessions.

use crate::base::batch::{Record, RecordBody};
use crate::base::error::ErrorCode;
use crate::base::ids::{GroupId, KeyId, TopicId};
use crate::base::time::Time;
use crate::kafka::api::Message;
use crate::kafka::effects::{Effects, List, TimerKind, Token};
use crate::kafka::group::classic::Parked;
use crate::kafka::group::coordinator::{GroupCoordinator, Output};
use crate::kafka::group::kind::Group;
use crate::kafka::group::share::{Beat, JOIN, ShareAnswer, ShareGroup, ShareTimes};
use crate::kafka::group::writes::After;

impl GroupCoordinator {
    /// `ShareGroupHeartbeat`.
    pub(super) fn share_heartbeat(&mut self, out: &mut Output<'_>, token: Token, message: Message) {
        let Message::ShareGroupHeartbeat { group: id, member, epoch, topics } = message else {
            unreachable!("called for ShareGroupHeartbeat only")
        };
        let topics: Vec<TopicId> = out.fx.pools.get(topics).to_vec();
        let beat = Beat { member, epoch, topics: (!topics.is_empty()).then_some(topics) };
        let times = self.share_times(id);
        if epoch == JOIN {
            self.groups.entry(id).or_insert_with(|| Group::Share(Box::new(ShareGroup::new(id))));
        }
        let outcome = match self.groups.get_mut(&id) {
            Some(Group::Share(group)) => group.heartbeat(out.now, beat, times, out.fx),
            // It is no share group, or there is none.
            _ => Err(ErrorCode::GroupIdNotFound),
        };
        match outcome {
            Err(error) => out.fx.reply(token, refusal(epoch, error)),
            Ok((answer, changed)) => {
                if changed {
                    self.write_share_group(out, id);
                }
                self.schedule_share_sessions(id, out.fx);
                self.answer_share_member(out, id, token, answer);
            }
        }
    }

    fn share_times(&self, id: GroupId) -> ShareTimes {
        let brokers = &self.config.brokers.share;
        let own = self.config.groups.get(id.index());
        ShareTimes {
            session: own.and_then(|g| g.session_timeout).unwrap_or(brokers.session_timeout),
            heartbeat: own.and_then(|g| g.heartbeat_interval).unwrap_or(brokers.heartbeat_interval),
            assignment: brokers.assignment_interval,
        }
    }

    pub(super) fn write_share_group(&mut self, out: &mut Output<'_>, id: GroupId) {
        let Some(Group::Share(group)) = self.groups.get(&id) else { return };
        let snapshot = group.snapshot();
        let bytes = 60 + 100 * snapshot.members.len() as u32;
        let snapshot = out.fx.batches.add_share_group(snapshot);
        let body = RecordBody::ShareGroup { group: id, snapshot };
        let timestamp = out.now.timestamp();
        let is_tombstone = false;
        let record = Record { body, key: KeyId::NONE, bytes, timestamp, is_tombstone };
        self.append(out, id, &[record], |_| After::Nothing);
    }

    /// The answer waits for the writes before it.
    fn answer_share_member(
        &mut self,
        out: &mut Output<'_>,
        id: GroupId,
        token: Token,
        answer: ShareAnswer,
    ) {
        match self.last_write(out.fx.names.group_partitions[id.index()]) {
            Some(ticket) => {
                let parked = Parked::new(token);
                self.wait(out, id, ticket, After::Share { parked, answer });
            }
            None => reply(out.fx, token, &answer),
        }
    }

    /// Sessions of members are over.
    pub(super) fn share_sessions_end(&mut self, out: &mut Output<'_>, id: GroupId) {
        let Some(Group::Share(group)) = self.groups.get_mut(&id) else { return };
        if group.expire(out.now, out.fx) {
            self.write_share_group(out, id);
        }
        self.schedule_share_sessions(id, out.fx);
    }

    fn schedule_share_sessions(&self, id: GroupId, fx: &mut Effects) {
        let Some(Group::Share(group)) = self.groups.get(&id) else { return };
        match group.next_session() {
            Time::NEVER => fx.cancel_timer(TimerKind::ShareSession, id.0),
            at => fx.set_timer(TimerKind::ShareSession, id.0, at),
        }
    }

    /// This broker coordinates the share group from now on.
    pub(super) fn share_group_loaded(&mut self, now: Time, id: GroupId, fx: &mut Effects) {
        let times = self.share_times(id);
        if let Some(Group::Share(group)) = self.groups.get_mut(&id) {
            group.loaded(now, times, fx);
        }
        self.schedule_share_sessions(id, fx);
    }
}

/// Answers a member.
pub(super) fn reply(fx: &mut Effects, token: Token, answer: &ShareAnswer) {
    let partitions = answer.partitions.as_ref().map_or(List::EMPTY, |p| fx.keep(p));
    fx.reply(
        token,
        Message::ShareGroupHeartbeatResponse {
            error: ErrorCode::None,
            epoch: answer.epoch,
            interval_ms: answer.interval_ms,
            assigned: answer.partitions.is_some(),
            partitions,
        },
    );
}

/// The answer that says nothing but `error`.
pub(super) fn refusal(epoch: i32, error: ErrorCode) -> Message {
    let (interval_ms, assigned, partitions) = (0, false, List::EMPTY);
    Message::ShareGroupHeartbeatResponse { error, epoch, interval_ms, assigned, partitions }
}
