//! Which messages a script sends, known before it runs: every `Send` has a block of ids, the same in all variants.
//!
//! Ids follow the order of the file. Steps that a variant can replace keep one block, as large as the largest of
//! their versions. What a `Send` without a number of its own sends (`until` without `count`) comes after all blocks.

use std::collections::BTreeMap;

use crate::scenario::schema::{Override, Scenario};
use crate::scenario::step::{Send, Step};

/// The ids that a script declares.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Workload {
    /// How many ids the blocks take.
    pub declared: u64,
    /// Messages with names of their own.
    pub named: BTreeMap<String, u32>,
    /// True when some `Send` has no number of its own.
    pub open_ended: bool,
}

/// How many messages a `Send` declares; `None` where a condition ends it.
pub(super) fn declared(send: &Send) -> Option<u64> {
    match (send.count, send.ids.len() as u64) {
        (Some(count), _) => Some(count),
        (None, 0) if send.until.is_some() => None,
        (None, 0) => Some(1),
        (None, ids) => Some(ids),
    }
}

impl Workload {
    /// Counts the messages of `scenario`. `None` when there are more than `limit`.
    pub fn of(scenario: &Scenario, limit: u64) -> Option<Self> {
        let mut workload = Self::default();
        let next = workload.walk(scenario, &scenario.script, 0, 1, limit)?;
        workload.declared = next;
        Some(workload)
    }

    /// The id after the last one of `steps`, whose first one is `next` and which run `times` times.
    fn walk(
        &mut self,
        scenario: &Scenario,
        steps: &[Step],
        next: u64,
        times: u64,
        limit: u64,
    ) -> Option<u64> {
        let mut next = next;
        for step in steps {
            match step {
                Step::Send(send) => next = self.send(send, next, times, limit)?,
                Step::At(_, steps) => next = self.walk(scenario, steps, next, times, limit)?,
                Step::Every(every) => {
                    self.open_ended |= every.count.is_none() && sends(&every.steps);
                    let times = times.checked_mul(every.count.unwrap_or(0))?;
                    next = self.walk(scenario, &every.steps, next, times, limit)?;
                }
                Step::Named(name, steps) => {
                    let mut end = self.walk(scenario, steps, next, times, limit)?;
                    for steps in replacements(scenario, name) {
                        end = end.max(self.walk(scenario, steps, next, times, limit)?);
                    }
                    next = end;
                }
                _ => {}
            }
        }
        Some(next)
    }

    fn send(&mut self, send: &Send, next: u64, times: u64, limit: u64) -> Option<u64> {
        let mut next = next;
        if !send.ids.is_empty() {
            for id in &send.ids {
                // `m2` is an earlier message unless that number went to one with a name of its own.
                let unnamed = |n: u64| n < next && !self.named.values().any(|m| u64::from(*m) == n);
                if !self.named.contains_key(id) && !number(id).is_some_and(unnamed) {
                    self.named.insert(id.clone(), next as u32);
                    next = next.checked_add(1).filter(|n| *n <= limit)?;
                }
            }
            return Some(next);
        }
        match declared(send) {
            Some(count) => next = next.checked_add(count.checked_mul(times)?)?,
            None => self.open_ended = true,
        }
        Some(next).filter(|n| *n <= limit)
    }

    /// The number of the message called `id`, if the script can send it.
    pub fn find(&self, id: &str) -> Option<u32> {
        if let Some(number) = self.named.get(id) {
            return Some(*number);
        }
        let n = number(id).filter(|n| *n < self.declared || self.open_ended)?;
        (!self.named.values().any(|named| u64::from(*named) == n)).then_some(n as u32)
    }
}

/// `7` of `m7`.
fn number(id: &str) -> Option<u64> {
    id.strip_prefix('m')?.parse().ok()
}

fn sends(steps: &[Step]) -> bool {
    steps.iter().any(|step| match step {
        Step::Send(_) => true,
        Step::At(_, steps) | Step::Named(_, steps) => sends(steps),
        Step::Every(every) => sends(&every.steps),
        _ => false,
    })
}

/// The steps that variants put in place of `Named(name, ..)`.
pub(super) fn replacements<'a>(scenario: &'a Scenario, name: &str) -> Vec<&'a Vec<Step>> {
    let key = format!("script.{name}");
    let overrides = scenario.variants.iter().filter_map(|(_, overrides)| overrides.get(&key));
    overrides
        .filter_map(|value| match value {
            Override::Steps(steps) => Some(steps),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Limits, load};

    #[test]
    fn a_name_like_m2_is_free_when_its_number_went_to_another_name() {
        let text = r#"(title: {"en": "t"}, topics: {"t": ()}, producers: {"p": ()}, script: [
            Send(from: "p", to: "t", count: 2), Send(from: "p", to: "t", ids: ["z0"]),
            Send(from: "p", to: "t", ids: ["m2"]), Send(from: "p", to: "t", ids: ["m0", "m2"])])"#;
        let scenario = load("test", text.as_bytes(), &Limits::default()).unwrap();
        let workload = Workload::of(&scenario, 100).unwrap();
        let found = ["m0", "z0", "m2", "m3"].map(|id| workload.find(id));
        assert_eq!(found, [Some(0), Some(2), Some(3), None], "{workload:?}");
    }
}
