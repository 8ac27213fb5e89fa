//! The consumer protocol (KIP-848) as its members meet it: heartbeats in; answers, records and events out. `orders` has
//! two partitions, and records are replicated when a test says so.

use std::sync::Arc;

use crate::base::config::{MigrationPolicy, RemoteAssignor};
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{InstanceId, MemberId, PartitionId, TopicId};
use crate::event::GroupState;
use crate::kafka::api::HeartbeatField;
use crate::kafka::group::consumer::ConsumerGroup;
use crate::kafka::group::kind::Group;
use crate::kafka::group::tests::rig::{A, B, C, GROUP, Rig};

use HeartbeatField::{Assignor, Instance, Owned, Partition, RebalanceTimeout, Subscription, Topic};

const FIRST: HeartbeatField = Instance(InstanceId(0));
const JOIN: [HeartbeatField; 4] =
    [RebalanceTimeout(60_000), Subscription, Topic(TopicId(0)), Owned];

impl Rig {
    fn members(&self) -> &ConsumerGroup {
        self.coordinator.group(GROUP).and_then(Group::consumer).expect("a consumer group")
    }

    fn join_as(&mut self, consumer: u16, member: MemberId) {
        self.beat(consumer, (member, 0), &JOIN);
    }

    fn owns(&mut self, consumer: u16, member: (MemberId, i32), partitions: &[u16]) {
        let own = partitions.iter().map(|p| Partition(PartitionId(*p)));
        let says: Vec<HeartbeatField> = std::iter::once(Owned).chain(own).collect();
        self.beat(consumer, member, &says);
    }

    /// `a` has both partitions, in epoch 2.
    fn with_a() -> Self {
        let mut rig = Self::new();
        rig.join_as(0, A);
        rig.replicate();
        rig.owns(0, (A, 2), &[0, 1]);
        rig.pass(1_000);
        rig.said.clear();
        rig
    }

    /// `a` has partition 0 and `b` partition 1, both in epoch 3.
    fn with_a_and_b() -> Self {
        let mut rig = Self::with_a();
        rig.join_as(1, B);
        rig.beat(0, (A, 2), &[]);
        rig.owns(0, (A, 2), &[0]);
        rig.beat(1, (B, 3), &[]);
        rig.owns(1, (B, 3), &[1]);
        rig.replicate();
        rig.pass(1_000);
        rig.said.clear();
        assert_eq!(rig.members().state(), GroupState::Stable);
        rig
    }
}

#[test]
fn the_first_member_gets_everything_and_hears_so_when_it_is_stored() {
    let mut rig = Rig::new();
    rig.join_as(0, A);
    rig.expect(&[
        "+a1",
        "target 2",
        "a1 is to own 0",
        "a1 is to own 1",
        "a1 in 2 STABLE",
        "a1 owns 0",
        "a1 owns 1",
        "Stable 2",
    ]);
    rig.replicate();
    rig.expect(&["a: epoch 2 [0 1]"]);
    rig.beat(0, (A, 2), &[]);
    rig.expect(&["a: epoch 2"]);
}

#[test]
fn a_partition_changes_hands_only_when_the_one_that_had_it_says_that_it_does_not() {
    let mut rig = Rig::with_a();
    rig.join_as(1, B);
    rig.replicate();
    rig.expect(&[
        "+b2",
        "target 3",
        "a1 is to own 0",
        "b2 is to own 1",
        "b2 in 3 UNRELEASED_PARTITIONS",
        "Reconciling 3",
        "b: epoch 3 []",
    ]);
    rig.beat(0, (A, 2), &[]);
    rig.replicate();
    rig.expect(&["a1 in 2 UNREVOKED_PARTITIONS", "a: epoch 2 [0]"]);
    rig.beat(1, (B, 3), &[]);
    rig.replicate();
    rig.expect(&["b: epoch 3"]);
    rig.owns(0, (A, 2), &[0]);
    rig.replicate();
    rig.expect(&["a1 released 1", "a1 in 3 STABLE", "a: epoch 3"]);
    rig.beat(1, (B, 3), &[]);
    rig.replicate();
    rig.expect(&["b2 in 3 STABLE", "b2 owns 1", "Stable 3", "b: epoch 3 [1]"]);
}

#[test]
fn whoever_does_not_give_its_partitions_up_in_time_is_fenced() {
    let mut rig = Rig::with_a();
    rig.join_as(1, B);
    rig.beat(0, (A, 2), &[]);
    rig.replicate();
    rig.said.clear();
    for _ in 0..5 {
        rig.pass(10_000);
        rig.beat(0, (A, 2), &[]);
        rig.beat(1, (B, 3), &[]);
        rig.replicate();
    }
    rig.said.clear();
    rig.pass(10_000);
    rig.expect(&["-a1 RebalanceTimeout", "Assigning 4"]);
    rig.beat(0, (A, 2), &[]);
    rig.expect(&["a: UNKNOWN_MEMBER_ID"]);
    rig.beat(1, (B, 3), &[]);
    rig.replicate();
    assert_eq!(rig.members().target_of(B), [PartitionId(0), PartitionId(1)]);
    assert_eq!(rig.said.last().unwrap(), "b: epoch 4 [0 1]");
}

#[test]
fn a_member_without_heartbeats_is_gone_after_the_session_time_out() {
    let mut rig = Rig::with_a_and_b();
    rig.beat(1, (B, 3), &[]);
    rig.said.clear();
    rig.pass(44_000);
    rig.expect(&["-a1 SessionTimeout", "Assigning 4"]);
    rig.pass(1_000);
    rig.expect(&["-b2 SessionTimeout", "Empty 5"]);
}

#[test]
fn which_epochs_a_heartbeat_may_have() {
    let (all, none): (&[u16], &[u16]) = (&[0, 1], &[]);
    // a is in epoch 3 with partition 0, and was in epoch 2.
    for (epoch, owned, expected) in [
        (3, Some(all), "a: epoch 3"),
        (4, None, "a: FENCED_MEMBER_EPOCH"),
        (2, None, "a: FENCED_MEMBER_EPOCH"),
        (2, Some(all), "a: FENCED_MEMBER_EPOCH"),
        (2, Some(&[0][..]), "a: epoch 3"),
        (2, Some(none), "a: epoch 3"),
    ] {
        let mut rig = Rig::with_a_and_b();
        match owned {
            Some(owned) => rig.owns(0, (A, epoch), owned),
            None => rig.beat(0, (A, epoch), &[]),
        }
        rig.expect(&[expected]);
    }
    let mut rig = Rig::with_a_and_b();
    rig.beat(2, (C, 3), &[]);
    rig.expect(&["c: UNKNOWN_MEMBER_ID"]);
    rig.beat(2, (C, 0), &[RebalanceTimeout(1)]);
    rig.expect(&["c: INVALID_REQUEST"]);
    rig.owns(0, (A, 0), &[0]);
    rig.expect(&["a: INVALID_REQUEST"]);
}

#[test]
fn leaving_frees_partitions_and_raises_the_epoch() {
    let mut rig = Rig::with_a_and_b();
    rig.beat(0, (A, -1), &[]);
    rig.replicate();
    rig.expect(&["-a1 Left", "Assigning 4", "a: epoch -1"]);
    rig.beat(1, (B, 3), &[]);
    rig.replicate();
    assert_eq!(rig.said.last().unwrap(), "b: epoch 4 [0 1]");
    rig.beat(1, (B, -1), &[]);
    rig.said.clear();
    rig.beat(1, (B, 4), &[]);
    rig.expect(&["b: UNKNOWN_MEMBER_ID"]);
    rig.join_as(1, B);
    assert_eq!(rig.members().epoch(), 6, "5 when it emptied, 6 now");
    assert_eq!(rig.members().target_epoch(), 6, "an empty group need not wait");
}

#[test]
fn targets_are_computed_no_more_often_than_the_interval_says() {
    let mut rig = Rig::with_a();
    rig.join_as(1, B);
    rig.join_as(2, C);
    let group = rig.members();
    assert_eq!((group.epoch(), group.target_epoch()), (4, 3));
    assert_eq!((group.state(), group.members()[&C].epoch()), (GroupState::Assigning, 3));
    rig.pass(999);
    rig.beat(1, (B, 3), &[]);
    assert_eq!(rig.members().target_epoch(), 3);
    rig.pass(1);
    rig.beat(1, (B, 3), &[]);
    assert_eq!(rig.members().target_epoch(), 4);
}

#[test]
fn a_static_member_keeps_its_place_and_nobody_takes_its_name_while_it_is_there() {
    let says = |more: &[HeartbeatField]| [&[FIRST], more].concat();
    let mut rig = Rig::new();
    rig.beat(0, (A, 0), &says(&JOIN));
    rig.replicate();
    rig.said.clear();
    rig.beat(1, (B, 0), &says(&JOIN));
    rig.expect(&["b: UNRELEASED_INSTANCE_ID"]);
    rig.beat(1, (B, 2), &says(&[]));
    rig.expect(&["b: FENCED_INSTANCE_ID"]);
    rig.beat(1, (B, 2), &[Instance(InstanceId(1))]);
    rig.expect(&["b: UNKNOWN_MEMBER_ID"]);
    rig.beat(0, (A, -2), &says(&[]));
    rig.replicate();
    rig.expect(&["a1 in -2 STABLE", "Reconciling 2", "a: epoch -2"]);
    rig.beat(1, (B, 0), &says(&JOIN));
    rig.replicate();
    rig.expect(&[
        "-a1 Replaced",
        "+b2",
        "b2 in 2 STABLE",
        "b2 owns 0",
        "b2 owns 1",
        "Stable 2",
        "b: epoch 2 [0 1]",
    ]);
    rig.beat(1, (B, -2), &says(&[]));
    rig.replicate();
    rig.said.clear();
    rig.pass(45_000);
    rig.expect(&["-b2 SessionTimeout", "Empty 3"]);
}

#[test]
fn the_assignor_most_members_name_and_only_one_the_broker_has() {
    let mut rig = Rig::with_a();
    assert_eq!(rig.members().preferred_assignor(), None);
    rig.beat(0, (A, 2), &[Assignor(RemoteAssignor::Range)]);
    assert_eq!(rig.members().epoch(), 3, "another assignor is another epoch");
    rig.beat(1, (B, 0), &[&JOIN[..], &[Assignor(RemoteAssignor::Uniform)]].concat());
    rig.beat(2, (C, 0), &[&JOIN[..], &[Assignor(RemoteAssignor::Uniform)]].concat());
    assert_eq!(rig.members().preferred_assignor(), Some(RemoteAssignor::Uniform));
}

#[test]
fn who_may_commit_and_who_may_ask_what_is_committed() {
    // b is in epoch 3 with partition 1 since then; a has partition 0 since epoch 2.
    for (consumer, member, epoch, expected) in [
        (0, A, 3, "NONE"),
        (0, A, 2, "NONE"),
        (0, A, 1, "STALE_MEMBER_EPOCH"),
        (0, A, 4, "STALE_MEMBER_EPOCH"),
        (1, B, 3, "NONE"),
        (1, B, 2, "STALE_MEMBER_EPOCH"),
        (2, C, 3, "UNKNOWN_MEMBER_ID"),
        (2, C, -1, "UNKNOWN_MEMBER_ID"),
        (2, MemberId::UNKNOWN, -1, "UNKNOWN_MEMBER_ID"),
    ] {
        let mut rig = Rig::with_a_and_b();
        rig.commit(consumer, member, epoch, 7);
        rig.replicate();
        let name = ["a", "b", "c"][usize::from(consumer)];
        assert_eq!(rig.said.last().unwrap(), &format!("{name}: {expected}"), "{epoch}");
    }
    let mut rig = Rig::with_a_and_b();
    rig.fetch(2);
    rig.expect(&["c: fetched -1"]);
    rig.fetch_as(0, (A, 2));
    rig.expect(&["a: STALE_MEMBER_EPOCH"]);
    rig.fetch_as(0, (A, 3));
    rig.expect(&["a: fetched -1"]);
    rig.fetch_as(2, (C, 3));
    rig.expect(&["c: UNKNOWN_MEMBER_ID"]);
}

#[test]
fn another_coordinator_knows_from_the_log_what_this_one_knew() {
    let mut rig = Rig::with_a();
    rig.join_as(1, B);
    rig.beat(0, (A, 2), &[]);
    rig.replicate();
    let known = |group: &ConsumerGroup| {
        let state = (group.epoch(), group.target_epoch(), group.state());
        let targets = (group.target_of(A).to_vec(), group.target_of(B).to_vec());
        (state, targets, group.members().clone())
    };
    let before = known(rig.members());
    rig.fail_over();
    assert_eq!(known(rig.members()), before);
    rig.said.clear();
    rig.pass(44_999);
    rig.expect(&[]);
    rig.owns(0, (A, 2), &[0]);
    rig.replicate();
    rig.expect(&["a1 released 1", "a1 in 3 STABLE", "a: epoch 3"]);
    rig.pass(1);
    rig.expect(&["-b2 SessionTimeout", "Assigning 4"]);
}

#[test]
fn what_could_not_be_stored_did_not_happen() {
    let mut rig = Rig::with_a();
    rig.join_as(1, B);
    rig.beat(0, (A, 2), &[]);
    rig.said.clear();
    let appends = std::mem::take(&mut rig.unreplicated);
    for append in appends {
        rig.finish(append, Err(ErrorCode::NotEnoughReplicas));
    }
    assert!(rig.said.contains(&"b: COORDINATOR_NOT_AVAILABLE".to_owned()), "{:?}", rig.said);
    assert!(rig.said.contains(&"a: COORDINATOR_NOT_AVAILABLE".to_owned()), "{:?}", rig.said);
    let group = rig.members();
    assert_eq!((group.epoch(), group.state(), group.members().len()), (2, GroupState::Stable, 1));
    rig.said.clear();
    rig.beat(0, (A, 2), &[]);
    rig.expect(&["a: epoch 2"]);
}

#[test]
fn the_protocols_do_not_mix_where_the_policy_forbids_it_but_an_empty_classic_group_makes_room() {
    let mut rig = Rig::stable();
    let config = Arc::make_mut(&mut rig.coordinator.config);
    config.brokers.consumer_group.migration_policy = MigrationPolicy::Disabled;
    rig.join_as(2, C);
    rig.expect(&["c: GROUP_ID_NOT_FOUND"]);
    rig.leave(0, A);
    rig.leave(1, B);
    rig.pass(10_000);
    rig.replicate();
    rig.said.clear();
    rig.join_as(2, C);
    rig.replicate();
    assert_eq!(rig.said.last().unwrap(), "c: epoch 2 [0 1]");
    rig.heartbeat(0, A, 1);
    assert_eq!(rig.said.last().unwrap(), "a: UNKNOWN_MEMBER_ID");
    rig.fail_over();
    assert_eq!(rig.members().members().len(), 1, "the classic group ended in the log as well");
}

#[test]
fn a_classic_group_takes_a_member_of_the_consumer_protocol_unless_that_cannot_be_stored() {
    let mut rig = Rig::stable();
    rig.join_as(2, C);
    assert_eq!((rig.members().epoch(), rig.members().members().len()), (2, 3));
    for append in std::mem::take(&mut rig.unreplicated) {
        rig.finish(append, Err(ErrorCode::NotEnoughReplicas));
    }
    assert!(rig.said.contains(&"c: COORDINATOR_NOT_AVAILABLE".to_owned()), "{:?}", rig.said);
    assert_eq!((rig.group().state(), rig.group().members().len()), (GroupState::Stable, 2));
    rig.join_as(2, C);
    rig.replicate();
    rig.said.clear();
    rig.heartbeat(0, A, 1);
    rig.expect(&["a: REBALANCE_IN_PROGRESS"]);
    rig.fail_over();
    assert_eq!((rig.members().epoch(), rig.members().members().len()), (2, 3));
}

#[test]
fn the_fingerprint_sees_epochs_and_targets_and_not_the_clock() {
    let value = |rig: &Rig| {
        let mut into = Fingerprint::default();
        rig.coordinator.fingerprint(rig.now, &mut into);
        into.value()
    };
    let mut rig = Rig::with_a_and_b();
    rig.beat(0, (A, 3), &[]);
    rig.beat(1, (B, 3), &[]);
    let before = value(&rig);
    rig.owns(0, (A, 3), &[0]);
    assert_eq!(value(&rig), before);
    rig.beat(0, (A, -1), &[]);
    assert_ne!(value(&rig), before);
}
