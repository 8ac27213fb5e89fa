//! The sending half of the producer: what Kafka's I/O thread does, from the accumulator to the broker and back.
//!
//! Kafka: `Sender`. One pass of [`Sender::run`] is what its loop does until there is nothing left to send.
//! What a transactional producer asks coordinators is in [`transactions`].
//! Simplified: passes happen at events and timers, so nothing spins; a batch without an outcome is the same whether
//! the answer is lost or late.

mod transactions;

use crate::base::batch::BatchKind;
use crate::base::config::{Acks, Defect, ProducerConfig};
use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BatchHandle, BrokerId, LeaderEpoch, NodeId, Offset, PartitionId};
use crate::base::librdkafka::ClientFamily;
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::api::{Message, ProduceBatch, ProduceResult};
use crate::kafka::effects::Effects;
use crate::kafka::network_client::{Answer, NetworkClient, NetworkConfig};
use crate::kafka::producer::accumulator::{DrainContext, RecordAccumulator};
use crate::kafka::producer::batch::BatchId;
use crate::kafka::producer::sender::transactions::Turn;
use crate::kafka::producer::transaction_manager::{
    InitState, ProducerIdAndEpoch, TransactionManager,
};

/// What a request in flight is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Payload {
    /// Batches: a place in [`Sender::requests`].
    Produce(u32),
    /// The request for a producer id.
    InitProducerId,
    /// The request of a transactional producer to a coordinator.
    Transactional,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    node: NodeId,
    acks: Acks,
    retries: u32,
    request_timeout: Duration,
    delivery_timeout: Duration,
    retry_backoff: Duration,
    max_request_size: u32,
    librdkafka: bool,
    /// `max.in.flight.requests.per.connection=1` of the Java client.
    guarantee_message_order: bool,
    pub(super) client: NetworkClient<Payload>,
    pub(super) accumulator: RecordAccumulator,
    pub(super) transactions: Option<TransactionManager>,
    /// What the request whose turn it is waits for.
    turn: Option<Turn>,
    /// When a coordinator was last looked for.
    looked_up: Option<Time>,
    /// When the thread of a producer that is in a fatal state looks again.
    next_fatal_look: Option<Time>,
    /// How many batches the application was told have failed.
    pub(super) failures: u64,
    /// The batches of each produce request in flight; unused places are listed in `free_requests`.
    requests: Vec<Vec<BatchId>>,
    free_requests: Vec<u32>,
    /// Requests of the pass that is under way. Reused, as are the next four.
    outgoing: Vec<(BrokerId, u32)>,
    expired: Vec<BatchId>,
    scratch: Vec<PartitionId>,
    produce_batches: Vec<ProduceBatch>,
    results: Vec<ProduceResult>,
}

/// How an attempt to store a batch ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Attempt {
    error: ErrorCode,
    /// The handle that was on the wire.
    handle: BatchHandle,
    base_offset: Offset,
    /// The leader named with the error.
    leader: Option<(BrokerId, LeaderEpoch)>,
}

impl Attempt {
    fn failed(error: ErrorCode) -> Self {
        Self { error, handle: BatchHandle::NONE, base_offset: Offset::NONE, leader: None }
    }
}

impl From<&ProduceResult> for Attempt {
    fn from(result: &ProduceResult) -> Self {
        Self {
            error: result.error,
            handle: result.batch,
            base_offset: result.base_offset,
            leader: result.leader.map(|leader| (leader, result.leader_epoch)),
        }
    }
}

impl Sender {
    /// Of producer `number`, which knows brokers 1 to `brokers`.
    pub(super) fn new(number: u16, config: &ProducerConfig, brokers: u8) -> Self {
        Self {
            node: NodeId::Producer(number),
            acks: config.acks,
            retries: config.retries,
            request_timeout: config.request_timeout,
            delivery_timeout: config.delivery_timeout,
            retry_backoff: config.retry_backoff,
            max_request_size: config.max_request_size,
            librdkafka: config.family == ClientFamily::Librdkafka,
            guarantee_message_order: config.max_in_flight == 1
                && config.family == ClientFamily::Java,
            client: NetworkClient::new(NetworkConfig::from(config), brokers),
            accumulator: RecordAccumulator::new(config),
            transactions: config.enable_idempotence.then(TransactionManager::new),
            turn: None,
            looked_up: None,
            next_fatal_look: None,
            failures: 0,
            requests: Vec::new(),
            free_requests: Vec::new(),
            outgoing: Vec::new(),
            expired: Vec::new(),
            scratch: Vec::new(),
            produce_batches: Vec::new(),
            results: Vec::new(),
        }
    }

    /// True when nothing waits, is in flight, or is to be sent.
    pub(super) fn is_drained(&self) -> bool {
        !self.accumulator.has_incomplete()
            && !self.client.has_in_flight()
            && !self.asks_coordinators()
    }

    /// Sends what can be sent and fails what has waited too long. `exhausted` says that a `send()` waits for memory.
    /// Returns when to run again at the latest.
    pub(super) fn run(&mut self, now: Time, exhausted: bool, fx: &mut Effects) -> Time {
        for payload in self.client.expire(now, fx) {
            self.lost(now, payload, ErrorCode::RequestTimedOut, fx);
        }
        loop {
            self.client.poll(now, fx);
            if let Some(wait) = self.transactional_pass(now, fx) {
                return wait.min(self.client.next_deadline(now));
            }
            let (sent, next) = self.send_producer_data(now, exhausted, fx);
            if !sent {
                // A batch without a leader has asked for metadata, perhaps at once.
                self.client.poll(now, fx);
                return next.min(self.client.next_deadline(now));
            }
        }
    }

    /// One pass: drain, expire, send. Returns whether anything was sent, and when to look again.
    fn send_producer_data(&mut self, now: Time, exhausted: bool, fx: &mut Effects) -> (bool, Time) {
        let check = self.accumulator.ready(now, self.client.metadata(), exhausted);
        if check.unknown_leader {
            self.client.metadata_mut().request_update(false);
        }
        let mut next = check.next_check;
        let mut outgoing = std::mem::take(&mut self.outgoing);
        for broker in check.nodes.iter() {
            let ready = self.client.ready(now, broker, fx);
            self.accumulator.update_latency(now, broker, ready);
            if ready {
                self.drain(now, broker, &mut outgoing);
            } else {
                next = next.min(self.client.ready_at(broker));
            }
        }
        self.expire(now, fx);
        let sent = !outgoing.is_empty();
        for (broker, request) in outgoing.drain(..) {
            self.transmit(now, broker, request, fx);
        }
        self.outgoing = outgoing;
        (sent, next.min(self.accumulator.next_expiry()))
    }

    fn drain(&mut self, now: Time, broker: BrokerId, outgoing: &mut Vec<(BrokerId, u32)>) {
        let request = self.free_requests.pop().unwrap_or_else(|| {
            self.requests.push(Vec::new());
            self.requests.len() as u32 - 1
        });
        let mut world = DrainContext {
            metadata: self.client.metadata(),
            transactions: self.transactions.as_mut(),
            scratch: std::mem::take(&mut self.scratch),
        };
        let batches = &mut self.requests[request as usize];
        self.accumulator.drain(now, broker, self.max_request_size, &mut world, batches);
        self.scratch = world.scratch;
        if batches.is_empty() {
            self.free_requests.push(request);
            return;
        }
        outgoing.push((broker, request));
        for n in 0..self.requests[request as usize].len() {
            let id = self.requests[request as usize][n];
            self.accumulator.sent(id, self.guarantee_message_order);
        }
    }

    /// Closes a batch and gives it a handle: the one it has, unless its sequence was rewritten since.
    fn seal(&mut self, id: BatchId, fx: &mut Effects) {
        let batch = &mut self.accumulator.batches[id];
        batch.close();
        let partition = batch.partition;
        let producer = batch.producer.filter(|producer| producer.id != ProducerIdAndEpoch::NONE.id);
        if batch.handle == BatchHandle::NONE {
            let kind = kind_of(self.transactions.as_ref());
            batch.handle = fx.batches.add_of_kind(kind, self.node, producer, batch.records());
            fx.event(EventKind::BatchReady { batch: batch.handle, partition });
        } else if fx.batches[batch.handle].producer != producer {
            let replaces = batch.handle;
            batch.handle = fx.batches.rewrite(replaces, producer);
            let (batch, error) = (batch.handle, batch.last_error);
            fx.event(EventKind::Retry { batch, partition, error, replaces });
        }
    }

    fn expire(&mut self, now: Time, fx: &mut Effects) {
        let mut expired = std::mem::take(&mut self.expired);
        self.accumulator.expire(now, &mut expired);
        for id in expired.drain(..) {
            if let Some(transactions) = &mut self.transactions
                && self.accumulator.batches[id].in_retry()
            {
                transactions.mark_unresolved(&self.accumulator.batches[id]);
            }
            self.fail(id, ErrorCode::RequestTimedOut, false, fx);
        }
        self.expired = expired;
    }

    fn transmit(&mut self, now: Time, broker: BrokerId, request: u32, fx: &mut Effects) {
        for n in 0..self.requests[request as usize].len() {
            self.seal(self.requests[request as usize][n], fx);
        }
        self.produce_batches.clear();
        self.produce_batches.extend(self.requests[request as usize].iter().map(|id| {
            let batch = &self.accumulator.batches[*id];
            ProduceBatch { partition: batch.partition, batch: batch.handle }
        }));
        let batches = fx.keep(&self.produce_batches);
        let acks = match self.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        let timeout_ms = self.request_timeout.as_millis() as u32;
        let transaction = self.transactions.as_ref().and_then(TransactionManager::transaction);
        let (transactional, adds) = transaction.map_or((None, false), |(id, v2)| (Some(id), v2));
        let message = Message::Produce { acks, timeout_ms, transactional, adds, batches };
        if self.acks == Acks::None {
            // Written to the socket is all that `acks=0` waits for.
            self.client.send_one_way(broker, message, fx);
            self.finish(now, request, fx, |_| Attempt::failed(ErrorCode::None));
        } else {
            let request = (message, Payload::Produce(request));
            self.client.send(now, broker, request, self.request_timeout, fx);
        }
    }

    /// An answer arrived.
    pub(super) fn response(
        &mut self,
        now: Time,
        from: NodeId,
        (correlation, message): (u32, &Message),
        fx: &mut Effects,
    ) {
        match self.client.response(now, from, (correlation, message), fx) {
            Answer::Caller(_, Payload::Produce(request)) => {
                let Message::ProduceResponse { results } = *message else {
                    unreachable!("a Produce request is answered by a ProduceResponse");
                };
                let mut list = std::mem::take(&mut self.results);
                list.clear();
                list.extend_from_slice(fx.pools.get(results));
                self.finish(now, request, fx, |partition| {
                    let result = list.iter().find(|result| result.partition == partition);
                    result.map_or(Attempt::failed(ErrorCode::UnknownServerError), Attempt::from)
                });
                self.results = list;
            }
            Answer::Caller(_, Payload::InitProducerId) => {
                self.producer_id_answered(now, message, fx);
            }
            Answer::Caller(_, Payload::Transactional) => self.coordinator_answered(message, fx),
            Answer::Internal | Answer::Late => {}
        }
    }

    /// The connection to `peer` broke.
    pub(super) fn disconnected(&mut self, now: Time, peer: NodeId, fx: &mut Effects) {
        for payload in self.client.disconnected(now, peer, fx) {
            self.lost(now, payload, ErrorCode::NetworkException, fx);
        }
    }

    /// A request will not be answered.
    fn lost(&mut self, now: Time, payload: Payload, error: ErrorCode, fx: &mut Effects) {
        match payload {
            Payload::Produce(request) => {
                self.finish(now, request, fx, |_| Attempt::failed(error));
            }
            Payload::InitProducerId => {
                if let Some(transactions) = &mut self.transactions {
                    transactions.init = InitState::Due(now + self.retry_backoff);
                }
            }
            Payload::Transactional => {
                if let Some(transactions) = &mut self.transactions {
                    transactions.lost();
                }
            }
        }
    }

    /// Ends a request: each of its batches is completed, failed or put back.
    fn finish(
        &mut self,
        now: Time,
        request: u32,
        fx: &mut Effects,
        attempt: impl Fn(PartitionId) -> Attempt,
    ) {
        let mut batches = std::mem::take(&mut self.requests[request as usize]);
        for id in batches.drain(..) {
            let partition = self.accumulator.batches[id].partition;
            self.attempted(now, id, attempt(partition), fx);
        }
        self.requests[request as usize] = batches;
        self.free_requests.push(request);
    }

    /// `Sender.completeBatch`.
    fn attempted(&mut self, now: Time, id: BatchId, attempt: Attempt, fx: &mut Effects) {
        let error = attempt.error;
        let batch = &mut self.accumulator.batches[id];
        let (partition, done, count) = (batch.partition, batch.done, batch.count);
        batch.in_flight = false;
        if error == ErrorCode::MessageTooLarge && count > 1 && !done {
            if let Some(transactions) = &mut self.transactions {
                transactions.forget(partition, id);
            }
            self.accumulator.split_and_reenqueue(id, self.transactions.as_mut());
        } else if error == ErrorCode::None || error == ErrorCode::DuplicateSequenceNumber {
            // The broker has had a duplicate for long and does not know its offset any more: stored all the same.
            self.complete(id, attempt, fx);
        } else if error == ErrorCode::OutOfOrderSequenceNumber && self.believes_stored(id) {
            self.complete(id, Attempt::failed(ErrorCode::None), fx);
        } else {
            if self.can_retry(now, id, error) {
                self.retry(now, id, error, fx);
            } else {
                let retries_left = self.accumulator.batches[id].attempts < self.retries;
                self.fail(id, error, retries_left, fx);
            }
            self.learn_leader(partition, attempt);
        }
        if done {
            self.accumulator.forget(id);
        }
        if self.guarantee_message_order {
            self.accumulator.unmute(partition);
        }
    }

    /// librdkafka takes a batch whose sequence is below the last acknowledged one for a duplicate, hence for stored.
    fn believes_stored(&self, id: BatchId) -> bool {
        let batch = &self.accumulator.batches[id];
        let passed = |txn: &TransactionManager| txn.has_acked_past(batch);
        self.librdkafka && self.transactions.as_ref().is_some_and(passed)
    }

    fn can_retry(&mut self, now: Time, id: BatchId, error: ErrorCode) -> bool {
        let batch = &self.accumulator.batches[id];
        let allowed = !batch.has_expired(now, self.delivery_timeout)
            && batch.attempts < self.retries
            && !batch.done;
        allowed
            && match &mut self.transactions {
                None => error.is_retriable(),
                Some(transactions) => transactions.can_retry(batch, error),
            }
    }

    fn retry(&mut self, now: Time, id: BatchId, error: ErrorCode, fx: &mut Effects) {
        if fx.defect == Defect::RetryAckedUnwritten && self.transactions.is_none() {
            self.complete(id, Attempt::failed(ErrorCode::None), fx);
            return;
        }
        self.accumulator.reenqueue(now, id, error, fx);
        let batch = &self.accumulator.batches[id];
        let (batch, partition) = (batch.handle, batch.partition);
        fx.event(EventKind::Retry { batch, partition, error, replaces: batch });
    }

    fn complete(&mut self, id: BatchId, attempt: Attempt, fx: &mut Effects) {
        let batch = &self.accumulator.batches[id];
        if let Some(transactions) = &mut self.transactions {
            transactions.completed(id, batch);
        }
        if batch.done {
            return;
        }
        let known = attempt.handle != BatchHandle::NONE;
        let handle = if known { attempt.handle } else { batch.handle };
        let (partition, base_offset) = (batch.partition, attempt.base_offset);
        fx.event(EventKind::Acknowledged { batch: handle, partition, base_offset });
        self.accumulator.complete(id);
    }

    /// Tells the application that the batch failed. `adjust` says that retries were left, so that the failure is the
    /// broker's word.
    fn fail(&mut self, id: BatchId, error: ErrorCode, adjust: bool, fx: &mut Effects) {
        if self.accumulator.batches[id].done {
            return;
        }
        self.say_failed(id, exception(error), fx);
        if let Some(transactions) = &mut self.transactions {
            transactions.failed(id, exception(error), adjust, &mut self.accumulator.batches);
        }
        self.accumulator.complete(id);
    }

    fn say_failed(&mut self, id: BatchId, exception: Exception, fx: &mut Effects) {
        let batch = &mut self.accumulator.batches[id];
        if batch.handle == BatchHandle::NONE {
            // It was never sent: the table knows its records from now on.
            let kind = kind_of(self.transactions.as_ref());
            batch.handle = fx.batches.add_of_kind(kind, self.node, batch.producer, batch.records());
        }
        let (batch, partition) = (batch.handle, batch.partition);
        self.failures += 1;
        fx.event(EventKind::BatchFailed { batch, partition, exception });
    }

    /// `close(timeout)` is over and something has no outcome: that is its outcome, whether the broker has it or not.
    pub(super) fn abort_incomplete(&mut self, fx: &mut Effects) {
        for id in self.accumulator.abort() {
            self.say_failed(id, Exception::Kafka, fx);
            self.accumulator.complete(id);
        }
    }

    /// Errors that say that the metadata is old, and the leader that some of them name (KIP-951).
    fn learn_leader(&mut self, partition: PartitionId, attempt: Attempt) {
        let metadata = self.client.metadata_mut();
        let moved =
            matches!(attempt.error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
        let invalid = matches!(
            attempt.error,
            ErrorCode::UnknownTopicOrPartition
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::NetworkException
        );
        if let Some((leader, epoch)) = attempt.leader
            && moved
        {
            metadata.update_leader(partition, leader, epoch);
        }
        if moved || invalid {
            metadata.request_update(false);
        }
    }

    /// Adds the sender to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        self.client.fingerprint(now, into);
        self.accumulator.fingerprint(now, into);
        if let Some(transactions) = &self.transactions {
            transactions.fingerprint(now, into);
        }
        self.fingerprint_turn(now, into);
        into.add(self.requests.len());
    }
}

/// The batches of a transactional producer are transactional, all of them.
fn kind_of(transactions: Option<&TransactionManager>) -> BatchKind {
    let transactional = transactions.is_some_and(TransactionManager::is_transactional);
    if transactional { BatchKind::Transactional } else { BatchKind::Plain }
}

/// The exception an application sees for an error.
fn exception(error: ErrorCode) -> Exception {
    match error {
        ErrorCode::RequestTimedOut => Exception::Timeout,
        ErrorCode::NetworkException => Exception::Network,
        ErrorCode::MessageTooLarge => Exception::RecordTooLarge,
        other => Exception::Wire(other),
    }
}
