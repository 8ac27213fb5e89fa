//! The events that tell how a group of the consumer protocol changed.

use crate::event::{EventKind, LeaveReason};
use crate::kafka::effects::Effects;
use crate::kafka::group::consumer::{ConsumerGroup, ConsumerGroupMember};

impl ConsumerGroup {
    /// Says what became of `before`. `reason` is why a member is gone that is not there any more. What a member gives
    /// up is said before somebody else gets it, the group's state at the end.
    pub(in crate::kafka::group) fn say_changes(
        &self,
        before: &Self,
        reason: LeaveReason,
        fx: &mut Effects,
    ) {
        let group = self.id;
        for member in before.members.keys().filter(|id| !self.members.contains_key(id)).copied() {
            fx.event(EventKind::MemberLeft { group, member, reason });
        }
        for member in self.members.keys().filter(|id| !before.members.contains_key(id)).copied() {
            fx.event(EventKind::MemberJoined { group, member, leader: false });
        }
        if (self.target_epoch, self.target_at) != (before.target_epoch, before.target_at)
            && self.target_epoch >= 0
            && !self.members.is_empty()
        {
            fx.event(EventKind::TargetComputed { group, epoch: self.target_epoch });
            for (member, target) in &self.target {
                for partition in target {
                    let (member, partition) = (*member, *partition);
                    fx.event(EventKind::MemberTarget { group, member, partition });
                }
            }
        }
        self.say_members(before, fx);
        let (state, epoch) = (self.state(), self.epoch);
        if (before.state(), before.epoch) != (state, epoch) {
            fx.event(EventKind::ConsumerGroupChanged { group, state, epoch });
        }
    }

    fn say_members(&self, before: &Self, fx: &mut Effects) {
        let group = self.id;
        let nobody = ConsumerGroupMember::default();
        for (id, now) in &self.members {
            let was = before.members.get(id).unwrap_or(&nobody);
            for partition in was.held().filter(|p| !now.held().any(|held| held == *p)) {
                fx.event(EventKind::MemberReleased { group, member: *id, partition });
            }
        }
        for (id, now) in &self.members {
            let was = before.members.get(id).unwrap_or(&nobody);
            let (member, epoch, state) = (*id, now.epoch(), now.state());
            if (was.epoch(), was.state()) != (epoch, state) {
                fx.event(EventKind::MemberEpoch { group, member, epoch, state });
            }
            for partition in now.held().filter(|p| !was.held().any(|held| held == *p)) {
                fx.event(EventKind::MemberAssigned { group, member, partition });
            }
        }
    }
}
