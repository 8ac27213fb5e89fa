//! Is this partition part of the transaction? Before the first batch of a transaction is appended to a partition, its
//! leader asks the transaction coordinator (`AddPartitionsToTxnManager`, `ReplicaManager.handleProduceAppend`,
//! KIP-890):
//! for clients of version 1 whether they added it, for clients of version 2 to add it. The group coordinator asks the
//! same of its `__consumer_offsets` partition before it keeps offsets of a transaction.
//!
//! While the transaction before is being completed the coordinator says CONCURRENT_TRANSACTIONS; the leader asks again
//! for a while before it tells the client.
//!
//! Simplified: each request is a question of its own (Kafka gathers those to one coordinator), with one answer for all
//! its partitions; `add.partitions.to.txn.retry.backoff.ms` and `.max.ms` have their defaults.

use crate::base::batch::BatchKind;
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{
    BrokerId, GroupId, NodeId, PartitionId, ProducerEpoch, Sequence, TransactionalId,
};
use crate::base::time::{Duration, Time};
use crate::kafka::api::{Message, PartitionOffset, ProduceBatch};
use crate::kafka::broker::Broker;
use crate::kafka::broker::produce::{Append, Origin, ProduceParams};
use crate::kafka::effects::{Effects, List, TimerKind, Token};
use crate::kafka::group::transactional_offsets::TransactionalCommit;
use crate::kafka::log::producer_state::{Guard, Verified};

/// `request.timeout.ms` of a broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// `add.partitions.to.txn.retry.backoff.ms`.
const RETRY_BACKOFF: Duration = Duration::from_millis(20);
/// `add.partitions.to.txn.retry.backoff.max.ms`: after so long the client is told.
const RETRY_FOR: Duration = Duration::from_millis(100);

/// Which transaction a request is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Transaction {
    pub(super) id: TransactionalId,
    pub(super) producer_id: i64,
    pub(super) epoch: ProducerEpoch,
    /// The client speaks version 2: the partition is added, not looked for.
    pub(super) adds: bool,
}

/// The rest of a request that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Waiting {
    /// A produce request.
    Produce { params: ProduceParams, batches: Vec<ProduceBatch> },
    /// A `TxnOffsetCommit`.
    Offsets(TransactionalCommit),
}

/// A request that waits for the coordinator's word.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Question {
    transaction: Transaction,
    /// The partitions in question.
    partitions: Vec<(PartitionId, Guard)>,
    waiting: Waiting,
    /// To whom, with which correlation id; `None` while it waits to be asked again.
    sent: Option<(BrokerId, u32)>,
    /// When it times out, or is asked again.
    due: Time,
    retry_until: Time,
}

/// All of them. In memory only.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Verifications {
    questions: Vec<Question>,
}

impl Verifications {
    fn arm(&self, fx: &mut Effects) {
        if let Some(at) = self.questions.iter().map(|question| question.due).min() {
            fx.set_timer(TimerKind::AddPartitionsToTxn, 0, at);
        }
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        for question in &self.questions {
            into.add((question.transaction.producer_id, question.transaction.epoch));
            into.add((question.partitions.len(), question.sent.map(|(to, _)| to)));
            into.add_time(now, question.due);
        }
    }
}

impl Broker {
    /// How a transactional batch for `partition` shows that it may be appended, given the guards of its request.
    pub(super) fn verified(
        &self,
        partition: PartitionId,
        guards: &[(PartitionId, Guard)],
    ) -> Verified {
        if !self.config.brokers.transaction_partition_verification {
            return Verified::NotNeeded;
        }
        let own = guards.iter().find(|(p, _)| *p == partition);
        Verified::By(own.map(|(_, guard)| *guard))
    }

    /// Which of a produce request's partitions have to be asked for, with their guards.
    pub(super) fn unverified(
        &mut self,
        transaction: Transaction,
        batches: &[ProduceBatch],
        fx: &Effects,
    ) -> Vec<(PartitionId, Guard)> {
        let mut partitions = Vec::new();
        for ProduceBatch { partition, batch } in batches {
            let header = &fx.batches[*batch];
            let (Some(producer), BatchKind::Transactional) = (header.producer, header.kind) else {
                continue;
            };
            let guard = self.begin_verification(*partition, transaction, producer.base_sequence);
            partitions.extend(guard.map(|guard| (*partition, guard)));
        }
        partitions
    }

    /// `None` where nobody has to be asked: the transaction is open there, or this broker is not the leader.
    pub(super) fn begin_verification(
        &mut self,
        partition: PartitionId,
        transaction: Transaction,
        first: Sequence,
    ) -> Option<Guard> {
        let Transaction { producer_id, epoch, adds, .. } = transaction;
        if !self.config.brokers.transaction_partition_verification && !adds {
            return None;
        }
        let (replica, _) = self.parts(partition)?;
        if !replica.is_leader() || replica.producers.is_open(producer_id, epoch) {
            return None;
        }
        Some(replica.producers.begin_verification(producer_id, epoch, first, adds))
    }

    /// Asks the coordinator of the transaction about `partitions`; `waiting` goes on with its answer.
    pub(super) fn ask_coordinator(
        &mut self,
        now: Time,
        transaction: Transaction,
        partitions: Vec<(PartitionId, Guard)>,
        waiting: Waiting,
        fx: &mut Effects,
    ) {
        let retry_until = now + RETRY_FOR;
        let (sent, due) = (None, now);
        self.pose(now, Question { transaction, partitions, waiting, sent, due, retry_until }, fx);
    }

    fn pose(&mut self, now: Time, mut question: Question, fx: &mut Effects) {
        let Transaction { id, producer_id, epoch, adds } = question.transaction;
        let home = fx.names.transaction_partitions[id.index()];
        let Some(to) = self.disk.image.live_leader(home) else {
            return self.verified_or_not(now, question, ErrorCode::CoordinatorNotAvailable, fx);
        };
        let list: Vec<PartitionId> = question.partitions.iter().map(|(p, _)| *p).collect();
        let (partitions, verify_only) = (fx.keep(&list), !adds);
        let message =
            Message::AddPartitionsToTxn { id, producer_id, epoch, verify_only, partitions };
        question.sent = Some((to, fx.request(NodeId::Broker(to), message)));
        question.due = now + REQUEST_TIMEOUT;
        self.ram.verifications.questions.push(question);
        self.ram.verifications.arm(fx);
    }

    /// The coordinator answered.
    pub(super) fn coordinator_answered(
        &mut self,
        now: Time,
        correlation: u32,
        error: ErrorCode,
        fx: &mut Effects,
    ) {
        let questions = &mut self.ram.verifications.questions;
        let asked = |q: &Question| q.sent.is_some_and(|(_, sent)| sent == correlation);
        let Some(at) = questions.iter().position(asked) else { return };
        let mut question = questions.remove(at);
        let produces = matches!(question.waiting, Waiting::Produce { .. });
        let again = error == ErrorCode::ConcurrentTransactions && now < question.retry_until;
        if again && produces {
            (question.sent, question.due) = (None, now + RETRY_BACKOFF);
            self.ram.verifications.questions.push(question);
            return self.ram.verifications.arm(fx);
        }
        let error = match error {
            // Fatal for its client, as this one is not: it may abort and go on.
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            other => other,
        };
        self.verified_or_not(now, question, error, fx);
    }

    /// A question is to be asked again, or has waited too long.
    pub(super) fn questions_due(&mut self, now: Time, fx: &mut Effects) {
        let due = |question: &Question| question.due <= now;
        while let Some(at) = self.ram.verifications.questions.iter().position(due) {
            let question = self.ram.verifications.questions.remove(at);
            match question.sent {
                None => self.pose(now, question, fx),
                Some(_) => self.verified_or_not(now, question, ErrorCode::NetworkException, fx),
            }
        }
        self.ram.verifications.arm(fx);
    }

    /// The connection to a coordinator broke.
    pub(super) fn verification_lost(&mut self, now: Time, peer: BrokerId, fx: &mut Effects) {
        let lost = |question: &Question| question.sent.is_some_and(|(to, _)| to == peer);
        while let Some(at) = self.ram.verifications.questions.iter().position(lost) {
            let question = self.ram.verifications.questions.remove(at);
            self.verified_or_not(now, question, ErrorCode::NetworkException, fx);
        }
    }

    /// Goes on with the request.
    fn verified_or_not(
        &mut self,
        now: Time,
        question: Question,
        error: ErrorCode,
        fx: &mut Effects,
    ) {
        let Question { transaction, partitions, waiting, .. } = question;
        match waiting {
            Waiting::Produce { params, batches } => {
                let error = produce_error(error, transaction.adds);
                let verdict = (&partitions[..], error);
                self.append_produce(now, params, &batches, verdict, fx);
            }
            Waiting::Offsets(commit) => {
                let guard = partitions.first().map(|(_, guard)| *guard);
                self.commit_in_transaction(now, commit, (guard, error), fx);
            }
        }
    }

    /// `TxnOffsetCommit`: offsets of a group that count when the transaction commits.
    pub(super) fn txn_offset_commit(
        &mut self,
        now: Time,
        token: Token,
        message: Message,
        fx: &mut Effects,
    ) {
        let Message::TxnOffsetCommit {
            id,
            producer_id,
            epoch,
            group,
            adds,
            member,
            generation,
            ..
        } = message
        else {
            unreachable!("the caller matched it");
        };
        let offsets = offsets_of(message, fx);
        let home = fx.names.group_partitions[group.index()];
        let commit =
            TransactionalCommit { token, group, member, generation, producer_id, epoch, offsets };
        let transaction = Transaction { id, producer_id, epoch, adds };
        match self.begin_verification(home, transaction, Sequence(-1)) {
            Some(guard) => {
                let partitions = vec![(home, guard)];
                self.ask_coordinator(now, transaction, partitions, Waiting::Offsets(commit), fx);
            }
            None => self.commit_in_transaction(now, commit, (None, ErrorCode::None), fx),
        }
    }

    fn commit_in_transaction(
        &mut self,
        now: Time,
        commit: TransactionalCommit,
        (guard, error): (Option<Guard>, ErrorCode),
        fx: &mut Effects,
    ) {
        if error != ErrorCode::None {
            let error = commit_error(error);
            return fx.reply(commit.token, Message::TxnOffsetCommitResponse { error });
        }
        let home = home_of(commit.group, fx);
        let guards: Vec<(PartitionId, Guard)> =
            guard.map(|guard| (home, guard)).into_iter().collect();
        let origin = Origin::Coordinator(self.verified(home, &guards));
        let write = self.ram.coordinator.commit_in_transaction(now, commit, fx);
        if let Some(write) = write {
            let append = Append { partition: home, batch: write.batch, acks: 1, origin };
            let outcome = self.append_as_leader(now, append, fx);
            self.written(now, home, write.ticket, outcome, fx);
        }
    }
}

fn home_of(group: GroupId, fx: &Effects) -> PartitionId {
    fx.names.group_partitions[group.index()]
}

fn offsets_of(message: Message, fx: &Effects) -> Vec<PartitionOffset> {
    let offsets = match message {
        Message::TxnOffsetCommit { offsets, .. } => offsets,
        _ => List::EMPTY,
    };
    fx.pools.get(offsets).to_vec()
}

/// What a producer is told: the errors it would not know what to do with become one that it tries again.
fn produce_error(error: ErrorCode, adds: bool) -> ErrorCode {
    match error {
        ErrorCode::ConcurrentTransactions if adds => error,
        ErrorCode::ConcurrentTransactions
        | ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => ErrorCode::NotEnoughReplicas,
        other => other,
    }
}

/// The same for `TxnOffsetCommit`.
fn commit_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        other => other,
    }
}
