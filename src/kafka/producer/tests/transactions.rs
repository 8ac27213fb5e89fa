//! Transcripts of a transactional producer: what it asks coordinators, what its calls return, and what becomes of
//! records.

use super::*;
use crate::base::error::ErrorCode;
use crate::base::ids::{BrokerId, Generation, GroupId, MemberId, NodeId, Offset, ProducerEpoch};
use crate::base::time::Duration;
use crate::event::TransactionCall::{
    AbortTransaction, BeginTransaction, CommitTransaction, InitTransactions,
    SendOffsetsToTransaction,
};
use crate::kafka::api::{Message, PartitionOffset};
use crate::kafka::producer::rig::{Asked, MS, P0, Rig};

const COORDINATOR: Option<BrokerId> = Some(BrokerId(3));
const ID: i64 = 7_000;

impl Rig {
    /// A transactional producer of a cluster with this `transaction.version`, before any call.
    fn transactional(version: u8, change: impl FnOnce(&mut ProducerConfig)) -> Self {
        Self::of_cluster(version, &[1], |config| {
            config.transactional_id = "tx".to_owned();
            change(config);
        })
    }

    /// The same after `initTransactions()` and `beginTransaction()`.
    fn in_transaction(version: u8, change: impl FnOnce(&mut ProducerConfig)) -> Self {
        let mut rig = Self::transactional(version, change);
        rig.initialize();
        rig.call(BeginTransaction);
        rig
    }

    fn initialize(&mut self) {
        self.call(InitTransactions);
        self.found();
        self.pass(100 * MS);
        self.given(0);
    }

    fn call(&mut self, call: TransactionCall) {
        self.producer.transact(self.now, call, None, &mut self.fx);
        self.settle();
        self.pass(0);
    }

    fn send_offsets(&mut self, generation: i32) {
        let offsets = GroupOffsets {
            group: GroupId(0),
            member: MemberId::UNKNOWN,
            generation: Generation(generation),
            offsets: vec![PartitionOffset { partition: P0, offset: Offset(3) }],
        };
        let call = SendOffsetsToTransaction;
        self.producer.transact(self.now, call, Some(offsets), &mut self.fx);
        self.settle();
        self.pass(0);
    }

    /// Answers the only request to a coordinator that is out.
    fn reply(&mut self, answer: Message) -> Asked {
        let asked = self.asked.remove(0);
        assert!(self.asked.is_empty(), "one request at a time");
        let (from, correlation) = (asked.to, asked.correlation);
        self.step(Input::Response { from, correlation, message: answer });
        asked
    }

    fn found(&mut self) -> Asked {
        let error = ErrorCode::None;
        self.reply(Message::FindCoordinatorResponse { error, coordinator: COORDINATOR })
    }

    fn given(&mut self, epoch: i16) -> Asked {
        self.reply(init_answer(ErrorCode::None, epoch))
    }

    fn ended(&mut self, error: ErrorCode, epoch: i16) -> Asked {
        let producer_id = if epoch < 0 { -1 } else { ID };
        self.reply(Message::EndTxnResponse { error, producer_id, epoch: ProducerEpoch(epoch) })
    }

    /// What each call returned: `commitTransaction`, `commitTransaction!TimeoutException`.
    fn calls(&self) -> Vec<String> {
        let call = |kind: &EventKind| match *kind {
            EventKind::TransactionCalled { call, exception } => {
                let exception = exception.map(|exception| format!("!{}", exception.name()));
                Some(format!("{}{}", call.name(), exception.unwrap_or_default()))
            }
            _ => None,
        };
        self.events.iter().filter_map(call).collect()
    }

    fn last_call(&self) -> String {
        self.calls().pop().unwrap_or_default()
    }
}

fn init_answer(error: ErrorCode, epoch: i16) -> Message {
    Message::InitProducerIdResponse { error, producer_id: ID, epoch: ProducerEpoch(epoch) }
}

#[test]
fn a_transaction_of_version_2_begins_with_its_records_and_takes_the_next_epoch_from_its_end() {
    let mut rig = Rig::transactional(2, |_| {});
    rig.call(InitTransactions);
    assert!(matches!(rig.found().message, Message::FindTransactionCoordinator { .. }));
    assert_eq!(rig.asked.len(), 0, "a request that had no coordinator pauses once it has one");
    rig.pass(100 * MS);
    let init = rig.given(0);
    assert_eq!(init.to, NodeId::Broker(BrokerId(3)));
    rig.call(BeginTransaction);
    rig.send(1);
    rig.call(CommitTransaction);
    assert_eq!(rig.on_wire(), [[1]], "no partition is added beforehand");
    assert!(rig.asked.is_empty(), "the end waits for the records");
    rig.answer(ErrorCode::None, 0);
    let end = rig.ended(ErrorCode::None, 1);
    assert!(matches!(end.message, Message::EndTxn { committed: true, bumps: true, .. }));
    rig.call(BeginTransaction);
    rig.send(2);
    assert_eq!(rig.sequences(), [(1, 0)]);
    let wanted = ["initTransactions", "beginTransaction", "commitTransaction", "beginTransaction"];
    assert_eq!(rig.calls(), wanted);
}

#[test]
fn a_transaction_of_version_1_adds_partitions_first_and_keeps_epoch_and_sequences() {
    let mut rig = Rig::in_transaction(1, |_| {});
    rig.send(1);
    assert!(rig.wire.is_empty(), "nothing goes to a partition that was not added");
    let busy = ErrorCode::ConcurrentTransactions;
    rig.reply(Message::AddPartitionsToTxnResponse { error: busy });
    rig.pass(20 * MS);
    rig.reply(Message::AddPartitionsToTxnResponse { error: ErrorCode::None });
    rig.answer(ErrorCode::None, 0);
    rig.call(CommitTransaction);
    let end = rig.ended(ErrorCode::None, -1);
    assert!(matches!(end.message, Message::EndTxn { bumps: false, .. }));
    rig.call(BeginTransaction);
    rig.send(2);
    rig.reply(Message::AddPartitionsToTxnResponse { error: ErrorCode::None });
    assert_eq!(rig.sequences(), [(0, 1)]);
}

#[test]
fn an_empty_transaction_asks_nobody() {
    for end in [CommitTransaction, AbortTransaction] {
        let mut rig = Rig::in_transaction(2, |_| {});
        rig.call(end);
        assert_eq!((rig.last_call(), rig.asked.len()), (end.name().to_owned(), 0));
    }
}

#[test]
fn offsets_go_to_the_coordinator_of_the_group() {
    let mut rig = Rig::in_transaction(2, |_| {});
    rig.send_offsets(-1);
    assert!(matches!(rig.found().message, Message::FindCoordinator { .. }));
    rig.pass(100 * MS);
    let asked = rig.reply(Message::TxnOffsetCommitResponse { error: ErrorCode::None });
    assert!(matches!(asked.message, Message::TxnOffsetCommit { adds: true, .. }));
    assert_eq!(rig.last_call(), "sendOffsetsToTransaction");

    let mut rig = Rig::in_transaction(1, |_| {});
    rig.send_offsets(4);
    rig.reply(Message::AddOffsetsToTxnResponse { error: ErrorCode::None });
    rig.found();
    rig.pass(100 * MS);
    let illegal = ErrorCode::IllegalGeneration;
    let asked = rig.reply(Message::TxnOffsetCommitResponse { error: illegal });
    assert!(matches!(asked.message, Message::TxnOffsetCommit { adds: false, .. }));
    assert_eq!(rig.last_call(), "sendOffsetsToTransaction!CommitFailedException");
    rig.call(CommitTransaction);
    assert_eq!(rig.last_call(), "commitTransaction!KafkaException");
}

#[test]
fn a_record_that_fails_leaves_only_the_way_back() {
    for (error, outcome, commit) in [
        (ErrorCode::MessageTooLarge, "m1!RecordTooLargeException", "KafkaException"),
        (
            ErrorCode::InvalidProducerEpoch,
            "m1!InvalidProducerEpochException",
            "InvalidProducerEpochException",
        ),
        (ErrorCode::OutOfOrderSequenceNumber, "m1!OutOfOrderSequenceException", "KafkaException"),
    ] {
        let mut rig = Rig::in_transaction(2, |_| {});
        rig.send(1);
        rig.answer(error, -1);
        assert_eq!(rig.outcomes(), [outcome]);
        rig.call(CommitTransaction);
        assert_eq!(rig.last_call(), format!("commitTransaction!{commit}"));
        rig.call(AbortTransaction);
        let end = rig.ended(ErrorCode::None, 1);
        assert!(matches!(end.message, Message::EndTxn { committed: false, .. }));
        assert_eq!(rig.last_call(), "abortTransaction");
        rig.call(BeginTransaction);
        rig.send(2);
        assert_eq!(rig.sequences(), [(1, 0)], "{error:?}");
    }
}

#[test]
fn under_version_1_the_client_asks_for_a_new_epoch_after_such_an_abort() {
    let mut rig = Rig::in_transaction(1, |_| {});
    rig.send(1);
    rig.reply(Message::AddPartitionsToTxnResponse { error: ErrorCode::None });
    rig.answer(ErrorCode::MessageTooLarge, -1);
    rig.call(AbortTransaction);
    rig.ended(ErrorCode::None, -1);
    let asked = rig.given(1);
    let wanted = Some((ID, ProducerEpoch(0)));
    let Message::InitProducerId { producer_id, epoch, .. } = asked.message else { panic!() };
    assert_eq!(Some((producer_id, epoch)), wanted, "with what it has");
    assert_eq!(rig.last_call(), "abortTransaction");
}

#[test]
fn an_abort_fails_what_was_never_sent_and_waits_for_what_was() {
    let mut rig = Rig::in_transaction(2, |_| {});
    rig.send(1);
    rig.call(AbortTransaction);
    assert!(rig.asked.is_empty(), "m1 is on its way");
    rig.answer(ErrorCode::None, 0);
    rig.ended(ErrorCode::None, 1);
    assert_eq!(rig.outcomes(), ["m1@0"]);

    let mut rig = Rig::in_transaction(2, |config| config.linger = Duration::from_millis(50));
    rig.send(2);
    rig.call(AbortTransaction);
    assert_eq!(rig.outcomes(), ["m2!TransactionAbortedException"]);
    rig.ended(ErrorCode::None, 1);
    assert_eq!(rig.last_call(), "abortTransaction");
}

#[test]
fn who_is_fenced_is_done_for() {
    for (error, thrown) in [
        (ErrorCode::ProducerFenced, "ProducerFencedException"),
        (ErrorCode::InvalidProducerEpoch, "ProducerFencedException"),
        (ErrorCode::InvalidTxnState, "InvalidTxnStateException"),
    ] {
        let mut rig = Rig::in_transaction(2, |_| {});
        rig.send(1);
        rig.answer(ErrorCode::None, 0);
        rig.call(CommitTransaction);
        rig.ended(error, -1);
        assert_eq!(rig.last_call(), format!("commitTransaction!{thrown}"));
        let fenced = thrown == "ProducerFencedException";
        let then = if fenced { thrown } else { "KafkaException" };
        for call in [AbortTransaction, BeginTransaction, CommitTransaction] {
            rig.call(call);
            assert_eq!(rig.last_call(), format!("{}!{then}", call.name()), "{error:?}");
        }
        rig.send(2);
        assert!(rig.wire.is_empty());
        assert_eq!(rig.outcomes()[1], format!("m2!{then}"));
    }
}

#[test]
fn a_record_sent_in_a_fatal_state_fails_at_once_and_is_told_of_again_after_the_back_off() {
    for (error, told) in [
        (ErrorCode::ProducerFenced, ["ProducerFencedException", "ProducerFencedException"]),
        (ErrorCode::InvalidTxnState, ["KafkaException", "InvalidTxnStateException"]),
    ] {
        let mut rig = Rig::in_transaction(2, |_| {});
        rig.send(1);
        rig.answer(ErrorCode::None, 0);
        rig.call(CommitTransaction);
        rig.ended(error, -1);
        rig.send(2);
        assert_eq!(rig.outcomes()[1..], [format!("m2!{}", told[0])]);
        assert!(rig.producer.is_idle(), "nobody waits for it");
        rig.pass(100 * MS);
        assert_eq!(rig.outcomes()[2..], [format!("m2!{}", told[1])]);
        rig.send(3);
        rig.producer.close(rig.now, Some(Duration::ZERO), &mut rig.fx);
        rig.settle();
        rig.pass(0);
        assert_eq!(rig.outcomes()[4..], ["m3!KafkaException"], "closed forcefully");
    }
}

#[test]
fn a_call_that_timed_out_is_under_way_and_must_be_made_again() {
    let mut rig = Rig::in_transaction(2, |config| config.max_block = Duration::from_millis(500));
    rig.send(1);
    rig.answer(ErrorCode::None, 0);
    rig.call(CommitTransaction);
    rig.pass(500 * MS);
    assert_eq!(rig.last_call(), "commitTransaction!TimeoutException");
    for call in [BeginTransaction, AbortTransaction] {
        rig.call(call);
        assert_eq!(rig.last_call(), format!("{}!IllegalStateException", call.name()));
    }
    rig.call(CommitTransaction);
    assert_eq!(rig.asked.len(), 1, "it is the same commit");
    rig.ended(ErrorCode::None, 1);
    assert_eq!(rig.last_call(), "commitTransaction");
    rig.call(BeginTransaction);
    assert_eq!(rig.last_call(), "beginTransaction");
}

#[test]
fn a_lost_answer_is_asked_for_again_at_the_coordinator_there_is_then() {
    let mut rig = Rig::in_transaction(2, |_| {});
    rig.send(1);
    rig.answer(ErrorCode::None, 0);
    rig.call(CommitTransaction);
    rig.disconnect(NodeId::Broker(BrokerId(3)));
    rig.pass(200 * MS);
    rig.found();
    rig.pass(200 * MS);
    let end = rig.ended(ErrorCode::None, 1);
    assert!(matches!(end.message, Message::EndTxn { epoch: ProducerEpoch(0), .. }));
    assert_eq!(rig.last_call(), "commitTransaction");
}

#[test]
fn a_record_sent_outside_of_a_transaction_goes_out_with_the_next() {
    let mut rig = Rig::transactional(2, |_| {});
    rig.initialize();
    rig.send(1);
    assert_eq!(rig.outcomes(), ["m1!IllegalStateException"]);
    assert!(rig.wire.is_empty());
    rig.call(BeginTransaction);
    rig.send(2);
    assert_eq!(rig.on_wire(), [[1, 2]]);
}

#[test]
fn close_aborts_what_is_open() {
    let mut rig = Rig::in_transaction(2, |_| {});
    rig.send(1);
    rig.producer.close(rig.now, None, &mut rig.fx);
    rig.settle();
    rig.pass(0);
    assert!(!rig.producer.is_closed());
    rig.answer(ErrorCode::None, 0);
    let end = rig.ended(ErrorCode::None, 1);
    assert!(matches!(end.message, Message::EndTxn { committed: false, .. }));
    assert!(rig.producer.is_closed());
}

#[test]
fn what_is_called_out_of_turn_throws_illegal_state_exception() {
    let mut rig = Rig::new(&[1], |_| {});
    rig.call(InitTransactions);
    assert_eq!(rig.last_call(), "initTransactions!IllegalStateException", "no transactional.id");
    let mut rig = Rig::transactional(2, |_| {});
    for call in [BeginTransaction, CommitTransaction, AbortTransaction] {
        rig.call(call);
        assert_eq!(rig.last_call(), format!("{}!IllegalStateException", call.name()));
    }
    rig.initialize();
    rig.call(InitTransactions);
    assert_eq!(rig.last_call(), "initTransactions!IllegalStateException", "a second time");
}

#[test]
fn a_batch_that_expires_leaves_an_abortable_transaction() {
    let mut rig = Rig::in_transaction(2, |config| {
        config.delivery_timeout = Duration::from_millis(1_000);
        config.request_timeout = Duration::from_millis(700);
    });
    rig.send(1);
    rig.pass(1_100 * MS);
    assert_eq!(rig.outcomes(), ["m1!TimeoutException"]);
    rig.call(CommitTransaction);
    assert_eq!(rig.last_call(), "commitTransaction!KafkaException");
    rig.call(AbortTransaction);
    rig.ended(ErrorCode::None, 1);
    assert_eq!(rig.last_call(), "abortTransaction");
}
