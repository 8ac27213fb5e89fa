//! All worlds of a film on one line: the order in which their events are shown, which of them change the screen, and
//! how long each stretch of virtual time lasts on it.
//!
//! Story pace: a message that matters crosses its lane in 8 frames, an append takes 2, a change of state 12, and a
//! quiet gap of *g* costs min(1 + log2(g / 1 ms), 18). So hops of a millisecond and a silence of 45 s fit in one
//! lesson. A frame is 33 ms at speed 1.

use crate::base::ids::{BatchHandle, EventSeq, NodeId};
use crate::base::time::Time;
use crate::event::{Api, Event, EventKind};
use crate::tui::model::World;

/// Frames a message takes from one end of its lane to the other.
const HOP: f64 = 8.0;
/// Frames an append or a commit stays before what follows at the same moment.
const APPEND: f64 = 2.0;
/// Frames a change of state stays.
const STATE_CHANGE: f64 = 12.0;
/// The most a quiet gap costs.
const QUIET_MAX: f64 = 18.0;
/// Messages slower than this do not stretch the time they are under way, in µs.
const SLOW_HOP: u64 = 1_000_000;

/// Whose changes a step stops at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lens {
    /// Those of replicas, messages and groups.
    Stage,
    /// Those of controllers and of what brokers know of them.
    Control,
}

/// One event of one world, in its place on the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The world.
    pub world: usize,
    /// The event.
    pub seq: EventSeq,
    /// When it happened.
    pub at: Time,
    /// Its place among the events of its world at the same moment.
    rank: u32,
    /// True when a step stops at it.
    pub stop: bool,
    /// True when a step stops at it on the screen of the controllers.
    control: bool,
}

impl Entry {
    fn stops(&self, world: Option<usize>, lens: Lens) -> bool {
        let stop = match lens {
            Lens::Stage => self.stop,
            Lens::Control => self.control,
        };
        stop && world.is_none_or(|world| world == self.world)
    }
}

/// The order of showing. A position counts the entries that have been shown.
#[derive(Clone, Debug)]
pub struct Reel {
    entries: Vec<Entry>,
    /// The frame at which each entry appears.
    frames: Vec<f64>,
    /// For each world, the position of each of its events.
    places: Vec<Vec<u32>>,
}

impl Reel {
    /// The line over `worlds`: by time, then by place within the moment, then by world, so that what happens in all
    /// worlds alike is shown together.
    pub fn new(worlds: &[World]) -> Self {
        let mut entries = Vec::new();
        let mut weights = Vec::new();
        for (world, run) in worlds.iter().enumerate() {
            let matters = matters(run);
            let mut rank = 0;
            let mut last = Time::ZERO;
            for (seq, event) in run.events.iter().enumerate() {
                rank = if event.at == last { rank + 1 } else { 0 };
                last = event.at;
                let stop = matters[seq];
                let seq = EventSeq(seq as u32);
                let weight = Weight::of(event, stop);
                let control = is_control(&event.kind) && !is_internal(run, event);
                entries.push(Entry { world, seq, at: event.at, rank, stop, control });
                weights.push(weight);
            }
        }
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by_key(|i| (entries[*i].at, entries[*i].rank, entries[*i].world));
        let entries: Vec<Entry> = order.iter().map(|i| entries[*i]).collect();
        let weights: Vec<Weight> = order.iter().map(|i| weights[*i]).collect();
        let mut places = vec![Vec::new(); worlds.len()];
        for (place, entry) in entries.iter().enumerate() {
            places[entry.world].push(place as u32);
        }
        let frames = frames(&entries, &weights);
        Self { entries, frames, places }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True for a film in which nothing happens.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry shown last at `position`.
    pub fn last(&self, position: usize) -> Option<&Entry> {
        self.entries.get(position.checked_sub(1)?)
    }

    /// How many events of `world` have been shown at `position`.
    pub fn shown(&self, world: usize, position: usize) -> usize {
        self.places[world].partition_point(|place| (*place as usize) < position)
    }

    /// The position right after an event.
    pub fn after(&self, world: usize, seq: EventSeq) -> usize {
        match self.places[world].get(seq.index()) {
            Some(place) => self.through(*place as usize),
            None => self.len(),
        }
    }

    /// True when a step stops at this event.
    pub fn stops_at(&self, world: usize, seq: EventSeq) -> bool {
        let place = self.places[world].get(seq.index());
        place.is_some_and(|place| self.entries[*place as usize].stop)
    }

    /// The first position at which everything before `at` has been shown.
    pub fn at_time(&self, at: Time) -> usize {
        self.entries.partition_point(|entry| entry.at <= at)
    }

    /// The position before the first thing that a client or the script does: the cluster is up by then.
    pub fn opening(&self, worlds: &[World]) -> usize {
        let acts = |entry: &Entry| {
            let event = &worlds[entry.world].events[entry.seq.index()];
            let client = matches!(event.node, NodeId::Producer(_) | NodeId::Consumer(_));
            entry.stop && (client || matches!(event.kind, EventKind::Fault { .. }))
        };
        let first = self.entries.iter().position(acts).unwrap_or(0);
        // The last picture before it, so that time stands where something was last seen.
        let before = self.entries[..first].iter().rposition(|entry| entry.stop);
        before.map_or(first, |place| self.through(place)).min(first.max(1))
    }

    /// The frame of a position: where its last entry appears.
    pub fn frame(&self, position: usize) -> f64 {
        position.checked_sub(1).and_then(|i| self.frames.get(i)).copied().unwrap_or(0.0)
    }

    /// Frames from start to end.
    pub fn total(&self) -> f64 {
        self.frames.last().copied().unwrap_or(0.0)
    }

    /// The position at a frame.
    pub fn position(&self, frame: f64) -> usize {
        self.frames.partition_point(|f| *f <= frame)
    }

    /// The moment of virtual time shown at `frame` when `position` entries have been shown.
    pub fn now(&self, position: usize, frame: f64) -> Time {
        let before = self.last(position).map_or(Time::ZERO, |entry| entry.at);
        let Some(next) = self.entries.get(position) else { return before };
        let (from, to) = (self.frame(position), self.frames[position]);
        if position == 0 || to <= from || next.at <= before {
            return before;
        }
        let share = ((frame - from) / (to - from)).clamp(0.0, 1.0);
        let span = next.at.since(before).0;
        Time(before.0 + (span as f64 * share) as u64)
    }

    /// The frame at which the moment `at` is shown.
    pub fn frame_at(&self, at: Time) -> f64 {
        let position = self.at_time(at);
        let (Some(before), Some(next)) = (self.last(position), self.entries.get(position)) else {
            return self.frame(position);
        };
        let span = next.at.since(before.at).0.max(1) as f64;
        let share = at.since(before.at).0 as f64 / span;
        self.frame(position) + share * (self.frames[position] - self.frame(position))
    }

    /// The position after the next entry that changes the screen of `world`, or of any world.
    pub fn next_stop(&self, position: usize, world: Option<usize>) -> usize {
        self.next(position, world, Lens::Stage)
    }

    /// The same for what `lens` shows.
    pub fn next(&self, position: usize, world: Option<usize>, lens: Lens) -> usize {
        let found = self.entries.iter().skip(position).position(|e| e.stops(world, lens));
        found.map_or(self.len(), |ahead| self.through(position + ahead))
    }

    /// The position after the last entry before this one that changed the screen; 0 when there is none.
    pub fn previous_stop(&self, position: usize, world: Option<usize>) -> usize {
        self.previous(position, world, Lens::Stage)
    }

    /// The same for what `lens` shows.
    pub fn previous(&self, position: usize, world: Option<usize>, lens: Lens) -> usize {
        let mut back = position;
        while back > 0 {
            back -= 1;
            if self.entries[back].stops(world, lens) && self.through(back) < position {
                return self.through(back);
            }
        }
        0
    }

    /// The position after the entry at `place` and after its counterparts in other worlds: same moment, same rank.
    fn through(&self, place: usize) -> usize {
        let Entry { at, rank, .. } = self.entries[place];
        let alike = |e: &&Entry| e.at == at && e.rank == rank;
        place + self.entries[place..].iter().take_while(alike).count()
    }
}

/// What an entry asks of the clock on the screen.
#[derive(Clone, Copy)]
struct Weight {
    stop: bool,
    dwell: f64,
    /// A message that matters is under way for this many µs from here.
    hop: u64,
}

impl Weight {
    fn of(event: &Event, stop: bool) -> Self {
        let hop = match event.kind {
            EventKind::WireSent { arrives_in, .. } if stop && u64::from(arrives_in) <= SLOW_HOP => {
                u64::from(arrives_in)
            }
            _ => 0,
        };
        Self { stop, dwell: if stop { dwell(&event.kind) } else { 0.0 }, hop }
    }
}

/// Frames an event stays on the screen before the next one at the same moment appears.
fn dwell(kind: &EventKind) -> f64 {
    match kind {
        kind if kind.is_wire() => 0.0,
        EventKind::Fault { .. }
        | EventKind::BecameLeader { .. }
        | EventKind::PartitionChanged { .. }
        | EventKind::BrokerFenced { .. }
        | EventKind::ControllerElected { .. }
        | EventKind::ControllerResigned { .. }
        | EventKind::Truncated { .. }
        | EventKind::GroupChanged { .. }
        | EventKind::ConsumerGroupChanged { .. }
        | EventKind::MemberLeft { .. }
        | EventKind::Threw { .. }
        | EventKind::BatchFailed { .. } => STATE_CHANGE,
        _ => APPEND,
    }
}

/// Frames of a stretch of `micros` in which nothing happens.
fn quiet(micros: u64) -> f64 {
    let millis = micros as f64 / 1_000.0;
    if millis < 1.0 { millis } else { (1.0 + millis.log2()).min(QUIET_MAX) }
}

/// The frame at which each entry appears.
fn frames(entries: &[Entry], weights: &[Weight]) -> Vec<f64> {
    let mut frames = vec![0.0; entries.len()];
    let mut under_way: Vec<(Time, u64)> = Vec::new();
    let mut frame = 0.0;
    let mut i = 0;
    while i < entries.len() {
        // One moment: its entries follow each other by their dwell.
        let at = entries[i].at;
        let mut next = i;
        while next < entries.len() && entries[next].at == at {
            frames[next] = frame;
            let counterpart = next + 1 < entries.len()
                && entries[next + 1].at == at
                && entries[next + 1].rank == entries[next].rank;
            if !counterpart {
                frame += weights[next].dwell;
            }
            if weights[next].hop > 0 {
                under_way.push((Time(at.0 + weights[next].hop), weights[next].hop));
            }
            next += 1;
        }
        // The stretch to the next moment that matters; what lies between is placed by its time.
        let mut beat = next;
        while beat + 1 < entries.len() && !weights[beat].stop {
            beat += 1;
        }
        if let Some(until) = entries.get(beat).map(|entry| entry.at) {
            under_way.retain(|(arrives, _)| *arrives > at);
            let span = until.since(at).0;
            let fastest = under_way.iter().map(|(_, hop)| *hop).min();
            let cost = fastest.map_or_else(|| quiet(span), |hop| HOP * span as f64 / hop as f64);
            while next < entries.len() && entries[next].at < until {
                let share = entries[next].at.since(at).0 as f64 / span.max(1) as f64;
                frames[next] = frame + share * cost;
                next += 1;
            }
            frame += cost;
        }
        i = next;
    }
    frames
}

/// For each event of a run, whether it changes the screen. What only keeps the cluster alive does not: empty polls,
/// heartbeats, fetches that move nothing. A message matters when it carries records or when something comes of it.
fn matters(run: &World) -> Vec<bool> {
    let count = run.events.len();
    let mut matters: Vec<bool> =
        run.events.iter().map(|event| shows(&event.kind) && !is_internal(run, event)).collect();
    let mut sent: Vec<(u32, usize)> = Vec::new();
    let mut arrival_of = vec![usize::MAX; count];
    for (seq, event) in run.events.iter().enumerate() {
        match event.kind {
            EventKind::WireSent { wire, .. } => sent.push((wire, seq)),
            EventKind::WireArrived { wire } => {
                if let Some(at) = sent.iter().rposition(|(other, _)| *other == wire) {
                    arrival_of[seq] = sent.swap_remove(at).1;
                }
            }
            EventKind::WireLost { wire, .. } => {
                if let Some(at) = sent.iter().rposition(|(other, _)| *other == wire) {
                    let departure = sent.swap_remove(at).1;
                    matters[seq] = matters[departure];
                }
            }
            _ if matters[seq] => {
                let departure = arrival_of.get(event.cause.index()).copied().unwrap_or(usize::MAX);
                if let Some(EventKind::WireSent { label, .. }) =
                    run.events.get(departure).map(|event| event.kind)
                {
                    matters[departure] |= !is_upkeep(label.api);
                }
            }
            _ => {}
        }
    }
    matters
}

/// APIs between brokers and controllers: the stage has no row they could arrive in.
fn is_upkeep(api: Api) -> bool {
    matches!(
        api,
        Api::BrokerHeartbeat
            | Api::MetadataFetch
            | Api::BrokerRegistration
            | Api::AlterPartition
            | Api::Vote
            | Api::BeginQuorumEpoch
            | Api::EndQuorumEpoch
    )
}

/// What changes the screen of the controllers: their own logs and terms, what they decide, and faults.
pub fn is_control(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::ControllerElected { .. }
            | EventKind::ControllerResigned { .. }
            | EventKind::MetadataAppended { .. }
            | EventKind::MetadataTruncated { .. }
            | EventKind::MetadataCommitted { .. }
            | EventKind::MetadataApplied { .. }
            | EventKind::BrokerRegistered { .. }
            | EventKind::BrokerUnfenced { .. }
            | EventKind::BrokerFenced { .. }
            | EventKind::PartitionChanged { .. }
            | EventKind::ReplicasChanged { .. }
            | EventKind::TopicConfigured { .. }
            | EventKind::Fault { .. }
            | EventKind::Question { .. }
            | EventKind::Ended
    )
}

/// About a partition of an internal topic, which no screen draws.
fn is_internal(run: &World, event: &Event) -> bool {
    let partition = match event.kind {
        EventKind::Appended { partition, .. }
        | EventKind::HighWatermark { partition, .. }
        | EventKind::Truncated { partition, .. }
        | EventKind::BecameLeader { partition, .. }
        | EventKind::BecameFollower { partition, .. }
        | EventKind::PartitionChanged { partition, .. } => Some(partition),
        EventKind::WireSent { label, .. } if matches!(label.api, Api::Fetch | Api::Produce) => {
            label.partition
        }
        _ => None,
    };
    let known = partition.filter(|partition| partition.index() < run.names.partitions.len());
    known.is_some_and(|partition| run.names.topic_of(partition).internal)
}

fn shows(kind: &EventKind) -> bool {
    match kind {
        EventKind::WireSent { label, .. } => match label.api {
            Api::Fetch => label.batch != BatchHandle::NONE,
            Api::Produce | Api::JoinGroup | Api::SyncGroup | Api::OffsetCommit => true,
            _ => false,
        },
        EventKind::WireArrived { .. }
        | EventKind::WireLost { .. }
        | EventKind::PollCalled
        | EventKind::PollEmpty
        | EventKind::PositionPassed { .. }
        | EventKind::Step { .. }
        | EventKind::Observed { .. }
        | EventKind::Flushed { .. }
        | EventKind::BatchReady { .. }
        | EventKind::ProducerIdAssigned { .. }
        | EventKind::Callback { .. }
        | EventKind::CommitAnswered { exception: None, .. }
        | EventKind::CoordinatorLoaded { .. }
        | EventKind::BrokerRegistered { .. }
        | EventKind::IsrKnown { .. }
        | EventKind::IsrProposed { .. }
        | EventKind::MetadataAppended { .. }
        | EventKind::MetadataCommitted { .. }
        | EventKind::MetadataApplied { .. } => false,
        _ => true,
    }
}
