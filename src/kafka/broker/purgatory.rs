//! Requests that wait: `DelayedProduce` (for the high watermark) and `DelayedFetch` (for data), with the batches of the
//! coordinators that wait for replication. In memory only.

use crate::base::config::IsolationLevel;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, Offset, PartitionId, RackId};
use crate::base::time::Time;
use crate::kafka::api::{FetchPartition, ProduceResult};
use crate::kafka::effects::{Effects, TimerKind, Token};

/// One batch of a delayed produce request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ProduceItem {
    /// The answer as it stands.
    pub(super) result: ProduceResult,
    /// The high watermark that completes it.
    pub(super) required: Offset,
    /// Still waiting.
    pub(super) pending: bool,
}

/// An `acks=all` request whose batches are appended and not all replicated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DelayedProduce {
    pub(super) token: Token,
    pub(super) deadline: Time,
    pub(super) items: Vec<ProduceItem>,
    /// They end transactions: the answer is that of `WriteTxnMarkers`.
    pub(super) markers: bool,
}

/// The fixed part of a fetch request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FetchParams {
    pub(super) token: Token,
    /// The follower that fetches, with its broker epoch; `None` for a consumer.
    pub(super) replica: Option<(BrokerId, i64)>,
    /// The rack a consumer says it is in.
    pub(super) rack: Option<RackId>,
    pub(super) min_bytes: u32,
    pub(super) max_bytes: u32,
    pub(super) isolation: IsolationLevel,
}

/// A fetch that found too little.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DelayedFetch {
    pub(super) params: FetchParams,
    pub(super) deadline: Time,
    pub(super) partitions: Vec<FetchPartition>,
}

/// A batch of a coordinator that is appended and not replicated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CoordinatorWrite {
    pub(super) partition: PartitionId,
    pub(super) ticket: u32,
    pub(super) base_offset: Offset,
    pub(super) required: Offset,
}

/// Everything that waits.
#[derive(Clone, Debug)]
pub(super) struct Purgatory {
    pub(super) produces: Vec<DelayedProduce>,
    pub(super) fetches: Vec<DelayedFetch>,
    pub(super) writes: Vec<CoordinatorWrite>,
    /// Emptied lists, kept for their capacity.
    spare_items: Vec<Vec<ProduceItem>>,
    spare_partitions: Vec<Vec<FetchPartition>>,
    /// What the two timers are set to.
    produce_timer: Time,
    fetch_timer: Time,
}

impl Purgatory {
    pub(super) fn new() -> Self {
        Self {
            produces: Vec::new(),
            fetches: Vec::new(),
            writes: Vec::new(),
            spare_items: Vec::new(),
            spare_partitions: Vec::new(),
            produce_timer: Time::NEVER,
            fetch_timer: Time::NEVER,
        }
    }

    /// An empty list for the items of a produce request.
    pub(super) fn items(&mut self) -> Vec<ProduceItem> {
        self.spare_items.pop().unwrap_or_default()
    }

    /// Takes a list back.
    pub(super) fn recycle_items(&mut self, mut items: Vec<ProduceItem>) {
        items.clear();
        self.spare_items.push(items);
    }

    /// An empty list for the partitions of a fetch.
    pub(super) fn partitions(&mut self) -> Vec<FetchPartition> {
        self.spare_partitions.pop().unwrap_or_default()
    }

    /// Takes a list back.
    pub(super) fn recycle_partitions(&mut self, mut partitions: Vec<FetchPartition>) {
        partitions.clear();
        self.spare_partitions.push(partitions);
    }

    /// A produce request waits.
    pub(super) fn delay_produce(&mut self, delayed: DelayedProduce, fx: &mut Effects) {
        if delayed.deadline < self.produce_timer {
            self.produce_timer = delayed.deadline;
            fx.set_timer(TimerKind::DelayedProduce, 0, delayed.deadline);
        }
        self.produces.push(delayed);
    }

    /// A fetch waits.
    pub(super) fn delay_fetch(&mut self, delayed: DelayedFetch, fx: &mut Effects) {
        if delayed.deadline < self.fetch_timer {
            self.fetch_timer = delayed.deadline;
            fx.set_timer(TimerKind::DelayedFetch, 0, delayed.deadline);
        }
        self.fetches.push(delayed);
    }

    /// The produce timer ran out and what was due is gone: set it for the next.
    pub(super) fn rearm_produce(&mut self, fx: &mut Effects) {
        let next = self.produces.iter().map(|delayed| delayed.deadline).min();
        self.produce_timer = next.unwrap_or(Time::NEVER);
        if let Some(at) = next {
            fx.set_timer(TimerKind::DelayedProduce, 0, at);
        }
    }

    /// The fetch timer ran out and what was due is gone: set it for the next.
    pub(super) fn rearm_fetch(&mut self, fx: &mut Effects) {
        let next = self.fetches.iter().map(|delayed| delayed.deadline).min();
        self.fetch_timer = next.unwrap_or(Time::NEVER);
        if let Some(at) = next {
            fx.set_timer(TimerKind::DelayedFetch, 0, at);
        }
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        for delayed in &self.produces {
            into.add(delayed.token.from);
            into.add_time(now, delayed.deadline);
            for item in &delayed.items {
                into.add((item.result.partition, item.required, item.pending));
            }
        }
        for delayed in &self.fetches {
            into.add(delayed.params.token.from);
            into.add_time(now, delayed.deadline);
            for asked in &delayed.partitions {
                into.add((asked.partition, asked.offset, asked.current_leader_epoch));
            }
        }
        for write in &self.writes {
            into.add((write.partition, write.required));
        }
    }
}
