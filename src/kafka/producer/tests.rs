//! Transcripts: what goes wrong with a request, and what the producer then sends and tells its application.

mod endings;
mod librdkafka;
mod transactions;

use super::*;
use crate::base::config::Acks;
use crate::base::error::ErrorCode;
use crate::base::ids::{BatchHandle, BrokerId, NodeId};
use crate::base::time::Duration;
use crate::kafka::producer::rig::{B1, MS, P0, Rig};

fn not_idempotent(config: &mut ProducerConfig) {
    config.enable_idempotence = false;
}

#[test]
fn after_a_disconnect_batches_come_back_in_reverse_without_idempotence() {
    let mut rig = Rig::new(&[1], not_idempotent);
    (1..=3).for_each(|n| rig.send(n));
    assert_eq!(rig.on_wire(), [[1], [2], [3]]);
    let handles: Vec<BatchHandle> = rig.wire.iter().map(|sent| sent.batches[0].batch).collect();
    rig.disconnect(B1);
    rig.pass(300 * MS);
    assert_eq!(rig.on_wire(), [[3], [2], [1]]);
    let again: Vec<BatchHandle> = rig.wire.iter().rev().map(|sent| sent.batches[0].batch).collect();
    assert_eq!(again, handles, "a retry is the same batch");
}

#[test]
fn after_a_disconnect_an_idempotent_producer_sends_one_by_one_in_sequence() {
    let mut rig = Rig::new(&[1], |_| {});
    (1..=3).for_each(|n| rig.send(n));
    assert_eq!(rig.sequences(), [(0, 0), (0, 1), (0, 2)]);
    rig.disconnect(B1);
    rig.pass(300 * MS);
    for n in 1..=3 {
        assert_eq!(rig.on_wire(), [[n]]);
        assert_eq!(rig.sequences(), [(0, n as i32 - 1)]);
        rig.answer(ErrorCode::None, n.into());
    }
    assert_eq!(rig.outcomes(), ["m1@1", "m2@2", "m3@3"]);
}

#[test]
fn no_more_requests_than_allowed_are_in_flight() {
    for (limit, sent) in [(1, 1), (5, 5)] {
        let mut rig = Rig::new(&[1], |config| {
            not_idempotent(config);
            config.max_in_flight = limit;
        });
        (1..=7).for_each(|n| rig.send(n));
        assert_eq!(rig.wire.len(), sent);
        rig.answer(ErrorCode::None, 0);
        assert_eq!(rig.wire.len(), sent, "an answer makes room for the next");
    }
}

#[test]
fn with_one_request_in_flight_a_retry_keeps_the_order() {
    let mut rig = Rig::new(&[1], |config| {
        not_idempotent(config);
        config.max_in_flight = 1;
        config.batch_size = 0;
    });
    (1..=3).for_each(|n| rig.send_to(Some(P0), n, 70));
    rig.pass(0);
    rig.answer(ErrorCode::NotEnoughReplicas, -1);
    assert!(rig.wire.is_empty(), "the batch backs off and nothing overtakes it");
    rig.pass(150 * MS);
    let order: Vec<Vec<u32>> = (0..3)
        .map(|n| {
            let sent = rig.answer(ErrorCode::None, n);
            rig.messages(sent.batches[0].batch)
        })
        .collect();
    assert_eq!(order, [[1], [2], [3]]);
}

#[test]
fn back_off_doubles_with_jitter() {
    let mut rig = Rig::new(&[1], not_idempotent);
    rig.send(1);
    for term in [100, 200, 400, 800, 1_000, 1_000] {
        let failed = rig.now;
        rig.answer(ErrorCode::NotEnoughReplicas, -1);
        rig.pass(1_000 * MS);
        let waited = rig.wire[0].at.since(failed).as_millis();
        assert!((term * 8 / 10..=term * 12 / 10).contains(&waited), "{waited} ms for {term}");
    }
}

#[test]
fn a_batch_expires_after_the_delivery_time_out_sent_or_not() {
    let timeouts = |config: &mut ProducerConfig| {
        config.delivery_timeout = Duration::from_millis(4_000);
        config.request_timeout = Duration::from_millis(1_500);
    };
    let mut rig = Rig::new(&[1, 2], timeouts);
    rig.send(1);
    rig.leaders[1].0 = None;
    rig.silent = true;
    rig.send_to(Some(PartitionId(1)), 2, 20);
    rig.wire.clear();
    rig.pass(3_999 * MS);
    assert!(
        rig.outcomes().is_empty(),
        "request.timeout.ms alone fails nothing while retries are left"
    );
    assert!(rig.disconnects.contains(&B1), "but it closes the connection");
    rig.pass(MS);
    assert_eq!(rig.outcomes(), ["m1!TimeoutException", "m2!TimeoutException"]);
    assert!(rig.producer.is_idle());
}

/// The metadata is not old, so nothing else would ask for it: `RecordAccumulator.ready` finds the missing leader.
#[test]
fn a_record_for_a_partition_without_a_leader_asks_for_metadata_at_once() {
    let mut rig = Rig::new(&[1], not_idempotent);
    rig.leaders[0] = (None, 1);
    // `metadata.max.age.ms`: it learns that there is no leader, and the back-off of that answer is long over.
    rig.pass(310_000 * MS);
    rig.leaders[0] = (Some(2), 2);
    rig.send(1);
    rig.pass(200 * MS);
    assert_eq!(rig.wire.len(), 1, "it was sent to the new leader");
}

#[test]
fn without_retries_a_lost_connection_and_a_lost_answer_have_different_names() {
    let config = |config: &mut ProducerConfig| {
        not_idempotent(config);
        config.retries = 0;
        config.request_timeout = Duration::from_millis(2_000);
    };
    let mut rig = Rig::new(&[1], config);
    rig.send(1);
    rig.disconnect(B1);
    assert_eq!(rig.outcomes(), ["m1!NetworkException"]);
    let mut rig = Rig::new(&[1], config);
    rig.send(1);
    rig.pass(2_000 * MS);
    assert!(rig.outcomes().is_empty());
    rig.pass(MS);
    assert_eq!(rig.outcomes(), ["m1!TimeoutException"]);
}

#[test]
fn a_dead_broker_uses_up_no_retry() {
    let mut rig = Rig::new(&[1], |config| {
        not_idempotent(config);
        config.retries = 0;
    });
    rig.silent = true;
    rig.disconnect(B1);
    for _ in 0..5 {
        rig.send(1);
        rig.pass(2_000 * MS);
        rig.disconnect(B1);
    }
    assert!(rig.wire.is_empty(), "nothing is sent before the connection stands");
    assert!(rig.outcomes().is_empty(), "and nothing failed");
}

#[test]
fn acks_0_is_told_success_at_once_without_an_offset() {
    let mut rig = Rig::new(&[1], |config| {
        not_idempotent(config);
        config.acks = Acks::None;
    });
    (1..=8).for_each(|n| rig.send(n));
    assert_eq!(rig.wire.len(), 8, "nothing is in flight, so nothing limits it");
    assert_eq!(rig.outcomes()[..2], ["m1@-1", "m2@-1"]);
    rig.disconnect(B1);
    rig.pass(1_000 * MS);
    assert!(rig.wire.is_empty(), "what was written is not sent again");
    assert_eq!(rig.outcomes().len(), 8);
}

#[test]
fn a_duplicate_counts_as_stored() {
    let mut rig = Rig::new(&[1], |_| {});
    rig.send(1);
    rig.answer(ErrorCode::DuplicateSequenceNumber, -1);
    assert_eq!(rig.outcomes(), ["m1@-1"]);
}

#[test]
fn a_gap_bumps_the_epoch_and_starts_at_sequence_0() {
    let mut rig = Rig::new(&[1], |_| {});
    rig.send(1);
    rig.answer(ErrorCode::None, 0);
    rig.send(2);
    let before = rig.wire[0].batches[0].batch;
    rig.answer(ErrorCode::OutOfOrderSequenceNumber, -1);
    rig.pass(200 * MS);
    assert_eq!(rig.on_wire(), [[2]]);
    assert_eq!(rig.sequences(), [(1, 0)]);
    let after = rig.wire[0].batches[0].batch;
    let rewritten = |kind: &EventKind| {
        matches!(kind, EventKind::Retry { batch, replaces, .. }
            if *batch == after && *replaces == before)
    };
    assert!(rig.events.iter().any(rewritten), "the new handle names the old one");
    rig.answer(ErrorCode::None, 1);
    assert_eq!(rig.outcomes(), ["m1@0", "m2@1"], "the application notices nothing");
}

#[test]
fn a_later_batch_out_of_order_is_retried_without_a_bump() {
    let mut rig = Rig::new(&[1], |_| {});
    (1..=3).for_each(|n| rig.send(n));
    rig.answer(ErrorCode::NotEnoughReplicas, -1);
    rig.answer(ErrorCode::OutOfOrderSequenceNumber, -1);
    rig.answer(ErrorCode::OutOfOrderSequenceNumber, -1);
    for n in 1..=3 {
        rig.pass(200 * MS);
        assert_eq!(rig.on_wire(), [[n]]);
        assert_eq!(rig.sequences(), [(0, n as i32 - 1)]);
        rig.answer(ErrorCode::None, n.into());
    }
}

#[test]
fn the_first_batch_of_a_fresh_partition_can_starve() {
    let mut rig = Rig::new(&[1], |config| {
        config.delivery_timeout = Duration::from_millis(30_000);
        config.request_timeout = Duration::from_millis(10_000);
    });
    (1..=3).for_each(|n| rig.send(n));
    rig.answer(ErrorCode::NotEnoughReplicas, -1);
    rig.answer(ErrorCode::None, 0);
    rig.answer(ErrorCode::None, 1);
    for _ in 0..40 {
        if !rig.wire.is_empty() {
            assert_eq!(rig.sequences(), [(0, 0)]);
            rig.answer(ErrorCode::OutOfOrderSequenceNumber, -1);
        }
        rig.pass(1_000 * MS);
    }
    assert_eq!(rig.outcomes(), ["m2@0", "m3@1", "m1!TimeoutException"]);
}

#[test]
fn an_expired_batch_that_was_sent_bumps_the_epoch() {
    let mut rig = Rig::new(&[1], |config| {
        config.delivery_timeout = Duration::from_millis(2_500);
        config.request_timeout = Duration::from_millis(1_000);
    });
    rig.send(0);
    rig.answer(ErrorCode::None, 0);
    rig.send(1);
    rig.silent = true;
    rig.pass(2_600 * MS);
    assert_eq!(rig.outcomes(), ["m0@0", "m1!TimeoutException"]);
    rig.silent = false;
    rig.wire.clear();
    rig.pass(3_000 * MS);
    rig.send(2);
    assert_eq!(rig.sequences(), [(1, 0)], "what became of sequence 1 is not known");
}

#[test]
fn an_answer_after_the_outcome_changes_nothing() {
    let mut rig = Rig::new(&[1], |config| {
        config.delivery_timeout = Duration::from_millis(1_000);
        config.request_timeout = Duration::from_millis(1_000);
    });
    rig.send(1);
    rig.pass(1_000 * MS);
    assert_eq!(rig.outcomes(), ["m1!TimeoutException"]);
    rig.answer(ErrorCode::None, 0);
    assert_eq!(rig.outcomes(), ["m1!TimeoutException"]);
    rig.send(2);
    assert_eq!(rig.on_wire(), [[2]]);
}

#[test]
fn lingering_fills_a_batch_and_a_full_batch_does_not_linger() {
    let mut rig = Rig::new(&[1], |config| {
        config.linger = Duration::from_millis(50);
        config.batch_size = 161;
    });
    rig.send(1);
    rig.pass(49 * MS);
    rig.send(2);
    assert!(rig.wire.is_empty());
    rig.pass(MS);
    assert_eq!(rig.on_wire(), [[1, 2]]);
    rig.answer(ErrorCode::None, 0);
    (3..=7).for_each(|n| rig.send(n));
    assert_eq!(rig.on_wire(), [vec![3, 4, 5, 6, 7]], "61 + 5 * 20 bytes fill batch.size");
}

#[test]
fn one_request_carries_one_batch_of_every_partition_of_a_broker() {
    let mut rig = Rig::new(&[1, 2, 1], |config| config.batch_size = 0);
    for n in 0..6 {
        rig.send_to(Some(PartitionId(n as u16 % 3)), n, 70);
    }
    rig.pass(0);
    let requests: Vec<(NodeId, usize)> =
        rig.wire.iter().map(|sent| (sent.to, sent.batches.len())).collect();
    let b2 = NodeId::Broker(BrokerId(2));
    assert_eq!(requests, [(B1, 2), (B1, 2), (b2, 1), (b2, 1)]);
}

#[test]
fn a_new_leader_ends_the_back_off() {
    let mut rig = Rig::new(&[1], not_idempotent);
    rig.send(1);
    rig.pass(200 * MS);
    rig.leaders[0] = (Some(2), 1);
    let failed = rig.now;
    rig.answer(ErrorCode::NotLeaderOrFollower, -1);
    rig.pass(MS);
    assert_eq!(rig.wire[0].to, NodeId::Broker(BrokerId(2)));
    assert!(rig.wire[0].at.since(failed) <= Duration::from_millis(1));
}

#[test]
fn a_full_buffer_blocks_each_send_for_max_block_ms() {
    let mut rig = Rig::new(&[1], |config| {
        config.buffer_memory = 65_536;
        config.max_block = Duration::from_millis(1_000);
        config.linger = Duration::from_millis(50);
    });
    rig.send(100);
    rig.pass(50 * MS);
    rig.answer(ErrorCode::None, 0);
    rig.events.clear();
    rig.silent = true;
    rig.disconnect(B1);
    for n in 0..7 {
        rig.send_to(Some(P0), n, 10_000);
    }
    let [first, second, third] = [1_000, 1_000, 1_000].map(|ms| {
        rig.pass(ms * MS);
        rig.outcomes().join(" ")
    });
    assert_eq!(first, "m4!BufferExhaustedException");
    assert_eq!(second, "m4!BufferExhaustedException m5!BufferExhaustedException");
    assert!(third.ends_with("m6!BufferExhaustedException"));
}

#[test]
fn without_metadata_a_send_fails_after_max_block_ms() {
    let mut rig = Rig::new(&[1], |config| config.max_block = Duration::from_millis(2_000));
    rig.send_to(Some(PartitionId(7)), 1, 20);
    rig.pass(1_999 * MS);
    assert!(rig.outcomes().is_empty());
    rig.pass(MS);
    assert_eq!(rig.outcomes(), ["m1!TimeoutException"]);
}

#[test]
fn a_record_larger_than_a_request_is_refused() {
    let mut rig = Rig::new(&[1], |config| config.max_request_size = 1_000);
    rig.send_to(Some(P0), 1, 1_000);
    rig.pass(0);
    assert_eq!(rig.outcomes(), ["m1!RecordTooLargeException"]);
}

#[test]
fn a_batch_too_large_for_the_topic_is_split() {
    let mut rig = Rig::new(&[1], |config| config.batch_size = 200);
    rig.send_to(Some(P0), 1, 100);
    (2..=4).for_each(|n| rig.send_to(Some(P0), n, 20));
    rig.pass(0);
    assert_eq!(rig.on_wire(), [vec![1, 2], vec![3, 4]]);
    rig.answer(ErrorCode::None, 0);
    rig.answer(ErrorCode::MessageTooLarge, -1);
    assert_eq!(rig.on_wire(), [vec![3, 4]], "it fits batch.size, so it is one part again");
    assert_eq!(rig.sequences(), [(0, 2)]);
    rig.answer(ErrorCode::MessageTooLarge, -1);
    assert_eq!(rig.on_wire(), [vec![3]], "a part is halved; an idempotent producer sends in turn");
    rig.answer(ErrorCode::None, 2);
    assert_eq!((rig.on_wire(), rig.sequences()), (vec![vec![4]], vec![(0, 3)]));
    rig.answer(ErrorCode::MessageTooLarge, -1);
    assert_eq!(rig.outcomes().last().unwrap(), "m4!RecordTooLargeException", "one record is whole");
}

#[test]
fn a_flush_waits_for_the_parts_of_a_split_batch() {
    let mut rig = Rig::new(&[1], |config| {
        config.linger = Duration::from_millis(500);
        config.batch_size = 200;
    });
    (1..=3).for_each(|n| rig.send_to(Some(P0), n, 45));
    rig.producer.flush(rig.now, &mut rig.fx);
    rig.settle();
    rig.pass(0);
    assert_eq!(rig.on_wire(), [[1, 2, 3]]);
    rig.answer(ErrorCode::MessageTooLarge, -1);
    assert!(!rig.producer.is_flushed());
    rig.answer(ErrorCode::None, 0);
    assert!(rig.producer.is_flushed());
    assert_eq!(rig.outcomes(), ["m1@0", "m2@0", "m3@0"]);
}

#[test]
fn flush_ends_lingering_and_close_waits_for_every_outcome() {
    let mut rig = Rig::new(&[1], |config| config.linger = Duration::from_millis(500));
    rig.send(1);
    assert!(rig.wire.is_empty());
    rig.producer.flush(rig.now, &mut rig.fx);
    rig.settle();
    rig.pass(0);
    assert_eq!(rig.on_wire(), [[1]]);
    assert!(!rig.producer.is_flushed());
    rig.answer(ErrorCode::None, 0);
    assert!(rig.producer.is_flushed());
    rig.send(2);
    rig.producer.close(rig.now, None, &mut rig.fx);
    rig.settle();
    rig.pass(0);
    assert!(!rig.producer.is_closed());
    rig.answer(ErrorCode::None, 1);
    assert!(rig.producer.is_closed());
}

/// The partitions of messages `from` and later, in the order they were sent.
fn partitions_from(rig: &Rig, from: u32) -> Vec<PartitionId> {
    let sent = rig.events.iter().filter_map(|kind| match *kind {
        EventKind::Sent { message, partition } if message.0 >= from => partition,
        _ => None,
    });
    sent.collect()
}

#[test]
fn records_without_a_key_stay_with_a_partition_for_whole_batches() {
    let mut rig = Rig::new(&[1, 2, 3, 1], |config| {
        config.batch_size = 300;
        config.linger = Duration::from_millis(500);
    });
    rig.send(0);
    rig.pass(500 * MS);
    rig.answer(ErrorCode::None, 0);
    // Eight of these fill a batch to 277 bytes, too few to leave the partition; the next batch is filled as well.
    (1..=160).for_each(|n| rig.send_to(None, n, 27));
    let partitions = partitions_from(&rig, 1);
    assert_eq!(partitions.len(), 160);
    assert!(partitions.chunk_by(|a, b| a == b).all(|run| run.len() % 16 == 0), "{partitions:?}");
    assert!(partitions.chunk_by(|a, b| a == b).count() > 1);
}

#[test]
fn a_partition_whose_broker_takes_nothing_is_passed_over() {
    let p1 = PartitionId(1);
    let sent_to_p1 = |timeout: u64| {
        let mut rig = Rig::new(&[1, 2, 3], |config| {
            not_idempotent(config);
            config.batch_size = 64;
            config.availability_timeout = Duration::from_millis(timeout);
        });
        for n in 0..3 {
            rig.send_to(Some(PartitionId(n)), n.into(), 20);
            rig.pass(MS);
            rig.answer(ErrorCode::None, 0);
        }
        rig.silent = true;
        rig.disconnect(NodeId::Broker(BrokerId(2)));
        rig.send_to(Some(p1), 3, 20);
        rig.pass(400 * MS);
        for n in 10..70 {
            rig.send_to(None, n, 20);
            rig.pass(MS);
            while !rig.wire.is_empty() {
                rig.answer(ErrorCode::None, n.into());
            }
        }
        // The first of them finds out that nothing has moved.
        partitions_from(&rig, 11).iter().filter(|partition| **partition == p1).count()
    };
    assert!(sent_to_p1(0) > 0, "a long queue makes it less likely, not impossible");
    assert!(sent_to_p1(1_000) > 0, "not yet");
    assert_eq!(sent_to_p1(300), 0);
}

#[test]
fn a_topic_is_asked_for_when_the_application_first_names_it() {
    let mut rig = Rig::new(&[1], |config| config.max_block = Duration::from_millis(2_000));
    rig.pass(1_000 * MS);
    rig.silent = true;
    rig.send(1);
    rig.pass(2_000 * MS);
    assert_eq!(
        rig.outcomes(),
        ["m1!TimeoutException"],
        "connected for long, but to hear of no topic"
    );
    rig.silent = false;
    rig.disconnect(B1);
    rig.pass(31_000 * MS);
    rig.send(2);
    rig.answer(ErrorCode::None, 0);
    assert_eq!(rig.outcomes(), ["m1!TimeoutException", "m2@0"]);
}
