//! A coordinator with a broker and a clock around it: records are replicated when the test says so, and every answer
//! and event becomes a line.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::batch::Subscribed;
use crate::base::broker_set::ReplicaList;
use crate::base::chooser::Chooser;
use crate::base::config::{AssignorName, Assignors, ClusterConfig};
use crate::base::error::ErrorCode;
use crate::base::ids::{
    BatchHandle, BrokerId, Generation, GroupId, InstanceId, LeaderEpoch, MemberId, NodeId, Offset,
    PartitionId, TopicId,
};
use crate::base::names::{Client, Names, Partition, Topic};
use crate::base::time::{Duration, Time};
use crate::event::{EventKind, GroupState};
use crate::kafka::api::{HeartbeatField, MemberPartition, Message, PartitionOffset};
use crate::kafka::effects::{Effect, Effects, Timer, Token};
use crate::kafka::group::classic::ClassicGroup;
use crate::kafka::group::coordinator::{CoordinatorAppend, GroupCoordinator};
use crate::kafka::group::kind::Group;

pub(super) const GROUP: GroupId = GroupId(0);
/// `__consumer_offsets-9`, where the group lives; 0 and 1 are `orders-0` and `orders-1`.
pub(super) const HOME: PartitionId = PartitionId(2);
/// Ids of the consumers A, B and C when each has joined first, in this order.
pub(super) const A: MemberId = MemberId(1 << 16 | 1);
pub(super) const B: MemberId = MemberId(2 << 16 | 2);
pub(super) const C: MemberId = MemberId(3 << 16 | 3);

fn names() -> Names {
    let topic = |name: &str, partitions: &[u16], internal| Topic {
        name: name.into(),
        partitions: partitions.iter().map(|p| PartitionId(*p)).collect(),
        internal,
        partition_count: 50,
    };
    let partition = |topic, index| Partition {
        topic: TopicId(topic),
        index,
        replicas: ReplicaList::new(&[BrokerId(1), BrokerId(2)]),
    };
    let consumer = |name: &str, rank| Client { name: name.into(), group: Some(GROUP), rank };
    Names {
        brokers: 2,
        topics: vec![topic("orders", &[0, 1], false), topic("__consumer_offsets", &[2], true)],
        partitions: vec![partition(0, 0), partition(0, 1), partition(1, 9)],
        consumers: vec![consumer("a", 1), consumer("b", 2), consumer("c", 3)],
        groups: vec!["billing".into()],
        instances: vec!["ia".into(), "ib".into()],
        group_partitions: vec![HOME],
        ..Names::default()
    }
}

pub(super) struct Rig {
    pub(super) coordinator: GroupCoordinator,
    pub(super) fx: Effects,
    pub(super) now: Time,
    /// The partition's log, appended at once.
    pub(super) log: Vec<(Offset, BatchHandle)>,
    /// What is not replicated yet.
    pub(super) unreplicated: Vec<CoordinatorAppend>,
    pub(super) timers: BTreeMap<Timer, Time>,
    /// What happened since it was last looked at, a line each.
    pub(super) said: Vec<String>,
    /// The instance ids of the consumers that are static.
    pub(super) instances: BTreeMap<u16, InstanceId>,
    correlation: u32,
}

impl Rig {
    pub(super) fn new() -> Self {
        let config = Arc::new(ClusterConfig::default());
        let fx = Effects::new(Arc::new(names()), Chooser::seeded(1));
        let mut rig = Self {
            coordinator: GroupCoordinator::new(BrokerId(1), config),
            fx,
            now: Time::ZERO,
            log: Vec::new(),
            unreplicated: Vec::new(),
            timers: BTreeMap::new(),
            said: Vec::new(),
            instances: BTreeMap::new(),
            correlation: 0,
        };
        rig.elect();
        rig.said.clear();
        rig
    }

    /// A rig whose group is stable with `a` (the leader, of `orders-0`) and `b` (of `orders-1`) in generation 1.
    pub(super) fn stable() -> Self {
        let mut rig = Self::new();
        rig.join_first(0);
        rig.join_first(1);
        rig.join(0, A);
        rig.join(1, B);
        rig.settle_first()
    }

    /// The same with static members.
    pub(super) fn stable_and_static() -> Self {
        let mut rig = Self::new();
        rig.instances = BTreeMap::from([(0, InstanceId(0)), (1, InstanceId(1))]);
        rig.join_first(0);
        rig.join_first(1);
        rig.settle_first()
    }

    fn settle_first(self) -> Self {
        let mut rig = self;
        rig.pass(6_000);
        rig.sync(1, B, 1, &[]);
        rig.sync(0, A, 1, &[(A, 0), (B, 1)]);
        rig.replicate();
        rig.said.clear();
        rig
    }

    pub(super) fn elect(&mut self) {
        let log = self.log.clone().into_iter();
        self.coordinator.elected(self.now, HOME, LeaderEpoch(1), log, &mut self.fx);
        self.settle(Vec::new());
    }

    /// The other broker takes over, with the log and nothing else.
    pub(super) fn fail_over(&mut self) {
        self.coordinator.resigned(self.now, HOME, &mut self.fx);
        self.settle(Vec::new());
        let config = Arc::new(ClusterConfig::default());
        self.coordinator = GroupCoordinator::new(BrokerId(2), config);
        self.unreplicated.clear();
        self.elect();
    }

    pub(super) fn send(&mut self, consumer: u16, message: Message) {
        self.correlation += 1;
        let from = NodeId::Consumer(consumer);
        let token = Token { from, correlation: self.correlation, connection: 0 };
        let mut appends = Vec::new();
        self.coordinator.handle(self.now, token, message, &mut self.fx, &mut appends);
        self.settle(appends);
    }

    /// A heartbeat of the consumer protocol.
    pub(super) fn beat(
        &mut self,
        consumer: u16,
        (member, epoch): (MemberId, i32),
        says: &[HeartbeatField],
    ) {
        let says = self.fx.keep(says);
        self.send(consumer, Message::ConsumerGroupHeartbeat { group: GROUP, member, epoch, says });
    }

    pub(super) fn join(&mut self, consumer: u16, member: MemberId) {
        self.join_with(consumer, member, 10_000);
    }

    pub(super) fn join_first(&mut self, consumer: u16) {
        self.join(consumer, MemberId::UNKNOWN);
    }

    pub(super) fn join_with(&mut self, consumer: u16, member: MemberId, session_timeout_ms: u32) {
        let protocols = Assignors::only(AssignorName::Range);
        self.join_knowing(consumer, member, session_timeout_ms, protocols);
    }

    pub(super) fn join_knowing(
        &mut self,
        consumer: u16,
        member: MemberId,
        session_timeout_ms: u32,
        protocols: Assignors,
    ) {
        let says = [Subscribed::Topic(TopicId(0))];
        self.join_saying(consumer, member, (session_timeout_ms, protocols), &says);
    }

    pub(super) fn join_saying(
        &mut self,
        consumer: u16,
        member: MemberId,
        (session_timeout_ms, protocols): (u32, Assignors),
        says: &[Subscribed],
    ) {
        let subscription = self.fx.keep(says);
        let (group, rebalance_timeout_ms) = (GROUP, 60_000);
        self.send(
            consumer,
            Message::JoinGroup {
                group,
                member,
                instance: self.instances.get(&consumer).copied(),
                session_timeout_ms,
                rebalance_timeout_ms,
                protocols,
                subscription,
            },
        );
    }

    pub(super) fn sync(
        &mut self,
        consumer: u16,
        member: MemberId,
        generation: i32,
        rows: &[(MemberId, u16)],
    ) {
        let row = |(member, p): &(MemberId, u16)| MemberPartition {
            member: *member,
            partition: PartitionId(*p),
        };
        let rows: Vec<MemberPartition> = rows.iter().map(row).collect();
        let assignment = self.fx.keep(&rows);
        let generation = Generation(generation);
        let (group, instance) = (GROUP, self.instances.get(&consumer).copied());
        self.send(consumer, Message::SyncGroup { group, member, instance, generation, assignment });
    }

    pub(super) fn heartbeat(&mut self, consumer: u16, member: MemberId, generation: i32) {
        let generation = Generation(generation);
        let (group, instance) = (GROUP, self.instances.get(&consumer).copied());
        self.send(consumer, Message::Heartbeat { group, member, instance, generation });
    }

    pub(super) fn leave(&mut self, consumer: u16, member: MemberId) {
        self.send(consumer, Message::LeaveGroup { group: GROUP, member, poll_timeout: false });
    }

    pub(super) fn commit(&mut self, consumer: u16, member: MemberId, generation: i32, offset: i64) {
        let row = PartitionOffset { partition: PartitionId(0), offset: Offset(offset) };
        let offsets = self.fx.keep(&[row]);
        let generation = Generation(generation);
        let (group, instance) = (GROUP, self.instances.get(&consumer).copied());
        self.send(consumer, Message::OffsetCommit { group, member, instance, generation, offsets });
    }

    pub(super) fn fetch(&mut self, consumer: u16) {
        self.fetch_as(consumer, (MemberId::UNKNOWN, -1));
    }

    pub(super) fn fetch_as(&mut self, consumer: u16, (member, epoch): (MemberId, i32)) {
        let partitions = self.fx.keep(&[PartitionId(0)]);
        self.send(consumer, Message::OffsetFetch { group: GROUP, member, epoch, partitions });
    }

    /// Everything written so far passes the high watermark.
    pub(super) fn replicate(&mut self) {
        for append in std::mem::take(&mut self.unreplicated) {
            self.finish(append, Ok(Offset(0)));
        }
    }

    pub(super) fn finish(&mut self, append: CoordinatorAppend, result: Result<Offset, ErrorCode>) {
        self.coordinator.committed(self.now, append.ticket, result, &mut self.fx);
        self.settle(Vec::new());
    }

    /// Lets `millis` pass; timers run out on the way.
    pub(super) fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some((timer, at)) = self
            .timers
            .iter()
            .map(|(timer, at)| (*timer, *at))
            .min_by_key(|(_, at)| *at)
            .filter(|(_, at)| *at <= end)
        {
            self.timers.remove(&timer);
            self.now = self.now.max(at);
            let mut appends = Vec::new();
            self.coordinator.timeout(self.now, timer, &mut self.fx, &mut appends);
            self.settle(appends);
        }
        self.now = end;
    }

    pub(super) fn settle(&mut self, appends: Vec<CoordinatorAppend>) {
        for append in appends {
            self.log.push((Offset(self.log.len() as i64), append.batch));
            self.unreplicated.push(append);
        }
        for effect in std::mem::take(&mut self.fx.list) {
            match effect {
                Effect::SetTimer(timer, at) => {
                    self.timers.insert(timer, at);
                }
                Effect::CancelTimer(timer) => {
                    self.timers.remove(&timer);
                }
                Effect::Reply { token, message } => {
                    let NodeId::Consumer(n) = token.from else {
                        unreachable!("only consumers ask")
                    };
                    let line = self.reply(message);
                    self.said
                        .push(format!("{}: {line}", self.fx.names.consumers[usize::from(n)].name));
                }
                Effect::Event(kind) => self.said.push(event(kind)),
                other => panic!("a coordinator does not {other:?}"),
            }
        }
    }

    pub(super) fn reply(&self, message: Message) -> String {
        match message {
            Message::JoinGroupResponse {
                error: ErrorCode::None,
                generation,
                leader,
                skip_assignment,
                members,
                ..
            } => {
                let mut members: Vec<String> =
                    self.fx.pools.get(members).iter().map(|m| member(m.member)).collect();
                members.dedup();
                let (leader, members) = (member(leader), members.join(" "));
                let skip = if skip_assignment { ", nothing to assign" } else { "" };
                format!("joined {generation} under {leader} [{members}]{skip}")
            }
            Message::JoinGroupResponse { error, member: id, .. } => {
                format!("{} as {}", error.name(), member(id))
            }
            Message::SyncGroupResponse { error: ErrorCode::None, assignment } => {
                let own = self.fx.pools.get(assignment).iter();
                let own: Vec<String> = own.map(|p| self.fx.names.partition(*p)).collect();
                format!("synced [{}]", own.join(" "))
            }
            Message::OffsetFetchResponse { error: ErrorCode::None, offsets } => {
                let offsets = self.fx.pools.get(offsets).iter();
                let offsets: Vec<String> = offsets.map(|o| o.offset.to_string()).collect();
                format!("fetched {}", offsets.join(" "))
            }
            Message::ConsumerGroupHeartbeatResponse {
                error: ErrorCode::None,
                epoch,
                assignment,
                ..
            } => {
                let Some(own) = assignment else { return format!("epoch {epoch}") };
                let own = self.fx.pools.get(own).iter();
                let own: Vec<String> = own.map(|p| p.0.to_string()).collect();
                format!("epoch {epoch} [{}]", own.join(" "))
            }
            Message::SyncGroupResponse { error, .. }
            | Message::ConsumerGroupHeartbeatResponse { error, .. }
            | Message::HeartbeatResponse { error }
            | Message::LeaveGroupResponse { error }
            | Message::OffsetCommitResponse { error }
            | Message::OffsetFetchResponse { error, .. } => error.name().to_owned(),
            other => panic!("not an answer of a coordinator: {other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn expect(&mut self, lines: &[&str]) {
        assert_eq!(std::mem::take(&mut self.said), lines);
    }

    pub(super) fn group(&self) -> &ClassicGroup {
        self.coordinator.group(GROUP).and_then(Group::classic).expect("a classic group")
    }

    pub(super) fn state(&self) -> GroupState {
        self.group().state()
    }
}

/// `b2` for the second id given, to the consumer of rank 2.
fn member(id: MemberId) -> String {
    match id {
        MemberId::UNKNOWN => "nobody".into(),
        MemberId(n) => format!("{}{}", ["?", "a", "b", "c"][(n >> 16) as usize], n & 0xffff),
    }
}

fn event(kind: EventKind) -> String {
    match kind {
        EventKind::GroupChanged { state, generation, .. } => {
            format!("{} {generation}", state.name())
        }
        EventKind::MemberJoined { member: id, leader: true, .. } => {
            format!("+{} leads", member(id))
        }
        EventKind::MemberJoined { member: id, .. } => format!("+{}", member(id)),
        EventKind::MemberLeft { member: id, reason, .. } => format!("-{} {reason:?}", member(id)),
        EventKind::MemberAssigned { member: id, partition, .. } => {
            format!("{} owns {}", member(id), partition.0)
        }
        EventKind::ConsumerGroupChanged { state, epoch, .. } => {
            format!("{} {epoch}", state.name())
        }
        EventKind::TargetComputed { epoch, .. } => format!("target {epoch}"),
        EventKind::MemberTarget { member: id, partition, .. } => {
            format!("{} is to own {}", member(id), partition.0)
        }
        EventKind::MemberEpoch { member: id, epoch, state, .. } => {
            format!("{} in {epoch} {}", member(id), state.name())
        }
        EventKind::MemberReleased { member: id, partition, .. } => {
            format!("{} released {}", member(id), partition.0)
        }
        EventKind::OffsetCommitted { partition, offset, .. } => {
            format!("{} committed at {offset}", partition.0)
        }
        EventKind::CoordinatorLoaded { .. } => "loaded".into(),
        other => panic!("a coordinator does not say {other:?}"),
    }
}
