//! The screen of transactions: one that is aborted, one that is open and hides what came after it.

use std::sync::Arc;

use super::{CHECKOUT, PLAIN, Tape, at, film_world, render, text};
use crate::base::batch::{BatchKind, ProducerState, Record, RecordBody, TransactionState};
use crate::base::error::{ErrorCode, Exception};
use crate::base::ids::{
    BatchHandle, GroupId, KeyId, MessageId, NodeId, Offset, ProducerEpoch, Sequence,
    TransactionalId,
};
use crate::base::names::Client;
use crate::base::tables::TableId;
use crate::base::time::Time;
use crate::event::{EventKind, FaultKind, TransactionCall};
use crate::tui::app::{App, Screen};
use crate::tui::keymap::{Action, Key};
use crate::tui::model::{Film, Kill, Mode, World};
use crate::view::story::P0;

const PAY: TransactionalId = TransactionalId(1);

impl Tape {
    fn record(
        &mut self,
        kind: BatchKind,
        body: RecordBody,
        producer_id: i64,
        epoch: i16,
    ) -> BatchHandle {
        let (key, bytes, timestamp, is_tombstone) = (KeyId::NONE, 10, 0, false);
        let record = Record { body, key, bytes, timestamp, is_tombstone };
        let (epoch, base_sequence) = (ProducerEpoch(epoch), Sequence(0));
        let producer = ProducerState { id: producer_id, epoch, base_sequence };
        self.story.batches.add_of_kind(kind, CHECKOUT, Some(producer), &[record])
    }

    fn stores(&mut self, message: u32, kind: BatchKind, producer_id: i64, base: i64) {
        let body = RecordBody::Message(MessageId(message));
        let batch = self.record(kind, body, producer_id, 3);
        self.replicates(batch, base);
    }

    fn marks(&mut self, committed: bool, producer_id: i64, base: i64) {
        let body = RecordBody::EndTransactionMarker { committed, coordinator_epoch: 0 };
        let batch = self.record(BatchKind::Control, body, producer_id, 4);
        self.replicates(batch, base);
    }

    fn replicates(&mut self, batch: BatchHandle, base: i64) {
        for n in [1, 2, 3] {
            self.story.append(n, batch, base, 0);
        }
        for n in [1, 2, 3] {
            self.story.high_watermark(n, base + 1);
        }
    }

    fn stable(&mut self, offset: i64) {
        for n in [1, 2, 3] {
            let (partition, offset) = (P0, Offset(offset));
            self.story.broker(n, EventKind::LastStableOffset { partition, offset });
        }
    }

    fn state(&mut self, id: TransactionalId, state: TransactionState, epoch: i16) {
        let (producer_id, epoch) = (7_001 + i64::from(id.0), ProducerEpoch(epoch));
        self.story.broker(1, EventKind::TransactionChanged { id, state, producer_id, epoch });
        if state == TransactionState::Ongoing {
            self.story.broker(1, EventKind::TransactionPartition { id, partition: P0 });
        }
    }
}

/// `audit` aborts m1; `pay` is open since 1 s with m0, and m2, which is of nobody, waits behind it.
fn open_transaction() -> App {
    let mut tape = Tape::new();
    let names = Arc::make_mut(&mut tape.story.names);
    names.transactional_ids = vec!["audit".to_owned(), "pay".to_owned()];
    names.transaction_partitions = vec![P0, P0];
    let audit = TransactionalId(0);
    tape.state(PAY, TransactionState::Empty, 3);
    tape.state(audit, TransactionState::Empty, 3);
    tape.at(1_000);
    tape.state(PAY, TransactionState::Ongoing, 3);
    tape.stores(0, BatchKind::Transactional, 7_002, 0);
    tape.stable(0);
    tape.state(audit, TransactionState::Ongoing, 3);
    tape.stores(1, BatchKind::Transactional, 7_001, 1);
    tape.state(audit, TransactionState::PrepareAbort, 4);
    tape.marks(false, 7_001, 2);
    tape.state(audit, TransactionState::CompleteAbort, 4);
    tape.stores(2, BatchKind::Plain, -1, 3);
    let (group, partition, offset, producer_id) = (GroupId(0), P0, Offset(2), 7_002);
    tape.story.broker(1, EventKind::OffsetPending { group, partition, offset, producer_id });
    tape.at(5_000);
    tape.state(PAY, TransactionState::PrepareCommit, 4);
    tape.marks(true, 7_002, 4);
    tape.stable(5);
    tape.story.broker(1, EventKind::OffsetCommitted { group, partition, offset });
    tape.state(PAY, TransactionState::CompleteCommit, 4);
    tape.story.push(NodeId::Script, EventKind::Ended);
    let film = Film {
        scenario: "open-transaction".to_owned(),
        title: "What does an open transaction hide?".to_owned(),
        seed: 1,
        questions: Vec::new(),
        worlds: vec![film_world(tape, "all")],
        takeaway: "Everything behind it waits.".to_owned(),
        difference: String::new(),
    };
    let mut app = App::new(film, Mode::Play, PLAIN);
    app.act(Action::Transactions);
    app
}

/// `checkout` stands still with m0 in an open transaction of `pay`; `second` takes the id over, and the transaction is
/// aborted. `checkout` is told so when it commits. An application has 3 rows of 2 messages besides.
fn taken_over() -> App {
    let mut tape = Tape::new();
    let names = Arc::make_mut(&mut tape.story.names);
    names.transactional_ids = vec!["pay".to_owned(), "stock".to_owned()];
    names.transaction_partitions = vec![P0, P0];
    names.producers.push(Client { name: "second".to_owned(), group: None, rank: 0 });
    names.tables = vec!["bills".to_owned()];
    let (pay, second) = (TransactionalId(0), NodeId::Producer(1));
    let assigned =
        |epoch| EventKind::ProducerIdAssigned { producer_id: 7_001, epoch: ProducerEpoch(epoch) };
    tape.state(pay, TransactionState::Empty, 3);
    tape.story.push(CHECKOUT, assigned(3));
    tape.at(1_000);
    tape.state(pay, TransactionState::Ongoing, 3);
    tape.stores(0, BatchKind::Transactional, 7_001, 0);
    tape.stable(0);
    tape.story.push(CHECKOUT, EventKind::Fault { kind: FaultKind::Freeze });
    tape.at(5_000);
    tape.state(pay, TransactionState::PrepareAbort, 4);
    tape.marks(false, 7_001, 1);
    tape.stable(2);
    tape.state(pay, TransactionState::CompleteAbort, 4);
    tape.state(pay, TransactionState::Empty, 5);
    tape.story.push(second, assigned(5));
    let body = RecordBody::Message(MessageId(1));
    let batch = tape.record(BatchKind::Plain, body, -1, 0);
    tape.replicates(batch, 2);
    tape.stable(3);
    for once in [false, false, true] {
        let (table, partition, base_offset) = (TableId(0), P0, Offset(2));
        let (first, count) = (0, 1);
        tape.story.consumer(
            0,
            EventKind::RowsInserted { table, partition, batch, base_offset, first, count, once },
        );
    }
    tape.at(9_000);
    tape.story.push(CHECKOUT, EventKind::Fault { kind: FaultKind::Thaw });
    let (call, fenced) = (TransactionCall::CommitTransaction, ErrorCode::ProducerFenced);
    let exception = Some(Exception::Wire(fenced));
    tape.story.push(CHECKOUT, EventKind::TransactionCalled { call, exception });
    tape.story.push(NodeId::Script, EventKind::Ended);
    let film = Film {
        scenario: "taken-over".to_owned(),
        title: "Two instances, one id: who wins?".to_owned(),
        seed: 1,
        questions: Vec::new(),
        worlds: vec![film_world(tape, "all")],
        takeaway: "The newer one.".to_owned(),
        difference: String::new(),
    };
    let mut app = App::new(film, Mode::Play, PLAIN);
    app.act(Action::Transactions);
    app
}

pub(super) fn scenes() -> Vec<(&'static str, App)> {
    vec![
        ("transactions-zombie", at(taken_over(), 6_000)),
        ("transactions-fenced", at(taken_over(), 9_500)),
        ("transactions", at(open_transaction(), 4_000)),
        ("transactions-done", at(open_transaction(), 6_000)),
    ]
}

fn screen(app: &App) -> String {
    text(&render(app, 80, 24))
}

#[test]
fn what_is_open_hides_what_came_after_it() {
    let shown = screen(&at(open_transaction(), 4_000));
    assert!(shown.contains("pay transactional.id   PID 7002 epoch 3"), "{shown}");
    assert!(shown.contains("[Ongoing]"), "{shown}");
    assert!(shown.contains("HW 4  LSO 0"), "{shown}");
    assert!(shown.contains("orders-0: reads to 0; 4 offsets wait behind what is open"), "{shown}");
    assert!(
        shown.contains("orders-0: reads to 4; sees 1 aborted, 1 of open transactions"),
        "{shown}"
    );
    assert!(shown.contains("billing orders-0 → 2   counts when it commits"), "{shown}");
    assert!(shown.contains("audit  CompleteAbort  0 committed, 1 aborted"), "{shown}");
}

#[test]
fn who_is_fenced_is_seen_before_and_after_it_knows() {
    let nobody = screen(&at(taken_over(), 2_000));
    assert!(!nobody.contains("zombie"), "{nobody}");
    let unaware = screen(&at(taken_over(), 6_000));
    assert!(unaware.contains("checkout  epoch 3, frozen; it does not know yet"), "{unaware}");
    assert!(unaware.contains("bills: 2 rows, of 1 message"), "{unaware}");
    let told = screen(&at(taken_over(), 9_500));
    assert!(told.contains("checkout  epoch 3 ──► PRODUCER_FENCED at 9.0 s"), "{told}");
    assert!(!told.contains("second  epoch"), "{told}");
}

#[test]
fn enter_goes_to_the_marker_and_w_tells_why_it_is_held() {
    let mut app = at(taken_over(), 2_000);
    assert!(screen(&app).contains("w why held"), "{}", screen(&app));
    app.key(Key::Char('w'));
    assert_eq!((app.screen, app.picked), (Screen::Why, Some(MessageId(0))));
    app.key(Key::Esc);
    app.key(Key::Enter);
    let marked = screen(&app);
    assert!(app.now() >= Time(5_000_000) && app.now() < Time(5_100_000), "{}", app.now());
    assert!(marked.contains("[PrepareAbort]"), "{marked}");
    app.act(Action::End);
    app.key(Key::Char('w'));
    assert_eq!(app.screen, Screen::Transactions);
    assert!(screen(&app).contains("Nothing is held"), "{}", screen(&app));
}

#[test]
fn f_asks_for_the_run_in_which_the_producer_dies_now() {
    let mut app = at(taken_over(), 6_000);
    app.key(Key::Char('f'));
    let wish = app.take_wish();
    assert_eq!(wish, Some(Kill { world: 0, producer: 1, at: app.now() }), "the newest instance");
    let (now, fork) = (app.now(), app.run().clone());
    app.open_fork(World { variant: "second killed".to_owned(), ..fork });
    assert_eq!((app.screen, app.film.worlds.len()), (Screen::Compare, 2));
    assert!(screen(&app).contains("second killed"), "{}", screen(&app));
    assert_eq!(app.now(), now);
    app.key(Key::Char('5'));
    app.key(Key::Char('f'));
    assert_eq!(app.take_wish(), None, "one change at a time");
    for _ in 0..3 {
        app.key(Key::Esc);
    }
    assert_eq!(app.film.worlds.len(), 1);
}

#[test]
fn everything_it_hid_is_there_when_it_ends() {
    let mut app = at(open_transaction(), 6_000);
    let shown = screen(&app);
    assert!(shown.contains("HW 5  LSO 5"), "{shown}");
    assert!(shown.contains("nothing waits"), "{shown}");
    assert!(!shown.contains("counts when it commits"), "{shown}");
    app.key(Key::Char('j'));
    assert!(screen(&app).contains("pay transactional.id   PID 7002 epoch 4"));
    app.key(Key::Esc);
    assert_eq!(app.screen, Screen::Stage);
}
