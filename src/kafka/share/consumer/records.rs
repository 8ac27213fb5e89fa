//! What the application of a share consumer has in hand, and what it says of it (`ShareFetch`, `ShareInFlightBatch`).

use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BatchHandle, BrokerId, Offset, PartitionId};
use crate::base::share::AcknowledgeType;
use crate::event::EventKind;
use crate::kafka::api::AcknowledgementBatch;
use crate::kafka::consumer::PolledSlice;
use crate::kafka::effects::Effects;

/// A record that `poll()` returned and that is not acknowledged, or not for good.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Held {
    /// Whom it came from.
    pub(super) broker: BrokerId,
    pub(super) partition: PartitionId,
    pub(super) offset: Offset,
    pub(super) batch: BatchHandle,
    /// The offset of the batch's first record.
    pub(super) base: Offset,
    pub(super) delivery: u16,
    /// What the application said of it.
    pub(super) said: Option<AcknowledgeType>,
    renewal: Renewal,
}

/// Whether more time is wanted for a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Renewal {
    #[default]
    None,
    /// The leader has been asked.
    Asked,
    /// The leader said yes: the next `poll()` returns the record again.
    Granted,
}

/// A record in a buffer, before `poll()` returned it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Fresh {
    pub(super) offset: Offset,
    pub(super) batch: BatchHandle,
    pub(super) base: Offset,
    pub(super) delivery: u16,
}

/// What is said of one record, and to whom.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Acknowledgement {
    pub(super) broker: BrokerId,
    pub(super) partition: PartitionId,
    pub(super) offset: Offset,
    pub(super) kind: AcknowledgeType,
}

/// See the module.
#[derive(Clone, Default, Debug)]
pub(super) struct InHand {
    held: Vec<Held>,
}

impl InHand {
    /// True when the application has nothing that it could acknowledge or that is being renewed.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// `poll()` returns these.
    pub(super) fn take_in(
        &mut self,
        (broker, partition): (BrokerId, PartitionId),
        fresh: &[Fresh],
    ) {
        self.held.extend(fresh.iter().map(|record| Held {
            broker,
            partition,
            offset: record.offset,
            batch: record.batch,
            base: record.base,
            delivery: record.delivery,
            said: None,
            renewal: Renewal::None,
        }));
    }

    /// The application says `kind` of these records.
    pub(super) fn say(
        &mut self,
        kind: AcknowledgeType,
        of: &[(PartitionId, Offset)],
        fx: &mut Effects,
    ) {
        for held in &mut self.held {
            if held.renewal == Renewal::None && of.contains(&(held.partition, held.offset)) {
                held.said = Some(kind);
            }
        }
        for (partition, first, count) in runs(of) {
            fx.event(EventKind::AcknowledgeCalled { partition, first, count, kind });
        }
    }

    /// Everything the application has said nothing of is accepted (implicit acknowledgement).
    pub(super) fn accept_rest(&mut self) {
        for held in self.held.iter_mut().filter(|held| held.said.is_none()) {
            held.said = Some(AcknowledgeType::Accept);
        }
    }

    /// True when the application has said something of every record.
    pub(super) fn all_said(&self) -> bool {
        self.held.iter().all(|held| held.said.is_some() || held.renewal != Renewal::None)
    }

    /// What was said, to be sent. The records leave the hand, but for those that are to be renewed.
    pub(super) fn take_said(&mut self) -> Vec<Acknowledgement> {
        let mut taken = Vec::new();
        self.held.retain_mut(|held| {
            let Some(kind) = held.said.take() else { return true };
            let Held { broker, partition, offset, .. } = *held;
            taken.push(Acknowledgement { broker, partition, offset, kind });
            if kind == AcknowledgeType::Renew {
                held.renewal = Renewal::Asked;
            }
            kind == AcknowledgeType::Renew
        });
        taken
    }

    /// The leader answered a renewal: without an error the record comes back to the application, else it is not the
    /// application's any more.
    pub(super) fn renewed(&mut self, partition: PartitionId, offset: Offset, granted: bool) {
        let asked = |h: &Held| {
            h.renewal == Renewal::Asked && (h.partition, h.offset) == (partition, offset)
        };
        if let Some(at) = self.held.iter().position(asked) {
            if granted {
                self.held[at].renewal = Renewal::Granted;
            } else {
                self.held.remove(at);
            }
        }
    }

    /// True while the leader has not answered a renewal.
    pub(super) fn is_renewing(&self) -> bool {
        self.held.iter().any(|held| held.renewal == Renewal::Asked)
    }

    /// The records whose renewal was granted: `poll()` returns them again.
    pub(super) fn take_renewed(&mut self) -> Vec<Held> {
        let mut back = Vec::new();
        for held in self.held.iter_mut().filter(|held| held.renewal == Renewal::Granted) {
            held.renewal = Renewal::None;
            back.push(*held);
        }
        back
    }

    /// Everything held that is not being renewed.
    pub(super) fn all(&self) -> Vec<Held> {
        self.held.iter().filter(|held| held.renewal == Renewal::None).copied().collect()
    }

    /// Adds what is held to a fingerprint.
    pub(super) fn fingerprint(&self, into: &mut Fingerprint) {
        into.add(&self.held);
    }
}

/// Consecutive offsets, with their number.
fn runs(offsets: &[(PartitionId, Offset)]) -> Vec<(PartitionId, Offset, u32)> {
    let mut runs: Vec<(PartitionId, Offset, u32)> = Vec::new();
    for (partition, offset) in offsets {
        match runs.last_mut() {
            Some((p, first, count)) if p == partition && *first + i64::from(*count) == *offset => {
                *count += 1;
            }
            _ => runs.push((*partition, *offset, 1)),
        }
    }
    runs
}

/// Acknowledgements as a request carries them, and as events tell them: consecutive records of which the same is said.
pub(super) fn batched(acknowledgements: &[Acknowledgement]) -> Vec<AcknowledgementBatch> {
    let mut sorted = acknowledgements.to_vec();
    sorted.sort_by_key(|ack| (ack.partition, ack.offset));
    let mut batches: Vec<AcknowledgementBatch> = Vec::new();
    for Acknowledgement { partition, offset, kind, .. } in sorted {
        match batches.last_mut() {
            Some(batch)
                if batch.partition == partition
                    && batch.kind == kind
                    && batch.last + 1 == offset =>
            {
                batch.last = offset;
            }
            _ => {
                batches.push(AcknowledgementBatch { partition, first: offset, last: offset, kind });
            }
        }
    }
    batches
}

/// Records as `poll()` returns them, with the delivery count of each run.
pub(super) fn sliced(records: &[Held]) -> Vec<(PolledSlice, u16)> {
    let mut slices: Vec<(PolledSlice, u16)> = Vec::new();
    for record in records {
        let Held { partition, batch, base, offset, delivery, .. } = *record;
        match slices.last_mut() {
            Some((slice, count))
                if slice.partition == partition
                    && slice.batch == batch
                    && slice.base_offset == base
                    && slice.next_offset() == offset
                    && *count == delivery =>
            {
                slice.count += 1;
            }
            _ => {
                let first = (offset.0 - base.0) as u16;
                let slice = PolledSlice { partition, batch, base_offset: base, first, count: 1 };
                slices.push((slice, delivery));
            }
        }
    }
    slices
}
