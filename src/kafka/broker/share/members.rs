//! Members that go, locks that run out, and the queue of what follows.

use crate::base::error::ErrorCode;
use crate::base::ids::{BatchHandle, GroupId, LeaderEpoch, MemberId, NodeId, Offset, PartitionId};
use crate::base::time::Time;
use crate::event::SettleReason;
use crate::kafka::api::{Message, ShareAcknowledgeResult};
use crate::kafka::broker::Broker;
use crate::kafka::broker::share::{Asked, TIMERS, Todo};
use crate::kafka::effects::{Effects, TimerKind};
use crate::kafka::share::partition::SharePartition;

/// Answers a `ShareAcknowledge`.
pub(super) fn answer_acknowledge(broker: &Broker, asked: &Asked, fx: &mut Effects) {
    let mut results = Vec::new();
    for part in &asked.parts {
        let error = part.acknowledged.unwrap_or(part.error);
        let (leader, leader_epoch) = broker.leader_hint(part.partition, error);
        let partition = part.partition;
        results.push(ShareAcknowledgeResult { partition, error, leader, leader_epoch });
    }
    let results = fx.keep(&results);
    fx.reply(asked.token, Message::ShareAcknowledgeResponse { error: ErrorCode::None, results });
}

impl Broker {
    /// The member's session is over: what it has goes back (`SharePartitionManager.releaseSession`).
    pub(super) fn end_share_session(
        &mut self,
        now: Time,
        (group, member): (GroupId, MemberId),
        fx: &mut Effects,
    ) {
        let Some(partitions) = self.ram.share.sessions.remove((group, member)) else { return };
        let rules = self.share_rules(group, fx.defect);
        for partition in partitions {
            let key = (group, partition);
            let Some(share) = self.ram.share.partitions.get_mut(&key) else { continue };
            if let Some(write) = share.release(member, &rules) {
                self.persist(now, key, write, SettleReason::Released, fx);
            }
        }
    }

    /// The connection of a client is closed: its sessions are over, and its fetches wait for nobody.
    pub(in crate::kafka::broker) fn share_peer_gone(
        &mut self,
        now: Time,
        peer: NodeId,
        fx: &mut Effects,
    ) {
        self.ram.share.asked.retain(|asked| asked.token.from != peer);
        for key in self.ram.share.sessions.of(peer) {
            self.end_share_session(now, key, fx);
        }
        for group in self.ram.share.sessions.hung_up(peer) {
            self.ram.share.partitions.retain(|key, _| key.0 != group);
        }
    }

    /// A partition of `__share_group_state` is led here from now on.
    pub(in crate::kafka::broker) fn share_coordinator_elected(
        &mut self,
        home: PartitionId,
        epoch: LeaderEpoch,
        fx: &mut Effects,
    ) {
        let Some(Some(log)) = self.disk.logs.get(home.index()) else { return };
        let log: Vec<(Offset, BatchHandle)> = log.batches().collect();
        let left = self.ram.share.coordinator.elected(home, epoch, log.into_iter(), fx);
        self.ram.share.todo.extend(left.into_iter().map(Todo::Answer));
    }

    /// A partition is not led here any more: share partitions go, and the share coordinator's part in it.
    pub(in crate::kafka::broker) fn share_resigned(
        &mut self,
        partition: PartitionId,
        fx: &mut Effects,
    ) {
        let left = self.ram.share.coordinator.resigned(partition, fx);
        self.ram.share.todo.extend(left.into_iter().map(Todo::Answer));
        self.ram.share.partitions.retain(|key, _| key.1 != partition);
        for asked in &mut self.ram.share.asked {
            if asked.is_fetching() && asked.wanted.contains(&partition) {
                asked.part(partition).error = ErrorCode::NotLeaderOrFollower;
                asked.deadline = Time::ZERO;
            }
        }
    }

    /// A timer of share groups ran out.
    pub(in crate::kafka::broker) fn share_timeout(
        &mut self,
        now: Time,
        kind: TimerKind,
        fx: &mut Effects,
    ) {
        if let Some(place) = TIMERS.iter().position(|timer| *timer == kind) {
            self.ram.share.timers[place] = Time::NEVER;
        }
        match kind {
            TimerKind::ShareLock => self.expire_locks(now, fx),
            TimerKind::DelayedShareFetch => self.expire_share_fetches(now, fx),
            _ => self.retry_own_requests(now, fx),
        }
    }

    fn expire_locks(&mut self, now: Time, fx: &mut Effects) {
        let keys: Vec<_> = self.ram.share.partitions.keys().copied().collect();
        for key in keys {
            let rules = self.share_rules(key.0, fx.defect);
            let Some(share) = self.ram.share.partitions.get_mut(&key) else { continue };
            if share.next_lock() > now {
                continue;
            }
            if let Some(write) = share.expire_locks(now, &rules) {
                Self::say_settled(key, &write.batches, SettleReason::LockTimeout, fx);
                self.persist(now, key, write, SettleReason::LockTimeout, fx);
                self.ram.share.todo.push_back(Todo::Wake(key));
            }
        }
    }

    /// Does what the step has left to do about share groups.
    pub(in crate::kafka::broker) fn share_work(&mut self, now: Time, fx: &mut Effects) {
        let mut worked = false;
        while let Some(todo) = self.ram.share.todo.pop_front() {
            worked = true;
            match todo {
                Todo::Append(append) => self.write_for_share(now, append, fx),
                Todo::Answer((asker, message)) => self.answer_asker(now, asker, message, fx),
                Todo::Wake(key) => self.wake(now, key, fx),
                Todo::Lapsed(key, batches) => {
                    Self::say_settled(key, &batches, SettleReason::LockTimeout, fx);
                }
                Todo::Bury(key, dead) => self.bury(now, key, dead, fx),
                Todo::Buried(key, dead) => self.buried(now, key, dead, fx),
            }
        }
        if worked || !self.ram.share.partitions.is_empty() || !self.ram.share.own.is_empty() {
            self.answer_share_requests(fx);
            self.schedule_share(now, fx);
        }
    }

    fn schedule_share(&mut self, now: Time, fx: &mut Effects) {
        let share = &self.ram.share;
        let lock = share.partitions.values().map(SharePartition::next_lock).min();
        let fetch = share.asked.iter().filter(|asked| asked.is_fetching()).map(|a| a.deadline);
        let own = share.own.iter().map(|own| own.due).min();
        let due = [lock, fetch.min(), own].map(|at| at.unwrap_or(Time::NEVER));
        for ((kind, set), at) in TIMERS.into_iter().zip(&mut self.ram.share.timers).zip(due) {
            if *set == at {
                continue;
            }
            *set = at;
            if at == Time::NEVER {
                fx.cancel_timer(kind, 0);
            } else {
                fx.set_timer(kind, 0, at.max(now));
            }
        }
    }

    /// Who has what: true while a member holds records of `partition` for `group`.
    pub fn share_holders(&self, group: GroupId, partition: PartitionId) -> Vec<(i64, MemberId)> {
        let share = self.share_state(group, partition);
        let held = share.into_iter().flat_map(SharePartition::records);
        let held = held.filter(|(_, state)| state.member != MemberId::UNKNOWN);
        held.map(|(offset, state)| (offset, state.member)).collect()
    }
}
