//! Answering a question: hints, digits typed, and what a given answer sets in motion.

use crate::tui::app::{App, Overlay};
use crate::tui::keymap::Key;
use crate::tui::model::Given;
use crate::tui::quiz;

impl App {
    /// Shows the next hint, if there is one.
    pub(super) fn hint(&mut self) {
        if let Some(Overlay::Ask(asking)) = &mut self.overlay {
            let hints = self.film.questions[asking.question].hints.len();
            asking.hints = (asking.hints + 1).min(hints.min(2) as u8);
        }
    }

    /// Takes a digit or Enter as an answer. True when the key was one.
    pub(super) fn type_answer(&mut self, key: Key) -> bool {
        let Some(Overlay::Ask(asking)) = &mut self.overlay else { return false };
        let question = &self.film.questions[asking.question];
        let Some(ask) = question.asks[asking.world()].as_ref() else { return false };
        let numbers = ask.asks_a_number();
        match key {
            Key::Char(c @ '0'..='9') => {
                let digit = c as usize - '0' as usize;
                let picks = (1..=ask.choices.len()).contains(&digit) && asking.typed.is_empty();
                if picks && !numbers {
                    self.answer(Some(digit - 1), None);
                } else if asking.typed.len() < 9 {
                    asking.typed.push(c);
                }
            }
            Key::Backspace => {
                asking.typed.pop();
            }
            Key::Enter if !asking.typed.is_empty() => {
                let number = asking.typed.parse().ok();
                let few = number.filter(|n| (1..=ask.choices.len() as u64).contains(n));
                let named = ask.choices.iter().any(|choice| choice.number == number);
                match few {
                    // With no choice of that number, a small one means the place in the list.
                    Some(n) if !named => self.answer(Some(n as usize - 1), None),
                    _ => self.answer(None, number),
                }
            }
            Key::Enter => {}
            _ => return false,
        }
        true
    }

    /// Records an answer in the world that is asked; the last one closes the box and lets the film run on.
    pub(super) fn answer(&mut self, choice: Option<usize>, number: Option<u64>) {
        let Some(Overlay::Ask(asking)) = &mut self.overlay else { return };
        let world = asking.world();
        let Some(ask) = self.film.questions[asking.question].asks[world].as_ref() else { return };
        let (choice, right) = quiz::grade(ask, choice, number);
        let (question, hints) = (asking.question, asking.hints);
        asking.given.push(Given { question, world, choice, number, hints, right });
        asking.typed.clear();
        asking.turn += 1;
        if asking.turn == asking.worlds.len() {
            let given = std::mem::take(&mut asking.given);
            self.quiz.given.extend(given);
            self.overlay = None;
            self.quiz.pass();
            // Worlds that waited go on from where the first of them was asked.
            let asks = quiz::asked_in(&self.film.questions[question], None);
            let first = asks.map(|(world, ask)| self.reel.after(world, ask.at)).min();
            self.go(first.unwrap_or(0).min(self.player.position()));
            self.arrive();
            self.player.playing = self.overlay.is_none();
        }
    }
}
