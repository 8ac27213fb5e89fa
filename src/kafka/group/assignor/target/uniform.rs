//! The coordinator's `UniformAssignor`: partitions are dealt out evenly and members keep what they have, as far as that
//! allows. [`super::homogeneous`] where all members subscribe to the same topics, [`super::heterogeneous`] where not.

use super::{Member, SubscriptionType, Target, Topics, UnknownTopic, heterogeneous, homogeneous};

/// The next target assignment of `members`, given in the order in which the coordinator's map hands them out: who gets
/// a partition more, or gives one up, depends on it.
///
/// # Errors
/// A subscription to a topic that does not exist.
pub fn assign<'a>(
    members: &[Member<'a>],
    subscriptions: SubscriptionType,
    topics: &Topics,
) -> Result<Target<'a>, UnknownTopic> {
    match subscriptions {
        SubscriptionType::Homogeneous => homogeneous::assign(members, topics),
        SubscriptionType::Heterogeneous => heterogeneous::assign(members, topics),
    }
}
