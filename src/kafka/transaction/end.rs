//! May this transaction end now, and with which epoch? The decision of `TransactionCoordinator.endTransaction`, for
//! clients of transaction version 2, of older ones, and for the coordinator itself when it aborts.
//!
//! Version 2 tells a repeated request from a late one by the epoch: the first try bumped it. Under the older versions
//! the epoch stays, so a late `EndTxn` may end a later transaction (KIP-890 says why).

use crate::base::batch::{TransactionSnapshot, TransactionState};
use crate::base::error::ErrorCode;
use crate::base::ids::ProducerEpoch;
use crate::kafka::transaction::metadata::{
    EPOCH_BUMP, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, TransactionMetadata,
};

/// Who wants to end which transaction how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EndRequest {
    pub(super) producer_id: i64,
    pub(super) epoch: ProducerEpoch,
    pub(super) committed: bool,
    /// False when the coordinator aborts by itself.
    pub(super) from_client: bool,
    /// The client's transaction version, or the cluster's.
    pub(super) version: u8,
}

/// What comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum EndDecision {
    /// Nothing; the client is told so. Without an error the transaction had ended already as it wished, and these are
    /// the producer id and the epoch to go on with.
    Answer(ErrorCode, i64, ProducerEpoch),
    /// This is to be written.
    Prepare {
        to: TransactionSnapshot,
        /// The producer is fenced by it.
        fences: bool,
    },
}

fn refuse(error: ErrorCode) -> EndDecision {
    EndDecision::Answer(error, NO_PRODUCER_ID, NO_PRODUCER_EPOCH)
}

/// Decides. `new_id` gives out a producer id.
pub(super) fn decide(
    metadata: &mut TransactionMetadata,
    request: EndRequest,
    at: i64,
    new_id: impl FnOnce() -> i64,
) -> EndDecision {
    if request.version >= EPOCH_BUMP {
        decide_with_bump(metadata, request, at, new_id)
    } else {
        decide_without_bump(metadata, request, at)
    }
}

/// `endTransactionWithTV1`.
fn decide_without_bump(
    metadata: &mut TransactionMetadata,
    request: EndRequest,
    at: i64,
) -> EndDecision {
    let EndRequest { producer_id, epoch, committed, from_client, .. } = request;
    let fences = metadata.is_fencing();
    let now = &metadata.current;
    if now.producer_id != producer_id {
        return refuse(ErrorCode::InvalidProducerIdMapping);
    }
    if (from_client && epoch != now.epoch) || epoch < now.epoch {
        return refuse(ErrorCode::ProducerFenced);
    }
    if metadata.pending.is_some() && !fences {
        return refuse(ErrorCode::ConcurrentTransactions);
    }
    match now.state {
        TransactionState::Ongoing => {
            if fences && !committed {
                metadata.pending = None;
                metadata.current.epoch = epoch;
                metadata.current.last_epoch = NO_PRODUCER_EPOCH;
            }
            let to = metadata.prepare_end(committed, 0, NO_PRODUCER_ID, at);
            EndDecision::Prepare { to, fences }
        }
        state => refuse(match ends_as(state) {
            Some((wish, true)) if wish == committed => ErrorCode::None,
            Some((wish, false)) if wish == committed => ErrorCode::ConcurrentTransactions,
            _ => ErrorCode::InvalidTxnState,
        }),
    }
}

/// `endTransaction` of version 2.
fn decide_with_bump(
    metadata: &mut TransactionMetadata,
    request: EndRequest,
    at: i64,
    new_id: impl FnOnce() -> i64,
) -> EndDecision {
    let EndRequest { producer_id, epoch, committed, from_client, .. } = request;
    let fences = metadata.is_fencing();
    let now = &metadata.current;
    let overflowed = !fences
        && now.previous_producer_id == producer_id
        && epoch.0 == i16::MAX - 1
        && now.epoch == ProducerEpoch(0);
    // Kafka computes in `int`: the last epoch has no successor.
    let bumped = !fences && i32::from(now.epoch.0) == i32::from(epoch.0) + 1;
    let valid = if fences {
        (!from_client || epoch == now.epoch) && epoch >= now.epoch
    } else {
        match now.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => bumped,
            TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
                bumped || overflowed || epoch == now.epoch
            }
            _ => epoch == now.epoch,
        }
    };
    if now.producer_id != producer_id && !overflowed {
        return refuse(ErrorCode::InvalidProducerIdMapping);
    }
    if !valid {
        return refuse(ErrorCode::ProducerFenced);
    }
    if metadata.pending.is_some() && !fences {
        return refuse(ErrorCode::ConcurrentTransactions);
    }
    let repeated = bumped || overflowed;
    match (now.state, ends_as(now.state)) {
        (_, Some((wish, true))) if repeated && wish == committed => {
            EndDecision::Answer(ErrorCode::None, now.producer_id, now.epoch)
        }
        (_, Some((wish, false))) if wish == committed => refuse(ErrorCode::ConcurrentTransactions),
        // A transaction without a partition the coordinator knows of: only an abort makes sense.
        (TransactionState::Ongoing, _) => prepare(metadata, request, at, new_id),
        (TransactionState::Empty, _) | (_, Some((_, true))) if !committed && !repeated => {
            prepare(metadata, request, at, new_id)
        }
        _ => refuse(ErrorCode::InvalidTxnState),
    }
}

fn prepare(
    metadata: &mut TransactionMetadata,
    request: EndRequest,
    at: i64,
    new_id: impl FnOnce() -> i64,
) -> EndDecision {
    let fences = metadata.is_fencing();
    let rotates = !fences && metadata.is_epoch_exhausted();
    let next = if rotates { new_id() } else { NO_PRODUCER_ID };
    if fences && !request.committed {
        // The epoch that fences is the one that this very step bumps to.
        metadata.pending = None;
    }
    let to = metadata.prepare_end(request.committed, request.version, next, at);
    EndDecision::Prepare { to, fences }
}

/// How a decided transaction ends: committed or not, and whether every marker is written.
fn ends_as(state: TransactionState) -> Option<(bool, bool)> {
    match state {
        TransactionState::PrepareCommit => Some((true, false)),
        TransactionState::PrepareAbort => Some((false, false)),
        TransactionState::CompleteCommit => Some((true, true)),
        TransactionState::CompleteAbort => Some((false, true)),
        _ => None,
    }
}
