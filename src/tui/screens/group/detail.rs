//! Below the members: what the selected one has and has committed, its timers, or every variant beside the others.

use super::{Detail, Scene, tenths};
use crate::base::config::GroupProtocol;
use crate::base::ids::NodeId;
use crate::base::time::{Duration, Time};
use crate::tui::canvas::{Canvas, width};
use crate::tui::theme::Role;

/// Columns of a timer's bar.
const BAR: u64 = 20;

/// Draws it from row `y` on.
pub(super) fn draw(canvas: &mut Canvas<'_>, scene: &Scene<'_>, y: u16) {
    if y >= canvas.height() {
        return;
    }
    match scene.app.anatomy.detail {
        Detail::Owns => owns(canvas, scene, y),
        Detail::Timers => timers(canvas, scene, y),
        Detail::Variants => return variants(canvas, scene, y),
    }
    let worlds = scene.app.film.worlds.len() as u16;
    // Where there is room, all variants stand below as well.
    if worlds > 1 && canvas.height() > y + worlds + 8 {
        variants(canvas, scene, y + 6);
    }
}

/// Each partition of the selected member: where it reads, what is committed, how much is left.
fn owns(canvas: &mut Canvas<'_>, scene: &Scene<'_>, y: u16) {
    let node = NodeId::Consumer(scene.chosen);
    let name = scene.view.names.node(node);
    let consumer = &scene.view.consumers[usize::from(scene.chosen)];
    let mut owned: Vec<_> = consumer.partitions.iter().filter(|p| p.assigned).collect();
    owned.sort_by_key(|p| p.partition);
    if owned.is_empty() {
        canvas.fit(1, y, &format!("{name} owns nothing"), 70, Role::Plain);
        return;
    }
    let mut x = canvas.fit(1, y, &name, 12, Role::Strong) + 2;
    let indent = x;
    let mut row = y;
    for mine in owned {
        let id = mine.partition;
        let position = mine.position.map_or_else(|| "?".to_owned(), |at| at.to_string());
        let committed = scene.group.committed(id).map(|committed| committed.offset);
        let lag = committed.and_then(|at| scene.view.partition_lag(id, at));
        let text = format!(
            "{} at {position}, committed {}, lag {}",
            scene.view.names.partition(id),
            committed.map_or_else(|| "none".to_owned(), |at| at.to_string()),
            lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string()),
        );
        if x > indent && x + width(&text) > canvas.width().saturating_sub(1) {
            (x, row) = (indent, row + 1);
        }
        x = canvas.text(x, row, &text, Role::Plain) + 3;
    }
}

/// Three timers of the selected member, each with what is left of it.
fn timers(canvas: &mut Canvas<'_>, scene: &Scene<'_>, y: u16) {
    let name = scene.view.names.node(NodeId::Consumer(scene.chosen));
    let consumer = &scene.view.consumers[usize::from(scene.chosen)];
    let run = scene.app.run();
    let Some(config) = run.settings.consumers.get(usize::from(scene.chosen)) else { return };
    let group = &run.settings.cluster.brokers.consumer_group;
    let by_broker = scene.group.protocol == GroupProtocol::Consumer;
    let (heartbeat, session) = if by_broker {
        (group.heartbeat_interval, group.session_timeout)
    } else {
        (config.heartbeat_interval, config.session_timeout)
    };
    let lines = [
        ("heartbeat", heartbeat, consumer.heard.sent),
        ("session", session, consumer.heard.arrived),
        ("poll interval", config.max_poll_interval, consumer.heard.polled),
    ];
    canvas.fit(1, y, &name, 11, Role::Strong);
    for (row, (word, whole, since)) in (0..).zip(lines) {
        canvas.text(13, y + row, &format!("{word:<14}{whole}"), Role::Plain);
        timer(canvas, (36, y + row), whole, since, scene.window.now);
    }
}

/// What is left of a timer that was set `since`.
fn timer(
    canvas: &mut Canvas<'_>,
    (x, y): (u16, u16),
    whole: Duration,
    since: Option<Time>,
    now: Time,
) {
    let Some(since) = since else {
        canvas.text(x, y, "not set yet", Role::Plain);
        return;
    };
    let left = Duration(whole.0.saturating_sub(now.since(since).0));
    let eighths = left.0 * BAR * 8 / whole.0.max(1);
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][(eighths % 8) as usize];
    let bar = format!("{}{part}", "█".repeat((eighths / 8) as usize));
    let late = left.0 * 4 < whole.0;
    canvas.text(x, y, &bar, if late { Role::Now } else { Role::Safe });
    canvas.text(x + BAR as u16 + 1, y, &format!("{} left", tenths(left)), Role::Plain);
}

/// The group in every variant, at this moment.
fn variants(canvas: &mut Canvas<'_>, scene: &Scene<'_>, y: u16) {
    let app = scene.app;
    let numbers = ["revoked", "moved", "stopped", "partition-s", "twice"];
    let left = canvas.width().saturating_sub(9 * numbers.len() as u16 + 6);
    let column = |n: u16| left + 9 * (n + 1) + if n >= 3 { 4 } else { 0 };
    canvas.text(1, y, "variant", Role::Plain);
    for (n, word) in (0..).zip(numbers) {
        canvas.right(column(n), y, word, Role::Plain);
    }
    for (world, run) in app.film.worlds.iter().enumerate() {
        let row = y + 1 + world as u16;
        let role = if world == app.world { Role::Strong } else { Role::Plain };
        canvas.fit(1, row, &run.variant, left, role);
        let Some(group) = app.view(world).groups.get(scene.id.index()) else { continue };
        let handovers = group.handovers();
        let Some(last) = handovers.rebalances().last() else { continue };
        let stopped = handovers.stop_time(last.began, app.now());
        let cells = [
            handovers.revoked(last.began).to_string(),
            handovers.moved(last.began).to_string(),
            handovers.stopped(last.began).len().to_string(),
            tenths(stopped).trim_end_matches(" s").to_owned(),
            app.moment(world).tally.repeated.len().to_string(),
        ];
        for (n, cell) in (0..).zip(cells) {
            canvas.right(column(n), row, &cell, role);
        }
    }
}
