//! One partition on one broker, in memory: `Partition` and `Replica`. Role, epochs, high watermark, producer state,
//! and as a leader what is known of the followers. The log itself is on disk, in [`UnifiedLog`].
//!
//! Simplified: no future replicas (moves between log directories).

use crate::base::broker_set::{BrokerSet, ReplicaList};
use crate::base::config::IsolationLevel;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, LeaderEpoch, Offset, PartitionId};
use crate::base::time::Time;
use crate::kafka::api::PartitionRegistration;
use crate::kafka::isr::{FollowerState, PartitionState};
use crate::kafka::log::UnifiedLog;
use crate::kafka::log::producer_state::ProducerStateManager;

/// What a leader keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leadership {
    /// Its LEO when its epoch began.
    pub epoch_start: Offset,
    /// The ISR and a change of it that is asked for.
    pub state: PartitionState,
    /// The other replicas in assignment order.
    pub followers: Vec<FollowerState>,
}

impl Leadership {
    /// The followers are those of the assignment: a reassignment brings some and takes others.
    fn keep_followers(&mut self, own: BrokerId, registration: &PartitionRegistration, now: Time) {
        let known = std::mem::take(&mut self.followers);
        let others = registration.replicas.as_slice().iter().filter(|b| **b != own);
        let follower = |b: &BrokerId| {
            let new = || FollowerState::at_election(*b, registration.isr.contains(*b), now);
            known.iter().find(|f| f.broker == *b).copied().unwrap_or_else(new)
        };
        self.followers = others.map(follower).collect();
    }

    /// What is known of `broker`, if it is a replica.
    pub fn follower(&self, broker: BrokerId) -> Option<&FollowerState> {
        self.followers.iter().find(|f| f.broker == broker)
    }

    /// The same, to change.
    pub fn follower_mut(&mut self, broker: BrokerId) -> Option<&mut FollowerState> {
        self.followers.iter_mut().find(|f| f.broker == broker)
    }
}

/// What a follower keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Following {
    /// Whom it fetches from; `None` while there is no leader.
    pub leader: Option<BrokerId>,
    /// It does not fetch before (`replica.fetch.backoff.ms` after an error).
    pub delayed_until: Time,
    /// Its leader has compared the two logs since this leader epoch began (what the rule of KIP-101 does once).
    pub reconciled: bool,
}

/// Leader or follower.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// It appends for clients and decides the high watermark.
    Leader(Leadership),
    /// It copies its leader's log.
    Follower(Following),
}

/// A replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replica {
    /// Of which partition.
    pub partition: PartitionId,
    /// All replicas in assignment order.
    pub replicas: ReplicaList,
    /// The leader epoch it acts under.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch it knows.
    pub partition_epoch: i32,
    /// Everything below it is committed, as far as this replica knows.
    pub high_watermark: Offset,
    /// Leader or follower.
    pub role: Role,
    /// What it remembers of idempotent producers.
    pub producers: ProducerStateManager,
    /// Which checkpoint interval the high watermark was last noted in.
    pub checkpoint_interval: u64,
    /// Which checkpoint interval the log start was last noted in.
    pub log_start_interval: u64,
    /// When its log was flushed last by this process, or loaded.
    pub last_flush: Time,
    /// The last stable offset as it was said last.
    pub told_last_stable: Offset,
    /// Which interval of `producer.id.expiration.check.interval.ms` silent producers were last looked for in.
    pub expiry_interval: u64,
}

impl Replica {
    /// A replica as it is loaded from disk, before it knows its role.
    pub fn loaded(
        registration: &PartitionRegistration,
        high_watermark: Offset,
        producers: ProducerStateManager,
    ) -> Self {
        Self {
            partition: registration.partition,
            replicas: registration.replicas,
            leader_epoch: LeaderEpoch::NONE,
            partition_epoch: -1,
            high_watermark,
            role: Role::Follower(Following {
                leader: None,
                delayed_until: Time::ZERO,
                reconciled: false,
            }),
            producers,
            checkpoint_interval: 0,
            log_start_interval: 0,
            last_flush: Time::ZERO,
            told_last_stable: Offset::NONE,
            expiry_interval: 0,
        }
    }

    /// The leader's knowledge, while it leads.
    pub fn leadership(&self) -> Option<&Leadership> {
        match &self.role {
            Role::Leader(leadership) => Some(leadership),
            Role::Follower(_) => None,
        }
    }

    /// The same, to change.
    pub fn leadership_mut(&mut self) -> Option<&mut Leadership> {
        match &mut self.role {
            Role::Leader(leadership) => Some(leadership),
            Role::Follower(_) => None,
        }
    }

    /// True while it leads.
    pub fn is_leader(&self) -> bool {
        self.leadership().is_some()
    }

    /// The last stable offset: where the first transaction begins that is open, or whose end is not replicated, but
    /// not above the high watermark.
    pub fn last_stable_offset(&self) -> Offset {
        let unstable = self.producers.transactions.first_unstable();
        unstable.map_or(self.high_watermark, |first| first.min(self.high_watermark))
    }

    /// Up to where a consumer of this isolation may read.
    pub fn fetchable_end(&self, isolation: IsolationLevel) -> Offset {
        match isolation {
            IsolationLevel::ReadUncommitted => self.high_watermark,
            IsolationLevel::ReadCommitted => self.last_stable_offset(),
        }
    }

    /// The last stable offset, if it is another one than was said. Without transactions nothing is said of it; once
    /// something was said it goes on, though the log may have been cut to before its first transaction.
    pub fn news_of_last_stable_offset(&mut self) -> Option<Offset> {
        let offset = self.last_stable_offset();
        let told = self.told_last_stable;
        let spoken_of = self.producers.transactions.is_used() || told != Offset::NONE;
        (spoken_of && offset != told).then(|| {
            self.told_last_stable = offset;
            offset
        })
    }

    /// The ISR as this leader has it committed; empty on a follower.
    pub fn isr(&self) -> BrokerSet {
        self.leadership().map_or(BrokerSet::EMPTY, |l| l.state.isr())
    }

    /// Becomes leader, or learns of a change in its own partition (`Partition.makeLeader`). Returns `true` when a new
    /// leader epoch begins. A registration older than what is known changes nothing.
    pub fn make_leader(
        &mut self,
        own: BrokerId,
        registration: &PartitionRegistration,
        log: &mut UnifiedLog,
        now: Time,
    ) -> bool {
        if registration.partition_epoch < self.partition_epoch {
            return false;
        }
        let isr = registration.isr;
        self.replicas = registration.replicas;
        let new_epoch = registration.leader_epoch > self.leader_epoch;
        self.partition_epoch = registration.partition_epoch;
        let committed = PartitionState::Committed { isr };
        if let Role::Leader(leadership) = &mut self.role {
            leadership.state = committed;
            leadership.keep_followers(own, registration, now);
            if new_epoch {
                leadership.epoch_start = log.end();
                for f in &mut leadership.followers {
                    f.at_reelection(isr.contains(f.broker), log.end(), now);
                }
            }
        } else {
            let others = registration.replicas.as_slice().iter().filter(|b| **b != own);
            let followers =
                others.map(|b| FollowerState::at_election(*b, isr.contains(*b), now)).collect();
            let epoch_start = log.end();
            self.role = Role::Leader(Leadership { epoch_start, state: committed, followers });
        }
        if new_epoch {
            log.assign_epoch_start(registration.leader_epoch);
            self.leader_epoch = registration.leader_epoch;
        }
        new_epoch
    }

    /// Becomes follower, or learns of a change (`Partition.makeFollower`). Returns `true` when a new leader epoch
    /// begins.
    pub fn make_follower(&mut self, registration: &PartitionRegistration) -> bool {
        if registration.partition_epoch < self.partition_epoch {
            return false;
        }
        let new_epoch = registration.leader_epoch > self.leader_epoch;
        self.partition_epoch = registration.partition_epoch;
        self.leader_epoch = registration.leader_epoch;
        self.replicas = registration.replicas;
        if new_epoch || self.is_leader() {
            let leader = registration.leader;
            self.role =
                Role::Follower(Following { leader, delayed_until: Time::ZERO, reconciled: false });
        }
        new_epoch
    }

    /// Adds what decides its future.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.partition, self.leader_epoch, self.partition_epoch, self.high_watermark));
        match &self.role {
            Role::Leader(leadership) => {
                let state = &leadership.state;
                into.add((leadership.epoch_start, state.isr(), state.maximal_isr()));
                into.add(state.pending().map(|sent| (sent.isr, sent.partition_epoch)));
                for f in &leadership.followers {
                    into.add((f.broker, f.log_end, f.leader_end_at_last_fetch));
                    into.add(f.last_fetch.map(|at| now.since(at)));
                    into.add(f.last_caught_up.map(|at| now.since(at)));
                }
            }
            Role::Follower(following) => {
                into.add((following.leader, following.reconciled));
                into.add_time(now, following.delayed_until.max(now));
            }
        }
        self.producers.fingerprint(into);
    }
}
