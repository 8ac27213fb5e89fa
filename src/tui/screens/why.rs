//! The journey of one message: which chain of causes made its fate, and what would have broken it? Only events on its
//! path, each on the lifeline of its actor with an arrow from who made it happen, and the stretch of time between them;
//! below, the causes that were tried.

use crate::base::ids::{EventSeq, NodeId};
use crate::check::why::{Holders, journey};
use crate::event::{Api, Event, EventKind};
use crate::tui::app::App;
use crate::tui::canvas::{Canvas, width};
use crate::tui::glyphs;
use crate::tui::theme::Role;
use crate::view::cluster::message::Told;
use crate::view::fate::Fate;
use crate::view::words::spared;

/// One row of a journey.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Row {
    /// The event, or `None` for a stretch in which nothing happened to the message.
    pub seq: Option<EventSeq>,
    /// The moment, or the length of the stretch.
    pub time: String,
    /// Where it happened.
    pub at: Option<NodeId>,
    /// Who made it happen, when that was somebody else.
    pub from: Option<NodeId>,
    /// What happened, in a few words.
    pub short: String,
    /// It decided the fate.
    pub decides: bool,
    /// Where a message was lost: who had it.
    pub holders: Option<Holders>,
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
            rows.push(Row { time: format!("⋯ {}", step.gap), ..Row::default() });
        }
        let (node, brief) = (run.names.node(step.node), app.brief(app.world, step.seq));
        let brief = if brief.is_empty() { app.sentence(app.world, step.seq) } else { brief };
        rows.push(Row {
            seq: Some(step.seq),
            time: step.at.to_string(),
            at: Some(step.node),
            from: sender(&events, event),
            short: brief.strip_prefix(&format!("{node} ")).map_or(brief.clone(), str::to_owned),
            decides: step.seq == fate.decided,
            holders: step.holders,
        });
    }
    rows
}

/// The node whose message made `event` happen, if it was another one.
fn sender(events: &[Event], event: &Event) -> Option<NodeId> {
    let cause = events.get(event.cause.index())?;
    let arrived = matches!(cause.kind, EventKind::WireArrived { .. });
    let sent = events.get(cause.cause.index()).filter(|_| arrived)?;
    Some(sent.node).filter(|node| *node != event.node && !is_occasion(sent, event))
}

/// A decision of a controller that was made when this message came, but not because of who sent it: sessions are looked
/// after whenever some broker is heard of, and records are committed when some controller has fetched them.
fn is_occasion(sent: &Event, event: &Event) -> bool {
    let EventKind::WireSent { label, .. } = sent.kind else { return false };
    let NodeId::Controller(_) = event.node else { return false };
    match (label.api, event.kind) {
        (
            Api::BrokerHeartbeat,
            EventKind::BrokerFenced { broker } | EventKind::BrokerUnfenced { broker },
        ) => sent.node != NodeId::Broker(broker),
        (Api::MetadataFetch | Api::BrokerHeartbeat, _) => true,
        _ => false,
    }
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

/// The actors of a journey, each with the column of its lifeline: producers, brokers, consumers, controllers.
struct Lifelines {
    actors: Vec<NodeId>,
    width: u16,
}

/// The first column of the first lifeline.
const LIFELINES: u16 = 11;

impl Lifelines {
    fn new(rows: &[Row], width: u16) -> Self {
        let mut actors: Vec<NodeId> = rows.iter().filter_map(|row| row.at).collect();
        actors.sort_by_key(|node| (rank(*node), *node));
        actors.dedup();
        let count = (actors.len() as u16).max(1);
        Self { actors, width: (width.saturating_sub(LIFELINES) / count).max(1) }
    }

    fn column(&self, node: NodeId) -> Option<u16> {
        let n = self.actors.iter().position(|actor| *actor == node)?;
        Some(LIFELINES + n as u16 * self.width)
    }

    /// Writes `text` on the lifeline of `at`, moved left where the screen ends, with an arrow from `from`.
    fn event(&self, canvas: &mut Canvas<'_>, y: u16, row: &Row) {
        let (w, text) = (canvas.width(), row.short.as_str());
        let Some(own) = row.at.and_then(|at| self.column(at)) else { return };
        let length = width(text);
        let x = own.min(w.saturating_sub(length + 1)).max(LIFELINES);
        canvas.fit(
            x,
            y,
            text,
            w.saturating_sub(x),
            if row.decides { Role::Broken } else { Role::Plain },
        );
        let Some(from) = row.from.and_then(|from| self.column(from)) else { return };
        if from < x && from + 2 < x {
            for at in from + 1..x - 2 {
                canvas.glyph(at, y, glyphs::LINE, Role::Plain);
            }
            canvas.text(x - 2, y, "►", Role::Plain);
        } else if from > x + length + 2 {
            canvas.text(x + length + 1, y, "◄", Role::Plain);
            for at in x + length + 2..=from {
                canvas.glyph(at, y, glyphs::LINE, Role::Plain);
            }
        }
    }
}

fn rank(node: NodeId) -> u8 {
    match node {
        NodeId::Producer(_) => 0,
        NodeId::Broker(_) => 1,
        NodeId::Consumer(_) => 2,
        NodeId::Controller(_) => 3,
        NodeId::Script => 4,
    }
}

/// How many rows the cursor can stand on: events, and the causes below them.
pub fn length(app: &App) -> usize {
    let fate = app.picked.and_then(|id| app.moment(app.world).fate(id));
    let causes = fate.map_or(0, |fate| because(app, fate).len().saturating_sub(1));
    rows(app).len() + causes
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
    let rows = rows(app);
    let lines = Lifelines::new(&rows, w);
    canvas.right(9, 2, "time", Role::Plain);
    for actor in &lines.actors {
        let x = lines.column(*actor).unwrap_or_default();
        canvas.fit(x, 2, &app.run().names.node(*actor), lines.width, Role::Strong);
    }
    let causes = because(app, fate);
    let below = (causes.len() as u16).min(h.saturating_sub(3) / 2);
    let room = usize::from(h.saturating_sub(3 + below));
    let first = app.cause.min(rows.len().saturating_sub(1)).saturating_sub(room.saturating_sub(1));
    for (n, row) in rows.iter().enumerate().skip(first).take(room) {
        let y = 3 + (n - first) as u16;
        if n == app.cause {
            canvas.text(0, y, "►", Role::Strong);
        }
        canvas.right(9, y, &row.time, Role::Plain);
        lines.event(canvas, y, row);
    }
    for (n, (text, change)) in causes.iter().take(usize::from(below)).enumerate() {
        let y = h - below + n as u16;
        let role = if change.is_empty() { Role::Plain } else { Role::Strong };
        let room = w.saturating_sub(width(change) + 6);
        canvas.fit(1, y, text, room, role);
        if app.cause == rows.len() + n {
            canvas.text(0, y, "►", Role::Strong);
        }
        if !change.is_empty() {
            canvas.right(w, y, &format!("► {change}"), Role::Plain);
        }
    }
}

/// What the fate hung on, a row a cause with what was changed to try, and what the tries say together.
fn because(app: &App, fate: &Fate) -> Vec<(String, String)> {
    let run = app.run();
    let bad = fate.decided != EventSeq::NONE;
    let Some(causes) = run.causes.get(&fate.message).filter(|_| bad) else { return Vec::new() };
    let mut rows: Vec<(String, String)> = Vec::new();
    for (n, cause) in causes.iter().enumerate() {
        let head = if n == 0 { "BECAUSE" } else { "" };
        rows.push((format!("{head:<8} {} {}", n + 1, cause.text), cause.change.clone()));
    }
    let name = run.names.message(fate.message);
    let together = spared(causes.len(), causes.len(), &name);
    rows.extend(together.map(|text| (text, String::new())));
    rows
}
