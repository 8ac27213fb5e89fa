//! `CooperativeStickyAssignor`: the sticky assignment, but a partition that goes from one member to another (KIP-429)
//! is left to nobody until its owner has given it up. The members' next rebalance hands it out.

use crate::kafka::group::assignor::sticky::{Transfer, assign_and_note};
use crate::kafka::group::assignor::{Assignment, Member, Partitions, Topics, java_order};

/// Assigns the partitions of `topics` to `members`, given in the order in which the leader's map hands them out.
pub fn assign<'a>(members: &[Member<'a>], topics: &Topics<'a>) -> Assignment<'a> {
    let (mut assignment, transfers) = assign_and_note(members, topics);
    let transfers = transfers.unwrap_or_else(|| transfers_of(members, &assignment));
    for (partition, to) in transfers {
        if let Some(own) = assignment.get_mut(to)
            && let Some(at) = own.iter().position(|other| *other == partition)
        {
            own.remove(at);
        }
    }
    assignment
}

/// What a member owns in the order in which its subscription names it (`ConsumerProtocol.serializeSubscription`).
pub fn subscription<'a>(owned: &[(&'a str, u32)]) -> Partitions<'a> {
    let mut owned = owned.to_vec();
    owned.sort_by(|a, b| java_order(a.0, b.0).then(a.1.cmp(&b.1)));
    owned
}

/// `computePartitionsTransferringOwnership`: what one member has to give up and another one gets.
fn transfers_of<'a>(members: &[Member<'a>], assignment: &Assignment<'a>) -> Vec<Transfer<'a>> {
    let own = |member: &Member<'a>| assignment.get(member.id).cloned().unwrap_or_default();
    let mut revoked: Partitions<'a> = Vec::new();
    let mut added: Vec<Transfer<'a>> = Vec::new();
    for member in members {
        let assigned = own(member);
        revoked.extend(member.owned.iter().filter(|tp| !assigned.contains(tp)));
        let new = assigned.into_iter().filter(|tp| !member.owned.contains(tp));
        added.extend(new.map(|tp| (tp, member.id)));
    }
    added.retain(|(tp, _)| revoked.contains(tp));
    added
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::group::assignor::Topic;

    fn member<'a>(id: &'a str, topics: &[&'a str], owned: &[u32], generation: i32) -> Member<'a> {
        let owned = owned.iter().map(|n| (topics[0], *n)).collect();
        let (owned_generation, topics) = (generation, topics.to_vec());
        Member { id, topics, owned, owned_generation, generation, ..Member::default() }
    }

    /// The numbers of the partitions of `t`.
    fn numbers(assignment: &Assignment<'_>, id: &str) -> Vec<u32> {
        assignment[id].iter().filter(|(topic, _)| *topic == "t").map(|(_, n)| *n).collect()
    }

    #[test]
    fn a_partition_in_transfer_is_left_out_and_handed_out_in_the_next_rebalance() {
        let topics = Topics::from([("t", Topic::of(4))]);
        let first =
            assign(&[member("a", &["t"], &[0, 1, 2, 3], 1), member("b", &["t"], &[], -1)], &topics);
        assert_eq!((numbers(&first, "a"), numbers(&first, "b")), (vec![0, 1], vec![]));
        let second =
            assign(&[member("a", &["t"], &[0, 1], 2), member("b", &["t"], &[], 2)], &topics);
        assert_eq!((numbers(&second, "a"), numbers(&second, "b")), (vec![0, 1], vec![2, 3]));
    }

    #[test]
    fn also_when_members_subscribe_to_different_topics() {
        let topics = Topics::from([("t", Topic::of(4)), ("u", Topic::of(1))]);
        let members = [member("a", &["t"], &[0, 1, 2, 3], 1), member("b", &["t", "u"], &[], -1)];
        let first = assign(&members, &topics);
        assert_eq!(first["b"], [("u", 0)], "nothing that a still has");
        assert!(first["a"].len() < 4);
    }

    #[test]
    fn what_two_members_claim_is_given_to_neither_at_once() {
        let topics = Topics::from([("t", Topic::of(2))]);
        let members = [member("a", &["t"], &[0], 5), member("b", &["t"], &[0, 1], 5)];
        let assignment = assign(&members, &topics);
        let all: Vec<u32> = [numbers(&assignment, "a"), numbers(&assignment, "b")].concat();
        assert_eq!(all, [1]);
    }
}
