//! The journey of one message: which chain of causes made its fate? Only events on its path, with the actor each
//! happened at, and the stretch of time between them.

use crate::base::ids::EventSeq;
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
    let Some(fate) = app.picked.and_then(|id| app.moment(app.world).fate(id)) else {
        return Vec::new();
    };
    let run = app.run();
    let mut rows: Vec<Row> = Vec::new();
    let mut before = None;
    for seq in path(app, fate) {
        let event = &run.events[seq.index()];
        let gap = before.map(|at| event.at.since(at)).filter(|gap| gap.0 >= GAP);
        if let Some(gap) = gap {
            let time = format!("⋯ {gap}");
            rows.push(Row { seq: None, time, node: String::new(), what: String::new() });
        }
        before = Some(event.at);
        rows.push(Row {
            seq: Some(seq),
            time: event.at.to_string(),
            node: run.names.node(event.node),
            what: app.sentence(app.world, seq),
        });
    }
    rows
}

/// The events of a fate and the causes that led to them, oldest first, the wire left out.
fn path(app: &App, fate: &Fate) -> Vec<EventSeq> {
    let run = app.run();
    let here = app.last_event(app.world).unwrap_or(EventSeq(0));
    let mut path: Vec<EventSeq> = fate.witnesses.iter().copied().filter(|s| *s <= here).collect();
    for witness in path.clone() {
        // A few steps back from each witness: what made it happen.
        let mut seq = witness;
        for _ in 0..12 {
            let Some(event) = run.events.get(seq.index()) else { break };
            seq = event.cause;
            let Some(cause) = run.events.get(seq.index()) else { break };
            if seq < fate.witnesses.first().copied().unwrap_or_default() {
                break;
            }
            if !cause.kind.is_wire() && app.reel.stops_at(app.world, seq) {
                path.push(seq);
            }
        }
    }
    path.extend(faults(app, fate, here));
    path.sort_unstable();
    path.dedup();
    path
}

/// For a message that went wrong: the faults between its sending and now.
fn faults(app: &App, fate: &Fate, here: EventSeq) -> Vec<EventSeq> {
    let wrong = fate.lost.is_some()
        || fate.is_stored_twice()
        || fate.is_processed_twice()
        || !fate.skipped_by.is_empty();
    if !wrong {
        return Vec::new();
    }
    let last = fate.witnesses.last().copied().unwrap_or(here).min(here);
    let all = (0..=last.index()).map(|n| EventSeq(n as u32));
    let is_fault = |seq: &EventSeq| {
        matches!(app.run().events[seq.index()].kind, crate::event::EventKind::Fault { .. })
    };
    all.filter(is_fault).collect()
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
