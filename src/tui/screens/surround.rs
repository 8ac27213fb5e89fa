//! What every screen of a film has around its body: place and clock above; verdicts, narration, marks, time line and
//! keys below.

use crate::base::time::Duration;
use crate::tui::app::{App, Overlay, Screen};
use crate::tui::canvas::{Canvas, width, wrap};
use crate::tui::glyphs;
use crate::tui::keymap;
use crate::tui::theme::Role;
use crate::tui::widgets::timeline;

/// How many rows each part has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rows {
    /// Between the first row and the verdict strip.
    pub body: u16,
    /// Sentences.
    pub narration: u16,
}

/// The rows of a screen of this height.
pub fn rows(height: u16) -> Rows {
    let narration = if height >= 40 { 4 } else { 2 };
    Rows { body: height.saturating_sub(5 + narration), narration }
}

/// Draws all of it and says how many rows are left for the body.
pub fn draw(canvas: &mut Canvas<'_>, app: &App) -> Rows {
    let rows = rows(canvas.height());
    let (w, below) = (canvas.width(), 1 + rows.body);
    title(canvas, app);
    // Side by side every pane has its own verdicts.
    let spare = u16::from(app.screen == Screen::Compare);
    if spare == 0 {
        verdicts(&mut canvas.part(0, below, w, 1), app);
    }
    narration(&mut canvas.part(0, below + 1, w, rows.narration), app);
    let marks = below + 1 + rows.narration;
    timeline::draw_marks(&mut canvas.part(0, marks, w, 1), app);
    timeline::draw_line(&mut canvas.part(0, marks + 1, w, 1), app);
    keys(&mut canvas.part(0, marks + 2, w, 1), app);
    Rows { body: rows.body + spare, ..rows }
}

/// The clock: `║ 2.103 s  ×1/2`, `►` while it runs.
pub fn clock(app: &App) -> String {
    let state = if app.player.playing { '►' } else { '║' };
    let gap = app.gap().map_or(String::new(), |gap| format!("⋯ {gap}  "));
    let pace = if app.player.pace == crate::tui::player::Pace::Real { " real" } else { "" };
    format!("{gap}{state} {} s  {}{pace}", app.now(), app.player.speed_label())
}

fn title(canvas: &mut Canvas<'_>, app: &App) {
    let w = canvas.width();
    let right = format!("{}  seed {}", clock(app), app.film.seed);
    let room = w.saturating_sub(width(&right) + 2);
    let film = &app.film;
    let x = canvas.fit(0, 0, &film.scenario, room, Role::Strong);
    match app.screen {
        Screen::Compare => {
            let words = format!("   same seed, same faults; {}", film.difference);
            canvas.fit(x, 0, &words, room.saturating_sub(x), Role::Plain);
        }
        Screen::Stage
        | Screen::Why
        | Screen::Log
        | Screen::Controller
        | Screen::Transactions
        | Screen::Group => {
            let run = app.run();
            let x = canvas.fit(
                x,
                0,
                &format!(" › {}", run.variant),
                room.saturating_sub(x),
                Role::Strong,
            );
            let facts = format!("   {}", run.facts);
            canvas.fit(x, 0, &facts, room.saturating_sub(x), Role::Plain);
        }
    }
    canvas.right(w, 0, &right, Role::Plain);
}

/// A count and its colour: what is above zero is broken.
fn count(n: usize, word: &str) -> (String, Role) {
    match n {
        0 => (format!("{word} 0"), Role::Plain),
        n => (format!("✗ {word} {n}"), Role::Broken),
    }
}

fn verdicts(canvas: &mut Canvas<'_>, app: &App) {
    let (tally, ended) = (&app.moment(app.world).tally, app.view(app.world).ended);
    let run = app.run();
    let met = run.expectations.iter().all(|expectation| expectation.met);
    let (glyph, role) = match (ended, run.expectations.is_empty(), met) {
        (false, ..) => (glyphs::UNJUDGED, Role::Plain),
        (true, true, _) => (glyphs::VACUOUS, Role::Plain),
        (true, false, true) => (glyphs::HOLDS, Role::Safe),
        (true, false, false) => (glyphs::GONE, Role::Broken),
    };
    canvas.glyph(1, 0, glyph, role);
    let mut x = 3;
    for (n, word) in [
        (tally.lost.len(), "lost"),
        (tally.twice().len(), "dup"),
        (tally.reordered.len(), "reordered"),
        (tally.skipped.len(), "skipped"),
    ] {
        let (text, role) = count(n, word);
        x = canvas.text(x, 0, &text, role) + 3;
    }
    let gone = without_leader(app, app.world);
    x = canvas.text(x - 2, 0, &format!("│ no leader {gone} │ "), Role::Plain);
    let words = match run.expectations.iter().find(|expectation| !expectation.met) {
        _ if run.expectations.is_empty() => "nothing was expected".to_owned(),
        _ if !ended => "expected: …".to_owned(),
        None => "as expected".to_owned(),
        Some(missed) => format!("expected {}", missed.text),
    };
    let room = canvas.width().saturating_sub(x);
    canvas.fit(x, 0, &words, room, if ended && !met { Role::Broken } else { Role::Plain });
}

/// The longest time any partition had no leader that serves: `0 s`, `8.3 s`.
pub fn without_leader(app: &App, world: usize) -> String {
    let now = app.now();
    let partitions = app.view(world).partitions.iter();
    match partitions.map(|p| p.time_without_leader(now)).max().unwrap_or(Duration::ZERO) {
        Duration::ZERO => "0 s".to_owned(),
        span => span.to_string(),
    }
}

fn narration(canvas: &mut Canvas<'_>, app: &App) {
    let (w, h) = (canvas.width(), usize::from(canvas.height()));
    if let Some(Overlay::GoTo(text)) = &app.overlay {
        let x = canvas.text(1, 0, "go to: ", Role::Strong);
        let x = canvas.text(x, 0, text, Role::Plain);
        canvas.glyph(x, 0, glyphs::CURSOR, Role::Plain);
        canvas.text(1, 1, "11.2s  ev 148  m4  b2  x (the next violation)", Role::Plain);
        return;
    }
    let sentences = match &app.note {
        Some(note) => vec![note.clone()],
        None => app.narration(h),
    };
    let mut lines: Vec<String> = Vec::new();
    for sentence in &sentences {
        lines.extend(wrap(sentence, w.saturating_sub(2)));
    }
    if lines.len() > h {
        lines.truncate(h);
        if let Some(last) = lines.last_mut() {
            let room = w.saturating_sub(3);
            *last = crate::tui::canvas::shorten(&format!("{last} …"), room);
        }
    }
    for (y, line) in lines.iter().enumerate() {
        canvas.text(1, y as u16, line, Role::Plain);
    }
}

fn keys(canvas: &mut Canvas<'_>, app: &App) {
    for (x, binding) in keymap::footer(&app.scopes(), canvas.width()) {
        let after = canvas.text(x, 0, binding.label, Role::Strong);
        canvas.text(after + 1, 0, binding.does, Role::Plain);
    }
}

/// The action of the key under column `column` of the last row, for the mouse.
pub fn key_at(app: &App, column: u16, columns: u16) -> Option<keymap::Action> {
    let shown = keymap::footer(&app.scopes(), columns);
    let found = shown.iter().rev().find(|(x, _)| *x <= column)?;
    let end = found.0 + width(found.1.label) + 1 + width(found.1.does);
    (column < end).then_some(found.1.action)
}
