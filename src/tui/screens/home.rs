//! The list of lessons: what next, and why this one? Nothing moves here.

use crossterm::event::{MouseEvent, MouseEventKind};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::canvas::{Canvas, Look, width, wrap};
use crate::tui::glyphs;
use crate::tui::keymap::{self, Action, Key, Scope};
use crate::tui::model::{End, HomeChoice, HomeEntry, LEVELS, Mode, Options};
use crate::tui::screens::help;
use crate::tui::terminal::{Request, Show};
use crate::tui::theme::Role;

/// Columns of the pane of levels.
const LEFT: u16 = 30;

/// The list and where the reader is in it.
#[derive(Clone, Debug)]
pub struct Home {
    entries: Vec<HomeEntry>,
    /// The levels that have lessons.
    levels: Vec<u8>,
    level: usize,
    lesson: usize,
    /// True when the keys move in the list of lessons.
    in_lessons: bool,
    /// What is searched for, while it is.
    search: Option<String>,
    typing: bool,
    help: bool,
    look: Look,
    request: Option<Request>,
    choice: Option<HomeChoice>,
}

impl Home {
    /// The list, with the first lesson of the lowest level selected.
    pub fn new(entries: Vec<HomeEntry>, options: Options) -> Self {
        let mut levels: Vec<u8> = entries.iter().map(|entry| entry.level).collect();
        levels.sort_unstable();
        levels.dedup();
        Self {
            entries,
            levels,
            level: 0,
            lesson: 0,
            in_lessons: true,
            search: None,
            typing: false,
            help: false,
            look: Look { theme: options.theme, ascii: options.ascii },
            request: None,
            choice: None,
        }
    }

    /// What was chosen; `end` when nothing was.
    pub fn into_choice(self, end: End) -> HomeChoice {
        self.choice.unwrap_or(HomeChoice::Leave(end))
    }

    /// The lessons of the right pane.
    fn shown(&self) -> Vec<&HomeEntry> {
        let level = self.levels.get(self.level).copied();
        let wanted = |entry: &&HomeEntry| match &self.search {
            Some(text) => {
                let text = text.to_lowercase();
                entry.id.contains(&text) || entry.title.to_lowercase().contains(&text)
            }
            None => Some(entry.level) == level,
        };
        self.entries.iter().filter(wanted).collect()
    }

    fn selected(&self) -> Option<&HomeEntry> {
        self.shown().get(self.lesson).copied()
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Interrupt => self.request = Some(Request::Leave(End::Interrupt)),
            Action::Suspend => self.request = Some(Request::Suspend),
            Action::Redraw => self.request = Some(Request::Redraw),
            Action::Quit => self.request = Some(Request::Leave(End::Quit)),
            Action::Help => self.help = true,
            Action::Theme => self.look.theme = self.look.theme.next(),
            Action::Ascii => self.look.ascii = !self.look.ascii,
            Action::Learn => self.choose(Mode::Learn),
            Action::Play => self.choose(Mode::Play),
            Action::Compare => self.choose(Mode::Compare),
            Action::NextWorld => self.in_lessons = !self.in_lessons,
            Action::Search => {
                (self.search, self.typing) = (Some(String::new()), true);
                (self.lesson, self.in_lessons) = (0, true);
            }
            Action::Back => {
                (self.search, self.typing, self.lesson) = (None, false, 0);
                self.help = false;
            }
            Action::SelectDown => self.step(true),
            Action::SelectUp => self.step(false),
            _ => {}
        }
    }

    fn step(&mut self, down: bool) {
        let lessons = self.shown().len();
        if self.in_lessons && self.search.is_none() {
            // Beyond the ends of a level its neighbours begin.
            if down && self.lesson + 1 >= lessons && self.level + 1 < self.levels.len() {
                (self.level, self.lesson) = (self.level + 1, 0);
                return;
            }
            if !down && self.lesson == 0 && self.level > 0 {
                self.level -= 1;
                self.lesson = self.shown().len().saturating_sub(1);
                return;
            }
        }
        let (at, count) = if self.in_lessons || self.search.is_some() {
            (&mut self.lesson, lessons)
        } else {
            (&mut self.level, self.levels.len())
        };
        *at = if down { (*at + 1).min(count.saturating_sub(1)) } else { at.saturating_sub(1) };
        if !self.in_lessons && self.search.is_none() {
            self.lesson = 0;
        }
    }

    fn choose(&mut self, mode: Mode) {
        if let Some(entry) = self.selected() {
            self.choice = Some(HomeChoice::Open { id: entry.id.clone(), mode });
            self.request = Some(Request::Leave(End::Quit));
        }
    }

    /// Draws the list.
    pub fn render(&self, area: Rect, buffer: &mut Buffer) {
        let mut canvas = Canvas::new(buffer, area, self.look);
        let (w, h) = (canvas.width(), canvas.height());
        if w < 20 || h < 3 {
            return;
        }
        canvas.text(0, 0, "highwater", Role::Strong);
        canvas.fit(9, 0, "  Kafka 4.4, one message at a time", w.saturating_sub(9), Role::Plain);
        let count = format!("{} lessons", self.entries.len());
        if w >= 70 {
            canvas.right(w, 0, &count, Role::Plain);
        }
        if w >= 70 && h >= 20 {
            let split = h - 10;
            self.levels(&mut canvas.part(0, 1, LEFT, split - 1));
            for y in 1..split {
                canvas.text(LEFT, y, "│", Role::Plain);
            }
            self.lessons(&mut canvas.part(LEFT + 2, 1, w - LEFT - 2, split - 1));
            canvas.line(0, w, split);
            canvas.text(LEFT, split, "┴", Role::Plain);
            self.about(&mut canvas.part(1, split + 1, w - 2, 7));
        } else {
            let level = self.levels.get(self.level).map_or("", |l| LEVELS[usize::from(*l).min(9)]);
            canvas.fit(0, 1, &format!("level ‹ {level} ›"), w, Role::Plain);
            self.lessons(&mut canvas.part(0, 2, w, h.saturating_sub(4)));
        }
        self.last_row(&mut canvas.part(0, h - 1, w, 1));
        if self.help {
            help::draw_home(&mut canvas);
        }
    }

    fn last_row(&self, canvas: &mut Canvas<'_>) {
        if let (true, Some(text)) = (self.typing, &self.search) {
            let x = canvas.text(1, 0, "/", Role::Strong);
            let x = canvas.text(x, 0, text, Role::Plain);
            canvas.glyph(x, 0, glyphs::CURSOR, Role::Plain);
            return;
        }
        for (x, binding) in keymap::footer(&[Scope::Home], canvas.width()) {
            let after = canvas.text(x, 0, binding.label, Role::Strong);
            canvas.text(after + 1, 0, binding.does, Role::Plain);
        }
    }

    fn levels(&self, canvas: &mut Canvas<'_>) {
        canvas.text(1, 0, "level", Role::Plain);
        for (n, level) in self.levels.iter().enumerate() {
            let y = 1 + n as u16;
            let here = n == self.level && self.search.is_none();
            let role = match (here, self.in_lessons) {
                (true, false) => Role::Picked,
                (true, true) => Role::Strong,
                (false, _) => Role::Plain,
            };
            let name = LEVELS[usize::from(*level).min(LEVELS.len() - 1)];
            canvas.text(1, y, &format!("{level} {name}"), role);
            let lessons = self.entries.iter().filter(|entry| entry.level == *level).count();
            canvas.right(LEFT - 1, y, &lessons.to_string(), Role::Plain);
        }
    }

    fn lessons(&self, canvas: &mut Canvas<'_>) {
        let w = canvas.width();
        let heading = match &self.search {
            Some(text) => format!("lessons with \"{text}\""),
            None => "lesson".to_owned(),
        };
        canvas.fit(0, 0, &heading, w, Role::Plain);
        canvas.right(w, 0, "done  ", Role::Plain);
        let shown = self.shown();
        if shown.is_empty() {
            canvas.text(0, 1, "none", Role::Plain);
        }
        let room = usize::from(canvas.height().saturating_sub(1));
        let first = self.lesson.saturating_sub(room.saturating_sub(1));
        for (n, entry) in shown.iter().enumerate().skip(first).take(room) {
            let y = 1 + (n - first) as u16;
            let here = n == self.lesson;
            let (mark, role) = match (here, self.in_lessons) {
                (true, true) => ("►", Role::Picked),
                (true, false) => ("►", Role::Strong),
                (false, _) => ("·", Role::Plain),
            };
            canvas.text(0, y, mark, if here { Role::Now } else { Role::Plain });
            canvas.fit(2, y, &entry.id, w.saturating_sub(9), role);
            // Progress is kept by a later version; what is not known is not drawn as zero.
            canvas.right(w.saturating_sub(4), y, "·", Role::Plain);
        }
    }

    fn about(&self, canvas: &mut Canvas<'_>) {
        let Some(entry) = self.selected() else { return };
        let mut y = 0;
        for line in wrap(&entry.title, canvas.width()).iter().take(3) {
            canvas.text(0, y, line, Role::Strong);
            y += 1;
        }
        for line in wrap(&entry.facts, canvas.width()).iter().take(3) {
            canvas.text(0, y, line, Role::Plain);
            y += 1;
        }
    }
}

impl Show for Home {
    fn draw(&self, frame: &mut Frame<'_>) {
        self.render(frame.area(), frame.buffer_mut());
    }

    fn key(&mut self, key: Key) {
        if self.help {
            if keymap::find(key, &[Scope::Help]).is_some() {
                self.help = false;
            }
            return;
        }
        if self.typing {
            let Some(text) = &mut self.search else { return };
            match key {
                Key::Char(c) if width(text) < 40 => text.push(c),
                Key::Backspace => {
                    text.pop();
                }
                Key::Enter | Key::Down | Key::Up => self.typing = false,
                _ => {}
            }
            self.lesson = 0;
            if matches!(key, Key::Char(_) | Key::Backspace | Key::Enter) {
                return;
            }
        }
        if let Some(binding) = keymap::find(key, &[Scope::Home]) {
            self.act(binding.action);
        }
    }

    fn mouse(&mut self, event: MouseEvent) {
        match event.kind {
            MouseEventKind::ScrollDown => self.step(true),
            MouseEventKind::ScrollUp => self.step(false),
            MouseEventKind::Down(_) if event.row >= 2 => {
                let row = usize::from(event.row - 2);
                if event.column < LEFT && row < self.levels.len() {
                    (self.level, self.lesson, self.in_lessons) = (row, 0, false);
                } else if event.column > LEFT && row < self.shown().len() {
                    (self.lesson, self.in_lessons) = (row, true);
                }
            }
            _ => {}
        }
    }

    fn tick(&mut self, _frames: f64) -> bool {
        false
    }

    fn is_moving(&self) -> bool {
        false
    }

    fn take_request(&mut self) -> Option<Request> {
        self.request.take()
    }
}
