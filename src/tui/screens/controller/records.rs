//! What the records of the metadata log decide, as far as events tell, the newest first, and who acts on it already.

use crate::base::ids::{BrokerId, EventSeq, LeaderEpoch, Offset};
use crate::base::time::Time;
use crate::event::EventKind;
use crate::tui::app::App;
use crate::tui::canvas::{Canvas, width, wrap};
use crate::tui::glyphs;
use crate::tui::model::World;
use crate::tui::theme::Role;

/// Decisions of one range that are spelled out.
const SPELLED: usize = 3;
/// Brokers that are named in a row.
const NAMED: usize = 5;

/// A range of records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// The first record.
    pub from: Offset,
    /// After the last one.
    pub to: Offset,
    /// The event that told of it first; `None` while it is not committed or when none told.
    pub seq: Option<EventSeq>,
    /// What it says.
    text: String,
    /// A majority has it.
    committed: bool,
}

/// Everything that is known of the log, oldest first.
pub fn items(app: &App) -> Vec<Item> {
    let (run, quorum) = (app.run(), &app.view(app.world).quorum);
    let mut all: Vec<(Item, Vec<EventSeq>)> = Vec::new();
    for decision in &quorum.decisions {
        match all.last_mut() {
            Some((item, seqs)) if item.to == decision.to => seqs.push(decision.seq),
            _ => {
                let (from, to, seq) = (decision.from, decision.to, Some(decision.seq));
                let item = Item { from, to, seq, text: String::new(), committed: true };
                all.push((item, vec![decision.seq]));
            }
        }
    }
    let mut items: Vec<Item> = Vec::new();
    for (mut item, seqs) in all {
        item.text = words(run, &seqs);
        items.push(item);
    }
    let committed = quorum.committed();
    let longest = quorum.each().max_by_key(|(_, c)| (c.leads, c.end)).map(|(_, c)| c);
    let Some(longest) = longest else { return items };
    if longest.end > committed {
        items.push(match longest.epochs.last() {
            Some((epoch, start)) if *start >= committed => {
                first_record(*epoch, committed, longest.end)
            }
            _ => open(committed, longest.end),
        });
    }
    items
}

fn first_record(epoch: LeaderEpoch, from: Offset, to: Offset) -> Item {
    let text = format!("first record of epoch {epoch}; leader not yet active");
    Item { from, to, seq: None, text, committed: false }
}

fn open(from: Offset, to: Offset) -> Item {
    let text = "not committed: nobody acts on it yet".to_owned();
    Item { from, to, seq: None, text, committed: false }
}

/// The place of the cursor among `items`: at the newest unless the reader chose another.
pub fn place(app: &App, items: &[Item]) -> usize {
    let newest = items.len().saturating_sub(1);
    let chosen = app.record.and_then(|from| items.iter().position(|item| item.from == from));
    chosen.unwrap_or(newest)
}

impl App {
    /// Looks at older or newer records; at the newest the screen follows the log again.
    pub(in crate::tui) fn turn_record(&mut self, older: bool) {
        let items = items(self);
        let here = place(self, &items);
        let next = if older { here.saturating_sub(1) } else { here + 1 };
        if next == here {
            self.note = Some("This is the oldest decision that is kept here.".to_owned());
        } else if next >= items.len() {
            self.note = Some("This is the newest record.".to_owned());
        }
        self.record = items.get(next).filter(|_| next + 1 < items.len()).map(|item| item.from);
    }

    /// Goes to the moment the records under the cursor were decided.
    pub(in crate::tui) fn go_to_record(&mut self) {
        let items = items(self);
        match items.get(place(self, &items)).and_then(|item| item.seq) {
            Some(seq) => self.go(self.reel.after(self.world, seq)),
            None => self.note = Some("No event tells when this was decided.".to_owned()),
        }
    }
}

/// What these events decide.
fn words(run: &World, seqs: &[EventSeq]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut unfenced: Vec<String> = Vec::new();
    for seq in seqs {
        let event = &run.events[seq.index()];
        match event.kind {
            EventKind::MetadataCommitted { epoch, .. } => {
                parts.push(format!("{} active, epoch {epoch}", run.names.node(event.node)));
            }
            EventKind::BrokerUnfenced { broker } => unfenced.push(broker.to_string()),
            kind => parts.push(decision(run, kind)),
        }
    }
    if !unfenced.is_empty() {
        parts.push(format!("{} unfenced", unfenced.join(" ")));
    }
    let more = parts.len().saturating_sub(SPELLED);
    parts.truncate(SPELLED);
    let rest = if more > 0 { format!("; {more} more") } else { String::new() };
    parts.join("; ") + &rest
}

fn decision(run: &World, kind: EventKind) -> String {
    match kind {
        EventKind::BrokerRegistered { broker, .. } => format!("{broker} registered, fenced"),
        EventKind::BrokerFenced { broker } => format!("{broker} fenced"),
        EventKind::PartitionChanged { partition, leader, leader_epoch, isr, .. } => {
            let name = run.names.partition(partition);
            match leader {
                Some(leader) => format!("{name} leader {leader} epoch {leader_epoch} ISR {isr}"),
                None => format!("{name} no leader"),
            }
        }
        EventKind::ReplicasChanged { partition, .. } => {
            format!("{} other replicas", run.names.partition(partition))
        }
        EventKind::TopicConfigured { topic, .. } => {
            format!("{} a setting", run.names.topics[topic.index()].name)
        }
        _ => String::new(),
    }
}

/// Draws as many as fit, the newest above, so that the cursor is among them.
pub fn draw(canvas: &mut Canvas<'_>, app: &App, items: &[Item], place: usize) {
    let (w, rows) = (canvas.width(), usize::from(canvas.height()).saturating_sub(1));
    if items.is_empty() || rows == 0 {
        return;
    }
    canvas.text(1, 0, "records", Role::Strong);
    canvas.text(10, 0, "decided at", Role::Strong);
    canvas.text(22, 0, "what", Role::Strong);
    canvas.right(w - 1, 0, "acted on by", Role::Strong);
    // Counted from the newest.
    let cursor = items.len() - 1 - place;
    let skip = (cursor + 1).saturating_sub(rows);
    let mut y = 1;
    for (n, item) in items.iter().rev().enumerate().skip(skip) {
        if n == cursor {
            canvas.text(0, y, "►", Role::Strong);
        }
        let (role, glyph) =
            if item.committed { (Role::Plain, None) } else { (Role::Now, Some(glyphs::ABOVE_HW)) };
        let last = item.to.0 - 1;
        let range =
            if last == item.from.0 { last.to_string() } else { format!("{}-{last}", item.from) };
        canvas.fit(1, y, &range, 8, if n == cursor { Role::Strong } else { role });
        match (item.seq, glyph) {
            (Some(seq), _) => {
                let at: Time = app.run().events[seq.index()].at;
                canvas.right(20, y, &format!("{at} s"), Role::Plain);
            }
            (None, Some(glyph)) => canvas.glyph(19, y, glyph, role),
            (None, None) => {}
        }
        let acting = if item.committed { acting(app, item.to) } else { "nobody".to_owned() };
        canvas.right(w - 1, y, &acting, Role::Plain);
        let room = w.saturating_sub(width(&acting) + 25);
        if n != cursor {
            canvas.fit(22, y, &item.text, room, role);
            y += 1;
            continue;
        }
        for line in wrap(&item.text, room) {
            canvas.text(22, y, &line, role);
            y += 1;
        }
    }
}

/// Who has acted on everything below `to`.
fn acting(app: &App, to: Offset) -> String {
    let view = app.view(app.world);
    let all = view.brokers.len().saturating_sub(1);
    let acts = |n: &usize| view.quorum.applied(BrokerId(*n as u8)) >= to;
    let some: Vec<usize> = (1..=all).filter(acts).collect();
    match some.len() {
        0 => "nobody".to_owned(),
        n if n == all => "all".to_owned(),
        n if n > NAMED => format!("{n} of {all}"),
        _ => some.iter().map(|n| BrokerId(*n as u8).to_string()).collect::<Vec<_>>().join(" "),
    }
}
