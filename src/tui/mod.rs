//! The terminal: lessons, the live cluster, variants side by side, questions. Everything drawn is a pure function of
//! recorded events, the cursor, the size and the look; only [`terminal`] touches the terminal and only [`player`] a
//! clock.
//!
//! Simplified: of breaking things live there is the death of a producer (`f` on the screen of transactions: the run is
//! played again with it); Kafka's console comes with later versions; keys that do not work are not listed.

#![expect(clippy::cast_precision_loss, reason = "places on the screen are rounded anyway")]

pub mod app;
pub mod canvas;
pub mod compare;
pub mod glyphs;
pub mod keymap;
pub mod model;
pub mod moment;
pub mod player;
pub mod projection;
pub mod quiz;
pub mod reel;
pub mod screens;
pub mod speech;
pub mod target;
pub mod terminal;
pub mod theme;
pub mod widgets;

#[cfg(test)]
mod tests;

use std::io;

use crossterm::event::{MouseEvent, MouseEventKind};
use ratatui::Frame;

use crate::tui::app::App;
use crate::tui::keymap::Key;
use crate::tui::model::{Film, HomeChoice, HomeEntry, Kill, Mode, Options, Outcome, World};
use crate::tui::screens::home::Home;
use crate::tui::screens::surround;
use crate::tui::terminal::{Request, Show};
use crate::tui::widgets::timeline;

/// Shows the list of lessons until one is chosen or the reader leaves.
///
/// # Errors
/// When the terminal fails; it is given back first.
pub fn run_home(lessons: Vec<HomeEntry>, options: Options) -> io::Result<HomeChoice> {
    let mut home = Home::new(lessons, options);
    let end = terminal::run(&mut home, options.mouse)?;
    Ok(home.into_choice(end))
}

/// Shows `film` until the reader leaves. `replay` plays one of its runs again with a producer killed.
///
/// # Errors
/// When the terminal fails; it is given back first.
///
/// # Panics
/// When the film has no world.
pub fn play(
    film: Film,
    mode: Mode,
    options: Options,
    replay: impl FnMut(Kill) -> Option<World>,
) -> io::Result<Outcome> {
    let app = App::new(film, mode, options);
    let mut theatre = Theatre { app, replay, size: (80, 24).into() };
    let end = terminal::run(&mut theatre, options.mouse)?;
    Ok(theatre.app.outcome(end))
}

/// A film on a terminal: the mouse needs to know where things were drawn.
struct Theatre<F> {
    app: App,
    replay: F,
    size: std::cell::Cell<(u16, u16)>,
}

impl<F: FnMut(Kill) -> Option<World>> Show for Theatre<F> {
    fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        self.size.set((area.width, area.height));
        screens::draw(&self.app, area, frame.buffer_mut());
    }

    fn key(&mut self, key: Key) {
        self.app.key(key);
    }

    fn mouse(&mut self, event: MouseEvent) {
        let (width, height) = self.size.get();
        let from_below = height.saturating_sub(event.row);
        match event.kind {
            MouseEventKind::ScrollDown => self.app.act(keymap::Action::StepForward),
            MouseEventKind::ScrollUp => self.app.act(keymap::Action::StepBack),
            MouseEventKind::Down(_) | MouseEventKind::Drag(_) if (2..=3).contains(&from_below) => {
                let (from, to) = timeline::extent(&self.app, width);
                let room = f64::from(to.saturating_sub(from + 1).max(1));
                self.app.seek_share(f64::from(event.column.saturating_sub(from)) / room);
            }
            MouseEventKind::Down(_) if from_below == 1 => {
                if let Some(action) = surround::key_at(&self.app, event.column, width) {
                    self.app.act(action);
                }
            }
            _ => {}
        }
    }

    fn tick(&mut self, frames: f64) -> bool {
        self.app.tick(frames)
    }

    fn is_moving(&self) -> bool {
        self.app.player.playing
    }

    fn take_request(&mut self) -> Option<Request> {
        if let Some(kill) = self.app.take_wish() {
            match (self.replay)(kill) {
                Some(fork) => self.app.open_fork(fork),
                None => self.app.note = Some("This run cannot be played again.".to_owned()),
            }
            return Some(Request::Redraw);
        }
        self.app.take_request()
    }
}
