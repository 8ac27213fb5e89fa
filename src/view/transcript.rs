//! A run as text, line by line: the same sentences as on the stage, what happens together in one line, quiet
//! stretches in one.

use crate::base::batch::BatchTable;
use crate::base::ids::{EventSeq, MessageId, NodeId, PartitionId};
use crate::base::time::{Duration, Time};
use crate::event::{Api, Event, EventKind};
use crate::view::cluster::ClusterView;
use crate::view::narrate::{Facts, Importance, Line, Scene, narrate};
use crate::view::rhythm::Rhythm;
use crate::view::words::{fold_ids, plural};

/// A stretch without a line is said in one when it lasts at least this long.
const QUIET: Duration = Duration::from_millis(500);

/// The width at which lines wrap with a hanging indent.
const WIDTH: usize = 80;

/// Makes lines of events, one event after the other.
#[derive(Clone, Debug)]
pub struct Transcript {
    view: ClusterView,
    facts: Facts,
    least: Importance,
    last: Time,
    quiet: Quiet,
    sends: Option<Sends>,
    rhythm: Rhythm,
    lines: Vec<Line>,
}

/// `send()` calls of one producer for one partition, told in one line.
#[derive(Clone, Debug)]
struct Sends {
    line: Line,
    node: NodeId,
    partition: Option<PartitionId>,
    ids: Vec<MessageId>,
}

/// What went over the wire since the last line.
#[derive(Clone, Copy, Default, Debug)]
struct Quiet {
    heartbeats: u64,
    fetches: u64,
    others: u64,
}

impl Transcript {
    /// A transcript of everything from `least` on; [`Importance::Change`] is what `run` prints.
    pub fn new(view: ClusterView, facts: Facts, least: Importance) -> Self {
        let last = view.now;
        let quiet = Quiet::default();
        Self {
            view,
            facts,
            least,
            last,
            quiet,
            sends: None,
            rhythm: Rhythm::default(),
            lines: Vec::new(),
        }
    }

    /// Takes the next event in.
    pub fn observe(&mut self, seq: EventSeq, event: &Event, batches: &BatchTable) {
        self.quiet.count(event);
        let scene = Scene { before: &self.view, batches, facts: &self.facts };
        let line = narrate(&scene, seq, event);
        if line.importance >= self.least {
            self.tell(line, event, batches);
        }
        self.view.apply(seq, event, batches);
    }

    fn tell(&mut self, line: Line, event: &Event, batches: &BatchTable) {
        let gap = event.at.since(self.last);
        if let (EventKind::Sent { message, partition }, Some(sends)) = (event.kind, &mut self.sends)
            && (sends.node, sends.partition, sends.line.at) == (event.node, partition, event.at)
        {
            sends.ids.push(message);
            return;
        }
        self.finish_sends();
        if gap < QUIET && self.rhythm.takes(&line, event, &self.view, batches) {
            self.quiet = Quiet::default();
            self.last = event.at;
            return;
        }
        if !self.rhythm.is_empty() {
            self.lines.extend(self.rhythm.finish(&self.view));
        }
        if line.importance == Importance::Mark {
            self.rhythm.start_over();
        }
        if gap >= QUIET {
            let text = self.quiet.sentence(gap);
            let quiet =
                Line { at: self.last, importance: Importance::Change, label: "", text, ..line };
            self.lines.push(quiet);
        }
        self.quiet = Quiet::default();
        self.last = event.at;
        match event.kind {
            EventKind::Sent { message, partition } => {
                let ids = vec![message];
                self.sends = Some(Sends { line, node: event.node, partition, ids });
            }
            _ => self.lines.push(line),
        }
    }

    fn finish_sends(&mut self) {
        let Some(Sends { mut line, node, partition, ids }) = self.sends.take() else { return };
        if ids.len() > 1 {
            let names = &self.view.names;
            let (who, what) = (names.node(node), fold_ids(names, &ids));
            line.text = match partition {
                Some(partition) => format!("{who} sends {what} to {}.", names.partition(partition)),
                None => format!("{who} sends {what}; it knows no partitions yet."),
            };
        }
        self.lines.push(line);
    }

    /// The view after the last event.
    pub fn view(&self) -> &ClusterView {
        &self.view
    }

    /// The lines so far that were not taken yet.
    pub fn take_lines(&mut self) -> Vec<Line> {
        self.finish_sends();
        self.lines.extend(self.rhythm.finish(&self.view));
        std::mem::take(&mut self.lines)
    }
}

impl Quiet {
    fn count(&mut self, event: &Event) {
        let EventKind::WireSent { label, .. } = event.kind else { return };
        match label.api {
            _ if label.response => {}
            Api::Heartbeat | Api::BrokerHeartbeat => self.heartbeats += 1,
            Api::Fetch | Api::MetadataFetch => self.fetches += 1,
            _ => self.others += 1,
        }
    }

    /// `8.3 s pass; 4 heartbeats, nothing else.`
    fn sentence(self, gap: Duration) -> String {
        let mut parts = Vec::new();
        for (n, noun) in [
            (self.heartbeats, "heartbeat"),
            (self.fetches, "fetch"),
            (self.others, "other request"),
        ] {
            if n > 0 {
                parts.push(plural(n, noun));
            }
        }
        if parts.is_empty() {
            format!("{gap} pass.")
        } else {
            format!("{gap} pass; {}, nothing else.", parts.join(", "))
        }
    }
}

/// A line as `run` prints it: the time, the label, the sentence, wrapped at 80 columns under a hanging
/// indent. No line break at the end.
pub fn printed(line: &Line) -> String {
    let time = format!("{:<8} ", format!("{} s", line.at));
    let label = if line.label.is_empty() { String::new() } else { format!("{}: ", line.label) };
    wrap(&format!("{time}{label}{}", line.text), time.chars().count())
}

/// Wraps `text` at 80 columns, continuation lines indented.
pub fn wrap(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for (n, word) in text.split(' ').enumerate() {
        let line = lines.last_mut().expect("there is always a line");
        let started = !line.trim().is_empty();
        if started && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{}{word}", " ".repeat(indent)));
        } else {
            if n > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}
