//! Screens: each is a pure function of the film's state, the size and the look.

pub mod ask;
pub mod compare;
pub mod controller;
pub mod group;
pub mod help;
pub mod home;
pub mod log;
pub mod stage;
pub mod surround;
pub mod tiny;
pub mod transactions;
pub mod why;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::app::{App, Overlay, Screen};
use crate::tui::canvas::Canvas;

/// Draws everything a film shows.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let mut canvas = Canvas::new(buffer, area, app.look);
    if canvas.width() < 80 || canvas.height() < 24 {
        tiny::draw(&mut canvas, app);
        return;
    }
    let rows = surround::draw(&mut canvas, app);
    let (w, h) = (canvas.width(), rows.body);
    let body = &mut canvas.part(0, 1, w, h);
    match app.screen {
        Screen::Stage => stage::draw(body, app),
        Screen::Compare => compare::draw(body, app),
        Screen::Why => why::draw(body, app),
        Screen::Log => log::draw(body, app),
        Screen::Controller => controller::draw(body, app),
        Screen::Transactions => transactions::draw(body, app),
        Screen::Group => group::draw(body, app),
    }
    match &app.overlay {
        Some(Overlay::Help) => help::draw(&mut canvas, app),
        Some(Overlay::Ask(asking)) => ask::draw(&mut canvas, app, asking),
        Some(Overlay::Reveal(question)) => ask::draw_reveal(&mut canvas, app, *question),
        Some(Overlay::GoTo(_)) | None => {}
    }
}
