//! Small worlds for random schedules of groups, all drawn from a seed: what the group is like, and what happens to it.

use std::sync::Arc;

use highwater::app::{CommitMode, LoopStep, OnRevoked, Subscription};
use highwater::base::broker_set::ReplicaList;
use highwater::base::chooser::{ChoicePoint, Chooser};
use highwater::base::config::{
    AssignorName, Assignors, BrokerConfig, ClusterConfig, ConsumerConfig, ConsumerGroupConfig,
    Defect, GroupProtocol, OffsetReset, ProducerConfig, RemoteAssignor, TopicConfig,
};
use highwater::base::ids::{BrokerId, GroupId, NodeId, PartitionId, TopicId};
use highwater::base::names::{Client, Names, Partition, Topic};
use highwater::base::time::Duration;
use highwater::event::{Api, FaultKind};
use highwater::sim::{Command, ConsumerSpec, NetworkConfig, Sink, WireAction, WireRule, WorldSpec};

/// How the members of a group agree on who reads what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// The classic protocol: everybody gives everything up, one assigns anew.
    Eager(AssignorName),
    /// What a consumer does that says nothing: range, and cooperative-sticky once all can.
    Default,
    /// The classic protocol in rounds (KIP-429).
    Cooperative,
    /// The consumer protocol (KIP-848).
    Consumer(Option<RemoteAssignor>),
}

impl Manner {
    /// The protocol of the group.
    pub(crate) fn protocol(self) -> GroupProtocol {
        match self {
            Self::Consumer(_) => GroupProtocol::Consumer,
            _ => GroupProtocol::Classic,
        }
    }
}

/// A world, and what it is made of.
#[derive(Debug)]
pub(crate) struct GroupWorld {
    /// How its group agrees.
    pub(crate) manner: Manner,
    /// The topics each member subscribes to.
    pub(crate) topics: Vec<Vec<TopicId>>,
    /// Members whose calls the test makes, and may make late.
    pub(crate) by_hand: Vec<u16>,
    /// They let `poll()` commit.
    pub(crate) auto_commit: bool,
    /// All the simulator needs.
    pub(crate) spec: Arc<WorldSpec>,
}

/// The one group.
pub(crate) const GROUP: GroupId = GroupId(0);
/// `session.timeout.ms`, of both protocols.
pub(crate) const SESSION: Duration = Duration::from_secs(4);
/// `max.poll.interval.ms`.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// `request.timeout.ms`.
pub(crate) const REQUEST: Duration = Duration::from_secs(4);
/// `default.api.timeout.ms`.
pub(crate) const CALL: Duration = Duration::from_secs(6);
/// `broker.session.timeout.ms`.
pub(crate) const BROKER_SESSION: Duration = Duration::from_secs(3);
/// The longest a message is held up, or the hand of a member rests.
pub(crate) const LATE: Duration = Duration::from_secs(8);

const BROKERS: u8 = 2;
const HEARTBEAT: Duration = Duration::from_secs(1);

struct Draw<'a> {
    luck: &'a mut Chooser,
}

impl Draw<'_> {
    fn below(&mut self, n: u64) -> u64 {
        self.luck.below(ChoicePoint::Fault, n)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn span(&mut self, least: Duration, most: Duration) -> Duration {
        Duration(self.luck.between(ChoicePoint::Fault, least.0, most.0))
    }
}

impl GroupWorld {
    /// The world of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut luck = Chooser::seeded(seed ^ 0x6709);
        let mut draw = Draw { luck: &mut luck };
        let manner = manner(&mut draw);
        let members = 2 + draw.below(3) as u16;
        let statics = match draw.below(4) {
            0 => members,
            1 => 1 + draw.below(u64::from(members)) as u16,
            _ => 0,
        };
        // Two processes with one instance id: the later one fences the other.
        let twins = statics > 1 && draw.one_in(4);
        let instance = |n: u16| match n {
            1 if twins => "i0".to_owned(),
            n if n < statics => format!("i{n}"),
            _ => String::new(),
        };
        let instances: Vec<String> = (0..members).map(instance).collect();
        let (mut names, partitions) = stage(&mut draw);
        let all: Vec<TopicId> = (0..partitions.len()).map(|n| TopicId(n as u16)).collect();
        let mixed = draw.one_in(4);
        let mut topics: Vec<Vec<TopicId>> =
            (0..members).map(|n| subscription(&mut draw, &all, mixed && n > 0)).collect();
        if twins {
            // Else the coordinator gives the second what the first subscribed to, again and again.
            let first = topics[0].clone();
            topics[1] = first;
        }
        cast(&mut names, &instances);
        let auto_commit = draw.one_in(2);
        let by_hand: Vec<u16> = (0..members).filter(|_| draw.one_in(3)).collect();
        let application = application(&mut draw, auto_commit);
        let rebootstrap = draw.one_in(2);
        let rhythm = draw.of(&[200, 1_000]);
        let consumers = instances.iter().zip(&topics).enumerate().map(|(n, (instance, topics))| {
            let mut member = application.clone();
            member.subscription = Subscription::Topics(topics.clone());
            if by_hand.contains(&(n as u16)) {
                member.steps.clear();
            }
            member.config.group_instance_id.clone_from(instance);
            member.config.auto_commit_interval = Duration::from_millis(rhythm);
            member.config.rebootstrap = rebootstrap;
            speak(manner, &mut member.config);
            member
        });
        let spec = WorldSpec {
            config: Arc::new(cluster(names.topics.len())),
            producers: vec![ProducerConfig::default()],
            by_script: Vec::new(),
            consumers: consumers.collect(),
            names: Arc::new(names),
            network: NetworkConfig::default(),
            seed,
            sink: Sink::Recording,
            defect: Defect::None,
        };
        Self { manner, topics, by_hand, auto_commit, spec: Arc::new(spec) }
    }

    /// Every partition that one of these members subscribes to.
    pub(crate) fn wanted(&self, members: impl Iterator<Item = u16>) -> Vec<PartitionId> {
        let topics = members.flat_map(|n| &self.topics[usize::from(n)]);
        let partitions = topics.flat_map(|topic| self.spec.names.existing(*topic));
        let mut partitions: Vec<PartitionId> = partitions.copied().collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions
    }
}

fn manner(draw: &mut Draw<'_>) -> Manner {
    use AssignorName::{CooperativeSticky, Range, RoundRobin, Sticky};
    match draw.below(9) {
        0 => Manner::Eager(Range),
        1 => Manner::Eager(RoundRobin),
        2 => Manner::Eager(Sticky),
        3 => Manner::Default,
        4 | 5 => Manner::Cooperative,
        6 => Manner::Consumer(Some(RemoteAssignor::Range)),
        7 => Manner::Consumer(Some(RemoteAssignor::Uniform)),
        _ if draw.one_in(2) => Manner::Consumer(None),
        _ => Manner::Eager(CooperativeSticky),
    }
}

fn speak(manner: Manner, config: &mut ConsumerConfig) {
    let only = Assignors::only;
    match manner {
        // Whoever lists one that is eager is eager.
        Manner::Eager(AssignorName::CooperativeSticky) => {
            let both = only(AssignorName::CooperativeSticky).and(AssignorName::Range);
            config.assignors = both.expect("two that differ");
        }
        Manner::Eager(assignor) => config.assignors = only(assignor),
        Manner::Default => {}
        Manner::Cooperative => config.assignors = only(AssignorName::CooperativeSticky),
        Manner::Consumer(assignor) => config.remote_assignor = assignor,
    }
    config.group_protocol = manner.protocol();
}

/// Brokers, one to three topics of one to three partitions, and the partition the group's offsets are in. Returns the
/// partitions by topic too.
fn stage(draw: &mut Draw<'_>) -> (Names, Vec<Vec<PartitionId>>) {
    let mut names = Names { controllers: 1, brokers: BROKERS, ..Names::default() };
    let mut by_topic = Vec::new();
    for n in 0..=draw.below(3) {
        let count = 1 + draw.below(3) as u32;
        let first = names.partitions.len() as u16;
        let ids: Vec<PartitionId> = (first..first + count as u16).map(PartitionId).collect();
        for index in 0..count {
            let home = BrokerId(1 + ((index + n as u32) % u32::from(BROKERS)) as u8);
            let replicas = ReplicaList::new(&[home]);
            names.partitions.push(Partition { topic: TopicId(n as u16), index, replicas });
        }
        names.topics.push(topic(format!("t{n}"), ids.clone(), false));
        by_topic.push(ids);
    }
    let home = PartitionId(names.partitions.len() as u16);
    let replicas = ReplicaList::new(&draw.of(&[[1, 2], [2, 1]]).map(BrokerId));
    let offsets = TopicId(names.topics.len() as u16);
    names.partitions.push(Partition { topic: offsets, index: 0, replicas });
    names.topics.push(topic("__consumer_offsets".to_owned(), vec![home], true));
    names.group_partitions = vec![home];
    names.groups = vec!["billing".to_owned()];
    names.producers = vec![Client { name: "checkout".to_owned(), group: None, rank: 0 }];
    (names, by_topic)
}

fn topic(name: String, partitions: Vec<PartitionId>, internal: bool) -> Topic {
    let partition_count = partitions.len() as u32;
    Topic { name, partitions, internal, partition_count }
}

fn cast(names: &mut Names, instances: &[String]) {
    for n in 0..instances.len() {
        let rank = n as u16 + 1;
        names.consumers.push(Client { name: format!("c{rank}"), group: Some(GROUP), rank });
    }
    names.instances = instances.iter().filter(|id| !id.is_empty()).cloned().collect();
    names.instances.sort_unstable();
    names.instances.dedup();
}

fn subscription(draw: &mut Draw<'_>, all: &[TopicId], some: bool) -> Vec<TopicId> {
    let mut topics: Vec<TopicId> = all.to_vec();
    if some {
        topics.retain(|_| draw.one_in(2));
    }
    if topics.is_empty() { vec![all[0]] } else { topics }
}

fn application(draw: &mut Draw<'_>, auto_commit: bool) -> ConsumerSpec {
    let commit = draw.of(&[CommitMode::Sync, CommitMode::Async]);
    let work = LoopStep::Work(Duration::from_millis(draw.of(&[1, 40])));
    let mut steps = vec![LoopStep::POLL, work];
    if !auto_commit {
        steps.push(LoopStep::Commit(commit));
    }
    ConsumerSpec {
        config: ConsumerConfig {
            enable_auto_commit: auto_commit,
            auto_offset_reset: OffsetReset::Earliest,
            session_timeout: SESSION,
            heartbeat_interval: HEARTBEAT,
            max_poll_interval: POLL_INTERVAL,
            max_poll_records: draw.of(&[1, 5, 500]),
            request_timeout: REQUEST,
            default_api_timeout: CALL,
            reconnect_backoff_max: Duration::from_millis(500),
            ..ConsumerConfig::default()
        },
        group: Some(GROUP),
        subscription: Subscription::Topics(Vec::new()),
        on_revoked: draw.one_in(4).then_some(OnRevoked::Commit(commit)),
        refused: None,
        producer: None,
        steps,
        starts: true,
    }
}

fn cluster(topics: usize) -> ClusterConfig {
    let any = (Duration::ZERO, Duration::from_secs(60));
    let consumer_group = ConsumerGroupConfig {
        session_timeout: SESSION,
        session_timeout_bounds: any,
        heartbeat_interval: HEARTBEAT,
        heartbeat_interval_bounds: any,
        ..ConsumerGroupConfig::default()
    };
    let brokers = BrokerConfig {
        broker_session_timeout: BROKER_SESSION,
        broker_heartbeat_interval: HEARTBEAT,
        offsets_topic_partitions: 1,
        group_initial_rebalance_delay: Duration::ZERO,
        group_min_session_timeout: Duration::ZERO,
        consumer_group,
        ..BrokerConfig::default()
    };
    ClusterConfig {
        brokers,
        topics: vec![TopicConfig::default(); topics],
        ..ClusterConfig::default()
    }
}

/// Something that happens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// From outside.
    Do(Command),
    /// A member called by hand is not called for so long: its application is busy.
    Busy(u16, Duration),
}

/// Turns, each so long after the one before.
pub(crate) type Turns = Vec<(Duration, Turn)>;

/// Which kinds of turns a schedule has: leaving some out finds more than a fixed mix.
struct Mix([bool; 5]);

const MEMBERS: usize = 0;
const BUSY: usize = 1;
const BROKER_FAULTS: usize = 2;
const CUTS: usize = 3;
const MESSAGES: usize = 4;

/// What happens in a world.
pub(crate) fn turns(world: &GroupWorld) -> Turns {
    let mut luck = Chooser::seeded(world.spec.seed ^ 0x7095);
    let mut draw = Draw { luck: &mut luck };
    let mut mix = Mix([0; 5].map(|_: i32| !draw.one_in(3)));
    mix.0[MEMBERS] |= !mix.0.contains(&true);
    let count = 4 + draw.below(9);
    let turn = |n| {
        let longest = Duration(1_000 << draw.below(14));
        let gap = draw.span(Duration(500), longest);
        (gap, draw.turn(world, &mix, n as u16))
    };
    (0..count).map(turn).collect()
}

impl Draw<'_> {
    fn turn(&mut self, world: &GroupWorld, mix: &Mix, n: u16) -> Turn {
        loop {
            let kind = self.below(5) as usize;
            if !mix.0[kind] {
                continue;
            }
            return Turn::Do(match kind {
                MEMBERS => self.member_turn(world),
                BUSY if world.by_hand.is_empty() => self.member_turn(world),
                BUSY => {
                    let busy = self.of(&world.by_hand);
                    return Turn::Busy(busy, self.span(Duration::from_millis(1), LATE));
                }
                BROKER_FAULTS => self.broker_turn(),
                CUTS => self.cut(world),
                MESSAGES => self.message(world, n),
                kind => unreachable!("there is no kind {kind}"),
            });
        }
    }

    fn member(&mut self, world: &GroupWorld) -> NodeId {
        NodeId::Consumer(self.below(world.topics.len() as u64) as u16)
    }

    fn broker(&mut self) -> NodeId {
        NodeId::Broker(BrokerId(1 + self.below(u64::from(BROKERS)) as u8))
    }

    fn member_turn(&mut self, world: &GroupWorld) -> Command {
        use FaultKind::{Freeze, Kill, Start, Stop, Thaw};
        let kind = self.of(&[Start, Start, Start, Thaw, Stop, Stop, Kill, Freeze]);
        Command::Fault { node: self.member(world), kind }
    }

    fn broker_turn(&mut self) -> Command {
        use FaultKind::{Freeze, Kill, Start, Stop, Thaw};
        let kind = self.of(&[Start, Start, Thaw, Thaw, Stop, Kill, Freeze]);
        Command::Fault { node: self.broker(), kind }
    }

    fn cut(&mut self, world: &GroupWorld) -> Command {
        let side = |node| vec![node];
        let (left, right) = match self.below(5) {
            0 | 1 => return Command::HealNetwork,
            2 => (self.broker(), vec![NodeId::Controller(1)]),
            3 => (self.member(world), [1, 2].map(|n| NodeId::Broker(BrokerId(n))).to_vec()),
            _ => (self.member(world), side(self.broker())),
        };
        Command::CutOff { left: side(left), right }
    }

    /// What TCP can do to one message: lose it with its connection, or hold it up.
    fn message(&mut self, world: &GroupWorld, name: u16) -> Command {
        use Api::{
            ConsumerGroupHeartbeat, Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, OffsetFetch,
            SyncGroup,
        };
        let api = match world.manner.protocol() {
            GroupProtocol::Classic => {
                self.of(&[JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, OffsetFetch])
            }
            GroupProtocol::Consumer => {
                self.of(&[ConsumerGroupHeartbeat, OffsetCommit, OffsetFetch])
            }
        };
        let response = self.one_in(2);
        let member = self.member(world);
        let (from, to) = if response { (None, Some(member)) } else { (Some(member), None) };
        // A join of the consumer protocol that arrives when its member has long joined over another connection is taken
        // for a new one, and its answer, which nobody reads, has the assignment that the member is to be told. Kafka
        // does that (`throwIfConsumerGroupMemberEpochIsInvalid` takes epoch 0 always), and the member goes without it
        // until the next rebalance. So requests are held up for less time than a connection lasts.
        let late =
            if api == ConsumerGroupHeartbeat && !response { Duration(REQUEST.0 / 2) } else { LATE };
        let action = match self.below(2) {
            0 => WireAction::Close,
            _ => WireAction::Delay(self.span(Duration::from_millis(1), late)),
        };
        let rule = WireRule {
            api: Some(api),
            response: Some(response),
            from,
            to,
            partition: None,
            message: None,
            skip: self.below(3) as u32,
            times: 1,
            action,
        };
        Command::AddRule { name, rule }
    }
}
