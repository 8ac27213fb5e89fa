//! The rows of time: marks above, the line with its cursor below. The line is in story pace, so a silence of nine
//! seconds does not push the two milliseconds that matter into one column.

use crate::base::time::Time;
use crate::tui::app::{App, Screen};
use crate::tui::canvas::{Canvas, shorten, width};
use crate::tui::glyphs::{self, Glyph};
use crate::tui::model::MarkKind;
use crate::tui::theme::Role;

/// Where the line lies in its row: first column and column after the last.
pub fn extent(app: &App, columns: u16) -> (u16, u16) {
    let left = if columns < 60 { 0 } else { 7 };
    (left, columns.saturating_sub(width(&end_label(app)) + 2).max(left))
}

/// The length of the film, or `?` while a question hides it.
fn end_label(app: &App) -> String {
    if app.horizon() < app.reel.len() {
        return "?".to_owned();
    }
    let end = app.reel.last(app.reel.len()).map_or(Time::ZERO, |entry| entry.at);
    format!("{}.{}", end.0 / 1_000_000, end.0 / 100_000 % 10)
}

/// The column of a frame of the story.
fn column(app: &App, frame: f64, (from, to): (u16, u16)) -> u16 {
    let total = app.reel.frame(app.horizon()).max(1.0);
    let room = f64::from(to.saturating_sub(from + 1));
    from + (room * (frame / total).clamp(0.0, 1.0)).round() as u16
}

/// Draws the line with its cursor.
pub fn draw_line(canvas: &mut Canvas<'_>, app: &App) {
    let extent = extent(app, canvas.width());
    if extent.0 > 0 {
        canvas.text(1, 0, &Time::ZERO.to_string(), Role::Plain);
    }
    canvas.line(extent.0, extent.1, 0);
    let here = column(app, app.player.frame(), extent);
    canvas.glyph(here, 0, glyphs::CURSOR, Role::Strong);
    canvas.text(extent.1 + 1, 0, &end_label(app), Role::Plain);
}

/// The symbol and colour of a mark.
fn symbol(kind: MarkKind) -> (Glyph, Role) {
    match kind {
        MarkKind::Fault => (glyphs::FAULT, Role::Now),
        MarkKind::Heal => (glyphs::HEAL, Role::Safe),
        MarkKind::Violation => (glyphs::GONE, Role::Broken),
        MarkKind::Question => (glyphs::QUESTION, Role::Strong),
        MarkKind::Bookmark => (glyphs::BOOKMARK, Role::Plain),
    }
}

/// One mark in its column.
struct Place {
    x: u16,
    glyph: Glyph,
    role: Role,
    label: String,
}

/// The marks of the film and, side by side, the events that differ, in order of column.
fn places(app: &App, extent: (u16, u16)) -> Vec<Place> {
    let marks = app.marks().into_iter().map(|(position, kind, label)| {
        let (glyph, role) = symbol(kind);
        let label = if kind == MarkKind::Question { String::new() } else { label.to_owned() };
        Place { x: column(app, app.reel.frame(position), extent), glyph, role, label }
    });
    let mut places: Vec<Place> = marks.collect();
    if app.screen == Screen::Compare {
        let found = [app.differences.first, app.differences.decisive];
        for (world, seq) in found.into_iter().flatten() {
            let position = app.reel.after(world, seq);
            if position <= app.horizon() {
                let x = column(app, app.reel.frame(position), extent);
                let (glyph, role) = (glyphs::DIFFERS, Role::Strong);
                places.push(Place { x, glyph, role, label: seq.0.to_string() });
            }
        }
    }
    places.sort_by_key(|place| place.x);
    places.dedup_by(|b, a| a.x == b.x && a.glyph == b.glyph);
    places
}

/// Draws the marks that may be known. Where two would overlap, the label of the left one gives way.
pub fn draw_marks(canvas: &mut Canvas<'_>, app: &App) {
    let extent = extent(app, canvas.width());
    let places = places(app, extent);
    for (i, place) in places.iter().enumerate() {
        let next = places.get(i + 1).map_or(canvas.width(), |next| next.x);
        canvas.glyph(place.x, 0, place.glyph, place.role);
        let room = next.saturating_sub(place.x + 2);
        if room > 5 || width(&place.label) <= room {
            canvas.text(place.x + 1, 0, &shorten(&place.label, room), Role::Plain);
        }
    }
}
