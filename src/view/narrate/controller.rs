//! What the controller decides.

use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::ids::{BrokerId, LeaderEpoch, PartitionId};
use crate::event::{Event, EventKind, TopicSetting};
use crate::view::cluster::ProcessState;
use crate::view::narrate::Scene;
use crate::view::narrate::replication::beyond;
use crate::view::words::{brokers, fold_ids, is_are};

pub(super) fn sentence(scene: &Scene<'_>, event: &Event) -> Option<String> {
    let who = scene.node(event.node);
    Some(match event.kind {
        EventKind::BrokerRegistered { broker, .. } => {
            format!("{who} registers {broker}, fenced until it has caught up.")
        }
        EventKind::BrokerUnfenced { broker } => {
            format!("{who} unfences {broker}: it may lead and be in ISRs.")
        }
        EventKind::BrokerFenced { broker } => {
            let timeout = scene.facts.cluster.brokers.broker_session_timeout;
            match scene.before.brokers[broker.index()].process {
                ProcessState::Stopping => {
                    format!("{who} fences {broker} because it is shutting down.")
                }
                _ => format!("{who} fences {broker} because its session of {timeout} ran out."),
            }
        }
        EventKind::PartitionChanged { partition, leader, leader_epoch, isr, .. } => {
            changed(scene, &who, partition, leader, (leader_epoch, isr))
        }
        EventKind::ReplicasChanged { partition, replicas, in_progress } => {
            let (name, replicas) = (scene.partition(partition), list(&replicas));
            if in_progress {
                format!("{who} begins to move {name}: its replicas are {replicas} meanwhile.")
            } else {
                format!("{who} gives {name} the replicas {replicas}.")
            }
        }
        EventKind::TopicConfigured { topic, setting } => {
            let name = &scene.names().topics[topic.index()].name;
            match setting {
                TopicSetting::MinInsyncReplicas(n) => {
                    format!("{who} notes min.insync.replicas={n} for {name}.")
                }
                TopicSetting::UncleanLeaderElection(on) => format!(
                    "{who} notes unclean.leader.election.enable={on} for {name}; nobody is elected because of it."
                ),
                TopicSetting::Other => format!("{who} notes another setting for {name}."),
            }
        }
        _ => return quorum(&who, event),
    })
}

/// What controllers decide about themselves.
fn quorum(who: &str, event: &Event) -> Option<String> {
    Some(match event.kind {
        EventKind::ControllerElected { epoch } => {
            format!("{who} has the votes of a majority and leads the controllers, epoch {epoch}.")
        }
        EventKind::ControllerResigned { epoch } => {
            format!("{who} does not lead the controllers any more; that was epoch {epoch}.")
        }
        EventKind::MetadataAppended { epoch, end } => {
            format!("The metadata log of {who} ends at {end}, epoch {epoch}.")
        }
        EventKind::MetadataTruncated { to } => {
            format!("{who} cuts its metadata log at {to}: a majority never had what follows.")
        }
        EventKind::MetadataCommitted { offset, .. } => {
            format!("{who} knows that a majority has the metadata below {offset}.")
        }
        EventKind::MetadataApplied { offset, .. } => {
            format!("{who} acts on the metadata below {offset}.")
        }
        _ => return None,
    })
}

fn list(replicas: &ReplicaList) -> String {
    let ids: Vec<String> = replicas.as_slice().iter().map(|broker| broker.0.to_string()).collect();
    ids.join(",")
}

fn changed(
    scene: &Scene<'_>,
    who: &str,
    partition: PartitionId,
    leader: Option<BrokerId>,
    (epoch, isr): (LeaderEpoch, BrokerSet),
) -> String {
    let p = scene.before.partition(partition);
    let name = scene.partition(partition);
    let Some(leader) = leader else {
        return format!("{who} leaves {name} without a leader: no replica in the ISR is alive.");
    };
    if p.leader == Some(leader) {
        return same_leader(who, &name, p.isr, isr);
    }
    if p.leader_epoch == LeaderEpoch::NONE {
        return format!("{who} makes {leader} the leader of {name}, ISR {isr}.");
    }
    let because = match p.isr.contains(leader) {
        true => ", the next replica in the ISR",
        false if p.elr.contains(leader) => ", an eligible leader (ELR)",
        // An election outside the ISR leaves the leader alone in it: this one comes with a reassignment.
        false if isr.len() > 1 => ", the first of the new replicas",
        false => ", which was not in the ISR",
    };
    let old = p.replicas.iter().filter(|replica| Some(replica.broker) != Some(leader));
    let end = p.replica(leader).map(|replica| replica.end);
    let mut gone: Vec<_> = match end {
        Some(end) => old.flat_map(|replica| beyond(scene, replica, end)).collect(),
        None => Vec::new(),
    };
    gone.sort_unstable();
    gone.dedup();
    let elected = format!("{who} elects {leader}{because}, leader of {name}, epoch {epoch}");
    match end.filter(|_| !gone.is_empty()) {
        Some(end) => {
            let (ids, are) = (fold_ids(scene.names(), &gone), is_are(gone.len()));
            format!("{elected}; its log ends at {end}: {ids} {are} not in it.")
        }
        None => elected + ".",
    }
}

fn same_leader(who: &str, name: &str, before: BrokerSet, after: BrokerSet) -> String {
    let (gone, come) = (before.difference(after), after.difference(before));
    match (gone.len(), come.len()) {
        (0, 0) => format!("{who} confirms {name}: ISR {after}."),
        (0, _) => format!("{} joins the ISR of {name}, now {after}.", brokers(come)),
        _ => format!("{} leaves the ISR of {name}, now {after}.", brokers(gone)),
    }
}
