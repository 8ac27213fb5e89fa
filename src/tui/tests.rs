//! The screens as text. Each is drawn from a small hand-made film: three messages that all brokers have, three that
//! only the leader has, and a leader that dies, under acks 0, 1 and all.

mod groups;
mod home;
mod quorum;
mod transactions;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::error::ErrorCode;
use crate::base::ids::{BatchHandle, BrokerId, EventSeq, NodeId, Offset};
use crate::base::shared_log::SharedLog;
use crate::base::time::Time;
use crate::event::{Api, EventKind, FaultKind, WireLabel};
use crate::tui::app::{App, Overlay, Screen};
use crate::tui::canvas::Look;
use crate::tui::glyphs;
use crate::tui::keymap::{self, Action, Key};
use crate::tui::model::{
    Ask, Choice, End, Expectation, Film, Mark, MarkKind, Mode, Options, Question, World,
};
use crate::tui::screens::{self, home::Home};
use crate::tui::terminal::Request;
use crate::tui::theme::Theme;
use crate::view::narrate::Facts;
use crate::view::story::{P0, Story};
use home::{lessons, render_home};

const CHECKOUT: NodeId = NodeId::Producer(0);
const B1: NodeId = NodeId::Broker(BrokerId(1));
const B2: NodeId = NodeId::Broker(BrokerId(2));

/// A story with messages on the wire and its own clock.
struct Tape {
    story: Story,
    marks: Vec<Mark>,
    wires: u32,
}

impl Tape {
    fn new() -> Self {
        let mut story = Story::new();
        let names = Arc::make_mut(&mut story.names);
        names.partitions.truncate(1);
        names.topics[0].partitions.truncate(1);
        names.topics[0].partition_count = 1;
        names.group_partitions[0] = P0;
        Self { story, marks: Vec::new(), wires: 0 }
    }

    fn at(&mut self, millis: u64) {
        assert!(self.story.now <= Time(millis * 1_000), "the story is at {}", self.story.now);
        self.story.now = Time(millis * 1_000 - 1_000);
    }

    fn mark(&mut self, kind: MarkKind, label: &str) {
        let at = EventSeq(self.story.events.len() as u32 - 1);
        self.marks.push(Mark { at, kind, label: label.to_owned() });
    }

    fn depart(&mut self, from: NodeId, to: NodeId, api: (Api, bool), batch: BatchHandle) -> u32 {
        let wire = self.wires;
        self.wires += 1;
        let label = WireLabel {
            api: api.0,
            response: api.1,
            error: ErrorCode::None,
            partition: Some(P0),
            batch,
            offset: 3,
        };
        self.story.push(from, EventKind::WireSent { wire, to, arrives_in: 1_000, label });
        wire
    }

    fn arrive(&mut self, at: NodeId, wire: u32) {
        self.story.push(at, EventKind::WireArrived { wire });
    }

    /// A batch leaves the producer and is appended by its leader.
    fn produce(&mut self, leader: u8, ids: &[u32], base: i64, epoch: i32) -> BatchHandle {
        let batch = self.story.send(ids);
        let to = NodeId::Broker(BrokerId(leader));
        let wire = self.depart(CHECKOUT, to, (Api::Produce, false), batch);
        self.arrive(to, wire);
        self.story.append(leader, batch, base, epoch);
        batch
    }

    fn follow(&mut self, brokers: &[u8], leader: u8, batch: BatchHandle, base: i64, epoch: i32) {
        let from = NodeId::Broker(BrokerId(leader));
        for n in brokers {
            let to = NodeId::Broker(BrokerId(*n));
            let wire = self.depart(from, to, (Api::Fetch, true), batch);
            self.arrive(to, wire);
            self.story.append(*n, batch, base, epoch);
        }
    }

    fn told(&mut self, from: NodeId, batch: BatchHandle, base: i64) {
        if base >= 0 {
            let wire = self.depart(from, CHECKOUT, (Api::Produce, true), batch);
            self.arrive(CHECKOUT, wire);
        }
        self.story.acked(batch, base);
    }
}

/// The story of a leader that dies with messages nobody else has.
fn world(acks: &str) -> World {
    let mut tape = Tape::new();
    tape.story.assign(0, 1, 0);
    tape.at(100);
    let first = tape.produce(1, &[0, 1, 2], 0, 0);
    tape.follow(&[2, 3], 1, first, 0, 0);
    for n in [1, 2, 3] {
        tape.story.high_watermark(n, 3);
    }
    tape.told(B1, first, if acks == "0" { -1 } else { 0 });
    tape.story.poll(0, first, 0);
    tape.story.process(0, first, 0, (0, 3));
    tape.story.commit(3);
    tape.at(1_000);
    tape.story.fault(2, FaultKind::Freeze);
    tape.story.fault(3, FaultKind::Freeze);
    tape.mark(MarkKind::Fault, "freeze b2 b3");
    tape.at(2_100);
    let second = tape.produce(1, &[3, 4, 5], 3, 0);
    if acks != "all" {
        tape.told(B1, second, if acks == "0" { -1 } else { 3 });
    }
    tape.at(2_899);
    tape.story.push(NodeId::Script, EventKind::Question { question: 0 });
    tape.mark(MarkKind::Question, "");
    tape.story.fault(1, FaultKind::Kill);
    tape.mark(MarkKind::Fault, "kill b1");
    for n in [2, 3] {
        tape.story.fault(n, FaultKind::Thaw);
    }
    tape.at(11_204);
    tape.story.leads(2, 1, &[2, 3]);
    tape.mark(MarkKind::Heal, "b2 leads");
    if acks == "all" {
        tape.follow_up(second);
    } else {
        tape.mark(MarkKind::Violation, "lost");
    }
    tape.at(14_000);
    tape.story.fault(1, FaultKind::Start);
    tape.story.truncate(1, 3, 0);
    tape.story.push(NodeId::Script, EventKind::Ended);
    film_world(tape, acks)
}

impl Tape {
    /// Under acks=all the producer still has what nobody answered and sends it to the new leader.
    fn follow_up(&mut self, batch: BatchHandle) {
        let wire = self.depart(CHECKOUT, B2, (Api::Produce, false), batch);
        self.arrive(B2, wire);
        self.story.append(2, batch, 3, 1);
        self.follow(&[3], 2, batch, 3, 1);
        self.story.high_watermark(2, 6);
        self.told(B2, batch, 3);
    }
}

fn film_world(tape: Tape, acks: &str) -> World {
    let mut events = SharedLog::default();
    for event in &tape.story.events {
        events.push(*event);
    }
    World {
        variant: format!("acks={acks}"),
        names: tape.story.names,
        events,
        batches: tape.story.batches,
        marks: tape.marks,
        facts: "orders-0 RF 3 min ISR 1".to_owned(),
        settings: Facts::default(),
        captions: Vec::new(),
        expectations: vec![Expectation {
            text: format!("lost {}", if acks == "all" { 0 } else { 3 }),
            met: true,
        }],
        causes: std::collections::BTreeMap::new(),
        forks: Vec::new(),
        refused: None,
    }
}

fn question(worlds: &[World]) -> Question {
    let ask = |run: &World| {
        let asked = |n: &usize| matches!(run.events[*n].kind, EventKind::Question { .. });
        let at = (0..run.events.len()).find(asked).map(|n| EventSeq(n as u32))?;
        let choice = |(n, text): (u64, &str)| Choice {
            text: text.to_owned(),
            number: Some(n),
            belief: "A write is safe once it is acknowledged.".to_owned(),
        };
        Some(Ask {
            at,
            reveal: EventSeq(run.events.len() as u32 - 1),
            choices: [(0, "none"), (1, "one"), (3, "three"), (6, "all six")].map(choice).to_vec(),
            right: if run.variant == "acks=all" { 0 } else { 2 },
            outcome: "The run lost 3: m3, m4, m5.".to_owned(),
            because: "b1 answered before a follower had them; b2 was elected at 3.".to_owned(),
        })
    };
    Question {
        text:
            "b1 is killed now, then b2 and b3 thaw. How many of the six messages are gone for good?"
                .to_owned(),
        hints: vec!["Look at the bar that ends each row.".to_owned()],
        asks: worlds.iter().map(ask).collect(),
    }
}

fn film(acks: &[&str]) -> Film {
    let worlds: Vec<World> = acks.iter().map(|acks| world(acks)).collect();
    Film {
        scenario: "acks-ladder".to_owned(),
        title: "Which acknowledged messages survive a leader crash?".to_owned(),
        seed: 1,
        questions: vec![question(&worlds)],
        worlds,
        takeaway: "acks=1 asks one disk; acks=all asks every replica in the ISR.".to_owned(),
        difference: "only acks differs".to_owned(),
    }
}

const PLAIN: Options =
    Options { theme: Theme::Mono, ascii: false, no_animation: false, mouse: true };

fn app(acks: &[&str], mode: Mode) -> App {
    App::new(film(acks), mode, PLAIN)
}

fn at(mut app: App, millis: u64) -> App {
    let position = app.reel.at_time(Time(millis * 1_000));
    app.go(position);
    app
}

fn render(app: &App, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screens::draw(app, frame.area(), frame.buffer_mut())).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let Rect { width, height, .. } = buffer.area;
    let row = |y: u16| {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        line.trim_end().to_owned() + "\n"
    };
    (0..height).map(row).collect()
}

/// Compares with `tests/snapshots/<name>.txt`, or writes it when `UPDATE_GOLDEN` is set.
#[expect(clippy::disallowed_methods, reason = "how goldens are renewed is told by the environment")]
fn golden(name: &str, screen: &str) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let path = root.join(format!("{name}.txt"));
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        fs::create_dir_all(root).unwrap();
        fs::write(&path, screen).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == screen,
        "{name} differs; UPDATE_GOLDEN=1 renews it\n--- is\n{screen}\n--- was\n{expected}"
    );
}

/// Every screen at its most telling moment.
fn scenes() -> Vec<(&'static str, App)> {
    let stage = |millis| at(app(&["1"], Mode::Play), millis);
    let compare = |millis| at(app(&["0", "1", "all"], Mode::Compare), millis);
    let mut asking = app(&["1"], Mode::Learn);
    asking.act(Action::End);
    let mut revealed = asking.clone();
    revealed.key(Key::Char('1'));
    revealed.tick(f64::from(u16::MAX));
    let mut help = stage(2_106);
    help.act(Action::Help);
    let mut why = stage(12_000);
    why.act(Action::Why);
    why.act(Action::SelectDown);
    let mut log = stage(20_000);
    log.act(Action::Log);
    let mut beside = log.clone();
    beside.act(Action::Beside);
    let mut go_to = stage(2_106);
    go_to.act(Action::GoTo);
    go_to.key(Key::Char('m'));
    let mut all = vec![
        ("stage-start", stage(20)),
        ("stage-at-risk", stage(2_108)),
        ("stage-lost", stage(11_300)),
        ("stage-end", stage(20_000)),
        ("compare", compare(11_208)),
        ("compare-two", at(app(&["1", "all"], Mode::Compare), 11_208)),
        ("ask", asking),
        ("reveal", revealed),
        ("help", help),
        ("why", why),
        ("log", log),
        ("log-beside", beside),
        ("go-to", go_to),
    ];
    all.extend(quorum::scenes());
    all.extend(transactions::scenes());
    all.extend(groups::scenes());
    all
}

#[test]
fn screens_look_as_they_did() {
    for (name, app) in scenes() {
        for (width, height) in [(80, 24), (120, 40), (40, 12)] {
            golden(&format!("{name}-{width}x{height}"), &text(&render(&app, width, height)));
        }
    }
    let home = Home::new(lessons(), PLAIN);
    for (width, height) in [(80, 24), (120, 40), (40, 12)] {
        golden(&format!("home-{width}x{height}"), &text(&render_home(&home, width, height)));
    }
}

#[test]
fn ascii_is_complete() {
    for (name, mut app) in scenes() {
        app.look = Look { theme: Theme::Mono, ascii: true };
        for (width, height) in [(80, 24), (120, 40), (40, 12)] {
            let screen = text(&render(&app, width, height));
            assert!(screen.is_ascii(), "{name} at {width}x{height}:\n{screen}");
        }
    }
    let ascii = Options { ascii: true, ..PLAIN };
    let screen = text(&render_home(&Home::new(lessons(), ascii), 80, 24));
    assert!(screen.is_ascii(), "{screen}");
}

/// Symbols beyond ASCII come from the one list, so each is a column wide and has an ASCII form.
#[test]
fn only_listed_symbols_are_drawn() {
    for (name, app) in scenes() {
        for symbol in text(&render(&app, 120, 40)).chars().filter(|c| !c.is_ascii()) {
            let listed = glyphs::TABLE.iter().any(|glyph| glyph.unicode == symbol);
            assert!(listed, "{name} draws {symbol:?}");
        }
    }
}

#[test]
fn no_size_panics() {
    let sizes = [0, 1, 2, 3, 5, 11, 19, 20, 39, 40, 79, 80, 81, 119, 120, 300];
    for (_, app) in scenes() {
        for width in sizes {
            for height in [0, 1, 2, 3, 7, 11, 12, 23, 24, 25, 40, 100] {
                let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                screens::draw(&app, buffer.area, &mut buffer);
            }
        }
    }
    let home = Home::new(lessons(), PLAIN);
    for width in sizes {
        for height in [0, 1, 3, 12, 24, 100] {
            render_home(&home, width, height);
        }
    }
}

/// Pause, step, back, step: the same cells, in the middle of a flight or not.
#[test]
fn a_step_back_undoes_a_step() {
    for mode in [Mode::Play, Mode::Compare] {
        let mut app = app(&["0", "1", "all"], mode);
        let mut shown = vec![render(&app, 80, 24)];
        while !app.at_end() {
            app.act(Action::StepForward);
            shown.push(render(&app, 80, 24));
        }
        for step in (0..shown.len() - 1).rev() {
            app.act(Action::StepBack);
            assert_eq!(text(&shown[step]), text(&render(&app, 80, 24)), "{mode:?} back to {step}");
            assert_eq!(shown[step], render(&app, 80, 24));
            if step % 7 == 0 {
                app.act(Action::StepForward);
                assert_eq!(shown[step + 1], render(&app, 80, 24));
                app.act(Action::StepBack);
            }
        }
    }
}

/// A hop takes 8 frames, so after half of them its token hangs in the middle of the lane and stays there.
#[test]
fn a_message_flies_for_eight_frames_and_freezes_when_paused() {
    let mut app = at(app(&["1"], Mode::Play), 2_104);
    assert_eq!(app.now(), Time(2_104_000));
    app.act(Action::PlayPause);
    app.tick(4.0);
    app.act(Action::PlayPause);
    assert_eq!(app.now(), Time(2_104_500));
    let frozen = render(&app, 80, 24);
    assert!(text(&frozen).contains("◄── Produce m3-m5"), "{}", text(&frozen));
    assert!(!app.tick(100.0), "nothing moves while paused");
    assert_eq!(frozen, render(&app, 80, 24));
    app.act(Action::PlayPause);
    // Half a flight, and in this film a millisecond more until the append.
    app.tick(4.0 + 8.0);
    assert!(text(&render(&app, 80, 24)).contains("□m3 □m4 □m5"));
}

#[test]
fn a_silence_is_short_on_the_screen_and_announced() {
    let mut app = at(app(&["1"], Mode::Play), 2_903);
    app.act(Action::PlayPause);
    app.tick(2.0);
    let screen = text(&render(&app, 80, 24));
    assert!(screen.lines().next().unwrap().contains("⋯ 8.3 s"), "{screen}");
    app.tick(30.0);
    assert!(app.now() >= Time(11_204_000), "8.3 s take less than 32 frames: {}", app.now());
}

#[test]
fn speeds_change_what_a_frame_is_worth() {
    let mut app = at(app(&["1"], Mode::Play), 2_104);
    app.act(Action::Slower);
    app.act(Action::PlayPause);
    app.tick(8.0);
    assert_eq!(app.now(), Time(2_104_500), "half speed");
    for _ in 0..20 {
        app.act(Action::Faster);
    }
    app.tick(60.0);
    assert!(app.at_end() && !app.player.playing, "the film stops at its end");
}

#[test]
fn marks_and_violations_are_found_in_both_directions() {
    let mut app = app(&["1"], Mode::Play);
    let mut stops = Vec::new();
    for _ in 0..5 {
        app.act(Action::NextMark);
        stops.push(app.now().0 / 1_000);
    }
    assert_eq!(stops, [1_001, 2_899, 2_900, 11_205, 11_205]);
    app.act(Action::PreviousMark);
    assert_eq!(app.now(), Time(2_900_000));
    app.act(Action::NextViolation);
    assert_eq!(app.now(), Time(11_205_000));
    app.act(Action::NextViolation);
    assert!(app.note.is_some(), "a key that can do nothing says so");
    for (typed, at) in [("2.9s", 2_900), ("m3", 11_205), ("x", 11_205)] {
        app.act(Action::GoTo);
        typed.chars().for_each(|c| app.key(Key::Char(c)));
        app.key(Key::Enter);
        if typed != "m3" {
            assert_eq!(app.now().0 / 1_000, at, "{typed}");
        }
    }
}

/// A question stops the film, hides the future, and is graded by the run.
#[test]
fn a_lesson_stops_for_its_question_and_reveals_the_answer() {
    let mut app = app(&["1"], Mode::Learn);
    app.act(Action::End);
    assert!(matches!(app.overlay, Some(Overlay::Ask(_))), "no key leads past a question");
    assert_eq!(app.now(), Time(2_899_000));
    let screen = text(&render(&app, 80, 24));
    for secret in ["14.0", "kill b1", "11.2", "lost 3"] {
        assert!(!screen.contains(secret), "{secret} is the future:\n{screen}");
    }
    app.key(Key::Esc);
    app.act(Action::StepBack);
    app.act(Action::StepForward);
    app.act(Action::StepForward);
    assert!(matches!(app.overlay, Some(Overlay::Ask(_))), "it is put again");
    app.key(Key::Char('H'));
    app.key(Key::Char('1'));
    assert!(app.player.playing, "the film runs on");
    for _ in 0..400 {
        app.tick(2.0);
    }
    assert_eq!(app.overlay, Some(Overlay::Reveal(0)));
    let given = app.outcome(End::Quit).answers[0];
    assert_eq!((given.choice, given.right, given.hints), (Some(0), false, 1));
    let screen = text(&render(&app, 80, 24));
    assert!(screen.contains("You said none. The run lost 3: m3, m4, m5."), "{screen}");
    app.key(Key::Enter);
    assert_eq!(app.overlay, None);
}

#[test]
fn side_by_side_every_variant_is_asked() {
    let mut app = app(&["0", "1", "all"], Mode::Learn);
    assert_eq!(app.screen, Screen::Compare);
    app.act(Action::End);
    for answer in ['3', '3', '1'] {
        app.key(Key::Char(answer));
    }
    let given = app.outcome(End::Quit).answers;
    assert!(given.len() == 3 && given.iter().all(|given| given.right), "{given:?}");
}

#[test]
fn the_first_difference_and_the_one_that_matters_are_found() {
    let mut app = app(&["0", "1", "all"], Mode::Compare);
    app.act(Action::FirstDifference);
    assert_eq!(app.now().0 / 1_000, 116, "acks=0 is told at once");
    app.act(Action::DecisiveDifference);
    let (world, seq) = app.differences.decisive.unwrap();
    assert!(matches!(
        app.film.worlds[world].events[seq.index()].kind,
        EventKind::Acknowledged { base_offset, .. } if base_offset == Offset(3) || world == 0
    ));
}

/// Every key of a screen's last row does something there: it changes the screen or asks something of the terminal.
#[test]
fn every_key_shown_works() {
    for (name, app) in scenes() {
        for (_, binding) in keymap::footer(&app.scopes(), 300) {
            let mut app = app.clone();
            let before = format!("{:?}{:?}", app.overlay, render(&app, 80, 24));
            let playing = app.player.playing;
            app.key(binding.keys[0]);
            let after = format!("{:?}{:?}", app.overlay, render(&app, 80, 24));
            let worked = before != after
                || app.player.playing != playing
                || app.take_request().is_some()
                || app.take_wish().is_some()
                || app.note.is_some();
            let single = matches!(binding.action, Action::NextWorld | Action::PreviousWorld);
            assert!(worked || single, "{name}: {} {}", binding.label, binding.does);
        }
    }
}

#[test]
fn signals_of_the_keyboard_leave_at_once() {
    for (name, mut app) in scenes() {
        app.key(Key::Ctrl('c'));
        assert_eq!(app.take_request(), Some(Request::Leave(End::Interrupt)), "{name}");
    }
    assert_eq!((End::Interrupt.code(), End::Terminate.code(), End::HangUp.code()), (130, 143, 129));
}

/// mono, and colours: the same words at the same places.
#[test]
fn no_fact_is_told_by_colour_alone() {
    for (name, mut app) in scenes() {
        let mono = text(&render(&app, 80, 24));
        for theme in [Theme::Dark, Theme::Light, Theme::ColorBlind] {
            app.look.theme = theme;
            assert_eq!(mono, text(&render(&app, 80, 24)), "{name} in {}", theme.name());
        }
    }
}
