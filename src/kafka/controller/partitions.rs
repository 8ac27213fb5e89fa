//! How leaders and ISRs change: `ReplicationControlManager` (`generateLeaderAndIsrUpdates`, `alterPartition`). The
//! decision itself is [`PartitionChange`].

use crate::base::broker_set::BrokerSet;
use crate::base::error::ErrorCode;
use crate::base::ids::BrokerId;
use crate::kafka::api::{IsrChange, IsrResult, Message, MetadataRecord, PartitionRegistration};
use crate::kafka::controller::Controller;
use crate::kafka::effects::{Effects, List};
use crate::kafka::election::{Election, PartitionChange};
use crate::kafka::high_watermark::effective_min_isr;

/// What happened to a broker, as far as partitions are concerned.
#[derive(Clone, Copy, Default)]
struct BrokerChange {
    /// It leaves every ISR (where the rules let it) and leads nothing.
    remove: BrokerSet,
    /// It may lead although its registration does not say so yet.
    add: BrokerSet,
    /// It lost its memory without a clean shutdown: out of ISR and ELR.
    unclean: BrokerSet,
}

impl Controller {
    /// A session ran out, or the broker asked for it: leaders move first, then the broker is fenced.
    pub(super) fn fence(&mut self, broker: BrokerId, fx: &mut Effects) {
        let change = BrokerChange { remove: BrokerSet::of(broker), ..BrokerChange::default() };
        self.update_partitions(change, |p| p.isr.contains(broker), fx);
        let (fenced, shutting_down) = (true, false);
        self.append(MetadataRecord::FenceBroker { broker, fenced, shutting_down }, fx);
    }

    /// The broker may lead again; partitions without a leader look for one.
    pub(super) fn unfence(&mut self, broker: BrokerId, fx: &mut Effects) {
        let (fenced, shutting_down) = (false, false);
        self.append(MetadataRecord::FenceBroker { broker, fenced, shutting_down }, fx);
        let change = BrokerChange { add: BrokerSet::of(broker), ..BrokerChange::default() };
        self.update_partitions(change, |p| p.leader.is_none(), fx);
    }

    /// The broker wants to go: it leaves the ISRs it may leave and hands over its leaderships.
    pub(super) fn begin_controlled_shutdown(&mut self, broker: BrokerId, fx: &mut Effects) {
        let (fenced, shutting_down) = (false, true);
        self.append(MetadataRecord::FenceBroker { broker, fenced, shutting_down }, fx);
        let change = BrokerChange { remove: BrokerSet::of(broker), ..BrokerChange::default() };
        self.update_partitions(change, |p| p.isr.contains(broker), fx);
        let end = self.raft.end() - 1;
        self.sessions.begin_shutdown(broker, end);
    }

    /// The broker registers again and did not shut down cleanly: what it has on disk is not to be trusted.
    pub(super) fn unclean_shutdown(&mut self, broker: BrokerId, fx: &mut Effects) {
        let change = BrokerChange { unclean: BrokerSet::of(broker), ..BrokerChange::default() };
        self.update_partitions(change, |p| p.isr.contains(broker) || p.elr.contains(broker), fx);
    }

    /// True when `broker` leads any partition.
    pub(super) fn leads_any(&self, broker: BrokerId) -> bool {
        self.decided.partitions.iter().any(|p| p.leader == Some(broker))
    }

    /// The change that the settings of the partition's topic ask for.
    pub(super) fn change_of(
        &self,
        partition: &PartitionRegistration,
        target_isr: BrokerSet,
        fx: &Effects,
    ) -> PartitionChange {
        let topic = fx.names.partitions[partition.partition.index()].topic;
        let settings = &self.decided.topics[topic.index()];
        let unclean = settings.unclean_leader_election;
        let replicas = partition.replicas.as_slice().len();
        PartitionChange {
            target_isr,
            target_replicas: partition.replicas,
            target_adding: partition.adding,
            target_removing: partition.removing,
            unclean_shutdown: BrokerSet::EMPTY,
            election: if unclean { Election::Unclean } else { Election::Online },
            acceptable: self.active(),
            min_isr: effective_min_isr(settings.min_insync_replicas, replicas),
            elr_enabled: self.config.features.eligible_leader_replicas,
            ignore_isr: Self::ignores_isr(fx),
        }
    }

    fn update_partitions(
        &mut self,
        change: BrokerChange,
        concerned: impl Fn(&PartitionRegistration) -> bool,
        fx: &mut Effects,
    ) {
        let gone = change.remove.union(change.unclean);
        for at in 0..self.decided.partitions.len() {
            let before = self.decided.partitions[at];
            if !before.exists() || !concerned(&before) {
                continue;
            }
            let wish = self.change_of(&before, before.isr.difference(gone), fx);
            let wish = PartitionChange {
                unclean_shutdown: change.unclean,
                acceptable: wish.acceptable.union(change.add).difference(gone),
                ..wish
            };
            if let Some(after) = wish.apply(&before) {
                self.append(MetadataRecord::Partition(after), fx);
            }
        }
    }

    /// A leader asks for other ISRs.
    pub(super) fn alter_partitions(
        &mut self,
        leader: BrokerId,
        broker_epoch: i64,
        changes: List<IsrChange>,
        fx: &mut Effects,
    ) -> Message {
        if self.decided.brokers[leader.index()].epoch != broker_epoch {
            let error = ErrorCode::StaleBrokerEpoch;
            return Message::AlterPartitionResponse { error, results: List::EMPTY };
        }
        let changes = fx.pools.get(changes).to_vec();
        let mut results = Vec::with_capacity(changes.len());
        for change in changes {
            results.push(self.alter_partition(leader, &change, fx));
        }
        let results = fx.keep(&results);
        Message::AlterPartitionResponse { error: ErrorCode::None, results }
    }

    fn alter_partition(
        &mut self,
        leader: BrokerId,
        change: &IsrChange,
        fx: &mut Effects,
    ) -> IsrResult {
        let before = self.decided.partitions[change.partition.index()];
        let mut error = self.validate(leader, &before, change);
        let mut now = before;
        if error == ErrorCode::None
            && let Some(after) = self.change_of(&before, change.isr, fx).apply(&before)
        {
            self.append(MetadataRecord::Partition(after), fx);
            now = after;
            if after.leader != Some(leader) {
                error = ErrorCode::NewLeaderElected;
            }
        }
        IsrResult {
            partition: change.partition,
            error,
            leader: now.leader,
            leader_epoch: now.leader_epoch,
            isr: now.isr,
            partition_epoch: now.partition_epoch,
        }
    }

    /// `validateAlterPartitionData`.
    fn validate(
        &self,
        leader: BrokerId,
        known: &PartitionRegistration,
        change: &IsrChange,
    ) -> ErrorCode {
        if change.leader_epoch > known.leader_epoch
            || change.partition_epoch > known.partition_epoch
        {
            return ErrorCode::NotController;
        }
        if change.leader_epoch < known.leader_epoch {
            return ErrorCode::FencedLeaderEpoch;
        }
        if known.leader != Some(leader) || change.partition_epoch < known.partition_epoch {
            return ErrorCode::InvalidUpdateVersion;
        }
        let stale = |(member, epoch): (BrokerId, &i32)| {
            *epoch != -1 && self.decided.brokers[member.index()].epoch != i64::from(*epoch)
        };
        if !change.isr.is_subset(self.active()) || change.isr.iter().zip(&change.epochs).any(stale)
        {
            return ErrorCode::IneligibleReplica;
        }
        ErrorCode::None
    }
}
