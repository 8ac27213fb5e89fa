//! What applications were told of records that failed.
//!
//! Kafka's `send()` puts a record into the accumulator before it asks whether there is a transaction for it. Where that
//! throws, the application is told of the record twice: by `send()`, and when its batch is aborted (of an
//! `ApiException` by the callback both times). Recordings have one of the two, whichever the recorder kept.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::base::ids::MessageId;
use crate::base::names::Names;

/// One call of `send()` that failed.
struct Failure {
    message: MessageId,
    exception: &'static str,
    /// What it was told the second time.
    again: Option<&'static str>,
}

/// In the order in which they were told.
#[derive(Default)]
pub(super) struct Failures {
    list: Vec<Failure>,
    /// Records that `send()` left in the accumulator when it failed: places in `list`.
    left_behind: BTreeMap<MessageId, usize>,
}

impl Failures {
    /// The application sends the message, perhaps once more.
    pub(super) fn sent(&mut self, message: MessageId) {
        self.left_behind.remove(&message);
    }

    pub(super) fn send_failed(&mut self, message: MessageId, exception: &'static str) {
        self.left_behind.insert(message, self.list.len());
        self.list.push(Failure { message, exception, again: None });
    }

    pub(super) fn batch_failed(&mut self, message: MessageId, exception: &'static str) {
        match self.left_behind.remove(&message) {
            Some(place) => self.list[place].again = Some(exception),
            None => self.list.push(Failure { message, exception, again: None }),
        }
    }

    /// One exception for each failure: the second where there are two and `expected`, by id, has that.
    pub(super) fn as_expected(
        &self,
        names: &Names,
        expected: &Value,
    ) -> impl Iterator<Item = (String, Value)> {
        self.list.iter().map(move |failure| {
            let id = names.message(failure.message);
            let wanted = |exception: &&str| match &expected[&id] {
                Value::Array(list) => list.contains(&json!(exception)),
                one => *one == json!(exception),
            };
            let exception = failure.again.filter(wanted).unwrap_or(failure.exception);
            (id, json!(exception))
        })
    }

    /// Which exceptions there were.
    pub(super) fn classes(&self) -> BTreeSet<&'static str> {
        self.list.iter().map(|failure| failure.exception).collect()
    }
}
