//! The screen of the controllers: a formed cluster whose active controller dies, a broker that dies with it, the
//! election of the next controller, and what that one decides when it may.

use super::{PLAIN, Tape, at, film_world, render, text};
use crate::base::broker_set::BrokerSet;
use crate::base::error::ErrorCode;
use crate::base::ids::{BatchHandle, BrokerId, EventSeq, LeaderEpoch, NodeId, Offset};
use crate::base::time::Time;
use crate::event::{Api, EventKind, FaultKind, WireLabel};
use crate::tui::app::{App, Screen};
use crate::tui::keymap::{Action, Key};
use crate::tui::model::{Film, MarkKind, Mode};

const fn ctl(n: u8) -> NodeId {
    NodeId::Controller(n)
}

impl Tape {
    fn asks(&mut self, from: NodeId, to: NodeId, api: (Api, bool)) {
        let (wire, error) = (self.wires, ErrorCode::None);
        self.wires += 1;
        let (batch, offset) = (BatchHandle::NONE, -1);
        let label =
            WireLabel { api: api.0, response: api.1, error, partition: None, batch, offset };
        self.story.push(from, EventKind::WireSent { wire, to, arrives_in: 1_000, label });
        self.arrive(to, wire);
    }

    fn metadata(&mut self, n: u8, epoch: i32, end: i64) {
        let (epoch, end) = (LeaderEpoch(epoch), Offset(end));
        self.story.push(ctl(n), EventKind::MetadataAppended { epoch, end });
    }

    fn committed(&mut self, n: u8, epoch: i32, offset: i64) {
        let (epoch, offset) = (LeaderEpoch(epoch), Offset(offset));
        self.story.push(ctl(n), EventKind::MetadataCommitted { epoch, offset });
    }

    fn applied(&mut self, brokers: &[u8], epoch: i32, offset: i64) {
        let (epoch, offset) = (LeaderEpoch(epoch), Offset(offset));
        for n in brokers {
            self.story.broker(*n, EventKind::MetadataApplied { epoch, offset });
        }
    }

    fn everybody_is_alive(&mut self, leader: u8) {
        for n in [1, 2, 3].into_iter().filter(|n| *n != leader) {
            self.asks(ctl(n), ctl(leader), (Api::MetadataFetch, false));
            self.asks(ctl(leader), ctl(n), (Api::MetadataFetch, true));
        }
        for n in 1..=3 {
            let broker = NodeId::Broker(BrokerId(n));
            self.asks(broker, ctl(leader), (Api::BrokerHeartbeat, false));
        }
    }
}

/// ctl1 and b1 die at 2 s, ctl1 with a record nobody else has; ctl2 leads from 4.5 s and fences b1 at 13.5 s.
fn failover() -> App {
    let mut tape = Tape::new();
    for n in 1..=3 {
        tape.metadata(n, 1, 7);
        tape.committed(n, 1, 7);
        if n == 1 {
            let unfenced = |broker| EventKind::BrokerUnfenced { broker: BrokerId(broker) };
            for broker in 1..=3 {
                tape.story.push(ctl(1), unfenced(broker));
            }
        }
    }
    tape.applied(&[1, 2, 3], 1, 7);
    tape.at(1_500);
    tape.everybody_is_alive(1);
    tape.at(1_990);
    tape.metadata(1, 1, 8);
    tape.at(2_000);
    tape.story.push(ctl(1), EventKind::Fault { kind: FaultKind::Kill });
    tape.story.fault(1, FaultKind::Kill);
    tape.mark(MarkKind::Fault, "kill ctl1 b1");
    tape.at(4_500);
    let epoch = LeaderEpoch(2);
    tape.story.push(ctl(2), EventKind::ControllerElected { epoch });
    tape.metadata(2, 2, 8);
    tape.metadata(3, 2, 8);
    tape.committed(2, 2, 8);
    tape.mark(MarkKind::Heal, "ctl2 active");
    tape.committed(3, 2, 8);
    tape.applied(&[2, 3], 2, 8);
    tape.at(13_000);
    tape.everybody_is_alive(2);
    tape.at(13_500);
    tape.metadata(2, 2, 9);
    tape.metadata(2, 2, 10);
    tape.metadata(3, 2, 10);
    tape.committed(2, 2, 10);
    let in_sync = [2, 3].into_iter().map(BrokerId).collect();
    let changed = EventKind::PartitionChanged {
        partition: crate::view::story::P0,
        leader: Some(BrokerId(2)),
        leader_epoch: LeaderEpoch(1),
        isr: in_sync,
        elr: BrokerSet::EMPTY,
    };
    tape.story.push(ctl(2), changed);
    tape.story.push(ctl(2), EventKind::BrokerFenced { broker: BrokerId(1) });
    tape.applied(&[2], 2, 10);
    let (leader_epoch, end) = (LeaderEpoch(1), Offset(0));
    let partition = crate::view::story::P0;
    tape.story.broker(2, EventKind::BecameLeader { partition, leader_epoch, end });
    tape.at(15_000);
    tape.story.push(ctl(1), EventKind::Fault { kind: FaultKind::Start });
    tape.story.push(ctl(1), EventKind::MetadataTruncated { to: Offset(7) });
    tape.metadata(1, 2, 10);
    tape.story.push(NodeId::Script, EventKind::Ended);
    let mut world = film_world(tape, "1");
    world.variant = "and a follower".to_owned();
    let film = Film {
        scenario: "controller-failover".to_owned(),
        title: "The active controller dies: does traffic stop?".to_owned(),
        seed: 1,
        questions: Vec::new(),
        worlds: vec![world],
        takeaway: "The control plane is not the data plane.".to_owned(),
        difference: String::new(),
    };
    let mut app = App::new(film, Mode::Play, PLAIN);
    app.act(Action::Controller);
    app
}

pub(super) fn scenes() -> Vec<(&'static str, App)> {
    let mut older = at(failover(), 13_511);
    older.key(Key::Char('j'));
    vec![
        ("controller-none", at(failover(), 3_000)),
        ("controller", at(failover(), 13_506)),
        ("controller-older", older),
    ]
}

fn screen(app: &App) -> String {
    text(&render(app, 80, 24))
}

#[test]
fn without_an_active_controller_the_data_plane_goes_on_alone() {
    let shown = screen(&at(failover(), 2_001));
    assert!(shown.contains("control plane: nobody may elect ✗"), "{shown}");
    assert!(shown.contains("nobody counts its session"), "{shown}");
    assert!(shown.contains("2 of 3 are enough"), "{shown}");
    // The record that only ctl1 has is not committed.
    assert!(shown.contains("nobody acts on it yet"), "{shown}");
}

#[test]
fn a_step_stops_at_what_changes_the_quorum_and_back() {
    let mut app = at(failover(), 2_001);
    app.act(Action::StepForward);
    assert_eq!(app.now(), Time(4_500_000), "the next thing that happens to controllers");
    let shown = screen(&app);
    assert!(shown.contains("not active: needs 2 of 3"), "{shown}");
    app.act(Action::StepBack);
    assert_eq!(app.now(), Time(2_001_000));
    let events = |app: &App| app.last_event(0);
    let mut seen: Vec<Option<EventSeq>> = vec![events(&app)];
    while !app.at_end() {
        app.act(Action::StepForward);
        seen.push(events(&app));
    }
    for expected in seen.iter().rev().skip(1) {
        app.act(Action::StepBack);
        assert_eq!(events(&app), *expected);
    }
}

#[test]
fn the_cursor_walks_the_records_and_enter_goes_to_their_decision() {
    let mut app = at(failover(), 14_000);
    let shown = screen(&app);
    assert!(shown.contains("►8-9"), "{shown}");
    assert!(shown.contains("orders-0 leader b2 epoch 1"), "{shown}");
    app.key(Key::Char('j'));
    assert!(screen(&app).contains("►7 "), "the first record of epoch 2");
    app.key(Key::Char('j'));
    assert!(screen(&app).contains("►0-6"));
    app.key(Key::Char('j'));
    assert!(app.note.is_some(), "there is no older one");
    app.key(Key::Enter);
    assert!(app.now() < Time(100_000));
    app.key(Key::Char('k'));
    assert_eq!(app.record, None, "it follows the log again");
    app.key(Key::Esc);
    assert_eq!(app.screen, Screen::Stage);
}
