//! Moving in time: by playing, by steps, to marks and to differences.

use crate::base::ids::EventSeq;
use crate::tui::app::{App, Screen};
use crate::tui::keymap::Action;
use crate::tui::model::MarkKind;
use crate::tui::player::Pace;

impl App {
    /// Moves in time.
    pub(super) fn travel(&mut self, action: Action) {
        let here = self.player.position();
        let world = (self.screen != Screen::Compare).then_some(self.world);
        match action {
            Action::PlayPause => self.play_pause(),
            Action::StepForward if self.at_end() => self.note = Some("This is the end.".to_owned()),
            Action::StepForward => self.forward(self.reel.next(here, world, self.lens())),
            Action::StepBack => match self.reel.previous(here, world, self.lens()) {
                0 => self.note = Some("This is the start.".to_owned()),
                position => self.go(position),
            },
            Action::NextMark => self.go_to_mark(true, |_| true),
            Action::PreviousMark => self.go_to_mark(false, |_| true),
            Action::NextViolation => self.go_to_mark(true, |kind| kind == MarkKind::Violation),
            Action::PreviousViolation => self.go_to_mark(false, |kind| kind == MarkKind::Violation),
            Action::Faster => self.player.faster(),
            Action::Slower => self.player.slower(),
            Action::Pace => {
                self.player.pace = match self.player.pace {
                    Pace::Story => Pace::Real,
                    Pace::Real => Pace::Story,
                };
            }
            Action::Start => self.go(self.opening),
            Action::End => self.forward(self.reel.len()),
            Action::FirstDifference => {
                self.go_to_difference(self.differences.first, "no event differs");
            }
            Action::DecisiveDifference => {
                let missing = "no verdict differs between the variants";
                self.go_to_difference(self.differences.decisive, missing);
            }
            _ => {}
        }
    }

    fn play_pause(&mut self) {
        if self.at_end() {
            self.go(self.opening);
        }
        if self.quiz.due(self.player.position()).is_some() {
            self.arrive();
        } else {
            self.player.playing = !self.player.playing;
        }
    }

    /// The positions of all marks that may be shown, in order, of the world in front or of all.
    pub fn marks(&self) -> Vec<(usize, MarkKind, &str)> {
        let all = self.screen == Screen::Compare;
        let horizon = self.horizon();
        let mut marks: Vec<(usize, MarkKind, &str)> = Vec::new();
        for (world, run) in self.film.worlds.iter().enumerate() {
            if !all && world != self.world {
                continue;
            }
            // What happens in several worlds is one mark, where the last of them has come to it.
            let mut met = vec![false; marks.len()];
            for mark in &run.marks {
                let position = self.reel.after(world, mark.at);
                let label = mark.label.as_str();
                let twin = (0..met.len())
                    .find(|n| !met[*n] && marks[*n].1 == mark.kind && marks[*n].2 == label);
                match twin {
                    Some(n) => (marks[n].0, met[n]) = (marks[n].0.max(position), true),
                    None => marks.push((position, mark.kind, label)),
                }
            }
        }
        marks.retain(|(position, ..)| *position <= horizon);
        marks.sort_by_key(|(position, ..)| *position);
        marks
    }

    fn go_to_mark(&mut self, ahead: bool, wanted: impl Fn(MarkKind) -> bool) {
        let here = self.player.position();
        let mut places: Vec<usize> =
            self.marks().iter().filter(|(_, kind, _)| wanted(*kind)).map(|(at, ..)| *at).collect();
        places.dedup();
        let found = if ahead {
            places.iter().copied().find(|at| *at > here)
        } else {
            places.iter().rev().copied().find(|at| *at < here)
        };
        match found {
            Some(position) => self.forward(position),
            None if ahead && self.limit() < self.reel.len() => self.forward(self.limit()),
            None => {
                let side = if ahead { "after" } else { "before" };
                self.note = Some(format!("There is none {side} this moment."));
            }
        }
    }

    fn go_to_difference(&mut self, at: Option<(usize, EventSeq)>, missing: &str) {
        match at {
            Some((world, seq)) => self.forward(self.reel.after(world, seq)),
            None => self.note = Some(format!("There is no such event: {missing}.")),
        }
    }
}
