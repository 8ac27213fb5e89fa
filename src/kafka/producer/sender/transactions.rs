//! What the I/O thread does before it produces: it gets a producer id, and asks coordinators what a transactional
//! producer has to ask, one request at a time.
//!
//! Kafka: `Sender.maybeSendAndPollTransactionalRequest`. While such a request waits for its broker or its answer, no
//! batch is sent and none expires.
//! Simplified: the pause before a retry does not stop the thread from handling answers; `FindCoordinator` after a
//! failed connection goes out once a `retry.backoff.ms`, in Kafka as fast as it is answered.

use crate::base::error::{ErrorCode, Exception};
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{BrokerId, ProducerEpoch};
use crate::base::time::{Duration, Time};
use crate::event::EventKind;
use crate::kafka::api::Message;
use crate::kafka::effects::Effects;
use crate::kafka::producer::batch::BatchId;
use crate::kafka::producer::sender::{Payload, Sender};
use crate::kafka::producer::transaction_manager::{
    InitState, PendingRequest, ProducerIdAndEpoch, TransactionManager,
};

/// The request whose turn it is, before it is sent.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    request: PendingRequest,
    /// The broker it goes to, and until when the thread waits for a connection.
    broker: Option<(BrokerId, Time)>,
    /// Until when it pauses.
    pause: Option<Time>,
}

impl Sender {
    /// What comes before data. `None`: data may be sent. Otherwise when to go on at the latest.
    pub(super) fn transactional_pass(&mut self, now: Time, fx: &mut Effects) -> Option<Time> {
        let transactions = self.transactions.as_mut()?;
        if !transactions.is_transactional() {
            return self.wait_for_producer_id(now, fx);
        }
        transactions.transaction_version = self.client.metadata().transaction_version();
        if transactions.fatal_error().is_none() {
            transactions.settle(&mut self.accumulator.batches);
        }
        if let Some(error) = self.fatal_error() {
            self.turn = None;
            return Some(self.fatal_pass(now, error, fx));
        }
        self.ask_coordinators(now, fx)
    }

    /// `runOnce` in a fatal state: what has no outcome fails, and the thread looks again after `retry.backoff.ms`. A
    /// `send()` throws meanwhile, which does not wake the thread, and its record stays in the accumulator: it fails at
    /// the next look. Returns when that is.
    fn fatal_pass(&mut self, now: Time, error: Exception, fx: &mut Effects) -> Time {
        let backoff = self.retry_backoff.0.max(1);
        if let Some(next) = self.next_fatal_look {
            if !self.accumulator.has_incomplete() {
                return Time::NEVER;
            }
            let due = next + Duration(now.since(next).0.div_ceil(backoff) * backoff);
            if now < due {
                return due;
            }
        }
        self.next_fatal_look = Some(now + Duration(backoff));
        let all: Vec<BatchId> = self.accumulator.incomplete().collect();
        self.abort_batches(&all, error, fx);
        Time::NEVER
    }

    /// What the transaction manager died of.
    fn fatal_error(&self) -> Option<Exception> {
        self.transactions.as_ref()?.fatal_error()
    }

    /// `close()` aborts an open transaction. True when there is something to wait for.
    pub(in crate::kafka::producer) fn begin_abort_at_close(&mut self) -> bool {
        self.transactions.as_mut().is_some_and(TransactionManager::begin_abort_at_close)
    }

    /// A request of an open transaction, or its end, is under way.
    pub(super) fn asks_coordinators(&self) -> bool {
        let Some(transactions) = &self.transactions else { return false };
        transactions.is_completing()
            || transactions.is_ongoing() && (self.turn.is_some() || transactions.has_requests())
    }

    fn manager(&mut self) -> &mut TransactionManager {
        self.transactions.as_mut().expect("only a transactional producer comes here")
    }

    fn ask_coordinators(&mut self, now: Time, fx: &mut Effects) -> Option<Time> {
        loop {
            if self.manager().has_in_flight() {
                return Some(Time::NEVER);
            }
            if self.turn.is_none() {
                if let Some(exception) = self.manager().aborts_batches_with() {
                    let unsent: Vec<BatchId> = self.accumulator.without_sequence().collect();
                    self.abort_batches(&unsent, exception, fx);
                }
                let incomplete = self.accumulator.has_incomplete();
                let request = self.manager().next_request(incomplete)?;
                self.turn = Some(Turn { request, broker: None, pause: None });
            }
            if let Some(wait) = self.take_turn(now, fx) {
                return Some(wait);
            }
        }
    }

    /// Brings the request whose turn it is as far as it gets. `Some`: it waits.
    fn take_turn(&mut self, now: Time, fx: &mut Effects) -> Option<Time> {
        let turn = self.turn.take()?;
        if let Some(until) = turn.pause.filter(|until| *until > now) {
            self.turn = Some(turn);
            return Some(until);
        }
        let Some(broker) = self.target(&turn, now, fx) else {
            self.unreachable(turn.request, now);
            return None;
        };
        if !self.client.ready(now, broker, fx) {
            return self.await_ready(turn, broker, now);
        }
        if turn.pause.is_none()
            && let Some(until) = self.pause_before(&turn.request, now)
        {
            self.turn = Some(Turn { broker: None, pause: Some(until), ..turn });
            return Some(until);
        }
        if turn.request.is_lookup() {
            self.looked_up = Some(now);
        }
        let message = self.manager().message(&turn.request, fx);
        let request = (message, Payload::Transactional);
        self.client.send(now, broker, request, self.request_timeout, fx);
        self.manager().sent(turn.request);
        Some(Time::NEVER)
    }

    /// The broker the request goes to: its coordinator if that is known, or any.
    fn target(&mut self, turn: &Turn, now: Time, fx: &mut Effects) -> Option<BrokerId> {
        match (turn.broker, turn.request.coordinator()) {
            (Some((broker, _)), _) => Some(broker),
            (None, Some(which)) => self.manager().coordinator(which),
            (None, None) => self.client.least_loaded_node(now, fx),
        }
    }

    /// The connection is being opened, or cannot be.
    fn await_ready(&mut self, mut turn: Turn, broker: BrokerId, now: Time) -> Option<Time> {
        let (_, until) = *turn.broker.get_or_insert((broker, now + self.request_timeout));
        let again = self.client.ready_at(broker);
        if until <= now || (again > now && again != Time::NEVER) {
            self.unreachable(turn.request, now);
            return None;
        }
        self.turn = Some(turn);
        Some(until)
    }

    /// How long to wait before this request is sent, if at all.
    fn pause_before(&self, request: &PendingRequest, now: Time) -> Option<Time> {
        if request.is_lookup() {
            let next = self.looked_up? + self.retry_backoff;
            return (next > now).then_some(next);
        }
        request.retry.then_some(now + request.backoff)
    }

    /// `maybeFindCoordinatorAndRetry`.
    fn unreachable(&mut self, request: PendingRequest, now: Time) {
        if request.coordinator().is_some() {
            return self.manager().find_and_retry(request);
        }
        self.client.metadata_mut().request_update(false);
        let pause = Some(now + self.retry_backoff);
        self.turn = Some(Turn { request, broker: None, pause });
    }

    /// A coordinator answered.
    pub(super) fn coordinator_answered(&mut self, message: &Message, fx: &mut Effects) {
        let Some(transactions) = &mut self.transactions else { return };
        let before = transactions.producer();
        transactions.answered(message);
        if transactions.producer() != before {
            announce(transactions.producer(), fx);
        }
    }

    /// Fails batches that will not be sent, or whose answer does not matter any more.
    fn abort_batches(&mut self, batches: &[BatchId], exception: Exception, fx: &mut Effects) {
        for id in batches {
            self.say_failed(*id, exception, fx);
            self.accumulator.abort_one(*id);
        }
    }

    pub(super) fn fingerprint_turn(&self, now: Time, into: &mut Fingerprint) {
        into.add(self.turn.is_some());
        if let Some(turn) = &self.turn {
            into.add(&turn.request);
            into.add(turn.broker.map(|(broker, _)| broker));
            let times = [turn.broker.map(|(_, until)| until), turn.pause];
            times.into_iter().flatten().for_each(|at| into.add_time(now, at.max(now)));
        }
        if let Some(at) = self.next_fatal_look {
            into.add_time(now, at.max(now));
        }
        if let Some(at) = self.looked_up {
            into.add_time(now, (at + self.retry_backoff).max(now));
        }
    }

    /// An idempotent producer sends nothing, and expires nothing, before it has a producer id. Returns `None` when it
    /// has one, or else when to try again.
    fn wait_for_producer_id(&mut self, now: Time, fx: &mut Effects) -> Option<Time> {
        let transactions = self.transactions.as_mut()?;
        if transactions.settle(&mut self.accumulator.batches) {
            announce(transactions.producer(), fx);
        }
        if transactions.producer().is_some() {
            return None;
        }
        match transactions.init {
            InitState::InFlight => return Some(Time::NEVER),
            InitState::Due(at) if at > now => return Some(at),
            InitState::Due(_) => {}
        }
        let Some(broker) = self.client.least_loaded_node(now, fx) else {
            let again = now + self.retry_backoff;
            transactions.init = InitState::Due(again);
            self.client.metadata_mut().request_update(false);
            return Some(again);
        };
        if self.client.ready(now, broker, fx) {
            transactions.init = InitState::InFlight;
            let message = Message::InitProducerId {
                transactional: None,
                timeout_ms: 0,
                producer_id: -1,
                epoch: ProducerEpoch(-1),
            };
            let request = (message, Payload::InitProducerId);
            self.client.send(now, broker, request, self.request_timeout, fx);
        }
        Some(Time::NEVER)
    }

    pub(super) fn producer_id_answered(&mut self, now: Time, message: &Message, fx: &mut Effects) {
        let Message::InitProducerIdResponse { error, producer_id, epoch } = *message else {
            unreachable!("an InitProducerId request is answered by an InitProducerIdResponse");
        };
        let Some(transactions) = &mut self.transactions else { return };
        if error == ErrorCode::None {
            transactions.set_producer(ProducerIdAndEpoch { id: producer_id, epoch });
            announce(transactions.producer(), fx);
        } else {
            transactions.init = InitState::Due(now + self.retry_backoff);
        }
    }
}

fn announce(producer: Option<ProducerIdAndEpoch>, fx: &mut Effects) {
    if let Some(ProducerIdAndEpoch { id, epoch }) = producer {
        fx.event(EventKind::ProducerIdAssigned { producer_id: id, epoch });
    }
}
