//! What the screen says at the cursor: the scenario's own sentence where it has one, else the narration of the event
//! shown last; and the few words an event has in a list.

use std::sync::Arc;

use crate::base::ids::EventSeq;
use crate::base::time::Duration;
use crate::event::EventKind;
use crate::tui::app::{App, Screen};
use crate::tui::model::World;
use crate::tui::reel;
use crate::tui::screens::why;
use crate::view::cluster::ClusterView;
use crate::view::narrate::{Importance, Line, Scene, narrate};
use crate::view::words::{batch_ids, fault_word};

/// A silence longer than this many µs is announced while it passes.
const SILENCE: u64 = 1_000_000;

/// The sentences of a run, made once: every event that is more than a message on the wire.
#[derive(Clone, Debug, Default)]
pub struct Speech {
    lines: Vec<Line>,
}

impl Speech {
    /// Tells all of `run`; the sentences of the scenario take the place of the automatic ones.
    pub fn new(run: &World) -> Self {
        let mut view = ClusterView::new(Arc::clone(&run.names));
        let mut lines = Vec::new();
        for (n, event) in run.events.iter().enumerate() {
            let seq = EventSeq(n as u32);
            let facts = &run.settings;
            let scene = Scene { before: &view, batches: &run.batches, facts };
            let caption = run.captions.binary_search_by_key(&seq, |(at, _)| *at);
            let mut line = narrate(&scene, seq, event);
            if let Ok(at) = caption {
                line.text.clone_from(&run.captions[at].1);
                line.importance = Importance::Mark;
            }
            // What metadata does is told on the screen of the controllers only.
            let told = line.importance > Importance::Trace || reel::is_control(&event.kind);
            if told && !line.text.is_empty() {
                lines.push(line);
            }
            view.apply(seq, event, &run.batches);
        }
        Self { lines }
    }

    /// The lines up to event `last`, the newest first, that matter at least so much.
    fn back(&self, last: EventSeq, least: Importance) -> impl Iterator<Item = &Line> {
        let end = self.lines.partition_point(|line| line.seq <= last);
        self.lines[..end].iter().rev().filter(move |line| line.importance >= least)
    }

    /// The line of one event.
    pub fn of(&self, seq: EventSeq) -> Option<&Line> {
        let at = self.lines.binary_search_by_key(&seq, |line| line.seq).ok()?;
        self.lines.get(at)
    }
}

impl App {
    /// The sentences for the rows of narration, at most `count`, the newest first.
    pub fn narration(&self, count: usize) -> Vec<String> {
        if self.at_end() && self.screen == Screen::Compare && !self.film.takeaway.is_empty() {
            return vec![self.film.takeaway.clone()];
        }
        let world = match self.screen {
            // Side by side the newest event of any world speaks.
            Screen::Compare => {
                self.reel.last(self.player.position()).map_or(self.world, |entry| entry.world)
            }
            Screen::Stage
            | Screen::Why
            | Screen::Log
            | Screen::Controller
            | Screen::Transactions
            | Screen::Group => self.world,
        };
        let Some(last) = self.last_event(world) else { return Vec::new() };
        if self.screen == Screen::Why {
            // The rows are short; here the one under the cursor has room.
            let rows = why::rows(self);
            let Some(row) = rows.get(self.cause) else { return Vec::new() };
            let Some(seq) = row.seq else { return Vec::new() };
            let id = self.picked.map(|id| self.film.worlds[world].names.message(id));
            let holders = row.holders.map(|h| h.words(&id.unwrap_or_default()));
            return std::iter::once(self.sentence(world, seq)).chain(holders).collect();
        }
        if self.screen == Screen::Controller {
            return self.control_plane(last, count);
        }
        // While it runs only what matters is told: nobody reads a sentence in two frames.
        let least = if self.player.playing { Importance::Change } else { Importance::Detail };
        let lines = self.speech(world).back(last, least);
        lines.take(count.div_ceil(2).max(1)).map(|line| line.text.clone()).collect()
    }

    /// What happened to controllers and brokers, the newest first; while it runs only what matters.
    fn control_plane(&self, last: EventSeq, count: usize) -> Vec<String> {
        let least = if self.player.playing { Importance::Change } else { Importance::Trace };
        let events = &self.run().events;
        let lines = self.speech(self.world).back(last, least);
        let told = lines.filter(|line| {
            line.importance == Importance::Mark || reel::is_control(&events[line.seq.index()].kind)
        });
        told.take(count.div_ceil(2).max(1)).map(|line| line.text.clone()).collect()
    }

    /// One event in a sentence, or in a few words when it has none.
    pub fn sentence(&self, world: usize, seq: EventSeq) -> String {
        match self.speech(world).of(seq) {
            Some(line) => line.text.clone(),
            None => self.brief(world, seq),
        }
    }

    /// One event in a few words: `b1 appends m4 at 3`.
    pub fn brief(&self, world: usize, seq: EventSeq) -> String {
        let run = &self.film.worlds[world];
        let Some(event) = run.events.get(seq.index()) else { return String::new() };
        let node = run.names.node(event.node);
        let ids = |batch| batch_ids(&run.names, &run.batches, batch);
        match event.kind {
            EventKind::Sent { message, .. } => {
                format!("{node} sends {}", run.names.message(message))
            }
            EventKind::Appended { batch, base_offset, .. } => {
                format!("{node} appends {} at {base_offset}", ids(batch))
            }
            EventKind::Acknowledged { batch, base_offset, .. } if base_offset.0 >= 0 => {
                format!("{node} acked {}", ids(batch))
            }
            EventKind::Acknowledged { batch, .. } => format!("{node} asks nobody: {}", ids(batch)),
            EventKind::BatchFailed { batch, exception, .. } => {
                format!("{node} {} {}", exception.name(), ids(batch))
            }
            EventKind::Retry { batch, .. } => format!("{node} retries {}", ids(batch)),
            EventKind::HighWatermark { offset, .. } => format!("{node} HW {offset}"),
            EventKind::Truncated { to, .. } => format!("{node} cuts at {to}"),
            EventKind::BecameLeader { leader_epoch, .. }
            | EventKind::ControllerElected { epoch: leader_epoch } => {
                format!("{node} leads, epoch {leader_epoch}")
            }
            EventKind::BecameFollower { leader: Some(leader), .. } => {
                format!("{node} follows {leader}")
            }
            EventKind::BrokerFenced { broker } => format!("{broker} is fenced"),
            EventKind::BrokerUnfenced { broker } => format!("{broker} is unfenced"),
            EventKind::PartitionChanged { leader: Some(leader), isr, .. } => {
                format!("leader {leader}, ISR {isr}")
            }
            EventKind::PartitionChanged { isr, .. } => format!("no leader, ISR {isr}"),
            EventKind::Polled { batch, .. } => format!("{node} polls {}", ids(batch)),
            EventKind::Processed { batch, .. } => format!("{node} processed {}", ids(batch)),
            EventKind::OffsetCommitted { group, offset, .. } => {
                format!("{} committed {offset}", run.names.group(group))
            }
            EventKind::CommitSent { offset, .. } => format!("{node} commits {offset}"),
            EventKind::Fault { kind } => format!("{} {node}", fault_word(kind)),
            EventKind::GroupChanged { state, generation, .. } => {
                format!("{} generation {generation}", state.name())
            }
            EventKind::Question { question } => format!("question {}", question + 1),
            EventKind::PositionSet { offset, .. } => format!("{node} reads from {offset}"),
            EventKind::MemberJoined { .. } => "a member joins".to_owned(),
            EventKind::MemberLeft { reason, .. } => format!("a member is out: {reason:?}"),
            EventKind::MemberAssigned { partition, .. } => {
                format!("{} is assigned", run.names.partition(partition))
            }
            EventKind::CallbackPartition { callback, partition } => {
                let word = format!("{callback:?}").to_lowercase();
                format!("{node} {word} {}", run.names.partition(partition))
            }
            EventKind::Deduplicated { batch, .. } => format!("{node} has {} already", ids(batch)),
            EventKind::AppendRefused { batch, error, .. } => {
                format!("{node} refuses {}: {}", ids(batch), error.name())
            }
            EventKind::SendFailed { message, exception } => {
                format!("{} {}", run.names.message(message), exception.name())
            }
            EventKind::Threw { exception } => format!("{node} gets {}", exception.name()),
            EventKind::Closed => format!("{node} is closed"),
            EventKind::Quiesced => "all has settled".to_owned(),
            EventKind::Stuck => "something is stuck".to_owned(),
            EventKind::Ended => "the end".to_owned(),
            kind => administered(kind, &node),
        }
    }

    /// The silence that passes at the cursor, when it is long.
    pub fn gap(&self) -> Option<Duration> {
        if !self.player.playing {
            return None;
        }
        let position = self.player.position();
        let next = self.reel.next_stop(position, None);
        let (before, after) = (self.last_stop_time(position), self.reel.last(next)?.at);
        let gap = after.since(before);
        (gap.0 >= SILENCE).then_some(gap)
    }

    fn last_stop_time(&self, position: usize) -> crate::base::time::Time {
        let before = self.reel.previous_stop(position + 1, None);
        self.reel.last(before).map_or_else(Default::default, |entry| entry.at)
    }
}

/// What an administrator brings about, in a word or two.
fn administered(kind: EventKind, node: &str) -> String {
    match kind {
        EventKind::ReplicaDeleted { .. } => format!("{node} deletes its replica"),
        EventKind::ReplicasChanged { .. } => "other replicas".to_owned(),
        EventKind::TopicConfigured { .. } => "a setting changes".to_owned(),
        EventKind::AdminCalled { call, exception: None } => call.name().to_owned(),
        EventKind::AdminCalled { exception: Some(exception), .. } => exception.name().to_owned(),
        _ => String::new(),
    }
}
