//! The table of histories: transactions, and what an application passes on.

use super::*;
use crate::base::batch::{ProducerState, Record, RecordBody, TransactionState};
use crate::base::ids::{
    BatchHandle, KeyId, MessageId, Offset, ProducerEpoch, Sequence, TransactionalId,
};
use crate::check::table_tests::{Case, story};
use crate::event::TransactionCall;
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
        begins(s);
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

/// The application calls `beginTransaction()`.
fn begins(s: &mut Story) {
    let names = Arc::make_mut(&mut s.names);
    (names.transactional_ids, names.transaction_partitions) = (vec!["t".to_owned()], vec![P0]);
    let (call, exception) = (TransactionCall::BeginTransaction, None);
    s.push(NodeId::Producer(0), EventKind::TransactionCalled { call, exception });
}

/// The coordinator decides, and is done with the markers.
fn decides(s: &mut Story, states: &[TransactionState]) {
    for state in states {
        let (id, epoch) = (TransactionalId(0), ProducerEpoch(0));
        s.broker(1, EventKind::TransactionChanged { id, state: *state, producer_id: 8, epoch });
    }
}

/// b1 says how far `read_committed` readers may read.
fn stable(s: &mut Story, offset: i64) {
    s.broker(1, EventKind::LastStableOffset { partition: P0, offset: Offset(offset) });
}

/// An output that is committed, read, and there once.
pub(super) fn sound() -> Story {
    story(|s| {
        let output = output(s, 0, 1);
        decides(s, &[TransactionState::PrepareCommit]);
        marker(s, true, 2);
        decides(s, &[TransactionState::CompleteCommit]);
        stable(s, 3);
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

/// What is torn, and what hangs.
pub(super) fn endings() -> Vec<Case> {
    let half = story(|s| {
        output(s, 0, 1);
        let batch = batch(s, BatchKind::Transactional, RecordBody::Message(MessageId(11)), 1);
        s.acked(batch, 3);
        decides(s, &[TransactionState::PrepareCommit]);
        marker(s, true, 2);
        decides(s, &[TransactionState::CompleteCommit]);
    });
    let joins_the_next = story(|s| {
        output(s, 0, 1);
        decides(s, &[TransactionState::PrepareAbort, TransactionState::CompleteAbort]);
        begins(s);
        decides(s, &[TransactionState::Ongoing, TransactionState::PrepareCommit]);
        marker(s, true, 2);
        decides(s, &[TransactionState::CompleteCommit]);
    });
    let half_marked = story(|s| {
        output(s, 0, 1);
        decides(s, &[TransactionState::PrepareAbort]);
        marker(s, false, 2);
        begins(s);
        output(s, 1, 3);
        decides(s, &[TransactionState::CompleteAbort, TransactionState::PrepareCommit]);
    });
    let late = |open: bool| {
        story(|s| {
            output(s, 0, 1);
            decides(s, &[TransactionState::PrepareCommit]);
            marker(s, true, 2);
            decides(s, &[TransactionState::CompleteCommit]);
            if open {
                decides(s, &[TransactionState::Ongoing]);
                let id = TransactionalId(0);
                s.broker(1, EventKind::TransactionPartition { id, partition: P0 });
            }
            output(s, 1, 3);
            stable(s, 3);
        })
    };
    vec![
        Case {
            guarantee: Guarantee::TornTransaction,
            broken: vec![
                (half, "Of one committed transaction o0 can be read and o1 cannot"),
                (joins_the_next, "o0 can be read though the transaction was aborted"),
            ],
            holding: vec![sound(), half_marked],
        },
        Case {
            guarantee: Guarantee::StuckLso,
            broken: vec![(late(false), "stays at 3")],
            holding: vec![sound(), late(true)],
        },
    ]
}

/// Of the guarantees of this table.
pub(super) const GUARANTEES: [Guarantee; 5] = [
    Guarantee::AbortedRead,
    Guarantee::PrecommittedRead,
    Guarantee::ExactlyOnce,
    Guarantee::TornTransaction,
    Guarantee::StuckLso,
];
