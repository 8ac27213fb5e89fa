//! Variants side by side: what did this one setting change? One clock drives all panes. Rows that are equal in every
//! pane are plain, the others stand out.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::ids::{NodeId, PartitionId};
use crate::base::time::Duration;
use crate::tui::app::App;
use crate::tui::canvas::{Canvas, width, wrap};
use crate::tui::glyphs;
use crate::tui::model::World;
use crate::tui::screens::stage::members::Members;
use crate::tui::screens::stage::state_word;
use crate::tui::screens::surround;
use crate::tui::theme::Role;
use crate::tui::widgets::lane::{self, Row as LaneRow, Token};
use crate::tui::widgets::sheet::{self, Sheet};
use crate::tui::widgets::strip::{Strip, Wish};
use crate::view::cluster::message::Told;
use crate::view::cluster::{ClusterView, ReplicaState};

/// Columns of the labels in a pane.
const LABELS: u16 = 8;

/// One pane.
struct Pane<'a> {
    app: &'a App,
    world: usize,
    run: &'a World,
    view: &'a ClusterView,
    strip: Strip,
    sheet: Sheet,
    tokens: Vec<Token>,
    partition: PartitionId,
}

/// One pane as it was drawn, and how many of its rows are in use.
struct Drawn {
    cells: Buffer,
    rows: u16,
}

impl Drawn {
    /// A row as text, without what is free at its end.
    fn row(&self, y: u16) -> String {
        let row: String = (0..self.cells.area.width).map(|x| self.cells[(x, y)].symbol()).collect();
        row.trim_end().to_owned()
    }
}

/// Draws all panes; more than four turn with Tab.
pub fn draw(canvas: &mut Canvas<'_>, app: &App) {
    let first = if app.film.worlds.len() > 4 { app.world / 4 * 4 } else { 0 };
    let worlds: Vec<usize> = (first..app.film.worlds.len()).take(4).collect();
    let (w, n) = (canvas.width(), worlds.len() as u16);
    let width = (w - (n - 1)) / n;
    let partition = app.partitions().get(app.row).copied().unwrap_or_default();
    let size = Rect::new(0, 0, width, canvas.height());
    let panes: Vec<Drawn> =
        worlds.iter().map(|world| draw_pane(app, *world, partition, size)).collect();
    let tall = panes.iter().map(|pane| pane.rows).max().unwrap_or(0);
    let mut y = 0;
    for row in 0..tall.min(canvas.height()) {
        let same = panes.windows(2).all(|two| two[0].row(row) == two[1].row(row));
        let is_rule = panes.iter().all(|pane| pane.row(row).starts_with(['─', '-']));
        if same && app.hide_same && row > 1 && !is_rule {
            continue;
        }
        for (i, pane) in panes.iter().enumerate() {
            let x = i as u16 * (width + 1);
            canvas.paste_row((x, y), &pane.cells, row);
            if !same && row > 0 {
                canvas.accent(x, x + width, y, app.look.theme.differs());
            }
            if i > 0 {
                canvas.text(x - 1, y, if is_rule { "┼" } else { "│" }, Role::Plain);
            }
        }
        y += 1;
    }
}

/// Draws one pane on cells of its own.
fn draw_pane(app: &App, world: usize, partition: PartitionId, size: Rect) -> Drawn {
    let mut cells = Buffer::empty(size);
    let mut canvas = Canvas::new(&mut cells, size, app.look);
    let run = &app.film.worlds[world];
    let role = if world == app.world { Role::Picked } else { Role::Strong };
    canvas.fit(0, 0, &run.variant, size.width, role);
    let rows = match &run.refused {
        Some(refused) => {
            for (n, line) in wrap(refused, size.width.saturating_sub(1)).iter().enumerate() {
                canvas.text(0, 2 + n as u16, line, Role::Broken);
            }
            size.height
        }
        None => Pane::new(app, world, partition, size.width).draw(&mut canvas),
    };
    Drawn { cells, rows }
}

impl<'a> Pane<'a> {
    fn new(app: &'a App, world: usize, partition: PartitionId, width: u16) -> Self {
        let sheets: Vec<Sheet> = (0..app.film.worlds.len())
            .map(|n| Sheet::new(&app.film.worlds[n], app.view(n), partition))
            .collect();
        // All panes share their columns, so the same message stands at the same place.
        let strip = Strip::choose(Wish {
            x: LABELS,
            width: width.saturating_sub(LABELS),
            low: sheets.iter().map(|sheet| sheet.low).min().unwrap_or(0),
            least: sheets.iter().map(|sheet| sheet.least).min().unwrap_or(0),
            high: sheets.iter().map(|sheet| sheet.high).max().unwrap_or(0).max(1),
            longest: sheets.iter().map(|sheet| sheet.longest).max().unwrap_or(2),
            short: width < 36,
            zoom: app.zoom,
        });
        Self {
            app,
            world,
            run: &app.film.worlds[world],
            view: app.view(world),
            strip,
            sheet: sheets[world].clone(),
            tokens: lane::tokens(app, world),
            partition,
        }
    }

    /// Draws everything and says how many rows it took. Lines between the blocks go first when rows are scarce.
    fn draw(&self, canvas: &mut Canvas<'_>) -> u16 {
        self.strip.offsets(canvas, 1);
        let mut y = 2;
        for producer in 0..self.run.names.producers.len().min(2) as u16 {
            self.told(canvas, y, producer);
            y += 1;
        }
        y = self.replicas(canvas, y);
        y = self.readers(canvas, y);
        let room = canvas.height().saturating_sub(y);
        let rules = room.saturating_sub(9).min(3);
        y = if rules > 0 { rule(canvas, y) } else { y };
        y = self.sums(canvas, y);
        y = if rules > 2 { rule(canvas, y) } else { y };
        y = self.verdicts(canvas, y);
        y = if rules > 1 { rule(canvas, y) } else { y };
        self.price(canvas, y).min(canvas.height())
    }

    /// Draws what is under way into the free part of a row, right of what stands in it.
    fn lane(&self, canvas: &mut Canvas<'_>, y: u16, row: LaneRow, last: i64) {
        let from = self.strip.column(last).unwrap_or(self.strip.end()).max(LABELS);
        let to = canvas.width();
        let room = to.saturating_sub(from);
        let short: Vec<Token> = self
            .tokens
            .iter()
            .filter(|token| token.row == row)
            .map(|token| Token { text: brief(&token.text, room), ..token.clone() })
            .collect();
        lane::draw(canvas, y, (from, to), &short, row);
    }

    fn told(&self, canvas: &mut Canvas<'_>, y: u16, producer: u16) {
        let several = self.run.names.producers.len() > 1;
        let name = if several {
            self.run.names.node(NodeId::Producer(producer))
        } else {
            "told".to_owned()
        };
        canvas.fit(0, y, &name, LABELS - 1, Role::Plain);
        let row = self.sheet.told(self.view, self.app.moment(self.world), producer);
        self.strip.row(canvas, y, &row, self.run);
        let last = row.last_key_value().map_or(0, |(at, _)| at + 1);
        self.lane(canvas, y, LaneRow::Told(producer), last);
    }

    fn replicas(&self, canvas: &mut Canvas<'_>, mut y: u16) -> u16 {
        let state = self.view.partition(self.partition);
        for replica in &state.replicas {
            let broker = replica.broker;
            let what = self.view.replica_state(self.partition, broker);
            let row = sheet::log(self.run, replica, self.strip.first);
            let (word, role) = state_word(what);
            canvas.text(0, y, &broker.to_string(), Role::Plain);
            canvas.text(3, y, word, role);
            self.strip.row(canvas, y, &row, self.run);
            let leads = what == ReplicaState::Lead;
            if replica.end.0 > 0 {
                self.strip.watermark(canvas, y, replica.high_watermark, leads);
            }
            let last = row.last_key_value().map_or(0, |(at, _)| at + 1);
            self.lane(canvas, y, LaneRow::Broker(broker), last);
            y += 1;
        }
        y
    }

    fn readers(&self, canvas: &mut Canvas<'_>, mut y: u16) -> u16 {
        for reader in 0..self.view.groups.len().min(2) {
            canvas.text(0, y, "done", Role::Plain);
            let row = self.sheet.done(self.view, self.app.moment(self.world), reader);
            self.strip.row(canvas, y, &row, self.run);
            y += 1;
            let committed = self.view.groups[reader].committed(self.partition);
            canvas.text(0, y, "commit", Role::Plain);
            if let Some(committed) = committed {
                self.strip.pointer(canvas, y, committed.offset, Role::Safe);
            }
            let last = committed.map_or(0, |committed| committed.offset.0 + 1);
            self.lane(canvas, y, LaneRow::Commit(reader), last);
            y += 1;
            let members = Members::of(self.run, self.view, reader);
            if members.list.len() > 1 {
                members.line(&mut canvas.part(0, y, canvas.width(), 1));
                y += 1;
            }
        }
        y
    }

    fn sums(&self, canvas: &mut Canvas<'_>, y: u16) -> u16 {
        let sent = || self.view.messages.iter().filter(|m| m.is_sent());
        let of = |told: fn(&Told) -> bool| sent().filter(|m| told(&m.told)).count();
        let acked = of(|told| matches!(told, Told::Acknowledged(_)));
        let silent = of(|told| matches!(told, Told::NobodyAsked));
        let waiting = of(|told| *told == Told::Waiting);
        let failed = of(|told| matches!(told, Told::Failed(_)));
        let total = sent().count();
        let told = match silent {
            0 => format!("acked   {acked} of {total}"),
            n => format!("told    ok {n}, nobody asked"),
        };
        let open = match (waiting, failed) {
            (0, 0) => String::new(),
            (0, n) => format!(", {n} failed"),
            (n, _) => format!(", {n} waiting"),
        };
        canvas.text(0, y, &format!("{told}{open}"), Role::Plain);
        let leaders = self.view.partitions.iter().filter_map(|p| p.leader_replica());
        let kept: usize = leaders.map(|leader| leader.messages(&self.run.batches).count()).sum();
        canvas.text(0, y + 1, &format!("in log  {kept}"), Role::Plain);
        y + 2
    }

    fn verdicts(&self, canvas: &mut Canvas<'_>, mut y: u16) -> u16 {
        let tally = &self.app.moment(self.world).tally;
        let all = [
            ("lost-write", tally.lost.len()),
            ("duplicate", tally.twice().len()),
            ("reordered", tally.reordered.len()),
            ("skipped", tally.skipped.len()),
        ];
        // Where rows are scarce, three of the four: without a group nothing can be skipped, and with one the order
        // of the log is seldom the question. What is broken is never left out.
        let few = canvas.height().saturating_sub(y) < 9;
        let least = if self.view.groups.is_empty() { "skipped" } else { "reordered" };
        let broken = |word: &str| {
            let worlds = 0..self.app.film.worlds.len();
            worlds.map(|n| &self.app.moment(n).tally).any(|t| match word {
                "skipped" => !t.skipped.is_empty(),
                _ => !t.reordered.is_empty(),
            })
        };
        for (word, n) in all {
            if few && word == least && !broken(least) {
                continue;
            }
            let (glyph, role) =
                if n > 0 { (glyphs::GONE, Role::Broken) } else { (glyphs::HOLDS, Role::Safe) };
            canvas.glyph(0, y, glyph, role);
            canvas.text(2, y, &format!("{word:<12} {n}"), if n > 0 { role } else { Role::Plain });
            y += 1;
        }
        y
    }

    fn price(&self, canvas: &mut Canvas<'_>, mut y: u16) -> u16 {
        canvas.text(0, y, &format!("ack     {}", self.latency()), Role::Plain);
        y += 1;
        let gone = surround::without_leader(self.app, self.world);
        canvas.text(0, y, &format!("no leader  {gone}"), Role::Plain);
        y += 1;
        for expectation in &self.run.expectations {
            if self.view.ended {
                let (glyph, role) = if expectation.met {
                    (glyphs::HOLDS, Role::Safe)
                } else {
                    (glyphs::GONE, Role::Broken)
                };
                canvas.glyph(0, y, glyph, role);
                canvas.text(2, y, &expectation.text, Role::Plain);
                y += 1;
            }
        }
        y
    }

    /// How long acknowledgements took: `~2 ms`, and the longest when it is much longer.
    fn latency(&self) -> String {
        let mut times: Vec<Duration> = self
            .view
            .messages
            .iter()
            .filter(|m| matches!(m.told, Told::Acknowledged(_)))
            .map(|m| m.told_at.since(m.sent_at))
            .collect();
        times.sort_unstable();
        let silent = self.view.messages.iter().any(|m| m.told == Told::NobodyAsked);
        match (times.get(times.len() / 2), times.last()) {
            (None, _) | (_, None) => if silent { "none" } else { "?" }.to_owned(),
            (Some(usual), Some(longest)) if longest.0 > usual.0 * 3 => {
                format!("{usual}, max {longest}")
            }
            (Some(usual), _) => usual.to_string(),
        }
    }
}

/// A line across the pane; the row after it.
fn rule(canvas: &mut Canvas<'_>, y: u16) -> u16 {
    canvas.line(0, canvas.width(), y);
    y + 1
}

/// A token's text without what a narrow pane has no room for: first its sender, then its name.
fn brief(text: &str, room: u16) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut words = text.split(' ');
    let arrow = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    let ids = rest.iter().find(|word| word.starts_with('m') && word.len() > 1);
    match (ids, rest.first()) {
        (Some(ids), _) => format!("{arrow} {ids}"),
        (None, Some(name)) => format!("{arrow} {name}"),
        (None, None) => arrow.to_owned(),
    }
}
