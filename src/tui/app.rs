//! The state of a film on the screen and what keys do to it. Nothing here draws or touches a terminal, so a test can
//! press keys and let frames go by.

mod answers;
mod inspect;
mod travel;

use crate::base::ids::{EventSeq, MessageId, Offset, PartitionId};
use crate::base::time::Time;
use crate::tui::app::inspect::step;
use crate::tui::canvas::Look;
use crate::tui::compare::Differences;
use crate::tui::keymap::{self, Action, Key, Scope};
use crate::tui::model::{End, Film, Kill, Mode, Options, Outcome, World};
use crate::tui::moment::Moment;
use crate::tui::player::Player;
use crate::tui::projection::Projection;
use crate::tui::quiz::{self, Asking, Quiz, StopKind};
use crate::tui::reel::Reel;
use crate::tui::screens::group::Place;
use crate::tui::screens::log;
use crate::tui::speech::Speech;
use crate::tui::target::Target;
use crate::tui::terminal::Request;
use crate::view::cluster::ClusterView;

/// What fills the screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Screen {
    /// One world.
    Stage,
    /// All worlds side by side.
    Compare,
    /// The journey of one message.
    Why,
    /// What is on one disk.
    Log,
    /// The quorum of controllers.
    Controller,
    /// Transactions.
    Transactions,
    /// A group, member by member.
    Group,
}

/// What lies over the screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Overlay {
    /// The keys and signs.
    Help,
    /// A place to go to is typed.
    GoTo(String),
    /// A question.
    Ask(Asking),
    /// What became of a question.
    Reveal(usize),
}

/// A film on the screen.
#[derive(Clone, Debug)]
pub struct App {
    /// What is shown.
    pub film: Film,
    /// The order of showing.
    pub reel: Reel,
    /// Where it stands.
    pub player: Player,
    /// What fills the screen.
    pub screen: Screen,
    /// Where Esc leads, innermost last.
    behind: Vec<Screen>,
    /// What lies over it.
    pub overlay: Option<Overlay>,
    /// The world in front.
    pub world: usize,
    /// The partition whose replicas are shown; `None` for the default of the screen's size.
    pub opened: Option<PartitionId>,
    /// The partition the cursor stands on, by its place among those of declared topics.
    pub row: usize,
    /// The selected message.
    pub picked: Option<MessageId>,
    /// Zoom steps away from what is chosen by itself: positive is farther.
    pub zoom: i8,
    /// Rows that are equal everywhere are left out of the comparison.
    pub hide_same: bool,
    /// The row of the journey the cursor stands on.
    pub cause: usize,
    /// Where the log inspector stands.
    pub log: log::Place,
    /// The record of the metadata log the cursor stands on; `None` for the newest.
    pub record: Option<Offset>,
    /// The transactional id in sight, by its place on the screen.
    pub transaction: usize,
    /// Where the screen of groups stands.
    pub anatomy: Place,
    /// Where the worlds part.
    pub differences: Differences,
    /// Questions.
    pub quiz: Quiz,
    /// What it is shown for.
    pub mode: Mode,
    /// Colours and symbols.
    pub look: Look,
    /// A short answer to a key that could do nothing.
    pub note: Option<String>,
    /// Where the story begins: the cluster is up, and nobody has done anything.
    opening: usize,
    options: Options,
    folds: Vec<Projection>,
    moments: Vec<Moment>,
    speeches: Vec<Speech>,
    request: Option<Request>,
    /// A run that is to be played.
    wish: Option<Kill>,
    /// The film this one was opened from, to look at a fork of it.
    outer: Option<Box<Self>>,
}

impl App {
    /// `film` at its beginning.
    ///
    /// # Panics
    /// When the film has no world.
    pub fn new(film: Film, mode: Mode, options: Options) -> Self {
        assert!(!film.worlds.is_empty(), "a film has at least one world");
        let reel = Reel::new(&film.worlds);
        let folds = film.worlds.iter().map(Projection::new).collect();
        let speeches = film.worlds.iter().map(Speech::new).collect();
        let moments = vec![Moment::default(); film.worlds.len()];
        let side_by_side = film.worlds.len() > 1 && mode != Mode::Play;
        let quiz = match mode {
            Mode::Learn => Quiz::new(&film, &reel, (!side_by_side).then_some(0)),
            Mode::Play | Mode::Compare => Quiz::default(),
        };
        let mut app = Self {
            differences: Differences::find(&film),
            look: Look { theme: options.theme, ascii: options.ascii },
            screen: if side_by_side { Screen::Compare } else { Screen::Stage },
            player: Player::default(),
            behind: Vec::new(),
            overlay: None,
            world: 0,
            opened: None,
            row: 0,
            picked: None,
            zoom: 0,
            hide_same: false,
            cause: 0,
            log: log::Place::default(),
            record: None,
            transaction: 0,
            anatomy: Place::default(),
            note: None,
            request: None,
            wish: None,
            outer: None,
            opening: 0,
            film,
            reel,
            quiz,
            mode,
            options,
            folds,
            moments,
            speeches,
        };
        app.opening = app.reel.opening(&app.film.worlds);
        app.player.fit(app.reel.total());
        app.go(app.opening);
        if mode == Mode::Learn {
            let note =
                "Space plays the story; it stops where a question is asked. Every key is under ?.";
            app.note = Some(note.to_owned());
        }
        app
    }

    /// The state of `world` at the cursor.
    pub fn view(&self, world: usize) -> &ClusterView {
        self.folds[world].view()
    }

    /// The fates of the messages of `world` at the cursor.
    pub fn moment(&self, world: usize) -> &Moment {
        &self.moments[world]
    }

    /// The sentences of `world`.
    pub fn speech(&self, world: usize) -> &Speech {
        &self.speeches[world]
    }

    /// The run in front.
    pub fn run(&self) -> &World {
        &self.film.worlds[self.world]
    }

    /// The event of `world` shown last.
    pub fn last_event(&self, world: usize) -> Option<EventSeq> {
        self.folds[world].at().checked_sub(1).map(|n| EventSeq(n as u32))
    }

    /// The virtual time on the screen.
    pub fn now(&self) -> Time {
        self.player.now(&self.reel)
    }

    /// True when messages stand still in mid-lane instead of moving.
    pub fn is_still(&self) -> bool {
        self.options.no_animation
    }

    /// The partitions a screen shows: those of declared topics.
    pub fn partitions(&self) -> Vec<PartitionId> {
        let topics = self.run().names.topics.iter().filter(|topic| !topic.internal);
        let all = topics.flat_map(|topic| topic.partitions.iter().copied());
        all.filter(|id| self.view(self.world).exists(*id)).collect()
    }

    /// The scopes in force, innermost first.
    pub fn scopes(&self) -> Vec<Scope> {
        match (&self.overlay, self.screen) {
            (Some(Overlay::Help), _) => vec![Scope::Help],
            (Some(Overlay::GoTo(_)), _) => vec![Scope::Prompt],
            (Some(Overlay::Ask(_)), _) => vec![Scope::Ask],
            (Some(Overlay::Reveal(_)), _) => vec![Scope::Reveal],
            (None, screen) => Self::scopes_of(screen),
        }
    }

    /// The scopes of a screen without anything over it.
    pub fn scopes_of(screen: Screen) -> Vec<Scope> {
        match screen {
            Screen::Stage => vec![Scope::Film],
            Screen::Compare => vec![Scope::Compare, Scope::Film],
            Screen::Why => vec![Scope::Why, Scope::Film],
            Screen::Log => vec![Scope::Log, Scope::Film],
            Screen::Controller => vec![Scope::Controller, Scope::Film],
            Screen::Transactions => vec![Scope::Transactions, Scope::Film],
            Screen::Group => vec![Scope::Group, Scope::Film],
        }
    }

    /// The last position that may be shown.
    pub fn limit(&self) -> usize {
        self.quiz.limit().unwrap_or(self.reel.len()).min(self.reel.len())
    }

    /// The position beyond which nothing may be known yet: a question lies there.
    pub fn horizon(&self) -> usize {
        self.quiz.horizon().unwrap_or(self.reel.len()).min(self.reel.len())
    }

    /// True at the last event.
    pub fn at_end(&self) -> bool {
        self.player.position() >= self.reel.len()
    }

    /// Takes what is wanted of the terminal.
    pub fn take_request(&mut self) -> Option<Request> {
        self.request.take()
    }

    /// How the film ended.
    pub fn outcome(&self, end: End) -> Outcome {
        Outcome { end, answers: self.quiz.given.clone() }
    }

    /// `frames` of the wall clock went by. True when there is something new to draw.
    pub fn tick(&mut self, frames: f64) -> bool {
        if !self.player.playing || self.overlay.is_some() {
            return false;
        }
        let limit = self.limit();
        self.player.advance(&self.reel, frames, limit);
        self.fold();
        if !self.player.playing {
            self.arrive();
        }
        true
    }

    /// Stands right after entry number `position`, as far as that may be shown.
    pub fn go(&mut self, position: usize) {
        let position = position.min(self.limit());
        self.player.jump(&self.reel, position);
        self.fold();
    }

    fn fold(&mut self) {
        let position = self.player.position();
        let pending = self.quiz.pending().map(|question| &self.film.questions[question]);
        for (world, fold) in self.folds.iter_mut().enumerate() {
            let run = &self.film.worlds[world];
            let held = pending.and_then(|question| question.asks[world].as_ref());
            let held = held.map_or(usize::MAX, |ask| ask.at.index() + 1);
            let shown = self.reel.shown(world, position).min(held);
            if shown != fold.at() {
                fold.go(run, shown);
                self.moments[world] = Moment::new(run, fold.view());
            }
        }
    }

    /// Opens the box the lesson stops for here, if it does.
    fn arrive(&mut self) {
        self.overlay = match self.quiz.due(self.player.position()) {
            Some(StopKind::Ask(question)) => {
                let only = (self.screen == Screen::Stage && self.film.worlds.len() == 1)
                    .then_some(self.world);
                let asked = quiz::asked_in(&self.film.questions[question], only);
                Some(Overlay::Ask(Asking {
                    worlds: asked.map(|(world, _)| world).collect(),
                    question,
                    turn: 0,
                    hints: 0,
                    typed: String::new(),
                    given: Vec::new(),
                }))
            }
            Some(StopKind::Reveal(question)) => Some(Overlay::Reveal(question)),
            None => self.overlay.take(),
        };
    }

    /// Goes on beyond `position`; where the lesson stops before that, its box opens.
    pub(super) fn forward(&mut self, position: usize) {
        let held = self.quiz.due(self.player.position()).is_some();
        self.go(position);
        if held || self.quiz.due(self.player.position()).is_some() {
            self.arrive();
        }
    }

    /// A key was pressed.
    pub fn key(&mut self, key: Key) {
        self.note = None;
        if self.type_place(key) || self.type_answer(key) {
            return;
        }
        if let Some(binding) = keymap::find(key, &self.scopes()) {
            self.act(binding.action);
        }
    }

    /// Takes a character of the place to go to. True when the key was one.
    fn type_place(&mut self, key: Key) -> bool {
        let Some(Overlay::GoTo(text)) = &mut self.overlay else { return false };
        match key {
            Key::Char(c) if text.len() < 40 => text.push(c),
            Key::Backspace => {
                text.pop();
            }
            _ => return false,
        }
        true
    }

    /// Does what a key stands for.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Interrupt => self.request = Some(Request::Leave(End::Interrupt)),
            Action::Suspend => self.request = Some(Request::Suspend),
            Action::Redraw => self.request = Some(Request::Redraw),
            Action::Theme => self.look.theme = self.look.theme.next(),
            Action::Ascii => self.look.ascii = !self.look.ascii,
            Action::Help => self.overlay = Some(Overlay::Help),
            Action::GoTo => self.overlay = Some(Overlay::GoTo(String::new())),
            Action::Open => self.open(),
            Action::Back => self.back(),
            Action::Quit => self.quit(),
            Action::Hint => self.hint(),
            Action::Skip => self.answer(None, None),
            Action::Stage => self.show(Screen::Stage),
            Action::Compare => self.compare(),
            Action::Why if self.screen == Screen::Transactions => self.why_held(),
            Action::Why if self.screen == Screen::Group => self.why_twice(),
            Action::Why => self.why(),
            Action::Log => self.show(Screen::Log),
            Action::Controller => self.show(Screen::Controller),
            Action::Transactions => self.show(Screen::Transactions),
            Action::Group => self.show(Screen::Group),
            Action::KillProducer => self.kill_producer(),
            Action::Beside => self.log.beside = !self.log.beside,
            Action::ZoomOut => self.zoom = (self.zoom + 1).min(4),
            Action::ZoomIn => self.zoom = (self.zoom - 1).max(-2),
            Action::HideSame => self.hide_same = !self.hide_same,
            Action::NextWorld => self.turn_world(1),
            Action::PreviousWorld => self.turn_world(self.film.worlds.len() - 1),
            Action::SelectLeft | Action::SelectRight if self.screen == Screen::Log => {
                self.turn_replica(action == Action::SelectRight);
            }
            Action::SelectLeft | Action::SelectRight if self.screen == Screen::Group => {
                self.shift_window(action == Action::SelectLeft);
            }
            Action::SelectLeft => self.pick(false),
            Action::SelectRight => self.pick(true),
            Action::SelectUp => self.move_row(false),
            Action::SelectDown => self.move_row(true),
            Action::Learn | Action::Play | Action::Search => {}
            _ => self.travel(action),
        }
    }

    fn show(&mut self, screen: Screen) {
        if self.screen != screen {
            self.behind.retain(|other| *other != screen);
            self.behind.push(self.screen);
            self.screen = screen;
        }
    }

    pub(super) fn why(&mut self) {
        self.overlay = None;
        self.picked = self.picked.or_else(|| self.moment(self.world).most_interesting());
        if self.picked.is_some() {
            self.cause = 0;
            self.show(Screen::Why);
        } else {
            self.note = Some("No message has been sent yet.".to_owned());
        }
    }

    /// Every message sent so far in the world in front.
    fn sent(&self) -> Vec<MessageId> {
        let messages = self.view(self.world).messages.iter().enumerate();
        messages.filter(|(_, m)| m.is_sent()).map(|(n, _)| MessageId(n as u32)).collect()
    }

    fn pick(&mut self, right: bool) {
        let sent = self.sent();
        let here = self.picked.and_then(|id| sent.binary_search(&id).ok());
        self.picked = match (here, right) {
            (Some(at), true) => sent.get(at + 1).or(sent.last()).copied(),
            (Some(at), false) => sent.get(at.saturating_sub(1)).copied(),
            (None, true) => sent.first().copied(),
            (None, false) => sent.last().copied(),
        };
        self.cause = 0;
    }

    fn move_row(&mut self, down: bool) {
        match self.screen {
            Screen::Why => {
                self.cause = step(self.cause, down, crate::tui::screens::why::length(self));
            }
            Screen::Controller => self.turn_record(down),
            Screen::Transactions => self.turn_transaction(down),
            Screen::Group => self.turn_member(down),
            Screen::Log => self.log.batch = step(self.log.batch, down, self.log_rows()),
            _ => self.row = step(self.row, down, self.partitions().len()),
        }
    }

    fn turn_world(&mut self, by: usize) {
        self.world = (self.world + by) % self.film.worlds.len();
    }

    fn open(&mut self) {
        match self.overlay.take() {
            Some(Overlay::GoTo(text)) => self.go_to(&text),
            Some(Overlay::Reveal(_)) => {
                self.quiz.pass();
                self.arrive();
                self.player.playing = self.overlay.is_none() && !self.at_end();
            }
            Some(Overlay::Help | Overlay::Ask(_)) | None => match self.screen {
                Screen::Compare => self.show(Screen::Stage),
                Screen::Controller => self.go_to_record(),
                Screen::Transactions => self.go_to_marker(),
                Screen::Group => self.anatomy.detail = self.anatomy.detail.next(),
                // One partition is drawn in full already: Enter looks into its logs.
                Screen::Stage if self.opened.is_some() || self.partitions().len() == 1 => {
                    self.show(Screen::Log);
                }
                Screen::Stage => self.opened = self.partitions().get(self.row).copied(),
                Screen::Log => self.toggle_records(),
                Screen::Why => self.open_cause(),
            },
        }
    }

    fn go_to(&mut self, text: &str) {
        match Target::parse(text).and_then(|target| target.resolve(self)) {
            Ok(position) => self.forward(position),
            Err(problem) => self.note = Some(problem),
        }
    }

    fn back(&mut self) {
        if self.overlay.take().is_some() {
            return;
        }
        if self.screen == Screen::Stage && self.opened.take().is_some() {
            return;
        }
        if let Some(screen) = self.behind.pop() {
            self.screen = screen;
        } else if let Some(outer) = self.outer.take() {
            *self = *outer;
        }
    }

    fn quit(&mut self) {
        if self.overlay.is_none()
            && (self.outer.is_some()
                || matches!(
                    self.screen,
                    Screen::Why
                        | Screen::Log
                        | Screen::Controller
                        | Screen::Transactions
                        | Screen::Group
                ))
        {
            self.back();
        } else {
            self.request = Some(Request::Leave(End::Quit));
        }
    }
}
