//! `beginningOffsets()` and `endOffsets()`: `OffsetFetcher.fetchOffsetsByTimes`. Every leader is asked; a partition
//! whose answer is an error that can pass, or whose leader is unknown, is asked for again after the next metadata,
//! until the call's time is over. So an end that a new leader does not know yet (`OFFSET_NOT_AVAILABLE`) is a
//! `TimeoutException` when it stays unknown.

use crate::base::error::ErrorCode;
use crate::base::ids::{BrokerId, PartitionId};
use crate::base::time::Time;
use crate::kafka::api::{ListOffsetsPartition, ListOffsetsResult, Message, PartitionOffset};
use crate::kafka::consumer::calls::{Call, Outcome};
use crate::kafka::consumer::offsets::{EARLIEST, LATEST};
use crate::kafka::consumer::{Consumer, LogBound, Request, Returned};
use crate::kafka::effects::Effects;

/// The call.
#[derive(Clone, Debug)]
pub(super) struct LogBounds {
    partitions: Vec<PartitionId>,
    timestamp: i64,
    pub(super) deadline: Time,
    /// What is known already.
    found: Vec<PartitionOffset>,
    /// Requests without an answer.
    open: Vec<u32>,
    /// The metadata version that was not good enough: nothing is asked before a newer one.
    stale: Option<u32>,
}

impl LogBounds {
    pub(super) fn new(partitions: Vec<PartitionId>, end: LogBound, deadline: Time) -> Self {
        let timestamp = match end {
            LogBound::Beginning => EARLIEST,
            LogBound::End => LATEST,
        };
        let (found, open) = (Vec::new(), Vec::new());
        Self { partitions, timestamp, deadline, found, open, stale: None }
    }

    /// The partitions without an answer that counts.
    fn left(&self) -> Vec<PartitionId> {
        let is_found = |p: PartitionId| self.found.iter().any(|known| known.partition == p);
        self.partitions.iter().copied().filter(|p| !is_found(*p)).collect()
    }

    /// An answer, or (without results) the news that there will be none. False when it belongs to something else.
    pub(super) fn answered(&mut self, id: u32, results: &[ListOffsetsResult]) -> bool {
        let Some(at) = self.open.iter().position(|open| *open == id) else { return false };
        self.open.remove(at);
        let good = results.iter().filter(|result| result.error == ErrorCode::None);
        self.found
            .extend(good.map(|r| PartitionOffset { partition: r.partition, offset: r.offset }));
        true
    }
}

impl Consumer {
    /// Goes on with the call as far as it can.
    pub(super) fn advance_log_bounds(
        &mut self,
        now: Time,
        lookup: &mut LogBounds,
        fx: &mut Effects,
    ) -> Outcome {
        self.wake = Time::NEVER;
        let left = lookup.left();
        if left.is_empty() {
            return Ok(Some(Returned::Offsets(std::mem::take(&mut lookup.found))));
        }
        let version = self.network.metadata().version();
        let waits = !lookup.open.is_empty() || lookup.stale == Some(version);
        if !waits && lookup.deadline > now {
            lookup.stale = None;
            let all_sent = self.ask_for_log_bounds(now, lookup, &left, fx);
            if !all_sent {
                self.wake = now + self.config.retry_backoff;
            }
        }
        self.blocked_until(now, lookup.deadline)
    }

    /// Asks the leaders of the partitions. False when one of them is not connected yet.
    fn ask_for_log_bounds(
        &mut self,
        now: Time,
        lookup: &mut LogBounds,
        left: &[PartitionId],
        fx: &mut Effects,
    ) -> bool {
        let mut by_leader: Vec<(BrokerId, Vec<ListOffsetsPartition>)> = Vec::new();
        for partition in left.iter().copied() {
            let known = self.network.metadata().partition(partition);
            let Some((leader, known)) = known.and_then(|k| Some((k.leader?, k))) else { continue };
            let question = ListOffsetsPartition {
                partition,
                current_leader_epoch: known.leader_epoch,
                timestamp: lookup.timestamp,
            };
            match by_leader.iter_mut().find(|(broker, _)| *broker == leader) {
                Some((_, questions)) => questions.push(question),
                None => by_leader.push((leader, vec![question])),
            }
        }
        if by_leader.is_empty() {
            self.network.metadata_mut().request_update(true);
            lookup.stale = Some(self.network.metadata().version());
            return true;
        }
        let mut all_sent = true;
        for (broker, questions) in by_leader {
            if !self.network.ready(now, broker, fx) {
                all_sent = false;
                continue;
            }
            let id = self.new_id();
            lookup.open.push(id);
            let isolation = self.config.isolation;
            let message = Message::ListOffsets { isolation, partitions: fx.keep(&questions) };
            let timeout = self.config.request_timeout;
            self.network.send(now, broker, (message, Request::ListOffsets(id)), timeout, fx);
        }
        all_sent
    }

    /// Takes an answer to the call in. What is missing after the last one waits for newer metadata.
    pub(super) fn log_bounds_answered(&mut self, id: u32, results: &[ListOffsetsResult]) -> bool {
        let Some(Call::LogBounds(lookup)) = &mut self.call else { return false };
        if !lookup.answered(id, results) {
            return false;
        }
        if lookup.open.is_empty() && !lookup.left().is_empty() {
            lookup.stale = Some(self.network.metadata().version());
            self.network.metadata_mut().request_update(false);
        }
        true
    }
}
