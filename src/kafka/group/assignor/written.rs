//! Assignments as tests write them: `a:t0-0,t0-1 b:t0-2`.

use crate::kafka::group::assignor::{Assignment, Member, Topic, Topics};

/// A member: id, `group.instance.id`, topics.
pub(super) type Written<'a> = (&'a str, Option<&'a str>, &'a [&'a str]);

/// What `assign` makes of members and topics is what is `expected`.
pub(super) fn check(
    assign: fn(&[Member<'static>], &Topics<'static>) -> Assignment<'static>,
    members: &[Written<'static>],
    topics: &[(&'static str, u32)],
    expected: &str,
) {
    let member = |(id, instance, topics): &Written<'static>| Member {
        id,
        instance: *instance,
        topics: topics.to_vec(),
        ..Member::default()
    };
    let members: Vec<_> = members.iter().map(member).collect();
    let topics = topics.iter().map(|(name, n)| (*name, Topic::of(*n))).collect();
    assert_eq!(words(&assign(&members, &topics)), expected);
}

pub(super) fn words(assignment: &Assignment<'_>) -> String {
    let words: Vec<String> = assignment
        .iter()
        .map(|(id, own)| {
            let own: Vec<String> = own.iter().map(|(t, p)| format!("{t}-{p}")).collect();
            format!("{id}:{}", own.join(","))
        })
        .collect();
    words.join(" ")
}
