//! What stands in the columns of a partition: one message is one column, shared by what the producer was told, what
//! each replica holds and what the application did, so its fate is read straight down.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::batch::RecordBody;
use crate::base::ids::{EventSeq, MessageId, Offset, PartitionId};
use crate::event::EventKind;
use crate::tui::canvas::width;
use crate::tui::glyphs::{self, Glyph};
use crate::tui::model::World;
use crate::tui::moment::Moment;
use crate::tui::theme::Role;
use crate::view::cluster::ClusterView;
use crate::view::cluster::message::Told;
use crate::view::cluster::replica::ReplicaView;

/// Where a record lies or would lie: an offset, as a plain number.
pub type Place = i64;

/// What stands in one column of one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The symbol.
    pub glyph: Glyph,
    /// Its colour.
    pub role: Role,
    /// Whose it is, when an id belongs beside the symbol.
    pub message: Option<MessageId>,
    /// How bad it is; of several records in one column the worst shows.
    pub rank: u8,
}

impl Mark {
    const fn new(glyph: Glyph, role: Role, rank: u8) -> Self {
        Self { glyph, role, message: None, rank }
    }

    const fn of(self, message: MessageId) -> Self {
        Self { message: Some(message), ..self }
    }
}

const fn letter(c: char) -> Glyph {
    Glyph { unicode: c, ascii: c }
}

/// A row: marks by place.
pub type Row = BTreeMap<Place, Mark>;

/// Everything about the columns of one partition at one moment.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Which message a column belongs to.
    owner: BTreeMap<Place, MessageId>,
    /// The column of each message that has one.
    place: BTreeMap<MessageId, Place>,
    /// The lowest place a reader of the screen needs: the lowest committed offset, or four before the HW.
    pub low: Place,
    /// The lowest place that ids are kept for: the lowest committed offset, or one before the HW.
    pub least: Place,
    /// The place after the last column in use.
    pub high: Place,
    /// The longest name of a message, in columns.
    pub longest: u16,
}

impl Sheet {
    /// The columns of `partition`.
    pub fn new(run: &World, view: &ClusterView, partition: PartitionId) -> Self {
        let state = view.partition(partition);
        let mut owner = BTreeMap::new();
        let mut place = BTreeMap::new();
        let mut replicas: Vec<&ReplicaView> = state.replicas.iter().collect();
        replicas.sort_by_key(|replica| state.leader != Some(replica.broker));
        for replica in &replicas {
            for (at, id) in replica.messages(&run.batches) {
                if *owner.entry(at.0).or_insert(id) == id {
                    place.entry(id).or_insert(at.0);
                }
            }
        }
        let mine = view.messages.iter().enumerate().filter(|(_, m)| m.partition == Some(partition));
        let mine: Vec<_> = mine.map(|(n, m)| (MessageId(n as u32), m)).collect();
        for (id, message) in &mine {
            // A message that is in no log any more keeps its column until another one takes it.
            let told = match message.told {
                Told::Acknowledged(at) if at != Offset::NONE => Some(at.0),
                _ => stored_at(run, message.stored, *id),
            };
            if let Some(at) = told.filter(|_| !place.contains_key(id))
                && owner.entry(at).or_insert(*id) == id
            {
                place.insert(*id, at);
            }
        }
        let mut high = replicas.iter().map(|r| r.end.0).max().unwrap_or(0);
        high = high.max(owner.last_key_value().map_or(0, |(at, _)| at + 1));
        for (id, message) in &mine {
            if message.is_sent() && message.stored == EventSeq::NONE && !place.contains_key(id) {
                owner.insert(high, *id);
                place.insert(*id, high);
                high += 1;
            }
        }
        let committed =
            view.groups.iter().filter_map(|g| g.committed(partition)).map(|c| c.offset.0);
        let hw = state.leader_replica().map_or(high, |leader| leader.high_watermark.0);
        let committed = committed.min().unwrap_or(hw);
        let low = committed.min((hw - 4).max(0));
        let least = committed.min((hw - 1).max(0));
        let longest = place.keys().map(|id| width(&run.names.message(*id))).max().unwrap_or(2);
        Self { owner, place, low, least, high, longest }
    }

    /// The column of `message`.
    pub fn place_of(&self, message: MessageId) -> Option<Place> {
        self.place.get(&message).copied()
    }

    /// What producer number `producer` was told of its messages.
    pub fn told(&self, view: &ClusterView, moment: &Moment, producer: u16) -> Row {
        let mut row = Row::new();
        for (id, at) in &self.place {
            let message = view.message(*id);
            if message.producer != Some(producer) {
                continue;
            }
            let mark = match message.told {
                told if told.is_ok() && moment.is_lost(*id) => {
                    Mark::new(glyphs::GONE, Role::Broken, 9)
                }
                told if told.is_ok() && moment.is_unsure(*id) => {
                    Mark::new(glyphs::TOLD_UNKNOWN, Role::Now, 6)
                }
                Told::Acknowledged(_) => Mark::new(glyphs::TOLD_OK, Role::Safe, 1),
                Told::NobodyAsked => Mark::new(glyphs::NOT_ASKED, Role::Plain, 2),
                Told::Waiting => Mark::new(glyphs::WAITING, Role::Now, 4),
                Told::Failed(_) => Mark::new(glyphs::TOLD_FAILED, Role::Broken, 8),
                Told::Unknown => Mark::new(glyphs::TOLD_UNKNOWN, Role::Now, 5),
            };
            row.insert(*at, mark.of(*id));
        }
        row
    }

    /// What a reader (a group, or a consumer without one) did with each message of the log.
    pub fn done(&self, view: &ClusterView, moment: &Moment, reader: usize) -> Row {
        let mut row = Row::new();
        let Some(state) = view.readers.get(reader) else { return row };
        for (at, id) in &self.owner {
            let processing = state.message(*id);
            let mark = match processing.count {
                0 if moment.is_skipped(*id, reader) => Mark::new(glyphs::GONE, Role::Broken, 9),
                0 => Mark::new(glyphs::NOT_YET, Role::Plain, 3),
                1 => Mark::new(letter('1'), Role::Safe, 1),
                n @ 2..=9 => Mark::new(letter(char::from(b'0' + n as u8)), Role::Broken, 8),
                _ => Mark::new(letter('+'), Role::Broken, 8),
            };
            // A message that is in no log was never there to be read.
            if processing.count > 0 || view.message(*id).stored != EventSeq::NONE {
                row.insert(*at, mark);
            }
        }
        row
    }
}

/// The offset at which `message` was first appended.
fn stored_at(run: &World, stored: EventSeq, message: MessageId) -> Option<Place> {
    let EventKind::Appended { batch, base_offset, .. } = run.events.get(stored.index())?.kind
    else {
        return None;
    };
    let n = run.batches.records(batch).position(|r| r.body == RecordBody::Message(message))?;
    Some(base_offset.0 + n as i64)
}

/// The log of one replica from `from` on.
pub fn log(run: &World, replica: &ReplicaView, from: Place) -> Row {
    let mut row = Row::new();
    let mut seen = BTreeSet::new();
    let first = replica.log.partition_point(|entry| entry.base_offset.0 < from).saturating_sub(1);
    // A second copy is one even when the first lies left of the window.
    if first > 0 {
        let before = replica.messages(&run.batches);
        seen.extend(before.take_while(|(at, _)| at.0 < from).map(|(_, id)| id));
    }
    for entry in replica.log.iter_from(first) {
        for (n, record) in run.batches.records(entry.batch).enumerate() {
            let at = entry.base_offset + n as i64;
            if at < replica.log_start || at.0 < from {
                continue;
            }
            let mark = match record.body {
                RecordBody::Message(id) if !seen.insert(id) => {
                    Mark::new(letter('2'), Role::Broken, 7).of(id)
                }
                RecordBody::Message(id) if at < replica.high_watermark => {
                    Mark::new(glyphs::BELOW_HW, Role::Safe, 1).of(id)
                }
                RecordBody::Message(id) => Mark::new(glyphs::ABOVE_HW, Role::Now, 4).of(id),
                _ => Mark::new(glyphs::INTERNAL, Role::Plain, 0),
            };
            row.insert(at.0, mark);
        }
    }
    for entry in replica.last_cut.iter().flat_map(|cut| &cut.entries) {
        for (n, record) in run.batches.records(entry.batch).enumerate() {
            if let RecordBody::Message(id) = record.body {
                let mark = Mark::new(glyphs::CUT, Role::Broken, 6).of(id);
                row.entry(entry.base_offset.0 + n as i64).or_insert(mark);
            }
        }
    }
    row
}
