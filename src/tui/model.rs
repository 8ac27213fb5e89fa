//! What the terminal shows, handed over by the command line: recorded runs, their marks and questions, and the list
//! of lessons. Nothing here knows how a run is made; the same film can come from a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::batch::BatchTable;
use crate::base::ids::{EventSeq, MessageId};
use crate::base::names::Names;
use crate::base::shared_log::SharedLog;
use crate::base::time::Time;
use crate::event::Event;
use crate::tui::theme::Theme;
use crate::view::narrate::Facts;

/// A scenario's recorded runs, one a variant, under one clock.
#[derive(Clone, Debug)]
pub struct Film {
    /// The scenario's id: `acks-ladder`.
    pub scenario: String,
    /// What it is about, in a sentence.
    pub title: String,
    /// The seed of every run.
    pub seed: u64,
    /// The runs; at least one. All start at the same moment of virtual time.
    pub worlds: Vec<World>,
    /// The questions of the lesson, in order.
    pub questions: Vec<Question>,
    /// What to remember, shown at the end of a lesson.
    pub takeaway: String,
    /// What the variants differ in, in a few words (`only acks differs`); empty with one world.
    pub difference: String,
}

/// One recorded run.
#[derive(Clone, Debug)]
pub struct World {
    /// The variant's name: `acks=1`.
    pub variant: String,
    /// What things are called.
    pub names: Arc<Names>,
    /// Everything that happened, in order; the place in the list is the event's [`EventSeq`].
    pub events: SharedLog<Event>,
    /// The batches the events speak of.
    pub batches: BatchTable,
    /// What the time line marks, in order of `at`.
    pub marks: Vec<Mark>,
    /// Facts of the configuration worth a place in the first row: `orders-0 RF 3 min ISR 2`.
    pub facts: String,
    /// The settings that sentences give as reasons.
    pub settings: Facts,
    /// Sentences of the scenario itself, which take the place of the automatic narration, in order of event.
    pub captions: Vec<(EventSeq, String)>,
    /// The scenario's expectations and what became of them.
    pub expectations: Vec<Expectation>,
    /// What the fates of lost, repeated, skipped and reordered messages hung on, by message.
    pub causes: BTreeMap<MessageId, Vec<Because>>,
    /// The runs in which one thing was changed to find that out.
    pub forks: Vec<Self>,
    /// Set when the run never began: Kafka refused the configuration, in its words.
    pub refused: Option<String>,
}

/// One thing that a bad fate hung on: it was tried without.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Because {
    /// What it was: `b2 and b3 were frozen at 1.000 s`.
    pub text: String,
    /// What was changed to try: `acks=all`, `without it`.
    pub change: String,
    /// The run of that try, by its place in [`World::forks`].
    pub fork: usize,
}

/// An expectation of the scenario, judged at the end of the run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expectation {
    /// In the scenario's words: `lost 3`.
    pub text: String,
    /// True when the run met it.
    pub met: bool,
}

/// A run that the reader wants to see: one of the film, with a producer killed at a moment of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kill {
    /// The world of the film.
    pub world: usize,
    /// The producer, by number.
    pub producer: u16,
    /// When it dies.
    pub at: Time,
}

/// A place on the time line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The event it stands at.
    pub at: EventSeq,
    /// What it marks.
    pub kind: MarkKind,
    /// A few words: `freeze b2 b3`.
    pub label: String,
}

/// What a mark means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MarkKind {
    /// Something was broken.
    Fault,
    /// Something was healed, or a leader was found.
    Heal,
    /// A guarantee broke here.
    Violation,
    /// A question is put here.
    Question,
    /// The reader's own mark.
    Bookmark,
}

/// A question of a lesson.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The moment, the actor and the measure, in one or two sentences.
    pub text: String,
    /// At most two: where to look, then which rule.
    pub hints: Vec<String>,
    /// The question in each world of the film; `None` where the run does not come to it.
    pub asks: Vec<Option<Ask>>,
}

/// One question in one world, with the answer the run gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Where the film stops.
    pub at: EventSeq,
    /// Where the answer is known.
    pub reveal: EventSeq,
    /// What can be answered, at most nine.
    pub choices: Vec<Choice>,
    /// Which of them is right.
    pub right: usize,
    /// What the run did: `The run lost 3: m4, m5, m6.`
    pub outcome: String,
    /// Why, in one sentence.
    pub because: String,
}

impl Ask {
    /// True when every choice is a bare number: then the number is typed, not its place in the list.
    pub fn asks_a_number(&self) -> bool {
        let bare = |choice: &Choice| choice.number.is_some_and(|n| choice.text == n.to_string());
        self.choices.iter().all(bare)
    }
}

/// One possible answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The answer.
    pub text: String,
    /// The number it stands for, if the question is about one; a typed number is compared with it.
    pub number: Option<u64>,
    /// Whose belief a wrong answer is, in a sentence; empty when nobody's.
    pub belief: String,
}

/// What a film is shown for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Freely.
    Play,
    /// Side by side.
    Compare,
    /// With questions.
    Learn,
}

/// What the reader may set on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The colours.
    pub theme: Theme,
    /// Symbols as ASCII.
    pub ascii: bool,
    /// Nothing moves by itself between two states.
    pub no_animation: bool,
    /// The mouse selects, scrolls and seeks.
    pub mouse: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { theme: Theme::Dark, ascii: false, no_animation: false, mouse: true }
    }
}

/// How the terminal was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The reader quit.
    Quit,
    /// Ctrl-C, or SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP, or the terminal is gone.
    HangUp,
}

impl End {
    /// The exit code a shell expects.
    pub const fn code(self) -> u8 {
        match self {
            Self::Quit => 0,
            Self::HangUp => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// How a film ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How the terminal was left.
    pub end: End,
    /// Each answer given, in order of question and world.
    pub answers: Vec<Given>,
}

/// An answer the reader gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Given {
    /// Number of the question.
    pub question: usize,
    /// Number of the world.
    pub world: usize,
    /// The choice; `None` when it was skipped, or a number that is none of the choices.
    pub choice: Option<usize>,
    /// The number that was typed, if one was.
    pub number: Option<u64>,
    /// How many hints were taken first.
    pub hints: u8,
    /// True when it was right.
    pub right: bool,
}

/// A lesson in the list of the home screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HomeEntry {
    /// The id: `acks-ladder`.
    pub id: String,
    /// 0 to 9.
    pub level: u8,
    /// The question the lesson answers.
    pub title: String,
    /// What it is made of: `3 brokers · 1 topic · 3 variants side by side · 2 questions`.
    pub facts: String,
    /// Number of variants.
    pub variants: usize,
}

/// What was chosen on the home screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HomeChoice {
    /// Show this scenario.
    Open {
        /// Its id.
        id: String,
        /// How.
        mode: Mode,
    },
    /// Leave.
    Leave(End),
}

/// The names of the levels, by number.
pub const LEVELS: [&str; 10] = [
    "The log",
    "Consumers and lag",
    "Delivery",
    "Replication",
    "Rebalancing",
    "Storage",
    "Transactions",
    "Patterns",
    "Other models",
    "Operations and proof",
];
