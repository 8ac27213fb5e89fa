//! Share groups in random storms: brokers, controllers and members die, freeze and lose touch, and what the group
//! promises of single records holds all the while; then everything heals, and the group is done with every record.
//! `cargo test --release --test share_groups` tries 4,000 schedules.

mod common;
#[path = "common/seeds.rs"]
mod seeds;
#[path = "common/storm.rs"]
mod storm;
#[path = "common/tell.rs"]
mod tell;
#[path = "common/watch.rs"]
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater::app::{CommitMode, LoopStep};
use highwater::base::broker_set::ReplicaList;
use highwater::base::chooser::{ChoicePoint, Chooser};
use highwater::base::config::Defect;
use highwater::base::ids::{BrokerId, GroupId, MessageId, Offset, PartitionId, TopicId};
use highwater::base::names::{Client, Partition, Topic};
use highwater::base::share::{AcknowledgeType, GroupConfig, RecordState, ShareReset};
use highwater::base::time::Duration;
use highwater::check::verdict::Verdict;
use highwater::check::{Guarantee, Judge, JudgeSetup};
use highwater::event::EventKind;
use highwater::sim::schedule::{FaultClasses, heal_all, run_until};
use highwater::sim::{Simulation, WorldSpec};

use watch::Watch;

const PROMISES: &[Guarantee] = &[
    Guarantee::OneLock,
    Guarantee::DoneStaysDone,
    Guarantee::AcceptedStored,
    Guarantee::DeliveryLimit,
];

const BILLING: GroupId = GroupId(0);

/// The safe cluster with three members of a share group, the state of which has a topic of one partition.
fn cluster(seed: u64) -> WorldSpec {
    let mut luck = Chooser::seeded(seed ^ 0x5a4e);
    let mut pick = |n| luck.below(ChoicePoint::Fault, n);
    let mut spec = common::safe_spec(seed);
    let names = Arc::make_mut(&mut spec.names);
    let home = PartitionId(names.partitions.len() as u16);
    let replicas = ReplicaList::new(&[2, 3, 1].map(BrokerId));
    let topic = TopicId(names.topics.len() as u16);
    names.partitions.push(Partition { topic, index: 0, replicas });
    names.topics.push(Topic {
        name: "__share_group_state".to_owned(),
        partitions: vec![home],
        internal: true,
        partition_count: 1,
    });
    names.consumers.push(Client { name: "c3".to_owned(), group: Some(BILLING), rank: 3 });
    names.share_groups = vec![BILLING];
    names.share_homes = [0, 1].map(|n| ((BILLING, PartitionId(n)), home)).to_vec();
    let config = Arc::make_mut(&mut spec.config);
    config.topics.push(config.topics[0]);
    let own = GroupConfig {
        reset: ShareReset::Earliest,
        deliveries: Some([2, 3, 5, 10][pick(4) as usize]),
        lock: Some(Duration::from_secs([2, 15][pick(2) as usize])),
        session_timeout: Some(Duration::from_secs(6)),
        heartbeat_interval: Some(Duration::from_secs(1)),
        ..GroupConfig::default()
    };
    config.groups = vec![own];
    let member = &mut spec.consumers[0];
    member.config.share = true;
    member.config.max_poll_records = [1, 7, 500][pick(3) as usize];
    member.config.record_limit = pick(2) == 0;
    member.config.explicit_acknowledgement = pick(2) == 0;
    let work = Duration::from_millis([1, 40, 900][pick(3) as usize]);
    let commit = [CommitMode::Sync, CommitMode::Async][pick(2) as usize];
    member.steps = vec![LoopStep::POLL];
    if member.config.explicit_acknowledgement {
        let message = MessageId(pick(20) as u32);
        let then = [AcknowledgeType::Release, AcknowledgeType::Reject][pick(2) as usize];
        member.steps.insert(0, LoopStep::CannotProcess { message, then });
        member.steps.push(LoopStep::WorkAndAcknowledgeEach(work));
    } else {
        member.steps.push(LoopStep::Work(work));
    }
    if pick(3) > 0 {
        member.steps.push(LoopStep::Commit(commit));
    }
    spec.consumers = vec![member.clone(); 3];
    spec
}

/// Of each partition where the group is and how far it could be.
fn progress(simulation: &Simulation) -> BTreeMap<PartitionId, (Offset, Offset)> {
    let mut progress: BTreeMap<PartitionId, (Offset, Offset)> = BTreeMap::new();
    let start = (Offset(0), Offset(0));
    for event in simulation.trace().events().iter() {
        match event.kind {
            EventKind::SharePartitionLoaded { partition, start: at, .. }
            | EventKind::ShareStart { partition, offset: at, .. } => {
                progress.entry(partition).or_insert(start).0 = at;
            }
            EventKind::HighWatermark { partition, offset } if partition.0 < 2 => {
                let entry = progress.entry(partition).or_insert(start);
                entry.1 = entry.1.max(offset);
            }
            _ => {}
        }
    }
    progress
}

/// One storm: what is broken, and the run.
fn broken_in(seed: u64, defect: Defect) -> (Vec<String>, Simulation) {
    let spec = WorldSpec { defect, ..cluster(seed) };
    let spec = if seed.is_multiple_of(4) { storm::with_quorum(spec, 3) } else { spec };
    let delivery_limits = spec.config.delivery_limits();
    let setup = JudgeSetup { delivery_limits, ..JudgeSetup::default() };
    let mut watch = Watch::new(Judge::of(Arc::clone(&spec.names), setup, PROMISES));
    let (simulation, _) = storm::storm(spec, FaultClasses::SURVIVABLE, |simulation, _| {
        watch.look(simulation);
        watch.broken.is_empty()
    });
    let text = |(g, v): (Guarantee, Verdict)| {
        format!("{}: {}", g.name(), v.violation().map_or("", |v| v.text.as_str()))
    };
    (watch.broken.into_iter().map(text).collect(), simulation)
}

/// How many schedules each half of the test tries.
const SEEDS: u64 = if cfg!(debug_assertions) { 100 } else { 2_000 };

/// Until the group is done with every record. Work of 900 ms a record under a lock of two seconds is done up to ten
/// times; and who was on the way down when the storm ended is started.
fn see_out(simulation: &mut Simulation) {
    for _ in 0..40 {
        if progress(simulation).values().all(|(start, end)| start == end) {
            return;
        }
        heal_all(simulation);
        let end = simulation.now() + Duration::from_secs(100);
        run_until(simulation, end, &mut |_| true);
    }
}

fn hold_for(half: u64) {
    let (mut accepted, mut again) = (0, 0);
    for seed in seeds::seeds(half * SEEDS..(half + 1) * SEEDS) {
        let (broken, mut simulation) = broken_in(seed, Defect::None);
        assert!(broken.is_empty(), "seed {seed}: {broken:?}");
        see_out(&mut simulation);
        for (partition, (start, end)) in progress(&simulation) {
            assert_eq!(start, end, "seed {seed}: the group is not done with {partition:?}");
        }
        for event in simulation.trace().events().iter() {
            match event.kind {
                EventKind::RecordsSettled { state: RecordState::Acknowledged, .. } => accepted += 1,
                EventKind::RecordsAcquired { delivery: 2.., .. } => again += 1,
                _ => {}
            }
        }
    }
    assert!(accepted > 0 && again > 0, "{accepted} {again}: the storms show nothing");
}

#[test]
fn promises_hold_and_every_record_is_done_with_in_the_end_first_half() {
    hold_for(0);
}

#[test]
fn promises_hold_and_every_record_is_done_with_in_the_end_second_half() {
    hold_for(1);
}

/// Who checks the checkers: each bug planted in a leader of share partitions is found by the promise it breaks.
#[test]
fn every_planted_bug_is_found_by_its_promise() {
    for (defect, promise) in [
        (Defect::ShareLockDropped, Guarantee::OneLock),
        (Defect::AcceptedForgotten, Guarantee::DoneStaysDone),
        (Defect::AcceptedBeforeStored, Guarantee::AcceptedStored),
        (Defect::DeliveryLimitIgnored, Guarantee::DeliveryLimit),
    ] {
        let finds = |seed: &u64| {
            let (broken, _) = broken_in(*seed, defect);
            broken.iter().any(|text| text.starts_with(promise.name()))
        };
        let found = (0..100).find(finds);
        assert!(found.is_some(), "{} does not notice {defect:?}", promise.name());
    }
}

/// `share.isolation.level`: what was aborted is archived and handed to nobody, and nothing is handed out from the last
/// stable offset on; a group that reads everything gets both.
#[test]
fn a_group_that_reads_committed_records_is_spared_what_was_aborted_or_is_open() {
    for (isolation, while_open, at_the_end) in [
        ("read_committed", r#"{"m2": [1]}"#, r#"{"m2": [1], "m3": [1], "m4": [1]}"#),
        (
            "read_uncommitted",
            r#"{"m0": [1], "m1": [1], "m2": [1], "m3": [1], "m4": [1]}"#,
            r#"{"m0": [1], "m1": [1], "m2": [1], "m3": [1], "m4": [1]}"#,
        ),
    ] {
        tell::tell(&format!(
            r#"(title: {{"en": "t"}}, cluster: (brokers: 3, controllers: 1),
            topics: {{"t": (replicas: [[1, 2, 3]])}},
            producers: {{"p": (config: {{"transactional.id": "x"}}), "plain": ()}},
            groups: {{"g": (share: true, members: ["A"], topics: ["t"], loop: [Poll])}},
            group_configs: {{"g": {{"share.auto.offset.reset": "earliest", "share.isolation.level": "{isolation}"}}}},
            script: [
                InitTransactions("p"), BeginTransaction("p"), Send(from: "p", to: "t", count: 2), Await(Completed("p")),
                AbortTransaction("p"), Await(Markers("t", 0, Abort, 1)),
                BeginTransaction("p"), Send(from: "p", to: "t", count: 1), Await(Completed("p")),
                CommitTransaction("p"), Await(Markers("t", 0, Commit, 1)),
                BeginTransaction("p"), Send(from: "p", to: "t", count: 1), Await(Completed("p")),
                Send(from: "plain", to: "t", count: 1), Await(Completed("plain")),
                Sleep("10s"), Observe("while open", Deliveries("g")),
                CommitTransaction("p"), Await(Markers("t", 0, Commit, 2)),
                Sleep("3s"), Observe("at the end", Deliveries("g")),
            ],
            expect: {{"default": [Observed("while open", {while_open}), Observed("at the end", {at_the_end})]}})"#
        ));
    }
}
