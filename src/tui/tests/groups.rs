//! The screen of groups: a third member joins two that have two partitions each, once with eager members and once with
//! cooperative ones.

use std::sync::Arc;

use super::{PLAIN, Tape, at, film_world, render, text};
use crate::base::config::{AssignorName, Assignors, ConsumerConfig, GroupProtocol};
use crate::base::group_records::MemberState;
use crate::base::ids::{Generation, MessageId, NodeId, PartitionId};
use crate::base::names::{Client, Partition};
use crate::event::{EventKind, FaultKind, GroupState, RebalanceCallback};
use crate::tui::app::{App, Screen};
use crate::tui::keymap::{Action, Key};
use crate::tui::model::{Film, Mode, World};
use crate::view::story::{BILLING, member};

const P: [PartitionId; 4] = [PartitionId(0), PartitionId(1), PartitionId(2), PartitionId(3)];

/// Which protocol the members speak.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Eager,
    Cooperative,
    Consumer,
}

impl Tape {
    fn four_partitions(&mut self) {
        let names = Arc::make_mut(&mut self.story.names);
        let first = names.partitions[0].clone();
        names.partitions = (0..4).map(|index| Partition { index, ..first.clone() }).collect();
        names.topics[0].partitions = P.to_vec();
        names.topics[0].partition_count = 4;
        names.consumers.push(Client { name: "c3".to_owned(), group: Some(BILLING), rank: 3 });
    }

    fn group(&mut self, state: GroupState, generation: i32) {
        let (group, generation) = (BILLING, Generation(generation));
        self.story.broker(1, EventKind::GroupChanged { group, state, generation });
    }

    fn joins(&mut self, n: u16) {
        let (group, member, leader) = (BILLING, member(n), n == 0);
        self.story.broker(1, EventKind::MemberJoined { group, member, leader });
    }

    fn owners(&mut self, lists: &[&[PartitionId]]) {
        for (n, list) in (0..).zip(lists) {
            for partition in *list {
                let (group, member, partition) = (BILLING, member(n), *partition);
                self.story.broker(1, EventKind::MemberAssigned { group, member, partition });
            }
        }
    }

    fn told_of(&mut self, n: u16, callback: RebalanceCallback, list: &[PartitionId]) {
        let count = list.len() as u16;
        self.story.consumer(n, EventKind::Callback { callback, count });
        for partition in list {
            let partition = *partition;
            self.story.consumer(n, EventKind::CallbackPartition { callback, partition });
        }
    }

    fn epochs(&mut self, members: &[u16], epoch: i32) {
        for n in members {
            let (group, member, state) = (BILLING, member(*n), MemberState::Stable);
            self.story.broker(1, EventKind::MemberEpoch { group, member, epoch, state });
        }
    }
}

/// c1 and c2 share four partitions from 2 s on; c3 joins at 10 s; all is settled at 13 s. At 20 s c2 dies.
fn join(kind: Kind) -> World {
    let (given, taken) = (RebalanceCallback::Assigned, RebalanceCallback::Revoked);
    let mut tape = Tape::new();
    tape.four_partitions();
    let consumer = kind == Kind::Consumer;
    let group = BILLING;
    let change = |tape: &mut Tape, state, epoch| {
        if consumer {
            tape.story.broker(1, EventKind::ConsumerGroupChanged { group, state, epoch });
        } else {
            let before = if state == GroupState::Stable { epoch } else { epoch - 1 };
            tape.group(state, before);
        }
    };
    let under_way = if consumer { GroupState::Reconciling } else { GroupState::PreparingRebalance };
    tape.at(1_000);
    change(&mut tape, under_way, 1);
    tape.joins(0);
    tape.joins(1);
    tape.at(2_000);
    change(&mut tape, GroupState::Stable, 1);
    tape.owners(&[&P[..2], &P[2..]]);
    tape.told_of(0, given, &P[..2]);
    tape.told_of(1, given, &P[2..]);
    tape.story.commit(5);
    tape.at(10_000);
    change(&mut tape, under_way, 2);
    tape.joins(2);
    tape.at(11_000);
    match kind {
        Kind::Eager => {
            tape.told_of(0, taken, &P[..2]);
            tape.at(12_000);
            tape.told_of(1, taken, &P[2..]);
        }
        Kind::Cooperative => tape.told_of(1, taken, &P[3..]),
        Kind::Consumer => {
            tape.told_of(1, taken, &P[3..]);
            let (member, partition) = (member(1), P[3]);
            tape.story.broker(1, EventKind::MemberReleased { group, member, partition });
        }
    }
    tape.at(12_500);
    tape.story.consumer(0, EventKind::PollCalled);
    tape.at(12_900);
    change(&mut tape, GroupState::Stable, 2);
    tape.owners(&[&P[..2], &P[2..3], &P[3..]]);
    if consumer {
        tape.epochs(&[0, 1, 2], 2);
    }
    if kind == Kind::Eager {
        tape.told_of(0, given, &P[..2]);
        tape.told_of(1, given, &P[2..3]);
    }
    tape.told_of(2, given, &P[3..]);
    tape.at(14_000);
    tape.story.consumer(0, EventKind::PollCalled);
    tape.at(20_000);
    tape.story.push(NodeId::Consumer(1), EventKind::Fault { kind: FaultKind::Kill });
    tape.at(21_000);
    tape.story.consumer(0, EventKind::PollCalled);
    tape.at(22_000);
    tape.story.push(NodeId::Script, EventKind::Ended);
    in_world(tape, kind)
}

/// The story as a run with the settings of its members.
fn in_world(tape: Tape, kind: Kind) -> World {
    let assignor = match kind {
        Kind::Cooperative => AssignorName::CooperativeSticky,
        Kind::Eager | Kind::Consumer => AssignorName::Range,
    };
    let group_protocol = match kind {
        Kind::Consumer => GroupProtocol::Consumer,
        Kind::Eager | Kind::Cooperative => GroupProtocol::Classic,
    };
    let assignors = Assignors::only(assignor);
    let config = ConsumerConfig { assignors, group_protocol, ..Default::default() };
    let mut world = film_world(tape, "all");
    world.settings.consumers = vec![config; 3];
    world.variant = match kind {
        Kind::Eager => "eager",
        Kind::Cooperative => "cooperative",
        Kind::Consumer => "consumer protocol",
    }
    .to_owned();
    world
}

fn film() -> App {
    let film = Film {
        scenario: "join".to_owned(),
        title: "Who stops when a member joins?".to_owned(),
        seed: 1,
        questions: Vec::new(),
        worlds: [Kind::Eager, Kind::Cooperative, Kind::Consumer].map(join).to_vec(),
        takeaway: "What stays need not stop.".to_owned(),
        difference: "only the protocol differs".to_owned(),
    };
    let mut app = App::new(film, Mode::Play, PLAIN);
    app.act(Action::Group);
    app
}

pub(super) fn scenes() -> Vec<(&'static str, App)> {
    let mut cooperative = at(film(), 14_000);
    cooperative.act(Action::NextWorld);
    let mut consumer = at(film(), 14_000);
    consumer.act(Action::PreviousWorld);
    let mut variants = at(film(), 14_000);
    variants.act(Action::Open);
    variants.act(Action::Open);
    vec![
        ("group-eager", at(film(), 14_000)),
        ("group-cooperative", cooperative),
        ("group-consumer", consumer),
        ("group-variants", variants),
        ("group-died", at(film(), 21_000)),
    ]
}

fn screen(app: &App) -> String {
    text(&render(app, 80, 24))
}

/// The row that begins with `name`.
fn row(screen: &str, name: &str) -> String {
    let found = screen.lines().find(|line| line.trim_start().starts_with(name));
    found.unwrap_or_else(|| panic!("no {name} in\n{screen}")).to_owned()
}

#[test]
fn eager_members_stand_still_together_and_say_for_how_long() {
    let shown = screen(&at(film(), 14_000));
    assert!(shown.contains("billing   classic protocol, range: EAGER"), "{shown}");
    assert!(shown.contains("generation 1 │ 2.9 s") && shown.contains("│ gen 2"), "{shown}");
    assert!(row(&shown, "c1 LEADER").contains("█▒▒▒"), "{shown}");
    assert!(row(&shown, "c1 LEADER").ends_with(" 1.9 s"), "{shown}");
    assert!(row(&shown, "c3").contains("▒▒█") && !row(&shown, "c3").contains("█▒"), "{shown}");
    assert!(shown.contains("gave up     c1 at 11.001  c2 at 12.001"), "{shown}");
    assert!(shown.contains("revoked 4 of 4   moved 1   stopped 5."), "{shown}");
}

#[test]
fn cooperative_members_work_on_and_what_moves_has_a_row_of_its_own() {
    let mut app = at(film(), 14_000);
    app.key(Key::Tab);
    let shown = screen(&app);
    assert!(shown.contains("classic protocol, cooperative-sticky: COOPERATIVE"), "{shown}");
    assert!(!row(&shown, "c1 LEADER").contains('▒') && !row(&shown, "c2").contains('▒'), "{shown}");
    let moved = row(&shown, "orders-3");
    assert!(moved.contains("█▒▒") && moved.ends_with("now c3"), "{shown}");
    assert!(shown.contains("revoked 1 of 4   moved 1   stopped 1.9 partition-seconds"), "{shown}");
}

#[test]
fn members_of_the_consumer_protocol_have_epochs() {
    let mut app = at(film(), 14_000);
    app.key(Key::BackTab);
    let shown = screen(&app);
    assert!(shown.contains("consumer protocol, uniform"), "{shown}");
    assert!(shown.contains("epoch 1 │") && shown.contains("epoch 2"), "{shown}");
    assert!(row(&shown, "c2 e2").ends_with("0 s"), "{shown}");
    assert!(shown.contains("Reconciling"), "{shown}");
}

#[test]
fn the_future_is_not_drawn_and_going_back_in_the_window_moves_no_time() {
    let mut app = at(film(), 12_500);
    let (shown, now) = (screen(&app), app.now());
    assert!(shown.contains("rebalance 2.5 s …"), "{shown}");
    assert!(!shown.contains("generation 2"), "{shown}");
    app.key(Key::Char('h'));
    assert_ne!(screen(&app), shown);
    assert_eq!(app.now(), now);
    app.key(Key::Char('l'));
    assert_eq!(screen(&app), shown);
}

#[test]
fn enter_turns_to_timers_and_to_all_variants_and_esc_leads_back() {
    let mut app = at(film(), 14_000);
    assert!(screen(&app).contains("c1  orders-0 at ?, committed 5, lag 0"), "{}", screen(&app));
    app.key(Key::Char('j'));
    app.key(Key::Enter);
    assert!(screen(&app).contains("session       45 s"), "{}", screen(&app));
    app.key(Key::Enter);
    let shown = screen(&app);
    assert!(row(&shown, "eager").contains("4        1        2"), "{shown}");
    assert!(row(&shown, "cooperative").contains("1        1        0"), "{shown}");
    app.key(Key::Esc);
    assert_eq!(app.screen, Screen::Stage);
}

#[test]
fn who_died_is_marked_and_an_empty_screen_says_why() {
    let shown = screen(&at(film(), 21_000));
    assert!(row(&shown, "c2").contains("█✗"), "{shown}");
    let shown = screen(&at(film(), 500));
    assert!(shown.contains("Nobody has joined a group yet."), "{shown}");
}

/// c2 and c3 both process m0 and m1: c2 before the rebalance took the partition, c3 after it.
fn done_twice() -> World {
    let mut tape = Tape::new();
    tape.four_partitions();
    tape.at(1_000);
    tape.group(GroupState::PreparingRebalance, 0);
    (0..3).for_each(|n| tape.joins(n));
    tape.at(2_000);
    tape.group(GroupState::Stable, 1);
    tape.owners(&[&P[..2], &P[2..], &[]]);
    tape.told_of(0, RebalanceCallback::Assigned, &P[..2]);
    tape.told_of(1, RebalanceCallback::Assigned, &P[2..]);
    let batch = tape.story.send(&[0, 1]);
    tape.story.replicate(&[1, 2, 3], batch, 0, 0);
    for (millis, n) in [(3_000, 1), (9_000, 2)] {
        tape.at(millis);
        tape.story.poll(n, batch, 0);
        tape.story.process(n, batch, 0, (0, 2));
    }
    tape.at(12_000);
    tape.story.push(NodeId::Script, EventKind::Ended);
    in_world(tape, Kind::Eager)
}

fn film_of(world: World) -> App {
    let film = Film {
        scenario: "twice".to_owned(),
        title: "Who did the same work twice?".to_owned(),
        seed: 1,
        questions: Vec::new(),
        worlds: vec![world],
        takeaway: String::new(),
        difference: String::new(),
    };
    let mut app = App::new(film, Mode::Play, PLAIN);
    app.act(Action::Group);
    app
}

#[test]
fn work_that_is_done_twice_is_marked_in_both_rows_and_w_says_why() {
    let mut app = at(film_of(done_twice()), 11_000);
    let shown = screen(&app);
    let marks = |shown: &str| {
        let marked =
            |name| row(shown, name).chars().skip(12).take(49).filter(|c| *c == '2').count();
        ["c1", "c2", "c3"].map(marked)
    };
    assert_eq!(marks(&shown), [0, 1, 1], "{shown}");
    assert!(shown.contains("processed twice 2: m0 m1   w: why"), "{shown}");
    let before = screen(&at(film_of(done_twice()), 5_000));
    assert_eq!(marks(&before), [0, 0, 0], "{before}");
    assert!(before.contains("processed twice 0"), "{before}");
    app.key(Key::Char('j'));
    app.key(Key::Char('w'));
    assert_eq!((app.screen, app.picked), (Screen::Why, Some(MessageId(0))));
}

/// 100 members with a partition each; c7 dies, c42 freezes.
fn crowd() -> World {
    let mut tape = Tape::new();
    let names = Arc::make_mut(&mut tape.story.names);
    let first = names.partitions[0].clone();
    names.partitions = (0..100).map(|index| Partition { index, ..first.clone() }).collect();
    names.topics[0].partitions = (0..100).map(PartitionId).collect();
    names.topics[0].partition_count = 100;
    let client = |n: u16| Client { name: format!("c{n}"), group: Some(BILLING), rank: n };
    names.consumers = (1..=100).map(client).collect();
    tape.at(1_000);
    tape.group(GroupState::PreparingRebalance, 0);
    (0..100).for_each(|n| tape.joins(n));
    tape.at(2_000);
    tape.group(GroupState::Stable, 1);
    for n in 0..100 {
        let (group, member, partition) = (BILLING, member(n), PartitionId(n));
        tape.story.broker(1, EventKind::MemberAssigned { group, member, partition });
        tape.told_of(n, RebalanceCallback::Assigned, &[partition]);
    }
    tape.at(30_000);
    tape.story.push(NodeId::Consumer(6), EventKind::Fault { kind: FaultKind::Kill });
    tape.at(31_000);
    tape.story.push(NodeId::Consumer(41), EventKind::Fault { kind: FaultKind::Freeze });
    tape.at(32_500);
    tape.story.consumer(0, EventKind::PollCalled);
    tape.at(34_000);
    tape.story.push(NodeId::Script, EventKind::Ended);
    let mut world = in_world(tape, Kind::Eager);
    world.settings.consumers = vec![world.settings.consumers[0].clone(); 100];
    world
}

#[test]
fn of_a_hundred_members_each_has_a_cell_and_those_that_changed_a_row() {
    let mut app = at(film_of(crowd()), 33_000);
    // The window begins when all have what they have.
    app.key(Key::Char('Z'));
    app.key(Key::Char('Z'));
    let shown = screen(&app);
    let cells: String = shown.lines().skip(4).take(2).collect();
    let count = |glyph: char| cells.chars().filter(|c| *c == glyph).count();
    assert_eq!((count('✗'), count('?')), (1, 1), "{shown}");
    assert!(row(&shown, "c7").contains("█✗") && row(&shown, "c42").contains("█?"), "{shown}");
    assert!(shown.contains("… 97 more members: 97 working"), "{shown}");
    app.key(Key::Char('j'));
    let next = screen(&app);
    assert!(next.contains(" c2 ") && !row(&next, "c2").is_empty(), "{next}");
    assert_eq!(next.lines().filter(|line| line.starts_with(" c1 ")).count(), 0, "{next}");
}
