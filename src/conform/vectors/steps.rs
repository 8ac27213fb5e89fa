//! What the vectors of all assignors share: members in Java's order, and results compared member by member.

use std::collections::BTreeMap;

use super::expect;
use crate::conform::{Difference, Outcome};

/// Partitions by member, as words: `t0-3`.
pub(super) type Results = BTreeMap<String, Vec<String>>;

/// A step of a case, for messages: `sticky-7, step 2 (join c4)`.
pub(super) struct Place<'a> {
    pub(super) case: &'a str,
    pub(super) step: usize,
    pub(super) event: &'a str,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { case, step, event } = self;
        write!(f, "{case}, step {step} ({event})")
    }
}

impl Place<'_> {
    /// An outcome for a step that cannot be read.
    pub(super) fn unreadable(&self, what: &str) -> Outcome {
        Outcome::Unreadable(format!("{self}: {what}"))
    }
}

/// The members in the order `order` gives them by id.
pub(super) fn in_order<'a, T>(
    place: &Place<'_>,
    members: &'a [T],
    id: impl Fn(&T) -> &str,
    order: &[String],
) -> Result<Vec<&'a T>, Outcome> {
    let find = |wanted: &String| members.iter().find(|member| id(member) == wanted);
    let found: Option<Vec<_>> = order.iter().map(find).collect();
    let mut ids: Vec<&String> = order.iter().collect();
    ids.sort_unstable();
    ids.dedup();
    found
        .filter(|found| found.len() == members.len() && ids.len() == members.len())
        .ok_or_else(|| place.unreadable("java_member_order is not an order of its members"))
}

/// Topic and number of a partition's word. The number follows the last hyphen.
pub(super) fn partition<'a>(place: &Place<'_>, word: &'a str) -> Result<(&'a str, u32), Outcome> {
    let parts = word.rsplit_once('-').and_then(|(topic, n)| Some((topic, n.parse().ok()?)));
    parts.ok_or_else(|| place.unreadable(&format!("{word:?} is no partition")))
}

/// Compares the partitions of every member. Where Kafka's own result depends on the order of a hash map, another
/// result will do that is as balanced.
pub(super) fn compare_results(
    place: &Place<'_>,
    expected: &Results,
    got: &Results,
    order_dependent: bool,
    compared: &mut u64,
) -> Result<(), Outcome> {
    let members = |results: &Results| results.keys().cloned().collect::<Vec<_>>().join(" ");
    expect(|| format!("{place}: members"), &members(expected), &members(got), compared)?;
    if order_dependent && expected != got {
        let sizes = |results: &Results| {
            let mut sizes: Vec<usize> = results.values().map(Vec::len).collect();
            sizes.sort_unstable();
            sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let path = || format!("{place}: numbers of partitions");
        return expect(path, &sizes(expected), &sizes(got), compared);
    }
    for (member, expected) in expected {
        let got = got.get(member).map_or(&[][..], Vec::as_slice);
        *compared += 1;
        if expected != got {
            let path = format!("{place}: {member}");
            let (expected, got) = (expected.join(" "), got.join(" "));
            return Err(Outcome::Differs(Difference { path, expected, got }));
        }
    }
    Ok(())
}
