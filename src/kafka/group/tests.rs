//! The coordinator as its clients meet it: requests in; answers, records and events out.

mod members;
mod rig;
mod static_members;

use crate::base::batch::Subscribed;
use crate::base::config::{AssignorName, Assignors, Defect};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{Generation, MemberId, NodeId, Offset, PartitionId, TopicId};
use crate::event::GroupState;
use crate::kafka::group::tests::rig::{A, B, C, GROUP, HOME, Rig};

#[test]
fn a_member_joins_with_the_id_it_is_given_and_the_first_generation_waits_for_others() {
    let mut rig = Rig::new();
    rig.join_first(0);
    rig.expect(&["a: MEMBER_ID_REQUIRED as a1"]);
    rig.join(0, A);
    rig.expect(&["+a1 leads", "PreparingRebalance 0"]);
    rig.pass(2_999);
    rig.expect(&[]);
    rig.pass(1);
    rig.expect(&["CompletingRebalance 1", "a: joined 1 under a1 [a1]"]);
}

#[test]
fn a_second_member_within_the_delay_extends_it_and_only_the_leader_hears_who_is_in() {
    let mut rig = Rig::new();
    rig.join_first(0);
    rig.join(0, A);
    rig.pass(2_000);
    rig.join_first(1);
    rig.join(1, B);
    rig.said.clear();
    rig.pass(3_999);
    rig.expect(&[]);
    rig.pass(1);
    rig.expect(&[
        "CompletingRebalance 1",
        "a: joined 1 under a1 [a1 b2]",
        "b: joined 1 under a1 []",
    ]);
}

#[test]
fn the_assignment_counts_when_its_record_is_replicated() {
    let mut rig = Rig::new();
    rig.join_first(0);
    rig.join_first(1);
    rig.join(0, A);
    rig.join(1, B);
    rig.pass(6_000);
    rig.said.clear();
    rig.sync(1, B, 1, &[]);
    rig.sync(0, A, 1, &[(A, 0), (B, 1)]);
    rig.expect(&[]);
    assert_eq!(rig.state(), GroupState::CompletingRebalance);
    rig.replicate();
    rig.expect(&[
        "Stable 1",
        "a1 owns 0",
        "b2 owns 1",
        "a: synced [orders-0]",
        "b: synced [orders-1]",
    ]);
    // An answer that got lost is given again.
    rig.sync(1, B, 1, &[]);
    rig.expect(&["b: synced [orders-1]"]);
}

#[test]
fn a_newcomer_makes_the_others_join_again_or_lose_their_place() {
    let mut rig = Rig::stable();
    rig.join_first(2);
    rig.join(2, C);
    rig.expect(&["c: MEMBER_ID_REQUIRED as c3", "+c3", "PreparingRebalance 1"]);
    for _ in 0..7 {
        rig.heartbeat(0, A, 1);
        rig.heartbeat(1, B, 1);
        rig.expect(&["a: REBALANCE_IN_PROGRESS", "b: REBALANCE_IN_PROGRESS"]);
        rig.pass(8_000);
    }
    rig.join(1, B);
    rig.heartbeat(0, A, 1);
    rig.expect(&["a: REBALANCE_IN_PROGRESS"]);
    rig.pass(4_000);
    rig.expect(&[
        "-a1 RebalanceTimeout",
        "+b2 leads",
        "CompletingRebalance 2",
        "b: joined 2 under b2 [b2 c3]",
        "c: joined 2 under b2 []",
    ]);
    rig.heartbeat(0, A, 1);
    rig.expect(&["a: UNKNOWN_MEMBER_ID"]);
}

#[test]
fn a_follower_s_rejoin_changes_nothing_and_the_leader_s_starts_a_rebalance() {
    let mut rig = Rig::stable();
    rig.join(1, B);
    rig.expect(&["b: joined 1 under a1 []"]);
    rig.sync(1, B, 1, &[]);
    rig.expect(&["b: synced [orders-1]"]);
    rig.join(0, A);
    rig.expect(&["PreparingRebalance 1"]);
    rig.sync(1, B, 1, &[]);
    rig.expect(&["b: REBALANCE_IN_PROGRESS"]);
}

#[test]
fn heartbeats_keep_a_session_and_say_what_is_wrong() {
    let mut rig = Rig::stable();
    rig.heartbeat(0, A, 1);
    rig.heartbeat(0, A, 0);
    rig.heartbeat(0, C, 1);
    rig.expect(&["a: NONE", "a: ILLEGAL_GENERATION", "a: UNKNOWN_MEMBER_ID"]);
    rig.pass(9_000);
    rig.heartbeat(0, A, 1);
    rig.said.clear();
    rig.pass(1_000);
    rig.expect(&["-b2 SessionTimeout", "PreparingRebalance 1"]);
    rig.join(0, A);
    rig.expect(&["CompletingRebalance 2", "a: joined 2 under a1 [a1]"]);
}

#[test]
fn who_does_not_sync_is_out_after_the_rebalance_timeout() {
    let mut rig = Rig::stable();
    rig.join(0, A);
    rig.join(1, B);
    rig.said.clear();
    rig.sync(0, A, 2, &[(A, 0), (B, 1)]);
    rig.replicate();
    rig.said.clear();
    for _ in 0..9 {
        rig.pass(6_600);
        rig.heartbeat(0, A, 2);
        rig.heartbeat(1, B, 2);
    }
    rig.said.clear();
    rig.pass(600);
    rig.expect(&["-b2 RebalanceTimeout", "PreparingRebalance 2"]);
}

#[test]
fn the_last_member_s_leave_empties_the_group_and_is_recorded() {
    let mut rig = Rig::stable();
    rig.leave(0, A);
    rig.expect(&["-a1 Left", "+b2 leads", "PreparingRebalance 1", "a: NONE"]);
    rig.leave(1, B);
    rig.expect(&["-b2 Left", "Empty 2"]);
    rig.replicate();
    rig.expect(&["b: NONE"]);
    rig.fail_over();
    rig.expect(&["loaded", "Empty 2"]);
    rig.leave(1, B);
    rig.expect(&["b: UNKNOWN_MEMBER_ID"]);
}

#[test]
fn a_commit_is_answered_and_counts_when_it_is_replicated() {
    let mut rig = Rig::stable();
    rig.commit(0, A, 1, 5);
    rig.fetch(0);
    rig.heartbeat(1, B, 1);
    rig.expect(&[]);
    assert_eq!(rig.coordinator.committed_offset(GROUP, PartitionId(0)), Offset::NONE);
    rig.replicate();
    rig.expect(&["0 committed at 5", "a: NONE", "a: fetched 5", "b: NONE"]);
    assert_eq!(rig.coordinator.committed_offset(GROUP, PartitionId(0)), Offset(5));
    // Backwards is fine; Kafka does not look at the log.
    rig.commit(0, A, 1, 2);
    rig.replicate();
    rig.expect(&["0 committed at 2", "a: NONE"]);
}

#[test]
fn who_may_commit_in_which_state() {
    let refused = |rig: &mut Rig, member, generation, expected: &str| {
        rig.commit(0, member, generation, 1);
        rig.replicate();
        let last = rig.said.pop().unwrap();
        assert_eq!(last, format!("a: {expected}"), "{member:?} {generation} in {:?}", rig.state());
        rig.said.clear();
    };
    let mut rig = Rig::new();
    rig.commit(0, A, 1, 1);
    rig.expect(&["a: GROUP_ID_NOT_FOUND"]);
    rig.commit(0, MemberId::UNKNOWN, -1, 1);
    rig.replicate();
    rig.expect(&["0 committed at 1", "a: NONE"]);
    refused(&mut rig, A, 1, "UNKNOWN_MEMBER_ID");

    let mut rig = Rig::stable();
    refused(&mut rig, A, 1, "NONE");
    refused(&mut rig, A, 0, "ILLEGAL_GENERATION");
    refused(&mut rig, C, 1, "UNKNOWN_MEMBER_ID");
    refused(&mut rig, MemberId::UNKNOWN, -1, "UNKNOWN_MEMBER_ID");
    rig.join(0, A);
    rig.join(1, B);
    assert_eq!(rig.state(), GroupState::CompletingRebalance);
    refused(&mut rig, A, 2, "REBALANCE_IN_PROGRESS");
    refused(&mut rig, A, 1, "ILLEGAL_GENERATION");

    let mut rig = Rig::stable();
    rig.leave(1, B);
    assert_eq!(rig.state(), GroupState::PreparingRebalance);
    refused(&mut rig, A, 1, "NONE");
}

#[test]
fn a_commit_that_is_not_replicated_in_time_fails_but_may_still_count() {
    let mut rig = Rig::stable();
    rig.commit(0, A, 1, 5);
    rig.pass(4_999);
    rig.expect(&[]);
    rig.pass(1);
    rig.expect(&["a: COORDINATOR_NOT_AVAILABLE"]);
    rig.replicate();
    rig.expect(&["0 committed at 5"]);
}

#[test]
fn what_a_failed_write_tells_the_client() {
    for (error, expected) in [
        (ErrorCode::NotEnoughReplicas, "a: COORDINATOR_NOT_AVAILABLE"),
        (ErrorCode::NotLeaderOrFollower, "a: NOT_COORDINATOR"),
        (ErrorCode::MessageTooLarge, "a: UNKNOWN_SERVER_ERROR"),
    ] {
        let mut rig = Rig::stable();
        rig.commit(0, A, 1, 5);
        let append = rig.unreplicated.pop().unwrap();
        rig.finish(append, Err(error));
        rig.expect(&[expected]);
        assert_eq!(rig.coordinator.committed_offset(GROUP, PartitionId(0)), Offset::NONE);
    }
    let mut rig = Rig::stable();
    rig.join(0, A);
    rig.join(1, B);
    rig.sync(0, A, 2, &[(A, 0)]);
    rig.said.clear();
    let append = rig.unreplicated.pop().unwrap();
    rig.finish(append, Err(ErrorCode::NotEnoughReplicas));
    rig.expect(&["a: COORDINATOR_NOT_AVAILABLE", "PreparingRebalance 2"]);
}

#[test]
fn a_new_coordinator_knows_what_the_log_says_and_nothing_else() {
    let mut rig = Rig::stable();
    rig.commit(0, A, 1, 5);
    rig.replicate();
    rig.said.clear();
    rig.fail_over();
    rig.expect(&[
        "loaded",
        "Stable 1",
        "+a1 leads",
        "+b2",
        "a1 owns 0",
        "b2 owns 1",
        "0 committed at 5",
    ]);
    rig.heartbeat(0, A, 1);
    rig.commit(1, B, 1, 7);
    rig.replicate();
    rig.expect(&["a: NONE", "0 committed at 7", "b: NONE"]);
    rig.pass(10_000);
    rig.expect(&[
        "-a1 SessionTimeout",
        "+b2 leads",
        "PreparingRebalance 1",
        "-b2 SessionTimeout",
        "Empty 2",
    ]);
    // Ids are not given twice.
    rig.join_first(0);
    rig.expect(&["a: MEMBER_ID_REQUIRED as a3"]);
}

#[test]
fn whoever_waits_for_a_coordinator_that_resigns_is_told() {
    let mut rig = Rig::stable();
    rig.commit(1, B, 1, 3);
    rig.join(0, A);
    rig.said.clear();
    rig.coordinator.resigned(rig.now, HOME, &mut rig.fx);
    rig.settle(Vec::new());
    rig.expect(&["a: NOT_COORDINATOR as a1", "b: NOT_COORDINATOR"]);
    assert!(rig.timers.is_empty());
    rig.heartbeat(1, B, 1);
    rig.join_first(2);
    rig.expect(&["b: NOT_COORDINATOR", "c: NOT_COORDINATOR as nobody"]);
}

#[test]
fn a_closed_connection_ends_the_answer_and_not_the_membership() {
    let mut rig = Rig::stable();
    rig.join(0, A);
    rig.said.clear();
    rig.coordinator.peer_gone(rig.now, NodeId::Consumer(0), &mut rig.fx);
    rig.join(1, B);
    rig.expect(&["CompletingRebalance 2", "b: joined 2 under a1 []"]);
}

#[test]
fn session_timeouts_outside_the_broker_s_bounds_are_refused() {
    for (millis, expected) in [
        (5_999, "a: INVALID_SESSION_TIMEOUT as nobody"),
        (6_000, "a: MEMBER_ID_REQUIRED as a1"),
        (1_800_000, "a: MEMBER_ID_REQUIRED as a1"),
        (1_800_001, "a: INVALID_SESSION_TIMEOUT as nobody"),
    ] {
        let mut rig = Rig::new();
        rig.join_with(0, MemberId::UNKNOWN, millis);
        rig.expect(&[expected]);
    }
}

#[test]
fn an_id_that_is_never_used_holds_nobody_up_for_ever() {
    let mut rig = Rig::stable();
    rig.join_first(2);
    rig.join(0, A);
    rig.join(1, B);
    rig.said.clear();
    rig.pass(9_999);
    rig.expect(&[]);
    rig.pass(1);
    rig.expect(&[
        "CompletingRebalance 2",
        "a: joined 2 under a1 [a1 b2]",
        "b: joined 2 under a1 []",
    ]);
}

#[test]
fn the_planted_bugs_are_there() {
    let mut rig = Rig::stable();
    rig.fx.defect = Defect::CommitNotReplicated;
    rig.commit(0, A, 1, 5);
    rig.expect(&["0 committed at 5", "a: NONE"]);
    rig.fail_over();
    assert_eq!(rig.coordinator.committed_offset(GROUP, PartitionId(0)), Offset::NONE);

    let mut rig = Rig::stable();
    rig.fx.defect = Defect::ExpiredMemberKept;
    rig.pass(10_000);
    rig.expect(&["-a1 SessionTimeout", "-b2 SessionTimeout"]);
    assert_eq!(rig.group().members().len(), 2);
}

#[test]
fn a_fingerprint_forgets_when_and_keeps_what() {
    let print = |rig: &Rig| {
        let mut into = Fingerprint::default();
        rig.coordinator.fingerprint(rig.now, &mut into);
        into.value()
    };
    let early = Rig::stable();
    let mut late = Rig::new();
    late.pass(77_000);
    late.join_first(0);
    late.join_first(1);
    late.join(0, A);
    late.join(1, B);
    late.pass(6_000);
    late.sync(1, B, 1, &[]);
    late.sync(0, A, 1, &[(A, 0), (B, 1)]);
    late.replicate();
    assert_eq!(print(&early), print(&late));
    late.commit(0, A, 1, 5);
    late.replicate();
    assert_ne!(print(&early), print(&late));
}

#[test]
fn who_knows_no_assignor_of_the_group_is_refused_and_the_votes_decide() {
    use AssignorName::{CooperativeSticky, Range, RoundRobin, Sticky};
    let knowing = |names: &[AssignorName]| {
        let add = |all: Assignors, name: &AssignorName| all.and(*name).unwrap();
        names.iter().fold(Assignors::default(), add)
    };
    let mut rig = Rig::new();
    let join = |rig: &mut Rig, consumer, member, names: &[AssignorName]| {
        rig.join_knowing(consumer, member, 10_000, knowing(names));
    };
    join(&mut rig, 0, MemberId::UNKNOWN, &[Range, Sticky]);
    join(&mut rig, 0, A, &[Range, Sticky]);
    rig.pass(3_000);
    rig.said.clear();
    assert_eq!(rig.group().protocol(), Some(Range));
    join(&mut rig, 2, MemberId::UNKNOWN, &[RoundRobin]);
    rig.expect(&["c: INCONSISTENT_GROUP_PROTOCOL as nobody"]);
    join(&mut rig, 1, MemberId::UNKNOWN, &[CooperativeSticky, Sticky]);
    rig.expect(&["b: MEMBER_ID_REQUIRED as b2"]);
    join(&mut rig, 1, B, &[CooperativeSticky, Sticky]);
    join(&mut rig, 0, A, &[Range, Sticky]);
    assert_eq!(rig.group().protocol(), Some(Sticky), "all know only it");
}

#[test]
fn a_new_coordinator_knows_the_assignor_of_the_group() {
    let mut rig = Rig::stable();
    rig.fail_over();
    assert_eq!(rig.group().protocol(), Some(AssignorName::Range));
}

#[test]
fn a_follower_that_says_something_else_than_before_starts_a_rebalance() {
    let mut rig = Rig::stable();
    rig.join(1, B);
    rig.expect(&["b: joined 1 under a1 []"]);
    let range = (10_000, Assignors::only(AssignorName::Range));
    let now = Subscribed::Generation(Generation(1));
    rig.join_saying(1, B, range, &[now, Subscribed::Topic(TopicId(0))]);
    rig.expect(&["PreparingRebalance 1"]);
}
