//! The transaction coordinator of one broker (`TransactionCoordinator`): it serves the transactional ids whose
//! `__transaction_state` partition this broker leads.
//!
//! A request is handled in two halves. The first decides and writes; the second happens when the record is replicated
//! (`state`): only then the step counts and the answer goes out. What is decided and written is never undone: whoever
//! becomes the next coordinator sends the markers (`markers`).
//!
//! Simplified: loading takes no time (never `COORDINATOR_LOAD_IN_PROGRESS`), and what is loaded counts at once, also
//! the records above the high watermark; ids are looked at for expiry every hour
//! (`transaction.remove.expired.transaction.cleanup.interval.ms`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::base::batch::{TransactionSnapshot, TransactionState};
use crate::base::config::ClusterConfig;
use crate::base::error::ErrorCode;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{
    BrokerId, LeaderEpoch, NodeId, PartitionId, ProducerEpoch, TransactionalId,
};
use crate::base::time::{Duration, Time};
use crate::kafka::api::Message;
use crate::kafka::effects::{Effects, TimerKind, Token};
use crate::kafka::transaction::end::{self, EndDecision, EndRequest};
use crate::kafka::transaction::markers::Markers;
use crate::kafka::transaction::metadata::{
    EPOCH_BUMP, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, TransactionMetadata, is_epoch_exhausted,
};
use crate::kafka::transaction::producer_ids::ProducerIdManager;
use crate::kafka::transaction::state::{Ended, Then, TransactionAppend, Write};

/// `transaction.remove.expired.transaction.cleanup.interval.ms`.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(3_600);

/// The transaction coordinator of one broker.
#[derive(Clone, Debug)]
pub struct TransactionCoordinator {
    pub(super) broker: BrokerId,
    pub(super) config: Arc<ClusterConfig>,
    /// The `__transaction_state` partitions this broker leads. The leader epoch is the coordinator epoch.
    pub(super) led: BTreeMap<PartitionId, LeaderEpoch>,
    pub(super) ids: BTreeMap<TransactionalId, TransactionMetadata>,
    /// In the order of their tickets.
    pub(super) writes: VecDeque<Write>,
    pub(super) last_ticket: u32,
    pub(super) markers: Markers,
}

/// What a step of the coordinator works with and leaves behind.
pub struct Step<'a> {
    /// The time.
    pub now: Time,
    /// Answers, timers, events.
    pub fx: &'a mut Effects,
    /// What it wants written.
    pub appends: &'a mut Vec<TransactionAppend>,
    /// Where new producer ids come from.
    pub producer_ids: &'a mut ProducerIdManager,
}

impl Step<'_> {
    pub(super) fn new_producer_id(&mut self) -> i64 {
        self.producer_ids.generate(self.fx.names.brokers)
    }
}

impl TransactionCoordinator {
    /// The coordinator of `broker`; it serves nobody until it is elected.
    pub fn new(broker: BrokerId, config: Arc<ClusterConfig>) -> Self {
        Self {
            broker,
            config,
            led: BTreeMap::new(),
            ids: BTreeMap::new(),
            writes: VecDeque::new(),
            last_ticket: 0,
            markers: Markers::default(),
        }
    }

    /// A request about a transactional id: `InitProducerId`, `AddPartitionsToTxn`, `AddOffsetsToTxn` or `EndTxn`.
    ///
    /// # Panics
    /// With any other message.
    pub fn handle(&mut self, step: &mut Step<'_>, token: Token, message: Message) {
        match message {
            Message::InitProducerId { transactional: Some(id), timeout_ms, producer_id, epoch } => {
                let has = (producer_id != NO_PRODUCER_ID).then_some((producer_id, epoch));
                if let Err(error) = self.init_producer_id(step, token, (id, timeout_ms, has)) {
                    step.fx.reply(token, init_answer(error));
                }
            }
            Message::AddPartitionsToTxn { id, producer_id, epoch, verify_only, partitions } => {
                let partitions = step.fx.pools.get(partitions).to_vec();
                let producer = (id, producer_id, epoch);
                let answer = if verify_only {
                    Some(self.verify(producer, &partitions, step.fx))
                } else {
                    self.add_partitions(step, (token, false), producer, &partitions).err()
                };
                if let Some(error) = answer {
                    step.fx.reply(token, Message::AddPartitionsToTxnResponse { error });
                }
            }
            Message::AddOffsetsToTxn { id, producer_id, epoch, group } => {
                let home = step.fx.names.group_partitions[group.index()];
                let producer = (id, producer_id, epoch);
                if let Err(error) = self.add_partitions(step, (token, true), producer, &[home]) {
                    step.fx.reply(token, Message::AddOffsetsToTxnResponse { error });
                }
            }
            Message::EndTxn { id, producer_id, epoch, committed, bumps } => {
                let version = if bumps { EPOCH_BUMP } else { 0 };
                let request =
                    EndRequest { producer_id, epoch, committed, from_client: true, version };
                self.end(step, id, request, Ended::Client { token, bumps });
            }
            other => unreachable!("not a request to a transaction coordinator: {other:?}"),
        }
    }

    /// The id, if this broker coordinates it and knows it.
    fn known(
        &mut self,
        id: TransactionalId,
        fx: &Effects,
    ) -> Result<&mut TransactionMetadata, ErrorCode> {
        self.coordinates(id, fx)?;
        self.ids.get_mut(&id).ok_or(ErrorCode::InvalidProducerIdMapping)
    }

    pub(super) fn coordinates(
        &self,
        id: TransactionalId,
        fx: &Effects,
    ) -> Result<LeaderEpoch, ErrorCode> {
        let home = fx.names.transaction_partitions[id.index()];
        self.led.get(&home).copied().ok_or(ErrorCode::NotCoordinator)
    }

    /// `handleInitProducerId`.
    fn init_producer_id(
        &mut self,
        step: &mut Step<'_>,
        token: Token,
        (id, timeout_ms, has): (TransactionalId, u32, Option<(i64, ProducerEpoch)>),
    ) -> Result<(), ErrorCode> {
        let longest = self.config.brokers.transaction_max_timeout.as_millis();
        if timeout_ms == 0 || u64::from(timeout_ms) > longest {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        self.coordinates(id, step.fx)?;
        let at = step.now.timestamp();
        let created =
            |step: &mut Step<'_>| TransactionMetadata::new(step.new_producer_id(), timeout_ms, at);
        let metadata = self.ids.entry(id).or_insert_with(|| created(step));
        if metadata.pending.is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if !has.is_none_or(|producer| is_valid_producer(metadata, producer)) {
            return Err(ErrorCode::ProducerFenced);
        }
        let expected = has.map(|(_, epoch)| epoch);
        match metadata.current.state {
            TransactionState::PrepareAbort | TransactionState::PrepareCommit => {
                Err(ErrorCode::ConcurrentTransactions)
            }
            TransactionState::Ongoing => {
                let fence = metadata.prepare_fence_epoch();
                self.abort_fenced(step, id, &fence, Ended::Init { token });
                Ok(())
            }
            _ => {
                let current = metadata.current.epoch;
                let rotates = is_epoch_exhausted(current) && expected.is_none_or(|e| e == current);
                let to = if rotates {
                    let new_id = step.new_producer_id();
                    metadata.prepare_id_rotation(new_id, timeout_ms, at, expected.is_some())
                } else {
                    metadata.prepare_increment_epoch(timeout_ms, expected, at)?
                };
                self.append(step, id, to, Then::Init { token });
                Ok(())
            }
        }
    }

    /// `handleVerifyPartitionsInTransaction`: a leader asks before it appends the first batch of a transaction.
    fn verify(
        &mut self,
        (id, producer_id, epoch): (TransactionalId, i64, ProducerEpoch),
        partitions: &[PartitionId],
        fx: &Effects,
    ) -> ErrorCode {
        let current = match self.known(id, fx) {
            Ok(metadata) => &metadata.current,
            Err(error) => return error,
        };
        if current.producer_id != producer_id {
            return ErrorCode::InvalidProducerIdMapping;
        }
        if current.epoch != epoch {
            return ErrorCode::ProducerFenced;
        }
        if is_prepared(current) {
            return ErrorCode::ConcurrentTransactions;
        }
        if partitions.iter().all(|p| current.partitions.contains(p)) {
            ErrorCode::None
        } else {
            ErrorCode::TransactionAbortable
        }
    }

    /// `handleAddPartitionsToTransaction`. `NONE` as an error says that there is nothing to write.
    fn add_partitions(
        &mut self,
        step: &mut Step<'_>,
        (token, offsets): (Token, bool),
        (id, producer_id, epoch): (TransactionalId, i64, ProducerEpoch),
        partitions: &[PartitionId],
    ) -> Result<(), ErrorCode> {
        let metadata = self.known(id, step.fx)?;
        let current = &metadata.current;
        if current.producer_id != producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if current.epoch != epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        if metadata.pending.is_some() || is_prepared(current) {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let ongoing = current.state == TransactionState::Ongoing;
        if ongoing && partitions.iter().all(|p| current.partitions.contains(p)) {
            return Err(ErrorCode::None);
        }
        // Leaders ask for clients of version 2; clients that ask themselves are of an older one.
        let asked_by_leader = matches!(token.from, NodeId::Broker(_));
        let version = if asked_by_leader { EPOCH_BUMP } else { 0 };
        let to = metadata.prepare_add_partitions(partitions, step.now.timestamp(), version);
        self.append(step, id, to, Then::Added { token, offsets });
        Ok(())
    }

    /// Aborts the transaction whose producer `fence` shuts out.
    fn abort_fenced(
        &mut self,
        step: &mut Step<'_>,
        id: TransactionalId,
        fence: &TransactionSnapshot,
        ended: Ended,
    ) {
        let request = EndRequest {
            producer_id: fence.producer_id,
            epoch: fence.epoch,
            committed: false,
            from_client: false,
            version: self.config.features.transaction_version,
        };
        self.end(step, id, request, ended);
    }

    /// `endTransaction`.
    fn end(&mut self, step: &mut Step<'_>, id: TransactionalId, request: EndRequest, ended: Ended) {
        let at = step.now.timestamp();
        let brokers = step.fx.names.brokers;
        let decision = match self.known(id, step.fx) {
            Err(error) => EndDecision::Answer(error, NO_PRODUCER_ID, NO_PRODUCER_EPOCH),
            Ok(metadata) => {
                let producer_ids = &mut *step.producer_ids;
                end::decide(metadata, request, at, || producer_ids.generate(brokers))
            }
        };
        match decision {
            EndDecision::Answer(error, producer_id, epoch) => {
                ended.answer(step.fx, error, producer_id, epoch);
            }
            EndDecision::Prepare { to, fences } => {
                self.append(step, id, to, Then::Ended { ended, fences });
            }
        }
    }

    /// A timer of the coordinator ran out.
    pub fn timeout(&mut self, step: &mut Step<'_>, kind: TimerKind) {
        match kind {
            TimerKind::TransactionAbort => {
                self.abort_timed_out(step);
                self.schedule_abort(step.now, step.fx);
            }
            TimerKind::TransactionalIdExpiration => {
                self.expire_ids(step);
                schedule_expiry(step.now, step.fx);
            }
            TimerKind::TransactionWrite => self.writes_timed_out(step),
            _ => unreachable!("not a timer of the transaction coordinator: {kind:?}"),
        }
    }

    /// The process serves from now on.
    pub fn start(&self, now: Time, fx: &mut Effects) {
        if !fx.names.transactional_ids.is_empty() {
            self.schedule_abort(now, fx);
            schedule_expiry(now, fx);
        }
    }

    fn schedule_abort(&self, now: Time, fx: &mut Effects) {
        let at = now + self.config.brokers.transaction_abort_interval;
        fx.set_timer(TimerKind::TransactionAbort, 0, at);
    }

    /// `abortTimedOutTransactions`: what is open for longer than its producer's `transaction.timeout.ms` is aborted.
    fn abort_timed_out(&mut self, step: &mut Step<'_>) {
        let at = step.now.timestamp();
        let late = |metadata: &TransactionMetadata| {
            let TransactionSnapshot { state, started, timeout_ms, .. } = metadata.current;
            let idle = metadata.pending.is_none();
            idle && state == TransactionState::Ongoing && started + i64::from(timeout_ms) < at
        };
        let due: Vec<TransactionalId> =
            self.ids.iter().filter(|(_, m)| late(m)).map(|(id, _)| *id).collect();
        for id in due {
            let Some(metadata) = self.ids.get_mut(&id) else { continue };
            let fence = metadata.prepare_fence_epoch();
            self.abort_fenced(step, id, &fence, Ended::Nobody);
        }
    }

    /// Ids that nobody used for `transactional.id.expiration.ms` are forgotten.
    fn expire_ids(&mut self, step: &mut Step<'_>) {
        let at = step.now.timestamp();
        let kept_for = self.config.brokers.transactional_id_expiration.as_millis() as i64;
        let old = |metadata: &TransactionMetadata| {
            let TransactionSnapshot { state, updated, .. } = metadata.current;
            let idle = !is_prepared(&metadata.current) && state != TransactionState::Ongoing;
            idle && metadata.pending.is_none() && updated + kept_for <= at
        };
        let due: Vec<TransactionalId> =
            self.ids.iter().filter(|(_, m)| old(m)).map(|(id, _)| *id).collect();
        for id in due {
            let Some(metadata) = self.ids.get_mut(&id) else { continue };
            let to = metadata.prepare_dead();
            self.append(step, id, to, Then::Dead);
        }
    }

    /// The id as it counts, where this broker coordinates it.
    pub fn transaction(&self, id: TransactionalId) -> Option<&TransactionSnapshot> {
        self.ids.get(&id).map(|metadata| &metadata.current)
    }

    /// Adds the coordinator's state to a fingerprint.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add(&self.led);
        for (id, metadata) in &self.ids {
            into.add(id);
            metadata.fingerprint(into);
            into.add(metadata.current.started.max(-1) - now.timestamp());
            into.add(metadata.current.updated - now.timestamp());
        }
        for write in &self.writes {
            write.fingerprint(now, self.last_ticket, into);
        }
        self.markers.fingerprint(now, into);
    }
}

fn schedule_expiry(now: Time, fx: &mut Effects) {
    fx.set_timer(TimerKind::TransactionalIdExpiration, 0, now + EXPIRY_INTERVAL);
}

/// The decision is written: no other step before the markers are.
fn is_prepared(current: &TransactionSnapshot) -> bool {
    matches!(current.state, TransactionState::PrepareAbort | TransactionState::PrepareCommit)
}

/// A producer that names its id may be the current one, or the one before when its epochs were used up; to an id just
/// created anybody may come.
fn is_valid_producer(metadata: &TransactionMetadata, (id, epoch): (i64, ProducerEpoch)) -> bool {
    let now = &metadata.current;
    now.epoch == NO_PRODUCER_EPOCH
        || id == now.producer_id
        || (id == now.previous_producer_id && is_epoch_exhausted(epoch))
}

pub(super) fn init_answer(error: ErrorCode) -> Message {
    Message::InitProducerIdResponse { error, producer_id: NO_PRODUCER_ID, epoch: NO_PRODUCER_EPOCH }
}
