//! The metadata log (`__cluster_metadata`) and the brokers that wait for its next record.
//!
//! Simplified: no snapshots; without a quorum every record is committed at once.

use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::NodeId;
use crate::base::shared_log::SharedLog;
use crate::base::time::{Duration, Time};
use crate::kafka::api::{Message, MetadataRecord};
use crate::kafka::effects::{Effects, List, TimerKind, Token};

/// How long a fetch waits for a record (`KafkaRaftClient.MAX_FETCH_WAIT_MS`).
const MAX_WAIT: Duration = Duration::from_millis(500);

/// A fetch that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Waiting {
    token: Token,
    offset: i64,
    deadline: Time,
}

/// The log, and who waits at its end.
#[derive(Clone, Default, Debug)]
pub(super) struct MetadataLog {
    records: SharedLog<MetadataRecord>,
    waiting: Vec<Waiting>,
}

impl MetadataLog {
    /// The offset of the next record.
    pub(super) fn end(&self) -> i64 {
        self.records.len() as i64
    }

    pub(super) fn append(&mut self, record: MetadataRecord) {
        self.records.push(record);
    }

    /// A broker asks for records from `offset` on; at the end of the log it waits.
    pub(super) fn fetch(&mut self, now: Time, token: Token, offset: i64, fx: &mut Effects) {
        let deadline = now + MAX_WAIT;
        self.waiting.push(Waiting { token, offset, deadline });
        self.set_timer(fx);
    }

    /// Answers everyone for whom there is a record.
    pub(super) fn answer(&mut self, fx: &mut Effects) {
        let end = self.end();
        self.release(|waiting| waiting.offset < end, fx);
    }

    /// Answers everyone who has waited long enough.
    pub(super) fn expire(&mut self, now: Time, fx: &mut Effects) {
        self.release(|waiting| waiting.deadline <= now, fx);
        self.set_timer(fx);
    }

    /// A broker hung up.
    pub(super) fn forget(&mut self, peer: NodeId) {
        self.waiting.retain(|waiting| waiting.token.from != peer);
    }

    /// The process is gone.
    pub(super) fn forget_all(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        for waiting in &self.waiting {
            into.add((waiting.token.from, waiting.offset - self.end()));
            into.add_time(now, waiting.deadline);
        }
    }

    fn release(&mut self, ready: impl Fn(&Waiting) -> bool, fx: &mut Effects) {
        let records = &self.records;
        self.waiting.retain(|waiting| {
            if !ready(waiting) {
                return true;
            }
            let first = waiting.offset;
            let mut list = Vec::new();
            list.extend((first as usize..records.len()).map(|at| records[at]));
            let records = if list.is_empty() { List::EMPTY } else { fx.keep(&list) };
            let error = ErrorCode::None;
            fx.reply(waiting.token, Message::MetadataFetchResponse { error, first, records });
            false
        });
    }

    fn set_timer(&self, fx: &mut Effects) {
        if let Some(first) = self.waiting.iter().map(|waiting| waiting.deadline).min() {
            fx.set_timer(TimerKind::MetadataWait, 0, first);
        }
    }
}
