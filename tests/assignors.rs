//! The assignors: exactly what Kafka 4.4's own classes returned, order included, and what every assignment must
//! be.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use highwater::conform::{Outcome, compare};
use highwater::kafka::group::assignor::target::{self, SubscriptionType, Uuid, uniform};
use highwater::kafka::group::assignor::{
    Assignment, Member, NO_GENERATION, Topic, Topics, cooperative_sticky, range, round_robin,
    sticky, target::range as target_range,
};
use proptest::prelude::*;

/// The samples without their marks: nothing but exactly Kafka's result agrees, also where another order of its
/// hash map gives another result.
#[test]
fn sampled_vectors_agree_exactly_also_where_the_order_of_a_hash_map_shows() {
    let folder = tempfile::tempdir().unwrap();
    let mut marks = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")).unwrap()
    {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        marks += text.matches(r#","order_dependent":true"#).count();
        let text = text.replace(r#","order_dependent":true"#, "");
        fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
    }
    assert!(marks >= 30, "{marks} steps that depend on an order");
    let files = compare(&[folder.path().to_owned()], None, |_| {}).unwrap();
    assert!(files.len() >= 11, "{} files", files.len());
    for file in files {
        assert_eq!(file.outcome, Outcome::Agrees, "{}", file.id);
    }
}

#[test]
fn a_vector_that_kafka_did_not_write_differs_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let changed = |from: &str, to: &str, mark: bool| {
        let step = r#"{"event":"join b","generation":2,"topics":{"t":3},"members":[
            {"id":"a","topics":["t"],"owned":["t-0","t-1","t-2"],"owned_generation":1},
            {"id":"b","topics":["t"],"owned":[],"owned_generation":-1}],
            "java_member_order":["a","b"],"result":{"a":["t-0","t-1"],"b":["t-2"]}MARK}"#;
        let line = format!(r#"{{"case":"x","assignor":"sticky","steps":[{step}]}}"#);
        let mark = if mark { r#","order_dependent":true"# } else { "" };
        let line = line.replace("MARK", mark).replace('\n', "").replacen(from, to, 1);
        fs::write(folder.path().join("x.jsonl"), line).unwrap();
        compare(&[folder.path().to_owned()], None, |_| {}).unwrap().remove(0).outcome
    };
    assert_eq!(changed("", "", false), Outcome::Agrees);
    let swapped = (r#""a":["t-0","t-1"],"b":["t-2"]"#, r#""a":["t-0","t-2"],"b":["t-1"]"#);
    match changed(swapped.0, swapped.1, false) {
        Outcome::Differs(difference) => {
            assert!(difference.path.contains("line 1: x, step 0 (join b): a"), "{difference:?}");
            assert_eq!((&*difference.expected, &*difference.got), ("t-0 t-2", "t-0 t-1"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(changed(swapped.0, swapped.1, true), Outcome::Agrees, "as balanced");
    let worse = changed(swapped.0, r#""a":["t-0","t-2","t-1"],"b":[]"#, true);
    assert!(matches!(worse, Outcome::Differs(d) if d.expected == "0 3" && d.got == "1 2"));
    for (from, to) in [
        (r#"["a","b"]"#, r#"["a","a"]"#),
        (r#""t-0""#, r#""t""#),
        ("owned_generation", "owned_since"),
    ] {
        assert!(matches!(changed(from, to, false), Outcome::Unreadable(_)), "{to}");
    }
}

const NAMES: [&str; 5] = ["alpha", "orders", "t0", "t1", "users"];
const IDS: [&str; 8] = ["c0", "c1", "c10", "c2", "consumer-1", "x", "y", "z"];
const RACKS: [&str; 3] = ["r0", "r1", "r2"];

/// A group: topics, members, and (of each member) the topics it subscribes to.
#[derive(Clone, Debug)]
struct World {
    topics: Topics<'static>,
    members: Vec<Member<'static>>,
}

impl World {
    fn equal(&self) -> bool {
        self.members.windows(2).all(|pair| pair[0].topics == pair[1].topics)
    }

    /// The partitions that somebody subscribes to.
    fn partitions(&self) -> BTreeSet<(&'static str, u32)> {
        let subscribed: BTreeSet<&str> =
            self.members.iter().flat_map(|m| m.topics.iter().copied()).collect();
        let count = |name: &str| self.topics.get(name).map_or(0, |topic| topic.partitions);
        subscribed.into_iter().flat_map(|name| (0..count(name)).map(move |n| (name, n))).collect()
    }

    /// The members as they come into the next rebalance.
    fn fed_back(&self, assignment: &Assignment<'static>, generation: i32) -> Self {
        let mut next = self.clone();
        for member in &mut next.members {
            member.owned.clone_from(&assignment[member.id]);
            (member.owned_generation, member.generation) = (generation, generation);
        }
        next
    }
}

/// A member subscribes to the topics of its bits, to the first if that is none, or like all others to every topic.
fn world(racked: bool) -> impl Strategy<Value = World> {
    let topic = (0u32..9, prop::collection::vec(prop::sample::subsequence(&RACKS[..], 1..3), 9));
    let topics = prop::collection::vec(topic, 1..=NAMES.len());
    let member = (prop::option::of(0usize..3), 1u32..32);
    let members = prop::collection::vec(member, 1..=IDS.len());
    (topics, members, any::<bool>(), any::<u64>()).prop_map(
        move |(topics, members, equal, order)| {
            let names = &NAMES[..topics.len()];
            let topics: Topics<'static> = names
                .iter()
                .zip(topics)
                .map(|(name, (partitions, racks))| {
                    (*name, Topic { partitions, racks: if racked { racks } else { Vec::new() } })
                })
                .collect();
            let subscription = |bits: u32| -> Vec<&'static str> {
                let own = names.iter().enumerate().filter(|(n, _)| equal || bits >> n & 1 == 1);
                let own: Vec<_> = own.map(|(_, name)| *name).collect();
                if own.is_empty() { vec![names[0]] } else { own }
            };
            let mut members: Vec<_> = members
                .iter()
                .zip(IDS)
                .map(|((rack, bits), id)| Member {
                    id,
                    rack: rack.filter(|_| racked).map(|n| RACKS[n]),
                    topics: subscription(*bits),
                    owned_generation: NO_GENERATION,
                    generation: NO_GENERATION,
                    ..Member::default()
                })
                .collect();
            let places = members.len();
            members.rotate_left(order as usize % places);
            World { topics, members }
        },
    )
}

fn any_world() -> impl Strategy<Value = World> {
    prop_oneof![world(false), world(true)]
}

fn check_whole(world: &World, assignment: &Assignment<'_>) -> Result<(), TestCaseError> {
    let mut all = Vec::new();
    for member in &world.members {
        let own = &assignment[member.id];
        prop_assert!(own.iter().all(|(topic, _)| member.topics.contains(topic)), "subscribed");
        all.extend(own.iter().copied());
    }
    all.sort_unstable();
    let expected: Vec<_> = world.partitions().into_iter().collect();
    prop_assert_eq!(all, expected, "every partition has one owner");
    Ok(())
}

fn sets<'a>(assignment: &Assignment<'a>) -> BTreeMap<&'a str, BTreeSet<(&'a str, u32)>> {
    assignment.iter().map(|(id, own)| (*id, own.iter().copied().collect())).collect()
}

/// Every member with every member.
fn pairs(world: &World) -> impl Iterator<Item = (&Member<'static>, &Member<'static>)> {
    world.members.iter().flat_map(|member| world.members.iter().map(move |other| (member, other)))
}

fn spread(assignment: &Assignment<'_>) -> usize {
    let sizes = || assignment.values().map(Vec::len);
    sizes().max().unwrap_or(0) - sizes().min().unwrap_or(0)
}

/// Nobody has two partitions more than somebody who could take one of them over.
fn check_balanced(world: &World, assignment: &Assignment<'_>) -> Result<(), TestCaseError> {
    for (member, other) in pairs(world) {
        let (own, others) = (&assignment[member.id], &assignment[other.id]);
        let could = others.iter().any(|(topic, _)| member.topics.contains(topic));
        prop_assert!(
            !could || own.len() + 1 >= others.len(),
            "{} takes from {}",
            member.id,
            other.id
        );
    }
    Ok(())
}

type Assign = fn(&[Member<'static>], &Topics<'static>) -> Assignment<'static>;

/// Of the classic protocol, the sticky ones last.
const ALL: [Assign; 4] = [
    |members, topics| range::assign(members, topics),
    |members, topics| round_robin::assign(members, topics),
    |members, topics| sticky::assign(members, topics),
    |members, topics| cooperative_sticky::assign(members, topics),
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_partition_is_owned_exactly_once_by_a_subscriber(world in any_world()) {
        for assign in ALL {
            check_whole(&world, &assign(&world.members, &world.topics))?;
        }
    }

    #[test]
    fn range_gives_each_subscriber_of_a_topic_as_many_or_one_more(world in any_world()) {
        let assignment = range::assign(&world.members, &world.topics);
        for name in world.topics.keys() {
            let subscribers = world.members.iter().filter(|member| member.topics.contains(name));
            let sizes: Vec<usize> = subscribers
                .map(|member| &assignment[member.id])
                .map(|own| own.iter().filter(|(topic, _)| topic == name).count())
                .collect();
            let (max, min) = (sizes.iter().max(), sizes.iter().min());
            prop_assert!(max.unwrap_or(&0) - min.unwrap_or(&0) <= 1, "{name}: {sizes:?}");
        }
    }

    #[test]
    fn the_others_are_balanced_over_all_topics(world in any_world()) {
        let first = sticky::assign(&world.members, &world.topics);
        check_balanced(&world, &first)?;
        if world.equal() {
            prop_assert!(spread(&round_robin::assign(&world.members, &world.topics)) <= 1);
            prop_assert!(spread(&first) <= 1);
        }
    }

    #[test]
    fn without_a_change_nothing_moves(world in world(false)) {
        for assign in &ALL[2..] {
            let first = assign(&world.members, &world.topics);
            let again = world.fed_back(&first, 1);
            let second = assign(&again.members, &again.topics);
            prop_assert_eq!(sets(&first), sets(&second));
        }
    }

    #[test]
    fn among_equals_nobody_loses_by_a_leave_and_by_a_join_only_what_is_over_the_share(
        world in world(false),
    ) {
        let mut world = world;
        let topics: Vec<&str> = world.topics.keys().copied().collect();
        world.members.iter_mut().for_each(|member| member.topics.clone_from(&topics));
        let first = sticky::assign(&world.members, &world.topics);
        let mut fewer = world.fed_back(&first, 1);
        fewer.members.remove(0);
        prop_assume!(!fewer.members.is_empty());
        let second = sticky::assign(&fewer.members, &fewer.topics);
        for member in &fewer.members {
            let own = &second[member.id];
            prop_assert!(member.owned.iter().all(|tp| own.contains(tp)), "{}", member.id);
        }
        let mut more = fewer.fed_back(&second, 2);
        more.members.push(world.members[0].clone());
        let third = sticky::assign(&more.members, &more.topics);
        for member in &more.members {
            let kept = member.owned.iter().filter(|tp| third[member.id].contains(tp)).count();
            prop_assert_eq!(kept, member.owned.len().min(third[member.id].len()), "{}", member.id);
        }
    }

    #[test]
    fn a_partition_in_transfer_has_no_second_owner_and_rebalances_come_to_an_end(
        before in any_world(),
        change in any_world(),
    ) {
        let first = cooperative_sticky::assign(&before.members, &before.topics);
        // The same members and topics as far as they are there in both, changed otherwise.
        let mut now = change;
        for member in &mut now.members {
            let Some(own) = first.get(member.id) else { continue };
            // A member gives up by itself what it no longer subscribes to, or what is no more.
            let exists = |(topic, n): &(&str, u32)| *n < now.topics[topic].partitions;
            let stays = |tp: &(&str, u32)| member.topics.contains(&tp.0) && exists(tp);
            member.owned = own.iter().copied().filter(stays).collect();
            (member.owned_generation, member.generation) = (1, 1);
        }
        for round in 2.. {
            prop_assert!(round < 8, "no end");
            let assignment = cooperative_sticky::assign(&now.members, &now.topics);
            for (member, other) in pairs(&now) {
                let taken = assignment[member.id].iter().find(|tp| other.owned.contains(tp));
                prop_assert!(member.id == other.id || taken.is_none(), "{taken:?} taken");
            }
            let next = now.fed_back(&assignment, round);
            let keeps = |m: &Member<'_>| m.owned.iter().all(|tp| assignment[m.id].contains(tp));
            let stopped = now.members.iter().all(keeps);
            now = next;
            if stopped {
                check_whole(&now, &assignment)?;
                break;
            }
        }
    }

    #[test]
    fn targets_of_the_consumer_protocol_are_whole_balanced_and_sticky(
        before in world(false),
        change in world(false),
    ) {
        let mut previous = BTreeMap::new();
        for world in [&before, &change, &change] {
            let (members, topics, subscriptions) = on_the_broker(world, &previous);
            let ranges = target_range::assign(&members, &topics).unwrap();
            check_whole(world, &named(world, &ranges))?;
            let target = uniform::assign(&members, subscriptions, &topics).unwrap();
            let target = named(world, &target);
            check_whole(world, &target)?;
            if world.equal() {
                prop_assert!(spread(&target) <= 1);
            }
            previous = target;
        }
        let (members, topics, subscriptions) = on_the_broker(&change, &previous);
        let again = uniform::assign(&members, subscriptions, &topics).unwrap();
        prop_assert_eq!(named(&change, &again), previous, "without a change nothing moves");
    }
}

fn topic_id(name: &str) -> Uuid {
    Uuid(7, NAMES.iter().position(|other| *other == name).unwrap() as u64 * 1_000_003)
}

fn on_the_broker(
    world: &World,
    previous: &Assignment<'static>,
) -> (Vec<target::Member<'static>>, target::Topics, SubscriptionType) {
    let exists =
        |(name, n): &&(&str, u32)| world.topics.get(name).is_some_and(|t| *n < t.partitions);
    let before = |member: &Member<'_>| {
        let mut own: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (topic, n) in previous.get(member.id).into_iter().flatten().filter(exists) {
            own.entry(topic).or_default().push(*n);
        }
        own.into_iter().map(|(topic, numbers)| (topic_id(topic), numbers)).collect()
    };
    let members = world.members.iter().map(|member| target::Member {
        id: member.id,
        instance: member.instance,
        topics: member.topics.iter().map(|topic| topic_id(topic)).collect(),
        target: before(member),
    });
    let topics = world.topics.iter().map(|(name, topic)| (topic_id(name), topic.partitions));
    let equal = world.equal();
    let kind = if equal { SubscriptionType::Homogeneous } else { SubscriptionType::Heterogeneous };
    (members.collect(), topics.collect(), kind)
}

/// The target by name, with every member in it.
fn named(world: &World, target: &target::Target<'_>) -> Assignment<'static> {
    let own = |member: &Member<'static>| -> Vec<(&'static str, u32)> {
        let Some(own) = target.get(member.id) else { return Vec::new() };
        let of_topic = |name: &&'static str| {
            let name = *name;
            own.get(&topic_id(name)).into_iter().flatten().map(move |n| (name, *n))
        };
        NAMES.iter().flat_map(of_topic).collect()
    };
    world.members.iter().map(|member| (member.id, own(member))).collect()
}
