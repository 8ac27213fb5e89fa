//! The lane beside the columns: whatever is under way to the actor of a row flies in from the right and docks where
//! it takes effect. Requests have a solid tail, responses a dotted one.

use crate::base::ids::{BrokerId, NodeId};
use crate::base::time::Time;
use crate::event::{Api, EventKind};
use crate::tui::app::App;
use crate::tui::canvas::{Canvas, shorten, width};
use crate::tui::model::World;
use crate::tui::theme::Role;
use crate::view::cluster::{ClusterView, WireMessage};
use crate::view::words::wire_label;

/// Frames for which a message that was lost stays where it was.
const LOST_STAYS: f64 = 12.0;

/// The row a message arrives in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Row {
    /// What a producer was told.
    Told(u16),
    /// A broker.
    Broker(BrokerId),
    /// What a reader fetches.
    Read(usize),
    /// What a reader commits.
    Commit(usize),
    /// The members of a group.
    Members(usize),
}

/// One message under way.
#[derive(Clone, PartialEq, Debug)]
pub struct Token {
    /// Where it will arrive.
    pub row: Row,
    /// How much of its way is behind it, 0 to 1.
    pub share: f64,
    /// With its tail: `◄── Produce m4`.
    pub text: String,
    /// Its colour.
    pub role: Role,
}

/// Everything under way in `world`, as far as it matters, the next to arrive first.
pub fn tokens(app: &App, world: usize) -> Vec<Token> {
    let (run, view, now) = (&app.film.worlds[world], app.view(world), app.now());
    let mut tokens: Vec<Token> = view
        .wire
        .values()
        .filter(|message| app.reel.stops_at(world, message.seq) || message.arrives_at.is_none())
        .filter_map(|message| {
            let share = if app.is_still() { 0.5 } else { share(message, now) };
            let row = row_of(view, message)?;
            let held = message.arrives_at.is_none();
            let tail = tail(run, message, if held { "z" } else { "" });
            Some(Token { row, share, text: tail, role: Role::Now })
        })
        .collect();
    tokens.sort_by(|a, b| b.share.total_cmp(&a.share));
    tokens.extend(lost(app, world));
    tokens
}

/// How much of its way a message has behind it.
fn share(message: &WireMessage, now: Time) -> f64 {
    let Some(arrives) = message.arrives_at else { return 0.5 };
    let flight = arrives.since(message.sent_at).0;
    if flight == 0 {
        return 1.0;
    }
    (now.since(message.sent_at).0 as f64 / flight as f64).min(1.0)
}

/// The arrow and the words of a message; `fault` goes before its name.
fn tail(run: &World, message: &WireMessage, fault: &str) -> String {
    let label = &message.label;
    let arrow = if label.response { "◄··" } else { "◄──" };
    let from = run.names.node(message.from);
    let words = wire_label(&run.names, &run.batches, label);
    match (label.api, label.response) {
        (Api::Produce, false) => format!("{arrow} {fault}{words}"),
        (Api::Fetch, true) if words != "nothing new" => {
            format!("{arrow} {fault}{words} from {from}")
        }
        // The row of a consumer says what was asked.
        (api, true) if words == format!("{} ok", api.name()) => format!("{arrow} {fault}ok {from}"),
        _ => format!("{arrow} {fault}{words} {from}"),
    }
}

/// The row a message arrives in; `None` for what has no row on the stage.
fn row_of(view: &ClusterView, message: &WireMessage) -> Option<Row> {
    match message.to {
        NodeId::Broker(broker) => match message.from {
            NodeId::Controller(_) => None,
            _ => Some(Row::Broker(broker)),
        },
        NodeId::Producer(n) => Some(Row::Told(n)),
        NodeId::Consumer(n) => {
            let reader = view.reader_of(n);
            Some(match message.label.api {
                Api::Fetch | Api::ListOffsets | Api::OffsetForLeaderEpoch => Row::Read(reader),
                Api::OffsetCommit | Api::OffsetFetch => Row::Commit(reader),
                _ => Row::Members(reader),
            })
        }
        NodeId::Controller(_) | NodeId::Script => None,
    }
}

/// Messages that were lost a moment ago, where it happened.
fn lost(app: &App, world: usize) -> Vec<Token> {
    let run = &app.film.worlds[world];
    let Some(last) = app.last_event(world) else { return Vec::new() };
    let mut tokens = Vec::new();
    for n in (0..=last.index()).rev().take(64) {
        let seq = crate::base::ids::EventSeq(n as u32);
        let gone = app.player.frame() - app.reel.frame(app.reel.after(world, seq));
        if gone > LOST_STAYS {
            break;
        }
        let EventKind::WireLost { wire, .. } = run.events[n].kind else { continue };
        let Some((seq, message)) = departure(run, n, wire) else { continue };
        if app.reel.stops_at(world, seq)
            && let Some(row) = row_of(app.view(world), &message)
        {
            let text = tail(run, &message, "✗");
            tokens.push(Token { row, share: 0.5, text, role: Role::Broken });
        }
    }
    tokens
}

/// The sending of message number `wire` before event `n`.
fn departure(
    run: &World,
    n: usize,
    wire: u32,
) -> Option<(crate::base::ids::EventSeq, WireMessage)> {
    let found = (0..n).rev().find_map(|at| match run.events[at].kind {
        EventKind::WireSent { wire: other, to, label, .. } if other == wire => {
            Some((at, to, label))
        }
        _ => None,
    });
    let (at, to, label) = found?;
    let (sent_at, from) = (run.events[at].at, run.events[at].node);
    let seq = crate::base::ids::EventSeq(at as u32);
    Some((seq, WireMessage { wire, from, to, sent_at, arrives_at: None, label, seq }))
}

/// Draws the tokens of `row` between the columns `from` and `to`: the next to arrive, and `+3` for the rest.
pub fn draw(canvas: &mut Canvas<'_>, y: u16, (from, to): (u16, u16), tokens: &[Token], row: Row) {
    let mine: Vec<&Token> = tokens.iter().filter(|token| token.row == row).collect();
    let (Some(first), true) = (mine.first(), to > from + 3) else { return };
    let more = if mine.len() > 1 { format!(" +{}", mine.len() - 1) } else { String::new() };
    let room = to - from;
    let text = shorten(&first.text, room.saturating_sub(width(&more))) + &more;
    let way = f64::from(room.saturating_sub(width(&text)));
    let x = from + (way * (1.0 - first.share)).round() as u16;
    canvas.text(x, y, &text, first.role);
}
