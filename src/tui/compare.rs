//! Where the worlds of a film part: the first event that differs, and the one that matters for a verdict.

use crate::base::ids::{EventSeq, MessageId};
use crate::event::Event;
use crate::tui::model::{Film, World};
use crate::tui::moment::Moment;
use crate::tui::projection::Projection;

/// Two places in a film, each a world and an event of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Differences {
    /// The first event that another world does not have at the same place of its story.
    pub first: Option<(usize, EventSeq)>,
    /// The first event of the chain that ends in a broken verdict of one world and not of another: the moment a
    /// message was acknowledged that is lost in the end.
    pub decisive: Option<(usize, EventSeq)>,
}

impl Differences {
    /// Compares the worlds of `film`.
    pub fn find(film: &Film) -> Self {
        let mut found = Self::default();
        for (n, other) in film.worlds.iter().enumerate().skip(1) {
            let parted = part(&film.worlds[0], other);
            let first =
                parted.and_then(|(a, b)| earlier(film, a.map(|s| (0, s)), b.map(|s| (n, s))));
            found.first = earlier(film, found.first, first);
        }
        if found.first.is_some() {
            // Of several broken worlds the last in order: variants go from careless to careful, so it is the nearest
            // neighbour of one that holds.
            let turns = film.worlds.iter().map(turning_point).enumerate();
            found.decisive = turns.filter_map(|(world, seq)| Some((world, seq?))).next_back();
        }
        found
    }
}

/// The earlier of two events of two worlds.
fn earlier(
    film: &Film,
    a: Option<(usize, EventSeq)>,
    b: Option<(usize, EventSeq)>,
) -> Option<(usize, EventSeq)> {
    let at = |(world, seq): (usize, EventSeq)| film.worlds[world].events[seq.index()].at;
    match (a, b) {
        (Some(a), Some(b)) => Some(if at(b) < at(a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The first events that differ, the wire left out; `None` when both runs are the same.
fn part(one: &World, other: &World) -> Option<(Option<EventSeq>, Option<EventSeq>)> {
    let mut left = facts(one);
    let mut right = facts(other);
    loop {
        match (left.next(), right.next()) {
            (None, None) => return None,
            (Some((_, a)), Some((_, b))) if alike(a, b) => {}
            (a, b) => return Some((a.map(|(seq, _)| seq), b.map(|(seq, _)| seq))),
        }
    }
}

fn facts(run: &World) -> impl Iterator<Item = (EventSeq, &Event)> {
    let events = run.events.iter().enumerate();
    events.filter(|(_, event)| !event.kind.is_wire()).map(|(n, event)| (EventSeq(n as u32), event))
}

fn alike(a: &Event, b: &Event) -> bool {
    (a.at, a.node, a.kind) == (b.at, b.node, b.kind)
}

/// The event that made the worst outcome of a run possible: the acknowledgement of a message that is lost in the
/// end, else the retry that stored one twice, else the commit that passed one, else a repeat.
fn turning_point(run: &World) -> Option<EventSeq> {
    let mut end = Projection::new(run);
    end.go(run, run.events.len());
    let view = end.view();
    let moment = Moment::new(run, view);
    let tally = &moment.tally;
    let earliest = |ids: &[MessageId], of: &dyn Fn(MessageId) -> EventSeq| {
        ids.iter().map(|id| of(*id)).filter(|seq| *seq != EventSeq::NONE).min()
    };
    let last_done = |id: MessageId| {
        let all = view.readers.iter().map(|reader| reader.message(id));
        all.filter(|done| done.count > 1).map(|done| done.last).min().unwrap_or(EventSeq::NONE)
    };
    let passed = |id: MessageId| {
        let fate = moment.fate(id);
        fate.map_or(EventSeq::NONE, |fate| fate.decided)
    };
    earliest(&tally.lost, &|id| view.message(id).acked)
        .or_else(|| earliest(&tally.duplicated, &|id| view.message(id).retried))
        .or_else(|| earliest(&tally.skipped, &passed))
        .or_else(|| earliest(&tally.repeated, &last_done))
}
