//! What a judge says, and what it points at.

use crate::base::ids::EventSeq;

/// The most events a violation points at.
pub const MAX_WITNESSES: usize = 4;

/// How a guarantee was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The events that show it, at most [`MAX_WITNESSES`], oldest first. The last one completed it.
    pub witnesses: Vec<EventSeq>,
    /// One sentence.
    pub text: String,
}

/// What is to be said of one guarantee.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It was put to the test and held.
    Holds,
    /// It was broken.
    Broken(Violation),
    /// Nothing in the run exercised it.
    Vacuous,
}

impl Verdict {
    /// `holds`, `broken`, `vacuous`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Broken(_) => "broken",
            Self::Vacuous => "vacuous",
        }
    }

    /// A broken verdict. Unknown events are left out, the rest sorted and cut to [`MAX_WITNESSES`], the last kept.
    pub fn broken(witnesses: impl IntoIterator<Item = EventSeq>, text: String) -> Self {
        let known = witnesses.into_iter().filter(|seq| *seq != EventSeq::NONE);
        let mut witnesses: Vec<EventSeq> = known.collect();
        witnesses.sort_unstable();
        witnesses.dedup();
        if witnesses.len() > MAX_WITNESSES {
            let last = witnesses[witnesses.len() - 1];
            witnesses.truncate(MAX_WITNESSES - 1);
            witnesses.push(last);
        }
        Self::Broken(Violation { witnesses, text })
    }

    /// The violation of a broken verdict.
    pub fn violation(&self) -> Option<&Violation> {
        match self {
            Self::Broken(violation) => Some(violation),
            _ => None,
        }
    }
}

/// What a checker of an invariant remembers: whether anything exercised it, and the first violation.
#[derive(Clone, Default, Debug)]
pub(super) struct Finding {
    exercised: bool,
    first: Option<Violation>,
}

impl Finding {
    /// Something put the guarantee to the test.
    pub(super) fn exercise(&mut self) {
        self.exercised = true;
    }

    /// Puts it to the test: `holds` or else the sentence is made. Only the first violation is kept.
    pub(super) fn require(
        &mut self,
        holds: bool,
        witnesses: &[EventSeq],
        text: impl FnOnce() -> String,
    ) {
        self.exercised = true;
        if !holds && self.first.is_none() {
            let broken = Verdict::broken(witnesses.iter().copied(), text());
            self.first = broken.violation().cloned();
        }
    }

    /// The verdict so far.
    pub(super) fn verdict(&self) -> Verdict {
        match &self.first {
            Some(violation) => Verdict::Broken(violation.clone()),
            None if self.exercised => Verdict::Holds,
            None => Verdict::Vacuous,
        }
    }
}
