//! The log inspector: what exactly is on this disk, and where do two replicas part? One row a batch, in the words of
//! `kafka-dump-log`; two replicas side by side with the first batch that differs.

use std::collections::BTreeMap;

use crate::base::batch::RecordBody;
use crate::base::ids::{BatchHandle, LeaderEpoch, Offset, PartitionId};
use crate::tui::app::App;
use crate::tui::canvas::{Canvas, width};
use crate::tui::glyphs::{self, Glyph};
use crate::tui::model::World;
use crate::tui::theme::Role;
use crate::view::cluster::ReplicaState;
use crate::view::cluster::replica::{Cut, CutReason, LogEntry, ReplicaView};
use crate::view::words::batch_ids;

/// Batches of one producer that a broker remembers (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
const BATCHES_KEPT: usize = 5;

/// Rows below the list.
const FOOT: u16 = 4;

/// Where the reader stands.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Place {
    /// The replica, by its place among those of the partition.
    pub replica: usize,
    /// The batch, by its row.
    pub batch: usize,
    /// Two replicas side by side.
    pub beside: bool,
    /// The records of the batch are listed.
    pub opened: bool,
}

/// One row of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// A sentence between batches.
    Note(String),
    /// A batch.
    Batch {
        /// Where it lies.
        entry: LogEntry,
        /// It was cut off and is not there any more.
        gone: bool,
    },
}

/// The partition that is inspected.
pub fn partition(app: &App) -> PartitionId {
    app.partitions().get(app.row).copied().unwrap_or_default()
}

/// The rows of a replica's log, oldest first, with what was cut off since the last mark.
pub fn lines(replica: &ReplicaView) -> Vec<Line> {
    let kept: Vec<LogEntry> = replica.log.iter().copied().collect();
    let cut = replica.last_cut.as_ref();
    let at = cut.map_or(kept.len(), |cut| kept.partition_point(|entry| entry.base_offset < cut.to));
    let batch = |gone: bool| move |entry: &LogEntry| Line::Batch { entry: *entry, gone };
    let mut all: Vec<Line> = Vec::new();
    for (n, entry) in kept[..at].iter().enumerate() {
        // Where the file changes, if there is more than one.
        let before = n.checked_sub(1).map(|n| kept[n].base_offset);
        let begins = |segment: &&Offset| {
            **segment <= entry.base_offset && before.is_none_or(|before| **segment > before)
        };
        let segment = replica.segments.iter().rev().find(begins);
        if let Some(segment) = segment.filter(|_| replica.segments.len() > 1) {
            all.push(Line::Note(format!("segment {segment}")));
        }
        all.push(batch(false)(entry));
    }
    if let Some(cut) = cut {
        all.push(Line::Note(cut_words(cut)));
        all.extend(cut.entries.iter().map(batch(true)));
        if at < kept.len() {
            all.push(Line::Note("written again since".to_owned()));
        }
    }
    all.extend(kept[at..].iter().map(batch(false)));
    all
}

fn cut_words(cut: &Cut) -> String {
    match (cut.reason, cut.epoch) {
        (CutReason::PowerLoss, _) => format!("power lost: the disk had what is below {}", cut.to),
        (CutReason::DiskLost, _) => "the disk was lost".to_owned(),
        (CutReason::Truncated, LeaderEpoch::NONE) => format!("cut at {}", cut.to),
        (CutReason::Truncated, epoch) => {
            format!("cut at {}: the leader says that epoch {epoch} ended there", cut.to)
        }
    }
}

/// The leader epoch cache, as far as batches tell: the first offset of each epoch that has records in the log.
fn epochs(replica: &ReplicaView) -> Vec<(LeaderEpoch, Offset)> {
    let mut all: Vec<(LeaderEpoch, Offset)> = Vec::new();
    for entry in replica.log.iter() {
        if all.last().is_none_or(|(epoch, _)| *epoch < entry.epoch) {
            all.push((entry.epoch, entry.base_offset));
        }
    }
    all
}

/// What the broker remembers of idempotent producers: id, epoch, last sequence, batches kept.
fn producers(run: &World, replica: &ReplicaView) -> Vec<String> {
    let mut all: BTreeMap<i64, (i16, i32, usize)> = BTreeMap::new();
    for entry in replica.log.iter() {
        let header = run.batches[entry.batch];
        let Some(state) = header.producer else { continue };
        let last = state.base_sequence.0 + header.count as i32 - 1;
        let known = all.entry(state.id).or_insert((state.epoch.0, last, 0));
        *known = (state.epoch.0, last, known.2 + 1);
    }
    let words = all.into_iter().map(|(id, (epoch, last, batches))| {
        format!("{id}: epoch {epoch}, last sequence {last}, {} kept", batches.min(BATCHES_KEPT))
    });
    words.collect()
}

/// The first offset at which two logs differ, or part because one of them ends; `None` when they are equal.
fn first_difference(a: &ReplicaView, b: &ReplicaView) -> Option<Offset> {
    let mut others = b.log.iter();
    for entry in a.log.iter() {
        match others.next() {
            Some(other) if other == entry => {}
            Some(other) => return Some(entry.base_offset.min(other.base_offset)),
            None => return Some(entry.base_offset),
        }
    }
    others.next().map(|entry| entry.base_offset)
}

fn offsets(run: &World, entry: &LogEntry) -> String {
    let last = entry.base_offset + (i64::from(run.batches[entry.batch].count) - 1);
    if last == entry.base_offset {
        last.to_string()
    } else {
        format!("{}-{last}", entry.base_offset)
    }
}

fn kind(run: &World, batch: BatchHandle) -> &'static str {
    let mut records = run.batches.records(batch).map(|record| record.body);
    match records.find(|body| *body != RecordBody::Removed).unwrap_or(RecordBody::Removed) {
        RecordBody::Message(_) => "data",
        RecordBody::OffsetCommit { .. } | RecordBody::OffsetTombstone { .. } => "offsets",
        RecordBody::GroupMetadata { .. }
        | RecordBody::GroupTombstone { .. }
        | RecordBody::ConsumerGroup { .. } => "group",
        RecordBody::Removed => "empty",
        RecordBody::TransactionState { .. } => "txn",
        RecordBody::EndTransactionMarker { committed: true, .. } => "COMMIT",
        RecordBody::EndTransactionMarker { committed: false, .. } => "ABORT",
        RecordBody::ShareState { .. } | RecordBody::ShareGroup { .. } => "share",
        RecordBody::DeadLetter { .. } => "dead",
    }
}

/// How a batch stands to the high watermark.
fn mark(run: &World, entry: &LogEntry, gone: bool, hw: Offset) -> (Glyph, Role) {
    let end = entry.base_offset + i64::from(run.batches[entry.batch].count);
    match gone {
        true => (glyphs::CUT, Role::Broken),
        false if end <= hw => (glyphs::BELOW_HW, Role::Safe),
        false => (glyphs::ABOVE_HW, Role::Now),
    }
}

fn role(state: ReplicaState) -> &'static str {
    match state {
        ReplicaState::Down => "down",
        ReplicaState::Frozen => "frozen",
        ReplicaState::Cut => "cut off",
        ReplicaState::Fenced => "fenced",
        ReplicaState::Lead => "leader",
        ReplicaState::Isr => "in the ISR",
        ReplicaState::Elr => "eligible leader",
        ReplicaState::Out => "out of sync",
    }
}

/// Draws the inspector.
pub fn draw(canvas: &mut Canvas<'_>, app: &App) {
    let (w, h) = (canvas.width(), canvas.height());
    let view = app.view(app.world);
    if view.partitions.is_empty() {
        canvas.text(1, 1, "There is no log.", Role::Plain);
        return;
    }
    let id = partition(app);
    let replicas = &view.partition(id).replicas;
    let at = app.log.replica.min(replicas.len().saturating_sub(1));
    let Some(replica) = replicas.get(at) else { return };
    if app.log.beside && replicas.len() > 1 {
        let other = &replicas[(at + 1) % replicas.len()];
        beside(canvas, app, id, (replica, other));
    } else {
        alone(&mut canvas.part(0, 0, w, h.saturating_sub(FOOT)), app, id, replica);
    }
    foot(&mut canvas.part(0, h.saturating_sub(FOOT), w, FOOT), app, id, replica);
}

fn head(app: &App, id: PartitionId, replica: &ReplicaView) -> String {
    let view = app.view(app.world);
    let (name, state) = (view.names.partition(id), view.replica_state(id, replica.broker));
    let epoch = view.partition(id).leader_epoch;
    format!("{name} on {}   {}, epoch {epoch}", replica.broker, role(state))
}

fn ends(replica: &ReplicaView) -> String {
    let (hw, end) = (replica.high_watermark, replica.end);
    format!("log start {}  HW {hw}  LSO {hw}  LEO {end}", replica.log_start)
}

/// The first row to show so that the cursor is in sight.
fn window(cursor: usize, count: usize, room: usize) -> usize {
    let last = count.saturating_sub(room);
    cursor.saturating_sub(room.saturating_sub(1)).min(last)
}

fn alone(canvas: &mut Canvas<'_>, app: &App, id: PartitionId, replica: &ReplicaView) {
    let (w, h, run) = (canvas.width(), canvas.height(), app.run());
    let ends = ends(replica);
    let room = w.saturating_sub(width(&ends) + 3);
    canvas.fit(1, 0, &head(app, id, replica), room, Role::Strong);
    canvas.right(w, 0, &ends, Role::Plain);
    for (end, title) in [(9, "offset"), (30, "n"), (37, "epoch"), (47, "producer"), (56, "p.epoch")]
    {
        canvas.right(end, 1, title, Role::Plain);
    }
    canvas.text(11, 1, "records", Role::Plain);
    canvas.right(67, 1, "sequence", Role::Plain);
    canvas.text(69, 1, "kind", Role::Plain);
    let all = lines(replica);
    let cursor = app.log.batch.min(all.len().saturating_sub(1));
    let records = if app.log.opened { records(app, all.get(cursor), replica) } else { Vec::new() };
    let room =
        usize::from(h.saturating_sub(2)).saturating_sub(records.len().min(usize::from(h) / 2));
    let first = window(cursor, all.len(), room.max(1));
    let mut y = 2;
    for (n, line) in all.iter().enumerate().skip(first).take(room.max(1)) {
        match line {
            Line::Note(words) => {
                canvas.line(1, w, y);
                canvas.fit(3, y, &format!(" {words} "), w.saturating_sub(6), Role::Plain);
            }
            Line::Batch { entry, gone } => {
                row(canvas, y, run, entry, mark(run, entry, *gone, replica.high_watermark));
                let last = entry.base_offset + i64::from(run.batches[entry.batch].count);
                if *gone {
                    canvas.text(76, y, "gone", Role::Broken);
                } else if last == replica.high_watermark {
                    canvas.text(76, y, "◄ HW", Role::Strong);
                }
            }
        }
        if n == cursor {
            canvas.text(0, y, "►", Role::Strong);
        }
        y += 1;
        if n == cursor {
            for text in records.iter().take(usize::from(h) / 2) {
                canvas.fit(13, y, text, w.saturating_sub(14), Role::Plain);
                y += 1;
            }
        }
    }
    if all.is_empty() {
        canvas.text(1, 2, "The log is empty.", Role::Plain);
    }
}

fn row(canvas: &mut Canvas<'_>, y: u16, run: &World, entry: &LogEntry, mark: (Glyph, Role)) {
    let header = run.batches[entry.batch];
    canvas.glyph(1, y, mark.0, mark.1);
    canvas.right(9, y, &offsets(run, entry), Role::Plain);
    canvas.fit(11, y, &batch_ids(&run.names, &run.batches, entry.batch), 16, Role::Plain);
    let left = run.batches.records(entry.batch).filter(|r| r.body != RecordBody::Removed).count();
    canvas.right(30, y, &left.to_string(), Role::Plain);
    canvas.right(37, y, &entry.epoch.to_string(), Role::Strong);
    match header.producer {
        Some(state) => {
            let (first, last) =
                (state.base_sequence.0, state.base_sequence.0 + header.count as i32 - 1);
            let sequence =
                if first == last { first.to_string() } else { format!("{first}-{last}") };
            canvas.right(47, y, &state.id.to_string(), Role::Plain);
            canvas.right(56, y, &state.epoch.0.to_string(), Role::Plain);
            canvas.right(67, y, &sequence, Role::Plain);
        }
        None => canvas.right(67, y, "none", Role::Plain),
    }
    canvas.text(69, y, kind(run, entry.batch), Role::Plain);
}

/// The records of the selected batch: offset, message, key, size, who processed it.
fn records(app: &App, line: Option<&Line>, replica: &ReplicaView) -> Vec<String> {
    let Some(Line::Batch { entry, .. }) = line else { return Vec::new() };
    let (run, view) = (app.run(), app.view(app.world));
    let rows = run.batches.records(entry.batch).enumerate().map(|(n, record)| {
        let at = entry.base_offset + n as i64;
        let RecordBody::Message(id) = record.body else {
            if record.body == RecordBody::Removed {
                return format!("{at}  compacted away");
            }
            return format!("{at}  a record of the coordinator, {} bytes", record.bytes);
        };
        let key = run.names.key(record.key).map_or_else(
            || "no key".to_owned(),
            |key| format!("key {}", String::from_utf8_lossy(key)),
        );
        let done: Vec<String> = view
            .readers
            .iter()
            .enumerate()
            .filter(|(_, reader)| reader.message(id).count > 0)
            .map(|(n, reader)| {
                let who = run.names.groups.get(n).map_or("a reader", String::as_str);
                format!("{who} processed it {}×", reader.message(id).count)
            })
            .collect();
        let done = if done.is_empty() { "not processed".to_owned() } else { done.join(", ") };
        let below = if at < replica.high_watermark { "below the HW" } else { "above the HW" };
        let name = run.names.message(id);
        let what = if record.is_tombstone { "tombstone, " } else { "" };
        format!("{at}  {name}  {key}  {what}{} bytes  {below}  {done}", record.bytes)
    });
    rows.collect()
}

/// Two replicas next to each other, row by offset.
fn beside(
    canvas: &mut Canvas<'_>,
    app: &App,
    id: PartitionId,
    (left, right): (&ReplicaView, &ReplicaView),
) {
    let (w, h) = (canvas.width(), canvas.height().saturating_sub(FOOT));
    let (run, half) = (app.run(), w / 2);
    let parts = first_difference(left, right);
    // What was cut has rows of its own above, or it would stand next to what the other log still has.
    let mut all: BTreeMap<(Offset, bool), [Vec<LogEntry>; 2]> = BTreeMap::new();
    for (side, replica) in [left, right].into_iter().enumerate() {
        for line in lines(replica) {
            if let Line::Batch { entry, gone } = line {
                all.entry((entry.base_offset, !gone)).or_default()[side].push(entry);
            }
        }
    }
    let state = app.view(app.world);
    for (x, replica) in [(1, left), (half + 2, right)] {
        let what = role(state.replica_state(id, replica.broker));
        let (hw, end) = (replica.high_watermark, replica.end);
        let text = format!("{} {what}  HW {hw}  LEO {end}", replica.broker);
        canvas.fit(x, 0, &text, half.saturating_sub(2), Role::Strong);
        canvas.text(x + 2, 1, "offset    records        epoch", Role::Plain);
    }
    let count = all.values().map(|sides| sides[0].len().max(sides[1].len())).sum::<usize>();
    let room = usize::from(h.saturating_sub(2)).max(1);
    let first = window(app.log.batch.min(count.saturating_sub(1)), count, room);
    let mut n = 0;
    for ((at, kept), sides) in &all {
        for depth in 0..sides[0].len().max(sides[1].len()) {
            if n >= first && n < first + room {
                let y = 2 + (n - first) as u16;
                for (x, replica, side) in [(1, left, 0), (half + 2, right, 1)] {
                    if let Some(entry) = sides[side].get(depth) {
                        let mark = mark(run, entry, !kept, replica.high_watermark);
                        canvas.glyph(x, y, mark.0, mark.1);
                        canvas.text(x + 2, y, &offsets(run, entry), Role::Plain);
                        let ids = batch_ids(&run.names, &run.batches, entry.batch);
                        canvas.fit(x + 12, y, &ids, 14, Role::Plain);
                        canvas.right(x + 32, y, &entry.epoch.to_string(), Role::Strong);
                        if !kept {
                            canvas.text(x + 34, y, "gone", Role::Broken);
                        }
                    }
                }
                let differs = parts == Some(*at) && *kept && depth == 0;
                let (glyph, role) = if differs {
                    (glyphs::DIFFERS, Role::Broken)
                } else {
                    (glyphs::HW_FOLLOWER, Role::Plain)
                };
                canvas.glyph(half, y, glyph, role);
                if n == app.log.batch {
                    canvas.text(0, y, "►", Role::Strong);
                }
            }
            n += 1;
        }
    }
}

/// Epochs, producers, and how the other replicas compare.
fn foot(canvas: &mut Canvas<'_>, app: &App, id: PartitionId, replica: &ReplicaView) {
    let (w, run) = (canvas.width(), app.run());
    canvas.line(1, w, 0);
    let epochs: Vec<String> =
        epochs(replica).iter().map(|(epoch, start)| format!("{epoch} → {start}")).collect();
    let known = if epochs.is_empty() { "none".to_owned() } else { epochs.join("   ") };
    canvas.text(1, 1, "leader-epoch-checkpoint", Role::Plain);
    canvas.fit(26, 1, &known, w.saturating_sub(27), Role::Plain);
    let producers = producers(run, replica);
    let known = if producers.is_empty() { "none".to_owned() } else { producers.join("   ") };
    canvas.text(1, 2, "producer state", Role::Plain);
    canvas.fit(26, 2, &known, w.saturating_sub(27), Role::Plain);
    let others = app.view(app.world).partition(id).replicas.iter();
    let mut first: Option<Offset> = None;
    let mut same = vec!["same log as".to_owned()];
    for other in others.filter(|other| other.broker != replica.broker) {
        let parts = first_difference(replica, other);
        same.push(format!("{} {}", other.broker, if parts.is_none() { '✓' } else { '✗' }));
        first = first.into_iter().chain(parts).min();
    }
    let first = first.map_or("none".to_owned(), |at| format!("at offset {at}"));
    let words = format!("{}   first difference: {first}   segment 0, active", same.join(" "));
    canvas.fit(1, 3, &words, w.saturating_sub(2), Role::Plain);
}
