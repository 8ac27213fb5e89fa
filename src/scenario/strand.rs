//! One line of steps of a running script, and what it waits for.

use crate::base::ids::NodeId;
use crate::base::time::{Duration, Time};
use crate::scenario::step::Condition;

/// What a strand waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    /// Nothing: it can do its next step.
    Ready,
    /// A moment.
    Sleep(Time),
    /// A condition, for so long.
    Until {
        /// The step that waits.
        op: u16,
        /// What for.
        condition: Condition,
        /// When it gives up.
        until: Time,
    },
    /// A moment, in the hope that a condition stays false.
    Never {
        /// The step that waits.
        op: u16,
        /// What is not to come true.
        condition: Condition,
        /// The moment.
        until: Time,
    },
    /// `flush()` of a producer to return.
    Flush(u16),
    /// `close()` of a client to return.
    Closed(NodeId),
    /// A call of a consumer to return.
    Call(u16),
    /// So many calls of a transactional producer to have returned.
    Transacted {
        /// Which producer.
        producer: u16,
        /// How many.
        calls: u32,
    },
    /// The thread of a client to be free for the call that is the strand's next step.
    Turn(NodeId),
    /// Everything to settle.
    Quiesce {
        /// The step that waits.
        op: u16,
        /// When it gives up.
        until: Time,
    },
    /// It has nothing left to do.
    Done,
}

impl Wait {
    /// The moment at which something happens to the wait by itself.
    pub(super) fn due(&self) -> Option<Time> {
        match self {
            Self::Sleep(at) => Some(*at),
            Self::Until { until, .. } | Self::Never { until, .. } | Self::Quiesce { until, .. } => {
                Some(*until)
            }
            _ => None,
        }
    }
}

/// How a strand repeats itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Repeat {
    /// How far apart its rounds begin.
    pub(super) every: Duration,
    /// When the round that is going on, or comes next, begins.
    pub(super) at: Time,
    /// Rounds left; `None`: no end.
    pub(super) left: Option<u64>,
    /// No more rounds once this is true.
    pub(super) until: Option<Condition>,
}

/// What a strand does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Work {
    /// Steps by number.
    Steps(Vec<u16>),
    /// One record a round for a `Send` with `every`.
    SendOne(u16),
    /// Starts a consumer.
    StartConsumer(u16),
}

/// One line of steps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Strand {
    /// What it does.
    pub(super) work: Work,
    /// The blocks it is in, innermost last: steps, and the place of the next one.
    pub(super) stack: Vec<(Vec<u16>, usize)>,
    /// What it waits for.
    pub(super) wait: Wait,
    /// How it repeats itself, if it does.
    pub(super) repeat: Option<Repeat>,
}

impl Strand {
    pub(super) fn main(steps: Vec<u16>) -> Self {
        Self {
            stack: vec![(steps.clone(), 0)],
            work: Work::Steps(steps),
            wait: Wait::Ready,
            repeat: None,
        }
    }

    pub(super) fn at(at: Time, steps: Vec<u16>) -> Self {
        Self { wait: Wait::Sleep(at), ..Self::main(steps) }
    }

    pub(super) fn start_consumer(consumer: u16, at: Time) -> Self {
        Self {
            work: Work::StartConsumer(consumer),
            stack: Vec::new(),
            wait: Wait::Sleep(at),
            repeat: None,
        }
    }

    pub(super) fn repeating(work: Work, repeat: Repeat) -> Self {
        Self { work, stack: Vec::new(), wait: Wait::Sleep(repeat.at), repeat: Some(repeat) }
    }

    /// True for a strand that would go on for ever: it does not keep a run from ending.
    pub(super) fn endless(&self) -> bool {
        self.repeat.as_ref().is_some_and(|repeat| repeat.left.is_none())
    }
}
