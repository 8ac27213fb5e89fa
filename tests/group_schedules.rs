//! Groups in random schedules: every protocol and assignor, members that join, leave, die, freeze, or are busy beyond
//! `max.poll.interval.ms`, brokers that die and networks that break. All the while no partition has two owners in one
//! generation and nobody commits what was not handed out; when all is healed, the group comes to rest in time, with
//! every partition owned once. `cargo test --release --test group_schedules` tries 100,000 schedules.

#[path = "common/group_world.rs"]
mod group_world;
#[path = "common/seeds.rs"]
mod seeds;
#[path = "common/watch.rs"]
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater::app::HandCall;
use highwater::base::config::{Acks, Defect, GroupProtocol};
use highwater::base::group_records::MemberState;
use highwater::base::ids::{Generation, KeyId, MessageId, NodeId, Offset, PartitionId};
use highwater::base::time::{Duration, Time};
use highwater::check::{Guarantee, Judge, JudgeSetup};
use highwater::event::{EventKind, FaultKind, GroupState};
use highwater::kafka::api::PartitionOffset;
use highwater::kafka::consumer::{Consumer, ConsumerCall};
use highwater::kafka::producer::SendRequest;
use highwater::sim::schedule::heal_all;
use highwater::sim::{Command, NodeState, Simulation};
use highwater::view::cluster::group::GroupView;
use highwater::view::cluster::{ClusterView, ProcessState};

use watch::Watch;

use group_world::{
    BROKER_SESSION, CALL, GROUP, GroupWorld, LATE, Manner, POLL_INTERVAL, REQUEST, SESSION, Turn,
    Turns,
};

/// What must hold at every event.
const PROMISES: &[Guarantee] =
    &[Guarantee::OneOwner, Guarantee::CommitWithinHanded, Guarantee::CommittedKept];

/// How long healing may take at most: a message may still be held up and an application busy, a broker has to register,
/// a request that nobody answers runs out (a `JoinGroup` five seconds after the rebalance), dead members expire, and
/// two rebalances wait for whoever does not come.
fn bound() -> Duration {
    let join = POLL_INTERVAL + Duration::from_secs(5);
    [LATE, BROKER_SESSION, REQUEST, CALL, join, SESSION, POLL_INTERVAL, POLL_INTERVAL]
        .into_iter()
        .fold(Duration::ZERO, |sum, part| sum + part)
}

/// How long it has to stay at rest after that: until whoever is to expire has.
const REST: Duration = Duration::from_secs(7);
/// How often messages are sent, and how many.
const EVERY: Duration = Duration::from_millis(400);
const MESSAGES: u32 = 40;
/// More steps than a millisecond can have.
const MOST_AT_ONCE: u32 = 900;

/// What a member whose calls the test makes does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Poll,
    Process,
    Commit,
}

/// A run that is watched and driven.
struct Drive<'a> {
    world: &'a GroupWorld,
    simulation: Simulation,
    watch: Watch,
    hands: Vec<(u16, Next, Time)>,
    sent: u32,
    next_send: Time,
    turns: Turns,
    /// Steps in this millisecond.
    steps: u32,
    /// What was found; the run is over.
    wrong: Option<String>,
}

impl<'a> Drive<'a> {
    fn new(world: &'a GroupWorld, judge: Judge) -> Self {
        let hands = world.by_hand.iter().map(|n| (*n, Next::Poll, Time::ZERO)).collect();
        Self {
            simulation: Simulation::new(&world.spec),
            world,
            watch: Watch::new(judge),
            hands,
            sent: 0,
            next_send: Time::ZERO + Duration::from_secs(1),
            turns: group_world::turns(world),
            steps: 0,
            wrong: None,
        }
    }

    fn view(&self) -> &ClusterView {
        self.watch.judge.view()
    }

    fn group(&self) -> &GroupView {
        &self.view().groups[GROUP.index()]
    }

    fn seed(&self) -> u64 {
        self.world.spec.seed
    }

    /// Something is wrong. Only the first such thing counts.
    fn found(&mut self, wrong: &str) {
        let (seed, now) = (self.seed(), self.simulation.now());
        let (manner, topics) = (self.world.manner, &self.world.topics);
        let (by_hand, auto_commit) = (&self.world.by_hand, self.world.auto_commit);
        let group =
            format!("{manner:?}, by hand {by_hand:?}, auto-commit {auto_commit}, {topics:?}");
        let story = format!("{wrong}\nseed {seed} at {now}: {group}\n{:?}", self.turns);
        self.wrong.get_or_insert(story);
    }

    /// Goes on to a moment.
    fn until(&mut self, moment: Time) {
        while self.wrong.is_none() {
            self.call_members();
            let hands = self.hands.iter().filter(|(n, _, at)| self.is_idle(*n) && *at > self.now());
            let hand = hands.map(|(_, _, at)| *at).min().unwrap_or(Time::NEVER);
            let stop = moment.min(hand);
            match self.simulation.next_at().filter(|at| *at <= stop) {
                Some(at) => {
                    self.steps =
                        if at.0 / 1_000 > self.now().0 / 1_000 { 0 } else { self.steps + 1 };
                    self.simulation.step();
                    self.look();
                    if self.steps > MOST_AT_ONCE {
                        self.found("time stands still");
                    }
                }
                None => self.simulation.skip_to(stop),
            }
            if self.now() >= moment && self.simulation.next_at().is_none_or(|at| at > moment) {
                return;
            }
        }
    }

    fn now(&self) -> Time {
        self.simulation.now()
    }

    fn is_idle(&self, n: u16) -> bool {
        self.simulation.node_state(NodeId::Consumer(n)) == NodeState::Running
            && !self.simulation.consumer(n).is_busy()
    }

    /// Makes the next call of every member that waits for one.
    fn call_members(&mut self) {
        for at in 0..self.hands.len() {
            let (n, next, due) = self.hands[at];
            if due > self.now() || !self.is_idle(n) {
                continue;
            }
            let timeout = Duration::from_millis(500);
            let (call, then) = match next {
                Next::Poll => (HandCall::Poll { timeout, records: 0, within: None }, Next::Process),
                Next::Process if self.simulation.consumer(n).last_return().exception.is_some() => {
                    // As a loop does that `poll()` threw out of.
                    self.hands[at].1 = Next::Poll;
                    let kind = FaultKind::Stop;
                    self.simulation.apply(&Command::Fault { node: NodeId::Consumer(n), kind });
                    continue;
                }
                Next::Process => (HandCall::Process { count: None }, Next::Commit),
                Next::Commit if self.world.auto_commit => {
                    self.hands[at].1 = Next::Poll;
                    continue;
                }
                Next::Commit => {
                    let call = ConsumerCall::Commit { sync: true, offsets: None };
                    (HandCall::Consumer(call), Next::Poll)
                }
            };
            self.hands[at].1 = then;
            self.simulation.apply(&Command::Consumer { consumer: n, call });
            self.look();
        }
    }

    /// Shows the judge what is new, and looks at the group when something was said of it.
    fn look(&mut self) {
        let fresh = self.watch.look(&self.simulation);
        let events = self.simulation.trace().events();
        let about_group = fresh.into_iter().any(|n| is_about_group(&events[n].kind));
        if !self.watch.broken.is_empty() {
            self.found(&format!("{:?}", self.watch.broken));
        }
        if about_group {
            self.stable_group_owns_everything();
        }
    }

    /// In a stable group every partition is owned, exactly once. Not while a cooperative group is between two rounds.
    fn stable_group_owns_everything(&mut self) {
        let group = self.group();
        if group.state != GroupState::Stable || self.world.manner == Manner::Cooperative {
            return;
        }
        if let Err(wrong) = self.owned_once() {
            self.found(&format!("{wrong} in a stable group"));
        }
    }

    fn owned_once(&self) -> Result<(), String> {
        let names = &self.view().names;
        let members = self.group().members.iter().filter_map(|m| names.consumer_of(m.member));
        let numbers = members.map(|node| match node {
            NodeId::Consumer(n) => n,
            other => unreachable!("{other:?} is no member"),
        });
        let wanted = self.world.wanted(numbers);
        let owned = self.group().members.iter().flat_map(|m| m.partitions.iter().copied());
        let mut owned: Vec<PartitionId> = owned.collect();
        owned.sort_unstable();
        if owned == wanted { Ok(()) } else { Err(format!("{owned:?} is owned of {wanted:?}")) }
    }

    fn send(&mut self) {
        let offsets = self.world.spec.names.group_partitions[0];
        let partition = PartitionId((self.sent % u32::from(offsets.0)) as u16);
        let request = SendRequest {
            message: MessageId(self.sent),
            topic: self.world.spec.names.partitions[partition.index()].topic,
            partition: Some(partition),
            key: KeyId::NONE,
            bytes: 100,
            shift: 0,
            is_tombstone: false,
        };
        self.simulation.apply(&Command::Send { producer: 0, request });
        self.sent += 1;
        self.next_send = self.now() + EVERY;
    }

    /// Goes on to a moment, sending.
    fn live(&mut self, moment: Time) {
        while self.next_send < moment && self.sent < MESSAGES && self.wrong.is_none() {
            self.until(self.next_send.max(self.now()));
            self.send();
        }
        self.until(moment);
    }

    fn act(&mut self) {
        for (gap, turn) in self.turns.clone() {
            self.live(self.now() + gap);
            match turn {
                Turn::Do(command) => self.simulation.apply(&command),
                Turn::Busy(member, span) => {
                    let busy_until = self.now() + span;
                    let hand = self.hands.iter_mut().find(|(n, _, _)| *n == member);
                    hand.expect("it is called by hand").2 = busy_until;
                }
            }
            self.look();
        }
    }

    /// Heals everything. What was told to stop stops before it is started again.
    fn heal(&mut self) {
        for _ in 0..30 {
            heal_all(&mut self.simulation);
            self.look();
            self.until(self.now() + Duration::from_secs(2));
            let view = self.view();
            let brokers = view.names.broker_ids().map(NodeId::Broker);
            let mut nodes = brokers.chain((0..view.consumers.len() as u16).map(NodeId::Consumer));
            if !nodes.any(|node| view.process(node) == ProcessState::Stopping) {
                break;
            }
        }
        heal_all(&mut self.simulation);
        self.look();
    }

    /// What keeps the group from being at rest.
    fn unrest(&self) -> Option<String> {
        let (group, names) = (self.group(), &self.view().names);
        if group.state != GroupState::Stable {
            return Some(format!("the group is {:?}", group.state));
        }
        if let Err(wrong) = self.owned_once() {
            return Some(wrong);
        }
        let mut present = BTreeSet::new();
        for member in &group.members {
            let Some(NodeId::Consumer(n)) = names.consumer_of(member.member) else {
                return Some(format!("{:?} is nobody", member.member));
            };
            let reconciled = member.state == MemberState::Stable
                && (group.protocol == GroupProtocol::Classic || member.epoch == group.generation.0);
            let client = self.simulation.consumer(n).consumer();
            let mut own = client.assigned().to_vec();
            own.sort_unstable();
            let believes = client.as_consumer().and_then(Consumer::group_metadata);
            if self.view().process(NodeId::Consumer(n)) != ProcessState::Up {
                return Some(format!("c{} does not run", n + 1));
            } else if !present.insert(n) {
                return Some(format!("c{} is in the group twice", n + 1));
            } else if !reconciled {
                return Some(format!("c{} has not followed", n + 1));
            } else if believes.is_none_or(|(_, generation, id)| {
                (generation, id) != (group.generation, member.member)
            }) {
                return Some(format!("c{} believes in {believes:?}", n + 1));
            } else if own != member.partitions {
                return Some(format!("c{} has {own:?}, given {:?}", n + 1, member.partitions));
            }
        }
        if let Some((n, ..)) = self.hands.iter().find(|(_, _, due)| *due > self.now()) {
            return Some(format!("c{} is busy", n + 1));
        }
        let running = (0..self.world.topics.len() as u16).filter(|n| {
            self.view().process(NodeId::Consumer(*n)) == ProcessState::Up
                && !self.simulation.consumer(*n).consumer().is_closed()
        });
        let missing = running.into_iter().find(|n| !present.contains(n));
        missing.map(|n| format!("c{} is not in the group", n + 1))
    }

    /// Processes that ended are started again, as by a supervisor: not while another has their instance id, though.
    fn supervise(&mut self) {
        let consumers = &self.world.spec.consumers;
        let id = |n: usize| &consumers[n].config.group_instance_id;
        let is_down =
            |n: usize| self.simulation.node_state(NodeId::Consumer(n as u16)) == NodeState::Down;
        let taken = |n: usize| {
            !id(n).is_empty()
                && (0..consumers.len()).any(|m| m != n && id(m) == id(n) && !is_down(m))
        };
        let again = (0..consumers.len()).find(|n| is_down(*n) && !taken(*n));
        if let Some(n) = again {
            let node = NodeId::Consumer(n as u16);
            self.simulation.apply(&Command::Fault { node, kind: FaultKind::Start });
            self.look();
        }
    }

    /// The group comes to rest in time, and stays there.
    fn comes_to_rest(&mut self) -> Duration {
        let healed = self.now();
        let end = healed + bound();
        loop {
            while let Some(why) = self.unrest().filter(|_| self.wrong.is_none()) {
                if self.now() >= end {
                    self.found(&format!("{why} after {}", bound()));
                }
                self.until(self.now() + Duration::from_millis(250));
                self.supervise();
            }
            // A message that is still held up may disturb it once more, but not when everything has had its time.
            let since = self.now();
            self.until(since + REST);
            if self.unrest().is_none() || self.wrong.is_some() {
                return since.since(healed);
            }
        }
    }

    /// The whole story: how long the group took to come to rest.
    fn run(mut self) -> Result<Duration, String> {
        self.act();
        self.heal();
        let took = self.comes_to_rest();
        self.wrong.map_or(Ok(took), Err)
    }
}

fn is_about_group(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::GroupChanged { .. }
            | EventKind::ConsumerGroupChanged { .. }
            | EventKind::MemberJoined { .. }
            | EventKind::MemberLeft { .. }
            | EventKind::MemberAssigned { .. }
            | EventKind::MemberReleased { .. }
            | EventKind::CoordinatorLoaded { .. }
    )
}

fn judge(world: &GroupWorld, promises: &[Guarantee]) -> Judge {
    let setup = JudgeSetup { acks: vec![Acks::All], ..JudgeSetup::default() };
    Judge::of(Arc::clone(&world.spec.names), setup, promises)
}

/// One schedule.
fn lives_through(seed: u64) -> Result<Duration, String> {
    let world = GroupWorld::of(seed);
    Drive::new(&world, judge(&world, PROMISES)).run()
}

const SEEDS: u64 = if cfg!(debug_assertions) { 400 } else { 25_000 };

fn hold_for(quarter: u64) {
    for seed in seeds::seeds(quarter * SEEDS..(quarter + 1) * SEEDS) {
        if let Err(wrong) = lives_through(seed) {
            panic!("{wrong}");
        }
    }
}

#[test]
fn groups_keep_their_promises_and_come_to_rest_first_quarter() {
    hold_for(0);
}

#[test]
fn groups_keep_their_promises_and_come_to_rest_second_quarter() {
    hold_for(1);
}

#[test]
fn groups_keep_their_promises_and_come_to_rest_third_quarter() {
    hold_for(2);
}

#[test]
fn groups_keep_their_promises_and_come_to_rest_fourth_quarter() {
    hold_for(3);
}

/// Seeds that showed something once.
#[test]
fn what_schedules_have_found_stays_repaired() {
    for (seed, what) in [
        (132, "the record of a new group had its first static member in it, without an assignor"),
        (191, "a leader without metadata assigned nothing in place of waiting for it"),
        (
            222,
            "an automatic commit of the consumer protocol was held to the rule of the classic one",
        ),
        (773, "a member that had left for want of polls was fenced by an answer that came late"),
        (
            920,
            "a member that was to leave without a connection, and then without a coordinator, stayed out",
        ),
        (
            3040,
            "the committed offset that a frozen member had asked for was held against a later one",
        ),
        (
            5340,
            "a commit before a rebalance, due and without a coordinator, was tried every microsecond",
        ),
        (9442, "an error beside a callback that took its time was never thrown"),
        (
            10_208,
            "after a rebootstrap a leader disbelieved the first answer, whose epochs were old, and assigned nothing",
        ),
        (28_187, "a broker that froze while it shut down was taken for running when it thawed"),
    ] {
        assert_eq!(lives_through(seed).err(), None, "seed {seed}: {what}");
    }
}

/// In the consumer protocol `groupMetadata()` has the member's epoch: offsets in a transaction are fenced by it.
#[test]
fn group_metadata_says_the_member_epoch() {
    let world = worlds(GroupProtocol::Consumer, false).next().expect("there are such worlds");
    let mut drive = Drive::new(&world, judge(&world, PROMISES));
    drive.turns.clear();
    drive.until(Time::ZERO + Duration::from_secs(20));
    let member = &drive.group().members[0];
    let Some(NodeId::Consumer(n)) = drive.view().names.consumer_of(member.member) else {
        panic!("{member:?} is nobody");
    };
    let client = drive.simulation.consumer(n).consumer().as_consumer();
    let told = client.and_then(Consumer::group_metadata);
    assert!(member.epoch > 0);
    assert_eq!(told, Some((GROUP, Generation(member.epoch), member.member)));
}

/// Worlds of this protocol, with automatic commits or without.
fn worlds(protocol: GroupProtocol, auto_commit: bool) -> impl Iterator<Item = GroupWorld> {
    let fits = move |world: &GroupWorld| {
        world.manner.protocol() == protocol && world.auto_commit == auto_commit
    };
    (0..600).map(GroupWorld::of).filter(fits)
}

/// Kafka takes any offset from whoever asks: with commits by hand, *never past what was handed out* is no promise.
#[test]
fn a_commit_by_hand_goes_beyond_what_was_handed_out() {
    let mut worlds = worlds(GroupProtocol::Classic, false);
    let world = worlds.find(|world| !world.by_hand.is_empty()).expect("one with a member by hand");
    let member = world.by_hand[0];
    let judge = judge(&world, &[Guarantee::CommitWithinHanded]).regardless_of_preconditions();
    let mut drive = Drive::new(&world, judge);
    drive.turns.clear();
    while drive.simulation.consumer(member).consumer().assigned().is_empty()
        || !drive.is_idle(member)
    {
        drive.until(drive.now() + Duration::from_millis(10));
    }
    let partition = drive.simulation.consumer(member).consumer().assigned()[0];
    let offsets = Some(vec![PartitionOffset { partition, offset: Offset(1_000) }]);
    let call = HandCall::Consumer(ConsumerCall::Commit { sync: true, offsets });
    drive.simulation.apply(&Command::Consumer { consumer: member, call });
    drive.look();
    assert!(drive.wrong.is_some(), "it is beyond all there is");
    let end = drive.now() + Duration::from_secs(1);
    let highest = |drive: &Drive<'_>| drive.group().committed(partition).map(|c| c.highest);
    while drive.now() < end && highest(&drive) != Some(Offset(1_000)) {
        drive.wrong = None;
        drive.until(end);
    }
    assert_eq!(highest(&drive), Some(Offset(1_000)), "Kafka stores it");
}

/// In the consumer protocol of 4.4.0 another thread commits than the one that hands out, and may be faster.
#[test]
fn the_consumer_protocol_commits_what_the_poll_has_yet_to_return() {
    let breaks = |world: GroupWorld| {
        let judge = judge(&world, &[Guarantee::CommitWithinHanded]).regardless_of_preconditions();
        Drive::new(&world, judge).run().is_err_and(|wrong| wrong.contains("CommitWithinHanded"))
    };
    assert!(worlds(GroupProtocol::Consumer, true).any(breaks), "no schedule shows the race");
}

/// Each bug planted in a machine is found within some schedules.
#[test]
fn planted_bugs_are_found() {
    for defect in [
        Defect::AssignmentOverlaps,
        Defect::ExpiredMemberKept,
        Defect::AutoCommitTakesCurrentBatch,
        Defect::CommitNotReplicated,
    ] {
        let found = (0..300).map(GroupWorld::of).any(|mut world| {
            Arc::make_mut(&mut world.spec).defect = defect;
            Drive::new(&world, judge(&world, PROMISES)).run().is_err()
        });
        assert!(found, "{defect:?} lived through 300 schedules");
    }
}
