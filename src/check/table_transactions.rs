//! The table of histories: transactions, and what an application passes on.

use super::*;
use crate::base::batch::{ProducerState, Record, RecordBody};
use crate::base::ids::{BatchHandle, KeyId, MessageId, ProducerEpoch, Sequence};
use crate::check::table_tests::{Case, story};
use crate::view::story::{P0, Story};

/// What the application makes of m0.
const OUTPUT: u32 = 10;

fn batch(s: &mut Story, kind: BatchKind, body: RecordBody, sequence: i32) -> BatchHandle {
    let record = Record { body, key: KeyId::NONE, bytes: 10, timestamp: 0, is_tombstone: false };
    let base_sequence = Sequence(sequence);
    let producer = ProducerState { id: 8, epoch: ProducerEpoch(0), base_sequence };
    let origin = NodeId::Producer(0);
    s.batches.add_of_kind(kind, origin, Some(producer), &[record])
}

/// m0 at offset 0, and its output, number `nth`, at `base` in a transaction.
fn output(s: &mut Story, nth: i32, base: i64) -> BatchHandle {
    if nth == 0 {
        Arc::make_mut(&mut s.names).outputs_from = OUTPUT;
        let input = s.send(&[0]);
        s.replicate(&[1, 2, 3], input, 0, 0);
    }
    let message = MessageId(OUTPUT);
    s.push(NodeId::Producer(0), EventKind::Sent { message, partition: Some(P0) });
    let output = batch(s, BatchKind::Transactional, RecordBody::Message(message), nth);
    s.push(NodeId::Producer(0), EventKind::BatchReady { batch: output, partition: P0 });
    s.replicate(&[1, 2, 3], output, base, 0);
    s.acked(output, base);
    output
}

fn marker(s: &mut Story, committed: bool, base: i64) {
    let body = RecordBody::EndTransactionMarker { committed, coordinator_epoch: 0 };
    let marker = batch(s, BatchKind::Control, body, -1);
    s.replicate(&[1, 2, 3], marker, base, 0);
}

/// An output that is committed, read, and there once.
pub(super) fn sound() -> Story {
    story(|s| {
        let output = output(s, 0, 1);
        marker(s, true, 2);
        s.assign(0, 1, 1);
        s.poll(0, output, 1);
    })
}

pub(super) fn cases() -> Vec<Case> {
    let case = |guarantee, broken| Case { guarantee, broken, holding: vec![sound()] };
    let aborted = story(|s| {
        let output = output(s, 0, 1);
        marker(s, false, 2);
        s.assign(0, 1, 1);
        s.poll(0, output, 1);
    });
    let open = story(|s| {
        let output = output(s, 0, 1);
        s.assign(0, 1, 1);
        s.poll(0, output, 1);
    });
    let twice = story(|s| {
        output(s, 0, 1);
        marker(s, true, 2);
        output(s, 1, 3);
        marker(s, true, 4);
    });
    let gone = story(|s| {
        output(s, 0, 1);
        marker(s, false, 2);
        s.commit(1);
    });
    // c1 has read up to 1 and goes on at 3, behind what was aborted, or at 5, behind what was committed too.
    let leap = |base: i64| {
        story(|s| {
            output(s, 0, 1);
            marker(s, false, 2);
            let second = output(s, 1, 3);
            marker(s, true, 4);
            let third = output(s, 2, 5);
            marker(s, true, 6);
            s.assign(0, 1, 1);
            s.poll(0, if base == 3 { second } else { third }, base);
        })
    };
    vec![
        Case {
            guarantee: Guarantee::Skip,
            broken: vec![(leap(5), "read orders-0 up to 1 and goes on at 5")],
            holding: vec![leap(3)],
        },
        case(Guarantee::AbortedRead, vec![(aborted, "whose transaction was aborted")]),
        case(Guarantee::PrecommittedRead, vec![(open, "whose transaction is open")]),
        case(
            Guarantee::ExactlyOnce,
            vec![(twice, "o0 can be read more than once"), (gone, "o0 cannot be read")],
        ),
    ]
}

/// Of the guarantees of this table.
pub(super) const GUARANTEES: [Guarantee; 3] =
    [Guarantee::AbortedRead, Guarantee::PrecommittedRead, Guarantee::ExactlyOnce];
