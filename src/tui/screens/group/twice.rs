//! Records that a group processed more than once: `2` in the rows of those who did, in the columns where they did it.

use crate::base::ids::{GroupId, MessageId, NodeId};
use crate::base::time::Time;
use crate::tui::app::App;
use crate::tui::canvas::Canvas;
use crate::tui::glyphs::Glyph;
use crate::tui::screens::group::{self, LEFT, Scene};
use crate::tui::theme::Role;

/// Work that was done before, or is done again.
const TWICE: Glyph = Glyph { unicode: '2', ascii: '2' };

/// The first or the last time that a record was processed more than once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Again {
    /// By whom.
    consumer: u16,
    at: Time,
    message: MessageId,
}

/// All of them in `group`, in the order of the messages.
pub(super) fn all(app: &App, group: GroupId) -> Vec<Again> {
    let (run, view) = (app.run(), app.view(app.world));
    let Some(reader) = view.readers.get(group.index()) else { return Vec::new() };
    let mut all = Vec::new();
    for message in app.moment(app.world).tally.repeated.iter().copied() {
        let processing = reader.message(message);
        if processing.count < 2 {
            continue;
        }
        for seq in [processing.first, processing.last] {
            let event = &run.events[seq.index()];
            if let NodeId::Consumer(consumer) = event.node {
                all.push(Again { consumer, at: event.at, message });
            }
        }
    }
    all
}

/// The messages among them, each once.
pub(super) fn messages(all: &[Again]) -> Vec<MessageId> {
    let mut messages: Vec<MessageId> = all.iter().map(|again| again.message).collect();
    messages.dedup();
    messages
}

/// Marks them in the row of `consumer`.
pub(super) fn mark(canvas: &mut Canvas<'_>, scene: &Scene<'_>, y: u16, consumer: u16) {
    for again in scene.twice.iter().filter(|again| again.consumer == consumer) {
        if let Some(column) = scene.window.column(again.at) {
            canvas.glyph(LEFT + column, y, TWICE, Role::Broken);
        }
    }
}

/// The first record that the selected member, or else anybody in its group, processed and somebody processed again.
pub fn of_chosen(app: &App) -> Option<MessageId> {
    let members = group::members(app);
    let (id, chosen) = *members.get(app.anatomy.member.min(members.len().max(1) - 1))?;
    let all = all(app, id);
    let own = all.iter().find(|again| again.consumer == chosen);
    own.or(all.first()).map(|again| again.message)
}
