//! A process as the kernel sees it: is it alive, which timers has it set, what waits while it is frozen.

use crate::base::ids::{EventSeq, NodeId};
use crate::base::time::Time;
use crate::kafka::effects::Timer;
use crate::sim::network::Item;

/// Whether a process runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NodeState {
    /// It handles what comes.
    Running,
    /// `SIGSTOP`: what comes waits in its sockets, its timers run out unseen.
    Frozen,
    /// There is no process.
    Down,
}

/// One timer of a process. At most one queue item is pending for it unless it is moved forward: a later deadline
/// waits for the earlier item and is then pushed again, so that timers moved at each request do not fill the queue.
#[derive(Clone, Copy, Debug)]
struct Slot {
    timer: Timer,
    /// [`Time::NEVER`] when it is not set.
    deadline: Time,
    /// When its newest queue item is due; [`Time::NEVER`] when there is none.
    queued: Time,
    cause: EventSeq,
}

/// The kernel's side of a process.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) state: NodeState,
    /// Counts the processes this node has had; what was meant for an earlier one is lost.
    pub(super) incarnation: u32,
    /// What waits for a thaw, in order of arrival.
    pub(super) inbox: Vec<Item>,
    timers: Vec<Slot>,
}

/// What is to be done about a timer item that came up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// It ran out; it was set because of that event.
    Fire(EventSeq),
    /// It was moved: look again then.
    Again(Time),
    /// It was cancelled or replaced.
    Stale,
}

impl Node {
    pub(super) fn new() -> Self {
        Self { state: NodeState::Down, incarnation: 0, inbox: Vec::new(), timers: Vec::new() }
    }

    /// Another process, or none: timers and what waited are gone.
    pub(super) fn reset(&mut self, state: NodeState) {
        self.state = state;
        self.incarnation += 1;
        self.timers.clear();
    }

    /// Sets or moves a timer. Returns when a queue item must be pushed for it.
    pub(super) fn set_timer(&mut self, timer: Timer, at: Time, cause: EventSeq) -> Option<Time> {
        let slot = if let Some(slot) = self.timers.iter_mut().find(|s| s.timer == timer) {
            slot
        } else {
            self.timers.push(Slot { timer, deadline: at, queued: Time::NEVER, cause });
            self.timers.last_mut().expect("just pushed")
        };
        slot.deadline = at;
        slot.cause = cause;
        if at < slot.queued {
            slot.queued = at;
            return Some(at);
        }
        None
    }

    /// Forgets a timer.
    pub(super) fn cancel_timer(&mut self, timer: Timer) {
        if let Some(slot) = self.timers.iter_mut().find(|s| s.timer == timer) {
            slot.deadline = Time::NEVER;
        }
    }

    /// A queue item of `timer`, due at `due`, came up at `now`.
    pub(super) fn timer_due(&mut self, timer: Timer, due: Time, now: Time) -> Due {
        let Some(slot) = self.timers.iter_mut().find(|s| s.timer == timer) else {
            return Due::Stale;
        };
        if slot.queued != due {
            return Due::Stale;
        }
        slot.queued = Time::NEVER;
        if slot.deadline == Time::NEVER {
            Due::Stale
        } else if slot.deadline <= now {
            slot.deadline = Time::NEVER;
            Due::Fire(slot.cause)
        } else {
            slot.queued = slot.deadline;
            Due::Again(slot.deadline)
        }
    }

    /// The timers that are set, with their deadlines.
    pub(super) fn timers(&self) -> impl Iterator<Item = (Timer, Time)> + '_ {
        self.timers.iter().filter(|s| s.deadline != Time::NEVER).map(|s| (s.timer, s.deadline))
    }
}

/// Where each node stands in a table of all nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) controllers: u8,
    pub(super) brokers: u8,
    pub(super) producers: u16,
    pub(super) consumers: u16,
}

impl Layout {
    pub(super) fn len(self) -> usize {
        usize::from(self.controllers)
            + usize::from(self.brokers)
            + usize::from(self.producers)
            + usize::from(self.consumers)
    }

    /// The node's place.
    ///
    /// # Panics
    /// For the script, which is no process.
    pub(super) fn index(self, node: NodeId) -> usize {
        let brokers = usize::from(self.controllers);
        let producers = brokers + usize::from(self.brokers);
        match node {
            NodeId::Controller(n) => usize::from(n) - 1,
            NodeId::Broker(id) => brokers + id.index() - 1,
            NodeId::Producer(n) => producers + usize::from(n),
            NodeId::Consumer(n) => producers + usize::from(self.producers) + usize::from(n),
            NodeId::Script => unreachable!("the script is no process"),
        }
    }

    pub(super) fn nodes(self) -> impl Iterator<Item = NodeId> {
        let controllers = (1..=self.controllers).map(NodeId::Controller);
        let brokers = (1..=self.brokers).map(|n| NodeId::Broker(crate::base::ids::BrokerId(n)));
        let producers = (0..self.producers).map(NodeId::Producer);
        let consumers = (0..self.consumers).map(NodeId::Consumer);
        controllers.chain(brokers).chain(producers).chain(consumers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::effects::TimerKind;

    const TIMER: Timer = Timer { kind: TimerKind::Sender, number: 0 };

    #[test]
    fn a_timer_moved_back_waits_for_its_first_item() {
        let mut node = Node::new();
        assert_eq!(node.set_timer(TIMER, Time(10), EventSeq(1)), Some(Time(10)));
        assert_eq!(node.set_timer(TIMER, Time(30), EventSeq(2)), None);
        assert_eq!(node.timer_due(TIMER, Time(10), Time(10)), Due::Again(Time(30)));
        assert_eq!(node.timer_due(TIMER, Time(30), Time(30)), Due::Fire(EventSeq(2)));
    }

    #[test]
    fn a_timer_moved_forward_fires_once_at_the_new_time() {
        let mut node = Node::new();
        node.set_timer(TIMER, Time(30), EventSeq(1));
        assert_eq!(node.set_timer(TIMER, Time(10), EventSeq(2)), Some(Time(10)));
        assert_eq!(node.timer_due(TIMER, Time(10), Time(10)), Due::Fire(EventSeq(2)));
        assert_eq!(node.timer_due(TIMER, Time(30), Time(30)), Due::Stale);
    }

    #[test]
    fn a_cancelled_timer_never_fires_and_may_be_set_again() {
        let mut node = Node::new();
        node.set_timer(TIMER, Time(10), EventSeq(1));
        node.cancel_timer(TIMER);
        assert_eq!(node.set_timer(TIMER, Time(20), EventSeq(2)), None);
        assert_eq!(node.timer_due(TIMER, Time(10), Time(10)), Due::Again(Time(20)));
    }
}
