//! The workers behind a hand-off: an unbounded queue of records, each taken by the first worker that is free.

use std::collections::VecDeque;

use crate::base::fingerprint::Fingerprint;
use crate::base::time::{Duration, Time};
use crate::kafka::consumer::PolledSlice;
use crate::kafka::effects::{Effects, TimerKind};

/// The pool and its queue.
#[derive(Clone, Default, Debug)]
pub(super) struct Workers {
    queue: VecDeque<(PolledSlice, Duration)>,
    /// What each worker works on, and until when.
    busy: Vec<Option<(PolledSlice, Time)>>,
}

impl Workers {
    /// Puts records into the queue of so many workers.
    pub(super) fn hand_off(
        &mut self,
        now: Time,
        slices: &[PolledSlice],
        (workers, work): (u16, Duration),
        fx: &mut Effects,
    ) {
        let workers = usize::from(workers.max(1));
        if self.busy.len() < workers {
            self.busy.resize(workers, None);
        }
        self.queue.extend(slices.iter().map(|slice| (*slice, work)));
        for worker in 0..self.busy.len() {
            self.take_next(now, worker, fx);
        }
    }

    /// The time of worker `number` (from 1) is over: the record it has finished. It takes the next one.
    pub(super) fn finished(
        &mut self,
        now: Time,
        number: u16,
        fx: &mut Effects,
    ) -> Option<PolledSlice> {
        let worker = usize::from(number) - 1;
        let (record, _) = self.busy.get_mut(worker)?.take_if(|(_, until)| *until <= now)?;
        self.take_next(now, worker, fx);
        Some(record)
    }

    /// True while a record waits or is worked on.
    pub(super) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || self.busy.iter().any(Option::is_some)
    }

    fn take_next(&mut self, now: Time, worker: usize, fx: &mut Effects) {
        if self.busy[worker].is_some() {
            return;
        }
        let Some((slice, work)) = self.queue.front_mut() else { return };
        let record = PolledSlice { count: 1, ..*slice };
        let until = now + *work;
        slice.first += 1;
        slice.count -= 1;
        if slice.count == 0 {
            self.queue.pop_front();
        }
        self.busy[worker] = Some((record, until));
        fx.set_timer(TimerKind::Work, worker as u16 + 1, until);
    }

    /// Adds this pool to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        for (slice, work) in &self.queue {
            into.add((slice, work));
        }
        for (record, until) in self.busy.iter().flatten() {
            into.add(record);
            into.add_time(now, *until);
        }
    }
}
