//! Stored offsets: what a consumer of librdkafka commits (`rd_kafka_offset_store`,
//! `rd_kafka_cgrp_offset_commit_tmr_cb`).
//!
//! Each record that is handed out is *stored*, finished or not, unless `enable.auto.offset.store` is off and the
//! application stores by itself. A timer in the background, not a later `poll()`, commits what is stored and was not
//! committed before; so do `close()`, a rebalance and a commit without arguments. The timer runs from the consumer's
//! start. A store may go backwards: the last one counts.

use crate::base::fingerprint::Fingerprint;
use crate::base::librdkafka::ClientFamily;
use crate::base::time::Time;
use crate::event::CommitKind;
use crate::kafka::api::PartitionOffset;
use crate::kafka::consumer::{Consumer, PolledSlice};
use crate::kafka::effects::Effects;

/// See the module.
#[derive(Clone, Default, Debug)]
pub(super) struct OffsetStore {
    /// To be committed, one a partition.
    stored: Vec<PartitionOffset>,
    /// What commits have stored at the coordinator.
    committed: Vec<PartitionOffset>,
    /// `max.poll.interval.ms` has passed, and the application was not told.
    poll_exceeded: bool,
}

/// Replaces what `list` says of the partition.
fn put(list: &mut Vec<PartitionOffset>, offset: PartitionOffset) {
    match list.iter_mut().find(|o| o.partition == offset.partition) {
        Some(known) => *known = offset,
        None => list.push(offset),
    }
}

impl OffsetStore {
    /// These offsets are committed.
    pub(super) fn committed(&mut self, offsets: &[PartitionOffset]) {
        for offset in offsets {
            put(&mut self.committed, *offset);
        }
    }

    /// The member has left, because its application did not poll.
    pub(super) fn poll_exceeded(&mut self) {
        self.poll_exceeded = true;
    }

    /// Adds this state to a fingerprint.
    pub(super) fn fingerprint(&self, into: &mut Fingerprint) {
        into.add(self.poll_exceeded);
        for offset in self.stored.iter().chain(&self.committed) {
            into.add((offset.partition, offset.offset));
        }
    }
}

impl Consumer {
    pub(super) fn is_librdkafka(&self) -> bool {
        self.config.family == ClientFamily::Librdkafka
    }

    /// `store_offsets()`: for partitions that are assigned.
    pub(super) fn store_offsets(&mut self, offsets: &[PartitionOffset]) {
        for offset in offsets {
            if self.subscriptions.get(offset.partition).is_some() {
                put(&mut self.store.stored, *offset);
            }
        }
    }

    /// Records were handed out.
    pub(super) fn store_polled(&mut self, records: &[PolledSlice]) {
        if !self.is_librdkafka() || !self.config.auto_offset_store {
            return;
        }
        for slice in records {
            let (partition, offset) = (slice.partition, slice.next_offset());
            put(&mut self.store.stored, PartitionOffset { partition, offset });
        }
    }

    /// What a commit without offsets takes: everything that `poll()` has returned; of librdkafka what is stored and
    /// was not committed.
    pub(super) fn to_commit(&self) -> Vec<PartitionOffset> {
        if !self.is_librdkafka() {
            return self.subscriptions.all_consumed();
        }
        let fresh = |o: &&PartitionOffset| {
            !self.store.committed.contains(o) && self.subscriptions.get(o.partition).is_some()
        };
        self.store.stored.iter().filter(fresh).copied().collect()
    }

    /// The application polls: true when it is to hear that it was too late.
    pub(super) fn take_poll_exceeded(&mut self) -> bool {
        std::mem::take(&mut self.store.poll_exceeded)
    }

    /// The timer of automatic commits, beside whatever the application does.
    pub(super) fn background_commit(&mut self, now: Time, fx: &mut Effects) {
        if !self.is_librdkafka() {
            return;
        }
        let (store, subscriptions) = (&mut self.store, &self.subscriptions);
        store.stored.retain(|o| subscriptions.get(o.partition).is_some());
        store.committed.retain(|o| subscriptions.get(o.partition).is_some());
        if self.auto_commits() && self.commits.auto_at() <= now {
            self.commits.restart_timer(now, self.config.auto_commit_interval);
            let offsets = self.to_commit();
            self.commit_async(now, CommitKind::AutoBackground, offsets, fx);
        }
    }

    /// When that timer runs out.
    pub(super) fn background_commit_due(&self) -> Time {
        let runs = self.is_librdkafka() && self.auto_commits() && !self.store.stored.is_empty();
        if runs { self.commits.auto_at() } else { Time::NEVER }
    }
}
