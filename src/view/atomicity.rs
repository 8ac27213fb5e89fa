//! Is a transaction there as a whole? A fold of events: which batches a producer made within each transaction, how the
//! coordinator decided it, and at the end which of them `read_committed` readers find.
//!
//! A transaction lasts from one `beginTransaction()` to the next: the client sends `EndTxn` when nothing of it is out
//! any more. What counts of a committed one is what was acknowledged, of an aborted one also what the client gave up.

use std::collections::BTreeMap;

use crate::base::batch::{BatchKind, BatchTable, TransactionState};
use crate::base::ids::{BatchHandle, EventSeq, NodeId, Offset, PartitionId};
use crate::event::{Event, EventKind, TransactionCall};
use crate::view::cluster::ClusterView;
use crate::view::cluster::replica::ReplicaView;
use crate::view::stability::Stability;

/// A batch of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    partition: PartitionId,
    batch: BatchHandle,
    /// Where it was acknowledged; [`Offset::NONE`] while it was not.
    at: Offset,
    acked: EventSeq,
}

/// A transaction of one producer.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Transaction {
    producer_id: i64,
    begun: EventSeq,
    parts: Vec<Part>,
    /// The coordinator's word.
    committed: Option<bool>,
    decided: EventSeq,
}

/// A transaction of which a part is there and another is not, or a part of which is there though it was aborted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Torn {
    /// How it was decided.
    pub committed: bool,
    /// A batch that `read_committed` readers find.
    pub found: BatchHandle,
    /// An acknowledged one that they do not find.
    pub missing: Option<BatchHandle>,
    /// `beginTransaction()`, the decision, the acknowledgement of what is missing.
    pub witnesses: [EventSeq; 3],
}

/// What becomes of a batch for `read_committed` readers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Visible,
    /// Not in the leader's log, or there and aborted, or of a transaction that nobody ends.
    Hidden,
    /// Deleted or compacted away, above the high watermark, behind another open transaction, or without a leader.
    Unknown,
}

/// See the module.
#[derive(Clone, Default, Debug)]
pub struct Atomicity {
    list: Vec<Transaction>,
    /// By number of the producer: the place of its last transaction.
    current: BTreeMap<u16, usize>,
}

impl Atomicity {
    /// Sees one event.
    pub fn observe(&mut self, seq: EventSeq, event: &Event, batches: &BatchTable) {
        match (event.kind, event.node) {
            (
                EventKind::TransactionCalled {
                    call: TransactionCall::BeginTransaction,
                    exception: None,
                },
                NodeId::Producer(n),
            ) => {
                self.current.insert(n, self.list.len());
                self.list.push(Transaction {
                    producer_id: -1,
                    begun: seq,
                    parts: Vec::new(),
                    committed: None,
                    decided: EventSeq::NONE,
                });
            }
            (EventKind::BatchReady { batch, partition }, NodeId::Producer(n)) => {
                self.part(n, batch, partition, batches);
            }
            (EventKind::Acknowledged { batch, partition, base_offset }, NodeId::Producer(n)) => {
                if let Some(part) = self.part(n, batch, partition, batches) {
                    (part.at, part.acked) = (base_offset, seq);
                }
            }
            (EventKind::TransactionChanged { state, producer_id, .. }, _) => {
                let committed = match state {
                    TransactionState::PrepareCommit => true,
                    TransactionState::PrepareAbort => false,
                    _ => return,
                };
                let mut own = self.list.iter_mut().rev().filter(|t| t.producer_id == producer_id);
                if let Some(last) = own.next().filter(|t| t.committed.is_none()) {
                    (last.committed, last.decided) = (Some(committed), seq);
                }
            }
            _ => {}
        }
    }

    /// The part of the producer's transaction that this batch is.
    fn part(
        &mut self,
        producer: u16,
        batch: BatchHandle,
        partition: PartitionId,
        batches: &BatchTable,
    ) -> Option<&mut Part> {
        let header = &batches[batch];
        let state = header.producer.filter(|_| header.kind == BatchKind::Transactional)?;
        let transaction = &mut self.list[*self.current.get(&producer)?];
        transaction.producer_id = state.id;
        let known = transaction.parts.iter().position(|part| part.batch == batch);
        let place = known.unwrap_or_else(|| {
            let (at, acked) = (Offset::NONE, EventSeq::NONE);
            transaction.parts.push(Part { partition, batch, at, acked });
            transaction.parts.len() - 1
        });
        transaction.parts.get_mut(place)
    }

    /// True when some transaction with an acknowledged record was decided.
    pub fn is_exercised(&self) -> bool {
        let acked = |t: &Transaction| t.parts.iter().any(|part| part.acked != EventSeq::NONE);
        self.list.iter().any(|t| t.committed.is_some() && acked(t))
    }

    /// The torn transactions. One whose markers are still to be written is not judged, nor one of which something is
    /// not known.
    pub fn torn(&self, view: &ClusterView, batches: &BatchTable) -> Vec<Torn> {
        let mut logs = BTreeMap::new();
        let unsettled = |producer_id: i64| {
            let mut ids = view.transactions.iter();
            ids.any(|id| id.is_decided() && id.producer_id == producer_id)
        };
        let mut torn = Vec::new();
        for transaction in self.list.iter().filter(|t| !unsettled(t.producer_id)) {
            let Some(committed) = transaction.committed else { continue };
            let mut places = Vec::with_capacity(transaction.parts.len());
            for part in &transaction.parts {
                let log = logs.entry(part.partition).or_insert_with(|| {
                    let leader = view.partition(part.partition).leader_replica();
                    leader.map(|leader| Log::of(leader, batches))
                });
                let place = log.as_ref().map_or(Place::Unknown, |log| {
                    let count = i64::from(batches[part.batch].count);
                    log.place(part, count, transaction.producer_id)
                });
                places.push((*part, place));
            }
            torn.extend(tear(transaction, committed, &places));
        }
        torn
    }
}

fn tear(transaction: &Transaction, committed: bool, places: &[(Part, Place)]) -> Option<Torn> {
    let found = places.iter().find(|(_, place)| *place == Place::Visible)?.0;
    let counts = |part: &Part| part.acked != EventSeq::NONE;
    let missing = places.iter().find(|(part, place)| *place == Place::Hidden && counts(part));
    if committed && missing.is_none() {
        return None;
    }
    let missing = missing.map(|(part, _)| *part);
    Some(Torn {
        committed,
        found: found.batch,
        missing: missing.map(|part| part.batch),
        witnesses: [
            transaction.begun,
            transaction.decided,
            missing.map_or(found.acked, |part| part.acked),
        ],
    })
}

/// A leader's log as a `read_committed` reader needs it.
struct Log<'a> {
    leader: &'a ReplicaView,
    stability: Stability,
    /// Where each batch of a transaction stands.
    places: BTreeMap<BatchHandle, Offset>,
}

impl<'a> Log<'a> {
    fn of(leader: &'a ReplicaView, batches: &BatchTable) -> Self {
        let transactional =
            leader.log.iter().filter(|entry| batches[entry.batch].kind == BatchKind::Transactional);
        let places = transactional.map(|entry| (entry.batch, entry.base_offset)).collect();
        Self { leader, stability: Stability::of(leader, batches), places }
    }

    fn place(&self, part: &Part, count: i64, producer_id: i64) -> Place {
        let Some(at) = self.places.get(&part.batch).copied() else {
            let kept = part.at >= self.leader.complete_from();
            return if kept || part.at == Offset::NONE { Place::Hidden } else { Place::Unknown };
        };
        let open = self.stability.open.get(&producer_id).is_some_and(|first| *first <= at);
        if open || self.stability.aborted.contains(&at) {
            return Place::Hidden;
        }
        if !self.stability.is_stable(at) || at + count > self.leader.high_watermark {
            return Place::Unknown;
        }
        Place::Visible
    }
}
