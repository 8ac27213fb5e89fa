//! The transaction coordinator inside its broker: its requests, timers and records, the markers it has other leaders
//! write, and the markers this broker writes for others (`KafkaApis.handleWriteTxnMarkersRequest`).

use crate::base::batch::{BatchKind, ProducerState, Record, RecordBody};
use crate::base::error::ErrorCode;
use crate::base::ids::{BatchHandle, BrokerId, KeyId, NodeId, Offset, Sequence, TransactionalId};
use crate::base::time::{Duration, Time};
use crate::kafka::api::{Message, TxnMarker, TxnMarkerResult};
use crate::kafka::broker::Broker;
use crate::kafka::broker::produce::{Append, Origin};
use crate::kafka::broker::purgatory::{DelayedProduce, ProduceItem};
use crate::kafka::effects::{Effects, List, Timer, TimerKind, Token};
use crate::kafka::transaction::coordinator::{Step, TransactionCoordinator};
use crate::kafka::transaction::state::TransactionAppend;

/// `request.timeout.ms` of a broker: how long a marker waits to be replicated.
const MARKER_TIMEOUT: Duration = Duration::from_secs(30);
/// Size of a control record; the batch has 78 bytes.
const MARKER_BYTES: u32 = 17;

impl Broker {
    /// Lets the transaction coordinator take a step, writes what it wants written and sends its markers.
    pub(super) fn coordinate(
        &mut self,
        now: Time,
        fx: &mut Effects,
        act: impl FnOnce(&mut TransactionCoordinator, &mut Step<'_>),
    ) {
        let mut appends = Vec::new();
        let producer_ids = &mut self.producer_ids;
        let mut step = Step { now, fx: &mut *fx, appends: &mut appends, producer_ids };
        act(&mut self.ram.transactions, &mut step);
        for append in appends {
            let TransactionAppend { partition, batch, ticket } = append;
            let outcome = self.append_as_leader(now, Append::own(partition, batch, -1), fx);
            self.written(now, partition, ticket, outcome, fx);
        }
        let image = &self.disk.image;
        self.ram.transactions.send_markers(now, |partition| image.live_leader(partition), fx);
    }

    /// A timer of the transaction coordinator ran out.
    pub(super) fn transaction_timeout(&mut self, now: Time, timer: Timer, fx: &mut Effects) {
        self.coordinate(now, fx, |coordinator, step| match timer.kind {
            TimerKind::TransactionMarkers => coordinator.markers_due(step),
            kind => coordinator.timeout(step, kind),
        });
    }

    /// The leader of the transactional id's `__transaction_state` partition.
    pub(super) fn find_transaction_coordinator(
        &mut self,
        token: Token,
        id: TransactionalId,
        fx: &mut Effects,
    ) {
        let home = fx.names.transaction_partitions[id.index()];
        let coordinator = self.disk.image.live_leader(home);
        let error = match coordinator {
            Some(_) => ErrorCode::None,
            None => ErrorCode::CoordinatorNotAvailable,
        };
        fx.reply(token, Message::FindCoordinatorResponse { error, coordinator });
    }

    /// A coordinator wants transactions ended in partitions that this broker leads. The answer waits until all markers
    /// are replicated.
    pub(super) fn write_txn_markers(
        &mut self,
        now: Time,
        token: Token,
        markers: List<TxnMarker>,
        fx: &mut Effects,
    ) {
        let mut items = self.ram.purgatory.items();
        for marker in fx.pools.get(markers).to_vec() {
            let (batch, outcome) = self.append_marker(now, marker, fx);
            let item = self.produce_item(marker.partition, batch, outcome, fx);
            let pending = item.result.error == ErrorCode::None;
            items.push(ProduceItem { pending, ..item });
        }
        let deadline = now + MARKER_TIMEOUT;
        self.wait_for_replication(DelayedProduce { token, deadline, items, markers: true }, fx);
    }

    /// Writes a marker as the leader of its partition.
    pub(super) fn append_marker(
        &mut self,
        now: Time,
        marker: TxnMarker,
        fx: &mut Effects,
    ) -> (BatchHandle, Result<(Offset, Offset), ErrorCode>) {
        let TxnMarker { partition, producer_id, committed, .. } = marker;
        let batch = marker_batch(self.id, &marker, now, fx);
        let append = Append { partition, batch, acks: -1, origin: Origin::Marker(marker) };
        let outcome = self.append_as_leader(now, append, fx);
        if outcome.is_ok() && fx.names.group_partitions.contains(&partition) {
            let groups = &mut self.ram.coordinator;
            let ticket = groups.marker_appended(partition, producer_id, committed);
            self.written(now, partition, ticket, outcome, fx);
        }
        (batch, outcome)
    }

    /// Answers a request for markers.
    pub(super) fn answer_markers(&mut self, delayed: DelayedProduce, fx: &mut Effects) {
        let row = |item: &ProduceItem| TxnMarkerResult {
            partition: item.result.partition,
            producer_id: fx.batches[item.result.batch].producer.map_or(-1, |producer| producer.id),
            error: item.result.error,
        };
        let rows: Vec<TxnMarkerResult> = delayed.items.iter().map(row).collect();
        let results = fx.keep(&rows);
        fx.reply(delayed.token, Message::WriteTxnMarkersResponse { results });
        self.ram.purgatory.recycle_items(delayed.items);
    }
}

/// A control batch.
fn marker_batch(own: BrokerId, marker: &TxnMarker, now: Time, fx: &mut Effects) -> BatchHandle {
    let TxnMarker { producer_id, epoch, committed, coordinator_epoch, .. } = *marker;
    let record = Record {
        body: RecordBody::EndTransactionMarker { committed, coordinator_epoch },
        key: KeyId::NONE,
        bytes: MARKER_BYTES,
        timestamp: now.timestamp(),
        is_tombstone: false,
    };
    let producer = ProducerState { id: producer_id, epoch, base_sequence: Sequence(-1) };
    fx.batches.add_of_kind(BatchKind::Control, NodeId::Broker(own), Some(producer), &[record])
}
