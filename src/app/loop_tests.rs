//! What loops of an application come to.

use super::tests::*;
use super::*;
use crate::base::config::{ConsumerConfig, OffsetReset};
use crate::event::{CommitKind, EventKind};

const WORK: LoopStep = LoopStep::Work(Duration::from_millis(10));

#[test]
fn commit_before_or_after_work_decides_what_a_crash_in_the_middle_costs() {
    let commit = LoopStep::Commit(CommitMode::Sync);
    for (steps, committed) in
        [(vec![LoopStep::POLL, commit, WORK], 5), (vec![LoopStep::POLL, WORK, commit], -1)]
    {
        let mut rig = Rig::new(config(false), steps);
        rig.append(5);
        while rig.processed() < 2 {
            rig.run(ms(1));
        }
        assert_eq!(rig.broker.committed, committed);
        assert_eq!(rig.process.unprocessed()[0].count, 3);
        rig.run(ms(1_000));
        assert_eq!((rig.processed(), rig.broker.committed), (5, 5));
    }
}

#[test]
fn a_hand_off_with_auto_commit_commits_what_nobody_has_processed() {
    let hand_off = LoopStep::HandOff { workers: 2, work: ms(10_000) };
    let mut rig = Rig::new(config(true), vec![LoopStep::POLL, hand_off]);
    rig.append(5).run(ms(1_500));
    assert_eq!((rig.processed(), rig.broker.committed), (0, 5));
    let lowest = LoopStep::CommitFinished(CommitMode::Sync);
    let uneven = LoopStep::HandOff { workers: 2, work: ms(400) };
    let mut rig = Rig::new(config(false), vec![LoopStep::POLL, uneven, lowest]);
    rig.append(5).run(ms(700));
    let told = (rig.processed(), rig.broker.committed);
    assert_eq!(told, (2, 2), "only what workers have finished");
    rig.run(ms(2_000));
    assert_eq!((rig.processed(), rig.broker.committed), (5, 5));
}

#[test]
fn each_record_may_be_committed_on_its_own_or_off_by_one() {
    let each = LoopStep::WorkAndCommitEach(ms(10));
    let mut rig = Rig::new(config(false), vec![LoopStep::POLL, each]);
    rig.append(3).run(ms(500));
    let sync = |offsets: &[i64]| offsets.iter().map(|o| (CommitKind::Sync, *o)).collect::<Vec<_>>();
    assert_eq!(rig.commits(), sync(&[1, 2, 3]));
    let last = LoopStep::CommitLast(CommitMode::Sync);
    let mut rig = Rig::new(config(false), vec![LoopStep::POLL, WORK, last]);
    rig.append(3).run(ms(500));
    assert_eq!(rig.commits(), sync(&[2]));
}

#[test]
fn an_idle_loop_is_quiet() {
    let commit = LoopStep::Commit(CommitMode::Sync);
    let mut rig = Rig::new(config(true), vec![LoopStep::POLL, WORK, commit]);
    rig.append(1).run(ms(2_000));
    let before = rig.events.len();
    rig.run(ms(60_000));
    let said: Vec<_> = rig.events[before..].iter().map(|(_, kind)| *kind).collect();
    let unexpected = |kind: &&EventKind| {
        !matches!(kind, EventKind::CommitSent { .. } | EventKind::CommitAnswered { .. })
    };
    assert_eq!(said.iter().find(unexpected), None, "nothing but auto-commits");
}

#[test]
fn a_stop_ends_the_round_closes_and_exits_and_a_throwing_poll_does_too() {
    let mut rig = Rig::new(config(true), vec![LoopStep::POLL, WORK]);
    rig.append(5);
    while rig.processed() < 2 {
        rig.run(ms(1));
    }
    rig.process.stop(rig.now, &mut rig.fx);
    rig.carry_out();
    rig.run(ms(100));
    assert!(rig.exited);
    assert_eq!((rig.processed(), rig.broker.committed), (5, 5));
    assert_eq!(rig.events.last().unwrap().1, EventKind::Closed);
    let strict = ConsumerConfig { auto_offset_reset: OffsetReset::None, ..config(true) };
    let mut rig = Rig::new(strict, vec![LoopStep::POLL, WORK]);
    rig.run(ms(1_000));
    assert!(rig.exited);
    assert_eq!(rig.events.last().unwrap().1, EventKind::Closed);
}
