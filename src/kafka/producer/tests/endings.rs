//! How records end that are not stored in time: expiry, a forceful close, lost brokers, lost epochs.

use super::*;

/// `close(timeout)`: what is on the wire and what waits fail alike, and may be stored all the same.
#[test]
fn a_close_that_takes_too_long_fails_what_has_no_outcome() {
    let mut rig = Rig::new(&[1], |config| config.max_in_flight = 1);
    (1..=2).for_each(|n| rig.send(n));
    rig.producer.close(rig.now, Some(Duration::from_millis(500)), &mut rig.fx);
    rig.settle();
    rig.pass(499 * MS);
    assert!(rig.outcomes().is_empty() && !rig.producer.is_closed());
    rig.pass(MS);
    assert_eq!(rig.outcomes(), ["m1!KafkaException", "m2!KafkaException"]);
    assert!(rig.producer.is_closed());
    rig.answer(ErrorCode::None, 0);
    assert_eq!(rig.outcomes().len(), 2, "nobody hears the answer");
}

/// `Sender.sendProducerData` fails the batches of the accumulator before those on the wire.
#[test]
fn what_expires_at_one_moment_fails_unsent_before_sent() {
    let mut rig = Rig::new(&[1], |config| {
        config.max_in_flight = 1;
        config.batch_size = 0;
        config.delivery_timeout = Duration::from_millis(3_000);
        config.request_timeout = Duration::from_millis(3_000);
    });
    (1..=2).for_each(|n| rig.send_to(Some(P0), n, 70));
    rig.pass(0);
    assert_eq!(rig.on_wire(), [[1]]);
    rig.pass(3_000 * MS);
    assert_eq!(rig.outcomes(), ["m2!TimeoutException", "m1!TimeoutException"]);
}

#[test]
fn the_memory_of_a_batch_on_the_wire_is_not_free_before_its_answer() {
    let mut rig = Rig::new(&[1], |config| {
        config.buffer_memory = 16_384;
        config.delivery_timeout = Duration::from_millis(1_000);
        config.request_timeout = Duration::from_millis(1_000);
    });
    rig.send(1);
    rig.pass(1_000 * MS);
    assert_eq!(rig.outcomes(), ["m1!TimeoutException"]);
    rig.send(2);
    assert_eq!(rig.on_wire(), [[1]], "send() blocks");
    rig.answer(ErrorCode::None, 0);
    rig.pass(0);
    assert_eq!(rig.on_wire(), [[2]]);
}

/// After epoch 32767 the client asks for another producer id. What was being retried goes out without any.
#[test]
fn when_epochs_are_used_up_retries_go_out_without_a_producer_id() {
    let mut rig = Rig::with_epoch(&[1], i16::MAX);
    rig.send(1);
    rig.answer(ErrorCode::None, 0);
    rig.send(2);
    rig.epoch = 0;
    rig.answer(ErrorCode::OutOfOrderSequenceNumber, -1);
    rig.pass(200 * MS);
    assert_eq!(rig.on_wire(), [[2]]);
    assert_eq!(rig.fx.batches[rig.wire[0].batches[0].batch].producer, None);
    rig.answer(ErrorCode::None, 1);
    rig.send(3);
    assert_eq!(rig.sequences(), [(0, 0)], "what is new has the new id");
}

#[test]
fn an_unknown_producer_id_is_retried_as_it_is() {
    let mut rig = Rig::new(&[1], |_| {});
    rig.send(1);
    rig.answer(ErrorCode::None, 0);
    rig.send(2);
    rig.answer(ErrorCode::UnknownProducerId, -1);
    rig.pass(200 * MS);
    assert_eq!((rig.on_wire(), rig.sequences()), (vec![vec![2]], vec![(0, 1)]));
}

/// A client that reaches no broker it knows forgets all of them, and who leads what (KIP-899).
#[test]
fn without_any_broker_a_client_forgets_its_metadata() {
    for (rebootstrap, failed) in [(true, "TimeoutException"), (false, "")] {
        let mut rig = Rig::new(&[1], |config| {
            config.rebootstrap = rebootstrap;
            config.max_block = Duration::from_millis(1_000);
            config.reconnect_backoff = Duration::from_millis(60_000);
            config.reconnect_backoff_max = Duration::from_millis(60_000);
        });
        rig.send(1);
        rig.answer(ErrorCode::None, 0);
        rig.silent = true;
        for n in 0..9 {
            rig.disconnect(NodeId::Broker(BrokerId(1 + n % 3)));
            rig.pass(1_000 * MS);
        }
        rig.pass(5_000 * MS);
        rig.events.clear();
        rig.send(2);
        rig.pass(1_000 * MS);
        let expected = if failed.is_empty() { vec![] } else { vec![format!("m2!{failed}")] };
        assert_eq!(rig.outcomes(), expected, "rebootstrap: {rebootstrap}");
    }
}

/// A client whose connections stand and say nothing gives them up after five minutes (KIP-1102).
#[test]
fn five_minutes_without_metadata_end_every_connection() {
    let mut rig = Rig::new(&[1], |config| {
        config.request_timeout = Duration::from_millis(600_000);
        config.delivery_timeout = Duration::from_millis(900_000);
    });
    rig.send(1);
    rig.silent = true;
    rig.answer(ErrorCode::NotLeaderOrFollower, -1);
    rig.pass(300_000 * MS);
    assert!(!rig.disconnects.contains(&B1));
    rig.pass(2_000 * MS);
    assert!(rig.disconnects.contains(&B1));
}
