//! Answers that wait until what they say is committed: `DeferredEventQueue`.

use std::collections::VecDeque;

use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::NodeId;
use crate::kafka::api::Message;
use crate::kafka::effects::{Effect, Effects, List, Token};

/// An answer, and up to where the log must be committed before it is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Deferred {
    offset: i64,
    token: Token,
    message: Message,
}

/// The answers that wait, in the order they were made.
#[derive(Clone, Default, Debug)]
pub(super) struct DeferredAnswers {
    queue: VecDeque<Deferred>,
}

impl DeferredAnswers {
    /// Keeps the answers among the effects from `first` on while the log, which ends at `end`, is committed up to
    /// `committed` only. An answer that wrote nothing waits for what was written before it: it may say so.
    pub(super) fn keep_from(&mut self, first: usize, end: i64, committed: i64, fx: &mut Effects) {
        if committed >= end {
            return;
        }
        let mut kept = first;
        for at in first..fx.list.len() {
            if let Effect::Reply { token, message } = fx.list[at] {
                self.queue.push_back(Deferred { offset: end, token, message });
            } else {
                fx.list.swap(kept, at);
                kept += 1;
            }
        }
        fx.list.truncate(kept);
    }

    /// Gives every answer that is true by now.
    pub(super) fn complete(&mut self, committed: i64, fx: &mut Effects) {
        while self.queue.front().is_some_and(|deferred| deferred.offset <= committed) {
            if let Some(deferred) = self.queue.pop_front() {
                fx.reply(deferred.token, deferred.message);
            }
        }
    }

    /// The controller is not active any more: what it was about to say may never come true.
    pub(super) fn refuse(&mut self, fx: &mut Effects) {
        for deferred in self.queue.drain(..) {
            fx.reply(deferred.token, refused(&deferred.message));
            fx.pools.free(deferred.message);
        }
    }

    /// Adds who waits, and for how much more to be committed.
    pub(super) fn fingerprint(&self, committed: i64, into: &mut Fingerprint) {
        for deferred in &self.queue {
            into.add((deferred.token.from, deferred.offset - committed));
        }
    }

    /// The asker hung up.
    pub(super) fn forget(&mut self, peer: NodeId, fx: &mut Effects) {
        self.queue.retain(|deferred| {
            let stays = deferred.token.from != peer;
            if !stays {
                fx.pools.free(deferred.message);
            }
            stays
        });
    }
}

/// What a controller that is not active answers to `request`.
pub(super) fn refusal(request: &Message) -> Message {
    refused(&match request {
        Message::BrokerRegistration { .. } => {
            Message::BrokerRegistrationResponse { error: ErrorCode::None, broker_epoch: -1 }
        }
        Message::AlterPartition { .. } => {
            Message::AlterPartitionResponse { error: ErrorCode::None, results: List::EMPTY }
        }
        _ => Message::BrokerHeartbeatResponse {
            error: ErrorCode::None,
            is_fenced: true,
            is_caught_up: false,
            should_shut_down: false,
        },
    })
}

/// The same kind of answer, but it says `NOT_CONTROLLER`.
fn refused(answer: &Message) -> Message {
    let error = ErrorCode::NotController;
    match answer {
        Message::BrokerRegistrationResponse { .. } => {
            Message::BrokerRegistrationResponse { error, broker_epoch: -1 }
        }
        Message::AlterPartitionResponse { .. } => {
            Message::AlterPartitionResponse { error, results: List::EMPTY }
        }
        _ => Message::BrokerHeartbeatResponse {
            error,
            is_fenced: true,
            is_caught_up: false,
            should_shut_down: false,
        },
    }
}
