//! `SharePartition` against the rules of KIP-932 as Kafka 4.4 has them.

use super::*;
use crate::base::error::ErrorCode;
use crate::base::ids::Offset;
use crate::base::share::AcknowledgeType::{self, Accept, Reject, Release, Renew};
use crate::base::share::RecordState::{Acknowledged, Acquired, Archived, Archiving, Available};
use crate::kafka::api::AcknowledgementBatch;

const A: MemberId = MemberId(1 << 16);
const B: MemberId = MemberId(2 << 16);

/// A share partition, its rules and its clock.
struct Rig {
    share: SharePartition,
    rules: ShareRules,
    now: Time,
}

impl Rig {
    fn new() -> Self {
        let mut share = SharePartition::new(GroupId(0), PartitionId(0), LeaderEpoch(0));
        share.open((0, 0), &[]);
        let limit = Limit { deliveries: 5, dead_letters: false };
        let rules =
            ShareRules { lock: Duration::from_secs(30), limit, max_locks: 100, renew: true };
        Self { share, rules, now: Time::ZERO }
    }

    /// A fetch of `member` when the log holds `batches` from the fetch offset on: `first..=last xdelivery`.
    fn fetch(
        &mut self,
        member: MemberId,
        max_records: u32,
        record_limit: bool,
        log: &[(i64, i64)],
    ) -> Vec<(i64, i64, u16)> {
        if !self.share.can_acquire(&self.rules) {
            return Vec::new();
        }
        let fetch_offset = self.share.next_fetch_offset();
        let batches: Vec<(i64, i64)> =
            log.iter().copied().filter(|(_, last)| *last >= fetch_offset).collect();
        let batch_size = max_records;
        let want = Acquisition {
            member,
            record_limit,
            batch_size,
            max_records,
            fetch_offset,
            batches: &batches,
        };
        let got = self.share.acquire(self.now, want, &self.rules);
        got.iter().map(|run| (run.first.0, run.last.0, run.delivery_count)).collect()
    }

    fn acknowledge(
        &mut self,
        member: MemberId,
        asked: &[(i64, i64, AcknowledgeType)],
    ) -> Result<Settled, ErrorCode> {
        let batches: Vec<AcknowledgementBatch> = asked
            .iter()
            .map(|(first, last, kind)| AcknowledgementBatch {
                partition: PartitionId(0),
                first: Offset(*first),
                last: Offset(*last),
                kind: *kind,
            })
            .collect();
        let write = self.share.acknowledge(self.now, member, &batches, &self.rules)?;
        let limit = self.rules.limit;
        Ok(write.map_or_else(Settled::default, |write| {
            self.share.written(self.now, write.id, true, limit)
        }))
    }

    fn states(&self) -> Vec<(i64, RecordState, u16)> {
        let all = self.share.records();
        all.map(|(offset, state)| (offset, state.state, state.delivery_count)).collect()
    }
}

#[test]
fn batches_go_whole_beyond_the_limit_but_in_record_limit_mode() {
    let log = [(0, 11), (12, 13)];
    let mut rig = Rig::new();
    assert_eq!(rig.fetch(A, 3, false, &log), [(0, 11, 1)], "max.poll.records is exceeded");
    assert_eq!(rig.fetch(B, 3, false, &log), [(12, 13, 1)]);
    let mut rig = Rig::new();
    assert_eq!(rig.fetch(A, 3, true, &log), [(0, 2, 1)]);
    assert_eq!(rig.fetch(B, 3, true, &log), [(3, 5, 1)], "the rest of the batch is free");
    assert_eq!(rig.fetch(A, 10, true, &log), [(6, 11, 1), (12, 13, 1)]);
    assert_eq!(rig.fetch(A, 10, true, &log), []);
}

#[test]
fn what_is_accepted_moves_the_start_and_what_is_released_comes_again() {
    let mut rig = Rig::new();
    let log = [(0, 4)];
    rig.fetch(A, 500, false, &log);
    let said = [(0, 0, Accept), (1, 1, Release), (2, 2, Reject), (3, 3, Accept), (4, 4, Release)];
    let settled = rig.acknowledge(A, &said).unwrap();
    assert!(settled.wake && settled.dead.is_empty());
    assert_eq!(rig.share.start_offset(), 1);
    assert_eq!(
        rig.states(),
        [(1, Available, 1), (2, Archived, 1), (3, Acknowledged, 1), (4, Available, 1)]
    );
    assert_eq!(rig.fetch(B, 500, false, &log), [(1, 1, 2), (4, 4, 2)]);
    rig.acknowledge(B, &[(1, 1, Accept), (4, 4, Accept)]).unwrap();
    assert_eq!((rig.share.start_offset(), rig.share.in_flight()), (5, 0));
    assert_eq!(rig.fetch(A, 500, false, &[(0, 4), (5, 5)]), [(5, 5, 1)]);
}

#[test]
fn after_the_last_allowed_delivery_a_record_is_archived_or_goes_to_the_dead_letters() {
    for dead_letters in [false, true] {
        let mut rig = Rig::new();
        rig.rules.limit.dead_letters = dead_letters;
        let log = [(0, 2)];
        assert_eq!(rig.fetch(A, 500, false, &log), [(0, 2, 1)]);
        rig.acknowledge(A, &[(0, 0, Accept), (1, 1, Release), (2, 2, Accept)]).unwrap();
        for delivery in 2..=5 {
            assert_eq!(rig.fetch(A, 500, false, &log), [(1, 1, delivery)]);
            let settled = rig.acknowledge(A, &[(1, 1, Release)]).unwrap();
            let dead = DeadLetters { first: 1, last: 1, delivery_count: 5 };
            let last = dead_letters && delivery == 5;
            assert_eq!(settled.dead, if last { vec![dead] } else { Vec::new() });
        }
        if dead_letters {
            assert_eq!(rig.states()[0], (1, Archiving, 5));
            let dead = DeadLetters { first: 1, last: 1, delivery_count: 5 };
            let write = rig.share.dead_lettered(dead);
            rig.share.written(rig.now, write.id, true, rig.rules.limit);
        }
        assert_eq!(rig.share.start_offset(), 3);
        assert_eq!(rig.fetch(A, 500, false, &log), []);
    }
}

#[test]
fn only_who_has_a_record_may_speak_of_it_and_a_request_counts_as_a_whole() {
    let mut rig = Rig::new();
    let log = [(0, 1), (2, 3)];
    rig.fetch(A, 1, false, &log);
    rig.fetch(B, 1, false, &log);
    let refused = rig.acknowledge(B, &[(2, 2, Accept), (1, 1, Accept)]);
    assert_eq!(refused, Err(ErrorCode::InvalidRecordState));
    assert_eq!(rig.states()[2], (2, Acquired, 1), "taken back with the rest");
    assert_eq!(rig.acknowledge(B, &[(2, 9, Accept)]), Err(ErrorCode::InvalidRequest));
    rig.acknowledge(B, &[(2, 3, Accept)]).unwrap();
    assert_eq!(rig.acknowledge(B, &[(3, 3, Accept)]), Err(ErrorCode::InvalidRecordState));
    assert_eq!(rig.share.start_offset(), 0, "A still has the first two");
}

#[test]
fn a_lock_runs_out_unless_it_is_renewed() {
    let mut rig = Rig::new();
    let log = [(0, 3)];
    rig.fetch(A, 500, false, &log);
    rig.now = Time(20_000_000);
    rig.acknowledge(A, &[(0, 0, Renew)]).unwrap();
    assert_eq!(rig.share.next_lock(), Time(30_000_000));
    rig.now = Time(30_000_000);
    let write = rig.share.expire_locks(rig.now, &rig.rules).unwrap();
    assert_eq!(write.batches.len(), 3);
    assert_eq!(rig.fetch(B, 500, false, &log), [(1, 3, 2)], "it counts before it is stored");
    assert_eq!(rig.share.next_lock(), Time(50_000_000));
    let late = rig.acknowledge(A, &[(1, 3, Accept)]);
    assert_eq!(late, Err(ErrorCode::InvalidRecordState));
    rig.rules.renew = false;
    assert_eq!(rig.acknowledge(A, &[(0, 0, Renew)]), Err(ErrorCode::InvalidRecordState));
}

#[test]
fn a_write_that_fails_takes_the_acknowledgement_back_but_not_past_the_lock() {
    for (late, state) in [(false, Acquired), (true, Available)] {
        let mut rig = Rig::new();
        rig.fetch(A, 500, false, &[(0, 3)]);
        let asked = AcknowledgementBatch {
            partition: PartitionId(0),
            first: Offset(0),
            last: Offset(3),
            kind: Accept,
        };
        let write = rig.share.acknowledge(rig.now, A, &[asked], &rig.rules).unwrap().unwrap();
        assert_eq!(rig.fetch(B, 500, false, &[(0, 3)]), [], "nobody gets it while it is open");
        assert_eq!(rig.share.next_lock(), Time::NEVER);
        rig.now = if late { Time(31_000_000) } else { Time(1) };
        let settled = rig.share.written(rig.now, write.id, false, rig.rules.limit);
        assert_eq!(rig.states()[0], (0, state, 1));
        assert_eq!(settled.lapsed.iter().any(|batch| batch.state == Available), late);
    }
}

#[test]
fn who_leaves_gives_everything_back() {
    let mut rig = Rig::new();
    rig.fetch(A, 500, false, &[(0, 3)]);
    assert_eq!(rig.share.release(B, &rig.rules), None);
    let write = rig.share.release(A, &rig.rules).unwrap();
    rig.share.written(rig.now, write.id, true, rig.rules.limit);
    assert_eq!(rig.fetch(B, 500, false, &[(0, 3)]), [(0, 3, 2)]);
}

#[test]
fn not_more_than_so_many_records_are_under_way() {
    let mut rig = Rig::new();
    let log: Vec<(i64, i64)> = (0..30).map(|n| (n * 10, n * 10 + 9)).collect();
    assert_eq!(rig.fetch(A, 95, true, &log), [(0, 94, 1)]);
    assert_eq!(rig.fetch(B, 500, true, &log), [(95, 99, 1)]);
    assert_eq!(rig.fetch(B, 500, true, &log), [], "the limit is 100");
    rig.acknowledge(A, &[(0, 49, Release)]).unwrap();
    assert_eq!(rig.fetch(B, 20, true, &log), [(0, 19, 2)], "below the end offset it goes on");
    rig.acknowledge(A, &[(50, 94, Accept)]).unwrap();
    assert_eq!(rig.share.start_offset(), 0);
}

#[test]
fn a_record_delivered_too_often_goes_in_small_portions_and_at_last_alone() {
    let mut rig = Rig::new();
    let log = [(0, 7)];
    for expected in [8, 8, 8] {
        let got = rig.fetch(A, 500, false, &log);
        assert_eq!(got.iter().map(|(first, last, _)| last - first + 1).sum::<i64>(), expected);
        let all: Vec<_> = got.iter().map(|(first, last, _)| (*first, *last, Release)).collect();
        rig.acknowledge(A, &all).unwrap();
    }
    // Three deliveries of five: half of the run from now on.
    assert_eq!(rig.fetch(A, 500, false, &log), [(0, 3, 4)]);
    rig.acknowledge(A, &[(0, 3, Release)]).unwrap();
    assert_eq!(rig.fetch(A, 500, false, &log), [(0, 0, 5)], "its last chance is its own");
}

#[test]
fn a_new_leader_knows_what_was_stored_and_takes_the_holes_for_new() {
    let mut share = SharePartition::new(GroupId(0), PartitionId(0), LeaderEpoch(1));
    let stored = [
        state_batch((2, 3), Acknowledged, 1),
        state_batch((5, 5), Available, 2),
        state_batch((8, 9), Archiving, 5),
    ];
    let dead = share.open((0, 7), &stored);
    assert_eq!(dead, [DeadLetters { first: 8, last: 9, delivery_count: 5 }]);
    assert_eq!((share.start_offset(), share.end_offset(), share.state_epoch), (0, 9, 7));
    let mut rig = Rig { share, ..Rig::new() };
    let log = [(0, 9), (10, 12)];
    assert_eq!(
        rig.fetch(A, 500, false, &log),
        [(0, 1, 1), (4, 4, 1), (5, 5, 3), (6, 7, 1), (10, 12, 1)]
    );
    rig.acknowledge(A, &[(0, 1, Accept)]).unwrap();
    assert_eq!(rig.share.start_offset(), 4);
}

#[test]
fn what_the_log_lost_is_archived_unless_a_member_has_it() {
    let mut rig = Rig::new();
    rig.fetch(A, 2, true, &[(0, 5)]);
    rig.acknowledge(A, &[(1, 1, Release)]).unwrap();
    rig.share.log_start_moved(3);
    assert_eq!(rig.share.start_offset(), 3);
    assert_eq!(rig.fetch(B, 500, false, &[(0, 5)]), [(3, 5, 1)]);
    assert_eq!(rig.acknowledge(A, &[(0, 0, Accept)]), Ok(Settled::default()), "long gone");
}
