//! The live cluster: where is every message, and who believes what? Told above, replicas in the middle, done below,
//! on shared columns; what is under way beside them.

use crate::base::ids::{GroupId, NodeId, PartitionId};
use crate::tui::app::App;
use crate::tui::canvas::{Canvas, width, wrap};
use crate::tui::model::World;
use crate::tui::screens::stage::members::Members;
use crate::tui::theme::Role;
use crate::tui::widgets::lane::{self, Row as LaneRow, Token};
use crate::tui::widgets::sheet::{self, Sheet};
use crate::tui::widgets::strip::{Strip, Wish};
use crate::view::caption::caption;
use crate::view::cluster::message::Told;
use crate::view::cluster::replica::ReplicaView;
use crate::view::cluster::{ClusterView, ReplicaState};
use crate::view::words::fold_ids;

pub mod events;
pub mod members;
pub mod partitions;

/// Columns of the labels before the strip.
const LABELS: u16 = 16;

/// Draws the stage.
pub fn draw(canvas: &mut Canvas<'_>, app: &App) {
    let (w, h) = (canvas.width(), canvas.height());
    if let Some(refused) = &app.run().refused {
        canvas.text(1, 1, "This run never began. Kafka refuses the configuration:", Role::Plain);
        for (n, line) in wrap(refused, w.saturating_sub(4)).iter().enumerate() {
            canvas.text(3, 3 + n as u16, line, Role::Broken);
        }
        return;
    }
    let wide = w >= 120;
    let main = if wide { w - 31 } else { w };
    let partitions = app.partitions();
    let shown =
        app.opened.or(if partitions.len() == 1 { partitions.first().copied() } else { None });
    match shown {
        Some(partition) => one(&mut canvas.part(0, 0, main, h), app, partition),
        None => partitions::draw(&mut canvas.part(0, 0, main, h), app, &partitions),
    }
    tray(&mut canvas.part(0, h.saturating_sub(1), main, 1), app);
    if wide {
        events::draw(&mut canvas.part(main, 0, w - main, h), app);
    }
}

/// What the rows of one partition have in common.
struct Scene<'a> {
    app: &'a App,
    run: &'a World,
    view: &'a ClusterView,
    partition: PartitionId,
    sheet: Sheet,
    strip: Strip,
    tokens: Vec<Token>,
    /// The column of the line between strip and lane.
    wall: u16,
    width: u16,
}

/// One partition with all its replicas.
fn one(canvas: &mut Canvas<'_>, app: &App, partition: PartitionId) {
    let (run, view) = (app.run(), app.view(app.world));
    let sheet = Sheet::new(run, view, partition);
    let strip_width = if canvas.width() >= 88 { 40 } else { 32 };
    let strip = Strip::choose(Wish {
        x: LABELS,
        width: strip_width,
        low: sheet.low,
        least: sheet.least,
        high: sheet.high,
        longest: sheet.longest,
        short: false,
        zoom: app.zoom,
    });
    let tokens = lane::tokens(app, app.world);
    let (wall, width) = (LABELS + strip_width, canvas.width());
    let scene = Scene { app, run, view, partition, sheet, strip, tokens, wall, width };
    let mut y = scene.head(canvas);
    y = scene.rule(canvas, y);
    y = scene.replicas(canvas, y);
    let readers = scene.readers();
    if !readers.is_empty() {
        y = scene.rule(canvas, y);
    }
    let room = canvas.height().saturating_sub(y + 3);
    let full = readers.len() as u16 * 4 <= room;
    for reader in readers {
        y = if full {
            scene.reader(canvas, y, reader)
        } else {
            scene.reader_row(canvas, y, reader)
        };
    }
    // At the end what counts is what to remember.
    let words = if app.at_end() && !app.film.takeaway.is_empty() {
        app.film.takeaway.clone()
    } else {
        caption(view, &run.batches)
    };
    let caption = wrap(&words, canvas.width().saturating_sub(2));
    for (n, line) in caption.iter().enumerate() {
        canvas.text(1, y + 1 + n as u16, line, Role::Plain);
    }
}

impl Scene<'_> {
    fn rule(&self, canvas: &mut Canvas<'_>, y: u16) -> u16 {
        canvas.line(1, self.width, y);
        canvas.text(self.wall, y, "┼", Role::Plain);
        y + 1
    }

    /// The wall, the tokens of `lane` and the words at the right end of a row.
    fn beside(&self, canvas: &mut Canvas<'_>, y: u16, lane: Option<LaneRow>, state: &str) {
        canvas.text(self.wall, y, "│", Role::Plain);
        canvas.right(self.width, y, state, Role::Plain);
        if let Some(row) = lane {
            let end = self.width.saturating_sub(width(state) + 1);
            lane::draw(canvas, y, (self.wall + 2, end), &self.tokens, row);
        }
    }

    fn head(&self, canvas: &mut Canvas<'_>) -> u16 {
        canvas.text(1, 0, "offset", Role::Plain);
        self.strip.offsets(canvas, 0);
        self.beside(canvas, 0, None, "state");
        canvas.text(self.wall + 2, 0, "arriving here", Role::Plain);
        let mut y = 1;
        for producer in self.producers() {
            let name = self.run.names.node(NodeId::Producer(producer));
            let x = canvas.text(1, y, "told  ", Role::Plain);
            let down = self.view.producers[usize::from(producer)]
                == crate::view::cluster::ProcessState::Down;
            let role = if down { Role::Broken } else { Role::Plain };
            canvas.fit(x, y, &name, LABELS - x - 1, role);
            let row = self.sheet.told(self.view, self.app.moment(self.app.world), producer);
            self.strip.row(canvas, y, &row, self.run);
            self.beside(canvas, y, Some(LaneRow::Told(producer)), &self.told_state(producer));
            y += 1;
        }
        self.picked(canvas);
        y
    }

    /// The producers that have sent to this partition, else the first one.
    fn producers(&self) -> Vec<u16> {
        let mut list: Vec<u16> = (0..self.run.names.producers.len() as u16)
            .filter(|producer| {
                let mut messages = self.view.messages.iter();
                messages
                    .any(|m| m.producer == Some(*producer) && m.partition == Some(self.partition))
            })
            .collect();
        if list.is_empty() && !self.run.names.producers.is_empty() {
            list.push(0);
        }
        list.truncate(3);
        list
    }

    fn told_state(&self, producer: u16) -> String {
        let mine = || self.view.messages.iter().filter(|m| m.producer == Some(producer));
        let of = |told: fn(&Told) -> bool| mine().filter(|m| told(&m.told)).count();
        let parts = [
            ("acked", of(|told| matches!(told, Told::Acknowledged(_)))),
            ("not asked", of(|told| matches!(told, Told::NobodyAsked))),
            ("failed", of(|told| matches!(told, Told::Failed(_)))),
        ];
        let some: Vec<String> =
            parts.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{word} {n}")).collect();
        if some.is_empty() { "acked 0".to_owned() } else { some.join("  ") }
    }

    /// Points at the column of the selected message.
    fn picked(&self, canvas: &mut Canvas<'_>) {
        let place = self.app.picked.and_then(|id| self.sheet.place_of(id));
        if let Some(x) = place.and_then(|place| self.strip.column(place)) {
            let end = x + self.strip.cell.max(2) - 1;
            canvas.accent(x, end, 0, ratatui::style::Modifier::REVERSED);
        }
    }

    fn replicas(&self, canvas: &mut Canvas<'_>, mut y: u16) -> u16 {
        let state = self.view.partition(self.partition);
        for replica in &state.replicas {
            let broker = replica.broker;
            let what = self.view.replica_state(self.partition, broker);
            canvas.text(1, y, &broker.to_string(), Role::Plain);
            let (word, role) = state_word(what);
            canvas.text(4, y, word, role);
            canvas.fit(9, y, &epoch(replica), LABELS - 10, Role::Plain);
            let row = sheet::log(self.run, replica, self.strip.first);
            self.strip.row(canvas, y, &row, self.run);
            let leads = what == ReplicaState::Lead;
            if replica.end.0 > 0 {
                self.strip.watermark(canvas, y, replica.high_watermark, leads);
            }
            let numbers = format!("LEO {}  HW {}", replica.end, replica.high_watermark);
            self.beside(canvas, y, Some(LaneRow::Broker(broker)), &numbers);
            y += 1;
        }
        y
    }

    /// The readers to show: every group, and consumers without one that read this partition.
    fn readers(&self) -> Vec<usize> {
        let groups = self.view.groups.len();
        let alone = (0..self.view.consumers.len()).filter(|n| {
            self.run.names.consumers[*n].group.is_none()
                && self.view.consumers[*n].partition(self.partition).is_some()
        });
        (0..groups).chain(alone.map(|n| groups + n)).collect()
    }

    fn reader_name(&self, reader: usize) -> String {
        match self.view.groups.get(reader) {
            Some(_) => self.run.names.group(GroupId(reader as u16)).to_owned(),
            None => self.run.names.node(NodeId::Consumer((reader - self.view.groups.len()) as u16)),
        }
    }

    /// The positions of this reader's consumers in the partition.
    fn positions(&self, reader: usize) -> Vec<crate::base::ids::Offset> {
        let consumers = self.view.consumers.iter().enumerate();
        consumers
            .filter(|(n, _)| self.view.reader_of(*n as u16) == reader)
            .filter_map(|(_, consumer)| consumer.position(self.partition))
            .collect()
    }

    fn done_row(&self, canvas: &mut Canvas<'_>, y: u16, reader: usize) {
        let x = canvas.text(1, y, "done  ", Role::Plain);
        canvas.fit(x, y, &self.reader_name(reader), LABELS - x - 1, Role::Plain);
        let row = self.sheet.done(self.view, self.app.moment(self.app.world), reader);
        self.strip.row(canvas, y, &row, self.run);
    }

    /// Four rows: done, read, commit, members.
    fn reader(&self, canvas: &mut Canvas<'_>, y: u16, reader: usize) -> u16 {
        self.done_row(canvas, y, reader);
        let processed = self.view.readers[reader].processed;
        self.beside(canvas, y, None, &format!("processed {processed}"));
        canvas.text(3, y + 1, "read", Role::Plain);
        let positions = self.positions(reader);
        for position in &positions {
            self.strip.pointer(canvas, y + 1, *position, Role::Plain);
        }
        let words = positions.first().map_or("position ?".to_owned(), |p| format!("position {p}"));
        self.beside(canvas, y + 1, Some(LaneRow::Read(reader)), &words);
        let Some(group) = self.view.groups.get(reader) else { return y + 2 };
        canvas.text(3, y + 2, "commit", Role::Plain);
        let committed = group.committed(self.partition).map(|committed| committed.offset);
        if let Some(offset) = committed {
            self.strip.pointer(canvas, y + 2, offset, Role::Safe);
        }
        let words = committed.map_or("committed none".to_owned(), |c| format!("committed {c}"));
        self.beside(canvas, y + 2, Some(LaneRow::Commit(reader)), &words);
        let lag = self.lag(reader);
        let room = self.width.saturating_sub(width(&lag) + 2);
        Members::of(self.run, self.view, reader).line(&mut canvas.part(3, y + 3, room - 3, 1));
        canvas.right(self.width, y + 3, &lag, Role::Plain);
        let end = self.width.saturating_sub(width(&lag) + 1);
        lane::draw(canvas, y + 3, (self.wall + 2, end), &self.tokens, LaneRow::Members(reader));
        y + 4
    }

    /// One row, where there is no room for four.
    fn reader_row(&self, canvas: &mut Canvas<'_>, y: u16, reader: usize) -> u16 {
        self.done_row(canvas, y, reader);
        let committed =
            self.view.groups.get(reader).and_then(|group| group.committed(self.partition));
        let committed = committed.map_or("none".to_owned(), |c| c.offset.to_string());
        let read = self.positions(reader).first().map_or("?".to_owned(), ToString::to_string);
        let words = format!("read {read}  committed {committed}");
        self.beside(canvas, y, Some(LaneRow::Read(reader)), &words);
        y + 1
    }

    fn lag(&self, reader: usize) -> String {
        let leader = self.view.partition(self.partition).leader_replica();
        let committed = self.view.groups[reader].committed(self.partition);
        let lag = committed.and_then(|c| self.view.partition_lag(self.partition, c.offset));
        let above = leader.map_or(0, |leader| leader.end - leader.high_watermark);
        let lag = lag.map_or("lag ?".to_owned(), |lag| format!("lag {lag}"));
        if above > 0 { format!("{lag}, and {above} above HW") } else { lag }
    }
}

/// The word of a replica's role, and its colour.
pub fn state_word(state: ReplicaState) -> (&'static str, Role) {
    match state {
        ReplicaState::Down => ("DOWN", Role::Broken),
        ReplicaState::Frozen => ("frzn", Role::Now),
        ReplicaState::Cut => ("cut", Role::Now),
        ReplicaState::Fenced => ("fncd", Role::Now),
        ReplicaState::Lead => ("LEAD", Role::Strong),
        ReplicaState::Isr => ("isr", Role::Plain),
        ReplicaState::Elr => ("elr", Role::Plain),
        ReplicaState::Out => ("out", Role::Now),
    }
}

/// `e1`: the leader epoch the replica acts under, else that of its last batch.
fn epoch(replica: &ReplicaView) -> String {
    let acting = replica.epoch();
    match replica.log.last() {
        _ if acting.0 >= 0 => format!("e{acting}"),
        Some(last) => format!("e{}", last.epoch),
        None => String::new(),
    }
}

/// The messages that were told to be stored and are gone; their offsets may hold others by now.
fn tray(canvas: &mut Canvas<'_>, app: &App) {
    let lost = &app.moment(app.world).tally.lost;
    let x = canvas.text(1, 0, "LOST tray: ", Role::Plain);
    if lost.is_empty() {
        canvas.text(x, 0, "empty", Role::Plain);
        return;
    }
    let ids = format!("✗ {}", fold_ids(&app.run().names, lost));
    let x = canvas.text(x, 0, &ids, Role::Broken);
    canvas.text(x + 2, 0, "told ok, in no leader's log", Role::Plain);
}
