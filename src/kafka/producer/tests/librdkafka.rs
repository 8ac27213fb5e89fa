//! What a producer of librdkafka does otherwise.

use super::*;
use crate::base::librdkafka::ClientFamily;

fn librdkafka(leaders: &[u8], change: impl FnOnce(&mut ProducerConfig)) -> Rig {
    Rig::new(leaders, |config| {
        let of = ProducerConfig::of(ClientFamily::Librdkafka);
        *config = ProducerConfig { linger: config.linger, ..of };
        change(config);
    })
}

#[test]
fn records_without_a_key_stay_for_a_while_or_go_anywhere() {
    let partitions = |keep: u64| {
        let mut rig = librdkafka(&[1, 1, 1, 1, 1, 1], |config| {
            config.sticky_linger = Some(Duration::from_millis(keep));
        });
        rig.send_to(None, 0, 20);
        rig.pass(1_000 * MS);
        (1..=100).for_each(|n| rig.send_to(None, n, 20));
        let mut partitions = partitions_from(&rig, 1);
        partitions.sort_unstable();
        partitions.dedup();
        partitions.len()
    };
    assert_eq!((partitions(10), partitions(0)), (1, 6));
}

#[test]
fn a_batch_that_backs_off_is_overtaken_even_with_one_request_in_flight() {
    let mut rig = librdkafka(&[1], |config| {
        config.max_in_flight = 1;
        config.batch_size = 0;
    });
    (1..=2).for_each(|n| rig.send_to(Some(P0), n, 70));
    rig.pass(0);
    rig.answer(ErrorCode::NotEnoughReplicas, -1);
    rig.pass(0);
    assert_eq!(rig.on_wire(), [[2]]);
    rig.answer(ErrorCode::None, 0);
    rig.pass(200 * MS);
    assert_eq!(rig.on_wire(), [[1]]);
}

#[test]
fn what_a_lost_connection_takes_with_it_comes_back_in_order() {
    let mut rig = librdkafka(&[1], |_| {});
    (1..=3).for_each(|n| rig.send(n));
    assert_eq!(rig.on_wire(), [[1], [2], [3]]);
    rig.disconnect(B1);
    rig.pass(1_000 * MS);
    assert_eq!(rig.on_wire(), [[1], [2], [3]]);
}

#[test]
fn a_sequence_below_the_last_acknowledged_one_counts_as_stored() {
    let mut rig = librdkafka(&[1], |config| {
        config.enable_idempotence = true;
        config.max_in_flight = 5;
    });
    (1..=2).for_each(|n| rig.send(n));
    rig.answer(ErrorCode::NotEnoughReplicas, -1);
    rig.answer(ErrorCode::None, 0);
    rig.pass(200 * MS);
    assert_eq!((rig.on_wire(), rig.sequences()), (vec![vec![1]], vec![(0, 0)]));
    rig.answer(ErrorCode::OutOfOrderSequenceNumber, -1);
    assert_eq!(rig.outcomes(), ["m2@0", "m1@-1"], "reported as stored, and lost");
}
