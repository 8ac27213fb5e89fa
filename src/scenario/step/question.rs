//! What a lesson can ask.

use serde::{Deserialize, Serialize};

use crate::scenario::step::Condition;
use crate::scenario::value::{Texts, TopicPartition};

/// A question of a lesson.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// What is asked.
    pub text: Texts,
    /// What kind of answer; computed from the run.
    pub answer: Answer,
    /// How far off a number may be.
    #[serde(default)]
    pub within: u32,
    /// Hints, from vague to plain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<Texts>,
    /// Beliefs behind wrong answers, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beliefs: Vec<Belief>,
}

/// Why somebody would give a wrong answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Belief {
    /// The wrong answer: a number, a name.
    pub says: String,
    /// What it rests on.
    pub text: Texts,
}

/// What kind of answer a question has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Which messages can still be read?
    Survivors,
    /// How many acknowledged messages are lost?
    Lost,
    /// How many messages are in the log more than once?
    Duplicated,
    /// How many messages are processed more than once?
    Repeated,
    /// How many messages are committed and never processed?
    Skipped,
    /// How many messages are never processed?
    Unprocessed,
    /// How many members of a group own nothing?
    Idle(String),
    /// Which broker leads?
    Leader(String, u32),
    /// Who owns this partition in this group?
    Owner(String, TopicPartition),
    /// Where will this group read on?
    Offset(String, TopicPartition),
    /// What was observed under this name?
    Observed(String),
    /// Which exception does the application get for this message?
    Error(String),
    /// In which order are the messages of a partition stored?
    Order(TopicPartition),
    /// How many seconds until this is true?
    Seconds(Condition),
}
