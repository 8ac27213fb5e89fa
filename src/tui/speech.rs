//! What the screen says at the cursor: the scenario's own sentence where it has one, else the narration of the event
//! shown last; and the few words an event has in a list.

use crate::base::ids::EventSeq;
use crate::base::time::Duration;
use crate::event::EventKind;
use crate::tui::app::{App, Screen};
use crate::view::words::{batch_ids, fault_word};

/// A silence longer than this many µs is announced while it passes.
const SILENCE: u64 = 1_000_000;

impl App {
    /// The sentences for the rows of narration, at most `count`, the newest first.
    pub fn narration(&self, count: usize) -> Vec<String> {
        if self.at_end() && !self.film.takeaway.is_empty() {
            return vec![self.film.takeaway.clone()];
        }
        let world = match self.screen {
            // Side by side the newest event of any world speaks.
            Screen::Compare => {
                self.reel.last(self.player.position()).map_or(self.world, |entry| entry.world)
            }
            Screen::Stage | Screen::Why => self.world,
        };
        let Some(last) = self.last_event(world) else { return Vec::new() };
        let captions = &self.film.worlds[world].captions;
        let mut sentences = Vec::new();
        for n in (0..=last.index()).rev() {
            let seq = EventSeq(n as u32);
            let caption = captions.binary_search_by_key(&seq, |(at, _)| *at);
            let sentence = match caption {
                Ok(at) => captions[at].1.clone(),
                Err(_) if self.reel.stops_at(world, seq) => self.sentence(world, seq),
                Err(_) => continue,
            };
            if !sentence.is_empty() {
                sentences.push(sentence);
                if sentences.len() * 2 >= count.max(2) {
                    break;
                }
            }
        }
        sentences
    }

    /// One event in a sentence; empty when there is nothing to say.
    pub fn sentence(&self, world: usize, seq: EventSeq) -> String {
        self.brief(world, seq)
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
            EventKind::BecameLeader { leader_epoch, .. } => {
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
            EventKind::Ended => "the end".to_owned(),
            _ => String::new(),
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
