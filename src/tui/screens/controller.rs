//! The quorum of controllers: who decides, and does traffic care? One row a controller with where its metadata log ends
//! and what it knows to be committed, one row a broker with how far it has acted on that, and the two planes apart.

use crate::base::ids::{BrokerId, Offset};
use crate::base::time::Time;
use crate::tui::app::App;
use crate::tui::canvas::Canvas;
use crate::tui::theme::Role;
use crate::view::cluster::quorum::ControllerView;
use crate::view::cluster::{ClusterView, ProcessState};

/// Records of the metadata log that are drawn, the newest last.
const SHOWN: i64 = 12;

/// Draws the quorum.
pub fn draw(canvas: &mut Canvas<'_>, app: &App) {
    let view = app.view(app.world);
    let quorum = &view.quorum;
    let (w, h) = (canvas.width(), canvas.height());
    let end = quorum.each().map(|(_, c)| c.end.0).max().unwrap_or(0);
    let first = (end - SHOWN).max(0);
    canvas.text(1, 0, "metadata log", Role::Strong);
    let range = if end == 0 { "empty".to_owned() } else { format!("{first} to {}", end - 1) };
    canvas.text(20, 0, &range, Role::Plain);
    let voters = quorum.controllers.len() - 1;
    let facts = format!("epoch {}  voters {voters}  majority {}", quorum.epoch, quorum.majority());
    canvas.right(w - 1, 0, &facts, Role::Plain);
    let mut y = 1;
    for (n, controller) in quorum.each() {
        let leads = quorum.leader() == Some(n);
        let role = if leads { Role::Strong } else { Role::Plain };
        canvas.text(1, y, &format!("ctl{n} {}", state(controller, leads)), role);
        strip(canvas, y, first, controller.end, controller.high_watermark);
        let heard = (!leads).then_some(controller.heard).flatten();
        if let Some(at) = heard {
            canvas.fit(38, y, &format!("fetched {} ago", view.now.since(at)), w - 39, Role::Plain);
        }
        y += 1;
    }
    let brokers = (h.saturating_sub(y + 3)).min(quorum.observers.len() as u16 - 1);
    for n in 1..=brokers {
        observer(canvas, app, view, (BrokerId(n as u8), y, first));
        y += 1;
    }
    planes(canvas, view, h.saturating_sub(2).max(y));
}

/// What a controller is.
fn state(controller: &ControllerView, leads: bool) -> &'static str {
    match controller.process {
        ProcessState::Down => "voter DOWN",
        ProcessState::Frozen => "voter FROZEN",
        _ if controller.cut_off => "voter CUT OFF",
        _ if leads => "LEAD",
        _ => "voter",
    }
}

/// A square for each record that is there: full where it is known to be committed.
fn strip(canvas: &mut Canvas<'_>, y: u16, first: i64, end: Offset, committed: Offset) {
    for (n, offset) in (first..end.0).enumerate() {
        let (text, role) =
            if offset < committed.0 { ("■", Role::Safe) } else { ("□", Role::Now) };
        canvas.text(20 + n as u16, y, text, role);
    }
}

/// A broker: how far it has acted on the metadata, and its session.
fn observer(
    canvas: &mut Canvas<'_>,
    app: &App,
    view: &ClusterView,
    (id, y, first): (BrokerId, u16, i64),
) {
    let broker = &view.brokers[id.index()];
    let word = match broker.process {
        ProcessState::Down => "DOWN",
        ProcessState::Frozen => "FROZEN",
        _ if broker.registered && broker.fenced => "fenced",
        _ => "observer",
    };
    let room = canvas.width() - 39;
    canvas.text(1, y, &format!("{id} {word}"), Role::Plain);
    let applied = view.quorum.applied(id);
    strip(canvas, y, first, applied, applied);
    let timeout = app.run().settings.cluster.brokers.broker_session_timeout;
    let heard = view.quorum.observers[id.index()].heard;
    let text = session(heard, view.now, broker.fenced, timeout);
    canvas.fit(38, y, &text, room, Role::Plain);
}

fn session(
    heard: Option<Time>,
    now: Time,
    fenced: bool,
    timeout: crate::base::time::Duration,
) -> String {
    match heard {
        _ if fenced => "no session".to_owned(),
        None => String::new(),
        Some(at) => format!("session: heard of {} ago, of {timeout}", now.since(at)),
    }
}

/// The control plane and the data plane, apart.
fn planes(canvas: &mut Canvas<'_>, view: &ClusterView, y: u16) {
    let (words, role) = match view.quorum.active() {
        Some(n) => (format!("control plane: ctl{n} decides"), Role::Safe),
        None => ("control plane: nobody decides".to_owned(), Role::Broken),
    };
    canvas.text(1, y, &words, role);
    let led = view.partitions.iter().filter(|p| p.leaderless_since.is_none() && p.leader.is_some());
    let text =
        format!("data plane: {} of {} partitions are led", led.count(), view.partitions.len());
    canvas.right(canvas.width() - 1, y, &text, Role::Plain);
}
