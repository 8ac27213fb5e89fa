//! Transactions: what is open, what does it hide, who is fenced? One transactional id with its states; a strip for each
//! partition with its last stable offset and its high watermark, and below the two isolation levels on one axis.

use crate::base::batch::{BatchKind, RecordBody, TransactionState};
use crate::base::ids::{BatchHandle, EventSeq, MessageId, Offset, PartitionId, TransactionalId};
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::tui::app::App;
use crate::tui::canvas::{Canvas, width};
use crate::tui::glyphs::{self, Glyph};
use crate::tui::theme::Role;
use crate::view::cluster::fencing::{Fenced, Zombie};
use crate::view::cluster::replica::ReplicaView;
use crate::view::cluster::transaction::TransactionView;
use crate::view::cluster::{ClusterView, ProcessState};
use crate::view::words::plural;
use ratatui::style::Modifier;

/// Where strips begin.
const STRIP: u16 = 16;
/// Columns of the numbers at the end of a strip.
const NUMBERS: u16 = 18;
/// The last stable offset within a strip.
const STABLE: Glyph = Glyph { unicode: '┆', ascii: ';' };
/// A record of a transaction that is open.
const OPEN: Glyph = Glyph { unicode: '▒', ascii: '%' };
/// A record of a transaction that was aborted.
const ABORTED: Glyph = Glyph { unicode: '░', ascii: 'a' };

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Outside of transactions, or committed.
    Committed,
    /// Its transaction was aborted.
    Aborted,
    /// Its transaction has no end here.
    Open,
    /// A marker.
    Marker(bool),
}

/// A record in a strip.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cell {
    offset: Offset,
    message: Option<MessageId>,
    fate: Fate,
}

/// Draws the screen.
pub fn draw(canvas: &mut Canvas<'_>, app: &App) {
    let view = app.view(app.world);
    let order = order(view);
    if order.is_empty() {
        canvas.text(1, 1, "No producer of this scenario has a transactional.id.", Role::Plain);
        return;
    }
    let chosen = order[app.transaction.min(order.len() - 1)];
    let zombies = view.zombies(view.transactions[chosen.index()].producer_id);
    head(canvas, app, view, chosen);
    states(canvas, view.transactions[chosen.index()].state);
    let partitions = app.partitions();
    let others = order.len().saturating_sub(1) as u16;
    let below = others.min(4) + (zombies.len() + view.tables.len()) as u16;
    let room = canvas.height().saturating_sub(8 + below).max(1);
    let mut y = 4;
    for partition in partitions.iter().take(usize::from(room)) {
        strip(canvas, app, y, *partition);
        y += 1;
    }
    y = offsets(canvas, view, y);
    y = tables(canvas, view, y);
    y = readers(canvas, app, y + 1);
    y = fenced(canvas, view, &zombies, y);
    for id in order.iter().filter(|id| **id != chosen) {
        if y < canvas.height() {
            let transaction = &view.transactions[id.index()];
            let state = transaction.state.map_or("not used yet", TransactionState::name);
            let name = view.names.transactional_id(*id);
            let (committed, aborted) = transaction.ended;
            let text = format!("{name}  {state}  {committed} committed, {aborted} aborted");
            canvas.fit(1, y, &text, canvas.width().saturating_sub(2), Role::Plain);
            y += 1;
        }
    }
}

/// The transactional id in sight.
pub fn chosen(app: &App) -> Option<TransactionalId> {
    let order = order(app.view(app.world));
    order.get(app.transaction.min(order.len().saturating_sub(1))).copied()
}

/// The partition in which open transactions hide most, with the first record they hide; `None` when nothing is hidden.
pub fn held(app: &App) -> Option<(PartitionId, MessageId)> {
    let view = app.view(app.world);
    let partition = most_held(app)?;
    let replica = view.partition(partition).leader_replica()?;
    let stable = replica.last_stable_offset();
    let batches = &app.run().batches;
    let first = replica.messages_from(stable, batches).find(|(at, _)| *at == stable);
    first.filter(|_| stable < replica.high_watermark).map(|(_, id)| (partition, id))
}

/// The events in which leaders append the markers of the transactions of `id`, as its producer is now.
pub fn markers(app: &App, id: TransactionalId) -> Vec<EventSeq> {
    let (run, producer_id) = (app.run(), app.view(app.world).transactions[id.index()].producer_id);
    let mut seen: Vec<BatchHandle> = Vec::new();
    let mut found = Vec::new();
    for (n, event) in run.events.iter().enumerate() {
        let EventKind::Appended { batch, .. } = event.kind else { continue };
        let marks = run.batches[batch].kind == BatchKind::Control
            && run.batches[batch].producer.is_some_and(|producer| producer.id == producer_id);
        // Who appends it first is the leader.
        if marks && !seen.contains(&batch) {
            seen.push(batch);
            found.push(EventSeq(n as u32));
        }
    }
    found
}

/// Every id: the one whose transaction is open for longest first, then the others by name.
fn order(view: &ClusterView) -> Vec<TransactionalId> {
    let ids = 0..view.transactions.len();
    let mut ids: Vec<TransactionalId> = ids.map(|n| TransactionalId(n as u16)).collect();
    ids.sort_by_key(|id| {
        let transaction = &view.transactions[id.index()];
        (!transaction.is_open(), transaction.is_open().then_some(transaction.began))
    });
    ids
}

fn head(canvas: &mut Canvas<'_>, app: &App, view: &ClusterView, id: TransactionalId) {
    let transaction: &TransactionView = &view.transactions[id.index()];
    let name = view.names.transactional_id(id);
    let x = canvas.fit(1, 0, name, 20, Role::Strong);
    let x = canvas.text(x + 1, 0, "transactional.id", Role::Plain);
    if transaction.producer_id >= 0 {
        let text = format!("PID {} epoch {}", transaction.producer_id, transaction.epoch);
        canvas.text(x + 3, 0, &text, Role::Plain);
    }
    if let Some(coordinator) = transaction.coordinator {
        canvas.text(1, 1, &format!("coordinator {coordinator}"), Role::Plain);
    }
    if !transaction.is_open() {
        return;
    }
    let configs = &app.run().settings.producers;
    let own = configs.iter().find(|config| config.transactional_id == name);
    let Some(timeout) = own.map(|config| config.transaction_timeout) else { return };
    let used = app.now().since(transaction.began);
    let text = format!("timeout {timeout}, used {}", tenths(used));
    let late = used.0.saturating_mul(2) > timeout.0;
    let role = if late { Role::Now } else { Role::Plain };
    canvas.right(canvas.width().saturating_sub(1), 0, &text, role);
}

/// A moment, as [`tenths`].
fn tenths_at(at: Time) -> String {
    tenths(at.since(Time::ZERO)).trim_end_matches(" s").to_owned()
}

/// Seconds with one digit after the point, so that a running time keeps its place.
fn tenths(span: Duration) -> String {
    format!("{}.{} s", span.0 / 1_000_000, span.0 / 100_000 % 10)
}

/// The states a transaction goes through, the present one marked.
fn states(canvas: &mut Canvas<'_>, now: Option<TransactionState>) {
    use TransactionState as S;
    let mut word = |x: u16, y: u16, state: S| {
        let here = now == Some(state);
        let text = if here { format!("[{}]", state.name()) } else { format!(" {} ", state.name()) };
        let after = canvas.text(x, y, &text, if here { Role::Strong } else { Role::Plain });
        if here {
            canvas.accent(x, after, y, Modifier::REVERSED);
        }
        after
    };
    let x = word(7, 2, S::Empty);
    let begins = x + 2;
    let x = word(begins, 2, S::Ongoing);
    let forks = x + 2;
    let commit = word(forks, 2, S::PrepareCommit).max(word(forks, 3, S::PrepareAbort));
    word(commit + 2, 2, S::CompleteCommit);
    word(commit + 2, 3, S::CompleteAbort);
    canvas.text(1, 2, "state", Role::Plain);
    for (at, y) in [(begins - 2, 2), (forks - 2, 2), (commit, 2), (forks - 2, 3), (commit, 3)] {
        canvas.text(at, y, "─►", Role::Plain);
    }
}

/// What is in the log of a replica, and what became of it as far as this log says.
fn cells(app: &App, replica: &ReplicaView) -> Vec<Cell> {
    let batches = &app.run().batches;
    let mut cells: Vec<(Cell, i64)> = Vec::new();
    for entry in replica.log.iter() {
        let batch = &batches[entry.batch];
        let producer = batch.producer.map_or(-1, |producer| producer.id);
        for (n, record) in batches.records(entry.batch).enumerate() {
            let offset = entry.base_offset + n as i64;
            let (message, fate) = match record.body {
                RecordBody::EndTransactionMarker { committed, .. } => {
                    let end = if committed { Fate::Committed } else { Fate::Aborted };
                    for (cell, owner) in &mut cells {
                        if *owner == producer && cell.fate == Fate::Open {
                            cell.fate = end;
                        }
                    }
                    (None, Fate::Marker(committed))
                }
                RecordBody::Message(id) if batch.kind == BatchKind::Transactional => {
                    (Some(id), Fate::Open)
                }
                RecordBody::Message(id) => (Some(id), Fate::Committed),
                _ => (None, Fate::Committed),
            };
            cells.push((Cell { offset, message, fate }, producer));
        }
    }
    cells.into_iter().map(|(cell, _)| cell).collect()
}

/// One partition as its leader has it: the newest records that fit.
fn strip(canvas: &mut Canvas<'_>, app: &App, y: u16, partition: PartitionId) {
    let view = app.view(app.world);
    canvas.fit(1, y, &view.names.partition(partition), STRIP - 2, Role::Plain);
    let Some(replica) = view.partition(partition).leader_replica() else {
        canvas.text(STRIP, y, "has no leader", Role::Now);
        return;
    };
    let cells = cells(app, replica);
    let label = |cell: &Cell| match (cell.message, cell.fate) {
        (Some(id), _) => view.names.message(id),
        (None, Fate::Marker(true)) => "C".to_owned(),
        (None, Fate::Marker(false)) => "A".to_owned(),
        (None, _) => String::new(),
    };
    let end = canvas.width().saturating_sub(NUMBERS);
    let needs = |cell: &Cell| width(&label(cell)) + 2;
    let mut used = 0;
    let fitting = cells.iter().rev().take_while(|cell| {
        used += needs(cell);
        used <= end.saturating_sub(STRIP + 1)
    });
    let first = cells.len() - fitting.count();
    let (stable, high) = (replica.last_stable_offset(), replica.high_watermark);
    let mut x = STRIP;
    for cell in &cells[first..] {
        if cell.offset == stable && stable < high {
            canvas.glyph(x - 1, y, STABLE, Role::Now);
        }
        let (glyph, role) = match cell.fate {
            _ if cell.offset >= high => (glyphs::ABOVE_HW, Role::Now),
            Fate::Open => (OPEN, Role::Now),
            Fate::Aborted => (ABORTED, Role::Plain),
            Fate::Committed | Fate::Marker(_) if cell.offset < stable => {
                (glyphs::BELOW_HW, Role::Safe)
            }
            Fate::Committed | Fate::Marker(_) => (glyphs::BELOW_HW, Role::Plain),
        };
        if matches!(cell.fate, Fate::Marker(_)) {
            x = canvas.text(x, y, " ", Role::Plain);
        } else {
            canvas.glyph(x, y, glyph, role);
            x += 1;
        }
        x = canvas.text(x, y, &label(cell), role) + 1;
        if cell.offset + 1 == high {
            canvas.glyph(x - 1, y, glyphs::HW_LEADER, Role::Strong);
        }
    }
    let numbers = format!("HW {high}  LSO {stable}");
    let role = if stable < high { Role::Now } else { Role::Plain };
    canvas.right(canvas.width().saturating_sub(1), y, &numbers, role);
}

/// Offsets that wait for the end of a transaction.
fn offsets(canvas: &mut Canvas<'_>, view: &ClusterView, mut y: u16) -> u16 {
    for (n, group) in view.groups.iter().enumerate() {
        for pending in &group.pending {
            let name = &view.names.groups[n];
            let partition = view.names.partition(pending.partition);
            let text = format!("{name} {partition} → {}   counts when it commits", pending.offset);
            canvas.text(1, y, "offsets", Role::Plain);
            canvas.fit(STRIP, y, &text, canvas.width().saturating_sub(STRIP + 1), Role::Now);
            y += 1;
        }
    }
    y
}

/// What applications wrote to a database besides: no transaction here takes it back.
fn tables(canvas: &mut Canvas<'_>, view: &ClusterView, mut y: u16) -> u16 {
    for (table, name) in view.tables.iter().zip(&view.names.tables) {
        let (rows, messages) = table.count();
        let text =
            format!("{name}: {}, of {}", plural(rows, "row"), plural(messages as u64, "message"));
        let role = if rows > messages as u64 { Role::Broken } else { Role::Plain };
        canvas.text(1, y, "database", Role::Plain);
        canvas.fit(STRIP, y, &text, canvas.width().saturating_sub(STRIP + 1), role);
        y += 1;
    }
    y
}

/// Who is fenced, and whether it knows.
fn fenced(canvas: &mut Canvas<'_>, view: &ClusterView, zombies: &[Zombie], mut y: u16) -> u16 {
    for zombie in zombies {
        let name = &view.names.producers[usize::from(zombie.producer)].name;
        let process = match view.producers[usize::from(zombie.producer)] {
            ProcessState::Frozen { .. } => ", frozen",
            _ => "",
        };
        let text = match zombie.fenced {
            Some(Fenced { error, at, .. }) => {
                format!(
                    "{name}  epoch {} ──► {} at {} s",
                    zombie.epoch,
                    error.name(),
                    tenths_at(at)
                )
            }
            None => format!("{name}  epoch {}{process}; it does not know yet", zombie.epoch),
        };
        let role = if zombie.fenced.is_some() { Role::Broken } else { Role::Now };
        canvas.text(1, y, "zombie", role);
        canvas.fit(STRIP, y, &text, canvas.width().saturating_sub(STRIP + 1), role);
        y += 1;
    }
    y
}

/// The partition in which open transactions hide most.
fn most_held(app: &App) -> Option<PartitionId> {
    let view = app.view(app.world);
    let held = |partition: &PartitionId| {
        let replica = view.partition(*partition).leader_replica();
        replica.map_or(0, |r| r.high_watermark - r.last_stable_offset())
    };
    app.partitions().into_iter().max_by_key(|p| (held(p), std::cmp::Reverse(*p)))
}

/// Both isolation levels, where the oldest open transaction hides most.
fn readers(canvas: &mut Canvas<'_>, app: &App, y: u16) -> u16 {
    let view = app.view(app.world);
    let Some(partition) = &most_held(app) else { return y };
    let Some(replica) = view.partition(*partition).leader_replica() else { return y };
    let (stable, high) = (replica.last_stable_offset(), replica.high_watermark);
    let cells = cells(app, replica);
    let hidden = |fate: Fate, below: Offset| {
        cells.iter().filter(|cell| cell.fate == fate && cell.offset < below).count()
    };
    let name = view.names.partition(*partition);
    let (open, aborted) = (hidden(Fate::Open, high), hidden(Fate::Aborted, high));
    let sees =
        format!("{name}: reads to {high}; sees {aborted} aborted, {open} of open transactions");
    let waits = match high - stable {
        0 => format!("{name}: reads to {stable}; nothing waits"),
        1 => format!("{name}: reads to {stable}; 1 offset waits behind what is open"),
        n => format!("{name}: reads to {stable}; {n} offsets wait behind what is open"),
    };
    let rows = [("uncommitted", sees, Role::Plain), ("committed", waits, Role::Plain)];
    for (row, (level, text, role)) in (0..).zip(rows) {
        canvas.text(1, y + row, level, Role::Plain);
        canvas.glyph(STRIP - 2, y + row, glyphs::POINTER, role);
        canvas.fit(STRIP, y + row, &text, canvas.width().saturating_sub(STRIP + 1), role);
    }
    y + 3
}
