//! The list of events at the right of a wide screen, the one shown last in its middle.

use crate::base::ids::EventSeq;
use crate::tui::app::App;
use crate::tui::canvas::Canvas;
use crate::tui::theme::Role;

/// Draws the list.
pub fn draw(canvas: &mut Canvas<'_>, app: &App) {
    let (w, h) = (canvas.width(), canvas.height());
    for y in 0..h {
        canvas.text(0, y, "│", Role::Plain);
    }
    canvas.text(2, 0, "  ev   time  what", Role::Plain);
    let world = app.world;
    let Some(here) = app.last_event(world) else { return };
    let rows = usize::from(h.saturating_sub(1));
    let before = stops(app, (0..=here.index()).rev(), rows * 2 / 3);
    let ahead = app.reel.shown(world, app.horizon());
    let after = stops(app, here.index() + 1..ahead, rows - before.len());
    let current = before.first().copied();
    let list = before.iter().rev().chain(&after);
    for (n, seq) in list.take(rows).enumerate() {
        let event = &app.run().events[*seq];
        let y = 1 + n as u16;
        if current == Some(*seq) {
            canvas.text(1, y, "►", Role::Strong);
        }
        canvas.right(5, y, &seq.to_string(), Role::Plain);
        canvas.right(12, y, &event.at.to_string(), Role::Plain);
        let role = if current == Some(*seq) { Role::Strong } else { Role::Plain };
        let words = app.brief(world, EventSeq(*seq as u32));
        canvas.fit(13, y, &words, w.saturating_sub(13), role);
    }
}

/// The events of `order` that change the screen, at most `count`.
fn stops(app: &App, order: impl Iterator<Item = usize>, count: usize) -> Vec<usize> {
    let shown = order.filter(|n| {
        let seq = EventSeq(*n as u32);
        app.reel.stops_at(app.world, seq) && !app.run().events[*n].kind.is_wire()
    });
    shown.take(count).collect()
}
