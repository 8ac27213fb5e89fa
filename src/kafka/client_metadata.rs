//! What a client believes about the cluster: which brokers there are, who leads which partition, and when to ask again.
//!
//! Kafka: `Metadata`, `MetadataSnapshot` and the rules of `NetworkClient.DefaultMetadataUpdater` about when an update
//! is due. Leaders named in an answer (KIP-951) enter through [`ClientMetadata::update_leader`].
//! Simplified: every answer is about all topics, so a full and a partial update are one; a producer looks only at the
//! topics it has named ([`ClientMetadata::requests`]). The answer of a broker that does not know a partition leaves the
//! older knowledge in place.

use crate::base::broker_set::BrokerSet;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, LeaderEpoch, PartitionId};
use crate::base::names::Topic;
use crate::base::time::{Duration, Time};
use crate::kafka::api::PartitionMetadata;
use crate::kafka::backoff::ExponentialBackoff;
use crate::kafka::effects::Effects;

/// What is known of one partition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KnownPartition {
    /// Its leader, if it has one.
    pub leader: Option<BrokerId>,
    /// Its leader epoch; [`LeaderEpoch::NONE`] when the partition is not known at all.
    pub leader_epoch: LeaderEpoch,
}

impl KnownPartition {
    const UNKNOWN: Self = Self { leader: None, leader_epoch: LeaderEpoch::NONE };
}

/// The metadata cache of one client.
#[derive(Clone, Debug)]
pub struct ClientMetadata {
    all: BrokerSet,
    brokers: BrokerSet,
    partitions: Vec<KnownPartition>,
    transaction_version: u8,
    version: u32,
    requests: u32,
    answered: u32,
    backoff: ExponentialBackoff,
    max_age: Duration,
    /// Somebody asked for an update.
    needed: bool,
    in_progress: bool,
    failures: u32,
    equivalent_responses: u32,
    last_success: Option<Time>,
    /// Since when no broker has answered, though an update was due (`metadataAttemptStartMs`).
    attempt_started: Option<Time>,
    /// Not before this moment: the back-off after the last answer or failure.
    allowed_at: Time,
}

impl ClientMetadata {
    /// Of a client whose `bootstrap.servers` are brokers 1 to `brokers`. An update is due at once.
    pub fn new(brokers: u8, backoff: ExponentialBackoff, max_age: Duration) -> Self {
        let all: BrokerSet = (1..=brokers).map(BrokerId).collect();
        Self {
            all,
            brokers: all,
            partitions: Vec::new(),
            transaction_version: 0,
            version: 0,
            requests: 0,
            answered: 0,
            backoff,
            max_age,
            needed: true,
            in_progress: false,
            failures: 0,
            equivalent_responses: 0,
            last_success: None,
            attempt_started: None,
            allowed_at: Time::ZERO,
        }
    }

    /// The brokers the client may talk to: those of the last answer, or all of `bootstrap.servers`.
    pub fn brokers(&self) -> BrokerSet {
        self.brokers
    }

    /// The cluster's `transaction.version`, as the last broker the client connected to said.
    pub fn transaction_version(&self) -> u8 {
        self.transaction_version
    }

    /// A broker said so when the client connected to it (`ApiVersions`).
    pub fn learn_features(&mut self, transaction_version: u8) {
        self.transaction_version = transaction_version;
    }

    /// True when somebody asked for an update that did not come yet (`updateRequested`).
    pub fn is_update_requested(&self) -> bool {
        self.needed
    }

    /// How many answers were taken in; 0 means that nothing is known yet.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// How many requests were sent. A topic that is named now appears first in the answer to a later one.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// The number of the last request that was answered.
    pub fn answered(&self) -> u32 {
        self.answered
    }

    /// What is known of `partition`; `None` when it never appeared in an answer.
    pub fn partition(&self, partition: PartitionId) -> Option<KnownPartition> {
        let known = *self.partitions.get(partition.index())?;
        (known != KnownPartition::UNKNOWN).then_some(known)
    }

    /// The partitions of a topic as far as they are known: those with the lowest numbers.
    pub fn partitions_of<'a>(&self, topic: &'a Topic) -> &'a [PartitionId] {
        let known = topic.partitions.iter().take_while(|id| self.partition(**id).is_some());
        &topic.partitions[..known.count()]
    }

    /// The leader of `partition`, where one is known.
    pub fn leader(&self, partition: PartitionId) -> Option<BrokerId> {
        self.partition(partition).and_then(|known| known.leader)
    }

    /// The leader epoch of `partition`, or [`LeaderEpoch::NONE`].
    pub fn leader_epoch(&self, partition: PartitionId) -> LeaderEpoch {
        self.partition(partition).map_or(LeaderEpoch::NONE, |known| known.leader_epoch)
    }

    /// Asks for an update as soon as the back-off allows. `progress` says that something new is expected, which ends
    /// the growing back-off after answers without news (`requestUpdate(resetEquivalentResponseBackoff)`).
    pub fn request_update(&mut self, progress: bool) {
        self.needed = true;
        if progress {
            self.equivalent_responses = 0;
        }
    }

    /// Asks for an update now: a topic was named that is not in the cache (`requestUpdateForNewTopics`).
    pub fn request_update_for_new_topic(&mut self) {
        self.needed = true;
        self.equivalent_responses = 0;
        self.allowed_at = Time::ZERO;
    }

    /// When the last answer was taken in.
    pub fn answered_at(&self) -> Option<Time> {
        self.last_success
    }

    /// When the next request is due; never while one is on its way.
    pub fn next_update(&self) -> Time {
        if self.in_progress {
            return Time::NEVER;
        }
        let wanted = match self.last_success {
            Some(at) if !self.needed => at + self.max_age,
            _ => Time::ZERO,
        };
        wanted.max(self.allowed_at)
    }

    /// True when a request should go out now. Kafka holds every other request back until it did.
    pub fn is_update_due(&self, now: Time) -> bool {
        self.next_update() <= now
    }

    /// A request was sent.
    pub fn sent(&mut self) {
        self.in_progress = true;
        self.requests += 1;
    }

    /// The request on its way was lost, or could not be sent.
    pub fn failed(&mut self, now: Time, fx: &mut Effects) {
        self.in_progress = false;
        self.allowed_at = now + self.backoff.backoff(self.failures, fx);
        self.failures += 1;
    }

    /// Takes an answer in. An older leader epoch than the one known is not believed; only a newer one is news, for
    /// which the back-off starts from the beginning.
    pub fn update(
        &mut self,
        now: Time,
        brokers: BrokerSet,
        partitions: &[PartitionMetadata],
        fx: &mut Effects,
    ) {
        if brokers.is_empty() {
            // A broker that is only starting knows nobody yet.
            self.failed(now, fx);
            return;
        }
        self.brokers = brokers;
        let mut news = false;
        for p in partitions {
            let leader = p.leader.filter(|leader| brokers.contains(*leader));
            news |= self.learn(p.partition, leader, p.leader_epoch);
        }
        self.version += 1;
        self.answered = self.requests;
        self.in_progress = false;
        self.needed = false;
        self.attempt_started = None;
        self.failures = 0;
        // An update for its age alone repeats nothing, and may always come when it is due (`timeToAllowUpdate`).
        let aged = self.last_success.is_some_and(|last| last + self.max_age <= now);
        self.equivalent_responses = match (news, aged) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => self.equivalent_responses + 1,
        };
        self.last_success = Some(now);
        let wait = self.backoff.backoff(self.equivalent_responses.saturating_sub(1), fx);
        self.allowed_at = now + wait.min(self.max_age.max(self.backoff.term(0)));
    }

    /// A produce or fetch answer named a newer leader (KIP-951). Returns true when that was news.
    pub fn update_leader(
        &mut self,
        partition: PartitionId,
        leader: BrokerId,
        epoch: LeaderEpoch,
    ) -> bool {
        let newer = self.partition(partition).is_some_and(|known| known.leader_epoch < epoch);
        if newer {
            self.brokers = self.brokers.with(leader);
            self.learn(partition, Some(leader), epoch);
        }
        newer
    }

    /// Forgets brokers and partitions and falls back on `bootstrap.servers` (KIP-899, KIP-1102,
    /// `metadata.recovery.strategy=rebootstrap`): nobody leads anything any more, and the next `send()` of a producer
    /// waits for metadata as its first one did. Whoever answers next is believed, however old its epochs are: a topic
    /// whose id was forgotten counts as a new one (`Metadata.updateLatestMetadata`).
    pub fn rebootstrap(&mut self, now: Time) {
        self.brokers = self.all;
        self.partitions.clear();
        self.needed = true;
        self.attempt_started = Some(now);
    }

    /// An attempt to bring the metadata up to date begins, unless one is under way.
    pub fn attempt(&mut self, now: Time) {
        self.attempt_started.get_or_insert(now);
    }

    /// When the attempt that is under way began.
    pub fn attempt_started(&self) -> Option<Time> {
        self.attempt_started
    }

    /// True when it was news: an epoch newer than the one known.
    fn learn(
        &mut self,
        partition: PartitionId,
        leader: Option<BrokerId>,
        leader_epoch: LeaderEpoch,
    ) -> bool {
        if self.partitions.len() <= partition.index() {
            self.partitions.resize(partition.index() + 1, KnownPartition::UNKNOWN);
        }
        let known = &mut self.partitions[partition.index()];
        let before = known.leader_epoch;
        if leader_epoch >= before {
            *known = KnownPartition { leader, leader_epoch };
        }
        leader_epoch > before
    }

    /// Adds this cache to a fingerprint.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.brokers, &self.partitions, self.needed, self.in_progress));
        if let Some(at) = self.attempt_started {
            into.add_time(now, at);
        }
        into.add((self.failures, self.equivalent_responses, self.version.min(1)));
        into.add_time(now, self.allowed_at.max(now));
        if let Some(at) = self.last_success {
            into.add_time(now, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::chooser::Chooser;
    use crate::base::names::Names;
    use std::sync::Arc;

    const P: PartitionId = PartitionId(0);

    fn answer(leader: Option<u8>, epoch: i32) -> [PartitionMetadata; 1] {
        let leader = leader.map(BrokerId);
        [PartitionMetadata { partition: P, leader, leader_epoch: LeaderEpoch(epoch) }]
    }

    fn metadata() -> (ClientMetadata, Effects) {
        let backoff =
            ExponentialBackoff::new(Duration::from_millis(100), Duration::from_millis(1_000));
        let fx = Effects::new(Arc::new(Names::default()), Chooser::seeded(1));
        (ClientMetadata::new(3, backoff, Duration::from_secs(300)), fx)
    }

    #[test]
    fn an_older_leader_epoch_is_not_believed() {
        let (mut metadata, mut fx) = metadata();
        let all = metadata.brokers();
        metadata.update(Time::ZERO, all, &answer(Some(2), 5), &mut fx);
        metadata.update(Time::ZERO, all, &answer(Some(1), 4), &mut fx);
        assert_eq!(metadata.leader(P), Some(BrokerId(2)));
        metadata.update(Time::ZERO, all, &answer(None, 6), &mut fx);
        assert_eq!(metadata.leader(P), None);
        assert!(!metadata.update_leader(P, BrokerId(3), LeaderEpoch(6)), "not newer");
        assert!(metadata.update_leader(P, BrokerId(3), LeaderEpoch(7)));
        assert_eq!(metadata.leader(P), Some(BrokerId(3)));
    }

    #[test]
    fn who_falls_back_on_bootstrap_servers_forgets_who_leads_and_believes_whoever_answers() {
        let (mut metadata, mut fx) = metadata();
        let one: BrokerSet = [BrokerId(2)].into_iter().collect();
        metadata.update(Time::ZERO, one, &answer(Some(2), 5), &mut fx);
        metadata.rebootstrap(Time::ZERO);
        assert_eq!((metadata.partition(P), metadata.brokers().len()), (None, 3));
        metadata.update(Time::ZERO, one, &answer(Some(2), 4), &mut fx);
        assert_eq!(
            metadata.leader_epoch(P),
            LeaderEpoch(4),
            "the topic's id was forgotten as well"
        );
        metadata.update(Time::ZERO, one, &answer(Some(2), 3), &mut fx);
        assert_eq!(metadata.leader_epoch(P), LeaderEpoch(4));
    }

    #[test]
    fn only_a_newer_epoch_ends_the_growing_back_off() {
        let (mut metadata, mut fx) = metadata();
        let (all, fewer) = (metadata.brokers(), [BrokerId(1)].into_iter().collect());
        let mut wait_after = |brokers, answer: &[PartitionMetadata]| {
            metadata.update(Time::ZERO, brokers, answer, &mut fx);
            metadata.request_update(false);
            metadata.next_update()
        };
        let at_most_120_ms = Time::ZERO + Duration::from_millis(120);
        assert!(wait_after(all, &answer(Some(1), 0)) <= at_most_120_ms);
        for brokers in [all, fewer, all, fewer] {
            wait_after(brokers, &answer(Some(1), 0));
        }
        assert!(wait_after(all, &answer(Some(1), 0)) > at_most_120_ms, "other brokers are no news");
        assert!(wait_after(all, &answer(Some(1), 1)) <= at_most_120_ms);
    }

    #[test]
    fn updates_for_their_age_alone_never_wait_longer() {
        let (mut metadata, mut fx) = metadata();
        let all = metadata.brokers();
        for n in 0..9 {
            let now = Time::ZERO + Duration::from_secs(300 * n);
            assert!(metadata.is_update_due(now), "update {n}");
            metadata.update(now, all, &answer(Some(1), 0), &mut fx);
            metadata.request_update(false);
            assert!(metadata.is_update_due(now + Duration::from_millis(120)), "update {n}");
            metadata.needed = false;
        }
    }

    #[test]
    fn an_update_waits_for_the_back_off_but_for_a_new_topic() {
        let (mut metadata, mut fx) = metadata();
        assert!(metadata.is_update_due(Time::ZERO), "a new client asks at once");
        metadata.sent();
        assert!(!metadata.is_update_due(Time::ZERO), "one is on its way");
        let all = metadata.brokers();
        metadata.update(Time::ZERO, all, &answer(Some(1), 0), &mut fx);
        assert_eq!(metadata.next_update(), Time::ZERO + Duration::from_secs(300));
        metadata.request_update(false);
        let due = metadata.next_update();
        let (low, high) = (Duration::from_millis(80), Duration::from_millis(120));
        assert!(Time::ZERO + low <= due && due <= Time::ZERO + high, "{due}");
        metadata.request_update_for_new_topic();
        assert!(metadata.is_update_due(Time::ZERO));
    }
}
