//! Several partitions: a row each, with the leader, the ISR, how far readers are, and what is lost.

use crate::base::ids::{GroupId, PartitionId};
use crate::tui::app::App;
use crate::tui::canvas::Canvas;
use crate::tui::glyphs;
use crate::tui::screens::stage::members::Members;
use crate::tui::theme::Role;
use crate::view::cluster::ClusterView;

/// The column where the bar begins.
const BAR: u16 = 25;

/// Draws the partitions and, below them, the groups.
pub fn draw(canvas: &mut Canvas<'_>, app: &App, partitions: &[PartitionId]) {
    let (run, view) = (app.run(), app.view(app.world));
    let (w, h) = (canvas.width(), canvas.height());
    let numbers = w.saturating_sub(21);
    canvas.text(3, 0, "partition", Role::Plain);
    canvas.text(13, 0, "leader isr", Role::Plain);
    canvas.text(BAR, 0, "log start ─ C committed ─ P read ┤", Role::Plain);
    canvas.right(w, 0, "end   lag  told  gone", Role::Plain);
    let members: usize = (0..view.groups.len()).map(|g| group_rows(app, g)).sum();
    let room = usize::from(h.saturating_sub(3)).saturating_sub(members).max(3);
    let first = app.row.saturating_sub(room.saturating_sub(1));
    let longest = partitions.iter().filter_map(|p| end(view, *p)).max().unwrap_or(0).max(1);
    let mut y = 1;
    for (n, partition) in partitions.iter().enumerate().skip(first).take(room) {
        row(&mut canvas.part(0, y, w, 1), app, *partition, (numbers, longest));
        if n == app.row {
            canvas.text(1, y, "►", Role::Strong);
        }
        y += 1;
    }
    if partitions.len() > first + room {
        let more = partitions.len() - first - room;
        canvas.text(3, y, &format!("… {more} more"), Role::Plain);
        y += 1;
    }
    for group in 0..view.groups.len() {
        canvas.line(1, w, y);
        let state = &view.groups[group];
        let name = run.names.group(GroupId(group as u16));
        let words = format!(" {name}  {}, generation {} ", state.state.name(), state.generation);
        canvas.text(3, y, &words, Role::Plain);
        let lag =
            view.lag(GroupId(group as u16)).map_or("lag ?".to_owned(), |l| format!("lag {l}"));
        canvas.right(w, y, &format!(" {lag}"), Role::Plain);
        y += 1;
        let members = Members::of(run, view, group);
        let rows = usize::from(h.saturating_sub(y + 1));
        if members.list.len() <= rows {
            for member in &members.list {
                canvas.glyph(3, y, member.glyph, member.role);
                canvas.fit(5, y, &member.name, 12, Role::Plain);
                canvas.text(18, y, &member.owns, Role::Plain);
                y += 1;
            }
        } else {
            members.line(&mut canvas.part(3, y, w.saturating_sub(3), 1));
            y += 1;
        }
    }
}

/// Rows a group takes: its head and its members, at most a third of the body.
fn group_rows(app: &App, group: usize) -> usize {
    1 + Members::of(app.run(), app.view(app.world), group).list.len().min(10)
}

/// LEO of the leader, or of the longest replica when there is none.
fn end(view: &ClusterView, partition: PartitionId) -> Option<i64> {
    let state = view.partition(partition);
    let leader = state.leader_replica().map(|leader| leader.end.0);
    leader.or_else(|| state.replicas.iter().map(|r| r.end.0).max())
}

fn row(canvas: &mut Canvas<'_>, app: &App, partition: PartitionId, (to, longest): (u16, i64)) {
    let (run, view) = (app.run(), app.view(app.world));
    let state = view.partition(partition);
    let name = run.names.partition(partition);
    canvas.fit(3, 0, &name, 9, Role::Plain);
    let (leader, role) = match state.leader {
        Some(broker) => (format!("{broker} e{}", state.leader_epoch), Role::Plain),
        None => ("none".to_owned(), Role::Broken),
    };
    canvas.fit(13, 0, &leader, 6, role);
    let full = state.isr.len() == state.replicas.len();
    let isr = format!("{}/{}", state.isr.len(), state.replicas.len());
    canvas.fit(20, 0, &isr, 3, if full { Role::Plain } else { Role::Now });
    let end = end(view, partition).unwrap_or(0);
    let room = i64::from(to.saturating_sub(BAR + 2));
    let column = |offset: i64| BAR + 1 + (offset.clamp(0, longest) * room / longest) as u16;
    canvas.glyph(BAR, 0, glyphs::LOG_START, Role::Plain);
    canvas.line(BAR + 1, column(end), 0);
    canvas.text(column(end), 0, "┤", Role::Plain);
    let positions = view.consumers.iter().filter_map(|c| c.position(partition));
    let read = positions.map(|at| column(at.0).saturating_sub(1).max(BAR)).max();
    if let Some(x) = read {
        canvas.text(x, 0, "P", Role::Strong);
    }
    for committed in view.groups.iter().filter_map(|group| group.committed(partition)) {
        let x = column(committed.offset.0).saturating_sub(1);
        let x = if Some(x) == read { x.saturating_sub(1) } else { x };
        canvas.text(x.max(BAR), 0, "C", Role::Safe);
    }
    let lag = view
        .groups
        .first()
        .and_then(|group| group.committed(partition))
        .and_then(|c| view.partition_lag(partition, c.offset));
    let mine = || app.moment(app.world).fates().iter().filter(|f| f.partition == Some(partition));
    let told = mine().filter(|fate| fate.acked).count();
    let gone = mine().filter(|fate| fate.lost.is_some()).count();
    let w = canvas.width();
    canvas.right(w - 18, 0, &end.to_string(), Role::Plain);
    canvas.right(w - 12, 0, &lag.map_or("?".to_owned(), |lag| lag.to_string()), Role::Plain);
    canvas.right(w - 6, 0, &told.to_string(), Role::Plain);
    match (gone, state.leader) {
        (0, None) => canvas.right(w, 0, "?", Role::Now),
        (0, _) => canvas.right(w, 0, "0", Role::Plain),
        (n, _) => canvas.right(w, 0, &format!("✗ {n}"), Role::Broken),
    }
}
