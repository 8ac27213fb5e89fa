//! `RoundRobinAssignor`: all partitions of all topics in order, dealt out in turn to the members in order (static ones
//! first, by their instance id). Who does not subscribe to a partition's topic loses its turn.

use std::collections::BTreeSet;

use crate::kafka::group::assignor::{Assignment, Member, Topics, java_order, member_order};

/// Assigns the partitions of `topics` to `members`, given in the order in which the leader's map hands them out. It
/// matters only between members of one instance id. Racks do not matter at all.
pub fn assign<'a>(members: &[Member<'a>], topics: &Topics<'a>) -> Assignment<'a> {
    let mut result: Assignment<'a> = members.iter().map(|member| (member.id, Vec::new())).collect();
    let mut turns: Vec<&Member<'a>> = members.iter().collect();
    turns.sort_by(|a, b| member_order((a.instance, a.id), (b.instance, b.id)));
    let subscribed: BTreeSet<&str> =
        members.iter().flat_map(|m| m.topics.iter().copied()).collect();
    let mut subscribed: Vec<&str> = subscribed.into_iter().collect();
    subscribed.sort_by(|a, b| java_order(a, b));
    let mut turn = 0;
    for name in subscribed {
        let count = topics.get(name).map_or(0, |topic| topic.partitions);
        for partition in 0..count {
            // It ends: some member subscribes to the topic.
            while !turns[turn].topics.contains(&name) {
                turn = (turn + 1) % turns.len();
            }
            result.entry(turns[turn].id).or_default().push((name, partition));
            turn = (turn + 1) % turns.len();
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::group::assignor::written::{self, Written};

    fn check(members: &[Written<'static>], topics: &[(&'static str, u32)], expected: &str) {
        written::check(assign, members, topics, expected);
    }

    #[test]
    fn with_two_topics_of_three_partitions_the_fourth_consumer_has_work() {
        let both: &[&str] = &["t0", "t1"];
        check(
            &[("d", None, both), ("b", None, both), ("c", None, both), ("a", None, both)],
            &[("t0", 3), ("t1", 3)],
            "a:t0-0,t1-1 b:t0-1,t1-2 c:t0-2 d:t1-0",
        );
    }

    #[test]
    fn who_does_not_subscribe_loses_its_turn_and_subscriptions_may_be_uneven() {
        // The example in the documentation of Kafka's class.
        check(
            &[
                ("C0", None, &["t0"]),
                ("C1", None, &["t0", "t1"]),
                ("C2", None, &["t0", "t1", "t2"]),
            ],
            &[("t0", 1), ("t1", 2), ("t2", 3)],
            "C0:t0-0 C1:t1-0 C2:t1-1,t2-0,t2-1,t2-2",
        );
    }

    #[test]
    fn static_members_come_first_and_unknown_topics_are_passed_over() {
        check(
            &[("a", None, &["t0"]), ("z", Some("i1"), &["missing", "t0"])],
            &[("t0", 3)],
            "a:t0-1 z:t0-0,t0-2",
        );
    }
}
