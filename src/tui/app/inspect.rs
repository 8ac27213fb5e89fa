//! What keys do in the log inspector and on a journey, and the mouse on the time line.

use crate::tui::app::{App, Screen};
use crate::tui::model::{Film, Kill, Mode, World};
use crate::tui::reel::Lens;
use crate::tui::screens::{group, log, transactions, why};

impl App {
    /// What a step stops at on the screen in sight.
    pub(in crate::tui) fn lens(&self) -> Lens {
        match self.screen {
            Screen::Controller => Lens::Control,
            Screen::Stage
            | Screen::Compare
            | Screen::Why
            | Screen::Log
            | Screen::Transactions
            | Screen::Group => Lens::Stage,
        }
    }

    /// All variants side by side, when there are several.
    pub(super) fn compare(&mut self) {
        if self.film.worlds.len() > 1 {
            self.show(Screen::Compare);
        } else {
            self.note =
                Some("This scenario has one variant; there is nothing to compare.".to_owned());
        }
    }

    /// How many rows the log in sight has.
    pub(super) fn log_rows(&self) -> usize {
        let view = self.view(self.world);
        let Some(partition) = view.partitions.get(log::partition(self).index()) else { return 0 };
        let count = partition.replicas.len().max(1);
        let of = |n: usize| partition.replicas.get(n % count).map_or(0, |r| log::lines(r).len());
        let here = of(self.log.replica);
        if self.log.beside { here.max(of(self.log.replica + 1)) } else { here }
    }

    /// The next transactional id, or the one before.
    pub(super) fn turn_transaction(&mut self, down: bool) {
        let ids = self.run().names.transactional_ids.len();
        self.transaction = step(self.transaction, down, ids);
    }

    /// The next member of the groups, or the one before.
    pub(super) fn turn_member(&mut self, down: bool) {
        self.anatomy.member = step(self.anatomy.member, down, group::members(self).len());
    }

    /// The window of the screen of groups goes back by a quarter of its length, or comes forward.
    pub(super) fn shift_window(&mut self, back: bool) {
        let earlier = self.anatomy.earlier;
        self.anatomy.earlier =
            if back { (earlier + 1).min(999) } else { earlier.saturating_sub(1) };
    }

    /// Goes to the next marker of the transactional id in sight; behind the last one, back to the first.
    pub(super) fn go_to_marker(&mut self) {
        let Some(id) = transactions::chosen(self) else { return };
        let here = self.player.position();
        let places = transactions::markers(self, id).into_iter();
        let places: Vec<usize> = places.map(|seq| self.reel.after(self.world, seq)).collect();
        let next = places.iter().find(|at| **at > here).or(places.first()).copied();
        if let Some(position) = next {
            self.forward(position);
        } else {
            let name = self.run().names.transactional_id(id);
            self.note = Some(format!("No transaction of {name} has a marker in this run."));
        }
    }

    /// The journey of the first record that an open transaction holds back from `read_committed` readers.
    pub(super) fn why_held(&mut self) {
        if let Some((_, message)) = transactions::held(self) {
            self.picked = Some(message);
            self.why();
        } else {
            self.note = Some("Nothing is held: no transaction is open.".to_owned());
        }
    }

    /// The journey of a record that the selected member's group processed more than once, if there is one.
    pub(super) fn why_twice(&mut self) {
        self.picked = group::twice::of_chosen(self).or(self.picked);
        self.why();
    }

    /// Lists the records of the batch, or hides them. Side by side there is no room for them.
    pub(super) fn toggle_records(&mut self) {
        self.log.opened = self.log.beside || !self.log.opened;
        self.log.beside = false;
    }

    /// The next replica of the partition, or the one before.
    pub(super) fn turn_replica(&mut self, next: bool) {
        let view = self.view(self.world);
        let partition = view.partitions.get(log::partition(self).index());
        let count = partition.map_or(1, |partition| partition.replicas.len().max(1));
        let by = if next { 1 } else { count - 1 };
        self.log.replica = (self.log.replica + by) % count;
    }

    /// Goes to the event of the journey under the cursor, or opens the run that was played without a cause, side by
    /// side with this one.
    pub(super) fn open_cause(&mut self) {
        let rows = why::rows(self);
        if let Some(row) = rows.get(self.cause) {
            if let Some(seq) = row.seq {
                self.back();
                self.go(self.reel.after(self.world, seq));
            }
            return;
        }
        let (run, n) = (self.run(), self.cause - rows.len());
        let causes = self.picked.and_then(|id| run.causes.get(&id));
        let Some(because) = causes.and_then(|causes| causes.get(n)) else { return };
        let Some(fork) = run.forks.get(because.fork).cloned() else { return };
        self.open_fork(fork);
    }

    /// Asks for the run in which the producer of the transactional id in sight dies now.
    pub(super) fn kill_producer(&mut self) {
        if self.horizon() < self.reel.len() {
            self.note =
                Some("First the question: what would happen is part of the answer.".to_owned());
            return;
        }
        let producer = transactions::chosen(self).and_then(|id| {
            let view = self.view(self.world);
            view.holder(view.transactions[id.index()].producer_id)
        });
        match producer {
            Some(producer) if self.outer.is_none() => {
                self.wish = Some(Kill { world: self.world, producer, at: self.now() });
            }
            Some(_) => self.note = Some("This is such a run already; Esc leads back.".to_owned()),
            None => self.note = Some("No producer has this id at this moment.".to_owned()),
        }
    }

    /// Takes the run that is to be played.
    pub fn take_wish(&mut self) -> Option<Kill> {
        self.wish.take()
    }

    /// Shows a run in which one thing is changed beside the one in front, at the same moment.
    pub fn open_fork(&mut self, fork: World) {
        let run = self.run();
        let film = Film {
            scenario: self.film.scenario.clone(),
            title: self.film.title.clone(),
            seed: self.film.seed,
            worlds: vec![run.clone(), fork],
            questions: Vec::new(),
            takeaway: String::new(),
            difference: "one thing is changed".to_owned(),
        };
        let now = self.now();
        let mut inner = Self::new(film, Mode::Compare, self.options);
        inner.look = self.look;
        inner.go(inner.reel.at_time(now));
        let outer = std::mem::replace(self, inner);
        self.outer = Some(Box::new(outer));
    }

    /// Stands at a share of the visible time line, for the mouse.
    pub fn seek_share(&mut self, share: f64) {
        let end = self.reel.frame(self.horizon());
        self.player.seek(&self.reel, end * share.clamp(0.0, 1.0));
        if self.player.position() > self.limit() {
            self.go(self.limit());
        }
        self.fold();
    }
}

/// `at` moved by one within `0..count`.
pub(super) fn step(at: usize, down: bool, count: usize) -> usize {
    if down { (at + 1).min(count.saturating_sub(1)) } else { at.saturating_sub(1) }
}
