//! What a broker knows of the cluster: `MetadataImage`, replayed from the metadata log it fetches from the active
//! controller (see `observer`). It is on disk: a restarted broker goes on where it was.
//!
//! Simplified: no snapshots, no deltas between images; the image is the state after the last record.

use crate::base::broker_set::BrokerSet;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, PartitionId};
use crate::kafka::api::{MetadataRecord, PartitionRegistration};
use crate::kafka::controller::Formation;
use crate::kafka::raft::log::FORMED_EPOCH;

/// The cluster after the metadata records below `next`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct MetadataImage {
    /// The offset of the next record to fetch.
    pub(super) next: i64,
    /// The quorum's epoch under which the last record was written.
    pub(super) epoch: i32,
    /// By id; `None` for a partition this broker has not heard of.
    partitions: Vec<Option<PartitionRegistration>>,
    /// Brokers that are registered and not fenced.
    pub(super) unfenced: BrokerSet,
    /// Brokers in controlled shutdown.
    pub(super) shutting_down: BrokerSet,
    /// Broker epochs by [`BrokerId::index`]; -1 for a broker that never registered.
    epochs: Vec<i64>,
}

impl MetadataImage {
    /// What every broker of the formed cluster knows.
    pub(super) fn of(formation: &Formation) -> Self {
        let mut image = Self::default();
        for record in formation.records() {
            image.apply(record);
        }
        image
    }

    /// Applies the next record.
    pub(super) fn apply(&mut self, record: MetadataRecord) {
        self.next += 1;
        // The formed cluster's first epoch begins without a record of its leader.
        self.epoch = self.epoch.max(FORMED_EPOCH);
        match record {
            MetadataRecord::LeaderChange { epoch, .. } => self.epoch = epoch,
            MetadataRecord::RegisterBroker { broker, epoch, .. } => {
                if self.epochs.len() <= broker.index() {
                    self.epochs.resize(broker.index() + 1, -1);
                }
                self.epochs[broker.index()] = epoch;
                self.unfenced = self.unfenced.without(broker);
                self.shutting_down = self.shutting_down.without(broker);
            }
            MetadataRecord::FenceBroker { broker, fenced, shutting_down } => {
                let put = |set: BrokerSet, member| {
                    if member { set.with(broker) } else { set.without(broker) }
                };
                self.unfenced = put(self.unfenced, !fenced);
                self.shutting_down = put(self.shutting_down, shutting_down);
            }
            // The broker keeps settings itself.
            MetadataRecord::TopicConfig { .. } => {}
            MetadataRecord::Partition(partition) => {
                let at = partition.partition.index();
                if self.partitions.len() <= at {
                    self.partitions.resize(at + 1, None);
                }
                self.partitions[at] = Some(partition);
            }
        }
    }

    /// A partition, if this broker has heard of it.
    pub(super) fn partition(&self, partition: PartitionId) -> Option<&PartitionRegistration> {
        self.partitions.get(partition.index())?.as_ref()
    }

    /// All partitions it has heard of.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &PartitionRegistration> + '_ {
        self.partitions.iter().flatten()
    }

    /// How many partition ids are in use.
    pub(super) fn partition_slots(&self) -> usize {
        self.partitions.len()
    }

    /// The epoch of a broker's last registration.
    pub(super) fn broker_epoch(&self, broker: BrokerId) -> i64 {
        self.epochs.get(broker.index()).copied().unwrap_or(-1)
    }

    /// The leader of a partition, if it is alive as far as this broker knows.
    pub(super) fn live_leader(&self, partition: PartitionId) -> Option<BrokerId> {
        self.partition(partition)?.leader.filter(|leader| self.unfenced.contains(*leader))
    }

    /// May this broker join an ISR: not fenced, not shutting down?
    pub(super) fn is_isr_eligible(&self, broker: BrokerId) -> bool {
        self.unfenced.contains(broker) && !self.shutting_down.contains(broker)
    }

    pub(super) fn fingerprint(&self, into: &mut Fingerprint) {
        into.add((self.unfenced, self.shutting_down));
        for partition in self.partitions() {
            into.add((partition.leader, partition.leader_epoch, partition.partition_epoch));
            into.add((partition.isr, partition.elr));
        }
    }
}
