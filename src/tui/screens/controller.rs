//! The quorum of controllers: who decides, and does traffic care? The metadata log is a log with a high watermark, one
//! row a controller; brokers are its readers, one row each with its session; below, what its records decide, and the
//! two planes apart.

pub mod records;

use crate::base::ids::{BrokerId, LeaderEpoch, Offset};
use crate::base::time::{Duration, Time};
use crate::tui::app::App;
use crate::tui::canvas::{Canvas, width};
use crate::tui::glyphs;
use crate::tui::theme::Role;
use crate::view::cluster::quorum::{ControllerView, QuorumView};
use crate::view::cluster::{BrokerView, ClusterView, ProcessState};
use ratatui::style::Modifier;
use records::Item;

/// Where the roles stand.
const ROLE: u16 = 6;
/// Where the states stand.
const STATE: u16 = 15;
/// Where the records begin.
const STRIP: u16 = 27;
/// Columns of one broker where there are too many for a row each.
const CELL: u16 = 10;
/// Rows below the brokers: a gap, a heading, two decisions, a gap, the planes.
const FOOT: u16 = 6;

/// What the rows have in common.
struct Scene<'a> {
    app: &'a App,
    view: &'a ClusterView,
    now: Time,
    /// The first record in sight, how many are, and the columns of each.
    first: i64,
    cells: i64,
    cell: u16,
    /// Where the words after the records begin.
    words: u16,
    /// The records under the cursor.
    picked: Option<(Offset, Offset)>,
}

/// Draws the quorum.
pub fn draw(canvas: &mut Canvas<'_>, app: &App) {
    let items = records::items(app);
    let place = records::place(app, &items);
    let scene = Scene::new(canvas.width(), app, items.get(place));
    scene.head(canvas);
    let mut y = 1;
    for (n, controller) in scene.quorum().each() {
        scene.controller(canvas, y, n, controller);
        y += 1;
    }
    let brokers = scene.view.brokers.len().saturating_sub(1) as u16;
    let room = canvas.height().saturating_sub(y + FOOT);
    if brokers <= room {
        for n in 1..=brokers {
            scene.observer(canvas, y, BrokerId(n as u8));
            y += 1;
        }
    } else {
        y = scene.grid(canvas, y, brokers);
    }
    let (w, h) = (canvas.width(), canvas.height());
    let list = h.saturating_sub(y + 3);
    records::draw(&mut canvas.part(0, y + 1, w, list), app, &items, place);
    scene.planes(canvas, h.saturating_sub(1));
}

impl<'a> Scene<'a> {
    fn new(columns: u16, app: &'a App, picked: Option<&Item>) -> Self {
        let view = app.view(app.world);
        let end = view.quorum.each().map(|(_, c)| c.end.0).max().unwrap_or(0);
        let longest = (end - 1).max(i64::from(view.quorum.epoch.0)).max(0).to_string().len();
        let cell = (longest as u16 + 1).max(4);
        let strip = if columns >= 120 { 48 } else { 24 };
        let cells = i64::from(strip / cell);
        // The newest records, unless the reader looks at ones that are out of sight then.
        let newest = (end - cells).max(0);
        let older = picked.filter(|item| item.to.0 <= newest);
        let first = older.map_or(newest, |item| item.from.0);
        let picked = picked.map(|item| (item.from, item.to));
        Self { app, view, now: app.now(), first, cells, cell, words: STRIP + strip + 1, picked }
    }

    fn quorum(&self) -> &'a QuorumView {
        &self.view.quorum
    }

    /// The column of a record, if it is in sight; also of the place after the last one.
    fn column(&self, offset: i64) -> Option<u16> {
        let cell = offset - self.first;
        (0..=self.cells).contains(&cell).then(|| STRIP + cell as u16 * self.cell)
    }

    fn head(&self, canvas: &mut Canvas<'_>) {
        canvas.text(1, 0, "metadata log", Role::Strong);
        let end = self.quorum().each().map(|(_, c)| c.end.0).max().unwrap_or(0);
        for offset in self.first..end.min(self.first + self.cells) {
            let Some(x) = self.column(offset) else { continue };
            let after = canvas.text(x, 0, &offset.to_string(), Role::Plain);
            if self.picked.is_some_and(|(from, to)| (from.0..to.0).contains(&offset)) {
                canvas.accent(x, after, 0, Modifier::REVERSED);
            }
        }
        let epoch = format!("leader epoch {}", self.quorum().epoch);
        canvas.text(self.words, 0, &epoch, Role::Plain);
    }

    fn controller(&self, canvas: &mut Canvas<'_>, y: u16, n: u8, controller: &ControllerView) {
        let leads = self.quorum().leader() == Some(n);
        canvas.text(1, y, &format!("ctl{n}"), if leads { Role::Strong } else { Role::Plain });
        let (word, role) = if leads { ("LEAD", Role::Strong) } else { ("voter", Role::Plain) };
        canvas.text(ROLE, y, word, role);
        let since = Some(self.now.since(controller.since));
        if let Some((word, role)) = state(controller.process, controller.cut_off) {
            Self::state(canvas, y, (word, role), since);
        }
        let epoch = |offset: i64| controller.epoch_below(Offset(offset + 1));
        self.strip(canvas, y, controller.end, controller.high_watermark, epoch);
        let known = controller.high_watermark.0.min(controller.end.0);
        if let Some(x) = self.column(known).filter(|_| known > self.first) {
            let glyph = if leads { glyphs::HW_LEADER } else { glyphs::HW_FOLLOWER };
            let role = if leads { Role::Strong } else { Role::Plain };
            canvas.glyph(x - 1, y, glyph, role);
        }
        self.knows(canvas, y, n, controller);
    }

    /// What a controller can do, or what it waits for.
    fn knows(&self, canvas: &mut Canvas<'_>, y: u16, n: u8, controller: &ControllerView) {
        let quorum = self.quorum();
        let voters = quorum.controllers.len() - 1;
        let (have, need) = (quorum.reachable(), quorum.majority());
        let (text, role) = match controller.process {
            ProcessState::Down if have >= need => {
                (format!("{have} of {voters} are enough"), Role::Plain)
            }
            ProcessState::Down => (format!("{have} of {voters}: no majority"), Role::Broken),
            ProcessState::Frozen { .. } => ("its process stands still".to_owned(), Role::Now),
            _ if quorum.active() == Some(n) => {
                (format!("active; majority {need} of {voters}"), Role::Plain)
            }
            _ if quorum.leader() == Some(n) => {
                (format!("not active: needs {need} of {voters}"), Role::Now)
            }
            _ => {
                let timeout = self.app.run().settings.cluster.brokers.quorum_fetch_timeout;
                let Some(at) = controller.heard_leader else { return };
                let silent = self.now.since(at);
                if silent < timeout {
                    self.timer(canvas, y, "fetch", (silent, timeout));
                    return;
                }
                (format!("heard no leader for {silent}"), Role::Now)
            }
        };
        self.word(canvas, y, &text, role);
    }

    /// A broker: how far it has acted on the metadata, and its session.
    fn observer(&self, canvas: &mut Canvas<'_>, y: u16, id: BrokerId) {
        let broker = &self.view.brokers[id.index()];
        canvas.text(1, y, &id.to_string(), Role::Plain);
        canvas.text(ROLE, y, "observer", Role::Plain);
        // Being fenced is news, too: from then on the time is that of the fence.
        let since = (!broker.fenced).then(|| self.now.since(broker.since));
        match (state(broker.process, broker.cut_off), broker.fenced) {
            (Some((word, role)), false) => Self::state(canvas, y, (word, role), since),
            (Some((word, role)), true) => {
                Self::state(canvas, y, (&format!("{word} fncd"), role), None);
            }
            (None, true) => Self::state(canvas, y, ("fncd", Role::Now), None),
            (None, false) => {}
        }
        let applied = self.quorum().applied(id);
        self.strip(canvas, y, applied, applied, |_| None);
        self.session(canvas, y, id, broker);
    }

    fn session(&self, canvas: &mut Canvas<'_>, y: u16, id: BrokerId, broker: &BrokerView) {
        let timeout = self.app.run().settings.cluster.brokers.broker_session_timeout;
        let heard = self.quorum().observers[id.index()].heard;
        match heard {
            _ if broker.fenced && broker.process == ProcessState::Down => {
                self.word(canvas, y, "fenced: has no session", Role::Plain);
            }
            _ if broker.fenced => self.word(canvas, y, "fenced: may not lead", Role::Now),
            _ if self.quorum().active().is_none() => {
                self.word(canvas, y, "nobody counts its session", Role::Now);
            }
            Some(at) if self.now.since(at) < timeout => {
                self.timer(canvas, y, "session", (self.now.since(at), timeout));
            }
            Some(_) => self.word(canvas, y, &format!("session ran out at {timeout}"), Role::Now),
            None => {}
        }
    }

    fn state(canvas: &mut Canvas<'_>, y: u16, (word, role): (&str, Role), since: Option<Duration>) {
        let text =
            since.map_or_else(|| word.to_owned(), |since| format!("{word} {} s", seconds(since)));
        canvas.fit(STATE, y, &text, STRIP - STATE - 1, role);
    }

    fn word(&self, canvas: &mut Canvas<'_>, y: u16, text: &str, role: Role) {
        canvas.fit(self.words, y, text, canvas.width().saturating_sub(self.words), role);
    }

    /// A bar that fills in virtual time.
    fn timer(
        &self,
        canvas: &mut Canvas<'_>,
        y: u16,
        name: &str,
        (passed, of): (Duration, Duration),
    ) {
        let columns = if canvas.width() >= 120 { 12 } else { 5 };
        canvas.text(self.words, y, name, Role::Plain);
        let late = passed.0.saturating_mul(2) > of.0;
        let role = if late { Role::Now } else { Role::Plain };
        canvas.text(self.words + 8, y, &bar(passed, of, columns), role);
        let text = format!("{:>4} of {of}", seconds(passed));
        canvas.text(self.words + 9 + columns, y, &text, Role::Plain);
    }

    /// A square for each record in sight: full where it is known to be committed, with the epoch it was written under.
    fn strip(
        &self,
        canvas: &mut Canvas<'_>,
        y: u16,
        end: Offset,
        committed: Offset,
        epoch: impl Fn(i64) -> Option<LeaderEpoch>,
    ) {
        for offset in self.first..end.0.min(self.first + self.cells) {
            let Some(x) = self.column(offset) else { continue };
            let (glyph, role) = if offset < committed.0 {
                (glyphs::BELOW_HW, Role::Safe)
            } else {
                (glyphs::ABOVE_HW, Role::Now)
            };
            canvas.glyph(x, y, glyph, role);
            if let Some(epoch) = epoch(offset) {
                canvas.text(x + 1, y, &format!("e{epoch}"), role);
            }
        }
    }

    /// Many brokers: a cell each, with its state and how many records it is behind.
    fn grid(&self, canvas: &mut Canvas<'_>, y: u16, brokers: u16) -> u16 {
        let committed = self.quorum().committed();
        canvas.text(
            1,
            y,
            "brokers, with their state and how many records they are behind",
            Role::Plain,
        );
        let columns = (canvas.width().saturating_sub(1) / CELL).max(1);
        for n in 0..brokers {
            let id = BrokerId(n as u8 + 1);
            let broker = &self.view.brokers[id.index()];
            let behind = committed.0 - self.quorum().applied(id).0;
            let (letter, role) = match state(broker.process, broker.cut_off) {
                Some((word, role)) => (&word[..1], role),
                None if broker.fenced => ("f", Role::Now),
                None => ("", Role::Plain),
            };
            let (x, y) = (1 + n % columns * CELL, y + 1 + n / columns);
            let after = canvas.text(x, y, &format!("{id}"), Role::Plain);
            let after = canvas.text(after, y, letter, role);
            if behind > 0 {
                canvas.fit(after + 1, y, &format!("-{behind}"), CELL - 5, Role::Now);
            }
        }
        y + 1 + brokers.div_ceil(columns)
    }

    /// The control plane and the data plane, apart.
    fn planes(&self, canvas: &mut Canvas<'_>, y: u16) {
        let (words, glyph, role) = match self.quorum().active() {
            Some(n) => (format!("control plane: ctl{n} may elect"), glyphs::HOLDS, Role::Safe),
            None => ("control plane: nobody may elect".to_owned(), glyphs::GONE, Role::Broken),
        };
        let x = canvas.text(1, y, &words, Role::Plain);
        canvas.glyph(x + 1, y, glyph, role);
        let declared = self.app.partitions();
        let led = |p: &&crate::base::ids::PartitionId| {
            let p = self.view.partition(**p);
            p.leaderless_since.is_none() && p.leader.is_some()
        };
        let (led, all) = (declared.iter().filter(led).count(), declared.len());
        let words = match all {
            1 => "data plane: the partition is".to_owned(),
            _ => format!("data plane: {led} of {all} partitions are"),
        };
        let words = format!("{words} {}led", if all == 1 && led == 0 { "not " } else { "" });
        let (glyph, role) =
            if led == all { (glyphs::HOLDS, Role::Safe) } else { (glyphs::GONE, Role::Broken) };
        let x = canvas.width().saturating_sub(width(&words) + 3);
        let x = canvas.text(x, y, &words, Role::Plain);
        canvas.glyph(x + 1, y, glyph, role);
    }
}

/// Seconds with one digit after the point, so that a running time keeps its place.
fn seconds(span: Duration) -> String {
    format!("{}.{}", span.0 / 1_000_000, span.0 / 100_000 % 10)
}

/// What a process is when it is not simply running.
fn state(process: ProcessState, cut_off: bool) -> Option<(&'static str, Role)> {
    match process {
        ProcessState::Down => Some(("DOWN", Role::Broken)),
        ProcessState::Frozen { .. } => Some(("frzn", Role::Now)),
        ProcessState::Stopping => Some(("stops", Role::Now)),
        ProcessState::Up if cut_off => Some(("cut", Role::Now)),
        ProcessState::Up => None,
    }
}

/// A bar of `columns` columns, in eighths of a column.
fn bar(passed: Duration, of: Duration, columns: u16) -> String {
    let all = u64::from(columns) * 8;
    let eighths = (passed.0.saturating_mul(all) / of.0.max(1)).min(all);
    let mut text = "█".repeat((eighths / 8) as usize);
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    text.push_str(rest[(eighths % 8) as usize]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_fills_its_bar_by_eighths() {
        let of = Duration(8_000);
        let cases = [(0, ""), (999, "▌"), (1_600, "█"), (7_999, "████▉"), (9_000, "█████")];
        for (passed, expected) in cases {
            assert_eq!(bar(Duration(passed), of, 5), expected, "{passed}");
        }
    }
}
