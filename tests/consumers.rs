//! Consumers, their groups and their applications on the whole simulator, against facts that a real Kafka 4.4.0 showed.
//! Each test is named after the recording it follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater::app::{CommitMode, HandCall, LoopStep, Subscription};
use highwater::base::broker_set::ReplicaList;
use highwater::base::config::{
    AssignorName, Assignors, BrokerConfig, ClusterConfig, ConsumerConfig, Defect, OffsetReset,
    ProducerConfig, TopicConfig,
};
use highwater::base::error::{ErrorCode, Exception};
use highwater::base::ids::{
    BrokerId, GroupId, KeyId, MessageId, NodeId, Offset, PartitionId, TopicId,
};
use highwater::base::names::{Client, Names, Partition, Topic};
use highwater::base::time::{Duration, Time};
use highwater::event::{EventKind, FaultKind, RebalanceCallback};
use highwater::kafka::api::PartitionOffset;
use highwater::kafka::consumer::{ConsumerCall, DEFAULT_CLOSE_TIMEOUT, PolledSlice};
use highwater::kafka::producer::SendRequest;
use highwater::sim::schedule::run_until;
use highwater::sim::{Command, ConsumerSpec, NetworkConfig, Simulation, Sink, WorldSpec};

const A: u16 = 0;
const B: u16 = 1;
const C: u16 = 2;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One broker, one topic, a producer, and consumers A, B, C, … of one group.
struct Case {
    simulation: Simulation,
    sent: u32,
    partitions: u16,
}

fn names(partitions: u16, consumers: usize) -> Names {
    let replicas = ReplicaList::new(&[BrokerId(1)]);
    let of = |topic, index| Partition { topic: TopicId(topic), index, replicas };
    let topic = |name: &str, partitions: Vec<PartitionId>, internal| Topic {
        name: name.to_owned(),
        partition_count: partitions.len() as u32,
        partitions,
        internal,
    };
    let client = |n: usize| Client {
        name: char::from(b'A' + n as u8).to_string(),
        group: Some(GroupId(0)),
        rank: n as u16 + 1,
    };
    Names {
        controllers: 1,
        brokers: 1,
        topics: vec![
            topic("t", (0..partitions).map(PartitionId).collect(), false),
            topic("__consumer_offsets", vec![PartitionId(partitions)], true),
        ],
        partitions: (0..partitions).map(|n| of(0, u32::from(n))).chain([of(1, 0)]).collect(),
        producers: vec![Client { name: "p".to_owned(), group: None, rank: 0 }],
        consumers: (0..consumers).map(client).collect(),
        groups: vec!["g".to_owned()],
        group_partitions: vec![PartitionId(partitions)],
        ..Names::default()
    }
}

/// The settings of the recordings.
fn config(auto_commit: bool) -> ConsumerConfig {
    ConsumerConfig {
        enable_auto_commit: auto_commit,
        auto_commit_interval: ms(200),
        auto_offset_reset: OffsetReset::Earliest,
        session_timeout: ms(3_000),
        heartbeat_interval: ms(300),
        max_poll_records: 5,
        ..ConsumerConfig::default()
    }
}

/// Processes everything it is given and commits it.
fn successor() -> (ConsumerConfig, Vec<LoopStep>) {
    let config = ConsumerConfig { max_poll_records: 500, ..config(false) };
    (config, vec![LoopStep::POLL, LoopStep::Work(ms(0)), LoopStep::Commit(CommitMode::Sync)])
}

impl Case {
    /// Consumer A starts with the run, the others when they are told.
    fn new(partitions: u16, consumers: Vec<(ConsumerConfig, Vec<LoopStep>)>) -> Self {
        let brokers = BrokerConfig {
            group_initial_rebalance_delay: ms(0),
            group_min_session_timeout: ms(1_000),
            offsets_topic_partitions: 1,
            offsets_topic_replication: 1,
            ..BrokerConfig::default()
        };
        let topics = vec![TopicConfig::default(); 2];
        let names = Arc::new(names(partitions, consumers.len()));
        let consumer = |(n, (config, steps))| ConsumerSpec {
            config,
            group: Some(GroupId(0)),
            subscription: Subscription::Topics(vec![TopicId(0)]),
            steps,
            on_revoked: None,
            refused: None,
            producer: None,
            starts: n == 0,
        };
        let spec = WorldSpec {
            names,
            config: Arc::new(ClusterConfig { brokers, topics, ..ClusterConfig::default() }),
            producers: vec![ProducerConfig::default()],
            by_script: Vec::new(),
            consumers: consumers.into_iter().enumerate().map(consumer).collect(),
            network: NetworkConfig::default(),
            seed: 1,
            sink: Sink::Recording,
            defect: Defect::None,
        };
        Self { simulation: Simulation::new(&Arc::new(spec)), sent: 0, partitions }
    }

    fn run(&mut self, span: Duration) {
        let until = self.simulation.now() + span;
        run_until(&mut self.simulation, until, &mut |_| true);
    }

    /// Runs until something is true, and fails when that takes more than a minute.
    fn wait(&mut self, what: impl Fn(&Self) -> bool) {
        let limit = self.simulation.now() + Duration::from_secs(60);
        while !what(self) {
            assert!(self.simulation.now() < limit, "it does not come");
            self.run(ms(5));
        }
    }

    /// The producer sends so many messages to every partition, each call in one batch a partition.
    fn produce(&mut self, count: u32) {
        for partition in 0..self.partitions {
            for _ in 0..count {
                let request = SendRequest {
                    message: MessageId(self.sent),
                    topic: TopicId(0),
                    partition: Some(PartitionId(partition)),
                    key: KeyId::NONE,
                    bytes: 20,
                    shift: 0,
                    is_tombstone: false,
                };
                self.sent += 1;
                self.simulation.apply(&Command::Send { producer: 0, request });
            }
        }
        self.run(ms(200));
    }

    fn fault(&mut self, consumer: u16, kind: FaultKind) {
        self.simulation.apply(&Command::Fault { node: NodeId::Consumer(consumer), kind });
    }

    fn call(&mut self, consumer: u16, call: HandCall) -> Option<Exception> {
        self.simulation.apply(&Command::Consumer { consumer, call });
        self.wait(|case| !case.simulation.consumer(consumer).is_busy());
        self.simulation.consumer(consumer).last_return().exception
    }

    fn ids(&self, slices: &[PolledSlice]) -> Vec<u32> {
        let batches = self.simulation.batches();
        let id = |s: &PolledSlice| {
            let messages: Vec<u32> = batches.messages(s.batch).map(|m| m.0).collect();
            messages[usize::from(s.first)..usize::from(s.first + s.count)].to_vec()
        };
        slices.iter().flat_map(id).collect()
    }

    fn poll(&mut self, consumer: u16, records: u32) -> Vec<u32> {
        self.call(consumer, HandCall::Poll { timeout: ms(100), records, within: None });
        self.ids(&self.simulation.consumer(consumer).last_return().polled)
    }

    fn process(&mut self, consumer: u16, count: u32) {
        self.call(consumer, HandCall::Process { count: Some(count) });
    }

    fn close(&mut self, consumer: u16) {
        let close = ConsumerCall::Close { timeout: DEFAULT_CLOSE_TIMEOUT };
        self.call(consumer, HandCall::Consumer(close));
    }

    fn commit(&mut self, consumer: u16, sync: bool, offset: Option<i64>) -> Option<Exception> {
        let only = |o| vec![PartitionOffset { partition: PartitionId(0), offset: Offset(o) }];
        let call = ConsumerCall::Commit { sync, offsets: offset.map(only) };
        self.call(consumer, HandCall::Consumer(call))
    }

    /// The committed offsets by partition.
    fn committed(&self) -> BTreeMap<u16, i64> {
        self.kinds(|_, kind| match kind {
            EventKind::OffsetCommitted { partition, offset, .. } => Some((partition.0, offset.0)),
            _ => None,
        })
        .into_iter()
        .collect()
    }

    fn kinds<T>(&self, pick: impl Fn(NodeId, EventKind) -> Option<T>) -> Vec<T> {
        let events = self.simulation.trace().events();
        events.iter().filter_map(|event| pick(event.node, event.kind)).collect()
    }

    /// What the application of a consumer finished.
    fn processed(&self, consumer: u16) -> Vec<u32> {
        let slices = self.kinds(|node, kind| match kind {
            EventKind::Processed { partition, batch, base_offset, first, count }
                if node == NodeId::Consumer(consumer) =>
            {
                Some(PolledSlice { partition, batch, base_offset, first, count })
            }
            _ => None,
        });
        self.ids(&slices)
    }

    fn callbacks(&self, consumer: u16) -> Vec<String> {
        self.kinds(|node, kind| match kind {
            EventKind::Callback { callback, count } if node == NodeId::Consumer(consumer) => {
                let name = match callback {
                    RebalanceCallback::Assigned => "assigned",
                    RebalanceCallback::Revoked => "revoked",
                    RebalanceCallback::Lost => "lost",
                };
                Some(format!("{name}({count})"))
            }
            _ => None,
        })
    }

    fn owned(&self, consumer: u16) -> usize {
        self.simulation.consumer(consumer).consumer().assigned().len()
    }

    fn partitions_of(&self, consumer: u16) -> Vec<u32> {
        let assigned = self.simulation.consumer(consumer).consumer().assigned();
        let mut numbers: Vec<u32> = assigned.iter().map(|p| u32::from(p.0)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn threw(&self, consumer: u16, exception: Exception) -> bool {
        let threw = EventKind::Threw { exception };
        let events = self.simulation.trace().events();
        events.iter().any(|e| e.node == NodeId::Consumer(consumer) && e.kind == threw)
    }

    /// A is killed; B joins and processes what it is given.
    fn crash_and_succeed(&mut self) -> Vec<u32> {
        self.fault(A, FaultKind::Kill);
        self.succeed()
    }

    fn succeed(&mut self) -> Vec<u32> {
        self.fault(B, FaultKind::Start);
        self.wait(|case| case.processed(B).contains(&(case.sent - 1)));
        self.processed(B)
    }
}

fn range(from: u32, to: u32) -> Vec<u32> {
    (from..to).collect()
}

fn none() -> BTreeMap<u16, i64> {
    BTreeMap::new()
}

fn at(offset: i64) -> BTreeMap<u16, i64> {
    BTreeMap::from([(0, offset)])
}

fn by_hand_and_successor(config: ConsumerConfig) -> Case {
    let mut case = Case::new(1, vec![(config, vec![]), successor()]);
    case.produce(20);
    case
}

#[test]
fn s01a_sync_crash_classic() {
    let mut case = by_hand_and_successor(config(true));
    assert_eq!(case.poll(A, 1), range(0, 5));
    case.process(A, 3);
    case.run(ms(1_500));
    assert_eq!(case.committed(), none());
    assert_eq!(case.crash_and_succeed(), range(0, 20));
}

#[test]
fn s01a2_sync_crash_second_batch_classic() {
    let mut case = by_hand_and_successor(config(true));
    assert_eq!(case.poll(A, 1), range(0, 5));
    case.process(A, 5);
    case.run(ms(500));
    assert_eq!(case.committed(), none());
    assert_eq!(case.poll(A, 1), range(5, 10));
    case.process(A, 2);
    case.run(ms(1_000));
    assert_eq!(case.committed(), at(5));
    assert_eq!(case.crash_and_succeed(), range(5, 20));
}

#[test]
fn s01b_handoff_crash_classic() {
    let hand_off = LoopStep::HandOff { workers: 1, work: ms(60_000) };
    let steps = vec![LoopStep::POLL, hand_off, LoopStep::Pause(ms(500))];
    let mut case = Case::new(1, vec![(config(true), steps), successor()]);
    case.produce(20);
    case.wait(|case| !case.committed().is_empty());
    assert_eq!((case.committed(), case.processed(A)), (at(5), vec![]));
    assert_eq!(case.crash_and_succeed(), range(5, 20), "m0 to m4 are lost");
}

#[test]
fn s01c_interval_not_elapsed_classic() {
    let slow = ConsumerConfig { auto_commit_interval: ms(60_000), ..config(true) };
    let mut case = by_hand_and_successor(slow);
    for _ in 0..3 {
        case.poll(A, 1);
        case.process(A, 5);
    }
    assert_eq!((case.processed(A), case.committed()), (range(0, 15), none()));
    assert_eq!(case.crash_and_succeed(), range(0, 20));
}

#[test]
fn s01d_close_unprocessed_classic_and_s01d2_close_manual_classic() {
    for (auto_commit, committed, rest) in [(true, at(5), 5), (false, none(), 0)] {
        let slow = ConsumerConfig { auto_commit_interval: ms(60_000), ..config(auto_commit) };
        let mut case = by_hand_and_successor(slow);
        case.poll(A, 1);
        case.process(A, 2);
        assert_eq!(case.committed(), none());
        case.close(A);
        assert_eq!(case.committed(), committed);
        let before = case.simulation.now();
        assert_eq!(case.succeed(), range(rest, 20));
        let took = case.simulation.now().since(before);
        assert!(took < ms(1_000), "A has left, nobody waits for its session: {took}");
    }
}

#[test]
fn s01e_rebalance_classic() {
    let slow = ConsumerConfig { auto_commit_interval: ms(60_000), ..config(true) };
    let hand_off = LoopStep::HandOff { workers: 1, work: ms(60_000) };
    let mut case = Case::new(2, vec![(slow, vec![LoopStep::POLL, hand_off]), successor()]);
    case.produce(5);
    case.wait(|case| case.simulation.consumer(A).unprocessed().len() == 2);
    assert_eq!(case.committed(), none());
    case.fault(B, FaultKind::Start);
    case.wait(|case| case.owned(A) == 1 && case.owned(B) == 1);
    assert_eq!(case.committed(), BTreeMap::from([(0, 5), (1, 5)]), "also what A keeps");
    assert_eq!(case.callbacks(A), ["assigned(2)", "revoked(2)", "assigned(1)"]);
    case.fault(A, FaultKind::Kill);
    case.wait(|case| case.owned(B) == 2);
    case.run(ms(1_000));
    assert_eq!(case.processed(B), range(0, 0), "all ten are lost");
}

#[test]
fn s02a_commit_before_classic() {
    let mut case = by_hand_and_successor(config(false));
    case.poll(A, 1);
    assert_eq!(case.commit(A, true, None), None);
    case.process(A, 2);
    assert_eq!(case.committed(), at(5));
    assert_eq!(case.crash_and_succeed(), range(5, 20));
}

#[test]
fn s02b_process_then_commit_classic_and_s02e_commit_sync_noargs_classic() {
    for (commits, committed, rest) in [(false, none(), 0), (true, at(3), 3)] {
        let three = ConsumerConfig { max_poll_records: 3, ..config(false) };
        let mut case = Case::new(1, vec![(three, vec![]), successor()]);
        case.produce(9);
        assert_eq!(case.poll(A, 1), range(0, 3));
        case.process(A, 2);
        if commits {
            case.commit(A, true, None);
        }
        assert_eq!(case.committed(), committed);
        assert_eq!(case.crash_and_succeed(), range(rest, 9));
    }
}

#[test]
fn s02c_async_order_classic() {
    let mut case = by_hand_and_successor(config(false));
    case.poll(A, 1);
    case.commit(A, false, Some(5));
    case.commit(A, false, Some(3));
    case.run(ms(100));
    assert_eq!(case.committed(), at(3));
    assert_eq!(case.commit(A, true, Some(1_000)), None);
    assert_eq!(case.committed(), at(1_000));
    assert_eq!(case.commit(A, true, Some(-1)), Some(Exception::IllegalArgument));
    case.close(A);
    assert_eq!(case.succeed()[0], 0, "out of range, so auto.offset.reset decides");
}

#[test]
fn s04_max_poll_range() {
    let impatient = ConsumerConfig { max_poll_interval: ms(2_000), ..config(false) };
    let mut case = Case::new(2, vec![(impatient, vec![]), successor()]);
    case.produce(5);
    assert_eq!(case.poll(A, 10).len(), 10);
    case.fault(B, FaultKind::Start);
    case.wait(|case| case.owned(B) == 2);
    case.process(A, 5);
    assert_eq!(case.commit(A, true, None), Some(Exception::CommitFailed));
    assert_eq!(case.callbacks(A), ["assigned(2)"], "not before the next poll");
    case.call(A, HandCall::Poll { timeout: ms(1_000), records: 0, within: None });
    assert_eq!(case.callbacks(A)[..2], ["assigned(2)", "lost(2)"]);
}

#[test]
fn s04_timeline_range() {
    let (config, steps) = successor();
    let member = || (config.clone(), steps.clone());
    let mut case = Case::new(6, vec![member(), member(), member(), member()]);
    case.wait(|case| case.owned(A) == 6);
    case.fault(B, FaultKind::Start);
    case.wait(|case| case.owned(A) == 3 && case.owned(B) == 3);
    assert_eq!(case.callbacks(A), ["assigned(6)", "revoked(6)", "assigned(3)"]);
    case.fault(C, FaultKind::Start);
    case.wait(|case| [A, B, C].iter().all(|c| case.owned(*c) == 2));
    assert_eq!(case.callbacks(A)[3..], ["revoked(3)", "assigned(2)"]);
    assert_eq!(case.callbacks(B), ["assigned(3)", "revoked(3)", "assigned(2)"]);
    case.fault(C, FaultKind::Stop);
    case.wait(|case| case.owned(A) == 3 && case.owned(B) == 3);
    assert_eq!(case.callbacks(A)[5..], ["revoked(2)", "assigned(3)"]);
    assert_eq!(case.callbacks(C), ["assigned(2)", "revoked(2)"]);
    case.fault(B, FaultKind::Kill);
    let killed = case.simulation.now();
    case.wait(|case| case.owned(A) == 6);
    let took = case.simulation.now().since(killed);
    assert!((ms(2_500)..ms(4_500)).contains(&took), "about a session time-out: {took}");
}

#[test]
fn s04_stuck_member_range() {
    let patient = ConsumerConfig { max_poll_interval: ms(60_000), ..config(false) };
    let looping = successor().1;
    let member = |steps: &[LoopStep]| (patient.clone(), steps.to_vec());
    let mut case = Case::new(4, vec![member(&[]), member(&looping), member(&looping)]);
    case.poll(A, 0);
    case.fault(B, FaultKind::Start);
    while case.owned(A) != 2 || case.owned(B) != 2 {
        case.poll(A, 0);
    }
    case.fault(C, FaultKind::Start);
    case.run(ms(2_000));
    case.produce(5);
    case.run(ms(4_000));
    assert_eq!((case.processed(B), case.processed(C)), (vec![], vec![]), "the world stands still");
    assert_eq!((case.owned(C), case.callbacks(B).last().unwrap().as_str()), (0, "revoked(2)"));
    let mut polled = 0;
    while polled + case.processed(B).len() + case.processed(C).len() < 20 {
        polled += case.poll(A, 0).len();
    }
    let mut sizes = [A, B, C].map(|c| case.owned(c));
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1, 2]);
}

/// Members that all list these assignors, in this order.
fn members(count: usize, assignors: &[AssignorName]) -> Vec<(ConsumerConfig, Vec<LoopStep>)> {
    let (config, steps) = successor();
    let add = |all: Assignors, name: &AssignorName| all.and(*name).expect("each once");
    let assignors = assignors.iter().fold(Assignors::default(), add);
    vec![(ConsumerConfig { assignors, ..config }, steps); count]
}

/// Six partitions; B joins A, C joins both, and B leaves.
fn join_join_leave(assignors: &[AssignorName]) -> [[Vec<u32>; 3]; 3] {
    let mut case = Case::new(6, members(3, assignors));
    let mut seen = [const { [const { Vec::new() }; 3] }; 3];
    let moves = [(B, FaultKind::Start, 3), (C, FaultKind::Start, 2), (B, FaultKind::Stop, 3)];
    case.wait(|case| case.owned(A) == 6);
    for (at, (who, fault, size)) in moves.into_iter().enumerate() {
        case.fault(who, fault);
        case.wait(|case| {
            let sizes = [A, B, C].map(|c| case.owned(c));
            sizes.iter().sum::<usize>() == 6 && sizes.iter().all(|n| *n == 0 || *n == size)
        });
        seen[at] = [A, B, C].map(|c| case.partitions_of(c));
    }
    seen
}

#[test]
fn sticky_members_keep_what_they_may_and_range_and_round_robin_shuffle() {
    use AssignorName::{CooperativeSticky, Range, RoundRobin, Sticky};
    let sticky = join_join_leave(&[Sticky]);
    for (before, after) in sticky[0].iter().zip(&sticky[1]).take(2) {
        assert!(after.iter().all(|p| before.contains(p)), "{before:?} gives up only {after:?}");
    }
    for (before, after) in sticky[1].iter().zip(&sticky[2]).filter(|(_, after)| !after.is_empty()) {
        assert!(before.iter().all(|p| after.contains(p)), "{before:?} is kept in {after:?}");
    }
    let range = join_join_leave(&[Range, CooperativeSticky]);
    assert_eq!(range, join_join_leave(&[Range]), "the default is range");
    assert_eq!(range[1], [vec![0, 1], vec![2, 3], vec![4, 5]]);
    assert_eq!(range[2], [vec![0, 1, 2], vec![], vec![3, 4, 5]]);
    let round_robin = join_join_leave(&[RoundRobin, Range]);
    assert_eq!(round_robin[1], [vec![0, 3], vec![1, 4], vec![2, 5]]);
    assert_eq!(round_robin[2], [vec![0, 2, 4], vec![], vec![1, 3, 5]]);
}

/// The rows of one topic. Who owns what is not the same in two runs there, how many each owns is.
#[test]
fn s03_grid_sticky() {
    for (partitions, sizes) in [
        (1, &[1, 0][..]),
        (1, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (2, &[1, 1, 0]),
        (3, &[2, 1]),
        (3, &[1, 1, 1, 0, 0]),
        (5, &[2, 2, 1]),
        (6, &[2, 2, 1, 1]),
        (6, &[1, 1, 1, 1, 1, 1]),
        (10, &[3, 3, 2, 2]),
        (12, &[3, 3, 2, 2, 2]),
    ] {
        let mut case = Case::new(partitions, members(sizes.len(), &[AssignorName::Sticky]));
        let all = 0..sizes.len() as u16;
        for member in all.clone().skip(1) {
            case.fault(member, FaultKind::Start);
        }
        case.run(ms(5_000));
        let mut owned: Vec<usize> = all.map(|member| case.owned(member)).collect();
        owned.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(owned, sizes, "{partitions} partitions");
    }
}

#[test]
fn a_member_that_shares_no_assignor_with_its_group_cannot_join() {
    let mut both = members(1, &[AssignorName::Range]);
    both.extend(members(1, &[AssignorName::Sticky]));
    let mut case = Case::new(2, both);
    case.wait(|case| case.owned(A) == 2);
    case.fault(B, FaultKind::Start);
    case.run(ms(2_000));
    assert_eq!((case.owned(A), case.owned(B)), (2, 0));
    let threw = Exception::Wire(ErrorCode::InconsistentGroupProtocol);
    assert_eq!(threw.name(), "InconsistentGroupProtocolException");
    assert!(case.threw(B, threw));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = || {
        let mut case = by_hand_and_successor(config(true));
        case.poll(A, 1);
        case.run(ms(500));
        case.poll(A, 1);
        case.crash_and_succeed();
        (case.simulation.trace().hash(), case.simulation.fingerprint(), case.simulation.now())
    };
    let (first, second) = (story(), story());
    assert!(first.2 > Time::ZERO);
    assert_eq!(first, second);
}
