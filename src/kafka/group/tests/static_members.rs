//! Static members (KIP-345) at the coordinator: who takes whose place, what that does to the others, who is fenced.
//! `c` is the process that comes back with the instance id of `a` or `b`.

use crate::base::config::{AssignorName, Assignors};
use crate::base::error::ErrorCode;
use crate::base::ids::{InstanceId, MemberId};
use crate::kafka::group::tests::rig::{A, B, GROUP, Rig};

/// The third id given, to `c`.
const C3: MemberId = MemberId(3 << 16 | 3);

fn come_back(rig: &mut Rig, instance: u16) {
    rig.instances.insert(2, InstanceId(instance));
    rig.join_first(2);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_the_process_before_it_is_fenced() {
    let mut rig = Rig::stable_and_static();
    come_back(&mut rig, 1);
    rig.expect(&["-b2 Replaced", "+c3", "c3 owns 1"]);
    rig.replicate();
    rig.expect(&["c: joined 1 under a1 []"]);
    rig.sync(2, C3, 1, &[]);
    rig.expect(&["c: synced [orders-1]"]);
    rig.heartbeat(1, B, 1);
    rig.commit(1, B, 1, 5);
    rig.sync(1, B, 1, &[]);
    rig.join(1, B);
    rig.expect(&[
        "b: FENCED_INSTANCE_ID",
        "b: FENCED_INSTANCE_ID",
        "b: FENCED_INSTANCE_ID",
        "b: FENCED_INSTANCE_ID as b2",
    ]);
    rig.heartbeat(2, C3, 0);
    rig.heartbeat(2, C3, 1);
    rig.heartbeat(0, A, 1);
    rig.expect(&["c: ILLEGAL_GENERATION", "c: NONE", "a: NONE"]);
}

#[test]
fn a_static_leader_comes_back_to_an_assignment_that_stands() {
    let mut rig = Rig::stable_and_static();
    come_back(&mut rig, 0);
    rig.expect(&["-a1 Replaced", "+c3 leads", "c3 owns 0"]);
    rig.replicate();
    rig.expect(&["c: joined 1 under c3 [b2 c3], nothing to assign"]);
    rig.sync(2, C3, 1, &[]);
    rig.expect(&["c: synced [orders-0]"]);
    // As a member it is a leader like any other: its next join starts a rebalance.
    rig.join(2, C3);
    rig.expect(&["PreparingRebalance 1"]);
}

#[test]
fn a_return_that_cannot_be_stored_is_undone() {
    let mut rig = Rig::stable_and_static();
    come_back(&mut rig, 0);
    rig.said.clear();
    let append = rig.unreplicated.remove(0);
    rig.finish(append, Err(ErrorCode::NotEnoughReplicas));
    rig.expect(&["-c3 Undone", "+a1 leads", "a1 owns 0", "c: COORDINATOR_NOT_AVAILABLE as nobody"]);
    rig.heartbeat(0, A, 1);
    rig.heartbeat(2, C3, 1);
    rig.expect(&["a: NONE", "c: FENCED_INSTANCE_ID"]);
}

#[test]
fn a_return_with_another_choice_of_assignor_starts_a_rebalance() {
    let mut rig = Rig::stable_and_static();
    let both = Assignors::only(AssignorName::RoundRobin).and(AssignorName::Range).unwrap();
    rig.join_knowing(0, A, 10_000, both);
    rig.join_knowing(1, B, 10_000, both);
    rig.sync(1, B, 2, &[]);
    rig.sync(0, A, 2, &[(A, 0), (B, 1)]);
    rig.replicate();
    rig.said.clear();
    rig.instances.insert(2, InstanceId(1));
    rig.join_knowing(2, MemberId::UNKNOWN, 10_000, Assignors::only(AssignorName::Range));
    rig.expect(&["-b2 Replaced", "+c3", "c3 owns 1", "PreparingRebalance 2"]);
}

#[test]
fn a_return_in_the_middle_of_a_rebalance_takes_the_place_in_it() {
    let mut rig = Rig::stable_and_static();
    rig.join(0, A);
    rig.said.clear();
    come_back(&mut rig, 1);
    rig.expect(&[
        "-b2 Replaced",
        "+c3",
        "c3 owns 1",
        "CompletingRebalance 2",
        "a: joined 2 under a1 [a1 c3]",
        "c: joined 2 under a1 []",
    ]);
    // The leader may be computing for the id before: everybody joins again.
    rig.sync(2, C3, 2, &[]);
    come_back(&mut rig, 1);
    let c4 = MemberId(3 << 16 | 4);
    rig.expect(&["c: FENCED_INSTANCE_ID", "-c3 Replaced", "+c4", "PreparingRebalance 2"]);
    rig.join(0, A);
    rig.said.clear();
    rig.sync(2, c4, 3, &[]);
    rig.sync(0, A, 3, &[(A, 0), (c4, 1)]);
    rig.replicate();
    assert_eq!(rig.group().members()[&c4].assignment.len(), 1);
}

#[test]
fn who_is_static_keeps_its_place_until_its_session_ends() {
    let mut rig = Rig::stable_and_static();
    // Both processes are gone; a new member joins with a longer session.
    rig.join_with(2, MemberId::UNKNOWN, 90_000);
    rig.said.clear();
    rig.join_with(2, C3, 90_000);
    rig.expect(&["+c3", "PreparingRebalance 1"]);
    for _ in 0..7 {
        rig.heartbeat(1, B, 1);
        rig.heartbeat(0, A, 1);
        rig.pass(8_000);
    }
    rig.heartbeat(1, B, 1);
    rig.heartbeat(0, A, 1);
    rig.said.clear();
    rig.pass(4_000);
    // The leader did not join, and somebody who did leads now; nobody is removed for being late.
    rig.expect(&["+c3 leads", "CompletingRebalance 2", "c: joined 2 under c3 [a1 b2 c3]"]);
    rig.pass(10_000);
    rig.expect(&["-a1 SessionTimeout", "PreparingRebalance 2", "-b2 SessionTimeout"]);
}

#[test]
fn a_rebalance_that_nobody_joins_waits_for_sessions_to_end() {
    let mut rig = Rig::stable_and_static();
    rig.leave(1, B);
    rig.said.clear();
    for _ in 0..8 {
        rig.heartbeat(0, A, 1);
        rig.pass(7_600);
    }
    assert_eq!(rig.group().members().len(), 1, "the join phase began anew");
    rig.said.clear();
    rig.pass(10_000);
    rig.expect(&["-a1 SessionTimeout", "Empty 2"]);
}

#[test]
fn a_new_coordinator_knows_who_is_static() {
    let mut rig = Rig::stable_and_static();
    rig.fail_over();
    rig.said.clear();
    come_back(&mut rig, 1);
    rig.replicate();
    rig.heartbeat(1, B, 1);
    rig.expect(&[
        "-b2 Replaced",
        "+c3",
        "c3 owns 1",
        "c: joined 1 under a1 []",
        "b: FENCED_INSTANCE_ID",
    ]);
    assert!(rig.coordinator.group(GROUP).is_some());
}
