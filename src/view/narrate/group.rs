//! What a group coordinator does.

use crate::base::config::GroupProtocol;
use crate::base::group_records::MemberState;
use crate::base::ids::{GroupId, MemberId, NodeId};
use crate::event::{Event, EventKind, GroupState, LeaveReason};
use crate::view::cluster::group::GroupView;
use crate::view::narrate::Scene;

pub(super) fn sentence(scene: &Scene<'_>, event: &Event) -> Option<String> {
    let group = |id: GroupId| scene.names().group(id);
    Some(match event.kind {
        EventKind::GroupChanged { .. } => classic_state(scene, event)?,
        EventKind::MemberJoined { group: id, member, leader } => {
            let (who, group) = (consumer(scene, member), group(id));
            if leader {
                format!("{who} is in {group} and its leader: it will compute the assignment.")
            } else {
                format!("{who} is in {group}.")
            }
        }
        EventKind::MemberLeft { group: id, member, reason } => left(scene, id, member, reason),
        EventKind::MemberAssigned { group: id, member, partition } => {
            let (who, name) = (consumer(scene, member), scene.partition(partition));
            match &scene.before.groups[id.index()] {
                view if view.protocol == GroupProtocol::Consumer => {
                    format!("{who} may have {name} of {}.", group(id))
                }
                GroupView { generation, .. } => {
                    format!("{} gives {name} to {who} in generation {generation}.", group(id))
                }
            }
        }
        EventKind::ConsumerGroupChanged { .. }
        | EventKind::RegexResolved { .. }
        | EventKind::TargetComputed { .. }
        | EventKind::MemberTarget { .. }
        | EventKind::MemberEpoch { .. }
        | EventKind::MemberReleased { .. } => consumer_protocol(scene, event)?,
        EventKind::OffsetCommitted { group: id, partition, offset } => {
            // No genitive: a group may be called "readers".
            format!(
                "{} has committed offset {offset} of {}.",
                group(id),
                scene.partition(partition)
            )
        }
        EventKind::OffsetRemoved { group: id, partition } => {
            format!(
                "{} has no committed offset of {} any more.",
                group(id),
                scene.partition(partition)
            )
        }
        EventKind::CoordinatorLoaded { group: id } => {
            format!("{} coordinates {} from now on.", scene.node(event.node), group(id))
        }
        _ => return None,
    })
}

/// The state of a group of the classic protocol.
fn classic_state(scene: &Scene<'_>, event: &Event) -> Option<String> {
    let EventKind::GroupChanged { group: id, state, generation } = event.kind else { return None };
    let group = scene.names().group(id);
    if was_of(scene, id, GroupProtocol::Consumer) {
        return Some(format!(
            "{group} is a group of the classic protocol again, in generation {generation}."
        ));
    }
    Some(match state {
        GroupState::PreparingRebalance => {
            format!("{group} rebalances: its members must join again.")
        }
        GroupState::CompletingRebalance => {
            format!("All members of {group} have joined generation {generation}.")
        }
        GroupState::Assigning | GroupState::Reconciling | GroupState::Stable => {
            format!("{group} is stable in generation {generation}.")
        }
        GroupState::Empty => format!("{group} has no members any more."),
        GroupState::Dead => format!("{group} is removed."),
    })
}

/// The group has members, and spoke `protocol` up to now.
fn was_of(scene: &Scene<'_>, id: GroupId, protocol: GroupProtocol) -> bool {
    let before = &scene.before.groups[id.index()];
    before.protocol == protocol && before.state != GroupState::Empty && !before.members.is_empty()
}

/// What happens in a group of the consumer protocol (KIP-848).
fn consumer_protocol(scene: &Scene<'_>, event: &Event) -> Option<String> {
    let group = |id: GroupId| scene.names().group(id);
    Some(match event.kind {
        EventKind::ConsumerGroupChanged { group: id, epoch, .. }
            if was_of(scene, id, GroupProtocol::Classic) =>
        {
            format!(
                "{} is a group of the consumer protocol from now on, in epoch {epoch}: its members stay.",
                group(id)
            )
        }
        EventKind::ConsumerGroupChanged { group: id, state, epoch } => match state {
            GroupState::Assigning => {
                format!("{} is in epoch {epoch}: who owns what is to be worked out.", group(id))
            }
            GroupState::Reconciling => {
                format!("Members of {} are on their way to epoch {epoch}.", group(id))
            }
            GroupState::Empty => format!("{} has no members any more.", group(id)),
            _ => format!("{} is {} in epoch {epoch}.", group(id), state.name().to_lowercase()),
        },
        EventKind::RegexResolved { group: id, regex, topics } => {
            let (broker, text) =
                (scene.node(event.node), &scene.names().regexes[regex.index()].text);
            let found = match topics {
                0 => "no topic".to_owned(),
                1 => "one topic".to_owned(),
                n => format!("{n} topics"),
            };
            format!("{broker} finds {found} for {text}, an expression of {}.", group(id))
        }
        EventKind::TargetComputed { group: id, epoch } => {
            let broker = scene.node(event.node);
            format!("{broker} works out who is to own what in epoch {epoch} of {}.", group(id))
        }
        EventKind::MemberTarget { group: id, member, partition } => {
            let (who, name) = (consumer(scene, member), scene.partition(partition));
            format!("{who} is to own {name} of {}.", group(id))
        }
        EventKind::MemberEpoch { group: id, member, epoch, state } => {
            let (who, group) = (consumer(scene, member), group(id));
            match state {
                _ if epoch == -2 => format!("{who} left {group} for a while and keeps its place."),
                MemberState::Stable => format!("{who} is in epoch {epoch} of {group}."),
                MemberState::UnrevokedPartitions => {
                    format!("{who} stays in epoch {epoch} of {group} until it gave partitions up.")
                }
                MemberState::UnreleasedPartitions => {
                    format!("{who} is in epoch {epoch} of {group} and waits for partitions.")
                }
            }
        }
        EventKind::MemberReleased { group: id, member, partition } => {
            let (who, name) = (consumer(scene, member), scene.partition(partition));
            format!("{who} has given {name} of {} up.", group(id))
        }
        _ => return None,
    })
}

fn consumer(scene: &Scene<'_>, member: MemberId) -> String {
    let found = scene.names().consumer_of(member);
    found.map_or_else(|| "a member".to_owned(), |node| scene.node(node))
}

fn left(scene: &Scene<'_>, id: GroupId, member: MemberId, reason: LeaveReason) -> String {
    let group = scene.names().group(id);
    let by_broker = scene.before.groups[id.index()].protocol == GroupProtocol::Consumer;
    let node = scene.names().consumer_of(member);
    let config = match node {
        Some(NodeId::Consumer(n)) => scene.facts.consumer(n),
        _ => None,
    };
    let who = consumer(scene, member);
    let for_time = |time: Option<crate::base::time::Duration>| {
        time.map_or_else(|| "too long".to_owned(), |time| time.to_string())
    };
    match reason {
        LeaveReason::Left => format!("{who} leaves {group}."),
        LeaveReason::SessionTimeout => {
            let session = scene.facts.cluster.brokers.consumer_group.session_timeout;
            let own = config.map(|c| c.session_timeout);
            let time = for_time(own.map(|own| if by_broker { session } else { own }));
            format!("{group} removes {who} because no heartbeat came for {time}.")
        }
        LeaveReason::RebalanceTimeout => {
            let time = for_time(config.map(|c| c.max_poll_interval));
            let what = if by_broker { "give its partitions up" } else { "join again" };
            format!("{group} removes {who} because it did not {what} for {time}.")
        }
        LeaveReason::Replaced => {
            format!("{group} forgets the member id of {who}: its group.instance.id joined again.")
        }
        LeaveReason::Undone => {
            format!("{group} forgets the member id of {who}: the join could not be stored.")
        }
        LeaveReason::PollTimeout => {
            let time = for_time(config.map(|c| c.max_poll_interval));
            format!("{who} leaves {group} because poll() was not called for {time}.")
        }
    }
}
