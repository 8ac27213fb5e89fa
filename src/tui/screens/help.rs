//! Keys of the screen behind, from the one table, and the signs that are on it: the only legend there is.

use crate::tui::app::{App, Overlay};
use crate::tui::canvas::{Canvas, width};
use crate::tui::glyphs::{self, Glyph};
use crate::tui::keymap::{self, Group, Scope};
use crate::tui::theme::Role;

/// What a symbol means; listed when it is on the screen.
const SIGNS: &[(Glyph, &str)] = &[
    (glyphs::BELOW_HW, "below HW"),
    (glyphs::ABOVE_HW, "above HW"),
    (glyphs::HW_LEADER, "HW of the leader"),
    (glyphs::TOLD_OK, "told ok"),
    (glyphs::WAITING, "no answer yet"),
    (glyphs::NOT_ASKED, "nobody asked"),
    (glyphs::GONE, "told ok, but gone; skipped"),
    (glyphs::TOLD_FAILED, "told failed"),
    (glyphs::CUT, "cut just now"),
    (glyphs::POINTER, "position or committed offset"),
    (glyphs::BAR, "works"),
    (glyphs::STOPPED, "stopped by a rebalance"),
    (glyphs::FAULT, "fault"),
    (glyphs::DIFFERS, "first difference"),
];

/// Words of Kafka and what they mean in a few of ours; listed when they are on the screen.
const WORDS: &[(&str, &str)] = &[
    ("LEO", "log end offset"),
    ("HW", "high watermark: readers see below it"),
    ("ISR", "in-sync replicas"),
    ("isr", "in-sync replica"),
    ("LSO", "last stable offset: read_committed sees below it"),
    ("PID", "producer id"),
    ("lag", "HW minus committed offset"),
    ("RF", "replication factor"),
    ("voter", "a controller"),
    ("observer", "a broker: reads the metadata log, has no vote"),
    ("fetch", "time since a leader answered; at the end it asks for votes"),
    ("session", "time since a heartbeat; at the end it is fenced"),
    ("fncd", "fenced: may not lead"),
];

/// Draws the box over a film's screen.
pub fn draw(canvas: &mut Canvas<'_>, app: &App) {
    let mut lines = Vec::new();
    let scopes = App::scopes_of(app.screen);
    key_lines(&scopes, canvas.width().saturating_sub(12), &mut lines);
    debug_assert!(matches!(app.overlay, Some(Overlay::Help)));
    boxed(canvas, lines);
}

/// Draws the box over the list of lessons.
pub fn draw_home(canvas: &mut Canvas<'_>) {
    let mut lines = Vec::new();
    key_lines(&[Scope::Home], canvas.width().saturating_sub(12), &mut lines);
    boxed(canvas, lines);
}

/// Flows words into lines of `room` columns, each behind its heading.
fn flow(heading: &'static str, items: &[(String, String)], room: u16, lines: &mut Vec<Line>) {
    let mut line = Line { heading, items: Vec::new() };
    let mut used = 0;
    for (strong, plain) in items {
        let needs = width(strong) + width(plain) + 4;
        if used + needs > room && !line.items.is_empty() {
            lines.push(std::mem::replace(&mut line, Line { heading: "", items: Vec::new() }));
            used = 0;
        }
        used += needs;
        line.items.push((strong.clone(), plain.clone()));
    }
    if !line.items.is_empty() {
        lines.push(line);
    }
}

struct Line {
    heading: &'static str,
    items: Vec<(String, String)>,
}

fn key_lines(scopes: &[Scope], room: u16, lines: &mut Vec<Line>) {
    let mut all = keymap::in_force(scopes);
    all.extend(keymap::in_force(&[Scope::Always]));
    for (group, heading) in [(Group::Time, "time"), (Group::See, "see"), (Group::Do, "do")] {
        let items: Vec<(String, String)> = all
            .iter()
            .filter(|binding| binding.group == group)
            .map(|binding| (binding.label.to_owned(), binding.does.to_owned()))
            .collect();
        flow(heading, &items, room, lines);
    }
}

/// The signs and words that stand on the canvas.
fn legend(canvas: &Canvas<'_>, room: u16, lines: &mut Vec<Line>) {
    let ascii = canvas.look().ascii;
    let text = canvas.contents();
    let shown = |glyph: &Glyph| text.contains(glyph.pick(ascii));
    let signs: Vec<(String, String)> = SIGNS
        .iter()
        .filter(|(glyph, _)| shown(glyph))
        .map(|(glyph, words)| (glyph.pick(ascii).to_string(), (*words).to_owned()))
        .collect();
    flow("signs", &signs, room, lines);
    let words: Vec<(String, String)> = WORDS
        .iter()
        .filter(|(word, _)| text.split(|c: char| !c.is_alphanumeric()).any(|w| w == *word))
        .map(|(word, meaning)| ((*word).to_owned(), (*meaning).to_owned()))
        .collect();
    flow("words", &words, room, lines);
}

fn boxed(canvas: &mut Canvas<'_>, mut lines: Vec<Line>) {
    legend(canvas, canvas.width().saturating_sub(12), &mut lines);
    let (w, h) = (canvas.width(), canvas.height());
    let height = (lines.len() as u16 + 2).min(h.saturating_sub(2));
    let mut part = canvas.part(1, 1, w.saturating_sub(2), height);
    part.clear();
    part.frame("keys on this screen", "? closes");
    for (n, line) in lines.iter().take(usize::from(height.saturating_sub(2))).enumerate() {
        let y = 1 + n as u16;
        part.text(2, y, line.heading, Role::Strong);
        let mut x = 8;
        for (strong, plain) in &line.items {
            let after = part.text(x, y, strong, Role::Strong);
            x = part.text(after + 1, y, plain, Role::Plain) + 3;
        }
    }
}
