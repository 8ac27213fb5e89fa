//! Asking for another ISR: `Partition.maybeExpandIsr`, `maybeShrinkIsr` and `AlterPartitionManager` (KIP-497). One
//! request is on its way at a time; proposals made meanwhile go with the next one. Until the controller answers, the
//! maximal ISR counts. Each member is named with the broker epoch of its last fetch, so that the controller refuses one
//! that was restarted since and may have lost what it had (KIP-903).

use crate::base::broker_set::{BrokerSet, MAX_REPLICAS};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, NodeId, PartitionId};
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::api::{IsrChange, IsrResult, Message};
use crate::kafka::broker::Broker;
use crate::kafka::broker::observer::controller_backoff;
use crate::kafka::effects::{Effects, List, TimerKind};
use crate::kafka::isr::{PartitionState, out_of_sync};

/// Without an answer for this long the request is sent again (`controller.socket.timeout.ms`).
const REQUEST_TIMEOUT: Duration = Duration::from_millis(30_000);
/// `DefaultAlterPartitionManager` tries again after this long.
const RETRY_BACKOFF: Duration = Duration::from_millis(50);

/// Proposals on their way, and those that wait for the next request.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct IsrChanges {
    /// The request that is not answered, and the controller it went to.
    in_flight: Option<(u32, u8)>,
    /// How often in a row there was no controller to ask.
    lost: u32,
    sent: Vec<IsrChange>,
    unsent: Vec<IsrChange>,
}

impl IsrChanges {
    /// What was sent and not answered waits again.
    fn take_back(&mut self) {
        if self.in_flight.take().is_some() {
            self.sent.append(&mut self.unsent);
            std::mem::swap(&mut self.sent, &mut self.unsent);
        }
    }

    /// The partition is not led here any more.
    pub(super) fn forget(&mut self, partition: PartitionId) {
        self.unsent.retain(|change| change.partition != partition);
    }

    pub(super) fn fingerprint(&self, into: &mut Fingerprint) {
        into.add(self.in_flight.is_some());
        for change in self.sent.iter().chain(&self.unsent) {
            into.add((change.partition, change.partition_epoch, change.isr));
        }
    }
}

impl Broker {
    /// The ISR scan, every `replica.lag.time.max.ms` / 2: who is not caught up leaves.
    pub(super) fn scan_isrs(&mut self, now: Time, fx: &mut Effects) {
        fx.set_timer(TimerKind::IsrScan, 0, now + self.isr_scan_interval());
        for at in 0..self.ram.replicas.len() {
            self.maybe_shrink_isr(now, PartitionId(at as u16), fx);
        }
    }

    fn maybe_shrink_isr(&mut self, now: Time, partition: PartitionId, fx: &mut Effects) {
        let lag_max = self.config.brokers.replica_lag_time_max;
        let Some((replica, log)) = self.parts(partition) else { return };
        let Some(leadership) = replica.leadership() else { return };
        let PartitionState::Committed { isr } = leadership.state else { return };
        let out = out_of_sync(isr, leadership.followers.iter(), log.end(), now, lag_max);
        if !out.is_empty() {
            self.propose(now, partition, isr.difference(out), fx);
        }
    }

    /// A follower fetched: may it join?
    pub(super) fn maybe_expand_isr(
        &mut self,
        now: Time,
        partition: PartitionId,
        follower: BrokerId,
        fx: &mut Effects,
    ) {
        let eligible = self.disk.image.is_isr_eligible(follower);
        let registered = self.disk.image.broker_epoch(follower);
        let Some((replica, _)) = self.parts(partition) else { return };
        let high_watermark = replica.high_watermark;
        let Some(leadership) = replica.leadership() else { return };
        let PartitionState::Committed { isr } = leadership.state else { return };
        let in_sync = leadership.follower(follower).is_some_and(|f| {
            f.broker_epoch == Some(registered)
                && f.is_in_sync(high_watermark, leadership.epoch_start)
        });
        if eligible && in_sync && !isr.contains(follower) {
            self.propose(now, partition, isr.with(follower), fx);
        }
    }

    fn propose(&mut self, now: Time, partition: PartitionId, wanted: BrokerSet, fx: &mut Effects) {
        let (own, own_epoch) = (self.id, self.ram.lifecycle.broker_epoch);
        let Some((replica, _)) = self.parts(partition) else { return };
        let (leader_epoch, partition_epoch) = (replica.leader_epoch, replica.partition_epoch);
        let Some(leadership) = replica.leadership_mut() else { return };
        let isr = leadership.state.isr();
        let mut epochs = [-1; MAX_REPLICAS];
        for (epoch, member) in epochs.iter_mut().zip(wanted.iter()) {
            let of_fetch = leadership.follower(member).and_then(|f| f.broker_epoch);
            *epoch = if member == own { own_epoch } else { of_fetch.unwrap_or(-1) } as i32;
        }
        let sent = IsrChange { partition, leader_epoch, partition_epoch, isr: wanted, epochs };
        leadership.state = if isr.is_subset(wanted) {
            PartitionState::PendingExpandIsr { isr, sent }
        } else {
            PartitionState::PendingShrinkIsr { isr, sent }
        };
        fx.event(EventKind::IsrProposed { partition, isr: wanted });
        self.ram.isr_changes.unsent.push(sent);
        self.send_isr_changes(now, fx);
    }

    /// Sends what waits, unless a request is on its way.
    fn send_isr_changes(&mut self, now: Time, fx: &mut Effects) {
        let controller = self.controller();
        let changes = &mut self.ram.isr_changes;
        if changes.in_flight.is_some() || changes.unsent.is_empty() {
            return;
        }
        let Some(controller) = controller else { return self.no_controller_for_isrs(now, fx) };
        changes.sent.clear();
        changes.sent.append(&mut changes.unsent);
        let broker_epoch = self.ram.lifecycle.broker_epoch;
        let message = Message::AlterPartition { broker_epoch, changes: fx.keep(&changes.sent) };
        let correlation = fx.request(NodeId::Controller(controller), message);
        changes.in_flight = Some((correlation, controller));
        fx.set_timer(TimerKind::AlterPartitionRetry, 0, now + REQUEST_TIMEOUT);
    }

    /// Time to send again: what failed, or what was never answered.
    pub(super) fn retry_isr_changes(&mut self, now: Time, fx: &mut Effects) {
        self.ram.isr_changes.take_back();
        self.send_isr_changes(now, fx);
    }

    /// The connection to a controller broke: what was on its way there may or may not have been done; ask again.
    pub(super) fn isr_changes_lost(&mut self, now: Time, controller: u8, fx: &mut Effects) {
        if self.ram.isr_changes.in_flight.is_some_and(|(_, to)| to == controller) {
            self.no_controller_for_isrs(now, fx);
        }
    }

    /// There is nobody to ask: later.
    fn no_controller_for_isrs(&mut self, now: Time, fx: &mut Effects) {
        self.ram.isr_changes.take_back();
        let wait = controller_backoff(self.ram.isr_changes.lost);
        self.ram.isr_changes.lost += 1;
        fx.set_timer(TimerKind::AlterPartitionRetry, 0, now + wait);
    }

    /// Another controller leads: what waited for one is sent at once.
    pub(super) fn send_isr_changes_again(&mut self, now: Time, fx: &mut Effects) {
        if self.ram.isr_changes.lost > 0 {
            self.send_isr_changes(now, fx);
        }
    }

    /// The request was refused as a whole.
    fn isr_changes_failed(&mut self, now: Time, fx: &mut Effects) {
        self.ram.isr_changes.take_back();
        if !self.ram.isr_changes.unsent.is_empty() {
            fx.set_timer(TimerKind::AlterPartitionRetry, 0, now + RETRY_BACKOFF);
        }
    }

    /// The controller answered.
    pub(super) fn partitions_altered(
        &mut self,
        now: Time,
        correlation: u32,
        error: ErrorCode,
        results: List<IsrResult>,
        fx: &mut Effects,
    ) {
        if self.ram.isr_changes.in_flight.is_none_or(|(sent, _)| sent != correlation) {
            return;
        }
        if error == ErrorCode::NotController {
            return self.no_controller_for_isrs(now, fx);
        }
        self.ram.isr_changes.lost = 0;
        if error != ErrorCode::None {
            return self.isr_changes_failed(now, fx);
        }
        self.ram.isr_changes.in_flight = None;
        fx.cancel_timer(TimerKind::AlterPartitionRetry, 0);
        for at in 0..fx.pools.get(results).len() {
            let (sent, result) = (self.ram.isr_changes.sent[at], fx.pools.get(results)[at]);
            self.isr_altered(now, sent, &result, fx);
        }
        self.send_isr_changes(now, fx);
    }

    /// `Partition.handleAlterPartitionUpdate` and `handleAlterPartitionError`.
    fn isr_altered(&mut self, now: Time, sent: IsrChange, result: &IsrResult, fx: &mut Effects) {
        let partition = result.partition;
        let Some((replica, _)) = self.parts(partition) else { return };
        let (leader_epoch, partition_epoch) = (replica.leader_epoch, replica.partition_epoch);
        let Some(leadership) = replica.leadership_mut() else { return };
        // Metadata may have overtaken the answer: then the proposal is not pending any more.
        if leadership.state.pending() != Some(sent) {
            return;
        }
        match result.error {
            ErrorCode::None => {
                if result.leader_epoch != leader_epoch || result.partition_epoch < partition_epoch {
                    return;
                }
                leadership.state = PartitionState::Committed { isr: result.isr };
                replica.partition_epoch = result.partition_epoch;
                fx.event(EventKind::IsrKnown { partition, isr: result.isr });
                self.raise_high_watermark(now, partition, fx);
            }
            // Certainly not done: back to what was committed.
            ErrorCode::IneligibleReplica => {
                leadership.state = PartitionState::Committed { isr: leadership.state.isr() };
            }
            // The metadata this broker has is old: wait for the new.
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::InvalidUpdateVersion
            | ErrorCode::NewLeaderElected => {}
            _ => self.ram.isr_changes.unsent.push(sent),
        }
    }
}
