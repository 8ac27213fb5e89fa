//! Having the leaders write the markers of a decided transaction: `TransactionMarkerChannelManager`. One request to a
//! broker is on its way at a time; it carries what was decided meanwhile. When every partition has its marker, the
//! transaction is complete.
//!
//! A marker that a leader refuses because it leads no longer, or has too few replicas, is sent again, to whoever leads
//! then. One that is refused because of its epoch never comes through: that transaction stays as it is until another
//! coordinator takes over.
//!
//! Simplified: a refused marker is sent again after 20 ms (Kafka: at once). As in Kafka nobody is told when a partition
//! gets a leader: its marker goes out with the next one to anybody, or after 30 s (`request.timeout.ms`).

use std::collections::BTreeMap;

use crate::base::batch::{TransactionSnapshot, TransactionState};
use crate::base::config::Defect;
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, NodeId, PartitionId, TransactionalId};
use crate::base::time::{Duration, Time};
use crate::kafka::api::{Message, TxnMarker, TxnMarkerResult};
use crate::kafka::effects::{Effects, List, TimerKind};
use crate::kafka::transaction::coordinator::{Step, TransactionCoordinator};
use crate::kafka::transaction::state::Then;

/// `request.timeout.ms` of a broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Before a refused marker is sent again.
const RETRY_BACKOFF: Duration = Duration::from_millis(20);
/// `reconnect.backoff.ms` of the channel; also before a completion is written again.
const RECONNECT_BACKOFF: Duration = Duration::from_millis(50);

/// A marker that is to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Queued {
    id: TransactionalId,
    marker: TxnMarker,
    not_before: Time,
}

/// A request that is not answered.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Sent {
    to: BrokerId,
    correlation: u32,
    deadline: Time,
    markers: Vec<Queued>,
}

/// Markers on their way. In memory only: a new coordinator begins anew with what is decided.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Markers {
    queue: Vec<Queued>,
    sent: Vec<Sent>,
    /// What is written when the last marker of the transaction is (`transactionsWithPendingMarkers`).
    completing: BTreeMap<TransactionalId, TransactionSnapshot>,
    /// Completions that could not be written.
    late: Vec<(TransactionalId, TransactionSnapshot)>,
    late_at: Time,
}

impl Markers {
    /// Another broker coordinates the id.
    pub(super) fn forget(&mut self, id: TransactionalId) {
        self.queue.retain(|queued| queued.id != id);
        self.late.retain(|(late, _)| *late != id);
        self.completing.remove(&id);
    }

    pub(super) fn write_completion_later(
        &mut self,
        now: Time,
        id: TransactionalId,
        to: TransactionSnapshot,
        fx: &mut Effects,
    ) {
        self.late.push((id, to));
        self.late_at = now + RECONNECT_BACKOFF;
        fx.set_timer(TimerKind::TransactionMarkers, 0, self.late_at);
    }

    /// What was sent to `broker` and matches goes back into the queue.
    fn take_back(&mut self, now: Time, lost: impl Fn(&Sent) -> bool) {
        while let Some(at) = self.sent.iter().position(&lost) {
            let again = now + RECONNECT_BACKOFF;
            let markers = self.sent.remove(at).markers;
            self.queue.extend(markers.into_iter().map(|m| Queued { not_before: again, ..m }));
        }
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        for queued in &self.queue {
            into.add((queued.id, queued.marker.partition, queued.marker.producer_id));
            into.add_time(now, queued.not_before.max(now));
        }
        for sent in &self.sent {
            into.add((sent.to, sent.markers.len()));
            into.add_time(now, sent.deadline);
        }
        into.add((self.completing.len(), self.late.len()));
    }
}

impl TransactionCoordinator {
    /// The transaction of `id` is decided, if it is: queues its markers and prepares the last step.
    pub(super) fn send_markers_of(&mut self, step: &mut Step<'_>, id: TransactionalId) {
        let home = step.fx.names.transaction_partitions[id.index()];
        let Some(epoch) = self.led.get(&home) else { return };
        let Some(metadata) = self.ids.get_mut(&id) else { return };
        let committed = match metadata.current.state {
            TransactionState::PrepareCommit => true,
            TransactionState::PrepareAbort => false,
            _ => return,
        };
        let to = metadata.prepare_complete(step.now.timestamp());
        self.markers.completing.insert(id, to);
        let now = &mut metadata.current;
        if step.fx.defect == Defect::MarkerForgotten {
            now.partitions.pop();
        }
        let now = &metadata.current;
        for partition in &now.partitions {
            let differs = step.fx.defect == Defect::MarkersDiffer
                && now.partitions.len() > 1
                && now.partitions.first() == Some(partition);
            let marker = TxnMarker {
                partition: *partition,
                producer_id: now.producer_id,
                epoch: now.epoch,
                committed: committed && !differs,
                coordinator_epoch: epoch.0,
                version: now.client_version,
            };
            self.markers.queue.push(Queued { id, marker, not_before: step.now });
        }
        self.maybe_complete(step, id);
    }

    /// `maybeWriteTxnCompletion`.
    fn maybe_complete(&mut self, step: &mut Step<'_>, id: TransactionalId) {
        if self.ids.get(&id).is_none_or(|metadata| !metadata.current.partitions.is_empty()) {
            return;
        }
        if let Some(to) = self.markers.completing.remove(&id) {
            self.append(step, id, to, Then::Completed);
        }
    }

    /// Sends what can be sent: a request to each leader that has none to answer.
    pub fn send_markers(
        &mut self,
        now: Time,
        leader_of: impl Fn(PartitionId) -> Option<BrokerId>,
        fx: &mut Effects,
    ) {
        let Markers { queue, sent, late, late_at, .. } = &mut self.markers;
        let mut again = if late.is_empty() { Time::NEVER } else { *late_at };
        let mut ready: BTreeMap<BrokerId, Vec<Queued>> = BTreeMap::new();
        queue.retain(|queued| {
            if queued.not_before > now {
                again = again.min(queued.not_before);
                return true;
            }
            match leader_of(queued.marker.partition) {
                None => again = again.min(now + REQUEST_TIMEOUT),
                Some(to) if sent.iter().any(|sent| sent.to == to) => {}
                Some(to) => {
                    ready.entry(to).or_default().push(*queued);
                    return false;
                }
            }
            true
        });
        for (to, markers) in ready {
            let list: Vec<TxnMarker> = markers.iter().map(|queued| queued.marker).collect();
            let message = Message::WriteTxnMarkers { markers: fx.keep(&list) };
            let correlation = fx.request(NodeId::Broker(to), message);
            sent.push(Sent { to, correlation, deadline: now + REQUEST_TIMEOUT, markers });
        }
        let again = sent.iter().map(|sent| sent.deadline).fold(again, Time::min);
        if again != Time::NEVER {
            fx.set_timer(TimerKind::TransactionMarkers, 0, again);
        }
    }

    /// A leader answered (`TransactionMarkerRequestCompletionHandler`).
    pub fn markers_answered(
        &mut self,
        step: &mut Step<'_>,
        correlation: u32,
        results: List<TxnMarkerResult>,
    ) {
        let Some(at) = self.markers.sent.iter().position(|s| s.correlation == correlation) else {
            return;
        };
        let Sent { markers, .. } = self.markers.sent.remove(at);
        let results = step.fx.pools.get(results).to_vec();
        for queued in markers {
            let TxnMarker { partition, producer_id, .. } = queued.marker;
            let row =
                results.iter().find(|r| (r.partition, r.producer_id) == (partition, producer_id));
            // A rule of the script may have answered with nothing.
            let error = row.map_or(ErrorCode::RequestTimedOut, |row| row.error);
            self.marker_answered(step, queued, error);
        }
    }

    fn marker_answered(&mut self, step: &mut Step<'_>, queued: Queued, error: ErrorCode) {
        let Queued { id, marker, .. } = queued;
        if !self.is_current(id, marker.coordinator_epoch, step.fx) {
            return;
        }
        match error {
            ErrorCode::None => {
                if let Some(metadata) = self.ids.get_mut(&id) {
                    metadata.current.partitions.retain(|p| *p != marker.partition);
                }
                self.maybe_complete(step, id);
            }
            ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced => {
                self.markers.completing.remove(&id);
            }
            _ => {
                let not_before = step.now + RETRY_BACKOFF;
                self.markers.queue.push(Queued { not_before, ..queued });
            }
        }
    }

    /// The transaction is still to be completed, by this coordinator.
    fn is_current(&self, id: TransactionalId, coordinator_epoch: i32, fx: &Effects) -> bool {
        self.coordinates(id, fx).is_ok_and(|epoch| epoch.0 == coordinator_epoch)
            && self.markers.completing.contains_key(&id)
    }

    /// The connection to `peer` broke: the markers on it may be written or not, so they are sent again.
    pub fn marker_channel_lost(&mut self, now: Time, peer: BrokerId, fx: &mut Effects) {
        self.markers.take_back(now, |sent| sent.to == peer);
        self.drop_old_markers(fx);
    }

    /// Something about the markers is due: a request without an answer, a completion to be written again.
    pub fn markers_due(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        self.markers.take_back(now, |sent| sent.deadline <= now);
        self.drop_old_markers(step.fx);
        if self.markers.late_at <= now {
            for (id, to) in std::mem::take(&mut self.markers.late) {
                self.append(step, id, to, Then::Completed);
            }
        }
    }

    fn drop_old_markers(&mut self, fx: &Effects) {
        let mut queue = std::mem::take(&mut self.markers.queue);
        queue.retain(|queued| self.is_current(queued.id, queued.marker.coordinator_epoch, fx));
        self.markers.queue = queue;
    }
}
