//! What a consumer does, called by hand.

use super::tests::*;
use super::*;
use crate::base::config::{ConsumerConfig, Defect, OffsetReset};
use crate::base::error::ErrorCode;
use crate::event::{CommitKind, EventKind, PositionReason, RebalanceCallback};
use crate::kafka::api::PartitionOffset;

const ASSIGNED: RebalanceCallback = RebalanceCallback::Assigned;
const REVOKED: RebalanceCallback = RebalanceCallback::Revoked;
const LOST: RebalanceCallback = RebalanceCallback::Lost;

#[test]
fn s01a_neither_receiving_nor_time_commits_but_a_later_poll_does() {
    let mut rig = Rig::new(config(true), vec![]);
    rig.append(20);
    assert_eq!(rig.poll(), range(0, 5));
    rig.process(3);
    rig.run(ms(1_500));
    assert_eq!((rig.commits(), rig.broker.committed), (vec![], -1));
    assert_eq!(rig.poll(), range(5, 10));
    rig.run(ms(10));
    assert_eq!(rig.commits(), [(CommitKind::AutoPoll, 5)], "not what this poll returned");
    assert_eq!(rig.broker.committed, 5);
}

#[test]
fn s01c_before_the_interval_is_over_nothing_is_committed() {
    let slow = ConsumerConfig { auto_commit_interval: ms(60_000), ..config(true) };
    let mut rig = Rig::new(slow, vec![]);
    rig.append(20);
    for batch in 0..3 {
        assert_eq!(rig.poll(), range(batch * 5, batch * 5 + 5));
        rig.process(5);
    }
    rig.run(ms(1_000));
    assert_eq!(rig.commits(), []);
}

#[test]
fn s01f_the_commit_follows_the_interval_and_is_always_one_poll_behind() {
    let second = ConsumerConfig { auto_commit_interval: ms(1_000), ..config(true) };
    let mut rig = Rig::new(second, vec![]);
    rig.append(100);
    let mut position = 0;
    for _ in 0..16 {
        let before = rig.commits().len();
        rig.poll();
        for (_, offset) in &rig.commits()[before..] {
            assert_eq!(*offset, position, "the position before this poll");
        }
        position += 5;
        rig.run(ms(250));
    }
    assert!((3..=4).contains(&rig.commits().len()), "about once a second: {:?}", rig.commits());
}

#[test]
fn the_planted_defect_commits_what_this_poll_returns() {
    let mut rig = Rig::new(config(true), vec![]);
    rig.fx.defect = Defect::AutoCommitTakesCurrentBatch;
    rig.append(20);
    rig.poll();
    rig.run(ms(1_500));
    rig.poll();
    assert_eq!(rig.commits().last(), Some(&(CommitKind::AutoPoll, 10)));
}

#[test]
fn s01d_close_commits_the_position_only_with_auto_commit() {
    for (auto_commit, commits) in [(true, vec![(CommitKind::AutoClose, 5)]), (false, vec![])] {
        let mut rig = Rig::new(config(auto_commit), vec![]);
        rig.append(5);
        rig.poll();
        rig.process(2);
        rig.close();
        assert_eq!(rig.commits(), commits);
        assert_eq!(rig.broker.left, [false], "the member leaves");
        assert_eq!(rig.callbacks().last(), Some(&(RebalanceCallback::Revoked, 1)));
        assert_eq!(rig.commit(true, None), Some(Exception::IllegalState), "after close");
    }
}

#[test]
fn s01e_a_rebalance_commits_everything_polled_before_it_revokes() {
    let mut rig =
        Rig::new(ConsumerConfig { auto_commit_interval: ms(60_000), ..config(true) }, vec![]);
    rig.append(10);
    rig.poll();
    rig.process(2);
    rig.broker.heartbeat = ErrorCode::RebalanceInProgress;
    rig.run(ms(1_000));
    assert_eq!(rig.commits(), [], "only poll() takes part in a rebalance");
    rig.poll();
    assert_eq!(rig.commits(), [(CommitKind::AutoRebalance, 5)]);
    assert_eq!(rig.callbacks(), [(ASSIGNED, 1), (REVOKED, 1), (ASSIGNED, 1)]);
}

// --- commits by hand -------------------------------------------------------------------------------------------------

#[test]
fn s02e_commit_sync_without_arguments_commits_what_was_polled() {
    let mut rig = Rig::new(ConsumerConfig { max_poll_records: 3, ..config(false) }, vec![]);
    rig.append(10);
    rig.poll();
    rig.process(2);
    assert_eq!(rig.commit(true, None), None);
    assert_eq!(rig.broker.committed, 3);
}

#[test]
fn s02c_any_offset_may_be_committed_but_a_negative_one() {
    let mut rig = Rig::new(config(false), vec![]);
    rig.append(10);
    rig.poll();
    rig.commit(false, Some(5));
    rig.commit(false, Some(3));
    rig.run(ms(10));
    assert_eq!(rig.broker.committed, 3);
    assert_eq!(rig.commit(true, Some(1_000)), None);
    assert_eq!(rig.broker.committed, 1_000);
    assert_eq!(rig.commit(true, Some(-1)), Some(Exception::IllegalArgument));
}

#[test]
fn commit_sync_repeats_retriable_errors_until_its_time_is_over_and_commit_async_does_not() {
    let short = ConsumerConfig { default_api_timeout: ms(2_000), ..config(false) };
    let mut rig = Rig::new(short, vec![]);
    rig.append(5);
    rig.poll();
    rig.broker.commit = ErrorCode::CoordinatorLoadInProgress;
    let began = rig.now;
    assert_eq!(rig.commit(true, None), Some(Exception::Timeout));
    assert!((ms(2_000)..ms(2_010)).contains(&rig.now.since(began)));
    assert!(rig.commits().len() > 3);
    let sent = rig.commits().len();
    assert_eq!(rig.commit(false, None), None);
    rig.run(ms(1_000));
    assert_eq!(rig.commits().len(), sent + 1);
    rig.poll_once(ms(10));
    let told = rig.events.iter().rev().find_map(|(_, kind)| match kind {
        EventKind::CommitAnswered { exception, kind: CommitKind::Async, .. } => Some(*exception),
        _ => None,
    });
    assert_eq!(told, Some(Some(Exception::RetriableCommitFailed)));
}

#[test]
fn s02f_a_member_that_does_not_poll_leaves_and_cannot_commit_any_more() {
    let impatient = ConsumerConfig { max_poll_interval: ms(2_000), ..config(false) };
    let mut rig = Rig::new(impatient, vec![]);
    rig.append(10);
    rig.poll();
    rig.run(ms(1_900));
    assert_eq!(rig.broker.left, Vec::<bool>::new());
    rig.run(ms(600));
    assert_eq!(rig.broker.left, [true]);
    assert_eq!(rig.commit(true, None), Some(Exception::CommitFailed));
    assert_eq!(rig.callbacks().len(), 1, "callbacks run inside poll()");
    assert_eq!(rig.poll(), range(0, 5));
    assert_eq!(rig.callbacks(), [(ASSIGNED, 1), (LOST, 1), (ASSIGNED, 1)]);
}

#[test]
fn a_member_the_coordinator_does_not_know_loses_its_partitions_at_the_next_poll() {
    for error in [ErrorCode::UnknownMemberId, ErrorCode::IllegalGeneration] {
        let mut rig = Rig::new(config(false), vec![]);
        rig.append(10);
        rig.poll();
        rig.broker.heartbeat = error;
        rig.run(ms(400));
        rig.poll();
        assert_eq!(rig.callbacks(), [(ASSIGNED, 1), (LOST, 1), (ASSIGNED, 1)], "{error:?}");
    }
}

// --- reading ---------------------------------------------------------------------------------------------------------

#[test]
fn a_poll_returns_when_data_comes_or_its_time_is_over_and_the_position_moves_then() {
    let mut rig = Rig::new(config(false), vec![]);
    rig.poll_once(ms(100));
    let began = rig.now;
    assert!(rig.poll_once(ms(1_200)).is_empty());
    assert!((ms(1_200)..ms(1_202)).contains(&rig.now.since(began)));
    rig.process.call(
        rig.now,
        HandCall::Poll { timeout: ms(5_000), records: 0, within: None },
        &mut rig.fx,
    );
    rig.carry_out();
    rig.run(ms(700));
    let appended = rig.now;
    rig.append(7).run(ms(3));
    assert!(!rig.process.is_busy(), "it came {} after", rig.now.since(appended));
    assert_eq!(rig.process.consumer().position(P), Some(Offset(5)));
    let buffered = rig.now;
    assert_eq!(rig.poll_once(ms(5_000)), range(5, 7));
    assert_eq!(rig.now, buffered, "what is buffered is returned at once");
}

#[test]
fn without_a_committed_offset_the_policy_decides_where_to_begin() {
    let table = [
        (OffsetReset::Earliest, Some((PositionReason::ResetEarliest, 2)), None),
        (OffsetReset::Latest, Some((PositionReason::ResetLatest, 7)), None),
        (OffsetReset::None, None, Some(Exception::NoOffsetForPartition)),
    ];
    for (policy, position, exception) in table {
        let with = ConsumerConfig { auto_offset_reset: policy, ..config(false) };
        let mut rig = Rig::new(with, vec![]);
        rig.broker.log_start = 2;
        rig.append(5);
        while rig.positions().is_empty() && rig.process.last_return().exception.is_none() {
            rig.poll_once(ms(100));
        }
        assert_eq!(rig.positions().first().copied(), position);
        assert_eq!(rig.process.last_return().exception, exception);
    }
}

#[test]
fn a_committed_offset_out_of_range_falls_back_on_the_policy() {
    let table = [
        (OffsetReset::Earliest, vec![8, 9], None),
        (OffsetReset::Latest, vec![], None),
        (OffsetReset::None, vec![], Some(Exception::Wire(ErrorCode::OffsetOutOfRange))),
    ];
    for (policy, polled, exception) in table {
        let with = ConsumerConfig { auto_offset_reset: policy, ..config(false) };
        let mut rig = Rig::new(with, vec![]);
        rig.broker.committed = 3;
        rig.broker.log_start = 8;
        rig.append(2);
        let mut got = Vec::new();
        for _ in 0..10 {
            got.extend(rig.poll_once(ms(100)));
            if rig.process.last_return().exception.is_some() {
                break;
            }
        }
        assert_eq!((got, rig.process.last_return().exception), (polled, exception));
        assert_eq!(rig.positions()[0], (PositionReason::Committed, 3));
        assert_eq!(rig.broker.committed, 3, "it stays until the next commit");
    }
}

#[test]
fn a_truncated_log_sets_the_position_back_to_the_divergence_or_throws() {
    let table = [
        (OffsetReset::Earliest, None),
        (OffsetReset::Latest, None),
        (OffsetReset::None, Some(Exception::LogTruncation)),
    ];
    for (policy, exception) in table {
        let with = ConsumerConfig { auto_offset_reset: policy, ..config(false) };
        let mut rig = Rig::new(with, vec![]);
        rig.broker.committed = 0;
        rig.append(3);
        rig.append(2);
        assert_eq!(rig.poll(), range(0, 5));
        rig.broker.log.pop();
        rig.broker.epoch = 1;
        rig.broker.epoch_end = 3;
        rig.append(4);
        let mut got = Vec::new();
        for _ in 0..10 {
            got.extend(rig.poll_once(ms(100)));
            if rig.process.last_return().exception.is_some() {
                break;
            }
        }
        assert_eq!(rig.process.last_return().exception, exception, "{policy:?}");
        if exception.is_none() {
            assert_eq!(got, range(3, 7), "{policy:?}");
            assert_eq!(rig.positions().last(), Some(&(PositionReason::Truncation, 3)));
        }
    }
}

#[test]
fn s05_what_needs_a_group_and_what_does_not() {
    let nothing = Subscription::Topics(vec![]);
    let mut rig = Rig::reading(config(false), None, nothing, vec![]);
    rig.append(3);
    let thrown = rig.consumer(ConsumerCall::Poll { timeout: ms(1), quiet: false }).exception;
    assert_eq!(thrown, Some(Exception::IllegalState), "neither subscribe nor assign");
    let thrown = rig.consumer(ConsumerCall::Subscribe(vec![TopicId(0)])).exception;
    assert_eq!(thrown, Some(Exception::InvalidGroupId));
    assert_eq!(rig.consumer(ConsumerCall::Assign(vec![P])).exception, None);
    assert_eq!(rig.poll(), range(0, 3));
    assert_eq!(rig.commit(true, None), Some(Exception::InvalidGroupId));
    let mut rig = Rig::new(config(false), vec![]);
    let thrown = rig.consumer(ConsumerCall::Assign(vec![P])).exception;
    assert_eq!(thrown, Some(Exception::IllegalState), "subscribe and assign mixed");
}

#[test]
fn seek_position_and_committed_answer_from_where_they_should() {
    let mut rig = Rig::new(config(false), vec![]);
    rig.append(10);
    rig.poll();
    let offset = |rig: &mut Rig, call| rig.consumer(call).offset.map(|o| o.0);
    assert_eq!(offset(&mut rig, ConsumerCall::Position { partition: P, timeout: None }), Some(5));
    assert_eq!(offset(&mut rig, ConsumerCall::Committed { partition: P, timeout: None }), Some(-1));
    rig.consumer(ConsumerCall::Seek(PartitionOffset { partition: P, offset: Offset(8) }));
    assert_eq!(rig.poll(), range(8, 10));
    let elsewhere = PartitionOffset { partition: PartitionId(1), offset: Offset(0) };
    assert_eq!(
        rig.consumer(ConsumerCall::Seek(elsewhere)).exception,
        Some(Exception::IllegalState)
    );
}

#[test]
fn a_silent_coordinator_is_left_after_the_session_time_out() {
    let mut rig = Rig::new(config(false), vec![]);
    rig.append(5);
    rig.poll();
    rig.broker.silent = true;
    rig.run(ms(3_200));
    rig.broker.silent = false;
    rig.run(ms(30_000));
    assert_eq!(rig.callbacks().len(), 1, "the member is still one");
    assert_eq!(rig.commit(true, None), None, "and finds its coordinator again");
}
