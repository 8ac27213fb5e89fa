//! Calls of administrators about share groups: at the group's coordinator, and at the share coordinators of its
//! partitions (`InitializeShareGroupState`, `DeleteShareGroupState`).
//!
//! Simplified: a call reaches the right broker at once, and is answered when its records are written.

use crate::base::error::ErrorCode;
use crate::base::ids::{GroupId, Offset};
use crate::base::time::Time;
use crate::event::EventKind;
use crate::kafka::broker::Broker;
use crate::kafka::broker::share::Todo;
use crate::kafka::effects::Effects;
use crate::kafka::group::share_admin::{ShareGroupAnswer, ShareGroupCall};
use crate::kafka::share::coordinator::{Output, ShareKey};

/// What becomes of the state of a share partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShareStateCall {
    /// It begins at `start` (negative: by `share.auto.offset.reset`), under this state epoch; nothing is known of
    /// records.
    Initialize {
        /// The state epoch.
        epoch: i32,
        /// The start offset.
        start: Offset,
    },
    /// There is none any more.
    Delete,
}

impl Broker {
    /// Does what an administrator asks of a share group that this broker coordinates.
    ///
    /// # Errors
    /// `NOT_COORDINATOR`, `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP`.
    pub fn administer_share_group(
        &mut self,
        now: Time,
        (group, call): (GroupId, &ShareGroupCall),
        fx: &mut Effects,
    ) -> Result<ShareGroupAnswer, ErrorCode> {
        self.ram.last_step = now;
        let seen = fx.list.len();
        let mut appends = std::mem::take(&mut self.ram.appends);
        let done = self.ram.coordinator.administer_share(now, (group, call), fx, &mut appends);
        self.write_for_coordinator(now, appends, fx);
        self.read_answered(now, seen, fx);
        done
    }

    /// Does it to the state of one share partition, which this broker coordinates.
    ///
    /// # Errors
    /// `NOT_COORDINATOR`, `FENCED_STATE_EPOCH`.
    pub fn administer_share_state(
        &mut self,
        now: Time,
        (key, call): (ShareKey, ShareStateCall),
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        self.ram.last_step = now;
        let seen = fx.list.len();
        let mut appends = Vec::new();
        let out = &mut Output { now, fx, appends: &mut appends };
        let coordinator = &mut self.ram.share.coordinator;
        let start = match call {
            ShareStateCall::Initialize { epoch, start } => {
                coordinator.initialize(out, key, (epoch, start))?;
                start
            }
            ShareStateCall::Delete => {
                coordinator.delete(out, key)?;
                Offset::NONE
            }
        };
        let (group, partition) = key;
        fx.event(EventKind::ShareReset { group, partition, start });
        self.ram.share.todo.extend(appends.into_iter().map(Todo::Append));
        self.share_work(now, fx);
        self.read_answered(now, seen, fx);
        Ok(())
    }
}
