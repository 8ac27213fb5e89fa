//! The coordinator's `RangeAssignor`: topic by topic one run of partitions a member, members sorted by member id
//! (static members first, by their instance id). The previous target does not matter.

use std::collections::BTreeMap;

use super::{Member, Partitions, Target, Topics, UnknownTopic, partitions_of};
use crate::kafka::group::assignor::member_order;

/// The next target assignment of `members`, given in the order of the coordinator's map; it matters only between
/// members of one instance id.
///
/// # Errors
/// A subscription to a topic that does not exist.
pub fn assign<'a>(members: &[Member<'a>], topics: &Topics) -> Result<Target<'a>, UnknownTopic> {
    let mut sorted: Vec<&Member<'a>> = members.iter().collect();
    sorted.sort_by(|a, b| member_order((a.instance, a.id), (b.instance, b.id)));
    let mut ranges: BTreeMap<_, Ranges> = BTreeMap::new();
    for id in sorted.iter().flat_map(|member| &member.topics) {
        let partitions = partitions_of(topics, *id)?;
        let new = Ranges { partitions, members: 0, next: 0, given: 0 };
        ranges.entry(*id).or_insert(new).members += 1;
    }
    let mut target = Target::new();
    for member in sorted {
        let mut own = Partitions::new();
        for id in &member.topics {
            let range = ranges.get_mut(id).map_or(0..0, Ranges::cut);
            if !range.is_empty() {
                own.insert(*id, range.collect());
            }
        }
        target.insert(member.id, own);
    }
    Ok(target)
}

/// `RangeAssignor.TopicMetadata`.
struct Ranges {
    partitions: u32,
    members: u32,
    next: u32,
    /// How many members got their run.
    given: u32,
}

impl Ranges {
    /// The first members get one partition more when it does not come out even.
    fn cut(&mut self) -> std::ops::Range<u32> {
        let more = u32::from(self.given < self.partitions % self.members);
        let start = self.next;
        self.next = start + self.partitions / self.members + more;
        self.given += 1;
        start..self.next
    }
}
