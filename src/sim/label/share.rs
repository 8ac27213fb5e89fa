//! Labels and error answers of the requests of share groups.

use crate::base::error::ErrorCode;
use crate::base::ids::Offset;
use crate::event::WireLabel;
use crate::kafka::api::Message;
use crate::kafka::effects::{List, Pools};

/// What `message` is about, where it is one of a share consumer.
pub(super) fn detail(message: &Message, pools: &Pools, label: &mut WireLabel) {
    let narrow = |offset: Offset| i32::try_from(offset.0).unwrap_or(i32::MAX);
    match *message {
        Message::ShareFetch { partitions, .. } => {
            label.partition = pools.get(partitions).first().copied();
        }
        Message::ShareFetchResponse { error, results, slices, acquired } => {
            let results = pools.get(results);
            let telling = results
                .iter()
                .find(|r| r.error != ErrorCode::None || r.acquired_count > 0)
                .or(results.first());
            label.partition = telling.map(|result| result.partition);
            label.error = telling.map_or(error, |result| result.error);
            if let Some(run) = pools.get(acquired).first() {
                label.offset = narrow(run.first);
            }
            if let Some(slice) = pools.get(slices).first() {
                label.batch = slice.batch;
            }
        }
        Message::ShareAcknowledge { acknowledgements, .. } => {
            if let Some(first) = pools.get(acknowledgements).first() {
                (label.partition, label.offset) = (Some(first.partition), narrow(first.first));
            }
        }
        Message::ShareAcknowledgeResponse { error, results } => {
            let results = pools.get(results);
            let worst = results.iter().find(|r| r.error != ErrorCode::None).or(results.first());
            label.partition = worst.map(|result| result.partition);
            label.error = worst.map_or(error, |result| result.error);
        }
        _ => {}
    }
}

/// The answer with `error` to a request about share groups.
pub(super) fn error_answer(message: &Message, error: ErrorCode) -> Option<Message> {
    Some(match *message {
        Message::ShareGroupHeartbeat { epoch, .. } => Message::ShareGroupHeartbeatResponse {
            error,
            epoch,
            interval_ms: 0,
            assigned: false,
            partitions: List::EMPTY,
        },
        Message::ShareFetch { .. } => Message::ShareFetchResponse {
            error,
            results: List::EMPTY,
            slices: List::EMPTY,
            acquired: List::EMPTY,
        },
        Message::ShareAcknowledge { .. } => {
            Message::ShareAcknowledgeResponse { error, results: List::EMPTY }
        }
        Message::ReadShareGroupState { group, partition, .. } => {
            Message::ReadShareGroupStateResponse {
                error,
                group,
                partition,
                state_epoch: 0,
                start: Offset::NONE,
                batches: List::EMPTY,
            }
        }
        Message::WriteShareGroupState { .. } => Message::WriteShareGroupStateResponse { error },
        _ => return None,
    })
}
