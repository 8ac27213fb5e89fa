//! The journey of one message: which chain of causes made its fate? Only events on its path, with the actor each
//! happened at, and the stretch of time between them.

use crate::base::ids::EventSeq;
use crate::check::why::journey;
use crate::event::Event;
use crate::tui::app::App;
use crate::tui::canvas::{Canvas, shorten};
use crate::tui::theme::Role;
use crate::view::cluster::message::Told;
use crate::view::fate::Fate;

/// One row of a journey.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The event, or `None` for a stretch in which nothing happened to the message.
    pub seq: Option<EventSeq>,
    /// The moment, or the length of the stretch.
    pub time: String,
    /// Where it happened.
    pub node: String,
    /// What happened.
    pub what: String,
}

/// Gaps shorter than this many µs are not worth a row.
const GAP: u64 = 100_000;

/// The rows for the selected message, as far as the cursor has come.
pub fn rows(app: &App) -> Vec<Row> {
    let (run, view) = (app.run(), app.view(app.world));
    let Some(fate) = app.picked.and_then(|id| app.moment(app.world).fate(id)) else {
        return Vec::new();
    };
    let shown = app.last_event(app.world).map_or(0, |seq| seq.index() + 1);
    let events: Vec<Event> = run.events.iter().take(shown).copied().collect();
    let mut rows: Vec<Row> = Vec::new();
    for step in journey(fate, view, &events, &run.batches) {
        let event = &events[step.seq.index()];
        if !app.reel.stops_at(app.world, step.seq) || event.kind.is_wire() {
            continue;
        }
        if step.gap.0 >= GAP {
            let time = format!("⋯ {}", step.gap);
            rows.push(Row { seq: None, time, node: String::new(), what: String::new() });
        }
        rows.push(Row {
            seq: Some(step.seq),
            time: step.at.to_string(),
            node: run.names.node(step.node),
            what: app.sentence(app.world, step.seq),
        });
    }
    rows
}

/// What the journey is about: `why was m4 lost?`
fn title(app: &App, fate: &Fate) -> String {
    let name = app.run().names.message(fate.message);
    if fate.lost.is_some() {
        format!("why was {name} lost?")
    } else if !fate.skipped_by.is_empty() {
        format!("why was {name} never processed?")
    } else if fate.is_stored_twice() {
        format!("why is {name} in the log twice?")
    } else if fate.is_processed_twice() {
        format!("why was {name} processed twice?")
    } else if fate.overtaken_by.is_some() {
        format!("why is {name} out of order?")
    } else {
        format!("the way of {name}")
    }
}

/// The fate in one line.
fn summary(app: &App, fate: &Fate) -> String {
    let told = match fate.told {
        Told::Waiting => "no answer yet".to_owned(),
        Told::Acknowledged(_) => {
            format!("told ok at {} s", app.view(app.world).message(fate.message).told_at)
        }
        Told::NobodyAsked => "nobody was asked (acks=0)".to_owned(),
        Told::Failed(exception) => format!("told {}", exception.name()),
        Told::Unknown => "its producer never knew".to_owned(),
    };
    let offsets: Vec<String> = fate.offsets.iter().map(ToString::to_string).collect();
    let kept = match offsets.as_slice() {
        [] => "in no leader's log".to_owned(),
        [one] => format!("in the leader's log at offset {one}"),
        many => format!("in the leader's log at offsets {}", many.join(" and ")),
    };
    let done: u32 = fate.processed.iter().map(|(_, count)| u32::from(*count)).sum();
    let done = match done {
        0 => "not processed".to_owned(),
        1 => "processed once".to_owned(),
        n => format!("processed {n} times"),
    };
    format!("{told} · {kept} · {done}")
}

/// Draws the journey.
pub fn draw(canvas: &mut Canvas<'_>, app: &App) {
    let (w, h) = (canvas.width(), canvas.height());
    let Some(fate) = app.picked.and_then(|id| app.moment(app.world).fate(id)) else {
        canvas.text(1, 1, "This message has not been sent yet at this moment.", Role::Plain);
        return;
    };
    canvas.text(1, 0, &title(app, fate), Role::Strong);
    canvas.fit(1, 1, &summary(app, fate), w.saturating_sub(2), Role::Plain);
    canvas.line(1, w, 2);
    let rows = rows(app);
    let room = usize::from(h.saturating_sub(3));
    let first = app.cause.saturating_sub(room.saturating_sub(1));
    for (n, row) in rows.iter().enumerate().skip(first).take(room) {
        let y = 3 + (n - first) as u16;
        if n == app.cause {
            canvas.text(0, y, "►", Role::Strong);
        }
        canvas.right(9, y, &row.time, Role::Plain);
        canvas.fit(11, y, &row.node, 9, Role::Strong);
        let what = shorten(&row.what, w.saturating_sub(22));
        canvas.text(21, y, &what, Role::Plain);
    }
}
