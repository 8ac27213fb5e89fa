//! What follows from the metadata records: registrations of brokers and partitions.

use std::sync::Arc;

use crate::base::broker_set::BrokerSet;
use crate::base::config::TopicConfig;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, PartitionId, TopicId};
use crate::event::{EventKind, TopicSetting};
use crate::kafka::api::{MetadataRecord, PartitionRegistration};
use crate::kafka::controller::BrokerRegistration;
use crate::kafka::effects::Effects;

/// A broker that never registered.
const NOBODY: BrokerRegistration =
    BrokerRegistration { epoch: -1, incarnation: 0, fenced: true, shutting_down: false };

/// The cluster after some records.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    /// By [`BrokerId::index`].
    pub(super) brokers: Vec<BrokerRegistration>,
    pub(super) partitions: Vec<PartitionRegistration>,
    /// Settings of topics, by [`TopicId`](crate::base::ids::TopicId).
    pub(super) topics: Vec<TopicConfig>,
}

impl Registry {
    /// Before the first record, with room for so many brokers.
    pub(super) fn new(slots: usize, topics: Vec<TopicConfig>) -> Self {
        Self { brokers: vec![NOBODY; slots], partitions: Vec::new(), topics }
    }

    /// A partition that exists.
    pub(super) fn partition(&self, id: PartitionId) -> Option<&PartitionRegistration> {
        self.partitions.get(id.index()).filter(|partition| partition.exists())
    }

    /// Applies the next record: the only place where registrations change.
    pub(super) fn replay(&mut self, record: MetadataRecord) {
        match record {
            MetadataRecord::LeaderChange { .. } => {}
            MetadataRecord::RegisterBroker { broker, incarnation, epoch } => {
                let (fenced, shutting_down) = (true, false);
                self.brokers[broker.index()] =
                    BrokerRegistration { epoch, incarnation, fenced, shutting_down };
            }
            MetadataRecord::FenceBroker { broker, fenced, shutting_down } => {
                let registration = &mut self.brokers[broker.index()];
                registration.fenced = fenced;
                registration.shutting_down = shutting_down;
            }
            MetadataRecord::TopicConfig { topic, config } => self.topics[topic.index()] = config,
            MetadataRecord::Partition(partition) => {
                let at = partition.partition.index();
                while self.partitions.len() <= at {
                    // Ids are given by the script; who is created first is for the administrators to say.
                    let id = PartitionId(self.partitions.len() as u16);
                    self.partitions.push(PartitionRegistration::absent(id));
                }
                self.partitions[at] = partition;
            }
        }
    }

    /// Adds everything that decides what follows.
    pub(super) fn fingerprint(&self, into: &mut Fingerprint) {
        for broker in &self.brokers {
            into.add(broker);
        }
        for partition in &self.partitions {
            into.add((partition.leader, partition.leader_epoch, partition.partition_epoch));
            into.add((partition.isr, partition.elr, partition.last_known_leader));
            into.add((partition.replicas, partition.adding, partition.removing));
        }
        for topic in &self.topics {
            into.add((topic.min_insync_replicas, topic.unclean_leader_election));
        }
    }

    /// Tells what the next record says, as it is committed.
    pub(super) fn tell(&self, record: &MetadataRecord, fx: &mut Effects) {
        match *record {
            MetadataRecord::LeaderChange { .. }
            | MetadataRecord::FenceBroker { shutting_down: true, .. } => {}
            MetadataRecord::RegisterBroker { broker, epoch, .. } => {
                fx.event(EventKind::BrokerRegistered { broker, epoch });
            }
            MetadataRecord::FenceBroker { broker, fenced: true, .. } => {
                fx.event(EventKind::BrokerFenced { broker });
            }
            MetadataRecord::FenceBroker { broker, .. } => {
                fx.event(EventKind::BrokerUnfenced { broker });
            }
            MetadataRecord::TopicConfig { topic, config } => self.tell_settings(topic, &config, fx),
            MetadataRecord::Partition(partition) => {
                if self.partition(partition.partition).is_none() {
                    Arc::make_mut(&mut fx.names).created.push(partition.partition);
                }
                self.tell_replicas(&partition, fx);
                fx.event(changed(&partition));
            }
        }
    }

    /// Says which settings of a topic a record changes.
    fn tell_settings(&self, topic: TopicId, after: &TopicConfig, fx: &mut Effects) {
        let before = &self.topics[topic.index()];
        let (min_isr, unclean) = (after.min_insync_replicas, after.unclean_leader_election);
        let changes = [
            (before.min_insync_replicas != min_isr, TopicSetting::MinInsyncReplicas(min_isr)),
            (
                before.unclean_leader_election != unclean,
                TopicSetting::UncleanLeaderElection(unclean),
            ),
        ];
        let mut told = false;
        for (_, setting) in changes.into_iter().filter(|(changed, _)| *changed) {
            fx.event(EventKind::TopicConfigured { topic, setting });
            told = true;
        }
        if !told {
            fx.event(EventKind::TopicConfigured { topic, setting: TopicSetting::Other });
        }
    }

    /// Says what a record changes about the replicas of a partition.
    fn tell_replicas(&self, after: &PartitionRegistration, fx: &mut Effects) {
        let before = self.partitions.get(after.partition.index()).filter(|p| p.exists());
        let Some(before) = before else { return };
        let reassigning = |p: &PartitionRegistration| !p.adding.union(p.removing).is_empty();
        let in_progress = reassigning(after);
        if before.replicas != after.replicas || reassigning(before) != in_progress {
            let (partition, replicas) = (after.partition, after.replicas);
            fx.event(EventKind::ReplicasChanged { partition, replicas, in_progress });
        }
    }

    /// The brokers that are registered and not fenced.
    pub(super) fn unfenced(&self) -> BrokerSet {
        let ids = (1..self.brokers.len()).map(|n| BrokerId(n as u8));
        ids.filter(|b| !self.brokers[b.index()].fenced).collect()
    }
}

/// What a screen is told of a registration.
pub(super) fn changed(partition: &PartitionRegistration) -> EventKind {
    EventKind::PartitionChanged {
        partition: partition.partition,
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        isr: partition.isr,
        elr: partition.elr,
    }
}
