//! Predict, then reveal: where a lesson stops, what was answered, what is shown of the future meanwhile.

use crate::tui::model::{Ask, Film, Given, Question};
use crate::tui::reel::Reel;

/// What a film stops for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopKind {
    /// To ask question number so much.
    Ask(usize),
    /// To show what became of it.
    Reveal(usize),
}

/// A place where a lesson stops until the reader goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stop {
    position: usize,
    kind: StopKind,
}

/// The box that is open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asking {
    /// The question.
    pub question: usize,
    /// The worlds it is put in, in order.
    pub worlds: Vec<usize>,
    /// Which of them is being answered.
    pub turn: usize,
    /// Hints shown so far.
    pub hints: u8,
    /// What has been typed of a number.
    pub typed: String,
    /// What was answered in the worlds before.
    pub given: Vec<Given>,
}

impl Asking {
    /// The world being answered.
    pub fn world(&self) -> usize {
        self.worlds[self.turn]
    }
}

/// The questions of a lesson and what came of them.
#[derive(Clone, Debug, Default)]
pub struct Quiz {
    stops: Vec<Stop>,
    /// How many stops lie behind the reader.
    passed: usize,
    /// All answers so far.
    pub given: Vec<Given>,
}

impl Quiz {
    /// The stops of `film`, for `world` alone or for all worlds.
    pub fn new(film: &Film, reel: &Reel, world: Option<usize>) -> Self {
        let mut stops = Vec::new();
        for (number, question) in film.questions.iter().enumerate() {
            let asks = || asked_in(question, world);
            let at = |(world, ask): (usize, &Ask)| reel.after(world, ask.at);
            let known = |(world, ask): (usize, &Ask)| reel.after(world, ask.reveal);
            // Worlds that come to the question early wait there for the others.
            if let (Some(at), Some(known)) = (asks().map(at).max(), asks().map(known).max()) {
                stops.push(Stop { position: at, kind: StopKind::Ask(number) });
                stops.push(Stop { position: known.max(at), kind: StopKind::Reveal(number) });
            }
        }
        // A reveal comes before the next question at the same place.
        stops.sort_by_key(|stop| (stop.position, matches!(stop.kind, StopKind::Ask(_))));
        Self { stops, passed: 0, given: Vec::new() }
    }

    /// The last position that may be shown before the reader answers or goes on; `None` when nothing is pending.
    pub fn limit(&self) -> Option<usize> {
        self.stops.get(self.passed).map(|stop| stop.position)
    }

    /// What the film stops for at `position`, if it does.
    pub fn due(&self, position: usize) -> Option<StopKind> {
        let stop = self.stops.get(self.passed)?;
        (position >= stop.position).then_some(stop.kind)
    }

    /// The place up to which the future may be known: the first unanswered question.
    pub fn horizon(&self) -> Option<usize> {
        let ahead = self.stops.get(self.passed..)?;
        ahead.iter().find(|s| matches!(s.kind, StopKind::Ask(_))).map(|stop| stop.position)
    }

    /// The first question that is not answered yet.
    pub fn pending(&self) -> Option<usize> {
        self.stops.get(self.passed..)?.iter().find_map(|stop| match stop.kind {
            StopKind::Ask(question) => Some(question),
            StopKind::Reveal(_) => None,
        })
    }

    /// The present stop lies behind the reader.
    pub fn pass(&mut self) {
        self.passed = (self.passed + 1).min(self.stops.len());
    }

    /// The answers to `question`, one a world.
    pub fn answers(&self, question: usize) -> impl Iterator<Item = &Given> {
        self.given.iter().filter(move |given| given.question == question)
    }
}

/// The worlds a question is put in.
pub fn asked_in(question: &Question, world: Option<usize>) -> impl Iterator<Item = (usize, &Ask)> {
    let asks = question.asks.iter().enumerate();
    asks.filter(move |(n, _)| world.is_none_or(|world| world == *n))
        .filter_map(|(n, ask)| Some((n, ask.as_ref()?)))
}

/// Grades choice number `choice`, or the number that was typed.
pub fn grade(ask: &Ask, choice: Option<usize>, number: Option<u64>) -> (Option<usize>, bool) {
    let named = number.and_then(|n| ask.choices.iter().position(|c| c.number == Some(n)));
    let choice = choice.filter(|choice| *choice < ask.choices.len()).or(named);
    (choice, choice == Some(ask.right))
}
