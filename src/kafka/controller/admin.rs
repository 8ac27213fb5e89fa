//! What administrators ask of the controller, and what it does of itself every few minutes:
//! `ReplicationControlManager.electLeaders`, `alterPartitionReassignments`, `maybeBalancePartitionLeaders`,
//! `maybeElectUncleanLeaders`; `ConfigurationControlManager.incrementalAlterConfigs`.
//!
//! Simplified: a call reaches the active controller at once, without a broker that forwards it, and returns as soon as
//! its records are written, not when they are committed.

use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::config::TopicConfig;
use crate::base::error::ErrorCode;
use crate::base::ids::{LeaderEpoch, PartitionId, TopicId};
use crate::base::time::Time;
use crate::event::{AdminCall, ElectionType, TopicSetting};
use crate::kafka::api::{MetadataRecord, PartitionRegistration};
use crate::kafka::controller::Controller;
use crate::kafka::effects::{Effects, TimerKind};
use crate::kafka::election::{Election, PartitionChange};

/// A call of `Admin`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AdminRequest {
    /// `electLeaders`.
    ElectLeaders {
        /// Which kind of election.
        election: ElectionType,
        /// Of which partitions; of all when empty.
        partitions: Vec<PartitionId>,
    },
    /// `incrementalAlterConfigs` of a topic.
    AlterConfigs {
        /// Which topic.
        topic: TopicId,
        /// All its settings afterwards; `None`: Kafka refuses a value.
        config: Option<TopicConfig>,
        /// Those that are altered.
        altered: Vec<TopicSetting>,
    },
    /// `createTopics` of one topic.
    CreateTopic {
        /// Which topic.
        topic: TopicId,
        /// How many partitions it is to have.
        count: u32,
    },
    /// `createPartitions`: a topic is to have more.
    CreatePartitions {
        /// Which topic.
        topic: TopicId,
        /// How many it is to have.
        count: u32,
    },
    /// `alterPartitionReassignments` of one partition.
    Reassign {
        /// Which one.
        partition: PartitionId,
        /// The replicas it is to have, in assignment order; `None` cancels the reassignment that is in progress.
        target: Option<ReplicaList>,
    },
}

impl AdminRequest {
    /// Which call of `Admin` it is.
    pub fn call(&self) -> AdminCall {
        match self {
            Self::ElectLeaders { election: ElectionType::Preferred, .. } => {
                AdminCall::ElectPreferredLeaders
            }
            Self::ElectLeaders { .. } => AdminCall::ElectUncleanLeaders,
            Self::AlterConfigs { .. } => AdminCall::IncrementalAlterConfigs,
            Self::CreateTopic { .. } => AdminCall::CreateTopics,
            Self::CreatePartitions { .. } => AdminCall::CreatePartitions,
            Self::Reassign { .. } => AdminCall::AlterPartitionReassignments,
        }
    }
}

impl Controller {
    /// Does what an administrator asks.
    ///
    /// # Errors
    /// Why it did not, or not for all partitions: the first error.
    pub fn administer(
        &mut self,
        now: Time,
        request: &AdminRequest,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let done = match request {
            AdminRequest::ElectLeaders { election, partitions } => {
                self.elect_leaders(*election, partitions, fx)
            }
            AdminRequest::AlterConfigs { config: None, .. } => Err(ErrorCode::InvalidConfig),
            AdminRequest::AlterConfigs { topic, config: Some(config), altered } => {
                self.alter_configs(*topic, *config, altered, fx);
                Ok(())
            }
            AdminRequest::CreateTopic { topic, .. } if self.partitions_now(*topic, fx) > 0 => {
                Err(ErrorCode::TopicAlreadyExists)
            }
            AdminRequest::CreatePartitions { topic, .. }
                if self.partitions_now(*topic, fx) == 0 =>
            {
                Err(ErrorCode::UnknownTopicOrPartition)
            }
            AdminRequest::CreateTopic { topic, count }
            | AdminRequest::CreatePartitions { topic, count } => {
                self.create_partitions(*topic, *count, fx)
            }
            AdminRequest::Reassign { partition, target } => match target {
                Some(target) => self.reassign(*partition, *target, fx),
                None => self.cancel_reassignment(*partition, fx),
            },
        };
        self.follow_raft(now, fx);
        self.raft.answer_waiting(now, fx);
        done
    }

    /// The settings of a topic as they are now.
    pub fn topic_config(&self, topic: TopicId) -> &TopicConfig {
        &self.decided.topics[topic.index()]
    }

    fn elect_leaders(
        &mut self,
        election: ElectionType,
        partitions: &[PartitionId],
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        if partitions.is_empty() {
            // Of all partitions, those that need none are not told.
            let all = self.decided.partitions.iter().filter(|p| p.exists());
            let all: Vec<PartitionId> = all.map(|p| p.partition).collect();
            let results = all.iter().map(|partition| self.elect_leader(*partition, election, fx));
            let results = results.filter(|result| *result != Err(ErrorCode::ElectionNotNeeded));
            return results.fold(Ok(()), Result::and);
        }
        let results =
            partitions.iter().map(|partition| self.elect_leader(*partition, election, fx));
        results.fold(Ok(()), Result::and)
    }

    /// `ReplicationControlManager.electLeader`.
    fn elect_leader(
        &mut self,
        partition: PartitionId,
        election: ElectionType,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let Some(before) = self.decided.partition(partition).copied() else {
            return Err(ErrorCode::UnknownTopicOrPartition);
        };
        let (needed, kind, unavailable) = match election {
            ElectionType::Preferred => {
                let preferred = before.replicas.as_slice().first().copied();
                let unavailable = ErrorCode::PreferredLeaderNotAvailable;
                (before.leader != preferred, Election::Preferred, unavailable)
            }
            ElectionType::Unclean => {
                let unavailable = ErrorCode::EligibleLeadersNotAvailable;
                (before.leader.is_none(), Election::Unclean, unavailable)
            }
        };
        if !needed {
            return Err(ErrorCode::ElectionNotNeeded);
        }
        let wish = PartitionChange { election: kind, ..self.change_of(&before, before.isr, fx) };
        if self.change(&before, wish, fx) { Ok(()) } else { Err(unavailable) }
    }

    /// Writes the record of a change, if it is one.
    fn change(
        &mut self,
        before: &PartitionRegistration,
        wish: PartitionChange,
        fx: &mut Effects,
    ) -> bool {
        let after = wish.apply(before);
        if let Some(after) = after {
            self.append(MetadataRecord::Partition(after), fx);
        }
        after.is_some()
    }

    /// Settings take effect at the next decision that reads them: nobody is elected because of them here. A new
    /// `min.insync.replicas` clears the ELR of the topic (`ClearElrRecord`), which was right for the old one only.
    fn alter_configs(
        &mut self,
        topic: TopicId,
        config: TopicConfig,
        altered: &[TopicSetting],
        fx: &mut Effects,
    ) {
        self.append(MetadataRecord::TopicConfig { topic, config }, fx);
        let min_isr =
            |setting: &TopicSetting| matches!(setting, TopicSetting::MinInsyncReplicas(_));
        if !altered.iter().any(min_isr) || !self.config.features.eligible_leader_replicas {
            return;
        }
        for partition in fx.names.topics[topic.index()].partitions.clone() {
            let Some(mut partition) = self.decided.partition(partition).copied() else { continue };
            if partition.elr.is_empty() && partition.last_known_leader.is_none() {
                continue;
            }
            (partition.elr, partition.last_known_leader) = (BrokerSet::EMPTY, None);
            partition.partition_epoch += 1;
            self.append(MetadataRecord::Partition(partition), fx);
        }
    }

    /// How many partitions a topic has; 0: it does not exist.
    fn partitions_now(&self, topic: TopicId, fx: &Effects) -> usize {
        let all = &fx.names.topics[topic.index()].partitions;
        all.iter().take_while(|id| self.decided.partition(**id).is_some()).count()
    }

    /// `ReplicationControlManager.createPartitions`: the new partitions come after those there are. Who is alive of
    /// their replicas is in sync, and the first of these leads.
    fn create_partitions(
        &mut self,
        topic: TopicId,
        count: u32,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let names = std::sync::Arc::clone(&fx.names);
        let all = &names.topics[topic.index()].partitions;
        let now = self.partitions_now(topic, fx);
        if count as usize <= now {
            return Err(ErrorCode::InvalidPartitions);
        }
        for id in all.iter().take(count as usize).skip(now) {
            let replicas = names.partitions[id.index()].replicas;
            let isr = replicas.set().intersection(self.active());
            let leader = replicas.as_slice().iter().copied().find(|broker| isr.contains(*broker));
            if leader.is_none() {
                return Err(ErrorCode::InvalidReplicaAssignment);
            }
            let created = PartitionRegistration {
                replicas,
                leader,
                leader_epoch: LeaderEpoch(0),
                partition_epoch: 0,
                isr,
                ..PartitionRegistration::absent(*id)
            };
            self.append(MetadataRecord::Partition(created), fx);
        }
        Ok(())
    }

    /// `changePartitionReassignment`: first the new replicas come to the old ones; when they are in sync, the old ones
    /// go. A reassignment in progress is replaced.
    fn reassign(
        &mut self,
        partition: PartitionId,
        target: ReplicaList,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let Some(before) = self.decided.partition(partition).copied() else {
            return Err(ErrorCode::UnknownTopicOrPartition);
        };
        let (now, wanted) = (before.replicas.set(), target.set());
        let known = |b: &crate::base::ids::BrokerId| {
            self.decided.brokers.get(b.index()).is_some_and(|registration| registration.epoch >= 0)
        };
        let distinct = wanted.len() == target.as_slice().len();
        if wanted.is_empty() || !distinct || !target.as_slice().iter().all(known) {
            return Err(ErrorCode::InvalidReplicaAssignment);
        }
        let removing = now.difference(wanted);
        let adding = wanted.difference(now);
        let mut wish = self.change_of(&before, before.isr, fx);
        // Kafka does not allow an unclean election here.
        wish.election = Election::Online;
        wish.target_replicas = target.followed_by(removing);
        // As in Kafka, nothing new to add or to remove leaves what was under way.
        if !removing.is_empty() {
            wish.target_removing = removing;
        }
        if !adding.is_empty() {
            wish.target_adding = adding;
        }
        self.change(&before, wish, fx);
        Ok(())
    }

    /// `cancelPartitionReassignment` with `PartitionReassignmentRevert`: back to the replicas before, unless none of
    /// them is in sync any more and unclean election is not allowed.
    fn cancel_reassignment(
        &mut self,
        partition: PartitionId,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let Some(before) = self.decided.partition(partition).copied() else {
            return Err(ErrorCode::UnknownTopicOrPartition);
        };
        if before.adding.is_empty() && before.removing.is_empty() {
            return Err(ErrorCode::NoReassignmentInProgress);
        }
        let replicas = before.replicas.without(before.adding);
        let isr = before.isr.difference(before.adding);
        let unclean = isr.is_empty();
        let isr = match replicas.as_slice().first() {
            Some(first) if unclean => BrokerSet::of(*first),
            _ => isr,
        };
        let wish = self.change_of(&before, isr, fx);
        if unclean && wish.election != Election::Unclean {
            return Err(ErrorCode::InvalidReplicaAssignment);
        }
        let (target_adding, target_removing) = (BrokerSet::EMPTY, BrokerSet::EMPTY);
        let wish =
            PartitionChange { target_replicas: replicas, target_adding, target_removing, ..wish };
        self.change(&before, wish, fx);
        Ok(())
    }

    /// Sets what happens every few minutes from the moment the controller is active.
    pub(super) fn set_periodic_timers(&self, now: Time, fx: &mut Effects) {
        let config = &self.config.brokers;
        if config.auto_leader_rebalance {
            let at = now + config.leader_imbalance_check_interval;
            fx.set_timer(TimerKind::LeaderImbalance, 0, at);
        }
        let at = now + config.unclean_leader_election_interval;
        fx.set_timer(TimerKind::UncleanElection, 0, at);
    }

    /// Every `leader.imbalance.check.interval.seconds`: a preferred election of each partition that its first replica
    /// does not lead. How many there are of a broker does not matter.
    pub(super) fn balance_leaders(&mut self, now: Time, fx: &mut Effects) {
        for at in 0..self.decided.partitions.len() {
            let partition = PartitionId(at as u16);
            // Who is led as it should be, or cannot be, stays.
            let _ = self.elect_leader(partition, ElectionType::Preferred, fx);
        }
        let at = now + self.config.brokers.leader_imbalance_check_interval;
        fx.set_timer(TimerKind::LeaderImbalance, 0, at);
    }

    /// Every `unclean.leader.election.interval.ms`: an unclean election of partitions without a leader whose topic
    /// allows it. This is when a setting altered at run time takes effect for a partition that is offline already.
    pub(super) fn elect_unclean_leaders(&mut self, now: Time, fx: &mut Effects) {
        for at in 0..self.decided.partitions.len() {
            let partition = PartitionId(at as u16);
            let topic = fx.names.partitions[at].topic;
            if self.decided.topics[topic.index()].unclean_leader_election {
                let _ = self.elect_leader(partition, ElectionType::Unclean, fx);
            }
        }
        let at = now + self.config.brokers.unclean_leader_election_interval;
        fx.set_timer(TimerKind::UncleanElection, 0, at);
    }
}
